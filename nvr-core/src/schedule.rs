//! When a camera is recorded: weekly rules with exceptions, in a time zone. Pure.
//!
//! As with [windows](crate::window) of the day, a rule holds whenever a clock on the wall shows a time in it, so that no
//! day on which clocks are changed needs a rule of its own: an hour that is left out leaves less of it, one that comes
//! twice holds twice.

use std::fmt;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use crate::error::{Error, ErrorKind};
use crate::time::Timestamp;
use crate::window::{MINUTES_A_DAY, Window};

/// Most rules of one schedule, and most windows of one rule.
const MOST: usize = 64;
/// So far the next change is looked for: a week, and a day for what changes on its last.
const DAYS_AHEAD: i64 = 8;

/// When a camera is recorded.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Debug,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RecordMode {
    /// Always.
    #[default]
    Continuous,
    /// While something moves, with some seconds before and after; connected all the time, to see it.
    Motion,
    /// While somebody asks for it; connected all the time, for the pre-roll.
    Manual,
    /// Never; connected only while somebody watches.
    Off,
}

impl RecordMode {
    /// As it is written: `continuous`, `motion`, `manual` or `off`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continuous => "continuous",
            Self::Motion => "motion",
            Self::Manual => "manual",
            Self::Off => "off",
        }
    }

    fn read(word: &str) -> Option<Self> {
        [Self::Continuous, Self::Motion, Self::Manual, Self::Off]
            .into_iter()
            .find(|m| m.as_str() == word)
    }
}

/// Days on which a rule holds.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Days {
    /// Bit 0 is Monday.
    Week(u8),
    /// Both included.
    Dates(Date, Date),
}

impl Days {
    fn holds(&self, date: Date) -> bool {
        match self {
            Self::Week(bits) => bits >> date.weekday().to_monday_zero_offset() & 1 == 1,
            Self::Dates(first, last) => (*first..=*last).contains(&date),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Rule {
    days: Days,
    /// None: the whole day. One that goes over midnight belongs to the day on which it begins.
    times: Vec<Window>,
    mode: RecordMode,
}

impl Rule {
    fn holds(&self, date: Date, minute: u16) -> bool {
        if self.times.is_empty() {
            return self.days.holds(date);
        }
        let today = self.days.holds(date);
        let yesterday = date.yesterday().is_ok_and(|d| self.days.holds(d));
        self.times.iter().any(|w| {
            let over_midnight = w.to < w.from;
            today && minute >= w.from && (over_midnight || minute < w.to)
                || yesterday && over_midnight && minute < w.to
        })
    }
}

/// Rules of which the last that holds says how a camera is recorded; where none holds, its `record` does.
#[derive(Clone, PartialEq, Debug)]
pub struct Schedule {
    rules: Vec<Rule>,
    zone: TimeZone,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            zone: TimeZone::UTC,
        }
    }
}

impl Schedule {
    /// Reads rules such as `"mon-fri 08:00-18:00 continuous; sat,sun off; 2026-12-24..2026-12-26 off"`, separated by
    /// semicolons or ends of lines. Each is days (`mon`, `mon-fri`, `sat,sun`, `daily`, a date or two with `..`),
    /// times of the day (also over midnight), or both, and then a mode: `continuous`, `motion`,
    /// `manual` or `off`.
    ///
    /// # Errors
    /// `InvalidArgument` when the text or the name of the time zone cannot be read.
    pub fn parse(text: &str, zone: &str) -> Result<Self, Error> {
        let zone = crate::window::zone(zone)?;
        let texts = text.split([';', '\n']).map(str::trim).filter(|t| !t.is_empty());
        let rules = texts.map(rule).collect::<Result<Vec<_>, _>>()?;
        if rules.len() > MOST {
            return Err(invalid(format!("more than {MOST} rules in a schedule")));
        }
        Ok(Self { rules, zone })
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How a camera is recorded at a moment whose `record` is `otherwise`.
    #[must_use]
    pub fn mode_at(&self, t: Timestamp, otherwise: RecordMode) -> RecordMode {
        if self.rules.is_empty() {
            return otherwise;
        }
        let local = self.zone.to_datetime(t.to_jiff());
        // Both are in bounds: 0 to 23 and 0 to 59.
        let minute = local.hour().unsigned_abs() as u16 * 60 + local.minute().unsigned_abs() as u16;
        let holding = self.rules.iter().rev().find(|r| r.holds(local.date(), minute));
        holding.map_or(otherwise, |r| r.mode)
    }

    /// The first moment after `t` at which the mode is another than at `t`, with that mode; `None` when that is more
    /// than a week away.
    #[must_use]
    pub fn next_change(&self, t: Timestamp, otherwise: RecordMode) -> Option<(Timestamp, RecordMode)> {
        let now = self.mode_at(t, otherwise);
        let mut moments = self.moments(t);
        moments.sort_unstable();
        moments
            .into_iter()
            .filter(|m| *m > t)
            .map(|m| (m, self.mode_at(m, otherwise)))
            .find(|(_, mode)| *mode != now)
    }

    /// All moments in the week after `t` at which something can change: midnights, edges of windows, twice where clocks
    /// are set back, and the changes of the clocks themselves.
    fn moments(&self, t: Timestamp) -> Vec<Timestamp> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let mut edges: Vec<u16> = self
            .rules
            .iter()
            .flat_map(|r| &r.times)
            .flat_map(|w| [w.from, w.to % MINUTES_A_DAY])
            .chain([0])
            .collect();
        edges.sort_unstable();
        edges.dedup();
        crate::window::moments(&self.zone, &edges, t, DAYS_AHEAD)
    }
}

const HINT: &str =
    "write for example \"mon-fri 08:00-18:00 continuous; sat,sun off; 2026-12-24..2026-12-26 off\"";

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, what).with_hint(HINT)
}

fn rule(text: &str) -> Result<Rule, Error> {
    let wrong = |why: &str| invalid(format!("{text:?} is not a rule of a schedule: {why}"));
    let text = text.to_ascii_lowercase();
    let Some((when, mode)) = text.rsplit_once(char::is_whitespace) else {
        return Err(wrong("days or times, then a mode, are wanted"));
    };
    let mode =
        RecordMode::read(mode).ok_or_else(|| wrong("it ends with continuous, motion, manual or off"))?;
    let mut days = None;
    let mut times = Vec::new();
    for word in when.split_whitespace() {
        if word.contains(':') {
            for part in word.split(',') {
                let window = Window::parse(part).ok_or_else(|| wrong("times are written 08:00-18:00"))?;
                times.push(window);
            }
        } else if days.is_some() {
            return Err(wrong("it has days twice"));
        } else {
            days = Some(read_days(word).ok_or_else(|| wrong("its days cannot be read"))?);
        }
    }
    if times.len() > MOST {
        return Err(wrong("too many times"));
    }
    Ok(Rule {
        days: days.unwrap_or(Days::Week(0x7f)),
        times,
        mode,
    })
}

fn read_days(word: &str) -> Option<Days> {
    if word == "daily" {
        return Some(Days::Week(0x7f));
    }
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        let (first, last) = word.split_once("..").unwrap_or((word, word));
        let (first, last): (Date, Date) = (first.parse().ok()?, last.parse().ok()?);
        return (first <= last).then_some(Days::Dates(first, last));
    }
    let mut bits = 0;
    for part in word.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (weekday(first)?, weekday(last)?);
        loop {
            bits |= 1 << day.to_monday_zero_offset();
            if day == last {
                break;
            }
            // Over the week's end as well: fri-mon.
            day = day.next();
        }
    }
    Some(Days::Week(bits))
}

const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn weekday(name: &str) -> Option<Weekday> {
    let n = NAMES.iter().position(|n| *n == name)?;
    Weekday::from_monday_zero_offset(i8::try_from(n).ok()?).ok()
}

/// As it is read.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, rule) in self.rules.iter().enumerate() {
            let between = if n == 0 { "" } else { "; " };
            f.write_str(between)?;
            match &rule.days {
                Days::Week(0x7f) => f.write_str("daily")?,
                Days::Week(bits) => {
                    let named = NAMES.iter().enumerate().filter(|(d, _)| bits >> d & 1 == 1);
                    let names: Vec<&str> = named.map(|(_, name)| *name).collect();
                    f.write_str(&names.join(","))?;
                }
                Days::Dates(first, last) if first == last => write!(f, "{first}")?,
                Days::Dates(first, last) => write!(f, "{first}..{last}")?,
            }
            for (n, window) in rule.times.iter().enumerate() {
                write!(f, "{}{window}", if n == 0 { ' ' } else { ',' })?;
            }
            write!(f, " {}", rule.mode.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::NS_PER_S;
    use crate::window::tests::ZONES;
    use proptest::prelude::*;

    const OFF: RecordMode = RecordMode::Off;
    const ON: RecordMode = RecordMode::Continuous;
    const HAND: RecordMode = RecordMode::Manual;

    fn schedule(text: &str, zone: &str) -> Schedule {
        Schedule::parse(text, zone).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn texts() {
        for (good, shown) in [
            ("", ""),
            ("daily off", "daily off"),
            ("8:00-18:00 Continuous", "daily 08:00-18:00 continuous"),
            (
                " MON-fri 08:00-12:00,13:00-17:00  continuous ;; sat,sun manual\n2026-12-24..2026-12-26 off",
                "mon,tue,wed,thu,fri 08:00-12:00,13:00-17:00 continuous; sat,sun manual; 2026-12-24..2026-12-26 off",
            ),
            ("fri-mon off", "mon,fri,sat,sun off"),
            ("2026-12-24 14:00-24:00 off", "2026-12-24 14:00-24:00 off"),
        ] {
            let read = schedule(good, "Europe/Berlin");
            assert_eq!(read.to_string(), shown, "{good:?}");
            assert_eq!(schedule(shown, "Europe/Berlin"), read);
        }
        let many = "mon off;".repeat(65);
        for bad in [
            "off",
            "mon",
            "mon on",
            "mon 8-18 off",
            "mon 08:00 off",
            "mon 08:00-08:00 off",
            "mond off",
            "mon tue off",
            "mon- off",
            "2026-02-30 off",
            "2026-12-26..2026-12-24 off",
            "2026-12 off",
            "ü off",
            &many,
        ] {
            let e = Schedule::parse(bad, "UTC").unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{bad}");
            assert!(e.hint().is_some());
        }
        Schedule::parse("mon off", "Nowhere/Land").unwrap_err();
    }

    #[test]
    fn the_last_rule_that_holds_counts() {
        // 2026-12-21 is a Monday.
        let s = schedule(
            "mon-fri 08:00-18:00 continuous; wed 12:00-13:00 manual; 2026-12-24..2026-12-26 off",
            "Europe/Berlin",
        );
        for (t, mode) in [
            ("2026-12-21T06:59:59Z", OFF),
            ("2026-12-21T07:00:00Z", ON),
            ("2026-12-21T16:59:59Z", ON),
            ("2026-12-21T17:00:00Z", OFF),
            ("2026-12-23T11:30:00Z", HAND),
            ("2026-12-24T10:00:00Z", OFF),
            ("2026-12-25T10:00:00Z", OFF),
            ("2026-12-27T10:00:00Z", OFF),
            ("2026-12-28T10:00:00Z", ON),
        ] {
            assert_eq!(s.mode_at(at(t), OFF), mode, "{t}");
        }
        assert_eq!(s.mode_at(at("2026-12-27T10:00:00Z"), HAND), HAND);
        let changes: Vec<_> = std::iter::successors(Some((at("2026-12-23T00:00:00Z"), OFF)), |(t, _)| {
            s.next_change(*t, OFF)
        })
        .skip(1)
        .take(5)
        .map(|(t, mode)| (t.to_string(), mode))
        .collect();
        let wanted = [
            ("2026-12-23T07:00:00Z", ON),
            ("2026-12-23T11:00:00Z", HAND),
            ("2026-12-23T12:00:00Z", ON),
            ("2026-12-23T17:00:00Z", OFF),
            ("2026-12-28T07:00:00Z", ON),
        ];
        assert_eq!(changes, wanted.map(|(t, m)| (t.to_owned(), m)));
    }

    #[test]
    fn over_midnight_belongs_to_the_day_of_its_beginning() {
        let s = schedule("fri 22:00-04:00 continuous", "Europe/Berlin");
        // The night from Friday, 2026-05-08, to Saturday.
        assert_eq!(s.mode_at(at("2026-05-08T01:00:00Z"), OFF), OFF);
        assert_eq!(s.mode_at(at("2026-05-08T20:00:00Z"), OFF), ON);
        assert_eq!(s.mode_at(at("2026-05-09T01:59:59Z"), OFF), ON);
        assert_eq!(s.mode_at(at("2026-05-09T02:00:00Z"), OFF), OFF);
        assert_eq!(s.mode_at(at("2026-05-09T20:30:00Z"), OFF), OFF);
    }

    #[test]
    fn nights_on_which_clocks_are_changed() {
        let s = schedule("daily 02:00-03:00 continuous", "Europe/Berlin");
        // That hour does not come, and later in the year it comes twice.
        assert_eq!(
            s.next_change(at("2026-03-28T12:00:00Z"), OFF),
            Some((at("2026-03-30T00:00:00Z"), ON))
        );
        assert_eq!(
            s.next_change(at("2026-10-25T00:00:00Z"), OFF),
            Some((at("2026-10-25T02:00:00Z"), OFF))
        );
    }

    #[test]
    fn nothing_changes_without_rules_or_where_all_days_are_alike() {
        let t = at("2026-05-04T12:00:00Z");
        assert_eq!(Schedule::default().next_change(t, ON), None);
        assert_eq!(schedule("daily off", "Asia/Kolkata").next_change(t, ON), None);
        assert_eq!(
            schedule("2026-05-10 off", "UTC").next_change(t, ON),
            Some((at("2026-05-10T00:00:00Z"), OFF))
        );
        assert_eq!(schedule("2026-09-10 off", "UTC").next_change(t, ON), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Minute by minute, nothing changes before the moment that was foretold, and there it does.
        #[test]
        fn changes_are_where_they_are_foretold(
            which in 0..ZONES.len(), from in 0u16..1440, length in 1u16..1440, days in 1u8..0x80, offset in 0i64..1440
        ) {
            let (zone, day) = ZONES[which];
            let to = (from + length) % 1440;
            let named = NAMES.iter().enumerate().filter(|(d, _)| days >> d & 1 == 1);
            let names = named.map(|(_, n)| *n).collect::<Vec<_>>().join(",");
            let text = format!("{names} {:02}:{:02}-{:02}:{:02} continuous", from / 60, from % 60, to / 60, to % 60);
            let s = schedule(&text, zone);
            let start = at(day).add_ns(offset * 60 * NS_PER_S);
            let foretold = s.next_change(start, OFF);
            let mut t = start;
            let found = (0..3 * 1440).find_map(|_| {
                t = t.add_ns(60 * NS_PER_S);
                let mode = s.mode_at(t, OFF);
                (mode != s.mode_at(start, OFF)).then_some((t, mode))
            });
            match found {
                Some(_) => prop_assert_eq!(foretold, found, "{} {}", text, zone),
                None => prop_assert!(foretold.is_none_or(|(f, _)| f > t), "{} {}", text, zone),
            }
        }

        #[test]
        fn nothing_makes_it_panic(text in "[a-z0-9:;,.\\- ]{0,60}") {
            let _ = Schedule::parse(&text, "Europe/Berlin");
        }
    }
}
