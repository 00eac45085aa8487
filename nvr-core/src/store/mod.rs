//! The index: SQLite behind types of this crate. The only room with rusqlite.
//!
//! The files in the recordings tree are the truth and this is the index to them: it can be thrown away
//! and made again. One thread (`nvr-store`) owns the only read-write connection; writes are queued to it,
//! committed in batches and answered after the commit. Reads run on a small pool of read-only
//! connections in the caller's thread: in async code wrap them in `spawn_blocking`.
//!
//! Every write exists twice: `async` under its plain name, and with the suffix `_blocking` for tools and
//! threads outside a runtime (it panics when called from async code). A write whose future is dropped may
//! still happen. What does not belong here: touching recordings, policy, anything about pipelines.

pub(crate) mod accounts;
mod alerts;
pub(crate) mod backup;
mod bookings;
mod cameras;
mod daily;
mod detections;
mod error;
mod events;
mod filesystem;
mod gaps;
mod job_queries;
mod job_rows;
mod jobs;
mod meta;
mod motion;
mod moves;
mod open;
mod query;
mod readers;
mod retention;
mod rows;
mod runs;
mod segments;
#[cfg(test)]
mod tests;
mod totals;
mod transcodes;
mod upload_rows;
mod uploads;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, ErrorKind, Result};

pub use alerts::{AlertRecord, AlertsQuery, OutboxRow};
pub use bookings::{BookingRow, BookingRunRow, CalendarRow};
pub use daily::DailyKey;
pub use detections::{DetectionQuery, Ended};
pub use job_rows::{Candidate, JobCount, JobQuery, JobRow, NewJob, PRIORITIES, PRIORITY_POINT, rank};
pub use jobs::{Added, JobBounds, Settled};
pub use query::SegmentsByPath;
pub use rows::{
    CameraRow, CameraTotals, CondemnedRow, Cursor, DeletableRow, Deletables, EventQuery, EventRow, GapRow,
    MAX_PAGE, Marks, Nearest, Order, Page, RunRow, SegmentQuery, SegmentRow, SegmentState, StockRow,
    TierTotals, TimelineRows,
};
pub use transcodes::{MasksWanted, TranscodeQuery, TranscodeRecord, TranscodeTotals};

pub use upload_rows::{
    InboxRow, NewUpload, QueuedUpload, UploadCount, UploadQuery, UploadRow, UploadState, UploadedCopy,
};

/// How to open the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// Makes the file if there is none, upgrades an older one, starts the writer thread.
    ReadWrite,
    /// Only reads, also while another process records. Writes fail with `Conflict`.
    ReadOnly,
}

/// The index. Cloning is cheap; all clones share one writer thread and one pool of readers.
///
/// When the last clone is dropped, the writer commits what is queued and ends by itself;
/// [`shutdown`](Self::shutdown) waits for that.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    path: PathBuf,
    readers: readers::Readers,
    /// `None` when opened for reading only.
    writer: Option<mpsc::Sender<writer::Command>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.0.path)
            .field("writable", &self.0.writer.is_some())
            .finish_non_exhaustive()
    }
}

/// Makes the two variants of a write from one closure that runs in the writer's transaction.
macro_rules! writes {
    ($($(#[$doc:meta])* $name:ident, $blocking:ident ($($arg:ident: $ty:ty),*) -> $out:ty { $op:expr })*) => {
        impl crate::store::Store {
            $(
                $(#[$doc])*
                pub async fn $name(&self, $($arg: $ty),*) -> crate::error::Result<$out> {
                    let op = $op;
                    self.write(op).await
                }

                $(#[$doc])*
                ///
                /// Waits in place; panics when called from async code.
                pub fn $blocking(&self, $($arg: $ty),*) -> crate::error::Result<$out> {
                    let op = $op;
                    self.write_blocking(op)
                }
            )*
        }
    };
}
use writes;

impl Store {
    /// Opens the index at `path`; its folder must exist.
    ///
    /// # Errors
    /// `Unsupported` on a network file system or for a file of a newer version, `Conflict` for the
    /// database of another program (left untouched) or, when only reading, for an older version,
    /// `Corrupt` for a broken file, `NotFound` when only reading and there is none, `Storage` when the
    /// file cannot be opened or made.
    pub fn open(path: impl AsRef<Path>, mode: OpenMode) -> Result<Self> {
        Self::open_with(path.as_ref(), mode, open::MIGRATIONS)
    }

    fn open_with(path: &Path, mode: OpenMode, migrations: &'static [&'static str]) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|e| Error::io(path.display(), e))?;
        let writer = match mode {
            OpenMode::ReadWrite => {
                let conn = open::read_write(&path, migrations)?;
                Some(writer::start(path.clone(), migrations, conn)?)
            }
            OpenMode::ReadOnly => None,
        };
        let readers = readers::Readers::new(&path, migrations);
        // The first reader shows at once whether reading works.
        readers.read(|_| Ok(()))?;
        Ok(Self(Arc::new(Inner {
            path,
            readers,
            writer,
        })))
    }

    /// Path of the database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether writes are possible.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.0.writer.is_some()
    }

    fn writer(&self) -> Result<&mpsc::Sender<writer::Command>> {
        self.0.writer.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Conflict, "the index is opened for reading only")
                .with_hint("open it with OpenMode::ReadWrite")
        })
    }

    async fn write<T, F>(&self, f: F) -> Result<T>
    where
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (command, answer) = writer::operation(f);
        self.writer()?.send(command).await.map_err(|_| writer::closed())?;
        answer.await.unwrap_or_else(|_| Err(writer::closed()))
    }

    fn write_blocking<T, F>(&self, f: F) -> Result<T>
    where
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (command, answer) = writer::operation(f);
        self.writer()?
            .blocking_send(command)
            .map_err(|_| writer::closed())?;
        answer.blocking_recv().unwrap_or_else(|_| Err(writer::closed()))
    }

    fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.0.readers.read(f)
    }

    /// Commits what is queued, folds the write-ahead log into the file and ends the writer. Later writes
    /// fail with `Unavailable`; reads still work. Does nothing when opened for reading only.
    ///
    /// # Errors
    /// `Storage` when the file could not be closed cleanly (what was committed is safe), `Unavailable`
    /// when it was shut down before.
    pub async fn shutdown(&self) -> Result<()> {
        let Some((command, answer)) = self.stop() else {
            return Ok(());
        };
        self.writer()?.send(command).await.map_err(|_| writer::closed())?;
        answer.await.unwrap_or_else(|_| Err(writer::closed()))
    }

    /// As [`shutdown`](Self::shutdown), waiting in place; panics when called from async code.
    ///
    /// # Errors
    /// As [`shutdown`](Self::shutdown).
    pub fn shutdown_blocking(&self) -> Result<()> {
        let Some((command, answer)) = self.stop() else {
            return Ok(());
        };
        self.writer()?
            .blocking_send(command)
            .map_err(|_| writer::closed())?;
        answer.blocking_recv().unwrap_or_else(|_| Err(writer::closed()))
    }

    fn stop(&self) -> Option<(writer::Command, oneshot::Receiver<Result<()>>)> {
        self.0.writer.as_ref()?;
        // So that the writer is the last to close: that connection may remove the write-ahead log.
        self.0.readers.close_idle();
        let (reply, answer) = oneshot::channel();
        Some((writer::Command::Stop(reply), answer))
    }
}
