//! A small pool of read-only connections.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::error::SqlResult;
use super::open;
use crate::error::Result;

/// Most connections; more readers wait. WAL lets them all read while the writer writes.
const POOL: usize = 4;

pub(super) struct Readers {
    path: PathBuf,
    migrations: &'static [&'static str],
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    in_use: usize,
}

impl Readers {
    pub(super) fn new(path: &Path, migrations: &'static [&'static str]) -> Self {
        Self {
            path: path.to_owned(),
            migrations,
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f` on one snapshot of the database: all its statements see the same moment.
    pub(super) fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut lease = self.lease();
        let conn = match lease.conn.take() {
            Some(conn) => conn,
            None => open::read_only(&self.path, self.migrations)?,
        };
        let result = match conn.unchecked_transaction().sql() {
            Ok(snapshot) => f(&snapshot),
            Err(e) => Err(e),
        };
        // A connection that failed is not kept: the file may have been replaced.
        lease.conn = result.is_ok().then_some(conn);
        result
    }

    fn lease(&self) -> Lease<'_> {
        let mut state = self
            .returned
            .wait_while(self.state(), |s| s.in_use >= POOL)
            .unwrap_or_else(PoisonError::into_inner);
        state.in_use += 1;
        let conn = state.idle.pop();
        Lease { pool: self, conn }
    }

    /// Closes the connections that nobody uses; they are opened again on demand.
    pub(super) fn close_idle(&self) {
        let idle = std::mem::take(&mut self.state().idle);
        drop(idle);
    }
}

/// A place in the pool; given back even if the reader panics.
struct Lease<'a> {
    pool: &'a Readers,
    conn: Option<Connection>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.in_use -= 1;
        state.idle.extend(self.conn.take());
        drop(state);
        self.pool.returned.notify_one();
    }
}
