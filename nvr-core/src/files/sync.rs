//! When recorded bytes are forced to the disk.
//!
//! Syncing at an interval is done by one thread per tree, never by the streaming threads: a disk that takes
//! its time must not hold up the cameras.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::dirs::Folders;
use crate::error::{Error, ErrorKind, Result};

/// When a growing segment is synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SyncPolicy {
    /// Only when it is finished. A power cut costs what the kernel had not written by itself (on common
    /// settings up to 30 s); a crash of the recorder costs no more than with the other policy.
    #[default]
    Close,
    /// Also at this interval, in the background.
    Every(Duration),
}

/// A file that the thread syncs while it grows.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) file: File,
    dirty: AtomicBool,
    /// Those whose entries are not safe yet.
    folders: Mutex<Folders>,
    failure: Mutex<Option<io::Error>>,
}

impl Target {
    pub(super) fn new(file: File, folders: Folders) -> Arc<Self> {
        Arc::new(Self {
            file,
            dirty: AtomicBool::new(false),
            folders: Mutex::new(folders),
            failure: Mutex::new(None),
        })
    }

    pub(super) fn written(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// The failure of a background sync, once: what was written before it may be lost, and the kernel
    /// tells so only once.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        lock(&self.failure).take()
    }

    /// Syncs data and, the first time, the names that lead to it.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.dirty.store(false, Ordering::Release);
        self.file.sync_data()?;
        let mut folders = lock(&self.folders);
        for folder in &*folders {
            rustix::fs::fsync(folder)?;
        }
        folders.clear();
        Ok(())
    }

    fn sync_in_background(&self) {
        if !self.dirty.load(Ordering::Acquire) {
            return;
        }
        if let Err(e) = self.sync() {
            *lock(&self.failure) = Some(e);
        }
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread of a tree. Ends when dropped; a sync that hangs in a dead disk is not waited for.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    targets: Vec<Weak<Target>>,
    stop: bool,
    busy: bool,
}

impl Syncer {
    pub(super) fn start(every: Duration) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("nvr-sync".to_owned())
            .spawn(move || run(&theirs, every.max(Duration::from_millis(10))))
            .map_err(|e| Error::new(ErrorKind::Internal, "cannot start the sync thread").with_source(e))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(super) fn add(&self, target: &Arc<Target>) {
        lock(&self.shared.state).targets.push(Arc::downgrade(target));
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        let busy = {
            let mut state = lock(&self.shared.state);
            state.stop = true;
            state.busy
        };
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take().filter(|_| !busy) {
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, every: Duration) {
    let mut state = lock(&shared.state);
    loop {
        // A spurious wake-up only syncs early.
        state = match shared.changed.wait_timeout_while(state, every, |s| !s.stop) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        };
        if state.stop {
            return;
        }
        state.targets.retain(|t| t.strong_count() > 0);
        let targets: Vec<Arc<Target>> = state.targets.iter().filter_map(Weak::upgrade).collect();
        state.busy = true;
        drop(state);
        for target in targets {
            target.sync_in_background();
        }
        state = lock(&shared.state);
        state.busy = false;
    }
}
