//! Stills: pictures that were kept at intervals.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nvr_core::TimeRange;
use nvr_core::stills::{Still, StillQuery};
use nvr_core::store::Order;
use serde::Serialize;
use utoipa::ToSchema;

use crate::bytes_body;
use crate::params::{CameraPath, Direction, Query, StillPath, Time};
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// A still.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StillDto {
    /// When it is of, to the millisecond; also its name in the address of the picture.
    at: String,
    size_bytes: u64,
    /// Path of the picture.
    url: String,
}

impl From<&Still> for StillDto {
    fn from(s: &Still) -> Self {
        Self {
            at: s.at.to_string(),
            size_bytes: s.size_bytes,
            url: format!("/api/v1/cameras/{}/stills/{}.jpg", s.camera, s.at),
        }
    }
}

/// Stills, a page of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StillsDto {
    camera: String,
    stills: Vec<StillDto>,
    /// Give it back as `cursor` for the next page; null on the last.
    next: Option<String>,
}

/// Stills of a camera, a page at a time. Those of a removed camera are there as long as they are kept.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/stills", tag = "footage", operation_id = "list_stills",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; the oldest"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; the newest"),
        ("order" = inline(Option<Direction>), Query, description = "asc (default) or desc, by time"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page", body = StillsDto),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 404, description = "There is no such camera", body = Problem)))]
pub(crate) async fn list(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
) -> Answer<Json<StillsDto>> {
    let mut wanted = StillQuery::new(id.clone());
    let all = TimeRange::ALL;
    wanted.range = query.range(all.start(), all.end())?;
    wanted.order = query.order(Order::Asc)?;
    wanted.limit = query.limit(1000, 100)?;
    wanted.cursor = query.cursor()?;
    query.end()?;
    let page = app.nvr.stills(wanted).await?;
    Ok(Json(StillsDto {
        camera: id.to_string(),
        stills: page.items.iter().map(StillDto::from).collect(),
        next: page.next.map(|c| c.to_string()),
    }))
}

/// A still as JPEG. It never changes under its address.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/stills/{at}", tag = "footage", operation_id = "one_still",
    params(("id" = String, Path, description = "Camera id"),
        ("at" = String, Path, description = "Its time as listed; `.jpg` may follow"),
        ("width" = Option<u32>, Query, minimum = 16, maximum = 7680, description = "Pixels, 16 to 7680, if it is wider than that; as it was kept")),
    responses((status = 200, description = "The picture; `X-Frame-Time` is its time", content_type = "image/jpeg"),
        (status = 304, description = "It is the one whose `ETag` was sent in `If-None-Match`"),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 404, description = "There is none of that moment (any more)", body = Problem)))]
pub(crate) async fn one(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    StillPath(at): StillPath,
    headers: HeaderMap,
    mut query: Query,
) -> Answer<Response> {
    let width: Option<u32> = query.parsed("width", "16 to 7680")?;
    query.end()?;
    if width.is_some_and(|w| !(16..=7680).contains(&w)) {
        return Err(Failure::invalid("parameter width: want 16 to 7680"));
    }
    let jpeg = app.nvr.still(id.clone(), at).await?;
    let shown = width.map_or_else(String::new, |w| format!("-{w}"));
    let etag = format!("\"{id}-{}-{}{shown}\"", at.as_ns() / 1_000_000, jpeg.len());
    let common = [
        (header::ETAG, etag.clone()),
        (
            header::CACHE_CONTROL,
            "private, max-age=604800, immutable".to_owned(),
        ),
    ];
    if bytes_body::lists(headers.get(header::IF_NONE_MATCH), &etag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let jpeg = match width {
        None => jpeg,
        Some(width) => {
            let _one_of_few = app
                .decodes
                .acquire()
                .await
                .map_err(|_| Failure::invalid("shutting down"))?;
            nvr_core::stills::smaller(jpeg, width).await?
        }
    };
    let about = [
        (header::CONTENT_TYPE, "image/jpeg".to_owned()),
        (header::HeaderName::from_static("x-frame-time"), at.to_string()),
    ];
    Ok((common, about, jpeg).into_response())
}
