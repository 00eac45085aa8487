//! Instants and ranges: `i64` nanoseconds since 1970-01-01T00:00:00Z.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// Nanoseconds in a second.
pub const NS_PER_S: i64 = 1_000_000_000;

/// An instant in UTC, nanoseconds since the Unix epoch (years 1677 to 2262).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest instant.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest instant.
    pub const MAX: Self = Self(i64::MAX);

    /// From nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_ns(ns: i64) -> Self {
        Self(ns)
    }

    /// From whole seconds since the Unix epoch, saturating.
    #[must_use]
    pub const fn from_secs(s: i64) -> Self {
        Self(s.saturating_mul(NS_PER_S))
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn as_ns(self) -> i64 {
        self.0
    }

    /// Seconds since the Unix epoch with fraction (for JSON and metrics; loses nanoseconds).
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NS_PER_S as f64
    }

    /// This instant moved by signed nanoseconds, saturating.
    #[must_use]
    pub const fn add_ns(self, ns: i64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Signed nanoseconds from `earlier` to this instant, saturating.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// As a `jiff` timestamp, the type that knows time zones.
    #[must_use]
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }

    /// From a `jiff` timestamp, saturating at the ends of `i64` nanoseconds.
    #[must_use]
    pub fn from_jiff(t: jiff::Timestamp) -> Self {
        let ns = t.as_nanosecond();
        Self(i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// RFC 3339 in UTC with as many decimals as are not zero (`2026-05-04T03:02:01.25Z`).
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_jiff())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// RFC 3339, or Unix seconds with an optional fraction.
impl FromStr for Timestamp {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        if let Some(ns) = parse_unix_seconds(s) {
            return Ok(Self(ns));
        }
        s.parse::<jiff::Timestamp>().map(Self::from_jiff).map_err(|e| {
            Error::new(ErrorKind::InvalidArgument, format!("{s:?} is not a time"))
                .with_hint("write RFC 3339 (2026-05-04T03:02:01Z, or with an offset) or Unix seconds")
                .with_source(e)
        })
    }
}

fn parse_unix_seconds(s: &str) -> Option<i64> {
    let (negative, digits) = s.strip_prefix('-').map_or((false, s), |d| (true, d));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nine: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let ns = seconds.checked_mul(NS_PER_S)?.checked_add(nine.parse().ok()?)?;
    Some(if negative { -ns } else { ns })
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        self.add_ns(duration_ns(d))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        self.add_ns(-duration_ns(d))
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

/// A duration as signed nanoseconds, saturating at 292 years.
#[must_use]
pub fn duration_ns(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}

/// A half-open stretch of time `[start, end)`; `start <= end` always holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
pub struct TimeRange {
    start: Timestamp,
    end: Timestamp,
}

impl TimeRange {
    /// Everything.
    pub const ALL: Self = Self {
        start: Timestamp::MIN,
        end: Timestamp::MAX,
    };

    /// From start and end.
    ///
    /// # Errors
    /// `InvalidArgument` when the end is before the start.
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, Error> {
        if end < start {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the range ends ({end}) before it starts ({start})"),
            )
            .with_hint("the earlier time comes first"));
        }
        Ok(Self { start, end })
    }

    /// First instant inside.
    #[must_use]
    pub const fn start(&self) -> Timestamp {
        self.start
    }

    /// First instant outside.
    #[must_use]
    pub const fn end(&self) -> Timestamp {
        self.end
    }

    /// Length in nanoseconds, saturating.
    #[must_use]
    pub const fn len_ns(&self) -> i64 {
        self.end.since(self.start)
    }

    /// Whether nothing lies inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// For what is asked of a range, and makes no sense of none.
    pub(crate) fn not_empty(&self) -> Result<(), Error> {
        if self.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the range at {} is empty", self.start),
            )
            .with_hint("its end lies outside: give a later one"));
        }
        Ok(())
    }

    /// Whether an instant lies inside.
    #[must_use]
    pub fn contains(&self, t: Timestamp) -> bool {
        self.start <= t && t < self.end
    }

    /// The common part; `None` when the two do not overlap.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        (start < end).then_some(Self { start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_parse() {
        let t: Timestamp = "2026-05-04T03:02:01.25Z".parse().unwrap();
        assert_eq!(t.to_string(), "2026-05-04T03:02:01.25Z");
        assert_eq!("1777863721.25".parse::<Timestamp>().unwrap(), t);
        assert_eq!("2026-05-04T05:02:01.25+02:00".parse::<Timestamp>().unwrap(), t);
        assert_eq!("-1.5".parse::<Timestamp>().unwrap().as_ns(), -1_500_000_000);
        for bad in ["", "now", "1.2.3", "2026-05-04", "99999999999999999999", "1."] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges() {
        let t = Timestamp::from_secs;
        assert!(TimeRange::new(t(2), t(1)).is_err());
        let a = TimeRange::new(t(0), t(10)).unwrap();
        let b = TimeRange::new(t(5), t(15)).unwrap();
        assert_eq!(a.intersect(&b), Some(TimeRange::new(t(5), t(10)).unwrap()));
        assert_eq!(a.intersect(&TimeRange::new(t(10), t(11)).unwrap()), None);
        assert!(a.contains(t(0)) && !a.contains(t(10)));
        assert!(a.not_empty().is_ok());
        let none = TimeRange::new(t(5), t(5)).unwrap().not_empty().unwrap_err();
        assert_eq!(none.kind(), ErrorKind::InvalidArgument);
    }
}
