//! Measuring: one encoder, one preset, one clip at a time.

use std::path::{Path, PathBuf};

use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::{self, ArchiveEncoder, ArchiveSettings, CLIP_FPS, FileRecode, Outcome, RecodeFault, Scene};
use crate::track::VideoCodec;

/// Sizes of the generated clips.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BenchSize {
    /// Its name.
    pub name: &'static str,
    /// Pixels.
    pub size: (u32, u32),
}

impl BenchSize {
    /// 720p, 1080p and 4K.
    pub const ALL: [Self; 3] = [
        Self {
            name: "720p",
            size: (1280, 720),
        },
        Self {
            name: "1080p",
            size: (1920, 1080),
        },
        Self {
            name: "4k",
            size: (3840, 2160),
        },
    ];
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Sizes of generated clips.
    pub sizes: Vec<BenchSize>,
    /// Encoders by name; all if empty.
    pub encoders: Vec<String>,
    /// Presets by name; all that an encoder has if empty.
    pub presets: Vec<String>,
    /// Constant quality.
    pub quality: u8,
    /// Threads of encoders on the processor; 0: as many as they like.
    pub threads: u32,
    /// Frames of a generated clip.
    pub frames: u32,
    /// Every so many frames are compared.
    pub compare_every: u32,
    /// A file of the user's own.
    pub file: Option<PathBuf>,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self {
            sizes: BenchSize::ALL.to_vec(),
            encoders: Vec::new(),
            presets: Vec::new(),
            quality: 26,
            threads: 0,
            frames: 4 * CLIP_FPS,
            compare_every: 5,
            file: None,
        }
    }
}

/// A clip to measure on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clip {
    /// Its name.
    pub name: String,
    /// Pixels.
    pub size: (u32, u32),
    /// H.264 (or H.265) in MP4.
    pub path: PathBuf,
    /// Its codec.
    pub codec: VideoCodec,
}

/// What one run brought.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct Measured {
    /// Frames encoded.
    pub frames: u64,
    /// Frames per second of wall time.
    pub fps: f64,
    /// Processor seconds for a minute of footage, decoding included.
    pub cpu_s_per_min: f64,
    /// Bits per second of footage.
    pub bits_per_s: f64,
    /// Mean structural similarity to the clip.
    pub ssim: f64,
    /// Peak signal to noise ratio to the clip in dB.
    pub psnr_db: f64,
}

/// One line of the table.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Row {
    /// Clip.
    pub clip: String,
    /// Pixels.
    pub size: (u32, u32),
    /// Encoder.
    pub encoder: String,
    /// Preset; empty when it has none.
    pub preset: String,
    /// Constant quality asked for.
    pub quality: u8,
    /// What it brought, or why nothing (as JSON `{"error": …}`).
    #[serde(serialize_with = "figures_or_error")]
    pub measured: Result<Measured, String>,
}

fn figures_or_error<S: serde::Serializer>(
    measured: &Result<Measured, String>,
    to: S,
) -> std::result::Result<S::Ok, S::Error> {
    match measured {
        Ok(m) => serde::Serialize::serialize(m, to),
        Err(e) => serde::Serialize::serialize(&serde_json::json!({ "error": e }), to),
    }
}

/// The clips of these options, generated into `dir` where need be.
///
/// # Errors
/// `NotFound` or `Unsupported` for a file that cannot be used, `Storage` when a clip cannot be written.
pub fn clips(options: &BenchOptions, dir: &Path, mut told: impl FnMut(&str)) -> Result<Vec<Clip>> {
    let mut all = Vec::new();
    for size in &options.sizes {
        for scene in [Scene::Street, Scene::Night] {
            let name = format!("{} {}", scene.name(), size.name);
            told(&format!("making the clip {name}"));
            let path = dir.join(format!("{}-{}.mp4", scene.name(), size.name));
            gst::write_clip(scene, size.size, options.frames, &path)?;
            all.push(Clip {
                name,
                size: size.size,
                path,
                codec: VideoCodec::H264,
            });
        }
    }
    if let Some(file) = &options.file {
        let (codec, size) = gst::video_of(file)?;
        all.push(Clip {
            name: file
                .file_name()
                .map_or("file".into(), |n| n.to_string_lossy().into_owned()),
            size,
            path: file.clone(),
            codec,
        });
    }
    Ok(all)
}

/// Encoders and presets that the options ask for and that are installed.
#[must_use]
pub fn rows(options: &BenchOptions) -> Vec<(&'static ArchiveEncoder, &'static str)> {
    gst::ARCHIVE_H265
        .iter()
        .filter(|e| options.encoders.is_empty() || options.encoders.iter().any(|n| n == e.name))
        .filter(|e| {
            let small = ArchiveSettings::default();
            !matches!(
                e.try_at((640, 360), &small, std::time::Duration::from_secs(30)),
                Outcome::Absent
            )
        })
        .flat_map(|e| {
            let presets: Vec<&'static str> = if e.presets.is_empty() {
                vec![""]
            } else {
                e.presets.to_vec()
            };
            presets.into_iter().map(move |p| (e, p))
        })
        .filter(|(_, p)| options.presets.is_empty() || options.presets.iter().any(|w| w == p))
        .collect()
}

/// Measures one encoder with one preset on one clip; the new file goes to `out`.
#[must_use]
pub fn measure(
    clip: &Clip,
    encoder: &'static ArchiveEncoder,
    preset: &str,
    options: &BenchOptions,
    out: &Path,
) -> Row {
    let settings = ArchiveSettings {
        quality: options.quality,
        preset: Some(preset.to_owned()),
        threads: options.threads,
        ..ArchiveSettings::default()
    };
    let measured = run(clip, encoder, &settings, options.compare_every, out).map_err(|e| e.to_string());
    Row {
        clip: clip.name.clone(),
        size: clip.size,
        encoder: encoder.name.into(),
        preset: preset.to_owned(),
        quality: options.quality,
        measured,
    }
}

fn run(
    clip: &Clip,
    encoder: &'static ArchiveEncoder,
    settings: &ArchiveSettings,
    every: u32,
    out: &Path,
) -> Result<Measured> {
    let clock = SystemClock::new();
    let cpu = crate::priority::process_cpu_ns();
    let done: FileRecode = gst::recode_file(&clip.path, clip.codec, encoder, settings, out)?;
    let elapsed_ns = clock.steady_ns();
    let cpu_ns = crate::priority::process_cpu_ns().saturating_sub(cpu);
    let (ssim, psnr_db) = likeness(clip, out, every)?;
    let seconds = (done.duration_ns as f64 / 1e9).max(1e-9);
    Ok(Measured {
        frames: done.frames,
        fps: done.frames as f64 / (elapsed_ns as f64 / 1e9).max(1e-9),
        cpu_s_per_min: cpu_ns as f64 / 1e9 / seconds * 60.0,
        bits_per_s: done.video_bytes as f64 * 8.0 / seconds,
        ssim,
        psnr_db,
    })
}

/// How like a clip an H.265 file made of it looks: SSIM and PSNR in dB of the luma of one frame in `every`.
///
/// # Errors
/// `Corrupt` when one of them cannot be decoded or their frames are not at the same times.
pub fn likeness(clip: &Clip, file: &Path, every: u32) -> Result<(f64, f64)> {
    let compared = gst::compare(
        (&clip.path, clip.codec),
        (file, VideoCodec::H265),
        None,
        every,
        None,
        None,
        &mut || gst::Gate::Go,
    );
    match compared {
        Ok(c) => Ok((c.ssim, c.psnr_db)),
        Err(RecodeFault::Other(e)) => Err(e),
        Err(e) => Err(Error::new(ErrorKind::Corrupt, e.to_string())),
    }
}
