//! Times on the command line: absolute, local, or before or after now.

use jiff::civil;
use jiff::tz::TimeZone;
use nvr_core::error::{Error, ErrorKind, Result};
use nvr_core::time::Timestamp;

/// Reads a time. Local times are of `zone`.
///
/// # Errors
/// `InvalidArgument` when it is none, or does not exist in the zone.
pub fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp> {
    let text = text.trim();
    if text == "now" {
        return Ok(now);
    }
    if let Some(before) = text.strip_prefix('-')
        && let Some(ns) = span_ns(before)
    {
        return Ok(now.add_ns(-ns));
    }
    if let Some(after) = text.strip_prefix('+')
        && let Some(ns) = span_ns(after)
    {
        return Ok(now.add_ns(ns));
    }
    if let Some(local) = local(text, now, zone) {
        let zoned = zone.to_ambiguous_zoned(local).compatible();
        return zoned
            .map(|z| Timestamp::from_jiff(z.timestamp()))
            .map_err(|e| bad(text).with_source(e));
    }
    text.parse().map_err(|_| bad(text))
}

fn bad(text: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("{text:?} is not a time")).with_hint(
        "write 2026-05-04T03:02:01Z, Unix seconds, \"2026-05-04 03:02\", 03:02, now, -15m, -2h, -1d or +15m",
    )
}

/// A date, a date with a time of day, or a time of day (of today).
fn local(text: &str, now: Timestamp, zone: &TimeZone) -> Option<civil::DateTime> {
    // A trailing Z or an offset makes it absolute; a bare number means Unix seconds.
    if !text.contains(['-', ':']) || text.ends_with(['Z', 'z']) {
        return None;
    }
    if let Ok(date) = text.parse::<civil::Date>()
        && text.len() == 10
    {
        return Some(date.to_datetime(civil::Time::midnight()));
    }
    if !text.contains('-') {
        let today = now.to_jiff().to_zoned(zone.clone()).date();
        return text
            .parse::<civil::Time>()
            .ok()
            .map(|time| today.to_datetime(time));
    }
    let (date, time) = text.split_once([' ', 'T'])?;
    if time.contains(['+', '-']) {
        return None;
    }
    Some(date.parse::<civil::Date>().ok()?.to_datetime(time.parse().ok()?))
}

/// `15m`, `1h30m`, `2d` in nanoseconds.
pub fn span_ns(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let ns: i64 = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 7 * 86_400_000_000_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(ns)?)?;
        rest = after.trim_start();
    }
    (total > 0).then_some(total)
}

/// A length of time.
///
/// # Errors
/// `InvalidArgument` when it is none.
pub fn length(text: &str) -> Result<i64> {
    span_ns(text).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{text:?} is not a length of time"),
        )
        .with_hint("write 90s, 15m, 1h30m or 2d")
    })
}

/// The zone of a name.
///
/// # Errors
/// `InvalidArgument` when it is not known.
pub fn zone_of(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).map_err(|e| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{name:?} is not a known time zone"),
        )
        .with_hint("write UTC or an IANA name such as Europe/Berlin")
        .with_source(e)
    })
}

/// The zone of a name that the configuration has checked.
pub fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

/// A time for people, in their zone.
pub fn show(t: Timestamp, zone: &TimeZone) -> String {
    t.to_jiff()
        .to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S %Z")
        .to_string()
}

/// A time that a recorder told, for people in their zone; as it is where it is none.
pub fn told(text: &str, zone: &TimeZone) -> String {
    text.parse().map_or_else(|_| text.to_owned(), |t| show(t, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let now: Timestamp = "2026-05-04T12:00:00Z".parse().unwrap();
        for (text, want) in [
            ("now", "2026-05-04T12:00:00Z"),
            ("-15m", "2026-05-04T11:45:00Z"),
            ("-1h30m", "2026-05-04T10:30:00Z"),
            ("-2d", "2026-05-02T12:00:00Z"),
            ("+1d12h", "2026-05-06T00:00:00Z"),
            ("2026-05-04T03:02:01Z", "2026-05-04T03:02:01Z"),
            ("2026-05-04T03:02:01+02:00", "2026-05-04T01:02:01Z"),
            ("2026-05-04 03:02", "2026-05-04T01:02:00Z"),
            ("2026-05-04T03:02:01.5", "2026-05-04T01:02:01.5Z"),
            ("2026-05-04", "2026-05-03T22:00:00Z"),
            ("03:02", "2026-05-04T01:02:00Z"),
            ("1777863721", "2026-05-04T03:02:01Z"),
            // Does not exist: clocks go from 02:00 to 03:00.
            ("2026-03-29 02:30", "2026-03-29T01:30:00Z"),
        ] {
            assert_eq!(parse(text, now, &zone).unwrap().to_string(), want, "{text}");
        }
        for bad in [
            "",
            "yesterday",
            "-",
            "-5x",
            "25:00",
            "2026-13-01",
            "-99999999999999w",
            "+",
            "+5x",
        ] {
            let e = parse(bad, now, &zone).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{bad}");
        }
        assert_eq!(told("2026-05-04T03:02:01.5Z", &zone), "2026-05-04 05:02:01 CEST");
        assert_eq!(told("soon", &zone), "soon");
        assert_eq!(length("1h30m").unwrap(), 5_400_000_000_000);
        assert!(length("1").is_err() && zone_of("Nowhere/Land").is_err());
    }
}
