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
    items: VecDeque<Part>,
    bytes: usize,
    /// When the first picture came.
    since: Option<gst::ClockTime>,
    phase: Phase,
    /// The caps that the pads had when they were set back to those of the first part.
    newest: Vec<(Kind, gst::Caps)>,
}

/// What came, and the caps that it came with: newer ones reach the pad at once.
pub(super) struct Part {
    pub(super) kind: Kind,
    pub(super) item: Item,
    caps: Option<gst::Caps>,
}

impl Part {
    /// Sends it through a pad, which is given its caps before.
    pub(super) fn send(self, pad: &gst::GhostPad) {
        give(pad, self.caps.as_ref());
        self.item.send(pad.upcast_ref());
    }
}

/// Gives a pad other caps than it has.
pub(super) fn give(pad: &gst::GhostPad, caps: Option<&gst::Caps>) {
    if let Some(caps) = caps
        && pad.current_caps().as_ref() != Some(caps)
    {
        pad.push_event(gst::event::Caps::new(caps));
    }
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
    fn send(self, pad: &gst::Pad) {
        match self {
            Self::Buffer(buffer) => drop(pad.push(buffer)),
            Self::List(list) => drop(pad.push_list(list)),
        }
    }
}

impl Held {
    pub(super) fn push(&mut self, kind: Kind, item: Item, caps: Option<gst::Caps>) {
        self.bytes += item.size();
        self.items.push_back(Part { kind, item, caps });
        if kind == Kind::Video {
            self.since
                .get_or_insert_with(|| gst::SystemClock::obtain().time());
        } else if self.since.is_none()
            && self.items.len() > MOST_AUDIO
            && let Some(part) = self.items.pop_front()
        {
            self.bytes -= part.item.size();
        }
    }

    /// Whether what is missing was waited for long enough.
    pub(super) fn is_enough(&self, now: gst::ClockTime) -> bool {
        self.bytes > MOST_BYTES || self.since.is_some_and(|since| now >= since + AUDIO_GRACE)
    }

    /// The caps of the first part of a track. `now` is what its pad has, to be told again by
    /// [`newest`](Self::newest).
    pub(super) fn set_back(&mut self, kind: Kind, now: Option<gst::Caps>) -> Option<gst::Caps> {
        let first = self.items.iter().find(|part| part.kind == kind)?.caps.clone();
        self.newest.extend(now.map(|caps| (kind, caps)));
        first
    }

    /// The caps that pads had before they were set back.
    pub(super) fn newest(&mut self) -> Vec<(Kind, gst::Caps)> {
        std::mem::take(&mut self.newest)
    }

    pub(super) fn begin_release(&mut self) -> VecDeque<Part> {
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
