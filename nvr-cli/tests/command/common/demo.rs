//! A recorder of the demo in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::command;

/// Runs in the folder `demo`, its log in the file `log` beside it; killed if a test leaves it.
pub struct Demo {
    pub child: Child,
    log: PathBuf,
    started: serde_json::Value,
}

impl Demo {
    /// Starts it, with more arguments, and waits until it says that it runs.
    pub fn start(dir: &Path, more: &[&str]) -> Self {
        let log = dir.join("log");
        let args = ["demo", "--dir", "demo", "--listen", "127.0.0.1:0", "--json"];
        let mut child = command(dir, &[&args, more].concat())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let started: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|e| {
            let log = std::fs::read_to_string(&log).unwrap();
            panic!("{e}: {line:?}, {:?}, {log:?}", child.wait())
        });
        assert_eq!(
            (&started["event"], &started["cameras"]),
            (&"started".into(), &2.into())
        );
        Self { child, log, started }
    }

    /// Host and port of its page.
    pub fn address(&self) -> &str {
        let url = self.started["url"].as_str().unwrap();
        let address = url.strip_prefix("http://").unwrap().trim_end_matches('/');
        assert!(address.starts_with("127.0.0.1:"), "{url}");
        address
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub fn signal(&self, signal: &str) {
        let status = std::process::Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Ends it in order.
    pub fn stop(mut self) {
        self.signal("-TERM");
        let end = self.child.wait().unwrap();
        assert!(end.success(), "{end}: {}", self.log());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
