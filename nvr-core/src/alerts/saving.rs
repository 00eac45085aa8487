//! What came of the engine's steps: kept in the index before it is sent, and sent all the same when that cannot be written.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::handle::{Alerts, held};
use super::message::{Alert, Message};
use crate::error::{Error, ErrorKind, Result};
use crate::store::AlertRecord;
use crate::time::Timestamp;

/// How long the index may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Alerts that are remembered for an index that cannot be written.
const MOST_UNSAVED: usize = 1000;
/// Messages on their way from memory.
const MOST_FROM_MEMORY: usize = 200;

/// How far the index is behind.
pub(super) struct Saving {
    /// The engine's memory is saved as a whole: one at a time and in order.
    turn: tokio::sync::Mutex<()>,
    unsaved: Mutex<Vec<Alert>>,
    /// What the index has of the engine's memory.
    saved: Mutex<String>,
    /// What an index that does not answer has still to write.
    late: Mutex<Option<JoinHandle<Result<()>>>>,
    from_memory: Arc<Semaphore>,
}

impl Default for Saving {
    fn default() -> Self {
        Self {
            turn: tokio::sync::Mutex::default(),
            unsaved: Mutex::default(),
            saved: Mutex::default(),
            late: Mutex::default(),
            from_memory: Arc::new(Semaphore::new(MOST_FROM_MEMORY)),
        }
    }
}

impl Saving {
    /// An alert that is to be saved with the next step.
    pub(super) fn note(&self, alert: Alert) {
        held(&self.unsaved).push(alert);
    }
}

impl Alerts {
    /// Lets the engine act, and keeps what came of it before anything is sent. When the index cannot be written, messages
    /// are sent from memory: a disk that is full or gone is often what they tell of.
    pub(crate) async fn step(&self) -> Result<()> {
        let saving = &self.0.saving;
        let _turn = saving.turn.lock().await;
        let now = self.0.parts.clock.now();
        let (new, state) = {
            let mut engine = held(&self.0.engine);
            (engine.step(now), engine.save())
        };
        for message in &new.messages {
            let (kind, rule) = (message.kind.as_str(), &message.rule);
            tracing::warn!(kind, rule, alerts = message.alerts.len(), "{}", message.title());
        }
        let mut changed = std::mem::take(&mut *held(&saving.unsaved));
        changed.extend(new.changed);
        if new.messages.is_empty() && changed.is_empty() && *held(&saving.saved) == state {
            return Ok(());
        }
        let out = self.addressed(&new.messages);
        let has_mail = !out.is_empty();
        let records = changed.iter().map(record).collect();
        if let Err(e) = self.save(state.clone(), records, out).await {
            self.send_from_memory(&new.messages);
            let mut unsaved = held(&saving.unsaved);
            changed.append(&mut unsaved);
            let surplus = changed.len().saturating_sub(MOST_UNSAVED);
            changed.drain(..surplus);
            *unsaved = changed;
            return Err(e);
        }
        *held(&saving.saved) = state;
        if has_mail {
            self.0.wake.notify_waiters();
        }
        Ok(())
    }

    /// Messages with the channels they go by: name, when made, JSON.
    fn addressed(&self, messages: &[Message]) -> Vec<(String, Timestamp, String)> {
        let channels = held(&self.0.channels);
        let mut out = Vec::new();
        for message in messages {
            let text = serde_json::to_string(message).unwrap_or_default();
            let names = channels.configs.iter().map(|c| &c.name);
            let mine = names.filter(|name| message.goes_to(name));
            out.extend(mine.map(|name| (name.clone(), message.at, text.clone())));
        }
        out
    }

    async fn save(
        &self,
        state: String,
        records: Vec<AlertRecord>,
        out: Vec<(String, Timestamp, String)>,
    ) -> Result<()> {
        let hangs = || Error::new(ErrorKind::Timeout, "the index does not answer");
        let late = &self.0.saving.late;
        if held(late).as_ref().is_some_and(|task| !task.is_finished()) {
            return Err(hangs());
        }
        let store = self.0.parts.store.clone();
        let mut task = tokio::spawn(async move { store.save_alerts(state, records, out).await });
        tokio::select! {
            done = &mut task => done.unwrap_or_else(|_| Err(hangs())),
            () = self.0.parts.clock.sleep(PATIENCE) => {
                *held(late) = Some(task);
                Err(hangs())
            }
        }
    }

    fn send_from_memory(&self, messages: &[Message]) {
        let channels = held(&self.0.channels);
        for message in messages {
            for worker in channels.workers.values().filter(|w| message.goes_to(&w.name)) {
                let Ok(place) = Arc::clone(&self.0.saving.from_memory).try_acquire_owned() else {
                    tracing::error!("too many alerts wait in memory; one is not told");
                    continue;
                };
                let (worker, message) = (Arc::clone(worker), message.clone());
                tokio::spawn(async move {
                    worker.send_from_memory(&message).await;
                    drop(place);
                });
            }
        }
    }
}

fn record(alert: &Alert) -> AlertRecord {
    AlertRecord {
        id: alert.id,
        rule: alert.rule.clone(),
        camera: alert.camera.as_ref().map(ToString::to_string),
        fired: alert.fired,
        resolved: alert.resolved,
        detail: serde_json::to_string(alert).unwrap_or_default(),
    }
}
