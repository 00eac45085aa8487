//! Why something changed, ended or is missing: a word to act on, and words for people.

/// Why something changed, ended or is missing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CauseKind {
    /// Somebody asked for it.
    Requested,
    /// The recorder started.
    Startup,
    /// The recorder stopped in order.
    Shutdown,
    /// The recorder died (kill, power cut).
    Crash,
    /// The configuration changed.
    ConfigChanged,
    /// The recording mode does not record now.
    NotScheduled,
    /// It is recorded because of motion, and nothing moved.
    NoMotion,
    /// The camera's schedule asks for it.
    Scheduled,
    /// Nobody answers at the address.
    Unreachable,
    /// The camera refused the credentials.
    Unauthorized,
    /// The camera has no such stream.
    StreamNotFound,
    /// The camera ended the stream.
    StreamEnded,
    /// No frame for too long.
    NoFrames,
    /// A device is unplugged or used by another program.
    Device,
    /// The stream is not of a kind that can be recorded.
    Unsupported,
    /// The stream broke its own format.
    BadStream,
    /// Recording pauses: the disk is nearly full and nothing on it may be deleted.
    LowSpace,
    /// It was deleted to keep to the limits of retention, or by hand.
    Deleted,
    /// The disk is full.
    DiskFull,
    /// The file system is read-only.
    ReadOnly,
    /// The recordings root is not there or lost its marker.
    StorageMissing,
    /// The disk of the recordings does not answer.
    StorageHangs,
    /// Another storage error.
    StorageError,
    /// The network that finds objects cannot be used.
    ModelUnusable,
    /// The wall clock stepped.
    ClockStep,
    /// Not known (footage of before the index, for instance).
    Unknown,
    /// A fault in this program.
    Internal,
}

impl CauseKind {
    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Startup => "startup",
            Self::Shutdown => "shutdown",
            Self::Crash => "crash",
            Self::ConfigChanged => "config_changed",
            Self::NotScheduled => "not_scheduled",
            Self::NoMotion => "no_motion",
            Self::Scheduled => "scheduled",
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::StreamNotFound => "stream_not_found",
            Self::StreamEnded => "stream_ended",
            Self::NoFrames => "no_frames",
            Self::Device => "device",
            Self::Unsupported => "unsupported",
            Self::BadStream => "bad_stream",
            Self::LowSpace => "low_space",
            Self::Deleted => "deleted",
            Self::DiskFull => "disk_full",
            Self::ReadOnly => "read_only",
            Self::StorageMissing => "storage_missing",
            Self::StorageHangs => "storage_hangs",
            Self::StorageError => "storage_error",
            Self::ModelUnusable => "model_unusable",
            Self::ClockStep => "clock_step",
            Self::Unknown => "unknown",
            Self::Internal => "internal",
        }
    }

    /// The kind of a stable name; `Unknown` for a name this version does not know.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        serde::Deserialize::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(
            name,
        ))
        .unwrap_or(Self::Unknown)
    }

    /// Whether the fault lies with the disk, not with the camera.
    #[must_use]
    pub const fn is_storage(self) -> bool {
        matches!(
            self,
            Self::DiskFull | Self::ReadOnly | Self::StorageMissing | Self::StorageError
        )
    }
}

/// A cause with words for people. Never holds a secret.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Cause {
    /// To act on.
    pub kind: CauseKind,
    /// To read.
    pub message: String,
}

impl Cause {
    /// A cause with its words.
    #[must_use]
    pub fn new(kind: CauseKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}
