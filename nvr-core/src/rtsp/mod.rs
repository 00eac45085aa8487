//! RTSP 1.0 (RFC 2326) over interleaved TCP, up to finished access units: bytes in, events and bytes out.
//!
//! Nothing here reads a socket, a clock or a random number: the caller passes in what arrived and when, sends what
//! [`Client::take_output`] gives, and calls [`Client::on_time`] when [`Client::next_timeout_ns`] is reached. So a few
//! threads can serve many cameras, and tests need no network. No GStreamer.
//!
//! ```text
//! bytes ─ framing ─┬─ message ── client (requests, auth, sdp, choose) ── bytes to send
//!                  └─ rtp ── track ─┬─ video (sets, h264, h265) ┬── units
//!                     rtcp ─────────┴─ audio ── timeline ───────┘
//! ```
//!
//! Whatever a server sends, it costs bounded memory and ends at worst with an [`RtspError`].

mod audio;
mod auth;
mod bits;
mod choose;
mod client;
mod error;
mod event;
#[cfg(any(test, feature = "test-util"))]
mod exercise;
mod framing;
mod h264;
mod h265;
mod message;
pub(crate) mod redirect;
mod requests;
mod rtcp;
mod rtp;
mod sdp;
#[cfg(any(test, feature = "test-util"))]
mod seeds;
mod sets;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timeline;
mod track;
mod video;

pub(crate) use auth::Authenticator;
pub(crate) use client::{Client, ClientOptions};
pub(crate) use error::{RtspError, RtspErrorKind};
pub(crate) use event::{AudioKind, AudioParams, Event, Reorder, TrackKind, Tracks, Unit, VideoParams};
#[cfg(any(test, feature = "test-util"))]
pub use exercise::{exercise_client, exercise_packets, exercise_sdp};
#[cfg(any(test, feature = "test-util"))]
pub use seeds::seeds;
pub(crate) use timeline::Timeline;
