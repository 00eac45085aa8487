//! No secret of a push gets into a log, at any level, nor into an answer.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use crate::common::cameras::{BASIC, PASSWORD, Running, camera};
use crate::common::{command, nvr};

/// Of a place for uploads.
const KEY: &str = "AKIAUPLOADSECRETKEY";
/// Of pushes: stream keys, one of them with a blank, and a passphrase.
const STREAM: &str = "live-c0ffee-stream";
const STREAM_ID: &str = "publish:srt c0ffee";
const PASSPHRASE: &str = "correcthorsebattery";
/// Of a password that nobody has, sent to log in.
const GUESS: &str = "wrongguess4711";
/// As much as there is of whatever is given a secret.
const GST_DEBUG: &str = "4,rtsp*:7,rtmp*:7,flvmux:5,srt*:7,souphttpsrc:7,GST_URI:7,nvr*:7";

/// A server that takes one stream by RTMP.
fn rtmp_server() -> (Running, u16) {
    let port = crate::common::free_port();
    let url = format!("rtmp://127.0.0.1:{port}/live/{STREAM}");
    let server = std::process::Command::new("ffmpeg")
        .args(["-v", "quiet", "-listen", "1", "-f", "flv", "-i", &url])
        .args(["-f", "null", "-"])
        .stdin(Stdio::null())
        .spawn();
    (Running(server.unwrap()), port)
}

/// Asks the recorder; the whole answer, head and all.
fn ask(page: u16, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", page)).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{page}\r\nContent-Type: application/json\r\n\
         Authorization: Basic {BASIC}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    answer
}

/// Asks again and again until the answer holds a text.
fn until(page: u16, path: &str, text: &str) {
    let found = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        ask(page, "GET", path, "").contains(text)
    });
    assert!(found, "{path} never told {text}: {}", ask(page, "GET", path, ""));
}

#[test]
fn no_secret_is_ever_told() {
    let dir = tempfile::tempdir().unwrap();
    let (shown, seen) = mpsc::channel();
    let (rtsp, http, page) = (
        camera("rtsp", &shown),
        camera("http", &shown),
        crate::common::free_port(),
    );
    let text = format!(
        "[recorder]\nroot = \"rec\"\n[http]\nlisten = \"127.0.0.1:{page}\"\nauth = \"none\"\nwebrtc = false\n\
         [[cameras]]\nid = \"lean\"\nsource = \"rtsp://127.0.0.1:{rtsp}/x\"\nuser = \"admin\"\n\
         password = \"{PASSWORD}\"\n\
         [[cameras]]\nid = \"url\"\nsource = \"rtsp://admin:{PASSWORD}@127.0.0.1:{rtsp}/x\"\ningest = \"rtspsrc\"\n\
         [[cameras]]\nid = \"mjpeg\"\nsource = \"http://127.0.0.1:{http}/x\"\nuser = \"admin\"\n\
         password = \"{PASSWORD}\"\n\
         [[cameras]]\nid = \"live\"\nsource = \"test:?size=320x240&fps=10&gop=10&audio=0\"\n\
         [[upload]]\nname = \"away\"\nurl = \"s3://bucket/x\"\nendpoint = \"http://127.0.0.1:9\"\nallow_http = true\n\
         access_key = \"user\"\nsecret_key = \"{KEY}\"\n"
    );
    std::fs::write(dir.path().join("nvr.toml"), text).unwrap();
    let log = dir.path().join("log");
    let mut process = command(dir.path(), &["run", "-vv", "--json"]);
    process
        .env("NVR_LOG", "trace")
        .env("GST_DEBUG", GST_DEBUG)
        .env("GST_DEBUG_NO_COLOR", "1")
        .stdout(std::fs::File::create(dir.path().join("out")).unwrap())
        .stderr(std::fs::File::create(&log).unwrap())
        .stdin(Stdio::null());
    let mut recorder = Running(process.spawn().unwrap());
    // Passwords were used by either protocol, so that there is something to be told.
    let mut wanted = vec!["rtsp", "http"];
    while !wanted.is_empty() {
        let name = seen
            .recv_timeout(Duration::from_secs(60))
            .unwrap_or_else(|e| panic!("{e}: {}", std::fs::read_to_string(&log).unwrap()));
        wanted.retain(|w| *w != name);
    }
    // Pushes: one that is taken, one that is refused, one by SRT that nobody answers.
    let (_server, rtmp) = rtmp_server();
    for url in [
        format!("rtmp://127.0.0.1:{rtmp}/live/{STREAM}"),
        format!("rtmps://me:{PASSWORD}@127.0.0.1:{http}/live/{STREAM}?auth={KEY}"),
        format!("srt://127.0.0.1:1?streamid={STREAM_ID}&passphrase={PASSPHRASE}").replace(' ', "%20"),
    ] {
        let body = format!("{{\"url\":\"{url}\"}}");
        let answer = ask(page, "POST", "/api/v1/cameras/live/pushes", &body);
        assert!(answer.contains(" 201 ") && answer.contains("***"), "{answer}");
    }
    until(page, "/api/v1/events?kind=push_live", "push_live");
    for push in [2, 3] {
        until(page, "/api/v1/events?kind=push_down", &format!("\"push\":{push}"));
    }
    let login = format!("{{\"name\":\"anna\",\"password\":\"{GUESS}\"}}");
    ask(page, "POST", "/api/v1/session", &login);
    let mut told = vec![
        ("status", nvr(dir.path(), &["status", "--json"])),
        ("cameras", nvr(dir.path(), &["cameras", "-vv"])),
        ("doctor", nvr(dir.path(), &["doctor", "--no-codecs", "-vv"])),
        ("validate", nvr(dir.path(), &["validate", "-vv"])),
    ];
    let source = format!("rtsp://admin:{PASSWORD}@127.0.0.1:{rtsp}/x");
    told.push(("probe", nvr(dir.path(), &["probe", &source, "-vv"])));
    let mut texts: Vec<(String, String)> = told
        .into_iter()
        .map(|(name, out)| (name.to_owned(), out.stdout + &out.stderr))
        .collect();
    for path in [
        "/api/v1/logs?limit=1000",
        "/api/v1/cameras",
        "/api/v1/config",
        "/api/v1/pushes",
        "/api/v1/events?limit=1000",
        "/health",
        "/metrics",
    ] {
        let answer = ask(page, "GET", path, "");
        assert!(
            answer.starts_with("HTTP/1.") && answer.contains(" 200 "),
            "{path}: {answer}"
        );
        texts.push((path.to_owned(), answer));
    }
    let killed = std::process::Command::new("kill")
        .arg(recorder.0.id().to_string())
        .status();
    assert!(killed.unwrap().success());
    recorder.0.wait().unwrap();
    for file in ["log", "out"] {
        texts.push((
            file.into(),
            std::fs::read_to_string(dir.path().join(file)).unwrap(),
        ));
    }
    // The log is one that tells a lot: all that the recorder and GStreamer have to say.
    let whole = std::fs::read_to_string(&log).unwrap();
    for wanted in [
        "TRACE",
        "rtmp",
        "srtsink",
        "rtspsrc",
        "live/***",
        "passphrase=***",
    ] {
        assert!(whole.contains(wanted), "the log tells nothing of {wanted}");
    }
    let coded = STREAM_ID.replace(' ', "%20");
    let secrets = [PASSWORD, BASIC, KEY, STREAM, STREAM_ID, &coded, PASSPHRASE, GUESS];
    // One line of each kind, without the numbers that differ.
    let mut leaks = std::collections::BTreeMap::new();
    for (name, text) in &texts {
        for line in text.lines().filter(|l| secrets.iter().any(|s| l.contains(s))) {
            let kind: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
            leaks.entry(kind).or_insert_with(|| format!("{name}: {line}"));
        }
    }
    assert!(
        leaks.is_empty(),
        "{:#?}",
        leaks.values().take(30).collect::<Vec<_>>()
    );
}
