//! The one table from a kind of error to exit code and hint.

use std::io::Write as _;
use std::process::ExitCode;

use nvr_core::error::{Error, ErrorKind};

/// Exit code of a second signal during shutdown.
pub const CUT: u8 = 130;

/// Kind, exit code, what can be done where the error itself does not say. Documented in `docs/cli.md`.
pub const TABLE: [(ErrorKind, u8, &str); 13] = [
    (
        ErrorKind::Internal,
        1,
        "this is a fault in nvr: please report it with the log of `-vv`",
    ),
    (ErrorKind::InvalidArgument, 2, "see `nvr --help`"),
    (
        ErrorKind::Config,
        3,
        "`nvr validate` shows every mistake in the configuration",
    ),
    (
        ErrorKind::NotFound,
        4,
        "`nvr cameras` and `nvr timeline` show what there is",
    ),
    (
        ErrorKind::AlreadyExists,
        5,
        "choose another name, or remove what is there",
    ),
    (ErrorKind::Conflict, 6, "`nvr status` shows the present state"),
    (ErrorKind::Busy, 7, "try again later"),
    (
        ErrorKind::Unauthorized,
        8,
        "check user and password of the camera",
    ),
    (
        ErrorKind::Unavailable,
        9,
        "check that it is switched on and can be reached from here",
    ),
    (ErrorKind::Timeout, 10, "try again, or check the network"),
    (
        ErrorKind::Unsupported,
        11,
        "`nvr detect` shows what works on this machine",
    ),
    (
        ErrorKind::Storage,
        12,
        "check the disk: space, mount, owner and mode",
    ),
    (
        ErrorKind::Corrupt,
        13,
        "`nvr check` finds what is broken, `nvr check --repair` mends it",
    ),
];

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// To be told.
    Error(Error),
    /// The result is printed already; only the code is left to give.
    Told(ErrorKind),
    /// Nobody reads the output any more.
    Closed,
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Error(e)
    }
}

impl From<std::io::Error> for Failure {
    /// Of writing a result.
    fn from(e: std::io::Error) -> Self {
        if e.kind() == std::io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Error(Error::io("output", e))
        }
    }
}

/// The exit code of a kind.
pub fn code(kind: ErrorKind) -> u8 {
    TABLE
        .iter()
        .find(|(k, ..)| *k == kind)
        .map_or(1, |(_, code, _)| *code)
}

/// What can be done about a kind where the error itself does not say.
pub fn hint(kind: ErrorKind) -> &'static str {
    TABLE
        .iter()
        .find(|(k, ..)| *k == kind)
        .map_or("", |(.., hint)| *hint)
}

/// Tells what went wrong on the standard error, and gives the exit code.
pub fn report(failure: &Failure) -> ExitCode {
    match failure {
        Failure::Closed => ExitCode::SUCCESS,
        Failure::Told(kind) => code(*kind).into(),
        Failure::Error(e) => {
            let mut err = std::io::stderr().lock();
            // Mistakes in a configuration are drawn one by one, each with its own `error:`.
            let source = std::error::Error::source(e);
            let is_drawn = source.is_some_and(<dyn std::error::Error>::is::<nvr_core::config::ConfigErrors>);
            let head = if is_drawn { "" } else { "error: " };
            // Cameras and times are not what helps to find a file.
            let is_file = source.is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
            let hint = e.hint().or_else(|| match e.kind() {
                // All of them were shown just now.
                _ if is_drawn => None,
                ErrorKind::NotFound if is_file => Some("is the path right?"),
                kind => Some(hint(kind)),
            });
            let _ = writeln!(err, "{head}{e}");
            if let Some(hint) = hint {
                let _ = writeln!(err, "hint: {hint}");
            }
            code(e.kind()).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_documented() {
        let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md")).unwrap();
        let mut seen = std::collections::HashSet::new();
        for (kind, code, hint) in TABLE {
            assert!(seen.insert(code), "{code} is there twice");
            assert!(!hint.is_empty());
            let row = format!("| {code} | `{}` |", kind.as_str());
            assert!(docs.contains(&row), "docs/cli.md lacks {row:?}");
        }
        assert!(docs.contains("| 130 |"));
    }
}
