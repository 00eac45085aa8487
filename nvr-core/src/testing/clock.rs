//! A clock that a test turns.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::time::{Timestamp, duration_ns};

/// A clock that stands still until [`advance`](Self::advance) or [`step`](Self::step) moves it.
///
/// Clones show the same time. A sleep completes once the steady clock has been advanced past its end, whoever
/// awaits it and on whichever runtime; nothing here depends on tokio's own clock.
///
/// It is made for policy: whatever takes a [`SharedClock`](crate::clock::SharedClock). Pipelines run in real
/// time, so a whole recorder on a clock that stands still takes every frame for a step of the wall clock.
///
/// ```
/// use std::time::Duration;
/// use nvr_core::clock::Clock;
/// use nvr_core::testing::ManualClock;
/// use nvr_core::Timestamp;
///
/// let clock = ManualClock::new(Timestamp::from_secs(1_000));
/// clock.advance(Duration::from_secs(5));
/// clock.step(-3_000_000_000); // the operator sets the wall clock back
/// assert_eq!(clock.now(), Timestamp::from_secs(1_002));
/// assert_eq!(clock.steady_ns(), 5_000_000_000);
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    wall: Mutex<Timestamp>,
    /// Steady nanoseconds; sleepers watch it.
    steady: watch::Sender<i64>,
}

impl ManualClock {
    /// A clock whose wall clock shows `now` and whose steady clock shows zero.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(Inner {
            wall: Mutex::new(now),
            steady: watch::Sender::new(0),
        }))
    }

    /// Lets time pass on both clocks, and completes the sleeps that end by then.
    pub fn advance(&self, d: Duration) {
        let ns = duration_ns(d);
        let mut wall = self.wall();
        *wall = wall.add_ns(ns);
        self.0.steady.send_modify(|t| *t = t.saturating_add(ns));
    }

    /// Moves the wall clock alone, by signed nanoseconds, as an operator or NTP would.
    pub fn step(&self, ns: i64) {
        let mut wall = self.wall();
        *wall = wall.add_ns(ns);
    }

    /// How many sleeps have begun and not ended: a test waits for this before it advances.
    #[must_use]
    pub fn sleeping(&self) -> usize {
        self.0.steady.receiver_count()
    }

    fn wall(&self) -> MutexGuard<'_, Timestamp> {
        self.0.wall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.wall()
    }

    fn steady_ns(&self) -> i64 {
        *self.0.steady.borrow()
    }

    fn sleep(&self, d: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        // Counted and timed from here on, not from the first poll.
        let mut steady = self.0.steady.subscribe();
        let end = self.steady_ns().saturating_add(duration_ns(d));
        Box::pin(async move {
            // An error would mean that the clock is gone, but this future holds it.
            let _ = steady.wait_for(|&now| now >= end).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SharedClock;

    #[tokio::test]
    async fn sleeps_end_in_their_turn() {
        let clock = ManualClock::new(Timestamp::from_secs(0));
        let shared: SharedClock = Arc::new(clock.clone());
        let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
        for s in [30, 10, 20] {
            let (clock, tx) = (shared.clone(), tx.clone());
            tokio::spawn(async move {
                clock.sleep(Duration::from_secs(s)).await;
                let _ = tx.send(s);
            });
        }
        while clock.sleeping() < 3 {
            tokio::task::yield_now().await;
        }
        for s in [10, 20, 30] {
            clock.advance(Duration::from_secs(10));
            assert_eq!(rx.recv().await, Some(s));
            assert!(rx.try_recv().is_err(), "nobody else is awake after {s} s");
        }
        assert_eq!(clock.sleeping(), 0);
        clock.sleep(Duration::ZERO).await;
    }

    #[tokio::test]
    async fn ticks_of_several_fall_together() {
        let clock = ManualClock::new(Timestamp::from_secs(0));
        clock.advance(Duration::from_millis(700));
        let often = clock.tick(Duration::from_millis(500));
        let seldom = clock.tick(Duration::from_secs(1));
        clock.advance(Duration::from_millis(299));
        let mut both = Box::pin(async { tokio::join!(often, seldom) });
        tokio::select! {
            biased;
            _ = &mut both => panic!("too early"),
            () = std::future::ready(()) => {}
        }
        clock.advance(Duration::from_millis(1));
        both.await;
        // At a multiple the next one is meant.
        let next = clock.tick(Duration::from_millis(500));
        assert_eq!(clock.sleeping(), 1);
        clock.advance(Duration::from_millis(500));
        next.await;
    }

    #[tokio::test]
    async fn a_step_wakes_nobody() {
        let clock = ManualClock::new(Timestamp::from_secs(0));
        let mut sleep = clock.sleep(Duration::from_secs(1));
        clock.step(3_600_000_000_000);
        assert_eq!(clock.now(), Timestamp::from_secs(3600));
        tokio::select! {
            biased;
            () = &mut sleep => panic!("the wall clock is not the steady one"),
            () = tokio::task::yield_now() => {}
        }
        clock.advance(Duration::from_secs(1));
        sleep.await;
    }
}
