//! A network video recorder as a library.
//!
//! Give it cameras and a folder. It records them through GStreamer without re-encoding, keeps an index, and answers
//! for any moment: timelines, exports, playlists, pictures. It starts no other process and needs no service.
//!
//! 1. [Quick start](#quick-start)
//! 2. [What it needs](#what-it-needs)
//! 3. [Cameras and modes](#cameras-and-modes)
//! 4. [States and events](#states-and-events)
//! 5. [Where files go](#where-files-go)
//! 6. [Asking](#asking)
//! 7. [Frames as they come](#frames-as-they-come)
//! 8. [Times and units](#times-and-units)
//! 9. [Errors](#errors)
//! 10. [Shutting down](#shutting-down)
//! 11. [Threads, runtime and logs](#threads-runtime-and-logs)
//! 12. [Features](#features)
//!
//! # Quick start
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use nvr_core::config::{CameraConfig, Config};
//! use nvr_core::{CameraId, Nvr, SourceSpec};
//!
//! #[tokio::main]
//! async fn main() -> nvr_core::Result<()> {
//!     let mut config = Config::new("recordings");
//!     let source = SourceSpec::parse("rtsp://user:password@10.0.0.20/stream1")?;
//!     config.cameras.push(CameraConfig::new(CameraId::new("front")?, source));
//!
//!     let nvr = Nvr::builder(config).start().await?;
//!     tokio::time::sleep(Duration::from_secs(60)).await;
//!     nvr.shutdown(Duration::from_secs(10)).await;
//!     Ok(())
//! }
//! ```
//!
//! No camera at hand: the source `test:` draws a picture with a clock.
//!
//! [`Config`](config::Config) is plain data. It can be filled in by hand, as here, or read from the file that the
//! command `nvr` uses:
//!
//! ```no_run
//! # fn f() -> nvr_core::Result<()> {
//! let config = nvr_core::config::Config::load("nvr.toml")?;
//! # Ok(()) }
//! ```
//!
//! # What it needs
//!
//! Three crates, since events are a `Stream`:
//!
//! ```toml
//! nvr-core = { path = "…/nvr/nvr-core" }
//! tokio = { version = "1", features = ["macros", "rt-multi-thread", "time"] }
//! tokio-stream = "0.1"
//! ```
//!
//! To build, a C compiler, `pkg-config` and GStreamer's headers; `tools/install-deps.sh` installs them on Debian, and what
//! follows.
//!
//! To run, GStreamer 1.22 or newer with its plugin sets base, good, bad, ugly and libav: without it [`NvrBuilder::start`]
//! fails, and a camera that needs a plugin which is not there fails with that as its cause. The muxer for fragmented MP4
//! comes with the crate. The recordings may lie on any file system, the index must be on a local one.
//!
//! # Cameras and modes
//!
//! A [`SourceSpec`] says where a stream comes from: `rtsp://` and `rtsps://`, `http(s)://` (MJPEG), `v4l2:/dev/video0`,
//! `libcamera:`, `file:/path` (looped as if live) or `test:`. H.264 and H.265 are recorded as they come, MJPEG and raw
//! pictures are encoded to H.264, audio becomes AAC unless it is. [`detect`] finds what is there.
//!
//! How a camera is recorded stands in its [`CameraConfig`](config::CameraConfig); [`RecordMode`](config::RecordMode) is one of
//!
//! - `Continuous`: always.
//! - `Motion`: connected all the time, recorded while something moves, with some seconds before and after.
//! - `Manual`: connected all the time, recorded from [`Camera::record`] to [`Camera::stop_recording`] or for a while,
//!   beginning some seconds before the call (`pre_roll`).
//! - `Off`: not connected.
//!
//! Cameras come and go at run time ([`Nvr::add_camera`], [`Nvr::remove_camera`]); [`Nvr::reload`] takes a whole new
//! configuration and touches only cameras that differ. To change one, change a clone of [`Nvr::config`] and reload that.
//! What takes effect at the next start only stands in [`ConfigDiff::needs_restart`](config::ConfigDiff::needs_restart).
//! Footage of a removed camera stays.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use nvr_core::config::{CameraConfig, RecordMode};
//! # use nvr_core::{CameraId, Nvr, SourceSpec};
//! # async fn f(nvr: Nvr) -> nvr_core::Result<()> {
//! let mut config = CameraConfig::new(CameraId::new("door")?, SourceSpec::parse("v4l2:/dev/video0")?);
//! config.record = RecordMode::Manual;
//! let door = nvr.add_camera(config).await?;
//! // Once it is connected:
//! let recording = door.record(Some(Duration::from_secs(30))).await?;
//! println!("until {:?}", recording.until);
//! # Ok(()) }
//! ```
//!
//! # States and events
//!
//! A camera is [connecting, standing by, recording, stalled, backing off, failed or stopped](event::CameraPhase).
//! What breaks is tried again for ever, after 1 to 30 seconds; a refused password every 5 minutes.
//! [`Camera::state`] is a `watch` channel, [`Camera::status`] has the figures, [`Nvr::health`] sums up.
//!
//! [`Nvr::events`] is a stream of everything that happens, from the call on. It never holds up the recorder: a listener
//! that is too slow gets [`EventKind::Lagged`]. Past events are in the index ([`Archive::events_of`]). New kinds of
//! events are no breaking change, so a `match` needs a last arm.
//!
//! ```no_run
//! # use nvr_core::{EventKind, Nvr};
//! # use nvr_core::event::CameraPhase;
//! # async fn f(nvr: Nvr) -> Result<(), Box<dyn std::error::Error>> {
//! use tokio_stream::StreamExt;
//!
//! let front = nvr.camera(&"front".parse()?)?;
//! front.state().wait_for(|state| state.phase == CameraPhase::Recording).await?;
//!
//! let mut events = nvr.events();
//! while let Some(event) = events.next().await {
//!     match event.kind {
//!         EventKind::GapOpened { cause } => println!("{} nothing is recorded: {}", event.at, cause.message),
//!         EventKind::SegmentClosed { path, .. } => println!("{} {path} is complete", event.at),
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # Where files go
//!
//! `{root}/{camera}/{YYYY-MM-DD}/{HH-MM-SS.mmm}Z-{run}.mp4`, in UTC, 15 minutes each by default, and the index in
//! `{root}/nvr.db`. A segment is an ordinary fragmented MP4 that any player opens, also while it grows; killed at any
//! moment it loses less than half a second. The files are the truth: [`check::rebuild`] makes the index from them.
//!
//! The root carries a marker, so that nothing is written to the empty mount point of a disk that is not there. One
//! recorder owns a root; as many as you like may run in one process, each with its own.
//!
//! The oldest footage goes to keep 2 % of the disk free; [`Config::retention`](config::Config::retention) sets limits of
//! age, bytes and free space, or switches that off. [`Archive::protect_range`] keeps footage, [`Nvr::cleanup`] deletes now
//! what is to go, [`Archive::stats`] tells how long the disk will do.
//!
//! # Asking
//!
//! [`Nvr`] dereferences to [`Archive`], and [`Archive::open`] gives the same without a recorder, or beside one that
//! runs in another process. The segment that is growing belongs to every answer.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use nvr_core::config::Config;
//! use nvr_core::{Archive, CameraId, ExportFormat, ExportRequest, SnapshotRequest, TimeRange};
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let archive = Archive::open(&Config::new("recordings")).await?;
//! let front = CameraId::new("front")?;
//! let now = archive.clock().now();
//! let range = TimeRange::new(now - Duration::from_secs(3600), now)?;
//!
//! let timeline = archive.timeline(&front, range).await?;
//! for gap in &timeline.gaps {
//!     println!("{} to {}: {}", gap.range.start(), gap.range.end(), gap.cause.message);
//! }
//!
//! // One file, with the gaps stitched: there whole or not at all.
//! let request = ExportRequest::new(front.clone(), range, ExportFormat::Mp4);
//! let bytes = archive.export_to(request.clone(), "clip.mp4").await?;
//! // Or planned now and read when somebody takes it, any part of it: its size is known.
//! let clip = archive.export(request).await?;
//! assert_eq!(clip.len(), bytes);
//!
//! let picture = archive.snapshot(SnapshotRequest::new(front, Some(range.start()))).await?;
//! std::fs::write("then.jpg", &picture.jpeg)?;
//! # Ok(()) }
//! ```
//!
//! What takes long is better left to the [queue of jobs](jobs): [`Nvr::jobs`] enters, follows and calls off long exports,
//! verification and whatever else an embedder adds.
//!
//! ```no_run
//! # async fn f(nvr: nvr_core::Nvr, range: nvr_core::TimeRange) -> nvr_core::Result<()> {
//! use nvr_core::jobs::export::{ExportParams, Packing};
//!
//! let params = ExportParams {
//!     camera: "front".parse()?,
//!     from: range.start(),
//!     to: range.end(),
//!     format: Packing::Mp4,
//!     path: Some("/srv/clips/day.mp4".into()),
//!     codec: nvr_core::ClipCodec::AsRecorded,
//!     masked: false,
//! };
//! let job = nvr.jobs().enqueue(params.job()?).await?.job;
//! let done = nvr.jobs().wait(job.id).await?;
//! println!("{}: {}", done.state.as_str(), done.message);
//! # Ok(()) }
//! ```
//!
//! There are also [`Archive::days`], [`Archive::segments`], [`Archive::vod`] (HLS by byte range of the segments) and
//! [`Nvr::picture`] (of now, from the stream). The crate `nvr-http` serves all of it as an axum router.
//!
//! # Frames as they come
//!
//! [`Camera::live`] hands out encoded access units from a keyframe on, without touching the recording.
//!
//! ```no_run
//! # async fn f(camera: nvr_core::Camera) {
//! if let Some(mut frames) = camera.live(100) {
//!     while let Some(unit) = frames.recv().await {
//!         println!("{} {} bytes, keyframe: {}", unit.utc(), unit.size_bytes(), unit.keyframe());
//!     }
//! }
//! # }
//! ```
//!
//! # Times and units
//!
//! A [`Timestamp`] is an instant in UTC as `i64` nanoseconds since 1970; it reads and prints RFC 3339. A [`TimeRange`]
//! holds its start and not its end. Fields end in their unit: `_ns`, `_bytes`, `_bps`. "Now" is asked of
//! [`Archive::clock`], never of the system, so that tests can turn it. Time zones matter to [`Archive::days`] only.
//!
//! ```
//! use nvr_core::{TimeRange, Timestamp};
//! use std::time::Duration;
//!
//! let noon: Timestamp = "2026-05-04T12:00:00Z".parse()?;
//! let hour = TimeRange::new(noon - Duration::from_secs(3600), noon)?;
//! assert_eq!(hour.len_ns(), 3_600_000_000_000);
//! assert!(!hour.contains(noon));
//! # Ok::<(), nvr_core::Error>(())
//! ```
//!
//! # Errors
//!
//! Everything fallible returns one [`Error`]: a [`kind`](Error::kind) to act on, a message that says what and where, a
//! [`hint`](Error::hint) what to do about it, and its source. Neither holds a password. A camera that fails is no error of
//! any call: it is a state and an event.
//!
//! ```
//! use nvr_core::{CameraId, ErrorKind};
//!
//! let error = CameraId::new("Front Door").unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::InvalidArgument);
//! assert!(error.hint().is_some());
//! ```
//!
//! # Shutting down
//!
//! [`Nvr::shutdown`] closes and indexes every segment within a deadline and reports which cameras made it. Dropping the
//! last [`Nvr`] stops the cameras too, also those of which a [`Camera`] is kept, but nobody waits for them; should the
//! process end first, it is like a crash: harmless, and mended at the next start.
//!
//! # Threads, runtime and logs
//!
//! A multi-threaded tokio runtime with timers and I/O (`#[tokio::main]`, or `enable_all`). What blocks runs in its
//! `spawn_blocking`; calls whose names end in `_blocking`, and [`check`], block the caller. Each connected camera adds the
//! streaming threads of its pipeline, each index one writer thread. GStreamer is initialised once in a process and never
//! deinitialised; embedders may use it beside this crate. Keep `panic = "unwind"`: panics in streaming callbacks are
//! caught.
//!
//! Everything is logged through `tracing`, with the camera as a field of all that is about one. GStreamer's own
//! log joins in with [`pipeline_log`]. ERROR means that video was or is being lost.
//!
//! # Features
//!
//! - `onnx`: [`objects`], a runtime for networks that find objects.
//! - `rtsp-server`: the cameras' streams for other programs over RTSP ([`config::RtspServerConfig`]).
//! - `test-util`: `testing`, with a clock that tests turn and a maker of large indexes.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests may panic"))]

mod about;
mod cause;
pub mod clock;
pub mod daily;
pub mod detection;
pub mod error;
pub mod event;
mod events;
mod fault;
pub mod grey;
pub mod health;
pub mod ids;
pub mod line;
pub mod output_file;
pub mod priority;
pub mod privacy;
pub mod redact;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod segment;
pub mod source;
pub mod strip;
pub mod time;
pub mod track;
mod web;
pub mod window;
pub mod zone;

pub mod accounts;
pub mod alerts;
pub mod archive;
pub mod backup;
pub mod bench;
pub mod bookings;
pub mod camera;
pub mod check;
pub mod config;
pub mod convert;
pub mod detect;
pub mod detections;
pub mod files;
pub mod fill;
pub mod gst;
pub mod jobs;
pub mod live;
pub mod machine;
pub mod media;
pub mod motion;
pub mod moving;
pub mod mqtt;
pub mod nvr;
pub mod objects;
pub mod onvif;
pub mod pipeline_log;
pub mod push;
pub mod restream;
pub mod retention;
mod rtsp;
pub mod stills;
pub mod store;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
pub mod timeline;
pub mod transcode;
pub mod upload;

pub use archive::{Archive, ClipCodec, Export, ExportRequest, Snapshot, SnapshotRequest, VodRequest};
pub use camera::Camera;
pub use detection::{Detection, DetectionId, DetectionKind, NewDetection};
pub use detections::Detections;
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventKind};
pub use events::EventStream;
pub use ids::{CameraId, JobId, RunId, SegmentId};
pub use jobs::Jobs;
pub use media::clip::Format as ExportFormat;
pub use nvr::{ConfigOrder, ConfigOutcome, Nvr, NvrBuilder};
pub use source::SourceSpec;
pub use time::{TimeRange, Timestamp};
