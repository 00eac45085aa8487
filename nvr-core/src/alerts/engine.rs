//! From what is seen to what is told. Pure: time is handed in.
//!
//! A condition that is bad for as long as its rule says fires; it is over once it was well for `hold`. Alerts of a rule wait
//! for others (`group`), and two messages of a rule lie `interval` apart, so however often things change, the number of messages
//! is bounded by time. In quiet hours and while muted nothing is told; what still goes on afterwards is told then.

mod seeing;
mod telling;

use std::time::Duration;

use super::message::{Alert, Message};
use super::rule::{AlertKind, AlertRule, in_force};
use super::state::{Condition, Mute, State};
use crate::config::AlertsConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::CameraId;
use crate::time::{Timestamp, duration_ns};

/// Alerts at once; more would be told as well as these.
const MOST_CONDITIONS: usize = 2000;

/// What came of a step.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// To be sent.
    pub messages: Vec<Message>,
    /// Alerts that began, changed or ended, for the history.
    pub changed: Vec<Alert>,
}

/// What was detected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen<'s> {
    /// `motion`, `object`, …
    pub kind: &'s str,
    /// `person`, …
    pub label: Option<&'s str>,
    /// Zone of the picture.
    pub zone: Option<&'s str>,
    /// In words.
    pub title: &'s str,
}

/// Watches.
#[derive(Clone, PartialEq, Debug)]
pub struct Engine {
    config: AlertsConfig,
    pub(super) state: State,
    outcome: Outcome,
}

impl Engine {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new(config: AlertsConfig) -> Self {
        Self {
            config: in_force_of(config),
            state: State::default(),
            outcome: Outcome::default(),
        }
    }

    /// One that goes on where another left off ([`save`](Self::save)).
    ///
    /// # Errors
    /// `Corrupt` when the text is not what was saved.
    pub fn restored(config: AlertsConfig, saved: &str) -> Result<Self> {
        let state = serde_json::from_str(saved).map_err(|e| {
            Error::new(ErrorKind::Corrupt, "the state of alerts cannot be read").with_source(e)
        })?;
        let mut engine = Self::new(config);
        engine.state = state;
        engine.drop_ruleless(Timestamp::MIN);
        Ok(engine)
    }

    /// What [`restored`](Self::restored) takes.
    #[must_use]
    pub fn save(&self) -> String {
        serde_json::to_string(&self.state).unwrap_or_default()
    }

    /// Puts other rules in force. What goes on and has its rule still goes on.
    pub fn configure(&mut self, config: AlertsConfig, now: Timestamp) {
        self.config = in_force_of(config);
        self.drop_ruleless(now);
    }

    fn drop_ruleless(&mut self, now: Timestamp) {
        let rules = &self.config.rules;
        let counts = |kind: AlertKind, camera: Option<&CameraId>, name: &str| {
            in_force(rules, kind, camera).any(|r| r.name == name)
        };
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.state.conditions)
            .into_iter()
            .partition(|(_, c)| counts(c.kind, c.camera.as_ref(), &c.rule));
        self.state.conditions = kept.into_iter().collect();
        for mut alert in gone.into_iter().filter_map(|(_, c)| c.firing) {
            alert.resolved = Some(now.max(alert.fired));
            self.outcome.changed.push(alert);
        }
        self.state
            .endings
            .retain(|(_, a)| rules.iter().any(|r| r.name == a.rule));
    }

    /// Begins a sample: conditions of these kinds that it does not speak of are well.
    pub fn begin_sample(&mut self) {
        self.state.touched.clear();
    }

    /// Ends it.
    pub fn end_sample(&mut self, kinds: &[AlertKind], now: Timestamp) {
        let touched = std::mem::take(&mut self.state.touched);
        for (key, c) in &mut self.state.conditions {
            if c.bad && kinds.contains(&c.kind) && !touched.contains(key) {
                (c.bad, c.changed) = (false, now);
            }
        }
    }

    /// Says whether something is bad, for each rule that looks at it.
    pub fn observe(
        &mut self,
        kind: AlertKind,
        camera: Option<&CameraId>,
        subject: Option<&str>,
        now: Timestamp,
        judge: impl Fn(&AlertRule) -> Option<String>,
    ) {
        let rules: Vec<AlertRule> = in_force(&self.config.rules, kind, camera).cloned().collect();
        for rule in rules {
            let bad = judge(&rule);
            self.note(rule, camera, subject, now, bad);
        }
    }

    fn note(
        &mut self,
        rule: AlertRule,
        camera: Option<&CameraId>,
        subject: Option<&str>,
        now: Timestamp,
        bad: Option<String>,
    ) {
        let key = key(&rule.name, camera, subject);
        self.state.touched.insert(key.clone());
        let room = self.state.conditions.len() < MOST_CONDITIONS;
        match (self.state.conditions.get_mut(&key), bad) {
            (None, Some(summary)) if room => {
                let condition = Condition {
                    rule: rule.name,
                    kind: rule.kind,
                    camera: camera.cloned(),
                    subject: subject.map(str::to_owned),
                    bad: true,
                    changed: now,
                    summary,
                    firing: None,
                };
                self.state.conditions.insert(key, condition);
            }
            (Some(c), Some(summary)) => {
                c.summary = summary;
                // What happens at a moment goes on from its last time.
                if !c.bad || rule.kind.is_momentary() && c.firing.is_some() {
                    (c.bad, c.changed) = (true, now);
                }
            }
            (Some(c), None) if c.bad => (c.bad, c.changed) = (false, now),
            _ => {}
        }
    }

    /// Whether there is a rule of this name.
    #[must_use]
    pub fn knows(&self, rule: &str) -> bool {
        self.rule(rule).is_some()
    }

    /// What goes on, oldest first.
    #[must_use]
    pub fn active(&self) -> Vec<Alert> {
        let mut all: Vec<Alert> = self
            .state
            .conditions
            .values()
            .filter_map(|c| c.firing.clone())
            .collect();
        all.sort_by_key(|a| a.id);
        all
    }

    /// Somebody knows of an alert: it is not told again, but for its end. `false` when it does not go on.
    pub fn acknowledge(&mut self, id: u64, by: Option<String>, now: Timestamp) -> Option<Alert> {
        let alerts = self
            .state
            .conditions
            .values_mut()
            .filter_map(|c| c.firing.as_mut());
        let alert = alerts.into_iter().find(|a| a.id == id)?;
        if alert.acknowledged.is_none() {
            alert.acknowledged = Some(now);
            alert.acknowledged_by = by;
        }
        Some(alert.clone())
    }

    /// Nothing is told of these until then.
    pub fn mute(
        &mut self,
        rule: Option<String>,
        camera: Option<CameraId>,
        until: Timestamp,
        by: Option<String>,
    ) -> Mute {
        self.state.mutes.retain(|m| m.rule != rule || m.camera != camera);
        let mute = Mute {
            id: self.next_id(),
            rule,
            camera,
            until,
            by,
        };
        self.state.mutes.push(mute.clone());
        mute
    }

    /// Tells again. `false` when there is no such mute.
    pub fn unmute(&mut self, id: u64) -> bool {
        let before = self.state.mutes.len();
        self.state.mutes.retain(|m| m.id != id);
        before != self.state.mutes.len()
    }

    /// The mutes that hold.
    #[must_use]
    pub fn mutes(&self) -> Vec<Mute> {
        self.state.mutes.clone()
    }

    fn next_id(&mut self) -> u64 {
        self.state.last_id += 1;
        self.state.last_id
    }

    /// Lets time pass: what fires, what is over, and what is told now.
    pub fn step(&mut self, now: Timestamp) -> Outcome {
        self.state.mutes.retain(|m| m.until > now);
        let keys: Vec<String> = self.state.conditions.keys().cloned().collect();
        for key in keys {
            self.advance(&key, now);
        }
        self.tell(now);
        std::mem::take(&mut self.outcome)
    }

    fn rule(&self, name: &str) -> Option<&AlertRule> {
        self.config.rules.iter().find(|r| r.name == name)
    }

    fn advance(&mut self, key: &str, now: Timestamp) {
        let Some(mut c) = self.state.conditions.remove(key) else {
            return;
        };
        let Some(rule) = self.rule(&c.rule).cloned() else {
            return;
        };
        // A clock that was set back must not hold anything up.
        c.changed = c.changed.min(now);
        let lasted = |d: Duration| now.since(c.changed) >= duration_ns(d);
        if rule.kind.is_momentary() && c.bad && c.firing.is_some() && lasted(rule.hold) {
            c.bad = false;
        } else if c.bad {
            let id = self.state.last_id + 1;
            match &mut c.firing {
                Some(alert) => alert.summary.clone_from(&c.summary),
                None if lasted(rule.pending()) => {
                    self.state.last_id = id;
                    let alert = Alert {
                        id,
                        rule: rule.name.clone(),
                        kind: rule.kind,
                        severity: rule.severity,
                        camera: c.camera.clone(),
                        subject: c.subject.clone(),
                        summary: c.summary.clone(),
                        since: c.changed,
                        fired: now,
                        resolved: None,
                        told: None,
                        acknowledged: None,
                        acknowledged_by: None,
                    };
                    self.outcome.changed.push(alert.clone());
                    c.firing = Some(alert);
                }
                None => {}
            }
        }
        let over = !c.bad && (rule.kind.is_momentary() || now.since(c.changed) >= duration_ns(rule.hold));
        match (c.bad, &mut c.firing) {
            (false, None) => return,
            (false, Some(alert)) if over => {
                alert.resolved = Some(if rule.kind.is_momentary() {
                    now
                } else {
                    c.changed.max(alert.fired)
                });
                self.outcome.changed.push(alert.clone());
                // What was never told, because it was quiet or muted, needs no end; what happened at a moment is told all the same.
                if rule.kind.is_momentary() && alert.told.is_none() || alert.told.is_some() && rule.resolved {
                    self.state.endings.push((now, alert.clone()));
                    let surplus = self.state.endings.len().saturating_sub(MOST_CONDITIONS);
                    self.state.endings.drain(..surplus);
                }
                return;
            }
            _ => {}
        }
        self.state.conditions.insert(key.to_owned(), c);
    }
}

/// Without rules where nothing is to be looked at.
fn in_force_of(mut config: AlertsConfig) -> AlertsConfig {
    if !config.enabled {
        config.rules.clear();
    }
    config
}

fn key(rule: &str, camera: Option<&CameraId>, subject: Option<&str>) -> String {
    format!(
        "{rule}|{}|{}",
        camera.map_or("", CameraId::as_str),
        subject.unwrap_or_default()
    )
}
