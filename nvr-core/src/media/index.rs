//! The fragment index of a segment: where each `moof`+`mdat` pair lies and which time it covers.
//!
//! Times are nanoseconds from the presentation of the segment's first video frame, on the video track's
//! clock. A fragment that starts with a keyframe starts exactly at that frame's presentation; the others
//! follow it by decode time. So without reordering (B-frames) all starts are presentation times; with it
//! a frame near the edge of a fragment may be presented up to the reorder delay later than the
//! fragment's stretch says, and the stretches still tile the time line.

use std::ops::Range;

use super::boxes::{Reader, corrupt};
use super::tlv::{put_varint, unzigzag, varint, zigzag};
use crate::error::{Error, ErrorKind, Result};
use crate::time::NS_PER_S;

/// One `moof`+`mdat` pair ("chunk" in CMAF), with the `styp`, `prft` or `emsg` right before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fragment {
    /// Offset in the file.
    pub offset: u64,
    /// Size in bytes.
    pub size: u32,
    /// Start in nanoseconds from the first video frame's presentation; never falls from one fragment
    /// to the next. Without video: where the fragment before it ends.
    pub start_ns: i64,
    /// Sum of its video frames' durations in nanoseconds; 0 without video.
    pub duration_ns: i64,
    /// Whether its first video sample is a sync sample.
    pub keyframe: bool,
}

impl Fragment {
    /// Offset of the byte behind it.
    #[must_use]
    pub const fn end_offset(&self) -> u64 {
        self.offset.saturating_add(self.size as u64)
    }

    /// The bytes that it covers.
    #[must_use]
    pub const fn bytes(&self) -> Range<u64> {
        self.offset..self.end_offset()
    }

    /// End in nanoseconds from the first video frame's presentation.
    #[must_use]
    pub const fn end_ns(&self) -> i64 {
        self.start_ns.saturating_add(self.duration_ns)
    }
}

/// The fragments of one file in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FragmentIndex {
    /// Bytes before the first fragment: `ftyp`, `moov`, the description and whatever else is there.
    pub header_len: u64,
    /// Ticks per second of the video track; 0 while unknown.
    pub timescale: u32,
    /// Presentation time (decode time plus composition offset) of the first video frame on the video
    /// track's own clock, in ticks: time 0 of this index.
    pub media_start: i64,
    /// The fragments; offsets rise without overlap, starts never fall.
    pub fragments: Vec<Fragment>,
}

/// Version of the blob.
const VERSION: u8 = 1;

/// Largest blob that is read: room for days of chunks.
pub const MAX_BLOB_BYTES: usize = 64 << 20;

const KEYFRAME: u64 = 1;
/// Does not follow on its predecessor in place or time: two gaps are stored.
const IRREGULAR: u64 = 2;

impl FragmentIndex {
    /// Offset of the byte behind the last fragment; `header_len` when there is none.
    #[must_use]
    pub fn tail_offset(&self) -> u64 {
        self.fragments
            .last()
            .map_or(self.header_len, Fragment::end_offset)
    }

    /// Nanoseconds from the first video frame's start to the last one's end; 0 without fragments.
    #[must_use]
    pub fn duration_ns(&self) -> i64 {
        self.fragments.iter().map(Fragment::end_ns).max().unwrap_or(0)
    }

    /// Number of the last fragment with video that starts at or before `t_ns`.
    #[must_use]
    pub fn at_or_before(&self, t_ns: i64) -> Option<usize> {
        self.last_before(t_ns, |f| f.duration_ns > 0)
    }

    /// Number of the fragment whose stretch of time holds `t_ns`; `None` outside the file and in a gap.
    #[must_use]
    pub fn containing(&self, t_ns: i64) -> Option<usize> {
        self.at_or_before(t_ns)
            .filter(|&i| t_ns < self.fragments[i].end_ns())
    }

    /// Number of the last fragment that starts with a keyframe at or before `t_ns`: where decoding must
    /// begin to show `t_ns`.
    #[must_use]
    pub fn keyframe_at_or_before(&self, t_ns: i64) -> Option<usize> {
        self.last_before(t_ns, |f| f.keyframe)
    }

    /// Number of the first fragment that starts with a keyframe at or after `t_ns`.
    #[must_use]
    pub fn keyframe_at_or_after(&self, t_ns: i64) -> Option<usize> {
        let from = self.fragments.partition_point(|f| f.start_ns < t_ns);
        (from..self.fragments.len()).find(|&i| self.fragments[i].keyframe)
    }

    fn last_before(&self, t_ns: i64, wanted: impl Fn(&Fragment) -> bool) -> Option<usize> {
        let behind = self.fragments.partition_point(|f| f.start_ns <= t_ns);
        (0..behind).rev().find(|&i| wanted(&self.fragments[i]))
    }

    /// Packs the index: about 4 bytes per fragment when chunks follow each other, without loss.
    #[must_use]
    pub fn to_blob(&self) -> Vec<u8> {
        let exact = |t: i64, unit: u32| to_ns(to_ticks(t, unit), unit) == t;
        let fits = self.timescale > 0
            && self
                .fragments
                .iter()
                .all(|f| exact(f.start_ns, self.timescale) && exact(f.end_ns(), self.timescale));
        let unit = if fits { self.timescale } else { NS_PER_S as u32 };

        let mut out = Vec::with_capacity(32 + 5 * self.fragments.len());
        out.push(VERSION);
        put_varint(&mut out, self.header_len);
        put_varint(&mut out, u64::from(self.timescale));
        put_varint(&mut out, u64::from(unit));
        put_varint(&mut out, zigzag(self.media_start));
        put_varint(&mut out, self.fragments.len() as u64);
        let mut offset = self.header_len;
        let mut time = 0i64;
        let mut duration = 0i64;
        for f in &self.fragments {
            let start = to_ticks(f.start_ns, unit);
            let length = to_ticks(f.end_ns(), unit).wrapping_sub(start);
            let regular = f.offset == offset && start == time;
            put_varint(
                &mut out,
                u64::from(f.size) << 2
                    | if f.keyframe { KEYFRAME } else { 0 }
                    | if regular { 0 } else { IRREGULAR },
            );
            if !regular {
                put_varint(&mut out, f.offset.wrapping_sub(offset));
                put_varint(&mut out, zigzag(start.wrapping_sub(time)));
            }
            put_varint(&mut out, zigzag(length.wrapping_sub(duration)));
            offset = f.end_offset();
            time = start.wrapping_add(length);
            duration = length;
        }
        out
    }

    /// Unpacks what [`to_blob`](Self::to_blob) made.
    ///
    /// # Errors
    /// `Corrupt` when the blob is cut, has something behind its end or describes overlapping fragments
    /// or falling times; `Unsupported` when it is of another version.
    pub fn from_blob(blob: &[u8]) -> Result<Self> {
        Self::unpack(blob).map_err(|e| e.context("fragment index"))
    }

    fn unpack(blob: &[u8]) -> Result<Self> {
        if blob.len() > MAX_BLOB_BYTES {
            return Err(corrupt(format!("{} bytes are too many", blob.len())));
        }
        let mut r = Reader::new(blob);
        let version = r.u8()?;
        if version != VERSION {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("version {version} is not known"),
            ));
        }
        let header_len = varint(&mut r)?;
        let small = |n: u64| u32::try_from(n).map_err(|_| corrupt("timescale too large"));
        let timescale = small(varint(&mut r)?)?;
        let unit = small(varint(&mut r)?)?;
        let media_start = unzigzag(varint(&mut r)?);
        let count = usize::try_from(varint(&mut r)?).unwrap_or(usize::MAX);
        // Each fragment takes two bytes or more: a count that lies does not make us allocate.
        if count > r.rest().len() / 2 || unit == 0 {
            return Err(corrupt(format!("{count} fragments in {} bytes", r.rest().len())));
        }
        let mut fragments = Vec::with_capacity(count);
        let wrong = || corrupt("fragments that overlap or run backwards");
        let mut offset = header_len;
        let mut time = 0i64;
        let mut duration = 0i64;
        let mut last_start_ns = i64::MIN;
        for _ in 0..count {
            let word = varint(&mut r)?;
            if word & IRREGULAR != 0 {
                offset = offset.checked_add(varint(&mut r)?).ok_or_else(wrong)?;
                // As it was packed: the distance of two times may be more than a number holds. Whether
                // times fall is looked at below.
                time = time.wrapping_add(unzigzag(varint(&mut r)?));
            }
            duration = duration
                .checked_add(unzigzag(varint(&mut r)?))
                .ok_or_else(wrong)?;
            let end = time.checked_add(duration).ok_or_else(wrong)?;
            let start_ns = to_ns(time, unit);
            if duration < 0 || start_ns < last_start_ns {
                return Err(wrong());
            }
            last_start_ns = start_ns;
            let f = Fragment {
                offset,
                size: u32::try_from(word >> 2).map_err(|_| corrupt("fragment of 4 GiB or more"))?,
                start_ns,
                duration_ns: to_ns(end, unit).saturating_sub(start_ns),
                keyframe: word & KEYFRAME != 0,
            };
            offset = offset.checked_add(u64::from(f.size)).ok_or_else(wrong)?;
            time = end;
            fragments.push(f);
        }
        if !r.rest().is_empty() {
            return Err(corrupt(format!("{} bytes behind its end", r.rest().len())));
        }
        Ok(Self {
            header_len,
            timescale,
            media_start,
            fragments,
        })
    }
}

/// Ticks as nanoseconds, rounded to the nearest, saturating.
pub(super) fn to_ns(ticks: i64, timescale: u32) -> i64 {
    scale(ticks, NS_PER_S, i64::from(timescale.max(1)))
}

/// Nanoseconds as ticks, rounded to the nearest, saturating; undoes [`to_ns`] up to 1 GHz.
pub(super) fn to_ticks(ns: i64, timescale: u32) -> i64 {
    scale(ns, i64::from(timescale), NS_PER_S)
}

fn scale(n: i64, by: i64, over: i64) -> i64 {
    // Nearly always it fits, and dividing 128 bits takes ten times as long.
    if let Some(fits) = n.checked_mul(2 * by).and_then(|n| n.checked_add(over)) {
        return fits.div_euclid(2 * over);
    }
    let over = i128::from(over);
    let scaled = (2 * i128::from(n) * i128::from(by) + over).div_euclid(2 * over);
    i64::try_from(scaled).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticking(timescale: u32, chunk: u32, count: usize) -> FragmentIndex {
        let mut offset = 1234;
        let fragments = (0..count)
            .map(|i| {
                let size = 80_000 + (i as u32 * 7919) % 40_000;
                let start_ns = to_ns(i as i64 * i64::from(chunk), timescale);
                let f = Fragment {
                    offset,
                    size,
                    start_ns,
                    duration_ns: to_ns((i as i64 + 1) * i64::from(chunk), timescale) - start_ns,
                    keyframe: i % 10 == 0,
                };
                offset += u64::from(size);
                f
            })
            .collect();
        FragmentIndex {
            header_len: 1234,
            timescale,
            media_start: 7,
            fragments,
        }
    }

    #[test]
    fn four_bytes_per_fragment() {
        for timescale in [90_000, 30_000, 12_800] {
            let index = ticking(timescale, timescale / 5, 4500);
            let blob = index.to_blob();
            assert!(blob.len() < 4 * 4500 + 32, "{} bytes", blob.len());
            assert_eq!(FragmentIndex::from_blob(&blob).unwrap(), index);
        }
    }

    /// Found by fuzzing: times further apart than a number holds came back as an error.
    #[test]
    fn times_at_both_ends_of_all_times_are_packed() {
        let fragment = |offset, start_ns| Fragment {
            offset,
            size: 10,
            start_ns,
            duration_ns: 5,
            keyframe: true,
        };
        let index = FragmentIndex {
            header_len: 0,
            timescale: 0,
            media_start: 0,
            fragments: vec![fragment(0, i64::MIN + 1), fragment(10, i64::MAX - 10)],
        };
        assert_eq!(FragmentIndex::from_blob(&index.to_blob()).unwrap(), index);
    }

    #[test]
    fn lookups() {
        let mut index = ticking(90_000, 18_000, 20);
        let ms = |n: i64| n * 1_000_000;
        assert_eq!(index.duration_ns(), ms(4000));
        assert_eq!(index.containing(0), Some(0));
        assert_eq!(index.containing(-1), None);
        assert_eq!(index.containing(ms(200) - 1), Some(0));
        assert_eq!(index.containing(ms(200)), Some(1));
        assert_eq!(index.containing(ms(4000)), None);
        assert_eq!(index.at_or_before(ms(9000)), Some(19));
        assert_eq!(index.keyframe_at_or_before(ms(1999)), Some(0));
        assert_eq!(index.keyframe_at_or_before(ms(2000)), Some(10));
        assert_eq!(index.keyframe_at_or_before(-1), None);
        assert_eq!(index.keyframe_at_or_after(1), Some(10));
        assert_eq!(index.keyframe_at_or_after(ms(2001)), None);

        // Audio alone between two fragments with video.
        index.fragments[7].duration_ns = 0;
        index.fragments[7].start_ns = ms(1600);
        assert_eq!(index.containing(ms(1600)), Some(8));
        assert_eq!(index.containing(ms(1500)), None, "a gap");
        assert_eq!(FragmentIndex::default().containing(0), None);
        assert_eq!(FragmentIndex::default().duration_ns(), 0);
    }

    prop_compose! {
        fn any_index()(
            header_len in 0..1u64 << 40,
            timescale in prop_oneof![Just(90_000u32), Just(12_800), Just(0), any::<u32>()],
            media_start in any::<i64>(),
            exact in any::<bool>(),
            rows in prop::collection::vec(
                (0u64..4, any::<u32>(), -3i64..50_000, 0i64..200_000, any::<bool>()), 0..60),
        ) -> FragmentIndex {
            let mut offset = header_len;
            let mut end = 0i64;
            let mut last_start = 0i64;
            let unit = if exact { timescale.max(1) } else { NS_PER_S as u32 };
            let fragments = rows.into_iter().map(|(gap, size, time_gap, length, keyframe)| {
                offset += gap.saturating_sub(2);
                let start = (end + time_gap.max(if keyframe { -3 } else { 0 })).max(last_start);
                last_start = start;
                end = start + length;
                let f = Fragment {
                    offset, size, keyframe,
                    start_ns: to_ns(start, unit),
                    duration_ns: to_ns(end, unit) - to_ns(start, unit),
                };
                offset += u64::from(size);
                f
            }).collect();
            FragmentIndex { header_len, timescale, media_start, fragments }
        }
    }

    proptest! {
        #[test]
        fn blobs_round_trip(index in any_index()) {
            prop_assert_eq!(FragmentIndex::from_blob(&index.to_blob()).unwrap(), index);
        }

        #[test]
        fn damaged_blobs_do_not_panic(
            index in any_index(),
            hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut blob = index.to_blob();
            prop_assert!(FragmentIndex::from_blob(&blob[..cut.index(blob.len())]).is_err());
            for (at, byte) in hits {
                let at = at.index(blob.len());
                blob[at] = byte;
            }
            if let Ok(read) = FragmentIndex::from_blob(&blob) {
                prop_assert!(read.fragments.is_sorted_by_key(|f| f.start_ns));
                prop_assert!(read.fragments.windows(2).all(|w| w[0].end_offset() <= w[1].offset));
                prop_assert_eq!(FragmentIndex::from_blob(&read.to_blob()).unwrap(), read);
            }
        }

        #[test]
        fn garbage_does_not_panic(mut blob in prop::collection::vec(any::<u8>(), 1..200)) {
            blob[0] = VERSION;
            let _ = FragmentIndex::from_blob(&blob);
        }

        #[test]
        fn ticks_and_back(ticks in -(1i64 << 50)..1i64 << 50, timescale in 1u32..1_000_000_000) {
            prop_assume!(ticks.checked_mul(NS_PER_S / i64::from(timescale) + 1).is_some());
            prop_assert_eq!(to_ticks(to_ns(ticks, timescale), timescale), ticks);
        }
    }
}
