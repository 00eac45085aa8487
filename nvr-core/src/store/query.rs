//! Questions about segments.
//!
//! "What overlaps [from, to)" is answered by a range of the index (camera, start): rows that start in
//! [from - longest, to), where `longest` is the longest segment that the camera ever had (kept in
//! `totals`). Open segments have no length yet, so the range also begins no later than the first of them.

use std::collections::VecDeque;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Rows, named_params};

use super::Store;
use super::cameras::{camera_id, invalid};
use super::error::SqlResult;
use super::rows::{
    Cursor, EventQuery, MAX_PAGE, Nearest, Order, Page, SegmentQuery, SegmentRow, SegmentState, TimelineRows,
};
use super::segments::{COLUMNS, path_text, read, read_of};
use super::{events, gaps, totals};
use crate::error::Result;
use crate::ids::{CameraId, SegmentId};
use crate::time::{TimeRange, Timestamp};

/// Rows of one camera in a range of starts; the rest of the condition is checked row by row.
pub(super) fn overlap_sql(order: Order) -> String {
    let (compare, direction) = match order {
        Order::Asc => (">", "ASC"),
        Order::Desc => ("<", "DESC"),
    };
    format!(
        "SELECT {COLUMNS} FROM segments
         WHERE camera = :camera AND start_ns >= :since AND start_ns < :until
           AND (start_ns >= :from OR start_ns + duration_ns > :from OR state = 'open')
           AND (:states IS NULL
                OR instr(:states, iif(state = 'missing' AND copies > 0, 'remote', state)) > 0)
           AND (:cursor_at IS NULL OR start_ns <> :cursor_at OR id {compare} :cursor_id)
         ORDER BY start_ns {direction}, id {direction}"
    )
}

/// Where the scan for what overlaps a range beginning at `from` has to begin.
pub(super) fn scan_start(conn: &Connection, camera: &str, from: i64) -> Result<i64> {
    let longest: Option<i64> = conn
        .prepare_cached("SELECT longest_ns FROM totals WHERE camera = ?1")
        .and_then(|mut s| s.query_row([camera], |r| r.get(0)).optional())
        .sql()?;
    let open: Option<i64> = conn
        .prepare_cached("SELECT min(start_ns) FROM segments WHERE camera = ?1 AND state = 'open'")
        .and_then(|mut s| s.query_row([camera], |r| r.get(0)))
        .sql()?;
    let since = from.saturating_sub(longest.unwrap_or(0));
    Ok(open.map_or(since, |open| open.min(since)))
}

fn segments(conn: &Connection, query: &SegmentQuery) -> Result<Page<SegmentRow>> {
    let limit = query.limit.clamp(1, MAX_PAGE) as usize;
    let mut cameras = query.cameras.clone();
    if cameras.is_empty() {
        let mut all = conn.prepare_cached("SELECT id FROM cameras").sql()?;
        cameras = all
            .query_map([], |r| camera_id(r, "id"))
            .and_then(Iterator::collect)
            .sql()?;
    }
    cameras.sort_unstable();
    cameras.dedup();
    let (from, to) = (query.range.start().as_ns(), query.range.end().as_ns());
    let states = (!query.states.is_empty()).then(|| {
        query
            .states
            .iter()
            .map(|s| s.as_str())
            .collect::<Vec<_>>()
            .join(",")
    });
    let sql = overlap_sql(query.order);
    // One ordered scan per camera, all at once, merged as they come: nothing is sorted, and only what is
    // returned is read.
    let mut statements = cameras
        .iter()
        .map(|_| conn.prepare_cached(&sql))
        .collect::<rusqlite::Result<Vec<_>>>()
        .sql()?;
    let mut scans = Vec::with_capacity(cameras.len());
    for (statement, camera) in statements.iter_mut().zip(&cameras) {
        let mut since = scan_start(conn, camera.as_str(), from)?;
        let mut until = to;
        if let Some(c) = query.cursor {
            match query.order {
                Order::Asc => since = since.max(c.at_ns),
                Order::Desc => until = until.min(c.at_ns.saturating_add(1)),
            }
        }
        let rows = statement
            .query(named_params! {
                ":camera": camera.as_str(),
                ":since": since,
                ":until": until,
                ":from": from,
                ":states": states,
                ":cursor_at": query.cursor.map(|c| c.at_ns),
                ":cursor_id": query.cursor.map(|c| c.id),
            })
            .sql()?;
        scans.push((camera, rows, None));
    }
    let next = |camera: &CameraId, rows: &mut Rows<'_>| {
        let row = rows.next().sql()?;
        row.map(|r| read_of(camera.clone(), r)).transpose().sql()
    };
    for (camera, rows, head) in &mut scans {
        *head = next(camera, rows)?;
    }
    let mut items: Vec<SegmentRow> = Vec::new();
    loop {
        let heads = scans.iter_mut().filter(|(.., head)| head.is_some());
        let key = |head: &Option<SegmentRow>| head.as_ref().map(|r| (r.start, r.id));
        let first = match query.order {
            Order::Asc => heads.min_by_key(|(.., head)| key(head)),
            Order::Desc => heads.max_by_key(|(.., head)| key(head)),
        };
        let Some((camera, rows, head)) = first else {
            return Ok(Page { items, next: None });
        };
        if items.len() == limit {
            let next = items.last().map(|last| Cursor {
                at_ns: last.start.as_ns(),
                id: last.id.0,
            });
            return Ok(Page { items, next });
        }
        items.extend(head.take());
        *head = next(camera, rows)?;
    }
}

fn all_segments(conn: &Connection, query: &SegmentQuery) -> Result<Vec<SegmentRow>> {
    let mut query = query.clone();
    (query.cursor, query.limit) = (None, MAX_PAGE);
    let mut all = Vec::new();
    loop {
        let page = segments(conn, &query)?;
        all.extend(page.items);
        query.cursor = page.next;
        if query.cursor.is_none() {
            return Ok(all);
        }
    }
}

fn one(conn: &Connection, condition: &str, params: impl rusqlite::Params) -> Result<Option<SegmentRow>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM segments WHERE {condition}"))
        .and_then(|mut s| s.query_row(params, read).optional())
        .sql()
}

fn nearest(conn: &Connection, camera: &CameraId, t: Timestamp) -> Result<Nearest> {
    let mut holding = SegmentQuery::new(
        [camera.clone()],
        TimeRange::new(t, t.add_ns(1)).unwrap_or(TimeRange::ALL),
    );
    holding.states = SegmentState::FOOTAGE.to_vec();
    holding.order = Order::Desc;
    holding.limit = 1;
    let at = segments(conn, &holding)?.items.pop();
    let id = (camera.as_str(), t.as_ns());
    Ok(Nearest {
        at,
        before: one(
            conn,
            "camera = ?1 AND start_ns <= ?2 AND start_ns + duration_ns <= ?2
             AND (state IN ('closed', 'recovered') OR state = 'missing' AND copies > 0) ORDER BY start_ns DESC, id DESC LIMIT 1",
            id,
        )?,
        after: one(
            conn,
            "camera = ?1 AND start_ns > ?2 AND (state <> 'missing' OR copies > 0) ORDER BY start_ns, id LIMIT 1",
            id,
        )?,
    })
}

/// The camera's newest segment if its run has not ended. `CROSS JOIN` keeps the order: one row of each table is
/// read.
fn going_on(conn: &Connection, camera: &CameraId) -> Result<Option<TimeRange>> {
    let newest = conn
        .prepare_cached(
            "SELECT s.start_ns, s.start_ns + s.duration_ns, r.ended_at_ns IS NULL FROM segments s
             CROSS JOIN runs r ON r.camera = s.camera AND r.run = s.run
             WHERE s.camera = ?1 AND (s.state <> 'missing' OR s.copies > 0)
             ORDER BY s.start_ns DESC, s.id DESC LIMIT 1",
        )
        .and_then(|mut s| {
            s.query_row([camera.as_str()], |r| {
                let (start, end, goes_on) = (r.get(0)?, r.get(1)?, r.get(2)?);
                let range = TimeRange::new(Timestamp::from_ns(start), Timestamp::from_ns(end)).ok();
                Ok(range.filter(|_| goes_on))
            })
            .optional()
        })
        .sql()?;
    Ok(newest.flatten())
}

impl Store {
    /// Segments that overlap a range, a page at a time, ordered by start.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn segments(&self, query: &SegmentQuery) -> Result<Page<SegmentRow>> {
        self.read(|conn| segments(conn, query))
    }

    /// All segments that a query finds, from one snapshot; its cursor and limit are ignored. For ranges
    /// that are known to be bounded.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn all_segments(&self, query: &SegmentQuery) -> Result<Vec<SegmentRow>> {
        self.read(|conn| all_segments(conn, query))
    }

    /// All that a timeline of a camera is made from, of one moment; `None` when the camera was never seen.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn timeline_rows(
        &self,
        camera: &CameraId,
        range: TimeRange,
        most_events: u32,
    ) -> Result<Option<TimelineRows>> {
        let mut wanted = SegmentQuery::new([camera.clone()], range);
        wanted.states = SegmentState::FOOTAGE.to_vec();
        let mut happened = EventQuery::new(range);
        happened.camera = Some(camera.clone());
        happened.limit = most_events;
        self.read(|conn| {
            let Some(totals) = totals::totals_of(conn, camera)? else {
                return Ok(None);
            };
            Ok(Some(TimelineRows {
                totals,
                segments: all_segments(conn, &wanted)?,
                gaps: gaps::gaps(conn, camera, range)?,
                events: events::events(conn, &happened)?.items,
                going_on: going_on(conn, camera)?,
            }))
        })
    }

    /// A segment by its row number.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn segment(&self, id: SegmentId) -> Result<Option<SegmentRow>> {
        self.read(|conn| one(conn, "id = ?1", [id.0]))
    }

    /// A segment by its path relative to the recordings root.
    ///
    /// # Errors
    /// `InvalidArgument` when the path leads out of the root, `Storage` or `Corrupt` when the index
    /// cannot be read.
    pub fn segment_by_path(&self, path: &Path) -> Result<Option<SegmentRow>> {
        let path = path_text(path)?;
        self.read(|conn| one(conn, "path = ?1", [path]))
    }

    /// Segments that grow, or that a crash left so, of all cameras.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn open_segments(&self) -> Result<Vec<SegmentRow>> {
        self.read(|conn| {
            let sql =
                format!("SELECT {COLUMNS} FROM segments WHERE state = 'open' ORDER BY camera, start_ns");
            let mut statement = conn.prepare_cached(&sql).sql()?;
            let rows = statement.query_map([], read).sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }

    /// Footage of a camera around a moment.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn nearest(&self, camera: &CameraId, t: Timestamp) -> Result<Nearest> {
        self.read(|conn| nearest(conn, camera, t))
    }

    /// Every segment in the byte order of its path's text (a `-` sorts before a `/`, unlike
    /// `Path`'s own order), for comparing the index with the tree.
    ///
    /// Rows come in steps of a thousand; what others write between two steps may or may not be seen.
    #[must_use]
    pub fn all_paths(&self) -> SegmentsByPath<'_> {
        SegmentsByPath {
            store: self,
            ready: VecDeque::new(),
            last: Some(String::new()),
        }
    }
}

/// Iterator over all segments in path order, see [`Store::all_paths`]. Ends after an error.
#[derive(Debug)]
pub struct SegmentsByPath<'a> {
    store: &'a Store,
    ready: VecDeque<SegmentRow>,
    /// Path of the last row read; `None` when there is no more.
    last: Option<String>,
}

impl SegmentsByPath<'_> {
    fn fetch(&mut self, after: &str) -> Result<()> {
        const STEP: usize = 1000;
        self.ready = self.store.read(|conn| {
            let sql = format!("SELECT {COLUMNS} FROM segments WHERE path > ?1 ORDER BY path LIMIT ?2");
            let mut statement = conn.prepare_cached(&sql).sql()?;
            let rows = statement.query_map((after, STEP as i64), read).sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })?;
        if self.ready.len() == STEP
            && let Some(row) = self.ready.back()
        {
            let path = row
                .path
                .to_str()
                .ok_or_else(|| invalid("path is not UTF-8"))
                .sql()?;
            self.last = Some(path.to_owned());
        }
        Ok(())
    }
}

impl Iterator for SegmentsByPath<'_> {
    type Item = Result<SegmentRow>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() {
            let after = self.last.take()?;
            if let Err(e) = self.fetch(&after) {
                return Some(Err(e));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}
