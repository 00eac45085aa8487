//! `[rtsp_server]`: the cameras' streams for others, over RTSP.

use std::net::{Ipv4Addr, SocketAddr};

use super::http::{Auth, HttpConfig};
use super::reader::{Reader, Section, section};
use super::values::{Text, Word};

/// What is said where it was not built in, and what to do.
pub(crate) const NO_RTSP_SERVER: (&str, &str) = (
    "this recorder was built without the RTSP server",
    "build it with the feature `rtsp-server`, or set `enabled = false` in [rtsp_server]",
);

/// The RTSP server: the recorder as the one reader of each camera, for others who want its stream.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RtspServerConfig {
    /// Whether there is one (default: no).
    pub enabled: bool,
    /// Address and port (default `127.0.0.1:8554`).
    pub listen: SocketAddr,
    /// Who may watch (default: who has an account).
    pub auth: Auth,
    /// Whether it is RTSP over TLS (`rtsps://`), with the certificate of [`HttpConfig`].
    pub tls: bool,
    /// How many may be connected at once (1 to 1000; default 32).
    pub max_clients: usize,
}

impl Default for RtspServerConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8554)),
            auth: Auth::Accounts,
            tls: false,
            max_clients: 32,
        }
    }
}

section! {
    /// The RTSP server, by which others watch what the recorder reads: `rtsp://HOST:8554/CAMERA`, and `/CAMERA/sub` for the
    /// sub stream. Needs a recorder that was built with the feature `rtsp-server`, as that of the Debian package is.
    RawRtspServer requires [] {
        /// Whether there is one.
        enabled: bool = false,
        /// Address and port; port 0 takes a free one. For other addresses than the loopback one set `tls`: pictures and
        /// tokens would cross the network in clear, and passwords are not taken there without.
        listen: Text = "127.0.0.1:8554",
        /// Who may watch: who has an account or a token, or everybody (`none`). The latter only where `listen` is a
        /// loopback address.
        auth: Word<Auth> = "accounts",
        /// Whether the server speaks RTSP over TLS (`rtsps://`), with `tls_cert` and `tls_key` of `[http]`. Needs the
        /// package `glib-networking`.
        tls: bool = false,
        /// How many clients may be connected at once, 1 to 1000.
        max_clients: u64 = 32,
    }
}

impl RtspServerConfig {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>, http: &HttpConfig) -> Self {
        let raw = RawRtspServer::read(reader, section);
        let mut out = Self::default();
        if let Some(at) = &raw.enabled {
            out.enabled = at.value;
            if out.enabled && !cfg!(feature = "rtsp-server") {
                let (message, hint) = NO_RTSP_SERVER;
                reader
                    .problems
                    .error(&at.span, &at.key, message, Some(hint.to_owned()));
            }
        }
        if let Some(at) = &raw.listen {
            match at.value.as_str().parse::<SocketAddr>() {
                Ok(listen) => out.listen = listen,
                Err(_) => reader.problems.error(
                    &at.span,
                    &at.key,
                    format!("`listen`: {} is not an address with a port", at.value.shown()),
                    Some("write \"127.0.0.1:8554\" or \"[::1]:8554\"".into()),
                ),
            }
        }
        if let Some(at) = &raw.auth {
            out.auth = at.value.0;
            if out.auth == Auth::None && out.enabled && !out.listen.ip().is_loopback() {
                reader.problems.error(
                    &at.span,
                    &at.key,
                    format!(
                        "`auth`: \"none\" is for loopback addresses only, and `listen` is {}",
                        out.listen
                    ),
                    Some("listen on 127.0.0.1, or leave `auth` out and make accounts".into()),
                );
            }
        }
        if let Some(at) = &raw.tls {
            out.tls = at.value;
            if out.tls && out.enabled && http.tls.is_none() {
                reader.problems.error(
                    &at.span,
                    &at.key,
                    "`tls`: there is no certificate",
                    Some("set `tls_cert` and `tls_key` of [http]".into()),
                );
            }
        }
        if let Some(n) = reader.within(raw.max_clients.as_ref(), &(1..=1000)) {
            out.max_clients = n as usize;
        }
        if let Some(at) = raw.listen.as_ref().filter(|_| out.enabled && !out.tls)
            && !out.listen.ip().is_loopback()
            && out.auth != Auth::None
        {
            reader.problems.warn(
                &at.span,
                &at.key,
                "the RTSP server is open to the network without TLS: pictures and tokens cross it in clear",
                Some("set `tls`, or listen on 127.0.0.1".into()),
            );
        }
        out
    }
}
