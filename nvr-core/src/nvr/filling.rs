//! Filling gaps from the cameras' cards in the recorder: the planner that enters jobs, and what is asked of it.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::{Inner, Nvr};
use crate::camera::Context;
use crate::config::{Age, CameraConfig, Config, JobsConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::fill::{FillParams, Filling, Wanted};
use crate::ids::CameraId;
use crate::store::Added;
use crate::time::TimeRange;

/// How often is looked for outages that are over.
const LOOK: Duration = Duration::from_secs(5);

pub(super) fn new(
    context: &Context,
    config: &Config,
    jobs: &Arc<ArcSwap<JobsConfig>>,
    recorder: Arc<OnceLock<Weak<Inner>>>,
) -> Filling {
    // Jobs that a crash left go on before the recorder is whole, and before its cameras run.
    let (cameras, everywhere) = (config.cameras.clone(), config.retention.max_age);
    let lookup = Arc::new(move |id: &CameraId| {
        let named = |all: &[CameraConfig]| all.iter().find(|c| c.id == *id).cloned();
        let Some(inner) = recorder.get().and_then(Weak::upgrade) else {
            return wanted(&named(&cameras)?, everywhere);
        };
        let config = inner.config();
        wanted(&named(&config.cameras)?, config.retention.max_age)
    });
    Filling::new(
        context.store.clone(),
        context.tree.clone(),
        context.clock.clone(),
        Arc::clone(jobs),
        lookup,
    )
}

fn wanted(camera: &CameraConfig, everywhere: Age) -> Option<Wanted> {
    let max_age = match camera.retention.max_age.unwrap_or(everywhere) {
        Age::Forever => None,
        Age::For(age) => Some(age),
    };
    Some(Wanted {
        onvif: camera.onvif.clone()?,
        segment: camera.segment,
        max_age,
        audio: camera.audio,
        enabled: camera.enabled,
    })
}

/// Enters what is due, until the recorder ends.
pub(super) async fn plan(recorder: Weak<Inner>, stop: CancellationToken) {
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        for camera in inner.cameras() {
            if let Err(e) = inner.enter_fills(&camera.id()).await {
                tracing::debug!(camera = %camera.id(), error = %e, "outages cannot be looked for now");
            }
        }
        let clock = inner.context.clock.clone();
        drop(inner);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.tick(LOOK) => {}
        }
    }
}

impl Inner {
    async fn enter_fills(&self, camera: &CameraId) -> Result<()> {
        for (range, job) in self.filling.due(camera).await? {
            self.jobs.enqueue(job).await?;
            // From here on it is the queue's: whatever becomes of the job, it is not entered again by itself.
            let now = self.context.clock.now();
            self.context.store.note_card_asked(camera, range, now).await?;
        }
        Ok(())
    }
}

impl Nvr {
    /// Fetches what is missing in a range from the camera's own card, as a job (ONVIF Profile G).
    ///
    /// # Errors
    /// `NotFound` without such a camera, `Unsupported` when it is not asked by ONVIF, `InvalidArgument` for a range that is
    /// empty or longer than 31 days, `Busy` when the queue is full.
    pub async fn fill(&self, camera: &CameraId, range: TimeRange) -> Result<Added> {
        if self.camera(camera)?.config().onvif.is_none() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("camera {camera} is not asked by ONVIF"),
            )
            .with_hint("say where it is asked in its configuration: onvif = \"auto\""));
        }
        let job = FillParams::by_hand(camera.clone(), range).job()?;
        self.0.jobs.enqueue(job).await
    }
}
