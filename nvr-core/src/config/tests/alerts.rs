//! `[alerts]`, `[[alert_rule]]`, `[[alert_channel]]`, `[mqtt]`.

use std::time::Duration;

use super::*;
use crate::alerts::{AlertKind, Severity};

const HEAD: &str = "[recorder]\nroot = \"/r\"\ntime_zone = \"Europe/Berlin\"\n[[cameras]]\nid = \"front\"\nsource = \"test:\"\n";

#[test]
fn without_a_word_the_built_in_rules_are_in_force() {
    let config = parse(HEAD).unwrap();
    let built_in = AlertsConfig {
        zone: "Europe/Berlin".into(),
        ..AlertsConfig::default()
    };
    assert_eq!(config.alerts, built_in);
    assert_eq!(config.alerts.rules.len(), AlertKind::ALL.len() - 1);
    assert!(config.mqtt.is_none());
}

#[test]
fn all_of_it_arrives() {
    let text = r#"
[mqtt]
url = "mqtts://ha.lan"
user = "nvr"
password = "${CAM_PW}"
base_topic = "house/nvr"
pictures = "1m"
[alerts]
quiet_hours = "22:00-07:00"
interval = "1m"
page = "https://nvr.lan/"
[[alert_channel]]
name = "mail"
kind = "email"
host = "smtp.example.org"
tls = "starttls"
user = "u"
password = "${CAM_PW}"
from = "nvr <nvr@example.org>"
to = "a@example.org, b@example.org"
[[alert_channel]]
name = "hook"
kind = "webhook"
address = "https://h/${CAM_PW}"
headers = "X-A: {{ rule }}\nX-B: b"
[[alert_channel]]
name = "bus"
kind = "mqtt"
[[alert_rule]]
name = "soon"
kind = "camera_offline"
cameras = "front"
channels = "mail,bus"
after = "10s"
severity = "info"
[[alert_rule]]
name = "disk_full"
kind = "disk_full"
threshold = 92.5
"#;
    let config = parse(&format!("{HEAD}{text}")).unwrap();
    let mqtt = config.mqtt.clone().unwrap();
    assert_eq!((mqtt.host.as_str(), mqtt.port, mqtt.tls), ("ha.lan", 8883, true));
    assert_eq!(mqtt.pictures, Duration::from_secs(60));
    let alerts = &config.alerts;
    assert_eq!(alerts.page.as_deref(), Some("https://nvr.lan"));
    assert!(alerts.quiet_hours.is_some());
    let [mail, hook, bus] = &alerts.channels[..] else {
        panic!()
    };
    assert!(matches!(&mail.place, ChannelPlace::Email { port: 587, to, .. } if to.len() == 2));
    assert!(matches!(&hook.place, ChannelPlace::Webhook { headers, .. } if headers.len() == 2));
    assert!(matches!(&bus.place, ChannelPlace::Mqtt { topic } if topic == "house/nvr/alerts"));
    assert_eq!(hook.place.shown(), "h");
    let soon = alerts.rules.iter().find(|r| r.name == "soon").unwrap();
    assert_eq!(
        (soon.severity, soon.after),
        (Severity::Info, Duration::from_secs(10))
    );
    let disk: Vec<_> = alerts
        .rules
        .iter()
        .filter(|r| r.kind == AlertKind::DiskFull)
        .collect();
    assert_eq!(
        (disk.len(), disk[0].threshold),
        (1, 92.5),
        "it takes the place of the built-in one"
    );
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn mistakes_of_alerts_are_told() {
    let channel = |lines: &str| format!("[[alert_channel]]\nname = \"c\"\n{lines}\n");
    let rule = |lines: &str| format!("[[alert_rule]]\nname = \"r\"\n{lines}\n");
    for (text, told) in [
        (channel("kind = \"mqtt\""), "there is no MQTT broker"),
        (channel("kind = \"ntfy\""), "`address` is missing"),
        (
            channel("kind = \"ntfy\"\naddress = \"https://ntfy.sh\""),
            "`address` is not one for this",
        ),
        (
            channel("kind = \"discord\"\naddress = \"https://d/x\"\nhost = \"x\""),
            "`host` does not go with",
        ),
        (
            channel("kind = \"webhook\"\naddress = \"https://h\"\nmethod = \"GET\""),
            "`method`",
        ),
        (
            channel("kind = \"webhook\"\naddress = \"https://h\"\nbody = \"{{\""),
            "`body` is not a template",
        ),
        (
            channel("kind = \"webhook\"\naddress = \"https://h\"\nheaders = \"a b\""),
            "`headers`",
        ),
        (
            channel("kind = \"email\"\nhost = \"h\"\ntls = \"none\"\nfrom = \"a@b.c\"\nto = \"a@b.c\""),
            "without encryption only",
        ),
        (
            channel("kind = \"email\"\nhost = \"h\"\nfrom = \"a\"\nto = \"a@b.c\""),
            "not an address of mail",
        ),
        (
            rule("kind = \"camera_offline\"\nchannels = \"phone\""),
            "there is no alert channel \"phone\"",
        ),
        (
            rule("kind = \"camera_offline\"\ncameras = \"yard\""),
            "there is no camera \"yard\"",
        ),
        (rule("kind = \"disk_full\"\nthreshold = 120"), "out of bounds"),
        (rule("kind = \"offline\""), "is not one of"),
        ("[alerts]\nquiet_hours = \"25\"\n".into(), "not a list of windows"),
        (
            "[mqtt]\nurl = \"http://h\"\n".into(),
            "not the address of a broker",
        ),
        (
            "[mqtt]\nurl = \"mqtt://h\"\nbase_topic = \"a/#\"\n".into(),
            "not the beginning of a topic",
        ),
        ("alert_rule = 1\n".into(), "`alert_rule` is a list"),
    ] {
        let text = if text.starts_with("alert_rule") {
            format!("{text}{HEAD}")
        } else {
            format!("{HEAD}{text}")
        };
        let found = mistakes(&text);
        assert!(found.iter().any(|m| m.contains(told)), "{told}: {found:?}");
    }
}
