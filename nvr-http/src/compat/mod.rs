//! At home for those who come from elsewhere: the addresses of other recorders, answered from this one's footage.
//!
//! One small file a system, no logic of its own. Clients of these add parameters of their own (against caches, say),
//! so unknown ones are not refused here.

mod flask;
mod frigate;
mod mediamtx;
mod sessions;

use axum::Router;
use nvr_core::config::Compat;

use crate::server::AppState;

pub(crate) use self::sessions::Sessions;

/// Those that the configuration names.
pub(crate) fn router(wanted: &[Compat]) -> Router<AppState> {
    let routers = [
        (Compat::Mediamtx, mediamtx::router as fn() -> Router<AppState>),
        (Compat::Frigate, frigate::router),
        (Compat::Flask, flask::router),
        (Compat::Sessions, sessions::router),
    ];
    let named = routers.into_iter().filter(|(name, _)| wanted.contains(name));
    named.fold(Router::new(), |all, (_, router)| all.merge(router()))
}

/// Where they are.
#[cfg(test)]
pub(crate) const PATHS: &[(&str, &str)] = &[
    ("GET", "/list"),
    ("GET", "/get"),
    ("GET", "/api/recordings/unavailable"),
    ("GET", "/api/recordings/summary"),
    ("GET", "/api/{id}/recordings"),
    ("GET", "/api/{id}/recordings/summary"),
    ("GET", "/api/{id}/latest.jpg"),
    ("GET", "/api/{id}/start/{start}/end/{end}/clip.mp4"),
    ("GET", "/vod/{id}/start/{start}/end/{end}/master.m3u8"),
    ("GET", "/api/status"),
    ("GET", "/api/cameras"),
    ("GET", "/api/recordings"),
    ("GET", "/api/storage"),
    ("GET", "/api/system/cpu"),
    ("GET", "/api/system/memory"),
    ("GET", "/api/logs"),
    ("GET", "/api/transcoding/status"),
    ("POST", "/api/transcoding/enable"),
    ("POST", "/api/transcoding/disable"),
    ("POST", "/api/camera/{id}/start"),
    ("POST", "/api/camera/{id}/stop"),
    ("POST", "/api/start_all"),
    ("POST", "/api/stop_all"),
    ("GET", "/api/download/{id}/{file}"),
    ("DELETE", "/api/delete/{id}/{file}"),
    ("POST", "/session/open"),
    ("POST", "/session/close"),
    ("GET", "/session/list"),
    ("GET", "/stream"),
    ("POST", "/record/start"),
    ("POST", "/record/stop"),
    ("GET", "/record/status/{session}"),
    ("GET", "/videos"),
    ("GET", "/videos/{file}"),
];
