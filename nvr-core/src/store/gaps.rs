//! Gaps: what should have been recorded and was not.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::cameras::{self, camera_id};
use super::error::SqlResult;
use super::rows::GapRow;
use super::{Store, writes};
use crate::error::Result;
use crate::event::{Cause, CauseKind};
use crate::ids::CameraId;
use crate::time::{NS_PER_S, TimeRange, Timestamp};

fn open(conn: &Connection, camera: &CameraId, at: Timestamp, cause: &Cause) -> Result<bool> {
    cameras::ensure(conn, camera, at)?;
    let inserted = conn
        .prepare_cached(
            "INSERT INTO gaps (camera, start_ns, cause, message) VALUES (:camera, :at, :cause, :message)
             ON CONFLICT (camera) WHERE end_ns IS NULL DO NOTHING",
        )
        .and_then(|mut s| {
            s.execute(named_params! {
                ":camera": camera.as_str(),
                ":at": at.as_ns(),
                ":cause": cause.kind.as_str(),
                ":message": cause.message,
            })
        })
        .sql()?;
    Ok(inserted > 0)
}

fn close(conn: &Connection, camera: &CameraId, at: Timestamp) -> Result<Option<GapRow>> {
    // A clock that stepped back must not make a gap that ends before it starts.
    conn.prepare_cached(
        "UPDATE gaps SET end_ns = max(:at, start_ns) WHERE camera = :camera AND end_ns IS NULL RETURNING *",
    )
    .and_then(|mut s| {
        s.query_row(
            named_params! { ":camera": camera.as_str(), ":at": at.as_ns() },
            read,
        )
        .optional()
    })
    .sql()
}

pub(super) fn insert(conn: &Connection, camera: &CameraId, range: TimeRange, cause: &Cause) -> Result<()> {
    cameras::ensure(conn, camera, range.start())?;
    conn.prepare_cached(
        "INSERT INTO gaps (camera, start_ns, end_ns, cause, message)
         VALUES (:camera, :start, :end, :cause, :message)",
    )
    .and_then(|mut s| {
        s.execute(named_params! {
            ":camera": camera.as_str(),
            ":start": range.start().as_ns(),
            ":end": range.end().as_ns(),
            ":cause": cause.kind.as_str(),
            ":message": cause.message,
        })
    })
    .sql()?;
    Ok(())
}

pub(super) fn prune(conn: &Connection, camera: &CameraId, before: Timestamp) -> Result<u64> {
    let n = conn
        .prepare_cached("DELETE FROM gaps WHERE camera = ?1 AND start_ns < ?2 AND end_ns <= ?2")
        .and_then(|mut s| s.execute((camera.as_str(), before.as_ns())))
        .sql()?;
    Ok(n as u64)
}

/// Gaps shorter than this are none: what is left of one at the ends of footage that fills it.
const LEAST_REST_NS: i64 = NS_PER_S / 2;

/// Takes a stretch out of the gaps that are over.
pub(super) fn cut(conn: &Connection, camera: &CameraId, range: TimeRange) -> Result<()> {
    let mut statement = conn
        .prepare_cached(
            "DELETE FROM gaps WHERE camera = :camera AND start_ns < :to AND end_ns > :from
             RETURNING start_ns, end_ns, cause, message, asked_ns",
        )
        .sql()?;
    type Row = (i64, i64, String, String, Option<i64>);
    let rows: Vec<Row> = statement
        .query_map(
            named_params! {
                ":camera": camera.as_str(),
                ":from": range.start().as_ns(),
                ":to": range.end().as_ns(),
            },
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)),
        )
        .sql()?
        .collect::<rusqlite::Result<_>>()
        .sql()?;
    for (start, end, cause, message, asked) in rows {
        for (start, end) in [(start, range.start().as_ns()), (range.end().as_ns(), end)] {
            if end.saturating_sub(start) < LEAST_REST_NS {
                continue;
            }
            conn.prepare_cached(
                "INSERT INTO gaps (camera, start_ns, end_ns, cause, message, asked_ns)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )
            .and_then(|mut s| s.execute((camera.as_str(), start, end, &cause, &message, asked)))
            .sql()?;
        }
    }
    Ok(())
}

fn note_asked(conn: &Connection, camera: &CameraId, range: TimeRange, at: Timestamp) -> Result<()> {
    conn.prepare_cached(
        "UPDATE gaps SET asked_ns = :at WHERE camera = :camera AND start_ns < :to AND end_ns > :from",
    )
    .and_then(|mut s| {
        s.execute(named_params! {
            ":camera": camera.as_str(),
            ":at": at.as_ns(),
            ":from": range.start().as_ns(),
            ":to": range.end().as_ns(),
        })
    })
    .sql()?;
    Ok(())
}

writes! {
    /// Notes that the camera's card was asked for what is missing in a range, and has no more of it.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    note_card_asked, note_card_asked_blocking(camera: &CameraId, range: TimeRange, at: Timestamp) -> () {{
        let camera = camera.clone();
        move |conn: &Connection| note_asked(conn, &camera, range, at)
    }}

    /// Takes footage that is there out of the gaps that are over: that of a recorder that died before it could.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    cut_gaps, cut_gaps_blocking(camera: &CameraId, range: TimeRange) -> () {{
        let camera = camera.clone();
        move |conn: &Connection| cut(conn, &camera, range)
    }}

    /// Begins a gap; if one is open already, it goes on as it is. Returns whether one was begun.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    open_gap, open_gap_blocking(camera: &CameraId, at: Timestamp, cause: &Cause) -> bool {{
        let (camera, cause) = (camera.clone(), cause.clone());
        move |conn: &Connection| open(conn, &camera, at, &cause)
    }}

    /// Ends the open gap and returns it; `None` when none was open.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    close_gap, close_gap_blocking(camera: &CameraId, at: Timestamp) -> Option<GapRow> {{
        let camera = camera.clone();
        move |conn: &Connection| close(conn, &camera, at)
    }}

    /// Enters a gap that is over.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    insert_gap, insert_gap_blocking(camera: &CameraId, range: TimeRange, cause: &Cause) -> () {{
        let (camera, cause) = (camera.clone(), cause.clone());
        move |conn: &Connection| insert(conn, &camera, range, &cause)
    }}

    /// Forgets a camera's gaps that ended by `before` (its oldest footage, usually); returns how many.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    prune_gaps, prune_gaps_blocking(camera: &CameraId, before: Timestamp) -> u64 {{
        let camera = camera.clone();
        move |conn: &Connection| prune(conn, &camera, before)
    }}
}

impl Store {
    /// Gaps of a camera that overlap a range, by start. An open one reaches to the end of time.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn gaps(&self, camera: &CameraId, range: TimeRange) -> Result<Vec<GapRow>> {
        self.read(|conn| gaps(conn, camera, range))
    }
}

impl Store {
    /// Gaps of a camera that are over and began at or after `since`, for which its card was not asked yet, by start; so many
    /// at most.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn gaps_to_fill(&self, camera: &CameraId, since: Timestamp, limit: u32) -> Result<Vec<GapRow>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT camera, start_ns, end_ns, cause, message FROM gaps
                     WHERE camera = ?1 AND start_ns >= ?2 AND end_ns IS NOT NULL AND asked_ns IS NULL
                     ORDER BY start_ns LIMIT ?3",
                )
                .sql()?;
            let rows = statement
                .query_map((camera.as_str(), since.as_ns(), limit), read)
                .sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }
}

pub(super) fn gaps(conn: &Connection, camera: &CameraId, range: TimeRange) -> Result<Vec<GapRow>> {
    let longest: i64 = conn
        .prepare_cached("SELECT longest_gap_ns FROM totals WHERE camera = ?1")
        .and_then(|mut s| s.query_row([camera.as_str()], |r| r.get(0)).optional())
        .sql()?
        .unwrap_or(0);
    // Ended ones by the time index, looking back by the longest; the open one by its own index.
    let mut statement = conn
        .prepare_cached(
            "SELECT camera, start_ns, end_ns, cause, message FROM gaps
             WHERE camera = :camera AND start_ns >= :since AND start_ns < :to AND end_ns > :from
             UNION ALL
             SELECT camera, start_ns, end_ns, cause, message FROM gaps
             WHERE camera = :camera AND end_ns IS NULL AND start_ns < :to
             ORDER BY start_ns",
        )
        .sql()?;
    let rows = statement
        .query_map(
            named_params! {
                ":camera": camera.as_str(),
                ":since": range.start().add_ns(longest.saturating_neg()).as_ns(),
                ":from": range.start().as_ns(),
                ":to": range.end().as_ns(),
            },
            read,
        )
        .sql()?;
    rows.collect::<rusqlite::Result<_>>().sql()
}

fn read(row: &Row<'_>) -> rusqlite::Result<GapRow> {
    Ok(GapRow {
        camera: camera_id(row, "camera")?,
        start: Timestamp::from_ns(row.get("start_ns")?),
        end: row.get::<_, Option<i64>>("end_ns")?.map(Timestamp::from_ns),
        cause: Cause::new(
            CauseKind::from_name(row.get_ref("cause")?.as_str()?),
            row.get::<_, String>("message")?,
        ),
    })
}
