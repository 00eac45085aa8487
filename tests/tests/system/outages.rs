//! Cameras that are away, come back, and come back as others.

use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::time::NS_PER_S;
use nvr_core::track::VideoCodec;
use nvr_core::{ErrorKind, EventKind, ExportFormat, ExportRequest, TimeRange};
use nvr_tests::rig::{CAM, Rig, file_of, id, judge_timeline, numbers_of, small, to_phase, whole};
use nvr_tests::{Audio, Codec, TestCam, TestCamOptions, judge};

/// Down at the start, then there; dies and returns with another size, without audio, with another codec. Each life
/// is footage, each absence a gap with its cause, and exports are whole or refused, never broken.
#[tokio::test(flavor = "multi_thread")]
async fn fm11_away_at_the_start_and_back_as_another_camera() {
    let first = TestCamOptions {
        audio: Audio::Pcma,
        ..small()
    };
    let mut cam = TestCam::start(first.clone()).unwrap();
    cam.die();
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap();
    rig.start().await.unwrap();
    rig.wait_for("two tries in vain", 2, |k| to_phase(k, CameraPhase::BackingOff))
        .await
        .unwrap();
    assert!(!rig.nvr().health().ok, "a camera that is away is no good health");
    let events = rig.events();
    let tries: Vec<_> = events
        .iter()
        .filter(|e| to_phase(&e.kind, CameraPhase::BackingOff))
        .collect();
    let since = rig.cam().state().borrow().since;
    assert!(since <= tries[0].at, "each try began the outage anew: {since}");

    let lives = [
        first.clone(),
        TestCamOptions {
            width: 480,
            height: 360,
            ..first.clone()
        },
        TestCamOptions {
            audio: Audio::None,
            ..first.clone()
        },
        TestCamOptions {
            codec: Codec::H265,
            audio: Audio::Aac,
            ..first
        },
    ];
    for life in &lives {
        cam.come_back_as(life.clone()).unwrap();
        rig.phase(CAM, CameraPhase::Recording).await.unwrap();
        rig.frames(20).await.unwrap();
        assert!(rig.nvr().health().ok);
        cam.die();
        rig.phase(CAM, CameraPhase::BackingOff).await.unwrap();
    }
    rig.stop_clean().await.unwrap();

    let rows = rig.judge().await.unwrap();
    assert_eq!(rows.len(), lives.len(), "one segment for each life: {rows:#?}");
    for (row, life) in rows.iter().zip(&lives) {
        let video = &row.tracks.video;
        assert_eq!((video.width, video.height), (life.width, life.height));
        assert_eq!(video.codec == VideoCodec::H265, life.codec == Codec::H265);
        assert_eq!(row.tracks.audio.is_some(), life.audio != Audio::None);
        let streams = judge::streams(&file_of(&rig.config, row).to_string_lossy()).unwrap();
        assert_eq!(streams[0]["width"], life.width);
        assert_eq!(streams.len(), 1 + usize::from(life.audio != Audio::None));
        whole(&numbers_of(&rig.config, row).await.unwrap()).unwrap();
    }

    rig.start().await.unwrap();
    let timeline = rig.timeline(CAM).await.unwrap();
    judge_timeline(&timeline).unwrap();
    assert_eq!(timeline.ranges.len(), lives.len(), "{timeline:#?}");
    for gap in &timeline.gaps {
        let known = [
            CauseKind::StreamEnded,
            CauseKind::Unreachable,
            CauseKind::Shutdown,
            CauseKind::Startup,
        ];
        assert!(known.contains(&gap.cause.kind), "{timeline:#?}");
    }
    export_all(&rig, rows.len()).await;
    rig.stop_clean().await.unwrap();
}

/// One file over changes of the stream is refused, one for each stretch works.
async fn export_all(rig: &Rig, stretches: usize) {
    let request = ExportRequest::new(id(CAM), TimeRange::ALL, ExportFormat::Mp4);
    let rows = rig.rows().await.unwrap();
    let range = TimeRange::new(rows[0].start, rows[rows.len() - 1].end()).unwrap();
    let request = ExportRequest { range, ..request };
    let refused = rig.nvr().export(request.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    for format in [ExportFormat::Mp4, ExportFormat::Fmp4] {
        let request = ExportRequest {
            format,
            ..request.clone()
        };
        let clips = rig.nvr().export_split(request).await.unwrap();
        assert_eq!(clips.len(), stretches);
        for (clip, row) in clips.into_iter().zip(&rows) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("clip.mp4");
            let numbers = tokio::task::spawn_blocking(move || {
                let mut file = std::fs::File::create(&path).unwrap();
                let written = clip.write_to(&mut file, |_| true).unwrap();
                assert_eq!(written, clip.len());
                judge::decode_all(&path).unwrap();
                judge::frame_numbers(&path).unwrap()
            })
            .await
            .unwrap();
            assert_eq!(numbers, numbers_of(&rig.config, row).await.unwrap(), "{format:?}");
        }
    }
}

/// A short loss of the network: back by itself, and the gap is no longer than the absence.
#[tokio::test(flavor = "multi_thread")]
async fn fm11_connections_are_lost_and_made_again() {
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap();
    rig.start().await.unwrap();
    for round in 1..=3 {
        rig.phase(CAM, CameraPhase::Recording).await.unwrap();
        rig.frames(15).await.unwrap();
        cam.drop_connections();
        rig.wait_for("the loss to be noticed", round, |k| {
            to_phase(k, CameraPhase::BackingOff)
        })
        .await
        .unwrap();
    }
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(15).await.unwrap();
    let opened = rig.count(|k| matches!(k, EventKind::GapOpened { .. }));
    let closed = rig.count(|k| matches!(k, EventKind::GapClosed { .. }));
    assert_eq!((opened, closed), (3, 3), "{:#?}", rig.events());
    rig.stop_clean().await.unwrap();
    let rows = rig.judge().await.unwrap();
    assert_eq!(rows.len(), 4);
    for row in &rows {
        whole(&numbers_of(&rig.config, row).await.unwrap()).unwrap();
    }
}

/// Thirty losses in a row, each followed by a connection at once: every state is told, every run has an end and
/// a cause, every gap is closed, and no file is left half.
#[tokio::test(flavor = "multi_thread")]
async fn thirty_quick_reconnects_lose_no_state() {
    const LOSSES: usize = 30;
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap();
    rig.start().await.unwrap();
    for round in 1..=LOSSES {
        rig.phase(CAM, CameraPhase::Recording).await.unwrap();
        rig.frames(2).await.unwrap();
        cam.drop_connections();
        rig.wait_for("the loss to be noticed", round, |k| {
            to_phase(k, CameraPhase::BackingOff)
        })
        .await
        .unwrap();
        // Without waiting for its next try.
        rig.cam().restart().unwrap();
    }
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(2).await.unwrap();
    let status = rig.cam().status();
    assert!(rig.nvr().health().ok && status.recording && status.run.is_some());
    assert_eq!(status.counters.restarts, LOSSES as u64);
    assert_eq!(status.counters.frames_dropped, 0);
    let opened = rig.count(|k| matches!(k, EventKind::GapOpened { .. }));
    let closed = rig.count(|k| matches!(k, EventKind::GapClosed { .. }));
    assert_eq!((opened, closed), (LOSSES, LOSSES));
    rig.stop_clean().await.unwrap();
    let rows = rig.judge().await.unwrap();
    assert_eq!(rows.len(), LOSSES + 1);
    let store =
        nvr_core::store::Store::open(&rig.config.recorder.database, nvr_core::store::OpenMode::ReadOnly)
            .unwrap();
    let runs = store.runs(&id(CAM), TimeRange::ALL).unwrap();
    assert_eq!(runs.len(), LOSSES + 1);
    assert!(runs.iter().all(|r| r.ended.is_some()), "{runs:#?}");
    let gaps = store.gaps(&id(CAM), TimeRange::ALL).unwrap();
    assert!(gaps.iter().rev().skip(1).all(|g| g.end.is_some()), "{gaps:#?}");
}

/// A camera that stands still with its connection open is noticed by the watchdog, and so is its return.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_camera_is_noticed_and_comes_back() {
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap().watchdog = std::time::Duration::from_secs(2);
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(15).await.unwrap();
    cam.hang();
    rig.phase(CAM, CameraPhase::BackingOff).await.unwrap();
    rig.until("the gap", || rig.gap_causes() == [CauseKind::NoFrames])
        .await
        .unwrap();
    cam.resume();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(15).await.unwrap();
    rig.stop_clean().await.unwrap();
    let rows = rig.judge().await.unwrap();
    for row in &rows {
        whole(&numbers_of(&rig.config, row).await.unwrap()).unwrap();
        assert!(row.duration_ns > NS_PER_S, "{rows:#?}");
    }
}
