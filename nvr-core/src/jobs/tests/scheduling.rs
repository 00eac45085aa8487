//! What must hold for every decision, whatever the situation.

use proptest::prelude::*;

use crate::ids::JobId;
use crate::jobs::load::{Load, LoadBounds, LoadGate};
use crate::jobs::schedule::{Decision, KindQueue, Running, Situation, decide};
use crate::jobs::{KindLimits, StopReason};
use crate::store::{Candidate, rank};
use crate::time::{NS_PER_S, Timestamp};
use crate::window::Windows;

/// 2026-05-04T00:00:00Z
const MIDNIGHT_S: i64 = 1_777_852_800;

fn limits() -> impl Strategy<Value = KindLimits> {
    (
        any::<[bool; 5]>(),
        0usize..4,
        prop_oneof![
            Just(""),
            Just("02:00-06:00"),
            Just("22:00-03:00"),
            Just("00:00-24:00")
        ],
        prop::option::of(-7200i64..7200),
    )
        .prop_map(
            |([enabled, finish, newest, yields, minds_load], most, windows, hold)| {
                let mut limits = KindLimits::new(most);
                limits.enabled = enabled;
                limits.finish_started = finish;
                limits.newest_first = newest;
                limits.yields = yields;
                limits.minds_load = minds_load;
                limits.windows = Windows::parse(windows, "Europe/Berlin").unwrap();
                limits.hold_until = hold.map(|s| Timestamp::from_secs(MIDNIGHT_S + s));
                limits
            },
        )
}

fn gate((load, backlog): (bool, bool)) -> LoadGate {
    let bounds = LoadBounds {
        per_core_percent: 1,
        backlog_bytes: 1,
    };
    let now = Load {
        per_core_percent: Some(2 * u32::from(load)),
        backlog_bytes: 2 * u64::from(backlog),
    };
    let mut gate = LoadGate::default();
    gate.look(now, bounds);
    gate
}

fn is_too_much(s: &Situation, kind: &KindQueue) -> bool {
    let counts = s.load.backlog_is_over() || kind.limits.minds_load && s.load.load_is_over();
    counts && kind.limits.yields
}

prop_compose! {
    fn situation()(
        now in 0i64..86_400,
        most_running in 0usize..6,
        load in any::<(bool, bool)>().prop_map(gate),
        kinds in prop::collection::vec(
            (
                limits(),
                prop::collection::vec((-40i32..40, -86_400i64..0, -3600i64..3600, any::<bool>()), 0..6),
                prop::collection::vec(any::<(bool, bool)>(), 0..4),
            ),
            0..4,
        ),
    ) -> Situation {
        let now = Timestamp::from_secs(MIDNIGHT_S + now);
        let mut id = 0;
        let mut next = || {
            id += 1;
            JobId(id)
        };
        let kinds = kinds
            .into_iter()
            .map(|(limits, queued, running)| {
                let mut queued: Vec<Candidate> = queued
                    .into_iter()
                    .map(|(priority, created, not_before, anytime)| Candidate {
                        id: next(),
                        rank_ns: rank(now.add_ns(created * NS_PER_S), priority),
                        not_before: now.add_ns(not_before * NS_PER_S),
                        anytime,
                    })
                    .collect();
                queued.sort_by_key(|c| (c.rank_ns, c.id));
                let running = running
                    .into_iter()
                    .map(|(anytime, stopping)| Running { id: next(), anytime, stopping })
                    .collect();
                KindQueue { limits, queued, running }
            })
            .collect();
        Situation { now, most_running, load, kinds }
    }
}

/// The kind and the row of a job that is started.
fn started<'s>(s: &'s Situation, (n, id): &(usize, JobId)) -> (&'s KindQueue, &'s Candidate) {
    let kind = &s.kinds[*n];
    (
        kind,
        kind.queued.iter().find(|c| c.id == *id).expect("it was queued"),
    )
}

fn is_allowed(s: &Situation, kind: &KindQueue, job: &Candidate) -> bool {
    kind.limits.enabled
        && job.not_before <= s.now
        && kind.limits.hold_until.is_none_or(|t| t <= s.now)
        && (job.anytime || kind.limits.windows.contains(s.now))
        && !is_too_much(s, kind)
}

fn of_kind(d: &Decision, n: usize) -> usize {
    d.start.iter().filter(|(k, _)| *k == n).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn limits_are_never_exceeded(s in situation()) {
        let d = decide(&s);
        let running: usize = s.kinds.iter().map(|k| k.running.len()).sum();
        prop_assert!(d.start.is_empty() || running + d.start.len() <= s.most_running);
        for (n, kind) in s.kinds.iter().enumerate() {
            let starts = of_kind(&d, n);
            prop_assert!(starts == 0 || kind.running.len() + starts <= kind.limits.most_running);
        }
        let mut ids: Vec<JobId> = d.start.iter().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), d.start.len(), "nothing twice");
    }

    #[test]
    fn nothing_starts_before_its_time_outside_its_window_or_under_load(s in situation()) {
        for start in &decide(&s).start {
            let (kind, job) = started(&s, start);
            prop_assert!(is_allowed(&s, kind, job));
        }
    }

    /// Whoever is allowed to start and does not has no free place, and stands behind all that start.
    #[test]
    fn places_are_filled_in_the_order_of_rank(s in situation()) {
        let d = decide(&s);
        let running: usize = s.kinds.iter().map(|k| k.running.len()).sum();
        let full = running + d.start.len() >= s.most_running;
        for (n, kind) in s.kinds.iter().enumerate() {
            let starts = of_kind(&d, n);
            let kind_full = kind.running.len() + starts >= kind.limits.most_running;
            for job in kind.queued.iter().filter(|j| is_allowed(&s, kind, j)) {
                if d.start.contains(&(n, job.id)) {
                    continue;
                }
                prop_assert!(full || kind_full, "a place stays empty");
                for start in &d.start {
                    let (_, other) = started(&s, start);
                    // Of its own kind all that start are before it; of others only where its kind has a place.
                    if start.0 == n || !kind_full {
                        prop_assert!((other.rank_ns, other.id) < (job.rank_ns, job.id));
                    }
                }
            }
        }
    }

    #[test]
    fn what_must_stop_is_asked_once_and_with_the_right_reason(s in situation()) {
        let d = decide(&s);
        for kind in &s.kinds {
            for job in &kind.running {
                let asked: Vec<StopReason> = d.stop.iter().filter(|(id, _)| *id == job.id).map(|(_, r)| *r).collect();
                let outside = !kind.limits.windows.contains(s.now) && !job.anytime && !kind.limits.finish_started;
                let wanted = if job.stopping {
                    None
                } else if !kind.limits.enabled {
                    Some(StopReason::Disabled)
                } else if is_too_much(&s, kind) {
                    Some(StopReason::Overload)
                } else {
                    outside.then_some(StopReason::WindowClosed)
                };
                prop_assert_eq!(asked, wanted.into_iter().collect::<Vec<_>>());
            }
        }
    }

    /// Nothing that only time changes is missed.
    #[test]
    fn it_is_looked_again_when_a_window_or_a_hold_changes(s in situation()) {
        let d = decide(&s);
        for kind in &s.kinds {
            for moment in [kind.limits.windows.next_change(s.now), kind.limits.hold_until].into_iter().flatten() {
                if moment > s.now {
                    prop_assert!(d.look_again.is_some_and(|t| t > s.now && t <= moment));
                }
            }
        }
    }

    /// No starvation: however many urgent jobs come, one that has waited longer than their lead in hours is first.
    #[test]
    fn each_hour_of_waiting_is_worth_a_point(priority in -1000i32..1000, lead in 0i32..100, later_s in 1i64..1_000_000) {
        let created = Timestamp::from_secs(MIDNIGHT_S);
        let patient = rank(created, priority);
        let urgent = rank(created.add_ns(later_s * NS_PER_S), priority + lead);
        prop_assert_eq!(patient < urgent, later_s > i64::from(lead) * 3600);
    }
}
