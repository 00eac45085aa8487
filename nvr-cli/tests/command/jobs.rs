//! `nvr jobs`, `nvr verify` and `nvr export --job`, beside a running recorder and without one.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::common::demo::Demo;
use crate::common::{Outcome, nvr};
use nvr_core::clock::{Clock as _, SystemClock};
use serde_json::json;

fn ask(dir: &Path, args: &[&str]) -> Outcome {
    nvr(dir, &[&["-c", "demo/nvr.toml", "--json"], args].concat())
}

/// Asks again and again until the answer is good; panics with the last one after a minute.
fn eventually(dir: &Path, args: &[&str], good: impl Fn(&Outcome) -> bool) -> Outcome {
    let clock = SystemClock::new();
    loop {
        let answer = ask(dir, args);
        if good(&answer) {
            return answer;
        }
        assert!(clock.steady_ns() < 60_000_000_000, "{args:?}: {answer:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until both cameras have two seconds more than so much; tells how much they have.
fn recorded(dir: &Path, so_far: i64) -> i64 {
    let least = |out: &Outcome| {
        let all = out.json();
        let of_each = all.as_array().into_iter().flatten();
        of_each.filter_map(|t| t["totals"]["recorded_ns"].as_i64()).min()
    };
    let enough = |out: &Outcome| out.code == 0 && least(out) > Some(so_far + 2_000_000_000);
    least(&eventually(dir, &["timeline", "--last", "1h"], enough)).unwrap_or(0)
}

#[test]
fn the_queue_with_and_without_a_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let demo = Demo::start(dir, &[]);
    let so_far = recorded(dir, 0);

    // Served by the recorder.
    let job = ask(dir, &["export", "front", "--last", "1h", "--job"]);
    assert_eq!(job.code, 0, "{job:?}");
    let id = job.json()["id"].to_string();
    let watched = ask(dir, &["jobs", "watch", &id]);
    assert_eq!(watched.code, 0, "{watched:?}");
    let last = watched.stdout.lines().last().unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!((&last["state"], &last["progress"]), (&json!("done"), &json!(1.0)));
    let file = dir
        .join("demo/recordings/_exports")
        .join(last["result"]["file"].as_str().unwrap());
    assert_eq!(&std::fs::read(file).unwrap()[4..8], b"ftyp");
    let chosen = ask(dir, &["export", "front", "--last", "1h", "--job", "-o", "x.mp4"]);
    assert_eq!(
        chosen.code, 2,
        "a recorder writes where it is told to by its configuration: {chosen:?}"
    );
    let good = ask(dir, &["verify", "yard"]);
    assert_eq!(good.code, 0, "{good:?}");
    let nothing = ask(
        dir,
        &[
            "export",
            "yard",
            "--from",
            "2020-01-01",
            "--to",
            "2020-01-02",
            "--job",
        ],
    );
    let failed = ask(dir, &["jobs", "watch", &nothing.json()["id"].to_string()]);
    assert_eq!(failed.code, 6, "{failed:?}");
    let listed = ask(dir, &["jobs", "--state", "failed,done", "--limit", "2"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed:#}");
    assert_eq!(listed[0]["state"], "failed", "newest first: {listed:#}");
    assert_eq!(ask(dir, &["jobs", "cancel", &id]).code, 6);
    assert_eq!(ask(dir, &["jobs", "show", "99"]).code, 4);
    let text = nvr(dir, &["-c", "demo/nvr.toml", "jobs"]);
    assert!(
        text.stdout
            .lines()
            .next()
            .is_some_and(|l| l.starts_with("ID") || l.contains("KIND")),
        "{text:?}"
    );
    demo.stop();

    // In the index, while none runs.
    assert_eq!(ask(dir, &["jobs", "list"]).json().as_array().unwrap().len(), 3);
    let watched = ask(dir, &["jobs", "watch"]);
    assert_eq!(watched.code, 9, "{watched:?}");
    assert!(watched.stderr.contains("no recorder runs"), "{watched:?}");
    let to = dir.join("later.mp4");
    let args = [
        "export",
        "front",
        "--last",
        "1h",
        "--job",
        "-o",
        to.to_str().unwrap(),
    ];
    let later = ask(dir, &args).json();
    assert_eq!(later["state"], "queued", "{later:#}");
    let id = later["id"].to_string();
    assert_eq!(ask(dir, &["jobs", "cancel", &id]).json()[0]["state"], "cancelled");
    assert_eq!(ask(dir, &["jobs", "retry", &id]).json()[0]["state"], "queued");
    assert_eq!(
        ask(dir, &["jobs", "clean", "--state", "failed"]).json(),
        json!({"forgotten": 1})
    );
    assert_eq!(
        ask(dir, &["jobs", "clean", "--older-than", "1d"]).json(),
        json!({"forgotten": 0})
    );

    // And it is done as soon as one runs.
    let demo = Demo::start(dir, &[]);
    let done = eventually(dir, &["jobs", "show", &id], |out| out.json()["state"] == "done");
    assert_eq!(done.json()["result"]["path"], json!(to), "{done:?}");
    assert!(to.is_file());
    recorded(dir, so_far);
    demo.stop();
}

/// What the recorder of a demo logs can be looked at, though it prints no more than warnings; and `verify` takes `--last`.
#[test]
fn a_demo_keeps_its_log_and_verifies_the_last_hour() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let demo = Demo::start(dir, &[]);
    recorded(dir, 0);
    let address = demo.address();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET /api/v1/logs HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{answer}");
    assert!(body.contains("\"level\":\"info\""), "{body}");
    let printed = demo.log();
    assert!(!printed.contains(" INFO "), "{printed}");

    let none = ask(dir, &["verify", "--to", "-1d", "--last", "1h"]);
    // One line for each change; the last one is the result.
    let last: serde_json::Value = serde_json::from_str(none.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(
        (none.code, &last["result"]["segments"]),
        (0, &json!(0)),
        "{none:?}"
    );
    let refused = ask(dir, &["verify", "--from", "-1h", "--last", "1h"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    let verified = ask(dir, &["verify", "--last", "1h"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    demo.stop();
}
