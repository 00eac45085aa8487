//! JPEG pictures: over a WebSocket with acknowledgements, and as MJPEG.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use nvr_core::live::{PictureRequest, PictureViewer};
use serde::Deserialize;
use serde_json::json;

use super::mp4::text;
use super::{FIRST_FRAME, stream_of, usable};
use crate::auth::Viewer;
use crate::params::{CameraPath, Query};
use crate::place::Place;
use crate::problem::{Answer, Problem};
use crate::server::AppState;

/// Pictures that were sent and not acknowledged.
const UNACKNOWLEDGED: u64 = 2;
/// A viewer that takes nothing, or acknowledges nothing, for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);
const MOST_BYTES: usize = 4096;
const BOUNDARY: &str = "nvr-frame";

/// `width` and `fps`.
fn wishes(query: &mut Query, width: u32, fps: f64) -> Answer<PictureRequest> {
    let width = query.parsed("width", "16 to 1920")?.unwrap_or(width);
    let fps = query.parsed("fps", "0.1 to 30")?.unwrap_or(fps);
    Ok(PictureRequest::new(width, fps)?)
}

/// Live JPEG pictures over a WebSocket.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/preview", tag = "live",
    params(("id" = String, Path, description = "Camera id"),
        ("stream" = Option<String>, Query, description = "main (default) or sub"),
        ("width" = Option<u32>, Query, minimum = 16, maximum = 1920, description = "Pixels, 640 by default"),
        ("fps" = Option<f64>, Query, minimum = 0.1, maximum = 30, description = "Most pictures a second, 5 by default")),
    responses((status = 101, description = "Binary: frame number (u64), Unix time in ns (i64), both big-endian, JPEG. The viewer answers `{\"ack\":number}` and may send `{\"width\":..,\"fps\":..}`"),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 429, description = "Pictures of too many sizes are being made", body = Problem)))]
pub(crate) async fn preview(
    State(app): State<AppState>,
    who: Viewer,
    CameraPath(id): CameraPath,
    mut query: Query,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let stream = stream_of(&mut query)?;
    let request = wishes(&mut query, 640, 5.0)?;
    query.end()?;
    let camera = app.nvr.camera(&id)?;
    usable(&camera)?;
    let upgrade = upgrade.map_err(|_| super::wants_websocket())?;
    let place = Place::take(&app, who, id)?;
    let viewer = camera.watch_pictures(stream, request)?;
    Ok(upgrade
        .max_message_size(MOST_BYTES)
        .on_upgrade(move |socket| async move {
            show(&place, viewer, request, socket).await;
        }))
}

/// What a viewer says.
#[derive(Deserialize)]
struct Said {
    ack: Option<u64>,
    width: Option<u32>,
    fps: Option<f64>,
}

async fn show(place: &Place, mut viewer: PictureViewer, mut request: PictureRequest, socket: WebSocket) {
    let (mut out, mut incoming) = socket.split();
    let mut sent = std::collections::VecDeque::new();
    let why = loop {
        let may_send = (sent.len() as u64) < UNACKNOWLEDGED;
        let patience = if may_send { FIRST_FRAME } else { PATIENCE };
        let message = tokio::select! {
            () = place.stop().cancelled() => break place.why(),
            said = incoming.next() => {
                let said = match said {
                    Some(Ok(Message::Text(said))) => said,
                    Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => continue,
                    _ => return,
                };
                let Ok(said) = serde_json::from_str::<Said>(&said) else {
                    break "a message that is not understood".to_owned();
                };
                if let Some(ack) = said.ack {
                    // One stands for all before it.
                    if let Some(at) = sent.iter().position(|n| *n == ack) {
                        sent.drain(..=at);
                    }
                }
                if said.width.is_some() || said.fps.is_some() {
                    let wanted = PictureRequest::new(
                        said.width.unwrap_or(request.width),
                        said.fps.unwrap_or(request.fps),
                    );
                    match wanted.and_then(|wanted| viewer.change(wanted).map(|()| wanted)) {
                        Ok(wanted) => {
                            request = wanted;
                            // Frames of another size count anew.
                            sent.clear();
                        }
                        Err(e) => {
                            let error = text(&json!({"type": "error", "why": e.to_string()}));
                            if out.send(error).await.is_err() {
                                return;
                            }
                        }
                    }
                }
                continue;
            }
            picture = viewer.next(), if may_send => {
                let Some(picture) = picture else { break "the camera was removed".to_owned() };
                sent.push_back(picture.number);
                let mut bytes = BytesMut::with_capacity(16 + picture.jpeg.len());
                bytes.put_u64(picture.number);
                bytes.put_i64(picture.utc.as_ns());
                bytes.extend_from_slice(&picture.jpeg);
                Message::Binary(bytes.freeze())
            }
            () = tokio::time::sleep(patience) => {
                if may_send {
                    break viewer.trouble().unwrap_or_else(|| "the camera sends no frames".to_owned());
                }
                break "no picture was acknowledged".to_owned();
            }
        };
        match tokio::time::timeout(PATIENCE, out.send(message)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    };
    let close = async {
        out.send(text(&json!({"type": "end", "why": why}))).await?;
        out.send(Message::Close(None)).await
    };
    let _ = tokio::time::timeout(PATIENCE, close).await;
}

/// Live JPEG pictures as `multipart/x-mixed-replace`, which an `<img>` shows.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/live.mjpeg", tag = "live",
    params(("id" = String, Path, description = "Camera id"),
        ("stream" = Option<String>, Query, description = "main (default) or sub"),
        ("width" = Option<u32>, Query, minimum = 16, maximum = 1920, description = "Pixels, 1280 by default"),
        ("fps" = Option<f64>, Query, minimum = 0.1, maximum = 30, description = "Most pictures a second, 10 by default")),
    responses((status = 200, description = "Pictures, each with `X-Timestamp` (RFC 3339)", content_type = "multipart/x-mixed-replace"),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 429, description = "Pictures of too many sizes are being made", body = Problem),
        (status = 503, description = "The camera sends nothing", body = Problem)))]
pub(crate) async fn mjpeg(
    State(app): State<AppState>,
    who: Viewer,
    CameraPath(id): CameraPath,
    mut query: Query,
) -> Answer<Response> {
    let stream = stream_of(&mut query)?;
    let request = wishes(&mut query, 1280, 10.0)?;
    query.end()?;
    let camera = app.nvr.camera(&id)?;
    usable(&camera)?;
    let place = Place::take(&app, who, id)?;
    let mut viewer = camera.watch_pictures(stream, request)?;
    let first = tokio::time::timeout(FIRST_FRAME, viewer.next()).await;
    let Ok(Some(first)) = first else {
        let why = viewer
            .trouble()
            .unwrap_or_else(|| "the camera sends no frames".to_owned());
        return Err(nvr_core::Error::new(nvr_core::ErrorKind::Unavailable, why).into());
    };
    let stop = place.stop().clone();
    let pictures = futures_util::stream::unfold(
        (viewer, place, Some(first)),
        |(mut viewer, place, first)| async move {
            let (open, picture) = match first {
                Some(first) => (format!("--{BOUNDARY}\r\n"), first),
                None => (String::new(), viewer.next().await?),
            };
            let head = format!(
                "{open}Content-Type: image/jpeg\r\nContent-Length: {}\r\nX-Timestamp: {}\r\n\r\n",
                picture.jpeg.len(),
                picture.utc
            );
            let mut part = BytesMut::with_capacity(head.len() + picture.jpeg.len() + BOUNDARY.len() + 6);
            part.extend_from_slice(head.as_bytes());
            part.extend_from_slice(&picture.jpeg);
            // The boundary of the next part ends this one: a browser shows it only then.
            part.extend_from_slice(format!("\r\n--{BOUNDARY}\r\n").as_bytes());
            Some((
                Ok::<Bytes, std::convert::Infallible>(part.freeze()),
                (viewer, place, None),
            ))
        },
    );
    let pictures = pictures.take_until(stop.cancelled_owned());
    Ok((
        [
            (
                header::CONTENT_TYPE,
                format!("multipart/x-mixed-replace; boundary={BOUNDARY}"),
            ),
            (header::CACHE_CONTROL, "private, no-store".to_owned()),
        ],
        Body::from_stream(pictures),
    )
        .into_response())
}
