//! Backups of a recorder that runs, and their restoration, killed on the way as well.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::common::{command, free_port, nvr};
use serde_json::Value;

/// For what takes a moment on an idle machine.
const LOOKS: usize = 2400;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(dir: &Path) -> Self {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("log"))
            .unwrap();
        let mut process = command(dir, &["run"]);
        process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let me = Self(process.spawn().unwrap());
        until(dir, || nvr(dir, &["status", "--ready"]).code == 0);
        me
    }

    fn end(mut self) {
        let killed = std::process::Command::new("kill")
            .arg(self.0.id().to_string())
            .status();
        assert!(killed.unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

fn until(dir: &Path, mut done: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{}", std::fs::read_to_string(dir.join("log")).unwrap_or_default());
}

fn set_up(dir: &Path, more: &str) {
    let text = format!(
        "[recorder]\nroot = \"rec\"\n[recording]\nsegment = \"10s\"\n[http]\nlisten = \"127.0.0.1:{}\"\nauth = \"none\"\n\
         webrtc = false\n[[cameras]]\nid = \"front\"\nsource = \"test:?size=320x240&fps=10&gop=10&audio=0\"\n{more}",
        free_port()
    );
    std::fs::write(dir.join("nvr.toml"), text).unwrap();
}

/// Begins a new segment, and waits until the index has more.
fn split(dir: &Path) {
    let before = segments(dir).len();
    let config = std::fs::read_to_string(dir.join("nvr.toml")).unwrap();
    let address = config
        .split('"')
        .find(|part| part.starts_with("127.0.0.1:"))
        .unwrap()
        .to_owned();
    until(dir, || {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        let order = format!("POST /api/v1/cameras/front/split HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(order.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        segments(dir).len() > before
    });
}

fn segments(dir: &Path) -> Vec<Value> {
    let list = nvr(dir, &["segments", "front", "--json"]);
    list.json().as_array().unwrap().clone()
}

/// Files of footage below the root.
fn files(dir: &Path) -> usize {
    let days = std::fs::read_dir(dir.join("rec/front")).unwrap().flatten();
    days.map(|day| std::fs::read_dir(day.path()).unwrap().count())
        .sum()
}

fn left_over(dir: &Path) -> Vec<String> {
    let names = ["", "rec"]
        .iter()
        .flat_map(|f| std::fs::read_dir(dir.join(f)).unwrap().flatten());
    names
        .map(|e| e.file_name().into_string().unwrap())
        .filter(|n| n.starts_with(".nvr-backup-") || n.ends_with(".restoring") || n.ends_with(".restore"))
        .collect()
}

#[test]
fn footage_recorded_since_the_backup_is_known_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    set_up(dir, "");
    let recorder = Running::start(dir);
    split(dir);
    let made = nvr(dir, &["backup", "then.tar.gz", "--json"]);
    assert_eq!(made.json()["members"][1], "index.db", "{made:?}");
    split(dir);
    split(dir);
    // While a recorder runs, nothing is touched.
    let refused = nvr(dir, &["restore-backup", "then.tar.gz"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("stop it first"), "{refused:?}");
    recorder.end();
    let all = segments(dir).len();

    let restored = nvr(dir, &["restore-backup", "then.tar.gz", "--json"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    let report = restored.json();
    assert!(report["kept"].as_array().unwrap().len() >= 2, "{report:#}");
    assert_eq!(segments(dir).len(), all);
    assert_eq!(files(dir), all);
    assert_eq!(nvr(dir, &["check", "--hash"]).code, 0);
    // And it records on.
    let recorder = Running::start(dir);
    split(dir);
    assert!(segments(dir).len() > all);
    recorder.end();
    assert_eq!(left_over(dir), Vec::<String>::new());
}

#[test]
fn a_backup_that_is_killed_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    set_up(dir, "");
    let recorder = Running::start(dir);
    for ms in [0, 2, 4, 8, 16, 32, 64] {
        let mut backup = command(dir, &["backup", "cut.tar.gz"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(ms));
        let _ = backup.kill();
        backup.wait().unwrap();
        // There is a whole one or none.
        if dir.join("cut.tar.gz").exists() {
            std::fs::remove_file(dir.join("cut.tar.gz")).unwrap();
        }
    }
    assert_eq!(nvr(dir, &["backup", "whole.tar.gz"]).code, 0);
    assert_eq!(left_over(dir), Vec::<String>::new());
    recorder.end();
    let rows = segments(dir);
    assert_eq!(rows.len(), files(dir));
    // Nothing was lost while it ran: one run without gaps.
    let lost = rows.iter().filter(|r| r["run"] != rows[0]["run"]).count();
    assert_eq!(lost, 0, "{rows:#?}");
    assert_eq!(nvr(dir, &["restore-backup", "whole.tar.gz"]).code, 0);
    assert_eq!(nvr(dir, &["check", "--hash"]).code, 0);
}

#[test]
fn a_restoration_that_is_killed_is_finished_or_never_begun() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    set_up(dir, "# then\n");
    let recorder = Running::start(dir);
    split(dir);
    assert_eq!(nvr(dir, &["backup", "then.tar.gz"]).code, 0);
    recorder.end();
    let all = segments(dir).len();
    let config = dir.join("nvr.toml");
    for ms in [0, 5, 10, 15, 20, 25, 30, 40, 50, 70, 90] {
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replace("# then", "# now")).unwrap();
        let mut restore = command(dir, &["restore-backup", "then.tar.gz", "--no-check"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(ms));
        let _ = restore.kill();
        restore.wait().unwrap();
        // Whatever it was, the next one brings all.
        let again = nvr(dir, &["restore-backup", "then.tar.gz"]);
        assert_eq!(again.code, 0, "after {ms} ms: {again:?}");
        assert!(std::fs::read_to_string(&config).unwrap().contains("# then"));
        assert_eq!(segments(dir).len(), all, "after {ms} ms");
        assert_eq!(left_over(dir), Vec::<String>::new(), "after {ms} ms");
    }
}

#[test]
fn backups_are_made_by_themselves_and_failures_told() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    set_up(dir, "[backup]\ndir = \"safe\"\nkeep = 2\n");
    let safe = dir.join("safe");
    std::fs::create_dir(&safe).unwrap();
    for old in ["20200101T000000Z", "20210101T000000Z"] {
        std::fs::write(safe.join(format!("nvr-backup-{old}.tar.gz")), "old").unwrap();
    }
    std::fs::write(safe.join("notes.txt"), "not ours").unwrap();
    let recorder = Running::start(dir);
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(&safe)
            .unwrap()
            .flatten()
            .map(|e| e.file_name().into_string().unwrap())
            .filter(|n| !n.starts_with('.'))
            .collect();
        names.sort();
        names
    };
    until(dir, || {
        let names = names();
        names.len() == 3 && !names.iter().any(|n| n.contains("20200101"))
    });
    let names = names();
    assert!(
        names[0] == "notes.txt" && names[1].contains("20210101"),
        "{names:?}"
    );
    recorder.end();
    let newest = safe.join(&names[2]);
    assert_eq!(nvr(dir, &["restore-backup", newest.to_str().unwrap()]).code, 0);

    // A folder that cannot be: the recorder says so, and records.
    std::fs::remove_dir_all(&safe).unwrap();
    std::fs::write(&safe, "in the way").unwrap();
    let recorder = Running::start(dir);
    until(dir, || {
        let log = std::fs::read_to_string(dir.join("log")).unwrap();
        log.contains("a backup failed; it is tried again")
    });
    recorder.end();
}
