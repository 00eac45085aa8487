//! `nvr motion`: looks at recorded footage again, to find out which settings find what moves.

use clap::Args;
use jiff::tz::TimeZone;
use nvr_core::archive::{FoundMotion, MotionSearch};
use nvr_core::error::{Error, ErrorKind};
use nvr_core::line::Line;
use nvr_core::zone::{Polygon, Zone};
use nvr_core::{CameraId, TimeRange, Timestamp};
use serde::Serialize;

use crate::archive;
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::times;
use crate::window::Window;

#[derive(Args, Debug)]
pub struct MotionArgs {
    /// Camera.
    #[arg(value_name = "CAMERA")]
    camera: String,
    #[command(flatten)]
    window: Window,
    /// How little is enough, 1 to 100; as configured by default. So are the others.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=100))]
    sensitivity: Option<u8>,
    /// Zones, written as in the configuration; "" for the whole picture.
    #[arg(long, value_name = "ZONES")]
    zones: Option<String>,
    /// Masks, written as in the configuration; "" for none.
    #[arg(long, value_name = "MASKS")]
    masks: Option<String>,
    /// Lines that may be crossed: "gate: 0.1,0.5 0.9,0.5; drive @left_to_right: 0.5,0 0.5,1"; "" for none.
    #[arg(long, value_name = "LINES")]
    lines: Option<String>,
    /// Leave out what is shorter (such as 2s).
    #[arg(long, value_name = "LENGTH")]
    min_duration: Option<String>,
    /// Put together what is closer (such as 10s).
    #[arg(long, value_name = "LENGTH")]
    cool_down: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    camera: CameraId,
    from: Timestamp,
    to: Timestamp,
    sensitivity: u8,
    #[serde(flatten)]
    found: FoundMotion,
}

const HOUR_NS: i64 = 3_600_000_000_000;

pub async fn run(global: &Global, args: &MotionArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let range = args.window.range(asked.now, &asked.zone, Some(HOUR_NS))?;
    let camera = asked.camera(&args.camera).await?;
    let mut search = asked
        .config
        .camera(&camera)
        .map_or_else(MotionSearch::default, |c| MotionSearch::of(&c.motion));
    if let Some(n) = args.sensitivity {
        search.settings.sensitivity = n;
    }
    if let Some(text) = &args.zones {
        search.settings.zones = Zone::parse_list(text)?;
    }
    if let Some(text) = &args.masks {
        search.settings.masks = Polygon::parse_list(text)?;
    }
    if let Some(text) = &args.lines {
        search.lines = Line::parse_list(text)?;
    }
    for (text, to) in [
        (&args.min_duration, &mut search.rules.min_duration_ns),
        (&args.cool_down, &mut search.rules.cool_down_ns),
    ] {
        if let Some(text) = text {
            *to = times::length(text)?;
            if *to < 0 {
                return Err(Error::new(ErrorKind::InvalidArgument, format!("{text} is below zero")).into());
            }
        }
    }
    let sensitivity = search.settings.sensitivity;
    let found = asked.archive.find_motion(&camera, range, search).await?;
    let answer = Answer {
        camera,
        from: range.start(),
        to: range.end(),
        sensitivity,
        found,
    };
    output.result(&answer, || text(&answer, range, &asked.zone))
}

fn text(answer: &Answer, range: TimeRange, zone: &TimeZone) -> String {
    let found = &answer.found;
    let moving: i64 = found.stretches.iter().map(|s| s.to.since(s.from)).sum();
    let mut out = format!(
        "{}, sensitivity {}: {} stretch{} in {}, {} long together, {} keyframe{}",
        answer.camera,
        answer.sensitivity,
        found.stretches.len(),
        if found.stretches.len() == 1 { "" } else { "es" },
        output::duration(range.len_ns()),
        output::duration(moving),
        found.keyframes,
        if found.keyframes == 1 { "" } else { "s" },
    );
    if found.damaged > 0 {
        out += &format!(" ({} could not be decoded)", found.damaged);
    }
    if !found.stretches.is_empty() {
        out.push('\n');
        out += &output::table(
            &["FROM", "TO", "LENGTH", "PEAK"],
            &[2, 3],
            found.stretches.iter().map(|s| {
                vec![
                    times::show(s.from, zone),
                    times::show(s.to, zone),
                    output::duration(s.to.since(s.from)),
                    format!("{:.2}", s.peak),
                ]
            }),
        );
    }
    if !found.crossings.is_empty() {
        out.push('\n');
        out += &output::table(
            &["LINE", "DIRECTION", "FROM", "TO"],
            &[],
            found.crossings.iter().map(|c| {
                vec![
                    c.line.clone(),
                    c.direction.as_str().to_owned(),
                    times::show(c.from, zone),
                    times::show(c.to, zone),
                ]
            }),
        );
    }
    out
}
