//! Uploads: which segment goes to which target, and what is where.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::cameras::invalid;
use super::error::SqlResult;
use super::rows::{Cursor, MAX_PAGE, Order, Page, SegmentRow};
use super::segments::{COLUMNS, read};
use super::upload_rows::{
    InboxRow, NewUpload, QueuedUpload, UploadCount, UploadQuery, UploadRow, UploadState, UploadedCopy,
};
use super::{Store, writes};
use crate::error::{Error, ErrorKind, Result};
use crate::event::JobState;
use crate::ids::{JobId, SegmentId};
use crate::time::Timestamp;

const UPLOAD: &str = "u.segment, u.target, u.key, u.state, u.required, u.by_hand, u.start_ns, u.size_bytes, \
     u.entered_ns, u.job, u.hash, u.etag, u.uploaded_ns, u.error";
/// Longest text of an error, in characters.
const MOST_TEXT: usize = 2000;

fn read_upload(row: &Row<'_>) -> rusqlite::Result<UploadRow> {
    let name = row.get_ref(3)?.as_str()?;
    Ok(UploadRow {
        segment: SegmentId(row.get(0)?),
        target: row.get(1)?,
        key: row.get(2)?,
        state: UploadState::from_name(name).ok_or_else(|| invalid(format!("state {name:?}")))?,
        required: row.get(4)?,
        by_hand: row.get(5)?,
        start: Timestamp::from_ns(row.get(6)?),
        size_bytes: row.get::<_, i64>(7)?.max(0).cast_unsigned(),
        entered: Timestamp::from_ns(row.get(8)?),
        job: row.get::<_, Option<i64>>(9)?.map(JobId),
        hash: row
            .get_ref(10)?
            .as_blob_or_null()?
            .and_then(|b| b.try_into().ok()),
        etag: row.get(11)?,
        uploaded: row.get::<_, Option<i64>>(12)?.map(Timestamp::from_ns),
        error: row.get(13)?,
    })
}

fn bytes(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn set_targets(conn: &Connection, targets: &[(String, bool)]) -> Result<()> {
    let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        conn.prepare_cached(sql).and_then(|mut s| s.execute(params)).sql()
    };
    run("DELETE FROM upload_targets", &[])?;
    for (name, required) in targets {
        run(
            "INSERT INTO upload_targets (name, required) VALUES (?1, ?2)",
            &[name, required],
        )?;
        run(
            "UPDATE uploads SET required = ?2 WHERE target = ?1 AND required <> ?2 AND state <> 'done'",
            &[name, required],
        )?;
    }
    // Nothing waits for a target that is gone, least of all a deletion.
    run(
        "UPDATE uploads SET state = 'cancelled', job = NULL, error = 'the target is no longer configured'
         WHERE state IN ('waiting', 'queued', 'failed') AND target NOT IN (SELECT name FROM upload_targets)",
        &[],
    )?;
    if targets.is_empty() {
        run("DELETE FROM upload_inbox", &[])?;
    }
    Ok(())
}

/// A key that no other segment has at the target.
fn free_key(conn: &Connection, new: &NewUpload) -> Result<String> {
    let taken: bool = conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM uploads WHERE target = ?1 AND key = ?2 AND segment <> ?3)",
        )
        .and_then(|mut s| s.query_row((&new.target, &new.key, new.segment.0), |r| r.get(0)))
        .sql()?;
    if !taken {
        return Ok(new.key.clone());
    }
    let (stem, ext) = match new.key.rsplit_once('.') {
        Some((stem, ext)) if !ext.contains('/') => (stem, format!(".{ext}")),
        _ => (new.key.as_str(), String::new()),
    };
    Ok(format!("{stem}_{}{ext}", new.segment))
}

fn enter(conn: &Connection, looked_at: &[SegmentId], new: &[NewUpload], now: Timestamp) -> Result<u64> {
    let mut entered = 0;
    for upload in new {
        let key = free_key(conn, upload)?;
        // What is there, or under way, stays as it is; what somebody asks for is tried again.
        entered += conn
            .prepare_cached(
                "INSERT INTO uploads (segment, target, key, state, required, by_hand, start_ns, size_bytes, entered_ns)
                 SELECT id, :target, :key, 'waiting', :required, :by_hand, start_ns, size_bytes, :now
                 FROM segments WHERE id = :segment AND state IN ('closed', 'recovered')
                 ON CONFLICT (segment, target) DO UPDATE SET
                     state = iif(state = 'queued', state, 'waiting'), by_hand = 1, entered_ns = excluded.entered_ns,
                     required = excluded.required, error = NULL
                 WHERE excluded.by_hand = 1 AND state <> 'done'",
            )
            .and_then(|mut s| {
                s.execute(named_params! {
                    ":segment": upload.segment.0,
                    ":target": upload.target,
                    ":key": key,
                    ":required": upload.required,
                    ":by_hand": upload.by_hand,
                    ":now": now.as_ns(),
                })
            })
            .sql()? as u64;
    }
    let mut remove = conn
        .prepare_cached("DELETE FROM upload_inbox WHERE segment = ?1")
        .sql()?;
    for id in looked_at {
        remove.execute([id.0]).sql()?;
    }
    Ok(entered)
}

fn enqueue(conn: &Connection, segment: SegmentId, target: &str, job: JobId) -> Result<bool> {
    conn.prepare_cached(
        "UPDATE uploads SET state = 'queued', job = ?3, error = NULL
         WHERE segment = ?1 AND target = ?2 AND state = 'waiting'",
    )
    .and_then(|mut s| s.execute((segment.0, target, job.0)))
    .map(|n| n > 0)
    .sql()
}

fn settle(
    conn: &Connection,
    segment: SegmentId,
    target: &str,
    state: UploadState,
    error: Option<&str>,
) -> Result<()> {
    let error = error.map(|e| e.chars().take(MOST_TEXT).collect::<String>());
    conn.prepare_cached(
        "UPDATE uploads SET state = ?3, job = NULL, error = ?4 WHERE segment = ?1 AND target = ?2 AND state = 'queued'",
    )
    .and_then(|mut s| s.execute((segment.0, target, state.as_str(), error)))
    .sql()?;
    Ok(())
}

/// Notes a copy. If the segment became another file meanwhile, it waits once more.
fn done(conn: &Connection, copy: &UploadedCopy, now: Timestamp) -> Result<UploadState> {
    let current: Option<bool> = conn
        .prepare_cached(
            "SELECT state NOT IN ('closed', 'recovered') OR (size_bytes = ?2 AND (hash IS NULL OR hash = ?3))
             FROM segments WHERE id = ?1",
        )
        .and_then(|mut s| {
            s.query_row((copy.segment.0, bytes(copy.size_bytes), copy.hash), |r| r.get(0))
                .optional()
        })
        .sql()?;
    let state = match current {
        Some(false) => UploadState::Waiting,
        _ => UploadState::Done,
    };
    conn.prepare_cached(
        "UPDATE uploads SET state = :state, job = NULL, error = NULL, hash = :hash, etag = :etag,
             size_bytes = iif(:state = 'done', :size, size_bytes), uploaded_ns = :now
         WHERE segment = :segment AND target = :target",
    )
    .and_then(|mut s| {
        s.execute(named_params! {
            ":segment": copy.segment.0,
            ":target": copy.target,
            ":state": state.as_str(),
            ":hash": copy.hash,
            ":etag": copy.etag,
            ":size": bytes(copy.size_bytes),
            ":now": now.as_ns(),
        })
    })
    .sql()?;
    Ok(state)
}

fn forget_copy(conn: &Connection, segment: SegmentId, target: &str, why: &str) -> Result<()> {
    conn.prepare_cached(
        "UPDATE uploads SET
             state = iif((SELECT state FROM segments WHERE id = ?1) IN ('closed', 'recovered'), 'waiting', 'failed'),
             error = ?3
         WHERE segment = ?1 AND target = ?2 AND state = 'done'",
    )
    .and_then(|mut s| s.execute((segment.0, target, why)))
    .sql()?;
    Ok(())
}

fn try_again(conn: &Connection, target: Option<&str>, now: Timestamp) -> Result<u64> {
    conn.prepare_cached(
        "UPDATE uploads SET state = 'waiting', by_hand = 1, error = NULL, entered_ns = ?2
         WHERE state IN ('failed', 'cancelled') AND (?1 IS NULL OR target = ?1)
           AND target IN (SELECT name FROM upload_targets)
           AND (SELECT state FROM segments WHERE id = segment) IN ('closed', 'recovered')",
    )
    .and_then(|mut s| s.execute((target, now.as_ns())))
    .map(|n| n as u64)
    .sql()
}

writes! {
    /// Notes the targets that are configured, each with whether local files stay until it has a copy. What waits
    /// for others is called off.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    set_upload_targets, set_upload_targets_blocking(targets: Vec<(String, bool)>) -> () {
        move |conn: &Connection| set_targets(conn, &targets)
    }

    /// Enters what targets are to have, and takes segments out of the inbox; both or neither. Returns how many are
    /// new, or are tried again because they were asked for by hand.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    enter_uploads, enter_uploads_blocking(
        looked_at: Vec<SegmentId>, new: Vec<NewUpload>, now: Timestamp
    ) -> u64 {
        move |conn: &Connection| enter(conn, &looked_at, &new, now)
    }

    /// Notes the job of an upload that waits; false when it does not wait any more.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    upload_enqueued, upload_enqueued_blocking(segment: SegmentId, target: String, job: JobId) -> bool {
        move |conn: &Connection| enqueue(conn, segment, &target, job)
    }

    /// Notes what became of an upload that had a job and brought no copy.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    settle_upload, settle_upload_blocking(
        segment: SegmentId, target: String, state: UploadState, error: Option<String>
    ) -> () {
        move |conn: &Connection| settle(conn, segment, &target, state, error.as_deref())
    }

    /// Notes a copy. Returns `Waiting` when the file became another one meanwhile, else `Done`.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    upload_done, upload_done_blocking(copy: UploadedCopy, now: Timestamp) -> UploadState {
        move |conn: &Connection| done(conn, &copy, now)
    }

    /// Notes that a copy is not there any more: it is made again if the local file is there.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    forget_copy, forget_copy_blocking(segment: SegmentId, target: String, why: String) -> () {
        move |conn: &Connection| forget_copy(conn, segment, &target, &why)
    }

    /// Notes that the file of a remote segment is back. It is protected from now on: else retention would take it away
    /// again at once.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    segment_restored, segment_restored_blocking(id: SegmentId) -> () {
        move |conn: &Connection| {
            conn.prepare_cached(
                "UPDATE segments SET state = 'closed', protected = 1, tier = 0 WHERE id = ?1 AND state = 'missing'",
            )
            .and_then(|mut s| s.execute([id.0]))
            .sql()?;
            Ok(())
        }
    }

    /// Lets what failed or was called off wait again, at one target or at all. Returns how many.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    retry_uploads, retry_uploads_blocking(target: Option<String>, now: Timestamp) -> u64 {
        move |conn: &Connection| try_again(conn, target.as_deref(), now)
    }
}

fn inbox(conn: &Connection, limit: u32) -> Result<Vec<InboxRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM segments
         WHERE id IN (SELECT segment FROM upload_inbox ORDER BY segment LIMIT ?1) ORDER BY id"
    );
    let segments = conn
        .prepare_cached(&sql)
        .sql()?
        .query_map([limit], read)
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .sql()?;
    let mut known = conn
        .prepare_cached("SELECT target FROM uploads WHERE segment = ?1")
        .sql()?;
    segments
        .into_iter()
        .map(|segment| {
            let known = known
                .query_map([segment.id.0], |r| r.get(0))
                .and_then(Iterator::collect)
                .sql()?;
            Ok(InboxRow { segment, known })
        })
        .collect()
}

fn page(conn: &Connection, query: &UploadQuery) -> Result<Page<UploadRow>> {
    let limit = query.limit.clamp(1, MAX_PAGE) as usize;
    let (compare, direction) = match query.order {
        Order::Asc => (">", "ASC"),
        Order::Desc => ("<", "DESC"),
    };
    let sql = format!(
        "SELECT {UPLOAD} FROM uploads u WHERE u.target = :target AND u.state = :state
           AND (:by_hand = 0 OR u.by_hand = 1)
           AND (:among IS NULL OR EXISTS (SELECT 1 FROM segments s
                WHERE s.id = u.segment AND s.camera IN (SELECT value FROM json_each(:among))))
           AND (:at IS NULL OR (u.start_ns, u.segment) {compare} (:at, :id))
         ORDER BY u.start_ns {direction}, u.segment {direction} LIMIT :limit"
    );
    let mut items = conn
        .prepare_cached(&sql)
        .sql()?
        .query_map(
            named_params! {
                ":target": query.target,
                ":state": query.state.as_str(),
                ":by_hand": query.by_hand,
                ":among": super::rows::id_list(query.among.as_ref()),
                ":at": query.cursor.map(|c| c.at_ns),
                ":id": query.cursor.map(|c| c.id),
                ":limit": limit as i64 + 1,
            },
            read_upload,
        )
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .sql()?;
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next = last.map(|u| Cursor {
        at_ns: u.start.as_ns(),
        id: u.segment.0,
    });
    Ok(Page { items, next })
}

fn queued(conn: &Connection, target: &str) -> Result<Vec<QueuedUpload>> {
    let sql = format!(
        "SELECT {UPLOAD}, j.state, j.error FROM uploads u LEFT JOIN jobs j ON j.id = u.job
         WHERE u.target = ?1 AND u.state = 'queued' ORDER BY u.start_ns, u.segment"
    );
    conn.prepare_cached(&sql)
        .sql()?
        .query_map([target], |r| {
            let state = r.get_ref(14)?.as_str_or_null()?;
            Ok(QueuedUpload {
                upload: read_upload(r)?,
                job: state.and_then(JobState::from_name),
                error: r.get(15)?,
            })
        })
        .and_then(Iterator::collect)
        .sql()
}

fn of_segment(conn: &Connection, id: SegmentId) -> Result<Vec<UploadRow>> {
    conn.prepare_cached(&format!(
        "SELECT {UPLOAD} FROM uploads u WHERE u.segment = ?1 ORDER BY u.target"
    ))
    .sql()?
    .query_map([id.0], read_upload)
    .and_then(Iterator::collect)
    .sql()
}

fn copied(conn: &Connection, target: &str, before: Timestamp, limit: u32) -> Result<Vec<SegmentRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM segments
         WHERE copies > 0 AND awaits = 0 AND protected = 0 AND state IN ('closed', 'recovered')
           -- Nothing was uploaded before it was recorded.
           AND start_ns <= ?2
           AND EXISTS (SELECT 1 FROM uploads u WHERE u.segment = segments.id AND u.target = ?1
                       AND u.state = 'done' AND u.uploaded_ns <= ?2)
         ORDER BY start_ns LIMIT ?3"
    );
    conn.prepare_cached(&sql)
        .sql()?
        .query_map((target, before.as_ns(), limit), read)
        .and_then(Iterator::collect)
        .sql()
}

impl Store {
    /// Local files of which a target has had the copy since before a moment; neither protected ones nor such as await
    /// another copy. The oldest footage first.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn copied_segments(&self, target: &str, before: Timestamp, limit: u32) -> Result<Vec<SegmentRow>> {
        self.read(|conn| copied(conn, target, before, limit))
    }

    /// Segments that targets were not asked about yet, the first that were entered first.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn upload_inbox(&self, limit: u32) -> Result<Vec<InboxRow>> {
        self.read(|conn| inbox(conn, limit))
    }

    /// Uploads, a page at a time.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn uploads(&self, query: &UploadQuery) -> Result<Page<UploadRow>> {
        self.read(|conn| page(conn, query))
    }

    /// Uploads of a target that have a job.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn queued_uploads(&self, target: &str) -> Result<Vec<QueuedUpload>> {
        self.read(|conn| queued(conn, target))
    }

    /// Where a segment is to go, or is.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn uploads_of(&self, segment: SegmentId) -> Result<Vec<UploadRow>> {
        self.read(|conn| of_segment(conn, segment))
    }

    /// The upload of a segment to a target.
    ///
    /// # Errors
    /// `NotFound` when the target is not to have it.
    pub fn upload(&self, segment: SegmentId, target: &str) -> Result<UploadRow> {
        let all = self.uploads_of(segment)?;
        all.into_iter().find(|u| u.target == target).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("segment {segment} does not go to target {target}"),
            )
        })
    }

    /// How many segments are in which state at which target.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn upload_counts(&self) -> Result<Vec<UploadCount>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT target, state, segments, size_bytes FROM upload_counts WHERE segments > 0",
            )
            .sql()?
            .query_map([], |r| {
                let name = r.get_ref(1)?.as_str()?;
                let count = |n: i64| n.max(0).cast_unsigned();
                Ok(UploadCount {
                    target: r.get(0)?,
                    state: UploadState::from_name(name).ok_or_else(|| invalid(format!("state {name:?}")))?,
                    segments: count(r.get(2)?),
                    size_bytes: count(r.get(3)?),
                })
            })
            .and_then(Iterator::collect)
            .sql()
        })
    }

    /// Since when the upload waits that waits longest at a target.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn uploads_wait_since(&self, target: &str) -> Result<Option<Timestamp>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT min(entered_ns) FROM uploads WHERE target = ?1 AND state IN ('waiting', 'queued')",
            )
            .and_then(|mut s| s.query_row([target], |r| r.get::<_, Option<i64>>(0)))
            .map(|t| t.map(Timestamp::from_ns))
            .sql()
        })
    }

    /// Whether an object of that key is one that this index knows of a target.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn upload_by_key(&self, target: &str, key: &str) -> Result<Option<UploadRow>> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {UPLOAD} FROM uploads u WHERE u.target = ?1 AND u.key = ?2"
            ))
            .and_then(|mut s| s.query_row((target, key), read_upload).optional())
            .sql()
        })
    }
}
