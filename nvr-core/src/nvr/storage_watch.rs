//! The disk: looked at for all cameras, told to them once, and mended after a fault.

use std::sync::{PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::question::Question;
use super::{Inner, blocking};
use crate::camera::Command;
use crate::event::{Cause, CauseKind, Event, EventKind};
use crate::files::{self, Recovered};
use crate::store::SegmentState;

/// How often a disk at fault is looked at, and one that seems well is made sure of.
pub(super) const STORAGE_LOOK: Duration = Duration::from_secs(2);

/// A disk that has not answered for so long hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn watch(
    recorder: Weak<Inner>,
    mut reports: mpsc::UnboundedReceiver<Cause>,
    stop: CancellationToken,
) {
    let mut look = Question::default();
    loop {
        let Some(clock) = recorder.upgrade().map(|r| r.context.clock.clone()) else {
            return;
        };
        let reported = tokio::select! {
            () = stop.cancelled() => return,
            report = reports.recv() => match report {
                Some(cause) => Some(cause),
                None => return,
            },
            () = clock.tick(STORAGE_LOOK) => None,
        };
        let Some(recorder) = recorder.upgrade() else {
            return;
        };
        let tree = recorder.tree.clone();
        let at_fault = recorder
            .storage_fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some();
        let question = move || {
            let looked = match &reported {
                // One file that cannot be written is that camera's affair if others can.
                Some(cause) if cause.kind == CauseKind::StorageError && !at_fault => tree.healthy(),
                Some(_) => return reported,
                // A disk at fault has to prove itself by a write; one that works is only looked at.
                None if at_fault => tree.healthy(),
                None => tree.root().attach().map(drop),
            };
            let error = looked.err()?;
            reported.or_else(|| {
                let cause = files::cause_of(&error);
                Some(cause.unwrap_or_else(|| Cause::new(CauseKind::StorageError, error.to_string())))
            })
        };
        let answer = tokio::select! {
            () = stop.cancelled() => return,
            answer = look.ask(question, clock.sleep(PATIENCE)) => answer,
        };
        let found = match answer {
            Some(Ok(found)) => found,
            Some(Err(e)) => Some(Cause::new(CauseKind::Internal, e.to_string())),
            // Nothing else is asked of that disk before it answers.
            None => {
                recorder.storage_hangs(true);
                continue;
            }
        };
        recorder.storage_hangs(false);
        recorder.storage(found).await;
        recorder.mend_abandoned().await;
        recorder.save_events().await;
    }
}

impl Inner {
    /// Files that a storage fault left behind are mended once the disk is back.
    async fn mend_abandoned(&self) {
        if !self.tree.has_abandoned()
            || self
                .storage_fault
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some()
        {
            return;
        }
        let tree = self.tree.clone();
        let Ok(mended) = tokio::task::spawn_blocking(move || tree.recover_abandoned()).await else {
            return;
        };
        for (camera, path, recovered) in mended {
            let segment = match recovered {
                Some(Recovered::Closed { segment, cut_bytes }) => Some((segment, cut_bytes)),
                Some(Recovered::Empty { .. }) | None => None,
            };
            // The camera's own journal knows what it has not written of this segment yet.
            let handle = {
                let cameras = self.cameras.read().unwrap_or_else(PoisonError::into_inner);
                cameras.get(&camera).cloned()
            };
            match (handle, segment) {
                (Some(handle), segment) => {
                    let _ = handle.send(Command::Mended { path, segment });
                }
                (None, Some((segment, _))) => {
                    if let Err(e) = self.context.store.close_segment(&path, &segment).await {
                        tracing::warn!(%camera, error = %e, path = %path.display(), "a mended segment is not in the index");
                    }
                }
                (None, None) => self.forget_empty(path).await,
            }
        }
    }

    /// A file without footage has no place in the index; an open row would be looked for at each start.
    async fn forget_empty(&self, path: std::path::PathBuf) {
        let store = self.context.store.clone();
        let forgotten = blocking(move || match store.segment_by_path(&path)? {
            Some(row) if row.state == SegmentState::Open => store.delete_segment_blocking(row.id).map(drop),
            _ => Ok(()),
        });
        if let Err(e) = forgotten.await {
            tracing::warn!(error = %e, "the row of an empty file is still in the index");
        }
    }

    /// Whether the disk answers: told once. What cameras send waits in memory meanwhile, so they are left alone.
    fn storage_hangs(&self, hangs: bool) {
        let now = self.context.clock.now();
        let words = "the disk of the recordings does not answer; what cameras send waits in memory";
        let cause = Cause::new(CauseKind::StorageHangs, words);
        let before = {
            let mut place = self.storage_hangs.lock().unwrap_or_else(PoisonError::into_inner);
            let before = place.clone();
            *place = hangs.then(|| before.clone().unwrap_or((now, cause.clone())));
            before
        };
        self.tree.set_hangs(hangs);
        let kind = match before {
            None if hangs => {
                tracing::error!("{words}");
                EventKind::StorageHangs { cause }
            }
            Some((since, _)) if !hangs => {
                tracing::warn!(since = %since, "the disk of the recordings answers again");
                EventKind::StorageAnswers
            }
            _ => return,
        };
        // The index may lie on the same disk: who waits for it would notice nothing more.
        let event = Event::new(now, None, kind);
        self.context.events.publish(event.clone());
        self.keep_event(event);
    }

    /// The disk is well (`None`) or not: tell all, once.
    async fn storage(&self, found: Option<Cause>) {
        let now = self.context.clock.now();
        let before = {
            let mut fault = self.storage_fault.lock().unwrap_or_else(PoisonError::into_inner);
            let before = fault.clone();
            *fault = found
                .clone()
                .map(|cause| (before.as_ref().map_or(now, |(since, _)| *since), cause));
            before
        };
        match (before, found) {
            (None, Some(cause)) => {
                tracing::error!(
                    cause = cause.kind.as_str(),
                    "recording stopped: {}",
                    cause.message
                );
                for camera in self.cameras() {
                    let _ = camera.send(Command::StorageFault(cause.clone()));
                }
                self.publish(Event::new(now, None, EventKind::StorageFault { cause }))
                    .await;
            }
            (Some((since, _)), None) => {
                tracing::warn!(since = %since, "the disk can be written again; recording goes on");
                for camera in self.cameras() {
                    let _ = camera.send(Command::StorageBack);
                }
                self.publish(Event::new(now, None, EventKind::StorageRecovered))
                    .await;
            }
            _ => {}
        }
    }
}
