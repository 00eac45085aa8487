//! Fragmented MP4 over a WebSocket, for `MediaSource`: a chunk a frame.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use nvr_core::Camera;
use nvr_core::live::fmp4::{Chunk, Packager, Packet};
use nvr_core::live::{Live, StreamKind};
use serde_json::json;

use super::{FIRST_FRAME, silence, stream_of, usable};
use crate::auth::Viewer;
use crate::params::{CameraPath, Query};
use crate::place::Place;
use crate::problem::{Answer, Problem};
use crate::server::AppState;

/// Frames and audio packets that wait for a slow viewer: about three seconds.
const CAPACITY: usize = 200;
/// A viewer that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest message of a viewer.
const MOST_BYTES: usize = 4096;

/// Live video as fragmented MP4 over a WebSocket.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/live.mp4", tag = "live",
    params(("id" = String, Path, description = "Camera id"),
        ("stream" = Option<String>, Query, description = "main (default) or sub"),
        ("audio" = Option<bool>, Query, description = "false leaves the audio out")),
    responses((status = 101, description = "Text `init`, `clock`, `lost` and `end`; binary init segments and chunks"),
        (status = 404, description = "There is none of that id", body = Problem)))]
pub(crate) async fn watch(
    State(app): State<AppState>,
    who: Viewer,
    CameraPath(id): CameraPath,
    mut query: Query,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let stream = stream_of(&mut query)?;
    let audio = query.parsed::<bool>("audio", "true or false")?.unwrap_or(true);
    query.end()?;
    let camera = app.nvr.camera(&id)?;
    usable(&camera)?;
    let upgrade = upgrade.map_err(|_| super::wants_websocket())?;
    let place = Place::take(&app, who, id)?;
    Ok(upgrade
        .max_message_size(MOST_BYTES)
        .on_upgrade(move |socket| async move {
            serve(&place, &camera, stream, audio, socket).await;
        }))
}

async fn serve(place: &Place, camera: &Camera, stream: StreamKind, audio: bool, socket: WebSocket) {
    let (mut out, mut incoming) = socket.split();
    let mut viewer = camera.watch(stream, CAPACITY);
    let mut packager: Option<Packager> = None;
    let mut clock = MediaClock::default();
    let mut messages = Vec::new();
    let mut why = None;
    while why.is_none() {
        let live = tokio::select! {
            () = place.stop().cancelled() => {
                why = Some(place.why());
                continue;
            }
            message = incoming.next() => match message {
                // Nothing is expected; pings are answered by themselves.
                Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => continue,
                _ => return,
            },
            live = tokio::time::timeout(FIRST_FRAME, viewer.next()) => live,
        };
        match live {
            Err(_) => why = Some(silence(&viewer)),
            Ok(None) => why = Some("the camera was removed".to_owned()),
            Ok(Some(Live::Begin)) => {
                packager = Some(Packager::new(audio, viewer.audio().as_ref()));
                clock = MediaClock::default();
            }
            Ok(Some(Live::Lost(frames))) => {
                // What was left out is not on the time line: it has to be told anew.
                clock = MediaClock::default();
                messages.push(text(&json!({"type": "lost", "frames": frames})));
            }
            Ok(Some(Live::Frame(unit))) => {
                let packets = packager.as_mut().map(|p| p.push(&unit)).unwrap_or_default();
                for packet in packets {
                    match packet {
                        Packet::Init(init) => {
                            messages.push(text(
                                &json!({"type": "init", "mime": init.mime, "timescale": init.timescale}),
                            ));
                            messages.push(Message::Binary(init.bytes));
                        }
                        Packet::Chunk(chunk) => {
                            messages.extend(clock.tell(&chunk));
                            messages.push(Message::Binary(chunk.bytes));
                        }
                    }
                }
            }
        }
        for message in messages.drain(..) {
            match tokio::time::timeout(PATIENCE, out.send(message)).await {
                Ok(Ok(())) => {}
                _ => return,
            }
        }
    }
    let last = text(&json!({"type": "end", "why": why}));
    let close = async {
        out.send(last).await?;
        out.send(Message::Close(None)).await
    };
    // Whether it still listens or not.
    let _ = tokio::time::timeout(PATIENCE, close).await;
}

pub(super) fn text(value: &serde_json::Value) -> Message {
    Message::Text(value.to_string().into())
}

/// Says once a second of media which UTC belongs to it.
#[derive(Default)]
struct MediaClock {
    said_at: Option<i64>,
}

impl MediaClock {
    fn tell(&mut self, chunk: &Chunk) -> Option<Message> {
        chunk.decode_time?;
        let ms = chunk.presentation / 90;
        if self.said_at.is_some_and(|at| ms < at + 1000) {
            return None;
        }
        self.said_at = Some(ms);
        Some(text(
            &json!({"type": "clock", "media_ms": ms, "utc": chunk.utc.to_string()}),
        ))
    }
}
