//! Private folders and files to work in.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::archive::Copying;
use crate::error::{Error, Result};

/// Begins the names of our folders.
const PREFIX: &str = ".nvr-backup-";

/// A folder that only its owner may enter. It goes when this is dropped; what a crash left goes when the next one is made.
#[derive(Debug)]
pub(super) struct WorkFolder {
    path: PathBuf,
    /// Held: somebody works in it.
    _lock: File,
}

impl WorkFolder {
    /// Makes one in `place`, which must be there.
    ///
    /// # Errors
    /// `Storage` when it cannot be made.
    pub(super) fn new(place: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| Error::io(place.display(), e);
        let all = File::open(place).map_err(failed)?;
        // One at a time: a folder that is made and not held yet would be taken for one that was left.
        flock(all.as_fd(), FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        clear(place);
        let path = place.join(format!("{PREFIX}{:016x}", rand::random::<u64>()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(failed)?;
        let lock = File::open(&path).map_err(failed)?;
        flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive).map_err(|e| failed(e.into()))?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(folder = %self.path.display(), error = %e, "cannot remove a folder of a backup");
        }
    }
}

/// Removes what nobody works in any more.
fn clear(place: &Path) {
    let Ok(entries) = std::fs::read_dir(place) else {
        return;
    };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| {
            name.strip_prefix(PREFIX)
                .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
        }) && entry.file_type().is_ok_and(|t| t.is_dir());
        let free = || {
            let folder = File::open(entry.path()).ok()?;
            flock(folder.as_fd(), FlockOperation::NonBlockingLockExclusive).ok()
        };
        if is_ours && free().is_some() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A new file that only its owner may read.
///
/// # Errors
/// `AlreadyExists`, or `Storage` when it cannot be made.
pub(super) fn create_private(path: &Path) -> Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| Error::io(path.display(), e))
}

/// Copies all that there is to read; how much, and its hash.
pub(super) fn hashed_copy(
    from: &mut impl Read,
    to: &mut impl Write,
) -> std::result::Result<(u64, String), Copying> {
    let mut hash = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => return Ok((size, hash.finalize().to_hex().to_string())),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Copying::Read(e)),
        };
        let piece = buffer.get(..n).unwrap_or_default();
        hash.update(piece);
        to.write_all(piece).map_err(Copying::Write)?;
        size += n as u64;
    }
}

/// Has the names in a folder on the disk.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(|e| Error::io(folder.display(), e))
}

/// The folder of a file.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
