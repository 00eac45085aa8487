//! What arrives is what is in the files.

use std::time::Duration;

use super::harness::*;
use gst::prelude::*;

use crate::clock::Clock;
use crate::event::CauseKind;
use crate::gst::{Run, RunEvent, RunInput};
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
    let first = match &b.seen[1] {
        RunEvent::RunStarted { run, .. } => *run,
        other => panic!("{other:?}"),
    };
    b.wait_event(
        "its segment",
        |e| matches!(e, RunEvent::SegmentOpened { start, .. } if start.run != first),
    );
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

/// Drops and shifts frames so that no two distances are alike.
fn jitter(bin: &gst::Bin) {
    let count = std::sync::atomic::AtomicU64::new(0);
    let pad = bin.by_name("enc").unwrap().static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let i = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let Some(b) = info.buffer_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        let b = b.make_mut();
        let shift = (i * 7_919_333) % 25_000_000;
        let pts = b.pts().unwrap() + gst::ClockTime::from_nseconds(shift);
        b.set_pts(pts);
        b.set_duration(gst::ClockTime::NONE);
        gst::PadProbeReturn::Ok
    });
}

#[test]
fn variable_frame_rate_is_exact() {
    let video = h264(25, 10, "name=enc").replace("160", "176");
    let options = Options {
        segment: Duration::from_secs(1),
        hook: Box::new(jitter),
        ..Options::default()
    };
    let mut b = Bench::start(&video, None, options);
    b.wait_frames(75);
    assert!(b.stop());
    b.check_exact();
    let gaps: std::collections::BTreeSet<_> = b
        .video()
        .windows(2)
        .map(|w| (w[1].pts_ns() - w[0].pts_ns()) / 1000)
        .collect();
    assert!(gaps.len() > 20, "the times vary: {gaps:?}");
}

#[test]
fn h265_is_recorded() {
    let video = "videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 \
        ! x265enc speed-preset=ultrafast tune=zerolatency key-int-max=10 ! h265parse ! video/x-h265,stream-format=hvc1,alignment=au ! h265timestamper \
        ! video/x-h265,stream-format=hvc1,alignment=au";
    let mut b = Bench::start(
        video,
        None,
        Options {
            segment: Duration::from_secs(1),
            ..Options::default()
        },
    );
    b.wait_frames(50);
    assert!(b.stop());
    assert!(b.check_exact().len() >= 2);
    assert_eq!(
        b.closed()[0].start.tracks.video.codec,
        crate::track::VideoCodec::H265
    );
}

#[test]
fn a_change_of_resolution_begins_a_new_file() {
    // Two cameras in one: the encoder is set anew when the size changes.
    let video = h264(25, 10, "").replace(
        "! x264enc",
        "! identity ! videoscale name=scale ! capsfilter name=size caps=video/x-raw,width=160,height=120 ! x264enc",
    );
    let size = std::sync::Arc::new(std::sync::Mutex::new(None));
    let mine = size.clone();
    let options = Options {
        hook: Box::new(move |bin| *mine.lock().unwrap() = bin.by_name("size")),
        ..Options::default()
    };
    let mut b = Bench::start(&video, Some(AAC), options);
    b.wait_frames(30);
    let caps = gst::Caps::builder("video/x-raw")
        .field("width", 320i32)
        .field("height", 240i32)
        .build();
    size.lock().unwrap().take().unwrap().set_property("caps", caps);
    b.wait_event(
        "new tracks",
        |e| matches!(e, RunEvent::TracksChanged(t) if t.video.width == 320),
    );
    let frames = b.run().stats().frames;
    b.wait_frames(frames + 30);
    assert!(b.stop());
    b.seen.sort_by_key(|e| match e {
        RunEvent::SegmentClosed(c) => c.start.start.as_ns(),
        _ => 0,
    });
    let widths: Vec<_> = b.closed().iter().map(|c| c.start.tracks.video.width).collect();
    assert_eq!(widths, [160, 320]);
    for c in b.closed() {
        decode(&b.dir.path().join(&c.path));
    }
    assert!(!b.seen.iter().any(|e| matches!(e, RunEvent::FramesDropped { .. })));
}

#[test]
fn standby_watches_and_a_recording_from_its_tap_has_the_past() {
    let watch = Options {
        record: false,
        ..Options::default()
    };
    let mut camera = Bench::start(&h264(25, 10, ""), Some(ALAW), watch);
    camera.wait_frames(100);
    assert!(camera.run().tap().keyframe().is_some());
    let recent = camera.run().tap().recent(Duration::from_secs(1));
    assert!(recent[0].keyframe() && recent.len() > 25);

    let folder = camera.folder.clone();
    let input = RunInput::Tap {
        tap: camera.run().tap(),
        pre_roll: Duration::from_secs(2),
    };
    let spec = Bench::spec(&folder, camera.clock.clone(), &Options::default(), input);
    let asked = camera.clock.now();
    let (run, events) = Run::start(spec).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut manual = Bench::with(dir, folder, camera.clock.clone(), run, events);
    manual.wait_frames(90);
    assert!(manual.stop());
    let closed = manual.closed();
    assert_eq!(closed.len(), 1);
    let before = asked.since(closed[0].start.start);
    assert!(
        (1_900_000_000..3_500_000_000).contains(&before),
        "{before} before"
    );
    let p = probe(&camera.dir.path().join(&closed[0].path));
    decode(&camera.dir.path().join(&closed[0].path));
    assert!(
        p.video.len() >= 87 && p.audio.len() > 100,
        "{} {}",
        p.video.len(),
        p.audio.len()
    );
    assert!(camera.stop());
    assert!(camera.closed().is_empty());
    // The same frames at the same UTC.
    let first = camera
        .video()
        .into_iter()
        .find(|u| u.utc() == closed[0].start.start);
    assert!(first.is_some_and(crate::gst::AccessUnit::keyframe));
}
