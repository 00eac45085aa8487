//! A network video recorder as a library.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests may panic"))]

pub mod check;
pub mod clock;
pub mod error;
pub mod event;
pub mod ids;
pub mod run;
pub mod secret;
pub mod segment;
pub mod source;
pub mod time;
pub mod track;

pub mod config;
pub mod files;
pub mod gst;
pub mod media;
pub mod store;
pub mod timeline;
