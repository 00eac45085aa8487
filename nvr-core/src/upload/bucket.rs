//! A limit of bytes per second, as a bucket of tokens. Pure.

use std::time::Duration;

use crate::time::NS_PER_S;

/// How much may go at once after a rest, in time at the full rate.
const BURST: Duration = Duration::from_millis(250);

/// Tokens come at a steady rate; who takes more than there are goes into debt and waits until it is paid.
///
/// So the order is that of asking, nobody starves, and the average is exact however large the pieces are.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    bytes_per_s: u64,
    /// When all debts are paid, in steady time.
    paid_ns: i64,
}

impl TokenBucket {
    /// A full bucket; a rate of 0 is no limit.
    #[must_use]
    pub const fn new(bytes_per_s: u64) -> Self {
        Self {
            bytes_per_s,
            paid_ns: i64::MIN,
        }
    }

    /// Bytes per second; 0 is no limit.
    #[must_use]
    pub const fn bytes_per_s(&self) -> u64 {
        self.bytes_per_s
    }

    /// Takes so many bytes at a steady time; they may go after so long.
    pub fn take(&mut self, bytes: u64, steady_ns: i64) -> Duration {
        if self.bytes_per_s == 0 {
            return Duration::ZERO;
        }
        let burst = i64::try_from(BURST.as_nanos()).unwrap_or(i64::MAX);
        let from = self.paid_ns.max(steady_ns.saturating_sub(burst));
        let cost = u128::from(bytes) * u128::from(NS_PER_S.unsigned_abs()) / u128::from(self.bytes_per_s);
        self.paid_ns = from.saturating_add(i64::try_from(cost).unwrap_or(i64::MAX));
        let wait = self.paid_ns.saturating_sub(steady_ns);
        Duration::from_nanos(u64::try_from(wait).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rate_is_kept_and_no_rate_is_no_limit() {
        let mut bucket = TokenBucket::new(1000);
        assert_eq!(bucket.take(250, 0), Duration::ZERO, "a rested one has a burst");
        assert_eq!(bucket.take(1000, 0), Duration::from_secs(1));
        assert_eq!(bucket.take(500, 1_000_000_000), Duration::from_millis(500));
        assert_eq!(bucket.take(250, 60_000_000_000), Duration::ZERO);
        assert_eq!(TokenBucket::new(0).take(u64::MAX, 0), Duration::ZERO);
        assert!(TokenBucket::new(1).take(u64::MAX, i64::MAX) <= Duration::from_nanos(u64::MAX));
    }

    proptest! {
        /// Over any stretch no more goes than the rate and one burst allow, if everybody waits as told.
        #[test]
        fn never_more_than_the_rate(rate in 1u64..10_000_000, pieces in prop::collection::vec((1u64..200_000, 0i64..500_000_000), 1..60)) {
            let mut bucket = TokenBucket::new(rate);
            let (mut now, mut sent) = (0i64, 0u64);
            for (bytes, pause) in pieces {
                let wait = bucket.take(bytes, now);
                now += i64::try_from(wait.as_nanos()).unwrap();
                sent += bytes;
                let allowed = u128::from(rate) * u128::from(now.unsigned_abs() + 250_000_001) / 1_000_000_000;
                prop_assert!(u128::from(sent) <= allowed + 1, "{} of {} after {} ns", sent, allowed, now);
                now += pause;
            }
        }
    }
}
