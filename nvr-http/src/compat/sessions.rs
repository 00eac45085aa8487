//! The recorder that opens a session for each camera: `/session/…`, the preview over a WebSocket, `/record/…`, `/videos`.
//!
//! A session is about a camera of the configuration, named by its source or id; for an administrator any other source
//! becomes a camera until its session is closed. `local_rtsp_url` is the camera's LL-HLS address. A recording marks a
//! stretch, of which an export is made at its end: the videos are the finished exports, also those made elsewhere.

mod preview;
mod recording;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use nvr_core::accounts::Permission;
use nvr_core::config::{CameraConfig, RecordMode};
use nvr_core::detect::{ProbeOptions, probe};
use nvr_core::event::CameraPhase;
use nvr_core::{Camera, CameraId, ErrorKind, SourceSpec, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::recording::Recording;
use crate::api::cameras::of_viewer;
use crate::auth::Viewer;
use crate::peer::Client;
use crate::problem::Failure;
use crate::server::AppState;

/// Sessions that may be open.
const MOST: usize = 16;

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/session/open", post(open))
        .route("/session/close", post(close))
        .route("/session/list", get(list))
        .route("/stream", get(preview::stream))
        .route("/record/start", post(recording::start))
        .route("/record/stop", post(recording::stop))
        .route("/record/status/{session}", get(recording::status))
        .route("/videos", get(recording::videos))
        .route("/videos/{file}", get(recording::video))
}

/// The sessions that are open, by id.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<String, Arc<Session>>>);

#[derive(Debug)]
struct Session {
    id: String,
    camera: CameraId,
    source: String,
    kind: &'static str,
    created: Timestamp,
    verified: bool,
    /// Whether the camera is there for the session alone.
    own: bool,
    previews: AtomicUsize,
    recording: Mutex<Option<Recording>>,
}

impl Session {
    fn recording(&self) -> MutexGuard<'_, Option<Recording>> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session of somebody's cameras.
    fn of(&self, viewer: &Viewer, id: &str) -> Result<Arc<Session>, Refused> {
        let found = self.all().get(id).filter(|s| viewer.sees(&s.camera)).cloned();
        found.ok_or_else(|| Refused::new(format!("Session {id} not found")))
    }
}

/// What cannot be done, as its clients read it: `{"detail": …}`.
#[derive(Debug)]
struct Refused(StatusCode, String);

impl Refused {
    fn new(detail: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, detail.into())
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let status = match &failure {
            Failure::Core(e) if e.kind() == ErrorKind::NotFound => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        Self(status, failure.message())
    }
}

impl From<nvr_core::Error> for Refused {
    fn from(e: nvr_core::Error) -> Self {
        Failure::from(e).into()
    }
}

impl From<JsonRejection> for Refused {
    fn from(e: JsonRejection) -> Self {
        let status = match e.status() {
            StatusCode::PAYLOAD_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self(status, e.body_text())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"detail": self.1}))).into_response()
    }
}

type Said<T> = Result<Json<T>, JsonRejection>;

/// UTC without a zone, as that recorder writes it.
fn naive(t: Timestamp) -> String {
    t.to_jiff().strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}

/// Random, in the form of a UUID.
fn new_id() -> String {
    let h = format!("{:032x}", rand::random::<u128>());
    format!(
        "{}-{}-4{}-a{}-{}",
        &h[..8],
        &h[8..12],
        &h[13..16],
        &h[17..20],
        &h[20..]
    )
}

#[derive(Debug, Deserialize)]
struct OpenRequest {
    url: String,
}

#[derive(Debug, Serialize)]
struct Opened {
    session_id: String,
    source_url: String,
    local_rtsp_url: String,
    verified: bool,
    source_type: &'static str,
    created_at: String,
}

fn kind_of(source: &SourceSpec) -> &'static str {
    match source {
        SourceSpec::Rtsp(_) => "rtsp",
        SourceSpec::Mjpeg(_) => "mjpeg",
        SourceSpec::V4l2(_) => "v4l2",
        SourceSpec::Libcamera(_) => "libcamera",
        SourceSpec::Test(_) => "test",
        SourceSpec::File(_) => "file",
    }
}

fn live_url(app: &AppState, client: &Client, headers: &HeaderMap, camera: &CameraId) -> String {
    let path = format!("/api/v1/cameras/{camera}/live.m3u8");
    client.url(headers, &app.access.base_path, &path)
}

async fn open(
    State(app): State<AppState>,
    viewer: Viewer,
    client: Client,
    headers: HeaderMap,
    body: Said<OpenRequest>,
) -> Result<Json<Opened>, Refused> {
    let Json(request) = body?;
    let full = || Refused::new(format!("Maximum number of sessions ({MOST}) reached"));
    if app.sessions.all().len() >= MOST {
        return Err(full());
    }
    let cameras = of_viewer(&app, &viewer);
    let source = SourceSpec::parse(&request.url);
    let address = source.as_ref().map(ToString::to_string).ok();
    let known = cameras.into_iter().find(|camera| {
        let config = camera.config();
        config.id.as_str() == request.url || Some(config.source.to_string()) == address
    });
    let id = new_id();
    let (camera, verified, own) = match known {
        Some(camera) => {
            let sends = matches!(
                camera.status().state.phase,
                CameraPhase::Recording | CameraPhase::Standby
            );
            (camera, sends, false)
        }
        None => (camera_of(&app, &viewer, source?, &id).await?, true, true),
    };
    let config = camera.config();
    let session = Arc::new(Session {
        camera: config.id.clone(),
        source: config.source.to_string(),
        kind: kind_of(&config.source),
        created: app.nvr.clock().now(),
        verified,
        own,
        previews: AtomicUsize::new(0),
        recording: Mutex::default(),
        id,
    });
    let has_room = {
        let mut all = app.sessions.all();
        let has_room = all.len() < MOST;
        if has_room {
            all.insert(session.id.clone(), Arc::clone(&session));
        }
        has_room
    };
    if !has_room {
        if own {
            app.nvr.remove_camera(&session.camera).await?;
        }
        return Err(full());
    }
    Ok(Json(Opened {
        session_id: session.id.clone(),
        source_url: session.source.clone(),
        local_rtsp_url: live_url(&app, &client, &headers, &session.camera),
        verified: session.verified,
        source_type: session.kind,
        created_at: naive(session.created),
    }))
}

/// A camera for a session alone, of a source that was opened and sends.
async fn camera_of(
    app: &AppState,
    viewer: &Viewer,
    source: SourceSpec,
    session: &str,
) -> Result<Camera, Refused> {
    if !viewer.may(Permission::Admin) || !viewer.cameras.is_all() {
        let why = "no camera of yours has this source, and only an administrator may add one";
        return Err(Refused(StatusCode::FORBIDDEN, why.into()));
    }
    if matches!(source, SourceSpec::File(_)) {
        return Err(Refused::new("files are not opened over HTTP"));
    }
    let options = ProbeOptions::default();
    {
        let _one_of_few = app
            .probes
            .acquire()
            .await
            .map_err(|_| Refused::new("shutting down"))?;
        probe(source.clone(), options).await.map_err(Failure::from)?;
    }
    let id = CameraId::new(&format!("session-{}", &session[..8]))?;
    let mut config = CameraConfig::new(id, source);
    config.record = RecordMode::Manual;
    config.pre_roll = Duration::ZERO;
    Ok(app.nvr.add_camera(config).await?)
}

#[derive(Debug, Deserialize)]
struct SessionRequest {
    session_id: String,
}

#[derive(Debug, Serialize)]
struct Closed {
    status: &'static str,
    session_id: String,
}

async fn close(
    State(app): State<AppState>,
    viewer: Viewer,
    body: Said<SessionRequest>,
) -> Result<Json<Closed>, Refused> {
    let Json(request) = body?;
    let session = app.sessions.of(&viewer, &request.session_id)?;
    if app.sessions.all().remove(&session.id).is_some() {
        recording::end(&app, &session).await?;
        if session.own {
            app.nvr.remove_camera(&session.camera).await?;
        }
    }
    Ok(Json(Closed {
        status: "closed",
        session_id: request.session_id,
    }))
}

#[derive(Debug, Serialize)]
struct SessionInfo {
    session_id: String,
    source_url: String,
    source_type: &'static str,
    local_rtsp_url: String,
    recording: bool,
    preview_active: bool,
    created_at: String,
}

#[derive(Debug, Serialize)]
struct SessionList {
    sessions: Vec<SessionInfo>,
    count: usize,
    max_sessions: usize,
}

async fn list(
    State(app): State<AppState>,
    viewer: Viewer,
    client: Client,
    headers: HeaderMap,
) -> Json<SessionList> {
    let mut all: Vec<Arc<Session>> = app.sessions.all().values().cloned().collect();
    all.retain(|s| viewer.sees(&s.camera));
    all.sort_by_key(|s| s.created);
    let sessions: Vec<SessionInfo> = all
        .iter()
        .map(|s| SessionInfo {
            session_id: s.id.clone(),
            source_url: s.source.clone(),
            source_type: s.kind,
            local_rtsp_url: live_url(&app, &client, &headers, &s.camera),
            recording: s.recording().is_some(),
            preview_active: s.previews.load(Ordering::SeqCst) > 0,
            created_at: naive(s.created),
        })
        .collect();
    Json(SessionList {
        count: sessions.len(),
        sessions,
        max_sessions: MOST,
    })
}
