//! `nvr stills`: pictures that were kept at intervals.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use nvr_core::error::{Error, ErrorKind};
use nvr_core::stills::{Still, StillQuery};
use nvr_core::store::Order;
use nvr_core::{CameraId, TimeRange, Timestamp};
use serde::Serialize;

use crate::archive::{self, Asked};
use crate::cli::Global;
use crate::exit::Failure;
use crate::files::{Target, timestamp_name};
use crate::output::{self, Output};
use crate::times;
use crate::window::Window;

#[derive(Subcommand, Debug)]
pub enum StillsCommand {
    /// List the stills of a camera.
    List(ListArgs),
    /// Write a still to a file.
    Get(GetArgs),
    /// Write all stills of a stretch of time to a folder.
    Save(SaveArgs),
}

#[derive(Args, Debug)]
pub struct ListArgs {
    /// Camera.
    camera: String,
    #[command(flatten)]
    window: Window,
    /// Most rows, 0 for all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Newest first.
    #[arg(long)]
    newest: bool,
}

#[derive(Args, Debug)]
pub struct GetArgs {
    /// Camera.
    camera: String,
    /// The newest at or before this moment; the newest of all by default.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
    /// JPEG file to write, `-` for the standard output; named after camera and time by default.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
pub struct SaveArgs {
    /// Camera.
    camera: String,
    #[command(flatten)]
    window: Window,
    /// Folder to write to, made if it is not there.
    #[arg(short, long, value_name = "FOLDER", default_value = ".")]
    output: PathBuf,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Row {
    camera: CameraId,
    at: Timestamp,
    size_bytes: u64,
}

#[derive(Serialize)]
struct Written {
    file: PathBuf,
    at: Timestamp,
    size_bytes: usize,
}

pub async fn run(global: &Global, command: StillsCommand, output: Output) -> Result<(), Failure> {
    match command {
        StillsCommand::List(args) => list(global, &args, output).await,
        StillsCommand::Get(args) => get(global, &args, output).await,
        StillsCommand::Save(args) => save(global, &args, output).await,
    }
}

/// Stills of a range in order, so many at most; and whether there are more.
async fn stills(asked: &Asked, mut query: StillQuery, limit: usize) -> Result<(Vec<Still>, bool), Failure> {
    let mut found = Vec::new();
    loop {
        query.limit = u32::try_from(limit - found.len()).unwrap_or(u32::MAX).min(1000);
        let page = asked.archive.stills(query.clone()).await?;
        found.extend(page.items);
        match page.next {
            Some(_) if found.len() >= limit => return Ok((found, true)),
            Some(next) => query.cursor = Some(next),
            None => return Ok((found, false)),
        }
    }
}

async fn list(global: &Global, args: &ListArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let mut query = StillQuery::new(asked.camera(&args.camera).await?);
    let whole = asked.now.since(Timestamp::from_secs(0));
    let range = args.window.range(asked.now, &asked.zone, Some(whole))?;
    // One more nanosecond, so that what is of right now is there.
    query.range = TimeRange::new(range.start(), range.end().add_ns(1))?;
    if args.newest {
        query.order = Order::Desc;
    }
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let (found, more) = stills(&asked, query, limit).await?;
    let rows: Vec<Row> = found
        .into_iter()
        .map(|s| Row {
            camera: s.camera,
            at: s.at,
            size_bytes: s.size_bytes,
        })
        .collect();
    output.result(&rows, || {
        output::table(
            &["TIME", "SIZE"],
            &[1],
            rows.iter()
                .map(|s| vec![times::show(s.at, &asked.zone), output::bytes(s.size_bytes)]),
        )
    })?;
    if more {
        output.note(&format!(
            "there are more than {limit}; see --limit, --from and --to"
        ));
    }
    Ok(())
}

async fn get(global: &Global, args: &GetArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let camera = asked.camera(&args.camera).await?;
    let at = match &args.at {
        Some(text) => times::parse(text, asked.now, &asked.zone)?,
        None => asked.now,
    };
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    if to_stdout && output.json() {
        let message = "the picture and JSON cannot both go to the standard output";
        let error = Error::new(ErrorKind::InvalidArgument, message);
        return Err(error.with_hint("name a file with --output").into());
    }
    let mut query = StillQuery::new(camera.clone());
    // Names are of milliseconds: the one of that very millisecond belongs to it.
    query.range = TimeRange::new(Timestamp::MIN, at.add_ns(1_000_000))?;
    query.order = Order::Desc;
    let (found, _) = stills(&asked, query, 1).await?;
    let still = found.into_iter().next().ok_or_else(|| {
        let message = format!("camera {camera}: there is no still of then or before");
        Error::new(ErrorKind::NotFound, message).with_hint("`nvr stills list` shows those that there are")
    })?;
    let jpeg = asked.archive.still(camera.clone(), still.at).await?;
    let file = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{camera}-{}.jpg", timestamp_name(still.at))));
    write(&file, &jpeg, args.force)?;
    if to_stdout {
        return Ok(());
    }
    let written = Written {
        file,
        at: still.at,
        size_bytes: jpeg.len(),
    };
    output.result(&written, || {
        let size = output::bytes(written.size_bytes as u64);
        format!(
            "{}: {}, {size}",
            written.file.display(),
            times::show(written.at, &asked.zone)
        )
    })
}

async fn save(global: &Global, args: &SaveArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let camera = asked.camera(&args.camera).await?;
    let mut query = StillQuery::new(camera.clone());
    query.range = args.window.range(asked.now, &asked.zone, None)?;
    let (found, _) = stills(&asked, query, usize::MAX).await?;
    std::fs::create_dir_all(&args.output).map_err(|e| Error::io(args.output.display(), e))?;
    let mut written = Vec::new();
    for still in found {
        let jpeg = match asked.archive.still(camera.clone(), still.at).await {
            // Retention took it meanwhile.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            other => other?,
        };
        let name = format!("{camera}-{}.jpg", still.at.to_string().replace(':', "-"));
        let file = args.output.join(name);
        write(&file, &jpeg, args.force)?;
        written.push(Written {
            file,
            at: still.at,
            size_bytes: jpeg.len(),
        });
    }
    output.result(&written, || {
        let size: usize = written.iter().map(|w| w.size_bytes).sum();
        format!(
            "{} stills, {}, in {}",
            written.len(),
            output::bytes(size as u64),
            args.output.display()
        )
    })
}

fn write(file: &Path, jpeg: &[u8], force: bool) -> Result<(), Failure> {
    let mut target = Target::create(file, force)?;
    match target.write_all(jpeg) {
        Ok(()) => target.finish(),
        Err(_) if target.is_closed() => Err(Failure::Closed),
        Err(e) => Err(Error::io(file.display(), e).into()),
    }
}
