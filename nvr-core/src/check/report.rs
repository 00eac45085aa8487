//! What a check found.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::ids::CameraId;

/// Sorts of problems.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// A row without its file. Repair: the row is marked missing.
    MissingFile,
    /// A file without a row. Repair: it is indexed, after mending if need be.
    Orphan,
    /// A row says that its file is missing, and it is there. Repair: it is indexed.
    FoundAgain,
    /// The end of a file is cut or damaged. Repair: cut behind the last whole fragment and indexed.
    Truncated,
    /// A file holds nothing that can be played. No repair.
    Unreadable,
    /// A file of ours without a whole fragment. Repair: it is removed.
    EmptyFile,
    /// Size, length or fragments differ between file and row. Repair: indexed anew.
    WrongSize,
    /// Two segments of one camera and run cover the same time. No repair.
    Overlap,
    /// A row of a growing segment, but no recorder runs. Repair: as after a crash.
    OpenRow,
    /// The file's bytes are not what they were when it was closed. No repair: restore it from a copy.
    HashMismatch,
    /// A still is no whole JPEG. No repair: delete it, or restore it from a copy.
    DamagedStill,
    /// A file lies below the other root than the index says. Repair: where both are there, the one that does not count
    /// is removed, if the other is what was recorded; else the index follows.
    OtherRoot,
    /// The index is damaged in itself. Repair: rebuild.
    Index,
}

impl ProblemKind {
    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingFile => "missing_file",
            Self::Orphan => "orphan",
            Self::FoundAgain => "found_again",
            Self::Truncated => "truncated",
            Self::Unreadable => "unreadable",
            Self::EmptyFile => "empty_file",
            Self::WrongSize => "wrong_size",
            Self::Overlap => "overlap",
            Self::OpenRow => "open_row",
            Self::HashMismatch => "hash_mismatch",
            Self::DamagedStill => "damaged_still",
            Self::OtherRoot => "other_root",
            Self::Index => "index",
        }
    }
}

/// What was done about a problem.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "result", content = "detail")]
pub enum Repair {
    /// Nothing was asked for.
    NotTried,
    /// It is gone.
    Done,
    /// There is no repair for it.
    Impossible,
    /// It was tried and failed, with the reason.
    Failed(String),
}

/// One problem.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Problem {
    /// Which.
    pub kind: ProblemKind,
    /// Whose.
    pub camera: Option<CameraId>,
    /// Path relative to the root; empty when it concerns the index.
    pub path: PathBuf,
    /// For people.
    pub detail: String,
    /// What was done about it.
    pub repair: Repair,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Segments done.
    pub done: u64,
    /// Segments in all, if known: what the index believes.
    pub total: Option<u64>,
}

/// Most problems and foreign files that are listed; beyond that they are only counted.
pub(super) const MAX_LISTED: usize = 10_000;

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct CheckReport {
    /// Segment files seen.
    pub files: u64,
    /// Their bytes.
    pub size_bytes: u64,
    /// Rows seen.
    pub rows: u64,
    /// Segments of the second root that were not looked at, because it is not there.
    pub unreachable: u64,
    /// Stills seen. Nothing indexes them; with hashes they are read whole.
    pub stills: u64,
    /// Their bytes.
    pub stills_bytes: u64,
    /// Files whose hash was compared.
    pub hashed: u64,
    /// Problems (the first 10,000).
    pub problems: Vec<Problem>,
    /// How many of each kind.
    pub counts: BTreeMap<ProblemKind, u64>,
    /// How many were mended.
    pub mended: u64,
    /// What lies in the tree and is not ours (the first 10,000); it is left alone.
    pub foreign: Vec<PathBuf>,
    /// Number of such.
    pub foreign_count: u64,
}

impl CheckReport {
    /// Whether there is nothing left to complain about.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.counts.values().sum::<u64>() == self.mended
    }

    /// Number of problems of a kind.
    #[must_use]
    pub fn count(&self, kind: ProblemKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, problem: Problem) {
        *self.counts.entry(problem.kind).or_default() += 1;
        self.mended += u64::from(problem.repair == Repair::Done);
        if self.problems.len() < MAX_LISTED {
            self.problems.push(problem);
        }
    }

    pub(super) fn add_foreign(&mut self, path: PathBuf) {
        self.foreign_count += 1;
        if self.foreign.len() < MAX_LISTED {
            self.foreign.push(path);
        }
    }
}
