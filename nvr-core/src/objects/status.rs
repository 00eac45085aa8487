//! How looking for objects fares.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::event::Cause;
use crate::ids::CameraId;
use crate::time::Timestamp;

/// Whether objects are looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ObjectsState {
    /// Nobody asked for it.
    #[default]
    Off,
    /// The model is being read.
    Loading,
    /// They are, in pictures that show motion.
    Ready,
    /// The model cannot be used.
    Failed,
}

impl ObjectsState {
    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

/// What was done for a camera since the recorder started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ObjectFigures {
    /// Pictures looked at.
    pub pictures: u64,
    /// Pictures left out because there was no time for them.
    pub pictures_dropped: u64,
    /// Pictures that could not be converted, and were not looked at.
    pub pictures_damaged: u64,
    /// Things found that count.
    pub found: u64,
    /// Processor time of scaling and looking, nanoseconds.
    pub cpu_ns: u64,
    /// When a picture was looked at last: the time of the picture.
    pub at: Option<Timestamp>,
}

/// How looking for objects fares.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct ObjectsStatus {
    /// Whether they are looked for.
    pub state: ObjectsState,
    /// File of the model.
    pub model: Option<PathBuf>,
    /// Width and height of what the network is given, once it is read.
    pub input: Option<(usize, usize)>,
    /// Names of what it knows, once it is read; empty if nobody named them.
    pub labels: Vec<String>,
    /// Why nothing is found though it is looked for, since when, and what to do.
    pub trouble: Option<(Timestamp, Cause)>,
    /// By camera; those of which a picture came.
    pub cameras: BTreeMap<CameraId, ObjectFigures>,
}
