//! The recorder itself: health, metrics, events.

use std::convert::Infallible;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use nvr_core::CameraId;
use nvr_core::accounts::Permission;
use nvr_core::store::{EventQuery, Order};
use nvr_core::{DetectionKind, Event, EventKind, Timestamp};

use super::jobs::among;
use crate::auth::{MaybeViewer, Viewer};
use crate::dto::{EventDto, EventsDto, HealthDto};
use crate::params::{Direction, Query, Time};
use crate::problem::{Answer, Problem};
use crate::server::AppState;

/// Whether the recorder lives, and how many cameras fare how; with a login or token what is wrong. 200 as long as it
/// answers at all; see `status`.
#[utoipa::path(get, path = "/health", tag = "system",
    responses((status = 200, description = "It lives", body = HealthDto)))]
pub(crate) async fn health(State(app): State<AppState>, MaybeViewer(viewer): MaybeViewer) -> Json<HealthDto> {
    Json(HealthDto::new(&app.nvr, &app.nvr.health(), viewer.as_ref()))
}

/// Whether every camera that should be recorded now is.
#[utoipa::path(get, path = "/ready", tag = "system",
    responses((status = 200, description = "All are", body = HealthDto),
        (status = 503, description = "Not all are", body = HealthDto)))]
pub(crate) async fn ready(
    State(app): State<AppState>,
    MaybeViewer(viewer): MaybeViewer,
) -> (StatusCode, Json<HealthDto>) {
    let health = app.nvr.health();
    let status = if health.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(HealthDto::new(&app.nvr, &health, viewer.as_ref())))
}

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "system",
    responses((status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text")))]
pub(crate) async fn metrics(State(app): State<AppState>) -> Response {
    let text = crate::metrics::render(&app).await;
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

/// Events: recorded ones by query, or with `Accept: text/event-stream` those that happen from now on.
#[utoipa::path(get, path = "/api/v1/events", tag = "system",
    params(("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; the beginning"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; the end"),
        ("camera" = Option<String>, Query, description = "Camera id"),
        ("kind" = Option<String>, Query, description = "Kinds, separated by commas; `detection_started` are the detections"),
        ("detection" = Option<String>, Query, description = "Of the detections only those of these kinds, separated by commas"),
        ("text" = Option<String>, Query, description = "Only those that hold this somewhere; not for a stream"),
        ("order" = inline(Option<Direction>), Query, description = "desc (default) or asc"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page of events, or a stream of them",
            content((EventsDto = "application/json"), (String = "text/event-stream"))),
        (status = 400, description = "A parameter cannot be read", body = Problem)))]
pub(crate) async fn events(
    State(app): State<AppState>,
    viewer: Viewer,
    headers: axum::http::HeaderMap,
    mut query: Query,
) -> Answer<Response> {
    let camera: Option<CameraId> = query.parsed("camera", "a camera id")?;
    let kinds: Vec<String> = query
        .text("kind")?
        .map(|k| k.split(',').map(str::to_owned).collect())
        .unwrap_or_default();
    let detections = super::detections::kinds(&mut query, "detection")?;
    let streams = headers
        .get(header::ACCEPT)
        .and_then(|a| a.to_str().ok())
        .is_some_and(|a| a.contains("text/event-stream"));
    if streams {
        query.end()?;
        return Ok(stream(&app, viewer, camera, kinds, detections));
    }
    let mut wanted = EventQuery::new(query.range(Timestamp::MIN, Timestamp::MAX)?);
    wanted.camera = camera;
    wanted.among = among(&viewer);
    wanted.detections =
        (kinds.is_empty() || kinds.iter().any(|k| k == "detection_started")).then_some(detections);
    wanted.kinds = kinds;
    wanted.text = query.text("text")?;
    wanted.limit = query.limit(1000, 100)?;
    wanted.order = query.order(Order::Desc)?;
    wanted.cursor = query.cursor()?;
    query.end()?;
    let page = app.nvr.events_of(wanted).await?;
    let body = EventsDto {
        events: page
            .items
            .into_iter()
            .filter_map(|row| shown(row.event, &viewer))
            .map(|event| EventDto::from(&event))
            .collect(),
        next: page.next.map(|c| c.to_string()),
    };
    Ok(Json(body).into_response())
}

/// An event as the viewer may know of it: of his cameras, and of a booking his part of it.
fn shown(mut event: Event, viewer: &Viewer) -> Option<Event> {
    if let EventKind::BookingChanged {
        cameras, warnings, ..
    } = &mut event.kind
    {
        cameras.retain(|c| viewer.sees(c));
        warnings.retain(|w| w.camera.as_ref().is_none_or(|c| viewer.sees(c)));
        return (!cameras.is_empty() || viewer.sees_maybe(None)).then_some(event);
    }
    // That events were missed concerns everybody.
    (viewer.sees_maybe(event.camera.as_ref()) || matches!(event.kind, EventKind::Lagged { .. }))
        .then_some(event)
}

fn stream(
    app: &AppState,
    viewer: Viewer,
    camera: Option<CameraId>,
    kinds: Vec<String>,
    detections: Vec<DetectionKind>,
) -> Response {
    let until = viewer
        .clone()
        .until_revoked(app.clone(), Permission::Look, camera.clone());
    let events = app
        .nvr
        .events()
        .filter_map(move |e| std::future::ready(shown(e, &viewer)))
        .filter(move |e| {
            let wanted = (camera.is_none() || e.camera == camera)
                && (kinds.is_empty() || kinds.iter().any(|k| k == e.kind.name()))
                && match &e.kind {
                    EventKind::DetectionStarted { detection } | EventKind::DetectionEnded { detection } => {
                        detections.is_empty() || detections.contains(&detection.kind)
                    }
                    _ => true,
                };
            std::future::ready(wanted)
        })
        .map(|e| {
            let data = serde_json::to_string(&EventDto::from(&e)).unwrap_or_default();
            Ok::<_, Infallible>(SseEvent::default().event(e.kind.name()).data(data))
        })
        .take_until(app.stop.clone().cancelled_owned())
        .take_until(until);
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
