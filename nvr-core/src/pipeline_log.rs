//! GStreamer's own log, as records of `tracing`.

pub use crate::gst::{PipelineLog, PipelineLogLevels};
