//! Kind `merge`: several cameras in one file, by the wall clock. A job of no single camera, so only those who may see all may ask for it.

use serde_json::Value;

use super::made::Maker;
use super::{JobContext, JobError, JobFuture, JobKind, JobOutcome, KindLimits, NewJob, Origin, params_of};
pub use crate::convert::MergeParams;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::CameraId;
use crate::time::TimeRange;

/// Name of the kind.
pub const KIND: &str = "merge";

impl MergeParams {
    /// The job: somebody waits for it, and asked for twice it is done once.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn job(&self) -> Result<NewJob> {
        self.check()?;
        let params = serde_json::to_value(self)
            .map_err(|e| Error::new(ErrorKind::InvalidArgument, format!("merge: {e}")))?;
        let key = format!("merge {params}");
        let job = NewJob::new(KIND, params).priority(100).anytime();
        Ok(if key.len() <= 500 { job.dedupe(key) } else { job })
    }
}

/// The kind.
#[derive(Debug)]
pub(crate) struct MergeKind(Maker);

impl MergeKind {
    pub(crate) const fn new(maker: Maker) -> Self {
        Self(maker)
    }

    async fn work(&self, ctx: JobContext, params: Value) -> Result<JobOutcome, JobError> {
        let params: MergeParams = params_of(KIND, &params)?;
        let range: TimeRange = params.check()?;
        let name: CameraId = CameraId::new("merge")?;
        let path = params.path.clone();
        self.0
            .run(
                ctx,
                path,
                name,
                range,
                Box::new(move |archive, file, watcher| archive.merge(&params, file, watcher)),
            )
            .await
    }
}

impl JobKind for MergeKind {
    fn name(&self) -> &'static str {
        KIND
    }

    fn limits(&self) -> KindLimits {
        self.0.limits()
    }

    fn check(&self, params: &Value, origin: Origin) -> Result<()> {
        let params: MergeParams = params_of(KIND, params)?;
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
        let made = params_of::<MergeParams>(KIND, &new.params)?.job()?;
        new.camera = new.camera.or(made.camera);
        new.dedupe = new.dedupe.or(made.dedupe);
        Ok(new)
    }

    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_> {
        Box::pin(self.work(ctx, params))
    }
}
