//! Copies of segments at other places: how targets stand, asking for more, addresses.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use nvr_core::store::{Order, UploadQuery, UploadState};

use super::jobs::entered;
use super::storage::SegmentCountDto;
use crate::auth::Viewer;
use crate::dto::{JobDto, LinkDto, TargetDto, UploadDto, UploadsDto};
use crate::params::{CameraPath, Query, SegmentPath, TargetPath, Time};
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// How the upload targets stand.
#[utoipa::path(get, path = "/api/v1/uploads", tag = "uploads", operation_id = "upload_targets",
    responses((status = 200, description = "The targets by name", body = [TargetDto])))]
pub(crate) async fn targets(State(app): State<AppState>) -> Answer<Json<Vec<TargetDto>>> {
    let all = app.nvr.uploads().status().await?;
    Ok(Json(all.iter().map(TargetDto::from).collect()))
}

/// Uploads of a target in a state, a page at a time, by begin of the segment.
#[utoipa::path(get, path = "/api/v1/uploads/{id}", tag = "uploads", operation_id = "uploads",
    params(("id" = String, Path, description = "Name of the target"),
        ("state" = Option<String>, Query, description = "waiting (default), queued, done, failed or cancelled"),
        ("order" = Option<String>, Query, description = "asc (default) or desc"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page", body = UploadsDto),
        (status = 404, description = "There is no such target", body = Problem)))]
pub(crate) async fn list(
    State(app): State<AppState>,
    viewer: Viewer,
    TargetPath(target): TargetPath,
    mut query: Query,
) -> Answer<Json<UploadsDto>> {
    let state = match query.text("state")? {
        None => UploadState::Waiting,
        Some(name) => UploadState::from_name(&name).ok_or_else(|| {
            let known: Vec<&str> = UploadState::ALL.iter().map(|s| s.as_str()).collect();
            Failure::invalid(format!("parameter state={name:?}: want {}", known.join(", ")))
        })?,
    };
    let mut wanted = UploadQuery::new(target, state);
    wanted.among = super::jobs::among(&viewer);
    wanted.order = query.order(Order::Asc)?;
    wanted.limit = query.limit(1000, 100)?;
    wanted.cursor = query.cursor()?;
    query.end()?;
    let page = app.nvr.uploads().list(wanted).await?;
    Ok(Json(UploadsDto {
        uploads: page.items.iter().map(UploadDto::from).collect(),
        next: page.next.map(|c| c.to_string()),
    }))
}

/// Tries again what failed at a target or was called off.
#[utoipa::path(post, path = "/api/v1/uploads/{id}/retry", tag = "uploads", operation_id = "retry_uploads",
    params(("id" = String, Path, description = "Name of the target")),
    responses((status = 200, description = "How many segments that are", body = SegmentCountDto),
        (status = 404, description = "There is no such target", body = Problem)))]
pub(crate) async fn retry(
    State(app): State<AppState>,
    TargetPath(target): TargetPath,
) -> Answer<Json<SegmentCountDto>> {
    let segments = app.nvr.uploads().retry(Some(&target)).await?;
    Ok(Json(SegmentCountDto { segments }))
}

/// Uploads all complete segments of a camera in a range now, whatever the target usually takes and whatever its windows.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/upload", tag = "uploads", operation_id = "upload_footage",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("to" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("target" = Option<String>, Query, description = "Name of the target; all by default")),
    responses((status = 200, description = "How many are to go; what is there already does not count", body = SegmentCountDto),
        (status = 404, description = "There is no such target", body = Problem)))]
pub(crate) async fn request(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
) -> Answer<Json<SegmentCountDto>> {
    let range = query.full_range()?;
    let target = query.text("target")?;
    query.end()?;
    let segments = app.nvr.uploads().request(&id, range, target.as_deref()).await?;
    Ok(Json(SegmentCountDto { segments }))
}

/// Brings the files of a camera's remote segments in a range back, as a job. They are protected then.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/restore", tag = "uploads", operation_id = "restore_footage",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("to" = inline(Time), Query, description = "RFC 3339 or Unix seconds")),
    responses((status = 201, description = "The job was entered", body = JobDto),
        (status = 200, description = "The same was queued or running already; this is it", body = JobDto),
        (status = 429, description = "The queue is full", body = Problem)))]
pub(crate) async fn restore(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
) -> Answer<(StatusCode, Json<JobDto>)> {
    let range = query.full_range()?;
    query.end()?;
    let added = app.nvr.restore(&id, range).await?;
    Ok(entered(&added))
}

/// Where a segment is to go, or is.
#[utoipa::path(get, path = "/api/v1/segments/{id}/copies", tag = "uploads", operation_id = "segment_copies",
    params(("id" = String, Path, description = "Segment id")),
    responses((status = 200, description = "One for each target", body = [UploadDto]),
        (status = 404, description = "There is no segment of that id", body = Problem)))]
pub(crate) async fn copies(
    State(app): State<AppState>,
    SegmentPath(id): SegmentPath,
) -> Answer<Json<Vec<UploadDto>>> {
    app.nvr.segment(id).await?;
    let all = app.nvr.uploads().of_segment(id).await?;
    Ok(Json(all.iter().map(UploadDto::from).collect()))
}

/// Makes an address at which anybody who has it may fetch a segment's copy, for a while.
#[utoipa::path(post, path = "/api/v1/segments/{id}/link", tag = "uploads", operation_id = "segment_link",
    params(("id" = String, Path, description = "Segment id"),
        ("target" = Option<String>, Query, description = "Name of the target; the first that has it by default"),
        ("expires" = Option<f64>, Query, description = "Seconds that it is good for, 1 to 604800 (3600)")),
    responses((status = 200, description = "The address", body = LinkDto),
        (status = 404, description = "No target has a copy", body = Problem),
        (status = 501, description = "The target is a folder", body = Problem)))]
pub(crate) async fn link(
    State(app): State<AppState>,
    SegmentPath(id): SegmentPath,
    mut query: Query,
) -> Answer<Json<LinkDto>> {
    let target = query.text("target")?;
    let expires = query.seconds("expires")?.unwrap_or(Duration::from_secs(3600));
    query.end()?;
    let now = app.nvr.clock().now();
    let url = app.nvr.uploads().presign(id, target.as_deref(), expires).await?;
    Ok(Json(LinkDto {
        url,
        expires: (now + expires).to_string(),
    }))
}
