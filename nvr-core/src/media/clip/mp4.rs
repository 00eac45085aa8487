//! Progressive clips: `moov` with sample tables in front, sample data copied by reference.
//!
//! Which samples there are is read when the clip is opened. A part is kept from its keyframe up to the last frame
//! in decode order that is presented before its end, so every frame shown has what it needs; an edit list
//! hides what lies outside the wanted range. Audio is kept where video is.

use std::ops::Range;

use super::head::{TrackHead, progressive};
use super::part_samples::{AUDIO, PartSamples, VIDEO};
use super::plan::{ClipPlan, no_video};
use super::source::ClipSegment;
use super::tables::SampleTable;
use super::timeline::{Layout, MapEntry, Timeline, rescale};
use crate::error::{Error, ErrorKind, Result};
use crate::media::init::{Edit, InitSegment};

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
