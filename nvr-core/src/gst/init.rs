//! Brings GStreamer up, once per process.

use std::sync::OnceLock;

use crate::error::{Error, ErrorKind, Result};

/// GStreamer itself is one per process; so is whether it came up.
static RESULT: OnceLock<Result<(), String>> = OnceLock::new();

/// Its version as it calls itself; empty when it cannot be initialised.
pub fn version() -> String {
    init()
        .map(|()| gst::version_string().to_string())
        .unwrap_or_default()
}

/// Initialises GStreamer and registers the elements that this crate brings along. May be called often.
///
/// # Errors
/// `Unsupported` when GStreamer cannot be set up.
pub fn init() -> Result<()> {
    RESULT
        .get_or_init(|| {
            gst::init().map_err(|e| format!("GStreamer cannot be initialised: {e}"))?;
            super::lean::register().map_err(|e| format!("the RTSP source cannot be registered: {e}"))
        })
        .clone()
        .map_err(|e| {
            Error::new(ErrorKind::Unsupported, e)
                .with_hint("install GStreamer 1.22 or newer with plugins base, good, bad, ugly and libav")
        })
}
