//! `nvr jobs`: what waits, runs and is over; calling off, trying again, watching.

mod watch;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use nvr_core::jobs::{JobId, JobQuery, JobState};
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::queue::{JobView, Queue};
use crate::{config, logging, times};

pub use self::watch::{follow, watch};

#[derive(Args, Debug)]
pub struct JobsArgs {
    #[command(subcommand)]
    command: Option<JobsCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Subcommand, Debug)]
enum JobsCommand {
    /// List jobs, newest first.
    List(ListArgs),
    /// Show all about one job.
    Show {
        /// Job.
        id: JobId,
    },
    /// Call off jobs that wait or run.
    Cancel {
        /// Jobs.
        #[arg(required = true)]
        ids: Vec<JobId>,
    },
    /// Try jobs again that failed, were called off, or wait for their next try.
    Retry {
        /// Jobs.
        #[arg(required = true)]
        ids: Vec<JobId>,
    },
    /// Forget finished jobs. The files of exports stay until their time.
    Clean {
        /// Only those in these states.
        #[arg(long, value_enum, value_delimiter = ',', default_values = ["done", "failed", "cancelled"])]
        state: Vec<Over>,
        /// Only those that ended so long ago (`90s`, `2h`, `7d`).
        #[arg(long, value_name = "TIME")]
        older_than: Option<String>,
    },
    /// Show bars of what runs, until all is done.
    Watch {
        /// Only these jobs, until they are over; a failure is an exit code.
        ids: Vec<JobId>,
    },
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Only those in these states.
    #[arg(long, value_enum, value_delimiter = ',')]
    state: Vec<State>,
    /// Only those of these kinds.
    #[arg(long, value_delimiter = ',')]
    kind: Vec<String>,
    /// Only those of this camera.
    #[arg(long)]
    camera: Option<nvr_core::CameraId>,
    /// Most rows, 0 for all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Over {
    Done,
    Failed,
    Cancelled,
}

impl From<State> for JobState {
    fn from(state: State) -> Self {
        match state {
            State::Queued => Self::Queued,
            State::Running => Self::Running,
            State::Done => Self::Done,
            State::Failed => Self::Failed,
            State::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Over> for JobState {
    fn from(state: Over) -> Self {
        match state {
            Over::Done => Self::Done,
            Over::Failed => Self::Failed,
            Over::Cancelled => Self::Cancelled,
        }
    }
}

#[derive(Serialize)]
struct Forgotten {
    forgotten: u64,
}

pub async fn run(global: &Global, args: JobsArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let config = config::load(global)?;
    let zone = times::zone(&config.recorder.time_zone);
    let queue = Queue::find(config).await;
    match args.command.unwrap_or(JobsCommand::List(args.list)) {
        JobsCommand::List(list) => {
            let limit = if list.limit == 0 { usize::MAX } else { list.limit };
            let query = JobQuery {
                states: list.state.into_iter().map(JobState::from).collect(),
                kinds: list.kind,
                camera: list.camera,
                ..JobQuery::default()
            };
            let (jobs, more) = queue.list(query, limit).await?;
            output.result(&jobs, || table(&jobs, &zone))?;
            if more {
                output.note(&format!(
                    "there are more than {limit}; see --limit, --state and --kind"
                ));
            }
            Ok(())
        }
        JobsCommand::Show { id } => {
            let job = queue.get(id).await?;
            output.result(&job, || details(&job, &zone))
        }
        JobsCommand::Cancel { ids } => {
            let mut jobs = Vec::new();
            for id in ids {
                jobs.push(queue.cancel(id).await?);
            }
            output.result(&jobs, || lines(&jobs))
        }
        JobsCommand::Retry { ids } => {
            let mut jobs = Vec::new();
            for id in ids {
                jobs.push(queue.retry(id).await?);
            }
            output.result(&jobs, || lines(&jobs))
        }
        JobsCommand::Clean { state, older_than } => {
            let states: Vec<JobState> = state.into_iter().map(JobState::from).collect();
            let ns = older_than.as_deref().map(times::length).transpose()?.unwrap_or(0);
            let older_than = Duration::from_nanos(u64::try_from(ns).unwrap_or(0));
            let forgotten = queue.clean(&states, older_than).await?;
            output.result(&Forgotten { forgotten }, || format!("{forgotten} jobs forgotten"))
        }
        JobsCommand::Watch { ids } => watch(&queue, &ids, output).await,
    }
}

/// What a job does or brought, in a few words.
fn words(job: &JobView) -> String {
    match (&job.error, job.state) {
        (Some(error), JobState::Failed | JobState::Queued) => error.clone(),
        _ => job.message.clone(),
    }
}

fn percent(job: &JobView) -> String {
    match job.state {
        JobState::Queued if job.progress == 0.0 => String::new(),
        _ => format!("{:.0}%", job.progress * 100.0),
    }
}

fn table(jobs: &[JobView], zone: &jiff::tz::TimeZone) -> String {
    let header = [
        "ID", "KIND", "CAMERA", "STATE", "DONE", "TRIES", "ENTERED", "ABOUT",
    ];
    output::table(
        &header,
        &[0, 4, 5],
        jobs.iter().map(|job| {
            vec![
                job.id.to_string(),
                job.kind.clone(),
                job.camera.as_ref().map_or_else(String::new, ToString::to_string),
                job.state.as_str().to_owned(),
                percent(job),
                job.attempts.to_string(),
                times::show(job.created, zone),
                words(job),
            ]
        }),
    )
}

fn details(job: &JobView, zone: &jiff::tz::TimeZone) -> String {
    let mut rows = vec![
        ("job", job.id.to_string()),
        ("kind", job.kind.clone()),
        (
            "camera",
            job.camera.as_ref().map_or_else(String::new, ToString::to_string),
        ),
        ("state", job.state.as_str().to_owned()),
        ("done", percent(job)),
        ("about", job.message.clone()),
        ("error", job.error.clone().unwrap_or_default()),
        ("tries", job.attempts.to_string()),
        ("priority", job.priority.to_string()),
        ("entered", times::show(job.created, zone)),
        (
            "begun",
            job.started.map_or_else(String::new, |t| times::show(t, zone)),
        ),
        (
            "ended",
            job.ended.map_or_else(String::new, |t| times::show(t, zone)),
        ),
        ("parameters", job.params.to_string()),
        (
            "result",
            job.result.as_ref().map_or_else(String::new, ToString::to_string),
        ),
    ];
    if job.state == JobState::Queued {
        rows.push(("not before", times::show(job.not_before, zone)));
    }
    rows.retain(|(_, text)| !text.is_empty());
    let lines: Vec<String> = rows
        .iter()
        .map(|(key, text)| format!("{key:<11} {text}"))
        .collect();
    lines.join("\n")
}

/// One line for each job.
pub fn lines(jobs: &[JobView]) -> String {
    let line = |job: &JobView| {
        let words = words(job);
        let colon = if words.is_empty() { "" } else { ": " };
        format!(
            "job {} ({}) is {}{colon}{words}",
            job.id,
            job.kind,
            job.state.as_str()
        )
    };
    jobs.iter().map(line).collect::<Vec<_>>().join("\n")
}
