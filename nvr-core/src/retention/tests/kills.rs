//! Killed at each step of a deletion, below either root: nothing else goes, nothing is left half, nothing goes twice.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::super::keeper::Step;
use super::*;
use crate::check::{CheckOptions, check, reconcile};
use crate::clock::SystemClock;
use crate::files::tests::{media, start, t};
use crate::files::{self, Create, Root, RootOptions, SyncPolicy, Tree, inspect};
use crate::segment::{SegmentFiles as _, Tier};
use crate::store::{OpenMode, SegmentQuery, SegmentRow, SegmentState, Store};
use crate::testing::note_copy;
use crate::time::TimeRange;

const TARGET: &str = "offsite";

struct House {
    store: Store,
    tree: Tree,
}

impl House {
    fn open(dir: &Path, with_second: bool) -> Self {
        let root = |name: &str| {
            let options = RootOptions {
                create: Create::IfEmpty,
                expected: None,
                exclusive: true,
            };
            Root::new(dir.join(name), options, SystemClock::shared())
        };
        let (first, second) = (root("first"), root("second"));
        first.attach().unwrap();
        let tree = Tree::with_second(first, Some(second), SyncPolicy::Close).unwrap();
        if with_second {
            tree.look_at_second().unwrap();
        }
        let store = Store::open(dir.join("index.db"), OpenMode::ReadWrite).unwrap();
        Self { store, tree }
    }

    fn record(&self, second: u32, tier: Tier) -> SegmentRow {
        let time = t("2026-05-04T03:00:00Z").add_ns(i64::from(second) * 1_000_000_000);
        let mut file = self.tree.create(&start("yard", 7, second, time)).unwrap();
        file.write_at(0, &media().bytes).unwrap();
        let closed = file.finish().unwrap();
        self.tree.indexed(&closed.start.camera, &closed.path);
        let id = self.store.close_segment_blocking(&closed.path, &closed).unwrap();
        if tier == Tier::Second {
            let from = self.tree.root().path().join(&closed.path);
            let to = self.tree.second().unwrap().path().join(&closed.path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::rename(from, to).unwrap();
            self.store.set_segment_tier_blocking(vec![id], tier).unwrap();
        }
        self.store.segment(id).unwrap().unwrap()
    }

    /// As if a target had it.
    fn copied(&self, row: &SegmentRow) {
        note_copy(&self.store, row, TARGET);
    }

    fn rows(&self) -> Vec<SegmentRow> {
        let mut query = SegmentQuery::new([], TimeRange::ALL);
        query.states = vec![
            SegmentState::Closed,
            SegmentState::Recovered,
            SegmentState::Missing,
            SegmentState::Remote,
        ];
        self.store.all_segments(&query).unwrap()
    }

    /// What is older than ten minutes at the end of what was recorded goes.
    fn pass(&self, tier: Tier, at: &mut dyn FnMut(Step)) -> Pass {
        let mut config = config(0);
        config.retention.max_age = age(600);
        let now = t("2026-05-04T04:00:00Z");
        Keeper::new(self.store.clone(), self.tree.clone())
            .pass_by(tier, &Policy::of(&config), Some(now), at)
            .unwrap()
    }

    /// What a start does.
    fn finish(&self) -> u64 {
        let n = Tier::ALL.map(|tier| finish_cut_off(&self.store, &self.tree, tier).unwrap());
        reconcile(&self.store, &self.tree).unwrap();
        n.iter().sum()
    }

    /// Rows and files agree, and there is nothing that a check complains of.
    fn agree(&self) {
        for row in self.rows() {
            let is_there = Tier::ALL.map(|tier| inspect(self.tree.root_of(tier).unwrap(), &row.path).is_ok());
            let expected =
                Tier::ALL.map(|tier| tier == row.tier && SegmentState::PLAYABLE.contains(&row.state));
            assert_eq!(is_there, expected, "{row:?}");
        }
        let second = self.tree.root_of(Tier::Second).unwrap().path().to_owned();
        let options = CheckOptions {
            second: Some(Arc::new(Root::new(
                second,
                RootOptions::default(),
                SystemClock::shared(),
            ))),
            ..CheckOptions::default()
        };
        let report = check(&self.store, self.tree.root(), &options, &mut |_| {}).unwrap();
        assert!(report.problems.is_empty(), "{:#?}", report.problems);
        assert_eq!(self.store.condemned().unwrap(), []);
        assert_eq!(self.store.integrity_check().unwrap(), [""; 0]);
    }
}

/// Five segments below a root: three are to go, of which one has a copy elsewhere; the second is protected, the last
/// young.
fn scene(dir: &Path, tier: Tier) -> Vec<SegmentRow> {
    let house = House::open(dir, true);
    let rows: Vec<_> = [0, 60, 120, 180, 3590]
        .map(|second| house.record(second, tier))
        .into();
    house.store.set_protected_blocking(rows[1].id, true).unwrap();
    house.copied(&rows[2]);
    let rows = house.rows();
    house.store.shutdown_blocking().unwrap();
    rows
}

/// Not a test by itself: the process that the tests kill.
#[test]
fn child_that_dies() {
    let (Ok(dir), Ok(step)) = (std::env::var("NVR_TEST_DIR"), std::env::var("NVR_TEST_STEP")) else {
        return;
    };
    let tier = if std::env::var_os("NVR_TEST_SECOND").is_some() {
        Tier::Second
    } else {
        Tier::First
    };
    let (mut files, house) = (0, House::open(Path::new(&dir), true));
    house.pass(tier, &mut |at| {
        files += u32::from(at == Step::FileGone);
        let now = match at {
            Step::FileGone => format!("FileGone{files}"),
            other => format!("{other:?}"),
        };
        if now == step {
            std::process::abort();
        }
    });
    panic!("it should have died");
}

fn die(dir: &Path, tier: Tier, step: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args([
            "--exact",
            "retention::tests::kills::child_that_dies",
            "--nocapture",
        ])
        .env("NVR_TEST_DIR", dir)
        .env("NVR_TEST_STEP", step);
    if tier == Tier::Second {
        child.env("NVR_TEST_SECOND", "1");
    }
    let child = child.output().unwrap();
    let by = std::os::unix::process::ExitStatusExt::signal(&child.status);
    assert_eq!(by, Some(6), "{step}: {}", String::from_utf8_lossy(&child.stderr));
}

const STEPS: [&str; 6] = [
    "Noted",
    "NoteDurable",
    "FileGone1",
    "FileGone2",
    "FileGone3",
    "RowsGone",
];

/// Only those that were to go are gone; the one with a copy is where its copy is.
fn assert_gone(house: &House, before: &[SegmentRow], step: &str) {
    let rows = house.rows();
    let left: Vec<_> = rows.iter().map(|r| r.id).collect();
    assert_eq!(left, [before[1].id, before[2].id, before[4].id], "{step}");
    let states: Vec<_> = rows.iter().map(|r| r.state).collect();
    assert_eq!(
        states,
        [SegmentState::Closed, SegmentState::Remote, SegmentState::Closed],
        "{step}"
    );
    assert_eq!(rows[0], before[1]);
    assert_eq!(rows[2], before[4]);
}

#[test]
fn killed_at_every_step_of_a_deletion() {
    for tier in Tier::ALL {
        for step in STEPS {
            let dir = tempfile::tempdir().unwrap();
            let before = scene(dir.path(), tier);
            die(dir.path(), tier, step);
            let house = House::open(dir.path(), true);
            let finished = house.finish();
            assert_eq!(finished, if step == "RowsGone" { 0 } else { 3 }, "{step}");
            assert_gone(&house, &before, step);
            house.agree();
            // Nothing is deleted, or counted, twice.
            assert_eq!(house.pass(tier, &mut |_| {}), Pass::default(), "{step}");
            assert_gone(&house, &before, step);
        }
    }
}

/// At the next start the second root is away: what was noted stays noted, and is finished when it is back.
#[test]
fn what_was_cut_off_below_a_root_that_is_away_is_finished_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let before = scene(dir.path(), Tier::Second);
    die(dir.path(), Tier::Second, "FileGone1");
    let (there, away) = (dir.path().join("second"), dir.path().join("away"));
    std::fs::rename(&there, &away).unwrap();
    let house = House::open(dir.path(), false);
    assert_eq!(house.finish(), 0);
    assert_eq!(house.store.condemned().unwrap().len(), 3);
    assert_eq!(house.rows(), before, "none is taken for a loss");
    std::fs::rename(&away, &there).unwrap();
    house.tree.look_at_second().unwrap();
    let keeper = Keeper::new(house.store.clone(), house.tree.clone());
    assert_eq!(keeper.finish_below(Tier::Second).unwrap(), 3);
    assert_gone(&house, &before, "back");
    house.agree();
}

/// Of the two roots each goes on while the other is at work, however long that takes.
#[test]
fn fm17_a_deletion_that_hangs_below_the_second_root_holds_up_nothing_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), true);
    let (here, there) = (house.record(0, Tier::First), house.record(60, Tier::Second));
    let keeper = Arc::new(Keeper::new(house.store.clone(), house.tree.clone()));
    let mut config = config(0);
    config.retention.max_age = age(600);
    let (policy, now) = (Policy::of(&config), Some(t("2026-05-04T04:00:00Z")));
    let (hangs, is_hanging) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let slow = std::thread::spawn({
        let (keeper, policy) = (Arc::clone(&keeper), policy.clone());
        move || {
            keeper.pass_by(Tier::Second, &policy, now, &mut |at| {
                if at == Step::NoteDurable {
                    hangs.send(()).unwrap();
                    may_go_on.recv().unwrap();
                }
            })
        }
    });
    is_hanging.recv().unwrap();
    let pass = keeper.pass(&policy, now).unwrap();
    assert_eq!((pass.segments(), pass.failed.len()), (1, 0), "{pass:?}");
    assert!(files::inspect(house.tree.root(), &here.path).is_err());
    let again = house.record(120, Tier::First);
    assert_eq!(keeper.delete(again.id).unwrap().segments, 1);
    assert_eq!(
        keeper.delete(there.id).unwrap_err().kind(),
        crate::error::ErrorKind::Unavailable
    );
    go_on.send(()).unwrap();
    assert_eq!(slow.join().unwrap().unwrap().segments(), 1);
    assert_eq!(house.rows(), []);
    house.agree();
}

/// What is on its way out counts for no limit: else the other root's turn would delete more than enough.
#[test]
fn what_is_being_deleted_counts_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), true);
    let rows = [
        house.record(0, Tier::Second),
        house.record(60, Tier::First),
        house.record(120, Tier::First),
    ];
    let mut config = config(0);
    // One is too many.
    config.retention.max_bytes = Some(rows.iter().map(|r| r.size_bytes).sum::<u64>() - 1);
    let policy = Policy::of(&config);
    let keeper = Keeper::new(house.store.clone(), house.tree.clone());
    let mut beside = None;
    let pass = keeper
        .pass_by(Tier::Second, &policy, None, &mut |at| {
            if at == Step::Noted {
                beside = Some(keeper.pass_below(Tier::First, &policy, None).unwrap());
            }
        })
        .unwrap();
    assert_eq!((pass.segments(), beside.unwrap().segments()), (1, 0));
    let left: Vec<_> = house.rows().iter().map(|r| r.id).collect();
    assert_eq!(left, [rows[1].id, rows[2].id]);
}
