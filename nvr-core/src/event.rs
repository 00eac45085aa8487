//! What happened, as a stream and as rows.

use std::fmt;

pub use crate::cause::{Cause, CauseKind};
use crate::detection::Detection;
use crate::ids::{CameraId, JobId, RunId};
use crate::time::Timestamp;

/// Something that is not as it was booked.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(from = "StoredWarning")]
pub struct BookingWarning {
    /// Of which camera; `None` when it concerns all.
    pub camera: Option<CameraId>,
    /// What.
    pub message: String,
}

impl fmt::Display for BookingWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.camera {
            Some(camera) => write!(f, "{camera}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A warning as it stands in rows; in older rows those of events were words, with the camera before a colon.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum StoredWarning {
    Words(String),
    Fields {
        camera: Option<CameraId>,
        message: String,
    },
}

impl From<StoredWarning> for BookingWarning {
    fn from(stored: StoredWarning) -> Self {
        match stored {
            StoredWarning::Fields { camera, message } => Self { camera, message },
            StoredWarning::Words(words) => {
                // Rather one camera too many than a camera that somebody may not know of.
                let of = words
                    .split_once(": ")
                    .and_then(|(camera, message)| Some((CameraId::new(camera).ok()?, message.to_owned())));
                match of {
                    Some((camera, message)) => Self {
                        camera: Some(camera),
                        message,
                    },
                    None => Self {
                        camera: None,
                        message: words,
                    },
                }
            }
        }
    }
}

/// Why footage is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletionReason {
    /// It is older than it is to be kept.
    Age,
    /// Its camera has more than it may.
    CameraBytes,
    /// All cameras together have more than they may.
    TotalBytes,
    /// The disk has less free than it should.
    FreeSpace,
    /// The disk is nearly full.
    Emergency,
    /// Its copies are at upload targets.
    Uploaded,
    /// Somebody asked for it.
    Requested,
}

impl DeletionReason {
    const ALL: [Self; 7] = [
        Self::Age,
        Self::CameraBytes,
        Self::TotalBytes,
        Self::FreeSpace,
        Self::Emergency,
        Self::Uploaded,
        Self::Requested,
    ];

    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::CameraBytes => "camera_bytes",
            Self::TotalBytes => "total_bytes",
            Self::FreeSpace => "free_space",
            Self::Emergency => "emergency",
            Self::Uploaded => "uploaded",
            Self::Requested => "requested",
        }
    }

    /// The reason of a stable name; `Requested` for a name that this version does not know.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let known = Self::ALL.into_iter().find(|r| r.as_str() == name);
        known.unwrap_or(Self::Requested)
    }

    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Age => "deleted: older than it is to be kept",
            Self::CameraBytes => "deleted: the camera had more than it may",
            Self::TotalBytes => "deleted: the cameras had more than they may",
            Self::FreeSpace => "deleted to keep room on the disk",
            Self::Emergency => "deleted because the disk was nearly full",
            Self::Uploaded => "only at upload targets from now on",
            Self::Requested => "deleted by hand",
        }
    }
}

/// Where a camera stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CameraPhase {
    /// Not wanted: mode off, or stopped by hand.
    Stopped,
    /// Opening the source.
    Connecting,
    /// Frames arrive and none is to be recorded now (manual mode between recordings).
    Standby,
    /// Frames arrive and are recorded.
    Recording,
    /// Connected, but no frame for too long.
    Stalled,
    /// Waiting before the next try.
    BackingOff,
    /// Not worth trying often: wrong password, unsupported stream, faulty configuration.
    Failed,
}

impl CameraPhase {
    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Connecting => "connecting",
            Self::Standby => "standby",
            Self::Recording => "recording",
            Self::Stalled => "stalled",
            Self::BackingOff => "backing_off",
            Self::Failed => "failed",
        }
    }
}

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for its turn, its time or its window.
    Queued,
    /// It is being done.
    Running,
    /// It was done.
    Done,
    /// It could not be done and is not tried again by itself.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
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

    /// Whether it is over: nothing more happens to it by itself.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// Something that happened.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Which camera; `None` when it concerns the recorder.
    pub camera: Option<CameraId>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    /// An event.
    #[must_use]
    pub fn new(at: Timestamp, camera: Option<CameraId>, kind: EventKind) -> Self {
        Self { at, camera, kind }
    }
}

/// What happened.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A camera changed its phase.
    CameraState {
        /// Before.
        from: CameraPhase,
        /// Now.
        to: CameraPhase,
        /// Why.
        cause: Cause,
    },
    /// A run began.
    RunStarted {
        /// Its id.
        run: RunId,
        /// Why.
        cause: Cause,
    },
    /// A segment began to grow.
    SegmentOpened {
        /// Path relative to the root.
        path: String,
    },
    /// A segment is complete and indexed.
    SegmentClosed {
        /// Path relative to the root.
        path: String,
        /// Bytes.
        size_bytes: u64,
        /// Length.
        duration_ns: i64,
    },
    /// A segment left by a crash was mended and indexed.
    SegmentRecovered {
        /// Path relative to the root.
        path: String,
        /// Bytes cut off behind the last whole fragment.
        cut_bytes: u64,
    },
    /// Footage is missing from here on.
    GapOpened {
        /// Why.
        cause: Cause,
    },
    /// Footage is there again.
    GapClosed {
        /// When it had stopped.
        since: Timestamp,
        /// Why it had.
        cause: Cause,
    },
    /// The recordings root cannot be written.
    StorageFault {
        /// Why.
        cause: Cause,
    },
    /// The recordings root can be written again.
    StorageRecovered,
    /// The disk of the recordings root does not answer. What cameras send waits in memory.
    StorageHangs {
        /// Why.
        cause: Cause,
    },
    /// The disk of the recordings root answers again.
    StorageAnswers,
    /// The second root cannot be used. Its footage stays in the index; recording is not concerned.
    TierLost {
        /// Why.
        cause: Cause,
    },
    /// The second root can be used again.
    TierBack,
    /// Footage of a camera was deleted.
    FootageDeleted {
        /// Number of segments.
        segments: u64,
        /// Their bytes.
        size_bytes: u64,
        /// End of the newest of them.
        until: Timestamp,
        /// Why.
        reason: DeletionReason,
    },
    /// The disk is nearly full: the oldest footage goes whatever is wanted of it.
    SpaceLow {
        /// What is left.
        available_bytes: u64,
        /// Below this it is an emergency.
        critical_bytes: u64,
    },
    /// The disk has enough room again.
    SpaceRecovered {
        /// What is free now.
        available_bytes: u64,
    },
    /// Frames were lost on their way to the file.
    FramesDropped {
        /// How many.
        count: u64,
        /// Why.
        cause: Cause,
    },
    /// The audio track was given up or silence was put in; video goes on.
    AudioTrouble {
        /// Why.
        cause: Cause,
    },
    /// Somebody changed the configuration file through the recorder.
    ConfigChanged {
        /// Sections and keys that differ (`cameras.front.source`), without the values.
        paths: Vec<String>,
        /// Who, if that is known.
        by: Option<String>,
    },
    /// The configuration was read again.
    ConfigReloaded {
        /// Cameras that were restarted, added or removed.
        changed: Vec<CameraId>,
    },
    /// A job changed its state, or got further. Told to listeners; only a failure is kept in the index, for
    /// the rest stands in the queue.
    JobChanged {
        /// Its id.
        job: JobId,
        /// Its kind.
        job_kind: String,
        /// Where it stands.
        state: JobState,
        /// 0 to 1.
        progress: f64,
        /// What it does or waits for, or why it failed.
        message: String,
    },
    /// A segment's file does not hold what it should.
    SegmentDamaged {
        /// Path relative to the root.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// Uploads to a target fail again and again, or wait for too long.
    UploadTrouble {
        /// Name of the target.
        target: String,
        /// Why.
        cause: Cause,
    },
    /// Uploads to a target work again.
    UploadRecovered {
        /// Name of the target.
        target: String,
        /// Since when they did not.
        since: Timestamp,
    },
    /// A push of a camera to a server was begun.
    PushStarted {
        /// Its number.
        push: u64,
        /// Where to, without keys and passwords.
        address: String,
        /// Who asked for it, if that is known.
        by: Option<String>,
    },
    /// The server takes the stream: for the first time, or again.
    PushLive {
        /// Its number.
        push: u64,
        /// Where to, without keys and passwords.
        address: String,
    },
    /// The server does not take the stream any more, or could not be reached. It is tried again; told once.
    PushDown {
        /// Its number.
        push: u64,
        /// Where to, without keys and passwords.
        address: String,
        /// Why.
        cause: Cause,
    },
    /// A push was ended.
    PushStopped {
        /// Its number.
        push: u64,
        /// Where to, without keys and passwords.
        address: String,
        /// Why.
        cause: Cause,
        /// Who asked for it, if that is known.
        by: Option<String>,
    },
    /// A backup was made by itself.
    BackupMade {
        /// Its file.
        path: String,
        /// Its bytes.
        size_bytes: u64,
    },
    /// A backup that was due could not be made. It is tried again.
    BackupFailed {
        /// Why.
        cause: Cause,
    },
    /// Something is seen from now on. It is kept among the detections: what is told of it later stands there.
    DetectionStarted {
        /// What.
        detection: Box<Detection>,
    },
    /// It is over. Told to listeners only.
    DetectionEnded {
        /// What it was.
        detection: Box<Detection>,
    },
    /// A booking was entered or changed, or one of its occurrences got into another state.
    BookingChanged {
        /// Its id.
        booking: i64,
        /// Its title.
        title: String,
        /// Its cameras.
        cameras: Vec<CameraId>,
        /// Begin of the occurrence, if it is about one.
        start: Option<Timestamp>,
        /// Where it stands: `planned`, `recording`, `processing`, `completed`, `failed`, `cancelled`, `expired` or `deleted`.
        state: String,
        /// What is not as it was booked.
        warnings: Vec<BookingWarning>,
        /// Who asked for it, if that is known.
        by: Option<String>,
    },
    /// A calendar cannot be had; its last good copy counts. Told once.
    CalendarTrouble {
        /// Its name.
        calendar: String,
        /// Why.
        cause: Cause,
    },
    /// A calendar can be had again.
    CalendarRecovered {
        /// Its name.
        calendar: String,
        /// Since when it could not.
        since: Timestamp,
    },
    /// The reader of the stream was too slow and so many events are missing here.
    Lagged {
        /// How many.
        missed: u64,
    },
}

impl EventKind {
    /// Stable snake-case name, as in JSON and in the index.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CameraState { .. } => "camera_state",
            Self::RunStarted { .. } => "run_started",
            Self::SegmentOpened { .. } => "segment_opened",
            Self::SegmentClosed { .. } => "segment_closed",
            Self::SegmentRecovered { .. } => "segment_recovered",
            Self::GapOpened { .. } => "gap_opened",
            Self::GapClosed { .. } => "gap_closed",
            Self::StorageFault { .. } => "storage_fault",
            Self::StorageRecovered => "storage_recovered",
            Self::StorageHangs { .. } => "storage_hangs",
            Self::StorageAnswers => "storage_answers",
            Self::TierLost { .. } => "tier_lost",
            Self::TierBack => "tier_back",
            Self::FootageDeleted { .. } => "footage_deleted",
            Self::SpaceLow { .. } => "space_low",
            Self::SpaceRecovered { .. } => "space_recovered",
            Self::FramesDropped { .. } => "frames_dropped",
            Self::AudioTrouble { .. } => "audio_trouble",
            Self::ConfigChanged { .. } => "config_changed",
            Self::ConfigReloaded { .. } => "config_reloaded",
            Self::JobChanged { .. } => "job_changed",
            Self::SegmentDamaged { .. } => "segment_damaged",
            Self::UploadTrouble { .. } => "upload_trouble",
            Self::UploadRecovered { .. } => "upload_recovered",
            Self::PushStarted { .. } => "push_started",
            Self::PushLive { .. } => "push_live",
            Self::PushDown { .. } => "push_down",
            Self::PushStopped { .. } => "push_stopped",
            Self::BackupMade { .. } => "backup_made",
            Self::BackupFailed { .. } => "backup_failed",
            Self::DetectionStarted { .. } => "detection_started",
            Self::DetectionEnded { .. } => "detection_ended",
            Self::BookingChanged { .. } => "booking_changed",
            Self::CalendarTrouble { .. } => "calendar_trouble",
            Self::CalendarRecovered { .. } => "calendar_recovered",
            Self::Lagged { .. } => "lagged",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_of_older_rows_are_read() {
        let warning = |camera: Option<&str>, message: &str| BookingWarning {
            camera: camera.map(|c| CameraId::new(c).unwrap()),
            message: message.to_owned(),
        };
        let row = |warnings: &str| {
            let text = format!(
                r#"{{"kind":"booking_changed","booking":1,"title":"t","cameras":["yard"],"start":null,"state":"failed","warnings":{warnings},"by":null}}"#
            );
            match serde_json::from_str::<EventKind>(&text).unwrap() {
                EventKind::BookingChanged { warnings, .. } => warnings,
                other => panic!("{other:?}"),
            }
        };
        let told = [
            warning(Some("yard"), "nothing was recorded: it is off"),
            warning(None, "no recorder ran while it lasted"),
        ];
        let words = r#"["yard: nothing was recorded: it is off", "no recorder ran while it lasted"]"#;
        assert_eq!(row(words), told);
        assert_eq!(row(&serde_json::to_string(&told).unwrap()), told);
        assert_eq!(told[0].to_string(), "yard: nothing was recorded: it is off");
    }
}
