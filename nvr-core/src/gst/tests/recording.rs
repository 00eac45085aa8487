//! What arrives is what is in the files.

use std::time::Duration;

use super::harness::*;
use crate::event::CauseKind;
use crate::gst::RunEvent;
use crate::segment::Container;

#[test]
fn plain_video_is_recorded_whole() {
    let mut b = Bench::start(&h264(25, 25, ""), None, Options::default());
    b.wait_frames(60);
    assert!(b.stop());
    let probes = b.check_exact();
    assert_eq!(probes.len(), 1);
    decode(&b.dir.path().join(&b.closed()[0].path));
    let names: Vec<_> = b
        .seen
        .iter()
        .take(4)
        .map(|e| format!("{e:?}").split([' ', '(']).next().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["Connected", "RunStarted", "FirstFrame", "SegmentOpened"]);
}

#[test]
fn splits_lose_and_double_no_frame() {
    let options = Options {
        segment: Duration::from_secs(1),
        ..Options::default()
    };
    let mut b = Bench::start(&h264(25, 5, ""), Some(ALAW), options);
    b.wait_frames(100);
    assert!(b.stop());
    let probes = b.check_exact();
    assert!(probes.len() >= 4, "{} segments", probes.len());
    for p in &probes {
        assert!(!p.audio.is_empty());
    }
}

#[test]
fn fm05_b_frames_are_exact_over_splits() {
    for audio in [None, Some(AAC)] {
        let options = Options {
            segment: Duration::from_secs(1),
            ..Options::default()
        };
        let video = h264(25, 10, "").replace(
            "tune=zerolatency",
            "bframes=2 b-adapt=false rc-lookahead=0 sync-lookahead=0",
        );
        let mut b = Bench::start(&video, audio, options);
        b.wait_frames(90);
        assert!(b.stop());
        let probes = b.check_exact();
        assert!(probes.len() >= 3);
        assert!(
            b.video().windows(2).any(|w| w[1].pts_ns() < w[0].pts_ns()),
            "there are B-frames"
        );
        decode(&b.dir.path().join(&b.closed()[0].path));
    }
}

#[test]
fn fm09_g711_becomes_aac_in_step() {
    let mut b = Bench::start(&h264(25, 25, ""), Some(ALAW), Options::default());
    b.wait_frames(75);
    assert!(b.stop());
    let probes = b.check_exact();
    decode(&b.dir.path().join(&b.closed()[0].path));
    let (v, a) = (&probes[0].video, &probes[0].audio);
    assert!((v[0].pts - a[0].pts).abs() < 0.1, "{} {}", v[0].pts, a[0].pts);
    assert!((v.last().unwrap().pts - a.last().unwrap().pts).abs() < 0.2);
    let track = b.closed()[0].start.tracks.audio.clone().unwrap();
    assert_eq!(
        (track.codec, track.sample_rate, track.channels),
        (crate::track::AudioCodec::Aac, 48_000, 1)
    );
}

#[test]
fn plain_containers_are_whole_too() {
    for container in [Container::Mp4, Container::Matroska] {
        for audio in [None, Some(AAC)] {
            let options = Options {
                container,
                segment: Duration::from_secs(1),
                ..Options::default()
            };
            let mut b = Bench::start(&h264(25, 5, ""), audio, options);
            b.wait_frames(60);
            assert!(b.stop());
            let closed = b.closed();
            assert!(closed.len() >= 2);
            let mut frames = 0;
            for c in &closed {
                let path = b.dir.path().join(&c.path);
                frames += probe(&path).video.len();
                decode(&path);
            }
            let delivered = b.video().len();
            assert!(
                frames <= delivered && frames + 3 >= delivered,
                "{frames} of {delivered}"
            );
        }
    }
}

#[test]
fn split_by_hand_and_by_clock_step() {
    let mut b = Bench::start(&h264(25, 10, ""), None, Options::default());
    b.wait_frames(20);
    b.run().split();
    b.wait_event(
        "the second segment",
        |e| matches!(e, RunEvent::SegmentOpened { start, .. } if start.sequence == 1),
    );
    b.clock.step(3_600_000_000_000);
    b.wait_event(
        "a new run",
        |e| matches!(e, RunEvent::RunStarted { cause, .. } if cause.kind == CauseKind::ClockStep),
    );
    b.wait_event("its segment", |e| {
        matches!(e, RunEvent::SegmentOpened { start, .. } if start.sequence == 0 && start.run != first_run(&[]))
    });
    let frames = b.run().stats().frames;
    b.wait_frames(frames + 20);
    assert!(b.stop());
    b.check_exact();
    let closed = b.closed();
    assert_eq!(closed.len(), 3);
    assert_ne!(closed[1].start.run, closed[2].start.run);
    let gap = closed[2].start.start.since(closed[1].start.start) / 1_000_000_000;
    assert!((3590..3620).contains(&gap), "{gap}");
}

fn first_run(_: &[RunEvent]) -> crate::ids::RunId {
    crate::ids::RunId::from_u64(0)
}
