//! Events from a real broker.

use std::time::Duration;

use tokio_stream::StreamExt as _;

use super::super::Nvr;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::event::EventKind;
use crate::mqtt::Mqtt;
use crate::mqtt::tests::Broker;
use crate::store::DetectionQuery;
use crate::{Detection, DetectionKind, TimeRange};

const EVENTS: &str = r#"
[[mqtt.events]]
topic = "zigbee/+/door"
camera = "{2}"
label = "door"
state = "{/contact}"
on = "false"
off = "true"

[[mqtt.events]]
topic = "bell"
camera = "front"
label = "doorbell"
"#;
const OPEN: &str = r#"{"contact": false}"#;
const SHUT: &str = r#"{"contact": true}"#;

/// Asks again and again until there is an answer.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asked)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

async fn seen(nvr: &Nvr, label: &str) -> Vec<Detection> {
    let all = nvr.detections().list(DetectionQuery::new(TimeRange::ALL)).await;
    let mut all = all.unwrap().items;
    all.retain(|d| d.label.as_deref() == Some(label));
    all.sort_by_key(|d| d.id);
    all
}

/// Publishes once there is a connection.
async fn say(sensor: &Mqtt, topic: &str, payload: &str, retain: bool) {
    until("the sensor's message to be taken", async || {
        sensor.publish(topic, payload.to_owned(), retain).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_and_a_bell_at_a_broker_that_goes_and_comes() {
    let mut broker = Broker::start();
    let sensor = Mqtt::start(broker.config("sensor"), SystemClock::shared()).unwrap();
    // What it kept from before begins nothing.
    say(&sensor, "zigbee/front/door", OPEN, true).await;

    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[recorder]\nroot = \"{0}/recordings\"\ndatabase = \"{0}/nvr.db\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{1}\"\n{EVENTS}\n\
         [[cameras]]\nid = \"front\"\nsource = \"test:\"\nenabled = false\n",
        dir.path().display(),
        broker.port
    );
    let config = Config::parse(&text, None).unwrap();
    let nvr = Nvr::builder(config.clone()).start().await.unwrap();
    let mut events = nvr.events();
    until("the kept message", async || {
        (nvr.mqtt_event_counts().retained == 1).then_some(())
    })
    .await;
    assert!(seen(&nvr, "door").await.is_empty());

    // The door is opened, and says so twice.
    say(&sensor, "zigbee/front/door", OPEN, true).await;
    say(&sensor, "zigbee/front/door", OPEN, true).await;
    say(&sensor, "bell", "pressed", false).await;
    let bell = until("the bell", async || seen(&nvr, "doorbell").await.pop()).await;
    assert!(bell.to.is_some(), "{bell:?}");
    let doors = seen(&nvr, "door").await;
    assert_eq!(doors.len(), 1, "{doors:?}");
    let door = &doors[0];
    assert_eq!(
        (door.camera.as_str(), door.kind),
        ("front", DetectionKind::External)
    );
    assert_eq!(
        (door.to, door.source.as_deref()),
        (None, Some("zigbee/front/door"))
    );
    let first = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let EventKind::DetectionStarted { detection } = events.next().await.unwrap().kind {
                break detection;
            }
        }
    });
    assert_eq!(first.await.unwrap().id, door.id, "it is told like any other");

    // Another camera's, which is not there.
    say(&sensor, "zigbee/attic/door", OPEN, false).await;
    until("the unknown camera", async || {
        (nvr.mqtt_event_counts().unknown_camera == 1).then_some(())
    })
    .await;

    // The broker is away and back, and the door is shut.
    let connections = nvr.mqtt().unwrap().status().connections;
    broker.kill();
    until("the loss of the broker", async || {
        (!nvr.mqtt().unwrap().status().connected).then_some(())
    })
    .await;
    assert_eq!(seen(&nvr, "door").await[0].to, None);
    broker.again();
    say(&sensor, "zigbee/front/door", SHUT, true).await;
    let shut = until("the end", async || {
        let door = seen(&nvr, "door").await.pop()?;
        door.to.map(|_| door)
    })
    .await;
    assert_eq!(shut.id, door.id);
    assert!(nvr.mqtt().unwrap().status().connections > connections);

    // It opens again, and then nobody listens any more.
    say(&sensor, "zigbee/front/door", OPEN, false).await;
    until("another opening", async || {
        let all = seen(&nvr, "door").await;
        (all.len() == 2 && all[1].to.is_none()).then_some(())
    })
    .await;
    let mut without = config;
    without.mqtt.as_mut().unwrap().events.clear();
    nvr.reload(without).await.unwrap();
    until("the end of what nobody says the end of", async || {
        seen(&nvr, "door").await[1].to.map(|_| ())
    })
    .await;
    assert_eq!(nvr.mqtt_event_counts().events, 3);
    nvr.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_cut_off() {
    let broker = Broker::start();
    let sensor = Mqtt::start(broker.config("sensor"), SystemClock::shared()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[recorder]\nroot = \"{0}/recordings\"\ndatabase = \"{0}/nvr.db\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{1}\"\n\
         [[mqtt.events]]\ntopic = \"#\"\ncamera = \"front\"\nlabel = \"flood\"\n\
         [[cameras]]\nid = \"front\"\nsource = \"test:\"\nenabled = false\n",
        dir.path().display(),
        broker.port
    );
    let nvr = Nvr::builder(Config::parse(&text, None).unwrap())
        .start()
        .await
        .unwrap();
    // Which also shows that what the recorder itself says is no event: each detection is told at the broker.
    let mut n = 0;
    until("the limit", async || {
        for _ in 0..20 {
            n += 1;
            say(&sensor, "sensor/x", &format!("{n}"), false).await;
        }
        (nvr.mqtt_event_counts().too_many > 0).then_some(())
    })
    .await;
    assert!(nvr.mqtt_event_counts().events <= 301);
    let largest = "x".repeat(crate::mqtt::incoming::MOST_PAYLOAD + 1);
    until("the large one", async || {
        say(&sensor, "sensor/x", &largest, false).await;
        (nvr.mqtt_event_counts().unreadable > 0).then_some(())
    })
    .await;
    nvr.shutdown(Duration::from_secs(10)).await;
}
