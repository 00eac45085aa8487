//! What a run is told and what it tells: plain data.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::lean::Reactor;
use super::tap::Tap;
use crate::clock::SharedClock;
use crate::event::Cause;
use crate::ids::{CameraId, RunId};
use crate::run::Anchor;
use crate::segment::{ClosedSegment, Container, SegmentFiles, SegmentStart};
use crate::source::{Ingest, SourceSpec};
use crate::track::Tracks;

/// Where the frames of a run come from.
#[derive(Debug, Clone)]
pub enum RunInput {
    /// A camera.
    Source(SourceSpec),
    /// Another run's tap: what it remembers of the last `pre_roll`, from a keyframe, then what follows live.
    Tap {
        /// The tap; of a run that is alive.
        tap: Tap,
        /// How far back the recording begins.
        pre_roll: Duration,
    },
}

/// How to record.
#[derive(Debug, Clone)]
pub struct RecordSpec {
    /// Length of a segment; boundaries lie at multiples of it in UTC.
    pub segment: Duration,
    /// Length of a chunk (`moof`+`mdat`), which is what a crash can cost. At most 0.5 s is sensible.
    pub chunk: Duration,
    /// Packing.
    pub container: Container,
    /// Makes the files.
    pub files: Arc<dyn SegmentFiles>,
}

/// One run.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// Whose.
    pub camera: CameraId,
    /// Frames from where.
    pub input: RunInput,
    /// Record how; `None` to only watch (standby, live).
    pub record: Option<RecordSpec>,
    /// Whether the audio track is taken, where there is one.
    pub audio: bool,
    /// Wall and steady time.
    pub clock: SharedClock,
    /// How much the tap keeps in memory; zero for the present group of pictures' keyframe only.
    pub keep: Duration,
    /// Why the run begins; comes back in [`RunEvent::RunStarted`].
    pub cause: Cause,
    /// Serves the connections of lean sources; one for all runs of a recorder.
    pub reactor: Reactor,
}

/// What happened in a run, in order. [`Ended`](Self::Ended) is the last one, and always comes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RunEvent {
    /// The way that an RTSP source takes.
    Ingest {
        /// `Lean` or `Rtspsrc`.
        ingest: Ingest,
        /// Why it is not the lean one, where that was tried or would have been the first choice.
        reason: Option<String>,
    },
    /// The source answered and says what it carries.
    Connected {
        /// As the camera sends them.
        tracks: Tracks,
    },
    /// A run (id) begins: at the start, and again when the wall clock stepped.
    RunStarted {
        /// Its id, as in the segments that follow.
        run: RunId,
        /// What its times derive from.
        anchor: Anchor,
        /// Why.
        cause: Cause,
    },
    /// The first video frame passed.
    FirstFrame,
    /// A segment began to grow.
    SegmentOpened {
        /// What it was begun with.
        start: SegmentStart,
        /// Path relative to the recordings root.
        path: PathBuf,
    },
    /// A segment is complete and synced.
    SegmentClosed(ClosedSegment),
    /// The stream changed its parameters.
    TracksChanged(Tracks),
    /// The audio track was given up, or silence was put in; video goes on.
    AudioTrouble(Cause),
    /// Video frames were lost on their way to the file.
    FramesDropped {
        /// How many.
        count: u64,
        /// Why.
        cause: Cause,
    },
    /// The run is over.
    Ended(Cause),
}

/// Figures of a run, from its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunStats {
    /// Whether the source answered.
    pub connected: bool,
    /// Video frames that came from the source.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Bytes from the source, video and audio.
    pub bytes_in: u64,
    /// When the last video frame came, by the steady clock.
    pub last_frame_steady_ns: Option<i64>,
    /// When the last keyframe came, by the steady clock.
    pub last_keyframe_steady_ns: Option<i64>,
    /// Longest distance between two keyframes so far, the present one included.
    pub longest_gop_ns: i64,
    /// Video frames that came and are not in a file though they should be.
    pub frames_dropped: u64,
    /// What waited for the disk when the last frame came.
    pub waiting_bytes: u64,
}

/// How a run stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopOutcome {
    /// The last segment was closed in order, before the deadline.
    pub clean: bool,
    /// How long it took.
    pub took: Duration,
}
