//! The only room that reads the machine's clocks; everything else is handed a [`Clock`].
#![expect(clippy::disallowed_methods, reason = "this is the room the ban protects")]

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Timestamp, duration_ns};

/// Wall time, steady time and sleeping.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock; it may step in either direction.
    fn now(&self) -> Timestamp;
    /// Nanoseconds since some fixed instant; never steps.
    fn steady_ns(&self) -> i64;
    /// Completes after `d` of steady time.
    fn sleep(&self, d: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// Completes when steady time is a multiple of `every` the next time. Whoever looks again and again waits like this:
    /// then all of them are woken together, and the machine sleeps in between.
    fn tick(&self, every: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let every_ns = duration_ns(every).max(1);
        let left_ns = every_ns - self.steady_ns().rem_euclid(every_ns);
        self.sleep(Duration::from_nanos(left_ns.unsigned_abs()))
    }
}

/// A clock that many hold.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clocks, with an offset to the wall clock that tests may turn.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
    offset_ns: AtomicI64,
}

impl SystemClock {
    /// A clock that shows the machine's time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            offset_ns: AtomicI64::new(0),
        }
    }

    /// The same, ready to be handed out.
    #[must_use]
    pub fn shared() -> SharedClock {
        Arc::new(Self::new())
    }

    /// Moves the wall clock by signed nanoseconds, as an operator or NTP would.
    pub fn step(&self, ns: i64) {
        self.offset_ns.fetch_add(ns, Ordering::SeqCst);
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let ns = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(d) => i64::try_from(d.as_nanos()).unwrap_or(i64::MAX),
            Err(e) => i64::try_from(e.duration().as_nanos()).map_or(i64::MIN, |n| -n),
        };
        Timestamp::from_ns(ns).add_ns(self.offset_ns.load(Ordering::SeqCst))
    }

    fn steady_ns(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    fn sleep(&self, d: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(d))
    }
}
