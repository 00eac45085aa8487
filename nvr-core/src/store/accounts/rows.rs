//! Rows of the accounts' file.

use rusqlite::Row;

use crate::accounts::{CameraSet, Role, Scopes, TokenHash, UserName};
use crate::error::{Error, ErrorKind};
use crate::ids::CameraId;
use crate::store::Cursor;
use crate::time::{TimeRange, Timestamp};

/// A user.
#[derive(Clone, Debug)]
pub(crate) struct UserRow {
    pub(crate) id: i64,
    pub(crate) name: UserName,
    pub(crate) role: Role,
    pub(crate) cameras: CameraSet,
    /// Argon2id in PHC's form.
    pub(crate) password: String,
    pub(crate) created: Timestamp,
    pub(crate) last_login: Option<Timestamp>,
}

/// A user to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewUser {
    pub(crate) name: UserName,
    pub(crate) role: Role,
    pub(crate) cameras: CameraSet,
    pub(crate) password: String,
    pub(crate) created: Timestamp,
}

/// What is to become different about a user.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserChange {
    pub(crate) role: Option<Role>,
    pub(crate) cameras: Option<CameraSet>,
    pub(crate) password: Option<String>,
    /// The session that goes on when the password changes.
    pub(crate) keep: Option<TokenHash>,
}

/// A login of a browser to be noted.
#[derive(Clone, Debug)]
pub(crate) struct NewSessionRow {
    pub(crate) hash: TokenHash,
    pub(crate) user: i64,
    pub(crate) now: Timestamp,
    pub(crate) idle_ns: i64,
    pub(crate) expires: Timestamp,
    /// A session that ends with this one's begin.
    pub(crate) replaces: Option<TokenHash>,
}

/// A login of a browser, with its user.
#[derive(Clone, Debug)]
pub(crate) struct SessionRow {
    pub(crate) user: UserRow,
    pub(crate) seen: Timestamp,
    pub(crate) idle_ns: i64,
    pub(crate) expires: Timestamp,
}

/// A token to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewToken {
    pub(crate) user: Option<i64>,
    pub(crate) label: String,
    pub(crate) hash: TokenHash,
    pub(crate) scopes: Scopes,
    pub(crate) cameras: CameraSet,
    pub(crate) passing: bool,
    pub(crate) created: Timestamp,
    pub(crate) expires: Option<Timestamp>,
}

/// A token of a program.
#[derive(Clone, Debug)]
pub(crate) struct TokenRow {
    pub(crate) id: i64,
    pub(crate) user: Option<UserRow>,
    pub(crate) label: String,
    pub(crate) scopes: Scopes,
    pub(crate) cameras: CameraSet,
    pub(crate) passing: bool,
    pub(crate) created: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) last_used: Option<Timestamp>,
}

/// A share to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewShare {
    pub(crate) user: Option<i64>,
    pub(crate) hash: TokenHash,
    pub(crate) camera: CameraId,
    pub(crate) range: TimeRange,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
}

/// Footage that is shared.
#[derive(Clone, Debug)]
pub(crate) struct ShareRow {
    pub(crate) id: i64,
    pub(crate) user: Option<UserRow>,
    pub(crate) camera: CameraId,
    pub(crate) range: TimeRange,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
}

/// Who did what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AuditRow {
    pub(crate) at: Timestamp,
    pub(crate) user: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) action: String,
    pub(crate) camera: Option<CameraId>,
    pub(crate) detail: String,
}

/// Which entries of the audit log, newest first.
#[derive(Clone, Debug)]
pub(crate) struct AuditQuery {
    pub(crate) user: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) limit: u32,
    pub(crate) cursor: Option<Cursor>,
}

/// The columns of a user, in the order of [`user`].
pub(super) const USER: &str = "u.id, u.name, u.role, u.cameras, u.password, u.created_ns, u.last_login_ns";

fn bad(e: Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e))
}

/// The user whose columns begin at `at`; `None` where they are null.
pub(super) fn user(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<UserRow>> {
    let Some(id) = row.get(at)? else { return Ok(None) };
    let role: String = row.get(at + 2)?;
    Ok(Some(UserRow {
        id,
        name: UserName::new(&row.get::<_, String>(at + 1)?).map_err(bad)?,
        role: Role::from_name(&role)
            .ok_or_else(|| bad(Error::new(ErrorKind::Corrupt, format!("role {role:?}"))))?,
        cameras: cameras(row, at + 3)?,
        password: row.get(at + 4)?,
        created: Timestamp::from_ns(row.get(at + 5)?),
        last_login: row.get::<_, Option<i64>>(at + 6)?.map(Timestamp::from_ns),
    }))
}

pub(super) fn cameras(row: &Row<'_>, at: usize) -> rusqlite::Result<CameraSet> {
    let text: Option<String> = row.get(at)?;
    let Some(text) = text else {
        return Ok(CameraSet::all());
    };
    serde_json::from_str::<Vec<CameraId>>(&text)
        .map(CameraSet::only)
        .map_err(|e| bad(Error::new(ErrorKind::Corrupt, e.to_string())))
}

pub(super) fn cameras_text(set: &CameraSet) -> Option<String> {
    set.ids()
        .map(|ids| serde_json::to_string(&ids.collect::<Vec<_>>()).unwrap_or_default())
}

pub(super) fn camera(row: &Row<'_>, at: usize) -> rusqlite::Result<CameraId> {
    CameraId::new(&row.get::<_, String>(at)?).map_err(bad)
}

pub(super) fn range(row: &Row<'_>, at: usize) -> rusqlite::Result<TimeRange> {
    TimeRange::new(
        Timestamp::from_ns(row.get(at)?),
        Timestamp::from_ns(row.get(at + 1)?),
    )
    .map_err(bad)
}
