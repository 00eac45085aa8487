//! Cameras: who was ever recorded.

use rusqlite::{Connection, Row, named_params};

use super::error::SqlResult;
use super::rows::CameraRow;
use super::{Store, writes};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::CameraId;
use crate::time::Timestamp;

/// Reads a camera id from a column.
pub(super) fn camera_id(row: &Row<'_>, column: &str) -> rusqlite::Result<CameraId> {
    let text = row.get_ref(column)?.as_str()?;
    CameraId::new(text).map_err(invalid)
}

/// A value of a column that this crate would not have written.
pub(super) fn invalid(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, e.into())
}

/// Makes the row if there is none; what else is known of the camera is left alone.
pub(super) fn ensure(conn: &Connection, camera: &CameraId, seen: Timestamp) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO cameras (id, first_seen_ns) VALUES (:id, :seen)
         ON CONFLICT (id) DO UPDATE SET first_seen_ns = excluded.first_seen_ns
         WHERE excluded.first_seen_ns < first_seen_ns",
    )
    .and_then(|mut s| s.execute(named_params! { ":id": camera.as_str(), ":seen": seen.as_ns() }))
    .sql()?;
    Ok(())
}

fn upsert(conn: &Connection, camera: &CameraId, name: Option<&str>, at: Timestamp) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO cameras (id, name, first_seen_ns) VALUES (:id, :name, :at)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, removed_at_ns = NULL",
    )
    .and_then(|mut s| s.execute(named_params! { ":id": camera.as_str(), ":name": name, ":at": at.as_ns() }))
    .sql()?;
    Ok(())
}

fn mark_removed(conn: &Connection, camera: &CameraId, at: Timestamp) -> Result<()> {
    let changed = conn
        .prepare_cached("UPDATE cameras SET removed_at_ns = coalesce(removed_at_ns, :at) WHERE id = :id")
        .and_then(|mut s| s.execute(named_params! { ":id": camera.as_str(), ":at": at.as_ns() }))
        .sql()?;
    if changed == 0 {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("no camera {camera} in the index"),
        ));
    }
    Ok(())
}

writes! {
    /// Enters a camera that is configured, or brings a removed one back. `name` is for people.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    upsert_camera, upsert_camera_blocking(camera: &CameraId, name: Option<&str>, at: Timestamp) -> () {{
        let (camera, name) = (camera.clone(), name.map(str::to_owned));
        move |conn: &Connection| upsert(conn, &camera, name.as_deref(), at)
    }}

    /// Notes that a camera went out of the configuration. Its footage stays in the index.
    ///
    /// # Errors
    /// `NotFound` when it was never entered, `Storage` when the index cannot be written.
    mark_camera_removed, mark_camera_removed_blocking(camera: &CameraId, at: Timestamp) -> () {{
        let camera = camera.clone();
        move |conn: &Connection| mark_removed(conn, &camera, at)
    }}
}

impl Store {
    /// All cameras that were ever seen, removed ones included, by id.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn cameras(&self) -> Result<Vec<CameraRow>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached("SELECT id, name, first_seen_ns, removed_at_ns FROM cameras ORDER BY id")
                .sql()?;
            let rows = statement
                .query_map([], |row| {
                    Ok(CameraRow {
                        id: camera_id(row, "id")?,
                        name: row.get("name")?,
                        first_seen: Timestamp::from_ns(row.get("first_seen_ns")?),
                        removed_at: row
                            .get::<_, Option<i64>>("removed_at_ns")?
                            .map(Timestamp::from_ns),
                    })
                })
                .sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }
}
