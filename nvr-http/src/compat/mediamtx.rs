//! The playback server of MediaMTX: `/list` and `/get` (its documentation, "Playback").
//!
//! Better here: `Range`, gaps closed, and the tail that grows.

use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use nvr_core::{CameraId, ExportRequest, TimeRange, Timestamp};
use serde::Serialize;

use crate::api::media;
use crate::auth::Viewer;
use crate::params::Query;
use crate::peer::Client;
use crate::problem::{Answer, Failure};
use crate::server::AppState;

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/list", get(list)).route("/get", get(clip))
}

/// A stretch that can be played without a gap.
#[derive(Debug, Serialize)]
struct Stretch {
    start: String,
    /// Seconds.
    duration: f64,
    url: String,
}

fn camera(query: &mut Query, viewer: &Viewer) -> Answer<CameraId> {
    let path = query
        .text("path")?
        .ok_or_else(|| Failure::invalid("parameter path is needed: the camera"))?;
    let camera = CameraId::new(&path)?;
    viewer.require(&camera)?;
    Ok(camera)
}

async fn list(
    State(app): State<AppState>,
    viewer: Viewer,
    client: Client,
    headers: HeaderMap,
    mut query: Query,
) -> Answer<Json<Vec<Stretch>>> {
    let camera = camera(&mut query, &viewer)?;
    let start = query.time("start")?.unwrap_or(Timestamp::MIN);
    let end = query.time("end")?.unwrap_or(Timestamp::MAX);
    let timeline = app.nvr.timeline(&camera, TimeRange::new(start, end)?).await?;
    if timeline.ranges.is_empty() {
        return Err(Failure::not_found(format!(
            "nothing of {camera} is recorded there"
        )));
    }
    let stretches = timeline.ranges.iter().map(|r| {
        let duration = r.range.len_ns() as f64 / 1e9;
        let start = r.range.start().to_string();
        Stretch {
            url: client.url(
                &headers,
                &app.access.base_path,
                &format!(
                    "/get?path={camera}&start={}&duration={duration}",
                    start.replace(':', "%3A")
                ),
            ),
            start,
            duration,
        }
    });
    Ok(Json(stretches.collect()))
}

async fn clip(
    State(app): State<AppState>,
    viewer: Viewer,
    method: Method,
    headers: HeaderMap,
    mut query: Query,
) -> Answer<Response> {
    let camera = camera(&mut query, &viewer)?;
    let start = query.time("start")?;
    let start = start.ok_or_else(|| Failure::invalid("parameter start is needed"))?;
    let length = query.seconds("duration")?;
    let length = length.ok_or_else(|| Failure::invalid("parameter duration is needed: seconds"))?;
    let format = media::packing(&mut query)?;
    let request = ExportRequest::new(camera, TimeRange::new(start, start + length)?, format);
    media::exported(&app, request, false, &method, &headers).await
}
