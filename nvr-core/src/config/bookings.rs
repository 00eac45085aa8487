//! `[bookings]` and `[[calendar]]`: intervals in which cameras are recorded whatever their mode.

use std::time::Duration;

use super::reader::{At, Reader, Section, section};
use super::values::{Span, Text};
use crate::bookings::Step;
use crate::ids::CameraId;
use crate::secret::Secret;

/// Bookings.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BookingsConfig {
    /// How long bookings that are over stay in the list (1 day to 520 weeks; default 30 days).
    pub keep: Duration,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for BookingsConfig {
    fn default() -> Self {
        Self { keep: DAY * 30 }
    }
}

section! {
    /// Bookings: intervals in which cameras are recorded whatever their mode. They are entered in the page, by `nvr book`, the
    /// API or a calendar.
    RawBookings requires [] {
        /// How long bookings that are over stay in the list, 1 day to 520 weeks. Their footage is retention's.
        keep: Span = "30d",
    }
}

impl BookingsConfig {
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>) -> Self {
        let raw = RawBookings::read(reader, section);
        let keep = reader.within(raw.keep.as_ref(), &(Span(DAY)..=Span(DAY * 7 * 520)));
        keep.map_or_else(Self::default, |d| Self { keep: d.0 })
    }
}

/// A calendar whose events are bookings.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CalendarConfig {
    /// Its name.
    pub name: String,
    /// Address of the iCalendar file; http or https.
    pub url: String,
    /// User at the server.
    pub user: Option<String>,
    /// Password at the server.
    pub password: Secret,
    /// Cameras that each of its events books.
    pub cameras: Vec<CameraId>,
    /// How often it is asked for (1 min to 1 week; default 15 min).
    pub poll: Duration,
    /// What becomes of the footage.
    pub then: Vec<Step>,
    /// How long footage is kept at least.
    pub keep_footage: Duration,
}

section! {
    /// A calendar whose events are bookings; any number of them. Its last good copy counts while it cannot be reached.
    RawCalendar requires ["name", "url", "cameras"] {
        /// Its name: 1 to 63 of a-z, 0-9, `_` and `-`. The bookings of one whose name is gone are called off.
        name: Text,
        /// Address of an iCalendar file, `https://…` or `http://…`. Redirects are not followed. An address that is a secret
        /// belongs into a variable: `${CALENDAR_URL}`.
        url: Text,
        /// User at the server, if it asks for one.
        user: Text,
        /// Password at the server. Better a variable: `${CALENDAR_PASSWORD}` or `${file:/run/secrets/calendar}`.
        password: Text,
        /// Cameras that each event books, separated by commas.
        cameras: Text,
        /// How often it is asked for, 1 min to 1 week.
        poll: Span = "15m",
        /// What becomes of the footage afterwards, separated by commas, in this order: `validate`, `merge` (side by side),
        /// `compress`, `export`, `upload`. Nothing by default.
        then: Text,
        /// How long after its end no footage of an event is deleted, up to 520 weeks; as long as `[retention]` says by default.
        keep_footage: Span = "0s",
    }
}

impl CalendarConfig {
    /// A calendar at an address that books cameras, with the defaults.
    #[must_use]
    pub fn new(name: impl Into<String>, url: impl Into<String>, cameras: Vec<CameraId>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            user: None,
            password: Secret::new(""),
            cameras,
            poll: Duration::from_secs(900),
            then: Vec::new(),
            keep_footage: Duration::ZERO,
        }
    }

    /// Reads one; `None` when it is of no use.
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>) -> Option<At<Self>> {
        let raw = RawCalendar::read(reader, section);
        for (key, hint) in [
            ("name", "give it one: name = \"council\""),
            (
                "url",
                "say where it lies: url = \"https://calendar.example.org/council.ics\"",
            ),
            ("cameras", "say what its events book: cameras = \"hall, stage\""),
        ] {
            if !section.table.is_some_and(|t| t.contains_key(key)) {
                reader.missing(section, key, hint);
            }
        }
        let mut wrong = |at: &At<Text>, message: &str, hint: Option<String>| {
            let name = at.key.rsplit('.').next().unwrap_or_default();
            reader
                .problems
                .error(&at.span, &at.key, format!("`{name}`: {message}"), hint);
        };
        let name = raw
            .name
            .as_ref()
            .and_then(|at| match CameraId::new(at.value.as_str()) {
                Ok(name) => Some(name.to_string()),
                Err(e) => {
                    wrong(at, "not usable as a name", e.hint().map(str::to_owned));
                    None
                }
            });
        let url = raw.url.as_ref().and_then(|at| {
            if at.unknown {
                return None;
            }
            let parsed = url::Url::parse(at.value.as_str()).ok();
            let good = parsed.filter(|u| {
                matches!(u.scheme(), "http" | "https")
                    && u.has_host()
                    && u.username().is_empty()
                    && u.password().is_none()
            });
            if good.is_none() {
                let hint = "write https://host/calendar.ics; user and password have keys of their own";
                wrong(at, "not the address of a calendar", Some(hint.into()));
            }
            good.map(|u| u.to_string())
        });
        let list = |at: &At<Text>| -> Vec<String> {
            let parts = at
                .value
                .as_str()
                .split(',')
                .map(str::trim)
                .filter(|p| !p.is_empty());
            parts.map(str::to_owned).collect()
        };
        let mut cameras = Vec::new();
        if let Some(at) = &raw.cameras {
            let names = list(at);
            let ids: Result<Vec<_>, _> = names.iter().map(|n| CameraId::new(n)).collect();
            match ids {
                Ok(ids) if !ids.is_empty() => cameras = ids,
                Ok(_) => wrong(at, "none is named", None),
                Err(e) => wrong(at, "not usable as ids of cameras", e.hint().map(str::to_owned)),
            }
        }
        let mut then = Vec::new();
        if let Some(at) = &raw.then {
            let steps: Result<Vec<_>, _> = list(at).iter().map(|n| Step::from_name(n)).collect();
            match steps {
                Ok(steps)
                    if steps.contains(&Step::Merge)
                        && !cameras.is_empty()
                        && !(2..=16).contains(&cameras.len()) =>
                {
                    wrong(at, "`merge` is of 2 to 16 cameras", None);
                }
                Ok(steps) => then = steps,
                Err(e) => wrong(at, "not usable as steps", e.hint().map(str::to_owned)),
            }
        }
        let week = DAY * 7;
        let poll = reader.within(raw.poll.as_ref(), &(Span(Duration::from_secs(60))..=Span(week)));
        let keep = reader.within(
            raw.keep_footage.as_ref(),
            &(Span(Duration::ZERO)..=Span(week * 520)),
        );
        let at = raw.name?;
        let mut out = Self::new(name?, url?, cameras);
        out.user = raw.user.map(|at| at.value.as_str().to_owned());
        out.password = Secret::new(raw.password.as_ref().map_or("", |at| at.value.as_str()));
        out.poll = poll.map_or(out.poll, |d| d.0);
        out.then = then;
        out.keep_footage = keep.map_or(out.keep_footage, |d| d.0);
        Some(At {
            value: out,
            span: at.span,
            key: at.key,
            secret: at.secret,
            unknown: false,
        })
    }
}
