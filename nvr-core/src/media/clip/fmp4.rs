//! Fragmented clips: one init segment, then the recorded fragments with their times patched.
//!
//! The size is known without reading the fragments, because patching does not change their length: a
//! `tfdt` of 32 bits stays so while all times of its part fit. A part that reaches beyond 2^32 ticks (13 hours
//! of video at 90 kHz) is "wide": each of its fragments grows by the same number of bytes.

use std::sync::{Arc, Mutex, PoisonError};

use super::edges::{audio_offset, look};
use super::head::{TrackHead, fragmented};
use super::moof::{HeaderReader, Rules, find_moof, wide_growth};
use super::plan::{ClipPlan, no_video};
use super::seek::{SeekPoint, mfra, sidx};
use super::source::ClipSegment;
use super::timeline::{Layout, MapEntry, Timeline, rescale};
use crate::error::{Error, Result};
use crate::media::boxes::corrupt;
use crate::media::index::{Fragment, to_ticks};
use crate::media::init::{Edit, InitSegment};

/// Room below 2^32 ticks that is left for what the ends of a part do not tell.
const MARGIN_TICKS: i64 = 1 << 26;

/// Patched heads that are kept for the next read.
const CACHED_HEADS: usize = 8;

#[derive(Debug)]
pub(super) struct Fmp4 {
    /// `ftyp`, `moov`, `sidx`.
    head: Vec<u8>,
    /// `mfra`.
    tail: Vec<u8>,
    parts: Vec<Part>,
    pieces: Vec<Piece>,
    /// Offset of `tail`.
    tail_at: u64,
    timeline: Timeline,
    cache: Mutex<Vec<(usize, Arc<PatchedHead>)>>,
}

#[derive(Debug)]
struct Part {
    segment: ClipSegment,
    rules: Rules,
}

/// A fragment in the clip.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Offset in the clip.
    at: u64,
    part: u32,
    fragment: u32,
}

/// The patched bytes up to the end of a `moof`.
#[derive(Debug)]
struct PatchedHead {
    bytes: Vec<u8>,
    /// How many bytes of the file they replace.
    replaces: usize,
}

impl Fmp4 {
    pub(super) fn open(plan: &ClipPlan, init: &InitSegment) -> Result<Self> {
        Self::open_with(plan, init, i64::from(u32::MAX) - MARGIN_TICKS)
    }

    /// Parts with times above `narrow_limit` are stored wide.
    pub(super) fn open_with(plan: &ClipPlan, init: &InitSegment, narrow_limit: i64) -> Result<Self> {
        let Some(first) = plan.parts.first() else {
            return Err(Error::new(
                crate::error::ErrorKind::InvalidArgument,
                "a plan without parts",
            ));
        };
        let video = init.video().ok_or_else(|| no_video(&first.segment))?;
        let audio = init.audio();
        let mut layout = Layout::new(video.timescale, audio.map_or(0, |a| a.timescale));
        let mut parts = Vec::with_capacity(plan.parts.len());
        let mut bare = true;
        for part in &plan.parts {
            let looked = look(part)?;
            bare &= looked.bare;
            let own = part.segment.init()?;
            let mut shift = layout.push(&looked.edges)?;
            shift.audio = shift.audio.saturating_add(audio_offset(&own));
            parts.push(Part {
                segment: part.segment.clone(),
                rules: Rules {
                    init: own,
                    video_id: video.id,
                    audio_id: audio.map(|a| a.id),
                    shift,
                    wide: false,
                },
            });
        }
        let timeline = layout.finish(None);
        for (part, largest) in parts.iter_mut().zip(&timeline.largest) {
            part.rules.wide = largest.iter().any(|&t| t > narrow_limit);
        }

        let duration = timeline.end.saturating_sub(timeline.start);
        let duration = rescale(duration, video.timescale, init.movie_timescale);
        let duration = u64::try_from(duration).unwrap_or(0);
        let track = |id, timescale| TrackHead {
            id,
            // Duration 0: to the end of the last fragment.
            edits: vec![Edit {
                duration: 0,
                media_time: rescale(timeline.start, video.timescale, timescale),
            }],
            duration,
            table: None,
        };
        let tracks: Vec<TrackHead<'_>> = [Some(video), audio]
            .into_iter()
            .flatten()
            .map(|t| track(t.id, t.timescale))
            .collect();
        let mut head = fragmented(init, &tracks, duration)?;

        // Offsets count from the first fragment until it is known where that is.
        let mut at = 0;
        let mut points = Vec::new();
        let mut pieces = Vec::with_capacity(plan.parts.iter().map(|p| p.fragments.len()).sum());
        for (i, (planned, part)) in plan.parts.iter().zip(&parts).enumerate() {
            let growth = if part.rules.wide { wide_growth() as u64 } else { 0 };
            let index = &part.segment.index;
            for k in planned.fragments.clone() {
                let f = &index.fragments[k];
                if f.keyframe {
                    let pts = index
                        .media_start
                        .saturating_add(to_ticks(f.start_ns, index.timescale))
                        .saturating_add(part.rules.shift.video);
                    points.push(SeekPoint { pts, at });
                }
                pieces.push(Piece {
                    at,
                    part: i as u32,
                    fragment: k as u32,
                });
                at += u64::from(f.size) + growth;
            }
        }
        let shown = (timeline.start, timeline.end);
        head.extend(sidx(video.id, video.timescale, &points, shown, at));
        let base = head.len() as u64;
        for piece in &mut pieces {
            piece.at += base;
        }
        Ok(Self {
            head,
            // The offsets in `mfra` are those of `moof` boxes: only known where nothing precedes them.
            tail: if bare {
                mfra(video.id, &points, base)
            } else {
                Vec::new()
            },
            parts,
            pieces,
            tail_at: base + at,
            timeline,
            cache: Mutex::default(),
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.tail_at + self.tail.len() as u64
    }

    pub(super) fn mapping(&self) -> &[MapEntry] {
        &self.timeline.mapping
    }

    fn fragment(&self, piece: &Piece) -> &Fragment {
        &self.parts[piece.part as usize].segment.index.fragments[piece.fragment as usize]
    }

    fn end_of(&self, i: usize) -> u64 {
        self.pieces.get(i + 1).map_or(self.tail_at, |p| p.at)
    }

    /// Fills `buf`, which lies inside the clip.
    pub(super) fn read_exact(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let out = &mut buf[done..];
            done += if at < self.head.len() as u64 {
                copy(&self.head, at as usize, out)
            } else if at >= self.tail_at {
                copy(&self.tail, (at - self.tail_at) as usize, out)
            } else {
                let i = self.pieces.partition_point(|p| p.at <= at) - 1;
                if self.parts[self.pieces[i].part as usize].rules.wide {
                    self.read_wide(i, at, out)?
                } else {
                    self.read_run(i, at, out)?
                }
            };
        }
        Ok(())
    }

    /// Fragments that follow each other in file and clip: one read, then the `moof`s are patched in it.
    fn read_run(&self, first: usize, at: u64, out: &mut [u8]) -> Result<usize> {
        let part_no = self.pieces[first].part;
        let part = &self.parts[part_no as usize];
        let into = at - self.pieces[first].at;
        let source = self.fragment(&self.pieces[first]).offset + into;
        let mut end = first + 1;
        let mut next = self.fragment(&self.pieces[first]).end_offset();
        while let Some(p) = self.pieces.get(end) {
            let f = self.fragment(p);
            if p.part != part_no || f.offset != next || p.at >= at + out.len() as u64 {
                break;
            }
            next = f.end_offset();
            end += 1;
        }
        let n = usize::try_from(self.end_of(end - 1) - at)
            .unwrap_or(usize::MAX)
            .min(out.len());
        let out = &mut out[..n];
        part.segment.read_exact(source, out)?;
        for i in first..end {
            let f = self.fragment(&self.pieces[i]);
            let start = self.pieces[i].at;
            // Whole head in the buffer: patch it there. Else take it from the cache.
            if start >= at {
                let from = (start - at) as usize;
                let to = out.len().min(from + f.size as usize);
                let here = &mut out[from..to];
                if let Ok((moof_at, moof_end)) =
                    find_moof(here, u64::from(f.size)).map_err(|e| e.context(&part.segment.name))?
                {
                    part.rules
                        .patch(&mut here[moof_at..moof_end], i as u32 + 1)
                        .map_err(|e| e.context(&part.segment.name))?;
                    continue;
                }
            }
            let head = self.patched(i)?;
            let skip = at.saturating_sub(start) as usize;
            if let Some(bytes) = head.bytes.get(skip..) {
                let to = start.saturating_sub(at) as usize;
                copy(bytes, 0, &mut out[to..]);
            }
        }
        Ok(n)
    }

    /// One wide fragment: longer head, sample data, `free`.
    fn read_wide(&self, i: usize, at: u64, out: &mut [u8]) -> Result<usize> {
        let piece = &self.pieces[i];
        let segment = &self.parts[piece.part as usize].segment;
        let f = self.fragment(piece);
        let head = self.patched(i)?;
        let into = (at - piece.at) as usize;
        if into < head.bytes.len() {
            return Ok(copy(&head.bytes, into, out));
        }
        let data_len = f.size as usize - head.replaces;
        let into = into - head.bytes.len();
        if into < data_len {
            let n = out.len().min(data_len - into);
            segment.read_exact(f.offset + (head.replaces + into) as u64, &mut out[..n])?;
            return Ok(n);
        }
        let pad = head.replaces + wide_growth() - head.bytes.len();
        let mut free = vec![0; pad];
        free[..4].copy_from_slice(&(pad as u32).to_be_bytes());
        free[4..8].copy_from_slice(b"free");
        Ok(copy(&free, into - data_len, out))
    }

    fn patched(&self, i: usize) -> Result<Arc<PatchedHead>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, head)) = cache.iter().find(|(n, _)| *n == i) {
            return Ok(Arc::clone(head));
        }
        drop(cache);
        let part = &self.parts[self.pieces[i].part as usize];
        let mut reader = HeaderReader::single(&part.segment);
        let header = reader.read(self.fragment(&self.pieces[i]))?;
        let (before, moof) = (&header.bytes[..header.moof_at], header.moof());
        let sequence = i as u32 + 1;
        let patched = if part.rules.wide {
            part.rules.widen(moof, sequence)
        } else {
            let mut moof = moof.to_vec();
            part.rules.patch(&mut moof, sequence).map(|()| moof)
        }
        .map_err(|e| e.context(&part.segment.name))?;
        let head = Arc::new(PatchedHead {
            bytes: [before, &patched].concat(),
            replaces: header.bytes.len(),
        });
        if head.bytes.len() < head.replaces {
            return Err(corrupt("moof"));
        }
        cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_HEADS {
            cache.remove(0);
        }
        cache.push((i, Arc::clone(&head)));
        Ok(head)
    }
}

/// Copies what fits from `from[at..]` to the start of `out`; says how much.
fn copy(from: &[u8], at: usize, out: &mut [u8]) -> usize {
    let rest = from.get(at..).unwrap_or_default();
    let n = rest.len().min(out.len());
    out[..n].copy_from_slice(&rest[..n]);
    n
}
