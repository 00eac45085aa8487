//! `[http]`: the HTTP server's address and limits, and who may ask it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::reader::{At, Reader, Section, section};
use super::values::{Bytes, Span, Text, Word};

/// Who may ask.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Those who have an account or a token.
    #[default]
    Accounts,
    /// Everybody who reaches the address, which must be a loopback one.
    None,
}

/// Another recorder whose addresses are answered as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Compat {
    /// The playback server of MediaMTX.
    Mediamtx,
    /// What players and home automations read from Frigate.
    Frigate,
    /// The recorder of V4L2 cameras with a Flask page (`/api/cameras`, `/api/recordings`, `/api/start_all` …).
    Flask,
    /// The recorder that opens a session for each camera (`/session/open`, `/stream`, `/record/start`, `/videos` …).
    Sessions,
}

impl Compat {
    /// All.
    pub const ALL: [Self; 4] = [Self::Mediamtx, Self::Frigate, Self::Flask, Self::Sessions];

    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mediamtx => "mediamtx",
            Self::Frigate => "frigate",
            Self::Flask => "flask",
            Self::Sessions => "sessions",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == name)
    }
}

/// Certificate and key of a server that speaks TLS itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The certificate and those that vouch for it, as PEM.
    pub cert: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
}

/// The HTTP server's address and limits.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Whether there is one (default: yes).
    pub enabled: bool,
    /// Address and port (default `127.0.0.1:8080`).
    pub listen: SocketAddr,
    /// Who may ask (default: who has an account).
    pub auth: Auth,
    /// Certificate and key, if the server speaks TLS itself.
    pub tls: Option<TlsFiles>,
    /// Proxies whose word is taken for who asks (`X-Forwarded-For`, `-Proto`, `-Host`).
    pub trusted_proxies: Vec<IpNet>,
    /// Where the server lies below its address, `""` or such as `/nvr`.
    pub base_path: String,
    /// Other sites whose pages may ask, such as `https://panel.example.org`.
    pub cors_origins: Vec<String>,
    /// Whether anybody may read the metrics (default: those on this machine, or with a token).
    pub metrics_open: bool,
    /// How long the audit log is kept (1 day to 10 years; default 180 days).
    pub audit_keep: Duration,
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
    /// Other recorders whose addresses are answered as well (default: MediaMTX and Frigate).
    pub compat: Vec<Compat>,
}

const WEBRTC_PORT: u16 = 8189;

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            auth: Auth::Accounts,
            tls: None,
            trusted_proxies: Vec::new(),
            base_path: String::new(),
            cors_origins: Vec::new(),
            metrics_open: false,
            audit_keep: Duration::from_secs(180 * 86_400),
            max_body_bytes: 1 << 20,
            request_timeout: Duration::from_secs(30),
            max_concurrent: 512,
            host_names: Vec::new(),
            webrtc: true,
            webrtc_port: WEBRTC_PORT,
            public_addresses: Vec::new(),
            compat: vec![Compat::Mediamtx, Compat::Frigate],
        }
    }
}

section! {
    /// The HTTP server: API, metrics and page.
    RawHttp requires [] {
        /// Whether there is one.
        enabled: bool = true,
        /// Address and port. For other addresses than the loopback one set `tls_cert` and `tls_key`, or put a proxy in
        /// front that speaks TLS: passwords would cross the network in clear.
        listen: Text = "127.0.0.1:8080",
        /// Who may ask: who has an account or a token, or everybody (`none`). The latter only where `listen` is a
        /// loopback address: everybody on this machine can see and control everything then.
        auth: Word<Auth> = "accounts",
        /// File with the certificate, and those that vouch for it, as PEM: the server then speaks TLS. Read again when
        /// it changes.
        tls_cert: Text,
        /// File with the certificate's private key, as PEM.
        tls_key: Text,
        /// Addresses or networks of proxies, separated by commas (`"127.0.0.1, 10.0.0.0/8"`), whose `X-Forwarded-For`,
        /// `X-Forwarded-Proto` and `X-Forwarded-Host` are believed. Nobody else's are.
        trusted_proxies: Text,
        /// Where a proxy shows the recorder below its own address, such as `"/nvr"`.
        base_path: Text,
        /// Other sites whose pages may ask the API, separated by commas: `"https://panel.example.org"`. They need a token:
        /// a browser does not send them the cookie of a login.
        cors_origins: Text,
        /// Whether anybody may read `/metrics`. Otherwise it is for this machine, and for those who have a token.
        metrics_open: bool = false,
        /// How long it is kept who saw, exported, deleted or changed what, 1 day to 520 weeks.
        audit_keep: Span = "180d",
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
        /// Other recorders whose addresses are answered as well, for their clients, separated by commas: `mediamtx`,
        /// `frigate`, `flask`, `sessions`; empty for none.
        compat: Text = "mediamtx, frigate",
    }
}

impl HttpConfig {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>, base: Option<&Path>) -> Self {
        let raw = RawHttp::read(reader, section);
        let mut out = Self::default();
        if let Some(at) = &raw.enabled {
            out.enabled = at.value;
        }
        if let Some(at) = &raw.listen {
            match at.value.as_str().parse::<SocketAddr>() {
                Ok(listen) => out.listen = listen,
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
        if let Some(at) = &raw.compat {
            out.compat = if at.value.as_str().trim().is_empty() {
                Vec::new()
            } else {
                let hint = "write names from mediamtx, frigate, flask, sessions";
                list(reader, at, Compat::from_name, hint)
            };
        }
        out.read_access(reader, &raw, base);
        out
    }

    /// The keys about who may ask, and what goes together.
    fn read_access(&mut self, reader: &mut Reader<'_, '_>, raw: &RawHttp, base: Option<&Path>) {
        if let Some(at) = &raw.auth {
            self.auth = at.value.0;
            if self.auth == Auth::None && self.enabled && !self.listen.ip().is_loopback() {
                reader.problems.error(
                    &at.span,
                    &at.key,
                    format!(
                        "`auth`: \"none\" is for loopback addresses only, and `listen` is {}",
                        self.listen
                    ),
                    Some("listen on 127.0.0.1, or leave `auth` out and make accounts".into()),
                );
            }
        }
        let file = |at: &At<Text>| {
            base.map_or_else(|| PathBuf::from(at.value.as_str()), |b| b.join(at.value.as_str()))
        };
        match (&raw.tls_cert, &raw.tls_key) {
            (Some(cert), Some(key)) => {
                self.tls = Some(TlsFiles {
                    cert: file(cert),
                    key: file(key),
                });
            }
            (Some(lone), None) | (None, Some(lone)) => reader.problems.error(
                &lone.span,
                &lone.key,
                "TLS needs both `tls_cert` and `tls_key`",
                Some("name the files of the certificate and of its key".into()),
            ),
            (None, None) => {}
        }
        if let Some(at) = &raw.trusted_proxies {
            self.trusted_proxies = list(
                reader,
                at,
                network,
                "write addresses or networks: \"127.0.0.1, 10.0.0.0/8\"",
            );
        }
        if let Some(at) = &raw.cors_origins {
            self.cors_origins = list(
                reader,
                at,
                origin,
                "write scheme and name: \"https://panel.example.org\"",
            );
        }
        if let Some(at) = &raw.base_path {
            let path = at.value.as_str().trim_end_matches('/');
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
            let good = path.is_empty()
                || path.starts_with('/')
                    && path.chars().all(fits)
                    && path.len() <= 200
                    && path
                        .split('/')
                        .skip(1)
                        .all(|p| !p.is_empty() && p != "." && p != "..")
                    && !["/api", "/page"].contains(&path);
            if good {
                path.clone_into(&mut self.base_path);
            } else {
                reader.problems.error(
                    &at.span,
                    &at.key,
                    format!("`base_path`: {} is not usable", at.value.shown()),
                    Some("write a path such as \"/nvr\"".into()),
                );
            }
        }
        if let Some(at) = &raw.metrics_open {
            self.metrics_open = at.value;
        }
        let day = Duration::from_secs(86_400);
        if let Some(d) = reader.within(raw.audit_keep.as_ref(), &(Span(day)..=Span(day * 7 * 520))) {
            self.audit_keep = d.0;
        }
        let plain = self.tls.is_none() && self.trusted_proxies.is_empty();
        if let Some(at) = raw.listen.as_ref().filter(|_| self.enabled && plain)
            && !self.listen.ip().is_loopback()
            && self.auth != Auth::None
        {
            reader.problems.warn(
                &at.span,
                &at.key,
                "the server is open to the network without TLS: passwords and pictures cross it in clear",
                Some(
                    "set `tls_cert` and `tls_key`, or listen on 127.0.0.1 behind a proxy that speaks TLS"
                        .into(),
                ),
            );
        }
    }
}

/// The items of a text with commas; reports the first that cannot be read.
fn list<T>(reader: &mut Reader<'_, '_>, at: &At<Text>, read: fn(&str) -> Option<T>, hint: &str) -> Vec<T> {
    let mut out = Vec::new();
    for item in at.value.as_str().split(',').map(str::trim) {
        match read(item) {
            Some(value) => out.push(value),
            None => {
                let name = at.key.rsplit('.').next().unwrap_or_default();
                reader.problems.error(
                    &at.span,
                    &at.key,
                    format!("`{name}`: an item of {} cannot be read", at.value.shown()),
                    Some(hint.to_owned()),
                );
                break;
            }
        }
    }
    out
}

fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Scheme and authority, as browsers write it.
fn origin(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let origin = url.origin();
    let good = matches!(url.scheme(), "http" | "https") && origin.is_tuple() && url.path() == "/";
    (good && url.query().is_none()).then(|| origin.ascii_serialization())
}
