//! What the index is asked for and answers about uploads. No SQL and no SQLite types here.

use super::rows::{Cursor, Order, SegmentRow};
use crate::event::JobState;
use crate::ids::{CameraId, JobId, SegmentId};
use crate::time::Timestamp;

/// Where a segment stands with a target.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    /// It waits for its turn.
    Waiting,
    /// A job is at it.
    Queued,
    /// The copy is there and was compared.
    Done,
    /// It cannot be uploaded; only another request tries again.
    Failed,
    /// Somebody called it off, or the target is no longer configured.
    Cancelled,
}

impl UploadState {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Waiting,
        Self::Queued,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of a stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

/// A segment that a target is to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewUpload {
    /// Segment.
    pub segment: SegmentId,
    /// Name of the target.
    pub target: String,
    /// Name of the object; another is made of it if it is taken.
    pub key: String,
    /// Whether the local file stays until the copy is there.
    pub required: bool,
    /// Whether somebody asked for it, so that windows do not count.
    pub by_hand: bool,
}

/// A segment and a target.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct UploadRow {
    /// Segment.
    pub segment: SegmentId,
    /// Name of the target.
    pub target: String,
    /// Name of the object.
    pub key: String,
    /// Where it stands.
    pub state: UploadState,
    /// Whether the local file stays until the copy is there.
    pub required: bool,
    /// Whether somebody asked for it.
    pub by_hand: bool,
    /// Begin of the segment.
    pub start: Timestamp,
    /// Bytes of the segment.
    pub size_bytes: u64,
    /// Since when the target is to have it.
    pub entered: Timestamp,
    /// The job that is at it.
    pub job: Option<JobId>,
    /// BLAKE3 of what is there.
    #[serde(skip)]
    pub hash: Option<[u8; 32]>,
    /// The target's own tag of what is there.
    pub etag: Option<String>,
    /// Since when it is there.
    pub uploaded: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
}

/// An upload that has a job, and what became of the job; `None` when it is forgotten.
#[derive(Clone, PartialEq, Debug)]
pub struct QueuedUpload {
    /// The upload.
    pub upload: UploadRow,
    /// State of the job.
    pub job: Option<JobState>,
    /// Why the job failed.
    pub error: Option<String>,
}

/// What a target has, and what was told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadedCopy {
    /// Segment.
    pub segment: SegmentId,
    /// Name of the target.
    pub target: String,
    /// Bytes.
    pub size_bytes: u64,
    /// BLAKE3.
    pub hash: [u8; 32],
    /// The target's own tag.
    pub etag: Option<String>,
}

/// How many segments are in a state at a target.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct UploadCount {
    /// Name of the target.
    pub target: String,
    /// State.
    pub state: UploadState,
    /// Segments.
    pub segments: u64,
    /// Their bytes.
    pub size_bytes: u64,
}

/// Which uploads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadQuery {
    /// Of which target.
    pub target: String,
    /// In which state.
    pub state: UploadState,
    /// Only those that somebody asked for.
    pub by_hand: bool,
    /// Only those of these cameras; `None`: of all.
    pub among: Option<Vec<CameraId>>,
    /// By begin of the segment.
    pub order: Order,
    /// Rows on a page, 1 to [`MAX_PAGE`](super::MAX_PAGE).
    pub limit: u32,
    /// `next` of the page before.
    pub cursor: Option<Cursor>,
}

impl UploadQuery {
    /// All uploads of a target in a state, oldest footage first, in pages of 100.
    #[must_use]
    pub fn new(target: impl Into<String>, state: UploadState) -> Self {
        Self {
            target: target.into(),
            state,
            by_hand: false,
            among: None,
            order: Order::Asc,
            limit: 100,
            cursor: None,
        }
    }
}

/// A segment that is to be looked at, with where it is to go or is.
#[derive(Clone, PartialEq, Debug)]
pub struct InboxRow {
    /// The segment.
    pub segment: SegmentRow,
    /// Names of the targets that know it already.
    pub known: Vec<String>,
}
