//! Each example, run for some seconds in a folder of its own.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nvr_core::clock::{Clock as _, SystemClock};

/// Small, so that a busy machine keeps up.
const SOURCE: &str = "test:?size=320x240&fps=10";

fn command(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).stdin(Stdio::null());
    command
}

/// Runs an example to its end; what it printed.
fn run(program: &str, dir: &Path, args: &[&str]) -> String {
    let out = command(program, dir).args(args).output().unwrap();
    let (printed, said) = (
        String::from_utf8_lossy(&out.stdout).into_owned(),
        String::from_utf8_lossy(&out.stderr),
    );
    assert!(out.status.success(), "{program}: {printed}\n{said}");
    printed
}

/// Segments below a folder.
fn segments(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let of = |path: std::path::PathBuf| {
        if path.is_dir() {
            segments(&path)
        } else {
            usize::from(path.extension().is_some_and(|e| e == "mp4"))
        }
    };
    entries.map(|e| of(e.path())).sum()
}

/// How many quarters of an hour went by; with each one, a camera begins a segment anew.
fn quarters() -> usize {
    let since_1970 = SystemClock::new().now().as_ns() / 1_000_000_000;
    usize::try_from(since_1970 / 900).unwrap()
}

/// Each folder has one segment, or one more for each quarter of an hour that began since.
fn one_segment_each(folders: &[&str], dir: &Path, since: usize) {
    let most = 1 + quarters() - since;
    for folder in folders {
        let count = segments(&dir.join(folder));
        assert!(
            (1..=most).contains(&count),
            "{count} segments in {folder}, at most {most}"
        );
    }
}

#[test]
fn record_then_timeline_and_export() {
    let (dir, since) = (tempfile::tempdir().unwrap(), quarters());
    run(env!("CARGO_BIN_EXE_record"), dir.path(), &[SOURCE, "4"]);
    one_segment_each(&["recordings/front"], dir.path(), since);
    let printed = run(
        env!("CARGO_BIN_EXE_timeline"),
        dir.path(),
        &["recordings", "front"],
    );
    assert_eq!(printed.matches("recorded ").count(), 1, "{printed}");
    assert!(printed.contains("missing "), "{printed}");
    run(
        env!("CARGO_BIN_EXE_export"),
        dir.path(),
        &["recordings", "front", "clip.mp4"],
    );
    let seconds = command("ffprobe", dir.path())
        .args([
            "-v",
            "error",
            "-show_entries",
            "format=duration",
            "-of",
            "csv=p=0",
            "clip.mp4",
        ])
        .output()
        .unwrap();
    assert!(seconds.stderr.is_empty(), "{seconds:?}");
    let seconds: f64 = String::from_utf8_lossy(&seconds.stdout).trim().parse().unwrap();
    assert!(seconds > 0.5, "{seconds} s");
}

#[test]
fn events_are_printed_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let printed = run(env!("CARGO_BIN_EXE_events"), dir.path(), &[SOURCE, "4"]);
    let kinds: HashSet<String> = printed
        .lines()
        .map(|line| {
            let (_, json) = line.split_once(' ').unwrap();
            let event: serde_json::Value = serde_json::from_str(json).unwrap();
            event["kind"].as_str().unwrap().to_owned()
        })
        .collect();
    for kind in ["camera_state", "segment_opened"] {
        assert!(kinds.contains(kind), "no {kind}:\n{printed}");
    }
}

#[test]
fn cameras_come_and_go() {
    let (dir, since) = (tempfile::tempdir().unwrap(), quarters());
    let printed = run(env!("CARGO_BIN_EXE_dynamic"), dir.path(), &[]);
    for line in [
        "front is recording; 1 cameras",
        "yard is recording; 2 cameras",
        "yard is gone",
    ] {
        assert!(printed.contains(line), "{printed}");
    }
    one_segment_each(&["recordings/front", "recordings/yard"], dir.path(), since);
}

#[test]
fn two_recorders_in_one_process() {
    let (dir, since) = (tempfile::tempdir().unwrap(), quarters());
    let printed = run(env!("CARGO_BIN_EXE_two_recorders"), dir.path(), &[]);
    assert!(printed.contains("a: ") && printed.contains("b: "), "{printed}");
    one_segment_each(&["recordings-a", "recordings-b"], dir.path(), since);
}

/// Ended also when the test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_recorder_with_its_page() {
    let dir = tempfile::tempdir().unwrap();
    let mut http = command(env!("CARGO_BIN_EXE_http"), dir.path())
        .arg(SOURCE)
        .env("LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    let mut first = String::new();
    let mut printed = BufReader::new(http.0.stdout.take().unwrap());
    printed.read_line(&mut first).unwrap();
    let address = first.trim().trim_start_matches("http://").trim_end_matches('/');
    let get = |path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{path}: {answer}");
        answer
    };
    assert!(get("/api/v1/cameras").contains("\"camera1\""));
    get("/health");
    // As from the keyboard: it ends in order.
    let pid = http.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(http.0.wait().unwrap().success());
}
