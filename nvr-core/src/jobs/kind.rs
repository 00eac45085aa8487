//! What a kind of job is: a name, limits, a check of its parameters, and the work itself.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::time::Duration;

use serde_json::Value;

use super::context::JobContext;
use crate::error::{Error, ErrorKind, Result};
use crate::store::NewJob;
use crate::time::Timestamp;
use crate::window::Windows;

/// The work of one attempt.
pub type JobFuture<'a> = Pin<Box<dyn Future<Output = Result<JobOutcome, JobError>> + Send + 'a>>;

/// A kind of job.
///
/// A job is done at least once: should the recorder die between the end of the work and the note of it, the work
/// is done again. So a kind looks first whether there is anything left to do.
pub trait JobKind: Send + Sync + fmt::Debug {
    /// Stable snake-case name (`"transcode"`), as in the queue and in the API.
    fn name(&self) -> &'static str;

    /// How many at once, when, and in which order. Asked again whenever something is to be decided, so a change
    /// takes effect at once; must not block.
    fn limits(&self) -> KindLimits;

    /// Whether parameters can be used; called before a job is entered.
    ///
    /// # Errors
    /// What is wrong with them; `InvalidArgument` as a rule.
    fn check(&self, params: &Value, origin: Origin) -> Result<()>;

    /// Fills in what the caller left open of a job whose parameters are in order: camera, key, amount to be read.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn complete(&self, new: NewJob) -> Result<NewJob> {
        Ok(new)
    }

    /// Does the work. The future runs as a task of its own. It may be dropped at any `await` once it was asked to
    /// stop, unless it holds a [`commit`](JobContext::commit); what blocks belongs on the blocking pool and looks at
    /// [`JobContext::stopped`] many times a second.
    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_>;

    /// Clears away what finished jobs left and nobody needs any more. Called at the start and every hour, on the
    /// blocking pool.
    fn tidy(&self) {}
}

/// Who asks for a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// This program, or somebody at this machine: may name paths.
    Local,
    /// A request over HTTP: may not.
    Remote,
}

/// When jobs of a kind run, and how many of them.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct KindLimits {
    /// While it is not, nothing is started and what runs is interrupted.
    pub enabled: bool,
    /// Jobs of this kind at once.
    pub most_running: usize,
    /// When jobs start; those that were asked for [by hand](crate::store::NewJob::anytime) start at any time.
    pub windows: Windows,
    /// Whether what runs when the window closes is brought to its end; otherwise it is interrupted and goes on in
    /// the next window.
    pub finish_started: bool,
    /// Whether the newest job is the first of its priority. Old ones wait as long as new ones come.
    pub newest_first: bool,
    /// Whether it makes way when the machine or the recorder has too much to do.
    pub yields: bool,
    /// Whether it also makes way for the load average of the machine; otherwise only for what waits for the disk. For
    /// kinds that keep the processors busy.
    pub minds_load: bool,
    /// Attempts before it fails for good; `None`: it is tried for ever.
    pub most_attempts: Option<NonZeroU32>,
    /// Nothing is started before (the other side asked for patience).
    pub hold_until: Option<Timestamp>,
}

impl KindLimits {
    /// So many at once, always, oldest first, five attempts, making way for the recorder.
    #[must_use]
    pub const fn new(most_running: usize) -> Self {
        Self {
            enabled: true,
            most_running,
            windows: Windows::always(),
            finish_started: false,
            newest_first: false,
            yields: true,
            minds_load: true,
            most_attempts: NonZeroU32::new(5),
            hold_until: None,
        }
    }
}

/// What a job brought.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct JobOutcome {
    /// For programs; up to 1 MiB.
    pub result: Value,
    /// The same in words.
    pub message: String,
}

impl JobOutcome {
    /// An outcome.
    #[must_use]
    pub fn new(result: Value, message: impl Into<String>) -> Self {
        Self {
            result,
            message: message.into(),
        }
    }
}

/// Why an attempt failed.
#[derive(Debug)]
pub struct JobError {
    /// What, where, and what to do.
    pub error: Error,
    /// Whether another attempt may do better.
    pub retry: bool,
    /// When it is to be tried again at the earliest; `None`: after the usual pause.
    pub after: Option<Duration>,
}

impl JobError {
    /// Something that may go away by itself.
    #[must_use]
    pub const fn passing(error: Error) -> Self {
        Self {
            error,
            retry: true,
            after: None,
        }
    }

    /// Something that will be the same next time.
    #[must_use]
    pub const fn lasting(error: Error) -> Self {
        Self {
            error,
            retry: false,
            after: None,
        }
    }

    /// What a job says that was asked to stop and did; the engine knows why.
    #[must_use]
    pub fn stopped() -> Self {
        Self::passing(Error::new(ErrorKind::Unavailable, "it was asked to stop"))
    }

    /// To be tried again no sooner than after so long.
    #[must_use]
    pub const fn after(mut self, pause: Duration) -> Self {
        self.after = Some(pause);
        self
    }
}

impl From<Error> for JobError {
    /// By kind: what is wrong with the request or the material lasts, what is wrong with the surroundings passes.
    fn from(error: Error) -> Self {
        let lasts = matches!(
            error.kind(),
            ErrorKind::InvalidArgument
                | ErrorKind::Config
                | ErrorKind::NotFound
                | ErrorKind::AlreadyExists
                | ErrorKind::Unsupported
                | ErrorKind::Corrupt
        );
        Self {
            error,
            retry: !lasts,
            after: None,
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// Reads the parameters of a kind, so that a mistake says where it is.
///
/// # Errors
/// `InvalidArgument` when they are not of the form.
pub fn params_of<T: serde::de::DeserializeOwned>(kind: &str, params: &Value) -> Result<T> {
    serde::Deserialize::deserialize(params).map_err(|e| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("parameters of a job {kind}: {e}"),
        )
    })
}
