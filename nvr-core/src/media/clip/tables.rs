//! Sample tables of a progressive file (ISO/IEC 14496-12, 8.6 and 8.7), built sample by sample.

use crate::media::boxes::BoxWriter;

/// The tables of one track.
#[derive(Clone, Debug, Default)]
pub(super) struct SampleTable {
    /// Count and duration.
    times: Vec<(u32, u32)>,
    /// Count and composition offset.
    offsets: Vec<(u32, i32)>,
    sizes: Vec<u32>,
    /// Numbers of the sync samples, from 1.
    sync: Vec<u32>,
    /// Offset of each chunk from the start of the sample data, and its number of samples.
    chunks: Vec<(u64, u32)>,
    first_dts: Option<i64>,
    last_dts: i64,
    last_duration: u32,
}

impl SampleTable {
    /// A chunk begins at this offset in the sample data.
    pub fn begin_chunk(&mut self, offset: u64) {
        self.chunks.push((offset, 0));
    }

    /// The next sample. Its decode time is moved behind its predecessor's where it is not; the presentation
    /// time stays.
    pub fn push(&mut self, dts: i64, pts: i64, duration: u32, size: u32, sync: bool) {
        let dts = match self.first_dts {
            None => {
                self.first_dts = Some(dts);
                dts
            }
            Some(_) => {
                let dts = dts.max(self.last_dts.saturating_add(1));
                let delta = u32::try_from(dts.saturating_sub(self.last_dts)).unwrap_or(u32::MAX);
                self.close(delta);
                dts
            }
        };
        self.last_dts = dts;
        self.last_duration = duration;
        let offset = i32::try_from(pts.saturating_sub(dts)).unwrap_or(0);
        match self.offsets.last_mut() {
            Some((n, o)) if *o == offset => *n += 1,
            _ => self.offsets.push((1, offset)),
        }
        self.sizes.push(size);
        if sync {
            self.sync.push(self.sizes.len() as u32);
        }
        if let Some((_, n)) = self.chunks.last_mut() {
            *n += 1;
        }
    }

    fn close(&mut self, duration: u32) {
        match self.times.last_mut() {
            Some((n, d)) if *d == duration => *n += 1,
            _ => self.times.push((1, duration)),
        }
    }

    /// To be called behind the last sample.
    pub fn finish(&mut self) {
        if self.first_dts.is_some() {
            self.close(self.last_duration);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Decode time of the first sample: the zero of the track's media time.
    pub fn first_dts(&self) -> i64 {
        self.first_dts.unwrap_or(0)
    }

    /// Negative composition offsets are not understood everywhere (and shifted by some): all are raised by
    /// this. A presentation time `t` is `t - first_dts + delay` on the track's media time.
    pub fn delay(&self) -> i64 {
        -self
            .offsets
            .iter()
            .map(|&(_, o)| i64::from(o))
            .min()
            .unwrap_or(0)
            .min(0)
    }

    /// Sum of the durations.
    pub fn duration(&self) -> u64 {
        self.times.iter().map(|&(n, d)| u64::from(n) * u64::from(d)).sum()
    }

    /// Writes all tables; chunk offsets count from `base`. The length does not depend on `base`.
    pub fn write(&self, w: &mut BoxWriter, base: u64, wide: bool) {
        w.full(b"stts", 0, 0, |w| {
            w.u32(self.times.len() as u32);
            for &(n, d) in &self.times {
                w.u32(n).u32(d);
            }
        });
        if self.offsets.iter().any(|&(_, o)| o != 0) {
            let delay = self.delay();
            w.full(b"ctts", 0, 0, |w| {
                w.u32(self.offsets.len() as u32);
                for &(n, o) in &self.offsets {
                    w.u32(n).u32((i64::from(o) + delay) as u32);
                }
            });
        }
        // Without the table all samples are sync samples.
        if self.sync.len() < self.sizes.len() {
            w.full(b"stss", 0, 0, |w| {
                w.u32(self.sync.len() as u32);
                for &n in &self.sync {
                    w.u32(n);
                }
            });
        }
        w.full(b"stsc", 0, 0, |w| self.write_chunk_sizes(w));
        w.full(b"stsz", 0, 0, |w| {
            w.u32(0).u32(self.sizes.len() as u32);
            for &n in &self.sizes {
                w.u32(n);
            }
        });
        w.full(if wide { b"co64" } else { b"stco" }, 0, 0, |w| {
            w.u32(self.chunks.len() as u32);
            for &(offset, _) in &self.chunks {
                if wide {
                    w.u64(base + offset);
                } else {
                    w.u32((base + offset) as u32);
                }
            }
        });
    }

    fn write_chunk_sizes(&self, w: &mut BoxWriter) {
        let count_at = w.position();
        w.u32(0);
        let mut entries = 0;
        let mut last = None;
        for (i, &(_, n)) in self.chunks.iter().enumerate() {
            if last != Some(n) {
                w.u32(i as u32 + 1).u32(n).u32(1);
                last = Some(n);
                entries += 1;
            }
        }
        w.patch_u32(count_at, entries);
    }
}
