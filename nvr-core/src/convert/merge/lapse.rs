//! Many hours in a minute: keyframes at even distances.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Composed, Watcher, check_common, invalid, ultrafast};
use crate::archive::Archive;
use crate::convert::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::gst::{CodedFrame, CodedVideo, FileFault, FileSpec, PictureFile, PictureReader, stopped};
use crate::ids::CameraId;
use crate::privacy::Privacy;
use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// Longest range: a year.
const LONGEST_NS: i64 = 366 * 86_400 * NS_PER_S;
/// Most pictures in one file.
const MOST_FRAMES: i64 = 1_000_000;

/// What is shown in how long.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelapseParams {
    /// Camera.
    pub camera: CameraId,
    /// Begin.
    pub from: Timestamp,
    /// End.
    pub to: Timestamp,
    /// How long the file is to be, seconds. This or `per_hour`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_s: Option<f64>,
    /// Pictures of each hour that was recorded (0.1 to 90000). This or `length_s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<f64>,
    /// Pictures a second of the file (1 to 60).
    #[serde(default = "default_fps")]
    pub fps: u32,
    /// Height of the picture, pixels (64 to 2160); as recorded by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Preset of an encoder that has one of this name; `ultrafast` by default.
    #[serde(default = "ultrafast")]
    pub preset: String,
    /// The file to write, an absolute path; by default one in the folder of exports. Not to be given over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

const fn default_fps() -> u32 {
    25
}

impl TimelapseParams {
    /// A range of a camera in a minute.
    #[must_use]
    pub fn new(camera: CameraId, range: TimeRange) -> Self {
        Self {
            camera,
            from: range.start(),
            to: range.end(),
            length_s: Some(60.0),
            per_hour: None,
            fps: default_fps(),
            height: None,
            preset: ultrafast(),
            path: None,
        }
    }

    /// The range, and how many moments of it are shown.
    ///
    /// # Errors
    /// `InvalidArgument` with what is wrong.
    pub fn check(&self) -> Result<(TimeRange, i64)> {
        let range = TimeRange::new(self.from, self.to)?;
        check_common(range, self.height, &self.preset, self.path.as_deref())?;
        if range.len_ns() > LONGEST_NS {
            return Err(invalid("the range is longer than a year"));
        }
        if !(1..=60).contains(&self.fps) {
            return Err(invalid("fps: want 1 to 60"));
        }
        let count = match (self.length_s, self.per_hour) {
            (Some(s), None) if (0.1..=36_000.0).contains(&s) => s * f64::from(self.fps),
            (None, Some(n)) if (0.1..=90_000.0).contains(&n) => range.len_ns() as f64 / 3.6e12 * n,
            (Some(_), None) => return Err(invalid("length_s: want 0.1 to 36000 seconds")),
            (None, Some(_)) => return Err(invalid("per_hour: want 0.1 to 90000 pictures")),
            _ => return Err(invalid("want either length_s or per_hour")),
        };
        let count = (count.round() as i64).max(1);
        if count > MOST_FRAMES {
            return Err(invalid(format!(
                "that would be {count} pictures, more than {MOST_FRAMES}"
            )));
        }
        Ok((range, count))
    }
}

impl Archive {
    /// Writes keyframes of a camera at even distances into an MP4 file, and decodes that to see that it is whole.
    /// Blocking. What was written stays there when it fails.
    ///
    /// # Errors
    /// `InvalidArgument` for parameters that cannot be, `NotFound` when nothing is recorded, `Unsupported` without an
    /// encoder, `Unavailable` when it was stopped.
    pub fn timelapse(
        &self,
        params: &TimelapseParams,
        to: &Path,
        mut watcher: Watcher<'_>,
    ) -> Result<Composed> {
        let (range, count) = params.check()?;
        let parts = self.stretches(&params.camera, range)?;
        let first = parts
            .first()
            .ok_or_else(|| self.nothing_in(&params.camera, range))?;
        let init = first.segment.init()?;
        let shape = init.video().map(|v| (u32::from(v.width), u32::from(v.height)));
        let shape = shape.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a stretch without video"))?;
        let height = params.height.unwrap_or(shape.1.clamp(64, 2160));
        let (size, _) = super::arrange(super::Layout::OneAfterTheOther, 1, shape, height);
        let inner = &self.converter().0;
        let stop = watcher.stop;
        let mut made = inner.compose(
            size,
            Some(params.preset.clone()),
            to,
            stop,
            |file, (encoder, settings)| {
                let spec = FileSpec {
                    size,
                    fps: (params.fps, 1),
                    encoder,
                    settings,
                    priority: Some(inner.config.load().priority),
                    sound: false,
                };
                let lapse = Lapse {
                    archive: self,
                    inner,
                    camera: &params.camera,
                    privacy: self.privacy().of(&params.camera),
                    range,
                    count,
                    size,
                };
                lapse.run(file, spec, &mut watcher)
            },
        )?;
        inner.validate(to, &mut made, &mut watcher)?;
        Ok(made)
    }
}

struct Lapse<'a> {
    archive: &'a Archive,
    inner: &'a Inner,
    camera: &'a CameraId,
    /// What nobody is to see of it.
    privacy: Option<Arc<Privacy>>,
    range: TimeRange,
    count: i64,
    size: (u32, u32),
}

impl Lapse<'_> {
    fn run(&self, to: &Path, spec: FileSpec<'_>, watcher: &mut Watcher<'_>) -> Result<Composed, FileFault> {
        let mut file = PictureFile::create(to, spec)?;
        let (mut missing, mut damaged) = (0u64, 0u64);
        // Keyframes with the same parameters go through one decoder.
        let mut held: Option<(CodedVideo, VecDeque<CodedFrame>)> = None;
        for n in 0..self.count {
            if (watcher.stop)() {
                return Err(stopped().into());
            }
            let at = i128::from(self.range.len_ns()) * i128::from(n) / i128::from(self.count);
            let at = self.range.start().add_ns(i64::try_from(at).unwrap_or(0));
            match self.archive.keyframe_at(self.camera, at)? {
                None => missing += 1,
                Some((video, data, _)) => {
                    let same = held.as_ref().is_some_and(|(v, frames)| {
                        v.codec_data == video.codec_data && v.size == video.size && frames.len() < BATCH
                    });
                    if !same && let Some((video, frames)) = held.take() {
                        damaged += self.decode(&video, frames, &mut file, watcher)?;
                    }
                    let (_, frames) = held.get_or_insert_with(|| (video, VecDeque::new()));
                    frames.push_back(CodedFrame {
                        data: data.to_vec(),
                        pts_ns: frames.len() as i64 * STEP_NS,
                        keyframe: true,
                        shown: true,
                    });
                }
            }
            (watcher.progress)(n as f64 / self.count as f64, "encoding");
        }
        if let Some((video, frames)) = held {
            damaged += self.decode(&video, frames, &mut file, watcher)?;
        }
        let frames = file.finish(watcher.stop)?;
        if frames == 0 {
            return Err(self.archive.nothing_in(self.camera, self.range).into());
        }
        let mut warnings = Vec::new();
        if missing > 0 {
            warnings.push(format!(
                "nothing is recorded at {missing} of {} moments; they are left out",
                self.count
            ));
        }
        if damaged > 0 {
            warnings.push(format!("{damaged} pictures cannot be decoded; they are left out"));
        }
        Ok(Composed {
            frames,
            duration_ns: i64::try_from(frames).unwrap_or(0) * NS_PER_S / i64::from(spec.fps.0),
            size_bytes: 0,
            width: self.size.0,
            height: self.size.1,
            fps: spec.fps.0,
            encoder: spec.encoder.name.into(),
            sound: false,
            warnings,
        })
    }

    /// Gives how many did not become pictures.
    fn decode(
        &self,
        video: &CodedVideo,
        mut frames: VecDeque<CodedFrame>,
        file: &mut PictureFile,
        watcher: &Watcher<'_>,
    ) -> Result<u64, FileFault> {
        let given = frames.len() as u64;
        let priority = self.inner.config.load().priority;
        let mut reader = PictureReader::new(video, self.size, self.privacy.clone(), Some(priority))?;
        let mut taken = 0;
        loop {
            match reader.next(&mut || Ok(frames.pop_front()), watcher.stop) {
                Ok(Some(picture)) => {
                    let mut out = super::black(self.size);
                    picture.copy_into(&mut out, self.size, (0, 0));
                    file.picture(out)?;
                    taken += 1;
                }
                Ok(None) => return Ok(given - taken),
                Err(e) if e.kind() == ErrorKind::Corrupt => return Ok(given - taken),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// Keyframes that are held before they are decoded: enough that starting a decoder does not count.
const BATCH: usize = 64;
/// Distance of keyframes for a decoder.
const STEP_NS: i64 = 40_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_many_moments() {
        let range = TimeRange::new(Timestamp::from_secs(0), Timestamp::from_secs(7200)).unwrap();
        let mut params = TimelapseParams::new(CameraId::new("a").unwrap(), range);
        assert_eq!(params.check().unwrap().1, 1500);
        params.per_hour = Some(60.0);
        assert!(params.check().is_err(), "both");
        params.length_s = None;
        assert_eq!(params.check().unwrap().1, 120);
        params.per_hour = None;
        assert!(params.check().is_err(), "neither");
        for bad in [f64::NAN, -1.0, 1e9] {
            params.length_s = Some(bad);
            assert!(params.check().is_err());
        }
    }
}
