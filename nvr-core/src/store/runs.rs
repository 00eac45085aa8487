//! Runs: the lives of recording pipelines with their anchors.

use rusqlite::{Connection, Row, named_params};

use super::cameras::{self, camera_id};
use super::error::SqlResult;
use super::rows::RunRow;
use super::{Store, writes};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::ids::{CameraId, RunId};
use crate::run::Anchor;
use crate::segment::SegmentStart;
use crate::time::{TimeRange, Timestamp};

/// A run number as SQLite's integer; 40 bits always fit.
pub(super) const fn run_number(run: RunId) -> i64 {
    run.as_u64().cast_signed()
}

/// Makes the row from what a segment says of its run, if there is none (a rebuild, a lost commit).
pub(super) fn ensure(conn: &Connection, start: &SegmentStart) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO runs (camera, run, anchor_utc_ns, anchor_steady_ns, anchor_running_ns,
                           started_at_ns, start_cause, start_message)
         VALUES (:camera, :run, :utc, :steady, :running, :utc, 'unknown', '')
         ON CONFLICT (camera, run) DO NOTHING",
    )
    .and_then(|mut s| {
        s.execute(named_params! {
            ":camera": start.camera.as_str(),
            ":run": run_number(start.run),
            ":utc": start.anchor.utc.as_ns(),
            ":steady": start.anchor.steady_ns,
            ":running": start.anchor.running_ns,
        })
    })
    .sql()?;
    Ok(())
}

fn begin(
    conn: &Connection,
    run: RunId,
    camera: &CameraId,
    anchor: &Anchor,
    at: Timestamp,
    cause: &Cause,
) -> Result<()> {
    cameras::ensure(conn, camera, at)?;
    conn.prepare_cached(
        "INSERT INTO runs (camera, run, anchor_utc_ns, anchor_steady_ns, anchor_running_ns,
                           started_at_ns, start_cause, start_message)
         VALUES (:camera, :run, :utc, :steady, :running, :at, :cause, :message)
         ON CONFLICT (camera, run) DO UPDATE SET
             anchor_utc_ns = excluded.anchor_utc_ns, anchor_steady_ns = excluded.anchor_steady_ns,
             anchor_running_ns = excluded.anchor_running_ns, started_at_ns = excluded.started_at_ns,
             start_cause = excluded.start_cause, start_message = excluded.start_message",
    )
    .and_then(|mut s| {
        s.execute(named_params! {
            ":camera": camera.as_str(),
            ":run": run_number(run),
            ":utc": anchor.utc.as_ns(),
            ":steady": anchor.steady_ns,
            ":running": anchor.running_ns,
            ":at": at.as_ns(),
            ":cause": cause.kind.as_str(),
            ":message": cause.message,
        })
    })
    .sql()?;
    Ok(())
}

fn end(conn: &Connection, run: RunId, camera: &CameraId, at: Timestamp, cause: &Cause) -> Result<()> {
    let changed = conn
        .prepare_cached(
            "UPDATE runs SET ended_at_ns = :at, end_cause = :cause, end_message = :message
             WHERE camera = :camera AND run = :run",
        )
        .and_then(|mut s| {
            s.execute(named_params! {
                ":camera": camera.as_str(),
                ":run": run_number(run),
                ":at": at.as_ns(),
                ":cause": cause.kind.as_str(),
                ":message": cause.message,
            })
        })
        .sql()?;
    if changed == 0 {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("no run {run} of camera {camera} in the index"),
        ));
    }
    Ok(())
}

/// Runs whose footage is all gone tell nothing any more.
fn prune(conn: &Connection, before: Timestamp) -> Result<u64> {
    let n = conn
        .prepare_cached(
            "DELETE FROM runs WHERE ended_at_ns < :before AND NOT EXISTS (
                 SELECT 1 FROM segments s
                 WHERE s.camera = runs.camera AND s.run = runs.run
                   AND s.start_ns >= min(runs.started_at_ns, runs.anchor_utc_ns) - 3600000000000
                   AND s.start_ns <= runs.ended_at_ns + 3600000000000)",
        )
        .and_then(|mut s| s.execute(named_params! { ":before": before.as_ns() }))
        .sql()?;
    Ok(n as u64)
}

writes! {
    /// Enters a run that begins (and its camera, if it is new).
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    begin_run, begin_run_blocking(
        run: RunId, camera: &CameraId, anchor: Anchor, at: Timestamp, cause: &Cause
    ) -> () {{
        let (camera, cause) = (camera.clone(), cause.clone());
        move |conn: &Connection| begin(conn, run, &camera, &anchor, at, &cause)
    }}

    /// Notes the end of a run.
    ///
    /// # Errors
    /// `NotFound` when it was never entered, `Storage` when the index cannot be written.
    end_run, end_run_blocking(run: RunId, camera: &CameraId, at: Timestamp, cause: &Cause) -> () {{
        let (camera, cause) = (camera.clone(), cause.clone());
        move |conn: &Connection| end(conn, run, &camera, at, &cause)
    }}

    /// Forgets runs that ended before `before` and have no segment any more; returns how many.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    prune_runs, prune_runs_blocking(before: Timestamp) -> u64 {
        move |conn: &Connection| prune(conn, before)
    }
}

impl Store {
    /// Runs of a camera that overlap a range, by start. One without an end reaches to the end of time.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn runs(&self, camera: &CameraId, range: TimeRange) -> Result<Vec<RunRow>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT * FROM runs
                     WHERE camera = :camera AND started_at_ns < :to
                       AND (ended_at_ns IS NULL OR ended_at_ns > :from)
                     ORDER BY started_at_ns, run",
                )
                .sql()?;
            let rows = statement
                .query_map(
                    named_params! {
                        ":camera": camera.as_str(),
                        ":from": range.start().as_ns(),
                        ":to": range.end().as_ns(),
                    },
                    read,
                )
                .sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let ended = match row.get::<_, Option<i64>>("ended_at_ns")? {
        None => None,
        Some(at) => Some((
            Timestamp::from_ns(at),
            Cause::new(
                CauseKind::from_name(&row.get::<_, Option<String>>("end_cause")?.unwrap_or_default()),
                row.get::<_, Option<String>>("end_message")?.unwrap_or_default(),
            ),
        )),
    };
    Ok(RunRow {
        run: RunId::from_u64(row.get::<_, i64>("run")?.cast_unsigned()),
        camera: camera_id(row, "camera")?,
        anchor: Anchor {
            utc: Timestamp::from_ns(row.get("anchor_utc_ns")?),
            steady_ns: row.get("anchor_steady_ns")?,
            running_ns: row.get("anchor_running_ns")?,
        },
        started_at: Timestamp::from_ns(row.get("started_at_ns")?),
        start_cause: Cause::new(
            CauseKind::from_name(row.get_ref("start_cause")?.as_str()?),
            row.get::<_, String>("start_message")?,
        ),
        ended,
    })
}
