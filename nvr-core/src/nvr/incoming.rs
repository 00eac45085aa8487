//! Messages of the MQTT broker become detections.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, Weak};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::{Inner, Nvr};
use crate::clock::SharedClock;
use crate::error::ErrorKind;
use crate::ids::CameraId;
use crate::mqtt::incoming::{Act, Ignored, Incoming, Moment};
use crate::mqtt::{Mqtt, MqttMessage};

/// How often it is looked whether something is over.
const LOOK: Duration = Duration::from_secs(1);
/// Different things that are told in the log; all are counted.
const MOST_TOLD: usize = 64;

/// What became of messages of topics that events come from, since the recorder started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct MqttEventCounts {
    /// Events that began.
    pub events: u64,
    /// Messages that the broker had kept from before, and that began nothing.
    pub retained: u64,
    /// Messages for cameras that are not there.
    pub unknown_camera: u64,
    /// Messages that are too large or no text.
    pub unreadable: u64,
    /// Messages beyond what a camera takes in a minute, or that came faster than they could be taken.
    pub too_many: u64,
}

/// Where they are counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    events: AtomicU64,
    retained: AtomicU64,
    unknown_camera: AtomicU64,
    unreadable: AtomicU64,
    too_many: AtomicU64,
}

impl Nvr {
    /// What became of messages of topics that events come from (`[[mqtt.events]]`).
    #[must_use]
    pub fn mqtt_event_counts(&self) -> MqttEventCounts {
        let c = &self.0.mqtt_events;
        MqttEventCounts {
            events: c.events.load(Relaxed),
            retained: c.retained.load(Relaxed),
            unknown_camera: c.unknown_camera.load(Relaxed),
            unreadable: c.unreadable.load(Relaxed),
            too_many: c.too_many.load(Relaxed),
        }
    }
}

struct Work {
    recorder: Weak<Inner>,
    clock: SharedClock,
    incoming: Incoming,
    told: HashSet<String>,
}

pub(super) async fn work(recorder: Weak<Inner>, stop: CancellationToken) {
    let Some((mut changes, clock)) = recorder
        .upgrade()
        .map(|r| (r.mqtt.subscribe(), r.context.clock.clone()))
    else {
        return;
    };
    let mut work = Work {
        recorder,
        clock,
        incoming: Incoming::default(),
        told: HashSet::new(),
    };
    loop {
        let present = changes.borrow_and_update().clone();
        // Not cut short: what is being entered has to be known to end it.
        let over = async {
            tokio::select! {
                () = stop.cancelled() => true,
                changed = changes.changed() => changed.is_err(),
            }
        };
        let ended = work.listen(present, over).await;
        // Whatever went on: nobody says any more when it is over.
        let acts = work.incoming.end(work.now());
        for act in acts {
            work.act(act).await;
        }
        if ended || work.recorder.strong_count() == 0 {
            return;
        }
    }
}

impl Work {
    fn now(&self) -> Moment {
        Moment {
            utc: self.clock.now(),
            steady_ns: self.clock.steady_ns(),
        }
    }

    /// Listens to a broker until `over`, and says what that said.
    async fn listen(&mut self, mqtt: Option<Mqtt>, over: impl Future<Output = bool>) -> bool {
        let Some(mqtt) = mqtt.filter(|m| !m.config().events.is_empty()) else {
            return over.await;
        };
        let mut over = pin!(over);
        let mut messages = None;
        for rule in &mqtt.config().events {
            match mqtt.subscribe(rule.topic.clone()).await {
                // All see all messages, so that one is enough.
                Ok(all) => {
                    messages.get_or_insert(all);
                }
                Err(e) => tracing::warn!(topic = rule.topic, error = %e, "no events come from this topic"),
            }
        }
        let Some(mut messages) = messages else {
            return over.await;
        };
        let own = format!("{}/", mqtt.config().base_topic);
        let clock = self.clock.clone();
        // Not begun anew with each message: many of them would put it off for ever.
        let mut look = clock.tick(LOOK);
        loop {
            tokio::select! {
                ended = &mut over => return ended,
                message = messages.recv() => match message {
                    // What it says itself would go round and round.
                    Ok(message) if message.topic.starts_with(&own) => {}
                    Ok(message) => self.take(&mqtt, &message).await,
                    Err(RecvError::Lagged(n)) => {
                        self.count(|c| &c.too_many, n);
                        self.tell("messages come faster than they can be taken");
                    }
                    Err(RecvError::Closed) => return over.await,
                },
                () = &mut look, if self.incoming.open() > 0 => {
                    look = clock.tick(LOOK);
                    for act in self.incoming.pass(self.now()) {
                        self.act(act).await;
                    }
                }
            }
        }
    }

    async fn take(&mut self, mqtt: &Mqtt, message: &MqttMessage) {
        let now = self.now();
        for act in self.incoming.take(&mqtt.config().events, message, now) {
            match act {
                Ok(act) => self.act(act).await,
                Err(Ignored::Nothing) => {}
                Err(Ignored::Retained) => self.count(|c| &c.retained, 1),
                Err(Ignored::Unreadable(why)) => {
                    self.count(|c| &c.unreadable, 1);
                    self.tell(&why);
                }
                Err(Ignored::Camera(why)) => {
                    self.count(|c| &c.unknown_camera, 1);
                    self.tell(&why);
                }
                Err(Ignored::TooMany) => {
                    self.count(|c| &c.too_many, 1);
                    self.tell("too many events go on at once");
                }
            }
        }
    }

    async fn act(&mut self, act: Act) {
        let Some(inner) = self.recorder.upgrade() else {
            return;
        };
        let done = match act {
            Act::Begin { key, new } => {
                let camera = new.camera.clone();
                let entered = if is_there(&inner, &camera) {
                    inner.detections.enter_limited(*new).await
                } else {
                    self.count(|c| &c.unknown_camera, 1);
                    self.tell(&format!("there is no camera {camera}"));
                    return self.forget(key.as_ref());
                };
                if let Some(key) = &key {
                    let id = entered.as_ref().ok().map(|d| d.id);
                    self.incoming.began(key, id);
                    // It ends when we say so, however long that is.
                    id.into_iter().for_each(|id| inner.detections.hold(id));
                }
                match &entered {
                    Ok(_) => self.count(|c| &c.events, 1),
                    Err(e) if e.kind() == ErrorKind::Busy => {
                        self.count(|c| &c.too_many, 1);
                        return self.tell(&e.to_string());
                    }
                    Err(_) => {}
                }
                entered
            }
            Act::Surer { id, at, score } => inner.detections.update(id, at, score).await,
            Act::End { id, at } => {
                inner.detections.release(id);
                inner.detections.end(id, at).await
            }
        };
        // Somebody may have ended or deleted it.
        if let Err(e) = done
            && !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Conflict)
        {
            tracing::warn!(error = %e, "an event from MQTT is not kept");
        }
    }

    fn forget(&mut self, key: Option<&crate::mqtt::incoming::Key>) {
        if let Some(key) = key {
            self.incoming.began(key, None);
        }
    }

    fn count(&self, which: impl Fn(&Counts) -> &AtomicU64, n: u64) {
        if let Some(inner) = self.recorder.upgrade() {
            which(&inner.mqtt_events).fetch_add(n, Relaxed);
        }
    }

    /// Tells of something in the log, of the same once.
    fn tell(&mut self, what: &str) {
        if self.told.len() < MOST_TOLD && self.told.insert(what.to_owned()) {
            tracing::warn!("a message over MQTT is no event (told once): {what}");
        }
    }
}

fn is_there(inner: &Inner, id: &CameraId) -> bool {
    let cameras = inner.cameras.read().unwrap_or_else(PoisonError::into_inner);
    cameras.contains_key(id)
}
