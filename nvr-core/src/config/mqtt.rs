//! `[mqtt]`: the broker that states go to and events come from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::camera::CameraConfig;
use super::lists::Tables;
use super::mqtt_events::{MqttEventConfig, RawMqttEvent};
use super::reader::{Reader, Section, section};
use super::values::{Span, Text};
use crate::secret::Secret;

/// A broker.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct MqttConfig {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Certificates to trust beside those of the system.
    pub ca: Option<PathBuf>,
    /// User; none: no login.
    pub user: Option<String>,
    /// Password.
    pub password: Secret,
    /// Id of the client; unique at the broker.
    pub client_id: String,
    /// What all topics begin with (default `nvr`).
    pub base_topic: String,
    /// Whether cameras show up in Home Assistant by themselves (default: yes).
    pub discovery: bool,
    /// Where Home Assistant looks for that (default `homeassistant`).
    pub discovery_prefix: String,
    /// How often a picture of each camera is published; zero: never (the default).
    pub pictures: Duration,
    /// Which messages are events of cameras.
    pub events: Vec<MqttEventConfig>,
}

section! {
    /// The MQTT broker that the states of cameras go to, and alerts of a channel of the kind `mqtt`. There is none unless
    /// `url` is set.
    RawMqtt requires [] {
        /// Address: `mqtt://host` (port 1883) or `mqtts://host` (TLS, port 8883), each with `:port` where it is another.
        url: Text,
        /// User at the broker.
        user: Text,
        /// Password. Better a variable: `${MQTT_PASSWORD}` or `${file:/run/secrets/mqtt}`.
        password: Text,
        /// Id of the client; each recorder at a broker needs its own.
        client_id: Text = "nvr",
        /// What all topics begin with; each recorder at a broker needs its own.
        base_topic: Text = "nvr",
        /// Whether cameras show up in Home Assistant by themselves (MQTT discovery).
        discovery: bool = true,
        /// Where Home Assistant looks for that.
        discovery_prefix: Text = "homeassistant",
        /// How often a picture of each camera is published, 5 s to 1 day; 0: never. Whoever may read the topics sees them.
        pictures: Span = "0s",
        /// File with certificates (PEM) to trust beside those of the system.
        ca: Text,
        /// Which messages are events of cameras; each a table below `[[mqtt.events]]`.
        events: Tables<RawMqttEvent>,
    }
}

impl MqttConfig {
    /// A broker without a login, with the defaults.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            tls: false,
            ca: None,
            user: None,
            password: Secret::default(),
            client_id: "nvr".into(),
            base_topic: "nvr".into(),
            discovery: true,
            discovery_prefix: "homeassistant".into(),
            pictures: Duration::ZERO,
            events: Vec::new(),
        }
    }

    /// Reads the section; none without `url`.
    pub(super) fn read(
        reader: &mut Reader<'_, '_>,
        section: &Section<'_>,
        base: Option<&Path>,
        cameras: &[CameraConfig],
    ) -> Option<Self> {
        let raw = RawMqtt::read(reader, section);
        for at in [&raw.base_topic, &raw.discovery_prefix].into_iter().flatten() {
            if !is_topic(at.value.as_str()) {
                let name = at.key.rsplit('.').next().unwrap_or_default();
                let message = format!("`{name}`: {} is not the beginning of a topic", at.value.shown());
                let hint = Some("1 to 100 letters and digits, `/` between, without + and #".to_owned());
                reader.problems.error(&at.span, &at.key, message, hint);
            }
        }
        if let Some(at) = &raw.client_id
            && !(1..=100).contains(&at.value.as_str().len())
        {
            let message = "`client_id`: 1 to 100 letters";
            reader.problems.error(&at.span, &at.key, message, None);
        }
        let day = Span(Duration::from_secs(86_400));
        let never = raw.pictures.as_ref().filter(|at| !at.value.0.is_zero());
        let pictures = reader.within(never, &(Span(Duration::from_secs(5))..=day));
        let events = match &raw.events {
            Some(_) => super::mqtt_events::read(reader, section, "events", cameras),
            None => Vec::new(),
        };
        let at = raw.url.as_ref()?;
        if at.unknown {
            return None;
        }
        let Some((tls, host, port)) = place(at.value.as_str()) else {
            let message = format!("`url`: {} is not the address of a broker", at.value.shown());
            let hint =
                Some("write mqtt://host or mqtts://host, user and password as keys of their own".to_owned());
            reader.problems.error(&at.span, &at.key, message, hint);
            return None;
        };
        let text = |at: &Option<super::reader::At<Text>>, default: &str| {
            at.as_ref()
                .map_or(default.to_owned(), |at| at.value.as_str().to_owned())
        };
        Some(Self {
            tls,
            ca: raw
                .ca
                .as_ref()
                .map(|at| base.unwrap_or(Path::new("")).join(at.value.as_str())),
            user: raw.user.as_ref().map(|at| at.value.as_str().to_owned()),
            password: Secret::new(text(&raw.password, "")),
            client_id: text(&raw.client_id, "nvr"),
            base_topic: text(&raw.base_topic, "nvr"),
            discovery: raw.discovery.as_ref().is_none_or(|at| at.value),
            discovery_prefix: text(&raw.discovery_prefix, "homeassistant"),
            pictures: pictures.map_or(Duration::ZERO, |d| d.0),
            events,
            ..Self::new(host, port)
        })
    }
}

fn is_topic(text: &str) -> bool {
    let fits = |c: char| !c.is_control() && !c.is_whitespace() && c != '+' && c != '#' && c != '$';
    (1..=100).contains(&text.len()) && text.split('/').all(|p| !p.is_empty()) && text.chars().all(fits)
}

/// Whether it is encrypted, host and port.
fn place(text: &str) -> Option<(bool, String, u16)> {
    let url = url::Url::parse(text).ok()?;
    let (tls, port) = match url.scheme() {
        "mqtt" => (false, 1883),
        "mqtts" => (true, 8883),
        _ => return None,
    };
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let path = matches!(url.path(), "" | "/");
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    (bare && path && !host.is_empty()).then(|| (tls, host, url.port().unwrap_or(port)))
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn addresses_of_brokers() {
        assert_eq!(place("mqtt://ha.lan"), Some((false, "ha.lan".into(), 1883)));
        assert_eq!(place("mqtts://[::1]:99/"), Some((true, "::1".into(), 99)));
        for wrong in ["ha.lan", "http://x", "mqtt://", "mqtt://u:p@h", "mqtt://h/x"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
