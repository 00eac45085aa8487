//! `nvr snapshot`: a picture of a recorded moment.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::{SnapshotRequest, Timestamp};
use serde::Serialize;

use crate::archive;
use crate::cli::Global;
use crate::exit::Failure;
use crate::files::{Target, timestamp_name};
use crate::output::{self, Output};
use crate::times;

#[derive(Args, Debug)]
pub struct SnapshotArgs {
    /// Camera.
    camera: String,
    /// Moment; the newest footage by default.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
    /// Width in pixels; as recorded by default.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(16..=7680))]
    width: Option<u32>,
    /// The very frame shown at that moment, not the keyframe before it.
    #[arg(long)]
    exact: bool,
    /// JPEG file to write, `-` for the standard output; named after camera and time by default.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Written {
    file: PathBuf,
    at: Timestamp,
    size_bytes: usize,
}

pub async fn run(global: &Global, args: &SnapshotArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let camera = asked.camera(&args.camera).await?;
    let at = args
        .at
        .as_deref()
        .map(|text| times::parse(text, asked.now, &asked.zone))
        .transpose()?;
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    if to_stdout && output.json() {
        let error = Error::new(
            ErrorKind::InvalidArgument,
            "the picture and JSON cannot both go to the standard output",
        );
        return Err(error.with_hint("name a file with --output").into());
    }
    let mut request = SnapshotRequest::new(camera.clone(), at);
    request.width = args.width;
    request.exact = args.exact;
    let picture = asked.archive.snapshot(request).await?;
    let file = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{camera}-{}.jpg", timestamp_name(picture.at))));
    let mut target = Target::create(&file, args.force)?;
    match target.write_all(&picture.jpeg) {
        Ok(()) => target.finish()?,
        Err(_) if target.is_closed() => return Err(Failure::Closed),
        Err(e) => return Err(Error::io(file.display(), e).into()),
    }
    if to_stdout {
        return Ok(());
    }
    let written = Written {
        file,
        at: picture.at,
        size_bytes: picture.jpeg.len(),
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
