//! The files of ours in the root: the marker that proves the mount, and the recorder's lock.

use std::fmt;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::str::FromStr;

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::event::CauseKind;
use crate::fault::{fault, storage};
use crate::time::Timestamp;

/// Folder in the root for exports that are made as jobs, unless the configuration names another. No camera can be
/// called so.
pub const EXPORTS: &str = "_exports";

/// Folder in the root for stills. No camera can be called so.
pub const STILLS: &str = "_stills";

/// Name of the marker file in the root.
pub const MARKER: &str = ".nvr-root";
pub(super) const LOCK: &str = ".nvr-lock";
pub(super) const PROBE: &str = ".nvr-probe";
/// The layout that this version reads and writes.
const FORMAT: u32 = 1;
/// A marker is some 100 bytes; more than this is none of ours.
const MARKER_LIMIT: u64 = 4096;
/// Files are for the recorder's user and group.
pub(super) const FILE_MODE: Mode = Mode::from_raw_mode(0o640);

/// Random identity of one recordings tree, 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeId(u128);

impl TreeId {
    /// A fresh random one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeId({self})")
    }
}

impl FromStr for TreeId {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let ok = s.len() == 32 && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        u128::from_str_radix(s, 16)
            .ok()
            .filter(|_| ok)
            .map(Self)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidArgument,
                    format!("{s:?} is not a tree id (32 hexadecimal digits)"),
                )
            })
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Marker {
    format: u32,
    tree: String,
    created: Timestamp,
    note: String,
}

/// Whether a folder holds nothing of anybody (a fresh file system has `lost+found`).
pub(super) fn is_empty(dir: impl AsFd) -> std::io::Result<bool> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let mine = [MARKER, LOCK, PROBE, "lost+found", ".", ".."];
        if !mine.iter().any(|m| entry.file_name().to_bytes() == m.as_bytes())
            && !entry.file_name().to_bytes().starts_with(MARKER.as_bytes())
        {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn read_marker(dir: impl AsFd, root: &Path) -> Result<Option<TreeId>> {
    let what = || format!("read {}", root.join(MARKER).display());
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(dir, MARKER, flags, Mode::empty()) {
        Ok(fd) => std::fs::File::from(fd),
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(storage(what(), e)),
    };
    let mut text = Vec::new();
    file.take(MARKER_LIMIT)
        .read_to_end(&mut text)
        .map_err(|e| storage(what(), e))?;
    let bad = || {
        fault(
            CauseKind::StorageMissing,
            format!("{}: not a marker that this version knows", what()),
        )
        .with_hint("restore it from a copy, or remove it and run `nvr init --adopt`")
    };
    let marker: Marker = serde_json::from_slice(&text).map_err(|_| bad())?;
    if marker.format != FORMAT {
        return Err(fault(
            CauseKind::StorageMissing,
            format!(
                "{}: layout {} of another version (this one: {FORMAT})",
                what(),
                marker.format
            ),
        ));
    }
    marker.tree.parse().map(Some).map_err(|_| bad())
}

/// Writes the marker whole or not at all, and never over another.
pub(super) fn write_marker(dir: &OwnedFd, id: TreeId, now: Timestamp) -> std::io::Result<()> {
    let marker = Marker {
        format: FORMAT,
        tree: id.to_string(),
        created: now,
        note: "root of an nvr recordings tree; nothing is recorded here without this file".to_owned(),
    };
    let temporary = format!("{MARKER}.{:08x}", rand::random::<u32>());
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = std::fs::File::from(rustix::fs::openat(dir, &temporary, flags, FILE_MODE)?);
    let written = (|| -> std::io::Result<()> {
        serde_json::to_writer(&mut file, &marker)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        match rustix::fs::renameat_with(dir, &temporary, dir, MARKER, RenameFlags::NOREPLACE) {
            // Some network and FUSE file systems have no such rename.
            Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::renameat(dir, &temporary, dir, MARKER)?,
            other => other?,
        }
        Ok(())
    })();
    if written.is_err() {
        let _ = rustix::fs::unlinkat(dir, &temporary, AtFlags::empty());
    }
    written?;
    Ok(rustix::fs::fsync(dir)?)
}

/// Takes the recorder's lock; it goes with the process, whatever ends that.
pub(super) fn take_lock(dir: &OwnedFd, root: &Path) -> Result<OwnedFd> {
    let path = root.join(LOCK);
    let open = |access: OFlags| {
        let flags = access | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(dir, LOCK, flags, FILE_MODE)
            .map_err(|e| storage(format!("lock file {}", path.display()), e))
    };
    let lock = |fd: &OwnedFd| rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive);
    // Held for reading, so that the file system can be remounted read-only meanwhile.
    let mut fd = open(OFlags::RDONLY)?;
    let mut locked = lock(&fd);
    if locked == Err(Errno::BADF) {
        // NFS wants it open for writing.
        fd = open(OFlags::RDWR)?;
        locked = lock(&fd);
    }
    match locked {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut holder = [0; 20];
            let n = rustix::io::pread(&fd, &mut holder, 0).unwrap_or(0);
            let holder = String::from_utf8_lossy(&holder[..n]);
            let who = match holder.trim().parse::<u32>() {
                Ok(pid) => format!("process {pid}"),
                Err(_) => "another process".to_owned(),
            };
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("recordings root {} is in use by {who}", root.display()),
            )
            .with_hint("stop that recorder, or give this one a root of its own"));
        }
        Err(e) => return Err(storage(format!("lock {}", path.display()), e)),
    }
    // The number is for people; that it may not fit on a full disk does not matter.
    let pid = format!("{}\n", std::process::id());
    let writing = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::openat(dir, LOCK, writing, FILE_MODE) {
        let _ = rustix::io::pwrite(file, pid.as_bytes(), 0);
    }
    Ok(fd)
}
