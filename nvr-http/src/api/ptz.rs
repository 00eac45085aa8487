//! Pan, tilt and zoom, and the clock of a camera: ONVIF.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use nvr_core::onvif::{Preset, Ptz, PtzAbilities, Vector};
use nvr_core::{Camera, Error, ErrorKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Body, MaybeBody};
use crate::auth::Undone;
use crate::params::{CameraPath, PresetPath};
use crate::problem::{Answer, Problem};
use crate::server::AppState;

/// A place that the camera remembers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PresetDto {
    /// For requests.
    token: String,
    name: String,
}

impl From<Preset> for PresetDto {
    fn from(Preset { token, name }: Preset) -> Self {
        Self { token, name }
    }
}

/// What a camera can do, and the places that it remembers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PtzDto {
    /// Turns while it is told to.
    turns: bool,
    /// Zooms while it is told to.
    zooms: bool,
    /// Moves by a distance.
    relative: bool,
    /// Moves to a place.
    absolute: bool,
    /// Has a place to return to.
    home: bool,
    /// How many presets it keeps.
    max_presets: u32,
    presets: Vec<PresetDto>,
}

/// What the numbers of a move mean.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MoveKind {
    /// How fast, for `hold_ms`.
    #[default]
    Speed,
    /// How far from here.
    By,
    /// Where to.
    To,
}

/// A move: each number from -1 to 1.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MoveRequest {
    /// To the right.
    #[serde(default)]
    pan: f64,
    /// Up.
    #[serde(default)]
    tilt: f64,
    /// Closer.
    #[serde(default)]
    zoom: f64,
    #[serde(default)]
    kind: MoveKind,
    /// How long it moves unless it is asked again, 200 to 10000 (default 1000). Then it stops, whatever became of who asked.
    hold_ms: Option<u64>,
}

/// A place to remember.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PresetRequest {
    name: String,
}

/// Going home, or making this home.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HomeRequest {
    /// Whether the present place becomes home.
    #[serde(default)]
    set: bool,
}

/// A camera's clock beside the recorder's.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CameraClockDto {
    /// Seconds by which it is ahead, to about one; absent where the camera does not tell.
    ahead_seconds: Option<f64>,
}

impl CameraClockDto {
    fn of(offset_ns: Option<i64>) -> Self {
        let ahead_seconds = offset_ns.map(|ns| (ns as f64 / 1e7).round() / 100.0);
        Self { ahead_seconds }
    }
}

/// A camera that did not answer is reached anew the next time.
async fn told<T>(camera: &Camera, result: Result<T, Error>) -> Result<T, Error> {
    if let Err(e) = &result
        && matches!(
            e.kind(),
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Unauthorized
        )
    {
        camera.forget_ptz().await;
    }
    result
}

async fn reach(app: &AppState, CameraPath(id): CameraPath) -> Answer<(Camera, Ptz)> {
    let camera = app.nvr.camera(&id)?;
    let ptz = camera.ptz().await?;
    Ok((camera, ptz))
}

/// What a camera can do, and the places that it remembers.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/ptz", tag = "cameras", operation_id = "ptz",
    params(("id" = String, Path, description = "Camera id")),
    responses((status = 200, description = "It can be turned", body = PtzDto),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 501, description = "It cannot be turned, or is not asked by ONVIF", body = Problem),
        (status = 502, description = "The camera refuses user or password", body = Problem),
        (status = 503, description = "The camera does not answer", body = Problem)))]
pub(crate) async fn get(State(app): State<AppState>, path: CameraPath) -> Answer<Json<PtzDto>> {
    let (camera, ptz) = reach(&app, path).await?;
    let PtzAbilities {
        turns,
        zooms,
        relative,
        absolute,
        home,
        max_presets,
    } = ptz.abilities();
    let presets = match told(&camera, ptz.presets().await).await {
        Ok(presets) => presets,
        // It may turn and remember nothing.
        Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::Conflict) => Vec::new(),
        Err(e) => return Err(e.into()),
    };
    Ok(Json(PtzDto {
        turns,
        zooms,
        relative,
        absolute,
        home,
        max_presets,
        presets: presets.into_iter().map(PresetDto::from).collect(),
    }))
}

/// Moves a camera: at a speed until it is told to stop or `hold_ms` are over (ask again while it is wanted), by a distance,
/// or to a place.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/ptz/move", tag = "cameras", operation_id = "ptz_move",
    request_body = MoveRequest,
    params(("id" = String, Path, description = "Camera id")),
    responses((status = 204, description = "It moves"),
        (status = 400, description = "A number is out of range", body = Problem),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 501, description = "It cannot be moved like that", body = Problem),
        (status = 503, description = "The camera does not answer", body = Problem)))]
pub(crate) async fn turn(
    State(app): State<AppState>,
    path: CameraPath,
    Body(request): Body<MoveRequest>,
) -> Answer<Response> {
    let (camera, ptz) = reach(&app, path).await?;
    let MoveRequest { pan, tilt, zoom, .. } = request;
    let vector = Vector { pan, tilt, zoom };
    let hold = Duration::from_millis(request.hold_ms.unwrap_or(1000));
    let moved = match request.kind {
        MoveKind::Speed => ptz.move_for(vector, hold).await,
        MoveKind::By => ptz.move_by(vector).await.map(|()| true),
        MoveKind::To => ptz.move_to(vector).await.map(|()| true),
    };
    let begun = told(&camera, moved).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if !begun {
        // The audit log tells of a movement once, however often it is asked on.
        response.extensions_mut().insert(Undone);
    }
    Ok(response)
}

/// Stops a camera that moves.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/ptz/stop", tag = "cameras", operation_id = "ptz_stop",
    params(("id" = String, Path, description = "Camera id")),
    responses((status = 204, description = "It stands"),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 501, description = "It cannot be turned", body = Problem),
        (status = 503, description = "The camera does not answer", body = Problem)))]
pub(crate) async fn stop(State(app): State<AppState>, path: CameraPath) -> Answer<StatusCode> {
    let (camera, ptz) = reach(&app, path).await?;
    told(&camera, ptz.stop().await).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has a camera remember where it looks now.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/ptz/presets", tag = "cameras", operation_id = "ptz_save",
    request_body = PresetRequest,
    params(("id" = String, Path, description = "Camera id")),
    responses((status = 201, description = "It is remembered", body = PresetDto),
        (status = 400, description = "The name is empty or too long", body = Problem),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 501, description = "It cannot be turned", body = Problem)))]
pub(crate) async fn save(
    State(app): State<AppState>,
    path: CameraPath,
    Body(request): Body<PresetRequest>,
) -> Answer<Response> {
    let (camera, ptz) = reach(&app, path).await?;
    let preset = told(&camera, ptz.save_preset(&request.name).await).await?;
    Ok((StatusCode::CREATED, Json(PresetDto::from(preset))).into_response())
}

/// Turns a camera to a place that it remembers.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/ptz/presets/{preset}/goto", tag = "cameras", operation_id = "ptz_goto",
    params(("id" = String, Path, description = "Camera id"), ("preset" = String, Path, description = "Its token")),
    responses((status = 204, description = "It goes there"),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 409, description = "The camera refuses", body = Problem),
        (status = 501, description = "It cannot be turned", body = Problem)))]
pub(crate) async fn go_to(State(app): State<AppState>, path: PresetPath) -> Answer<StatusCode> {
    let PresetPath(id, preset) = path;
    let (camera, ptz) = reach(&app, CameraPath(id)).await?;
    told(&camera, ptz.go_to(&preset).await).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has a camera forget a place.
#[utoipa::path(delete, path = "/api/v1/cameras/{id}/ptz/presets/{preset}", tag = "cameras", operation_id = "ptz_forget",
    params(("id" = String, Path, description = "Camera id"), ("preset" = String, Path, description = "Its token")),
    responses((status = 204, description = "It is forgotten"),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 409, description = "The camera refuses", body = Problem),
        (status = 501, description = "It cannot be turned", body = Problem)))]
pub(crate) async fn forget(State(app): State<AppState>, path: PresetPath) -> Answer<StatusCode> {
    let PresetPath(id, preset) = path;
    let (camera, ptz) = reach(&app, CameraPath(id)).await?;
    told(&camera, ptz.remove_preset(&preset).await).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Turns a camera to where it belongs, or makes that the present place.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/ptz/home", tag = "cameras", operation_id = "ptz_home",
    request_body = Option<HomeRequest>,
    params(("id" = String, Path, description = "Camera id")),
    responses((status = 204, description = "It goes there"),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 501, description = "It has no such place", body = Problem)))]
pub(crate) async fn home(
    State(app): State<AppState>,
    path: CameraPath,
    MaybeBody(request): MaybeBody<HomeRequest>,
) -> Answer<StatusCode> {
    let (camera, ptz) = reach(&app, path).await?;
    let went = if request.unwrap_or_default().set {
        ptz.set_home().await
    } else {
        ptz.go_home().await
    };
    told(&camera, went).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A camera's clock beside the recorder's.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/clock", tag = "cameras", operation_id = "camera_clock",
    params(("id" = String, Path, description = "Camera id")),
    responses((status = 200, description = "How far it is ahead", body = CameraClockDto),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 501, description = "It is not asked by ONVIF", body = Problem),
        (status = 503, description = "The camera does not answer", body = Problem)))]
pub(crate) async fn clock(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
) -> Answer<Json<CameraClockDto>> {
    let offset = app.nvr.camera(&id)?.clock_offset_ns().await?;
    Ok(Json(CameraClockDto::of(offset)))
}

/// Sets a camera's clock to the recorder's, and looks what came of it.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/clock", tag = "cameras", operation_id = "set_camera_clock",
    params(("id" = String, Path, description = "Camera id")),
    responses((status = 200, description = "How far it is ahead now", body = CameraClockDto),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 501, description = "It is not asked by ONVIF", body = Problem),
        (status = 502, description = "Its user may not", body = Problem)))]
pub(crate) async fn set_clock(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
) -> Answer<Json<CameraClockDto>> {
    let camera = app.nvr.camera(&id)?;
    camera.set_clock().await?;
    Ok(Json(CameraClockDto::of(camera.clock_offset_ns().await?)))
}
