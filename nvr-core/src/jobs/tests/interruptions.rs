//! Windows, load, stops and crashes: what is interrupted goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::rig::{LIMIT, Rig};
use crate::clock::{Clock, SystemClock};
use crate::config::JobsConfig;
use crate::event::JobState;
use crate::jobs::load::Load;
use crate::jobs::{JobQuery, NewJob};
use crate::time::Timestamp;
use crate::window::Windows;

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
    // The load of the machine counts for kinds that mind it.
    *rig.load.lock().unwrap() = Load {
        per_core_percent: Some(1000),
        backlog_bytes: 0,
    };
    rig.jobs.look();
    assert!(rig.jobs.kinds()[0].yielding);
    rig.kind.change(|l| l.minds_load = false);
    rig.jobs.look();
    rig.until("it to run", async || rig.kind.at_once.load(Ordering::SeqCst) == 1)
        .await;
    rig.kind.change(|l| l.minds_load = true);
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
    let config = JobsConfig {
        max_finished: 3,
        ..JobsConfig::default()
    };
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
