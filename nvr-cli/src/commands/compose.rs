//! `nvr merge` and `nvr timelapse`: files that are made of footage, picture by picture.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};
use nvr_core::convert::{Composed, LapseSource, Layout, MergeParams, TimelapseParams, Watcher};
use nvr_core::error::{Error, ErrorKind};
use nvr_core::jobs::NewJob;
use nvr_core::{Archive, CameraId, Timestamp};
use serde::Serialize;

use super::jobs;
use crate::archive::{self, Asked};
use crate::cli::Global;
use crate::exit::Failure;
use crate::files::{Target, timestamp_name};
use crate::output::{self, Output};
use crate::queue::Queue;
use crate::window::Window;

#[derive(Args, Debug)]
pub struct MergeArgs {
    /// Cameras in the order in which they are laid out, 2 to 16.
    #[arg(required = true, num_args = 2..=16)]
    cameras: Vec<String>,
    #[command(flatten)]
    window: Window,
    /// How they are put together.
    #[arg(long, value_enum, default_value_t = Arrangement::SideBySide)]
    layout: Arrangement,
    /// Whose sound is heard; nobody's by default.
    #[arg(long, value_name = "CAMERA")]
    sound: Option<String>,
    /// Pictures a second; those of the quickest camera by default.
    #[arg(long)]
    fps: Option<u32>,
    #[command(flatten)]
    file: FileArgs,
}

#[derive(Args, Debug)]
pub struct TimelapseArgs {
    /// Camera.
    camera: String,
    #[command(flatten)]
    window: Window,
    /// How long the file is to be (such as 60s, 2m); a minute by default.
    #[arg(long, value_name = "LENGTH")]
    length: Option<String>,
    /// Pictures of each hour that was recorded, in place of --length.
    #[arg(long, value_name = "NUMBER", conflicts_with = "length")]
    per_hour: Option<f64>,
    /// Pictures a second.
    #[arg(long, default_value_t = 25)]
    fps: u32,
    /// What it is made of.
    #[arg(long, value_enum, default_value_t = Material::Footage)]
    source: Material,
    #[command(flatten)]
    file: FileArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Material {
    /// Keyframes of what was recorded.
    Footage,
    /// Stills, which stay when the footage is gone.
    Stills,
    /// Footage where there is any, else stills.
    Auto,
}

impl From<Material> for LapseSource {
    fn from(m: Material) -> Self {
        match m {
            Material::Footage => Self::Footage,
            Material::Stills => Self::Stills,
            Material::Auto => Self::Auto,
        }
    }
}

#[derive(Args, Debug)]
struct FileArgs {
    /// Height of one picture, pixels; that of the smallest camera by default.
    #[arg(long)]
    height: Option<u32>,
    /// Preset of the encoder on the processor: slower ones make smaller files.
    #[arg(long, default_value = "ultrafast")]
    preset: String,
    /// File to write; named after camera and time by default.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
    /// Leave it to the recorder, and do not wait: the file lies in the folder of exports for a while (`jobs.exports`).
    /// Without a running recorder the job waits for one, and --output may name the file.
    #[arg(long, conflicts_with = "force")]
    job: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Arrangement {
    /// In one row.
    SideBySide,
    /// In one column.
    Stacked,
    /// In rows and columns.
    Grid,
    /// The first fills the picture, the others lie in it.
    PictureInPicture,
    /// All of the first, then all of the second, and so on.
    OneAfterTheOther,
}

impl From<Arrangement> for Layout {
    fn from(a: Arrangement) -> Self {
        match a {
            Arrangement::SideBySide => Self::SideBySide,
            Arrangement::Stacked => Self::Stacked,
            Arrangement::Grid => Self::Grid,
            Arrangement::PictureInPicture => Self::PictureInPicture,
            Arrangement::OneAfterTheOther => Self::OneAfterTheOther,
        }
    }
}

#[derive(Serialize)]
struct Written {
    file: PathBuf,
    #[serde(flatten)]
    made: Composed,
}

pub async fn merge(global: &Global, args: &MergeArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let cameras = asked.cameras(&args.cameras).await?;
    let range = args.window.range(asked.now, &asked.zone, None)?;
    let sound: Option<CameraId> = match &args.sound {
        Some(name) => Some(asked.camera(name).await?),
        None => None,
    };
    let mut params = MergeParams::new(cameras, range);
    (params.layout, params.sound, params.fps) = (args.layout.into(), sound, args.fps);
    (params.height, params.preset) = (args.file.height, args.file.preset.clone());
    params.check()?;
    if args.file.job {
        params.path = args.file.absolute()?;
        return enqueue(asked, params.job()?, output).await;
    }
    let path = args.file.path("merge", range.start());
    let work = move |archive: &Archive, to: &Path, watcher: Watcher<'_>| archive.merge(&params, to, watcher);
    make(asked.archive, path, args.file.force, output, work).await
}

pub async fn timelapse(global: &Global, args: &TimelapseArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let camera = asked.camera(&args.camera).await?;
    let range = args.window.range(asked.now, &asked.zone, None)?;
    let path = args.file.path(&format!("{camera}-timelapse"), range.start());
    let mut params = TimelapseParams::new(camera, range);
    (params.fps, params.source) = (args.fps, args.source.into());
    if let Some(text) = &args.length {
        params.length_s = Some(crate::times::length(text)? as f64 / 1e9);
    }
    if args.per_hour.is_some() {
        (params.per_hour, params.length_s) = (args.per_hour, None);
    }
    (params.height, params.preset) = (args.file.height, args.file.preset.clone());
    params.check()?;
    if args.file.job {
        params.path = args.file.absolute()?;
        return enqueue(asked, params.job()?, output).await;
    }
    let work =
        move |archive: &Archive, to: &Path, watcher: Watcher<'_>| archive.timelapse(&params, to, watcher);
    make(asked.archive, path, args.file.force, output, work).await
}

impl FileArgs {
    fn absolute(&self) -> Result<Option<PathBuf>, Failure> {
        let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|e| Error::io(path.display(), e));
        Ok(self.output.as_ref().map(absolute).transpose()?)
    }

    fn path(&self, name: &str, start: Timestamp) -> PathBuf {
        let default = || PathBuf::from(format!("{name}-{}.mp4", timestamp_name(start)));
        self.output.clone().unwrap_or_else(default)
    }
}

/// Writes the file beside its place, and puts it there when it is whole.
async fn make(
    archive: Archive,
    path: PathBuf,
    force: bool,
    output: Output,
    work: impl FnOnce(&Archive, &Path, Watcher<'_>) -> nvr_core::error::Result<Composed> + Send + 'static,
) -> Result<(), Failure> {
    let stopped = Arc::new(AtomicBool::new(false));
    let (flag, place) = (Arc::clone(&stopped), path.clone());
    let mut task = tokio::task::spawn_blocking(move || {
        let target = Target::create(&place, force)?;
        let part = target.part().map(Path::to_owned).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                "the standard output does not take this: its index comes last",
            )
            .with_hint("name a file with --output")
        })?;
        let bar = output.bars().add(output.share("encode".to_owned()));
        let mut progress = |done: f64, _: &str| bar.set_position((done * 1000.0) as u64);
        let stop = || flag.load(Ordering::Relaxed);
        let watcher = Watcher {
            progress: &mut progress,
            stop: &stop,
        };
        let made = work(&archive, &part, watcher);
        bar.finish_and_clear();
        let made = made?;
        target.finish()?;
        Ok::<_, Failure>(made)
    });
    let done = tokio::select! {
        done = &mut task => done,
        // What was begun is cleared away before the program ends.
        _ = tokio::signal::ctrl_c() => {
            stopped.store(true, Ordering::Relaxed);
            task.await
        }
    };
    let made =
        done.map_err(|e| Error::new(ErrorKind::Internal, "making the file failed").with_source(e))??;
    for warning in &made.warnings {
        output.note(warning);
    }
    let written = Written { file: path, made };
    output.result(&written, || {
        format!(
            "{}: {}, {}, {}x{}",
            written.file.display(),
            output::duration(written.made.duration_ns),
            output::bytes(written.made.size_bytes),
            written.made.width,
            written.made.height,
        )
    })
}

async fn enqueue(asked: Asked, job: NewJob, output: Output) -> Result<(), Failure> {
    let queue = Queue::find(asked.config).await;
    let (job, is_new) = queue.enqueue(job).await?;
    output.result(&job, || jobs::lines(std::slice::from_ref(&job)))?;
    if !is_new {
        output.note("the same was asked for already");
    }
    if queue.is_served() {
        output.note(&format!("`nvr jobs watch {}` follows it", job.id));
    } else {
        output.note("no recorder runs; the job waits for one");
    }
    Ok(())
}
