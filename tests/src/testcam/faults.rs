//! What the holder of a camera tells its pipelines to do wrong, shared with their streaming threads.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Orders and counters of one camera. Lives as long as the camera, across deaths.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Nothing is sent, neither RTP nor RTCP.
    pub frozen: AtomicBool,
    /// Nothing of the audio is sent.
    pub audio_stalled: AtomicBool,
    /// Encoded video frames yet to be lost.
    pub lose_frames: AtomicU32,
    /// Added to all RTP timestamps, nanoseconds.
    pub shift_ns: AtomicI64,
    /// Video frames yet to be sent with the timestamp of the one before.
    pub repeat: AtomicU32,
    /// Video frames yet to be sent with a timestamp `backward_ns` too low.
    pub backward: AtomicU32,
    pub backward_ns: AtomicI64,

    /// Yet to be added to the picture order counts up to the next keyframe.
    pub poc_shift: AtomicI32,

    /// Raw video frames given a number.
    pub drawn: AtomicU64,
    /// Video frames handed to the payloader.
    pub frames: AtomicU64,
    pub describes: AtomicU64,
    pub connections: AtomicU64,

    gate: Mutex<Gate>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Gate {
    hung: bool,
    stopping: bool,
}

impl Faults {
    /// Takes one from a count of things yet to do; false at zero.
    pub fn take(count: &AtomicU32) -> bool {
        count
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            .is_ok()
    }

    pub fn set_hung(&self, hung: bool) {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).hung = hung;
        self.changed.notify_all();
    }

    /// Lets every waiting request go; `false` makes waiting possible again.
    pub fn set_stopping(&self, stopping: bool) {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).stopping = stopping;
        self.changed.notify_all();
    }

    /// Blocks the thread of the connection while the camera hangs.
    pub fn wait_while_hung(&self) {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(gate, |g| g.hung && !g.stopping));
    }

    /// Blocks for `delay`, less when the camera is stopped.
    pub fn think(&self, delay: Duration) {
        if !delay.is_zero() {
            let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.changed.wait_timeout_while(gate, delay, |g| !g.stopping));
        }
    }
}
