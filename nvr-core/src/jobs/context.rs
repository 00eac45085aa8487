//! What a running job has in hand: progress, checkpoints, and the wish that it stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::kind::JobError;
use crate::clock::SharedClock;
use crate::error::Result;
use crate::event::{Event, EventKind};
use crate::events::EventBus;
use crate::ids::{CameraId, JobId};
use crate::store::{JobRow, Store};
use crate::time::Timestamp;

/// Why a running job is asked to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// Somebody called it off.
    Cancelled,
    /// The recorder stops.
    Shutdown,
    /// The window of its kind closed.
    WindowClosed,
    /// The machine or the recorder has too much to do.
    Overload,
    /// Its kind was switched off.
    Disabled,
}

impl StopReason {
    /// What a job that was interrupted waits for.
    #[must_use]
    pub const fn waits_for(self) -> &'static str {
        match self {
            Self::Cancelled => "called off",
            Self::Shutdown => "goes on when the recorder runs again",
            Self::WindowClosed => "goes on in the next window",
            Self::Overload => "makes way for the recorder",
            Self::Disabled => "its kind is switched off",
        }
    }
}

/// How far a job is.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Progress {
    pub(super) fraction: f64,
    pub(super) message: String,
    /// Something changed since it was last told to listeners.
    pub(super) untold: bool,
    /// Something changed since it was last written.
    pub(super) unwritten: bool,
}

/// What engine and job share of one attempt.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) id: JobId,
    pub(super) kind: String,
    pub(super) camera: Option<CameraId>,
    pub(super) anytime: bool,
    pub(super) stop: CancellationToken,
    reason: Mutex<Option<StopReason>>,
    /// The job is at a point where it must not be dropped.
    committing: AtomicBool,
    progress: Mutex<Progress>,
}

impl Live {
    pub(super) fn new(job: &JobRow) -> Self {
        Self {
            id: job.id,
            kind: job.kind.clone(),
            camera: job.camera.clone(),
            anytime: job.anytime,
            stop: CancellationToken::new(),
            reason: Mutex::new(None),
            committing: AtomicBool::new(false),
            progress: Mutex::new(Progress {
                fraction: job.progress,
                ..Progress::default()
            }),
        }
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it was asked to stop, if it was.
    pub(super) fn reason(&self) -> Option<StopReason> {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks it to stop. A wish to call it off outweighs all others; of the rest the first counts.
    pub(super) fn ask(&self, reason: StopReason) {
        let mut held = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() || reason == StopReason::Cancelled {
            *held = Some(reason);
        }
        drop(held);
        self.stop.cancel();
    }

    pub(super) fn is_committing(&self) -> bool {
        self.committing.load(Ordering::SeqCst)
    }
}

/// What a running job has in hand. Cheap to clone, also into other threads.
#[derive(Clone, Debug)]
pub struct JobContext {
    pub(super) live: Arc<Live>,
    pub(super) store: Store,
    pub(super) events: Arc<EventBus>,
    pub(super) clock: SharedClock,
    pub(super) attempt: u32,
    pub(super) checkpoint: Option<Arc<Value>>,
    pub(super) window_end: Option<Timestamp>,
}

impl JobContext {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.live.id
    }

    /// The camera that it was entered for.
    #[must_use]
    pub fn camera(&self) -> Option<&CameraId> {
        self.live.camera.as_ref()
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The recorder's clock.
    #[must_use]
    pub fn clock(&self) -> SharedClock {
        self.clock.clone()
    }

    /// When the window in which it was started closes; `None` when none does, or when it does not count.
    #[must_use]
    pub const fn window_end(&self) -> Option<Timestamp> {
        self.window_end
    }

    /// Says how far it is (0 to 1) and what it does. Cheap: may be called for every frame.
    pub fn progress(&self, fraction: f64, message: impl AsRef<str>) {
        let mut progress = self.live.progress();
        let message = message.as_ref();
        let fraction = if fraction.is_finite() {
            fraction.clamp(0.0, 1.0)
        } else {
            progress.fraction
        };
        if (progress.fraction - fraction).abs() > f64::EPSILON || progress.message != message {
            progress.fraction = fraction;
            message.clone_into(&mut progress.message);
            (progress.untold, progress.unwritten) = (true, true);
        }
    }

    /// Completes when it is to stop.
    pub async fn stop(&self) {
        self.live.stop.cancelled().await;
    }

    /// The token that is cancelled when it is to stop, to be handed on.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.live.stop.clone()
    }

    /// Whether it is to stop.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.live.stop.is_cancelled()
    }

    /// Fails with [`JobError::stopped`] when it is to stop.
    ///
    /// # Errors
    /// When it is to stop.
    pub fn go_on(&self) -> Result<(), JobError> {
        if self.stopped() {
            Err(JobError::stopped())
        } else {
            Ok(())
        }
    }

    /// Begins a part that is not to be interrupted (two files exchanged, say), unless it is to stop already. From
    /// here on the attempt is waited for. Such parts are short.
    ///
    /// # Errors
    /// When it is to stop.
    pub fn commit(&self) -> Result<(), JobError> {
        self.live.committing.store(true, Ordering::SeqCst);
        self.go_on()
            .inspect_err(|_| self.live.committing.store(false, Ordering::SeqCst))
    }

    /// Tells that something happened, to listeners and to the index.
    pub async fn tell(&self, camera: Option<CameraId>, kind: EventKind) {
        let event = Event::new(self.clock.now(), camera, kind);
        self.events.publish(event.clone());
        if let Err(e) = self.store.add_event(event).await {
            tracing::warn!(error = %e, "an event is not in the index");
        }
    }

    /// What was last saved by an attempt before this one.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Value> {
        self.checkpoint.as_deref()
    }

    /// Saves how far it got (up to 1 MiB): the next attempt goes on from there, also after a crash. Returns once
    /// it is written. Attempts are counted from here on anew: only those that get no further use them up.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    pub async fn save_checkpoint(&self, checkpoint: Value) -> Result<()> {
        let (fraction, message) = {
            let progress = self.live.progress();
            (progress.fraction, progress.message.clone())
        };
        self.store
            .note_job(self.id(), fraction, message, Some(checkpoint))
            .await
    }
}
