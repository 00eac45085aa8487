//! What is told: alerts, and the messages that name them. Pure.

use std::fmt::Write as _;

use super::rule::{AlertKind, AlertRule, Severity};
use crate::ids::CameraId;
use crate::time::Timestamp;

/// Something that is wrong, or was.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Alert {
    /// Its number, never used again.
    pub id: u64,
    /// Name of the rule.
    pub rule: String,
    /// What the rule looks at.
    pub kind: AlertKind,
    /// How bad it is.
    pub severity: Severity,
    /// Of which camera.
    pub camera: Option<CameraId>,
    /// Of what else: a disk, an upload target, a kind of job, a label.
    pub subject: Option<String>,
    /// In words, the newest.
    pub summary: String,
    /// Since when it goes on.
    pub since: Timestamp,
    /// When it had gone on for long enough.
    pub fired: Timestamp,
    /// When it was over.
    pub resolved: Option<Timestamp>,
    /// When it was told for the last time; absent when it was not yet.
    pub told: Option<Timestamp>,
    /// When somebody acknowledged it.
    pub acknowledged: Option<Timestamp>,
    /// Who did, if that is known.
    pub acknowledged_by: Option<String>,
}

/// Why a message is sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageKind {
    /// Something is wrong.
    Firing,
    /// It still is.
    Repeated,
    /// It is over.
    Resolved,
    /// Somebody tries a channel.
    Test,
}

impl MessageKind {
    /// Stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Repeated => "repeated",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

/// A message to channels.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// Why.
    pub kind: MessageKind,
    /// Name of the rule.
    pub rule: String,
    /// The worst of its alerts.
    pub severity: Severity,
    /// When it was made.
    pub at: Timestamp,
    /// What it tells of, at least one.
    pub alerts: Vec<Alert>,
    /// The camera whose picture goes with it.
    pub picture: Option<CameraId>,
    /// Time zone of times in its text (IANA name); UTC when empty.
    #[serde(default)]
    pub zone: String,
    /// Channels it goes to; empty: all.
    #[serde(skip)]
    pub channels: Vec<String>,
}

impl Message {
    /// A message of a rule.
    #[must_use]
    pub fn new(kind: MessageKind, rule: &AlertRule, alerts: Vec<Alert>, at: Timestamp) -> Self {
        let first = alerts.iter().find_map(|a| a.camera.clone());
        Self {
            kind,
            rule: rule.name.clone(),
            severity: alerts.iter().map(|a| a.severity).max().unwrap_or(rule.severity),
            at,
            picture: first.filter(|_| rule.picture && kind != MessageKind::Resolved),
            channels: rule.channels.clone(),
            zone: String::new(),
            alerts,
        }
    }

    /// Whether a channel gets it.
    #[must_use]
    pub fn goes_to(&self, channel: &str) -> bool {
        self.channels.is_empty() || self.channels.iter().any(|c| c == channel)
    }

    /// One to try a channel with.
    #[must_use]
    pub fn test(at: Timestamp, camera: Option<CameraId>) -> Self {
        let alert = Alert {
            id: 0,
            rule: "test".into(),
            kind: AlertKind::CameraOffline,
            severity: Severity::Info,
            camera: camera.clone(),
            subject: None,
            summary: "somebody tries whether messages arrive; nothing is wrong".into(),
            since: at,
            fired: at,
            resolved: None,
            told: None,
            acknowledged: None,
            acknowledged_by: None,
        };
        Self {
            kind: MessageKind::Test,
            rule: "test".into(),
            severity: Severity::Info,
            at,
            alerts: vec![alert],
            picture: camera,
            zone: String::new(),
            channels: Vec::new(),
        }
    }

    /// The built-in head.
    #[must_use]
    pub fn title(&self) -> String {
        let lead = match self.kind {
            MessageKind::Test => return "nvr: a test".into(),
            MessageKind::Firing => "",
            MessageKind::Repeated => "still: ",
            MessageKind::Resolved => "over: ",
        };
        let what = self.alerts.first().map_or("alert", |a| a.kind.words());
        match &self.alerts[..] {
            // What was seen says more than that something was.
            [one] if one.kind == AlertKind::Detection => one.summary.clone(),
            [one] => {
                let whom = one
                    .camera
                    .as_ref()
                    .map(CameraId::as_str)
                    .or(one.subject.as_deref());
                let whom = whom.map_or(String::new(), |w| format!(": {w}"));
                format!("{lead}{what}{whom}")
            }
            many => format!("{lead}{what}: {}", many.len()),
        }
    }

    /// The built-in text: a line for each alert, the first fifty.
    #[must_use]
    pub fn text(&self) -> String {
        const MOST: usize = 50;
        let mut out = String::new();
        for alert in self.alerts.iter().take(MOST) {
            let _ = write!(out, "{}", alert.summary);
            let minutes = |from: Timestamp, to: Timestamp| to.since(from) / 60_000_000_000;
            let _ = match alert.resolved {
                _ if self.kind == MessageKind::Test => writeln!(out),
                _ if alert.kind.is_momentary() => writeln!(out, " ({})", self.local(alert.since)),
                Some(end) => writeln!(out, " (it lasted {} min)", minutes(alert.since, end)),
                None => writeln!(out, " (since {})", self.local(alert.since)),
            };
        }
        if self.alerts.len() > MOST {
            let _ = writeln!(out, "and {} more", self.alerts.len() - MOST);
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// A time as people read it.
    fn local(&self, t: Timestamp) -> String {
        let zone = crate::window::zone(&self.zone).unwrap_or(jiff::tz::TimeZone::UTC);
        t.to_jiff()
            .to_zoned(zone)
            .strftime("%Y-%m-%d %H:%M:%S %Z")
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_local_times_and_detections_say_what_was_seen() {
        let t = Timestamp::from_secs(1_790_000_000);
        let mut message = Message::test(t, Some("front".parse().unwrap()));
        message.kind = MessageKind::Firing;
        message.alerts[0].summary = "front is away".into();
        assert_eq!(message.title(), "camera offline: front");
        assert_eq!(message.text(), "front is away (since 2026-09-21 14:13:20 UTC)");
        message.zone = "Europe/Berlin".into();
        assert_eq!(message.text(), "front is away (since 2026-09-21 16:13:20 CEST)");
        message.kind = MessageKind::Resolved;
        message.alerts[0].resolved = Some(t.add_ns(600_000_000_000));
        assert_eq!(message.title(), "over: camera offline: front");
        assert_eq!(message.text(), "front is away (it lasted 10 min)");
        let mut seen = message.clone();
        seen.kind = MessageKind::Firing;
        seen.alerts[0].kind = AlertKind::Detection;
        seen.alerts[0].summary = "front: motion (gate)".into();
        assert_eq!(seen.title(), "front: motion (gate)");
        assert_eq!(seen.text(), "front: motion (gate) (2026-09-21 16:13:20 CEST)");
        assert!(message.goes_to("any"));
        message.channels = vec!["mail".into()];
        assert!(message.goes_to("mail") && !message.goes_to("phone"));
    }
}
