//! A kind of job for tests: so many steps, each let through by a file that the test makes.
//!
//! Step `n` waits for `{dir}/go-{n}`, adds a line to `{dir}/log` and saves a checkpoint.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use nvr_core::error::{Error, Result};
use nvr_core::jobs::{
    JobContext, JobError, JobFuture, JobKind, JobOutcome, KindLimits, NewJob, Origin, params_of,
};
use serde_json::{Value, json};

/// Name of the kind.
pub const KIND: &str = "steps";

/// What to do.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Steps {
    /// Where the files are.
    pub dir: PathBuf,
    /// How many.
    pub steps: u64,
}

impl Steps {
    /// The job.
    #[must_use]
    pub fn job(&self) -> NewJob {
        NewJob::new(KIND, json!(self)).dedupe("steps")
    }

    /// Lets a step through.
    ///
    /// # Errors
    /// What the system says.
    pub fn go(&self, step: u64) -> std::io::Result<()> {
        std::fs::write(self.dir.join(format!("go-{step}")), "")
    }

    /// The steps that were done, in order.
    ///
    /// # Errors
    /// What the system says.
    pub fn done(&self) -> std::io::Result<Vec<String>> {
        let log = std::fs::read_to_string(self.dir.join("log"))?;
        Ok(log.lines().map(str::to_owned).collect())
    }

    async fn run(self, ctx: JobContext) -> Result<JobOutcome, JobError> {
        let first = ctx.checkpoint().and_then(|c| c["next"].as_u64()).unwrap_or(0);
        for step in first..self.steps {
            let go = self.dir.join(format!("go-{step}"));
            while !go.exists() {
                tokio::select! {
                    () = ctx.stop() => return Err(JobError::stopped()),
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
            }
            self.log(step).map_err(|e| Error::io("log", e))?;
            ctx.progress((step + 1) as f64 / self.steps as f64, format!("step {step}"));
            ctx.save_checkpoint(json!({"next": step + 1})).await?;
        }
        Ok(JobOutcome::new(json!({"first": first}), "all steps"))
    }

    fn log(&self, step: u64) -> std::io::Result<()> {
        let mut log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))?;
        writeln!(log, "{step}")
    }
}

/// The kind.
#[derive(Debug)]
pub struct StepsKind;

impl JobKind for StepsKind {
    fn name(&self) -> &'static str {
        KIND
    }

    fn limits(&self) -> KindLimits {
        let mut limits = KindLimits::new(1);
        // A busy machine is no matter here.
        limits.yields = false;
        limits
    }

    fn check(&self, params: &Value, _: Origin) -> Result<()> {
        params_of::<Steps>(KIND, params).map(drop)
    }

    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_> {
        Box::pin(async move {
            let steps: Steps = params_of(KIND, &params)?;
            steps.run(ctx).await
        })
    }
}
