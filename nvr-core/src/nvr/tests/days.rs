//! Whole days of one camera in seconds: its frames go through the recorder, its writer, tree and index.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::check::{CheckOptions, check};
use crate::files::tests::tree_at;
use crate::gst::tests::days::{Days, frames_of};
use crate::machine::MachineSample;
use crate::rtsp::Timeline;
use crate::segment::ClosedSegment;
use crate::store::{OpenMode, Order, SegmentQuery, SegmentRow, Store};
use crate::time::{NS_PER_S, TimeRange, Timestamp};

const MS: i64 = 1_000_000;
const DAY_S: i64 = 86_400;
const QUARTER: Duration = Duration::from_mins(15);
const QUARTER_NS: i64 = 900 * NS_PER_S;
/// Two frames a second, a keyframe every two seconds.
const FRAME_NS: i64 = 500 * MS;
const GOP: i64 = 4;

/// A tree, its index and a camera that is recorded in both.
struct House {
    dir: tempfile::TempDir,
    store: Store,
    tree: crate::files::Tree,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("index.db"), OpenMode::ReadWrite).unwrap();
        let tree = tree_at(&dir.path().join("root"));
        Self { dir, store, tree }
    }

    fn record(&self, utc: Timestamp) -> Days {
        let (store, tree) = (self.store.clone(), self.tree.clone());
        let closed = move |segment: ClosedSegment| {
            let (camera, path) = (segment.start.camera.clone(), segment.path.clone());
            store.insert_segments_blocking(vec![segment]).unwrap();
            tree.indexed(&camera, &path);
        };
        Days::new(Arc::new(self.tree.clone()), QUARTER, utc, closed)
    }

    fn rows(&self) -> Vec<SegmentRow> {
        let mut query = SegmentQuery::new([], TimeRange::ALL);
        query.order = Order::Asc;
        self.store.all_segments(&query).unwrap()
    }

    fn file(&self, row: &SegmentRow) -> PathBuf {
        self.tree.root().path().join(&row.path)
    }

    /// Files below the root that are open.
    fn open_files(&self) -> usize {
        let root = self.tree.root().path();
        let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        open.filter_map(|e| std::fs::read_link(e.path()).ok())
            .filter(|p| is_segment(p, root))
            .count()
    }

    /// Index and files agree, no frame is missing, and nothing lies between two segments.
    fn judge(&self, frames: usize) -> Vec<SegmentRow> {
        let report = check(
            &self.store,
            self.tree.root(),
            &CheckOptions::default(),
            &mut |_| {},
        )
        .unwrap();
        assert!(report.problems.is_empty(), "{:#?}", report.problems);
        let rows = self.rows();
        assert_eq!(report.files, rows.len() as u64);
        let kept: usize = rows
            .iter()
            .map(|r| frames_of(&std::fs::read(self.file(r)).unwrap()))
            .sum();
        assert_eq!(kept, frames, "frames in {} segments", rows.len());
        for pair in rows.windows(2) {
            let hole = pair[1].start.since(pair[0].end());
            assert!(hole.abs() < MS, "{hole} ns between {pair:#?}");
            assert_eq!(pair[1].sequence, pair[0].sequence + 1);
        }
        rows
    }
}

fn is_segment(path: &Path, root: &Path) -> bool {
    path.starts_with(root) && path.extension().is_some_and(|e| e == "mp4")
}

/// What is due with each boundary of the wall clock: a segment that begins with the first keyframe behind it.
fn assert_on_boundaries(rows: &[SegmentRow], late_ns: i64) {
    for row in &rows[1..] {
        let late = row.start.as_ns().rem_euclid(QUARTER_NS);
        assert!(late < late_ns, "{late} ns behind its boundary: {row:#?}");
    }
    for row in &rows[1..rows.len() - 1] {
        let off = row.duration_ns - QUARTER_NS;
        assert!(off.abs() < late_ns, "{off} ns off a quarter of an hour: {row:#?}");
    }
}

/// The clock of a camera runs 1 % fast or slow for 24 hours: its frames are never off by a second, and its segments are
/// those of a true clock, one for each quarter of an hour.
#[test]
fn fm03_a_day_of_a_camera_clock_that_is_one_per_cent_fast_or_slow() {
    for rate in [0.99, 1.01] {
        let house = House::new();
        // The day on which Berlin has 25 hours: of no account.
        let mut days = house.record("2026-10-24T22:00:00Z".parse().unwrap());
        let mut line = Timeline::new(90_000);
        let (mut worst, mut worst_step) = (0, 0);
        let mut last: Option<i64> = None;
        let frames = DAY_S * NS_PER_S / FRAME_NS;
        for n in 0..frames {
            let truth = 7 * NS_PER_S + n * FRAME_NS;
            let ticks = ((n * FRAME_NS / 1000 * 9 / 100) as f64 * rate) as i64;
            // Up to 97 ms late, and read at ticks of 250 ms.
            let arrival = (truth + n * 7919 % 97 * MS + 250 * MS - 1) / (250 * MS) * (250 * MS);
            let pts = line.pts(4_000_000_000u32.wrapping_add(ticks as u32), arrival, None);
            worst = worst.max((pts - truth).abs());
            if let Some(last) = last {
                worst_step = worst_step.max((pts - last - FRAME_NS).abs());
            }
            last = Some(pts);
            days.frame(pts, n % GOP == 0);
        }
        days.finish();
        assert!(worst < NS_PER_S, "{rate}: off by {worst} ns");
        assert!(
            worst_step < FRAME_NS / 10,
            "{rate}: a frame is {worst_step} ns off"
        );
        let rows = house.judge(frames as usize);
        // 22:00:07 to 22:00:07: a first one that is short by 7 s, 95 whole ones and a last one of 7 s.
        assert_eq!(rows.len(), 97, "{rate}");
        assert_on_boundaries(&rows, GOP * FRAME_NS + NS_PER_S);
        let whole: i64 = rows.iter().map(|r| r.duration_ns).sum();
        assert!((whole - DAY_S * NS_PER_S).abs() < 2 * NS_PER_S, "{rate}: {whole}");
    }
}

/// 24 hours of splits by the clock and by hand: no frame is lost at any, no name is there twice, and neither memory nor
/// open files grow from the second hour to the last.
#[test]
fn fm20_a_day_of_rotation() {
    const HOUR: i64 = 3600 * NS_PER_S / FRAME_NS;
    let house = House::new();
    let begin: Timestamp = "2026-10-24T22:00:00Z".parse().unwrap();
    let mut days = house.record(begin);
    let mut early = None;
    // The frames with which segments are to begin.
    let mut due: BTreeSet<i64> = (0..24 * 4).map(|n| n * HOUR / 4).collect();
    for n in 0..24 * HOUR {
        // Some fall on one of the clock, or beside it.
        if n % (HOUR / 2 - 3) == HOUR / 4 {
            days.split();
            due.insert((n + GOP - 1) / GOP * GOP);
        }
        days.frame(n * FRAME_NS, n % GOP == 0);
        if n % HOUR == HOUR - 1 {
            // The one that grows, and one whose end is being written.
            assert!(
                house.open_files() <= 2,
                "{} segments are open",
                house.open_files()
            );
            if n / HOUR == 1 {
                early = Some(MachineSample::take().resident_bytes);
            }
        }
    }
    let late = MachineSample::take().resident_bytes;
    days.finish();
    let rows = house.judge(24 * HOUR as usize);
    let begun: BTreeSet<i64> = rows.iter().map(|r| r.start.since(begin) / FRAME_NS).collect();
    assert_eq!(begun, due);
    assert_eq!(rows.len(), due.len());
    let mut names: Vec<_> = rows.iter().map(|r| &r.path).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), rows.len(), "a name was used twice");
    assert_eq!(house.open_files(), 0);
    // Where each test has a process of its own.
    if std::env::var_os("NEXTEST").is_some() {
        let grown = late.saturating_sub(early.unwrap());
        assert!(grown < 8 << 20, "memory grew by {grown} bytes in 22 hours");
    }
    drop(house.dir);
}
