//! A second root: old segments move there, play from there, and are kept in the index while it is away.

use std::time::Duration;

use nvr_core::config::{Age, Room, TierConfig};
use nvr_core::event::{CameraPhase, CauseKind, JobState};
use nvr_core::files::{Root, RootOptions};
use nvr_core::segment::Tier;
use nvr_core::store::{SegmentRow, SegmentState};
use nvr_core::track::VideoCodec;
use nvr_core::{EventKind, SnapshotRequest, check};
use nvr_tests::disk::{Mount, run, text};
use nvr_tests::rig::{CAM, Rig, file_of, id, judge_timeline, small, whole};
use nvr_tests::{Picture, TestCam, TestCamOptions, judge, wait};

/// A recorder with a second root beside the first, whose segments of a second move as soon as they are complete.
fn rig(cam: &TestCam) -> (Rig, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::at(&dir.path().join("first"));
    let mut tier = TierConfig::new(dir.path().join("second"));
    tier.after = Some(Duration::ZERO);
    tier.min_free = Room::NONE;
    rig.config.tier = Some(tier);
    // A busy machine is no matter here.
    rig.config.jobs.max_load_percent = 0;
    rig.add(CAM, &cam.url()).unwrap().segment = Duration::from_secs(1);
    (rig, dir)
}

async fn moved(rig: &Rig, count: usize) -> Vec<SegmentRow> {
    wait::until_async(
        "segments below the second root",
        nvr_tests::rig::LIMIT,
        || async {
            let mut rows = rig.rows().await.unwrap();
            rows.retain(|r| r.tier == Tier::Second);
            (rows.len() >= count).then_some(rows)
        },
    )
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_segments_move_and_nobody_notices() {
    let cam = TestCam::start(small()).unwrap();
    let (mut rig, _dir) = rig(&cam);
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    let there = moved(&rig, 4).await;
    for row in &there {
        // It is removed once the row tells of the other one.
        let old = rig.root().join(&row.path);
        rig.until("the first file is gone", || !old.exists())
            .await
            .unwrap();
        assert!(file_of(&rig.config, row).is_file());
    }
    // Over both roots.
    let timeline = rig.timeline(CAM).await.unwrap();
    assert_eq!(
        (timeline.ranges.len(), timeline.gaps.len()),
        (1, 0),
        "{timeline:#?}"
    );
    let out = rig.export_mp4(timeline.ranges[0].range).await.unwrap();
    judge::decode_all(out.path()).unwrap();
    whole(&judge::frame_numbers(out.path()).unwrap()).unwrap();
    let picture = SnapshotRequest {
        camera: id(CAM),
        at: Some(there[0].start),
        width: None,
        exact: false,
    };
    assert!(!rig.nvr().picture(picture).await.unwrap().jpeg.is_empty());
    let (_, _, len) = rig.nvr().open_segment(there[0].id).await.unwrap();
    assert_eq!(len, there[0].size_bytes);
    let stats = rig.nvr().stats().await.unwrap();
    let tier = stats.tier.unwrap();
    assert!(tier.reachable && tier.segments >= 4 && tier.size_bytes > 0 && tier.disk_total_bytes > 0);
    assert_eq!(stats.cameras[0].tier_bytes, tier.size_bytes);
    assert!(rig.nvr().health().ok);

    // Encoded again where it lies, and deleted there.
    let jobs = rig.nvr().transcode(&id(CAM), there[1].range()).await.unwrap();
    let job = rig.nvr().jobs().wait(jobs[0]).await.unwrap();
    assert_eq!(job.state, JobState::Done, "{job:?}");
    let now = rig.nvr().store().segment(there[1].id).unwrap().unwrap();
    if job.result.as_ref().is_some_and(|r| r.get("encoder").is_some()) {
        assert_eq!(
            (now.tracks.video.codec, now.tier),
            (VideoCodec::H265, Tier::Second)
        );
    }
    rig.nvr().delete_segment(there[0].id).await.unwrap();
    assert!(!file_of(&rig.config, &there[0]).exists());
    rig.stop_clean().await.unwrap();
    let rows = rig.judge().await.unwrap();
    whole(&rig.numbers(CAM).await.unwrap()).unwrap();

    // A new index finds them below both roots.
    let (config, db) = (rig.config.clone(), rig.config.recorder.database.clone());
    tokio::task::spawn_blocking(move || {
        let options = RootOptions {
            exclusive: true,
            ..RootOptions::default()
        };
        let clock = nvr_core::clock::SystemClock::shared();
        let first = Root::open(&config.recorder.root, options, clock.clone()).unwrap();
        let second = Root::open(&config.tier.unwrap().root, options, clock).unwrap();
        let options = check::RebuildOptions::default();
        check::rebuild_both(&first, Some(&second), &db, options, &mut |_| {}).unwrap()
    })
    .await
    .unwrap();
    let places = |rows: &[SegmentRow]| {
        let mut all: Vec<_> = rows.iter().map(|r| (r.path.clone(), r.tier, r.hash)).collect();
        all.sort();
        all
    };
    assert_eq!(places(&rig.judge().await.unwrap()), places(&rows));
}

/// The disk of the second root goes and comes back. Recording is not concerned, and nothing is deleted meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_root_that_vanishes_is_told_and_loses_nothing() {
    let cam = TestCam::start(small()).unwrap();
    let (mut rig, dir) = rig(&cam);
    let image = dir.path().join("disk.img");
    std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    assert!(run("mkfs.ext4", &["-q", text(&image)]));
    let mount = ["-t", "ext4", "-o", "loop", text(&image)];
    let Some(disk) = Mount::new(&dir.path().join("second"), &mount) else {
        return;
    };
    // mkfs leaves a folder there, so the root lies below.
    let tier = rig.config.tier.as_mut().unwrap();
    tier.root = dir.path().join("second/nvr");
    tier.root_mount = Some(dir.path().join("second"));
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    let there = moved(&rig, 2).await;
    disk.vanish();
    let lost =
        |k: &EventKind| matches!(k, EventKind::TierLost { cause } if cause.kind == CauseKind::StorageMissing);
    rig.wait_for("the loss to be told", 1, lost).await.unwrap();
    let health = rig.nvr().health();
    assert!(!health.ok && health.ready, "{health:?}");
    assert!(!rig.nvr().stats().await.unwrap().tier.unwrap().reachable);
    rig.frames(15).await.unwrap();
    // All is too old now, also what is out of reach.
    let mut config = rig.config.clone();
    config.retention.max_age = Age::For(Duration::from_secs(1));
    rig.nvr().reload(config.clone()).await.unwrap();
    rig.nvr().cleanup(false).await.unwrap();
    for row in &there {
        let now = rig.nvr().store().segment(row.id).unwrap().unwrap();
        assert_eq!((now.state, now.tier), (row.state, Tier::Second));
        assert!(rig.nvr().open_segment(row.id).await.is_err());
        assert!(rig.nvr().delete_segment(row.id).await.is_err());
    }
    judge_timeline(&rig.timeline(CAM).await.unwrap()).unwrap();
    assert!(
        !dir.path().join("second/nvr").exists(),
        "nothing is written to an empty mount point"
    );

    config.retention.max_age = Age::Forever;
    rig.nvr().reload(config).await.unwrap();
    disk.again(&mount);
    rig.wait_for("its return", 1, |k| matches!(k, EventKind::TierBack))
        .await
        .unwrap();
    assert!(rig.nvr().open_segment(there[0].id).await.is_ok());
    moved(&rig, there.len() + 2).await;
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
}

/// The recordings root is a small disk: the oldest moves instead of being deleted, and the second root keeps to its
/// own limit.
#[tokio::test(flavor = "multi_thread")]
async fn for_want_of_room_the_oldest_moves() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("first");
    let Some(_mount) = Mount::memory(&root, 48) else {
        return;
    };
    let cam = TestCam::start(TestCamOptions {
        bitrate_bps: 6_000_000,
        picture: Picture::Snow,
        ..small()
    })
    .unwrap();
    let mut rig = Rig::at(&root);
    rig.config.retention.min_free = Room::Bytes(36 << 20);
    rig.config.retention.critical_free = Room::Bytes(4 << 20);
    let mut tier = TierConfig::new(dir.path().join("second"));
    tier.min_free = Room::NONE;
    tier.max_bytes = Some(8 << 20);
    rig.config.tier = Some(tier);
    rig.add(CAM, &cam.url()).unwrap().segment = Duration::from_secs(1);
    rig.start().await.unwrap();
    rig.until("the second root to be over its limit", || {
        rig.count(|k| matches!(k, EventKind::FootageDeleted { .. })) > 0
    })
    .await
    .unwrap();
    rig.stop_clean().await.unwrap();
    let rows = rig.judge().await.unwrap();
    let there: u64 = rows
        .iter()
        .filter(|r| r.tier == Tier::Second)
        .map(|r| r.size_bytes)
        .sum();
    assert!(there > 4 << 20, "{there}");
    // Only the oldest went, from the second root.
    whole(&rig.numbers(CAM).await.unwrap()).unwrap();
    assert!(rows.iter().all(|r| r.state == SegmentState::Closed));
    let tiers: Vec<Tier> = rows.iter().map(|r| r.tier).collect();
    assert!(
        tiers.windows(2).all(|w| w[0] >= w[1]),
        "the oldest are there: {tiers:?}"
    );
}
