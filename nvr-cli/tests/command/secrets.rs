//! No secret gets into a log, at any level, nor into an answer.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use crate::common::cameras::{BASIC, PASSWORD, Running, camera};
use crate::common::{command, nvr};

/// Of a place for uploads.
const KEY: &str = "AKIAUPLOADSECRETKEY";

fn ask(port: u16, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    answer
}

/// What the parts log that work for one camera each says which, however deep it comes from.
fn about_cameras(lines: &[serde_json::Value]) {
    let rooms = ["camera", "gst::", "rtsp", "push", "live"].map(|room| format!("nvr_core::{room}"));
    // Encoders are tried once for all.
    let for_all =
        ["gst::encoders", "gst::catalogue", "gst::codec_trial"].map(|room| format!("nvr_core::{room}"));
    let (mut seen, mut without) = (0, Vec::new());
    for line in lines {
        let target = line["target"].as_str().unwrap();
        let is = |list: &[String]| list.iter().any(|room| target.starts_with(room.as_str()));
        if is(&rooms) && !is(&for_all) {
            seen += 1;
            if !line["camera"].is_string() {
                without.push(line.to_string());
            }
        }
    }
    assert!(without.is_empty(), "{} of {seen}: {without:#?}", without.len());
    assert!(seen > 10, "{seen}");
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
         [[upload]]\nname = \"away\"\nurl = \"s3://bucket/x\"\nendpoint = \"http://127.0.0.1:9\"\nallow_http = true\n\
         access_key = \"user\"\nsecret_key = \"{KEY}\"\n\
         [log]\nformat = \"json\"\n"
    );
    std::fs::write(dir.path().join("nvr.toml"), text).unwrap();
    let log = dir.path().join("log");
    let mut process = command(dir.path(), &["run", "-vv", "--json"]);
    process
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
    // Again with all that can be logged, GStreamer's own included.
    let levels = ["log-level", "trace", "--gstreamer", "*:7", "--json"];
    let levels = nvr(dir.path(), &levels);
    assert_eq!(levels.json()["filter"], "trace", "{levels:?}");
    while seen.try_recv().is_ok() {}
    for camera in ["lean", "url", "mjpeg"] {
        ask(
            page,
            "POST",
            &format!("/api/v1/cameras/{camera}/restart?token={KEY}"),
        );
    }
    ask(page, "GET", &format!("/api/v1/shares/{PASSWORD}"));
    let mut wanted = vec!["rtsp", "http"];
    while !wanted.is_empty() {
        let name = seen.recv_timeout(Duration::from_secs(120)).unwrap();
        wanted.retain(|w| *w != name);
    }
    assert_eq!(nvr(dir.path(), &["log-level", "--reset"]).code, 0);
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
        "/api/v1/logs?limit=2000&level=trace",
        "/api/v1/cameras/url/logs?level=trace",
        "/api/v1/cameras",
        "/api/v1/config",
        "/health",
        "/metrics",
    ] {
        let answer = ask(page, "GET", path);
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
    // The log is one that tells a lot.
    assert!(
        texts
            .iter()
            .any(|(name, text)| name == "log" && text.contains("DEBUG"))
    );
    // GStreamer's is there, and knows whose it is.
    let (_, lines) = texts.iter().find(|(name, _)| name == "log").unwrap();
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let of_pipelines = |line: &&serde_json::Value| line["target"] == "gstreamer";
    assert!(lines.iter().filter(of_pipelines).any(|l| l["camera"] == "url"));
    about_cameras(&lines);
    for (name, text) in &texts {
        for secret in [PASSWORD, BASIC, KEY] {
            let line = text.lines().find(|l| l.contains(secret));
            assert!(line.is_none(), "{name} tells {secret}: {line:?}");
        }
    }
}
