//! Filling gaps from a camera's own card.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::jobs::entered;
use crate::dto::JobDto;
use crate::params::{CameraPath, Query, Time};
use crate::problem::{Answer, Problem};
use crate::server::AppState;

/// Fetches what is missing in a range from the camera's own card (ONVIF Profile G), as a job.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/fill", tag = "cameras", operation_id = "fill_gaps",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("to" = inline(Time), Query, description = "RFC 3339 or Unix seconds")),
    responses((status = 201, description = "The job was entered", body = JobDto),
        (status = 200, description = "The same was queued or running already; this is it", body = JobDto),
        (status = 400, description = "The range is empty, or longer than 31 days", body = Problem),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 429, description = "The queue is full", body = Problem),
        (status = 501, description = "It is not asked by ONVIF", body = Problem)))]
pub(crate) async fn fill(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
) -> Answer<(StatusCode, Json<JobDto>)> {
    let range = query.full_range()?;
    query.end()?;
    let added = app.nvr.fill(&id, range).await?;
    Ok(entered(&added))
}
