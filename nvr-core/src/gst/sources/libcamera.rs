//! Cameras on the board of a small computer, through libcamera.

use gst::prelude::*;

use super::v4l2::{Plan, assemble};
use super::{has, make};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::source_bin::OnTracks;
use crate::source::{DeviceFormat, DeviceSource};

/// What is asked for when the configuration does not say.
const SIZE: (u32, u32) = (1280, 720);

pub(super) fn build(spec: &DeviceSource, on_tracks: OnTracks) -> Result<gst::Bin> {
    if !has("libcamerasrc") {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "libcamera: the GStreamer element libcamerasrc is not installed",
        )
        .with_hint("install the package gstreamer1.0-libcamera"));
    }
    if spec.format.is_some_and(|f| f != DeviceFormat::Raw) {
        return Err(
            Error::new(ErrorKind::InvalidArgument, "libcamera: gives raw pictures only")
                .with_hint("leave out the format"),
        );
    }
    let src = make("libcamerasrc")?;
    if !spec.device.is_empty() {
        if src.find_property("camera-name").is_none() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "libcamera: this libcamerasrc cannot choose a camera by name",
            ));
        }
        src.set_property("camera-name", &spec.device);
    }
    let size = spec.size.unwrap_or(SIZE);
    let mut caps = gst::Caps::builder("video/x-raw")
        .field("width", i32::try_from(size.0).unwrap_or(i32::MAX))
        .field("height", i32::try_from(size.1).unwrap_or(i32::MAX));
    if let Some(rate) = spec.frame_rate.and_then(|r| i32::try_from(r).ok()) {
        caps = caps.field("framerate", gst::Fraction::new(rate, 1));
    }
    let caps = caps.build();
    wish(&src, &caps)?;
    let plan = Plan {
        format: DeviceFormat::Raw,
        caps: gst::Caps::new_empty_simple("video/x-raw"),
        size,
        frame_rate: spec.frame_rate.map_or(30.0, f64::from),
    };
    assemble(src, &plan, on_tracks)
}

/// Asks for caps without insisting on them: libcamera takes the nearest size that the camera can, and not every camera lets its
/// rate be set. A filter would refuse what comes then.
fn wish(src: &gst::Element, caps: &gst::Caps) -> Result<()> {
    let pad = src
        .static_pad("src")
        .ok_or_else(|| Error::new(ErrorKind::Internal, "libcamerasrc has no pad"))?;
    let caps = caps.clone();
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
        let Some(gst::QueryViewMut::Caps(query)) = info.query_mut().map(gst::QueryRef::view_mut) else {
            return gst::PadProbeReturn::Ok;
        };
        let answer = match query.filter_owned() {
            Some(filter) => filter.intersect(&caps),
            None => caps.clone(),
        };
        query.set_result(&answer);
        gst::PadProbeReturn::Handled
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_video, run};
    use super::*;
    use crate::source::SourceSpec;

    #[test]
    fn without_the_element_the_package_is_named_and_with_it_pictures_come() {
        crate::gst::init().unwrap();
        let spec = SourceSpec::parse("libcamera:").unwrap();
        if !has("libcamerasrc") {
            let e = crate::gst::sources::build(
                &spec,
                &crate::gst::source_bin::Around::default(),
                Box::new(|_| {}),
            )
            .unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Unsupported);
            assert!(e.hint().unwrap().contains("gstreamer1.0-libcamera"));
            // Stands in for the real one.
            let kind = gst::ElementFactory::find("videotestsrc")
                .unwrap()
                .load()
                .unwrap()
                .element_type();
            gst::Element::register(None, "libcamerasrc", gst::Rank::NONE, kind).unwrap();
        }
        let SourceSpec::Libcamera(mut device) = spec else {
            panic!()
        };
        device.size = Some((320, 240));
        device.frame_rate = Some(20);
        let (_, units) = run(&SourceSpec::Libcamera(device.clone())).collect(5);
        check_video(&units);

        device.device = "no such property".into();
        let e = crate::gst::sources::build(
            &SourceSpec::Libcamera(device),
            &crate::gst::source_bin::Around::default(),
            Box::new(|_| {}),
        )
        .unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
    }
}
