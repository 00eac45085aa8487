//! Measures the recorder, beside ffmpeg on the same input where there is a peer, and prints one table.
//!
//! The programs that are measured run as processes of their own: this binary starts itself in a hidden role.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that talks to the person in front of it"
)]

mod codecs;
mod export;
mod footage;
mod live;
mod load;
mod merge;
mod meter;
mod motion;
mod queries;
mod recording;
mod recovery;
mod report;
mod roles;
mod snapshot;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::report::Report;

/// Measures the recorder and prints one table.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    role: Option<roles::Role>,
    #[command(flatten)]
    bench: BenchArgs,
}

#[derive(Debug, clap::Args)]
struct BenchArgs {
    /// What to measure; everything when absent.
    #[arg(value_enum)]
    what: Vec<What>,
    /// Shorter runs and fewer of them: two minutes in all instead of ten.
    #[arg(long)]
    quick: bool,
    /// Writes the rows to this file as well.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Folder for what is recorded and generated; needs 6 GB. A temporary one by default.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Numbers of cameras of which the recording cost is measured.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32])]
    cameras: Vec<u32>,
    /// Record without ffmpeg beside: for more cameras than this machine has room for ffmpegs.
    #[arg(long)]
    alone: bool,
    /// Which clients of RTSP record, where that matters.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Client::Lean, Client::Rtspsrc])]
    ingest: Vec<Client>,
}

/// A client of RTSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// The recorder's own.
    Lean,
    /// GStreamer's.
    Rtspsrc,
}

impl Client {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Lean => "lean",
            Self::Rtspsrc => "rtspsrc",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Processor time, memory and threads of recording.
    Recording,
    /// From the camera's answer to the first chunk on disk; what is lost when the recorder is killed.
    Live,
    /// Timelines and segments at a million segments.
    Queries,
    /// Viewers and requests while eight cameras are recorded.
    Load,
    /// Ten minutes out of an hour.
    Export,
    /// Pictures of recorded moments.
    Snapshot,
    /// Looking for motion.
    Motion,
    /// Two cameras beside each other in one file.
    Merge,
    /// Encoding footage again as H.265.
    Codecs,
    /// Start with 100,000 segments on disk; a new index from the files.
    Recovery,
}

/// What every measurement is given.
#[derive(Debug)]
pub(crate) struct Bench {
    pub dir: PathBuf,
    pub quick: bool,
    pub cameras: Vec<u32>,
    pub ingest: Vec<Client>,
    pub alone: bool,
    pub report: Report,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(role) = args.role {
        return roles::play(role);
    }
    let args = args.bench;
    let temporary = match &args.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir)?;
            None
        }
        None => Some(tempfile::Builder::new().prefix("nvr-bench-").tempdir()?),
    };
    let dir = temporary
        .as_ref()
        .map_or_else(|| args.dir.clone().unwrap_or_default(), |t| t.path().to_owned());
    let mut bench = Bench {
        dir,
        quick: args.quick,
        cameras: args.cameras,
        ingest: args.ingest,
        alone: args.alone,
        report: Report::default(),
    };
    let all = [
        What::Recording,
        What::Live,
        What::Queries,
        What::Load,
        What::Export,
        What::Snapshot,
        What::Motion,
        What::Merge,
        What::Codecs,
        What::Recovery,
    ];
    for what in all {
        if !args.what.is_empty() && !args.what.contains(&what) {
            continue;
        }
        eprintln!("measuring: {what:?}");
        match what {
            What::Recording => recording::measure(&mut bench)?,
            What::Live => live::measure(&mut bench)?,
            What::Queries => queries::measure(&mut bench)?,
            What::Load => load::measure(&mut bench)?,
            What::Export => export::measure(&mut bench)?,
            What::Snapshot => snapshot::measure(&mut bench)?,
            What::Motion => motion::measure(&mut bench)?,
            What::Merge => merge::measure(&mut bench)?,
            What::Codecs => codecs::measure(&mut bench)?,
            What::Recovery => recovery::measure(&mut bench)?,
        }
    }
    println!("{}", bench.report.table());
    if let Some(file) = args.json {
        std::fs::write(file, bench.report.json()?)?;
    }
    Ok(())
}
