//! What is found in the pictures of cameras, told as detections.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Nvr;
use crate::clock::SharedClock;
use crate::config::MotionConfig;
use crate::detection::{DetectionId, DetectionKind, NewDetection};
use crate::detections::Detections;
use crate::error::{ErrorKind, Result};
use crate::ids::CameraId;
use crate::objects::{Best, Change, Found, Key, ObjectsStatus, Sightings};
use crate::time::{Timestamp, duration_ns};

/// How often it is seen to that what is over ends.
const TICK: Duration = Duration::from_secs(1);

/// Tells of what is found, until it is stopped; then what goes on ends.
pub(super) struct Teller {
    detections: Detections,
    clock: SharedClock,
    sightings: Sightings,
    /// Rows of what goes on.
    rows: HashMap<Key, DetectionId>,
    /// How much around them is theirs.
    margins: HashMap<CameraId, MotionConfig>,
}

impl Teller {
    pub(super) fn new(detections: Detections, clock: SharedClock) -> Self {
        Self {
            detections,
            clock,
            sightings: Sightings::default(),
            rows: HashMap::new(),
            margins: HashMap::new(),
        }
    }

    pub(super) async fn work(
        mut self,
        mut found: mpsc::Receiver<Found>,
        stop: CancellationToken,
        over: CancellationToken,
    ) {
        let _over = over.drop_guard();
        let clock = self.clock.clone();
        let mut tick = clock.tick(TICK);
        loop {
            let changes = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = &mut tick => {
                    tick = clock.tick(TICK);
                    self.sightings.pass(clock.now())
                }
                found = found.recv() => match found {
                    Some(Found { camera, at, sighted, motion }) => {
                        let cool_down_ns = duration_ns(motion.cool_down);
                        self.margins.insert(camera.clone(), motion);
                        self.sightings.see(&camera, at, sighted, cool_down_ns)
                    }
                    None => break,
                },
            };
            self.tell(changes).await;
        }
        let changes = self.sightings.close();
        self.tell(changes).await;
    }

    async fn tell(&mut self, changes: Vec<Change>) {
        for change in changes {
            if let Err(e) = self.tell_one(change).await
                // Somebody may have deleted it.
                && !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Conflict)
            {
                tracing::warn!(error = %e, "an object is not told");
            }
        }
    }

    async fn tell_one(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Began { key, at, best } => {
                let mut new =
                    NewDetection::new(key.camera.clone(), DetectionKind::Object, at).label(key.label.clone());
                new.zone.clone_from(&key.zone);
                new.score = best.score.clamp(0.0, 1.0);
                new.data = Some(about(&best));
                if let Some(motion) = self.margins.get(&key.camera) {
                    (new.pre, new.post) = (Some(motion.pre_roll), Some(motion.post_roll));
                }
                let id = self.detections.begin(new).await?;
                self.rows.insert(key, id);
            }
            Change::Better { key, at, best } => self.better(&key, at, &best).await?,
            Change::Ended { key, at } => {
                if let Some(id) = self.rows.remove(&key) {
                    self.detections.end(id, at).await?;
                }
            }
        }
        Ok(())
    }

    async fn better(&self, key: &Key, at: Timestamp, best: &Best) -> Result<()> {
        let Some(id) = self.rows.get(key) else {
            return Ok(());
        };
        let score = best.score.clamp(0.0, 1.0);
        self.detections
            .update_with(*id, at, score, Some(about(best)))
            .await
            .map(drop)
    }
}

/// Where it is in its picture, and with how many others of its kind.
fn about(best: &Best) -> String {
    let short = |n: f32| (f64::from(n) * 10_000.0).round() / 10_000.0;
    let area = best.area.to_array().map(short);
    serde_json::json!({ "box": area, "count": best.count }).to_string()
}

impl Nvr {
    /// How looking for objects fares.
    #[must_use]
    pub fn objects(&self) -> ObjectsStatus {
        self.0.objects.status()
    }
}
