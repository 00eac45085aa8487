//! Kinds of values in the file: durations and sizes as people write them, enumerations, numbers.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::expand::Expanded;

/// A value of the file, expanded.
pub(super) enum Value {
    Text(Expanded),
    Integer(Option<u64>),
    Bool(bool),
    Float(f64),
    /// A list of numbers, at least one.
    Numbers(Vec<f64>),
    /// Something else, by the name of its type.
    Other(&'static str),
}

impl Value {
    /// How it is called in a message: the text in quotes, unless it came from a variable.
    fn shown(&self) -> String {
        match self {
            Self::Text(e) if e.secret => "the value (from a variable)".into(),
            Self::Text(e) => format!("{:?}", e.text),
            Self::Integer(Some(n)) => n.to_string(),
            Self::Integer(None) => "the number".into(),
            Self::Bool(b) => b.to_string(),
            Self::Float(n) => n.to_string(),
            Self::Numbers(_) => "a list of numbers".into(),
            Self::Other(kind) => (*kind).to_owned(),
        }
    }
}

/// Why a value cannot be used.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Wrong {
    pub(super) fn new(value: &Value, not: &str, hint: &str) -> Self {
        Self {
            message: format!("{} is not {not}", value.shown()),
            hint: Some(hint.into()),
        }
    }
}

/// A type that a value of the file can have.
pub(super) trait FromValue: Sized + JsonSchema {
    fn from_value(value: &Value) -> Result<Self, Wrong>;
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, Wrong> {
        match value {
            Value::Bool(b) => Ok(*b),
            _ => Err(Wrong::new(
                value,
                "true or false",
                "write true or false without quotes",
            )),
        }
    }
}

/// A whole number.
impl FromValue for u64 {
    fn from_value(value: &Value) -> Result<Self, Wrong> {
        match value {
            Value::Integer(Some(n)) => Ok(*n),
            _ => Err(Wrong::new(
                value,
                "a number that can be used here",
                "write a whole number without quotes",
            )),
        }
    }
}

/// A share: a number with decimals.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub(super) struct Ratio(pub(super) f64);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for Ratio {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Ratio".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
}

impl FromValue for Ratio {
    fn from_value(value: &Value) -> Result<Self, Wrong> {
        match value {
            Value::Float(n) if n.is_finite() => Ok(Self(*n)),
            Value::Integer(Some(n)) => Ok(Self(*n as f64)),
            _ => Err(Wrong::new(
                value,
                "a number",
                "write a number such as 0.95, without quotes",
            )),
        }
    }
}

/// A text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Text(pub(super) Expanded);

impl Text {
    /// The text in quotes, unless it came from a variable.
    pub(super) fn shown(&self) -> String {
        Value::Text(self.0.clone()).shown()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl FromValue for Text {
    fn from_value(value: &Value) -> Result<Self, Wrong> {
        match value {
            Value::Text(e) => Ok(Self(e.clone())),
            _ => Err(Wrong::new(value, "a text", "put it in quotes")),
        }
    }
}

/// A duration: `"1h 30m"`, `"250ms"` or whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub(super) struct Span(pub(super) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.0))
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "duration",
            "anyOf": [
                { "type": "string", "pattern": r"^\s*([0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d|w)\s*)+$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}

impl FromValue for Span {
    fn from_value(value: &Value) -> Result<Self, Wrong> {
        let parsed = match value {
            Value::Text(e) => parse_duration(&e.text),
            Value::Integer(Some(n)) => Some(Duration::from_secs(*n)),
            _ => None,
        };
        parsed.map(Self).ok_or_else(|| {
            Wrong::new(
                value,
                "a duration",
                "write \"15m\", \"1h 30m\", \"250ms\" (units ms, s, m, h, d, w) or whole seconds",
            )
        })
    }
}

/// An amount of bytes: `"10GiB"`, `"500 MB"` or a whole number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_bytes(self.0))
    }
}

impl JsonSchema for Bytes {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "size",
            "anyOf": [
                { "type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([kMGT]i?)?B\s*$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}

impl FromValue for Bytes {
    fn from_value(value: &Value) -> Result<Self, Wrong> {
        let parsed = match value {
            Value::Text(e) => parse_bytes(&e.text),
            Value::Integer(n) => *n,
            _ => None,
        };
        parsed.map(Self).ok_or_else(|| {
            Wrong::new(
                value,
                "a size",
                "write \"10GiB\", \"500MB\" (units B, kB, MB, GB, TB, KiB, MiB, GiB, TiB) or bytes",
            )
        })
    }
}

/// A picture size in pixels: `"1280x720"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Size(pub(super) (u32, u32));

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "picture size", "type": "string", "pattern": "^[0-9]+x[0-9]+$" })
    }
}

impl FromValue for Size {
    fn from_value(value: &Value) -> Result<Self, Wrong> {
        let side = |t: &str| t.parse::<u32>().ok().filter(|n| (16..=16_384).contains(n));
        let parsed = match value {
            Value::Text(e) => e
                .text
                .split_once('x')
                .and_then(|(w, h)| Some((side(w)?, side(h)?))),
            _ => None,
        };
        parsed.map(Self).ok_or_else(|| {
            Wrong::new(
                value,
                "a picture size",
                "write \"1280x720\"; sides are from 16 to 16384 pixels",
            )
        })
    }
}

/// One of a few words: an enumeration of the library.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Word<T>(pub(super) T);

impl<T: JsonSchema> JsonSchema for Word<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema + for<'de> serde::Deserialize<'de>> FromValue for Word<T> {
    fn from_value(value: &Value) -> Result<Self, Wrong> {
        if let Value::Text(e) = value {
            let parsed = T::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(
                &e.text,
            ));
            if let Ok(word) = parsed {
                return Ok(Self(word));
            }
        }
        let words = words_of::<T>();
        let closest = match value {
            Value::Text(e) if !e.secret => super::reader::closest(&e.text, words.iter().map(String::as_str)),
            _ => None,
        };
        Err(Wrong {
            message: format!("{} is not one of {}", value.shown(), words.join(", ")),
            hint: closest.map(|word| format!("did you mean \"{word}\"?")),
        })
    }
}

/// The words that an enumeration accepts, as its schema tells them.
fn words_of<T: JsonSchema>() -> Vec<String> {
    fn collect(schema: &serde_json::Value, words: &mut Vec<String>) {
        if let Some(word) = schema.get("const").and_then(serde_json::Value::as_str) {
            words.push(word.to_owned());
        }
        for key in ["enum", "oneOf"] {
            for item in schema
                .get(key)
                .and_then(serde_json::Value::as_array)
                .into_iter()
                .flatten()
            {
                match item.as_str() {
                    Some(word) => words.push(word.to_owned()),
                    None => collect(item, words),
                }
            }
        }
    }
    let mut words = Vec::new();
    collect(
        SchemaGenerator::default().into_root_schema_for::<T>().as_value(),
        &mut words,
    );
    words
}

const DURATION_UNITS: [(&str, u64); 6] = [
    ("w", 7 * 86_400_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// Reads a length of time as the configuration has it: `"1h 30m"`, `"250ms"`, `"1.5s"`; a bare number of seconds
/// is fine, too. `None` for anything else.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let mut total = 0u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let after = after.trim_start();
        let unit_len = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let (_, ns) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scale(number, *ns)?)?;
        rest = after.trim_start();
    }
    Some(Duration::from_nanos(total))
}

/// Reads `"10GiB"`, `"1.5 TB"`, `"500"`.
pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text.trim())?;
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" | "kiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    scale(number, factor)
}

/// A decimal number at the start of a text, and what follows it.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// `number × unit` in whole units of one, exactly or rounded down; `None` beyond 64 bits.
fn scale(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let digits = u128::from(fraction.parse::<u64>().ok()?);
    let part = digits * u128::from(unit) / 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let whole = u128::from(whole.parse::<u64>().ok()?) * u128::from(unit);
    u64::try_from(whole.checked_add(part)?).ok()
}

/// Writes a duration as [`parse_duration`] reads it (`1h 30m`), to the millisecond.
pub(super) fn format_duration(d: Duration) -> String {
    let mut rest = u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    for (unit, ns) in DURATION_UNITS.iter().skip(1) {
        if rest >= *ns {
            parts.push(format!("{}{unit}", rest / ns));
            rest %= ns;
        }
    }
    if parts.is_empty() {
        "0s".into()
    } else {
        parts.join(" ")
    }
}

/// Writes an amount of bytes as [`parse_bytes`] reads it, in the largest binary unit that is exact.
pub(super) fn format_bytes(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in units {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        let ms = Duration::from_millis;
        for (text, want) in [
            ("15m", ms(900_000)),
            ("1h 30m", ms(5_400_000)),
            ("1h30m", ms(5_400_000)),
            ("250ms", ms(250)),
            ("1.5 s", ms(1500)),
            ("90", ms(90_000)),
            ("2w", ms(14 * 86_400_000)),
        ] {
            assert_eq!(parse_duration(text), Some(want), "{text}");
        }
        for bad in [
            "",
            " ",
            "m",
            "1",
            "1x",
            "-1s",
            "1..5s",
            "1h 30",
            "99999999999999w",
            "1 h m",
            ".5s",
            "1.s",
        ] {
            let bad_number = bad.parse::<u64>().is_err();
            assert!(parse_duration(bad).is_none() == bad_number, "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_bytes("10GiB"), Some(10 << 30));
        assert_eq!(parse_bytes("1.5 kB"), Some(1500));
        assert_eq!(parse_bytes("7"), Some(7));
        for bad in ["", "GiB", "1 gib", "1.5.5B", "99999999TiB", "-1B"] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn words_are_named_from_the_schema() {
        assert_eq!(
            words_of::<crate::source::Transport>(),
            ["auto", "tcp", "udp", "multicast", "http"]
        );
        assert_eq!(
            words_of::<crate::segment::Container>(),
            ["fmp4", "mp4", "matroska"]
        );
        assert_eq!(words_of::<crate::config::LogFormat>(), ["text", "json"]);
    }

    proptest! {
        #[test]
        fn durations_round_trip(ms in 0u64..10_000_000_000) {
            let d = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&format_duration(d)), Some(d));
        }

        #[test]
        fn bytes_round_trip(n in any::<u64>()) {
            prop_assert_eq!(parse_bytes(&format_bytes(n)), Some(n));
        }

        #[test]
        fn nothing_panics(text in "[0-9. a-zA-Z]{0,40}") {
            let _ = parse_duration(&text);
            let _ = parse_bytes(&text);
        }
    }
}
