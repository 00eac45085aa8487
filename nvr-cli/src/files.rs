//! Files that a command writes: whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nvr_core::Timestamp;
use nvr_core::error::{Error, ErrorKind};

use crate::exit::Failure;

/// The standard output, or a file that gets its name when it is complete.
#[derive(Debug)]
pub struct Target {
    kind: Kind,
    closed: bool,
}

#[derive(Debug)]
enum Kind {
    Stdout,
    File {
        file: File,
        part: PathBuf,
        path: PathBuf,
        done: bool,
    },
}

impl Target {
    /// Prepares to write; `-` is the standard output.
    ///
    /// # Errors
    /// `AlreadyExists` unless `force`, and what the system says.
    pub fn create(path: &Path, force: bool) -> Result<Self, Error> {
        if path == Path::new("-") {
            return Ok(Self {
                kind: Kind::Stdout,
                closed: false,
            });
        }
        may_replace(path, force)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&part)
            .map_err(|e| {
                let is_missing = e.kind() == io::ErrorKind::NotFound;
                let error = Error::io(path.display(), e);
                if is_missing {
                    error.with_hint("the folder is not there; make it first")
                } else {
                    error
                }
            })?;
        Ok(Self {
            kind: Kind::File {
                file,
                part,
                path: path.to_owned(),
                done: false,
            },
            closed: false,
        })
    }

    /// Where a file grows, for what writes it by its name; `None` for the standard output.
    pub fn part(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Stdout => None,
            Kind::File { part, .. } => Some(part),
        }
    }

    /// Whether the reader of the standard output went away.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Gives the file its name, once its bytes are on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(mut self) -> Result<(), Failure> {
        match &mut self.kind {
            Kind::Stdout => Ok(io::stdout().flush()?),
            Kind::File {
                file,
                part,
                path,
                done,
            } => {
                let result = file.sync_all().and_then(|()| std::fs::rename(&part, &path));
                result.map_err(|e| Error::io(path.display(), e))?;
                *done = true;
                Ok(())
            }
        }
    }
}

impl Write for Target {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let result = match &mut self.kind {
            Kind::Stdout => io::stdout().write(buf),
            Kind::File { file, .. } => file.write(buf),
        };
        self.closed |= result
            .as_ref()
            .is_err_and(|e| e.kind() == io::ErrorKind::BrokenPipe);
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::Stdout => io::stdout().flush(),
            Kind::File { file, .. } => file.flush(),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Kind::File {
            part, done: false, ..
        } = &self.kind
        {
            let _ = std::fs::remove_file(part);
        }
    }
}

/// Whether a file may get this name, in the place of what is there.
///
/// # Errors
/// `InvalidArgument` where a folder, a device or a pipe is, and `AlreadyExists` for a file unless `force`.
pub fn may_replace(path: &Path, force: bool) -> Result<(), Error> {
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
        let error = Error::new(
            ErrorKind::InvalidArgument,
            format!("{} is a device, a pipe or a socket", path.display()),
        );
        return Err(
            error.with_hint("name a file; `-` is the standard output, which goes wherever you lead it")
        );
    }
    if !force {
        let error = Error::new(
            ErrorKind::AlreadyExists,
            format!("{} is there already", path.display()),
        );
        return Err(error.with_hint("name another file, or replace it with --force"));
    }
    Ok(())
}

/// A time as part of a file name (`20260504T030201Z`).
pub fn timestamp_name(t: Timestamp) -> String {
    t.to_jiff().strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.mp4");
        let mut target = Target::create(&path, false).unwrap();
        target.write_all(b"half").unwrap();
        drop(target);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut target = Target::create(&path, false).unwrap();
        target.write_all(b"whole").unwrap();
        target.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(
            Target::create(&path, false).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        for force in [false, true] {
            let error = Target::create(dir.path(), force).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        }
        // A device or a socket is never replaced.
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [Path::new("/dev/null"), &socket] {
            let error = Target::create(path, true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        }
        let error = Target::create(&dir.path().join("none/clip.mp4"), false).unwrap_err();
        assert_eq!(error.hint(), Some("the folder is not there; make it first"));
        Target::create(&path, true).unwrap().finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }
}
