//! What must hold for any bytes whatever: the body of the fuzz target `boxes`.

use std::io::Cursor;

use super::codec;
use super::describe;
use super::growing::{GrowingIndex, scan};
use super::index::FragmentIndex;
use super::mfra::{closing_boxes, read_closed};
use super::samples::StoredSamples;

/// Feeds any bytes to every reader of this room and checks what must hold for all of them: no panic,
/// streaming and scanning agree, a file cut at `whole_len` is whole, indexes survive their blob.
///
/// # Panics
/// When something does not hold: that is what a fuzzer looks for.
pub fn exercise(data: &[u8]) {
    let mut growing = GrowingIndex::new();
    let piece = 1 + data.len() % 61;
    let streamed = data.chunks(piece).try_for_each(|d| growing.push(d));
    let found = scan(&mut Cursor::new(data)).expect("memory reads without error");
    assert_eq!(found.problem.is_some(), streamed.is_err());
    assert_eq!(&found.index, growing.index());
    assert_eq!(found.init.as_ref(), growing.init());
    assert!(found.whole_len <= data.len() as u64);

    let index = &found.index;
    assert!(index.fragments.is_sorted_by_key(|f| f.start_ns));
    assert!(index.fragments.iter().all(|f| f.duration_ns >= 0));
    assert_eq!(
        &FragmentIndex::from_blob(&index.to_blob()).expect("our own blob"),
        index
    );
    for t in [i64::MIN, 0, index.duration_ns() / 2, i64::MAX] {
        assert!(
            index
                .containing(t)
                .is_none_or(|i| index.fragments[i].start_ns <= t)
        );
        assert!(
            index
                .keyframe_at_or_before(t)
                .is_none_or(|i| index.fragments[i].keyframe)
        );
    }
    if let Some(init) = &found.init {
        let _ = codec::codecs(init);
        let whole = &data[..found.whole_len as usize];
        let again = scan(&mut Cursor::new(whole)).expect("memory reads without error");
        assert!(again.problem.is_none());
        assert_eq!(&again.index, index);
        if let Some(table) = again.samples.to_box() {
            let table = StoredSamples::from_box(&table).expect("our own table");
            let _ = table.read(&index.fragments, 0..index.fragments.len(), |_| Ok(()));
        }
        let closed = [whole, &closing_boxes(index, init, &again.samples)].concat();
        let info = read_closed(&mut Cursor::new(&closed)).expect("memory reads without error");
        assert_eq!(info.is_some(), again.description.is_some());
        assert!(info.is_none_or(|i| &i.index == index));
    }
    let _ = read_closed(&mut Cursor::new(data)).expect("memory reads without error");
    let _ = describe::from_box(data);
    let _ = StoredSamples::from_box(data);
    if let Ok(index) = FragmentIndex::from_blob(data) {
        assert_eq!(
            FragmentIndex::from_blob(&index.to_blob()).expect("our own blob"),
            index
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe::tests::any_start;
    use super::super::testing::SyntheticSegment;
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    /// Inputs that once broke something.
    #[test]
    fn what_fuzzing_found() {
        exercise(&[
            0x01, 0x00, 0x00, 0xd1, 0x00, 0xa0, 0x29, 0x03, 0x02, 0x48, 0xf7, 0xff, 0xff, 0xf1, 0x5f, 0xd6,
            0xfc, 0xfd, 0x48, 0x7e, 0xc2, 0xaa, 0x41, 0xb2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x27, 0x40,
            0x44, 0x9a, 0xca, 0xcc, 0x78,
        ]);
    }

    /// Overwrites, cuts, repeats and swaps stretches of a file, and puts nasty numbers into it.
    fn mutate(file: &mut Vec<u8>, edits: &[(u8, u32, u32, u32)]) {
        for &(kind, a, b, value) in edits {
            if file.len() < 8 {
                return;
            }
            let len = file.len() - 4;
            let at = |n: u32| n as usize % len;
            let (from, to) = (at(a).min(at(b)), at(a).max(at(b)).min(at(a).min(at(b)) + 300));
            // Most of what matters stands near the start.
            let head = at(a) % 1500.min(len);
            match kind % 7 {
                0 => file[at(a)] = value as u8,
                1 => file[head] ^= 1 << (value % 8),
                2 => file[head..head + 4].copy_from_slice(&value.to_be_bytes()),
                3 => file.truncate(at(a).max(100)),
                4 => drop(file.drain(from..to)),
                5 => {
                    let copy = file[from..to].to_vec();
                    let at = head;
                    file.splice(at..at, copy);
                }
                _ => {
                    let nasty = [0, 1, 7, 8, 0x7fff_ffff, 0x8000_0000, u32::MAX];
                    let n = nasty[value as usize % nasty.len()];
                    file[head..head + 4].copy_from_slice(&n.to_be_bytes());
                }
            }
        }
    }

    fn edits() -> impl Strategy<Value = Vec<(u8, u32, u32, u32)>> {
        prop::collection::vec(any::<(u8, u32, u32, u32)>(), 1..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn mutated_segments(start in any_start(), edits in edits(), seed in any::<u64>()) {
            let mut s = SyntheticSegment {
                frames: 12,
                gop: 6,
                chunk: 2,
                frame_bytes: 80,
                audio: seed % 2 == 0,
                b_frames: seed % 3 == 0,
                description: Some(start),
                closed: true,
                seed,
                ..SyntheticSegment::new()
            }
            .build();
            mutate(&mut s.bytes, &edits);
            exercise(&s.bytes);
        }

        #[test]
        fn garbage(data in prop::collection::vec(any::<u8>(), 0..300)) {
            exercise(&data);
        }
    }

    #[test]
    fn mutated_files_of_another_muxer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mp4");
        let made = Command::new("ffmpeg")
            .args([
                "-v",
                "error",
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=64x64:rate=25:duration=1",
            ])
            .args([
                "-f",
                "lavfi",
                "-i",
                "sine=duration=1",
                "-c:v",
                "libx264",
                "-bf",
                "2",
                "-c:a",
                "aac",
            ])
            .args([
                "-frag_duration",
                "200000",
                "-movflags",
                "empty_moov+default_base_moof",
            ])
            .arg(&path)
            .status()
            .expect("ffmpeg is needed by this test");
        assert!(made.success());
        let file = std::fs::read(&path).unwrap();
        exercise(&file);
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(1000));
        runner
            .run(&edits(), |edits| {
                let mut file = file.clone();
                mutate(&mut file, &edits);
                exercise(&file);
                Ok(())
            })
            .unwrap();
    }
}
