//! Sessions, tokens and shares: what opens the door without a password.

use rusqlite::{OptionalExtension as _, Row, params};

use super::open::AccountResult as _;
use super::rows::{self, USER, cameras_text};
use super::{AccountStore, NewSessionRow, NewShare, NewToken, SessionRow, ShareRow, TokenRow};
use crate::accounts::{Scopes, TokenHash};
use crate::error::Result;
use crate::time::Timestamp;

/// Most sessions of a user; the ones not seen for longest make way.
const MAX_SESSIONS: i64 = 50;

const TOKEN: &str =
    "t.id, t.label, t.scopes, t.cameras, t.passing, t.created_ns, t.expires_ns, t.last_used_ns";
const SHARE: &str = "s.id, s.camera, s.from_ns, s.to_ns, s.created_ns, s.expires_ns";

fn token(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    Ok(TokenRow {
        id: row.get(0)?,
        label: row.get(1)?,
        scopes: Scopes::from_text(&row.get::<_, String>(2)?),
        cameras: rows::cameras(row, 3)?,
        passing: row.get(4)?,
        created: Timestamp::from_ns(row.get(5)?),
        expires: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_ns),
        last_used: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_ns),
        user: rows::user(row, 8)?,
    })
}

fn share(row: &Row<'_>) -> rusqlite::Result<ShareRow> {
    Ok(ShareRow {
        id: row.get(0)?,
        camera: rows::camera(row, 1)?,
        range: rows::range(row, 2)?,
        created: Timestamp::from_ns(row.get(4)?),
        expires: Timestamp::from_ns(row.get(5)?),
        user: rows::user(row, 6)?,
    })
}

impl AccountStore {
    pub(crate) fn add_session(&self, new: &NewSessionRow) -> Result<()> {
        self.write(|conn| {
            if let Some(old) = new.replaces {
                conn.execute("DELETE FROM sessions WHERE hash = ?1", [old.0])
                    .acc()?;
            }
            conn.execute(
                "INSERT INTO sessions (hash, user, created_ns, seen_ns, idle_ns, expires_ns)
                 VALUES (?1, ?2, ?3, ?3, ?4, ?5)",
                params![
                    new.hash.0,
                    new.user,
                    new.now.as_ns(),
                    new.idle_ns,
                    new.expires.as_ns()
                ],
            )
            .acc()?;
            conn.execute(
                "UPDATE users SET last_login_ns = ?2 WHERE id = ?1",
                params![new.user, new.now.as_ns()],
            )
            .acc()?;
            conn.execute(
                "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE user = ?1
                 ORDER BY seen_ns DESC LIMIT -1 OFFSET ?2)",
                params![new.user, MAX_SESSIONS],
            )
            .acc()?;
            Ok(())
        })
    }

    pub(crate) fn session(&self, hash: TokenHash) -> Result<Option<SessionRow>> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT s.seen_ns, s.idle_ns, s.expires_ns, {USER}
                 FROM sessions s JOIN users u ON u.id = s.user WHERE s.hash = ?1"
            ))
            .and_then(|mut s| {
                s.query_row([hash.0], |row| {
                    Ok(rows::user(row, 3)?.map(|user| SessionRow {
                        user,
                        seen: Timestamp::from_ns(row.get(0).unwrap_or_default()),
                        idle_ns: row.get(1).unwrap_or_default(),
                        expires: Timestamp::from_ns(row.get(2).unwrap_or_default()),
                    }))
                })
                .optional()
            })
            .map(Option::flatten)
            .acc()
        })
    }

    pub(crate) fn end_session(&self, hash: TokenHash) -> Result<()> {
        self.write(|conn| {
            conn.execute("DELETE FROM sessions WHERE hash = ?1", [hash.0])
                .acc()
                .map(drop)
        })
    }

    pub(crate) fn add_token(&self, new: &NewToken) -> Result<i64> {
        self.write(|conn| {
            conn.execute(
                "INSERT INTO tokens (user, label, hash, scopes, cameras, passing, created_ns, expires_ns)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    new.user,
                    new.label,
                    new.hash.0,
                    new.scopes.to_text(),
                    cameras_text(&new.cameras),
                    new.passing,
                    new.created.as_ns(),
                    new.expires.map(Timestamp::as_ns)
                ],
            )
            .acc()?;
            Ok(conn.last_insert_rowid())
        })
    }

    pub(crate) fn token(&self, hash: TokenHash) -> Result<Option<TokenRow>> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {TOKEN}, {USER} FROM tokens t LEFT JOIN users u ON u.id = t.user WHERE t.hash = ?1"
            ))
            .and_then(|mut s| s.query_row([hash.0], token).optional())
            .acc()
        })
    }

    pub(crate) fn tokens(&self) -> Result<Vec<TokenRow>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(&format!(
                    "SELECT {TOKEN}, {USER} FROM tokens t LEFT JOIN users u ON u.id = t.user
                     WHERE t.passing = 0 ORDER BY t.id"
                ))
                .acc()?;
            statement.query_map([], token).and_then(Iterator::collect).acc()
        })
    }

    /// Of a user alone if one is given; whether there was one.
    pub(crate) fn remove_token(&self, id: i64, user: Option<i64>) -> Result<bool> {
        self.write(|conn| {
            conn.execute(
                "DELETE FROM tokens WHERE id = ?1 AND (?2 IS NULL OR user = ?2)",
                params![id, user],
            )
            .acc()
            .map(|n| n > 0)
        })
    }

    pub(crate) fn add_share(&self, new: &NewShare) -> Result<i64> {
        self.write(|conn| {
            conn.execute(
                "INSERT INTO shares (user, hash, camera, from_ns, to_ns, created_ns, expires_ns)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    new.user,
                    new.hash.0,
                    new.camera.as_str(),
                    new.range.start().as_ns(),
                    new.range.end().as_ns(),
                    new.created.as_ns(),
                    new.expires.as_ns()
                ],
            )
            .acc()?;
            Ok(conn.last_insert_rowid())
        })
    }

    pub(crate) fn share(&self, hash: TokenHash) -> Result<Option<ShareRow>> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {SHARE}, {USER} FROM shares s LEFT JOIN users u ON u.id = s.user WHERE s.hash = ?1"
            ))
            .and_then(|mut s| s.query_row([hash.0], share).optional())
            .acc()
        })
    }

    pub(crate) fn shares(&self) -> Result<Vec<ShareRow>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(&format!(
                    "SELECT {SHARE}, {USER} FROM shares s LEFT JOIN users u ON u.id = s.user ORDER BY s.id"
                ))
                .acc()?;
            statement.query_map([], share).and_then(Iterator::collect).acc()
        })
    }

    pub(crate) fn remove_share(&self, id: i64) -> Result<bool> {
        self.write(|conn| {
            conn.execute("DELETE FROM shares WHERE id = ?1", [id])
                .acc()
                .map(|n| n > 0)
        })
    }
}
