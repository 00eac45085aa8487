//! The recorder at an MQTT broker: states of cameras, told whenever they differ from what was told, and orders to record.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::{Inner, Nvr};
use crate::alerts::AlertKind;
use crate::archive::SnapshotRequest;
use crate::config::{Config, RecordMode};
use crate::detection::{Detection, DetectionId, DetectionKind};
use crate::event::{CameraPhase, EventKind};
use crate::ids::CameraId;
use crate::mqtt::discovery::{self, DiscoveredCamera, camera_topic};
use crate::mqtt::{Mqtt, MqttMessage};
use crate::store::DetectionQuery;
use crate::time::{TimeRange, duration_ns};

/// How often states are compared without an event.
const LOOK: Duration = Duration::from_secs(5);
/// What no message says: the broker may or may not keep something.
const UNKNOWN: &str = "\0";
/// Width of pictures.
const PICTURE_WIDTH: u32 = 1280;

/// What the broker keeps, by topic.
type Retained = BTreeMap<String, String>;
/// Cameras that something was ever detected of, with what goes on.
type Motions = BTreeMap<CameraId, BTreeSet<DetectionId>>;

impl Nvr {
    /// The connection to the MQTT broker, while one is configured.
    #[must_use]
    pub fn mqtt(&self) -> Option<Mqtt> {
        self.0.mqtt.borrow().clone()
    }

    /// The same, and each one that takes its place when the configuration changes.
    #[must_use]
    pub fn mqtt_changes(&self) -> watch::Receiver<Option<Mqtt>> {
        self.0.mqtt.subscribe()
    }
}

/// The connection that a configuration asks for. One that cannot be made is told and left out: recording does not wait for it.
pub(super) fn connect(config: &Config, clock: &crate::clock::SharedClock) -> Option<Mqtt> {
    let wanted = config.mqtt.clone()?;
    Mqtt::start(wanted, clock.clone())
        .inspect_err(|e| tracing::error!(error = %e, "the MQTT broker cannot be used"))
        .ok()
}

impl Inner {
    /// Puts another configuration of the broker in force.
    pub(super) fn reconnect(&self, config: &Config) -> Option<Mqtt> {
        let same = self.mqtt.borrow().as_ref().map(|m| m.config().clone()) == config.mqtt;
        if !same {
            if let Some(old) = self.mqtt.borrow().as_ref() {
                old.stop();
            }
            self.mqtt.send_replace(connect(config, &self.context.clock));
        }
        self.mqtt.borrow().clone()
    }

    /// What the broker is to keep now.
    fn retained(&self, mqtt: &Mqtt, motions: &Motions) -> Retained {
        let config = mqtt.config();
        let mut out = Retained::new();
        let active = self.alerts.active();
        let now = self.context.clock.now();
        let problem = |camera: Option<&CameraId>| {
            let any = active
                .iter()
                .any(|a| a.kind != AlertKind::Detection && (camera.is_none() || a.camera.as_ref() == camera));
            if any { "ON" } else { "OFF" }.to_owned()
        };
        let on = |is: bool| if is { "ON" } else { "OFF" }.to_owned();
        out.insert(mqtt.topic("problem"), problem(None));
        if config.discovery {
            out.extend([discovery::recorder(config)]);
        }
        for camera in self.cameras() {
            let (id, wanted, status) = (camera.id(), camera.config(), camera.status());
            let phase = status.state.phase;
            let connected = matches!(phase, CameraPhase::Recording | CameraPhase::Standby)
                || status.last_frame.is_some() && status.tracks.is_some() && phase == CameraPhase::Stopped;
            out.insert(camera_topic(config, &id, "state"), phase.as_str().to_owned());
            out.insert(camera_topic(config, &id, "connectivity"), on(connected));
            out.insert(camera_topic(config, &id, "problem"), problem(Some(&id)));
            out.insert(camera_topic(config, &id, "record"), on(status.recording));
            // There is a sensor where motion is looked for, and where something was ever detected.
            let present = motions.get(&id);
            let motion = present.is_some() || wanted.motion_at(now);
            if motion {
                let goes_on = present.is_some_and(|p| !p.is_empty());
                out.insert(camera_topic(config, &id, "motion"), on(goes_on));
            }
            if config.discovery {
                let found = DiscoveredCamera {
                    manual: wanted.enabled && wanted.record == RecordMode::Manual,
                    motion,
                    lines: wanted.enabled && !wanted.motion.lines.is_empty(),
                    name: wanted.name.clone(),
                    id,
                };
                out.extend(discovery::camera(config, &found));
            }
        }
        out
    }
}

pub(super) async fn work(recorder: Weak<Inner>, stop: CancellationToken) {
    let Some(mut changes) = recorder.upgrade().map(|r| r.mqtt.subscribe()) else {
        return;
    };
    loop {
        let present = changes.borrow_and_update().clone();
        let session = async {
            match present {
                Some(mqtt) => session(&recorder, mqtt).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            changed = changes.changed() => if changed.is_err() { return },
            () = session => {}
        }
        if recorder.strong_count() == 0 {
            return;
        }
    }
    if let Some(mqtt) = changes.borrow().as_ref() {
        mqtt.stop();
    }
}

async fn session(recorder: &Weak<Inner>, mqtt: Mqtt) {
    let Some(inner) = recorder.upgrade() else { return };
    let (clock, events) = (inner.context.clock.clone(), inner.context.events.subscribe());
    let mut query = DetectionQuery::new(TimeRange::ALL);
    query.limit = 1000;
    let mut motions = Motions::new();
    for seen in Nvr(inner)
        .detections()
        .list(query)
        .await
        .map(|p| p.items)
        .unwrap_or_default()
    {
        note(&mut motions, &seen);
    }
    let mut events = pin!(events);
    let mut status = mqtt.connections();
    let Ok(mut orders) = mqtt.subscribe(mqtt.topic("camera/+/record/set")).await else {
        return;
    };
    let mut told = Retained::new();
    let mut connections = 0;
    let mut pictured: Option<i64> = None;
    loop {
        let now = status.borrow_and_update().clone();
        if now.connected {
            if now.connections != connections {
                // A broker that was started anew may have forgotten all.
                connections = now.connections;
                told.values_mut()
                    .for_each(|payload| *payload = UNKNOWN.to_owned());
            }
            let Some(inner) = recorder.upgrade() else { return };
            let wanted = inner.retained(&mqtt, &motions);
            drop(inner);
            tell(&mqtt, &wanted, &mut told).await;
            let every = mqtt.config().pictures;
            let steady = clock.steady_ns();
            if !every.is_zero() && pictured.is_none_or(|t| steady - t >= duration_ns(every)) {
                pictured = Some(steady);
                tell_pictures(recorder, &mqtt).await;
            }
        }
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            order = orders.recv() => match order {
                Ok(message) => obey(recorder, &mqtt, &message).await,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            event = events.next() => match event.map(|e| e.kind) {
                None => return,
                Some(EventKind::DetectionStarted { detection }) => {
                    note(&mut motions, &detection);
                    tell_detection(&mqtt, &detection, true).await;
                }
                Some(EventKind::DetectionEnded { detection }) => {
                    note(&mut motions, &detection);
                    tell_detection(&mqtt, &detection, false).await;
                }
                Some(_) => {}
            },
            () = clock.tick(LOOK) => {}
        }
    }
}

fn note(motions: &mut Motions, seen: &Detection) {
    let present = motions.entry(seen.camera.clone()).or_default();
    if seen.to.is_none() {
        present.insert(seen.id);
    } else {
        present.remove(&seen.id);
    }
}

/// What was detected, as attributes of the sensor of motion. Not kept: it is news.
async fn tell_detection(mqtt: &Mqtt, seen: &Detection, begins: bool) {
    let topic = camera_topic(mqtt.config(), &seen.camera, "detection");
    let body = serde_json::json!({
        "id": seen.id,
        "kind": seen.kind.as_str(),
        "label": seen.label,
        "zone": seen.zone,
        "score": seen.score,
        "from": seen.from.to_string(),
        "to": seen.to.map(|t| t.to_string()),
    });
    if let Err(e) = mqtt.publish(topic, body.to_string(), false).await {
        tracing::debug!(error = %e, "a detection was not told");
    }
    // Once: it begins and ends in one.
    if seen.kind == DetectionKind::Line && begins {
        let topic = camera_topic(mqtt.config(), &seen.camera, "line");
        let body = serde_json::json!({ "event_type": seen.label, "line": seen.zone, "at": seen.best_at.to_string() });
        if let Err(e) = mqtt.publish(topic, body.to_string(), false).await {
            tracing::debug!(error = %e, "a crossed line was not told");
        }
    }
}

/// Tells what differs; what is not wanted any more is taken away by an empty message.
async fn tell(mqtt: &Mqtt, wanted: &Retained, told: &mut Retained) {
    let gone: Vec<String> = told
        .keys()
        .filter(|t| !wanted.contains_key(*t))
        .cloned()
        .collect();
    for topic in gone {
        if mqtt.publish(topic.clone(), "", true).await.is_err() {
            return;
        }
        told.remove(&topic);
    }
    for (topic, payload) in wanted
        .iter()
        .filter(|(t, p)| told.get(*t) != Some(p))
        .map(|(t, p)| (t.clone(), p.clone()))
        .collect::<Vec<_>>()
    {
        if let Err(e) = mqtt.publish(topic.clone(), payload.clone(), true).await {
            tracing::debug!(error = %e, "a state was not told");
            return;
        }
        told.insert(topic, payload);
    }
}

async fn tell_pictures(recorder: &Weak<Inner>, mqtt: &Mqtt) {
    let Some(nvr) = recorder.upgrade().map(Nvr) else {
        return;
    };
    for camera in nvr.cameras() {
        if camera.latest_keyframe().is_none() {
            continue;
        }
        let request = SnapshotRequest {
            width: Some(PICTURE_WIDTH),
            ..SnapshotRequest::new(camera.id(), None)
        };
        if let Ok(picture) = nvr.picture(request).await {
            let topic = camera_topic(mqtt.config(), &camera.id(), "picture");
            let _ = mqtt.publish(topic, picture.jpeg, true).await;
        }
    }
}

async fn obey(recorder: &Weak<Inner>, mqtt: &Mqtt, message: &MqttMessage) {
    let prefix = mqtt.topic("camera/");
    let id = message
        .topic
        .strip_prefix(&prefix)
        .and_then(|rest| rest.strip_suffix("/record/set"));
    let (Some(id), Some(nvr)) = (
        id.and_then(|id| CameraId::new(id).ok()),
        recorder.upgrade().map(Nvr),
    ) else {
        return;
    };
    // One that the broker kept was meant for then.
    if message.retained {
        return;
    }
    let done = match (nvr.camera(&id), &message.payload[..]) {
        (Ok(camera), b"ON") => camera.record(None).await.map(drop),
        (Ok(camera), b"OFF") => camera.stop_recording().await,
        (Ok(_), _) => return,
        (Err(e), _) => Err(e),
    };
    match done {
        Ok(()) => tracing::info!(camera = %id, "recording was switched over MQTT"),
        Err(e) => tracing::warn!(camera = %id, error = %e, "recording was not switched over MQTT"),
    }
}
