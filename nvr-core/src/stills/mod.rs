//! Stills: pictures that are kept at intervals, as JPEG files in the tree.
//!
//! When one is due, which frame will do and how many of the oldest go is decided by [`policy`]. The shelf knows how many
//! there are of each day, so that the limits are held without reading folders again and again. Pictures come from
//! whoever takes them; this room writes, lists and deletes.

pub mod policy;
mod shelf;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use self::shelf::Shelf;
pub use self::shelf::{StillLimits, StillSums};
use crate::config::StillsConfig;
use crate::error::Result;
use crate::files::stills::{self as tree, StillName};
use crate::files::{Root, Tree};
use crate::ids::CameraId;
use crate::segment::Tier;
use crate::store::{Cursor, Order};
use crate::time::{TimeRange, Timestamp};

/// A still.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Still {
    /// Camera.
    pub camera: CameraId,
    /// When the picture is of, to the millisecond.
    pub at: Timestamp,
    /// Size of the JPEG.
    pub size_bytes: u64,
}

/// Which stills.
#[derive(Clone, PartialEq, Debug)]
pub struct StillQuery {
    /// Camera.
    pub camera: CameraId,
    /// From when to when.
    pub range: TimeRange,
    /// By time.
    pub order: Order,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
    /// Most on one page (1 to 10,000).
    pub limit: u32,
}

impl StillQuery {
    /// All of a camera, the oldest first, a hundred on a page.
    #[must_use]
    pub const fn new(camera: CameraId) -> Self {
        Self {
            camera,
            range: TimeRange::ALL,
            order: Order::Asc,
            cursor: None,
            limit: 100,
        }
    }
}

/// A still `width` pixels wide (16 to 7680), its aspect kept; as it is when it is no wider than that.
///
/// # Errors
/// `Corrupt` when it is no whole JPEG, `InvalidArgument` for another width.
pub async fn smaller(jpeg: bytes::Bytes, width: u32) -> Result<bytes::Bytes> {
    crate::nvr::blocking(move || crate::gst::shrink(jpeg.into(), width).map(bytes::Bytes::from)).await
}

/// What became of the stills of a camera since the recorder started, and how many there are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StillFigures {
    /// Stills that are there.
    pub sums: StillSums,
    /// Taken since the recorder started.
    pub taken: u64,
    /// Left out since then because the camera sent nothing new.
    pub missed: u64,
    /// Not decoded or written since then.
    pub failed: u64,
    /// The newest one that was taken since then.
    pub last: Option<Timestamp>,
}

/// Keeps the stills of a recorder.
#[derive(Debug)]
pub(crate) struct Stills {
    tree: Tree,
    /// Held for reading while a still is written and counted, for writing while a day is counted anew.
    changes: RwLock<()>,
    /// Never held while the disk is asked.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    shelf: Shelf,
    figures: BTreeMap<CameraId, StillFigures>,
}

/// Why a still was not kept.
#[derive(Debug)]
pub(crate) enum NotKept {
    /// The disk has to be left to the recorder.
    NoRoom,
    /// One of that very moment is there.
    There,
}

impl Stills {
    pub(crate) fn new(tree: Tree) -> Self {
        Self {
            tree,
            changes: RwLock::new(()),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn root(&self) -> &Root {
        self.tree.root()
    }

    /// Looks what is there, after removing what a crash left. Blocking, and for long where there are many.
    ///
    /// # Errors
    /// `Storage` when the root is not there or cannot be read.
    pub(crate) fn open(&self) -> Result<()> {
        let left = tree::sweep(self.root())?;
        if left > 0 {
            tracing::info!(files = left, "stills that a crash cut were removed");
        }
        let shelf = Shelf::read(self.root())?;
        self.state().shelf = shelf;
        Ok(())
    }

    /// Keeps a picture. Blocking. `critical_bytes` of the disk are not for stills.
    ///
    /// # Errors
    /// `Storage` when it cannot be written.
    pub(crate) fn keep(
        &self,
        camera: &CameraId,
        at: Timestamp,
        jpeg: &[u8],
        critical_bytes: impl Fn(u64) -> u64,
    ) -> Result<Result<(), NotKept>> {
        let usage = self.root().usage()?;
        let needed = critical_bytes(usage.total_bytes).saturating_add(jpeg.len() as u64);
        if usage.available_bytes < needed {
            return Ok(Err(NotKept::NoRoom));
        }
        let name = StillName::of(camera.clone(), at);
        let _counted = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        if !tree::write(self.root(), &name, jpeg)? {
            return Ok(Err(NotKept::There));
        }
        let mut state = self.state();
        state.shelf.add(&name, jpeg.len() as u64);
        let figures = state.figures.entry(camera.clone()).or_default();
        figures.taken += 1;
        figures.last = Some(name.at());
        Ok(Ok(()))
    }

    /// Notes that a camera had no picture of now.
    pub(crate) fn missed(&self, camera: &CameraId) {
        self.state().figures.entry(camera.clone()).or_default().missed += 1;
    }

    /// Notes that one could not be made or written.
    pub(crate) fn failed(&self, camera: &CameraId) {
        self.state().figures.entry(camera.clone()).or_default().failed += 1;
    }

    /// Figures of each camera that has stills, or should have.
    pub(crate) fn figures(&self) -> Vec<(CameraId, StillFigures)> {
        let state = self.state();
        let mut all = state.figures.clone();
        for (camera, sums) in state.shelf.cameras() {
            all.entry(camera).or_default().sums = sums;
        }
        all.into_iter().collect()
    }

    /// How many there are of all cameras together.
    pub(crate) fn sums(&self) -> StillSums {
        self.state().shelf.sums()
    }

    /// Deletes what is too old or too much; how many went. At most some thousand at once. Blocking.
    ///
    /// # Errors
    /// `Storage` when the root is not there or cannot be written.
    pub(crate) fn clear(
        &self,
        config: &StillsConfig,
        cameras: &[crate::config::CameraConfig],
        limits: &StillLimits,
        now: Option<Timestamp>,
    ) -> Result<u64> {
        if self.tree.is_lost(Tier::First) {
            return Ok(0);
        }
        let usage = self.root().usage()?;
        let rules = |id: &CameraId| config.of(cameras.iter().find(|c| c.id == *id).map(|c| &c.stills));
        // The folders are read and emptied without holding up those who take stills.
        let shelf = self.state().shelf.clone();
        let work = shelf::Clearing::new(self.root(), shelf);
        let (deleted, touched) = work.run(rules, limits, usage, now)?;
        for (camera, day) in touched {
            let _alone = self.changes.write().unwrap_or_else(PoisonError::into_inner);
            let counted = Shelf::count(self.root(), &camera, day)?;
            self.state().shelf.set(&camera, day, counted);
        }
        Ok(deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::tree_at;

    #[test]
    fn a_full_disk_is_left_to_the_recorder_and_nothing_is_kept_twice() {
        let dir = tempfile::tempdir().unwrap();
        let stills = Stills::new(tree_at(dir.path()));
        stills.open().unwrap();
        let (camera, at) = (
            CameraId::new("front").unwrap(),
            Timestamp::from_secs(1_800_000_000),
        );
        let full = stills.keep(&camera, at, b"jpeg", |_| u64::MAX).unwrap();
        assert!(matches!(full, Err(NotKept::NoRoom)));
        assert_eq!(stills.sums(), StillSums::default());
        assert!(stills.keep(&camera, at, b"jpeg", |_| 0).unwrap().is_ok());
        let again = stills.keep(&camera, at.add_ns(999), b"jpeg", |_| 0).unwrap();
        assert!(matches!(again, Err(NotKept::There)));
        stills.missed(&camera);
        let figures = &stills.figures()[0].1;
        assert_eq!((figures.taken, figures.missed, figures.last), (1, 1, Some(at)));
        assert_eq!((figures.sums.count, figures.sums.size_bytes), (1, 4));
        // Its limits are held while others go on.
        let mut config = StillsConfig::default();
        config.rules.max_age = crate::config::Age::For(std::time::Duration::from_secs(60));
        let later = at.add_ns(61_000_000_000);
        let limits = StillLimits::default();
        assert_eq!(
            stills.clear(&config, &[], &limits, None).unwrap(),
            0,
            "the clock is not trusted"
        );
        assert_eq!(stills.clear(&config, &[], &limits, Some(later)).unwrap(), 1);
        assert_eq!(stills.sums(), StillSums::default());
    }
}
