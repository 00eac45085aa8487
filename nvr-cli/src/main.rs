//! The `nvr` command: run a recorder, ask it, check it. One file per subcommand in `commands/`.
//!
//! Nothing here knows more than the public API of `nvr-core` and `nvr-http` tells.

mod archive;
mod cli;
mod client;
mod commands;
mod config;
mod exit;
mod files;
mod journal;
mod line;
mod logging;
mod output;
mod queue;
mod service;
mod signals;
mod times;
mod tls;
mod window;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let output = output::Output::new(cli.global.json);
    match commands::dispatch(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure),
    }
}
