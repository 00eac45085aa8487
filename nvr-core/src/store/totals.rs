//! Sums per camera, kept by triggers, and their check.

use rusqlite::{Connection, OptionalExtension, Row};

use super::Store;
use super::cameras::camera_id;
use super::error::SqlResult;
use super::rows::CameraTotals;
use super::writes;
use crate::error::Result;
use crate::ids::CameraId;
use crate::time::Timestamp;

/// Sums as they are and as they should be.
const ACTUAL: &str = "
    SELECT c.id AS camera,
           coalesce(sum(s.state <> 'missing'), 0) AS segments,
           coalesce(sum((s.state <> 'missing') * s.size_bytes), 0) AS size_bytes,
           coalesce(sum((s.state <> 'missing') * s.duration_ns), 0) AS duration_ns,
           coalesce(max(s.duration_ns), 0) AS longest_ns,
           coalesce((SELECT max(g.end_ns - g.start_ns) FROM gaps g WHERE g.camera = c.id), 0) AS longest_gap_ns
    FROM cameras c LEFT JOIN segments s ON s.camera = c.id GROUP BY c.id";

/// Cameras whose sums are wrong, in words.
pub(super) fn differences(conn: &Connection) -> Result<Vec<String>> {
    let mut statement = conn
        .prepare(&format!(
            "SELECT a.camera FROM ({ACTUAL}) a LEFT JOIN totals t ON t.camera = a.camera
             WHERE t.camera IS NULL OR t.segments <> a.segments OR t.size_bytes <> a.size_bytes
                OR t.duration_ns <> a.duration_ns OR t.longest_ns < a.longest_ns
                OR t.longest_gap_ns < a.longest_gap_ns"
        ))
        .sql()?;
    let second: i64 = conn
        .prepare(
            "SELECT count(*) FROM (SELECT camera, count(*) AS n, sum(size_bytes) AS size_bytes FROM segments
                 WHERE tier = 1 AND state <> 'missing' GROUP BY camera) a
             FULL JOIN tier_totals t ON t.camera = a.camera
             WHERE coalesce(a.n, 0) <> coalesce(t.segments, 0)
                OR coalesce(a.size_bytes, 0) <> coalesce(t.size_bytes, 0)",
        )
        .and_then(|mut s| s.query_row([], |r| r.get(0)))
        .sql()?;
    let cameras = statement.query_map([], |r| r.get::<_, String>(0)).sql()?;
    let of_tier =
        (second > 0).then(|| Ok("the totals of the second root do not match its segments".to_owned()));
    cameras
        .map(|camera| {
            Ok(format!(
                "the totals of camera {} do not match its segments",
                camera.sql()?
            ))
        })
        .chain(of_tier)
        .collect()
}

fn recount(conn: &Connection) -> Result<()> {
    conn.execute_batch(&format!(
        "DELETE FROM totals;
         INSERT INTO totals (camera, segments, size_bytes, duration_ns, longest_ns, longest_gap_ns) {ACTUAL};
         DELETE FROM tier_totals;
         INSERT INTO tier_totals (camera, segments, size_bytes)
         SELECT camera, count(*), sum(size_bytes) FROM segments WHERE tier = 1 AND state <> 'missing' GROUP BY camera;"
    ))
    .sql()
}

writes! {
    /// Counts all segments anew (slow); mends totals that [`integrity_check`](Self::integrity_check)
    /// found wrong and makes queries quick again after a very long segment was deleted.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    recount_totals, recount_totals_blocking() -> () { recount }
}

const TOTALS: &str = "
    SELECT t.camera, t.segments, t.size_bytes, t.duration_ns,
           (SELECT start_ns FROM segments
            WHERE camera = t.camera AND (state <> 'missing' OR copies > 0)
            ORDER BY start_ns LIMIT 1) AS oldest_ns,
           (SELECT start_ns + duration_ns FROM segments
            WHERE camera = t.camera AND (state <> 'missing' OR copies > 0)
            ORDER BY start_ns DESC LIMIT 1) AS newest_ns
    FROM totals t";

fn read(row: &Row<'_>) -> rusqlite::Result<CameraTotals> {
    Ok(CameraTotals {
        camera: camera_id(row, "camera")?,
        segments: row.get::<_, i64>("segments")?.max(0).cast_unsigned(),
        size_bytes: row.get::<_, i64>("size_bytes")?.max(0).cast_unsigned(),
        duration_ns: row.get("duration_ns")?,
        oldest: row.get::<_, Option<i64>>("oldest_ns")?.map(Timestamp::from_ns),
        newest: row.get::<_, Option<i64>>("newest_ns")?.map(Timestamp::from_ns),
    })
}

pub(super) fn totals_of(conn: &Connection, camera: &CameraId) -> Result<Option<CameraTotals>> {
    conn.prepare_cached(&format!("{TOTALS} WHERE t.camera = ?1"))
        .and_then(|mut s| s.query_row([camera.as_str()], read).optional())
        .sql()
}

impl Store {
    /// Sums of every camera that was ever seen, by id. Cheap.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn totals(&self) -> Result<Vec<CameraTotals>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(&format!("{TOTALS} ORDER BY t.camera"))
                .sql()?;
            let rows = statement.query_map([], read).sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }

    /// Sums of one camera; `None` when it was never seen. Cheap.
    ///
    /// # Errors
    /// As [`totals`](Self::totals).
    pub fn totals_of(&self, camera: &CameraId) -> Result<Option<CameraTotals>> {
        self.read(|conn| totals_of(conn, camera))
    }

    /// Number of segments, missing ones left out. Cheap.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn count(&self) -> Result<u64> {
        self.read(|conn| {
            let n: i64 = conn
                .query_row("SELECT coalesce(sum(segments), 0) FROM totals", [], |r| r.get(0))
                .sql()?;
            Ok(n.max(0).cast_unsigned())
        })
    }
}
