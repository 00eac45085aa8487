//! How many stretches are encoded at once, and the threads that do it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::priority::Priority;

#[derive(Clone, Debug)]
pub(super) struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// How many run, and how many may.
    count: Mutex<(usize, usize)>,
    freed: Notify,
    clock: SharedClock,
}

impl Shared {
    fn count(&self) -> MutexGuard<'_, (usize, usize)> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to encode one stretch; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<Shared>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.count().0 -= 1;
        self.0.freed.notify_one();
    }
}

/// Ends its work when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// What the work looks at.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Slots {
    pub(super) fn new(most: usize, clock: SharedClock) -> Self {
        Self(Arc::new(Shared {
            count: Mutex::new((0, most)),
            freed: Notify::new(),
            clock,
        }))
    }

    pub(super) fn set_most(&self, most: usize) {
        self.0.count().1 = most;
        self.0.freed.notify_waiters();
    }

    pub(super) fn running(&self) -> usize {
        self.0.count().0
    }

    fn try_take(&self) -> Result<Option<Slot>> {
        let mut count = self.0.count();
        if count.1 == 0 {
            return Err(
                Error::new(ErrorKind::Unsupported, "footage is not encoded as H.264 here")
                    .with_hint("`transcode.playback_max_running` is 0"),
            );
        }
        if count.0 >= count.1 {
            return Ok(None);
        }
        count.0 += 1;
        Ok(Some(Slot(Arc::clone(&self.0))))
    }

    /// Waits for a turn, for so long at most.
    pub(super) async fn take(&self, patience: Duration) -> Result<Slot> {
        let too_long = self.0.clock.sleep(patience);
        tokio::pin!(too_long);
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            // From here on no notice is missed.
            freed.as_mut().enable();
            if let Some(slot) = self.try_take()? {
                // There may be room for more than one of those who wait.
                self.0.freed.notify_one();
                return Ok(slot);
            }
            tokio::select! {
                () = freed => {}
                () = &mut too_long => {
                    let most = self.0.count().1;
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!("footage is encoded for {most} others now"),
                    )
                    .with_hint("try again in a moment; `transcode.playback_max_running` says how many at once"));
                }
            }
        }
    }
}

/// Starts work on a thread of its own that gives way to everybody else; the slot is given back when it has really ended.
pub(super) fn start(slot: Slot, priority: Priority, work: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new()
        .name("nvr-playback".into())
        .spawn(move || {
            let _slot = slot;
            priority.lower_this_thread();
            work();
        })
        .map(drop)
        .map_err(|e| Error::new(ErrorKind::Unavailable, "no thread to encode footage on").with_source(e))
}

/// The same with a result. Dropping the future ends the work.
pub(super) async fn run<T: Send + 'static>(
    slot: Slot,
    priority: Priority,
    work: impl FnOnce(&AtomicBool) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (tell, told) = oneshot::channel();
    let stop = Stop::default();
    let flag = stop.flag();
    start(slot, priority, move || {
        let _ = tell.send(work(&flag));
    })?;
    let result = told.await;
    drop(stop);
    result.map_err(|e| Error::new(ErrorKind::Internal, "encoding footage failed").with_source(e))?
}
