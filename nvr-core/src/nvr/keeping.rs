//! Retention at work: looks at the disk, lets the keeper delete, pauses cameras when nothing is left to delete.
//!
//! The second root is looked after by a task of its own: should its disk hang in the middle of a deletion, the recordings
//! root is kept from filling up all the same.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Inner, Nvr, blocking};
use crate::camera::{Camera, Command};
use crate::config::RecordMode;
use crate::error::{ErrorKind, Result};
use crate::event::{Cause, CauseKind, DeletionReason, Event, EventKind};
use crate::ids::{CameraId, SegmentId};
use crate::retention::{Change, Deleted, DeletedSoFar, Pass, Steps, Watch};
use crate::segment::Tier;
use crate::time::{Timestamp, duration_ns};

/// How often the free space is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often ages and sizes are, while there is enough free.
const RULES: Duration = Duration::from_secs(30);
/// Passes in a row before the free space is looked at again.
const PASSES: usize = 8;

impl Nvr {
    /// Deletes what is to go by the limits of retention, as the recorder does by itself from time to time; or with
    /// `dry_run` only tells what that is. A bounded number of segments goes at once: `more` says to call again.
    ///
    /// # Errors
    /// `Storage` when the root is not there or the index cannot be read.
    pub async fn cleanup(&self, dry_run: bool) -> Result<Pass> {
        let (keeper, policy) = (self.0.keeper.clone(), self.0.footage_policy());
        let now = self.clock().now();
        if dry_run {
            return blocking(move || keeper.preview(&policy, now)).await;
        }
        let pass = blocking(move || keeper.pass(&policy, Some(now))).await?;
        self.0.tell_deleted(&pass.deleted).await;
        Ok(pass)
    }

    /// What was deleted since this recorder started, by camera and reason.
    #[must_use]
    pub fn deleted(&self) -> Vec<DeletedSoFar> {
        self.0.keeper.so_far()
    }

    /// Deletes one segment.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, `Conflict` when it is protected or grows, `Storage` when its file cannot
    /// be deleted.
    pub async fn delete_segment(&self, id: SegmentId) -> Result<Deleted> {
        let keeper = self.0.keeper.clone();
        let deleted = blocking(move || keeper.delete(id)).await?;
        self.0.tell_deleted(std::slice::from_ref(&deleted)).await;
        Ok(deleted)
    }
}

#[derive(Default)]
struct Looks {
    /// Wakes who looks after the second root, for what is short here moves there.
    second: Arc<Notify>,
    watch: Watch,
    steps: Steps,
    /// When the rules are looked at again, by the steady clock.
    rules_at_ns: i64,
    /// Said already, so that it is not said every two seconds.
    fault: String,
}

pub(super) async fn work(recorder: Weak<Inner>, stop: CancellationToken) {
    let mut looks = Looks::default();
    tokio::spawn(second_root(
        recorder.clone(),
        Arc::clone(&looks.second),
        stop.clone(),
    ));
    loop {
        let Some(clock) = recorder.upgrade().map(|r| r.context.clock.clone()) else {
            return;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.tick(LOOK) => {}
        }
        let Some(recorder) = recorder.upgrade() else {
            return;
        };
        match recorder.keep(&mut looks).await {
            Ok(()) => looks.fault.clear(),
            // A disk that is not there is told by the one who watches it.
            Err(e) if e.kind() == ErrorKind::Unavailable => {}
            Err(e) => {
                let fault = e.to_string();
                if looks.fault != fault {
                    tracing::warn!(error = %e, "nothing can be deleted now");
                    looks.fault = fault;
                }
            }
        }
    }
}

/// Looks after the second root. Whatever hangs there holds up nothing but this.
async fn second_root(recorder: Weak<Inner>, wake: Arc<Notify>, stop: CancellationToken) {
    let (mut steps, mut rules_at_ns) = (Steps::default(), 0);
    loop {
        let Some(clock) = recorder.upgrade().map(|r| r.context.clock.clone()) else {
            return;
        };
        let mut woken = false;
        tokio::select! {
            () = stop.cancelled() => return,
            () = wake.notified() => woken = true,
            () = clock.sleep(LOOK) => {}
        }
        let Some(recorder) = recorder.upgrade() else {
            return;
        };
        if recorder.tree.second().is_none() {
            return;
        }
        let steady = clock.steady_ns();
        let now = steps.trusted(clock.now(), steady);
        if recorder.tree.second_usage().is_none() {
            continue;
        }
        let due = woken || steady >= rules_at_ns;
        match recorder.keep_second(now, due).await {
            Ok(true) => rules_at_ns = steady.saturating_add(duration_ns(RULES)),
            Ok(false) => {}
            Err(e) => tracing::debug!(error = %e, "nothing of the second root can be deleted now"),
        }
    }
}

/// A camera that writes, or may at any moment, with its priority.
fn writer(camera: &Camera) -> Option<(CameraId, u8)> {
    let config = camera.config();
    let writes = config.enabled && camera.status().mode != RecordMode::Off;
    writes.then(|| (config.id.clone(), config.priority))
}

impl Inner {
    async fn keep(&self, looks: &mut Looks) -> Result<()> {
        let steady = self.context.clock.steady_ns();
        let now = looks.steps.trusted(self.context.clock.now(), steady);
        let policy = self.footage_policy();
        let keeper = self.keeper.clone();
        let mut disk = blocking(move || keeper.disk()).await?;
        let mut exhausted = false;
        let short = disk.available_bytes < policy.min_free_bytes(disk.total_bytes);
        if short || steady >= looks.rules_at_ns {
            looks.second.notify_one();
            for _ in 0..PASSES {
                let (keeper, policy) = (self.keeper.clone(), policy.clone());
                let pass = blocking(move || keeper.pass_below(Tier::First, &policy, now)).await?;
                self.tell(&pass).await;
                exhausted = pass.deleted.is_empty() && !pass.more;
                if !pass.more || pass.deleted.is_empty() {
                    looks.rules_at_ns = steady.saturating_add(duration_ns(RULES));
                    break;
                }
            }
            let keeper = self.keeper.clone();
            disk = blocking(move || keeper.disk()).await?;
        }
        // A clock that jumped makes copies old as well.
        if now.is_some() {
            self.release(Tier::First).await?;
        }
        let cameras = self.cameras();
        let writers: Vec<_> = cameras.iter().filter_map(writer).collect();
        let critical = policy.critical_bytes(disk.total_bytes);
        let changes = looks
            .watch
            .look(disk.available_bytes, critical, exhausted, &writers);
        self.apply(changes, disk.available_bytes, critical, &cameras)
            .await;
        // Said again and again: a camera may have been removed and added since.
        for camera in cameras.iter().filter(|c| looks.watch.is_paused(&c.id())) {
            let _ = camera.send(Command::Pause(paused()));
        }
        Ok(())
    }

    /// What is to go below the second root: by the rules if they are due, and what was uploaded. Whether the rules are
    /// satisfied.
    async fn keep_second(&self, now: Option<Timestamp>, due: bool) -> Result<bool> {
        let mut done = false;
        if due {
            let (keeper, policy) = (self.keeper.clone(), self.footage_policy());
            let pass = blocking(move || keeper.pass_below(Tier::Second, &policy, now)).await?;
            self.tell(&pass).await;
            done = !pass.more || pass.deleted.is_empty();
        }
        if now.is_some() {
            self.release(Tier::Second).await?;
        }
        Ok(done)
    }

    /// Deletes files below a root of which there are copies elsewhere for long enough.
    async fn release(&self, tier: Tier) -> Result<()> {
        let mut rows = self.uploads.released().await?;
        rows.retain(|row| row.tier == tier);
        if !rows.is_empty() {
            let keeper = self.keeper.clone();
            let pass = blocking(move || keeper.release(tier, rows)).await?;
            self.tell(&pass).await;
        }
        Ok(())
    }

    async fn tell(&self, pass: &Pass) {
        for why in &pass.failed {
            tracing::warn!("a segment could not be deleted: {why}");
        }
        self.tell_deleted(&pass.deleted).await;
    }

    async fn apply(
        &self,
        changes: Vec<Change>,
        available_bytes: u64,
        critical_bytes: u64,
        cameras: &[Camera],
    ) {
        let now = self.context.clock.now();
        let find = |id: &CameraId| cameras.iter().find(|c| c.id() == *id);
        for change in changes {
            match change {
                Change::Low => {
                    let words = format!(
                        "the disk is nearly full ({available_bytes} bytes left): the oldest footage is deleted whatever its age"
                    );
                    tracing::warn!(available_bytes, critical_bytes, "{words}");
                    *self.space_low.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some((now, Cause::new(CauseKind::LowSpace, words)));
                    let kind = EventKind::SpaceLow {
                        available_bytes,
                        critical_bytes,
                    };
                    self.publish(Event::new(now, None, kind)).await;
                }
                Change::Recovered => {
                    tracing::info!(available_bytes, "the disk has room again");
                    *self.space_low.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    self.publish(Event::new(
                        now,
                        None,
                        EventKind::SpaceRecovered { available_bytes },
                    ))
                    .await;
                }
                Change::Pause(id) => {
                    tracing::error!(camera = %id, available_bytes, "recording pauses: {}", paused().message);
                }
                Change::Resume(id) => {
                    tracing::info!(camera = %id, available_bytes, "recording resumes: the disk has room again");
                    if let Some(camera) = find(&id) {
                        let _ = camera.send(Command::Unpause);
                    }
                }
            }
        }
    }

    /// Footage that goes by the rules is told to those who listen; only what is out of the ordinary is kept.
    async fn tell_deleted(&self, deleted: &[Deleted]) {
        let now = self.context.clock.now();
        for d in deleted {
            tracing::info!(camera = %d.camera, segments = d.segments, bytes = d.size_bytes, until = %d.until,
                "{}", d.reason.words());
            let kind = EventKind::FootageDeleted {
                segments: d.segments,
                size_bytes: d.size_bytes,
                until: d.until,
                reason: d.reason,
            };
            let event = Event::new(now, Some(d.camera.clone()), kind);
            if matches!(d.reason, DeletionReason::Emergency | DeletionReason::Requested) {
                self.publish(event).await;
            } else {
                self.context.events.publish(event);
            }
        }
    }
}

fn paused() -> Cause {
    Cause::new(
        CauseKind::LowSpace,
        "the disk is nearly full and nothing on it may be deleted",
    )
}
