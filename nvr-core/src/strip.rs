//! How much moved in each second, kept compactly. Pure.
//!
//! A byte for each second, an hour together: 0 where nobody looked, else 1 (nothing moved) to 255.

use std::collections::BTreeMap;

use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// Seconds of an hour, and so bytes of one at most.
pub const HOUR: usize = 3600;
const HOUR_NS: i64 = HOUR as i64 * NS_PER_S;

/// A score as a byte.
#[must_use]
pub fn byte_of(score: f32) -> u8 {
    1 + (score.clamp(0.0, 1.0) * 254.0).round() as u8
}

/// The score of a byte; `None` where nobody looked.
#[must_use]
pub fn score_of(byte: u8) -> Option<f32> {
    (byte > 0).then(|| f32::from(byte - 1) / 254.0)
}

/// Scores that are not in the index yet.
#[derive(Clone, Debug, Default)]
pub struct Strip(BTreeMap<i64, Vec<u8>>);

impl Strip {
    /// Adds a look; of several in a second the highest counts.
    pub fn add(&mut self, at: Timestamp, score: f32) {
        let hour = at.as_ns().div_euclid(HOUR_NS) * HOUR_NS;
        let second = usize::try_from((at.as_ns() - hour) / NS_PER_S).unwrap_or(0);
        let seconds = self.0.entry(hour).or_default();
        if seconds.len() <= second {
            seconds.resize(second + 1, 0);
        }
        seconds[second] = seconds[second].max(byte_of(score));
    }

    /// Takes what there is: the beginning of each hour, and its seconds.
    pub fn take(&mut self) -> Vec<(Timestamp, Vec<u8>)> {
        let all = std::mem::take(&mut self.0);
        all.into_iter()
            .map(|(hour, seconds)| (Timestamp::from_ns(hour), seconds))
            .collect()
    }
}

/// Puts two versions of an hour together: the higher of each second.
#[must_use]
pub fn merge(mut old: Vec<u8>, new: &[u8]) -> Vec<u8> {
    old.resize(old.len().max(new.len()), 0);
    for (old, new) in old.iter_mut().zip(new) {
        *old = (*old).max(*new);
    }
    old.truncate(HOUR);
    old
}

/// Hours that a range touches, as the first beginning and the end behind the last.
#[must_use]
pub fn hours(range: TimeRange) -> (Timestamp, Timestamp) {
    let into = range.start().as_ns().rem_euclid(HOUR_NS);
    (range.start().add_ns(-into), range.end())
}

/// The highest score of each of `buckets` equal parts of a range; `None` where nobody looked. A part shorter than the
/// distance of looks is given what was seen just before it, so that a close view has no holes.
#[must_use]
pub fn buckets(hours: &[(Timestamp, Vec<u8>)], range: TimeRange, buckets: usize) -> Vec<Option<f32>> {
    /// Keyframes are no rarer, mostly.
    const HOLD_NS: i64 = 5 * NS_PER_S;
    let mut out = vec![0u8; buckets];
    // All of time is longer than 64 bits can say.
    let (from, end) = (i128::from(range.start().as_ns()), i128::from(range.end().as_ns()));
    let count = i128::try_from(buckets).unwrap_or(1);
    let at = |ns: i64| usize::try_from((i128::from(ns) - from) * count / (end - from)).unwrap_or(0);
    let mut looks = hours.iter().flat_map(|(hour, seconds)| {
        let seconds = seconds.iter().enumerate().filter(|(_, byte)| **byte > 0);
        seconds.map(|(n, byte)| (hour.add_ns(n as i64 * NS_PER_S), *byte))
    });
    let mut now = looks.next();
    while let Some((look, byte)) = now {
        now = looks.next();
        let until = now.map_or(look.add_ns(NS_PER_S), |(next, _)| {
            next.clamp(look.add_ns(1), look.add_ns(HOLD_NS))
        });
        let (first, last) = (look.max(range.start()), until.min(range.end()));
        if first >= last {
            continue;
        }
        let (first, last) = (at(first.as_ns()), at(last.as_ns() - 1));
        for bucket in out.iter_mut().take(last + 1).skip(first) {
            *bucket = (*bucket).max(byte);
        }
    }
    out.into_iter().map(score_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(n: i64) -> Timestamp {
        Timestamp::from_secs(7200 + n)
    }

    fn range(from: i64, to: i64) -> TimeRange {
        TimeRange::new(s(from), s(to)).unwrap()
    }

    #[test]
    fn looks_come_back_as_the_highest_of_their_bucket() {
        let mut strip = Strip::default();
        for (at, score) in [
            (0, 0.0),
            (2, 0.5),
            (4, 1.0),
            (60, 0.25),
            (3599, 0.0),
            (3601, 0.75),
        ] {
            strip.add(s(at), score);
        }
        let hours = strip.take();
        assert_eq!(hours.iter().map(|h| h.1.len()).collect::<Vec<_>>(), [3600, 2]);
        assert!(strip.take().is_empty());
        let near = |have: &[Option<f32>], want: &[Option<f32>]| {
            assert_eq!(have.len(), want.len());
            for (have, want) in have.iter().zip(want) {
                let both = have.unwrap_or(-1.0) - want.unwrap_or(-1.0);
                assert!(both.abs() < 0.003, "{have:?}, want {want:?}");
            }
        };
        // Closer than looks are apart: held, but not for ever.
        near(
            &buckets(&hours, range(0, 12), 12),
            &[0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
                .map(Some)
                .into_iter()
                .chain([None; 3])
                .collect::<Vec<_>>(),
        );
        near(&buckets(&hours, range(0, 120), 2), &[Some(1.0), Some(0.25)]);
        near(&buckets(&hours, range(3590, 3610), 1), &[Some(0.75)]);
        near(&buckets(&hours, range(1000, 2000), 1), &[None]);
        assert_eq!(buckets(&[], range(0, 10), 3), [None; 3]);
        assert_eq!(buckets(&hours, range(0, 10), 0), []);
    }

    #[test]
    fn the_ends_of_time_are_no_fault() {
        let (all, looks) = (TimeRange::ALL, [(s(0), vec![255])]);
        let found = buckets(&looks, all, 4);
        assert_eq!(found, [None, None, Some(1.0), None]);
        let moment = Timestamp::MIN.add_ns(1);
        let first = TimeRange::new(Timestamp::MIN, moment).unwrap();
        assert_eq!(hours(first), (Timestamp::MIN, moment));
        assert_eq!(buckets(&looks, first, 2), [None; 2]);
        assert_eq!(hours(all), (Timestamp::MIN, Timestamp::MAX));
        let none = TimeRange::new(s(0), s(0)).unwrap();
        assert_eq!(buckets(&looks, none, 1), [None]);
    }

    #[test]
    fn versions_of_an_hour_are_put_together() {
        assert_eq!(merge(vec![1, 9, 0], &[5, 2, 0, 7]), [5, 9, 0, 7]);
        assert_eq!(merge(vec![1; 3600], &[2; 4000]).len(), HOUR);
        for score in [0.0, 0.2, 0.5, 1.0] {
            assert!((score_of(byte_of(score)).unwrap() - score).abs() < 0.003);
        }
        assert_eq!(score_of(0), None);
    }
}
