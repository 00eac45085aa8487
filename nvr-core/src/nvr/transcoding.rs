//! Encoding footage again in the recorder: what is asked of it, and the planner that enters jobs.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Inner, Nvr};
use crate::camera::Context;
use crate::config::TranscodeConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::gst::Catalogue;
use crate::ids::{CameraId, JobId};
use crate::jobs::JobState;
use crate::privacy::PrivacyBook;
use crate::time::TimeRange;
use crate::transcode::{KIND, Transcoding, TranscodingStatus, Worker};

/// How often is looked for footage that became old enough.
const LOOK: Duration = Duration::from_secs(60);
/// How often kept originals are looked at, in looks.
const TIDY_LOOKS: u32 = 60;

pub(super) fn new(context: &Context, config: &TranscodeConfig, privacy: PrivacyBook) -> Transcoding {
    let catalogue = Arc::new(Catalogue::new(context.clock.clone(), config.probe_keep));
    let worker = Worker::new(
        context.store.clone(),
        context.tree.clone(),
        context.clock.clone(),
        catalogue,
        privacy,
    );
    Transcoding::new(
        worker,
        context.store.clone(),
        context.tree.clone(),
        context.clock.clone(),
        config.clone(),
    )
}

/// Enters what is due, until the recorder ends.
pub(super) async fn plan(recorder: Weak<Inner>, stop: CancellationToken) {
    let mut looks = 0u32;
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        if let Err(e) = inner.enter_due().await {
            tracing::debug!(error = %e, "footage to be encoded again cannot be looked for now");
        }
        if looks.is_multiple_of(TIDY_LOOKS)
            && let Err(e) = inner.transcoding.tidy().await
        {
            tracing::warn!(error = %e, "kept originals cannot be looked at");
        }
        looks = looks.wrapping_add(1);
        let clock = inner.context.clock.clone();
        drop(inner);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.tick(LOOK) => {}
        }
    }
}

impl Inner {
    async fn enter_due(&self) -> Result<()> {
        let counts = self.jobs.counts().await?;
        let waiting = counts
            .iter()
            .filter(|c| c.kind == KIND && c.state == JobState::Queued)
            .map(|c| c.jobs)
            .sum();
        for job in self.transcoding.due(waiting).await? {
            self.jobs.enqueue(job).await?;
        }
        Ok(())
    }
}

impl Nvr {
    /// Whether footage is encoded again by itself, and what it brought so far.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn transcoding(&self) -> Result<TranscodingStatus> {
        self.0.transcoding.status().await
    }

    /// Switches it on or off until the recorder ends. What is asked for by hand is done either way; what runs by
    /// itself ends within a second when it is switched off.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn set_transcoding(&self, enabled: bool) -> Result<TranscodingStatus> {
        self.0.transcoding.set_enabled(enabled);
        if enabled {
            self.0.enter_due().await?;
        }
        self.transcoding().await
    }

    /// Encodes a camera's footage of a range again: whole segments inside it, whatever their age. Gives the jobs,
    /// one for each segment.
    ///
    /// # Errors
    /// `NotFound` when the index knows no such camera, or there is nothing in the range that could be encoded again, `Busy`
    /// when the queue is full.
    pub async fn transcode(&self, camera: &CameraId, range: TimeRange) -> Result<Vec<JobId>> {
        self.known_later(camera).await?;
        let jobs = self.0.transcoding.on_demand(camera.clone(), range).await?;
        if jobs.is_empty() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "camera {camera} has no H.264 segment wholly inside the range that may be encoded again"
                ),
            )
            .with_hint(
                "segments that are protected, growing, in a plain container or H.265 already are left alone",
            ));
        }
        let mut ids = Vec::with_capacity(jobs.len());
        for job in jobs {
            ids.push(self.0.jobs.enqueue(job).await?.job.id);
        }
        Ok(ids)
    }
}
