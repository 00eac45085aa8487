//! Recorded by hand, not at all, and stopped by hand.

use std::time::Duration;

use nvr_core::config::RecordMode;
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::store::SegmentState;
use nvr_core::{Camera, ErrorKind, TimeRange};

use crate::house::*;

async fn recording(camera: &Camera, is: bool) {
    until("the recording by hand", || {
        let status = camera.status();
        (status.recording == is && status.manual.is_some() == is).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_with_what_went_before_until_its_time_is_over() {
    let house = House::new([manual("cam")]);
    let nvr = house.start().await;
    let log = Log::of(&nvr);
    let cam = nvr.camera(&id("cam")).unwrap();
    phase(&cam, CameraPhase::Standby).await;
    assert!(nvr.health().ready);
    until("five seconds of frames", || {
        (cam.status().counters.frames >= 50).then_some(())
    })
    .await;
    assert!(segments(&nvr, "cam").await.is_empty());

    let asked = nvr.clock().now();
    let info = cam.record(Some(Duration::from_secs(2))).await.unwrap();
    assert!(info.until.unwrap().since(asked) >= 2 * S);
    phase(&cam, CameraPhase::Recording).await;
    assert_eq!(cam.status().state.cause.kind, CauseKind::Requested);
    recording(&cam, false).await;
    phase(&cam, CameraPhase::Standby).await;

    let rows = segments_when(&nvr, "cam", one_closed).await;
    let row = &rows[0];
    assert!(
        asked.since(row.start) >= 2 * S,
        "begins {} ns before",
        asked.since(row.start)
    );
    assert!(asked.since(row.start) <= 5 * S);
    assert!(
        row.end().since(asked) >= S,
        "ends {} ns after",
        row.end().since(asked)
    );
    let twice = [CauseKind::NotScheduled, CauseKind::NotScheduled];
    let missing = gaps_when(&nvr, "cam", |gaps| kinds(gaps) == twice).await;
    assert_eq!(missing[0].end, Some(row.start));
    assert!(missing[1].start.since(row.end()).abs() < S && missing[1].end.is_none());
    log.judge_phases("cam");
    let to: Vec<_> = log.phases("cam").iter().map(|p| p.1).collect();
    assert!(
        to.ends_with(&[CameraPhase::Recording, CameraPhase::Standby]),
        "{to:?}"
    );
    assert_eq!(
        to.iter().filter(|p| **p == CameraPhase::Recording).count(),
        1,
        "{to:?}"
    );
    let told = |name| log.all().iter().filter(|e| e.kind.name() == name).count();
    assert_eq!((told("gap_opened"), told("gap_closed")), (0, 0));
    stop(nvr).await;
    let ends = runs(&house.archive().await, "cam").await;
    assert!(ends.iter().all(|r| r.ended.is_some()), "{ends:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_until_stopped_asked_twice_and_no_more_than_allowed() {
    let mut house = House::new([manual("one"), manual("two"), camera("always", SMALL)]);
    let mut away = manual("away");
    away.source = nvr_core::SourceSpec::parse(NOBODY).unwrap();
    let mut off = manual("off");
    off.record = RecordMode::Off;
    house.config.cameras.extend([away, off]);
    house.config.recorder.max_manual = 1;
    let nvr = house.start().await;
    let cam = |name| nvr.camera(&id(name)).unwrap();
    let (one, two) = (cam("one"), cam("two"));
    phase(&one, CameraPhase::Standby).await;
    phase(&two, CameraPhase::Standby).await;
    phase(&cam("away"), CameraPhase::BackingOff).await;
    let state = cam("away").status().state;
    assert_eq!(state.cause.kind, CauseKind::Unreachable, "{state:?}");
    assert!(state.next_try.is_some());

    let none = one.stop_recording().await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Conflict, "{none}");
    for (name, kind) in [
        ("always", ErrorKind::Conflict),
        ("off", ErrorKind::Conflict),
        ("away", ErrorKind::Unavailable),
    ] {
        let refused = cam(name).record(None).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{name}: {refused}");
    }
    // A refusal takes no place.
    let first = one.record(Some(Duration::from_secs(1))).await.unwrap();
    let busy = two.record(None).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy, "{busy}");
    let second = one.record(None).await.unwrap();
    assert_eq!((second.since, second.until), (first.since, None));
    recording(&one, true).await;
    let goal = one.status().counters.frames + 25;
    until("more than its first second", || {
        (one.status().counters.frames >= goal).then_some(())
    })
    .await;
    assert!(one.status().recording);
    one.stop_recording().await.unwrap();
    recording(&one, false).await;
    let rows = segments_when(&nvr, "one", one_closed).await;
    assert!(rows[0].end().since(first.since) >= 2 * S, "{rows:#?}");

    // Its place is free again, and begins of itself end at a stop of the recorder.
    two.record(None).await.unwrap();
    recording(&two, true).await;
    let status = cam("off").status();
    assert_eq!(
        (status.state.phase, status.counters.frames),
        (CameraPhase::Stopped, 0)
    );
    gaps_when(&nvr, "off", |gaps| kinds(gaps) == [CauseKind::NotScheduled]).await;
    stop(nvr).await;
    let rows = segments(&house.archive().await, "two").await;
    assert_eq!((rows.len(), rows[0].state), (1, SegmentState::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_over_a_restart_of_the_camera_and_a_change_of_its_mode() {
    let mut house = House::new([manual("cam")]);
    let nvr = house.start().await;
    let log = Log::of(&nvr);
    let cam = nvr.camera(&id("cam")).unwrap();
    phase(&cam, CameraPhase::Standby).await;
    cam.record(None).await.unwrap();
    recording(&cam, true).await;
    cam.restart().unwrap();
    until("a second segment", || {
        let opened = log
            .all()
            .iter()
            .filter(|e| e.kind.name() == "segment_opened")
            .count();
        (opened == 2).then_some(())
    })
    .await;
    recording(&cam, true).await;
    let causes = [CauseKind::NotScheduled, CauseKind::Requested];
    gaps_when(&nvr, "cam", |gaps| kinds(gaps) == causes).await;

    // Off: the recording ends, and the camera is let go.
    house.config.cameras[0].record = RecordMode::Off;
    nvr.reload(house.config.clone()).await.unwrap();
    recording(&cam, false).await;
    phase(&cam, CameraPhase::Stopped).await;
    gaps_when(&nvr, "cam", |gaps| {
        gaps.last()
            .is_some_and(|g| (g.cause.kind, g.end) == (CauseKind::NotScheduled, None))
    })
    .await;

    house.config.cameras[0].record = RecordMode::Continuous;
    nvr.reload(house.config.clone()).await.unwrap();
    frames(&cam, 10).await;
    house.config.cameras[0].record = RecordMode::Manual;
    nvr.reload(house.config.clone()).await.unwrap();
    phase(&cam, CameraPhase::Standby).await;
    assert!(!cam.status().recording);
    cam.record(None).await.unwrap();
    recording(&cam, true).await;
    house.config.cameras[0].record = RecordMode::Continuous;
    nvr.reload(house.config.clone()).await.unwrap();
    until("no recording by hand", || {
        cam.status().manual.is_none().then_some(())
    })
    .await;
    phase(&cam, CameraPhase::Recording).await;
    frames(&cam, 10).await;
    log.judge_phases("cam");
    stop(nvr).await;
    let archive = house.archive().await;
    assert!(
        segments(&archive, "cam")
            .await
            .iter()
            .all(|r| r.state == SegmentState::Closed)
    );
    let lives = runs(&archive, "cam").await;
    assert!(lives.iter().all(|r| r.ended.is_some()), "{lives:#?}");
    assert!(
        gaps(&archive, "cam").await[..]
            .iter()
            .rev()
            .skip(1)
            .all(|g| g.end.is_some())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_by_hand_and_started_again() {
    let house = House::new([camera("cam", SMALL), camera("away", NOBODY)]);
    let nvr = house.start().await;
    let log = Log::of(&nvr);
    let cam = nvr.camera(&id("cam")).unwrap();
    frames(&cam, 10).await;
    cam.stop().unwrap();
    phase(&cam, CameraPhase::Stopped).await;
    assert!(!cam.status().recording && cam.live(10).is_none());
    assert_eq!(cam.status().state.cause.kind, CauseKind::Requested);
    a_second(&nvr).await;
    cam.start().unwrap();
    frames(&cam, 10).await;
    let timeline = nvr.timeline(&id("cam"), TimeRange::ALL).await.unwrap();
    let causes: Vec<_> = timeline.gaps.iter().map(|g| g.cause.kind).collect();
    assert_eq!(causes, [CauseKind::Requested], "{timeline:#?}");

    // One that is away and is stopped is missing because it was stopped.
    let away = nvr.camera(&id("away")).unwrap();
    phase(&away, CameraPhase::BackingOff).await;
    assert!(!nvr.health().ok);
    away.stop().unwrap();
    phase(&away, CameraPhase::Stopped).await;
    // The state is told at once, the index a moment later.
    let wanted = [CauseKind::Startup, CauseKind::Unreachable, CauseKind::Requested];
    until("the gap in the index", || {
        let found = nvr.store().gaps(&id("away"), TimeRange::ALL).unwrap();
        (kinds(&found) == wanted).then_some(())
    })
    .await;
    assert!(away.status().state.next_try.is_none());
    log.judge_phases("cam");
    log.judge_phases("away");
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_audio_whatever_the_source() {
    let dir = tempfile::tempdir().unwrap();
    // A file with sound, recorded by the recorder itself.
    let loud = "test:?size=320x240&fps=10&gop=10&audio=1";
    let house = House::new([camera("cam", loud)]);
    let nvr = house.start().await;
    frames(&nvr.camera(&id("cam")).unwrap(), 20).await;
    stop(nvr).await;
    let row = segments(&house.archive().await, "cam").await.remove(0);
    assert!(row.tracks.audio.is_some(), "{row:#?}");
    let clip = dir.path().join("clip.mp4");
    std::fs::copy(house.config.recorder.root.join(&row.path), &clip).unwrap();

    let file = format!("file:{}", clip.display());
    let mut quiet = House::new([camera("file", &file), camera("test", loud), camera("loud", &file)]);
    for camera in &mut quiet.config.cameras[..2] {
        camera.audio = false;
    }
    let mut by_hand = manual("hand");
    by_hand.source = nvr_core::SourceSpec::parse(&file).unwrap();
    by_hand.audio = false;
    quiet.config.cameras.push(by_hand);
    let nvr = quiet.start().await;
    let hand = nvr.camera(&id("hand")).unwrap();
    phase(&hand, CameraPhase::Standby).await;
    hand.record(None).await.unwrap();
    for name in ["file", "test", "loud", "hand"] {
        // More than one loop of the file.
        frames(&nvr.camera(&id(name)).unwrap(), 40).await;
    }
    stop(nvr).await;
    let archive = quiet.archive().await;
    for (name, sound) in [("file", false), ("test", false), ("loud", true), ("hand", false)] {
        for row in segments(&archive, name).await {
            assert_eq!(row.tracks.audio.is_some(), sound, "{name}: {row:#?}");
        }
    }
}
