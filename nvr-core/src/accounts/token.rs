//! Random tokens, and the hashes by which they are found again.

use std::fmt;
use std::fmt::Write as _;

use crate::secret::Secret;

/// What is kept of a token. A plain hash is enough: there are 256 random bits behind it, nothing to guess.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub(crate) [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

impl TokenHash {
    /// Of a token as it was presented.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(*blake3::hash(token.as_bytes()).as_bytes())
    }
}

/// A fresh token: 256 random bits as 64 hexadecimal digits behind `nvr_`, by which scanners of leaked secrets know it.
#[derive(Clone, Debug)]
pub struct Token(Secret);

impl Token {
    pub(crate) fn random() -> Self {
        let bytes: [u8; 32] = rand::random();
        let mut text = String::from("nvr_");
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        Self(Secret::new(text))
    }

    /// The token itself, to be handed out once.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash::of(self.expose())
    }
}
