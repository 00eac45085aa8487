//! Whole transcodes of real footage, judged by other programs, and every way to be interrupted.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::policy::Rules;
use super::work::{Control, Outcome, Worker};
use super::*;
use crate::clock::{SharedClock, SystemClock};
use crate::config::TranscodeConfig;
use crate::files::replace::{Step, leftovers};
use crate::files::tests::{start, t, tree_at};
use crate::files::{Inspection, Tree, hash_file, inspect};
use crate::gst::Catalogue;
use crate::segment::{ClosedSegment, SegmentFiles, SegmentStart};
use crate::store::{OpenMode, SegmentRow, Store, TranscodeQuery};
use crate::time::TimeRange;
use crate::track::VideoCodec;

/// Runs a program and gives what it prints.
fn run(program: &str, args: &[&str]) -> String {
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
fn footage(dir: &Path, filter: &str, video: &[&str], seconds: u32) -> Vec<u8> {
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

struct Rig {
    dir: PathBuf,
    tree: Tree,
    store: Store,
    clock: SharedClock,
    config: TranscodeConfig,
    catalogue: Arc<Catalogue>,
}

impl Rig {
    fn open(dir: &Path) -> Self {
        let clock = SystemClock::shared();
        Self {
            dir: dir.to_owned(),
            tree: tree_at(&dir.join("tree")),
            store: Store::open(dir.join("index.db"), OpenMode::ReadWrite).unwrap(),
            catalogue: Arc::new(Catalogue::new(clock.clone(), Duration::from_secs(600))),
            clock,
            config: TranscodeConfig {
                preset: Some("ultrafast".into()),
                ..TranscodeConfig::default()
            },
        }
    }

    fn record(&self, bytes: &[u8]) -> SegmentRow {
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

    fn path(&self, row: &SegmentRow) -> PathBuf {
        self.dir.join("tree").join(&row.path)
    }

    fn worker(&self) -> Worker {
        Worker::new(
            self.store.clone(),
            self.tree.clone(),
            self.clock.clone(),
            Arc::clone(&self.catalogue),
        )
    }

    fn transcode(&self, row: &SegmentRow, control: &mut (dyn Control + Send)) -> Outcome {
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

    fn row(&self, row: &SegmentRow) -> SegmentRow {
        self.store.segment(row.id).unwrap().unwrap()
    }

    /// The row tells exactly what the file is, and the file is whole.
    fn assert_one_good_version(&self, before: &SegmentRow) -> SegmentRow {
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

    fn transcodable(&self) -> usize {
        let query = TranscodeQuery {
            camera: crate::ids::CameraId::new("yard").unwrap(),
            range: TimeRange::ALL,
            min_bytes: 0,
            again: false,
            limit: 10,
        };
        self.store.transcodable(&query).unwrap().len()
    }
}

/// Does what it is told.
#[derive(Default)]
struct Told {
    stop_at: Option<f64>,
    share: f64,
    doing: Vec<String>,
    refuse_commit: bool,
    at_commit: Option<Box<dyn FnMut() + Send>>,
    at_comparison: Option<Box<dyn FnOnce() + Send>>,
    steps: Vec<Step>,
    die_at: Option<String>,
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
        if self.die_at.as_deref() == Some(&format!("{step:?}")) {
            std::process::abort();
        }
    }
}

/// Presentation times (from the first) and keyframes of the video, as ffprobe sees them.
fn probed(path: &Path) -> Vec<(i64, bool)> {
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

fn sound(path: &Path) -> String {
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

const MOVING: &str = "testsrc2=size=320x240:rate=25";

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

/// Another encoder begins at the beginning.
struct Restarting<'a>(&'a mut Told);

impl Control for Restarting<'_> {
    fn progress(&mut self, share: f64, doing: &str) {
        self.0.share = f64::MIN;
        self.0.progress(share, doing);
    }
    fn stopped(&self) -> bool {
        self.0.stopped()
    }
    fn commit(&mut self) -> bool {
        self.0.commit()
    }
}

#[test]
fn what_must_not_be_touched_is_not_even_when_that_comes_late() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let row = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 2));
    let before = std::fs::read(rig.path(&row)).unwrap();
    rig.store.set_protected_blocking(row.id, true).unwrap();
    let outcome = rig.transcode(&row, &mut Told::default());
    assert!(
        matches!(&outcome, Outcome::Skipped { reason } if reason.contains("protected")),
        "{outcome:?}"
    );
    rig.store.set_protected_blocking(row.id, false).unwrap();

    // Protected while it was encoded.
    let store = rig.store.clone();
    let id = row.id;
    let mut control = Told {
        at_commit: Some(Box::new(move || store.set_protected_blocking(id, true).unwrap())),
        ..Told::default()
    };
    let outcome = rig.transcode(&row, &mut control);
    assert!(
        matches!(&outcome, Outcome::Skipped { reason } if reason.contains("protected")),
        "{outcome:?}"
    );
    rig.store.set_protected_blocking(row.id, false).unwrap();

    // Called off while it was encoded, while it was compared, and at the last moment.
    for control in [
        Told {
            stop_at: Some(0.2),
            ..Told::default()
        },
        Told {
            stop_at: Some(0.8),
            ..Told::default()
        },
        Told {
            refuse_commit: true,
            ..Told::default()
        },
    ] {
        let mut control = control;
        assert_eq!(rig.transcode(&row, &mut control), Outcome::Stopped);
        assert!(control.steps.is_empty());
    }
    assert_eq!(std::fs::read(rig.path(&row)).unwrap(), before);
    assert!(leftovers(rig.tree.root()).unwrap().is_empty());
    assert_eq!(rig.row(&row), row);

    // Deleted while it was encoded.
    let (store, file) = (rig.store.clone(), rig.path(&row));
    let mut control = Told {
        at_commit: Some(Box::new(move || {
            std::fs::remove_file(&file).unwrap();
            store.delete_segment_blocking(id).unwrap();
        })),
        ..Told::default()
    };
    let gone = std::thread::scope(|s| {
        s.spawn(|| {
            rig.worker()
                .run(id, &rig.config, &Rules::on_demand(), &mut control)
        })
        .join()
        .unwrap()
    });
    assert_eq!(gone.unwrap_err().kind(), crate::error::ErrorKind::NotFound);
    assert!(!rig.path(&row).exists() && leftovers(rig.tree.root()).unwrap().is_empty());
}

#[test]
fn an_original_is_kept_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(dir.path());
    rig.config.keep_original = Duration::from_secs(3600);
    let row = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 1));
    assert!(matches!(
        rig.transcode(&row, &mut Told::default()),
        Outcome::Done(_)
    ));
    let found = leftovers(rig.tree.root()).unwrap();
    assert_eq!((found.len(), found[0].size_bytes), (1, row.size_bytes));
    settle(
        &rig.store,
        &rig.tree,
        &rig.clock,
        Duration::from_secs(3600),
        false,
    )
    .unwrap();
    assert_eq!(leftovers(rig.tree.root()).unwrap().len(), 1);
    let settled = settle(&rig.store, &rig.tree, &rig.clock, Duration::ZERO, false).unwrap();
    assert_eq!(settled.expired, 1);
    assert!(leftovers(rig.tree.root()).unwrap().is_empty());
    rig.assert_one_good_version(&row);
}

/// Retention is quicker: nobody is to blame, least of all the encoder.
#[test]
fn a_segment_that_is_deleted_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let row = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 2));
    let (store, id, file) = (rig.store.clone(), row.id, rig.path(&row));
    let mut control = Told {
        at_comparison: Some(Box::new(move || {
            let taken = store
                .condemn_blocking(vec![(id, crate::event::DeletionReason::FreeSpace)])
                .unwrap();
            assert_eq!(taken, [id]);
            std::fs::remove_file(&file).unwrap();
            store.segments_deleted_blocking(vec![id]).unwrap();
        })),
        ..Told::default()
    };
    let outcome = rig.transcode(&row, &mut control);
    assert!(
        matches!(&outcome, Outcome::Skipped { reason } if reason.contains("deleted")),
        "{outcome:?}"
    );
    assert!(leftovers(rig.tree.root()).unwrap().is_empty());

    let other = rig.record(&footage(dir.path(), MOVING, &["-g", "25", "-bf", "0"], 2));
    let outcome = rig.transcode(&other, &mut Told::default());
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
}

/// Not a test by itself: the process that [`killed_at_every_step`] kills.
#[test]
fn child_that_dies() {
    let (Ok(dir), Ok(step)) = (std::env::var("NVR_TEST_DIR"), std::env::var("NVR_TEST_STEP")) else {
        return;
    };
    let rig = Rig::open(Path::new(&dir));
    let rows = rig
        .store
        .all_paths()
        .collect::<crate::error::Result<Vec<_>>>()
        .unwrap();
    let mut control = Told {
        die_at: Some(step),
        ..Told::default()
    };
    let outcome = rig.transcode(&rows[0], &mut control);
    panic!("it should have died before {outcome:?}");
}

#[test]
fn killed_at_every_step() {
    let made = tempfile::tempdir().unwrap();
    let bytes = footage(made.path(), MOVING, &["-g", "25", "-bf", "0"], 2);
    let steps = [
        "encoding",
        "Synced",
        "Linked",
        "Renamed",
        "FoldersSynced",
        "RowWritten",
        "RowDurable",
        "Done",
    ];
    for step in steps {
        for lose_the_commit in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let rig = Rig::open(dir.path());
            let row = rig.record(&bytes);
            rig.store.shutdown_blocking().unwrap();
            drop(rig);
            let index = dir.path().join("index.db");
            let saved = std::fs::read(&index).unwrap();

            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "transcode::tests::child_that_dies", "--nocapture"])
                .env("NVR_TEST_DIR", dir.path())
                .env("NVR_TEST_STEP", step)
                .output()
                .unwrap();
            let by = std::os::unix::process::ExitStatusExt::signal(&child.status);
            assert_eq!(by, Some(6), "{step}: {}", String::from_utf8_lossy(&child.stderr));
            if lose_the_commit {
                // A power cut: what was committed and not forced to the disk is gone.
                if matches!(step, "RowDurable" | "Done") {
                    continue;
                }
                for suffix in ["-wal", "-shm"] {
                    let _ = std::fs::remove_file(dir.path().join(format!("index.db{suffix}")));
                }
                std::fs::write(&index, &saved).unwrap();
            }

            // Before anything is settled the segment's name leads to one whole version.
            let rig = Rig::open(dir.path());
            assert!(
                matches!(inspect(rig.tree.root(), &row.path), Ok(Inspection::Closed(_))),
                "{step}"
            );
            let settled = settle(&rig.store, &rig.tree, &rig.clock, Duration::ZERO, true).unwrap();
            assert!(
                settled.failed.is_empty() && settled.restored.is_empty(),
                "{step}: {settled:?}"
            );
            assert!(leftovers(rig.tree.root()).unwrap().is_empty(), "{step}");
            let now = rig.assert_one_good_version(&row);
            let replaced = !matches!(step, "encoding" | "Synced" | "Linked");
            let codec = if replaced {
                VideoCodec::H265
            } else {
                VideoCodec::H264
            };
            assert_eq!(now.tracks.video.codec, codec, "{step}");
            assert_eq!(now.marks.is_transcoded(), replaced, "{step}");

            // A new index made of the files finds the same.
            let Inspection::Closed(found) = inspect(rig.tree.root(), &row.path).unwrap() else {
                panic!("{step}");
            };
            assert_eq!(found.start.tracks.video.codec, codec, "{step}");

            // And the work can be done again, once.
            let outcome = rig.transcode(&row, &mut Told::default());
            assert_eq!(
                matches!(outcome, Outcome::Done(_)),
                !replaced,
                "{step}: {outcome:?}"
            );
            assert_eq!(
                rig.assert_one_good_version(&row).tracks.video.codec,
                VideoCodec::H265
            );
        }
    }
}
