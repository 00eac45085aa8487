//! The worker: looks at the queue, does what [`schedule`](super::schedule) says, and writes what came of it.
//!
//! Nothing is decided here that could be decided in a pure function. A job is in the map of those that run before it is
//! marked as running and until its end is written, so that whoever calls it off finds it in one place or the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt;
use super::context::{Live, StopReason};
use super::figures::Figures;
use super::kind::JobKind;
use super::load::{Load, LoadBounds, LoadGate};
use super::retry::{self, Rules};
use super::schedule::{self, KindQueue, Running, Situation};
use crate::clock::SharedClock;
use crate::config::JobsConfig;
use crate::error::Result;
use crate::event::{Event, EventKind, JobState};
use crate::events::EventBus;
use crate::ids::JobId;
use crate::nvr::blocking;
use crate::store::{JobQuery, JobRow, Order, Store};
use crate::time::Timestamp;

/// How often is looked again when nothing happens: for the load, and for clocks that were set.
const LOOK: Duration = Duration::from_secs(5);
/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(20);
/// How often old jobs are forgotten and kinds tidy up.
const TIDY: Duration = Duration::from_hours(1);

/// Tells how much there is to do.
pub type LoadSource = Arc<dyn Fn() -> Load + Send + Sync>;

/// What the engine is made of.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) clock: SharedClock,
    pub(crate) events: Arc<EventBus>,
    pub(crate) config: Arc<ArcSwap<JobsConfig>>,
    pub(crate) kinds: Vec<Arc<dyn JobKind>>,
    pub(crate) load: LoadSource,
}

/// Shared by the loop, the attempts and the handles.
pub(super) struct Engine {
    pub(super) store: Store,
    pub(super) clock: SharedClock,
    pub(super) events: Arc<EventBus>,
    pub(super) config: Arc<ArcSwap<JobsConfig>>,
    pub(super) kinds: Vec<Arc<dyn JobKind>>,
    load: LoadSource,
    gate: Mutex<LoadGate>,
    running: Mutex<HashMap<JobId, Arc<Live>>>,
    /// Something changed: look at once.
    pub(super) wake: Notify,
    /// Counts the changes of states, for those who wait for one.
    pub(super) changes: watch::Sender<u64>,
    pub(super) figures: Mutex<Figures>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("kinds", &self.kinds)
            .field("running", &self.running().len())
            .finish_non_exhaustive()
    }
}

impl Engine {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            store,
            clock,
            events,
            config,
            mut kinds,
            load,
        } = parts;
        kinds.sort_by_key(|k| k.name());
        kinds.dedup_by_key(|k| k.name());
        Self {
            store,
            clock,
            events,
            config,
            kinds,
            load,
            gate: Mutex::default(),
            running: Mutex::default(),
            wake: Notify::new(),
            changes: watch::Sender::new(0),
            figures: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    pub(super) fn running(&self) -> MutexGuard<'_, HashMap<JobId, Arc<Live>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn live(&self, id: JobId) -> Option<Arc<Live>> {
        self.running().get(&id).cloned()
    }

    pub(super) fn kind(&self, name: &str) -> Option<&Arc<dyn JobKind>> {
        self.kinds.iter().find(|k| k.name() == name)
    }

    /// What is too much now.
    pub(super) fn gate(&self) -> LoadGate {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rules(&self, kind: &Arc<dyn JobKind>) -> Rules {
        Rules {
            most_attempts: kind.limits().most_attempts,
            ceiling: self.config.load().retry_ceiling,
        }
    }

    /// Queues again what was under way when the recorder died, and says what it does not know.
    pub(super) async fn recover(&self) -> Result<()> {
        let query = JobQuery {
            states: vec![JobState::Running],
            order: Order::Asc,
            limit: crate::store::MAX_PAGE,
            ..JobQuery::default()
        };
        let store = self.store.clone();
        let left = blocking(move || store.jobs(&query)).await?;
        for job in left.items {
            let rules = self.kind(&job.kind).map_or(
                Rules {
                    most_attempts: None,
                    ceiling: self.config.load().retry_ceiling,
                },
                |kind| self.rules(kind),
            );
            let now = self.clock.now();
            let settled = retry::after_crash(job.attempts, rules, now);
            if let Some(job) = self.store.settle_job(job.id, now, settled).await? {
                tracing::warn!(job = %job.id, kind = job.kind, attempts = job.attempts, "a job was under way when the recorder died");
                self.tell(&job).await;
            }
        }
        let store = self.store.clone();
        for count in blocking(move || store.job_counts()).await? {
            if !count.state.is_over() && self.kind(&count.kind).is_none() {
                tracing::warn!(
                    kind = count.kind,
                    jobs = count.jobs,
                    "jobs of a kind that this version does not know are left alone"
                );
            }
        }
        Ok(())
    }

    /// Works until it is told to stop; then what runs is interrupted.
    pub(super) async fn work(self: Arc<Self>) {
        let mut faulty = false;
        let mut tidied: Option<i64> = None;
        while !self.stop.is_cancelled() {
            let now = self.clock.steady_ns();
            if tidied.is_none_or(|t| now.saturating_sub(t) >= crate::time::duration_ns(TIDY)) {
                tidied = Some(now);
                self.tasks.spawn(Arc::clone(&self).tidy());
            }
            let pause = match self.turn().await {
                Ok(pause) => {
                    faulty = false;
                    pause
                }
                Err(e) => {
                    if !std::mem::replace(&mut faulty, true) {
                        tracing::warn!(error = %e, "the queue of jobs cannot be read or written now");
                    }
                    LOOK
                }
            };
            let over = if pause < LOOK {
                self.clock.sleep(pause)
            } else {
                self.clock.tick(LOOK)
            };
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = over => {}
            }
        }
        for live in self.running().values() {
            live.ask(StopReason::Shutdown);
        }
    }

    /// One look at the queue, and what follows from it; returns when to look again.
    async fn turn(self: &Arc<Self>) -> Result<Duration> {
        let config = self.config.load_full();
        let load = {
            let bounds = LoadBounds {
                per_core_percent: config.max_load_percent,
                backlog_bytes: config.max_backlog_bytes,
            };
            let now = (self.load)();
            let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            let before = gate.is_over();
            let over = gate.look(now, bounds);
            if over != before {
                let state = if over { "make way" } else { "may run again" };
                tracing::info!(load = ?now, "heavy jobs {state}");
            }
            *gate
        };
        let now = self.clock.now();
        let (kinds, next) = {
            let engine = Arc::clone(self);
            blocking(move || engine.queues(now)).await?
        };
        let situation = Situation {
            now,
            most_running: config.max_running,
            load,
            kinds,
        };
        let decision = schedule::decide(&situation);
        for (id, reason) in decision.stop {
            if let Some(live) = self.live(id) {
                tracing::info!(job = %id, kind = live.kind, ?reason, "interrupting a job");
                live.ask(reason);
            }
        }
        for (n, id) in decision.start {
            let (Some(kind), Some(queue)) = (self.kinds.get(n), situation.kinds.get(n)) else {
                continue;
            };
            let window_end = queue.limits.windows.closes(now);
            attempt::begin(self, kind, id, window_end).await?;
        }
        let soonest = next
            .into_iter()
            .chain(decision.look_again)
            .min()
            .map_or(LOOK, |t| {
                Duration::from_nanos(u64::try_from(t.since(now)).unwrap_or(0))
            });
        Ok(soonest.clamp(SHORTEST, LOOK))
    }

    /// What waits and what runs, by kind, and when the next job may start that may not yet.
    fn queues(&self, now: Timestamp) -> Result<(Vec<KindQueue>, Option<Timestamp>)> {
        let mut next: Option<Timestamp> = None;
        let mut queues = Vec::with_capacity(self.kinds.len());
        for kind in &self.kinds {
            let limits = kind.limits();
            let running: Vec<Running> = self
                .running()
                .values()
                .filter(|live| live.kind == kind.name())
                .map(|live| Running {
                    id: live.id,
                    anytime: live.anytime,
                    stopping: live.stop.is_cancelled(),
                })
                .collect();
            let room = limits.most_running.saturating_sub(running.len());
            let queued = if limits.enabled && room > 0 {
                let open = limits.windows.contains(now);
                self.store
                    .job_candidates(kind.name(), now, open, limits.newest_first, room)?
            } else {
                Vec::new()
            };
            let soonest = self.store.next_job_time(kind.name(), now)?;
            next = [next, soonest].into_iter().flatten().min();
            queues.push(KindQueue {
                limits,
                queued,
                running,
            });
        }
        Ok((queues, next))
    }

    /// Tells a job's state to listeners; a failure is kept in the index as well.
    pub(super) async fn tell(&self, job: &JobRow) {
        self.changes.send_modify(|n| *n = n.wrapping_add(1));
        let message = match &job.error {
            Some(error) if job.state == JobState::Failed || job.message.is_empty() => error,
            _ => &job.message,
        };
        let kind = EventKind::JobChanged {
            job: job.id,
            job_kind: job.kind.clone(),
            state: job.state,
            progress: job.progress,
            message: message.clone(),
        };
        let event = Event::new(self.clock.now(), job.camera.clone(), kind);
        self.events.publish(event.clone());
        if job.state == JobState::Failed
            && let Err(e) = self.store.add_event(event).await
        {
            tracing::warn!(error = %e, "an event is not in the index");
        }
    }

    async fn tidy(self: Arc<Self>) {
        let config = self.config.load_full();
        let before = self.clock.now() - config.keep;
        if let Err(e) = self.store.prune_jobs(before, config.max_finished).await {
            tracing::warn!(error = %e, "old jobs were not forgotten");
        }
        for kind in self.kinds.clone() {
            let tidied = tokio::task::spawn_blocking(move || kind.tidy()).await;
            if let Err(e) = tidied {
                tracing::error!(error = %e, "a kind of job did not tidy up");
            }
        }
    }
}
