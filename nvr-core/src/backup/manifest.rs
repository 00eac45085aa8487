//! What an archive says of itself.

use super::MEMBERS;
use crate::error::{Error, ErrorKind, Result};
use crate::time::Timestamp;

/// The form of archives that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// Largest manifest.
pub(super) const MOST_BYTES: u64 = 64 << 10;

/// What an archive holds.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Manifest {
    /// Of the archive.
    pub format: u32,
    /// The moment of which everything in it is.
    pub made: Timestamp,
    /// Version of the program that made it.
    pub program: String,
    /// What follows, in this order.
    pub members: Vec<Member>,
}

/// A file in an archive.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Member {
    /// `config.toml`, `index.db`, `accounts.db` or `pushes.json`.
    pub name: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// Their BLAKE3, in hexadecimal.
    pub blake3: String,
    /// Version of the tables of a database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<usize>,
}

impl Manifest {
    pub(super) fn new(made: Timestamp, members: Vec<Member>) -> Self {
        Self {
            format: FORMAT,
            made,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            members,
        }
    }

    /// The member of that name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|m| m.name == name)
    }

    /// Reads one. Nothing in it is trusted.
    ///
    /// # Errors
    /// `Unsupported` for one of a newer form, `Corrupt` for what is none.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Form {
            format: u32,
        }
        let wrong = |why: &str| Error::new(ErrorKind::Corrupt, format!("the backup's manifest {why}"));
        // The form comes first: the rest of a newer one need not be as expected.
        let form: Form = serde_json::from_slice(bytes).map_err(|_| wrong("cannot be read"))?;
        if form.format > FORMAT {
            let message = format!(
                "the backup has form {}, this program reads up to {FORMAT}",
                form.format
            );
            return Err(Error::new(ErrorKind::Unsupported, message)
                .with_hint("restore it with the newer program that made it"));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|_| wrong("cannot be read"))?;
        let mut known = MEMBERS.iter();
        // Each at most once, and in order.
        if !manifest.members.iter().all(|m| known.any(|k| *k == m.name)) {
            return Err(wrong("names what does not belong into a backup"));
        }
        Ok(manifest)
    }
}
