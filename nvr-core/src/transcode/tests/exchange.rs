//! The exchange: what must not be touched, what is kept, and what a crash leaves.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::policy::Rules;
use super::super::work::{Control, Outcome};
use super::super::*;
use super::rig::{MOVING, Rig, Told, footage};
use crate::files::replace::{self, Step, leftovers};
use crate::files::{Inspection, inspect};
use crate::retention::{Keeper, Pass};
use crate::segment::Tier;
use crate::store::{SegmentState, UploadState};
use crate::testing::note_copy;
use crate::time::Timestamp;
use crate::track::VideoCodec;

/// Another encoder begins at the beginning.
pub(super) struct Restarting<'a>(pub(super) &'a mut Told);

impl Control for Restarting<'_> {
    fn progress(&mut self, share: f64, doing: &str) {
        self.0.share = f64::MIN;
        self.0.progress(share, doing);
    }
    fn stopped(&self) -> bool {
        self.0.stopped()
    }
    fn commit(&mut self) -> bool {
        self.0.commit()
    }
}

#[test]
fn what_must_not_be_touched_is_not_even_when_that_comes_late() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let row = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 2));
    let before = std::fs::read(rig.path(&row)).unwrap();
    rig.store.set_protected_blocking(row.id, true).unwrap();
    let outcome = rig.transcode(&row, &mut Told::default());
    assert!(
        matches!(&outcome, Outcome::Skipped { reason } if reason.contains("protected")),
        "{outcome:?}"
    );
    rig.store.set_protected_blocking(row.id, false).unwrap();

    // Protected while it was encoded.
    let store = rig.store.clone();
    let id = row.id;
    let mut control = Told {
        at_commit: Some(Box::new(move || store.set_protected_blocking(id, true).unwrap())),
        ..Told::default()
    };
    let outcome = rig.transcode(&row, &mut control);
    assert!(
        matches!(&outcome, Outcome::Skipped { reason } if reason.contains("protected")),
        "{outcome:?}"
    );
    rig.store.set_protected_blocking(row.id, false).unwrap();

    // Called off while it was encoded, while it was compared, and at the last moment.
    for control in [
        Told {
            stop_at: Some(0.2),
            ..Told::default()
        },
        Told {
            stop_at: Some(0.8),
            ..Told::default()
        },
        Told {
            refuse_commit: true,
            ..Told::default()
        },
    ] {
        let mut control = control;
        assert_eq!(rig.transcode(&row, &mut control), Outcome::Stopped);
        assert!(control.steps.is_empty());
    }
    assert_eq!(std::fs::read(rig.path(&row)).unwrap(), before);
    assert!(leftovers(rig.tree.root()).unwrap().is_empty());
    assert_eq!(rig.row(&row), row);

    // Deleted while it was encoded.
    let (store, file) = (rig.store.clone(), rig.path(&row));
    let mut control = Told {
        at_commit: Some(Box::new(move || {
            std::fs::remove_file(&file).unwrap();
            store.delete_segment_blocking(id).unwrap();
        })),
        ..Told::default()
    };
    let gone = std::thread::scope(|s| {
        s.spawn(|| {
            rig.worker()
                .run(id, &rig.config, &Rules::on_demand(), &mut control)
        })
        .join()
        .unwrap()
    });
    assert_eq!(gone.unwrap_err().kind(), crate::error::ErrorKind::NotFound);
    assert!(!rig.path(&row).exists() && leftovers(rig.tree.root()).unwrap().is_empty());
}

#[test]
fn an_original_is_kept_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(dir.path());
    rig.config.keep_original = Duration::from_secs(3600);
    let row = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 1));
    assert!(matches!(
        rig.transcode(&row, &mut Told::default()),
        Outcome::Done(_)
    ));
    let found = leftovers(rig.tree.root()).unwrap();
    assert_eq!((found.len(), found[0].size_bytes), (1, row.size_bytes));
    settle(
        &rig.store,
        &rig.tree,
        &rig.clock,
        Duration::from_secs(3600),
        false,
    )
    .unwrap();
    assert_eq!(leftovers(rig.tree.root()).unwrap().len(), 1);
    let settled = settle(&rig.store, &rig.tree, &rig.clock, Duration::ZERO, false).unwrap();
    assert_eq!(settled.expired, 1);
    assert!(leftovers(rig.tree.root()).unwrap().is_empty());
    rig.assert_one_good_version(&row);
}

/// Retention is quicker: nobody is to blame, least of all the encoder.
#[test]
fn a_segment_that_is_deleted_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let row = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 2));
    let (store, id, file) = (rig.store.clone(), row.id, rig.path(&row));
    let mut control = Told {
        at_comparison: Some(Box::new(move || {
            let taken = store
                .condemn_blocking(
                    vec![(id, crate::event::DeletionReason::FreeSpace)],
                    crate::segment::Tier::First,
                )
                .unwrap();
            assert_eq!(taken, [id]);
            std::fs::remove_file(&file).unwrap();
            store.segments_deleted_blocking(vec![id]).unwrap();
        })),
        ..Told::default()
    };
    let outcome = rig.transcode(&row, &mut control);
    assert!(
        matches!(&outcome, Outcome::Skipped { reason } if reason.contains("deleted")),
        "{outcome:?}"
    );
    assert!(leftovers(rig.tree.root()).unwrap().is_empty());

    let other = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 2));
    let outcome = rig.transcode(&other, &mut Told::default());
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
}

/// A local file is let go at any instant of an exchange, because there is a copy elsewhere: of the version that was.
#[test]
fn what_is_let_go_in_the_middle_does_not_come_back() {
    const TARGET: &str = "offsite";
    let made = tempfile::tempdir().unwrap();
    let bytes = footage(made.path(), MOVING, &["-g", "25", "-bf", "0"], 1);
    let steps = [
        Step::Synced,
        Step::Linked,
        Step::Renamed,
        Step::FoldersSynced,
        Step::RowWritten,
    ];
    for at in std::iter::once(None).chain(steps.map(Some)) {
        let dir = tempfile::tempdir().unwrap();
        let rig = Rig::open(dir.path());
        let row = rig.record(&bytes);
        note_copy(&rig.store, &row, TARGET);
        let keeper = Keeper::new(rig.store.clone(), rig.tree.clone());
        let copied = rig.store.copied_segments(TARGET, Timestamp::MAX, 10).unwrap();
        assert_eq!(copied, std::slice::from_ref(&row));
        let (tell, told) = mpsc::channel();
        let thread: Arc<Mutex<Option<JoinHandle<Pass>>>> = Arc::default();
        let place = Arc::clone(&thread);
        let let_go = move || {
            let release = std::thread::spawn(move || {
                let pass = keeper.release(Tier::First, copied).unwrap();
                let _ = tell.send(());
                pass
            });
            // If it does not wait for its turn, it is over by then.
            let _ = told.recv_timeout(Duration::from_millis(300));
            *place.lock().unwrap() = Some(release);
        };
        let mut control = Told::default();
        match at {
            Some(step) => control.at_step = Some((step, Box::new(let_go))),
            None => {
                let mut let_go = Some(let_go);
                control.at_commit = Some(Box::new(move || let_go.take().unwrap()()));
            }
        }
        let outcome = rig.transcode(&row, &mut control);
        let pass = thread.lock().unwrap().take().unwrap().join().unwrap();
        assert!(leftovers(rig.tree.root()).unwrap().is_empty(), "{at:?}");
        if at.is_none() {
            assert!(matches!(outcome, Outcome::Skipped { .. }), "{outcome:?}");
            assert_eq!(pass.segments(), 1);
            assert!(!rig.path(&row).exists());
            let now = rig.row(&row);
            assert_eq!((now.state, now.hash), (SegmentState::Remote, row.hash));
            continue;
        }
        assert!(matches!(outcome, Outcome::Done(_)), "{at:?}: {outcome:?}");
        assert_eq!(pass.segments(), 0, "{at:?}: no copy of this version");
        let now = rig.assert_one_good_version(&row);
        assert_eq!(
            (now.state, now.tracks.video.codec),
            (SegmentState::Closed, VideoCodec::H265)
        );
        let copies = rig.store.uploads_of(row.id).unwrap();
        assert_eq!(copies.len(), 1);
        assert_eq!(copies[0].state, UploadState::Waiting, "{at:?}");
    }
}

/// An exchange that a crash cut off left its second name, and then the file was let go.
#[test]
fn what_is_only_elsewhere_does_not_come_back_from_a_second_name() {
    const TARGET: &str = "offsite";
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let bytes = footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 1);
    let row = rig.record(&bytes);
    let mut draft = replace::draft(rig.tree.root(), &row.path).unwrap();
    draft.file.write_all(&bytes).unwrap();
    replace::exchange(rig.tree.root(), draft, &mut |_| {}).unwrap();
    assert_eq!(leftovers(rig.tree.root()).unwrap().len(), 1);
    note_copy(&rig.store, &row, TARGET);
    let keeper = Keeper::new(rig.store.clone(), rig.tree.clone());
    let copied = rig.store.copied_segments(TARGET, Timestamp::MAX, 10).unwrap();
    assert_eq!(keeper.release(Tier::First, copied).unwrap().segments(), 1);
    let settled = settle(&rig.store, &rig.tree, &rig.clock, Duration::ZERO, true).unwrap();
    assert!(
        settled.restored.is_empty() && settled.failed.is_empty(),
        "{settled:?}"
    );
    assert!(leftovers(rig.tree.root()).unwrap().is_empty() && !rig.path(&row).exists());
    assert_eq!(rig.row(&row).state, SegmentState::Remote);
}

/// Not a test by itself: the process that [`killed_at_every_step`] kills.
#[test]
fn child_that_dies() {
    let (Ok(dir), Ok(step)) = (std::env::var("NVR_TEST_DIR"), std::env::var("NVR_TEST_STEP")) else {
        return;
    };
    let rig = Rig::open(Path::new(&dir));
    let rows = rig
        .store
        .all_paths()
        .collect::<crate::error::Result<Vec<_>>>()
        .unwrap();
    let mut control = Told {
        die_at: Some(step),
        ..Told::default()
    };
    let outcome = rig.transcode(&rows[0], &mut control);
    panic!("it should have died before {outcome:?}");
}

#[test]
fn killed_at_every_step() {
    let made = tempfile::tempdir().unwrap();
    let bytes = footage(made.path(), MOVING, &["-g", "25", "-bf", "0"], 2);
    let steps = [
        "encoding",
        "Synced",
        "Linked",
        "Renamed",
        "FoldersSynced",
        "RowWritten",
        "RowDurable",
        "Done",
    ];
    for step in steps {
        for lose_the_commit in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let rig = Rig::open(dir.path());
            let row = rig.record(&bytes);
            rig.store.shutdown_blocking().unwrap();
            drop(rig);
            let index = dir.path().join("index.db");
            let saved = std::fs::read(&index).unwrap();

            let child = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "transcode::tests::exchange::child_that_dies",
                    "--nocapture",
                ])
                .env("NVR_TEST_DIR", dir.path())
                .env("NVR_TEST_STEP", step)
                .output()
                .unwrap();
            let by = std::os::unix::process::ExitStatusExt::signal(&child.status);
            assert_eq!(by, Some(6), "{step}: {}", String::from_utf8_lossy(&child.stderr));
            if lose_the_commit {
                // A power cut: what was committed and not forced to the disk is gone.
                if matches!(step, "RowDurable" | "Done") {
                    continue;
                }
                for suffix in ["-wal", "-shm"] {
                    let _ = std::fs::remove_file(dir.path().join(format!("index.db{suffix}")));
                }
                std::fs::write(&index, &saved).unwrap();
            }

            // Before anything is settled the segment's name leads to one whole version.
            let rig = Rig::open(dir.path());
            assert!(
                matches!(inspect(rig.tree.root(), &row.path), Ok(Inspection::Closed(_))),
                "{step}"
            );
            let settled = settle(&rig.store, &rig.tree, &rig.clock, Duration::ZERO, true).unwrap();
            assert!(
                settled.failed.is_empty() && settled.restored.is_empty(),
                "{step}: {settled:?}"
            );
            assert!(leftovers(rig.tree.root()).unwrap().is_empty(), "{step}");
            let now = rig.assert_one_good_version(&row);
            let replaced = !matches!(step, "encoding" | "Synced" | "Linked");
            let codec = if replaced {
                VideoCodec::H265
            } else {
                VideoCodec::H264
            };
            assert_eq!(now.tracks.video.codec, codec, "{step}");
            assert_eq!(now.marks.is_transcoded(), replaced, "{step}");

            // A new index made of the files finds the same.
            let Inspection::Closed(found) = inspect(rig.tree.root(), &row.path).unwrap() else {
                panic!("{step}");
            };
            assert_eq!(found.start.tracks.video.codec, codec, "{step}");

            // And the work can be done again, once.
            let outcome = rig.transcode(&row, &mut Told::default());
            assert_eq!(
                matches!(outcome, Outcome::Done(_)),
                !replaced,
                "{step}: {outcome:?}"
            );
            assert_eq!(
                rig.assert_one_good_version(&row).tracks.video.codec,
                VideoCodec::H265
            );
        }
    }
}
