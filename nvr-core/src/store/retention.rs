//! What retention asks and writes: what may be deleted, what is being deleted, marks and protection of ranges.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::cameras::{camera_id, invalid};
use super::error::SqlResult;
use super::rows::{CondemnedRow, DeletableRow, Deletables, Marks, StockRow};
use super::segments::is_inside;
use super::{Store, gaps, writes};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind, DeletionReason};
use crate::ids::{CameraId, SegmentId};
use crate::segment::Tier;
use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// Deleted stretches that lie so close become one gap: segments of a run follow each other to the frame.
const NEAR_NS: i64 = 2 * NS_PER_S;

/// A path of a row, safe to be used below the root.
fn path(row: &Row<'_>, column: &str) -> rusqlite::Result<PathBuf> {
    let path = PathBuf::from(row.get_ref(column)?.as_str()?);
    if is_inside(&path) {
        Ok(path)
    } else {
        Err(invalid(format!("path {}", path.display())))
    }
}

fn size(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.max(0).cast_unsigned())
}

fn deletables(
    conn: &Connection,
    camera: &CameraId,
    marks: Marks,
    awaited: bool,
    tier: Tier,
    limit: u32,
) -> Result<Deletables> {
    let mut statement = conn
        .prepare_cached(
            "SELECT id, path, start_ns, duration_ns, size_bytes FROM segments
             WHERE camera = ?1 AND marks = ?2 AND protected = 0 AND state IN ('closed', 'recovered')
               AND (awaits > 0) = ?4 AND tier = ?5
               AND id NOT IN (SELECT segment FROM deletions)
             ORDER BY start_ns, id LIMIT ?3",
        )
        .sql()?;
    let rows = statement
        .query_map(
            (
                camera.as_str(),
                marks.bits(),
                i64::from(limit) + 1,
                awaited,
                tier.number(),
            ),
            |r| {
                let start = Timestamp::from_ns(r.get("start_ns")?);
                Ok(DeletableRow {
                    id: SegmentId(r.get("id")?),
                    path: path(r, "path")?,
                    start,
                    end: start.add_ns(r.get("duration_ns")?),
                    size_bytes: size(r, "size_bytes")?,
                    tier,
                })
            },
        )
        .sql()?;
    let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>().sql()?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    Ok(Deletables {
        marks,
        awaited,
        tier,
        rows,
        more,
    })
}

fn stocks(conn: &Connection, limit: u32) -> Result<Vec<StockRow>> {
    let mut statement = conn
        .prepare_cached(
            "WITH going AS (
                 SELECT s.camera, sum(s.size_bytes) AS all_bytes, sum(s.size_bytes * (s.tier = 1)) AS second_bytes
                 FROM deletions d JOIN segments s ON s.id = d.segment
                 WHERE s.state IN ('closed', 'recovered') GROUP BY s.camera)
             SELECT t.camera, t.size_bytes
                    - coalesce((SELECT sum(s.size_bytes) FROM segments s
                                WHERE s.camera = t.camera AND s.state = 'open'), 0)
                    - coalesce((SELECT all_bytes FROM going g WHERE g.camera = t.camera), 0) AS size_bytes,
                    coalesce((SELECT size_bytes FROM tier_totals x WHERE x.camera = t.camera), 0)
                    - coalesce((SELECT second_bytes FROM going g WHERE g.camera = t.camera), 0) AS second_bytes
             FROM totals t ORDER BY t.camera",
        )
        .sql()?;
    let cameras = statement
        .query_map([], |r| {
            Ok((
                camera_id(r, "camera")?,
                size(r, "size_bytes")?,
                size(r, "second_bytes")?,
            ))
        })
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .sql()?;
    cameras
        .into_iter()
        .map(|(camera, size_bytes, second_bytes)| {
            let tiers = if second_bytes > 0 {
                &Tier::ALL[..]
            } else {
                &Tier::ALL[..1]
            };
            let lists = tiers
                .iter()
                .flat_map(|tier| Marks::ALL.map(|marks| (*tier, marks)))
                .flat_map(|(tier, marks)| [(tier, marks, false), (tier, marks, true)])
                .map(|(tier, marks, awaited)| deletables(conn, &camera, marks, awaited, tier, limit))
                .filter(|list| {
                    let needless =
                        |l: &Deletables| (l.awaited || l.tier == Tier::Second) && l.rows.is_empty();
                    !list.as_ref().is_ok_and(needless)
                })
                .collect::<Result<_>>()?;
            Ok(StockRow {
                camera,
                size_bytes,
                second_bytes,
                lists,
            })
        })
        .collect()
}

fn condemned(conn: &Connection) -> Result<Vec<CondemnedRow>> {
    let mut statement = conn
        .prepare_cached(
            "SELECT s.id, s.camera, s.path, s.tier, s.size_bytes, d.reason
             FROM deletions d JOIN segments s ON s.id = d.segment ORDER BY s.start_ns, s.id",
        )
        .sql()?;
    let rows = statement
        .query_map([], |r| {
            Ok(CondemnedRow {
                id: SegmentId(r.get("id")?),
                camera: camera_id(r, "camera")?,
                path: path(r, "path")?,
                tier: Tier::from_number(r.get("tier")?),
                size_bytes: size(r, "size_bytes")?,
                reason: DeletionReason::from_name(r.get_ref("reason")?.as_str()?),
            })
        })
        .sql()?;
    rows.collect::<rusqlite::Result<_>>().sql()
}

/// Enters what may still be deleted: protection may have come since it was chosen, or it moves just now, or did. What goes
/// because it is elsewhere may have become another version since, which is nowhere else.
fn condemn(conn: &Connection, ids: &[(SegmentId, DeletionReason)], tier: Tier) -> Result<Vec<SegmentId>> {
    let mut statement = conn
        .prepare_cached(
            "INSERT INTO deletions (segment, reason)
             SELECT id, ?2 FROM segments WHERE id = ?1 AND tier = ?3 AND protected = 0 AND state <> 'open'
                 AND (NOT ?4 OR copies > 0 AND awaits = 0)
                 AND id NOT IN (SELECT segment FROM moves)
             ON CONFLICT (segment) DO UPDATE SET reason = excluded.reason",
        )
        .sql()?;
    let mut taken = Vec::with_capacity(ids.len());
    for (id, reason) in ids {
        let copied = *reason == DeletionReason::Uploaded;
        let entered = statement.execute((id.0, reason.as_str(), tier.number(), copied));
        if entered.sql()? > 0 {
            taken.push(*id);
        }
    }
    Ok(taken)
}

fn pardon(conn: &Connection, ids: &[SegmentId]) -> Result<()> {
    let mut statement = conn
        .prepare_cached("DELETE FROM deletions WHERE segment = ?1")
        .sql()?;
    for id in ids {
        statement.execute([id.0]).sql()?;
    }
    Ok(())
}

/// Removes the rows of deleted files. Where older footage stays, the hole gets its reason.
fn deleted(conn: &Connection, ids: &[SegmentId]) -> Result<u64> {
    let mut read = conn
        .prepare_cached(
            "SELECT s.camera, s.start_ns, s.duration_ns, s.state = 'missing' AS missing, s.copies > 0 AS copied, d.reason
             FROM segments s LEFT JOIN deletions d ON d.segment = s.id WHERE s.id = ?1",
        )
        .sql()?;
    let mut remove = conn.prepare_cached("DELETE FROM segments WHERE id = ?1").sql()?;
    let mut keep_copy = conn
        .prepare_cached("UPDATE segments SET state = 'missing', tier = 0 WHERE id = ?1")
        .sql()?;
    let mut touched: Vec<(CameraId, i64)> = Vec::new();
    let mut n = 0;
    for id in ids {
        let found = read
            .query_row([id.0], |r| {
                let start: i64 = r.get("start_ns")?;
                let reason = r.get_ref("reason")?.as_str_or_null()?;
                Ok((
                    camera_id(r, "camera")?,
                    start,
                    start.saturating_add(r.get("duration_ns")?),
                    r.get::<_, bool>("missing")?,
                    r.get::<_, bool>("copied")?,
                    DeletionReason::from_name(reason.unwrap_or_default()),
                ))
            })
            .optional()
            .sql()?;
        let Some((camera, start, end, missing, copied, reason)) = found else {
            continue;
        };
        if copied && reason != DeletionReason::Requested {
            // From now on it is where its copies are.
            n += keep_copy.execute([id.0]).sql()? as u64;
            pardon(conn, &[*id])?;
            continue;
        }
        n += remove.execute([id.0]).sql()? as u64;
        if !missing && start < end {
            note_hole(conn, &camera, start, end, reason)?;
        }
        match touched.iter_mut().find(|(c, _)| *c == camera) {
            Some((_, last)) => *last = (*last).max(end),
            None => touched.push((camera, end)),
        }
    }
    for (camera, last) in touched {
        // No timeline begins before the oldest footage: what was missing before it concerns nobody any more.
        let oldest: Option<i64> = conn
            .prepare_cached(
                "SELECT start_ns FROM segments WHERE camera = ?1 AND (state <> 'missing' OR copies > 0)
                 ORDER BY start_ns LIMIT 1",
            )
            .and_then(|mut s| s.query_row([camera.as_str()], |r| r.get(0)).optional())
            .sql()?;
        gaps::prune(conn, &camera, Timestamp::from_ns(oldest.unwrap_or(last)))?;
    }
    Ok(n)
}

fn note_hole(
    conn: &Connection,
    camera: &CameraId,
    start: i64,
    end: i64,
    reason: DeletionReason,
) -> Result<()> {
    let older: bool = conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM segments WHERE camera = ?1 AND start_ns < ?2
                            AND (state <> 'missing' OR copies > 0)
                            AND id NOT IN (SELECT segment FROM deletions))",
        )
        .and_then(|mut s| s.query_row((camera.as_str(), start), |r| r.get(0)))
        .sql()?;
    if !older {
        return Ok(());
    }
    let grown = conn
        .prepare_cached(
            "UPDATE gaps SET end_ns = max(end_ns, :end) WHERE id = (
                 SELECT id FROM gaps WHERE camera = :camera AND start_ns <= :start AND cause = :cause
                     AND message = :message AND end_ns >= :near ORDER BY start_ns DESC LIMIT 1)",
        )
        .and_then(|mut s| {
            s.execute(named_params! {
                ":camera": camera.as_str(),
                ":start": start,
                ":end": end,
                ":near": start.saturating_sub(NEAR_NS),
                ":cause": CauseKind::Deleted.as_str(),
                ":message": reason.words(),
            })
        })
        .sql()?;
    if grown == 0
        && let Ok(range) = TimeRange::new(Timestamp::from_ns(start), Timestamp::from_ns(end))
    {
        gaps::insert(
            conn,
            camera,
            range,
            &Cause::new(CauseKind::Deleted, reason.words()),
        )?;
    }
    Ok(())
}

/// Changes a column of all segments of a camera that overlap a range, growing ones included.
pub(super) fn change_range(conn: &Connection, camera: &CameraId, range: TimeRange, set: &str) -> Result<u64> {
    let since = super::query::scan_start(conn, camera.as_str(), range.start().as_ns())?;
    let sql = format!(
        "UPDATE segments SET {set} WHERE camera = :camera AND start_ns >= :since AND start_ns < :to
           AND (start_ns >= :from OR start_ns + duration_ns > :from OR state = 'open')
           AND state <> 'missing' AND id NOT IN (SELECT segment FROM deletions)"
    );
    let n = conn
        .prepare_cached(&sql)
        .and_then(|mut s| {
            s.execute(named_params! {
                ":camera": camera.as_str(),
                ":since": since,
                ":from": range.start().as_ns(),
                ":to": range.end().as_ns(),
            })
        })
        .sql()?;
    Ok(n as u64)
}

writes! {
    /// Enters segments below a root as being deleted, before their files go; hands back those that may be: not protected,
    /// not growing, not moved away, and elsewhere if that is why they go. From then on they cannot be protected or moved any more.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written; then none is entered.
    condemn, condemn_blocking(ids: Vec<(SegmentId, DeletionReason)>, tier: Tier) -> Vec<SegmentId> {
        move |conn: &Connection| condemn(conn, &ids, tier)
    }

    /// Takes back [`condemn`](Self::condemn) of segments whose files could not be deleted.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    pardon, pardon_blocking(ids: Vec<SegmentId>) -> () {
        move |conn: &Connection| pardon(conn, &ids)
    }

    /// Forgets segments whose files were deleted: where older footage of the camera stays, the hole is noted with its
    /// reason, and gaps before the oldest footage are forgotten. Returns how many were there.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written; then none is forgotten.
    segments_deleted, segments_deleted_blocking(ids: Vec<SegmentId>) -> u64 {
        move |conn: &Connection| deleted(conn, &ids)
    }

    /// Protects all footage of a camera in a range from deletion, or no longer; whole segments, the growing one
    /// included. Returns how many there are.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    protect_range, protect_range_blocking(camera: &CameraId, range: TimeRange, protected: bool) -> u64 {{
        let camera = camera.clone();
        let set = if protected { "protected = 1" } else { "protected = 0" };
        move |conn: &Connection| change_range(conn, &camera, range, set)
    }}

    /// Marks all footage of a camera in a range as that of an event, or no longer; otherwise as
    /// [`protect_range`](Self::protect_range).
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    mark_event, mark_event_blocking(camera: &CameraId, range: TimeRange, event: bool) -> u64 {{
        let camera = camera.clone();
        let set = if event { "marks = marks | 2" } else { "marks = marks & ~2" };
        move |conn: &Connection| change_range(conn, &camera, range, set)
    }}

    /// Marks a segment as encoded again, or no longer.
    ///
    /// # Errors
    /// `NotFound` without such a segment, `Storage` when the index cannot be written.
    mark_transcoded, mark_transcoded_blocking(id: SegmentId, transcoded: bool) -> () {
        move |conn: &Connection| {
            let sql = if transcoded {
                "UPDATE segments SET marks = marks | 1 WHERE id = ?1"
            } else {
                "UPDATE segments SET marks = marks & ~1 WHERE id = ?1"
            };
            let changed = conn.prepare_cached(sql).and_then(|mut s| s.execute([id.0])).sql()?;
            if changed == 0 {
                return Err(Error::new(ErrorKind::NotFound, format!("no segment {id} in the index")));
            }
            Ok(())
        }
    }
}

impl Store {
    /// What each camera that was ever seen has, and the oldest of it that may be deleted: at most `limit` rows for
    /// each combination of marks. What is being deleted belongs to neither.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn stocks(&self, limit: u32) -> Result<Vec<StockRow>> {
        self.read(|conn| stocks(conn, limit))
    }

    /// Segments that are being deleted, or were when the recorder was killed.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn condemned(&self) -> Result<Vec<CondemnedRow>> {
        self.read(condemned)
    }

    /// Whether a segment is being deleted.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn is_condemned(&self, id: SegmentId) -> Result<bool> {
        self.read(|conn| {
            conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM deletions WHERE segment = ?1)")
                .and_then(|mut s| s.query_row([id.0], |r| r.get(0)))
                .sql()
        })
    }

    /// Bytes of each camera's footage that began in a range, by camera; growing segments count as they were last
    /// noted.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn bytes_begun(&self, range: TimeRange) -> Result<Vec<(CameraId, u64)>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT c.id AS camera, coalesce((SELECT sum(s.size_bytes) FROM segments s
                         WHERE s.camera = c.id AND s.start_ns >= ?1 AND s.start_ns < ?2), 0) AS size_bytes
                     FROM cameras c ORDER BY c.id",
                )
                .sql()?;
            let rows = statement
                .query_map((range.start().as_ns(), range.end().as_ns()), |r| {
                    Ok((camera_id(r, "camera")?, size(r, "size_bytes")?))
                })
                .sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }
}
