//! The JSON Schema of the file, and the reference made from it.

use std::fmt::Write as _;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::alert_channel::RawAlertChannel;
use super::alerts::{RawAlertRule, RawAlerts};
use super::backup::RawBackup;
use super::bookings::{RawBookings, RawCalendar};
use super::camera::RawCamera;
use super::detections::RawDetections;
use super::http::RawHttp;
use super::jobs::RawJobs;
use super::log::RawLog;
use super::mqtt::RawMqtt;
use super::objects::RawObjects;
use super::oidc::RawOidc;
use super::recorder::RawRecorder;
use super::recording::RawRecording;
use super::retention::RawRetention;
use super::rtsp_server::RawRtspServer;
use super::stills::RawStills;
use super::tier::RawTier;
use super::timelapse::RawTimelapse;
use super::transcode::RawTranscode;
use super::upload::RawUpload;
use super::{Config, SECTIONS};

/// The whole file.
struct RawConfig;

impl JsonSchema for RawConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "nvr.toml".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Configuration of the nvr network video recorder.",
            "type": "object",
            "properties": {
                "recorder": generator.subschema_for::<RawRecorder>(),
                "recording": generator.subschema_for::<RawRecording>(),
                "retention": generator.subschema_for::<RawRetention>(),
                "tier": generator.subschema_for::<RawTier>(),
                "jobs": generator.subschema_for::<RawJobs>(),
                "transcode": generator.subschema_for::<RawTranscode>(),
                "http": generator.subschema_for::<RawHttp>(),
                "oidc": generator.subschema_for::<RawOidc>(),
                "rtsp_server": generator.subschema_for::<RawRtspServer>(),
                "log": generator.subschema_for::<RawLog>(),
                "backup": generator.subschema_for::<RawBackup>(),
                "mqtt": generator.subschema_for::<RawMqtt>(),
                "detections": generator.subschema_for::<RawDetections>(),
                "objects": generator.subschema_for::<RawObjects>(),
                "bookings": generator.subschema_for::<RawBookings>(),
                "cameras": { "type": "array", "items": generator.subschema_for::<RawCamera>() },
                "upload": { "type": "array", "items": generator.subschema_for::<RawUpload>() },
                "calendar": { "type": "array", "items": generator.subschema_for::<RawCalendar>() },
                "alerts": generator.subschema_for::<RawAlerts>(),
                "alert_rule": { "type": "array", "items": generator.subschema_for::<RawAlertRule>() },
                "alert_channel": { "type": "array", "items": generator.subschema_for::<RawAlertChannel>() },
                "stills": generator.subschema_for::<RawStills>(),
                "timelapse": { "type": "array", "items": generator.subschema_for::<RawTimelapse>() },
            },
            "required": ["recorder"],
            "additionalProperties": false,
        })
    }
}

impl Config {
    /// The JSON Schema (draft 2020-12) of the file, for editors and checkers.
    #[must_use]
    pub fn json_schema() -> Value {
        SchemaGenerator::default()
            .into_root_schema_for::<RawConfig>()
            .to_value()
    }

    /// The reference of all keys as Markdown, made from the schema.
    #[must_use]
    pub fn reference() -> String {
        let schema = Self::json_schema();
        let mut out = String::from(INTRODUCTION);
        for (name, heading) in SECTIONS {
            let section = section_schema(&schema, name);
            refer(&mut out, heading, section);
            for (key, property) in section["properties"].as_object().into_iter().flatten() {
                let items = &property["items"]["$ref"];
                let items = items
                    .as_str()
                    .and_then(|path| schema.pointer(path.trim_start_matches('#')));
                if let Some(items) = items {
                    refer(&mut out, &format!("[[{name}.{key}]]"), items);
                }
            }
        }
        out
    }
}

/// The keys of a table as a table.
fn refer(out: &mut String, heading: &str, section: &Value) {
    let about = section["description"].as_str().unwrap_or_default();
    let _ = write!(
        out,
        "\n## `{heading}`\n\n{about}\n\n| key | type | default | |\n|---|---|---|---|\n"
    );
    for (key, property) in section["properties"].as_object().into_iter().flatten() {
        let default = match (&property["default"], is_required(section, key)) {
            (Value::Null, true) => "required".to_owned(),
            (Value::Null, false) => String::new(),
            (value, _) => format!("`{value}`"),
        };
        let about = property["description"].as_str().unwrap_or_default();
        let words = words(property);
        let _ = writeln!(
            out,
            "| `{key}` | {} | {default} | {about}{words} |",
            kind(property)
        );
    }
}

const INTRODUCTION: &str = "\
# Configuration

The recorder reads one TOML file, `nvr.toml` unless `--config` or `NVR_CONFIG` names another. `nvr init` writes one \
with comments, `nvr validate` reports every mistake in it at once, with line and column.

This reference is made from [`config.schema.json`](config.schema.json), a JSON Schema that editors can use.

- Keys that are not known are refused.
- Durations are texts such as `\"15m\"`, `\"1h 30m\"` or `\"250ms\"` (units ms, s, m, h, d, w), or whole seconds.
- Sizes are texts such as `\"10GiB\"` or `\"500MB\"` (units B, kB, MB, GB, TB, KiB, MiB, GiB, TiB), or bytes.
- `${NAME}` in a text stands for the environment variable, `${file:/path}` for the contents of a file (up to 64 KiB, \
a newline at the end is dropped); `$${` is a literal `${`. What came from there is never printed.
- Relative paths are relative to the folder of the file.
- On SIGHUP (or when asked over the API) the file is read again. Only cameras that differ start again; `[jobs]` counts at once. Changes of \
`[recorder]`, `[http]`, `[oidc]`, `[rtsp_server]`, `[log]` and of `recording.sync` wait for the next start of the recorder, and are reported. A \
file with mistakes changes nothing.
- The page and the API change this file, too: comments, order and all that was not named stay, the whole is checked \
before it is written, and it is in force at once. They never show secrets, and write neither `${…}` nor `file:` sources, \
which would show what is on this machine. The recorder needs to write the file and its folder for that; in a container \
mount the folder, not the file. Who writes passwords into the file lets nobody else read it (`chmod 600`).
";

/// The schema of a section, by its key in the root.
pub(super) fn section_schema<'v>(schema: &'v Value, name: &str) -> &'v Value {
    let entry = &schema["properties"][name];
    let target = entry["items"]["$ref"].as_str().or_else(|| entry["$ref"].as_str());
    target
        .and_then(|path| schema.pointer(path.trim_start_matches('#')))
        .unwrap_or(entry)
}

/// Whether a key has to be there.
pub(super) fn is_required(section: &Value, key: &str) -> bool {
    section["required"]
        .as_array()
        .is_some_and(|list| list.iter().any(|k| k == key))
}

/// The kind of a value in a word or two.
fn kind(property: &Value) -> &str {
    property["title"]
        .as_str()
        .unwrap_or(match property["type"].as_str() {
            Some("string") => "text",
            Some("boolean") => "true or false",
            Some("integer" | "number") => "number",
            Some(other) => other,
            None => "one of",
        })
}

/// The words of an enumeration with their meaning.
fn words(property: &Value) -> String {
    let mut out = String::new();
    for word in property["oneOf"].as_array().into_iter().flatten() {
        let name = word["const"].as_str().unwrap_or_default();
        let about = word["description"].as_str().unwrap_or_default();
        let _ = write!(out, "<br>`\"{name}\"`: {about}");
    }
    out
}

/// A key's schema with its documentation and default.
pub(super) fn property(key: &str, schema: Schema, doc: &[&str], default: Option<Value>) -> Value {
    let mut value = schema.to_value();
    if let Some(object) = value.as_object_mut() {
        object.insert("description".into(), prose(doc).into());
        if super::edit::is_secret(key) {
            object.insert("writeOnly".into(), true.into());
        }
        if let Some(default) = default {
            object.insert("default".into(), default);
        }
    }
    value
}

/// Doc comment lines as one paragraph.
pub(super) fn prose(lines: &[&str]) -> String {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| line.trim())
        .filter(|l| !l.is_empty())
        .collect();
    lines.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docs(name: &str) -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs")
            .join(name)
    }

    /// Compares with the file in `docs/`; writes it anew when `NVR_UPDATE_DOCS` is set.
    fn is_current(name: &str, want: &str) {
        let path = docs(name);
        if std::env::var_os("NVR_UPDATE_DOCS").is_some() {
            std::fs::write(&path, want).unwrap();
        }
        let have = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(have == want, "docs/{name} is out of date: run `make docs`");
    }

    #[test]
    fn the_schema_in_docs_is_current() {
        let text = serde_json::to_string_pretty(&Config::json_schema()).unwrap();
        is_current("config.schema.json", &format!("{text}\n"));
    }

    #[test]
    fn the_reference_in_docs_is_current() {
        is_current("config.md", &Config::reference());
    }

    #[test]
    fn each_key_is_described() {
        let schema = Config::json_schema();
        let reference = std::fs::read_to_string(docs("config.md")).unwrap();
        for (name, _) in SECTIONS {
            let section = section_schema(&schema, name);
            let keys = section["properties"].as_object().unwrap();
            assert!(!keys.is_empty(), "{name}");
            for (key, property) in keys {
                assert!(
                    property["description"].as_str().is_some_and(|d| d.len() > 5),
                    "{name}.{key}"
                );
                assert!(reference.contains(&format!("| `{key}` |")), "{name}.{key}");
            }
        }
    }
}
