//! Pushes as a whole: real cameras in, real servers out.

use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::process::Command;

use gio::prelude::*;
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::live::StreamKind;
use nvr_core::push::{PushAddress, PushState, PushStatus, PushWish};
use nvr_tests::ports::free_port;
use nvr_tests::proc::{Proc, Signal};
use nvr_tests::rig::{CAM, LIMIT, Rig, id, small};
use nvr_tests::tls::{Terminator, Tls};
use nvr_tests::{Audio, TestCam, TestCamOptions, judge};

fn wish(url: &str) -> PushWish {
    PushWish {
        address: PushAddress::parse(url).unwrap(),
        stream: StreamKind::Main,
        audio: true,
        keep: false,
    }
}

/// FFmpeg as a server of one stream, which it copies into a file.
fn listener(port: u16, out: &Path) -> Proc {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-y", "-listen", "1", "-f", "flv", "-i"])
        .arg(format!("rtmp://127.0.0.1:{port}/live/abc-KEY"))
        .args(["-c", "copy", "-flush_packets", "1"])
        .arg(out);
    Proc::spawn(command).unwrap()
}

fn only(rig: &Rig) -> PushStatus {
    rig.nvr().pushes().all().remove(0)
}

async fn bytes_in(rig: &Rig, file: &Path, bytes: u64) {
    rig.until("bytes that arrive", || {
        std::fs::metadata(file).is_ok_and(|m| m.len() >= bytes)
    })
    .await
    .unwrap();
}

async fn recording(source: &str) -> Rig {
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, source).unwrap();
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig
}

/// Pushes for a while; what arrived.
async fn pushed(rig: &Rig, port: u16, file: PathBuf, url: &str) -> PathBuf {
    let mut server = listener(port, &file);
    let push = rig.nvr().push(&id(CAM), wish(url), None).await.unwrap();
    bytes_in(rig, &file, 60_000).await;
    assert_eq!(only(rig).state, PushState::Live);
    server.signal(Signal::Int).unwrap();
    server.wait_for_end(LIMIT).unwrap();
    rig.nvr().pushes().stop(&id(CAM), push.id, None).await.unwrap();
    file
}

async fn sound_becomes_aac(audio: Audio) {
    let cam = TestCam::start(TestCamOptions { audio, ..small() }).unwrap();
    let mut rig = recording(&cam.url()).await;
    let dir = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let url = format!("rtmp://127.0.0.1:{port}/live/abc-KEY");
    let file = pushed(&rig, port, dir.path().join("out.flv"), &url).await;
    let streams = judge::streams(&file.to_string_lossy()).unwrap();
    let sound = streams.iter().find(|s| s["codec_type"] == "audio").unwrap();
    assert_eq!(
        (&sound["codec_name"], &sound["profile"]),
        (&"aac".into(), &"LC".into())
    );
    assert_eq!(sound["sample_rate"], "48000");
    // As much of it as of the picture, and it can be heard: the camera ticks.
    let span = |track: &str| {
        let packets = judge::packets(&file, track).unwrap();
        let (first, last) = (packets.first().unwrap(), packets.last().unwrap());
        assert!(packets.windows(2).all(|p| p[0].pts < p[1].pts), "{track}");
        (first.pts.unwrap(), last.pts.unwrap())
    };
    let (video, sound) = (span("v"), span("a"));
    assert!((video.0 - sound.0).abs() < 0.5, "{video:?} {sound:?}");
    assert!((video.1 - sound.1).abs() < 1.5, "{video:?} {sound:?}");
    assert!(judge::loudness(&file).unwrap() > -60.0);
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn g711_is_pushed_as_aac() {
    sound_becomes_aac(Audio::Pcma).await;
    sound_becomes_aac(Audio::Pcmu).await;
}

#[link(name = "gio-2.0")]
unsafe extern "C" {
    /// GLib 2.60. The bindings have it behind a feature with which all of them would be compiled once more.
    fn g_tls_backend_set_default_database(backend: *mut c_void, database: *mut c_void);
}

/// From now on this process trusts these authorities and no others.
fn trust(ca: &Path) {
    let backend = gio::TlsBackend::default();
    let database = gio::TlsFileDatabase::new(ca).unwrap();
    // SAFETY: both are live objects of the types that the function wants; it takes a reference of its own.
    unsafe {
        g_tls_backend_set_default_database(backend.as_ptr().cast(), database.as_ptr().cast());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rtmps_goes_to_who_is_vouched_for_and_to_nobody_else() {
    let mut rig = recording("test:?size=320x240&fps=10&gop=10").await;
    let dir = tempfile::tempdir().unwrap();
    let (tls, port) = (Tls::new().unwrap(), free_port().unwrap());
    let terminator = Terminator::start(&tls, port).await.unwrap();
    let url = format!("rtmps://127.0.0.1:{}/live/abc-KEY", terminator.port());

    // Nobody knows its authority: not a byte of what is pushed arrives, and the reason is told.
    let file = dir.path().join("refused.flv");
    let server = listener(port, &file);
    let push = rig.nvr().push(&id(CAM), wish(&url), None).await.unwrap();
    rig.until("a refusal", || only(&rig).failures >= 2).await.unwrap();
    let refused = only(&rig);
    let (_, cause) = refused.last_failure.clone().unwrap();
    assert_eq!(cause.kind, CauseKind::Unreachable, "{cause:?}");
    assert!(cause.message.contains("certificate"), "{cause:?}");
    assert_eq!((refused.connections, refused.sent_bytes), (0, 0), "{refused:?}");
    assert_eq!(std::fs::metadata(&file).map_or(0, |m| m.len()), 0);
    rig.nvr().pushes().stop(&id(CAM), push.id, None).await.unwrap();
    drop(server);

    trust(&tls.ca_file());
    let file = pushed(&rig, port, dir.path().join("out.flv"), &url).await;
    let codecs: Vec<String> = judge::streams(&file.to_string_lossy())
        .unwrap()
        .iter()
        .map(|s| s["codec_name"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        codecs.iter().any(|c| c == "h264") && codecs.iter().any(|c| c == "aac"),
        "{codecs:?}"
    );
    // A name that the certificate does not have.
    let other = url.replace("127.0.0.1", "localhost");
    let push = rig.nvr().push(&id(CAM), wish(&other), None).await.unwrap();
    rig.until("a refusal", || only(&rig).failures >= 1).await.unwrap();
    let (_, cause) = only(&rig).last_failure.unwrap();
    assert!(cause.message.contains("certificate"), "{cause:?}");
    rig.nvr().pushes().stop(&id(CAM), push.id, None).await.unwrap();
    rig.stop_clean().await.unwrap();
}
