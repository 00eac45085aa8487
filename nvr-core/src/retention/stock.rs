//! What there is: what each camera has, what of it may be deleted, and the file system.

use std::path::PathBuf;

use super::policy::Rules;
use crate::config::Age;
use crate::files::Usage;
use crate::ids::{CameraId, SegmentId};
use crate::segment::Tier;
use crate::store::{DeletableRow, Marks, StockRow};
use crate::time::Timestamp;

/// What a segment is kept as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Ordinary footage.
    Plain,
    /// Encoded again to save space.
    Transcoded,
    /// Something happened in it, whether or not it was encoded again.
    Event,
}

impl From<Marks> for Class {
    fn from(marks: Marks) -> Self {
        match (marks.is_event(), marks.is_transcoded()) {
            (true, _) => Self::Event,
            (false, true) => Self::Transcoded,
            (false, false) => Self::Plain,
        }
    }
}

impl Rules {
    /// How long a class is kept.
    #[must_use]
    pub fn age(&self, class: Class) -> Age {
        match class {
            Class::Plain => self.plain,
            Class::Transcoded => self.transcoded.unwrap_or(self.plain),
            Class::Event => self.event.unwrap_or(self.plain),
        }
    }

    /// Whether a class stays when there is other footage to make room with.
    pub(super) const fn spares(&self, class: Class) -> bool {
        matches!(class, Class::Event) && self.event.is_some()
    }
}

/// A segment that may be deleted: complete, here, not protected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Row.
    pub id: SegmentId,
    /// Path relative to the root.
    pub path: PathBuf,
    /// Begin.
    pub start: Timestamp,
    /// End.
    pub end: Timestamp,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Which root it lies below.
    pub tier: Tier,
}

impl From<DeletableRow> for Candidate {
    fn from(row: DeletableRow) -> Self {
        Self {
            id: row.id,
            path: row.path,
            start: row.start,
            end: row.end,
            size_bytes: row.size_bytes,
            tier: row.tier,
        }
    }
}

/// The oldest candidates of a camera and class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    /// What they are.
    pub class: Class,
    /// Whether an upload target is to have them first: they go in an emergency only.
    pub awaited: bool,
    /// Which root they lie below.
    pub tier: Tier,
    /// By start.
    pub items: Vec<Candidate>,
    /// Whether there are younger ones beyond these.
    pub more: bool,
}

/// What a camera has on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stock {
    /// Camera, configured or not.
    pub camera: CameraId,
    /// Bytes of all its footage: with protected ones and what grows now.
    pub size_bytes: u64,
    /// What of that lies below the second root.
    pub second_bytes: u64,
    /// What of it may be deleted.
    pub lists: Vec<List>,
}

impl Stock {
    /// Of rows of the index; `growing_bytes` is what grows now. While the second root is away, what lies there is no
    /// matter: it does not count, and nothing of it goes.
    #[must_use]
    pub fn new(row: StockRow, growing_bytes: u64, with_second: bool) -> Self {
        let second_bytes = if with_second { row.second_bytes } else { 0 };
        let away = row.second_bytes - second_bytes;
        Self {
            camera: row.camera,
            size_bytes: row.size_bytes.saturating_sub(away).saturating_add(growing_bytes),
            second_bytes,
            lists: row
                .lists
                .into_iter()
                .filter(|list| with_second || list.tier == Tier::First)
                .map(|list| List {
                    class: list.marks.into(),
                    awaited: list.awaited,
                    tier: list.tier,
                    items: list.rows.into_iter().map(Candidate::from).collect(),
                    more: list.more,
                })
                .collect(),
        }
    }
}

/// The file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disk {
    /// Its size.
    pub total_bytes: u64,
    /// What the recorder may still write.
    pub available_bytes: u64,
}

impl From<Usage> for Disk {
    fn from(usage: Usage) -> Self {
        Self {
            total_bytes: usage.total_bytes,
            available_bytes: usage.available_bytes,
        }
    }
}
