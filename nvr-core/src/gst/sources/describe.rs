//! From caps to the words of the recorder.

use crate::track::{AudioCodec, AudioTrack, VideoCodec, VideoTrack};

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

/// The audio track that caps describe. G.711 is taken for 8 kHz mono where it does not say.
pub(crate) fn audio_track(caps: &gst::CapsRef) -> Option<AudioTrack> {
    let s = caps.structure(0)?;
    let (codec, rate) = match s.name().as_str() {
        "audio/mpeg" => (AudioCodec::Aac, 48_000),
        "audio/x-opus" => (AudioCodec::Opus, 48_000),
        "audio/x-mulaw" => (AudioCodec::Pcmu, 8_000),
        "audio/x-alaw" => (AudioCodec::Pcma, 8_000),
        "audio/x-raw" => (AudioCodec::Pcm, 48_000),
        name if name.starts_with("audio/") => (AudioCodec::Other, 48_000),
        _ => return None,
    };
    let number = |name, default| {
        s.get::<i32>(name)
            .ok()
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(default)
    };
    Some(AudioTrack {
        codec,
        sample_rate: number("rate", rate),
        channels: number("channels", 1),
    })
}
