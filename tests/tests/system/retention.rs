//! A small disk and what is deleted to live with it. Mounting takes root; others skip these.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use nvr_core::config::{Age, RetentionConfig, Room};
use nvr_core::event::{CameraPhase, CauseKind, DeletionReason};
use nvr_core::files::SegmentName;
use nvr_core::segment::{ClosedSegment, SegmentStart};
use nvr_core::store::{EventQuery, OpenMode, SegmentRow, Store};
use nvr_core::time::NS_PER_S;
use nvr_core::{CameraId, EventKind, TimeRange};
use nvr_tests::disk::{Mount, available, leave};
use nvr_tests::recorder::Recorder;
use nvr_tests::rig::{CAM, Rig, checked, id, judge_timeline, rows, small, storage_fault, to_phase, whole};
use nvr_tests::{Picture, TestCam, TestCamOptions};

const MIB: u64 = 1 << 20;

/// So many bytes a second that a small disk is soon full.
fn heavy() -> TestCamOptions {
    TestCamOptions {
        bitrate_bps: 6_000_000,
        picture: Picture::Snow,
        ..small()
    }
}

fn deleted(kind: &EventKind) -> Option<(u64, u64, DeletionReason)> {
    match kind {
        EventKind::FootageDeleted {
            segments,
            size_bytes,
            reason,
            ..
        } => Some((*segments, *size_bytes, *reason)),
        _ => None,
    }
}

fn is_gone(rig: &Rig) -> u64 {
    rig.events()
        .iter()
        .filter_map(|e| deleted(&e.kind))
        .map(|d| d.0)
        .sum()
}

/// The disk is as large as some seconds of footage: the oldest goes, and recording never notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_disk_is_never_full() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("disk");
    let Some(_mount) = Mount::memory(&root, 32) else {
        return;
    };
    let cam = TestCam::start(heavy()).unwrap();
    let mut rig = Rig::at(&root);
    rig.config.retention.min_free = Room::Bytes(22 * MIB);
    rig.config.retention.critical_free = Room::Bytes(4 * MIB);
    rig.add(CAM, &cam.url()).unwrap().segment = Duration::from_secs(1);
    rig.start().await.unwrap();
    let mut least = u64::MAX;
    rig.until("more deleted than the disk can hold", || {
        least = least.min(available(&root));
        let bytes = |e: &nvr_core::Event| deleted(&e.kind).map_or(0, |d| d.1);
        rig.events().iter().map(bytes).sum::<u64>() > 15 * MIB
    })
    .await
    .unwrap();
    eprintln!("least that was free: {} KiB", least / 1024);
    assert!(least > 16 * MIB, "only {least} bytes were left");
    assert_eq!(rig.count(|k| storage_fault(k).is_some()), 0);
    assert_eq!(rig.count(|k| matches!(k, EventKind::SpaceLow { .. })), 0);
    assert_eq!(rig.count(|k| matches!(k, EventKind::FramesDropped { .. })), 0);
    assert!(
        rig.events()
            .iter()
            .filter_map(|e| deleted(&e.kind))
            .all(|d| d.2 == DeletionReason::FreeSpace)
    );
    assert!(rig.nvr().health().ok);
    let timeline = rig.timeline(CAM).await.unwrap();
    judge_timeline(&timeline).unwrap();
    assert_eq!(
        (timeline.ranges.len(), timeline.gaps.len()),
        (1, 0),
        "{timeline:#?}"
    );
    let stats = rig.nvr().stats().await.unwrap();
    assert!(
        stats.bytes_per_hour > 0.0 && stats.days_left.is_some_and(|d| d < 1.0),
        "{stats:#?}"
    );
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
    whole(&rig.numbers(CAM).await.unwrap()).unwrap();
}

/// Others fill the disk, and files lie about that nobody knows: exactly enough of our own goes, and of theirs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn fm16_a_disk_filled_by_others_costs_exactly_enough() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("disk");
    let Some(_mount) = Mount::memory(&root, 64) else {
        return;
    };
    let cam = TestCam::start(heavy()).unwrap();
    let mut rig = Rig::at(&root);
    rig.config.recorder.database = dir.path().join("index.db");
    let wanted = 16 * MIB;
    rig.config.retention.min_free = Room::Bytes(wanted);
    rig.add(CAM, &cam.url()).unwrap().segment = Duration::from_secs(1);
    rig.start().await.unwrap();
    rig.wait_for("ten segments", 11, |k| {
        matches!(k, EventKind::SegmentOpened { .. })
    })
    .await
    .unwrap();
    // What a lost index leaves: files of segments without a row. And somebody's own file.
    let before = rig.rows().await.unwrap();
    let mut others: Vec<PathBuf> = (0..3)
        .map(|n| {
            let known = root.join(&before[n].path);
            let name = known.file_name().unwrap().to_str().unwrap();
            // The same run at another time of the day.
            let path = known.with_file_name(format!("00-00-00.00{n}{}", &name[12..]));
            assert!(SegmentName::parse(path.strip_prefix(&root).unwrap()).is_some());
            std::fs::copy(&known, &path).unwrap();
            path
        })
        .collect();
    let filler = root.join("somebody.bin");
    others.push(filler.clone());
    // Half a segment is missing.
    leave(&filler, wanted - before[0].size_bytes / 2);
    rig.until("the oldest to go", || is_gone(&rig) > 0).await.unwrap();
    // A few looks more: nothing goes but for what is recorded meanwhile.
    rig.frames(50).await.unwrap();
    rig.stop_clean().await.unwrap();
    for path in &others {
        assert!(path.exists(), "{} is gone", path.display());
    }
    let after = rows(&rig.config).await.unwrap();
    let left: HashSet<_> = after.iter().map(|r| r.id).collect();
    let gone: Vec<&SegmentRow> = before.iter().filter(|r| !left.contains(&r.id)).collect();
    eprintln!("{} of {} segments went", gone.len(), before.len());
    assert!(!gone.is_empty() && gone.len() < before.len());
    assert!(
        gone.iter().all(|g| after.iter().all(|a| a.start > g.start)),
        "not the oldest: {gone:#?}"
    );
    // One fewer would not have been enough.
    let last = gone.iter().map(|g| g.size_bytes).next_back().unwrap();
    assert!(available(&root) - last < wanted, "{} are free", available(&root));
    assert_eq!(rig.count(|k| storage_fault(k).is_some()), 0);
    assert!(
        rig.gap_causes().iter().all(|c| *c == CauseKind::Shutdown),
        "{:?}",
        rig.gap_causes()
    );
}

/// Below the critical mark everything unprotected goes and is told; then cameras pause, the important one last, stay
/// connected, and resume by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn fm16_with_nothing_left_to_delete_cameras_pause_by_priority_and_resume() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("disk");
    let Some(_mount) = Mount::memory(&root, 64) else {
        return;
    };
    let cam = TestCam::start(TestCamOptions {
        paths: vec!["/gate".into(), "/yard".into()],
        ..small()
    })
    .unwrap();
    let mut rig = Rig::at(&root);
    rig.config.recorder.database = dir.path().join("index.db");
    let critical = 16 * MIB;
    rig.config.retention.critical_free = Room::Bytes(critical);
    // It is not to go for its age, but in an emergency it does.
    rig.config.retention.event_age = Some(Age::Forever);
    for (name, priority) in [("gate", 9), ("yard", 1)] {
        let url = cam.urls().into_iter().find(|u| u.ends_with(name)).unwrap();
        rig.add(name, &url).unwrap().priority = priority;
    }
    rig.start().await.unwrap();
    for name in ["gate", "yard"] {
        rig.phase(name, CameraPhase::Recording).await.unwrap();
    }
    rig.until("frames", || {
        rig.nvr()
            .cameras()
            .iter()
            .all(|c| c.status().counters.frames > 15)
    })
    .await
    .unwrap();
    for camera in rig.nvr().cameras() {
        camera.split().unwrap();
    }
    rig.wait_for("the split", 2, |k| matches!(k, EventKind::SegmentClosed { .. }))
        .await
        .unwrap();
    rig.wait_for("what follows it", 4, |k| {
        matches!(k, EventKind::SegmentOpened { .. })
    })
    .await
    .unwrap();
    let closed = rig.rows().await.unwrap();
    let first = closed
        .iter()
        .find(|r| r.camera.as_str() == "yard" && r.duration_ns > 0)
        .unwrap();
    rig.nvr()
        .mark_event(&first.camera, first.range(), true)
        .await
        .unwrap();
    // What grows is to be kept: it reaches farther than anything that was closed.
    let now = rig.nvr().clock().now().add_ns(60 * NS_PER_S);
    let growing = TimeRange::new(now, now.add_ns(NS_PER_S)).unwrap();
    for name in ["gate", "yard"] {
        assert_eq!(
            rig.nvr().protect_range(&id(name), growing, true).await.unwrap(),
            1
        );
    }

    let filler = root.join("filler");
    leave(&filler, critical * 3 / 4);
    rig.wait_for("word of it", 1, |k| matches!(k, EventKind::SpaceLow { .. }))
        .await
        .unwrap();
    rig.until("all that may go to be gone", || is_gone(&rig) == 2)
        .await
        .unwrap();
    rig.phase("yard", CameraPhase::Standby).await.unwrap();
    let state = rig.nvr().camera(&id("yard")).unwrap().status();
    assert_eq!(state.state.cause.kind, CauseKind::LowSpace);
    let gate = rig.nvr().camera(&id("gate")).unwrap();
    assert_eq!(
        gate.status().state.phase,
        CameraPhase::Recording,
        "the important one goes on"
    );
    let health = rig.nvr().health();
    assert!(!health.ok && !health.ready, "{health:#?}");
    assert_eq!(
        health
            .problems
            .iter()
            .map(|p| (p.camera.clone(), p.cause.kind))
            .collect::<Vec<_>>(),
        [
            (None, CauseKind::LowSpace),
            (Some(id("yard")), CauseKind::LowSpace)
        ]
    );
    let mut told = EventQuery::new(TimeRange::ALL);
    told.kinds = vec!["footage_deleted".into(), "space_low".into()];
    let told = rig.nvr().events_of(told).await.unwrap().items;
    assert!(told.len() >= 2, "kept for who looks later: {told:#?}");
    assert!(
        told.iter()
            .filter_map(|e| deleted(&e.event.kind))
            .all(|d| d.2 == DeletionReason::Emergency),
        "{told:#?}"
    );

    leave(&filler, critical / 4);
    rig.phase("gate", CameraPhase::Standby).await.unwrap();
    assert_eq!(gate.status().state.cause.kind, CauseKind::LowSpace);
    // They are still there for who looks.
    rig.until("a picture of now", || gate.latest_keyframe().is_some())
        .await
        .unwrap();

    std::fs::remove_file(&filler).unwrap();
    for name in ["gate", "yard"] {
        rig.phase(name, CameraPhase::Recording).await.unwrap();
    }
    rig.wait_for("word of the end", 1, |k| {
        matches!(k, EventKind::SpaceRecovered { .. })
    })
    .await
    .unwrap();
    rig.until("all to be well", || rig.nvr().health().ok)
        .await
        .unwrap();
    assert_eq!(rig.count(|k| storage_fault(k).is_some()), 0);
    assert_eq!(rig.count(|k| to_phase(k, CameraPhase::Failed)), 0);
    for name in ["gate", "yard"] {
        let timeline = rig.timeline(name).await.unwrap();
        judge_timeline(&timeline).unwrap();
        assert_eq!(timeline.gaps.len(), 1, "{timeline:#?}");
        assert_eq!(timeline.gaps[0].cause.kind, CauseKind::LowSpace, "{timeline:#?}");
    }
    rig.stop_clean().await.unwrap();
    let left = rig.judge().await.unwrap();
    assert_eq!(left.iter().filter(|r| r.protected).count(), 2, "{left:#?}");
}

/// Old segments of a camera that is gone: copies of a real one, each with a row.
fn history(config: &nvr_core::config::Config, row: &SegmentRow, count: i64) -> CameraId {
    let store = Store::open(&config.recorder.database, OpenMode::ReadWrite).unwrap();
    let gone = CameraId::new("gone").unwrap();
    let fragments = store.fragments(row.id).unwrap().unwrap();
    let mut segments = Vec::new();
    for n in 0..count {
        let begin = row.start.add_ns(-86_400 * NS_PER_S + n * 20 * NS_PER_S);
        let start = SegmentStart {
            camera: gone.clone(),
            run: row.run,
            sequence: u32::try_from(n).unwrap(),
            anchor: nvr_core::run::Anchor {
                utc: begin,
                steady_ns: 0,
                running_ns: 0,
            },
            start: begin,
            camera_start: None,
            container: row.container,
            tracks: row.tracks.clone(),
            masks: None,
            from_card: false,
        };
        let path = SegmentName::of(&start).path();
        let file = config.recorder.root.join(&path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::hard_link(config.recorder.root.join(&row.path), file).unwrap();
        segments.push(ClosedSegment {
            start,
            path,
            duration_ns: row.duration_ns,
            size_bytes: row.size_bytes,
            fragments: fragments.clone(),
            hash: row.hash,
            recovered: false,
        });
    }
    store.insert_segments_blocking(segments).unwrap();
    store.shutdown_blocking().unwrap();
    gone
}

/// Killed again and again while it deletes thousands: nothing is ever taken for a loss, and in the end all are gone.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_deletion_nothing_is_lost_or_left() {
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap();
    rig.start().await.unwrap();
    rig.frames(15).await.unwrap();
    rig.stop_clean().await.unwrap();
    let row = rig.rows().await.unwrap().remove(0);
    let config = rig.config.clone();
    let gone = tokio::task::spawn_blocking(move || history(&config, &row, 3000))
        .await
        .unwrap();

    let camera = [format!("{CAM}={}", cam.url())];
    let more = ["--max-age", "3600"];
    let count = |all: &[SegmentRow]| all.iter().filter(|r| r.camera == gone).count();
    let mut kills = 0;
    let mut left = 3000_usize;
    while left > 0 && kills < 5 {
        let mut recorder = Recorder::start(rig.root(), &camera, &more).unwrap();
        // At another moment of its work each time.
        let files = rig.root().join("gone");
        let so_many = left.saturating_sub(40 + 37 * kills);
        recorder
            .until("files to go", |_| walk(&files) <= so_many)
            .unwrap();
        recorder.kill().unwrap();
        kills += 1;
        let report = checked(&rig.config).await.unwrap();
        let problems: Vec<_> = report
            .problems
            .iter()
            .filter(|p| p.path.starts_with("gone"))
            .collect();
        assert!(problems.is_empty(), "{problems:#?}");
        left = count(&rows(&rig.config).await.unwrap());
        eprintln!("kill {kills}: {left} rows are left");
    }
    assert!(kills > 1, "it was never killed while it deleted");
    let mut recorder = Recorder::start(rig.root(), &camera, &more).unwrap();
    recorder
        .until("all to be gone", |_| walk(&rig.root().join("gone")) == 0)
        .unwrap();
    recorder.wait_for_frames(10).unwrap();
    recorder.signal(nvr_tests::proc::Signal::Term).unwrap();
    assert!(recorder.wait_for_end().unwrap().success(), "{}", recorder.log());
    let all = rig.judge().await.unwrap();
    assert_eq!(count(&all), 0);
    let store = Store::open(&rig.config.recorder.database, OpenMode::ReadOnly).unwrap();
    assert_eq!(store.condemned().unwrap(), []);
    assert_eq!(store.integrity_check().unwrap(), [""; 0]);
}

/// Files below a folder of a camera.
fn walk(camera: &std::path::Path) -> usize {
    let days = std::fs::read_dir(camera).into_iter().flatten().flatten();
    days.filter_map(|day| std::fs::read_dir(day.path()).ok())
        .map(Iterator::count)
        .sum()
}

/// With everything switched off a full disk is a fault, as it always was, and nothing is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn switched_off_it_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("disk");
    let Some(_mount) = Mount::memory(&root, 48) else {
        return;
    };
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::at(&root);
    rig.config.recorder.database = dir.path().join("index.db");
    rig.config.retention = RetentionConfig::off();
    rig.add(CAM, &cam.url()).unwrap().segment = Duration::from_secs(1);
    rig.start().await.unwrap();
    rig.wait_for("three segments", 4, |k| {
        matches!(k, EventKind::SegmentOpened { .. })
    })
    .await
    .unwrap();
    let before = rig.rows().await.unwrap();
    leave(&root.join("filler"), 0);
    rig.wait_for("the disk to be noticed as full", 1, |k| {
        storage_fault(k).is_some()
    })
    .await
    .unwrap();
    assert_eq!(is_gone(&rig), 0);
    std::fs::remove_file(root.join("filler")).unwrap();
    rig.wait_for("the recovery", 1, |k| matches!(k, EventKind::StorageRecovered))
        .await
        .unwrap();
    rig.stop_clean().await.unwrap();
    let after: HashSet<_> = rig.rows().await.unwrap().iter().map(|r| r.id).collect();
    assert!(before.iter().all(|r| after.contains(&r.id)));
}
