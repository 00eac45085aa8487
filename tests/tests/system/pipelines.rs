//! Every file in `pipelines/` is parsed and run, on real input.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use gst::prelude::*;
use nvr_tests::{TestCam, TestCamOptions, judge};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines")
}

/// The line without comments, its words filled in.
fn line(name: &str, words: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    let code: Vec<&str> = text
        .lines()
        .filter(|l| !l.trim_start().starts_with('#'))
        .map(str::trim)
        .collect();
    assert!(code.len() < text.lines().count(), "{name} has no comment");
    let mut code = code.join(" ");
    for (word, value) in words {
        code = code.replace(&format!("{{{word}}}"), value);
    }
    assert!(!code.contains('{'), "{name}: a word was not filled in: {code}");
    code
}

#[derive(Clone, Copy)]
enum End {
    /// Runs to its own end.
    Eos,
    /// A live source: ended after so many buffers reached the sink side.
    After(std::time::Duration),
}

/// Runs to the end; the error's text if there is one.
fn run(code: &str, end: End) -> Result<(), String> {
    nvr_core::gst::init().unwrap();
    // The muxer of the Rust plugins, which Debian 12 has no package of.
    gstfmp4::plugin_register_static().unwrap();
    let pipeline = gst::parse::launch(code).unwrap_or_else(|e| panic!("{code}: {e}"));
    let bus = pipeline.bus().unwrap();
    pipeline
        .set_state(gst::State::Playing)
        .map_err(|e| e.to_string())
        .ok();
    let mut result = Err("no end within 30 s".to_owned());
    if let End::After(time) = end {
        let early = bus.timed_pop_filtered(
            gst::ClockTime::from_nseconds(time.as_nanos() as u64),
            &[gst::MessageType::Error, gst::MessageType::Eos],
        );
        match early {
            Some(message) => bus.post(message).unwrap(),
            None => {
                pipeline.send_event(gst::event::Eos::new());
            }
        }
    }
    let wanted = [gst::MessageType::Error, gst::MessageType::Eos];
    if let Some(message) = bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &wanted) {
        result = match message.view() {
            gst::MessageView::Error(e) => Err(format!("{} ({:?})", e.error(), e.debug())),
            _ => Ok(()),
        };
    }
    pipeline.set_state(gst::State::Null).unwrap();
    result
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Records the test picture, for those that want a file.
fn recorded(dir: &Path) -> PathBuf {
    let file = dir.join("in.mp4");
    run(&line("test.launch", &[("out", text(&file))]), End::Eos).unwrap();
    file
}

#[test]
fn all_files_are_run_here() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.ends_with(".launch"))
        .collect();
    names.sort();
    let run_below = [
        "encoder-probe.launch",
        "file.launch",
        "lean.launch",
        "mjpeg.launch",
        "playback.launch",
        "push-rtmp.launch",
        "push-srt.launch",
        "record-audio.launch",
        "record.launch",
        "snapshot.launch",
        "test.launch",
        "transcode.launch",
        "v4l2.launch",
    ];
    assert_eq!(names, run_below);
}

#[test]
fn test_and_file_and_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path());
    assert_eq!(judge::packets(&file, "v:0").unwrap().len(), 75);
    let again = dir.path().join("again.mp4");
    run(
        &line("file.launch", &[("in", text(&file)), ("out", text(&again))]),
        End::Eos,
    )
    .unwrap();
    assert_eq!(judge::packets(&again, "v:0").unwrap().len(), 75);
    let picture = dir.path().join("picture.jpg");
    run(
        &line("snapshot.launch", &[("in", text(&file)), ("out", text(&picture))]),
        End::Eos,
    )
    .unwrap();
    assert_eq!(&std::fs::read(&picture).unwrap()[..2], &[0xff, 0xd8]);
}

#[test]
fn encoding_again_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path());
    let (smaller, back) = (dir.path().join("h265.mp4"), dir.path().join("h264.mp4"));
    for (name, from, to) in [
        ("transcode.launch", &file, &smaller),
        ("playback.launch", &smaller, &back),
    ] {
        run(&line(name, &[("in", text(from)), ("out", text(to))]), End::Eos).unwrap();
        assert_eq!(judge::packets(to, "v:0").unwrap().len(), 75, "{name}");
    }
}

#[test]
fn sound_and_encoder() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sound.mp4");
    run(&line("record-audio.launch", &[("out", text(&file))]), End::Eos).unwrap();
    assert!(judge::packets(&file, "a:0").unwrap().len() > 20);
    run(&line("encoder-probe.launch", &[]), End::Eos).unwrap();
}

#[test]
fn record_from_rtsp() {
    let cam = TestCam::start(TestCamOptions {
        gop: 10,
        ..TestCamOptions::default()
    })
    .unwrap();
    for name in ["record.launch", "lean.launch"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("camera.mp4");
        let code = line(name, &[("rtsp", &cam.url()), ("out", text(&file))]);
        run(&code, End::After(std::time::Duration::from_secs(4))).unwrap();
        assert!(judge::packets(&file, "v:0").unwrap().len() > 20, "{name}");
    }
}

#[test]
fn mjpeg_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let picture = dir.path().join("picture.jpg");
    run(
        &line(
            "snapshot.launch",
            &[("in", text(&recorded(dir.path()))), ("out", text(&picture))],
        ),
        End::Eos,
    )
    .unwrap();
    let jpeg = std::fs::read(&picture).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // A connection that is closed with the request unread is reset, and what was sent is lost.
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream
            .write_all(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
            .unwrap();
        for _ in 0..30 {
            let head = format!(
                "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
                jpeg.len()
            );
            let sent = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&jpeg));
            if sent.and_then(|()| stream.write_all(b"\r\n")).is_err() {
                return;
            }
        }
    });
    let file = dir.path().join("mjpeg.mp4");
    run(
        &line("mjpeg.launch", &[("http", &url), ("out", text(&file))]),
        End::Eos,
    )
    .unwrap();
    server.join().unwrap();
    // The last picture ends with the connection; the demuxer may not hand it out.
    assert!(judge::packets(&file, "v:0").unwrap().len() >= 29);
}

/// FFmpeg listens, and copies what comes into a file.
#[test]
fn pushes_to_servers() {
    let dir = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let rtmp = format!("rtmp://127.0.0.1:{tcp}/live/key");
    let listening = format!("srt://127.0.0.1:{udp}?mode=listener");
    let calling = format!("srt://127.0.0.1:{udp}?mode=caller");
    let cases = [
        (
            "push-rtmp.launch",
            "rtmp",
            rtmp.as_str(),
            rtmp.as_str(),
            vec!["-listen", "1", "-f", "flv"],
        ),
        (
            "push-srt.launch",
            "srt",
            &calling,
            &listening,
            vec!["-f", "mpegts"],
        ),
    ];
    for (name, word, calls, listens, options) in cases {
        let file = dir.path().join(format!("{word}.mkv"));
        let mut server = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-y"])
            .args(options)
            .args(["-i", listens, "-c", "copy"])
            .arg(&file)
            .stdin(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Until it listens, nobody takes the call.
        let mut tries = 0;
        while let Err(e) = run(&line(name, &[(word, calls)]), End::Eos) {
            tries += 1;
            assert!(tries < 50, "{name}: {e}");
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        // An SRT listener does not see that its caller is done.
        let done = std::process::Command::new("kill")
            .args(["-INT", &server.id().to_string()])
            .status();
        let _ = done.unwrap();
        server.wait().unwrap();
        assert!(judge::packets(&file, "v:0").unwrap().len() > 100, "{name}");
    }
}

/// There is no device here; that it is asked for, and the answer, can be seen all the same. `make test-v4l2` records
/// from a real one.
#[test]
fn v4l2_asks_for_the_device() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("v4l2.mp4");
    let code = line(
        "v4l2.launch",
        &[("device", "/dev/video-none"), ("out", text(&out))],
    );
    let error = run(&code, End::Eos).unwrap_err();
    assert!(error.contains("/dev/video-none"), "{error}");
}
