//! Codec strings (RFC 6381; ISO/IEC 14496-15 Annex E for H.265) for playlists and `MediaSource`.

use super::boxes::Reader;
use super::init::{CodecConfig, Handler, InitSegment, InitTrack};

/// The codec string of a track (`avc1.64001f`, `hvc1.1.6.L93.B0`, `mp4a.40.2`); `None` when its
/// configuration is missing or too short.
#[must_use]
pub fn codec_string(track: &InitTrack) -> Option<String> {
    let entry = track.sample_entry;
    match &track.config {
        CodecConfig::Avc(c) => match c.get(1..4)? {
            &[profile, constraints, level] => {
                Some(format!("{entry}.{profile:02x}{constraints:02x}{level:02x}"))
            }
            _ => None,
        },
        CodecConfig::Hevc(c) => hevc(c).map(|s| format!("{entry}.{s}")),
        CodecConfig::Esds(c) => esds(c).map(|s| format!("{entry}.{s}")),
        CodecConfig::Unknown if entry == b"Opus" => Some("opus".to_owned()),
        CodecConfig::Unknown => None,
    }
}

/// The `codecs` parameter of a file: its video and audio tracks' strings, comma-separated; `None` when
/// one of them has none.
#[must_use]
pub fn codecs(init: &InitSegment) -> Option<String> {
    let strings: Vec<_> = init
        .tracks
        .iter()
        .filter(|t| matches!(t.handler, Handler::Video | Handler::Audio))
        .map(codec_string)
        .collect::<Option<_>>()?;
    (!strings.is_empty()).then(|| strings.join(","))
}

/// Profile space and profile, compatibility flags in reverse bit order, tier and level, constraints.
fn hevc(c: &[u8]) -> Option<String> {
    let mut r = Reader::new(c.get(1..13)?);
    let profile = r.u8().ok()?;
    let compatibility = r.u32().ok()?.reverse_bits();
    let constraints: [u8; 6] = r.array().ok()?;
    let level = r.u8().ok()?;
    let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
    let tier = if profile & 0x20 != 0 { 'H' } else { 'L' };
    let mut s = format!("{space}{}.{compatibility:X}.{tier}{level}", profile & 0x1f);
    let used = constraints.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
    for b in &constraints[..used] {
        s += &format!(".{b:X}");
    }
    Some(s)
}

/// Object type indication, and for MPEG-4 audio the audio object type (ISO/IEC 14496-1, 7.2.6).
fn esds(c: &[u8]) -> Option<String> {
    let (tag, es) = descriptor(&mut Reader::new(c))?;
    if tag != 3 {
        return None;
    }
    let mut r = Reader::new(es);
    r.u16().ok()?;
    let flags = r.u8().ok()?;
    if flags & 0x80 != 0 {
        r.u16().ok()?;
    }
    if flags & 0x40 != 0 {
        let url = r.u8().ok()?;
        r.take(usize::from(url)).ok()?;
    }
    if flags & 0x20 != 0 {
        r.u16().ok()?;
    }
    let (tag, decoder) = descriptor(&mut r)?;
    if tag != 4 {
        return None;
    }
    let mut r = Reader::new(decoder);
    let object = r.u8().ok()?;
    if object != 0x40 {
        return Some(format!("{object:02x}"));
    }
    r.take(12).ok()?;
    let (tag, specific) = descriptor(&mut r)?;
    if tag != 5 {
        return None;
    }
    let first = *specific.first()?;
    let kind = match first >> 3 {
        31 => 32 + ((first & 7) << 3 | specific.get(1)? >> 5),
        n => n,
    };
    Some(format!("40.{kind}"))
}

/// Tag and body of a descriptor whose length is up to four bytes of seven bits.
fn descriptor<'a>(r: &mut Reader<'a>) -> Option<(u8, &'a [u8])> {
    let tag = r.u8().ok()?;
    let mut len = 0usize;
    for _ in 0..4 {
        let b = r.u8().ok()?;
        len = len << 7 | usize::from(b & 0x7f);
        if b & 0x80 == 0 {
            break;
        }
    }
    Some((tag, r.take(len).ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::boxes::FourCc;
    use super::super::init::SampleDefaults;
    use super::*;
    use proptest::prelude::*;

    fn track(entry: &[u8; 4], config: CodecConfig) -> InitTrack {
        InitTrack {
            id: 1,
            handler: Handler::Video,
            timescale: 90_000,
            sample_entry: FourCc(*entry),
            config,
            width: 0,
            height: 0,
            channels: 0,
            sample_rate: 0,
            defaults: SampleDefaults::default(),
            edits: Vec::new(),
        }
    }

    #[test]
    fn known_strings() {
        let avc = track(b"avc1", CodecConfig::Avc(vec![1, 0x64, 0, 0x1f, 0xff]));
        assert_eq!(codec_string(&avc).unwrap(), "avc1.64001f");
        let main = vec![1, 0x01, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93, 0xf0];
        assert_eq!(
            codec_string(&track(b"hvc1", CodecConfig::Hevc(main))).unwrap(),
            "hvc1.1.6.L93.90"
        );
        let main10 = vec![1, 0x22, 0x20, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 150];
        assert_eq!(
            codec_string(&track(b"hev1", CodecConfig::Hevc(main10))).unwrap(),
            "hev1.2.4.H150.B0"
        );
        let mut es = vec![3, 0x80, 0x80, 0x80, 25, 0, 1, 0, 4, 17, 0x40, 0x15, 0, 0, 0];
        es.extend([0; 8]);
        es.extend([5, 2, 0x11, 0x90, 6, 1, 2]);
        assert_eq!(
            codec_string(&track(b"mp4a", CodecConfig::Esds(es))).unwrap(),
            "mp4a.40.2"
        );
        assert_eq!(
            codec_string(&track(b"Opus", CodecConfig::Unknown)).unwrap(),
            "opus"
        );
        assert_eq!(codec_string(&track(b"avc1", CodecConfig::Avc(vec![1, 2]))), None);
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(data in prop::collection::vec(any::<u8>(), 0..60)) {
            for config in [CodecConfig::Avc(data.clone()), CodecConfig::Hevc(data.clone()), CodecConfig::Esds(data)] {
                let _ = codec_string(&track(b"abcd", config));
            }
        }
    }
}
