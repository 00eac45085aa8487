//! Who is at the other end: the connection's own address, or what a trusted proxy says of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use ipnet::IpNet;

use crate::conn::Patient;
use crate::problem::{Answer, Failure};
use crate::server::AppState;
use crate::tls::Guarded;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
}

impl Connected<IncomingStream<'_, Patient>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Patient>) -> Self {
        Self {
            address: *stream.remote_addr(),
            tls: false,
        }
    }
}

impl Connected<IncomingStream<'_, Guarded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Guarded>) -> Self {
        Self {
            address: *stream.remote_addr(),
            tls: true,
        }
    }
}

/// Who asks, as far as the network tells.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    /// Whether the way to it is TLS, as far as it is known.
    pub(crate) secure: bool,
    /// Whether it is on this machine, with nobody in between.
    pub(crate) local: bool,
    /// The name under which it knows the server, if a trusted proxy says so.
    pub(crate) host: Option<String>,
    /// Whether a trusted proxy is in between.
    pub(crate) proxied: bool,
}

impl Client {
    /// The address under which the client reaches a path of this server (below `base_path`). The path alone where the
    /// client does not say what it calls the server.
    pub(crate) fn url(&self, headers: &HeaderMap, base_path: &str, path: &str) -> String {
        let by_header = || headers.get(header::HOST).and_then(|h| h.to_str().ok());
        let scheme = if self.secure { "https" } else { "http" };
        match self.host.as_deref().or_else(by_header) {
            Some(host) => format!("{scheme}://{host}{base_path}{path}"),
            None => format!("{base_path}{path}"),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        Ok(of(&parts.extensions))
    }
}

/// The client that was found out for a request.
pub(crate) fn of(extensions: &Extensions) -> Client {
    extensions.get().cloned().unwrap_or(Client {
        address: Ipv4Addr::UNSPECIFIED.into(),
        secure: false,
        local: false,
        host: None,
        proxied: false,
    })
}

/// Finds out who asks.
pub(crate) async fn find(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let peer = request
        .extensions()
        .get::<ConnectInfo<Peer>>()
        .map(|ConnectInfo(p)| *p)
        .or_else(|| {
            // An embedder's own server.
            let plain = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
            Some(Peer {
                address: plain.0,
                tls: false,
            })
        });
    if let Some(peer) = peer {
        let client = judge(peer, request.headers(), &app.access.proxies);
        request.extensions_mut().insert(client);
    }
    next.run(request).await
}

fn judge(peer: Peer, headers: &HeaderMap, proxies: &[IpNet]) -> Client {
    let trusted = |a: &IpAddr| proxies.iter().any(|n| n.contains(a));
    let near = peer.address.ip().to_canonical();
    let forwarded = [
        "x-forwarded-for",
        "forwarded",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "via",
    ]
    .iter()
    .any(|name| headers.contains_key(*name));
    if !trusted(&near) {
        return Client {
            address: near,
            secure: peer.tls,
            // A proxy that nobody told of stands between: what it passes on is not from this machine.
            local: near.is_loopback() && !forwarded,
            host: None,
            proxied: false,
        };
    }
    let last = |name: &str| {
        let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
        let word = value.rsplit(',').next()?.trim();
        (!word.is_empty()).then(|| word.to_owned())
    };
    // From the last to the first: each proxy adds who came to it, so the first that is no proxy of ours is the client.
    // What stands before it is that client's own invention.
    let hops: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .collect();
    let mut address = near;
    for hop in hops.iter().rev() {
        let Some(ip) = ip_of(hop) else { break };
        address = ip;
        if !trusted(&ip) {
            break;
        }
    }
    Client {
        address,
        secure: peer.tls || last("x-forwarded-proto").is_some_and(|p| p.eq_ignore_ascii_case("https")),
        local: near.is_loopback() && !forwarded,
        host: last("x-forwarded-host"),
        proxied: forwarded,
    }
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn ip_of(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()))
        .map(|a| a.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(from: &str, headers: &[(&'static str, &str)]) -> Client {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let peer = Peer {
            address: from.parse().unwrap(),
            tls: false,
        };
        let proxies = ["10.0.0.0/8".parse().unwrap(), "127.0.0.2/32".parse().unwrap()];
        judge(peer, &map, &proxies)
    }

    #[test]
    fn strangers_are_not_believed() {
        let c = client(
            "192.0.2.1:5000",
            &[
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil"),
            ],
        );
        assert_eq!(c.address.to_string(), "192.0.2.1");
        assert!(!c.secure && !c.local && !c.proxied && c.host.is_none());
        // A proxy on this machine that nobody told of.
        let c = client("127.0.0.1:5000", &[("x-forwarded-for", "192.0.2.1")]);
        assert!(!c.local);
        assert!(client("127.0.0.1:5000", &[]).local);
        assert!(client("[::1]:5000", &[]).local);
        assert!(client("[::ffff:127.0.0.1]:5000", &[]).local);
    }

    #[test]
    fn proxies_are_believed_as_far_as_they_know() {
        let c = client(
            "10.0.0.1:5000",
            &[
                ("x-forwarded-for", "127.0.0.1, 192.0.2.7"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "nvr.example.org"),
            ],
        );
        assert_eq!(c.address.to_string(), "192.0.2.7");
        assert!(c.secure && !c.local && c.proxied);
        assert_eq!(c.host.as_deref(), Some("nvr.example.org"));
        // Two proxies of ours, in two headers.
        let c = client(
            "10.0.0.1:5000",
            &[
                ("x-forwarded-for", "1.1.1.1"),
                ("x-forwarded-for", "192.0.2.7:1234, 10.0.0.9"),
            ],
        );
        assert_eq!(c.address.to_string(), "192.0.2.7");
        let c = client("10.0.0.1:5000", &[("x-forwarded-for", "rubbish")]);
        assert_eq!(c.address.to_string(), "10.0.0.1");
        assert!(!client("127.0.0.2:1", &[("x-forwarded-for", "127.0.0.1")]).local);
    }
}
