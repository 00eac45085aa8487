//! One stretch on its way: its frames go to the encoder, and what comes back becomes chunks, with the sound that belongs
//! there.

use std::collections::{BTreeMap, VecDeque};

use super::{Remade, SourceFrame};
use crate::error::{Error, ErrorKind, Result};
use crate::media::boxes::corrupt;
use crate::media::clip::edges::length;
use crate::media::clip::plan::PlanPart;
use crate::media::clip::timeline::rescale;
use crate::media::fragment::Sample;
use crate::media::init::{InitSegment, InitTrack};
use crate::media::mux::{TrackChunk, chunk_head};
use crate::media::recode::{Chunk, NewSample, in_band};
use crate::time::NS_PER_S;

/// Largest fragment that is read into memory.
const MOST_FRAGMENT_BYTES: u32 = 256 << 20;
/// A chunk is at least so long, unless a keyframe begins the next.
const CHUNK_NS: i64 = 500_000_000;

/// A frame as the encoder made it, its time in ticks of the part.
#[derive(Debug)]
pub(super) struct Made {
    pts: i64,
    length: u32,
    keyframe: bool,
    data: Vec<u8>,
}

/// A stretch of one segment.
#[derive(Debug)]
pub struct RemadePart<'a> {
    pub(super) clip: &'a mut Remade,
    pub(super) part: PlanPart,
    pub(super) init: std::sync::Arc<InitSegment>,
    pub(super) timescale: u32,
    pub(super) audio_id: Option<u32>,
    pub(super) audio_scale: u32,
    pub(super) audio_offset: i64,
    /// What is shown, ticks as recorded.
    pub(super) from: i64,
    pub(super) to: i64,
    /// Time of the earliest frame, which is 0 ns to the encoder.
    pub(super) base: Option<i64>,
    /// Time of the first frame that came out: the beginning of the part in the clip.
    pub(super) first: Option<i64>,
    pub(super) next_fragment: usize,
    pub(super) read: VecDeque<SourceFrame>,
    /// Times of frames on their way: what the encoder calls them, what they are, and their length.
    pub(super) expected: BTreeMap<i64, (i64, u32)>,
    /// Audio that was read and not written: when it is heard, in ticks as recorded.
    pub(super) audio: VecDeque<(i64, u32, Vec<u8>)>,
    /// Frames of the chunk under way.
    pub(super) held: Vec<Made>,
    /// End of the last frame, ticks as recorded.
    pub(super) end: i64,
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

    /// When a frame that [`next`](Self::next) gave is shown.
    #[must_use]
    pub fn utc_of(&self, pts_ns: i64) -> crate::time::Timestamp {
        let lead = rescale(
            self.base.unwrap_or(self.from) - self.from,
            self.timescale,
            NS_PER_S as u32,
        );
        self.part.shown.start().add_ns(lead.saturating_add(pts_ns))
    }

    /// Takes the sound that was read since the last time: when each piece is heard, and its bytes.
    pub fn take_sound(&mut self) -> Vec<(crate::time::Timestamp, Vec<u8>)> {
        let from = rescale(self.from, self.timescale, self.audio_scale);
        let start = self.part.shown.start();
        let heard = |at: i64| start.add_ns(rescale(at - from, self.audio_scale, NS_PER_S as u32));
        let pieces = std::mem::take(&mut self.audio);
        pieces
            .into_iter()
            .map(|(at, _, data)| (heard(at), data))
            .collect()
    }

    /// The parameters of its sound.
    #[must_use]
    pub fn sound(&self) -> Option<&InitTrack> {
        self.init.audio()
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
