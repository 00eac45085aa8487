//! The queue of jobs: entering, starting, settling, clearing.
//!
//! The state of a job changes only from the one that is expected, so that of two who want the same job one
//! gets it. What decides when a job starts is not here.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde_json::Value;

use super::cameras::{camera_id, invalid};
use super::error::SqlResult;
use super::job_rows::{JobRow, NewJob, rank};
use super::{Store, writes};
use crate::error::{Error, ErrorKind, Result};
use crate::event::JobState;
use crate::ids::{CameraId, JobId};
use crate::time::Timestamp;

/// Rows deleted in one operation, so that clearing does not hold up the recorder.
const PRUNE_CHUNK: u32 = 1000;
/// Longest JSON of parameters, checkpoints and results, in bytes.
const MOST_JSON: usize = 1 << 20;
/// Longest text, in characters.
const MOST_TEXT: usize = 2000;

/// How many jobs the queue takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JobBounds {
    /// Queued and running ones together.
    pub most_live: u64,
}

/// What entering a job brought.
#[derive(Clone, PartialEq, Debug)]
pub struct Added {
    /// The job: the new one, or the live one with the same key.
    pub job: JobRow,
    /// Whether it is new.
    pub is_new: bool,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Settled {
    /// It was done.
    Done {
        /// What it brought.
        result: Value,
        /// The same in words.
        message: String,
    },
    /// It failed for good.
    Failed {
        /// Why.
        error: String,
    },
    /// It was called off.
    Cancelled,
    /// It is queued again.
    Again {
        /// Not to be started before.
        not_before: Timestamp,
        /// Why it failed; `None` when it was only interrupted.
        error: Option<String>,
        /// Whether the attempt counts.
        counted: bool,
        /// What it waits for.
        message: String,
    },
}

/// The states of a list as SQL; the names are our own.
pub(super) fn among(states: &[JobState]) -> String {
    let names: Vec<String> = states.iter().map(|s| format!("'{}'", s.as_str())).collect();
    names.join(",")
}

fn json(value: &Value, what: &str) -> Result<String> {
    let text = value.to_string();
    if text.len() > MOST_JSON {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{what} of a job: {} bytes are too long", text.len()),
        )
        .with_hint("a job takes up to 1 MiB of JSON"));
    }
    Ok(text)
}

fn text(s: &str) -> String {
    s.chars().take(MOST_TEXT).collect()
}

pub(super) fn by_id(conn: &Connection, id: JobId) -> Result<Option<JobRow>> {
    conn.prepare_cached("SELECT * FROM jobs WHERE id = ?1")
        .and_then(|mut s| s.query_row([id.0], read).optional())
        .sql()
}

fn live(conn: &Connection) -> Result<u64> {
    conn.prepare_cached("SELECT coalesce(sum(jobs), 0) FROM job_counts WHERE state IN ('queued', 'running')")
        .and_then(|mut s| s.query_row([], |r| r.get::<_, i64>(0)))
        .map(|n| n.max(0).cast_unsigned())
        .sql()
}

pub(super) fn add(conn: &Connection, new: &NewJob, now: Timestamp, bounds: JobBounds) -> Result<Added> {
    if let Some(key) = &new.dedupe {
        let there = conn
            .prepare_cached("SELECT * FROM jobs WHERE dedupe = ?1 AND state IN ('queued', 'running')")
            .and_then(|mut s| s.query_row([key], read).optional())
            .sql()?;
        if let Some(job) = there {
            return Ok(Added { job, is_new: false });
        }
    }
    let waiting = live(conn)?;
    if waiting >= bounds.most_live {
        return Err(Error::new(
            ErrorKind::Busy,
            format!("{waiting} jobs are waiting; no more are taken"),
        )
        .with_hint("`nvr jobs` shows what holds them up; `jobs.max_queued` is the bound"));
    }
    let job = conn
        .prepare_cached(
            "INSERT INTO jobs (kind, params, camera, priority, rank_ns, anytime, dedupe, input_bytes,
                               state, created_ns, not_before_ns)
             VALUES (:kind, :params, :camera, :priority, :rank, :anytime, :dedupe, :input,
                     'queued', :now, max(:now, :not_before))
             RETURNING *",
        )
        .and_then(|mut s| {
            s.query_row(
                named_params! {
                    ":kind": new.kind,
                    ":params": new.params.to_string(),
                    ":camera": new.camera.as_ref().map(CameraId::as_str),
                    ":priority": new.priority,
                    ":rank": rank(now, new.priority),
                    ":anytime": new.anytime,
                    ":dedupe": new.dedupe,
                    ":input": i64::try_from(new.input_bytes).unwrap_or(i64::MAX),
                    ":now": now.as_ns(),
                    ":not_before": new.not_before.as_ns(),
                },
                read,
            )
        })
        .sql()?;
    Ok(Added { job, is_new: true })
}

fn start(conn: &Connection, id: JobId, at: Timestamp) -> Result<Option<JobRow>> {
    conn.prepare_cached(
        "UPDATE jobs SET state = 'running', attempts = attempts + 1, started_ns = :at, ended_ns = NULL, message = ''
         WHERE id = :id AND state = 'queued' RETURNING *",
    )
    .and_then(|mut s| {
        s.query_row(named_params! { ":id": id.0, ":at": at.as_ns() }, read)
            .optional()
    })
    .sql()
}

fn settle(conn: &Connection, id: JobId, at: Timestamp, how: &Settled) -> Result<Option<JobRow>> {
    let mut state = JobState::Queued;
    let (mut result, mut error, mut not_before) = (None, None, None);
    let (mut uncounted, mut words) = (0, "");
    match how {
        Settled::Done { result: r, message } => {
            state = JobState::Done;
            result = Some(json(r, "result")?);
            words = message;
        }
        Settled::Failed { error: e } => {
            state = JobState::Failed;
            error = Some(text(e));
        }
        Settled::Cancelled => state = JobState::Cancelled,
        Settled::Again {
            not_before: at,
            error: e,
            counted,
            message,
        } => {
            not_before = Some(at.as_ns());
            error = e.as_deref().map(text);
            uncounted = i64::from(!counted);
            words = message;
        }
    }
    conn.prepare_cached(
        "UPDATE jobs SET
             state = :state,
             attempts = max(0, attempts - :uncounted),
             progress = CASE :state WHEN 'done' THEN 1 ELSE progress END,
             message = :message,
             checkpoint = CASE :state WHEN 'done' THEN NULL ELSE checkpoint END,
             result = :result,
             error = CASE :state WHEN 'done' THEN NULL ELSE coalesce(:error, error) END,
             not_before_ns = coalesce(:not_before, not_before_ns),
             ended_ns = CASE :state WHEN 'queued' THEN NULL ELSE max(:at, started_ns) END
         WHERE id = :id AND state = 'running' RETURNING *",
    )
    .and_then(|mut s| {
        s.query_row(
            named_params! {
                ":id": id.0,
                ":at": at.as_ns(),
                ":state": state.as_str(),
                ":uncounted": uncounted,
                ":message": text(words),
                ":result": result,
                ":error": error,
                ":not_before": not_before,
            },
            read,
        )
        .optional()
    })
    .sql()
}

fn note(conn: &Connection, id: JobId, progress: f64, message: &str, checkpoint: Option<&str>) -> Result<()> {
    conn.prepare_cached(
        "UPDATE jobs SET progress = :progress, message = :message, checkpoint = coalesce(:checkpoint, checkpoint),
             attempts = CASE WHEN :checkpoint IS NULL THEN attempts ELSE 1 END
         WHERE id = :id AND state = 'running'",
    )
    .and_then(|mut s| {
        s.execute(named_params! {
            ":id": id.0,
            ":progress": progress.clamp(0.0, 1.0),
            ":message": text(message),
            ":checkpoint": checkpoint,
        })
    })
    .sql()?;
    Ok(())
}

pub(super) fn no_job(id: JobId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no job {id}"))
        .with_hint("`nvr jobs` lists them; finished ones are forgotten after a while")
}

fn wrong_state(job: &JobRow, wanted: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("job {} is {}; {wanted}", job.id, job.state.as_str()),
    )
}

fn cancel(conn: &Connection, id: JobId, at: Timestamp, also_running: bool) -> Result<JobRow> {
    let cancelled = conn
        .prepare_cached(
            "UPDATE jobs SET state = 'cancelled', message = '', ended_ns = max(:at, coalesce(started_ns, :at))
             WHERE id = :id AND (state = 'queued' OR state = 'running' AND :running) RETURNING *",
        )
        .and_then(|mut s| {
            s.query_row(
                named_params! { ":id": id.0, ":at": at.as_ns(), ":running": also_running },
                read,
            )
            .optional()
        })
        .sql()?;
    match cancelled {
        Some(job) => Ok(job),
        None => {
            let job = by_id(conn, id)?.ok_or_else(|| no_job(id))?;
            Err(wrong_state(&job, "there is nothing to call off"))
        }
    }
}

fn retry(conn: &Connection, id: JobId, at: Timestamp) -> Result<JobRow> {
    let again = conn
        .prepare_cached(
            "UPDATE jobs SET state = 'queued', attempts = 0, not_before_ns = :at, ended_ns = NULL, message = '',
                 progress = CASE WHEN checkpoint IS NULL THEN 0 ELSE progress END
             WHERE id = :id AND state IN ('failed', 'cancelled', 'queued') RETURNING *",
        )
        .and_then(|mut s| {
            s.query_row(named_params! { ":id": id.0, ":at": at.as_ns() }, read)
                .optional()
        })
        .sql();
    match again {
        Ok(Some(job)) => Ok(job),
        Ok(None) => {
            let job = by_id(conn, id)?.ok_or_else(|| no_job(id))?;
            Err(wrong_state(
                &job,
                "only what waits, failed or was called off is tried again",
            ))
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(Error::new(
            ErrorKind::Conflict,
            format!("job {id}: another job for the same is queued or running"),
        )),
        Err(e) => Err(e),
    }
}

/// Deletes finished jobs that a condition names, a chunk of them.
fn forget(conn: &Connection, condition: &str, params: impl rusqlite::Params) -> Result<u64> {
    let n = conn
        .prepare_cached(&format!(
            "DELETE FROM jobs WHERE id IN (
                 SELECT id FROM jobs WHERE ended_ns IS NOT NULL AND {condition} LIMIT {PRUNE_CHUNK})"
        ))
        .and_then(|mut s| s.execute(params))
        .sql()?;
    Ok(n as u64)
}

fn prune(conn: &Connection, before: Timestamp, keep_rows: u64) -> Result<u64> {
    let old = forget(conn, "ended_ns < ?1", [before.as_ns()])?;
    let many = conn
        .prepare_cached(&format!(
            "DELETE FROM jobs WHERE id IN (
                 SELECT id FROM jobs WHERE ended_ns IS NOT NULL
                 ORDER BY ended_ns DESC LIMIT {PRUNE_CHUNK} OFFSET ?1)"
        ))
        .and_then(|mut s| s.execute([i64::try_from(keep_rows).unwrap_or(i64::MAX)]))
        .sql()?;
    Ok(old.max(many as u64))
}

fn clean(conn: &Connection, states: &[JobState], before: Timestamp) -> Result<u64> {
    if states.is_empty() {
        return Ok(0);
    }
    let condition = format!("ended_ns < ?1 AND state IN ({})", among(states));
    forget(conn, &condition, [before.as_ns()])
}

writes! {
    /// Enters a job, unless a live one with its key is there: then that one is handed back.
    ///
    /// # Errors
    /// `InvalidArgument` for parameters that are too long, `Busy` when the queue is full, `Storage` when the
    /// index cannot be written.
    add_job, add_job_blocking(new: NewJob, now: Timestamp, bounds: JobBounds) -> Added {
        move |conn: &Connection| {
            json(&new.params, "parameters")?;
            add(conn, &new, now, bounds)
        }
    }

    /// Marks a queued job as running and counts the attempt; `None` when it is not queued any more.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    start_job, start_job_blocking(id: JobId, at: Timestamp) -> Option<JobRow> {
        move |conn: &Connection| start(conn, id, at)
    }

    /// Writes how an attempt ended; `None` when the job was not running.
    ///
    /// # Errors
    /// `InvalidArgument` for a result that is too long, `Storage` when the index cannot be written.
    settle_job, settle_job_blocking(id: JobId, at: Timestamp, how: Settled) -> Option<JobRow> {
        move |conn: &Connection| settle(conn, id, at, &how)
    }

    /// Writes how far a running job is, with a new checkpoint if there is one: then its attempts are counted from here
    /// on, for only those that get no further are to use them up.
    ///
    /// # Errors
    /// `InvalidArgument` for a checkpoint that is too long, `Storage` when the index cannot be written.
    note_job, note_job_blocking(id: JobId, progress: f64, message: String, checkpoint: Option<Value>) -> () {
        move |conn: &Connection| {
            let checkpoint = checkpoint.map(|c| json(&c, "checkpoint")).transpose()?;
            note(conn, id, progress, &message, checkpoint.as_deref())
        }
    }

    /// Calls off a job that waits; one that is marked as running only if asked to (nobody runs it).
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, `Conflict` when it is over or running, `Storage` when the
    /// index cannot be written.
    cancel_job, cancel_job_blocking(id: JobId, at: Timestamp, also_running: bool) -> JobRow {
        move |conn: &Connection| cancel(conn, id, at, also_running)
    }

    /// Queues a job that failed or was called off once more, or lets one that waits for its next try have it
    /// now; its attempts are counted from zero.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, `Conflict` when it is running, done, or wanted by another job
    /// already, `Storage` when the index cannot be written.
    retry_job, retry_job_blocking(id: JobId, at: Timestamp) -> JobRow {
        move |conn: &Connection| retry(conn, id, at)
    }
}

impl Store {
    /// Forgets jobs that ended before `before`, and the oldest ones beyond `keep_rows`, in small steps between
    /// which others write; returns how many steps' rows at least.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    pub async fn prune_jobs(&self, before: Timestamp, keep_rows: u64) -> Result<()> {
        while self.write(move |conn| prune(conn, before, keep_rows)).await? >= u64::from(PRUNE_CHUNK) {}
        Ok(())
    }

    /// Forgets finished jobs of some states that ended before `before`; returns how many.
    ///
    /// # Errors
    /// `InvalidArgument` for a state that is not over, `Storage` when the index cannot be written.
    pub async fn clean_jobs(&self, states: &[JobState], before: Timestamp) -> Result<u64> {
        if let Some(state) = states.iter().find(|s| !s.is_over()) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{} jobs are not over and not forgotten", state.as_str()),
            ));
        }
        let mut total = 0;
        loop {
            let states = states.to_vec();
            let n = self.write(move |conn| clean(conn, &states, before)).await?;
            total += n;
            if n < u64::from(PRUNE_CHUNK) {
                return Ok(total);
            }
        }
    }
}

pub(super) fn state(row: &Row<'_>) -> rusqlite::Result<JobState> {
    let name = row.get_ref("state")?.as_str()?;
    JobState::from_name(name).ok_or_else(|| invalid(format!("{name:?} is not a state of a job")))
}

fn value(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Value>> {
    let text: Option<String> = row.get(column)?;
    text.map(|t| serde_json::from_str(&t).map_err(invalid))
        .transpose()
}

fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_ns))
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    let camera = match row.get_ref("camera")?.as_str_or_null()? {
        None => None,
        Some(_) => Some(camera_id(row, "camera")?),
    };
    Ok(JobRow {
        id: JobId(row.get("id")?),
        kind: row.get("kind")?,
        params: value(row, "params")?.unwrap_or_default(),
        camera,
        priority: row.get("priority")?,
        anytime: row.get("anytime")?,
        dedupe: row.get("dedupe")?,
        input_bytes: row.get::<_, i64>("input_bytes")?.cast_unsigned(),
        state: state(row)?,
        attempts: row.get("attempts")?,
        progress: row.get("progress")?,
        message: row.get("message")?,
        checkpoint: value(row, "checkpoint")?,
        result: value(row, "result")?,
        error: row.get("error")?,
        created: Timestamp::from_ns(row.get("created_ns")?),
        not_before: Timestamp::from_ns(row.get("not_before_ns")?),
        started: time(row, "started_ns")?,
        ended: time(row, "ended_ns")?,
    })
}
