//! The tree on real file systems: faults, collisions, crashes.

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

pub(crate) fn tree_at(path: &Path) -> Tree {
    let root = Root::open(path, options(Create::IfEmpty), SystemClock::shared()).unwrap();
    Tree::new(root, SyncPolicy::Close).unwrap()
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

/// A file system of its own, gone with the value.
struct Mount(PathBuf);

impl Mount {
    /// `None` where mounting is not allowed: it takes root.
    fn tmpfs(at: &Path, size: &str) -> Option<Self> {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
            .arg(at)
            .status()
            .unwrap();
        if !status.success() {
            assert!(!rustix::process::geteuid().is_root(), "root cannot mount a tmpfs");
            eprintln!("skipped: mounting a tmpfs needs root");
            return None;
        }
        Some(Self(at.to_owned()))
    }

    fn remount(&self, option: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(&self.0)
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn vanish(&self) {
        assert!(
            Command::new("umount")
                .arg("-l")
                .arg(&self.0)
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
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
fn a_folder_with_other_things_is_refused_unless_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SystemClock::shared();
    fs::write(dir.path().join("holiday.jpg"), b"x").unwrap();
    let e = Root::open(dir.path(), options(Create::IfEmpty), clock.clone()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Storage);
    assert!(e.hint().unwrap().contains("nvr init"), "{e:?}");
    assert_eq!(
        names_below(dir.path()),
        BTreeSet::from(["holiday.jpg".to_owned()])
    );
    let root = Root::open(dir.path(), options(Create::Adopt), clock.clone()).unwrap();
    let id = root.id().unwrap();
    drop(root);
    // Once it has a marker it is opened by all, and is always the same tree.
    let root = Root::open(dir.path(), options(Create::Never), clock).unwrap();
    assert_eq!(root.id(), Some(id));
    assert_eq!(fs::read(dir.path().join("holiday.jpg")).unwrap(), b"x");
}

/// fm14: nothing is written where the recordings disk should be and is not.
#[test]
fn fm14_a_missing_mount_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SystemClock::shared();
    let expected = RootOptions {
        expected: Some(TreeId::random()),
        ..options(Create::IfEmpty)
    };
    let e = Root::open(dir.path(), expected, clock.clone()).unwrap_err();
    assert_eq!(cause(&e), CauseKind::StorageMissing);
    assert!(names_below(dir.path()).is_empty());
    let gone = dir.path().join("not/there");
    let e = Root::open(&gone, expected, clock.clone()).unwrap_err();
    assert_eq!(cause(&e), CauseKind::StorageMissing);
    assert!(!dir.path().join("not").exists());

    // A disk of another tree.
    drop(Root::open(dir.path(), options(Create::IfEmpty), clock.clone()).unwrap());
    let before = names_below(dir.path());
    let tree = Tree::new(Root::new(dir.path(), expected, clock), SyncPolicy::Close).unwrap();
    let s = start("cam", 1, 0, t("2026-05-04T03:02:01Z"));
    assert_eq!(cause(&tree.create(&s).unwrap_err()), CauseKind::StorageMissing);
    assert_eq!(cause(&tree.healthy().unwrap_err()), CauseKind::StorageMissing);
    assert_eq!(names_below(dir.path()), before);
}

/// fm14: the mount vanishes under the recorder, and comes back.
#[test]
fn fm14_a_vanished_mount_is_noticed_and_found_again() {
    let outer = tempfile::tempdir().unwrap();
    let disk = outer.path().join("disk");
    let root_path = outer.path().join("mnt");
    fs::create_dir(&disk).unwrap();
    fs::create_dir(&root_path).unwrap();
    let Some(_disk) = Mount::tmpfs(&disk, "8m") else {
        return;
    };
    let bind = || {
        assert!(
            Command::new("mount")
                .arg("--bind")
                .args([&disk, &root_path])
                .status()
                .unwrap()
                .success()
        );
        Mount(root_path.clone())
    };
    let mounted = bind();
    let tree = tree_at(&root_path);
    let id = tree.root().id();
    record(
        &tree,
        &start("cam", 1, 0, Timestamp::from_secs(0)),
        &media().bytes,
    );

    mounted.vanish();
    let e = tree
        .create(&start("cam", 1, 1, Timestamp::from_secs(10)))
        .unwrap_err();
    assert_eq!(cause(&e), CauseKind::StorageMissing);
    assert_eq!(cause(&tree.healthy().unwrap_err()), CauseKind::StorageMissing);
    assert!(
        delete(
            tree.root(),
            Path::new("cam/1970-01-01/00-00-00.000Z-00000001.mp4")
        )
        .is_err()
    );
    assert!(
        names_below(&root_path).is_empty(),
        "something was written below the mount point"
    );

    let _mounted = bind();
    tree.healthy().unwrap();
    assert_eq!(tree.root().id(), id);
    record(
        &tree,
        &start("cam", 1, 1, Timestamp::from_secs(10)),
        &media().bytes,
    );
    assert_eq!(names_below(&root_path.join("cam/1970-01-01")).len(), 2);
}

#[test]
fn a_lost_marker_stops_recording_and_adopting_restores_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_at(dir.path());
    let id = tree.root().id();
    fs::remove_file(dir.path().join(MARKER)).unwrap();
    let e = tree
        .create(&start("cam", 1, 0, Timestamp::from_secs(0)))
        .unwrap_err();
    assert_eq!(cause(&e), CauseKind::StorageMissing);
    assert!(!dir.path().join("cam").exists());
    drop(tree);
    let adopt = RootOptions {
        expected: id,
        ..options(Create::Adopt)
    };
    let root = Root::open(dir.path(), adopt, SystemClock::shared()).unwrap();
    assert_eq!(root.id(), id);

    for damaged in ["", "{}", "{\"format\":1,\"tree\":\"x\",\"created\":\"now\"}"] {
        fs::write(dir.path().join(MARKER), damaged).unwrap();
        assert_eq!(
            cause(&root.probe().unwrap_err()),
            CauseKind::StorageMissing,
            "{damaged}"
        );
    }
}

#[test]
fn two_recorders_never_share_a_root() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_at(dir.path());
    let e = Root::open(dir.path(), options(Create::IfEmpty), SystemClock::shared()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
    assert!(e.to_string().contains(&std::process::id().to_string()), "{e}");
    // A reader is let in, sees the recorder and may not write.
    let reader = Root::open(dir.path(), RootOptions::default(), SystemClock::shared()).unwrap();
    assert!(reader.is_in_use().unwrap());
    let path = Path::new("cam/1970-01-01/00-00-00.000Z-00000001.mp4");
    assert_eq!(delete(&reader, path).unwrap_err().kind(), ErrorKind::Conflict);
    drop(tree);
    assert!(!reader.is_in_use().unwrap());
    tree_at(dir.path());
}

#[test]
fn a_full_disk_leaves_whole_fragments() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Mount::tmpfs(dir.path(), "1m") else {
        return;
    };
    let tree = tree_at(dir.path());
    let synthetic = SyntheticSegment {
        frames: 2000,
        frame_bytes: 8000,
        ..SyntheticSegment::new()
    }
    .build();
    assert!(synthetic.bytes.len() > 1 << 20);
    let s = start("cam", 1, 0, t("2026-05-04T03:02:01Z"));
    let mut file = tree.create(&s).unwrap();
    let mut offset = 0;
    let e = synthetic
        .bytes
        .chunks(5000)
        .find_map(|piece| {
            let result = file.write_at(offset, piece);
            offset += piece.len() as u64;
            result.err()
        })
        .expect("the disk is too large");
    assert_eq!(cause(&e), CauseKind::DiskFull);
    assert!(file.write_at(offset, b"more").is_err());
    let path = file.path().to_owned();
    let index = tree.growing()[0].index();
    assert!(index.fragments.len() > 10);
    assert_eq!(
        fs::metadata(dir.path().join(&path)).unwrap().len(),
        index.tail_offset()
    );
    let e = tree.create(&start("cam", 1, 1, t("2026-05-04T03:05:00Z"))).err();
    // Whether a further, empty file still fits is up to the file system.
    assert!(e.is_none_or(|e| cause(&e) == CauseKind::DiskFull));

    // It can be finished all the same.
    let closed = file.finish().unwrap();
    let bytes = fs::read(dir.path().join(&path)).unwrap();
    assert_eq!(closed.size_bytes, bytes.len() as u64);
    assert_eq!(closed.hash, Some(*blake3::hash(&bytes).as_bytes()));
    assert_eq!(closed.fragments, index.to_blob());

    let filler = dir.path().join("filler");
    let _ = fs::write(&filler, vec![0; 1 << 20]);
    assert_eq!(cause(&tree.healthy().unwrap_err()), CauseKind::DiskFull);
    fs::remove_file(&filler).unwrap();
    disk.remount("size=4m");
    tree.healthy().unwrap();
    assert!(tree.usage().unwrap().available_bytes > 2 << 20);
    assert_eq!(tree.usage().unwrap().total_bytes, 4 << 20);
}

#[test]
fn a_fault_in_mid_segment_is_mended_when_the_storage_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Mount::tmpfs(dir.path(), "8m") else {
        return;
    };
    let tree = tree_at(dir.path());
    let synthetic = media();
    let s = start("cam", 1, 0, t("2026-05-04T03:02:01Z"));
    let mut file = tree.create(&s).unwrap();
    let path = file.path().to_owned();
    write(&mut *file, &synthetic.bytes[..synthetic.bytes.len() - 10]);
    drop(file);
    assert!(tree.growing().is_empty());
    assert!(tree.has_abandoned());
    disk.remount("ro");
    assert_eq!(cause(&tree.healthy().unwrap_err()), CauseKind::ReadOnly);
    let e = tree
        .create(&start("cam", 2, 0, t("2026-05-04T04:00:00Z")))
        .unwrap_err();
    assert_eq!(cause(&e), CauseKind::ReadOnly);
    assert!(tree.recover_abandoned().is_empty());
    assert!(tree.has_abandoned());
    disk.remount("rw");
    tree.healthy().unwrap();
    let done = tree.recover_abandoned();
    let [Recovered::Closed { segment, cut_bytes }] = &done[..] else {
        panic!("{done:?}");
    };
    assert_eq!((segment.path.as_path(), &segment.start), (path.as_path(), &s));
    assert!(segment.recovered && *cut_bytes > 0);
    assert!(!tree.has_abandoned());
}

#[test]
fn a_root_that_is_read_only_at_start_becomes_exclusive_later() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Mount::tmpfs(dir.path(), "8m") else {
        return;
    };
    drop(tree_at(dir.path()));
    disk.remount("ro");
    let tree = tree_at(dir.path());
    assert_eq!(cause(&tree.healthy().unwrap_err()), CauseKind::ReadOnly);
    disk.remount("rw");
    tree.healthy().unwrap();
    let e = Root::open(dir.path(), options(Create::Never), SystemClock::shared()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
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

/// fm13: whatever byte a crash cut the file at, every whole fragment is kept, and mending it again changes
/// nothing.
#[test]
fn fm13_every_truncation_keeps_the_whole_fragments() {
    let dir = memory_dir();
    let tree = tree_at(dir.path());
    let s = start("cam", 1, 0, t("2026-05-04T03:02:01Z"));
    let synthetic = SyntheticSegment {
        frames: 12,
        chunk: 3,
        gop: 6,
        frame_bytes: 60,
        audio: true,
        ..SyntheticSegment::new()
    }
    .build();
    let closed = record(&tree, &s, &synthetic.bytes);
    let full = fs::read(dir.path().join(&closed.path)).unwrap();
    let whole = FragmentIndex::from_blob(&closed.fragments).unwrap();
    let path = dir.path().join(&closed.path);
    for len in 0..full.len() {
        fs::write(&path, &full[..len]).unwrap();
        let expected = whole
            .fragments
            .iter()
            .filter(|f| f.end_offset() <= len as u64)
            .count();
        match recover(tree.root(), &closed.path, None).unwrap() {
            Recovered::Closed { segment, cut_bytes } => {
                assert_eq!(
                    FragmentIndex::from_blob(&segment.fragments).unwrap().fragments,
                    whole.fragments[..expected]
                );
                assert_eq!(segment.start, s);
                assert!(segment.recovered);
                let mended = fs::read(&path).unwrap();
                let kept = whole.fragments[expected - 1].end_offset();
                assert_eq!(cut_bytes, len as u64 - kept);
                assert_eq!(segment.size_bytes, mended.len() as u64);
                assert_eq!(mended[..kept as usize], full[..kept as usize]);
                // A second time, and after a kill in mid-mending.
                let Recovered::Closed {
                    segment: again,
                    cut_bytes: 0,
                } = recover(tree.root(), &closed.path, None).unwrap()
                else {
                    panic!("at {len}");
                };
                assert_eq!(
                    ClosedSegment {
                        recovered: true,
                        ..*again
                    },
                    *segment
                );
                assert_eq!(fs::read(&path).unwrap(), mended);
                if len % 97 == 0 {
                    for killed in kept as usize..mended.len() {
                        fs::write(&path, &mended[..killed]).unwrap();
                        recover(tree.root(), &closed.path, None).unwrap();
                        assert_eq!(fs::read(&path).unwrap(), mended);
                    }
                }
            }
            Recovered::Empty {
                removable,
                size_bytes,
                ..
            } => {
                assert_eq!(expected, 0, "at {len}");
                assert_eq!(size_bytes, len as u64);
                assert_eq!(
                    fs::metadata(&path).unwrap().len(),
                    len as u64,
                    "an empty file was changed"
                );
                // With `moov`, but without our description, it might be anybody's.
                let described = whole.header_len as usize;
                assert_eq!(
                    removable,
                    len < synthetic.init_len || len >= described,
                    "at {len}"
                );
            }
        }
    }
}

#[test]
fn unknown_content_is_never_removable() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_at(dir.path());
    let path = Path::new("cam/2026-05-04/03-02-01.000Z-00000001.mp4");
    let full = dir.path().join(path);
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    for content in [
        &b"This is a text that somebody keeps here."[..],
        &[0; 4096],
        b"\0\0\0\x08free\0\0\x10\0mdatxxxx",
    ] {
        fs::write(&full, content).unwrap();
        let Recovered::Empty { removable: false, .. } = recover(tree.root(), path, None).unwrap() else {
            panic!("{content:?}");
        };
        assert_eq!(fs::read(&full).unwrap(), content);
    }
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
    assert!(tree.open_file(through).is_err());
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

fn ffmpeg(args: &[&str], out: &Path) {
    let status = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc=s=320x240:r=25:d=4",
        ])
        .args([
            "-f",
            "lavfi",
            "-i",
            "sine=d=4",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
        ])
        .args(["-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2"])
        .args(args)
        .arg(out)
        .status()
        .unwrap();
    assert!(status.success());
}

/// Frames that a second program decodes without a complaint.
fn frames_decoded(path: &Path) -> u32 {
    let out = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-select_streams",
            "v",
            "-show_entries",
        ])
        .args(["stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    assert!(out.status.success());
    assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{}", path.display());
    String::from_utf8_lossy(&out.stdout)
        .trim()
        .trim_end_matches(',')
        .parse()
        .unwrap()
}

#[test]
fn real_video_is_decoded_whole_after_a_cut() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("real.mp4");
    ffmpeg(
        &[
            "-movflags",
            "empty_moov+default_base_moof+frag_keyframe+skip_trailer",
        ],
        &real,
    );
    let bytes = fs::read(&real).unwrap();
    let tree = tree_at(&dir.path().join("root"));
    let s = start("cam", 1, 0, t("2026-05-04T03:02:01Z"));
    let closed = record(&tree, &s, &bytes);
    let path = tree.root().path().join(&closed.path);
    assert_eq!(frames_decoded(&path), 100);
    let full = fs::read(&path).unwrap();
    let index = FragmentIndex::from_blob(&closed.fragments).unwrap();
    assert!(index.fragments.len() >= 4);
    for (i, f) in index.fragments.iter().enumerate().skip(1) {
        fs::write(&path, &full[..f.end_offset() as usize - 100]).unwrap();
        let Recovered::Closed { segment, .. } = recover(tree.root(), &closed.path, None).unwrap() else {
            panic!("fragment {i}");
        };
        let kept = FragmentIndex::from_blob(&segment.fragments).unwrap();
        assert_eq!(kept.fragments.len(), i);
        let frames = u32::try_from(segment.duration_ns / 40_000_000).unwrap();
        assert_eq!(frames_decoded(&path), frames);
    }
}

#[test]
fn plain_containers_are_kept_as_written() {
    let dir = memory_dir();
    let tree = tree_at(&dir.path().join("root"));
    for (container, file) in [(Container::Mp4, "x.mp4"), (Container::Matroska, "x.mkv")] {
        let real = dir.path().join(file);
        ffmpeg(&[], &real);
        let bytes = fs::read(&real).unwrap();
        let mut s = start("cam", container as u64, 0, t("2026-05-04T03:02:01.5Z"));
        s.container = container;
        let mut out = tree.create(&s).unwrap();
        // As a muxer does that goes back to its head.
        out.write_at(0, &[0; 48]).unwrap();
        out.write_at(48, &bytes[48..]).unwrap();
        out.write_at(0, &bytes[..48]).unwrap();
        let closed = out.finish().unwrap();
        assert_eq!(fs::read(tree.root().path().join(&closed.path)).unwrap(), bytes);
        assert_eq!(closed.size_bytes, bytes.len() as u64);
        assert!(
            (closed.duration_ns - 4_000_000_000).abs() < 50_000_000,
            "{}",
            closed.duration_ns
        );
        let Inspection::Closed(seen) = inspect(tree.root(), &closed.path).unwrap() else {
            panic!("{container:?}");
        };
        assert_eq!((seen.start.camera.as_str(), seen.start.start), ("cam", s.start));
        assert_eq!(seen.start.container, container);
        let video = &seen.start.tracks.video;
        assert_eq!(
            (video.codec, video.width, video.height),
            (VideoCodec::H264, 320, 240)
        );
        let audio = seen.start.tracks.audio.as_ref().unwrap();
        assert_eq!(
            (audio.codec, audio.sample_rate, audio.channels),
            (crate::track::AudioCodec::Aac, 44_100, 2)
        );

        // Cut: Matroska can be read up to there, progressive MP4 cannot.
        let path = tree.root().path().join(&closed.path);
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let cut = recover(tree.root(), &closed.path, None).unwrap();
        assert_eq!(fs::read(&path).unwrap().len(), bytes.len() / 2);
        match (container, cut) {
            (Container::Mp4, Recovered::Empty { removable: false, .. })
            | (Container::Matroska, Recovered::Closed { .. }) => {}
            (_, other) => panic!("{container:?}: {other:?}"),
        }
        for len in (0..bytes.len()).step_by(211) {
            fs::write(&path, &bytes[..len]).unwrap();
            recover(tree.root(), &closed.path, None).unwrap();
        }
    }
}
