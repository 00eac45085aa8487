//! Bytes: segment files, exports, playlists, pictures.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use nvr_core::convert::VodPart;
use nvr_core::media::clip::{Clip, ReadAt};
use nvr_core::store::SegmentState;
use nvr_core::{
    ClipCodec, Error, ErrorKind, Export, ExportFormat, ExportRequest, SegmentId, SnapshotRequest, TimeRange,
    VodRequest,
};

use crate::bytes_body::{Content, Described, serve};
use crate::params::{CameraPath, Codec, Packing, Query, SegmentPath, Time};
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

struct Held(Bytes);

impl Content for Held {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|o| self.0.get(o..))
            .unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
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
        ("v" = Option<String>, Query, description = "Version of the file, as playlists name it; without it the file is not cached for long"),
        ("codec" = inline(Option<Codec>), Query, description = "With `part`, of H.265 footage: as H.264"),
        ("part" = Option<String>, Query, pattern = "^(init|[0-9]{1,9}-[0-9]{1,9})$", description = "With `codec`: `init` or the fragments that a playlist with `codec=h264` names")),
    responses((status = 200, description = "The file; `Range` is answered with 206", content_type = "video/mp4"),
        (status = 404, description = "There is none of that id or that version, or its file is gone", body = Problem),
        (status = 409, description = "As H.264: it is that already", body = Problem),
        (status = 503, description = "As H.264: too many others are served; `Retry-After` says when to ask again", body = Problem)))]
pub(crate) async fn segment(
    State(app): State<AppState>,
    SegmentPath(id): SegmentPath,
    mut query: Query,
    method: Method,
    headers: HeaderMap,
) -> Answer<Response> {
    let version = query.text("v")?;
    let (codec, part) = (
        query.codec()?,
        query.parsed::<VodPart>("part", "init or numbers as in 0-16")?,
    );
    query.end()?;
    match (codec, part) {
        (ClipCodec::AsRecorded, None) => {}
        (ClipCodec::H264, Some(part)) => {
            let cached = version.is_some();
            let bytes = app.nvr.vod_part(id, version, part).await?;
            return Ok(made_part(&method, &headers, bytes, cached));
        }
        _ => return Err(Failure::invalid("parameters codec and part go together")),
    }
    stored(&app, id, version.as_deref(), None, &method, &headers).await
}

/// Answers with the file of a segment. `file_name` has a browser save it under that name.
pub(crate) async fn stored(
    app: &AppState,
    id: SegmentId,
    version: Option<&str>,
    file_name: Option<String>,
    method: &Method,
    headers: &HeaderMap,
) -> Answer<Response> {
    let (row, file, len) = app.nvr.open_segment(id).await?;
    let growing = row.state == SegmentState::Open;
    if version.is_some_and(|v| !row.is_version(v)) {
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
        file_name,
        // It may be encoded again; then it gets another version.
        immutable: !growing && version.is_some(),
    };
    Ok(serve(method, headers, Arc::new(Stored(file, len)), about))
}

/// Answers with a part of a segment that was encoded.
pub(crate) fn made_part(method: &Method, headers: &HeaderMap, bytes: Bytes, immutable: bool) -> Response {
    let about = Described {
        content_type: "video/mp4",
        immutable,
        ..Described::default()
    };
    serve(method, headers, Arc::new(Held(bytes)), about)
}

/// One file for a range of footage, gaps left out. Its size is known before the first byte, unless it has to be encoded.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/export.mp4", tag = "footage",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("to" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("format" = inline(Option<Packing>), Query, description = "fmp4 (default): fragments as recorded; mp4: for every player, ends at the very frame"),
        ("codec" = inline(Option<Codec>), Query, description = "h264: where the footage is not that throughout, it is encoded: from the exact start, without length and `Range`, also where the size of the picture changes. fmp4 is sent while it is encoded, mp4 when all of it is; until then an empty box comes every few seconds"),
        ("masked" = Option<bool>, Query, description = "It is encoded, with the camera's privacy masks in every picture"),
        ("download" = Option<bool>, Query, description = "Ask the browser to save it")),
    responses((status = 200, description = "The file; `Range` is answered with 206", content_type = "video/mp4"),
        (status = 404, description = "Nothing is recorded there", body = Problem),
        (status = 409, description = "The codec parameters change inside the range; the stretches are named", body = Problem),
        (status = 501, description = "It would have to be encoded, and there is no encoder, or none is to be used", body = Problem),
        (status = 503, description = "It has to be encoded, and too many others are served; `Retry-After` says when to ask again", body = Problem)))]
pub(crate) async fn export(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
    method: Method,
    headers: HeaderMap,
) -> Answer<Response> {
    let range = query.full_range()?;
    let format = packing(&mut query)?;
    let download = query.flag("download")?;
    let codec = query.codec()?;
    let masked = query.flag("masked")?;
    query.end()?;
    let request = ExportRequest::new(id, range, format).codec(codec).masked(masked);
    exported(&app, request, download, &method, &headers).await
}

pub(crate) fn packing(query: &mut Query) -> Answer<ExportFormat> {
    match query.text("format")?.as_deref() {
        None | Some("fmp4") => Ok(ExportFormat::Fmp4),
        Some("mp4") => Ok(ExportFormat::Mp4),
        Some(other) => Err(Failure::invalid(format!(
            "parameter format={other:?}: want fmp4 or mp4"
        ))),
    }
}

/// Answers with an export.
pub(crate) async fn exported(
    app: &AppState,
    request: ExportRequest,
    download: bool,
    method: &Method,
    headers: &HeaderMap,
) -> Answer<Response> {
    let format = request.format;
    let file_name = download.then(|| file_name(request.camera.as_str(), request.range));
    let clip = match app.nvr.open_export(request).await? {
        Export::Clip(clip) => clip,
        Export::Converted(made) => {
            let headers = made_headers(file_name);
            if method == Method::HEAD {
                // Of a length that nobody knows, rather than none.
                let nothing = futures_util::stream::empty::<io::Result<Bytes>>();
                return Ok((headers, Body::from_stream(nothing)).into_response());
            }
            return match format {
                ExportFormat::Mp4 => made_now(headers, app.nvr.converted_mp4(made).await?).await,
                ExportFormat::Fmp4 => {
                    let pieces = made.stream()?.map(|piece| piece.map(|p| p.bytes));
                    made_now(headers, pieces).await
                }
            };
        }
    };
    let about = Described {
        content_type: "video/mp4",
        etag: Some(clip.etag().to_owned()),
        file_name,
        immutable: false,
    };
    Ok(serve(method, headers, Arc::new(Exported(clip)), about))
}

/// Of a clip that is made while it is sent, or before.
fn made_headers(file_name: Option<String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-store"),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    if let Some(name) = file_name
        && let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
    {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    headers
}

/// Sends a clip while it is made. That it cannot be made is told before the first byte, if it shows by then; later the
/// connection breaks, as the length was not told.
async fn made_now(
    headers: HeaderMap,
    mut pieces: impl Stream<Item = nvr_core::Result<Bytes>> + Send + Unpin + 'static,
) -> Answer<Response> {
    let first = pieces.next().await.transpose()?.unwrap_or_default();
    let rest = pieces.map(|piece| {
        if let Err(e) = &piece {
            tracing::warn!(error = %e, "an export broke off");
        }
        piece.map_err(io::Error::other)
    });
    let all = futures_util::stream::once(std::future::ready(Ok(first))).chain(rest);
    Ok((headers, Body::from_stream(all)).into_response())
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
fn asked(mut query: Query) -> Answer<(TimeRange, bool, ClipCodec)> {
    let range = query.full_range()?;
    let event = query.flag("event")?;
    let codec = query.codec()?;
    query.end()?;
    Ok((range, event, codec))
}

/// HLS master playlist of a range.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/vod.m3u8", tag = "footage",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("to" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("codec" = inline(Option<Codec>), Query, description = "h264: footage that is not that is named as pieces that are encoded when they are asked for"),
        ("event" = Option<bool>, Query, description = "Leave it open at the growing segment")),
    responses((status = 200, description = "The playlist", content_type = "application/vnd.apple.mpegurl"),
        (status = 503, description = "As H.264: too many others are served; `Retry-After` says when to ask again", body = Problem),
        (status = 404, description = "Nothing is recorded there", body = Problem)))]
pub(crate) async fn vod(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    query: Query,
) -> Answer<Response> {
    let (range, event, codec) = asked(query)?;
    let event_part = if event { "&event=true" } else { "" };
    let codec_part = if codec == ClipCodec::H264 {
        "&codec=h264"
    } else {
        ""
    };
    let (from, to) = (range.start(), range.end());
    let media = format!("media.m3u8?from={from}&to={to}{event_part}{codec_part}");
    Ok(playlist(app.nvr.vod_master(id, range, codec, media).await?))
}

/// HLS media playlist of a range: the segment files by byte range.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/media.m3u8", tag = "footage",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("to" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("codec" = inline(Option<Codec>), Query, description = "h264: footage that is not that is named as pieces that are encoded when they are asked for"),
        ("event" = Option<bool>, Query, description = "Leave it open at the growing segment")),
    responses((status = 200, description = "The playlist", content_type = "application/vnd.apple.mpegurl"),
        (status = 404, description = "Nothing is recorded there", body = Problem)))]
pub(crate) async fn media(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    query: Query,
) -> Answer<Response> {
    let (range, event, codec) = asked(query)?;
    let request = VodRequest {
        camera: id,
        range,
        event,
        codec,
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
    picture(&app, request).await
}

/// Answers with a picture.
pub(crate) async fn picture(app: &AppState, request: SnapshotRequest) -> Answer<Response> {
    let _one_of_few = app
        .decodes
        .acquire()
        .await
        .map_err(|_| Failure::invalid("shutting down"))?;
    let picture = app.nvr.picture(request).await?;
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
