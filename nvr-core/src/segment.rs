//! The contract between the pipeline that makes segments and the tree that keeps them.
//!
//! The pipeline knows no paths and does no I/O of its own: it asks a [`SegmentFiles`] for a
//! [`SegmentFile`] and hands it bytes. So disk faults, fakes and the growing index live on one side,
//! GStreamer on the other.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::ids::{CameraId, RunId};
use crate::run::Anchor;
use crate::time::{TimeRange, Timestamp};
use crate::track::Tracks;

/// How a segment is packed.
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
pub enum Container {
    /// Fragmented MP4 (CMAF chunks): crash-safe, played and exported without remuxing.
    #[default]
    Fmp4,
    /// Progressive MP4: a plain file for other programs, neither played nor exported here; lost when the process dies
    /// before it is closed.
    Mp4,
    /// Matroska: a plain file for other programs, neither played nor exported here; readable up to the last cluster
    /// after a crash.
    Matroska,
}

impl Container {
    /// File name extension without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Fmp4 | Self::Mp4 => "mp4",
            Self::Matroska => "mkv",
        }
    }
}

/// Which root a segment's file lies below. Its path is the same in both.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The recordings root, where everything is recorded.
    #[default]
    First,
    /// The second root, where old segments move to.
    Second,
}

impl Tier {
    /// Both.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }

    /// As the index knows it.
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }

    pub(crate) const fn from_number(n: i64) -> Self {
        if n == 1 { Self::Second } else { Self::First }
    }
}

/// Who a segment belongs to and when it starts; written into the file itself.
#[derive(Clone, PartialEq, Debug)]
pub struct SegmentStart {
    /// Camera.
    pub camera: CameraId,
    /// Run that it belongs to.
    pub run: RunId,
    /// Number of this segment within its run, from 0.
    pub sequence: u32,
    /// The run's anchor (UTC, steady and running time).
    pub anchor: Anchor,
    /// UTC of the first video frame's presentation.
    pub start: Timestamp,
    /// UTC of the same frame by the camera's own clock (RTCP sender report), if it told.
    pub camera_start: Option<Timestamp>,
    /// Packing.
    pub container: Container,
    /// Tracks as they are in the file (audio codec: as in the file, i.e. AAC).
    pub tracks: Tracks,
    /// Privacy masks that are burnt into its pictures, as [`Privacy::text`](crate::privacy::Privacy::text) writes them;
    /// `None` without.
    pub masks: Option<String>,
    /// It was not recorded as it happened but fetched from the camera's own card afterwards.
    pub from_card: bool,
}

/// A finished segment: its file is complete and synced.
#[derive(Clone, PartialEq, Debug)]
pub struct ClosedSegment {
    /// What it was begun with.
    pub start: SegmentStart,
    /// Path relative to the recordings root, `/`-separated.
    pub path: PathBuf,
    /// Nanoseconds from the first video frame's start to the last one's end.
    pub duration_ns: i64,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// The fragment index as a blob (see `media::index`); empty for plain containers.
    pub fragments: Vec<u8>,
    /// BLAKE3 of the whole file.
    pub hash: Option<[u8; 32]>,
    /// Whether the tail had to be cut after a crash.
    pub recovered: bool,
}

impl ClosedSegment {
    /// The stretch of UTC that it covers.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        let end = self.start.start.add_ns(self.duration_ns.max(0));
        TimeRange::new(self.start.start, end).unwrap_or(TimeRange::ALL)
    }
}

/// Makes segment files. Called from streaming threads: only the file operation itself may block.
pub trait SegmentFiles: Send + Sync + fmt::Debug {
    /// Creates the file of a segment that begins.
    ///
    /// # Errors
    /// `Storage` when the root is not there, not ours (no marker), full or read-only.
    fn create(&self, start: &SegmentStart) -> Result<Box<dyn SegmentFile>>;
}

/// One growing segment. Dropping it without [`finish`](Self::finish) leaves the file as after a crash.
pub trait SegmentFile: Send + fmt::Debug {
    /// Path relative to the recordings root.
    fn path(&self) -> &Path;

    /// Writes bytes as they come from the muxer. `Fmp4` only ever appends (first `ftyp`+`moov`, then
    /// whole `moof`+`mdat` pairs, possibly in several calls); the plain containers also go back.
    ///
    /// `offset` counts the muxer's own bytes: what the implementation inserts (the box that describes
    /// the segment) is its own business.
    ///
    /// # Errors
    /// `Storage` when the bytes could not be written; the segment then holds what was written before.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<()>;

    /// Completes the file (`mfra`), syncs it and says what it became.
    ///
    /// # Errors
    /// `Storage` when that fails; the file stays as after a crash and is recovered at the next start.
    fn finish(self: Box<Self>) -> Result<ClosedSegment>;
}
