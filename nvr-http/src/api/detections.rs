//! Detections: what was seen, told by others as well.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nvr_core::store::DetectionQuery;
use nvr_core::{CameraId, Detection, DetectionId, DetectionKind, NewDetection, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::jobs::among;
use super::{Body, MaybeBody};
use crate::auth::Viewer;
use crate::bytes_body;
use crate::params::{CameraPath, DetectionPath, EndPath, Query, Time};
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// Width of a picture in a list.
const WIDTH: u32 = 320;

/// Something that was seen.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DetectionDto {
    id: i64,
    camera: String,
    /// `motion`, `object`, `line`, `camera` (it said so itself) or `external` (another program did).
    kind: &'static str,
    /// What it is (`"person"`).
    label: Option<String>,
    /// Zone or line of the picture, by its name.
    zone: Option<String>,
    /// How sure, 0 to 1.
    score: f32,
    from: String,
    /// Null while it goes on.
    to: Option<String>,
    /// Moment of its picture.
    best_at: String,
    /// Who said so.
    source: Option<String>,
    /// What whoever said so sent with it.
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

impl From<&Detection> for DetectionDto {
    fn from(d: &Detection) -> Self {
        Self {
            id: d.id.0,
            camera: d.camera.to_string(),
            kind: d.kind.as_str(),
            label: d.label.clone(),
            zone: d.zone.clone(),
            score: d.score,
            from: d.from.to_string(),
            to: d.to.map(|t| t.to_string()),
            best_at: d.best_at.to_string(),
            source: d.source.clone(),
            data: d
                .data
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default(),
        }
    }
}

/// Some detections.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DetectionsDto {
    detections: Vec<DetectionDto>,
    /// Pass it as `cursor` for the next page.
    next: Option<String>,
}

/// Something that is seen, or was.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DetectionRequest {
    /// What it is, 1 to 100 characters.
    #[schema(example = "doorbell")]
    label: String,
    /// Zone of the picture, by its name.
    zone: Option<String>,
    /// How sure, 0 to 1 (default 1).
    score: Option<f32>,
    /// Begin; now.
    from: Option<Time>,
    /// End. Without it, it goes on until it is ended, for `[detections] longest` at most.
    to: Option<Time>,
    /// Moment of its picture; the begin.
    best_at: Option<Time>,
    /// Who says so; the name of the user or token.
    source: Option<String>,
    /// Whatever belongs to it, up to 16 KiB.
    #[schema(value_type = Option<Object>)]
    data: Option<serde_json::Value>,
}

/// When something ended.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndRequest {
    /// Its end; now.
    to: Option<Time>,
}

/// Tells of something that is seen, or was. The footage around it is kept as that of an event.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/detections", tag = "detections", operation_id = "begin_detection",
    params(("id" = String, Path, description = "Camera id")),
    request_body = DetectionRequest,
    responses((status = 201, description = "It is entered", body = DetectionDto),
        (status = 400, description = "It cannot be so", body = Problem),
        (status = 404, description = "There is no such camera", body = Problem),
        (status = 429, description = "More than 300 a minute of this camera", body = Problem)))]
pub(crate) async fn begin(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    viewer: Viewer,
    Body(request): Body<DetectionRequest>,
) -> Answer<Response> {
    app.nvr.camera(&id)?;
    let from = request.from.map_or_else(|| app.nvr.clock().now(), |Time(at)| at);
    let mut new = NewDetection::new(id, DetectionKind::External, from).label(request.label);
    new.zone = request.zone;
    new.score = request.score.unwrap_or(1.0);
    new.to = request.to.map(|Time(at)| at);
    new.best_at = request.best_at.map_or(from, |Time(at)| at);
    new.source = request.source.or_else(|| viewer.label());
    new.data = request.data.filter(|d| !d.is_null()).map(|data| data.to_string());
    let detection = app.nvr.detections().enter_external(new).await?;
    let place = [(header::LOCATION, format!("/api/v1/detections/{}", detection.id))];
    Ok((StatusCode::CREATED, place, Json(DetectionDto::from(&detection))).into_response())
}

/// Ends what another program told of.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/detections/{detection}/end", tag = "detections", operation_id = "end_detection",
    params(("id" = String, Path, description = "Camera id"),
        ("detection" = i64, Path, description = "Its number")),
    request_body = Option<EndRequest>,
    responses((status = 200, description = "It has ended", body = DetectionDto),
        (status = 404, description = "There is no such camera or detection", body = Problem),
        (status = 409, description = "It is over already, or not from outside", body = Problem)))]
pub(crate) async fn end(
    State(app): State<AppState>,
    EndPath(camera, id): EndPath,
    MaybeBody(request): MaybeBody<EndRequest>,
) -> Answer<Json<DetectionDto>> {
    let to = request.unwrap_or_default().to.map(|Time(at)| at);
    let detection = app.nvr.detections().end_external(&camera, id, to).await?;
    Ok(Json(DetectionDto::from(&detection)))
}

pub(crate) fn kinds(query: &mut Query, name: &str) -> Answer<Vec<DetectionKind>> {
    let Some(text) = query.text(name)? else {
        return Ok(Vec::new());
    };
    let names = DetectionKind::ALL.map(DetectionKind::as_str);
    text.split(',')
        .map(|word| {
            DetectionKind::from_name(word)
                .ok_or_else(|| Failure::invalid(format!("{name} {word:?}: want one of {}", names.join(", "))))
        })
        .collect()
}

/// What was seen, newest first, a page at a time.
#[utoipa::path(get, path = "/api/v1/detections", tag = "detections", operation_id = "list_detections",
    params(("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; what overlaps the range is told"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds"),
        ("cameras" = Option<String>, Query, description = "Ids, separated by commas; all"),
        ("kind" = Option<String>, Query, description = "Kinds, separated by commas; all"),
        ("label" = Option<String>, Query, description = "Labels, separated by commas; all"),
        ("min_score" = Option<f32>, Query, minimum = 0, maximum = 1, description = "Least score"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page", body = DetectionsDto),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 404, description = "There is no such camera", body = Problem)))]
pub(crate) async fn list(
    State(app): State<AppState>,
    viewer: Viewer,
    mut query: Query,
) -> Answer<Json<DetectionsDto>> {
    let mut wanted = DetectionQuery::new(query.range(Timestamp::MIN, Timestamp::MAX)?);
    let cameras: Vec<CameraId> = query.cameras()?;
    wanted.kinds = kinds(&mut query, "kind")?;
    let labels = query.text("label")?;
    wanted.labels = labels.map_or_else(Vec::new, |l| l.split(',').map(str::to_owned).collect());
    wanted.min_score = query.parsed("min_score", "0 to 1")?.unwrap_or(0.0);
    wanted.limit = query.limit(1000, 100)?;
    wanted.cursor = query.cursor()?;
    query.end()?;
    for camera in &cameras {
        viewer.require(camera)?;
    }
    wanted.cameras = if cameras.is_empty() {
        among(&viewer)
    } else {
        Some(cameras)
    };
    let page = app.nvr.detections().list(wanted).await?;
    Ok(Json(DetectionsDto {
        detections: page.items.iter().map(Into::into).collect(),
        next: page.next.map(|c| c.to_string()),
    }))
}

async fn seen(app: &AppState, viewer: &Viewer, id: DetectionId) -> Answer<Detection> {
    let detection = app.nvr.detections().get(id).await?;
    if viewer.sees(&detection.camera) {
        return Ok(detection);
    }
    Err(Failure::not_found(format!("there is no detection {id}")))
}

/// One of them.
#[utoipa::path(get, path = "/api/v1/detections/{id}", tag = "detections", operation_id = "one_detection",
    params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, description = "What was seen", body = DetectionDto),
        (status = 404, description = "There is none of that number", body = Problem)))]
pub(crate) async fn one(
    State(app): State<AppState>,
    viewer: Viewer,
    DetectionPath(id): DetectionPath,
) -> Answer<Json<DetectionDto>> {
    Ok(Json((&seen(&app, &viewer, id).await?).into()))
}

/// Forgets one. Its footage stays.
#[utoipa::path(delete, path = "/api/v1/detections/{id}", tag = "detections", operation_id = "forget_detection",
    params(("id" = i64, Path, description = "Its number")),
    responses((status = 204, description = "It is forgotten"),
        (status = 404, description = "There is none of that number", body = Problem)))]
pub(crate) async fn forget(
    State(app): State<AppState>,
    viewer: Viewer,
    DetectionPath(id): DetectionPath,
) -> Answer<StatusCode> {
    seen(&app, &viewer, id).await?;
    app.nvr.detections().delete(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A small picture of the moment when it is seen best, or of the nearest that is recorded.
#[utoipa::path(get, path = "/api/v1/detections/{id}/thumbnail", tag = "detections", operation_id = "thumbnail_of_detection",
    params(("id" = i64, Path, description = "Its number"),
        ("width" = Option<u32>, Query, minimum = 16, maximum = 1920, description = "Pixels, 16 to 1920; 320")),
    responses((status = 200, description = "The picture; `X-Frame-Time` is its time", content_type = "image/jpeg"),
        (status = 304, description = "It is the one whose `ETag` was sent in `If-None-Match`"),
        (status = 404, description = "There is none of that number, or nothing is recorded there", body = Problem)))]
pub(crate) async fn thumbnail(
    State(app): State<AppState>,
    viewer: Viewer,
    DetectionPath(id): DetectionPath,
    headers: HeaderMap,
    mut query: Query,
) -> Answer<Response> {
    let width: u32 = query.parsed("width", "16 to 1920")?.unwrap_or(WIDTH);
    query.end()?;
    if !(16..=1920).contains(&width) {
        return Err(Failure::invalid("parameter width: want 16 to 1920"));
    }
    let detection = seen(&app, &viewer, id).await?;
    // Until it is over the picture may become a better one, and so its moment is part of the name.
    let etag = format!("\"{id}-{}-{width}\"", detection.best_at.as_ns());
    let common = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
    ];
    if bytes_body::lists(headers.get(header::IF_NONE_MATCH), &etag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let _one_of_few = app
        .decodes
        .acquire()
        .await
        .map_err(|_| Failure::invalid("shutting down"))?;
    let picture = app.nvr.detection_picture(&detection, Some(width)).await?;
    let about = [
        (header::CONTENT_TYPE, "image/jpeg".to_owned()),
        (
            header::HeaderName::from_static("x-frame-time"),
            picture.at.to_string(),
        ),
    ];
    if !app.nvr.is_settled(&detection, &picture) {
        let now = [(header::CACHE_CONTROL, "private, no-store".to_owned())];
        return Ok((now, about, picture.jpeg).into_response());
    }
    Ok((common, about, picture.jpeg).into_response())
}
