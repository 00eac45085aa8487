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

/// `***` in place of what is secret in a text of whatever origin: passwords of addresses (`rtsp://user:password@…`), what
/// parameters of addresses hold by their names (`?token=…`), and what follows on `Authorization:` and the like.
///
/// A net below the rope: who logs has to leave secrets out.
#[must_use]
pub fn blot(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(ends_address).unwrap_or(after.len());
        let (address, behind) = after.split_at(end);
        blot_address(address, &mut out);
        rest = behind;
    }
    out.push_str(rest);
    blot_headers(out)
}

fn ends_address(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>')
}

/// The part of an address behind `://`.
fn blot_address(address: &str, out: &mut String) {
    let end = address.find(['/', '?', '#']).unwrap_or(address.len());
    let (authority, behind) = address.split_at(end);
    match authority
        .rsplit_once('@')
        .and_then(|(user, host)| Some((user.split_once(':')?.0, host)))
    {
        Some((user, host)) => {
            out.push_str(user);
            out.push_str(":***@");
            out.push_str(host);
        }
        None => out.push_str(authority),
    }
    let Some((path, query)) = behind.split_once('?') else {
        out.push_str(behind);
        return;
    };
    out.push_str(path);
    for (n, pair) in query.split('&').enumerate() {
        out.push(if n == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if is_secret_parameter(name) => {
                out.push_str(name);
                out.push_str("=***");
            }
            _ => out.push_str(pair),
        }
    }
}

/// What follows on the names of headers and settings that hold secrets, to the end of the line.
fn blot_headers(mut text: String) -> String {
    const NAMES: [&str; 5] = ["authorization", "cookie:", "cookie'", "user-pw=", "password="];
    let mut from = 0;
    loop {
        let lower = text.get(from..).unwrap_or_default().to_ascii_lowercase();
        let found = NAMES.iter().filter_map(|n| Some((lower.find(n)?, n.len()))).min();
        let Some((at, length)) = found else { return text };
        let start = from + at + length;
        let end = text[start..].find(['\r', '\n']).map_or(text.len(), |n| start + n);
        text.replace_range(start..end, "***");
        from = start + 3;
    }
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
    use super::{blot, is_secret_parameter};

    #[test]
    fn what_is_secret_in_a_text_is_blotted_out() {
        for (text, want) in [
            (
                "at rtsp://u:p@h/x?a=b@c and http://h",
                "at rtsp://u:***@h/x?a=b@c and http://h",
            ),
            ("rtsp://u:p@q@h", "rtsp://u:***@h"),
            ("rtsp://u@h \"http://a:b@c\"", "rtsp://u@h \"http://a:***@c\""),
            (
                "http://h/x?user=a&pwd=b&c=d, more",
                "http://h/x?user=a&pwd=***&c=d, more",
            ),
            ("://", "://"),
            (
                "Authorization: Basic YTpi\r\nCSeq: 3",
                "Authorization***\r\nCSeq: 3",
            ),
            (
                "key: 'Authorization', value: 'Basic YTpi'",
                "key: 'Authorization***",
            ),
            ("sets user-pw=x\npassword=y", "sets user-pw=***\npassword=***"),
            ("ä Password=ö", "ä Password=***"),
        ] {
            assert_eq!(blot(text), want);
        }
    }

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
