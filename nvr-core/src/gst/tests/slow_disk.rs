//! A disk that is slow, or hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::harness::*;
use crate::clock::{Clock, SystemClock};
use crate::gst::record::{RecordNews, Recorder};
use crate::gst::tap::StreamInfo;
use crate::gst::{AccessUnit, RunEvent, RunInput, UnitTrack};
use crate::ids::{CameraId, RunId};
use crate::run::{Anchor, RunClock};
use crate::source::{SourceSpec, TestSource};
use crate::time::Timestamp;
use crate::track::{Tracks, VideoCodec, VideoTrack};

#[test]
fn a_stalled_disk_does_not_stall_the_camera_and_stop_keeps_its_deadline() {
    let mut b = Bench::start(&h264(25, 10, ""), Some(ALAW), Options::default());
    b.wait_frames(20);
    b.folder.stall.store(true, Ordering::SeqCst);
    let frames = b.run().stats().frames;
    b.wait_frames(frames + 50);
    let begun = b.clock.steady_ns();
    let outcome = b.run.take().unwrap().stop(Duration::from_millis(300));
    assert!(!outcome.clean);
    assert!(b.clock.steady_ns() - begun < 3_000_000_000);
    b.folder.stall.store(false, Ordering::SeqCst);
    b.pump();
    assert!(matches!(b.seen.last(), Some(RunEvent::Ended(_))));
}

#[test]
fn fm17_a_file_that_cannot_be_made_does_not_stall_the_camera_and_stop_keeps_its_deadline() {
    for at_start in [true, false] {
        let mut b = Bench::start(&h264(25, 10, ""), Some(ALAW), Options::default());
        if !at_start {
            b.wait_frames(20);
        }
        b.folder.stall_create.store(true, Ordering::SeqCst);
        b.run().split();
        let frames = b.run().stats().frames;
        b.wait_frames(frames + 50);
        let begun = b.clock.steady_ns();
        let outcome = b.run.take().unwrap().stop(Duration::from_millis(300));
        assert!(!outcome.clean);
        assert!(b.clock.steady_ns() - begun < 3_000_000_000);
        b.folder.stall_create.store(false, Ordering::SeqCst);
        b.pump();
        assert!(matches!(b.seen.last(), Some(RunEvent::Ended(_))));
    }
}

#[test]
fn a_file_that_was_long_in_the_making_gets_all_that_waited() {
    let mut b = Bench::start(&h264(25, 10, ""), Some(ALAW), Options::default());
    b.wait_frames(20);
    b.folder.stall_create.store(true, Ordering::SeqCst);
    b.run().split();
    b.wait_frames(80);
    b.folder.stall_create.store(false, Ordering::SeqCst);
    b.wait_frames(100);
    assert!(b.stop());
    assert_eq!(b.check_exact().len(), 2);
}

/// A unit of `size` bytes that no decoder ever sees.
pub fn unit(i: i64, key: bool, memory: &gst::Memory, info: &Arc<StreamInfo>) -> AccessUnit {
    let mut buffer = gst::Buffer::new();
    buffer.get_mut().unwrap().append_memory(memory.clone());
    AccessUnit {
        buffer,
        info: info.clone(),
        track: UnitTrack::Video,
        keyframe: key,
        pts_ns: i * 40_000_000,
        dts_ns: i * 40_000_000,
        duration: Some(Duration::from_millis(40)),
        utc: Timestamp::from_ns(i * 40_000_000),
    }
}

/// A made-up stream.
pub fn stream() -> Arc<StreamInfo> {
    let config = gst::Buffer::from_slice([1u8, 0x42, 0xc0, 0x0a, 0xff, 0xe0, 0]);
    let caps = gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field("width", 160i32)
        .field("height", 120i32)
        .field("codec_data", config)
        .build();
    let video = VideoTrack {
        codec: VideoCodec::H264,
        width: 160,
        height: 120,
        frame_rate: None,
    };
    StreamInfo::new(caps, Tracks { video, audio: None })
}

/// A recorder fed by hand with units of a megabyte, 25 a second, a keyframe every 10.
struct Slow {
    dir: tempfile::TempDir,
    folder: Arc<Folder>,
    recorder: Recorder,
    info: Arc<StreamInfo>,
    memory: gst::Memory,
    dropped: Arc<AtomicU64>,
    told: Arc<AtomicU64>,
}

impl Slow {
    fn new() -> Self {
        crate::gst::init().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder {
            root: dir.path().to_owned(),
            ..Folder::default()
        });
        let options = Options::default();
        let clock = SystemClock::shared();
        let source = RunInput::Source(SourceSpec::Test(TestSource::default()));
        let spec = Bench::spec(&folder, clock, &options, source).record.unwrap();
        let anchor = Anchor {
            utc: Timestamp::default(),
            steady_ns: 0,
            running_ns: 0,
        };
        let (dropped, told) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mine = (dropped.clone(), told.clone());
        let recorder = Recorder::new(
            CameraId::new("cam").unwrap(),
            spec,
            Arc::new(RunClock::new(RunId::from_u64(1), anchor)),
            false,
            Arc::new(|_| {}),
            Box::new(move |news| {
                if let RecordNews::Dropped(n, _) = news {
                    mine.0.fetch_add(n, Ordering::SeqCst);
                    mine.1.fetch_add(1, Ordering::SeqCst);
                }
            }),
        );
        Self {
            dir,
            folder,
            recorder,
            info: stream(),
            memory: gst::Memory::from_slice(vec![0u8; 1 << 20]),
            dropped,
            told,
        }
    }

    fn stall(&self, create: bool, on: bool) {
        if create {
            self.folder.stall_create.store(on, Ordering::SeqCst);
        } else {
            self.folder.stall.store(on, Ordering::SeqCst);
        }
    }

    fn feed(&mut self, units: std::ops::Range<i64>) {
        for i in units {
            let unit = unit(i, i % 10 == 0, &self.memory, &self.info);
            self.recorder.video(&unit, unit.pts_ns);
            assert!(self.recorder.waiting_bytes() < 70 << 20);
        }
    }

    /// Completes the last file; frames in each file, and frames dropped.
    fn finish(self) -> (Vec<usize>, u64) {
        assert!(self.recorder.finish(Duration::from_secs(10)));
        let mut files: Vec<_> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let kept = files.iter().map(|f| probe_any(f).0.video.len()).collect();
        (kept, self.dropped.load(Ordering::SeqCst))
    }
}

#[test]
fn fm17_what_a_slow_disk_cannot_take_is_dropped_by_groups_and_counted() {
    for create in [false, true] {
        let mut slow = Slow::new();
        slow.stall(create, true);
        slow.feed(0..200);
        slow.stall(create, false);
        until("the disk", || {
            (slow.recorder.waiting_bytes() < 10 << 20).then_some(())
        });
        slow.feed(200..215);
        let (kept, lost) = slow.finish();
        assert!((50..150).contains(&lost), "{lost}");
        // The frames after the hole are in a file of their own, which begins with a keyframe.
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[1], 15, "from frame 200, a keyframe, on");
        assert_eq!(kept.iter().sum::<usize>() as u64 + lost, 215);
    }
}

/// A minute of a stall (by the time of the frames) is told while it lasts, not only when it is over.
#[test]
fn fm17_drops_are_told_while_the_disk_hangs() {
    let mut slow = Slow::new();
    slow.stall(true, true);
    slow.feed(0..1500);
    let (told, dropped) = (
        slow.told.load(Ordering::SeqCst),
        slow.dropped.load(Ordering::SeqCst),
    );
    assert!((4..=6).contains(&told), "{told} times");
    assert!((1100..1500).contains(&dropped), "{dropped} frames");
    slow.stall(true, false);
    until("the disk", || {
        (slow.recorder.waiting_bytes() < 10 << 20).then_some(())
    });
    slow.feed(1500..1511);
    let (kept, lost) = slow.finish();
    assert_eq!(kept.iter().sum::<usize>() as u64 + lost, 1511);
}
