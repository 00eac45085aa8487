//! What the tests share: footage, a tree with an index, a control that is told what to do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::super::policy::Rules;
use super::super::work::{Control, Outcome, Worker};
use crate::clock::{SharedClock, SystemClock};
use crate::config::TranscodeConfig;
use crate::files::replace::Step;
use crate::files::tests::{start, t, tree_at};
use crate::files::{Inspection, Tree, hash_file, inspect};
use crate::gst::Catalogue;
use crate::privacy::PrivacyBook;
use crate::segment::{ClosedSegment, SegmentFiles, SegmentStart};
use crate::store::{MasksWanted, OpenMode, SegmentRow, Store, TranscodeQuery};
use crate::time::TimeRange;

/// Runs a program and gives what it prints.
pub(super) fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program} is needed by this test: {e}"));
    assert!(
        out.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

/// Footage with sound: pictures by `filter`, more of the encoder by `video`.
pub(super) fn footage(dir: &Path, filter: &str, video: &[&str], seconds: u32) -> Vec<u8> {
    let path = dir.join("footage.mp4");
    let (filter, seconds) = (format!("{filter},format=yuv420p"), seconds.to_string());
    let mut args = vec!["-v", "error", "-y", "-f", "lavfi", "-i", filter.as_str()];
    args.extend([
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:sample_rate=48000",
        "-t",
        seconds.as_str(),
    ]);
    args.extend([
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-crf",
        "16",
        "-pix_fmt",
        "yuv420p",
    ]);
    args.extend(video);
    args.extend([
        "-c:a",
        "aac",
        "-fps_mode",
        "passthrough",
        "-video_track_timescale",
        "90000",
    ]);
    args.extend([
        "-movflags",
        "empty_moov+default_base_moof+frag_keyframe",
        "-f",
        "mp4",
    ]);
    args.push(path.to_str().unwrap());
    run("ffmpeg", &args);
    std::fs::read(path).unwrap()
}

pub(super) struct Rig {
    pub(super) dir: PathBuf,
    pub(super) tree: Tree,
    pub(super) store: Store,
    pub(super) clock: SharedClock,
    pub(super) config: TranscodeConfig,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) privacy: PrivacyBook,
}

impl Rig {
    pub(super) fn open(dir: &Path) -> Self {
        let clock = SystemClock::shared();
        Self {
            dir: dir.to_owned(),
            tree: tree_at(&dir.join("tree")),
            store: Store::open(dir.join("index.db"), OpenMode::ReadWrite).unwrap(),
            catalogue: Arc::new(Catalogue::new(clock.clone(), Duration::from_secs(600))),
            clock,
            privacy: PrivacyBook::default(),
            config: TranscodeConfig {
                preset: Some("ultrafast".into()),
                ..TranscodeConfig::default()
            },
        }
    }

    pub(super) fn record(&self, bytes: &[u8]) -> SegmentRow {
        let start = SegmentStart {
            ..start("yard", 7, 3, t("2026-05-04T03:02:01.5Z"))
        };
        let mut file = self.tree.create(&start).unwrap();
        file.write_at(0, bytes).unwrap();
        let closed = file.finish().unwrap();
        self.tree.indexed(&closed.start.camera, &closed.path);
        let id = self.store.close_segment_blocking(&closed.path, &closed).unwrap();
        self.store.segment(id).unwrap().unwrap()
    }

    pub(super) fn path(&self, row: &SegmentRow) -> PathBuf {
        self.dir.join("tree").join(&row.path)
    }

    pub(super) fn worker(&self) -> Worker {
        Worker::new(
            self.store.clone(),
            self.tree.clone(),
            self.clock.clone(),
            Arc::clone(&self.catalogue),
            self.privacy.clone(),
        )
    }

    pub(super) fn transcode(&self, row: &SegmentRow, control: &mut (dyn Control + Send)) -> Outcome {
        // A thread of its own: it is lowered.
        std::thread::scope(|s| {
            s.spawn(|| {
                self.worker()
                    .run(row.id, &self.config, &Rules::on_demand(), control)
                    .unwrap()
            })
            .join()
            .unwrap()
        })
    }

    pub(super) fn row(&self, row: &SegmentRow) -> SegmentRow {
        self.store.segment(row.id).unwrap().unwrap()
    }

    /// The row tells exactly what the file is, and the file is whole.
    pub(super) fn assert_one_good_version(&self, before: &SegmentRow) -> SegmentRow {
        let now = self.row(before);
        let Inspection::Closed(found) = inspect(self.tree.root(), &now.path).unwrap() else {
            panic!("not whole");
        };
        let ClosedSegment {
            size_bytes,
            duration_ns,
            fragments,
            start,
            ..
        } = *found;
        assert_eq!((now.size_bytes, now.duration_ns), (size_bytes, duration_ns));
        assert_eq!(now.tracks.video.codec, start.tracks.video.codec);
        assert_eq!(self.store.fragments(now.id).unwrap().unwrap(), fragments);
        assert_eq!(now.hash.unwrap(), hash_file(self.tree.root(), &now.path).unwrap());
        assert_eq!(
            (now.start, now.run, now.sequence),
            (before.start, before.run, before.sequence)
        );
        assert_eq!(
            (now.id, &now.path, now.protected),
            (before.id, &before.path, before.protected)
        );
        now
    }

    pub(super) fn transcodable(&self) -> usize {
        let query = TranscodeQuery {
            camera: crate::ids::CameraId::new("yard").unwrap(),
            range: TimeRange::ALL,
            min_bytes: 0,
            again: false,
            masks: MasksWanted::No,
            limit: 10,
        };
        self.store.transcodable(&query).unwrap().len()
    }
}

/// Does what it is told.
#[derive(Default)]
pub(super) struct Told {
    pub(super) stop_at: Option<f64>,
    pub(super) share: f64,
    pub(super) doing: Vec<String>,
    pub(super) refuse_commit: bool,
    pub(super) at_commit: Option<Box<dyn FnMut() + Send>>,
    pub(super) at_comparison: Option<Box<dyn FnOnce() + Send>>,
    pub(super) steps: Vec<Step>,
    pub(super) at_step: Option<(Step, Box<dyn FnOnce() + Send>)>,
    pub(super) die_at: Option<String>,
}

impl Control for Told {
    fn progress(&mut self, share: f64, doing: &str) {
        assert!(share >= self.share, "progress goes back");
        self.share = share;
        if self.doing.last().is_none_or(|d| d != doing) {
            self.doing.push(doing.to_owned());
        }
        if doing.starts_with("comparing")
            && let Some(f) = self.at_comparison.take()
        {
            f();
        }
        if self.die_at.as_deref() == Some("encoding") && share > 0.3 {
            std::process::abort();
        }
    }

    fn stopped(&self) -> bool {
        self.stop_at.is_some_and(|at| self.share >= at)
    }

    fn commit(&mut self) -> bool {
        if let Some(f) = &mut self.at_commit {
            f();
        }
        !self.refuse_commit
    }

    fn step(&mut self, step: Step) {
        self.steps.push(step);
        if let Some((_, f)) = self.at_step.take_if(|(at, _)| *at == step) {
            f();
        }
        if self.die_at.as_deref() == Some(&format!("{step:?}")) {
            std::process::abort();
        }
    }
}

/// Presentation times (from the first) and keyframes of the video, as ffprobe sees them.
pub(super) fn probed(path: &Path) -> Vec<(i64, bool)> {
    let text = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "packet=pts,flags",
            "-of",
            "csv=p=0",
            path.to_str().unwrap(),
        ],
    );
    let mut all: Vec<(i64, bool)> = text
        .lines()
        .map(|l| {
            let (pts, flags) = l.split_once(',').unwrap();
            (pts.parse().unwrap(), flags.starts_with('K'))
        })
        .collect();
    all.sort_unstable();
    let first = all[0].0;
    all.iter().map(|(pts, key)| (pts - first, *key)).collect()
}

pub(super) fn sound(path: &Path) -> String {
    run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            path.to_str().unwrap(),
            "-map",
            "0:a",
            "-c",
            "copy",
            "-f",
            "framemd5",
            "-",
        ],
    )
}

pub(super) const MOVING: &str = "testsrc2=size=320x240:rate=25";
