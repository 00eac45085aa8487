//! Asks a running recorder over its own HTTP API: a few small answers from one address, so the plainest
//! client will do.

use std::net::SocketAddr;
use std::time::Duration;

use nvr_core::clock::SystemClock;
use nvr_core::config::Config;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::files::{Root, RootOptions};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::exit::{Failure, TABLE};

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
    let answer = tokio::time::timeout(PATIENCE, request(address, "GET", path)).await;
    answer.ok()?.map(|(_, value)| value)
}

/// Gives an order.
///
/// # Errors
/// What the recorder answers, or `Unavailable` when it does not.
pub async fn post(address: SocketAddr, path: &str) -> Result<Value, Failure> {
    let silent = || {
        let words = format!("the recorder at {address} does not answer");
        Error::new(ErrorKind::Unavailable, words).with_hint("see its log; try again later")
    };
    let answer = tokio::time::timeout(PATIENCE_OF_ORDERS, request(address, "POST", path)).await;
    let (status, value) = answer.map_err(|_| silent())?.ok_or_else(silent)?;
    if (200..300).contains(&status) {
        return Ok(value);
    }
    let kind = TABLE.iter().find(|(kind, ..)| value["type"] == kind.as_str());
    let words = value["detail"].as_str().unwrap_or("the recorder refused");
    let mut error = Error::new(kind.map_or(ErrorKind::Unavailable, |(kind, ..)| *kind), words);
    if let Some(hint) = value["hint"].as_str() {
        error = error.with_hint(hint);
    }
    Err(error.into())
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
    Ok(if recorder_runs(config).await? { address(config) } else { None })
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

async fn request(address: SocketAddr, method: &str, path: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut answer).await.ok()?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Option<(u16, Value)> {
    let head_end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let body = answer.get(head_end + 4..)?;
    let head = std::str::from_utf8(answer.get(..head_end)?).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split_whitespace().nth(1)?;
    Some((status.parse().ok()?, serde_json::from_slice(body).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(
            parse(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"a\":1}"),
            Some((200, serde_json::json!({"a": 1})))
        );
        for bad in [
            &b""[..],
            b"HTTP/1.0 200 OK",
            b"HTTP/1.1 200 OK\r\n\r\nhello",
            b"SSH-2.0\r\n\r\n{}",
        ] {
            assert_eq!(parse(bad), None);
        }
    }
}
