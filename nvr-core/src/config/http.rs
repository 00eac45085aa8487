//! `[http]`: the HTTP server's address and limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::reader::{Reader, Section, section};
use super::values::{Bytes, Span, Text};

/// The HTTP server's address and limits.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Whether there is one (default: yes).
    pub enabled: bool,
    /// Address and port (default `127.0.0.1:8080`). There is no login: other addresses are open to the network.
    pub listen: SocketAddr,
    /// Largest body of a request in bytes (1 KiB to 1 GiB; default 1 MiB).
    pub max_body_bytes: u64,
    /// How long the answer to a request may take to begin (100 ms to 10 min; default 30 s).
    pub request_timeout: Duration,
    /// How many requests may be served at once (1 to 100000; default 512).
    pub max_concurrent: usize,
    /// Names under which browsers may reach the API, beside `localhost` and IP addresses; lower case.
    pub host_names: Vec<String>,
    /// Whether live video goes by WebRTC as well (default: yes).
    pub webrtc: bool,
    /// UDP and TCP port of WebRTC for all viewers, at the address of `listen` (default 8189; 0 takes a free one).
    pub webrtc_port: u16,
    /// Addresses under which that port is reached from elsewhere, beside those of this machine.
    pub public_addresses: Vec<IpAddr>,
}

const WEBRTC_PORT: u16 = 8189;

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            max_body_bytes: 1 << 20,
            request_timeout: Duration::from_secs(30),
            max_concurrent: 512,
            host_names: Vec::new(),
            webrtc: true,
            webrtc_port: WEBRTC_PORT,
            public_addresses: Vec::new(),
        }
    }
}

section! {
    /// The HTTP server: API, metrics and page.
    RawHttp requires [] {
        /// Whether there is one.
        enabled: bool = true,
        /// Address and port. There is no login: whoever reaches another address than the loopback one can see
        /// and control everything, so put a proxy that asks for one in front.
        listen: Text = "127.0.0.1:8080",
        /// Largest body of a request, 1 KiB to 1 GiB.
        max_body: Bytes = "1MiB",
        /// How long the answer to a request may take to begin, 100 ms to 10 min.
        request_timeout: Span = "30s",
        /// How many requests may be served at once, 1 to 100000.
        max_concurrent: u64 = 512,
        /// Names under which the API may be reached, separated by commas, beside `localhost` and IP addresses:
        /// `"nvr.lan, cameras.example.org"`. Under any other name it refuses, so that no page of another site
        /// can reach it by pointing its own name here.
        host_names: Text,
        /// Whether live video goes by WebRTC as well, which has the least delay.
        webrtc: bool = true,
        /// UDP and TCP port of WebRTC, one for all viewers, at the address of `listen`; 0 takes a free one.
        webrtc_port: u64 = 8189,
        /// Addresses under which that port is reached from elsewhere, separated by commas, beside those of this
        /// machine: behind a router that forwards the port, the router's address on the Internet.
        public_addresses: Text,
    }
}

impl HttpConfig {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>) -> Self {
        let raw = RawHttp::read(reader, section);
        let mut out = Self::default();
        if let Some(at) = &raw.enabled {
            out.enabled = at.value;
        }
        if let Some(at) = &raw.listen {
            match at.value.as_str().parse::<SocketAddr>() {
                Ok(listen) => {
                    out.listen = listen;
                    if out.enabled && !listen.ip().is_loopback() {
                        reader.problems.warn(
                            &at.span,
                            &at.key,
                            "the server is open to the network and asks nobody for a password",
                            Some("listen on 127.0.0.1 and put a proxy with a login in front".into()),
                        );
                    }
                }
                Err(_) => reader.problems.error(
                    &at.span,
                    &at.key,
                    format!("`listen`: {} is not an address with a port", at.value.shown()),
                    Some("write \"127.0.0.1:8080\" or \"[::1]:8080\"".into()),
                ),
            }
        }
        if let Some(n) = reader.within(raw.max_body.as_ref(), &(Bytes(1 << 10)..=Bytes(1 << 30))) {
            out.max_body_bytes = n.0;
        }
        let bounds = Span(Duration::from_millis(100))..=Span(Duration::from_secs(600));
        if let Some(d) = reader.within(raw.request_timeout.as_ref(), &bounds) {
            out.request_timeout = d.0;
        }
        if let Some(n) = reader.within(raw.max_concurrent.as_ref(), &(1..=100_000)) {
            out.max_concurrent = n as usize;
        }
        if let Some(at) = &raw.webrtc {
            out.webrtc = at.value;
        }
        if let Some(n) = reader.within(raw.webrtc_port.as_ref(), &(0..=65_535)) {
            out.webrtc_port = n as u16;
        }
        if let Some(at) = &raw.public_addresses {
            let addresses = at.value.as_str().split(',').map(|a| a.trim().parse());
            match addresses.collect::<Result<Vec<IpAddr>, _>>() {
                Ok(addresses) if addresses.len() <= 8 && addresses.iter().all(|a| !a.is_unspecified()) => {
                    out.public_addresses = addresses;
                }
                _ => reader.problems.error(
                    &at.span,
                    &at.key,
                    "`public_addresses`: not up to eight IP addresses",
                    Some("write addresses without port: \"203.0.113.7, 2001:db8::7\"".into()),
                ),
            }
        }
        if let Some(at) = &raw.host_names {
            for name in at.value.as_str().split(',').map(str::trim) {
                let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                if name.is_empty() || name.len() > 253 || !name.chars().all(fits) {
                    reader.problems.error(
                        &at.span,
                        &at.key,
                        "`host_names`: not usable as host names",
                        Some("write names without scheme and port: \"nvr.lan, cameras.example.org\"".into()),
                    );
                    break;
                }
                out.host_names.push(name.to_ascii_lowercase());
            }
        }
        out
    }
}
