//! Entering, changing, calling off and listing bookings.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::BookingWarning;
use super::recur::Series;
use super::state::BookingState;
use super::{Booking, BookingSpec, Run};
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, Event, EventKind};
use crate::events::EventBus;
use crate::ids::{CameraId, JobId};
use crate::nvr::blocking;
use crate::store::Store;
use crate::time::{NS_PER_S, TimeRange, Timestamp};

const DAY_NS: i64 = 86_400 * NS_PER_S;
/// So far ahead conflicts are looked for.
const CONFLICTS_AHEAD_NS: i64 = 400 * DAY_NS;
/// Most conflicts that are told.
const MOST_CONFLICTS: usize = 20;
/// Most occurrences of one answer.
pub const MOST_LISTED: usize = 5000;

/// Another booking that has a camera at the same time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// Which.
    pub booking: i64,
    /// Its title.
    pub title: String,
    /// Cameras that both have.
    pub cameras: Vec<CameraId>,
    /// The first occurrence of the other one that overlaps.
    pub range: TimeRange,
}

/// A booking, and what else has its cameras then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Booked {
    /// As it is now.
    pub booking: Booking,
    /// What overlaps it.
    pub conflicts: Vec<Conflict>,
}

/// One occurrence of a booking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Occurrence {
    /// Of which booking.
    pub booking: Booking,
    /// When.
    pub range: TimeRange,
    /// Where it stands.
    pub state: BookingState,
    /// What is not as it was booked.
    pub warnings: Vec<BookingWarning>,
    /// The jobs of the step that is being done, or was last.
    pub jobs: Vec<JobId>,
}

/// A booking and how it stands as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The booking.
    pub booking: Booking,
    /// Where its present occurrence stands, or else its next, or else its last.
    pub state: BookingState,
    /// The present or next occurrence, unless it was called off.
    pub next: Option<TimeRange>,
    /// What was not as booked the last time.
    pub warnings: Vec<BookingWarning>,
}

/// How a calendar fares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CalendarStatus {
    /// Its name.
    pub name: String,
    /// When it was last fetched, or found unchanged.
    pub fetched: Option<Timestamp>,
    /// Since when it cannot be had, and why.
    pub trouble: Option<(Timestamp, Cause)>,
    /// What in it could not be used.
    pub problems: Vec<String>,
}

/// The bookings of a recorder, or of an index while none runs.
#[derive(Clone, Debug)]
pub struct Bookings {
    pub(crate) store: Store,
    clock: SharedClock,
    events: Option<Arc<EventBus>>,
    /// Wakes who does what is due.
    pub(crate) changed: Arc<Notify>,
    /// One change at a time: what was found free must be so when it is entered.
    turn: Arc<tokio::sync::Mutex<()>>,
    calendars: Arc<Mutex<HashMap<String, CalendarStatus>>>,
}

fn from_calendar(booking: &Booking) -> Result<()> {
    let Some(calendar) = &booking.calendar else {
        return Ok(());
    };
    let message = format!("booking {} comes from the calendar {calendar}", booking.id);
    Err(Error::new(ErrorKind::Conflict, message).with_hint("change it there, or call it off here"))
}

impl Bookings {
    /// Those of an index that was opened for writing.
    #[must_use]
    pub fn of(store: Store, clock: SharedClock) -> Self {
        Self::new(store, clock, None)
    }

    pub(crate) fn new(store: Store, clock: SharedClock, events: Option<Arc<EventBus>>) -> Self {
        Self {
            store,
            clock,
            events,
            changed: Arc::default(),
            turn: Arc::default(),
            calendars: Arc::default(),
        }
    }

    /// Books cameras. What overlaps on the same camera is a conflict: unless `allow_conflicts`, nothing is booked then. Both
    /// would get their footage; it is told because somebody else may count on the camera.
    ///
    /// # Errors
    /// `InvalidArgument` when it cannot be booked or is over already, `Conflict` with what it overlaps, `Busy` when there
    /// are too many, `Storage` when the index cannot be written.
    pub async fn add(&self, spec: BookingSpec, by: Option<String>, allow_conflicts: bool) -> Result<Booked> {
        let _turn = self.turn.lock().await;
        let (now, spec) = (self.clock.now(), trimmed(spec));
        let conflicts = self.look(&spec, None, now, allow_conflicts).await?;
        let booking = Booking {
            id: 0,
            spec,
            calendar: None,
            uid: None,
            created: now,
            created_by: by.clone(),
            cancelled: None,
            withdrawn: false,
        };
        let booking = self.enter(&booking, by).await?;
        Ok(Booked { booking, conflicts })
    }

    pub(crate) async fn enter(&self, booking: &Booking, by: Option<String>) -> Result<Booking> {
        let booking = Booking::of(self.store.add_booking(booking.row()?).await?)?;
        self.tell(&booking, None, "planned", &[], by).await;
        self.changed.notify_one();
        Ok(booking)
    }

    async fn look(
        &self,
        spec: &BookingSpec,
        but: Option<i64>,
        now: Timestamp,
        allowed: bool,
    ) -> Result<Vec<Conflict>> {
        let series = spec.check()?;
        if series.next(now).is_none() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "what is booked is over already",
            ));
        }
        let conflicts = self.conflicts(spec.clone(), series, but, now).await?;
        if allowed || conflicts.is_empty() {
            return Ok(conflicts);
        }
        let named = conflicts.iter().take(3).map(|c| {
            let cameras: Vec<&str> = c.cameras.iter().map(CameraId::as_str).collect();
            format!(
                "booking {} ({}) has {} from {}",
                c.booking,
                c.title,
                cameras.join(", "),
                c.range.start()
            )
        });
        let message = named.collect::<Vec<_>>().join("; ");
        Err(Error::new(ErrorKind::Conflict, message)
            .with_hint("choose another time or camera, or allow conflicts"))
    }

    /// What a booking would overlap from now on.
    async fn conflicts(
        &self,
        spec: BookingSpec,
        series: Series,
        but: Option<i64>,
        now: Timestamp,
    ) -> Result<Vec<Conflict>> {
        let store = self.store.clone();
        blocking(move || {
            let until = spec.start.max(now).add_ns(CONFLICTS_AHEAD_NS);
            let range = TimeRange::new(now, until)?;
            let mine = series.within(range);
            let mut out = Vec::new();
            for row in store.bookings(now)? {
                let other = Booking::of(row)?;
                if Some(other.id) == but || other.cancelled.is_some() {
                    continue;
                }
                let shared = |c: &&CameraId| spec.cameras.contains(c);
                let cameras: Vec<CameraId> = other.spec.cameras.iter().filter(shared).cloned().collect();
                if cameras.is_empty() {
                    continue;
                }
                let theirs = other.spec.series()?.within(range);
                if let Some(range) = first_overlap(&mine, &theirs) {
                    out.push(Conflict {
                        booking: other.id,
                        title: other.spec.title,
                        cameras,
                        range,
                    });
                    if out.len() >= MOST_CONFLICTS {
                        break;
                    }
                }
            }
            Ok(out)
        })
        .await
    }

    /// One booking.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id.
    pub async fn get(&self, id: i64) -> Result<Booking> {
        let store = self.store.clone();
        blocking(move || Booking::of(store.booking(id)?)).await
    }

    /// All bookings that are kept, by id.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn all(&self) -> Result<Vec<Booking>> {
        let store = self.store.clone();
        blocking(move || {
            store
                .bookings(Timestamp::MIN)?
                .into_iter()
                .map(Booking::of)
                .collect()
        })
        .await
    }

    /// All bookings that are kept, by id, each with how it stands.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn list(&self) -> Result<Vec<Listed>> {
        let (store, now) = (self.store.clone(), self.clock.now());
        blocking(move || {
            let mut runs: HashMap<i64, Vec<Run>> = HashMap::new();
            for row in store.booking_runs(None, TimeRange::ALL)? {
                let run = Run::of(&row)?;
                runs.entry(run.booking).or_default().push(run);
            }
            let rows = store.bookings(Timestamp::MIN)?;
            rows.into_iter()
                .map(|row| {
                    let booking = Booking::of(row)?;
                    let runs = runs.remove(&booking.id).unwrap_or_default();
                    listed(booking, &runs, now)
                })
                .collect()
        })
        .await
    }

    /// One booking, with how it stands.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id.
    pub async fn one(&self, id: i64) -> Result<Listed> {
        let (store, now) = (self.store.clone(), self.clock.now());
        blocking(move || {
            let booking = Booking::of(store.booking(id)?)?;
            let rows = store.booking_runs(Some(id), TimeRange::ALL)?;
            let runs = rows.iter().map(Run::of).collect::<Result<Vec<_>>>()?;
            listed(booking, &runs, now)
        })
        .await
    }

    /// What overlaps a range, in order: occurrences to come, of now, and of the past as far as they are kept. At most
    /// 5,000; of one booking or of all.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn occurrences(&self, range: TimeRange, of: Option<i64>) -> Result<Vec<Occurrence>> {
        let (store, now) = (self.store.clone(), self.clock.now());
        blocking(move || {
            let mut runs: HashMap<(i64, Timestamp), Run> = HashMap::new();
            for row in store.booking_runs(of, range)? {
                let run = Run::of(&row)?;
                runs.insert((run.booking, run.range.start()), run);
            }
            let rows = match of {
                Some(id) => vec![store.booking(id)?],
                None => store.bookings(Timestamp::MIN)?,
            };
            let mut out = Vec::new();
            for row in rows {
                let booking = Booking::of(row)?;
                for occurrence in booking.spec.series()?.within(range) {
                    // What was over before it was entered never was to be.
                    if runs.contains_key(&(booking.id, occurrence.start()))
                        || occurrence.end() <= booking.created
                    {
                        continue;
                    }
                    let state = match booking.cancelled {
                        Some(at) if occurrence.end() > at => BookingState::Cancelled,
                        _ if occurrence.end() <= now => BookingState::Expired,
                        _ => BookingState::Planned,
                    };
                    out.push(Occurrence {
                        booking: booking.clone(),
                        range: occurrence,
                        state,
                        warnings: Vec::new(),
                        jobs: Vec::new(),
                    });
                }
                let mine: Vec<_> = runs.keys().filter(|(id, _)| *id == booking.id).copied().collect();
                for run in mine.iter().filter_map(|key| runs.remove(key)) {
                    out.push(Occurrence {
                        booking: booking.clone(),
                        range: run.range,
                        state: run.state,
                        warnings: run.detail.warnings,
                        jobs: run.detail.jobs,
                    });
                }
            }
            out.sort_by_key(|o| (o.range.start(), o.booking.id));
            out.truncate(MOST_LISTED);
            Ok(out)
        })
        .await
    }

    /// Changes what is booked. What began stays as it began; of one that is going on, a new end counts.
    ///
    /// # Errors
    /// As [`add`](Self::add), `NotFound` when there is none of that id, `Conflict` when it comes from a calendar.
    pub async fn change(
        &self,
        id: i64,
        spec: BookingSpec,
        by: Option<String>,
        allow_conflicts: bool,
    ) -> Result<Booked> {
        let _turn = self.turn.lock().await;
        let mut booking = self.get(id).await?;
        from_calendar(&booking)?;
        booking.spec = trimmed(spec);
        let conflicts = self
            .look(&booking.spec, Some(id), self.clock.now(), allow_conflicts)
            .await?;
        booking.cancelled = None;
        self.write(&booking, by).await?;
        Ok(Booked { booking, conflicts })
    }

    pub(crate) async fn write(&self, booking: &Booking, by: Option<String>) -> Result<()> {
        if !self.store.set_booking(booking.row()?).await? {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no booking {}", booking.id),
            ));
        }
        let state = if booking.cancelled.is_some() {
            "cancelled"
        } else {
            "planned"
        };
        self.tell(booking, None, state, &[], by).await;
        self.changed.notify_one();
        Ok(())
    }

    /// Calls a booking off: all of it, or the occurrence that begins at a moment. One that is going on ends; what it has
    /// stays.
    ///
    /// # Errors
    /// `NotFound` when there is no such booking or occurrence, `Conflict` when it is over or called off.
    pub async fn cancel(
        &self,
        id: i64,
        occurrence: Option<Timestamp>,
        by: Option<String>,
    ) -> Result<Booking> {
        let _turn = self.turn.lock().await;
        let mut booking = self.get(id).await?;
        let now = self.clock.now();
        let series = booking.spec.series()?;
        let over = || {
            Error::new(
                ErrorKind::Conflict,
                format!("booking {id} is over or was called off"),
            )
        };
        if booking.cancelled.is_some() {
            return Err(over());
        }
        let Some(start) = occurrence else {
            if series.next(now).is_none() {
                return Err(over());
            }
            booking.cancelled = Some(now);
            self.write(&booking, by).await?;
            return Ok(booking);
        };
        let one = TimeRange::new(start, start.add_ns(1))?;
        let found = series.within(one).into_iter().find(|r| r.start() == start);
        let range = found.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("booking {id} has no occurrence that begins at {start}"),
            )
            .with_hint("the list of bookings has the beginnings")
        })?;
        let kept = {
            let store = self.store.clone();
            blocking(move || store.booking_runs(Some(id), range)).await?
        };
        let kept = kept
            .iter()
            .find(|r| r.range.start() == start)
            .map(Run::of)
            .transpose()?;
        if range.end() <= now || kept.as_ref().is_some_and(|r| r.state.is_over()) {
            return Err(over());
        }
        let detail = kept.map(|r| r.detail).unwrap_or_default();
        let run = Run {
            booking: id,
            range,
            state: BookingState::Cancelled,
            detail,
            changed: now,
        };
        self.store.set_booking_run(run.row()?).await?;
        self.tell(&booking, Some(start), "cancelled", &[], by).await;
        self.changed.notify_one();
        Ok(booking)
    }

    /// Forgets a booking and all its occurrences. One that is going on ends; footage stays as long as retention keeps it.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, `Conflict` when a calendar would bring it back.
    pub async fn delete(&self, id: i64, by: Option<String>) -> Result<()> {
        let _turn = self.turn.lock().await;
        let booking = self.get(id).await?;
        let comes = booking.spec.series()?.next(self.clock.now()).is_some();
        if comes && booking.cancelled.is_none() {
            from_calendar(&booking)?;
        }
        self.store.delete_booking(id).await?;
        self.tell(&booking, None, "deleted", &[], by).await;
        self.changed.notify_one();
        Ok(())
    }

    /// How the calendars fare.
    #[must_use]
    pub fn calendars(&self) -> Vec<CalendarStatus> {
        let calendars = self.calendars.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = calendars.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    pub(crate) fn with_calendars<T>(&self, f: impl FnOnce(&mut HashMap<String, CalendarStatus>) -> T) -> T {
        f(&mut self.calendars.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn tell(
        &self,
        booking: &Booking,
        start: Option<Timestamp>,
        state: &str,
        warnings: &[BookingWarning],
        by: Option<String>,
    ) {
        let kind = EventKind::BookingChanged {
            booking: booking.id,
            title: booking.spec.title.clone(),
            cameras: booking.spec.cameras.clone(),
            start,
            state: state.to_owned(),
            warnings: warnings.to_vec(),
            by,
        };
        self.publish(kind).await;
    }

    pub(crate) async fn publish(&self, kind: EventKind) {
        let event = Event::new(self.clock.now(), None, kind);
        if let Some(events) = &self.events {
            events.publish(event.clone());
        }
        if let Err(e) = self.store.add_event(event).await {
            tracing::warn!(error = %e, "an event is not in the index");
        }
    }
}

fn listed(booking: Booking, runs: &[Run], now: Timestamp) -> Result<Listed> {
    let series = booking.spec.series()?;
    let called_off = |r: &TimeRange| {
        let off = |run: &&Run| run.range.start() == r.start() && run.state == BookingState::Cancelled;
        runs.iter().any(|run| off(&run))
    };
    let mut next = series.next(now).filter(|_| booking.cancelled.is_none());
    // Some in a row may have been called off.
    for _ in 0..runs.len() {
        next = match next {
            Some(range) if called_off(&range) => series.next(range.end()),
            other => other,
        };
    }
    let next = next.filter(|r| !called_off(r));
    let live = runs.iter().find(|r| !r.state.is_over());
    let last = runs.iter().rev().find(|r| r.state.is_over());
    let state = match (live, booking.cancelled, next, last) {
        (Some(live), ..) => live.state,
        (None, Some(_), ..) => BookingState::Cancelled,
        (None, None, Some(_), _) => BookingState::Planned,
        (None, None, None, Some(last)) => last.state,
        (None, None, None, None) => BookingState::Expired,
    };
    let warnings = live
        .or(last)
        .map(|r| r.detail.warnings.clone())
        .unwrap_or_default();
    Ok(Listed {
        booking,
        state,
        next,
        warnings,
    })
}

fn trimmed(mut spec: BookingSpec) -> BookingSpec {
    spec.title = spec.title.trim().to_owned();
    spec.who = spec
        .who
        .map(|who| who.trim().to_owned())
        .filter(|who| !who.is_empty());
    spec.repeat = spec.repeat.map(|r| r.trim().to_owned()).filter(|r| !r.is_empty());
    spec.then.sort();
    spec
}

/// The first of the second that overlaps one of the first; both are in order.
pub(crate) fn first_overlap(mine: &[TimeRange], theirs: &[TimeRange]) -> Option<TimeRange> {
    let (mut a, mut b) = (mine.iter().peekable(), theirs.iter().peekable());
    while let (Some(m), Some(t)) = (a.peek(), b.peek()) {
        if m.start() < t.end() && t.start() < m.end() {
            return Some(**t);
        }
        if m.end() <= t.end() {
            a.next();
        } else {
            b.next();
        }
    }
    None
}
