//! Progressive clips: `moov` with sample tables in front, sample data copied by reference.
//!
//! All `moof`s of the clip are read when it is opened. A part is kept from its keyframe up to the last frame
//! in decode order that is presented before its end, so every frame shown has what it needs; an edit list
//! hides what lies outside the wanted range. Audio is kept where video is.

use std::ops::Range;

use super::edges::{audio_offset, length, pts_of};
use super::head::{TrackHead, progressive};
use super::moof::{HeaderReader, absolute_offsets};
use super::plan::{ClipPlan, PlanPart, no_video};
use super::source::ClipSegment;
use super::tables::SampleTable;
use super::timeline::{Layout, MapEntry, PartEdges, Timeline, TrackEdges, rescale};
use crate::error::{Error, ErrorKind, Result};
use crate::media::boxes::corrupt;
use crate::media::fragment::MovieFragment;
use crate::media::index::Fragment;
use crate::media::init::{Edit, InitSegment, InitTrack};

#[derive(Debug)]
pub(super) struct Mp4 {
    /// `ftyp`, `moov` and the header of `mdat`.
    head: Vec<u8>,
    pieces: Vec<Piece>,
    segments: Vec<ClipSegment>,
    len: u64,
    timeline: Timeline,
}

/// Bytes of a file that stand in the clip as they are.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Offset in the sample data.
    at: u64,
    offset: u64,
    len: u64,
    segment: u32,
}

/// A sample as recorded.
#[derive(Clone, Copy, Debug)]
struct Sample {
    dts: i64,
    pts: i64,
    duration: u32,
    size: u32,
    sync: bool,
}

/// Samples of one track that lie together in the file.
#[derive(Clone, Debug)]
struct Chunk {
    track: usize,
    offset: u64,
    samples: Range<usize>,
}

const VIDEO: usize = 0;
const AUDIO: usize = 1;

/// A part as read from its `moof`s: samples of video and audio, chunks in file order.
#[derive(Debug, Default)]
struct PartSamples {
    samples: [Vec<Sample>; 2],
    chunks: Vec<Chunk>,
}

impl Mp4 {
    /// `lead` bytes are going to stand between `ftyp` and `moov`.
    pub(super) fn open(plan: &ClipPlan, init: &InitSegment, lead: u64) -> Result<Self> {
        let Some((first, last)) = plan.parts.first().zip(plan.parts.last()) else {
            return Err(Error::new(ErrorKind::InvalidArgument, "a plan without parts"));
        };
        let video = init.video().ok_or_else(|| no_video(&first.segment))?;
        let audio = init.audio();
        let audio_scale = audio.map_or(0, |a| a.timescale);
        let mut layout = Layout::new(video.timescale, audio_scale);
        let mut tables = [SampleTable::default(), SampleTable::default()];
        let mut data = Data::default();
        let mut end_pts = None;
        for (i, part) in plan.parts.iter().enumerate() {
            let context = |e: Error| e.context(&part.segment.name);
            let read = PartSamples::read(part, video, audio).map_err(context)?;
            let kept = read.trim(part, i == 0, video, audio_scale).map_err(context)?;
            let shift = layout.push(&kept.edges).map_err(context)?;
            if std::ptr::eq(part, last) {
                end_pts = Some(kept.shown_end.saturating_add(shift.video));
            }
            for chunk in &read.chunks {
                let track = chunk.track;
                let keep = &kept.ranges[track];
                let from = chunk.samples.start.max(keep.start);
                let to = chunk.samples.end.min(keep.end);
                if from >= to {
                    continue;
                }
                let all = &read.samples[track];
                let bytes = |r: Range<usize>| all[r].iter().map(|s| u64::from(s.size)).sum::<u64>();
                let offset = chunk.offset + bytes(chunk.samples.start..from);
                tables[track].begin_chunk(data.len);
                data.push(i as u32, offset, bytes(from..to));
                let shift = if track == VIDEO { shift.video } else { shift.audio };
                for s in &all[from..to] {
                    let (dts, pts) = (s.dts.saturating_add(shift), s.pts.saturating_add(shift));
                    tables[track].push(dts, pts, s.duration, s.size, s.sync);
                }
            }
        }
        tables.iter_mut().for_each(SampleTable::finish);
        let timeline = layout.finish(end_pts);

        let movie_scale = video.timescale;
        let mut heads = vec![TrackHead {
            id: video.id,
            edits: video_edits(&tables[VIDEO], &timeline),
            duration: 0,
            table: Some(&tables[VIDEO]),
        }];
        if let Some(a) = audio.filter(|_| !tables[AUDIO].is_empty()) {
            heads.push(TrackHead {
                id: a.id,
                edits: audio_edits(&tables[AUDIO], &timeline, a.timescale, movie_scale),
                duration: 0,
                table: Some(&tables[AUDIO]),
            });
        }
        for head in &mut heads {
            head.duration = head.edits.iter().map(|e| e.duration).sum();
        }

        // The length of the tables does not depend on the offsets in them: measure, then write.
        let mut measured = progressive(init, &heads, movie_scale, 0, false)?.len() as u64;
        let wide = data.len + 2 * measured + 16 + lead > u64::from(u32::MAX);
        if wide {
            measured = progressive(init, &heads, movie_scale, 0, true)?.len() as u64;
        }
        let mdat_header = if wide { 16 } else { 8 };
        let mut head = progressive(init, &heads, movie_scale, measured + mdat_header + lead, wide)?;
        if wide {
            head.extend(1u32.to_be_bytes());
            head.extend(b"mdat");
            head.extend((data.len + mdat_header).to_be_bytes());
        } else {
            head.extend(((data.len + mdat_header) as u32).to_be_bytes());
            head.extend(b"mdat");
        }
        Ok(Self {
            len: head.len() as u64 + data.len,
            head,
            pieces: data.pieces,
            segments: plan.parts.iter().map(|p| p.segment.clone()).collect(),
            timeline,
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn mapping(&self) -> &[MapEntry] {
        &self.timeline.mapping
    }

    /// Fills `buf`, which lies inside the clip.
    pub(super) fn read_exact(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut done = 0;
        if let Some(rest) = usize::try_from(offset).ok().and_then(|o| self.head.get(o..)) {
            done = rest.len().min(buf.len());
            buf[..done].copy_from_slice(&rest[..done]);
        }
        let data_at = self.head.len() as u64;
        while done < buf.len() {
            let at = offset + done as u64 - data_at;
            let i = self.pieces.partition_point(|p| p.at <= at) - 1;
            let p = self.pieces[i];
            let into = at - p.at;
            let n = (buf.len() - done).min(usize::try_from(p.len - into).unwrap_or(usize::MAX));
            self.segments[p.segment as usize].read_exact(p.offset + into, &mut buf[done..done + n])?;
            done += n;
        }
        Ok(())
    }
}

/// The sample data as it is put together.
#[derive(Debug, Default)]
struct Data {
    pieces: Vec<Piece>,
    len: u64,
}

impl Data {
    fn push(&mut self, segment: u32, offset: u64, len: u64) {
        if len == 0 {
            return;
        }
        match self.pieces.last_mut() {
            Some(p) if p.segment == segment && p.offset + p.len == offset => p.len += len,
            _ => self.pieces.push(Piece {
                at: self.len,
                offset,
                len,
                segment,
            }),
        }
        self.len += len;
    }
}

/// The edit list of the video, whose timescale the movie has: from the clip's start to its end.
fn video_edits(table: &SampleTable, timeline: &Timeline) -> Vec<Edit> {
    vec![Edit {
        duration: timeline.end.saturating_sub(timeline.start).max(0) as u64,
        media_time: timeline
            .start
            .saturating_sub(table.first_dts())
            .saturating_add(table.delay())
            .max(0),
    }]
}

/// The same for audio: it may begin later than the video (an empty edit), and end before it.
fn audio_edits(table: &SampleTable, timeline: &Timeline, timescale: u32, movie_scale: u32) -> Vec<Edit> {
    let in_movie = |t: i64| rescale(t, timescale, movie_scale);
    let begins = in_movie(table.first_dts()).max(timeline.start);
    let ends = in_movie(table.first_dts().saturating_add_unsigned(table.duration())).min(timeline.end);
    let mut list = Vec::new();
    if begins > timeline.start {
        list.push(Edit {
            duration: begins.saturating_sub(timeline.start) as u64,
            media_time: -1,
        });
    }
    let media_time = rescale(begins, movie_scale, timescale).saturating_sub(table.first_dts());
    list.push(Edit {
        duration: ends.saturating_sub(begins).max(0) as u64,
        media_time: media_time.max(0),
    });
    list
}

/// What remains of a part.
#[derive(Debug)]
struct Kept {
    ranges: [Range<usize>; 2],
    edges: PartEdges,
    /// Presentation time as recorded of the first instant that is not shown.
    shown_end: i64,
}

impl PartSamples {
    /// Reads all `moof`s of a part.
    fn read(part: &PlanPart, video: &InitTrack, audio: Option<&InitTrack>) -> Result<Self> {
        let init = part.segment.init()?;
        let mut reader = HeaderReader::new(&part.segment);
        let mut out = Self::default();
        for f in &part.segment.index.fragments[part.fragments.clone()] {
            let header = reader.read(f)?;
            let moof = header.parse(&init)?;
            let moof_offset = f.offset + header.moof_at as u64;
            let data_from = f.offset + header.bytes.len() as u64;
            out.add(&moof, f, moof_offset, data_from, |id| {
                if id == video.id {
                    Some(VIDEO)
                } else {
                    audio.filter(|a| a.id == id).map(|_| AUDIO)
                }
            })?;
        }
        if let [.., before, last] = out.samples[AUDIO].as_mut_slice() {
            last.duration = length(last.duration, before.duration);
        }
        let offset = audio_offset(&init);
        for s in &mut out.samples[AUDIO] {
            s.dts = s.dts.saturating_add(offset);
            s.pts = s.pts.saturating_add(offset);
        }
        if out.samples[VIDEO].is_empty() {
            return Err(corrupt("fragments without video"));
        }
        Ok(out)
    }

    fn add(
        &mut self,
        moof: &MovieFragment<'_>,
        fragment: &Fragment,
        moof_offset: u64,
        data_from: u64,
        track_of: impl Fn(u32) -> Option<usize>,
    ) -> Result<()> {
        let first_chunk = self.chunks.len();
        let mut behind_last = moof_offset;
        for (i, traf) in moof.tracks.iter().enumerate() {
            let base = match traf.base_data_offset {
                Some(base) => base,
                None if traf.default_base_is_moof || i == 0 => moof_offset,
                None => behind_last,
            };
            behind_last = base;
            let track = track_of(traf.track_id);
            let mut dts = match (traf.base_decode_time, track) {
                (Some(t), _) => {
                    i64::try_from(t.value).map_err(|_| corrupt("a decode time is out of range"))?
                }
                (None, None) => 0,
                (None, Some(_)) => return Err(corrupt("a track fragment without 'tfdt'")),
            };
            for run in &traf.runs {
                let offset = match run.data_offset {
                    Some(o) => base
                        .checked_add_signed(i64::from(o))
                        .ok_or_else(absolute_offsets)?,
                    None => behind_last,
                };
                let size = run.size();
                if offset < data_from || offset.saturating_add(size) > fragment.end_offset() {
                    return Err(corrupt(format!(
                        "samples at byte {offset} lie outside their fragment at {}",
                        fragment.offset
                    )));
                }
                behind_last = offset + size;
                let Some(track) = track else { continue };
                let samples = &mut self.samples[track];
                let from = samples.len();
                for s in run.samples() {
                    samples.push(Sample {
                        dts,
                        pts: dts.saturating_add(i64::from(s.cts_offset)),
                        duration: s.duration,
                        size: s.size,
                        sync: s.flags.is_sync(),
                    });
                    dts = dts.saturating_add(i64::from(s.duration));
                }
                self.chunks.push(Chunk {
                    track,
                    offset,
                    samples: from..samples.len(),
                });
            }
        }
        self.chunks[first_chunk..].sort_by_key(|c| c.offset);
        // A track whose runs are not in file order would get its samples in another order than its chunks.
        for track in [VIDEO, AUDIO] {
            let mut starts = self.chunks[first_chunk..]
                .iter()
                .filter(|c| c.track == track)
                .map(|c| c.samples.start);
            let mut last = 0;
            if starts.any(|s| std::mem::replace(&mut last, s) > s) {
                return Err(corrupt("runs of a track are not in file order"));
            }
        }
        Ok(())
    }

    /// Which samples are kept.
    fn trim(&self, part: &PlanPart, first: bool, video: &InitTrack, audio_scale: u32) -> Result<Kept> {
        let init = part.segment.init()?;
        let index = &part.segment.index;
        let shown_pts = pts_of(part, &init, part.shown.start())?;
        let to_end = part.shown.end() >= part.segment.range().end();
        let [videos, audios] = &self.samples;

        let limit = if to_end {
            i64::MAX
        } else {
            pts_of(part, &init, part.shown.end())?
        };
        let keep = videos.iter().rposition(|s| s.pts < limit).map_or(1, |i| i + 1);
        let edges = edges_of(&videos[..keep]);
        let shown_end = limit.min(edges.end_pts);

        let whole_start = !first && index.fragments[..part.fragments.start].is_empty();
        let to_audio = |t: i64| rescale(t, video.timescale, audio_scale);
        let mut range = 0..audios.len();
        if !whole_start {
            let from = if first { shown_pts } else { edges.first_pts };
            // One more in front: a decoder needs it to bring the first one right.
            range.start = audios
                .partition_point(|s| s.dts.saturating_add(i64::from(s.duration)) <= to_audio(from))
                .saturating_sub(usize::from(first));
        }
        if !to_end {
            range.end = audios
                .partition_point(|s| s.dts < to_audio(shown_end))
                .max(range.start);
        }
        let audio_edges = (!range.is_empty()).then(|| edges_of(&audios[range.clone()]));
        Ok(Kept {
            ranges: [0..keep, range],
            edges: PartEdges {
                video: edges,
                audio: audio_edges,
                shown_pts,
                shown: part.shown,
            },
            shown_end,
        })
    }
}

/// Of samples in decode order; there is at least one.
fn edges_of(samples: &[Sample]) -> TrackEdges {
    let edges = |s: &Sample| TrackEdges {
        first_dts: s.dts,
        end_dts: s.dts.saturating_add(i64::from(s.duration)),
        first_pts: s.pts,
        end_pts: s.pts.saturating_add(i64::from(s.duration)),
    };
    let zero = TrackEdges {
        first_dts: 0,
        end_dts: 0,
        first_pts: 0,
        end_pts: 0,
    };
    samples.iter().map(edges).reduce(TrackEdges::and).unwrap_or(zero)
}
