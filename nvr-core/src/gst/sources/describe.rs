//! From caps to the words of the recorder.

use crate::track::{VideoCodec, VideoTrack};

/// The video track that parsed caps describe.
pub(crate) fn video_track(caps: &gst::CapsRef) -> Option<VideoTrack> {
    let s = caps.structure(0)?;
    let codec = match s.name().as_str() {
        "video/x-h264" => VideoCodec::H264,
        "video/x-h265" => VideoCodec::H265,
        _ => return None,
    };
    let side = |name| {
        s.get::<i32>(name)
            .ok()
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or_default()
    };
    let frame_rate = s
        .get::<gst::Fraction>("framerate")
        .ok()
        .filter(|f| f.numer() > 0 && f.denom() > 0)
        .map(|f| f64::from(f.numer()) / f64::from(f.denom()));
    Some(VideoTrack {
        codec,
        width: side("width"),
        height: side("height"),
        frame_rate,
    })
}
