//! Where a chunk ends: by time, between frames that no reordering joins. Pure.

use std::time::Duration;

use super::Unit;

/// A keyframe this long after the beginning of the fragment begins another one.
const FRAGMENT_NS: i64 = 1_000_000_000;

/// Says before which units of a file a chunk ends.
#[derive(Debug)]
pub(super) struct Cuts {
    chunk_ns: i64,
    chunk_from_ns: i64,
    fragment_from_ns: i64,
    latest_pts_ns: i64,
    /// The last unit before which a chunk might end: its decoding time, and whether it is a keyframe.
    clear: Option<(i64, bool)>,
}

impl Cuts {
    pub(super) fn new(chunk: Duration) -> Self {
        Self {
            chunk_ns: i64::try_from(chunk.as_nanos()).unwrap_or(i64::MAX).max(1),
            chunk_from_ns: 0,
            fragment_from_ns: 0,
            latest_pts_ns: 0,
            clear: None,
        }
    }

    /// Whether a chunk ends before `unit`; `begins` when it is the first of a file.
    pub(super) fn before(&mut self, unit: &Unit, begins: bool) -> bool {
        // A frame that is shown before an earlier one stays with it: so chunks follow each other in presentation
        // as they do in decoding.
        let clear = !begins && unit.pts_ns > self.latest_pts_ns;
        self.latest_pts_ns = if begins {
            unit.pts_ns
        } else {
            self.latest_pts_ns.max(unit.pts_ns)
        };
        if begins {
            self.chunk_from_ns = unit.dts_ns;
            self.fragment_from_ns = unit.dts_ns;
            self.clear = None;
            return false;
        }
        if clear {
            self.clear = Some((unit.dts_ns, unit.keyframe));
        }
        let chunk = unit.dts_ns.saturating_sub(self.chunk_from_ns);
        let fragment = unit.dts_ns.saturating_sub(self.fragment_from_ns);
        let due = if unit.keyframe {
            // Reading begins at a keyframe: better a short chunk before it than one that has it inside.
            chunk >= self.chunk_ns / 2 || fragment >= FRAGMENT_NS
        } else {
            chunk >= self.chunk_ns
        };
        let cut = due && clear;
        if cut {
            self.cut(unit.dts_ns, unit.keyframe);
        }
        cut
    }

    /// Nothing will come for a while: the decoding time of the last unit before which a chunk can end, though none is due
    /// by time. If there is one, that is settled. However short the chunk: what is not in one is lost in a crash for as
    /// long as the pause, and another pause may follow before one is due.
    pub(super) fn at_pause(&mut self) -> Option<i64> {
        let (dts_ns, keyframe) = self.clear.take()?;
        if dts_ns <= self.chunk_from_ns {
            return None;
        }
        self.cut(dts_ns, keyframe);
        Some(dts_ns)
    }

    const fn cut(&mut self, dts_ns: i64, keyframe: bool) {
        self.chunk_from_ns = dts_ns;
        if keyframe {
            self.fragment_from_ns = dts_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i64 = 1_000_000;

    /// Frames before which a chunk ends, of (presentation, decoding) times in ms.
    fn cuts(chunk_ms: u64, units: impl IntoIterator<Item = (i64, i64, bool)>) -> Vec<i64> {
        crate::gst::init().unwrap();
        let mut cuts = Cuts::new(Duration::from_millis(chunk_ms));
        let mut at = Vec::new();
        for (i, (pts, dts, keyframe)) in units.into_iter().enumerate() {
            let unit = Unit {
                buffer: gst::Buffer::new(),
                pts_ns: pts * 1_000_000,
                dts_ns: dts * 1_000_000,
                duration: None,
                keyframe,
            };
            if cuts.before(&unit, i == 0) {
                at.push(dts);
            }
        }
        at
    }

    #[test]
    fn by_time_and_at_keyframes() {
        let frames = |gop: i64| (0..30).map(move |i| (i * 40, i * 40, i % gop == 0));
        assert_eq!(cuts(200, frames(100)), [200, 400, 600, 800, 1000]);
        assert_eq!(cuts(500, frames(9)), [360, 720, 1080]);
        assert_eq!(cuts(200, frames(7)), [200, 400, 560, 760, 960, 1120]);
    }

    #[test]
    fn each_frame_of_a_slow_stream_is_a_chunk() {
        assert_eq!(
            cuts(200, (0..4).map(|i| (i * 5000, i * 5000, true))),
            [5000, 10_000, 15_000]
        );
        assert_eq!(
            cuts(200, (0..4).map(|i| (i * 5000, i * 5000, i == 0))),
            [5000, 10_000, 15_000]
        );
    }

    #[test]
    fn never_between_a_frame_and_one_that_is_shown_before_it() {
        // I P B B P B B …
        let order = [0i64, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11];
        let units = order
            .iter()
            .enumerate()
            .map(|(d, p)| (p * 40, d as i64 * 40 - 40, d == 0));
        let at = cuts(160, units);
        assert_eq!(at, [120, 360]);
    }

    fn unit(pts_ms: i64, dts_ms: i64, keyframe: bool) -> Unit {
        Unit {
            buffer: gst::Buffer::new(),
            pts_ns: pts_ms * MS,
            dts_ns: dts_ms * MS,
            duration: None,
            keyframe,
        }
    }

    #[test]
    fn what_came_in_one_go_is_a_chunk_of_its_own() {
        crate::gst::init().unwrap();
        let mut cuts = Cuts::new(Duration::from_millis(250));
        assert!(!cuts.before(&unit(0, 0, true), true));
        assert_eq!(cuts.at_pause(), None, "a file does not begin with an empty chunk");
        assert!(!cuts.before(&unit(40, 40, false), false));
        assert_eq!(cuts.at_pause(), Some(40 * MS), "be it ever so short");
        assert!(!cuts.before(&unit(80, 80, false), false));
        assert_eq!(cuts.at_pause(), Some(80 * MS));
        assert_eq!(cuts.at_pause(), None, "once");
        // The next one by time counts from there, and is not put before a frame that is shown before another: at a pause
        // it ends before the one that those hang on.
        assert!(!cuts.before(&unit(320, 240, false), false));
        assert!(!cuts.before(&unit(280, 280, false), false));
        assert_eq!(cuts.at_pause(), Some(240 * MS));
        assert!(!cuts.before(&unit(400, 360, false), false));
        assert!(cuts.before(&unit(520, 500, false), false));
        assert_eq!(cuts.at_pause(), None, "it has ended there");
    }

    proptest! {
        /// What a crash costs between two ticks: the frames of the tick, and those at the end of the one before it that
        /// no chunk could end behind; wherever keyframes lie, which end chunks of their own.
        #[test]
        fn after_a_pause_nothing_waits_but_the_last_frames(
            gop in 1i64..80, bframes in 0i64..4, tick_ms in 100i64..600, frame_ms in 10i64..120,
        ) {
            crate::gst::init().unwrap();
            let mut cuts = Cuts::new(Duration::from_millis(250));
            let group = bframes + 1;
            let mut next_tick_ms = tick_ms;
            for i in 0..200 {
                // One that is shown late, then those before it: I P B B P B B.
                let place = if i == 0 { 0 } else { (i - 1) / group * group + (if (i - 1) % group == 0 { group } else { (i - 1) % group }) };
                let u = unit(place * frame_ms, i * frame_ms, i == 0 || (i - 1) % (gop * group) == 0);
                cuts.before(&u, i == 0);
                if i * frame_ms >= next_tick_ms {
                    next_tick_ms += tick_ms;
                    cuts.at_pause();
                    prop_assert!(u.dts_ns - cuts.chunk_from_ns <= bframes * frame_ms * MS);
                }
            }
        }
    }
}
