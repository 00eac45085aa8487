//! Identifiers as types, so that a camera is never mistaken for a run.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// Name of a camera: 1 to 63 of `a-z 0-9 _ -`, starting with a letter or digit.
///
/// It is a folder name, a metric label and a URL segment, hence the narrow alphabet.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct CameraId(std::sync::Arc<str>);

impl CameraId {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// `InvalidArgument` when the name is empty, too long or has another character.
    pub fn new(name: &str) -> Result<Self, Error> {
        let first_ok = name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest_ok = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if first_ok && rest_ok && name.len() <= 63 {
            Ok(Self(name.into()))
        } else {
            Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("camera id {name:?} is not usable"),
            )
            .with_hint("use 1 to 63 of a-z, 0-9, '_' and '-', starting with a letter or digit"))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CameraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CameraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CameraId({})", self.0)
    }
}

impl FromStr for CameraId {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        Self::new(s)
    }
}

impl<'de> serde::Deserialize<'de> for CameraId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::new(&s).map_err(serde::de::Error::custom)
    }
}

/// One life of a recording pipeline (or one stretch of it between two steps of the wall clock).
///
/// 40 random bits, written as 8 characters of Crockford base 32 in lower case, so that it can
/// stand in a file name and two recorders writing to one tree do not collide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(u64);

const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl RunId {
    /// Largest value plus one.
    pub const LIMIT: u64 = 1 << 40;

    /// A fresh random one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random::<u64>() % Self::LIMIT)
    }

    /// From its number; higher bits are cut off.
    #[must_use]
    pub const fn from_u64(n: u64) -> Self {
        Self(n % Self::LIMIT)
    }

    /// The number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 8];
        for (i, c) in text.iter_mut().enumerate() {
            *c = BASE32[(self.0 >> (35 - 5 * i)) as usize & 31];
        }
        f.write_str(std::str::from_utf8(&text).expect("ascii"))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

impl FromStr for RunId {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        let bad = || {
            Error::new(
                ErrorKind::InvalidArgument,
                format!("run id {s:?} is not 8 base-32 characters"),
            )
        };
        if s.len() != 8 {
            return Err(bad());
        }
        let mut n = 0;
        for b in s.bytes() {
            let digit = BASE32.iter().position(|&c| c == b).ok_or_else(bad)?;
            n = n << 5 | digit as u64;
        }
        Ok(Self(n))
    }
}

impl serde::Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

/// Row number of a segment in the index. Stable while the index lives, new after a rebuild.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct SegmentId(pub i64);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Row number of a job in the index; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = std::num::ParseIntError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn camera_names() {
        for good in ["a", "front-door", "cam_2", "0"] {
            assert_eq!(CameraId::new(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "A", "a/b", "..", "ü", "a b", long.as_str()] {
            assert_eq!(
                CameraId::new(bad).unwrap_err().kind(),
                ErrorKind::InvalidArgument,
                "{bad}"
            );
        }
    }

    proptest! {
        #[test]
        fn run_id_round_trips(n in 0..RunId::LIMIT) {
            let run = RunId::from_u64(n);
            prop_assert_eq!(run.to_string().parse::<RunId>().unwrap(), run);
            prop_assert_eq!(run.to_string().len(), 8);
        }
    }
}
