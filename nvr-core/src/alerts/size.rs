//! Whether a segment is unusually large or small for its camera. Pure.
//!
//! Bytes per second of an encoder differ by day and night, so mean and deviation would follow the very outliers that are looked
//! for. Median and median absolute deviation do not: B. Iglewicz and D. Hoaglin, *How to Detect and Handle Outliers* (ASQC,
//! 1993), call a value an outlier whose modified z-score `0.6745·(x − median)/MAD` is beyond 3.5 (also NIST/SEMATECH
//! e-Handbook, 1.3.5.17). Rates are compared by their logarithms: half as much is as far away as twice as much.

use std::collections::VecDeque;

/// Segments that are remembered.
const MOST: usize = 96;
/// Fewer say nothing yet.
const LEAST: usize = 12;
/// The score beyond which a value is an outlier.
const SCORE: f64 = 3.5;
/// What makes the median absolute deviation of a normal distribution its standard deviation (0.75 quantile).
const NORMAL: f64 = 0.6745;

/// The newest rates of a camera.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Sizes(VecDeque<f64>);

impl Sizes {
    /// Takes the rate of a segment (bytes per second). The usual rate, if this one is out of the usual; it counts for later
    /// ones, so that a new normal becomes one.
    pub(super) fn take(&mut self, rate: f64, factor: f64) -> Option<f64> {
        if !rate.is_finite() || rate < 0.0 {
            return None;
        }
        // Two digits are plenty, and short in the index.
        let value = (rate.max(1.0).ln() * 100.0).round() / 100.0;
        let found = self.judge(value, factor);
        self.0.push_back(value);
        if self.0.len() > MOST {
            self.0.pop_front();
        }
        found
    }

    fn judge(&self, value: f64, factor: f64) -> Option<f64> {
        if self.0.len() < LEAST {
            return None;
        }
        let middle = median(self.0.iter().copied())?;
        let spread = median(self.0.iter().map(|v| (v - middle).abs()))?;
        let away = (value - middle).abs();
        // A camera that always sends the same has no spread at all; then the factor alone decides.
        let is_outlier = NORMAL * away > SCORE * spread;
        (is_outlier && away >= factor.max(1.0).ln()).then(|| middle.exp())
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    let half = all.len() / 2;
    match all.len() {
        0 => None,
        n if n % 2 == 1 => all.get(half).copied(),
        _ => Some((all.get(half - 1)? + all.get(half)?) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_from_the_usual_is_found_and_becomes_usual() {
        let mut sizes = Sizes::default();
        for n in 0..LEAST {
            assert_eq!(sizes.take(250_000.0 + n as f64 * 1000.0, 4.0), None);
        }
        assert_eq!(
            sizes.take(150_000.0, 4.0),
            None,
            "an outlier, but not by the factor"
        );
        let usual = sizes.take(20_000.0, 4.0).unwrap();
        assert!((250_000.0..262_000.0).contains(&usual), "{usual}");
        assert!(sizes.take(2_000_000.0, 4.0).is_some());
        for _ in 0..MOST {
            sizes.take(20_000.0, 4.0);
        }
        assert_eq!(sizes.take(20_000.0, 4.0), None);
        assert_eq!(sizes.take(f64::NAN, 4.0), None);
    }

    #[test]
    fn day_and_night_are_usual_both() {
        let mut sizes = Sizes::default();
        for n in 0..MOST {
            sizes.take(if n % 2 == 0 { 100_000.0 } else { 700_000.0 }, 4.0);
        }
        assert_eq!(sizes.take(100_000.0, 4.0), None);
        assert_eq!(sizes.take(700_000.0, 4.0), None);
        assert!(sizes.take(500.0, 4.0).is_some());
    }
}
