//! Where frames go on the time line of a viewer. Pure.
//!
//! A browser's `SourceBuffer` drops everything up to the next keyframe when a frame begins later than twice the length
//! of the one before it (Media Source Extensions, 3.5.8). How long a frame is, is known only when the next one comes,
//! and nobody wants to wait for that. So frames are put end to end with a length that is estimated, and what that is
//! wrong by is made good by the length of the next one.

use crate::time::NS_PER_S;

/// Ticks of video per second.
pub(super) const VIDEO_TIMESCALE: u32 = 90_000;
/// A frame so far from where it should be does not belong to what went before: a pause, or frames that were lost.
const JUMP: i64 = VIDEO_TIMESCALE as i64 / 2;
/// Audio that is so far off is a hole, or overlaps; nearer than that it is put end to end.
const AUDIO_JUMP_MS: i64 = 100;

fn ticks(ns: i64, timescale: u32) -> i64 {
    let scaled = i128::from(ns) * i128::from(timescale);
    i64::try_from((scaled + i128::from(NS_PER_S) / 2).div_euclid(i128::from(NS_PER_S))).unwrap_or(0)
}

/// The time line of one viewer, from the beginning of a connection or a loss on.
#[derive(Debug)]
pub(super) struct Line {
    /// Running time that is zero on the line.
    origin_ns: Option<i64>,
    /// Where the next video frame goes.
    next: i64,
    /// The usual distance of frames, in ticks.
    usual: i64,
    /// Whether `usual` was measured.
    measured: bool,
    last_dts_ns: Option<i64>,
    audio_next: Option<i64>,
}

/// Where a frame goes, in ticks of its track.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Placed {
    pub(super) at: i64,
    pub(super) duration: u32,
}

impl Line {
    /// `frame_rate` as the stream declares it.
    pub(super) fn new(frame_rate: Option<f64>) -> Self {
        let usual = frame_rate
            .filter(|r| (0.1..=1000.0).contains(r))
            .map_or(3600, |r| (f64::from(VIDEO_TIMESCALE) / r) as i64);
        Self {
            origin_ns: None,
            next: 0,
            usual,
            measured: false,
            last_dts_ns: None,
            audio_next: None,
        }
    }

    /// Places the next video frame by its decoding time.
    pub(super) fn video(&mut self, dts_ns: i64) -> Placed {
        let origin = *self.origin_ns.get_or_insert(dts_ns);
        if let Some(last) = self.last_dts_ns {
            let distance = ticks(dts_ns.saturating_sub(last), VIDEO_TIMESCALE);
            if (90..=10 * i64::from(VIDEO_TIMESCALE)).contains(&distance) {
                if self.measured {
                    self.usual += (distance - self.usual) / 8;
                } else {
                    self.usual = distance;
                    self.measured = true;
                }
            }
        }
        self.last_dts_ns = Some(dts_ns);
        // How much later it should be than it is put.
        let mut late = ticks(dts_ns.saturating_sub(origin), VIDEO_TIMESCALE) - self.next;
        if late.abs() > JUMP.max(2 * self.usual) {
            self.origin_ns = Some(origin.saturating_add(late * NS_PER_S / i64::from(VIDEO_TIMESCALE)));
            late = 0;
        }
        let duration = (self.usual + late).clamp((self.usual / 2).max(1), self.usual * 3 / 2 + 1);
        let at = self.next;
        self.next += duration;
        Placed {
            at,
            duration: u32::try_from(duration).unwrap_or(1),
        }
    }

    /// Places an audio packet; `None` for one that is not to be played: there is no picture yet, or it overlaps.
    pub(super) fn audio(&mut self, pts_ns: i64, duration_ns: i64, timescale: u32) -> Option<Placed> {
        let origin = self.origin_ns?;
        let at = ticks(pts_ns.saturating_sub(origin), timescale);
        if at < 0 {
            return None;
        }
        let duration = ticks(duration_ns, timescale).max(1);
        let jump = AUDIO_JUMP_MS * i64::from(timescale) / 1000;
        let at = match self.audio_next {
            Some(next) if at < next - jump => return None,
            Some(next) if at <= next + jump => next,
            _ => at,
        };
        self.audio_next = Some(at + duration);
        Some(Placed {
            at,
            duration: u32::try_from(duration).unwrap_or(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn even_frames_are_exact() {
        let mut line = Line::new(None);
        for n in 0..100 {
            let placed = line.video(5_000 * MS + n * 40 * MS);
            assert_eq!(
                placed,
                Placed {
                    at: n * 3600,
                    duration: 3600
                }
            );
        }
    }

    #[test]
    fn a_pause_is_left_out_and_sound_stays_with_the_picture() {
        let mut line = Line::new(Some(25.0));
        for n in 0..50 {
            line.video(n * 40 * MS);
        }
        assert_eq!(line.audio(1000 * MS, 64 * MS, 16_000).unwrap().at, 16_000);
        let after = line.video(9_000 * MS);
        assert_eq!(after.at, 50 * 3600);
        // Seven seconds were left out of the sound as well.
        assert_eq!(line.audio(9_000 * MS, 64 * MS, 16_000).unwrap().at, 32_000);
        assert_eq!(line.audio(9_060 * MS, 64 * MS, 16_000).unwrap().at, 32_000 + 1024);
        // What sounded before the pause came to its end does not overlap.
        assert_eq!(line.audio(8_500 * MS, 64 * MS, 16_000), None);
    }

    #[test]
    fn sound_without_a_picture_waits() {
        let mut line = Line::new(None);
        assert_eq!(line.audio(0, 20 * MS, 8000), None);
        line.video(100 * MS);
        assert_eq!(line.audio(50 * MS, 20 * MS, 8000), None);
        assert!(line.audio(100 * MS, 20 * MS, 8000).is_some());
    }

    proptest! {
        /// No frame begins later than the one before it ends, nor after twice its length: a browser keeps them all.
        #[test]
        fn frames_lie_end_to_end(steps in prop::collection::vec(0i64..3_000, 1..200), rate in prop::option::of(1f64..100.0)) {
            let mut line = Line::new(rate);
            let (mut at, mut dts) = (0, 0);
            for step in steps {
                dts += step * MS;
                let placed = line.video(dts);
                prop_assert_eq!(placed.at, at);
                prop_assert!(placed.duration > 0);
                at += i64::from(placed.duration);
            }
        }

        /// Frames that tremble stay near where they belong.
        #[test]
        fn jitter_does_not_add_up(jitter in prop::collection::vec(-15i64..15, 100..300)) {
            let mut line = Line::new(Some(25.0));
            for (n, j) in jitter.into_iter().enumerate() {
                let placed = line.video((n as i64 * 40 + 1000 + j) * MS);
                let off = placed.at / 90 - n as i64 * 40;
                prop_assert!(off.abs() < 100, "frame {n} is {off} ms off");
            }
        }
    }
}
