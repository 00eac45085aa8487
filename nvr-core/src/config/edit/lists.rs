//! Lists in a change: of numbers, and of tables, which are written in braces.

use serde_json::Value as Json;
use toml_edit::{Array, InlineTable, Value};

use super::EditOrigin;
use super::apply::checked;
use super::mask::is_secret;

/// Longest list.
const MOST: usize = 256;
/// Lists in tables in lists: no key has more.
const DEEPEST: usize = 4;

type Refused = (&'static str, &'static str);

/// A list as it is written into the file. Texts in it may be what they were, or what the origin may say.
pub(super) fn value(
    key: &str,
    new: &Json,
    old: Option<&Value>,
    origin: EditOrigin,
) -> Result<Value, Refused> {
    let mut known = Vec::new();
    if let Some(old) = old {
        texts(old, &mut known);
    }
    one(key, new, &known, origin, 0)
}

/// All texts in a value.
fn texts(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.value().clone()),
        Value::Array(list) => list.iter().for_each(|v| texts(v, out)),
        Value::InlineTable(table) => table.iter().for_each(|(_, v)| texts(v, out)),
        _ => {}
    }
}

fn one(key: &str, new: &Json, known: &[String], origin: EditOrigin, depth: usize) -> Result<Value, Refused> {
    const WRONG: Refused = ("this list cannot be read", "see GET /config/schema");
    if depth > DEEPEST {
        return Err(WRONG);
    }
    Ok(match new {
        Json::String(text) => {
            let old = known.iter().find(|k| *k == text).map(String::as_str);
            checked(key, text, old, origin)?.into()
        }
        _ if is_secret(key) => return Err(WRONG),
        Json::Bool(b) => (*b).into(),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => n.into(),
            (None, Some(n)) => n.into(),
            (None, None) => return Err(WRONG),
        },
        Json::Array(list) if list.len() <= MOST => {
            let values = list.iter().map(|v| one(key, v, known, origin, depth + 1));
            Value::Array(values.collect::<Result<Array, Refused>>()?)
        }
        Json::Object(keys) => {
            let mut table = InlineTable::new();
            for (key, value) in keys.iter().filter(|(_, v)| !v.is_null()) {
                table.insert(key, one(key, value, known, origin, depth + 1)?);
            }
            Value::InlineTable(table)
        }
        Json::Array(_) | Json::Null => return Err(WRONG),
    })
}

/// What a list says, to compare it. Whole numbers are numbers like any other.
pub(super) fn json(list: &Array) -> Json {
    fn one(value: &Value) -> Json {
        match value {
            Value::String(text) => text.value().clone().into(),
            Value::Integer(n) => (*n.value() as f64).into(),
            Value::Float(n) => (*n.value()).into(),
            Value::Boolean(b) => (*b.value()).into(),
            Value::Datetime(d) => d.value().to_string().into(),
            Value::Array(list) => json(list),
            Value::InlineTable(table) => table.iter().map(|(k, v)| (k.to_owned(), one(v))).collect(),
        }
    }
    list.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value as Json, json};

    use super::super::{ConfigFile, EditOrigin, FieldErrors};

    const FILE: &str = r#"[recorder]
root = "/srv/video"

[mqtt]
url = "mqtt://h"

# The door.
[[mqtt.events]]
topic = "door"   # Zigbee
camera = "front"

[[cameras]]
id = "front"
source = "test:"
# Two.
motion_lines = [{ name = "gate", from = [0.1, 0.5], to = [0.9, 0.5] }] # at the gate

[[cameras]]
id = "yard"
source = "test:"

[[cameras.motion_lines]]
name = "path"
from = [0, 0.5]
to = [1, 0.5]
direction = "left_to_right"
"#;

    #[allow(clippy::needless_pass_by_value, reason = "it is written in place")]
    fn edit(text: &str, change: Json) -> Result<String, Vec<(String, String)>> {
        let file = ConfigFile::of_text(Path::new("/srv/nvr.toml"), text);
        match file.edit(change.as_object().unwrap(), EditOrigin::Remote) {
            Ok(edited) => Ok(edited.text().to_owned()),
            Err(e) => {
                let source = std::error::Error::source(&e).unwrap();
                let fields = source.downcast_ref::<FieldErrors>().unwrap();
                Err(fields
                    .0
                    .iter()
                    .map(|f| (f.path.clone(), f.message.clone()))
                    .collect())
            }
        }
    }

    fn lines(text: &str, camera: usize) -> Vec<String> {
        let config = crate::config::Config::parse(text, None).unwrap();
        let lines = config.cameras[camera].motion.lines.iter();
        lines.map(ToString::to_string).collect()
    }

    #[test]
    fn lines_are_shown_and_set() {
        let shown = ConfigFile::of_text(Path::new("/srv/nvr.toml"), FILE).shown();
        assert_eq!(
            shown["cameras"][1]["motion_lines"],
            json!([{ "name": "path", "from": [0, 0.5], "to": [1, 0.5], "direction": "left_to_right" }])
        );
        // As it is shown it changes nothing.
        let same = json!({ "cameras": { "front": { "motion_lines": shown["cameras"][0]["motion_lines"] } } });
        assert_eq!(edit(FILE, same).unwrap(), FILE);
        let new = json!([{ "name": "a", "from": [0, 0.25], "to": [1, 0.25], "direction": "any" }]);
        let text = edit(
            FILE,
            json!({ "cameras": { "front": { "motion_lines": new }, "yard": { "motion_lines": new } } }),
        )
        .unwrap();
        for camera in 0..2 {
            assert_eq!(lines(&text, camera), ["a: 0,0.25 1,0.25"], "{text}");
        }
        assert!(
            text.contains("# at the gate") && text.contains("# Two."),
            "{text}"
        );
        let none =
            json!({ "cameras": { "front": { "motion_lines": null }, "yard": { "motion_lines": null } } });
        let text = edit(&text, none).unwrap();
        assert!(!text.contains("motion_lines"), "{text}");
    }

    #[test]
    fn a_camera_that_is_added_does_not_take_the_lines_of_the_one_before() {
        let text = edit(FILE, json!({ "cameras": { "new": { "source": "test:" } } })).unwrap();
        assert_eq!(lines(&text, 1), ["path @left_to_right: 0,0.5 1,0.5"], "{text}");
        assert_eq!(lines(&text, 2), [""; 0], "{text}");
        let text = edit(FILE, json!({ "log": { "filter": "debug" } })).unwrap();
        assert_eq!(lines(&text, 1), ["path @left_to_right: 0,0.5 1,0.5"], "{text}");
        let text = edit(FILE, json!({ "cameras": { "yard": null } })).unwrap();
        assert!(!text.contains("path"), "{text}");
    }

    #[test]
    fn mistakes_in_lists_are_told_where_they_are() {
        let wrong = |lines: Json| {
            let found = edit(FILE, json!({ "cameras": { "front": { "motion_lines": lines } } }));
            found.unwrap_err().remove(0)
        };
        for (lines, path, part) in [
            (
                json!([{ "name": "a", "from": [0, 2], "to": [1, 1] }]),
                "[0].from",
                "not a point",
            ),
            (
                json!([{ "name": "a", "from": [0, 0], "to": [0, 0.01] }]),
                "[0]",
                "too close",
            ),
            (json!([{ "name": "a", "from": [0, 0] }]), "[0].to", "missing"),
            (
                json!([{ "name": "a", "from": [0, 0], "to": [1, 1] }, { "name": "a", "from": [0, 1], "to": [1, 0] }]),
                "[1].name",
                "another line",
            ),
            (
                json!([{ "name": "${HOME}", "from": [0, 0], "to": [1, 1] }]),
                "",
                "variable",
            ),
            (json!(["a"]), "[0]", "is a table"),
            (json!([0.5, 0.5]), "", "list of tables"),
            (json!("a"), "", "list of tables"),
            (json!({ "name": "a" }), "", "or a list"),
            (json!([null]), "", "cannot be read"),
        ] {
            let (at, message) = wrong(lines.clone());
            assert_eq!(
                at,
                format!("cameras.front.motion_lines{path}"),
                "{lines}: {message}"
            );
            assert!(message.contains(part), "{lines}: {message}");
        }
    }

    #[test]
    fn events_of_the_broker_are_set() {
        let events = json!([{ "topic": "bell/+", "camera": "{2}", "once_within": "5s" }]);
        let text = edit(FILE, json!({ "mqtt": { "events": events } })).unwrap();
        let config = crate::config::Config::parse(&text, None).unwrap();
        assert_eq!(config.mqtt.unwrap().events[0].topic, "bell/+", "{text}");
        let path = edit(
            FILE,
            json!({ "mqtt": { "events": [{ "topic": "a/#/b", "camera": "x" }] } }),
        );
        assert_eq!(path.unwrap_err()[0].0, "mqtt.events[0].topic");
    }
}
