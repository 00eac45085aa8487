//! The simulator judged by ffprobe, ffmpeg and a client that sees every packet.

use std::path::Path;
use std::time::Duration;

use nvr_tests::judge::{self, Packet};
use nvr_tests::tap::Tap;
use nvr_tests::wait::until_true;
use nvr_tests::{Audio, Auth, Codec, Picture, TestCam, TestCamOptions};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(20);

fn cam(options: TestCamOptions) -> TestCam {
    TestCam::start(options).unwrap()
}

fn codecs(streams: &[Value]) -> Vec<String> {
    streams
        .iter()
        .map(|s| s["codec_name"].as_str().unwrap_or("?").to_owned())
        .collect()
}

fn recorded(cam: &TestCam, seconds: f64, dir: &Path) -> std::path::PathBuf {
    let file = dir.join("recorded.mkv");
    judge::record(&cam.url_with_credentials(), seconds, &file).unwrap();
    file
}

fn keys(packets: &[Packet]) -> Vec<usize> {
    packets
        .iter()
        .enumerate()
        .filter(|(_, p)| p.key)
        .map(|(i, _)| i)
        .collect()
}

#[test]
fn every_codec_is_what_it_says() {
    for (codec, audio, expect) in [
        (Codec::H264, Audio::None, vec!["h264"]),
        (Codec::H264, Audio::Aac, vec!["h264", "aac"]),
        (Codec::H264, Audio::Pcmu, vec!["h264", "pcm_mulaw"]),
        (Codec::H264, Audio::Pcma, vec!["h264", "pcm_alaw"]),
        (Codec::H264, Audio::Opus, vec!["h264", "opus"]),
        (Codec::H265, Audio::Aac, vec!["hevc", "aac"]),
    ] {
        let cam = cam(TestCamOptions {
            codec,
            audio,
            width: 320,
            height: 240,
            ..Default::default()
        });
        let streams = judge::streams(&cam.url()).unwrap();
        assert_eq!(codecs(&streams), expect);
        assert_eq!(
            (streams[0]["width"].as_u64(), streams[0]["height"].as_u64()),
            (Some(320), Some(240))
        );
    }
}

#[test]
fn frames_are_numbered_without_holes_and_gops_are_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let cam = cam(TestCamOptions {
        gop: 10,
        audio: Audio::Pcmu,
        ..Default::default()
    });
    let file = recorded(&cam, 3.0, dir.path());
    let numbers = judge::frame_numbers(&file).unwrap();
    assert!(numbers.len() >= 70, "{numbers:?}");
    assert_eq!(judge::missing(&numbers).unwrap(), Vec::<u32>::new());
    let packets = judge::packets(&file, "v:0").unwrap();
    assert_eq!(packets.len(), numbers.len());
    assert!(
        keys(&packets).windows(2).all(|k| k[1] - k[0] == 10),
        "{:?}",
        keys(&packets)
    );
    judge::decode_all(&file).unwrap();
}

#[test]
fn the_clock_in_the_picture_is_the_time_of_the_frame() {
    let dir = tempfile::tempdir().unwrap();
    let cam = cam(TestCamOptions {
        fps: 20,
        picture: Picture::Bars,
        ..Default::default()
    });
    let file = recorded(&cam, 2.0, dir.path());
    let marks = judge::frame_marks(&file).unwrap();
    let clock: Vec<u32> = marks.iter().map(|m| m.clock_low.unwrap()).collect();
    assert!(clock.len() >= 30);
    // Frames drawn late say when they were due, so that a busy machine does not bend the clock.
    assert!(
        clock
            .windows(2)
            .all(|c| c[1].wrapping_sub(c[0]).abs_diff(50) <= 2),
        "{clock:?}"
    );
}

#[test]
fn b_frames_and_long_gops() {
    let dir = tempfile::tempdir().unwrap();
    for codec in [Codec::H264, Codec::H265] {
        let cam = cam(TestCamOptions {
            codec,
            bframes: 2,
            gop: 3000,
            width: 320,
            height: 240,
            ..Default::default()
        });
        // A bare stream: ffmpeg's RTSP input has no times for some packets with B-frames, and containers want them.
        let file = dir.path().join(if codec == Codec::H264 {
            "bare.h264"
        } else {
            "bare.hevc"
        });
        judge::record(&cam.url(), 4.0, &file).unwrap();
        let numbers = judge::frame_numbers(&file).unwrap();
        assert!(numbers.len() > 50, "{numbers:?}");
        // The recording ends in decoding order, perhaps between a P-frame and the B-frames that come before it.
        assert_eq!(
            judge::missing(&numbers[..numbers.len() - 2]).unwrap(),
            Vec::<u32>::new()
        );
        assert_eq!(keys(&judge::packets(&file, "v:0").unwrap()), [0]);
        let tap = Tap::open(&cam.url()).unwrap();
        until_true("frames", LIMIT, || tap.frames(0).len() > 30).unwrap();
        let back = tap
            .frames(0)
            .windows(2)
            .filter(|t| t[1].wrapping_sub(t[0]).cast_signed() < 0)
            .count();
        assert!(back >= 8, "{back} of 30 frames go back in presentation time");
    }
}

#[test]
fn a_variable_rate_varies_and_numbers_have_no_holes() {
    let dir = tempfile::tempdir().unwrap();
    let cam = cam(TestCamOptions {
        variable_rate: true,
        ..Default::default()
    });
    let file = recorded(&cam, 4.0, dir.path());
    assert_eq!(
        judge::missing(&judge::frame_numbers(&file).unwrap()).unwrap(),
        Vec::<u32>::new()
    );
    let pts: Vec<f64> = judge::packets(&file, "v:0")
        .unwrap()
        .iter()
        .filter_map(|p| p.pts)
        .collect();
    let steps: Vec<f64> = pts.windows(2).map(|p| p[1] - p[0]).collect();
    assert!(steps.iter().any(|s| *s > 0.06), "no frame left out: {steps:?}");
    assert!(steps.iter().any(|s| *s < 0.038), "no jitter: {steps:?}");
    // The first step is a guess of ffmpeg's, which has no time for the first packet.
    assert!(steps[1..].iter().all(|s| *s > 0.0), "{steps:?}");
}

#[test]
fn authentication_refuses_and_accepts() {
    for auth in [Auth::basic("user", "secret"), Auth::digest("user", "secret")] {
        let cam = cam(TestCamOptions {
            auth: Some(auth),
            ..Default::default()
        });
        let refused = judge::streams(&cam.url()).unwrap_err().to_string();
        assert!(refused.contains("401"), "{refused}");
        let wrong = cam.url_with_credentials().replace("secret", "wrong");
        assert!(judge::streams(&wrong).unwrap_err().to_string().contains("401"));
        assert_eq!(
            codecs(&judge::streams(&cam.url_with_credentials()).unwrap()),
            ["h264"]
        );

        cam.set_auth(Some(&Auth::digest("user", "changed")));
        assert!(
            judge::streams(&cam.url_with_credentials())
                .unwrap_err()
                .to_string()
                .contains("401")
        );
        cam.set_auth(cam.options().auth.as_ref());
        assert_eq!(
            codecs(&judge::streams(&cam.url_with_credentials()).unwrap()),
            ["h264"]
        );
    }
}

#[test]
fn tcp_only_refuses_udp() {
    let args = ["-rtsp_transport", "udp", "-show_streams"];
    let open = cam(TestCamOptions::default());
    assert!(judge::ffprobe(&open.url(), &args).is_ok());
    let closed = cam(TestCamOptions {
        tcp_only: true,
        ..Default::default()
    });
    assert!(judge::ffprobe(&closed.url(), &args).is_err());
    assert!(judge::streams(&closed.url()).is_ok());
}

#[test]
fn paths_are_cameras_of_their_own() {
    let cam = cam(TestCamOptions {
        paths: vec!["/a".into(), "/b/c".into()],
        ..Default::default()
    });
    for url in cam.urls() {
        assert_eq!(codecs(&judge::streams(&url).unwrap()), ["h264"]);
    }
    assert!(
        judge::streams(&cam.url().replace("/a", "/none"))
            .unwrap_err()
            .to_string()
            .contains("404")
    );
}

#[test]
fn freeze_stops_packets_and_keeps_the_connection() {
    let cam = cam(TestCamOptions {
        audio: Audio::Pcma,
        ..Default::default()
    });
    let tap = Tap::open(&cam.url()).unwrap();
    until_true("packets of both tracks", LIMIT, || {
        tap.frames(0).len() > 10 && tap.channel(2).len() > 10
    })
    .unwrap();
    cam.freeze();
    let (sent, drawn) = (cam.frames_sent(), cam.frames_drawn());
    until_true("two seconds of frames not sent", LIMIT, || {
        cam.frames_drawn() > drawn + 50
    })
    .unwrap();
    assert!(cam.frames_sent() <= sent + 1);
    let silent_at = tap.packets().len();
    let drawn = cam.frames_drawn();
    until_true("two more seconds", LIMIT, || cam.frames_drawn() > drawn + 50).unwrap();
    assert_eq!(
        tap.packets().len(),
        silent_at,
        "packets came from a frozen camera"
    );
    assert!(!tap.is_closed());
    // Requests are answered.
    assert!(std::net::TcpStream::connect(("127.0.0.1", cam.port())).is_ok());
    cam.resume();
    until_true("packets after resume", LIMIT, || {
        tap.packets().len() > silent_at + 20
    })
    .unwrap();
    let numbers: Vec<u16> = tap.channel(0).iter().map(|p| p.sequence).collect();
    assert!(
        numbers.windows(2).all(|n| n[1] == n[0].wrapping_add(1)),
        "sequence numbers have holes"
    );
    assert_eq!(cam.connections(), 2);
}

#[test]
fn a_hung_camera_takes_connections_and_answers_nothing() {
    let cam = cam(TestCamOptions::default());
    let tap = Tap::open(&cam.url()).unwrap();
    until_true("frames", LIMIT, || tap.frames(0).len() > 5).unwrap();
    // gst-rtsp-server 1.22 can lock itself up when one client seeks (PLAY with a range) what another one plays.
    drop(tap);
    cam.hang();
    judge::ffprobe(&cam.url(), &["-timeout", "1000000", "-show_streams"]).unwrap_err();
    assert_eq!((cam.connections(), cam.describes()), (2, 1));
    cam.resume();
    assert_eq!(codecs(&judge::streams(&cam.url()).unwrap()), ["h264"]);
    cam.hang();
    drop(cam); // ends although a request waits
}

#[test]
fn a_camera_dies_and_returns_as_another() {
    let mut cam = cam(TestCamOptions {
        audio: Audio::Aac,
        ..Default::default()
    });
    let url = cam.url();
    let tap = Tap::open(&url).unwrap();
    until_true("frames", LIMIT, || tap.frames(0).len() > 5).unwrap();
    cam.die();
    until_true("the end of the connection", LIMIT, || tap.is_closed()).unwrap();
    assert!(judge::streams(&url).unwrap_err().to_string().contains("refused"));
    cam.come_back().unwrap();
    assert_eq!(codecs(&judge::streams(&url).unwrap()), ["h264", "aac"]);
    cam.come_back_as(TestCamOptions {
        codec: Codec::H265,
        width: 320,
        height: 240,
        ..Default::default()
    })
    .unwrap();
    assert_eq!(cam.url(), url);
    let streams = judge::streams(&url).unwrap();
    assert_eq!(codecs(&streams), ["hevc"]);
    assert_eq!(streams[0]["width"], 320);
}

#[test]
fn numbers_go_on_with_time_over_death_and_return() {
    let dir = tempfile::tempdir().unwrap();
    let mut cam = cam(TestCamOptions::default());
    let before = judge::frame_numbers(&recorded(&cam, 1.0, dir.path())).unwrap();
    cam.come_back().unwrap();
    let after = judge::frame_numbers(&recorded(&cam, 1.0, dir.path())).unwrap();
    assert!(after[0] > *before.last().unwrap(), "{before:?} {after:?}");
}

#[test]
fn timestamps_jump_repeat_and_fall_without_a_new_connection() {
    let cam = cam(TestCamOptions {
        audio: Audio::Pcmu,
        ..Default::default()
    });
    let tap = Tap::open(&cam.url()).unwrap();
    let more = |n: usize| {
        let have = tap.frames(0).len();
        until_true("more frames", LIMIT, || tap.frames(0).len() > have + n).unwrap();
    };
    let steps = |from: usize| -> Vec<i32> {
        tap.frames(0)[from..]
            .windows(2)
            .map(|t| t[1].wrapping_sub(t[0]).cast_signed())
            .collect()
    };
    more(5);
    let hour = 3600 * 90_000;
    cam.jump_timestamps_forward(Duration::from_secs(3600));
    more(5);
    cam.jump_timestamps_backward(Duration::from_secs(7200));
    more(5);
    let jumps: Vec<i32> = steps(0).into_iter().filter(|s| s.abs() > 90_000).collect();
    assert_eq!(jumps, [hour + 3600, 3600 - 2 * hour]);
    let audio: Vec<i32> = tap
        .channel(2)
        .windows(2)
        .map(|p| p[1].timestamp.wrapping_sub(p[0].timestamp).cast_signed())
        .collect();
    let jumps: Vec<i32> = audio
        .into_iter()
        .filter(|s| s.abs() > 8000)
        .map(|s| s / 8000)
        .collect();
    assert_eq!(jumps, [3600, -7199]);

    let from = tap.frames(0).len();
    cam.repeat_timestamps(3);
    more(10);
    assert_eq!(
        steps(from - 1).iter().filter(|s| **s == 0).count(),
        3,
        "{:?}",
        steps(from - 1)
    );
    let from = tap.frames(0).len();
    cam.backward_timestamps(1, Duration::from_secs(1));
    more(10);
    assert!(
        steps(from - 1).iter().filter(|s| **s < 0).count() == 1,
        "{:?}",
        steps(from - 1)
    );
    assert_eq!(cam.connections(), 1);
    until_true("a sender report that agrees", LIMIT, || {
        let reports = tap.channel(1);
        let last = *tap.frames(0).last().unwrap();
        reports
            .iter()
            .any(|r| r.kind == 200 && last.wrapping_sub(r.timestamp).cast_signed().abs() < 30 * 90_000)
    })
    .unwrap();
}

#[test]
fn lost_frames_are_missing_from_the_recording() {
    let dir = tempfile::tempdir().unwrap();
    let cam = cam(TestCamOptions {
        gop: 10,
        ..Default::default()
    });
    let _tap = Tap::open(&cam.url()).unwrap();
    let file = dir.path().join("lost.mkv");
    std::thread::scope(|scope| {
        let recording = scope.spawn(|| judge::record(&cam.url(), 4.0, &file).unwrap());
        until_true("the recording's connection", LIMIT, || cam.connections() == 2).unwrap();
        let sent = cam.frames_sent();
        until_true("some frames", LIMIT, || cam.frames_sent() > sent + 40).unwrap();
        cam.lose_frames(4);
        recording.join().unwrap();
    });
    // What follows the loss cannot be decoded up to the next keyframe; first and last frame can.
    let numbers: Vec<u32> = judge::frame_marks(&file)
        .unwrap()
        .iter()
        .filter_map(|m| m.number)
        .collect();
    let made = numbers.last().unwrap() - numbers[0] + 1;
    let packets = judge::packets(&file, "v:0").unwrap().len();
    assert_eq!(made as usize - packets, 4, "{numbers:?}");
}

#[test]
fn picture_order_counts_jump_and_the_stream_still_decodes() {
    let dir = tempfile::tempdir().unwrap();
    let cam = cam(TestCamOptions {
        bframes: 2,
        gop: 1000,
        ..Default::default()
    });
    let file = dir.path().join("poc.h264");
    std::thread::scope(|scope| {
        let recording = scope.spawn(|| judge::record(&cam.url(), 3.0, &file).unwrap());
        until_true("some frames", LIMIT, || cam.frames_sent() > 40).unwrap();
        cam.jump_picture_order(20);
        recording.join().unwrap();
    });
    let counts = judge::picture_order_counts(&file).unwrap();
    let range = 64;
    // In decoding order a P-frame is 8 past the B-frame before it.
    let steps: Vec<i64> = counts
        .windows(2)
        .map(|c| (c[1] - c[0]).rem_euclid(range))
        .collect();
    assert_eq!(
        steps.iter().filter(|s| **s == 28).count(),
        1,
        "8 to the next P-frame and 20 more: {counts:?}"
    );
    let numbers = judge::frame_numbers(&file).unwrap();
    assert_eq!(numbers.len(), counts.len());
    assert_eq!(
        judge::missing(&numbers[..numbers.len() - 2]).unwrap(),
        Vec::<u32>::new()
    );
}

#[test]
fn declared_audio_may_never_come() {
    let cam = cam(TestCamOptions {
        audio: Audio::Aac,
        audio_silent: true,
        ..Default::default()
    });
    let tap = Tap::open(&cam.url()).unwrap();
    assert!(tap.sdp().contains("m=audio"));
    until_true("video", LIMIT, || tap.frames(0).len() > 60).unwrap();
    assert!(tap.channel(2).is_empty() && tap.channel(3).is_empty());
}

#[test]
fn audio_stops_by_time_or_by_order() {
    let timed = cam(TestCamOptions {
        audio: Audio::Pcmu,
        audio_stops_after: Some(Duration::from_secs(1)),
        ..Default::default()
    });
    let tap = Tap::open(&timed.url()).unwrap();
    until_true("video", LIMIT, || tap.frames(0).len() > 75).unwrap();
    let packets = tap.channel(2).len();
    assert!(
        (20..=60).contains(&packets),
        "{packets} packets of 20 ms in the first second"
    );

    let told = cam(TestCamOptions {
        audio: Audio::Opus,
        ..Default::default()
    });
    let tap = Tap::open(&told.url()).unwrap();
    until_true("audio", LIMIT, || tap.channel(2).len() > 10).unwrap();
    told.stall_audio();
    let drawn = told.frames_drawn();
    until_true("a second", LIMIT, || told.frames_drawn() > drawn + 25).unwrap();
    let packets = tap.channel(2).len();
    let frames = tap.frames(0).len();
    until_true("video without audio", LIMIT, || tap.frames(0).len() > frames + 25).unwrap();
    assert_eq!(tap.channel(2).len(), packets);
    told.resume_audio();
    until_true("audio again", LIMIT, || tap.channel(2).len() > packets + 10).unwrap();
}

#[test]
fn describe_takes_its_time() {
    let cam = cam(TestCamOptions {
        describe_delay: Duration::from_secs(3),
        ..Default::default()
    });
    judge::ffprobe(&cam.url(), &["-timeout", "1000000", "-show_streams"]).unwrap_err();
    assert_eq!(cam.describes(), 1);
    assert_eq!(codecs(&judge::streams(&cam.url()).unwrap()), ["h264"]);
    assert_eq!(cam.describes(), 2);
}

#[test]
fn a_second_viewer_starts_with_a_keyframe_in_a_long_gop() {
    let dir = tempfile::tempdir().unwrap();
    let cam = cam(TestCamOptions {
        gop: 10_000,
        ..Default::default()
    });
    let tap = Tap::open(&cam.url()).unwrap();
    until_true("frames", LIMIT, || tap.frames(0).len() > 30).unwrap();
    let file = recorded(&cam, 1.0, dir.path());
    assert!(judge::packets(&file, "v:0").unwrap()[0].key);
    judge::decode_all(&file).unwrap();
}

#[test]
fn many_lives_and_many_cameras_do_not_interfere() {
    let cams: Vec<TestCam> = (0..3)
        .map(|i| {
            cam(TestCamOptions {
                width: 320 + 8 * i,
                height: 240,
                ..Default::default()
            })
        })
        .collect();
    let taps: Vec<Tap> = cams.iter().map(|c| Tap::open(&c.url()).unwrap()).collect();
    let mut restless = cam(TestCamOptions {
        audio: Audio::Pcmu,
        width: 320,
        height: 240,
        ..Default::default()
    });
    for _ in 0..8 {
        let tap = Tap::open(&restless.url()).unwrap();
        until_true("a frame", LIMIT, || !tap.frames(0).is_empty()).unwrap();
        restless.die();
        until_true("the end of the connection", LIMIT, || tap.is_closed()).unwrap();
        restless.come_back().unwrap();
    }
    assert_eq!(restless.connections(), 8);
    for (cam, tap) in cams.iter().zip(&taps) {
        let frames = tap.frames(0).len();
        until_true("the others' frames", LIMIT, || tap.frames(0).len() > frames + 10).unwrap();
        assert_eq!(cam.connections(), 1);
    }
}

#[test]
fn dropped_cameras_leave_no_thread_and_no_port() {
    let cam = cam(TestCamOptions {
        audio: Audio::Aac,
        ..Default::default()
    });
    let (port, name) = (cam.port(), format!("testcam-{}", cam.port()));
    let running = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .flatten()
            .filter_map(|t| std::fs::read_to_string(t.path().join("comm")).ok())
            .any(|c| c.trim() == name)
    };
    let tap = Tap::open(&cam.url()).unwrap();
    until_true("frames", LIMIT, || tap.frames(0).len() > 5).unwrap();
    assert!(running());
    drop(cam);
    assert!(!running());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}
