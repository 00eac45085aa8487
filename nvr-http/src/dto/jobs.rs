//! Jobs and their kinds over the wire.

use nvr_core::jobs::{JobCount, JobRow, JobState, KindStatus};
use serde::Serialize;
use utoipa::ToSchema;

/// A job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobDto {
    id: i64,
    /// `export`, `verify` …
    kind: String,
    /// What the kind needs to know.
    #[schema(value_type = Object)]
    params: serde_json::Value,
    camera: Option<String>,
    priority: i32,
    /// Whether it also runs outside of the windows of its kind.
    anytime: bool,
    /// `queued`, `running`, `done`, `failed`, `cancelled`.
    state: &'static str,
    /// Times that it was begun since it last got further.
    attempts: u32,
    /// 0 to 1.
    progress: f64,
    /// What it does, waits for, or brought.
    message: String,
    /// What it brought, once it is done.
    #[schema(value_type = Option<Object>)]
    result: Option<serde_json::Value>,
    /// Cause of the last failure.
    error: Option<String>,
    /// How much it has to read; 0 when that is not known.
    input_bytes: u64,
    created: String,
    /// Not to be started before.
    not_before: String,
    /// Begin of the last attempt.
    started: Option<String>,
    ended: Option<String>,
}

impl From<&JobRow> for JobDto {
    fn from(job: &JobRow) -> Self {
        Self {
            id: job.id.0,
            kind: job.kind.clone(),
            params: job.params.clone(),
            camera: job.camera.as_ref().map(ToString::to_string),
            priority: job.priority,
            anytime: job.anytime,
            state: job.state.as_str(),
            attempts: job.attempts,
            progress: job.progress,
            message: job.message.clone(),
            result: job.result.clone(),
            error: job.error.clone(),
            input_bytes: job.input_bytes,
            created: job.created.to_string(),
            not_before: job.not_before.to_string(),
            started: job.started.map(|t| t.to_string()),
            ended: job.ended.map(|t| t.to_string()),
        }
    }
}

/// Some jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobsDto {
    pub(crate) jobs: Vec<JobDto>,
    /// Pass it as `cursor` for the next page.
    pub(crate) next: Option<String>,
}

/// A kind of job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobKindDto {
    kind: &'static str,
    /// Whether it is switched on.
    enabled: bool,
    /// Jobs at once.
    max_running: usize,
    running: u64,
    queued: u64,
    /// What the queued ones have to read, as far as that is known.
    queued_bytes: u64,
    failed: u64,
    /// When its jobs start, in the zone that is named; `always`.
    windows: String,
    /// Whether such a window is open.
    open: bool,
    /// When the next one opens, or this one closes.
    changes: Option<String>,
    /// Whether it makes way now, because machine or recorder have too much to do.
    yielding: bool,
}

impl JobKindDto {
    pub(crate) fn new(kind: &KindStatus, counts: &[JobCount]) -> Self {
        let count = |state| counts.iter().find(|c| c.kind == kind.kind && c.state == state);
        Self {
            kind: kind.kind,
            enabled: kind.enabled,
            max_running: kind.most_running,
            running: kind.running as u64,
            queued: count(JobState::Queued).map_or(0, |c| c.jobs),
            queued_bytes: count(JobState::Queued).map_or(0, |c| c.input_bytes),
            failed: count(JobState::Failed).map_or(0, |c| c.jobs),
            windows: kind.windows.clone(),
            open: kind.open,
            changes: kind.changes.map(|t| t.to_string()),
            yielding: kind.yielding,
        }
    }
}

/// What was cleared away.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ForgottenDto {
    /// Number of jobs.
    pub(crate) forgotten: u64,
}
