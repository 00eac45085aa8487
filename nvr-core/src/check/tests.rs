//! Index and tree that went apart in every way.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::clock::SystemClock;
use crate::error::ErrorKind;
use crate::event::{Cause, CauseKind};
use crate::files::tests::{media, memory_dir, options, record, start};
use crate::files::{Create, MARKER, RootOptions, SyncPolicy, Tree};
use crate::ids::CameraId;
use crate::segment::SegmentFiles;
use crate::store::{OpenMode, SegmentQuery, SegmentState};
use crate::time::Timestamp;

struct House {
    dir: tempfile::TempDir,
    store: Store,
    tree: Tree,
}

fn root_path(dir: &Path) -> PathBuf {
    dir.join("root")
}

fn db_path(dir: &Path) -> PathBuf {
    dir.join("index.db")
}

impl House {
    fn new() -> Self {
        Self::at(memory_dir())
    }

    fn at(dir: tempfile::TempDir) -> Self {
        let store = Store::open(db_path(dir.path()), OpenMode::ReadWrite).unwrap();
        let root = Root::open(
            root_path(dir.path()),
            options(Create::IfEmpty),
            SystemClock::shared(),
        )
        .unwrap();
        let tree = Tree::new(root, SyncPolicy::Close).unwrap();
        Self { dir, store, tree }
    }

    /// What is left when the process dies: files and rows as they are.
    fn die(self) -> tempfile::TempDir {
        let Self { dir, store, tree } = self;
        store.shutdown_blocking().unwrap();
        drop((store, tree));
        dir
    }

    fn record(&self, camera: &str, run: u64, sequence: u32, at_s: i64) -> ClosedSegment {
        let closed = record(
            &self.tree,
            &start(camera, run, sequence, Timestamp::from_secs(at_s)),
            &media().bytes,
        );
        self.tree.indexed(&closed.start.camera, &closed.path);
        closed
    }

    fn record_indexed(&self, camera: &str, run: u64, sequence: u32, at_s: i64) -> ClosedSegment {
        let closed = self.record(camera, run, sequence, at_s);
        self.store.insert_segments_blocking(vec![closed.clone()]).unwrap();
        closed
    }

    fn full(&self, segment: &ClosedSegment) -> PathBuf {
        self.tree.root().path().join(&segment.path)
    }

    fn check(&self, repair: bool, hash: bool) -> CheckReport {
        let options = CheckOptions {
            repair,
            hash,
            ..CheckOptions::default()
        };
        check(&self.store, self.tree.root(), &options, &mut |_| {}).unwrap()
    }

    fn row(&self, segment: &ClosedSegment) -> Option<SegmentRow> {
        self.store.segment_by_path(&segment.path).unwrap()
    }

    /// Finds exactly this, mends it if it can be mended, and then finds nothing more.
    fn expect(&self, kind: ProblemKind, mendable: bool) {
        let report = self.check(false, false);
        let kinds: Vec<_> = report.problems.iter().map(|p| p.kind).collect();
        assert_eq!(kinds, [kind], "{report:?}");
        assert!(!report.is_clean());
        let mended = self.check(true, false);
        assert_eq!(mended.count(kind), 1);
        assert_eq!(mended.is_clean(), mendable, "{mended:?}");
        let after = self.check(false, false);
        assert_eq!(after.problems.len(), usize::from(!mendable), "{after:?}");
    }
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files_below(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// Everything that a rebuild must bring back.
fn facts(store: &Store) -> Vec<(SegmentRow, Option<Vec<u8>>)> {
    store
        .all_paths()
        .map(|row| {
            let mut row = row.unwrap();
            let fragments = store.fragments(row.id).unwrap();
            row.id = crate::ids::SegmentId(0);
            (row, fragments)
        })
        .collect()
}

#[test]
fn a_sound_house_has_no_problems() {
    let house = House::new();
    for i in 0..5 {
        house.record_indexed("cam", 1, i, i64::from(i) * 4);
        house.record_indexed("cam-2", 2, i, i64::from(i) * 4);
    }
    fs::write(house.tree.root().path().join("cam/readme"), b"x").unwrap();
    let mut seen = 0;
    let options = CheckOptions {
        hash: true,
        ..CheckOptions::default()
    };
    let report = check(&house.store, house.tree.root(), &options, &mut |p| seen = p.done).unwrap();
    assert!(report.is_clean() && report.problems.is_empty(), "{report:?}");
    assert_eq!((report.files, report.rows, report.hashed, seen), (10, 10, 10, 10));
    assert_eq!(report.foreign, [PathBuf::from("cam/readme")]);
}

#[test]
fn the_index_in_the_root_is_no_stranger() {
    let house = House::new();
    house.record_indexed("cam", 1, 0, 0);
    let root = house.tree.root().path();
    let store = Store::open(root.join("nvr.db"), OpenMode::ReadWrite).unwrap();
    for name in [
        "nvr.db-journal",
        "nvr.db.bak",
        "nvr.db.bak-wal",
        "nvr.db.txt",
        "other.db",
    ] {
        fs::write(root.join(name), b"x").unwrap();
    }
    let report = check(&store, house.tree.root(), &CheckOptions::default(), &mut |_| {}).unwrap();
    let foreign: Vec<_> = report.foreign.iter().filter_map(|p| p.to_str()).collect();
    assert_eq!(
        (foreign, report.foreign_count),
        (vec!["nvr.db.txt", "other.db"], 2)
    );
}

#[test]
fn a_missing_file_is_marked_and_found_again() {
    let house = House::new();
    let segment = house.record_indexed("cam", 1, 0, 0);
    let aside = house.dir.path().join("aside");
    fs::rename(house.full(&segment), &aside).unwrap();
    house.expect(ProblemKind::MissingFile, true);
    assert_eq!(house.row(&segment).unwrap().state, SegmentState::Missing);
    fs::rename(&aside, house.full(&segment)).unwrap();
    house.expect(ProblemKind::FoundAgain, true);
    assert_eq!(house.row(&segment).unwrap().state, SegmentState::Closed);
}

#[test]
fn an_orphan_is_indexed() {
    let house = House::new();
    house.record_indexed("cam", 1, 0, 0);
    let orphan = house.record("cam", 1, 1, 4);
    house.record_indexed("cam", 1, 2, 8);
    house.expect(ProblemKind::Orphan, true);
    let row = house.row(&orphan).unwrap();
    assert_eq!(
        (row.start, row.duration_ns),
        (orphan.start.start, orphan.duration_ns)
    );
    assert_eq!(house.store.fragments(row.id).unwrap().unwrap(), orphan.fragments);
}

#[test]
fn a_truncated_file_is_cut_and_indexed() {
    let house = House::new();
    let segment = house.record_indexed("cam", 1, 0, 0);
    let file = fs::File::options()
        .write(true)
        .open(house.full(&segment))
        .unwrap();
    file.set_len(segment.size_bytes / 2).unwrap();
    house.expect(ProblemKind::Truncated, true);
    let row = house.row(&segment).unwrap();
    assert_eq!(row.state, SegmentState::Recovered);
    assert!(row.duration_ns > 0 && row.duration_ns < segment.duration_ns);
    assert_eq!(row.size_bytes, fs::metadata(house.full(&segment)).unwrap().len());
}

#[test]
fn a_row_with_a_wrong_size_or_wrong_fragments_is_indexed_anew() {
    let house = House::new();
    let segment = house.record_indexed("cam", 1, 0, 0);
    let id = house.row(&segment).unwrap().id;
    house
        .store
        .set_segment_size_blocking(id, 17, segment.duration_ns)
        .unwrap();
    house.expect(ProblemKind::WrongSize, true);
    assert_eq!(house.row(&segment).unwrap().size_bytes, segment.size_bytes);
    house
        .store
        .set_fragments_blocking(id, b"nonsense".to_vec())
        .unwrap();
    house.expect(ProblemKind::WrongSize, true);
    assert_eq!(house.store.fragments(id).unwrap().unwrap(), segment.fragments);
}

#[test]
fn garbage_is_told_and_never_deleted() {
    let house = House::new();
    let segment = house.record_indexed("cam", 1, 0, 0);
    fs::write(house.full(&segment), b"garbage, but somebody's").unwrap();
    house.expect(ProblemKind::Unreadable, false);
    assert_eq!(
        fs::read(house.full(&segment)).unwrap(),
        b"garbage, but somebody's"
    );
    house
        .store
        .delete_segment_blocking(house.row(&segment).unwrap().id)
        .unwrap();
    house.expect(ProblemKind::Unreadable, false);
    assert!(house.full(&segment).exists());
}

#[test]
fn an_open_row_without_recorder_is_closed() {
    let house = House::new();
    let s = start("cam", 1, 0, Timestamp::from_secs(0));
    let mut file = house.tree.create(&s).unwrap();
    let path = file.path().to_owned();
    house.store.open_segment_blocking(&s, &path).unwrap();
    file.write_at(0, &media().bytes).unwrap();

    // Beside the recorder it is in order.
    let reader = Root::open(
        house.tree.root().path(),
        RootOptions::default(),
        SystemClock::shared(),
    )
    .unwrap();
    let report = check(&house.store, &reader, &CheckOptions::default(), &mut |_| {}).unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    // And within it.
    let growing = house.tree.growing().iter().map(|g| g.path().to_owned()).collect();
    let within = CheckOptions {
        repair: true,
        growing,
        ..CheckOptions::default()
    };
    let report = check(&house.store, house.tree.root(), &within, &mut |_| {}).unwrap();
    assert!(report.problems.is_empty(), "{report:?}");

    drop(file);
    house.expect(ProblemKind::OpenRow, true);
    let row = house.store.segment_by_path(&path).unwrap().unwrap();
    assert_eq!(
        (row.state, row.duration_ns),
        (SegmentState::Recovered, 4_000_000_000)
    );
}

#[test]
fn overlaps_within_a_run_are_told() {
    let house = House::new();
    house.record_indexed("cam", 1, 0, 0);
    house.record_indexed("cam", 2, 0, 2);
    house.record_indexed("cam-2", 1, 0, 2);
    assert!(
        house.check(false, false).problems.is_empty(),
        "other runs and cameras may overlap"
    );
    let bad = house.record_indexed("cam", 1, 1, 3);
    house.expect(ProblemKind::Overlap, false);
    assert_eq!(house.check(false, false).problems[0].path, bad.path);
}

#[test]
fn hashes_find_a_flipped_bit_and_are_filled_in() {
    let house = House::new();
    let good = house.record_indexed("cam", 1, 0, 0);
    let bad = house.record_indexed("cam", 1, 1, 4);
    let mut without = house.record("cam", 1, 2, 8);
    let hash = without.hash.take();
    house
        .store
        .insert_segments_blocking(vec![without.clone()])
        .unwrap();
    let mut bytes = fs::read(house.full(&bad)).unwrap();
    let index = crate::media::FragmentIndex::from_blob(&bad.fragments).unwrap();
    bytes[index.fragments[3].end_offset() as usize - 1] ^= 1;
    fs::write(house.full(&bad), bytes).unwrap();

    assert!(house.check(false, false).problems.is_empty());
    let report = house.check(true, true);
    assert_eq!(report.problems.len(), 1);
    assert_eq!(
        (report.problems[0].kind, &report.problems[0].path),
        (ProblemKind::HashMismatch, &bad.path)
    );
    assert_eq!(house.row(&without).unwrap().hash, hash);
    assert_eq!(house.row(&good).unwrap().hash, good.hash);
    assert_eq!(house.row(&bad).unwrap().hash, bad.hash, "the evidence stays");
}

#[test]
fn a_rebuild_equals_the_old_index() {
    let house = House::new();
    for (camera, run, from) in [("cam", 1, 0), ("cam", 2, 100_000), ("cam-2", 3, 50)] {
        for i in 0..4 {
            house.record_indexed(camera, run, i, from + i64::from(i) * 4);
        }
    }
    let kept = house.record_indexed("cam", 4, 0, 200_000);
    house
        .store
        .set_protected_blocking(house.row(&kept).unwrap().id, true)
        .unwrap();
    reconcile(&house.store, &house.tree).unwrap();
    let before = facts(&house.store);
    let cameras = house.store.cameras().unwrap();
    let cam = CameraId::new("cam").unwrap();
    let runs = house.store.runs(&cam, TimeRange::ALL).unwrap();
    let dir = house.die();

    let root = Root::open(
        root_path(dir.path()),
        options(Create::Never),
        SystemClock::shared(),
    )
    .unwrap();
    let db = db_path(dir.path());
    // Once with the old index to help, once without.
    for round in 0..2 {
        let mut last = 0;
        let report = rebuild(&root, &db, RebuildOptions::default(), &mut |p| last = p.done).unwrap();
        assert_eq!(
            (report.segments, report.cameras, report.runs, last),
            (13, 2, 4, 13)
        );
        assert!(report.problems.is_empty());
        let store = Store::open(&db, OpenMode::ReadWrite).unwrap();
        let mut expected = before.clone();
        if round == 1 {
            for (row, _) in &mut expected {
                (row.hash, row.protected) = (None, false);
            }
        } else {
            assert_eq!(report.backup, Some(dir.path().join("index.db.bak")));
            assert_eq!(store.tree_id().unwrap(), root.id().map(|id| id.to_string()));
        }
        assert!(facts(&store) == expected, "round {round}");
        assert_eq!(store.cameras().unwrap(), cameras);
        let again = store.runs(&cam, TimeRange::ALL).unwrap();
        let anchors =
            |runs: &[crate::store::RunRow]| runs.iter().map(|r| (r.run, r.anchor)).collect::<Vec<_>>();
        assert_eq!(anchors(&again), anchors(&runs));
        assert!(again.iter().all(|r| r.ended.is_some()));
        let gaps = store.gaps(&cam, TimeRange::ALL).unwrap();
        let holes: Vec<_> = gaps
            .iter()
            .map(|g| (g.start.as_ns(), g.end.unwrap().as_ns(), g.cause.kind))
            .collect();
        let s = 1_000_000_000;
        assert_eq!(
            holes,
            [
                (16 * s, 100_000 * s, CauseKind::Unknown),
                (100_016 * s, 200_000 * s, CauseKind::Unknown)
            ]
        );
        let report = check(&store, &root, &CheckOptions::default(), &mut |_| {}).unwrap();
        assert!(report.problems.is_empty(), "{report:?}");
        store.shutdown_blocking().unwrap();
        drop(store);
        fs::write(&db, b"this is no database").unwrap();
    }
}

#[test]
fn a_rebuild_mends_tells_and_deletes_nothing() {
    let house = House::new();
    let cut = house.record("cam", 1, 0, 0);
    let garbage = house.record("cam", 1, 1, 4);
    fs::File::options()
        .write(true)
        .open(house.full(&cut))
        .unwrap()
        .set_len(cut.size_bytes / 2)
        .unwrap();
    fs::write(house.full(&garbage), b"garbage").unwrap();
    let dir = house.die();
    let before = files_below(&root_path(dir.path()));
    let root = Root::open(
        root_path(dir.path()),
        options(Create::Never),
        SystemClock::shared(),
    )
    .unwrap();
    let report = rebuild(
        &root,
        &db_path(dir.path()),
        RebuildOptions::default(),
        &mut |_| {},
    )
    .unwrap();
    assert_eq!((report.segments, report.mended, report.problems.len()), (1, 1, 1));
    assert_eq!(report.problems[0].path, garbage.path);
    assert_eq!(files_below(&root_path(dir.path())), before);

    // Without the lock it is refused, and the index stays.
    drop(root);
    let reader = Root::open(
        root_path(dir.path()),
        RootOptions::default(),
        SystemClock::shared(),
    )
    .unwrap();
    let e = rebuild(
        &reader,
        &db_path(dir.path()),
        RebuildOptions::default(),
        &mut |_| {},
    )
    .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
    assert!(db_path(dir.path()).exists());
}

#[test]
fn a_check_with_the_index_of_another_tree_is_refused() {
    let house = House::new();
    house
        .store
        .set_tree_id_blocking("0123456789abcdef0123456789abcdef")
        .unwrap();
    house.record("cam", 1, 0, 0);
    let e = check(
        &house.store,
        house.tree.root(),
        &CheckOptions::default(),
        &mut |_| {},
    )
    .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
    assert_eq!(
        reconcile(&house.store, &house.tree).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(house.store.count().unwrap(), 0);
}

/// fm13: what a crash left open is cut, kept and indexed at the next start.
#[test]
fn fm13_open_rows_are_reconciled() {
    let house = House::new();
    let s = start("cam", 1, 0, Timestamp::from_secs(0));
    let cause = Cause::new(CauseKind::Startup, "");
    house
        .store
        .begin_run_blocking(s.run, &s.camera, s.anchor, s.anchor.utc, &cause)
        .unwrap();
    let bytes = media().bytes;
    // One cut in a fragment, one without any, one whose file is gone, one finished but not committed.
    let mut paths = Vec::new();
    for (i, len) in [(0, bytes.len() - 10), (1, 300), (2, bytes.len())] {
        let s = start("cam", 1, i, Timestamp::from_secs(i64::from(i) * 4));
        let mut file = house.tree.create(&s).unwrap();
        house.store.open_segment_blocking(&s, file.path()).unwrap();
        file.write_at(0, &bytes[..len]).unwrap();
        paths.push(file.path().to_owned());
    }
    let done = house.record("cam", 1, 3, 12);
    house
        .store
        .open_segment_blocking(&done.start, &done.path)
        .unwrap();
    let dir = house.die();
    fs::remove_file(root_path(dir.path()).join(&paths[2])).unwrap();

    let house = House::at(dir);
    let report = reconcile(&house.store, &house.tree).unwrap();
    let mended: Vec<_> = report
        .mended
        .iter()
        .map(|m| (m.path.as_path(), m.cut_bytes > 0))
        .collect();
    assert_eq!(mended, [(paths[0].as_path(), true), (done.path.as_path(), false)]);
    assert_eq!(report.lost, [paths[2].clone()]);
    assert!(report.failed.is_empty() && report.adopted == 0 && !report.incomplete);
    assert!(house.store.segment_by_path(&paths[1]).unwrap().is_none());
    assert!(!root_path(house.dir.path()).join(&paths[1]).exists());
    let row = house.row(&done).unwrap();
    assert_eq!(
        (row.state, row.duration_ns),
        (SegmentState::Closed, done.duration_ns)
    );
    let runs = house.store.runs(&s.camera, TimeRange::ALL).unwrap();
    let (end, cause) = runs[0].ended.clone().unwrap();
    assert_eq!((end, cause.kind), (report.mended[1].end, CauseKind::Crash));

    assert_eq!(
        reconcile(&house.store, &house.tree).unwrap(),
        ReconcileReport::default()
    );
    assert!(house.check(false, false).problems.is_empty());
}

/// fm15: an index that is older than the footage, or knows nothing of it, deletes nothing.
#[test]
fn fm15_an_older_index_takes_in_what_it_does_not_know() {
    let house = House::new();
    let day = 86_400;
    house.record_indexed("cam", 1, 0, 10 * day);
    // Newer, on the same day and later; a day of which it knows nothing; an unknown camera.
    house.record("cam", 1, 1, 10 * day + 4);
    house.record("cam", 2, 0, 12 * day);
    house.record("cam", 3, 0, 5 * day);
    house.record("other", 4, 0, 5 * day);
    let before = files_below(house.tree.root().path());
    let report = reconcile(&house.store, &house.tree).unwrap();
    assert_eq!((report.adopted, report.incomplete), (4, false));
    assert_eq!(files_below(house.tree.root().path()), before);
    assert!(house.check(false, false).problems.is_empty());
    assert_eq!(reconcile(&house.store, &house.tree).unwrap().adopted, 0);
}

/// fm15: many unknown files do not hold up the start.
#[test]
fn fm15_a_lost_index_does_not_hold_up_the_start() {
    let house = House::new();
    let template = house.record("cam", 1, 0, 0);
    let bytes = fs::read(house.full(&template)).unwrap();
    for i in 1..600 {
        let name = crate::files::SegmentName::of(&start("cam", 1, i, Timestamp::from_secs(i64::from(i) * 4)));
        fs::write(house.tree.root().path().join(name.path()), &bytes).unwrap();
    }
    let before = files_below(house.tree.root().path());
    let report = reconcile(&house.store, &house.tree).unwrap();
    assert!(report.incomplete);
    assert_eq!(report.adopted, 500);
    assert_eq!(files_below(house.tree.root().path()), before);
}

/// fm14: when the disk is not there, no row is marked missing.
#[test]
fn fm14_a_missing_mount_marks_nothing() {
    let house = House::new();
    let segment = house.record_indexed("cam", 1, 0, 0);
    let s = start("cam", 1, 1, Timestamp::from_secs(4));
    house
        .store
        .open_segment_blocking(&s, Path::new("cam/1970-01-01/00-00-04.000Z-00000001.mp4"))
        .unwrap();
    fs::rename(
        house.tree.root().path().join(MARKER),
        house.dir.path().join("marker"),
    )
    .unwrap();
    assert_eq!(
        reconcile(&house.store, &house.tree).unwrap_err().kind(),
        ErrorKind::Storage
    );
    let options = CheckOptions {
        repair: true,
        ..CheckOptions::default()
    };
    let e = check(&house.store, house.tree.root(), &options, &mut |_| {}).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Storage);
    let query = SegmentQuery::new([], TimeRange::ALL);
    let states: Vec<_> = house
        .store
        .all_segments(&query)
        .unwrap()
        .iter()
        .map(|r| r.state)
        .collect();
    assert_eq!(states, [SegmentState::Closed, SegmentState::Open]);
    assert!(house.full(&segment).exists());
}
