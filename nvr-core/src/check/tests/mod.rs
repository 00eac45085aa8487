//! Index and tree that went apart in every way.

mod problems;
mod rebuilding;
mod starting;

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::clock::SystemClock;
use crate::files::tests::{media, memory_dir, options, record, start};
use crate::files::{Create, SyncPolicy, Tree};
use crate::store::OpenMode;
use crate::time::Timestamp;

struct House {
    dir: tempfile::TempDir,
    store: Store,
    tree: Tree,
}

fn root_path(dir: &Path) -> PathBuf {
    dir.join("root")
}

fn db_path(dir: &Path) -> PathBuf {
    dir.join("index.db")
}

impl House {
    fn new() -> Self {
        Self::at(memory_dir())
    }

    fn at(dir: tempfile::TempDir) -> Self {
        let store = Store::open(db_path(dir.path()), OpenMode::ReadWrite).unwrap();
        let root = Root::open(
            root_path(dir.path()),
            options(Create::IfEmpty),
            SystemClock::shared(),
        )
        .unwrap();
        let tree = Tree::new(root, SyncPolicy::Close).unwrap();
        Self { dir, store, tree }
    }

    /// What is left when the process dies: files and rows as they are.
    fn die(self) -> tempfile::TempDir {
        let Self { dir, store, tree } = self;
        store.shutdown_blocking().unwrap();
        drop((store, tree));
        dir
    }

    fn record(&self, camera: &str, run: u64, sequence: u32, at_s: i64) -> ClosedSegment {
        let closed = record(
            &self.tree,
            &start(camera, run, sequence, Timestamp::from_secs(at_s)),
            &media().bytes,
        );
        self.tree.indexed(&closed.start.camera, &closed.path);
        closed
    }

    fn record_indexed(&self, camera: &str, run: u64, sequence: u32, at_s: i64) -> ClosedSegment {
        let closed = self.record(camera, run, sequence, at_s);
        self.store.insert_segments_blocking(vec![closed.clone()]).unwrap();
        closed
    }

    fn full(&self, segment: &ClosedSegment) -> PathBuf {
        self.tree.root().path().join(&segment.path)
    }

    fn check(&self, repair: bool, hash: bool) -> CheckReport {
        let options = CheckOptions {
            repair,
            hash,
            ..CheckOptions::default()
        };
        check(&self.store, self.tree.root(), &options, &mut |_| {}).unwrap()
    }

    fn row(&self, segment: &ClosedSegment) -> Option<SegmentRow> {
        self.store.segment_by_path(&segment.path).unwrap()
    }

    /// Finds exactly this, mends it if it can be mended, and then finds nothing more.
    fn expect(&self, kind: ProblemKind, mendable: bool) {
        let report = self.check(false, false);
        let kinds: Vec<_> = report.problems.iter().map(|p| p.kind).collect();
        assert_eq!(kinds, [kind], "{report:?}");
        assert!(!report.is_clean());
        let mended = self.check(true, false);
        assert_eq!(mended.count(kind), 1);
        assert_eq!(mended.is_clean(), mendable, "{mended:?}");
        let after = self.check(false, false);
        assert_eq!(after.problems.len(), usize::from(!mendable), "{after:?}");
    }
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files_below(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// Everything that a rebuild must bring back.
fn facts(store: &Store) -> Vec<(SegmentRow, Option<Vec<u8>>)> {
    store
        .all_paths()
        .map(|row| {
            let mut row = row.unwrap();
            let fragments = store.fragments(row.id).unwrap();
            row.id = crate::ids::SegmentId(0);
            (row, fragments)
        })
        .collect()
}
