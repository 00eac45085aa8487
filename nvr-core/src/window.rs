//! Windows of the day in which something may be done: `"02:00-06:00"`, also over midnight. Pure.
//!
//! A window is open whenever a clock on the wall of its time zone shows a time in it. So it needs no rule for
//! the days on which clocks are changed: an hour that is left out leaves less of the window, one that comes
//! twice is open twice.

use std::fmt;

use jiff::SignedDuration;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;

use crate::error::{Error, ErrorKind};
use crate::time::Timestamp;

pub(crate) const MINUTES_A_DAY: u16 = 24 * 60;
/// Most windows of one list.
const MOST: usize = 24;
/// So far the next change is looked for; a window that is open for part of each day changes sooner.
const DAYS_AHEAD: i64 = 3;

/// A stretch of the day, in minutes from midnight; it goes on over midnight if it ends before it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    pub(crate) from: u16,
    pub(crate) to: u16,
}

impl Window {
    /// Reads `02:00-06:00`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (parse_time(from.trim())?, parse_time(to.trim())?);
        let is_whole_day = from == 0 && to == MINUTES_A_DAY;
        // An empty one is a mistake, and midnight at its start is written 00:00.
        (from != MINUTES_A_DAY && from % MINUTES_A_DAY != to % MINUTES_A_DAY || is_whole_day)
            .then_some(Self { from, to })
    }

    fn holds(self, minute: u16) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

/// As it is read.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        write!(
            f,
            "{:02}:{:02}-{:02}:{:02}",
            from / 60,
            from % 60,
            to / 60,
            to % 60
        )
    }
}

/// A time zone by its name.
pub(crate) fn zone(name: &str) -> Result<TimeZone, Error> {
    TimeZone::get(name).map_err(|e| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("time zone {name:?} is not known"),
        )
        .with_hint("write UTC or an IANA name such as Europe/Berlin")
        .with_source(e)
    })
}

/// Some windows of each day in a time zone. None at all means: always.
#[derive(Clone, PartialEq, Debug)]
pub struct Windows {
    list: Vec<Window>,
    zone: TimeZone,
}

impl Windows {
    /// Always open.
    #[must_use]
    pub const fn always() -> Self {
        Self {
            list: Vec::new(),
            zone: TimeZone::UTC,
        }
    }

    /// Reads `"02:00-06:00"` or several of them, separated by commas; an empty text means always.
    ///
    /// # Errors
    /// `InvalidArgument` when the text or the name of the time zone cannot be read.
    pub fn parse(text: &str, zone: &str) -> Result<Self, Error> {
        let zone = self::zone(zone)?;
        let mut list = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let window = Window::parse(part).ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidArgument,
                    format!("{part:?} is not a window of the day"),
                )
                .with_hint("write \"02:00-06:00\", or \"22:00-04:00\" over midnight; several with commas")
            })?;
            list.push(window);
        }
        if list.len() > MOST {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("more than {MOST} windows of the day"),
            ));
        }
        Ok(Self { list, zone })
    }

    /// Whether there is no restriction.
    #[must_use]
    pub fn is_always(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one is open at a moment.
    #[must_use]
    pub fn contains(&self, t: Timestamp) -> bool {
        if self.list.is_empty() {
            return true;
        }
        let time = self.zone.to_datetime(t.to_jiff()).time();
        // Both are in bounds: 0 to 23 and 0 to 59.
        let minute = time.hour().unsigned_abs() as u16 * 60 + time.minute().unsigned_abs() as u16;
        self.list.iter().any(|w| w.holds(minute))
    }

    /// The first moment after `t` at which it is not as it is at `t`: when the open one closes, or the next
    /// one opens. `None` when nothing changes within three days.
    #[must_use]
    pub fn next_change(&self, t: Timestamp) -> Option<Timestamp> {
        if self.list.is_empty() {
            return None;
        }
        let now = self.contains(t);
        let mut moments = self.moments(t);
        moments.sort_unstable();
        moments.into_iter().find(|m| *m > t && self.contains(*m) != now)
    }

    /// When the open window closes: `None` when none is open, or when it never closes.
    #[must_use]
    pub fn closes(&self, t: Timestamp) -> Option<Timestamp> {
        self.contains(t).then(|| self.next_change(t)).flatten()
    }

    /// All moments in the days around `t` at which something can change.
    fn moments(&self, t: Timestamp) -> Vec<Timestamp> {
        // 24:00 is midnight of the next day, which is looked at as well.
        let edges = self.list.iter().flat_map(|w| [w.from, w.to % MINUTES_A_DAY]);
        moments(&self.zone, &edges.collect::<Vec<_>>(), t, DAYS_AHEAD)
    }
}

/// Moments of so many days from that of `t` on at which clocks of a zone show one of these minutes of the day, twice where
/// they are set back, and the changes of the clocks themselves. Not in order.
pub(crate) fn moments(zone: &TimeZone, minutes: &[u16], t: Timestamp, days: i64) -> Vec<Timestamp> {
    let mut out = Vec::new();
    let now = t.to_jiff();
    let today = zone.to_datetime(now).date();
    for day in 0..=days {
        let Ok(date) = today.checked_add(jiff::Span::new().days(day)) else {
            break;
        };
        for minute in minutes {
            let hour = i8::try_from(minute / 60).unwrap_or(0);
            let within = i8::try_from(minute % 60).unwrap_or(0);
            let edge = DateTime::from_parts(date, Time::constant(hour, within, 0, 0));
            let ambiguous = zone.to_ambiguous_timestamp(edge);
            for moment in [ambiguous.earlier(), ambiguous.later()].into_iter().flatten() {
                out.push(Timestamp::from_jiff(moment));
            }
        }
    }
    if let Ok(end) = now.saturating_add(SignedDuration::from_hours(24 * (days + 1))) {
        let changes = zone.following(now).map(|c| c.timestamp());
        out.extend(changes.take_while(|c| *c < end).map(Timestamp::from_jiff));
    }
    out
}

/// As it is read, with the zone.
impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.list.is_empty() {
            return f.write_str("always");
        }
        for (n, w) in self.list.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{w}")?;
        }
        write!(f, " {}", self.zone.iana_name().unwrap_or("UTC"))
    }
}

pub(crate) fn parse_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if hours.is_empty() || hours.len() > 2 || minutes.len() != 2 || !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= MINUTES_A_DAY).then_some(total)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::time::NS_PER_S;
    use proptest::prelude::*;

    fn windows(text: &str, zone: &str) -> Windows {
        Windows::parse(text, zone).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn texts() {
        for (good, shown) in [
            ("02:00-06:00", "02:00-06:00 Europe/Berlin"),
            ("2:00 - 6:30", "02:00-06:30 Europe/Berlin"),
            ("22:00-04:00,12:00-13:00", "22:00-04:00,12:00-13:00 Europe/Berlin"),
            ("20:00-24:00", "20:00-24:00 Europe/Berlin"),
            ("00:00-24:00", "00:00-24:00 Europe/Berlin"),
            ("20:00-00:00", "20:00-00:00 Europe/Berlin"),
            ("", "always"),
        ] {
            assert_eq!(windows(good, "Europe/Berlin").to_string(), shown, "{good}");
        }
        let many = vec!["01:00-02:00"; 25].join(",");
        for bad in [
            "2-6",
            "02:00",
            "02:00-02:00",
            "24:00-02:00",
            "25:00-26:00",
            "02:60-03:00",
            "00:00-00:00",
            "+2:00-03:00",
            "02:00-06:00-07:00",
            "ü",
            "-",
            &many,
        ] {
            let e = Windows::parse(bad, "UTC").unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{bad}");
        }
        Windows::parse("01:00-02:00", "Nowhere/Land").unwrap_err();
    }

    #[test]
    fn an_ordinary_night() {
        let w = windows("22:00-06:00", "Europe/Berlin");
        assert!(!w.contains(at("2026-05-04T19:59:59.999Z")));
        assert!(w.contains(at("2026-05-04T20:00:00Z")));
        assert!(w.contains(at("2026-05-05T03:59:59Z")));
        assert!(!w.contains(at("2026-05-05T04:00:00Z")));
        assert_eq!(
            w.next_change(at("2026-05-04T12:00:00Z")),
            Some(at("2026-05-04T20:00:00Z"))
        );
        assert_eq!(
            w.closes(at("2026-05-04T21:00:00Z")),
            Some(at("2026-05-05T04:00:00Z"))
        );
        assert_eq!(w.closes(at("2026-05-04T12:00:00Z")), None);
    }

    /// The night in which 02:00 to 03:00 does not exist: the window opens as soon as the clock shows 03:00.
    #[test]
    fn clocks_go_forward() {
        let w = windows("02:00-06:00", "Europe/Berlin");
        let evening = at("2026-03-28T20:00:00Z");
        let opens = w.next_change(evening).unwrap();
        assert_eq!(opens, at("2026-03-29T01:00:00Z"));
        assert_eq!(w.closes(opens), Some(at("2026-03-29T04:00:00Z")));
        // One that lies in the hour that is left out does not open that night, but the next.
        let w = windows("02:00-03:00", "Europe/Berlin");
        assert_eq!(w.next_change(evening), Some(at("2026-03-30T00:00:00Z")));
        let w = windows("02:30-03:30", "Europe/Berlin");
        assert_eq!(w.next_change(evening), Some(at("2026-03-29T01:00:00Z")));
        assert_eq!(
            w.closes(at("2026-03-29T01:10:00Z")),
            Some(at("2026-03-29T01:30:00Z"))
        );
    }

    /// The night in which 02:00 to 03:00 comes twice.
    #[test]
    fn clocks_go_back() {
        let evening = at("2026-10-24T20:00:00Z");
        let w = windows("02:00-06:00", "Europe/Berlin");
        assert_eq!(w.next_change(evening), Some(at("2026-10-25T00:00:00Z")));
        assert_eq!(
            w.closes(at("2026-10-25T00:00:00Z")),
            Some(at("2026-10-25T05:00:00Z"))
        );
        let w = windows("02:10-02:40", "Europe/Berlin");
        let mut edges = Vec::new();
        let mut t = evening;
        for _ in 0..4 {
            t = w.next_change(t).unwrap();
            edges.push(t.to_string());
        }
        let wanted = ["00:10", "00:40", "01:10", "01:40"].map(|m| format!("2026-10-25T{m}:00Z"));
        assert_eq!(edges, wanted);
    }

    #[test]
    fn the_whole_day_never_changes() {
        let w = windows("00:00-24:00", "Australia/Lord_Howe");
        let mut t = at("2026-04-04T00:00:00Z");
        for _ in 0..100 {
            assert!(w.contains(t));
            t = t.add_ns(1800 * NS_PER_S);
        }
        assert_eq!(w.next_change(t), None);
    }

    /// Days around changes of clocks: by an hour in both directions, by half an hour, and a day left out.
    pub(crate) const ZONES: [(&str, &str); 6] = [
        ("Europe/Berlin", "2026-03-28T00:00:00Z"),
        ("Europe/Berlin", "2026-10-24T00:00:00Z"),
        ("America/New_York", "2026-11-01T00:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T00:00:00Z"),
        ("America/Sao_Paulo", "2018-11-03T12:00:00Z"),
        ("Pacific/Apia", "2011-12-29T12:00:00Z"),
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Minute by minute, nothing changes before the moment that was foretold, and there it does.
        #[test]
        fn changes_are_where_they_are_foretold(
            which in 0..ZONES.len(), from in 0u16..1440, length in 1u16..1440, offset in 0i64..1440
        ) {
            let (zone, day) = ZONES[which];
            let to = (from + length) % 1440;
            let text = format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60);
            let w = windows(&text, zone);
            let start = at(day).add_ns(offset * 60 * NS_PER_S);
            let next = w.next_change(start);
            let mut t = start;
            for _ in 0..(2 * 1440) {
                t = t.add_ns(60 * NS_PER_S);
                if w.contains(t) != w.contains(start) {
                    break;
                }
            }
            if w.contains(t) != w.contains(start) {
                prop_assert_eq!(next, Some(t), "{} {}", text, zone);
            }
        }
    }
}
