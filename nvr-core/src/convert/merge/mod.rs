//! Several cameras in one file, by the wall clock; and many hours of one in a minute.

mod lapse;
mod layout;
mod params;
mod reel;

use std::path::Path;
use std::sync::Arc;

pub use self::lapse::{LapseSource, TimelapseParams};
pub use self::layout::Layout;
use self::layout::{Pane, arrange};
pub use self::params::{MOST_CAMERAS, MergeParams};
use self::params::{check_common, invalid, ultrafast};
use self::reel::{HOLD_NS, Heard, Reel, Sound, about, sound_of};
use super::Inner;
use crate::archive::Archive;
use crate::error::{Error, ErrorKind, Result};
use crate::gst::{
    ArchiveSettings, FileFault, FileSpec, PictureFile, black, decode::decode_whole, name_plate, stopped,
};
use crate::ids::CameraId;
use crate::media::clip::PlanPart;
use crate::privacy::Privacy;
use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// So far ahead of the pictures sound is given.
const SOUND_AHEAD_NS: i64 = NS_PER_S;
/// Most gaps that are told one by one.
const MOST_TOLD: usize = 100;

/// What came out.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Composed {
    /// Pictures in the file.
    pub frames: u64,
    /// How long it is.
    pub duration_ns: i64,
    /// Bytes.
    pub size_bytes: u64,
    /// Size of the picture, pixels.
    pub width: u32,
    /// Size of the picture, pixels.
    pub height: u32,
    /// Pictures a second.
    pub fps: u32,
    /// The GStreamer element that encoded it.
    pub encoder: String,
    /// Whether it has sound.
    pub sound: bool,
    /// What is missing, in words.
    pub warnings: Vec<String>,
}

/// Who looks on: told the share that is done, and asked whether to stop.
pub struct Watcher<'a> {
    /// Told the share that is done, and what is done.
    pub progress: &'a mut dyn FnMut(f64, &str),
    /// Whether to stop.
    pub stop: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for Watcher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

impl Archive {
    /// Writes several cameras into one MP4 file, each moment as the wall clock had it, and decodes the file whole to see
    /// that it is one. Blocking, for long. What was written stays there when it fails.
    ///
    /// # Errors
    /// `InvalidArgument` for parameters that cannot be, `NotFound` when a camera is not known or nothing is recorded of
    /// any, `Unsupported` without an encoder, `Unavailable` when it was stopped.
    pub fn merge(&self, params: &MergeParams, to: &Path, mut watcher: Watcher<'_>) -> Result<Composed> {
        let range = params.check()?;
        let mut cameras: Vec<(CameraId, Vec<PlanPart>)> = Vec::new();
        let mut masks = Vec::new();
        for camera in &params.cameras {
            cameras.push((camera.clone(), self.stretches(camera, range)?));
            masks.push(self.privacy().of(camera));
        }
        let (mut shape, mut lowest, mut quickest) = (None, u32::MAX, 0.0f64);
        for part in cameras.iter().filter_map(|(_, parts)| parts.first()) {
            let (size, fps) = about(part)?;
            shape.get_or_insert(size);
            lowest = lowest.min(size.1);
            quickest = quickest.max(fps);
        }
        let shape = shape.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "nothing is recorded of these cameras from {} to {}",
                    range.start(),
                    range.end()
                ),
            )
        })?;
        let fps = params.fps.unwrap_or((quickest.round() as u32).clamp(1, 60));
        let height = params.height.unwrap_or(lowest.clamp(64, 2160));
        let (size, panes) = arrange(params.layout, cameras.len(), shape, height);
        let work = Merge {
            range,
            cameras,
            masks,
            panes,
            size,
            fps,
            sound: params.sound.clone(),
            one_by_one: params.layout == Layout::OneAfterTheOther,
        };
        let inner = &self.converter().0;
        let stop = watcher.stop;
        let mut made = inner.compose(size, Some(params.preset.clone()), to, stop, |file, settings| {
            work.run(inner, file, settings, &mut watcher)
        })?;
        inner.validate(to, &mut made, &mut watcher)?;
        Ok(made)
    }
}

/// What is to be put together.
struct Merge {
    range: TimeRange,
    cameras: Vec<(CameraId, Vec<PlanPart>)>,
    /// What nobody is to see of each.
    masks: Vec<Option<Arc<Privacy>>>,
    panes: Vec<Pane>,
    size: (u32, u32),
    fps: u32,
    sound: Option<CameraId>,
    one_by_one: bool,
}

impl Inner {
    /// Encodes by the first encoder that does it.
    fn compose(
        &self,
        size: (u32, u32),
        preset: Option<String>,
        to: &Path,
        stop: &dyn Fn() -> bool,
        mut run: impl FnMut(&Path, (&crate::gst::ArchiveEncoder, &ArchiveSettings)) -> Result<Composed, FileFault>,
    ) -> Result<Composed> {
        let bitrate = u64::from(size.0) * u64::from(size.1) * 3;
        let settings = ArchiveSettings {
            quality: self.config.load().quality,
            preset,
            threads: 0,
            full_range: false,
            bitrate_bps: bitrate.clamp(200_000, 50_000_000),
        };
        loop {
            if stop() {
                return Err(stopped());
            }
            let Some(encoder) = self.catalogue.first(size, &settings) else {
                let why = self.catalogue.why_none(size, &settings);
                return Err(Error::new(ErrorKind::Unsupported, why)
                    .with_hint("install gstreamer1.0-plugins-ugly (x264enc)"));
            };
            match run(to, (encoder, &settings)) {
                Ok(made) => return Ok(made),
                Err(FileFault::Other(e)) => return Err(e),
                Err(FileFault::Encoder(words)) => {
                    tracing::warn!(
                        encoder = encoder.name,
                        reason = words,
                        "an encoder failed at its work"
                    );
                    self.catalogue.failed(encoder, size, &settings, &words);
                }
            }
        }
    }

    /// Decodes a file whole: as many pictures as were written, none damaged.
    fn validate(&self, file: &Path, made: &mut Composed, watcher: &mut Watcher<'_>) -> Result<()> {
        (watcher.progress)(1.0, "validating");
        let report = decode_whole(file, false, watcher.stop)?;
        let fault = report.fault().or_else(|| {
            (report.frames != made.frames).then(|| {
                format!(
                    "{} pictures were written, {} are there",
                    made.frames, report.frames
                )
            })
        });
        if let Some(fault) = fault {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("the file that was made is not whole: {fault}"),
            ));
        }
        made.size_bytes = std::fs::metadata(file)
            .map_err(|e| Error::io(file.display(), e))?
            .len();
        Ok(())
    }
}

/// Black stretches of a camera.
#[derive(Default)]
struct Black {
    since: Option<Timestamp>,
    gaps: Vec<(Timestamp, Timestamp)>,
}

impl Black {
    fn note(&mut self, at: Timestamp, is_there: bool) {
        match (is_there, self.since) {
            (false, None) => self.since = Some(at),
            (true, Some(since)) => {
                self.gaps.push((since, at));
                self.since = None;
            }
            _ => {}
        }
    }

    fn told(mut self, camera: &CameraId, range: TimeRange, out: &mut Vec<String>) {
        if let Some(since) = self.since {
            self.gaps.push((since, range.end()));
        }
        if self.gaps.first() == Some(&(range.start(), range.end())) {
            out.push(format!("camera {camera}: nothing is recorded of the whole range"));
            return;
        }
        self.gaps.retain(|(from, to)| to.since(*from) >= HOLD_NS / 5);
        for (from, to) in self.gaps.iter().take(MOST_TOLD) {
            out.push(format!("camera {camera}: nothing from {from} to {to}"));
        }
        if self.gaps.len() > MOST_TOLD {
            out.push(format!(
                "camera {camera}: {} more gaps",
                self.gaps.len() - MOST_TOLD
            ));
        }
    }
}

impl Merge {
    fn run(
        &self,
        inner: &Inner,
        to: &Path,
        (encoder, settings): (&crate::gst::ArchiveEncoder, &ArchiveSettings),
        watcher: &mut Watcher<'_>,
    ) -> Result<Composed, FileFault> {
        let priority = inner.config.load().priority;
        let mut warnings = Vec::new();
        let sounding = self
            .sound
            .as_ref()
            .and_then(|s| self.cameras.iter().position(|(c, _)| c == s));
        let (mut sound, mut held): (_, Option<Heard>) = (None, None);
        if let Some((camera, parts)) = sounding.map(|n| &self.cameras[n]) {
            let mut there = false;
            for part in parts {
                there = there || sound_of(part)?.is_some();
            }
            if there {
                let line = Sound::start(parts.clone(), priority)?;
                // A track may be there with nothing in it.
                held = line.next(watcher.stop)?;
                sound = held.is_some().then_some(line);
            }
            if sound.is_none() {
                warnings.push(format!("camera {camera} has no sound there"));
            }
        }
        let has_sound = sound.is_some();
        let spec = FileSpec {
            size: self.size,
            fps: (self.fps, 1),
            encoder,
            settings,
            priority: Some(priority),
            sound: has_sound,
        };
        let mut file = PictureFile::create(to, spec)?;
        let moments = self.moments();
        let turns = if self.one_by_one { self.cameras.len() } else { 1 };
        // Where the sound's camera begins in the file.
        let turn_ns = moments * NS_PER_S / i64::from(self.fps);
        let shift = if self.one_by_one {
            turn_ns * sounding.unwrap_or(0) as i64
        } else {
            0
        };
        for turn in 0..turns {
            let members = if self.one_by_one {
                turn..turn + 1
            } else {
                0..self.cameras.len()
            };
            let mut reels = Vec::new();
            for n in members {
                let (camera, parts) = &self.cameras[n];
                let reel = Reel::start(parts.clone(), self.panes[n].size, self.masks[n].clone(), priority)?;
                reels.push((camera, self.panes[n], reel, Black::default()));
            }
            for n in 0..moments {
                if (watcher.stop)() {
                    return Err(stopped().into());
                }
                let offset = n * NS_PER_S / i64::from(self.fps);
                let moment = self.range.start().add_ns(offset);
                let mut picture = black(self.size);
                for (camera, pane, reel, dark) in &mut reels {
                    let shown = reel.at(moment, watcher.stop)?;
                    dark.note(moment, shown.is_some());
                    match shown {
                        Some(shown) => shown.copy_into(&mut picture, self.size, pane.at),
                        None => name_plate(&mut picture, self.size, pane.at, pane.size, camera.as_str()),
                    }
                }
                let until = turn as i64 * turn_ns + offset + SOUND_AHEAD_NS;
                while let Some(line) = &sound {
                    if held.is_none() {
                        held = line.next(watcher.stop)?;
                    }
                    let Some((at, what, data)) = held.take() else {
                        file.end_of_sound();
                        sound = None;
                        break;
                    };
                    let at_ns = at.since(self.range.start()) + shift;
                    file.sound(&what, at_ns, data);
                    // One piece lies ahead always: what is silent in between is known by it only.
                    if at_ns > until {
                        break;
                    }
                }
                file.picture(picture)?;
                let done = (turn as i64 * moments + n) as f64 / (turns as i64 * moments) as f64;
                (watcher.progress)(done, "encoding");
            }
            for (camera, _, reel, dark) in reels {
                dark.told(camera, self.range, &mut warnings);
                for fault in &reel.faults {
                    warnings.push(format!("camera {camera}: not all can be decoded {fault}"));
                }
            }
        }
        drop(sound);
        let frames = file.finish(watcher.stop)?;
        Ok(Composed {
            frames,
            duration_ns: i64::try_from(frames).unwrap_or(0) * NS_PER_S / i64::from(self.fps),
            size_bytes: 0,
            width: self.size.0,
            height: self.size.1,
            fps: self.fps,
            encoder: encoder.name.into(),
            sound: has_sound,
            warnings,
        })
    }

    /// Moments of one turn.
    fn moments(&self) -> i64 {
        let ns = i128::from(self.range.len_ns()) * i128::from(self.fps);
        i64::try_from((ns + i128::from(NS_PER_S) / 2) / i128::from(NS_PER_S))
            .unwrap_or(1)
            .max(1)
    }
}
