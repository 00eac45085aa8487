//! An S3 service on the loopback interface: moto as a process of its own, and a proxy before it that misbehaves.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nvr_core::config::{S3Place, UploadChecksum, UploadConfig, UploadEncryption, UploadPlace};
use nvr_core::secret::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::ports::free_port;
use crate::proc::Proc;
use crate::rig::LIMIT;
use crate::wait;

/// The bucket of the tests.
pub const BUCKET: &str = "footage";

/// How the proxy treats connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It hands everything on.
    Pass,
    /// It closes each connection at once, as if nobody were there.
    Away,
    /// It hands on so many bytes of requests, all connections together, and then cuts everything off.
    CutAfter(u64),
    /// It answers that there is no room.
    Full,
    /// It answers that the key may not.
    Refuse,
}

#[derive(Debug)]
struct Shared {
    mode: Mutex<Mode>,
    /// Counts the changes of mode: connections end with the mode that they began in.
    turn: AtomicUsize,
    sent: AtomicU64,
}

/// The service and its proxy.
#[derive(Debug)]
pub struct S3 {
    _moto: Proc,
    service: SocketAddr,
    proxy: SocketAddr,
    shared: Arc<Shared>,
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
        let port = free_port()?;
        let mut command = Command::new(program()?);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let moto = Proc::spawn(command)?;
        let service = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait::until_true("moto", LIMIT, || {
            TcpStream::connect_timeout(&service, Duration::from_secs(1)).is_ok()
        })
        .with_context(|| moto.log())?;
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Pass),
            turn: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let proxy = listener.local_addr()?;
        tokio::spawn(serve(listener, service, Arc::clone(&shared)));
        let s3 = Self {
            _moto: moto,
            service,
            proxy,
            shared,
        };
        // So that the tests may look into it without a signature.
        let (status, ..) = s3
            .ask_with("PUT", &format!("/{BUCKET}"), "x-amz-acl: public-read\r\n")
            .await?;
        ensure!(status == 200, "the bucket was not made: {status}");
        Ok(s3)
    }

    /// Address of the proxy.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.proxy)
    }

    /// A target in the bucket, by way of the proxy, with the smallest parts.
    #[must_use]
    pub fn target(&self, name: &str) -> UploadConfig {
        target(name, &self.endpoint())
    }

    /// Changes how it behaves; connections that are open end.
    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
        self.shared.sent.store(0, Ordering::SeqCst);
        self.shared.turn.fetch_add(1, Ordering::SeqCst);
    }

    /// Bytes of requests since the mode was changed.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// Asks the service itself, without a signature; status, head and body.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ask(&self, method: &str, path: &str) -> anyhow::Result<(u16, String, Vec<u8>)> {
        self.ask_with(method, path, "").await
    }

    async fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &str,
    ) -> anyhow::Result<(u16, String, Vec<u8>)> {
        let mut stream = tokio::net::TcpStream::connect(self.service).await?;
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\n{headers}Content-Length: 0\r\n\r\n",
            self.service
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
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

async fn serve(listener: TcpListener, service: SocketAddr, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A connection that breaks is what this is for.
            let _ = Box::pin(connection(client, service, &shared)).await;
        });
    }
}

async fn connection(
    mut client: tokio::net::TcpStream,
    service: SocketAddr,
    shared: &Shared,
) -> std::io::Result<()> {
    let mode = *shared.mode.lock().unwrap_or_else(PoisonError::into_inner);
    let turn = shared.turn.load(Ordering::SeqCst);
    let (status, code) = match mode {
        Mode::Away => return Ok(()),
        Mode::Full => ("507 Insufficient Storage", "XMinioStorageFull"),
        Mode::Refuse => ("403 Forbidden", "AccessDenied"),
        Mode::Pass | Mode::CutAfter(_) => {
            let upstream = tokio::net::TcpStream::connect(service).await?;
            return pump(client, upstream, mode, turn, shared).await;
        }
    };
    let mut head = [0; 4096];
    let _ = client.read(&mut head).await?;
    let body = format!("<Error><Code>{code}</Code></Error>");
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(answer.as_bytes()).await?;
    // What still comes is taken, so that the answer is not lost to a reset.
    let mut rest = [0; 65_536];
    while client.read(&mut rest).await? > 0 {}
    Ok(())
}

async fn pump(
    mut client: tokio::net::TcpStream,
    mut upstream: tokio::net::TcpStream,
    mode: Mode,
    turn: usize,
    shared: &Shared,
) -> std::io::Result<()> {
    let (mut up, mut down) = (vec![0; 16_384], vec![0; 16_384]);
    loop {
        tokio::select! {
            n = client.read(&mut up) => {
                let n = n?;
                let sent = shared.sent.fetch_add(n as u64, Ordering::SeqCst) + n as u64;
                let is_cut = matches!(mode, Mode::CutAfter(most) if sent > most);
                if n == 0 || is_cut || shared.turn.load(Ordering::SeqCst) != turn {
                    return Ok(());
                }
                upstream.write_all(&up[..n]).await?;
            }
            n = upstream.read(&mut down) => {
                let n = n?;
                if n == 0 {
                    return Ok(());
                }
                client.write_all(&down[..n]).await?;
            }
        }
    }
}
