//! `nvr timeline`: what is recorded, what is missing and why; or hours by day.

use clap::Args;
use jiff::tz::TimeZone;
use nvr_core::timeline::{Day, Timeline};
use nvr_core::{CameraId, TimeRange, Timestamp};
use serde::Serialize;

use crate::archive;
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::times;
use crate::window::Window;

#[derive(Args, Debug)]
pub struct TimelineArgs {
    /// Cameras; all if none is given.
    #[arg(value_name = "CAMERA")]
    cameras: Vec<String>,
    #[command(flatten)]
    window: Window,
    /// Fold what is shorter than this (such as 1s, 1m).
    #[arg(long, value_name = "LENGTH")]
    resolution: Option<String>,
    /// Sum up by day instead (the last 31 days by default).
    #[arg(long)]
    days: bool,
    /// Time zone of the days and times shown; the configured one by default.
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
}

#[derive(Serialize)]
struct CameraDays {
    camera: CameraId,
    days: Vec<Day>,
}

const DAY_NS: i64 = 86_400_000_000_000;

pub async fn run(global: &Global, args: &TimelineArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let zone = match &args.tz {
        Some(name) => times::zone_of(name)?,
        None => asked.zone.clone(),
    };
    let default_ns = if args.days { 31 * DAY_NS } else { DAY_NS };
    let range = args.window.range(asked.now, &zone, Some(default_ns))?;
    let cameras = asked.cameras(&args.cameras).await?;
    if args.days {
        let mut all = Vec::new();
        for camera in cameras {
            let days = asked.archive.days(&camera, args.tz.as_deref(), range).await?;
            all.push(CameraDays { camera, days });
        }
        return output.result(&all, || days_table(&all));
    }
    let resolution_ns = match &args.resolution {
        Some(text) => times::length(text)?,
        None => 0,
    };
    let timelines = asked.archive.timelines(&cameras, range, resolution_ns).await?;
    output.result(&timelines, || {
        let parts: Vec<String> = timelines.iter().map(|t| text(t, &zone)).collect();
        parts.join("\n\n")
    })
}

fn days_table(all: &[CameraDays]) -> String {
    let rows = all.iter().flat_map(|c| {
        c.days.iter().map(|day| {
            let share = day.recorded_s() * 100.0 / day.length_s.max(1) as f64;
            vec![
                c.camera.to_string(),
                day.date.to_string(),
                output::duration(day.recorded_ns),
                format!("{share:.1} %"),
            ]
        })
    });
    output::table(&["CAMERA", "DAY", "RECORDED", "SHARE"], &[2, 3], rows)
}

/// A bar, then what there is and what is missing in order of time.
fn text(timeline: &Timeline, zone: &TimeZone) -> String {
    let totals = &timeline.totals;
    let mut rows: Vec<(Timestamp, Vec<String>)> = Vec::new();
    let mut row = |range: &TimeRange, what: String| {
        let (start, end) = (times::show(range.start(), zone), times::show(range.end(), zone));
        rows.push((
            range.start(),
            vec![start, end, output::duration(range.len_ns()), what],
        ));
    };
    for recorded in &timeline.ranges {
        row(
            &recorded.range,
            if recorded.growing { "recording" } else { "recorded" }.into(),
        );
    }
    for gap in &timeline.gaps {
        row(
            &gap.range,
            format!("missing: {} ({})", gap.cause.message, gap.cause.kind.as_str()),
        );
    }
    rows.sort_by_key(|(start, _)| *start);
    let mut table = String::new();
    if !rows.is_empty() {
        table.push('\n');
        table += &output::table(
            &["FROM", "TO", "LENGTH", ""],
            &[2],
            rows.into_iter().map(|(_, row)| row),
        );
    }
    format!(
        "{}  [{}]\n{} recorded, {} missing, {} in {} segment{}{table}",
        timeline.camera,
        bar(timeline),
        output::duration(totals.recorded_ns),
        output::duration(totals.missing_ns),
        output::bytes(totals.bytes),
        totals.segments,
        if totals.segments == 1 { "" } else { "s" },
    )
}

/// Characters of the bar.
const BAR: i64 = 60;

/// `#` where all is recorded, `+` where some is, `.` where nothing is.
fn bar(timeline: &Timeline) -> String {
    let range = timeline.range;
    let step = (range.len_ns() / BAR).max(1);
    let cell = |i: i64| {
        let start = range.start().add_ns(i * step);
        let Ok(cell) = TimeRange::new(start, start.add_ns(step)) else {
            return ' ';
        };
        let covered: i64 = timeline
            .ranges
            .iter()
            .filter_map(|r| r.range.intersect(&cell))
            .map(|part| part.len_ns())
            .sum();
        match covered {
            0 => '.',
            n if n >= step => '#',
            _ => '+',
        }
    };
    (0..BAR).map(cell).collect()
}
