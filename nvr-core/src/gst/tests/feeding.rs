//! A recorder fed by hand, faster than real time: units with any times one likes.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use gst::prelude::*;

use super::harness::*;
use crate::clock::SystemClock;
use crate::gst::record::Recorder;
use crate::gst::tap::StreamInfo;
use crate::gst::writer::{OnNews, Unit, WriterNews};
use crate::gst::{AccessUnit, RunInput, UnitTrack};
use crate::ids::{CameraId, RunId};
use crate::run::{Anchor, RunClock};
use crate::segment::{Container, SegmentStart};
use crate::source::{SourceSpec, TestSource};
use crate::time::Timestamp;
use crate::track::{Tracks, VideoCodec, VideoTrack};

const MS: i64 = 1_000_000;
/// 1024 samples at 48 kHz.
pub const PACKET_NS: i64 = 21_333_333;

/// What an encoder makes of a launch line: caps and buffers.
fn encoded(line: &str) -> (gst::Caps, Vec<gst::Buffer>) {
    crate::gst::init().unwrap();
    let pipeline = gst::parse::launch(&format!("{line} ! appsink name=out sync=false"))
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let out = pipeline
        .by_name("out")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut buffers = Vec::new();
    let mut caps = None;
    while let Ok(sample) = out.pull_sample() {
        caps = sample.caps_owned();
        buffers.push(sample.buffer_owned().unwrap());
    }
    pipeline.set_state(gst::State::Null).unwrap();
    (caps.unwrap(), buffers)
}

pub struct Feeding {
    dir: tempfile::TempDir,
    folder: Arc<Folder>,
    recorder: Option<Recorder>,
    files: Arc<Mutex<Vec<(SegmentStart, PathBuf)>>>,
    info: Arc<StreamInfo>,
    pictures: Vec<gst::Buffer>,
    sound: Option<(gst::Caps, Vec<gst::Buffer>, i64)>,
    fed: Vec<(i64, bool, usize)>,
    packets: i64,
    /// Decoding time of the first frame before its presentation, and the most that any frame is shown before it would be
    /// decoded if that were none.
    reorder_ns: (i64, i64),
}

impl Feeding {
    /// Into fragmented files. `audio_late_ms`: packets come this much after their time.
    pub fn new(audio_late_ms: Option<i64>) -> Self {
        Self::into(Container::Fmp4, audio_late_ms)
    }

    pub fn into(container: Container, audio_late_ms: Option<i64>) -> Self {
        let (caps, pictures) = encoded(
            "videotestsrc num-buffers=30 pattern=ball ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=100 ! h264parse \
             ! video/x-h264,stream-format=avc,alignment=au",
        );
        let sound = audio_late_ms.map(|late| {
            let (caps, buffers) = encoded(
                "audiotestsrc num-buffers=20 ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse \
                 ! audio/mpeg,stream-format=raw",
            );
            (caps, buffers, late * MS)
        });
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder {
            root: dir.path().to_owned(),
            ..Folder::default()
        });
        let input = RunInput::Source(SourceSpec::Test(TestSource::default()));
        let options = Options {
            segment: std::time::Duration::from_secs(60),
            container,
            ..Options::default()
        };
        let spec = Bench::spec(&folder, SystemClock::shared(), &options, input);
        let anchor = Anchor {
            utc: Timestamp::default(),
            steady_ns: 0,
            running_ns: 0,
        };
        let files = Arc::new(Mutex::new(Vec::new()));
        let mine = files.clone();
        let on_writer: OnNews = Arc::new(move |news| match news {
            WriterNews::Opened(start, path) => mine.lock().unwrap().push((*start, path)),
            WriterNews::Closed(_) => {}
            WriterNews::Failed(cause) => panic!("{cause:?}"),
        });
        let recorder = Recorder::new(
            CameraId::new("cam").unwrap(),
            spec.record.unwrap(),
            Arc::new(RunClock::new(RunId::from_u64(1), anchor)),
            sound.is_some(),
            on_writer,
            Box::new(|news| panic!("{news:?}")),
        );
        let video = VideoTrack {
            codec: VideoCodec::H264,
            width: 160,
            height: 120,
            frame_rate: None,
        };
        Self {
            dir,
            folder,
            recorder: Some(recorder),
            files,
            info: StreamInfo::new(caps, Tracks { video, audio: None }),
            pictures,
            sound,
            fed: Vec::new(),
            packets: 0,
            reorder_ns: (0, 0),
        }
    }

    pub fn frame(&mut self, pts_ms: i64, dts_ms: i64, key: bool) {
        // The first is the keyframe; nobody decodes.
        let i = if key {
            0
        } else {
            1 + self.fed.len() % (self.pictures.len() - 1)
        };
        let buffer = self.pictures[i].clone();
        if self.fed.is_empty() {
            self.reorder_ns.0 = (pts_ms - dts_ms) * MS;
        }
        let before = (dts_ms - pts_ms) * MS + self.reorder_ns.0;
        self.reorder_ns.1 = self.reorder_ns.1.max(before);
        self.fed.push((pts_ms * MS, key, buffer.size()));
        let unit = AccessUnit {
            buffer,
            info: self.info.clone(),
            track: UnitTrack::Video,
            keyframe: key,
            pts_ns: pts_ms * MS,
            dts_ns: dts_ms * MS,
            duration: Some(std::time::Duration::from_millis(40)),
            utc: Timestamp::from_ns(pts_ms * MS),
        };
        self.recorder.as_mut().unwrap().video(&unit, dts_ms * MS);
    }

    fn packet(&mut self, i: i64) {
        let (caps, buffers, _) = self.sound.as_ref().unwrap();
        let mut buffer = buffers[i as usize % buffers.len()].clone();
        buffer.make_mut().set_duration(None);
        let unit = Unit {
            buffer,
            pts_ns: i * PACKET_NS,
            dts_ns: i * PACKET_NS,
            duration: None,
            keyframe: true,
        };
        let caps = caps.clone();
        self.recorder.as_mut().unwrap().audio(&caps, unit);
    }

    /// Feeds frames of (presentation, decoding) times in ms and the audio that goes with them, until
    /// `ends_ms`. After each frame, all before it must be on disk without a further frame, when there was a
    /// hole of a chunk's length before it, as soon as audio has come for another second.
    pub fn feed(&mut self, frames: &[(i64, i64, bool)], ends_ms: i64) {
        for (i, &(pts, dts, key)) in frames.iter().enumerate() {
            self.sound_until(dts);
            self.frame(pts, dts, key);
            let next = frames.get(i + 1).map_or(ends_ms, |f| f.1);
            let hole = i > 0 && dts - frames[i - 1].1 >= 200 && pts == dts;
            if hole && (self.sound.is_none() || next - dts > 2500) {
                self.sound_until(next);
                let dir = self.dir.path().to_owned();
                until(&format!("the {i} frames before are on disk"), || {
                    (frames_in(&dir) >= i).then_some(())
                });
            }
        }
        self.sound_until(ends_ms);
    }

    fn sound_until(&mut self, ms: i64) {
        let Some(late) = self.sound.as_ref().map(|s| s.2) else {
            return;
        };
        while self.packets * PACKET_NS + PACKET_NS + late <= ms * MS {
            self.packet(self.packets);
            self.packets += 1;
        }
    }

    /// The next keyframe begins a segment.
    pub fn split(&mut self) {
        self.recorder.as_mut().unwrap().split();
    }

    /// Nothing comes for a while.
    pub fn pause(&mut self) {
        self.recorder.as_mut().unwrap().pause();
    }

    /// Whether new files hang.
    pub fn hold_files(&self, hold: bool) {
        self.folder.stall_create.store(hold, Ordering::SeqCst);
    }

    /// Cuts it off, as a deadline that has passed does.
    pub fn cut(mut self) {
        drop(self.recorder.take());
    }

    /// The pipeline of plain files.
    pub fn pipeline(&self) -> Option<glib::WeakRef<gst::Object>> {
        self.recorder.as_ref().and_then(Recorder::weak)
    }

    /// Ends, and checks that each frame is in a file, once, with its time. Gives the files.
    pub fn finish(mut self) -> Vec<Probe> {
        let recorder = self.recorder.take().unwrap();
        assert!(recorder.finish(std::time::Duration::from_secs(10)));
        let mut probes = Vec::new();
        let (mut at, mut heard) = (0, 0);
        for (start, path) in self.files.lock().unwrap().iter() {
            let p = probe(&self.dir.path().join(path));
            let (first_ns, key, _) = self.fed[at];
            assert!(key && start.start.as_ns() == first_ns);
            for f in &p.video {
                let (pts, key, size) = self.fed[at];
                let error = (f.pts - p.video[0].pts) * 1e9 - (pts - first_ns) as f64;
                assert!(error.abs() < 12_200.0, "frame {at}: {error} ns");
                assert_eq!((f.key, f.size), (key, size), "frame {at}");
                at += 1;
            }
            for pair in p.audio.windows(2) {
                let step = pair[1].pts - pair[0].pts;
                assert!((0.0212..0.0215).contains(&step), "audio steps by {step}");
            }
            if self.sound.is_some() {
                // ffprobe shows reordered video later by the reordering that the times in a file leave to the reader.
                let a = p.audio[0].pts - p.video[0].pts;
                let earliest = -(PACKET_NS + self.reorder_ns.1) as f64 / 1e9 - 0.001;
                assert!((earliest..0.025).contains(&a), "audio begins {a} s after video");
            }
            heard += p.audio.len() as i64;
            probes.push(p);
        }
        assert_eq!(at, self.fed.len(), "frames are missing");
        // What ends before the first frame is shown is of no recording; what sounds over it is, unless it came when the
        // file had begun.
        let first = self.fed[0].0;
        let before = first / PACKET_NS;
        let late = self.packets > 0 && first % PACKET_NS > 0;
        let wanted = (self.packets - before).max(0);
        assert!(
            heard == wanted || (late && heard == wanted - 1),
            "{heard} packets of sound, {wanted} were to come"
        );
        probes
    }
}

/// Video frames of the whole chunks in all files of a folder.
fn frames_in(dir: &std::path::Path) -> usize {
    let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    files.map(|f| frames_of(&std::fs::read(f).unwrap())).sum()
}

pub(super) fn frames_of(data: &[u8]) -> usize {
    let number = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut frames, mut in_chunk) = (0, 0, 0);
    while at + 8 <= data.len() && at + number(at) <= data.len() {
        let end = at + number(at);
        match &data[at + 4..at + 8] {
            b"moof" => {
                let find = |what: &[u8], from: usize| (from..end - 8).find(|&i| &data[i..i + 4] == what);
                in_chunk = match find(b"tfhd", at) {
                    // The first track is video; its count follows version and flags.
                    Some(i) if number(i + 8) == 1 => find(b"trun", i).map_or(0, |i| number(i + 8)),
                    _ => 0,
                };
            }
            b"mdat" => frames += in_chunk,
            _ => {}
        }
        at = end;
    }
    frames
}
