//! From running times to those of RTP. Pure.

use std::time::{Duration, Instant};

/// Ticks between two frames that are sent only so that later ones can be decoded.
const CATCH_UP: u64 = 20;
/// Frames are numbered from here, so that earlier audio has a number as well.
const FIRST_TICKS: u64 = 90_000 * 60;

/// From running times to those of RTP, which never go back.
#[derive(Debug, Default)]
pub(super) struct RtpClock {
    /// Added to running times, in ticks of 90 kHz.
    offset: Option<i64>,
    last: u64,
    /// Where running time and the steady clock met.
    anchor: Option<(i64, Instant)>,
}

fn ticks(ns: i64) -> i64 {
    i64::try_from(i128::from(ns) * 9 / 100_000).unwrap_or(0)
}

impl RtpClock {
    /// Times begin anew.
    pub(super) fn begin(&mut self) {
        self.offset = None;
        self.anchor = None;
    }

    pub(super) fn video(&mut self, pts_ns: i64) -> u64 {
        let start = if self.last == 0 {
            FIRST_TICKS
        } else {
            self.last + 3600
        };
        let offset = *self
            .offset
            .get_or_insert_with(|| i64::try_from(start).unwrap_or(0).saturating_sub(ticks(pts_ns)));
        let at = u64::try_from(ticks(pts_ns).saturating_add(offset)).unwrap_or(0);
        // What the viewer had already and gets again, to decode what follows, is squeezed in between.
        self.last = at.max(self.last + CATCH_UP);
        self.last
    }

    /// `None` before the first picture.
    pub(super) fn audio(&self, pts_ns: i64) -> Option<u64> {
        u64::try_from(ticks(pts_ns).saturating_add(self.offset?)).ok()
    }

    pub(super) fn wall(&mut self, pts_ns: i64, now: Instant) -> Instant {
        let (zero, at) = *self.anchor.get_or_insert((pts_ns, now));
        let ahead = pts_ns.saturating_sub(zero);
        let distance = Duration::from_nanos(ahead.unsigned_abs());
        if ahead >= 0 {
            at + distance
        } else {
            at.checked_sub(distance).unwrap_or(at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn what_is_sent_again_is_squeezed_in_and_time_goes_on() {
        let mut clock = RtpClock::default();
        assert_eq!(clock.audio(0), None);
        let first = clock.video(1000 * MS);
        assert_eq!(first, FIRST_TICKS);
        for n in 1..50 {
            assert_eq!(clock.video((1000 + n * 40) * MS), first + n as u64 * 3600);
        }
        // The group again, from its keyframe.
        let mut last = first + 49 * 3600;
        for n in 0..50 {
            last += CATCH_UP;
            assert_eq!(clock.video((1000 + n * 40) * MS), last);
        }
        // The next one is where it belongs.
        assert_eq!(clock.video(3000 * MS), first + 50 * 3600);
        assert_eq!(clock.audio(3000 * MS), Some(first + 50 * 3600));
        // Another connection, whose times begin at zero: a frame later.
        clock.begin();
        assert_eq!(clock.video(0), first + 51 * 3600);
        assert_eq!(clock.video(40 * MS), first + 52 * 3600);
    }
}
