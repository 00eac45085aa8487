//! `[retention]`: what is kept for how long, and how much of the disk stays free.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::reader::{At, Reader, Section, section};
use super::values::{
    Bytes, FromValue, Span, Value, Wrong, format_bytes, format_duration, parse_bytes, parse_duration,
};

/// How long something is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Age {
    /// As long as there is room.
    #[default]
    Forever,
    /// At most so long.
    For(Duration),
}

/// Room on a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// So many bytes.
    Bytes(u64),
    /// A share of the file system, in hundredths of a percent (0 to 10,000).
    Share(u32),
}

impl Room {
    /// Nothing.
    pub const NONE: Self = Self::Bytes(0);

    /// As bytes of a file system of this size.
    #[must_use]
    pub fn of(self, total_bytes: u64) -> u64 {
        match self {
            Self::Bytes(n) => n,
            Self::Share(hundredths) => {
                let part = u128::from(total_bytes) * u128::from(hundredths) / 10_000;
                u64::try_from(part).unwrap_or(u64::MAX)
            }
        }
    }
}

/// What is kept for how long, over all cameras.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RetentionConfig {
    /// How long footage is kept (1 min to 100 years; default: as long as there is room).
    pub max_age: Age,
    /// The same for footage marked as that of an event; `None`: as any other.
    pub event_age: Option<Age>,
    /// The same for footage that was encoded again; `None`: as any other.
    pub transcoded_age: Option<Age>,
    /// Most bytes of all cameras together, removed ones included.
    pub max_bytes: Option<u64>,
    /// The oldest footage goes to keep so much free (default 2 %).
    pub min_free: Room,
    /// Below this the oldest goes whatever is wanted of it, and where nothing is left to delete, cameras pause
    /// (default 0.5 %).
    pub critical_free: Room,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            max_age: Age::Forever,
            event_age: None,
            transcoded_age: None,
            max_bytes: None,
            min_free: Room::Share(200),
            critical_free: Room::Share(50),
        }
    }
}

impl RetentionConfig {
    /// Nothing is ever deleted, and a full disk stops the recording.
    #[must_use]
    pub fn off() -> Self {
        Self {
            min_free: Room::NONE,
            critical_free: Room::NONE,
            ..Self::default()
        }
    }
}

/// What a camera has of its own; what is not said is as in `[retention]`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct CameraRetention {
    /// How long its footage is kept.
    pub max_age: Option<Age>,
    /// The same for footage marked as that of an event.
    pub event_age: Option<Age>,
    /// The same for footage that was encoded again.
    pub transcoded_age: Option<Age>,
    /// Most bytes of this camera.
    pub max_bytes: Option<u64>,
}

section! {
    /// What is kept for how long, and how much of the disk stays free. The oldest goes first; protected footage and
    /// files that the index does not know never go. Cameras that were removed or renamed are covered, too.
    RawRetention requires [] {
        /// How long footage is kept, 1 min to 5200 weeks, or `forever`: as long as there is room.
        max_age: Age = "forever",
        /// The same for footage marked as that of an event (`nvr protect --event`). By default as any other.
        event_age: Age,
        /// The same for footage that was encoded again to save space. By default as any other.
        transcoded_age: Age,
        /// Most bytes of all cameras together, removed ones included. No limit by default.
        max_bytes: Bytes,
        /// The oldest footage goes to keep so much of the disk free: a size or a percentage. 0 switches it off.
        min_free: Room = "2%",
        /// Below this the oldest footage goes at once, whatever its age and that of events included; where nothing is
        /// left to delete, cameras pause by their `priority`. A size or a percentage, at most `min_free`.
        critical_free: Room = "0.5%",
    }
}

const AGE: std::ops::RangeInclusive<Span> = std::ops::RangeInclusive::new(
    Span(Duration::from_mins(1)),
    Span(Duration::from_secs(5200 * 7 * 86_400)),
);
/// Least that a limit of bytes may be: less than a segment or two is a mistake.
const LEAST_BYTES: u64 = 1 << 20;

/// An age within bounds; reports one that is not.
pub(super) fn age(reader: &mut Reader<'_, '_>, field: Option<&At<Age>>) -> Option<Age> {
    let at = field?;
    match at.value {
        Age::Forever => Some(Age::Forever),
        Age::For(d) => {
            let span = At {
                value: Span(d),
                span: at.span.clone(),
                key: at.key.clone(),
                secret: at.secret,
                unknown: at.unknown,
            };
            reader.within(Some(&span), &AGE).map(|d| Age::For(d.0))
        }
    }
}

/// A limit of bytes within bounds; reports one that is not.
pub(super) fn most_bytes(reader: &mut Reader<'_, '_>, field: Option<&At<Bytes>>) -> Option<u64> {
    reader
        .within(field, &(Bytes(LEAST_BYTES)..=Bytes(u64::MAX)))
        .map(|b| b.0)
}

impl RetentionConfig {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>) -> Self {
        let raw = RawRetention::read(reader, section);
        let mut out = Self::default();
        if let Some(max_age) = age(reader, raw.max_age.as_ref()) {
            out.max_age = max_age;
        }
        out.event_age = age(reader, raw.event_age.as_ref());
        out.transcoded_age = age(reader, raw.transcoded_age.as_ref());
        out.max_bytes = most_bytes(reader, raw.max_bytes.as_ref());
        if let Some(at) = &raw.min_free {
            out.min_free = at.value;
        }
        match &raw.critical_free {
            Some(at) => {
                out.critical_free = at.value;
                let larger = match (at.value, out.min_free) {
                    (Room::Bytes(a), Room::Bytes(b)) => a > b,
                    (Room::Share(a), Room::Share(b)) => a > b,
                    // Which is larger depends on the disk; the larger one then counts for both.
                    _ => false,
                };
                if larger {
                    reader.problems.error(
                        &at.span,
                        &at.key,
                        "`critical_free` is larger than `min_free`",
                        Some(
                            "the oldest footage goes below min_free; critical_free is for emergencies".into(),
                        ),
                    );
                }
            }
            // Without a word about it, it never is the larger one.
            None if out.min_free == Room::NONE => out.critical_free = Room::NONE,
            None => {}
        }
        out
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("forever"),
            Self::For(d) => f.write_str(&format_duration(*d)),
        }
    }
}

impl FromValue for Age {
    fn from_value(value: &Value) -> Result<Self, Wrong> {
        let parsed = match value {
            Value::Text(e) if e.text.trim() == "forever" => Some(Self::Forever),
            Value::Text(e) => parse_duration(&e.text).map(Self::For),
            Value::Integer(Some(n)) => Some(Self::For(Duration::from_secs(*n))),
            _ => None,
        };
        parsed.ok_or_else(|| {
            Wrong::new(
                value,
                "an age",
                "write \"30d\", \"12h\" (units m, h, d, w) or \"forever\"",
            )
        })
    }
}

impl JsonSchema for Age {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Age".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "age",
            "anyOf": [
                { "type": "string", "pattern": r"^\s*(forever|([0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d|w)\s*)+)$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(n) => f.write_str(&format_bytes(*n)),
            Self::Share(hundredths) => write!(f, "{}%", f64::from(*hundredths) / 100.0),
        }
    }
}

impl FromValue for Room {
    fn from_value(value: &Value) -> Result<Self, Wrong> {
        let parsed = match value {
            Value::Text(e) => match e.text.trim().strip_suffix('%') {
                Some(number) => number
                    .trim()
                    .parse::<f64>()
                    .ok()
                    .filter(|p| (0.0..=90.0).contains(p))
                    .map(|p| Self::Share((p * 100.0).round() as u32)),
                None => parse_bytes(&e.text).map(Self::Bytes),
            },
            Value::Integer(n) => n.map(Self::Bytes),
            _ => None,
        };
        parsed.ok_or_else(|| {
            Wrong::new(
                value,
                "room on a disk",
                "write a percentage from \"0%\" to \"90%\" or a size such as \"10GiB\"",
            )
        })
    }
}

impl JsonSchema for Room {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Room".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "size or percentage",
            "anyOf": [
                { "type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(%|([kMGT]i?)?B)\s*$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_whole_disk() {
        assert_eq!(Room::Share(200).of(1_000_000), 20_000);
        assert_eq!(Room::Share(10_000).of(u64::MAX), u64::MAX);
        assert_eq!(Room::Bytes(7).of(3), 7);
        assert_eq!(Room::Share(50).to_string(), "0.5%");
    }
}
