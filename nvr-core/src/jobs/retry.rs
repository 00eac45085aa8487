//! How long a job waits for its next attempt. Pure.

use std::time::Duration;

/// The first waits in seconds; after them it is the ceiling.
const FIRST_S: [u64; 5] = [5, 10, 20, 40, 80];

/// The wait after so many failed attempts (from 1): 5, 10, 20, 40, 80 s, then the ceiling, which bounds them all.
#[must_use]
pub fn pause(attempts: u32, ceiling: Duration) -> Duration {
    let nth = usize::try_from(attempts.max(1) - 1).unwrap_or(usize::MAX);
    FIRST_S
        .get(nth)
        .map_or(ceiling, |s| Duration::from_secs(*s).min(ceiling))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits() {
        let ceiling = Duration::from_secs(600);
        let waits: Vec<u64> = (0..9).map(|n| pause(n, ceiling).as_secs()).collect();
        assert_eq!(waits, [5, 5, 10, 20, 40, 80, 600, 600, 600]);
        assert_eq!(pause(u32::MAX, ceiling), ceiling);
        let low = Duration::from_secs(15);
        assert_eq!([1, 2, 3, 9].map(|n| pause(n, low).as_secs()), [5, 10, 15, 15]);
    }
}
