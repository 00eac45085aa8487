//! One who watches a camera: its frames, whatever becomes of its connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::info::LiveInfo;
use super::viewing::{Viewing, Watching};
use crate::gst::{AccessUnit, Tap, TapReceiver, UnitTrack};
use crate::track::Tracks;

/// What a viewer gets.
#[derive(Debug)]
pub enum Live {
    /// A connection begins: what follows starts with a keyframe, and times begin anew.
    Begin,
    /// A frame, or an audio packet.
    Frame(AccessUnit),
    /// So many video frames were left out because the viewer was too slow; the next one is a keyframe.
    Lost(u64),
}

/// Reads the frames of a stream while it lives, and keeps an on-demand camera connected.
///
/// It begins with the present group of pictures. Frames of a camera that was away come as soon as it is back. Dropping
/// it is all that is needed to stop.
#[derive(Debug)]
pub struct Viewer {
    watching: Watching,
    taps: watch::Receiver<Option<Tap>>,
    receiver: Option<TapReceiver>,
    /// Read, but something has to be told before.
    next: Option<AccessUnit>,
    capacity: usize,
    lost: u64,
}

impl Viewer {
    pub(crate) fn new(viewing: &Arc<Viewing>, capacity: usize) -> Self {
        let mut taps = viewing.taps();
        // A tap that is there counts as news.
        taps.mark_changed();
        Self {
            watching: viewing.join(),
            taps,
            receiver: None,
            next: None,
            capacity,
            lost: 0,
        }
    }

    /// What comes next; `None` when the camera was removed or the recorder stops. Waits while the camera sends nothing.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Live> {
        loop {
            if let Some(unit) = self.next.take() {
                return Some(Live::Frame(unit));
            }
            let Some(receiver) = &mut self.receiver else {
                tokio::select! {
                    () = self.watching.0.gone() => return None,
                    changed = self.taps.changed() => changed.ok()?,
                }
                let tap = self.taps.borrow_and_update().clone();
                if let Some(tap) = tap {
                    self.receiver = Some(tap.subscribe_from(Duration::ZERO, self.capacity));
                    return Some(Live::Begin);
                }
                continue;
            };
            match receiver.recv_counted().await {
                Some((0, unit)) => return Some(Live::Frame(unit)),
                Some((lost, unit)) => {
                    self.lost += lost;
                    self.watching.0.add_lost(lost);
                    self.next = Some(unit);
                    return Some(Live::Lost(lost));
                }
                None => self.receiver = None,
            }
        }
    }

    /// Begins anew with the present group of pictures, as for somebody who has just come: [`Live::Begin`] follows.
    pub fn restart(&mut self) {
        self.next = None;
        self.receiver = None;
        self.taps.mark_changed();
    }

    /// Video frames that this viewer never got if it goes now, because it was too slow.
    pub(crate) fn left(&self) -> u64 {
        let read = self.next.as_ref().is_some_and(|u| u.track() == UnitTrack::Video);
        u64::from(read) + self.receiver.as_ref().map_or(0, TapReceiver::left)
    }

    /// Video frames that this viewer lost by being slow.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// What the stream carries, from its first connection on.
    #[must_use]
    pub fn tracks(&self) -> Option<Tracks> {
        self.watching.0.tracks()
    }

    /// The newest audio packet, if there is audio: who has to say at the start what follows need not wait for it.
    #[must_use]
    pub fn audio(&self) -> Option<AccessUnit> {
        self.watching.0.tap().and_then(|tap| tap.audio())
    }

    /// What the stream is; `None` before its first frame.
    #[must_use]
    pub fn info(&self) -> Option<LiveInfo> {
        self.watching.0.tap().as_ref().and_then(super::info::of_tap)
    }

    /// Why there are no frames, for people.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.watching.0.trouble()
    }
}
