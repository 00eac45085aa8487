//! An engine on a clock that is turned, with a kind of job that does what the test wants.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::clock::{Clock, SharedClock, SystemClock};
use crate::config::JobsConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::event::JobState;
use crate::events::EventBus;
use crate::ids::JobId;
use crate::jobs::load::Load;
use crate::jobs::{
    JobContext, JobError, JobFuture, JobKind, JobOutcome, JobQuery, JobRow, Jobs, KindLimits, NewJob, Origin,
    Parts,
};
use crate::store::{OpenMode, Store};
use crate::testing::ManualClock;

/// For anything that happens soon on an idle machine.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// What a job of the test kind does.
#[derive(Debug)]
pub(super) struct Acting {
    pub(super) limits: Mutex<KindLimits>,
    /// Attempts begun, by job.
    pub(super) begun: Mutex<HashMap<i64, u32>>,
    pub(super) order: Mutex<Vec<i64>>,
    pub(super) at_once: AtomicUsize,
    pub(super) most_at_once: AtomicUsize,
    /// `wait` jobs end when they get one.
    pub(super) gate: Semaphore,
    /// `busy` jobs hold their thread until this is set.
    pub(super) let_go: AtomicBool,
}

impl Acting {
    pub(super) fn new(most_running: usize) -> Arc<Self> {
        let mut limits = KindLimits::new(most_running);
        limits.most_attempts = NonZeroU32::new(3);
        Arc::new(Self {
            limits: Mutex::new(limits),
            begun: Mutex::default(),
            order: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            let_go: AtomicBool::new(false),
        })
    }

    pub(super) fn change(&self, f: impl FnOnce(&mut KindLimits)) {
        f(&mut self.limits.lock().unwrap());
    }

    pub(super) fn begun(&self, id: JobId) -> u32 {
        self.begun.lock().unwrap().get(&id.0).copied().unwrap_or(0)
    }

    pub(super) async fn act(&self, ctx: JobContext, params: Value) -> Result<JobOutcome, JobError> {
        *self.begun.lock().unwrap().entry(ctx.id().0).or_default() += 1;
        self.order.lock().unwrap().push(ctx.id().0);
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        let _less = Less(&self.at_once);
        match params["do"].as_str().unwrap_or("end") {
            "wait" => {
                ctx.progress(0.5, "waiting");
                tokio::select! {
                    permit = self.gate.acquire() => permit.unwrap().forget(),
                    () = ctx.stop() => return Err(JobError::stopped()),
                }
            }
            // Does not look whether it is to stop.
            "deaf" => self.gate.acquire().await.unwrap().forget(),
            "busy" => {
                tokio::task::block_in_place(|| {
                    while !self.let_go.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                });
            }
            "commit" => {
                ctx.commit()?;
                self.gate.acquire().await.unwrap().forget();
            }
            "fail" => {
                return Err(JobError::passing(Error::new(
                    ErrorKind::Unavailable,
                    "nobody answers",
                )));
            }
            "break" => return Err(Error::new(ErrorKind::Corrupt, "it is broken").into()),
            "panic" => panic!("on purpose"),
            "big" => return Ok(JobOutcome::new(json!("x".repeat(2 << 20)), "")),
            "steps" => {
                let start = ctx.checkpoint().and_then(|c| c["step"].as_u64()).unwrap_or(0);
                for step in start..3 {
                    tokio::select! {
                        permit = self.gate.acquire() => permit.unwrap().forget(),
                        () = ctx.stop() => return Err(JobError::stopped()),
                    }
                    ctx.progress((step + 1) as f64 / 3.0, "stepping");
                    ctx.save_checkpoint(json!({"step": step + 1})).await?;
                }
                return Ok(JobOutcome::new(json!({"began_at": start}), "stepped"));
            }
            _ => {}
        }
        Ok(JobOutcome::new(json!({"attempt": ctx.attempt()}), "done"))
    }
}

struct Less<'a>(&'a AtomicUsize);

impl Drop for Less<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl JobKind for Acting {
    fn name(&self) -> &'static str {
        "act"
    }

    fn limits(&self) -> KindLimits {
        self.limits.lock().unwrap().clone()
    }

    fn check(&self, params: &Value, _: Origin) -> Result<()> {
        if params.is_object() {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::InvalidArgument, "no object"))
        }
    }

    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_> {
        Box::pin(self.act(ctx, params))
    }
}

pub(super) struct Rig {
    pub(super) dir: tempfile::TempDir,
    pub(super) clock: ManualClock,
    pub(super) config: Arc<ArcSwap<JobsConfig>>,
    pub(super) load: Arc<Mutex<Load>>,
    pub(super) kind: Arc<Acting>,
    pub(super) events: Arc<EventBus>,
    pub(super) store: Store,
    pub(super) jobs: Jobs,
}

impl Rig {
    pub(super) async fn new(most_running: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-05-04T12:00:00Z".parse().unwrap());
        Self::at(dir, clock, Acting::new(most_running)).await
    }

    pub(super) async fn at(dir: tempfile::TempDir, clock: ManualClock, kind: Arc<Acting>) -> Self {
        let path = dir.path().join("index.db");
        let store = tokio::task::spawn_blocking(move || Store::open(path, OpenMode::ReadWrite))
            .await
            .unwrap()
            .unwrap();
        let shared: SharedClock = Arc::new(clock.clone());
        let events = Arc::new(EventBus::new(shared.clone()));
        let config = Arc::new(ArcSwap::from_pointee(JobsConfig::default()));
        let load = Arc::new(Mutex::new(Load::default()));
        let source = Arc::clone(&load);
        let jobs = Jobs::start(Parts {
            store: store.clone(),
            clock: shared,
            events: Arc::clone(&events),
            config: Arc::clone(&config),
            kinds: vec![Arc::clone(&kind) as Arc<dyn JobKind>],
            load: Arc::new(move || *source.lock().unwrap()),
        })
        .await
        .unwrap();
        Self {
            dir,
            clock,
            config,
            load,
            kind,
            events,
            store,
            jobs,
        }
    }

    /// As a `kill -9` and the next start: the rows stay as they are.
    pub(super) async fn again(self) -> Self {
        let Self {
            dir,
            clock,
            kind,
            store,
            jobs,
            ..
        } = self;
        let rows = store.jobs(&JobQuery::default()).unwrap().items;
        jobs.shutdown(LIMIT).await;
        // The orderly end is undone: a kill writes nothing.
        for row in rows.iter().filter(|r| r.state == JobState::Running) {
            let now = clock.now();
            if store.start_job(row.id, now).await.unwrap().is_none() {
                panic!("job {} did not stop", row.id);
            }
        }
        drop(jobs);
        store.shutdown().await.unwrap();
        Self::at(dir, clock, kind).await
    }

    pub(super) async fn enter(&self, what: &str) -> JobId {
        let new = NewJob::new("act", json!({"do": what}));
        self.jobs.enqueue(new).await.unwrap().job.id
    }

    /// Waits for something that needs no time to pass.
    pub(super) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let clock = SystemClock::new();
        while !holds().await {
            assert!(
                clock.steady_ns() < LIMIT.as_nanos() as i64,
                "{what}: {:#?}",
                self.store.jobs(&JobQuery::default())
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(super) async fn state(&self, id: JobId, state: JobState) -> JobRow {
        self.until(state.as_str(), async || {
            self.store.job(id).unwrap().state == state
        })
        .await;
        self.store.job(id).unwrap()
    }

    /// Lets time pass until something holds.
    pub(super) async fn turn_until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        self.until(what, async || {
            if holds().await {
                return true;
            }
            self.clock.advance(Duration::from_secs(5));
            false
        })
        .await;
    }
}
