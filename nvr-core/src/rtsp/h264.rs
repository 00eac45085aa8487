//! H.264 parameter sets: what caps and the `avcC` record need (ITU-T H.264, 7.3.2.1.1 and annex E; ISO/IEC 14496-15,
//! 5.3.3.1).

use super::bits::{Bits, chroma_format, frame_rate, pixel_aspect};
use super::event::{Reorder, VideoParams};
use crate::track::VideoCodec;

/// NAL unit types (table 7-1).
pub(super) const NAL_SLICE: u8 = 1;
pub(super) const NAL_IDR: u8 = 5;
pub(super) const NAL_SEI: u8 = 6;
pub(super) const NAL_SPS: u8 = 7;
pub(super) const NAL_PPS: u8 = 8;

/// `seq_parameter_set_id` of a sequence parameter set, or `pic_parameter_set_id` of a picture parameter set.
pub(super) fn set_id(nal: &[u8]) -> Option<u32> {
    match nal.first()? & 0x1F {
        NAL_SPS => Bits::of_nal(nal.get(4..)?.get(..16.min(nal.len() - 4))?)
            .ue()
            .filter(|&id| id < 32),
        _ => Bits::of_nal(nal.get(1..)?.get(..16.min(nal.len() - 1))?)
            .ue()
            .filter(|&id| id < 256),
    }
}

/// Reads a sequence parameter set with its NAL header; `None` when it is cut or of no known form. The record is left
/// empty.
pub(super) fn read_sps(nal: &[u8]) -> Option<VideoParams> {
    let mut bits = Bits::of_nal(nal.get(1..)?);
    let profile = bits.take(8)?;
    let constraints = bits.take(8)?;
    let level = bits.take(8)?;
    bits.ue()?;
    let mut chroma = 1;
    let mut separate_planes = false;
    let (mut depth_luma, mut depth_chroma) = (8, 8);
    if matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        chroma = bits.ue()?;
        if chroma == 3 {
            separate_planes = bits.flag()?;
        }
        depth_luma = 8 + bits.ue().filter(|&d| d <= 6)?;
        depth_chroma = 8 + bits.ue().filter(|&d| d <= 6)?;
        bits.skip(1)?;
        if bits.flag()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.ue()?;
    let order_type = bits.ue()?;
    match order_type {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.skip(1)?;
            bits.ue()?;
            bits.ue()?;
            for _ in 0..bits.ue()?.min(255) {
                bits.ue()?;
            }
        }
        2 => {}
        _ => return None,
    }
    bits.ue()?;
    bits.skip(1)?;
    let mbs_wide = bits.ue().filter(|&n| n < 2048)? + 1;
    let map_units_high = bits.ue().filter(|&n| n < 2048)? + 1;
    let frame_mbs_only = bits.flag()?;
    if !frame_mbs_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let mut width = mbs_wide * 16;
    let mut height = map_units_high * 16 * if frame_mbs_only { 1 } else { 2 };
    if bits.flag()? {
        let array_type = if separate_planes { 0 } else { chroma };
        let unit_x = if matches!(array_type, 1 | 2) { 2 } else { 1 };
        let unit_y = if array_type == 1 { 2 } else { 1 } * if frame_mbs_only { 1 } else { 2 };
        let mut crop = [0; 4];
        for c in &mut crop {
            *c = bits.ue().filter(|&n| n < 32768)?;
        }
        width = width
            .checked_sub(unit_x * (crop[0] + crop[1]))
            .filter(|&w| w > 0)?;
        height = height
            .checked_sub(unit_y * (crop[2] + crop[3]))
            .filter(|&h| h > 0)?;
    }
    let vui = if bits.flag()? {
        read_vui(&mut bits)
    } else {
        Vui::default()
    };
    // 8.2.1.3: with type 2 output order is decoding order. Baseline has no B slices.
    let intra_only = constraints & 0x10 != 0 && matches!(profile, 44 | 86 | 100 | 110 | 122 | 244);
    let reorder = if order_type == 2 || profile == 66 || intra_only {
        Reorder::None
    } else {
        match vui.reorder {
            None => Reorder::Unknown,
            Some(0) => Reorder::None,
            Some(n) => Reorder::Declared(n),
        }
    };
    Some(VideoParams {
        codec: VideoCodec::H264,
        codec_data: Vec::new(),
        width,
        height,
        frame_rate: vui.frame_rate,
        pixel_aspect: vui.pixel_aspect,
        profile: profile_name(profile, constraints),
        level: Some(level_name(profile, constraints, level)),
        tier: None,
        chroma_format: chroma_format(chroma)?,
        bit_depth_luma: depth_luma,
        bit_depth_chroma: depth_chroma,
        interlaced: !frame_mbs_only,
        reorder,
    })
}

fn scaling_list(bits: &mut Bits, size: u32) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()? + 256).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

#[derive(Default)]
struct Vui {
    pixel_aspect: Option<(u32, u32)>,
    frame_rate: Option<(u32, u32)>,
    reorder: Option<u32>,
}

/// As much of the VUI as there is: many cameras cut it short.
fn read_vui(bits: &mut Bits) -> Vui {
    let mut vui = Vui::default();
    let _ = fill_vui(bits, &mut vui);
    vui
}

fn fill_vui(bits: &mut Bits, vui: &mut Vui) -> Option<()> {
    if bits.flag()? {
        let idc = bits.take(8)?;
        vui.pixel_aspect = if idc == 255 {
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
    if bits.flag()? {
        let units = bits.take(32)?;
        let scale = bits.take(32)?;
        bits.skip(1)?;
        // A tick is a field.
        vui.frame_rate = units.checked_mul(2).and_then(|d| frame_rate(scale, d));
    }
    let nal_hrd = bits.flag()?;
    if nal_hrd {
        hrd(bits)?;
    }
    let vcl_hrd = bits.flag()?;
    if vcl_hrd {
        hrd(bits)?;
    }
    if nal_hrd || vcl_hrd {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    if bits.flag()? {
        bits.skip(1)?;
        for _ in 0..4 {
            bits.ue()?;
        }
        vui.reorder = Some(bits.ue()?);
    }
    Some(())
}

fn hrd(bits: &mut Bits) -> Option<()> {
    let count = bits.ue()?;
    bits.skip(8)?;
    for _ in 0..=count.min(31) {
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    bits.skip(20)
}

/// The name in GStreamer's caps (annex A.2).
fn profile_name(profile: u32, constraints: u32) -> Option<&'static str> {
    let set = |n: u32| constraints & (0x80 >> n) != 0;
    Some(match profile {
        66 if set(1) => "constrained-baseline",
        66 => "baseline",
        77 => "main",
        88 => "extended",
        100 if set(4) && set(5) => "constrained-high",
        100 if set(4) => "progressive-high",
        100 => "high",
        110 if set(3) => "high-10-intra",
        110 if set(4) => "progressive-high-10",
        110 => "high-10",
        122 if set(3) => "high-4:2:2-intra",
        122 => "high-4:2:2",
        244 if set(3) => "high-4:4:4-intra",
        244 => "high-4:4:4",
        44 => "cavlc-4:4:4-intra",
        _ => return None,
    })
}

fn level_name(profile: u32, constraints: u32, level: u32) -> String {
    let old = matches!(profile, 66 | 77 | 88);
    match level {
        9 => "1b".into(),
        11 if old && constraints & 0x10 != 0 => "1b".into(),
        n if n % 10 == 0 => (n / 10).to_string(),
        n => format!("{}.{}", n / 10, n % 10),
    }
}

/// The `avcC` record of these sets, each with its NAL header; `None` when there is none of a kind or one is too long.
pub(super) fn avcc<'a>(
    sps: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
    pps: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Option<Vec<u8>> {
    let first = sps.clone().next()?;
    let head = first.get(1..4)?;
    let mut out = vec![1, head[0], head[1], head[2], 0xFF];
    out.push(0xE0 | u8::try_from(sps.len()).ok().filter(|n| *n < 32)?);
    let extension = matches!(head[0], 100 | 110 | 122 | 144 | 244);
    let params = if extension { read_sps(first) } else { None };
    for nal in sps {
        out.extend(u16::try_from(nal.len()).ok()?.to_be_bytes());
        out.extend(nal);
    }
    out.push(u8::try_from(pps.len()).ok().filter(|n| *n > 0)?);
    for nal in pps {
        out.extend(u16::try_from(nal.len()).ok()?.to_be_bytes());
        out.extend(nal);
    }
    if let Some(p) = params {
        let chroma = ["4:0:0", "4:2:0", "4:2:2", "4:4:4"]
            .iter()
            .position(|n| *n == p.chroma_format)? as u8;
        out.extend([
            0xFC | chroma,
            0xF8 | (p.bit_depth_luma - 8) as u8,
            0xF8 | (p.bit_depth_chroma - 8) as u8,
            0,
        ]);
    }
    Some(out)
}

/// What the first bytes of a slice say: whether it is the first of its picture, and whether it is intra (7.3.3).
pub(super) fn slice_start(nal: &[u8]) -> (bool, bool) {
    let mut bits = Bits::of_nal(nal.get(1..nal.len().min(12)).unwrap_or_default());
    let first = bits.ue();
    let kind = bits.ue();
    (first == Some(0), kind.is_some_and(|k| matches!(k % 5, 2 | 4)))
}

/// Whether an SEI message of kind 6, a recovery point, is in this NAL unit (D.1.8).
pub(super) fn has_recovery_point(payload: &[u8]) -> bool {
    let mut at = 0;
    let number = |at: &mut usize| {
        let mut n = 0usize;
        loop {
            let b = *payload.get(*at)?;
            *at += 1;
            n += usize::from(b);
            if b != 255 {
                return Some(n);
            }
        }
    };
    while at + 2 < payload.len() {
        let (Some(kind), Some(size)) = (number(&mut at), number(&mut at)) else {
            return false;
        };
        if kind == 6 {
            return true;
        }
        at += size;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::testing::unbase64;
    use super::*;

    #[test]
    fn sets_of_real_cameras() {
        let read = |text: &str| read_sps(&unbase64(text)).unwrap();
        let axis = read("Z0IAKeKQCgDLYC3AQEBpB4kRUA==");
        assert_eq!((axis.width, axis.height), (1280, 800));
        assert_eq!(axis.profile, Some("baseline"));
        assert_eq!(axis.level.as_deref(), Some("4.1"));
        assert_eq!(axis.reorder, Reorder::None);
        let dahua = read("Z2QAKqwsaoHgCJ+WbgoCCoAAAAMAgAAAD0IA");
        assert_eq!((dahua.width, dahua.height), (1920, 1080));
        assert_eq!(dahua.profile, Some("high"));
        assert_eq!(dahua.frame_rate, Some((15, 1)));
        let reolink = read("Z2QAM6zoAoALWQ==");
        assert_eq!((reolink.width, reolink.height), (2560, 1440));
        assert_eq!(reolink.reorder, Reorder::Unknown);
        assert_eq!(read("Z0IAH5W4PASaEAAAcIAAFfkAQA==").frame_rate, Some((25, 1)));
    }

    #[test]
    fn cut_sets_are_no_sets() {
        let sps = unbase64("Z2QAKqwsaoHgCJ+WbgoCCoAAAAMAgAAAD0IA");
        for n in 0..9 {
            assert_eq!(read_sps(&sps[..n]), None, "{n}");
        }
    }

    #[test]
    fn slices_and_recovery_points() {
        assert_eq!(slice_start(&[0x65, 0x88, 0x84]), (true, true));
        assert_eq!(slice_start(&[0x41, 0x9A, 0x00]), (true, false));
        assert!(!slice_start(&[0x41, 0x04, 0x00]).0);
        assert!(has_recovery_point(&[5, 2, 0, 0, 6, 1, 0xC4, 0x80]));
        assert!(!has_recovery_point(&[5, 4, 6, 1, 0xC4, 0x80, 0x80]));
        assert!(!has_recovery_point(&[255; 40]));
    }

    #[test]
    fn the_record_holds_the_sets() {
        let sps = unbase64("Z2QAKqwsaoHgCJ+WbgoCCoAAAAMAgAAAD0IA");
        let pps = [0x68, 0xEE, 0x31, 0xB2];
        let record = avcc([&sps[..]].into_iter(), [&pps[..]].into_iter()).unwrap();
        assert_eq!(record[..6], [1, 0x64, 0, 0x2A, 0xFF, 0xE1]);
        assert_eq!(usize::from(record[7]), sps.len());
        assert_eq!(record[record.len() - 4..], [0xFD, 0xF8, 0xF8, 0]);
        assert_eq!(avcc([&sps[..]].into_iter(), [].into_iter()), None);
    }
}
