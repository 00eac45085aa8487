//! Events: what happened, kept for a while.

use rusqlite::{Connection, named_params};

use super::cameras::invalid;
use super::error::SqlResult;
use super::rows::{Cursor, EventQuery, EventRow, MAX_PAGE, Order, Page, id_list};
use super::{Store, detections, writes};
use crate::detection::DetectionId;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventKind};
use crate::ids::CameraId;
use crate::time::Timestamp;

/// Rows deleted in one operation, so that pruning does not hold up the recorder.
const PRUNE_CHUNK: u32 = 5000;

fn insert(conn: &Connection, events: &[Event]) -> Result<()> {
    let mut statement = conn
        .prepare_cached("INSERT INTO events (at_ns, camera, kind, detail) VALUES (?1, ?2, ?3, ?4)")
        .sql()?;
    for event in events {
        let detail = serde_json::to_string(&event.kind)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("event {}: {e}", event.kind.name())))?;
        statement
            .execute((
                event.at.as_ns(),
                event.camera.as_ref().map(CameraId::as_str),
                event.kind.name(),
                detail,
            ))
            .sql()?;
    }
    Ok(())
}

fn prune(conn: &Connection, before: Timestamp) -> Result<u64> {
    let n = conn
        .prepare_cached(
            "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at_ns < ?1 ORDER BY at_ns LIMIT ?2)",
        )
        .and_then(|mut s| s.execute((before.as_ns(), PRUNE_CHUNK)))
        .sql()?;
    Ok(n as u64)
}

writes! {
    /// Enters an event.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    add_event, add_event_blocking(event: Event) -> () {
        move |conn: &Connection| insert(conn, std::slice::from_ref(&event))
    }

    /// Enters several events at once.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written (then none is entered).
    add_events, add_events_blocking(events: Vec<Event>) -> () {
        move |conn: &Connection| insert(conn, &events)
    }
}

impl Store {
    /// Forgets the events before `before`, in small steps between which others write; returns how many.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    pub async fn prune_events(&self, before: Timestamp) -> Result<u64> {
        let mut total = 0;
        loop {
            let n = self.write(move |conn| prune(conn, before)).await?;
            total += n;
            if n < u64::from(PRUNE_CHUNK) {
                return Ok(total);
            }
        }
    }

    /// As [`prune_events`](Self::prune_events), waiting in place; panics when called from async code.
    ///
    /// # Errors
    /// As [`prune_events`](Self::prune_events).
    pub fn prune_events_blocking(&self, before: Timestamp) -> Result<u64> {
        let mut total = 0;
        loop {
            let n = self.write_blocking(move |conn| prune(conn, before))?;
            total += n;
            if n < u64::from(PRUNE_CHUNK) {
                return Ok(total);
            }
        }
    }

    /// Events, a page at a time. Those whose kind this version does not know are left out.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn events(&self, query: &EventQuery) -> Result<Page<EventRow>> {
        self.read(|conn| events(conn, query))
    }
}

/// What `LIKE` finds a text anywhere by.
fn pattern(text: &str) -> String {
    let mut out = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('%');
    out
}

pub(super) fn events(conn: &Connection, query: &EventQuery) -> Result<Page<EventRow>> {
    let limit = query.limit.clamp(1, MAX_PAGE) as usize;
    let (mut from, mut to) = (query.range.start().as_ns(), query.range.end().as_ns());
    let ascending = query.order == Order::Asc;
    if let Some(c) = query.cursor {
        if ascending {
            from = from.max(c.at_ns);
        } else {
            to = to.min(c.at_ns.saturating_add(1));
        }
    }
    // What is compared with the bound of the cursor: the row itself lies just outside the page.
    let (compare, direction) = if ascending { (">", "ASC") } else { ("<", "DESC") };
    let camera = if query.camera.is_some() {
        "AND camera = :camera"
    } else {
        "AND :camera IS NULL"
    };
    let sql = format!(
        "SELECT id, at_ns, camera, detail FROM events
         WHERE at_ns >= :from AND at_ns < :to {camera}
           AND (:among IS NULL OR camera IN (SELECT value FROM json_each(:among))
                OR kind = 'booking_changed' AND EXISTS (SELECT 1 FROM json_each(detail, '$.cameras') AS booked
                   WHERE booked.value IN (SELECT value FROM json_each(:among))))
           AND (:kinds IS NULL OR instr(:kinds, ',' || kind || ',') > 0)
           AND (:text IS NULL OR camera LIKE :text ESCAPE '\\'
                OR EXISTS (SELECT 1 FROM json_tree(detail) WHERE atom LIKE :text ESCAPE '\\'))
           AND (:cursor_at IS NULL OR at_ns <> :cursor_at OR id {compare} :cursor_id)
         UNION ALL
         SELECT -id, from_ns, camera, '' FROM detections
         WHERE :detections IS NOT NULL AND from_ns >= :from AND from_ns < :to {camera}
           AND (:among IS NULL OR camera IN (SELECT value FROM json_each(:among)))
           AND (:detections = '[]' OR kind IN (SELECT value FROM json_each(:detections)))
           AND (:text IS NULL OR camera LIKE :text ESCAPE '\\' OR kind LIKE :text ESCAPE '\\'
                OR label LIKE :text ESCAPE '\\' OR zone LIKE :text ESCAPE '\\' OR source LIKE :text ESCAPE '\\'
                OR data LIKE :text ESCAPE '\\')
           AND (:cursor_at IS NULL OR from_ns <> :cursor_at OR -id {compare} :cursor_id)
         ORDER BY 2 {direction}, 1 {direction}"
    );
    let kinds = (!query.kinds.is_empty()).then(|| format!(",{},", query.kinds.join(",")));
    let wanted = query.detections.as_ref();
    let wanted = wanted.map(|kinds| serde_json::to_string(kinds).unwrap_or_default());
    let mut statement = conn.prepare_cached(&sql).sql()?;
    let mut rows = statement
        .query(named_params! {
            ":from": from,
            ":to": to,
            ":camera": query.camera.as_ref().map(CameraId::as_str),
            ":among": id_list(query.among.as_ref()),
            ":kinds": kinds,
            ":detections": wanted,
            ":text": query.text.as_deref().map(pattern),
            ":cursor_at": query.cursor.map(|c| c.at_ns),
            ":cursor_id": query.cursor.map(|c| c.id),
        })
        .sql()?;
    let mut items: Vec<EventRow> = Vec::new();
    while let Some(row) = rows.next().sql()? {
        if items.len() == limit {
            let next = items.last().map(|last| Cursor {
                at_ns: last.event.at.as_ns(),
                id: last.id,
            });
            return Ok(Page { items, next });
        }
        let id: i64 = row.get("id").sql()?;
        let detail = row.get_ref("detail").and_then(|v| Ok(v.as_str()?)).sql()?;
        let kind = if id < 0 {
            // Of one moment with the list, so it is there.
            detections::one(conn, DetectionId(-id))?.map(|d| EventKind::DetectionStarted {
                detection: Box::new(d),
            })
        } else {
            let kind = serde_json::from_str::<EventKind>(detail);
            kind.inspect_err(|e| tracing::debug!(error = %e, "an event in the index is of an unknown kind"))
                .ok()
        };
        let Some(kind) = kind else { continue };
        let camera: Option<String> = row.get("camera").sql()?;
        let camera = camera
            .map(|c| CameraId::new(&c))
            .transpose()
            .map_err(invalid)
            .sql()?;
        let at = Timestamp::from_ns(row.get("at_ns").sql()?);
        items.push(EventRow {
            id,
            event: Event::new(at, camera, kind),
        });
    }
    Ok(Page { items, next: None })
}
