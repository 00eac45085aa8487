//! H.265 parameter sets: what caps and the `hvcC` record need (ITU-T H.265, 7.3.2 and annex E; ISO/IEC 14496-15,
//! 8.3.3.1).

use super::bits::{Bits, chroma_format, frame_rate, pixel_aspect};
use super::event::{Reorder, VideoParams};
use crate::track::VideoCodec;

/// NAL unit types (table 7-1).
pub(super) const NAL_VPS: u8 = 32;
pub(super) const NAL_SPS: u8 = 33;
pub(super) const NAL_PPS: u8 = 34;
pub(super) const NAL_PREFIX_SEI: u8 = 39;

/// Type of a NAL unit by its first byte.
pub(super) const fn nal_type(first: u8) -> u8 {
    first >> 1 & 0x3F
}

/// Pictures at which decoding can begin (7.4.2.2): BLA, IDR, CRA.
pub(super) const fn is_irap(kind: u8) -> bool {
    kind >= 16 && kind <= 23
}

/// The set's own id.
pub(super) fn set_id(nal: &[u8]) -> Option<u32> {
    let payload = nal.get(2..)?;
    match nal_type(nal[0]) {
        NAL_VPS => Some(u32::from(payload.first()? >> 4)),
        NAL_SPS => {
            let mut bits = Bits::of_nal(payload);
            bits.skip(4)?;
            let sub_layers = bits.take(3)?;
            bits.skip(1)?;
            profile_tier_level(&mut bits, sub_layers)?;
            bits.ue().filter(|&id| id < 16)
        }
        _ => Bits::of_nal(payload).ue().filter(|&id| id < 64),
    }
}

/// The general part of `profile_tier_level` (7.3.3) as it also stands in `hvcC`: 12 bytes.
type General = [u8; 12];

fn profile_tier_level(bits: &mut Bits, sub_layers: u32) -> Option<General> {
    let mut general = [0; 12];
    for b in &mut general {
        *b = bits.take(8)? as u8;
    }
    let mut present = Vec::new();
    for _ in 0..sub_layers {
        present.push((bits.flag()?, bits.flag()?));
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers as usize))?;
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    Some(general)
}

/// A sequence parameter set as far as it matters.
struct Sps {
    params: VideoParams,
    general: General,
    temporal_layers: u8,
    nested: bool,
    chroma: u8,
}

/// Reads a sequence parameter set with its NAL header.
fn read_sps(nal: &[u8]) -> Option<Sps> {
    let mut bits = Bits::of_nal(nal.get(2..)?);
    bits.skip(4)?;
    let sub_layers = bits.take(3)?;
    let nested = bits.flag()?;
    let general = profile_tier_level(&mut bits, sub_layers)?;
    bits.ue()?;
    let chroma = bits.ue()?;
    let separate_planes = chroma == 3 && bits.flag()?;
    let mut width = bits.ue().filter(|&n| n <= 32768)?;
    let mut height = bits.ue().filter(|&n| n <= 32768)?;
    if bits.flag()? {
        let array_type = if separate_planes { 0 } else { chroma };
        let unit_x = if matches!(array_type, 1 | 2) { 2 } else { 1 };
        let unit_y = if array_type == 1 { 2 } else { 1 };
        let mut crop = [0; 4];
        for c in &mut crop {
            *c = bits.ue().filter(|&n| n < 32768)?;
        }
        width = width.checked_sub(unit_x * (crop[0] + crop[1]))?;
        height = height.checked_sub(unit_y * (crop[2] + crop[3]))?;
    }
    if width == 0 || height == 0 {
        return None;
    }
    let depth_luma = 8 + bits.ue().filter(|&d| d <= 8)?;
    let depth_chroma = 8 + bits.ue().filter(|&d| d <= 8)?;
    let mut params = VideoParams {
        codec: VideoCodec::H265,
        codec_data: Vec::new(),
        width,
        height,
        frame_rate: None,
        pixel_aspect: None,
        profile: match general[0] & 0x1F {
            1 => Some("main"),
            2 => Some("main-10"),
            3 => Some("main-still-picture"),
            _ => None,
        },
        level: Some(level_name(general[11])),
        tier: Some(if general[0] & 0x20 == 0 { "main" } else { "high" }),
        chroma_format: chroma_format(chroma)?,
        bit_depth_luma: depth_luma,
        bit_depth_chroma: depth_chroma,
        // general_progressive_source_flag and general_interlaced_source_flag
        interlaced: general[5] & 0xC0 == 0x40,
        reorder: Reorder::Unknown,
    };
    // What follows is good to have.
    let _ = read_rest(&mut bits, sub_layers, &mut params);
    Some(Sps {
        params,
        general,
        temporal_layers: sub_layers as u8 + 1,
        nested,
        chroma: chroma as u8,
    })
}

fn level_name(level: u8) -> String {
    match (level / 30, level % 30 / 3) {
        (whole, 0) => whole.to_string(),
        (whole, tenth) => format!("{whole}.{tenth}"),
    }
}

fn read_rest(bits: &mut Bits, sub_layers: u32, params: &mut VideoParams) -> Option<()> {
    let poc_bits = bits.ue()? + 4;
    let all = bits.flag()?;
    let mut reorder = 0;
    for _ in if all { 0 } else { sub_layers }..=sub_layers {
        bits.ue()?;
        reorder = bits.ue().filter(|&n| n <= 16)?;
        bits.ue()?;
    }
    params.reorder = if reorder == 0 {
        Reorder::None
    } else {
        Reorder::Declared(reorder)
    };
    for _ in 0..6 {
        bits.ue()?;
    }
    if bits.flag()? && bits.flag()? {
        scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.flag()? {
        bits.skip(8)?;
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    reference_sets(bits)?;
    if bits.flag()? {
        for _ in 0..bits.ue().filter(|&n| n <= 32)? {
            bits.skip(poc_bits as usize + 1)?;
        }
    }
    bits.skip(2)?;
    if bits.flag()? {
        read_vui(bits, params)?;
    }
    Some(())
}

fn scaling_lists(bits: &mut Bits) -> Option<()> {
    for size in 0..4u32 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if bits.flag()? {
                if size > 1 {
                    bits.se()?;
                }
                for _ in 0..64.min(1 << (4 + (size << 1))) {
                    bits.se()?;
                }
            } else {
                bits.ue()?;
            }
        }
    }
    Some(())
}

/// `st_ref_pic_set` (7.3.7), only passed over; a set may be told as a difference from the one before.
fn reference_sets(bits: &mut Bits) -> Option<()> {
    let count = bits.ue().filter(|&n| n <= 64)?;
    let mut before = 0;
    for n in 0..count {
        if n > 0 && bits.flag()? {
            bits.skip(1)?;
            bits.ue()?;
            let mut pictures = 0;
            for _ in 0..=before {
                let used = bits.flag()?;
                if used || bits.flag()? {
                    pictures += 1;
                }
            }
            before = pictures;
        } else {
            let negative = bits.ue().filter(|&n| n <= 16)?;
            let positive = bits.ue().filter(|&n| n <= 16)?;
            for _ in 0..negative + positive {
                bits.ue()?;
                bits.skip(1)?;
            }
            before = negative + positive;
        }
    }
    Some(())
}

fn read_vui(bits: &mut Bits, params: &mut VideoParams) -> Option<()> {
    if bits.flag()? {
        let idc = bits.take(8)?;
        params.pixel_aspect = if idc == 255 {
            let (w, h) = (bits.take(16)?, bits.take(16)?);
            (w > 0 && h > 0).then_some((w, h))
        } else {
            pixel_aspect(idc)
        };
    }
    if bits.flag()? {
        bits.skip(1)?;
    }
    if bits.flag()? {
        bits.skip(4)?;
        if bits.flag()? {
            bits.skip(24)?;
        }
    }
    if bits.flag()? {
        bits.ue()?;
        bits.ue()?;
    }
    bits.skip(1)?;
    // field_seq_flag
    params.interlaced |= bits.flag()?;
    bits.skip(1)?;
    if bits.flag()? {
        for _ in 0..4 {
            bits.ue()?;
        }
    }
    if bits.flag()? {
        let (units, scale) = (bits.take(32)?, bits.take(32)?);
        params.frame_rate = frame_rate(scale, units);
    }
    Some(())
}

/// Frame rate of a video parameter set (7.3.2.1).
fn rate_of_vps(nal: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::of_nal(nal.get(2..)?);
    bits.skip(12)?;
    let sub_layers = bits.take(3)?;
    bits.skip(17)?;
    profile_tier_level(&mut bits, sub_layers)?;
    let all = bits.flag()?;
    for _ in if all { 0 } else { sub_layers }..=sub_layers {
        for _ in 0..3 {
            bits.ue()?;
        }
    }
    let layers = bits.take(6)?;
    let sets = bits.ue().filter(|&n| n < 1024)?;
    bits.skip(sets as usize * (layers as usize + 1))?;
    if !bits.flag()? {
        return None;
    }
    let (units, scale) = (bits.take(32)?, bits.take(32)?);
    frame_rate(scale, units)
}

/// Everything about a stream with these parameter sets, each with its NAL header; `None` when there is none of a kind
/// or the sequence parameter set cannot be read.
pub(super) fn params<'a, I>(vps: I, sps: I, pps: I) -> Option<VideoParams>
where
    I: ExactSizeIterator<Item = &'a [u8]> + Clone,
{
    let first = read_sps(sps.clone().next()?)?;
    if pps.len() == 0 {
        return None;
    }
    let mut params = first.params;
    if params.frame_rate.is_none() {
        params.frame_rate = vps.clone().next().and_then(rate_of_vps);
    }
    let mut out = vec![1];
    out.extend(first.general);
    out.extend([0xF0, 0, 0xFC, 0xFC | first.chroma]);
    out.extend([
        0xF8 | (params.bit_depth_luma - 8) as u8,
        0xF8 | (params.bit_depth_chroma - 8) as u8,
    ]);
    out.extend([
        0,
        0,
        (first.temporal_layers & 7) << 3 | u8::from(first.nested) << 2 | 3,
    ]);
    // There are cameras without a video parameter set; decoders do without it.
    out.push(2 + u8::from(vps.len() > 0));
    for (kind, sets) in [(NAL_VPS, vps), (NAL_SPS, sps), (NAL_PPS, pps)] {
        if sets.len() == 0 {
            continue;
        }
        out.push(0x80 | kind);
        out.extend(u16::try_from(sets.len()).ok()?.to_be_bytes());
        for nal in sets {
            out.extend(u16::try_from(nal.len()).ok()?.to_be_bytes());
            out.extend(nal);
        }
    }
    params.codec_data = out;
    Some(params)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{H265_PPS, H265_SPS, H265_VPS, unbase64};
    use super::*;

    #[test]
    fn sets_of_a_real_camera() {
        let [vps, sps, pps] = [H265_VPS, H265_SPS, H265_PPS].map(unbase64);
        let all = |s| std::slice::from_ref(s).iter().map(|v: &Vec<u8>| &v[..]);
        let p = params(all(&vps), all(&sps), all(&pps)).unwrap();
        println!("{p:?}");
        assert_eq!(p.profile, Some("main"));
        assert_eq!(
            (p.codec_data[0], p.codec_data[21] & 3, p.codec_data[22]),
            (1, 3, 3)
        );
        assert_eq!(p.codec_data.len(), 23 + 3 * 5 + vps.len() + sps.len() + pps.len());
        for n in 0..20 {
            assert_eq!(read_sps(&sps[..n]).map(|s| s.params), None, "{n}");
        }
    }
}
