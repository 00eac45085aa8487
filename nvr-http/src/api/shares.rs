//! Shares: footage for whoever has the address, without a login, for a while and nothing beside it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use nvr_core::accounts::{Action, Deed, Share, ShareInfo};
use nvr_core::config::Auth;
use nvr_core::media::clip::ReadAt;
use nvr_core::{CameraId, ClipCodec, ExportRequest, SegmentId, SnapshotRequest, TimeRange, VodRequest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Body;
use super::media::{exported, packing, picture, playlist};
use crate::auth::Viewer;
use crate::bytes_body::{Content, Described, serve};
use crate::params::{Packing, Query, RowPath, SharePath, ShareSegmentPath, Time};
use crate::peer::Client;
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// What to share.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShareRequest {
    /// Camera id.
    camera: String,
    /// Begin: RFC 3339 or Unix seconds.
    from: String,
    /// End: RFC 3339 or Unix seconds; at most a day later.
    to: String,
    /// Seconds that it is good for, 60 to 7776000 (90 days).
    #[schema(minimum = 60, maximum = 7_776_000)]
    expires: u64,
}

/// A share that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SharedDto {
    id: i64,
    /// Works without a login. Shown only here.
    url: String,
    expires: String,
}

/// A share.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ShareDto {
    id: i64,
    /// Who made it.
    user: Option<String>,
    camera: String,
    from: String,
    to: String,
    created: String,
    expires: String,
}

impl From<&ShareInfo> for ShareDto {
    fn from(s: &ShareInfo) -> Self {
        Self {
            id: s.id,
            user: s.user.as_ref().map(ToString::to_string),
            camera: s.camera.to_string(),
            from: s.range.start().to_string(),
            to: s.range.end().to_string(),
            created: s.created.to_string(),
            expires: s.expires.to_string(),
        }
    }
}

/// What a share holds, for whoever has its address.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SharePageDto {
    camera: String,
    /// The camera's name for people.
    name: String,
    from: String,
    to: String,
    expires: String,
}

fn note(app: &AppState, deed: Deed) {
    if app.access.auth == Auth::Accounts {
        app.nvr.accounts().note(deed);
    }
}

/// One's own shares, or for administrators all.
#[utoipa::path(get, path = "/api/v1/shares", tag = "accounts", operation_id = "list_shares",
    responses((status = 200, description = "The shares that are not over, oldest first", body = [ShareDto])))]
pub(crate) async fn list(State(app): State<AppState>, viewer: Viewer) -> Answer<Json<Vec<ShareDto>>> {
    let shares = app.nvr.accounts().shares(&viewer).await?;
    Ok(Json(shares.iter().map(ShareDto::from).collect()))
}

/// Shares a stretch of a camera's footage.
#[utoipa::path(post, path = "/api/v1/shares", tag = "accounts", operation_id = "add_share", request_body = ShareRequest,
    responses((status = 201, description = "Shared; `url` is shown only here", body = SharedDto),
        (status = 400, description = "Something cannot be used", body = Problem),
        (status = 404, description = "There is no such camera", body = Problem)))]
pub(crate) async fn add(
    State(app): State<AppState>,
    viewer: Viewer,
    client: Client,
    headers: HeaderMap,
    Body(request): Body<ShareRequest>,
) -> Answer<(StatusCode, Json<SharedDto>)> {
    let camera = CameraId::new(&request.camera)?;
    viewer.require(&camera)?;
    let known = app.nvr.recorded_cameras().await?;
    if app.nvr.camera(&camera).is_err() && !known.iter().any(|c| c.id == camera) {
        return Err(Failure::not_found(format!("there is no camera {camera}")));
    }
    let range = TimeRange::new(request.from.parse()?, request.to.parse()?)?;
    let (info, token) = app
        .nvr
        .accounts()
        .add_share(&viewer, camera, range, Duration::from_secs(request.expires))
        .await?;
    let detail = format!(
        "made share {} of {} to {} until {}",
        info.id,
        range.start(),
        range.end(),
        info.expires
    );
    note(
        &app,
        Deed::of(&viewer, Some(client.address), Action::Share, detail).camera(Some(info.camera)),
    );
    let path = format!("/share/{}", token.expose());
    let made = SharedDto {
        id: info.id,
        url: client.url(&headers, &app.access.base_path, &path),
        expires: info.expires.to_string(),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Ends a share.
#[utoipa::path(delete, path = "/api/v1/shares/{id}", tag = "accounts", operation_id = "remove_share",
    params(("id" = i64, Path, description = "Share")),
    responses((status = 204, description = "Its address is worth nothing any more"),
        (status = 404, description = "There is none of that id", body = Problem)))]
pub(crate) async fn remove(
    State(app): State<AppState>,
    viewer: Viewer,
    client: Client,
    RowPath(id): RowPath,
) -> Answer<StatusCode> {
    app.nvr.accounts().remove_share(id, &viewer).await?;
    note(
        &app,
        Deed::of(
            &viewer,
            Some(client.address),
            Action::Share,
            format!("ended share {id}"),
        ),
    );
    Ok(StatusCode::NO_CONTENT)
}

async fn open(app: &AppState, token: &str, client: &Client, what: &str) -> Answer<Share> {
    let share = app.nvr.accounts().by_share(token).await?.ok_or_else(|| {
        Failure::Core(
            nvr_core::Error::new(
                nvr_core::ErrorKind::NotFound,
                "this share is over, or there never was one",
            )
            .with_hint("ask whoever sent the address for another"),
        )
    })?;
    let deed = Deed {
        user: Some(format!("share:{}", share.id)),
        address: Some(client.address),
        action: Action::ShareView,
        camera: Some(share.camera.clone()),
        detail: what.to_owned(),
    };
    note(app, deed);
    Ok(share)
}

/// The part of a share that is asked for: all of it, or less.
fn part(share: &Share, query: &mut Query) -> Answer<TimeRange> {
    let range = query.range(share.range.start(), share.range.end())?;
    if range.start() < share.range.start() || range.end() > share.range.end() || range.is_empty() {
        return Err(Failure::Http(
            StatusCode::FORBIDDEN,
            "forbidden",
            "this is outside of what is shared".into(),
        ));
    }
    Ok(range)
}

/// What a share holds.
#[utoipa::path(get, path = "/api/v1/shares/{id}", tag = "shared", operation_id = "share",
    params(("id" = String, Path, description = "Token of the share, the end of its address")),
    responses((status = 200, description = "What it holds", body = SharePageDto),
        (status = 404, description = "It is over, or there never was one", body = Problem)))]
pub(crate) async fn get(
    State(app): State<AppState>,
    client: Client,
    SharePath(token): SharePath,
) -> Answer<Json<SharePageDto>> {
    let share = open(&app, &token, &client, "opened").await?;
    let name = match app.nvr.camera(&share.camera) {
        Ok(camera) => camera.config().name.clone(),
        Err(_) => share.camera.to_string(),
    };
    Ok(Json(SharePageDto {
        camera: share.camera.to_string(),
        name,
        from: share.range.start().to_string(),
        to: share.range.end().to_string(),
        expires: share.expires.to_string(),
    }))
}

/// The footage of a share as one file, as `/cameras/{id}/export.mp4` has it.
#[utoipa::path(get, path = "/api/v1/shares/{id}/export.mp4", tag = "shared", operation_id = "share_export",
    params(("id" = String, Path, description = "Token of the share"),
        ("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; its begin"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; its end"),
        ("format" = inline(Option<Packing>), Query, description = "fmp4 (default) or mp4"),
        ("download" = Option<bool>, Query, description = "Ask the browser to save it")),
    responses((status = 200, description = "The file; `Range` is answered with 206", content_type = "video/mp4"),
        (status = 404, description = "The share is over, or nothing is recorded there", body = Problem),
        (status = 409, description = "The codec parameters change inside the range", body = Problem)))]
pub(crate) async fn export(
    State(app): State<AppState>,
    client: Client,
    SharePath(token): SharePath,
    mut query: Query,
    method: Method,
    headers: HeaderMap,
) -> Answer<Response> {
    let share = open(&app, &token, &client, "export").await?;
    let range = part(&share, &mut query)?;
    let format = packing(&mut query)?;
    let download = query.flag("download")?;
    query.end()?;
    exported(
        &app,
        ExportRequest::new(share.camera, range, format),
        download,
        &method,
        &headers,
    )
    .await
}

/// HLS master playlist of a share.
#[utoipa::path(get, path = "/api/v1/shares/{id}/vod.m3u8", tag = "shared", operation_id = "share_vod",
    params(("id" = String, Path, description = "Token of the share"),
        ("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; its begin"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; its end")),
    responses((status = 200, description = "The playlist", content_type = "application/vnd.apple.mpegurl"),
        (status = 404, description = "The share is over, or nothing is recorded there", body = Problem)))]
pub(crate) async fn vod(
    State(app): State<AppState>,
    client: Client,
    SharePath(token): SharePath,
    mut query: Query,
) -> Answer<Response> {
    let share = open(&app, &token, &client, "play").await?;
    let range = part(&share, &mut query)?;
    query.end()?;
    // Pieces that are encoded for a viewer are not for strangers.
    let codec = ClipCodec::AsRecorded;
    let media = format!("media.m3u8?from={}&to={}", range.start(), range.end());
    Ok(playlist(
        app.nvr.vod_master(share.camera, range, codec, media).await?,
    ))
}

/// HLS media playlist of a share.
#[utoipa::path(get, path = "/api/v1/shares/{id}/media.m3u8", tag = "shared", operation_id = "share_media",
    params(("id" = String, Path, description = "Token of the share"),
        ("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; its begin"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; its end")),
    responses((status = 200, description = "The playlist", content_type = "application/vnd.apple.mpegurl"),
        (status = 404, description = "The share is over, or nothing is recorded there", body = Problem)))]
pub(crate) async fn media(
    State(app): State<AppState>,
    client: Client,
    SharePath(token): SharePath,
    mut query: Query,
) -> Answer<Response> {
    let share = open(&app, &token, &client, "play").await?;
    let range = part(&share, &mut query)?;
    query.end()?;
    let request = VodRequest {
        camera: share.camera,
        range,
        event: false,
        codec: ClipCodec::AsRecorded,
    };
    let text = app
        .nvr
        .vod(request, |segment| format!("segments/{segment}.mp4"))
        .await?;
    Ok(playlist(text))
}

/// A picture of a moment of a share.
#[utoipa::path(get, path = "/api/v1/shares/{id}/snapshot.jpg", tag = "shared", operation_id = "share_snapshot",
    params(("id" = String, Path, description = "Token of the share"),
        ("at" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; its begin"),
        ("width" = Option<u32>, Query, minimum = 16, maximum = 7680, description = "Pixels, 16 to 7680; as recorded")),
    responses((status = 200, description = "The picture; `X-Frame-Time` is its time", content_type = "image/jpeg"),
        (status = 404, description = "The share is over, or nothing is recorded there", body = Problem)))]
pub(crate) async fn snapshot(
    State(app): State<AppState>,
    client: Client,
    SharePath(token): SharePath,
    mut query: Query,
) -> Answer<Response> {
    let share = open(&app, &token, &client, "picture").await?;
    let at = query.time("at")?.unwrap_or_else(|| share.range.start());
    let width = query.parsed("width", "16 to 7680")?;
    query.end()?;
    if !share.range.contains(at) {
        return Err(Failure::Http(
            StatusCode::FORBIDDEN,
            "forbidden",
            "this is outside of what is shared".into(),
        ));
    }
    let request = SnapshotRequest {
        camera: share.camera,
        at: Some(at),
        width,
        exact: true,
    };
    picture(&app, request).await
}

/// A segment's file in which only what is shared can be read; the rest are zeros.
struct Masked {
    file: Arc<dyn ReadAt>,
    len: u64,
    /// Begin and end of what may be read, in order.
    open: Vec<(u64, u64)>,
}

impl Content for Masked {
    fn len(&self) -> u64 {
        self.len
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(offset, buf)?;
        let end = offset + n as u64;
        let mut at = offset;
        for &(from, to) in &self.open {
            let (from, to) = (from.clamp(at, end), to.clamp(at, end));
            clear(buf, at - offset, from - offset);
            at = to;
        }
        clear(buf, at - offset, end - offset);
        Ok(n)
    }
}

fn clear(buf: &mut [u8], from: u64, to: u64) {
    let span = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    if let Some(part) = span.and_then(|(from, to)| buf.get_mut(from..to)) {
        part.fill(0);
    }
}

/// The byte ranges of a segment that a playlist names.
fn spans(playlist: &str, segment: SegmentId) -> Vec<(u64, u64)> {
    let of = |text: &str| {
        let (len, at) = text.split_once('@')?;
        let (len, at): (u64, u64) = (len.parse().ok()?, at.parse().ok()?);
        Some((at, at.checked_add(len)?))
    };
    let name = format!("{segment}.mp4");
    let is_it = |uri: &str| uri.split('?').next() == Some(name.as_str());
    let mut out = Vec::new();
    let mut range = None;
    for line in playlist.lines() {
        if let Some(map) = line.strip_prefix("#EXT-X-MAP:URI=\"") {
            if let Some((uri, rest)) = map.split_once('"')
                && is_it(uri)
            {
                out.extend(
                    rest.split_once("BYTERANGE=\"")
                        .and_then(|(_, r)| of(r.trim_end_matches('"'))),
                );
            }
        } else if let Some(text) = line.strip_prefix("#EXT-X-BYTERANGE:") {
            range = of(text);
        } else if !line.starts_with('#') && !line.is_empty() {
            out.extend(range.take().filter(|_| is_it(line)));
        }
    }
    out.sort_unstable();
    out
}

/// A segment's file as playlists of a share name it. Outside of what is shared it holds zeros.
#[utoipa::path(get, path = "/api/v1/shares/{id}/segments/{segment}", tag = "shared", operation_id = "share_segment",
    params(("id" = String, Path, description = "Token of the share"),
        ("segment" = String, Path, description = "Segment, as the playlist names it"),
        ("v" = Option<String>, Query, description = "Version of the file, as playlists name it")),
    responses((status = 200, description = "The file; `Range` is answered with 206", content_type = "video/mp4"),
        (status = 404, description = "The share is over, or nothing of the segment belongs to it", body = Problem)))]
pub(crate) async fn segment(
    State(app): State<AppState>,
    client: Client,
    ShareSegmentPath(token, id): ShareSegmentPath,
    mut query: Query,
    method: Method,
    headers: HeaderMap,
) -> Answer<Response> {
    let version = query.text("v")?;
    query.end()?;
    let share = open(&app, &token, &client, "play").await?;
    let none = || {
        Failure::not_found(format!(
            "segment {id} is no part of this share, or another by now"
        ))
    };
    let request = VodRequest {
        camera: share.camera.clone(),
        range: share.range,
        event: false,
        codec: ClipCodec::AsRecorded,
    };
    let text = app.nvr.vod(request, |segment| format!("{segment}.mp4")).await?;
    let open = spans(&text, id);
    if open.is_empty() {
        return Err(none());
    }
    let (row, file, len) = app.nvr.open_segment(id).await?;
    if row.camera != share.camera || version.as_deref().is_some_and(|v| !row.is_version(v)) {
        return Err(none());
    }
    let about = Described {
        content_type: "video/mp4",
        etag: Some(format!(
            "\"share{}-{}-{}-{len}\"",
            share.id,
            id,
            row.start.as_ns()
        )),
        file_name: None,
        immutable: false,
    };
    Ok(serve(&method, &headers, Arc::new(Masked { file, len, open }), about).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playlists_tell_what_may_be_read() {
        let text = "#EXTM3U\n#EXT-X-MAP:URI=\"7.mp4?v=1\",BYTERANGE=\"100@0\"\n#EXTINF:2,\n\
                    #EXT-X-BYTERANGE:50@300\n7.mp4?v=1\n#EXT-X-BYTERANGE:10@350\n7.mp4?v=1\n\
                    #EXT-X-MAP:URI=\"77.mp4?v=1\",BYTERANGE=\"9@0\"\n#EXT-X-BYTERANGE:5@400\n77.mp4?v=1\n";
        assert_eq!(spans(text, SegmentId(7)), [(0, 100), (300, 350), (350, 360)]);
        assert_eq!(spans(text, SegmentId(77)), [(0, 9), (400, 405)]);
        assert_eq!(spans(text, SegmentId(1)), []);
    }

    #[test]
    fn the_rest_of_a_segment_cannot_be_read() {
        #[derive(Debug)]
        struct Ones;
        impl ReadAt for Ones {
            fn size(&self) -> io::Result<u64> {
                Ok(400)
            }
            fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
                let n = buf.len().min(usize::try_from(400 - offset).unwrap());
                buf[..n].fill(1);
                Ok(n)
            }
        }
        let masked = Masked {
            file: Arc::new(Ones),
            len: 400,
            open: vec![(0, 100), (300, 350), (350, 360)],
        };
        for step in [1, 7, 64, 1000] {
            let mut all = Vec::new();
            while all.len() < 400 {
                let mut buf = vec![9; step];
                let n = masked.read_at(all.len() as u64, &mut buf).unwrap();
                all.extend_from_slice(&buf[..n]);
            }
            for (at, byte) in all.iter().enumerate() {
                let shared = at < 100 || (300..360).contains(&at);
                assert_eq!(*byte, u8::from(shared), "{at} in steps of {step}");
            }
        }
    }
}
