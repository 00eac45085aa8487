//! What comes of a segment.

use std::sync::Arc;
use std::time::Duration;

use super::super::work::Outcome;
use super::exchange::Restarting;
use super::rig::{MOVING, Rig, Told, footage, probed, run, sound};
use crate::config::TranscodeConfig;
use crate::files::replace::leftovers;
use crate::gst::Catalogue;
use crate::track::VideoCodec;

#[test]
fn footage_becomes_h265_and_stays_the_same_footage() {
    for (name, filter, video) in [
        ("plain", MOVING, &["-g", "25", "-bf", "0"][..]),
        (
            "long group",
            MOVING,
            &["-g", "500", "-bf", "0", "-sc_threshold", "0"],
        ),
        ("reordered", MOVING, &["-g", "25", "-bf", "3", "-b_strategy", "0"]),
        (
            "jitter",
            "testsrc2=size=320x240:rate=25,setpts=PTS+0.01*sin(N)/TB",
            &["-g", "25", "-bf", "0"],
        ),
        (
            "full range",
            MOVING,
            &["-g", "25", "-bf", "0", "-x264-params", "fullrange=on"],
        ),
        (
            "odd size",
            "testsrc2=size=326x242:rate=25",
            &["-g", "25", "-bf", "0"],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let rig = Rig::open(dir.path());
        let row = rig.record(&footage(dir.path(), filter, video, 4));
        let before = dir.path().join("before.mp4");
        std::fs::copy(rig.path(&row), &before).unwrap();
        assert_eq!(rig.transcodable(), 1);

        let mut control = Told::default();
        let outcome = rig.transcode(&row, &mut control);
        let Outcome::Done(report) = outcome else {
            panic!("{name}: {outcome:?}")
        };
        assert!(
            report.comparison.ssim > 0.95 && report.comparison.psnr_db > 30.0,
            "{name}: {report:?}"
        );
        assert_eq!(report.comparison.frames, probed(&before).len() as u64, "{name}");
        let now = rig.assert_one_good_version(&row);
        assert_eq!(now.tracks.video.codec, VideoCodec::H265, "{name}");
        assert!(now.size_bytes < row.size_bytes, "{name}");
        if name != "reordered" {
            assert_eq!(now.duration_ns, row.duration_ns, "{name}");
        }
        assert!(now.marks.is_transcoded(), "{name}");
        assert!(leftovers(rig.tree.root()).unwrap().is_empty(), "{name}");
        assert_eq!(rig.transcodable(), 0, "{name}");

        // Judged by others.
        let after = rig.path(&row);
        assert_eq!(probed(&after), probed(&before), "{name}");
        assert_eq!(sound(&after), sound(&before), "{name}");
        let info = run(
            "ffprobe",
            &[
                "-v",
                "error",
                "-select_streams",
                "v",
                "-show_entries",
                "stream=codec_name,codec_tag_string,has_b_frames,color_range,width,height",
                "-of",
                "csv=p=0",
                after.to_str().unwrap(),
            ],
        );
        assert!(info.starts_with("hevc,hvc1,"), "{name}: {info}");
        assert_eq!(info.contains(",pc"), name == "full range", "{name}: {info}");
        run(
            "ffmpeg",
            &[
                "-v",
                "error",
                "-xerror",
                "-i",
                after.to_str().unwrap(),
                "-f",
                "null",
                "-",
            ],
        );

        let totals = rig.store.transcode_totals().unwrap();
        assert_eq!((totals.len(), totals[0].done, totals[0].kept), (1, 1, 0));
        assert_eq!(
            (totals[0].before_bytes, totals[0].after_bytes),
            (row.size_bytes, now.size_bytes)
        );
        assert!((totals[0].ssim.unwrap() - report.comparison.ssim).abs() < 1e-9);
    }
}

#[test]
fn what_brings_nothing_is_kept_and_remembered() {
    for (change, words) in [
        (|c: &mut TranscodeConfig| c.quality = 51, "SSIM"),
        (|c: &mut TranscodeConfig| c.quality = 0, "small enough"),
        (|c: &mut TranscodeConfig| c.min_psnr_db = 90, "PSNR"),
    ] as [(fn(&mut TranscodeConfig), &str); 3]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = Rig::open(dir.path());
        change(&mut rig.config);
        let row = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 2));
        let before = std::fs::read(rig.path(&row)).unwrap();
        let outcome = rig.transcode(&row, &mut Told::default());
        let Outcome::Kept { reason } = outcome else {
            panic!("{words}: {outcome:?}")
        };
        assert!(reason.contains(words), "{reason}");
        assert_eq!(std::fs::read(rig.path(&row)).unwrap(), before);
        assert_eq!(rig.row(&row), row);
        assert!(leftovers(rig.tree.root()).unwrap().is_empty());
        assert_eq!(rig.transcodable(), 0, "it is not tried for ever");
        let kept = rig.store.transcode_of(row.id).unwrap().unwrap();
        assert_eq!(kept.kept.as_deref(), Some(&*reason));
        assert_eq!(rig.store.transcode_totals().unwrap()[0].kept, 1);
    }
}

#[test]
fn a_file_that_changed_since_it_was_recorded_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let row = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 1));
    let mut bytes = std::fs::read(rig.path(&row)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(rig.path(&row), &bytes).unwrap();
    let outcome = rig.transcode(&row, &mut Told::default());
    assert!(
        matches!(&outcome, Outcome::Kept { reason } if reason.contains("hash")),
        "{outcome:?}"
    );
    assert_eq!(std::fs::read(rig.path(&row)).unwrap(), bytes);
}

#[test]
fn the_next_encoder_goes_on_where_one_fails() {
    crate::gst::test_encoders::register();
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(dir.path());
    let encoders = crate::gst::test_encoders::BREAKING_THEN_X265;
    rig.catalogue = Arc::new(Catalogue::of(
        encoders,
        rig.clock.clone(),
        Duration::from_secs(600),
    ));
    rig.config.encoders = vec!["nvrtestbreaking".into()];
    let row = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 4));
    let mut control = Told {
        share: f64::MIN,
        ..Told::default()
    };
    let outcome = rig.transcode(&row, &mut Restarting(&mut control));
    let Outcome::Done(report) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(report.encoder, "x265enc ultrafast");
    assert_eq!(report.failed.len(), 1, "{report:?}");
    assert_eq!(report.failed[0].encoder, "nvrtestbreaking");
    assert!(
        control.doing.iter().any(|d| d.contains("nvrtestbreaking failed")),
        "{:?}",
        control.doing
    );
    assert_eq!(
        rig.assert_one_good_version(&row).tracks.video.codec,
        VideoCodec::H265
    );
}
