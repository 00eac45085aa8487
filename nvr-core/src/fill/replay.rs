//! Playing a recording on a camera's card: RTSP over one connection, read no faster than is wanted.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::rtsp::{Client, ClientOptions, Event, RtspError, RtspErrorKind};
use crate::source::Credentials;
use crate::time::{NS_PER_S, TimeRange, Timestamp};
use crate::web::{self, AGENT};

/// How long connecting and an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// A replay that brings nothing for so long is over: not all cameras say so.
const SILENCE: Duration = Duration::from_secs(20);
/// Bytes read at once.
const PIECE: usize = 64 << 10;

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A replay under way.
pub(super) struct Replay {
    link: Box<dyn Duplex>,
    client: Client,
    clock: SharedClock,
    buffer: Vec<u8>,
    events: Vec<Event>,
    /// Bytes a second at most; 0: no limit.
    rate: u64,
    began_ns: i64,
    /// Bytes that came, and that may come in all.
    bytes: u64,
    most_bytes: u64,
    last_unit_ns: i64,
    units: u64,
    closed: bool,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// What to play.
#[derive(Clone, Debug)]
pub(super) struct What {
    pub address: Url,
    pub credentials: Option<Credentials>,
    /// By the camera's clock.
    pub range: TimeRange,
    pub rate: u64,
    /// Sound as well, if there is any.
    pub audio: bool,
    /// More bytes than this are not taken.
    pub most_bytes: u64,
}

impl Replay {
    /// Connects; playing begins with the first [`next`](Self::next).
    ///
    /// # Errors
    /// `Unavailable` and `Timeout` when nobody answers.
    pub(super) async fn open(clock: &SharedClock, what: What) -> Result<Self> {
        let link = tokio::select! {
            link = connect(&what.address) => link?,
            () = clock.sleep(PATIENCE) => {
                return Err(Error::new(ErrorKind::Timeout, "the camera's replay does not answer"));
            }
        };
        let now_ns = clock.steady_ns();
        let options = ClientOptions {
            url: what.address,
            credentials: what.credentials,
            withheld_for: None,
            want_audio: what.audio,
            user_agent: AGENT.into(),
            range: Some(format!(
                "clock={}-{}",
                clock_time(what.range.start()),
                clock_time(what.range.end())
            )),
            replay: true,
            timeout_ns: crate::time::duration_ns(PATIENCE),
            seed: rand::random(),
        };
        Ok(Self {
            link,
            client: Client::new(options, now_ns),
            clock: Arc::clone(clock),
            buffer: vec![0; PIECE],
            events: Vec::new(),
            rate: what.rate,
            began_ns: now_ns,
            bytes: 0,
            most_bytes: what.most_bytes,
            last_unit_ns: now_ns,
            units: 0,
            closed: false,
        })
    }

    /// What comes next, at least one event. The last is [`Event::Ended`] or [`Event::Redirect`].
    ///
    /// # Errors
    /// `Unauthorized`, `NotFound`, `Unsupported` as the camera answers, `Unavailable` and `Timeout` when it does not, or when
    /// the connection breaks.
    pub(super) async fn next(&mut self) -> Result<Vec<Event>> {
        loop {
            let output = self.client.take_output();
            if !output.is_empty() {
                self.link.write_all(&output).await.map_err(broken)?;
            }
            if !self.events.is_empty() {
                return Ok(std::mem::take(&mut self.events));
            }
            if self.closed {
                return Ok(vec![Event::Ended("the camera closed the connection".into())]);
            }
            self.slow_down().await;
            let now_ns = self.clock.steady_ns();
            let silent_ns = self.last_unit_ns + crate::time::duration_ns(SILENCE);
            let due_ns = self
                .client
                .next_timeout_ns()
                .map_or(silent_ns, |t| t.min(silent_ns));
            let due = Duration::from_nanos(u64::try_from(due_ns - now_ns).unwrap_or(0));
            tokio::select! {
                read = self.link.read(&mut self.buffer) => self.take(read.map_err(broken)?)?,
                () = self.clock.sleep(due) => self.on_time()?,
            }
        }
    }

    /// Whether a picture or sound came.
    pub(super) fn has_begun(&self) -> bool {
        self.units > 0
    }

    /// Says goodbye, as far as that goes at once.
    pub(super) async fn end(mut self) {
        self.client.teardown();
        let output = self.client.take_output();
        tokio::select! {
            _ = self.link.write_all(&output) => {}
            () = self.clock.sleep(Duration::from_secs(1)) => {}
        }
    }

    fn take(&mut self, n: usize) -> Result<()> {
        let now_ns = self.clock.steady_ns();
        if n == 0 {
            if self.units == 0 {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "the camera closed the connection before it played anything",
                ));
            }
            self.closed = true;
            self.client.closed(now_ns, &mut self.events);
            return Ok(());
        }
        self.bytes += n as u64;
        if self.bytes > self.most_bytes {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the camera sent {} bytes, more than the range can hold",
                    self.bytes
                ),
            ));
        }
        let before = self.events.len();
        self.client
            .input(&self.buffer[..n], now_ns, &mut self.events)
            .map_err(|e| error(&e))?;
        let units = self.events[before..]
            .iter()
            .filter(|e| matches!(e, Event::Unit(_)))
            .count();
        if units > 0 {
            self.units += units as u64;
            self.last_unit_ns = now_ns;
        }
        Ok(())
    }

    fn on_time(&mut self) -> Result<()> {
        let now_ns = self.clock.steady_ns();
        self.client
            .on_time(now_ns, &mut self.events)
            .map_err(|e| error(&e))?;
        if now_ns - self.last_unit_ns >= crate::time::duration_ns(SILENCE) {
            if self.units == 0 {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    "the camera plays nothing of what it should have",
                ));
            }
            self.closed = true;
            self.client.closed(now_ns, &mut self.events);
        }
        Ok(())
    }

    /// Waits until more may come.
    async fn slow_down(&mut self) {
        if self.rate == 0 {
            return;
        }
        let due_ns = i128::from(self.bytes) * i128::from(NS_PER_S) / i128::from(self.rate);
        let passed_ns = i128::from(self.clock.steady_ns() - self.began_ns);
        if let Ok(wait @ 1..) = u64::try_from(due_ns - passed_ns) {
            let wait = Duration::from_nanos(wait);
            self.clock.sleep(wait.min(Duration::from_secs(5))).await;
            self.last_unit_ns += crate::time::duration_ns(wait.min(Duration::from_secs(5)));
        }
    }
}

async fn connect(address: &Url) -> Result<Box<dyn Duplex>> {
    let unreachable = |why: String| Error::new(ErrorKind::Unavailable, format!("the camera's replay: {why}"));
    let host = address
        .host_str()
        .ok_or_else(|| unreachable("its address has no host".into()))?
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let with_tls = address.scheme() == "rtsps";
    let port = address.port().unwrap_or(if with_tls { 322 } else { 554 });
    let tcp = TcpStream::connect((host.as_str(), port))
        .await
        .map_err(|e| unreachable(format!("{host}:{port}: {e}")))?;
    if !with_tls {
        return Ok(Box::new(tcp));
    }
    let name = ServerName::try_from(host)
        .map_err(|_| unreachable("its name cannot stand in a certificate".into()))?;
    let tls = tokio_rustls::TlsConnector::from(Arc::new(web::tls(None)?));
    let tls = tls.connect(name, tcp).await;
    Ok(Box::new(tls.map_err(|e| unreachable(format!("TLS: {e}")))?))
}

fn broken(e: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the connection to the camera's replay broke",
    )
    .with_source(e)
}

fn error(e: &RtspError) -> Error {
    let kind = match e.kind {
        RtspErrorKind::Unreachable => ErrorKind::Unavailable,
        RtspErrorKind::Timeout => ErrorKind::Timeout,
        RtspErrorKind::Unauthorized | RtspErrorKind::Withheld => ErrorKind::Unauthorized,
        RtspErrorKind::NotFound => ErrorKind::NotFound,
        RtspErrorKind::Unsupported
        | RtspErrorKind::NoVideo
        | RtspErrorKind::Transport
        | RtspErrorKind::Protocol
        | RtspErrorKind::Redirect => ErrorKind::Unsupported,
    };
    Error::new(kind, format!("the camera's replay: {e}"))
}

/// `20260504T120000.500Z` (RFC 2326, 3.7).
fn clock_time(t: Timestamp) -> String {
    let ms = t.as_ns().div_euclid(1_000_000);
    let text = Timestamp::from_secs(ms.div_euclid(1000)).to_string();
    let whole: String = text
        .split(['.', 'Z'])
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect();
    format!("{whole}.{:03}Z", ms.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_protocol_wants_them() {
        let time = |text: &str| clock_time(text.parse().unwrap());
        assert_eq!(time("2026-05-04T12:00:00Z"), "20260504T120000.000Z");
        assert_eq!(time("2026-05-04T12:00:00.0125Z"), "20260504T120000.012Z");
    }
}
