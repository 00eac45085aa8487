//! Gaps, overlaps, changes of parameters, random reads: real material, particular situations.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::material::{EPOCH, Kind, at_ms, encode, range_ms, run, segment, three};
use super::real::{check_order, export, frames, packets};
use crate::error::ErrorKind;
use crate::media::boxes::{Boxes, find, find_path};
use crate::media::clip::edges::look;
use crate::media::clip::fmp4::Fmp4;
use crate::media::clip::plan::common_init;
use crate::media::clip::{Clip, ClipSegment, FileStamp, Format, OnChange, plan};
use crate::media::testing::SyntheticSegment;

const FORMATS: [Format; 2] = [Format::Fmp4, Format::Mp4];

#[test]
fn random_reads_equal_a_sequential_one() {
    let dir = tempfile::tempdir().unwrap();
    let (segments, _) = three(dir.path(), Kind::H264B);
    let config = Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    };
    let input = (
        0i64..8900,
        40i64..9000,
        prop::bool::ANY,
        prop::collection::vec((0.0..1.0f64, 0usize..70_000), 40),
    );
    let checked = TestRunner::new(config).run(&input, |(from, len, fragmented, reads)| {
        let format = FORMATS[usize::from(!fragmented)];
        let plans = plan(&segments, range_ms(from, from + len), format, OnChange::Refuse).unwrap();
        let clip = Clip::open(&plans[0]).unwrap();
        let mut whole = Vec::new();
        clip.write_to(&mut whole, |_| true).unwrap();
        prop_assert_eq!(whole.len() as u64, clip.len());
        // Boxes fill it to the last byte.
        for b in Boxes::new(&whole) {
            prop_assert!(b.is_ok());
        }
        for (at, n) in reads {
            let at = (at * whole.len() as f64) as usize;
            let mut buf = vec![0; n];
            let got = clip.read_at(at as u64, &mut buf).unwrap();
            let end = whole.len().min(at + n);
            prop_assert_eq!(got, end - at);
            prop_assert!(buf[..got] == whole[at..end], "{} bytes from {} differ", n, at);
        }
        prop_assert_eq!(clip.read_at(clip.len(), &mut [0; 8]).unwrap(), 0);
        prop_assert_eq!(clip.read_at(u64::MAX, &mut [0; 8]).unwrap(), 0);
        // The same question, the same file.
        let again =
            Clip::open(&plan(&segments, range_ms(from, from + len), format, OnChange::Refuse).unwrap()[0])
                .unwrap();
        prop_assert_eq!(again.etag(), clip.etag());
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn gaps_are_closed_and_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, paths) = three(dir.path(), Kind::H264B);
    segments.truncate(2);
    segments[1].start = at_ms(10_000);
    let expected: Vec<String> = paths[..2].iter().flat_map(|p| frames(p, &[])).collect();
    let out = dir.path().join("clip.mp4");
    for format in FORMATS {
        let clip = export(&segments, range_ms(-5000, 60_000), format, &out);
        assert!(frames(&out, &[]) == expected);
        check_order(&packets(&out, "v"), "gap");
        check_order(&packets(&out, "a"), "gap");
        let map: Vec<_> = clip
            .mapping()
            .iter()
            .map(|m| (m.clip_ns / 1000, m.utc, m.duration_ns / 1000))
            .collect();
        assert_eq!(
            map,
            [(0, EPOCH, 3_000_000), (3_000_000, at_ms(10_000), 3_000_000)]
        );
    }
    let e = plan(&segments, range_ms(4000, 9000), Format::Mp4, OnChange::Refuse).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    let hint = e.hint().unwrap();
    assert!(
        hint.contains(&at_ms(3000).to_string()) && hint.contains(&at_ms(10_000).to_string()),
        "{hint}"
    );
    let e = plan(&segments, range_ms(1, 1), Format::Mp4, OnChange::Refuse).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn the_later_run_wins_after_a_step_back() {
    let dir = tempfile::tempdir().unwrap();
    let (_, paths) = three(dir.path(), Kind::H264B);
    let segments = [segment(&paths[0], 0, 7), segment(&paths[1], 2000, 8)];
    let out = dir.path().join("clip.mp4");
    let clip = export(&segments, range_ms(0, 60_000), Format::Mp4, &out);
    let (a, b) = (frames(&paths[0], &[]), frames(&paths[1], &[]));
    let got = frames(&out, &[]);
    // With B-frames the frames needed to decode the last ones before the cut stay.
    let extra = got.len() - (50 + 75);
    assert!(extra <= 3, "{extra}");
    assert!(got[..50] == a[..50] && got[50 + extra..] == b);
    assert_eq!(clip.mapping()[1].utc, at_ms(2000));
    run(
        "ffmpeg",
        &["-v", "error", "-i", out.to_str().unwrap(), "-f", "null", "-"],
    );
}

#[test]
fn a_change_of_size_is_refused_or_split() {
    let dir = tempfile::tempdir().unwrap();
    let small = encode(dir.path(), Kind::H264, 0);
    let large = encode(dir.path(), Kind::H264Large, 1);
    let segments = [segment(&small, 0, 0), segment(&large, 3000, 1)];
    for format in FORMATS {
        let e = plan(&segments, range_ms(1200, 5000), format, OnChange::Refuse).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Conflict);
        let text = e.to_string();
        for part in [
            at_ms(1200).to_string(),
            at_ms(3000).to_string(),
            "320x240".into(),
            "192x144".into(),
        ] {
            assert!(text.contains(&part), "{text}");
        }
        let plans = plan(&segments, range_ms(1200, 5000), format, OnChange::Split).unwrap();
        let ranges: Vec<_> = plans.iter().map(|p| p.range).collect();
        assert_eq!(ranges, [range_ms(1200, 3000), range_ms(3000, 5000)]);
        for p in &plans {
            let clip = Clip::open(p).unwrap();
            let out = dir.path().join("part.mp4");
            clip.write_to(&mut std::fs::File::create(&out).unwrap(), |_| true)
                .unwrap();
            assert!(frames(&out, &[]).len() >= 45);
        }
    }
    assert_eq!(
        plan(&segments, range_ms(0, 2900), Format::Mp4, OnChange::Refuse)
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn audio_that_comes_and_goes_stays_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let paths = [
        encode(dir.path(), Kind::H264NoAudio, 0),
        encode(dir.path(), Kind::H264, 1),
        encode(dir.path(), Kind::H264NoAudio, 2),
    ];
    let segments: Vec<_> = paths
        .iter()
        .zip([0, 3000, 6000])
        .map(|(p, at)| segment(p, at, 0))
        .collect();
    let all: Vec<String> = paths.iter().flat_map(|p| frames(p, &[])).collect();
    let out = dir.path().join("clip.mp4");
    for format in FORMATS {
        let clip = export(&segments, range_ms(0, 9000), format, &out);
        assert!(clip.content_type().contains("mp4a"));
        assert!(frames(&out, &[]) == all, "{format:?}");
        let audio = packets(&out, "a");
        let first = audio.iter().find(|p| !p.discarded).unwrap();
        assert!((first.pts - 3.0).abs() < 0.05, "{format:?}: {first:?}");
        assert!(audio.last().unwrap().pts < 6.1);
        run(
            "ffmpeg",
            &["-v", "error", "-i", out.to_str().unwrap(), "-f", "null", "-"],
        );
    }
}

/// The recorder's muxer writes the last audio of a file with no length. What is put behind it must not overlap it.
#[test]
fn the_last_audio_of_a_file_lasts_as_long_as_any() {
    let spec = SyntheticSegment {
        audio: true,
        audio_open_end: true,
        ..SyntheticSegment::new()
    };
    let built = spec.build();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("open-end.mp4");
    std::fs::write(&path, &built.bytes).unwrap();
    let segments = [segment(&path, 0, 0), segment(&path, 10_000, 0)];
    let of = |format| plan(&segments, range_ms(0, 60_000), format, OnChange::Refuse).unwrap();
    // 4 s at 48 kHz are 187 whole AAC frames.
    for part in &of(Format::Fmp4)[0].parts {
        let audio = look(part).unwrap().edges.audio.unwrap();
        assert_eq!(audio.end_dts - audio.first_dts, 187 * 1024);
    }
    let clip = Clip::open(&of(Format::Mp4)[0]).unwrap();
    let mut whole = Vec::new();
    clip.write_to(&mut whole, |_| true).unwrap();
    let tables: Vec<usize> = (4..whole.len())
        .filter(|&i| whole[i..].starts_with(b"stts"))
        .collect();
    let word = |at: usize| u32::from_be_bytes(whole[at..at + 4].try_into().unwrap());
    let audio = tables[1];
    let lengths: Vec<u32> = (0..word(audio + 8) as usize)
        .map(|i| word(audio + 16 + 8 * i))
        .collect();
    assert!(lengths.iter().all(|&l| l >= 1024), "{lengths:?}");
}

#[test]
fn wide_decode_times() {
    let dir = tempfile::tempdir().unwrap();
    let (segments, _) = three(dir.path(), Kind::H264B);
    let plans = plan(&segments, range_ms(0, 9000), Format::Fmp4, OnChange::Refuse).unwrap();
    let init = common_init(&plans[0].parts).unwrap();
    let narrow = Fmp4::open(&plans[0], &init).unwrap();
    let wide = Fmp4::open_with(&plans[0], &init, 0).unwrap();
    let fragments: usize = plans[0].parts.iter().map(|p| p.fragments.len()).sum();
    assert_eq!(wide.len(), narrow.len() + 16 * fragments as u64);
    let mut paths = Vec::new();
    for (name, clip) in [("narrow.mp4", &narrow), ("wide.mp4", &wide)] {
        let mut whole = vec![0; clip.len() as usize];
        clip.read_exact(0, &mut whole).unwrap();
        for at in (0..whole.len()).step_by(977) {
            let mut piece = [0; 100];
            let n = piece.len().min(whole.len() - at);
            clip.read_exact(at as u64, &mut piece[..n]).unwrap();
            assert_eq!(piece[..n], whole[at..at + n]);
        }
        paths.push(dir.path().join(name));
        std::fs::write(paths.last().unwrap(), whole).unwrap();
    }
    assert!(frames(&paths[0], &[]) == frames(&paths[1], &[]));
    for stream in ["v", "a"] {
        assert_eq!(packets(&paths[0], stream), packets(&paths[1], stream));
    }
}

/// Sizes and offsets of the samples of a progressive file's first track.
fn first_track(file: &[u8]) -> Vec<std::ops::Range<usize>> {
    let moov = find(file, b"moov").unwrap().unwrap();
    let path: [&[u8; 4]; 4] = [b"trak", b"mdia", b"minf", b"stbl"];
    let stbl = find_path(moov.body(), &path).unwrap().unwrap();
    let table = |kind| {
        let numbers = find(stbl.body(), kind).unwrap().unwrap().body()[4..].chunks_exact(4);
        let numbers = numbers.map(|n| u32::from_be_bytes(n.try_into().unwrap()) as usize);
        numbers.collect::<Vec<_>>()
    };
    let (sizes, offsets, in_chunks) = (table(b"stsz"), table(b"stco"), table(b"stsc"));
    let mut sizes = sizes[2..].iter();
    let mut samples = Vec::new();
    for (chunk, &offset) in (1..).zip(&offsets[1..]) {
        let entry = in_chunks[1..].chunks_exact(3).rfind(|e| e[0] <= chunk).unwrap();
        let mut at = offset;
        for size in sizes.by_ref().take(entry[1]) {
            samples.push(at..at + size);
            at += size;
        }
    }
    samples
}

#[test]
fn a_file_of_many_fragments_is_as_one_of_few() {
    // Heads that are read together, and such as are read one by one.
    for (frame_bytes, seed) in [(2_000, 1), (80_000, 2)] {
        let made = SyntheticSegment {
            frames: 1600,
            gop: 8,
            chunk: 2,
            b_frames: true,
            audio: true,
            frame_bytes,
            seed,
            closed: true,
            ..SyntheticSegment::new()
        }
        .build();
        assert!(made.index.fragments.len() >= 600, "several threads read it");
        let clip = |bytes: &[u8], has_table: bool, from: i64, to: i64| {
            let s = ClipSegment::new(
                "many.mp4",
                EPOCH,
                0,
                Arc::new(bytes.to_vec()),
                Arc::new(made.index.clone()),
                FileStamp::Size(1),
            );
            assert_eq!(s.sample_table().is_some(), has_table);
            let plans = plan(&[s], range_ms(from, to), Format::Mp4, OnChange::Refuse).unwrap();
            let mut file = Vec::new();
            Clip::open(&plans[0])
                .unwrap()
                .write_to(&mut file, |_| true)
                .unwrap();
            file
        };
        let samples = |file: &[u8]| -> Vec<Vec<u8>> {
            first_track(file).into_iter().map(|r| file[r].to_vec()).collect()
        };
        let all: Vec<&[u8]> = made
            .frames
            .iter()
            .map(|f| &made.bytes[f.offset as usize..][..f.size as usize])
            .collect();
        let whole = clip(&made.bytes, true, 0, 1_000_000);
        assert!(
            samples(&whole) == all,
            "each frame once, in order, with its bytes"
        );
        let part = clip(&made.bytes, true, 20_000, 24_000);
        let shown = samples(&part);
        assert!(all.windows(shown.len()).any(|w| w == shown) && (100..120).contains(&shown.len()));

        // Neither a file that lost its end nor one whose table is damaged looks different.
        let end = made.index.tail_offset() as usize;
        let mut damaged = made.bytes.clone();
        damaged[end + 60] ^= 1;
        for file in [&made.bytes[..end], &damaged] {
            assert!(clip(file, false, 0, 1_000_000) == whole);
            assert!(clip(file, false, 20_000, 24_000) == part);
        }
    }
}

#[test]
fn a_truncated_file_is_an_error_that_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let path = encode(dir.path(), Kind::H264, 0);
    let s = segment(&path, 0, 0);
    let half = s.file.size().unwrap() / 2;
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(half)
        .unwrap();
    for format in FORMATS {
        let plans = plan(
            std::slice::from_ref(&s),
            range_ms(0, 3000),
            format,
            OnChange::Refuse,
        )
        .unwrap();
        let e = Clip::open(&plans[0]).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Corrupt);
        assert!(e.to_string().contains("H264-0.mp4"), "{e}");
    }
}

#[test]
fn damaged_files_are_errors_not_panics() {
    let dir = tempfile::tempdir().unwrap();
    let path = encode(dir.path(), Kind::H264B, 0);
    let good = segment(&path, 0, 0);
    let bytes = std::fs::read(&path).unwrap();
    // Where the boxes are: the header and the first 300 bytes of each fragment.
    let mut structure: Vec<usize> = (0..good.index.header_len as usize).collect();
    for f in &good.index.fragments {
        structure.extend(f.offset as usize..(f.offset + 300).min(f.end_offset()) as usize);
    }
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    let input = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    let checked = TestRunner::new(config).run(&input, |damage| {
        let mut bytes = bytes.clone();
        for (at, value) in damage {
            bytes[*at.get(&structure)] = value;
        }
        let s = ClipSegment::new(
            "x.mp4",
            EPOCH,
            0,
            Arc::new(bytes),
            Arc::clone(&good.index),
            FileStamp::Growing,
        );
        for format in FORMATS {
            let Ok(plans) = plan(
                std::slice::from_ref(&s),
                range_ms(1200, 2500),
                format,
                OnChange::Split,
            ) else {
                continue;
            };
            if let Ok(clip) = Clip::open(&plans[0]) {
                let mut whole = Vec::new();
                if clip.write_to(&mut whole, |_| true).is_ok() {
                    prop_assert_eq!(whole.len() as u64, clip.len());
                }
            }
        }
        Ok(())
    });
    checked.unwrap();
}

#[tokio::test]
async fn a_stream_is_the_same_bytes() {
    use tokio_stream::StreamExt;
    let dir = tempfile::tempdir().unwrap();
    let path = encode(dir.path(), Kind::H264, 0);
    let plans = plan(
        &[segment(&path, 0, 0)],
        range_ms(100, 2900),
        Format::Fmp4,
        OnChange::Refuse,
    )
    .unwrap();
    let clip = Arc::new(Clip::open(&plans[0]).unwrap());
    let mut whole = Vec::new();
    clip.write_to(&mut whole, |_| true).unwrap();
    for range in [0..u64::MAX, 17..clip.len() - 3, 5..5] {
        let mut stream = Arc::clone(&clip).stream(range.clone());
        let mut got = Vec::new();
        while let Some(piece) = stream.next().await {
            got.extend(piece.unwrap());
        }
        let end = whole.len().min(usize::try_from(range.end).unwrap_or(usize::MAX));
        assert_eq!(got, whole[range.start as usize..end.max(range.start as usize)]);
    }
}
