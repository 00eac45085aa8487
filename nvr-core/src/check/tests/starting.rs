//! What a start makes of what the last life left.

use std::fs;
use std::path::Path;

use super::*;
use crate::error::ErrorKind;
use crate::event::{Cause, CauseKind};
use crate::files::MARKER;
use crate::segment::SegmentFiles;
use crate::store::{SegmentQuery, SegmentState};

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
