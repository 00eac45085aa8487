//! `[transcode]`: encoding H.264 footage again as H.265, to save space.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::{At, Reader, Section, section};
use super::values::{Bytes, Ratio, Span, Text, Word};
use crate::ids::CameraId;
use crate::priority::{IoClass, Priority};
use crate::track::H265_ENCODERS;
use crate::window::Windows;

/// Encoding H.264 footage again as H.265.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct TranscodeConfig {
    /// Whether footage is encoded again by itself (default: no). On demand it is at any time.
    pub enabled: bool,
    /// Only that of these cameras; all if empty.
    pub cameras: Vec<CameraId>,
    /// Footage older than this (0 to 520 weeks; default 1 day).
    pub after: Duration,
    /// Segments no smaller than this (default 1 MiB).
    pub min_bytes: u64,
    /// When, unless somebody waits for it (default: always).
    pub window: Windows,
    /// Encoders by name, the most wanted first; those that are not named come after, the quickest first.
    pub encoders: Vec<String>,
    /// Preset, by the encoder's own name.
    pub preset: Option<String>,
    /// Constant quality: x265's CRF, the quantiser of others; 0 (best) to 51 (default 26).
    pub quality: u8,
    /// Threads of an encoder on the processor; 0: as many as it likes (default 1).
    pub threads: u32,
    /// What its threads may take of the machine (default: nice 19, I/O class idle).
    pub priority: Priority,
    /// Segments at once (1 to 16; default 1).
    pub max_running: usize,
    /// The least structural similarity to the original, 0 to 1 (default 0.95).
    pub min_ssim: f64,
    /// The least peak signal to noise ratio to the original in dB (default 0: SSIM decides).
    pub min_psnr_db: u64,
    /// Every so many frames are compared (1 to 1000; default 5).
    pub compare_every: u32,
    /// By how much a segment must become smaller, in percent (0 to 90; default 10).
    pub smaller_by_percent: u64,
    /// How long the original is kept (0 to 30 days; default 0).
    pub keep_original: Duration,
    /// How long is believed what trying an encoder brought (1 min to 30 days; default 1 day).
    pub probe_keep: Duration,
    /// H.265 footage that is encoded as H.264 while it is looked at.
    pub playback: PlaybackConfig,
}

/// Footage that is encoded as H.264 while it is looked at or exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PlaybackConfig {
    /// Stretches at once (0 to 16; default 2); 0: none, who asks is refused.
    pub max_running: usize,
    /// Constant quality: x264's CRF, the quantiser of others; 0 (best) to 51 (default 23).
    pub quality: u8,
    /// Pictures higher than this are made smaller for playlists; 0: none (default 1080).
    pub max_height: u32,
    /// Bytes of memory for what was encoded for playlists (default 64 MiB).
    pub cache_bytes: u64,
    /// What its threads may take of the machine: that of `[transcode]`.
    pub priority: Priority,
}

impl Default for PlaybackConfig {
    fn default() -> Self {
        Self {
            max_running: 2,
            quality: 23,
            max_height: 1080,
            cache_bytes: 64 << 20,
            priority: Priority::default(),
        }
    }
}

impl Default for TranscodeConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            cameras: Vec::new(),
            after: Duration::from_secs(86_400),
            min_bytes: 1 << 20,
            window: Windows::always(),
            encoders: Vec::new(),
            preset: None,
            quality: 26,
            threads: 1,
            priority: Priority::default(),
            max_running: 1,
            min_ssim: 0.95,
            min_psnr_db: 0,
            compare_every: 5,
            smaller_by_percent: 10,
            keep_original: Duration::ZERO,
            probe_keep: Duration::from_secs(86_400),
            playback: PlaybackConfig::default(),
        }
    }
}

section! {
    /// Encoding H.264 footage again as H.265, to save space. The original goes only after the new file was decoded
    /// whole and compared with it. Recording comes first: see also `jobs.max_load_percent` and `jobs.max_backlog`.
    RawTranscode requires [] {
        /// Whether footage is encoded again by itself. Can be switched at run time; `nvr transcode` works either way.
        enabled: bool = false,
        /// Only the footage of these cameras: ids, separated by commas. All by default.
        cameras: Text,
        /// Footage older than this, 0 s to 520 weeks.
        after: Span = "1d",
        /// Segments no smaller than this.
        min_size: Bytes = "1MiB",
        /// When: `"02:00-06:00"`, also over midnight, several with commas, in `recorder.time_zone`; at any time by
        /// default. What was asked for by hand runs at any time.
        window: Text,
        /// Encoders that are taken first, in this order, separated by commas: `nvh265enc`, `qsvh265enc`, `vah265enc`,
        /// `vah265lpenc`, `vaapih265enc`, `v4l2h265enc`, `msdkh265enc`, `x265enc`. By default the quickest that works
        /// at the footage's size.
        encoders: Text,
        /// Preset by the encoder's own name (x265: `ultrafast` to `placebo`, of which few machines keep up beyond `medium`); each encoder's own default otherwise.
        preset: Text,
        /// Constant quality, 0 (best) to 51: x265's CRF, the quantiser of others.
        quality: u64 = 26,
        /// Threads of an encoder on the processor, 0 to 64; 0 lets it take them all.
        threads: u64 = 1,
        /// Nice value of its threads, 0 to 19.
        nice: u64 = 19,
        /// I/O class of its threads.
        io: Word<IoClass> = "idle",
        /// Segments at once, 1 to 16.
        max_running: u64 = 1,
        /// The least structural similarity to the original, 0 to 1; below it the original stays.
        min_ssim: Ratio = 0.95,
        /// The least peak signal to noise ratio to the original in dB, 0 to 100; 0 leaves it to `min_ssim`.
        min_psnr: u64 = 0,
        /// Every so many frames are compared, 1 to 1000. All are decoded and their times compared.
        compare_every: u64 = 5,
        /// By how much a segment must become smaller, in percent, 0 to 90; else the original stays.
        smaller_by: u64 = 10,
        /// How long the original is kept after it was replaced (in `.nvr-transcode`), 0 s to 30 days.
        keep_original: Span = "0s",
        /// How long is believed what trying an encoder brought, 1 min to 30 days.
        probe_keep: Span = "1d",
        /// So many stretches of footage are encoded as H.264 at once for those who look at it with `codec=h264`, 0 to
        /// 16; 0 refuses it.
        playback_max_running: u64 = 2,
        /// Constant quality of that, 0 (best) to 51: x264's CRF, the quantiser of others.
        playback_quality: u64 = 23,
        /// Pictures that are higher are made smaller for playlists, 120 to 4320 pixels; 0 leaves all as they are.
        playback_max_height: u64 = 1080,
        /// Memory for what was encoded for playlists, up to 4 GiB: who goes back finds it there.
        playback_cache: Bytes = "64MiB",
    }
}

const fn spans(from_s: u64, to_s: u64) -> RangeInclusive<Span> {
    RangeInclusive::new(Span(Duration::from_secs(from_s)), Span(Duration::from_secs(to_s)))
}

const DAY_S: u64 = 86_400;

impl TranscodeConfig {
    /// Reads the section; `zone` is the recorder's time zone.
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>, zone: &str) -> Self {
        let raw = RawTranscode::read(reader, section);
        let mut out = Self::default();
        for (field, bounds, to) in [
            (&raw.after, spans(0, 520 * 7 * DAY_S), &mut out.after),
            (&raw.keep_original, spans(0, 30 * DAY_S), &mut out.keep_original),
            (&raw.probe_keep, spans(60, 30 * DAY_S), &mut out.probe_keep),
        ] {
            if let Some(d) = reader.within(field.as_ref(), &bounds) {
                *to = d.0;
            }
        }
        if let Some(at) = &raw.enabled {
            out.enabled = at.value;
        }
        if let Some(at) = &raw.min_size {
            out.min_bytes = at.value.0;
        }
        for name in words(raw.cameras.as_ref()) {
            match CameraId::new(name) {
                Ok(id) => out.cameras.push(id),
                Err(e) => refuse(reader, raw.cameras.as_ref(), &e.to_string(), e.hint()),
            }
        }
        for name in words(raw.encoders.as_ref()) {
            if H265_ENCODERS.contains(&name) {
                out.encoders.push(name.to_owned());
            } else {
                let hint = format!("the H.265 encoders are {}", H265_ENCODERS.join(", "));
                let why = format!("`encoders`: {name:?} is not an H.265 encoder that is known");
                refuse(reader, raw.encoders.as_ref(), &why, Some(&hint));
            }
        }
        if let Some(at) = &raw.preset {
            let text = at.value.as_str().trim();
            if text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                out.preset = (!text.is_empty()).then(|| text.to_owned());
            } else {
                refuse(
                    reader,
                    raw.preset.as_ref(),
                    "`preset`: not the name of a preset",
                    None,
                );
            }
        }
        if let Some(windows) = super::jobs::windows(reader, raw.window.as_ref(), zone) {
            out.window = windows;
        }
        if let Some(n) = reader.within(raw.quality.as_ref(), &(0..=51)) {
            out.quality = n as u8;
        }
        if let Some(n) = reader.within(raw.threads.as_ref(), &(0..=64)) {
            out.threads = n as u32;
        }
        if let Some(n) = reader.within(raw.nice.as_ref(), &(0..=19)) {
            out.priority.nice = n as u8;
        }
        if let Some(at) = &raw.io {
            out.priority.io = at.value.0;
        }
        let playback = &mut out.playback;
        playback.priority = out.priority;
        if let Some(n) = reader.within(raw.playback_max_running.as_ref(), &(0..=16)) {
            playback.max_running = n as usize;
        }
        if let Some(n) = reader.within(raw.playback_quality.as_ref(), &(0..=51)) {
            playback.quality = n as u8;
        }
        match raw.playback_max_height.as_ref() {
            Some(at) if at.value == 0 => playback.max_height = 0,
            at => {
                if let Some(n) = reader.within(at, &(120..=4320)) {
                    playback.max_height = n as u32;
                }
            }
        }
        if let Some(n) = reader.within(raw.playback_cache.as_ref(), &(Bytes(0)..=Bytes(4 << 30))) {
            playback.cache_bytes = n.0;
        }
        if let Some(n) = reader.within(raw.max_running.as_ref(), &(1..=16)) {
            out.max_running = n as usize;
        }
        if let Some(n) = reader.within(raw.min_ssim.as_ref(), &(Ratio(0.0)..=Ratio(1.0))) {
            out.min_ssim = n.0;
        }
        if let Some(n) = reader.within(raw.min_psnr.as_ref(), &(0..=100)) {
            out.min_psnr_db = n;
        }
        if let Some(n) = reader.within(raw.compare_every.as_ref(), &(1..=1000)) {
            out.compare_every = n as u32;
        }
        if let Some(n) = reader.within(raw.smaller_by.as_ref(), &(0..=90)) {
            out.smaller_by_percent = n;
        }
        out
    }
}

/// What is between the commas.
fn words(at: Option<&At<Text>>) -> impl Iterator<Item = &str> {
    at.map(|at| at.value.as_str())
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|w| !w.is_empty())
}

fn refuse(reader: &mut Reader<'_, '_>, at: Option<&At<Text>>, why: &str, hint: Option<&str>) {
    if let Some(at) = at {
        reader
            .problems
            .error(&at.span, &at.key, why.to_owned(), hint.map(str::to_owned));
    }
}
