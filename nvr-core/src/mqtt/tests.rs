//! Against mosquitto, and discovery against the documented keys.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::discovery::{self, DiscoveredCamera};
use super::*;
use crate::clock::SystemClock;

/// mosquitto on a port of loopback; killed when dropped.
pub(crate) struct Broker {
    child: Child,
    pub(crate) port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Broker {
    pub(crate) fn start() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let child = Self::spawn(port, folder.path());
        Self { child, port, folder }
    }

    fn spawn(port: u16, folder: &std::path::Path) -> Child {
        let conf = folder.join("mosquitto.conf");
        let mut file = std::fs::File::create(&conf).unwrap();
        writeln!(
            file,
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest none"
        )
        .unwrap();
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(&conf)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        child.expect("mosquitto: tools/install-deps.sh test")
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn again(&mut self) {
        self.child = Self::spawn(self.port, self.folder.path());
    }

    pub(crate) fn config(&self, id: &str) -> MqttConfig {
        MqttConfig {
            client_id: id.into(),
            base_topic: id.into(),
            ..MqttConfig::new("127.0.0.1", self.port)
        }
    }
}

async fn patient<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what)
        .await
        .expect("within a minute")
}

async fn connected(mqtt: &Mqtt, times: u64) {
    let mut status = mqtt.connections();
    patient(status.wait_for(|s| s.connected && s.connections >= times))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_both_ways_and_a_killed_broker_is_found_again() {
    let mut broker = Broker::start();
    let clock = SystemClock::shared();
    let one = Mqtt::start(broker.config("one"), clock.clone()).unwrap();
    let two = Mqtt::start(broker.config("two"), clock).unwrap();
    connected(&one, 1).await;
    connected(&two, 1).await;
    let mut heard = two.subscribe("one/#").await.unwrap();
    // The broker keeps it for whoever comes.
    let first = patient(heard.recv()).await.unwrap();
    assert_eq!(
        (first.topic.as_str(), &first.payload[..]),
        ("one/status", &b"online"[..])
    );
    one.publish("one/x", "1", false).await.unwrap();
    let next = patient(heard.recv()).await.unwrap();
    assert_eq!(
        (next.topic.as_str(), &next.payload[..], next.retained),
        ("one/x", &b"1"[..], false)
    );
    assert_eq!(
        one.publish("a/+", "1", false).await.unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
    assert_eq!(
        one.subscribe("a/#/b").await.unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );

    broker.kill();
    patient(one.connections().wait_for(|s| !s.connected))
        .await
        .unwrap();
    let error = one.publish("one/x", "2", false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    broker.again();
    connected(&one, 2).await;
    connected(&two, 2).await;
    // What was subscribed to is again.
    loop {
        one.publish("one/y", "3", false).await.unwrap();
        let message = tokio::time::timeout(Duration::from_millis(500), heard.recv()).await;
        if message.is_ok_and(|m| m.unwrap().topic == "one/y") {
            break;
        }
    }
    one.stop();
    loop {
        let message = patient(heard.recv()).await.unwrap();
        if message.topic == "one/status" && &message.payload[..] == b"offline" {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_broker_is_told() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut wire, _)) = server.accept().await {
            let _ = wire.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let mqtt = Mqtt::start(MqttConfig::new("127.0.0.1", port), SystemClock::shared()).unwrap();
    let mut status = mqtt.connections();
    let status = patient(status.wait_for(|s| s.trouble.is_some()))
        .await
        .unwrap()
        .clone();
    assert!(!status.connected, "{status:?}");
}

/// The keys that the pages of Home Assistant's components list, without those that no entity of ours could use
/// (`integrations/binary_sensor.mqtt`, `sensor.mqtt`, `event.mqtt`, `switch.mqtt`, `camera.mqtt`), and those that are required.
fn documented(component: &str) -> (&'static [&'static str], &'static [&'static str]) {
    const ALL: [&str; 12] = [
        "availability",
        "availability_topic",
        "device",
        "device_class",
        "enabled_by_default",
        "entity_category",
        "icon",
        "json_attributes_topic",
        "name",
        "origin",
        "qos",
        "unique_id",
    ];
    match component {
        "binary_sensor" => (
            &[
                "state_topic",
                "payload_on",
                "payload_off",
                "off_delay",
                "expire_after",
            ],
            &["state_topic"],
        ),
        "sensor" => (
            &["state_topic", "options", "unit_of_measurement", "state_class"],
            &["state_topic"],
        ),
        "switch" => (
            &[
                "state_topic",
                "command_topic",
                "payload_on",
                "payload_off",
                "optimistic",
            ],
            &["command_topic"],
        ),
        "camera" => (&["topic", "image_encoding"], &["topic"]),
        "event" => (
            &["state_topic", "event_types", "value_template"],
            &["state_topic", "event_types"],
        ),
        "" => (&ALL, &[]),
        other => panic!("{other} is no component of ours"),
    }
}

#[test]
fn discovery_has_the_documented_keys() {
    let config = MqttConfig {
        pictures: Duration::from_secs(60),
        ..MqttConfig::new("h", 1)
    };
    let camera = DiscoveredCamera {
        id: "front.door".parse().unwrap_or_else(|_| "front".parse().unwrap()),
        name: "Tür".into(),
        manual: true,
        motion: true,
        lines: true,
    };
    let mut all = discovery::camera(&config, &camera);
    all.push(discovery::recorder(&config));
    let mut ids = BTreeMap::new();
    for (topic, payload) in &all {
        let parts: Vec<&str> = topic.split('/').collect();
        let [prefix, component, node, object, end] = parts[..] else {
            panic!("{topic}")
        };
        assert_eq!((prefix, end), ("homeassistant", "config"));
        let fits = |s: &str| {
            !s.is_empty()
                && s.chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        };
        assert!(fits(node) && fits(object), "{topic}");
        let body: Value = serde_json::from_str(payload).unwrap();
        let (known, required) = documented(component);
        for key in body.as_object().unwrap().keys() {
            assert!(
                known.contains(&key.as_str()) || documented("").0.contains(&key.as_str()),
                "{topic}: {key}"
            );
        }
        for key in required
            .iter()
            .chain(&["unique_id", "device", "availability_topic"])
        {
            assert!(!body[key].is_null(), "{topic}: {key}");
        }
        assert!(
            ids.insert(body["unique_id"].as_str().unwrap().to_owned(), topic)
                .is_none(),
            "{topic}"
        );
        assert!(body["device"]["identifiers"].is_array());
    }
    let without = DiscoveredCamera {
        manual: false,
        motion: false,
        lines: false,
        ..camera
    };
    let empty = discovery::camera(&config, &without)
        .iter()
        .filter(|(_, p)| p.is_empty())
        .count();
    assert_eq!(
        empty, 3,
        "the switch, the sensor of motion and the event of lines are taken away"
    );
    assert!(
        discovery::gone(&config, &without.id)
            .iter()
            .all(|(_, p)| p.is_empty())
    );
}
