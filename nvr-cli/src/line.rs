//! A log record as one line, for people or for programs.

use std::fmt::Write as _;

use nvr_http::LogRecord;
use serde_json::{Map, Value};

/// For people: time, level, where, what, and the fields behind it.
pub fn text(record: &LogRecord, colours: bool) -> String {
    let (dim, level, end) = match (colours, record.level) {
        (false, _) => ("", "", ""),
        (true, "error") => ("\x1b[2m", "\x1b[31m", "\x1b[0m"),
        (true, "warn") => ("\x1b[2m", "\x1b[33m", "\x1b[0m"),
        (true, "info") => ("\x1b[2m", "\x1b[32m", "\x1b[0m"),
        (true, _) => ("\x1b[2m", "\x1b[34m", "\x1b[0m"),
    };
    let mut out = format!(
        "{dim}{}{end} {level}{:>5}{end} {dim}{}:{end} {}",
        record.at,
        record.level.to_uppercase(),
        record.target,
        record.message,
    );
    for (name, value) in &record.fields {
        let _ = match value {
            // What is one word stays one.
            Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '\n']) => {
                write!(out, " {dim}{name}={end}{text}")
            }
            value => write!(out, " {dim}{name}={end}{value}"),
        };
    }
    out
}

/// For programs: one object with the fields beside `timestamp`, `level`, `target` and `message`.
pub fn json(record: &LogRecord) -> String {
    let mut all = Map::new();
    let mut put = |name: &str, text: &str| all.insert(name.to_owned(), text.into());
    put("timestamp", &record.at);
    put("level", &record.level.to_uppercase());
    put("target", &record.target);
    put("message", &record.message);
    for (name, value) in &record.fields {
        // A field does not take the place of what every line has.
        all.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    Value::Object(all).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> LogRecord {
        let fields = serde_json::json!({ "camera": "front", "error": "no answer", "level": 3, "lost": 7 });
        LogRecord {
            id: 1,
            at: "2026-05-04T00:00:00Z".into(),
            level: "warn",
            target: "nvr_core::camera".into(),
            message: "frames lost".into(),
            fields: fields.as_object().cloned().unwrap_or_default(),
        }
    }

    #[test]
    fn a_line_has_all_of_a_record() {
        let want = "2026-05-04T00:00:00Z  WARN nvr_core::camera: frames lost camera=front error=\"no answer\" level=3 lost=7";
        assert_eq!(text(&record(), false), want);
        assert!(text(&record(), true).contains("\x1b[33m WARN\x1b[0m"));
        let value: Value = serde_json::from_str(&json(&record())).unwrap();
        let want = serde_json::json!({
            "timestamp": "2026-05-04T00:00:00Z", "level": "WARN", "target": "nvr_core::camera",
            "message": "frames lost", "camera": "front", "error": "no answer", "lost": 7
        });
        assert_eq!(value, want);
    }
}
