//! Hours that pass at once.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use nvr_core::Timestamp;
use nvr_core::clock::{Clock, SystemClock};
use nvr_core::time::duration_ns;
use tokio::sync::watch;

/// The machine's time, which leaps ahead when it is told to: wall clock and steady clock together, as after a nap of
/// everybody who sleeps on it. Between leaps it passes as ever, so pipelines live with it as long as nothing leaps while
/// they have frames.
#[derive(Debug)]
pub struct LeapClock {
    real: SystemClock,
    leapt_ns: watch::Sender<i64>,
}

impl LeapClock {
    /// A clock that did not leap yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            real: SystemClock::new(),
            leapt_ns: watch::Sender::new(0),
        }
    }

    /// So much time passes now.
    pub fn leap(&self, d: Duration) {
        self.leapt_ns
            .send_modify(|ns| *ns = ns.saturating_add(duration_ns(d)));
    }
}

impl Default for LeapClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for LeapClock {
    fn now(&self) -> Timestamp {
        self.real.now().add_ns(*self.leapt_ns.borrow())
    }

    fn steady_ns(&self) -> i64 {
        self.real.steady_ns().saturating_add(*self.leapt_ns.borrow())
    }

    fn sleep(&self, d: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut leaps = self.leapt_ns.subscribe();
        let end = self.steady_ns().saturating_add(duration_ns(d));
        Box::pin(async move {
            loop {
                leaps.mark_unchanged();
                let left = u64::try_from(end.saturating_sub(self.steady_ns())).unwrap_or(0);
                if left == 0 {
                    return;
                }
                tokio::select! {
                    () = self.real.sleep(Duration::from_nanos(left)) => {}
                    // An error would mean that the clock is gone, but this future holds it.
                    _ = leaps.changed() => {}
                }
            }
        })
    }
}
