//! The recorder's RTSP server in front of cameras over RTSP: codecs, silent sound, a camera that dies.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nvr_core::config::Auth;
use nvr_core::event::CameraPhase;
use nvr_core::restream::StreamPath;
use nvr_tests::rig::{CAM, Rig, small};
use nvr_tests::{Audio, Codec, TestCam, TestCamOptions, judge};

/// A recorder that serves what it reads of a camera.
async fn serving(cam: &TestCam) -> Rig {
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap();
    let server = &mut rig.config.rtsp_server;
    server.enabled = true;
    server.listen = "127.0.0.1:0".parse().unwrap();
    server.auth = Auth::None;
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(10).await.unwrap();
    rig
}

fn url(rig: &Rig) -> String {
    let path = StreamPath::parse(&format!("/{CAM}")).unwrap();
    rig.nvr().restream().unwrap().url(&path)
}

async fn copied(url: String, transport: &'static str, seconds: u32, file: PathBuf) -> anyhow::Result<()> {
    let done = tokio::task::spawn_blocking(move || {
        Command::new("ffmpeg")
            .args([
                "-v",
                "error",
                "-nostdin",
                "-y",
                "-rtsp_transport",
                transport,
                "-i",
                &url,
            ])
            .args(["-t", &seconds.to_string(), "-c", "copy"])
            .arg(file)
            .output()
    });
    let out = done.await??;
    anyhow::ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}

/// The numbers drawn into the pictures go up by one.
fn whole(file: &Path, least: usize) {
    let numbers: Vec<u32> = judge::frame_marks(file)
        .unwrap()
        .iter()
        .map(|m| m.number.expect("a number in the picture"))
        .collect();
    assert!(numbers.len() >= least, "{numbers:?}");
    assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "{numbers:?}");
}

async fn goes_through(codec: Codec, audio: Audio, expect: &[&str]) {
    let cam = TestCam::start(TestCamOptions {
        codec,
        audio,
        ..small()
    })
    .unwrap();
    let mut rig = serving(&cam).await;
    let dir = tempfile::tempdir().unwrap();
    for transport in ["tcp", "udp"] {
        let file = dir.path().join(format!("{transport}.mkv"));
        copied(url(&rig), transport, 3, file.clone()).await.unwrap();
        let streams = judge::streams(&file.to_string_lossy()).unwrap();
        let codecs: Vec<_> = streams
            .iter()
            .map(|s| s["codec_name"].as_str().unwrap())
            .collect();
        assert_eq!(codecs, expect, "{transport}");
        whole(&file, 20);
        if audio != Audio::None {
            let sound = judge::packets(&file, "a").unwrap();
            assert!(sound.len() > 20, "{transport}: {}", sound.len());
            // In step with the picture.
            let first = judge::packets(&file, "v").unwrap()[0].pts.unwrap();
            let apart = sound[0].pts.unwrap() - first;
            assert!(apart.abs() < 0.5, "{transport}: {apart}");
        }
    }
    rig.stop_clean().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_with_aac() {
    goes_through(Codec::H264, Audio::Aac, &["h264", "aac"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h265_with_pcmu() {
    goes_through(Codec::H265, Audio::Pcmu, &["hevc", "pcm_mulaw"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_that_is_silent_is_not_promised() {
    let cam = TestCam::start(TestCamOptions {
        audio: Audio::Aac,
        ..small()
    })
    .unwrap();
    let mut rig = serving(&cam).await;
    cam.stall_audio();
    rig.frames(25).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.mkv");
    copied(url(&rig), "tcp", 2, file.clone()).await.unwrap();
    assert_eq!(judge::streams(&file.to_string_lossy()).unwrap().len(), 1);
    whole(&file, 15);
    rig.stop_clean().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_dies_and_comes_back_goes_on_for_its_readers() {
    let mut cam = TestCam::start(TestCamOptions {
        audio: Audio::Aac,
        ..small()
    })
    .unwrap();
    let mut rig = serving(&cam).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.mkv");
    let reading = tokio::spawn(copied(url(&rig), "tcp", 12, file.clone()));
    let restream = rig.nvr().restream().unwrap().clone();
    let sent = || restream.clients().first().map_or(0, |c| c.sent_bytes);
    rig.until("a reader", || sent() > 20_000).await.unwrap();
    cam.die();
    rig.phase(CAM, CameraPhase::BackingOff).await.unwrap();
    assert_eq!(restream.clients().len(), 1);
    let before = sent();
    cam.come_back().unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.until("the stream to go on", || sent() > before + 20_000)
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(60), reading)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    judge::decode_all(&file).unwrap();
    let numbers: Vec<u32> = judge::frame_marks(&file)
        .unwrap()
        .iter()
        .filter_map(|m| m.number)
        .collect();
    // One gap, and no frame twice or out of order.
    let gaps = numbers.windows(2).filter(|w| w[1] != w[0] + 1).count();
    assert!(
        numbers.windows(2).all(|w| w[1] > w[0]) && gaps == 1,
        "{numbers:?}"
    );
    rig.stop_clean().await.unwrap();
}
