//! Which days have their time-lapse: entered together with its job, or noted that its file is there.

use rusqlite::{Connection, named_params};

use super::error::SqlResult;
use super::jobs::{Added, JobBounds};
use super::{NewJob, Store, jobs, writes};
use crate::error::Result;
use crate::ids::CameraId;
use crate::time::Timestamp;

/// Longer than the longest time that one may be late.
const KEEP_NS: i64 = 100 * 86_400_000_000_000;

/// A day of a camera of which a time-lapse is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DailyKey {
    /// Name of the daily time-lapse.
    pub name: CameraId,
    /// Camera.
    pub camera: CameraId,
    /// The date on which it begins, `YYYY-MM-DD`.
    pub day: String,
}

fn is_there(conn: &Connection, key: &DailyKey) -> Result<bool> {
    conn.prepare_cached("SELECT 1 FROM daily_timelapses WHERE name = ?1 AND camera = ?2 AND day = ?3")
        .and_then(|mut s| s.exists((key.name.as_str(), key.camera.as_str(), &key.day)))
        .sql()
}

fn enter(
    conn: &Connection,
    key: &DailyKey,
    job: Option<&NewJob>,
    now: Timestamp,
    bounds: JobBounds,
) -> Result<Option<Added>> {
    if is_there(conn, key)? {
        return Ok(None);
    }
    let added = job.map(|new| jobs::add(conn, new, now, bounds)).transpose()?;
    conn.prepare_cached(
        "INSERT INTO daily_timelapses (name, camera, day, entered_ns, job)
         VALUES (:name, :camera, :day, :now, :job)",
    )
    .and_then(|mut s| {
        s.execute(named_params! {
            ":name": key.name.as_str(),
            ":camera": key.camera.as_str(),
            ":day": key.day,
            ":now": now.as_ns(),
            ":job": added.as_ref().map(|a| a.job.id.0),
        })
    })
    .sql()?;
    conn.prepare_cached("DELETE FROM daily_timelapses WHERE entered_ns < ?1")
        .and_then(|mut s| s.execute([now.as_ns().saturating_sub(KEEP_NS)]))
        .sql()?;
    Ok(added)
}

writes! {
    /// Enters the job of a day, or notes that none is needed; both at once, and once only. `None` when the day was there
    /// already, or there is no job.
    ///
    /// # Errors
    /// `Busy` when the queue is full, `Storage` when the index cannot be written.
    enter_daily, enter_daily_blocking(key: DailyKey, job: Option<NewJob>, now: Timestamp, bounds: JobBounds) -> Option<Added> {
        move |conn: &Connection| enter(conn, &key, job.as_ref(), now, bounds)
    }
}

impl Store {
    /// Whether a day has its time-lapse.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn has_daily(&self, key: &DailyKey) -> Result<bool> {
        self.read(|conn| is_there(conn, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OpenMode;

    #[test]
    fn a_day_has_one_job_also_after_a_restart_and_when_the_job_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nvr.db");
        let key = DailyKey {
            name: CameraId::new("garden").unwrap(),
            camera: CameraId::new("yard").unwrap(),
            day: "2026-05-04".into(),
        };
        let job = NewJob::new("timelapse", serde_json::json!({}));
        let (now, bounds) = (Timestamp::from_secs(1_800_000_000), JobBounds { most_live: 1 });
        let store = Store::open(&path, OpenMode::ReadWrite).unwrap();
        let added = store
            .enter_daily_blocking(key.clone(), Some(job.clone()), now, bounds)
            .unwrap();
        assert!(added.unwrap().is_new);
        store.shutdown_blocking().unwrap();
        drop(store);
        let store = Store::open(&path, OpenMode::ReadWrite).unwrap();
        assert!(store.has_daily(&key).unwrap());
        let again = store
            .enter_daily_blocking(key.clone(), Some(job.clone()), now, bounds)
            .unwrap();
        assert_eq!(again, None);
        // A full queue leaves the day open.
        let next = DailyKey {
            day: "2026-05-05".into(),
            ..key.clone()
        };
        store
            .enter_daily_blocking(next.clone(), Some(job), now, bounds)
            .unwrap_err();
        assert!(!store.has_daily(&next).unwrap());
        // One that needs no job is noted as well, and old ones are forgotten.
        let later = now.add_ns(KEEP_NS + 1);
        assert_eq!(
            store
                .enter_daily_blocking(next.clone(), None, later, bounds)
                .unwrap(),
            None
        );
        assert!(store.has_daily(&next).unwrap() && !store.has_daily(&key).unwrap());
    }
}
