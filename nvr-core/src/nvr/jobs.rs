//! The queue of jobs in the recorder: its kinds, and what tells it to make way.

use std::fs::File;
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::{Inner, Nvr, blocking};
use crate::archive::Archive;
use crate::camera::Context;
use crate::config::JobsConfig;
use crate::convert::Converted;
use crate::error::Result;
use crate::ids::{CameraId, JobId};
use crate::jobs::export::{self, ExportKind};
use crate::jobs::load::Load;
use crate::jobs::merge::MergeParams;
use crate::jobs::timelapse::TimelapseParams;
use crate::jobs::verify::Verify;
use crate::jobs::{JobKind, Jobs, LoadSource, Maker, Parts};
use crate::store::Added;
use crate::time::TimeRange;
use crate::upload::Uploads;

pub(super) async fn start(
    context: &Context,
    archive: &Archive,
    config: &Arc<ArcSwap<JobsConfig>>,
    more: Vec<Arc<dyn JobKind>>,
    uploads: &Uploads,
    recorder: Arc<OnceLock<Weak<Inner>>>,
) -> Result<Jobs> {
    let mut kinds = more;
    kinds.push(Arc::new(uploads.kind()));
    kinds.push(Arc::new(uploads.restore_kind()));
    kinds.push(Arc::new(ExportKind::new(
        archive.clone(),
        context.tree.clone(),
        context.clock.clone(),
        Arc::clone(config),
    )));
    kinds.push(Arc::new(Maker::<MergeParams>::new(
        archive.clone(),
        context.tree.clone(),
        Arc::clone(config),
    )));
    kinds.push(Arc::new(Maker::<TimelapseParams>::new(
        archive.clone(),
        context.tree.clone(),
        Arc::clone(config),
    )));
    kinds.push(Arc::new(Verify::new(
        context.store.clone(),
        context.tree.clone(),
        Arc::clone(config),
    )));
    let load: LoadSource = Arc::new(move || {
        let recorder = recorder.get().and_then(Weak::upgrade);
        let waiting = recorder.and_then(|r| r.cameras().iter().map(|c| c.status().waiting_bytes).max());
        Load {
            backlog_bytes: waiting.unwrap_or(0),
            ..Load::of_machine()
        }
    });
    Jobs::start(Parts {
        store: context.store.clone(),
        clock: context.clock.clone(),
        events: context.events.clone(),
        config: Arc::clone(config),
        kinds,
        load,
    })
    .await
}

impl Nvr {
    /// The queue of jobs.
    #[must_use]
    pub fn jobs(&self) -> Jobs {
        self.0.jobs.clone()
    }

    /// Brings the files of a camera's remote segments in a range back, as a job. They are protected then, for
    /// retention would take them away again.
    ///
    /// # Errors
    /// `InvalidArgument` when the range is empty, `NotFound` when the index knows no such camera, `Busy` when the queue is
    /// full, `Storage` when the index cannot be written.
    pub async fn restore(&self, camera: &CameraId, range: TimeRange) -> Result<Added> {
        range.not_empty()?;
        self.known_later(camera).await?;
        self.0
            .jobs
            .enqueue(crate::upload::restore_job(camera, range))
            .await
    }

    /// Copies of segments at other places.
    #[must_use]
    pub fn uploads(&self) -> Uploads {
        self.0.uploads.clone()
    }

    /// A clip that has to be encoded, with its index in front: the bytes of the file in order, an error as the last item.
    /// It is made in a scratch file in the folder of exports, and only then follows; what comes before is `ftyp` and an
    /// empty box every few seconds. Its size is known at the end only.
    ///
    /// # Errors
    /// `Storage` when the scratch file cannot be made, `Unavailable` when no thread can be had.
    pub async fn converted_mp4(
        &self,
        made: Converted,
    ) -> Result<impl futures_core::Stream<Item = Result<Bytes>> + Send + Unpin + use<>> {
        let (config, tree) = (self.0.jobs_config.load_full(), self.0.tree.clone());
        let scratch = blocking(move || export::scratch(&config, &tree)).await?;
        made.stream_mp4(scratch, export::is_full)
    }

    /// The file of a finished export in the folder of exports, with its name and length.
    ///
    /// # Errors
    /// `NotFound` when there is no such job or its file is gone, `Conflict` when it is no finished export.
    pub async fn export_file(&self, id: JobId) -> Result<(String, File, u64)> {
        let job = self.0.jobs.get(id).await?;
        let folder = export::folder(&self.0.jobs_config.load(), self.0.tree.root().path());
        blocking(move || export::open_file(&folder, &job)).await
    }
}
