//! Cameras: what they are, and start, stop, record.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use nvr_core::detect::ProbeOptions;
use nvr_core::secret::Secret;
use nvr_core::source::Credentials;
use nvr_core::{Camera, SourceSpec};

use super::{Body, MaybeBody};
use crate::auth::Viewer;
use crate::dto::{CameraDto, ManualDto, TracksDto};
use crate::params::{CameraPath, Length, Query};
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

pub(super) fn dto(app: &AppState, camera: &Camera) -> CameraDto {
    CameraDto::new(&camera.config(), &camera.status(), app.nvr.clock().now())
}

/// All cameras with their state.
#[utoipa::path(get, path = "/api/v1/cameras", tag = "cameras",
    responses((status = 200, description = "The cameras, in the order of the configuration", body = [CameraDto])))]
pub(crate) async fn list(State(app): State<AppState>, viewer: Viewer) -> Json<Vec<CameraDto>> {
    let mut cameras = of_viewer(&app, &viewer);
    let config = app.nvr.config();
    let place = |camera: &Camera| config.cameras.iter().position(|c| c.id == camera.id());
    // Those that are in no file come last.
    cameras.sort_by_cached_key(|c| place(c).unwrap_or(usize::MAX));
    Json(cameras.iter().map(|c| dto(&app, c)).collect())
}

/// The cameras that somebody may have to do with.
pub(crate) fn of_viewer(app: &AppState, viewer: &Viewer) -> Vec<Camera> {
    let all = app.nvr.cameras().into_iter();
    all.filter(|c| viewer.sees(&c.config().id)).collect()
}

/// One camera with its state.
#[utoipa::path(get, path = "/api/v1/cameras/{id}", tag = "cameras",
    params(("id" = String, Path, description = "Camera id")),
    responses((status = 200, description = "The camera", body = CameraDto),
        (status = 404, description = "There is none of that id", body = Problem)))]
pub(crate) async fn one(State(app): State<AppState>, CameraPath(id): CameraPath) -> Answer<Json<CameraDto>> {
    Ok(Json(dto(&app, &app.nvr.camera(&id)?)))
}

macro_rules! order {
    ($name:ident, $path:literal, $method:ident, $doc:literal) => {
        #[doc = $doc]
        #[utoipa::path(post, path = $path, tag = "cameras",
            params(("id" = String, Path, description = "Camera id")),
            responses((status = 202, description = "It was told; its state says how it goes on", body = CameraDto),
                (status = 404, description = "There is none of that id", body = Problem)))]
        pub(crate) async fn $name(
            State(app): State<AppState>,
            CameraPath(id): CameraPath,
        ) -> Answer<(StatusCode, Json<CameraDto>)> {
            let camera = app.nvr.camera(&id)?;
            camera.$method()?;
            Ok((StatusCode::ACCEPTED, Json(dto(&app, &camera))))
        }
    };
}

order!(
    start,
    "/api/v1/cameras/{id}/start",
    start,
    "Connects (and records, if its mode says so) until it is stopped."
);
order!(
    stop,
    "/api/v1/cameras/{id}/stop",
    stop,
    "Closes the segment and disconnects until it is started again."
);
order!(
    restart,
    "/api/v1/cameras/{id}/restart",
    restart,
    "Connects anew at once, also while it waits for its next try."
);
order!(
    split,
    "/api/v1/cameras/{id}/split",
    split,
    "Begins a new segment at the next keyframe."
);

macro_rules! order_all {
    ($name:ident, $path:literal, $method:ident, $doc:literal) => {
        #[doc = $doc]
        #[utoipa::path(post, path = $path, tag = "cameras",
                            responses((status = 202, description = "They were told", body = [CameraDto])))]
        pub(crate) async fn $name(
            State(app): State<AppState>,
            viewer: Viewer,
        ) -> Answer<(StatusCode, Json<Vec<CameraDto>>)> {
            let cameras = of_viewer(&app, &viewer);
            for camera in &cameras {
                camera.$method()?;
            }
            Ok((
                StatusCode::ACCEPTED,
                Json(cameras.iter().map(|c| dto(&app, c)).collect()),
            ))
        }
    };
}

order_all!(
    start_all,
    "/api/v1/cameras/start",
    start,
    "Starts all cameras, as far as they are the viewer's."
);
order_all!(
    stop_all,
    "/api/v1/cameras/stop",
    stop,
    "Stops all cameras, as far as they are the viewer's."
);

/// How to record. Every key may be left out; so may the whole.
#[derive(Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordRequest {
    /// Length: seconds, or a text such as `"30s"` or `"1h 30m"`. Until it is stopped when absent.
    #[schema(value_type = Option<String>, example = "30s")]
    duration: Option<Length>,
    /// How much of what went before belongs to it, in the same way; as configured when absent, and at most that.
    #[schema(value_type = Option<String>, example = "5s")]
    pre_roll: Option<Length>,
    /// End the recording that is going on instead.
    #[serde(default)]
    stop: bool,
}

/// Records a camera of mode `manual` from now, less its pre-roll.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/record", tag = "cameras",
    request_body(content = Option<RecordRequest>, description = "How; what is named here must not stand in the query as well"),
    params(("id" = String, Path, description = "Camera id"),
        ("seconds" = Option<f64>, Query, minimum = 1, maximum = 86400, description = "Length; until it is stopped when absent"),
        ("pre_roll" = Option<f64>, Query, minimum = 0, description = "Seconds of what went before; as configured when absent"),
        ("stop" = Option<bool>, Query, description = "End the recording that is going on instead")),
    responses((status = 202, description = "It records; asked again, the newest wish counts", body = ManualDto),
        (status = 204, description = "It was stopped"),
        (status = 400, description = "Something cannot be read", body = Problem),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 409, description = "Its mode is not manual, or nothing to stop", body = Problem),
        (status = 415, description = "The body is not JSON", body = Problem),
        (status = 429, description = "As many as allowed are going on", body = Problem),
        (status = 503, description = "It sends no frames now", body = Problem)))]
pub(crate) async fn record(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
    MaybeBody(body): MaybeBody<RecordRequest>,
) -> Answer<axum::response::Response> {
    use axum::response::IntoResponse;
    let body = body.unwrap_or_default();
    let one = |name: &str, here: Option<Duration>, there: Option<Length>| match (here, there) {
        (Some(_), Some(_)) => Err(Failure::invalid(format!(
            "{name} stands in the query and in the body"
        ))),
        (here, there) => Ok(here.or(there.map(|l| l.0))),
    };
    let duration = one("duration", query.seconds("seconds")?, body.duration)?;
    let pre_roll = one("pre_roll", query.seconds("pre_roll")?, body.pre_roll)?;
    let stop = query.flag("stop")? || body.stop;
    query.end()?;
    let camera = app.nvr.camera(&id)?;
    if stop {
        if duration.is_some() || pre_roll.is_some() {
            return Err(Failure::invalid("to stop takes no duration and no pre_roll"));
        }
        camera.stop_recording().await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if duration.is_some_and(|l| l < Duration::from_secs(1) || l > Duration::from_hours(24)) {
        return Err(Failure::invalid("duration: want 1 second to 24 hours"));
    }
    let manual = camera
        .record_as(nvr_core::camera::RecordRequest { duration, pre_roll })
        .await?;
    Ok((StatusCode::ACCEPTED, Json(ManualDto::from(&manual))).into_response())
}

/// What to open.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProbeRequest {
    /// `rtsp://…`, `http://…`, `v4l2:/dev/video0`, `test:` …
    #[schema(pattern = "^[A-Za-z0-9]+:")]
    source: String,
    /// User, if not in the address.
    user: Option<String>,
    /// Password, if not in the address.
    password: Option<String>,
    /// Frames to read (1 to 1000, default 10).
    #[schema(minimum = 1, maximum = 1000)]
    frames: Option<u32>,
    /// Whether a picture is wanted, at most 640 pixels wide.
    #[serde(default)]
    picture: bool,
    /// A camera of the configuration whose user and password are used where none are given, and whose privacy masks the
    /// picture gets.
    camera: Option<String>,
}

/// What a source turned out to be.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct ProbeDto {
    /// Address, without credentials.
    source: String,
    tracks: TracksDto,
    /// Everything that was measured.
    #[schema(value_type = Object)]
    report: serde_json::Value,
    /// Its first picture as a data URL (JPEG), if it was asked for.
    picture: Option<String>,
    /// Why there is none.
    picture_problem: Option<String>,
}

/// Opens a source, reads some frames and says what it is. Files are not opened this way. It makes the recorder connect to
/// any address that it can reach: an order for administrators.
#[utoipa::path(post, path = "/api/v1/cameras/probe", tag = "cameras", request_body = ProbeRequest,
    responses((status = 200, description = "What it is", body = ProbeDto),
        (status = 400, description = "The source cannot be read", body = Problem),
        (status = 502, description = "It refuses the credentials", body = Problem),
        (status = 503, description = "Nobody answers", body = Problem)))]
pub(crate) async fn probe(
    State(app): State<AppState>,
    Body(request): Body<ProbeRequest>,
) -> Answer<Json<ProbeDto>> {
    let mut source = SourceSpec::parse(&request.source)?;
    let stored = match &request.camera {
        Some(id) => credentials(&app.nvr.camera(&id.parse()?)?.config().source).cloned(),
        None => None,
    };
    let privacy = match &request.camera {
        Some(id) => app.nvr.privacy().of(&id.parse()?),
        None => None,
    };
    let kept = |password: &str| password == nvr_core::config::KEPT;
    match (request.user, request.password) {
        (Some(user), password) => {
            let password = match (password, stored) {
                (Some(p), Some(stored)) if kept(&p) => stored.password,
                (None, Some(stored)) if stored.user == user => stored.password,
                (password, _) => Secret::new(password.unwrap_or_default()),
            };
            source.set_credentials(user, password);
        }
        (None, Some(p)) if !kept(&p) => return Err(Failure::invalid("`password` without `user`")),
        (None, _) => {
            if let Some(stored) = stored
                && credentials(&source).is_none_or(|c| kept(c.password.expose()))
            {
                source.set_credentials(stored.user, stored.password);
            }
        }
    }
    // A path of this machine is nothing that a page may name.
    if matches!(source, SourceSpec::File(_)) {
        return Err(Failure::invalid("source: files are not opened over HTTP"));
    }
    let frames = request.frames.unwrap_or(10);
    if !(1..=1000).contains(&frames) {
        return Err(Failure::invalid("frames: want 1 to 1000"));
    }
    let _one_of_few = app
        .probes
        .acquire()
        .await
        .map_err(|_| Failure::invalid("shutting down"))?;
    let options = ProbeOptions {
        frames,
        ..ProbeOptions::default()
    };
    let address = source.to_string();
    let (report, picture) = if request.picture {
        let (report, picture) =
            nvr_core::detect::probe_with_picture(source, options, PICTURE_WIDTH, privacy).await?;
        (report, Some(picture))
    } else {
        (nvr_core::detect::probe(source, options).await?, None)
    };
    let (picture, picture_problem) = match picture {
        Some(Ok(jpeg)) => {
            let text = base64::engine::general_purpose::STANDARD.encode(jpeg);
            (Some(format!("data:image/jpeg;base64,{text}")), None)
        }
        Some(Err(e)) => (None, Some(e.to_string())),
        None => (None, None),
    };
    Ok(Json(ProbeDto {
        source: address,
        tracks: (&report.tracks).into(),
        report: serde_json::to_value(&report).unwrap_or_default(),
        picture,
        picture_problem,
    }))
}

/// Widest picture of a probe.
const PICTURE_WIDTH: u32 = 640;

fn credentials(source: &SourceSpec) -> Option<&Credentials> {
    match source {
        SourceSpec::Rtsp(s) => s.credentials.as_ref(),
        SourceSpec::Mjpeg(s) => s.credentials.as_ref(),
        _ => None,
    }
}
