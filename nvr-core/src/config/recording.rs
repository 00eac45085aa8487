//! `[recording]`: how cameras are recorded unless they say otherwise.

use std::time::Duration;

use crate::segment::Container;

/// How cameras are recorded unless they say otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RecordingConfig {
    /// Length of a segment (10 s to 24 h; default 15 min); segments begin at multiples of it.
    pub segment: Duration,
    /// Length of a chunk, the most that a crash can lose (100 to 500 ms; default 250 ms).
    pub chunk: Duration,
    /// How segments are packed (default fragmented MP4).
    pub container: Container,
    /// When the growing file is synced to the disk (default: every 5 s).
    pub sync: SyncMode,
    /// Whether audio is recorded where a camera has it (default: yes).
    pub audio: bool,
    /// How much from before its start a recording by hand has (0 to 60 s; default 5 s).
    pub pre_roll: Duration,
    /// After how long without a frame a camera is restarted (2 s to 10 min; default 10 s).
    pub watchdog: Duration,
    /// How long a camera may take from being opened to its first frame (1 s to 5 min; default 20 s).
    pub start_deadline: Duration,
}

impl Default for RecordingConfig {
    fn default() -> Self {
        Self {
            segment: Duration::from_secs(15 * 60),
            chunk: Duration::from_millis(250),
            container: Container::Fmp4,
            sync: SyncMode::default(),
            audio: true,
            pre_roll: Duration::from_secs(5),
            watchdog: Duration::from_secs(10),
            start_deadline: Duration::from_secs(20),
        }
    }
}

/// When a growing segment is synced to the disk. A closed one always is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncMode {
    /// Only when it is closed: a power cut may lose what the system had not written (30 s or more).
    Close,
    /// Also in between, as often as this.
    Every(Duration),
}

impl Default for SyncMode {
    fn default() -> Self {
        Self::Every(Duration::from_secs(5))
    }
}
