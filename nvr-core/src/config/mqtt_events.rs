//! `[[mqtt.events]]`: which messages of the broker are events of cameras.

use std::collections::BTreeMap;
use std::time::Duration;

use super::camera::CameraConfig;
use super::lists;
use super::mqtt_pattern::Pattern;
use super::reader::{At, Reader, Section, section};
use super::values::{Span, Text, Word};
use crate::detection::DetectionKind;
use crate::ids::CameraId;

/// Most entries.
const MOST_RULES: usize = 100;

/// Which messages are events, and of what.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct MqttEventConfig {
    /// Topics, with `+` for a level and `#` for all that follow.
    pub topic: String,
    /// The camera: its id, or where the message names it.
    pub camera: Pattern,
    /// Cameras by what messages call them, where that is not their id.
    pub camera_names: BTreeMap<String, CameraId>,
    /// What kind of event it is.
    pub kind: DetectionKind,
    /// What it is.
    pub label: Option<Pattern>,
    /// Where in the picture.
    pub zone: Option<Pattern>,
    /// How sure.
    pub score: Option<Pattern>,
    /// What is compared with `on` and `off`.
    pub state: Pattern,
    /// It is seen, in lower case; empty: whatever is not `off`.
    pub on: Vec<String>,
    /// It is over, in lower case; empty: nobody says so.
    pub off: Vec<String>,
    /// What tells events of a topic apart that go on at once.
    pub id: Option<Pattern>,
    /// When it began.
    pub from: Option<Pattern>,
    /// When it ended.
    pub to: Option<Pattern>,
    /// How long it goes on after the last `on`, where nobody says that it is over (0 to 1 h).
    pub hold: Duration,
    /// So long after the last `on` it is over though nobody said so (10 s to 7 days).
    pub longest: Duration,
    /// The same message again within this is the same event (0 to 1 h).
    pub once_within: Duration,
    /// Whether the payload is kept with the event, where it is JSON of at most 16 KiB.
    pub keep_payload: bool,
}

impl MqttEventConfig {
    /// Each message of these topics is an event of a camera.
    ///
    /// # Errors
    /// What is wrong with the pattern of the camera, in words.
    pub fn new(topic: impl Into<String>, camera: &str) -> Result<Self, String> {
        Ok(Self {
            topic: topic.into(),
            camera: Pattern::parse(camera)?,
            camera_names: BTreeMap::new(),
            kind: DetectionKind::External,
            label: None,
            zone: None,
            score: None,
            state: Pattern::parse("{}")?,
            on: Vec::new(),
            off: Vec::new(),
            id: None,
            from: None,
            to: None,
            hold: Duration::ZERO,
            longest: Duration::from_secs(3600),
            once_within: Duration::from_secs(2),
            keep_payload: false,
        })
    }
}

section! {
    /// Messages of the broker that are events of cameras. A text may have places that the message fills: `{2}` is the second
    /// level of its topic, `{/after/label}` a field of its JSON (by a JSON pointer), `{}` the whole payload. What the broker
    /// kept from before (retained) begins nothing.
    RawMqttEvent requires ["topic", "camera"] {
        /// Topics, with `+` for one level and `#` for all that follow: `zigbee2mqtt/+/occupancy`.
        topic: Text,
        /// Id of the camera, or where the message names it: `front`, `{2}`, `{/after/camera}`.
        camera: Text,
        /// Ids of cameras that messages call otherwise: `"driveway = drive, back_yard = yard"`.
        camera_names: Text,
        /// What kind of event it is.
        kind: Word<DetectionKind> = "external",
        /// What it is: `doorbell`, `{/after/label}`.
        label: Text,
        /// Where in the picture, or at which sensor.
        zone: Text,
        /// How sure, 0 to 1 or with a percent sign: `{/after/score}`.
        score: Text,
        /// What is compared with `on` and `off`: `{/contact}`, `{/type}`.
        state: Text = "{}",
        /// It is seen, as one of these words with commas between; by default whatever is not `off`.
        on: Text,
        /// It is over, as one of these words. Without it each message is an event of its own that is over at once, or after
        /// `hold`.
        off: Text,
        /// What tells events of a topic apart that go on at once: `{/after/id}`. One goes on by default.
        id: Text,
        /// When it began (RFC 3339 or Unix seconds), at most a day ago; by default when the message comes.
        from: Text,
        /// When it ended.
        to: Text,
        /// Without `off`: how long it goes on after the last message, 0 to 1 h.
        hold: Span = "0s",
        /// With `off`: so long after the last `on` it is over though nobody said so, 10 s to 7 days.
        longest: Span = "1h",
        /// Without `off` and `hold`: the same message again within this is the same event, 0 to 1 h.
        once_within: Span = "2s",
        /// Whether the payload is kept with the event, where it is JSON of at most 16 KiB.
        keep_payload: bool = false,
    }
}

/// Reads all entries.
pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    section: &Section<'_>,
    key: &str,
    cameras: &[CameraConfig],
) -> Vec<MqttEventConfig> {
    let mut out = Vec::new();
    lists::within(reader, section, key, "kind of message", |reader, section| {
        out.extend(read_one(reader, section, cameras));
        if out.len() == MOST_RULES + 1 {
            let message = format!("`events`: more than {MOST_RULES} entries");
            reader.problems.error(&section.span, &section.path, message, None);
        }
    });
    out
}

fn read_one(
    reader: &mut Reader<'_, '_>,
    section: &Section<'_>,
    cameras: &[CameraConfig],
) -> Option<MqttEventConfig> {
    let raw = RawMqttEvent::read(reader, section);
    for (key, hint) in [
        ("topic", "say which topics: topic = \"zigbee2mqtt/door\""),
        ("camera", "say which camera it belongs to: camera = \"front\""),
    ] {
        if !section.table.is_some_and(|t| t.contains_key(key)) {
            reader.missing(section, key, hint);
        }
    }
    let [label, zone, score, id, from, to] = [&raw.label, &raw.zone, &raw.score, &raw.id, &raw.from, &raw.to]
        .map(|at| pattern(reader, at.as_ref()));
    let state = pattern(reader, raw.state.as_ref());
    let camera = pattern(reader, raw.camera.as_ref());
    let camera_names = raw
        .camera_names
        .as_ref()
        .map(|at| names(reader, at))
        .unwrap_or_default();
    if let (Some(at), Some(text)) = (&raw.camera, camera.as_ref().and_then(Pattern::fixed)) {
        match CameraId::new(text) {
            Err(e) => {
                let message = format!("`camera`: {} is not the id of a camera", at.value.shown());
                let hint = e.hint().map(str::to_owned);
                reader.problems.error(&at.span, &at.key, message, hint);
            }
            Ok(id) => warn_of_unknown(reader, at, camera_names.get(text).unwrap_or(&id), cameras),
        }
    }
    if let Some(at) = &raw.camera_names {
        for id in camera_names.values() {
            warn_of_unknown(reader, at, id, cameras);
        }
    }
    let (on, off) = (words(raw.on.as_ref()), words(raw.off.as_ref()));
    if let Some(at) = &raw.off
        && let Some(both) = off.iter().find(|w| on.contains(w))
    {
        let message = if at.secret {
            "`off`: a word of it is in `on` as well".to_owned()
        } else {
            format!("`off`: {both:?} is in `on` as well")
        };
        reader.problems.error(&at.span, &at.key, message, None);
    }
    if let Some(at) = raw
        .hold
        .as_ref()
        .filter(|at| !at.value.0.is_zero() && !off.is_empty())
    {
        let hint = Some("`longest` says when it is over though nobody said so".to_owned());
        let message = "`hold`: with `off` somebody says when it is over";
        reader.problems.error(&at.span, &at.key, message, hint);
    }
    let s = |n| Span(Duration::from_secs(n));
    let hold = reader.within(raw.hold.as_ref(), &(s(0)..=s(3600)));
    let longest = reader.within(raw.longest.as_ref(), &(s(10)..=s(7 * 86_400)));
    let once_within = reader.within(raw.once_within.as_ref(), &(s(0)..=s(3600)));
    let topic = raw.topic.as_ref()?;
    if !is_filter(topic.value.as_str()) {
        let message = format!("`topic`: {} is not a filter of topics", topic.value.shown());
        let hint =
            Some("+ stands for a whole level, # for all that follow, at the end: house/+/motion".to_owned());
        reader.problems.error(&topic.span, &topic.key, message, hint);
        return None;
    }
    let default = MqttEventConfig::new(topic.value.as_str(), "front").ok()?;
    Some(MqttEventConfig {
        camera: camera?,
        camera_names,
        kind: raw.kind.map_or(default.kind, |at| at.value.0),
        label,
        zone,
        score,
        state: state.unwrap_or(default.state),
        on,
        off,
        id,
        from,
        to,
        hold: hold.map_or(default.hold, |d| d.0),
        longest: longest.map_or(default.longest, |d| d.0),
        once_within: once_within.map_or(default.once_within, |d| d.0),
        keep_payload: raw.keep_payload.is_some_and(|at| at.value),
        topic: default.topic,
    })
}

/// Messages for a camera that is not configured are left alone. No error: the camera may have been removed a moment ago.
fn warn_of_unknown(reader: &mut Reader<'_, '_>, at: &At<Text>, id: &CameraId, cameras: &[CameraConfig]) {
    if cameras.iter().any(|c| c.id == *id) {
        return;
    }
    let name = at.key.rsplit('.').next().unwrap_or_default();
    let known: Vec<&str> = cameras.iter().map(|c| c.id.as_str()).collect();
    let (shown, hint) = if at.secret {
        ("of that id (from a variable)".to_owned(), None)
    } else {
        (
            format!("\"{id}\""),
            Some(format!("the cameras are {}", known.join(", "))),
        )
    };
    let message = format!("`{name}`: there is no camera {shown}, so that its messages are no events");
    let hint = hint.filter(|_| !known.is_empty());
    reader.problems.warn(&at.span, &at.key, message, hint);
}

fn pattern(reader: &mut Reader<'_, '_>, at: Option<&At<Text>>) -> Option<Pattern> {
    let at = at?;
    match Pattern::parse(at.value.as_str()) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            let name = at.key.rsplit('.').next().unwrap_or_default();
            let message = if at.secret {
                format!("`{name}`: not usable (not shown, as it comes from a variable)")
            } else {
                format!("`{name}`: {}: {why}", at.value.shown())
            };
            reader.problems.error(&at.span, &at.key, message, None);
            None
        }
    }
}

/// Words with commas between, in lower case.
fn words(at: Option<&At<Text>>) -> Vec<String> {
    let text = at.map_or("", |at| at.value.as_str()).to_lowercase();
    let words = text.split(',').map(str::trim).filter(|w| !w.is_empty());
    words.map(str::to_owned).collect()
}

fn names(reader: &mut Reader<'_, '_>, at: &At<Text>) -> BTreeMap<String, CameraId> {
    let mut out = BTreeMap::new();
    for part in at
        .value
        .as_str()
        .split(',')
        .map(str::trim)
        .filter(|p| !p.is_empty())
    {
        let pair = part.split_once('=').map(|(name, id)| (name.trim(), id.trim()));
        match pair.and_then(|(name, id)| Some((name, CameraId::new(id).ok()?))) {
            Some((name, id)) if !name.is_empty() => {
                out.insert(name.to_owned(), id);
            }
            _ => {
                let shown = if at.secret { "a part of it" } else { part };
                let message = format!("`camera_names`: {shown} is not a name, = and the id of a camera");
                let hint = Some("write \"driveway = drive, back_yard = yard\"".to_owned());
                reader.problems.error(&at.span, &at.key, message, hint);
            }
        }
    }
    out
}

/// Whether that is a filter of topics (MQTT 3.1.1, 4.7).
fn is_filter(text: &str) -> bool {
    let levels: Vec<&str> = text.split('/').collect();
    let fits = |(n, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => n + 1 == levels.len(),
        level => !level.contains(['+', '#']),
    };
    (1..=1000).contains(&text.len())
        && !text.contains(char::is_control)
        && levels.iter().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::is_filter;

    #[test]
    fn filters_of_topics() {
        for right in ["a", "a/b", "+", "#", "a/+/b", "a/#", "/a//b"] {
            assert!(is_filter(right), "{right}");
        }
        for wrong in ["", "a/#/b", "a#", "a+/b", "a\nb"] {
            assert!(!is_filter(wrong), "{wrong}");
        }
    }
}
