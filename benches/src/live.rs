//! How soon footage is on disk and frames are at a viewer, and how much a killed recorder takes along.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nvr_core::live::{Live, StreamKind};
use nvr_tests::{ReplayCam, ReplayOptions, wait};

use crate::meter::Stopwatch;
use crate::report::{Goal, median, quantile};
use crate::{Bench, Client, footage, roles};

const FRAME_S: f64 = 0.04;

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let long = bench.dir.join("long-gop.h264");
    long_gop(&long)?;
    for client in bench.ingest.clone() {
        lives(bench, client, &long)?;
        let root = bench.dir.join(format!("watched-{}", client.name()));
        let mut delays = roles::runtime()?.block_on(watch(&root, client, 250))?;
        std::fs::remove_dir_all(root)?;
        for (name, q) in [("median", 0.5), ("99 of 100", 0.99)] {
            bench.report.add(
                format!("from camera to viewer, {}, {name}", client.name()),
                quantile(&mut delays, q),
                "ms",
                Goal::None,
            );
        }
    }
    Ok(())
}

/// The rows of one client.
fn lives(bench: &mut Bench, client: Client, long: &Path) -> anyhow::Result<()> {
    let times = if bench.quick { 4 } else { 8 };
    let mut starts = Vec::new();
    let mut losses = Vec::new();
    for n in 0..times {
        let options = ReplayOptions {
            // Every other time a clip whose groups of pictures last ten seconds.
            file: (n % 2 == 1).then(|| long.to_owned()),
            paths: 1,
            ..ReplayOptions::default()
        };
        let cam = ReplayCam::start(&options)?;
        let root = bench.dir.join(format!("live-{}-{n}", client.name()));
        let (start_s, lost_s) = one_life(&cam, &root, client)?;
        starts.push(start_s);
        losses.push(lost_s);
        std::fs::remove_dir_all(root)?;
    }
    let (r, client) = (&mut bench.report, client.name());
    r.add(
        format!("first chunk on disk after PLAY, {client}, median of {times}"),
        median(&mut starts),
        "s",
        Goal::None,
    );
    r.add(
        format!("first chunk on disk after PLAY, {client}, worst of {times}"),
        quantile(&mut starts, 1.0),
        "s",
        Goal::AtMost(1.0),
    );
    r.add(
        format!("lost on kill -9, GOP 2 to 10 s, {client}, worst of {times}"),
        quantile(&mut losses, 1.0),
        "s",
        Goal::AtMost(0.5),
    );
    Ok(())
}

/// Milliseconds from the camera's kernel to a viewer in the recorder's process, of so many frames.
async fn watch(root: &Path, client: Client, frames: usize) -> anyhow::Result<Vec<f64>> {
    let cam = ReplayCam::start(&ReplayOptions {
        paths: 1,
        ..ReplayOptions::default()
    })?;
    let nvr = roles::nvr(root.to_owned(), 60, client, &[cam.url(0)])?
        .start()
        .await?;
    let camera = nvr.cameras().pop().context("no camera")?;
    let mut viewer = camera.watch(StreamKind::Main, 256);
    // The beginning and the group of pictures that was there come at once.
    let settled = Stopwatch::start();
    let mut delays = Vec::with_capacity(frames);
    while delays.len() < frames {
        let live = tokio::time::timeout(Duration::from_secs(20), viewer.next()).await?;
        let Live::Frame(unit) = live.context("the camera is gone")? else {
            continue;
        };
        let since = cam.since_sent_ns(u32::try_from(unit.size_bytes())?);
        if let Some(ns) = since.filter(|_| settled.elapsed() > Duration::from_secs(5)) {
            delays.push(ns as f64 / 1e6);
        }
    }
    nvr.shutdown(Duration::from_secs(10)).await;
    Ok(delays)
}

/// From start to SIGKILL: seconds to the first chunk, seconds of footage lost.
fn one_life(cam: &ReplayCam, root: &Path, client: Client) -> anyhow::Result<(f64, f64)> {
    let mut recorder = roles::start(&[
        "recorder",
        "--root",
        &root.to_string_lossy(),
        "--ingest",
        client.name(),
        &cam.url(0),
    ])?;
    let limit = Duration::from_secs(30);
    let spin = Duration::from_millis(1);
    let waited = Stopwatch::start();
    while cam.playing() == 0 {
        ensure!(waited.elapsed() < limit, "no PLAY");
        std::thread::sleep(spin);
    }
    let watch = Stopwatch::start();
    loop {
        let file = footage::segments(root).pop();
        if let Some(file) = file
            && std::fs::metadata(&file).is_ok_and(|m| m.len() > 4096)
            && !footage::read(&file)?.index.fragments.is_empty()
        {
            break;
        }
        ensure!(watch.elapsed() < limit, "no footage");
        std::thread::sleep(spin);
    }
    let start_s = watch.elapsed().as_secs_f64();
    // Any moment within a chunk.
    let frames = 50 + u64::from(rand::random::<u8>() / 2);
    wait::until_true("footage", limit, || cam.frames_sent() > frames)?;
    std::thread::sleep(Duration::from_millis(u64::from(rand::random::<u8>())));
    let sent = cam.frames_sent();
    recorder.kill()?;
    let files = footage::segments(root);
    ensure!(!files.is_empty(), "no file");
    // The minute may have ended in between.
    let mut recorded = 0;
    for file in &files {
        recorded += footage::frames(file)?.len() as u64;
    }
    Ok((start_s, sent.saturating_sub(recorded) as f64 * FRAME_S))
}

fn long_gop(file: &Path) -> anyhow::Result<()> {
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=640x360:rate=25:duration=10",
        ])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"])
        .args([
            "-bf",
            "0",
            "-g",
            "250",
            "-keyint_min",
            "250",
            "-sc_threshold",
            "0",
            "-f",
            "h264",
            "-y",
        ])
        .arg(file)
        .status()?;
    ensure!(made.success(), "ffmpeg did not make the clip");
    Ok(())
}
