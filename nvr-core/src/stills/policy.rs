//! When a still is due, which frame is fresh enough for it, and how many of the oldest go. Pure.

use std::time::Duration;

use crate::config::StillRules;
use crate::time::{Timestamp, duration_ns};

/// A frame may be as old as this, or as the interval if that is longer, up to the next.
const FRESH: Duration = Duration::from_secs(10);
/// A frame that is older is no picture of now, however long the interval is.
const OLD: Duration = Duration::from_secs(300);
/// A frame may come from so far ahead: its clock is worked off slowly.
const AHEAD: Duration = Duration::from_secs(5);
/// Later than this after its moment a still is left out.
const LATE: Duration = Duration::from_secs(30);

/// Tells when stills of a camera are due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Due {
    every_ns: i64,
    /// The interval in which the last look was.
    slot: Option<i64>,
}

impl Due {
    /// Takes a look at the clock: whether a still is to be taken now. The first look, and one long after the moment (the
    /// machine slept, the clock was set), only finds out where it stands.
    pub fn look(&mut self, rules: &StillRules, now: Timestamp) -> bool {
        let Some(every_ns) = rules.every.map(duration_ns).filter(|n| *n > 0) else {
            *self = Self::default();
            return false;
        };
        let slot = now.as_ns().div_euclid(every_ns);
        let before = (self.every_ns == every_ns).then_some(self.slot).flatten();
        *self = Self {
            every_ns,
            slot: Some(slot),
        };
        let late_ns = now.as_ns().rem_euclid(every_ns);
        before.is_some_and(|before| before != slot)
            && late_ns <= duration_ns(LATE).min(every_ns / 2)
            && rules.times.contains(now)
    }
}

/// The next moment after `now` at which a still is due by an interval.
#[must_use]
pub fn next_due(every: Duration, now: Timestamp) -> Timestamp {
    let every_ns = duration_ns(every).max(1);
    let next = now.as_ns().div_euclid(every_ns).saturating_add(1);
    Timestamp::from_ns(next.saturating_mul(every_ns))
}

/// Whether a frame is a picture of now and not the one that was kept last: a camera that is away gives none.
#[must_use]
pub fn is_fresh(frame: Timestamp, last: Option<Timestamp>, every: Duration, now: Timestamp) -> bool {
    let age_ns = now.since(frame);
    let most = every.clamp(FRESH, OLD);
    last != Some(frame) && (-duration_ns(AHEAD)..=duration_ns(most)).contains(&age_ns)
}

/// How many of the oldest go, so that so many stills and bytes less are there: exactly enough. `sizes` are those of
/// stills from the oldest on, in bytes.
#[must_use]
pub fn oldest(sizes: &[u64], count: u64, bytes: u64) -> usize {
    let mut freed = 0u64;
    let mut n = 0;
    for size in sizes {
        if n as u64 >= count && freed >= bytes {
            break;
        }
        freed = freed.saturating_add(*size);
        n += 1;
    }
    n
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::NS_PER_S;
    use crate::window::Windows;

    fn rules(every_s: u64) -> StillRules {
        StillRules {
            every: (every_s > 0).then(|| Duration::from_secs(every_s)),
            ..StillRules::default()
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn stills_are_due_on_boundaries_of_the_wall_clock() {
        let mut due = Due::default();
        let rules = rules(600);
        assert!(!due.look(&rules, at("2026-05-04T12:00:00Z")), "the first look");
        assert!(!due.look(&rules, at("2026-05-04T12:09:59.9Z")));
        assert!(due.look(&rules, at("2026-05-04T12:10:00.1Z")));
        assert!(!due.look(&rules, at("2026-05-04T12:10:00.2Z")));
        // Suspended over a moment, and long after it.
        assert!(!due.look(&rules, at("2026-05-04T12:31:00Z")));
        assert!(due.look(&rules, at("2026-05-04T12:40:00Z")));
        // The clock is set back an hour: the next moment by the new time counts.
        assert!(!due.look(&rules, at("2026-05-04T11:42:00Z")));
        assert!(due.look(&rules, at("2026-05-04T11:50:00Z")));
        // And a day ahead.
        assert!(!due.look(&rules, at("2026-05-05T11:52:00Z")));
        assert!(due.look(&rules, at("2026-05-05T12:00:02Z")));
        assert_eq!(
            next_due(Duration::from_secs(600), at("2026-05-05T12:00:00Z")),
            at("2026-05-05T12:10:00Z")
        );
    }

    #[test]
    fn another_interval_begins_anew_and_none_is_none() {
        let mut due = Due::default();
        due.look(&rules(600), at("2026-05-04T12:05:00Z"));
        assert!(!due.look(&rules(60), at("2026-05-04T12:10:00Z")));
        assert!(due.look(&rules(60), at("2026-05-04T12:11:00Z")));
        assert!(!due.look(&rules(0), at("2026-05-04T12:12:00Z")));
        assert!(!due.look(&rules(60), at("2026-05-04T12:13:00Z")));
    }

    /// By the clock on the wall, also on the day on which an hour comes twice.
    #[test]
    fn only_at_times() {
        let mut rules = rules(3600);
        rules.times = Windows::parse("02:00-03:00", "Europe/Berlin").unwrap();
        let mut due = Due::default();
        let mut t = at("2026-10-24T20:30:00Z");
        let mut taken = Vec::new();
        for _ in 0..24 * 120 {
            if due.look(&rules, t) {
                taken.push(t.to_string());
            }
            t = t.add_ns(30 * NS_PER_S);
        }
        assert_eq!(taken, ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"]);
    }

    #[test]
    fn a_picture_of_a_camera_that_is_away_is_not_kept_again() {
        let (frame, every) = (at("2026-05-04T12:00:00Z"), Duration::from_secs(60));
        let now = frame.add_ns(2 * NS_PER_S);
        assert!(is_fresh(frame, None, every, now));
        assert!(!is_fresh(frame, Some(frame), every, now), "it was kept already");
        assert!(!is_fresh(frame, None, every, frame.add_ns(61 * NS_PER_S)));
        assert!(is_fresh(
            frame,
            None,
            Duration::from_secs(5),
            frame.add_ns(9 * NS_PER_S)
        ));
        let day = Duration::from_secs(86_400);
        assert!(!is_fresh(frame, None, day, frame.add_ns(301 * NS_PER_S)));
        // The wall clock was set back; the run that is told so has a new anchor.
        assert!(!is_fresh(frame, None, day, frame.add_ns(-3600 * NS_PER_S)));
    }

    proptest! {
        /// However often it is looked, each boundary gives one still, and nothing else does.
        #[test]
        fn once_for_each_boundary(every in 5u64..7200, steps in prop::collection::vec(1i64..4000, 1..400)) {
            let rules = rules(every);
            let mut due = Due::default();
            let mut now = at("2026-03-28T22:00:00Z");
            due.look(&rules, now);
            let every_ns = every as i64 * NS_PER_S;
            for step in steps {
                let before = now;
                now = now.add_ns(step * 1_000_000);
                let passed = now.as_ns().div_euclid(every_ns) != before.as_ns().div_euclid(every_ns);
                let late = now.as_ns().rem_euclid(every_ns) > every_ns / 2;
                prop_assert_eq!(due.look(&rules, now), passed && !late);
            }
        }

        /// Without the last deletion the limit would not be kept.
        #[test]
        fn exactly_enough_goes(sizes in prop::collection::vec(0u64..1000, 0..50), count in 0u64..60, bytes in 0u64..20_000) {
            let n = oldest(&sizes, count, bytes);
            let freed = |n: usize| sizes[..n].iter().sum::<u64>();
            prop_assert!(n == sizes.len() || (n as u64 >= count && freed(n) >= bytes));
            if n > 0 {
                prop_assert!(((n - 1) as u64) < count || freed(n - 1) < bytes);
            }
        }
    }
}
