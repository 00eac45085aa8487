//! Decoding times of a stream that declares how far it reorders its frames. Pure.

/// Least step of decoding times: one tick of 90 kHz, rounded up.
const STEP_NS: u64 = 11_112;
/// A presentation time this far from the last is a jump of the camera's clock, not reordering.
const JUMP_NS: u64 = 5_000_000_000;
/// The most frames that H.264 and H.265 can reorder.
const MOST: usize = 16;

/// With `depth` frames that may come before one that is shown earlier, the time of decoding of each frame is the
/// time of presentation of the frame `depth` places before it in the order of presentation: that one has come.
/// So nothing is held back, as a timestamper would do.
#[derive(Debug)]
pub(super) struct Declared {
    depth: usize,
    frame_ns: u64,
    /// The latest presentation times, in order.
    window: Vec<u64>,
    last_dts: Option<u64>,
}

impl Declared {
    pub(super) fn new(depth: u32, frame_ns: u64) -> Self {
        Self {
            depth: (depth as usize).clamp(1, MOST),
            frame_ns: frame_ns.max(STEP_NS),
            window: Vec::new(),
            last_dts: None,
        }
    }

    /// Presentation and decoding time of the next frame in decoding order; the latter always increases.
    pub(super) fn stamp(&mut self, pts: u64) -> (u64, u64) {
        if self.window.last().is_none_or(|last| last.abs_diff(pts) > JUMP_NS) {
            // As if frames had come at their usual distance before.
            let before = (1..=self.depth as u64).rev();
            self.window = before
                .map(|n| pts.saturating_sub(n.saturating_mul(self.frame_ns)))
                .collect();
        }
        let at = self.window.partition_point(|t| *t <= pts);
        self.window.insert(at, pts);
        let mut dts = self.window[0];
        if self.window.len() > self.depth {
            self.window.remove(0);
        }
        if let Some(last) = self.last_dts {
            let least = last.saturating_add(STEP_NS);
            if least > pts && self.depth < MOST {
                // It reorders further than it said.
                self.depth += 1;
                self.window
                    .insert(0, self.window[0].saturating_sub(self.frame_ns));
            }
            dts = dts.max(least);
        }
        self.last_dts = Some(dts);
        (pts.max(dts), dts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    fn stamps(depth: u32, order: &[u64]) -> Vec<(u64, u64)> {
        let mut d = Declared::new(depth, 40 * MS);
        order
            .iter()
            .map(|t| d.stamp((1000 + t * 40) * MS))
            .map(|(p, d)| (p / MS, d / MS))
            .collect()
    }

    #[test]
    fn each_frame_has_the_time_of_the_one_before() {
        // I P B B P B B, one frame ahead.
        let order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8];
        let got = stamps(1, &order);
        let dts: Vec<u64> = got.iter().map(|g| g.1).collect();
        assert_eq!(dts, (0..10).map(|i| 960 + i * 40).collect::<Vec<_>>());
        assert!(
            got.iter()
                .zip(order)
                .all(|(g, t)| g.0 == 1000 + t * 40 && g.0 >= g.1)
        );
    }

    #[test]
    fn a_jump_of_the_camera_clock_begins_anew() {
        let mut d = Declared::new(2, 40 * MS);
        d.stamp(1000 * MS);
        d.stamp(1040 * MS);
        let (pts, dts) = d.stamp(100_000 * MS);
        assert_eq!((pts, dts), (100_000 * MS, 99_920 * MS));
        let (pts, dts) = d.stamp(100 * MS);
        assert!(pts >= dts && dts > 99_920 * MS);
    }

    #[test]
    fn deeper_than_declared_settles() {
        let mut d = Declared::new(1, 40 * MS);
        let mut wrong = 0;
        for group in 0..30u64 {
            for n in [4, 2, 1, 3] {
                let want = (1000 + (group * 4 + n) * 40) * MS;
                wrong += usize::from(d.stamp(want).0 != want);
            }
        }
        assert!(wrong < 6, "{wrong}");
    }

    proptest! {
        #[test]
        fn decoding_times_increase_whatever_comes(depth in 0u32..40, times in proptest::collection::vec(any::<u64>(), 1..80)) {
            let mut d = Declared::new(depth, 40 * MS);
            let mut last = None;
            for t in times {
                let (pts, dts) = d.stamp(t.min(u64::MAX / 2));
                prop_assert!(pts >= dts && last.is_none_or(|l| dts > l));
                last = Some(dts);
            }
        }
    }
}
