//! `nvr backup` and `nvr restore-backup`: configuration, index, accounts and kept pushes in one archive, and back.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::tz::TimeZone;
use nvr_core::backup::{Backup, Restore, RestoreReport, Sources};
use nvr_core::check::CheckReport;
use nvr_core::clock::SystemClock;
use nvr_core::error::{Error, ErrorKind};
use serde::Serialize;

use super::check;
use crate::cli::Global;
use crate::exit::Failure;
use crate::files::may_replace;
use crate::output::{self, Output};
use crate::{client, config, logging, times};

#[derive(Args, Debug)]
pub struct BackupArgs {
    /// File to write, such as nvr.tar.gz; - is the standard output. It holds the passwords of cameras: it is made readable by
    /// you only.
    file: PathBuf,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// A file of `nvr backup`.
    file: PathBuf,
    /// Leave the index out: for recordings of another tree. `nvr check --rebuild` makes one from the files.
    #[arg(long)]
    without_index: bool,
    /// Do not compare the index with the files afterwards; `nvr check --repair` does it later.
    #[arg(long)]
    no_check: bool,
}

#[derive(Serialize)]
struct Made<'a> {
    file: &'a Path,
    size_bytes: u64,
    members: Vec<&'a str>,
}

pub async fn run(global: &Global, args: BackupArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let config = config::load(global)?;
    let sources = Sources::of(&config)?;
    let to_stdout = args.file == Path::new("-");
    if to_stdout && std::io::stdout().is_terminal() {
        return Err(
            Error::new(ErrorKind::InvalidArgument, "a backup is nothing for a terminal")
                .with_hint("name a file, or pass it on with |")
                .into(),
        );
    }
    let file = args.file.clone();
    let (backup, size_bytes) = client::blocking(move || {
        let clock = SystemClock::shared();
        if to_stdout {
            let place = sources.index.parent().unwrap_or(Path::new("."));
            let backup = Backup::take(&sources, place, &clock)?;
            let mut out = std::io::stdout().lock();
            backup.write(&mut out)?;
            out.flush().map_err(|e| Error::io("the standard output", e))?;
            return Ok((backup, 0));
        }
        may_replace(&file, args.force)?;
        let place = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let backup = Backup::take(&sources, place, &clock)?;
        let size = if args.force {
            backup.save_over(&file)?
        } else {
            backup.save(&file)?
        };
        Ok((backup, size))
    })
    .await?;
    if to_stdout {
        return Ok(());
    }
    let made = Made {
        file: &args.file,
        size_bytes,
        members: backup
            .manifest()
            .members
            .iter()
            .map(|m| m.name.as_str())
            .collect(),
    };
    output.result(&made, || {
        format!(
            "{}: {}, with {}",
            args.file.display(),
            output::bytes(size_bytes),
            made.members.join(", ")
        )
    })
}

#[derive(Serialize)]
struct Restored {
    #[serde(flatten)]
    report: RestoreReport,
    /// What comparing the index with the files found and mended.
    check: Option<CheckReport>,
}

pub async fn restore(global: &Global, args: RestoreArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let path = global.config.clone();
    let report = client::blocking(move || {
        let file = std::fs::File::open(&args.file).map_err(|e| Error::io(args.file.display(), e))?;
        let mut restore = Restore::new(path);
        restore.index = !args.without_index;
        restore.run(file, &SystemClock::shared())
    })
    .await?;
    let config = config::load(global)?;
    let zone = times::zone(&config.recorder.time_zone);
    let check = if args.no_check || !config.recorder.database.exists() {
        None
    } else {
        Some(client::blocking(move || check::compare(&config, true, false, output)).await?)
    };
    let restored = Restored { report, check };
    output.result(&restored, || text(&restored, &zone))?;
    match &restored.check {
        Some(check) if !check.is_clean() => Err(Failure::Told(ErrorKind::Corrupt)),
        _ => Ok(()),
    }
}

fn text(restored: &Restored, zone: &TimeZone) -> String {
    let report = &restored.report;
    let made = times::show(report.made, zone);
    let mut out = format!("as of {made} (nvr {}):\n", report.program);
    for path in &report.restored {
        out += &format!("  {}\n", path.display());
    }
    if !report.kept.is_empty() {
        out += "what was there is kept:\n";
        for path in &report.kept {
            out += &format!("  {}\n", path.display());
        }
    }
    match &restored.check {
        Some(check) => out += &check::compared(check, true),
        None => out += "compare the index with the files: `nvr check --repair`",
    }
    out
}
