//! The engine with kinds made for the tests, on a clock that is turned.

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
use crate::event::{EventKind, JobState};
use crate::events::EventBus;
use crate::ids::JobId;
use crate::jobs::load::Load;
use crate::jobs::{
    JobContext, JobError, JobFuture, JobKind, JobOutcome, JobQuery, JobRow, Jobs, KindLimits, NewJob, Origin,
    Parts,
};
use crate::store::{OpenMode, Store};
use crate::testing::ManualClock;
use crate::time::Timestamp;
use crate::window::Windows;

/// For anything that happens soon on an idle machine.
const LIMIT: Duration = Duration::from_secs(60);

/// What a job of the test kind does.
#[derive(Debug)]
struct Acting {
    limits: Mutex<KindLimits>,
    /// Attempts begun, by job.
    begun: Mutex<HashMap<i64, u32>>,
    order: Mutex<Vec<i64>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    /// `wait` jobs end when they get one.
    gate: Semaphore,
    /// `busy` jobs hold their thread until this is set.
    let_go: AtomicBool,
}

impl Acting {
    fn new(most_running: usize) -> Arc<Self> {
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

    fn change(&self, f: impl FnOnce(&mut KindLimits)) {
        f(&mut self.limits.lock().unwrap());
    }

    fn begun(&self, id: JobId) -> u32 {
        self.begun.lock().unwrap().get(&id.0).copied().unwrap_or(0)
    }

    async fn act(&self, ctx: JobContext, params: Value) -> Result<JobOutcome, JobError> {
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

struct Rig {
    dir: tempfile::TempDir,
    clock: ManualClock,
    config: Arc<ArcSwap<JobsConfig>>,
    load: Arc<Mutex<Load>>,
    kind: Arc<Acting>,
    events: Arc<EventBus>,
    store: Store,
    jobs: Jobs,
}

impl Rig {
    async fn new(most_running: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-05-04T12:00:00Z".parse().unwrap());
        Self::at(dir, clock, Acting::new(most_running)).await
    }

    async fn at(dir: tempfile::TempDir, clock: ManualClock, kind: Arc<Acting>) -> Self {
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
    async fn again(self) -> Self {
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

    async fn enter(&self, what: &str) -> JobId {
        let new = NewJob::new("act", json!({"do": what}));
        self.jobs.enqueue(new).await.unwrap().job.id
    }

    /// Waits for something that needs no time to pass.
    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
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

    async fn state(&self, id: JobId, state: JobState) -> JobRow {
        self.until(state.as_str(), async || {
            self.store.job(id).unwrap().state == state
        })
        .await;
        self.store.job(id).unwrap()
    }

    /// Lets time pass until something holds.
    async fn turn_until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_done_and_says_so() {
    let rig = Rig::new(2).await;
    let mut events = rig.events.subscribe();
    let added = rig
        .jobs
        .enqueue(NewJob::new("act", json!({})).input_bytes(7))
        .await
        .unwrap();
    assert!(added.is_new);
    let job = rig.jobs.wait(added.job.id).await.unwrap();
    assert_eq!((job.state, job.attempts, job.progress), (JobState::Done, 1, 1.0));
    assert_eq!(
        (job.result, job.message.as_str()),
        (Some(json!({"attempt": 1})), "done")
    );
    assert!(job.started.is_some() && job.ended.is_some());
    let mut told = Vec::new();
    while told.len() < 3 {
        let event =
            std::future::poll_fn(|cx| futures_core::Stream::poll_next(std::pin::Pin::new(&mut events), cx))
                .await
                .unwrap();
        if let EventKind::JobChanged { job, state, .. } = event.kind {
            assert_eq!(job, added.job.id);
            told.push(state);
        }
    }
    assert_eq!(told, [JobState::Queued, JobState::Running, JobState::Done]);
    let counts = rig.jobs.counts().await.unwrap();
    assert_eq!(counts.len(), 1, "{counts:?}");
    assert_eq!(
        (counts[0].state, counts[0].jobs, counts[0].input_bytes),
        (JobState::Done, 1, 7)
    );
    assert_eq!(rig.jobs.durations()[0].count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_not_taken() {
    let rig = Rig::new(1).await;
    for new in [
        NewJob::new("unknown", json!({})),
        NewJob::new("act", json!([])),
        NewJob::new("act", json!({})).priority(1001),
        NewJob::new("act", json!({})).dedupe("x".repeat(501)),
        NewJob::new("act", json!({"x": "y".repeat(2 << 20)})),
    ] {
        let e = rig.jobs.enqueue(new).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{e}");
    }
    assert!(rig.jobs.list(JobQuery::default()).await.unwrap().items.is_empty());
    let mut config = JobsConfig::default();
    config.max_queued = 2;
    rig.config.store(Arc::new(config));
    rig.enter("wait").await;
    rig.enter("wait").await;
    let e = rig.jobs.enqueue(NewJob::new("act", json!({}))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Busy);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_than_the_kind_and_the_whole_allow() {
    let rig = Rig::new(3).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(rig.enter("wait").await);
    }
    rig.until("three to run", async || {
        rig.kind.at_once.load(Ordering::SeqCst) == 3
    })
    .await;
    rig.kind.gate.add_permits(20);
    for id in &ids {
        assert_eq!(rig.jobs.wait(*id).await.unwrap().state, JobState::Done);
        assert_eq!(rig.kind.begun(*id), 1);
    }
    assert_eq!(rig.kind.most_at_once.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_urgent_go_first_and_then_the_old_ones_and_nothing_starts_before_its_time() {
    let rig = Rig::new(1).await;
    let first = rig.enter("wait").await;
    rig.until("it to run", async || rig.kind.begun(first) == 1).await;
    let add = async |priority: i32, not_before_s: u64| {
        let at = rig.clock.now() + Duration::from_secs(not_before_s);
        let new = NewJob::new("act", json!({})).priority(priority).not_before(at);
        rig.jobs.enqueue(new).await.unwrap().job.id
    };
    let late = add(1000, 3600).await;
    let (low, normal, also, high) = (
        add(-5, 0).await,
        add(0, 0).await,
        add(0, 0).await,
        add(5, 0).await,
    );
    rig.kind.gate.add_permits(1);
    rig.jobs.wait(low).await.unwrap();
    let order = rig.kind.order.lock().unwrap().clone();
    assert_eq!(order, [first, high, normal, also, low].map(|id| id.0));
    assert_eq!(rig.kind.begun(late), 0);
    let waited_from = rig.clock.now();
    rig.turn_until("its time", async || rig.kind.begun(late) == 1)
        .await;
    assert!(rig.clock.now() >= waited_from + Duration::from_secs(3600));
    // And the newest first, where the kind wants it.
    rig.kind.change(|l| l.newest_first = true);
    let blocker = rig.enter("wait").await;
    rig.until("it to run", async || rig.kind.begun(blocker) == 1)
        .await;
    let (a, b) = (add(0, 0).await, add(0, 0).await);
    rig.kind.gate.add_permits(1);
    rig.jobs.wait(a).await.unwrap();
    assert_eq!(
        rig.kind
            .order
            .lock()
            .unwrap()
            .iter()
            .rev()
            .take(2)
            .copied()
            .collect::<Vec<_>>(),
        [a.0, b.0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_after_growing_pauses_and_then_given_up() {
    let rig = Rig::new(1).await;
    let id = rig.enter("fail").await;
    for (attempts, pause_s) in [(1, 5), (2, 10)] {
        rig.until("the attempt", async || {
            let job = rig.store.job(id).unwrap();
            job.state == JobState::Queued && job.attempts == attempts
        })
        .await;
        let job = rig.store.job(id).unwrap();
        assert_eq!(job.error.as_deref(), Some("nobody answers"));
        assert_eq!(job.not_before.since(rig.clock.now()), pause_s * 1_000_000_000);
        rig.clock.advance(Duration::from_secs(pause_s as u64));
        rig.jobs.look();
    }
    let job = rig.state(id, JobState::Failed).await;
    assert_eq!((job.attempts, rig.kind.begun(id)), (3, 3));
    // By hand it gets another life, and a success forgets the failure.
    rig.jobs.retry(id).await.unwrap();
    rig.until("the fourth attempt", async || rig.kind.begun(id) == 4)
        .await;
    let broken = rig.enter("break").await;
    assert_eq!(
        rig.state(broken, JobState::Failed).await.attempts,
        1,
        "it would be the same again"
    );
    let panics = rig.enter("panic").await;
    rig.until("the attempt", async || {
        rig.store.job(panics).unwrap().error.is_some()
    })
    .await;
    let big = rig.enter("big").await;
    assert!(
        rig.state(big, JobState::Failed)
            .await
            .error
            .unwrap()
            .contains("too long")
    );
    let done = rig.enter("end").await;
    rig.state(done, JobState::Done).await;
    assert_eq!(
        rig.jobs.retry(done).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(
        rig.jobs.retry(JobId(99)).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let kept = rig
        .store
        .events(&crate::store::EventQuery::new(crate::time::TimeRange::ALL))
        .unwrap();
    assert_eq!(
        kept.items.len(),
        3,
        "failures are kept, the rest is not: {kept:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_called_off_within_a_second_whatever_it_does() {
    let rig = Rig::new(4).await;
    let blocked: Vec<JobId> = {
        let mut ids = Vec::new();
        for what in ["wait", "deaf", "busy", "wait"] {
            ids.push(rig.enter(what).await);
        }
        ids
    };
    rig.until("four to run", async || {
        rig.kind.at_once.load(Ordering::SeqCst) == 4
    })
    .await;
    let queued = rig.enter("wait").await;
    assert_eq!(rig.jobs.cancel(queued).await.unwrap().state, JobState::Cancelled);
    for id in &blocked[..3] {
        let began = rig.clock.now();
        let cancelled = rig.jobs.cancel(*id);
        tokio::pin!(cancelled);
        let job = loop {
            tokio::select! {
                job = &mut cancelled => break job.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(2)) => rig.clock.advance(Duration::from_millis(10)),
            }
        };
        assert_eq!(job.state, JobState::Cancelled, "{id}");
        assert!(rig.clock.now().since(began) <= 1_000_000_000, "{id}");
        assert_eq!(
            rig.jobs.cancel(*id).await.unwrap_err().kind(),
            ErrorKind::Conflict
        );
    }
    rig.kind.let_go.store(true, Ordering::SeqCst);
    assert_eq!(rig.kind.begun(queued), 0);
    assert_eq!(
        rig.jobs.cancel(JobId(99)).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let again = rig.jobs.retry(queued).await.unwrap();
    assert_eq!((again.state, again.attempts), (JobState::Queued, 0));
    assert_eq!(
        rig.store.job(blocked[3]).unwrap().state,
        JobState::Running,
        "the others go on"
    );
}

/// What must not be torn apart is waited for, and then it is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_not_interrupted() {
    let rig = Rig::new(1).await;
    let id = rig.enter("commit").await;
    rig.until("it to run", async || rig.kind.begun(id) == 1).await;
    let cancelled = rig.jobs.cancel(id);
    tokio::pin!(cancelled);
    let job = loop {
        tokio::select! {
            job = &mut cancelled => break job.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(2)) => rig.clock.advance(Duration::from_millis(100)),
        }
    };
    assert_eq!(job.state, JobState::Running);
    rig.clock.advance(Duration::from_secs(10));
    rig.kind.gate.add_permits(1);
    assert_eq!(rig.state(id, JobState::Done).await.attempts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_the_same_key_is_not_entered_while_one_lives() {
    let rig = Rig::new(1).await;
    let new = || NewJob::new("act", json!({"do": "wait"})).dedupe("the same");
    let first = rig.jobs.enqueue(new()).await.unwrap();
    for _ in 0..3 {
        let second = rig.jobs.enqueue(new()).await.unwrap();
        assert!(!second.is_new);
        assert_eq!(second.job.id, first.job.id);
    }
    rig.kind.gate.add_permits(1);
    rig.jobs.wait(first.job.id).await.unwrap();
    let next = rig.jobs.enqueue(new()).await.unwrap();
    assert!(next.is_new);
    // One that was called off cannot come back beside a live one.
    rig.jobs.cancel(next.job.id).await.ok();
    rig.turn_until("the end", async || {
        rig.store.job(next.job.id).unwrap().state.is_over()
    })
    .await;
    let third = rig.jobs.enqueue(new()).await.unwrap();
    assert!(third.is_new);
    let e = rig.jobs.retry(next.job.id).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_in_their_window_and_go_on_in_the_next() {
    let rig = Rig::new(2).await;
    rig.kind
        .change(|l| l.windows = Windows::parse("13:00-14:00", "UTC").unwrap());
    let id = rig.enter("steps").await;
    let by_hand = rig
        .jobs
        .enqueue(NewJob::new("act", json!({})).anytime())
        .await
        .unwrap()
        .job
        .id;
    rig.jobs.wait(by_hand).await.unwrap();
    assert_eq!(rig.kind.begun(id), 0, "the window is closed");
    rig.turn_until("the window", async || rig.kind.begun(id) == 1)
        .await;
    let hour = |h: i64| Timestamp::from_secs(1_777_896_000 + (h - 12) * 3600);
    assert!(rig.clock.now() >= hour(13));
    rig.kind.gate.add_permits(2);
    rig.until("two steps", async || {
        rig.store.job(id).unwrap().checkpoint == Some(json!({"step": 2}))
    })
    .await;
    rig.turn_until("its end", async || {
        rig.store.job(id).unwrap().state == JobState::Queued
    })
    .await;
    assert!(rig.clock.now() >= hour(14));
    let job = rig.store.job(id).unwrap();
    assert_eq!(
        (job.attempts, job.error),
        (0, None),
        "an interruption does not count"
    );
    assert!(job.message.contains("window"), "{}", job.message);
    assert!((job.progress - 2.0 / 3.0).abs() < 0.01);
    rig.clock.advance(Duration::from_secs(20 * 3600));
    rig.jobs.look();
    rig.turn_until("the next window", async || rig.kind.begun(id) == 2)
        .await;
    assert!(rig.clock.now() >= hour(37));
    rig.kind.gate.add_permits(1);
    let job = rig.state(id, JobState::Done).await;
    assert_eq!(
        job.result,
        Some(json!({"began_at": 2})),
        "it went on where it was"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_jobs_make_way_and_come_back() {
    let rig = Rig::new(1).await;
    let id = rig.enter("wait").await;
    rig.until("it to run", async || rig.kind.begun(id) == 1).await;
    rig.load.lock().unwrap().backlog_bytes = 64 << 20;
    rig.jobs.look();
    let job = rig.state(id, JobState::Queued).await;
    assert!(job.message.contains("makes way"), "{}", job.message);
    assert!(rig.jobs.kinds()[0].yielding);
    rig.clock.advance(Duration::from_secs(60));
    rig.jobs.look();
    let also = rig.enter("wait").await;
    assert_eq!(rig.jobs.kinds()[0].running, 0);
    // Those that take next to nothing go on.
    rig.kind.change(|l| l.yields = false);
    rig.jobs.look();
    rig.until("it to run", async || rig.kind.begun(id) == 2).await;
    rig.kind.change(|l| l.yields = true);
    rig.jobs.look();
    rig.state(id, JobState::Queued).await;
    *rig.load.lock().unwrap() = Load::default();
    rig.jobs.look();
    rig.kind.gate.add_permits(2);
    rig.state(id, JobState::Done).await;
    rig.state(also, JobState::Done).await;
    // Switched off at run time.
    rig.kind.change(|l| l.enabled = false);
    let off = rig.enter("end").await;
    rig.jobs.look();
    rig.clock.advance(Duration::from_secs(60));
    assert_eq!(rig.kind.begun(off), 0);
    rig.kind.change(|l| l.enabled = true);
    rig.jobs.look();
    rig.state(off, JobState::Done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_at_a_stop_goes_on_and_what_ran_at_a_crash_is_tried_again() {
    let rig = Rig::new(2).await;
    let id = rig.enter("steps").await;
    rig.kind.gate.add_permits(1);
    rig.until("a step", async || rig.store.job(id).unwrap().checkpoint.is_some())
        .await;
    // In order.
    let Rig {
        dir,
        clock,
        kind,
        store,
        jobs,
        ..
    } = rig;
    jobs.shutdown(LIMIT).await;
    let job = store.job(id).unwrap();
    assert_eq!((job.state, job.attempts), (JobState::Queued, 0));
    drop(jobs);
    store.shutdown().await.unwrap();
    let rig = Rig::at(dir, clock, kind).await;
    rig.until("it to run", async || rig.kind.begun(id) == 2).await;
    // Not in order.
    let rig = rig.again().await;
    rig.until("it to run", async || rig.kind.begun(id) == 3).await;
    let job = rig.store.job(id).unwrap();
    assert_eq!(
        job.error.as_deref(),
        Some("the recorder died while it was being done")
    );
    rig.kind.gate.add_permits(2);
    let job = rig.state(id, JobState::Done).await;
    assert_eq!(job.result, Some(json!({"began_at": 1})));
    assert_eq!(job.error, None);
}

/// One that takes the recorder with it each time is not begun for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_the_recorder_is_given_up() {
    let mut rig = Rig::new(1).await;
    let id = rig.enter("wait").await;
    for crash in 1..=3 {
        rig.turn_until("it to run", async || rig.kind.begun(id) == crash)
            .await;
        rig.until("the mark", async || {
            rig.store.job(id).unwrap().state == JobState::Running
        })
        .await;
        rig = rig.again().await;
    }
    let job = rig.state(id, JobState::Failed).await;
    assert_eq!(job.attempts, 3);
    assert!(job.error.unwrap().contains("died"));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_an_unknown_kind_are_left_alone() {
    let rig = Rig::new(1).await;
    let bounds = crate::store::JobBounds { most_live: 100 };
    let foreign = NewJob::new("of the future", json!({"x": 1}));
    let foreign = rig
        .store
        .add_job(foreign, rig.clock.now(), bounds)
        .await
        .unwrap()
        .job
        .id;
    let known = rig.enter("end").await;
    rig.state(known, JobState::Done).await;
    let rig = rig.again().await;
    rig.clock.advance(Duration::from_secs(3600));
    let known = rig.enter("end").await;
    rig.state(known, JobState::Done).await;
    let job = rig.jobs.get(foreign).await.unwrap();
    assert_eq!(
        (job.state, job.attempts, job.params),
        (JobState::Queued, 0, json!({"x": 1}))
    );
    assert_eq!(rig.jobs.cancel(foreign).await.unwrap().state, JobState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_jobs_are_forgotten_by_age_by_number_and_by_hand() {
    let rig = Rig::new(4).await;
    let mut config = JobsConfig::default();
    config.max_finished = 3;
    rig.config.store(Arc::new(config));
    let mut ids = Vec::new();
    for _ in 0..6 {
        let id = rig.enter("end").await;
        rig.state(id, JobState::Done).await;
        rig.clock.advance(Duration::from_secs(1));
        ids.push(id);
    }
    let waiting = rig.enter("wait").await;
    rig.turn_until("the hour", async || {
        rig.jobs.list(JobQuery::default()).await.unwrap().items.len() == 4
    })
    .await;
    assert!(
        rig.store.job(ids[2]).is_err() && rig.store.job(ids[3]).is_ok(),
        "the newest stay"
    );
    assert!(
        rig.jobs
            .clean(&[JobState::Running], Duration::ZERO)
            .await
            .is_err()
    );
    assert_eq!(
        rig.jobs.clean(&[JobState::Failed], Duration::ZERO).await.unwrap(),
        0
    );
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(
        rig.jobs.clean(&[JobState::Done], Duration::ZERO).await.unwrap(),
        3
    );
    let left = rig.jobs.list(JobQuery::default()).await.unwrap().items;
    assert_eq!(left.iter().map(|j| j.id).collect::<Vec<_>>(), [waiting]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_ends_everything() {
    let rig = Rig::new(1).await;
    let id = rig.enter("wait").await;
    rig.until("it to run", async || rig.kind.begun(id) == 1).await;
    let Rig {
        kind,
        jobs,
        store,
        dir: _dir,
        ..
    } = rig;
    drop(jobs);
    let clock = SystemClock::new();
    // The engine, the attempt and the kind of this test.
    while Arc::strong_count(&kind) > 1 {
        assert!(clock.steady_ns() < LIMIT.as_nanos() as i64);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(store.job(id).unwrap().state, JobState::Queued);
}
