//! Wall time of a run: one anchor, bounded drift correction, and where segments split. Pure.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::ids::RunId;
use crate::time::{NS_PER_S, Timestamp, duration_ns};

/// Ties the three times of a run together at one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Anchor {
    /// UTC.
    pub utc: Timestamp,
    /// Steady clock, nanoseconds.
    pub steady_ns: i64,
    /// Running time of the pipeline, nanoseconds.
    pub running_ns: i64,
}

/// An instant is read anew as often at most.
const MOST_READINGS: u32 = 5;
/// And no more once all of a reading took no longer than this.
const AT_ONCE_NS: i64 = 20_000;

impl Anchor {
    /// Reads the three clocks. Where that was interrupted for a while, as on a busy machine, they are read again: the
    /// reading that took the least time is taken. `None` where there is no running time.
    pub fn read(clock: &dyn Clock, mut running_ns: impl FnMut() -> Option<i64>) -> Option<Self> {
        let mut best: Option<(i64, Self)> = None;
        for _ in 0..MOST_READINGS {
            let steady_ns = clock.steady_ns();
            let (utc, running_ns) = (clock.now(), running_ns()?);
            let took = clock.steady_ns().saturating_sub(steady_ns);
            if best.is_none_or(|(least, _)| took < least) {
                let read = Self {
                    utc,
                    steady_ns,
                    running_ns,
                };
                best = Some((took, read));
            }
            if took <= AT_ONCE_NS {
                break;
            }
        }
        best.map(|(_, read)| read)
    }
}

/// A deviation of the wall clock larger than this is a step: a new run begins.
pub const STEP_BOUND: Duration = Duration::from_secs(2);

/// Largest rate at which a smaller deviation is worked off: 5 ms per second, the most that `adjtime`-style
/// slewing does on common systems times ten, and too little to be seen in playback.
const SLEW_NS_PER_S: i64 = 5_000_000;

/// What comparing the run with the wall clock brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockCheck {
    /// Within bounds (a correction may have been applied).
    Steady,
    /// The wall clock stepped by so many nanoseconds: the run was anchored anew under a new id, and the
    /// caller starts a new segment at the next keyframe.
    Stepped {
        /// Positive when the wall clock went forward.
        by_ns: i64,
    },
}

/// Maps running time to UTC for one pipeline; shared by the pipeline and its supervisor.
#[derive(Debug)]
pub struct RunClock(Mutex<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    run: RunId,
    anchor: Anchor,
    correction_ns: i64,
    last_check_steady_ns: i64,
    sequence: u32,
}

impl RunClock {
    /// A new run anchored at one instant.
    #[must_use]
    pub fn new(run: RunId, anchor: Anchor) -> Self {
        Self(Mutex::new(State {
            run,
            anchor,
            correction_ns: 0,
            last_check_steady_ns: anchor.steady_ns,
            sequence: 0,
        }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.state().run
    }

    /// The present run's anchor.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        self.state().anchor
    }

    /// UTC of a running time.
    #[must_use]
    pub fn utc(&self, running_ns: i64) -> Timestamp {
        let s = self.state();
        s.anchor
            .utc
            .add_ns(running_ns - s.anchor.running_ns + s.correction_ns)
    }

    /// Takes the next segment number of the present run.
    #[must_use]
    pub fn next_sequence(&self) -> u32 {
        let mut s = self.state();
        let n = s.sequence;
        s.sequence += 1;
        n
    }

    /// Compares with the clocks as they are now.
    ///
    /// A small deviation is corrected at a bounded rate, a large one starts a new run.
    pub fn check(&self, now: Anchor) -> ClockCheck {
        let Anchor {
            utc,
            steady_ns,
            running_ns,
        } = now;
        let mut s = self.state();
        let predicted = s
            .anchor
            .utc
            .add_ns(running_ns - s.anchor.running_ns + s.correction_ns);
        let deviation = utc.since(predicted);
        let elapsed = (steady_ns - s.last_check_steady_ns).max(0);
        s.last_check_steady_ns = steady_ns;
        if deviation.unsigned_abs() > STEP_BOUND.as_nanos() as u64 {
            *s = State {
                run: RunId::random(),
                anchor: now,
                correction_ns: 0,
                last_check_steady_ns: steady_ns,
                sequence: 0,
            };
            return ClockCheck::Stepped { by_ns: deviation };
        }
        let most = (i128::from(elapsed) * i128::from(SLEW_NS_PER_S) / i128::from(NS_PER_S)) as i64;
        s.correction_ns += deviation.clamp(-most, most);
        ClockCheck::Steady
    }
}

/// Decides at which keyframe a segment ends.
#[derive(Debug, Clone)]
pub struct Splitter {
    length_ns: i64,
    next: Option<Timestamp>,
}

impl Splitter {
    /// Segments end at multiples of `length` of UTC (15 min: at :00, :15, :30, :45).
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self {
            length_ns: duration_ns(length).max(NS_PER_S),
            next: None,
        }
    }

    /// To be asked for each keyframe; true when this one begins a new segment. The first never does:
    /// it begins the first segment by itself.
    pub fn on_keyframe(&mut self, utc: Timestamp) -> bool {
        let split = self.next.is_some_and(|next| utc >= next);
        if split || self.next.is_none() {
            self.restart(utc);
        }
        split
    }

    /// A segment begins at `utc` for another reason (new caps, new run, by hand).
    pub fn restart(&mut self, utc: Timestamp) {
        let into = utc.as_ns().rem_euclid(self.length_ns);
        self.next = Some(utc.add_ns(self.length_ns - into));
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use proptest::prelude::*;

    fn anchor(utc_s: i64) -> Anchor {
        Anchor {
            utc: Timestamp::from_secs(utc_s),
            steady_ns: 0,
            running_ns: 0,
        }
    }

    fn at(utc_ns: i64, running_ns: i64) -> Anchor {
        Anchor {
            utc: Timestamp::from_ns(utc_ns),
            steady_ns: running_ns,
            running_ns,
        }
    }

    /// A clock before whose every reading something else runs for as long as its list says.
    #[derive(Debug)]
    struct Interrupted {
        at_ns: AtomicI64,
        by: Mutex<Vec<i64>>,
    }

    impl Interrupted {
        fn by(list: &[i64]) -> Self {
            Self {
                at_ns: AtomicI64::new(0),
                by: Mutex::new(list.iter().rev().copied().collect()),
            }
        }

        fn pass(&self) -> i64 {
            let more = self.by.lock().unwrap().pop().unwrap_or(100);
            self.at_ns.fetch_add(more, Ordering::SeqCst) + more
        }
    }

    impl Clock for Interrupted {
        fn now(&self) -> Timestamp {
            Timestamp::from_ns(self.pass())
        }

        fn steady_ns(&self) -> i64 {
            self.pass()
        }

        fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            Box::pin(std::future::ready(()))
        }
    }

    /// How far the three clocks of a reading are apart.
    fn apart(list: &[i64]) -> i64 {
        let clock = Interrupted::by(list);
        let read = Anchor::read(&clock, || Some(clock.pass())).unwrap();
        let all = [read.utc.as_ns(), read.steady_ns, read.running_ns];
        all.iter().max().unwrap() - all.iter().min().unwrap()
    }

    #[test]
    fn an_interruption_between_the_clocks_does_not_move_a_run() {
        assert!(apart(&[]) <= AT_ONCE_NS);
        for n in 1..4 {
            let mut list = [100; 4];
            list[n] = 50_000_000;
            assert!(apart(&list) <= AT_ONCE_NS, "at the {n}.");
        }
        // Where it is never undisturbed, the least disturbed one counts.
        let list: Vec<i64> = [9, 8, 3, 7, 9]
            .into_iter()
            .flat_map(|ms| [0, ms * 1_000_000, 0, 0])
            .collect();
        assert_eq!(apart(&list), 3_000_000);
        assert_eq!(Anchor::read(&Interrupted::by(&[]), || None), None);
    }

    #[test]
    fn step_starts_a_new_run_and_later_times_follow_the_new_clock() {
        let c = RunClock::new(RunId::from_u64(1), anchor(1000));
        let _ = c.next_sequence();
        assert_eq!(
            c.check(at(4610 * NS_PER_S, 10 * NS_PER_S)),
            ClockCheck::Stepped {
                by_ns: 3600 * NS_PER_S
            }
        );
        assert_ne!(c.run(), RunId::from_u64(1));
        assert_eq!(c.next_sequence(), 0);
        assert_eq!(c.utc(11 * NS_PER_S), Timestamp::from_secs(4611));
    }

    #[test]
    fn a_slow_drift_of_a_day_is_followed_within_a_bound_and_without_new_runs() {
        // 100 ppm, five times what a quartz does: 8.64 s in a day, more than the step bound.
        let c = RunClock::new(RunId::from_u64(1), anchor(0));
        for s in 1..=86_400i64 {
            let running = s * NS_PER_S;
            let now = at(running + running / 10_000, running);
            assert_eq!(c.check(now), ClockCheck::Steady);
            assert!(now.utc.since(c.utc(running)).abs() < 1_000_000);
        }
    }

    #[test]
    fn a_small_step_is_slewed_not_jumped() {
        let c = RunClock::new(RunId::from_u64(1), anchor(0));
        let before = c.utc(NS_PER_S);
        c.check(at(2 * NS_PER_S, NS_PER_S));
        assert_eq!(c.utc(NS_PER_S).since(before), 5_000_000);
    }

    proptest! {
        #[test]
        fn splits_happen_once_per_boundary(start in 0i64..10_000_000, length in 1u64..4000, gop in 1i64..50) {
            let mut s = Splitter::new(Duration::from_secs(length));
            let mut slot = None;
            for k in 0..200 {
                let t = start + k * gop;
                let this = t / length as i64;
                let split = s.on_keyframe(Timestamp::from_secs(t));
                prop_assert_eq!(split, slot.is_some_and(|x| x != this));
                slot = Some(this);
            }
        }
    }
}
