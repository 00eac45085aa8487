//! What is told now, and together with what.

use std::time::Duration;

use super::Engine;
use crate::alerts::message::{Alert, Message, MessageKind};
use crate::alerts::rule::{AlertKind, AlertRule, Severity};
use crate::time::{Timestamp, duration_ns};

impl Engine {
    fn may_tell(&self, alert: &Alert, now: Timestamp) -> bool {
        let quiet = self.config.quiet_hours.as_ref().is_some_and(|w| w.contains(now));
        (alert.severity == Severity::Critical || !quiet) && !self.state.mutes.iter().any(|m| m.holds(alert))
    }

    pub(super) fn tell(&mut self, now: Timestamp) {
        for rule in self.config.rules.clone() {
            let last = self
                .state
                .told
                .get(&rule.name)
                .copied()
                .unwrap_or(Timestamp::MIN)
                .min(now);
            let (group, interval) = if rule.kind == AlertKind::Detection {
                (Duration::ZERO, Duration::ZERO)
            } else {
                (self.config.group, self.config.interval)
            };
            let rested = now.since(last) >= duration_ns(interval);
            let gathered = |oldest: Option<Timestamp>| {
                oldest.is_some_and(|t| now.since(t.min(now)) >= duration_ns(group))
            };
            if !rested {
                continue;
            }
            let mut messages = Vec::new();
            // What is over.
            let (mine, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.state.endings)
                .into_iter()
                .partition(|(_, a)| a.rule == rule.name && self.may_tell(a, now));
            self.state.endings = rest;
            if gathered(mine.iter().map(|(found, _)| *found).min()) {
                let (told, momentary): (Vec<Alert>, Vec<Alert>) =
                    mine.into_iter().map(|(_, a)| a).partition(|a| a.told.is_some());
                for (kind, alerts) in [(MessageKind::Firing, momentary), (MessageKind::Resolved, told)] {
                    if !alerts.is_empty() {
                        messages.push(Message::new(kind, &rule, alerts, now));
                    }
                }
            } else {
                self.state.endings.extend(mine);
            }
            // What is new, and what goes on unheeded.
            let is_due = |a: &Alert| match a.told {
                None => true,
                Some(t) => {
                    !rule.repeat.is_zero()
                        && a.acknowledged.is_none()
                        && now.since(t) >= duration_ns(rule.repeat)
                }
            };
            let firing: Vec<(String, Alert)> = self
                .state
                .conditions
                .iter()
                .filter(|(_, c)| c.rule == rule.name)
                .filter_map(|(k, c)| c.firing.clone().map(|a| (k.clone(), a)))
                .filter(|(_, a)| is_due(a) && self.may_tell(a, now))
                .collect();
            let (new, again): (Vec<_>, Vec<_>) = firing.into_iter().partition(|(_, a)| a.told.is_none());
            let mut chosen = if gathered(new.iter().map(|(_, a)| a.fired).min()) {
                new
            } else {
                Vec::new()
            };
            let kinds = [
                (MessageKind::Firing, std::mem::take(&mut chosen)),
                (MessageKind::Repeated, again),
            ];
            for (kind, list) in kinds {
                let mut alerts = Vec::new();
                for (key, mut alert) in list {
                    alert.told = Some(now);
                    self.outcome.changed.push(alert.clone());
                    if let Some(c) = self.state.conditions.get_mut(&key) {
                        c.firing = Some(alert.clone());
                    }
                    alerts.push(alert);
                }
                messages.extend(one_or_each(&rule, kind, alerts, now));
            }
            if !messages.is_empty() {
                self.state.told.insert(rule.name.clone(), now);
                for message in &mut messages {
                    message.zone.clone_from(&self.config.zone);
                }
                self.outcome.messages.append(&mut messages);
            }
        }
        let rules = &self.config.rules;
        self.state
            .told
            .retain(|name, _| rules.iter().any(|r| r.name == *name));
    }
}

/// All in one message, or, of what happens at a moment, each in its own: it has a picture.
fn one_or_each(rule: &AlertRule, kind: MessageKind, alerts: Vec<Alert>, now: Timestamp) -> Vec<Message> {
    if alerts.is_empty() {
        return Vec::new();
    }
    if rule.kind == AlertKind::Detection {
        let each = alerts.into_iter().map(|a| Message::new(kind, rule, vec![a], now));
        return each.collect();
    }
    vec![Message::new(kind, rule, alerts, now)]
}
