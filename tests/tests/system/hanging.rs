//! A disk that hangs, or goes in the middle of everything: no camera loses a frame by it, and nothing is lost or left half.
//! Mounting takes root; others skip these.

use std::path::Path;
use std::time::Duration;

use nvr_core::config::{Room, TierConfig};
use nvr_core::event::{CameraPhase, DeletionReason, JobState};
use nvr_core::jobs::JobQuery;
use nvr_core::segment::Tier;
use nvr_core::store::{SegmentRow, SegmentState};
use nvr_core::{EventKind, SegmentId};
use nvr_tests::disk::{Hanging, Mount, available};
use nvr_tests::rig::{CAM, LIMIT, Rig, file_of, id, judge_timeline, small, storage_fault, whole};
use nvr_tests::{Picture, TestCam, TestCamOptions, wait};

const MIB: u64 = 1 << 20;

fn heavy() -> TestCamOptions {
    TestCamOptions {
        bitrate_bps: 4_000_000,
        picture: Picture::Snow,
        ..small()
    }
}

/// A recorder with a second root that can be made to hang.
fn rig(dir: &Path) -> Option<(Rig, Hanging)> {
    let disk = Hanging::new(&dir.join("behind"), &dir.join("second"))?;
    let mut rig = Rig::at(&dir.join("first"));
    let mut tier = TierConfig::new(dir.join("second"));
    tier.root_mount = Some(dir.join("second"));
    tier.min_free = Room::NONE;
    rig.config.tier = Some(tier);
    rig.config.jobs.retry_ceiling = Duration::from_secs(5);
    Some((rig, disk))
}

async fn moved(rig: &Rig, count: usize) -> Vec<SegmentRow> {
    wait::until_async("segments below the second root", LIMIT, || async {
        let mut rows = rig.rows().await.unwrap();
        rows.retain(|r| r.tier == Tier::Second);
        (rows.len() >= count).then_some(rows)
    })
    .await
    .unwrap()
}

/// The segment that is being copied just now.
fn under_way(rig: &Rig) -> Option<SegmentId> {
    let query = JobQuery {
        kinds: vec!["move".into()],
        states: vec![JobState::Running],
        ..JobQuery::default()
    };
    let jobs = rig.nvr().store().jobs(&query).unwrap().items;
    let part = |id: i64| {
        let row = rig.nvr().store().segment(SegmentId(id)).unwrap()?;
        let name = row.path.file_name()?.to_str()?.to_owned();
        let second = &rig.config.tier.as_ref()?.root;
        let mut drafts = std::fs::read_dir(second.join(".nvr-transcode")).ok()?.flatten();
        drafts
            .any(|d| d.file_name().to_string_lossy().contains(&name))
            .then_some(SegmentId(id))
    };
    jobs.iter().find_map(|j| part(j.params["segment"].as_i64()?))
}

fn lost(kind: &EventKind) -> bool {
    matches!(kind, EventKind::TierLost { .. })
}

fn back(kind: &EventKind) -> bool {
    matches!(kind, EventKind::TierBack)
}

/// Of the recording nothing was lost, and nobody was told of a fault.
fn assert_unaffected(rig: &Rig) {
    assert_eq!(
        rig.count(|k| storage_fault(k).is_some()),
        0,
        "{:#?}",
        rig.events()
    );
    assert_eq!(rig.count(|k| matches!(k, EventKind::FramesDropped { .. })), 0);
    assert_eq!(rig.count(|k| matches!(k, EventKind::GapOpened { .. })), 0);
}

/// The disk of the second root stands still in the middle of a deletion there. The recordings root is small and has to
/// be kept from filling up all the same, and the cameras never notice.
#[tokio::test(flavor = "multi_thread")]
async fn fm17_a_second_root_that_hangs_leaves_the_recordings_root_its_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some((mut rig, disk)) = rig(dir.path()) else {
        return;
    };
    let root = dir.path().join("first");
    let Some(_mount) = Mount::memory(&root, 96) else {
        return;
    };
    let (cam, other) = (TestCam::start(heavy()).unwrap(), TestCam::start(small()).unwrap());
    rig.config.recorder.database = dir.path().join("index.db");
    rig.config.retention.min_free = Room::Bytes(80 * MIB);
    rig.config.retention.critical_free = Room::Bytes(40 * MIB);
    rig.config.tier.as_mut().unwrap().max_bytes = Some(2 * MIB);
    for (name, cam) in [(CAM, &cam), ("other", &other)] {
        rig.add(name, &cam.url()).unwrap().segment = Duration::from_secs(1);
    }
    rig.start().await.unwrap();
    let gone = |reason: DeletionReason| move |k: &EventKind| matches!(k, EventKind::FootageDeleted { reason: r, .. } if *r == reason);
    rig.wait_for(
        "deletions below the second root",
        1,
        gone(DeletionReason::TotalBytes),
    )
    .await
    .unwrap();
    disk.hang();
    rig.wait_for("the loss to be told", 1, lost).await.unwrap();
    let mut least = u64::MAX;
    rig.until("the oldest of the recordings root to go", || {
        least = least.min(available(&root));
        rig.count(gone(DeletionReason::FreeSpace)) > 2
    })
    .await
    .unwrap();
    assert!(least > 20 * MIB, "only {least} bytes were left");
    rig.frames(20).await.unwrap();
    assert!(rig.nvr().health().ready);
    disk.go_on();
    rig.wait_for("its return", 1, back).await.unwrap();
    rig.wait_for(
        "the deletions there to go on",
        2,
        gone(DeletionReason::TotalBytes),
    )
    .await
    .unwrap();
    assert_unaffected(&rig);
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
}

/// The recordings root itself stands still for a minute in the middle of recording and deleting: what its cameras send
/// meanwhile waits in memory, nothing is taken for a loss, and afterwards exactly enough is deleted. A recorder of the same
/// process with a disk of its own never notices. How much waits at most, and that drops are counted and told, shows in
/// `nvr-core` (`fm17_drops_are_told_while_the_disk_hangs`).
#[tokio::test(flavor = "multi_thread")]
async fn fm17_a_disk_that_stands_still_loses_nothing_and_deletes_no_more_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Hanging::new(&dir.path().join("behind"), &dir.path().join("disk")) else {
        return;
    };
    // Each its own: a viewer who joins another may cost that one a frame.
    let cams = [(); 3].map(|()| TestCam::start(small()).unwrap());
    let mut rig = Rig::at(&dir.path().join("disk/nvr"));
    rig.config.recorder.database = dir.path().join("index.db");
    let cameras = [CAM, "other"];
    for (name, cam) in cameras.iter().zip(&cams) {
        let camera = rig.add(name, &cam.url()).unwrap();
        camera.segment = Duration::from_secs(1);
        camera.watchdog = Duration::from_secs(60);
    }
    rig.config.retention.max_bytes = Some(150_000);
    let mut elsewhere = Rig::new().unwrap();
    elsewhere.add(CAM, &cams[2].url()).unwrap().segment = Duration::from_secs(5);
    elsewhere.start().await.unwrap();
    rig.start().await.unwrap();
    let gone = |k: &EventKind| matches!(k, EventKind::FootageDeleted { .. });
    rig.wait_for("the oldest to go", 1, gone).await.unwrap();
    let status = |name: &str| rig.nvr().camera(&id(name)).unwrap().status();
    let arrived = cameras.map(|name| status(name).counters.frames);
    disk.hang();
    let connections = || [cams[0].connections(), cams[1].connections()];
    let connected = connections();
    let closed = |k: &EventKind| matches!(k, EventKind::SegmentClosed { .. });
    let written = elsewhere.count(closed);
    // 10 frames a second.
    for part in [200, 400, 600] {
        rig.until("frames of both to come, and most of them to wait", || {
            cameras.iter().zip(arrived).all(|(name, before)| {
                let status = status(name);
                status.counters.frames >= before + part && status.waiting_bytes > part * 200
            })
        })
        .await
        .unwrap();
    }
    assert!(
        elsewhere.count(closed) >= written + 10,
        "the other disk waits for this one"
    );
    assert_unaffected(&elsewhere);
    // Told, though nothing is lost yet.
    let hangs = |k: &EventKind| matches!(k, EventKind::StorageHangs { .. });
    rig.wait_for("the hanging to be told", 1, hangs).await.unwrap();
    let health = rig.nvr().health();
    assert!(!health.ok && !health.ready, "{health:?}");
    assert!(
        health.problems[0].cause.message.contains("does not answer"),
        "{health:?}"
    );
    assert!(elsewhere.nvr().health().ok);
    disk.go_on();
    let answers = |k: &EventKind| matches!(k, EventKind::StorageAnswers);
    rig.wait_for("its end to be told", 1, answers).await.unwrap();
    assert!(rig.nvr().health().ready, "{:?}", rig.nvr().health());
    assert_eq!(rig.count(hangs), 1);
    rig.until("all of it to be written", || {
        cameras.iter().zip(arrived).all(|(name, before)| {
            let status = status(name);
            status.counters.frames > before + 620 && status.waiting_bytes < 40_000
        })
    })
    .await
    .unwrap();
    let before = rig.count(gone);
    rig.wait_for("more to go", before + 1, gone).await.unwrap();
    assert_eq!(connections(), connected, "the cameras were left alone");
    assert_unaffected(&rig);
    rig.stop_clean().await.unwrap();
    let rows = rig.judge().await.unwrap();
    // The oldest that could stay stayed.
    let bytes: u64 = rows.iter().map(|r| r.size_bytes).sum();
    assert!(bytes > 100_000, "{bytes} bytes are left");
    for name in cameras {
        whole(&rig.numbers(name).await.unwrap()).unwrap();
    }
    assert_unaffected(&elsewhere);
    elsewhere.stop_clean().await.unwrap();
    whole(&elsewhere.numbers(CAM).await.unwrap()).unwrap();
}

/// A transcode in the middle of which the disk stands still gives its place to others and is done later; a recorder whose
/// disk hangs can be stopped all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_transcode_on_a_disk_that_hangs_gives_its_place_back() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Hanging::new(&dir.path().join("behind"), &dir.path().join("disk")) else {
        return;
    };
    let cam = TestCam::start(heavy()).unwrap();
    let mut rig = Rig::at(&dir.path().join("disk/nvr"));
    rig.config.recorder.database = dir.path().join("index.db");
    // How busy the machine is, is not what this is about.
    rig.config.jobs.max_load_percent = 0;
    let camera = rig.add(CAM, &cam.url()).unwrap();
    camera.segment = Duration::from_secs(10);
    camera.watchdog = Duration::from_secs(60);
    rig.start().await.unwrap();
    let closed = |k: &EventKind| matches!(k, EventKind::SegmentClosed { .. });
    rig.wait_for("a whole segment", 2, closed).await.unwrap();
    let range = rig.rows().await.unwrap()[1].range();
    let jobs = rig.nvr().transcode(&id(CAM), range).await.unwrap();
    assert_eq!(jobs.len(), 1);
    let job = || rig.nvr().store().job(jobs[0]).unwrap();
    rig.until("the work to begin", || job().state == JobState::Running)
        .await
        .unwrap();
    disk.hang();
    rig.until("its place to be free", || {
        let job = job();
        assert_ne!(job.state, JobState::Done, "it was done before the disk hung");
        job.state == JobState::Queued && job.error.is_some_and(|e| e.contains("does not answer"))
    })
    .await
    .unwrap();
    // Comes to an end, though nothing of the camera can be closed.
    let report = rig.nvr().shutdown(Duration::from_secs(5)).await;
    assert_eq!(report.cut, [id(CAM)]);
    disk.go_on();
    rig.stop().await;
    // What hung holds the root until it has come to its end.
    let again = tokio::sync::Mutex::new(&mut rig);
    wait::until_async("the root to be free", LIMIT, || async {
        again.lock().await.start().await.ok()
    })
    .await
    .unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(20).await.unwrap();
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
}

/// In the middle of a copy, and of playback.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_root_that_hangs_in_the_middle_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let Some((mut rig, disk)) = rig(dir.path()) else {
        return;
    };
    let cam = TestCam::start(heavy()).unwrap();
    rig.config.tier.as_mut().unwrap().after = Some(Duration::ZERO);
    rig.add(CAM, &cam.url()).unwrap().segment = Duration::from_secs(2);
    rig.start().await.unwrap();
    let there = moved(&rig, 2).await;
    let (_, file, len) = rig.nvr().open_segment(there[0].id).await.unwrap();
    // From now on a copy never ends.
    let mut config = rig.config.clone();
    config.tier.as_mut().unwrap().bandwidth_bytes_per_s = 1;
    rig.nvr().reload(config.clone()).await.unwrap();
    let copying = wait::until("a copy", LIMIT, || under_way(&rig)).unwrap();
    disk.hang();
    let read = tokio::task::spawn_blocking(move || {
        let mut all = vec![0; usize::try_from(len).unwrap()];
        let mut done = 0;
        while done < all.len() {
            match file.read_at(done as u64, &mut all[done..]).unwrap() {
                0 => break,
                n => done += n,
            }
        }
        blake3::hash(&all[..done])
    });
    // The copy may go on, and hangs.
    config.tier.as_mut().unwrap().bandwidth_bytes_per_s = 0;
    rig.nvr().reload(config).await.unwrap();
    rig.wait_for("the loss to be told", 1, lost).await.unwrap();
    assert!(rig.nvr().open_segment(there[0].id).await.is_err());
    rig.frames(20).await.unwrap();
    assert!(!read.is_finished());
    assert_eq!(
        rig.nvr().store().segment(copying).unwrap().unwrap().tier,
        Tier::First
    );
    disk.go_on();
    let hash = read.await.unwrap();
    assert_eq!(Some(*hash.as_bytes()), there[0].hash);
    rig.wait_for("its return", 1, back).await.unwrap();
    rig.until("the copy to count", || {
        rig.nvr().store().segment(copying).unwrap().unwrap().tier == Tier::Second
    })
    .await
    .unwrap();
    assert_unaffected(&rig);
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
    whole(&rig.numbers(CAM).await.unwrap()).unwrap();
}

/// It goes altogether: the copy is worth nothing, the original is what counts, and whoever reads is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_root_that_vanishes_in_the_middle_of_a_move_and_of_playback() {
    let dir = tempfile::tempdir().unwrap();
    let Some((mut rig, mut disk)) = rig(dir.path()) else {
        return;
    };
    let cam = TestCam::start(heavy()).unwrap();
    rig.config.tier.as_mut().unwrap().after = Some(Duration::ZERO);
    rig.add(CAM, &cam.url()).unwrap().segment = Duration::from_secs(2);
    rig.start().await.unwrap();
    let there = moved(&rig, 2).await;
    let (_, file, len) = rig.nvr().open_segment(there[0].id).await.unwrap();
    let mut config = rig.config.clone();
    config.tier.as_mut().unwrap().bandwidth_bytes_per_s = 1;
    rig.nvr().reload(config.clone()).await.unwrap();
    let copying = wait::until("a copy", LIMIT, || under_way(&rig)).unwrap();
    disk.vanish();
    let failed = tokio::task::spawn_blocking(move || {
        let mut all = vec![0; usize::try_from(len).unwrap()];
        let mut done = 0;
        while done < all.len() {
            match file.read_at(done as u64, &mut all[done..]) {
                Ok(0) => return None,
                Ok(n) => done += n,
                Err(e) => return Some(e),
            }
        }
        None
    });
    assert!(failed.await.unwrap().is_some(), "it was read though it was gone");
    config.tier.as_mut().unwrap().bandwidth_bytes_per_s = 0;
    rig.nvr().reload(config).await.unwrap();
    rig.wait_for("the loss to be told", 1, lost).await.unwrap();
    let row = rig.nvr().store().segment(copying).unwrap().unwrap();
    assert_eq!((row.tier, row.state), (Tier::First, SegmentState::Closed));
    let (_, original, len) = rig.nvr().open_segment(copying).await.unwrap();
    let mut first = [0; 8];
    assert!(len == row.size_bytes && original.read_at(0, &mut first).unwrap() == 8);
    assert_eq!(&first[4..], b"ftyp");
    rig.frames(20).await.unwrap();
    judge_timeline(&rig.timeline(CAM).await.unwrap()).unwrap();
    assert_eq!(
        std::fs::read_dir(dir.path().join("second")).unwrap().count(),
        0,
        "nothing is written to the empty mount point"
    );
    disk.again();
    rig.wait_for("its return", 1, back).await.unwrap();
    rig.until("the copy to count", || {
        rig.nvr().store().segment(copying).unwrap().unwrap().tier == Tier::Second
    })
    .await
    .unwrap();
    assert!(rig.nvr().open_segment(there[0].id).await.is_ok());
    assert_unaffected(&rig);
    rig.stop_clean().await.unwrap();
    for row in rig.judge().await.unwrap() {
        assert!(file_of(&rig.config, &row).is_file());
    }
    whole(&rig.numbers(CAM).await.unwrap()).unwrap();
    // What was copied in vain is gone, at the latest with the next start.
    rig.start().await.unwrap();
    rig.stop_clean().await.unwrap();
    let drafts = std::fs::read_dir(dir.path().join("second/.nvr-transcode")).unwrap();
    assert_eq!(drafts.count(), 0);
}

/// It hangs already when the recorder starts: recording does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_root_that_hangs_at_the_start_holds_up_no_recording() {
    let dir = tempfile::tempdir().unwrap();
    let Some((mut rig, disk)) = rig(dir.path()) else {
        return;
    };
    let cam = TestCam::start(small()).unwrap();
    rig.config.tier.as_mut().unwrap().after = Some(Duration::ZERO);
    rig.add(CAM, &cam.url()).unwrap().segment = Duration::from_secs(1);
    rig.start().await.unwrap();
    let before = moved(&rig, 2).await;
    rig.stop_clean().await.unwrap();
    disk.hang();
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(20).await.unwrap();
    let health = rig.nvr().health();
    assert!(!health.ok && health.ready, "{health:?}");
    assert!(rig.nvr().open_segment(before[0].id).await.is_err());
    disk.go_on();
    rig.wait_for("its return", 1, back).await.unwrap();
    assert!(rig.nvr().open_segment(before[0].id).await.is_ok());
    moved(&rig, before.len() + 1).await;
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
}
