//! `nvr check`: compares the index with the files, and mends it.

use std::sync::Arc;

use clap::Args;
use nvr_core::check::{
    self, CheckOptions, CheckReport, Problem, Progress, RebuildOptions, RebuildReport, Repair,
};
use nvr_core::clock::SystemClock;
use nvr_core::config::Config;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::files::{Create, Root, RootOptions};
use nvr_core::store::{OpenMode, Store};

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::{config, logging};

#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Mend what can be mended. No recorder may be running.
    #[arg(long)]
    repair: bool,
    /// Make a new index from the files alone; the old one is kept as a backup. No recorder may be running.
    #[arg(long, conflicts_with_all = ["repair", "hash"])]
    rebuild: bool,
    /// Read every file and compare its hash.
    #[arg(long)]
    hash: bool,
}

pub async fn run(global: &Global, args: &CheckArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let config = config::load(global)?;
    if args.rebuild {
        let report = blocking(move || rebuild(&config, output)).await?;
        output.result(&report, || rebuilt(&report))?;
        return if report.problems.is_empty() {
            Ok(())
        } else {
            Err(Failure::Told(ErrorKind::Corrupt))
        };
    }
    let (repair, hash) = (args.repair, args.hash);
    let report = blocking(move || compare(&config, repair, hash, output)).await?;
    output.result(&report, || compared(&report, repair))?;
    if report.is_clean() {
        Ok(())
    } else {
        Err(Failure::Told(ErrorKind::Corrupt))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> nvr_core::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|e| Error::new(ErrorKind::Internal, "the check failed").with_source(e))??)
}

pub fn compare(config: &Config, repair: bool, hash: bool, output: Output) -> nvr_core::Result<CheckReport> {
    let mode = if repair {
        OpenMode::ReadWrite
    } else {
        OpenMode::ReadOnly
    };
    // The root first: it says who else is using it, and that it is ours at all.
    let root = open_root(config, repair)?;
    let store = Store::open(&config.recorder.database, mode)?;
    let options = CheckOptions {
        repair,
        hash,
        second: second_root(config, repair)?.map(Arc::new),
        ..CheckOptions::default()
    };
    with_bar(output, "check", |progress| {
        check::check(&store, &root, &options, progress)
    })
}

fn rebuild(config: &Config, output: Output) -> nvr_core::Result<RebuildReport> {
    let root = open_root(config, true)?;
    let second = second_root(config, true)?;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let options = RebuildOptions { threads };
    with_bar(output, "rebuild", |progress| {
        check::rebuild_both(
            &root,
            second.as_ref(),
            &config.recorder.database,
            options,
            progress,
        )
    })
}

/// The second root, which need not be there.
fn second_root(config: &Config, exclusive: bool) -> nvr_core::Result<Option<Root>> {
    let Some(tier) = &config.tier else {
        return Ok(None);
    };
    nvr_core::files::require_disk(&tier.root, tier.root_mount.as_deref(), None).or_else(|e| {
        // Nothing of it is judged then, and nothing is written there.
        if exclusive { Err(e) } else { Ok(()) }
    })?;
    let options = RootOptions {
        create: Create::Never,
        expected: None,
        exclusive,
    };
    Ok(Some(Root::new(&tier.root, options, SystemClock::shared())))
}

fn open_root(config: &Config, exclusive: bool) -> nvr_core::Result<Root> {
    let options = RootOptions {
        create: Create::Never,
        expected: None,
        exclusive,
    };
    Root::open(&config.recorder.root, options, SystemClock::shared())
}

fn with_bar<T>(output: Output, what: &'static str, work: impl FnOnce(&mut dyn FnMut(Progress)) -> T) -> T {
    let bar = output.count(what);
    let result = work(&mut |progress| {
        if let Some(total) = progress.total {
            bar.set_length(total.max(progress.done));
        }
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    result
}

pub fn compared(report: &CheckReport, repair: bool) -> String {
    let mut out = problems(&report.problems);
    let total: u64 = report.counts.values().sum();
    out += &format!(
        "{} files, {}, {} in the index",
        report.files,
        output::bytes(report.size_bytes),
        report.rows
    );
    if report.stills > 0 {
        let size = output::bytes(report.stills_bytes);
        out += &format!(", {} stills, {size}", report.stills);
    }
    if report.hashed > 0 {
        out += &format!(", {} hashes compared", report.hashed);
    }
    if report.foreign_count > 0 {
        let foreign = output::number(report.foreign_count, "foreign file");
        out += &format!(", {foreign} left alone");
    }
    if report.unreachable > 0 {
        out += &format!(
            "\n{} segments lie below the second root, which is not reachable: they were not looked at",
            report.unreachable
        );
    }
    match (total, report.mended) {
        (0, _) => out += "\nall is well",
        (n, 0) if !repair => {
            out += &format!("\n{n} problem(s); `nvr check --repair` mends what can be mended");
        }
        (n, mended) => out += &format!("\n{n} problem(s), {mended} mended"),
    }
    out
}

fn rebuilt(report: &RebuildReport) -> String {
    let mut out = problems(&report.problems);
    out += &format!(
        "new index: {} segments, {}, {} cameras, {} runs; {} once cut off by a crash",
        report.segments,
        output::bytes(report.size_bytes),
        report.cameras,
        report.runs,
        report.mended
    );
    if let Some(backup) = &report.backup {
        out += &format!("\nthe old index is now {}", backup.display());
    }
    out
}

fn problems(list: &[Problem]) -> String {
    if list.is_empty() {
        return String::new();
    }
    let rows = list.iter().map(|p| {
        let repair = match &p.repair {
            Repair::NotTried => String::new(),
            Repair::Done => "mended".into(),
            Repair::Impossible => "cannot be mended".into(),
            Repair::Failed(why) => format!("failed: {why}"),
        };
        let kind = p.kind.as_str().replace('_', " ");
        vec![kind, p.path.display().to_string(), p.detail.clone(), repair]
    });
    output::table(&["PROBLEM", "FILE", "", ""], &[], rows) + "\n\n"
}
