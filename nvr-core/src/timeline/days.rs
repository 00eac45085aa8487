//! Footage by calendar day.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Growing;
use super::ranges::{Footage, clip};
use crate::store::SegmentRow;
use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// A calendar day with footage.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Day {
    /// Date in the time zone asked for (`2026-10-25` when serialised).
    #[serde(serialize_with = "date_text")]
    pub date: Date,
    /// Its first instant.
    pub start: Timestamp,
    /// First instant of the next day.
    pub end: Timestamp,
    /// Seconds of the day: 86,400, or an hour more or less where the clocks change.
    pub length_s: i64,
    /// Nanoseconds with footage, overlaps counted once.
    pub recorded_ns: i64,
}

fn date_text<S: serde::Serializer>(date: &Date, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(date)
}

impl Day {
    /// Seconds with footage.
    #[must_use]
    pub fn recorded_s(&self) -> f64 {
        self.recorded_ns as f64 / NS_PER_S as f64
    }
}

/// Sums footage by day of a time zone; days without any are left out.
#[must_use]
pub fn days(tz: &TimeZone, segments: &[SegmentRow], growing: Option<&Growing>, range: TimeRange) -> Vec<Day> {
    let mut stretches = Footage::collect(segments, growing).stretches(&[], Timestamp::MAX);
    clip(&mut stretches, range);
    let mut days: Vec<Day> = Vec::new();
    for stretch in &stretches {
        let mut date = match days.last() {
            // Where clocks go back across midnight an instant can have an earlier date than one before it.
            Some(last) if stretch.range.start() < last.end => last.date,
            _ => tz.to_datetime(stretch.range.start().to_jiff()).date(),
        };
        while let Some(day) = day(tz, date) {
            if let Some(part) = TimeRange::new(day.start, day.end)
                .ok()
                .and_then(|d| d.intersect(&stretch.range))
            {
                match days.last_mut() {
                    Some(last) if last.date == date => last.recorded_ns += part.len_ns(),
                    _ => days.push(Day {
                        recorded_ns: part.len_ns(),
                        ..day.clone()
                    }),
                }
            }
            match date.tomorrow() {
                Ok(next) if day.end < stretch.range.end() => date = next,
                _ => break,
            }
        }
    }
    days
}

/// A day's bounds; `None` at the ends of the calendar.
fn day(tz: &TimeZone, date: Date) -> Option<Day> {
    let instant = |d: Date| {
        d.to_zoned(tz.clone())
            .ok()
            .map(|z| Timestamp::from_jiff(z.timestamp()))
    };
    let (start, end) = (instant(date)?, instant(date.tomorrow().ok()?)?);
    Some(Day {
        date,
        start,
        end,
        length_s: end.since(start) / NS_PER_S,
        recorded_ns: 0,
    })
}
