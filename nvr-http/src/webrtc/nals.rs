//! H.264 from how files have it (lengths before NAL units, parameter sets apart; ISO/IEC 14496-15) to how RTP payload
//! formats are fed (start codes, parameter sets before each keyframe).

const START: [u8; 4] = [0, 0, 0, 1];

/// What `avcC` holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sets {
    /// Bytes of a length (1, 2 or 4).
    length_size: usize,
    /// Parameter sets with start codes.
    annex_b: Vec<u8>,
    /// Profile, constraints and level, as `profile-level-id` has them (RFC 6184, 8.1).
    pub(super) profile_level_id: u32,
}

impl Sets {
    /// Reads an `AVCDecoderConfigurationRecord`; `None` when it is damaged.
    pub(super) fn parse(config: &[u8]) -> Option<Self> {
        let &[_, profile, constraints, level, lengths, count] = config.get(..6)? else {
            return None;
        };
        let mut annex_b = Vec::new();
        let mut rest = config.get(6..)?;
        let mut take = |rest: &mut &[u8], n: u8| {
            for _ in 0..n {
                let len = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
                annex_b.extend(START);
                annex_b.extend_from_slice(rest.get(2..2 + len)?);
                *rest = rest.get(2 + len..)?;
            }
            Some(())
        };
        take(&mut rest, count & 0x1f)?;
        let (&count, mut rest) = rest.split_first()?;
        take(&mut rest, count)?;
        Some(Self {
            length_size: usize::from(lengths & 3) + 1,
            annex_b,
            profile_level_id: u32::from_be_bytes([0, profile, constraints, level]),
        })
    }

    /// A frame with start codes; with the parameter sets before it where it is a keyframe, unless it has its own.
    pub(super) fn annex_b(&self, frame: &[u8], keyframe: bool) -> Vec<u8> {
        const SPS: u8 = 7;
        let mut units = Vec::with_capacity(frame.len() + 64);
        let mut own_sets = false;
        let mut rest = frame;
        while rest.len() > self.length_size {
            let (length, after) = rest.split_at(self.length_size);
            let length = length.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
            let Some(unit) = after.get(..length) else { break };
            own_sets |= unit.first().is_some_and(|b| b & 0x1f == SPS);
            units.extend(START);
            units.extend_from_slice(unit);
            rest = &after[length..];
        }
        if keyframe && !own_sets {
            let mut out = self.annex_b.clone();
            out.append(&mut units);
            return out;
        }
        units
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: [u8; 17] = [
        1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 3, 0x67, 1, 2, 1, 0, 3, 0x68, 3, 4,
    ];

    #[test]
    fn parameter_sets_come_before_keyframes() {
        let sets = Sets::parse(&CONFIG).unwrap();
        assert_eq!(sets.profile_level_id, 0x64_001f);
        let idr = [0, 0, 0, 2, 0x65, 9];
        assert_eq!(
            sets.annex_b(&idr, true),
            [
                0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3, 4, 0, 0, 0, 1, 0x65, 9
            ]
        );
        assert_eq!(sets.annex_b(&idr, false), [0, 0, 0, 1, 0x65, 9]);
        let with_own = [0, 0, 0, 2, 0x67, 5, 0, 0, 0, 2, 0x65, 9];
        assert_eq!(
            sets.annex_b(&with_own, true),
            [0, 0, 0, 1, 0x67, 5, 0, 0, 0, 1, 0x65, 9]
        );
    }

    #[test]
    fn what_is_cut_short_is_left_out() {
        let sets = Sets::parse(&CONFIG).unwrap();
        assert_eq!(
            sets.annex_b(&[0, 0, 0, 1, 0x41, 0, 0, 0, 9, 1], false),
            [0, 0, 0, 1, 0x41]
        );
        assert_eq!(sets.annex_b(&[0, 0], false), Vec::<u8>::new());
        for cut in 0..CONFIG.len() {
            assert_eq!(Sets::parse(&CONFIG[..cut]), None, "{cut}");
        }
    }
}
