//! Detections: what was seen, and which footage is marked because of it.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::cameras::{camera_id, invalid};
use super::error::SqlResult;
use super::rows::{Cursor, MAX_PAGE, Page, id_list};
use super::{Store, retention, writes};
use crate::detection::{Detection, DetectionId, DetectionKind, MOST_MARGIN, NewDetection};
use crate::error::Result;
use crate::ids::{CameraId, SegmentId};
use crate::time::{TimeRange, Timestamp, duration_ns};

/// Rows deleted in one operation.
const PRUNE_CHUNK: u32 = 5000;

const COLUMNS: &str = "id, camera, kind, label, zone, score, from_ns, to_ns, best_ns, source, data";

/// Which detections.
#[derive(Clone, PartialEq, Debug)]
pub struct DetectionQuery {
    /// Those that overlap this range; one that goes on reaches to the end of time.
    pub range: TimeRange,
    /// Of which cameras; `None`: of all.
    pub cameras: Option<Vec<CameraId>>,
    /// Of which kinds; empty: of all.
    pub kinds: Vec<DetectionKind>,
    /// With one of these labels; empty: with any, or none.
    pub labels: Vec<String>,
    /// Least score.
    pub min_score: f32,
    /// Rows on a page, 1 to [`MAX_PAGE`].
    pub limit: u32,
    /// `next` of the page before.
    pub cursor: Option<Cursor>,
}

impl DetectionQuery {
    /// All in a range, newest begin first, in pages of 100.
    #[must_use]
    pub const fn new(range: TimeRange) -> Self {
        Self {
            range,
            cameras: None,
            kinds: Vec::new(),
            labels: Vec::new(),
            min_score: 0.0,
            limit: 100,
            cursor: None,
        }
    }
}

/// What became of an attempt to change a detection.
#[derive(Clone, PartialEq, Debug)]
pub enum Ended {
    /// It is so now.
    Done(Box<Detection>),
    /// It was over before.
    Over,
    /// There is none.
    Absent,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Detection> {
    let name = row.get_ref("kind")?.as_str()?;
    let kind = DetectionKind::from_name(name).ok_or_else(|| invalid(format!("detection kind {name:?}")))?;
    let camera = camera_id(row, "camera")?;
    let at = |column: &str| row.get(column).map(Timestamp::from_ns);
    let mut new = NewDetection::new(camera, kind, at("from_ns")?);
    new.label = row.get("label")?;
    new.zone = row.get("zone")?;
    new.score = row.get::<_, f64>("score")? as f32;
    new.to = row.get::<_, Option<i64>>("to_ns")?.map(Timestamp::from_ns);
    new.best_at = at("best_ns")?;
    new.source = row.get("source")?;
    new.data = row.get("data")?;
    Ok(Detection::of(DetectionId(row.get("id")?), new))
}

fn begin(conn: &Connection, new: &NewDetection) -> Result<Detection> {
    let (pre, post) = (
        duration_ns(new.pre.unwrap_or_default()),
        duration_ns(new.post.unwrap_or_default()),
    );
    let footage_from = new.from.add_ns(pre.saturating_neg());
    let footage_to = new.to.map(|to| to.add_ns(post));
    let id: i64 = conn
        .prepare_cached(
            "INSERT INTO detections (camera, kind, label, zone, score, from_ns, to_ns, seen_ns, best_ns, source, data,
                 footage_from_ns, footage_to_ns, post_ns)
             VALUES (:camera, :kind, :label, :zone, :score, :from, :to, :seen, :best, :source, :data,
                 :footage_from, :footage_to, :post)
             RETURNING id",
        )
        .and_then(|mut s| {
            s.query_row(
                named_params! {
                    ":camera": new.camera.as_str(),
                    ":kind": new.kind.as_str(),
                    ":label": new.label,
                    ":zone": new.zone,
                    ":score": f64::from(new.score),
                    ":from": new.from.as_ns(),
                    ":to": new.to.map(Timestamp::as_ns),
                    ":seen": new.to.unwrap_or(new.best_at).as_ns(),
                    ":best": new.best_at.as_ns(),
                    ":source": new.source,
                    ":data": new.data,
                    ":footage_from": footage_from.as_ns(),
                    ":footage_to": footage_to.map(Timestamp::as_ns),
                    ":post": post,
                },
                |r| r.get(0),
            )
        })
        .sql()?;
    mark(
        conn,
        &new.camera,
        footage_from,
        footage_to.unwrap_or(Timestamp::MAX),
    )?;
    Ok(Detection::of(DetectionId(id), new.clone()))
}

fn mark(conn: &Connection, camera: &CameraId, from: Timestamp, to: Timestamp) -> Result<()> {
    if let Ok(range) = TimeRange::new(from, to) {
        retention::change_range(conn, camera, range, "marks = marks | 2")?;
    }
    Ok(())
}

fn update(
    conn: &Connection,
    id: DetectionId,
    at: Timestamp,
    score: f32,
    data: Option<&str>,
) -> Result<Ended> {
    let changed = conn
        .prepare_cached(&format!(
            "UPDATE detections SET
                 best_ns = iif(:score > score, max(:at, from_ns), best_ns),
                 data = iif(:score > score, coalesce(:data, data), data),
                 score = max(score, :score),
                 seen_ns = max(seen_ns, :at)
             WHERE id = :id AND to_ns IS NULL RETURNING {COLUMNS}"
        ))
        .and_then(|mut s| {
            s.query_row(
                named_params! { ":id": id.0, ":at": at.as_ns(), ":score": f64::from(score), ":data": data },
                read,
            )
            .optional()
        })
        .sql()?;
    outcome(conn, id, changed)
}

fn end(conn: &Connection, id: DetectionId, at: Timestamp) -> Result<Ended> {
    let ended = conn
        .prepare_cached(&format!(
            "UPDATE detections SET
                 to_ns = max(:at, from_ns), seen_ns = max(:at, from_ns), best_ns = min(best_ns, max(:at, from_ns)),
                 footage_to_ns = max(:at, from_ns) + post_ns
             WHERE id = :id AND to_ns IS NULL RETURNING {COLUMNS}, footage_from_ns, footage_to_ns"
        ))
        .and_then(|mut s| {
            s.query_row(named_params! { ":id": id.0, ":at": at.as_ns() }, |r| {
                Ok((read(r)?, r.get::<_, i64>("footage_from_ns")?, r.get("footage_to_ns")?))
            })
            .optional()
        })
        .sql()?;
    if let Some((detection, from, to)) = &ended {
        mark(
            conn,
            &detection.camera,
            Timestamp::from_ns(*from),
            Timestamp::from_ns(*to),
        )?;
    }
    outcome(conn, id, ended.map(|(detection, ..)| detection))
}

fn outcome(conn: &Connection, id: DetectionId, changed: Option<Detection>) -> Result<Ended> {
    Ok(match changed {
        Some(detection) => Ended::Done(Box::new(detection)),
        None if one(conn, id)?.is_some() => Ended::Over,
        None => Ended::Absent,
    })
}

pub(super) fn one(conn: &Connection, id: DetectionId) -> Result<Option<Detection>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM detections WHERE id = ?1"))
        .and_then(|mut s| s.query_row([id.0], read).optional())
        .sql()
}

/// At the moment when they were last told of, or up to which there is footage: they went on until the recorder ended.
fn end_all(conn: &Connection) -> Result<u64> {
    let n = conn
        .prepare_cached(
            "UPDATE detections SET (to_ns, footage_to_ns) = (
                 SELECT ended_ns, ended_ns + post_ns FROM (
                     SELECT max(seen_ns, from_ns, coalesce((
                         SELECT start_ns + duration_ns FROM segments s WHERE s.camera = detections.camera
                         ORDER BY start_ns DESC LIMIT 1), 0)) AS ended_ns))
             WHERE to_ns IS NULL",
        )
        .and_then(|mut s| s.execute([]))
        .sql()?;
    Ok(n as u64)
}

/// Marks a segment that was just completed, if a detection overlaps it.
pub(super) fn mark_segment(conn: &Connection, id: SegmentId) -> Result<()> {
    conn.prepare_cached(
        "UPDATE segments SET marks = marks | 2 WHERE id = :id AND marks & 2 = 0 AND (
             EXISTS (SELECT 1 FROM detections d WHERE d.camera = segments.camera AND d.to_ns IS NULL
                     AND d.from_ns < segments.start_ns + segments.duration_ns + :margin
                     AND d.footage_from_ns < segments.start_ns + segments.duration_ns)
             OR EXISTS (SELECT 1 FROM detections d WHERE d.camera = segments.camera
                     AND d.from_ns >= segments.start_ns
                         - (SELECT longest_ns FROM detection_lengths l WHERE l.camera = segments.camera)
                     AND d.from_ns < segments.start_ns + segments.duration_ns + :margin
                     AND d.footage_from_ns < segments.start_ns + segments.duration_ns
                     AND d.footage_to_ns > segments.start_ns))",
    )
    .and_then(|mut s| s.execute(named_params! { ":id": id.0, ":margin": duration_ns(MOST_MARGIN) }))
    .sql()?;
    Ok(())
}

/// Where the scan for what overlaps a range beginning at `from` has to begin.
pub(super) fn scan_start(conn: &Connection, from: i64) -> Result<i64> {
    let longest: Option<i64> = conn
        .prepare_cached("SELECT max(longest_ns) FROM detection_lengths")
        .and_then(|mut s| s.query_row([], |r| r.get(0)))
        .sql()?;
    let open: Option<i64> = conn
        .prepare_cached("SELECT min(from_ns) FROM detections WHERE to_ns IS NULL")
        .and_then(|mut s| s.query_row([], |r| r.get(0)))
        .sql()?;
    let since = from.saturating_sub(longest.unwrap_or(0));
    Ok(open.map_or(since, |open| open.min(since)))
}

fn query(conn: &Connection, query: &DetectionQuery) -> Result<Page<Detection>> {
    let limit = query.limit.clamp(1, MAX_PAGE) as usize;
    let (from, to) = (query.range.start().as_ns(), query.range.end().as_ns());
    let until = query.cursor.map_or(to, |c| to.min(c.at_ns.saturating_add(1)));
    // One camera has an index of its own.
    let camera = match query.cameras.as_deref() {
        Some([one]) => Some(one.as_str()),
        _ => None,
    };
    let of_camera = if camera.is_some() {
        "camera = :camera AND :among IS NOT NULL"
    } else {
        ":camera IS NULL AND (:among IS NULL OR camera IN (SELECT value FROM json_each(:among)))"
    };
    let words =
        |words: Vec<&str>| (!words.is_empty()).then(|| serde_json::to_string(&words).unwrap_or_default());
    let sql = format!(
        "SELECT {COLUMNS} FROM detections
         WHERE {of_camera} AND from_ns >= :since AND from_ns < :until
           AND (from_ns >= :from OR to_ns > :from OR to_ns IS NULL)
           AND (:kinds IS NULL OR kind IN (SELECT value FROM json_each(:kinds)))
           AND (:labels IS NULL OR label IN (SELECT value FROM json_each(:labels)))
           AND score >= :score
           AND (:cursor_at IS NULL OR from_ns <> :cursor_at OR id < :cursor_id)
         ORDER BY from_ns DESC, id DESC"
    );
    let mut statement = conn.prepare_cached(&sql).sql()?;
    let mut rows = statement
        .query(named_params! {
            ":camera": camera,
            ":among": id_list(query.cameras.as_ref()),
            ":since": scan_start(conn, from)?,
            ":until": until,
            ":from": from,
            ":kinds": words(query.kinds.iter().map(|k| k.as_str()).collect()),
            ":labels": words(query.labels.iter().map(String::as_str).collect()),
            ":score": f64::from(query.min_score),
            ":cursor_at": query.cursor.map(|c| c.at_ns),
            ":cursor_id": query.cursor.map(|c| c.id),
        })
        .sql()?;
    let mut items: Vec<Detection> = Vec::new();
    while let Some(row) = rows.next().sql()? {
        if items.len() == limit {
            let next = items.last().map(|last| Cursor {
                at_ns: last.from.as_ns(),
                id: last.id.0,
            });
            return Ok(Page { items, next });
        }
        items.push(read(row).sql()?);
    }
    Ok(Page { items, next: None })
}

fn prune(conn: &Connection, before: Timestamp, with_footage: bool) -> Result<u64> {
    if !with_footage {
        let n = conn
            .prepare_cached(
                "DELETE FROM detections WHERE id IN (
                     SELECT id FROM detections WHERE from_ns < ?1 AND to_ns < ?1 ORDER BY from_ns LIMIT ?2)",
            )
            .and_then(|mut s| s.execute((before.as_ns(), PRUNE_CHUNK)))
            .sql()?;
        return Ok(n as u64);
    }
    let mut cameras = conn
        .prepare_cached(
            "SELECT camera, (SELECT start_ns FROM segments s WHERE s.camera = l.camera
                     AND (state <> 'missing' OR copies > 0) ORDER BY start_ns LIMIT 1) AS oldest_ns
             FROM detection_lengths l",
        )
        .sql()?;
    let cameras: Vec<(String, Option<i64>)> = cameras
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))
        .and_then(Iterator::collect)
        .sql()?;
    let mut total = 0;
    for (camera, oldest) in cameras {
        let before = oldest.unwrap_or(i64::MAX).min(before.as_ns());
        total += conn
            .prepare_cached(
                "DELETE FROM detections WHERE id IN (
                     SELECT id FROM detections WHERE camera = ?1 AND from_ns < ?2 AND footage_to_ns <= ?2 LIMIT ?3)",
            )
            .and_then(|mut s| s.execute((camera, before, PRUNE_CHUNK)))
            .sql()? as u64;
        if total >= u64::from(PRUNE_CHUNK) {
            break;
        }
    }
    Ok(total)
}

writes! {
    /// Enters a detection as it is, and marks the footage that belongs to it as that of an event, what grows included.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    begin_detection, begin_detection_blocking(new: NewDetection) -> Detection {
        move |conn: &Connection| begin(conn, &new)
    }

    /// Notes that something still is seen at a moment; with the highest score so far it is the moment of its picture,
    /// and what is known of that goes with it.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    update_detection, update_detection_blocking(id: DetectionId, at: Timestamp, score: f32, data: Option<String>) -> Ended {
        move |conn: &Connection| update(conn, id, at, score, data.as_deref())
    }

    /// Ends a detection, not before its begin, and marks the rest of its footage.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    end_detection, end_detection_blocking(id: DetectionId, at: Timestamp) -> Ended {
        move |conn: &Connection| end(conn, id, at)
    }

    /// Ends what this life of the recorder leaves open or the last one left so, where its footage ends, or at the moment
    /// when it was last told of if that is later. Returns how many there were.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    end_all_detections, end_all_detections_blocking() -> u64 { end_all }

    /// Forgets a detection; marks of footage stay. Returns whether it was there.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    delete_detection, delete_detection_blocking(id: DetectionId) -> bool {
        move |conn: &Connection| {
            let n = conn
                .prepare_cached("DELETE FROM detections WHERE id = ?1")
                .and_then(|mut s| s.execute([id.0]))
                .sql()?;
            Ok(n > 0)
        }
    }
}

impl Store {
    /// Detections that overlap a range, newest begin first, a page at a time.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn detections(&self, query_: &DetectionQuery) -> Result<Page<Detection>> {
        self.read(|conn| query(conn, query_))
    }

    /// One detection.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn detection(&self, id: DetectionId) -> Result<Option<Detection>> {
        self.read(|conn| one(conn, id))
    }

    /// Detections that go on.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn open_detections(&self) -> Result<Vec<Detection>> {
        self.read(|conn| {
            let sql = format!("SELECT {COLUMNS} FROM detections WHERE to_ns IS NULL ORDER BY from_ns, id");
            let mut statement = conn.prepare_cached(&sql).sql()?;
            let rows = statement.query_map([], read).sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }

    /// Forgets detections that ended before a moment; with `with_footage` only those that are older than all footage of
    /// their camera. In small steps between which others write. Returns how many.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    pub async fn prune_detections(&self, before: Timestamp, with_footage: bool) -> Result<u64> {
        let mut total = 0;
        loop {
            let n = self.write(move |conn| prune(conn, before, with_footage)).await?;
            total += n;
            if n < u64::from(PRUNE_CHUNK) {
                return Ok(total);
            }
        }
    }
}
