//! Bookings, their occurrences, what they protect, and copies of calendars.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::error::SqlResult;
use super::{Store, writes};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::CameraId;
use crate::time::{TimeRange, Timestamp};

/// Most bookings that are not over.
const MOST_BOOKINGS: i64 = 5000;

/// What was booked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BookingRow {
    /// Its id.
    pub id: i64,
    /// The calendar that it comes from and its UID there.
    pub calendar: Option<(String, String)>,
    /// JSON of the room of bookings.
    pub detail: String,
    /// When it was entered.
    pub created: Timestamp,
    /// By whom, if that is known.
    pub created_by: Option<String>,
    /// When it was called off.
    pub cancelled: Option<Timestamp>,
    /// End of its last occurrence; `None`: there is always another one.
    pub over: Option<Timestamp>,
    /// It was its calendar that called it off.
    pub withdrawn: bool,
}

/// An occurrence that began, ended or was called off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BookingRunRow {
    /// Of which booking.
    pub booking: i64,
    /// When.
    pub range: TimeRange,
    /// Name of its state.
    pub state: String,
    /// JSON of the room of bookings.
    pub detail: String,
    /// When it changed last.
    pub changed: Timestamp,
}

/// The last good copy of a calendar.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CalendarRow {
    /// Its name in the configuration.
    pub name: String,
    /// Address that it came from.
    pub url: String,
    /// What the server called this version.
    pub etag: Option<String>,
    /// When the server says it changed.
    pub modified: Option<String>,
    /// The calendar.
    pub body: String,
    /// When it was fetched, or found unchanged.
    pub fetched: Timestamp,
}

fn booking(row: &Row<'_>) -> rusqlite::Result<BookingRow> {
    let calendar: Option<String> = row.get("calendar")?;
    let uid: Option<String> = row.get("uid")?;
    let time =
        |name: &str| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(name)?.map(Timestamp::from_ns));
    Ok(BookingRow {
        id: row.get("id")?,
        calendar: calendar.zip(uid),
        detail: row.get("detail")?,
        created: Timestamp::from_ns(row.get("created_ns")?),
        created_by: row.get("created_by")?,
        cancelled: time("cancelled_ns")?,
        over: time("over_ns")?,
        withdrawn: row.get("withdrawn")?,
    })
}

fn run(row: &Row<'_>) -> rusqlite::Result<BookingRunRow> {
    let (start, end): (i64, i64) = (row.get("start_ns")?, row.get("end_ns")?);
    let range = TimeRange::new(Timestamp::from_ns(start), Timestamp::from_ns(end.max(start)));
    Ok(BookingRunRow {
        booking: row.get("booking")?,
        range: range.map_err(|e| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Integer, Box::new(e))
        })?,
        state: row.get("state")?,
        detail: row.get("detail")?,
        changed: Timestamp::from_ns(row.get("changed_ns")?),
    })
}

fn insert(conn: &Connection, row: &BookingRow) -> Result<BookingRow> {
    let live = "SELECT count(*) FROM bookings WHERE over_ns IS NULL OR over_ns > ?1";
    let live: i64 = conn.query_row(live, [row.created.as_ns()], |r| r.get(0)).sql()?;
    if live >= MOST_BOOKINGS {
        let message = format!("there are {MOST_BOOKINGS} bookings that are not over");
        return Err(Error::new(ErrorKind::Busy, message).with_hint("delete some"));
    }
    conn.prepare_cached(
        "INSERT INTO bookings (calendar, uid, detail, created_ns, created_by, over_ns)
         VALUES (:calendar, :uid, :detail, :created, :by, :over) RETURNING *",
    )
    .and_then(|mut s| {
        let params = named_params! {
            ":calendar": row.calendar.as_ref().map(|c| &c.0), ":uid": row.calendar.as_ref().map(|c| &c.1),
            ":detail": row.detail, ":created": row.created.as_ns(), ":by": row.created_by,
            ":over": row.over.map(Timestamp::as_ns),
        };
        s.query_row(params, booking)
    })
    .sql()
}

fn update(conn: &Connection, row: &BookingRow) -> Result<bool> {
    conn.prepare_cached(
        "UPDATE bookings SET detail = ?2, cancelled_ns = ?3, over_ns = ?4, withdrawn = ?5 WHERE id = ?1",
    )
    .and_then(|mut s| {
        let time = |t: Option<Timestamp>| t.map(Timestamp::as_ns);
        s.execute((
            row.id,
            &row.detail,
            time(row.cancelled),
            time(row.over),
            row.withdrawn,
        ))
    })
    .map(|n| n > 0)
    .sql()
}

/// Protects what is not protected yet, and notes whom it is protected for; what others protect for a booking as well.
fn protect(
    conn: &Connection,
    booking: i64,
    start: Timestamp,
    camera: &CameraId,
    range: TimeRange,
) -> Result<()> {
    let since = super::query::scan_start(conn, camera.as_str(), range.start().as_ns())?;
    let params = named_params! {
        ":camera": camera.as_str(), ":since": since, ":from": range.start().as_ns(), ":to": range.end().as_ns(),
        ":booking": booking, ":start": start.as_ns(),
    };
    conn.prepare_cached(
        "INSERT INTO booking_protects (segment, booking, start_ns)
         SELECT id, :booking, :start FROM segments
         WHERE camera = :camera AND start_ns >= :since AND start_ns < :to
             AND (start_ns >= :from OR start_ns + duration_ns > :from OR state = 'open')
             AND state <> 'missing' AND id NOT IN (SELECT segment FROM deletions)
             AND (protected = 0 OR id IN (SELECT segment FROM booking_protects))
         ON CONFLICT DO NOTHING",
    )
    .and_then(|mut s| s.execute(params))
    .sql()?;
    conn.prepare_cached(
        "UPDATE segments SET protected = 1 WHERE protected = 0
             AND id IN (SELECT segment FROM booking_protects WHERE booking = ?1 AND start_ns = ?2)",
    )
    .and_then(|mut s| s.execute((booking, start.as_ns())))
    .map(drop)
    .sql()
}

fn release(conn: &Connection, booking: i64, start: Option<Timestamp>) -> Result<()> {
    let of = "booking = ?1 AND (?2 IS NULL OR start_ns = ?2)";
    let start = start.map(Timestamp::as_ns);
    conn.execute(
        &format!(
            "UPDATE segments SET protected = 0 WHERE id IN (SELECT segment FROM booking_protects WHERE {of})
             AND id NOT IN (SELECT segment FROM booking_protects WHERE NOT ({of}))"
        ),
        (booking, start),
    )
    .sql()?;
    conn.execute(
        &format!("DELETE FROM booking_protects WHERE {of}"),
        (booking, start),
    )
    .map(drop)
    .sql()
}

fn set_run(conn: &Connection, row: &BookingRunRow) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO booking_runs (booking, start_ns, end_ns, state, detail, changed_ns)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM bookings WHERE id = ?1)
         ON CONFLICT (booking, start_ns) DO UPDATE SET
             end_ns = excluded.end_ns, state = excluded.state, detail = excluded.detail,
             changed_ns = excluded.changed_ns",
    )
    .and_then(|mut s| {
        let (start, end) = (row.range.start().as_ns(), row.range.end().as_ns());
        s.execute((
            row.booking,
            start,
            end,
            &row.state,
            &row.detail,
            row.changed.as_ns(),
        ))
    })
    .map(drop)
    .sql()
}

writes! {
    /// Enters a booking; its id is given anew.
    ///
    /// # Errors
    /// `Busy` when there are too many, `Storage` when the index cannot be written.
    add_booking, add_booking_blocking(row: BookingRow) -> BookingRow {
        move |conn: &Connection| insert(conn, &row)
    }

    /// Writes what changed of a booking; false when there is none of its id.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    set_booking, set_booking_blocking(row: BookingRow) -> bool {
        move |conn: &Connection| update(conn, &row)
    }

    /// Forgets a booking, its occurrences and what they protect; false when there is none of that id.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    delete_booking, delete_booking_blocking(id: i64) -> bool {
        move |conn: &Connection| {
            release(conn, id, None)?;
            conn.execute("DELETE FROM bookings WHERE id = ?1", [id]).map(|n| n > 0).sql()
        }
    }

    /// Writes where an occurrence stands; nothing when its booking is gone.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    set_booking_run, set_booking_run_blocking(row: BookingRunRow) -> () {
        move |conn: &Connection| set_run(conn, &row)
    }

    /// Protects a camera's footage of an occurrence, growing segments included.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    protect_booked, protect_booked_blocking(booking: i64, start: Timestamp, camera: CameraId, range: TimeRange) -> () {
        move |conn: &Connection| protect(conn, booking, start, &camera, range)
    }

    /// Takes the protection of an occurrence back, but of what was protected before or another one protects.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    release_booked, release_booked_blocking(booking: i64, start: Timestamp) -> () {
        move |conn: &Connection| release(conn, booking, Some(start))
    }

    /// Forgets occurrences that ended before `before` and protect nothing, and bookings that are over without any.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    prune_bookings, prune_bookings_blocking(before: Timestamp) -> u64 {
        move |conn: &Connection| {
            conn.execute(
                "DELETE FROM booking_runs WHERE end_ns < ?1 AND state NOT IN ('recording', 'processing')
                 AND NOT EXISTS (SELECT 1 FROM booking_protects p
                     WHERE p.booking = booking_runs.booking AND p.start_ns = booking_runs.start_ns)",
                [before.as_ns()],
            ).sql()?;
            let n = conn.execute(
                "DELETE FROM bookings WHERE (over_ns < ?1 OR cancelled_ns < ?1)
                 AND NOT EXISTS (SELECT 1 FROM booking_runs r WHERE r.booking = bookings.id)",
                [before.as_ns()],
            ).sql()?;
            Ok(n as u64)
        }
    }

    /// Keeps the copy of a calendar.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    set_calendar, set_calendar_blocking(row: CalendarRow) -> () {
        move |conn: &Connection| {
            conn.execute(
                "INSERT OR REPLACE INTO calendars (name, url, etag, modified, body, fetched_ns)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                (&row.name, &row.url, &row.etag, &row.modified, &row.body, row.fetched.as_ns()),
            ).map(drop).sql()
        }
    }

    /// Forgets the copy of a calendar.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    delete_calendar, delete_calendar_blocking(name: String) -> () {
        move |conn: &Connection| {
            conn.execute("DELETE FROM calendars WHERE name = ?1", [&name]).map(drop).sql()
        }
    }
}

impl Store {
    /// One booking.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id.
    pub fn booking(&self, id: i64) -> Result<BookingRow> {
        self.read(|conn| {
            let row = conn
                .prepare_cached("SELECT * FROM bookings WHERE id = ?1")
                .and_then(|mut s| s.query_row([id], booking).optional())
                .sql()?;
            row.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no booking {id}")))
        })
    }

    /// All bookings by id; without `all` only those that are not over before `since`.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn bookings(&self, since: Timestamp) -> Result<Vec<BookingRow>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached("SELECT * FROM bookings WHERE over_ns IS NULL OR over_ns >= ?1 ORDER BY id")
                .sql()?;
            let rows = statement.query_map([since.as_ns()], booking).sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }

    /// The occurrences of all bookings, or of one, that are kept and overlap a range.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn booking_runs(&self, of: Option<i64>, range: TimeRange) -> Result<Vec<BookingRunRow>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT * FROM booking_runs WHERE end_ns > ?1 AND start_ns < ?2 AND (?3 IS NULL OR booking = ?3)
                     ORDER BY start_ns, booking",
                )
                .sql()?;
            let (from, to) = (range.start().as_ns(), range.end().as_ns());
            let rows = statement.query_map((from, to, of), run).sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }

    /// Occurrences that last, are being processed, or protect footage.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn live_booking_runs(&self) -> Result<Vec<BookingRunRow>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT * FROM booking_runs WHERE state IN ('recording', 'processing')
                         OR (booking, start_ns) IN (SELECT DISTINCT booking, start_ns FROM booking_protects)
                     ORDER BY start_ns, booking",
                )
                .sql()?;
            let rows = statement.query_map([], run).sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }

    /// The copies of calendars.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn calendars(&self) -> Result<Vec<CalendarRow>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached("SELECT * FROM calendars ORDER BY name")
                .sql()?;
            let rows = statement
                .query_map([], |r| {
                    Ok(CalendarRow {
                        name: r.get("name")?,
                        url: r.get("url")?,
                        etag: r.get("etag")?,
                        modified: r.get("modified")?,
                        body: r.get("body")?,
                        fetched: Timestamp::from_ns(r.get("fetched_ns")?),
                    })
                })
                .sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }
}
