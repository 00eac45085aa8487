//! Whether who asks knows the password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::{Digest as _, Sha1};

use super::OnvifOptions;
use super::answers::{text_of, unescape};

const REALM: &str = "onvif cam";
const NONCE: &str = "0123456789abcdef";
pub(super) const CHALLENGE: &str =
    "Digest realm=\"onvif cam\", nonce=\"0123456789abcdef\", qop=\"auth\", algorithm=MD5";

/// A WS-UsernameToken whose time is within five seconds of the camera's.
pub(super) fn token_holds(text: &str, now_s: i64, options: &OnvifOptions) -> bool {
    let holds = || {
        let user = unescape(text_of(text, "Username")?);
        let digest = text_of(text, "Password")?;
        let nonce = STANDARD.decode(text_of(text, "Nonce")?).ok()?;
        let created = text_of(text, "Created")?;
        let time: nvr_core::Timestamp = created.parse().ok()?;
        let mut hash = Sha1::new();
        hash.update(&nonce);
        hash.update(created.as_bytes());
        hash.update(options.password.as_bytes());
        let is_fresh = (time.as_ns() / 1_000_000_000 - now_s).abs() <= 5;
        Some(user == options.user && digest == STANDARD.encode(hash.finalize()) && is_fresh)
    };
    holds().unwrap_or(false)
}

/// HTTP Digest (RFC 7616) with MD5 and `qop=auth`.
pub(super) fn digest_holds(header: &str, uri: &str, options: &OnvifOptions) -> bool {
    let Some(rest) = header.strip_prefix("Digest ") else {
        return false;
    };
    let get = |key: &str| {
        rest.split(", ")
            .find_map(|part| part.strip_prefix(&format!("{key}=")))
            .map(|v| v.trim_matches('"').to_owned())
            .unwrap_or_default()
    };
    let hex = |text: String| {
        <Md5 as md5::Digest>::digest(text.as_bytes())
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    };
    let ha1 = hex(format!("{}:{REALM}:{}", options.user, options.password));
    let ha2 = hex(format!("POST:{uri}"));
    let wanted = hex(format!(
        "{ha1}:{NONCE}:{}:{}:auth:{ha2}",
        get("nc"),
        get("cnonce")
    ));
    get("username") == options.user && get("uri") == uri && get("response") == wanted
}
