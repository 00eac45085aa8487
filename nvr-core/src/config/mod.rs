//! The configuration: a TOML file read into checked, resolved values.
//!
//! One file per section; each section checks itself. A mistake never hides another one: all are
//! reported at once, each with its place in the text ([`ConfigErrors`]). What stands here is pure
//! data; nothing is opened or created.

mod camera;
mod diff;
mod http;
mod log;
mod recorder;
mod recording;

use std::path::PathBuf;

pub use self::camera::{CameraConfig, RecordMode};
pub use self::diff::ConfigDiff;
pub use self::http::HttpConfig;
pub use self::log::{LogConfig, LogFormat};
pub use self::recorder::RecorderConfig;
pub use self::recording::{RecordingConfig, SyncMode};

/// Everything that the configuration says, checked and with defaults filled in.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where things are kept and the limits of the whole.
    pub recorder: RecorderConfig,
    /// The HTTP server.
    pub http: HttpConfig,
    /// How cameras are recorded unless they say otherwise.
    pub recording: RecordingConfig,
    /// The log.
    pub log: LogConfig,
    /// The cameras in the order of the file, ids unique, overrides merged with [`Self::recording`].
    pub cameras: Vec<CameraConfig>,
    /// The file that it was read from.
    pub path: Option<PathBuf>,
}

impl Config {
    /// A configuration with defaults, no cameras and recordings below `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            recorder: RecorderConfig::new(root),
            http: HttpConfig::default(),
            recording: RecordingConfig::default(),
            log: LogConfig::default(),
            cameras: Vec::new(),
            path: None,
        }
    }

    /// The camera of that id.
    #[must_use]
    pub fn camera(&self, id: &crate::ids::CameraId) -> Option<&CameraConfig> {
        self.cameras.iter().find(|c| &c.id == id)
    }
}
