//! A worker for each channel: takes the oldest message of its queue in the index, sends it, tries again later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::channel::{Refusal, Sender};
use super::handle::PictureSource;
use super::message::Message;
use crate::clock::SharedClock;
use crate::nvr::blocking;
use crate::store::{OutboxRow, Store};
use crate::time::{Timestamp, duration_ns};

const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// How often a queue is looked at without being told.
const LOOK: Duration = Duration::from_secs(60);

/// How a channel stands.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct ChannelStatus {
    /// Its name.
    pub name: String,
    /// `webhook`, `email`, `discord`, `ntfy` or `mqtt`.
    pub kind: &'static str,
    /// Where it goes, without secrets.
    pub place: String,
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that arrived since the recorder started.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Messages that were given up.
    pub given_up: u64,
    /// When the newest arrived.
    pub last_delivered: Option<Timestamp>,
    /// Since when none arrives; absent while all is well.
    pub failing_since: Option<Timestamp>,
    /// Why the last attempt failed; absent when it did not.
    pub last_failure: Option<String>,
}

/// How all of them stand, by name.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<BTreeMap<String, ChannelStatus>>);

impl Board {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ChannelStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, name: &str, now: Timestamp, result: Result<(), &Refusal>) {
        let mut all = self.lock();
        let Some(status) = all.get_mut(name) else { return };
        match result {
            Ok(()) => {
                if status.failing_since.take().is_some() {
                    tracing::info!(channel = name, "alerts arrive again");
                }
                status.delivered += 1;
                status.last_delivered = Some(now);
                status.last_failure = None;
            }
            Err(refusal) => {
                if status.failing_since.is_none() {
                    tracing::warn!(channel = name, "an alert cannot be delivered: {refusal}");
                }
                status.failed += 1;
                status.failing_since.get_or_insert(now);
                status.last_failure = Some(refusal.message.clone());
            }
        }
    }
}

/// What a worker holds.
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) sender: Sender,
    pub(super) store: Store,
    pub(super) clock: SharedClock,
    pub(super) board: Arc<Board>,
    pub(super) wake: Arc<Notify>,
    pub(super) pictures: PictureSource,
    pub(super) page: Option<String>,
    pub(super) give_up: Duration,
    pub(super) stop: CancellationToken,
}

impl Worker {
    pub(super) async fn run(self: Arc<Self>) {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&self) {
        loop {
            let notified = self.wake.notified();
            let (store, name) = (self.store.clone(), self.name.clone());
            let wait = match blocking(move || store.next_delivery(&name)).await {
                Ok(Some(row)) => {
                    let now = self.clock.now();
                    // A clock that was set back must not hold it up for longer than any wait.
                    let left = row.due.since(now).min(duration_ns(LONGEST_WAIT));
                    if left <= 0 {
                        self.deliver(row).await;
                        continue;
                    }
                    Duration::from_nanos(left.unsigned_abs())
                }
                Ok(None) => LOOK,
                Err(e) => {
                    tracing::warn!(error = %e, channel = self.name, "messages cannot be read from the index");
                    LOOK
                }
            };
            tokio::select! {
                () = notified => {}
                () = self.clock.sleep(wait.min(LOOK)) => {}
            }
        }
    }

    async fn deliver(&self, row: OutboxRow) {
        let now = self.clock.now();
        let old = now.since(row.created) > duration_ns(self.give_up);
        let message = serde_json::from_str::<Message>(&row.message).ok();
        let (Some(message), false) = (message, old && row.attempts > 0) else {
            return self.give_up(row.id, "it is too old").await;
        };
        let written = match self.send(&message).await {
            Ok(()) => self.store.end_delivery(row.id).await,
            Err(refusal) if !refusal.passing => return self.give_up(row.id, &refusal.message).await,
            Err(_) => {
                let due = self.clock.now().add_ns(duration_ns(wait_after(row.attempts)));
                self.store.put_off_delivery(row.id, due).await
            }
        };
        if let Err(e) = written {
            tracing::warn!(error = %e, channel = self.name, "the index does not know how a delivery went");
            // Not at once again: it would be told over and over.
            self.clock.sleep(LOOK).await;
        }
    }

    async fn send(&self, message: &Message) -> Result<(), Refusal> {
        let picture = match &message.picture {
            Some(camera) if self.sender.takes_pictures() => (self.pictures)(camera.clone(), message.at).await,
            _ => None,
        };
        let sent = self.sender.send(message, picture, self.page.as_deref()).await;
        self.board
            .note(&self.name, self.clock.now(), sent.as_ref().copied());
        sent
    }

    /// Sends one that the index does not have, until it is old, refused, or the channel ends.
    pub(super) async fn send_from_memory(&self, message: &Message) {
        let trying = async {
            let mut attempts = 0;
            loop {
                let Err(refusal) = self.send(message).await else {
                    return;
                };
                let age = self.clock.now().since(message.at);
                if !refusal.passing || age > duration_ns(self.give_up) {
                    return self.note_given_up(&refusal.message);
                }
                self.clock.sleep(wait_after(attempts)).await;
                attempts += 1;
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = trying => {}
        }
    }

    fn note_given_up(&self, why: &str) {
        tracing::warn!(channel = self.name, "an alert is given up: {why}");
        if let Some(status) = self.board.lock().get_mut(&self.name) {
            status.given_up += 1;
        }
    }

    async fn give_up(&self, id: i64, why: &str) {
        self.note_given_up(why);
        if let Err(e) = self.store.end_delivery(id).await {
            tracing::warn!(error = %e, channel = self.name, "the index does not know that a message was given up");
            self.clock.sleep(LOOK).await;
        }
    }
}

/// How long is waited after so many attempts that failed, and one more.
fn wait_after(attempts: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << attempts.min(10)).min(LONGEST_WAIT)
}
