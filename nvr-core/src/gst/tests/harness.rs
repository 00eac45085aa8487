//! A camera made of test elements, a folder for segments and a judge.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::clock::{Clock, SharedClock, SystemClock};
use crate::error::{Error, Result};
use crate::event::{Cause, CauseKind};
use crate::gst::source_bin::{OnTracks, SourceBin};
use crate::gst::{AccessUnit, RecordSpec, Run, RunEvent, RunInput, RunSpec, TapReceiver, UnitTrack};
use crate::ids::CameraId;
use crate::segment::{ClosedSegment, Container, SegmentFile, SegmentFiles, SegmentStart};
use crate::source::{SourceSpec, TestSource};
use crate::testing::undivided;

/// Polls until `f` gives something; fails after 20 s.
pub fn until<T>(what: &str, mut f: impl FnMut() -> Option<T>) -> T {
    let clock = SystemClock::new();
    let end = clock.steady_ns() + 20_000_000_000;
    loop {
        if let Some(v) = f() {
            return v;
        }
        assert!(clock.steady_ns() < end, "timed out: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

pub fn h264(fps: u32, gop: u32, extra: &str) -> String {
    format!(
        "videotestsrc is-live=true pattern=smpte ! video/x-raw,format=I420,width=160,height=120,framerate={fps}/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=100 key-int-max={gop} {extra} \
         ! h264parse ! h264timestamper ! video/x-h264,stream-format=avc,alignment=au"
    )
}

pub const ALAW: &str =
    "audiotestsrc is-live=true samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1 ! alawenc";
pub const AAC: &str = "audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse \
                       ! audio/mpeg,stream-format=raw";

type Hook = Box<dyn FnOnce(&gst::Bin) + Send>;

/// A source as the contract wants it, from descriptions.
pub fn source(video: &str, audio: Option<&str>, hook: Hook, on_tracks: OnTracks) -> Result<SourceBin> {
    let text = match audio {
        Some(a) => format!("{video} ! identity name=v {a} ! identity name=a"),
        None => format!("{video} ! identity name=v"),
    };
    let bin = gst::parse::bin_from_description(&text, false)
        .map_err(|e| Error::new(crate::error::ErrorKind::Internal, e.to_string()))?;
    hook(&bin);
    let ready = Arc::new(AtomicBool::new(false));
    let on_tracks = Mutex::new(Some(on_tracks));
    for name in ["video", "audio"] {
        let Some(element) = bin.by_name(&name[..1]) else {
            continue;
        };
        let pad = element.static_pad("src").unwrap();
        let ghost = gst::GhostPad::builder_with_target(&pad)
            .unwrap()
            .name(name)
            .build();
        bin.add_pad(&ghost).unwrap();
    }
    let has_audio = audio.is_some();
    let mine = ready.clone();
    let pad = bin.by_name("v").unwrap().static_pad("src").unwrap();
    pad.add_probe(
        gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER,
        move |_, _| {
            if let Some(f) = on_tracks.lock().unwrap().take() {
                f(has_audio);
                mine.store(true, Ordering::SeqCst);
            }
            gst::PadProbeReturn::Remove
        },
    );
    if let Some(a) = bin.by_name("a") {
        let pad = a.static_pad("src").unwrap();
        pad.add_probe(
            gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER,
            move |_, _| {
                until("tracks", || ready.load(Ordering::SeqCst).then_some(()));
                gst::PadProbeReturn::Remove
            },
        );
    }
    Ok(SourceBin { bin })
}

/// A folder of segments. `fault` makes writing fail from then on.
#[derive(Debug, Default)]
pub struct Folder {
    pub root: PathBuf,
    pub fault: Arc<Mutex<Option<std::io::ErrorKind>>>,
    pub stall: Arc<AtomicBool>,
    /// Makes new files hang.
    pub stall_create: AtomicBool,
    pub panic: AtomicBool,
}

#[derive(Debug)]
struct Growing {
    file: File,
    path: PathBuf,
    start: SegmentStart,
    size: u64,
    fault: Arc<Mutex<Option<std::io::ErrorKind>>>,
    stall: Arc<AtomicBool>,
}

impl Folder {
    fn check(&self) -> Result<()> {
        match *self.fault.lock().unwrap() {
            Some(kind) => Err(Error::io(self.root.display(), kind.into())),
            None => Ok(()),
        }
    }
}

impl SegmentFiles for Folder {
    fn create(&self, start: &SegmentStart) -> Result<Box<dyn SegmentFile>> {
        self.check()?;
        assert!(!self.panic.load(Ordering::SeqCst), "a panic in a callback");
        while self.stall_create.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let path = PathBuf::from(format!(
            "{}-{:03}.{}",
            start.run,
            start.sequence,
            start.container.extension()
        ));
        let file = File::create_new(self.root.join(&path)).map_err(|e| Error::io(path.display(), e))?;
        Ok(Box::new(Growing {
            file,
            path,
            start: start.clone(),
            size: 0,
            fault: self.fault.clone(),
            stall: self.stall.clone(),
        }))
    }
}

impl SegmentFile for Growing {
    fn path(&self) -> &Path {
        &self.path
    }
    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        until("the disk", || (!self.stall.load(Ordering::SeqCst)).then_some(()));
        if let Some(kind) = *self.fault.lock().unwrap() {
            return Err(Error::io(self.path.display(), kind.into()));
        }
        self.file
            .write_all_at(data, offset)
            .map_err(|e| Error::io(self.path.display(), e))?;
        self.size = self.size.max(offset + data.len() as u64);
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<ClosedSegment> {
        Ok(ClosedSegment {
            start: self.start,
            path: self.path,
            duration_ns: 0,
            size_bytes: self.size,
            fragments: Vec::new(),
            hash: None,
            recovered: false,
        })
    }
}

/// A recording under test.
pub struct Bench {
    pub dir: tempfile::TempDir,
    pub folder: Arc<Folder>,
    pub clock: Arc<SystemClock>,
    pub run: Option<Run>,
    pub events: UnboundedReceiver<RunEvent>,
    pub seen: Vec<RunEvent>,
    pub live: TapReceiver,
    pub delivered: Vec<AccessUnit>,
}

pub struct Options {
    pub segment: Duration,
    pub container: Container,
    pub record: bool,
    pub keep: Duration,
    pub hook: Hook,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment: undivided(SystemClock::new().now()),
            container: Container::Fmp4,
            record: true,
            keep: Duration::from_secs(10),
            hook: Box::new(|_| {}),
        }
    }
}

impl Bench {
    pub fn start(video: &str, audio: Option<&str>, options: Options) -> Self {
        crate::gst::init().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder {
            root: dir.path().to_owned(),
            ..Folder::default()
        });
        let clock = Arc::new(SystemClock::new());
        let source_spec = SourceSpec::Test(TestSource::default());
        let spec = Self::spec(
            &folder,
            clock.clone(),
            &options,
            RunInput::Source(source_spec.clone()),
        );
        let (run, events) =
            Run::start_with(spec, &source_spec, |_, on| source(video, audio, options.hook, on)).unwrap();
        Self::with(dir, folder, clock, run, events)
    }

    /// A recording of a real source.
    pub fn of(source: SourceSpec, options: &Options) -> Self {
        crate::gst::init().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder {
            root: dir.path().to_owned(),
            ..Folder::default()
        });
        let clock = Arc::new(SystemClock::new());
        let spec = Self::spec(&folder, clock.clone(), options, RunInput::Source(source));
        let (run, events) = Run::start(spec).unwrap();
        Self::with(dir, folder, clock, run, events)
    }

    pub fn spec(folder: &Arc<Folder>, clock: SharedClock, options: &Options, input: RunInput) -> RunSpec {
        RunSpec {
            camera: CameraId::new("cam").unwrap(),
            input,
            record: options.record.then(|| RecordSpec {
                segment: options.segment,
                chunk: Duration::from_millis(200),
                container: options.container,
                files: folder.clone(),
            }),
            audio: true,
            clock,
            keep: options.keep,
            cause: Cause::new(CauseKind::Startup, "test"),
            reactor: crate::gst::Reactor::new(),
        }
    }

    pub fn with(
        dir: tempfile::TempDir,
        folder: Arc<Folder>,
        clock: Arc<SystemClock>,
        run: Run,
        events: UnboundedReceiver<RunEvent>,
    ) -> Self {
        Self {
            dir,
            folder,
            clock,
            live: run.tap().subscribe_from(Duration::from_secs(3600), 100_000),
            run: Some(run),
            events,
            seen: Vec::new(),
            delivered: Vec::new(),
        }
    }

    pub fn run(&self) -> &Run {
        self.run.as_ref().unwrap()
    }

    pub fn pump(&mut self) {
        while let Ok(e) = self.events.try_recv() {
            self.seen.push(e);
        }
    }

    pub fn wait_event(&mut self, what: &str, f: impl Fn(&RunEvent) -> bool) -> RunEvent {
        until(what, || {
            self.pump();
            self.seen.iter().find(|e| f(e)).cloned()
        })
    }

    pub fn wait_frames(&self, n: u64) {
        let clock = SystemClock::new();
        let end = clock.steady_ns() + 20_000_000_000;
        while self.run().stats().frames < n {
            assert!(
                clock.steady_ns() < end,
                "{n} frames did not come: {:?}",
                self.run().stats()
            );
            assert!(!self.events.is_closed(), "ended before {n} frames came");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Stops, gathers what the tap delivered and checks the order of events.
    pub fn stop(&mut self) -> bool {
        let outcome = self.run.take().unwrap().stop(Duration::from_secs(10));
        self.pump();
        while let Some(u) = self.live.blocking_recv() {
            self.delivered.push(u);
        }
        assert!(
            matches!(self.seen.last(), Some(RunEvent::Ended(_))),
            "the last event is Ended: {:?}",
            self.seen.last()
        );
        outcome.clean
    }

    pub fn closed(&self) -> Vec<ClosedSegment> {
        self.seen
            .iter()
            .filter_map(|e| match e {
                RunEvent::SegmentClosed(c) => Some(c.clone()),
                _ => None,
            })
            .collect()
    }

    pub fn video(&self) -> Vec<&AccessUnit> {
        self.delivered
            .iter()
            .filter(|u| u.track() == UnitTrack::Video)
            .collect()
    }

    /// Checks every frame of all segments against what was delivered: none lost, none twice, times exact.
    pub fn check_exact(&self) -> Vec<Probe> {
        let closed = self.closed();
        assert!(!closed.is_empty(), "no segment was closed: {:?}", self.seen);
        let probes: Vec<Probe> = closed
            .iter()
            .map(|c| probe(&self.dir.path().join(&c.path)))
            .collect();
        let video = self.video();
        let total: usize = probes.iter().map(|p| p.video.len()).sum();
        // The tap has what came from the first keyframe on; the last frames may have come after the stop.
        assert!(
            total <= video.len() && total + 3 >= video.len(),
            "{total} in files, {} delivered",
            video.len()
        );
        let mut at = 0;
        for (c, p) in closed.iter().zip(&probes) {
            let first = video[at];
            assert!(
                first.keyframe() && p.video[0].key,
                "segments start at keyframes: frame {at} {:?} {:?}; {:?}",
                first.keyframe(),
                p.video[0],
                probes.iter().map(|p| p.video.len()).collect::<Vec<_>>()
            );
            assert_eq!(c.start.start, first.utc(), "the start is the first frame's");
            for f in &p.video {
                let u = video[at];
                let file_ns = (f.pts - p.video[0].pts) * 1e9;
                let true_ns = (u.pts_ns() - first.pts_ns()) as f64;
                assert!(
                    (file_ns - true_ns).abs() <= 12_200.0,
                    "frame {at}: {file_ns} is not {true_ns}"
                );
                assert_eq!(f.key, u.keyframe(), "frame {at}");
                assert_eq!(f.size, u.size_bytes(), "frame {at}");
                at += 1;
            }
        }
        probes
    }
}

#[derive(Debug)]
pub struct Packet {
    pub pts: f64,
    pub key: bool,
    pub size: usize,
}

#[derive(Debug)]
pub struct Probe {
    pub video: Vec<Packet>,
    pub audio: Vec<Packet>,
}

/// What ffprobe reads in a file; it must find no fault in it.
pub fn probe(path: &Path) -> Probe {
    let (probe, errors) = probe_any(path);
    assert!(errors.is_empty(), "{}: {errors}", path.display());
    probe
}

/// The same where the frames themselves are made up; with what it had to say.
pub fn probe_any(path: &Path) -> (Probe, String) {
    let out = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "packet=codec_type,pts_time,flags,size",
            "-of",
            "compact=nk=0",
        ])
        .arg(path)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{}: {errors}", path.display());
    let mut probe = Probe {
        video: Vec::new(),
        audio: Vec::new(),
    };
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let fields: HashMap<_, _> = line.split('|').filter_map(|f| f.split_once('=')).collect();
        let packet = Packet {
            pts: fields["pts_time"].parse().unwrap(),
            key: fields["flags"].starts_with('K'),
            size: fields["size"].parse().unwrap(),
        };
        match fields["codec_type"] {
            "video" => probe.video.push(packet),
            "audio" => probe.audio.push(packet),
            _ => {}
        }
    }
    (probe, errors)
}

/// Decodes everything; the judge must not complain.
pub fn decode(path: &Path) {
    let out = Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-i"])
        .arg(path)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success() && errors.is_empty(),
        "{}: {errors}",
        path.display()
    );
}
