//! What is told when. Times are seconds from a beginning.

use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use crate::config::AlertsConfig;
use crate::ids::CameraId;
use crate::time::Timestamp;
use crate::window::Windows;

const BEGIN: i64 = 1_790_000_000;

fn at(s: i64) -> Timestamp {
    Timestamp::from_secs(BEGIN + s)
}

fn id(name: &str) -> CameraId {
    name.parse().unwrap()
}

fn camera(engine: &mut Engine, name: &str, offline: bool, s: i64) -> Outcome {
    let words = offline.then(|| format!("{name} is away"));
    engine.observe(AlertKind::CameraOffline, Some(&id(name)), None, at(s), |_| {
        words.clone()
    });
    engine.step(at(s))
}

fn kinds(outcome: &Outcome) -> Vec<(MessageKind, usize)> {
    outcome
        .messages
        .iter()
        .map(|m| (m.kind, m.alerts.len()))
        .collect()
}

/// Steps every five seconds up to a moment; all messages.
fn run(engine: &mut Engine, from: i64, to: i64) -> Vec<(MessageKind, usize)> {
    let steps = (from..=to).step_by(5).flat_map(|s| kinds(&engine.step(at(s))));
    steps.collect()
}

#[test]
fn it_fires_after_its_time_once_and_ends_once() {
    let mut engine = Engine::new(AlertsConfig::default());
    camera(&mut engine, "a", true, 0);
    assert_eq!(run(&mut engine, 5, 295), []);
    assert!(engine.active().is_empty());
    assert_eq!(run(&mut engine, 300, 400), [(MessageKind::Firing, 1)]);
    camera(&mut engine, "a", false, 400);
    assert_eq!(run(&mut engine, 400, 455), [], "it has to hold");
    assert_eq!(run(&mut engine, 460, 2000), [(MessageKind::Resolved, 1)]);
    assert!(engine.active().is_empty());
}

#[test]
fn what_ends_in_time_is_never_told() {
    let mut engine = Engine::new(AlertsConfig::default());
    camera(&mut engine, "a", true, 0);
    camera(&mut engine, "a", false, 299);
    assert_eq!(run(&mut engine, 300, 2000), []);
}

#[test]
fn thirty_at_once_are_one_message_and_so_is_their_end() {
    let mut engine = Engine::new(AlertsConfig::default());
    for n in 0..30 {
        camera(&mut engine, &format!("c{n}"), true, n / 2);
    }
    assert_eq!(run(&mut engine, 20, 1000), [(MessageKind::Firing, 30)]);
    for n in 0..30 {
        camera(&mut engine, &format!("c{n}"), false, 1000 + n / 2);
    }
    assert_eq!(run(&mut engine, 1020, 3000), [(MessageKind::Resolved, 30)]);
}

#[test]
fn it_is_repeated_until_somebody_knows() {
    let mut engine = Engine::new(AlertsConfig::default());
    camera(&mut engine, "a", true, 0);
    let day = 86_400;
    assert_eq!(
        run(&mut engine, 300, day + 1000),
        [
            (MessageKind::Firing, 1),
            (MessageKind::Repeated, 1),
            (MessageKind::Repeated, 1)
        ]
    );
    let alert = engine.active().remove(0);
    engine
        .acknowledge(alert.id, Some("me".into()), at(day + 1000))
        .unwrap();
    assert!(engine.acknowledge(999, None, at(day)).is_none());
    assert_eq!(run(&mut engine, day + 1000, 3 * day), []);
    camera(&mut engine, "a", false, 3 * day);
    assert_eq!(
        run(&mut engine, 3 * day, 3 * day + 200),
        [(MessageKind::Resolved, 1)]
    );
}

#[test]
fn what_is_muted_is_told_afterwards_if_it_goes_on() {
    let mut engine = Engine::new(AlertsConfig::default());
    engine.mute(None, Some(id("a")), at(1000), None);
    camera(&mut engine, "a", true, 0);
    camera(&mut engine, "b", true, 0);
    assert_eq!(run(&mut engine, 300, 990), [(MessageKind::Firing, 1)]);
    assert_eq!(run(&mut engine, 1000, 1100), [(MessageKind::Firing, 1)]);
    assert!(engine.mutes().is_empty());
    let mute = engine.mute(Some("camera_offline".into()), None, at(9000), None);
    assert!(engine.unmute(mute.id) && !engine.unmute(mute.id));
}

#[test]
fn a_rule_for_a_camera_stands_in_place_of_the_general_one() {
    let mut config = AlertsConfig::default();
    let mut rule = AlertRule::of(AlertKind::CameraOffline);
    (rule.name, rule.cameras, rule.after) = ("soon".into(), vec![id("a")], Duration::from_secs(10));
    rule.channels = vec!["phone".into()];
    config.rules.push(rule);
    let mut engine = Engine::new(config);
    camera(&mut engine, "a", true, 0);
    camera(&mut engine, "b", true, 0);
    assert_eq!(run(&mut engine, 0, 100), [(MessageKind::Firing, 1)]);
    assert_eq!(engine.active()[0].rule, "soon");
    assert_eq!(run(&mut engine, 100, 400), [(MessageKind::Firing, 1)]);
}

#[test]
fn counts_are_of_a_time() {
    let mut engine = Engine::new(AlertsConfig::default());
    let count = |engine: &mut Engine, n: u64, s: i64| {
        engine.counter(AlertKind::Restarts, &id("a"), n, false, at(s));
        kinds(&engine.step(at(s)))
    };
    assert_eq!(count(&mut engine, 5, 0), []);
    run(&mut engine, 5, 60);
    assert!(engine.active().is_empty(), "five are not more than five");
    count(&mut engine, 6, 100);
    assert_eq!(run(&mut engine, 100, 200), [(MessageKind::Firing, 1)]);
    // Ten minutes later the first five do not count any more.
    count(&mut engine, 6, 605);
    assert_eq!(run(&mut engine, 605, 700), [(MessageKind::Resolved, 1)]);
    // What is passed over is not counted later either.
    engine.counter(AlertKind::Restarts, &id("a"), 100, true, at(800));
    engine.counter(AlertKind::Restarts, &id("a"), 100, false, at(805));
    run(&mut engine, 805, 1000);
    assert!(engine.active().is_empty());
    assert!(!engine.still_away(&id("a"), true) && engine.still_away(&id("a"), true));
}

#[test]
fn a_disk_at_its_limit_does_not_flap() {
    let mut engine = Engine::new(AlertsConfig::default());
    let mut all = Vec::new();
    for s in (0..3600).step_by(5) {
        let percent = if s % 10 == 0 { 80.2 } else { 79.8 };
        engine.disk("disk", percent, at(s));
        all.extend(kinds(&engine.step(at(s))));
    }
    assert_eq!(all, [(MessageKind::Firing, 1)]);
    engine.disk("disk", 77.0, at(3600));
    assert_eq!(run(&mut engine, 3600, 3700), [(MessageKind::Resolved, 1)]);
}

#[test]
fn detections_fit_their_rule_and_tell_a_camera_once_in_a_while() {
    let mut config = AlertsConfig::default();
    let mut rule = AlertRule::of(AlertKind::Detection);
    rule.labels = vec!["person".into()];
    config.rules.push(rule);
    let mut engine = Engine::new(config);
    let see = |engine: &mut Engine, label: &str, s: i64| {
        let seen = Seen {
            kind: "object",
            label: Some(label),
            zone: None,
            title: label,
        };
        engine.detected(&id("a"), &seen, at(s));
        engine.step(at(s)).messages
    };
    assert!(see(&mut engine, "cat", 0).is_empty());
    let told = see(&mut engine, "person", 1);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].picture.clone(), told[0].kind),
        (Some(id("a")), MessageKind::Firing)
    );
    assert!(see(&mut engine, "person", 30).is_empty() && see(&mut engine, "person", 80).is_empty());
    assert_eq!(run(&mut engine, 85, 300), [], "no end is told");
    assert_eq!(see(&mut engine, "person", 300).len(), 1);
}

#[test]
fn what_is_gone_is_well() {
    let mut engine = Engine::new(AlertsConfig::default());
    camera(&mut engine, "a", true, 0);
    run(&mut engine, 300, 400);
    engine.begin_sample();
    engine.end_sample(&[AlertKind::CameraOffline], at(500));
    assert_eq!(run(&mut engine, 500, 700), [(MessageKind::Resolved, 1)]);
}

#[test]
fn rules_that_are_gone_take_their_alerts_along() {
    let mut engine = Engine::new(AlertsConfig::default());
    camera(&mut engine, "a", true, 0);
    run(&mut engine, 300, 400);
    let mut config = AlertsConfig::default();
    config.rules.retain(|r| r.kind != AlertKind::CameraOffline);
    engine.configure(config, at(500));
    let outcome = engine.step(at(500));
    assert!(outcome.messages.is_empty() && engine.active().is_empty());
    assert!(outcome.changed[0].resolved.is_some());
}

#[test]
fn a_restart_neither_tells_twice_nor_forgets() {
    let config = AlertsConfig::default();
    let mut engine = Engine::new(config.clone());
    camera(&mut engine, "a", true, 0);
    assert_eq!(run(&mut engine, 300, 400).len(), 1);
    let mut engine = Engine::restored(config.clone(), &engine.save()).unwrap();
    camera(&mut engine, "a", true, 500);
    assert_eq!(run(&mut engine, 500, 1000), []);
    // It is well again while nobody looks.
    let mut engine = Engine::restored(config.clone(), &engine.save()).unwrap();
    camera(&mut engine, "a", false, 5000);
    assert_eq!(run(&mut engine, 5000, 5100), [(MessageKind::Resolved, 1)]);
    assert!(Engine::restored(config, "{\"conditions\":7}").is_err());
}

/// Nights with a change of the clocks: an hour left out, an hour twice.
const NIGHTS: [(&str, &str); 3] = [
    ("Europe/Berlin", "2026-03-28T19:00:00Z"),
    ("Europe/Berlin", "2026-10-24T19:00:00Z"),
    ("America/New_York", "2026-10-31T19:00:00Z"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However a camera flaps: messages are bounded by time, each alert ends at most once, and only what was told.
    #[test]
    fn no_storms(flaps in prop::collection::vec((1i64..120, any::<bool>(), 0usize..3), 1..60)) {
        let mut config = AlertsConfig::default();
        for rule in &mut config.rules {
            rule.after = Duration::from_secs(10);
        }
        let interval = i64::try_from(config.interval.as_secs()).unwrap();
        let mut engine = Engine::new(config);
        let (mut s, mut firing, mut ended) = (0, 0usize, std::collections::HashSet::new());
        let mut told = std::collections::HashSet::new();
        let mut moments = Vec::new();
        for (pause, bad, which) in flaps {
            for step in 0..pause {
                let outcome = if step == 0 {
                    camera(&mut engine, &format!("c{which}"), bad, s)
                } else {
                    engine.step(at(s))
                };
                for m in &outcome.messages {
                    for a in &m.alerts {
                        match m.kind {
                            MessageKind::Firing => { firing += 1; prop_assert!(told.insert(a.id)); }
                            MessageKind::Resolved => {
                                prop_assert!(told.contains(&a.id));
                                prop_assert!(ended.insert(a.id));
                            }
                            _ => {}
                        }
                    }
                }
                if !outcome.messages.is_empty() {
                    moments.push(s);
                }
                s += 1;
            }
        }
        prop_assert!(firing >= ended.len());
        for pair in moments.windows(2) {
            prop_assert!(pair[1] - pair[0] >= interval, "{:?}", pair);
        }
    }

    /// Nothing is told in quiet hours but what is critical, and what goes on at their end is, also over changes of the clocks.
    #[test]
    fn quiet_hours(night in 0..NIGHTS.len(), minute in 0i64..900) {
        let (zone, begin) = NIGHTS[night];
        let begin: Timestamp = begin.parse().unwrap();
        let quiet = Windows::parse("22:00-07:00", zone).unwrap();
        let config = AlertsConfig { quiet_hours: Some(quiet.clone()), ..AlertsConfig::default() };
        let mut engine = Engine::new(config);
        let fell = begin.add_ns(minute * 60_000_000_000);
        let mut told = None;
        for n in 0..(24 * 60) {
            let now = begin.add_ns(n * 60_000_000_000);
            if now >= fell {
                engine.disk("disk", 90.0, now);
                engine.observe(AlertKind::Storage, None, Some("x"), now, |_| Some("gone".into()));
            }
            for message in engine.step(now).messages {
                if message.severity == Severity::Critical && message.kind == MessageKind::Firing {
                    prop_assert!(now.since(fell) <= 120_000_000_000);
                } else if message.kind == MessageKind::Firing {
                    prop_assert!(!quiet.contains(now));
                    prop_assert!(told.replace(now).is_none());
                }
            }
        }
        let told = told.unwrap();
        let due = fell.add_ns(120_000_000_000);
        let want = if quiet.contains(due) { quiet.next_change(due).unwrap() } else { due };
        prop_assert!(told >= want.min(due) && told.since(want) <= 120_000_000_000, "{} {}", told, want);
    }
}
