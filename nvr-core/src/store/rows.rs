//! What the index is asked for and what it answers. No SQL and no SQLite types here.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::detection::DetectionKind;
use crate::error::{Error, ErrorKind};
use crate::event::{Cause, DeletionReason, Event};
use crate::ids::{CameraId, RunId, SegmentId};
use crate::run::Anchor;
use crate::segment::{Container, Tier};
use crate::time::{TimeRange, Timestamp};
use crate::track::Tracks;

/// Where a segment stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentState {
    /// It grows, or a crash left it and nobody has looked at it since.
    Open,
    /// Complete and synced.
    Closed,
    /// Its tail was cut after a crash; the rest is whole.
    Recovered,
    /// The file is not here, but there is a copy at an upload target.
    Remote,
    /// The file is not there.
    Missing,
}

impl SegmentState {
    /// The states of footage: complete here or elsewhere, or growing.
    pub const FOOTAGE: [Self; 4] = [Self::Open, Self::Closed, Self::Recovered, Self::Remote];
    /// The states of a file that is complete.
    pub const PLAYABLE: [Self; 2] = [Self::Closed, Self::Recovered];

    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Recovered => "recovered",
            Self::Remote => "remote",
            Self::Missing => "missing",
        }
    }

    /// The state of a stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Open,
            Self::Closed,
            Self::Recovered,
            Self::Remote,
            Self::Missing,
        ]
        .into_iter()
        .find(|s| s.as_str() == name)
    }
}

/// A camera that was ever seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CameraRow {
    /// Id.
    pub id: CameraId,
    /// Name for people, if it differs from the id.
    pub name: Option<String>,
    /// When it was first configured or, after a rebuild, its first footage.
    pub first_seen: Timestamp,
    /// When it went out of the configuration; its footage stays.
    pub removed_at: Option<Timestamp>,
}

/// One life of a recording pipeline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunRow {
    /// Run.
    pub run: RunId,
    /// Camera.
    pub camera: CameraId,
    /// The instant that ties its times together.
    pub anchor: Anchor,
    /// Begin.
    pub started_at: Timestamp,
    /// Why it began.
    pub start_cause: Cause,
    /// End and why, once it was written.
    pub ended: Option<(Timestamp, Cause)>,
}

/// A segment in the index.
#[derive(Clone, PartialEq, Debug)]
pub struct SegmentRow {
    /// Row.
    pub id: SegmentId,
    /// Camera.
    pub camera: CameraId,
    /// Run.
    pub run: RunId,
    /// Number within the run, from 0.
    pub sequence: u32,
    /// Path relative to the recordings root; never absolute, never with `..`.
    pub path: PathBuf,
    /// State.
    pub state: SegmentState,
    /// UTC of the first video frame.
    pub start: Timestamp,
    /// Nanoseconds to the end of the last video frame; while open 0 or what was last reported.
    pub duration_ns: i64,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Packing.
    pub container: Container,
    /// Tracks in the file.
    pub tracks: Tracks,
    /// BLAKE3 of the file.
    pub hash: Option<[u8; 32]>,
    /// Retention leaves it alone.
    pub protected: bool,
    /// Start by the camera's own clock.
    pub camera_start: Option<Timestamp>,
    /// What it is beyond being footage.
    pub marks: Marks,
    /// Which root its file lies below.
    pub tier: Tier,
    /// Privacy masks that are burnt into its pictures, as [`Privacy::text`](crate::privacy::Privacy::text) writes them;
    /// `None` without.
    pub masks: Option<String>,
    /// It was fetched from the camera's own card afterwards.
    pub from_card: bool,
}

impl SegmentRow {
    /// Whether `version` (see [`FileStamp::version`](crate::media::clip::FileStamp::version)) is that of its file.
    #[must_use]
    pub fn is_version(&self, version: &str) -> bool {
        use crate::media::clip::FileStamp;
        let by_hash = self.hash.and_then(|hash| FileStamp::Hash(hash).version());
        by_hash.as_deref() == Some(version)
            || FileStamp::Size(self.size_bytes).version().as_deref() == Some(version)
    }

    /// End of the last video frame.
    #[must_use]
    pub const fn end(&self) -> Timestamp {
        self.start.add_ns(self.duration_ns)
    }

    /// The stretch of UTC that it covers.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.start, self.end().max(self.start)).unwrap_or(TimeRange::ALL)
    }
}

/// What a segment is, beyond being footage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Marks(u8);

impl Marks {
    const TRANSCODED: u8 = 1;
    const EVENT: u8 = 2;
    /// All combinations.
    pub const ALL: [Self; 4] = [Self(0), Self(1), Self(2), Self(3)];

    pub(super) const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::TRANSCODED | Self::EVENT))
    }

    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    /// It was encoded again to save space.
    #[must_use]
    pub const fn is_transcoded(self) -> bool {
        self.0 & Self::TRANSCODED != 0
    }

    /// Something happened in it.
    #[must_use]
    pub const fn is_event(self) -> bool {
        self.0 & Self::EVENT != 0
    }
}

/// A segment that may be deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletableRow {
    /// Row.
    pub id: SegmentId,
    /// Path relative to the recordings root; never absolute, never with `..`.
    pub path: PathBuf,
    /// UTC of the first video frame.
    pub start: Timestamp,
    /// End of the last video frame.
    pub end: Timestamp,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Which root it lies below.
    pub tier: Tier,
}

/// The oldest segments of a root with the same marks that may be deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deletables {
    /// What they are.
    pub marks: Marks,
    /// Whether an upload target is to have them first.
    pub awaited: bool,
    /// Which root they lie below.
    pub tier: Tier,
    /// By start.
    pub rows: Vec<DeletableRow>,
    /// Whether there are younger ones beyond these.
    pub more: bool,
}

/// What a camera has on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StockRow {
    /// Camera; it may have been removed.
    pub camera: CameraId,
    /// Bytes of all complete segments, protected ones included.
    pub size_bytes: u64,
    /// What of that lies below the second root.
    pub second_bytes: u64,
    /// What of it may be deleted.
    pub lists: Vec<Deletables>,
}

/// A segment that is being deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CondemnedRow {
    /// Row.
    pub id: SegmentId,
    /// Camera.
    pub camera: CameraId,
    /// Path relative to the recordings root.
    pub path: PathBuf,
    /// Which root it lies below.
    pub tier: Tier,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Why.
    pub reason: DeletionReason,
}

/// A stretch without footage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GapRow {
    /// Camera.
    pub camera: CameraId,
    /// Begin.
    pub start: Timestamp,
    /// End; `None` while it lasts.
    pub end: Option<Timestamp>,
    /// Why.
    pub cause: Cause,
}

/// An event with its row number (ascending in the order of insertion).
#[derive(Clone, PartialEq, Debug)]
pub struct EventRow {
    /// Row; of a detection its number below zero.
    pub id: i64,
    /// What happened.
    pub event: Event,
}

/// Sums over a camera's segments; missing ones are left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CameraTotals {
    /// Camera.
    pub camera: CameraId,
    /// Number of segments.
    pub segments: u64,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// Sum of durations, nanoseconds (overlaps after a clock step count twice).
    pub duration_ns: i64,
    /// Start of the oldest segment.
    pub oldest: Option<Timestamp>,
    /// End of the segment that starts last (its start while it is open).
    pub newest: Option<Timestamp>,
}

/// Sums over what a camera has below the second root, a part of [`CameraTotals`].
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct TierTotals {
    /// Camera.
    pub camera: CameraId,
    /// Number of segments.
    pub segments: u64,
    /// Bytes on disk.
    pub size_bytes: u64,
}

/// Rows of one camera that overlap a range, see [`Store::timeline_rows`](super::Store::timeline_rows).
#[derive(Clone, PartialEq, Debug)]
pub struct TimelineRows {
    /// Sums over all of the camera's footage.
    pub totals: CameraTotals,
    /// Segments, missing ones left out, by start.
    pub segments: Vec<SegmentRow>,
    /// Gaps by start.
    pub gaps: Vec<GapRow>,
    /// The newest events first, as many as were asked for.
    pub events: Vec<EventRow>,
    /// The camera's newest segment, also outside the range, if its run has not ended: more may follow at once.
    /// Its end was never written if the recorder died.
    pub going_on: Option<TimeRange>,
}

/// Footage around a moment; missing files do not count, open segments do.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Nearest {
    /// The last segment that ends at or before the moment.
    pub before: Option<SegmentRow>,
    /// The segment that holds the moment (the one that starts last if several do). An open segment holds
    /// every moment from its start on.
    pub at: Option<SegmentRow>,
    /// The first segment that starts after the moment.
    pub after: Option<SegmentRow>,
}

/// Direction of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Oldest first.
    #[default]
    Asc,
    /// Newest first.
    Desc,
}

/// Where the next page begins. Opaque text; only good for the query that gave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    pub(crate) at_ns: i64,
    pub(crate) id: i64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.at_ns, self.id)
    }
}

impl FromStr for Cursor {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        let number = |part: Option<&str>| part.and_then(|p| u64::from_str_radix(p, 16).ok());
        match (s.len(), number(s.get(..16)), number(s.get(16..))) {
            (32, Some(at_ns), Some(id)) if !s.contains('+') => Ok(Self {
                at_ns: at_ns.cast_signed(),
                id: id.cast_signed(),
            }),
            _ => Err(
                Error::new(ErrorKind::InvalidArgument, format!("{s:?} is not a cursor"))
                    .with_hint("pass on the cursor of the page before, or none for the first page"),
            ),
        }
    }
}

impl serde::Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Part of an answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Page<T> {
    /// Rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Cursor>,
}

/// Most rows on one page.
pub const MAX_PAGE: u32 = 10_000;

/// Which segments.
#[derive(Clone, PartialEq, Debug)]
pub struct SegmentQuery {
    /// Of which cameras; empty: of all, removed ones included.
    pub cameras: Vec<CameraId>,
    /// Those that overlap this range. An open segment reaches from its start to the end of time.
    pub range: TimeRange,
    /// In which states; empty: in all, missing ones included.
    pub states: Vec<SegmentState>,
    /// By start.
    pub order: Order,
    /// Rows on a page, 1 to [`MAX_PAGE`].
    pub limit: u32,
    /// `next` of the page before.
    pub cursor: Option<Cursor>,
}

impl SegmentQuery {
    /// All segments of some cameras in a range, oldest first, in pages of 1,000.
    #[must_use]
    pub fn new(cameras: impl IntoIterator<Item = CameraId>, range: TimeRange) -> Self {
        Self {
            cameras: cameras.into_iter().collect(),
            range,
            states: Vec::new(),
            order: Order::Asc,
            limit: 1000,
            cursor: None,
        }
    }

    /// Only complete files.
    #[must_use]
    pub fn playable(mut self) -> Self {
        self.states = SegmentState::PLAYABLE.to_vec();
        self
    }
}

/// Which events.
#[derive(Clone, PartialEq, Debug)]
pub struct EventQuery {
    /// When.
    pub range: TimeRange,
    /// Of which camera; `None`: all, and those of the recorder.
    pub camera: Option<CameraId>,
    /// And of these alone, with the bookings that have one of them, none of the recorder; `None`: of all.
    pub among: Option<Vec<CameraId>>,
    /// Names of kinds ([`EventKind::name`](crate::event::EventKind::name)); empty: all.
    pub kinds: Vec<String>,
    /// With detections of these kinds among them, as [`DetectionStarted`](crate::event::EventKind::DetectionStarted) at
    /// their begin; empty: of all kinds; `None`: without detections. They pass [`kinds`](Self::kinds) by.
    pub detections: Option<Vec<DetectionKind>>,
    /// Only those that hold this somewhere, whatever the case (of ASCII letters): in the words of a cause, in a path, a
    /// label or a camera's id.
    pub text: Option<String>,
    /// By time.
    pub order: Order,
    /// Rows on a page, 1 to [`MAX_PAGE`].
    pub limit: u32,
    /// `next` of the page before.
    pub cursor: Option<Cursor>,
}

impl EventQuery {
    /// All events in a range, newest first, in pages of 100.
    #[must_use]
    pub fn new(range: TimeRange) -> Self {
        Self {
            range,
            camera: None,
            among: None,
            kinds: Vec::new(),
            detections: None,
            text: None,
            order: Order::Desc,
            limit: 100,
            cursor: None,
        }
    }
}

/// Ids as the JSON list that statements take, for `json_each`.
pub(super) fn id_list(among: Option<&Vec<CameraId>>) -> Option<String> {
    among.map(|ids| serde_json::to_string(ids).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_text_and_nonsense_is_refused() {
        for (at_ns, id) in [(0, 0), (-1, 7), (i64::MIN, i64::MAX), (i64::MAX, -3)] {
            let c = Cursor { at_ns, id };
            assert_eq!(c.to_string().parse::<Cursor>().unwrap(), c);
        }
        let plus = format!("+{}", "0".repeat(31));
        for bad in [
            "",
            "x",
            "0123",
            "zz",
            &"g".repeat(32),
            &"0".repeat(33),
            &"ü".repeat(16),
            &plus,
        ] {
            assert_eq!(
                bad.parse::<Cursor>().unwrap_err().kind(),
                ErrorKind::InvalidArgument
            );
        }
    }
}
