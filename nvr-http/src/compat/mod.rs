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
