//! Footage that was encoded again: its row exchanged, what was tried remembered, sums by camera.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::cameras::camera_id;
use super::error::SqlResult;
use super::rows::SegmentRow;
use super::segments::{self, bytes, put_fragments, video_name};
use super::{Store, writes};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{CameraId, SegmentId};
use crate::segment::ClosedSegment;
use crate::time::{TimeRange, Timestamp};

/// What became of a segment that was to be encoded again.
#[derive(Clone, PartialEq, Debug)]
pub struct TranscodeRecord {
    /// When.
    pub at: Timestamp,
    /// Why it was left as it was; `None`: it was encoded again.
    pub kept: Option<String>,
    /// Element and preset; empty when it did not come to that.
    pub encoder: String,
    /// Size before, bytes.
    pub before_bytes: u64,
    /// Size after, or what it would have been; 0 when that is not known.
    pub after_bytes: u64,
    /// How long it took, nanoseconds.
    pub elapsed_ns: i64,
    /// Mean structural similarity, if it was compared.
    pub ssim: Option<f64>,
    /// Peak signal to noise ratio in dB, if it was compared.
    pub psnr_db: Option<f64>,
    /// Whether privacy masks were burnt in, or were to be.
    pub masked: bool,
}

/// Sums over one camera's footage that was encoded again, also of what is gone since.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct TranscodeTotals {
    /// Camera.
    pub camera: CameraId,
    /// Segments encoded again.
    pub done: u64,
    /// Segments that were tried and left as they were.
    pub kept: u64,
    /// Bytes before, of those that were encoded again.
    pub before_bytes: u64,
    /// Bytes after.
    pub after_bytes: u64,
    /// Length of that footage, nanoseconds.
    pub footage_ns: i64,
    /// Time that all of it took, nanoseconds.
    pub elapsed_ns: i64,
    /// Mean structural similarity, weighted by length.
    pub ssim: Option<f64>,
    /// The worst of a segment.
    pub worst_ssim: Option<f64>,
    /// Mean peak signal to noise ratio in dB, weighted by length.
    pub psnr_db: Option<f64>,
}

/// Whether footage is looked for because of privacy masks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum MasksWanted {
    /// No.
    #[default]
    No,
    /// What has none and was not tried with some.
    Any,
    /// What has others than these.
    These(String),
}

/// Which footage may be encoded again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TranscodeQuery {
    /// Camera.
    pub camera: CameraId,
    /// It lies in this range.
    pub range: TimeRange,
    /// It is no smaller.
    pub min_bytes: u64,
    /// Also what was tried before and left as it was.
    pub again: bool,
    /// Because of privacy masks, then also H.265.
    pub masks: MasksWanted,
    /// Most rows.
    pub limit: u32,
}

fn note(conn: &Connection, id: SegmentId, camera: &str, footage_ns: i64, r: &TranscodeRecord) -> Result<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO transcodes (segment, at_ns, outcome, reason, encoder, before_bytes, after_bytes,
             elapsed_ns, ssim, psnr_db, masked)
         VALUES (:segment, :at, :outcome, :reason, :encoder, :before, :after, :elapsed, :ssim, :psnr, :masked)",
    )
    .and_then(|mut s| {
        s.execute(named_params! {
            ":segment": id.0,
            ":at": r.at.as_ns(),
            ":outcome": if r.kept.is_some() { "kept" } else { "done" },
            ":reason": r.kept.as_deref().unwrap_or_default(),
            ":encoder": r.encoder,
            ":before": bytes(r.before_bytes),
            ":after": bytes(r.after_bytes),
            ":elapsed": r.elapsed_ns,
            ":ssim": r.ssim,
            ":psnr": r.psnr_db,
            ":masked": r.masked,
        })
    })
    .sql()?;
    let done = r.kept.is_none();
    let of_done = |n: u64| if done { bytes(n) } else { 0 };
    let length = if done && r.ssim.is_some() {
        footage_ns.max(0)
    } else {
        0
    };
    conn.prepare_cached(
        "INSERT INTO transcode_totals (camera) VALUES (:camera) ON CONFLICT (camera) DO NOTHING",
    )
    .and_then(|mut s| s.execute(named_params! { ":camera": camera }))
    .sql()?;
    conn.prepare_cached(
        "UPDATE transcode_totals SET
             done = done + :done, kept = kept + 1 - :done,
             before_bytes = before_bytes + :before, after_bytes = after_bytes + :after,
             footage_ns = footage_ns + :footage, elapsed_ns = elapsed_ns + :elapsed,
             ssim_sum = ssim_sum + :ssim, psnr_sum = psnr_sum + :psnr,
             ssim_worst = iif(:worst IS NULL, ssim_worst, min(coalesce(ssim_worst, 1.0), :worst))
         WHERE camera = :camera",
    )
    .and_then(|mut s| {
        s.execute(named_params! {
            ":camera": camera,
            ":done": i64::from(done),
            ":before": of_done(r.before_bytes),
            ":after": of_done(r.after_bytes),
            ":footage": length,
            ":elapsed": r.elapsed_ns.max(0),
            ":ssim": r.ssim.unwrap_or(0.0) * length as f64,
            ":psnr": r.psnr_db.unwrap_or(0.0) * length as f64,
            ":worst": r.ssim.filter(|_| done),
        })
    })
    .sql()?;
    Ok(())
}

fn row_of(conn: &Connection, id: SegmentId) -> Result<(String, i64)> {
    conn.prepare_cached("SELECT camera, duration_ns FROM segments WHERE id = ?1")
        .and_then(|mut s| s.query_row([id.0], |r| Ok((r.get(0)?, r.get(1)?))).optional())
        .sql()?
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no segment {id} in the index")))
}

fn exchange(conn: &Connection, id: SegmentId, new: &ClosedSegment, record: &TranscodeRecord) -> Result<()> {
    let (camera, footage_ns) = row_of(conn, id)?;
    let video = &new.start.tracks.video;
    let changed = conn
        .prepare_cached(
            "UPDATE segments SET duration_ns = :duration, size_bytes = :size, hash = :hash,
             video_codec = :codec, width = :width, height = :height, marks = marks | 1, masks = :masks
         WHERE id = :id AND state IN ('closed', 'recovered')",
        )
        .and_then(|mut s| {
            s.execute(named_params! {
                ":id": id.0,
                ":duration": new.duration_ns.max(0),
                ":size": bytes(new.size_bytes),
                ":hash": new.hash.as_ref(),
                ":codec": video_name(video.codec),
                ":width": video.width,
                ":height": video.height,
                ":masks": new.start.masks,
            })
        })
        .sql()?;
    if changed == 0 {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("the file of segment {id} is not there any more"),
        ));
    }
    put_fragments(conn, id, &new.fragments)?;
    note(conn, id, &camera, footage_ns, record)
}

writes! {
    /// Enters in the row of a segment what its file is now, in one step with the record of it. Id, start,
    /// protection and marks stay; it is marked as encoded again.
    ///
    /// # Errors
    /// `NotFound` without such a segment, or when its file is gone, `Storage` when the index cannot be written.
    exchange_segment, exchange_segment_blocking(id: SegmentId, new: ClosedSegment, record: TranscodeRecord) -> () {
        move |conn: &Connection| exchange(conn, id, &new, &record)
    }

    /// Remembers that a segment was tried and left as it was.
    ///
    /// # Errors
    /// `NotFound` without such a segment, `Storage` when the index cannot be written.
    note_kept, note_kept_blocking(id: SegmentId, record: TranscodeRecord) -> () {
        move |conn: &Connection| {
            let (camera, footage_ns) = row_of(conn, id)?;
            note(conn, id, &camera, footage_ns, &record)
        }
    }
}

impl Store {
    /// Footage that may be encoded again, oldest first: H.264 in fragmented MP4, complete, neither protected nor
    /// being deleted or uploaded; and unless it is wanted again, neither tried before nor called off. With masks that are
    /// wanted also H.265 without them.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn transcodable(&self, query: &TranscodeQuery) -> Result<Vec<SegmentRow>> {
        self.read(|conn| {
            let columns = segments::COLUMNS;
            // The same parameters in each, so that there is one way to bind them.
            let (wanted, tried, masks) = match &query.masks {
                MasksWanted::No => ("video_codec = 'h264' AND :masks IS NULL", "", None),
                MasksWanted::Any => ("masks IS :masks", "AND masked = 1", None),
                MasksWanted::These(text) => ("(video_codec = 'h264' OR masks IS NOT :masks)", "", Some(text)),
            };
            let mut statement = conn
                .prepare_cached(&format!(
                    "SELECT {columns} FROM segments
                     WHERE camera = :camera AND start_ns >= :from AND start_ns + duration_ns <= :to
                         AND start_ns < :to AND {wanted} AND protected = 0
                         AND state IN ('closed', 'recovered') AND container = 'fmp4' AND size_bytes >= :min
                         AND NOT EXISTS (SELECT 1 FROM deletions WHERE segment = segments.id)
                         AND NOT EXISTS (SELECT 1 FROM uploads WHERE segment = segments.id AND state = 'queued')
                         AND (:again OR NOT EXISTS (SELECT 1 FROM transcodes WHERE segment = segments.id {tried})
                             AND NOT EXISTS (SELECT 1 FROM jobs WHERE dedupe = 'transcode:' || segments.id
                                 AND kind = 'transcode' AND state IN ('failed', 'cancelled')))
                     ORDER BY start_ns LIMIT :limit"
                ))
                .sql()?;
            let rows = statement
                .query_map(
                    named_params! {
                        ":camera": query.camera.as_str(),
                        ":from": query.range.start().as_ns(),
                        ":to": query.range.end().as_ns(),
                        ":min": bytes(query.min_bytes),
                        ":again": query.again,
                        ":masks": masks,
                        ":limit": query.limit,
                    },
                    segments::read,
                )
                .sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }

    /// Whether a segment is being deleted, or a job that names it in its key (`upload:17`, `move:17`) runs.
    ///
    /// # Errors
    /// As [`transcodable`](Self::transcodable).
    pub fn is_in_use(&self, id: SegmentId) -> Result<bool> {
        let busy = self.read(|conn| {
            conn.prepare_cached(
                "SELECT 1 FROM jobs WHERE state = 'running' AND dedupe IN ('upload:' || ?1, 'move:' || ?1)",
            )
            .and_then(|mut s| s.exists([id.0]))
            .sql()
        })?;
        Ok(busy || self.is_being_deleted(id)?)
    }

    /// Whether a segment is being deleted, or encoded again by a job that runs.
    ///
    /// # Errors
    /// As [`transcodable`](Self::transcodable).
    pub fn is_in_use_but_for_move(&self, id: SegmentId) -> Result<bool> {
        let busy = self.read(|conn| {
            conn.prepare_cached("SELECT 1 FROM jobs WHERE state = 'running' AND dedupe = 'transcode:' || ?1")
                .and_then(|mut s| s.exists([id.0]))
                .sql()
        })?;
        Ok(busy || self.is_being_deleted(id)?)
    }

    /// Whether a segment is being deleted.
    ///
    /// # Errors
    /// As [`transcodable`](Self::transcodable).
    pub fn is_being_deleted(&self, id: SegmentId) -> Result<bool> {
        self.read(|conn| {
            conn.prepare_cached("SELECT 1 FROM deletions WHERE segment = ?1")
                .and_then(|mut s| s.exists([id.0]))
                .sql()
        })
    }

    /// What became of a segment that was tried; `None` when it was not.
    ///
    /// # Errors
    /// As [`transcodable`](Self::transcodable).
    pub fn transcode_of(&self, id: SegmentId) -> Result<Option<TranscodeRecord>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT at_ns, outcome, reason, encoder, before_bytes, after_bytes, elapsed_ns, ssim, psnr_db,
                     masked
                 FROM transcodes WHERE segment = ?1",
            )
            .and_then(|mut s| {
                s.query_row([id.0], |r| {
                    let outcome: String = r.get(1)?;
                    let reason: String = r.get(2)?;
                    Ok(TranscodeRecord {
                        at: Timestamp::from_ns(r.get(0)?),
                        kept: (outcome == "kept").then_some(reason),
                        encoder: r.get(3)?,
                        before_bytes: r.get::<_, i64>(4)?.max(0).cast_unsigned(),
                        after_bytes: r.get::<_, i64>(5)?.max(0).cast_unsigned(),
                        elapsed_ns: r.get(6)?,
                        ssim: r.get(7)?,
                        psnr_db: r.get(8)?,
                        masked: r.get(9)?,
                    })
                })
                .optional()
            })
            .sql()
        })
    }

    /// Sums by camera, for those of which anything was tried.
    ///
    /// # Errors
    /// As [`transcodable`](Self::transcodable).
    pub fn transcode_totals(&self) -> Result<Vec<TranscodeTotals>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached("SELECT * FROM transcode_totals ORDER BY camera")
                .sql()?;
            let rows = statement
                .query_map([], |r| {
                    let count = |name: &str| r.get::<_, i64>(name).map(|n| n.max(0).cast_unsigned());
                    let footage_ns: i64 = r.get("footage_ns")?;
                    let mean = |name: &str| -> rusqlite::Result<Option<f64>> {
                        let sum: f64 = r.get(name)?;
                        Ok((footage_ns > 0).then(|| sum / footage_ns as f64))
                    };
                    Ok(TranscodeTotals {
                        camera: camera_id(r, "camera")?,
                        done: count("done")?,
                        kept: count("kept")?,
                        before_bytes: count("before_bytes")?,
                        after_bytes: count("after_bytes")?,
                        footage_ns,
                        elapsed_ns: r.get("elapsed_ns")?,
                        ssim: mean("ssim_sum")?,
                        worst_ssim: r.get("ssim_worst")?,
                        psnr_db: mean("psnr_sum")?,
                    })
                })
                .sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }

    /// Forces what was committed to the disk. A commit alone does not wait for it, which is enough where the files
    /// can tell what was lost; this is for those who are about to remove the file that could.
    ///
    /// # Errors
    /// `Storage` when the disk refuses.
    pub fn make_durable(&self) -> Result<()> {
        let mut wal = self.path().as_os_str().to_owned();
        wal.push("-wal");
        // Not the database itself: closing that file would drop the locks of every connection of this process.
        match std::fs::File::open(&wal) {
            Ok(file) => file
                .sync_data()
                .map_err(|e| Error::io(format_args!("sync the index {}", self.path().display()), e)),
            // All of it is in the database file, synced.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io(format_args!("index {}", self.path().display()), e)),
        }
    }
}
