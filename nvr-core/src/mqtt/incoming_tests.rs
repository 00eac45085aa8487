//! What messages do, told one after the other.

use proptest::prelude::*;
use std::time::Duration;

use super::*;
use crate::config::Config;
use crate::detection::DetectionKind;

fn rules(text: &str) -> Vec<MqttEventConfig> {
    let text = format!("[recorder]\nroot = \"/srv/nvr\"\n[mqtt]\nurl = \"mqtt://h\"\n{text}");
    let config = Config::parse(&text, None).unwrap_or_else(|e| panic!("{e}"));
    config.mqtt.unwrap().events
}

fn at(s: i64) -> Moment {
    Moment {
        utc: Timestamp::from_secs(1_700_000_000 + s),
        steady_ns: s * NS_PER_S,
    }
}

fn message(topic: &str, payload: &str) -> MqttMessage {
    MqttMessage {
        topic: topic.into(),
        payload: payload.to_owned().into(),
        retained: false,
    }
}

/// What became of messages: detections numbered in their order, with the numbers of what ended.
struct Seen {
    rules: Vec<MqttEventConfig>,
    incoming: Incoming,
    begun: Vec<NewDetection>,
    ended: Vec<(i64, Timestamp)>,
    ignored: Vec<Ignored>,
}

impl Seen {
    fn new(text: &str) -> Self {
        Self {
            rules: rules(text),
            incoming: Incoming::default(),
            begun: Vec::new(),
            ended: Vec::new(),
            ignored: Vec::new(),
        }
    }

    fn say(&mut self, topic: &str, payload: &str, s: i64) {
        self.take(&message(topic, payload), s);
    }

    fn keep(&mut self, topic: &str, payload: &str, s: i64) {
        let retained = true;
        self.take(
            &MqttMessage {
                retained,
                ..message(topic, payload)
            },
            s,
        );
    }

    fn take(&mut self, message: &MqttMessage, s: i64) {
        for act in self.incoming.take(&self.rules, message, at(s)) {
            self.did(act);
        }
    }

    fn did(&mut self, act: Result<Act, Ignored>) {
        match act {
            Ok(Act::Begin { key, new }) => {
                new.check().unwrap();
                let id = DetectionId(self.begun.len() as i64);
                self.begun.push(*new);
                if let Some(key) = key {
                    self.incoming.began(&key, Some(id));
                }
            }
            Ok(Act::End { id, at }) => self.ended.push((id.0, at)),
            Ok(Act::Surer { .. }) => {}
            Err(why) => self.ignored.push(why),
        }
    }

    fn pass(&mut self, s: i64) {
        for act in self.incoming.pass(at(s)) {
            self.did(Ok(act));
        }
    }
}

const DOOR: &str = "[[mqtt.events]]\ntopic = \"zigbee/door\"\ncamera = \"front\"\nlabel = \"door\"\nstate = \"{/contact}\"\non = \"false\"\noff = \"true\"\nlongest = \"10m\"\n";

#[test]
fn a_door_opens_and_closes() {
    let mut seen = Seen::new(DOOR);
    let (open, shut) = (r#"{"contact": false, "battery": 97}"#, r#"{"contact": true}"#);
    seen.say("zigbee/door", shut, 0);
    seen.say("zigbee/window", open, 1);
    seen.say("zigbee/door", open, 2);
    // Twice, and what says nothing of it.
    seen.say("zigbee/door", open, 3);
    seen.say("zigbee/door", r#"{"battery": 96}"#, 4);
    seen.say("zigbee/door", "no json", 5);
    assert_eq!((seen.begun.len(), seen.ended.len()), (1, 0));
    seen.say("zigbee/door", shut, 6);
    seen.say("zigbee/door", shut, 7);
    assert_eq!(seen.ended, [(0, at(6).utc)]);
    let new = &seen.begun[0];
    assert_eq!(
        (new.camera.as_str(), new.kind),
        ("front", DetectionKind::External)
    );
    assert_eq!(
        (new.label.as_deref(), new.source.as_deref()),
        (Some("door"), Some("zigbee/door"))
    );
    assert_eq!((new.from, new.to), (at(2).utc, None));
    // It opens again.
    seen.say("zigbee/door", open, 8);
    assert_eq!(seen.begun.len(), 2);
}

#[test]
fn what_was_kept_begins_nothing_and_ends_what_goes_on() {
    let mut seen = Seen::new(DOOR);
    seen.keep("zigbee/door", r#"{"contact": false}"#, 0);
    assert!(seen.begun.is_empty());
    assert_eq!(seen.ignored, [Ignored::Retained]);
    seen.say("zigbee/door", r#"{"contact": false}"#, 1);
    // The connection was lost, and it is still open.
    seen.keep("zigbee/door", r#"{"contact": false}"#, 20);
    assert_eq!((seen.begun.len(), seen.ended.len()), (1, 0));
    // Lost again, and it was shut meanwhile.
    seen.keep("zigbee/door", r#"{"contact": true}"#, 40);
    assert_eq!(seen.ended, [(0, at(40).utc)]);
}

#[test]
fn what_nobody_ends_is_over_after_a_while() {
    let mut seen = Seen::new(DOOR);
    seen.say("zigbee/door", r#"{"contact": false}"#, 0);
    seen.say("zigbee/door", r#"{"contact": false}"#, 300);
    seen.pass(899);
    assert!(seen.ended.is_empty());
    seen.pass(900);
    assert_eq!(seen.ended, [(0, at(900).utc)]);
    seen.say("zigbee/door", r#"{"contact": true}"#, 901);
    assert_eq!(seen.ended.len(), 1);
}

#[test]
fn a_sensor_that_never_says_off_holds() {
    let mut seen = Seen::new(
        "[[mqtt.events]]\ntopic = \"+/+/pir\"\ncamera = \"{2}\"\nkind = \"motion\"\non = \"on\"\nhold = \"30s\"\n",
    );
    seen.say("house/drive/pir", "ON", 0);
    seen.say("house/drive/pir", "OFF", 1);
    seen.say("house/yard/pir", "on", 2);
    seen.say("house/drive/pir", "ON", 20);
    seen.pass(32);
    assert_eq!(seen.ended, [(1, at(32).utc)], "the yard's");
    seen.pass(60);
    assert_eq!(seen.ended[1], (0, at(50).utc));
    let cameras: Vec<&str> = seen.begun.iter().map(|n| n.camera.as_str()).collect();
    assert_eq!(cameras, ["drive", "yard"]);
    assert_eq!(seen.begun[0].kind, DetectionKind::Motion);
}

#[test]
fn a_button_is_pressed() {
    let mut seen = Seen::new(
        "[[mqtt.events]]\ntopic = \"bell/#\"\ncamera = \"front\"\nlabel = \"doorbell {2}\"\nkeep_payload = true\n",
    );
    seen.say("bell/gate", "pressed", 0);
    // Sent once more, since the first was not confirmed in time.
    seen.say("bell/gate", "pressed", 1);
    seen.say("bell/door", r#"{"n": 1}"#, 1);
    seen.say("bell/gate", "pressed", 5);
    assert_eq!(seen.begun.len(), 3);
    assert_eq!(seen.begun[0].label.as_deref(), Some("doorbell gate"));
    assert_eq!(seen.begun[0].to, Some(at(0).utc));
    assert_eq!(seen.begun[0].data, None);
    assert_eq!(seen.begun[1].data.as_deref(), Some(r#"{"n": 1}"#));
    // An empty message takes away what is kept.
    seen.say("bell/gate", "", 9);
    assert_eq!(seen.begun.len(), 3);
}

const FRIGATE: &str = r#"
[[mqtt.events]]
topic = "frigate/events"
camera = "{/after/camera}"
camera_names = "Back_Yard = yard"
kind = "object"
label = "{/after/label}"
zone = "{/after/entered_zones/0}"
score = "{/after/top_score}"
state = "{/type}"
on = "new, update"
off = "end"
id = "{/after/id}"
from = "{/after/start_time}"
to = "{/after/end_time}"
"#;

#[test]
fn what_frigate_sees() {
    let mut seen = Seen::new(FRIGATE);
    let event = |kind: &str, id: &str, camera: &str, score: f32, end: &str| {
        let start = 1_700_000_000.5;
        format!(
            r#"{{"type":"{kind}","before":{{}},"after":{{"id":"{id}","camera":"{camera}","label":"person","top_score":{score},"start_time":{start},"end_time":{end},"entered_zones":["gate"]}}}}"#
        )
    };
    seen.say("frigate/events", &event("new", "1-a", "drive", 0.6, "null"), 1);
    seen.say(
        "frigate/events",
        &event("new", "2-b", "Back_Yard", 0.7, "null"),
        2,
    );
    seen.say("frigate/events", &event("update", "1-a", "drive", 0.9, "null"), 3);
    let end = event("end", "1-a", "drive", 0.9, "1700000003.25");
    seen.say("frigate/events", &end, 5);
    // The same again, in any order.
    seen.say("frigate/events", &end, 6);
    seen.say("frigate/events", &event("update", "1-a", "drive", 0.9, "null"), 7);
    seen.say(
        "frigate/events",
        &event("new", "3-c", "Front Door", 0.9, "null"),
        8,
    );
    assert_eq!(seen.begun.len(), 2);
    let (first, second) = (&seen.begun[0], &seen.begun[1]);
    assert_eq!((first.camera.as_str(), second.camera.as_str()), ("drive", "yard"));
    assert_eq!(first.kind, DetectionKind::Object);
    assert_eq!(
        (first.label.as_deref(), first.zone.as_deref()),
        (Some("person"), Some("gate"))
    );
    assert!(first.from.since(at(0).utc.add_ns(500_000_000)).abs() < 1000);
    assert!((first.score - 0.6).abs() < 1e-6);
    // As exact as numbers with decimals are.
    let (id, ended) = seen.ended[0];
    assert_eq!((seen.ended.len(), id), (1, 0));
    assert!(ended.since(at(3).utc.add_ns(250_000_000)).abs() < 1000, "{ended}");
    assert!(seen.ignored.iter().any(|i| matches!(i, Ignored::Camera(_))));
}

#[test]
fn too_much_is_too_much() {
    let mut seen = Seen::new(FRIGATE);
    for n in 0..400 {
        let text = format!(r#"{{"type":"new","after":{{"id":"{n}","camera":"drive","label":"x"}}}}"#);
        seen.say("frigate/events", &text, 1);
    }
    assert_eq!(seen.begun.len(), MOST_OPEN);
    assert_eq!(seen.incoming.open(), MOST_OPEN);
    assert!(seen.ignored.contains(&Ignored::TooMany));
    let mut seen = Seen::new("[[mqtt.events]]\ntopic = \"#\"\ncamera = \"front\"\n");
    seen.say("a", &"x".repeat(MOST_PAYLOAD + 1), 0);
    seen.take(
        &MqttMessage {
            payload: vec![0xff, 0xfe].into(),
            ..message("a", "")
        },
        0,
    );
    assert!(seen.begun.is_empty());
    assert!(
        seen.ignored.iter().all(|i| matches!(i, Ignored::Unreadable(_))) && seen.ignored.len() == 2,
        "{:?}",
        seen.ignored
    );
    assert_eq!(seen.incoming.end(at(1)), []);
}

#[test]
fn numbers_are_scores_and_times_where_they_can_be() {
    assert_eq!(score("0.5"), Some(0.5));
    assert_eq!(score("85%"), Some(0.85));
    for wrong in ["1.5", "-1", "nan", "inf", "x", "120%"] {
        assert_eq!(score(wrong), None, "{wrong}");
    }
    let now = at(0).utc;
    assert_eq!(time("1699999999", now), Some(now.add_ns(-NS_PER_S)));
    assert_eq!(time("1699999999000", now), Some(now.add_ns(-NS_PER_S)));
    assert_eq!(time("2023-11-14T22:13:19Z", now), Some(now.add_ns(-NS_PER_S)));
    for wrong in ["1700000001", "1600000000", "nan", "-5", "1e300", "yesterday", ""] {
        assert_eq!(time(wrong, now), None, "{wrong}");
    }
}

proptest! {
    /// Whatever comes: what is told can be entered, and each thing ends once.
    #[test]
    fn any_message_is_borne(
        messages in prop::collection::vec(
            (prop::sample::select(vec!["frigate/events", "zigbee/door", "x"]), ".{0,30}|\\{\"type\":\"(new|end)\",\"after\":\\{\"camera\":\"a\",\"id\":\"[12]\"\\}\\}|\\{\"contact\":(true|false)\\}", any::<bool>(), 0i64..30),
            0..60,
        ),
    ) {
        let mut seen = Seen::new(&format!("{FRIGATE}{DOOR}"));
        let mut s = 0;
        for (topic, payload, retained, later) in messages {
            s += later;
            seen.take(&MqttMessage { retained, ..message(topic, &payload) }, s);
            seen.pass(s);
        }
        seen.pass(s + 7200);
        prop_assert_eq!(seen.incoming.open(), 0);
        let mut ended: Vec<i64> = seen.ended.iter().map(|(id, _)| *id).collect();
        ended.sort_unstable();
        let all: Vec<i64> = (0..seen.begun.len() as i64).collect();
        prop_assert_eq!(ended, all);
    }
}

#[test]
fn what_is_wrong_in_the_file_is_told() {
    for (text, part) in [
        ("[[mqtt.events]]\ncamera = \"a\"\n", "`topic` is missing"),
        ("[[mqtt.events]]\ntopic = \"a\"\n", "`camera` is missing"),
        (
            "[[mqtt.events]]\ntopic = \"a/#/b\"\ncamera = \"a\"\n",
            "not a filter",
        ),
        (
            "[[mqtt.events]]\ntopic = \"a\"\ncamera = \"Front Door\"\n",
            "not the id of a camera",
        ),
        (
            "[[mqtt.events]]\ntopic = \"a\"\ncamera = \"{x}\"\n",
            "is no place",
        ),
        (
            "[[mqtt.events]]\ntopic = \"a\"\ncamera = \"a\"\non = \"1\"\noff = \"0, 1\"\n",
            "in `on` as well",
        ),
        (
            "[[mqtt.events]]\ntopic = \"a\"\ncamera = \"a\"\noff = \"0\"\nhold = \"3s\"\n",
            "says when it is over",
        ),
        (
            "[[mqtt.events]]\ntopic = \"a\"\ncamera = \"a\"\nlongest = \"1s\"\n",
            "out of bounds",
        ),
        (
            "[[mqtt.events]]\ntopic = \"a\"\ncamera = \"a\"\nkind = \"thing\"\n",
            "is not one of",
        ),
        (
            "[[mqtt.events]]\ntopic = \"a\"\ncamera = \"a\"\nlabels = \"x\"\n",
            "unknown key",
        ),
        ("events = \"a\"\n", "list of tables"),
    ] {
        let whole = format!("[recorder]\nroot = \"/srv/nvr\"\n[mqtt]\nurl = \"mqtt://h\"\n{text}");
        let error = Config::parse(&whole, None).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    let text = "[recorder]\nroot = \"/srv/nvr\"\n[[cameras]]\nid = \"a\"\nsource = \"test:\"\n[mqtt]\nurl = \"mqtt://h\"\n\
        [[mqtt.events]]\ntopic = \"a\"\ncamera = \"b\"\n[[mqtt.events]]\ntopic = \"a\"\ncamera = \"{1}\"\n\
        camera_names = \"x = a, y = c\"\n[[mqtt.events]]\ntopic = \"a\"\ncamera = \"x\"\ncamera_names = \"x = a\"\n";
    let warnings = Config::parse(text, None).unwrap().warnings;
    let told: Vec<_> = warnings
        .iter()
        .map(|w| {
            (
                w.line,
                w.column,
                w.key.as_str(),
                w.message.as_str(),
                w.hint.as_deref(),
            )
        })
        .collect();
    let hint = Some("the cameras are a");
    assert_eq!(
        told,
        [
            (
                10,
                10,
                "mqtt.events[0].camera",
                "`camera`: there is no camera \"b\", so that its messages are no events",
                hint
            ),
            (
                14,
                16,
                "mqtt.events[1].camera_names",
                "`camera_names`: there is no camera \"c\", so that its messages are no events",
                hint
            ),
        ]
    );
    let all = rules("[[mqtt.events]]\ntopic = \"a\"\ncamera = \"a\"\n");
    let mut plain = MqttEventConfig::new("a", "a").unwrap();
    assert_eq!(all, [plain.clone()]);
    plain.hold = Duration::from_secs(1);
    assert_ne!(all, [plain]);
}
