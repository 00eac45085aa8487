//! `[[cameras]]`: one camera, its source and what it does differently from `[recording]`.

use std::time::Duration;

use super::RecordingConfig;
use crate::ids::CameraId;
use crate::segment::Container;
use crate::source::SourceSpec;

/// One camera, resolved: what it does not say itself is taken from [`RecordingConfig`].
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct CameraConfig {
    /// Its id: folder name, metric label, part of URLs.
    pub id: CameraId,
    /// Name for people; the id by default.
    pub name: String,
    /// Where the stream comes from, credentials and options included.
    pub source: SourceSpec,
    /// Whether it is used at all (default: yes).
    pub enabled: bool,
    /// When it is recorded.
    pub record: RecordMode,
    /// Length of a segment (10 s to 24 h).
    pub segment: Duration,
    /// Length of a chunk (100 to 500 ms).
    pub chunk: Duration,
    /// How segments are packed.
    pub container: Container,
    /// Whether audio is recorded where the camera has it.
    pub audio: bool,
    /// How much from before its start a recording by hand has (0 to 60 s).
    pub pre_roll: Duration,
    /// After how long without a frame it is restarted (2 s to 10 min); long GOPs are allowed for.
    pub watchdog: Duration,
    /// How long it may take from being opened to its first frame (1 s to 5 min).
    pub start_deadline: Duration,
}

impl CameraConfig {
    /// A camera with the defaults, recorded continuously.
    #[must_use]
    pub fn new(id: CameraId, source: SourceSpec) -> Self {
        Self::with_defaults(id, source, &RecordingConfig::default())
    }

    /// A camera that does what `[recording]` says.
    #[must_use]
    pub fn with_defaults(id: CameraId, source: SourceSpec, recording: &RecordingConfig) -> Self {
        Self {
            name: id.to_string(),
            id,
            source,
            enabled: true,
            record: RecordMode::default(),
            segment: recording.segment,
            chunk: recording.chunk,
            container: recording.container,
            audio: recording.audio,
            pre_roll: recording.pre_roll,
            watchdog: recording.watchdog,
            start_deadline: recording.start_deadline,
        }
    }
}

/// When a camera is recorded.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Debug,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RecordMode {
    /// Always.
    #[default]
    Continuous,
    /// While somebody asks for it; connected all the time, for the pre-roll.
    Manual,
    /// Never; not even connected unless somebody looks.
    Off,
}
