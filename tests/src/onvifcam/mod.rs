//! A simulated ONVIF camera: SOAP over HTTP with real checks of who asks, a camera that moves, and events.

mod answers;
mod probes;
mod proof;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use nvr_core::clock::{Clock as _, SystemClock};
use tokio::sync::Notify;

/// How the camera behaves.
#[derive(Clone, Debug)]
pub struct OnvifOptions {
    /// User that it knows.
    pub user: String,
    /// That user's password.
    pub password: String,
    /// Wants HTTP Digest; else a WS-UsernameToken.
    pub http_digest: bool,
    /// Seconds by which its clock is ahead.
    pub clock_ahead_s: i64,
    /// The host that it believes to have, in all addresses that it names.
    pub believes_to_be: Option<String>,
    /// Has Media 2 only, with an H.265 main stream.
    pub media2: bool,
    /// Knows `GetCapabilities` and not `GetServices`.
    pub old: bool,
    /// Can be turned.
    pub ptz: bool,
    /// Stops by itself when a move's time is over; there are cameras that do not.
    pub minds_timeout: bool,
    /// Address of the RTSP stream: main, then sub.
    pub streams: [String; 2],
    /// Where its card is played; without it has no Profile G.
    pub replay: Option<String>,
    /// What it answers when it is asked for its card.
    pub card: CardAnswer,
    /// Where it listens.
    pub listen: Ipv4Addr,
    /// Whether it is found by those who look for cameras on the network.
    pub discoverable: bool,
}

impl Default for OnvifOptions {
    fn default() -> Self {
        Self {
            user: "admin".into(),
            password: "s&cret".into(),
            http_digest: false,
            clock_ahead_s: 0,
            believes_to_be: None,
            media2: false,
            old: false,
            ptz: true,
            minds_timeout: true,
            streams: [
                "rtsp://127.0.0.1:8554/main".into(),
                "rtsp://127.0.0.1:8554/sub".into(),
            ],
            replay: None,
            card: CardAnswer::Fine,
            listen: Ipv4Addr::LOCALHOST,
            discoverable: false,
        }
    }
}

/// What a camera answers when it is asked for its card.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CardAnswer {
    /// A recording of the last day.
    #[default]
    Fine,
    /// No end of recordings.
    Huge,
    /// Something else than XML.
    NoXml,
    /// A recording of times that cannot be.
    Absurd,
    /// Recordings of two lenses.
    TwoLenses,
    /// A search that never ends.
    Endless,
}

/// What the camera did, and does.
#[derive(Debug, Default)]
pub struct Seen {
    /// Operations that were taken, in order, without their prefixes.
    pub operations: Vec<String>,
    /// Pan, tilt and zoom with which it moves; `None` while it stands.
    pub moving: Option<[f64; 3]>,
    /// How often each was refused because of who asked.
    pub refused: u32,
    /// Token and name of presets.
    pub presets: Vec<(String, String)>,
    pub(crate) made_presets: u32,
    pub(crate) subscriptions: u32,
    pub(crate) alive: Option<u32>,
    pub(crate) waiting: Vec<String>,
    pub(crate) moves: u64,
}

#[derive(Debug)]
struct Cam {
    options: OnvifOptions,
    address: SocketAddr,
    ahead_s: Mutex<i64>,
    seen: Mutex<Seen>,
    news: Notify,
}

/// A camera that runs until it is dropped.
#[derive(Debug)]
pub struct OnvifCam {
    cam: Arc<Cam>,
    task: tokio::task::JoinHandle<()>,
    probes: Option<tokio::task::JoinHandle<()>>,
}

impl OnvifCam {
    /// Starts at a port; 0 takes a free one.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn start(port: u16, options: OnvifOptions) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind((options.listen, port)).await?;
        let group = options
            .discoverable
            .then(|| probes::listen(options.listen))
            .transpose()?;
        let cam = Arc::new(Cam {
            address: listener.local_addr()?,
            ahead_s: Mutex::new(options.clock_ahead_s),
            options,
            seen: Mutex::default(),
            news: Notify::new(),
        });
        let app = Router::new().fallback(ask).with_state(Arc::clone(&cam));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        let probes = group.map(|socket| tokio::spawn(probes::answer(socket, Arc::clone(&cam))));
        Ok(Self { cam, task, probes })
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        self.cam.address.to_string()
    }

    /// Looks at what it did.
    pub fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.cam.lock())
    }

    /// Tells whoever has subscribed.
    pub fn tell(&self, topic: &str, source: &str, data: &str) {
        let message = answers::notification(topic, source, data);
        self.cam.lock().waiting.push(message);
        self.cam.news.notify_waiters();
    }

    /// Forgets all subscriptions, as after a restart.
    pub fn forget_subscriptions(&self) {
        self.cam.lock().alive = None;
        self.cam.news.notify_waiters();
    }
}

impl Drop for OnvifCam {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(probes) = &self.probes {
            probes.abort();
        }
    }
}

impl Cam {
    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its clock, in seconds since 1970.
    fn now_s(&self) -> i64 {
        let now = SystemClock::new().now().as_ns() / 1_000_000_000;
        now + *self.ahead_s.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn host(&self) -> String {
        self.options
            .believes_to_be
            .clone()
            .unwrap_or_else(|| self.address.to_string())
    }
}

async fn ask(State(cam): State<Arc<Cam>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    let Some(operation) = answers::operation(&text) else {
        return (StatusCode::BAD_REQUEST, "no SOAP").into_response();
    };
    // Open to all (ONVIF Core Specification, 5.9.4.3).
    if operation != "GetSystemDateAndTime" {
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        if cam.options.http_digest {
            let given = headers
                .get(header::AUTHORIZATION)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default();
            if !proof::digest_holds(given, path, &cam.options) {
                cam.lock().refused += 1;
                return (
                    StatusCode::UNAUTHORIZED,
                    [(header::WWW_AUTHENTICATE, proof::CHALLENGE)],
                    "",
                )
                    .into_response();
            }
        } else if !proof::token_holds(&text, cam.now_s(), &cam.options) {
            cam.lock().refused += 1;
            return soap(
                StatusCode::BAD_REQUEST,
                &answers::fault("Sender", "NotAuthorized", "Sender not Authorized"),
            );
        }
    }
    cam.lock().operations.push(operation.clone());
    if operation == "PullMessages" {
        return pull(&cam, uri.query().unwrap_or_default()).await;
    }
    match answers::answer(&cam, &operation, &text) {
        Some(body) => soap(StatusCode::OK, &body),
        None => soap(
            StatusCode::INTERNAL_SERVER_ERROR,
            &answers::fault("Receiver", "ActionNotSupported", "not here"),
        ),
    }
}

/// Holds the answer back until there is something, or the subscription is gone.
async fn pull(cam: &Cam, query: &str) -> Response {
    let over = tokio::time::sleep(Duration::from_secs(10));
    tokio::pin!(over);
    loop {
        let news = cam.news.notified();
        tokio::pin!(news);
        news.as_mut().enable();
        {
            let mut seen = cam.lock();
            if seen.alive.map(|n| format!("sub={n}")).as_deref() != Some(query) {
                let fault = answers::fault("Receiver", "ResourceUnknownFault", "no such subscription");
                return soap(StatusCode::INTERNAL_SERVER_ERROR, &fault);
            }
            if !seen.waiting.is_empty() {
                let all = std::mem::take(&mut seen.waiting).concat();
                return soap(
                    StatusCode::OK,
                    &format!("<tev:PullMessagesResponse>{all}</tev:PullMessagesResponse>"),
                );
            }
        }
        tokio::select! {
            () = news => {}
            () = &mut over => return soap(StatusCode::OK, "<tev:PullMessagesResponse/>"),
        }
    }
}

fn soap(status: StatusCode, body: &str) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/soap+xml; charset=utf-8")];
    (status, kind, answers::envelope(body)).into_response()
}
