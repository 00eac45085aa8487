//! Where the parts of a clip lie on its time line: one shift per part and track. Pure.
//!
//! Each recorded file counts its decode times from its own start. The parts are put behind one another so
//! that neither decode nor presentation of the video overlaps; the audio of a part moves with its video.
//! Where audio would overlap (a fragment may hold a little more audio than video), it is delayed alone if
//! that cannot be noticed, else the whole part is.

use crate::error::Result;
use crate::media::boxes::corrupt;
use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// Sound so much behind the picture is below what viewers notice (ITU-R BT.1359: 125 ms).
const MOST_AUDIO_DELAY_NS: i64 = 60_000_000;

/// A stretch of a clip and the UTC that it shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct MapEntry {
    /// Where it begins in the clip, nanoseconds.
    pub clip_ns: i64,
    /// UTC of that moment.
    pub utc: Timestamp,
    /// Length in nanoseconds.
    pub duration_ns: i64,
}

/// First and last times of a track within a part, in its own ticks as recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TrackEdges {
    /// Decode time of the first sample.
    pub first_dts: i64,
    /// End of the last sample in decode time.
    pub end_dts: i64,
    /// Earliest presentation.
    pub first_pts: i64,
    /// End of the latest presentation.
    pub end_pts: i64,
}

/// A part as the layout sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartEdges {
    pub video: TrackEdges,
    pub audio: Option<TrackEdges>,
    /// Presentation time as recorded of the first instant shown.
    pub shown_pts: i64,
    /// What is shown.
    pub shown: TimeRange,
}

/// What to add to recorded times.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Shift {
    pub video: i64,
    pub audio: i64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Timeline {
    /// Per part.
    pub shifts: Vec<Shift>,
    /// Presentation time of the clip's start, video ticks.
    pub start: i64,
    /// End of the latest video presentation, video ticks.
    pub end: i64,
    /// Largest time that occurs in each part, in video and audio ticks.
    pub largest: Vec<[i64; 2]>,
    pub mapping: Vec<MapEntry>,
}

/// Rounds to the nearest.
pub(super) fn rescale(ticks: i64, from: u32, to: u32) -> i64 {
    let (from, to) = (i128::from(from.max(1)), i128::from(to));
    let n = (i128::from(ticks) * to * 2 + from).div_euclid(from * 2);
    i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
}

fn ns(ticks: i64, timescale: u32) -> i64 {
    rescale(ticks, timescale, NS_PER_S as u32)
}

/// Puts parts behind one another, one at a time.
#[derive(Debug)]
pub(super) struct Layout {
    video_scale: u32,
    /// 0 without audio.
    audio_scale: u32,
    video_end_dts: i64,
    video_end_pts: i64,
    audio_end: i64,
    timeline: Timeline,
}

impl Layout {
    pub fn new(video_scale: u32, audio_scale: u32) -> Self {
        Self {
            video_scale,
            audio_scale,
            video_end_dts: 0,
            video_end_pts: 0,
            audio_end: 0,
            timeline: Timeline::default(),
        }
    }

    /// The next part; says what to add to its times.
    pub fn push(&mut self, part: &PartEdges) -> Result<Shift> {
        self.checked_push(part)
            .ok_or_else(|| corrupt("the times of a segment are out of range"))
    }

    fn checked_push(&mut self, part: &PartEdges) -> Option<Shift> {
        let (video_scale, audio_scale) = (self.video_scale, self.audio_scale);
        let first = self.timeline.shifts.is_empty();
        let v = &part.video;
        let mut shift = Shift {
            video: self.video_end_dts.checked_sub(v.first_dts)?,
            audio: 0,
        };
        if !first {
            shift.video = shift.video.max(self.video_end_pts.checked_sub(v.first_pts)?);
        }
        shift.audio = rescale(shift.video, video_scale, audio_scale);
        if let Some(a) = &part.audio {
            let overlap = self
                .audio_end
                .checked_sub(a.first_dts.checked_add(shift.audio)?)?;
            if overlap > 0 && (first || ns(overlap, audio_scale) > MOST_AUDIO_DELAY_NS) {
                let delay = rescale(overlap, audio_scale, video_scale).checked_add(1)?;
                shift.video = shift.video.checked_add(delay)?;
                shift.audio = rescale(shift.video, video_scale, audio_scale);
            }
            let overlap = self
                .audio_end
                .checked_sub(a.first_dts.checked_add(shift.audio)?)?;
            shift.audio = shift.audio.checked_add(overlap.max(0))?;
            self.audio_end = self.audio_end.max(a.end_dts.checked_add(shift.audio)?);
        }
        let shown = part.shown_pts.checked_add(shift.video)?;
        self.video_end_dts = v.end_dts.checked_add(shift.video)?;
        self.video_end_pts = v.end_pts.checked_add(shift.video)?;
        let t = &mut self.timeline;
        if first {
            t.start = shown;
        }
        t.end = t.end.max(self.video_end_pts);
        t.largest.push([self.video_end_dts.max(t.end), self.audio_end]);
        t.shifts.push(shift);
        t.mapping.push(MapEntry {
            clip_ns: ns(shown.checked_sub(t.start)?, video_scale),
            utc: part.shown.start(),
            duration_ns: 0,
        });
        Some(shift)
    }

    /// The finished time line; nothing is shown from `end_pts` (video ticks) on.
    pub fn finish(self, end_pts: Option<i64>) -> Timeline {
        let mut t = self.timeline;
        t.end = end_pts.map_or(t.end, |e| e.min(t.end)).max(t.start);
        // Each stretch lasts until the next begins.
        let mut end_ns = ns(t.end.saturating_sub(t.start), self.video_scale);
        for entry in t.mapping.iter_mut().rev() {
            entry.duration_ns = end_ns.saturating_sub(entry.clip_ns).max(0);
            end_ns = entry.clip_ns;
        }
        t
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VIDEO: u32 = 90_000;

    fn edges(start: i64, length: i64, reorder: i64) -> TrackEdges {
        TrackEdges {
            first_dts: start,
            end_dts: start + length,
            first_pts: start + reorder,
            end_pts: start + length + reorder,
        }
    }

    prop_compose! {
        /// Times of a file that starts anywhere; its audio begins and ends up to 2 s beside its video.
        fn part(scale: u32)(
            start in 0i64..1 << 33,
            length in 1i64..2_000_000,
            reorder in 0i64..20_000,
            skip in 0i64..90_000,
            early in -180_000i64..180_000,
            late in -180_000i64..180_000,
            heard in any::<bool>(),
        ) -> PartEdges {
            let first = rescale(start + early, VIDEO, scale);
            let end = rescale(start + length + late, VIDEO, scale).max(first);
            let shown = TimeRange::new(Timestamp::from_secs(1), Timestamp::from_secs(2)).unwrap();
            PartEdges {
                video: edges(start, length, reorder),
                audio: heard.then(|| edges(first, end - first, 0)),
                shown_pts: start + reorder + skip.min(length - 1),
                shown,
            }
        }
    }

    fn parts() -> impl Strategy<Value = (u32, Vec<PartEdges>)> {
        prop::sample::select(vec![8000u32, 44_100, 48_000])
            .prop_flat_map(|scale| (Just(scale), prop::collection::vec(part(scale), 1..8)))
    }

    proptest! {
        #[test]
        fn nothing_overlaps_and_sound_stays_with_its_picture((scale, parts) in parts()) {
            let mut layout = Layout::new(VIDEO, scale);
            let (mut dts, mut pts, mut heard) = (0, i64::MIN, 0);
            for p in &parts {
                let shift = layout.push(p).unwrap();
                prop_assert!(p.video.first_dts + shift.video >= dts);
                prop_assert!(p.video.first_pts + shift.video >= pts);
                dts = p.video.end_dts + shift.video;
                pts = p.video.end_pts + shift.video;
                if let Some(a) = p.audio {
                    prop_assert!(a.first_dts + shift.audio >= heard);
                    heard = a.end_dts + shift.audio;
                    let delay = ns(shift.audio - rescale(shift.video, VIDEO, scale), scale);
                    prop_assert!((-1..=MOST_AUDIO_DELAY_NS + 1).contains(&delay), "{delay}");
                }
            }
            let timeline = layout.finish(None);
            let map = &timeline.mapping;
            prop_assert_eq!(map[0].clip_ns, 0);
            for w in map.windows(2) {
                prop_assert!(w[0].duration_ns > 0);
                prop_assert_eq!(w[0].clip_ns + w[0].duration_ns, w[1].clip_ns);
            }
            prop_assert_eq!(timeline.end, pts);
        }

        #[test]
        fn any_times_are_an_error_at_most(n in prop::collection::vec(any::<i64>(), 9), scale in any::<u32>()) {
            let edges = |n: &[i64]| TrackEdges { first_dts: n[0], end_dts: n[1], first_pts: n[2], end_pts: n[3] };
            let part = PartEdges {
                video: edges(&n),
                audio: Some(edges(&n[4..])),
                shown_pts: n[8],
                shown: TimeRange::ALL,
            };
            let mut layout = Layout::new(VIDEO, scale);
            let _ = layout.push(&part).and_then(|_| layout.push(&part));
            layout.finish(Some(n[8]));
        }
    }
}
