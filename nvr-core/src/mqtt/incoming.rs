//! Messages of a broker as events of cameras: what begins, goes on and ends. Pure.
//!
//! A broker may keep messages (retained), and senders may say things twice (QoS 1 is at least once). So what is kept begins
//! nothing, what goes on does not begin again, and what is over is over: an id that ended does not come back.

use std::collections::{HashMap, VecDeque};

use serde_json::Value as Json;

use super::{MqttMessage, fits};
use crate::config::{Filling, MqttEventConfig, Pattern};
use crate::detection::{DetectionId, MOST_DATA, MOST_LABEL, NewDetection};
use crate::ids::CameraId;
use crate::time::{NS_PER_S, Timestamp, duration_ns};

/// Largest payload that is looked at.
pub(crate) const MOST_PAYLOAD: usize = 64 << 10;
/// Events that go on at once.
const MOST_OPEN: usize = 256;
/// Ids that ended and are remembered, and messages that are.
const MOST_REMEMBERED: usize = 1024;
/// An event that began longer ago began now: somebody's clock is wrong.
const OLDEST_NS: i64 = 86_400 * NS_PER_S;

/// The same instant by both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    pub(crate) utc: Timestamp,
    pub(crate) steady_ns: i64,
}

/// Which event: of which entry, topic and camera, and its id where it has one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    rule: usize,
    topic: String,
    pub(crate) camera: CameraId,
    id: Option<String>,
}

/// What a message does.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Act {
    /// Something is seen. With `key` it goes on, and [`Incoming::began`] is told what it became.
    Begin {
        key: Option<Key>,
        new: Box<NewDetection>,
    },
    /// It is surer than before.
    Surer {
        id: DetectionId,
        at: Timestamp,
        score: f32,
    },
    /// It is over.
    End { id: DetectionId, at: Timestamp },
}

/// Why a message is not an event.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Ignored {
    /// It says what is known, or nothing that is asked for.
    Nothing,
    /// The broker kept it from before.
    Retained,
    /// It is too large, or no text.
    Unreadable(String),
    /// It names no camera, or what could not be one.
    Camera(String),
    /// Too much goes on at once.
    TooMany,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    detection: Option<DetectionId>,
    score: f32,
    /// The last time that it was said to go on.
    last: Moment,
    /// So long after that it is over.
    limit_ns: i64,
}

/// What goes on.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    open: HashMap<Key, Open>,
    /// Ids that ended, the oldest first.
    ended: VecDeque<Key>,
    /// Messages that were events at once, the oldest first.
    said: VecDeque<(usize, MqttMessage, i64)>,
}

impl Incoming {
    /// What a message does, by each entry that it fits.
    pub(crate) fn take(
        &mut self,
        rules: &[MqttEventConfig],
        message: &MqttMessage,
        now: Moment,
    ) -> Vec<Result<Act, Ignored>> {
        let fitting = rules.iter().enumerate();
        let fitting: Vec<_> = fitting.filter(|(_, r)| fits(&message.topic, &r.topic)).collect();
        // An empty message takes away what is kept.
        if fitting.is_empty() || message.payload.is_empty() {
            return Vec::new();
        }
        let text = match std::str::from_utf8(&message.payload) {
            _ if message.payload.len() > MOST_PAYLOAD => Err("it is larger than 64 KiB"),
            Ok(text) => Ok(text),
            Err(_) => Err("it is no text"),
        };
        let text = match text {
            Ok(text) => text,
            Err(why) => {
                let why = format!("{}: {why}", shown(&message.topic));
                return vec![Err(Ignored::Unreadable(why))];
            }
        };
        let json: Option<Json> = serde_json::from_str(text).ok();
        let filling = Filling {
            topic: &message.topic,
            payload: text,
            json: json.as_ref(),
        };
        let acts = fitting.into_iter();
        acts.map(|(n, rule)| self.one(n, rule, message, filling, now))
            .collect()
    }

    fn one(
        &mut self,
        n: usize,
        rule: &MqttEventConfig,
        message: &MqttMessage,
        filling: Filling<'_>,
        now: Moment,
    ) -> Result<Act, Ignored> {
        let fill = |pattern: &Option<Pattern>| pattern.as_ref().and_then(|p| p.fill(filling));
        let state = rule.state.fill(filling).map(|s| s.to_lowercase());
        let is = |words: &[String]| state.as_ref().is_some_and(|s| words.contains(s));
        let over = is(&rule.off);
        if !over && (!rule.on.is_empty() && !is(&rule.on) || !rule.off.is_empty() && state.is_none()) {
            return Err(Ignored::Nothing);
        }
        let key = Key {
            rule: n,
            topic: message.topic.clone(),
            camera: camera(rule, filling).map_err(Ignored::Camera)?,
            id: fill(&rule.id),
        };
        let time = |pattern: &Option<Pattern>| fill(pattern).and_then(|text| time(&text, now.utc));
        if over {
            let Some(open) = self.open.remove(&key) else {
                self.remember(key);
                return Err(Ignored::Nothing);
            };
            let at = time(&rule.to).unwrap_or(now.utc);
            self.remember(key);
            return match open.detection {
                Some(id) => Ok(Act::End { id, at }),
                None => Err(Ignored::Nothing),
            };
        }
        let score = fill(&rule.score).and_then(|text| score(&text));
        if let Some(open) = self.open.get_mut(&key) {
            open.last = now;
            return match (open.detection, score) {
                (Some(id), Some(score)) if score > open.score => {
                    open.score = score;
                    let at = now.utc;
                    Ok(Act::Surer { id, at, score })
                }
                _ => Err(Ignored::Nothing),
            };
        }
        if message.retained {
            return Err(Ignored::Retained);
        }
        if key.id.is_some() && self.ended.contains(&key) {
            return Err(Ignored::Nothing);
        }
        let goes_on = !rule.off.is_empty() || !rule.hold.is_zero();
        if goes_on && self.open.len() >= MOST_OPEN {
            return Err(Ignored::TooMany);
        }
        if !goes_on && self.was_said(n, rule, message, now) {
            return Err(Ignored::Nothing);
        }
        let from = time(&rule.from).unwrap_or(now.utc);
        let mut new = NewDetection::new(key.camera.clone(), rule.kind, from);
        new.label = fill(&rule.label).map(|t| short(&t));
        new.zone = fill(&rule.zone).map(|t| short(&t));
        new.score = score.unwrap_or(1.0);
        new.source = Some(short(&shown(&message.topic))).filter(|s| !s.is_empty());
        if rule.keep_payload && filling.json.is_some() && filling.payload.len() <= MOST_DATA {
            new.data = Some(filling.payload.to_owned());
        }
        if goes_on {
            let limit = if rule.off.is_empty() {
                rule.hold
            } else {
                rule.longest
            };
            let open = Open {
                detection: None,
                score: score.unwrap_or(0.0),
                last: now,
                limit_ns: duration_ns(limit),
            };
            self.open.insert(key.clone(), open);
        } else {
            new.to = Some(time(&rule.to).map_or(from, |to| to.max(from)));
            if key.id.is_some() {
                self.remember(key.clone());
            }
        }
        Ok(Act::Begin {
            key: goes_on.then_some(key),
            new: Box::new(new),
        })
    }

    /// What an event that goes on became; none: it could not be entered.
    pub(crate) fn began(&mut self, key: &Key, detection: Option<DetectionId>) {
        match (self.open.get_mut(key), detection) {
            (Some(open), Some(_)) => open.detection = detection,
            (Some(_), None) => {
                self.open.remove(key);
            }
            (None, _) => {}
        }
    }

    /// What is over because nobody said so for too long.
    pub(crate) fn pass(&mut self, now: Moment) -> Vec<Act> {
        let is_over = |o: &Open| now.steady_ns.saturating_sub(o.last.steady_ns) >= o.limit_ns;
        let over = self.open.iter().filter(|(_, o)| is_over(o));
        let keys: Vec<Key> = over.map(|(key, _)| key.clone()).collect();
        let mut acts = Vec::new();
        for key in keys {
            let Some(open) = self.open.remove(&key) else {
                continue;
            };
            let at = open.last.utc.add_ns(open.limit_ns).min(now.utc);
            acts.extend(open.detection.map(|id| Act::End { id, at }));
            self.remember(key);
        }
        acts
    }

    /// Nobody listens any more: all is over.
    pub(crate) fn end(&mut self, now: Moment) -> Vec<Act> {
        let open = std::mem::take(&mut self.open).into_values();
        self.ended.clear();
        self.said.clear();
        open.filter_map(|o| {
            Some(Act::End {
                id: o.detection?,
                at: now.utc,
            })
        })
        .collect()
    }

    /// How many go on.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    fn remember(&mut self, key: Key) {
        if key.id.is_none() || self.ended.contains(&key) {
            return;
        }
        if self.ended.len() >= MOST_REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(key);
    }

    /// Whether the same was said a moment ago.
    fn was_said(&mut self, n: usize, rule: &MqttEventConfig, message: &MqttMessage, now: Moment) -> bool {
        let within = duration_ns(rule.once_within);
        if within == 0 {
            return false;
        }
        let same = |s: &&mut (usize, MqttMessage, i64)| s.0 == n && s.1 == *message;
        if let Some((_, _, at)) = self.said.iter_mut().rev().find(same) {
            let before = std::mem::replace(at, now.steady_ns);
            return now.steady_ns.saturating_sub(before) < within;
        }
        if self.said.len() >= MOST_REMEMBERED {
            self.said.pop_front();
        }
        self.said.push_back((n, message.clone(), now.steady_ns));
        false
    }
}

fn camera(rule: &MqttEventConfig, filling: Filling<'_>) -> Result<CameraId, String> {
    let topic = || shown(filling.topic);
    let name = rule
        .camera
        .fill(filling)
        .ok_or_else(|| format!("{}: it names no camera", topic()))?;
    if let Some(id) = rule.camera_names.get(&name) {
        return Ok(id.clone());
    }
    CameraId::new(&name).map_err(|_| format!("{}: {:?} is not the id of a camera", topic(), shown(&name)))
}

/// A text from outside for a log line.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

fn short(text: &str) -> String {
    let short: String = text.chars().take(MOST_LABEL).collect();
    short.trim().to_owned()
}

/// 0 to 1, or a percentage.
fn score(text: &str) -> Option<f32> {
    let score = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f32>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    (0.0..=1.0).contains(&score).then_some(score)
}

/// RFC 3339 or Unix seconds, where that is at most a day ago and not in the future.
fn time(text: &str, now: Timestamp) -> Option<Timestamp> {
    let t = match text.parse::<f64>() {
        // Milliseconds are seconds of the year 33658.
        Ok(s) if (0.0..1e11).contains(&s) => Timestamp::from_ns((s * 1e9) as i64),
        Ok(ms) if (1e11..1e14).contains(&ms) => Timestamp::from_ns((ms * 1e6) as i64),
        Ok(_) => return None,
        Err(_) => text.parse().ok()?,
    };
    (t <= now && now.since(t) <= OLDEST_NS).then_some(t)
}

#[cfg(test)]
#[path = "incoming_tests.rs"]
mod tests;
