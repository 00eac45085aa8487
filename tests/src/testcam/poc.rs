//! Moves the picture order count of H.264 frames, as encoders do that count it in their own way.
//!
//! Only for streams that write it into each slice (`pic_order_cnt_type` 0), which x264 does with B-frames.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::faults::Faults;

/// Bytes of a slice that are looked at; its header's beginning is shorter.
const HEAD: usize = 24;

/// The state of one stream.
pub(crate) struct PocShifter {
    faults: Arc<Faults>,
    layout: Option<Layout>,
    /// Added since the last keyframe.
    shift: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    frame_num_bits: u32,
    poc_bits: u32,
}

impl PocShifter {
    pub fn new(faults: Arc<Faults>) -> Self {
        Self {
            faults,
            layout: None,
            shift: 0,
        }
    }

    /// `avcC` of the stream, which holds the SPS.
    pub fn codec_data(&mut self, avcc: &[u8]) {
        let sps = avcc
            .get(6..8)
            .and_then(|l| avcc.get(8..8 + usize::from(u16::from_be_bytes([l[0], l[1]]))));
        self.layout = sps.and_then(read_sps);
    }

    /// True while there is nothing to do.
    pub fn idle(&self) -> bool {
        self.shift == 0 && self.faults.poc_shift.load(Ordering::SeqCst) == 0
    }

    /// The access unit with its count moved; none when nothing was changed.
    pub fn patch(&mut self, unit: &[u8]) -> Option<Vec<u8>> {
        let layout = self.layout?;
        let mut out = Vec::with_capacity(unit.len() + 8);
        let mut rest = unit;
        while let Some((len, tail)) = rest.split_first_chunk::<4>() {
            let nal = tail.get(..usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
            rest = &tail[nal.len()..];
            let patched = match nal.first()? & 0x1F {
                // A keyframe sets the count back.
                5 => {
                    self.shift = 0;
                    None
                }
                1 => self.patch_slice(nal, layout),
                _ => None,
            };
            let nal = patched.as_deref().unwrap_or(nal);
            out.extend(u32::try_from(nal.len()).ok()?.to_be_bytes());
            out.extend(nal);
        }
        Some(out)
    }

    fn patch_slice(&mut self, nal: &[u8], layout: Layout) -> Option<Vec<u8>> {
        let split = nal.len().min(HEAD);
        let (mut head, used) = unescape(&nal[..split]);
        let mut bits = Bits { bytes: &head, at: 8 };
        bits.ue()?; // first_mb_in_slice
        // A jump begins at a P-frame, so that the B-frames before it in time still are.
        if bits.ue()? % 5 == 0 {
            self.shift += self.faults.poc_shift.swap(0, Ordering::SeqCst);
        }
        bits.ue()?; // pic_parameter_set_id
        bits.read(layout.frame_num_bits)?;
        let at = bits.at;
        let poc = bits.read(layout.poc_bits)?;
        if self.shift == 0 {
            return None;
        }
        let moved = i64::from(poc) + i64::from(self.shift);
        let moved = u32::try_from(moved.rem_euclid(1 << layout.poc_bits)).ok()?;
        for i in 0..layout.poc_bits {
            let bit = usize::try_from(i).ok()? + at;
            let mask = 0x80 >> (bit % 8);
            if moved >> (layout.poc_bits - 1 - i) & 1 == 1 {
                head[bit / 8] |= mask;
            } else {
                head[bit / 8] &= !mask;
            }
        }
        let mut out = escape(&head);
        out.extend(&nal[used..]);
        Some(out)
    }
}

/// Takes the emulation prevention bytes out; also how many bytes went in. Ends where no escape can be cut in two.
fn unescape(nal: &[u8]) -> (Vec<u8>, usize) {
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for b in nal {
        if zeros >= 2 && *b == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *b == 0 { zeros + 1 } else { 0 };
        out.push(*b);
    }
    // Trailing zeros would hide an escape that follows; leave them to the part that is copied as it is.
    let keep = out.len() - out.iter().rev().take_while(|b| **b == 0).count();
    let used = nal.len() - (out.len() - keep);
    out.truncate(keep);
    (out, used)
}

fn escape(rbsp: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rbsp.len() + 2);
    let mut zeros = 0;
    for b in rbsp {
        if zeros >= 2 && *b <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if *b == 0 { zeros + 1 } else { 0 };
        out.push(*b);
    }
    out
}

/// ITU-T H.264, 7.3.2.1.1, of the profiles without chroma information.
fn read_sps(sps: &[u8]) -> Option<Layout> {
    let (rbsp, _) = unescape(sps);
    let mut bits = Bits { bytes: &rbsp, at: 8 };
    let profile = bits.read(8)?;
    bits.read(16)?;
    bits.ue()?;
    if !matches!(profile, 66 | 77 | 88) {
        return None;
    }
    let frame_num_bits = bits.ue()? + 4;
    let kind = bits.ue()?;
    let poc_bits = bits.ue()? + 4;
    (kind == 0 && frame_num_bits <= 16 && poc_bits <= 16).then_some(Layout {
        frame_num_bits,
        poc_bits,
    })
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn read(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let bit = self.bytes.get(self.at / 8)? >> (7 - self.at % 8) & 1;
            value = value << 1 | u32::from(bit);
            self.at += 1;
        }
        Some(value)
    }

    /// Exp-Golomb code.
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.read(1)? == 0 {
            zeros += 1;
            if zeros > 16 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.read(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_go_out_and_in() {
        for bytes in [
            &[1, 0, 0, 3, 1, 7][..],
            &[9, 0, 0, 3, 0, 0, 3, 2],
            &[1, 2, 3],
            &[5, 0, 0],
        ] {
            let (rbsp, used) = unescape(bytes);
            let mut back = escape(&rbsp);
            back.extend(&bytes[used..]);
            assert_eq!(back, bytes);
        }
    }
}
