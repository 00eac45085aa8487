//! The index is gone, older than the footage, or another recorder's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nvr_core::clock::SystemClock;
use nvr_core::event::CameraPhase;
use nvr_core::files::{Create, Root, RootOptions};
use nvr_core::store::{OpenMode, SegmentRow, Store};
use nvr_core::{ErrorKind, EventKind, check};
use nvr_tests::rig::{CAM, Rig, judge_timeline, rows, small};
use nvr_tests::{TestCam, TestCamOptions};

/// Every segment file below a root, with its bytes.
fn footage(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(dir: &Path, out: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "mp4") {
                out.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(root, &mut out);
    out
}

/// What a rebuilt index must say of a segment as the old one did.
fn essence(rows: &[SegmentRow]) -> BTreeMap<PathBuf, SegmentRow> {
    rows.iter()
        .cloned()
        .map(|mut row| {
            row.id = nvr_core::SegmentId(0);
            (row.path.clone(), row)
        })
        .collect()
}

fn without_hash(rows: BTreeMap<PathBuf, SegmentRow>) -> BTreeMap<PathBuf, SegmentRow> {
    rows.into_iter()
        .map(|(path, row)| (path, SegmentRow { hash: None, ..row }))
        .collect()
}

fn index_files(rig: &Rig) -> Vec<PathBuf> {
    let db = rig.config.recorder.database.clone();
    ["", "-wal", "-shm"]
        .iter()
        .map(|suffix| PathBuf::from(format!("{}{suffix}", db.display())))
        .collect()
}

fn remove_index(rig: &Rig) {
    for file in index_files(rig) {
        drop(std::fs::remove_file(file));
    }
}

fn copy_index(rig: &Rig, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in index_files(rig).into_iter().filter(|f| f.exists()) {
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

fn put_index(rig: &Rig, from: &Path) {
    remove_index(rig);
    for entry in std::fs::read_dir(from).unwrap() {
        let file = entry.unwrap().path();
        let db = rig
            .config
            .recorder
            .database
            .with_file_name(file.file_name().unwrap());
        std::fs::copy(&file, db).unwrap();
    }
}

/// Records until there are so many segments more.
async fn record(rig: &mut Rig, segments: usize) {
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    let before = rig.count(|k| matches!(k, EventKind::SegmentOpened { .. }));
    for n in 1..=segments {
        rig.frames(6).await.unwrap();
        rig.cam().split().unwrap();
        rig.wait_for("the next segment", before + n, |k| {
            matches!(k, EventKind::SegmentOpened { .. })
        })
        .await
        .unwrap();
    }
    rig.stop_clean().await.unwrap();
}

/// A recorder with footage, and its camera, which is away from now on.
async fn recorded() -> (Rig, Vec<SegmentRow>, BTreeMap<PathBuf, Vec<u8>>) {
    let mut cam = TestCam::start(TestCamOptions { gop: 5, ..small() }).unwrap();
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap();
    record(&mut rig, 4).await;
    cam.die();
    let rows = rig.judge().await.unwrap();
    let files = footage(rig.root());
    (rig, rows, files)
}

#[tokio::test(flavor = "multi_thread")]
async fn fm15_a_lost_index_is_made_again_from_the_files() {
    let (mut rig, old, files) = recorded().await;
    remove_index(&rig);
    rig.start().await.unwrap();
    let timeline = rig.timeline(CAM).await.unwrap();
    judge_timeline(&timeline).unwrap();
    assert_eq!(timeline.totals.segments, old.len() as u64);
    rig.stop_clean().await.unwrap();
    assert_eq!(footage(rig.root()), files, "no file was touched");
    let new = rig.judge().await.unwrap();
    // A hash is not in the file that it is of.
    assert_eq!(without_hash(essence(&new)), without_hash(essence(&old)));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm15_an_older_index_loses_nothing() {
    let mut cam = TestCam::start(TestCamOptions { gop: 5, ..small() }).unwrap();
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap();
    record(&mut rig, 2).await;
    let kept = tempfile::tempdir().unwrap();
    copy_index(&rig, kept.path());
    record(&mut rig, 3).await;
    cam.die();
    let (old, files) = (rig.judge().await.unwrap(), footage(rig.root()));

    put_index(&rig, kept.path());
    assert!(rows(&rig.config).await.unwrap().len() < old.len());
    rig.start().await.unwrap();
    rig.stop_clean().await.unwrap();
    assert_eq!(footage(rig.root()), files, "no file was touched");
    let new = rig.judge().await.unwrap();
    assert_eq!(without_hash(essence(&new)), without_hash(essence(&old)));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm15_an_index_copied_while_recording_loses_nothing() {
    let mut cam = TestCam::start(TestCamOptions { gop: 5, ..small() }).unwrap();
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap();
    let kept = tempfile::tempdir().unwrap();
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(10).await.unwrap();
    // It knows this segment as growing.
    copy_index(&rig, kept.path());
    rig.frames(10).await.unwrap();
    rig.stop_clean().await.unwrap();
    record(&mut rig, 2).await;
    cam.die();
    let (old, files) = (rig.judge().await.unwrap(), footage(rig.root()));
    put_index(&rig, kept.path());
    rig.start().await.unwrap();
    rig.stop_clean().await.unwrap();
    assert_eq!(footage(rig.root()), files, "no file was touched");
    let new = rig.judge().await.unwrap();
    let times = |rows: &[SegmentRow]| -> Vec<_> {
        rows.iter()
            .map(|r| (r.path.clone(), r.start, r.duration_ns, r.size_bytes))
            .collect()
    };
    assert_eq!(times(&new), times(&old));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm15_a_foreign_index_is_refused_and_a_rebuild_brings_all_back() {
    let (mut rig, old, files) = recorded().await;
    let (other, _, other_files) = recorded().await;
    let kept = tempfile::tempdir().unwrap();
    copy_index(&other, kept.path());
    put_index(&rig, kept.path());

    let error = rig.start().await.unwrap_err();
    let error = error.downcast_ref::<nvr_core::Error>().unwrap();
    assert!(
        matches!(error.kind(), ErrorKind::Storage | ErrorKind::Conflict),
        "{error}"
    );
    assert!(error.hint().is_some_and(|h| h.contains("--rebuild")), "{error:?}");
    assert_eq!(footage(rig.root()), files, "no file was touched");
    assert_eq!(footage(other.root()), other_files);

    rebuild(&rig).await;
    assert_eq!(footage(rig.root()), files);
    rig.start().await.unwrap();
    let timeline = rig.timeline(CAM).await.unwrap();
    judge_timeline(&timeline).unwrap();
    rig.stop_clean().await.unwrap();
    let new = rig.judge().await.unwrap();
    assert_eq!(without_hash(essence(&new)), without_hash(essence(&old)));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm15_a_broken_index_is_refused_and_a_rebuild_is_equal_to_the_old() {
    let (mut rig, old, files) = recorded().await;
    rebuild(&rig).await;
    assert_eq!(essence(&rig.judge().await.unwrap()), essence(&old));

    remove_index(&rig);
    std::fs::write(&rig.config.recorder.database, vec![0x5A; 20_000]).unwrap();
    let error = rig.start().await.unwrap_err();
    let error = error.downcast_ref::<nvr_core::Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(footage(rig.root()), files, "no file was touched");
    rebuild(&rig).await;
    assert_eq!(footage(rig.root()), files);
    assert_eq!(
        without_hash(essence(&rig.judge().await.unwrap())),
        without_hash(essence(&old))
    );
    rig.start().await.unwrap();
    rig.stop_clean().await.unwrap();
}

/// A file from elsewhere and one without a row, both put there while the recorder was away.
#[tokio::test(flavor = "multi_thread")]
async fn fm15_check_mends_what_the_start_does_not_see() {
    let (rig, old, files) = recorded().await;
    let db = rig.config.recorder.database.clone();
    let lost = old[1].clone();
    let root = rig.root().to_owned();
    std::fs::write(root.join(CAM).join("notes.txt"), "not a segment").unwrap();
    tokio::task::spawn_blocking(move || {
        let store = Store::open(&db, OpenMode::ReadWrite).unwrap();
        store.delete_segment_blocking(lost.id).unwrap();
        let options = RootOptions {
            exclusive: true,
            ..RootOptions::default()
        };
        let root = Root::open(&root, options, SystemClock::shared()).unwrap();
        let found = check::check(&store, &root, &check::CheckOptions::default(), &mut |_| {}).unwrap();
        assert_eq!(found.count(check::ProblemKind::Orphan), 1, "{found:#?}");
        assert!(!found.is_clean());
        let repair = check::CheckOptions {
            repair: true,
            ..check::CheckOptions::default()
        };
        assert!(
            check::check(&store, &root, &repair, &mut |_| {})
                .unwrap()
                .is_clean()
        );
        store.shutdown_blocking().unwrap();
    })
    .await
    .unwrap();
    assert_eq!(footage(rig.root()), files, "no file was touched");
    assert!(rig.root().join(CAM).join("notes.txt").exists());
    let new = rig.judge().await.unwrap();
    assert_eq!(without_hash(essence(&new)), without_hash(essence(&old)));
}

async fn rebuild(rig: &Rig) {
    let (root, db) = (rig.root().to_owned(), rig.config.recorder.database.clone());
    let report = tokio::task::spawn_blocking(move || {
        let options = RootOptions {
            create: Create::Never,
            expected: None,
            exclusive: true,
        };
        let root = Root::open(root, options, SystemClock::shared()).unwrap();
        check::rebuild(&root, &db, check::RebuildOptions::default(), &mut |_| {}).unwrap()
    })
    .await
    .unwrap();
    assert!(report.problems.is_empty(), "{report:#?}");
    assert!(report.segments > 0 && report.backup.is_some());
}
