//! The preview of a session: JSON messages with a JPEG in base64, always the newest picture, one at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{SinkExt, StreamExt};
use nvr_core::live::{PictureRequest, PictureViewer, StreamKind};
use serde_json::{Value, json};

use super::{Refused, Session};
use crate::auth::Viewer;
use crate::params::Query;
use crate::place::Place;
use crate::server::AppState;

/// How large and often pictures come, unless `width` and `fps` say otherwise.
const WIDTH: u32 = 960;
const FPS: f64 = 10.0;
/// A client that takes nothing for so long is gone; as is a camera that sends nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// A client has nothing to say.
const MOST_BYTES: usize = 4096;

pub(super) async fn stream(
    State(app): State<AppState>,
    viewer: Viewer,
    mut query: Query,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refused> {
    let id = query.text("session_id")?.unwrap_or_default();
    let width = query.parsed("width", "16 to 1920")?.unwrap_or(WIDTH);
    let fps = query.parsed("fps", "0.1 to 30")?.unwrap_or(FPS);
    let request = PictureRequest::new(width, fps)?;
    let upgrade = upgrade.max_message_size(MOST_BYTES);
    // Its clients are told of mistakes over the socket.
    let Ok(session) = app.sessions.of(&viewer, &id) else {
        return Ok(upgrade.on_upgrade(|socket| tell(socket, "Session not found".to_owned())));
    };
    let opened = app
        .nvr
        .camera(&session.camera)
        .and_then(|camera| camera.watch_pictures(StreamKind::Main, request));
    let pictures = match opened {
        Ok(pictures) => pictures,
        Err(e) => return Ok(upgrade.on_upgrade(move |socket| tell(socket, e.to_string()))),
    };
    let place = Place::take(&app, viewer, session.camera.clone())?;
    Ok(upgrade.on_upgrade(move |socket| async move {
        let _watched = Watched::begin(session);
        show(&place, pictures, socket).await;
    }))
}

/// A session is being watched as long as there is one.
struct Watched(Arc<Session>);

impl Watched {
    fn begin(session: Arc<Session>) -> Self {
        session.previews.fetch_add(1, Ordering::SeqCst);
        Self(session)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.previews.fetch_sub(1, Ordering::SeqCst);
    }
}

fn text(value: &Value) -> Message {
    Message::Text(value.to_string().into())
}

async fn tell(mut socket: WebSocket, why: String) {
    let told = async {
        socket.send(text(&json!({"error": why}))).await?;
        socket.send(Message::Close(None)).await
    };
    let _ = tokio::time::timeout(PATIENCE, told).await;
}

async fn show(place: &Place, mut pictures: PictureViewer, socket: WebSocket) {
    let (mut out, mut incoming) = socket.split();
    let mut number = 0_u64;
    let why = loop {
        let picture = tokio::select! {
            () = place.stop().cancelled() => break place.why(),
            said = incoming.next() => match said {
                Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => continue,
                _ => return,
            },
            picture = tokio::time::timeout(PATIENCE, pictures.next()) => picture,
        };
        let picture = match picture {
            Ok(Some(picture)) => picture,
            Ok(None) => break "the session was closed".to_owned(),
            Err(_) => {
                break pictures
                    .trouble()
                    .unwrap_or_else(|| "Failed to open stream".to_owned());
            }
        };
        number += 1;
        let frame = text(&json!({
            "type": "frame",
            "data": BASE64.encode(&picture.jpeg),
            "timestamp": picture.utc.as_secs_f64(),
            "frame_number": number,
        }));
        match tokio::time::timeout(PATIENCE, out.send(frame)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    };
    let last = async {
        out.send(text(&json!({"error": why}))).await?;
        out.send(Message::Close(None)).await
    };
    let _ = tokio::time::timeout(PATIENCE, last).await;
}
