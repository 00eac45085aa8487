//! Tests of [`super`].

use super::*;
use crate::media::testing::{Synthetic, SyntheticSegment};
use proptest::prelude::*;
use std::io::Cursor;

fn pushed(file: &[u8]) -> GrowingIndex {
    let mut g = GrowingIndex::new();
    g.push(file).unwrap();
    g
}

#[test]
fn whole_file_at_once() {
    let s = SyntheticSegment::new().build();
    let g = pushed(&s.bytes);
    assert_eq!(g.index(), &s.index);
    assert_eq!(g.index().fragments.len(), 20);
    assert_eq!(g.index().duration_ns(), 4_000_000_000);
    assert_eq!(g.whole_len(), s.bytes.len() as u64);
    let init = g.init().unwrap();
    assert_eq!(init.bytes, &s.bytes[..s.init_len]);
    assert_eq!(
        (init.video().unwrap().width, init.video().unwrap().height),
        (128, 72)
    );
}

#[test]
fn the_writer_learns_where_moov_ends() {
    let s = SyntheticSegment::new().build();
    for piece in [1, 7, 100, 100_000] {
        let mut g = GrowingIndex::new();
        let mut taken = 0;
        for data in s.bytes.chunks(piece) {
            taken += g.push_until_init(data).unwrap();
            if g.init().is_some() {
                break;
            }
        }
        assert_eq!(taken, s.init_len);
        assert_eq!(
            g.push_until_init(&s.bytes[taken..]).unwrap(),
            s.bytes.len() - taken
        );
        assert_eq!(g.index(), &s.index);
    }
}

#[test]
fn bytes_that_are_no_fragmented_mp4_are_refused() {
    let s = SyntheticSegment::new().build();
    let init = &s.bytes[..s.init_len];
    let moov = &init[28..];
    let at = s.init_len;
    let moof_len = u32::from_be_bytes(s.bytes[at..at + 4].try_into().unwrap()) as usize;
    let moof = &s.bytes[at..at + moof_len];
    for (bad, before) in [
        ([init, moov].concat(), "second moov"),
        (b"\0\0\0\x09mdat1".to_vec(), "mdat first"),
        ([init, b"\0\0\0\0mdat1234"].concat(), "open mdat"),
        ([init, &[0; 64]].concat(), "zeros"),
        ([init, moof, moof].concat(), "moof upon moof"),
        ([init, moof, b"\0\0\0\x0amdat12"].concat(), "samples beyond mdat"),
        ([&init[..28], b"\x7f\0\0\0moov1234"].concat(), "huge moov"),
    ] {
        let mut g = GrowingIndex::new();
        assert_eq!(g.push(&bad).unwrap_err().kind(), ErrorKind::Corrupt, "{before}");
        assert!(g.push(b"").is_err());
        assert!(
            scan(&mut Cursor::new(&bad)).unwrap().problem.is_some(),
            "{before}"
        );
    }
}

#[test]
fn zeros_behind_the_last_fragment_are_cut() {
    let s = SyntheticSegment::new().build();
    let whole = s.bytes.len() as u64;
    let mut bytes = s.bytes;
    bytes.extend([0; 5000]);
    let found = scan(&mut Cursor::new(bytes)).unwrap();
    assert_eq!((found.index, found.whole_len), (s.index, whole));
    assert!(found.problem.is_some() && !found.has_mfra);
}

#[test]
fn every_truncation_keeps_exactly_the_whole_fragments() {
    let s = SyntheticSegment {
        frames: 30,
        gop: 12,
        frame_bytes: 60,
        audio: true,
        audio_only_every: Some(2),
        styp: true,
        b_frames: true,
        closed: true,
        ..SyntheticSegment::new()
    }
    .build();
    for cut in 0..=s.bytes.len() {
        let found = scan(&mut Cursor::new(&s.bytes[..cut])).unwrap();
        assert!(found.problem.is_none(), "{cut}: {:?}", found.problem);
        assert_eq!(found.has_mfra, cut == s.bytes.len());
        assert_eq!(found.init.is_some(), cut >= s.init_len);
        let whole = s
            .index
            .fragments
            .iter()
            .filter(|f| f.end_offset() <= cut as u64)
            .count();
        assert_eq!(found.index.fragments, s.index.fragments[..whole], "{cut}");
        assert_eq!(
            found.index.media_start,
            if whole > 0 { s.index.media_start } else { 0 }
        );
        let keep = match whole {
            0 if cut < s.init_len => 0,
            0 => s.index.header_len,
            n => s.index.fragments[n - 1].end_offset(),
        };
        assert_eq!(found.whole_len, keep, "{cut}");
    }
}

/// Counts what a scan reads.
struct Counting<R>(R, u64);
impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(buf)?;
        self.1 += n as u64;
        Ok(n)
    }
}
impl<R: Seek> Seek for Counting<R> {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.0.seek(pos)
    }
}

#[test]
fn a_scan_seeks_over_media_data() {
    let s = SyntheticSegment {
        frame_bytes: 200_000,
        ..SyntheticSegment::new()
    }
    .build();
    let mut reader = Counting(Cursor::new(&s.bytes), 0);
    assert_eq!(scan(&mut reader).unwrap().index, s.index);
    assert!(s.bytes.len() > 1_000_000);
    assert!(reader.1 <= READ_BYTES * 21, "{} of {}", reader.1, s.bytes.len());
}

prop_compose! {
    fn any_segment()(
        (frames, gop, chunk) in (0u32..60, 1u32..30, 1u32..12),
        timescale in prop_oneof![Just(90_000u32), Just(1000), Just(12_800), 1u32..200_000],
        frame_ticks in 1u32..9000,
        first_decode_time in prop_oneof![Just(0u64), Just(u64::from(u32::MAX) - 7000), 0u64..1 << 50],
        (b_frames, audio, styp) in any::<(bool, bool, bool)>(),
        (large_mdat, closed) in any::<(bool, bool)>(),
        audio_only_every in prop::option::of(1u32..4),
        frame_bytes in prop_oneof![1u32..100, 3000u32..6000],
        seed in any::<u64>(),
    ) -> Synthetic {
        SyntheticSegment {
            frames, gop, chunk, timescale, frame_ticks, first_decode_time, b_frames, audio,
            audio_only_every, audio_open_end: false, styp, large_mdat, frame_bytes, description: None, closed, seed,
        }.build()
    }
}

proptest! {
    #[test]
    fn pieces_scan_and_blob_agree(
        s in any_segment(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|c| c.index(s.bytes.len())).collect();
        cuts.extend([0, s.bytes.len()]);
        cuts.sort_unstable();
        let mut g = GrowingIndex::new();
        for w in cuts.windows(2) {
            g.push(&s.bytes[w[0]..w[1]]).unwrap();
            prop_assert!(g.whole_len() <= g.position());
        }
        prop_assert_eq!(g.index(), &s.index);
        let found = scan(&mut Cursor::new(&s.bytes)).unwrap();
        prop_assert!(found.problem.is_none());
        prop_assert_eq!(&found.index, &s.index);
        prop_assert_eq!(FragmentIndex::from_blob(&s.index.to_blob()).unwrap(), s.index);
    }

    #[test]
    fn truncation_anywhere(s in any_segment(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(s.bytes.len());
        let found = scan(&mut Cursor::new(&s.bytes[..cut])).unwrap();
        let whole = s.index.fragments.iter().filter(|f| f.end_offset() <= cut as u64).count();
        prop_assert_eq!(&found.index.fragments, &s.index.fragments[..whole]);
    }
}

/// Audio alone behind a frame whose duration reaches over the next frame.
#[test]
fn starts_never_fall() {
    let spec = SyntheticSegment {
        audio: true,
        audio_only_every: Some(1),
        frames: 10,
        chunk: 2,
        ..SyntheticSegment::new()
    };
    let s = spec.build();
    let mut bytes = s.bytes;
    // The default duration in the first `tfhd`, behind its version, flags and track id.
    let at = bytes.windows(4).position(|w| w == b"tfhd").unwrap() + 12;
    assert_eq!(bytes[at..at + 4], spec.frame_ticks.to_be_bytes());
    bytes[at..at + 4].copy_from_slice(&(3 * spec.frame_ticks).to_be_bytes());
    let index = pushed(&bytes).into_index();
    assert_eq!(index.fragments.len(), 10);
    assert!(index.fragments.is_sorted_by_key(|f| f.start_ns), "{index:#?}");
    assert_eq!(FragmentIndex::from_blob(&index.to_blob()).unwrap(), index);
}
