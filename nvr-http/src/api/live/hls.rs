//! LL-HLS: the playlist, which waits for what it is wanted with, and its files.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use nvr_core::live::StreamKind;

use super::{stream_of, usable};
use crate::params::{CameraPath, NamePath, Query};
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// The live playlist (LL-HLS).
#[utoipa::path(get, path = "/api/v1/cameras/{id}/live.m3u8", tag = "live",
    params(("id" = String, Path, description = "Camera id"),
        ("stream" = Option<String>, Query, description = "main (default) or sub"),
        ("_HLS_msn" = Option<u64>, Query, description = "Answer when this segment is in it"),
        ("_HLS_part" = Option<u64>, Query, description = "And this part of it"),
        ("_HLS_skip" = Option<String>, Query, description = "YES or v2: leave out what whoever has a recent playlist knows (`EXT-X-SKIP`)")),
    responses((status = 200, description = "The playlist", content_type = "application/vnd.apple.mpegurl"),
        (status = 400, description = "A segment that is far from being made", body = Problem),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 503, description = "The camera sends nothing", body = Problem)))]
pub(crate) async fn playlist(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
) -> Answer<Response> {
    let stream = stream_of(&mut query)?;
    let number = query.parsed("_HLS_msn", "a number")?;
    let part = query.parsed("_HLS_part", "a number")?;
    let skip = match query.text("_HLS_skip")?.as_deref() {
        None => false,
        Some("YES" | "v2") => true,
        Some(other) => {
            return Err(Failure::invalid(format!(
                "parameter _HLS_skip={other:?}: want YES or v2"
            )));
        }
    };
    query.end()?;
    if part.is_some() && number.is_none() {
        return Err(Failure::invalid("_HLS_part without _HLS_msn"));
    }
    let camera = app.nvr.camera(&id)?;
    usable(&camera)?;
    let text = camera
        .hls(stream)
        .playlist(number.map(|number| (number, part)), "live/", skip)
        .await?;
    Ok((
        [
            (header::CONTENT_TYPE, "application/vnd.apple.mpegurl"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        text,
    )
        .into_response())
}

/// A file that the live playlist names.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/live/{name}", tag = "live",
    operation_id = "live_file",
    params(("id" = String, Path, description = "Camera id"),
        ("name" = String, Path, description = "As in the playlist")),
    responses((status = 200, description = "An init segment, a segment or a part; one that is hinted at comes when it is there", content_type = "video/mp4"),
        (status = 404, description = "It is gone", body = Problem),
        (status = 503, description = "The camera sends nothing", body = Problem)))]
pub(crate) async fn file(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    NamePath(name): NamePath,
) -> Answer<Response> {
    let camera = app.nvr.camera(&id)?;
    usable(&camera)?;
    let stream: StreamKind = name
        .split('-')
        .next()
        .and_then(|kind| kind.parse().ok())
        .ok_or_else(|| Failure::not_found(format!("there is no {name:?} in the live stream")))?;
    let bytes = camera.hls(stream).file(&name).await?;
    Ok((
        [
            (header::CONTENT_TYPE, "video/mp4"),
            (header::CACHE_CONTROL, "private, max-age=60"),
        ],
        bytes,
    )
        .into_response())
}
