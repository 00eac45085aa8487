//! Footage as H.264 while it is read, for those who cannot play H.265.
//!
//! | | |
//! |---|---|
//! | `slots` | how many at once, and threads that end when nobody waits for them |
//! | `encode` | one stretch through decoder and encoder, encoder by encoder |
//! | `vod` | pieces of a segment for a playlist, and what was made of them before |
//! | `export` | one file of a range, written as it is made |
//! | `merge` | several cameras in one file by the wall clock, and many hours in a minute |
//! | `packed` | the same with its index in front, by way of a scratch file without a name |
//!
//! Nothing else is kept on the disk and nothing is decided about the footage; that is what `transcode` does. Recording comes
//! first: the threads have the priority of `[transcode]`.

mod encode;
mod export;
mod merge;
mod packed;
mod slots;
mod vod;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

pub use self::export::{Converted, ConvertedPiece};
pub use self::merge::{Composed, LapseSource, Layout, MOST_CAMERAS, MergeParams, TimelapseParams, Watcher};
pub use self::vod::VodPart;
use crate::clock::SharedClock;
use crate::config::{PlaybackConfig, TranscodeConfig};
use crate::gst::{ArchiveEncoder, Catalogue, PLAYBACK_H264};
use slots::Slots;

/// How long somebody who looks at it is kept waiting for his turn.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Makes H.264 of footage.
#[derive(Clone, Debug)]
pub(crate) struct Converter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ArcSwap<PlaybackConfig>,
    catalogue: Catalogue,
    slots: Slots,
    made: vod::Made,
    clock: SharedClock,
}

impl Converter {
    pub(crate) fn new(config: &TranscodeConfig, clock: SharedClock) -> Self {
        Self::of(PLAYBACK_H264, config, clock)
    }

    /// With other encoders, for tests.
    pub(crate) fn of(
        encoders: &'static [ArchiveEncoder],
        config: &TranscodeConfig,
        clock: SharedClock,
    ) -> Self {
        Self(Arc::new(Inner {
            config: ArcSwap::from_pointee(config.playback),
            catalogue: Catalogue::of(encoders, clock.clone(), config.probe_keep),
            slots: Slots::new(config.playback.max_running, clock.clone()),
            made: vod::Made::default(),
            clock,
        }))
    }

    pub(crate) fn configure(&self, config: &TranscodeConfig) {
        self.0.config.store(Arc::new(config.playback));
        self.0.slots.set_most(config.playback.max_running);
    }

    /// How many stretches are encoded now.
    pub(crate) fn running(&self) -> usize {
        self.0.slots.running()
    }
}
