//! SQLite errors in terms of the crate: what is the disk's fault, what is a broken file, what is ours.

use rusqlite::ErrorCode;

use crate::error::{Error, ErrorKind};

/// What to do about a broken index.
pub(super) const REBUILD: &str =
    "run `nvr check --rebuild` to make a new index from the files; no footage is lost";

/// Translates; the message of the cause is part of the message, because callers only print that.
pub(super) fn from_sqlite(e: rusqlite::Error) -> Error {
    let (kind, message, hint) = classify(&e);
    let error = Error::new(kind, message).with_source(e);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// One failure shared by all operations of a batch.
#[derive(Clone, Debug)]
pub(super) struct BatchFailure {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    connection_lost: bool,
}

impl BatchFailure {
    pub(super) fn of(e: &Error) -> Self {
        let code = std::error::Error::source(e)
            .and_then(|s| s.downcast_ref::<rusqlite::Error>())
            .and_then(rusqlite::Error::sqlite_error_code);
        Self {
            kind: e.kind(),
            message: e.to_string(),
            hint: e.hint().map(str::to_owned),
            connection_lost: matches!(
                code,
                Some(
                    ErrorCode::SystemIoFailure
                        | ErrorCode::CannotOpen
                        | ErrorCode::ReadOnly
                        | ErrorCode::DatabaseCorrupt
                        | ErrorCode::NotADatabase
                )
            ),
        }
    }

    /// Whether the connection is better opened anew than used again.
    pub(super) fn is_connection_lost(&self) -> bool {
        self.connection_lost
    }

    pub(super) fn to_error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone());
        match &self.hint {
            Some(hint) => error.with_hint(hint.clone()),
            None => error,
        }
    }
}

impl std::fmt::Display for BatchFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

fn classify(e: &rusqlite::Error) -> (ErrorKind, String, Option<&'static str>) {
    use rusqlite::Error as E;
    match e {
        E::SqliteFailure(failure, _) => {
            let (kind, hint) = classify_code(failure.code, failure.extended_code);
            (kind, format!("index: {e}"), hint)
        }
        E::QueryReturnedNoRows => (ErrorKind::NotFound, "index: no such row".to_owned(), None),
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..)
        | E::Utf8Error(..) => (
            ErrorKind::Corrupt,
            format!("index: a row holds what it should not: {e}"),
            Some(REBUILD),
        ),
        _ => (ErrorKind::Internal, format!("index: {e}"), None),
    }
}

pub(super) fn classify_code(code: ErrorCode, extended: i32) -> (ErrorKind, Option<&'static str>) {
    match code {
        ErrorCode::DiskFull => (ErrorKind::Storage, Some("free some space where the index lies")),
        ErrorCode::ReadOnly if extended == rusqlite::ffi::SQLITE_READONLY_DBMOVED => (
            ErrorKind::Storage,
            Some("the index file was moved or deleted while in use; put it back or restart"),
        ),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => (
            ErrorKind::Storage,
            Some("check the mount, owner and mode of the index file and its folder"),
        ),
        ErrorCode::SystemIoFailure | ErrorCode::NoLargeFileSupport | ErrorCode::FileLockingProtocolFailed => {
            (ErrorKind::Storage, Some("check the disk that holds the index"))
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => (
            ErrorKind::Busy,
            Some("another program holds the index for long; try again or stop it"),
        ),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => (ErrorKind::Corrupt, Some(REBUILD)),
        ErrorCode::ConstraintViolation
            if extended == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
                || extended == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY =>
        {
            (ErrorKind::AlreadyExists, None)
        }
        ErrorCode::ConstraintViolation if extended == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY => {
            (ErrorKind::NotFound, None)
        }
        ErrorCode::ConstraintViolation => (ErrorKind::InvalidArgument, None),
        _ => (ErrorKind::Internal, None),
    }
}

/// Shorthand for results of SQLite.
pub(super) trait SqlResult<T> {
    fn sql(self) -> crate::error::Result<T>;
}

impl<T> SqlResult<T> for rusqlite::Result<T> {
    fn sql(self) -> crate::error::Result<T> {
        self.map_err(from_sqlite)
    }
}
