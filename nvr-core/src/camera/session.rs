//! One run as the actor holds it: waiting for its turn, being started, running, being brought down.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument as _;

use crate::error::Error;
use crate::event::{Cause, CauseKind};
use crate::gst::{Run, RunEvent, RunInput, RunSpec, RunStats, Tap};
use crate::ids::RunId;
use crate::run::Anchor;
use crate::source::SourceSpec;

/// How long the end of a run waits for its pipeline to be gone, beyond the deadline of the stop. A device can
/// be opened again only then; but a source that hangs for good must not hold the camera up for good.
const GONE: Duration = Duration::from_secs(5);
/// For a run that said it ended and is about to say how.
const ENDED: Duration = Duration::from_secs(1);

/// What became of a start.
#[derive(Debug)]
enum Started {
    /// Its turn came; the source is being opened.
    Opening,
    /// The pipeline runs.
    Running(
        Box<Run>,
        mpsc::UnboundedReceiver<RunEvent>,
        Option<OwnedSemaphorePermit>,
    ),
    /// It could not be built, or was not wanted any more.
    Failed(Cause),
}

/// Why a run could not be built.
fn cause_of(e: &Error, source: Option<&SourceSpec>) -> Cause {
    match (crate::fault::cause_of(e), source) {
        (Some(storage), _) => storage,
        (None, Some(source)) => crate::gst::cause_of_build(e, source),
        (None, None) => Cause::new(CauseKind::Internal, e.to_string()),
    }
}

/// A pipeline on its way out.
#[derive(Debug)]
struct Teardown {
    /// Gives whether the last segment was closed in order.
    done: JoinHandle<bool>,
    limit: Pin<Box<tokio::time::Sleep>>,
}

/// A run from the wish to have it to its end.
#[derive(Debug)]
pub(crate) struct Session {
    /// Given up when it is stopped, or dropped, before its turn comes.
    turn: Option<DropGuard>,
    starting: Option<mpsc::UnboundedReceiver<Started>>,
    run: Option<Box<Run>>,
    events: Option<mpsc::UnboundedReceiver<RunEvent>>,
    permit: Option<OwnedSemaphorePermit>,
    stop_with: Option<Cause>,
    teardown: Option<Teardown>,
    /// The run said why it ended; its pipeline is not gone yet.
    ended: Option<Cause>,
    clean: bool,
    /// Whether it was started to write segments.
    pub(crate) records: bool,
    /// Whether a segment was opened.
    pub(crate) recording: bool,
    /// The present run and its anchor, once there is one.
    pub(crate) anchored: Option<(RunId, Anchor)>,
    last_stats: RunStats,
    pauses: Pauses,
}

/// What comes out of a session.
#[derive(Debug)]
pub(crate) enum Output {
    Opening,
    Event(Box<RunEvent>),
}

impl Session {
    /// Begins to start a run, in its turn among all that start.
    pub(crate) fn start(spec: RunSpec, turns: Option<Arc<Semaphore>>) -> Self {
        let (tx, rx) = mpsc::unbounded_channel();
        let source = match &spec.input {
            RunInput::Source(source) => Some(source.clone()),
            RunInput::Tap { .. } => None,
        };
        let given_up = CancellationToken::new();
        let turn = given_up.clone().drop_guard();
        let records = spec.record.is_some();
        let span = tracing::Span::current();
        let work = async move {
            let permit = match turns {
                Some(turns) => tokio::select! {
                    biased;
                    () = given_up.cancelled() => None,
                    permit = turns.acquire_owned() => permit.ok(),
                },
                None => None,
            };
            if given_up.is_cancelled() {
                let cause = Cause::new(CauseKind::Requested, "stopped before its turn came");
                let _ = tx.send(Started::Failed(cause));
                return;
            }
            if tx.send(Started::Opening).is_err() {
                return;
            }
            let span = tracing::Span::current();
            let started = tokio::task::spawn_blocking(move || span.in_scope(|| Run::start(spec))).await;
            let message = match started {
                Ok(Ok((run, events))) => Started::Running(Box::new(run), events, permit),
                Ok(Err(e)) => Started::Failed(cause_of(&e, source.as_ref())),
                Err(e) => Started::Failed(Cause::new(CauseKind::Internal, e.to_string())),
            };
            if let Err(mpsc::error::SendError(Started::Running(run, ..))) = tx.send(message) {
                // Nobody wants it any more.
                let span = tracing::Span::current();
                tokio::task::spawn_blocking(move || span.in_scope(|| run.stop(Duration::ZERO)));
            }
        };
        tokio::spawn(work.instrument(span));
        Self {
            turn: Some(turn),
            starting: Some(rx),
            run: None,
            events: None,
            permit: None,
            stop_with: None,
            teardown: None,
            ended: None,
            clean: true,
            records,
            recording: false,
            anchored: None,
            last_stats: RunStats::default(),
            pauses: Pauses::default(),
        }
    }

    /// The next thing that happens; always ends with `Ended`, when the pipeline is gone, and then never
    /// resolves. Cancel-safe.
    pub(crate) async fn next(&mut self, stop_deadline: Duration) -> Output {
        loop {
            if self.ended.is_some() {
                if let Some(teardown) = &mut self.teardown {
                    self.clean = tokio::select! {
                        clean = &mut teardown.done => clean.unwrap_or(false),
                        () = &mut teardown.limit => false,
                    };
                    self.teardown = None;
                }
                // Only now: until its connection is closed, it takes the place of another.
                self.permit = None;
                if let Some(cause) = self.ended.take() {
                    let cause = self.stop_with.take().unwrap_or(cause);
                    return Output::Event(Box::new(RunEvent::Ended(cause)));
                }
            } else if let Some(starting) = &mut self.starting {
                match starting.recv().await {
                    Some(Started::Opening) => return Output::Opening,
                    Some(Started::Running(run, events, permit)) => {
                        self.starting = None;
                        self.run = Some(run);
                        self.events = Some(events);
                        self.permit = permit;
                        if self.stop_with.is_some() {
                            self.bring_down(stop_deadline);
                        }
                    }
                    Some(Started::Failed(cause)) => self.end(cause),
                    None => self.end(Cause::new(CauseKind::Internal, "the start of the run was lost")),
                }
            } else if let Some(events) = &mut self.events {
                match events.recv().await {
                    Some(RunEvent::Ended(cause)) => self.end(cause),
                    Some(event) => return Output::Event(Box::new(event)),
                    None => self.end(Cause::new(CauseKind::Internal, "the run ended without a word")),
                }
            } else {
                std::future::pending::<()>().await;
            }
        }
    }

    fn end(&mut self, cause: Cause) {
        self.starting = None;
        self.events = None;
        self.bring_down(ENDED);
        self.ended = Some(cause);
    }

    /// Stops in order; `Ended` with this cause follows.
    pub(crate) fn stop(&mut self, cause: Cause, deadline: Duration) {
        self.stop_with.get_or_insert(cause);
        self.turn = None;
        self.bring_down(deadline);
    }

    /// Ends the pipeline off the actor: a hung camera takes its time.
    fn bring_down(&mut self, deadline: Duration) {
        if let Some(run) = self.run.take() {
            self.last_stats = run.stats();
            let span = tracing::Span::current();
            self.teardown = Some(Teardown {
                done: tokio::task::spawn_blocking(move || span.in_scope(|| run.stop(deadline).clean)),
                limit: Box::pin(tokio::time::sleep(deadline.saturating_add(GONE))),
            });
        }
    }

    /// After its end: whether the last segment was closed in order.
    pub(crate) const fn was_clean(&self) -> bool {
        self.clean
    }

    /// The turn is over: the first frame is there.
    pub(crate) fn release_turn(&mut self) {
        self.permit = None;
    }

    pub(crate) fn tap(&self) -> Option<Tap> {
        self.run.as_ref().map(|r| r.tap())
    }

    pub(crate) fn split(&self) {
        if let Some(run) = &self.run {
            run.split();
        }
    }

    /// Figures now, and how long the pauses between its frames are.
    pub(crate) fn stats(&mut self) -> (RunStats, i64) {
        let stats = self.run.as_ref().map_or(self.last_stats, |r| r.stats());
        if let Some(at) = stats.last_frame_steady_ns {
            self.pauses.seen(stats.frames, at);
        }
        (stats, self.pauses.usual_ns)
    }
}

/// How far apart a camera's frames are, from its counter looked at now and then.
#[derive(Debug, Default)]
struct Pauses {
    frames: u64,
    last_ns: Option<i64>,
    usual_ns: i64,
}

impl Pauses {
    /// A longer pause counts at once. It is forgotten again in about eight looks that saw frames: one stall
    /// must not make the watchdog patient for good.
    fn seen(&mut self, frames: u64, last_ns: i64) {
        if let Some(before) = self.last_ns
            && frames > self.frames
        {
            let new = i64::try_from(frames - self.frames).unwrap_or(i64::MAX);
            let pause = last_ns.saturating_sub(before) / new;
            self.usual_ns = pause.max(self.usual_ns - self.usual_ns / 4);
        }
        self.frames = frames;
        self.last_ns = Some(last_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::gst::RunInput;
    use crate::ids::CameraId;
    use crate::source::SourceSpec;

    const S: i64 = 1_000_000_000;

    #[test]
    fn a_slow_camera_stays_slow_and_one_stall_is_forgotten() {
        let mut slow = Pauses::default();
        for n in 0..10u64 {
            // Looked at more often than frames come.
            slow.seen(n, n as i64 * 8 * S);
            slow.seen(n, n as i64 * 8 * S);
        }
        assert_eq!(slow.usual_ns, 8 * S);

        let mut fast = Pauses::default();
        fast.seen(0, 0);
        fast.seen(1, 9 * S);
        assert_eq!(fast.usual_ns, 9 * S);
        for n in 1..=20u64 {
            fast.seen(1 + n * 12, 9 * S + n as i64 * S / 2);
        }
        assert!(fast.usual_ns < S / 10, "{}", fast.usual_ns);
    }

    fn spec() -> RunSpec {
        RunSpec {
            camera: CameraId::new("cam").unwrap(),
            input: RunInput::Source(SourceSpec::parse("test:?size=160x120&fps=10&audio=0").unwrap()),
            record: None,
            audio: true,
            clock: SystemClock::shared(),
            keep: Duration::ZERO,
            cause: Cause::new(CauseKind::Startup, "test"),
            reactor: crate::gst::Reactor::new(),
        }
    }

    #[tokio::test]
    async fn one_that_waits_for_its_turn_ends_at_once_when_it_is_stopped() {
        let turns = Arc::new(Semaphore::new(1));
        let taken = turns.clone().acquire_owned().await.unwrap();
        let mut session = Session::start(spec(), Some(turns.clone()));
        let cause = Cause::new(CauseKind::ConfigChanged, "removed");
        session.stop(cause.clone(), Duration::from_secs(1));
        let Output::Event(event) = session.next(Duration::from_secs(1)).await else {
            panic!("it was opened");
        };
        assert_eq!(*event, RunEvent::Ended(cause));
        drop(taken);
        assert_eq!(turns.available_permits(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_is_told_when_the_pipeline_is_gone() {
        let mut session = Session::start(spec(), None);
        let deadline = Duration::from_secs(5);
        loop {
            if let Output::Event(event) = session.next(deadline).await
                && *event == RunEvent::FirstFrame
            {
                break;
            }
        }
        let pipelines = session.run.as_ref().unwrap().weak_pipelines();
        session.stop(Cause::new(CauseKind::Requested, "test"), deadline);
        while !matches!(session.next(deadline).await, Output::Event(e) if matches!(*e, RunEvent::Ended(_))) {}
        assert!(session.was_clean());
        assert!(session.run.is_none() && session.teardown.is_none());
        // GStreamer's own threads may hold a stopped one for a moment longer.
        let gone = async {
            while pipelines.iter().any(|p| p.upgrade().is_some()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    }
}
