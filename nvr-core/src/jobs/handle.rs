//! The queue as its users see it: asking, entering, calling off, trying again.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio_util::sync::DropGuard;

use super::context::StopReason;
use super::engine::{Engine, Parts};
use super::figures::Durations;
use super::kind::Origin;
use super::schedule;
use crate::error::{Error, ErrorKind, Result};
use crate::event::JobState;
use crate::ids::JobId;
use crate::nvr::blocking;
use crate::store::{Added, DailyKey, JobBounds, JobCount, JobQuery, JobRow, NewJob, PRIORITIES, Page};
use crate::time::Timestamp;

/// How long calling off a running job waits for its end.
const CANCEL_WAIT: Duration = Duration::from_secs(1);
/// Longest key.
const MOST_KEY: usize = 500;

/// The queue of jobs and its engine. Cheap to clone.
///
/// When the last clone is dropped, what runs is interrupted and goes on when the recorder is started again.
#[derive(Clone, Debug)]
pub struct Jobs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    engine: Arc<Engine>,
    _stop: DropGuard,
}

/// A kind of job as it stands now.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct KindStatus {
    /// Name.
    pub kind: &'static str,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Jobs at once.
    pub most_running: usize,
    /// Jobs that run.
    pub running: usize,
    /// When its jobs start.
    pub windows: String,
    /// Whether such a window is open.
    pub open: bool,
    /// When the next one opens, or this one closes.
    pub changes: Option<Timestamp>,
    /// Whether it makes way now, because there is too much to do.
    pub yielding: bool,
}

impl Jobs {
    /// Takes up the queue where it was left and begins to work.
    pub(crate) async fn start(parts: Parts) -> Result<Self> {
        let engine = Arc::new(Engine::new(parts));
        engine.recover().await?;
        engine.tasks.spawn(Arc::clone(&engine).work());
        let stop = engine.stop.clone().drop_guard();
        Ok(Self(Arc::new(Shared { engine, _stop: stop })))
    }

    /// Enters a job.
    ///
    /// If one with the same [key](NewJob::dedupe) is queued or running, that one is handed back.
    ///
    /// # Errors
    /// `InvalidArgument` when the kind is not known or its parameters cannot be used, `Busy` when the queue is full,
    /// `Storage` when the index cannot be written.
    pub async fn enqueue(&self, new: NewJob) -> Result<Added> {
        self.enqueue_from(new, Origin::Local).await
    }

    /// Enters a job for somebody who may not everything.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_from(&self, new: NewJob, origin: Origin) -> Result<Added> {
        let engine = &self.0.engine;
        let kind = engine.kind(&new.kind).ok_or_else(|| {
            let names: Vec<&str> = engine.kinds.iter().map(|k| k.name()).collect();
            Error::new(
                ErrorKind::InvalidArgument,
                format!("there is no kind of job {:?}", new.kind),
            )
            .with_hint(format!("the kinds are {}", names.join(", ")))
        })?;
        kind.check(&new.params, origin)?;
        let new = kind.complete(new)?;
        check(&new)?;
        let bounds = JobBounds {
            most_live: engine.config.load().max_queued,
        };
        let added = engine.store.add_job(new, engine.clock.now(), bounds).await?;
        if added.is_new {
            engine.tell(&added.job).await;
            engine.wake.notify_one();
        }
        Ok(added)
    }

    /// Enters the time-lapse of a day, or notes that none is to be made; each day once. `None` when it was entered before, or
    /// none is to be made.
    pub(crate) async fn enter_daily(&self, key: DailyKey, new: Option<NewJob>) -> Result<Option<JobRow>> {
        let engine = &self.0.engine;
        let bounds = JobBounds {
            most_live: engine.config.load().max_queued,
        };
        let added = engine
            .store
            .enter_daily(key, new, engine.clock.now(), bounds)
            .await?;
        if let Some(added) = added.as_ref().filter(|a| a.is_new) {
            engine.tell(&added.job).await;
            engine.wake.notify_one();
        }
        Ok(added.map(|a| a.job))
    }

    /// Jobs, a page at a time, newest first unless asked otherwise.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn list(&self, query: JobQuery) -> Result<Page<JobRow>> {
        let store = self.0.engine.store.clone();
        let mut page = blocking(move || store.jobs(&query)).await?;
        for job in &mut page.items {
            self.bring_up_to_date(job);
        }
        Ok(page)
    }

    /// One job.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id.
    pub async fn get(&self, id: JobId) -> Result<JobRow> {
        let store = self.0.engine.store.clone();
        let mut job = blocking(move || store.job(id)).await?;
        self.bring_up_to_date(&mut job);
        Ok(job)
    }

    /// What runs is further than what is written.
    fn bring_up_to_date(&self, job: &mut JobRow) {
        if job.state == JobState::Running
            && let Some(live) = self.0.engine.live(job.id)
        {
            let progress = live.progress();
            job.progress = progress.fraction;
            job.message.clone_from(&progress.message);
        }
    }

    /// Calls off a job that waits or runs. One that runs is over within a second, unless it is at a point at which it
    /// must not be interrupted: then it is handed back as it is, and ends soon.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, `Conflict` when it is over.
    pub async fn cancel(&self, id: JobId) -> Result<JobRow> {
        let engine = &self.0.engine;
        let mut changes = engine.changes.subscribe();
        let now = engine.clock.now();
        if engine.live(id).is_none() {
            match engine.store.cancel_job(id, now, false).await {
                Ok(job) => {
                    engine.tell(&job).await;
                    return Ok(job);
                }
                // It may have been started just now.
                Err(e) if e.kind() == ErrorKind::Conflict && engine.live(id).is_some() => {}
                Err(e) => return Err(e),
            }
        }
        if let Some(live) = engine.live(id) {
            live.ask(StopReason::Cancelled);
            let over = async { while engine.live(id).is_some() && changes.changed().await.is_ok() {} };
            tokio::select! {
                () = over => {}
                () = engine.clock.sleep(CANCEL_WAIT) => {}
            }
        }
        self.get(id).await
    }

    /// Queues a job that failed or was called off once more, or lets one that waits for its next try have it now.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, `Conflict` when it is running, done, or wanted by another job already.
    pub async fn retry(&self, id: JobId) -> Result<JobRow> {
        let engine = &self.0.engine;
        let job = engine.store.retry_job(id, engine.clock.now()).await?;
        engine.tell(&job).await;
        engine.wake.notify_one();
        Ok(job)
    }

    /// Forgets finished jobs of some states that ended so long ago; returns how many.
    ///
    /// # Errors
    /// `InvalidArgument` for a state that is not over, `Storage` when the index cannot be written.
    pub async fn clean(&self, states: &[JobState], older_than: Duration) -> Result<u64> {
        let before = self.0.engine.clock.now() - older_than;
        self.0.engine.store.clean_jobs(states, before).await
    }

    /// Waits until a job is over.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id.
    pub async fn wait(&self, id: JobId) -> Result<JobRow> {
        let mut changes = self.0.engine.changes.subscribe();
        loop {
            let job = self.get(id).await?;
            if job.state.is_over() || changes.changed().await.is_err() {
                return Ok(job);
            }
        }
    }

    /// How many jobs there are, by kind and state.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn counts(&self) -> Result<Vec<JobCount>> {
        let store = self.0.engine.store.clone();
        blocking(move || store.job_counts()).await
    }

    /// The kinds that this recorder knows, by name.
    #[must_use]
    pub fn kinds(&self) -> Vec<KindStatus> {
        let engine = &self.0.engine;
        let now = engine.clock.now();
        let load = engine.gate();
        engine
            .kinds
            .iter()
            .map(|kind| {
                let limits = kind.limits();
                let running = engine.running();
                KindStatus {
                    kind: kind.name(),
                    enabled: limits.enabled,
                    most_running: limits.most_running,
                    running: running.values().filter(|live| live.kind == kind.name()).count(),
                    windows: limits.windows.to_string(),
                    open: limits.windows.contains(now),
                    changes: limits.windows.next_change(now),
                    yielding: schedule::makes_way(&limits, load),
                }
            })
            .collect()
    }

    /// How long attempts took since the recorder started, by kind and outcome.
    #[must_use]
    pub fn durations(&self) -> Vec<Durations> {
        let figures = self.0.engine.figures.lock();
        figures.unwrap_or_else(PoisonError::into_inner).all()
    }

    /// Looks at the queue at once: the limits of a kind have changed.
    pub fn look(&self) {
        self.0.engine.wake.notify_one();
    }

    /// Interrupts what runs and waits for it, at most so long. What does not make it counts as cut off by a crash.
    pub(crate) async fn shutdown(&self, deadline: Duration) {
        let engine = &self.0.engine;
        engine.stop.cancel();
        engine.tasks.close();
        if tokio::time::timeout(deadline, engine.tasks.wait()).await.is_err() {
            tracing::warn!(jobs = engine.running().len(), "jobs did not stop in time");
        }
    }
}

/// What can be said of a job without knowing its kind.
pub(super) fn check(new: &NewJob) -> Result<()> {
    let wrong = |what: String| Err(Error::new(ErrorKind::InvalidArgument, what));
    if !PRIORITIES.contains(&new.priority) {
        return wrong(format!(
            "priority {} is out of bounds: {} to {}",
            new.priority,
            PRIORITIES.start(),
            PRIORITIES.end()
        ));
    }
    if new.dedupe.as_ref().is_some_and(|key| key.len() > MOST_KEY) {
        return wrong(format!("the key of a job is longer than {MOST_KEY} bytes"));
    }
    Ok(())
}
