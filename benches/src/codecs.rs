//! Encoding footage again as H.265, beside `ffmpeg -c:v libx265` with the same preset, CRF and x265 parameters on the
//! same clips: the clips and the measuring are those of `nvr bench codecs`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow, ensure};
use nvr_core::bench::{self, BenchOptions, BenchSize, Clip};

use crate::Bench;
use crate::meter::{Stopwatch, children_cpu_s};
use crate::report::Goal;

const CRF: u8 = 26;
/// As the recorder sets x265 up for an archive.
const PARAMS: &str = "bframes=0:open-gop=0:scenecut=0:keyint=1000000:min-keyint=1:info=0:log-level=none";

/// What x265enc of GStreamer tunes for when it is not told.
const TUNE: &str = "ssim";

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let options = BenchOptions {
        sizes: BenchSize::ALL[..if bench.quick { 1 } else { 2 }].to_vec(),
        encoders: vec!["x265enc".into()],
        presets: ["ultrafast", "veryfast", "medium"].map(String::from).to_vec(),
        quality: CRF,
        frames: if bench.quick { 75 } else { 150 },
        ..BenchOptions::default()
    };
    let clips = bench::clips(&options, &bench.dir, |_| {})?;
    let out = bench.dir.join("codecs-out.mp4");
    for clip in &clips {
        for (encoder, preset) in bench::rows(&options) {
            let row = bench::measure(clip, encoder, preset, &options, &out);
            let ours = row
                .measured
                .map_err(|e| anyhow!("{} {preset} on {}: {e}", row.encoder, row.clip))?;
            let theirs = ffmpeg(clip, preset, &out)?;
            let (ssim, psnr_db) = bench::likeness(clip, &out, options.compare_every)?;
            let seconds = ours.frames as f64 / f64::from(nvr_core::bench::CLIP_FPS);
            let name = |what: &str| format!("H.265 {preset}, {}: {what}", clip.name);
            bench.report.beside(
                name("time for a minute"),
                60.0 / seconds * ours.frames as f64 / ours.fps,
                Some(60.0 / seconds * theirs.wall_s),
                "s",
                Goal::RatioAtMost(1.1),
            );
            bench.report.beside(
                name("processor time for a minute"),
                ours.cpu_s_per_min,
                Some(60.0 / seconds * theirs.cpu_s),
                "CPU s",
                Goal::RatioAtMost(1.1),
            );
            bench.report.beside(
                name("bit rate"),
                ours.bits_per_s / 1e6,
                Some(theirs.bytes as f64 * 8.0 / seconds / 1e6),
                "Mbit/s",
                Goal::RatioAtMost(1.02),
            );
            let goal = Goal::AtLeast(0.9);
            bench.report.beside(name("SSIM"), ours.ssim, Some(ssim), "", goal);
            bench
                .report
                .beside(name("PSNR"), ours.psnr_db, Some(psnr_db), "dB", Goal::None);
        }
    }
    Ok(())
}

struct Peer {
    wall_s: f64,
    cpu_s: f64,
    bytes: u64,
}

fn ffmpeg(clip: &Clip, preset: &str, out: &Path) -> anyhow::Result<Peer> {
    let crf = CRF.to_string();
    let cpu = children_cpu_s()?;
    let watch = Stopwatch::start();
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(&clip.path)
        .args([
            "-an",
            "-c:v",
            "libx265",
            "-preset",
            preset,
            "-tune",
            TUNE,
            "-crf",
            &crf,
            "-x265-params",
            PARAMS,
        ])
        .arg(out)
        .stdin(Stdio::null())
        .status()
        .context("ffmpeg")?;
    ensure!(status.success(), "ffmpeg failed on {}", clip.name);
    Ok(Peer {
        wall_s: watch.elapsed().as_secs_f64(),
        cpu_s: children_cpu_s()? - cpu,
        bytes: video_bytes(out)?,
    })
}

/// What the frames take, without the container's boxes.
fn video_bytes(file: &Path) -> anyhow::Result<u64> {
    let out = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "packet=size",
        ])
        .args(["-of", "csv=p=0"])
        .arg(file)
        .output()
        .context("ffprobe")?;
    let text = String::from_utf8(out.stdout)?;
    let sizes = text.lines().map(|l| l.trim_end_matches(',').parse::<u64>());
    let bytes = sizes.sum::<Result<u64, _>>()?;
    ensure!(bytes > 0, "no frames in {}", file.display());
    Ok(bytes)
}
