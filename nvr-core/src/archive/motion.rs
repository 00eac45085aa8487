//! Motion that was: the scores that were kept, and footage looked at again.

use bytes::Bytes;

use super::picture::{config_of, read_exact, samples};
use super::{Archive, Footage};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::{GreyDecoder, GreyInput, GreyStream};
use crate::ids::CameraId;
use crate::line::{Direction, Line};
use crate::media::init::InitSegment;
use crate::motion::{Crossing, Detector, Scene, Settings, SpanChange, SpanRules, Spans, Tracker, WIDTH};
use crate::nvr::blocking;
use crate::strip;
use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// Most parts of a strip.
pub const MOST_BUCKETS: usize = 10_000;

/// How footage is looked at again.
#[derive(Clone, PartialEq, Debug)]
pub struct MotionSearch {
    /// What is looked for.
    pub settings: Settings,
    /// What makes a stretch.
    pub rules: SpanRules,
    /// Lines that may be crossed.
    pub lines: Vec<Line>,
}

impl Default for MotionSearch {
    fn default() -> Self {
        Self::of(&crate::config::MotionConfig::default())
    }
}

impl MotionSearch {
    /// As a camera is configured.
    #[must_use]
    pub fn of(config: &crate::config::MotionConfig) -> Self {
        Self {
            settings: Settings {
                sensitivity: config.sensitivity,
                zones: config.zones.clone(),
                masks: config.masks.clone(),
                things: false,
            },
            lines: config.lines.clone(),
            rules: SpanRules {
                min_duration_ns: crate::time::duration_ns(config.min_duration),
                cool_down_ns: crate::time::duration_ns(config.cool_down),
            },
        }
    }
}

/// A stretch of motion.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct MotionStretch {
    /// The first keyframe that shows it.
    pub from: Timestamp,
    /// The last one.
    pub to: Timestamp,
    /// Highest score, 0 to 1.
    pub peak: f32,
}

/// A line that something crossed.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct CrossedLine {
    /// Its name.
    pub line: String,
    /// Which way.
    pub direction: Direction,
    /// The last keyframe that shows it on the one side.
    pub from: Timestamp,
    /// The first that shows it on the other.
    pub to: Timestamp,
}

/// What was found.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize)]
pub struct FoundMotion {
    /// The stretches, in order.
    pub stretches: Vec<MotionStretch>,
    /// Crossings of lines, in order.
    pub crossings: Vec<CrossedLine>,
    /// Keyframes looked at.
    pub keyframes: u64,
    /// Keyframes that could not be decoded.
    pub damaged: u64,
}

impl Archive {
    /// How much moved in each of `buckets` equal parts of a range: the highest score of each, 0 to 1; `None` where nobody
    /// looked.
    ///
    /// # Errors
    /// `NotFound` without such a camera, `InvalidArgument` for none or more than 10,000 parts, or an error of the index.
    pub async fn motion_strip(
        &self,
        camera: &CameraId,
        range: TimeRange,
        buckets: usize,
    ) -> Result<Vec<Option<f32>>> {
        if !(1..=MOST_BUCKETS).contains(&buckets) {
            let message = format!("buckets: {buckets} is not from 1 to {MOST_BUCKETS}");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let (archive, camera) = (self.clone(), camera.clone());
        blocking(move || {
            archive.known(&camera)?;
            let hours = archive.0.store.motion(&camera, range)?;
            Ok(strip::buckets(&hours, range, buckets))
        })
        .await
    }

    /// Looks at the keyframes of recorded footage as the recorder does while it records: to see what other settings would
    /// have found. Takes some milliseconds for each.
    ///
    /// # Errors
    /// `NotFound` when nothing is recorded there, `Unsupported` for footage in plain containers, or an error of the index
    /// or the files.
    pub async fn find_motion(
        &self,
        camera: &CameraId,
        range: TimeRange,
        search: MotionSearch,
    ) -> Result<FoundMotion> {
        let (archive, camera) = (self.clone(), camera.clone());
        blocking(move || archive.find_motion_blocking(&camera, range, search)).await
    }

    fn find_motion_blocking(
        &self,
        camera: &CameraId,
        range: TimeRange,
        search: MotionSearch,
    ) -> Result<FoundMotion> {
        self.known(camera)?;
        let found = self.footage(camera, range)?;
        if found.footage.is_empty() {
            return Err(if found.plain.is_empty() {
                self.nothing_in(camera, range)
            } else {
                super::footage::plain_refused(camera, &found.plain)
            });
        }
        let mut hunt = Hunt {
            detector: Detector::new(Settings {
                things: !search.lines.is_empty(),
                ..search.settings
            }),
            tracker: Tracker::new(search.lines),
            spans: Spans::new(search.rules),
            decoder: None,
            reached: None,
            out: FoundMotion::default(),
        };
        for footage in &found.footage {
            hunt.look_at(footage, range)?;
        }
        let last = hunt.spans.end();
        hunt.take(last);
        Ok(hunt.out)
    }
}

impl From<Crossing> for CrossedLine {
    fn from(c: Crossing) -> Self {
        Self {
            line: c.line,
            direction: c.direction,
            from: c.from,
            to: c.to,
        }
    }
}

struct Hunt {
    detector: Detector,
    tracker: Tracker,
    spans: Spans,
    decoder: Option<GreyDecoder>,
    reached: Option<Timestamp>,
    out: FoundMotion,
}

impl Hunt {
    fn look_at(&mut self, footage: &Footage, range: TimeRange) -> Result<()> {
        let name = footage.path.display();
        let corrupt = |what: &str| Error::new(ErrorKind::Corrupt, format!("{name}: {what}"));
        let opened = footage.open()?;
        let file = &*opened.file;
        let mut head = vec![0; usize::try_from(opened.index.header_len.min(4 << 20)).unwrap_or(0)];
        read_exact(file, 0, &mut head).map_err(|e| Error::io(name.to_string(), e))?;
        let init = InitSegment::parse(&head)?;
        let track = init.video().ok_or_else(|| corrupt("no video track"))?;
        let (codec, config) = config_of(track).ok_or_else(|| corrupt("no H.264 or H.265 in it"))?;
        let size = (u32::from(track.width), u32::from(track.height));
        let stream = GreyStream::recorded(codec, &config, size)?;
        for fragment in opened.index.fragments.iter().filter(|f| f.keyframe) {
            let at = footage.start.add_ns(fragment.start_ns);
            if !range.contains(at) || self.reached.is_some_and(|reached| at <= reached) {
                continue;
            }
            // A pause: who knows what it shows now.
            if self
                .reached
                .is_some_and(|reached| at.since(reached) > 60 * NS_PER_S)
            {
                self.detector.forget();
                self.tracker.forget();
            }
            self.reached = Some(at);
            let mut bytes = vec![0; fragment.size as usize];
            read_exact(file, fragment.offset, &mut bytes).map_err(|e| Error::io(name.to_string(), e))?;
            let mut frames = Vec::new();
            samples(&bytes.into(), &init, track, &opened.index, &mut frames)?;
            let Some((frame, _)) = frames.into_iter().next() else {
                continue;
            };
            self.keyframe(&stream, frame.data, at)?;
        }
        Ok(())
    }

    fn keyframe(&mut self, stream: &GreyStream, data: Bytes, at: Timestamp) -> Result<()> {
        let decoder = match &mut self.decoder {
            Some(decoder) if decoder.fits(stream, true) => decoder,
            other => other.insert(GreyDecoder::new(stream.clone(), true, WIDTH)?),
        };
        let frames = decoder.decode(GreyInput::keyframe(data, at.as_ns().rem_euclid(1 << 50)));
        self.out.keyframes += 1;
        let Some(picture) = frames.ok().and_then(|f| f.into_iter().next()) else {
            self.out.damaged += 1;
            self.decoder = None;
            return Ok(());
        };
        let look = self.detector.look(&picture.grey, at.as_ns());
        for change in self.spans.look(at, look.score) {
            self.take(Some(change));
        }
        if matches!(look.scene, Scene::Learning | Scene::Light) {
            self.tracker.forget();
            return Ok(());
        }
        let crossed = self.tracker.look(at, &look.things).into_iter();
        self.out.crossings.extend(crossed.map(CrossedLine::from));
        Ok(())
    }

    fn take(&mut self, change: Option<SpanChange>) {
        let last = self.out.stretches.last_mut();
        match (change, last) {
            (Some(SpanChange::Began { at, peak }), _) => self.out.stretches.push(MotionStretch {
                from: at,
                to: at,
                peak,
            }),
            (Some(SpanChange::Grew { peak }), Some(last)) => last.peak = peak,
            (Some(SpanChange::Ended { at }), Some(last)) => last.to = at,
            _ => {}
        }
    }
}
