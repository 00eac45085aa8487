//! Users whom a provider of logins answers for.

use rusqlite::{OptionalExtension as _, params};

use super::open::AccountResult as _;
use super::rows::{self, USER, cameras_text};
use super::users::insert;
use super::{AccountStore, NewUser, UserRow};
use crate::error::{Error, ErrorKind, Result};

impl AccountStore {
    /// The user of a provider's subject, with the role and cameras of now; made when there is none.
    pub(crate) fn external_user(&self, issuer: &str, subject: &str, now: &NewUser) -> Result<UserRow> {
        self.write(|conn| {
            let known: Option<i64> = conn
                .query_row(
                    "SELECT user FROM external WHERE issuer = ?1 AND subject = ?2",
                    [issuer, subject],
                    |r| r.get(0),
                )
                .optional()
                .acc()?;
            let id = match known {
                Some(id) => {
                    conn.execute(
                        "UPDATE users SET role = ?2, cameras = ?3 WHERE id = ?1",
                        params![id, now.role.as_str(), cameras_text(&now.cameras)],
                    )
                    .acc()?;
                    id
                }
                None => {
                    let id = insert(conn, now).map_err(|e| match e.kind() {
                        ErrorKind::AlreadyExists => Error::new(
                            ErrorKind::Conflict,
                            format!("{} is the name of another user", now.name),
                        )
                        .with_hint("remove that one, or let `oidc.user_claim` name another claim"),
                        _ => e,
                    })?;
                    conn.execute(
                        "INSERT INTO external (user, issuer, subject) VALUES (?1, ?2, ?3)",
                        params![id, issuer, subject],
                    )
                    .acc()?;
                    id
                }
            };
            conn.prepare_cached(&format!("SELECT {USER} FROM users u WHERE u.id = ?1"))
                .and_then(|mut s| s.query_row([id], |row| rows::user(row, 0)))
                .acc()?
                .ok_or_else(|| Error::new(ErrorKind::Corrupt, "accounts: a user without a name"))
        })
    }

    /// The provider that answers for a user; `None` for one with a password of his own.
    pub(crate) fn provider_of(&self, user: i64) -> Result<Option<String>> {
        self.read(|conn| {
            let mut found = conn
                .prepare_cached("SELECT issuer FROM external WHERE user = ?1")
                .acc()?;
            let mut rows = found.query([user]).acc()?;
            let row = rows.next().acc()?;
            row.map(|r| r.get(0)).transpose().acc()
        })
    }

    /// Whether there is a user of a provider's subject.
    pub(crate) fn has_external(&self, issuer: &str, subject: &str) -> Result<bool> {
        self.read(|conn| {
            conn.query_row(
                "SELECT EXISTS (SELECT 1 FROM external WHERE issuer = ?1 AND subject = ?2)",
                [issuer, subject],
                |r| r.get(0),
            )
            .acc()
        })
    }
}
