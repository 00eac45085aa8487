//! Passwords: which are taken, and argon2id.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use super::name::UserName;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// Longest password in bytes: more is no safer and keeps the processor busy.
const MAX: usize = 256;
const MIN: usize = 8;

/// What is tried first everywhere.
const COMMON: [&str; 12] = [
    "password",
    "passw0rd",
    "12345678",
    "123456789",
    "1234567890",
    "qwertyui",
    "qwerty123",
    "11111111",
    "00000000",
    "iloveyou",
    "admin123",
    "changeme",
];

/// Whether a password may be set.
///
/// # Errors
/// `InvalidArgument` with what is wrong with it.
pub(super) fn check(name: &UserName, password: &Secret) -> Result<()> {
    let text = password.expose();
    let small = text.to_lowercase();
    let wrong = if text.chars().count() < MIN {
        "the password has less than 8 characters"
    } else if text.len() > MAX {
        "the password has more than 256 bytes"
    } else if small.contains(name.as_str()) && small.len() < name.as_str().len() + 6 {
        "the password is little more than the name"
    } else if COMMON.contains(&small.as_str()) {
        "this password is among those that are tried first everywhere"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidArgument, wrong)
        .with_hint("take a few words that do not belong together"))
}

/// OWASP's second choice of parameters: 19 MiB, two passes, one lane.
fn argon() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Blocks for some ten milliseconds.
///
/// # Errors
/// `Internal` when there is no memory for it.
pub(super) fn hash(password: &Secret) -> Result<String> {
    let salt: [u8; 16] = rand::random();
    SaltString::encode_b64(&salt)
        .and_then(|salt| {
            argon()
                .hash_password(password.expose().as_bytes(), &salt)
                .map(|h| h.to_string())
        })
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the password cannot be hashed: {e}")))
}

/// Whether it is the one; takes as long either way.
pub(super) fn verify(password: &Secret, hash: &str) -> bool {
    if password.expose().len() > MAX {
        return false;
    }
    PasswordHash::new(hash).is_ok_and(|h| argon().verify_password(password.expose().as_bytes(), &h).is_ok())
}
