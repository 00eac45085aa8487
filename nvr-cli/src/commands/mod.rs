//! One file per subcommand.

pub mod alerts;
pub mod backup;
pub mod bench;
pub mod book;
pub mod camera;
pub mod cameras;
pub mod check;
pub mod cleanup;
pub mod completions;
pub mod compose;
pub mod demo;
pub mod detect;
pub mod detections;
pub mod doctor;
pub mod export;
pub mod init;
pub mod jobs;
pub mod log_level;
pub mod motion;
pub mod objects;
pub mod onvif;
pub mod package_files;
pub mod probe;
pub mod protect;
pub mod ptz;
pub mod push;
pub mod restore;
pub mod run;
pub mod segments;
pub mod snapshot;
pub mod stats;
pub mod status;
pub mod stills;
pub mod timeline;
pub mod token;
pub mod transcode;
pub mod upload;
pub mod user;
pub mod validate;
pub mod verify;

use std::future::Future;

use nvr_core::error::{Error, ErrorKind};

use crate::cli::{Cli, Command};
use crate::exit::Failure;
use crate::output::Output;

/// Runs what was asked for.
pub fn dispatch(cli: Cli, output: &Output) -> Result<(), Failure> {
    let Cli { mut global, command } = cli;
    if !matches!(command, Command::Init(_) | Command::Demo(_)) {
        global.find();
    }
    match command {
        Command::Completions(args) => completions::run(&args, *output),
        Command::PackageFiles(args) => package_files::run(&args, *output),
        Command::Validate => validate::run(&global, *output),
        Command::Init(args) => block_on(init::run(&global, &args, *output)),
        Command::Demo(args) => block_on(demo::run(&global, &args, *output)),
        Command::Run(args) => block_on(run::run(&global, &args, *output)),
        Command::Detect(args) => block_on(detect::run(&global, &args, *output)),
        Command::Doctor(args) => block_on(doctor::run(&global, &args, *output)),
        Command::Probe(args) => block_on(probe::run(&global, &args, *output)),
        Command::Status(args) => block_on(status::run(&global, &args, *output)),
        Command::Camera(command) => block_on(camera::run(&global, command, *output)),
        Command::Cameras => block_on(cameras::run(&global, *output)),
        Command::Timeline(args) => block_on(timeline::run(&global, &args, *output)),
        Command::Motion(args) => block_on(motion::run(&global, &args, *output)),
        Command::Segments(args) => block_on(segments::run(&global, &args, *output)),
        Command::Merge(args) => block_on(compose::merge(&global, &args, *output)),
        Command::Timelapse(args) => block_on(compose::timelapse(&global, &args, *output)),
        Command::Export(args) => block_on(export::run(&global, &args, *output)),
        Command::Snapshot(args) => block_on(snapshot::run(&global, &args, *output)),
        Command::Stills(command) => block_on(stills::run(&global, command, *output)),
        Command::Check(args) => block_on(check::run(&global, &args, *output)),
        Command::Cleanup(args) => block_on(cleanup::run(&global, &args, *output)),
        Command::Protect(args) => block_on(protect::run(&global, &args, *output)),
        Command::Detections(command) => block_on(detections::run(&global, command, *output)),
        Command::Objects(args) => block_on(objects::run(&global, args, *output)),
        Command::Ptz(args) => block_on(ptz::run(&global, args, *output)),
        Command::Onvif(command) => block_on(onvif::run(&global, command, *output)),
        Command::Book(command) => block_on(book::run(&global, command, *output)),
        Command::Push(command) => block_on(push::run(&global, command, *output)),
        Command::Verify(args) => block_on(verify::run(&global, &args, *output)),
        Command::LogLevel(args) => block_on(log_level::run(&global, &args, *output)),
        Command::Jobs(args) => block_on(jobs::run(&global, args, *output)),
        Command::Alerts(args) => block_on(alerts::run(&global, args, *output)),
        Command::Upload(args) => block_on(upload::run(&global, args, *output)),
        Command::Backup(args) => block_on(backup::run(&global, args, *output)),
        Command::RestoreBackup(args) => block_on(backup::restore(&global, args, *output)),
        Command::Restore(args) => block_on(restore::run(&global, &args, *output)),
        Command::Stats(args) => block_on(stats::run(&global, &args, *output)),
        Command::Transcode(args) => block_on(transcode::run(&global, &args, *output)),
        Command::User(command) => block_on(user::run(&global, command, *output)),
        Command::Token(command) => block_on(token::run(&global, command, *output)),
        Command::Bench(args) => bench::run(&global, &args, *output),
    }
}

/// Runs something on the runtime of the process.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("nvr-worker")
        .build()
        .map_err(|e| Error::new(ErrorKind::Internal, "cannot start the runtime").with_source(e))?;
    let result = runtime.block_on(future);
    // Whatever still blocks a thread (a hung mount) must not hold the process.
    runtime.shutdown_background();
    result
}
