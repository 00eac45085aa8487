//! Who may ask: what a browser is tricked into sending by another site is refused.
//!
//! Where nobody is asked for a login, a page of any site could otherwise give orders to a recorder that its visitor can
//! reach, or read from it by pointing its own name at the recorder's address (DNS rebinding). Where there is one, this is
//! a second wall beside the cookie's own.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::auth::refuse;
use crate::peer;
use crate::server::AppState;

/// Refuses unsafe requests of other sites, and the API under a foreign name.
pub(crate) async fn guard(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let client = peer::of(request.extensions());
    let path = request.uri().path();
    let host = client.host.as_deref().or_else(|| host_of(&request));
    // A WebSocket is an order too: pages of other sites may open one, and read from it.
    let is_order = !request.method().is_safe() || request.headers().contains_key(header::UPGRADE);
    // Metrics are open to this machine, and a browser on it must not be lent to others.
    let lent = path == "/metrics" && client.local;
    let guarded = path.starts_with("/api/") || lent || is_order;
    // Health is for whoever looks; all else that is no file of the page tells something, or does it.
    let serves = request
        .extensions()
        .get::<MatchedPath>()
        .is_some_and(|p| !matches!(p.as_str(), "/health" | "/ready" | "/metrics"));
    let guarded = guarded || serves;
    // Under which names a proxy can be reached is the proxy's business.
    if guarded && !client.proxied && !host.is_none_or(|h| is_known_host(h, &app.host_names)) {
        let detail = format!(
            "this recorder is not known by the name {:?}",
            host.unwrap_or_default()
        );
        let hint = "ask by IP address, or name it in `host_names` of the configuration's [http]";
        return refuse(&detail, Some(hint.into()));
    }
    if is_order && is_foreign(request.headers(), host, &app.access.cors) {
        return refuse("a request from another site", None);
    }
    next.run(request).await
}

/// What the client calls this server; HTTP/1.0 clients may not say, but they are no browsers.
fn host_of(request: &Request) -> Option<&str> {
    let by_header = request
        .headers()
        .get(header::HOST)
        .map(|v| v.to_str().unwrap_or_default());
    by_header.or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str))
}

fn is_foreign(headers: &HeaderMap, host: Option<&str>, friends: &[String]) -> bool {
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or_default());
    if text("origin").is_some_and(|origin| friends.iter().any(|f| f == origin)) {
        return false;
    }
    let foreign_site = matches!(text("sec-fetch-site"), Some("cross-site" | "same-site"));
    let foreign_origin = text("origin").is_some_and(|origin| {
        let authority = origin.parse::<Uri>().ok();
        let authority = authority
            .as_ref()
            .and_then(|u| u.authority())
            .map(axum::http::uri::Authority::as_str);
        authority.is_none() || authority != host
    });
    foreign_site || foreign_origin
}

/// Addresses and `localhost` cannot be pointed elsewhere by somebody's DNS; other names must be configured.
fn is_known_host(host: &str, names: &[String]) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest
            .split_once(']')
            .is_some_and(|(ip, port)| ip.parse::<Ipv6Addr>().is_ok() && is_port(port));
    }
    let (name, port) = host.find(':').map_or((host, ""), |at| host.split_at(at));
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    is_port(port)
        && (name.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || names.contains(&name))
}

/// Nothing, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hosts() {
        let names = ["nvr.lan".to_owned()];
        for good in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
            "localhost:1",
            "LOCALHOST.",
            "a.localhost",
            "192.168.1.7:80",
            "nvr.lan",
            "NVR.lan:8080",
        ] {
            assert!(is_known_host(good, &names), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "nvr.lan.evil",
            "",
            "[::1",
            "[evil]",
            "[::1]evil",
            "127.0.0.1:evil.example",
            "evil.example:80:80",
        ] {
            assert!(!is_known_host(bad, &names), "{bad}");
        }
    }

    #[test]
    fn foreign_requests() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            is_foreign(
                &headers,
                Some("127.0.0.1:8080"),
                &["https://panel.example".to_owned()],
            )
        };
        assert!(!of(&[]));
        assert!(!of(&[
            ("origin", "http://127.0.0.1:8080"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(!of(&[("sec-fetch-site", "none")]));
        assert!(of(&[("origin", "http://evil.example")]));
        assert!(of(&[("origin", "http://127.0.0.1:9090")]));
        assert!(of(&[("origin", "null")]));
        assert!(of(&[("sec-fetch-site", "cross-site")]));
        assert!(of(&[("sec-fetch-site", "same-site")]));
        assert!(!of(&[
            ("origin", "https://panel.example"),
            ("sec-fetch-site", "cross-site")
        ]));
        assert!(of(&[
            ("origin", "http://panel.example"),
            ("sec-fetch-site", "cross-site")
        ]));
    }
}
