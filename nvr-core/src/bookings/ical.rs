//! Reading iCalendar (RFC 5545): the events of a calendar, as far as bookings need them. Pure.
//!
//! Nothing in it is trusted: lines, values and events are limited, and an event that cannot be used is told and left out.

use std::collections::HashMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span};

use super::recur::Series;
use crate::error::{Error, ErrorKind, Result};
use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// Largest calendar.
pub const MOST_BYTES: usize = 4 << 20;
/// Most events of one.
pub const MOST_EVENTS: usize = 2000;
/// Most that are told of what is wrong in one.
const MOST_PROBLEMS: usize = 20;
/// Most occurrences of one event that may be left out.
const MOST_EXCEPT: usize = 1000;

/// An event of a calendar.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CalendarEvent {
    /// What it is called by, unique within the calendar; of a changed occurrence with its original time.
    pub uid: String,
    /// Its title.
    pub title: String,
    /// Who organises it.
    pub who: Option<String>,
    /// Its first occurrence.
    pub range: TimeRange,
    /// Its time zone.
    pub zone: String,
    /// By which rule it repeats.
    pub rule: Option<String>,
    /// Beginnings of occurrences that are left out.
    pub except: Vec<Timestamp>,
}

/// What was read of a calendar.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Calendar {
    /// Its events; those that are cancelled are left out.
    pub events: Vec<CalendarEvent>,
    /// What could not be used.
    pub problems: Vec<String>,
}

struct Line<'a> {
    name: String,
    params: Vec<(String, String)>,
    value: &'a str,
}

/// A content line: `NAME;PARAM=value;PARAM="quoted":value`.
fn line(text: &str) -> Option<Line<'_>> {
    let mut quoted = false;
    let colon = text.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == ':' && !quoted).then_some(at)
    })?;
    let (head, value) = (&text[..colon], &text[colon + 1..]);
    let mut quoted = false;
    let mut parts = head.split(|c: char| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    let name = parts.next()?.to_ascii_uppercase();
    let params = parts
        .filter_map(|p| p.split_once('='))
        .map(|(k, v)| (k.to_ascii_uppercase(), v.trim_matches('"').to_owned()))
        .collect();
    Some(Line { name, params, value })
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n' | 'N') => out.push(' '),
                Some(other) => out.push(other),
                None => {}
            },
            (c, false) => out.push(if c.is_control() { ' ' } else { c }),
        }
    }
    out.trim().to_owned()
}

/// The zone of a `TZID`: an IANA name, also behind a vendor's prefix.
fn zone_of(tzid: &str) -> Option<String> {
    let parts: Vec<&str> = tzid.split('/').collect();
    (0..parts.len())
        .map(|skip| parts[skip..].join("/"))
        .find(|name| !name.is_empty() && crate::window::zone(name).is_ok())
}

/// When something is: an instant and its zone, or a day.
#[derive(Clone)]
struct When {
    local: DateTime,
    zone: String,
    day: bool,
}

impl When {
    fn instant(&self) -> Option<Timestamp> {
        let zone = crate::window::zone(&self.zone).ok()?;
        let zoned = zone.to_ambiguous_zoned(self.local).compatible().ok()?;
        Some(Timestamp::from_jiff(zoned.timestamp()))
    }
}

#[derive(Default)]
struct Raw {
    uid: Option<String>,
    title: Option<String>,
    who: Option<String>,
    start: Option<When>,
    end: Option<When>,
    duration: Option<Span>,
    rule: Option<String>,
    except: Vec<When>,
    original: Option<When>,
    cancelled: bool,
    wrong: Option<String>,
}

impl Raw {
    fn take(&mut self, line: &Line<'_>, zone: &str) {
        let mut when = |text: &str| {
            let read = read_when(text, &line.params, zone);
            if read.is_none() {
                let shown: String = text.chars().take(40).collect();
                self.wrong
                    .get_or_insert(format!("{} {shown:?} cannot be read", line.name));
            }
            read
        };
        match line.name.as_str() {
            "DTSTART" => self.start = when(line.value),
            "DTEND" => self.end = when(line.value),
            "RECURRENCE-ID" => self.original = when(line.value),
            "EXDATE" => {
                let all: Vec<_> = line.value.split(',').filter_map(&mut when).collect();
                self.except.extend(all);
                self.except.truncate(MOST_EXCEPT);
            }
            "DURATION" => match line.value.parse() {
                Ok(span) => self.duration = Some(span),
                Err(_) => self.wrong = Some("its DURATION cannot be read".into()),
            },
            "RRULE" => self.rule = Some(line.value.trim().to_owned()),
            "RDATE" => self.wrong = Some("RDATE is not supported".into()),
            "UID" => self.uid = Some(line.value.trim().chars().take(200).collect()),
            "SUMMARY" => self.title = Some(unescape(line.value).chars().take(200).collect()),
            "ORGANIZER" => {
                let name = line
                    .params
                    .iter()
                    .find(|(k, _)| k == "CN")
                    .map(|(_, v)| v.as_str());
                let name = name.unwrap_or_else(|| line.value.trim_start_matches("mailto:"));
                self.who = Some(unescape(name).chars().take(100).collect());
            }
            "STATUS" => self.cancelled = line.value.trim().eq_ignore_ascii_case("CANCELLED"),
            _ => {}
        }
    }

    fn finish(self) -> std::result::Result<(CalendarEvent, Option<Timestamp>, bool), String> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let uid = self.uid.filter(|uid| !uid.is_empty()).ok_or("it has no UID")?;
        let start = self.start.ok_or("it has no DTSTART")?;
        let end = match (self.end, self.duration) {
            (Some(end), _) => end,
            (None, Some(length)) => When {
                local: start
                    .local
                    .checked_add(length)
                    .map_err(|_| "its DURATION is too long")?,
                ..start.clone()
            },
            (None, None) if start.day => When {
                local: start
                    .local
                    .checked_add(SignedDuration::from_hours(24))
                    .map_err(|_| "its day")?,
                ..start.clone()
            },
            (None, None) => return Err("it has neither DTEND nor DURATION".into()),
        };
        let out_of_time = "its times are out of all bounds";
        let (from, to) = (
            start.instant().ok_or(out_of_time)?,
            end.instant().ok_or(out_of_time)?,
        );
        let range = TimeRange::new(from, to).map_err(|_| "it ends before it begins")?;
        let original = match self.original {
            Some(when) => Some(when.instant().ok_or(out_of_time)?),
            None => None,
        };
        let except: Vec<_> = self.except.iter().filter_map(When::instant).collect();
        let event = CalendarEvent {
            uid: original.map_or_else(|| uid.clone(), |t| format!("{uid} {t}")),
            title: self
                .title
                .filter(|t| !t.is_empty())
                .unwrap_or_else(|| "untitled".into()),
            who: self.who.filter(|w| !w.is_empty()),
            range,
            zone: start.zone,
            rule: self.rule.filter(|_| original.is_none()),
            except,
        };
        // Told here, where it is known which event it is.
        Series::new(event.range, &event.zone, event.rule.as_deref(), &event.except)
            .map_err(|e| e.to_string())?;
        Ok((event, original, self.cancelled))
    }
}

/// `20261231T080000Z`, `20261231T080000` in the zone of `TZID` or the calendar's, or `20261231`.
fn read_when(text: &str, params: &[(String, String)], zone: &str) -> Option<When> {
    let text = text.trim();
    let named = params.iter().find(|(k, _)| k == "TZID");
    let zone = match named {
        // Of a zone that only the calendar itself defines, the one that bookings are in is the best guess.
        Some((_, tzid)) => zone_of(tzid).unwrap_or_else(|| zone.to_owned()),
        None => zone.to_owned(),
    };
    if !text.contains('T') {
        let date: Date = text.parse().ok()?;
        return Some(When {
            local: date.to_datetime(jiff::civil::Time::midnight()),
            zone,
            day: true,
        });
    }
    let (digits, utc) = text.strip_suffix('Z').map_or((text, false), |t| (t, true));
    let mut local: DateTime = digits.parse().ok()?;
    if utc {
        // On the clock of the zone, so that it stays there when it repeats.
        let instant = TimeZone::UTC.to_timestamp(local).ok()?;
        local = crate::window::zone(&zone).ok()?.to_datetime(instant);
    }
    Some(When {
        local,
        zone,
        day: false,
    })
}

/// Reads a calendar. `zone` is that of times without one.
///
/// # Errors
/// `InvalidArgument` when it is no calendar, is cut off, or larger than [`MOST_BYTES`].
pub fn read(text: &str, zone: &str) -> Result<Calendar> {
    let invalid = |what: &str| Error::new(ErrorKind::InvalidArgument, format!("the calendar: {what}"));
    if text.len() > MOST_BYTES {
        return Err(invalid("it is larger than 4 MiB"));
    }
    let unfolded = text.replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "");
    let mut lines = unfolded.lines().filter(|l| !l.trim().is_empty());
    let first = lines
        .next()
        .unwrap_or_default()
        .trim_start_matches('\u{feff}')
        .trim();
    if !first.eq_ignore_ascii_case("BEGIN:VCALENDAR") {
        return Err(invalid("it does not begin with BEGIN:VCALENDAR"));
    }
    let mut zone = zone.to_owned();
    let mut out = Calendar::default();
    let mut problem = |what: String| {
        if out.problems.len() < MOST_PROBLEMS {
            out.problems.push(what);
        }
    };
    let (mut depth, mut ended) = (Vec::<String>::new(), false);
    let mut raw = Raw::default();
    let mut found: Vec<(CalendarEvent, Option<Timestamp>, bool)> = Vec::new();
    let mut seen = 0usize;
    for text in lines {
        let Some(line) = line(text) else { continue };
        let within = depth.last().map(String::as_str);
        match (line.name.as_str(), within) {
            ("BEGIN", _) => {
                let name = line.value.trim().to_ascii_uppercase();
                if depth.len() > 8 {
                    return Err(invalid("its parts are too deep"));
                }
                if name == "VEVENT" {
                    raw = Raw::default();
                }
                depth.push(name);
            }
            ("END", None) => ended = true,
            ("END", Some("VEVENT")) => {
                depth.pop();
                seen += 1;
                let event = std::mem::take(&mut raw);
                let name = event
                    .title
                    .clone()
                    .or_else(|| event.uid.clone())
                    .unwrap_or_default();
                if seen > MOST_EVENTS {
                    continue;
                }
                match event.finish() {
                    Ok(event) => found.push(event),
                    Err(why) => problem(format!("{name:?}: {why}")),
                }
            }
            ("END", Some(_)) => drop(depth.pop()),
            ("X-WR-TIMEZONE", None) => zone = zone_of(line.value.trim()).unwrap_or(zone),
            (_, Some("VEVENT")) => raw.take(&line, &zone),
            _ => {}
        }
    }
    if !ended {
        return Err(invalid("it is cut off: END:VCALENDAR is missing"));
    }
    if seen > MOST_EVENTS {
        problem(format!(
            "it has {seen} events, of which the first {MOST_EVENTS} are taken"
        ));
    }
    // A changed occurrence takes the place of the one that its rule makes.
    let mut replaced: HashMap<String, Vec<Timestamp>> = HashMap::new();
    for (event, original, _) in &found {
        if let (Some(at), Some((uid, _))) = (original, event.uid.rsplit_once(' ')) {
            replaced.entry(uid.to_owned()).or_default().push(*at);
        }
    }
    let mut known = std::collections::HashSet::new();
    for (mut event, _, cancelled) in found {
        if let Some(at) = replaced.get(&event.uid) {
            event.except.extend(at);
        }
        if !cancelled && known.insert(event.uid.clone()) {
            out.events.push(event);
        }
    }
    Ok(out)
}

impl CalendarEvent {
    /// Whether it ends, with all its occurrences, before `t`.
    #[must_use]
    pub fn is_past(&self, t: Timestamp) -> bool {
        let series = Series::new(self.range, &self.zone, self.rule.as_deref(), &self.except);
        series.is_ok_and(|s| s.next(t).is_none())
    }

    /// How long one occurrence is.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.range.len_ns() / NS_PER_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn calendar(events: &str) -> String {
        format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{events}END:VCALENDAR\r\n")
            .replace('\n', "\r\n")
            .replace("\r\r", "\r")
    }

    #[test]
    fn events_as_calendars_write_them() {
        let text = calendar(
            "BEGIN:VTIMEZONE\nTZID:Europe/Berlin\nBEGIN:STANDARD\nDTSTART:19701025T030000\nEND:STANDARD\nEND:VTIMEZONE\n\
             BEGIN:VEVENT\nUID:one@x\nSUMMARY:Council\\, part 2 with a long\n  name\nDTSTART;TZID=Europe/Berlin:20260504T180000\n\
             DTEND;TZID=\"/mozilla.org/20050126_1/Europe/Berlin\":20260504T200000\nRRULE:FREQ=WEEKLY;BYDAY=MO\n\
             EXDATE;TZID=Europe/Berlin:20260511T180000\nORGANIZER;CN=\"Doe; Jane\":mailto:jane@x\n\
             BEGIN:VALARM\nTRIGGER:-PT15M\nEND:VALARM\nEND:VEVENT\n\
             BEGIN:VEVENT\nUID:one@x\nRECURRENCE-ID;TZID=Europe/Berlin:20260518T180000\nSUMMARY:Council moved\n\
             DTSTART:20260519T160000Z\nDURATION:PT1H30M\nEND:VEVENT\n\
             BEGIN:VEVENT\nUID:day@x\nDTSTART;VALUE=DATE:20260601\nEND:VEVENT\n\
             BEGIN:VEVENT\nUID:off@x\nSTATUS:CANCELLED\nDTSTART:20260601T100000Z\nDTEND:20260601T110000Z\nEND:VEVENT\n\
             BEGIN:VEVENT\nUID:bad@x\nSUMMARY:Bad\nDTSTART:tomorrow\nDTEND:20260601T110000Z\nEND:VEVENT\n",
        );
        let read = read(&text, "Europe/Berlin").unwrap();
        assert_eq!(read.problems, ["\"Bad\": DTSTART \"tomorrow\" cannot be read"]);
        let [council, moved, day] = &read.events[..] else {
            panic!("{read:#?}")
        };
        assert_eq!(
            (council.title.as_str(), council.who.as_deref()),
            ("Council, part 2 with a long name", Some("Doe; Jane"))
        );
        assert_eq!(council.range.start().to_string(), "2026-05-04T16:00:00Z");
        assert_eq!(
            (council.zone.as_str(), council.seconds()),
            ("Europe/Berlin", 7200)
        );
        assert_eq!(council.except.len(), 2, "left out and moved");
        let series = Series::new(
            council.range,
            &council.zone,
            council.rule.as_deref(),
            &council.except,
        )
        .unwrap();
        let next = series.next(council.range.end()).unwrap();
        assert_eq!(next.start().to_string(), "2026-05-25T16:00:00Z");
        assert_eq!((moved.seconds(), moved.rule.as_deref()), (5400, None));
        assert_eq!(day.range.start().to_string(), "2026-05-31T22:00:00Z");
        assert!(
            day.is_past("2026-06-02T00:00:00Z".parse().unwrap())
                && !council.is_past(Timestamp::from_secs(4_000_000_000))
        );
    }

    #[test]
    fn what_is_no_calendar() {
        for bad in [
            "",
            "<html></html>",
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\n",
            "BEGIN:VCALENDAR\n",
        ] {
            assert_eq!(
                read(bad, "UTC").unwrap_err().kind(),
                ErrorKind::InvalidArgument,
                "{bad:?}"
            );
        }
        let many = "BEGIN:VEVENT\nUID:x\nDTSTART:20260601T100000Z\nDTEND:20260601T110000Z\nEND:VEVENT\n"
            .repeat(MOST_EVENTS + 1);
        let read = read(&calendar(&many), "UTC").unwrap();
        assert_eq!(
            (read.events.len(), read.problems.len()),
            (1, 1),
            "one UID, and too many"
        );
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(BEGIN:|END:|VEVENT|DTSTART|DTEND|;TZID=|:|\n|\n |\"|UID:|RRULE:FREQ=DAILY|[0-9TZ]{1,16}|\\\\|ü){0,40}") {
            let _ = read(&format!("BEGIN:VCALENDAR\n{text}\nEND:VCALENDAR"), "Europe/Berlin");
            let _ = read(&text, "Europe/Berlin");
        }
    }
}
