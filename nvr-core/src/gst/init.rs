//! Brings GStreamer up, once per process.

use crate::error::{Error, ErrorKind, Result};

/// Initialises GStreamer and registers the elements that this crate brings along. May be called often.
///
/// # Errors
/// `Unsupported` when GStreamer or the MP4 muxer cannot be set up.
pub fn init() -> Result<()> {
    let failed = |e: glib::error::BoolError| {
        Error::new(
            ErrorKind::Unsupported,
            "the fragmented MP4 muxer cannot be registered",
        )
        .with_source(e)
    };
    gst::init().map_err(|e| {
        Error::new(ErrorKind::Unsupported, "GStreamer cannot be initialised")
            .with_hint("install GStreamer 1.22 or newer with plugins base, good, bad, ugly and libav")
            .with_source(e)
    })?;
    gstfmp4::plugin_register_static().map_err(failed)
}
