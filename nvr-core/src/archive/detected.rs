//! Pictures of detections.

use super::{Archive, Snapshot, SnapshotRequest};
use crate::detection::Detection;
use crate::error::{ErrorKind, Result};
use crate::nvr::blocking;
use crate::store::{DetectionQuery, Page};
use crate::time::{NS_PER_S, Timestamp};

/// So far from the moment the picture may be, where none is of the moment itself.
const NEAR_NS: i64 = 10 * NS_PER_S;
/// More than times of frames are rounded by in files, less than lies between frames.
const ROUNDED_NS: i64 = 1_000_000;
/// After this long a frame that is recorded can be read.
const READABLE_NS: i64 = 10 * NS_PER_S;

impl Archive {
    /// Detections that overlap a range, newest begin first, a page at a time.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn detections_of(&self, query: DetectionQuery) -> Result<Page<Detection>> {
        self.read(move |store| store.detections(&query)).await
    }

    /// The picture of a detection: the frame at the moment when it is seen best; where nothing is recorded then, or cannot
    /// be read yet, the nearest one within 10 seconds.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot).
    pub async fn detection_picture(&self, detection: &Detection, width: Option<u32>) -> Result<Snapshot> {
        let request = |at: Option<Timestamp>| SnapshotRequest {
            camera: detection.camera.clone(),
            at,
            width,
            exact: true,
        };
        // A frame's time is rounded in its file: the very frame may stand there a little after its moment.
        let best = detection.best_at.add_ns(ROUNDED_NS);
        let missing = match self.snapshot(request(Some(best))).await {
            Err(e) if e.kind() == ErrorKind::NotFound => e,
            other => return other,
        };
        let (store, camera) = (self.0.store.clone(), detection.camera.clone());
        let around = blocking(move || store.nearest(&camera, best)).await?;
        let mut near: Vec<Option<Timestamp>> = Vec::new();
        if self.0.clock.now().since(best) < NEAR_NS {
            // What grows does not reach so far yet.
            near.push(None);
        }
        near.extend(around.before.map(|row| Some(row.end().add_ns(-1))));
        near.extend(around.after.map(|row| Some(row.start)));
        near.retain(|at| at.is_none_or(|at| at.since(best).abs() < NEAR_NS));
        near.sort_by_key(|at| at.map_or(0, |at| at.since(best).abs()));
        for at in near {
            match self.snapshot(request(at)).await {
                Ok(picture) if picture.at.since(best).abs() < NEAR_NS => return Ok(picture),
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Err(missing)
    }

    /// Whether there will be no better [`detection_picture`](Self::detection_picture) than this one of the same moment: what
    /// cannot be read yet is stood in for. With the moments of a sub stream the picture is always a little before.
    #[must_use]
    pub fn is_settled(&self, detection: &Detection, picture: &Snapshot) -> bool {
        let is_readable = self.0.clock.now().since(detection.best_at) > READABLE_NS;
        let first_ns = if is_readable { -NS_PER_S } else { -ROUNDED_NS };
        (first_ns..=ROUNDED_NS).contains(&picture.at.since(detection.best_at))
    }
}
