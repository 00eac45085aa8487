//! `nvr completions`: a script for the shell.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Failure;
use crate::output::Output;

#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Which shell.
    shell: Shell,
}

pub fn run(args: &CompletionsArgs, output: Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "nvr", &mut script);
    output.bytes(&script)
}
