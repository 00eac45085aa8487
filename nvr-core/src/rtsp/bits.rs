//! Bits of parameter sets: fixed-length fields and Exp-Golomb codes, without the emulation prevention bytes.

/// No parameter set that matters is longer; what stands behind is not looked at.
const MAX_BYTES: usize = 4096;

/// A reader that ends with `None` rather than fail.
#[derive(Debug)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    /// Reads the payload of a NAL unit, given without its header (H.264, 7.4.1; H.265, 7.4.2).
    pub(super) fn of_nal(payload: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(payload.len().min(MAX_BYTES));
        let mut zeros = 0;
        for &b in payload.iter().take(MAX_BYTES) {
            if zeros >= 2 && b == 3 {
                zeros = 0;
                continue;
            }
            zeros = if b == 0 { zeros + 1 } else { 0 };
            bytes.push(b);
        }
        Self { bytes, at: 0 }
    }

    /// Reads bytes as they are.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.iter().take(MAX_BYTES).copied().collect(),
            at: 0,
        }
    }

    /// Up to 32 bits as a number.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    /// Passes over bits.
    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// Unsigned Exp-Golomb code (H.264, 9.1).
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.take(zeros)?)
    }

    /// Signed Exp-Golomb code (H.264, 9.1.1).
    pub(super) fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 1 {
            (code + 1) / 2
        } else {
            -(code / 2)
        })
    }
}

/// A frame rate as a reduced fraction, if it is one that a camera can have.
pub(super) fn frame_rate(numerator: u32, denominator: u32) -> Option<(u32, u32)> {
    let (n, d) = (u64::from(numerator), u64::from(denominator));
    // From one picture in a hundred seconds to 480 a second; the rest is rubbish in the field.
    if d == 0 || n == 0 || n > d * 480 || n * 100 < d {
        return None;
    }
    let (mut a, mut b) = (numerator, denominator);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Some((numerator / a, denominator / a))
}

/// Sample aspect ratios by `aspect_ratio_idc` (H.264 table E-1, the same in H.265).
pub(super) fn pixel_aspect(idc: u32) -> Option<(u32, u32)> {
    const TABLE: [(u32, u32); 16] = [
        (1, 1),
        (12, 11),
        (10, 11),
        (16, 11),
        (40, 33),
        (24, 11),
        (20, 11),
        (32, 11),
        (80, 33),
        (18, 11),
        (15, 11),
        (64, 33),
        (160, 99),
        (4, 3),
        (3, 2),
        (2, 1),
    ];
    TABLE.get(usize::try_from(idc.checked_sub(1)?).ok()?).copied()
}

/// Names of `chroma_format_idc` in caps.
pub(super) fn chroma_format(idc: u32) -> Option<&'static str> {
    ["4:0:0", "4:2:0", "4:2:2", "4:4:4"].get(idc as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_escapes() {
        let mut b = Bits::of_bytes(&[0b1010_0110, 0b0100_0000]);
        assert_eq!(
            (b.ue(), b.ue(), b.se(), b.ue()),
            (Some(0), Some(1), Some(-1), Some(3))
        );
        assert_eq!(b.take(8), None);
        assert_eq!(Bits::of_nal(&[0, 0, 3, 1]).take(24), Some(1));
        assert_eq!(Bits::of_bytes(&[0; 9]).ue(), None);
        assert_eq!(frame_rate(50, 2), Some((25, 1)));
        assert_eq!(frame_rate(180_000, 1), None);
        assert_eq!(pixel_aspect(0), None);
        assert_eq!(pixel_aspect(14), Some((4, 3)));
    }
}
