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

/// Adds a track to those of files that are played one after another, of which a `MediaSource` is told one string each:
/// Chromium waits for as many tracks as it was told codecs, so H.264 of two profiles is named once, as a decoder must be
/// able to that decodes both.
pub(crate) fn add_codec(named: &mut Vec<InitTrack>, track: &InitTrack) {
    let known = named.iter_mut().any(|have| {
        have.sample_entry == track.sample_entry
            && (cover(&mut have.config, &track.config) || codec_string(have) == codec_string(track))
    });
    if !known {
        named.push(track.clone());
    }
}

/// Makes a configuration name what both need; `false` where that cannot be said of them.
fn cover(have: &mut CodecConfig, more: &CodecConfig) -> bool {
    match (have, more) {
        // Profile, constraints and level. Profiles with larger numbers have all that smaller ones have.
        (CodecConfig::Avc(a), CodecConfig::Avc(b)) if a.len() > 3 && b.len() > 3 => {
            a[1] = a[1].max(b[1]);
            a[2] &= b[2];
            a[3] = a[3].max(b[3]);
        }
        // Tier and profile, then the level: the flags between belong to the one profile.
        (CodecConfig::Hevc(a), CodecConfig::Hevc(b)) if a.len() > 12 && b.len() > 12 => {
            if (b[1], b[12]) > (a[1], a[12]) {
                a.clone_from(b);
            }
        }
        _ => return false,
    }
    true
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

    #[test]
    fn files_of_one_codec_are_named_once() {
        let named = |tracks: &[InitTrack]| {
            let mut named = Vec::new();
            tracks.iter().for_each(|t| add_codec(&mut named, t));
            named.iter().filter_map(codec_string).collect::<Vec<_>>()
        };
        let avc = |words: [u8; 3]| track(b"avc1", CodecConfig::Avc([&[1], &words[..], &[0xff]].concat()));
        let hevc = |profile, level| {
            let config = vec![1, profile, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, level];
            track(b"hvc1", CodecConfig::Hevc(config))
        };
        let opus = track(b"Opus", CodecConfig::Unknown);
        let (high, main) = (avc([0x64, 0, 0x0d]), avc([0x4d, 0x40, 0x1f]));
        for pair in [[high.clone(), main.clone()], [main, high.clone()]] {
            assert_eq!(named(&pair), ["avc1.64001f"]);
        }
        let base = avc([0x42, 0xc0, 0x1e]);
        assert_eq!(
            named(&[base.clone(), opus.clone(), base]),
            ["avc1.42c01e", "opus"]
        );
        for pair in [[hevc(1, 90), hevc(1, 120)], [hevc(1, 120), hevc(1, 90)]] {
            assert_eq!(named(&pair), ["hvc1.1.6.L120.90"]);
        }
        // What is another codec is named.
        assert_eq!(
            named(&[high, hevc(1, 93), opus]),
            ["avc1.64000d", "hvc1.1.6.L93.90", "opus"]
        );
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(data in prop::collection::vec(any::<u8>(), 0..60)) {
            for config in [CodecConfig::Avc(data.clone()), CodecConfig::Hevc(data.clone()), CodecConfig::Esds(data)] {
                let one = track(b"abcd", config);
                let _ = codec_string(&one);
                let mut named = vec![track(b"abcd", CodecConfig::Avc(vec![1, 100, 0, 30]))];
                add_codec(&mut named, &one);
                add_codec(&mut named, &one);
                prop_assert!(named.len() <= 2);
            }
        }
    }
}
