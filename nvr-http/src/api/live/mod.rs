//! Live: which ways there are to watch a camera, and each of them.

pub(crate) mod hls;
pub(crate) mod mp4;
pub(crate) mod pictures;
#[cfg(feature = "webrtc")]
pub(crate) mod whep;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use nvr_core::Camera;
use nvr_core::live::{Live, LiveInfo, StreamKind, Viewer};
use nvr_core::track::VideoCodec;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
#[cfg(feature = "webrtc")]
use utoipa_axum::routes;

use crate::params::{CameraPath, Query};
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// How long a camera that is connected only now may take before it is said that it sends nothing.
const FIRST_FRAME: Duration = Duration::from_secs(15);
/// The same where only its codec is asked for.
const ASKED: Duration = Duration::from_secs(6);

/// Whether a way exists, and if not, why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WayDto {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// What goes into `MediaSource.isTypeSupported`.
    #[serde(skip_serializing_if = "Option::is_none")]
    mime: Option<String>,
}

impl WayDto {
    fn yes() -> Self {
        Self {
            ok: true,
            why: None,
            mime: None,
        }
    }

    fn no(why: impl Into<String>) -> Self {
        Self {
            ok: false,
            why: Some(why.into()),
            mime: None,
        }
    }
}

/// The ways to watch a camera.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaysDto {
    /// WebRTC.
    whep: WayDto,
    /// Fragmented MP4 over a WebSocket, for `MediaSource`.
    mse: WayDto,
    /// Low-latency HLS.
    hls: WayDto,
    /// JPEG pictures as `multipart/x-mixed-replace`.
    mjpeg: WayDto,
    /// JPEG pictures over a WebSocket.
    preview: WayDto,
}

/// What a camera sends now and how it can be watched.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LiveDto {
    /// The stream that this is about: `main` or `sub`.
    stream: &'static str,
    /// Whether there is a sub stream.
    has_sub: bool,
    /// Codec string of the video (`avc1.64001f`); absent while the camera sends nothing.
    codec: Option<String>,
    width: Option<u16>,
    height: Option<u16>,
    /// Codec of the audio: a codec string where browsers know one (`mp4a.40.2`, `opus`), else `pcmu`, `pcma`, `other`.
    audio: Option<String>,
    b_frames: bool,
    paths: WaysDto,
}

/// `stream=main|sub`.
fn stream_of(query: &mut Query) -> Answer<StreamKind> {
    Ok(query.parsed("stream", "main or sub")?.unwrap_or_default())
}

/// Whether a camera can send anything at all.
fn usable(camera: &Camera) -> Answer<()> {
    let config = camera.config();
    if config.enabled {
        return Ok(());
    }
    Err(Failure::Core(nvr_core::Error::new(
        nvr_core::ErrorKind::Unavailable,
        format!("camera {} is disabled", config.id),
    )))
}

/// Waits until a stream is known.
async fn known(viewer: &mut Viewer, patience: Duration) -> Option<LiveInfo> {
    let first = async {
        loop {
            if let Some(info) = viewer.info() {
                return Some(info);
            }
            match viewer.next().await? {
                Live::Begin | Live::Frame(_) | Live::Lost(_) => {}
            }
        }
    };
    tokio::time::timeout(patience, first).await.ok().flatten()
}

fn silence(viewer: &Viewer) -> String {
    viewer
        .trouble()
        .unwrap_or_else(|| "the camera sends no frames".to_owned())
}

/// The addresses of WHEP, where this was built with it.
#[cfg(feature = "webrtc")]
pub(crate) fn whep_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(whep::offer))
        .routes(routes!(whep::trickle, whep::end))
}

#[cfg(not(feature = "webrtc"))]
pub(crate) fn whep_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
}

/// Whether this recorder serves WebRTC.
fn serves_webrtc(app: &AppState) -> bool {
    #[cfg(feature = "webrtc")]
    return app.webrtc.is_on();
    #[cfg(not(feature = "webrtc"))]
    {
        let _ = app;
        false
    }
}

/// Why a stream cannot go by WebRTC.
fn refuses_whep(app: &AppState, info: &LiveInfo) -> Option<&'static str> {
    if !serves_webrtc(app) {
        return Some("this recorder does not serve WebRTC");
    }
    match (info.video, info.b_frames) {
        (VideoCodec::H265, _) => Some("H.265 does not go by WebRTC"),
        (VideoCodec::H264, true) => {
            Some("frames that are shown in another order than sent do not go by WebRTC")
        }
        (VideoCodec::H264, false) => None,
    }
}

/// How a camera can be watched now. Connects one that is connected on demand.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/live", tag = "live",
    params(("id" = String, Path, description = "Camera id"),
        ("stream" = Option<String>, Query, description = "main (default) or sub; of a camera without one, main is meant")),
    responses((status = 200, description = "What it sends and which ways there are", body = LiveDto),
        (status = 404, description = "There is none of that id", body = Problem)))]
pub(crate) async fn capability(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
) -> Answer<Json<LiveDto>> {
    let stream = stream_of(&mut query)?;
    query.end()?;
    let camera = app.nvr.camera(&id)?;
    let has_sub = camera.config().sub.is_some();
    let kind = camera.stream(stream);
    let stream = kind.as_str();
    let mut viewer = camera.watch(kind, 1);
    let info = if camera.config().enabled {
        known(&mut viewer, ASKED).await
    } else {
        None
    };
    let Some(info) = info else {
        let why = if camera.config().enabled {
            silence(&viewer)
        } else {
            "the camera is disabled".to_owned()
        };
        let no = || WayDto::no(why.clone());
        return Ok(Json(LiveDto {
            stream,
            has_sub,
            codec: None,
            width: None,
            height: None,
            audio: None,
            b_frames: false,
            paths: WaysDto {
                whep: no(),
                mse: no(),
                hls: no(),
                mjpeg: no(),
                preview: no(),
            },
        }));
    };
    let audio = info.init.audio_codec.clone().or_else(|| {
        info.audio.map(|codec| {
            use nvr_core::track::AudioCodec;
            match codec {
                AudioCodec::Opus => "opus",
                AudioCodec::Pcmu => "pcmu",
                AudioCodec::Pcma => "pcma",
                _ => "other",
            }
            .to_owned()
        })
    });
    Ok(Json(LiveDto {
        stream,
        has_sub,
        codec: Some(info.init.video_codec.clone()),
        width: Some(info.init.size.0),
        height: Some(info.init.size.1),
        audio,
        b_frames: info.b_frames,
        paths: WaysDto {
            whep: refuses_whep(&app, &info).map_or_else(WayDto::yes, WayDto::no),
            mse: WayDto {
                mime: Some(info.init.mime.clone()),
                ..WayDto::yes()
            },
            hls: WayDto::yes(),
            mjpeg: WayDto::yes(),
            preview: WayDto::yes(),
        },
    }))
}

/// The answer to a plain request where a WebSocket is served.
fn wants_websocket() -> Failure {
    Failure::Http(
        axum::http::StatusCode::UPGRADE_REQUIRED,
        "upgrade_required",
        "this address speaks WebSocket".to_owned(),
    )
}
