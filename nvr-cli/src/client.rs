//! Asks a running recorder over its own HTTP API: a few small answers from one address, so the plainest
//! client will do.
//!
//! Where the recorder has accounts, the token of the environment variable `NVR_TOKEN` is shown. Without one, whoever can
//! write the file of the accounts makes one for himself that is good for some minutes.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nvr_core::accounts::Accounts;
use nvr_core::clock::{SharedClock, SystemClock};
use nvr_core::config::{Auth, Config};
use nvr_core::error::{Error, ErrorKind};
use nvr_core::files::{Root, RootOptions};
use serde_json::Value;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::exit::{self, Failure};

/// Longest wait for an answer; the recorder is on this machine or near.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same where the recorder has work to do first.
const PATIENCE_OF_ORDERS: Duration = Duration::from_secs(60);
/// Largest answer.
const MAX_BYTES: u64 = 16 << 20;

/// How long a token of our own is good, and after how long another is made.
const TOKEN: Duration = Duration::from_secs(600);
const TOKEN_NEW: i64 = 300_000_000_000;

/// A recorder that can be asked. Prints as the address of its page.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    config: Config,
    clock: SharedClock,
    /// What we made, and when.
    token: Mutex<Option<(String, i64)>>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({self})")
    }
}

impl fmt::Display for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let http = &self.0.config.http;
        let scheme = if http.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}{}/", self.0.address, http.base_path)
    }
}

impl Recorder {
    /// What to show; `None` when nothing is needed, or nothing can be had: then the recorder says so.
    async fn token(&self) -> Option<String> {
        if let Ok(token) = std::env::var("NVR_TOKEN")
            && !token.is_empty()
        {
            return Some(token);
        }
        if self.0.config.http.auth == Auth::None {
            return None;
        }
        let mut place = self.0.token.lock().await;
        let now = self.0.clock.steady_ns();
        if let Some((token, made)) = &*place
            && now - made < TOKEN_NEW
        {
            return Some(token.clone());
        }
        let me = self.clone();
        let made = tokio::task::spawn_blocking(move || {
            Accounts::of(&me.0.config, me.0.clock.clone())?.passing_token_blocking(TOKEN)
        });
        match made.await {
            Ok(Ok(token)) => {
                *place = Some((token.expose().to_owned(), now));
                Some(token.expose().to_owned())
            }
            Ok(Err(e)) => {
                tracing::debug!(error = %e, "no token can be made");
                None
            }
            Err(_) => None,
        }
    }
}

/// The recorder of a configuration; `None` when it serves no HTTP.
pub fn address(config: &Config) -> Option<Recorder> {
    let mut address = config.http.listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    let inner = || Inner {
        address,
        config: config.clone(),
        clock: SystemClock::shared(),
        token: Mutex::new(None),
    };
    (config.http.enabled && address.port() != 0).then(|| Recorder(Arc::new(inner())))
}

/// The JSON at a path; `None` when nobody answers there, or not with JSON, or does not let us in.
pub async fn get(recorder: &Recorder, path: &str) -> Option<Value> {
    let answer = ask(recorder, "GET", path, None).await?;
    (answer.status / 100 == 2).then_some(answer.body)
}

/// Status and JSON of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// The JSON, or the error that the recorder told.
    ///
    /// # Errors
    /// What the recorder said.
    pub fn into_result(self) -> Result<Value, Error> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let text = |key: &str| self.body[key].as_str();
        if self.status == 401 {
            return Err(Error::new(ErrorKind::Unauthorized, "the recorder does not let us in").with_hint(
                "do this as the user that the recorder runs as, or set NVR_TOKEN to a token (`nvr token add`)",
            ));
        }
        let known = exit::TABLE
            .iter()
            .map(|(kind, ..)| *kind)
            .find(|kind| Some(kind.as_str()) == text("type"));
        let kind = match known {
            None if self.status == 403 => ErrorKind::Unauthorized,
            other => other.unwrap_or(ErrorKind::Unavailable),
        };
        let error = Error::new(kind, text("detail").unwrap_or("the recorder refuses it"));
        Err(match text("hint") {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }
}

/// Sends a request, with a JSON body if there is one; `None` when nobody answers there, or not with JSON.
pub async fn ask(recorder: &Recorder, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
    tokio::time::timeout(PATIENCE, request(recorder, method, path, body))
        .await
        .ok()?
}

/// A connection, encrypted or not.
trait Link: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Link for T {}

/// Events of a recorder as they happen.
pub struct Events {
    stream: BufReader<Box<dyn Link>>,
    /// What came of the next line.
    line: Vec<u8>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl Events {
    /// Listens for some kinds of events; `None` when nobody tells them there.
    pub async fn of(recorder: &Recorder, kinds: &str) -> Option<Self> {
        let begin = async {
            let path = format!("/api/v1/events?kind={kinds}");
            let head = head(recorder, "GET", &path, "text/event-stream").await;
            let stream = send(recorder, &format!("{head}\r\n")).await?;
            let mut events = Self {
                stream: BufReader::new(stream),
                line: Vec::new(),
            };
            let status = events.line().await?;
            // The head ends with an empty line.
            while !events.line().await?.is_empty() {}
            status.contains(" 200 ").then_some(events)
        };
        tokio::time::timeout(PATIENCE, begin).await.ok()?
    }

    /// Waits for the next one; `false` when there will be no more. What was read stays when it is dropped.
    pub async fn next(&mut self) -> bool {
        while let Some(line) = self.line().await {
            if line.starts_with("data:") {
                return true;
            }
        }
        false
    }

    async fn line(&mut self) -> Option<String> {
        let room = MAX_BYTES.saturating_sub(self.line.len() as u64);
        let mut stream = (&mut self.stream).take(room);
        stream.read_until(b'\n', &mut self.line).await.ok()?;
        if !self.line.ends_with(b"\n") {
            return None;
        }
        let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
        self.line.clear();
        Some(line)
    }
}

/// Gives an order that takes the recorder a while.
///
/// # Errors
/// What the recorder answers, or `Unavailable` when it does not.
pub async fn post(recorder: &Recorder, path: &str) -> Result<Value, Failure> {
    order(recorder, "POST", path, None).await
}

/// The same with any method, and a JSON body if there is one.
///
/// # Errors
/// What the recorder answers, or `Unavailable` when it does not.
pub async fn order(
    recorder: &Recorder,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    let silent = || {
        let words = format!("the recorder at {recorder} does not answer");
        Error::new(ErrorKind::Unavailable, words).with_hint("see its log; try again later")
    };
    let answer = tokio::time::timeout(PATIENCE_OF_ORDERS, request(recorder, method, path, body)).await;
    Ok(answer.map_err(|_| silent())?.ok_or_else(silent)?.into_result()?)
}

/// A part of a path, or a value behind it, whatever somebody wrote.
pub fn encode(text: &str) -> String {
    use fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}

/// Whether a recorder uses the root of a configuration.
///
/// # Errors
/// `Storage` when the root is not there.
pub async fn recorder_runs(config: &Config) -> Result<bool, Failure> {
    let root = config.recorder.root.clone();
    blocking(move || Root::open(root, RootOptions::default(), SystemClock::shared())?.is_in_use()).await
}

/// Where the recorder answers that has to be asked.
///
/// # Errors
/// `Conflict` when it serves no HTTP.
pub fn required_address(config: &Config) -> Result<Recorder, Failure> {
    address(config).ok_or_else(|| {
        Error::new(
            ErrorKind::Conflict,
            "the recorder is running and serves no HTTP, so it cannot be asked",
        )
        .with_hint("stop it, or set http.enabled and a port")
        .into()
    })
}

/// Where a recorder that runs answers; `None` when none runs, or it serves no HTTP.
///
/// # Errors
/// `Storage` when the root is not there.
pub async fn answering(config: &Config) -> Result<Option<Recorder>, Failure> {
    Ok(if recorder_runs(config).await? {
        address(config)
    } else {
        None
    })
}

/// Runs something that blocks where it may.
///
/// # Errors
/// Its own.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> nvr_core::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|e| Error::new(ErrorKind::Internal, "a task failed").with_source(e))??)
}

/// The head of a request, without the empty line at its end.
async fn head(recorder: &Recorder, method: &str, path: &str, accept: &str) -> String {
    let token = recorder.token().await;
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    let address = recorder.0.address;
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: {accept}\r\n");
    if let Some(token) = token.filter(|t| t.bytes().all(|b| b.is_ascii_graphic())) {
        head += &format!("Authorization: Bearer {token}\r\n");
    }
    head
}

async fn request(recorder: &Recorder, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
    let mut text = head(recorder, method, path, "application/json").await;
    let body = body.map(Value::to_string).unwrap_or_default();
    if !body.is_empty() {
        let length = body.len();
        text += &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    }
    text += &format!("\r\n{body}");
    let stream = send(recorder, &text).await?;
    let mut answer = Vec::new();
    // A TLS connection that ends without saying so is an error, and what came is whole all the same: it is JSON.
    let _ = stream.take(MAX_BYTES).read_to_end(&mut answer).await;
    parse(&answer)
}

/// Sends a request; what comes back can be read then.
async fn send(recorder: &Recorder, text: &str) -> Option<Box<dyn Link>> {
    let stream = TcpStream::connect(recorder.0.address).await.ok()?;
    let mut link: Box<dyn Link> = match &recorder.0.config.http.tls {
        None => Box::new(stream),
        Some(files) => Box::new(crate::tls::connect(stream, files).await?),
    };
    link.write_all(text.as_bytes()).await.ok()?;
    link.flush().await.ok()?;
    Some(link)
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let head_end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let body = answer.get(head_end + 4..)?;
    let head = answer.get(..head_end)?;
    let status = head.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    let status = std::str::from_utf8(status).ok()?.parse().ok()?;
    Some(Answer {
        status,
        body: match status {
            // Done, and there is nothing to say.
            204 if body.is_empty() => Value::Null,
            _ => serde_json::from_slice(body).ok()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_without_an_end_is_not_gathered_for_ever() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let teller = tokio::spawn(async move {
            let piece = vec![b'x'; 1 << 20];
            while far.write_all(&piece).await.is_ok() {}
        });
        let mut events = Events {
            stream: BufReader::new(Box::new(near)),
            line: Vec::new(),
        };
        assert!(!events.next().await);
        assert!(events.line.len() as u64 <= MAX_BYTES);
        drop(events);
        teller.await.unwrap();
    }

    #[test]
    fn answers() {
        assert_eq!(
            parse(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"a\":1}"),
            Some(Answer {
                status: 200,
                body: serde_json::json!({"a": 1})
            })
        );
        let done = parse(b"HTTP/1.0 204 No Content\r\n\r\n").unwrap();
        assert_eq!((done.status, done.body), (204, Value::Null));
        for bad in [
            &b""[..],
            b"HTTP/1.0 200 OK",
            b"HTTP/1.1 200 OK\r\n\r\nhello",
            b"HTTP/1.1 2\r\n\r\n{}",
            b"SSH-2.0\r\n\r\n{}",
        ] {
            assert_eq!(parse(bad), None);
        }
    }

    #[test]
    fn what_somebody_wrote_stays_one_part_of_a_path() {
        assert_eq!(encode("cam-1_x.y~z"), "cam-1_x.y~z");
        assert_eq!(encode("a b/../c?d&e\r\nü"), "a%20b%2F..%2Fc%3Fd%26e%0D%0A%C3%BC");
    }

    #[test]
    fn problems_become_errors() {
        let answer = parse(
            b"HTTP/1.0 409 Conflict\r\n\r\n{\"type\":\"conflict\",\"detail\":\"it is over\",\"hint\":\"wait\"}",
        );
        let e = answer.unwrap().into_result().unwrap_err();
        assert_eq!(
            (e.kind(), e.to_string().as_str(), e.hint()),
            (ErrorKind::Conflict, "it is over", Some("wait"))
        );
    }
}
