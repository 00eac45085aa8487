//! What a plan is held to, whatever there is on the disk.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::event::DeletionReason;
use crate::ids::SegmentId;
use crate::segment::Tier;

const DISK: u64 = 1_000_000;

/// Segments of a camera: class, start, length, bytes.
type Rows = Vec<(Class, i64, i64, u64)>;

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![3 => Just(Class::Plain), 1 => Just(Class::Transcoded), 1 => Just(Class::Event)]
}

fn rows() -> impl Strategy<Value = Rows> {
    prop::collection::vec((class(), 0i64..1000, Just(30i64), 1u64..20_000), 0..40)
}

fn an_age() -> impl Strategy<Value = Age> {
    prop_oneof![Just(Age::Forever), (60u64..1500).prop_map(age)]
}

/// Stocks with all their candidates, or the first few of each list.
fn stocks(all: &[Rows], other_bytes: &[u64], cut: Option<usize>) -> Vec<Stock> {
    let mut id = 0;
    all.iter()
        .enumerate()
        .map(|(n, rows)| {
            let size: u64 = rows.iter().map(|r| r.3).sum();
            let mut lists: Vec<List> = Vec::new();
            for class in [Class::Plain, Class::Transcoded, Class::Event] {
                let mut items: Vec<Candidate> = rows
                    .iter()
                    .filter(|r| r.0 == class)
                    .map(|&(_, start, len, size_bytes)| {
                        id += 1;
                        Candidate {
                            id: SegmentId(id),
                            path: format!("{id}").into(),
                            start: at(start),
                            end: at(start + len),
                            size_bytes,
                            tier: Tier::First,
                        }
                    })
                    .collect();
                items.sort_by_key(|c| (c.start, c.id));
                let mut list = List {
                    class,
                    awaited: false,
                    tier: Tier::First,
                    items,
                    more: false,
                };
                cut_off(&mut list, cut);
                lists.push(list);
            }
            Stock {
                camera: cam(n),
                size_bytes: size + other_bytes.get(n).copied().unwrap_or(0),
                second_bytes: 0,
                lists,
            }
        })
        .collect()
}

fn cut_off(list: &mut List, cut: Option<usize>) {
    if let Some(cut) = cut
        && list.items.len() > cut
    {
        list.items.truncate(cut);
        list.more = true;
    }
}

/// A disk of [`DISK`] bytes, its limits, and the present.
#[derive(Clone, Debug)]
struct Case {
    rows: Vec<Rows>,
    /// Bytes that are protected or grow, by camera.
    other: Vec<u64>,
    available: u64,
    now: i64,
    policy: Policy,
}

prop_compose! {
    fn case(emergencies: bool)(
        rows in prop::collection::vec(rows(), 1..4),
        other in prop::collection::vec(0u64..50_000, 3),
        available in 0u64..300_000,
        now in 500i64..2000,
        ages in (an_age(), prop::option::of(an_age()), prop::option::of(an_age())),
        own in (prop::option::of(an_age()), prop::option::of(1u64..300_000)),
        max_bytes in prop::option::of(1u64..600_000),
        min_free in 0u64..300_000,
        critical in 0u64..100_000,
    ) -> Case {
        let mut config = config(rows.len().min(2));
        let all = &mut config.retention;
        (all.max_age, all.event_age, all.transcoded_age) = ages;
        all.max_bytes = max_bytes;
        all.min_free = Room::Bytes(min_free);
        all.critical_free = if emergencies { Room::Bytes(critical) } else { Room::NONE };
        // The third camera, where there is one, was removed: what holds for all holds for it.
        (config.cameras[0].retention.max_age, config.cameras[0].retention.max_bytes) = own;
        Case { rows, other, available, now, policy: Policy::of(&config) }
    }
}

impl Case {
    fn plan_of(&self, stocks: &[Stock], available: u64) -> Plan {
        plan(Situation {
            stocks,
            disk: Disk {
                total_bytes: DISK,
                available_bytes: available,
            },
            second: None,
            now: Some(at(self.now)),
            policy: &self.policy,
            most: usize::MAX,
        })
    }
}

fn ids(plan: &Plan) -> HashSet<SegmentId> {
    plan.deletions.iter().map(|d| d.segment.id).collect()
}

/// The stocks without what a plan deletes; what it frees.
fn carry_out(stocks: &mut [Stock], plan: &Plan) -> u64 {
    let gone = ids(plan);
    for stock in stocks {
        for list in &mut stock.lists {
            for item in list.items.extract_if(.., |i| gone.contains(&i.id)) {
                stock.size_bytes -= item.size_bytes;
            }
        }
    }
    plan.deletions.iter().map(|d| d.segment.size_bytes).sum()
}

/// Sum of what goes, without one of them.
fn freed(plan: &Plan, of: impl Fn(&Deletion) -> bool) -> u64 {
    let of = plan.deletions.iter().filter(|d| of(d));
    of.map(|d| d.segment.size_bytes).sum()
}

proptest! {
    #[test]
    fn exactly_enough_goes_the_oldest_first(case in case(false)) {
        let all = stocks(&case.rows, &case.other, None);
        let plan = case.plan_of(&all, case.available);
        prop_assert!(!plan.more);
        let known: HashSet<SegmentId> =
            all.iter().flat_map(|s| &s.lists).flat_map(|l| &l.items).map(|i| i.id).collect();
        prop_assert!(ids(&plan).is_subset(&known));
        prop_assert_eq!(ids(&plan).len(), plan.deletions.len(), "one goes twice");
        prop_assert!(plan.deletions.is_sorted_by_key(|d| (d.segment.start, d.segment.id)));

        // By age: those and only those that are too old.
        for stock in &all {
            for list in &stock.lists {
                let keep = case.policy.rules(&stock.camera).age(list.class);
                for item in &list.items {
                    let old = match keep {
                        Age::Forever => false,
                        Age::For(d) => at(case.now).since(item.end) > crate::time::duration_ns(d),
                    };
                    let reason = plan.deletions.iter().find(|d| d.segment.id == item.id).map(|d| d.reason);
                    prop_assert_eq!(old, reason == Some(DeletionReason::Age));
                }
            }
        }

        // Of each camera: the limit is kept, and would not be without the last one that went for it.
        for stock in &all {
            let own = |d: &Deletion| d.camera == stock.camera;
            let Some(most) = case.policy.rules(&stock.camera).max_bytes else {
                prop_assert!(!plan.deletions.iter().any(|d| own(d) && d.reason == DeletionReason::CameraBytes));
                continue;
            };
            let before = freed(&plan, |d| own(d) && d.reason == DeletionReason::Age);
            let by_size = |d: &Deletion| own(d) && d.reason == DeletionReason::CameraBytes;
            let left = stock.size_bytes - before - freed(&plan, by_size);
            let candidates: usize = stock.lists.iter().map(|l| l.items.len()).sum();
            let gone = plan.deletions.iter().filter(|d| own(d)).count();
            prop_assert!(left <= most || gone == candidates);
            if let Some(last) = last_of(&case, &all, &plan, by_size) {
                prop_assert!(left + last.segment.size_bytes > most, "one too many of {}", stock.camera);
            }
        }

        // Over all.
        let total: u64 = all.iter().map(|s| s.size_bytes).sum();
        let by_total = |d: &Deletion| d.reason == DeletionReason::TotalBytes;
        let by_space = |d: &Deletion| d.reason == DeletionReason::FreeSpace;
        if let Some(most) = case.policy.max_bytes {
            let left = total - freed(&plan, |d| !by_space(d));
            prop_assert!(left <= most || ids(&plan) == known);
            if let Some(last) = last_of(&case, &all, &plan, by_total) {
                prop_assert!(left + last.segment.size_bytes > most);
            }
        }
        let (available, wanted) = (case.available + freed(&plan, |_| true), case.policy.min_free_bytes(DISK));
        prop_assert_eq!(plan.short_bytes, wanted.saturating_sub(available));
        prop_assert!(plan.short_bytes == 0 || ids(&plan) == known);
        if let Some(last) = last_of(&case, &all, &plan, by_space) {
            prop_assert!(available - last.segment.size_bytes < wanted);
        }
        // What went for space is older than anything of its tier that stays.
        let newest = plan.deletions.iter().filter(|d| by_space(d)).map(|d| rank(&case, &all, d)).max();
        for stock in &all {
            for list in &stock.lists {
                for item in list.items.iter().filter(|i| !ids(&plan).contains(&i.id)) {
                    let spared = spared(&case, stock, list.class);
                    prop_assert!(newest.is_none_or(|n| (spared, item.start, item.id) > n));
                }
            }
        }
    }

    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(case in case(true)) {
        let mut all = stocks(&case.rows, &case.other, None);
        let first = case.plan_of(&all, case.available);
        let available = case.available + carry_out(&mut all, &first);
        let second = case.plan_of(&all, available);
        prop_assert_eq!(second.deletions, vec![]);
        prop_assert_eq!(second.short_bytes, first.short_bytes);
    }

    /// Lists that end early lead to the same in several steps.
    #[test]
    fn looking_at_a_few_at_a_time_comes_to_the_same(case in case(false), cut in 1usize..6) {
        let whole = case.plan_of(&stocks(&case.rows, &case.other, None), case.available);
        let mut all = stocks(&case.rows, &case.other, None);
        let (mut gone, mut available) = (HashSet::new(), case.available);
        for _ in 0..1000 {
            let mut shown = all.clone();
            for list in shown.iter_mut().flat_map(|s| &mut s.lists) {
                cut_off(list, Some(cut));
            }
            let plan = case.plan_of(&shown, available);
            available += carry_out(&mut all, &plan);
            gone.extend(ids(&plan));
            if !plan.more {
                prop_assert_eq!(gone, ids(&whole));
                prop_assert_eq!(plan.short_bytes, whole.short_bytes);
                return Ok(());
            }
            prop_assert!(!plan.deletions.is_empty(), "no step forward");
        }
        prop_assert!(false, "no end");
    }

    #[test]
    fn in_an_emergency_the_oldest_go_whatever_they_are(case in case(true)) {
        let critical = case.policy.critical_bytes(DISK);
        let all = stocks(&case.rows, &case.other, None);
        let plan = case.plan_of(&all, case.available);
        let urgent = |d: &&Deletion| d.reason == DeletionReason::Emergency;
        if case.available >= critical {
            prop_assert_eq!(plan.deletions.iter().filter(urgent).count(), 0);
            return Ok(());
        }
        let newest = plan.deletions.iter().filter(urgent).map(|d| (d.segment.start, d.segment.id)).max();
        for item in all.iter().flat_map(|s| &s.lists).flat_map(|l| &l.items) {
            if !ids(&plan).contains(&item.id) {
                prop_assert!(newest.is_none_or(|n| (item.start, item.id) > n));
            }
        }
        let by_age = freed(&plan, |d| d.reason == DeletionReason::Age);
        let got = case.available + by_age + freed(&plan, |d| d.reason == DeletionReason::Emergency);
        if let Some((_, id)) = newest {
            let last = plan.deletions.iter().find(|d| d.segment.id == id).unwrap();
            prop_assert!(got - last.segment.size_bytes < critical, "one too many");
        }
    }

    #[test]
    fn a_plan_keeps_to_its_length(case in case(true), most in 0usize..5) {
        let all = stocks(&case.rows, &case.other, None);
        let whole = case.plan_of(&all, case.available);
        let part = plan(Situation {
            stocks: &all,
            disk: Disk { total_bytes: DISK, available_bytes: case.available },
            second: None,
            now: Some(at(case.now)),
            policy: &case.policy,
            most,
        });
        prop_assert_eq!(part.deletions.len(), whole.deletions.len().min(most));
        prop_assert_eq!(part.more, whole.deletions.len() > most);
        prop_assert!(ids(&part).is_subset(&ids(&whole)));
    }
}

fn spared(case: &Case, stock: &Stock, class: Class) -> bool {
    class == Class::Event && case.policy.rules(&stock.camera).event.is_some()
}

/// In which order segments go for space.
fn rank(case: &Case, all: &[Stock], d: &Deletion) -> (bool, Timestamp, SegmentId) {
    let stock = all.iter().find(|s| s.camera == d.camera).unwrap();
    let list = stock
        .lists
        .iter()
        .find(|l| l.items.iter().any(|i| i.id == d.segment.id));
    (
        spared(case, stock, list.unwrap().class),
        d.segment.start,
        d.segment.id,
    )
}

fn last_of<'a>(
    case: &Case,
    all: &[Stock],
    plan: &'a Plan,
    of: impl Fn(&Deletion) -> bool,
) -> Option<&'a Deletion> {
    plan.deletions
        .iter()
        .filter(|d| of(d))
        .max_by_key(|d| rank(case, all, d))
}

/// One camera, a segment of 100 bytes every 10 s from 0 on, of these classes.
fn simple(classes: &[Class]) -> Vec<Stock> {
    let rows = classes
        .iter()
        .zip(0i64..)
        .map(|(&class, n)| (class, n * 10, 10, 100))
        .collect();
    stocks(&[rows], &[], None)
}

fn planned(stocks: &[Stock], policy: &Policy, available: u64, now: i64) -> Vec<(i64, DeletionReason)> {
    let plan = plan(Situation {
        stocks,
        disk: Disk {
            total_bytes: DISK,
            available_bytes: available,
        },
        second: None,
        now: Some(at(now)),
        policy,
        most: usize::MAX,
    });
    let second = |d: &Deletion| d.segment.start.as_ns() / 1_000_000_000;
    plan.deletions.iter().map(|d| (second(d), d.reason)).collect()
}

#[test]
fn each_class_has_its_age() {
    let all = simple(&[Class::Plain, Class::Transcoded, Class::Event, Class::Plain]);
    let mut config = config(1);
    config.retention.max_age = age(100);
    let of = |config: &Config, now| -> Vec<i64> {
        planned(&all, &Policy::of(config), DISK, now)
            .iter()
            .map(|(s, _)| *s)
            .collect()
    };
    // Where they have none of their own they are as any other. An age is that of a segment's end.
    assert_eq!(of(&config, 110), [0i64; 0]);
    assert_eq!(of(&config, 111), [0]);
    assert_eq!(of(&config, 1000), [0, 10, 20, 30]);
    config.retention.event_age = Some(Age::Forever);
    config.retention.transcoded_age = Some(age(985));
    assert_eq!(of(&config, 1000), [0, 30]);
    // The camera's own word comes first.
    config.cameras[0].retention.max_age = Some(Age::Forever);
    config.cameras[0].retention.event_age = Some(age(1));
    assert_eq!(of(&config, 1000), [20]);
}

#[test]
fn footage_of_events_is_spared_while_there_is_other() {
    use DeletionReason::{Emergency, FreeSpace};
    let all = simple(&[Class::Event, Class::Plain, Class::Event, Class::Plain]);
    let mut config = config(1);
    config.retention.min_free = Room::Bytes(300);
    let with = |config: &Config, available| planned(&all, &Policy::of(config), available, 50);
    assert_eq!(with(&config, 150), [(0, FreeSpace), (10, FreeSpace)]);
    config.retention.event_age = Some(Age::Forever);
    assert_eq!(with(&config, 150), [(10, FreeSpace), (30, FreeSpace)]);
    assert_eq!(
        with(&config, 50),
        [(0, FreeSpace), (10, FreeSpace), (30, FreeSpace)]
    );
    config.retention.critical_free = Room::Bytes(100);
    assert_eq!(
        with(&config, 50),
        [(0, Emergency), (10, FreeSpace), (30, FreeSpace)]
    );
}

/// What grows and what is protected counts, and does not go.
#[test]
fn what_grows_counts_against_the_limit() {
    let mut all = simple(&[Class::Plain, Class::Plain, Class::Plain]);
    let mut config = config(1);
    config.cameras[0].retention.max_bytes = Some(300);
    assert_eq!(planned(&all, &Policy::of(&config), DISK, 50), []);
    all[0].size_bytes += 101;
    assert_eq!(
        planned(&all, &Policy::of(&config), DISK, 50),
        [
            (0, DeletionReason::CameraBytes),
            (10, DeletionReason::CameraBytes)
        ]
    );
}

/// Footage of the hour that local time has twice is as old as its UTC says: the time zone has no part in it.
#[test]
fn fm01_an_hour_that_comes_twice_is_kept_as_long_as_any_other() {
    // 25 October 2026 in Berlin: 02:00 to 03:00 comes twice, from 00:00 UTC to 02:00 UTC.
    let midnight = "2026-10-25T00:00:00Z".parse::<Timestamp>().unwrap().as_ns() / 1_000_000_000;
    let rows: Rows = (0..12)
        .map(|n| (Class::Plain, midnight + n * 600, 600, 100))
        .collect();
    let all = stocks(&[rows], &[], None);
    let mut config = config(1);
    config.recorder.time_zone = "Europe/Berlin".into();
    config.retention.max_age = age(86_400);
    for gone in 0..=12 {
        let now = midnight + 86_400 + gone * 600 + 1;
        let plan = planned(&all, &Policy::of(&config), DISK, now);
        assert_eq!(plan.len() as i64, gone, "at {}", at(now));
    }
}
