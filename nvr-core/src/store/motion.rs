//! Scores of motion: an hour of a camera in a row.

use rusqlite::{Connection, OptionalExtension};

use super::error::SqlResult;
use super::{Store, writes};
use crate::error::Result;
use crate::ids::CameraId;
use crate::strip;
use crate::time::{TimeRange, Timestamp};

/// Hours deleted in one operation.
const PRUNE_CHUNK: u32 = 2000;

fn put(conn: &Connection, camera: &str, hours: &[(Timestamp, Vec<u8>)]) -> Result<()> {
    let mut old = conn
        .prepare_cached("SELECT scores FROM motion_scores WHERE camera = ?1 AND hour_ns = ?2")
        .sql()?;
    let mut insert = conn
        .prepare_cached(
            "INSERT INTO motion_scores (camera, hour_ns, scores) VALUES (?1, ?2, ?3)
             ON CONFLICT (camera, hour_ns) DO UPDATE SET scores = excluded.scores",
        )
        .sql()?;
    for (hour, seconds) in hours {
        let key = (camera, hour.as_ns());
        let before: Option<Vec<u8>> = old.query_row(key, |r| r.get(0)).optional().sql()?;
        let scores = strip::merge(before.unwrap_or_default(), seconds);
        insert.execute((camera, hour.as_ns(), scores)).sql()?;
    }
    Ok(())
}

/// What is older than `before` goes where there is no footage as old as that.
fn prune(conn: &Connection, before: Timestamp) -> Result<u64> {
    let n = conn
        .prepare_cached(
            "DELETE FROM motion_scores WHERE (camera, hour_ns) IN (
                 SELECT m.camera, m.hour_ns FROM motion_scores m
                 WHERE m.hour_ns + 3600000000000 < min(?1, coalesce(
                     (SELECT min(s.start_ns) FROM segments s WHERE s.camera = m.camera), ?1))
                 LIMIT ?2)",
        )
        .and_then(|mut s| s.execute((before.as_ns(), PRUNE_CHUNK)))
        .sql()?;
    Ok(n as u64)
}

writes! {
    /// Adds scores of motion, each hour by its beginning; of a second that is there already the higher counts.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    put_motion, put_motion_blocking(camera: &CameraId, hours: Vec<(Timestamp, Vec<u8>)>) -> () {{
        let camera = camera.clone();
        move |conn: &Connection| put(conn, camera.as_str(), &hours)
    }}

    /// Forgets scores from before `before` of which there is no footage any more, at most some thousand hours; returns
    /// how many.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    prune_motion, prune_motion_blocking(before: Timestamp) -> u64 {
        move |conn: &Connection| prune(conn, before)
    }
}

impl Store {
    /// Scores of the hours that a range touches.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn motion(&self, camera: &CameraId, range: TimeRange) -> Result<Vec<(Timestamp, Vec<u8>)>> {
        let (from, end) = strip::hours(range);
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT hour_ns, scores FROM motion_scores
                     WHERE camera = ?1 AND hour_ns >= ?2 AND hour_ns < ?3 ORDER BY hour_ns",
                )
                .sql()?;
            let rows = statement
                .query_map((camera.as_str(), from.as_ns(), end.as_ns()), |r| {
                    Ok((Timestamp::from_ns(r.get(0)?), r.get(1)?))
                })
                .sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OpenMode;

    #[test]
    fn hours_are_put_together_and_go_with_the_footage() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("nvr.db"), OpenMode::ReadWrite).unwrap();
        let camera = CameraId::new("cam").unwrap();
        let hour = |n: i64| Timestamp::from_secs(n * 3600);
        store.upsert_camera_blocking(&camera, None, hour(0)).unwrap();
        store
            .put_motion_blocking(&camera, vec![(hour(10), vec![1, 0, 5]), (hour(11), vec![2])])
            .unwrap();
        store
            .put_motion_blocking(&camera, vec![(hour(10), vec![0, 3, 4, 9])])
            .unwrap();
        let range = |from, to| TimeRange::new(hour(from), hour(to)).unwrap();
        assert_eq!(
            store.motion(&camera, range(9, 12)).unwrap(),
            [(hour(10), vec![1, 3, 5, 9]), (hour(11), vec![2])]
        );
        assert_eq!(store.motion(&camera, range(11, 12)).unwrap().len(), 1);
        assert_eq!(store.prune_motion_blocking(hour(11)).unwrap(), 0);
        assert_eq!(store.prune_motion_blocking(hour(12)).unwrap(), 1);
        assert_eq!(store.motion(&camera, range(0, 20)).unwrap().len(), 1);
        store.shutdown_blocking().unwrap();
    }
}
