//! The recorder's RTSP server in front of cameras over RTSP: codecs, silent sound, a camera that dies.

use std::io::Read as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nvr_core::config::{Auth, TlsFiles};
use nvr_core::event::CameraPhase;
use nvr_core::restream::StreamPath;
use nvr_tests::page::Page;
use nvr_tests::rig::{CAM, LIMIT, Rig, small};
use nvr_tests::{Audio, Codec, TestCam, TestCamOptions, judge, wait};

/// A recorder that is to serve what it reads of a camera.
fn rig_of(cam: &TestCam) -> Rig {
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap();
    let server = &mut rig.config.rtsp_server;
    server.enabled = true;
    server.listen = "127.0.0.1:0".parse().unwrap();
    server.auth = Auth::None;
    rig
}

async fn begin(rig: &mut Rig) {
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(10).await.unwrap();
}

async fn serving(cam: &TestCam) -> Rig {
    let mut rig = rig_of(cam);
    begin(&mut rig).await;
    rig
}

fn url(rig: &Rig) -> String {
    let path = StreamPath::parse(&format!("/{CAM}")).unwrap();
    rig.nvr().restream().unwrap().url(&path)
}

async fn copied(url: String, transport: &'static str, seconds: u32, file: PathBuf) -> anyhow::Result<()> {
    saved(url, transport, seconds, &["-c", "copy"], file).await
}

async fn saved(
    url: String,
    transport: &'static str,
    seconds: u32,
    how: &'static [&'static str],
    file: PathBuf,
) -> anyhow::Result<()> {
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
            .args(["-t", &seconds.to_string()])
            .args(how)
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
    let options = TestCamOptions {
        codec,
        audio,
        ..small()
    };
    as_it_is(options, expect).await;
}

async fn as_it_is(options: TestCamOptions, expect: &[&str]) {
    let audio = options.audio;
    let bframes = options.bframes > 0;
    let cam = TestCam::start(options).unwrap();
    let mut rig = serving(&cam).await;
    let dir = tempfile::tempdir().unwrap();
    for transport in ["tcp", "udp"] {
        let file = dir.path().join(format!("{transport}.mkv"));
        // FFmpeg knows no decoding times of such a stream and cannot copy it: the pictures are encoded again, without loss.
        let how: &[&str] = if bframes {
            &[
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-qp",
                "0",
                "-fps_mode",
                "passthrough",
            ]
        } else {
            &["-c", "copy"]
        };
        saved(url(&rig), transport, 3, how, file.clone()).await.unwrap();
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
async fn h264_with_bframes() {
    let options = TestCamOptions {
        bframes: 2,
        gop: 15,
        ..small()
    };
    as_it_is(options, &["h264"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_with_opus() {
    goes_through(Codec::H264, Audio::Opus, &["h264", "opus"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_with_pcma() {
    goes_through(Codec::H264, Audio::Pcma, &["h264", "pcm_alaw"]).await;
}

/// Who reads is told by the API and counted in the metrics.
#[tokio::test(flavor = "multi_thread")]
async fn readers_are_told_and_counted() {
    let cam = TestCam::start(small()).unwrap();
    let mut rig = serving(&cam).await;
    let mut http = rig.config.http.clone();
    http.auth = Auth::None;
    let page = Page::serve(rig.nvr().clone(), http).await.unwrap();
    let nobody = page.json("/api/v1/rtsp").await.unwrap();
    assert_eq!(nobody["enabled"], true);
    assert_eq!(url(&rig), format!("{}/{CAM}", nobody["url"].as_str().unwrap()));
    assert_eq!(nobody["clients"], serde_json::json!([]));
    let dir = tempfile::tempdir().unwrap();
    let reading = tokio::spawn(copied(url(&rig), "tcp", 4, dir.path().join("x.mkv")));
    let one = wait::until_async("a reader", LIMIT, || async {
        let told = page.json("/api/v1/rtsp").await.unwrap();
        told["clients"]
            .get(0)
            .filter(|c| c["bytes"].as_u64() > Some(0))
            .cloned()
    })
    .await
    .unwrap();
    assert_eq!(
        (&one["camera"], &one["stream"], &one["transport"]),
        (&CAM.into(), &"main".into(), &"tcp".into())
    );
    assert_eq!(one["address"], "127.0.0.1", "{one}");
    let clients = |n| format!("camera_rtsp_clients{{camera_id=\"{CAM}\"}} {n}.0");
    let metrics = page.text("/metrics").await.unwrap();
    assert!(metrics.contains(&clients(1)), "{metrics}");
    reading.await.unwrap().unwrap();
    let metrics = wait::until_async("nobody to read", LIMIT, || async {
        let metrics = page.text("/metrics").await.unwrap();
        metrics.contains(&clients(0)).then_some(metrics)
    })
    .await
    .unwrap();
    let sent = metrics
        .lines()
        .find(|l| l.starts_with("camera_rtsp_sent_bytes_total{"));
    assert!(sent.is_some_and(|l| !l.ends_with(" 0")), "{metrics}");
    page.stop().await.unwrap();
    rig.stop_clean().await.unwrap();
}

/// The same over TLS.
#[tokio::test(flavor = "multi_thread")]
async fn streams_go_through_tls() {
    let cam = TestCam::start(TestCamOptions {
        audio: Audio::Aac,
        ..small()
    })
    .unwrap();
    let tls = nvr_tests::tls::Tls::new().unwrap();
    let mut rig = rig_of(&cam);
    rig.config.rtsp_server.tls = true;
    rig.config.http.tls = Some(TlsFiles {
        cert: tls.cert_file(),
        key: tls.key_file(),
    });
    begin(&mut rig).await;
    assert!(url(&rig).starts_with("rtsps://"), "{}", url(&rig));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.mkv");
    copied(url(&rig), "tcp", 3, file.clone()).await.unwrap();
    assert_eq!(judge::streams(&file.to_string_lossy()).unwrap().len(), 2);
    whole(&file, 20);
    // Without TLS nothing is to be had, and that is soon said.
    let plain = url(&rig).replace("rtsps://", "rtsp://");
    let refused = tokio::time::timeout(LIMIT, copied(plain, "tcp", 1, dir.path().join("y.mkv"))).await;
    assert!(refused.expect("it is still connected").is_err());
    rig.stop_clean().await.unwrap();
}

/// Connections that say nothing have few places and lose them soon: who has something to ask comes in.
#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_holds_no_place() {
    let cam = TestCam::start(small()).unwrap();
    let mut rig = serving(&cam).await;
    let address = url(&rig);
    let address = address.trim_start_matches("rtsp://").split('/').next().unwrap();
    let quiet: Vec<TcpStream> = (0..12).map(|_| TcpStream::connect(address).unwrap()).collect();
    // Those that are too many go at once, the others when nothing came of them.
    for mut stream in quiet {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0)), "it is still connected");
    }
    let dir = tempfile::tempdir().unwrap();
    copied(url(&rig), "tcp", 1, dir.path().join("x.mkv"))
        .await
        .unwrap();
    rig.stop_clean().await.unwrap();
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
