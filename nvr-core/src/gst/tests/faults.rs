//! What goes wrong.

use std::io::ErrorKind as Io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gst::prelude::*;

use super::harness::*;
use crate::clock::Clock;
use crate::event::{Cause, CauseKind};
use crate::gst::intake::Intake;
use crate::gst::{RunEvent, RunInput};
use crate::segment::Container;
use crate::source::{SourceSpec, TestSource};

/// Changes each frame's times on their way out of the source.
fn retimed(f: impl Fn(u64, u64) -> u64 + Send + Sync + 'static) -> Options {
    Options {
        hook: Box::new(move |bin| {
            let count = AtomicU64::new(0);
            let pad = bin.by_name("v").unwrap().static_pad("sink").unwrap();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                let i = count.fetch_add(1, Ordering::SeqCst);
                if let Some(b) = info.buffer_mut() {
                    let b = b.make_mut();
                    let new = |t: Option<gst::ClockTime>| {
                        t.map(|t| gst::ClockTime::from_nseconds(f(i, t.nseconds())))
                    };
                    let (pts, dts) = (new(b.pts()), new(b.dts()));
                    b.set_pts(pts);
                    b.set_dts(dts);
                }
                gst::PadProbeReturn::Ok
            });
        }),
        ..Options::default()
    }
}

#[test]
fn fm04_jumps_of_hours_make_no_long_segment() {
    const HOUR: u64 = 3_600_000_000_000;
    let options = retimed(|i, t| match i {
        30..60 => t + 149 * HOUR,
        60..80 => t - 900 * HOUR,
        _ => t,
    });
    let mut b = Bench::start(&h264(25, 10, ""), Some(ALAW), options);
    b.wait_frames(110);
    assert!(b.stop());
    let probes = b.check_exact();
    let p = &probes[0].video;
    let length = p.last().unwrap().pts - p[0].pts;
    assert!((3.0..8.0).contains(&length), "{length} s");
}

#[test]
fn fm06_duplicate_and_backward_times_do_not_end_the_run() {
    let options = retimed(|i, t| match i % 10 {
        3 => t - 40_000_000,
        6 => t - 90_000_000,
        8 => t - 5_000_000_000,
        _ => t,
    });
    let mut b = Bench::start(&h264(25, 10, ""), None, options);
    b.wait_frames(80);
    assert!(b.stop());
    b.check_exact();
    assert!(b.video().windows(2).all(|w| w[1].dts_ns() > w[0].dts_ns()));
}

/// Stops the audio (or never starts it) while the flag is up.
fn mutable_audio(mute: &Arc<AtomicBool>) -> Options {
    let mute = mute.clone();
    Options {
        hook: Box::new(move |bin| {
            let pad = bin.by_name("a").unwrap().static_pad("sink").unwrap();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                if mute.load(Ordering::SeqCst) {
                    gst::PadProbeReturn::Handled
                } else {
                    gst::PadProbeReturn::Ok
                }
            });
        }),
        ..Options::default()
    }
}

/// Frames that a crash now would leave in the newest file.
fn frames_on_disk(b: &Bench) -> usize {
    let mut files: Vec<_> = std::fs::read_dir(b.dir.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    let copy = b.dir.path().join("copy.tmp");
    let mut frames = 0;
    for f in files {
        std::fs::copy(&f, &copy).unwrap();
        if std::fs::metadata(&copy).unwrap().len() > 0 {
            frames += frames_of_cut_file(&copy);
        }
    }
    let _ = std::fs::remove_file(&copy);
    frames
}

/// Whole fragments only, as recovery leaves them.
fn frames_of_cut_file(path: &std::path::Path) -> usize {
    let data = std::fs::read(path).unwrap();
    let (mut at, mut whole) = (0usize, 0usize);
    while at + 8 <= data.len() {
        let size = u32::from_be_bytes(data[at..at + 4].try_into().unwrap()) as usize;
        let kind = &data[at + 4..at + 8];
        if size < 8 || at + size > data.len() {
            break;
        }
        at += size;
        if kind == b"mdat" || kind == b"moov" {
            whole = at;
        }
    }
    if whole == 0 {
        return 0;
    }
    std::fs::write(path, &data[..whole]).unwrap();
    probe(path).video.len()
}

#[test]
fn fm10_crash_loss_is_small_at_any_gop() {
    for (gop, audio) in [(1500, None), (100, Some(ALAW)), (1500, Some(AAC))] {
        let mut b = Bench::start(&h264(25, gop, ""), audio, Options::default());
        let mut worst = 0;
        for n in (30..110).step_by(9) {
            b.wait_frames(n);
            let came = b.run().stats().frames as usize;
            let there = frames_on_disk(&b);
            worst = worst.max(came.saturating_sub(there));
        }
        eprintln!(
            "gop {gop}, audio {}: at most {worst} frames lost",
            audio.is_some()
        );
        assert!(worst <= 12, "gop {gop}: {worst} frames of 25 per second");
        assert!(b.stop());
        b.check_exact();
    }
}

#[test]
fn fm07_audio_that_never_comes_holds_nothing_up() {
    let mute = Arc::new(AtomicBool::new(true));
    let mut b = Bench::start(&h264(25, 10, ""), Some(ALAW), mutable_audio(&mute));
    b.wait_frames(1);
    let begun = b.clock.steady_ns();
    until("video on disk", || (frames_on_disk(&b) > 0).then_some(()));
    let took = b.clock.steady_ns() - begun;
    assert!(took < 2_000_000_000, "{took} ns");
    b.wait_event("trouble", |e| matches!(e, RunEvent::AudioTrouble(_)));
    // It comes late: the next file has it.
    mute.store(false, Ordering::SeqCst);
    b.wait_event(
        "a file with audio",
        |e| matches!(e, RunEvent::SegmentOpened { start, .. } if start.tracks.audio.is_some()),
    );
    let frames = b.run().stats().frames;
    b.wait_frames(frames + 30);
    assert!(b.stop());
    b.seen.sort_by_key(|e| match e {
        RunEvent::SegmentClosed(c) => c.start.sequence,
        _ => 0,
    });
    let probes = b.check_exact();
    assert_eq!(probes.len(), 2);
    assert!(probes[0].audio.is_empty() && !probes[1].audio.is_empty());
}

#[test]
fn fm07_audio_that_dies_becomes_silence() {
    for audio in [ALAW, AAC] {
        let mute = Arc::new(AtomicBool::new(false));
        let mut b = Bench::start(&h264(25, 10, ""), Some(audio), mutable_audio(&mute));
        b.wait_frames(40);
        mute.store(true, Ordering::SeqCst);
        b.wait_event("trouble", |e| matches!(e, RunEvent::AudioTrouble(_)));
        let frames = b.run().stats().frames;
        b.wait_frames(frames + 15);
        let came = b.run().stats().frames as usize;
        let there = frames_on_disk(&b);
        assert!(came - there <= 20, "{came} came, {there} on disk");
        mute.store(false, Ordering::SeqCst);
        b.wait_frames(came as u64 + 25);
        assert!(b.stop());
        let probes = b.check_exact();
        assert_eq!(probes.len(), 1);
        let a = &probes[0].audio;
        assert!(
            a.windows(2)
                .all(|w| (0.001..0.13).contains(&(w[1].pts - w[0].pts))),
            "no holes"
        );
        let v = &probes[0].video;
        assert!((v.last().unwrap().pts - a.last().unwrap().pts).abs() < 0.2);
        decode(&b.dir.path().join(&b.closed()[0].path));
    }
}

#[test]
fn a_full_disk_ends_the_run_with_its_cause() {
    for at_start in [true, false] {
        let mut b = Bench::start(&h264(25, 10, ""), None, Options::default());
        if !at_start {
            b.wait_frames(20);
        }
        *b.folder.fault.lock().unwrap() = Some(Io::StorageFull);
        let RunEvent::Ended(cause) = b.wait_event("the end", |e| matches!(e, RunEvent::Ended(_))) else {
            unreachable!()
        };
        assert_eq!(cause.kind, CauseKind::DiskFull, "{cause:?}");
        let _ = b.stop();
    }
}

#[test]
fn a_panic_in_a_callback_ends_the_run_and_not_the_process() {
    let mut b = Bench::start(
        &h264(25, 5, ""),
        None,
        Options {
            segment: Duration::from_secs(1),
            ..Options::default()
        },
    );
    b.wait_frames(5);
    b.folder.panic.store(true, Ordering::SeqCst);
    b.run().split();
    b.wait_event(
        "the end",
        |e| matches!(e, RunEvent::Ended(c) if c.kind == CauseKind::Internal),
    );
    let _ = b.stop();
}

#[test]
fn the_end_of_the_stream_closes_the_file() {
    let video = h264(25, 10, "").replace("videotestsrc", "videotestsrc num-buffers=40");
    let mut b = Bench::start(&video, None, Options::default());
    b.wait_event(
        "the end",
        |e| matches!(e, RunEvent::Ended(c) if c.kind == CauseKind::StreamEnded),
    );
    assert!(b.stop());
    assert_eq!(b.check_exact()[0].video.len(), 40);
}

#[test]
fn twenty_runs_leave_nothing_behind() {
    crate::gst::init().unwrap();
    let mut weak = Vec::new();
    for i in 0..20 {
        let container = [Container::Fmp4, Container::Matroska][i % 2];
        let audio = [None, Some(ALAW)][i / 2 % 2];
        let bin = Arc::new(std::sync::Mutex::new(None));
        let mine = bin.clone();
        let options = Options {
            container,
            hook: Box::new(move |b| *mine.lock().unwrap() = Some(b.upcast_ref::<gst::Object>().downgrade())),
            ..Options::default()
        };
        let mut b = Bench::start(&h264(100, 10, ""), audio, options);
        b.wait_frames(5);
        weak.extend(b.run().weak_pipelines());
        if i % 4 == 3 {
            drop(b.run.take());
        } else {
            assert!(b.stop());
        }
        weak.push(bin.lock().unwrap().take().unwrap());
    }
    assert!(weak.len() >= 45);
    until("all pipelines are gone", || {
        weak.iter().all(|w| w.upgrade().is_none()).then_some(())
    });
}

#[test]
fn what_comes_after_the_end_is_of_no_run() {
    let mut b = Bench::start(&h264(25, 10, ""), None, Options::default());
    b.wait_frames(20);
    assert!(b.stop());
    let units = b.video();
    let counted = |before: usize| {
        let folder = Arc::new(Folder {
            root: b.dir.path().join(before.to_string()),
            ..Folder::default()
        });
        std::fs::create_dir(&folder.root).unwrap();
        let input = RunInput::Source(SourceSpec::Test(TestSource::default()));
        let spec = Bench::spec(&folder, b.clock.clone(), &Options::default(), input);
        let (events, mut told) = tokio::sync::mpsc::unbounded_channel();
        let intake = Intake::new(spec, events, None);
        for unit in &units[..before] {
            intake.unit_from_tap(unit, 0);
        }
        assert!(intake.stop(Cause::new(CauseKind::Shutdown, "test"), Duration::from_secs(10)));
        for unit in &units[before..] {
            intake.unit_from_tap(unit, 0);
        }
        let mut files = 0;
        while let Ok(event) = told.try_recv() {
            files += usize::from(matches!(event, RunEvent::SegmentOpened { .. }));
        }
        (intake.stats().frames as usize, files)
    };
    assert_eq!(counted(10), (10, 1));
    assert_eq!(counted(0), (0, 0), "a file was begun that nobody closes");
}
