//! Stills of a running recorder: taken when they are due, cleared when they are too many.
//!
//! Each still is a task of its own: a camera that is slow to decode, or a disk that is slow, holds up no other. The frame is
//! the newest keyframe of the stream that is there anyway; who sends none has none.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Inner, Nvr, blocking};
use crate::camera::Camera;
use crate::config::{RecordMode, Room, StillRules};
use crate::error::Result;
use crate::ids::CameraId;
use crate::retention::{Policy, Steps};
use crate::stills::policy::{Due, is_fresh, next_due};
use crate::stills::{NotKept, StillFigures, StillLimits, StillSums, Stills};
use crate::time::Timestamp;

/// The configuration and the clock are looked at at least so often.
const LOOK: Duration = Duration::from_secs(5);
/// How often limits are looked after.
const CLEAR: Duration = Duration::from_secs(30);
/// How long is waited for the disk before what is there is counted again.
const AGAIN: Duration = Duration::from_secs(10);
/// Pictures that are decoded at once.
const DECODED_AT_ONCE: usize = 2;

/// What takes stills.
#[derive(Debug)]
pub(super) struct Taking {
    stills: Arc<Stills>,
    turns: Arc<Semaphore>,
    /// Cameras of which one is under way.
    busy: Mutex<HashSet<CameraId>>,
    /// The frames that were kept last.
    last: Mutex<HashMap<CameraId, Timestamp>>,
}

impl Taking {
    pub(super) fn new(tree: crate::files::Tree) -> Self {
        Self {
            stills: Arc::new(Stills::new(tree)),
            turns: Arc::new(Semaphore::new(DECODED_AT_ONCE)),
            busy: Mutex::default(),
            last: Mutex::default(),
        }
    }

    /// How many stills there are.
    pub(super) fn sums(&self) -> StillSums {
        self.stills.sums()
    }
}

impl Nvr {
    /// How many stills there are of each camera, removed ones included, and what became of those that were due since the
    /// recorder started.
    #[must_use]
    pub fn still_figures(&self) -> Vec<(CameraId, StillFigures)> {
        self.0.taking.stills.figures()
    }
}

pub(super) async fn work(recorder: Weak<Inner>, stop: CancellationToken) {
    // What is there is counted first; without the disk there is nothing to be done.
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        let (stills, clock) = (Arc::clone(&inner.taking.stills), inner.context.clock.clone());
        drop(inner);
        match blocking(move || stills.open()).await {
            Ok(()) => break,
            Err(e) => tracing::debug!(error = %e, "the stills cannot be counted yet"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(AGAIN) => {}
        }
    }
    if let Some(inner) = recorder.upgrade() {
        inner.workers.spawn(clear(recorder.clone(), stop.clone()));
    }
    let mut dues: HashMap<CameraId, Due> = HashMap::new();
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        let clock = inner.context.clock.clone();
        let pause = inner.look_for_stills(&mut dues, clock.now());
        drop(inner);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(pause) => {}
        }
    }
}

/// Holds the limits. Whatever takes long there holds up nothing but this.
async fn clear(recorder: Weak<Inner>, stop: CancellationToken) {
    let mut steps = Steps::default();
    let mut fault = String::new();
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        let clock = inner.context.clock.clone();
        let now = steps.trusted(clock.now(), clock.steady_ns());
        match inner.clear_stills(now).await {
            Ok(()) => fault.clear(),
            Err(e) if fault == e.to_string() => {}
            Err(e) => {
                tracing::warn!(error = %e, "no stills can be deleted now");
                fault = e.to_string();
            }
        }
        drop(inner);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.tick(CLEAR) => {}
        }
    }
}

/// Most bytes that all stills take, and what the disk has to have left.
fn limits(config: &crate::config::Config, policy: &Policy, total_bytes: u64) -> StillLimits {
    let share = Some(config.stills.max_size.of(total_bytes)).filter(|_| config.stills.max_size != Room::NONE);
    let of_all = policy.max_bytes.map(|most| most / 10);
    StillLimits {
        max_bytes: [share, of_all].into_iter().flatten().min(),
        critical_bytes: policy.critical_bytes(total_bytes),
    }
}

impl Inner {
    /// The limits of footage: stills count towards that of all together.
    pub(super) fn footage_policy(&self) -> Policy {
        let mut policy = Policy::clone(&self.archive.policy());
        let taken = self.taking.sums().size_bytes;
        policy.max_bytes = policy.max_bytes.map(|most| most.saturating_sub(taken));
        policy
    }

    async fn clear_stills(&self, now: Option<Timestamp>) -> Result<()> {
        let (config, policy, stills, tree) = (
            self.config(),
            self.archive.policy(),
            Arc::clone(&self.taking.stills),
            self.tree.clone(),
        );
        let deleted = blocking(move || {
            let limits = limits(&config, &policy, tree.usage()?.total_bytes);
            stills.clear(&config.stills, &config.cameras, &limits, now)
        })
        .await?;
        if deleted > 0 {
            tracing::info!(stills = deleted, "stills were deleted by the limits of [stills]");
        }
        Ok(())
    }

    /// Begins those that are due; how long until the next is.
    fn look_for_stills(self: &Arc<Self>, dues: &mut HashMap<CameraId, Due>, now: Timestamp) -> Duration {
        let config = self.config();
        let mut next = now + LOOK;
        let cameras = self.cameras();
        dues.retain(|id, _| cameras.iter().any(|c| c.id() == *id));
        for camera in cameras {
            let own = camera.config();
            let rules = config.stills.of(Some(&own.stills));
            if let Some(every) = rules.every {
                next = next.min(next_due(every, now));
            }
            let due = dues.entry(own.id.clone()).or_default().look(&rules, now);
            // Where nothing is to be recorded, nothing is kept, whoever watches just then.
            if due && own.enabled && own.mode_at(now) != RecordMode::Off {
                self.begin_still(&camera, rules, now);
            }
        }
        Duration::from_nanos(u64::try_from(next.since(now)).unwrap_or(0).max(1_000_000))
    }

    fn begin_still(self: &Arc<Self>, camera: &Camera, rules: StillRules, now: Timestamp) {
        let (id, taking) = (camera.id(), &self.taking);
        let every = rules.every.unwrap_or_default();
        let last = taking
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .copied();
        let unit = camera
            .latest_keyframe()
            .filter(|unit| is_fresh(unit.utc(), last, every, now));
        let Some(unit) = unit else {
            taking.stills.missed(&id);
            return;
        };
        let busy = &mut taking.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if !busy.insert(id.clone()) {
            // The one before is not written yet: the disk has too much to do.
            taking.stills.failed(&id);
            return;
        }
        let inner = Arc::clone(self);
        self.workers.spawn(async move {
            let at = unit.utc();
            match inner.take(&id, unit, &rules).await {
                Ok(Ok(())) => {
                    let mut last = inner.taking.last.lock().unwrap_or_else(PoisonError::into_inner);
                    last.insert(id.clone(), at);
                }
                Ok(Err(NotKept::There)) => {}
                Ok(Err(NotKept::NoRoom)) => {
                    tracing::debug!(camera = %id, "no still: the disk is nearly full");
                    inner.taking.stills.failed(&id);
                }
                Err(e) => {
                    tracing::warn!(camera = %id, error = %e, "a still was not kept");
                    inner.taking.stills.failed(&id);
                }
            }
            let mut busy = inner.taking.busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.remove(&id);
        });
    }

    async fn take(
        &self,
        id: &CameraId,
        unit: crate::gst::AccessUnit,
        rules: &StillRules,
    ) -> Result<Result<(), NotKept>> {
        let at = unit.utc();
        let jpeg = {
            // Only the decoding waits for its turn: the frame is the one of the moment.
            let turn = self.taking.turns.acquire().await;
            // None is made larger.
            let width = rules.width.map(|w| w.min(unit.tracks().video.width));
            let quality = rules.quality;
            let privacy = self.archive.privacy().of(id);
            let jpeg = crate::gst::snapshot::jpeg_of;
            let jpeg = blocking(move || jpeg(&unit, width, Some(quality), privacy)).await?;
            drop(turn);
            jpeg
        };
        let (stills, id, policy) = (Arc::clone(&self.taking.stills), id.clone(), self.archive.policy());
        blocking(move || stills.keep(&id, at, &jpeg, |total| policy.critical_bytes(total))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn stills_have_a_tenth_of_what_all_footage_has() {
        let mut config = Config::new("/srv/nvr");
        let of = |config: &Config| limits(config, &Policy::of(config), 1 << 40).max_bytes;
        assert_eq!(of(&config), Some((1 << 40) / 10));
        config.retention.max_bytes = Some(1 << 30);
        assert_eq!(of(&config), Some((1 << 30) / 10));
        config.stills.max_size = Room::NONE;
        assert_eq!(of(&config), Some((1 << 30) / 10));
        config.retention.max_bytes = None;
        assert_eq!(of(&config), None);
    }
}
