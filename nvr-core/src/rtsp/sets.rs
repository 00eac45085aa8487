//! The parameter sets of a stream: from the description first, then from the stream itself.

use super::event::VideoParams;
use super::{h264, h265};
use crate::track::VideoCodec;

/// A larger parameter set is rubbish.
const MAX_SET_BYTES: usize = 8 << 10;

/// Most sets of one kind that are kept; the bounds of ids are higher, but no camera uses them.
const MAX_SETS: usize = 16;

/// Parameter sets by kind and id.
#[derive(Debug)]
pub(super) struct ParameterSets {
    codec: VideoCodec,
    vps: Vec<(u32, Vec<u8>)>,
    sps: Vec<(u32, Vec<u8>)>,
    pps: Vec<(u32, Vec<u8>)>,
    /// Something differs since [`take_change`](Self::take_change).
    changed: bool,
}

impl ParameterSets {
    pub(super) fn new(codec: VideoCodec) -> Self {
        Self {
            codec,
            vps: Vec::new(),
            sps: Vec::new(),
            pps: Vec::new(),
            changed: false,
        }
    }

    /// Takes up one NAL unit with its header. What is no parameter set, or cannot be read, is ignored.
    pub(super) fn insert(&mut self, nal: &[u8]) {
        let Some(&first) = nal.first() else { return };
        if nal.len() > MAX_SET_BYTES {
            return;
        }
        // Zeros behind a NAL unit are no part of it.
        let end = nal.iter().rposition(|&b| b != 0).map_or(0, |n| n + 1);
        let nal = &nal[..end];
        let (sets, id) = match self.codec {
            VideoCodec::H264 => match first & 0x1F {
                h264::NAL_SPS if h264::read_sps(nal).is_some() => (&mut self.sps, h264::set_id(nal)),
                h264::NAL_PPS => (&mut self.pps, h264::set_id(nal)),
                _ => return,
            },
            VideoCodec::H265 => match h265::nal_type(first) {
                h265::NAL_VPS => (&mut self.vps, h265::set_id(nal)),
                h265::NAL_SPS => (&mut self.sps, h265::set_id(nal)),
                h265::NAL_PPS => (&mut self.pps, h265::set_id(nal)),
                _ => return,
            },
        };
        let Some(id) = id else { return };
        if let Some((_, old)) = sets.iter_mut().find(|(i, _)| *i == id) {
            if old != nal {
                nal.clone_into(old);
                self.changed = true;
            }
        } else if sets.len() < MAX_SETS {
            sets.push((id, nal.to_vec()));
            sets.sort_by_key(|(id, _)| *id);
            self.changed = true;
        }
    }

    /// Whether something was added or replaced since the last call.
    pub(super) fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What the sets say, once there are enough of them.
    pub(super) fn params(&self) -> Option<VideoParams> {
        fn all(sets: &[(u32, Vec<u8>)]) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
            sets.iter().map(|(_, nal)| &nal[..])
        }
        match self.codec {
            VideoCodec::H264 => {
                let mut params = h264::read_sps(&self.sps.first()?.1)?;
                params.codec_data = h264::avcc(all(&self.sps), all(&self.pps))?;
                Some(params)
            }
            VideoCodec::H265 => h265::params(all(&self.vps), all(&self.sps), all(&self.pps)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{H264_PPS, H264_SPS, unbase64};
    use super::*;

    #[test]
    fn a_set_of_the_same_id_replaces() {
        let mut sets = ParameterSets::new(VideoCodec::H264);
        assert_eq!(sets.params(), None);
        let (sps, pps) = (unbase64(H264_SPS), unbase64(H264_PPS));
        sets.insert(&[0xE9, 1, 2]);
        sets.insert(&sps[..5]);
        assert!(!sets.take_change(), "rubbish is no set");
        sets.insert(&sps);
        sets.insert(&pps);
        assert!(sets.take_change());
        let first = sets.params().unwrap();
        sets.insert(&[&sps[..], &[0, 0]].concat());
        assert!(!sets.take_change(), "the same but for zeros behind it");
        let other = unbase64("Z2QAM6zoAoALWQ==");
        sets.insert(&other);
        assert!(sets.take_change());
        let second = sets.params().unwrap();
        assert_eq!((first.width, second.width), (1920, 2560));
        for n in 0..200u8 {
            sets.insert(&[0x68, n, n, 0x80]);
        }
        assert!(sets.pps.len() <= MAX_SETS);
    }
}
