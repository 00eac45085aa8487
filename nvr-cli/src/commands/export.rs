//! `nvr export`: a stretch of footage as one file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use nvr_core::convert::Converted;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::jobs::export::{self, ExportParams};
use nvr_core::media::clip::Clip;
use nvr_core::{CameraId, ClipCodec, Export, ExportFormat, ExportRequest, TimeRange};
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
pub struct ExportArgs {
    /// Camera.
    camera: String,
    #[command(flatten)]
    window: Window,
    /// Packing.
    #[arg(long, value_enum, default_value_t = Packing::Mp4)]
    format: Packing,
    /// File to write, `-` for the standard output; named after camera and time by default.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Codec of the video. Footage that is not H.264 throughout is encoded, with `transcode.nice`; also where the size
    /// changes inside the range.
    #[arg(long, value_enum, conflicts_with = "split")]
    codec: Option<Codec>,
    /// Encode it as H.264, with the camera's privacy masks in every picture.
    #[arg(long, conflicts_with = "split")]
    masked: bool,
    /// Write one file for each stretch of equal codec parameters, where they change.
    #[arg(long)]
    split: bool,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
    /// Leave it to the recorder, and do not wait: the file lies in the folder of exports for a while (`jobs.exports`).
    /// Without a running recorder the job waits for one, and --output may name the file.
    #[arg(long, conflicts_with_all = ["split", "force"])]
    job: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Packing {
    /// One index in front: plays everywhere, begins at the exact frame.
    Mp4,
    /// Fragments as recorded: written fastest, begins at a keyframe.
    Fmp4,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Codec {
    /// What everything plays.
    H264,
}

impl ExportArgs {
    const fn codec(&self) -> ClipCodec {
        match self.codec {
            Some(Codec::H264) => ClipCodec::H264,
            None => ClipCodec::AsRecorded,
        }
    }
}

#[derive(Serialize)]
struct Written {
    file: PathBuf,
    size_bytes: u64,
    duration_ns: i64,
    range: TimeRange,
}

pub async fn run(global: &Global, args: &ExportArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let camera = asked.camera(&args.camera).await?;
    let range = args.window.range(asked.now, &asked.zone, None)?;
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    if args.job {
        if to_stdout {
            let e = Error::new(
                ErrorKind::InvalidArgument,
                "a job of the recorder has no standard output to write to",
            );
            return Err(e
                .with_hint("name a file with --output, or leave --job out")
                .into());
        }
        return enqueue(asked, camera, range, args, output).await;
    }
    let format = match args.format {
        Packing::Mp4 => ExportFormat::Mp4,
        Packing::Fmp4 => ExportFormat::Fmp4,
    };
    let request = ExportRequest::new(camera.clone(), range, format);
    let request = request.codec(args.codec()).masked(args.masked);
    if to_stdout && output.json() {
        return Err(one_to_stdout());
    }
    let clips = if args.codec.is_some() || args.masked {
        match asked.archive.open_export(request).await? {
            Export::Clip(clip) => vec![clip],
            Export::Converted(made) => return encode(made, &camera, args, output).await,
        }
    } else if args.split {
        asked.archive.export_split(request).await?
    } else {
        let hint = "--split writes one file for each stretch";
        vec![asked.archive.export(request).await.map_err(|e| {
            if e.kind() == ErrorKind::Conflict {
                e.with_hint(hint)
            } else {
                e
            }
        })?]
    };
    if to_stdout && clips.len() > 1 {
        return Err(one_to_stdout());
    }
    let mut written = Vec::new();
    let many = clips.len() > 1;
    for (index, clip) in clips.into_iter().enumerate() {
        let path = match &args.output {
            Some(path) if many => numbered(path, index + 1),
            Some(path) => path.clone(),
            None => default_name(&camera, clip.range()),
        };
        let (force, report) = (args.force, written_of(&clip, path.clone()));
        let done = tokio::task::spawn_blocking(move || write(&clip, &path, force, output)).await;
        done.map_err(|e| Error::new(ErrorKind::Internal, "the copy failed").with_source(e))??;
        written.push(report);
    }
    if to_stdout {
        return Ok(());
    }
    tell(&written, output)
}

fn one_to_stdout() -> Failure {
    Error::new(
        ErrorKind::InvalidArgument,
        "the standard output takes one file, and no JSON beside it",
    )
    .with_hint("name a file with --output")
    .into()
}

fn default_name(camera: &CameraId, range: TimeRange) -> PathBuf {
    PathBuf::from(format!("{camera}-{}.mp4", timestamp_name(range.start())))
}

fn tell(written: &Vec<Written>, output: Output) -> Result<(), Failure> {
    output.result(written, || {
        let line = |w: &Written| {
            format!(
                "{}: {}, {}",
                w.file.display(),
                output::duration(w.duration_ns),
                output::bytes(w.size_bytes)
            )
        };
        written.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// Writes a file that has to be encoded.
async fn encode(
    made: Converted,
    camera: &CameraId,
    args: &ExportArgs,
    output: Output,
) -> Result<(), Failure> {
    let range = made.range();
    let path = args.output.clone().unwrap_or_else(|| default_name(camera, range));
    let mut written = Written {
        file: path.clone(),
        size_bytes: 0,
        duration_ns: made.duration_ns(),
        range,
    };
    let (force, format) = (args.force, args.format);
    let done = tokio::task::spawn_blocking(move || {
        let mut target = Target::create(&path, force)?;
        let bar = output.bars().add(output.share("encode".to_owned()));
        let progress = |done: f64| {
            bar.set_position((done * 1000.0) as u64);
            true
        };
        let result = match format {
            Packing::Fmp4 => made.write_to(&mut target, progress),
            Packing::Mp4 => Converted::scratch(&target.folder())
                .and_then(|scratch| made.write_mp4(scratch, &mut target, progress)),
        };
        bar.finish_and_clear();
        match result {
            Ok(bytes) => target.finish().map(|()| bytes),
            // A reader that went away (`| head`) is its own business.
            Err(_) if target.is_closed() => Err(Failure::Closed),
            Err(e) => Err(e.into()),
        }
    });
    written.size_bytes = done
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, "the export failed").with_source(e))??;
    if written.file == Path::new("-") {
        return Ok(());
    }
    tell(&vec![written], output)
}

/// Enters the export as a job.
async fn enqueue(
    asked: Asked,
    camera: CameraId,
    range: TimeRange,
    args: &ExportArgs,
    output: Output,
) -> Result<(), Failure> {
    let path = match &args.output {
        Some(path) => Some(std::path::absolute(path).map_err(|e| Error::io(path.display(), e))?),
        None => None,
    };
    let params = ExportParams {
        camera,
        from: range.start(),
        to: range.end(),
        format: match args.format {
            Packing::Mp4 => export::Packing::Mp4,
            Packing::Fmp4 => export::Packing::Fmp4,
        },
        path,
        codec: args.codec(),
        masked: args.masked,
    };
    let job = params.job()?;
    let queue = Queue::find(asked.config).await;
    let (job, is_new) = queue.enqueue(job).await?;
    output.result(&job, || jobs::lines(std::slice::from_ref(&job)))?;
    if !is_new {
        output.note("the same export was asked for already");
    }
    if queue.is_served() {
        output.note(&format!("`nvr jobs watch {}` follows it", job.id));
    } else {
        output.note("no recorder runs; the job waits for one");
    }
    Ok(())
}

fn written_of(clip: &Clip, file: PathBuf) -> Written {
    Written {
        file,
        size_bytes: clip.len(),
        duration_ns: clip.duration_ns(),
        range: clip.range(),
    }
}

fn write(clip: &Clip, path: &Path, force: bool, output: Output) -> Result<(), Failure> {
    let mut target = Target::create(path, force)?;
    let bar = output.bar(clip.len(), "export");
    let result = clip.write_to(&mut target, |bytes| {
        bar.set_position(bytes);
        true
    });
    bar.finish_and_clear();
    match result {
        Ok(_) => target.finish(),
        // A reader that went away (`| head`) is its own business.
        Err(_) if target.is_closed() => Err(Failure::Closed),
        Err(e) => Err(e.into()),
    }
}

/// `clip.mp4` -> `clip-2.mp4`.
fn numbered(path: &Path, n: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = match path.extension() {
        Some(extension) => format!("{stem}-{n}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{n}"),
    };
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_names() {
        assert_eq!(numbered(Path::new("a/clip.mp4"), 2), Path::new("a/clip-2.mp4"));
        assert_eq!(numbered(Path::new("clip"), 1), Path::new("clip-1"));
    }
}
