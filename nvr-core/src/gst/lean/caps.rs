//! Caps of what a session set up.

use crate::rtsp::{AudioKind, AudioParams, VideoParams};
use crate::track::VideoCodec;

fn number(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// As the parsers of GStreamer would make them.
pub(super) fn video(p: &VideoParams) -> gst::Caps {
    let (media, format) = match p.codec {
        VideoCodec::H264 => ("video/x-h264", "avc"),
        VideoCodec::H265 => ("video/x-h265", "hvc1"),
    };
    let fraction = |(n, d): (u32, u32)| gst::Fraction::new(number(n), number(d).max(1));
    gst::Caps::builder(media)
        .field("stream-format", format)
        .field("alignment", "au")
        .field("codec_data", gst::Buffer::from_slice(p.codec_data.clone()))
        .field("width", number(p.width))
        .field("height", number(p.height))
        .field("parsed", true)
        .field("chroma-format", p.chroma_format)
        .field("bit-depth-luma", p.bit_depth_luma)
        .field("bit-depth-chroma", p.bit_depth_chroma)
        .field(
            "interlace-mode",
            if p.interlaced { "mixed" } else { "progressive" },
        )
        .field_if_some("framerate", p.frame_rate.map(fraction))
        .field_if_some("pixel-aspect-ratio", p.pixel_aspect.map(fraction))
        .field_if_some("profile", p.profile)
        .field_if_some("level", p.level.as_deref())
        .field_if_some("tier", p.tier)
        .build()
}

/// As `tracks.rs` promises them.
pub(in crate::gst) fn audio(p: &AudioParams) -> gst::Caps {
    let (rate, channels) = (number(p.rate), number(p.channels));
    let base = |media: &str| {
        gst::Caps::builder(media)
            .field("rate", rate)
            .field("channels", channels)
    };
    match &p.kind {
        AudioKind::Aac { config } => base("audio/mpeg")
            .field("mpegversion", 4i32)
            .field("stream-format", "raw")
            .field("framed", true)
            .field("codec_data", gst::Buffer::from_slice(config.clone()))
            .build(),
        AudioKind::Pcmu => base("audio/x-mulaw").build(),
        AudioKind::Pcma => base("audio/x-alaw").build(),
        AudioKind::Opus => base("audio/x-opus").field("channel-mapping-family", 0i32).build(),
    }
}
