//! The one place that opens and upgrades the database file.
//!
//! `synchronous=NORMAL` in WAL mode: a power cut may lose the last committed transactions, never the
//! consistency of the file. That is enough, because a lost row is made again from the files: a segment
//! whose row is still `open`, or missing, is found in the tree at the next start. In exchange a commit
//! does not wait for the disk.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::error::{REBUILD, SqlResult};
use crate::error::{Error, ErrorKind, Result};

/// Marks our files (in the header, written before the file gets its name): "nvr" and 1.
pub(super) const APPLICATION_ID: i32 = 0x6e76_7201;

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

/// Schema versions in order; the version of a file is the number of those applied to it.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
    include_str!("migrations/0009.sql"),
    include_str!("migrations/0010.sql"),
    include_str!("migrations/0011.sql"),
    include_str!("migrations/0012.sql"),
    include_str!("migrations/0013.sql"),
];

/// What the header of a file says.
#[derive(PartialEq, Eq, Debug)]
enum Found {
    Nothing,
    Empty,
    Ours,
}

/// Looks at the header without a lock and without a trace, so that somebody else's file stays untouched.
///
/// Through SQLite, for a plain `open` and `close` of the file would drop the POSIX locks of every other
/// connection in this process, and another process could then delete the write-ahead log below them.
fn examine(path: &Path) -> Result<Found> {
    match std::fs::metadata(path) {
        Ok(m) if m.is_dir() => {
            let message = format!("index {}: this is a folder", path.display());
            return Err(Error::new(ErrorKind::InvalidArgument, message).with_hint("name a file in it"));
        }
        Ok(m) if m.len() == 0 => return Ok(Found::Empty),
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(e) => return Err(Error::io(format_args!("index {}", path.display()), e)),
    }
    let id = |conn: Connection| {
        conn.query_row("PRAGMA application_id", [], |r| r.get::<_, i32>(0))
            .sql()
    };
    let unlocked = connect_immutable(path).and_then(id);
    // Where another is moving its write-ahead log into the file, the header may tell of pages that are to come: that is no
    // moment to look without a lock. Without a log it is over by now.
    let id = match unlocked {
        Err(e) if e.kind() == ErrorKind::Corrupt => if has_wal(path) {
            connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        } else {
            connect_immutable(path)
        }
        .and_then(id),
        looked => looked,
    };
    match id {
        Ok(APPLICATION_ID) => Ok(Found::Ours),
        Ok(_) => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "{} is the database of another program; it was left as it is",
                path.display()
            ),
        )
        .with_hint("choose another path for the index")),
        Err(e) if e.kind() == ErrorKind::Corrupt => Err(Error::new(
            ErrorKind::Corrupt,
            format!("{} is not a database; it was left as it is", path.display()),
        )
        .with_hint(format!("if it was the index, move it away and {REBUILD}"))
        .with_source(e)),
        Err(e) => Err(e.context(path.display())),
    }
}

/// Opens for writing; makes or upgrades the file if need be.
pub(super) fn read_write(path: &Path, migrations: &[&str]) -> Result<Connection> {
    super::filesystem::check(path)?;
    match examine(path)? {
        Found::Ours => {}
        Found::Nothing => create(path, migrations, false)?,
        Found::Empty => create(path, migrations, true)?,
    }
    let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    upgrade(&mut conn, migrations).map_err(|e| e.context(path.display()))?;
    let mode: String = conn
        .query_row("PRAGMA journal_mode=WAL", [], |r| r.get(0))
        .sql()?;
    if mode != "wal" {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "index {}: WAL mode is not possible here (it stays in mode {mode})",
                path.display()
            ),
        )
        .with_hint("put the index on a local disk"));
    }
    conn.execute_batch(
        "PRAGMA synchronous=NORMAL;
         PRAGMA foreign_keys=ON;
         PRAGMA journal_size_limit=67108864;
         PRAGMA cache_size=-16384;",
    )
    .sql()?;
    Ok(conn)
}

/// Opens the file again after a fault; never makes a new one in the place of a vanished one.
pub(super) fn reopen(path: &Path, migrations: &[&str]) -> Result<Connection> {
    match examine(path)? {
        Found::Ours => read_write(path, migrations),
        Found::Nothing | Found::Empty => Err(Error::new(
            ErrorKind::Storage,
            format!("index {}: the file is gone", path.display()),
        )
        .with_hint("put it back, or restart to begin a new one")),
    }
}

/// Opens for reading only, whether or not a recorder writes.
pub(super) fn read_only(path: &Path, migrations: &[&str]) -> Result<Connection> {
    super::filesystem::check(path)?;
    if examine(path)? != Found::Ours {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no index at {}", path.display()),
        )
        .with_hint("start the recorder once, or make the index from the files by `nvr check --rebuild`"));
    }
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let conn = match version(&conn) {
        Ok(_) => conn,
        // WAL needs its `-shm` file even for reading. Where it cannot be made (read-only mount, folder of
        // another user) and no `-wal` is there, nobody writes and the file alone is the whole database.
        Err(e) if e.kind() == ErrorKind::Storage && !has_wal(path) => connect_immutable(path)?,
        Err(e) => return Err(e.context(path.display())),
    };
    let (found, known) = (version(&conn)?, migrations.len());
    if found > known {
        return Err(newer(found, known).context(path.display()));
    }
    if found < known {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "{}: the index has version {found}, this program reads version {known}",
                path.display()
            ),
        )
        .with_hint("start the recorder once with this version: it upgrades the index"));
    }
    conn.execute_batch("PRAGMA query_only=ON; PRAGMA cache_size=-8192;")
        .sql()?;
    Ok(conn)
}

fn has_wal(path: &Path) -> bool {
    let mut wal: OsString = path.as_os_str().to_owned();
    wal.push("-wal");
    std::fs::metadata(wal).is_ok_and(|m| m.len() > 0)
}

pub(super) fn connect_immutable(path: &Path) -> Result<Connection> {
    let full = std::path::absolute(path).map_err(|e| Error::io(path.display(), e))?;
    let text = full.to_str().ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("index path {} is not UTF-8", path.display()),
        )
    })?;
    let uri = format!(
        "file:{}?immutable=1",
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
    );
    connect(
        Path::new(&uri),
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
    )
}

pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    // EXRESCODE, so that `open` itself tells a full disk from a missing file.
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let conn = Connection::open_with_flags(path, flags)
        .sql()
        .map_err(|e| e.context(path.display()))?;
    conn.busy_timeout(BUSY).sql()?;
    conn.set_prepared_statement_cache_capacity(64);
    // The file may come from elsewhere: its schema must not run code nor its pages be trusted.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)
        .sql()?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)
        .sql()?;
    // Plans do not depend on the values: else SQLite prepares statements anew whenever one is bound that a
    // partial index might go with, which took a fifth of the time of a timeline.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .sql()?;
    conn.execute_batch("PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY;")
        .sql()?;
    Ok(conn)
}

/// Makes the file under another name and moves it into place, so that there never is a half-made one.
fn create(path: &Path, migrations: &[&str], replace: bool) -> Result<()> {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(format!(".new-{:016x}", rand::random::<u64>()));
    let new = PathBuf::from(name);
    let made = fill(&new, migrations).and_then(|()| {
        let moved = if replace {
            std::fs::rename(&new, path)
        } else {
            // Fails if another process was faster; its file is as good.
            match std::fs::hard_link(&new, path) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                // File systems without hard links.
                Err(_) => std::fs::rename(&new, path),
                Ok(()) => Ok(()),
            }
        };
        moved.map_err(|e| Error::io(format_args!("index {}", path.display()), e))
    });
    let _ = std::fs::remove_file(&new);
    made?;
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty())
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
    Ok(())
}

fn fill(new: &Path, migrations: &[&str]) -> Result<()> {
    let mut conn = connect(
        new,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )?;
    // In the rollback journal of a new file, so that the header holds it whatever becomes of a WAL.
    conn.pragma_update(None, "application_id", APPLICATION_ID).sql()?;
    upgrade(&mut conn, migrations)?;
    conn.close().map_err(|(_, e)| e).sql()
}

fn version(conn: &Connection) -> Result<usize> {
    let n: i64 = conn.query_row("PRAGMA user_version", [], |r| r.get(0)).sql()?;
    usize::try_from(n).map_err(|_| {
        Error::new(ErrorKind::Corrupt, format!("the index has the version {n}")).with_hint(REBUILD)
    })
}

fn newer(found: usize, known: usize) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("the index has version {found}, this program knows up to {known}"),
    )
    .with_hint(
        "use the newer program that made it, or begin a new index at another path by `nvr check --rebuild`",
    )
}

/// Applies what is missing, each step in a transaction of its own. Foreign keys are off meanwhile (a
/// step may build a table anew) and checked at the end of each step.
fn upgrade(conn: &mut Connection, migrations: &[&str]) -> Result<()> {
    let found = version(conn)?;
    if found > migrations.len() {
        return Err(newer(found, migrations.len()));
    }
    if found == migrations.len() {
        return Ok(());
    }
    conn.execute_batch("PRAGMA foreign_keys=OFF").sql()?;
    for target in found + 1..=migrations.len() {
        let tx = conn
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .sql()?;
        // Another process may have done this step while we waited.
        if version(&tx)? >= target {
            continue;
        }
        tx.execute_batch(migrations[target - 1])
            .sql()
            .map_err(|e| e.context(format_args!("upgrade to version {target}")))?;
        if tx.prepare("PRAGMA foreign_key_check").sql()?.exists([]).sql()? {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("upgrade to version {target}: rows refer to rows that are not there"),
            )
            .with_hint(REBUILD));
        }
        tx.pragma_update(None, "user_version", i64::try_from(target).unwrap_or(i64::MAX))
            .sql()?;
        tx.commit().sql()?;
        if found > 0 {
            tracing::info!(version = target, "index upgraded");
        }
    }
    if found == 0 {
        tracing::info!(version = migrations.len(), "new index");
    }
    Ok(())
}
