//! Questions about the queue of jobs.

use rusqlite::{Connection, named_params};
use serde_json::Value;

use super::Store;
use super::error::SqlResult;
use super::job_rows::{Candidate, JobCount, JobQuery, JobRow};
use super::jobs::{among, by_id, no_job, read, state};
use super::rows::{Cursor, MAX_PAGE, Order, Page};
use crate::error::Result;
use crate::event::JobState;
use crate::ids::{CameraId, JobId};
use crate::time::Timestamp;

impl Store {
    /// A job.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, `Storage` or `Corrupt` when the index cannot be read.
    pub fn job(&self, id: JobId) -> Result<JobRow> {
        self.read(|conn| by_id(conn, id))?.ok_or_else(|| no_job(id))
    }

    /// Jobs, a page at a time, in the order in which they were entered.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn jobs(&self, query: &JobQuery) -> Result<Page<JobRow>> {
        self.read(|conn| jobs(conn, query))
    }

    /// Queued jobs of a kind that may start now, those to be started first in front, at most `limit`. With
    /// `newest_first` the last one entered is the first of its priority.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn job_candidates(
        &self,
        kind: &str,
        now: Timestamp,
        window_open: bool,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<Candidate>> {
        let (index, order) = if newest_first {
            ("jobs_queued_newest", "priority DESC, id DESC")
        } else {
            ("jobs_queued", "rank_ns, id")
        };
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(&format!(
                    "SELECT id, rank_ns, not_before_ns, anytime FROM jobs INDEXED BY {index}
                     WHERE state = 'queued' AND kind = :kind AND not_before_ns <= :now AND (:open OR anytime)
                     ORDER BY {order} LIMIT :limit"
                ))
                .sql()?;
            let rows = statement
                .query_map(
                    named_params! {
                        ":kind": kind,
                        ":now": now.as_ns(),
                        ":open": window_open,
                        ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
                    },
                    |row| {
                        Ok(Candidate {
                            id: JobId(row.get("id")?),
                            rank_ns: row.get("rank_ns")?,
                            not_before: Timestamp::from_ns(row.get("not_before_ns")?),
                            anytime: row.get("anytime")?,
                        })
                    },
                )
                .sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }

    /// When the next queued job of a kind may start that may not yet; `None` when there is none.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn next_job_time(&self, kind: &str, now: Timestamp) -> Result<Option<Timestamp>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT min(not_before_ns) FROM jobs
                 WHERE state = 'queued' AND kind = ?1 AND not_before_ns > ?2",
            )
            .and_then(|mut s| s.query_row((kind, now.as_ns()), |r| r.get::<_, Option<i64>>(0)))
            .map(|at| at.map(Timestamp::from_ns))
            .sql()
        })
    }

    /// How many jobs there are, by kind and state.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn job_counts(&self) -> Result<Vec<JobCount>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached("SELECT kind, state, jobs, input_bytes FROM job_counts WHERE jobs > 0")
                .sql()?;
            let rows = statement
                .query_map([], |row| {
                    Ok(JobCount {
                        kind: row.get("kind")?,
                        state: state(row)?,
                        jobs: row.get::<_, i64>("jobs")?.cast_unsigned(),
                        input_bytes: row.get::<_, i64>("input_bytes")?.cast_unsigned(),
                    })
                })
                .sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }
}

fn jobs(conn: &Connection, query: &JobQuery) -> Result<Page<JobRow>> {
    let limit = query.limit.clamp(1, MAX_PAGE) as usize;
    let (compare, direction) = match query.order {
        Order::Asc => (">", "ASC"),
        Order::Desc => ("<", "DESC"),
    };
    let states = if query.states.is_empty() {
        &JobState::ALL[..]
    } else {
        &query.states[..]
    };
    // A list of kinds is data; that of states is our own words.
    let kinds = Value::from(query.kinds.clone()).to_string();
    let mut statement = conn
        .prepare_cached(&format!(
            "SELECT * FROM jobs
             WHERE state IN ({}) AND (:all_kinds OR kind IN (SELECT value FROM json_each(:kinds)))
               AND (:camera IS NULL OR camera = :camera)
               AND (:among IS NULL OR camera IN (SELECT value FROM json_each(:among)))
               AND (:cursor IS NULL OR id {compare} :cursor)
             ORDER BY id {direction} LIMIT :limit",
            among(states)
        ))
        .sql()?;
    let rows = statement
        .query_map(
            named_params! {
                ":all_kinds": query.kinds.is_empty(),
                ":kinds": kinds,
                ":camera": query.camera.as_ref().map(CameraId::as_str),
                ":among": super::rows::id_list(query.among.as_ref()),
                ":cursor": query.cursor.map(|c| c.id),
                ":limit": limit as i64 + 1,
            },
            read,
        )
        .sql()?;
    let mut items: Vec<JobRow> = rows.collect::<rusqlite::Result<_>>().sql()?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| Cursor {
        at_ns: last.created.as_ns(),
        id: last.id.0,
    });
    Ok(Page { items, next })
}
