//! What the recorder does before it records: rows that a crash left open, and new files without a row.
//!
//! It must be quick with any number of segments, so it does not walk the tree. It looks at the files of open
//! rows, at the folders of days from the newest row of each camera on, and at days of which the index has no
//! row at all. A single file without a row between indexed ones is found by `nvr check`.

use std::collections::HashSet;
use std::path::PathBuf;

use super::{Mended, mend, start_of};
use crate::error::{ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::fault::storage;
use crate::files::{Day, SegmentName, Tree, scan};
use crate::ids::{CameraId, RunId};
use crate::store::{Order, SegmentQuery, SegmentState, Store};
use crate::time::{TimeRange, Timestamp};

/// Files that are indexed in one start at most: half a second's work. More than that means another or no
/// index; the rest is entered on the side, see [`adopt_day`].
const MAX_ADOPTED: usize = 500;

/// A segment that was open in the index and is complete now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MendedSegment {
    /// Camera.
    pub camera: CameraId,
    /// Run.
    pub run: RunId,
    /// Path relative to the root.
    pub path: PathBuf,
    /// End of its footage: from here on the crash left a gap.
    pub end: Timestamp,
    /// Bytes cut off behind the last whole fragment.
    pub cut_bytes: u64,
}

/// What was found at the start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReconcileReport {
    /// Segments that a crash left open.
    pub mended: Vec<MendedSegment>,
    /// Open rows whose file is gone or holds nothing that can be played; they are marked missing.
    pub lost: Vec<PathBuf>,
    /// Files that were not in the index and are now.
    pub adopted: u64,
    /// Files that could not be looked at, with the reason; they are left as they are.
    pub failed: Vec<(PathBuf, String)>,
    /// There are more files that the index does not know: [`adopt_day`] enters them, as does `nvr check --repair`
    /// or `--rebuild`. Until then they are safe, for nothing deletes what has no row.
    pub incomplete: bool,
}

/// Brings the index up to the files. To be called before anything records; blocks for up to about a second.
///
/// # Errors
/// `Storage` when the root is not there or the index cannot be read or written; then nothing was marked
/// missing. `Conflict` when the index belongs to another tree. It can be called again at any time.
pub fn reconcile(store: &Store, tree: &Tree) -> Result<ReconcileReport> {
    let root = tree.root();
    if super::same_tree(store, root)? {
        let id = root.attach()?;
        store.set_tree_id_blocking(&id.to_string())?;
    }
    let growing: HashSet<PathBuf> = tree.growing().iter().map(|g| g.path().to_owned()).collect();
    let mut report = ReconcileReport::default();
    open_rows(store, tree, &growing, &mut report)?;

    let dir = root.dir()?;
    let read = |e| storage(format!("read {}", root.path().display()), e);
    for camera in scan::cameras(&dir).map_err(read)?.ours {
        let newest = newest_day(store, &camera)?;
        for day in scan::days(&dir, &camera).map_err(read)?.ours {
            let is_new = newest.is_none_or(|newest| day >= newest);
            if !is_new && has_rows(store, &camera, day)? {
                continue;
            }
            let files = scan::segments(&dir, &camera, day).map_err(read)?.ours;
            for (name, _) in files {
                let path = name.path();
                if growing.contains(&path) || store.segment_by_path(&path)?.is_some() {
                    continue;
                }
                if report.adopted as usize + report.failed.len() >= MAX_ADOPTED {
                    report.incomplete = true;
                    tracing::warn!(
                        "more files than can be indexed at start; the rest follows while it records"
                    );
                    return Ok(report);
                }
                adopt(store, tree, &name, &mut report)?;
            }
        }
    }
    Ok(report)
}

/// All days of the tree, the newest first: what [`adopt_day`] is to be called with, one after the other.
///
/// # Errors
/// `Storage` when the root is not there or cannot be read.
pub fn days(tree: &Tree) -> Result<Vec<(CameraId, Day)>> {
    let root = tree.root();
    let dir = root.dir()?;
    let read = |e| storage(format!("read {}", root.path().display()), e);
    let mut all = Vec::new();
    for camera in scan::cameras(&dir).map_err(read)?.ours {
        let days = scan::days(&dir, &camera).map_err(read)?.ours;
        all.extend(days.into_iter().map(|day| (camera.clone(), day)));
    }
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(all)
}

/// Enters the files of one day that the index does not know, while cameras are being recorded. Blocks for some
/// milliseconds a file that is entered.
///
/// # Errors
/// As [`reconcile`].
pub fn adopt_day(store: &Store, tree: &Tree, camera: &CameraId, day: Day) -> Result<ReconcileReport> {
    let root = tree.root();
    let mut report = ReconcileReport::default();
    let dir = root.dir()?;
    let files = scan::segments(&dir, camera, day)
        .map_err(|e| storage(format!("read {}", root.path().display()), e))?
        .ours;
    // Behind the list: what this process made until then is known as growing, or has its row, or belongs to the
    // run that makes files now.
    let growing: HashSet<PathBuf> = tree.growing().iter().map(|g| g.path().to_owned()).collect();
    for (name, _) in files {
        let path = name.path();
        let ours = growing.contains(&path) || tree.may_make(camera, name.run);
        if !ours && store.segment_by_path(&path)?.is_none() {
            adopt(store, tree, &name, &mut report)?;
        }
    }
    Ok(report)
}

fn open_rows(
    store: &Store,
    tree: &Tree,
    growing: &HashSet<PathBuf>,
    report: &mut ReconcileReport,
) -> Result<()> {
    for row in store.open_segments()? {
        if growing.contains(&row.path) {
            continue;
        }
        let known = start_of(store, &row);
        match mend(tree.root(), &row.path, Some(&known)) {
            Ok(Mended::Footage(segment, cut_bytes)) => {
                let mended = MendedSegment {
                    camera: segment.start.camera.clone(),
                    run: segment.start.run,
                    path: segment.path.clone(),
                    end: segment.range().end(),
                    cut_bytes,
                };
                store.close_segment_blocking(&row.path, &segment)?;
                let cause = Cause::new(CauseKind::Crash, "the recorder ended without closing its segment");
                store.end_run_blocking(mended.run, &mended.camera, mended.end, &cause)?;
                report.mended.push(mended);
            }
            Ok(Mended::Removed) => {
                store.delete_segment_blocking(row.id)?;
            }
            Ok(Mended::Unreadable) => {
                tracing::warn!(camera = %row.camera, path = %row.path.display(), "segment holds nothing that can be played");
                store.set_segment_state_blocking(row.id, SegmentState::Missing)?;
                report.lost.push(row.path);
            }
            // The root is there, the file is not.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                tracing::warn!(camera = %row.camera, path = %row.path.display(), "segment file is gone");
                store.set_segment_state_blocking(row.id, SegmentState::Missing)?;
                report.lost.push(row.path);
            }
            Err(e) => {
                tree.root().attach()?;
                report.failed.push((row.path, e.to_string()));
            }
        }
    }
    Ok(())
}

fn adopt(store: &Store, tree: &Tree, name: &SegmentName, report: &mut ReconcileReport) -> Result<()> {
    match mend(tree.root(), &name.path(), None) {
        Ok(Mended::Footage(segment, _)) => {
            store.insert_segments_blocking(vec![*segment])?;
            report.adopted += 1;
        }
        Ok(Mended::Removed) => {}
        Ok(Mended::Unreadable) => report
            .failed
            .push((name.path(), "nothing in it can be played".to_owned())),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => {
            tree.root().attach()?;
            report.failed.push((name.path(), e.to_string()));
        }
    }
    Ok(())
}

fn newest_day(store: &Store, camera: &CameraId) -> Result<Option<Day>> {
    let mut query = SegmentQuery::new([camera.clone()], TimeRange::ALL);
    query.order = Order::Desc;
    query.limit = 1;
    Ok(store
        .segments(&query)?
        .items
        .first()
        .map(|row| Day::of(row.start)))
}

/// Whether a segment of the index starts on that day.
fn has_rows(store: &Store, camera: &CameraId, day: Day) -> Result<bool> {
    let from = day.start();
    let range = TimeRange::new(from, from.add_ns(86_400 * crate::time::NS_PER_S))?;
    let mut query = SegmentQuery::new([camera.clone()], range);
    query.order = Order::Desc;
    query.limit = 1;
    Ok(store
        .segments(&query)?
        .items
        .first()
        .is_some_and(|row| row.start >= from))
}
