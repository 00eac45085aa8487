//! The bench camera judged by ffprobe, ffmpeg, rtspsrc and a client that sees every packet.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gst::prelude::*;
use nvr_tests::replay::Clip;
use nvr_tests::tap::Tap;
use nvr_tests::wait::until_true;
use nvr_tests::{ReplayCam, ReplayOptions, TestCam, TestCamOptions, judge};

const LIMIT: Duration = Duration::from_secs(20);

/// A camera with a clip of about a second, and the frame numbers of the clip.
fn short(dir: &Path) -> (ReplayCam, Vec<u32>) {
    let file = dir.join("clip.h264");
    let source = TestCam::start(TestCamOptions::default()).unwrap();
    judge::record(&source.url(), 1.0, &file).unwrap();
    let numbers = judge::frame_numbers(&file).unwrap();
    assert!(numbers.len() > 20, "{numbers:?}");
    let cam = ReplayCam::start(&ReplayOptions {
        file: Some(file),
        paths: 4,
        ..Default::default()
    })
    .unwrap();
    (cam, numbers)
}

#[test]
fn a_recording_has_every_frame_over_the_clips_end() {
    let dir = tempfile::tempdir().unwrap();
    let (cam, clip) = short(dir.path());
    let file = dir.path().join("recorded.mkv");
    let complaints = judge::record(&cam.url(3), 4.0, &file).unwrap();
    assert_eq!(complaints, "");
    judge::decode_all(&file).unwrap();
    let numbers = judge::frame_numbers(&file).unwrap();
    assert!(
        (98..=102).contains(&numbers.len()),
        "{} frames in 4 s",
        numbers.len()
    );
    let expected: Vec<u32> = clip.iter().copied().cycle().take(numbers.len()).collect();
    assert_eq!(numbers, expected);
    let pts: Vec<f64> = judge::packets(&file, "v:0")
        .unwrap()
        .iter()
        .filter_map(|p| p.pts)
        .collect();
    assert_eq!(pts.len(), numbers.len());
    assert!(
        pts[1..].windows(2).all(|p| (p[1] - p[0] - 0.04).abs() < 0.0011),
        "{pts:?}"
    );
}

#[test]
fn every_connection_has_numbers_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (cam, _) = short(dir.path());
    let taps: Vec<Tap> = cam.urls().iter().map(|u| Tap::open(u).unwrap()).collect();
    until_true("six seconds on every path", LIMIT, || {
        taps.iter().all(|t| t.frames(0).len() > 150)
    })
    .unwrap();
    assert_eq!(cam.playing(), 4);
    let mut senders = Vec::new();
    for tap in &taps {
        let packets = tap.channel(0);
        assert!(
            packets
                .windows(2)
                .all(|p| p[1].sequence == p[0].sequence.wrapping_add(1))
        );
        assert!(packets.iter().all(|p| p.ssrc == packets[0].ssrc));
        assert!(tap.frames(0).windows(2).all(|t| t[1].wrapping_sub(t[0]) == 3600));
        let reports = tap.channel(1);
        assert_eq!(
            reports.len(),
            2,
            "one report at the start, one after five seconds"
        );
        let between = reports[1].timestamp.wrapping_sub(reports[0].timestamp);
        assert!(between.abs_diff(5 * 90_000) < 90_000, "{between}");
        assert!(reports.iter().all(|r| r.ssrc == packets[0].ssrc && r.kind == 200));
        senders.push(packets[0].ssrc);
    }
    senders.sort_unstable();
    senders.dedup();
    assert_eq!(senders.len(), 4);
    drop(taps);
    until_true("all connections to end", LIMIT, || cam.playing() == 0).unwrap();
}

#[test]
fn rtspsrc_plays_it() {
    let dir = tempfile::tempdir().unwrap();
    let (cam, _) = short(dir.path());
    gst::init().unwrap();
    let pipeline = gst::parse::launch(&format!(
        "rtspsrc location={} protocols=tcp latency=200 ! rtph264depay ! h264parse ! \
         video/x-h264,stream-format=avc,alignment=au ! fakesink name=sink sync=false",
        cam.url(0)
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let frames = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&frames);
    let pad = pipeline.by_name("sink").unwrap().static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let played = until_true("75 frames", LIMIT, || frames.load(Ordering::SeqCst) >= 75);
    let complaint = pipeline
        .bus()
        .unwrap()
        .pop_filtered(&[gst::MessageType::Error, gst::MessageType::Warning]);
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(complaint.is_none(), "{complaint:?}");
    played.unwrap();
}

#[test]
fn what_it_does_not_have_it_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let (cam, _) = short(dir.path());
    let refused = judge::streams(&cam.url(4)).unwrap_err().to_string();
    assert!(refused.contains("404"), "{refused}");
    let udp = judge::ffprobe(&cam.url(0), &["-rtsp_transport", "udp", "-show_streams"]).unwrap_err();
    assert!(udp.to_string().contains("461"), "{udp}");
    let url = cam.url(0);
    drop(cam);
    assert!(judge::streams(&url).unwrap_err().to_string().contains("refused"));
}

#[test]
fn the_generated_clip_is_1080p25_of_4_mbit() {
    let clip = Clip::generated().unwrap();
    assert_eq!(clip.len(), 250);
    assert!(
        (3_600_000..4_400_000).contains(&clip.bitrate_bps()),
        "{}",
        clip.bitrate_bps()
    );
    let cam = ReplayCam::start(&ReplayOptions::default()).unwrap();
    let streams = judge::streams(&cam.url(31)).unwrap();
    assert_eq!(streams.len(), 1);
    let stream = &streams[0];
    assert_eq!(
        (stream["codec_name"].as_str(), stream["width"].as_u64()),
        (Some("h264"), Some(1920))
    );
    assert_eq!(stream["r_frame_rate"], "25/1");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("big.mkv");
    assert_eq!(judge::record(&cam.url(0), 2.0, &file).unwrap(), "");
    let numbers = judge::frame_numbers(&file).unwrap();
    assert_eq!(
        numbers,
        (0..u32::try_from(numbers.len()).unwrap()).collect::<Vec<_>>()
    );
}

#[test]
fn a_viewer_that_does_not_read_is_told_from_a_camera_that_is_late() {
    let dir = tempfile::tempdir().unwrap();
    let (short, _) = short(dir.path());
    drop(short);
    let cam = ReplayCam::start(&ReplayOptions {
        file: Some(dir.path().join("clip.h264")),
        paths: 1,
        fps: 240,
        ..Default::default()
    })
    .unwrap();
    let url = cam.url(0);
    let address = url.strip_prefix("rtsp://").unwrap().split('/').next().unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let setup = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    for (n, (method, header)) in [("SETUP", setup), ("PLAY", "")].into_iter().enumerate() {
        let request = format!("{method} {url} RTSP/1.0\r\nCSeq: {n}\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
    }
    // All buffers on the way are full.
    until_true("a frame that has to wait", LIMIT * 3, || cam.frames_held_up() > 0).unwrap();
    assert_eq!((cam.broken(), cam.frames_unsent()), (0, 0));
    let sent = cam.frames_sent();
    assert!(sent > 10);
    until_true("the frames that waited", LIMIT, || {
        let _ = stream.read(&mut [0; 1 << 20]).unwrap();
        cam.frames_sent() > sent + 1
    })
    .unwrap();
    drop(stream);
    until_true("the end", LIMIT, || cam.playing() == 0).unwrap();
    assert_eq!(cam.broken(), 1);
}
