//! Looking for motion in 1080p25, keyframes only: in a camera that is being recorded, and in recorded footage.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nvr_core::archive::MotionSearch;
use nvr_core::config::Config;
use nvr_core::priority::process_cpu_ns;
use nvr_core::time::NS_PER_S;
use nvr_core::{Archive, CameraId, Nvr, SourceSpec, TimeRange};
use nvr_tests::{ReplayCam, ReplayOptions};

use crate::footage::{BEGIN, camera};
use crate::meter::Stopwatch;
use crate::report::Goal;
use crate::{Bench, footage, roles};

/// Of the clip.
const GOP_S: f64 = 2.0;

/// So long a camera is looked at.
const WINDOW: Duration = Duration::from_secs(20);

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    for gop_s in [2, 1] {
        let clip = bench.dir.join(format!("motion-{gop_s}.h264"));
        make_clip(&clip, gop_s)?;
        let cost = roles::runtime()?.block_on(live(&bench.dir, &clip, true))?;
        ensure!(cost.looks >= WINDOW.as_secs() / gop_s - 2, "{cost:?}");
        bench.report.add(
            format!("motion in a camera of 1080p25, GOP {gop_s} s, of a core"),
            cost.motion * 100.0,
            "%",
            Goal::AtMost(2.0),
        );
        if gop_s == 1 {
            let without = roles::runtime()?.block_on(live(&bench.dir, &clip, false))?;
            bench.report.add(
                "the same as all that recorder and camera took more",
                (cost.all - without.all) * 100.0,
                "%",
                Goal::None,
            );
        }
    }
    in_footage(bench)
}

/// Shares of a core.
#[derive(Debug)]
struct Cost {
    motion: f64,
    all: f64,
    looks: u64,
}

/// Records a clip as if from a camera, and looks for motion or does not.
async fn live(dir: &Path, clip: &Path, motion: bool) -> anyhow::Result<Cost> {
    let cam = ReplayCam::start(&ReplayOptions {
        file: Some(clip.to_owned()),
        paths: 1,
        ..ReplayOptions::default()
    })?;
    let root = dir.join("motion");
    let mut config = Config::new(&root);
    let source = SourceSpec::parse(&cam.url(0))?;
    let mut looked_at = nvr_core::config::CameraConfig::new(CameraId::new("cam")?, source);
    looked_at.motion.enabled = motion;
    config.cameras.push(looked_at);
    let nvr = Nvr::builder(config).start().await?;
    let camera = nvr.cameras().pop().context("no camera")?;
    // What is made once is made, and the place is learnt.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (before, all_before, time) = (camera.motion(), process_cpu_ns(), Stopwatch::start());
    tokio::time::sleep(WINDOW).await;
    let (after, all_after, seconds) = (camera.motion(), process_cpu_ns(), time.elapsed().as_secs_f64());
    ensure!(after.active == motion && after.trouble.is_none(), "{after:?}");
    nvr.shutdown(Duration::from_secs(10)).await;
    std::fs::remove_dir_all(root)?;
    Ok(Cost {
        motion: (after.cpu_ns - before.cpu_ns) as f64 / 1e9 / seconds,
        all: (all_after - all_before) as f64 / 1e9 / seconds,
        looks: after.frames - before.frames,
    })
}

/// As cameras encode: High profile, 4 Mbit/s, with noise in the picture.
fn make_clip(file: &Path, gop_s: u64) -> anyhow::Result<()> {
    let gop = (gop_s * 25).to_string();
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i"])
        .arg("testsrc2=size=1920x1080:rate=25:duration=10,noise=alls=4:allf=t,format=yuv420p")
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-profile:v",
            "high",
            "-bf",
            "0",
        ])
        .args([
            "-b:v",
            "4M",
            "-maxrate",
            "4M",
            "-bufsize",
            "4M",
            "-g",
            &gop,
            "-keyint_min",
            &gop,
        ])
        .args(["-sc_threshold", "0", "-f", "h264", "-y"])
        .arg(file)
        .status()?;
    ensure!(made.success(), "ffmpeg did not make the clip");
    Ok(())
}

fn in_footage(bench: &mut Bench) -> anyhow::Result<()> {
    let config = footage::hour(bench)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    nvr_core::gst::init()?;
    let archive = runtime.block_on(Archive::open(&config))?;
    let look = |from_s: i64, length_s: i64| {
        let begin = BEGIN.add_ns(from_s * NS_PER_S);
        let range = TimeRange::new(begin, begin.add_ns(length_s * NS_PER_S))?;
        let before = process_cpu_ns();
        let found = runtime.block_on(archive.find_motion(&camera(0), range, MotionSearch::default()))?;
        let cpu_ms = (process_cpu_ns() - before) as f64 / 1e6;
        ensure!(found.damaged == 0, "{found:?}");
        ensure!(found.keyframes as i64 >= length_s / 2 - 2, "{found:?}");
        Ok(cpu_ms / found.keyframes as f64)
    };
    // Plugins are loaded.
    look(0, 20)?;
    let each_ms = look(60, if bench.quick { 300 } else { 1200 })?;
    bench.report.add(
        "motion 1080p, processor time of a keyframe",
        each_ms,
        "ms",
        Goal::None,
    );
    for gop_s in [GOP_S, 1.0] {
        // Milliseconds a second are tenths of a percent.
        bench.report.add(
            format!("motion in footage, a keyframe each {gop_s} s, of a core"),
            each_ms / gop_s / 10.0,
            "%",
            Goal::AtMost(2.0),
        );
    }
    Ok(())
}
