//! What is known of a camera's motion now.

use std::sync::{Mutex, PoisonError};

use super::Scene;
use crate::live::StreamKind;
use crate::time::Timestamp;
use crate::zone::Area;

/// How much moves in a zone.
#[derive(Clone, PartialEq, Debug)]
pub struct ZoneScore {
    /// Its name.
    pub zone: String,
    /// 0 to 1.
    pub score: f32,
}

/// How often a line was crossed since the recorder started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineCount {
    /// Its name.
    pub line: String,
    /// From the left to the right of who looks from its first point to its second.
    pub left_to_right: u64,
    /// The other way.
    pub right_to_left: u64,
}

/// What is known of a camera's motion now.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct MotionStatus {
    /// Whether it is looked for.
    pub active: bool,
    /// In which stream.
    pub stream: StreamKind,
    /// When it was looked last.
    pub at: Option<Timestamp>,
    /// What that gave, 0 to 1.
    pub score: f32,
    /// The same of each zone.
    pub zones: Vec<ZoneScore>,
    /// How often each line was crossed.
    pub lines: Vec<LineCount>,
    /// What the picture is as a whole.
    pub scene: Option<Scene>,
    /// Where most moves.
    pub place: Option<Area>,
    /// Since when there is motion, while there is.
    pub moving_since: Option<Timestamp>,
    /// Pictures looked at since the recorder started.
    pub frames: u64,
    /// Pictures left out because there was no time for them.
    pub frames_dropped: u64,
    /// Processor time of decoding and looking, nanoseconds.
    pub cpu_ns: u64,
    /// The usual distance of looks, nanoseconds; 0 before there are two.
    pub every_ns: i64,
    /// Why nothing is seen though it is looked for, in words.
    pub trouble: Option<String>,
}

/// Where the worker writes and others read.
#[derive(Debug, Default)]
pub(super) struct StatusCell(Mutex<MotionStatus>);

impl StatusCell {
    pub(super) fn get(&self) -> MotionStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut MotionStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
