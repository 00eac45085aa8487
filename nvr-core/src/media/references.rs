//! Which frames a decoder can do without when only one of them is wanted: those that no other is predicted from.

use crate::track::VideoCodec;

/// What matters of a frame here, from the heads of its NAL units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Role {
    /// No frame of the same temporal layer or below is predicted from it.
    leaf: bool,
    /// Its temporal layer; none is predicted from a higher one.
    layer: u8,
}

/// Bytes before each NAL unit that hold its length, by an `avcC` or `hvcC` record (ISO/IEC 14496-15).
fn length_size(codec: VideoCodec, record: &[u8]) -> Option<usize> {
    let byte = match codec {
        VideoCodec::H264 => record.get(4)?,
        VideoCodec::H265 => record.get(21)?,
    };
    Some(usize::from(byte & 3) + 1)
}

/// `None` where it cannot be told, or where something is in it that others need: parameter sets.
fn role(codec: VideoCodec, length_size: usize, sample: &[u8]) -> Option<Role> {
    let mut found: Option<Role> = None;
    let mut at = 0;
    while at < sample.len() {
        let begin = at.checked_add(length_size)?;
        let length = sample
            .get(at..begin)?
            .iter()
            .fold(0usize, |n, b| n << 8 | usize::from(*b));
        at = begin.checked_add(length)?;
        let nal = sample.get(begin..at)?;
        let slice = match codec {
            VideoCodec::H264 => match nal.first()? & 0x1F {
                // Slices, and the partitions of slices (ITU-T H.264, table 7-1); `nal_ref_idc` is zero or not in all.
                1..=5 => Role {
                    leaf: nal[0] & 0x60 == 0,
                    layer: 0,
                },
                7 | 8 | 13 | 15 => return None,
                _ => continue,
            },
            VideoCodec::H265 => match nal.first()? >> 1 & 0x3F {
                // Even types up to 14 are sub-layer non-reference pictures (ITU-T H.265, table 7-1 and 3.134).
                kind @ 0..=31 => Role {
                    leaf: kind <= 14 && kind % 2 == 0,
                    layer: (nal.get(1)? & 7).saturating_sub(1),
                },
                32..=34 => return None,
                _ => continue,
            },
        };
        match &mut found {
            None => found = Some(slice),
            Some(f) => {
                f.leaf &= slice.leaf;
                f.layer = f.layer.min(slice.layer);
            }
        }
    }
    found
}

/// For each frame of a group in decoding order whether it takes part in decoding the `wanted` one. `record` is the body
/// of the `avcC` or `hvcC` box. What cannot be told is kept.
#[must_use]
pub fn needed(codec: VideoCodec, record: &[u8], frames: &[&[u8]], wanted: usize) -> Vec<bool> {
    let Some(size) = length_size(codec, record) else {
        return vec![true; frames.len()];
    };
    let roles: Vec<Option<Role>> = frames.iter().map(|f| role(codec, size, f)).collect();
    let layer = roles.get(wanted).copied().flatten().map_or(u8::MAX, |r| r.layer);
    roles
        .iter()
        .enumerate()
        .map(|(i, role)| {
            i == 0 || i == wanted || role.is_none_or(|r| r.layer < layer || (r.layer == layer && !r.leaf))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AVCC: [u8; 6] = [1, 66, 0, 30, 0xFF, 0xE1];

    fn hvcc() -> Vec<u8> {
        let mut record = vec![0; 23];
        record[21] = 3;
        record
    }

    /// Length-prefixed NAL units of these heads.
    fn sample(heads: &[&[u8]]) -> Vec<u8> {
        heads
            .iter()
            .flat_map(|h| [&[0, 0, 0, h.len() as u8 + 1], *h, &[0x80]].concat())
            .collect()
    }

    fn ask(codec: VideoCodec, record: &[u8], frames: &[Vec<u8>], wanted: usize) -> Vec<bool> {
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        needed(codec, record, &frames, wanted)
    }

    #[test]
    fn frames_of_h264_that_are_no_reference_are_left_out() {
        // I, P, b of two slices, a b with a picture parameter set, P, b.
        let frames = [
            sample(&[&[0x06], &[0x65]]),
            sample(&[&[0x41]]),
            sample(&[&[0x01], &[0x01]]),
            sample(&[&[0x68], &[0x01]]),
            sample(&[&[0x41]]),
            sample(&[&[0x01]]),
        ];
        let all = ask(VideoCodec::H264, &AVCC, &frames, 5);
        assert_eq!(all, [true, true, false, true, true, true]);
        // A field that is a reference with one that is none.
        let frames = [
            sample(&[&[0x65]]),
            sample(&[&[0x41], &[0x01]]),
            sample(&[&[0x41]]),
        ];
        assert_eq!(ask(VideoCodec::H264, &AVCC, &frames, 2), [true; 3]);
    }

    #[test]
    fn frames_of_h265_are_left_out_by_layer_and_kind() {
        let nal = |kind: u8, layer: u8| sample(&[&[kind << 1, layer + 1]]);
        let (idr, trail_r, trail_n, tsa_n) = (19, 1, 0, 2);
        let frames = [
            nal(idr, 0),
            nal(trail_n, 0),
            nal(tsa_n, 1),
            nal(trail_r, 0),
            nal(trail_r, 1),
            nal(trail_r, 0),
        ];
        // Of the base layer: what is above it is not needed, nor what nothing of it refers to.
        assert_eq!(
            ask(VideoCodec::H265, &hvcc(), &frames, 5),
            [true, false, false, true, false, true]
        );
        // Of the layer above, which may refer to any of the base.
        assert_eq!(
            ask(VideoCodec::H265, &hvcc(), &frames[..5], 4),
            [true, true, false, true, true]
        );
    }

    #[test]
    fn what_cannot_be_read_is_kept() {
        let frames = [vec![0, 0, 0, 9, 1], vec![], vec![0, 0], sample(&[&[0x65]])];
        assert_eq!(ask(VideoCodec::H264, &AVCC, &frames, 3), [true; 4]);
        assert_eq!(ask(VideoCodec::H264, &[1], &frames, 3), [true; 4]);
    }

    proptest! {
        #[test]
        fn any_bytes_pass(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..12), wanted in 0usize..14, h265: bool) {
            let (codec, record) = if h265 { (VideoCodec::H265, hvcc()) } else { (VideoCodec::H264, AVCC.to_vec()) };
            let kept = ask(codec, &record, &frames, wanted);
            prop_assert_eq!(kept.len(), frames.len());
            prop_assert!(kept[0] && kept.get(wanted).is_none_or(|k| *k));
        }
    }
}
