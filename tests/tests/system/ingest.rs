//! Which client reads a camera, and why not the lean one: in status, API and over a restart.

use nvr_core::config::Auth;
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::source::{Ingest, SourceSpec, Transport};
use nvr_tests::page::Page;
use nvr_tests::rig::{CAM, Rig, small, whole};
use nvr_tests::{TestCam, TestCamOptions};

/// Whatever `NVR_TEST_INGEST` says, this is about the choice.
fn choose(rig: &mut Rig, url: &str, transport: Option<Transport>) {
    let camera = rig.add(CAM, url).unwrap();
    let SourceSpec::Rtsp(s) = &mut camera.source else {
        panic!("{url}")
    };
    (s.ingest, s.transport) = (Ingest::Auto, transport);
}

/// A camera with the defaults that sends over UDP only is recorded, and everybody is told how and why; after it was
/// away, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_refuses_tcp_is_recorded_and_the_reason_told() {
    let mut cam = TestCam::start(TestCamOptions {
        udp_only: true,
        ..small()
    })
    .unwrap();
    let mut rig = Rig::new().unwrap();
    rig.config.http.auth = Auth::None;
    choose(&mut rig, &cam.url(), None);
    rig.start().await.unwrap();
    for round in 0..2 {
        if round > 0 {
            cam.die();
            rig.phase(CAM, CameraPhase::BackingOff).await.unwrap();
            cam.come_back().unwrap();
        }
        rig.phase(CAM, CameraPhase::Recording).await.unwrap();
        rig.frames(15).await.unwrap();
        let ingest = rig.cam().status().ingest.unwrap();
        assert_eq!(ingest.ingest, Ingest::Rtspsrc);
        assert!(ingest.reason.as_deref().unwrap().contains("461"), "{ingest:?}");
    }

    let page = Page::serve(rig.nvr().clone(), rig.config.http.clone())
        .await
        .unwrap();
    let camera = page.json("/api/v1/cameras/cam").await.unwrap();
    assert_eq!(camera["ingest"]["client"], "rtspsrc", "{camera:#}");
    assert!(
        camera["ingest"]["reason"].as_str().unwrap().contains("461"),
        "{camera:#}"
    );
    page.stop().await.unwrap();
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
    for row in rig.rows().await.unwrap() {
        whole(&nvr_tests::rig::numbers_of(&rig.config, &row).await.unwrap()).unwrap();
    }
}

/// A transport that somebody wrote is kept, and the cause says what to change.
#[tokio::test(flavor = "multi_thread")]
async fn a_transport_that_was_written_is_kept() {
    let cam = TestCam::start(TestCamOptions {
        udp_only: true,
        ..small()
    })
    .unwrap();
    let mut rig = Rig::new().unwrap();
    choose(&mut rig, &cam.url(), Some(Transport::Tcp));
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::BackingOff).await.unwrap();
    let status = rig.cam().status();
    let cause = status.state.cause;
    assert_eq!(cause.kind, CauseKind::Unsupported, "{cause:?}");
    for word in ["461", "transport = \"tcp\" is set", "leave it out"] {
        assert!(cause.message.contains(word), "{cause:?}");
    }
    assert_eq!(status.ingest.unwrap().ingest, Ingest::Lean);
    rig.stop_clean().await.unwrap();
}
