//! The disk is full, read-only, or gone, while cameras record. Mounting takes root; others skip these.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nvr_core::config::SyncMode;
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::{ErrorKind, EventKind};
use nvr_tests::disk::{Mount, run, text};
use nvr_tests::rig::{CAM, Rig, judge_timeline, numbers_of, small, storage_fault, to_phase, whole};
use nvr_tests::{TestCam, TestCamOptions};

async fn recording(rig: &mut Rig, cam: &TestCam) {
    rig.add(CAM, &cam.url()).unwrap();
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(25).await.unwrap();
    assert!(rig.nvr().health().ok);
}

/// The fault is told as an event, in the health and as the cause of the gap.
async fn told(rig: &Rig, kind: CauseKind) {
    rig.wait_for("word of the fault", 1, |k| {
        storage_fault(k).is_some_and(|cause| cause.kind == kind)
    })
    .await
    .unwrap();
    let health = rig.nvr().health();
    assert!(!health.ok && !health.ready, "{health:#?}");
    assert!(
        health
            .problems
            .iter()
            .any(|p| p.camera.is_none() && p.cause.kind == kind),
        "{health:#?}"
    );
    rig.until("the end of the recording", || !rig.cam().status().recording)
        .await
        .unwrap();
}

/// It records again by itself.
async fn resumed(rig: &Rig) {
    rig.wait_for("word of the recovery", 1, |k| {
        matches!(k, EventKind::StorageRecovered)
    })
    .await
    .unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(25).await.unwrap();
    let health = rig.nvr().health();
    assert!(health.ok && health.ready, "{health:#?}");
}

/// What was recorded before and after the fault is whole, and the time between is a gap with that cause.
async fn judged(rig: &mut Rig, kind: CauseKind) {
    let timeline = rig.timeline(CAM).await.unwrap();
    judge_timeline(&timeline).unwrap();
    assert!(
        timeline.gaps.iter().any(|g| g.cause.kind == kind),
        "{kind:?} explains no gap: {timeline:#?}"
    );
    assert!(
        timeline.gaps.iter().all(|g| g.cause.kind != CauseKind::Unknown),
        "{timeline:#?}"
    );
    rig.stop_clean().await.unwrap();
    let rows = rig.judge().await.unwrap();
    assert!(rows.len() >= 2, "{rows:#?}");
    for row in &rows {
        whole(&numbers_of(&rig.config, row).await.unwrap()).unwrap();
    }
    // Nothing was left for the next start to mend.
    rig.start().await.unwrap();
    rig.stop().await;
    assert_eq!(rig.rows().await.unwrap()[..rows.len()], rows[..]);
}

/// The index lies on the same disk and cannot be written either.
#[tokio::test(flavor = "multi_thread")]
async fn storage_full_is_told_and_recording_resumes_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("disk");
    let Some(_mount) = Mount::memory(&root, 12) else {
        return;
    };
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::at(&root);
    recording(&mut rig, &cam).await;
    let filler = root.join("filler");
    // Whatever is left, to the last page.
    let fill = |path: &Path| {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        let page = [0_u8; 4096];
        while std::io::Write::write_all(&mut file, &page).is_ok() {}
    };
    rig.until("the disk to be noticed as full", || {
        fill(&filler);
        rig.count(|k| storage_fault(k).is_some()) > 0
    })
    .await
    .unwrap();
    told(&rig, CauseKind::DiskFull).await;
    std::fs::remove_file(&filler).unwrap();
    resumed(&rig).await;
    judged(&mut rig, CauseKind::DiskFull).await;
}

/// The mount goes and comes back: until then not a byte is written to the folder below it.
#[tokio::test(flavor = "multi_thread")]
async fn fm14_a_vanished_mount_is_told_and_nothing_goes_to_the_disk_below() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, root) = (dir.path().join("disk"), dir.path().join("root"));
    std::fs::create_dir(&disk).unwrap();
    let bind = ["--bind", text(&disk)];
    let Some(mount) = Mount::new(&root, &bind) else {
        return;
    };
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::at(&root);
    recording(&mut rig, &cam).await;
    mount.vanish();
    told(&rig, CauseKind::StorageMissing).await;
    // A try of the camera meanwhile finds no place for its frames either.
    rig.cam().restart().unwrap();
    rig.until("the camera to be tried", || cam.connections() > 1)
        .await
        .unwrap();
    rig.until("the try to fail", || {
        rig.count(|k| to_phase(k, CameraPhase::BackingOff)) > 1
    })
    .await
    .unwrap();
    assert_eq!(
        std::fs::read_dir(&root).unwrap().count(),
        0,
        "written below the mount"
    );
    mount.again(&bind);
    resumed(&rig).await;
    judged(&mut rig, CauseKind::StorageMissing).await;
    mount.vanish();
    assert_eq!(
        std::fs::read_dir(&root).unwrap().count(),
        0,
        "written below the mount"
    );
}

/// At the start: an index elsewhere knows the tree, the disk is not mounted, and its empty folder is not taken for it.
#[tokio::test(flavor = "multi_thread")]
async fn fm14_a_mount_that_is_missing_at_the_start_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, root) = (dir.path().join("disk"), dir.path().join("root"));
    std::fs::create_dir(&disk).unwrap();
    let bind = ["--bind", text(&disk)];
    let Some(mount) = Mount::new(&root, &bind) else {
        return;
    };
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::at(&root);
    rig.config.recorder.database = dir.path().join("index.db");
    recording(&mut rig, &cam).await;
    rig.stop_clean().await.unwrap();
    mount.vanish();
    let error = rig.start().await.unwrap_err();
    let error = error.downcast_ref::<nvr_core::Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    assert!(error.hint().is_some_and(|h| h.contains("mount")), "{error:?}");
    assert_eq!(
        std::fs::read_dir(&root).unwrap().count(),
        0,
        "written below the mount"
    );
    mount.again(&bind);
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(10).await.unwrap();
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
}

/// An ext4 that turns read-only under the recorder, as after an error of the disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_turns_read_only_is_told_and_recording_resumes_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (image, root) = (dir.path().join("image"), dir.path().join("root"));
    std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    assert!(run("mkfs.ext4", &["-q", "-F", text(&image)]));
    let how = ["-o", "loop", text(&image)];
    let Some(mount) = Mount::new(&root, &how) else {
        return;
    };
    let cam = TestCam::start(TestCamOptions { gop: 5, ..small() }).unwrap();
    let mut rig = Rig::at(&root);
    rig.config.recorder.database = dir.path().join("index.db");
    // Without it the file system would have nothing of the file yet.
    rig.config.recording.sync = SyncMode::Every(Duration::from_secs(1));
    recording(&mut rig, &cam).await;
    // What the kernel does by itself after an error of the disk.
    assert!(run("mount", &["-o", "remount,abort", text(&root)]));
    told(&rig, CauseKind::ReadOnly).await;
    // Mended: unmounted, checked, mounted.
    mount.vanish();
    rig.until("the recorder to let the disk go", || {
        let list = Command::new("losetup")
            .args(["-j", text(&image)])
            .output()
            .unwrap();
        list.stdout.is_empty()
    })
    .await
    .unwrap();
    // It mends, and says so by its exit code.
    let _ = run("e2fsck", &["-p", text(&image)]);
    mount.again(&how);
    resumed(&rig).await;
    judged(&mut rig, CauseKind::ReadOnly).await;
}
