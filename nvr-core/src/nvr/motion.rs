//! What moves in the pictures of cameras: told as detections, and a reason to record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::{Inner, Nvr};
use crate::camera::{Camera, Wish, WishId};
use crate::config::RecordMode;
use crate::detection::{DetectionId, DetectionKind, NewDetection};
use crate::error::{ErrorKind, Result};
use crate::ids::CameraId;
use crate::motion::{self, Pool, Shared, Told};
use crate::objects::Objects;
use crate::time::{Timestamp, duration_ns};

/// Who wants a camera recorded because of motion.
const WISH: &str = "motion";

/// Motion that goes on.
#[derive(Clone, Copy, Debug)]
struct Going {
    from: Timestamp,
    detection: Option<DetectionId>,
    /// The camera is recorded because of it.
    wished: bool,
}

/// Told by the workers of all cameras.
#[derive(Debug)]
struct Teller {
    recorder: Arc<OnceLock<Weak<Inner>>>,
    going: Mutex<HashMap<CameraId, Going>>,
}

pub(super) fn shared(
    context: &crate::camera::Context,
    objects: Objects,
    recorder: Arc<OnceLock<Weak<Inner>>>,
) -> Shared {
    Shared {
        clock: context.clock.clone(),
        store: context.store.clone(),
        pool: Arc::new(Pool::default()),
        objects,
        teller: Arc::new(Teller {
            recorder,
            going: Mutex::default(),
        }),
    }
}

impl Teller {
    fn going(&self) -> MutexGuard<'_, HashMap<CameraId, Going>> {
        self.going.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wish(from: Timestamp, until: Option<Timestamp>) -> Wish {
    Wish {
        id: WishId::Detection(WISH.to_owned()),
        from,
        until,
    }
}

fn is_recorded_for_motion(camera: &Camera) -> bool {
    camera.status().mode == RecordMode::Motion
}

#[async_trait::async_trait]
impl motion::Teller for Teller {
    async fn tell(&self, id: &CameraId, told: Told) {
        let Some(inner) = self.recorder.get().and_then(Weak::upgrade) else {
            return;
        };
        let Some(camera) = ({
            let cameras = inner.cameras.read().unwrap_or_else(PoisonError::into_inner);
            cameras.get(id).cloned()
        }) else {
            return;
        };
        let config = camera.config();
        let pre_ns = duration_ns(config.motion.pre_roll);
        let going = self.going().get(id).copied();
        let told = match told {
            Told::Began {
                at,
                best_at,
                score,
                zone,
            } => {
                let from = at.add_ns(-pre_ns);
                let wished = is_recorded_for_motion(&camera) && camera.want(wish(from, None)).is_ok();
                let mut new = NewDetection::new(id.clone(), DetectionKind::Motion, at);
                new.score = score.clamp(0.0, 1.0);
                new.best_at = best_at.max(at);
                new.zone = zone;
                new.pre = Some(config.motion.pre_roll);
                new.post = Some(config.motion.post_roll);
                let entered = inner.detections.begin(new).await;
                let detection = entered.as_ref().ok().copied();
                let going = Going {
                    from,
                    detection,
                    wished,
                };
                self.going().insert(id.clone(), going);
                entered.map(drop)
            }
            Told::Better { at, score } => match going.and_then(|g| g.detection) {
                Some(detection) => inner.detections.update(detection, at, score).await.map(drop),
                None => Ok(()),
            },
            Told::GoesOn => {
                // The schedule may have changed its mind.
                let wanted = is_recorded_for_motion(&camera);
                if let Some(going) = going.filter(|g| g.wished != wanted) {
                    let done = if wanted {
                        camera.want(wish(going.from, None))
                    } else {
                        camera.unwant(WishId::Detection(WISH.to_owned()))
                    };
                    let wished = wanted && done.is_ok();
                    self.going().insert(id.clone(), Going { wished, ..going });
                }
                Ok(())
            }
            Told::Crossed { crossing, score } => {
                let mut new = NewDetection::new(id.clone(), DetectionKind::Line, crossing.from);
                new.to = Some(crossing.to);
                new.best_at = crossing.to;
                new.score = score.clamp(0.0, 1.0);
                new.label = Some(crossing.direction.as_str().to_owned());
                new.zone = Some(crossing.line);
                new.data = Some(serde_json::json!({ "box": crossing.place.to_array() }).to_string());
                new.pre = Some(config.motion.pre_roll);
                new.post = Some(config.motion.post_roll);
                inner.detections.enter_limited(new).await.map(drop)
            }
            Told::Ended { at } => {
                self.going().remove(id);
                let Some(going) = going else { return };
                if going.wished {
                    let until = at.add_ns(duration_ns(config.motion.post_roll));
                    let _ = camera.want(wish(going.from, Some(until)));
                }
                match going.detection {
                    Some(detection) => inner.detections.end(detection, at).await.map(drop),
                    None => Ok(()),
                }
            }
        };
        // Somebody may have deleted it.
        if let Err(e) = told
            && !matches!(
                e.kind(),
                ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Busy
            )
        {
            tracing::warn!(camera = %id, error = %e, "motion is not told");
        }
    }
}

impl Nvr {
    /// Forgets scores of motion that are older than events are kept, where there is no footage as old.
    pub(super) async fn prune_motion(inner: &Inner) -> Result<u64> {
        let keep = inner.config().recorder.events_keep;
        let before = inner.context.clock.now() - keep;
        inner.context.store.prune_motion(before).await
    }
}
