//! What one thread brought of all tracks before it was known which tracks there are, in its order.

use std::collections::VecDeque;

use gst::prelude::*;

use super::tracks::{AUDIO_GRACE, Kind};

/// Before the first picture comes, older audio is let go: ten seconds of AAC at 48 kHz.
const MOST_AUDIO: usize = 500;
/// With so many bytes nothing more is waited for.
const MOST_BYTES: usize = 16 << 20;

/// See the module.
#[derive(Default)]
pub(super) struct Held {
    items: VecDeque<(Kind, Item)>,
    bytes: usize,
    /// When the first picture came.
    since: Option<gst::ClockTime>,
    phase: Phase,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Holding,
    Releasing,
    Released,
}

/// What goes through a pad.
pub(super) enum Item {
    Buffer(gst::Buffer),
    List(gst::BufferList),
}

impl Item {
    /// Takes the data that passes a probe.
    pub(super) fn take(info: &mut gst::PadProbeInfo<'_>) -> Option<Self> {
        match info.data.take()? {
            gst::PadProbeData::Buffer(buffer) => Some(Self::Buffer(buffer)),
            gst::PadProbeData::BufferList(list) => Some(Self::List(list)),
            other => {
                info.data = Some(other);
                None
            }
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Buffer(buffer) => buffer.size(),
            Self::List(list) => list.iter().map(gst::BufferRef::size).sum(),
        }
    }

    /// Sends it through a pad; whether that takes it, the next that comes will tell.
    pub(super) fn send(self, pad: &gst::Pad) {
        match self {
            Self::Buffer(buffer) => drop(pad.push(buffer)),
            Self::List(list) => drop(pad.push_list(list)),
        }
    }
}

impl Held {
    pub(super) fn push(&mut self, kind: Kind, item: Item) {
        self.bytes += item.size();
        self.items.push_back((kind, item));
        if kind == Kind::Video {
            self.since
                .get_or_insert_with(|| gst::SystemClock::obtain().time());
        } else if self.since.is_none()
            && self.items.len() > MOST_AUDIO
            && let Some((_, item)) = self.items.pop_front()
        {
            self.bytes -= item.size();
        }
    }

    /// Whether what is missing was waited for long enough.
    pub(super) fn is_enough(&self, now: gst::ClockTime) -> bool {
        self.bytes > MOST_BYTES || self.since.is_some_and(|since| now >= since + AUDIO_GRACE)
    }

    pub(super) fn begin_release(&mut self) -> VecDeque<(Kind, Item)> {
        self.phase = Phase::Releasing;
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }

    pub(super) fn end_release(&mut self) {
        self.phase = Phase::Released;
    }

    pub(super) fn is_releasing(&self) -> bool {
        self.phase == Phase::Releasing
    }

    pub(super) fn is_released(&self) -> bool {
        self.phase == Phase::Released
    }
}
