//! Names of users.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// Name of a user: 1 to 64 of `a-z 0-9 . _ @ -`, beginning with a letter or digit. Capitals become small letters, so
/// that nobody can take a name that looks like another's.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(transparent)]
pub struct UserName(String);

impl UserName {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// `InvalidArgument` when it is empty, too long or has another character.
    pub fn new(name: &str) -> Result<Self, Error> {
        let name = name.to_ascii_lowercase();
        let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b'-'));
        if first && rest && name.len() <= 64 {
            return Ok(Self(name));
        }
        Err(
            Error::new(ErrorKind::InvalidArgument, "this name of a user cannot be used").with_hint(
                "use 1 to 64 of a-z, 0-9, '.', '_', '@' and '-', beginning with a letter or digit",
            ),
        )
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UserName {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        Self::new(s)
    }
}
