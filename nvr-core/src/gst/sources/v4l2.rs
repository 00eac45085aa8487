//! Capture devices of Linux (USB cameras, capture cards): H.264 as the device makes it, else JPEG or raw
//! pictures, encoded.

use std::cmp::Reverse;

use gst::prelude::*;

use super::tracks::{Gate, Kind, video_chain};
use super::{caps_filter, jpeg, link_into, make};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::encoders::{self, EncoderSettings};
use crate::gst::source_bin::OnTracks;
use crate::source::{DeviceFormat, DeviceSource};
use crate::track::VideoCodec;

pub(super) fn build(spec: &DeviceSource, on_tracks: OnTracks) -> Result<gst::Bin> {
    // A stable link names another node after each plugging in: it is followed at every start.
    let node = std::fs::canonicalize(&spec.device).map_err(|e| {
        Error::new(ErrorKind::Unavailable, format!("v4l2:{}: {e}", spec.device))
            .with_hint("is the camera plugged in? `nvr detect` lists the devices")
    })?;
    let plan = plan(&device_caps(&node.to_string_lossy())?, spec)?;
    let src = make("v4l2src")?;
    src.set_property("device", &*node.to_string_lossy());
    assemble(src, &plan, on_tracks)
}

/// The caps that a device offers. Opens it for a moment.
///
/// # Errors
/// `Unavailable`, `Busy` or `Unsupported`, with the driver's words.
pub(in crate::gst) fn device_caps(node: &str) -> Result<gst::Caps> {
    let src = make("v4l2src")?;
    src.set_property("device", node);
    let bus = gst::Bus::new();
    src.set_bus(Some(&bus));
    let opened = src.set_state(gst::State::Ready);
    let caps = src.static_pad("src").map(|p| p.query_caps(None));
    let _ = src.set_state(gst::State::Null);
    src.set_bus(None::<&gst::Bus>);
    if opened.is_err() {
        let message = bus.pop_filtered(&[gst::MessageType::Error]);
        let (kind, words) = match message.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Error(e)) => {
                let kind = match e.error().kind::<gst::ResourceError>() {
                    Some(gst::ResourceError::Busy) => ErrorKind::Busy,
                    _ => ErrorKind::Unavailable,
                };
                (kind, e.error().message().to_owned())
            }
            _ => (ErrorKind::Unavailable, "cannot be opened".to_owned()),
        };
        return Err(Error::new(kind, format!("v4l2:{node}: {words}"))
            .with_hint("the user that runs the recorder must be in the group video"));
    }
    caps.filter(|c| !c.is_empty() && !c.is_any())
        .ok_or_else(|| Error::new(ErrorKind::Unsupported, format!("v4l2:{node}: offers no format")))
}

/// What a device is asked for.
#[derive(Debug, PartialEq)]
pub(in crate::gst) struct Plan {
    pub format: DeviceFormat,
    pub caps: gst::Caps,
    pub size: (u32, u32),
    pub frame_rate: f64,
}

/// Fast enough, pixels, nearness to 30 frames a second.
type Score = (bool, u64, Reverse<u64>);

/// Chooses a format: the one asked for, else H.264, JPEG, raw in this order; then the largest picture that is
/// not slow, then the highest frame rate up to 30.
///
/// # Errors
/// `Unsupported` when the device has nothing that fits.
pub(super) fn plan(offered: &gst::Caps, spec: &DeviceSource) -> Result<Plan> {
    let orders = match spec.format {
        Some(one) => vec![one],
        None => vec![DeviceFormat::H264, DeviceFormat::Mjpeg, DeviceFormat::Raw],
    };
    for format in orders {
        let mut best: Option<(Score, Plan)> = None;
        for (s, features) in offered.iter_with_features() {
            if s.name() != media(format)
                || !features.is_equal(&gst::CapsFeatures::new_empty()) && !is_system(features)
            {
                continue;
            }
            let Some(size) = size_of(s, spec.size) else {
                continue;
            };
            let Some(rate) = rate_of(s, spec.frame_rate) else {
                continue;
            };
            let fps = f64::from(rate.numer()) / f64::from(rate.denom().max(1));
            let pixels = u64::from(size.0) * u64::from(size.1);
            let score = (fps >= 10.0, pixels, Reverse(((fps - 30.0).abs() * 1000.0) as u64));
            if best.as_ref().is_some_and(|(b, _)| *b >= score) {
                continue;
            }
            let mut caps = gst::Caps::builder(media(format))
                .field("width", i32::try_from(size.0).unwrap_or(i32::MAX))
                .field("height", i32::try_from(size.1).unwrap_or(i32::MAX));
            if rate.numer() > 0 {
                caps = caps.field("framerate", rate);
            }
            best = Some((
                score,
                Plan {
                    format,
                    caps: caps.build(),
                    size,
                    frame_rate: fps,
                },
            ));
        }
        if let Some((_, plan)) = best {
            return Ok(plan);
        }
    }
    let mut wish = vec![
        spec.format
            .map_or("H.264, JPEG or raw pictures", |f| match f {
                DeviceFormat::H264 => "H.264",
                DeviceFormat::Mjpeg => "JPEG",
                DeviceFormat::Raw => "raw pictures",
            })
            .to_owned(),
    ];
    wish.extend(spec.size.map(|(w, h)| format!("{w}x{h}")));
    wish.extend(spec.frame_rate.map(|r| format!("{r} frames a second")));
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("{}: the device has no {}", spec.device, wish.join(", ")),
    )
    .with_hint("`nvr detect` lists what it has"))
}

fn is_system(features: &gst::CapsFeaturesRef) -> bool {
    features.contains("memory:SystemMemory") && features.size() == 1
}

pub(super) const fn media(format: DeviceFormat) -> &'static str {
    match format {
        DeviceFormat::H264 => "video/x-h264",
        DeviceFormat::Mjpeg => "image/jpeg",
        DeviceFormat::Raw => "video/x-raw",
    }
}

/// The size to take of a structure: the wanted one, or its largest.
fn size_of(s: &gst::StructureRef, wanted: Option<(u32, u32)>) -> Option<(u32, u32)> {
    let pick = |name: &str, wanted: Option<u32>| -> Option<u32> {
        let value = s.value(name).ok()?;
        let (all, range) = integers(value);
        match wanted {
            Some(w) => {
                (all.contains(&w) || range.is_some_and(|(lo, hi)| (lo..=hi).contains(&w))).then_some(w)
            }
            None => all.into_iter().chain(range.map(|r| r.1.min(7680))).max(),
        }
    };
    Some((
        pick("width", wanted.map(|w| w.0))?,
        pick("height", wanted.map(|w| w.1))?,
    ))
}

/// Single numbers, and a range, in a caps value.
pub(in crate::gst) fn integers(value: &gst::glib::Value) -> (Vec<u32>, Option<(u32, u32)>) {
    let one = |v: &gst::glib::Value| v.get::<i32>().ok().and_then(|n| u32::try_from(n).ok());
    if let Some(n) = one(value) {
        return (vec![n], None);
    }
    if let Ok(list) = value.get::<gst::List>() {
        return (list.iter().filter_map(|v| one(v)).collect(), None);
    }
    let range = value.get::<gst::IntRange<i32>>().ok();
    let range = range.and_then(|r| Some((u32::try_from(r.min()).ok()?, u32::try_from(r.max()).ok()?)));
    (Vec::new(), range)
}

/// Single frame rates, and a range, in a caps value.
pub(in crate::gst) fn fractions(
    value: &gst::glib::Value,
) -> (Vec<gst::Fraction>, Option<(gst::Fraction, gst::Fraction)>) {
    if let Ok(f) = value.get::<gst::Fraction>() {
        return (vec![f], None);
    }
    if let Ok(list) = value.get::<gst::List>() {
        return (
            list.iter()
                .filter_map(|v| v.get::<gst::Fraction>().ok())
                .collect(),
            None,
        );
    }
    let range = value.get::<gst::FractionRange>().ok();
    (Vec::new(), range.map(|r| (r.min(), r.max())))
}

/// The frame rate to take: the wanted one, or the highest up to 30, or the lowest; 0/1 when none is declared.
fn rate_of(s: &gst::StructureRef, wanted: Option<u32>) -> Option<gst::Fraction> {
    let Ok(value) = s.value("framerate") else {
        return wanted.is_none().then(|| gst::Fraction::new(0, 1));
    };
    let (all, range) = fractions(value);
    let asked = gst::Fraction::new(i32::try_from(wanted.unwrap_or(30)).unwrap_or(30), 1);
    if wanted.is_some() {
        let fits = all.contains(&asked) || range.is_some_and(|(lo, hi)| lo <= asked && asked <= hi);
        return fits.then_some(asked);
    }
    if let Some((lo, hi)) = range {
        return Some(asked.clamp(lo, hi.max(lo)));
    }
    all.iter()
        .filter(|f| **f <= asked)
        .max()
        .or_else(|| all.iter().min())
        .copied()
}

/// From a source of pictures to the tracks.
pub(super) fn assemble(src: gst::Element, plan: &Plan, on_tracks: OnTracks) -> Result<gst::Bin> {
    let bin = gst::Bin::builder().name("device").build();
    let gate = Gate::new(&bin, on_tracks, false);
    let mut chain = vec![src, caps_filter(&plan.caps)?];
    if plan.format == DeviceFormat::Mjpeg {
        if let Some(pad) = chain.last().and_then(|filter| filter.static_pad("src")) {
            jpeg::guard(&pad, &gate);
        }
        chain.push(jpeg::decoder()?);
    }
    if plan.format != DeviceFormat::H264 {
        let settings = EncoderSettings::live(plan.size, plan.frame_rate);
        // Encoding must not hold up the driver, which has few buffers; what it cannot take it drops and counts.
        let queue = make("queue")?;
        queue.set_property("max-size-buffers", 4u32);
        chain.push(queue);
        chain.extend(encoders::best(encoders::H264, &settings)?.chain(&settings)?);
    }
    let end = link_into(&bin, &chain)?;
    gate.add(Kind::Video, &end, &video_chain(VideoCodec::H264)?)?;
    Ok(bin)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_video, run_bin};
    use super::*;
    use crate::source::SourceSpec;

    fn device(text: &str) -> DeviceSource {
        match SourceSpec::parse(text).unwrap() {
            SourceSpec::V4l2(d) => d,
            other => panic!("{other}"),
        }
    }

    fn caps(text: &str) -> gst::Caps {
        crate::gst::init().unwrap();
        text.parse().unwrap()
    }

    const WEBCAM: &str = "video/x-raw,format=YUY2,width=640,height=480,framerate={(fraction)30/1,(fraction)15/1};\
        video/x-raw,format=YUY2,width=1920,height=1080,framerate=(fraction)5/1;\
        image/jpeg,width=1920,height=1080,framerate={(fraction)60/1,(fraction)30/1,(fraction)25/1};\
        image/jpeg,width=640,height=480,framerate=(fraction)30/1;\
        video/x-raw(memory:DMABuf),format=NV12,width=3840,height=2160,framerate=(fraction)30/1";

    #[test]
    fn the_best_that_fits_is_asked_for() {
        let offered = caps(WEBCAM);
        let mut spec = device("v4l2:/dev/video0");
        let p = plan(&offered, &spec).unwrap();
        assert_eq!(
            (p.format, p.size, p.frame_rate),
            (DeviceFormat::Mjpeg, (1920, 1080), 30.0)
        );

        spec.format = Some(DeviceFormat::Raw);
        let p = plan(&offered, &spec).unwrap();
        assert_eq!(
            (p.size, p.frame_rate),
            ((640, 480), 30.0),
            "five frames a second are too slow"
        );

        spec.size = Some((1920, 1080));
        assert_eq!(plan(&offered, &spec).unwrap().frame_rate, 5.0);
        spec.frame_rate = Some(30);
        let e = plan(&offered, &spec).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(
            e.to_string().contains("raw pictures, 1920x1080, 30 frames"),
            "{e}"
        );

        let chip = caps(
            "video/x-h264,stream-format=byte-stream,alignment=au,width=[32,1920,2],height=[32,1080,2],framerate=[1/1,90/1];image/jpeg,width=640,height=480",
        );
        let p = plan(&chip, &device("v4l2:/dev/video0")).unwrap();
        assert_eq!(
            (p.format, p.size, p.frame_rate),
            (DeviceFormat::H264, (1920, 1080), 30.0)
        );
    }

    #[test]
    fn a_device_that_is_not_there_says_so() {
        crate::gst::init().unwrap();
        let e = build(&device("v4l2:/dev/video-none"), Box::new(|_| {})).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unavailable);
        assert!(e.to_string().contains("/dev/video-none"), "{e}");
        // Not a capture device at all.
        let e = device_caps("/dev/null").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}");
    }

    #[test]
    fn pictures_of_each_format_become_h264() {
        let live = |line: &str| {
            gst::parse::bin_from_description(&format!("{line} ! identity"), true)
                .unwrap()
                .upcast::<gst::Element>()
        };
        let of = |format, text| Plan {
            format,
            caps: caps(text),
            size: (320, 240),
            frame_rate: 15.0,
        };
        crate::gst::init().unwrap();
        let raw = "videotestsrc is-live=true ! video/x-raw,format=YUY2,width=320,height=240,framerate=15/1";
        let sources = [
            (
                live(raw),
                of(DeviceFormat::Raw, "video/x-raw,width=320,height=240"),
            ),
            (
                live(&format!("{raw} ! videoconvert ! jpegenc")),
                of(DeviceFormat::Mjpeg, "image/jpeg"),
            ),
            (
                live(&format!(
                    "{raw} ! videoconvert ! x264enc tune=zerolatency key-int-max=10 ! video/x-h264,profile=high"
                )),
                of(DeviceFormat::H264, "video/x-h264"),
            ),
        ];
        let spec = SourceSpec::parse("v4l2:/dev/video0").unwrap();
        for (src, plan) in sources {
            let running = run_bin(&spec, |on_tracks| assemble(src, &plan, on_tracks).unwrap());
            let (audio, units) = running.collect(12);
            assert!(!audio);
            check_video(&units);
            assert_eq!(
                super::super::testing::decode(&units).len(),
                units.len(),
                "{:?}",
                plan.format
            );
        }
    }
}
