//! What ffprobe and ffmpeg say about a file or a stream: the second opinion of the tests.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::picture;

/// Sides of the strip of marks that ffmpeg is asked to cut out.
const STRIP_WIDTH: usize = 640;
const STRIP_HEIGHT: usize = STRIP_WIDTH / picture::COLUMNS * picture::ROWS;

/// Runs ffprobe with `args` on `input` (file or URL) and hands back its JSON.
///
/// # Errors
/// When ffprobe is missing or fails; the message holds what it printed.
pub fn ffprobe(input: &str, args: &[&str]) -> anyhow::Result<Value> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "json"]);
    if input.starts_with("rtsp://") {
        command.args(["-rtsp_transport", "tcp"]);
    }
    let out = run(command.args(args).arg(input))?;
    Ok(serde_json::from_slice(&out.stdout)?)
}

/// The streams of a file or URL, as ffprobe's `-show_streams`.
///
/// # Errors
/// As of [`ffprobe`].
pub fn streams(input: &str) -> anyhow::Result<Vec<Value>> {
    let mut found = ffprobe(input, &["-show_streams"])?;
    match found["streams"].take() {
        Value::Array(list) => Ok(list),
        _ => Ok(Vec::new()),
    }
}

/// The packets of one track, in file order.
///
/// # Errors
/// As of [`ffprobe`].
pub fn packets(file: &Path, track: &str) -> anyhow::Result<Vec<Packet>> {
    let found = ffprobe(
        &file.to_string_lossy(),
        &["-select_streams", track, "-show_packets"],
    )?;
    let list = found["packets"].as_array().context("ffprobe gave no packets")?;
    Ok(list
        .iter()
        .map(|p| Packet {
            pts: seconds(&p["pts_time"]),
            dts: seconds(&p["dts_time"]),
            duration: seconds(&p["duration_time"]),
            size: p["size"].as_str().and_then(|s| s.parse().ok()).unwrap_or(0),
            key: p["flags"].as_str().is_some_and(|f| f.starts_with('K')),
        })
        .collect())
}

fn seconds(v: &Value) -> Option<f64> {
    v.as_str().and_then(|s| s.parse().ok())
}

/// A packet as ffprobe sees it; times in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Packet {
    /// Presentation time.
    pub pts: Option<f64>,
    /// Decoding time.
    pub dts: Option<f64>,
    /// Duration.
    pub duration: Option<f64>,
    /// Bytes.
    pub size: u64,
    /// Marked as keyframe.
    pub key: bool,
}

/// Decodes every track of a file to nothing.
///
/// # Errors
/// When ffmpeg fails or complains about anything at all; the message holds its complaints.
pub fn decode_all(file: &Path) -> anyhow::Result<()> {
    let out = run(Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(file)
        // Decoding is judged, not times: what is written nowhere may come in any order, and close together.
        .args([
            "-map",
            "0",
            "-vsync",
            "vfr",
            "-enc_time_base",
            "-1",
            "-f",
            "null",
            "-",
        ]))?;
    let complaints = String::from_utf8_lossy(&out.stderr);
    ensure!(
        complaints.trim().is_empty(),
        "{}: ffmpeg complains: {complaints}",
        file.display()
    );
    Ok(())
}

/// The field `pic_order_cnt_lsb` of each slice of an H.264 file, in decoding order.
///
/// # Errors
/// When ffmpeg fails.
pub fn picture_order_counts(file: &Path) -> anyhow::Result<Vec<i64>> {
    let out = run(Command::new("ffmpeg").args(["-nostdin", "-i"]).arg(file).args([
        "-map",
        "0:v:0",
        "-c",
        "copy",
        "-bsf:v",
        "trace_headers",
        "-f",
        "null",
        "-",
    ]))?;
    let trace = String::from_utf8_lossy(&out.stderr);
    Ok(trace
        .lines()
        .filter(|l| l.contains(" pic_order_cnt_lsb "))
        .filter_map(|l| l.rsplit(' ').next()?.parse().ok())
        .collect())
}

/// The marks of one decoded frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Frame number, none where it cannot be read.
    pub number: Option<u32>,
    /// Low 32 bits of the wall clock in milliseconds; see [`picture::full_clock`].
    pub clock_low: Option<u32>,
}

/// Decodes the video of a file and reads the marks of each frame, in presentation order.
///
/// # Errors
/// When ffmpeg fails.
pub fn frame_marks(file: &Path) -> anyhow::Result<Vec<Marks>> {
    let filter = format!(
        "crop=iw:iw*{}/{}:0:0,scale={STRIP_WIDTH}:{STRIP_HEIGHT}:flags=area",
        picture::ROWS,
        picture::COLUMNS
    );
    let out = run(Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(file)
        .args([
            "-map",
            "0:v:0",
            "-vf",
            &filter,
            "-vsync",
            "passthrough",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-",
        ]))?;
    Ok(out
        .stdout
        .chunks_exact(STRIP_WIDTH * STRIP_HEIGHT)
        .map(|strip| Marks {
            number: picture::read_frame_number(strip, STRIP_WIDTH, STRIP_HEIGHT),
            clock_low: picture::read_clock_low(strip, STRIP_WIDTH, STRIP_HEIGHT),
        })
        .collect())
}

/// The frame numbers of a file in presentation order; unreadable frames are an error.
///
/// # Errors
/// When ffmpeg fails or a frame has no readable number.
pub fn frame_numbers(file: &Path) -> anyhow::Result<Vec<u32>> {
    frame_marks(file)?
        .iter()
        .enumerate()
        .map(|(i, m)| {
            m.number
                .with_context(|| format!("{}: frame {i} has no readable number", file.display()))
        })
        .collect()
}

/// The numbers missing between the first and the last of `numbers`, which must rise.
///
/// # Errors
/// When a number repeats or falls.
pub fn missing(numbers: &[u32]) -> anyhow::Result<Vec<u32>> {
    let mut holes = Vec::new();
    for pair in numbers.windows(2) {
        ensure!(
            pair[1] > pair[0],
            "frame {} comes after frame {}",
            pair[1],
            pair[0]
        );
        holes.extend(pair[0] + 1..pair[1]);
    }
    Ok(holes)
}

/// Records a stream for `seconds` of media time by copying its packets, over TCP; hands back what ffmpeg printed.
///
/// # Errors
/// When ffmpeg fails.
pub fn record(url: &str, seconds: f64, file: &Path) -> anyhow::Result<String> {
    let out = run(Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-nostdin",
            "-y",
            "-rtsp_transport",
            "tcp",
            "-i",
            url,
            "-c",
            "copy",
            "-t",
        ])
        .arg(seconds.to_string())
        .arg(file))?;
    Ok(String::from_utf8_lossy(&out.stderr).into_owned())
}

fn run(command: &mut Command) -> anyhow::Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}; is it installed?"))?;
    ensure!(
        out.status.success(),
        "{name} failed ({}): {}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(out)
}

/// Mean volume of a file's audio in decibels below full scale.
///
/// # Errors
/// When ffmpeg fails or the file has no audio.
pub fn loudness(file: &Path) -> anyhow::Result<f64> {
    let out = run(Command::new("ffmpeg").args(["-nostdin", "-i"]).arg(file).args([
        "-map",
        "0:a:0",
        "-af",
        "volumedetect",
        "-f",
        "null",
        "-",
    ]))?;
    let text = String::from_utf8_lossy(&out.stderr);
    text.lines()
        .find_map(|l| {
            l.split_once("mean_volume:")?
                .1
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .context("ffmpeg told no volume")
}

/// When a file's audio becomes loud, in seconds on the line of its packets.
///
/// # Errors
/// When ffmpeg fails or the file has no audio.
pub fn onsets(file: &Path) -> anyhow::Result<Vec<f64>> {
    const RATE: usize = 8000;
    // Samples of 20 ms.
    const STEP: usize = RATE / 50;
    let out = run(Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-copyts", "-i"])
        .arg(file)
        .args([
            "-map",
            "0:a:0",
            "-af",
            // Silence where nothing is, so that samples tell the time.
            "aresample=8000:async=1:min_hard_comp=0.02:first_pts=0",
            "-ac",
            "1",
            "-f",
            "s16le",
            "-",
        ]))?;
    let samples: Vec<i16> = out
        .stdout
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect();
    let loud: Vec<bool> = samples
        .chunks(STEP)
        .map(|step| step.iter().any(|s| s.unsigned_abs() > 3000))
        .collect();
    let begins = |n: &usize| loud[*n] && !loud[n.saturating_sub(5)..*n].contains(&true);
    Ok((0..loud.len()).filter(begins).map(|n| n as f64 / 50.0).collect())
}
