//! A new index from the files alone.
//!
//! What comes out equal to the old index: cameras, runs with their anchors, segments with times, sizes,
//! tracks and fragments. What no file knows: names of cameras, why a run began or ended, and events. Nor does a
//! file know whether it is protected from retention, its own hash, whether it was mended after a crash, and why
//! there is nothing between it and the next; these are taken over from the old index, if that can still be read (and
//! for hash and mending the file's size is the same). Holes of which it knows nothing are entered with cause
//! `unknown`.
//!
//! Plain containers tell less of themselves: their sequence number and anchor are not known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::report::{MAX_LISTED, Problem, ProblemKind, Progress, Repair};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::files::{Entry, Inspection, Recovered, Root, SegmentName, Walk, inspect, recover};
use crate::ids::{CameraId, RunId};
use crate::segment::{ClosedSegment, Tier};
use crate::store::{GapRow, MAX_PAGE, OpenMode, SegmentQuery, SegmentState, Store};
use crate::time::{TimeRange, Timestamp};

/// Segments in a transaction.
const BATCH: usize = 256;
/// Holes shorter than this are the rounding of clocks, not gaps.
const MIN_GAP_NS: i64 = 1_000_000_000;

/// How to rebuild.
#[derive(Clone, Copy, Debug)]
pub struct RebuildOptions {
    /// Threads that read files.
    pub threads: usize,
}

impl Default for RebuildOptions {
    fn default() -> Self {
        Self { threads: 2 }
    }
}

/// What a rebuild brought.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct RebuildReport {
    /// Segments in the new index.
    pub segments: u64,
    /// Bytes of their files.
    pub size_bytes: u64,
    /// Cameras.
    pub cameras: u64,
    /// Runs.
    pub runs: u64,
    /// Segments that a crash once cut off, now or as the old index knows.
    pub mended: u64,
    /// Files with a segment's name that could not be indexed (the first 10,000); they are left alone.
    pub problems: Vec<Problem>,
    /// Where the old index is now, if there was one.
    pub backup: Option<PathBuf>,
}

/// Makes a new index of the tree beside `db` and puts it in its place; the old one is kept as `….bak`, or
/// `….bak.2` and so on where there is such a one already.
/// Nobody else may have the index open: the root must have been opened exclusively.
///
/// When it is killed or fails, the old index is still in its place.
///
/// # Errors
/// `Storage` when the root cannot be read or the new index not be written, `Conflict` when the root was not
/// opened exclusively.
pub fn rebuild(
    root: &Root,
    db: &Path,
    options: RebuildOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<RebuildReport> {
    rebuild_both(root, None, db, options, progress)
}

/// As [`rebuild`], also of what lies below a second root. It must be there: its footage would be missing otherwise.
///
/// # Errors
/// As [`rebuild`].
pub fn rebuild_both(
    root: &Root,
    second: Option<&Root>,
    db: &Path,
    options: RebuildOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<RebuildReport> {
    let tree = root.attach()?;
    root.require_exclusive()?;
    // Without it, its footage would be missing from the new index.
    let second_tree = second.map(Root::attach).transpose()?;
    let db = std::path::absolute(db).map_err(|e| Error::io(db.display(), e))?;
    let new_path = with_suffix(&db, ".rebuild");
    remove_database(&new_path)?;
    let old = Old::open(&db, &tree.to_string());
    let result = (|| {
        let store = Store::open(&new_path, OpenMode::ReadWrite)?;
        store.set_tree_id_blocking(&tree.to_string())?;
        let mut report = RebuildReport::default();
        fill(&store, root, Tier::First, options, &old, &mut report, progress)?;
        if let (Some(second), Some(tree)) = (second, second_tree) {
            store.set_meta_blocking(crate::moving::TREE, &tree.to_string())?;
            fill(&store, second, Tier::Second, options, &old, &mut report, progress)?;
        }
        derive_runs_and_gaps(&store, &old, &mut report)?;
        store.shutdown_blocking()?;
        Ok(report)
    })();
    old.close();
    drop(old);
    let mut report = match result {
        Ok(report) => report,
        Err(e) => {
            let _ = remove_database(&new_path);
            return Err(e);
        }
    };
    report.backup = swap(&new_path, &db)?;
    Ok(report)
}

/// What the old index knows and the files do not, if it can be read and belongs to this tree.
struct Old(Option<Store>);

impl Old {
    fn open(db: &Path, tree: &str) -> Self {
        if !db.exists() {
            return Self(None);
        }
        // For writing, so that an older version is upgraded and its log folded in; a broken one gives nothing.
        let store = Store::open(db, OpenMode::ReadWrite).ok();
        Self(store.filter(|s| s.tree_id().is_ok_and(|id| id.as_deref() == Some(tree))))
    }

    /// Adds what it knows of a segment, and says whether that is protected.
    fn complete(&self, segment: &mut ClosedSegment) -> bool {
        let row = self
            .0
            .as_ref()
            .and_then(|s| s.segment_by_path(&segment.path).ok()?);
        let Some(row) = row else { return false };
        if row.size_bytes == segment.size_bytes {
            segment.hash = row.hash;
            segment.recovered |= row.state == SegmentState::Recovered;
        }
        row.protected
    }

    /// All gaps of a camera that it knows, by time.
    fn gaps(&self, camera: &CameraId) -> Vec<GapRow> {
        let noted = self.0.as_ref().and_then(|s| s.gaps(camera, TimeRange::ALL).ok());
        noted.unwrap_or_default()
    }

    /// Cameras that it knows.
    fn cameras(&self) -> Vec<CameraId> {
        let known = self.0.as_ref().and_then(|s| s.cameras().ok());
        known.unwrap_or_default().into_iter().map(|c| c.id).collect()
    }

    fn close(&self) {
        if let Some(Err(e)) = self.0.as_ref().map(Store::shutdown_blocking) {
            tracing::debug!(error = %e, "the old index was not closed cleanly");
        }
    }
}

fn fill(
    store: &Store,
    root: &Root,
    tier: Tier,
    options: RebuildOptions,
    old: &Old,
    report: &mut RebuildReport,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let walk = Walk::new(root)?;
    let (names, todo) = sync_channel::<SegmentName>(BATCH);
    let (results, done) = sync_channel::<Outcome>(BATCH);
    std::thread::scope(|scope| {
        // Goes with the last reader, so that the walker never waits for nobody.
        let todo = Arc::new(Mutex::new(todo));
        let walker = scope.spawn(move || -> Result<()> {
            for entry in walk {
                if let Entry::Segment { name, .. } = entry?
                    && names.send(name).is_err()
                {
                    break;
                }
            }
            Ok(())
        });
        for _ in 0..options.threads.clamp(1, 64) {
            let (todo, results) = (Arc::clone(&todo), results.clone());
            scope.spawn(move || work(root, &todo, &results));
        }
        drop((todo, results));
        let stored = store_all(store, tier, &done, old, report, progress);
        // When storing failed, let the others run dry.
        drop(done);
        let walked = walker.join().unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Internal,
                "the walk through the tree panicked",
            ))
        });
        stored.and(walked)
    })
}

enum Outcome {
    Segment(Box<ClosedSegment>),
    Problem(Problem),
}

fn work(root: &Root, todo: &Mutex<Receiver<SegmentName>>, results: &SyncSender<Outcome>) {
    loop {
        let next = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(name) = next else { return };
        let outcome = match read_one(root, &name) {
            Ok(outcome) => outcome,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => Outcome::Problem(problem(&name, e.to_string())),
        };
        if results.send(outcome).is_err() {
            return;
        }
    }
}

fn read_one(root: &Root, name: &SegmentName) -> Result<Outcome> {
    let path = name.path();
    if let Inspection::Closed(segment) = inspect(root, &path)? {
        return Ok(Outcome::Segment(segment));
    }
    Ok(match recover(root, &path, None)? {
        Recovered::Closed { segment, .. } => Outcome::Segment(segment),
        Recovered::Empty { size_bytes, .. } => Outcome::Problem(problem(
            name,
            format!("nothing in its {size_bytes} bytes can be played"),
        )),
    })
}

fn problem(name: &SegmentName, detail: String) -> Problem {
    Problem {
        kind: ProblemKind::Unreadable,
        camera: Some(name.camera.clone()),
        path: name.path(),
        detail,
        repair: Repair::Impossible,
    }
}

fn store_all(
    store: &Store,
    tier: Tier,
    done: &Receiver<Outcome>,
    old: &Old,
    report: &mut RebuildReport,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut protected = Vec::with_capacity(BATCH);
    for outcome in done {
        match outcome {
            Outcome::Problem(p) if report.problems.len() < MAX_LISTED => report.problems.push(p),
            Outcome::Problem(_) => {}
            // Of a move that was cut off: the first root's file is the original.
            Outcome::Segment(segment)
                if tier == Tier::Second && store.segment_by_path(&segment.path)?.is_some() => {}
            Outcome::Segment(mut segment) => {
                protected.push(old.complete(&mut segment));
                report.segments += 1;
                report.size_bytes += segment.size_bytes;
                report.mended += u64::from(segment.recovered);
                batch.push(*segment);
            }
        }
        if batch.len() == BATCH {
            write(store, tier, &mut batch, &mut protected)?;
            progress(Progress {
                done: report.segments,
                total: None,
            });
        }
    }
    write(store, tier, &mut batch, &mut protected)?;
    progress(Progress {
        done: report.segments,
        total: Some(report.segments),
    });
    Ok(())
}

fn write(store: &Store, tier: Tier, batch: &mut Vec<ClosedSegment>, protected: &mut Vec<bool>) -> Result<()> {
    let ids = store.insert_segments_blocking(std::mem::take(batch))?;
    if tier == Tier::Second {
        store.set_segment_tier_blocking(ids.clone(), tier)?;
    }
    for (id, _) in ids.into_iter().zip(protected.drain(..)).filter(|(_, p)| *p) {
        store.set_protected_blocking(id, true)?;
    }
    Ok(())
}

/// Ends every run where its last segment ends, and enters the holes between segments as gaps.
fn derive_runs_and_gaps(store: &Store, old: &Old, report: &mut RebuildReport) -> Result<()> {
    let cameras = store.cameras()?;
    for camera in old.cameras() {
        // Nothing was ever recorded of it, which has its causes, too.
        if !cameras.iter().any(|c| c.id == camera) {
            enter_gaps(store, &old.gaps(&camera), &camera, TimeRange::ALL)?;
        }
    }
    for camera in cameras {
        report.cameras += 1;
        let noted = old.gaps(&camera.id);
        let mut query = SegmentQuery::new([camera.id.clone()], TimeRange::ALL);
        query.limit = MAX_PAGE;
        let mut ends: BTreeMap<RunId, Timestamp> = BTreeMap::new();
        let mut covered: Option<Timestamp> = None;
        loop {
            let page = store.segments(&query)?;
            for row in page.items {
                let end = row.end();
                let of_run = ends.entry(row.run).or_insert(end);
                *of_run = end.max(*of_run);
                let before = covered.unwrap_or(Timestamp::MIN);
                if before < row.start {
                    enter_gaps(store, &noted, &camera.id, TimeRange::new(before, row.start)?)?;
                }
                covered = Some(covered.map_or(end, |c| c.max(end)));
            }
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
        }
        if let Some(last) = covered {
            enter_gaps(store, &noted, &camera.id, TimeRange::new(last, Timestamp::MAX)?)?;
        }
        report.runs += ends.len() as u64;
        let cause = Cause::new(CauseKind::Unknown, "index rebuilt from the files");
        for (run, end) in ends {
            store.end_run_blocking(run, &camera.id, end, &cause)?;
        }
    }
    Ok(())
}

/// Enters why nothing is recorded in a hole: what the old index noted (by time), cut to the hole.
fn enter_gaps(store: &Store, noted: &[GapRow], camera: &CameraId, hole: TimeRange) -> Result<()> {
    let end_of = |gap: &GapRow| gap.end.unwrap_or(Timestamp::MAX);
    let first = noted.partition_point(|gap| end_of(gap) <= hole.start());
    let inside = noted.get(first..).unwrap_or_default();
    let mut is_noted = false;
    for gap in inside.iter().take_while(|gap| gap.start < hole.end()) {
        is_noted = true;
        let (start, end) = (gap.start.max(hole.start()), end_of(gap).min(hole.end()));
        if end == Timestamp::MAX {
            store.open_gap_blocking(camera, start, &gap.cause)?;
        } else if start < end {
            store.insert_gap_blocking(camera, TimeRange::new(start, end)?, &gap.cause)?;
        }
    }
    // Before the first segment and behind the last one nothing is known to be missing.
    let is_between = hole.start() != Timestamp::MIN && hole.end() != Timestamp::MAX;
    if !is_noted && is_between && hole.len_ns() >= MIN_GAP_NS {
        let cause = Cause::new(CauseKind::Unknown, "index rebuilt from the files");
        store.insert_gap_blocking(camera, hole, &cause)?;
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove_database(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let file = with_suffix(path, suffix);
        match std::fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format!("remove {}", file.display()), e));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A name for the old index that is free: an earlier backup may hold what the files do not.
fn free_backup(db: &Path) -> PathBuf {
    let numbered = (2_u32..).map(|n| with_suffix(db, &format!(".bak.{n}")));
    std::iter::once(with_suffix(db, ".bak"))
        .chain(numbered)
        .find(|bak| !bak.exists())
        .unwrap_or_else(|| with_suffix(db, ".bak"))
}

/// Puts the new index in the place of the old one. The old one's write-ahead log must not stay: it would be
/// taken for the new one's.
fn swap(new: &Path, db: &Path) -> Result<Option<PathBuf>> {
    let failed = |path: &Path, e| Error::io(format!("replace {}", path.display()), e);
    let mut backup = None;
    if db.exists() {
        let bak = free_backup(db);
        // A second name for the old one: at no moment is there no index.
        std::fs::hard_link(db, &bak)
            .or_else(|_| std::fs::copy(db, &bak).map(drop))
            .map_err(|e| failed(db, e))?;
        let wal = with_suffix(db, "-wal");
        if wal.exists() {
            std::fs::rename(&wal, with_suffix(&bak, "-wal")).map_err(|e| failed(&wal, e))?;
        }
        let shm = with_suffix(db, "-shm");
        if shm.exists() {
            std::fs::remove_file(&shm).map_err(|e| failed(&shm, e))?;
        }
        backup = Some(bak);
    }
    std::fs::rename(new, db).map_err(|e| failed(db, e))?;
    if let Some(folder) = db.parent() {
        std::fs::File::open(folder)
            .and_then(|f| f.sync_all())
            .map_err(|e| failed(db, e))?;
    }
    Ok(backup)
}
