//! The disk: looked at for all cameras, told to them once, and mended after a fault.

use std::sync::{PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Inner, blocking};
use crate::camera::Command;
use crate::event::{Cause, CauseKind, Event, EventKind};
use crate::files::{self, Recovered};
use crate::store::SegmentState;

/// How often a disk at fault is looked at, and one that seems well is made sure of.
pub(super) const STORAGE_LOOK: Duration = Duration::from_secs(2);

pub(super) async fn watch(
    recorder: Weak<Inner>,
    mut reports: mpsc::UnboundedReceiver<Cause>,
    stop: CancellationToken,
) {
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
        let found = match reported {
            // One file that cannot be written is that camera's affair if others can.
            Some(cause) if cause.kind == CauseKind::StorageError && !at_fault => {
                blocking(move || tree.healthy()).await.err().map(|_| cause)
            }
            Some(cause) => Some(cause),
            // A disk at fault has to prove itself by a write; one that works is only looked at.
            None => blocking(move || {
                if at_fault {
                    tree.healthy()
                } else {
                    tree.root().attach().map(drop)
                }
            })
            .await
            .err()
            .map(|e| {
                files::cause_of(&e).unwrap_or_else(|| Cause::new(CauseKind::StorageError, e.to_string()))
            }),
        };
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
