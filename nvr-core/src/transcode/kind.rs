//! The kind of job `transcode`, the planner that enters jobs, and switching it on and off.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::policy::{Facts, MasksOf, Rules, choose};
use super::settle::settle;
use super::work::{Control, Outcome, Worker};
use crate::config::TranscodeConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::files::Tree;
use crate::ids::{CameraId, SegmentId};
use crate::jobs::{
    JobContext, JobError, JobFuture, JobKind, JobOutcome, KindLimits, NewJob, Origin, params_of,
};
use crate::nvr::blocking;
use crate::privacy::{Privacy, PrivacyBook};
use crate::segment::Tier;
use crate::store::{MasksWanted, SegmentRow, Store, TranscodeQuery, TranscodeTotals};
use crate::time::{TimeRange, Timestamp};

/// Name of the kind.
pub const KIND: &str = "transcode";
/// Jobs that the planner lets wait: more would only grow old in the queue.
const AHEAD: u64 = 20;
/// Segments that one request on demand enters at most.
const MOST_ON_DEMAND: u32 = 20_000;
/// Before it is tried again when no encoder works.
const NO_ENCODER: Duration = Duration::from_hours(1);
/// How often is looked whether the disk still answers.
const LOOK: Duration = Duration::from_secs(1);
/// Before a segment is tried again whose disk did not answer.
const DISK_AGAIN: Duration = Duration::from_secs(30);

#[derive(serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
struct Params {
    segment: i64,
    /// Somebody asked for it: age, size, camera and earlier tries do not count.
    #[serde(default)]
    on_demand: bool,
    /// No unmasked segment of its camera is to stay: what `[transcode]` says of which footage does not count.
    #[serde(default)]
    privacy: bool,
    /// When the segment was recorded, for whoever looks at the job.
    #[serde(default)]
    from: Option<Timestamp>,
    #[serde(default)]
    to: Option<Timestamp>,
}

/// Why a job is entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Because {
    Config,
    Demand,
    Privacy,
}

/// Encoding footage again: the kind of job, and what is asked of it.
#[derive(Clone)]
pub struct Transcoding(Arc<Inner>);

struct Inner {
    worker: Worker,
    store: Store,
    tree: Tree,
    clock: crate::clock::SharedClock,
    config: ArcSwap<TranscodeConfig>,
    enabled: AtomicBool,
    /// Segments that a thread is at work on, be it one that was left to its disk.
    at_work: Mutex<HashSet<SegmentId>>,
}

/// Takes a segment out of those that are worked on.
struct AtWork(Transcoding, SegmentId);

impl AtWork {
    /// `None` when somebody is at work on it.
    fn begin(transcoding: &Transcoding, id: SegmentId) -> Option<Self> {
        let begun = transcoding.at_work().insert(id);
        begun.then(|| Self(transcoding.clone(), id))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.at_work().remove(&self.1);
    }
}

impl fmt::Debug for Transcoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcoding")
            .field("enabled", &self.is_enabled())
            .finish_non_exhaustive()
    }
}

/// How it stands.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct TranscodingStatus {
    /// Whether footage is encoded again by itself.
    pub enabled: bool,
    /// Sums by camera.
    pub cameras: Vec<TranscodeTotals>,
}

impl Transcoding {
    /// Of a recorder's footage.
    #[must_use]
    pub fn new(
        worker: Worker,
        store: Store,
        tree: Tree,
        clock: crate::clock::SharedClock,
        config: TranscodeConfig,
    ) -> Self {
        Self(Arc::new(Inner {
            worker,
            store,
            tree,
            clock,
            enabled: AtomicBool::new(config.enabled),
            config: ArcSwap::from_pointee(config),
            at_work: Mutex::default(),
        }))
    }

    fn at_work(&self) -> std::sync::MutexGuard<'_, HashSet<SegmentId>> {
        self.0.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another configuration; whether it is on follows it only where that changed.
    pub fn configure(&self, config: TranscodeConfig) {
        if self.0.config.load().enabled != config.enabled {
            self.set_enabled(config.enabled);
        }
        self.0.config.store(Arc::new(config));
    }

    /// Switches it on or off until the recorder ends.
    pub fn set_enabled(&self, enabled: bool) {
        self.0.enabled.store(enabled, Ordering::SeqCst);
    }

    /// Whether footage is encoded again by itself.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.0.enabled.load(Ordering::SeqCst)
    }

    fn masks_by_itself(&self, camera: &CameraId) -> bool {
        self.0.worker.privacy().transcodes(camera)
    }

    /// How it stands, with sums by camera.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn status(&self) -> Result<TranscodingStatus> {
        let (store, enabled) = (self.0.store.clone(), self.is_enabled());
        blocking(move || {
            Ok(TranscodingStatus {
                enabled,
                cameras: store.transcode_totals()?,
            })
        })
        .await
    }

    /// The jobs that encode a camera's footage of a range again, for somebody who waits for it: whatever its age and
    /// size, and also what was tried before. Whole segments inside the range.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn on_demand(&self, camera: CameraId, range: TimeRange) -> Result<Vec<NewJob>> {
        let store = self.0.store.clone();
        let privacy = self.0.worker.privacy().of(&camera);
        blocking(move || on_demand(&store, camera, range, privacy.as_deref())).await
    }

    /// The jobs that are due by themselves, when `waiting` wait already.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn due(&self, waiting: u64) -> Result<Vec<NewJob>> {
        let privacy = self.0.worker.privacy().clone();
        let enabled = self.is_enabled();
        if !(enabled || privacy.transcodes_any()) || waiting >= AHEAD {
            return Ok(Vec::new());
        }
        let room = AHEAD - waiting;
        let (store, now) = (self.0.store.clone(), self.0.clock.now());
        let config = self.0.config.load_full();
        blocking(move || due(&store, enabled.then_some(&*config), &privacy, now, room as usize)).await
    }

    /// Removes kept originals whose time is over. What an exchange left is settled at the start and by the next
    /// attempt.
    ///
    /// # Errors
    /// `Storage` when the folder cannot be read.
    pub async fn tidy(&self) -> Result<()> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let keep = inner.config.load().keep_original;
            settle(&inner.store, &inner.tree, &inner.clock, keep, false).map(drop)
        })
        .await
    }

    async fn work(&self, ctx: JobContext, params: Params) -> Result<JobOutcome, JobError> {
        let id = SegmentId(params.segment);
        let config = self.0.config.load_full();
        let store = self.0.store.clone();
        let row = blocking(move || store.segment(id)).await?;
        let for_privacy = params.privacy && row.as_ref().is_some_and(|row| self.masks_by_itself(&row.camera));
        if !params.on_demand && !for_privacy && !self.is_enabled() {
            let reason = "transcoding is switched off";
            return Ok(JobOutcome::new(json!({ "skipped": reason }), reason));
        }
        let rules = if params.on_demand {
            Rules::on_demand()
        } else if for_privacy {
            Rules::privacy()
        } else {
            Rules::of(&config)
        };
        let tier = row.as_ref().map_or(Tier::First, |row| row.tier);
        let lost = || {
            let words = format!("the disk of segment {id} does not answer");
            JobError::passing(Error::new(ErrorKind::Unavailable, words)).after(DISK_AGAIN)
        };
        if self.0.tree.is_lost(tier) {
            return Err(lost());
        }
        let Some(at_work) = AtWork::begin(self, id) else {
            return Err(lost());
        };
        let worker = self.0.worker.clone();
        let left = Arc::new(AtomicBool::new(false));
        let mut control = Job {
            ctx: ctx.clone(),
            transcoding: self.clone(),
            on_demand: params.on_demand,
            private: row.filter(|_| for_privacy).map(|row| row.camera),
            left: Arc::clone(&left),
        };
        let (tell, mut told) = tokio::sync::oneshot::channel();
        // A thread of its own, for it is lowered and never raised again.
        std::thread::Builder::new()
            .name("nvr-transcode".into())
            .spawn(move || {
                let _at_work = at_work;
                let _ = tell.send(worker.run(id, &config, &rules, &mut control));
            })
            .map_err(|e| JobError::passing(Error::new(ErrorKind::Internal, "no thread").with_source(e)))?;
        let answer = loop {
            tokio::select! {
                answer = &mut told => break answer,
                () = self.0.clock.sleep(LOOK) => {}
            }
            // The thread is left to its disk: what it makes once that answers is thrown away, unless it was exchanging the
            // files, which it then completes.
            if self.0.tree.is_lost(tier) {
                left.store(true, Ordering::SeqCst);
                return Err(lost());
            }
        };
        let outcome =
            answer.map_err(|_| JobError::passing(Error::new(ErrorKind::Internal, "the work panicked")))?;
        match outcome {
            Ok(Outcome::Done(report)) => {
                let (before, after) = (report.before_bytes, report.after_bytes);
                let percent = 100.0 - after as f64 * 100.0 / before.max(1) as f64;
                let (percent, than) = match after > before {
                    true => (-percent, "larger"),
                    false => (percent, "smaller"),
                };
                let mut message = format!(
                    "{percent:.0} % {than} ({before} to {after} bytes), SSIM {:.4}, by {}",
                    report.comparison.ssim, report.encoder
                );
                if report.masks.is_some() {
                    message.push_str("; privacy masks are burnt in");
                }
                for f in &report.failed {
                    message.push_str(&format!("; {} failed: {}", f.encoder, f.reason));
                }
                Ok(JobOutcome::new(
                    serde_json::to_value(&*report).unwrap_or(Value::Null),
                    message,
                ))
            }
            Ok(Outcome::Kept { reason }) => Ok(JobOutcome::new(
                json!({ "kept": reason }),
                format!("the original stays: {reason}"),
            )),
            Ok(Outcome::Skipped { reason }) => Ok(JobOutcome::new(json!({ "skipped": reason }), reason)),
            Ok(Outcome::Stopped) if !ctx.stopped() => {
                let reason = "transcoding was switched off";
                Ok(JobOutcome::new(json!({ "skipped": reason }), reason))
            }
            Ok(Outcome::Stopped) => Err(JobError::stopped()),
            Err(e) if e.kind() == ErrorKind::Unavailable => Err(JobError::passing(e).after(NO_ENCODER)),
            Err(e) => Err(e.into()),
        }
    }
}

/// See [`Transcoding::on_demand`].
pub(crate) fn on_demand(
    store: &Store,
    camera: CameraId,
    range: TimeRange,
    privacy: Option<&Privacy>,
) -> Result<Vec<NewJob>> {
    let query = TranscodeQuery {
        masks: privacy.map_or(MasksWanted::No, |p| MasksWanted::These(p.text())),
        camera,
        range,
        min_bytes: 0,
        again: true,
        limit: MOST_ON_DEMAND,
    };
    let rows = store.transcodable(&query)?;
    Ok(rows
        .iter()
        .map(|row| job(row, Because::Demand).anytime().priority(1))
        .collect())
}

fn due(
    store: &Store,
    config: Option<&TranscodeConfig>,
    privacy: &PrivacyBook,
    now: Timestamp,
    room: usize,
) -> Result<Vec<NewJob>> {
    let mut jobs: Vec<NewJob> = Vec::new();
    // Some of what is found waits in the queue already.
    let limit = 2 * AHEAD as u32;
    let most = room + AHEAD as usize;
    let rules = config.map(Rules::of);
    let mut rows: Vec<SegmentRow> = Vec::new();
    for camera in store.cameras()? {
        if privacy.transcodes(&camera.id) {
            let found = store.transcodable(&TranscodeQuery {
                camera: camera.id.clone(),
                range: TimeRange::new(Timestamp::MIN, now)?,
                min_bytes: 0,
                again: false,
                masks: MasksWanted::Any,
                limit,
            })?;
            let masks = privacy.of(&camera.id);
            let facts: Vec<Facts> = found
                .iter()
                .map(|row| {
                    let masks = MasksOf::of(row.masks.as_deref(), masks.as_deref());
                    Facts::of(row, masks, false, false)
                })
                .collect();
            let chosen = choose(&facts, &Rules::privacy(), now, most);
            jobs.extend(
                found
                    .iter()
                    .filter(|row| chosen.contains(&row.id))
                    .map(|row| job(row, Because::Privacy)),
            );
            continue;
        }
        let (Some(config), Some(rules)) = (config, &rules) else {
            continue;
        };
        if !rules.cameras.is_empty() && !rules.cameras.contains(&camera.id) {
            continue;
        }
        rows.extend(store.transcodable(&TranscodeQuery {
            camera: camera.id,
            range: TimeRange::new(Timestamp::MIN, now - config.after)?,
            min_bytes: config.min_bytes,
            again: false,
            masks: MasksWanted::No,
            limit,
        })?);
    }
    jobs.truncate(most);
    let Some(rules) = rules else { return Ok(jobs) };
    // Which masks they lack is of no meaning to these rules.
    let facts: Vec<Facts> = rows
        .iter()
        .map(|row| Facts::of(row, MasksOf::Fitting, false, false))
        .collect();
    let chosen = choose(&facts, &rules, now, most);
    jobs.extend(
        chosen
            .iter()
            .filter_map(|id| rows.iter().find(|row| row.id == *id))
            .map(|row| job(row, Because::Config)),
    );
    Ok(jobs)
}

fn job(row: &SegmentRow, because: Because) -> NewJob {
    let (from, to) = (row.start, row.end());
    let mut params =
        json!({ "segment": row.id.0, "on_demand": because == Because::Demand, "from": from, "to": to });
    if because == Because::Privacy {
        params["privacy"] = Value::Bool(true);
    }
    NewJob::new(KIND, params)
        .camera(row.camera.clone())
        .dedupe(format!("{KIND}:{}", row.id))
        .input_bytes(row.size_bytes)
}

struct Job {
    ctx: JobContext,
    transcoding: Transcoding,
    on_demand: bool,
    /// The camera whose masks it is for.
    private: Option<CameraId>,
    /// Nobody waits for it any more.
    left: Arc<AtomicBool>,
}

impl Control for Job {
    fn progress(&mut self, share: f64, doing: &str) {
        if !self.left.load(Ordering::SeqCst) {
            self.ctx.progress(share, doing);
        }
    }

    fn stopped(&self) -> bool {
        self.left.load(Ordering::SeqCst)
            || self.ctx.stopped()
            || !(self.on_demand
                || self.transcoding.is_enabled()
                || self
                    .private
                    .as_ref()
                    .is_some_and(|camera| self.transcoding.masks_by_itself(camera)))
    }

    fn commit(&mut self) -> bool {
        !self.left.load(Ordering::SeqCst) && self.ctx.commit().is_ok()
    }
}

impl JobKind for Transcoding {
    fn name(&self) -> &'static str {
        KIND
    }

    fn limits(&self) -> KindLimits {
        let config = self.0.config.load();
        let mut limits = KindLimits::new(config.max_running);
        limits.windows = config.window.clone();
        limits
    }

    fn check(&self, params: &Value, _origin: Origin) -> Result<()> {
        params_of::<Params>(KIND, params).map(drop)
    }

    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_> {
        Box::pin(async move {
            let params = params_of(KIND, &params)?;
            self.work(ctx, params).await
        })
    }
}
