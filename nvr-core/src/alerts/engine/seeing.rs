//! What is seen, by its kind: counters, disks, segments, detections.

use super::{Engine, Seen};
use crate::alerts::rule::{AlertKind, AlertRule, in_force};
use crate::ids::CameraId;
use crate::time::{Timestamp, duration_ns};

/// Moments that are counted at most.
const MOST_COUNTED: usize = 4000;
/// By how many percent a disk has to have fallen for its alert to end.
const DISK_SLACK: f64 = 2.0;

impl Engine {
    /// Whether a camera was away at the last sample, and is now: trying again in vain is one loss, not many.
    pub fn still_away(&mut self, camera: &CameraId, is_away: bool) -> bool {
        let before = self
            .state
            .counters
            .insert(format!("away|{camera}"), u64::from(is_away));
        is_away && before == Some(1)
    }

    /// A counter stands so; what it grew by since it was seen last is counted as of now, unless it is to be passed over.
    pub fn counter(
        &mut self,
        kind: AlertKind,
        camera: &CameraId,
        value: u64,
        pass_over: bool,
        now: Timestamp,
    ) {
        let key = format!("{}|{camera}", kind.as_str());
        let before = self.state.counters.insert(key.clone(), value).unwrap_or(0);
        let grown = if pass_over {
            0
        } else {
            value.saturating_sub(before)
        };
        let grown = usize::try_from(grown).unwrap_or(MOST_COUNTED);
        let longest = in_force(&self.config.rules, kind, Some(camera))
            .map(|r| r.within)
            .max();
        let Some(longest) = longest else {
            self.state.counts.remove(&key);
            return;
        };
        let moments = self.state.counts.entry(key.clone()).or_default();
        moments.extend(std::iter::repeat_n(now, grown.min(MOST_COUNTED)));
        while moments.len() > MOST_COUNTED
            || moments
                .front()
                .is_some_and(|t| now.since(*t) > duration_ns(longest))
        {
            moments.pop_front();
        }
        let moments = std::mem::take(moments);
        let words = match kind {
            AlertKind::UploadFailures => "uploads failed",
            _ => "times the connection was lost or could not be made",
        };
        self.observe(kind, Some(camera), None, now, |rule| {
            let since = |t: &&Timestamp| (0..=duration_ns(rule.within)).contains(&now.since(**t));
            let n = moments.iter().filter(since).count();
            let minutes = rule.within.as_secs() / 60;
            (n as f64 > rule.threshold).then(|| format!("{camera}: {n} {words} within {minutes} min"))
        });
        if moments.is_empty() {
            self.state.counts.remove(&key);
        } else {
            self.state.counts.insert(key, moments);
        }
    }

    /// A disk is used to so many percent.
    pub fn disk(&mut self, place: &str, percent: f64, now: Timestamp) {
        let kind = AlertKind::DiskFull;
        let over: Vec<String> = self
            .state
            .conditions
            .values()
            .filter(|c| c.kind == kind && c.subject.as_deref() == Some(place) && c.bad)
            .map(|c| c.rule.clone())
            .collect();
        self.observe(kind, None, Some(place), now, |rule| {
            let slack = if over.contains(&rule.name) {
                DISK_SLACK
            } else {
                0.0
            };
            (percent > rule.threshold - slack).then(|| {
                format!(
                    "{place} is used to {percent:.0} %, more than {:.0} %",
                    rule.threshold
                )
            })
        });
    }

    /// A segment of a camera is complete.
    pub fn segment(&mut self, camera: &CameraId, size_bytes: u64, duration_ns: i64, now: Timestamp) {
        // The first and last of a run are short, and their one keyframe is much of them.
        let Some(rule) = in_force(&self.config.rules, AlertKind::SegmentSize, Some(camera)).next() else {
            return;
        };
        if duration_ns < 10_000_000_000 {
            return;
        }
        let factor = rule.threshold;
        let rate = size_bytes as f64 / (duration_ns as f64 / 1e9);
        let usual = self
            .state
            .sizes
            .entry(camera.clone())
            .or_default()
            .take(rate, factor);
        let summary = usual.map(|usual| {
            let mbit = |rate: f64| rate * 8.0 / 1e6;
            format!(
                "{camera}: the newest segment has {:.2} Mbit/s, usual are {:.2}",
                mbit(rate),
                mbit(usual)
            )
        });
        self.observe(AlertKind::SegmentSize, Some(camera), None, now, |_| {
            summary.clone()
        });
    }

    /// Something was detected.
    pub fn detected(&mut self, camera: &CameraId, seen: &Seen<'_>, now: Timestamp) {
        let rules: Vec<AlertRule> = in_force(&self.config.rules, AlertKind::Detection, Some(camera))
            .cloned()
            .collect();
        for rule in rules {
            let fits = |wanted: &[String], what: Option<&str>| {
                wanted.is_empty() || what.is_some_and(|w| wanted.iter().any(|x| x.eq_ignore_ascii_case(w)))
            };
            let all = fits(&rule.events, Some(seen.kind))
                && fits(&rule.labels, seen.label)
                && fits(&rule.zones, seen.zone);
            // One that does not fit says nothing of those that did.
            if all {
                let summary = format!("{camera}: {}", seen.title);
                self.note(rule, Some(camera), None, now, Some(summary));
            }
        }
    }
}
