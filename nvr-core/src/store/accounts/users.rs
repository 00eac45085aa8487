//! Users, and the one token with which the first is made.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::open::AccountResult as _;
use super::rows::{self, USER, cameras_text};
use super::{AccountStore, NewUser, UserChange, UserRow};
use crate::accounts::{Role, TokenHash, UserName};
use crate::error::{Error, ErrorKind, Result};
use crate::time::Timestamp;

/// Administrators for all cameras.
const MANAGER: &str = "SELECT 1 FROM users WHERE role = 'admin' AND cameras IS NULL";

fn find(conn: &Connection, name: &str) -> Result<Option<UserRow>> {
    conn.prepare_cached(&format!("SELECT {USER} FROM users u WHERE u.name = ?1"))
        .and_then(|mut s| s.query_row([name], |row| rows::user(row, 0)).optional())
        .map(Option::flatten)
        .acc()
}

pub(super) fn insert(conn: &Connection, new: &NewUser) -> Result<i64> {
    let made = conn.execute(
        "INSERT INTO users (name, role, cameras, password, created_ns) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            new.name.as_str(),
            new.role.as_str(),
            cameras_text(&new.cameras),
            new.password,
            new.created.as_ns()
        ],
    );
    made.acc().map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => Error::new(
            ErrorKind::AlreadyExists,
            format!("there is a user {} already", new.name),
        ),
        _ => e,
    })?;
    Ok(conn.last_insert_rowid())
}

fn no_user(name: &UserName) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no user {name}"))
}

/// Refuses to leave a recorder whose users nobody could manage any more.
fn require_admin(conn: &Connection) -> Result<()> {
    let admins: i64 = conn
        .query_row(
            "SELECT count(*) FROM users WHERE role = 'admin' AND cameras IS NULL",
            [],
            |r| r.get(0),
        )
        .acc()?;
    if admins == 0 {
        return Err(Error::new(
            ErrorKind::Conflict,
            "this is the last administrator for all cameras",
        )
        .with_hint("make another one first"));
    }
    Ok(())
}

impl AccountStore {
    /// The name of this recorder among others under the same host name.
    pub(crate) fn instance(&self) -> Result<String> {
        self.read(|conn| {
            conn.query_row("SELECT value FROM meta WHERE key = 'instance'", [], |r| r.get(0))
                .acc()
        })
    }

    pub(crate) fn user(&self, name: &str) -> Result<Option<UserRow>> {
        self.read(|conn| find(conn, name))
    }

    pub(crate) fn users(&self) -> Result<Vec<UserRow>> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(&format!("SELECT {USER} FROM users u ORDER BY u.name"))
                .acc()?;
            let all = statement.query_map([], |row| rows::user(row, 0)).acc()?;
            all.filter_map(rusqlite::Result::transpose)
                .collect::<rusqlite::Result<_>>()
                .acc()
        })
    }

    /// Whether there is somebody who can manage users. A viewer of a provider may be there first.
    pub(crate) fn has_users(&self) -> Result<bool> {
        self.read(|conn| {
            conn.query_row(&format!("SELECT EXISTS ({MANAGER})"), [], |r| r.get(0))
                .acc()
        })
    }

    pub(crate) fn add_user(&self, new: &NewUser) -> Result<i64> {
        self.write(|conn| {
            let id = insert(conn, new)?;
            // Whoever is there first decides who comes next.
            require_admin(conn).map_err(|_| {
                Error::new(
                    ErrorKind::Conflict,
                    "the first user has to be an administrator for all cameras",
                )
            })?;
            conn.execute("DELETE FROM setup", []).acc()?;
            Ok(id)
        })
    }

    pub(crate) fn change_user(&self, name: &UserName, change: &UserChange) -> Result<UserRow> {
        self.write(|conn| {
            let user = find(conn, name.as_str())?.ok_or_else(|| no_user(name))?;
            if let Some(role) = change.role {
                conn.execute(
                    "UPDATE users SET role = ?2 WHERE id = ?1",
                    params![user.id, role.as_str()],
                )
                .acc()?;
            }
            if let Some(cameras) = &change.cameras {
                conn.execute(
                    "UPDATE users SET cameras = ?2 WHERE id = ?1",
                    params![user.id, cameras_text(cameras)],
                )
                .acc()?;
            }
            if let Some(password) = &change.password {
                conn.execute(
                    "UPDATE users SET password = ?2 WHERE id = ?1",
                    params![user.id, password],
                )
                .acc()?;
                conn.execute(
                    "DELETE FROM sessions WHERE user = ?1 AND hash IS NOT ?2",
                    params![user.id, change.keep.map(|h| h.0)],
                )
                .acc()?;
            }
            if user.role == Role::Admin {
                require_admin(conn)?;
            }
            find(conn, name.as_str())?.ok_or_else(|| no_user(name))
        })
    }

    pub(crate) fn remove_user(&self, name: &UserName) -> Result<()> {
        self.write(|conn| {
            let gone = conn
                .execute("DELETE FROM users WHERE name = ?1", [name.as_str()])
                .acc()?;
            if gone == 0 {
                return Err(no_user(name));
            }
            require_admin(conn)
        })
    }

    /// Sets the token with which the first account is made, in the place of an older one. `false` when there is an
    /// account.
    pub(crate) fn set_setup(&self, hash: TokenHash, expires: Timestamp) -> Result<bool> {
        self.write(|conn| {
            let n = conn
                .execute(
                    &format!(
                        "INSERT OR REPLACE INTO setup (one, hash, expires_ns)
                         SELECT 1, ?1, ?2 WHERE NOT EXISTS ({MANAGER})"
                    ),
                    params![hash.0, expires.as_ns()],
                )
                .acc()?;
            Ok(n > 0)
        })
    }

    /// Makes the first account for whoever has the token; `None` when it is not that, too old, or an account is there.
    pub(crate) fn first_user(&self, hash: TokenHash, new: &NewUser) -> Result<Option<i64>> {
        self.write(|conn| {
            let used = conn
                .execute(
                    &format!(
                        "DELETE FROM setup WHERE hash = ?1 AND expires_ns > ?2 AND NOT EXISTS ({MANAGER})"
                    ),
                    params![hash.0, new.created.as_ns()],
                )
                .acc()?;
            if used == 0 {
                return Ok(None);
            }
            insert(conn, new).map(Some)
        })
    }
}
