//! A new index from the files alone.

use std::fs;

use super::*;
use crate::error::ErrorKind;
use crate::event::{Cause, CauseKind};
use crate::files::RootOptions;
use crate::ids::CameraId;

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
    let cam = CameraId::new("cam").unwrap();
    let noted = TimeRange::new(Timestamp::from_secs(10), Timestamp::from_secs(90_000)).unwrap();
    let out = Cause::new(CauseKind::Unreachable, "nobody answers");
    house.store.insert_gap_blocking(&cam, noted, &out).unwrap();
    let ended = Cause::new(CauseKind::Shutdown, "the recorder stopped");
    let since = Timestamp::from_secs(200_010);
    house.store.open_gap_blocking(&cam, since, &ended).unwrap();
    let before = facts(&house.store);
    let cameras = house.store.cameras().unwrap();
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
        let holes: Vec<_> = gaps.iter().map(|g| (g.start, g.end, g.cause.kind)).collect();
        let s = Timestamp::from_secs;
        let second = (s(100_016), Some(s(200_000)), CauseKind::Unknown);
        // Each old index is kept, and what it noted where nothing is recorded is taken over.
        if round == 0 {
            assert_eq!(report.backup, Some(dir.path().join("index.db.bak")));
            let first = (s(16), Some(s(90_000)), CauseKind::Unreachable);
            assert_eq!(holes, [first, second, (since, None, CauseKind::Shutdown)]);
        } else {
            assert_eq!(report.backup, Some(dir.path().join("index.db.bak.2")));
            assert_eq!(holes, [(s(16), Some(s(100_000)), CauseKind::Unknown), second]);
        }
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
