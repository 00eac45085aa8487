//! Cameras whose timestamps are wrong.

use std::time::Duration;

use nvr_core::clock::Clock as _;
use nvr_core::event::CameraPhase;
use nvr_core::time::{NS_PER_S, duration_ns};
use nvr_tests::rig::{CAM, Rig, small, whole};
use nvr_tests::{Audio, TestCam, TestCamOptions};

async fn recording(cam: &TestCam) -> Rig {
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap();
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(15).await.unwrap();
    rig
}

/// RTP time jumps by hours within a connection and starts anew with the next one. Segments are as long as what
/// was filmed, and the footage of each run is where it belongs in time.
#[tokio::test(flavor = "multi_thread")]
async fn fm04_rtp_timestamps_jump_and_start_anew() {
    let cam = TestCam::start(TestCamOptions {
        audio: Audio::Pcmu,
        ..small()
    })
    .unwrap();
    let begin = nvr_core::clock::SystemClock::new();
    let rig_begin = begin.now();
    let mut rig = recording(&cam).await;
    cam.jump_timestamps_forward(Duration::from_secs(149 * 3600));
    rig.frames(25).await.unwrap();
    cam.jump_timestamps_backward(Duration::from_secs(2 * 149 * 3600));
    rig.frames(25).await.unwrap();
    cam.drop_connections();
    rig.phase(CAM, CameraPhase::BackingOff).await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    cam.jump_timestamps_forward(Duration::from_secs(3 * 3600));
    rig.frames(25).await.unwrap();
    let status = rig.cam().status();
    assert_eq!(status.counters.frames_dropped, 0, "{status:?}");
    rig.stop_clean().await.unwrap();
    let rig_end = begin.now();

    let rows = rig.judge().await.unwrap();
    let elapsed = rig_end.since(rig_begin);
    for row in &rows {
        assert!(
            row.start >= rig_begin.add_ns(-NS_PER_S) && row.end() <= rig_end.add_ns(NS_PER_S),
            "{row:?} lies outside of the test, {rig_begin} to {rig_end}"
        );
    }
    let length: i64 = rows.iter().map(|r| r.duration_ns).sum();
    assert!(length <= elapsed, "{length} ns of footage in {elapsed} ns");
    let numbers = rig.numbers(CAM).await.unwrap();
    let most = numbers.len() as i64 * NS_PER_S / 10;
    assert!(
        (length - most).abs() < 3 * NS_PER_S,
        "{} frames are {length} ns long",
        numbers.len()
    );
}

/// B-frames, and picture order counts that jump: one run, every frame.
#[tokio::test(flavor = "multi_thread")]
async fn fm05_bframes_and_jumps_of_the_picture_order() {
    let cam = TestCam::start(TestCamOptions {
        bframes: 2,
        gop: 15,
        ..small()
    })
    .unwrap();
    let mut rig = recording(&cam).await;
    for by in [64, -32, 200] {
        cam.jump_picture_order(by);
        rig.frames(20).await.unwrap();
    }
    let status = rig.cam().status();
    assert_eq!(status.counters.restarts, 0, "{:#?}", rig.events());
    assert_eq!(status.counters.frames_dropped, 0);
    rig.stop_clean().await.unwrap();

    let rows = rig.rows().await.unwrap();
    assert_eq!(rig.run_causes().len(), 1);
    let packets: usize = rows
        .iter()
        .map(|r| {
            let file = nvr_tests::rig::file_of(&rig.config, r);
            nvr_tests::judge::packets(&file, "v:0").unwrap().len()
        })
        .sum();
    let received = usize::try_from(status.counters.frames).unwrap();
    assert!(packets >= received, "{packets} of {received} frames are in files");
    assert!(nvr_tests::rig::checked(&rig.config).await.unwrap().is_clean());
}

/// Times that repeat or go back: one connection, one run, every frame, and times in the file that rise.
#[tokio::test(flavor = "multi_thread")]
async fn fm06_repeated_and_backward_timestamps() {
    let cam = TestCam::start(small()).unwrap();
    let mut rig = recording(&cam).await;
    for round in 1..=3 {
        cam.repeat_timestamps(round);
        rig.frames(12).await.unwrap();
        cam.backward_timestamps(round, Duration::from_millis(350) * round);
        rig.frames(12).await.unwrap();
    }
    let status = rig.cam().status();
    assert_eq!(status.counters.restarts, 0, "{:#?}", rig.events());
    assert_eq!(cam.connections(), 1, "no loop of connections");
    rig.stop_clean().await.unwrap();

    let rows = rig.judge().await.unwrap();
    whole(&rig.numbers(CAM).await.unwrap()).unwrap();
    for row in &rows {
        let file = nvr_tests::rig::file_of(&rig.config, row);
        let packets = nvr_tests::judge::packets(&file, "v:0").unwrap();
        let dts: Vec<f64> = packets.iter().filter_map(|p| p.dts).collect();
        assert!(dts.windows(2).all(|w| w[1] > w[0]), "{dts:?}");
        let length = duration_ns(Duration::from_secs_f64(dts[dts.len() - 1] - dts[0]));
        assert!((length - row.duration_ns).abs() < NS_PER_S, "{length} {row:?}");
    }
}
