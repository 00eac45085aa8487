//! Whole recordings from a server of RTSP, and of each kind of sound.

use std::process::Command;
use std::time::Duration;

use super::harness::*;
use crate::event::CauseKind;
use crate::gst::RunEvent;
use crate::gst::sources::testing_rtsp::RtspCamera;
use crate::source::{SourceSpec, Transport};

const H264: &str = "videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 \
    ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 threads=1 ! rtph264pay pt=96";

fn rtsp(camera: &RtspCamera, transport: Transport) -> SourceSpec {
    let mut spec = SourceSpec::parse(&camera.url()).unwrap();
    let SourceSpec::Rtsp(s) = &mut spec else { panic!() };
    s.transport = Some(transport);
    spec
}

fn short() -> Options {
    Options {
        segment: Duration::from_secs(1),
        ..Options::default()
    }
}

#[test]
fn opus_raw_and_aac_main_are_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("main.aac");
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "sine=duration=30",
            "-ar",
            "44100",
            "-c:a",
            "aac",
        ])
        .args(["-profile:a", "aac_main"])
        .arg(&main)
        .status()
        .unwrap();
    assert!(made.success());
    let main = format!(
        "filesrc location={} ! aacparse ! audio/mpeg,stream-format=raw ! clocksync",
        main.display()
    );
    for sound in [
        "audiotestsrc is-live=true ! opusenc ! opusparse",
        "audiotestsrc is-live=true ! audio/x-raw,format=S16LE,rate=16000,channels=1",
        "audiotestsrc is-live=true ! audio/x-raw,format=S16BE,layout=interleaved,rate=44100,channels=2",
        &main,
    ] {
        let mut b = Bench::start(&h264(25, 25, ""), Some(sound), Options::default());
        b.wait_frames(80);
        assert!(b.stop());
        let probes = b.check_exact();
        let (v, a) = (&probes.last().unwrap().video, &probes.last().unwrap().audio);
        assert!(a.len() > 20, "{sound}: {} packets", a.len());
        let ends = v.last().unwrap().pts - a.last().unwrap().pts;
        assert!(ends.abs() < 0.6, "{sound}: audio ends {ends} s before video");
        decode(&b.dir.path().join(&b.closed().last().unwrap().path));
    }
}

#[test]
fn the_cameras_own_time_is_known_from_its_reports() {
    let camera = RtspCamera::serve(&format!("( {H264} name=pay0 )"), None);
    let mut b = Bench::of(rtsp(&camera, Transport::Tcp), &short());
    let opened = b.wait_event(
        "a segment with the camera's time",
        |e| matches!(e, RunEvent::SegmentOpened { start, .. } if start.camera_start.is_some()),
    );
    let RunEvent::SegmentOpened { start, .. } = opened else {
        panic!()
    };
    // The server's clock is ours.
    let off = start.camera_start.unwrap().since(start.start);
    assert!(off.abs() < 3_000_000_000, "{off} ns");
    assert!(b.stop());
    b.check_exact();
}

#[test]
fn h265_with_b_frames_over_rtsp_is_exact() {
    let camera = RtspCamera::serve(
        "( videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 \
         ! x265enc speed-preset=ultrafast key-int-max=25 option-string=bframes=2:b-adapt=0:pools=1:frame-threads=1:rc-lookahead=5 \
         ! rtph265pay name=pay0 pt=96 config-interval=-1 )",
        None,
    );
    let mut b = Bench::of(rtsp(&camera, Transport::Tcp), &short());
    b.wait_frames(110);
    assert!(b.stop());
    assert!(b.check_exact().len() >= 2);
    assert!(
        b.video().iter().any(|u| u.pts_ns() > u.dts_ns()),
        "there are B-frames"
    );
}

#[test]
fn lost_packets_cost_no_more_than_their_frames() {
    let camera = RtspCamera::serve(
        &format!("( {H264} ! identity name=pay0 drop-probability=0.03 )"),
        None,
    );
    let mut b = Bench::of(rtsp(&camera, Transport::Udp), &short());
    b.wait_frames(150);
    assert!(b.stop());
    b.check_exact();
    let lost = b
        .video()
        .windows(2)
        .filter(|w| w[1].pts_ns() - w[0].pts_ns() > 60_000_000)
        .count();
    assert!(lost > 0, "frames are missing where packets were lost");
}

#[test]
fn a_certificate_of_its_own_is_taken_unless_it_is_to_be_judged() {
    let dir = tempfile::tempdir().unwrap();
    let (key, cert) = (dir.path().join("key.pem"), dir.path().join("cert.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success());
    let pem = [cert, key].map(|p| std::fs::read_to_string(p).unwrap()).concat();
    let camera = RtspCamera::serve_tls(&format!("( {H264} name=pay0 )"), &pem);
    let at = |verify: bool| {
        let mut spec = SourceSpec::parse(&camera.url().replace("rtsp://", "rtsps://")).unwrap();
        let SourceSpec::Rtsp(s) = &mut spec else { panic!() };
        s.verify_tls = verify;
        spec
    };
    let mut b = Bench::of(at(false), &short());
    b.wait_frames(40);
    assert!(b.stop());
    b.check_exact();

    let mut b = Bench::of(at(true), &short());
    let RunEvent::Ended(cause) = b.wait_event("the end", |e| matches!(e, RunEvent::Ended(_))) else {
        panic!()
    };
    assert_eq!(cause.kind, CauseKind::Unreachable, "{cause:?}");
    for word in [
        "certificate is refused",
        "signed by nobody whom this machine trusts",
        "verify_tls = false",
    ] {
        assert!(cause.message.contains(word), "{cause:?}");
    }
}
