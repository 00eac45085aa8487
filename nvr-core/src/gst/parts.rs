//! The parts of GStreamer that the recorder uses, and the packages of Debian that have them.

use super::sources::has;
use crate::error::Result;

/// An element of GStreamer that the recorder uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct PartReport {
    /// Its name.
    pub element: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
    /// What does not work without it.
    pub used_for: &'static str,
    /// Without it nothing, or hardly anything, can be recorded or shown.
    pub needed: bool,
    /// Whether it is installed.
    pub present: bool,
}

const CORE: &str = "libgstreamer1.0-0";
const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const UGLY: &str = "gstreamer1.0-plugins-ugly";
const LIBAV: &str = "gstreamer1.0-libav";

/// Element, package, what for, whether it is needed.
const PARTS: &[(&str, &str, &str, bool)] = &[
    ("queue", CORE, "every pipeline", true),
    ("appsrc", BASE, "pictures and exports", true),
    ("videoconvert", BASE, "pictures", true),
    ("videoscale", BASE, "pictures", true),
    ("audioconvert", BASE, "sound", true),
    ("audioresample", BASE, "sound", true),
    ("opusenc", BASE, "sound of WebRTC", false),
    ("opusdec", BASE, "cameras with Opus sound", false),
    ("jpegenc", GOOD, "pictures", true),
    ("jpegdec", GOOD, "MJPEG cameras", false),
    ("aacparse", GOOD, "sound", true),
    ("qtdemux", GOOD, "reading footage", true),
    (
        "rtspsrc",
        GOOD,
        "RTSP over UDP, and cameras that the own client does not read",
        false,
    ),
    ("rtph264depay", GOOD, "the same", false),
    ("v4l2src", GOOD, "USB cameras", false),
    ("souphttpsrc", GOOD, "MJPEG cameras over HTTP", false),
    ("multipartdemux", GOOD, "MJPEG cameras over HTTP", false),
    ("mp4mux", GOOD, "container = \"mp4\"", false),
    ("matroskamux", GOOD, "container = \"mkv\"", false),
    (
        "splitmuxsink",
        GOOD,
        "containers other than fragmented MP4",
        false,
    ),
    ("h264parse", BAD, "cameras with H.264", true),
    ("h265parse", BAD, "cameras with H.265", true),
    ("jpegparse", BAD, "MJPEG cameras", false),
    ("opusparse", BAD, "cameras with Opus sound", false),
    ("flvmux", GOOD, "pushes to RTMP", false),
    ("rtmp2sink", BAD, "pushes to RTMP", false),
    ("mpegtsmux", BAD, "pushes to SRT", false),
    ("srtsink", BAD, "pushes to SRT", false),
    ("x265enc", BAD, "H.265 where no hardware makes it", false),
    ("x264enc", UGLY, "H.264 where no hardware makes it", false),
    (
        "avdec_h264",
        LIBAV,
        "pictures of H.264 where no hardware reads it",
        true,
    ),
    (
        "avdec_h265",
        LIBAV,
        "pictures of H.265 where no hardware reads it",
        true,
    ),
    ("avenc_aac", LIBAV, "sound of cameras that do not send AAC", true),
    ("libcamerasrc", "gstreamer1.0-libcamera", "cameras at CSI", false),
];

/// All of them.
///
/// # Errors
/// `Unsupported` when GStreamer cannot be used.
pub fn parts() -> Result<Vec<PartReport>> {
    super::init()?;
    Ok(PARTS
        .iter()
        .map(|&(element, package, used_for, needed)| PartReport {
            element,
            package,
            used_for,
            needed,
            present: has(element),
        })
        .collect())
}

/// The package of one of them.
pub(super) fn package_of(element: &str) -> Option<&'static str> {
    PARTS.iter().find(|(e, ..)| *e == element).map(|(_, p, ..)| *p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_from_the_packages_that_are_named() {
        use gst::prelude::*;
        let all = parts().unwrap();
        let lacking: Vec<_> = all.iter().filter(|p| p.needed && !p.present).collect();
        assert!(lacking.is_empty(), "{lacking:?}");
        for part in all.iter().filter(|p| p.present) {
            let factory = gst::ElementFactory::find(part.element).unwrap();
            let source = factory.plugin().unwrap().source();
            // Debian makes a package of each of these, and of the core its library.
            let wanted = match part.package.strip_prefix("gstreamer1.0-") {
                Some("libcamera") => "libcamera".to_owned(),
                Some(name) => format!("gst-{name}"),
                None => "gstreamer".to_owned(),
            };
            assert_eq!(source, wanted, "{part:?}");
        }
    }
}
