//! Elements and probes of the pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;

use super::{CodedVideo, Shared, lock};
use crate::error::Result;
use crate::gst::sources::{caps_filter, make, on_pad};
use crate::track::VideoCodec;

/// Caps of length-prefixed access units.
pub(in crate::gst) fn coded_caps(video: &CodedVideo) -> gst::Caps {
    let (media_type, stream_format) = match video.codec {
        VideoCodec::H264 => ("video/x-h264", "avc"),
        VideoCodec::H265 => ("video/x-h265", "hvc1"),
    };
    gst::Caps::builder(media_type)
        .field("stream-format", stream_format)
        .field("alignment", "au")
        .field("codec_data", gst::Buffer::from_slice(video.codec_data.clone()))
        .field("width", i32::try_from(video.size.0).unwrap_or(i32::MAX))
        .field("height", i32::try_from(video.size.1).unwrap_or(i32::MAX))
        .build()
}

/// Parser and decoder of a codec, on one thread: recording comes first.
pub(in crate::gst) fn decoder(codec: VideoCodec) -> Result<[gst::Element; 2]> {
    let (parser, decoder) = match codec {
        VideoCodec::H264 => ("h264parse", "avdec_h264"),
        VideoCodec::H265 => ("h265parse", "avdec_h265"),
    };
    let decoder = make(decoder)?;
    decoder.set_property("max-threads", 1i32);
    // A damaged frame is one that is there.
    if decoder.has_property("output-corrupt") {
        decoder.set_property("output-corrupt", true);
    }
    Ok([make(parser)?, decoder])
}

/// Why pictures of these caps do not go into H.265 Main without loss, if they do not.
pub(in crate::gst) fn unfit(caps: &gst::CapsRef) -> Option<String> {
    let video = gst_video::VideoInfo::from_caps(caps).ok()?;
    match video.format() {
        gst_video::VideoFormat::I420
        | gst_video::VideoFormat::Yv12
        | gst_video::VideoFormat::Nv12
        | gst_video::VideoFormat::Nv21
        | gst_video::VideoFormat::Gray8 => match video.interlace_mode() {
            gst_video::VideoInterlaceMode::Progressive => None,
            _ => Some("it is interlaced".into()),
        },
        other => Some(format!(
            "its pictures are {other}, of which H.265 as it is made here would lose a part"
        )),
    }
}

pub(super) fn watch_decoder(pad: &gst::Pad, shared: &Arc<Shared>, strict: bool) {
    let counting = Arc::clone(shared);
    on_pad(pad, gst::PadProbeType::BUFFER, move |_, info| {
        counting.decoded.fetch_add(1, Ordering::AcqRel);
        if let Some(pts) = info.buffer().and_then(|b| b.pts()) {
            let ns = i64::try_from(pts.nseconds()).unwrap_or(i64::MAX);
            counting.at_ns.store(ns, Ordering::Relaxed);
            if lock(&counting.hidden).remove(&pts.nseconds()) {
                return gst::PadProbeReturn::Handled;
            }
        }
        gst::PadProbeReturn::Ok
    });
    if !strict {
        return;
    }
    let shared = Arc::clone(shared);
    on_pad(pad, gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(event) = info.event()
            && let gst::EventView::Caps(caps) = event.view()
            && let Some(why) = unfit(caps.caps())
        {
            *lock(&shared.unfit) = Some(why);
        }
        gst::PadProbeReturn::Ok
    });
}

/// The elements that bring pictures to a size, with square pixels.
pub(super) fn fitted(size: (u32, u32)) -> Result<[gst::Element; 2]> {
    let scale = make("videoscale")?;
    scale.set_property("add-borders", true);
    let caps = gst::Caps::builder("video/x-raw")
        .field("width", i32::try_from(size.0).unwrap_or(i32::MAX))
        .field("height", i32::try_from(size.1).unwrap_or(i32::MAX))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build();
    Ok([scale, caps_filter(&caps)?])
}

/// Asks for a keyframe right before each picture that was one, and `gop_ns` behind the last, if that is not 0.
pub(super) fn ask_for_keyframes(sink: &gst::Pad, shared: &Arc<Shared>, gop_ns: i64) {
    let shared = Arc::clone(shared);
    let gop_ns = u64::try_from(gop_ns).unwrap_or(0);
    let last = AtomicU64::new(0);
    on_pad(sink, gst::PadProbeType::BUFFER, move |pad, info| {
        let Some(pts) = info.buffer().and_then(|b| b.pts()) else {
            return gst::PadProbeReturn::Ok;
        };
        let due = {
            let mut due = lock(&shared.keyframes);
            let mut wanted = false;
            while due.front().is_some_and(|&t| t <= pts.nseconds()) {
                wanted |= due.pop_front() == Some(pts.nseconds());
            }
            wanted
        };
        // The first picture is one by itself.
        let is_first = last.load(Ordering::Relaxed) == 0;
        let late = gop_ns > 0 && pts.nseconds() >= last.load(Ordering::Relaxed).saturating_add(gop_ns);
        if due || late || is_first {
            last.store(pts.nseconds(), Ordering::Relaxed);
        }
        if due || (late && !is_first) {
            pad.send_event(
                gst_video::DownstreamForceKeyUnitEvent::builder()
                    .running_time(pts)
                    .all_headers(false)
                    .build(),
            );
        }
        gst::PadProbeReturn::Ok
    });
}
