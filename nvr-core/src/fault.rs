//! What is wrong with the storage, from what the operating system says.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind};
use crate::event::{Cause, CauseKind};

/// Sorts an I/O error into the four storage causes.
#[must_use]
pub fn classify(e: &io::Error) -> CauseKind {
    let Some(code) = e.raw_os_error() else {
        return match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CauseKind::DiskFull,
            io::ErrorKind::ReadOnlyFilesystem => CauseKind::ReadOnly,
            io::ErrorKind::NotFound => CauseKind::StorageMissing,
            _ => CauseKind::StorageError,
        };
    };
    match Errno::from_raw_os_error(code) {
        Errno::NOSPC | Errno::DQUOT => CauseKind::DiskFull,
        Errno::ROFS => CauseKind::ReadOnly,
        // What a vanished disk or network mount answers.
        Errno::NOENT | Errno::NOTDIR | Errno::STALE | Errno::NOTCONN | Errno::NODEV | Errno::NXIO => {
            CauseKind::StorageMissing
        }
        _ => CauseKind::StorageError,
    }
}

/// The storage cause of an error of this room, with its words; `None` for an error of another kind.
///
/// This is how the supervisor tells a full disk from a vanished mount.
#[must_use]
pub fn cause_of(error: &Error) -> Option<Cause> {
    let mut source = error.source();
    while let Some(s) = source {
        if let Some(fault) = s.downcast_ref::<Fault>() {
            return Some(Cause::new(fault.0, error.to_string()));
        }
        if let Some(io) = s.downcast_ref::<io::Error>() {
            return Some(Cause::new(classify(io), error.to_string()));
        }
        source = s.source();
    }
    (error.kind() == ErrorKind::Storage).then(|| Cause::new(CauseKind::StorageError, error.to_string()))
}

/// A storage fault that no system call reports, as the source of an [`Error`].
#[derive(Debug)]
struct Fault(CauseKind);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl StdError for Fault {}

/// A `Storage` error with a cause of ours.
pub(crate) fn fault(cause: CauseKind, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Storage, message).with_source(Fault(cause))
}

/// A `Storage` error from a failed system call (also when the system says "not found": that the storage is
/// gone is not the caller's `NotFound`).
pub(crate) fn storage(what: impl fmt::Display, e: impl Into<io::Error>) -> Error {
    let e = e.into();
    let hint = match classify(&e) {
        CauseKind::DiskFull => Some("free some space or shorten the retention"),
        CauseKind::ReadOnly => {
            Some("the file system is mounted read-only; look for disk errors in the system's log")
        }
        _ if e.kind() == io::ErrorKind::NotADirectory => Some("a file is in its way; name a folder"),
        CauseKind::StorageMissing => Some("check that the recordings disk is mounted"),
        _ if e.kind() == io::ErrorKind::PermissionDenied => Some("check owner and mode"),
        _ => None,
    };
    let error = Error::new(ErrorKind::Storage, format!("{what}: {e}")).with_source(e);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_survive_the_way_through_the_error() {
        for (errno, cause) in [
            (Errno::NOSPC, CauseKind::DiskFull),
            (Errno::DQUOT, CauseKind::DiskFull),
            (Errno::ROFS, CauseKind::ReadOnly),
            (Errno::NOENT, CauseKind::StorageMissing),
            (Errno::STALE, CauseKind::StorageMissing),
            (Errno::IO, CauseKind::StorageError),
        ] {
            let e = storage("write cam/x.mp4", errno).context("camera a");
            assert_eq!(e.kind(), ErrorKind::Storage);
            assert_eq!(cause_of(&e).unwrap().kind, cause);
        }
        let e = storage("x", Errno::NOTDIR);
        assert_eq!(e.hint(), Some("a file is in its way; name a folder"));
        let e = fault(CauseKind::StorageMissing, "no marker");
        assert_eq!(
            cause_of(&e).unwrap(),
            Cause::new(CauseKind::StorageMissing, "no marker")
        );
        assert_eq!(cause_of(&Error::new(ErrorKind::NotFound, "x")), None);
    }
}
