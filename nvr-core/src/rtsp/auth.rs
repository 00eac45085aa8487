//! Basic and Digest (RFC 7617, RFC 7616, and the older RFC 2069 where the server names no `qop`).

use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::error::{RtspError, RtspErrorKind, quoted};
use crate::source::Credentials;

/// Most challenges that are read.
const MAX_CHALLENGES: usize = 16;

/// Longest header that is read.
const MAX_HEADER_BYTES: usize = 4096;

/// Most new nonces for one request.
const MAX_STALE: u32 = 3;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Hash {
    Md5,
    Sha256,
}

impl Hash {
    fn hex(self, text: &str) -> String {
        let mut out = String::new();
        let mut add = |bytes: &[u8]| {
            for b in bytes {
                let _ = write!(out, "{b:02x}");
            }
        };
        match self {
            Self::Md5 => add(&Md5::digest(text.as_bytes())),
            Self::Sha256 => add(&Sha256::digest(text.as_bytes())),
        }
        out
    }
}

/// How a server wants to be answered.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Scheme {
    Basic,
    Digest(Challenge),
}

/// A value as it stands between its quotes, and what it means.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Text {
    raw: String,
    plain: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Challenge {
    hash: Hash,
    session: bool,
    /// The algorithm in the server's own spelling, if it gave one.
    algorithm: Option<String>,
    realm: Text,
    nonce: Text,
    opaque: Option<Text>,
    qop: bool,
    stale: bool,
}

/// The client's side: what the server asked for last, and the count of answers.
#[derive(Debug)]
pub(crate) struct Authenticator {
    credentials: Option<Credentials>,
    seed: u64,
    chosen: Option<Scheme>,
    /// Answers with the present nonce.
    count: u32,
    /// A hash that the server asked for and did not take.
    refused: Option<Hash>,
    stale: u32,
}

impl Authenticator {
    pub(crate) fn new(credentials: Option<Credentials>, seed: u64) -> Self {
        Self {
            credentials,
            seed,
            chosen: None,
            count: 0,
            refused: None,
            stale: 0,
        }
    }

    /// A request was accepted: from now on a new nonce is only a new nonce.
    pub(crate) fn accepted(&mut self) {
        self.stale = 0;
        self.refused = None;
    }

    /// Takes up the `WWW-Authenticate` headers of a 401. `answered`: the request had an answer to a challenge.
    ///
    /// # Errors
    /// `Unauthorized` when the server does not take the credentials, there are none, or no challenge can be met.
    pub(crate) fn challenge<'a>(
        &mut self,
        headers: impl Iterator<Item = &'a str>,
        answered: bool,
    ) -> Result<(), RtspError> {
        let refuse = |m: String| Err(RtspError::new(RtspErrorKind::Unauthorized, m));
        if self.credentials.is_none() {
            return refuse("the camera wants user and password".into());
        }
        let mut schemes = Vec::new();
        let mut other = Vec::new();
        for header in headers {
            for (name, params) in split(header) {
                match scheme(&name, &params) {
                    Some(s) if schemes.len() < MAX_CHALLENGES => schemes.push(s),
                    _ => other.push(quoted(&name)),
                }
            }
        }
        if answered {
            let fresh = match &self.chosen {
                Some(Scheme::Digest(old)) => schemes.iter().any(|s| {
                    // Cameras forget to say "stale" when they give out a new nonce for a session that runs.
                    matches!(s, Scheme::Digest(c) if c.hash == old.hash && c.nonce != old.nonce && (c.stale || self.count > 1))
                }),
                _ => false,
            };
            if fresh && self.stale < MAX_STALE {
                self.stale += 1;
            } else {
                // Another hash may be taken where the better one is offered by mistake; never the plain password.
                let weaker = match (&self.chosen, self.refused) {
                    (Some(Scheme::Digest(c)), None) => Some(c.hash),
                    _ => None,
                };
                self.refused = weaker;
                schemes.retain(|s| matches!((s, weaker), (Scheme::Digest(c), Some(h)) if c.hash < h));
                if schemes.is_empty() {
                    return refuse("the camera refuses user or password".into());
                }
            }
        } else if let Some(refused) = self.refused {
            schemes.retain(|s| !matches!(s, Scheme::Digest(c) if c.hash >= refused));
        }
        let best = schemes.into_iter().max_by_key(|s| match s {
            Scheme::Basic => None,
            Scheme::Digest(c) => Some(c.hash),
        });
        let Some(best) = best else {
            let others = if other.is_empty() {
                "nothing".into()
            } else {
                other.join(", ")
            };
            return refuse(format!(
                "the camera asks for a kind of login that is not known ({others})"
            ));
        };
        self.chosen = Some(best);
        self.count = 0;
        Ok(())
    }

    /// The `Authorization` header's value for a request; `None` before the first challenge.
    pub(crate) fn answer(&mut self, method: &str, uri: &str) -> Option<String> {
        let credentials = self.credentials.as_ref()?;
        let (user, password) = (&credentials.user, credentials.password.expose());
        match self.chosen.as_ref()? {
            Scheme::Basic => Some(format!(
                "Basic {}",
                base64(format!("{user}:{password}").as_bytes())
            )),
            Scheme::Digest(c) => {
                self.count += 1;
                let h = |text: String| c.hash.hex(&text);
                let nonce = &c.nonce.plain;
                let cnonce = &Hash::Sha256.hex(&format!("{}:{nonce}:{}", self.seed, self.count))[..16];
                let count = format!("{:08x}", self.count);
                let mut ha1 = h(format!("{user}:{}:{password}", c.realm.plain));
                if c.session {
                    ha1 = h(format!("{ha1}:{nonce}:{cnonce}"));
                }
                let ha2 = h(format!("{method}:{uri}"));
                let response = if c.qop {
                    h(format!("{ha1}:{nonce}:{count}:{cnonce}:auth:{ha2}"))
                } else {
                    h(format!("{ha1}:{nonce}:{ha2}"))
                };
                let mut out = format!(
                    "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\"",
                    user.replace('\\', "\\\\").replace('"', "\\\""),
                    c.realm.raw,
                    c.nonce.raw
                );
                if let Some(a) = &c.algorithm {
                    let _ = write!(out, ", algorithm={a}");
                }
                if let Some(o) = &c.opaque {
                    let _ = write!(out, ", opaque=\"{}\"", o.raw);
                }
                // RFC 7616, 3.4: neither is quoted, and cameras insist.
                if c.qop {
                    let _ = write!(out, ", qop=auth, nc={count}");
                }
                if c.qop || c.session {
                    let _ = write!(out, ", cnonce=\"{cnonce}\"");
                }
                Some(out)
            }
        }
    }
}

type Params = Vec<(String, Text)>;

/// Challenges of one header: a name and its parameters each. Commas divide both.
fn split(header: &str) -> Vec<(String, Params)> {
    let mut out: Vec<(String, Params)> = Vec::new();
    let mut rest = header
        .get(..header.len().min(MAX_HEADER_BYTES))
        .unwrap_or_default();
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let end = rest.find([' ', '\t', '=', ',']).unwrap_or(rest.len());
        if end == 0 && rest.is_empty() {
            return out;
        }
        let word = &rest[..end];
        let after = rest[end..].trim_start();
        if let Some(value) = after.strip_prefix('=') {
            let (text, used) = value_of(value.trim_start());
            rest = &value.trim_start()[used..];
            if let Some((_, params)) = out.last_mut() {
                params.push((word.to_ascii_lowercase(), text));
            }
        } else {
            if !word.is_empty() && out.len() < MAX_CHALLENGES {
                out.push((word.to_owned(), Vec::new()));
            }
            rest = after;
        }
    }
}

/// A value and how long it is. A quote ends it only where a comma or the end follows: there are cameras with quotes
/// in their realm.
fn value_of(text: &str) -> (Text, usize) {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        let raw = text[..end].trim().to_owned();
        let plain = raw.clone();
        return (Text { raw, plain }, end);
    };
    let mut plain = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, c)) => plain.push(c),
                None => break,
            },
            '"' => {
                let after = inner[at + 1..].trim_start();
                if after.is_empty() || after.starts_with(',') {
                    let raw = inner[..at].to_owned();
                    return (Text { raw, plain }, 1 + at + 1);
                }
                plain.push(c);
            }
            c => plain.push(c),
        }
    }
    let raw = inner.to_owned();
    (Text { raw, plain }, text.len())
}

fn scheme(name: &str, params: &Params) -> Option<Scheme> {
    if name.eq_ignore_ascii_case("basic") {
        return Some(Scheme::Basic);
    }
    if !name.eq_ignore_ascii_case("digest") {
        return None;
    }
    let get = |key: &str| params.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    let algorithm = get("algorithm").map(|t| t.plain).filter(|a| !a.is_empty());
    let (hash, session) = match algorithm.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("md5") => (Hash::Md5, false),
        Some("md5-sess") => (Hash::Md5, true),
        Some("sha-256" | "sha256") => (Hash::Sha256, false),
        Some("sha-256-sess") => (Hash::Sha256, true),
        Some(_) => return None,
    };
    let qop = match get("qop") {
        None => false,
        Some(list) if list.plain.trim().is_empty() => false,
        Some(list) => {
            if !list
                .plain
                .split([',', ' '])
                .any(|q| q.eq_ignore_ascii_case("auth"))
            {
                return None;
            }
            true
        }
    };
    Some(Scheme::Digest(Challenge {
        hash,
        session,
        algorithm,
        realm: get("realm").unwrap_or_default(),
        nonce: get("nonce")?,
        opaque: get("opaque"),
        qop,
        stale: get("stale").is_some_and(|s| s.plain.eq_ignore_ascii_case("true")),
    }))
}

/// Base64 with padding (RFC 4648, 4).
fn base64(data: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in data.chunks(3) {
        let mut bits = 0u32;
        for n in 0..3 {
            bits = bits << 8 | u32::from(group.get(n).copied().unwrap_or(0));
        }
        for n in 0..4 {
            out.push(if n <= group.len() {
                char::from(LETTERS[(bits >> (18 - 6 * n) & 63) as usize])
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests;
