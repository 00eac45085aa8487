//! Pictures of moments in an hour of 1080p, beside ffmpeg seeking the same ones.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use nvr_core::time::NS_PER_S;
use nvr_core::{Archive, SnapshotRequest};

use crate::footage::{BEGIN, SEGMENT_S, camera};
use crate::meter::Stopwatch;
use crate::report::{Goal, quantile};
use crate::{Bench, footage};

/// Between two keyframes of the clip.
const GOP_NS: i64 = 2 * NS_PER_S;

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let config = footage::hour(bench)?;
    let files = footage::segments(&config.recorder.root);
    ensure!(files.len() == 4, "the hour has {} segments", files.len());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    nvr_core::gst::init()?;
    let archive = runtime.block_on(Archive::open(&config))?;
    let count = if bench.quick { 30 } else { 100 };
    let jpeg = bench.dir.join("peer.jpg");
    for (what, exact, within) in [
        ("keyframe at a moment", false, GOP_NS),
        ("exact frame, GOP 2 s", true, GOP_NS),
        // As much to decode as where there is a keyframe every second.
        ("exact frame, GOP 1 s", true, NS_PER_S),
    ] {
        let (mut times, mut peers) = (Vec::new(), Vec::new());
        for n in 0..count + 3 {
            let group = rand::random_range(0..3600 * NS_PER_S / GOP_NS);
            let offset = group * GOP_NS + rand::random_range(0..within);
            let mut request = SnapshotRequest::new(camera(0), Some(BEGIN.add_ns(offset)));
            request.exact = exact;
            let watch = Stopwatch::start();
            let picture = runtime.block_on(archive.snapshot(request))?;
            let ms = watch.ms();
            ensure!(picture.jpeg.len() > 10_000, "an empty picture");
            // The first ones load plugins.
            if n < 3 {
                continue;
            }
            times.push(ms);
            if exact {
                peers.push(seek(&files, offset, &jpeg)?);
            }
        }
        for (name, q, goal) in [("p50", 0.5, Goal::None), ("p99", 0.99, Goal::AtMost(60.0))] {
            let peer = (!peers.is_empty()).then(|| quantile(&mut peers, q));
            bench.report.beside(
                format!("snapshot 1080p, {what}, {name}"),
                quantile(&mut times, q),
                peer,
                "ms",
                goal,
            );
        }
    }
    std::fs::remove_file(jpeg).context("ffmpeg made no picture")
}

/// What ffmpeg says it needs for the same picture in milliseconds: decoding from the keyframe on and encoding, with as
/// many threads as it likes. Its start and finding the place in the file are not in it.
fn seek(files: &[PathBuf], offset_ns: i64, jpeg: &Path) -> anyhow::Result<f64> {
    let file = usize::try_from(offset_ns / (SEGMENT_S * NS_PER_S))?;
    let seconds = (offset_ns % (SEGMENT_S * NS_PER_S)) as f64 / NS_PER_S as f64;
    let out = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-benchmark",
            "-y",
            "-ss",
            &format!("{seconds:.3}"),
            "-i",
        ])
        .arg(files.get(file).context("no such segment")?)
        .args(["-frames:v", "1", "-q:v", "3", "-f", "mjpeg"])
        .arg(jpeg)
        .output()?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "ffmpeg failed: {said}");
    let took = said
        .split("rtime=")
        .nth(1)
        .and_then(|t| t.split('s').next())
        .with_context(|| format!("ffmpeg told no time: {said}"))?;
    Ok(took.parse::<f64>()? * 1000.0)
}
