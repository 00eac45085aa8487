//! Keeps a track's times usable: increasing, and near the clock. Pure.

/// A deviation from the arrival larger than this is a fault of the stream, not delay.
const JUMP_NS: i64 = 10_000_000_000;
/// A step back smaller than this is jitter; a larger one is a new beginning.
const BACK_NS: i64 = 200_000_000;
/// Least distance of two decoding times: well above the rounding of the file's 90 kHz scale at the borders of
/// chunks, for players discard a unit whose decoding time does not advance.
const STEP_NS: i64 = 1_000_000;
/// A leap forward that is a fault even when nobody knows the time of arrival.
const DAY_NS: i64 = 86_400_000_000_000;
/// Where a stream is put that jumped: it came through a jitter buffer.
const DELAY_NS: i64 = 200_000_000;

/// Times of one track.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Retimer {
    shift_ns: i64,
    last_dts_ns: Option<i64>,
    /// How often the track was placed anew.
    pub jumps: u64,
}

impl Retimer {
    /// Presentation and decoding time to use for a unit. `arrival_ns` is the pipeline's running time now;
    /// `None` when the units are not live.
    pub(crate) fn fix(&mut self, pts_ns: i64, dts_ns: i64, arrival_ns: Option<i64>) -> (i64, i64) {
        // Two centuries are more than any stream means, and leave room to add.
        const MOST: i64 = i64::MAX / 4;
        let (pts_ns, dts_ns) = (pts_ns.clamp(-MOST, MOST), dts_ns.clamp(-MOST, MOST));
        let reorder = pts_ns.saturating_sub(dts_ns).clamp(0, JUMP_NS);
        let mut dts = dts_ns.saturating_add(self.shift_ns);
        let floor = self.last_dts_ns.map_or(i64::MIN, |l| l.saturating_add(STEP_NS));
        let far = match (arrival_ns, self.last_dts_ns) {
            (Some(a), _) => dts.abs_diff(a) > JUMP_NS as u64,
            (None, Some(last)) => dts.saturating_sub(last) > DAY_NS,
            (None, None) => false,
        };
        let back = floor.saturating_sub(dts) > BACK_NS;
        if far || back {
            let target = arrival_ns.map_or(floor, |a| a.saturating_sub(DELAY_NS).max(floor));
            self.shift_ns = target.saturating_sub(dts_ns);
            dts = target;
            self.jumps += 1;
        }
        dts = dts.max(floor);
        self.last_dts_ns = Some(dts);
        let pts = if dts == dts_ns {
            pts_ns.max(dts)
        } else {
            dts.saturating_add(reorder)
        };
        (pts, dts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn good_times_pass_untouched() {
        let mut r = Retimer::default();
        for (i, jitter) in [0, 3, -5, 11, 0].into_iter().enumerate() {
            let dts = i as i64 * 40_000_000 + jitter * 1_000_000;
            assert_eq!(
                r.fix(dts + 80_000_000, dts, Some(dts + 250_000_000)),
                (dts + 80_000_000, dts)
            );
        }
        assert_eq!(r.jumps, 0);
    }

    #[test]
    fn fm04_jumps_of_hours_follow_the_arrival() {
        let mut r = Retimer::default();
        let mut last = i64::MIN;
        let mut shift = 0;
        for i in 0..100i64 {
            let arrival = i * 40_000_000 + 200_000_000;
            shift += match i {
                30 => 149 * 3600 * S,
                60 => -200 * 3600 * S,
                _ => 0,
            };
            let (pts, dts) = r.fix(i * 40_000_000 + shift, i * 40_000_000 + shift, Some(arrival));
            assert!(dts > last && pts >= dts);
            assert!((arrival - dts).abs() < S, "{i}: {dts} at {arrival}");
            last = dts;
        }
        assert_eq!(r.jumps, 2);
    }

    #[test]
    fn fm06_duplicates_and_small_steps_back_advance_by_a_little() {
        let mut r = Retimer::default();
        assert_eq!(r.fix(0, 0, None), (0, 0));
        assert_eq!(r.fix(0, 0, None), (STEP_NS, STEP_NS));
        assert_eq!(r.fix(0, -1000, None).1, 2 * STEP_NS);
        assert_eq!(r.fix(S, S, None), (S, S));
    }

    proptest! {
        #[test]
        fn decoding_times_always_increase(units in prop::collection::vec((any::<i64>(), any::<i64>(), any::<Option<i32>>()), 1..200)) {
            let mut r = Retimer::default();
            let mut last = None;
            for (pts, dts, arrival) in units {
                let (pts, dts) = r.fix(pts, dts, arrival.map(i64::from));
                prop_assert!(pts >= dts);
                prop_assert!(last.is_none_or(|l| dts > l));
                last = Some(dts);
            }
        }
    }
}
