//! A minute of two 1080p25 cameras beside each other, x264 ultrafast, beside ffmpeg's hstack on the same files with the same
//! quality.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use nvr_core::convert::{MergeParams, Watcher};
use nvr_core::time::NS_PER_S;
use nvr_core::{Archive, TimeRange};

use crate::footage::{BEGIN, camera};
use crate::meter::Stopwatch;
use crate::report::{Goal, median};
use crate::{Bench, footage};

/// Of footage, seconds.
const LENGTH_S: i64 = 60;
const FPS: i64 = 25;

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let config = footage::pair(bench)?;
    let files = footage::segments(&config.recorder.root);
    ensure!(files.len() == 2, "there are {} segments", files.len());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    nvr_core::gst::init()?;
    let archive = runtime.block_on(Archive::open(&config))?;
    let range = TimeRange::new(BEGIN, BEGIN.add_ns(LENGTH_S * NS_PER_S))?;
    let params = MergeParams::new(vec![camera(0), camera(1)], range);
    let out = bench.dir.join("merge.mp4");
    let (mut written, mut whole, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..if bench.quick { 1 } else { 3 } {
        let watch = Stopwatch::start();
        let mut encoded = 0.0;
        let mut progress = |_: f64, what: &str| {
            if what == "validating" {
                encoded = watch.elapsed().as_secs_f64();
            }
        };
        let watcher = Watcher {
            progress: &mut progress,
            stop: &|| false,
        };
        let made = archive.merge(&params, &out, watcher)?;
        whole.push(watch.elapsed().as_secs_f64());
        written.push(encoded);
        ensure!((made.width, made.height) == (3840, 1080), "{made:?}");
        ensure!(made.warnings.is_empty(), "{made:?}");
        ensure!(made.encoder == "x264enc", "{made:?}");
        frames(&out)?;
        std::fs::remove_file(&out)?;
        let watch = Stopwatch::start();
        hstack(&files[0], &files[1], config.transcode.playback.quality, &out)?;
        peers.push(watch.elapsed().as_secs_f64());
        frames(&out)?;
        std::fs::remove_file(&out)?;
    }
    let (written, whole, peer) = (median(&mut written), median(&mut whole), median(&mut peers));
    let r = &mut bench.report;
    let name = "two 1080p25 side by side, x264 ultrafast";
    r.beside(
        format!("{name}: a minute"),
        written,
        Some(peer),
        "s",
        Goal::RatioAtMost(1.1),
    );
    r.beside(
        format!("{name}: times as fast as real time"),
        LENGTH_S as f64 / written,
        Some(LENGTH_S as f64 / peer),
        "x",
        Goal::AtLeast(3.0),
    );
    r.add(
        format!("{name}: a minute, with decoding the result whole"),
        whole,
        "s",
        Goal::None,
    );
    Ok(())
}

fn hstack(left: &Path, right: &Path, quality: u8, out: &Path) -> anyhow::Result<()> {
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(left)
        .arg("-i")
        .arg(right)
        .args([
            "-filter_complex",
            "hstack=inputs=2",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
        ])
        .args(["-crf", &quality.to_string(), "-y"])
        .arg(out)
        .status()?;
    ensure!(done.success(), "ffmpeg failed");
    Ok(())
}

/// Both must have made all of it.
fn frames(file: &Path) -> anyhow::Result<()> {
    let flags = [
        "-count_packets",
        "-show_entries",
        "stream=nb_read_packets",
        "-select_streams",
        "v",
    ];
    let found = nvr_tests::judge::ffprobe(&file.to_string_lossy(), &flags)?;
    let frames: i64 = found["streams"][0]["nb_read_packets"]
        .as_str()
        .unwrap_or_default()
        .parse()?;
    let wanted = LENGTH_S * FPS;
    ensure!(
        (frames - wanted).abs() <= 2,
        "{} has {frames} frames",
        file.display()
    );
    Ok(())
}
