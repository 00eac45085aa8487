//! The queue of jobs: states change only from the expected one, lines are in order, sums are right.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::event::JobState;
use crate::ids::JobId;

const BOUNDS: JobBounds = JobBounds { most_live: 1000 };

fn add(f: &Fixture, new: NewJob, now: i64) -> JobRow {
    f.store.add_job_blocking(new, at(now), BOUNDS).unwrap().job
}

fn done() -> Settled {
    Settled::Done {
        result: json!({"x": 1}),
        message: "done".into(),
    }
}

#[test]
fn rows_survive_as_they_were_entered() {
    let f = Fixture::new();
    let new = NewJob::new("a", json!({"deep": [1, "ü"]}))
        .camera(cam("front"))
        .priority(-7)
        .not_before(at(500))
        .anytime()
        .dedupe("key")
        .input_bytes(u64::MAX);
    let job = add(&f, new, 100);
    assert_eq!(f.store.job(job.id).unwrap(), job);
    assert_eq!(
        (job.state, job.attempts, job.created, job.not_before),
        (JobState::Queued, 0, at(100), at(500))
    );
    assert_eq!(job.input_bytes, i64::MAX as u64);
    assert_eq!(
        (job.camera, job.priority, job.anytime),
        (Some(cam("front")), -7, true)
    );
    assert_eq!(f.store.job(JobId(77)).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_state_changes_only_from_the_one_before() {
    let f = Fixture::new();
    let id = add(&f, NewJob::new("a", json!({})), 1).id;
    assert_eq!(
        f.store.settle_job_blocking(id, at(2), done()).unwrap(),
        None,
        "it does not run"
    );
    let job = f.store.start_job_blocking(id, at(2)).unwrap().unwrap();
    assert_eq!(
        (job.state, job.attempts, job.started),
        (JobState::Running, 1, Some(at(2)))
    );
    assert_eq!(f.store.start_job_blocking(id, at(3)).unwrap(), None, "it runs");
    assert_eq!(
        f.store.cancel_job_blocking(id, at(3), false).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(
        f.store.retry_job_blocking(id, at(3)).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    f.store
        .note_job_blocking(id, 0.5, "half".into(), Some(json!({"at": 5})))
        .unwrap();
    let again = Settled::Again {
        not_before: at(10),
        error: Some("e".into()),
        counted: true,
        message: String::new(),
    };
    let job = f.store.settle_job_blocking(id, at(4), again).unwrap().unwrap();
    assert_eq!(
        (job.state, job.attempts, job.not_before, job.ended),
        (JobState::Queued, 1, at(10), None)
    );
    assert_eq!(
        (job.progress, job.checkpoint, job.error.as_deref()),
        (0.5, Some(json!({"at": 5})), Some("e"))
    );
    f.store.note_job_blocking(id, 0.9, "late".into(), None).unwrap();
    assert_eq!(
        f.store.job(id).unwrap().progress,
        0.5,
        "a late note changes nothing"
    );
    f.store.start_job_blocking(id, at(20)).unwrap().unwrap();
    let job = f.store.settle_job_blocking(id, at(19), done()).unwrap().unwrap();
    assert_eq!(
        (job.state, job.progress, job.ended),
        (JobState::Done, 1.0, Some(at(20))),
        "the clock stepped back"
    );
    assert_eq!(
        (job.error, job.checkpoint, job.result),
        (None, None, Some(json!({"x": 1})))
    );
    assert_eq!(
        f.store.cancel_job_blocking(id, at(30), true).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    // What a crash left can be called off by hand.
    let left = add(&f, NewJob::new("a", json!({})), 40).id;
    f.store.start_job_blocking(left, at(41)).unwrap().unwrap();
    assert_eq!(
        f.store.cancel_job_blocking(left, at(42), true).unwrap().state,
        JobState::Cancelled
    );
    let too_long = Settled::Done {
        result: json!("x".repeat(2 << 20)),
        message: String::new(),
    };
    let big = add(&f, NewJob::new("a", json!({})), 50).id;
    f.store.start_job_blocking(big, at(51)).unwrap().unwrap();
    let e = f.store.settle_job_blocking(big, at(52), too_long).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidArgument);
    assert_eq!(f.store.job(big).unwrap().state, JobState::Running);
}

#[test]
fn the_queue_is_bounded() {
    let f = Fixture::new();
    let bounds = JobBounds { most_live: 2 };
    let enter = || {
        f.store
            .add_job_blocking(NewJob::new("a", json!({})), at(1), bounds)
    };
    let first = enter().unwrap().job.id;
    enter().unwrap();
    assert_eq!(enter().unwrap_err().kind(), ErrorKind::Busy);
    f.store.cancel_job_blocking(first, at(2), false).unwrap();
    enter().unwrap();
}

#[test]
fn pages_and_filters() {
    let f = Fixture::new();
    let mut ids = Vec::new();
    for n in 0..25 {
        let mut new = NewJob::new(if n % 2 == 0 { "a" } else { "b" }, json!({"n": n}));
        if n % 5 == 0 {
            new = new.camera(cam("front"));
        }
        ids.push(add(&f, new, n).id);
        if n % 3 == 0 {
            f.store
                .start_job_blocking(ids[n as usize], at(n))
                .unwrap()
                .unwrap();
        }
    }
    let all = |query: &JobQuery| {
        let (mut query, mut found) = (query.clone(), Vec::new());
        loop {
            let page = f.store.jobs(&query).unwrap();
            assert!(page.items.len() <= query.limit as usize);
            found.extend(page.items.into_iter().map(|j| j.id));
            query.cursor = page.next;
            if query.cursor.is_none() {
                return found;
            }
        }
    };
    let pick = |keep: &dyn Fn(i64) -> bool| -> Vec<JobId> {
        (0..25).filter(|n| keep(*n)).map(|n| ids[n as usize]).collect()
    };
    let mut query = JobQuery {
        order: Order::Asc,
        limit: 4,
        ..JobQuery::default()
    };
    assert_eq!(all(&query), ids);
    query.kinds = vec!["b".into(), "c".into()];
    assert_eq!(all(&query), pick(&|n| n % 2 == 1));
    query.states = vec![JobState::Running];
    assert_eq!(all(&query), pick(&|n| n % 2 == 1 && n % 3 == 0));
    query.kinds = vec![];
    query.camera = Some(cam("front"));
    query.order = Order::Desc;
    let mut wanted = pick(&|n| n % 5 == 0 && n % 3 == 0);
    wanted.reverse();
    assert_eq!(all(&query), wanted);
    query.kinds = vec!["') OR 1=1 --".into()];
    assert!(all(&query).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_forgotten_and_nothing_else() {
    let f = Fixture::new();
    let mut ids = Vec::new();
    for n in 0..6 {
        let added = f
            .store
            .add_job(NewJob::new("a", json!({})), at(n), BOUNDS)
            .await
            .unwrap();
        ids.push(added.job.id);
        f.store.start_job(ids[n as usize], at(n)).await.unwrap().unwrap();
    }
    for (id, t) in ids.iter().zip(10..14) {
        f.store.settle_job(*id, at(t), done()).await.unwrap().unwrap();
    }
    f.store.prune_jobs(at(11), 100).await.unwrap();
    assert!(f.store.job(ids[0]).is_err() && f.store.job(ids[1]).is_ok());
    f.store.prune_jobs(at(0), 1).await.unwrap();
    assert!(f.store.job(ids[2]).is_err() && f.store.job(ids[3]).is_ok());
    assert_eq!(f.store.clean_jobs(&[JobState::Done], at(13)).await.unwrap(), 0);
    assert_eq!(f.store.clean_jobs(&[JobState::Done], at(14)).await.unwrap(), 1);
    assert!(f.store.clean_jobs(&[JobState::Queued], at(99)).await.is_err());
    assert_eq!(
        f.store.jobs(&JobQuery::default()).unwrap().items.len(),
        2,
        "the live ones"
    );
}

/// One thing that happens to the queue.
#[derive(Clone, Debug)]
enum Step {
    Add {
        kind: bool,
        priority: i32,
        not_before: i64,
        anytime: bool,
    },
    Start(usize),
    Settle(usize, u8),
    Cancel(usize),
    Retry(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let add = (any::<bool>(), -3i32..4, 0i64..20, any::<bool>()).prop_map(
        |(kind, priority, not_before, anytime)| Step::Add {
            kind,
            priority,
            not_before,
            anytime,
        },
    );
    prop_oneof![
        3 => add,
        2 => (0usize..12).prop_map(Step::Start),
        2 => (0usize..12, 0u8..4).prop_map(|(n, how)| Step::Settle(n, how)),
        1 => (0usize..12).prop_map(Step::Cancel),
        1 => (0usize..12).prop_map(Step::Retry),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens: sums are those of the rows, and a line holds exactly what may start, in its order.
    #[test]
    fn sums_and_lines_are_right(steps in prop::collection::vec(step(), 1..40)) {
        let f = Fixture::new();
        for (t, step) in steps.into_iter().enumerate() {
            let now = at(t as i64);
            match step {
                Step::Add { kind, priority, not_before, anytime } => {
                    let mut new = NewJob::new(if kind { "a" } else { "b" }, json!({}))
                        .priority(priority)
                        .not_before(at(not_before))
                        .input_bytes(t as u64);
                    new.anytime = anytime;
                    f.store.add_job_blocking(new, now, BOUNDS).unwrap();
                }
                Step::Start(n) => drop(f.store.start_job_blocking(JobId(n as i64), now).unwrap()),
                Step::Settle(n, how) => {
                    let how = match how {
                        0 => done(),
                        1 => Settled::Failed { error: "e".into() },
                        2 => Settled::Cancelled,
                        _ => Settled::Again { not_before: now, error: None, counted: false, message: String::new() },
                    };
                    f.store.settle_job_blocking(JobId(n as i64), now, how).unwrap();
                }
                Step::Cancel(n) => drop(f.store.cancel_job_blocking(JobId(n as i64), now, false)),
                Step::Retry(n) => drop(f.store.retry_job_blocking(JobId(n as i64), now)),
            }
        }
        let rows = f.store.jobs(&JobQuery { limit: MAX_PAGE, ..JobQuery::default() }).unwrap().items;
        let mut sums: BTreeMap<(String, JobState), (u64, u64)> = BTreeMap::new();
        for row in &rows {
            let sum = sums.entry((row.kind.clone(), row.state)).or_default();
            *sum = (sum.0 + 1, sum.1 + row.input_bytes);
            prop_assert_eq!(row.ended.is_some(), row.state.is_over());
        }
        let told = f.store.job_counts().unwrap().into_iter();
        let told: BTreeMap<_, _> = told.map(|c| ((c.kind, c.state), (c.jobs, c.input_bytes))).collect();
        prop_assert_eq!(told, sums);
        for (kind, open, newest) in [("a", true, false), ("b", true, true), ("a", false, true), ("b", false, false)] {
            for now in [at(5), at(50)] {
                let mut wanted: Vec<&JobRow> = rows
                    .iter()
                    .filter(|r| r.kind == kind && r.state == JobState::Queued && r.not_before <= now && (open || r.anytime))
                    .collect();
                if newest {
                    wanted.sort_by_key(|r| (-r.priority, -r.id.0));
                } else {
                    wanted.sort_by_key(|r| (rank(r.created, r.priority), r.id));
                }
                let line = f.store.job_candidates(kind, now, open, newest, 3).unwrap();
                let line: Vec<JobId> = line.into_iter().map(|c| c.id).collect();
                prop_assert_eq!(line, wanted.iter().take(3).map(|r| r.id).collect::<Vec<_>>());
                let next = rows
                    .iter()
                    .filter(|r| r.kind == kind && r.state == JobState::Queued && r.not_before > now)
                    .map(|r| r.not_before)
                    .min();
                prop_assert_eq!(f.store.next_job_time(kind, now).unwrap(), next);
            }
        }
    }
}
