//! A recorder as a process of its own ([`program`]), to be killed and told to end.

pub mod program;
pub mod steps;

use std::path::Path;
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, ensure};
use nvr_core::Event;
use serde_json::Value;

use crate::proc::{Proc, Signal, binary};
use crate::rig::LIMIT;
use crate::wait;

/// The program, running.
#[derive(Debug)]
pub struct Recorder {
    proc: Proc,
}

impl Recorder {
    /// Starts it on a root with cameras (`ID=SOURCE`) and more arguments, and waits until it says so.
    ///
    /// # Errors
    /// When it does not start; the message holds its log.
    pub fn start(root: &Path, cameras: &[String], more: &[&str]) -> anyhow::Result<Self> {
        Self::start_by(Command::new(binary("recorder")?), root, cameras, more)
    }

    /// The same by a command of the caller's that takes the program's arguments.
    ///
    /// # Errors
    /// As of [`Self::start`].
    pub fn start_by(
        mut command: Command,
        root: &Path,
        cameras: &[String],
        more: &[&str],
    ) -> anyhow::Result<Self> {
        command.arg("--root").arg(root);
        for camera in cameras {
            command.args(["--camera", camera]);
        }
        let mut proc = Proc::spawn({
            command.args(more);
            command
        })?;
        proc.wait_for_line("\"started\"", LIMIT)?;
        Ok(Self { proc })
    }

    /// Everything it printed that is JSON.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        let log = self.proc.log();
        log.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
    }

    /// UTC (nanoseconds) of the video frames that reached it so far.
    #[must_use]
    pub fn arrived(&self) -> Vec<i64> {
        self.lines()
            .iter()
            .filter_map(|l| l["arrived"].as_i64())
            .collect()
    }

    /// The events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.lines()
            .iter()
            .filter_map(|l| serde_json::from_value(l.get("event")?.clone()).ok())
            .collect()
    }

    /// Waits until something holds.
    ///
    /// # Errors
    /// When it does not; the message holds the log.
    pub fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) -> anyhow::Result<()> {
        wait::until_true(what, LIMIT, || holds(self)).with_context(|| format!("log:\n{}", self.proc.log()))
    }

    /// Waits until so many frames have reached it.
    ///
    /// # Errors
    /// When they do not.
    pub fn wait_for_frames(&self, count: usize) -> anyhow::Result<()> {
        self.until(&format!("{count} frames"), |r| {
            // Counted in the text: this is asked a hundred times a second.
            r.proc.log().matches("\"arrived\"").count() >= count
        })
    }

    /// SIGKILL; hands back all that it had printed.
    ///
    /// # Errors
    /// When it was dead before.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let status = self.proc.kill()?;
        ensure!(
            std::os::unix::process::ExitStatusExt::signal(&status) == Some(9),
            "ended before it was killed ({status}); log:\n{}",
            self.proc.log()
        );
        Ok(())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.proc.signal(signal)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end; the message holds the log.
    pub fn wait_for_end(&mut self) -> anyhow::Result<ExitStatus> {
        self.proc.wait_for_end(LIMIT)
    }

    /// Everything it printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.proc.log()
    }
}
