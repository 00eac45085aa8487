//! The tree in real folders: what is written, named, walked and deleted; and tools for the other tests.

mod recovery;
mod storage;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::clock::SystemClock;
use crate::error::ErrorKind;
use crate::event::CauseKind;
use crate::ids::{CameraId, RunId};
use crate::media::testing::{Synthetic, SyntheticSegment};
use crate::media::{FragmentIndex, read_closed};
use crate::run::Anchor;
use crate::segment::{ClosedSegment, Container, SegmentFile, SegmentFiles, SegmentStart};
use crate::time::Timestamp;
use crate::track::{Tracks, VideoCodec, VideoTrack};

pub(crate) fn start(camera: &str, run: u64, sequence: u32, at: Timestamp) -> SegmentStart {
    SegmentStart {
        camera: CameraId::new(camera).unwrap(),
        run: RunId::from_u64(run),
        sequence,
        anchor: Anchor {
            utc: "2026-05-04T00:00:00Z".parse().unwrap(),
            steady_ns: 5,
            running_ns: 7,
        },
        start: at,
        camera_start: None,
        container: Container::Fmp4,
        tracks: Tracks {
            video: VideoTrack {
                codec: VideoCodec::H264,
                width: 128,
                height: 72,
                frame_rate: Some(25.0),
            },
            audio: None,
        },
        masks: None,
        from_card: false,
    }
}

pub(crate) fn t(s: &str) -> Timestamp {
    s.parse().unwrap()
}

pub(crate) fn media() -> Synthetic {
    SyntheticSegment::new().build()
}

pub(crate) fn options(create: Create) -> RootOptions {
    RootOptions {
        create,
        expected: None,
        exclusive: true,
    }
}

/// A test that could not mount is left out where that is allowed.
pub(crate) fn without_mount() {
    assert!(!rustix::process::geteuid().is_root(), "root cannot mount a tmpfs");
    assert!(
        std::env::var_os("NVR_TESTS_MUST_RUN").is_none(),
        "mounting takes root, and NVR_TESTS_MUST_RUN allows no test to be left out"
    );
    eprintln!("skipped: mounting a tmpfs needs root");
}

pub(crate) fn root_at(path: &Path) -> Root {
    Root::open(path, options(Create::IfEmpty), SystemClock::shared()).unwrap()
}

pub(crate) fn tree_at(path: &Path) -> Tree {
    Tree::new(root_at(path), SyncPolicy::Close).unwrap()
}

/// Writes a whole segment in pieces of odd sizes.
pub(crate) fn record(tree: &Tree, start: &SegmentStart, data: &[u8]) -> ClosedSegment {
    let mut file = tree.create(start).unwrap();
    write(&mut *file, data);
    file.finish().unwrap()
}

fn write(file: &mut dyn SegmentFile, data: &[u8]) {
    let mut offset = 0;
    for piece in data.chunks(777) {
        file.write_at(offset, piece).unwrap();
        offset += piece.len() as u64;
    }
}

/// A folder in memory, for tests that sync a file thousands of times.
pub(crate) fn memory_dir() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        tempfile::tempdir_in(shm)
    } else {
        tempfile::tempdir()
    }
    .unwrap()
}

fn cause(e: &crate::error::Error) -> CauseKind {
    cause_of(e).unwrap_or_else(|| panic!("{e:?}")).kind
}

fn names_below(path: &Path) -> BTreeSet<String> {
    fs::read_dir(path)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_segment_describes_itself_and_is_hashed() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_at(dir.path());
    let s = start("cam", 1, 0, t("2026-05-04T03:02:01.25Z"));
    let synthetic = media();
    let closed = record(&tree, &s, &synthetic.bytes);
    assert_eq!(
        closed.path,
        Path::new("cam/2026-05-04/03-02-01.250Z-00000001.mp4")
    );
    assert_eq!(closed.start, s);
    assert_eq!(closed.duration_ns, 4_000_000_000);
    let bytes = fs::read(dir.path().join(&closed.path)).unwrap();
    assert_eq!(bytes.len() as u64, closed.size_bytes);
    assert_eq!(closed.hash, Some(*blake3::hash(&bytes).as_bytes()));
    assert_eq!(
        hash_file(tree.root(), &closed.path).unwrap(),
        *blake3::hash(&bytes).as_bytes()
    );

    let info = read_closed(&mut std::io::Cursor::new(&bytes)).unwrap().unwrap();
    assert_eq!(info.description, s);
    assert_eq!(info.index.to_blob(), closed.fragments);
    assert_eq!(info.index.fragments.len(), synthetic.index.fragments.len());
    let Inspection::Closed(seen) = inspect(tree.root(), &closed.path).unwrap() else {
        panic!("not closed");
    };
    assert_eq!(ClosedSegment { hash: None, ..closed }, *seen);
}

#[test]
fn the_growing_segment_tells_what_is_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_at(dir.path());
    let s = start("cam", 1, 0, t("2026-05-04T03:02:01Z"));
    let synthetic = media();
    let mut file = tree.create(&s).unwrap();
    let growing = tree.growing();
    assert_eq!(growing.len(), 1);
    assert_eq!(growing[0].index().fragments.len(), 0);
    let half = synthetic.bytes.len() / 2;
    file.write_at(0, &synthetic.bytes[..half]).unwrap();
    let index = growing[0].index();
    assert!(!index.fragments.is_empty());
    let on_disk = fs::read(dir.path().join(file.path())).unwrap();
    assert_eq!(growing[0].size_bytes(), on_disk.len() as u64);
    assert!(index.tail_offset() <= on_disk.len() as u64);
    for f in &index.fragments {
        assert_eq!(&on_disk[f.offset as usize + 4..][..4], b"moof");
    }
    assert_eq!(growing[0].duration_ns(), index.duration_ns());
    file.write_at(half as u64, &synthetic.bytes[half..]).unwrap();
    let closed = file.finish().unwrap();
    // Still seen until it is in the index.
    assert!(tree.growing_of(&s.camera)[0].is_finished());
    assert_eq!(
        tree.growing()[0].index(),
        FragmentIndex::from_blob(&closed.fragments).unwrap()
    );
    tree.indexed(&s.camera, &closed.path);
    assert!(tree.growing().is_empty());
}

#[test]
fn finished_segments_do_not_pile_up() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_at(dir.path());
    for i in 0..5 {
        record(
            &tree,
            &start("cam", 1, i, Timestamp::from_secs(i64::from(i) * 4)),
            &media().bytes,
        );
    }
    assert_eq!(tree.growing().len(), 1);
}

/// fm20: no file name is used twice, also not after the file was deleted.
#[test]
fn fm20_no_name_is_used_twice() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_at(dir.path());
    let s = start("cam", 1, 0, t("2026-05-04T23:59:59.999Z"));
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let closed = record(&tree, &s, &media().bytes);
        assert!(seen.insert(closed.path.clone()), "{}", closed.path.display());
        assert_eq!(SegmentName::parse(&closed.path).unwrap().run, s.run);
        assert!(delete(tree.root(), &closed.path).unwrap());
    }
    // Another process's file of the same name is not touched.
    drop(tree);
    let taken = dir.path().join(SegmentName::of(&s).path());
    fs::create_dir_all(taken.parent().unwrap()).unwrap();
    fs::write(&taken, b"precious").unwrap();
    let tree = tree_at(dir.path());
    let closed = record(&tree, &s, &media().bytes);
    assert_ne!(dir.path().join(&closed.path), taken);
    assert_eq!(fs::read(&taken).unwrap(), b"precious");
}

#[test]
fn the_interval_syncs_in_the_background_and_ends_with_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path(), options(Create::IfEmpty), SystemClock::shared()).unwrap();
    let tree = Tree::new(root, SyncPolicy::Every(Duration::from_millis(10))).unwrap();
    let closed = record(
        &tree,
        &start("cam", 1, 0, Timestamp::from_secs(0)),
        &media().bytes,
    );
    assert!(matches!(
        inspect(tree.root(), &closed.path).unwrap(),
        Inspection::Closed(_)
    ));
    // Joins the thread.
    drop(tree);
}

#[test]
fn a_muxer_that_goes_back_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_at(dir.path());
    let mut file = tree.create(&start("cam", 1, 0, Timestamp::from_secs(0))).unwrap();
    let bytes = media().bytes;
    file.write_at(0, &bytes[..100]).unwrap();
    assert_eq!(
        file.write_at(50, &bytes[50..]).unwrap_err().kind(),
        ErrorKind::Internal
    );
}

#[test]
fn a_segment_without_a_fragment_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_at(dir.path());
    let synthetic = media();
    let mut file = tree.create(&start("cam", 1, 0, Timestamp::from_secs(0))).unwrap();
    let path = file.path().to_owned();
    file.write_at(0, &synthetic.bytes[..synthetic.init_len + 30])
        .unwrap();
    assert_eq!(file.finish().unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(!dir.path().join(&path).exists());
    assert!(!tree.has_abandoned() && tree.growing().is_empty());
}

#[test]
fn walking_is_in_order_and_leaves_foreign_things_alone() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_at(dir.path());
    let mut paths = Vec::new();
    for (camera, second) in [("cam", 0), ("cam", 90_000), ("cam-2", 5), ("cam", 3), ("a", 7)] {
        let closed = record(
            &tree,
            &start(camera, 1, 0, Timestamp::from_secs(second)),
            &media().bytes,
        );
        paths.push(closed.path.to_str().unwrap().to_owned());
    }
    paths.sort();
    fs::write(dir.path().join("cam/notes.txt"), b"x").unwrap();
    fs::write(dir.path().join("cam/1970-01-01/x.mp4"), b"x").unwrap();
    fs::create_dir(dir.path().join("cam/1970-01-01/00-00-09.000Z-00000001.mp4")).unwrap();
    let secret = tempfile::tempdir().unwrap();
    fs::create_dir(secret.path().join("1970-01-01")).unwrap();
    fs::write(secret.path().join("1970-01-01/00-00-00.000Z-00000001.mp4"), b"x").unwrap();
    std::os::unix::fs::symlink(secret.path(), dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink(secret.path(), dir.path().join("a/1970-01-02")).unwrap();
    let mut found = Vec::new();
    let mut foreign = BTreeSet::new();
    for entry in Walk::new(tree.root()).unwrap() {
        match entry.unwrap() {
            Entry::Segment { name, size_bytes } => {
                assert!(size_bytes > 1000);
                found.push(name.to_string());
            }
            Entry::Foreign(path) => {
                foreign.insert(path.to_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(found, paths);
    let expected = [
        "a/1970-01-02",
        "cam/1970-01-01/00-00-09.000Z-00000001.mp4",
        "cam/1970-01-01/x.mp4",
        "cam/notes.txt",
        "link",
    ];
    assert_eq!(foreign, expected.map(str::to_owned).into());

    // Nothing leads through the links.
    let through = Path::new("link/1970-01-01/00-00-00.000Z-00000001.mp4");
    assert!(tree.open_file(crate::segment::Tier::First, through).is_err());
    assert!(delete(tree.root(), through).is_err());
    let s = start("link", 1, 0, Timestamp::from_secs(0));
    assert_eq!(tree.create(&s).unwrap_err().kind(), ErrorKind::Storage);
    assert_eq!(names_below(&secret.path().join("1970-01-01")).len(), 1);
}

#[test]
fn deleting_takes_segments_only_and_the_folder_they_leave_empty() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_at(dir.path());
    let one = record(
        &tree,
        &start("cam", 1, 0, Timestamp::from_secs(0)),
        &media().bytes,
    );
    let two = record(
        &tree,
        &start("cam", 1, 1, Timestamp::from_secs(9)),
        &media().bytes,
    );
    assert!(delete(tree.root(), &one.path).unwrap());
    assert!(!delete(tree.root(), &one.path).unwrap());
    assert!(dir.path().join("cam/1970-01-01").exists());
    assert!(delete(tree.root(), &two.path).unwrap());
    assert_eq!(names_below(&dir.path().join("cam")), BTreeSet::new());
    for bad in ["../x", MARKER, "cam", "/etc/passwd", "cam/1970-01-01/../../x"] {
        assert_eq!(
            delete(tree.root(), Path::new(bad)).unwrap_err().kind(),
            ErrorKind::InvalidArgument
        );
    }
}
