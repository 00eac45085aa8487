//! RTP packets of audio to frames: G.711 and Opus as they come, AAC by RFC 3640 and RFC 6416.

use super::choose::AudioPacking;

/// Largest AAC frame: 6144 bits a channel (ISO/IEC 14496-3), eight channels; rounded up.
const MAX_FRAME_BYTES: usize = 16 << 10;

/// Most frames of one packet.
const MAX_FRAMES: usize = 64;

/// Samples of an AAC frame.
const FRAME_TICKS: u32 = 1024;

/// Takes packets apart and puts frames together.
#[derive(Debug)]
pub(super) struct AudioUnpacker {
    packing: AudioPacking,
    /// A frame of which the end is to come, with its timestamp and its size, if it was told.
    partial: Option<(Vec<u8>, u32, Option<usize>)>,
}

impl AudioUnpacker {
    pub(super) fn new(packing: AudioPacking) -> Self {
        Self {
            packing,
            partial: None,
        }
    }

    /// Drops a frame of which the start is there.
    pub(super) fn reset(&mut self) {
        self.partial = None;
    }

    /// Takes the payload of the next packet. Calls `emit` for each whole frame with the samples by which it is later than
    /// the packet's timestamp. What cannot be read is dropped: `false`.
    pub(super) fn packet(
        &mut self,
        payload: &[u8],
        timestamp: u32,
        marker: bool,
        lost: u32,
        emit: &mut impl FnMut(Vec<u8>, u32),
    ) -> bool {
        if lost > 0 {
            self.reset();
        }
        match self.packing {
            AudioPacking::Whole => {
                if !payload.is_empty() {
                    emit(payload.to_vec(), 0);
                }
                true
            }
            AudioPacking::AuHeaders { size, index, delta } => {
                self.au_headers(payload, timestamp, lost, [size, index, delta], emit)
            }
            AudioPacking::Latm => self.latm(payload, timestamp, marker, lost, emit),
        }
    }

    fn au_headers(
        &mut self,
        payload: &[u8],
        timestamp: u32,
        lost: u32,
        [size, index, delta]: [u32; 3],
        emit: &mut impl FnMut(Vec<u8>, u32),
    ) -> bool {
        let Some((length, rest)) = payload.split_first_chunk::<2>() else {
            return payload.is_empty();
        };
        let bits = u32::from(u16::from_be_bytes(*length));
        let Some((headers, mut data)) = rest.split_at_checked(bits.div_ceil(8) as usize) else {
            return false;
        };
        let mut reader = HeaderBits { data: headers, at: 0 };
        let mut number = 0usize;
        let mut left = bits;
        let mut ticks = 0u32;
        while left >= size + if number == 0 { index } else { delta } && number < MAX_FRAMES {
            let second = if number == 0 { index } else { delta };
            let length = reader.take(size) as usize;
            let skipped = reader.take(second);
            if skipped != 0 {
                // Interleaving (3.2.3.2): not for AAC of cameras.
                return false;
            }
            left -= size + second;
            if length > MAX_FRAME_BYTES {
                return false;
            }
            if let Some((mut frame, of, want)) = self.partial.take()
                && of == timestamp
                && want == Some(length)
            {
                frame.extend_from_slice(data);
                if frame.len() < length {
                    self.partial = Some((frame, of, want));
                } else {
                    frame.truncate(length);
                    emit(frame, 0);
                }
                return true;
            }
            if data.len() < length {
                // A fragment has one header, with the size of the whole (3.2.1).
                if number == 0 && left == 0 && lost == 0 {
                    self.partial = Some((data.to_vec(), timestamp, Some(length)));
                    return true;
                }
                return false;
            }
            let (frame, rest) = data.split_at(length);
            data = rest;
            if length > 0 {
                emit(frame.to_vec(), ticks);
            }
            ticks += FRAME_TICKS;
            number += 1;
        }
        true
    }

    fn latm(
        &mut self,
        payload: &[u8],
        timestamp: u32,
        marker: bool,
        lost: u32,
        emit: &mut impl FnMut(Vec<u8>, u32),
    ) -> bool {
        if let Some((mut element, of, _)) = self.partial.take() {
            if of == timestamp {
                element.extend_from_slice(payload);
                return self.latm_element(element, timestamp, marker, emit);
            }
        } else if lost > 0 && !marker {
            return true;
        }
        self.latm_element(payload.to_vec(), timestamp, marker, emit)
    }

    fn latm_element(
        &mut self,
        element: Vec<u8>,
        timestamp: u32,
        marker: bool,
        emit: &mut impl FnMut(Vec<u8>, u32),
    ) -> bool {
        if !marker {
            if element.len() > MAX_FRAME_BYTES {
                return false;
            }
            self.partial = Some((element, timestamp, None));
            return true;
        }
        let mut rest = &element[..];
        let mut ticks = 0;
        while !rest.is_empty() {
            let mut length = 0usize;
            loop {
                let Some((&b, after)) = rest.split_first() else {
                    return false;
                };
                rest = after;
                length += usize::from(b);
                if b != 255 {
                    break;
                }
            }
            let Some(frame) = rest.get(..length) else {
                return false;
            };
            if length > 0 {
                emit(frame.to_vec(), ticks);
            }
            ticks += FRAME_TICKS;
            rest = &rest[length..];
            if ticks as usize >= MAX_FRAMES * FRAME_TICKS as usize {
                return false;
            }
        }
        true
    }
}

/// Bits of AU headers, whose count was checked.
struct HeaderBits<'a> {
    data: &'a [u8],
    at: usize,
}

impl HeaderBits<'_> {
    fn take(&mut self, count: u32) -> u32 {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.data.get(self.at / 8).copied().unwrap_or(0);
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::pack_aac;
    use super::*;
    use proptest::prelude::*;

    const HBR: AudioPacking = AudioPacking::AuHeaders {
        size: 13,
        index: 3,
        delta: 3,
    };

    fn unpack(
        u: &mut AudioUnpacker,
        payload: &[u8],
        timestamp: u32,
        marker: bool,
        lost: u32,
    ) -> (Vec<(Vec<u8>, u32)>, bool) {
        let mut out = Vec::new();
        let good = u.packet(payload, timestamp, marker, lost, &mut |f, t| out.push((f, t)));
        (out, good)
    }

    #[test]
    fn several_frames_and_fragments() {
        let mut u = AudioUnpacker::new(HBR);
        let (frames, good) = unpack(&mut u, &[0, 32, 0, 3 << 3, 0, 2 << 3, 1, 2, 3, 4, 5], 0, true, 0);
        assert!(good);
        assert_eq!(frames, [(vec![1, 2, 3], 0), (vec![4, 5], 1024)]);
        let head = [0, 16, 0, 5 << 3];
        let piece = |d: &[u8]| [&head[..], d].concat();
        assert_eq!(unpack(&mut u, &piece(&[1, 2]), 9, false, 0), (vec![], true));
        assert_eq!(unpack(&mut u, &piece(&[3, 4]), 9, false, 0), (vec![], true));
        assert_eq!(
            unpack(&mut u, &piece(&[5]), 9, true, 0).0,
            [(vec![1, 2, 3, 4, 5], 0)]
        );
        // The middle is lost: nothing comes of it, and the next is whole.
        assert_eq!(unpack(&mut u, &piece(&[1, 2]), 10, false, 0).0, []);
        assert_eq!(unpack(&mut u, &piece(&[5]), 10, true, 1).0, []);
        assert_eq!(
            unpack(&mut u, &piece(&[1, 2, 3, 4, 5]), 11, true, 0).0,
            [(vec![1, 2, 3, 4, 5], 0)]
        );
    }

    #[test]
    fn what_cannot_be_read_is_dropped() {
        let mut u = AudioUnpacker::new(HBR);
        for bad in [
            &[1][..],
            &[0, 16],
            &[0, 32, 0, 24, 0, 80, 1, 2, 3],
            &[0, 16, 0, 25, 1, 2, 3],
        ] {
            assert!(!unpack(&mut u, bad, 0, true, 0).1, "{bad:?}");
        }
        assert!(unpack(&mut u, &[], 0, true, 0).1);
    }

    #[test]
    fn latm_and_whole() {
        let mut u = AudioUnpacker::new(AudioPacking::Latm);
        let long = vec![7u8; 300];
        let element = [&[255, 45][..], &long].concat();
        assert_eq!(unpack(&mut u, &element[..100], 5, false, 0), (vec![], true));
        assert_eq!(unpack(&mut u, &element[100..], 5, true, 0).0, [(long, 0)]);
        assert!(!unpack(&mut u, &[9, 1], 6, true, 0).1);
        let mut u = AudioUnpacker::new(AudioPacking::Whole);
        assert_eq!(unpack(&mut u, b"abc", 0, false, 3).0, [(b"abc".to_vec(), 0)]);
    }

    proptest! {
        #[test]
        fn frames_survive_packing(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3000), 1..8), most in 40usize..1500) {
            let mut u = AudioUnpacker::new(HBR);
            let mut out = Vec::new();
            for p in pack_aac(&frames, most) {
                prop_assert!(u.packet(&p.payload, p.timestamp, p.marker, 0, &mut |f, t| out.push((f, p.timestamp + t))));
            }
            let want: Vec<_> = frames.into_iter().enumerate().map(|(n, f)| (f, n as u32 * 1024)).collect();
            prop_assert_eq!(out, want);
        }

        #[test]
        fn any_packets(packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), any::<bool>(), 0u32..2), 0..20), latm in any::<bool>()) {
            let mut u = AudioUnpacker::new(if latm { AudioPacking::Latm } else { HBR });
            for (p, marker, lost) in packets {
                u.packet(&p, 0, marker, lost, &mut |f, _| assert!(!f.is_empty() && f.len() <= 1 << 16));
            }
        }
    }
}
