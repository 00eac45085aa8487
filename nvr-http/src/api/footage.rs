//! Footage: timelines, days, segments.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use nvr_core::store::{Order, SegmentQuery};
use nvr_core::{CameraId, TimeRange, Timestamp};

use crate::auth::Viewer;
use crate::dto::{DayDto, SegmentsDto, TimelineDto};
use crate::params::{CameraPath, Direction, Query, Time};
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// The last 24 hours, unless told otherwise.
fn range_or_day(app: &AppState, query: &mut Query) -> Answer<TimeRange> {
    let now = app.nvr.clock().now();
    query.range(now - Duration::from_hours(24), now)
}

fn resolution(query: &mut Query) -> Answer<i64> {
    let d = query.seconds("resolution")?.unwrap_or_default();
    i64::try_from(d.as_nanos()).map_err(|_| Failure::invalid("parameter resolution is too large"))
}

/// Footage, gaps with their causes, events and sums of a camera.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/timeline", tag = "footage",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; a day ago"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; now"),
        ("resolution" = Option<f64>, Query, minimum = 0, description = "Seconds that a point of the display stands for; shorter stretches are folded")),
    responses((status = 200, description = "The timeline", body = TimelineDto),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 404, description = "There is no such camera", body = Problem)))]
pub(crate) async fn timeline(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
) -> Answer<Json<TimelineDto>> {
    let range = range_or_day(&app, &mut query)?;
    let resolution = resolution(&mut query)?;
    query.end()?;
    let mut all = app.nvr.timelines(&[id], range, resolution).await?;
    let timeline = all.pop().ok_or_else(|| Failure::not_found("no timeline"))?;
    Ok(Json(timeline.into()))
}

/// Timelines of several cameras over one range.
#[utoipa::path(get, path = "/api/v1/timeline", tag = "footage",
    params(("cameras" = Option<String>, Query, description = "Ids, separated by commas; all"),
        ("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; a day ago"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; now"),
        ("resolution" = Option<f64>, Query, minimum = 0, description = "Seconds that a point of the display stands for")),
    responses((status = 200, description = "One timeline for each camera, in the order asked for", body = [TimelineDto]),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 404, description = "There is no such camera", body = Problem)))]
pub(crate) async fn timelines(
    State(app): State<AppState>,
    viewer: Viewer,
    mut query: Query,
) -> Answer<Json<Vec<TimelineDto>>> {
    let range = range_or_day(&app, &mut query)?;
    let resolution = resolution(&mut query)?;
    let mut cameras: Vec<CameraId> = query.cameras()?;
    query.end()?;
    for camera in &cameras {
        viewer.require(camera)?;
    }
    if cameras.is_empty() {
        cameras = app
            .nvr
            .recorded_cameras()
            .await?
            .into_iter()
            .map(|c| c.id)
            .filter(|id| viewer.sees(id))
            .collect();
    }
    let all = app.nvr.timelines(&cameras, range, resolution).await?;
    Ok(Json(all.into_iter().map(Into::into).collect()))
}

/// Recorded seconds by calendar day.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/days", tag = "footage",
    params(("id" = String, Path, description = "Camera id"),
        ("tz" = Option<String>, Query, description = "IANA time zone; the recorder's"),
        ("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; 31 days ago"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; now")),
    responses((status = 200, description = "The days", body = [DayDto]),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 404, description = "There is no such camera", body = Problem)))]
pub(crate) async fn days(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
) -> Answer<Json<Vec<DayDto>>> {
    let now = app.nvr.clock().now();
    let range = query.range(now - Duration::from_hours(31 * 24), now)?;
    let zone = query.text("tz")?;
    query.end()?;
    if range.len_ns() > 3700 * 86_400_000_000_000 {
        return Err(Failure::invalid("the range is longer than ten years"));
    }
    let days = app.nvr.days(&id, zone.as_deref(), range).await?;
    Ok(Json(days.iter().map(Into::into).collect()))
}

/// Segments of a camera, a page at a time.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/segments", tag = "footage",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; the beginning"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; the end"),
        ("order" = inline(Option<Direction>), Query, description = "asc (default) or desc"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page", body = SegmentsDto),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 404, description = "There is no such camera", body = Problem)))]
pub(crate) async fn segments(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
) -> Answer<Json<SegmentsDto>> {
    let range = query.range(Timestamp::MIN, Timestamp::MAX)?;
    let mut wanted = SegmentQuery::new([id.clone()], range);
    wanted.limit = query.limit(1000, 100)?;
    wanted.order = query.order(Order::Asc)?;
    wanted.cursor = query.cursor()?;
    query.end()?;
    let page = app.nvr.segments(wanted).await?;
    if page.items.is_empty() && app.nvr.camera(&id).is_err() {
        // It may have been removed, and its footage too.
        let known = app.nvr.recorded_cameras().await?;
        if !known.iter().any(|c| c.id == id) {
            return Err(Failure::not_found(format!("there is no camera {id}")));
        }
    }
    Ok(Json(SegmentsDto {
        segments: page.items.iter().map(Into::into).collect(),
        next: page.next.map(|c| c.to_string()),
    }))
}
