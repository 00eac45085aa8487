//! Commands beside a running recorder, and after it: the demo, signals, questions, exports.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::demo::Demo;
use crate::common::{Outcome, nvr};
use nvr_core::Timestamp;
use nvr_core::clock::{Clock as _, SystemClock};

/// Asks again and again until the answer is good; panics with the last one after a minute.
fn eventually<T: std::fmt::Debug>(what: &str, ask: impl Fn() -> T, good: impl Fn(&T) -> bool) -> T {
    let clock = SystemClock::new();
    loop {
        let answer = ask();
        if good(&answer) {
            return answer;
        }
        assert!(clock.steady_ns() < 60_000_000_000, "{what}: {answer:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A recorder of the demo, and how it is asked.
struct Recorder {
    demo: Demo,
    dir: PathBuf,
}

impl Recorder {
    fn demo(dir: &Path) -> Self {
        Self {
            demo: Demo::start(dir, &["-v"]),
            dir: dir.to_owned(),
        }
    }

    fn ask(&self, args: &[&str]) -> Outcome {
        ask(&self.dir, args)
    }

    fn recorded(&self) {
        let enough = |out: &Outcome| {
            out.code == 0
                && out.json().as_array().is_some_and(|all| {
                    all.len() == 2
                        && all
                            .iter()
                            .all(|t| t["totals"]["recorded_ns"].as_i64() > Some(2_000_000_000))
                })
        };
        eventually(
            "two seconds of footage",
            || self.ask(&["timeline", "--last", "1h"]),
            enough,
        );
    }
}

fn ask(dir: &Path, args: &[&str]) -> Outcome {
    nvr(dir, &[&["-c", "demo/nvr.toml", "--json"], args].concat())
}

/// `protect` and `cleanup` write by themselves where no recorder does. What began before `asked` is protected.
fn retention_without_a_recorder(dir: &Path, asked: Timestamp) {
    let segments = ask(dir, &["segments", "front"]).json();
    let all = segments.as_array().unwrap();
    let since = |s: &serde_json::Value| s["start"].as_str().unwrap().parse::<Timestamp>().unwrap() > asked;
    assert!(
        all[0]["protected"] == true && all.iter().all(|s| s["protected"] == true || since(s)),
        "{segments:#}"
    );
    let id = all[0]["id"].to_string();
    let off = ask(dir, &["protect", "--segment", &id, "--off"]).json();
    assert_eq!(
        (&off["segments"], &off["off"]),
        (&1.into(), &true.into()),
        "{off:#}"
    );
    assert_eq!(ask(dir, &["segments", "front"]).json()[0]["protected"], false);
    assert_eq!(ask(dir, &["protect", "--segment", "999999"]).code, 4);
    assert_eq!(ask(dir, &["protect", "front"]).code, 2, "nothing says from when");
    ask(dir, &["protect", "--segment", &id]);

    // More free than the disk has: all would go but what is protected.
    let text = std::fs::read_to_string(dir.join("demo/nvr.toml")).unwrap();
    let greedy = format!("{text}\n[retention]\nmin_free = \"8000TiB\"\n");
    std::fs::write(dir.join("demo/greedy.toml"), greedy).unwrap();
    let told = nvr(dir, &["-c", "demo/greedy.toml", "--json", "cleanup", "--dry-run"]).json();
    let cameras: Vec<_> = told["deleted"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| &d["camera"])
        .collect();
    assert_eq!(cameras, ["yard"], "{told:#}");
    assert!(told["short_bytes"].as_u64() > Some(0), "{told:#}");
    let text = nvr(dir, &["-c", "demo/greedy.toml", "cleanup", "-n"]);
    assert!(
        text.stdout.contains("would be deleted") && text.stdout.contains("free space"),
        "{text:?}"
    );
}

#[test]
fn every_question_is_answered_with_and_without_a_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::demo(dir.path());
    recorder.recorded();
    let live = recorder.ask(&["stats"]).json();
    assert!(
        live["cameras"][0]["duration_ns"].as_i64() > Some(1_000_000_000),
        "the growing segment counts: {live:#}"
    );

    let status = recorder.ask(&["status"]).json();
    assert_eq!(status["running"], true, "{status:#}");
    let states: Vec<_> = status["cameras"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["state"])
        .collect();
    assert_eq!(states, ["recording", "recording"]);

    // Of the growing segment.
    let clip = recorder.ask(&["export", "front", "--last", "1h", "-o", "live.mp4"]);
    assert_eq!(clip.code, 0, "{clip:?}");
    assert_eq!(
        &std::fs::read(dir.path().join("live.mp4")).unwrap()[4..8],
        b"ftyp"
    );

    // By the recorder: it is the one that writes to the index.
    let asked = SystemClock::new().now();
    let protected = recorder.ask(&["protect", "front", "--last", "1h"]).json();
    assert!(protected["segments"].as_u64() > Some(0), "{protected:#}");
    let nothing = recorder.ask(&["cleanup", "--dry-run"]).json();
    assert_eq!(nothing["deleted"], serde_json::json!([]), "{nothing:#}");

    recorder.demo.signal("-TERM");
    let code = recorder.demo.child.wait().unwrap();
    assert!(code.success(), "{code}");

    retention_without_a_recorder(dir.path(), asked);
    let status = ask(dir.path(), &["status"]).json();
    assert_eq!(
        (&status["running"], &status["health"]),
        (&false.into(), &serde_json::Value::Null)
    );

    let cameras = ask(dir.path(), &["cameras"]).json();
    let ids: Vec<_> = cameras
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["front", "yard"]);
    assert!(cameras[0]["size_bytes"].as_u64() > Some(10_000), "{cameras:#}");

    let segments = ask(dir.path(), &["segments", "yard"]).json();
    let first = &segments[0];
    assert_eq!(
        (&first["camera"], &first["container"]),
        (&"yard".into(), &"fmp4".into()),
        "{segments:#}"
    );
    assert!(
        segments
            .as_array()
            .unwrap()
            .iter()
            .all(|s| s["state"] == "closed"),
        "{segments:#}"
    );
    assert!(
        dir.path()
            .join("demo/recordings")
            .join(first["path"].as_str().unwrap())
            .is_file()
    );

    let stats = ask(dir.path(), &["stats"]).json();
    assert!(
        stats["disk_total_bytes"].as_u64() > Some(0)
            && stats["cameras"][1]["camera"] == "yard"
            && stats["bytes_per_hour"].as_f64() > Some(0.0)
            && stats["days_left"].as_f64() > Some(0.0),
        "{stats:#}"
    );

    let days = ask(dir.path(), &["timeline", "front", "--days"]).json();
    assert!(
        days[0]["days"][0]["recorded_ns"].as_i64() > Some(2_000_000_000),
        "{days:#}"
    );

    for format in ["mp4", "fmp4"] {
        let file = format!("{format}.mp4");
        let args = [
            "export",
            "front",
            "--from",
            "1970-01-01",
            "--to",
            "now",
            "--format",
            format,
            "-o",
            &file,
        ];
        let written = ask(dir.path(), &args);
        // Half a century is more than one request may name.
        assert_eq!(written.code, 2, "{written:?}");
        let written = ask(
            dir.path(),
            &["export", "front", "--last", "1d", "--format", format, "-o", &file],
        )
        .json();
        let size = std::fs::metadata(dir.path().join(&file)).unwrap().len();
        assert_eq!(written[0]["size_bytes"], size, "{written:#}");
    }
    let again = ask(dir.path(), &["export", "front", "--last", "1d", "-o", "mp4.mp4"]);
    assert_eq!(again.code, 5, "{again:?}");

    let picture = ask(
        dir.path(),
        &["snapshot", "yard", "--width", "320", "-o", "yard.jpg"],
    );
    assert_eq!(picture.code, 0, "{picture:?}");
    assert_eq!(
        &std::fs::read(dir.path().join("yard.jpg")).unwrap()[..3],
        b"\xff\xd8\xff"
    );
    let to_stdout = nvr(
        dir.path(),
        &["-c", "demo/nvr.toml", "snapshot", "front", "-o", "-"],
    );
    assert!(
        to_stdout.code == 0 && to_stdout.stdout.contains("JFIF"),
        "{}",
        to_stdout.stderr
    );

    let check = ask(dir.path(), &["check", "--hash"]);
    assert_eq!(check.code, 0, "{check:?}");
    let report = check.json();
    assert_eq!(
        (&report["problems"], &report["foreign_count"]),
        (&serde_json::json!([]), &0.into()),
        "{report:#}"
    );
    std::fs::remove_file(
        dir.path()
            .join("demo/recordings")
            .join(first["path"].as_str().unwrap()),
    )
    .unwrap();
    let check = ask(dir.path(), &["check"]);
    assert_eq!(
        (check.code, &check.json()["problems"][0]["kind"]),
        (13, &"missing_file".into()),
        "{check:?}"
    );
    assert_eq!(ask(dir.path(), &["check", "--repair"]).code, 0);
    assert_eq!(ask(dir.path(), &["check"]).code, 0);
    let rebuilt = ask(dir.path(), &["check", "--rebuild"]);
    assert!(
        rebuilt.code == 0 && rebuilt.json()["segments"].as_u64() > Some(0),
        "{rebuilt:?}"
    );

    let nothing = ask(
        dir.path(),
        &["export", "front", "--from", "2001-01-01", "--to", "2001-01-02"],
    );
    assert_eq!(nothing.code, 4, "{nothing:?}");
    let nobody = ask(dir.path(), &["snapshot", "garden"]);
    assert!(
        nobody.code == 4 && nobody.stderr.contains("hint: the cameras are front, yard"),
        "{nobody:?}"
    );
}

#[test]
fn hangup_reads_the_configuration_again() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::demo(dir.path());
    recorder.recorded();
    let file = dir.path().join("demo/nvr.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    // A faulty one changes nothing.
    std::fs::write(&file, text.replace("id = \"yard\"", "id = \"Yard!\"")).unwrap();
    recorder.demo.signal("-HUP");
    std::fs::write(
        &file,
        text.clone() + "\n[[cameras]]\nid = \"gate\"\nsource = \"test:?size=320x180&fps=10\"\n",
    )
    .unwrap();
    recorder.demo.signal("-HUP");
    let state = |out: &Outcome, id: &str| {
        let cameras = out.json();
        let camera = cameras
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["id"] == id)
            .cloned();
        camera.unwrap_or_default()["state"].clone()
    };
    let out = eventually(
        "a third camera",
        || recorder.ask(&["cameras"]),
        |out| state(out, "gate") == "recording",
    );
    assert_eq!(state(&out, "yard"), "recording");
    assert_eq!(state(&out, "front"), "recording");
}

#[test]
fn a_second_signal_cuts() {
    use std::io::Write as _;
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::demo(dir.path());
    // A request whose body never comes holds up an orderly stop for a while.
    let mut held = std::net::TcpStream::connect(recorder.demo.address()).unwrap();
    let head = "POST /api/v1/cameras/probe HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    held.write_all(head.as_bytes()).unwrap();
    // Answered after it on another connection: by now the server has seen it.
    eventually(
        "an answer",
        || recorder.ask(&["status"]),
        |out| out.json()["running"] == true,
    );
    recorder.demo.signal("-INT");
    let log = || std::fs::read_to_string(dir.path().join("log")).unwrap();
    eventually("the stop", log, |log| log.contains("stopping"));
    recorder.demo.signal("-INT");
    assert_eq!(recorder.demo.child.wait().unwrap().code(), Some(130), "{}", log());
}

#[test]
fn nothing_recorded_yet() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        "[recorder]\nroot = \"rec\"\n[http]\nenabled = false\n[[cameras]]\nid = \"a\"\nsource = \"test:\"\n";
    std::fs::write(dir.path().join("nvr.toml"), text).unwrap();
    let cameras = nvr(dir.path(), &["cameras", "--json"]);
    assert_eq!(cameras.json()[0]["id"], "a", "{cameras:?}");
    let stats = nvr(dir.path(), &["stats"]);
    assert_eq!(stats.code, 4, "{stats:?}");
    assert!(
        stats.stderr.starts_with("error: ") && stats.stderr.contains("\nhint: "),
        "{stats:?}"
    );
    assert!(!dir.path().join("rec").exists(), "asking makes nothing");
}

#[test]
fn two_recorders_do_not_share_a_root() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Recorder::demo(dir.path());
    let second = nvr(dir.path(), &["demo", "--dir", "demo", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, 6, "{second:?}");
}

#[test]
fn probing_a_source() {
    let dir = tempfile::tempdir().unwrap();
    let out = nvr(
        dir.path(),
        &["probe", "test:?size=320x180&fps=10&audio=0", "--json"],
    );
    assert_eq!(out.code, 0, "{out:?}");
    let report = out.json();
    assert_eq!(
        (
            &report["tracks"]["video"]["width"],
            &report["tracks"]["video"]["height"]
        ),
        (&320.into(), &180.into())
    );
    let bad = nvr(dir.path(), &["probe", "gopher://x"]);
    assert_eq!(bad.code, 2, "{bad:?}");
    let gone = nvr(
        dir.path(),
        &["probe", "rtsp://admin:hunter2@127.0.0.1:1/x", "--tries", "1"],
    );
    assert_eq!(gone.code, 9, "{gone:?}");
    assert!(!gone.stderr.contains("hunter2"));
}
