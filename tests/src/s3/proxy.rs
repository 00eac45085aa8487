//! The proxy before the service.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Longest head of a request.
const MOST_HEAD: usize = 64 << 10;

/// How the proxy treats connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It hands everything on.
    Pass,
    /// It closes each connection at once, as if nobody were there.
    Away,
    /// It hands on so many bytes of requests, all connections together, and then cuts everything off.
    CutAfter(u64),
    /// It hands on so many bytes of requests a second, each connection for itself.
    Slow(u64),
    /// It hands on so many bytes of requests, all connections together, and then takes nothing more and says nothing.
    StandStill(u64),
    /// It hands on request by request. Of each body that is sent it alters one bit.
    Alter,
    /// It answers that there is no room.
    Full,
    /// It answers that the key may not.
    Refuse,
    /// It hands on request by request, and for ever holds the `nth` (from 1) of a method whose path has such a part:
    /// before the service sees it, or the answer of the service.
    Hold {
        /// Method.
        method: &'static str,
        /// Part of path and query.
        has: &'static str,
        /// Which of them.
        nth: usize,
        /// Whether the service does not see it.
        before: bool,
    },
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Length of its body.
    pub body_bytes: usize,
    /// What was answered; 0 before that.
    pub status: u16,
}

impl Request {
    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A proxy before a service of whatever kind.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Begins to hand on.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(service: SocketAddr) -> std::io::Result<Self> {
        Self::start_as(service, false).await
    }

    /// The same for clients that speak as to Google Cloud Storage, to a service of S3: in what they have in common the names of
    /// the headers differ. It wants MD5, and looks at it, as Google does. Who asks is not looked at.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_google(service: SocketAddr) -> std::io::Result<Self> {
        Self::start_as(service, true).await
    }

    async fn start_as(service: SocketAddr, google: bool) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            google,
            ..Shared::default()
        });
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(serve(listener, service, Arc::clone(&shared), None));
        Ok(Self { address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
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
}

#[derive(Debug)]
pub(super) struct Shared {
    /// Whether clients speak as to Google.
    google: bool,
    mode: Mutex<Mode>,
    /// Counts the changes of mode: connections end with the mode that they began in.
    turn: AtomicUsize,
    pub(super) sent: AtomicU64,
    /// Requests that a hold could have meant.
    seen: AtomicUsize,
    pub(super) held: AtomicBool,
    requests: Mutex<Vec<Request>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            google: false,
            mode: Mutex::new(Mode::Pass),
            turn: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            seen: AtomicUsize::new(0),
            held: AtomicBool::new(false),
            requests: Mutex::default(),
        }
    }
}

impl Shared {
    pub(super) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
        self.sent.store(0, Ordering::SeqCst);
        self.seen.store(0, Ordering::SeqCst);
        self.held.store(false, Ordering::SeqCst);
        self.lock().clear();
        self.turn.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request is the one to be held.
    fn is_meant(&self, mode: Mode, request: &Request) -> bool {
        match mode {
            Mode::Hold { method, has, nth, .. } => {
                request.method == method
                    && request.path.contains(has)
                    && self.seen.fetch_add(1, Ordering::SeqCst) + 1 == nth
            }
            _ => false,
        }
    }

    /// Until the mode changes.
    async fn hold(&self, turn: usize) {
        self.held.store(true, Ordering::SeqCst);
        while self.turn.load(Ordering::SeqCst) == turn {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(super) async fn serve(
    listener: TcpListener,
    service: SocketAddr,
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        tokio::spawn(async move {
            // A connection that breaks is what this is for.
            let _ = match tls {
                None => Box::pin(connection(client, service, &shared)).await,
                Some(tls) => match tls.accept(client).await {
                    Ok(client) => Box::pin(by_request(client, service, &shared)).await,
                    Err(e) => Err(e),
                },
            };
        });
    }
}

/// Hands on one request and its answer, and takes both down.
async fn by_request(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    service: SocketAddr,
    shared: &Shared,
) -> std::io::Result<()> {
    let (mut got, mut piece) = (Vec::new(), vec![0; 65_536]);
    let end = loop {
        if let Some(end) = got.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        let n = client.read(&mut piece).await?;
        got.extend_from_slice(&piece[..n]);
        if n == 0 || got.len() > MOST_HEAD + piece.len() {
            return Ok(());
        }
    };
    // Of when it came: its connection may have been opened long before.
    let mode = *shared.mode.lock().unwrap_or_else(PoisonError::into_inner);
    let turn = shared.turn.load(Ordering::SeqCst);
    let head = String::from_utf8_lossy(&got[..end]).into_owned();
    let mut request = parse(&head);
    while got.len() < end + request.body_bytes {
        let n = client.read(&mut piece).await?;
        if n == 0 {
            return Ok(());
        }
        got.extend_from_slice(&piece[..n]);
    }
    shared.sent.fetch_add(got.len() as u64, Ordering::SeqCst);
    if mode == Mode::Alter && request.body_bytes > 0 {
        got[end + request.body_bytes / 2] ^= 1;
    }
    if !is_what_was_meant(&request, &got[end..]) || (shared.google && !has_its_md5(&request, &got[end..])) {
        // What S3 says then. The service of the tests does not look.
        request.status = 400;
        shared.lock().push(request);
        let body = "<Error><Code>BadDigest</Code></Error>";
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        client.write_all(answer.as_bytes()).await?;
        return client.shutdown().await;
    }
    let is_meant = shared.is_meant(mode, &request);
    if is_meant && matches!(mode, Mode::Hold { before: true, .. }) {
        shared.hold(turn).await;
        return Ok(());
    }
    let mut upstream = TcpStream::connect(service).await?;
    let (line, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
    let rest = if shared.google {
        as_s3(rest)
    } else {
        rest.to_owned()
    };
    let mut all = format!("{line}\r\nConnection: close\r\n{rest}").into_bytes();
    all.extend_from_slice(&got[end..]);
    upstream.write_all(&all).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    if shared.google {
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(0);
        let head = String::from_utf8_lossy(&answer[..end]).replace("x-amz-", "x-goog-");
        answer.splice(..end, head.into_bytes());
    }
    let first = String::from_utf8_lossy(&answer[..answer.len().min(64)]).into_owned();
    request.status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    shared.lock().push(request);
    if is_meant {
        shared.hold(turn).await;
        return Ok(());
    }
    client.write_all(&answer).await?;
    client.shutdown().await
}

/// Whether a body has the check sum that goes along with it.
fn is_what_was_meant(request: &Request, body: &[u8]) -> bool {
    request
        .header("x-amz-checksum-sha256")
        .is_none_or(|told| told == BASE64_STANDARD.encode(Sha256::digest(body)))
}

/// Whether what is put has the MD5 that has to go along with it.
fn has_its_md5(request: &Request, body: &[u8]) -> bool {
    let told = request.header("content-md5");
    request.method != "PUT" || told == Some(BASE64_STANDARD.encode(md5::Md5::digest(body)).as_str())
}

/// Lines of a head as S3 has them, without the token of Google.
fn as_s3(lines: &str) -> String {
    let kept = lines
        .split_inclusive("\r\n")
        .filter(|l| !l.to_ascii_lowercase().starts_with("authorization:"));
    kept.map(|l| l.replacen("x-goog-", "x-amz-", 1)).collect()
}

fn parse(head: &str) -> Request {
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let headers: Vec<(String, String)> = lines
        .filter_map(|l| l.split_once(':'))
        .map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(n, _)| n == "content-length");
    Request {
        method: first.next().unwrap_or_default(),
        path: first.next().unwrap_or_default(),
        body_bytes: length.and_then(|(_, v)| v.parse().ok()).unwrap_or(0),
        headers,
        status: 0,
    }
}

async fn connection(mut client: TcpStream, service: SocketAddr, shared: &Shared) -> std::io::Result<()> {
    let mode = *shared.mode.lock().unwrap_or_else(PoisonError::into_inner);
    let turn = shared.turn.load(Ordering::SeqCst);
    let (status, code) = match mode {
        Mode::Away => return Ok(()),
        Mode::Full => ("507 Insufficient Storage", "XMinioStorageFull"),
        Mode::Refuse => ("403 Forbidden", "AccessDenied"),
        Mode::Pass if shared.google => return by_request(client, service, shared).await,
        Mode::Hold { .. } | Mode::Alter => return by_request(client, service, shared).await,
        Mode::Pass | Mode::CutAfter(_) | Mode::Slow(_) | Mode::StandStill(_) => {
            let upstream = TcpStream::connect(service).await?;
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
    mut client: TcpStream,
    mut upstream: TcpStream,
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
                match mode {
                    Mode::Slow(rate) => {
                        let due = Duration::from_micros(n as u64 * 1_000_000 / rate.max(1));
                        tokio::time::sleep(due).await;
                    }
                    Mode::StandStill(most) if sent > most => {
                        shared.hold(turn).await;
                        return Ok(());
                    }
                    _ => {}
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
