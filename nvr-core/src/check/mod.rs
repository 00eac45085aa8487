//! Comparing the index with the tree: `nvr check`, the rebuild, and what the recorder does when it starts.
//!
//! Files are the truth. Nothing here deletes footage: at most a file of ours without a single whole fragment
//! goes, and a row whose file is gone is marked, not removed.
//!
//! Everything here blocks; in async code wrap it in `spawn_blocking`.

mod compare;
mod overlap;
mod rebuild;
mod reconcile;
mod report;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::files::{Recovered, Root, delete};
use crate::ids::RunId;
use crate::run::Anchor;
use crate::segment::{ClosedSegment, SegmentStart};
use crate::store::{SegmentRow, Store};
use crate::time::TimeRange;

pub use compare::{CheckOptions, check};
pub use rebuild::{RebuildOptions, RebuildReport, rebuild, rebuild_both};
pub use reconcile::{MendedSegment, ReconcileReport, adopt_day, days, reconcile};
pub use report::{CheckReport, Problem, ProblemKind, Progress, Repair};

/// Refuses an index that belongs to another tree; true when it belongs to none yet.
fn same_tree(store: &Store, root: &Root) -> crate::error::Result<bool> {
    let tree = root.attach()?.to_string();
    match store.tree_id()? {
        Some(known) if known != tree => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "the index belongs to the tree {known}, {} is {tree}",
                root.path().display()
            ),
        )
        .with_hint("name the right root, or make a new index with `nvr check --rebuild`")),
        known => Ok(known.is_none()),
    }
}

/// What the index knows of a segment's beginning, for files that do not say it themselves.
fn start_of(store: &Store, row: &SegmentRow) -> SegmentStart {
    SegmentStart {
        camera: row.camera.clone(),
        run: row.run,
        sequence: row.sequence,
        anchor: anchor_of(store, row, row.run),
        start: row.start,
        camera_start: row.camera_start,
        container: row.container,
        tracks: row.tracks.clone(),
        masks: row.masks.clone(),
        from_card: row.from_card,
    }
}

fn anchor_of(store: &Store, row: &SegmentRow, run: RunId) -> Anchor {
    let around = TimeRange::new(row.start, row.end().max(row.start).add_ns(1)).unwrap_or(TimeRange::ALL);
    store
        .runs(&row.camera, around)
        .ok()
        .and_then(|runs| runs.into_iter().find(|r| r.run == run))
        .map_or(
            Anchor {
                utc: row.start,
                steady_ns: 0,
                running_ns: 0,
            },
            |r| r.anchor,
        )
}

/// Mends a file and tells the segment that it now is; `None` when it holds nothing (and was removed, if that
/// loses nothing).
fn mend(root: &Root, path: &Path, known: Option<&SegmentStart>) -> crate::error::Result<Mended> {
    Ok(match crate::files::recover(root, path, known)? {
        Recovered::Closed { segment, cut_bytes } => Mended::Footage(segment, cut_bytes),
        Recovered::Empty { removable: true, .. } => {
            delete(root, path)?;
            Mended::Removed
        }
        Recovered::Empty { .. } => Mended::Unreadable,
    })
}

enum Mended {
    Footage(Box<ClosedSegment>, u64),
    /// A file of ours without a whole fragment; gone now.
    Removed,
    Unreadable,
}
