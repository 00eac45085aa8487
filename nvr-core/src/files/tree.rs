//! The tree as the recorder sees it: makes segment files, knows which grow, and whether it can.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::dirs::{self, Access};
use super::growing::{GrowingSegment, Registry};
use super::naming::SegmentName;
use super::recover::{Recovered, recover};
use super::root::{Root, Usage};
use super::segment_file::{FragmentedFile, PlainFile};
use super::sync::{SyncPolicy, Syncer, Target};
use super::turns::{Turn, Turns};
use crate::error::{Error, ErrorKind, Result};
use crate::event::CauseKind;
use crate::fault::{fault, storage};
use crate::ids::{CameraId, RunId};
use crate::segment::{Container, SegmentFile, SegmentFiles, SegmentStart, Tier};

/// Names tried for one segment; more than one is needed only when a file of the name is there already.
const NAME_TRIES: u32 = 10_000;

/// The recordings tree. Cloning is cheap; all clones are one tree.
#[derive(Debug, Clone)]
pub struct Tree(Arc<Shared>);

/// Who makes files: a camera that is recorded, or what fetches its footage from its card.
type Maker = (CameraId, bool);

fn maker_of(start: &SegmentStart) -> Maker {
    (start.camera.clone(), start.from_card)
}

/// What a look at the second root brought.
#[derive(Debug, Default)]
enum Found {
    /// Nobody looked yet.
    #[default]
    Unknown,
    There(Usage),
    /// It is not there, not ours, or does not answer.
    Away,
}

#[derive(Debug)]
pub(super) struct Shared {
    root: Root,
    /// Where old segments move to.
    second: Option<Root>,
    /// What was found at the last look at the second root.
    second_usage: Mutex<Found>,
    turns: Turns,
    /// The disk of the root does not answer.
    hangs: AtomicBool,
    policy: SyncPolicy,
    syncer: Option<Syncer>,
    pub(super) registry: Registry,
    /// The last name given to each camera, so that none is given twice even if the file was deleted since.
    last: Mutex<HashMap<Maker, (RunId, i64)>>,
    /// Whose file each camera made last, or is making now.
    making: Mutex<HashMap<Maker, RunId>>,
    /// Files left as after a crash by a fault of the storage while this process lives on.
    abandoned: Mutex<Vec<(SegmentName, SegmentStart)>>,
}

impl Tree {
    /// A tree below a root, which need not be there yet.
    ///
    /// # Errors
    /// `Internal` when the sync thread cannot be started.
    pub fn new(root: Root, policy: SyncPolicy) -> Result<Self> {
        Self::with_second(root, None, policy)
    }

    /// The same with a second root that old segments move to; it need not be there yet, either.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_second(root: Root, second: Option<Root>, policy: SyncPolicy) -> Result<Self> {
        let syncer = match policy {
            SyncPolicy::Close => None,
            SyncPolicy::Every(every) => Some(Syncer::start(every)?),
        };
        Ok(Self(Arc::new(Shared {
            root,
            second,
            second_usage: Mutex::default(),
            turns: Turns::default(),
            hangs: AtomicBool::new(false),
            policy,
            syncer,
            registry: Registry::default(),
            last: Mutex::default(),
            making: Mutex::default(),
            abandoned: Mutex::default(),
        })))
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.0.root
    }

    /// The second root, if there is one.
    #[must_use]
    pub fn second(&self) -> Option<&Root> {
        self.0.second.as_ref()
    }

    /// The root of a tier.
    ///
    /// # Errors
    /// `Storage` (cause `StorageMissing`) when it is the second one and none is configured, or it was found to be away: who
    /// asked it all the same could hang with its disk.
    pub fn root_of(&self, tier: Tier) -> Result<&Root> {
        if tier == Tier::First {
            return Ok(&self.0.root);
        }
        let second = self.0.second.as_ref().ok_or_else(|| {
            fault(
                CauseKind::StorageMissing,
                "the segment lies below a second root, and none is configured",
            )
            .with_hint("name it again: [tier] root = \"…\"")
        })?;
        match *self.found() {
            Found::Away => Err(fault(
                CauseKind::StorageMissing,
                format!("the second root {} is away", second.path().display()),
            )
            .with_hint("look at its disk; it is used again by itself")),
            Found::There(_) | Found::Unknown => Ok(second),
        }
    }

    /// Waits until nobody else takes files of segments away below the root of a tier, or puts others in their place.
    ///
    /// # Errors
    /// `Unavailable` when whoever does so below the second root does not come to an end.
    pub(crate) fn turn(&self, tier: Tier) -> Result<Turn<'_>> {
        self.0.turns.take(tier)
    }

    /// Looks whether the second root is there and how full it is. It may hang as long as that disk does, so nothing
    /// else asks that disk: see [`second_usage`](Self::second_usage).
    ///
    /// # Errors
    /// `Storage` when it is not there or not ours.
    pub fn look_at_second(&self) -> Result<()> {
        let Some(second) = &self.0.second else {
            return Ok(());
        };
        let found = second.attach().and_then(|_| second.usage());
        self.set_second_usage(found.as_ref().ok().copied());
        found.map(drop)
    }

    /// The file system of the second root, as it was found last; `None` while that root cannot be used.
    #[must_use]
    pub fn second_usage(&self) -> Option<Usage> {
        match *self.found() {
            Found::There(usage) => Some(usage),
            Found::Away | Found::Unknown => None,
        }
    }

    pub(crate) fn set_second_usage(&self, usage: Option<Usage>) {
        *self.found() = usage.map_or(Found::Away, Found::There);
    }

    /// Whether the disk of a tier is known not to answer, or to be away.
    #[must_use]
    pub fn is_lost(&self, tier: Tier) -> bool {
        match tier {
            Tier::First => self.0.hangs.load(Ordering::Relaxed),
            Tier::Second => self.second_usage().is_none(),
        }
    }

    /// Whether the disk of the root answers.
    pub(crate) fn set_hangs(&self, hangs: bool) {
        self.0.hangs.store(hangs, Ordering::Relaxed);
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.second_usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks how full the second root is, if it can be used at all. It may hang as that disk does.
    pub(crate) fn refresh_second_usage(&self) {
        let Some(second) = self.0.second.as_ref().filter(|_| self.second_usage().is_some()) else {
            return;
        };
        let now = second.usage().map_or(Found::Away, Found::There);
        let mut found = self.found();
        // It may have been found to be away meanwhile.
        if matches!(*found, Found::There(_)) {
            *found = now;
        }
    }

    /// When growing segments are synced.
    #[must_use]
    pub fn sync_policy(&self) -> SyncPolicy {
        self.0.policy
    }

    /// Whether segments can be made now; see [`Root::probe`]. To be asked again and again after a storage
    /// fault, off the streaming threads.
    ///
    /// # Errors
    /// As [`Root::probe`].
    pub fn healthy(&self) -> Result<()> {
        self.0.root.probe()
    }

    /// Size and free space of the file system.
    ///
    /// # Errors
    /// `Storage` when the root is not there.
    pub fn usage(&self) -> Result<Usage> {
        self.0.root.usage()
    }

    /// All segments that grow now (or are finished and not yet reported by [`indexed`](Self::indexed)), by
    /// camera. Whoever shows them beside the index prefers the index's row of the same path.
    #[must_use]
    pub fn growing(&self) -> Vec<Arc<GrowingSegment>> {
        self.0.registry.all()
    }

    /// The same of one camera, oldest first.
    #[must_use]
    pub fn growing_of(&self, camera: &CameraId) -> Vec<Arc<GrowingSegment>> {
        self.0.registry.of(camera)
    }

    /// Whether a file of this run may be in the making: not in the registry yet, but on disk.
    pub(crate) fn may_make(&self, camera: &CameraId, run: RunId) -> bool {
        let making = self.0.making.lock().unwrap_or_else(PoisonError::into_inner);
        [false, true]
            .into_iter()
            .any(|from_card| making.get(&(camera.clone(), from_card)) == Some(&run))
    }

    /// A finished segment is in the index now: it no longer counts as growing.
    pub fn indexed(&self, camera: &CameraId, path: &Path) {
        self.0.registry.remove(camera, path);
    }

    /// Opens a segment for reading; no symbolic link is followed below the root.
    ///
    /// # Errors
    /// `InvalidArgument` for a path that is no segment's, `NotFound` when there is no such file, `Storage`
    /// when the root is not there or the file cannot be opened.
    pub fn open_file(&self, tier: Tier, path: &Path) -> Result<File> {
        let name = segment_name(path)?;
        open_existing(self.root_of(tier)?, &name, Access::Read)
    }

    /// Mends the files that storage faults of this process's life left behind, once the storage is back.
    /// What cannot be mended yet stays for the next call. A file that is gone (the file system had not
    /// written it) comes without a result. May take some seconds.
    #[must_use]
    pub fn recover_abandoned(&self) -> Vec<(CameraId, PathBuf, Option<Recovered>)> {
        let waiting = std::mem::take(&mut *self.0.lock_abandoned());
        let mut done = Vec::new();
        for (name, start) in waiting {
            match recover(&self.0.root, &name.path(), Some(&start)) {
                Ok(recovered) => done.push((start.camera, name.path(), Some(recovered))),
                Err(e) if e.kind() == ErrorKind::NotFound => done.push((start.camera, name.path(), None)),
                Err(e) => {
                    tracing::warn!(camera = %name.camera, path = %name, error = %e, "cannot mend a segment yet");
                    self.0.lock_abandoned().push((name, start));
                }
            }
        }
        done
    }

    /// Whether files wait for [`recover_abandoned`](Self::recover_abandoned).
    #[must_use]
    pub fn has_abandoned(&self) -> bool {
        !self.0.lock_abandoned().is_empty()
    }
}

impl Shared {
    fn lock_abandoned(&self) -> std::sync::MutexGuard<'_, Vec<(SegmentName, SegmentStart)>> {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A segment was dropped without being finished.
    pub(super) fn abandon(&self, name: &SegmentName, start: &SegmentStart) {
        self.registry.remove(&start.camera, &name.path());
        self.lock_abandoned().push((name.clone(), start.clone()));
    }

    /// A name that was never given before.
    fn fresh_name(&self, start: &SegmentStart) -> SegmentName {
        let name = SegmentName::of(start);
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.get(&maker_of(start)) {
            Some(&(run, ms)) if run == start.run && ms >= name.start_ms() => name.at_ms(ms.saturating_add(1)),
            _ => name,
        }
    }
}

impl SegmentFiles for Tree {
    fn create(&self, start: &SegmentStart) -> Result<Box<dyn SegmentFile>> {
        let shared = &self.0;
        let root = shared.root.dir_for_writing()?;
        let mut name = shared.fresh_name(start);
        shared
            .making
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(maker_of(start), start.run);
        let mut tries = 0;
        let (file, folders) = loop {
            match dirs::create_segment(&root, &name) {
                Ok(made) => break made,
                Err(Errno::EXIST) if tries < NAME_TRIES => {
                    tries += 1;
                    name = name.next();
                }
                Err(e) => {
                    return Err(storage(
                        format!("create {}", shared.full_path(&name).display()),
                        e,
                    ));
                }
            }
        };
        shared
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(maker_of(start), (name.run, name.start_ms()));
        let target = Target::new(file, folders);
        if let Some(syncer) = &shared.syncer {
            syncer.add(&target);
        }
        let growing = Arc::new(GrowingSegment::new(start.clone(), name.path()));
        shared.registry.add(&growing);
        let shared = Arc::clone(shared);
        Ok(match start.container {
            Container::Fmp4 => Box::new(FragmentedFile::new(shared, name, target, growing)),
            Container::Mp4 | Container::Matroska => Box::new(PlainFile::new(shared, name, target, growing)),
        })
    }
}

impl Shared {
    pub(super) fn full_path(&self, name: &SegmentName) -> PathBuf {
        self.root.path().join(name.path())
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }
}

/// The parsed name of a path that must be a segment's.
pub(super) fn segment_name(path: &Path) -> Result<SegmentName> {
    SegmentName::parse(path).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{} is not the path of a segment", path.display()),
        )
        .with_hint("{camera}/{YYYY-MM-DD}/{HH-MM-SS.mmm}Z-{run}.mp4 or .mkv, relative to the recordings root")
    })
}

/// Opens an existing file below a root that is there.
pub(super) fn open_existing(root: &Root, name: &SegmentName, access: Access) -> Result<File> {
    let dir = match access {
        Access::Read => root.dir()?,
        Access::Write => root.dir_for_writing()?,
    };
    dirs::open_segment(&dir, name, access).map_err(|e| not_opened(root.path(), name, e))
}

/// Opens a segment below a folder for reading, whether it bears a marker or not; no symbolic link is followed below it, and
/// a pipe or a device in the place of the file is not waited for.
///
/// # Errors
/// As [`Tree::open_file`].
pub(crate) fn open_below(root: &Path, path: &Path) -> Result<File> {
    let name = segment_name(path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(root, flags, Mode::empty())
        .and_then(|dir| dirs::open_segment(dir, &name, Access::Read))
        .map_err(|e| not_opened(root, &name, e))
}

fn not_opened(root: &Path, name: &SegmentName, e: Errno) -> Error {
    let path = root.join(name.path());
    match e {
        // The root was seen to be there: it is the file that is missing.
        Errno::NOENT => Error::io(format!("open {}", path.display()), e.into()),
        // A link, a pipe, a device, a folder: whatever was recorded is not there, and the rest is somebody else's.
        Errno::LOOP | Errno::NOTDIR => Error::new(
            ErrorKind::NotFound,
            format!(
                "{}: no ordinary file lies there; links are not followed",
                path.display()
            ),
        ),
        e => storage(format!("open {}", path.display()), e),
    }
}

/// BLAKE3 of a segment file, read whole.
///
/// # Errors
/// As [`Tree::open_file`], and `Storage` when it cannot be read.
pub fn hash_file(root: &Root, path: &Path) -> Result<[u8; 32]> {
    let name = segment_name(path)?;
    let file = open_existing(root, &name, Access::Read)?;
    let mut hasher = blake3::Hasher::new();
    hasher
        .update_reader(file)
        .map_err(|e| storage(format!("read {name}"), e))?;
    Ok(*hasher.finalize().as_bytes())
}
