//! Asks a running recorder over its own HTTP API: a few small answers from one address, so the plainest
//! client will do.

use std::net::SocketAddr;
use std::time::Duration;

use nvr_core::config::Config;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest wait for an answer; the recorder is on this machine or near.
const PATIENCE: Duration = Duration::from_secs(2);
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
    tokio::time::timeout(PATIENCE, request(address, path))
        .await
        .ok()?
}

async fn request(address: SocketAddr, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    let head = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut answer).await.ok()?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Option<Value> {
    let head_end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let body = answer.get(head_end + 4..)?;
    answer
        .starts_with(b"HTTP/1.")
        .then(|| serde_json::from_slice(body).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(
            parse(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"a\":1}"),
            Some(serde_json::json!({"a": 1}))
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
