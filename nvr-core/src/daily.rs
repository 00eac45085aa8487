//! Parts of a day as clocks on the wall show them, and when the day is over. Pure.
//!
//! Where clocks are set forward, a time that is left out is the moment of the change; where they are set back, a part of the
//! day begins with the first time that they show its beginning, and ends with the last that they show its end.

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::error::Result;
use crate::time::{TimeRange, Timestamp};
use crate::window::{MINUTES_A_DAY, Window};

/// A time of the day, in minutes from midnight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// So many minutes after midnight, up to 23:59.
    #[must_use]
    pub const fn from_minutes(minutes: u16) -> Self {
        Self(if minutes < MINUTES_A_DAY {
            minutes
        } else {
            MINUTES_A_DAY - 1
        })
    }

    /// Reads `06:30`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        crate::window::parse_time(text.trim())
            .filter(|minutes| *minutes < MINUTES_A_DAY)
            .map(Self)
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A part of the day; it goes on over midnight if it ends before it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DaySpan(Window);

impl DaySpan {
    /// From midnight to midnight.
    pub const WHOLE: Self = Self(Window {
        from: 0,
        to: MINUTES_A_DAY,
    });

    /// Reads `06:00-20:00`, `20:00-06:00` or `00:00-24:00`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Window::parse(text).map(Self)
    }

    /// The part of a day, by the date on which it begins; `None` when clocks leave it out.
    #[must_use]
    pub fn on(self, date: Date, zone: &TimeZone) -> Option<TimeRange> {
        let Window { from, to } = self.0;
        let last = if to <= from { date.tomorrow().ok()? } else { date };
        let start = instant(zone, date, from, Pick::First)?;
        let end = instant(zone, last, to, Pick::Last)?;
        TimeRange::new(start, end).ok().filter(|range| !range.is_empty())
    }
}

impl fmt::Display for DaySpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Of a time that comes twice.
#[derive(Clone, Copy)]
enum Pick {
    First,
    Last,
}

fn instant(zone: &TimeZone, date: Date, minutes: u16, pick: Pick) -> Option<Timestamp> {
    let (date, minutes) = if minutes >= MINUTES_A_DAY {
        (date.tomorrow().ok()?, minutes - MINUTES_A_DAY)
    } else {
        (date, minutes)
    };
    let hour = i8::try_from(minutes / 60).ok()?;
    let minute = i8::try_from(minutes % 60).ok()?;
    let shown = DateTime::from_parts(date, Time::new(hour, minute, 0, 0).ok()?);
    let times = zone.to_ambiguous_timestamp(shown);
    let at = match (times.offset(), pick) {
        (AmbiguousOffset::Gap { .. }, _) => {
            let before = times.earlier().ok()?;
            zone.following(before).next()?.timestamp()
        }
        (_, Pick::First) => times.earlier().ok()?,
        (_, Pick::Last) => times.later().ok()?,
    };
    Some(Timestamp::from_jiff(at))
}

/// The first moment from `end` on at which clocks show a time.
#[must_use]
pub fn first_from(end: Timestamp, at: TimeOfDay, zone: &TimeZone) -> Option<Timestamp> {
    let mut date = zone.to_datetime(end.to_jiff()).date();
    for _ in 0..3 {
        if let Some(moment) = instant(zone, date, at.0, Pick::First).filter(|m| *m >= end) {
            return Some(moment);
        }
        date = date.tomorrow().ok()?;
    }
    None
}

/// The days whose part is over and that are due, by the dates on which they begin: those whose time was at most `late_ns`
/// ago, the oldest first.
///
/// # Errors
/// `InvalidArgument` when the time zone is not known.
pub fn due(
    span: DaySpan,
    at: TimeOfDay,
    zone: &str,
    now: Timestamp,
    late_ns: i64,
) -> Result<Vec<(Date, TimeRange)>> {
    let zone = crate::window::zone(zone)?;
    // A part over midnight and a time before its end lie two days apart.
    let first = zone
        .to_datetime(now.add_ns(late_ns.saturating_neg()).to_jiff())
        .date()
        .saturating_sub(jiff::Span::new().days(3));
    let last = zone.to_datetime(now.to_jiff()).date();
    let days = first
        .series(jiff::Span::new().days(1))
        .take_while(|date| *date <= last);
    Ok(days
        .filter_map(|date| {
            let range = span.on(date, &zone)?;
            let moment = first_from(range.end(), at, &zone)?;
            (moment <= now && now.since(moment) <= late_ns).then_some((date, range))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::time::NS_PER_S;
    use crate::window::tests::ZONES;

    const HOUR_NS: i64 = 3600 * NS_PER_S;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn span(text: &str) -> DaySpan {
        DaySpan::parse(text).unwrap()
    }

    fn due_at(span_text: &str, time: &str, zone: &str, now: &str) -> Vec<String> {
        let time = TimeOfDay::parse(time).unwrap();
        let days = due(span(span_text), time, zone, at(now), 2 * 24 * HOUR_NS).unwrap();
        days.into_iter()
            .map(|(date, range)| format!("{date} {} {}", range.start(), range.end()))
            .collect()
    }

    #[test]
    fn texts() {
        assert_eq!(TimeOfDay::parse(" 6:30 ").unwrap().to_string(), "06:30");
        for bad in ["24:00", "6", "06:60", "", "-1:00"] {
            assert_eq!(TimeOfDay::parse(bad), None, "{bad}");
        }
        assert_eq!(DaySpan::WHOLE, span("00:00-24:00"));
        assert_eq!(span("20:00-06:00").to_string(), "20:00-06:00");
    }

    #[test]
    fn yesterday_is_due_once_today_has_begun() {
        let whole = |now| due_at("00:00-24:00", "00:15", "Europe/Berlin", now);
        assert_eq!(
            whole("2026-05-05T22:14:59Z"),
            [
                "2026-05-03 2026-05-02T22:00:00Z 2026-05-03T22:00:00Z",
                "2026-05-04 2026-05-03T22:00:00Z 2026-05-04T22:00:00Z",
            ]
        );
        assert_eq!(
            whole("2026-05-05T22:15:00Z").last().unwrap(),
            "2026-05-05 2026-05-04T22:00:00Z 2026-05-05T22:00:00Z"
        );
        // A night is over in the morning, and made at the next time that was asked for.
        let night = |now| due_at("20:00-06:00", "05:00", "Europe/Berlin", now);
        assert_eq!(
            night("2026-05-06T02:59:00Z").last().unwrap(),
            "2026-05-03 2026-05-03T18:00:00Z 2026-05-04T04:00:00Z"
        );
        assert_eq!(
            night("2026-05-06T03:00:00Z").last().unwrap(),
            "2026-05-04 2026-05-04T18:00:00Z 2026-05-05T04:00:00Z"
        );
    }

    #[test]
    fn days_on_which_clocks_are_changed_are_whole() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let hours = |text: &str, y, m, d| {
            let range = span(text).on(Date::new(y, m, d).unwrap(), &zone);
            range.map(|r| r.len_ns() as f64 / HOUR_NS as f64)
        };
        assert_eq!(hours("00:00-24:00", 2026, 3, 29), Some(23.0));
        assert_eq!(hours("00:00-24:00", 2026, 10, 25), Some(25.0));
        // 02:00 to 03:00 is left out, or comes twice.
        assert_eq!(hours("02:10-02:50", 2026, 3, 29), None);
        assert_eq!(hours("02:30-03:30", 2026, 3, 29), Some(0.5));
        assert_eq!(hours("01:30-02:30", 2026, 3, 29), Some(0.5));
        assert_eq!(hours("02:30-03:30", 2026, 10, 25), Some(2.0));
        assert_eq!(hours("01:30-02:30", 2026, 10, 25), Some(2.0));
        assert_eq!(hours("22:00-06:00", 2026, 10, 24), Some(9.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Looked at every ten minutes over changes of the clocks, each day becomes due in order, as soon as it may and with
        /// the same range however late it is looked.
        #[test]
        fn every_day_becomes_due_and_stays_what_it_is(
            which in 0..ZONES.len(), from in 0u16..1440, length in 1u16..1440, time in 0u16..1440
        ) {
            let (zone, day) = ZONES[which];
            let window = Window { from, to: (from + length) % 1440 };
            let (span, time) = (DaySpan(window), TimeOfDay(time));
            let tz = TimeZone::get(zone).unwrap();
            let mut now = at(day);
            let mut seen: BTreeMap<Date, TimeRange> = BTreeMap::new();
            for _ in 0..6 * 24 * 6 {
                for (date, range) in due(span, time, zone, now, 40 * HOUR_NS).unwrap() {
                    prop_assert!(range.end() <= now);
                    prop_assert_eq!(*seen.entry(date).or_insert(range), range);
                }
                now = now.add_ns(HOUR_NS / 6);
            }
            let dates: Vec<&Date> = seen.keys().collect();
            for pair in dates.windows(2) {
                let mut next = pair[0].tomorrow().unwrap();
                // A part that clocks left out, and a day that a zone left out.
                while next != *pair[1] {
                    prop_assert_eq!(span.on(next, &tz), None);
                    next = next.tomorrow().unwrap();
                }
            }
            prop_assert!(seen.len() >= 4, "{:?}", seen);
        }
    }
}
