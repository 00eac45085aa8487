//! Does what a plan says: file first, then row, so that a crash at any instant leaves nothing to be mistaken for a loss.
//!
//! 1. The index notes which segments are being deleted (`deletions`); from then on they cannot be protected.
//! 2. Their files go.
//! 3. Their rows go, and with them the notes.
//!
//! What a crash leaves between two steps is finished at the next start, or by the next pass. Should the index be
//! unable to take the note because the disk is full to the last byte, some files go without one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::plan::{Candidate, Deletion, Disk, Plan, Situation, Stock, plan};
use super::policy::Policy;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::event::DeletionReason;
use crate::files::{self, Root, RootOptions, SyncPolicy, Tree};
use crate::ids::{CameraId, SegmentId};
use crate::segment::Tier;
use crate::store::{OpenMode, SegmentRow, SegmentState, Store};
use crate::time::Timestamp;

/// Rows of a camera and kind that are looked at in one pass.
const ROWS: u32 = 256;
/// The same where nothing is deleted and all is to be told.
const ROWS_OF_PREVIEW: u32 = 50_000;
/// Most deletions of one pass: others want the disk as well.
const MOST: usize = 512;
/// Deletions of one transaction: others want the index as well.
const BATCH: usize = 32;
/// Freed without a note in the index when it cannot take one: enough for it to go on.
const UNNOTED_BYTES: u64 = 4 << 20;

/// Footage that was deleted, or would be.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Deleted {
    /// Camera.
    pub camera: CameraId,
    /// Number of segments.
    pub segments: u64,
    /// Their bytes.
    pub size_bytes: u64,
    /// Begin of the oldest.
    pub from: Timestamp,
    /// End of the newest.
    pub until: Timestamp,
    /// Why.
    pub reason: DeletionReason,
}

/// What was deleted since the recorder started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedSoFar {
    /// Camera.
    pub camera: CameraId,
    /// Why.
    pub reason: DeletionReason,
    /// Number of segments.
    pub segments: u64,
    /// Their bytes.
    pub size_bytes: u64,
}

/// What a pass brought.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Pass {
    /// What was deleted, by camera and reason.
    pub deleted: Vec<Deleted>,
    /// There is more to do.
    pub more: bool,
    /// So many bytes are missing to the free space that is wanted, and nothing is left to delete.
    pub short_bytes: u64,
    /// What could not be deleted, with the reason.
    pub failed: Vec<String>,
}

impl Pass {
    /// Number of segments that were deleted.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.deleted.iter().map(|d| d.segments).sum()
    }

    /// Their bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.deleted.iter().map(|d| d.size_bytes).sum()
    }

    fn count(&mut self, d: &Deletion) {
        let s = &d.segment;
        let found = self
            .deleted
            .iter_mut()
            .find(|sum| sum.camera == d.camera && sum.reason == d.reason);
        match found {
            Some(sum) => {
                sum.segments += 1;
                sum.size_bytes += s.size_bytes;
                sum.from = sum.from.min(s.start);
                sum.until = sum.until.max(s.end);
            }
            None => self.deleted.push(Deleted {
                camera: d.camera.clone(),
                segments: 1,
                size_bytes: s.size_bytes,
                from: s.start,
                until: s.end,
                reason: d.reason,
            }),
        }
    }

    /// Adds what a later pass brought.
    pub(crate) fn add(&mut self, later: Self) {
        for d in later.deleted {
            let found = self
                .deleted
                .iter_mut()
                .find(|sum| sum.camera == d.camera && sum.reason == d.reason);
            match found {
                Some(sum) => {
                    sum.segments += d.segments;
                    sum.size_bytes += d.size_bytes;
                    sum.from = sum.from.min(d.from);
                    sum.until = sum.until.max(d.until);
                }
                None => self.deleted.push(d),
            }
        }
        self.failed.extend(later.failed);
        self.more = later.more;
        self.short_bytes = later.short_bytes;
    }
}

/// Deletes. Everything here blocks; one thing at a time.
#[derive(Debug)]
pub struct Keeper {
    store: Store,
    tree: Tree,
    busy: Mutex<()>,
    so_far: Mutex<Vec<DeletedSoFar>>,
}

impl Keeper {
    /// For an index opened for writing, and a tree opened exclusively.
    #[must_use]
    pub fn new(store: Store, tree: Tree) -> Self {
        Self {
            store,
            tree,
            busy: Mutex::new(()),
            so_far: Mutex::default(),
        }
    }

    /// For a configuration whose recorder does not run.
    ///
    /// # Errors
    /// `Storage` when root or index cannot be used, `Conflict` when a recorder runs or they do not belong together,
    /// `NotFound` when there is no index.
    pub fn open(config: &Config) -> Result<Self> {
        // The root first: it says who else is using it.
        let mut options = RootOptions {
            exclusive: true,
            ..RootOptions::default()
        };
        let clock = SystemClock::shared();
        let path = &config.recorder.root;
        drop(Root::open(path, options, clock.clone())?);
        // Opened for writing it would be made.
        drop(Store::open(&config.recorder.database, OpenMode::ReadOnly)?);
        let store = Store::open(&config.recorder.database, OpenMode::ReadWrite)?;
        options.expected = store.tree_id()?.map(|id| id.parse()).transpose()?;
        let second = crate::moving::second_root(config, &store, clock.clone())?;
        let tree = Tree::with_second(Root::open(path, options, clock)?, second, SyncPolicy::Close)?;
        if let Err(e) = tree.look_at_second() {
            tracing::warn!(error = %e, "the second root is away; nothing of it is deleted");
        }
        let keeper = Self::new(store, tree);
        keeper.finish_cut_off()?;
        Ok(keeper)
    }

    /// What was deleted so far, by camera and reason.
    #[must_use]
    pub fn so_far(&self) -> Vec<DeletedSoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, d: &Deletion) {
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        let found = so_far
            .iter_mut()
            .find(|sum| sum.camera == d.camera && sum.reason == d.reason);
        match found {
            Some(sum) => {
                sum.segments += 1;
                sum.size_bytes += d.segment.size_bytes;
            }
            None => so_far.push(DeletedSoFar {
                camera: d.camera.clone(),
                reason: d.reason,
                segments: 1,
                size_bytes: d.segment.size_bytes,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk now.
    ///
    /// # Errors
    /// `Storage` when the root is not there.
    pub fn disk(&self) -> Result<Disk> {
        Ok(self.tree.usage()?.into())
    }

    fn stocks(&self, limit: u32) -> Result<Vec<Stock>> {
        // Before the rows: what is closed between the two is counted twice rather than not at all.
        let mut growing: HashMap<CameraId, u64> = HashMap::new();
        for segment in self.tree.growing() {
            *growing.entry(segment.start().camera.clone()).or_default() += segment.size_bytes();
        }
        let with_second = self.tree.second_usage().is_some();
        let rows = self.store.stocks(limit)?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let bytes = growing.get(&row.camera).copied().unwrap_or(0);
                Stock::new(row, bytes, with_second)
            })
            .collect())
    }

    fn plan(&self, policy: &Policy, now: Option<Timestamp>, rows: u32, most: usize) -> Result<Plan> {
        let stocks = self.stocks(rows)?;
        Ok(plan(Situation {
            stocks: &stocks,
            disk: self.disk()?,
            second: self.tree.second_usage().map(Into::into),
            now,
            policy,
            most,
        }))
    }

    /// What would be deleted now, all of it.
    ///
    /// # Errors
    /// `Storage` when the root is not there or the index cannot be read.
    pub fn preview(&self, policy: &Policy, now: Timestamp) -> Result<Pass> {
        let plan = self.plan(policy, Some(now), ROWS_OF_PREVIEW, usize::MAX)?;
        let mut pass = Pass {
            more: plan.more,
            short_bytes: plan.short_bytes,
            ..Pass::default()
        };
        for deletion in &plan.deletions {
            pass.count(deletion);
        }
        Ok(pass)
    }

    /// Deletes what is to go, a bounded number of segments; `more` in the answer says to come again.
    ///
    /// # Errors
    /// `Storage` when the root is not there or the index cannot be read. What single files brought is in the answer.
    pub fn pass(&self, policy: &Policy, now: Option<Timestamp>) -> Result<Pass> {
        let _one = self.lock();
        let plan = self.plan(policy, now, ROWS, MOST)?;
        let mut pass = Pass {
            more: plan.more,
            short_bytes: plan.short_bytes,
            ..Pass::default()
        };
        for batch in plan.deletions.chunks(BATCH) {
            if !self.delete_batch(batch, &mut pass)? {
                pass.more = false;
                break;
            }
        }
        Ok(pass)
    }

    /// As [`pass`](Self::pass), again and again until nothing is left to do.
    ///
    /// # Errors
    /// As there.
    pub fn clean(&self, policy: &Policy, now: Timestamp) -> Result<Pass> {
        let mut all = Pass::default();
        loop {
            let pass = self.pass(policy, Some(now))?;
            let go_on = pass.more && pass.segments() > 0;
            all.add(pass);
            if !go_on {
                return Ok(all);
            }
        }
    }

    /// Finishes deletions that a crash cut off. Returns how many.
    ///
    /// # Errors
    /// `Storage` when the root is not there or the index cannot be written.
    pub fn finish_cut_off(&self) -> Result<u64> {
        let _one = self.lock();
        finish_cut_off(&self.store, &self.tree)
    }

    /// Deletes local files of which there are copies elsewhere.
    ///
    /// # Errors
    /// `Storage` when the root is not there or the index cannot be written. What single files brought is in the answer.
    pub(crate) fn release(&self, rows: Vec<SegmentRow>) -> Result<Pass> {
        let _one = self.lock();
        let away = self.tree.second_usage().is_none();
        let deletions: Vec<Deletion> = rows
            .into_iter()
            .filter(|r| r.tier == Tier::First || !away)
            .map(|r| deletion(r, DeletionReason::Uploaded))
            .collect();
        let mut pass = Pass::default();
        for batch in deletions.chunks(BATCH) {
            if !self.delete_batch(batch, &mut pass)? {
                break;
            }
        }
        Ok(pass)
    }

    /// Deletes one segment because somebody asked for it.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, `Conflict` when it is protected or grows, `Storage` when its file cannot
    /// be deleted.
    pub fn delete(&self, id: SegmentId) -> Result<Deleted> {
        let _one = self.lock();
        let gone = || Error::new(ErrorKind::NotFound, format!("there is no segment {id}"));
        let row = self.store.segment(id)?.ok_or_else(gone)?;
        let refuse = |why: &str, hint: &str| {
            Err(Error::new(ErrorKind::Conflict, format!("segment {id} {why}")).with_hint(hint))
        };
        if row.protected {
            return refuse("is protected", "take the protection away first");
        }
        if row.state == SegmentState::Open {
            return refuse("is being recorded", "split or stop the camera first");
        }
        let deletion = deletion(row, DeletionReason::Requested);
        let mut pass = Pass::default();
        self.delete_batch(std::slice::from_ref(&deletion), &mut pass)?;
        match (pass.deleted.pop(), pass.failed.pop()) {
            (Some(deleted), _) => Ok(deleted),
            (None, Some(why)) => Err(Error::new(ErrorKind::Storage, why)),
            // Protected, or deleted by somebody else, in between.
            (None, None) => match self.store.segment(id)? {
                Some(_) => refuse("was protected just now", "take the protection away first"),
                None => Err(gone()),
            },
        }
    }

    /// Deletes some segments. False when nothing can be deleted now: the rest will fare no better.
    fn delete_batch(&self, batch: &[Deletion], pass: &mut Pass) -> Result<bool> {
        // Not there, not ours, or not mounted: nothing of the index goes either.
        self.tree.root().attach()?;
        let wanted = batch.iter().map(|d| (d.segment.id, d.reason)).collect();
        let taken = match self.store.condemn_blocking(wanted) {
            Ok(taken) => taken,
            Err(e) if e.kind() == ErrorKind::Storage => {
                tracing::warn!(error = %e, "the index takes no notes; some of the oldest files are deleted without");
                self.unnoted(batch)?
            }
            Err(e) => return Err(e),
        };
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        for deletion in batch.iter().filter(|d| taken.contains(&d.segment.id)) {
            let segment = &deletion.segment;
            let result = self
                .lies_now(segment)
                .and_then(|tier| self.tree.root_of(tier))
                .and_then(|root| files::delete(root, &segment.path));
            match result {
                Ok(_) => {
                    gone.push(deletion.segment.id);
                    pass.count(deletion);
                    self.count(deletion);
                }
                Err(e) => {
                    kept.push(deletion.segment.id);
                    pass.failed.push(e.to_string());
                }
            }
        }
        let works = !gone.is_empty() || kept.is_empty();
        self.store.segments_deleted_blocking(gone)?;
        if !kept.is_empty() {
            self.store.pardon_blocking(kept)?;
        }
        Ok(works)
    }

    /// Which root a segment lies below: it may have moved since the plan. Now that its deletion is noted it does not.
    fn lies_now(&self, segment: &Candidate) -> Result<Tier> {
        if self.tree.second().is_none() {
            return Ok(segment.tier);
        }
        Ok(self
            .store
            .segment(segment.id)?
            .map_or(segment.tier, |row| row.tier))
    }

    /// The first few that may go, by what the index says now.
    fn unnoted(&self, batch: &[Deletion]) -> Result<Vec<SegmentId>> {
        let (mut ids, mut bytes) = (Vec::new(), 0u64);
        for deletion in batch {
            let row = self.store.segment(deletion.segment.id)?;
            if row.is_some_and(|r| !r.protected && r.state != SegmentState::Open) {
                ids.push(deletion.segment.id);
                bytes = bytes.saturating_add(deletion.segment.size_bytes);
            }
            if bytes >= UNNOTED_BYTES {
                break;
            }
        }
        Ok(ids)
    }
}

fn deletion(row: SegmentRow, reason: DeletionReason) -> Deletion {
    Deletion {
        segment: Candidate {
            id: row.id,
            start: row.start,
            end: row.end(),
            size_bytes: row.size_bytes,
            tier: row.tier,
            path: row.path,
        },
        camera: row.camera,
        reason,
    }
}

/// Deletes what was noted as being deleted and still is there.
pub(crate) fn finish_cut_off(store: &Store, tree: &Tree) -> Result<u64> {
    let condemned = store.condemned()?;
    if condemned.is_empty() {
        return Ok(0);
    }
    tree.root().attach()?;
    let (mut gone, mut kept) = (Vec::new(), Vec::new());
    for row in condemned {
        match tree
            .root_of(row.tier)
            .and_then(|root| files::delete(root, &row.path))
        {
            Ok(_) => gone.push(row.id),
            Err(e) => {
                tracing::warn!(path = %row.path.display(), error = %e, "a segment that was to be deleted is still there");
                kept.push(row.id);
            }
        }
    }
    let n = store.segments_deleted_blocking(gone)?;
    store.pardon_blocking(kept)?;
    Ok(n)
}
