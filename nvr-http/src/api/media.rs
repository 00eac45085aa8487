//! Bytes: segment files, exports, playlists, pictures.

use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use nvr_core::media::clip::{Clip, ReadAt};
use nvr_core::store::SegmentState;
use nvr_core::{CameraId, ExportFormat, ExportRequest, Snapshot, SnapshotRequest, TimeRange, VodRequest};
use nvr_core::{Error, ErrorKind};

use crate::bytes_body::{Content, Described, serve};
use crate::params::{CameraPath, Packing, Query, SegmentPath, Time};
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

struct Stored(Arc<dyn ReadAt>, u64);

impl Content for Stored {
    fn len(&self) -> u64 {
        self.1
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buf)
    }
}

struct Exported(Clip);

impl Content for Exported {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buf).map_err(io::Error::other)
    }
}

/// The file of a segment. The id may end in `.mp4`.
#[utoipa::path(get, path = "/api/v1/segments/{id}", tag = "footage",
    params(("id" = String, Path, description = "Segment id"),
        ("v" = Option<String>, Query, description = "Version of the file, as playlists name it; without it the file is not cached for long")),
    responses((status = 200, description = "The file; `Range` is answered with 206", content_type = "video/mp4"),
        (status = 404, description = "There is none of that id or that version, or its file is gone", body = Problem)))]
pub(crate) async fn segment(
    State(app): State<AppState>,
    SegmentPath(id): SegmentPath,
    mut query: Query,
    method: Method,
    headers: HeaderMap,
) -> Answer<Response> {
    let version = query.text("v")?;
    query.end()?;
    let (row, file, len) = app.nvr.open_segment(id).await?;
    let growing = row.state == SegmentState::Open;
    if version.as_deref().is_some_and(|v| !row.is_version(v)) {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("segment {id} has another version by now: it was encoded again"),
        )
        .with_hint("load the playlist again")
        .into());
    }
    let etag = match row.hash {
        Some(hash) => {
            let hex: String = hash[..16].iter().map(|b| format!("{b:02x}")).collect();
            format!("\"{hex}\"")
        }
        None => format!("\"{}-{len}\"", row.start.as_ns()),
    };
    let about = Described {
        content_type: match row.container.extension() {
            "mkv" => "video/x-matroska",
            _ => "video/mp4",
        },
        etag: Some(etag),
        file_name: None,
        // It may be encoded again; then it gets another version.
        immutable: !growing && version.is_some(),
    };
    Ok(serve(&method, &headers, Arc::new(Stored(file, len)), about))
}

/// One file for a range of footage, gaps left out. Its size is known before the first byte.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/export.mp4", tag = "footage",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("to" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("format" = inline(Option<Packing>), Query, description = "fmp4 (default): fragments as recorded; mp4: for every player, ends at the very frame"),
        ("download" = Option<bool>, Query, description = "Ask the browser to save it")),
    responses((status = 200, description = "The file; `Range` is answered with 206", content_type = "video/mp4"),
        (status = 404, description = "Nothing is recorded there", body = Problem),
        (status = 409, description = "The codec parameters change inside the range; the stretches are named", body = Problem)))]
pub(crate) async fn export(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
    method: Method,
    headers: HeaderMap,
) -> Answer<Response> {
    let range = query.full_range()?;
    let format = query.text("format")?.unwrap_or_else(|| "fmp4".into());
    let download = query.flag("download")?;
    query.end()?;
    clip(&app, &method, &headers, id, range, &format, download).await
}

/// One file for a range, as [`export`] answers it.
pub(crate) async fn clip(
    app: &AppState,
    method: &Method,
    headers: &HeaderMap,
    id: CameraId,
    range: TimeRange,
    format: &str,
    download: bool,
) -> Answer<Response> {
    let format = match format {
        "fmp4" => ExportFormat::Fmp4,
        "mp4" => ExportFormat::Mp4,
        other => {
            return Err(Failure::invalid(format!(
                "parameter format={other:?}: want fmp4 or mp4"
            )));
        }
    };
    let file_name = download.then(|| file_name(id.as_str(), range));
    let clip = app.nvr.export(ExportRequest::new(id, range, format)).await?;
    let about = Described {
        content_type: "video/mp4",
        etag: Some(clip.etag().to_owned()),
        file_name,
        immutable: false,
    };
    Ok(serve(method, headers, Arc::new(Exported(clip)), about))
}

/// `front_2026-05-04T03-02-01Z_600s.mp4`: no character that a file system minds.
fn file_name(camera: &str, range: TimeRange) -> String {
    let start = range.start().to_string();
    let whole = start.split('.').next().unwrap_or(&start).trim_end_matches('Z');
    format!(
        "{camera}_{}Z_{}s.mp4",
        whole.replace(':', "-"),
        range.len_ns() / 1_000_000_000
    )
}

pub(crate) fn playlist(text: String) -> Response {
    (
        [
            (header::CONTENT_TYPE, "application/vnd.apple.mpegurl"),
            (header::CACHE_CONTROL, "private, no-cache"),
        ],
        text,
    )
        .into_response()
}

/// What both playlists are asked with.
fn asked(mut query: Query) -> Answer<(TimeRange, bool)> {
    let range = query.full_range()?;
    let event = query.flag("event")?;
    query.end()?;
    Ok((range, event))
}

/// HLS master playlist of a range.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/vod.m3u8", tag = "footage",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("to" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("event" = Option<bool>, Query, description = "Leave it open at the growing segment")),
    responses((status = 200, description = "The playlist", content_type = "application/vnd.apple.mpegurl"),
        (status = 404, description = "Nothing is recorded there", body = Problem)))]
pub(crate) async fn vod(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    query: Query,
) -> Answer<Response> {
    let (range, event) = asked(query)?;
    let event_part = if event { "&event=true" } else { "" };
    let media = format!("media.m3u8?from={}&to={}{event_part}", range.start(), range.end());
    Ok(playlist(app.nvr.vod_master(id, range, media).await?))
}

/// HLS media playlist of a range: the segment files by byte range.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/media.m3u8", tag = "footage",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("to" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("event" = Option<bool>, Query, description = "Leave it open at the growing segment")),
    responses((status = 200, description = "The playlist", content_type = "application/vnd.apple.mpegurl"),
        (status = 404, description = "Nothing is recorded there", body = Problem)))]
pub(crate) async fn media(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    query: Query,
) -> Answer<Response> {
    let (range, event) = asked(query)?;
    let request = VodRequest {
        camera: id,
        range,
        event,
    };
    Ok(playlist(
        app.nvr
            .vod(request, |segment| format!("../../segments/{segment}.mp4"))
            .await?,
    ))
}

/// A picture of a recorded moment, or of now.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/snapshot.jpg", tag = "footage",
    params(("id" = String, Path, description = "Camera id"),
        ("at" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; now"),
        ("width" = Option<u32>, Query, minimum = 16, maximum = 7680, description = "Pixels, 16 to 7680; as recorded"),
        ("exact" = Option<bool>, Query, description = "The very frame instead of the keyframe at or before it")),
    responses((status = 200, description = "The picture; `X-Frame-Time` is its time", content_type = "image/jpeg"),
        (status = 404, description = "Nothing is recorded there", body = Problem)))]
pub(crate) async fn snapshot(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
) -> Answer<Response> {
    let request = SnapshotRequest {
        camera: id,
        at: query.time("at")?,
        width: query.parsed("width", "16 to 7680")?,
        exact: query.flag("exact")?,
    };
    query.end()?;
    let picture = picture(&app, request).await?;
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg".to_owned()),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
        (
            header::HeaderName::from_static("x-frame-time"),
            picture.at.to_string(),
        ),
    ];
    Ok((headers, picture.jpeg).into_response())
}

/// A picture, when one of the few places for decoding is free.
pub(crate) async fn picture(app: &AppState, request: SnapshotRequest) -> Answer<Snapshot> {
    let _one_of_few = app
        .decodes
        .acquire()
        .await
        .map_err(|_| Failure::invalid("shutting down"))?;
    Ok(app.nvr.picture(request).await?)
}
