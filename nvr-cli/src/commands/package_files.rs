//! `nvr package-files`: what a package of a distribution wants besides the program. Hidden: only packagers need it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use nvr_core::config::template_text;
use nvr_core::error::Error;
use serde::Serialize;

use crate::cli::Cli;
use crate::exit::Failure;
use crate::output::Output;

#[derive(Args, Debug)]
pub struct PackageFilesArgs {
    /// Folder to write to; made if need be.
    dir: PathBuf,
    /// Folder of the recordings in the configuration.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/nvr/recordings")]
    root: PathBuf,
}

#[derive(Serialize)]
struct Written<'a> {
    dir: &'a Path,
    pages: usize,
}

pub fn run(args: &PackageFilesArgs, output: Output) -> Result<(), Failure> {
    let pages = write(args).map_err(|e| Error::io(args.dir.display(), e))?;
    let written = Written {
        dir: &args.dir,
        pages,
    };
    output.result(&written, || {
        format!(
            "{pages} manual pages, completions and a configuration in {}",
            args.dir.display()
        )
    })
}

fn write(args: &PackageFilesArgs) -> std::io::Result<usize> {
    let (man, completions) = (args.dir.join("man"), args.dir.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    // `nvr help COMMAND` says the same as the page of the command.
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "nvr", &completions)?;
    }
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    std::fs::write(
        args.dir.join("nvr.toml"),
        template_text(&args.root, None, listen, &[]),
    )?;
    Ok(std::fs::read_dir(&man)?.count())
}
