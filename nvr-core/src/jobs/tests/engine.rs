//! What becomes of jobs: done, failed, called off, in which order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::rig::Rig;
use crate::clock::Clock;
use crate::config::JobsConfig;
use crate::error::ErrorKind;
use crate::event::{EventKind, JobState};
use crate::ids::JobId;
use crate::jobs::{JobQuery, NewJob};

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
    while told.last() != Some(&JobState::Done) {
        let event =
            std::future::poll_fn(|cx| futures_core::Stream::poll_next(std::pin::Pin::new(&mut events), cx))
                .await
                .unwrap();
        if let EventKind::JobChanged { job, state, .. } = event.kind {
            assert_eq!(job, added.job.id);
            told.push(state);
        }
    }
    // One that takes a while tells its progress in between.
    told.dedup();
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
    let config = JobsConfig {
        max_queued: 2,
        ..JobsConfig::default()
    };
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
