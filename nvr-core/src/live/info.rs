//! What a live stream is, for those who choose how to watch it.

use super::fmp4::{Init, init_for};
use crate::gst::{AccessUnit, Tap, UnitTrack};
use crate::track::{AudioCodec, VideoCodec};

/// What a stream is now.
#[derive(Clone, PartialEq, Debug)]
pub struct LiveInfo {
    /// Video codec.
    pub video: VideoCodec,
    /// Audio codec as the camera sends it, if there is any.
    pub audio: Option<AudioCodec>,
    /// Whether frames are shown in another order than they come.
    pub b_frames: bool,
    /// As fragmented MP4: codec strings and size.
    pub init: Init,
}

/// `None` before the first keyframe.
pub(crate) fn of_tap(tap: &Tap) -> Option<LiveInfo> {
    let keyframe = tap.keyframe()?;
    let audio = tap.audio();
    Some(LiveInfo {
        video: keyframe.tracks().video.codec,
        audio: audio
            .as_ref()
            .and_then(|a| a.tracks().audio.as_ref())
            .map(|a| a.codec),
        b_frames: reorders(&tap.recent(std::time::Duration::ZERO), &keyframe),
        init: init_for(&keyframe, audio.as_ref())?,
    })
}

/// What was sent counts; of a group that has just begun, what is declared: then a frame is shown after it is decoded.
fn reorders(group: &[AccessUnit], keyframe: &AccessUnit) -> bool {
    const ENOUGH: usize = 4;
    let times: Vec<i64> = group
        .iter()
        .filter(|u| u.track() == UnitTrack::Video)
        .map(AccessUnit::pts_ns)
        .collect();
    if times.len() < ENOUGH {
        return keyframe.pts_ns().saturating_sub(keyframe.dts_ns()) > 1_000_000;
    }
    times.windows(2).any(|pair| pair[1] < pair[0])
}
