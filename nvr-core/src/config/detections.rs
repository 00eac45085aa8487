//! `[detections]`: what becomes of what is seen.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::reader::{Reader, Section, section};
use super::values::{FromValue, Span, Value, Wrong, format_duration, parse_duration};

/// What becomes of what is seen.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DetectionsConfig {
    /// How long detections are kept (1 h to 520 weeks; default 90 days); `None`: as long as there is footage of their
    /// camera that is as old, and a day at least.
    pub keep: Option<Duration>,
    /// Footage so long before a detection is kept as that of an event (0 to 1 h; default 5 s).
    pub pre: Duration,
    /// The same after it (0 to 1 h; default 10 s).
    pub post: Duration,
    /// Those from outside end by themselves after so long (1 min to 7 days; default 1 h).
    pub longest: Duration,
}

impl Default for DetectionsConfig {
    fn default() -> Self {
        Self {
            keep: Some(Duration::from_secs(90 * 86_400)),
            pre: Duration::from_secs(5),
            post: Duration::from_secs(10),
            longest: Duration::from_secs(3600),
        }
    }
}

/// How long detections are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Keep(Option<Duration>);

section! {
    /// What becomes of what is seen: by motion detection, by cameras, by other programs. The footage around it is kept for
    /// `retention.event_age`.
    RawDetections requires [] {
        /// How long detections are kept in the index, 1 h to 520 weeks, or `footage`: as long as there is footage of their
        /// camera that is as old, and a day at least.
        keep: Keep = "90d",
        /// Footage so long before a detection belongs to it, 0 to 1 h. It counts by whole segments.
        pre: Span = "5s",
        /// The same after it, 0 to 1 h.
        post: Span = "10s",
        /// Detections from outside that nobody ends do so by themselves after this, 1 min to 7 days.
        longest: Span = "1h",
    }
}

impl DetectionsConfig {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>) -> Self {
        let raw = RawDetections::read(reader, section);
        let mut out = Self::default();
        let seconds = |s: u64| Span(Duration::from_secs(s));
        if let Some(at) = &raw.keep {
            out.keep = at.value.0;
            let bounds = seconds(3600).0..=seconds(520 * 7 * 86_400).0;
            if at.value.0.is_some_and(|keep| !bounds.contains(&keep)) {
                let message = format!("`keep`: {} is not within 1h and 520w", at.value);
                reader.problems.error(&at.span, &at.key, message, None);
            }
        }
        let margin = seconds(0)..=seconds(3600);
        if let Some(d) = reader.within(raw.pre.as_ref(), &margin) {
            out.pre = d.0;
        }
        if let Some(d) = reader.within(raw.post.as_ref(), &margin) {
            out.post = d.0;
        }
        if let Some(d) = reader.within(raw.longest.as_ref(), &(seconds(60)..=seconds(7 * 86_400))) {
            out.longest = d.0;
        }
        out
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("footage"),
            Some(d) => f.write_str(&format_duration(d)),
        }
    }
}

impl FromValue for Keep {
    fn from_value(value: &Value) -> Result<Self, Wrong> {
        let parsed = match value {
            Value::Text(e) if e.text.trim() == "footage" => Some(Self(None)),
            Value::Text(e) => parse_duration(&e.text).map(|d| Self(Some(d))),
            Value::Integer(Some(n)) => Some(Self(Some(Duration::from_secs(*n)))),
            _ => None,
        };
        parsed.ok_or_else(|| {
            Wrong::new(
                value,
                "a duration",
                "write \"90d\", \"12h\" (units m, h, d, w) or \"footage\"",
            )
        })
    }
}

impl JsonSchema for Keep {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Keep".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "duration",
            "anyOf": [
                { "type": "string", "pattern": r"^\s*(footage|([0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d|w)\s*)+)$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}
