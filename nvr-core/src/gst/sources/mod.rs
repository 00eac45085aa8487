//! Where pictures come from: one file per kind of source, each a bin that hands parsed, timestamped access
//! units on one pad per track. What is done with them does not belong here.

pub(crate) mod cause;
pub(crate) mod certificate;
pub(crate) mod describe;
mod file;
pub(in crate::gst) mod h264_sps;
mod held;
mod jpeg;
mod libcamera;
mod mjpeg;
mod pace;
mod redirects;
mod rtp_pass;
mod rtsp;
mod rtsp_bin;
mod rtspsrc;
mod stamp;
mod test;
pub(in crate::gst) mod test_picture;
#[cfg(test)]
mod testing;
#[cfg(test)]
pub(in crate::gst) mod testing_rtsp;
#[cfg(test)]
pub(in crate::gst) mod testing_script;
mod tracks;
pub(in crate::gst) mod v4l2;

pub(crate) use jpeg::jpeg_size;
pub(in crate::gst) use stamp::Stamper;

use gst::prelude::*;

use crate::error::{Error, ErrorKind, Result};
use crate::gst::guard::guarded;
use crate::gst::source_bin::{Around, OnTracks, SourceBin};
use crate::source::SourceSpec;

/// Builds the bin of a source. Nothing is opened before the bin leaves the NULL state, except that a local file
/// or device is looked at.
///
/// The ghost pads have caps and hold their first buffer when `on_tracks` is called; that of audio may have
/// neither, when it was promised and is late.
///
/// # Errors
/// `Unsupported` when a GStreamer element is missing or the file is of the wrong kind; `NotFound`, `Busy` or
/// `Unavailable` when a local file or device cannot be used.
pub(crate) fn build(spec: &SourceSpec, around: &Around, on_tracks: OnTracks) -> Result<SourceBin> {
    crate::gst::init()?;
    let bin = match spec {
        SourceSpec::Rtsp(s) => rtsp::build(s, around, on_tracks)?.upcast(),
        SourceSpec::Test(s) => test::build(s, on_tracks)?,
        SourceSpec::File(path) => file::build(path, on_tracks)?,
        SourceSpec::Mjpeg(s) => mjpeg::build(s, on_tracks)?,
        SourceSpec::V4l2(s) => v4l2::build(s, on_tracks)?,
        SourceSpec::Libcamera(s) => libcamera::build(s, on_tracks)?,
    };
    Ok(SourceBin { bin })
}

/// Name of the event by which a source says that nothing will follow for a while.
const PAUSE: &str = "nvr-pause";

/// Out of band: a parser keeps the others until the next frame, when the pause is over.
fn pause_event() -> gst::Event {
    gst::event::CustomDownstreamOob::new(gst::Structure::new_empty(PAUSE))
}

/// Whether this is the event by which a source says that nothing will follow for a while.
pub(in crate::gst) fn is_pause(event: &gst::EventRef) -> bool {
    event.type_() == gst::EventType::CustomDownstreamOob && event.has_name(PAUSE)
}

/// Makes an element.
///
/// # Errors
/// `Unsupported` naming the Debian package when it is not installed.
pub(in crate::gst) fn make(factory: &str) -> Result<gst::Element> {
    gst::ElementFactory::make(factory).build().map_err(|e| {
        Error::new(
            ErrorKind::Unsupported,
            format!("the GStreamer element {factory} is not installed"),
        )
        .with_hint(format!("install the package {}", package_of(factory)))
        .with_source(e)
    })
}

/// A capsfilter.
pub(in crate::gst) fn caps_filter(caps: &gst::Caps) -> Result<gst::Element> {
    let filter = make("capsfilter")?;
    filter.set_property("caps", caps);
    Ok(filter)
}

/// Whether an element is installed.
pub(in crate::gst) fn has(factory: &str) -> bool {
    gst::ElementFactory::find(factory).is_some()
}

/// The Debian package of an element.
fn package_of(factory: &str) -> &'static str {
    if let Some(package) = super::parts::package_of(factory) {
        return package;
    }
    match factory {
        "capsfilter" | "filesrc" => "libgstreamer1.0-0",
        "clocksync" | "videotestsrc" | "audiotestsrc" | "appsink" => "gstreamer1.0-plugins-base",
        f if f.starts_with("avdec_") || f.starts_with("avenc_") => "gstreamer1.0-libav",
        "openh264enc" | "openh264dec" | "voaacenc" | "fdkaacenc" => "gstreamer1.0-plugins-bad",
        _ => "gstreamer1.0-plugins-good",
    }
}

/// Adds elements to a bin, links them in order and gives the last one's source pad.
pub(super) fn link_into(bin: &gst::Bin, elements: &[gst::Element]) -> Result<gst::Pad> {
    let fault = |what: &str| Error::new(ErrorKind::Internal, format!("{}: {what}", bin.name()));
    for e in elements {
        bin.add(e)
            .map_err(|e| fault("cannot add an element").with_source(e))?;
    }
    gst::Element::link_many(elements).map_err(|e| fault("elements do not link").with_source(e))?;
    elements
        .last()
        .and_then(|e| e.static_pad("src"))
        .ok_or_else(|| fault("no source pad"))
}

/// A pad probe whose panic ends the source instead of the process.
pub(in crate::gst) fn on_pad(
    pad: &impl IsA<gst::Pad>,
    mask: gst::PadProbeType,
    f: impl Fn(&gst::Pad, &mut gst::PadProbeInfo<'_>) -> gst::PadProbeReturn + Send + Sync + 'static,
) -> Option<gst::PadProbeId> {
    pad.as_ref().add_probe(mask, move |pad, info| {
        let on_panic = |text: &str| {
            if let Some(element) = pad.parent_element() {
                gst::element_error!(element, gst::LibraryError::Failed, ("a probe panicked: {text}"));
            }
        };
        guarded("pad probe", gst::PadProbeReturn::Ok, on_panic, || f(pad, info))
    })
}
