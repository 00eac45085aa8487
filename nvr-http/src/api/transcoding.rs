//! Encoding footage again as H.265: what it brought, switching it on and off, asking for it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use nvr_core::store::TranscodeTotals;
use nvr_core::transcode::TranscodingStatus;
use nvr_core::{CameraId, TimeRange};
use serde::Serialize;
use utoipa::ToSchema;

use super::Body;
use crate::auth::Viewer;
use crate::params::Time;
use crate::problem::{Answer, Problem};
use crate::server::AppState;

/// What encoding a camera's footage again brought, also of what is gone since.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TranscodedDto {
    camera: String,
    /// Segments that are H.265 now.
    segments: u64,
    /// Segments that were tried and left as they were.
    kept: u64,
    bytes_before: u64,
    bytes_after: u64,
    /// Time that all of it took.
    seconds: f64,
    /// Mean structural similarity to the originals, 0 to 1.
    ssim: Option<f64>,
    /// That of the worst segment.
    worst_ssim: Option<f64>,
    /// Mean peak signal to noise ratio in dB.
    psnr_db: Option<f64>,
}

impl From<&TranscodeTotals> for TranscodedDto {
    fn from(t: &TranscodeTotals) -> Self {
        Self {
            camera: t.camera.to_string(),
            segments: t.done,
            kept: t.kept,
            bytes_before: t.before_bytes,
            bytes_after: t.after_bytes,
            seconds: t.elapsed_ns as f64 / 1e9,
            ssim: t.ssim,
            worst_ssim: t.worst_ssim,
            psnr_db: t.psnr_db,
        }
    }
}

/// How it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TranscodingDto {
    /// Whether footage is encoded again by itself.
    enabled: bool,
    /// By camera; those of which nothing was tried are left out.
    cameras: Vec<TranscodedDto>,
}

impl From<TranscodingStatus> for TranscodingDto {
    fn from(s: TranscodingStatus) -> Self {
        Self {
            enabled: s.enabled,
            cameras: s.cameras.iter().map(Into::into).collect(),
        }
    }
}

/// Whether footage is encoded again by itself, and what it brought. What waits and runs is in the queue of jobs.
#[utoipa::path(get, path = "/api/v1/transcoding", tag = "jobs",
    responses((status = 200, description = "How it stands", body = TranscodingDto)))]
pub(crate) async fn status(State(app): State<AppState>, viewer: Viewer) -> Answer<Json<TranscodingDto>> {
    let mut status = app.nvr.transcoding().await?;
    status.cameras.retain(|c| viewer.sees(&c.camera));
    Ok(Json(status.into()))
}

/// Switches it on until the recorder ends.
#[utoipa::path(post, path = "/api/v1/transcoding/enable", tag = "jobs",
    responses((status = 200, description = "It is on", body = TranscodingDto)))]
pub(crate) async fn enable(State(app): State<AppState>) -> Answer<Json<TranscodingDto>> {
    Ok(Json(app.nvr.set_transcoding(true).await?.into()))
}

/// Switches it off until the recorder ends; what runs by itself ends within a second.
#[utoipa::path(post, path = "/api/v1/transcoding/disable", tag = "jobs",
    responses((status = 200, description = "It is off", body = TranscodingDto)))]
pub(crate) async fn disable(State(app): State<AppState>) -> Answer<Json<TranscodingDto>> {
    Ok(Json(app.nvr.set_transcoding(false).await?.into()))
}

/// Which footage to encode again.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TranscodeRequest {
    /// Camera id.
    camera: String,
    /// Begin: RFC 3339 or Unix seconds.
    from: Time,
    /// End: RFC 3339 or Unix seconds.
    to: Time,
}

/// The jobs of a request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TranscodeJobsDto {
    /// One for each segment.
    jobs: Vec<i64>,
}

/// Encodes footage again, whatever its age and at any time of the day: whole segments inside the range.
#[utoipa::path(post, path = "/api/v1/transcoding", tag = "jobs", request_body = TranscodeRequest,
    responses((status = 202, description = "The jobs were entered", body = TranscodeJobsDto),
        (status = 400, description = "A field cannot be read", body = Problem),
        (status = 404, description = "Nothing in the range can be encoded again", body = Problem),
        (status = 429, description = "The queue is full", body = Problem)))]
pub(crate) async fn transcode(
    State(app): State<AppState>,
    viewer: Viewer,
    Body(request): Body<TranscodeRequest>,
) -> Answer<(StatusCode, Json<TranscodeJobsDto>)> {
    let camera = CameraId::new(&request.camera)?;
    viewer.require(&camera)?;
    let range = TimeRange::new(request.from.0, request.to.0)?;
    let jobs = app.nvr.transcode(&camera, range).await?;
    let jobs = jobs.into_iter().map(|id| id.0).collect();
    Ok((StatusCode::ACCEPTED, Json(TranscodeJobsDto { jobs })))
}
