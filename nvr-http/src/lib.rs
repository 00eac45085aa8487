//! HTTP front end of [`nvr_core`]: the API, HLS, metrics and a page, as an axum router.
//!
//! No logic of its own: what can be done here can be done with the library.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests may panic"))]

mod access;
mod actor;
mod api;
mod auth;
mod bytes_body;
mod compat;
mod conn;
mod dto;
mod guard;
mod log_level;
mod logs;
mod metrics;
#[cfg(feature = "oidc")]
mod oidc;
mod openapi;
mod page;
mod params;
mod peer;
mod place;
mod problem;
mod server;
mod tls;
#[cfg(feature = "webrtc")]
mod webrtc;

pub use log_level::{LogControl, LogLevels};
pub use logs::{LogBuffer, LogLayer, LogRecord};
pub use openapi::openapi;
pub use peer::Peer;
pub use problem::{FieldProblem, Problem, status_of};
pub use server::{AppState, Tls, router, serve, serve_state, setup_link};
