//! Users and tokens beside a running recorder, one that is killed, and after it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::common::{Outcome, command, nvr};

const PASSWORD: &str = "correct horse battery";

struct Recorder(Child, serde_json::Value);

impl Recorder {
    fn run(dir: &Path) -> Self {
        let mut child = command(dir, &["run", "--json"])
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(dir.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let log = || std::fs::read_to_string(dir.join("log")).unwrap();
        let started = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}{}", log()));
        Self(child, started)
    }

    /// As `kill -9` does.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn with_password(dir: &Path, args: &[&str], password: &str) -> Outcome {
    let mut child = command(dir, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn users_and_tokens_are_made_beside_a_recorder_and_outlive_its_death() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let config = format!(
        "[recorder]\nroot = \"rec\"\n[http]\nlisten = \"{address}\"\n\
         [[cameras]]\nid = \"front\"\nsource = \"test:?size=320x240&fps=10\"\nrecord = \"manual\"\n"
    );
    std::fs::write(dir.join("nvr.toml"), config).unwrap();
    let early = nvr(dir, &["user", "list"]);
    assert_ne!(early.code, 0, "{early:?}");
    assert!(!dir.join("rec/nvr.accounts.db").exists());

    let recorder = Recorder::run(dir);
    let link = recorder.1["setup"].as_str().unwrap();
    assert!(
        link.starts_with(&format!("http://{address}/setup#token=nvr_")),
        "{link}"
    );
    let first = with_password(dir, &["user", "add", "vera"], PASSWORD);
    assert_eq!(first.code, 6, "the first has to be an administrator: {first:?}");
    let short = with_password(dir, &["user", "add", "root", "--role", "admin"], "short");
    assert_eq!(short.code, 2, "{short:?}");
    let root = with_password(dir, &["user", "add", "root", "--role", "admin"], PASSWORD);
    assert_eq!(root.code, 0, "{root:?}");
    assert!(!root.stdout.contains(PASSWORD) && !root.stderr.contains(PASSWORD));
    let again = with_password(dir, &["user", "add", "Root", "--role", "admin"], PASSWORD);
    assert_eq!(again.code, 5, "{again:?}");
    let vera = with_password(dir, &["user", "add", "vera", "--camera", "front"], PASSWORD);
    assert_eq!(vera.code, 0, "{vera:?}");

    // Commands of who may write the accounts' file are let in, others with a token.
    let cameras = nvr(dir, &["--json", "cameras"]).json();
    assert!(cameras[0]["state"].is_string(), "{cameras:#}");
    let jobs = nvr(dir, &["--json", "verify", "front", "--background"]);
    assert_eq!(jobs.code, 0, "{jobs:?}");
    let token = nvr(
        dir,
        &[
            "--json",
            "token",
            "add",
            "panel",
            "--scope",
            "read",
            "--expires",
            "1h",
        ],
    )
    .json();
    let asked = command(dir, &["--json", "verify", "front", "--background"])
        .env("NVR_TOKEN", token["token"].as_str().unwrap())
        .output()
        .unwrap();
    let asked = Outcome::from(asked);
    assert!(
        asked.code != 0 && asked.stderr.contains("scope control"),
        "{asked:?}"
    );
    let asked = command(dir, &["--json", "verify", "front", "--background"])
        .env("NVR_TOKEN", "nvr_nonsense")
        .output()
        .unwrap();
    let asked = Outcome::from(asked);
    assert_eq!(asked.code, 8, "{asked:?}");

    recorder.kill();
    let names = |out: &Outcome| -> Vec<String> {
        let all = out.json();
        all.as_array()
            .unwrap()
            .iter()
            .map(|u| u["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&nvr(dir, &["--json", "user", "list"])), ["root", "vera"]);
    assert_eq!(
        nvr(dir, &["--json", "token", "list"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let recorder = Recorder::run(dir);
    assert!(recorder.1["setup"].is_null(), "{}", recorder.1);
    assert_eq!(
        with_password(dir, &["user", "passwd", "vera"], "quite another one").code,
        0
    );
    assert_eq!(nvr(dir, &["user", "remove", "vera"]).code, 0);
    assert_eq!(nvr(dir, &["user", "remove", "vera"]).code, 4);
    assert_eq!(nvr(dir, &["user", "remove", "root"]).code, 6);
    assert_eq!(nvr(dir, &["token", "remove", "1"]).code, 0);
    let shown = nvr(dir, &["user", "list"]).stdout;
    assert!(
        shown.contains("root") && shown.contains("admin") && shown.contains("all"),
        "{shown}"
    );
}
