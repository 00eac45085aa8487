//! The error of the public API: a kind to act on, a message to read, a hint what to do.

use std::error::Error as StdError;
use std::fmt;

/// What sort of thing went wrong. Front ends map it to a status or an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A parameter that cannot be used.
    InvalidArgument,
    /// The configuration is wrong.
    Config,
    /// No such camera, segment or moment.
    NotFound,
    /// It exists already.
    AlreadyExists,
    /// Not possible in the present state.
    Conflict,
    /// A limit is reached; later it may work.
    Busy,
    /// The camera wants other credentials.
    Unauthorized,
    /// A camera, file system or service does not answer.
    Unavailable,
    /// It took too long.
    Timeout,
    /// This build, machine or file kind cannot do it.
    Unsupported,
    /// The disk is full, read-only, gone or not ours.
    Storage,
    /// A file or the index does not hold what it should.
    Corrupt,
    /// A fault in this program.
    Internal,
}

impl ErrorKind {
    /// Stable lower-case name (`"not_found"`), for JSON and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::Config => "config",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Unsupported => "unsupported",
            Self::Storage => "storage",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}

/// What a fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An opaque error: [`kind`](Self::kind) to act on, `Display` to read, [`hint`](Self::hint) to help.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A new error; the message says what and where.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }))
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts `context: ` before the message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// The sort of error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What can be done about it, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// An I/O error at a path or peer, its kind taken from the operating system's code.
    #[must_use]
    pub fn io(what: impl fmt::Display, e: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, hint) = match e.kind() {
            Io::NotFound => (ErrorKind::NotFound, None),
            Io::StorageFull | Io::QuotaExceeded => (ErrorKind::Storage, Some("free some space")),
            Io::ReadOnlyFilesystem => (ErrorKind::Storage, Some("the file system is mounted read-only")),
            Io::PermissionDenied => (ErrorKind::Storage, Some("check owner and mode")),
            Io::TimedOut => (ErrorKind::Timeout, None),
            _ => (ErrorKind::Storage, None),
        };
        let mut error = Self::new(kind, format!("{what}: {e}")).with_source(e);
        error.0.hint = hint.map(str::to_owned);
        error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.message, self.0.kind.as_str())?;
        if let Some(hint) = &self.0.hint {
            write!(f, "; {hint}")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, "; caused by {source:?}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}
