//! `[http]`: the HTTP server's address and limits.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

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
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            max_body_bytes: 1 << 20,
            request_timeout: Duration::from_secs(30),
            max_concurrent: 512,
        }
    }
}
