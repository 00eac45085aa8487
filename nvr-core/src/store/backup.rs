//! Copies of the index and of the accounts while they are in use, and whether a copy can be used.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::accounts::{ACCOUNTS_ID, ACCOUNTS_VERSION};
use super::error::SqlResult;
use super::open::{self, APPLICATION_ID, MIGRATIONS};
use crate::error::{Error, ErrorKind, Result};

/// Pages that are copied in one go.
const PAGES: i32 = 512;

/// Which of the two databases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Database {
    Index,
    Accounts,
}

impl Database {
    const fn id(self) -> i32 {
        match self {
            Self::Index => APPLICATION_ID,
            Self::Accounts => ACCOUNTS_ID,
        }
    }

    /// The newest version that this program knows.
    pub(crate) const fn version(self) -> usize {
        match self {
            Self::Index => MIGRATIONS.len(),
            Self::Accounts => ACCOUNTS_VERSION,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Accounts => "accounts",
        }
    }
}

/// A database as it was at one moment, whatever is written to it since. It holds the database's log from being folded in:
/// not to be kept for long.
#[derive(Debug)]
pub(crate) struct Frozen {
    conn: Connection,
    of: Database,
}

impl Frozen {
    /// The moment is now.
    ///
    /// # Errors
    /// `Storage` when it cannot be read, `Conflict` for the database of another program, `Unsupported` for a newer one.
    pub(crate) fn new(of: Database, path: &Path) -> Result<Self> {
        super::filesystem::check(path)?;
        let frozen = (|| {
            let conn = open::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            conn.execute_batch("PRAGMA query_only=ON; BEGIN").sql()?;
            // The snapshot is that of the first thing that is read.
            conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
                .sql()?;
            known(&conn, of)?;
            Ok(Self { conn, of })
        })();
        frozen.map_err(|e: Error| e.context(path.display()))
    }

    /// The version of its tables.
    ///
    /// # Errors
    /// `Storage` when it cannot be read.
    pub(crate) fn version(&self) -> Result<usize> {
        number(&self.conn, "user_version").map(|v| usize::try_from(v).unwrap_or(usize::MAX))
    }

    /// Copies it to a file, which must be empty, as a database that needs no other file. Of the accounts without logins and
    /// passing tokens: whoever was logged in logs in again.
    ///
    /// # Errors
    /// `Storage` when it cannot be read or written, `Corrupt` when the copy is not sound.
    pub(crate) fn copy_to(&self, target: &Path) -> Result<()> {
        let copied = (|| {
            let mut conn = Connection::open_with_flags(target, OpenFlags::SQLITE_OPEN_READ_WRITE).sql()?;
            {
                let backup = Backup::new(&self.conn, &mut conn).sql()?;
                loop {
                    match backup.step(PAGES).sql()? {
                        StepResult::Done => break,
                        StepResult::More => std::thread::yield_now(),
                        _ => {
                            let message = format!("the {} is locked", self.of.name());
                            return Err(Error::new(ErrorKind::Busy, message));
                        }
                    }
                }
            }
            conn.query_row("PRAGMA journal_mode=DELETE", [], |_| Ok(()))
                .sql()?;
            if self.of == Database::Accounts {
                conn.execute_batch(
                    "PRAGMA secure_delete=ON; DELETE FROM sessions; DELETE FROM setup; DELETE FROM tokens WHERE passing = 1;",
                )
                .sql()?;
            }
            sound(&conn, self.of)?;
            conn.close().map_err(|(_, e)| e).sql()
        })();
        copied.map_err(|e| e.context(format_args!("copy of the {}", self.of.name())))
    }
}

/// What a copy says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CopyFacts {
    /// The recordings tree that it belongs to; of the index.
    pub(crate) tree: Option<String>,
}

/// Looks at a copy that nobody uses: whose it is, that this program knows its version, and that it is sound.
///
/// # Errors
/// `Conflict` for the database of another program, `Unsupported` for a newer one, `Corrupt` when it is not sound.
pub(crate) fn examine_copy(of: Database, path: &Path) -> Result<CopyFacts> {
    let conn = open::connect_immutable(path)?;
    known(&conn, of)?;
    sound(&conn, of)?;
    let tree = match of {
        Database::Accounts => None,
        Database::Index => conn
            .query_row("SELECT value FROM meta WHERE key = 'tree_id'", [], |r| r.get(0))
            .map(Some)
            .or_else(|e| match e {
                rusqlite::Error::QueryReturnedNoRows => Ok(None),
                e => Err(e),
            })
            .sql()?,
    };
    Ok(CopyFacts { tree })
}

/// Whether the accounts can be read and are sound; what is wrong with them, none: nothing.
///
/// # Errors
/// `Storage`, `Conflict`, `Unsupported` or `Corrupt`.
pub(crate) fn check_accounts(path: &Path) -> Result<()> {
    let frozen = Frozen::new(Database::Accounts, path)?;
    sound(&frozen.conn, Database::Accounts)
}

fn number(conn: &Connection, name: &str) -> Result<i64> {
    conn.query_row(&format!("PRAGMA {name}"), [], |r| r.get(0)).sql()
}

fn known(conn: &Connection, of: Database) -> Result<()> {
    if number(conn, "application_id")? != i64::from(of.id()) {
        let message = format!("this is no database of {}", of.name());
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    let found = number(conn, "user_version")?;
    if usize::try_from(found).is_ok_and(|v| v <= of.version()) {
        return Ok(());
    }
    let message = format!(
        "the {} has version {found}, this program knows up to {}",
        of.name(),
        of.version()
    );
    Err(Error::new(ErrorKind::Unsupported, message).with_hint("use the newer program that made it"))
}

fn sound(conn: &Connection, of: Database) -> Result<()> {
    let first: String = conn.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)).sql()?;
    if first == "ok" {
        return Ok(());
    }
    let message = format!("the {} is damaged: {first}", of.name());
    Err(Error::new(ErrorKind::Corrupt, message))
}
