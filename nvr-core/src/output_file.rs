//! A file that is there whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// A file that gets its name when it is complete. Until then it grows beside it under another one, and it is gone when
/// it is dropped before.
#[derive(Debug)]
pub struct OutputFile {
    file: File,
    part: PathBuf,
    path: PathBuf,
    done: bool,
}

impl OutputFile {
    /// Begins a file of this name. What has the name already is replaced in the end, if it may be.
    ///
    /// # Errors
    /// `AlreadyExists` for a file that is there, unless it may be replaced; `InvalidArgument` for a folder, a device or a
    /// pipe; and what the system says.
    pub fn create(path: &Path, replace: bool) -> Result<Self> {
        may_be_written(path, replace)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:08x}.part", rand::random::<u32>()));
        let part = path.with_file_name(name);
        let made = OpenOptions::new().write(true).create_new(true).open(&part);
        let file = made.map_err(|e| {
            let is_missing = e.kind() == io::ErrorKind::NotFound;
            let error = Error::io(path.display(), e);
            if is_missing {
                error.with_hint("the folder is not there; make it first")
            } else {
                error
            }
        })?;
        Ok(Self {
            file,
            part,
            path: path.to_owned(),
            done: false,
        })
    }

    /// Where it grows, for what writes it by its name.
    #[must_use]
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// The folder that it is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// Gives it its name, once its bytes are on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(mut self) -> Result<()> {
        let failed = |e| Error::io(self.path.display(), e);
        self.file.sync_all().map_err(failed)?;
        std::fs::rename(&self.part, &self.path).map_err(failed)?;
        self.done = true;
        // The name as well: a power cut would take it away again.
        let folder = File::open(self.folder());
        folder.and_then(|f| f.sync_all()).map_err(failed)
    }
}

impl Write for OutputFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

/// Whether a file may get this name, in the place of what is there if it may be replaced.
///
/// # Errors
/// `InvalidArgument` where a folder, a device or a pipe is, and `AlreadyExists` for a file that may not be replaced.
pub fn may_be_written(path: &Path, replace: bool) -> Result<()> {
    let Ok(there) = std::fs::metadata(path) else {
        return Ok(());
    };
    if there.is_dir() {
        let error = Error::new(
            ErrorKind::InvalidArgument,
            format!("{} is a folder", path.display()),
        );
        return Err(error.with_hint("name a file in it"));
    }
    // Nobody wants /dev/null to become a file.
    if !there.is_file() {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{} is a device, a pipe or a socket", path.display()),
        ));
    }
    if !replace {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("{} is there already", path.display()),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.mp4");
        let mut file = OutputFile::create(&path, false).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        // Several at once: who ends last has it.
        let mut files = [(); 2].map(|()| OutputFile::create(&path, false).unwrap());
        for (n, file) in files.iter_mut().enumerate() {
            write!(file, "whole {n}").unwrap();
        }
        for file in files {
            file.finish().unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"whole 1");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let there = OutputFile::create(&path, false).unwrap_err();
        assert_eq!(there.kind(), ErrorKind::AlreadyExists);
        OutputFile::create(&path, true).unwrap().finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn what_is_no_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [dir.path(), Path::new("/dev/null"), &socket] {
            for replace in [false, true] {
                let error = OutputFile::create(path, replace).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            }
        }
        let error = OutputFile::create(&dir.path().join("none/clip.mp4"), false).unwrap_err();
        assert_eq!(error.hint(), Some("the folder is not there; make it first"));
    }
}
