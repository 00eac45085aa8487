//! Who is it: by password, by session, by token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::role::{CameraSet, Identity, Role, Scopes, Via};
use super::token::{Token, TokenHash};
use super::{Accounts, UserName, group, ns, password};
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;
use crate::store::accounts::{NewSessionRow, NewUser, UserRow};
use crate::time::Timestamp;

/// A login for this visit ends when it was not used for so long.
const VISIT_IDLE: Duration = Duration::from_secs(12 * 3600);
/// And after so long in any case.
const VISIT: Duration = Duration::from_secs(7 * 86_400);
/// The same of one that is to be remembered.
const REMEMBERED_IDLE: Duration = Duration::from_secs(30 * 86_400);
const REMEMBERED: Duration = Duration::from_secs(180 * 86_400);
/// How exactly it is known when a session or token was last used.
const TOUCH: Duration = Duration::from_secs(60);
/// How long a password that comes with each request is not hashed again.
const KNOWN: Duration = Duration::from_secs(300);
const MOST_KNOWN: usize = 256;

/// Why somebody is not let in. Neither tells whether there is a user of that name.
#[derive(Debug)]
pub enum Denied {
    /// Name or password are wrong.
    Wrong,
    /// Too many tries: wait so long.
    Later(Duration),
    /// It cannot be found out.
    Fault(Error),
}

impl From<Error> for Denied {
    fn from(e: Error) -> Self {
        Self::Fault(e)
    }
}

/// A login that was made.
#[derive(Clone, Debug)]
pub struct Login {
    /// What the browser is to show with each request.
    pub token: Token,
    /// How long it may keep that; `None` until it is closed.
    pub remember: Option<Duration>,
    /// Who it is.
    pub identity: Identity,
}

/// Passwords that were right a moment ago: by a keyed hash of name and password, with the stored hash they fitted to.
#[derive(Default)]
pub(super) struct Known {
    key: Option<[u8; 32]>,
    right: HashMap<[u8; 32], (String, i64)>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}

impl Known {
    fn id(&mut self, name: &str, password: &Secret) -> [u8; 32] {
        let key = self.key.get_or_insert_with(rand::random);
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(password.expose().as_bytes());
        *hasher.finalize().as_bytes()
    }
}

impl Accounts {
    /// Logs somebody in. `old` is the session that the browser had; it ends, so that nobody can plant one.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn login(
        &self,
        name: &str,
        password: Secret,
        remember: bool,
        address: IpAddr,
        old: Option<&str>,
    ) -> Result<Login, Denied> {
        let user = self.check(name, password, address).await?;
        self.begin_session(user, remember, old.map(TokenHash::of)).await
    }

    pub(super) async fn begin_session(
        &self,
        user: UserRow,
        remember: bool,
        replaces: Option<TokenHash>,
    ) -> Result<Login, Denied> {
        let token = Token::random();
        let hash = token.hash();
        let (idle, whole) = if remember {
            (REMEMBERED_IDLE, REMEMBERED)
        } else {
            (VISIT_IDLE, VISIT)
        };
        let now = self.0.clock.now();
        let new = NewSessionRow {
            hash,
            user: user.id,
            now,
            idle_ns: ns(idle),
            expires: now + whole,
            replaces,
        };
        self.store(move |s| s.add_session(&new)).await?;
        Ok(Login {
            token,
            remember: remember.then_some(REMEMBERED),
            identity: whole_of(&user, Via::Session(hash)),
        })
    }

    /// The user of a name and password. All ways through it do the same work, whether or not there is one.
    async fn check(&self, name: &str, password: Secret, address: IpAddr) -> Result<UserRow, Denied> {
        let name: String = name.chars().take(64).collect::<String>().to_ascii_lowercase();
        let address = group(address);
        let busy = || Denied::Later(Duration::from_secs(1));
        let _place = self.0.waiting.try_acquire().map_err(|_| busy())?;
        self.pardon_changed(&name).await?;
        self.0
            .throttle()
            .admit(&name, address, self.0.clock.steady_ns())
            .map_err(Denied::Later)?;
        let _turn = self.0.hashing.acquire().await.map_err(|_| busy())?;
        let me = self.clone();
        let asked = name.clone();
        let work = move || -> Result<Option<UserRow>, Error> {
            let nobody = me.nobody()?;
            let user = me.0.open()?.user(&asked)?;
            let stored = user.as_ref().map_or(&*nobody, |u| &u.password);
            let right = password::verify(&password, stored);
            let mut failed = me.0.failed_with();
            failed.remove(&asked);
            if let (false, Some(user)) = (right, &user) {
                failed.insert(asked, user.password.clone());
            }
            Ok(user.filter(|_| right))
        };
        let found = tokio::task::spawn_blocking(work)
            .await
            .map_err(|e| Error::new(ErrorKind::Internal, "a task of the accounts failed").with_source(e))??;
        let user = found.ok_or(Denied::Wrong)?;
        self.0.throttle().succeeded(&name, address);
        Ok(user)
    }

    /// Lets a name try again at once whose password was set since it failed, as by a command in another process.
    async fn pardon_changed(&self, name: &str) -> Result<(), Error> {
        if self
            .0
            .throttle()
            .wait_of(name, self.0.clock.steady_ns())
            .is_none()
        {
            return Ok(());
        }
        // Asked for any name, so that nothing tells which there are.
        let asked = name.to_owned();
        let user = self.store(move |s| s.user(&asked)).await?;
        let mut failed = self.0.failed_with();
        let is_new = user.is_some_and(|u| failed.get(name).is_some_and(|old| *old != u.password));
        if is_new {
            failed.remove(name);
            self.0.throttle().pardon(name);
        }
        Ok(())
    }

    /// The hash of a password that nobody has.
    fn nobody(&self) -> Result<Arc<str>, Error> {
        let mut place = self.0.nobody.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hash) = &*place {
            return Ok(Arc::clone(hash));
        }
        let hash: Arc<str> = password::hash(&Secret::new(Token::random().expose()))?.into();
        *place = Some(Arc::clone(&hash));
        Ok(hash)
    }

    /// Who sends name and password with each request. One that was right is not hashed again for some minutes.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn by_password(
        &self,
        name: &str,
        password: Secret,
        address: IpAddr,
    ) -> Result<Identity, Denied> {
        let now = self.0.clock.steady_ns();
        let (id, known) = {
            let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
            let id = known.id(name, &password);
            (
                id,
                known.right.get(&id).filter(|(_, until)| now < *until).cloned(),
            )
        };
        if let Some((stored, _)) = known {
            let asked = name.to_ascii_lowercase();
            let user = self.store(move |s| s.user(&asked)).await?;
            if let Some(user) = user.filter(|u| u.password == stored) {
                return Ok(by_password(&user));
            }
        }
        let user = self.check(name, password, address).await?;
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.right.retain(|_, (_, until)| now < *until);
        if known.right.len() < MOST_KNOWN {
            known
                .right
                .insert(id, (user.password.clone(), now.saturating_add(ns(KNOWN))));
        }
        Ok(by_password(&user))
    }

    /// Whose session it is; `None` when it is none, or over.
    ///
    /// # Errors
    /// `Storage` when the file cannot be read.
    pub async fn by_session(&self, token: &str) -> Result<Option<Identity>, Error> {
        self.session(TokenHash::of(token)).await
    }

    async fn session(&self, hash: TokenHash) -> Result<Option<Identity>, Error> {
        let Some(row) = self.store(move |s| s.session(hash)).await? else {
            return Ok(None);
        };
        let now = self.0.clock.now();
        if now >= row.expires || now >= row.seen.add_ns(row.idle_ns) {
            return Ok(None);
        }
        if now >= row.seen + TOUCH {
            self.seen(hash, now);
        }
        Ok(Some(whole_of(&row.user, Via::Session(hash))))
    }

    /// Whose token it is, and what for; `None` when it is none, or over.
    ///
    /// # Errors
    /// `Storage` when the file cannot be read.
    pub async fn by_token(&self, token: &str) -> Result<Option<Identity>, Error> {
        self.token(TokenHash::of(token)).await
    }

    async fn token(&self, hash: TokenHash) -> Result<Option<Identity>, Error> {
        let Some(row) = self.store(move |s| s.token(hash)).await? else {
            return Ok(None);
        };
        let now = self.0.clock.now();
        if row.expires.is_some_and(|e| now >= e) {
            return Ok(None);
        }
        if row.last_used.is_none_or(|t| now >= t + TOUCH) && !row.passing {
            self.used(row.id, now);
        }
        let (user, user_id, role, cameras) = match row.user {
            Some(u) => (Some(u.name), Some(u.id), u.role, u.cameras),
            None => (None, None, Role::Admin, CameraSet::all()),
        };
        Ok(Some(Identity {
            user,
            user_id,
            role,
            scopes: row.scopes,
            cameras: cameras.and(&row.cameras),
            via: Via::Token(row.id, hash),
        }))
    }

    /// What somebody who was let in before may now; `None` when he no longer is. For what goes on for long.
    ///
    /// # Errors
    /// `Storage` when the file cannot be read.
    pub async fn again(&self, who: &Identity) -> Result<Option<Identity>, Error> {
        match (&who.via, &who.user) {
            (Via::Session(hash), _) => self.session(*hash).await,
            (Via::Token(_, hash), _) => self.token(*hash).await,
            (Via::Password(_), Some(name)) => {
                let name = name.clone();
                let user = self.store(move |s| s.user(name.as_str())).await?;
                Ok(user.map(|u| by_password(&u)).filter(|now| now.via == who.via))
            }
            (Via::Password(_), None) | (Via::Open, _) => Ok(Some(who.clone())),
        }
    }

    /// What a user may, to make tokens for him at the machine.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name.
    pub async fn identity_of(&self, name: &UserName) -> Result<Identity, Error> {
        let asked = name.clone();
        let user = self.store(move |s| s.user(asked.as_str())).await?;
        user.map(|u| by_password(&u))
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no user {name}")))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// `Storage` when that cannot be written.
    pub async fn logout(&self, token: &str) -> Result<(), Error> {
        let hash = TokenHash::of(token);
        self.store(move |s| s.end_session(hash)).await
    }

    /// Whether there is any account yet.
    ///
    /// # Errors
    /// `Storage` when the file cannot be read.
    pub async fn has_users(&self) -> Result<bool, Error> {
        self.store(super::AccountStore::has_users).await
    }

    /// A token with which the first account can be made within `within`; one that was made before is worth nothing any
    /// more. `None` when there is an account.
    ///
    /// # Errors
    /// `Storage` when the file cannot be written.
    pub async fn begin_setup(&self, within: Duration) -> Result<Option<Token>, Error> {
        let token = Token::random();
        let (hash, expires) = (token.hash(), self.0.clock.now() + within);
        let set = self.store(move |s| s.set_setup(hash, expires)).await?;
        Ok(set.then_some(token))
    }

    /// Makes the first account, an administrator, for whoever has the token, and logs him in.
    ///
    /// # Errors
    /// [`Denied`]; as a fault `InvalidArgument` for a name or password that cannot be used.
    pub async fn setup(
        &self,
        token: &str,
        name: &str,
        password: Secret,
        address: IpAddr,
    ) -> Result<Login, Denied> {
        let name = UserName::new(name)?;
        password::check(&name, &password)?;
        let address = group(address);
        // Names of users have no blank.
        self.0
            .throttle()
            .admit("the setup", address, self.0.clock.steady_ns())
            .map_err(Denied::Later)?;
        let hash = TokenHash::of(token);
        let new = NewUser {
            name: name.clone(),
            role: Role::Admin,
            cameras: CameraSet::all(),
            password: self.hash(password).await?,
            created: self.0.clock.now(),
        };
        let row = new.clone();
        let id = self
            .store(move |s| s.first_user(hash, &row))
            .await?
            .ok_or(Denied::Wrong)?;
        self.0.throttle().succeeded("the setup", address);
        let user = UserRow {
            id,
            name,
            role: Role::Admin,
            cameras: CameraSet::all(),
            password: new.password,
            created: new.created,
            last_login: None,
        };
        self.begin_session(user, false, None).await
    }

    /// Hashes a password in its turn.
    pub(super) async fn hash(&self, password: Secret) -> Result<String, Error> {
        let fault = |e| Error::new(ErrorKind::Internal, "a task of the accounts failed").with_source(e);
        let _turn = self
            .0
            .hashing
            .acquire()
            .await
            .map_err(|_| Error::new(ErrorKind::Unavailable, "the accounts are closed"))?;
        tokio::task::spawn_blocking(move || password::hash(&password))
            .await
            .map_err(fault)?
    }

    /// Whether a password is a user's, for changing it.
    pub(super) async fn confirm(
        &self,
        name: &UserName,
        password: Secret,
        address: IpAddr,
    ) -> Result<(), Denied> {
        self.check(name.as_str(), password, address).await.map(drop)
    }

    /// When a name may try again, if it has to wait.
    pub(super) fn locked_until(&self, name: &UserName) -> Option<Timestamp> {
        let wait = self
            .0
            .throttle()
            .wait_of(name.as_str(), self.0.clock.steady_ns())?;
        Some(self.0.clock.now() + wait)
    }
}

fn by_password(user: &UserRow) -> Identity {
    whole_of(user, Via::Password(TokenHash::of(&user.password)))
}

fn whole_of(user: &UserRow, via: Via) -> Identity {
    Identity {
        user: Some(user.name.clone()),
        user_id: Some(user.id),
        role: user.role,
        scopes: Scopes::all(),
        cameras: user.cameras.clone(),
        via,
    }
}
