//! What whoever has the address of a share can play and save of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use nvr_core::accounts::Share;
use nvr_core::convert::VodPart;
use nvr_core::media::clip::ReadAt;
use nvr_core::{ClipCodec, ExportRequest, SegmentId, SnapshotRequest, TimeRange, VodRequest};
use tokio::sync::OwnedSemaphorePermit;

use super::open;
use crate::api::media::{exported, made_part, packing, picture, playlist};
use crate::bytes_body::{Content, Described, serve};
use crate::params::{Codec, Packing, Query, SharePath, ShareSegmentPath, Time};
use crate::peer::Client;
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// How long a stranger waits for another's footage to be encoded.
const TURN: Duration = Duration::from_secs(10);

/// The part of a share that is asked for: all of it, or less.
fn part(share: &Share, query: &mut Query) -> Answer<TimeRange> {
    let range = query.range(share.range.start(), share.range.end())?;
    if range.start() < share.range.start() || range.end() > share.range.end() || range.is_empty() {
        return Err(outside());
    }
    Ok(range)
}

fn outside() -> Failure {
    let what = "this is outside of what is shared";
    Failure::Http(StatusCode::FORBIDDEN, "forbidden", what.into())
}

/// Footage is encoded for one stranger at a time, so that those who have an account get a turn.
async fn turn(app: &AppState) -> Answer<OwnedSemaphorePermit> {
    let permit = app.strangers.clone().acquire_owned();
    if let Ok(Ok(permit)) = tokio::time::timeout(TURN, permit).await {
        return Ok(permit);
    }
    let what = "footage of another share is being encoded";
    Err(Failure::Core(
        nvr_core::Error::new(nvr_core::ErrorKind::Unavailable, what).with_hint("ask again in a while"),
    ))
}

/// The footage of a share as one file, as `/cameras/{id}/export.mp4` has it.
#[utoipa::path(get, path = "/api/v1/shares/{id}/export.mp4", tag = "shared", operation_id = "share_export",
    params(("id" = String, Path, description = "Token of the share"),
        ("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; its begin"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; its end"),
        ("format" = inline(Option<Packing>), Query, description = "fmp4 (default) or mp4"),
        ("codec" = inline(Option<Codec>), Query, description = "h264: what is not that is encoded while it is sent"),
        ("download" = Option<bool>, Query, description = "Ask the browser to save it")),
    responses((status = 200, description = "The file; `Range` is answered with 206", content_type = "video/mp4"),
        (status = 404, description = "The share is over, or nothing is recorded there", body = Problem),
        (status = 409, description = "The codec parameters change inside the range", body = Problem),
        (status = 501, description = "It would have to be encoded, and there is no encoder, or none is to be used", body = Problem),
        (status = 503, description = "It has to be encoded, and others are served; `Retry-After` says when to ask again", body = Problem)))]
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
    let codec = query.codec()?;
    let download = query.flag("download")?;
    query.end()?;
    let request = ExportRequest::new(share.camera, range, format).codec(codec);
    if codec == ClipCodec::AsRecorded {
        return exported(&app, request, download, &method, &headers).await;
    }
    let permit = turn(&app).await?;
    let answer = exported(&app, request, download, &method, &headers).await?;
    let (parts, body) = answer.into_parts();
    // The turn lasts as long as the file is sent.
    let body = body.into_data_stream().map(move |piece| {
        let _turn = &permit;
        piece
    });
    Ok(Response::from_parts(parts, Body::from_stream(body)))
}

/// HLS master playlist of a share.
#[utoipa::path(get, path = "/api/v1/shares/{id}/vod.m3u8", tag = "shared", operation_id = "share_vod",
    params(("id" = String, Path, description = "Token of the share"),
        ("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; its begin"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; its end"),
        ("codec" = inline(Option<Codec>), Query, description = "h264: footage that is not that is named as pieces that are encoded when they are asked for")),
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
    let codec = query.codec()?;
    query.end()?;
    let codec_part = if codec == ClipCodec::H264 {
        "&codec=h264"
    } else {
        ""
    };
    let media = format!("media.m3u8?from={}&to={}{codec_part}", range.start(), range.end());
    Ok(playlist(
        app.nvr.vod_master(share.camera, range, codec, media).await?,
    ))
}

/// HLS media playlist of a share.
#[utoipa::path(get, path = "/api/v1/shares/{id}/media.m3u8", tag = "shared", operation_id = "share_media",
    params(("id" = String, Path, description = "Token of the share"),
        ("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; its begin"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; its end"),
        ("codec" = inline(Option<Codec>), Query, description = "h264: footage that is not that is named as pieces that are encoded when they are asked for")),
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
    let codec = query.codec()?;
    query.end()?;
    let request = VodRequest {
        camera: share.camera,
        range,
        event: false,
        codec,
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
        return Err(outside());
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

/// Whether a playlist names a part of a segment as H.264.
fn names(playlist: &str, segment: SegmentId, part: &VodPart) -> bool {
    let name = format!("{segment}.mp4");
    playlist.lines().any(|line| {
        let uri = match line.strip_prefix("#EXT-X-MAP:URI=\"") {
            Some(map) => map.trim_end_matches('"'),
            None if line.starts_with('#') => return false,
            None => line,
        };
        let Some((file, query)) = uri.split_once('?') else {
            return false;
        };
        let named = query.split('&').find_map(|pair| pair.strip_prefix("part="));
        file == name && named.and_then(|n| n.parse::<VodPart>().ok()).as_ref() == Some(part)
    })
}

/// A segment's file as playlists of a share name it. Outside of what is shared it holds zeros.
#[utoipa::path(get, path = "/api/v1/shares/{id}/segments/{segment}", tag = "shared", operation_id = "share_segment",
    params(("id" = String, Path, description = "Token of the share"),
        ("segment" = String, Path, description = "Segment, as the playlist names it"),
        ("v" = Option<String>, Query, description = "Version of the file, as playlists name it"),
        ("codec" = inline(Option<Codec>), Query, description = "With `part`, of H.265 footage: as H.264"),
        ("part" = Option<String>, Query, pattern = "^(init|[0-9]{1,9}-[0-9]{1,9})$", description = "With `codec`: `init` or the fragments that a playlist with `codec=h264` names")),
    responses((status = 200, description = "The file; `Range` is answered with 206", content_type = "video/mp4"),
        (status = 404, description = "The share is over, or nothing of the segment belongs to it", body = Problem),
        (status = 503, description = "As H.264: others are served; `Retry-After` says when to ask again", body = Problem)))]
pub(crate) async fn segment(
    State(app): State<AppState>,
    client: Client,
    ShareSegmentPath(token, id): ShareSegmentPath,
    mut query: Query,
    method: Method,
    headers: HeaderMap,
) -> Answer<Response> {
    let version = query.text("v")?;
    let codec = query.codec()?;
    let wanted = query.parsed::<VodPart>("part", "init or numbers as in 0-16")?;
    query.end()?;
    if wanted.is_some() != (codec == ClipCodec::H264) {
        return Err(Failure::invalid("parameters codec and part go together"));
    }
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
        codec,
    };
    let text = app.nvr.vod(request, |segment| format!("{segment}.mp4")).await?;
    if let Some(wanted) = wanted {
        if !names(&text, id, &wanted) {
            return Err(none());
        }
        let _turn = turn(&app).await?;
        let bytes = app.nvr.vod_part(id, version, wanted).await?;
        return Ok(made_part(&method, &headers, bytes, false));
    }
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
    fn of_footage_as_h264_only_the_parts_in_the_playlist_may_be_had() {
        let text = "#EXTM3U\n#EXT-X-MAP:URI=\"7.mp4?v=1&codec=h264&part=init\"\n#EXTINF:2,\n\
                    7.mp4?v=1&codec=h264&part=3-9\n#EXT-X-MAP:URI=\"8.mp4?v=1\",BYTERANGE=\"9@0\"\n\
                    #EXT-X-BYTERANGE:5@400\n8.mp4?v=1\n";
        let named = |segment, part: &str| names(text, SegmentId(segment), &part.parse().unwrap());
        assert!(named(7, "init") && named(7, "3-9"));
        for (segment, part) in [(7, "3-8"), (7, "0-3"), (8, "init"), (8, "0-3"), (77, "init")] {
            assert!(!named(segment, part), "{segment} {part}");
        }
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
