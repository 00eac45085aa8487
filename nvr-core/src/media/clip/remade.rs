//! A clip whose video is encoded anew while it is read: which frames go to the encoder, and chunks of what it gives back.
//!
//! The video starts at the very first frame that is shown, since everything is encoded anyway. Times are those of the
//! footage, parts put behind one another; the audio is copied. Pure: who decodes and encodes is not known here.

use std::collections::{BTreeMap, VecDeque};

use super::edges::{audio_offset, length, pts_of};
use super::head::{TrackHead, fragmented};
use super::plan::{Parameters, PlanPart, common_init, no_video};
use super::timeline::rescale;
use crate::error::{Error, ErrorKind, Result};
use crate::media::boxes::corrupt;
use crate::media::fragment::Sample;
use crate::media::init::{InitSegment, InitTrack};
use crate::media::mux::{TrackChunk, chunk_head};
use crate::media::recode::{Chunk, NewSample, NewVideo, in_band, init_with};
use crate::time::{NS_PER_S, TimeRange};
use crate::track::VideoCodec;

/// Largest fragment that is read into memory.
const MOST_FRAGMENT_BYTES: u32 = 256 << 20;
/// A chunk is at least so long, unless a keyframe begins the next.
const CHUNK_NS: i64 = 500_000_000;

/// A frame of the footage on its way to the decoder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceFrame {
    /// Length-prefixed NAL units.
    pub data: Vec<u8>,
    /// When it is shown, nanoseconds from the earliest frame of its part.
    pub pts_ns: i64,
    /// Whether it is a keyframe.
    pub keyframe: bool,
    /// Whether it belongs to the clip, or is only needed to decode others.
    pub shown: bool,
}

/// The clip.
#[derive(Debug)]
pub struct Remade {
    parts: Vec<PlanPart>,
    init: std::sync::Arc<InitSegment>,
    video: InitTrack,
    audio: Option<InitTrack>,
    sequence: u32,
    /// Where the next part begins, ticks of the clip's video.
    at: i64,
    /// End of the audio so far, ticks of the clip's audio.
    audio_end: i64,
    /// The `avcC` that the header holds.
    config: Vec<u8>,
}

impl Remade {
    /// From the parts that are shown.
    ///
    /// # Errors
    /// `Conflict` when the audio's parameters change on the way, `Corrupt` and `Storage` when a header cannot be read.
    pub fn new(parts: Vec<PlanPart>) -> Result<Self> {
        let init = common_init(&parts)?;
        let audio = init.audio().cloned();
        let mut heard: Option<Parameters> = None;
        for part in &parts {
            let own = Parameters::of(&part.segment)?;
            match &heard {
                Some(before) if !before.sounds_like(&own) => {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!("the audio changes at {}", part.shown.start()),
                    )
                    .with_hint("ask for a range that ends there"));
                }
                Some(before) if before.has_audio() => {}
                _ => heard = Some(own),
            }
        }
        let video = init
            .video()
            .cloned()
            .ok_or_else(|| corrupt("a clip without video"))?;
        Ok(Self {
            parts,
            video,
            audio,
            init,
            sequence: 0,
            at: 0,
            audio_end: 0,
            config: Vec::new(),
        })
    }

    /// Its parts.
    #[must_use]
    pub fn parts(&self) -> &[PlanPart] {
        &self.parts
    }

    /// From the first instant shown to the last.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        let start = self.parts.first().map(|p| p.shown.start());
        let end = self.parts.iter().map(|p| p.shown.end()).max();
        start
            .zip(end)
            .and_then(|(s, e)| TimeRange::new(s, e).ok())
            .unwrap_or(TimeRange::ALL)
    }

    /// How long it is going to be, nanoseconds.
    #[must_use]
    pub fn duration_ns(&self) -> i64 {
        self.parts.iter().map(|p| p.shown.len_ns()).sum()
    }

    /// `ftyp` and `moov`, once the encoder told its parameters: `config` is the body of `avcC`. `size` when the pictures
    /// were brought to one.
    ///
    /// # Errors
    /// `Corrupt` when the header of the footage cannot be read.
    pub fn head(&mut self, config: &[u8], size: Option<(u16, u16)>) -> Result<Vec<u8>> {
        config.clone_into(&mut self.config);
        let new = NewVideo {
            codec: VideoCodec::H264,
            config,
            size,
        };
        let init = InitSegment::parse(&init_with(&self.init, &new)?)?;
        let duration = rescale(self.duration_ns(), NS_PER_S as u32, init.movie_timescale);
        let duration = u64::try_from(duration).unwrap_or(0);
        let tracks: Vec<TrackHead<'_>> = [Some(&self.video), self.audio.as_ref()]
            .into_iter()
            .flatten()
            .map(|t| TrackHead {
                id: t.id,
                edits: Vec::new(),
                duration,
                table: None,
            })
            .collect();
        fragmented(&init, &tracks, duration)
    }

    /// Begins a part; parts are taken in order, each to its end.
    ///
    /// # Errors
    /// `Corrupt` when the segment is not what its index says.
    pub fn part(&mut self, number: usize) -> Result<RemadePart<'_>> {
        let part = self
            .parts
            .get(number)
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a part that is not there"))?;
        let init = part.segment.init()?;
        let video = init.video().ok_or_else(|| no_video(&part.segment))?;
        let (from, to) = (
            pts_of(&part, &init, part.shown.start())?,
            pts_of(&part, &init, part.shown.end())?,
        );
        let audio_offset = audio_offset(&init);
        Ok(RemadePart {
            timescale: video.timescale,
            audio_id: init.audio().map(|a| a.id).filter(|_| self.audio.is_some()),
            audio_scale: init.audio().map_or(1, |a| a.timescale),
            next_fragment: part.fragments.start,
            clip: self,
            part,
            init,
            from,
            to,
            audio_offset,
            base: None,
            first: None,
            read: VecDeque::new(),
            expected: BTreeMap::new(),
            audio: VecDeque::new(),
            held: Vec::new(),
            end: from,
        })
    }
}

/// A frame as the encoder made it, its time in ticks of the part.
#[derive(Debug)]
struct Made {
    pts: i64,
    length: u32,
    keyframe: bool,
    data: Vec<u8>,
}

/// A stretch of one segment.
#[derive(Debug)]
pub struct RemadePart<'a> {
    clip: &'a mut Remade,
    part: PlanPart,
    init: std::sync::Arc<InitSegment>,
    timescale: u32,
    audio_id: Option<u32>,
    audio_scale: u32,
    audio_offset: i64,
    /// What is shown, ticks as recorded.
    from: i64,
    to: i64,
    /// Time of the earliest frame, which is 0 ns to the encoder.
    base: Option<i64>,
    /// Time of the first frame that came out: the beginning of the part in the clip.
    first: Option<i64>,
    next_fragment: usize,
    read: VecDeque<SourceFrame>,
    /// Times of frames on their way: what the encoder calls them, what they are, and their length.
    expected: BTreeMap<i64, (i64, u32)>,
    /// Audio that was read and not written: when it is heard, in ticks as recorded.
    audio: VecDeque<(i64, u32, Vec<u8>)>,
    /// Frames of the chunk under way.
    held: Vec<Made>,
    /// End of the last frame, ticks as recorded.
    end: i64,
}

impl RemadePart<'_> {
    /// The frames' codec parameters.
    #[must_use]
    pub fn track(&self) -> Option<&InitTrack> {
        self.init.video()
    }

    /// [`Remade::head`] of the clip.
    ///
    /// # Errors
    /// As there.
    pub fn head(&mut self, config: &[u8], size: Option<(u16, u16)>) -> Result<Vec<u8>> {
        self.clip.head(config, size)
    }

    /// Back to its beginning, as long as no frame was [taken](Self::take).
    pub fn rewind(&mut self) {
        self.next_fragment = self.part.fragments.start;
        (self.base, self.first) = (None, None);
        self.read.clear();
        self.expected.clear();
        self.audio.clear();
    }

    /// Which share of it came out, 0 to 1.
    #[must_use]
    pub fn done(&self) -> f64 {
        (self.end - self.from) as f64 / (self.to - self.from).max(1) as f64
    }

    /// The next frame in decode order.
    ///
    /// # Errors
    /// `Corrupt` when a fragment is damaged, `Storage` when it cannot be read.
    #[expect(clippy::should_implement_trait, reason = "it can fail")]
    pub fn next(&mut self) -> Result<Option<SourceFrame>> {
        while self.read.is_empty() {
            if self.next_fragment >= self.part.fragments.end {
                return Ok(None);
            }
            let chunk = read_chunk(&self.part, self.next_fragment, &self.init)?;
            self.next_fragment += 1;
            self.unpack(&chunk);
        }
        Ok(self.read.pop_front())
    }

    fn unpack(&mut self, chunk: &Chunk) {
        let Some(earliest) = chunk.frames.iter().map(|f| f.pts).min() else {
            self.unpack_audio(chunk);
            return;
        };
        let base = *self.base.get_or_insert(earliest);
        for f in &chunk.frames {
            // Frames that are shown before the keyframe that begins the part belong to what is not there.
            if f.pts < base {
                continue;
            }
            let pts_ns = rescale(f.pts - base, self.timescale, NS_PER_S as u32);
            let shown = (self.from..self.to).contains(&f.pts);
            if shown {
                self.expected.insert(pts_ns, (f.pts, f.duration));
            }
            self.read.push_back(SourceFrame {
                data: chunk.bytes[f.data.clone()].to_vec(),
                pts_ns,
                keyframe: f.keyframe,
                shown,
            });
        }
        self.unpack_audio(chunk);
    }

    fn unpack_audio(&mut self, chunk: &Chunk) {
        let (mut at, mut before) = (None, 0);
        for (id, base, sample, data) in chunk.other_samples() {
            if Some(id) != self.audio_id {
                continue;
            }
            let Some(start) = at.or_else(|| i64::try_from(base?).ok()) else {
                return;
            };
            let long = length(sample.duration, before);
            before = sample.duration;
            at = Some(start.saturating_add(i64::from(sample.duration)));
            self.audio
                .push_back((start.saturating_add(self.audio_offset), long, data.to_vec()));
        }
    }

    /// The encoder's parameters: those of the header, or they go before the keyframes of this part.
    #[must_use]
    pub fn sets_before_keyframes(&self, config: &[u8]) -> Vec<u8> {
        if self.clip.config == config {
            Vec::new()
        } else {
            in_band(config)
        }
    }

    /// A frame of the encoder, in the order of presentation; gives a chunk when one is complete.
    ///
    /// # Errors
    /// `Internal` when it is none that went in.
    pub fn take(&mut self, pts_ns: i64, keyframe: bool, data: Vec<u8>) -> Result<Option<Vec<u8>>> {
        let (pts, length) = self
            .expected
            .remove(&pts_ns)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the encoder gave a frame another time"))?;
        // What lies before and did not come could not be decoded.
        self.expected = self.expected.split_off(&pts_ns);
        self.first.get_or_insert(pts);
        if let Some(last) = self.held.last_mut() {
            last.length = u32::try_from(pts - last.pts).unwrap_or(0);
        }
        let begun = self.held.first().map_or(pts, |f| f.pts);
        let whole = rescale(pts - begun, self.timescale, NS_PER_S as u32) >= CHUNK_NS;
        let chunk = if !self.held.is_empty() && (keyframe || whole) {
            Some(self.chunk(pts))
        } else {
            None
        };
        self.held.push(Made {
            pts,
            length,
            keyframe,
            data,
        });
        self.end = pts.saturating_add(i64::from(length)).min(self.to).max(pts + 1);
        Ok(chunk)
    }

    /// The end of the part; gives what is left.
    #[must_use]
    pub fn finish(mut self) -> Option<Vec<u8>> {
        let first = self.first?;
        let end = self.end;
        if let Some(last) = self.held.last_mut() {
            last.length = u32::try_from(end - last.pts).unwrap_or(1);
        }
        let chunk = (!self.held.is_empty()).then(|| self.chunk(end));
        self.clip.at += rescale(end - first, self.timescale, self.clip.video.timescale);
        chunk
    }

    /// Time in the clip, ticks of its video.
    fn place(&self, pts: i64) -> i64 {
        let first = self.first.unwrap_or(pts);
        self.clip.at + rescale(pts - first, self.timescale, self.clip.video.timescale)
    }

    /// Writes the held frames, and the audio up to a moment.
    fn chunk(&mut self, until: i64) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        let places: Vec<i64> = held.iter().map(|f| self.place(f.pts)).collect();
        let mut ends = places.iter().skip(1).copied().collect::<Vec<_>>();
        ends.push(self.place(until));
        let video: Vec<Sample> = held
            .iter()
            .zip(places.iter().zip(ends))
            .map(|(f, (&at, end))| {
                NewSample {
                    pts: at,
                    duration: u32::try_from(end - at).unwrap_or(f.length),
                    keyframe: f.keyframe,
                    data: &f.data,
                }
                .row()
            })
            .collect();
        let (audio_at, audio, sound) = self.audio_until(until);
        self.clip.sequence = self.clip.sequence.wrapping_add(1);
        let tracks = [
            TrackChunk {
                id: self.clip.video.id,
                decode_time: u64::try_from(places.first().copied().unwrap_or(0)).unwrap_or(0),
                samples: &video,
            },
            TrackChunk {
                id: self.clip.audio.as_ref().map_or(0, |a| a.id),
                decode_time: u64::try_from(audio_at).unwrap_or(0),
                samples: &audio,
            },
        ];
        let mut out = chunk_head(self.clip.sequence, &tracks);
        for f in &held {
            out.extend_from_slice(&f.data);
        }
        out.extend_from_slice(&sound);
        out
    }

    /// The audio that begins before a moment of the video and belongs to what is shown.
    fn audio_until(&mut self, until: i64) -> (i64, Vec<Sample>, Vec<u8>) {
        let Some(track) = &self.clip.audio else {
            return (0, Vec::new(), Vec::new());
        };
        let to_audio = |ticks: i64| rescale(ticks, self.timescale, self.audio_scale);
        let first = to_audio(self.first.unwrap_or(self.from));
        let until = to_audio(until);
        let origin = rescale(self.clip.at, self.clip.video.timescale, track.timescale);
        let (mut samples, mut data, mut begin) = (Vec::new(), Vec::new(), None);
        while self.audio.front().is_some_and(|(at, ..)| *at < until) {
            let Some((at, long, bytes)) = self.audio.pop_front() else {
                break;
            };
            let place = origin + rescale(at - first, self.audio_scale, track.timescale);
            // Of two parts that follow each other, the first may have a little more sound than picture.
            if at < first || place < self.clip.audio_end - i64::from(long) / 2 {
                continue;
            }
            let place = place.max(self.clip.audio_end);
            let begin = *begin.get_or_insert(place);
            let run: i64 = samples.iter().map(|s: &Sample| i64::from(s.duration)).sum();
            // A hole in the sound stays one: the sample before it lasts longer.
            if let Some(last) = samples.last_mut()
                && place > begin + run
            {
                last.duration = last
                    .duration
                    .saturating_add(u32::try_from(place - begin - run).unwrap_or(0));
            }
            samples.push(Sample {
                duration: long,
                size: bytes.len() as u32,
                flags: crate::media::fragment::SampleFlags::SYNC,
                cts_offset: 0,
            });
            self.clip.audio_end = place + i64::from(long);
            data.extend(bytes);
        }
        (begin.unwrap_or(0), samples, data)
    }
}

/// Reads a fragment of a part's segment.
fn read_chunk(part: &PlanPart, number: usize, init: &InitSegment) -> Result<Chunk> {
    let segment = &part.segment;
    let fragment = segment
        .index
        .fragments
        .get(number)
        .filter(|f| f.size <= MOST_FRAGMENT_BYTES)
        .ok_or_else(|| corrupt(format!("{}: a fragment that cannot be", segment.name)))?;
    let mut bytes = vec![0; fragment.size as usize];
    segment.read_exact(fragment.offset, &mut bytes)?;
    Chunk::read(bytes, init).map_err(|e| e.context(&segment.name))
}
