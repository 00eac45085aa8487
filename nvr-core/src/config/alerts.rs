//! `[alerts]` and `[[alert_rule]]`: what is told, and when. Channels are in `alert_channel`.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use toml::de::DeTable;

use super::alert_channel::AlertChannel;
use super::reader::{At, Reader, Section, section};
use super::values::{Ratio, Span, Text, Word};
use crate::alerts::{AlertKind, AlertRule, Severity};
use crate::ids::CameraId;
use crate::window::Windows;

/// What is told, and where.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct AlertsConfig {
    /// Whether anything is looked at (default: yes).
    pub enabled: bool,
    /// When only critical alerts are told; `None`: never.
    pub quiet_hours: Option<Windows>,
    /// How long is waited for others of the same rule, to tell them together (default 30 s).
    pub group: Duration,
    /// Least time between two messages of a rule (default 5 min).
    pub interval: Duration,
    /// A message that could not be delivered for so long is given up (default 1 day).
    pub give_up: Duration,
    /// Address of the page, for links; none without.
    pub page: Option<String>,
    /// Time zone of times in messages (IANA name); UTC when empty.
    pub zone: String,
    /// All rules, the built-in ones included.
    pub rules: Vec<AlertRule>,
    /// Channels, names unique.
    pub channels: Vec<AlertChannel>,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            quiet_hours: None,
            group: Duration::from_secs(30),
            interval: Duration::from_secs(300),
            give_up: Duration::from_secs(86_400),
            page: None,
            zone: String::new(),
            rules: AlertRule::defaults(),
            channels: Vec::new(),
        }
    }
}

section! {
    /// Telling somebody when something is wrong. Rules are in force without being written; nothing leaves the machine unless
    /// there is an `[[alert_channel]]`.
    RawAlerts requires [] {
        /// Whether anything is looked at.
        enabled: bool = true,
        /// Whether the built-in rules are in force; `false`: only those of `[[alert_rule]]`.
        defaults: bool = true,
        /// When only critical alerts are told: `"22:00-07:00"`, several with commas, in `recorder.time_zone`. What goes on at
        /// their end is told then. Never by default.
        quiet_hours: Text,
        /// How long is waited for others of the same rule, to tell them in one message, 0 s to 1 h.
        group: Span = "30s",
        /// Least time between two messages of a rule, 0 s to 1 day; what comes in between is told together.
        interval: Span = "5m",
        /// A message that could not be delivered for so long is given up, 1 min to 4 weeks.
        give_up: Span = "1d",
        /// Address of the page (`https://nvr.lan`), for links in messages.
        page: Text,
    }
}

section! {
    /// A rule of its own, or another form of a built-in one: of a kind. Rules that name cameras stand in place of those of their
    /// kind that name none, for these cameras.
    RawAlertRule requires ["name", "kind"] {
        /// Its name. 1 to 63 of a-z, 0-9, `_` and `-`. With the name of a kind it takes the place of the built-in rule.
        name: Text,
        /// What it looks at.
        kind: Word<AlertKind>,
        /// Whether it counts.
        enabled: bool = true,
        /// Of which cameras, separated by commas; of all by default.
        cameras: Text,
        /// Names of channels it goes to, separated by commas; all by default.
        channels: Text,
        /// How bad it is; by default `critical` for `camera_offline`, `storage` and `emergency`, `info` for `detection`.
        severity: Word<Severity>,
        /// How long it goes on before it is told, 0 s to 1 week; by default 5m for `camera_offline` and `upload_late`, 1m for
        /// `disk_full`, 10m for `clock`, else 0.
        after: Span,
        /// How much is too much: percent for `disk_full` (80), a factor for `segment_size` (4), else more than so many
        /// `within` (`restarts` 5, `reconnects` 3, `upload_failures` 10).
        threshold: Ratio,
        /// Over which time is counted, 1 min to 1 week; 10m for `restarts`, else 1h.
        within: Span,
        /// How long all has to be well before it is over; for `detection` and `job_failed`: how long nothing more of the same
        /// is told. 0 s to 1 week.
        hold: Span = "1m",
        /// After which time it is told again while it goes on and nobody acknowledged it; 0: never. By default 12h, never for
        /// `detection` and `job_failed`.
        repeat: Span,
        /// Whether its end is told; by default for all but `detection` and `job_failed`.
        resolved: bool,
        /// Whether a picture of the camera goes with it, where the channel takes one; by default for `detection`.
        picture: bool,
        /// For `detection`: which events, separated by commas (`motion`, `object`); all by default.
        events: Text,
        /// For `detection`: which labels, separated by commas (`person,car`); all by default.
        labels: Text,
        /// For `detection`: in which zones, separated by commas; in all by default.
        zones: Text,
    }
}

/// Words between commas.
pub(super) fn words(at: Option<&At<Text>>) -> Vec<String> {
    let text = at.map_or("", |at| at.value.as_str());
    let all = text.split(',').map(str::trim).filter(|w| !w.is_empty());
    all.map(str::to_owned).collect()
}

/// A name with the alphabet of cameras' ids; reports one that is not.
pub(super) fn name_of(reader: &mut Reader<'_, '_>, at: &At<Text>) -> Option<String> {
    match CameraId::new(at.value.as_str()) {
        Ok(name) => Some(name.to_string()),
        Err(e) => {
            let message = format!("`name`: {} is not usable", at.value.shown());
            let hint = e.hint().map(str::to_owned);
            reader.problems.error(&at.span, &at.key, message, hint);
            None
        }
    }
}

const WEEK: Duration = Duration::from_secs(7 * 86_400);

impl AlertsConfig {
    /// Reads the three sections; of `place` the folder that paths are relative to, and the base topic if there is a broker.
    pub(super) fn read(
        reader: &mut Reader<'_, '_>,
        root: &DeTable<'_>,
        (base, topic): (Option<&Path>, Option<&str>),
        zone: &str,
        cameras: &[super::CameraConfig],
    ) -> Self {
        let section = reader.section(root, "alerts");
        let mut out = Self::read_section(reader, &section, zone);
        super::each_table(reader, root, "alert_channel", "channel", |reader, section| {
            let Some(channel) = AlertChannel::read(reader, section, base, topic) else {
                return;
            };
            if out.channels.iter().any(|c| c.name == channel.value.name) {
                let message = "two alert channels have this name";
                reader.problems.error(&channel.span, &channel.key, message, None);
            } else {
                out.channels.push(channel.value);
            }
        });
        let mut named = HashSet::new();
        super::each_table(reader, root, "alert_rule", "rule", |reader, section| {
            let Some(rule) = read_rule(reader, section, &out.channels, cameras) else {
                return;
            };
            if named.insert(rule.value.name.clone()) {
                out.rules.retain(|r| r.name != rule.value.name);
                out.rules.push(rule.value);
            } else {
                let message = "two alert rules have this name";
                reader.problems.error(&rule.span, &rule.key, message, None);
            }
        });
        out
    }

    fn read_section(reader: &mut Reader<'_, '_>, section: &Section<'_>, zone: &str) -> Self {
        let raw = RawAlerts::read(reader, section);
        let mut out = Self {
            enabled: raw.enabled.as_ref().is_none_or(|at| at.value),
            zone: zone.to_owned(),
            ..Self::default()
        };
        if let Some(at) = raw
            .quiet_hours
            .as_ref()
            .filter(|at| !at.value.as_str().trim().is_empty())
        {
            match Windows::parse(at.value.as_str(), zone) {
                Ok(windows) => out.quiet_hours = Some(windows).filter(|w| !w.is_always()),
                Err(e) => {
                    let message = format!("`quiet_hours`: {} is not a list of windows", at.value.shown());
                    let hint = e.hint().map(str::to_owned);
                    reader.problems.error(&at.span, &at.key, message, hint);
                }
            }
        }
        let hour = Duration::from_secs(3600);
        let zero = Span(Duration::ZERO);
        if let Some(d) = reader.within(raw.group.as_ref(), &(zero..=Span(hour))) {
            out.group = d.0;
        }
        if let Some(d) = reader.within(raw.interval.as_ref(), &(zero..=Span(hour * 24))) {
            out.interval = d.0;
        }
        if let Some(d) = reader.within(raw.give_up.as_ref(), &(Span(hour / 60)..=Span(WEEK * 4))) {
            out.give_up = d.0;
        }
        if let Some(at) = &raw.page {
            let address = at.value.as_str().trim_end_matches('/');
            if url::Url::parse(address).is_ok_and(|u| matches!(u.scheme(), "http" | "https")) {
                out.page = Some(address.to_owned());
            } else {
                let message = format!("`page`: {} is not an address", at.value.shown());
                reader
                    .problems
                    .error(&at.span, &at.key, message, Some("write https://nvr.lan".into()));
            }
        }
        if raw.defaults.as_ref().is_some_and(|at| !at.value) {
            out.rules.clear();
        }
        out
    }
}

fn read_rule(
    reader: &mut Reader<'_, '_>,
    section: &Section<'_>,
    channels: &[AlertChannel],
    cameras: &[super::CameraConfig],
) -> Option<At<AlertRule>> {
    let raw = RawAlertRule::read(reader, section);
    for (key, hint) in [
        ("name", "give it one: name = \"offline-soon\""),
        ("kind", "say what it looks at: kind = \"camera_offline\""),
    ] {
        if !section.table.is_some_and(|t| t.contains_key(key)) {
            reader.missing(section, key, hint);
        }
    }
    let name = raw.name.as_ref().and_then(|at| name_of(reader, at));
    let kind = raw.kind.as_ref().map(|at| at.value.0);
    let mut out = AlertRule::of(kind.unwrap_or(AlertKind::CameraOffline));
    let zero = Span(Duration::ZERO);
    let week = Span(WEEK);
    for (field, place, least) in [
        (&raw.after, &mut out.after, zero),
        (&raw.within, &mut out.within, Span(Duration::from_secs(60))),
        (&raw.hold, &mut out.hold, zero),
        (&raw.repeat, &mut out.repeat, zero),
    ] {
        if let Some(d) = reader.within(field.as_ref(), &(least..=week)) {
            *place = d.0;
        }
    }
    let bounds = match out.kind {
        AlertKind::DiskFull => Ratio(1.0)..=Ratio(100.0),
        AlertKind::SegmentSize => Ratio(1.5)..=Ratio(1000.0),
        _ => Ratio(0.0)..=Ratio(1000.0),
    };
    if let Some(n) = reader.within(raw.threshold.as_ref(), &bounds) {
        out.threshold = n.0;
    }
    out.enabled = raw.enabled.as_ref().is_none_or(|at| at.value);
    out.severity = raw.severity.as_ref().map_or(out.severity, |at| at.value.0);
    out.resolved = raw.resolved.as_ref().map_or(out.resolved, |at| at.value);
    out.picture = raw.picture.as_ref().map_or(out.picture, |at| at.value);
    out.events = words(raw.events.as_ref());
    out.labels = words(raw.labels.as_ref());
    out.zones = words(raw.zones.as_ref());
    for word in words(raw.cameras.as_ref()) {
        let camera = cameras.iter().find(|c| c.id.as_str() == word);
        match (camera, &raw.cameras) {
            (Some(camera), _) => out.cameras.push(camera.id.clone()),
            (None, Some(at)) => {
                let message = format!("`cameras`: there is no camera {word:?}");
                reader.problems.error(&at.span, &at.key, message, None);
            }
            (None, None) => {}
        }
    }
    out.channels = words(raw.channels.as_ref());
    if let Some(at) = &raw.channels {
        for word in &out.channels {
            if !channels.iter().any(|c| c.name == *word) {
                let known: Vec<&str> = channels.iter().map(|c| c.name.as_str()).collect();
                let hint = if known.is_empty() {
                    "there is none; write a section [[alert_channel]]".to_owned()
                } else {
                    format!("the channels are {}", known.join(", "))
                };
                let message = format!("`channels`: there is no alert channel {word:?}");
                reader.problems.error(&at.span, &at.key, message, Some(hint));
            }
        }
    }
    let at = raw.name?;
    let name = name?;
    kind.map(|_| At {
        value: AlertRule { name, ..out },
        span: at.span,
        key: at.key,
        secret: at.secret,
        unknown: false,
    })
}
