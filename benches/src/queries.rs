//! Timelines and segments of a large index, in-process and over HTTP.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use nvr_core::config::Config;
use nvr_core::run::Anchor;
use nvr_core::segment::{ClosedSegment, Container, SegmentStart};
use nvr_core::store::SegmentQuery;
use nvr_core::time::NS_PER_S;
use nvr_core::{Archive, RunId, TimeRange};

use crate::footage::{BEGIN, SEGMENT_S, camera, tracks};
use crate::meter::Stopwatch;
use crate::report::{Goal, quantile};
use crate::{Bench, footage, roles};

const CAMERAS: usize = 32;
const BATCH: usize = 5000;
/// Says that an index was made to the end.
const WHOLE: &str = "whole";
const DAY_NS: i64 = 86_400 * NS_PER_S;

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let rows = if bench.quick { 200_000 } else { 1_000_000 };
    // Kept beside the programs from one run to the next: a million rows take minutes to enter.
    let root = std::env::current_exe()?.with_file_name(format!("bench-index-{rows}-1"));
    let config = if root.join(WHOLE).exists() {
        Config::new(&root)
    } else {
        drop(std::fs::remove_dir_all(&root));
        let watch = Stopwatch::start();
        let config = make(&root, rows)?;
        let inserted = rows as f64 / watch.elapsed().as_secs_f64();
        bench
            .report
            .add("rows entered in the index", inserted, "/s", Goal::None);
        std::fs::write(root.join(WHOLE), "")?;
        config
    };
    let r = &mut bench.report;

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let archive = runtime.block_on(Archive::open(&config))?;
    let days = rows / CAMERAS * SEGMENT_S as usize / 86_400;
    let of = |what: &str| format!("{what} at {rows} segments");
    let count = 2000;
    let mut timelines = Vec::with_capacity(count);
    let mut pages = Vec::with_capacity(count);
    for n in 0..count + 100 {
        let (camera, day) = (camera(rand::random_range(0..CAMERAS)), day(days));
        let watch = Stopwatch::start();
        let timeline = runtime.block_on(archive.timeline(&camera, day))?;
        let took = watch.ms();
        anyhow::ensure!(!timeline.ranges.is_empty(), "an empty day");
        let watch = Stopwatch::start();
        let page = runtime.block_on(archive.segments(SegmentQuery::new([camera], day)))?;
        anyhow::ensure!(page.items.len() > 90, "a short day");
        // The first ones warm the caches.
        if n >= 100 {
            timelines.push(took);
            pages.push(watch.ms());
        }
    }
    for (what, times) in [("timeline of a day", timelines), ("segments of a day", pages)] {
        let mut times = times;
        r.add(
            of(&format!("{what}, p50")),
            quantile(&mut times, 0.5),
            "ms",
            Goal::None,
        );
        r.add(
            of(&format!("{what}, p99")),
            quantile(&mut times, 0.99),
            "ms",
            Goal::AtMost(3.0),
        );
    }
    drop(archive);
    http(bench, &root, days, rows)
}

/// A random day of UTC.
fn day(days: usize) -> TimeRange {
    let start = BEGIN.add_ns(rand::random_range(0..days as i64 - 1) * DAY_NS);
    TimeRange::new(start, start.add_ns(DAY_NS)).unwrap_or(TimeRange::ALL)
}

/// An index of so many segments of fifteen minutes, without files; a run and a gap every few hours.
fn make(root: &Path, rows: usize) -> anyhow::Result<Config> {
    let (config, _tree, store) = footage::archive(root)?;
    let each = rows / CAMERAS;
    let length = SEGMENT_S * NS_PER_S;
    let mut batch = Vec::with_capacity(BATCH);
    for n in 0..each {
        for c in 0..CAMERAS {
            let start = BEGIN.add_ns(n as i64 * length);
            let run = (n / 30 * CAMERAS + c) as u64;
            let last_of_run = n % 30 == 29;
            let start = SegmentStart {
                camera: camera(c),
                run: RunId::from_u64(run + 1),
                sequence: (n % 30) as u32,
                anchor: Anchor {
                    utc: start,
                    steady_ns: 0,
                    running_ns: 0,
                },
                start,
                camera_start: None,
                container: Container::Fmp4,
                tracks: tracks(),
                masks: None,
                from_card: false,
            };
            batch.push(ClosedSegment {
                path: nvr_core::files::SegmentName::of(&start).path(),
                duration_ns: if last_of_run { length / 2 } else { length },
                size_bytes: 450_000_000,
                fragments: Vec::new(),
                hash: Some([c as u8; 32]),
                recovered: false,
                start,
            });
            if batch.len() == BATCH {
                store.insert_segments_blocking(std::mem::take(&mut batch))?;
            }
        }
    }
    store.insert_segments_blocking(batch)?;
    store.shutdown_blocking()?;
    Ok(config)
}

/// wrk asks for random days of random cameras, or for the same one again and again.
fn http(bench: &mut Bench, root: &Path, days: usize, rows: usize) -> anyhow::Result<()> {
    if Command::new("wrk").arg("-v").output().is_err() {
        eprintln!("  wrk is not installed: requests over HTTP are not measured");
        return Ok(());
    }
    let mut server = roles::start(&["server", "--root", &root.to_string_lossy()])?;
    let line = server.wait_for_line("listening", Duration::from_secs(30))?;
    let address = line.trim_start_matches("listening ");
    let script = bench.dir.join("days.lua");
    let seconds = if bench.quick { 4 } else { 8 };
    for what in ["timeline", "segments"] {
        std::fs::write(&script, lua(what, days))?;
        let out = Command::new("wrk")
            .args(["-t1", "-c16", &format!("-d{seconds}s"), "--latency", "-s"])
            .arg(&script)
            .arg(format!("http://{address}/"))
            .output()?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        anyhow::ensure!(!text.contains("Non-2xx"), "refused: {text}");
        let number = |name: &str| {
            text.lines()
                .find_map(|l| l.trim().strip_prefix(name)?.split_whitespace().next())
                .map(str::to_owned)
        };
        let rate: f64 = number("Requests/sec:").context("wrk gave no rate")?.parse()?;
        bench.report.add(
            format!("HTTP: {what} of a day at {rows} segments"),
            rate,
            "requests/s",
            Goal::AtLeast(2000.0),
        );
        if let Some(ms) = number("99%").and_then(|t| milliseconds(&t)) {
            bench.report.add(
                format!("HTTP: {what} of a day, 16 at once, p99"),
                ms,
                "ms",
                Goal::None,
            );
        }
    }
    Ok(())
}

fn lua(what: &str, days: usize) -> String {
    let begin = BEGIN.as_ns() / NS_PER_S;
    format!(
        "math.randomseed(1)\n\
         request = function()\n\
           local from = {begin} + 86400 * math.random(0, {})\n\
           local cam = math.random(0, {})\n\
           return wrk.format('GET', string.format(\
             '/api/v1/cameras/cam%02d/{what}?from=%d&to=%d', cam, from, from + 86400))\n\
         end\n",
        days.saturating_sub(2),
        CAMERAS - 1
    )
}

fn milliseconds(text: &str) -> Option<f64> {
    if let Some(n) = text.strip_suffix("ms") {
        return n.parse().ok();
    }
    if let Some(n) = text.strip_suffix("us") {
        return n.parse::<f64>().ok().map(|n| n / 1e3);
    }
    text.strip_suffix('s')?.parse::<f64>().ok().map(|n| n * 1e3)
}
