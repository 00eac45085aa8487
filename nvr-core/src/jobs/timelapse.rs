//! Kind `timelapse`: many hours of a camera in a minute.

use serde_json::Value;

use super::made::Maker;
use super::{JobContext, JobError, JobFuture, JobKind, JobOutcome, KindLimits, NewJob, Origin, params_of};
pub use crate::convert::TimelapseParams;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::CameraId;
use crate::time::TimeRange;

/// Name of the kind.
pub const KIND: &str = "timelapse";

impl TimelapseParams {
    /// The job: somebody waits for it, and asked for twice it is done once.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn job(&self) -> Result<NewJob> {
        self.check()?;
        let params = serde_json::to_value(self)
            .map_err(|e| Error::new(ErrorKind::InvalidArgument, format!("timelapse: {e}")))?;
        let key = format!("timelapse {params}");
        let job = NewJob::new(KIND, params)
            .camera(self.camera.clone())
            .priority(100)
            .anytime();
        Ok(if key.len() <= 500 { job.dedupe(key) } else { job })
    }
}

/// The kind.
#[derive(Debug)]
pub(crate) struct TimelapseKind(Maker);

impl TimelapseKind {
    pub(crate) const fn new(maker: Maker) -> Self {
        Self(maker)
    }

    async fn work(&self, ctx: JobContext, params: Value) -> Result<JobOutcome, JobError> {
        let params: TimelapseParams = params_of(KIND, &params)?;
        let range: TimeRange = params.check()?.0;
        let name: CameraId = params.camera.clone();
        let path = params.path.clone();
        self.0
            .run(
                ctx,
                path,
                name,
                range,
                Box::new(move |archive, file, watcher| archive.timelapse(&params, file, watcher)),
            )
            .await
    }
}

impl JobKind for TimelapseKind {
    fn name(&self) -> &'static str {
        KIND
    }

    fn limits(&self) -> KindLimits {
        self.0.limits()
    }

    fn check(&self, params: &Value, origin: Origin) -> Result<()> {
        let params: TimelapseParams = params_of(KIND, params)?;
        if origin == Origin::Remote && params.path.is_some() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the path of the file is not chosen over HTTP",
            )
            .with_hint("leave it out and fetch the file from the job"));
        }
        params.job().map(drop)
    }

    fn complete(&self, mut new: NewJob) -> Result<NewJob> {
        let made = params_of::<TimelapseParams>(KIND, &new.params)?.job()?;
        new.camera = new.camera.or(made.camera);
        new.dedupe = new.dedupe.or(made.dedupe);
        Ok(new)
    }

    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_> {
        Box::pin(self.work(ctx, params))
    }
}
