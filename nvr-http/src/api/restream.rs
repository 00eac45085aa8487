//! Who reads cameras over RTSP.

use axum::Json;
use axum::extract::State;
use nvr_core::accounts::Permission;
use nvr_core::restream::RestreamClient;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Viewer;
use crate::server::AppState;

/// Somebody who reads a camera over RTSP.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RtspClientDto {
    /// Its number.
    id: u64,
    /// Camera id.
    camera: String,
    /// `main` or `sub`.
    stream: &'static str,
    /// Who it is, as the audit log calls him; told to administrators.
    user: Option<String>,
    /// From where; told to administrators.
    address: Option<String>,
    /// `tcp` or `udp`.
    transport: &'static str,
    /// Since when.
    since: String,
    /// Bytes of packets that went out.
    bytes: u64,
    /// Video frames left out because the client was too slow.
    frames_lost: u64,
}

impl RtspClientDto {
    fn new(client: &RestreamClient, viewer: &Viewer) -> Self {
        let named = viewer.may(Permission::Admin);
        Self {
            id: client.id,
            camera: client.camera.to_string(),
            stream: client.stream.as_str(),
            user: client.user.clone().filter(|_| named),
            address: named.then(|| client.address.to_string()),
            transport: if client.udp { "udp" } else { "tcp" },
            since: client.since.to_string(),
            bytes: client.sent_bytes,
            frames_lost: client.frames_lost,
        }
    }
}

/// The RTSP server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RtspServerDto {
    /// Whether there is one.
    enabled: bool,
    /// Address below which streams lie: `rtsp://127.0.0.1:8554`, behind it `/CAMERA` or `/CAMERA/sub`.
    url: Option<String>,
    /// Those who read, by number.
    clients: Vec<RtspClientDto>,
}

/// Where cameras are to be had over RTSP, and who reads those that are the viewer's.
#[utoipa::path(get, path = "/api/v1/rtsp", tag = "live", operation_id = "rtsp_server",
    responses((status = 200, description = "The server and its clients", body = RtspServerDto)))]
pub(crate) async fn server(State(app): State<AppState>, viewer: Viewer) -> Json<RtspServerDto> {
    let restream = app.nvr.restream();
    let clients = restream
        .map(nvr_core::restream::Restream::clients)
        .unwrap_or_default();
    Json(RtspServerDto {
        enabled: restream.is_some(),
        url: restream.map(nvr_core::restream::Restream::base),
        clients: clients
            .iter()
            .filter(|c| viewer.sees(&c.camera))
            .map(|c| RtspClientDto::new(c, &viewer))
            .collect(),
    })
}
