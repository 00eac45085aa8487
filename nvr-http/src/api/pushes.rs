//! Pushes of a camera's live stream to a server that others watch.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use nvr_core::live::StreamKind;
use nvr_core::push::{PushAddress, PushStatus, PushWish};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Body;
use crate::actor::By;
use crate::auth::Viewer;
use crate::params::{CameraPath, PushPath};
use crate::problem::{Answer, Problem};
use crate::server::AppState;

/// Where to push, and what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PushRequest {
    /// `rtmp://host/app/key`, `rtmps://host/app/key`, or `srt://host:port?streamid=…&passphrase=…`. It is called by the
    /// recorder, so it may name whatever the recorder can reach.
    #[schema(example = "rtmp://live.example.org/app/key")]
    url: String,
    /// `main` (default) or `sub`.
    stream: Option<String>,
    /// Whether sound goes with it (default: yes), as AAC.
    audio: Option<bool>,
    /// Whether it goes on after a restart of the recorder (default: no).
    #[serde(default)]
    keep: bool,
}

/// Why something failed, and when.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PushFailureDto {
    at: String,
    message: String,
}

/// A push and how it fares.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PushDto {
    /// Its number.
    id: u64,
    /// Camera id.
    camera: String,
    /// Where to, with `***` in place of keys and passwords.
    url: String,
    /// `main` or `sub`.
    stream: &'static str,
    /// Whether sound goes with it.
    audio: bool,
    /// Whether it goes on after a restart of the recorder.
    keep: bool,
    /// `waiting` (the camera sends nothing), `connecting`, `live` or `retrying`.
    state: &'static str,
    /// Since when it is in this state.
    since: String,
    /// When it was asked for.
    started_at: String,
    /// Who asked for it, if that is known.
    by: Option<String>,
    /// Bytes that went out since the recorder started.
    bytes: u64,
    /// Video frames left out because the server was too slow.
    frames_lost: u64,
    /// How often the server took the stream.
    connections: u64,
    /// How often it failed.
    failures: u64,
    /// The newest failure.
    last_failure: Option<PushFailureDto>,
}

impl From<&PushStatus> for PushDto {
    fn from(p: &PushStatus) -> Self {
        Self {
            id: p.id,
            camera: p.camera.to_string(),
            url: p.wish.address.to_string(),
            stream: p.wish.stream.as_str(),
            audio: p.wish.audio,
            keep: p.wish.keep,
            state: p.state.as_str(),
            since: p.since.to_string(),
            started_at: p.started.to_string(),
            by: p.by.clone(),
            bytes: p.sent_bytes,
            frames_lost: p.frames_lost,
            connections: p.connections,
            failures: p.failures,
            last_failure: p.last_failure.as_ref().map(|(at, cause)| PushFailureDto {
                at: at.to_string(),
                message: cause.message.clone(),
            }),
        }
    }
}

/// The pushes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PushesDto {
    /// By number.
    pushes: Vec<PushDto>,
}

impl PushesDto {
    fn of<'p>(all: impl Iterator<Item = &'p PushStatus>) -> Json<Self> {
        Json(Self {
            pushes: all.map(PushDto::from).collect(),
        })
    }
}

/// All pushes, of the cameras that are the viewer's.
#[utoipa::path(get, path = "/api/v1/pushes", tag = "live", operation_id = "list_pushes",
    responses((status = 200, description = "By number", body = PushesDto)))]
pub(crate) async fn all(State(app): State<AppState>, viewer: Viewer) -> Json<PushesDto> {
    let all = app.nvr.pushes().all();
    PushesDto::of(all.iter().filter(|p| viewer.sees(&p.camera)))
}

/// The pushes of a camera.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/pushes", tag = "live", operation_id = "pushes_of_camera",
    params(("id" = String, Path, description = "Camera id")),
    responses((status = 200, description = "By number", body = PushesDto),
        (status = 404, description = "There is none of that id", body = Problem)))]
pub(crate) async fn of_camera(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
) -> Answer<Json<PushesDto>> {
    app.nvr.camera(&id)?;
    Ok(PushesDto::of(app.nvr.pushes().of(&id).iter()))
}

/// Pushes a camera's live stream to a server, as it is, until it is ended. What becomes of it shows in its state.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/pushes", tag = "live", operation_id = "begin_push",
    request_body = PushRequest,
    params(("id" = String, Path, description = "Camera id")),
    responses((status = 201, description = "It was begun", body = PushDto),
        (status = 400, description = "The address cannot be pushed to", body = Problem),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 409, description = "The camera is pushed there already", body = Problem),
        (status = 429, description = "As many as allowed go on", body = Problem),
        (status = 501, description = "A GStreamer element is missing", body = Problem)))]
pub(crate) async fn begin(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    By(by): By,
    Body(request): Body<PushRequest>,
) -> Answer<Response> {
    let stream = request.stream.as_deref().map(str::parse).transpose()?;
    let wish = PushWish {
        address: PushAddress::parse(&request.url)?,
        stream: stream.unwrap_or(StreamKind::Main),
        audio: request.audio.unwrap_or(true),
        keep: request.keep,
    };
    let push = app.nvr.push(&id, wish, by).await?;
    let place = format!("{}/api/v1/cameras/{id}/pushes/{}", app.access.base_path, push.id);
    let head = [(header::LOCATION, place)];
    Ok((StatusCode::CREATED, head, Json(PushDto::from(&push))).into_response())
}

/// Ends a push.
#[utoipa::path(delete, path = "/api/v1/cameras/{id}/pushes/{push}", tag = "live", operation_id = "end_push",
    params(("id" = String, Path, description = "Camera id"),
        ("push" = u64, Path, description = "Number of the push")),
    responses((status = 204, description = "It has ended"),
        (status = 404, description = "The camera has none of that number", body = Problem)))]
pub(crate) async fn end(State(app): State<AppState>, By(by): By, path: PushPath) -> Answer<StatusCode> {
    let PushPath(camera, id) = path;
    app.nvr.pushes().stop(&camera, id, by).await?;
    Ok(StatusCode::NO_CONTENT)
}
