//! RTSP 1.0 (RFC 2326) over interleaved TCP, up to finished access units: bytes in, events and bytes out.
//!
//! Nothing here reads a socket, a clock or a random number: the caller passes in what arrived and when, sends what
//! [`Client::take_output`] gives, and calls [`Client::on_time`] when [`Client::next_timeout_ns`] is reached. So a few
//! threads can serve many cameras, and tests need no network. No GStreamer.

mod client;
mod error;
mod event;

pub(crate) use client::{Client, ClientOptions};
pub(crate) use error::{RtspError, RtspErrorKind};
pub(crate) use event::{AudioKind, AudioParams, Event, Reorder, TrackKind, Tracks, Unit, VideoParams};
