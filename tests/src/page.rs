//! The HTTP server in front of a recorder, asked by hand.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nvr_core::Nvr;
use nvr_core::config::HttpConfig;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A server on a port of its own, until [`stop`](Self::stop).
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<anyhow::Result<()>>,
}

impl Page {
    /// Serves.
    ///
    /// # Errors
    /// Without a free port.
    pub async fn serve(nvr: Nvr, http: HttpConfig) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = nvr_http::AppState::new(nvr, &http);
        let stop = CancellationToken::new();
        let until = stop.clone();
        let server = tokio::spawn(async move {
            let served = nvr_http::serve_state(listener, state, &http, until, Duration::from_secs(1));
            served.await.map_err(anyhow::Error::from)
        });
        Ok(Self {
            address,
            stop,
            server,
        })
    }

    /// The body of what is at a path.
    ///
    /// # Errors
    /// Anything but 200.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        let (address, path) = (self.address, path.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address)?;
            write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            let (head, body) = answer.split_once("\r\n\r\n").context("no end of the head")?;
            ensure!(head.contains(" 200 "), "{path}: {answer}");
            Ok(body.to_owned())
        });
        asked.await?
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// Anything but 200 with JSON.
    pub async fn json(&self, path: &str) -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.text(path).await?)?)
    }

    /// Ends the server.
    ///
    /// # Errors
    /// When it failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.server.await?
    }
}
