//! Stills in the tree: `_stills/{camera}/{YYYY-MM-DD}/{HH-MM-SS.mmm}Z.jpg`, UTC of the picture.
//!
//! The names say all there is to know, so nothing indexes them: a listing reads the folders of the days that it is about. A
//! still is written under another name and gets its own when it is whole and synced.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::dirs::{open_dir, open_or_make_dir};
use super::marker::{FILE_MODE, STILLS};
use super::naming::{Day, time_of_day, time_on};
use super::root::Root;
use super::scan::list;
use crate::error::{Error, ErrorKind, Result};
use crate::fault::storage;
use crate::ids::CameraId;
use crate::time::Timestamp;

const NS_PER_MS: i64 = 1_000_000;
/// Largest file that is read as a still.
const MOST_BYTES: u64 = 64 << 20;
/// Ends the name of one that is being written.
const PART: &str = ".part";

/// What the path of a still says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StillName {
    /// When the picture is of, milliseconds since the Unix epoch.
    at_ms: i64,
    /// Camera.
    pub camera: CameraId,
}

impl StillName {
    /// The name of a picture of a moment, which is cut to the millisecond.
    #[must_use]
    pub fn of(camera: CameraId, at: Timestamp) -> Self {
        Self {
            at_ms: at.as_ns().div_euclid(NS_PER_MS),
            camera,
        }
    }

    /// When the picture is of (whole milliseconds).
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        Timestamp::from_ns(self.at_ms.saturating_mul(NS_PER_MS))
    }

    /// The UTC day in whose folder it lies.
    #[must_use]
    pub const fn day(&self) -> Day {
        Day::of(self.at())
    }

    /// The name within that folder (`03-02-01.250Z.jpg`).
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.jpg", time_of_day(self.at_ms))
    }

    /// The path relative to the recordings root.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(self.to_string())
    }

    /// Reads a file name found in the folder of a camera's day; `None` for whatever is not exactly such a name.
    #[must_use]
    pub fn parse_file(camera: &CameraId, day: Day, file: &str) -> Option<Self> {
        let time = file.strip_suffix(".jpg")?;
        Some(Self {
            at_ms: time_on(day, time.as_bytes())?,
            camera: camera.clone(),
        })
    }
}

impl fmt::Display for StillName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STILLS}/{}/{}/{}", self.camera, self.day(), self.file_name())
    }
}

/// A folder that need not be there.
fn folder(parent: impl AsFd, name: &str) -> Result<Option<OwnedFd>, Errno> {
    match open_dir(parent, name) {
        Ok(dir) => Ok(Some(dir)),
        // Something of that name that is no folder is none of ours.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(e) => Err(e),
    }
}

fn camera_folder(root: &OwnedFd, camera: &CameraId) -> Result<Option<OwnedFd>, Errno> {
    match folder(root, STILLS)? {
        Some(stills) => folder(stills, camera.as_str()),
        None => Ok(None),
    }
}

fn day_folder(root: &OwnedFd, camera: &CameraId, day: Day) -> Result<Option<OwnedFd>, Errno> {
    match camera_folder(root, camera)? {
        Some(camera) => folder(camera, &day.to_string()),
        None => Ok(None),
    }
}

fn unread(e: Errno) -> Error {
    storage(format!("read {STILLS}"), e)
}

/// The cameras of which there are stills.
///
/// # Errors
/// `Storage` when the folder cannot be read.
pub(crate) fn cameras(root: &OwnedFd) -> Result<Vec<CameraId>> {
    let Some(dir) = folder(root, STILLS).map_err(unread)? else {
        return Ok(Vec::new());
    };
    let wanted = |name: &str, kind: FileType| CameraId::new(name).ok().filter(|_| kind.is_dir());
    let mut found = list(&dir, "", wanted).map_err(unread)?.ours;
    found.sort_unstable();
    Ok(found)
}

/// The UTC days of which a camera has a folder, in order.
///
/// # Errors
/// `Storage` when the folder cannot be read.
pub(crate) fn days(root: &OwnedFd, camera: &CameraId) -> Result<Vec<Day>> {
    let Some(dir) = camera_folder(root, camera).map_err(unread)? else {
        return Ok(Vec::new());
    };
    let wanted = |name: &str, kind: FileType| Day::parse(name).filter(|_| kind.is_dir());
    let mut found = list(&dir, "", wanted).map_err(unread)?.ours;
    found.sort_unstable();
    Ok(found)
}

/// The stills of a camera's day, in order.
///
/// # Errors
/// `Storage` when the folder cannot be read.
pub(crate) fn names(root: &OwnedFd, camera: &CameraId, day: Day) -> Result<Vec<StillName>> {
    let Some(dir) = day_folder(root, camera, day).map_err(unread)? else {
        return Ok(Vec::new());
    };
    let wanted =
        |name: &str, kind: FileType| StillName::parse_file(camera, day, name).filter(|_| kind.is_file());
    let mut found = list(&dir, "", wanted).map_err(unread)?.ours;
    found.sort_unstable();
    Ok(found)
}

/// The sizes of stills of one day, in bytes; `None` for one that is gone.
///
/// # Errors
/// `Storage` when the folder cannot be read.
pub(crate) fn sizes(
    root: &OwnedFd,
    camera: &CameraId,
    day: Day,
    of: &[StillName],
) -> Result<Vec<Option<u64>>> {
    let Some(dir) = day_folder(root, camera, day).map_err(unread)? else {
        return Ok(vec![None; of.len()]);
    };
    of.iter()
        .map(
            |name| match rustix::fs::statat(&dir, name.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(s) => Ok(Some(u64::try_from(s.st_size).unwrap_or(0))),
                Err(Errno::NOENT) => Ok(None),
                Err(e) => Err(unread(e)),
            },
        )
        .collect()
}

/// Opens a still.
///
/// # Errors
/// `NotFound` when there is none of that name, `Storage` when it cannot be read.
pub(crate) fn open(root: &OwnedFd, name: &StillName) -> Result<File> {
    let gone = || {
        Error::new(
            ErrorKind::NotFound,
            format!("there is no still of {} at {}", name.camera, name.at()),
        )
    };
    let dir = day_folder(root, &name.camera, name.day())
        .map_err(unread)?
        .ok_or_else(gone)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, name.file_name(), flags, Mode::empty()) {
        Ok(fd) => Ok(File::from(fd)),
        Err(Errno::NOENT) => Err(gone()),
        Err(e) => Err(storage(format!("open {name}"), e)),
    }
}

/// Reads a still whole.
///
/// # Errors
/// As [`open`], and `Corrupt` for a file that is too large to be one.
pub(crate) fn read(root: &OwnedFd, name: &StillName) -> Result<Vec<u8>> {
    let file = open(root, name)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io(name, e))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!("{name} is too large to be a still"),
        ));
    }
    Ok(bytes)
}

/// Whether a file begins and ends as a JPEG does.
pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8]) && bytes.ends_with(&[0xff, 0xd9])
}

/// Writes a still, whole or not at all. False when one of its name is there already.
///
/// # Errors
/// `Storage` when the root is not there or cannot be written.
pub(crate) fn write(root: &Root, name: &StillName, bytes: &[u8]) -> Result<bool> {
    let dir = root.dir_for_writing()?;
    write_below(&dir, name, bytes)
        .map_err(|e| storage(format!("write {}", root.path().join(name.path()).display()), e))
}

fn write_below(root: &Arc<OwnedFd>, name: &StillName, bytes: &[u8]) -> Result<bool, Errno> {
    let file_name = name.file_name();
    let part = format!(".{file_name}{PART}");
    let errno = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
    // The folder of the day may be removed as it was empty, between being opened and used.
    for _ in 0..8 {
        let (stills, stills_are_new) = open_or_make_dir(root, STILLS)?;
        let (camera, camera_is_new) = open_or_make_dir(&stills, name.camera.as_str())?;
        let (day, day_is_new) = match open_or_make_dir(&camera, &name.day().to_string()) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        match rustix::fs::statat(&day, &*file_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Ok(false),
            Err(Errno::NOENT) => {}
            Err(e) => return Err(e),
        }
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = match rustix::fs::openat(&day, &*part, flags, FILE_MODE) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => continue,
            Err(e) => return Err(e),
        };
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(errno)
            .and_then(|()| rustix::fs::renameat(&day, &*part, &day, &*file_name));
        if let Err(e) = written {
            let _ = rustix::fs::unlinkat(&day, &*part, AtFlags::empty());
            return Err(e);
        }
        rustix::fs::fsync(&day)?;
        if day_is_new || camera_is_new {
            rustix::fs::fsync(&camera)?;
        }
        if camera_is_new || stills_are_new {
            rustix::fs::fsync(&stills)?;
        }
        if stills_are_new {
            rustix::fs::fsync(root)?;
        }
        return Ok(true);
    }
    Err(Errno::NOENT)
}

/// Deletes stills of one day, and the folders that they leave empty. Those that are gone already are no error.
///
/// # Errors
/// `Storage` when the root is not there or does not allow it.
pub(crate) fn delete(root: &Root, camera: &CameraId, day: Day, which: &[StillName]) -> Result<()> {
    let failed = |e: Errno| storage(format!("delete stills of {camera}"), e);
    let dir = root.dir_for_writing()?;
    let Some(stills) = folder(&dir, STILLS).map_err(failed)? else {
        return Ok(());
    };
    let Some(of_camera) = folder(&stills, camera.as_str()).map_err(failed)? else {
        return Ok(());
    };
    let day = day.to_string();
    if let Some(of_day) = folder(&of_camera, &day).map_err(failed)? {
        for name in which {
            match rustix::fs::unlinkat(&of_day, name.file_name(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(failed(e)),
            }
        }
    }
    // Folders that are not empty stay.
    if rustix::fs::unlinkat(&of_camera, &*day, AtFlags::REMOVEDIR).is_ok() {
        let _ = rustix::fs::unlinkat(&stills, camera.as_str(), AtFlags::REMOVEDIR);
    }
    Ok(())
}

/// Removes what a crash left of stills that were being written; how many.
///
/// # Errors
/// `Storage` when the root is not there or does not allow it.
pub(crate) fn sweep(root: &Root) -> Result<u64> {
    let dir = root.dir_for_writing()?;
    let mut removed = 0;
    for camera in cameras(&dir)? {
        for day in days(&dir, &camera)? {
            let Some(folder) = day_folder(&dir, &camera, day).map_err(unread)? else {
                continue;
            };
            for part in parts(&folder, &camera, day).map_err(unread)? {
                if rustix::fs::unlinkat(&folder, &*part, AtFlags::empty()).is_ok() {
                    removed += 1;
                }
            }
        }
    }
    Ok(removed)
}

fn parts(folder: &OwnedFd, camera: &CameraId, day: Day) -> Result<Vec<String>, Errno> {
    let wanted = |name: &str, kind: FileType| {
        let whole = name.strip_prefix('.')?.strip_suffix(PART)?;
        (kind.is_file() && StillName::parse_file(camera, day, whole).is_some()).then(|| name.to_owned())
    };
    Ok(list(folder, "", wanted)?.ours)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::tests::root_at;

    fn camera() -> CameraId {
        CameraId::new("front").unwrap()
    }

    fn name(text: &str) -> StillName {
        StillName::of(camera(), text.parse().unwrap())
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        let one = name("2026-05-04T03:02:01.2509Z");
        assert_eq!(one.to_string(), "_stills/front/2026-05-04/03-02-01.250Z.jpg");
        let day = one.day();
        for bad in [
            "03-02-01.250Z.jpeg",
            "03-02-01.250Z.JPG",
            ".03-02-01.250Z.jpg.part",
            "24-02-01.250Z.jpg",
            "03-60-01.250Z.jpg",
            "03-02-60.250Z.jpg",
            "+3-02-01.250Z.jpg",
            "03_02-01.250Z.jpg",
            "03-02-01,250Z.jpg",
            "",
        ] {
            assert_eq!(StillName::parse_file(&camera(), day, bad), None, "{bad}");
        }
        assert!(CameraId::new(STILLS).is_err(), "no camera is in the way");
    }

    proptest! {
        #[test]
        fn every_moment_has_a_name(ns in -4_000_000_000_000_000_000i64..9_000_000_000_000_000_000) {
            let one = StillName::of(camera(), Timestamp::from_ns(ns));
            let read = StillName::parse_file(&camera(), one.day(), &one.file_name());
            prop_assert_eq!(read, Some(one));
        }
    }

    #[test]
    fn what_is_written_is_found_and_what_a_crash_left_goes() {
        let dir = tempfile::tempdir().unwrap();
        let root = root_at(dir.path());
        let (a, b) = (name("2026-05-04T03:00:00Z"), name("2026-05-05T05:00:00Z"));
        assert!(write(&root, &a, b"\xff\xd8one\xff\xd9").unwrap());
        assert!(write(&root, &b, b"\xff\xd8two\xff\xd9").unwrap());
        assert!(!write(&root, &a, b"another").unwrap(), "never written over");
        let fd = root.dir().unwrap();
        assert_eq!(cameras(&fd).unwrap(), [camera()]);
        assert_eq!(days(&fd, &camera()).unwrap(), [a.day(), b.day()]);
        assert_eq!(names(&fd, &camera(), a.day()).unwrap(), std::slice::from_ref(&a));
        assert_eq!(
            sizes(&fd, &camera(), a.day(), &[a.clone(), b.clone()]).unwrap(),
            [Some(7), None]
        );
        assert!(is_whole(&read(&fd, &a).unwrap()));
        // As `kill -9` in the middle of a write leaves it: it is not listed, and goes at the next start.
        let day = dir.path().join("_stills/front/2026-05-04");
        let (part, other) = (day.join(".04-00-00.000Z.jpg.part"), day.join(".mine.part"));
        std::fs::write(&part, "half").unwrap();
        std::fs::write(&other, "not ours").unwrap();
        assert_eq!(names(&fd, &camera(), a.day()).unwrap(), std::slice::from_ref(&a));
        assert_eq!(sweep(&root).unwrap(), 1);
        assert!(!part.exists() && other.exists());

        delete(&root, &camera(), b.day(), std::slice::from_ref(&b)).unwrap();
        assert_eq!(days(&fd, &camera()).unwrap(), [a.day()]);
        assert_eq!(read(&fd, &b).unwrap_err().kind(), ErrorKind::NotFound);
        // A folder with something of others in it stays.
        delete(&root, &camera(), a.day(), &[a]).unwrap();
        assert!(other.exists());
        // The walk of segments stumbles over none of it.
        assert_eq!(crate::files::Walk::new(&root).unwrap().count(), 0);
    }

    #[test]
    fn no_link_leads_out_of_the_root() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = root_at(dir.path());
        std::fs::create_dir(dir.path().join("_stills")).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("_stills/front")).unwrap();
        let one = name("2026-05-04T03:00:00Z");
        write(&root, &one, b"x").unwrap_err();
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(days(&root.dir().unwrap(), &camera()).unwrap().is_empty());
    }
}
