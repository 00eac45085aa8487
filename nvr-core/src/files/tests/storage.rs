//! The root on real file systems that fill up, turn read-only, vanish and come back.

use super::*;

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
            without_mount();
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
    let [(_, _, Some(Recovered::Closed { segment, cut_bytes }))] = &done[..] else {
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
