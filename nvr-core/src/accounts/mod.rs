//! Accounts: who may do what, logins, tokens, shares, and the log of who did what.
//!
//! What is allowed ([`Role`], [`Scopes`], [`Identity`]), when somebody has to wait ([`Throttle`]) and what is folded in
//! the log are functions of what they are given. [`Accounts`] is the handle that front ends use. It keeps everything in a
//! file of its own beside the index, of secrets only hashes, and works in several processes at once. What does not belong
//! here: HTTP, cookies, headers.

mod audit;
mod external;
mod login;
mod manage;
mod name;
mod password;
mod role;
mod shares;
#[cfg(test)]
mod tests;
mod throttle;
mod token;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

pub use self::audit::{Action, AuditEntry, AuditPage, Deed};
pub use self::external::External;
pub use self::login::{Denied, Login};
pub use self::manage::{NewAccount, TokenInfo, TokenWish, UserInfo, UserPatch};
pub use self::name::UserName;
pub use self::role::{CameraSet, Identity, Permission, Role, Scopes, Via};
pub use self::shares::{Share, ShareInfo};
pub use self::throttle::{Limits, Throttle};
pub use self::token::{Token, TokenHash};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::store::accounts::AccountStore;

/// Passwords looked at together: each takes a core and 19 MiB for some ten milliseconds, and the cameras come first.
const HASHING: usize = 1;
/// How many may wait for that.
const WAITING: usize = 16;

/// The accounts of a recorder. Cheap to clone; its file is opened, and made, when it is first needed.
#[derive(Clone, Debug)]
pub struct Accounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    clock: SharedClock,
    store: Mutex<Option<Arc<AccountStore>>>,
    throttle: Mutex<Throttle>,
    /// By name the stored hash that the last wrong password was compared with: another one since was set elsewhere.
    failed_with: Mutex<HashMap<String, String>>,
    hashing: Semaphore,
    waiting: Semaphore,
    /// What a password that nobody has is compared with.
    nobody: Mutex<Option<Arc<str>>>,
    /// Passwords sent with each request that were right a moment ago.
    known: Mutex<login::Known>,
    log: audit::Log,
}

impl Accounts {
    /// The accounts in a file; nothing is opened yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, clock: SharedClock) -> Self {
        Self(Arc::new(Inner {
            path: path.into(),
            store: Mutex::new(None),
            throttle: Mutex::new(Throttle::new(Limits::default())),
            failed_with: Mutex::default(),
            hashing: Semaphore::new(HASHING),
            waiting: Semaphore::new(WAITING),
            nobody: Mutex::new(None),
            known: Mutex::default(),
            log: audit::Log::new(),
            clock,
        }))
    }

    /// Those of the recorder of a configuration, also while it runs in another process.
    ///
    /// # Errors
    /// `Storage` or `NotFound` when the recordings root is not there, or is none yet: nothing must be written to the
    /// empty mount point of a disk that is not there.
    pub fn of(config: &Config, clock: SharedClock) -> Result<Self> {
        use crate::files::{Root, RootOptions};
        Root::open(
            config.recorder.root.clone(),
            RootOptions::default(),
            clock.clone(),
        )?
        .attach()
        .map_err(|e| e.with_hint("start the recorder once: it makes its folder"))?;
        Ok(Self::new(config.recorder.accounts(), clock))
    }

    /// Their file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The clock that expiry goes by.
    #[must_use]
    pub fn clock(&self) -> &SharedClock {
        &self.0.clock
    }

    /// Runs something with the file, where it may block.
    async fn store<T: Send + 'static>(
        &self,
        f: impl FnOnce(&AccountStore) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let me = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || f(&*me.open()?))
            .await
            .map_err(|e| Error::new(ErrorKind::Internal, "a task of the accounts failed").with_source(e))?
    }

    /// A short random text that tells this recorder's cookies from those of others under the same host name.
    ///
    /// # Errors
    /// `Storage` when the file cannot be read.
    pub async fn instance(&self) -> Result<String> {
        self.store(AccountStore::instance).await
    }
}

impl Inner {
    fn open(&self) -> Result<Arc<AccountStore>> {
        let mut place = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*place {
            return Ok(Arc::clone(store));
        }
        let store = Arc::new(AccountStore::open(&self.path)?);
        *place = Some(Arc::clone(&store));
        Ok(store)
    }

    fn failed_with(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.failed_with.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn throttle(&self) -> std::sync::MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the accounts in a file can be read and are sound, also while a recorder uses them. Blocks.
///
/// # Errors
/// `Storage` when they cannot be read, `Conflict` for the database of another program, `Unsupported` for one of a newer
/// version, `Corrupt` when they are damaged.
pub fn check(path: &Path) -> Result<()> {
    crate::store::backup::check_accounts(path)
}

/// An address as it is noted and limited by: of IPv6 the network, since one host has as many addresses as it likes.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let bits = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(bits.into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Time as nanoseconds in `i64`.
fn ns(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}
