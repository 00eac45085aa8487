//! Which client reads a camera, and why not the lean one: in status, API and over a restart.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use nvr_core::config::Auth;
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::source::{Ingest, SourceSpec, Transport};
use nvr_tests::rig::{CAM, Rig, small, whole};
use nvr_tests::{TestCam, TestCamOptions};
use serde_json::Value;

/// Whatever `NVR_TEST_INGEST` says, this is about the choice.
fn choose(rig: &mut Rig, url: &str, transport: Option<Transport>) {
    let camera = rig.add(CAM, url).unwrap();
    let SourceSpec::Rtsp(s) = &mut camera.source else {
        panic!("{url}")
    };
    (s.ingest, s.transport) = (Ingest::Auto, transport);
}

async fn ask(address: std::net::SocketAddr, path: &'static str) -> Value {
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{path}: {answer}");
        serde_json::from_str(body).unwrap()
    })
    .await
    .unwrap()
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

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (nvr, http) = (rig.nvr().clone(), rig.config.http.clone());
    let state = nvr_http::AppState::new(nvr, &http);
    let stop = tokio_util::sync::CancellationToken::new();
    let until = stop.clone();
    let server = tokio::spawn(async move {
        nvr_http::serve_state(listener, state, &http, until, Duration::from_secs(1)).await
    });
    let camera = ask(address, "/api/v1/cameras/cam").await;
    assert_eq!(camera["ingest"]["client"], "rtspsrc", "{camera:#}");
    assert!(
        camera["ingest"]["reason"].as_str().unwrap().contains("461"),
        "{camera:#}"
    );
    stop.cancel();
    server.await.unwrap().unwrap();
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
