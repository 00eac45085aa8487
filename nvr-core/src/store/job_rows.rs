//! What the queue of jobs is asked for and what it answers. No SQL and no SQLite types here.

use serde_json::Value;

use super::rows::{Cursor, Order};
use crate::event::JobState;
use crate::ids::{CameraId, JobId};
use crate::time::{Timestamp, duration_ns};

/// What one point of priority is worth: a job goes before those that have waited so much longer.
pub const PRIORITY_POINT: std::time::Duration = std::time::Duration::from_hours(1);
/// Bounds of priorities.
pub const PRIORITIES: std::ops::RangeInclusive<i32> = -1000..=1000;

/// A job to be done once.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct NewJob {
    /// Its kind.
    pub kind: String,
    /// What the kind needs to know, as JSON.
    pub params: Value,
    /// The camera whose footage it is about.
    pub camera: Option<CameraId>,
    /// -1000 to 1000, 0 by default; each point is worth an hour of waiting, so that no job waits for ever.
    pub priority: i32,
    /// Not to be started before (by default it may start at once).
    pub not_before: Timestamp,
    /// Whether it may run outside of the windows of its kind: somebody waits for it.
    pub anytime: bool,
    /// While a job with this key is queued or running, no second one is entered.
    pub dedupe: Option<String>,
    /// How much it has to read, if that is known; for figures.
    pub input_bytes: u64,
}

impl NewJob {
    /// A job of a kind, with defaults.
    #[must_use]
    pub fn new(kind: impl Into<String>, params: Value) -> Self {
        Self {
            kind: kind.into(),
            params,
            camera: None,
            priority: 0,
            not_before: Timestamp::MIN,
            anytime: false,
            dedupe: None,
            input_bytes: 0,
        }
    }

    /// Of a camera's footage.
    #[must_use]
    pub fn camera(mut self, camera: CameraId) -> Self {
        self.camera = Some(camera);
        self
    }

    /// With another priority.
    #[must_use]
    pub const fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Not before a moment.
    #[must_use]
    pub const fn not_before(mut self, at: Timestamp) -> Self {
        self.not_before = at;
        self
    }

    /// Also outside of the windows of its kind.
    #[must_use]
    pub const fn anytime(mut self) -> Self {
        self.anytime = true;
        self
    }

    /// Not a second time while one with this key is queued or running.
    #[must_use]
    pub fn dedupe(mut self, key: impl Into<String>) -> Self {
        self.dedupe = Some(key.into());
        self
    }

    /// With the amount that it has to read.
    #[must_use]
    pub const fn input_bytes(mut self, bytes: u64) -> Self {
        self.input_bytes = bytes;
        self
    }
}

/// A job in the queue.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct JobRow {
    /// Row.
    pub id: JobId,
    /// Kind.
    pub kind: String,
    /// What the kind needs to know.
    pub params: Value,
    /// The camera whose footage it is about.
    pub camera: Option<CameraId>,
    /// Priority.
    pub priority: i32,
    /// Whether windows do not count.
    pub anytime: bool,
    /// Its key among the live ones.
    pub dedupe: Option<String>,
    /// How much it has to read, 0 when that is not known.
    pub input_bytes: u64,
    /// Where it stands.
    pub state: JobState,
    /// Times that it was begun; interruptions (a closed window, an orderly stop) do not count.
    pub attempts: u32,
    /// 0 to 1.
    pub progress: f64,
    /// What it does, or waits for.
    pub message: String,
    /// How far it got.
    pub checkpoint: Option<Value>,
    /// What it brought.
    pub result: Option<Value>,
    /// Cause of the last failure.
    pub error: Option<String>,
    /// When it was entered.
    pub created: Timestamp,
    /// Not to be started before.
    pub not_before: Timestamp,
    /// Begin of the last attempt.
    pub started: Option<Timestamp>,
    /// End, once it is over.
    pub ended: Option<Timestamp>,
}

/// What decides about the start of a queued job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Row.
    pub id: JobId,
    /// Lower goes first, see [`rank`].
    pub rank_ns: i64,
    /// Not to be started before.
    pub not_before: Timestamp,
    /// Whether windows do not count.
    pub anytime: bool,
}

/// Where a job stands in line: the earlier it was entered and the higher its priority, the lower the number.
#[must_use]
pub fn rank(created: Timestamp, priority: i32) -> i64 {
    created
        .as_ns()
        .saturating_sub(i64::from(priority).saturating_mul(duration_ns(PRIORITY_POINT)))
}

/// How many jobs of a kind are in a state.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct JobCount {
    /// Kind.
    pub kind: String,
    /// State.
    pub state: JobState,
    /// Number of jobs.
    pub jobs: u64,
    /// Sum of what they have to read, as far as it is known.
    pub input_bytes: u64,
}

/// Which jobs.
#[derive(Clone, PartialEq, Debug)]
pub struct JobQuery {
    /// Of which kinds; empty: of all.
    pub kinds: Vec<String>,
    /// In which states; empty: in all.
    pub states: Vec<JobState>,
    /// Of which camera; `None`: of all.
    pub camera: Option<CameraId>,
    /// And of these alone, none without a camera; `None`: of all.
    pub among: Option<Vec<CameraId>>,
    /// By the order in which they were entered.
    pub order: Order,
    /// Rows on a page, 1 to [`MAX_PAGE`](super::MAX_PAGE).
    pub limit: u32,
    /// `next` of the page before.
    pub cursor: Option<Cursor>,
}

impl Default for JobQuery {
    /// All, newest first, in pages of 100.
    fn default() -> Self {
        Self {
            kinds: Vec::new(),
            states: Vec::new(),
            camera: None,
            among: None,
            order: Order::Desc,
            limit: 100,
            cursor: None,
        }
    }
}
