//! The recordings root: that it is there, that it is ours, and that nobody else writes to it.
//!
//! A marker file proves the mount: the mount point of a disk that is not mounted is an ordinary, empty
//! folder on the root disk, and nothing must ever be written there. The marker holds the tree's random id;
//! the index remembers it, so that an unmounted, exchanged or foreign disk is told apart from a first start.
//!
//! Where no id is known yet (the very first start) an empty folder is taken for a new tree. Whoever mounts a
//! disk there should run `nvr init` with the disk mounted before the first start.

use std::fmt;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::marker::{FILE_MODE, LOCK, MARKER, PROBE, TreeId, is_empty, read_marker, take_lock, write_marker};
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::CauseKind;
use crate::fault::{fault, storage};

const DIR_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Room that must be free before a full disk counts as usable again (or 1 % of it, if that is less).
const RESUME_BYTES: u64 = 16 << 20;

/// What to do where there is no marker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Create {
    /// Refuse.
    #[default]
    Never,
    /// Make a tree of an empty or missing folder, unless a tree id is already known.
    IfEmpty,
    /// Make a tree also of a folder that holds other things (`nvr init`), and of one whose known marker got
    /// lost: the marker is then written with the known id.
    Adopt,
}

/// How a root is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct RootOptions {
    /// What to do where there is no marker.
    pub create: Create,
    /// The tree id that the index remembers.
    pub expected: Option<TreeId>,
    /// Whether to be the one recorder of this root. Readers (`nvr check` without repair) leave it off.
    pub exclusive: bool,
}

/// Space of the file system that the root lies on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Usage {
    /// Size of the file system in bytes.
    pub total_bytes: u64,
    /// Bytes that this process may still write (without what is reserved for the superuser).
    pub available_bytes: u64,
}

/// The recordings root.
///
/// It may be made before the disk is there ([`new`](Self::new)), and finds back by itself when the disk
/// vanishes and returns, also as another device, as long as the marker is the same.
pub struct Root {
    path: PathBuf,
    options: RootOptions,
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Known once the root was there.
    id: Option<TreeId>,
    open: Option<Open>,
}

struct Open {
    dir: Arc<OwnedFd>,
    device: u64,
    inode: u64,
    /// Held while this process is the recorder of the root; missing on a read-only file system.
    lock: Option<OwnedFd>,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root")
            .field("path", &self.path)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Root {
    /// A root that need not be there yet; touches nothing. [`attach`](Self::attach) or
    /// [`probe`](Self::probe) open it.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, options: RootOptions, clock: SharedClock) -> Self {
        let state = State {
            id: options.expected,
            open: None,
        };
        Self {
            path: path.into(),
            options,
            clock,
            state: Mutex::new(state),
        }
    }

    /// Opens a root that must be there (or may be created, as the options say).
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    pub fn open(path: impl Into<PathBuf>, options: RootOptions, clock: SharedClock) -> Result<Self> {
        let root = Self::new(path, options, clock);
        root.attach()?;
        Ok(root)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tree's id: as expected, or as found in the marker; `None` while neither is known.
    #[must_use]
    pub fn id(&self) -> Option<TreeId> {
        self.lock_state().id
    }

    /// Makes sure that the root is there and ours, and says which tree it is.
    ///
    /// # Errors
    /// `Storage` when it is not there, has no marker or another tree's (cause `StorageMissing`), or cannot be
    /// read; `Conflict` when another recorder holds it.
    pub fn attach(&self) -> Result<TreeId> {
        let mut state = self.lock_state();
        self.ensure(&mut state)?;
        state
            .id
            .ok_or_else(|| Error::new(ErrorKind::Internal, "an open root without id"))
    }

    /// Whether segments can be made now: the root is there, ours, writable and has some room. Writes and
    /// removes a small file when this is the recorder of the root. May block as long as the disk does.
    ///
    /// # Errors
    /// `Storage` with the cause (see [`cause_of`](super::cause_of)), `Conflict` when another recorder holds it.
    pub fn probe(&self) -> Result<()> {
        if !self.options.exclusive {
            return self.dir().map(|_| ());
        }
        let dir = self.dir_for_writing()?;
        let usage = usage_of(&dir, &self.path)?;
        if usage.available_bytes < RESUME_BYTES.min(usage.total_bytes / 100) {
            return Err(storage(self.path.display(), Errno::NOSPC));
        }
        let written = (|| -> std::io::Result<()> {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = std::fs::File::from(rustix::fs::openat(&dir, PROBE, flags, FILE_MODE)?);
            file.write_all(&[0; 4096])?;
            file.sync_data()
        })();
        let removed = rustix::fs::unlinkat(&dir, PROBE, AtFlags::empty());
        written.map_err(|e| storage(format!("test write in {}", self.path.display()), e))?;
        removed.map_err(|e| storage(format!("remove {}", self.path.join(PROBE).display()), e))
    }

    /// Size and free space of the file system.
    ///
    /// # Errors
    /// `Storage` when the root is not there.
    pub fn usage(&self) -> Result<Usage> {
        usage_of(&*self.dir()?, &self.path)
    }

    /// Whether a recorder (of this or another process, other than this `Root`) holds the root.
    ///
    /// # Errors
    /// `Storage` when the root is not there.
    pub fn is_in_use(&self) -> Result<bool> {
        if self.options.exclusive {
            return self.attach().map(|_| false);
        }
        let dir = self.dir()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&dir, LOCK, flags, Mode::empty()) {
            Ok(fd) => match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockShared) {
                Ok(()) => Ok(false),
                Err(Errno::WOULDBLOCK) => Ok(true),
                Err(e) => Err(storage(format!("lock {}", self.path.join(LOCK).display()), e)),
            },
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(storage(format!("open {}", self.path.join(LOCK).display()), e)),
        }
    }

    /// The root's folder for reading, checked anew.
    pub(crate) fn dir(&self) -> Result<Arc<OwnedFd>> {
        let mut state = self.lock_state();
        self.ensure(&mut state).map(|open| Arc::clone(&open.dir))
    }

    /// Refuses unless it was opened to be written.
    pub(crate) fn require_exclusive(&self) -> Result<()> {
        if self.options.exclusive {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "recordings root {} was opened for reading only",
                self.path.display()
            ),
        ))
    }

    /// The root's folder for writing: checked anew, and no other recorder uses it.
    pub(super) fn dir_for_writing(&self) -> Result<Arc<OwnedFd>> {
        if !self.options.exclusive {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "recordings root {} was opened for reading only",
                    self.path.display()
                ),
            ));
        }
        let mut state = self.lock_state();
        let open = self.ensure(&mut state)?;
        if open.lock.is_none() {
            // It was read-only when it was opened.
            open.lock = Some(take_lock(&open.dir, &self.path)?);
        }
        Ok(Arc::clone(&open.dir))
    }

    /// The root's folder only if the path still leads to the one that was opened: two system calls and a
    /// read of some 100 bytes.
    fn ensure<'a>(&self, state: &'a mut State) -> Result<&'a mut Open> {
        let State { id, open } = state;
        let same = match (&*open, rustix::fs::stat(&self.path)) {
            (Some(open), Ok(now)) => open.device == now.st_dev && open.inode == now.st_ino,
            _ => false,
        };
        if !same {
            // Also gives back the old file descriptors, which would keep a disk from being unmounted.
            *open = None;
        }
        if let Some(open) = open {
            let found = read_marker(&open.dir, &self.path)?;
            self.verify(*id, found)?;
        }
        match open {
            Some(open) => Ok(open),
            None => {
                let (found, fresh) = self.open_dir(*id)?;
                *id = Some(found);
                Ok(open.insert(fresh))
            }
        }
    }

    fn open_dir(&self, known: Option<TreeId>) -> Result<(TreeId, Open)> {
        let path = self.path.display();
        let may_create = match self.options.create {
            Create::Never => false,
            Create::IfEmpty => known.is_none(),
            Create::Adopt => true,
        };
        if may_create
            && self.options.create != Create::Adopt
            && !self.path.join(MARKER).exists()
            && let Some(mount) = super::mounts::unmounted_above(&self.path)
        {
            return Err(fault(
                CauseKind::StorageMissing,
                format!(
                    "{path}: /etc/fstab has a mount point {}, and nothing is mounted there",
                    mount.display()
                ),
            )
            .with_hint("mount the disk, or choose a folder elsewhere"));
        }
        let mut opened = rustix::fs::openat(CWD, &self.path, DIR_FLAGS, Mode::empty());
        if matches!(opened, Err(Errno::NOENT)) && may_create && known.is_none() {
            std::fs::create_dir_all(&self.path).map_err(|e| storage(format!("create {path}"), e))?;
            opened = rustix::fs::openat(CWD, &self.path, DIR_FLAGS, Mode::empty());
        }
        let dir = opened.map_err(|e| storage(format!("recordings root {path}"), e))?;
        let stat = rustix::fs::fstat(&dir).map_err(|e| storage(format!("recordings root {path}"), e))?;
        let mut marker = read_marker(&dir, &self.path)?;
        if marker.is_none() && may_create {
            let adopt = self.options.create == Create::Adopt;
            if !adopt && !is_empty(&dir).map_err(|e| storage(format!("read {path}"), e))? {
                return Err(fault(
                    CauseKind::StorageMissing,
                    format!("{path} is not empty and has no {MARKER}: it is no recordings root"),
                )
                .with_hint(format!(
                    "choose an empty folder, or make this one a recordings root with `nvr init --adopt {path}`; \
                     what lies in it stays"
                )));
            }
            let id = known.unwrap_or_else(TreeId::random);
            write_marker(&dir, id, self.clock.now())
                .map_err(|e| storage(format!("create {path}/{MARKER}"), e))?;
            tracing::info!(root = %path, tree = %id, "new recordings root");
            marker = Some(id);
        }
        let id = self.verify(known, marker)?;
        let lock = if self.options.exclusive {
            match take_lock(&dir, &self.path) {
                Err(e) if super::cause_of(&e).is_some_and(|c| c.kind == CauseKind::ReadOnly) => None,
                other => Some(other?),
            }
        } else {
            None
        };
        let dir = Arc::new(dir);
        Ok((
            id,
            Open {
                dir,
                device: stat.st_dev,
                inode: stat.st_ino,
                lock,
            },
        ))
    }

    fn verify(&self, known: Option<TreeId>, found: Option<TreeId>) -> Result<TreeId> {
        let path = self.path.display();
        match (known, found) {
            (None, Some(found)) => Ok(found),
            (Some(known), Some(found)) if known == found => Ok(found),
            (Some(known), Some(found)) => Err(fault(
                CauseKind::StorageMissing,
                format!("{path} holds the recordings tree {found}, the index belongs to {known}"),
            )
            .with_hint(
                "mount the disk that belongs to this index, or make a new index with `nvr check --rebuild`",
            )),
            (_, None) => Err(fault(
                CauseKind::StorageMissing,
                format!("{path} has no {MARKER}: the recordings disk is not mounted there"),
            )
            .with_hint(format!(
                "mount the disk; only if this really is the right folder, run `nvr init --adopt {path}`"
            ))),
        }
    }

    fn lock_state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn usage_of(dir: impl AsFd, path: &Path) -> Result<Usage> {
    let s = rustix::fs::fstatvfs(dir).map_err(|e| storage(path.display(), e))?;
    Ok(Usage {
        total_bytes: s.f_blocks.saturating_mul(s.f_frsize),
        available_bytes: s.f_bavail.saturating_mul(s.f_frsize),
    })
}
