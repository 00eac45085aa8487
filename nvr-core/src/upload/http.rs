//! Requests to a service: at a limited rate, and given up when nothing moves.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, HeaderValue, USER_AGENT};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Limited, StreamBody};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};

use super::bucket::TokenBucket;
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::time::duration_ns;

/// Bytes that go at once.
const PIECE: usize = 16 << 10;
/// How long nothing may move.
pub(super) const STALL: Duration = Duration::from_secs(60);
const AGENT: &str = concat!("nvr/", env!("CARGO_PKG_VERSION"));
const CONNECT: Duration = Duration::from_secs(10);

/// The rate of a target, shared by all its uploads.
#[derive(Debug)]
pub(super) struct Limiter {
    bucket: Mutex<TokenBucket>,
    clock: SharedClock,
}

impl Limiter {
    pub(super) fn new(bytes_per_s: u64, clock: SharedClock) -> Self {
        Self {
            bucket: Mutex::new(TokenBucket::new(bytes_per_s)),
            clock,
        }
    }

    /// After how long so many bytes may go.
    pub(super) fn take(&self, bytes: usize) -> Duration {
        let now = self.clock.steady_ns();
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(bytes as u64, now)
    }
}

/// What is sent.
type Sending = UnsyncBoxBody<Bytes, HttpError>;

/// An HTTP client that keeps to a rate.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    client: Client<HttpsConnector<hyper_util::client::legacy::connect::HttpConnector>, Sending>,
    limit: Arc<Limiter>,
    clock: SharedClock,
}

impl Wire {
    pub(super) fn new(ca: Option<&Path>, limit: Arc<Limiter>, clock: SharedClock) -> Result<Self> {
        let mut tcp = hyper_util::client::legacy::connect::HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(crate::tls::client(ca)?)
            // Whether that is wanted was asked when the configuration was read.
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, limit, clock })
    }

    /// A request without a body to an address that is signed already; status and the body, up to `most` bytes.
    pub(super) async fn get(&self, url: &str, most: usize) -> Result<(u16, Bytes)> {
        let request = http::Request::get(url)
            .header(USER_AGENT, AGENT)
            .body(Sending::new(Empty::new().map_err(|never| match never {})))
            .map_err(|e| Error::new(ErrorKind::Internal, "an address cannot be asked").with_source(e))?;
        // The address holds a signature, so it is not in the message.
        let failed =
            |e: &dyn std::fmt::Display| Error::new(ErrorKind::Unavailable, format!("the service: {e}"));
        let asked = async {
            let answer = self
                .client
                .request(request)
                .await
                .map_err(|e| failed(&chain(&e)))?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), most).collect().await;
            let body = body.map_err(|e| failed(&e))?.to_bytes();
            Ok((status, body))
        };
        tokio::select! {
            answer = asked => answer,
            () = self.clock.sleep(STALL) => Err(Error::new(ErrorKind::Timeout, "the service does not answer")),
        }
    }

    fn paced(&self, body: HttpRequestBody, moved: Arc<AtomicI64>) -> Sending {
        let (limit, clock) = (Arc::clone(&self.limit), self.clock.clone());
        let state = (body, Bytes::new());
        let pieces = stream::unfold(state, move |(mut body, mut rest)| {
            let (limit, clock, moved) = (Arc::clone(&limit), clock.clone(), Arc::clone(&moved));
            async move {
                while rest.is_empty() {
                    match body.frame().await? {
                        Ok(frame) => rest = frame.into_data().unwrap_or_default(),
                        Err(e) => return Some((Err(e), (body, rest))),
                    }
                }
                let piece = rest.split_to(rest.len().min(PIECE));
                let wait = limit.take(piece.len());
                // To wait for its turn is no standstill.
                let now = clock.steady_ns().saturating_add(duration_ns(wait));
                moved.store(now, Ordering::Relaxed);
                if !wait.is_zero() {
                    clock.sleep(wait).await;
                }
                Some((Ok::<_, HttpError>(Frame::data(piece)), (body, rest)))
            }
        });
        Sending::new(StreamBody::new(pieces))
    }

    async fn stands_still(&self, moved: &AtomicI64) {
        loop {
            let idle = self
                .clock
                .steady_ns()
                .saturating_sub(moved.load(Ordering::Relaxed));
            let left = duration_ns(STALL).saturating_sub(idle);
            if left <= 0 {
                return;
            }
            self.clock.sleep(Duration::from_nanos(left.unsigned_abs())).await;
        }
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let (mut parts, body) = request.into_parts();
        let moved = Arc::new(AtomicI64::new(self.clock.steady_ns()));
        let length = body.content_length();
        if length > 0 {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        parts.headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let request = http::Request::from_parts(parts, self.paced(body, Arc::clone(&moved)));
        let answer = tokio::select! {
            answer = self.client.request(request) => answer,
            () = self.stands_still(&moved) => {
                let late = std::io::Error::new(std::io::ErrorKind::TimedOut, "nothing moved for a minute");
                return Err(HttpError::new(HttpErrorKind::Timeout, late));
            }
        };
        let (parts, body) = answer
            .map_err(|e| {
                let kind = if e.is_connect() {
                    HttpErrorKind::Connect
                } else {
                    HttpErrorKind::Interrupted
                };
                HttpError::new(kind, std::io::Error::other(chain(&e)))
            })?
            .into_parts();
        let body = HttpResponseBody::new(body.map_err(|e| HttpError::new(HttpErrorKind::Interrupted, e)));
        Ok(HttpResponse::from_parts(parts, body))
    }
}

/// An error with its causes, which hyper does not name.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Hands out one client, whatever is asked for.
#[derive(Debug)]
pub(super) struct Connector(pub(super) Wire);

impl HttpConnector for Connector {
    fn connect(&self, _: &object_store::ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}
