//! What there is to record with: sources, capture devices, encoders and decoders.

pub use crate::gst::{
    CodecKind, CodecReport, DeviceFormatReport, DeviceReport, DeviceSize, Outcome, PartReport, ProbeOptions,
    ProbeReport,
};

use std::sync::Arc;

use crate::error::Result;
use crate::nvr::blocking;
use crate::privacy::Privacy;
use crate::source::SourceSpec;

/// Opens a source, reads some frames and says what it is.
///
/// # Errors
/// `Unauthorized`, `NotFound`, `Unavailable`, `Unsupported` or `Timeout`, by what the source answers.
pub async fn probe(source: SourceSpec, options: ProbeOptions) -> Result<ProbeReport> {
    blocking(move || crate::gst::probe(&source, options)).await
}

/// The same, with a JPEG of the first keyframe, at most so many pixels wide and with what nobody is to see covered; an error in its place says why there is none.
///
/// # Errors
/// Those of [`probe`].
pub async fn probe_with_picture(
    source: SourceSpec,
    options: ProbeOptions,
    width: u32,
    privacy: Option<Arc<Privacy>>,
) -> Result<(ProbeReport, Result<Vec<u8>>)> {
    blocking(move || crate::gst::probe_with_picture(&source, options, width, privacy)).await
}

/// The GStreamer that is in use (`GStreamer 1.22.0`).
#[must_use]
pub fn gstreamer_version() -> String {
    crate::gst::version()
}

/// The parts of GStreamer that the recorder uses, with the packages that have them.
///
/// # Errors
/// `Unsupported` when GStreamer cannot be used.
pub async fn parts() -> Result<Vec<PartReport>> {
    blocking(crate::gst::parts).await
}

/// The V4L2 capture devices of this machine with their formats.
///
/// # Errors
/// `Unsupported` when GStreamer cannot be used.
pub async fn devices() -> Result<Vec<DeviceReport>> {
    blocking(crate::gst::devices).await
}

/// The video encoders and decoders that are known, each tried out.
///
/// # Errors
/// `Unsupported` when GStreamer cannot be used.
pub async fn codecs() -> Result<Vec<CodecReport>> {
    blocking(crate::gst::detect_codecs).await
}
