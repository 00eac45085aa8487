//! What somebody needs who hands a stream on and has to say at the start what it carries.

use std::time::Duration;

use super::viewer::{Live, Viewer};
use crate::clock::Clock;
use crate::gst::{AccessUnit, UnitTrack};
use crate::time::duration_ns;

/// How long the first sound may be behind the first picture.
const SOUND: Duration = Duration::from_millis(1500);

/// The beginning of a stream.
#[derive(Debug)]
pub(crate) struct Start {
    /// Goes on behind what is held.
    pub(crate) viewer: Viewer,
    /// From a keyframe on; never empty.
    pub(crate) held: Vec<AccessUnit>,
    /// A packet of the sound, if there is any.
    pub(crate) audio: Option<AccessUnit>,
}

/// Waits for a keyframe, and a little longer for the first sound where there is to be some; `None` when the camera is gone.
pub(crate) async fn start_of(mut viewer: Viewer, with_audio: bool, clock: &dyn Clock) -> Option<Start> {
    let mut held: Vec<AccessUnit> = Vec::new();
    let mut until: Option<i64> = None;
    loop {
        let audio = viewer.audio().filter(|_| with_audio);
        // Nobody can tell yet that there will be none: what a camera sends becomes known a moment after its first frames.
        let now = clock.steady_ns();
        let late = until.is_some_and(|until| now >= until);
        if !held.is_empty() && (audio.is_some() || !with_audio || late) {
            return Some(Start { viewer, held, audio });
        }
        let left = until.map_or(SOUND, |until| {
            Duration::from_nanos(u64::try_from(until - now).unwrap_or(0))
        });
        let live = tokio::select! {
            live = viewer.next() => live?,
            () = clock.sleep(left), if until.is_some() => continue,
        };
        match live {
            Live::Begin | Live::Lost(_) => {
                held.clear();
                until = None;
            }
            Live::Frame(unit)
                if held.is_empty() && !(unit.keyframe() && unit.track() == UnitTrack::Video) => {}
            Live::Frame(unit) => {
                until.get_or_insert_with(|| clock.steady_ns().saturating_add(duration_ns(SOUND)));
                held.push(unit);
            }
        }
    }
}
