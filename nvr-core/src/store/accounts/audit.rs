//! The audit log, notes of use, and forgetting.

use rusqlite::params;

use super::open::AccountResult as _;
use super::{AccountStore, AuditQuery, AuditRow};
use crate::accounts::TokenHash;
use crate::error::Result;
use crate::ids::CameraId;
use crate::store::{Cursor, MAX_PAGE, Page};
use crate::time::Timestamp;

impl AccountStore {
    /// Enters what was done, and when sessions and tokens were last used, in one go.
    pub(crate) fn note(
        &self,
        entries: &[AuditRow],
        seen: &[(TokenHash, Timestamp)],
        used: &[(i64, Timestamp)],
    ) -> Result<()> {
        self.write(|conn| {
            let mut insert = conn
                .prepare_cached(
                    "INSERT INTO audit (at_ns, user, address, action, camera, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )
                .acc()?;
            for e in entries {
                insert
                    .execute(params![
                        e.at.as_ns(),
                        e.user,
                        e.address,
                        e.action,
                        e.camera.as_ref().map(CameraId::as_str),
                        e.detail
                    ])
                    .acc()?;
            }
            for (hash, at) in seen {
                conn.execute(
                    "UPDATE sessions SET seen_ns = max(seen_ns, ?2) WHERE hash = ?1",
                    params![hash.0, at.as_ns()],
                )
                .acc()?;
            }
            for (id, at) in used {
                conn.execute("UPDATE tokens SET last_used_ns = ?2 WHERE id = ?1", params![id, at.as_ns()])
                    .acc()?;
            }
            Ok(())
        })
    }

    pub(crate) fn audit(&self, query: &AuditQuery) -> Result<Page<AuditRow>> {
        let limit = query.limit.clamp(1, MAX_PAGE) as usize;
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT id, at_ns, user, address, action, camera, detail FROM audit
                     WHERE (?1 IS NULL OR user = ?1) AND (?2 IS NULL OR action = ?2)
                       AND (?3 IS NULL OR id < ?3)
                     ORDER BY id DESC LIMIT ?4",
                )
                .acc()?;
            let rows = statement
                .query_map(
                    params![
                        query.user,
                        query.action,
                        query.cursor.map(|c| c.id),
                        limit as i64 + 1
                    ],
                    |row| {
                        let camera: Option<String> = row.get(5)?;
                        Ok((
                            row.get::<_, i64>(0)?,
                            AuditRow {
                                at: Timestamp::from_ns(row.get(1)?),
                                user: row.get(2)?,
                                address: row.get(3)?,
                                action: row.get(4)?,
                                camera: camera.and_then(|c| CameraId::new(&c).ok()),
                                detail: row.get(6)?,
                            },
                        ))
                    },
                )
                .acc()?;
            let mut rows: Vec<(i64, AuditRow)> = rows.collect::<rusqlite::Result<_>>().acc()?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let next = rows.last().filter(|_| more).map(|(id, row)| Cursor {
                at_ns: row.at.as_ns(),
                id: *id,
            });
            Ok(Page {
                items: rows.into_iter().map(|(_, row)| row).collect(),
                next,
            })
        })
    }

    /// Forgets what is over: entries of the log before `audit_before`, and whatever has expired.
    pub(crate) fn forget(&self, audit_before: Timestamp, now: Timestamp) -> Result<()> {
        self.write(|conn| {
            let run = |sql, at: Timestamp| conn.execute(sql, [at.as_ns()]).acc().map(drop);
            run("DELETE FROM audit WHERE at_ns < ?1", audit_before)?;
            run(
                "DELETE FROM sessions WHERE expires_ns <= ?1 OR seen_ns + idle_ns <= ?1",
                now,
            )?;
            run("DELETE FROM tokens WHERE passing = 1 AND expires_ns <= ?1", now)?;
            run("DELETE FROM shares WHERE expires_ns <= ?1", now)?;
            run("DELETE FROM setup WHERE expires_ns <= ?1", now)
        })
    }
}
