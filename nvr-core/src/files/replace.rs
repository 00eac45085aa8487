//! Exchanging a segment's file for another version of the same footage, so that a crash at any instant leaves
//! exactly one good version under the segment's name.
//!
//! Everything but the segment itself lies in one folder below the root, so that a start need not walk the tree to
//! find what a crash left:
//!
//! | `.nvr-transcode/` | |
//! |---|---|
//! | `{camera}+{day}+{name}.part` | a new version that is being written or checked; worth nothing after a crash |
//! | `….orig` | a second name of the old version, from before the exchange until the index knows of it: whoever finds it looks whether the row still tells the old version |
//! | `….kept` | the old version, for the grace period |
//!
//! The steps: the new version is synced; the old one gets its second name; the new one is renamed over the segment's
//! name, at once; the folders are synced. Then the index follows (not here), and the second name goes. Readers that
//! have the old file open keep it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::dirs;
use super::marker::FILE_MODE;
use super::naming::{Day, SegmentName};
use super::root::Root;
use super::tree::segment_name;
use crate::error::Result;
use crate::fault::storage;
use crate::ids::CameraId;
use crate::time::{NS_PER_S, Timestamp};

/// The folder below the root.
pub(crate) const FOLDER: &str = ".nvr-transcode";
const DIR_MODE: Mode = Mode::from_raw_mode(0o750);

/// What a file in the folder is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeftoverKind {
    /// A new version that was not finished or not checked.
    Part,
    /// The old version, while the index may not know of the new one.
    Original,
    /// The old version, kept for a while.
    Kept,
}

impl LeftoverKind {
    const fn extension(self) -> &'static str {
        match self {
            Self::Part => "part",
            Self::Original => "orig",
            Self::Kept => "kept",
        }
    }

    fn of(extension: &str) -> Option<Self> {
        [Self::Part, Self::Original, Self::Kept]
            .into_iter()
            .find(|k| k.extension() == extension)
    }
}

/// A file in the folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leftover {
    /// What it is.
    pub kind: LeftoverKind,
    /// Path of the segment that it is a version of, relative to the root.
    pub path: PathBuf,
    /// Its size in bytes; 0 for a mark without content, where the file system knows no second names.
    pub size_bytes: u64,
    /// When it got its present name.
    pub since: Timestamp,
}

/// Steps of an exchange, for tests that end the process between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The new version is on the disk.
    Synced,
    /// The old version has its second name.
    Linked,
    /// The segment's name leads to the new version.
    Renamed,
    /// So it does after a power cut.
    FoldersSynced,
    /// The index tells of the new version.
    RowWritten,
    /// So it does after a power cut.
    RowDurable,
    /// The second name is gone, or has become that of a kept original.
    Done,
}

/// A new version of a segment while it is written. Dropping it removes it.
#[derive(Debug)]
pub struct Draft {
    /// The file, empty at first.
    pub file: File,
    name: SegmentName,
    folder: Arc<OwnedFd>,
    absolute: PathBuf,
    taken: bool,
}

impl Draft {
    /// Where it lies.
    #[must_use]
    pub fn absolute(&self) -> &Path {
        &self.absolute
    }

    /// Forces it to the disk.
    ///
    /// # Errors
    /// `Storage` when that fails.
    pub fn sync(&self) -> Result<()> {
        let failed = |e| storage(format!("sync {}", self.absolute.display()), e);
        self.file.sync_all().map_err(failed)
    }

    /// Path of the segment, relative to the root.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.name.path()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.taken {
            let name = flat(&self.name, LeftoverKind::Part);
            if let Err(e) = rustix::fs::unlinkat(&self.folder, &*name, AtFlags::empty()) {
                tracing::warn!(file = %self.absolute.display(), error = %e, "cannot remove a draft");
            }
        }
    }
}

/// The name of a version in the folder. `+` stands in no camera's id.
fn flat(name: &SegmentName, kind: LeftoverKind) -> String {
    format!(
        "{}+{}+{}.{}",
        name.camera,
        name.day(),
        name.file_name(),
        kind.extension()
    )
}

fn parse(file: &str) -> Option<(SegmentName, LeftoverKind)> {
    let (rest, extension) = file.rsplit_once('.')?;
    let kind = LeftoverKind::of(extension)?;
    let mut parts = rest.splitn(3, '+');
    let (camera, day, name) = (parts.next()?, parts.next()?, parts.next()?);
    let name = SegmentName::parse_file(&CameraId::new(camera).ok()?, Day::parse(day)?, name)?;
    (flat(&name, kind) == file).then_some((name, kind))
}

fn failed(root: &Root, verb: &str, name: &SegmentName, e: Errno) -> crate::error::Error {
    storage(format!("{verb} {}", root.path().join(name.path()).display()), e)
}

/// The folder, made if need be.
fn folder(root: &Root) -> Result<Arc<OwnedFd>> {
    let dir = root.dir_for_writing()?;
    let failed = |e| storage(root.path().join(FOLDER).display(), e);
    match rustix::fs::mkdirat(&dir, FOLDER, DIR_MODE) {
        Ok(()) => rustix::fs::fsync(&dir).map_err(failed)?,
        Err(Errno::EXIST) => {}
        Err(e) => return Err(failed(e)),
    }
    dirs::open_dir(&dir, FOLDER).map(Arc::new).map_err(failed)
}

/// Begins a new version of a segment. One that was begun before and left is overwritten.
///
/// # Errors
/// `InvalidArgument` for a path that is no segment's, `Storage` when it cannot be made.
pub fn draft(root: &Root, path: &Path) -> Result<Draft> {
    let name = segment_name(path)?;
    let folder = folder(root)?;
    let flat = flat(&name, LeftoverKind::Part);
    let make = || {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&folder, &*flat, flags, FILE_MODE)
    };
    let made = match make() {
        Err(Errno::EXIST) => rustix::fs::unlinkat(&folder, &*flat, AtFlags::empty()).and_then(|()| make()),
        other => other,
    };
    let fd = made.map_err(|e| failed(root, "create a new version of", &name, e))?;
    Ok(Draft {
        file: File::from(fd),
        absolute: root.path().join(FOLDER).join(flat),
        name,
        folder,
        taken: false,
    })
}

/// Puts a new version in the place of a segment's file. Afterwards the old one has a second name until
/// [`forget_original`] or [`keep_original`]: call one of them once the index knows of the new one.
///
/// # Errors
/// `NotFound` when the segment's file is gone, `Storage` when a step fails; then the old version is still in its
/// place, unless only a folder could not be synced.
pub fn exchange(root: &Root, mut draft: Draft, at: &mut dyn FnMut(Step)) -> Result<()> {
    let name = draft.name.clone();
    let failed = |verb: &str, e: Errno| failed(root, verb, &name, e);
    draft.sync()?;
    at(Step::Synced);
    let day = dirs::open_day(root.dir_for_writing()?, &name)
        .map_err(|e| crate::error::Error::io(&name, e.into()))?;
    let (part, original) = (
        flat(&name, LeftoverKind::Part),
        flat(&name, LeftoverKind::Original),
    );
    link(&day, &name, &draft.folder, &original).map_err(|e| match e {
        Errno::NOENT => crate::error::Error::io(&name, e.into()),
        e => failed("link", e),
    })?;
    rustix::fs::fsync(&draft.folder).map_err(|e| failed("sync the folder of", e))?;
    at(Step::Linked);
    if let Err(e) = rustix::fs::renameat(&draft.folder, &*part, &day, name.file_name()) {
        let _ = rustix::fs::unlinkat(&draft.folder, &*original, AtFlags::empty());
        return Err(failed("replace", e));
    }
    draft.taken = true;
    at(Step::Renamed);
    rustix::fs::fsync(&day)
        .and_then(|()| rustix::fs::fsync(&draft.folder))
        .map_err(|e| failed("sync the folder of", e))?;
    at(Step::FoldersSynced);
    Ok(())
}

/// Puts a draft in the place of a segment that is not there yet below this root; one that a crash left is replaced.
///
/// # Errors
/// `Storage` when a step fails.
pub fn place(root: &Root, mut draft: Draft) -> Result<()> {
    let name = draft.name.clone();
    let part = flat(&name, LeftoverKind::Part);
    dirs::rename_to_segment(&draft.folder, &part, &root.dir_for_writing()?, &name)
        .map_err(|e| failed(root, "place", &name, e))?;
    draft.taken = true;
    rustix::fs::fsync(&draft.folder).map_err(|e| failed(root, "sync the folder of", &name, e))
}

/// Gives the old version its second name, or leaves a mark where the file system knows none.
fn link(day: &OwnedFd, name: &SegmentName, folder: &OwnedFd, original: &str) -> Result<(), Errno> {
    match rustix::fs::linkat(day, name.file_name(), folder, original, AtFlags::empty()) {
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
            // The segment must be there.
            rustix::fs::statat(day, name.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(folder, original, flags, FILE_MODE).map(drop)
        }
        other => other,
    }
}

fn remove(root: &Root, path: &Path, kind: LeftoverKind) -> Result<()> {
    let name = segment_name(path)?;
    match rustix::fs::unlinkat(folder(root)?, flat(&name, kind), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(failed(root, "remove the old version of", &name, e)),
    }
}

/// Removes a file of the folder.
///
/// # Errors
/// `Storage` when it cannot be removed; one that is gone is no error.
pub fn remove_leftover(root: &Root, leftover: &Leftover) -> Result<()> {
    remove(root, &leftover.path, leftover.kind)
}

/// The index knows of the new version: the old one goes.
///
/// # Errors
/// `Storage` when it cannot be removed.
pub fn forget_original(root: &Root, path: &Path) -> Result<()> {
    remove(root, path, LeftoverKind::Original)
}

/// An old version that was kept goes before its time.
///
/// # Errors
/// `Storage` when it cannot be removed; one that is not there is no error.
pub fn forget_kept(root: &Root, path: &Path) -> Result<()> {
    remove(root, path, LeftoverKind::Kept)
}

/// The index knows of the new version: the old one stays for a while.
///
/// # Errors
/// `Storage` when it cannot be renamed.
pub fn keep_original(root: &Root, path: &Path) -> Result<()> {
    let name = segment_name(path)?;
    let folder = folder(root)?;
    let from = flat(&name, LeftoverKind::Original);
    rustix::fs::renameat(&folder, &*from, &folder, flat(&name, LeftoverKind::Kept))
        .map_err(|e| failed(root, "keep the old version of", &name, e))
}

/// Gives an original its place back, where nothing lies under the segment's name.
///
/// # Errors
/// `Storage` when it cannot be renamed.
pub fn restore_original(root: &Root, path: &Path) -> Result<()> {
    let name = segment_name(path)?;
    let from = flat(&name, LeftoverKind::Original);
    let root_dir = root.dir_for_writing()?;
    dirs::open_day(&root_dir, &name)
        .and_then(|day| {
            // Never over something: a plain rename would.
            rustix::fs::linkat(
                &*folder(root).map_err(|_| Errno::NOENT)?,
                &*from,
                &day,
                name.file_name(),
                AtFlags::empty(),
            )?;
            rustix::fs::fsync(&day)
        })
        .map_err(|e| failed(root, "restore", &name, e))?;
    forget_original(root, path)
}

/// What lies in the folder. Names that are not ours are passed over.
///
/// # Errors
/// `Storage` when the root is not there or the folder cannot be read.
pub fn leftovers(root: &Root) -> Result<Vec<Leftover>> {
    let failed = |e| storage(root.path().join(FOLDER).display(), e);
    let folder = match dirs::open_dir(root.dir()?, FOLDER) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in Dir::read_from(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some((name, kind)) = entry.file_name().to_str().ok().and_then(parse) else {
            continue;
        };
        match rustix::fs::statat(&folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => found.push(Leftover {
                kind,
                path: name.path(),
                size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
                since: Timestamp::from_ns(stat.st_ctime.saturating_mul(NS_PER_S)),
            }),
            Err(Errno::NOENT) => {}
            Err(e) => return Err(failed(e)),
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::tests::{media, record, start, t, tree_at};
    use super::*;

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(root.join(FOLDER))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_version_takes_the_place_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let tree = tree_at(dir.path());
        let segment = record(
            &tree,
            &start("yard", 1, 0, t("2026-05-04T03:02:01Z")),
            &media().bytes,
        );
        let file = dir.path().join(&segment.path);
        let before = std::fs::read(&file).unwrap();
        let reader = File::open(&file).unwrap();

        let mut new = draft(tree.root(), &segment.path).unwrap();
        new.file.write_all(b"half").unwrap();
        drop(new);
        assert!(names(dir.path()).is_empty(), "a draft that is dropped is gone");

        let mut new = draft(tree.root(), &segment.path).unwrap();
        new.file.write_all(b"another version").unwrap();
        let mut steps = Vec::new();
        exchange(tree.root(), new, &mut |s| steps.push(s)).unwrap();
        assert_eq!(
            steps,
            [Step::Synced, Step::Linked, Step::Renamed, Step::FoldersSynced]
        );
        assert_eq!(std::fs::read(&file).unwrap(), b"another version");
        // A reader in the middle of it goes on with what it had.
        let mut old = vec![0; before.len()];
        std::os::unix::fs::FileExt::read_exact_at(&reader, &mut old, 0).unwrap();
        assert_eq!(old, before);

        let found = leftovers(tree.root()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].kind, &found[0].path),
            (LeftoverKind::Original, &segment.path)
        );
        assert_eq!(found[0].size_bytes, before.len() as u64);
        keep_original(tree.root(), &segment.path).unwrap();
        assert_eq!(leftovers(tree.root()).unwrap()[0].kind, LeftoverKind::Kept);
        assert_eq!(
            std::fs::read(dir.path().join(FOLDER).join(&names(dir.path())[0])).unwrap(),
            before
        );
    }

    #[test]
    fn an_original_comes_back_only_where_nothing_lies() {
        let dir = tempfile::tempdir().unwrap();
        let tree = tree_at(dir.path());
        let segment = record(
            &tree,
            &start("yard", 1, 0, t("2026-05-04T03:02:01Z")),
            &media().bytes,
        );
        let file = dir.path().join(&segment.path);
        let before = std::fs::read(&file).unwrap();
        let new = draft(tree.root(), &segment.path).unwrap();
        exchange(tree.root(), new, &mut |_| {}).unwrap();
        assert!(restore_original(tree.root(), &segment.path).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"");
        std::fs::remove_file(&file).unwrap();
        restore_original(tree.root(), &segment.path).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), before);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn nothing_comes_in_the_place_of_a_segment_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let tree = tree_at(dir.path());
        let segment = record(
            &tree,
            &start("yard", 1, 0, t("2026-05-04T03:02:01Z")),
            &media().bytes,
        );
        let new = draft(tree.root(), &segment.path).unwrap();
        std::fs::remove_file(dir.path().join(&segment.path)).unwrap();
        let e = exchange(tree.root(), new, &mut |_| {}).unwrap_err();
        assert_eq!(e.kind(), crate::error::ErrorKind::NotFound);
        assert!(names(dir.path()).is_empty());
        assert!(!dir.path().join(&segment.path).exists());
        assert!(draft(tree.root(), Path::new("../elsewhere")).is_err());
    }

    #[test]
    fn only_our_names_are_read() {
        let good = "yard+2026-05-04+03-02-01.000Z-00000001.mp4.orig";
        assert!(parse(good).is_some());
        for bad in [
            "yard+2026-05-04+03-02-01.000Z-00000001.mp4",
            "yard+2026-05-04+03-02-01.000Z-00000001.mp4.old",
            "yard+2026-05-04.orig",
            "../x+2026-05-04+03-02-01.000Z-00000001.mp4.orig",
            "",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
