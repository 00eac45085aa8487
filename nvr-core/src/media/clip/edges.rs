//! First and last times of a part, from the `moof`s at its ends.

use super::moof::HeaderReader;
use super::plan::{PlanPart, no_video};
use super::timeline::{PartEdges, TrackEdges, rescale};
use crate::error::Result;
use crate::media::boxes::corrupt;
use crate::media::fragment::MovieFragment;
use crate::media::index::to_ticks;
use crate::media::init::{InitSegment, InitTrack};

/// So many fragments at each end are looked at for a track's first and last sample.
const MOST_LOOKED_AT: usize = 16;

/// Where a track's samples lie in one fragment.
pub(super) fn track_edges(moof: &MovieFragment<'_>, track_id: u32) -> Option<TrackEdges> {
    let mut edges: Option<TrackEdges> = None;
    for track in moof.tracks.iter().filter(|t| t.track_id == track_id) {
        let mut dts = i64::try_from(track.base_decode_time?.value).ok()?;
        let mut before = 0;
        for s in track.samples() {
            let length = i64::from(length(s.duration, before));
            let pts = dts.checked_add(i64::from(s.cts_offset))?;
            let sample = TrackEdges {
                first_dts: dts,
                end_dts: dts.checked_add(length)?,
                first_pts: pts,
                end_pts: pts.checked_add(length)?,
            };
            edges = Some(edges.map_or(sample, |e| e.and(sample)));
            dts = dts.checked_add(i64::from(s.duration))?;
            before = s.duration;
        }
    }
    edges
}

/// How long a sample lasts that says `duration`, behind one that lasts `before`. The last audio of a file may say
/// 0: nothing came that would have told its end. It is heard in full all the same.
pub(super) const fn length(duration: u32, before: u32) -> u32 {
    if duration == 0 { before } else { duration }
}

impl TrackEdges {
    /// The same, so many ticks later.
    pub(super) fn moved(self, ticks: i64) -> Self {
        Self {
            first_dts: self.first_dts.saturating_add(ticks),
            end_dts: self.end_dts.saturating_add(ticks),
            first_pts: self.first_pts.saturating_add(ticks),
            end_pts: self.end_pts.saturating_add(ticks),
        }
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            first_dts: self.first_dts.min(other.first_dts),
            end_dts: self.end_dts.max(other.end_dts),
            first_pts: self.first_pts.min(other.first_pts),
            end_pts: self.end_pts.max(other.end_pts),
        }
    }
}

/// Presentation time, as recorded, of an instant of a part's segment.
pub(super) fn pts_of(part: &PlanPart, init: &InitSegment, utc: crate::time::Timestamp) -> Result<i64> {
    let video = init.video().ok_or_else(|| no_video(&part.segment))?;
    let index = &part.segment.index;
    if index.timescale != video.timescale {
        return Err(corrupt(format!(
            "{}: its index counts {} ticks a second, its video {}",
            part.segment.name, index.timescale, video.timescale
        )));
    }
    let offset = to_ticks(utc.since(part.segment.start), video.timescale);
    Ok(index.media_start.saturating_add(offset))
}

/// What to add to the audio times of a file, in audio ticks, so that they count from where its video times
/// do: edit lists may place the two differently.
pub(super) fn audio_offset(init: &InitSegment) -> i64 {
    let (Some(video), Some(audio)) = (init.video(), init.audio()) else {
        return 0;
    };
    // Where media time 0 is presented, in ticks of the track.
    let origin = |track: &InitTrack| {
        let mut at = 0i64;
        for edit in &track.edits {
            if edit.media_time >= 0 {
                return at.saturating_sub(edit.media_time);
            }
            let empty = i64::try_from(edit.duration).unwrap_or(0);
            at = at.saturating_add(rescale(empty, init.movie_timescale, track.timescale));
        }
        0
    };
    origin(audio).saturating_sub(rescale(origin(video), video.timescale, audio.timescale))
}

/// What reading the ends of a part brought.
#[derive(Debug)]
pub(super) struct Looked {
    /// Audio times with [`audio_offset`] added.
    pub edges: PartEdges,
    /// Whether each fragment looked at begins with its `moof`.
    pub bare: bool,
}

/// Reads the first and last fragments of a part.
pub(super) fn look(part: &PlanPart) -> Result<Looked> {
    let init = part.segment.init()?;
    let video_id = init.video().ok_or_else(|| no_video(&part.segment))?.id;
    let audio_id = init.audio().map(|t| t.id);
    let fragments = &part.segment.index.fragments[part.fragments.clone()];
    let mut reader = HeaderReader::single(&part.segment);
    let mut video: Option<TrackEdges> = None;
    let mut audio: Option<TrackEdges> = None;
    let mut bare = true;
    let join = |edges: &mut Option<TrackEdges>, new: Option<TrackEdges>| {
        *edges = match (*edges, new) {
            (Some(a), Some(b)) => Some(a.and(b)),
            (a, b) => a.or(b),
        };
        new.is_some()
    };
    let mut visit = |i: usize| -> Result<(bool, bool)> {
        let header = reader.read(&fragments[i])?;
        bare &= header.moof_at == 0;
        let moof = header.parse(&init).map_err(|e| e.context(&part.segment.name))?;
        Ok((
            join(&mut video, track_edges(&moof, video_id)),
            audio_id.is_some_and(|id| join(&mut audio, track_edges(&moof, id))),
        ))
    };
    let n = fragments.len();
    let mut seen = (false, audio_id.is_none());
    for i in 0..n.min(MOST_LOOKED_AT) {
        let (v, a) = visit(i)?;
        seen = (seen.0 | v, seen.1 | a);
        if seen == (true, true) {
            break;
        }
    }
    // Two with video at the end: with B-frames the last presented frame may lie in the one before.
    let (mut videos, mut audios) = (0, u32::from(audio_id.is_none()));
    for i in (n.saturating_sub(MOST_LOOKED_AT)..n).rev() {
        let (v, a) = visit(i)?;
        videos += u32::from(v);
        audios += u32::from(a);
        if videos >= 2 && audios >= 1 {
            break;
        }
    }
    let video = video.ok_or_else(|| corrupt(format!("{}: fragments without video", part.segment.name)))?;
    Ok(Looked {
        edges: PartEdges {
            video,
            audio: audio.map(|a| a.moved(audio_offset(&init))),
            shown_pts: pts_of(part, &init, part.shown.start())?,
            shown: part.shown,
        },
        bare,
    })
}
