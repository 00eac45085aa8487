//! Streams whose frames come seldom or with holes: every frame in a file, with its time, and no file for each.

use super::feeding::Feeding;

type Frames = Vec<(i64, i64, bool)>;

/// Frames at times with a keyframe each `gop`.
fn at(times: impl IntoIterator<Item = i64>, gop: usize) -> Frames {
    times
        .into_iter()
        .enumerate()
        .map(|(i, t)| (t, t, i % gop == 0))
        .collect()
}

/// Without audio, with audio, and with audio that is late.
fn each_audio(frames: &Frames, files: usize) {
    let ends = frames.last().unwrap().0 + 3000;
    for audio in [None, Some(0), Some(250)] {
        let mut f = Feeding::new(audio);
        f.feed(frames, ends);
        let probes = f.finish();
        assert_eq!(probes.len(), files, "audio {audio:?}");
    }
}

#[test]
fn one_frame_a_second() {
    for gop in [1, 10] {
        each_audio(&at((0..50).map(|i| i * 1000), gop), 1);
    }
}

#[test]
fn one_frame_in_five_seconds() {
    for gop in [1, 4] {
        // A segment lasts a minute.
        each_audio(&at((0..20).map(|i| i * 5000), gop), 2);
    }
}

#[test]
fn frames_of_a_smart_codec_seconds_apart_in_mid_group() {
    let mut t = 0;
    let times = (0..40).map(|i| {
        t += [40, 200, 40, 5000, 700, 1100, 40, 3000, 1500, 40, 40][i % 11];
        t
    });
    each_audio(&at(times.collect::<Vec<_>>(), 100), 1);
}

#[test]
fn holes_in_mid_group_and_at_keyframes() {
    for hole in [900, 1500, 3000, 9000] {
        for before in [20, 25] {
            // Groups of ten: frame 20 is a keyframe.
            let times = (0..60).map(|i| i * 40 + if i >= before { hole } else { 0 });
            each_audio(&at(times, 10), 1);
        }
    }
}

#[test]
fn b_frames_with_holes() {
    // I P B B P B B …, groups of 12 whose last frame is a P frame.
    let order = [0i64, 3, 1, 2, 6, 4, 5, 9, 7, 8, 11, 10];
    for hole in [0, 1500, 4000] {
        let frames: Frames = (0..72)
            .map(|d: usize| {
                let (group, i) = (d / 12, d % 12);
                let dts = d as i64 * 40;
                let pts = (group as i64 * 12 + order[i]) * 40 + 80;
                let late = if d >= 40 { hole } else { 0 };
                (pts + late, dts + late, i == 0)
            })
            .collect();
        each_audio(&frames, 1);
    }
}

/// Also where the last frame begins a chunk: a muxer that waits for one more unit of each track fails there.
#[test]
fn a_file_may_end_after_any_frame() {
    for frames in 1..=30 {
        let mut f = Feeding::new(Some(0));
        f.feed(&at((0..frames).map(|i| i * 40), 12), frames * 40);
        assert_eq!(f.finish().len(), 1, "{frames} frames");
    }
}
