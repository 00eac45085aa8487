//! Alerts of a recorder: the engine with its memory in the index, and the channels.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::channel::Sender;
use super::delivery::{Board, ChannelStatus, Worker};
use super::engine::{Engine, Outcome};
use super::message::{Alert, Message};
use super::state::Mute;
use crate::clock::SharedClock;
use crate::config::{AlertChannel, AlertsConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::ids::CameraId;
use crate::mqtt::Mqtt;
use crate::nvr::blocking;
use crate::store::{AlertRecord, AlertsQuery, Page, Store};
use crate::time::{Timestamp, duration_ns};

/// Longest mute.
const LONGEST_MUTE: Duration = Duration::from_secs(366 * 86_400);

/// Where pictures of cameras come from: of about a moment, small, or none.
pub(crate) type PictureSource =
    Arc<dyn Fn(CameraId, Timestamp) -> Pin<Box<dyn Future<Output = Option<Bytes>> + Send>> + Send + Sync>;

/// What it is made of.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) clock: SharedClock,
    pub(crate) pictures: PictureSource,
}

/// Alerts of a recorder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Alerts(Arc<Shared>);

struct Shared {
    parts: Parts,
    engine: Mutex<Engine>,
    /// Saved as a whole, so one at a time and in order.
    saving: tokio::sync::Mutex<()>,
    unsaved: Mutex<Outcome>,
    /// What the index has of the engine's memory.
    saved: Mutex<String>,
    channels: Mutex<Channels>,
    board: Arc<Board>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Channels {
    configs: Vec<AlertChannel>,
    senders: BTreeMap<String, Arc<Sender>>,
    stop: CancellationToken,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts").finish_non_exhaustive()
    }
}

fn held<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Alerts {
    /// Goes on where the last life of the recorder left off.
    pub(crate) async fn start(parts: Parts, config: &AlertsConfig, mqtt: Option<Mqtt>) -> Result<Self> {
        let store = parts.store.clone();
        let saved = blocking(move || store.alert_state()).await?;
        let engine = match saved
            .map(|text| Engine::restored(config.clone(), &text))
            .transpose()
        {
            Ok(engine) => engine.unwrap_or_else(|| Engine::new(config.clone())),
            Err(e) => {
                tracing::error!(error = %e, "what goes on is found anew");
                Engine::new(config.clone())
            }
        };
        let alerts = Self(Arc::new(Shared {
            parts,
            engine: Mutex::new(engine),
            saving: tokio::sync::Mutex::default(),
            unsaved: Mutex::default(),
            saved: Mutex::default(),
            channels: Mutex::default(),
            board: Arc::default(),
            wake: Arc::default(),
        }));
        alerts.open_channels(config, mqtt);
        Ok(alerts)
    }

    /// Puts another configuration in force.
    pub(crate) async fn configure(&self, config: &AlertsConfig, mqtt: Option<Mqtt>) -> Result<()> {
        let now = self.0.parts.clock.now();
        held(&self.0.engine).configure(config.clone(), now);
        self.open_channels(config, mqtt);
        self.step().await
    }

    fn open_channels(&self, config: &AlertsConfig, mqtt: Option<Mqtt>) {
        let mut channels = held(&self.0.channels);
        channels.stop.cancel();
        channels.stop = CancellationToken::new();
        channels.configs.clone_from(&config.channels);
        channels.senders.clear();
        let mut before = std::mem::take(&mut *self.0.board.lock());
        for channel in &config.channels {
            let name = channel.name.clone();
            let fresh = ChannelStatus {
                name: name.clone(),
                kind: channel.place.kind().as_str(),
                place: channel.place.shown(),
                waiting: 0,
                delivered: 0,
                failed: 0,
                given_up: 0,
                last_delivered: None,
                failing_since: None,
                last_failure: None,
            };
            let mut status = before.remove(&name).unwrap_or_else(|| fresh.clone());
            (status.kind, status.place) = (fresh.kind, fresh.place);
            let clock = self.0.parts.clock.clone();
            match Sender::new(channel.clone(), mqtt.clone(), clock.clone()) {
                Ok(sender) => {
                    let sender = Arc::new(sender);
                    channels.senders.insert(name.clone(), Arc::clone(&sender));
                    let worker = Worker {
                        name: name.clone(),
                        sender,
                        store: self.0.parts.store.clone(),
                        clock,
                        board: Arc::clone(&self.0.board),
                        wake: Arc::clone(&self.0.wake),
                        pictures: Arc::clone(&self.0.parts.pictures),
                        page: config.page.clone(),
                        give_up: config.give_up,
                        stop: channels.stop.clone(),
                    };
                    tokio::spawn(worker.run());
                }
                Err(e) => {
                    tracing::error!(channel = name, error = %e, "this alert channel cannot be used");
                    status.failing_since = Some(self.0.parts.clock.now());
                    status.last_failure = Some(e.to_string());
                }
            }
            self.0.board.lock().insert(name, status);
        }
    }

    /// Ends the channels; what they have not delivered waits in the index.
    pub(crate) fn stop(&self) {
        held(&self.0.channels).stop.cancel();
    }

    /// Tells the engine something.
    pub(crate) fn see<T>(&self, what: impl FnOnce(&mut Engine) -> T) -> T {
        what(&mut held(&self.0.engine))
    }

    /// Lets the engine act, and keeps what came of it before anything is sent.
    pub(crate) async fn step(&self) -> Result<()> {
        let _one = self.0.saving.lock().await;
        let now = self.0.parts.clock.now();
        let (new, state) = {
            let mut engine = held(&self.0.engine);
            (engine.step(now), engine.save())
        };
        let outcome = {
            let mut unsaved = held(&self.0.unsaved);
            unsaved.messages.extend(new.messages);
            unsaved.changed.extend(new.changed);
            std::mem::take(&mut *unsaved)
        };
        if outcome.messages.is_empty() && outcome.changed.is_empty() && *held(&self.0.saved) == state {
            return Ok(());
        }
        let names: Vec<String> = held(&self.0.channels)
            .configs
            .iter()
            .map(|c| c.name.clone())
            .collect();
        let mut out = Vec::new();
        for message in &outcome.messages {
            let text = serde_json::to_string(message).unwrap_or_default();
            let mine = names
                .iter()
                .filter(|n| message.channels.is_empty() || message.channels.contains(n));
            out.extend(mine.map(|name| (name.clone(), message.at, text.clone())));
        }
        for message in &outcome.messages {
            let (kind, rule) = (message.kind.as_str(), &message.rule);
            tracing::warn!(kind, rule, alerts = message.alerts.len(), "{}", message.title());
        }
        let records = outcome.changed.iter().map(record).collect();
        let has_mail = !out.is_empty();
        if let Err(e) = self.0.parts.store.save_alerts(state.clone(), records, out).await {
            // Kept for the next step; a disk that is full is often what is to be told.
            let mut unsaved = held(&self.0.unsaved);
            *unsaved = outcome;
            let surplus = unsaved.messages.len().saturating_sub(100);
            unsaved.messages.drain(..surplus);
            return Err(e);
        }
        *held(&self.0.saved) = state;
        if has_mail {
            self.0.wake.notify_waiters();
        }
        Ok(())
    }

    /// Clears what is old.
    pub(crate) async fn tidy(&self, before: Timestamp) -> Result<()> {
        let names = held(&self.0.channels)
            .configs
            .iter()
            .map(|c| c.name.clone())
            .collect();
        self.0.parts.store.tidy_alerts(names, before).await
    }

    /// What goes on, oldest first.
    #[must_use]
    pub fn active(&self) -> Vec<Alert> {
        held(&self.0.engine).active()
    }

    /// Alerts that fired, newest first, a page at a time.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn history(&self, query: AlertsQuery) -> Result<Page<Alert>> {
        let store = self.0.parts.store.clone();
        let page = blocking(move || store.alerts(&query)).await?;
        let items = page
            .items
            .iter()
            .filter_map(|r| serde_json::from_str(&r.detail).ok());
        Ok(Page {
            items: items.collect(),
            next: page.next,
        })
    }

    /// Somebody knows of an alert: it is not told again, but for its end.
    ///
    /// # Errors
    /// `NotFound` when it does not go on, `Storage` when the index cannot be written.
    pub async fn acknowledge(&self, id: u64, by: Option<String>) -> Result<Alert> {
        let now = self.0.parts.clock.now();
        let alert = held(&self.0.engine).acknowledge(id, by, now);
        let alert = alert.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("there is no alert {id} that goes on"),
            )
            .with_hint("see `nvr alerts`")
        })?;
        held(&self.0.unsaved).changed.push(alert.clone());
        self.step().await?;
        Ok(alert)
    }

    /// Nothing is told of a rule, a camera, a camera of a rule, or of anything for a time; what goes on afterwards is told
    /// then.
    ///
    /// # Errors
    /// `InvalidArgument` when that is no time, or longer than a year; `NotFound` when there is no such rule; `Storage` when the
    /// index cannot be written.
    pub async fn mute(
        &self,
        rule: Option<String>,
        camera: Option<CameraId>,
        length: Duration,
        by: Option<String>,
    ) -> Result<Mute> {
        if length.is_zero() || length > LONGEST_MUTE {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "alerts are muted for a second to a year",
            ));
        }
        let until = self.0.parts.clock.now().add_ns(duration_ns(length));
        let mute = {
            let mut engine = held(&self.0.engine);
            if let Some(name) = rule.as_ref().filter(|name| !engine.knows(name)) {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("there is no alert rule {name:?}"),
                ));
            }
            engine.mute(rule, camera, until, by)
        };
        self.step().await?;
        Ok(mute)
    }

    /// Tells again.
    ///
    /// # Errors
    /// `NotFound` when there is no such mute, `Storage` when the index cannot be written.
    pub async fn unmute(&self, id: u64) -> Result<()> {
        if !held(&self.0.engine).unmute(id) {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no mute {id}")));
        }
        self.step().await
    }

    /// The mutes that hold.
    #[must_use]
    pub fn mutes(&self) -> Vec<Mute> {
        held(&self.0.engine).mutes()
    }

    /// How the channels stand, in the order of the configuration.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn channels(&self) -> Result<Vec<ChannelStatus>> {
        let store = self.0.parts.store.clone();
        let waiting = blocking(move || store.deliveries_waiting()).await?;
        let names: Vec<String> = held(&self.0.channels)
            .configs
            .iter()
            .map(|c| c.name.clone())
            .collect();
        let board = self.0.board.lock();
        let all = names.iter().filter_map(|n| board.get(n).cloned());
        Ok(all
            .map(|c| ChannelStatus {
                waiting: waiting.get(&c.name).copied().unwrap_or(0),
                ..c
            })
            .collect())
    }

    /// Sends a message to try a channel, at once and once.
    ///
    /// # Errors
    /// `NotFound` when there is no such channel, `Unavailable` with the reason when it does not arrive.
    pub async fn test(&self, channel: &str, camera: Option<CameraId>) -> Result<()> {
        let sender = held(&self.0.channels).senders.get(channel).cloned();
        let Some(sender) = sender else {
            let names: Vec<String> = held(&self.0.channels)
                .configs
                .iter()
                .map(|c| c.name.clone())
                .collect();
            let hint = match names.len() {
                0 => "there is none; write a section [[alert_channel]]".to_owned(),
                _ => format!("the channels are {}", names.join(", ")),
            };
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no usable alert channel {channel:?}"),
            )
            .with_hint(hint));
        };
        let now = self.0.parts.clock.now();
        let picture = match &camera {
            Some(camera) if sender.takes_pictures() => (self.0.parts.pictures)(camera.clone(), now).await,
            _ => None,
        };
        let sent = sender.send(&Message::test(now, camera), picture, None).await;
        self.0
            .board
            .note(channel, self.0.parts.clock.now(), sent.as_ref().copied());
        sent.map_err(|e| Error::new(ErrorKind::Unavailable, format!("the message did not arrive: {e}")))
    }

    /// Channels that fail, since when and why, for the health of the whole.
    pub(crate) fn troubles(&self) -> Vec<(Timestamp, Cause)> {
        let board = self.0.board.lock();
        let all = board.values().filter_map(|c| {
            let why = c.last_failure.as_deref().unwrap_or("unknown");
            let text = format!("alerts do not get through by {}: {why}", c.name);
            c.failing_since
                .map(|t| (t, Cause::new(CauseKind::Unreachable, text)))
        });
        all.collect()
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
