//! Programs of this workspace as child processes: started, watched, stopped and killed.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

use crate::wait;

/// The path of a binary of this workspace, beside the running test in the target directory.
///
/// # Errors
/// When it was not built; cargo builds only the binaries of the package under test.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    test.ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "{name} is not beside {}; build it: cargo build --bin {name}",
                test.display()
            )
        })
}

/// A signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Cannot be caught: as if the power went.
    Kill,
    /// Please end.
    Term,
    /// Please end, from the keyboard.
    Int,
    /// Read the configuration again.
    Hup,
    /// Stand still: a storage or a machine that stalls.
    Stop,
    /// Go on after [`Signal::Stop`].
    Cont,
}

/// A running program; killed when dropped. What it prints is kept.
#[derive(Debug)]
pub struct Proc {
    child: Child,
    name: String,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Proc {
    /// Starts a binary of this workspace.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn workspace<S: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = S>) -> anyhow::Result<Self> {
        let mut command = Command::new(binary(name)?);
        command.args(args);
        Self::spawn(command)
    }

    /// Starts a command prepared by the caller; its standard streams are taken over.
    ///
    /// # Errors
    /// When it does not start.
    pub fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let log: Arc<Mutex<String>> = Arc::default();
        let mut readers = Vec::new();
        if let Some(out) = child.stdout.take() {
            readers.push(keep(out, &log)?);
        }
        if let Some(err) = child.stderr.take() {
            readers.push(keep(err, &log)?);
        }
        Ok(Self {
            child,
            name,
            log,
            readers,
        })
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything printed so far, both streams line by line.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        use rustix::process::Signal as S;
        let number = match signal {
            Signal::Kill => S::KILL,
            Signal::Term => S::TERM,
            Signal::Int => S::INT,
            Signal::Hup => S::HUP,
            Signal::Stop => S::STOP,
            Signal::Cont => S::CONT,
        };
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .context("no pid")?;
        rustix::process::kill_process(pid, number).with_context(|| format!("signal {}", self.name))
    }

    /// SIGKILL, and waits until the process is gone.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.child.kill()?;
        self.ended()
    }

    /// Waits until the program prints something that contains `text`; hands back the first such line.
    ///
    /// # Errors
    /// When it does not within `limit`, or ends first; the message holds the log.
    pub fn wait_for_line(&mut self, text: &str, limit: Duration) -> anyhow::Result<String> {
        let find = |log: &str| log.lines().find(|l| l.contains(text)).map(str::to_owned);
        let mut ended = false;
        let found = wait::until(&format!("{text:?} in the log"), limit, || {
            // Looked at before the log, so that last words are not missed.
            ended = matches!(self.child.try_wait(), Ok(Some(_)))
                && self.readers.iter().all(JoinHandle::is_finished);
            find(&self.log()).map(Some).or(ended.then_some(None))
        });
        match found {
            Ok(Some(line)) => Ok(line),
            Ok(None) => anyhow::bail!(
                "{} ended without printing {text:?}; its log:\n{}",
                self.name,
                self.log()
            ),
            Err(e) => Err(e.context(format!("log of {}:\n{}", self.name, self.log()))),
        }
    }

    /// Waits until the program ends by itself.
    ///
    /// # Errors
    /// When it does not within `limit`; the message holds the log.
    pub fn wait_for_end(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        wait::until(&format!("the end of {}", self.name), limit, || {
            self.child.try_wait().ok().flatten()
        })
        .with_context(|| {
            format!(
                "its log:\n{}",
                self.log.lock().unwrap_or_else(PoisonError::into_inner)
            )
        })?;
        self.ended()
    }

    /// Processor time used so far, user and system.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|f| f.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_millis(
            ticks * 1000 / rustix::param::clock_ticks_per_second(),
        ))
    }

    /// A number of `/proc/PID/status`: `VmRSS` (kilobytes), `Threads`, …
    ///
    /// # Errors
    /// When the process is gone or has no such field.
    pub fn status(&self, field: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        status
            .lines()
            .find_map(|l| {
                l.strip_prefix(field)?
                    .strip_prefix(':')?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .with_context(|| format!("no number {field} in the process status"))
    }

    fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let status = self.child.wait()?;
        for reader in self.readers.drain(..) {
            drop(reader.join());
        }
        Ok(status)
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        // A stopped process dies of SIGKILL too.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn keep(stream: impl Read + Send + 'static, log: &Arc<Mutex<String>>) -> anyhow::Result<JoinHandle<()>> {
    let log = Arc::clone(log);
    Ok(std::thread::Builder::new().name("log".into()).spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            log.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })?)
}
