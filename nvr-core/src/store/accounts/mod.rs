//! The file of the accounts, apart from the index: that can be made again from the files, this cannot.
//!
//! Every commit waits for the disk, since a password that was changed must stay changed. One connection writes
//! and one reads, each behind a lock; other processes (`nvr user`) use the file meanwhile. Everything here blocks.

mod audit;
mod external;
mod keys;
mod open;
mod rows;
mod users;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, TransactionBehavior};

/// What the backup of the accounts has to know of their file.
pub(in crate::store) use self::open::APPLICATION_ID as ACCOUNTS_ID;
use self::open::AccountResult;
pub(crate) use self::rows::{
    AuditQuery, AuditRow, NewSessionRow, NewShare, NewToken, NewUser, SessionRow, ShareRow, TokenRow,
    UserChange, UserRow,
};
use crate::error::Result;

/// The newest version of the file.
pub(in crate::store) const ACCOUNTS_VERSION: usize = open::MIGRATIONS.len();

/// The accounts' file, open for reading and writing.
pub(crate) struct AccountStore {
    path: PathBuf,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl fmt::Debug for AccountStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn lock(place: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AccountStore {
    /// Opens it, makes it if it is not there (readable by its owner only), upgrades an older one.
    ///
    /// # Errors
    /// `Storage` when it cannot be opened or made, `Unsupported` for one of a newer version, `Conflict` for the
    /// database of another program, `Corrupt` for a broken one.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let writer = open::open(path)?;
        let reader = open::open(path)?;
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
        })
    }

    fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        f(&lock(&self.reader))
    }

    fn write<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut conn = lock(&self.writer);
        let tx = conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .acc()?;
        let out = f(&tx)?;
        tx.commit().acc()?;
        Ok(out)
    }
}
