//! What can be said on the command line.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::commands;

/// A network video recorder: records cameras, shows what is recorded, exports it.
#[derive(Parser, Debug)]
#[command(name = "nvr", version, max_term_width = 100, after_help = AFTER)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const AFTER: &str = "\
Times are RFC 3339 (2026-05-04T03:02:01Z), Unix seconds, local times in the configured zone \
(\"2026-05-04 03:02\", 2026-05-04, 03:02), \"now\", or before or after now (-90s, -15m, -2h, -1d, +15m).

`nvr demo` shows it all with two synthetic cameras. Exit codes are in docs/cli.md.";

/// What every subcommand takes.
#[derive(Args, Debug, Clone)]
pub struct Global {
    /// Configuration file; where there is no nvr.toml here, /etc/nvr/nvr.toml serves as well.
    #[arg(
        short,
        long,
        global = true,
        env = "NVR_CONFIG",
        value_name = "FILE",
        default_value = HERE
    )]
    pub config: PathBuf,
    /// Print results as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more: -v debug, -vv trace.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// The configuration that is looked for in the working directory.
const HERE: &str = "nvr.toml";
/// That of an installed service.
const INSTALLED: &str = "/etc/nvr/nvr.toml";

impl Global {
    /// Takes the configuration of the installed service where there is none here and none was named.
    pub fn find(&mut self) {
        let installed = Path::new(INSTALLED);
        if self.config == Path::new(HERE) && !self.config.exists() && installed.exists() {
            installed.clone_into(&mut self.config);
        }
    }
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Record two synthetic cameras and serve the page, without any configuration.
    Demo(commands::demo::DemoArgs),
    /// Write a commented configuration from what is found on this machine.
    Init(commands::init::InitArgs),
    /// Record the configured cameras until stopped.
    Run(commands::run::RunArgs),
    /// Report every mistake in the configuration.
    Validate,
    /// Find cameras and encoders.
    Detect(commands::detect::DetectArgs),
    /// Look at all that recording depends on, and say what to do about what is wrong.
    Doctor(commands::doctor::DoctorArgs),
    /// Open a source and say what it sends.
    Probe(commands::probe::ProbeArgs),
    /// Say how the recorder and its cameras fare.
    Status(commands::status::StatusArgs),
    /// List the cameras.
    Cameras,
    /// Add, change or remove a camera in the configuration.
    #[command(subcommand)]
    Camera(commands::camera::CameraCommand),
    /// Show what is recorded and what is missing.
    Timeline(commands::timeline::TimelineArgs),
    /// Look for motion in recorded footage, with these settings or those.
    Motion(commands::motion::MotionArgs),
    /// List the recorded files.
    Segments(commands::segments::SegmentsArgs),
    /// Write a stretch of footage to one file.
    Export(commands::export::ExportArgs),
    /// Write several cameras into one file: beside each other, by the wall clock.
    Merge(commands::compose::MergeArgs),
    /// Write many hours of a camera as a short film.
    Timelapse(commands::compose::TimelapseArgs),
    /// Write a picture of a recorded moment.
    Snapshot(commands::snapshot::SnapshotArgs),
    /// Pictures that were kept at intervals: list them, write them to files.
    #[command(subcommand)]
    Stills(commands::stills::StillsCommand),
    /// Compare the index with the files, and mend it.
    Check(commands::check::CheckArgs),
    /// Delete what is to go by the limits of retention.
    Cleanup(commands::cleanup::CleanupArgs),
    /// Keep footage from being deleted.
    Protect(commands::protect::ProtectArgs),
    /// What was seen: list it, tell of more, end it.
    #[command(subcommand)]
    Detections(commands::detections::DetectionsCommand),
    /// Show how looking for objects fares; read a model to see whether it can be used.
    Objects(commands::objects::ObjectsArgs),
    /// Turn a camera: move, stop, presets (ONVIF).
    Ptz(commands::ptz::PtzArgs),
    /// Ask a camera by ONVIF: its streams, its clock.
    #[command(subcommand)]
    Onvif(commands::onvif::OnvifCommand),
    /// Book cameras for an interval: add, list, show, cancel, delete, import a calendar.
    #[command(subcommand)]
    Book(commands::book::BookCommand),
    /// Push cameras to RTMP or SRT addresses: list, start, stop.
    #[command(subcommand)]
    Push(commands::push::PushCommand),
    /// Read segments whole and say which are damaged.
    Verify(commands::verify::VerifyArgs),
    /// List slow work: what waits, runs and is over; call it off, try it again, watch it.
    Jobs(commands::jobs::JobsArgs),
    /// Show what is wrong and was told; acknowledge, mute, try a channel.
    Alerts(commands::alerts::AlertsArgs),
    /// Show how copies at other places stand; upload more, try again, make links.
    Upload(commands::upload::UploadArgs),
    /// Bring files back of which there are only copies.
    Restore(commands::restore::RestoreArgs),
    /// Write configuration, index, accounts and kept pushes to one file, also while a recorder runs.
    Backup(commands::backup::BackupArgs),
    /// Put the files of a backup in their places, with what is there kept beside. No recorder may be running.
    RestoreBackup(commands::backup::RestoreArgs),
    /// Show how much is recorded, how full the disk is, and how long it will do.
    Stats(commands::stats::StatsArgs),
    /// Encode a stretch of footage again as H.265, to save space.
    Transcode(commands::transcode::TranscodeArgs),
    /// List, make, change and remove users, also while a recorder runs.
    #[command(subcommand)]
    User(commands::user::UserCommand),
    /// List, make and remove tokens of programs, also while a recorder runs.
    #[command(subcommand)]
    Token(commands::token::TokenCommand),
    /// Show what a running recorder logs, and change it for a time.
    LogLevel(commands::log_level::LogLevelArgs),
    /// Measure what this machine can do.
    #[command(subcommand)]
    Bench(commands::bench::BenchCommand),
    /// Print completions for a shell.
    Completions(commands::completions::CompletionsArgs),
    /// Write manual pages, completions and a configuration for a package.
    #[command(hide = true)]
    PackageFiles(commands::package_files::PackageFilesArgs),
}
