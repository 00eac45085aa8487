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
use super::engine::Engine;
use super::message::{Alert, Message};
use super::saving::Saving;
use super::state::Mute;
use crate::clock::SharedClock;
use crate::config::{AlertChannel, AlertsConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::ids::CameraId;
use crate::mqtt::Mqtt;
use crate::nvr::blocking;
use crate::store::{AlertsQuery, Page, Store};
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
pub struct Alerts(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) parts: Parts,
    pub(super) engine: Mutex<Engine>,
    pub(super) saving: Saving,
    pub(super) channels: Mutex<Channels>,
    board: Arc<Board>,
    pub(super) wake: Arc<Notify>,
}

#[derive(Default)]
pub(super) struct Channels {
    pub(super) configs: Vec<AlertChannel>,
    pub(super) workers: BTreeMap<String, Arc<Worker>>,
    stop: CancellationToken,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts").finish_non_exhaustive()
    }
}

pub(super) fn held<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
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
            saving: Saving::default(),
            channels: Mutex::default(),
            board: Arc::default(),
            wake: Arc::default(),
        }));
        alerts.open_channels(config, mqtt.as_ref());
        Ok(alerts)
    }

    /// Puts another configuration in force.
    pub(crate) async fn configure(&self, config: &AlertsConfig, mqtt: Option<Mqtt>) -> Result<()> {
        let now = self.0.parts.clock.now();
        held(&self.0.engine).configure(config.clone(), now);
        self.open_channels(config, mqtt.as_ref());
        self.step().await
    }

    fn open_channels(&self, config: &AlertsConfig, mqtt: Option<&Mqtt>) {
        let mut channels = held(&self.0.channels);
        channels.stop.cancel();
        channels.stop = CancellationToken::new();
        channels.configs.clone_from(&config.channels);
        channels.workers.clear();
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
            match Sender::new(channel.clone(), mqtt.cloned(), clock.clone()) {
                Ok(sender) => {
                    let worker = Arc::new(Worker {
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
                    });
                    channels.workers.insert(name.clone(), Arc::clone(&worker));
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
        self.0.saving.note(alert.clone());
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
        let worker = held(&self.0.channels).workers.get(channel).cloned();
        let Some(worker) = worker else {
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
            Some(camera) if worker.sender.takes_pictures() => {
                (self.0.parts.pictures)(camera.clone(), now).await
            }
            _ => None,
        };
        let page = worker.page.as_deref();
        let sent = worker
            .sender
            .send(&Message::test(now, camera), picture, page)
            .await;
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
