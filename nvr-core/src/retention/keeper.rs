//! Does what a plan says: file first, then row, so that a crash at any instant leaves nothing to be mistaken for a loss.
//!
//! 1. The index notes which segments are being deleted (`deletions`), and the note is forced to the disk; from then on
//!    they cannot be protected.
//! 2. Their files go.
//! 3. Their rows go, and with them the notes.
//!
//! What a crash leaves between two steps is finished at the next start; of a second root that is away then, when it is
//! back. Should the index be unable to take the note because the disk is full to the last byte, some files go without
//! one.
//!
//! The two roots have their turns apart: a second root that hangs in the middle of a deletion holds up nothing of the
//! recordings root, which has to be kept from filling up.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::pass::{Deleted, DeletedSoFar, Pass};
use super::plan::{Deletion, Plan, Situation, plan};
use super::policy::Policy;
use super::stock::{Candidate, Disk, Stock};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::event::DeletionReason;
use crate::files::{self, Root, RootOptions, SyncPolicy, Tree, Turn};
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

/// Steps of a deletion, for tests that end the process between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The index knows which segments are being deleted.
    Noted,
    /// So it does after a power cut.
    NoteDurable,
    /// One more file is gone.
    FileGone,
    /// All rows are gone, and the notes with them.
    RowsGone,
}

/// Deletes. Everything here blocks; below each root one thing at a time.
#[derive(Debug)]
pub struct Keeper {
    store: Store,
    tree: Tree,
    so_far: Mutex<Vec<DeletedSoFar>>,
}

impl Keeper {
    /// For an index opened for writing, and a tree opened exclusively.
    #[must_use]
    pub fn new(store: Store, tree: Tree) -> Self {
        Self {
            store,
            tree,
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

    /// Deletes what is to go, a bounded number of segments; `more` in the answer says to come again. A second root that
    /// does not answer is passed over.
    ///
    /// # Errors
    /// `Storage` when the root is not there or the index cannot be read. What single files brought is in the answer.
    pub fn pass(&self, policy: &Policy, now: Option<Timestamp>) -> Result<Pass> {
        let first = self.pass_below(Tier::First, policy, now)?;
        if self.tree.second_usage().is_none() {
            return Ok(first);
        }
        match self.pass_below(Tier::Second, policy, now) {
            Ok(second) => Ok(first.beside(second)),
            Err(e) if e.kind() == ErrorKind::Unavailable => Ok(first),
            Err(e) => Err(e),
        }
    }

    /// The same below one root.
    ///
    /// # Errors
    /// As there, and `Unavailable` when the second root does not answer.
    pub(crate) fn pass_below(&self, tier: Tier, policy: &Policy, now: Option<Timestamp>) -> Result<Pass> {
        self.pass_by(tier, policy, now, &mut |_| {})
    }

    pub(super) fn pass_by(
        &self,
        tier: Tier,
        policy: &Policy,
        now: Option<Timestamp>,
        at: &mut dyn FnMut(Step),
    ) -> Result<Pass> {
        let turn = self.tree.turn(tier)?;
        if tier == Tier::Second {
            // What was freed since it was looked at is not freed again.
            self.tree.refresh_second_usage();
        }
        let plan = self.plan(policy, now, ROWS, usize::MAX)?.below(tier, MOST);
        let mut pass = Pass {
            more: plan.more,
            short_bytes: plan.short_bytes,
            ..Pass::default()
        };
        for batch in plan.deletions.chunks(BATCH) {
            if !self.delete_batch(&turn, batch, &mut pass, at)? {
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
    /// `Storage` when the root is not there or the index cannot be written, `Unavailable` when the second root does not
    /// answer.
    pub fn finish_cut_off(&self) -> Result<u64> {
        let first = self.finish_below(Tier::First)?;
        Ok(first + self.finish_below(Tier::Second)?)
    }

    /// The same below one root: what it was away for is done once it is back.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn finish_below(&self, tier: Tier) -> Result<u64> {
        let _turn = self.tree.turn(tier)?;
        finish_cut_off(&self.store, &self.tree, tier)
    }

    /// Deletes local files below a root of which there are copies elsewhere; rows of the other one are passed over.
    ///
    /// # Errors
    /// `Storage` when the root is not there or the index cannot be written, `Unavailable` when the second root does not
    /// answer. What single files brought is in the answer.
    pub(crate) fn release(&self, tier: Tier, rows: Vec<SegmentRow>) -> Result<Pass> {
        let turn = self.tree.turn(tier)?;
        let deletions: Vec<Deletion> = rows
            .into_iter()
            .filter(|r| r.tier == tier)
            .map(|r| deletion(r, DeletionReason::Uploaded))
            .collect();
        let mut pass = Pass::default();
        for batch in deletions.chunks(BATCH) {
            if !self.delete_batch(&turn, batch, &mut pass, &mut |_| {})? {
                break;
            }
        }
        Ok(pass)
    }

    /// Deletes one segment because somebody asked for it.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, `Conflict` when it is protected or grows, `Storage` when its file cannot
    /// be deleted, `Unavailable` when it lies below a second root that does not answer.
    pub fn delete(&self, id: SegmentId) -> Result<Deleted> {
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
        let turn = self.tree.turn(row.tier)?;
        let deletion = deletion(row, DeletionReason::Requested);
        let mut pass = Pass::default();
        self.delete_batch(&turn, std::slice::from_ref(&deletion), &mut pass, &mut |_| {})?;
        match (pass.deleted.pop(), pass.failed.pop()) {
            (Some(deleted), _) => Ok(deleted),
            (None, Some(why)) => Err(Error::new(ErrorKind::Storage, why)),
            // Protected, moved, or deleted by somebody else, in between.
            (None, None) => match self.store.segment(id)? {
                Some(now) if now.protected => {
                    refuse("was protected just now", "take the protection away first")
                }
                Some(_) => refuse("is being moved", "try again in a moment"),
                None => Err(gone()),
            },
        }
    }

    /// Deletes some segments below the root whose turn it is. False when nothing can be deleted now: the rest will fare no
    /// better.
    fn delete_batch(
        &self,
        turn: &Turn<'_>,
        batch: &[Deletion],
        pass: &mut Pass,
        at: &mut dyn FnMut(Step),
    ) -> Result<bool> {
        // Not there, not ours, or not mounted: nothing of the index goes either.
        self.tree.root().attach()?;
        // Before anything is noted: what was refused must not be deleted when the root is back.
        let root = self.tree.root_of(turn.tier())?;
        let wanted = batch.iter().map(|d| (d.segment.id, d.reason)).collect();
        let taken = match self.store.condemn_blocking(wanted, turn.tier()) {
            Ok(taken) => {
                at(Step::Noted);
                // A power cut must not lose the note and keep what comes after it.
                if let Err(e) = self.store.make_durable() {
                    tracing::warn!(error = %e, "the notes of deletions are not on the disk yet");
                }
                at(Step::NoteDurable);
                taken
            }
            Err(e) if e.kind() == ErrorKind::Storage => {
                tracing::warn!(error = %e, "the index takes no notes; some of the oldest files are deleted without");
                self.unnoted(turn, batch)?
            }
            Err(e) => return Err(e),
        };
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        for deletion in batch.iter().filter(|d| taken.contains(&d.segment.id)) {
            match files::delete(root, &deletion.segment.path) {
                Ok(_) => {
                    at(Step::FileGone);
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
        at(Step::RowsGone);
        Ok(works)
    }

    /// The first few that may go, by what the index says now.
    fn unnoted(&self, turn: &Turn<'_>, batch: &[Deletion]) -> Result<Vec<SegmentId>> {
        let (mut ids, mut bytes) = (Vec::new(), 0u64);
        // What is elsewhere as well goes when the index can look whether it still is.
        for deletion in batch.iter().filter(|d| d.reason != DeletionReason::Uploaded) {
            let row = self.store.segment(deletion.segment.id)?;
            if row.is_some_and(|r| !r.protected && r.state != SegmentState::Open && r.tier == turn.tier()) {
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

/// Deletes what was noted as being deleted and still is there, below one root. What lies below a second root that is away
/// stays noted: its file may be gone already.
pub(crate) fn finish_cut_off(store: &Store, tree: &Tree, tier: Tier) -> Result<u64> {
    let mut condemned = store.condemned()?;
    condemned.retain(|row| row.tier == tier);
    if condemned.is_empty() || (tier == Tier::Second && tree.second_usage().is_none()) {
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
                tracing::warn!(camera = %row.camera, path = %row.path.display(), error = %e, "a segment that was to be deleted is still there");
                kept.push(row.id);
            }
        }
    }
    let n = store.segments_deleted_blocking(gone)?;
    store.pardon_blocking(kept)?;
    Ok(n)
}
