//! The end of a recorder, in order and inside a deadline.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Nvr;
use crate::camera::Command;
use crate::event::{Cause, CauseKind};
use crate::ids::CameraId;

/// How long the end of looking for motion may take, in all cameras at once.
const MOTION_END: Duration = Duration::from_secs(1);
/// How long what works at the disk by itself is waited for; a disk that hangs is not.
const WORKERS_END: Duration = Duration::from_secs(2);
/// How long closing the index may take beyond the deadline of a stop.
const INDEX_CLOSE: Duration = Duration::from_secs(3);

/// What a stop brought to an end in order, and what not.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ShutdownReport {
    /// Cameras whose last segment was closed and indexed.
    pub clean: Vec<CameraId>,
    /// Cameras that were cut: their last segment is mended at the next start.
    pub cut: Vec<CameraId>,
}

impl Nvr {
    /// Closes and indexes every open segment and ends. Cameras that do not make it by the deadline are cut;
    /// their last segment is mended at the next start. Called again it does nothing.
    ///
    /// The recordings root stays locked until the last clone of this and of its [`Archive`](crate::Archive) is dropped.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let mut report = ShutdownReport::default();
        if self.0.ended.swap(true, Ordering::SeqCst) {
            return report;
        }
        self.0.stop.cancel();
        self.0.alerts.stop();
        // Beside the cameras; what is interrupted goes on at the next start.
        let jobs = self.jobs();
        let jobs = tokio::spawn(async move { jobs.shutdown(deadline).await });
        // Before the cameras end: that they are gone would be taken for their removal.
        self.0.pushes.shutdown().await;
        if let Some(restream) = &self.0.restream {
            restream.shutdown().await;
        }
        let cameras = self.cameras();
        for camera in &cameras {
            camera.motion.stop();
        }
        let seen_off = async {
            for camera in &cameras {
                camera.motion.end().await;
            }
        };
        // Whatever hangs there must not hold up the rest.
        let _ = tokio::time::timeout(MOTION_END, seen_off).await;
        let mut waiting = Vec::new();
        for camera in cameras {
            camera.sub.stop();
            let (reply, ended) = oneshot::channel();
            let cause = Cause::new(CauseKind::Shutdown, "the recorder stopped");
            match camera.send(Command::Shutdown {
                cause,
                deadline,
                reply,
            }) {
                Ok(()) => waiting.push((camera.id(), ended)),
                Err(_) => report.cut.push(camera.id()),
            }
        }
        let _ = tokio::time::timeout(MOTION_END, self.0.objects_told.cancelled()).await;
        let cut_off = self
            .clock()
            .steady_ns()
            .saturating_add(crate::time::duration_ns(deadline));
        for (id, ended) in waiting {
            let left = u64::try_from(cut_off - self.clock().steady_ns()).unwrap_or(0);
            match tokio::time::timeout(Duration::from_nanos(left), ended).await {
                Ok(Ok(true)) => report.clean.push(id),
                _ => report.cut.push(id),
            }
        }
        self.0
            .cameras
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let _ = jobs.await;
        // So that the disk can be taken away afterwards.
        self.0.workers.close();
        let _ = tokio::time::timeout(WORKERS_END, self.0.workers.wait()).await;
        let store = &self.0.context.store;
        let close = async {
            // Of programs that tell of them, and of motion whose end did not come in time.
            let ended = store.end_all_detections().await;
            store.shutdown().await.and(ended)
        };
        // Committed is what was answered; a disk that hangs must not hold up the end.
        let closed = tokio::time::timeout(INDEX_CLOSE, close).await;
        match closed {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => tracing::error!(error = %e, "the index was not closed in order"),
            Err(_) => tracing::error!("the index was not closed in time"),
        }
        report
    }
}
