//! The kind of job `move`: a segment is copied as quickly as it may, compared, and exchanged.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use arc_swap::ArcSwapOption;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::exchange::{self, Step};
use super::policy::{Rules, choose};
use crate::clock::SharedClock;
use crate::config::TierConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::files::Tree;
use crate::files::replace::{self, Draft};
use crate::ids::SegmentId;
use crate::jobs::{
    JobContext, JobError, JobFuture, JobKind, JobOutcome, KindLimits, NewJob, Origin, params_of,
};
use crate::nvr::blocking;
use crate::retention::{Policy, TierRules};
use crate::segment::Tier;
use crate::store::{SegmentRow, SegmentState, Store};
use crate::time::Timestamp;
use crate::upload::TokenBucket;

/// Name of the kind.
pub const KIND: &str = "move";
/// Jobs that wait at most: more would only grow old in the queue.
const AHEAD: u64 = 32;
/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;
/// Jobs of this priority are for want of room.
const URGENT: i32 = 100;

#[derive(serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
struct Params {
    segment: i64,
    /// For want of room, so windows do not count.
    urgent: bool,
    /// When the segment was recorded, for whoever looks at the job.
    #[serde(default)]
    from: Option<Timestamp>,
    #[serde(default)]
    to: Option<Timestamp>,
}

/// Moving segments to the second root.
#[derive(Clone, Debug)]
pub struct Moving(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    tree: Tree,
    clock: SharedClock,
    config: ArcSwapOption<TierConfig>,
    bucket: Mutex<TokenBucket>,
    /// There is another bucket.
    changed: Notify,
    /// Held while files are exchanged, and while what a crash left of that is settled.
    exchanging: Mutex<()>,
}

/// What a copy brought.
struct Copied {
    draft: Draft,
    hash: [u8; 32],
}

impl Moving {
    /// Of a recorder's footage.
    #[must_use]
    pub fn new(store: Store, tree: Tree, clock: SharedClock, config: Option<TierConfig>) -> Self {
        let rate = config.as_ref().map_or(0, |c| c.bandwidth_bytes_per_s);
        Self(Arc::new(Inner {
            store,
            tree,
            clock,
            config: ArcSwapOption::from_pointee(config),
            bucket: Mutex::new(TokenBucket::new(rate)),
            changed: Notify::new(),
            exchanging: Mutex::default(),
        }))
    }

    /// Another configuration; the root itself stays until the next start.
    pub fn configure(&self, config: Option<TierConfig>) {
        let rate = config.as_ref().map_or(0, |c| c.bandwidth_bytes_per_s);
        let mut bucket = self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if bucket.bytes_per_s() != rate {
            *bucket = TokenBucket::new(rate);
            // Who waits for its turn by the old rate may wait for hours.
            self.0.changed.notify_waiters();
        }
        drop(bucket);
        self.0.config.store(config.map(Arc::new));
    }

    /// The jobs that are due, when `waiting` wait already.
    ///
    /// # Errors
    /// `Storage` when the recordings root is not there or the index cannot be read.
    pub async fn due(&self, policy: Arc<Policy>, waiting: u64) -> Result<Vec<NewJob>> {
        let Some(config) = self.0.config.load_full() else {
            return Ok(Vec::new());
        };
        let inner = Arc::clone(&self.0);
        blocking(move || inner.due(&config, &policy, waiting)).await
    }

    /// Finishes moves that were cut off by a crash while the second root was away, or by a fault. Does nothing while files
    /// are exchanged. Blocks, as long as that disk does.
    ///
    /// # Errors
    /// `Storage` when the recordings root is not there or the index cannot be written.
    pub fn settle(&self) -> Result<u64> {
        let _one = match self.0.exchanging.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(0),
        };
        exchange::settle(&self.0.store, &self.0.tree)
    }

    async fn work(&self, ctx: &JobContext, params: Params) -> Result<JobOutcome, JobError> {
        let skipped = |reason: &str| Ok(JobOutcome::new(json!({ "skipped": reason }), reason));
        let id = SegmentId(params.segment);
        let now = self.0.clock.now();
        // Not the queue's affair: it would hold a segment back that has to move for want of room.
        if !params.urgent
            && self
                .0
                .config
                .load()
                .as_ref()
                .is_some_and(|c| !c.window.contains(now))
        {
            return skipped("the window is closed");
        }
        let inner = Arc::clone(&self.0);
        let row = match blocking(move || inner.find(id)).await? {
            Ok(row) => row,
            Err(reason) => return skipped(reason),
        };
        let copied = self.copy(ctx, &row).await?;
        ctx.progress(0.95, "reading back");
        let (inner, wanted, size) = (Arc::clone(&self.0), copied.hash, row.size_bytes);
        let mut draft = copied.draft;
        let (draft, same) = blocking(move || {
            let same = exchange::is_on_disk(&mut draft.file, size, &wanted)?;
            Ok((draft, same))
        })
        .await?;
        if !same {
            let what = "what lies on the second root's disk is not what was written there";
            return Err(JobError::passing(Error::new(ErrorKind::Storage, what)));
        }
        ctx.commit()?;
        let (hash, moved) = (copied.hash, row.clone());
        let done = blocking(move || {
            let _one = inner.exchanging.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.store.is_in_use_but_for_move(id)? {
                return Ok(false);
            }
            exchange::exchange(&inner.store, &inner.tree, &moved, draft, hash, &mut |_: Step| {})
        })
        .await?;
        if !done {
            return skipped("the segment changed, or was deleted, meanwhile");
        }
        Ok(JobOutcome::new(
            json!({ "segment": id.0, "size_bytes": row.size_bytes }),
            format!("{}: moved", row.path.display()),
        ))
    }

    /// Copies the file to a draft below the second root and compares what was read with what was recorded.
    async fn copy(&self, ctx: &JobContext, row: &SegmentRow) -> Result<Copied, JobError> {
        let (inner, path) = (Arc::clone(&self.0), row.path.clone());
        let (mut from, mut draft) = blocking(move || {
            let second = inner.tree.root_of(Tier::Second)?;
            let from = inner.tree.open_file(Tier::First, &path)?;
            Ok((from, replace::draft(second, &path)?))
        })
        .await?;
        let (mut hasher, mut done) = (blake3::Hasher::new(), 0u64);
        loop {
            ctx.go_on()?;
            let (file, target, bytes) = blocking(move || {
                let mut piece = vec![0; PIECE];
                let n = from
                    .read(&mut piece)
                    .map_err(|e| crate::fault::storage("read the segment", e))?;
                piece.truncate(n);
                draft
                    .file
                    .write_all(&piece)
                    .map_err(|e| crate::fault::storage("write to the second root", e))?;
                Ok((from, draft, piece))
            })
            .await?;
            (from, draft) = (file, target);
            if bytes.is_empty() {
                break;
            }
            done += bytes.len() as u64;
            hasher.update(&bytes);
            ctx.progress(
                0.9 * done as f64 / row.size_bytes.max(1) as f64,
                "copying to the second root",
            );
            let changed = self.0.changed.notified();
            let wait = {
                let mut bucket = self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner);
                bucket.take(bytes.len() as u64, self.0.clock.steady_ns())
            };
            tokio::select! {
                () = ctx.stop() => return Err(JobError::stopped()),
                () = changed => {}
                () = self.0.clock.sleep(wait) => {}
            }
        }
        let hash = *hasher.finalize().as_bytes();
        if done != row.size_bytes || row.hash.is_some_and(|known| known != hash) {
            return Err(JobError::lasting(exchange::damaged(row)));
        }
        Ok(Copied { draft, hash })
    }
}

impl Inner {
    fn due(&self, config: &TierConfig, policy: &Policy, waiting: u64) -> Result<Vec<NewJob>> {
        let Some(second) = self.tree.second_usage() else {
            return Ok(Vec::new());
        };
        let limits = TierRules {
            max_bytes: config.max_bytes,
            min_free: config.min_free,
        };
        if waiting >= AHEAD || !limits.has_room(second.into()) {
            return Ok(Vec::new());
        }
        let disk = self.tree.usage()?;
        let missing = policy
            .min_free_bytes(disk.total_bytes)
            .saturating_sub(disk.available_bytes);
        let too_much = match config.above_bytes {
            None => 0,
            Some(most) => {
                let all: u64 = self.store.totals()?.iter().map(|t| t.size_bytes).sum();
                let there: u64 = self.store.tier_totals()?.iter().map(|t| t.size_bytes).sum();
                all.saturating_sub(there).saturating_sub(most)
            }
        };
        let now = self.clock.now();
        let rules = Rules {
            after: config.after.filter(|_| config.window.contains(now)),
            over_bytes: missing.max(too_much),
        };
        // Those that wait already are among the oldest.
        let most = usize::try_from(2 * AHEAD).unwrap_or(0);
        let rows = self.store.movable(u32::try_from(most).unwrap_or(1))?;
        Ok(choose(&rows, rules, now, most)
            .into_iter()
            .map(|(row, urgent)| {
                let (from, to) = (row.start, row.end());
                let params = json!({ "segment": row.id.0, "urgent": urgent, "from": from, "to": to });
                let job = NewJob::new(KIND, params)
                    .camera(row.camera.clone())
                    .dedupe(format!("{KIND}:{}", row.id))
                    .input_bytes(row.size_bytes);
                if urgent { job.priority(URGENT) } else { job }
            })
            .collect())
    }

    /// The segment, if it is one that may move now.
    fn find(&self, id: SegmentId) -> Result<Result<SegmentRow, &'static str>> {
        let Some(row) = self.store.segment(id)? else {
            return Ok(Err("the segment is gone"));
        };
        if row.tier == Tier::Second {
            return Ok(Err("the segment is there already"));
        }
        if !SegmentState::PLAYABLE.contains(&row.state) {
            return Ok(Err("the segment is not complete"));
        }
        if self.store.is_in_use_but_for_move(id)? {
            return Ok(Err("the segment is being encoded again or deleted"));
        }
        let config = self.config.load_full();
        let Some(second) = self.tree.second_usage() else {
            let what = "the second root is not reachable";
            return Err(Error::new(ErrorKind::Unavailable, what));
        };
        let limits = TierRules {
            max_bytes: None,
            min_free: config.map_or(crate::config::Room::NONE, |c| c.min_free),
        };
        if !limits.has_room(second.into()) || second.available_bytes <= row.size_bytes {
            let what = "the second root has no room";
            return Err(Error::new(ErrorKind::Storage, what));
        }
        Ok(Ok(row))
    }
}

impl JobKind for Moving {
    fn name(&self) -> &'static str {
        KIND
    }

    fn limits(&self) -> KindLimits {
        let mut limits = KindLimits::new(1);
        // It copies, and where room is wanted nothing else makes some.
        limits.minds_load = false;
        // A disk that fails now may work tomorrow.
        limits.most_attempts = None;
        limits.enabled = self.0.tree.second_usage().is_some();
        limits
    }

    fn check(&self, params: &Value, _origin: Origin) -> Result<()> {
        params_of::<Params>(KIND, params).map(drop)
    }

    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_> {
        Box::pin(async move {
            let params: Params = params_of(KIND, &params)?;
            self.work(&ctx, params).await
        })
    }
}
