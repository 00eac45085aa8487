//! Another codec in the same file: a segment's chunks with other video samples in them.
//!
//! Times, chunks and audio are not made again but copied: the decode times, durations and composition offsets of
//! the samples stay ticks of the same clock, the audio stays the same bytes. Only the video samples and their
//! sizes differ, and the sample entry in `moov`. Where the old stream reordered frames (B-frames), the new one
//! does not, and its decode times become the presentation times.

mod header;

use std::ops::Range;

pub use self::header::{NewVideo, in_band, init_with};
use super::boxes::{BoxWriter, Boxes, FourCc, corrupt};
use super::fragment::{MovieFragment, Sample, SampleFlags, TrackFragment};
use super::init::InitSegment;
use super::mux::{TrackChunk, chunk_head};
use crate::error::{Error, ErrorKind, Result};

/// Most samples of a chunk: half a second has some hundred. A run can claim millions in a few bytes.
const MOST_SAMPLES: u64 = 1 << 17;

/// One video frame of a chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Presentation time on the track's clock, in ticks.
    pub pts: i64,
    /// Decode time, in ticks.
    pub dts: i64,
    /// Ticks to the next frame in decode order.
    pub duration: u32,
    /// Whether it is a keyframe.
    pub keyframe: bool,
    /// Where its bytes are in the chunk.
    pub data: Range<usize>,
}

/// The part of another track than the video's, copied as it is.
#[derive(Clone, Debug)]
struct OtherTrack {
    id: u32,
    base_decode_time: Option<u64>,
    samples: Vec<Sample>,
    data: Vec<Range<usize>>,
}

/// One `moof`+`mdat` pair, read.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Number in `mfhd`.
    pub sequence: u32,
    /// Its bytes, as in the file.
    pub bytes: Vec<u8>,
    /// Its video frames in decode order.
    pub frames: Vec<Frame>,
    others: Vec<OtherTrack>,
}

/// A video sample of the new stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewSample<'a> {
    /// Presentation time, in ticks: that of a frame of the chunk.
    pub pts: i64,
    /// Ticks to the next.
    pub duration: u32,
    /// Whether it is a keyframe.
    pub keyframe: bool,
    /// Length-prefixed NAL units.
    pub data: &'a [u8],
}

impl Chunk {
    /// Reads a fragment: its bytes as they are in the file. `init` tells the tracks.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not a whole fragment, `Unsupported` when its samples lie elsewhere in the file.
    pub fn read(bytes: Vec<u8>, init: &InitSegment) -> Result<Self> {
        let video = init.video().map(|t| t.id);
        let moof = Boxes::new(&bytes)
            .find(|b| !matches!(b, Ok(b) if b.kind() != b"moof"))
            .ok_or_else(|| corrupt("a fragment without 'moof'"))??;
        let (moof_at, parsed) = (moof.offset, MovieFragment::parse(moof.bytes, init)?);
        let samples: u64 = parsed.tracks.iter().map(TrackFragment::sample_count).sum();
        if samples > MOST_SAMPLES {
            return Err(corrupt(format!("a fragment that claims {samples} samples")));
        }
        let (mut frames, mut others) = (Vec::new(), Vec::new());
        for (i, traf) in parsed.tracks.iter().enumerate() {
            if traf.base_data_offset.is_some() || !(traf.default_base_is_moof || i == 0) {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "a fragment whose samples do not lie relative to it",
                ));
            }
            let data = places(traf, moof_at, bytes.len())?;
            if Some(traf.track_id) == video {
                let base = traf
                    .base_decode_time
                    .ok_or_else(|| corrupt("a fragment without a decode time"))?;
                let mut dts = i64::try_from(base.value).map_err(|_| corrupt("a decode time out of range"))?;
                for (s, data) in traf.samples().zip(data) {
                    frames.push(Frame {
                        pts: dts.saturating_add(i64::from(s.cts_offset)),
                        dts,
                        duration: s.duration,
                        keyframe: s.flags.is_sync(),
                        data,
                    });
                    dts = dts.saturating_add(i64::from(s.duration));
                }
            } else {
                others.push(OtherTrack {
                    id: traf.track_id,
                    base_decode_time: traf.base_decode_time.map(|t| t.value),
                    samples: traf.samples().collect(),
                    data,
                });
            }
        }
        Ok(Self {
            sequence: parsed.sequence,
            bytes,
            frames,
            others,
        })
    }

    /// Whether its frames are shown in another order than they are decoded.
    #[must_use]
    pub fn reorders(&self) -> bool {
        self.frames.windows(2).any(|w| w[1].pts <= w[0].pts)
    }

    /// The bytes of the tracks that are not video, with their times and lengths; for comparing.
    pub fn other_samples(&self) -> impl Iterator<Item = (u32, Option<u64>, Sample, &[u8])> {
        self.others.iter().flat_map(|t| {
            t.samples
                .iter()
                .zip(&t.data)
                .map(|(s, at)| (t.id, t.base_decode_time, *s, &self.bytes[at.clone()]))
        })
    }

    /// The same chunk with other video samples. With `keep_decode_times` each sample takes decode time, duration
    /// and composition offset of the frame in its place; else they are decoded when they are shown.
    ///
    /// # Errors
    /// `Internal` when the samples are not those of its frames, or are 4 GiB.
    pub fn with_video(
        &self,
        video_id: u32,
        samples: &[NewSample<'_>],
        keep_decode_times: bool,
    ) -> Result<Vec<u8>> {
        let mut pts: Vec<i64> = self.frames.iter().map(|f| f.pts).collect();
        pts.sort_unstable();
        if !samples.iter().map(|s| s.pts).eq(pts) {
            return Err(Error::new(
                ErrorKind::Internal,
                "the new samples are not those of the chunk's frames",
            ));
        }
        let media: usize = samples.iter().map(|s| s.data.len()).sum::<usize>()
            + self
                .others
                .iter()
                .flat_map(|t| &t.data)
                .map(Range::len)
                .sum::<usize>();
        if media > i32::MAX as usize {
            return Err(corrupt("a chunk that is too large"));
        }
        let mut w = BoxWriter::new();
        // Where data offsets have to be entered, and how much lies before that data.
        let mut patches: Vec<(usize, usize)> = Vec::new();
        let mut before = 0usize;
        w.boxed(b"moof", |w| {
            w.full(b"mfhd", 0, 0, |w| {
                w.u32(self.sequence);
            });
            if let Some(first) = samples.first() {
                let decode = match self.frames.first() {
                    Some(f) if keep_decode_times => f.dts,
                    _ => first.pts,
                };
                let rows: Vec<Sample> = samples
                    .iter()
                    .zip(&self.frames)
                    .map(|(s, f)| Sample {
                        duration: if keep_decode_times { f.duration } else { s.duration },
                        size: s.data.len() as u32,
                        flags: if s.keyframe {
                            SampleFlags::SYNC
                        } else {
                            SampleFlags::NON_SYNC
                        },
                        cts_offset: if keep_decode_times {
                            i32::try_from(f.pts - f.dts).unwrap_or(0)
                        } else {
                            0
                        },
                    })
                    .collect();
                let at = write_traf(w, video_id, u64::try_from(decode).ok(), &rows);
                patches.push((at, before));
                before += samples.iter().map(|s| s.data.len()).sum::<usize>();
            }
            for track in &self.others {
                let at = write_traf(w, track.id, track.base_decode_time, &track.samples);
                patches.push((at, before));
                before += track.data.iter().map(Range::len).sum::<usize>();
            }
        });
        let moof_len = w.position();
        for (at, before) in patches {
            w.patch_u32(at, (moof_len + 8 + before) as u32);
        }
        w.boxed(b"mdat", |w| {
            for s in samples {
                w.bytes(s.data);
            }
            for at in self.others.iter().flat_map(|t| &t.data) {
                w.bytes(&self.bytes[at.clone()]);
            }
        });
        Ok(w.into_bytes())
    }

    /// The same chunk with those video samples that there are: they are decoded when they are shown, and frames that
    /// could not be had are left out.
    #[must_use]
    pub fn with_pictures(&self, video_id: u32, samples: &[NewSample<'_>]) -> Vec<u8> {
        let rows: Vec<Sample> = samples.iter().map(NewSample::row).collect();
        let mut tracks = Vec::with_capacity(1 + self.others.len());
        let first = samples.first().map_or(0, |s| s.pts);
        tracks.push(TrackChunk {
            id: video_id,
            decode_time: u64::try_from(first).unwrap_or(0),
            samples: &rows,
        });
        tracks.extend(self.others.iter().map(|t| TrackChunk {
            id: t.id,
            decode_time: t.base_decode_time.unwrap_or(0),
            samples: &t.samples,
        }));
        let mut out = chunk_head(self.sequence, &tracks);
        for s in samples {
            out.extend_from_slice(s.data);
        }
        for at in self.others.iter().flat_map(|t| &t.data) {
            out.extend_from_slice(&self.bytes[at.clone()]);
        }
        out
    }
}

impl NewSample<'_> {
    /// As a run tells it, decoded when it is shown.
    #[must_use]
    pub fn row(&self) -> Sample {
        Sample {
            duration: self.duration,
            size: self.data.len() as u32,
            flags: if self.keyframe {
                SampleFlags::SYNC
            } else {
                SampleFlags::NON_SYNC
            },
            cts_offset: 0,
        }
    }
}

/// Writes a track fragment of one run; gives the place of its data offset.
fn write_traf(w: &mut BoxWriter, id: u32, decode: Option<u64>, samples: &[Sample]) -> usize {
    const OFFSET_DURATION_SIZE_FLAGS_CTS: u32 = 0x01 | 0x100 | 0x200 | 0x400 | 0x800;
    let mut at = 0;
    w.boxed(b"traf", |w| {
        // default-base-is-moof
        w.full(b"tfhd", 0, 0x02_0000, |w| {
            w.u32(id);
        });
        if let Some(decode) = decode {
            w.full(b"tfdt", 1, 0, |w| {
                w.u64(decode);
            });
        }
        w.full(b"trun", 1, OFFSET_DURATION_SIZE_FLAGS_CTS, |w| {
            w.u32(samples.len() as u32);
            at = w.position();
            w.u32(0);
            for s in samples {
                w.u32(s.duration)
                    .u32(s.size)
                    .u32(s.flags.0)
                    .u32(s.cts_offset.cast_unsigned());
            }
        });
    });
    at
}

/// Where each sample of a track fragment lies, checked.
fn places(traf: &TrackFragment<'_>, moof_at: usize, len: usize) -> Result<Vec<Range<usize>>> {
    let mut out = Vec::new();
    let mut next: Option<usize> = None;
    for run in &traf.runs {
        let mut at = match (run.data_offset, next) {
            (Some(offset), _) => i64::try_from(moof_at)
                .ok()
                .and_then(|base| usize::try_from(base + i64::from(offset)).ok()),
            (None, next) => next,
        }
        .ok_or_else(|| corrupt("samples without a place"))?;
        for s in run.samples() {
            let end = at.saturating_add(s.size as usize);
            if end > len {
                return Err(corrupt("a sample that lies behind its fragment"));
            }
            out.push(at..end);
            at = end;
        }
        next = Some(at);
    }
    Ok(out)
}

/// The sample entry of H.264 that is read here.
#[must_use]
pub fn is_avc(entry: FourCc) -> bool {
    entry == b"avc1" || entry == b"avc3"
}

#[cfg(test)]
mod tests;
