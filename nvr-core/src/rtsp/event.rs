//! What a session hands out: tracks, access units, and how it ended.

use url::Url;

use crate::time::Timestamp;
use crate::track::VideoCodec;

/// One piece of news of a session, in the order in which it happened.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Event {
    /// The tracks, once, before the first unit: after the answer to `PLAY`, and when the parameter sets of the video
    /// are known (from the description, or else from the stream; all that came before is dropped).
    Tracks(Tracks),
    /// The parameter sets of the video changed in band; the next unit of video is the keyframe that they belong to.
    /// Said only when the record differs from the last.
    Parameters(VideoParams),
    /// An access unit of video, or one frame of audio.
    Unit(Unit),
    /// The stream is at another address: open a new session there. The last event.
    Redirect(Url),
    /// The server ended the stream, or [`Client::teardown`](super::Client::teardown) was answered. The last event.
    Ended(String),
}

/// What the session set up.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Tracks {
    /// Video.
    pub video: VideoParams,
    /// Audio, if it is wanted and there is any of a known kind. It may stay silent.
    pub audio: Option<AudioParams>,
    /// Streams of the description that were left out, by name (`application/vnd.onvif.metadata`), for the log.
    pub left_out: Vec<String>,
    /// The server's own name (`Server` header), if it tells one.
    pub server: Option<String>,
}

/// Which track.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum TrackKind {
    /// Video.
    Video,
    /// Audio.
    Audio,
}

/// An access unit or audio frame, complete.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Unit {
    /// Whose it is.
    pub track: TrackKind,
    /// Video: NAL units with four bytes of length before each, without parameter sets (these stand in
    /// [`VideoParams::codec_data`]). Audio: one frame without any header.
    pub data: Vec<u8>,
    /// Decoding can begin here: the unit has an IDR picture (H.264) or an IRAP picture (H.265). Always for audio.
    pub keyframe: bool,
    /// When it is presented, on the line of the `now_ns` that were passed in. Increases for audio; for video it does
    /// unless the camera reorders (B-frames) or its clock jumps.
    pub pts_ns: i64,
    /// The camera's own clock at this instant, once it sent a sender report.
    pub ntp: Option<Timestamp>,
    /// RTP packets of this track that went missing since its last unit. What they belonged to is not handed out.
    pub lost_before: u32,
}

/// How far a stream reorders its pictures, as its parameter sets say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reorder {
    /// Pictures come in the order in which they are shown.
    None,
    /// So many frames at most come before one that is shown earlier.
    Declared(u32),
    /// It does not say.
    Unknown,
}

/// Everything that caps of a video stream need.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct VideoParams {
    /// Codec.
    pub codec: VideoCodec,
    /// `avcC` or `hvcC` record (ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1).
    pub codec_data: Vec<u8>,
    /// Width in pixels, cropped.
    pub width: u32,
    /// Height in pixels, cropped.
    pub height: u32,
    /// Frames per second as a fraction, if the parameter sets tell a constant one.
    pub frame_rate: Option<(u32, u32)>,
    /// Width to height of a pixel, if it is told.
    pub pixel_aspect: Option<(u32, u32)>,
    /// Profile in the words of GStreamer's caps (`high`, `constrained-baseline`, `main-10`), if known.
    pub profile: Option<&'static str>,
    /// Level as in GStreamer's caps (`4.1`, `1b`).
    pub level: Option<String>,
    /// `main` or `high`; H.265 only.
    pub tier: Option<&'static str>,
    /// `4:0:0`, `4:2:0`, `4:2:2` or `4:4:4`.
    pub chroma_format: &'static str,
    /// Bits of a luma sample.
    pub bit_depth_luma: u32,
    /// Bits of a chroma sample.
    pub bit_depth_chroma: u32,
    /// Fields or a mixture of fields and frames, as far as the parameter set tells.
    pub interlaced: bool,
    /// Reordering.
    pub reorder: Reorder,
}

/// Codec of an audio track.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum AudioKind {
    /// AAC; the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1). Units are raw access units.
    Aac {
        /// AudioSpecificConfig.
        config: Vec<u8>,
    },
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// Opus.
    Opus,
}

/// Everything that caps of an audio stream need.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AudioParams {
    /// Codec.
    pub kind: AudioKind,
    /// Samples per second.
    pub rate: u32,
    /// Channels.
    pub channels: u32,
}
