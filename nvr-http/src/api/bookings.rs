//! Bookings: intervals in which cameras are recorded whatever their mode.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use nvr_core::bookings::{
    Booked, Booking, BookingSpec, BookingState, BookingWarning, CalendarStatus, Conflict, Listed, Occurrence,
    Step,
};
use nvr_core::convert::Layout;
use nvr_core::{CameraId, TimeRange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Body, MaybeBody};
use crate::actor::By;
use crate::auth::Viewer;
use crate::params::{BookingPath, Length, Query, Time};
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// What to book; on a change, what is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BookingRequest {
    /// For people; needed for a new one.
    title: Option<String>,
    /// For whom, or who asks for it; empty for nobody.
    who: Option<String>,
    /// Ids of cameras; needed for a new one.
    cameras: Option<Vec<String>>,
    /// Begin of the first occurrence ; needed for a new one.
    start: Option<Time>,
    /// And its end; needed for a new one.
    end: Option<Time>,
    /// Time zone on whose clock it repeats (`Europe/Berlin`); that of the recorder by default.
    time_zone: Option<String>,
    /// The rule by which it repeats, of RFC 5545; empty for once.
    #[schema(example = "FREQ=WEEKLY;BYDAY=MO,WE")]
    repeat: Option<String>,
    /// Beginnings of occurrences that are left out.
    except: Option<Vec<Time>>,
    /// What becomes of the footage afterwards: `validate`, `merge`, `compress`, `export`, `upload`.
    then: Option<Vec<String>>,
    /// How `merge` puts the cameras together: `side_by_side` (default), `stacked`, `grid`, `picture_in_picture`,
    /// `one_after_the_other`.
    #[schema(value_type = Option<String>)]
    layout: Option<Layout>,
    /// The camera whose sound is heard in what `merge` makes; empty for nobody.
    sound: Option<String>,
    /// How long after its end no occurrence's footage is deleted: seconds, or a text such as `"90d"`.
    #[schema(value_type = Option<String>)]
    keep_footage: Option<Length>,
    /// Whether it is booked though another booking has one of its cameras then.
    #[serde(default)]
    allow_conflicts: bool,
}

impl BookingRequest {
    fn spec(self, before: Option<BookingSpec>, zone: &str) -> Answer<(BookingSpec, bool)> {
        let missing = |name: &str| Failure::invalid(format!("{name} is missing"));
        let cameras = match self.cameras {
            Some(ids) => Some(
                ids.iter()
                    .map(|id| CameraId::new(id))
                    .collect::<Result<Vec<_>, _>>()?,
            ),
            None => None,
        };
        let steps = match self.then {
            Some(names) => Some(
                names
                    .iter()
                    .map(|n| Step::from_name(n))
                    .collect::<Result<Vec<_>, _>>()?,
            ),
            None => None,
        };
        let (start, end) = (self.start.map(|t| t.0), self.end.map(|t| t.0));
        let mut spec = match before {
            Some(spec) => spec,
            None => BookingSpec {
                title: self.title.clone().ok_or_else(|| missing("title"))?,
                who: None,
                cameras: cameras.clone().ok_or_else(|| missing("cameras"))?,
                start: start.ok_or_else(|| missing("start"))?,
                end: end.ok_or_else(|| missing("end"))?,
                zone: zone.to_owned(),
                repeat: None,
                except: Vec::new(),
                then: Vec::new(),
                layout: Layout::default(),
                sound: None,
                keep_footage_s: 0,
            },
        };
        let filled = |text: String| Some(text).filter(|t| !t.trim().is_empty());
        spec.title = self.title.unwrap_or(spec.title);
        spec.who = self.who.map_or(spec.who, filled);
        spec.cameras = cameras.unwrap_or(spec.cameras);
        spec.start = start.unwrap_or(spec.start);
        spec.end = end.unwrap_or(spec.end);
        spec.zone = self.time_zone.unwrap_or(spec.zone);
        spec.repeat = self.repeat.map_or(spec.repeat, filled);
        if let Some(times) = self.except {
            spec.except = times.into_iter().map(|t| t.0).collect();
        }
        spec.then = steps.unwrap_or(spec.then);
        spec.layout = self.layout.unwrap_or(spec.layout);
        if let Some(sound) = self.sound {
            let named = filled(sound).map(|s| CameraId::new(&s)).transpose()?;
            spec.sound = named;
        }
        spec.keep_footage_s = self.keep_footage.map_or(spec.keep_footage_s, |l| l.0.as_secs());
        Ok((spec, self.allow_conflicts))
    }
}

/// Which occurrence is called off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelRequest {
    /// Its beginning; all of the booking when absent.
    start: Option<Time>,
}

/// From when to when.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpanDto {
    start: String,
    end: String,
}

impl From<TimeRange> for SpanDto {
    fn from(range: TimeRange) -> Self {
        Self {
            start: range.start().to_string(),
            end: range.end().to_string(),
        }
    }
}

/// Something that is not as it was booked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WarningDto {
    /// Of which camera, if of one.
    camera: Option<String>,
    /// What.
    message: String,
}

fn warnings(all: Vec<BookingWarning>, viewer: &Viewer) -> Vec<WarningDto> {
    all.into_iter()
        .filter(|w| w.camera.as_ref().is_none_or(|c| viewer.sees(c)))
        .map(|w| WarningDto {
            camera: w.camera.map(|c| c.to_string()),
            message: w.message,
        })
        .collect()
}

/// A booking.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BookingDto {
    /// Its id.
    id: i64,
    /// For people.
    title: String,
    /// For whom, or who asks for it.
    who: Option<String>,
    /// Those of its cameras that are the viewer's.
    cameras: Vec<String>,
    /// Begin of its first occurrence.
    start: String,
    /// And its end.
    end: String,
    /// Time zone on whose clock it repeats.
    time_zone: String,
    /// The rule by which it repeats.
    repeat: Option<String>,
    /// Beginnings of occurrences that are left out.
    except: Vec<String>,
    /// What becomes of the footage.
    then: Vec<&'static str>,
    /// How `merge` puts the cameras together.
    #[schema(value_type = String)]
    layout: Layout,
    /// The camera whose sound is heard in what `merge` makes.
    sound: Option<String>,
    /// How long its footage is kept at least, in seconds.
    keep_footage: u64,
    /// The calendar that it comes from.
    calendar: Option<String>,
    /// When it was entered.
    created: String,
    /// By whom, if that is known.
    created_by: Option<String>,
    /// When it was called off.
    cancelled: Option<String>,
    /// `planned`, `recording`, `processing`, `completed`, `failed`, `cancelled` or `expired`: of its present occurrence, or
    /// else its next, or else its last.
    state: &'static str,
    /// The present or next occurrence.
    next: Option<SpanDto>,
    /// What was not as booked the last time.
    warnings: Vec<WarningDto>,
}

impl BookingDto {
    fn of(listed: Listed, viewer: &Viewer) -> Self {
        let Booking {
            id,
            spec,
            calendar,
            created,
            created_by,
            cancelled,
            ..
        } = listed.booking;
        Self {
            id,
            title: spec.title,
            who: spec.who,
            cameras: seen(&spec.cameras, viewer),
            start: spec.start.to_string(),
            end: spec.end.to_string(),
            time_zone: spec.zone,
            repeat: spec.repeat,
            except: spec.except.iter().map(ToString::to_string).collect(),
            then: spec.then.iter().map(|s| s.as_str()).collect(),
            layout: spec.layout,
            sound: spec.sound.filter(|c| viewer.sees(c)).map(|c| c.to_string()),
            keep_footage: spec.keep_footage_s,
            calendar,
            created: created.to_string(),
            created_by,
            cancelled: cancelled.map(|t| t.to_string()),
            state: listed.state.as_str(),
            next: listed.next.map(SpanDto::from),
            warnings: warnings(listed.warnings, viewer),
        }
    }
}

fn seen(cameras: &[CameraId], viewer: &Viewer) -> Vec<String> {
    cameras
        .iter()
        .filter(|c| viewer.sees(c))
        .map(ToString::to_string)
        .collect()
}

/// The bookings.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BookingsDto {
    /// By id.
    bookings: Vec<BookingDto>,
}

/// Another booking that has a camera at the same time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConflictDto {
    /// Its id.
    booking: i64,
    /// Its title.
    title: String,
    /// Cameras that both have.
    cameras: Vec<String>,
    /// The first occurrence of it that overlaps.
    start: String,
    /// And its end.
    end: String,
}

/// What was booked, and what else has its cameras then.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BookedDto {
    /// As it is now.
    booking: BookingDto,
    /// What overlaps it.
    conflicts: Vec<ConflictDto>,
}

impl BookedDto {
    async fn of(app: &AppState, booked: Booked, viewer: &Viewer) -> Answer<Self> {
        let conflict = |c: Conflict| ConflictDto {
            booking: c.booking,
            title: c.title,
            cameras: seen(&c.cameras, viewer),
            start: c.range.start().to_string(),
            end: c.range.end().to_string(),
        };
        let listed = app.nvr.bookings().one(booked.booking.id).await?;
        Ok(Self {
            booking: BookingDto::of(listed, viewer),
            conflicts: booked.conflicts.into_iter().map(conflict).collect(),
        })
    }
}

/// One occurrence of a booking.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OccurrenceDto {
    /// Id of the booking.
    booking: i64,
    /// Its title.
    title: String,
    /// For whom, or who asks for it.
    who: Option<String>,
    /// Those of its cameras that are the viewer's.
    cameras: Vec<String>,
    /// Begin.
    start: String,
    /// End.
    end: String,
    /// Where it stands.
    state: &'static str,
    /// Whether the booking repeats.
    repeats: bool,
    /// The calendar that it comes from.
    calendar: Option<String>,
    /// What is not as it was booked.
    warnings: Vec<WarningDto>,
    /// The jobs of the step that is being done, or was last.
    jobs: Vec<i64>,
}

impl OccurrenceDto {
    fn of(o: Occurrence, viewer: &Viewer) -> Self {
        Self {
            booking: o.booking.id,
            cameras: seen(&o.booking.spec.cameras, viewer),
            title: o.booking.spec.title,
            who: o.booking.spec.who,
            start: o.range.start().to_string(),
            end: o.range.end().to_string(),
            state: o.state.as_str(),
            repeats: o.booking.spec.repeat.is_some(),
            calendar: o.booking.calendar,
            warnings: warnings(o.warnings, viewer),
            jobs: o.jobs.iter().map(|j| j.0).collect(),
        }
    }
}

/// Occurrences.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OccurrencesDto {
    /// In order of their beginnings, at most 5000.
    occurrences: Vec<OccurrenceDto>,
}

/// A calendar that is polled.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CalendarDto {
    /// Its name.
    name: String,
    /// When it was last fetched, or found unchanged.
    fetched: Option<String>,
    /// Since when it cannot be had; its last good copy counts.
    trouble_since: Option<String>,
    /// Why.
    trouble: Option<String>,
    /// What in it could not be used.
    problems: Vec<String>,
}

impl From<CalendarStatus> for CalendarDto {
    fn from(c: CalendarStatus) -> Self {
        let (since, cause) = c.trouble.unzip();
        Self {
            name: c.name,
            fetched: c.fetched.map(|t| t.to_string()),
            trouble_since: since.map(|t| t.to_string()),
            trouble: cause.map(|c| c.message),
            problems: c.problems,
        }
    }
}

/// The calendars.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CalendarsDto {
    /// By name.
    calendars: Vec<CalendarDto>,
}

fn visible(cameras: &[CameraId], viewer: &Viewer, wanted: &[CameraId]) -> bool {
    cameras
        .iter()
        .any(|c| viewer.sees(c) && (wanted.is_empty() || wanted.contains(c)))
}

fn states(query: &mut Query) -> Answer<Vec<BookingState>> {
    let Some(text) = query.text("state")? else {
        return Ok(Vec::new());
    };
    let read = |name: &str| {
        BookingState::from_name(name).ok_or_else(|| {
            let all = BookingState::ALL.map(BookingState::as_str).join(", ");
            Failure::invalid(format!("parameter state={name:?}: want some of {all}"))
        })
    };
    text.split(',').map(read).collect()
}

/// A booking of which all cameras are the viewer's: only he may change it.
async fn whole(app: &AppState, id: i64, viewer: &Viewer) -> Answer<Booking> {
    let booking = app.nvr.bookings().get(id).await?;
    if !visible(&booking.spec.cameras, viewer, &[]) {
        return Err(Failure::not_found(format!("there is no booking {id}")));
    }
    require(&booking.spec, viewer)?;
    Ok(booking)
}

fn require(spec: &BookingSpec, viewer: &Viewer) -> Answer<()> {
    spec.cameras.iter().try_for_each(|c| viewer.require(c))
}

/// All bookings that are kept, of the viewer's cameras.
#[utoipa::path(get, path = "/api/v1/bookings", tag = "bookings", operation_id = "list_bookings",
    params(("state" = Option<String>, Query, description = "Only those in one of these states, with commas"),
        ("cameras" = Option<String>, Query, description = "Only those of one of these cameras, with commas")),
    responses((status = 200, description = "By id", body = BookingsDto)))]
pub(crate) async fn list(
    State(app): State<AppState>,
    viewer: Viewer,
    mut query: Query,
) -> Answer<Json<BookingsDto>> {
    let (states, cameras) = (states(&mut query)?, query.cameras()?);
    query.end()?;
    let mut all = app.nvr.bookings().list().await?;
    all.retain(|l| visible(&l.booking.spec.cameras, &viewer, &cameras));
    all.retain(|l| states.is_empty() || states.contains(&l.state));
    Ok(Json(BookingsDto {
        bookings: all.into_iter().map(|l| BookingDto::of(l, &viewer)).collect(),
    }))
}

/// What is booked in a range, occurrence by occurrence, of the viewer's cameras.
#[utoipa::path(get, path = "/api/v1/bookings/occurrences", tag = "bookings", operation_id = "list_occurrences",
    params(("from" = inline(Time), Query, description = "Begin of the range (RFC 3339 or Unix seconds)"),
        ("to" = inline(Time), Query, description = "And its end, at most 400 days later"),
        ("booking" = Option<i64>, Query, description = "Only those of this booking"),
        ("state" = Option<String>, Query, description = "Only those in one of these states, with commas"),
        ("cameras" = Option<String>, Query, description = "Only those of one of these cameras, with commas")),
    responses((status = 200, description = "In order", body = OccurrencesDto)))]
pub(crate) async fn occurrences(
    State(app): State<AppState>,
    viewer: Viewer,
    mut query: Query,
) -> Answer<Json<OccurrencesDto>> {
    let range = query.full_range()?;
    let booking = query.parsed::<i64>("booking", "the id of a booking")?;
    let (states, cameras) = (states(&mut query)?, query.cameras()?);
    query.end()?;
    if range.len_ns() > 400 * 86_400 * 1_000_000_000 {
        return Err(Failure::invalid("the range is longer than 400 days"));
    }
    let mut all = app.nvr.bookings().occurrences(range, booking).await?;
    all.retain(|o| visible(&o.booking.spec.cameras, &viewer, &cameras));
    all.retain(|o| states.is_empty() || states.contains(&o.state));
    Ok(Json(OccurrencesDto {
        occurrences: all.into_iter().map(|o| OccurrenceDto::of(o, &viewer)).collect(),
    }))
}

/// The calendars whose events are bookings, and how they fare.
#[utoipa::path(get, path = "/api/v1/bookings/calendars", tag = "bookings", operation_id = "list_calendars",
    responses((status = 200, description = "By name", body = CalendarsDto)))]
pub(crate) async fn calendars(State(app): State<AppState>) -> Json<CalendarsDto> {
    let calendars = app.nvr.bookings().calendars();
    Json(CalendarsDto {
        calendars: calendars.into_iter().map(CalendarDto::from).collect(),
    })
}

/// Books cameras. Where another booking has one of them then, that is refused and told, unless conflicts are allowed: both
/// get their footage then.
#[utoipa::path(post, path = "/api/v1/bookings", tag = "bookings", operation_id = "add_booking",
    request_body = BookingRequest,
    responses((status = 201, description = "It is booked", body = BookedDto),
        (status = 400, description = "It cannot be booked", body = Problem),
        (status = 404, description = "There is no such camera", body = Problem),
        (status = 409, description = "Another booking has one of the cameras then", body = Problem),
        (status = 429, description = "There are too many bookings", body = Problem)))]
pub(crate) async fn add(
    State(app): State<AppState>,
    viewer: Viewer,
    By(by): By,
    Body(request): Body<BookingRequest>,
) -> Answer<Response> {
    let (spec, allow) = request.spec(None, &app.nvr.config().recorder.time_zone)?;
    require(&spec, &viewer)?;
    for camera in &spec.cameras {
        app.nvr.camera(camera)?;
    }
    let booked = app.nvr.bookings().add(spec, by, allow).await?;
    let place = format!("{}/api/v1/bookings/{}", app.access.base_path, booked.booking.id);
    let head = [(header::LOCATION, place)];
    let body = BookedDto::of(&app, booked, &viewer).await?;
    Ok((StatusCode::CREATED, head, Json(body)).into_response())
}

/// One booking.
#[utoipa::path(get, path = "/api/v1/bookings/{id}", tag = "bookings", operation_id = "booking",
    params(("id" = i64, Path, description = "Id of the booking")),
    responses((status = 200, description = "The booking", body = BookingDto),
        (status = 404, description = "There is none of that id", body = Problem)))]
pub(crate) async fn one(
    State(app): State<AppState>,
    viewer: Viewer,
    BookingPath(id): BookingPath,
) -> Answer<Json<BookingDto>> {
    let listed = app.nvr.bookings().one(id).await?;
    if !visible(&listed.booking.spec.cameras, &viewer, &[]) {
        return Err(Failure::not_found(format!("there is no booking {id}")));
    }
    Ok(Json(BookingDto::of(listed, &viewer)))
}

/// Changes what is booked; what is left out stays. Occurrences that began stay as they began.
#[utoipa::path(patch, path = "/api/v1/bookings/{id}", tag = "bookings", operation_id = "change_booking",
    request_body = BookingRequest,
    params(("id" = i64, Path, description = "Id of the booking")),
    responses((status = 200, description = "As it is now", body = BookedDto),
        (status = 400, description = "It cannot be booked so", body = Problem),
        (status = 404, description = "There is none of that id, or no such camera", body = Problem),
        (status = 409, description = "It comes from a calendar, or another booking has one of the cameras then",
            body = Problem)))]
pub(crate) async fn change(
    State(app): State<AppState>,
    viewer: Viewer,
    By(by): By,
    BookingPath(id): BookingPath,
    Body(request): Body<BookingRequest>,
) -> Answer<Json<BookedDto>> {
    let before = whole(&app, id, &viewer).await?;
    let (spec, allow) = request.spec(Some(before.spec), &app.nvr.config().recorder.time_zone)?;
    require(&spec, &viewer)?;
    let booked = app.nvr.bookings().change(id, spec, by, allow).await?;
    Ok(Json(BookedDto::of(&app, booked, &viewer).await?))
}

/// Calls a booking off, or one of its occurrences. One that is going on ends; what it has stays.
#[utoipa::path(post, path = "/api/v1/bookings/{id}/cancel", tag = "bookings", operation_id = "cancel_booking",
    request_body(content = CancelRequest, description = "All of it without one"),
    params(("id" = i64, Path, description = "Id of the booking")),
    responses((status = 200, description = "As it is now", body = BookingDto),
        (status = 404, description = "There is no such booking or occurrence", body = Problem),
        (status = 409, description = "It is over or was called off", body = Problem)))]
pub(crate) async fn cancel(
    State(app): State<AppState>,
    viewer: Viewer,
    By(by): By,
    BookingPath(id): BookingPath,
    MaybeBody(request): MaybeBody<CancelRequest>,
) -> Answer<Json<BookingDto>> {
    whole(&app, id, &viewer).await?;
    let start = request.and_then(|r| r.start).map(|t| t.0);
    let bookings = app.nvr.bookings();
    bookings.cancel(id, start, by).await?;
    Ok(Json(BookingDto::of(bookings.one(id).await?, &viewer)))
}

/// Forgets a booking and its occurrences. One that is going on ends; footage stays as long as retention keeps it.
#[utoipa::path(delete, path = "/api/v1/bookings/{id}", tag = "bookings", operation_id = "delete_booking",
    params(("id" = i64, Path, description = "Id of the booking")),
    responses((status = 204, description = "It is gone"),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 409, description = "Its calendar would bring it back", body = Problem)))]
pub(crate) async fn remove(
    State(app): State<AppState>,
    viewer: Viewer,
    By(by): By,
    BookingPath(id): BookingPath,
) -> Answer<StatusCode> {
    whole(&app, id, &viewer).await?;
    app.nvr.bookings().delete(id, by).await?;
    Ok(StatusCode::NO_CONTENT)
}
