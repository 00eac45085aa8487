//! When a booking is: once, or again and again by a rule of RFC 5545, in a time zone. Pure.
//!
//! Rules are expanded on the clock on the wall and only then turned into instants, so that a booking at eight stays at
//! eight when clocks are changed, and one over the night of a change ends when the clock shows its end. An hour that does
//! not come is moved to the one behind it, as calendars do.

use chrono::{Datelike as _, TimeZone as _, Timelike as _};
use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rrule::{RRule, RRuleSet, Tz, Unvalidated};

use crate::error::{Error, ErrorKind, Result};
use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// Longest booking: 31 days.
const LONGEST_NS: i64 = 31 * 86_400 * NS_PER_S;
/// Most occurrences that are looked at in one go.
pub const MOST_OCCURRENCES: u16 = 2000;
/// Longest text of a rule.
const LONGEST_RULE: usize = 500;
/// So far the local times of occurrences are from UTC, and more.
const MARGIN_NS: i64 = 2 * 86_400 * NS_PER_S;

/// When a booking is.
#[derive(Clone, Debug)]
pub struct Series {
    first: TimeRange,
    local: DateTime,
    length: SignedDuration,
    zone: TimeZone,
    rule: Option<RRuleSet>,
    except: Vec<Timestamp>,
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, what)
}

fn to_chrono(t: DateTime) -> Option<chrono::DateTime<Tz>> {
    let part = |n: i8| u32::from(n.unsigned_abs());
    let (year, second) = (i32::from(t.year()), part(t.second()).min(59));
    Tz::UTC
        .with_ymd_and_hms(
            year,
            part(t.month()),
            part(t.day()),
            part(t.hour()),
            part(t.minute()),
            second,
        )
        .single()
}

fn from_chrono(t: &chrono::DateTime<Tz>) -> Option<DateTime> {
    let part = |n: u32| i8::try_from(n).ok();
    let year = i16::try_from(t.year()).ok()?;
    let (month, day) = (part(t.month())?, part(t.day())?);
    DateTime::new(
        year,
        month,
        day,
        part(t.hour())?,
        part(t.minute())?,
        part(t.second())?,
        0,
    )
    .ok()
}

impl Series {
    /// From its first occurrence, the name of a time zone, a rule without `RRULE:` (`FREQ=WEEKLY;BYDAY=MO,FR`) and the
    /// beginnings of occurrences that are left out.
    ///
    /// # Errors
    /// `InvalidArgument` when the range is empty or longer than 31 days, the zone is not known, or the rule cannot be
    /// read or repeats more often than once a day.
    pub fn new(first: TimeRange, zone: &str, rule: Option<&str>, except: &[Timestamp]) -> Result<Self> {
        if first.is_empty() || first.len_ns() > LONGEST_NS {
            return Err(invalid(
                "a booking is longer than nothing and not longer than 31 days",
            ));
        }
        let zone = crate::window::zone(zone)?;
        let local = zone.to_datetime(first.start().to_jiff());
        let length = zone.to_datetime(first.end().to_jiff()).duration_since(local);
        let rule = rule.map(|text| read_rule(text, local, &zone)).transpose()?;
        Ok(Self {
            first,
            local,
            length,
            zone,
            rule,
            except: except.to_vec(),
        })
    }

    /// Whether it comes again.
    #[must_use]
    pub const fn repeats(&self) -> bool {
        self.rule.is_some()
    }

    fn at(&self, local: DateTime) -> Option<TimeRange> {
        let instant = |t: DateTime| {
            let zoned = self.zone.to_ambiguous_zoned(t).compatible().ok()?;
            Some(Timestamp::from_jiff(zoned.timestamp()))
        };
        let start = instant(local)?;
        let end = local.checked_add(self.length).ok().and_then(instant);
        // Where the clock jumps over all of it, it is as long as it was meant.
        let end = end.filter(|end| *end > start);
        let end = end.unwrap_or_else(|| start.add_ns(self.first.len_ns()));
        TimeRange::new(start, end).ok()
    }

    /// The occurrences that overlap a range, in order; at most [`MOST_OCCURRENCES`].
    #[must_use]
    pub fn within(&self, range: TimeRange) -> Vec<TimeRange> {
        let mut found = vec![self.first];
        if let Some(rule) = &self.rule {
            let day = |t: Timestamp, ns: i64| {
                let bound = t.add_ns(ns).to_jiff();
                to_chrono(TimeZone::UTC.to_datetime(bound))
            };
            let reach = self.first.len_ns().saturating_add(MARGIN_NS);
            let mut set = rule.clone();
            if let Some(from) = day(range.start(), -reach) {
                set = set.after(from);
            }
            if let Some(to) = day(range.end(), MARGIN_NS) {
                set = set.before(to);
            }
            let all = set.all(MOST_OCCURRENCES).dates;
            found.extend(
                all.iter()
                    .filter_map(from_chrono)
                    .filter(|t| *t > self.local)
                    .filter_map(|t| self.at(t)),
            );
        }
        found.retain(|r| {
            r.start() < range.end() && r.end() > range.start() && !self.except.contains(&r.start())
        });
        found.dedup();
        found
    }

    /// The first occurrence that ends after `t`, within ten years.
    #[must_use]
    pub fn next(&self, t: Timestamp) -> Option<TimeRange> {
        const DAY: i64 = 86_400 * NS_PER_S;
        // Near ones are found without looking at all of them.
        [8 * DAY, 400 * DAY, 3660 * DAY].into_iter().find_map(|ahead| {
            let from = t.max(self.first.start());
            let range = TimeRange::new(t, from.add_ns(ahead)).ok()?;
            self.within(range).into_iter().find(|r| r.end() > t)
        })
    }
}

/// A rule in which `UNTIL` is on the clock on the wall, as the beginning is.
fn read_rule(text: &str, local: DateTime, zone: &TimeZone) -> Result<RRuleSet> {
    let wrong = |why: &dyn std::fmt::Display| {
        let shown: String = text.chars().take(100).collect();
        invalid(format!(
            "{shown:?} is not a rule by which something repeats: {why}"
        ))
        .with_hint("write for example FREQ=WEEKLY;BYDAY=MO,WE,FR or FREQ=DAILY;COUNT=10")
    };
    if text.len() > LONGEST_RULE || text.contains(['\n', '\r']) {
        return Err(wrong(&"it is too long"));
    }
    let mut parts = Vec::new();
    for part in text
        .trim()
        .trim_start_matches("RRULE:")
        .split(';')
        .filter(|p| !p.is_empty())
    {
        let upper = part.to_ascii_uppercase();
        if let Some(until) = upper.strip_prefix("UNTIL=") {
            parts.push(format!(
                "UNTIL={}",
                until_local(until, zone).ok_or_else(|| wrong(&"its UNTIL"))?
            ));
        } else {
            parts.push(upper);
        }
    }
    let daily_or_less = ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"];
    let freq = parts
        .iter()
        .find_map(|p| p.strip_prefix("FREQ="))
        .unwrap_or_default();
    if !daily_or_less.contains(&freq) {
        return Err(wrong(&"FREQ is DAILY, WEEKLY, MONTHLY or YEARLY"));
    }
    if parts.iter().any(|p| {
        ["BYHOUR", "BYMINUTE", "BYSECOND"]
            .iter()
            .any(|by| p.starts_with(by))
    }) {
        return Err(wrong(&"the time of the day is that of its beginning"));
    }
    let start = to_chrono(local).ok_or_else(|| wrong(&"its beginning"))?;
    let rule: RRule<Unvalidated> = parts
        .join(";")
        .parse()
        .map_err(|e: rrule::RRuleError| wrong(&e))?;
    let rule = rule.validate(start).map_err(|e| wrong(&e))?;
    Ok(RRuleSet::new(start).rrule(rule).limit())
}

/// `20261231T225959Z`, `20261231T235959` or `20261231` as the local time that the crate takes for UTC.
fn until_local(text: &str, zone: &TimeZone) -> Option<String> {
    let (digits, utc) = text.strip_suffix('Z').map_or((text, false), |t| (t, true));
    let (date, time) = digits.split_once('T').unwrap_or((digits, "235959"));
    let local: DateTime = format!("{date}T{time}").parse().ok()?;
    let local = if utc {
        let instant = TimeZone::UTC.to_timestamp(local).ok()?;
        zone.to_datetime(instant)
    } else {
        local
    };
    Some(local.strftime("%Y%m%dT%H%M%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(from: &str, to: &str) -> TimeRange {
        TimeRange::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()
    }

    fn series(first: TimeRange, rule: &str) -> Series {
        Series::new(first, "Europe/Berlin", Some(rule), &[]).unwrap()
    }

    fn shown(all: &[TimeRange]) -> Vec<String> {
        all.iter().map(|r| format!("{} {}", r.start(), r.end())).collect()
    }

    #[test]
    fn nights_on_which_clocks_are_changed() {
        // From 22:00 to 06:00 by the clock on the wall, over both nights of the year.
        let nightly = series(
            range("2026-03-27T21:00:00Z", "2026-03-28T05:00:00Z"),
            "FREQ=DAILY",
        );
        let spring = nightly.within(range("2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z"));
        let wanted = [
            "2026-03-28T21:00:00Z 2026-03-29T04:00:00Z",
            "2026-03-29T20:00:00Z 2026-03-30T04:00:00Z",
        ];
        assert_eq!(shown(&spring), wanted);
        let autumn = nightly.within(range("2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"));
        assert_eq!(shown(&autumn), ["2026-10-24T20:00:00Z 2026-10-25T05:00:00Z"]);
        // 02:15 to 02:45 does not come; it is as long as meant, an hour later.
        let gone = series(
            range("2026-03-28T01:15:00Z", "2026-03-28T01:45:00Z"),
            "FREQ=DAILY",
        );
        let spring = gone.within(range("2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z"));
        assert_eq!(shown(&spring), ["2026-03-29T01:15:00Z 2026-03-29T01:45:00Z"]);
    }

    #[test]
    fn rules_of_calendars() {
        // A Monday, 09:00 in Berlin.
        let first = range("2026-05-04T07:00:00Z", "2026-05-04T08:00:00Z");
        let all = range("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        for (rule, count, last) in [
            ("FREQ=WEEKLY;BYDAY=MO,FR;COUNT=5", 5, "2026-05-18T07:00:00Z"),
            (
                "RRULE:freq=daily;interval=2;until=20260508T070000Z",
                3,
                "2026-05-08T07:00:00Z",
            ),
            ("FREQ=DAILY;UNTIL=20260506", 3, "2026-05-06T07:00:00Z"),
            ("FREQ=MONTHLY;BYDAY=-1SU;COUNT=2", 3, "2026-06-28T07:00:00Z"),
            ("FREQ=YEARLY", 1, "2026-05-04T07:00:00Z"),
            // In winter the same hour of the wall is another of UTC.
            ("FREQ=MONTHLY;UNTIL=20261204T080000Z", 8, "2026-12-04T08:00:00Z"),
        ] {
            let found = series(first, rule).within(all);
            assert_eq!(found.len(), count, "{rule}: {found:?}");
            assert_eq!(found.last().unwrap().start().to_string(), last, "{rule}");
        }
        let except = ["2026-05-05T07:00:00Z".parse().unwrap()];
        let left_out = Series::new(first, "Europe/Berlin", Some("FREQ=DAILY;COUNT=3"), &except).unwrap();
        assert_eq!(left_out.within(all).len(), 2);
        assert_eq!(
            left_out.next(first.end()).unwrap().start().to_string(),
            "2026-05-06T07:00:00Z"
        );
        assert_eq!(left_out.next("2026-05-07T00:00:00Z".parse().unwrap()), None);
        let once = Series::new(first, "UTC", None, &[]).unwrap();
        assert_eq!(
            (once.within(all), once.next(first.start())),
            (vec![first], Some(first))
        );
        for bad in [
            "",
            "FREQ=HOURLY",
            "FREQ=DAILY;BYHOUR=1,2,3",
            "DAILY",
            "FREQ=DAILY;COUNT=x",
            "FREQ=DAILY;UNTIL=soon",
        ] {
            let e = Series::new(first, "UTC", Some(bad), &[]).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{bad}");
        }
        Series::new(first, "Nowhere/Land", None, &[]).unwrap_err();
        Series::new(
            range("2026-05-04T07:00:00Z", "2026-05-04T07:00:00Z"),
            "UTC",
            None,
            &[],
        )
        .unwrap_err();
        Series::new(
            range("2026-05-04T07:00:00Z", "2026-06-05T07:00:00Z"),
            "UTC",
            None,
            &[],
        )
        .unwrap_err();
    }

    #[test]
    fn a_rule_that_never_comes_ends() {
        let first = range("2026-05-04T07:00:00Z", "2026-05-04T08:00:00Z");
        let never = series(first, "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30");
        assert_eq!(never.next(first.end()), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// On each day of two years the wall shows the hour of the beginning, whatever the zone; no two overlap; what is
        /// asked for in parts is what is asked for at once.
        #[test]
        fn daily_ones_keep_their_hour(
            zone in 0usize..5, hour in 0i64..24, minutes in 1i64..1380, day in 0i64..700, days in 1i64..60
        ) {
            let zone = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"][zone];
            let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            let start = start.add_ns(hour * 3600 * NS_PER_S);
            let first = TimeRange::new(start, start.add_ns(minutes * 60 * NS_PER_S)).unwrap();
            let daily = Series::new(first, zone, Some("FREQ=DAILY"), &[]).unwrap();
            let from = start.add_ns(day * 86_400 * NS_PER_S);
            let range = TimeRange::new(from, from.add_ns(days * 86_400 * NS_PER_S)).unwrap();
            let found = daily.within(range);
            prop_assert!((days..=days + 2).contains(&(found.len() as i64)), "{}", found.len());
            let tz = crate::window::zone(zone).unwrap();
            for r in &found {
                let local = tz.to_datetime(r.start().to_jiff());
                // But where that hour does not come.
                let unmoved = local.time() == tz.to_datetime(start.to_jiff()).time();
                prop_assert!(unmoved || tz.to_ambiguous_timestamp(local).is_ambiguous()
                    || local.hour() == tz.to_datetime(start.to_jiff()).hour() + 1
                    || local.minute() != tz.to_datetime(start.to_jiff()).minute(), "{local}");
                prop_assert!(r.start() < range.end() && r.end() > range.start());
            }
            for pair in found.windows(2) {
                prop_assert!(pair[0].start() < pair[1].start());
            }
            let middle = from.add_ns(days * 43_200 * NS_PER_S);
            let mut parts = daily.within(TimeRange::new(from, middle).unwrap());
            parts.extend(daily.within(TimeRange::new(middle, range.end()).unwrap()));
            parts.dedup();
            prop_assert_eq!(parts, found);
        }

        #[test]
        fn no_rule_makes_it_panic(text in "(FREQ|BYDAY|COUNT|UNTIL|INTERVAL|BYSETPOS|;|=|,|DAILY|WEEKLY|MO|-?[0-9]{1,9}|T|Z| ){0,12}") {
            let first = range("2026-05-04T07:00:00Z", "2026-05-04T08:00:00Z");
            if let Ok(series) = Series::new(first, "Europe/Berlin", Some(&text), &[]) {
                let found = series.within(range("2026-01-01T00:00:00Z", "2036-01-01T00:00:00Z"));
                prop_assert!(found.len() <= usize::from(MOST_OCCURRENCES) + 1);
            }
        }
    }
}
