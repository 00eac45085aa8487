//! Passwords and tokens: a type that never prints what it holds.

use std::fmt;

/// Whether a parameter of an address holds a secret, by its name.
pub(crate) fn is_secret_parameter(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let within = ["pass", "pwd", "secret", "token", "credential", "signature"];
    // Cameras and proxies call it so; as part of another word it means nothing.
    let whole = ["auth", "authorization", "sig", "sign", "hash", "key"];
    within.iter().any(|w| lower.contains(w))
        || lower.ends_with("key")
        || lower
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| whole.contains(&word))
}

/// A text that prints `***`. Read it with [`expose`](Self::expose), at the last moment.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str("***")
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::is_secret_parameter;

    #[test]
    fn secret_parameters_by_name() {
        for name in [
            "pwd",
            "Password",
            "loginpas_pass",
            "token",
            "access_token",
            "key",
            "apiKey",
            "api-key",
            "auth",
            "x_auth",
            "sig",
            "X-Amz-Signature",
            "sign",
            "X-Amz-Credential",
        ] {
            assert!(is_secret_parameter(name), "{name}");
        }
        for name in [
            "user", "channel", "author", "keyframe", "signal", "hashtag", "res", "",
        ] {
            assert!(!is_secret_parameter(name), "{name}");
        }
    }
}
