//! What can be said on the command line.

use std::path::PathBuf;

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
(\"2026-05-04 03:02\", 2026-05-04, 03:02), \"now\", or before now (-90s, -15m, -2h, -1d).

`nvr demo` shows it all with two synthetic cameras. Exit codes are in docs/cli.md.";

/// What every subcommand takes.
#[derive(Args, Debug, Clone)]
pub struct Global {
    /// Configuration file.
    #[arg(
        short,
        long,
        global = true,
        env = "NVR_CONFIG",
        value_name = "FILE",
        default_value = "nvr.toml"
    )]
    pub config: PathBuf,
    /// Print results as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more: -v debug, -vv trace.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Write a commented configuration from what is found on this machine.
    Init(commands::init::InitArgs),
    /// Report every mistake in the configuration.
    Validate,
    /// Print completions for a shell.
    Completions(commands::completions::CompletionsArgs),
}
