//! Asks a running recorder over its own HTTP API: a few small answers from one address, so the plainest
//! client will do.

use std::net::SocketAddr;
use std::time::Duration;

use nvr_core::clock::SystemClock;
use nvr_core::config::Config;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::files::{Root, RootOptions};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::exit::{self, Failure};

/// Longest wait for an answer; the recorder is on this machine or near.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same where the recorder has work to do first.
const PATIENCE_OF_ORDERS: Duration = Duration::from_secs(60);
/// Largest answer.
const MAX_BYTES: u64 = 16 << 20;

/// Where the recorder of a configuration answers; `None` when it serves no HTTP.
pub fn address(config: &Config) -> Option<SocketAddr> {
    let mut address = config.http.listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    (config.http.enabled && address.port() != 0).then_some(address)
}

/// The JSON at a path; `None` when nobody answers there, or not with JSON.
pub async fn get(address: SocketAddr, path: &str) -> Option<Value> {
    ask(address, "GET", path, None).await.map(|answer| answer.body)
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
        let kind = exit::TABLE
            .iter()
            .map(|(kind, ..)| *kind)
            .find(|kind| Some(kind.as_str()) == text("type"))
            .unwrap_or(ErrorKind::Unavailable);
        let error = Error::new(kind, text("detail").unwrap_or("the recorder refuses it"));
        Err(match text("hint") {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }
}

/// Sends a request, with a JSON body if there is one; `None` when nobody answers there, or not with JSON.
pub async fn ask(address: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
    tokio::time::timeout(PATIENCE, request(address, method, path, body))
        .await
        .ok()?
}

/// Events of a recorder as they happen.
#[derive(Debug)]
pub struct Events {
    stream: BufReader<TcpStream>,
    /// What came of the next line.
    line: Vec<u8>,
}

impl Events {
    /// Listens for some kinds of events; `None` when nobody tells them there.
    pub async fn of(address: SocketAddr, kinds: &str) -> Option<Self> {
        let begin = async {
            let mut stream = TcpStream::connect(address).await.ok()?;
            let head = format!(
                "GET /api/v1/events?kind={kinds} HTTP/1.0\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.ok()?;
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
        self.stream.read_until(b'\n', &mut self.line).await.ok()?;
        if !self.line.ends_with(b"\n") || self.line.len() as u64 > MAX_BYTES {
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
pub async fn post(address: SocketAddr, path: &str) -> Result<Value, Failure> {
    let silent = || {
        let words = format!("the recorder at {address} does not answer");
        Error::new(ErrorKind::Unavailable, words).with_hint("see its log; try again later")
    };
    let answer = tokio::time::timeout(PATIENCE_OF_ORDERS, request(address, "POST", path, None)).await;
    Ok(answer.map_err(|_| silent())?.ok_or_else(silent)?.into_result()?)
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
pub fn required_address(config: &Config) -> Result<SocketAddr, Failure> {
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
pub async fn answering(config: &Config) -> Result<Option<SocketAddr>, Failure> {
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

async fn request(address: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n");
    let body = body.map(Value::to_string).unwrap_or_default();
    if !body.is_empty() {
        head += &format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
    }
    stream
        .write_all(format!("{head}\r\n{body}").as_bytes())
        .await
        .ok()?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut answer).await.ok()?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let head_end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let body = answer.get(head_end + 4..)?;
    let head = answer.get(..head_end)?;
    let status = head.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    Some(Answer {
        status: std::str::from_utf8(status).ok()?.parse().ok()?,
        body: serde_json::from_slice(body).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(
            parse(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"a\":1}"),
            Some(Answer {
                status: 200,
                body: serde_json::json!({"a": 1})
            })
        );
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
