//! How long to wait before the next try. Pure.

use std::time::Duration;

use crate::event::CauseKind;

/// First wait after a failure.
pub const FIRST: Duration = Duration::from_secs(1);
/// Longest wait between tries of a camera that may come back at any time.
pub const LONGEST: Duration = Duration::from_secs(30);
/// Wait after a failure that a retry does not mend: many cameras lock an account after a few wrong
/// passwords, so such tries are rare.
pub const RARE: Duration = Duration::from_mins(5);
/// A connection that held this long was good: the next failure starts from [`FIRST`] again.
pub const GOOD_AFTER: Duration = Duration::from_secs(30);

/// Whether a failure is tried rarely because only a person can mend it.
#[must_use]
pub const fn is_lasting(kind: CauseKind) -> bool {
    matches!(kind, CauseKind::Unauthorized | CauseKind::Unsupported)
}

/// Exponential back-off with jitter: 1, 2, 4, … 30 s, each ±25 %, for ever.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait before the next try after a failure of this kind. `jitter` is uniform in `[0, 1)`.
    pub fn next(&mut self, kind: CauseKind, jitter: f64) -> Duration {
        let base = if is_lasting(kind) {
            RARE
        } else {
            let doubled = FIRST.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX));
            self.failures = self.failures.saturating_add(1).min(16);
            doubled.min(LONGEST)
        };
        let factor = 0.75 + 0.5 * jitter.clamp(0.0, 1.0);
        base.mul_f64(factor)
            .clamp(FIRST.mul_f64(0.75), RARE.mul_f64(1.25))
    }

    /// The connection was good.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last good connection.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn grows_to_thirty_seconds_and_stays() {
        let mut b = Backoff::default();
        let waits: Vec<u64> = (0..50)
            .map(|_| b.next(CauseKind::Unreachable, 0.5).as_secs())
            .collect();
        assert_eq!(&waits[..7], &[1, 2, 4, 8, 16, 30, 30]);
        assert!(waits[7..].iter().all(|&w| w == 30));
        b.reset();
        assert_eq!(b.next(CauseKind::Unreachable, 0.5), FIRST);
    }

    #[test]
    fn a_wrong_password_is_tried_rarely_and_does_not_count_as_outage() {
        let mut b = Backoff::default();
        assert_eq!(b.next(CauseKind::Unauthorized, 0.5), RARE);
        assert_eq!(b.failures(), 0);
    }

    proptest! {
        #[test]
        fn always_within_bounds(kinds in proptest::collection::vec(0usize..4, 1..100), jitter in 0.0f64..1.0) {
            let mut b = Backoff::default();
            for k in kinds {
                let kind = [CauseKind::Unreachable, CauseKind::Unauthorized, CauseKind::DiskFull, CauseKind::NoFrames][k];
                let w = b.next(kind, jitter);
                prop_assert!(w >= FIRST.mul_f64(0.75) && w <= RARE.mul_f64(1.25));
                if !is_lasting(kind) {
                    prop_assert!(w <= LONGEST.mul_f64(1.25));
                }
            }
        }
    }
}
