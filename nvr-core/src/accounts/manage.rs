//! Users and tokens: to list, make, change and remove.

use std::net::IpAddr;
use std::time::Duration;

use super::login::Denied;
use super::role::{CameraSet, Identity, Role, Scopes, Via};
use super::token::Token;
use super::{Accounts, UserName, password};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;
use crate::store::accounts::{NewToken, NewUser, UserChange, UserRow};
use crate::time::Timestamp;

/// Most tokens that are listed at once.
const MAX_TOKENS: usize = 1000;

/// A user to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Name.
    pub name: UserName,
    /// Password.
    pub password: Secret,
    /// Role.
    pub role: Role,
    /// With which cameras.
    pub cameras: CameraSet,
}

/// What is to become different about a user; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    /// Password; all his logins end.
    pub password: Option<Secret>,
    /// Role.
    pub role: Option<Role>,
    /// With which cameras.
    pub cameras: Option<CameraSet>,
}

/// A user, without secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserInfo {
    /// Name.
    pub name: UserName,
    /// Role.
    pub role: Role,
    /// With which cameras.
    pub cameras: CameraSet,
    /// Since when.
    pub created: Timestamp,
    /// When he last logged in.
    pub last_login: Option<Timestamp>,
    /// No try to log in is allowed before, from one address at least.
    pub locked_until: Option<Timestamp>,
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct TokenWish {
    /// What it is called in lists.
    pub label: String,
    /// What it is for.
    pub scopes: Scopes,
    /// With which cameras.
    pub cameras: CameraSet,
    /// For how long; for ever if absent.
    pub expires: Option<Duration>,
}

/// A token, without what opens the door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenInfo {
    /// Row.
    pub id: i64,
    /// Whose; `None` when it was made at the machine.
    pub user: Option<UserName>,
    /// What it is called.
    pub label: String,
    /// What it is for.
    pub scopes: Scopes,
    /// With which cameras.
    pub cameras: CameraSet,
    /// Since when.
    pub created: Timestamp,
    /// Until when.
    pub expires: Option<Timestamp>,
    /// When it was last used, within a minute.
    pub last_used: Option<Timestamp>,
}

impl Accounts {
    fn info(&self, row: UserRow) -> UserInfo {
        UserInfo {
            locked_until: self.locked_until(&row.name),
            name: row.name,
            role: row.role,
            cameras: row.cameras,
            created: row.created,
            last_login: row.last_login,
        }
    }

    /// All users by name.
    ///
    /// # Errors
    /// `Storage` when the file cannot be read.
    pub async fn users(&self) -> Result<Vec<UserInfo>> {
        let rows = self.store(super::AccountStore::users).await?;
        Ok(rows.into_iter().map(|r| self.info(r)).collect())
    }

    /// One user.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name.
    pub async fn user(&self, name: &UserName) -> Result<UserInfo> {
        let asked = name.clone();
        let row = self.store(move |s| s.user(asked.as_str())).await?;
        row.map(|r| self.info(r))
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no user {name}")))
    }

    /// Makes a user.
    ///
    /// # Errors
    /// `AlreadyExists` when there is one of that name, `InvalidArgument` for a password that cannot be used, `Conflict`
    /// when the first one is no administrator for all cameras.
    pub async fn add_user(&self, new: NewAccount) -> Result<UserInfo> {
        password::check(&new.name, &new.password)?;
        let row = NewUser {
            name: new.name.clone(),
            role: new.role,
            cameras: new.cameras,
            password: self.hash(new.password).await?,
            created: self.0.clock.now(),
        };
        self.store(move |s| s.add_user(&row)).await?;
        self.user(&new.name).await
    }

    /// Changes a user.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name, `InvalidArgument` for a password that cannot be used, `Conflict` when
    /// no administrator for all cameras would be left.
    pub async fn change_user(&self, name: &UserName, patch: UserPatch) -> Result<UserInfo> {
        self.change(name, patch, None).await
    }

    async fn change(&self, name: &UserName, patch: UserPatch, keep: Option<&Identity>) -> Result<UserInfo> {
        let password = match patch.password {
            Some(new) => {
                password::check(name, &new)?;
                Some(self.hash(new).await?)
            }
            None => None,
        };
        let pardons = password.is_some();
        let change = UserChange {
            role: patch.role,
            cameras: patch.cameras,
            password,
            keep: keep.and_then(|who| match who.via {
                Via::Session(hash) => Some(hash),
                _ => None,
            }),
        };
        let asked = name.clone();
        let row = self.store(move |s| s.change_user(&asked, &change)).await?;
        if pardons {
            self.0.throttle().pardon(name.as_str());
        }
        Ok(self.info(row))
    }

    /// Somebody changes his own password; his other logins end.
    ///
    /// # Errors
    /// [`Denied`] when the old one is not right; as a fault what [`change_user`](Self::change_user) has.
    pub async fn change_password(
        &self,
        who: &Identity,
        old: Secret,
        new: Secret,
        address: IpAddr,
    ) -> std::result::Result<(), Denied> {
        let Some(name) = who.user.clone() else {
            return Err(Error::new(
                ErrorKind::Conflict,
                "nobody is logged in who could have a password",
            )
            .into());
        };
        password::check(&name, &new)?;
        self.confirm(&name, old, address).await?;
        let patch = UserPatch {
            password: Some(new),
            ..UserPatch::default()
        };
        self.change(&name, patch, Some(who)).await?;
        Ok(())
    }

    /// Removes a user with his logins, tokens and shares.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name, `Conflict` when no administrator for all cameras would be left.
    pub async fn remove_user(&self, name: &UserName) -> Result<()> {
        let name = name.clone();
        self.store(move |s| s.remove_user(&name)).await
    }

    /// Makes a token for somebody, or `None` for the machine itself. It can never do more than he may, and one that is
    /// made with another token does not outlive that.
    ///
    /// # Errors
    /// `InvalidArgument` without a label or scope, or when it were for more than he may.
    pub async fn add_token(&self, who: Option<&Identity>, mut wish: TokenWish) -> Result<(TokenInfo, Token)> {
        let wrong = |text: String| Error::new(ErrorKind::InvalidArgument, text);
        let label = wish.label.trim().to_owned();
        if label.is_empty() || label.len() > 100 || label.chars().any(char::is_control) {
            return Err(wrong(
                "label: want 1 to 100 bytes without control characters".into(),
            ));
        }
        if wish.scopes.iter().next().is_none() {
            return Err(wrong(
                "scopes: want at least one of read, control, export, admin".into(),
            ));
        }
        if let Some(who) = who {
            if let Some(more) = wish.scopes.iter().find(|p| !who.may(*p)) {
                return Err(wrong(format!("scopes: you may not {} yourself", more.scope())));
            }
            if let Some(other) = wish.cameras.ids().and_then(|mut ids| ids.find(|c| !who.sees(c))) {
                return Err(wrong(format!("cameras: {other} is none of yours")));
            }
            // What a user may is asked at each use; what the token may by which he asks is known only now.
            if let Via::Token(_, hash) = who.via {
                wish.cameras = wish.cameras.and(&who.cameras);
                let own = self.store(move |s| s.token(hash)).await?;
                let until = own.map_or(Some(self.0.clock.now()), |row| row.expires);
                if let Some(until) = until {
                    let left = until.since(self.0.clock.now()).max(0);
                    let left = Duration::from_nanos(u64::try_from(left).unwrap_or_default());
                    wish.expires = Some(wish.expires.map_or(left, |asked| asked.min(left)));
                }
            }
        }
        let row = self.new_token(who.and_then(|w| w.user_id), label, &wish, false);
        let (token, row) = row;
        let stored = row.clone();
        let id = self.store(move |s| s.add_token(&stored)).await?;
        let info = TokenInfo {
            id,
            user: who.and_then(|w| w.user.clone()),
            label: row.label,
            scopes: row.scopes,
            cameras: row.cameras,
            created: row.created,
            expires: row.expires,
            last_used: None,
        };
        Ok((info, token))
    }

    fn new_token(
        &self,
        user: Option<i64>,
        label: String,
        wish: &TokenWish,
        passing: bool,
    ) -> (Token, NewToken) {
        let token = Token::random();
        let now = self.0.clock.now();
        let row = NewToken {
            user,
            label,
            hash: token.hash(),
            scopes: wish.scopes,
            cameras: wish.cameras.clone(),
            passing,
            created: now,
            expires: wish.expires.map(|d| now + d),
        };
        (token, row)
    }

    /// A token for everything that is good for a while and in no list: for a command on the recorder's own machine, run by
    /// somebody who can write the accounts' file anyway. Blocks.
    ///
    /// # Errors
    /// `Storage` when the file cannot be written.
    pub fn passing_token_blocking(&self, within: Duration) -> Result<Token> {
        let wish = TokenWish {
            label: String::new(),
            scopes: Scopes::all(),
            cameras: CameraSet::all(),
            expires: Some(within),
        };
        let (token, row) = self.new_token(None, "a command".into(), &wish, true);
        self.0.open()?.add_token(&row)?;
        Ok(token)
    }

    /// The tokens of somebody, or all.
    ///
    /// # Errors
    /// `Storage` when the file cannot be read.
    pub async fn tokens(&self, of: Option<&UserName>) -> Result<Vec<TokenInfo>> {
        let rows = self.store(super::AccountStore::tokens).await?;
        let all = rows.into_iter().map(|r| TokenInfo {
            id: r.id,
            user: r.user.map(|u| u.name),
            label: r.label,
            scopes: r.scopes,
            cameras: r.cameras,
            created: r.created,
            expires: r.expires,
            last_used: r.last_used,
        });
        Ok(all
            .filter(|t| of.is_none() || t.user.as_ref() == of)
            .take(MAX_TOKENS)
            .collect())
    }

    /// Removes a token; of somebody alone if he is given.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn remove_token(&self, id: i64, of: Option<&Identity>) -> Result<()> {
        // Who is no user has none of his own.
        let user = of.map(|who| who.user_id.unwrap_or(-1));
        if self.store(move |s| s.remove_token(id, user)).await? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, format!("there is no token {id}")))
    }
}
