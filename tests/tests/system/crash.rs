//! `kill -9` in mid-segment.

use nvr_core::event::CauseKind;
use nvr_core::store::SegmentState;
use nvr_core::time::NS_PER_S;
use nvr_core::{Archive, EventKind, TimeRange, Timestamp};
use nvr_tests::proc::Signal;
use nvr_tests::recorder::Recorder;
use nvr_tests::rig::{CAM, Rig, id, judge_timeline, numbers_of, rows, small, whole};
use nvr_tests::{Audio, TestCam, TestCamOptions};
use rand::{RngExt as _, SeedableRng as _};

/// Kills of each test; the four tests together make twenty.
const KILLS: usize = 5;
/// What a crash may cost.
const LOSS_NS: i64 = NS_PER_S / 2;

/// The recorder tells its frames from a keyframe on, which may be a minute away: the camera makes one.
fn heard(recorder: &Recorder, cam: &TestCam) {
    recorder
        .until("the segment", |r| r.log().contains("segment_opened"))
        .unwrap();
    recorder
        .until("the first frame", |r| {
            if !r.log().contains("\"arrived\"") {
                cam.force_keyframe();
            }
            r.log().contains("\"arrived\"")
        })
        .unwrap();
}

/// Kills a recorder again and again, each time after a random number of frames, and judges what it left.
async fn killed(seed: u64, options: TestCamOptions) {
    let (fps, bframes) = (i64::from(options.fps), options.bframes as usize);
    let cam = TestCam::start(options).unwrap();
    let mut rig = Rig::new().unwrap();
    let camera = [format!("{CAM}={}", cam.url())];
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    let mut ends: Vec<(i64, i64)> = Vec::new();
    for kill in 0..KILLS {
        let frames = random.random_range(10..60);
        eprintln!("kill {kill} of seed {seed}: after {frames} frames");
        let mut recorder = Recorder::start(rig.root(), &camera, &[]).unwrap();
        heard(&recorder, &cam);
        recorder.wait_for_frames(frames).unwrap();
        recorder.kill().unwrap();
        let arrived = recorder.arrived();
        let last = arrived.iter().copied().max().unwrap();
        ends.push((arrived[0], last + NS_PER_S / fps));
    }
    rig.add(CAM, &cam.url()).unwrap();
    let restarted = nvr_core::clock::Clock::now(&*rig.clock);
    rig.start().await.unwrap();
    let timeline = rig.timeline(CAM).await.unwrap();
    rig.stop().await;

    judge_timeline(&timeline).unwrap();
    let rows: Vec<_> = rows(&rig.config).await.unwrap();
    for (begin, end) in &ends {
        let end = Timestamp::from_ns(*end);
        // Audio that came late began a file of its own: the last one counts.
        let row = rows
            .iter()
            .rfind(|r| r.start <= end && r.end() > Timestamp::from_ns(*begin))
            .unwrap_or_else(|| panic!("nothing is left of {begin} to {end}: {rows:#?}"));
        let lost = end.since(row.end());
        eprintln!("lost {} ms", lost / 1_000_000);
        // Counted to the end of the last frame that had come: whole frames, so at 10 a second five at most.
        assert!(lost <= LOSS_NS, "{lost} ns lost of {row:?}");
        assert_eq!(row.state, SegmentState::Recovered);
        let numbers = numbers_of(&rig.config, row).await.unwrap();
        // B-frames come after the frame that they are shown before: those of the last one may be missing.
        whole(&numbers[..numbers.len() - bframes]).unwrap();
        if row.end() >= restarted {
            // So little was lost that the last picture is still to be shown when the next recorder looks.
            continue;
        }
        let gap = timeline
            .gaps
            .iter()
            .find(|g| g.range.start() == row.end())
            .unwrap_or_else(|| panic!("no gap behind {row:#?}: {timeline:#?}"));
        assert_eq!(gap.cause.kind, CauseKind::Crash, "{timeline:#?}");
    }
    rig.judge().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fm13_kill_with_a_keyframe_each_half_second() {
    let options = TestCamOptions {
        gop: 5,
        audio: Audio::Aac,
        ..small()
    };
    killed(1, options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fm13_kill_with_a_keyframe_each_two_seconds() {
    let options = TestCamOptions {
        gop: 30,
        fps: 15,
        ..small()
    };
    killed(2, options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fm13_kill_with_a_keyframe_each_ten_seconds() {
    let options = TestCamOptions {
        gop: 100,
        audio: Audio::Pcmu,
        ..small()
    };
    killed(3, options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fm13_kill_with_bframes() {
    let options = TestCamOptions {
        gop: 30,
        fps: 15,
        bframes: 2,
        ..small()
    };
    killed(4, options).await;
}

/// A keyframe each minute: the watchdog at its shortest lets the camera be, and a crash costs no more than else.
#[tokio::test(flavor = "multi_thread")]
async fn fm10_a_gop_of_a_minute_is_kept_and_a_crash_costs_little() {
    let cam = TestCam::start(TestCamOptions { gop: 600, ..small() }).unwrap();
    let rig = Rig::new().unwrap();
    let camera = [format!("{CAM}={}", cam.url())];
    let more = ["--watchdog", "2"];
    let mut recorder = Recorder::start(rig.root(), &camera, &more).unwrap();
    heard(&recorder, &cam);
    // Three times the watchdog's patience, without a keyframe.
    recorder.wait_for_frames(70).unwrap();
    recorder.kill().unwrap();
    let bad = |kind: &EventKind| matches!(kind, EventKind::CameraState { cause, .. } if cause.kind == CauseKind::NoFrames);
    assert!(
        !recorder.events().iter().any(|e| bad(&e.kind)),
        "{}",
        recorder.log()
    );
    let arrived = recorder.arrived();
    let last = arrived.iter().copied().max().unwrap() + NS_PER_S / 10;

    let mut recorder = Recorder::start(rig.root(), &camera, &more).unwrap();
    heard(&recorder, &cam);
    recorder.wait_for_frames(10).unwrap();
    recorder.signal(Signal::Term).unwrap();
    assert!(recorder.wait_for_end().unwrap().success(), "{}", recorder.log());
    let rows = rig.judge().await.unwrap();
    let first: Vec<_> = rows.iter().filter(|r| r.run == rows[0].run).collect();
    let lost = last - first[first.len() - 1].end().as_ns();
    assert!(lost <= LOSS_NS, "{lost} ns lost: {rows:#?}");
    whole(&rig.numbers(CAM).await.unwrap()[..60]).unwrap();
    let archive = Archive::open(&rig.config).await.unwrap();
    let timeline = archive.timeline(&id(CAM), TimeRange::ALL).await.unwrap();
    assert_eq!(timeline.gaps[0].cause.kind, CauseKind::Crash, "{timeline:#?}");
}

/// SIGTERM and SIGINT: every open segment is closed and indexed inside the deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_closes_and_indexes_every_segment() {
    let cam = TestCam::start(TestCamOptions {
        paths: vec!["/one".into(), "/two".into()],
        audio: Audio::Pcma,
        ..small()
    })
    .unwrap();
    let mut rig = Rig::new().unwrap();
    let cameras: Vec<String> = ["one", "two"]
        .iter()
        .zip(cam.urls())
        .map(|(name, url)| format!("{name}={url}"))
        .collect();
    for signal in [Signal::Term, Signal::Int] {
        let mut recorder = Recorder::start(rig.root(), &cameras, &["--deadline", "20"]).unwrap();
        recorder.wait_for_frames(40).unwrap();
        recorder
            .until("both to record", |r| {
                let opened = |e: &&nvr_core::Event| matches!(e.kind, EventKind::SegmentOpened { .. });
                r.events().iter().filter(opened).count() == 2
            })
            .unwrap();
        recorder.signal(signal).unwrap();
        assert!(recorder.wait_for_end().unwrap().success(), "{}", recorder.log());
        let report = recorder
            .lines()
            .into_iter()
            .find(|l| l.get("stopped").is_some())
            .unwrap();
        assert_eq!(report["stopped"]["clean"], serde_json::json!(["one", "two"]));
    }
    let rows = rig.judge().await.unwrap();
    assert_eq!(rows.len(), 4, "{rows:#?}");
    assert!(
        rows.iter()
            .all(|r| r.state == SegmentState::Closed && r.hash.is_some()),
        "{rows:#?}"
    );
    for row in &rows {
        whole(&numbers_of(&rig.config, row).await.unwrap()).unwrap();
    }
    let archive = Archive::open(&rig.config).await.unwrap();
    for camera in ["one", "two"] {
        let timeline = archive.timeline(&id(camera), TimeRange::ALL).await.unwrap();
        for row in rows.iter().filter(|r| r.camera.as_str() == camera) {
            let gap = timeline.gaps.iter().find(|g| g.range.start() == row.end());
            assert_eq!(
                gap.map(|g| g.cause.kind),
                Some(CauseKind::Shutdown),
                "{timeline:#?}"
            );
        }
    }
    // The next start finds nothing to mend.
    rig.start().await.unwrap();
    rig.stop_clean().await.unwrap();
}

/// A second signal cuts; what was recorded is mended at the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_cuts() {
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::new().unwrap();
    let camera = [format!("{CAM}={}", cam.url())];
    let mut recorder = Recorder::start(rig.root(), &camera, &[]).unwrap();
    recorder.wait_for_frames(20).unwrap();
    recorder.signal(Signal::Term).unwrap();
    recorder
        .until("the first signal to be heard", |r| {
            r.log().contains("\"stopping\"")
        })
        .unwrap();
    // It may have made it by now.
    drop(recorder.signal(Signal::Term));
    recorder.wait_for_end().unwrap();
    rig.add(CAM, &cam.url()).unwrap();
    rig.start().await.unwrap();
    rig.stop_clean().await.unwrap();
    let rows = rig.judge().await.unwrap();
    assert!(rows[0].duration_ns > NS_PER_S, "{rows:#?}");
}
