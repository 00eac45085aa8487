//! From running times to the ticks of a file: one origin for all tracks, decoding times that only increase,
//! audio packets that join where they nearly do. Pure.

use crate::time::NS_PER_S;

/// Ticks of video per second; rates of cameras divide it, and RTP counts in it (RFC 6184, 8.2.1).
pub(super) const VIDEO_TIMESCALE: u32 = 90_000;

fn ticks(ns: i64, timescale: u32) -> i64 {
    let scaled = i128::from(ns) * i128::from(timescale);
    let half = i128::from(NS_PER_S) / 2;
    i64::try_from((scaled + half).div_euclid(i128::from(NS_PER_S))).unwrap_or(0)
}

/// The times of one file.
///
/// Where frames are reordered, decoding times are moved up so that the first frame is decoded when it is shown:
/// composition offsets are then negative for frames that are shown before others (`trun` version 1), and no edit
/// list is needed (CMAF, 23000-19, 7.5.17).
#[derive(Debug)]
pub(super) struct FileTimes {
    origin_ns: i64,
    /// Added to decoding times.
    reorder_ns: i64,
    last_dts: Option<i64>,
    audio_scale: u32,
    /// Where the audio that was placed so far ends.
    audio_end: Option<i64>,
}

/// Where a video unit goes, in ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Placed {
    pub(super) dts: i64,
    pub(super) cts_offset: i32,
}

impl FileTimes {
    /// `first` are presentation and decoding time of the file's first frame, `audio_ns` that of its first audio
    /// packet, if it is known; `audio_scale` the ticks of the audio per second.
    pub(super) fn new(first: (i64, i64), audio_ns: Option<i64>, audio_scale: u32) -> Self {
        Self {
            origin_ns: audio_ns.map_or(first.0, |a| a.min(first.0)),
            reorder_ns: first.0.saturating_sub(first.1),
            last_dts: None,
            audio_scale: audio_scale.max(1),
            audio_end: None,
        }
    }

    fn dts(&self, dts_ns: i64) -> i64 {
        let at = dts_ns
            .saturating_add(self.reorder_ns)
            .saturating_sub(self.origin_ns);
        let least = self.last_dts.map_or(0, |last| last + 1);
        ticks(at, VIDEO_TIMESCALE).max(least)
    }

    /// Places the next video unit.
    pub(super) fn video(&mut self, pts_ns: i64, dts_ns: i64) -> Placed {
        let dts = self.dts(dts_ns);
        self.last_dts = Some(dts);
        let pts = ticks(pts_ns.saturating_sub(self.origin_ns), VIDEO_TIMESCALE);
        let cts = pts.saturating_sub(dts);
        Placed {
            dts,
            cts_offset: i32::try_from(cts).unwrap_or(if cts < 0 { i32::MIN } else { i32::MAX }),
        }
    }

    /// Where the unit after those that were placed would be decoded.
    pub(super) fn end_of_video(&self, next_dts_ns: i64) -> i64 {
        self.dts(next_dts_ns)
    }

    /// Places the next audio packet of `duration_ns`: its time and duration in ticks. `None` for one that ends
    /// before the file begins.
    pub(super) fn audio(&mut self, pts_ns: i64, duration_ns: i64) -> Option<(i64, u32)> {
        let duration = ticks(duration_ns, self.audio_scale).clamp(1, i64::from(u32::MAX));
        let at = ticks(pts_ns.saturating_sub(self.origin_ns), self.audio_scale);
        let at = match self.audio_end {
            // Times jitter and are rounded; packets of one encoder follow each other without a hole.
            Some(end) if at < end + duration => end,
            Some(_) => at,
            None if at < 0 => return None,
            None => at,
        };
        self.audio_end = Some(at + duration);
        Some((at, duration as u32))
    }
}

/// Durations from times: each sample lasts until the next one, the last one until `end`.
pub(super) fn durations(starts: &[i64], end: i64) -> impl Iterator<Item = u32> + '_ {
    starts
        .iter()
        .zip(starts.iter().skip(1).copied().chain([end]))
        .map(|(&start, next)| u32::try_from(next.saturating_sub(start)).unwrap_or(0))
}

/// A decoding time as it stands in a chunk.
pub(super) fn decode_time(ticks: i64) -> u64 {
    u64::try_from(ticks).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn frames_in_order_begin_at_zero() {
        let mut t = FileTimes::new((5_000 * MS, 5_000 * MS), None, 48_000);
        for i in 0..50 {
            let at = (5_000 + i * 40) * MS;
            assert_eq!(
                t.video(at, at),
                Placed {
                    dts: i * 3600,
                    cts_offset: 0
                }
            );
        }
        assert_eq!(t.end_of_video(7_000 * MS), 180_000);
    }

    #[test]
    fn reordered_frames_have_offsets_of_both_signs() {
        // I P B B, decoded 80 ms before they are shown.
        let frames = [(80, 0), (200, 40), (120, 80), (160, 120)];
        let mut t = FileTimes::new((80 * MS, 0), None, 48_000);
        let placed: Vec<_> = frames
            .iter()
            .map(|(p, d)| t.video(p * MS, d * MS))
            .map(|p| (p.dts, p.dts + i64::from(p.cts_offset)))
            .collect();
        assert_eq!(placed, [(0, 0), (3600, 10_800), (7200, 3600), (10_800, 7200)]);
    }

    #[test]
    fn audio_that_begins_before_the_video_moves_the_origin() {
        let mut t = FileTimes::new((100 * MS, 100 * MS), Some(90 * MS), 48_000);
        assert_eq!(t.audio(90 * MS, 21_333_333), Some((0, 1024)));
        assert_eq!(t.video(100 * MS, 100 * MS).dts, 900);
        // What comes later from before the beginning has no place.
        let mut t = FileTimes::new((100 * MS, 100 * MS), None, 48_000);
        assert_eq!(t.audio(90 * MS, 21_333_333), None);
        assert_eq!(t.audio(111_333_333, 21_333_333), Some((544, 1024)));
    }

    #[test]
    fn audio_joins_unless_there_is_a_hole() {
        let mut t = FileTimes::new((0, 0), None, 48_000);
        assert_eq!(t.audio(0, 21_333_333), Some((0, 1024)));
        // Five milliseconds late and five early.
        assert_eq!(t.audio(26_333_333, 21_333_333), Some((1024, 1024)));
        assert_eq!(t.audio(37_666_666, 21_333_333), Some((2048, 1024)));
        assert_eq!(t.audio(500 * MS, 21_333_333), Some((24_000, 1024)));
    }

    #[test]
    fn each_lasts_until_the_next() {
        assert_eq!(
            durations(&[0, 3600, 9000], 10_000).collect::<Vec<_>>(),
            [3600, 5400, 1000]
        );
        assert_eq!(durations(&[], 5).count(), 0);
    }

    proptest! {
        /// Whatever times come, decoding times increase and presentation is within half a tick of the truth.
        #[test]
        fn decoding_times_increase(frames in prop::collection::vec((0i64..1 << 45, 0i64..1 << 45), 1..60)) {
            let mut t = FileTimes::new(frames[0], None, 48_000);
            let mut last = None;
            for (pts, dts) in frames.iter().copied() {
                let p = t.video(pts, dts);
                prop_assert!(last.is_none_or(|l| p.dts > l));
                last = Some(p.dts);
                if p.cts_offset != i32::MIN && p.cts_offset != i32::MAX {
                    let shown = (p.dts + i64::from(p.cts_offset)) as f64 / 90_000.0;
                    let truth = (pts - frames[0].0) as f64 / 1e9;
                    prop_assert!((shown - truth).abs() <= 0.5 / 90_000.0 + 1e-9);
                }
            }
        }

        /// Audio never overlaps, and is never farther from its time than a packet.
        #[test]
        fn audio_stays_near_its_time(steps in prop::collection::vec(0i64..60 * MS, 1..200)) {
            let mut t = FileTimes::new((0, 0), None, 48_000);
            let (mut pts, mut end) = (0, 0);
            for step in steps {
                // The gate lets none through that begins before half of the one before is over.
                pts += step.max(11 * MS);
                let Some((at, duration)) = t.audio(pts, 21_333_333) else { continue };
                prop_assert!(at >= end);
                end = at + i64::from(duration);
            }
        }
    }
}
