//! `nvr protect`: keeps footage from being deleted.

use clap::Args;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::store::{OpenMode, Store};
use nvr_core::{CameraId, SegmentId, TimeRange};
use serde::Serialize;

use crate::archive::{self, Asked};
use crate::cli::Global;
use crate::client;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::window::Window;

#[derive(Args, Debug)]
pub struct ProtectArgs {
    /// Camera; with --from and --to, or --last.
    #[arg(value_name = "CAMERA", required_unless_present = "segment")]
    camera: Option<String>,
    #[command(flatten)]
    window: Window,
    /// One segment by its id (see `nvr segments`), in place of a camera. May be given several times.
    #[arg(long, value_name = "ID", conflicts_with_all = ["camera", "from", "to", "last"])]
    segment: Vec<i64>,
    /// Take the protection (or with --event the mark) away.
    #[arg(long)]
    off: bool,
    /// Do not protect, but mark as footage of an event, which is kept for `event_age`.
    #[arg(long, conflicts_with = "segment")]
    event: bool,
}

#[derive(Serialize)]
struct Protected {
    segments: u64,
    off: bool,
    event: bool,
}

pub async fn run(global: &Global, args: &ProtectArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let segments = match &args.camera {
        Some(name) => {
            let camera = asked.camera(name).await?;
            let range = args.window.range(asked.now, &asked.zone, None)?;
            if range.is_empty() {
                return Err(Error::new(ErrorKind::InvalidArgument, "the range is empty").into());
            }
            whole_range(&asked, camera, range, args).await?
        }
        None => {
            for id in &args.segment {
                one(&asked, SegmentId(*id), args.off).await?;
            }
            args.segment.len() as u64
        }
    };
    let result = Protected {
        segments,
        off: args.off,
        event: args.event,
    };
    output.result(&result, || {
        let what = match (args.event, args.off) {
            (false, false) => "protected",
            (false, true) => "no longer protected",
            (true, false) => "marked as footage of an event",
            (true, true) => "no longer marked as footage of an event",
        };
        format!("{} {what}", output::number(segments, "segment"))
    })
}

/// By the recorder where one answers: it is the one that writes to the index.
async fn whole_range(
    asked: &Asked,
    camera: CameraId,
    range: TimeRange,
    args: &ProtectArgs,
) -> Result<u64, Failure> {
    let (off, event) = (args.off, args.event);
    if let Some(address) = client::answering(&asked.config).await? {
        let path = format!(
            "/api/v1/cameras/{camera}/protect?from={}&to={}&off={off}&event={event}",
            range.start(),
            range.end()
        );
        let answer = client::post(&address, &path).await?;
        return Ok(answer["segments"].as_u64().unwrap_or(0));
    }
    write(asked, move |store| {
        if event {
            store.mark_event_blocking(&camera, range, !off)
        } else {
            store.protect_range_blocking(&camera, range, !off)
        }
    })
    .await
}

async fn one(asked: &Asked, id: SegmentId, off: bool) -> Result<(), Failure> {
    if let Some(address) = client::answering(&asked.config).await? {
        let path = format!("/api/v1/segments/{id}/protect?off={off}");
        return client::post(&address, &path).await.map(drop);
    }
    write(asked, move |store| store.set_protected_blocking(id, !off)).await
}

async fn write<T: Send + 'static>(
    asked: &Asked,
    f: impl FnOnce(&Store) -> nvr_core::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let path = asked.config.recorder.database.clone();
    client::blocking(move || {
        let store = Store::open(path, OpenMode::ReadWrite)?;
        let result = f(&store)?;
        store.shutdown_blocking()?;
        Ok(result)
    })
    .await
}
