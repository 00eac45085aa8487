use proptest::prelude::*;

use super::super::growing::GrowingIndex;
use super::super::index::FragmentIndex;
use super::super::testing::{Synthetic, SyntheticSegment, VIDEO_ID};
use super::*;
use crate::track::VideoCodec;

const HEVC: NewVideo<'_> = NewVideo {
    codec: VideoCodec::H265,
    config: b"hevc configuration",
    size: None,
};

/// Rewrites a segment with other video bytes: `len(n)` of them in frame `n` of the order of presentation.
fn rewrite(s: &Synthetic, len: impl Fn(usize) -> usize) -> (Vec<u8>, Vec<Chunk>, bool) {
    let init = InitSegment::parse(&s.bytes[..s.init_len]).unwrap();
    let chunks: Vec<Chunk> = s
        .index
        .fragments
        .iter()
        .map(|f| {
            Chunk::read(
                s.bytes[f.offset as usize..f.end_offset() as usize].to_vec(),
                &init,
            )
            .unwrap()
        })
        .collect();
    let keep = !chunks.iter().any(Chunk::reorders);
    let mut out = init_with(&init, &HEVC).unwrap();
    let mut n = 0;
    for chunk in &chunks {
        let mut frames: Vec<&Frame> = chunk.frames.iter().collect();
        frames.sort_by_key(|f| f.pts);
        let data: Vec<Vec<u8>> = frames
            .iter()
            .enumerate()
            .map(|(i, _)| vec![(n + i) as u8; len(n + i)])
            .collect();
        let samples: Vec<NewSample<'_>> = frames
            .iter()
            .zip(&data)
            .map(|(f, data)| NewSample {
                pts: f.pts,
                duration: f.duration,
                keyframe: f.keyframe,
                data,
            })
            .collect();
        n += frames.len();
        out.extend(chunk.with_video(VIDEO_ID, &samples, keep).unwrap());
    }
    (out, chunks, keep)
}

fn index_of(bytes: &[u8]) -> (FragmentIndex, InitSegment) {
    let mut g = GrowingIndex::new();
    g.push(bytes).unwrap();
    (g.index().clone(), g.init().unwrap().clone())
}

proptest! {
    #[test]
    fn times_chunks_and_sound_stay_and_the_video_is_another(
        (frames, gop, chunk) in (1u32..60, 1u32..20, 1u32..9),
        audio: bool,
        styp: bool,
        large_mdat: bool,
        first_decode_time in prop_oneof![0u64..1000, (1u64 << 33)..(1 << 34)],
        sizes in 1usize..3000,
    ) {
        let s = SyntheticSegment {
            frames, gop, chunk, audio, styp, large_mdat, first_decode_time, frame_bytes: 2000,
            audio_only_every: audio.then_some(3),
            closed: false,
            ..SyntheticSegment::new()
        }
        .build();
        let (bytes, chunks, keep) = rewrite(&s, |n| 1 + (n * 37) % sizes);
        prop_assert!(keep);
        let (index, init) = index_of(&bytes);
        prop_assert_eq!(index.timescale, s.index.timescale);
        prop_assert_eq!(index.media_start, s.index.media_start);
        prop_assert_eq!(index.fragments.len(), s.index.fragments.len());
        for (new, old) in index.fragments.iter().zip(&s.index.fragments) {
            prop_assert_eq!((new.start_ns, new.duration_ns, new.keyframe), (old.start_ns, old.duration_ns, old.keyframe));
        }
        let mut n = 0;
        for (f, old) in index.fragments.iter().zip(&chunks) {
            let new = Chunk::read(bytes[f.offset as usize..f.end_offset() as usize].to_vec(), &init).unwrap();
            let times = |c: &Chunk| c.frames.iter().map(|f| (f.pts, f.dts, f.duration, f.keyframe)).collect::<Vec<_>>();
            prop_assert_eq!(times(&new), times(old));
            for frame in &new.frames {
                let bytes = &new.bytes[frame.data.clone()];
                prop_assert_eq!(bytes.len(), 1 + (n * 37) % sizes);
                prop_assert!(bytes.iter().all(|&b| b == n as u8));
                n += 1;
            }
            prop_assert!(new.other_samples().eq(old.other_samples()));
        }
        prop_assert_eq!(n, frames as usize);
    }

    #[test]
    fn damage_does_not_panic(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let s = SyntheticSegment { frames: 6, audio: true, ..SyntheticSegment::new() }.build();
        let init = InitSegment::parse(&s.bytes[..s.init_len]).unwrap();
        let f = s.index.fragments[0];
        let mut bytes = s.bytes[f.offset as usize..f.end_offset() as usize].to_vec();
        let i = at.index(bytes.len());
        bytes[i] = byte;
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Ok(chunk) = Chunk::read(bytes, &init) {
            let _ = chunk.other_samples().count();
        }
    }
}

#[test]
fn reordered_frames_come_out_in_the_order_of_presentation() {
    let s = SyntheticSegment {
        frames: 24,
        gop: 12,
        chunk: 12,
        b_frames: true,
        ..SyntheticSegment::new()
    }
    .build();
    let (bytes, chunks, keep) = rewrite(&s, |_| 10);
    assert!(!keep);
    let (index, init) = index_of(&bytes);
    assert_eq!(index.media_start, s.index.media_start);
    for (f, old) in index.fragments.iter().zip(&chunks) {
        let new = Chunk::read(bytes[f.offset as usize..f.end_offset() as usize].to_vec(), &init).unwrap();
        let mut shown: Vec<i64> = old.frames.iter().map(|f| f.pts).collect();
        shown.sort_unstable();
        assert_eq!(new.frames.iter().map(|f| f.pts).collect::<Vec<_>>(), shown);
        assert!(new.frames.iter().all(|f| f.pts == f.dts));
    }
}

#[test]
fn the_init_segment_says_hevc() {
    let s = SyntheticSegment {
        audio: true,
        ..SyntheticSegment::new()
    }
    .build();
    let old = InitSegment::parse(&s.bytes[..s.init_len]).unwrap();
    let new = InitSegment::parse(&init_with(&old, &HEVC).unwrap()).unwrap();
    assert_eq!(new.tracks.len(), 2);
    let (v, w) = (new.video().unwrap(), old.video().unwrap());
    assert_eq!(&v.sample_entry.0, b"hvc1");
    assert_eq!(
        v.config,
        crate::media::init::CodecConfig::Hevc(b"hevc configuration".to_vec())
    );
    assert_eq!(
        (v.id, v.timescale, v.width, v.height),
        (w.id, w.timescale, w.width, w.height)
    );
    assert_eq!(new.audio(), old.audio());
}

#[test]
fn a_header_for_another_codec_and_size() {
    let s = SyntheticSegment::new().build();
    let old = InitSegment::parse(&s.bytes[..s.init_len]).unwrap();
    let small = NewVideo {
        codec: VideoCodec::H264,
        config: b"avc configuration",
        size: Some((640, 352)),
    };
    let new = InitSegment::parse(&init_with(&old, &small).unwrap()).unwrap();
    let v = new.video().unwrap();
    assert_eq!((&v.sample_entry.0, v.width, v.height), (b"avc1", 640, 352));
    let tkhd: Vec<u8> = [640u32 << 16, 352 << 16]
        .iter()
        .flat_map(|n| n.to_be_bytes())
        .collect();
    assert!(new.bytes.windows(8).any(|w| w == tkhd), "the size that is shown");
    assert_eq!(new.audio(), old.audio());
}

#[test]
fn pictures_that_are_missing_leave_the_rest_where_it_is() {
    let s = SyntheticSegment {
        audio: true,
        ..SyntheticSegment::new()
    }
    .build();
    let init = InitSegment::parse(&s.bytes[..s.init_len]).unwrap();
    let f = &s.index.fragments[1];
    let chunk = Chunk::read(
        s.bytes[f.offset as usize..f.end_offset() as usize].to_vec(),
        &init,
    )
    .unwrap();
    let frames: Vec<&Frame> = chunk.frames.iter().skip(1).collect();
    let samples: Vec<NewSample<'_>> = frames
        .iter()
        .map(|f| NewSample {
            pts: f.pts,
            duration: f.duration,
            keyframe: false,
            data: b"picture",
        })
        .collect();
    for n in [0, 1, samples.len()] {
        let again = Chunk::read(chunk.with_pictures(VIDEO_ID, &samples[..n]), &init).unwrap();
        let times: Vec<i64> = again.frames.iter().map(|f| f.pts).collect();
        assert_eq!(times, frames[..n].iter().map(|f| f.pts).collect::<Vec<_>>());
        assert!(
            again
                .frames
                .iter()
                .all(|f| &again.bytes[f.data.clone()] == b"picture")
        );
        assert!(again.other_samples().eq(chunk.other_samples()));
    }
}
