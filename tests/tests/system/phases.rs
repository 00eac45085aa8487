//! What a camera on the network goes through: unreachable, refused, frozen, away while recorded by hand.

use std::time::Duration;

use nvr_core::SourceSpec;
use nvr_core::config::RecordMode;
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::store::SegmentState;
use nvr_core::time::NS_PER_S;
use nvr_core::{EventKind, TimeRange};
use nvr_tests::rig::{CAM, Rig, judge_timeline, small, to_phase};
use nvr_tests::{Auth, TestCam, TestCamOptions};

/// The phases of the only camera, in order, each beginning where the one before ended.
fn phases(rig: &Rig) -> Vec<(CameraPhase, CauseKind)> {
    let mut at = None;
    let mut all = Vec::new();
    for event in rig.events() {
        if let EventKind::CameraState { from, to, cause } = event.kind {
            assert!(at.is_none_or(|at| at == from), "{all:?}, then from {from:?}");
            at = Some(to);
            all.push((to, cause.kind));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_then_there() {
    let mut cam = TestCam::start(small()).unwrap();
    cam.die();
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap();
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::BackingOff).await.unwrap();
    let state = rig.cam().status().state;
    assert_eq!(state.cause.kind, CauseKind::Unreachable, "{state:?}");
    assert!(state.next_try.is_some_and(|t| t > state.since), "{state:?}");
    // Also while it is tried again it is not well.
    rig.wait_for("a second try", 2, |k| to_phase(k, CameraPhase::Connecting))
        .await
        .unwrap();
    assert!(!rig.nvr().health().ok);
    cam.come_back().unwrap();
    rig.frames(10).await.unwrap();
    assert!(rig.nvr().health().ok && rig.cam().status().state.next_try.is_none());
    let phases = phases(&rig);
    assert_eq!(
        phases.last(),
        Some(&(CameraPhase::Recording, CauseKind::Startup)),
        "{phases:?}"
    );
    assert_eq!(
        rig.gap_causes(),
        [CauseKind::Unreachable],
        "told once: {:#?}",
        rig.events()
    );
    rig.stop_clean().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_rarely_and_a_new_one_at_once() {
    let auth = Auth::digest("viewer", "right");
    let cam = TestCam::start(TestCamOptions {
        auth: Some(auth),
        ..small()
    })
    .unwrap();
    let mut rig = Rig::new().unwrap();
    let wrong = cam.url_with_credentials().replace("right", "wrong");
    rig.add(CAM, &wrong).unwrap();
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Failed).await.unwrap();
    let state = rig.cam().status().state;
    assert_eq!(state.cause.kind, CauseKind::Unauthorized, "{state:?}");
    assert!(!format!("{state:?}").contains("wrong"), "{state:?}");
    let wait = state.next_try.unwrap().since(state.since);
    assert!(wait > 200 * NS_PER_S, "next try in {wait} ns");
    assert!(!rig.nvr().health().ok);

    let mut config = (*rig.nvr().config()).clone();
    config.cameras[0].source = SourceSpec::parse(&cam.url_with_credentials()).unwrap();
    let tries = cam.connections();
    rig.nvr().reload(config).await.unwrap();
    rig.frames(10).await.unwrap();
    assert_eq!(cam.connections(), tries + 1, "one try with the new password");
    rig.stop_clean().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_camera_stalls_is_left_and_comes_back() {
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::new().unwrap();
    let config = rig.add(CAM, &cam.url()).unwrap();
    config.watchdog = Duration::from_secs(2);
    config.start_deadline = Duration::from_secs(3);
    rig.start().await.unwrap();
    rig.frames(15).await.unwrap();
    cam.freeze();
    rig.phase(CAM, CameraPhase::BackingOff).await.unwrap();
    let state = rig.cam().status().state;
    assert_eq!(state.cause.kind, CauseKind::NoFrames, "{state:?}");
    cam.resume();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(15).await.unwrap();
    let seen: Vec<_> = phases(&rig).iter().map(|p| p.0).collect();
    let expected = [
        CameraPhase::Recording,
        CameraPhase::Stalled,
        CameraPhase::BackingOff,
        CameraPhase::Connecting,
    ];
    assert!(seen.windows(4).any(|w| w == expected), "{seen:?}");
    let timeline = rig.timeline(CAM).await.unwrap();
    judge_timeline(&timeline).unwrap();
    let causes: Vec<_> = timeline.gaps.iter().map(|g| g.cause.kind).collect();
    assert_eq!(causes, [CauseKind::NoFrames], "{timeline:#?}");
    assert!(timeline.gaps[0].range.len_ns() >= 2 * NS_PER_S, "{timeline:#?}");
    rig.stop_clean().await.unwrap();
}

/// Waits until the index knows that nothing is to be recorded now: the state is told at once, the index a moment later.
async fn is_noted_as_not_scheduled(rig: &Rig) {
    let (store, id) = (rig.nvr().store().clone(), rig.cam().id());
    rig.until("the gap in the index", || {
        let gaps = store.gaps(&id, TimeRange::ALL).unwrap();
        gaps.last()
            .is_some_and(|g| (g.cause.kind, g.end) == (CauseKind::NotScheduled, None))
    })
    .await
    .unwrap();
}

/// The camera goes away while it is recorded by hand: the recording waits for it, goes on, and ends when its time
/// is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_recording_by_hand_outlives_an_outage() {
    let mut cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap().record = RecordMode::Manual;
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Standby).await.unwrap();
    let info = rig.cam().record(Some(Duration::from_secs(12))).await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(10).await.unwrap();
    cam.die();
    rig.phase(CAM, CameraPhase::BackingOff).await.unwrap();
    rig.until("the recording waits", || {
        let status = rig.cam().status();
        status.manual.is_some() && !status.recording
    })
    .await
    .unwrap();
    cam.come_back().unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.until("the end of its time", || rig.cam().status().manual.is_none())
        .await
        .unwrap();
    rig.phase(CAM, CameraPhase::Standby).await.unwrap();
    phases(&rig);
    let until = info.until.unwrap();
    assert!(rig.nvr().clock().now() >= until);
    is_noted_as_not_scheduled(&rig).await;

    let rows = rig.rows().await.unwrap();
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert!(rows.iter().all(|r| r.state == SegmentState::Closed));
    assert!(
        rows[1].end().since(until).abs() < 2 * NS_PER_S,
        "{until} {rows:#?}"
    );
    let timeline = rig.timeline(CAM).await.unwrap();
    judge_timeline(&timeline).unwrap();
    let causes: Vec<_> = timeline.gaps.iter().map(|g| g.cause.kind).collect();
    let (outage, rest) = causes.split_first().unwrap();
    assert!(
        [CauseKind::StreamEnded, CauseKind::Unreachable].contains(outage),
        "{timeline:#?}"
    );
    assert!(
        rest.iter()
            .all(|c| [CauseKind::Unreachable, CauseKind::NotScheduled].contains(c)),
        "{timeline:#?}"
    );
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
}

/// Stopped by hand while the camera is away: the outage ends there, and nothing is left half.
#[tokio::test(flavor = "multi_thread")]
async fn a_recording_by_hand_is_stopped_during_an_outage() {
    let mut cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::new().unwrap();
    rig.config.recorder.max_manual = 1;
    rig.add(CAM, &cam.url()).unwrap().record = RecordMode::Manual;
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Standby).await.unwrap();
    rig.cam().record(None).await.unwrap();
    rig.frames(10).await.unwrap();
    cam.die();
    rig.phase(CAM, CameraPhase::BackingOff).await.unwrap();
    rig.cam().stop_recording().await.unwrap();
    rig.until("the end of the recording", || rig.cam().status().manual.is_none())
        .await
        .unwrap();
    is_noted_as_not_scheduled(&rig).await;
    cam.come_back().unwrap();
    rig.phase(CAM, CameraPhase::Standby).await.unwrap();
    assert!(!rig.cam().status().recording);
    // The place is free again.
    rig.cam().record(None).await.unwrap();
    rig.frames(10).await.unwrap();
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
}
