//! An S3 service on the loopback interface: moto as a process of its own, and a proxy before it that misbehaves, or takes
//! down what was asked.

mod proxy;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nvr_core::config::{S3Place, UploadChecksum, UploadConfig, UploadEncryption, UploadPlace};
use nvr_core::secret::Secret;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

pub use self::proxy::{Mode, Proxy, Request};
use self::proxy::{Shared, serve};
use crate::ports::free_port;
use crate::proc::Proc;
use crate::rig::LIMIT;
use crate::tls::Tls;
use crate::wait;

/// The bucket of the tests.
pub const BUCKET: &str = "footage";

/// The service and its proxy.
#[derive(Debug)]
pub struct S3 {
    _moto: Proc,
    service: SocketAddr,
    proxy: SocketAddr,
    shared: Arc<Shared>,
    tls: Option<Tls>,
    /// Whether it is the service itself that speaks TLS.
    end_to_end: bool,
}

/// The program: installed by `tools/install-deps.sh test`.
fn program() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let ours = home.join(".local/share/nvr-test-tools/bin/moto_server");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(ours)
        .chain(std::env::split_paths(&path).map(|dir| dir.join("moto_server")))
        .find(|p| p.is_file())
        .context("moto_server is not there: run tools/install-deps.sh test")
}

impl S3 {
    /// Starts both, with an empty bucket.
    ///
    /// # Errors
    /// When moto is not installed or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(None, false).await
    }

    /// The same with a service that speaks TLS; the proxy passes on what it cannot read.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_secure() -> anyhow::Result<Self> {
        Self::start_with(Some(Tls::new()?), true).await
    }

    /// The same with a proxy that speaks TLS and takes down every [`Request`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_recorded() -> anyhow::Result<Self> {
        Self::start_with(Some(Tls::new()?), false).await
    }

    async fn start_with(tls: Option<Tls>, end_to_end: bool) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(program()?);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        if let Some(tls) = tls.as_ref().filter(|_| end_to_end) {
            command
                .arg("-c")
                .arg(tls.cert_file())
                .arg("-k")
                .arg(tls.key_file());
        }
        let moto = Proc::spawn(command)?;
        let service = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait::until_true("moto", LIMIT, || {
            TcpStream::connect_timeout(&service, Duration::from_secs(1)).is_ok()
        })
        .with_context(|| moto.log())?;
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let proxy = listener.local_addr()?;
        let acceptor = tls.as_ref().filter(|_| !end_to_end).map(Tls::acceptor);
        tokio::spawn(serve(listener, service, Arc::clone(&shared), acceptor));
        let s3 = Self {
            _moto: moto,
            service,
            proxy,
            shared,
            tls,
            end_to_end,
        };
        // So that the tests may look into it without a signature.
        let (status, ..) = s3
            .ask_with("PUT", &format!("/{BUCKET}"), "x-amz-acl: public-read\r\n")
            .await?;
        ensure!(status == 200, "the bucket was not made: {status}");
        Ok(s3)
    }

    /// Address of the service itself.
    #[must_use]
    pub const fn service(&self) -> SocketAddr {
        self.service
    }

    /// Address of the proxy.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.proxy)
    }

    /// The certificate to trust, where there is TLS.
    #[must_use]
    pub fn ca(&self) -> Option<PathBuf> {
        self.tls.as_ref().map(Tls::ca_file)
    }

    /// A target in the bucket, by way of the proxy, with the smallest parts.
    #[must_use]
    pub fn target(&self, name: &str) -> UploadConfig {
        let mut config = target(name, &self.endpoint());
        if let UploadPlace::S3(place) = &mut config.place {
            place.ca = self.ca();
        }
        config
    }

    /// Changes how it behaves; connections that are open end.
    pub fn set(&self, mode: Mode) {
        self.shared.set(mode);
    }

    /// Bytes of requests since the mode was changed.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// Whether a request is held ([`Mode::Hold`]).
    #[must_use]
    pub fn is_holding(&self) -> bool {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// What was asked since the mode was changed, where requests are taken down.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests()
    }

    /// Asks the service itself, without a signature; status, head and body.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ask(&self, method: &str, path: &str) -> anyhow::Result<(u16, String, Vec<u8>)> {
        self.ask_with(method, path, "").await
    }

    /// The same with more lines of a head, each with its end.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &str,
    ) -> anyhow::Result<(u16, String, Vec<u8>)> {
        let stream = tokio::net::TcpStream::connect(self.service).await?;
        let mut stream: Box<dyn Both> = match &self.tls {
            Some(tls) if self.end_to_end => Box::new(tls.connect(stream).await?),
            _ => Box::new(stream),
        };
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\n{headers}Content-Length: 0\r\n\r\n",
            self.service
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer).await {
            // Its server closes without the goodbye of TLS; lengths are looked at below.
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof && !answer.is_empty() => {}
            other => other.map(drop)?,
        }
        let end = answer
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .context("an answer without a head")?;
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        Ok((status, head, answer[end + 4..].to_vec()))
    }

    /// An object, with the BLAKE3 that it says it has; `None` when it is not there.
    ///
    /// # Errors
    /// When the service does not answer.
    pub async fn object(&self, key: &str) -> anyhow::Result<Option<(Vec<u8>, String)>> {
        let (status, head, body) = self.ask("GET", &format!("/{BUCKET}/{key}")).await?;
        if status == 404 {
            return Ok(None);
        }
        ensure!(status == 200, "{status}");
        let hash = head.lines().find_map(|l| l.strip_prefix("x-amz-meta-blake3: "));
        Ok(Some((body, hash.unwrap_or_default().trim().to_owned())))
    }

    /// The names of all objects.
    ///
    /// # Errors
    /// When the service does not answer.
    pub async fn keys(&self) -> anyhow::Result<Vec<String>> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            // Names of the tests need no escapes.
            let after = keys.last().map_or("", String::as_str);
            let (status, _, body) = self
                .ask("GET", &format!("/{BUCKET}?list-type=2&start-after={after}"))
                .await?;
            ensure!(status == 200, "{status}");
            let text = String::from_utf8_lossy(&body).into_owned();
            let found = text.split("<Key>").skip(1);
            keys.extend(found.filter_map(|k| Some(k.split_once("</Key>")?.0.to_owned())));
            if !text.contains("<IsTruncated>true") {
                return Ok(keys);
            }
        }
    }

    /// How many uploads in parts are unfinished.
    ///
    /// # Errors
    /// When the service does not answer.
    pub async fn unfinished(&self) -> anyhow::Result<usize> {
        let (status, _, body) = self.ask("GET", &format!("/{BUCKET}?uploads")).await?;
        ensure!(status == 200, "{status}");
        Ok(String::from_utf8_lossy(&body).matches("<UploadId>").count())
    }
}

/// A connection, with TLS or without.
trait Both: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

/// A target in the bucket of a service, with the smallest parts.
#[must_use]
pub fn target(name: &str, endpoint: &str) -> UploadConfig {
    let place = S3Place {
        bucket: BUCKET.into(),
        prefix: "cctv".into(),
        endpoint: Some(endpoint.into()),
        region: "us-east-1".into(),
        access_key: "test".into(),
        secret_key: Secret::new("test"),
        path_style: true,
        ca: None,
        checksum: UploadChecksum::Sha256,
        encryption: UploadEncryption::Aes256,
        encryption_key: Secret::default(),
    };
    let mut config = UploadConfig::new(name, UploadPlace::S3(place));
    config.part_bytes = 5 << 20;
    config
}
