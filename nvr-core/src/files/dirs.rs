//! Opening things below the root one step at a time, so that no symbolic link leads out of it.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::marker::FILE_MODE;
use super::naming::SegmentName;

const DIR_MODE: Mode = Mode::from_raw_mode(0o750);

/// How a segment file is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// The folders that a new file's name hangs on, innermost first; synced once after it is made.
pub(super) type Folders = Vec<Arc<OwnedFd>>;

/// Opens the folder `name` in `parent`, which must be a real folder.
pub(super) fn open_dir(parent: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// The same, making it if need be. True when it was made.
pub(super) fn open_or_make_dir(parent: impl AsFd, name: &str) -> Result<(OwnedFd, bool), Errno> {
    match open_dir(&parent, name) {
        Err(Errno::NOENT) => {}
        other => return other.map(|d| (d, false)),
    }
    match rustix::fs::mkdirat(&parent, name, DIR_MODE) {
        Ok(()) => Ok((open_dir(&parent, name)?, true)),
        // Another camera's thread, or a deleting one, was there at the same time.
        Err(Errno::EXIST) => Ok((open_dir(&parent, name)?, false)),
        Err(e) => Err(e),
    }
}

/// Opens an existing segment file.
pub(super) fn open_segment(root: impl AsFd, name: &SegmentName, access: Access) -> Result<File, Errno> {
    let day = open_day(root, name)?;
    let access = match access {
        Access::Read => OFlags::RDONLY,
        Access::Write => OFlags::RDWR,
    };
    // A device is not even opened: that alone may do something.
    let file_name = name.file_name();
    ordinary(&rustix::fs::statat(&day, &*file_name, AtFlags::SYMLINK_NOFOLLOW)?)?;
    // NONBLOCK: a named pipe in the place of a file must not hang us.
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&day, &*file_name, flags, Mode::empty())?;
    // What was looked at may have been exchanged since.
    ordinary(&rustix::fs::fstat(&fd)?)?;
    Ok(File::from(fd))
}

/// `LOOP` for what is no ordinary file, as the system says it of a link.
fn ordinary(stat: &Stat) -> Result<(), Errno> {
    if FileType::from_raw_mode(stat.st_mode).is_file() {
        Ok(())
    } else {
        Err(Errno::LOOP)
    }
}

/// Opens the day folder that a segment lies in.
pub(super) fn open_day(root: impl AsFd, name: &SegmentName) -> Result<OwnedFd, Errno> {
    let camera = open_dir(root, name.camera.as_str())?;
    open_dir(camera, &name.day().to_string())
}

/// Gives a file of another folder of the same file system a segment's name, and syncs what the name hangs on.
pub(super) fn rename_to_segment(
    folder: impl AsFd,
    file: &str,
    root: &Arc<OwnedFd>,
    name: &SegmentName,
) -> Result<(), Errno> {
    for _ in 0..8 {
        let (camera, camera_is_new) = open_or_make_dir(root, name.camera.as_str())?;
        let (day, day_is_new) = match open_or_make_dir(&camera, &name.day().to_string()) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        match rustix::fs::renameat(&folder, file, &day, name.file_name()) {
            // The day folder may have been removed as it was empty.
            Err(Errno::NOENT) if open_dir(&camera, &name.day().to_string()).is_err() => continue,
            other => other?,
        }
        rustix::fs::fsync(&day)?;
        if day_is_new || camera_is_new {
            rustix::fs::fsync(&camera)?;
        }
        if camera_is_new {
            rustix::fs::fsync(root)?;
        }
        return Ok(());
    }
    Err(Errno::NOENT)
}

/// Makes a segment file that was not there before, and its folders.
pub(super) fn create_segment(root: &Arc<OwnedFd>, name: &SegmentName) -> Result<(File, Folders), Errno> {
    // A day folder that was just emptied may be removed between opening it and making the file in it.
    for _ in 0..8 {
        let (camera, camera_is_new) = open_or_make_dir(root, name.camera.as_str())?;
        let (day, day_is_new) = match open_or_make_dir(&camera, &name.day().to_string()) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&day, name.file_name(), flags, FILE_MODE) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        let mut folders = vec![Arc::new(day)];
        if day_is_new || camera_is_new {
            folders.push(Arc::new(camera));
        }
        if camera_is_new {
            folders.push(Arc::clone(root));
        }
        return Ok((File::from(fd), folders));
    }
    Err(Errno::NOENT)
}
