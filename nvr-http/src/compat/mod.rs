//! At home for those who come from elsewhere: the addresses of other recorders, answered from this one's footage.
//!
//! One small file a system, no logic of its own. Clients of these add parameters of their own (against caches, say),
//! so unknown ones are not refused here.

mod frigate;
mod mediamtx;

use axum::Router;

use crate::server::AppState;

pub(crate) fn router() -> Router<AppState> {
    Router::new().merge(frigate::router()).merge(mediamtx::router())
}

/// Where they are.
#[cfg(test)]
pub(crate) const PATHS: [&str; 9] = [
    "/list",
    "/get",
    "/api/recordings/unavailable",
    "/api/recordings/summary",
    "/api/{id}/recordings",
    "/api/{id}/recordings/summary",
    "/api/{id}/latest.jpg",
    "/api/{id}/start/{start}/end/{end}/clip.mp4",
    "/vod/{id}/start/{start}/end/{end}/master.m3u8",
];
