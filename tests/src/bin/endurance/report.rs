//! The figures as a table.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::ensure;
use nvr_core::clock::{Clock as _, SystemClock};
use nvr_core::time::NS_PER_S;
use nvr_tests::judge;

use crate::Told;
use crate::setting::{CAMS, PRESET, QUALITY};
use crate::verdict::Verdict;

const MB: f64 = 1e6;

fn percent(part: f64, of: f64) -> f64 {
    if of > 0.0 { 100.0 * part / of } else { 0.0 }
}

/// Prints.
///
/// # Errors
/// When ffmpeg, which is measured for comparison, fails.
pub async fn print(told: &Told, v: &Verdict, disk_bytes: u64) -> anyhow::Result<()> {
    let wall = told.wall.as_secs_f64();
    let recorded = v.recorded_bytes as f64;
    println!("\nsegments");
    println!(
        "  recorded              {:6}  {:8.1} MB, {:.1} times the disk",
        v.segments,
        recorded / MB,
        recorded / disk_bytes as f64
    );
    println!(
        "  here                  {:6}  {:8.1} MB",
        v.local,
        v.local_bytes as f64 / MB
    );
    println!(
        "  only remote           {:6}  {:8.1} MB",
        v.remote,
        v.remote_bytes as f64 / MB
    );
    println!("  copies, hash compared {:6}", v.objects);
    println!("  encoded as H.265      {:6}", v.h265);
    println!("  tried, original kept  {:6}", v.originals_kept);
    println!("\nencoding again   segments  MB before   MB after   saved   SSIM  worst   PSNR   fps");
    for t in &v.totals {
        let (before, after) = (t.before_bytes as f64, t.after_bytes as f64);
        let fps = CAMS
            .iter()
            .find(|c| c.id == t.camera.as_str())
            .map_or(0, |c| c.fps);
        let frames = t.footage_ns as f64 / NS_PER_S as f64 * f64::from(fps);
        println!(
            "  {:14} {:8} {:10.1} {:10.1} {:6.1}% {:6.4} {:6.4} {:6.1} {:5.1}",
            t.camera.as_str(),
            t.done,
            before / MB,
            after / MB,
            percent(before - after, before),
            t.ssim.unwrap_or(f64::NAN),
            t.worst_ssim.unwrap_or(f64::NAN),
            t.psnr_db.unwrap_or(f64::NAN),
            if t.kept == 0 {
                frames / (t.elapsed_ns.max(1) as f64 / NS_PER_S as f64)
            } else {
                f64::NAN
            },
        );
    }
    let ffmpeg = ffmpeg(told).await?;
    println!(
        "  fps: frames of a segment read, encoded, decoded twice and compared, by the time of all of it;"
    );
    println!(
        "  ffmpeg's libx265, same preset, CRF and one thread, only decoding and encoding: {ffmpeg:.1} fps"
    );
    println!("\nrecording");
    for cam in &CAMS {
        println!(
            "  {:14} {:6} frames, none missing within a run; the kill cost {} ms",
            cam.id,
            v.frames.get(cam.id).copied().unwrap_or(0),
            v.lost_ms.get(cam.id).map_or_else(|| "?".into(), i64::to_string),
        );
    }
    println!("\nmachine");
    println!(
        "  processor     {:.1} s in {wall:.0} s: {:.1} % of one core, everything included",
        told.cpu.as_secs_f64(),
        percent(told.cpu.as_secs_f64(), wall)
    );
    println!("  memory        {:.0} MB at most", told.memory_kb as f64 / 1000.0);
    println!(
        "  disk          {:.1} MB of {:.1} MB free at worst",
        told.watch.least() as f64 / MB,
        disk_bytes as f64 / MB
    );
    if !v.wrong.is_empty() {
        println!("\nwrong");
        for w in &v.wrong {
            println!("  {w}");
        }
    }
    Ok(())
}

/// Frames a second that ffmpeg makes of the sample.
async fn ffmpeg(told: &Told) -> anyhow::Result<f64> {
    let sample = told.sample.clone();
    tokio::task::spawn_blocking(move || {
        let frames = judge::packets(&sample, "v:0")?.len();
        let clock = SystemClock::new();
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-threads", "1", "-i"])
            .arg(&sample)
            .args([
                "-an",
                "-c:v",
                "libx265",
                "-preset",
                PRESET,
                "-crf",
                &QUALITY.to_string(),
            ])
            .args([
                "-x265-params",
                "pools=1:frame-threads=1:log-level=none",
                "-f",
                "null",
                "-",
            ])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        ensure!(status.success(), "ffmpeg did not encode the sample");
        let took = Duration::from_nanos(clock.steady_ns().max(1).cast_unsigned());
        Ok(frames as f64 / took.as_secs_f64())
    })
    .await?
}
