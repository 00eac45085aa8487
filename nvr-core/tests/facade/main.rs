//! The recorder as an embedder sees it, on synthetic cameras: real pipelines, real files, a real index.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod asking;
mod detections;
mod house;
mod lifecycle;
mod lines;
mod live;
mod modes;
mod motion;
#[cfg(all(feature = "onnx", feature = "test-util"))]
mod objects;
mod pushing;
mod reload;
#[cfg(feature = "rtsp-server")]
mod restream;
mod scheduled;
mod transcoding;
mod wishes;
