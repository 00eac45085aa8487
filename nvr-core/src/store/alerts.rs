//! Alerts: the engine's memory, the history, and what is on its way to channels.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::error::SqlResult;
use super::rows::{Cursor, MAX_PAGE, Page};
use super::{Store, writes};
use crate::error::Result;
use crate::time::Timestamp;

/// Messages that wait for one channel; the oldest go for newer ones.
const MOST_WAITING: u32 = 500;

/// An alert as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertRecord {
    /// Its number.
    pub id: u64,
    /// Name of the rule.
    pub rule: String,
    /// Camera.
    pub camera: Option<String>,
    /// When it fired.
    pub fired: Timestamp,
    /// When it was over.
    pub resolved: Option<Timestamp>,
    /// All of it, as JSON.
    pub detail: String,
}

/// A message on its way to a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboxRow {
    /// Its number.
    pub id: i64,
    /// When it was made.
    pub created: Timestamp,
    /// Attempts that failed.
    pub attempts: u32,
    /// When it is tried next.
    pub due: Timestamp,
    /// As JSON.
    pub message: String,
}

/// Which alerts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertsQuery {
    /// Only those of cameras in this list (and those of none); of all without.
    pub among: Option<Vec<String>>,
    /// Only those that are over (`true`) or go on (`false`).
    pub resolved: Option<bool>,
    /// Rows, 1 to 1000.
    pub limit: u32,
    /// Where the last page ended.
    pub cursor: Option<Cursor>,
}

fn ns(t: Timestamp) -> i64 {
    t.as_ns()
}

fn save(
    conn: &Connection,
    state: &str,
    alerts: &[AlertRecord],
    out: &[(String, Timestamp, String)],
) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO alert_state (id, state) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET state = excluded.state",
    )
    .and_then(|mut s| s.execute([state]))
    .sql()?;
    for a in alerts {
        conn.prepare_cached(
            "INSERT INTO alerts (id, rule, camera, fired_ns, resolved_ns, detail)
             VALUES (:id, :rule, :camera, :fired, :resolved, :detail)
             ON CONFLICT (id) DO UPDATE SET resolved_ns = excluded.resolved_ns, detail = excluded.detail",
        )
        .and_then(|mut s| {
            s.execute(named_params! {
                ":id": i64::try_from(a.id).unwrap_or(i64::MAX),
                ":rule": a.rule,
                ":camera": a.camera,
                ":fired": ns(a.fired),
                ":resolved": a.resolved.map(ns),
                ":detail": a.detail,
            })
        })
        .sql()?;
    }
    for (channel, at, message) in out {
        conn.prepare_cached(
            "INSERT INTO alert_outbox (channel, created_ns, due_ns, message) VALUES (?1, ?2, ?2, ?3)",
        )
        .and_then(|mut s| s.execute((channel, ns(*at), message)))
        .sql()?;
        conn.prepare_cached(
            "DELETE FROM alert_outbox WHERE id IN
                 (SELECT id FROM alert_outbox WHERE channel = ?1 ORDER BY id DESC LIMIT -1 OFFSET ?2)",
        )
        .and_then(|mut s| s.execute((channel, MOST_WAITING)))
        .sql()?;
    }
    Ok(())
}

fn record(row: &Row<'_>) -> rusqlite::Result<AlertRecord> {
    Ok(AlertRecord {
        id: u64::try_from(row.get::<_, i64>("id")?).unwrap_or(0),
        rule: row.get("rule")?,
        camera: row.get("camera")?,
        fired: Timestamp::from_ns(row.get("fired_ns")?),
        resolved: row.get::<_, Option<i64>>("resolved_ns")?.map(Timestamp::from_ns),
        detail: row.get("detail")?,
    })
}

writes! {
    /// Keeps the engine's memory, alerts that changed, and messages for channels (name, when made, JSON): all or none.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    save_alerts, save_alerts_blocking(
        state: String, alerts: Vec<AlertRecord>, out: Vec<(String, Timestamp, String)>
    ) -> () {
        move |conn: &Connection| save(conn, &state, &alerts, &out)
    }

    /// A message was delivered, or is given up.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    end_delivery, end_delivery_blocking(id: i64) -> () {
        move |conn: &Connection| {
            conn.prepare_cached("DELETE FROM alert_outbox WHERE id = ?1").and_then(|mut s| s.execute([id])).sql()?;
            Ok(())
        }
    }

    /// A message was not delivered and is tried again.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    put_off_delivery, put_off_delivery_blocking(id: i64, due: Timestamp) -> () {
        move |conn: &Connection| {
            conn.prepare_cached("UPDATE alert_outbox SET attempts = attempts + 1, due_ns = ?2 WHERE id = ?1")
                .and_then(|mut s| s.execute((id, ns(due))))
                .sql()?;
            Ok(())
        }
    }

    /// Forgets messages to channels that are not among these, and alerts that were over before a moment.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    tidy_alerts, tidy_alerts_blocking(channels: Vec<String>, before: Timestamp) -> () {
        move |conn: &Connection| {
            let known = serde_json::to_string(&channels).unwrap_or_default();
            conn.prepare_cached("DELETE FROM alert_outbox WHERE channel NOT IN (SELECT value FROM json_each(?1))")
                .and_then(|mut s| s.execute([known]))
                .sql()?;
            conn.prepare_cached("DELETE FROM alerts WHERE resolved_ns < ?1")
                .and_then(|mut s| s.execute([ns(before)]))
                .sql()?;
            Ok(())
        }
    }
}

impl Store {
    /// The engine's memory, if there is one.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn alert_state(&self) -> Result<Option<String>> {
        self.read(|conn| {
            conn.prepare_cached("SELECT state FROM alert_state WHERE id = 1")
                .and_then(|mut s| s.query_row([], |r| r.get(0)).optional())
                .sql()
        })
    }

    /// Alerts that fired, newest first, a page at a time.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn alerts(&self, query: &AlertsQuery) -> Result<Page<AlertRecord>> {
        let limit = query.limit.clamp(1, MAX_PAGE) as usize;
        let among = query
            .among
            .as_ref()
            .map(|a| serde_json::to_string(a).unwrap_or_default());
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT id, rule, camera, fired_ns, resolved_ns, detail FROM alerts
                     WHERE (:among IS NULL OR camera IS NULL OR camera IN (SELECT value FROM json_each(:among)))
                       AND (:over IS NULL OR (resolved_ns IS NOT NULL) = :over)
                       AND (:at IS NULL OR fired_ns < :at OR fired_ns = :at AND id < :id)
                     ORDER BY fired_ns DESC, id DESC LIMIT :limit",
                )
                .sql()?;
            let rows = statement
                .query_map(
                    named_params! {
                        ":among": among,
                        ":over": query.resolved,
                        ":at": query.cursor.map(|c| c.at_ns),
                        ":id": query.cursor.map(|c| c.id),
                        ":limit": limit as i64 + 1,
                    },
                    record,
                )
                .sql()?;
            let mut items = rows.collect::<rusqlite::Result<Vec<_>>>().sql()?;
            let more = items.len() > limit;
            items.truncate(limit);
            let next = items.last().filter(|_| more).map(|a| Cursor {
                at_ns: a.fired.as_ns(),
                id: i64::try_from(a.id).unwrap_or(i64::MAX),
            });
            Ok(Page { items, next })
        })
    }

    /// The message for a channel that is to be tried next.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn next_delivery(&self, channel: &str) -> Result<Option<OutboxRow>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT id, created_ns, attempts, due_ns, message FROM alert_outbox
                 WHERE channel = ?1 ORDER BY due_ns, id LIMIT 1",
            )
            .and_then(|mut s| {
                s.query_row([channel], |row| {
                    Ok(OutboxRow {
                        id: row.get(0)?,
                        created: Timestamp::from_ns(row.get(1)?),
                        attempts: row.get(2)?,
                        due: Timestamp::from_ns(row.get(3)?),
                        message: row.get(4)?,
                    })
                })
                .optional()
            })
            .sql()
        })
    }

    /// How many messages wait, by channel.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn deliveries_waiting(&self) -> Result<BTreeMap<String, u64>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached("SELECT channel, COUNT(*) FROM alert_outbox GROUP BY channel")
                .sql()?;
            let rows = statement
                .query_map([], |r| Ok((r.get(0)?, r.get::<_, i64>(1)?.unsigned_abs())))
                .sql()?;
            rows.collect::<rusqlite::Result<_>>().sql()
        })
    }
}
