//! What Home Assistant is told so that cameras show up by themselves (MQTT discovery). Pure.
//!
//! One retained message for each entity below `<prefix>/<component>/<node>/<object>/config`, with the keys that
//! <https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery> and the pages of the components (`binary_sensor.mqtt`,
//! `sensor.mqtt`, `event.mqtt`, `switch.mqtt`, `camera.mqtt`) name. An empty message takes an entity away.

use serde_json::{Value, json};

use crate::config::MqttConfig;
use crate::ids::CameraId;
use crate::line::Direction;

/// What is told of a camera.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiscoveredCamera {
    /// Id.
    pub id: CameraId,
    /// Name for people.
    pub name: String,
    /// Whether recordings are begun by hand: then there is a switch.
    pub manual: bool,
    /// Whether something looks for motion or objects: then there is a sensor of motion.
    pub motion: bool,
    /// Whether it has lines that may be crossed: then there is an event of it.
    pub lines: bool,
}

/// Topics of a camera below the base.
#[must_use]
pub fn camera_topic(config: &MqttConfig, camera: &CameraId, what: &str) -> String {
    format!("{}/camera/{camera}/{what}", config.base_topic)
}

/// A message of discovery: topic and payload, to be retained.
pub type Announcement = (String, String);

/// A name as ids of Home Assistant may hold it (`[a-zA-Z0-9_-]`).
fn node(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

fn recorder_node(config: &MqttConfig) -> String {
    node(&config.base_topic)
}

fn origin() -> Value {
    json!({ "name": "nvr", "sw_version": env!("CARGO_PKG_VERSION") })
}

fn recorder_device(config: &MqttConfig) -> Value {
    json!({
        "identifiers": [format!("nvr_{}", recorder_node(config))],
        "name": "Video recorder",
        "manufacturer": "nvr",
        "model": "Network video recorder",
        "sw_version": env!("CARGO_PKG_VERSION"),
    })
}

fn entity(
    config: &MqttConfig,
    component: &str,
    (node_id, object): (&str, &str),
    device: &Value,
    mut body: Value,
) -> Announcement {
    let topic = format!(
        "{}/{component}/{node_id}/{object}/config",
        config.discovery_prefix
    );
    if let Some(body) = body.as_object_mut() {
        body.insert("unique_id".into(), format!("{node_id}_{object}").into());
        body.insert(
            "availability_topic".into(),
            format!("{}/status", config.base_topic).into(),
        );
        body.insert("device".into(), device.clone());
        body.insert("origin".into(), origin());
    }
    (topic, body.to_string())
}

/// The entity of the recorder itself: whether anything is wrong.
#[must_use]
pub fn recorder(config: &MqttConfig) -> Announcement {
    let node_id = format!("nvr_{}", recorder_node(config));
    let body = json!({
        "name": "Problem",
        "device_class": "problem",
        "entity_category": "diagnostic",
        "state_topic": format!("{}/problem", config.base_topic),
    });
    entity(
        config,
        "binary_sensor",
        (&node_id, "problem"),
        &recorder_device(config),
        body,
    )
}

/// The entities of a camera; those that it does not have are empty, which takes them away.
#[must_use]
pub fn camera(config: &MqttConfig, camera: &DiscoveredCamera) -> Vec<Announcement> {
    let node_id = format!("nvr_{}_{}", recorder_node(config), node(camera.id.as_str()));
    let topic = |what: &str| camera_topic(config, &camera.id, what);
    let device = json!({
        "identifiers": [node_id],
        "name": camera.name,
        "manufacturer": "nvr",
        "model": "Camera",
        "via_device": format!("nvr_{}", recorder_node(config)),
    });
    let all = [
        (
            "binary_sensor",
            "connectivity",
            true,
            json!({
                "name": "Connected",
                "device_class": "connectivity",
                "entity_category": "diagnostic",
                "state_topic": topic("connectivity"),
            }),
        ),
        (
            "binary_sensor",
            "problem",
            true,
            json!({
                "name": "Problem",
                "device_class": "problem",
                "entity_category": "diagnostic",
                "state_topic": topic("problem"),
            }),
        ),
        (
            "sensor",
            "state",
            true,
            json!({
                "name": "State",
                "device_class": "enum",
                "options": ["stopped", "connecting", "standby", "recording", "stalled", "backing_off", "failed"],
                "state_topic": topic("state"),
            }),
        ),
        (
            "binary_sensor",
            "motion",
            camera.motion,
            json!({
                "name": "Motion",
                "device_class": "motion",
                "state_topic": topic("motion"),
                "json_attributes_topic": topic("detection"),
            }),
        ),
        (
            "event",
            "line",
            camera.lines,
            json!({
                "name": "Line crossed",
                "icon": "mdi:vector-line",
                "event_types": [Direction::LeftToRight.as_str(), Direction::RightToLeft.as_str()],
                "state_topic": topic("line"),
            }),
        ),
        (
            "switch",
            "record",
            camera.manual,
            json!({
                "name": "Record",
                "icon": "mdi:record-rec",
                "state_topic": topic("record"),
                "command_topic": topic("record/set"),
            }),
        ),
        (
            "camera",
            "picture",
            !config.pictures.is_zero(),
            json!({
                "name": Value::Null,
                "topic": topic("picture"),
            }),
        ),
    ];
    all.into_iter()
        .map(|(component, object, there, body)| {
            let (topic, payload) = entity(config, component, (&node_id, object), &device, body);
            (topic, if there { payload } else { String::new() })
        })
        .collect()
}

/// What takes a camera away.
#[must_use]
pub fn gone(config: &MqttConfig, id: &CameraId) -> Vec<Announcement> {
    let none = DiscoveredCamera {
        id: id.clone(),
        name: String::new(),
        manual: false,
        motion: false,
        lines: false,
    };
    let all = camera(config, &none).into_iter();
    all.map(|(topic, _)| (topic, String::new())).collect()
}
