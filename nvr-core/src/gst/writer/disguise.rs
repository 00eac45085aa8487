//! The made-up time line that splitmuxsink is shown, and the way back from it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use gst::prelude::*;

use super::{Unit, subtract_waiting};
use crate::gst::guard::guarded;

/// Added to all running times, so that decoding times before zero can be written (as the timestampers do).
pub(crate) const OFFSET: gst::ClockTime = gst::ClockTime::from_seconds(1000 * 3600);

/// The nearest multiple of 1/90000 s, the unit of the file: then neither durations nor offsets are rounded
/// again, which would add up over a chunk.
pub(super) fn on_grid(ns: i64) -> i64 {
    let ticks = (i128::from(ns) * 9 + 50_000).div_euclid(100_000);
    // Rounded up, for the muxer rounds down.
    i64::try_from((ticks * 100_000 + 8).div_euclid(9)).unwrap_or(ns)
}

/// A unit's buffer with its times and flags put away.
pub(super) fn disguised(unit: &Unit) -> gst::Buffer {
    let mut buffer = unit.buffer.clone();
    // Copies the description, not the bytes: the memories are shared.
    let b = buffer.make_mut();
    b.set_offset((OFFSET.nseconds() as i64).saturating_add(unit.pts_ns) as u64);
    b.set_offset_end((OFFSET.nseconds() as i64).saturating_add(unit.dts_ns) as u64);
    b.set_duration(unit.duration);
    b.unset_flags(gst::BufferFlags::DELTA_UNIT | gst::BufferFlags::MARKER);
    if !unit.keyframe {
        b.set_flags(gst::BufferFlags::MARKER);
    }
    buffer
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

/// Puts the truth back on the muxer's pad and takes the filler out.
pub(super) fn restore_times(pad: &gst::Pad, waiting_bytes: &Arc<AtomicU64>) {
    let waiting = waiting_bytes.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        guarded(
            "muxer probe",
            gst::PadProbeReturn::Ok,
            |_| {},
            || {
                let Some(buffer) = info.buffer_mut() else {
                    return gst::PadProbeReturn::Ok;
                };
                if buffer.offset() == gst::ffi::GST_BUFFER_OFFSET_NONE {
                    info.data = None;
                    return gst::PadProbeReturn::Handled;
                }
                let b = buffer.make_mut();
                b.set_pts(gst::ClockTime::from_nseconds(b.offset()));
                b.set_dts(gst::ClockTime::from_nseconds(b.offset_end()));
                if b.flags().contains(gst::BufferFlags::MARKER) {
                    b.unset_flags(gst::BufferFlags::MARKER);
                    b.set_flags(gst::BufferFlags::DELTA_UNIT);
                }
                subtract_waiting(&waiting, b.size() as u64);
                gst::PadProbeReturn::Ok
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
