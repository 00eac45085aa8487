//! Segments that move to the second root: what may move, what is being moved, and which root counts.

use rusqlite::{Connection, named_params};

use super::cameras::camera_id;
use super::error::SqlResult;
use super::rows::{SegmentRow, TierTotals};
use super::segments::{COLUMNS, bytes, read};
use super::{Store, writes};
use crate::error::Result;
use crate::ids::SegmentId;
use crate::segment::Tier;

fn begin(conn: &Connection, id: SegmentId) -> Result<bool> {
    conn.prepare_cached(
        "INSERT INTO moves (segment)
         SELECT id FROM segments WHERE id = ?1 AND tier = 0 AND state IN ('closed', 'recovered')
             AND id NOT IN (SELECT segment FROM deletions)
         ON CONFLICT DO UPDATE SET segment = excluded.segment",
    )
    .and_then(|mut s| s.execute([id.0]))
    .map(|n| n > 0)
    .sql()
}

/// Only of the version that was copied, and never of one that is on its way out.
fn moved(conn: &Connection, id: SegmentId, size_bytes: u64, hash: [u8; 32]) -> Result<bool> {
    conn.prepare_cached(
        "UPDATE segments SET tier = 1, hash = :hash
         WHERE id = :id AND tier = 0 AND state IN ('closed', 'recovered') AND size_bytes = :size
             AND (hash IS NULL OR hash = :hash) AND id NOT IN (SELECT segment FROM deletions)",
    )
    .and_then(|mut s| s.execute(named_params! { ":id": id.0, ":size": bytes(size_bytes), ":hash": hash }))
    .map(|n| n > 0)
    .sql()
}

fn set_tier(conn: &Connection, ids: &[SegmentId], tier: Tier) -> Result<()> {
    let mut statement = conn
        .prepare_cached("UPDATE segments SET tier = ?2 WHERE id = ?1")
        .sql()?;
    for id in ids {
        statement.execute((id.0, tier.number())).sql()?;
    }
    Ok(())
}

writes! {
    /// Notes that a segment of the recordings root is being copied to the second one, before the copy gets its name.
    /// From then on it cannot be deleted. False when it may not be moved: it is not complete, or is being deleted.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    begin_move, begin_move_blocking(id: SegmentId) -> bool {
        move |conn: &Connection| begin(conn, id)
    }

    /// Makes the copy below the second root the one that counts; false when the segment became another one, or is
    /// being deleted.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    segment_moved, segment_moved_blocking(id: SegmentId, size_bytes: u64, hash: [u8; 32]) -> bool {
        move |conn: &Connection| moved(conn, id, size_bytes, hash)
    }

    /// Forgets that a segment is being moved: only one file of it is left.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    end_move, end_move_blocking(id: SegmentId) -> () {
        move |conn: &Connection| {
            conn.prepare_cached("DELETE FROM moves WHERE segment = ?1")
                .and_then(|mut s| s.execute([id.0])).map(drop).sql()
        }
    }

    /// Notes below which root files were found.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    set_segment_tier, set_segment_tier_blocking(ids: Vec<SegmentId>, tier: Tier) -> () {
        move |conn: &Connection| set_tier(conn, &ids, tier)
    }
}

impl Store {
    /// The oldest segments of the recordings root that may move, protected ones included: complete, neither being
    /// deleted nor a job's that was called off or failed for good.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn movable(&self, limit: u32) -> Result<Vec<SegmentRow>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM segments
                     WHERE tier = 0 AND state IN ('closed', 'recovered')
                         AND id NOT IN (SELECT segment FROM deletions)
                         AND NOT EXISTS (SELECT 1 FROM jobs WHERE dedupe = 'move:' || segments.id
                             AND kind = 'move' AND state IN ('failed', 'cancelled'))
                     ORDER BY start_ns LIMIT ?1"
                ))
                .sql()?;
            let rows = statement.query_map([limit], read).sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }

    /// Segments that are being moved, or were when the recorder was killed.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn moves(&self) -> Result<Vec<SegmentRow>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM segments WHERE id IN (SELECT segment FROM moves) ORDER BY id"
                ))
                .sql()?;
            let rows = statement.query_map([], read).sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }

    /// Sums over what lies below the second root, by camera.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn tier_totals(&self) -> Result<Vec<TierTotals>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached("SELECT camera, segments, size_bytes FROM tier_totals ORDER BY camera")
                .sql()?;
            let rows = statement
                .query_map([], |r| {
                    Ok(TierTotals {
                        camera: camera_id(r, "camera")?,
                        segments: r.get::<_, i64>("segments")?.max(0).cast_unsigned(),
                        size_bytes: r.get::<_, i64>("size_bytes")?.max(0).cast_unsigned(),
                    })
                })
                .sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }
}
