//! One file per subcommand.

pub mod completions;
pub mod init;
pub mod validate;

use std::future::Future;

use nvr_core::error::{Error, ErrorKind};

use crate::cli::{Cli, Command};
use crate::exit::Failure;
use crate::output::Output;

/// Runs what was asked for.
pub fn dispatch(cli: Cli, output: &Output) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Completions(args) => completions::run(&args, *output),
        Command::Validate => validate::run(&global, *output),
        Command::Init(args) => init::run(&global, &args, *output),
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
