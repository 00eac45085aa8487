//! The built-in rules: each fires where the guide says so, and not before.

use std::time::Duration;

use super::super::*;
use crate::config::AlertsConfig;
use crate::ids::CameraId;
use crate::time::Timestamp;

const BEGIN: i64 = 1_790_000_000;

fn at(s: i64) -> Timestamp {
    Timestamp::from_secs(BEGIN + s)
}

fn front() -> CameraId {
    "front".parse().unwrap()
}

fn rule(kind: AlertKind) -> AlertRule {
    let mut all = AlertRule::defaults().into_iter().filter(|r| r.kind == kind);
    let rule = all.next().unwrap();
    assert!(all.next().is_none() && rule.enabled && rule.name == kind.as_str());
    rule
}

#[test]
fn the_numbers_are_those_of_the_guide() {
    const MINUTE: Duration = Duration::from_secs(60);
    let of = |kind| {
        let r = rule(kind);
        (r.after, r.threshold, r.within)
    };
    assert_eq!(of(AlertKind::CameraOffline).0, MINUTE * 5);
    assert_eq!(of(AlertKind::UploadLate).0, MINUTE * 5);
    assert_eq!(of(AlertKind::UploadFailures), (Duration::ZERO, 10.0, MINUTE * 60));
    assert_eq!(of(AlertKind::Restarts), (Duration::ZERO, 5.0, MINUTE * 10));
    assert_eq!(of(AlertKind::Reconnects), (Duration::ZERO, 3.0, MINUTE * 60));
    assert_eq!(of(AlertKind::DiskFull).1, 80.0);
    assert_eq!(of(AlertKind::SegmentSize).1, 4.0);
    for kind in AlertKind::ALL.into_iter().filter(|k| *k != AlertKind::Detection) {
        let rule = rule(kind);
        assert_eq!(rule.resolved, !kind.is_momentary(), "{kind:?}");
        assert!(!rule.hold.is_zero(), "{kind:?} is debounced");
    }
    let detections = AlertRule::defaults()
        .into_iter()
        .filter(|r| r.kind == AlertKind::Detection);
    assert_eq!(detections.count(), 0, "nobody is told of motion unasked");
}

/// Counts a step a minute, `each` more every time; after how many minutes the kind fires, within two hours.
fn fires_after(kind: AlertKind, minutes_apart: i64) -> Option<u64> {
    let mut engine = Engine::new(AlertsConfig::default());
    for n in 0..=120 {
        let value = u64::try_from(n / minutes_apart + 1).unwrap();
        engine.counter(kind, &front(), value, false, at(n * 60));
        engine.step(at(n * 60));
        if engine.active().iter().any(|a| a.kind == kind) {
            return Some(value);
        }
    }
    None
}

#[test]
fn counting_rules_fire_with_one_more_than_allowed_and_not_when_it_is_spread() {
    assert_eq!(fires_after(AlertKind::UploadFailures, 5), Some(11));
    assert_eq!(fires_after(AlertKind::UploadFailures, 7), None);
    assert_eq!(fires_after(AlertKind::Restarts, 1), Some(6));
    assert_eq!(fires_after(AlertKind::Restarts, 3), None);
    assert_eq!(fires_after(AlertKind::Reconnects, 15), Some(4));
    assert_eq!(fires_after(AlertKind::Reconnects, 25), None);
}

#[test]
fn a_disk_beyond_four_fifths_is_told_after_a_minute_and_its_end_too() {
    let mut engine = Engine::new(AlertsConfig::default());
    let mut all = Vec::new();
    let mut run = |percent: f64, from: i64, to: i64| {
        for s in (from..to).step_by(5) {
            engine.disk("the disk", percent, at(s));
            all.extend(engine.step(at(s)).messages.into_iter().map(|m| (m.kind, s)));
        }
    };
    run(80.0, 0, 600);
    run(80.5, 600, 1200);
    run(70.0, 1200, 1800);
    let [(MessageKind::Firing, told), (MessageKind::Resolved, over)] = all[..] else {
        panic!("{all:?}")
    };
    assert!((660..=720).contains(&told) && over >= 1260, "{told} {over}");
}

#[test]
fn an_odd_segment_is_told_and_the_next_usual_one_ends_it() {
    let mut engine = Engine::new(AlertsConfig::default());
    let minute = 60_000_000_000;
    let mut s = 0;
    let mut take = |engine: &mut Engine, bytes: u64| {
        s += 60;
        engine.segment(&front(), bytes, minute, at(s));
        engine.step(at(s));
        engine.active().iter().any(|a| a.kind == AlertKind::SegmentSize)
    };
    for n in 0..20 {
        assert!(!take(&mut engine, 30_000_000 + n * 100_000));
    }
    assert!(!take(&mut engine, 60_000_000), "twice as much may be");
    assert!(take(&mut engine, 200_000), "a black picture");
    assert!(take(&mut engine, 30_000_000), "it has to hold");
    assert!(!take(&mut engine, 30_000_000));
    // The last piece of a run says nothing.
    engine.segment(&front(), 10, 1_000_000_000, at(s + 60));
    engine.step(at(s + 60));
    assert!(engine.active().is_empty());
}

#[test]
fn motion_on_a_camera_is_told_where_a_rule_asks_for_it() {
    let mut config = AlertsConfig::default();
    let mut rule = AlertRule::of(AlertKind::Detection);
    (rule.name, rule.cameras, rule.events) = ("gate".into(), vec![front()], vec!["motion".into()]);
    config.rules.push(rule);
    let mut engine = Engine::new(config);
    let see = |engine: &mut Engine, camera: &str, kind: &str, s: i64| {
        let seen = Seen {
            kind,
            label: None,
            zone: None,
            title: kind,
        };
        engine.detected(&camera.parse().unwrap(), &seen, at(s));
        engine.step(at(s)).messages
    };
    assert!(see(&mut engine, "yard", "motion", 0).is_empty());
    assert!(see(&mut engine, "front", "line", 1).is_empty());
    let told = see(&mut engine, "front", "motion", 2);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].picture, Some(front()));
    assert_eq!(told[0].title(), "front: motion");
}
