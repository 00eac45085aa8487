//! What a stream carries: codecs and their parameters.

use std::fmt;

/// Video codecs that are recorded as they come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// ITU-T H.264.
    H264,
    /// ITU-T H.265.
    H265,
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
        })
    }
}

/// The H.265 encoders that footage can be encoded again with, by the names of their GStreamer elements, hardware first.
pub const H265_ENCODERS: [&str; 8] = [
    "nvh265enc",
    "qsvh265enc",
    "vah265enc",
    "vah265lpenc",
    "vaapih265enc",
    "v4l2h265enc",
    "msdkh265enc",
    "x265enc",
];

/// Audio codecs as cameras send them; what is not AAC becomes AAC on its way to the file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AudioCodec {
    /// MPEG-4 AAC.
    Aac,
    /// Opus (RFC 6716).
    Opus,
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// Uncompressed samples.
    Pcm,
    /// Anything else that a decoder was found for.
    Other,
}

/// The video track.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct VideoTrack {
    /// Codec.
    pub codec: VideoCodec,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second as declared by the stream; `None` when it does not say or varies.
    pub frame_rate: Option<f64>,
}

/// The audio track.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct AudioTrack {
    /// Codec as the camera sends it.
    pub codec: AudioCodec,
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
}

/// The tracks of a stream: always one of video, at most one of audio.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Tracks {
    /// Video.
    pub video: VideoTrack,
    /// Audio, if there is any.
    pub audio: Option<AudioTrack>,
}
