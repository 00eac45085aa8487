//! How far an H.264 stream reorders its pictures, by its sequence parameter set (ITU-T H.264, 7.3.2.1.1 and annex
//! E). Bytes only.

/// What a parameter set says of reordering.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reorder {
    /// Pictures come in the order in which they are shown.
    None,
    /// So many frames at most come before one that is shown earlier.
    Declared(u32),
    /// It does not say.
    Unknown,
}

/// The first parameter set in an `avcC` record (ISO/IEC 14496-15, 5.3.3.1).
fn sps_of(record: &[u8]) -> Option<&[u8]> {
    let count = *record.get(5)? & 0x1F;
    let length = usize::from(u16::from_be_bytes([*record.get(6)?, *record.get(7)?]));
    record.get(8..8 + length).filter(|_| count > 0)
}

/// Reads an `avcC` record: the first parameter set in it.
pub(super) fn reorder_of_avcc(record: &[u8]) -> Reorder {
    sps_of(record)
        .and_then(reorder_of_sps)
        .unwrap_or(Reorder::Unknown)
}

/// Whether the first parameter set of an `avcC` record says that luma uses all values from 0 to 255 (E.2.1,
/// `video_full_range_flag`).
pub(in crate::gst) fn is_full_range(record: &[u8]) -> bool {
    let read = || {
        let mut bits = Bits::new(sps_of(record)?.get(1..)?);
        bits.head()?;
        if !bits.has_vui()? {
            return Some(false);
        }
        bits.full_range()
    };
    read().unwrap_or(false)
}

/// Reads a parameter set with its NAL header; `None` when it is cut or of no known form.
pub(super) fn reorder_of_sps(nal: &[u8]) -> Option<Reorder> {
    let mut bits = Bits::new(nal.get(1..)?);
    if bits.head()? {
        return Some(Reorder::None);
    }
    if !bits.has_vui()? {
        return Some(Reorder::Unknown);
    }
    Some(match bits.reorder_of_vui()? {
        None => Reorder::Unknown,
        Some(0) => Reorder::None,
        Some(n) => Reorder::Declared(n),
    })
}

/// Bits of a NAL unit without the emulation prevention bytes (7.4.1).
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    fn new(nal: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(nal.len().min(1024));
        let mut zeros = 0;
        // No parameter set that matters here is longer.
        for &b in nal.iter().take(1024) {
            if zeros >= 2 && b == 3 {
                zeros = 0;
                continue;
            }
            zeros = if b == 0 { zeros + 1 } else { 0 };
            bytes.push(b);
        }
        Self { bytes, at: 0 }
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// Exp-Golomb code (9.1).
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.take(zeros)?)
    }

    fn scaling_list(&mut self, size: u32) -> Option<()> {
        let (mut last, mut next) = (8i64, 8i64);
        for _ in 0..size {
            if next != 0 {
                let code = i64::from(self.ue()?);
                let delta = if code % 2 == 1 {
                    (code + 1) / 2
                } else {
                    -(code / 2)
                };
                next = (last + delta + 256).rem_euclid(256);
            }
            if next != 0 {
                last = next;
            }
        }
        Some(())
    }

    fn hrd(&mut self) -> Option<()> {
        let count = self.ue()?;
        self.take(8)?;
        for _ in 0..=count.min(31) {
            self.ue()?;
            self.ue()?;
            self.take(1)?;
        }
        self.take(20)?;
        Some(())
    }

    /// Reads up to what tells the order of pictures; true when it cannot differ from that of decoding.
    fn head(&mut self) -> Option<bool> {
        let profile = self.take(8)?;
        let constraints = self.take(8)?;
        self.take(8)?;
        self.ue()?;
        if matches!(
            profile,
            100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
        ) {
            let chroma = self.ue()?;
            if chroma == 3 {
                self.take(1)?;
            }
            self.ue()?;
            self.ue()?;
            self.take(1)?;
            if self.take(1)? == 1 {
                for list in 0..if chroma == 3 { 12 } else { 8 } {
                    if self.take(1)? == 1 {
                        self.scaling_list(if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        self.ue()?;
        let order_type = self.ue()?;
        match order_type {
            0 => {
                self.ue()?;
            }
            1 => {
                self.take(1)?;
                self.ue()?;
                self.ue()?;
                let cycle = self.ue()?;
                for _ in 0..cycle.min(255) {
                    self.ue()?;
                }
            }
            2 => {}
            _ => return None,
        }
        // 8.2.1.3: with type 2 output order is decoding order. Baseline has no B slices.
        let constraint_set3 = constraints & 0x10 != 0;
        let intra_only = constraint_set3 && matches!(profile, 44 | 86 | 100 | 110 | 122 | 244);
        Some(order_type == 2 || profile == 66 || intra_only)
    }

    /// Reads on up to the VUI; whether there is one.
    fn has_vui(&mut self) -> Option<bool> {
        self.ue()?;
        self.take(1)?;
        self.ue()?;
        self.ue()?;
        if self.take(1)? == 0 {
            self.take(1)?;
        }
        self.take(1)?;
        if self.take(1)? == 1 {
            for _ in 0..4 {
                self.ue()?;
            }
        }
        Some(self.take(1)? == 1)
    }

    /// `video_full_range_flag` of the VUI (E.1.1).
    fn full_range(&mut self) -> Option<bool> {
        if self.take(1)? == 1 && self.take(8)? == 255 {
            self.take(32)?;
        }
        if self.take(1)? == 1 {
            self.take(1)?;
        }
        if self.take(1)? == 0 {
            return Some(false);
        }
        self.take(3)?;
        Some(self.take(1)? == 1)
    }

    /// `max_num_reorder_frames` of the VUI (E.1.1), if it is there.
    fn reorder_of_vui(&mut self) -> Option<Option<u32>> {
        if self.take(1)? == 1 && self.take(8)? == 255 {
            self.take(32)?;
        }
        if self.take(1)? == 1 {
            self.take(1)?;
        }
        if self.take(1)? == 1 {
            self.take(4)?;
            if self.take(1)? == 1 {
                self.take(24)?;
            }
        }
        if self.take(1)? == 1 {
            self.ue()?;
            self.ue()?;
        }
        if self.take(1)? == 1 {
            self.take(32)?;
            self.take(32)?;
            self.take(1)?;
        }
        let nal_hrd = self.take(1)? == 1;
        if nal_hrd {
            self.hrd()?;
        }
        let vcl_hrd = self.take(1)? == 1;
        if vcl_hrd {
            self.hrd()?;
        }
        if nal_hrd || vcl_hrd {
            self.take(1)?;
        }
        self.take(1)?;
        if self.take(1)? == 0 {
            return Some(None);
        }
        self.take(1)?;
        for _ in 0..4 {
            self.ue()?;
        }
        Some(Some(self.ue()?))
    }
}

/// For tests: the same `avcC` record with a parameter set that has no VUI.
#[cfg(test)]
pub(super) fn without_vui(record: &[u8]) -> Vec<u8> {
    let length = usize::from(u16::from_be_bytes([record[6], record[7]]));
    let nal = &record[8..8 + length];
    let mut bits = Bits::new(&nal[1..]);
    // Find where the VUI begins by reading up to it, as above.
    let full = Bits::new(&nal[1..]);
    let mut probe = 0;
    // The flag is the last bit before which the set still parses with "no VUI" put there.
    for at in 0..full.bytes.len() * 8 {
        let mut cut = full.bytes.clone();
        cut[at / 8] &= !(0x80 >> (at % 8));
        cut.truncate(at / 8 + 1);
        let mut whole = vec![nal[0]];
        whole.extend(&cut);
        if reorder_of_sps(&whole) == Some(Reorder::Unknown) {
            probe = at;
            break;
        }
    }
    assert!(probe > 0, "no VUI in it");
    let mut out = Vec::new();
    for at in 0..probe {
        let bit = bits.take(1).unwrap() as u8;
        if at % 8 == 0 {
            out.push(0);
        }
        *out.last_mut().unwrap() |= bit << (7 - at % 8);
    }
    // The flag 0, then the stop bit.
    for (at, bit) in [(probe, 0u8), (probe + 1, 1)] {
        if at % 8 == 0 {
            out.push(0);
        }
        *out.last_mut().unwrap() |= bit << (7 - at % 8);
    }
    let mut escaped = vec![nal[0]];
    let mut zeros = 0;
    for b in out {
        if zeros >= 2 && b <= 3 {
            escaped.push(3);
            zeros = 0;
        }
        zeros = if b == 0 { zeros + 1 } else { 0 };
        escaped.push(b);
    }
    let mut new = record[..6].to_vec();
    new.extend(u16::try_from(escaped.len()).unwrap().to_be_bytes());
    new.extend(escaped);
    new.extend(&record[8 + length..]);
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes bits and codes, for parameter sets made by hand.
    #[derive(Default)]
    struct Writer(Vec<bool>);

    impl Writer {
        fn put(mut self, value: u32, count: u32) -> Self {
            self.0.extend((0..count).rev().map(|i| value >> i & 1 == 1));
            self
        }
        fn ue(self, value: u32) -> Self {
            let length = 32 - (value + 1).leading_zeros();
            self.put(0, length - 1).put(value + 1, length)
        }
        fn nal(mut self) -> Vec<u8> {
            self.0.push(true);
            let mut bytes = vec![0x67];
            for chunk in self.0.chunks(8) {
                bytes.push(
                    chunk
                        .iter()
                        .enumerate()
                        .fold(0, |b, (i, &x)| b | u8::from(x) << (7 - i)),
                );
            }
            bytes
        }
    }

    /// Up to the VUI flag: 640x368.
    fn head(profile: u32, order_type: u32) -> Writer {
        let w = Writer::default().put(profile, 8).put(0, 8).put(30, 8).ue(0);
        let w = if profile == 100 {
            w.ue(1).ue(0).ue(0).put(0, 2)
        } else {
            w
        };
        let w = w.ue(0).ue(order_type);
        let w = if order_type == 0 { w.ue(2) } else { w };
        w.ue(1).put(0, 1).ue(39).ue(22).put(1, 1).put(1, 1).put(0, 1)
    }

    fn vui(w: Writer, restriction: Option<u32>) -> Vec<u8> {
        let w = w
            .put(1, 1)
            .put(0, 4)
            .put(1, 1)
            .put(1, 32)
            .put(50, 32)
            .put(1, 1)
            .put(0, 3);
        match restriction {
            None => w.put(0, 1),
            Some(n) => w.put(1, 1).put(1, 1).ue(0).ue(0).ue(11).ue(11).ue(n).ue(4),
        }
        .nal()
    }

    #[test]
    fn reordering_is_read_from_what_cameras_send() {
        let read = |nal: &[u8]| reorder_of_sps(nal).unwrap();
        assert_eq!(read(&head(66, 0).put(0, 1).nal()), Reorder::None);
        assert_eq!(read(&head(100, 2).put(0, 1).nal()), Reorder::None);
        assert_eq!(read(&head(100, 0).put(0, 1).nal()), Reorder::Unknown);
        assert_eq!(read(&head(77, 0).put(0, 1).nal()), Reorder::Unknown);
        assert_eq!(read(&vui(head(100, 0), None)), Reorder::Unknown);
        assert_eq!(read(&vui(head(100, 0), Some(0))), Reorder::None);
        assert_eq!(read(&vui(head(77, 0), Some(2))), Reorder::Declared(2));
        assert_eq!(reorder_of_avcc(&[1, 66, 0, 30, 255]), Reorder::Unknown);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = reorder_of_sps(&data);
            let _ = reorder_of_avcc(&data);
        }
    }
}
