//! Requests to a service: at a limited rate, and given up when nothing moves.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http_body::Frame;
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use md5::{Digest as _, Md5};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};

use super::bucket::TokenBucket;
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::time::duration_ns;
use crate::web::{self, AGENT, causes};

/// Bytes that go at once.
const PIECE: usize = 16 << 10;
/// How long nothing may move.
pub(super) const STALL: Duration = Duration::from_secs(60);
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
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
type Body = UnsyncBoxBody<Bytes, HttpError>;
/// What is received.
pub(super) type Received = BoxBody<Bytes, HttpError>;
/// An HTTP client that keeps to a rate.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    client: Client<web::Connector, Body>,
    limit: Arc<Limiter>,
    clock: SharedClock,
    /// What tells the server who we are, with each request.
    login: Option<HeaderValue>,
    /// Whether what is put goes with its MD5, which the service verifies.
    with_md5: bool,
}

/// An answer of a service.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A body that is to be sent.
#[derive(Debug)]
pub(super) struct Sent {
    body: Body,
    length: u64,
}

impl Sent {
    /// None.
    pub(super) fn nothing() -> Self {
        Self::bytes(Bytes::new())
    }

    /// One that is in memory.
    pub(super) fn bytes(bytes: Bytes) -> Self {
        Self {
            length: bytes.len() as u64,
            body: Body::new(Full::new(bytes).map_err(|never| match never {})),
        }
    }

    /// One that comes in pieces, so many bytes in all.
    pub(super) fn pieces(
        pieces: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
        length: u64,
    ) -> Self {
        let frames = pieces.map(|piece| match piece {
            Ok(bytes) => Ok(Frame::data(bytes)),
            Err(e) => Err(HttpError::new(HttpErrorKind::Unknown, e)),
        });
        Self {
            body: Body::new(StreamBody::new(frames)),
            length,
        }
    }
}

/// A request of a method that need not be one of HTTP itself.
pub(super) fn request(method: &str, url: &str) -> Result<http::Request<()>> {
    http::Request::builder()
        .method(method)
        .uri(url)
        .body(())
        .map_err(|e| Error::new(ErrorKind::Internal, "an address cannot be asked").with_source(e))
}

/// The value of `Content-MD5`.
pub(super) fn md5(bytes: &[u8]) -> HeaderValue {
    let text = base64::engine::general_purpose::STANDARD.encode(Md5::digest(bytes));
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn unavailable(e: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the service: {e}"))
}

fn late() -> Error {
    Error::new(ErrorKind::Timeout, "the service does not answer")
}

impl Wire {
    pub(super) fn new(ca: Option<&Path>, limit: Arc<Limiter>, clock: SharedClock) -> Result<Self> {
        let client = Client::builder(TokioExecutor::new()).build(web::connector(CONNECT, ca)?);
        Ok(Self {
            client,
            limit,
            clock,
            login: None,
            with_md5: false,
        })
    }

    /// One that tells a server user and password.
    pub(super) fn with_login(mut self, user: &str, password: &str) -> Result<Self> {
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let mut login = HeaderValue::from_str(&format!("Basic {login}"))
            .map_err(|e| Error::new(ErrorKind::Config, "the password cannot be sent").with_source(e))?;
        login.set_sensitive(true);
        self.login = Some(login);
        Ok(self)
    }

    /// One whose puts go with a check sum.
    pub(super) const fn with_md5(mut self) -> Self {
        self.with_md5 = true;
        self
    }

    /// A request without a body to an address that is signed already; status and the body, up to `most` bytes.
    pub(super) async fn get(&self, url: &str, most: usize) -> Result<(u16, Bytes)> {
        let answer = self.ask(request("GET", url)?, Sent::nothing(), most).await?;
        Ok((answer.status, answer.body))
    }

    /// A request with whatever body; the answer, its body up to `most` bytes.
    pub(super) async fn ask(&self, request: http::Request<()>, body: Sent, most: usize) -> Result<Answer> {
        let (status, headers, answer) = self.open(request, body).await?;
        let collected = async { Limited::new(answer, most).collect().await };
        let body = tokio::select! {
            body = collected => body.map_err(|e| unavailable(&e))?.to_bytes(),
            () = self.clock.sleep(STALL) => return Err(late()),
        };
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    /// The same, with the body of the answer yet to be read.
    pub(super) async fn open(
        &self,
        request: http::Request<()>,
        body: Sent,
    ) -> Result<(u16, HeaderMap, Received)> {
        let (parts, ()) = request.into_parts();
        // The address may hold a signature, so it is not in the message.
        let answer = self.transmit(parts, body.body, body.length).await;
        let answer = answer.map_err(|e| match e.kind() {
            HttpErrorKind::Timeout => late(),
            _ => unavailable(&causes(&e)),
        })?;
        let (parts, body) = answer.into_parts();
        Ok((parts.status.as_u16(), parts.headers, body))
    }

    /// Reads a body to its end, however long it is, as long as it moves.
    pub(super) async fn read(&self, body: &mut Received) -> Result<Option<Bytes>> {
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = self.clock.sleep(STALL) => return Err(late()),
            };
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(e)) => return Err(unavailable(&causes(&e))),
            }
        }
    }

    async fn transmit(
        &self,
        mut parts: http::request::Parts,
        body: Body,
        length: u64,
    ) -> std::result::Result<http::Response<Received>, HttpError> {
        let moved = Arc::new(AtomicI64::new(self.clock.steady_ns()));
        if length > 0 {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        parts.headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(login) = &self.login {
            parts.headers.insert(AUTHORIZATION, login.clone());
        }
        let request = http::Request::from_parts(parts, self.paced(body, Arc::clone(&moved)));
        let answer = tokio::select! {
            answer = self.client.request(request) => answer,
            () = self.stands_still(&moved) => {
                let late = std::io::Error::new(std::io::ErrorKind::TimedOut, "nothing moved for a minute");
                return Err(HttpError::new(HttpErrorKind::Timeout, late));
            }
        };
        let answer = answer.map_err(|e| {
            let kind = if e.is_connect() {
                HttpErrorKind::Connect
            } else {
                HttpErrorKind::Interrupted
            };
            HttpError::new(kind, std::io::Error::other(causes(&e)))
        })?;
        Ok(answer.map(|body| {
            let received = body
                .map_err(|e| HttpError::new(HttpErrorKind::Interrupted, std::io::Error::other(causes(&e))));
            Received::new(received)
        }))
    }

    fn paced(&self, body: Body, moved: Arc<AtomicI64>) -> Body {
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
        Body::new(StreamBody::new(pieces))
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
        let length = body.content_length() as u64;
        if self.with_md5 && length > 0 && parts.method == http::Method::PUT {
            let whole = body.clone().collect().await?.to_bytes();
            parts.headers.insert(CONTENT_MD5, md5(&whole));
        }
        let (parts, body) = self.transmit(parts, Body::new(body), length).await?.into_parts();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// Hands out one client, whatever is asked for.
#[derive(Debug)]
pub(super) struct Connector(pub(super) Wire);

impl HttpConnector for Connector {
    fn connect(&self, _: &object_store::ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}
