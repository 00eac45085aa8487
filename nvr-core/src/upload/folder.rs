//! A folder as a target. All of this blocks.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::target::Found;
use crate::error::{Error, ErrorKind, Result};

const BUFFER: usize = 256 << 10;

/// A folder that is there already: one that is not made by us cannot be the empty mount point of a disk that is away.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where a copy lies. Keys are checked before they come here: no `..`, no absolute ones.
    fn path(&self, key: &str) -> Result<PathBuf> {
        if !self.root.is_dir() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("{} is not there", self.root.display()),
            )
            .with_hint("mount it; the folder itself is never made"));
        }
        Ok(self.root.join(key))
    }

    /// Where it grows.
    fn growing(path: &Path) -> PathBuf {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!(".{name}.part"))
    }

    /// Reads it whole: a folder has no other way to tell what it has.
    pub(super) fn head(&self, key: &str, stopped: &dyn Fn() -> bool) -> Result<Option<Found>> {
        let path = self.path(key)?;
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path.display(), e)),
        };
        let mut hasher = blake3::Hasher::new();
        let (mut buf, mut size) = (vec![0; BUFFER], 0u64);
        while !stopped() {
            let n = file.read(&mut buf).map_err(|e| Error::io(path.display(), e))?;
            if n == 0 {
                return Ok(Some(Found {
                    size_bytes: size,
                    hash: Some(*hasher.finalize().as_bytes()),
                    etag: None,
                }));
            }
            hasher.update(&buf[..n]);
            size += n as u64;
        }
        Err(Error::new(ErrorKind::Unavailable, "it was asked to stop"))
    }

    /// Copies a file; `turn` says after how long so many bytes may go, `went` is told how many did. The copy is complete
    /// and synced then, and gets its name by [`Growing::finish`].
    pub(super) fn put(
        &self,
        key: &str,
        from: &File,
        turn: &dyn Fn(usize) -> Duration,
        went: &dyn Fn(u64),
        stopped: &dyn Fn() -> bool,
    ) -> Result<Growing> {
        let path = self.path(key)?;
        let failed = |e| Error::io(path.display(), e);
        let parent = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent).map_err(failed)?;
        let growing = Self::growing(&path);
        let mut options = OpenOptions::new();
        let mut to = options
            .write(true)
            .create(true)
            .truncate(true)
            .open(&growing)
            .map_err(failed)?;
        let (mut buf, mut done) = (vec![0; BUFFER], 0u64);
        loop {
            let n = from.read_at(&mut buf, done).map_err(failed)?;
            if n == 0 {
                break;
            }
            let mut wait = turn(n);
            while !wait.is_zero() && !stopped() {
                let step = wait.min(Duration::from_millis(100));
                std::thread::sleep(step);
                wait -= step;
            }
            if stopped() {
                return Err(Error::new(ErrorKind::Unavailable, "it was asked to stop"));
            }
            to.write_all(&buf[..n]).map_err(failed)?;
            done += n as u64;
            went(done);
        }
        to.sync_all().map_err(failed)?;
        Ok(Growing { at: growing, path })
    }

    /// Removes what a copy that was cut off left.
    pub(super) fn clean(&self, key: &str) -> Result<()> {
        let growing = Self::growing(&self.path(key)?);
        match fs::remove_file(&growing) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(growing.display(), e)),
            _ => Ok(()),
        }
    }

    pub(super) fn read(&self, key: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        let path = self.path(key)?;
        let file = File::open(&path).map_err(|e| Error::io(path.display(), e))?;
        let (mut buf, mut done) = (vec![0; length], 0);
        while done < length {
            let n = file
                .read_at(&mut buf[done..], offset + done as u64)
                .map_err(|e| Error::io(path.display(), e))?;
            if n == 0 {
                break;
            }
            done += n;
        }
        buf.truncate(done);
        Ok(buf)
    }
}

/// A whole copy that has not its name yet.
#[derive(Debug)]
pub(super) struct Growing {
    at: PathBuf,
    path: PathBuf,
}

impl Growing {
    /// Gives it its name, for good.
    pub(super) fn finish(self) -> Result<()> {
        let failed = |e| Error::io(self.path.display(), e);
        fs::rename(&self.at, &self.path).map_err(failed)?;
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn source(dir: &Path, bytes: &[u8]) -> File {
        fs::write(dir.join("from"), bytes).unwrap();
        File::open(dir.join("from")).unwrap()
    }

    #[test]
    fn a_copy_has_its_name_only_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..3 * BUFFER + 7).map(|n| (n % 251) as u8).collect();
        let from = source(dir.path(), &bytes);
        let root = dir.path().join("nas");
        let folder = Folder::new(root.clone());
        let go = || false;
        let free = |_: usize| Duration::ZERO;
        let e = folder.put("a/b.mp4", &from, &free, &|_| {}, &go).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unavailable, "the folder is never made");
        fs::create_dir(&root).unwrap();

        let done = Cell::new(0);
        let stop = || done.get() >= BUFFER as u64;
        folder
            .put("a/b.mp4", &from, &free, &|n| done.set(n), &stop)
            .unwrap_err();
        assert!(!root.join("a/b.mp4").exists());
        assert!(root.join("a/.b.mp4.part").exists());
        assert_eq!(folder.head("a/b.mp4", &go).unwrap(), None);
        folder.clean("a/b.mp4").unwrap();
        folder.clean("a/b.mp4").unwrap();
        assert_eq!(fs::read_dir(root.join("a")).unwrap().count(), 0);

        let whole = folder
            .put("a/b.mp4", &from, &free, &|n| done.set(n), &go)
            .unwrap();
        assert_eq!(done.get(), bytes.len() as u64);
        assert!(!root.join("a/b.mp4").exists());
        whole.finish().unwrap();
        assert_eq!(fs::read_dir(root.join("a")).unwrap().count(), 1);
        let found = folder.head("a/b.mp4", &go).unwrap().unwrap();
        assert_eq!(found.size_bytes, bytes.len() as u64);
        assert_eq!(found.hash, Some(*blake3::hash(&bytes).as_bytes()));
        assert_eq!(folder.read("a/b.mp4", 5, 10).unwrap(), bytes[5..15]);
        let end = bytes.len() as u64 - 3;
        assert_eq!(folder.read("a/b.mp4", end, 10).unwrap(), bytes[bytes.len() - 3..]);
    }
}
