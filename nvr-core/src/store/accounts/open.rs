//! Opens and upgrades the file of the accounts.

use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::super::error::classify_code;
use super::super::{filesystem, open as index};
use crate::error::{Error, ErrorKind, Result};

/// Marks our files: "nvr" and 2.
pub(in crate::store) const APPLICATION_ID: i32 = 0x6e76_7202;
pub(in crate::store) const MIGRATIONS: [&str; 2] = [include_str!("0001.sql"), include_str!("0002.sql")];

/// Errors of SQLite in terms of the crate, said of this file.
pub(super) trait AccountResult<T> {
    fn acc(self) -> Result<T>;
}

impl<T> AccountResult<T> for rusqlite::Result<T> {
    fn acc(self) -> Result<T> {
        self.map_err(|e| {
            let kind = match &e {
                rusqlite::Error::SqliteFailure(failure, _) => {
                    classify_code(failure.code, failure.extended_code).0
                }
                rusqlite::Error::QueryReturnedNoRows => ErrorKind::NotFound,
                _ => ErrorKind::Corrupt,
            };
            let error = Error::new(kind, format!("accounts: {e}")).with_source(e);
            match kind {
                ErrorKind::Corrupt => {
                    error.with_hint("put a copy of the file back, or move it away and make new accounts")
                }
                ErrorKind::Storage => {
                    error.with_hint("check space, owner and mode of the accounts' file and its folder")
                }
                ErrorKind::Busy => {
                    error.with_hint("another program holds the accounts for long; try again or stop it")
                }
                _ => error,
            }
        })
    }
}

pub(super) fn open(path: &Path) -> Result<Connection> {
    filesystem::check(path)?;
    // Made before SQLite would, so that nobody else can ever read it.
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(file) => file
            .set_permissions(std::fs::Permissions::from_mode(0o600))
            .map_err(|e| Error::io(path.display(), e))?,
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => {
            return Err(Error::io(format_args!("accounts {}", path.display()), e)
                .with_hint("do this as the user that the recorder runs as"));
        }
    }
    prepare(path).map_err(|e| e.context(path.display()))
}

fn prepare(path: &Path) -> Result<Connection> {
    let mut conn = index::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mode: String = conn
        .query_row("PRAGMA journal_mode=WAL", [], |r| r.get(0))
        .acc()?;
    if mode != "wal" {
        return Err(
            Error::new(ErrorKind::Unsupported, "accounts: WAL mode is not possible here")
                .with_hint("put the index on a local disk"),
        );
    }
    conn.execute_batch("PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;")
        .acc()?;
    let tx = conn
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .acc()?;
    let number = |name: &str| {
        tx.query_row(&format!("PRAGMA {name}"), [], |r| r.get::<_, i64>(0))
            .acc()
    };
    let (id, found) = (number("application_id")?, number("user_version")?);
    let known = MIGRATIONS.len();
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    let empty = id == 0 && found == 0 && number("schema_version")? == 0;
    if id != i64::from(APPLICATION_ID) && !empty {
        return Err(Error::new(
            ErrorKind::Conflict,
            "this is the database of another program; it was left as it is",
        ));
    }
    if found > known {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("the accounts have version {found}, this program knows up to {known}"),
        )
        .with_hint("use the newer program that made them"));
    }
    if found < known {
        for step in &MIGRATIONS[found..] {
            tx.execute_batch(step).acc()?;
        }
        tx.pragma_update(None, "application_id", APPLICATION_ID).acc()?;
        tx.pragma_update(None, "user_version", i64::try_from(known).unwrap_or(i64::MAX))
            .acc()?;
        tx.execute(
            "INSERT OR IGNORE INTO meta (key, value) VALUES ('instance', ?1)",
            [format!("{:08x}", rand::random::<u32>())],
        )
        .acc()?;
    }
    tx.commit().acc()?;
    Ok(conn)
}
