//! One run as the actor holds it: being started, running, being stopped.

use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::error::Error;
use crate::event::Cause;
use crate::gst::{Run, RunEvent, RunInput, RunSpec, RunStats, Tap};
use crate::ids::RunId;
use crate::run::Anchor;
use crate::source::SourceSpec;

/// What became of a start.
#[derive(Debug)]
pub(crate) enum Started {
    /// Its turn came; the source is being opened.
    Opening,
    /// The pipeline runs.
    Running(
        Box<Run>,
        mpsc::UnboundedReceiver<RunEvent>,
        Option<OwnedSemaphorePermit>,
    ),
    /// It could not be built.
    Failed(Cause),
}

/// Why a run could not be built.
fn cause_of(e: &Error, source: Option<&SourceSpec>) -> Cause {
    match (crate::fault::cause_of(e), source) {
        (Some(storage), _) => storage,
        (None, Some(source)) => crate::gst::cause_of_build(e, source),
        (None, None) => Cause::new(crate::event::CauseKind::Internal, e.to_string()),
    }
}

/// A run from the wish to have it to its end.
#[derive(Debug)]
pub(crate) struct Session {
    starting: Option<mpsc::UnboundedReceiver<Started>>,
    run: Option<Box<Run>>,
    events: Option<mpsc::UnboundedReceiver<RunEvent>>,
    permit: Option<OwnedSemaphorePermit>,
    stop_with: Option<Cause>,
    /// The present run and its anchor, once there is one.
    pub(crate) anchored: Option<(RunId, Anchor)>,
    last_stats: RunStats,
    frames_seen: u64,
    last_frame_seen: Option<i64>,
    longest_pause_ns: i64,
}

/// What comes out of a session.
#[derive(Debug)]
pub(crate) enum Output {
    Opening,
    Event(Box<RunEvent>),
}

impl Session {
    /// Begins to start a run, in its turn among all that start.
    pub(crate) fn start(spec: RunSpec, turns: Option<std::sync::Arc<tokio::sync::Semaphore>>) -> Self {
        let (tx, rx) = mpsc::unbounded_channel();
        let source = match &spec.input {
            RunInput::Source(source) => Some(source.clone()),
            RunInput::Tap { .. } => None,
        };
        tokio::spawn(async move {
            let permit = match turns {
                Some(turns) => turns.acquire_owned().await.ok(),
                None => None,
            };
            if tx.send(Started::Opening).is_err() {
                return;
            }
            let started = tokio::task::spawn_blocking(move || Run::start(spec)).await;
            let message = match started {
                Ok(Ok((run, events))) => Started::Running(Box::new(run), events, permit),
                Ok(Err(e)) => Started::Failed(cause_of(&e, source.as_ref())),
                Err(e) => Started::Failed(Cause::new(crate::event::CauseKind::Internal, e.to_string())),
            };
            if let Err(mpsc::error::SendError(Started::Running(run, ..))) = tx.send(message) {
                // Nobody wants it any more.
                tokio::task::spawn_blocking(move || run.stop(Duration::ZERO));
            }
        });
        Self {
            starting: Some(rx),
            run: None,
            events: None,
            permit: None,
            stop_with: None,
            anchored: None,
            last_stats: RunStats::default(),
            frames_seen: 0,
            last_frame_seen: None,
            longest_pause_ns: 0,
        }
    }

    /// The next thing that happens; always ends with `Ended`, then never resolves.
    pub(crate) async fn next(&mut self, stop_deadline: Duration) -> Output {
        loop {
            if let Some(starting) = &mut self.starting {
                match starting.recv().await {
                    Some(Started::Opening) => return Output::Opening,
                    Some(Started::Running(run, events, permit)) => {
                        self.starting = None;
                        self.run = Some(run);
                        self.events = Some(events);
                        self.permit = permit;
                        if self.stop_with.is_some() {
                            self.stop_now(stop_deadline);
                        }
                    }
                    Some(Started::Failed(cause)) => return self.end(cause),
                    None => {
                        let cause =
                            Cause::new(crate::event::CauseKind::Internal, "the start of the run was lost");
                        return self.end(cause);
                    }
                }
            } else if let Some(events) = &mut self.events {
                match events.recv().await {
                    Some(RunEvent::Ended(cause)) => return self.end(cause),
                    Some(event) => return Output::Event(Box::new(event)),
                    None => {
                        let cause =
                            Cause::new(crate::event::CauseKind::Internal, "the run ended without a word");
                        return self.end(cause);
                    }
                }
            } else {
                std::future::pending::<()>().await;
            }
        }
    }

    fn end(&mut self, cause: Cause) -> Output {
        self.starting = None;
        self.events = None;
        self.permit = None;
        if let Some(run) = self.run.take() {
            self.last_stats = run.stats();
            // The pipeline is brought down off the actor: a hung camera takes its time.
            tokio::task::spawn_blocking(move || run.stop(Duration::ZERO));
        }
        Output::Event(Box::new(RunEvent::Ended(self.stop_with.take().unwrap_or(cause))))
    }

    /// Stops in order; `Ended` with this cause follows.
    pub(crate) fn stop(&mut self, cause: Cause, deadline: Duration) {
        self.stop_with.get_or_insert(cause);
        self.stop_now(deadline);
    }

    fn stop_now(&mut self, deadline: Duration) {
        if let Some(run) = self.run.take() {
            self.last_stats = run.stats();
            tokio::task::spawn_blocking(move || run.stop(deadline));
        }
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

    /// Figures now, and the longest pause between two frames seen so far.
    pub(crate) fn stats(&mut self) -> (RunStats, i64) {
        let stats = self.run.as_ref().map_or(self.last_stats, |r| r.stats());
        if let (Some(before), Some(now)) = (self.last_frame_seen, stats.last_frame_steady_ns)
            && stats.frames > self.frames_seen
        {
            let frames = i64::try_from(stats.frames - self.frames_seen).unwrap_or(i64::MAX);
            self.longest_pause_ns = self.longest_pause_ns.max((now - before) / frames);
        }
        self.frames_seen = stats.frames;
        self.last_frame_seen = stats.last_frame_steady_ns;
        (stats, self.longest_pause_ns)
    }
}
