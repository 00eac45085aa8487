//! The thread that owns the only read-write connection.
//!
//! It takes operations from a bounded channel, runs as many as wait (up to a bound) in one transaction,
//! each inside a savepoint of its own, and answers after the commit. An operation that fails is undone
//! alone; if the transaction fails, every operation of the batch is told so and the thread goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::error::{BatchFailure, SqlResult};
use super::open;
use crate::error::{Error, ErrorKind, Result};

/// Operations that may wait; senders are held back beyond it.
const QUEUE: usize = 1024;
/// Most operations in a transaction.
const BATCH: usize = 256;

pub(super) enum Command {
    Run(Box<dyn Operation>),
    Stop(oneshot::Sender<Result<()>>),
}

/// A queued operation without its types.
pub(super) trait Operation: Send {
    /// Runs it; the failure is kept for the answer and returned for the batch.
    fn run(&mut self, conn: &Connection) -> std::result::Result<(), BatchFailure>;
    /// Answers, once it is known whether the batch was committed.
    fn answer(self: Box<Self>, batch: std::result::Result<(), &BatchFailure>);
}

struct Typed<F, T> {
    f: Option<F>,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<F, T> Operation for Typed<F, T>
where
    F: FnOnce(&Connection) -> Result<T> + Send,
    T: Send,
{
    fn run(&mut self, conn: &Connection) -> std::result::Result<(), BatchFailure> {
        let Some(f) = self.f.take() else { return Ok(()) };
        let result = catch_unwind(AssertUnwindSafe(|| f(conn))).unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Internal,
                "index: an operation panicked; it was undone",
            ))
        });
        let outcome = result.as_ref().map(|_| ()).map_err(BatchFailure::of);
        self.result = Some(result);
        outcome
    }

    fn answer(self: Box<Self>, batch: std::result::Result<(), &BatchFailure>) {
        let result = match (self.result, batch) {
            (Some(Err(own)), _) => Err(own),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(failure)) => Err(failure.to_error()),
            (None, Ok(())) => Err(closed()),
        };
        // Nobody waits if the caller's future was dropped; the operation stands all the same.
        let _ = self.reply.send(result);
    }
}

/// An operation and where its answer will come.
pub(super) fn operation<F, T>(f: F) -> (Command, oneshot::Receiver<Result<T>>)
where
    F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let typed = Typed {
        f: Some(f),
        result: None,
        reply,
    };
    (Command::Run(Box::new(typed)), answer)
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the index is closed")
}

/// Starts the thread.
pub(super) fn start(
    path: PathBuf,
    migrations: &'static [&'static str],
    conn: Connection,
) -> Result<mpsc::Sender<Command>> {
    let (queue, waiting) = mpsc::channel(QUEUE);
    let writer = Writer {
        path,
        migrations,
        conn: Some(conn),
    };
    std::thread::Builder::new()
        .name("nvr-store".to_owned())
        .spawn(move || writer.serve(waiting))
        .map_err(|e| Error::new(ErrorKind::Internal, "cannot start the index thread").with_source(e))?;
    Ok(queue)
}

struct Writer {
    path: PathBuf,
    migrations: &'static [&'static str],
    /// `None` after a fault: opened again for the next batch.
    conn: Option<Connection>,
}

impl Writer {
    fn serve(mut self, mut waiting: mpsc::Receiver<Command>) {
        let mut batch: Vec<Box<dyn Operation>> = Vec::with_capacity(BATCH);
        while let Some(first) = waiting.blocking_recv() {
            let mut stop = None;
            let mut next = Some(first);
            while let Some(command) = next {
                match command {
                    Command::Run(op) => batch.push(op),
                    Command::Stop(reply) => stop = Some(reply),
                }
                next = (stop.is_none() && batch.len() < BATCH)
                    .then(|| waiting.try_recv().ok())
                    .flatten();
            }
            self.run_batch(&mut batch);
            if let Some(reply) = stop {
                waiting.close();
                let _ = reply.send(self.close());
                return;
            }
        }
        // All handles are gone; what they queued is committed.
        if let Err(e) = self.close() {
            tracing::warn!(error = %e, "index was not closed cleanly");
        }
    }

    fn run_batch(&mut self, batch: &mut Vec<Box<dyn Operation>>) {
        if batch.is_empty() {
            return;
        }
        let outcome = self.transaction(batch);
        if let Err(failure) = &outcome {
            tracing::warn!(operations = batch.len(), %failure, "index: a batch was not written");
            if failure.is_connection_lost() {
                self.conn = None;
            }
        }
        for op in batch.drain(..) {
            op.answer(outcome.as_ref().copied());
        }
    }

    fn transaction(&mut self, batch: &mut [Box<dyn Operation>]) -> std::result::Result<(), BatchFailure> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            none => none.insert(open::reopen(&self.path, self.migrations).map_err(|e| BatchFailure::of(&e))?),
        };
        let exec = |sql| conn.execute_batch(sql).sql().map_err(|e| BatchFailure::of(&e));
        let outcome = (|| {
            exec("BEGIN IMMEDIATE")?;
            for op in batch.iter_mut() {
                exec("SAVEPOINT operation")?;
                let Err(failure) = op.run(conn) else {
                    exec("RELEASE operation")?;
                    continue;
                };
                // SQLite itself gives up the whole transaction on some faults (disk full, I/O).
                if conn.is_autocommit() || failure.is_connection_lost() {
                    return Err(failure);
                }
                exec("ROLLBACK TO operation; RELEASE operation")?;
            }
            exec("COMMIT")
        })();
        if outcome.is_err() && !conn.is_autocommit() {
            let _ = conn.execute_batch("ROLLBACK");
        }
        outcome
    }

    /// Moves the WAL into the file and closes.
    fn close(self) -> Result<()> {
        let Some(conn) = self.conn else { return Ok(()) };
        // Best effort: a reader may hold the WAL, which is then read at the next opening.
        let _ = conn.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE);");
        conn.close().map_err(|(_, e)| e).sql()
    }
}
