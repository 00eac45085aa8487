//! Kind `fill`: fetches from a camera's card what is missing in a range.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::choose::choose;
use super::plan;
use super::work::Fetch;
use super::write::Written;
use crate::clock::SharedClock;
use crate::config::{JobsConfig, OnvifConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::files::Tree;
use crate::ids::CameraId;
use crate::jobs::{
    JobContext, JobError, JobFuture, JobKind, JobOutcome, KindLimits, NewJob, Origin, params_of,
};
use crate::nvr::blocking;
use crate::onvif::{Access, CardRecording, Device};
use crate::store::{SegmentQuery, Store};
use crate::time::{NS_PER_S, TimeRange, Timestamp, duration_ns};

/// Name of the kind.
pub const KIND: &str = "fill";

/// Attempts while the camera does not answer.
const MOST_ATTEMPTS: u32 = 20;
/// Gaps of a camera that are looked at in one go.
const MOST_GAPS: u32 = 500;
/// The longest range of one job.
const MOST_NS: i64 = 31 * 86_400 * NS_PER_S;
/// How often a job looks whether its camera is still being worked on.
const BUSY_AGAIN: Duration = Duration::from_secs(1);
/// Footage that retention takes so soon is not fetched.
const SOON_GONE_NS: i64 = 10 * 60 * NS_PER_S;

/// What to fetch.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FillParams {
    /// Of which camera.
    pub camera: CameraId,
    /// What is missing in the range that begins here,
    pub from: Timestamp,
    /// and ends here.
    pub to: Timestamp,
    /// It follows an outage: what is missing is taken whole where the range is only as precise as the outage was noticed, and
    /// only while the camera's configuration wants it.
    #[serde(default)]
    pub outage: bool,
}

impl FillParams {
    /// What is missing in a range, whatever the reason.
    #[must_use]
    pub const fn by_hand(camera: CameraId, range: TimeRange) -> Self {
        Self {
            camera,
            from: range.start(),
            to: range.end(),
            outage: false,
        }
    }

    /// The job. Asked for twice it is done once.
    ///
    /// # Errors
    /// `InvalidArgument` when the range ends before it begins, or is longer than 31 days.
    pub fn job(&self) -> Result<NewJob> {
        let range = self.range()?;
        let params = serde_json::to_value(self)
            .map_err(|e| Error::new(ErrorKind::InvalidArgument, format!("fill: {e}")))?;
        let key = format!("{KIND}:{}:{}:{}", self.camera, range.start(), range.end());
        let job = NewJob::new(KIND, params).camera(self.camera.clone()).dedupe(key);
        Ok(if self.outage {
            job
        } else {
            job.anytime().priority(1)
        })
    }

    fn range(&self) -> Result<TimeRange> {
        let range = TimeRange::new(self.from, self.to)?;
        if range.is_empty() || range.len_ns() > MOST_NS {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the range is empty, or longer than 31 days",
            )
            .with_hint("fetch it in parts"));
        }
        Ok(range)
    }
}

/// What the configuration says of a camera whose gaps are filled.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Where it is asked, and what is fetched.
    pub onvif: OnvifConfig,
    /// Length of its segments.
    pub segment: Duration,
    /// How long its footage is kept; `None`: as long as there is room.
    pub max_age: Option<Duration>,
    /// Sound is recorded where there is any.
    pub audio: bool,
    /// The camera is switched on.
    pub enabled: bool,
}

/// What the configuration says of a camera; `None` when there is none, or it is not asked by ONVIF.
pub(crate) type CameraLookup = Arc<dyn Fn(&CameraId) -> Option<Wanted> + Send + Sync>;

/// Filling gaps: the kind of job, and what is due.
#[derive(Clone)]
pub struct Filling(Arc<Inner>);

struct Inner {
    store: Store,
    tree: Tree,
    clock: SharedClock,
    jobs: Arc<ArcSwap<JobsConfig>>,
    lookup: CameraLookup,
    /// Cameras that do not offer it, as they were asked.
    lacks: Mutex<HashMap<CameraId, OnvifConfig>>,
    at_work: Mutex<HashSet<CameraId>>,
}

impl fmt::Debug for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filling").finish_non_exhaustive()
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One job at a time fetches footage of a camera.
struct AtWork(Arc<Inner>, CameraId);

impl AtWork {
    fn begin(inner: &Arc<Inner>, camera: &CameraId) -> Option<Self> {
        let begun = lock(&inner.at_work).insert(camera.clone());
        begun.then(|| Self(Arc::clone(inner), camera.clone()))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        lock(&self.0.at_work).remove(&self.1);
    }
}

impl Filling {
    pub(crate) fn new(
        store: Store,
        tree: Tree,
        clock: SharedClock,
        jobs: Arc<ArcSwap<JobsConfig>>,
        lookup: CameraLookup,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            tree,
            clock,
            jobs,
            lookup,
            lacks: Mutex::default(),
            at_work: Mutex::default(),
        }))
    }

    /// What is due of a camera: the range of each outage that was not asked for yet, with its job.
    ///
    /// # Errors
    /// An error of the index.
    pub(crate) async fn due(&self, camera: &CameraId) -> Result<Vec<(TimeRange, NewJob)>> {
        let Some(wanted) = (self.0.lookup)(camera).filter(|w| w.enabled && w.onvif.fill.enabled) else {
            return Ok(Vec::new());
        };
        if lock(&self.0.lacks).get(camera) == Some(&wanted.onvif) {
            return Ok(Vec::new());
        }
        let now = self.0.clock.now();
        let oldest = now.add_ns(-duration_ns(wanted.onvif.fill.oldest));
        let (inner, id) = (Arc::clone(&self.0), camera.clone());
        let (gaps, open) = blocking(move || {
            let mut since = oldest.max(kept_since(wanted.max_age, now));
            // What is older than all that is there would be the first to go.
            let totals = inner.store.totals()?;
            let first = totals.iter().find(|t| t.camera == id).and_then(|t| t.oldest);
            since = since.max(first.unwrap_or(Timestamp::MAX));
            let present = inner.store.gaps(&id, TimeRange::new(now, now.add_ns(1))?)?;
            let open = present
                .iter()
                .find(|g| g.end.is_none() && plan::may_be_on_card(g.cause.kind));
            let open = open.map(|g| g.start);
            Ok((inner.store.gaps_to_fill(&id, since, MOST_GAPS)?, open))
        })
        .await?;
        let after = wanted.onvif.fill.after;
        plan::stretches(&gaps, open)
            .into_iter()
            .map(|range| {
                let params = FillParams {
                    outage: true,
                    ..FillParams::by_hand(camera.clone(), range)
                };
                let begins = range.end().add_ns(duration_ns(after));
                Ok((range, params.job()?.not_before(begins)))
            })
            .collect()
    }

    async fn work(&self, ctx: JobContext, params: FillParams) -> Result<JobOutcome, JobError> {
        let range = params.range()?;
        let wanted = (self.0.lookup)(&params.camera).ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                format!("there is no camera {} that is asked by ONVIF", params.camera),
            )
            .with_hint("say where it is asked in its configuration: onvif = \"auto\"")
        })?;
        if params.outage && !wanted.onvif.fill.enabled {
            let reason = "filling gaps is switched off for this camera";
            return Ok(JobOutcome::new(json!({ "skipped": reason }), reason));
        }
        let _at_work = self.turn(&ctx, &params.camera).await?;
        let holes = self.holes(&params, range, wanted.max_age).await?;
        if holes.is_empty() {
            return Ok(JobOutcome::new(
                json!(Filled::default()),
                "nothing is missing that is kept",
            ));
        }
        let asked = self.ask(&params.camera, &wanted.onvif, &holes).await;
        let (device, recordings) = match asked {
            Ok(asked) => asked,
            // What is wrong with user and password is so the next time, and might lock somebody out.
            Err(e) if e.kind() == ErrorKind::Unauthorized => return Err(JobError::lasting(e)),
            Err(e) => return Err(e.into()),
        };
        if recordings.is_empty() {
            let filled = Filled {
                missing_seconds: seconds(&holes),
                ..Filled::default()
            };
            return Ok(JobOutcome::new(
                json!(filled),
                "the camera's card has nothing of it",
            ));
        }
        let mut written = Written::default();
        let mut left = holes;
        for recording in &recordings {
            let fetch = Fetch {
                ctx: &ctx,
                store: &self.0.store,
                tree: &self.0.tree,
                clock: &self.0.clock,
                camera: &params.camera,
                wanted: &wanted,
                device: &device,
                recording,
            };
            let more = fetch.all(&left).await.map_err(|e| match e.error.kind() {
                ErrorKind::Unauthorized => JobError::lasting(e.error),
                _ => e,
            })?;
            written.add(more);
            left = self.holes(&params, range, wanted.max_age).await?;
            if left.is_empty() {
                break;
            }
        }
        Ok(outcome(written, &left))
    }

    /// Waits until no other job fetches footage of the camera.
    async fn turn(&self, ctx: &JobContext, camera: &CameraId) -> Result<AtWork, JobError> {
        loop {
            if let Some(begun) = AtWork::begin(&self.0, camera) {
                return Ok(begun);
            }
            ctx.progress(0.0, "waits for another job of the camera");
            tokio::select! {
                () = self.0.clock.sleep(BUSY_AGAIN) => {}
                () = ctx.stop() => return Err(JobError::stopped()),
            }
        }
    }

    /// What is missing now, after what is there is taken out of the gaps that a crash left.
    async fn holes(
        &self,
        params: &FillParams,
        range: TimeRange,
        max_age: Option<Duration>,
    ) -> Result<Vec<TimeRange>> {
        let (inner, camera, reach) = (Arc::clone(&self.0), params.camera.clone(), params.outage);
        blocking(move || {
            let now = inner.clock.now();
            let around = plan::wider(range);
            let mut query = SegmentQuery::new([camera.clone()], around);
            let mut rows = Vec::new();
            loop {
                let page = inner.store.segments(&query)?;
                rows.extend(page.items);
                query.cursor = page.next;
                if query.cursor.is_none() {
                    break;
                }
            }
            for row in rows.iter().filter(|r| r.from_card && r.duration_ns > 0) {
                inner.store.cut_gaps_blocking(&camera, row.range())?;
            }
            let gaps = inner.store.gaps(&camera, around)?;
            let kept = kept_since(max_age, now);
            Ok(plan::holes(range, reach, &rows, &gaps, now)
                .into_iter()
                .filter_map(|hole| TimeRange::new(hole.start().max(kept), hole.end()).ok())
                .filter(|hole| !hole.is_empty())
                .collect())
        })
        .await
    }

    /// Reaches the camera and finds the recordings that are meant.
    async fn ask(
        &self,
        camera: &CameraId,
        config: &OnvifConfig,
        holes: &[TimeRange],
    ) -> Result<(Arc<Device>, Vec<CardRecording>)> {
        let access = Access {
            address: config.address.clone(),
            credentials: config.credentials.clone(),
        };
        let device = Device::connect(&self.0.clock, access).await?;
        let found = device.recordings().await.inspect_err(|e| {
            if e.kind() == ErrorKind::Unsupported {
                let before = lock(&self.0.lacks).insert(camera.clone(), config.clone());
                if before.as_ref() != Some(config) {
                    tracing::warn!(%camera, error = %e, "gaps of this camera cannot be filled from its card");
                }
            }
        })?;
        let ahead_ns = device.clock_offset_ns().unwrap_or(0);
        let chosen = choose(found, config.fill.recording.as_deref(), holes, ahead_ns)?;
        Ok((device, chosen))
    }
}

/// Since when footage stays for a while if it is written now.
fn kept_since(max_age: Option<Duration>, now: Timestamp) -> Timestamp {
    max_age.map_or(Timestamp::MIN, |age| {
        now.add_ns(SOON_GONE_NS.min(duration_ns(age) / 10) - duration_ns(age))
    })
}

/// What a job brought.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize)]
struct Filled {
    segments: u64,
    size_bytes: u64,
    filled_seconds: f64,
    missing_seconds: f64,
}

fn seconds(holes: &[TimeRange]) -> f64 {
    let ns: i64 = holes.iter().fold(0, |sum, h| sum.saturating_add(h.len_ns()));
    (ns as f64 / 1e7).round() / 100.0
}

fn outcome(written: Written, left: &[TimeRange]) -> JobOutcome {
    let filled = Filled {
        segments: written.segments,
        size_bytes: written.bytes,
        filled_seconds: (written.duration_ns as f64 / 1e7).round() / 100.0,
        missing_seconds: seconds(left),
    };
    let message = match (filled.segments, filled.missing_seconds > 0.0) {
        (0, _) => "the camera's card has nothing of it".to_owned(),
        (_, false) => format!(
            "{:.1} s fetched, nothing is missing any more",
            filled.filled_seconds
        ),
        (_, true) => format!(
            "{:.1} s fetched, {:.1} s are not on the camera's card",
            filled.filled_seconds, filled.missing_seconds
        ),
    };
    JobOutcome::new(json!(filled), message)
}

impl JobKind for Filling {
    fn name(&self) -> &'static str {
        KIND
    }

    fn limits(&self) -> KindLimits {
        let mut limits = KindLimits::new(self.0.jobs.load().max_fills);
        limits.minds_load = false;
        limits.most_attempts = NonZeroU32::new(MOST_ATTEMPTS);
        limits
    }

    fn check(&self, params: &Value, _origin: Origin) -> Result<()> {
        params_of::<FillParams>(KIND, params)?.job().map(drop)
    }

    fn complete(&self, mut new: NewJob) -> Result<NewJob> {
        let made = params_of::<FillParams>(KIND, &new.params)?.job()?;
        new.camera = new.camera.or(made.camera);
        new.dedupe = new.dedupe.or(made.dedupe);
        Ok(new)
    }

    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_> {
        Box::pin(async move {
            let params = params_of(KIND, &params)?;
            self.work(ctx, params).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + s)
    }

    #[test]
    fn parameters_are_checked() {
        let of = |from, to| {
            FillParams::by_hand(
                CameraId::new("cam").unwrap(),
                TimeRange::new(at(from), at(to)).unwrap(),
            )
        };
        assert!(of(0, 0).job().is_err());
        assert!(of(0, 40 * 86_400).job().is_err());
        let job = of(0, 60).job().unwrap();
        assert!(job.anytime && job.dedupe.is_some());
        assert!(params_of::<FillParams>(KIND, &json!({"camera": "cam"})).is_err());
    }
}
