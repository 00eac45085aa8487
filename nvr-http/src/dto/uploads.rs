//! Uploads over the wire.

use nvr_core::store::UploadRow;
use nvr_core::upload::TargetStatus;
use serde::Serialize;
use utoipa::ToSchema;

/// An upload target.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TargetDto {
    name: String,
    /// Where it is, without secrets.
    place: String,
    /// Whether its window is open.
    open: bool,
    /// When the window opens or closes.
    changes: Option<String>,
    /// Segments and bytes by state.
    counts: Vec<UploadCountDto>,
    /// Since when the upload waits that waits longest.
    waits_since: Option<String>,
    /// Since when it is in trouble: several failures in a row, or uploads that wait for too long.
    trouble_since: Option<String>,
    /// Why the last upload failed; absent when it did not.
    last_failure: Option<String>,
}

/// How many segments are in a state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UploadCountDto {
    /// `waiting`, `queued`, `done`, `failed`, `cancelled`.
    state: &'static str,
    segments: u64,
    size_bytes: u64,
}

impl From<&TargetStatus> for TargetDto {
    fn from(t: &TargetStatus) -> Self {
        let text = |t: Option<nvr_core::Timestamp>| t.map(|t| t.to_string());
        Self {
            name: t.target.clone(),
            place: t.place.clone(),
            open: t.open,
            changes: text(t.changes),
            counts: t
                .counts
                .iter()
                .map(|c| UploadCountDto {
                    state: c.state.as_str(),
                    segments: c.segments,
                    size_bytes: c.size_bytes,
                })
                .collect(),
            waits_since: text(t.waits_since),
            trouble_since: text(t.trouble_since),
            last_failure: t.last_failure.clone(),
        }
    }
}

/// A segment and a target that is to have it, or has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UploadDto {
    segment: i64,
    target: String,
    /// Name of the object, below the prefix of the target.
    key: String,
    /// `waiting`, `queued`, `done`, `failed`, `cancelled`.
    state: &'static str,
    /// Begin of the segment.
    start: String,
    size_bytes: u64,
    /// Whether the local file stays until the copy is there.
    required: bool,
    /// Since when the target is to have it.
    entered: String,
    /// The job that is at it.
    job: Option<i64>,
    /// Since when it is there.
    uploaded: Option<String>,
    /// Why it failed.
    error: Option<String>,
}

impl From<&UploadRow> for UploadDto {
    fn from(u: &UploadRow) -> Self {
        Self {
            segment: u.segment.0,
            target: u.target.clone(),
            key: u.key.clone(),
            state: u.state.as_str(),
            start: u.start.to_string(),
            size_bytes: u.size_bytes,
            required: u.required,
            entered: u.entered.to_string(),
            job: u.job.map(|j| j.0),
            uploaded: u.uploaded.map(|t| t.to_string()),
            error: u.error.clone(),
        }
    }
}

/// A page of uploads.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UploadsDto {
    pub(crate) uploads: Vec<UploadDto>,
    /// `cursor` of the next page.
    pub(crate) next: Option<String>,
}

/// An address at which anybody may fetch a copy.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LinkDto {
    pub(crate) url: String,
    /// Until when it is good.
    pub(crate) expires: String,
}
