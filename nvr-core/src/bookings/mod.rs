//! Bookings: intervals, once or again and again, in which cameras are recorded whatever their mode.
//!
//! Pure: [`recur`] (when), [`state`] (what is due, what is missing), [`ical`] (reading calendars), [`sync`] (what a new
//! version of a calendar changes). [`Bookings`] enters, changes and lists them; the recorder does what is due.

mod fetch;
pub mod ical;
mod idle;
mod manage;
pub mod recur;
pub mod state;
pub mod sync;
#[cfg(test)]
mod tests;

use crate::convert::{Layout, MergeParams};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{CameraId, JobId};
use crate::store::{BookingRow, BookingRunRow};
use crate::time::{TimeRange, Timestamp};

pub(crate) use self::fetch::{Fetched, Fetcher};
pub use self::idle::IdleBookings;
pub use self::manage::{Booked, Bookings, CalendarStatus, Conflict, Listed, Occurrence};
use self::recur::Series;
pub use self::state::BookingState;
pub use crate::event::BookingWarning;

/// Longest title and longest name of who booked.
const MOST_TITLE: usize = 200;
/// Most cameras of a booking.
const MOST_CAMERAS: usize = 64;
/// Most occurrences that can be left out.
const MOST_EXCEPT: usize = 1000;

/// What becomes of the footage of an occurrence once it is over, in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It is read and decoded whole: jobs of kind `verify`.
    Validate,
    /// All its cameras become one file: a job of kind `merge`.
    Merge,
    /// It is encoded again to save space: jobs of kind `transcode`.
    Compress,
    /// Each camera's part becomes a file of its own: jobs of kind `export`.
    Export,
    /// It is copied to all upload targets.
    Upload,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Validate,
        Self::Merge,
        Self::Compress,
        Self::Export,
        Self::Upload,
    ];

    /// Stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Merge => "merge",
            Self::Compress => "compress",
            Self::Export => "export",
            Self::Upload => "upload",
        }
    }

    /// The step of a name.
    ///
    /// # Errors
    /// `InvalidArgument` when there is none.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            Error::new(
                ErrorKind::InvalidArgument,
                format!("{name:?} is no step after a booking"),
            )
            .with_hint(format!("the steps are {names}"))
        })
    }
}

/// What is to be booked.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct BookingSpec {
    /// For people.
    pub title: String,
    /// For whom, or who asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Which cameras.
    pub cameras: Vec<CameraId>,
    /// Begin of the first occurrence.
    pub start: Timestamp,
    /// And its end.
    pub end: Timestamp,
    /// Name of the time zone on whose clock it repeats.
    pub zone: String,
    /// The rule by which it repeats (RFC 5545: `FREQ=WEEKLY;BYDAY=MO`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<String>,
    /// Beginnings of occurrences that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Timestamp>,
    /// What becomes of the footage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Step>,
    /// How [`Step::Merge`] puts the cameras together.
    #[serde(default, skip_serializing_if = "is_default")]
    pub layout: Layout,
    /// Whose sound is heard in what it makes; nobody's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound: Option<CameraId>,
    /// So long after its end, in seconds, no occurrence's footage is deleted.
    #[serde(default)]
    pub keep_footage_s: u64,
}

fn is_default(layout: &Layout) -> bool {
    *layout == Layout::default()
}

impl BookingSpec {
    /// Its times.
    ///
    /// # Errors
    /// `InvalidArgument` as of [`Series::new`].
    pub fn series(&self) -> Result<Series> {
        let first = TimeRange::new(self.start, self.end)?;
        Series::new(first, &self.zone, self.repeat.as_deref(), &self.except)
    }

    /// Whether it can be booked.
    ///
    /// # Errors
    /// `InvalidArgument` with what is wrong.
    pub fn check(&self) -> Result<Series> {
        let invalid = |what: String| Error::new(ErrorKind::InvalidArgument, what);
        let line = |text: &str| text.chars().count() <= MOST_TITLE && !text.contains(char::is_control);
        if self.title.trim().is_empty() || !line(&self.title) {
            return Err(invalid(format!(
                "the title is 1 to {MOST_TITLE} characters on one line"
            )));
        }
        if self.who.as_deref().is_some_and(|who| !line(who)) {
            return Err(invalid(format!(
                "who it is for is at most {MOST_TITLE} characters on one line"
            )));
        }
        let mut cameras = self.cameras.clone();
        cameras.sort();
        cameras.dedup();
        if cameras.is_empty() || cameras.len() != self.cameras.len() || cameras.len() > MOST_CAMERAS {
            return Err(invalid(format!(
                "a booking has 1 to {MOST_CAMERAS} different cameras"
            )));
        }
        if self.except.len() > MOST_EXCEPT {
            return Err(invalid(format!(
                "more than {MOST_EXCEPT} occurrences are left out"
            )));
        }
        let mut then = self.then.clone();
        then.sort();
        then.dedup();
        if then.len() != self.then.len() {
            return Err(invalid("a step after the booking is there twice".into()));
        }
        if let Some(sound) = self.sound.as_ref().filter(|s| !cameras.contains(s)) {
            return Err(invalid(format!("sound: {sound} is not among the cameras")));
        }
        if then.contains(&Step::Merge) {
            let range = TimeRange::new(self.start, self.end)?;
            self.merge(&self.cameras, range)
                .check()
                .map_err(|e| e.context("its cameras cannot be merged"))?;
        }
        if self.keep_footage_s > 520 * 7 * 86_400 {
            return Err(invalid("its footage is kept for at most 520 weeks".into()));
        }
        self.series()
    }

    /// What [`Step::Merge`] does with an occurrence of these cameras.
    pub(crate) fn merge(&self, cameras: &[CameraId], range: TimeRange) -> MergeParams {
        let mut params = MergeParams::new(cameras.to_vec(), range);
        params.layout = self.layout;
        params.sound = self.sound.clone().filter(|s| cameras.contains(s));
        params
    }
}

/// A booking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Booking {
    /// Its id.
    pub id: i64,
    /// What was booked.
    pub spec: BookingSpec,
    /// The calendar that it comes from; such are changed there, not here.
    pub calendar: Option<String>,
    /// What the calendar calls it.
    pub uid: Option<String>,
    /// When it was entered.
    pub created: Timestamp,
    /// By whom, if that is known.
    pub created_by: Option<String>,
    /// When it was called off.
    pub cancelled: Option<Timestamp>,
    /// It was its calendar that called it off.
    pub withdrawn: bool,
}

impl Booking {
    pub(crate) fn of(row: BookingRow) -> Result<Self> {
        let (calendar, uid) = row.calendar.unzip();
        Ok(Self {
            id: row.id,
            spec: read_json(&row.detail)?,
            calendar,
            uid,
            created: row.created,
            created_by: row.created_by,
            cancelled: row.cancelled,
            withdrawn: row.withdrawn,
        })
    }

    /// The row of what was booked.
    pub(crate) fn row(&self) -> Result<BookingRow> {
        let series = self.spec.series()?;
        Ok(BookingRow {
            id: self.id,
            calendar: self.calendar.clone().zip(self.uid.clone()),
            detail: json(&self.spec)?,
            created: self.created,
            created_by: self.created_by.clone(),
            cancelled: self.cancelled,
            withdrawn: self.withdrawn,
            over: last_end(&series, self.spec.end),
        })
    }
}

/// When the last occurrence ends; `None` when that is out of sight.
fn last_end(series: &Series, first_end: Timestamp) -> Option<Timestamp> {
    if !series.repeats() {
        return Some(first_end);
    }
    let all = TimeRange::new(
        Timestamp::MIN,
        first_end.add_ns(3660 * 86_400 * crate::time::NS_PER_S),
    )
    .ok()?;
    let found = series.within(all);
    let bounded = found.len() < usize::from(recur::MOST_OCCURRENCES)
        && found.last().is_none_or(|last| series.next(last.end()).is_none());
    bounded.then(|| found.last().map_or(first_end, TimeRange::end))
}

fn read_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|e| Error::new(ErrorKind::Corrupt, "a booking in the index cannot be read").with_source(e))
}

fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::new(ErrorKind::Internal, "a booking").with_source(e))
}

/// What is kept of an occurrence beside its state.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct RunDetail {
    pub(crate) warnings: Vec<BookingWarning>,
    /// How many steps are done, and the jobs of the present one.
    pub(crate) steps_done: usize,
    pub(crate) jobs: Vec<JobId>,
    /// Whether the present step was begun.
    pub(crate) begun: bool,
    /// Title and cameras of when it began: the booking may change later.
    pub(crate) cameras: Vec<CameraId>,
}

/// An occurrence that began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub(crate) booking: i64,
    pub(crate) range: TimeRange,
    pub(crate) state: BookingState,
    pub(crate) detail: RunDetail,
    pub(crate) changed: Timestamp,
}

impl Run {
    pub(crate) fn of(row: &BookingRunRow) -> Result<Self> {
        Ok(Self {
            booking: row.booking,
            range: row.range,
            state: BookingState::from_name(&row.state).ok_or_else(|| {
                Error::new(
                    ErrorKind::Corrupt,
                    format!("a booking in the index is {:?}", row.state),
                )
            })?,
            detail: read_json(&row.detail)?,
            changed: row.changed,
        })
    }

    pub(crate) fn row(&self) -> Result<BookingRunRow> {
        Ok(BookingRunRow {
            booking: self.booking,
            range: self.range,
            state: self.state.as_str().to_owned(),
            detail: json(&self.detail)?,
            changed: self.changed,
        })
    }
}
