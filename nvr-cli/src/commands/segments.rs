//! `nvr segments`: the recorded files.

use clap::Args;
use nvr_core::segment::{Container, Tier};
use nvr_core::store::{Order, SegmentQuery, SegmentRow, SegmentState};
use nvr_core::track::Tracks;
use nvr_core::{CameraId, RunId, SegmentId, TimeRange, Timestamp};
use serde::Serialize;

use crate::archive;
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::times;
use crate::window::Window;

#[derive(Args, Debug)]
pub struct SegmentsArgs {
    /// Cameras; all if none is given.
    #[arg(value_name = "CAMERA")]
    cameras: Vec<String>,
    #[command(flatten)]
    window: Window,
    /// Most rows, 0 for all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Newest first.
    #[arg(long)]
    newest: bool,
}

#[derive(Serialize)]
struct SegmentView {
    id: SegmentId,
    camera: CameraId,
    run: RunId,
    sequence: u32,
    state: SegmentState,
    start: Timestamp,
    end: Timestamp,
    duration_ns: i64,
    size_bytes: u64,
    container: Container,
    tracks: Tracks,
    hash: Option<String>,
    protected: bool,
    tier: Tier,
    path: std::path::PathBuf,
    /// Privacy masks that are burnt in.
    masks: Option<String>,
}

impl From<SegmentRow> for SegmentView {
    fn from(row: SegmentRow) -> Self {
        Self {
            id: row.id,
            end: row.end(),
            camera: row.camera,
            run: row.run,
            sequence: row.sequence,
            state: row.state,
            start: row.start,
            duration_ns: row.duration_ns,
            size_bytes: row.size_bytes,
            container: row.container,
            tracks: row.tracks,
            hash: row
                .hash
                .map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect()),
            protected: row.protected,
            tier: row.tier,
            path: row.path,
            masks: row.masks,
        }
    }
}

pub async fn run(global: &Global, args: &SegmentsArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    // Unlike a timeline, a list is bounded by its length: all time by default.
    let whole = asked.now.since(Timestamp::from_secs(0));
    let range = args.window.range(asked.now, &asked.zone, Some(whole))?;
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let cameras = if args.cameras.is_empty() {
        Vec::new()
    } else {
        asked.cameras(&args.cameras).await?
    };
    // One more nanosecond, so that what begins right now is there.
    let mut query = SegmentQuery::new(cameras, TimeRange::new(range.start(), range.end().add_ns(1))?);
    if args.newest {
        query.order = Order::Desc;
    }
    let mut found: Vec<SegmentView> = Vec::new();
    let more = loop {
        let left = limit - found.len();
        query.limit = u32::try_from(left).unwrap_or(u32::MAX).min(1000);
        let page = asked.archive.segments(query.clone()).await?;
        found.extend(page.items.into_iter().map(SegmentView::from));
        match page.next {
            Some(_) if found.len() >= limit => break true,
            Some(next) => query.cursor = Some(next),
            None => break false,
        }
    };
    let second = asked.archive.is_reachable(Tier::Second).await?;
    let state = |s: &SegmentView| {
        let place = match s.tier {
            Tier::Second if !second => ", not reachable",
            Tier::Second => ", second root",
            Tier::First => "",
        };
        let masked = if s.masks.is_some() { ", masked" } else { "" };
        format!("{}{place}{masked}", s.state.as_str())
    };
    output.result(&found, || {
        let header = ["ID", "CAMERA", "START", "LENGTH", "SIZE", "STATE", "PATH"];
        output::table(
            &header,
            &[0, 3, 4],
            found.iter().map(|s| {
                vec![
                    s.id.to_string(),
                    s.camera.to_string(),
                    times::show(s.start, &asked.zone),
                    output::duration(s.duration_ns),
                    output::bytes(s.size_bytes),
                    state(s),
                    s.path.display().to_string(),
                ]
            }),
        )
    })?;
    if more {
        output.note(&format!(
            "there are more than {limit}; see --limit, --from and --to"
        ));
    }
    Ok(())
}
