//! What a check finds and mends.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::error::ErrorKind;
use crate::files::RootOptions;
use crate::segment::SegmentFiles;
use crate::store::SegmentState;

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
        "nvr.db.bak.2",
        "nvr.db.before-20260504T030201Z-wal",
        "nvr.accounts.db",
        "nvr.accounts.db-shm",
        "nvr.accounts.db.before-20260504T030201Z",
        "nvr.pushes.json",
        "nvr.db.txt",
        "other.accounts.db",
        "other.db",
    ] {
        fs::write(root.join(name), b"x").unwrap();
    }
    let report = check(&store, house.tree.root(), &CheckOptions::default(), &mut |_| {}).unwrap();
    let foreign: Vec<_> = report.foreign.iter().filter_map(|p| p.to_str()).collect();
    assert_eq!(
        (foreign, report.foreign_count),
        (vec!["nvr.db.txt", "other.accounts.db", "other.db"], 3)
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
fn a_link_or_a_pipe_in_the_place_of_a_file_is_a_missing_file() {
    let house = House::new();
    let (link, pipe) = (
        house.record_indexed("cam", 1, 0, 0),
        house.record_indexed("cam", 1, 1, 4),
    );
    house.record_indexed("cam", 1, 2, 8);
    let aside = house.dir.path().join("aside");
    fs::rename(house.full(&link), &aside).unwrap();
    std::os::unix::fs::symlink(&aside, house.full(&link)).unwrap();
    fs::remove_file(house.full(&pipe)).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        house.full(&pipe),
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .unwrap();
    let report = house.check(false, true);
    let kinds: Vec<_> = report.problems.iter().map(|p| p.kind).collect();
    assert_eq!(kinds, [ProblemKind::MissingFile; 2], "{report:?}");
    assert_eq!(report.foreign_count, 2, "{report:?}");
    for segment in [&link, &pipe] {
        // Neither the one who follows no link nor the one who waits for no writer.
        let e = crate::files::open_below(house.tree.root().path(), &segment.path).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
        assert!(e.to_string().contains("no ordinary file"), "{e}");
    }
    house.check(true, false);
    assert_eq!(house.row(&pipe).unwrap().state, SegmentState::Missing);
    // Nothing was touched, and what comes back is found.
    fs::remove_file(house.full(&link)).unwrap();
    fs::rename(&aside, house.full(&link)).unwrap();
    house.expect(ProblemKind::FoundAgain, true);
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
