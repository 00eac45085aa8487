//! The actor of one camera: it feeds the machine and does what the machine says.

mod commands;
mod outputs;
mod phase;
mod watched;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::Instrument as _;

use self::outputs::Whose;
use super::handle::RecordRequest;
use super::journal::Journal;
use super::machine::{Action, Input, Machine, Patience};
use super::manual::Manual;
use super::session::{Output, Session};
use super::status::{CameraState, ManualRecording, StatusCell};
use super::wanted::Tapped;
use super::wish::{Wish, WishId, Wishes};
use crate::about;
use crate::clock::SharedClock;
use crate::config::{CameraConfig, RecordMode};
use crate::error::Result;
use crate::event::{CameraPhase, Cause, CauseKind};
use crate::events::EventBus;
use crate::files::Tree;
use crate::gst::{Reactor, RecordSpec, RunInput, RunSpec};
use crate::segment::ClosedSegment;
use crate::store::Store;
use crate::time::Timestamp;

/// How often the watchdog looks.
const TICK: Duration = Duration::from_millis(500);
/// How long a camera that nobody records stays connected behind its last viewer.
pub(in crate::camera) const LINGER: Duration = Duration::from_secs(10);
/// How long an orderly stop of one run may take outside a shutdown.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// What all cameras of a recorder share.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) clock: SharedClock,
    pub(crate) store: Store,
    pub(crate) tree: Tree,
    pub(crate) events: Arc<EventBus>,
    pub(crate) turns: Arc<Semaphore>,
    /// The same for sub streams, whose turns are their own: they must not hold up what is recorded.
    pub(crate) sub_turns: Arc<Semaphore>,
    /// Serves the connections of lean sources.
    pub(crate) reactor: Reactor,
    pub(crate) manual: Arc<Semaphore>,
    /// Told about storage faults; the recorder watches the disk for all.
    pub(crate) storage: mpsc::UnboundedSender<Cause>,
}

/// What an actor is told from outside.
#[derive(Debug)]
pub(crate) enum Command {
    Start(Cause),
    Stop(Cause),
    Restart(Cause),
    Split,
    Configure(Box<CameraConfig>),
    Record {
        request: RecordRequest,
        reply: oneshot::Sender<Result<ManualRecording>>,
    },
    StopRecording {
        reply: oneshot::Sender<Result<()>>,
    },
    /// Somebody wants it recorded, or changed his mind about how long.
    Want(Wish),
    Unwant(WishId),
    StorageFault(Cause),
    StorageBack,
    /// Stay connected and record nothing: the disk has no room.
    Pause(Cause),
    Unpause,
    /// What became of a segment that a fault of the storage had cut off: footage, with the number of bytes cut
    /// off, or nothing.
    Mended {
        path: PathBuf,
        segment: Option<(Box<ClosedSegment>, u64)>,
    },
    /// Say that somebody is there.
    Answer(oneshot::Sender<()>),
    /// End; the reply tells whether the last segment was closed in order.
    Shutdown {
        cause: Cause,
        deadline: Duration,
        reply: oneshot::Sender<bool>,
    },
}

/// Starts the actor of a camera.
pub(crate) fn spawn(
    config: CameraConfig,
    context: Context,
) -> (mpsc::UnboundedSender<Command>, Arc<StatusCell>) {
    let (tx, rx) = mpsc::unbounded_channel();
    let span = about::camera(&config.id);
    let now = context.clock.now();
    let status = Arc::new(StatusCell::new(
        config.id.clone(),
        CameraState {
            phase: CameraPhase::Stopped,
            cause: Cause::new(CauseKind::Startup, "not started yet"),
            since: now,
            next_try: None,
        },
    ));
    let journal = Journal::new(
        config.id.clone(),
        context.store.clone(),
        context.tree.clone(),
        context.events.clone(),
    );
    let machine = Machine::new(context.clock.steady_ns(), patience(&config));
    let mode = config.mode_at(now);
    status.set_mode(mode);
    let actor = Actor {
        config,
        mode,
        context,
        status: status.clone(),
        journal,
        machine,
        run: None,
        manual: None,
        wishes: Wishes::default(),
        tapped: Tapped::default(),
        stopped_by_hand: None,
        watched: false,
        unwatched_since_ns: None,
        paused: None,
        footage_end: None,
        stop_deadline: STOP_DEADLINE,
        shutdown: None,
        clean: true,
    };
    tokio::spawn(actor.work(rx).instrument(span));
    (tx, status)
}

fn patience(config: &CameraConfig) -> Patience {
    Patience {
        watchdog: config.watchdog,
        connect: config.start_deadline,
    }
}

pub(super) struct Actor {
    pub(super) config: CameraConfig,
    /// How it is recorded now, by its configuration and schedule.
    pub(super) mode: RecordMode,
    pub(super) context: Context,
    pub(super) status: Arc<StatusCell>,
    pub(super) journal: Journal,
    pub(super) machine: Machine,
    pub(super) run: Option<Session>,
    pub(super) manual: Option<Manual>,
    pub(super) wishes: Wishes,
    pub(super) tapped: Tapped,
    stopped_by_hand: Option<Cause>,
    /// Connected for somebody who watches, or did a moment ago.
    watched: bool,
    unwatched_since_ns: Option<i64>,
    /// Why nothing is recorded though it is wanted.
    pub(super) paused: Option<Cause>,
    footage_end: Option<Timestamp>,
    pub(super) stop_deadline: Duration,
    shutdown: Option<oneshot::Sender<bool>>,
    clean: bool,
}

impl Actor {
    async fn work(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let now = self.context.clock.now();
        let idle = self
            .idle_cause()
            .unwrap_or_else(|| Cause::new(CauseKind::Startup, "connecting"));
        self.journal.open_gap(now, idle);
        self.want(Cause::new(CauseKind::Startup, "the recorder started"));
        let mut dropped = false;
        let clock = self.context.clock.clone();
        let viewing = Arc::clone(&self.status.viewing);
        let mut tick = clock.tick(TICK);
        loop {
            let deadline = self.stop_deadline;
            let step = tokio::select! {
                command = commands.recv(), if !dropped => Step::Command(command),
                output = next(self.run.as_mut(), deadline) => Step::Output(Whose::Camera, output),
                output = next(self.tapped.session.as_mut(), deadline) => Step::Output(Whose::Wishes, output),
                () = viewing.asked() => Step::Watched,
                () = &mut tick => Step::Tick,
            };
            match step {
                Step::Command(Some(command)) => self.command(command),
                // The handle is gone without a shutdown: the same, with nobody to tell.
                Step::Command(None) => {
                    dropped = true;
                    if self.shutdown.is_none() {
                        let (reply, _) = oneshot::channel();
                        self.begin_shutdown(Cause::new(CauseKind::Shutdown, "the camera was dropped"), reply);
                    }
                }
                Step::Output(whose, output) => self.output(whose, output),
                Step::Watched => self.look_after_viewers(),
                Step::Tick => {
                    self.tick();
                    tick = clock.tick(TICK);
                }
            }
            if self.shutdown.is_some() && self.run.is_none() && self.tapped.session.is_none() {
                break;
            }
        }
        viewing.close();
        // Whoever hears of the end gives no more orders: they would be taken, and lost.
        drop(commands);
        let written = self.journal.close().await;
        if let Some(reply) = self.shutdown.take() {
            let _ = reply.send(self.clean && written);
        }
    }

    pub(in crate::camera) fn shutdown_asked(&self) -> Option<&oneshot::Sender<bool>> {
        self.shutdown.as_ref()
    }

    pub(super) fn now_ns(&self) -> i64 {
        self.context.clock.steady_ns()
    }

    /// What the configuration and the operator want, told to the machine.
    pub(in crate::camera) fn want(&mut self, cause: Cause) {
        let input = if let Some(by_hand) = &self.stopped_by_hand {
            Input::Unwant(by_hand.clone())
        } else if !self.config.enabled
            || (self.mode == RecordMode::Off && !self.watched && !self.tapped.ready)
        {
            Input::Unwant(Cause::new(CauseKind::NotScheduled, self.unwanted()))
        } else {
            Input::Want {
                record: self.records(),
                cause,
            }
        };
        self.tell(input);
    }

    /// Whether frames go to a file as they come.
    fn records(&self) -> bool {
        self.mode == RecordMode::Continuous && self.paused.is_none()
    }

    fn tell(&mut self, input: Input) {
        let now = self.now_ns();
        for action in self.machine.on(input, now, rand::random()) {
            self.act(action);
        }
        self.publish_state();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start(cause) => {
                let spec = self.run_spec(cause);
                self.run = Some(Session::start(spec, Some(self.context.turns.clone())));
            }
            Action::Stop(cause) => {
                let deadline = self.stop_deadline;
                if let Some(run) = &mut self.run {
                    run.stop(cause, deadline);
                }
            }
            // Told when the state is published, in which a recording by hand has its part.
            Action::Phase { .. } => {}
        }
    }

    pub(super) fn record_spec(&self) -> RecordSpec {
        RecordSpec {
            segment: self.config.segment,
            chunk: self.config.chunk,
            container: self.config.container,
            files: Arc::new(self.context.tree.clone()),
        }
    }

    fn run_spec(&self, cause: Cause) -> RunSpec {
        let records = self.records();
        let mut source = self.config.source.clone();
        if !self.config.audio {
            source.without_audio();
        }
        RunSpec {
            camera: self.config.id.clone(),
            input: RunInput::Source(source),
            record: records.then(|| self.record_spec()),
            audio: self.config.audio,
            clock: self.context.clock.clone(),
            keep: self.keep(),
            cause,
            reactor: self.context.reactor.clone(),
        }
    }

    fn sample_stats(&mut self) -> Option<Input> {
        let clock = self.context.clock.clone();
        let run = self.run.as_mut()?;
        let (stats, usual_pause_ns) = run.stats();
        let last_frame = stats
            .last_frame_steady_ns
            .map(|ns| clock.now().add_ns(ns - clock.steady_ns()));
        self.status.set_stats(stats, last_frame);
        Some(Input::Tick {
            last_frame_ns: stats.last_frame_steady_ns,
            usual_pause_ns,
        })
    }

    fn tick(&mut self) {
        let input = self.sample_stats().unwrap_or(Input::Tick {
            last_frame_ns: None,
            usual_pause_ns: 0,
        });
        self.tell(input);
        self.follow_schedule();
        self.journal.retry();
        self.status.set_backlog(self.journal.backlog());
        self.tick_wishes();
        self.look_after_viewers();
    }
}

enum Step {
    Command(Option<Command>),
    Output(Whose, Output),
    Watched,
    Tick,
}

async fn next(session: Option<&mut Session>, deadline: Duration) -> Output {
    match session {
        Some(session) => session.next(deadline).await,
        None => std::future::pending().await,
    }
}
