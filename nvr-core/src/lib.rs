//! A network video recorder as a library.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests may panic"))]

pub mod clock;
pub mod error;
pub mod event;
mod events;
mod fault;
pub mod health;
pub mod ids;
pub mod run;
pub mod secret;
pub mod segment;
pub mod source;
pub mod time;
pub mod track;

pub mod archive;
pub mod camera;
pub mod check;
pub mod config;
pub mod detect;
pub mod files;
pub mod gst;
pub mod media;
pub mod nvr;
pub mod onvif;
pub mod store;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
pub mod timeline;

pub use archive::{Archive, ExportRequest, Snapshot, SnapshotRequest, VodRequest};
pub use camera::Camera;
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventKind};
pub use events::EventStream;
pub use ids::{CameraId, RunId, SegmentId};
pub use media::clip::Format as ExportFormat;
pub use nvr::{Nvr, NvrBuilder};
pub use source::SourceSpec;
pub use time::{TimeRange, Timestamp};
