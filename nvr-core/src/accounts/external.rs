//! Logins that a provider answers for: the recorder keeps a user for each, and takes role and cameras from what is said
//! at each login.

use super::login::{Denied, Login};
use super::role::{CameraSet, Role};
use super::token::{Token, TokenHash};
use super::{Accounts, Identity, UserName};
use crate::config::{GroupRole, OidcGroup};
use crate::error::Error;
use crate::secret::Secret;
use crate::store::accounts::NewUser;

/// Somebody whom a provider answers for.
#[derive(Clone, Debug)]
pub struct External {
    /// The provider.
    pub issuer: String,
    /// Who it is there, for ever.
    pub subject: String,
    /// What he is to be called here.
    pub name: UserName,
    /// What he may do.
    pub role: Role,
    /// With which cameras.
    pub cameras: CameraSet,
}

impl From<GroupRole> for Role {
    fn from(role: GroupRole) -> Self {
        match role {
            GroupRole::Viewer => Self::Viewer,
            GroupRole::Operator => Self::Operator,
            GroupRole::Admin => Self::Admin,
        }
    }
}

impl From<&OidcGroup> for CameraSet {
    fn from(group: &OidcGroup) -> Self {
        match &group.cameras {
            Some(ids) => Self::only(ids.iter().cloned()),
            None => Self::all(),
        }
    }
}

impl Accounts {
    /// Logs in somebody whom a provider answers for, for this visit. `old` is the session that the browser had.
    ///
    /// # Errors
    /// [`Denied::Fault`], of the kind `Conflict` when his name is that of another user.
    pub async fn login_external(&self, who: External, old: Option<&str>) -> Result<Login, Denied> {
        let (issuer, subject) = (who.issuer.clone(), who.subject.clone());
        let known = self.store(move |s| s.has_external(&issuer, &subject)).await?;
        // One that nobody knows, so that his name is as any other to who tries passwords.
        let password = if known {
            String::new()
        } else {
            self.hash(Secret::new(Token::random().expose())).await?
        };
        let now = NewUser {
            name: who.name,
            role: who.role,
            cameras: who.cameras,
            password,
            created: self.0.clock.now(),
        };
        let user = self
            .store(move |s| s.external_user(&who.issuer, &who.subject, &now))
            .await?;
        self.begin_session(user, false, old.map(TokenHash::of)).await
    }

    /// The provider that answers for somebody; `None` for who has a password here.
    ///
    /// # Errors
    /// `Storage` when the file cannot be read.
    pub async fn provider_of(&self, who: &Identity) -> Result<Option<String>, Error> {
        match who.user_id {
            Some(id) => self.store(move |s| s.provider_of(id)).await,
            None => Ok(None),
        }
    }
}
