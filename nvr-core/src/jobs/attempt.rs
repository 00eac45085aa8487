//! One attempt at a job: begun, watched, asked to stop, and its end written.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tracing::Instrument as _;

use super::context::{JobContext, Live, StopReason};
use super::engine::Engine;
use super::kind::{JobError, JobKind};
use super::retry::{self, Ended};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventKind, JobState};
use crate::ids::JobId;
use crate::store::{JobRow, Settled};
use crate::time::Timestamp;

/// How often progress is told to listeners.
const TELL: Duration = Duration::from_millis(250);
/// After so many of those it is written.
const WRITE_EVERY: u32 = 20;
/// What a job that is called off is given to stop by itself, before it is dropped.
const GRACE_CANCELLED: Duration = Duration::from_millis(600);
/// The same for one that goes on later.
const GRACE: Duration = Duration::from_secs(5);
/// How often a job that was asked to stop is looked at.
const STOP_LOOK: Duration = Duration::from_millis(50);
/// A job that was dropped and still holds its thread after so long is left behind.
const DROP_WAIT: Duration = Duration::from_millis(200);
/// Pause between two tries to write the end of an attempt.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// Starts a queued job, unless it is not queued any more.
pub(super) async fn begin(
    engine: &Arc<Engine>,
    kind: &Arc<dyn JobKind>,
    id: JobId,
    window_end: Option<Timestamp>,
) -> Result<()> {
    // Known before it is marked: whoever calls it off from here on finds it.
    let store = engine.store.clone();
    let job = crate::nvr::blocking(move || store.job(id)).await?;
    let live = Arc::new(Live::new(&job));
    engine.running().insert(id, Arc::clone(&live));
    let started = engine.store.start_job(id, engine.clock.now()).await;
    let job = match started {
        Ok(Some(job)) => job,
        // Called off, or the index cannot be written.
        not_started => {
            engine.running().remove(&id);
            return not_started.map(drop);
        }
    };
    let ctx = JobContext {
        live: Arc::clone(&live),
        store: engine.store.clone(),
        events: Arc::clone(&engine.events),
        clock: engine.clock.clone(),
        attempt: job.attempts,
        checkpoint: job.checkpoint.clone().map(Arc::new),
        window_end: window_end.filter(|_| !job.anytime),
    };
    engine.tell(&job).await;
    let (engine, kind) = (Arc::clone(engine), Arc::clone(kind));
    // As about a camera, where it is; there whatever level is logged.
    let span = tracing::error_span!("job", job = %job.id, kind = job.kind, camera = job.camera.as_ref().map(tracing::field::display));
    engine
        .tasks
        .clone()
        .spawn(attempt(engine, kind, job, live, ctx).instrument(span));
    Ok(())
}

async fn attempt(engine: Arc<Engine>, kind: Arc<dyn JobKind>, job: JobRow, live: Arc<Live>, ctx: JobContext) {
    let began_ns = engine.clock.steady_ns();
    let reporter = AbortOnDrop(tokio::spawn(report(Arc::clone(&engine), Arc::clone(&live))));
    let work = {
        let (kind, params) = (Arc::clone(&kind), job.params.clone());
        let span = tracing::Span::current();
        AbortOnDrop(tokio::spawn(
            async move { kind.run(ctx, params).await }.instrument(span),
        ))
    };
    let ended = watch(&engine, &live, work).await;
    drop(reporter);
    let rules = engine.rules(&kind);
    let settled = retry::settle(ended, live.reason(), job.attempts, rules, engine.clock.now());
    let state = state_of(&settled);
    let settled = write(&engine, &job, settled).await;
    engine.running().remove(&job.id);
    let took_s = engine.clock.steady_ns().saturating_sub(began_ns) as f64 / 1e9;
    engine
        .figures
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .add(&job.kind, state, took_s);
    if let Some(job) = settled {
        let (error, message) = (job.error.as_deref().unwrap_or_default(), &job.message);
        match job.state {
            JobState::Failed => tracing::warn!(attempts = job.attempts, "a job failed: {error}"),
            JobState::Queued if message.is_empty() => {
                tracing::info!(attempts = job.attempts, next = %job.not_before, "a job is tried again: {error}");
            }
            state => tracing::info!(took_s, "a job is {}: {message}", state.as_str()),
        }
        engine.tell(&job).await;
    }
    engine.wake.notify_one();
}

const fn state_of(settled: &Settled) -> JobState {
    match settled {
        Settled::Done { .. } => JobState::Done,
        Settled::Failed { .. } => JobState::Failed,
        Settled::Cancelled => JobState::Cancelled,
        Settled::Again { .. } => JobState::Queued,
    }
}

/// Waits for the work; once it was asked to stop, for so long as it is given.
async fn watch(
    engine: &Engine,
    live: &Live,
    mut work: AbortOnDrop<Result<super::JobOutcome, JobError>>,
) -> Ended {
    let asked = async {
        live.stop.cancelled().await;
        let since = engine.clock.steady_ns();
        loop {
            engine.clock.sleep(STOP_LOOK).await;
            let grace = match live.reason() {
                Some(StopReason::Cancelled) => GRACE_CANCELLED,
                _ => GRACE,
            };
            let waited = engine.clock.steady_ns().saturating_sub(since);
            if waited >= crate::time::duration_ns(grace) && !live.is_committing() {
                return;
            }
        }
    };
    let result = tokio::select! {
        result = &mut work.0 => result,
        () = asked => {
            work.0.abort();
            tokio::select! {
                result = &mut work.0 => result,
                () = engine.clock.sleep(DROP_WAIT) => {
                    tracing::error!("a job does not stop; it is left behind");
                    return Ended::Abandoned;
                }
            }
        }
    };
    match result {
        Ok(Ok(outcome)) => Ended::Done(outcome),
        Ok(Err(e)) => Ended::Failed(e),
        Err(e) if e.is_cancelled() => Ended::Abandoned,
        Err(_) => Ended::Failed(JobError::passing(Error::new(
            ErrorKind::Internal,
            "a fault in this kind of job; the log has the details",
        ))),
    }
}

/// Writes the end of an attempt, as often as it takes: until the recorder stops. What cannot be written by then is
/// done again at the next start.
async fn write(engine: &Engine, job: &JobRow, settled: Settled) -> Option<JobRow> {
    let mut settled = settled;
    let mut told = false;
    loop {
        match engine
            .store
            .settle_job(job.id, engine.clock.now(), settled.clone())
            .await
        {
            Ok(row) => return row,
            Err(e) if e.kind() == ErrorKind::InvalidArgument => {
                settled = Settled::Failed { error: e.to_string() };
            }
            Err(e) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(error = %e, "the end of a job cannot be written yet");
                }
                if engine.stop.is_cancelled() {
                    return None;
                }
                tokio::select! {
                    () = engine.stop.cancelled() => {}
                    () = engine.clock.sleep(WRITE_AGAIN) => {}
                }
            }
        }
    }
}

/// Tells listeners how far a job is, and writes it now and then.
async fn report(engine: Arc<Engine>, live: Arc<Live>) {
    let mut turn = 0u32;
    loop {
        engine.clock.sleep(TELL).await;
        turn = turn.wrapping_add(1);
        let (told, written) = {
            let mut progress = live.progress();
            let event = progress.untold.then(|| EventKind::JobChanged {
                job: live.id,
                job_kind: live.kind.clone(),
                state: JobState::Running,
                progress: progress.fraction,
                message: progress.message.clone(),
            });
            progress.untold = false;
            let write = (turn.is_multiple_of(WRITE_EVERY) && progress.unwritten)
                .then(|| (progress.fraction, progress.message.clone()));
            if write.is_some() {
                progress.unwritten = false;
            }
            (event, write)
        };
        if let Some(kind) = told {
            let event = Event::new(engine.clock.now(), live.camera.clone(), kind);
            engine.events.publish(event);
        }
        if let Some((fraction, message)) = written {
            // It is written again with the next change, or with the end.
            if let Err(e) = engine.store.note_job(live.id, fraction, message, None).await {
                tracing::debug!(error = %e, "progress was not written");
            }
        }
    }
}

/// A task that does not outlive its owner.
#[derive(Debug)]
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
