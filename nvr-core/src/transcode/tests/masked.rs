//! Privacy masks: burnt into every frame, and nothing but them is other than the footage.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::super::kind::Transcoding;
use super::super::work::Outcome;
use super::rig::{MOVING, Rig, Told, footage, probed, sound};
use crate::files::replace::{LeftoverKind, leftovers};
use crate::gst::{Gate, Masking, RecodeFault, compare};
use crate::ids::CameraId;
use crate::privacy::{MaskStyle, Privacy};
use crate::time::{TimeRange, Timestamp};
use crate::track::VideoCodec;

const AREAS: &str = "window: 0.1,0.1 0.45,0.15 0.4,0.6 0.12,0.5; corner: 0.8,0.7 1,0.7 1,1 0.8,1";

fn privacy(areas: &str, style: MaskStyle) -> Privacy {
    Privacy::new(Privacy::parse_masks(areas).unwrap(), style)
}

fn mask(rig: &Rig, privacy: &Privacy) {
    rig.privacy
        .set([(CameraId::new("yard").unwrap(), privacy.clone())]);
}

/// All frames as planes of I420, decoded by others.
fn frames(path: &Path, (w, h): (usize, usize)) -> Vec<Vec<u8>> {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i", path.to_str().unwrap(), "-map", "0:v"])
        // Values as they are, whatever they mean.
        .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-"])
        .output()
        .expect("ffmpeg is needed by this test");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let size = w * h + 2 * w.div_ceil(2) * h.div_ceil(2);
    assert_eq!(out.stdout.len() % size, 0);
    out.stdout.chunks(size).map(<[u8]>::to_vec).collect()
}

/// In every frame: what is masked has the colour, the rest is as it was but for what coding does.
fn assert_masked(before: &[Vec<u8>], after: &[Vec<u8>], size: (usize, usize), privacy: &Privacy, full: bool) {
    assert_eq!(before.len(), after.len());
    let (w, h) = size;
    let cover = privacy.cover((w as u32, h as u32));
    let colours = privacy.style.yuv(h as u32, full);
    for (n, (old, new)) in before.iter().zip(after).enumerate() {
        let mut at = 0;
        for component in 0..3 {
            let shift = if component == 0 { (0, 0) } else { (1, 1) };
            let (cw, ch) = if component == 0 {
                (w, h)
            } else {
                (w.div_ceil(2), h.div_ceil(2))
            };
            let (old, new) = (&old[at..at + cw * ch], &new[at..at + cw * ch]);
            at += cw * ch;
            let mut covered = vec![false; cw * ch];
            for (y, span) in cover.spans(shift) {
                covered[y * cw + span.start..y * cw + span.end].fill(true);
            }
            let (mut far, mut sum, mut pixels) = (0, 0u64, 0u64);
            for i in 0..cw * ch {
                if !covered[i] {
                    sum += u64::from(old[i].abs_diff(new[i]));
                    pixels += 1;
                } else if let Some(colours) = colours {
                    far += usize::from(new[i].abs_diff(colours[component]) > 24);
                }
            }
            let mean = sum as f64 / pixels as f64;
            assert!(
                mean < 6.0,
                "frame {n}, component {component}: {mean:.2} off where nothing is masked"
            );
            let masked = covered.iter().filter(|c| **c).count();
            assert!(
                far * 200 < masked,
                "frame {n}, component {component}: {far} of {masked} are not covered"
            );
        }
    }
}

#[test]
fn masks_are_in_every_frame_and_the_rest_stays() {
    let blue = MaskStyle::Solid([20, 40, 200]);
    for (name, size, video, style) in [
        (
            "plain",
            (320, 240),
            &["-g", "25", "-bf", "0"][..],
            MaskStyle::default(),
        ),
        (
            "reordered",
            (320, 240),
            &["-g", "25", "-bf", "3", "-b_strategy", "0"],
            blue,
        ),
        (
            "full range, odd size",
            (326, 242),
            &["-g", "500", "-bf", "0", "-x264-params", "fullrange=on"],
            MaskStyle::default(),
        ),
        (
            "blocks",
            (320, 240),
            &["-g", "25", "-bf", "0"],
            MaskStyle::Pixelate,
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = Rig::open(dir.path());
        // Neither has a say where there are masks.
        rig.config.smaller_by_percent = 90;
        rig.config.keep_original = Duration::from_secs(3600);
        let filter = format!("testsrc2=size={}x{}:rate=25", size.0, size.1);
        let row = rig.record(&footage(dir.path(), &filter, video, 3));
        let before = dir.path().join("before.mp4");
        std::fs::copy(rig.path(&row), &before).unwrap();
        let privacy = privacy(AREAS, style);
        mask(&rig, &privacy);

        let outcome = rig.transcode(&row, &mut Told::default());
        let Outcome::Done(report) = outcome else {
            panic!("{name}: {outcome:?}")
        };
        assert_eq!(report.masks.as_deref(), Some(privacy.text().as_str()), "{name}");
        assert!(report.comparison.ssim > 0.95, "{name}: {report:?}");
        let now = rig.assert_one_good_version(&row);
        assert_eq!(now.masks, report.masks, "{name}");
        assert!(
            leftovers(rig.tree.root()).unwrap().is_empty(),
            "{name}: no original stays"
        );
        let after = rig.path(&row);
        let full = name.starts_with("full");
        assert_masked(
            &frames(&before, size),
            &frames(&after, size),
            size,
            &privacy,
            full,
        );
        assert_eq!(probed(&after), probed(&before), "{name}");
        assert_eq!(sound(&after), sound(&before), "{name}");

        // It has them now.
        let again = rig.transcode(&row, &mut Told::default());
        assert!(
            matches!(&again, Outcome::Skipped { reason } if reason.contains("H.265 already")),
            "{name}: {again:?}"
        );
    }
}

#[test]
fn other_masks_are_burnt_in_only_on_demand_and_what_was_kept_goes() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(dir.path());
    rig.config.keep_original = Duration::from_secs(3600);
    let row = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 2));
    // Encoded without masks, the original kept.
    let outcome = rig.transcode(&row, &mut Told::default());
    assert!(matches!(outcome, Outcome::Done(r) if r.masks.is_none()));
    assert_eq!(leftovers(rig.tree.root()).unwrap()[0].kind, LeftoverKind::Kept);
    let h265 = dir.path().join("h265.mp4");
    std::fs::copy(rig.path(&row), &h265).unwrap();

    let first = privacy("a: 0,0 0.5,0 0.5,0.5 0,0.5", MaskStyle::default());
    mask(&rig, &first);
    let outcome = rig.transcode(&row, &mut Told::default());
    assert!(
        matches!(outcome, Outcome::Done(_)),
        "H.265 gets masks: {outcome:?}"
    );
    assert_eq!(rig.assert_one_good_version(&row).masks, Some(first.text()));
    assert!(
        leftovers(rig.tree.root()).unwrap().is_empty(),
        "what was kept without masks is gone"
    );
    let size = (320, 240);
    assert_masked(
        &frames(&h265, size),
        &frames(&rig.path(&row), size),
        size,
        &first,
        false,
    );

    let second = privacy("b: 0.5,0.5 1,0.5 1,1 0.5,1", MaskStyle::default());
    mask(&rig, &second);
    let outcome = rig.transcode(&row, &mut Told::default());
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    let now = rig.assert_one_good_version(&row);
    assert_eq!(now.masks, Some(second.text()));
    // What the first covered does not come back.
    let both = privacy(
        "a: 0,0 0.5,0 0.5,0.5 0,0.5; b: 0.5,0.5 1,0.5 1,1 0.5,1",
        MaskStyle::default(),
    );
    assert_masked(
        &frames(&h265, size),
        &frames(&rig.path(&row), size),
        size,
        &both,
        false,
    );
}

#[test]
fn a_file_whose_masks_are_missing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let row = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 1));
    let original = dir.path().join("original.mp4");
    std::fs::copy(rig.path(&row), &original).unwrap();
    // The same footage without masks, looked at as if it had some.
    let outcome = rig.transcode(&row, &mut Told::default());
    assert!(matches!(outcome, Outcome::Done(_)));
    for style in [MaskStyle::default(), MaskStyle::Pixelate] {
        let masking = Masking {
            privacy: Arc::new(privacy(AREAS, style)),
            full_range: false,
        };
        let result = compare(
            (&original, VideoCodec::H264),
            (&rig.path(&row), VideoCodec::H265),
            Some(false),
            5,
            Some(masking),
            None,
            &mut || Gate::Go,
        );
        let Err(RecodeFault::Input(why)) = result else {
            panic!("{style}: {result:?}")
        };
        assert!(
            why.starts_with("frame 0: a masked part is not covered"),
            "{style}: {why}"
        );
    }
}

#[test]
fn segments_of_a_camera_that_is_to_be_masked_are_due_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let row = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 1));
    assert!(!rig.config.enabled);
    let transcoding = Transcoding::new(
        rig.worker(),
        rig.store.clone(),
        rig.tree.clone(),
        rig.clock.clone(),
        rig.config.clone(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let due = |waiting| runtime.block_on(transcoding.due(waiting)).unwrap();
    let mut masks = privacy(AREAS, MaskStyle::default());
    mask(&rig, &masks);
    assert!(due(0).is_empty(), "not by itself");
    masks.transcode = true;
    mask(&rig, &masks);
    assert_eq!(due(0).len(), 1);
    assert!(due(1000).is_empty(), "enough wait");
    let outcome = rig.transcode(&row, &mut Told::default());
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert!(due(0).is_empty(), "it has them");
    // Others are not burnt in by themselves.
    let mut others = privacy("b: 0.5,0.5 1,0.5 1,1 0.5,1", MaskStyle::default());
    others.transcode = true;
    mask(&rig, &others);
    assert!(due(0).is_empty());
    let camera = CameraId::new("yard").unwrap();
    let asked = runtime
        .block_on(transcoding.on_demand(camera, TimeRange::ALL))
        .unwrap();
    assert_eq!(asked.len(), 1, "but if somebody asks");
    let told: [Timestamp; 2] =
        ["from", "to"].map(|at| serde_json::from_value(asked[0].params[at].clone()).unwrap());
    assert_eq!(told, [row.start, row.end()], "it is told of when it is");
}
