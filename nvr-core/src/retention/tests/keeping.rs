//! The keeper against a real index and real files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::clock::SystemClock;
use crate::error::ErrorKind;
use crate::event::{CauseKind, DeletionReason};
use crate::files::{self, Create, MARKER, Root, RootOptions, SegmentName, SyncPolicy, Tree};
use crate::ids::RunId;
use crate::run::Anchor;
use crate::segment::{ClosedSegment, Container, SegmentStart, Tier};
use crate::store::{OpenMode, SegmentQuery, SegmentRow, SegmentState, Store};
use crate::time::{NS_PER_S, TimeRange};
use crate::track::{Tracks, VideoCodec, VideoTrack};

struct House {
    dir: tempfile::TempDir,
    store: Store,
    tree: Tree,
    keeper: Keeper,
}

fn start(camera: usize, second: i64) -> SegmentStart {
    SegmentStart {
        camera: cam(camera),
        run: RunId::from_u64(1),
        sequence: u32::try_from(second).unwrap(),
        anchor: Anchor {
            utc: at(second),
            steady_ns: 0,
            running_ns: 0,
        },
        start: at(second),
        camera_start: None,
        container: Container::Fmp4,
        tracks: Tracks {
            video: VideoTrack {
                codec: VideoCodec::H264,
                width: 640,
                height: 360,
                frame_rate: None,
            },
            audio: None,
        },
        masks: None,
        from_card: false,
    }
}

/// Ten seconds from `second` on, of so many bytes.
fn segment(camera: usize, second: i64, size_bytes: u64) -> ClosedSegment {
    let start = start(camera, second);
    ClosedSegment {
        path: SegmentName::of(&start).path(),
        start,
        duration_ns: 10 * NS_PER_S,
        size_bytes,
        fragments: vec![1],
        hash: None,
        recovered: false,
    }
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = RootOptions {
            create: Create::IfEmpty,
            expected: None,
            exclusive: true,
        };
        let root = Root::open(dir.path().join("root"), options, SystemClock::shared()).unwrap();
        let tree = Tree::new(root, SyncPolicy::Close).unwrap();
        let store = Store::open(dir.path().join("index.db"), OpenMode::ReadWrite).unwrap();
        let id = tree.root().attach().unwrap().to_string();
        store.set_tree_id_blocking(&id).unwrap();
        let keeper = Keeper::new(store.clone(), tree.clone());
        Self {
            dir,
            store,
            tree,
            keeper,
        }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn file(&self, path: &Path, bytes: u64) {
        let full = self.root().join(path);
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(full, vec![0; usize::try_from(bytes).unwrap()]).unwrap();
    }

    /// A segment with its file.
    fn add(&self, camera: usize, second: i64, bytes: u64) -> SegmentRow {
        let segment = segment(camera, second, bytes);
        self.file(&segment.path, bytes);
        let path = segment.path.clone();
        self.store.insert_segments_blocking(vec![segment]).unwrap();
        self.store.segment_by_path(&path).unwrap().unwrap()
    }

    fn rows(&self) -> Vec<SegmentRow> {
        self.store
            .all_segments(&SegmentQuery::new([], TimeRange::ALL))
            .unwrap()
    }

    fn starts(&self) -> Vec<i64> {
        self.rows().iter().map(|r| r.start.as_ns() / NS_PER_S).collect()
    }

    fn exists(&self, row: &SegmentRow) -> bool {
        self.root().join(&row.path).exists()
    }

    /// Each row has its file and each file of a segment its row.
    fn agree(&self) {
        let report = crate::files::Walk::new(self.tree.root()).unwrap();
        let mut files: Vec<PathBuf> = report
            .filter_map(|e| match e.unwrap() {
                files::Entry::Segment { name, .. } => Some(name.path()),
                files::Entry::Foreign(_) => None,
            })
            .collect();
        let mut rows: Vec<PathBuf> = self.rows().into_iter().map(|r| r.path).collect();
        files.sort();
        rows.sort();
        assert_eq!(files, rows);
        assert_eq!(self.store.condemned().unwrap(), []);
        assert_eq!(self.store.integrity_check().unwrap(), [""; 0]);
    }
}

fn max_age(seconds: u64) -> Policy {
    let mut config = config(0);
    config.retention.max_age = age(seconds);
    Policy::of(&config)
}

#[test]
fn files_go_with_their_rows_and_protected_ones_stay() {
    let house = House::new();
    let rows: Vec<_> = (0..6).map(|n| house.add(0, n * 10, 100)).collect();
    house.store.set_protected_blocking(rows[1].id, true).unwrap();
    let policy = max_age(60);
    let expected = house.keeper.preview(&policy, at(105)).unwrap();
    assert_eq!(
        house.starts(),
        [0, 10, 20, 30, 40, 50],
        "a preview deletes nothing"
    );
    let pass = house.keeper.pass(&policy, Some(at(105))).unwrap();
    assert_eq!(pass, expected);
    assert_eq!((pass.segments(), pass.size_bytes(), pass.more), (3, 300, false));
    assert_eq!(pass.deleted[0].reason, DeletionReason::Age);
    assert_eq!((pass.deleted[0].from, pass.deleted[0].until), (at(0), at(40)));
    assert_eq!(house.starts(), [10, 40, 50]);
    house.agree();
    // The hole behind what stays says why it is there; before the oldest there is none.
    let gaps = house.store.gaps(&cam(0), TimeRange::ALL).unwrap();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!((gaps[0].start, gaps[0].end), (at(20), Some(at(40))));
    assert_eq!(gaps[0].cause.kind, CauseKind::Deleted);
    // Nobody asks about them when that is gone as well.
    house.store.set_protected_blocking(rows[1].id, false).unwrap();
    house.keeper.pass(&policy, Some(at(105))).unwrap();
    assert_eq!(house.store.gaps(&cam(0), TimeRange::ALL).unwrap(), []);
    assert_eq!(house.keeper.pass(&policy, Some(at(105))).unwrap().segments(), 0);
    // Without a clock that can be trusted nothing is old.
    assert_eq!(house.keeper.pass(&policy, None).unwrap().segments(), 0);
}

/// The index of another time or place: what it does not know stays.
#[test]
fn fm15_files_that_the_index_does_not_know_are_never_deleted() {
    let house = House::new();
    house.add(0, 0, 100);
    let unknown = [
        segment(0, 500, 1).path,
        segment(3, 0, 1).path,
        PathBuf::from("cam0/notes.txt"),
        PathBuf::from("holiday.mp4"),
    ];
    for path in &unknown {
        house.file(path, 100);
    }
    let mut config = config(0);
    config.retention.max_bytes = Some(1);
    config.retention.max_age = age(60);
    let pass = house.keeper.clean(&Policy::of(&config), at(1_000_000)).unwrap();
    assert_eq!(pass.segments(), 1);
    assert_eq!(house.rows(), []);
    for path in &unknown {
        assert!(house.root().join(path).exists(), "{} is gone", path.display());
    }
}

/// The mount is gone: neither a file nor a row goes.
#[test]
fn fm14_without_its_disk_nothing_is_deleted_from_the_index() {
    let house = House::new();
    house.add(0, 0, 100);
    std::fs::rename(house.root().join(MARKER), house.dir.path().join("kept")).unwrap();
    let e = house.keeper.pass(&max_age(60), Some(at(10_000))).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Storage);
    let row = house.rows().pop().unwrap();
    assert_eq!(
        house.keeper.delete(row.id).unwrap_err().kind(),
        ErrorKind::Storage
    );
    assert!(house.exists(&row));
    assert_eq!(house.store.condemned().unwrap(), []);
}

/// A crash at each instant of a deletion: the next start finishes it, and nobody takes it for a loss.
#[test]
fn a_deletion_that_is_cut_off_is_finished() {
    for step in ["noted", "file gone", "row gone"] {
        let house = House::new();
        let (old, kept) = (house.add(0, 0, 100), house.add(0, 10, 100));
        let taken = house
            .store
            .condemn_blocking(vec![(old.id, DeletionReason::Age)], Tier::First)
            .unwrap();
        assert_eq!(taken, [old.id]);
        // From here on nobody can protect it any more.
        let e = house.store.set_protected_blocking(old.id, true).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
        assert_eq!(
            house
                .store
                .protect_range_blocking(&cam(0), TimeRange::ALL, true)
                .unwrap(),
            1
        );
        if step != "noted" {
            files::delete(house.tree.root(), &old.path).unwrap();
        }
        if step == "row gone" {
            house.store.segments_deleted_blocking(vec![old.id]).unwrap();
        }
        if step == "file gone" {
            let report = crate::check::check(
                &house.store,
                house.tree.root(),
                &crate::check::CheckOptions::default(),
                &mut |_| {},
            );
            let missing = |p: &&crate::check::Problem| p.path == old.path;
            assert_eq!(report.unwrap().problems.iter().filter(missing).count(), 0);
        }
        finish_cut_off(&house.store, &house.tree, Tier::First).unwrap();
        assert_eq!(house.starts(), [10], "{step}");
        assert!(house.exists(&kept) && !house.exists(&old), "{step}");
        house.agree();
    }
}

#[test]
fn one_segment_is_deleted_on_request() {
    let house = House::new();
    let (a, b) = (house.add(0, 0, 100), house.add(0, 10, 100));
    house.store.set_protected_blocking(b.id, true).unwrap();
    assert_eq!(house.keeper.delete(b.id).unwrap_err().kind(), ErrorKind::Conflict);
    let growing = start(0, 20);
    let path = SegmentName::of(&growing).path();
    let open = house.store.open_segment_blocking(&growing, &path).unwrap();
    assert_eq!(house.keeper.delete(open).unwrap_err().kind(), ErrorKind::Conflict);
    let deleted = house.keeper.delete(a.id).unwrap();
    assert_eq!((deleted.segments, deleted.size_bytes), (1, 100));
    assert_eq!(deleted.reason, DeletionReason::Requested);
    assert!(!house.exists(&a) && house.exists(&b));
    assert_eq!(house.keeper.delete(a.id).unwrap_err().kind(), ErrorKind::NotFound);
}

/// A file that cannot be deleted keeps its row, and the others go.
#[test]
fn what_cannot_be_deleted_stays_in_the_index() {
    let house = House::new();
    let stuck = segment(0, 0, 100);
    // A folder in the place of the file.
    std::fs::create_dir_all(house.root().join(&stuck.path).join("x")).unwrap();
    house.store.insert_segments_blocking(vec![stuck]).unwrap();
    house.add(0, 10, 100);
    let pass = house.keeper.pass(&max_age(60), Some(at(1000))).unwrap();
    assert_eq!((pass.segments(), pass.failed.len()), (1, 1), "{pass:?}");
    assert_eq!(house.starts(), [0]);
    assert_eq!(house.store.condemned().unwrap(), []);
}

/// Removed and renamed cameras are covered by what holds for all.
#[test]
fn fm20_removed_and_renamed_cameras_are_covered() {
    let house = House::new();
    for camera in 0..3 {
        house.add(camera, 0, 100);
    }
    house.store.mark_camera_removed_blocking(&cam(1), at(5)).unwrap();
    // Only cam0 is configured: cam1 was removed, cam2 became cam0.
    let mut config = config(1);
    config.retention.max_age = age(60);
    config.cameras[0].retention.max_age = Some(Age::Forever);
    house.keeper.clean(&Policy::of(&config), at(1000)).unwrap();
    assert_eq!(
        house.rows().iter().map(|r| r.camera.clone()).collect::<Vec<_>>(),
        [cam(0)]
    );
}

/// 25 cameras record while everything that is old expires at once: nobody is told that the index is locked.
#[test]
fn fm18_a_mass_expiry_beside_25_cameras() {
    let house = House::new();
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(mass_expiry(house));
}

async fn mass_expiry(house: House) {
    const OLD: i64 = 100;
    for camera in 0..25 {
        let old: Vec<_> = (0..OLD).map(|n| segment(camera, n * 10, 10)).collect();
        for s in &old {
            house.file(&s.path, 10);
        }
        house.store.insert_segments(old).await.unwrap();
    }
    let store = house.store.clone();
    let writers: Vec<_> = (0..25)
        .map(|camera| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    let segment = segment(camera, 100_000 + n * 10, 10);
                    store.open_segment(&segment.start, &segment.path).await?;
                    store.close_segment(&segment.path, &segment).await?;
                }
                Ok::<(), crate::Error>(())
            })
        })
        .collect();
    // Somebody else's program reads all along, and another one writes: `nvr protect` beside a recorder.
    let other = Store::open(house.store.path(), OpenMode::ReadWrite).unwrap();
    let protects = tokio::spawn(async move {
        for n in 0..50 {
            let range = TimeRange::new(at(100_000), at(100_001)).unwrap();
            other.protect_range(&cam(n % 25), range, true).await?;
            let all = SegmentQuery::new([], TimeRange::ALL);
            let reader = other.clone();
            crate::nvr::blocking(move || reader.segments(&all).map(drop)).await?;
        }
        Ok::<(), crate::Error>(())
    });
    let keeper = Arc::new(house.keeper);
    let policy = max_age(1000);
    let pass = crate::nvr::blocking(move || keeper.clean(&policy, at(50_000)))
        .await
        .unwrap();
    assert_eq!(pass.segments(), 25 * OLD as u64);
    assert_eq!(pass.failed, [""; 0]);
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    protects.await.unwrap().unwrap();
    let left = house
        .store
        .all_segments(&SegmentQuery::new([], TimeRange::ALL))
        .unwrap();
    assert_eq!(left.len(), 25 * 20);
    assert!(left.iter().all(|r| r.start >= at(100_000)));
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Closed,
    Protected,
    Growing,
    Missing,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the limits: what is protected, grows, is missing or unknown stays; rows and files agree; a second pass
    /// finds nothing to do.
    #[test]
    fn only_what_may_go_goes(
        rows in prop::collection::vec(
            (0usize..3, 0i64..100, 1u64..50, prop_oneof![
                4 => Just(Kind::Closed), 1 => Just(Kind::Protected), 1 => Just(Kind::Growing), 1 => Just(Kind::Missing)
            ]),
            0..25,
        ),
        keep in prop::option::of(60u64..2000),
        most in prop::option::of(1u64..400),
        own in prop::option::of(1u64..200),
        // None, little, or more than there is.
        free in prop_oneof![Just(0), Just(u64::MAX)],
    ) {
        let house = House::new();
        let mut stays = Vec::new();
        for (camera, slot, bytes, kind) in rows {
            let s = segment(camera, slot * 10, bytes);
            if house.store.segment_by_path(&s.path).unwrap().is_some() {
                continue;
            }
            if kind == Kind::Growing {
                house.file(&s.path, bytes);
                house.store.open_segment_blocking(&s.start, &s.path).unwrap();
                stays.push(s.path);
                continue;
            }
            let row = house.add(camera, slot * 10, bytes);
            match kind {
                Kind::Protected => house.store.set_protected_blocking(row.id, true).unwrap(),
                Kind::Missing => {
                    std::fs::remove_file(house.root().join(&row.path)).unwrap();
                    house.store.set_segment_state_blocking(row.id, SegmentState::Missing).unwrap();
                }
                Kind::Closed | Kind::Growing => {}
            }
            if kind != Kind::Closed {
                stays.push(row.path);
            }
        }
        house.file(Path::new("cam0/1970-01-01/00-00-00.500Z-0000000009.mp4"), 9);
        let mut config = config(2);
        config.retention.max_age = keep.map_or(Age::Forever, age);
        config.retention.max_bytes = most;
        config.retention.min_free = Room::Bytes(free);
        config.cameras[1].retention.max_bytes = own;
        let policy = Policy::of(&config);
        house.keeper.clean(&policy, at(1500)).unwrap();
        let left: Vec<PathBuf> = house.rows().into_iter().map(|r| r.path).collect();
        for path in &stays {
            prop_assert!(left.contains(path), "{} went", path.display());
        }
        prop_assert!(house.root().join("cam0/1970-01-01/00-00-00.500Z-0000000009.mp4").exists());
        for row in house.rows() {
            prop_assert_eq!(house.exists(&row), row.state != SegmentState::Missing);
        }
        if free == u64::MAX {
            prop_assert_eq!(left.len(), stays.len(), "all that may go is gone");
        }
        prop_assert_eq!(house.keeper.clean(&policy, at(1500)).unwrap().segments(), 0);
        prop_assert_eq!(house.store.integrity_check().unwrap(), Vec::<String>::new());
    }
}

/// The partial index answers which are the oldest, so that a pass costs little whatever lies protected before them.
#[test]
fn stocks_are_cut_off_and_say_so() {
    let house = House::new();
    let rows: Vec<_> = (0..10).map(|n| house.add(0, n * 10, 1)).collect();
    house.store.mark_transcoded_blocking(rows[9].id, true).unwrap();
    let range = TimeRange::new(at(71), at(75)).unwrap();
    assert_eq!(house.store.mark_event_blocking(&cam(0), range, true).unwrap(), 1);
    let stock = house.store.stocks(3).unwrap().pop().unwrap();
    assert_eq!(stock.size_bytes, 10);
    let lists: Vec<_> = stock
        .lists
        .iter()
        .map(|l| (l.marks, l.rows.len(), l.more))
        .collect();
    assert_eq!(
        lists
            .iter()
            .map(|(m, n, more)| (m.is_event(), m.is_transcoded(), *n, *more))
            .collect::<Vec<_>>(),
        [
            (false, false, 3, true),
            (false, true, 1, false),
            (true, false, 1, false),
            (true, true, 0, false)
        ]
    );
    assert_eq!(house.store.mark_event_blocking(&cam(0), range, false).unwrap(), 1);
    house.store.mark_transcoded_blocking(rows[9].id, false).unwrap();
    assert!(
        house.store.stocks(99).unwrap()[0].lists[1..]
            .iter()
            .all(|l| l.rows.is_empty())
    );
}
