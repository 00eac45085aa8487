//! The made-up time line that splitmuxsink is shown, and the way back from it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;

use crate::gst::guard::guarded;

/// Added to all running times, so that decoding times before zero can be written (as the timestampers do).
pub(crate) const OFFSET: gst::ClockTime = gst::ClockTime::from_seconds(1000 * 3600);

/// What the muxer knows as a gap, when it is empty.
pub(super) const GAP: gst::BufferFlags = gst::BufferFlags::GAP.union(gst::BufferFlags::DROPPABLE);

/// The muxer ends its chunk before this buffer.
const CUT: gst::BufferFlags = gst::BufferFlags::RESYNC;

/// Offsets that tell apart what comes to the muxer's pad; filler has none.
const CARRIER: u64 = 1;
const UNIT: u64 = 2;

/// The nearest multiple of 1/90000 s, the unit of the file: then neither durations nor offsets are rounded
/// again, which would add up over a chunk.
pub(super) fn on_grid(ns: i64) -> i64 {
    let ticks = (i128::from(ns) * 9 + 50_000).div_euclid(100_000);
    // Rounded up, for the muxer rounds down.
    i64::try_from((ticks * 100_000 + 8).div_euclid(9)).unwrap_or(ns)
}

/// A unit on its way into a file; times are running times.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub buffer: gst::Buffer,
    pub pts_ns: i64,
    pub dts_ns: i64,
    pub duration: Option<gst::ClockTime>,
    pub keyframe: bool,
}

impl Unit {
    /// The buffer as the muxer wants it. `cut`: its chunk ends before this unit.
    pub(super) fn for_muxer(self, cut: bool) -> gst::Buffer {
        let clock = |ns: i64| {
            let ns = (OFFSET.nseconds() as i64).saturating_add(ns);
            gst::ClockTime::from_nseconds(ns.max(0) as u64)
        };
        let mut buffer = self.buffer;
        {
            // Copies the description, not the bytes: the memories are shared.
            let b = buffer.make_mut();
            b.set_pts(clock(self.pts_ns));
            b.set_dts(clock(self.dts_ns));
            b.set_duration(self.duration);
            b.set_offset(UNIT);
            b.unset_flags(gst::BufferFlags::DELTA_UNIT | GAP | CUT);
            if !self.keyframe {
                b.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
            if cut {
                b.set_flags(CUT);
            }
        }
        buffer
    }
}

/// An empty unit at a time, which the muxer counts and does not write.
pub(super) fn gap(pts_ns: i64, dts_ns: i64, keyframe: bool, cut: bool) -> gst::Buffer {
    let unit = Unit {
        buffer: gst::Buffer::new(),
        pts_ns,
        dts_ns,
        duration: None,
        keyframe,
    };
    let mut buffer = unit.for_muxer(cut);
    buffer.make_mut().set_flags(GAP);
    buffer
}

/// The event by which the muxer is told: a new chunk, or else a new fragment, begins with the next buffer.
fn cut_event(chunk: bool) -> gst::Event {
    let s = gst::Structure::builder("FMP4MuxSplitNow")
        .field("chunk", chunk)
        .build();
    gst::event::CustomDownstream::new(s)
}

/// One byte that goes nowhere: a group without bytes would not be passed on.
pub(super) fn filler(memory: &gst::Memory, delta: bool) -> gst::Buffer {
    let mut buffer = gst::Buffer::new();
    if let Some(b) = buffer.get_mut() {
        b.append_memory(memory.clone());
        if delta {
            b.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
    }
    buffer
}

pub(super) fn at(mut buffer: gst::Buffer, pts: u64, dts: u64) -> gst::Buffer {
    let b = buffer.make_mut();
    b.set_pts(gst::ClockTime::from_nseconds(pts));
    b.set_dts(gst::ClockTime::from_nseconds(dts));
    buffer
}

/// What stands for a batch of units on their way through splitmuxsink.
pub(super) fn carrier(memory: &gst::Memory) -> gst::Buffer {
    let mut buffer = filler(memory, false);
    buffer.make_mut().set_offset(CARRIER);
    buffer
}

/// Units of one track between the caller and the muxer's pad, a batch for each carrier.
#[derive(Debug, Default)]
pub(super) struct Batches(Mutex<VecDeque<Vec<gst::Buffer>>>);

impl Batches {
    pub(super) fn push(&self, batch: Vec<gst::Buffer>) {
        self.lock().push_back(batch);
    }

    fn pop(&self) -> Vec<gst::Buffer> {
        self.lock().pop_front().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Vec<gst::Buffer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unpacks the carriers on the muxer's pad and takes the filler out. Where a unit is marked, the muxer's chunk
/// ends before it; on the video pad its fragment, too, when it is a sync point.
pub(super) fn unpack(pad: &gst::Pad, video: bool, batches: &Arc<Batches>, waiting_bytes: &Arc<AtomicU64>) {
    let (batches, waiting) = (batches.clone(), waiting_bytes.clone());
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        guarded(
            "muxer probe",
            gst::PadProbeReturn::Ok,
            |_| {},
            || {
                let Some(offset) = info.buffer().map(|b| b.offset()) else {
                    return gst::PadProbeReturn::Ok;
                };
                if offset == UNIT {
                    return gst::PadProbeReturn::Ok;
                }
                // Taken and handled; `Drop` would complain about each one.
                info.data = None;
                if offset == CARRIER {
                    for buffer in batches.pop() {
                        let size = buffer.size() as u64;
                        if buffer.flags().contains(CUT) {
                            let fragment = video && !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
                            pad.send_event(cut_event(!fragment));
                        }
                        info.flow_res = pad.chain(buffer);
                        let _ = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |w| {
                            Some(w.saturating_sub(size))
                        });
                        if info.flow_res.is_err() {
                            break;
                        }
                    }
                }
                gst::PadProbeReturn::Handled
            },
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_the_files_and_survives_the_muxers_rounding() {
        for ns in (0..2_000_000_000i64)
            .step_by(7_919_333)
            .chain([-1, -80_000_000, 1 << 60])
        {
            let g = on_grid(ns);
            assert!((g - ns).abs() <= 5557, "{ns} {g}");
            let ticks = i128::from(g) * 90_000;
            let floor = ticks.div_euclid(1_000_000_000);
            let round = (ticks + 500_000_000).div_euclid(1_000_000_000);
            assert_eq!(floor, round, "{ns}");
        }
    }
}
