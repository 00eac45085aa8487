//! `nvr init`: writes a commented configuration.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use std::time::Duration;

use clap::Args;
use nvr_core::clock::SystemClock;
use nvr_core::config::{Config, TemplateCamera, template_text};
use nvr_core::error::{Error, ErrorKind};
use nvr_core::files::{Create, Root, RootOptions};
use nvr_core::store::{OpenMode, Store};
use serde::Serialize;

use super::detect::{self, Found};
use crate::cli::Global;
use crate::exit::Failure;
use crate::logging;
use crate::output::Output;

#[derive(Args, Debug)]
pub struct InitArgs {
    /// Folder of the recordings; relative to the configuration's folder.
    #[arg(long, value_name = "DIR", default_value = "recordings")]
    root: PathBuf,
    /// Address of the page and the API.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Do not look for cameras.
    #[arg(long)]
    no_detect: bool,
    /// Instead of all this, make a folder that holds other things a recordings root; they stay.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["root", "listen", "no_detect", "force", "print"])]
    adopt: Option<PathBuf>,
    /// Replace a configuration that is there.
    #[arg(long)]
    force: bool,
    /// Print it instead of writing the file.
    #[arg(long)]
    print: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    file: &'a std::path::Path,
    /// Ready to be recorded.
    cameras: usize,
    /// Found, but their stream or password is not known.
    to_fill_in: usize,
}

#[derive(Serialize)]
struct Adopted<'a> {
    root: &'a std::path::Path,
    tree: String,
}

pub async fn run(global: &Global, args: &InitArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    if let Some(dir) = &args.adopt {
        return adopt(global, dir, output);
    }
    let file = global.config.as_path();
    if !args.force && !args.print && file.exists() {
        return Err(exists(file).into());
    }
    let found = if args.no_detect {
        Found::default()
    } else {
        detect::find(Some(Duration::from_secs(2)), false, output).await
    };
    let cameras = cameras(&found);
    let text = template_text(&args.root, args.listen, &cameras);
    // Never leave a file that the recorder would then refuse.
    let config = Config::parse(&text, Some(file))
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the template is faulty: {e}")))?;
    if args.print {
        return output.text(&text);
    }
    let failed = |e: std::io::Error| {
        if e.kind() == std::io::ErrorKind::AlreadyExists {
            Error::new(
                ErrorKind::AlreadyExists,
                format!("{} is there already", file.display()),
            )
            .with_hint("name another with --config, or replace it with --force")
        } else {
            Error::io(file.display(), e)
        }
    };
    let mut options = OpenOptions::new();
    if args.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut handle = options.write(true).open(file).map_err(failed)?;
    handle.write_all(text.as_bytes()).map_err(failed)?;
    let report = Report {
        file,
        cameras: config.cameras.len(),
    };
    output.result(&report, || {
        format!(
            "wrote {}\nnext: add your cameras to it, then `nvr run`",
            file.display()
        )
    })
}
