//! How soon footage is on disk, and how much of it a killed recorder takes along.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nvr_tests::{ReplayCam, ReplayOptions, wait};

use crate::meter::Stopwatch;
use crate::report::{Goal, median, quantile};
use crate::{Bench, footage, roles};

const FRAME_S: f64 = 0.04;

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let times = if bench.quick { 3 } else { 8 };
    let long = bench.dir.join("long-gop.h264");
    long_gop(&long)?;
    let mut starts = Vec::new();
    let mut losses = Vec::new();
    for n in 0..times {
        let options = ReplayOptions {
            // Every other time a clip whose groups of pictures last ten seconds.
            file: (n % 2 == 1).then(|| long.clone()),
            paths: 1,
            ..ReplayOptions::default()
        };
        let cam = ReplayCam::start(&options)?;
        let root = bench.dir.join(format!("live-{n}"));
        let (start_s, lost_s) = one_life(&cam, &root)?;
        starts.push(start_s);
        losses.push(lost_s);
        std::fs::remove_dir_all(root)?;
    }
    let r = &mut bench.report;
    r.add(
        format!("first chunk on disk after PLAY, median of {times}"),
        median(&mut starts),
        "s",
        Goal::None,
    );
    r.add(
        format!("first chunk on disk after PLAY, worst of {times}"),
        quantile(&mut starts, 1.0),
        "s",
        Goal::AtMost(1.0),
    );
    r.add(
        format!("lost on kill -9, GOP 1 to 10 s, worst of {times}"),
        quantile(&mut losses, 1.0),
        "s",
        Goal::AtMost(0.5),
    );
    Ok(())
}

/// From start to SIGKILL: seconds to the first chunk, seconds of footage lost.
fn one_life(cam: &ReplayCam, root: &Path) -> anyhow::Result<(f64, f64)> {
    let mut recorder = roles::start(&["recorder", "--root", &root.to_string_lossy(), &cam.url(0)])?;
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
    let file = footage::segments(root).pop().context("no file")?;
    let recorded = footage::frames(&file)?.len() as u64;
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
