//! What lets players seek in a fragmented clip without reading it: `sidx` in front, `mfra` at the end.

use crate::media::boxes::BoxWriter;

/// A keyframe at the start of a fragment.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeekPoint {
    /// Presentation time on the track's media time line, ticks.
    pub pts: i64,
    /// Offset of its fragment from that of the first one.
    pub at: u64,
}

/// Most entries of a `sidx`.
const MOST_ENTRIES: usize = u16::MAX as usize;

/// The segment index (ISO/IEC 14496-12, 8.16.3): one entry per keyframe. Times are those of presentation, so
/// what the edit list leaves out before `start` counts nothing. `end_at` is the end of the last fragment.
///
/// Empty when a size does not fit (2 GiB between two keyframes).
pub(super) fn sidx(
    track_id: u32,
    timescale: u32,
    points: &[SeekPoint],
    (start, end): (i64, i64),
    end_at: u64,
) -> Vec<u8> {
    let step = points.len().div_ceil(MOST_ENTRIES).max(1);
    let starts: Vec<SeekPoint> = points.iter().copied().step_by(step).collect();
    let mut entries = Vec::with_capacity(starts.len());
    for (i, p) in starts.iter().enumerate() {
        let next = starts
            .get(i + 1)
            .copied()
            .unwrap_or(SeekPoint { pts: end, at: end_at });
        let ticks = next.pts.max(start).saturating_sub(p.pts.max(start));
        let (Ok(ticks), Ok(size)) = (u32::try_from(ticks), u32::try_from(next.at.saturating_sub(p.at)))
        else {
            return Vec::new();
        };
        if size >= 1 << 31 {
            return Vec::new();
        }
        entries.push((size, ticks));
    }
    let mut w = BoxWriter::new();
    w.full(b"sidx", 1, 0, |w| {
        w.u32(track_id).u32(timescale).u64(0).u64(0).u16(0);
        w.u16(entries.len() as u16);
        for &(size, ticks) in &entries {
            // Starts with a stream access point of type 1.
            w.u32(size).u32(ticks).u32(0x9000_0000);
        }
    });
    w.into_bytes()
}

/// The random access index (14496-12, 8.8.9). `base` is the offset of the first fragment, which like all
/// others has to begin with its `moof`.
pub(super) fn mfra(track_id: u32, points: &[SeekPoint], base: u64) -> Vec<u8> {
    let mut w = BoxWriter::new();
    w.boxed(b"mfra", |w| {
        w.full(b"tfra", 1, 0, |w| {
            // Numbers of traf, trun and sample take one byte each.
            w.u32(track_id).u32(0).u32(points.len() as u32);
            for p in points {
                w.u64(u64::try_from(p.pts).unwrap_or(0)).u64(base + p.at);
                w.bytes(&[1, 1, 1]);
            }
        });
        let size = w.position() as u32 + 16;
        w.full(b"mfro", 0, 0, |w| {
            w.u32(size);
        });
    });
    w.into_bytes()
}
