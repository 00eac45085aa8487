//! Every way to be interrupted, and who may move.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::exchange::{Step, exchange, is_on_disk, settle};
use super::kind::Moving;
use super::policy::{Rules, choose};
use crate::clock::SystemClock;
use crate::error::ErrorKind;
use crate::event::DeletionReason;
use crate::files::replace;
use crate::files::tests::{media, start, t};
use crate::files::{Create, Inspection, Root, RootOptions, SyncPolicy, Tree, hash_file, inspect};
use crate::segment::{SegmentFiles, Tier};
use crate::store::{OpenMode, SegmentRow, Store};

struct House {
    store: Store,
    tree: Tree,
}

fn root(path: &Path) -> Root {
    let options = RootOptions {
        create: Create::IfEmpty,
        expected: None,
        exclusive: true,
    };
    Root::open(path, options, SystemClock::shared()).unwrap()
}

impl House {
    fn open(dir: &Path) -> Self {
        let second = Some(root(&dir.join("second")));
        let tree = Tree::with_second(root(&dir.join("first")), second, SyncPolicy::Close).unwrap();
        tree.look_at_second().unwrap();
        let store = Store::open(dir.join("index.db"), OpenMode::ReadWrite).unwrap();
        Self { store, tree }
    }

    fn record(&self, second: u32) -> SegmentRow {
        let time = t("2026-05-04T03:02:01.5Z").add_ns(i64::from(second) * 1_000_000_000);
        let mut file = self.tree.create(&start("yard", 7, second, time)).unwrap();
        file.write_at(0, &media().bytes).unwrap();
        let closed = file.finish().unwrap();
        self.tree.indexed(&closed.start.camera, &closed.path);
        let id = self.store.close_segment_blocking(&closed.path, &closed).unwrap();
        self.row(&self.store.segment(id).unwrap().unwrap())
    }

    fn row(&self, row: &SegmentRow) -> SegmentRow {
        self.store.segment(row.id).unwrap().unwrap()
    }

    fn second(&self) -> &Root {
        self.tree.second().unwrap()
    }

    fn move_it(&self, row: &SegmentRow, at: &mut dyn FnMut(Step)) -> bool {
        self.try_it(row, at).unwrap()
    }

    fn try_it(&self, row: &SegmentRow, at: &mut dyn FnMut(Step)) -> crate::error::Result<bool> {
        let mut draft = replace::draft(self.second(), &row.path).unwrap();
        let mut from = self.tree.open_file(Tier::First, &row.path).unwrap();
        std::io::copy(&mut from, &mut draft.file).unwrap();
        let hash = hash_file(self.tree.root(), &row.path).unwrap();
        assert!(is_on_disk(&mut draft.file, row.size_bytes, &hash).unwrap());
        assert!(!is_on_disk(&mut draft.file, row.size_bytes, &[0; 32]).unwrap());
        assert!(!is_on_disk(&mut draft.file, row.size_bytes + 1, &hash).unwrap());
        exchange(&self.store, &self.tree, row, draft, hash, at)
    }

    /// Exactly one file, where the row says, as it was recorded; and nothing is left of a move.
    fn assert_one_good_version(&self, before: &SegmentRow) -> Tier {
        let now = self.row(before);
        let root = self.tree.root_of(now.tier).unwrap();
        assert!(matches!(inspect(root, &now.path), Ok(Inspection::Closed(_))));
        assert_eq!(hash_file(root, &now.path).unwrap(), before.hash.unwrap());
        let other = match now.tier {
            Tier::First => self.second(),
            Tier::Second => self.tree.root(),
        };
        assert!(!other.path().join(&now.path).exists(), "{:?}", now.tier);
        assert!(self.store.moves().unwrap().is_empty());
        assert!(replace::leftovers(self.second()).unwrap().is_empty());
        assert_eq!(self.store.integrity_check().unwrap(), [""; 0]);
        let expected = SegmentRow {
            tier: now.tier,
            ..before.clone()
        };
        assert_eq!(now, expected);
        now.tier
    }

    fn settle(&self) {
        crate::transcode::settle(
            &self.store,
            &self.tree,
            &SystemClock::shared(),
            Duration::ZERO,
            true,
        )
        .unwrap();
        settle(&self.store, &self.tree).unwrap();
    }
}

#[test]
fn a_segment_moves_and_readers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path());
    let (row, other) = (house.record(0), house.record(60));
    let mut reader = house.tree.open_file(Tier::First, &row.path).unwrap();
    let mut steps = Vec::new();
    assert!(house.move_it(&row, &mut |step| steps.push(step)));
    assert_eq!(steps.len(), 7);
    assert_eq!(house.assert_one_good_version(&row), Tier::Second);
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut read).unwrap();
    assert_eq!(blake3::hash(&read).as_bytes(), &row.hash.unwrap());
    let totals = house.store.tier_totals().unwrap();
    assert_eq!((totals[0].segments, totals[0].size_bytes), (1, row.size_bytes));
    let movable = house.store.movable(10).unwrap();
    assert_eq!(movable.iter().map(|r| r.id).collect::<Vec<_>>(), [other.id]);
}

#[test]
fn what_is_being_deleted_does_not_move_and_what_moves_is_not_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path());
    let row = house.record(0);
    let condemn = || {
        house
            .store
            .condemn_blocking(vec![(row.id, DeletionReason::Age)], Tier::First)
            .unwrap()
    };
    let moved = house.move_it(&row, &mut |step| {
        if step == Step::Placed {
            assert!(condemn().is_empty());
        }
    });
    assert!(moved);

    let row = house.record(60);
    house
        .store
        .condemn_blocking(vec![(row.id, DeletionReason::Age)], Tier::First)
        .unwrap();
    assert!(!house.move_it(&row, &mut |_| {}));
    assert!(!house.second().path().join(&row.path).exists());
    assert!(replace::leftovers(house.second()).unwrap().is_empty());
}

/// Encoded again in the middle: the copy is of the past and goes.
#[test]
fn another_version_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path());
    let row = house.record(0);
    let moved = house.move_it(&row, &mut |step| {
        if step == Step::Placed {
            house
                .store
                .set_segment_size_blocking(row.id, row.size_bytes + 1, row.duration_ns)
                .unwrap();
        }
    });
    assert!(!moved);
    house
        .store
        .set_segment_size_blocking(row.id, row.size_bytes, row.duration_ns)
        .unwrap();
    assert_eq!(house.assert_one_good_version(&row), Tier::First);
}

/// Not a test by itself: the process that [`killed_at_every_step`] kills.
#[test]
fn child_that_dies() {
    let (Ok(dir), Ok(step)) = (std::env::var("NVR_TEST_DIR"), std::env::var("NVR_TEST_STEP")) else {
        return;
    };
    let house = House::open(Path::new(&dir));
    let row = house.store.movable(1).unwrap().remove(0);
    house.move_it(&row, &mut |at| {
        if format!("{at:?}") == step {
            std::process::abort();
        }
    });
    panic!("it should have died");
}

#[test]
fn killed_at_every_step() {
    let steps = [
        "Copied",
        "Noted",
        "Placed",
        "RowWritten",
        "RowDurable",
        "OriginalGone",
        "Done",
    ];
    for step in steps {
        for lose_the_commit in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let house = House::open(dir.path());
            let row = house.record(0);
            house.store.shutdown_blocking().unwrap();
            drop(house);
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "moving::tests::child_that_dies", "--nocapture"])
                .env("NVR_TEST_DIR", dir.path())
                .env("NVR_TEST_STEP", step)
                .output()
                .unwrap();
            let by = std::os::unix::process::ExitStatusExt::signal(&child.status);
            assert_eq!(by, Some(6), "{step}: {}", String::from_utf8_lossy(&child.stderr));
            if lose_the_commit {
                // A power cut: what was committed and not forced to the disk is gone. The note was forced.
                if step != "RowWritten" {
                    continue;
                }
                let conn = undo_the_row(dir.path(), &row);
                assert_eq!(conn, 1);
            }
            let house = House::open(dir.path());
            house.settle();
            let tier = house.assert_one_good_version(&row);
            let is_moved = !matches!(step, "Copied" | "Noted" | "Placed") && !lose_the_commit;
            let expected = if is_moved { Tier::Second } else { Tier::First };
            assert_eq!(tier, expected, "{step}");
            if !is_moved {
                assert!(house.move_it(&row, &mut |_| {}), "{step}");
                assert_eq!(house.assert_one_good_version(&row), Tier::Second);
            }
        }
    }
}

/// The index cannot be forced to the disk: which version counts after a power cut is open, so both stay, and the note
/// with them, until it is settled beside everything else.
#[test]
fn a_move_that_cannot_be_made_durable_is_settled_later() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path());
    let row = house.record(0);
    let (wal, aside) = (dir.path().join("index.db-wal"), dir.path().join("aside"));
    let failed = house.try_it(&row, &mut |step| {
        if step == Step::RowWritten {
            // A link to itself cannot be opened; the index has its file open already.
            std::fs::rename(&wal, &aside).unwrap();
            std::os::unix::fs::symlink(&wal, &wal).unwrap();
        }
    });
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Storage);
    std::fs::rename(&aside, &wal).unwrap();
    assert_eq!(house.store.moves().unwrap().len(), 1);
    assert!(house.tree.root().path().join(&row.path).exists());
    assert!(house.second().path().join(&row.path).exists());
    // Nobody deletes it meanwhile.
    let condemn = vec![(row.id, DeletionReason::Age)];
    assert!(
        house
            .store
            .condemn_blocking(condemn, Tier::Second)
            .unwrap()
            .is_empty()
    );
    let moving = Moving::new(
        house.store.clone(),
        house.tree.clone(),
        SystemClock::shared(),
        None,
    );
    assert_eq!(moving.settle().unwrap(), 1);
    assert_eq!(house.assert_one_good_version(&row), Tier::Second);
}

/// The row as it was before the move, the note as it was forced to the disk.
fn undo_the_row(dir: &Path, row: &SegmentRow) -> usize {
    let store = Store::open(dir.join("index.db"), OpenMode::ReadWrite).unwrap();
    store
        .set_segment_tier_blocking(vec![row.id], Tier::First)
        .unwrap();
    let moves = store.moves().unwrap().len();
    store.shutdown_blocking().unwrap();
    moves
}

#[test]
fn the_oldest_move_for_room_and_the_old_ones_for_their_age() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path());
    let rows: Vec<SegmentRow> = (0..4).map(|n| house.record(n * 60)).collect();
    let size = rows[0].size_bytes;
    let now = rows[3].end() + Duration::from_secs(100);
    let of = |after: Option<u64>, over_bytes: u64, most: usize| -> Vec<(usize, bool)> {
        let rules = Rules {
            after: after.map(Duration::from_secs),
            over_bytes,
        };
        choose(&rows, rules, now, most)
            .iter()
            .map(|(row, urgent)| (rows.iter().position(|r| r.id == row.id).unwrap(), *urgent))
            .collect()
    };
    assert_eq!(of(None, 0, 9), []);
    assert_eq!(of(Some(150), 0, 9), [(0, false), (1, false), (2, false)]);
    assert_eq!(of(None, size + 1, 9), [(0, true), (1, true)]);
    assert_eq!(of(Some(200), 1, 9), [(0, true), (1, false)]);
    assert_eq!(of(Some(0), 0, 1), [(0, false)]);
}
