//! Runs the built command in a pinned environment.

pub mod cameras;
pub mod demo;

use std::path::Path;
use std::process::{Command, Output};

/// What a run of the command brought.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Outcome {
    /// The standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// The command in a folder, with nothing of the caller's environment but what GStreamer may need.
pub fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nvr"));
    command
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .env("HOME", dir);
    for keep in [
        "PATH",
        "GST_PLUGIN_PATH",
        "GST_PLUGIN_SYSTEM_PATH",
        "LD_LIBRARY_PATH",
        "LLVM_PROFILE_FILE",
    ] {
        if let Some(value) = std::env::var_os(keep) {
            command.env(keep, value);
        }
    }
    command
}

/// Runs it to its end.
pub fn nvr(dir: &Path, args: &[&str]) -> Outcome {
    command(dir, args).output().unwrap().into()
}

/// A port of this machine that is free now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .map(|a| a.port())
        .unwrap()
}
