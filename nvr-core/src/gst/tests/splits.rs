//! Sound that comes later than the pictures it goes with, over splits.

use super::feeding::Feeding;

/// Feeds groups of ten frames with a split before each third, and a pause behind each frame where a source says so.
fn sounds(late_ms: i64, frame_ms: i64, bframes: bool, pauses: bool) {
    // I P B B P B B P B B, or each as it is shown.
    let order = if bframes {
        [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
    } else {
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    };
    let reorder = if bframes { 2 * frame_ms } else { 0 };
    let mut f = Feeding::new(Some(late_ms));
    for group in 0..12 {
        if group > 0 && group % 3 == 0 {
            f.split();
        }
        for (i, place) in order.iter().enumerate() {
            let dts = (group * 10 + i as i64) * frame_ms;
            let pts = (group * 10 + place) * frame_ms + reorder;
            f.feed(&[(pts, dts, i == 0)], dts + frame_ms);
            if pauses {
                f.pause();
            }
        }
    }
    let files = f.finish();
    assert_eq!(files.len(), 4, "late {late_ms} {frame_ms} {bframes} {pauses}");
    for file in &files[..3] {
        // It sounds as long as it shows.
        let shown = file.video.iter().map(|v| v.pts).fold(0.0, f64::max) + frame_ms as f64 / 1000.0;
        let sounds = file.audio.last().unwrap().pts + 0.0214;
        assert!(
            (sounds - shown).abs() < 0.025 + reorder as f64 / 1000.0,
            "late {late_ms} {frame_ms} {bframes} {pauses}: shows until {shown}, sounds until {sounds}"
        );
    }
}

#[test]
fn late_sound_is_in_the_file_of_its_time() {
    for late_ms in [0, 30, 150, 290] {
        for frame_ms in [40, 100] {
            for bframes in [false, true] {
                for pauses in [false, true] {
                    sounds(late_ms, frame_ms, bframes, pauses);
                }
            }
        }
    }
}
