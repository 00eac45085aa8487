//! Rewrites the timestamps of outgoing RTP packets, before the RTP session sees them, so that sender reports agree.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::faults::Faults;

/// The state of one track.
pub(crate) struct Rewriter {
    faults: Arc<Faults>,
    clock_rate: i64,
    video: bool,
    /// Timestamps of the current frame as it came and as it goes.
    current: Option<(u32, u32)>,
}

impl Rewriter {
    pub fn new(faults: Arc<Faults>, clock_rate: i64, video: bool) -> Self {
        Self {
            faults,
            clock_rate,
            video,
            current: None,
        }
    }

    /// True while there is nothing to do, so that buffers need not be made writable.
    pub fn idle(&self) -> bool {
        let f = &self.faults;
        f.shift_ns.load(Ordering::SeqCst) == 0
            && f.repeat.load(Ordering::SeqCst) == 0
            && f.backward.load(Ordering::SeqCst) == 0
    }

    /// Patches one packet; `buffer` begins with the RTP header.
    pub fn patch(&mut self, buffer: &mut gst::BufferRef) {
        if buffer.n_memory() == 0 {
            return;
        }
        let Ok(memory) = buffer.peek_memory_mut(0) else {
            return;
        };
        let Ok(mut map) = memory.map_writable() else {
            return;
        };
        let Some(field) = map.as_mut_slice().get_mut(4..8) else {
            return;
        };
        let came = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
        field.copy_from_slice(&self.timestamp(came).to_be_bytes());
    }

    /// Follows the packets when nothing is patched.
    pub fn observe(&mut self, came: u32) {
        self.current = Some((came, came));
    }

    fn timestamp(&mut self, came: u32) -> u32 {
        if let Some((last_came, goes)) = self.current
            && last_came == came
        {
            return goes;
        }
        let shift = self.ticks(self.faults.shift_ns.load(Ordering::SeqCst));
        let mut goes = came.wrapping_add(shift);
        if self.video {
            if let Some((_, last)) = self.current
                && Faults::take(&self.faults.repeat)
            {
                goes = last;
            } else if Faults::take(&self.faults.backward) {
                goes = goes.wrapping_sub(self.ticks(self.faults.backward_ns.load(Ordering::SeqCst)));
            }
        }
        self.current = Some((came, goes));
        goes
    }

    fn ticks(&self, ns: i64) -> u32 {
        let ticks = i128::from(ns) * i128::from(self.clock_rate) / 1_000_000_000;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "RTP timestamps are modulo 2^32"
        )]
        let wrapped = ticks as u32;
        wrapped
    }
}
