//! Many hours in a minute: keyframes at even distances.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Composed, Watcher, check_common, invalid, ultrafast};
use crate::archive::Archive;
use crate::convert::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::files::stills::StillName;
use crate::gst::{
    CodedFrame, CodedVideo, FileFault, FileSpec, PictureFile, PictureReader, jpeg_size, stopped,
};
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
    /// What it is made of.
    #[serde(default, skip_serializing_if = "LapseSource::is_footage")]
    pub source: LapseSource,
    /// The daily time-lapse that it is one of: its file goes to a folder of that name. Not to be given over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<CameraId>,
}

/// What a time-lapse is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LapseSource {
    /// Keyframes of what was recorded.
    #[default]
    Footage,
    /// Stills, each of which is shown once at most: they stay when the footage is gone.
    Stills,
    /// Footage where there is any in the range, else stills.
    Auto,
}

impl LapseSource {
    // By reference, as serde asks.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    const fn is_footage(&self) -> bool {
        matches!(self, Self::Footage)
    }
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
            source: LapseSource::default(),
            daily: None,
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
    /// Writes keyframes or stills of a camera at even distances into an MP4 file, and decodes that to see that it is whole.
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
        let (shape, material) = self.material(params, range, count)?;
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
                    size,
                    material: &material,
                };
                lapse.run(file, spec, &mut watcher)
            },
        )?;
        inner.validate(to, &mut made, &mut watcher)?;
        Ok(made)
    }
}

impl Archive {
    /// The size of the pictures, and what is shown.
    fn material(
        &self,
        params: &TimelapseParams,
        range: TimeRange,
        count: i64,
    ) -> Result<((u32, u32), Material)> {
        if params.source != LapseSource::Stills {
            let parts = match self.stretches(&params.camera, range) {
                Err(e) if e.kind() == ErrorKind::NotFound && params.source == LapseSource::Auto => Vec::new(),
                other => other?,
            };
            if let Some(first) = parts.first() {
                let init = first.segment.init()?;
                let shape = init.video().map(|v| (u32::from(v.width), u32::from(v.height)));
                let shape = shape.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a stretch without video"))?;
                let recorded: Vec<TimeRange> = parts.iter().map(|part| part.shown).collect();
                return Ok((shape, Material::Footage(moments(range, count, &recorded))));
            }
            if params.source == LapseSource::Footage {
                return Err(self.nothing_in(&params.camera, range));
            }
        }
        let stills = chosen(self.stills_in(&params.camera, range)?, range, count);
        for still in &stills {
            let shape = self.read_still(still).ok().and_then(|jpeg| jpeg_size(&jpeg));
            if let Some(shape) = shape {
                return Ok((shape, Material::Stills(stills)));
            }
        }
        let (from, to) = (range.start(), range.end());
        let message = format!(
            "camera {}: there are no stills from {from} to {to}",
            params.camera
        );
        Err(Error::new(ErrorKind::NotFound, message)
            .with_hint("`stills = \"10m\"` at the camera has some taken from then on"))
    }
}

/// What a time-lapse is made of, as it was found.
enum Material {
    /// The moments whose keyframes are shown.
    Footage(Vec<Timestamp>),
    /// The stills that are shown.
    Stills(Vec<StillName>),
}

/// So many moments at even distances; over what is recorded alone, if less than a tenth of those of the whole range lie in
/// it.
fn moments(range: TimeRange, count: i64, recorded: &[TimeRange]) -> Vec<Timestamp> {
    let nth =
        |len_ns: i64, n: i64| i64::try_from(i128::from(len_ns) * i128::from(n) / i128::from(count.max(1)));
    let even = |n| range.start().add_ns(nth(range.len_ns(), n).unwrap_or(0));
    let all: Vec<Timestamp> = (0..count).map(even).collect();
    // Stretches come in order.
    let hits = |at: &&Timestamp| {
        let before = recorded.partition_point(|r| r.start() <= **at);
        before > 0 && recorded[before - 1].contains(**at)
    };
    if recorded.is_empty() || all.iter().filter(hits).count() * 10 >= all.len() {
        return all;
    }
    let whole = recorded
        .iter()
        .fold(0i64, |sum, r| sum.saturating_add(r.len_ns()));
    let (mut parts, mut before) = (recorded.iter().peekable(), 0i64);
    let mut out = Vec::new();
    for n in 0..count {
        let after = nth(whole, n).unwrap_or(0);
        while let Some(part) = parts.peek() {
            if after < before.saturating_add(part.len_ns()) {
                out.push(part.start().add_ns(after - before));
                break;
            }
            before = before.saturating_add(part.len_ns());
            parts.next();
        }
    }
    out
}

/// Of stills in order those that are shown: at each of so many even moments the newest, each once.
fn chosen(all: Vec<StillName>, range: TimeRange, count: i64) -> Vec<StillName> {
    let moment = |at: Timestamp| {
        let after = i128::from(at.since(range.start())) * i128::from(count);
        after.div_euclid(i128::from(range.len_ns().max(1)))
    };
    let mut out: Vec<StillName> = Vec::new();
    for still in all {
        match out.last_mut() {
            Some(last) if moment(last.at()) == moment(still.at()) => *last = still,
            _ => out.push(still),
        }
    }
    out
}

struct Lapse<'a> {
    archive: &'a Archive,
    inner: &'a Inner,
    camera: &'a CameraId,
    /// What nobody is to see of it.
    privacy: Option<Arc<Privacy>>,
    range: TimeRange,
    size: (u32, u32),
    material: &'a Material,
}

impl Lapse<'_> {
    fn run(&self, to: &Path, spec: FileSpec<'_>, watcher: &mut Watcher<'_>) -> Result<Composed, FileFault> {
        let mut file = PictureFile::create(to, spec)?;
        let (mut missing, mut damaged) = (0u64, 0u64);
        let moments = match self.material {
            Material::Footage(moments) => moments,
            Material::Stills(stills) => {
                damaged = self.show(stills, &mut file, watcher)?;
                return self.made(file, spec, (0, damaged), watcher);
            }
        };
        // Keyframes with the same parameters go through one decoder.
        let mut held: Option<(CodedVideo, VecDeque<CodedFrame>)> = None;
        for (n, at) in moments.iter().enumerate() {
            if (watcher.stop)() {
                return Err(stopped().into());
            }
            match self.archive.keyframe_at(self.camera, *at)? {
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
            (watcher.progress)(n as f64 / moments.len() as f64, "encoding");
        }
        if let Some((video, frames)) = held {
            damaged += self.decode(&video, frames, &mut file, watcher)?;
        }
        self.made(file, spec, (missing, damaged), watcher)
    }

    fn made(
        &self,
        file: PictureFile,
        spec: FileSpec<'_>,
        (missing, damaged): (u64, u64),
        watcher: &Watcher<'_>,
    ) -> Result<Composed, FileFault> {
        let frames = file.finish(watcher.stop)?;
        if frames == 0 {
            return Err(self.archive.nothing_in(self.camera, self.range).into());
        }
        let mut warnings = Vec::new();
        if missing > 0 {
            warnings.push(format!(
                "nothing is recorded at {missing} of {} moments; they are left out",
                missing + damaged + frames
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

    /// Shows stills one after the other; how many did not become pictures.
    fn show(
        &self,
        stills: &[StillName],
        file: &mut PictureFile,
        watcher: &mut Watcher<'_>,
    ) -> Result<u64, FileFault> {
        let priority = self.inner.config.load().priority;
        let (mut given, mut taken, mut next) = (0u64, 0u64, 0usize);
        let (progress, stop) = (&mut *watcher.progress, watcher.stop);
        while next < stills.len() {
            let mut reader = PictureReader::of_jpegs(self.size, self.privacy.clone(), Some(priority))?;
            let mut feed = || {
                while let Some(still) = stills.get(next) {
                    next += 1;
                    given += 1;
                    progress(next as f64 / stills.len() as f64, "encoding");
                    // Retention may have taken it meanwhile.
                    let Ok(jpeg) = self.archive.read_still(still) else {
                        continue;
                    };
                    if jpeg_size(&jpeg).is_some() {
                        return Ok(Some(CodedFrame {
                            data: jpeg,
                            pts_ns: given as i64 * STEP_NS,
                            keyframe: true,
                            shown: true,
                        }));
                    }
                }
                Ok(None)
            };
            // What was under way in one that fails is lost; the rest is not.
            taken += self.fill(&mut reader, &mut feed, file, stop)?;
        }
        Ok(given - taken)
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
        let taken = self.fill(&mut reader, &mut || Ok(frames.pop_front()), file, watcher.stop)?;
        Ok(given - taken)
    }

    /// Writes what a reader makes of its frames, as far as it comes; how many pictures.
    fn fill(
        &self,
        reader: &mut PictureReader,
        feed: &mut dyn FnMut() -> Result<Option<CodedFrame>>,
        file: &mut PictureFile,
        stop: &dyn Fn() -> bool,
    ) -> Result<u64, FileFault> {
        let mut taken = 0;
        loop {
            match reader.next(feed, stop) {
                Ok(Some(picture)) => {
                    let mut out = super::black(self.size);
                    picture.copy_into(&mut out, self.size, (0, 0));
                    file.picture(out)?;
                    taken += 1;
                }
                Ok(None) => return Ok(taken),
                Err(e) if e.kind() == ErrorKind::Corrupt => return Ok(taken),
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
    fn each_still_is_shown_once_at_most_and_at_even_distances() {
        let camera = CameraId::new("a").unwrap();
        let at = |s: i64| StillName::of(camera.clone(), Timestamp::from_secs(s));
        let range = TimeRange::new(Timestamp::from_secs(0), Timestamp::from_secs(100)).unwrap();
        let all: Vec<StillName> = (0..100).map(at).collect();
        assert_eq!(chosen(all.clone(), range, 4), [at(24), at(49), at(74), at(99)]);
        assert_eq!(chosen(all.clone(), range, 1000), all);
        assert_eq!(chosen(vec![at(3), at(80)], range, 10), [at(3), at(80)]);
        assert!(chosen(Vec::new(), range, 10).is_empty());
    }

    #[test]
    fn a_day_with_a_minute_of_footage_is_shown_by_that_minute() {
        let s = |a: i64, b: i64| TimeRange::new(Timestamp::from_secs(a), Timestamp::from_secs(b)).unwrap();
        let seconds =
            |all: Vec<Timestamp>| -> Vec<i64> { all.iter().map(|t| t.as_ns() / NS_PER_S).collect() };
        assert_eq!(seconds(moments(s(0, 100), 4, &[s(20, 60)])), [0, 25, 50, 75]);
        assert_eq!(
            seconds(moments(s(0, 100), 4, &[s(5, 9), s(30, 34)])),
            [5, 7, 30, 32]
        );
        assert_eq!(seconds(moments(s(0, 100), 1, &[s(5, 9)])), [5]);
        let many = moments(s(0, 1000), 100, &[s(5, 65)]);
        assert!(
            many.iter().all(|t| s(5, 65).contains(*t)),
            "six of a hundred would be a blink"
        );
        assert_eq!(seconds(moments(s(0, 100), 2, &[])), [0, 50]);
    }

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
