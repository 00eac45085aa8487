//! The actor of one camera: it feeds the machine and does what the machine says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::journal::Journal;
use super::machine::{Action, Input, Machine, Patience};
use super::manual::Manual;
use super::session::{Output, Session};
use super::status::{CameraState, IngestStatus, ManualRecording, StatusCell};
use crate::clock::SharedClock;
use crate::config::{CameraConfig, RecordMode};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{CameraPhase, Cause, CauseKind, EventKind};
use crate::events::EventBus;
use crate::files::Tree;
use crate::gst::{Reactor, RecordSpec, RunEvent, RunInput, RunSpec};
use crate::segment::ClosedSegment;
use crate::store::Store;
use crate::time::Timestamp;

/// How often the watchdog looks.
const TICK: Duration = Duration::from_millis(500);
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
        duration: Option<Duration>,
        reply: oneshot::Sender<Result<ManualRecording>>,
    },
    StopRecording {
        reply: oneshot::Sender<Result<()>>,
    },
    StorageFault(Cause),
    StorageBack,
    /// What became of a segment that a fault of the storage had cut off: footage, with the number of bytes cut
    /// off, or nothing.
    Mended {
        path: PathBuf,
        segment: Option<(Box<ClosedSegment>, u64)>,
    },
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
    let actor = Actor {
        config,
        context,
        status: status.clone(),
        journal,
        machine,
        run: None,
        manual: None,
        stopped_by_hand: None,
        footage_end: None,
        stop_deadline: STOP_DEADLINE,
        shutdown: None,
        clean: true,
    };
    tokio::spawn(actor.work(rx));
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
    pub(super) context: Context,
    pub(super) status: Arc<StatusCell>,
    pub(super) journal: Journal,
    pub(super) machine: Machine,
    pub(super) run: Option<Session>,
    pub(super) manual: Option<Manual>,
    stopped_by_hand: Option<Cause>,
    footage_end: Option<Timestamp>,
    pub(super) stop_deadline: Duration,
    shutdown: Option<oneshot::Sender<bool>>,
    clean: bool,
}

/// Whose run an event came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Camera,
    Manual,
}

impl Actor {
    async fn work(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let now = self.context.clock.now();
        let idle = self
            .idle_cause()
            .unwrap_or_else(|| Cause::new(CauseKind::Startup, "connecting"));
        self.journal.open_gap(now, idle).await;
        self.want(Cause::new(CauseKind::Startup, "the recorder started"))
            .await;
        let mut dropped = false;
        let clock = self.context.clock.clone();
        let mut tick = clock.sleep(TICK);
        loop {
            let deadline = self.stop_deadline;
            let step = tokio::select! {
                command = commands.recv(), if !dropped => Step::Command(command),
                output = next(self.run.as_mut(), deadline) => Step::Output(Whose::Camera, output),
                output = next(self.manual.as_mut().and_then(|m| m.session.as_mut()), deadline) =>
                    Step::Output(Whose::Manual, output),
                () = &mut tick => Step::Tick,
            };
            match step {
                Step::Command(Some(command)) => self.command(command).await,
                // The handle is gone without a shutdown: the same, with nobody to tell.
                Step::Command(None) => {
                    dropped = true;
                    if self.shutdown.is_none() {
                        let (reply, _) = oneshot::channel();
                        self.begin_shutdown(Cause::new(CauseKind::Shutdown, "the camera was dropped"), reply)
                            .await;
                    }
                }
                Step::Output(whose, output) => self.output(whose, output).await,
                Step::Tick => {
                    self.tick().await;
                    tick = clock.sleep(TICK);
                }
            }
            if self.shutdown.is_some() && self.run.is_none() && self.manual.is_none() {
                break;
            }
        }
        self.journal.flush().await;
        if let Some(reply) = self.shutdown.take() {
            let _ = reply.send(self.clean && self.journal.is_written());
        }
    }

    pub(super) fn now_ns(&self) -> i64 {
        self.context.clock.steady_ns()
    }

    /// What the configuration and the operator want, told to the machine.
    async fn want(&mut self, cause: Cause) {
        let input = if let Some(by_hand) = &self.stopped_by_hand {
            Input::Unwant(by_hand.clone())
        } else if !self.config.enabled || self.config.record == RecordMode::Off {
            Input::Unwant(Cause::new(
                CauseKind::NotScheduled,
                "not to be recorded (configuration)",
            ))
        } else {
            Input::Want {
                record: self.config.record == RecordMode::Continuous,
                cause,
            }
        };
        self.tell(input).await;
    }

    async fn tell(&mut self, input: Input) {
        let now = self.now_ns();
        for action in self.machine.on(input, now, rand::random()) {
            self.act(action).await;
        }
        self.publish_state().await;
    }

    /// Shows where the camera stands. To the machine a recording by hand is standby: it only reads along.
    pub(super) async fn publish_state(&mut self) {
        let (now, steady) = (self.context.clock.now(), self.now_ns());
        let utc = |ns: i64| now.add_ns(ns - steady);
        let before = self.status.state();
        let by_hand = self.machine.phase() == CameraPhase::Standby && self.status.recording();
        let (phase, cause) = if by_hand {
            (
                CameraPhase::Recording,
                Cause::new(CauseKind::Requested, "recorded by hand"),
            )
        } else {
            (self.machine.phase(), self.machine.cause().clone())
        };
        if before.phase != phase {
            self.tell_phase(before.phase, phase, cause.clone(), now).await;
        }
        // `since` is computed once per phase: derived again it would tremble with the clocks.
        let since = if before.phase == phase { before.since } else { now };
        let next_try = match (before.next_try, self.machine.retry_at_ns()) {
            (Some(shown), Some(at)) if utc(at).since(shown).abs() < 1_000_000_000 => Some(shown),
            (_, at) => at.map(utc),
        };
        self.status.set_state(CameraState {
            phase,
            cause,
            since,
            next_try,
        });
    }

    async fn act(&mut self, action: Action) {
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

    async fn tell_phase(&mut self, from: CameraPhase, to: CameraPhase, cause: Cause, at: Timestamp) {
        let (id, kind) = (&self.config.id, cause.kind.as_str());
        match to {
            CameraPhase::BackingOff | CameraPhase::Failed | CameraPhase::Stalled => {
                tracing::warn!(camera = %id, phase = to.as_str(), cause = kind, "{}", cause.message);
            }
            _ => tracing::info!(camera = %id, phase = to.as_str(), cause = kind, "{}", cause.message),
        }
        if matches!(to, CameraPhase::BackingOff | CameraPhase::Failed) {
            self.status.restarted();
        }
        self.journal
            .event(at, EventKind::CameraState { from, to, cause })
            .await;
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
        let continuous = self.config.record == RecordMode::Continuous;
        let mut source = self.config.source.clone();
        if !self.config.audio {
            source.without_audio();
        }
        RunSpec {
            camera: self.config.id.clone(),
            input: RunInput::Source(source),
            record: continuous.then(|| self.record_spec()),
            audio: self.config.audio,
            clock: self.context.clock.clone(),
            keep: if continuous {
                Duration::ZERO
            } else {
                self.config.pre_roll
            },
            cause,
            reactor: self.context.reactor.clone(),
        }
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Start(cause) => {
                self.stopped_by_hand = None;
                self.want(cause).await;
            }
            Command::Stop(cause) => {
                self.stopped_by_hand = Some(cause.clone());
                self.end_manual().await;
                self.outage_ends(&cause).await;
                self.want(cause).await;
            }
            Command::Restart(cause) => {
                self.stopped_by_hand = None;
                self.begin_anew(cause).await;
            }
            Command::Split => {
                if let Some(run) = &self.run {
                    run.split();
                }
                if let Some(session) = self.manual.as_ref().and_then(|m| m.session.as_ref()) {
                    session.split();
                }
            }
            Command::Configure(config) => self.configure(*config).await,
            Command::Record { duration, reply } => {
                let result = self.record(duration).await;
                let _ = reply.send(result);
            }
            Command::StopRecording { reply } => {
                let result = if self.manual.is_some() {
                    self.end_manual().await;
                    Ok(())
                } else {
                    Err(Error::new(
                        ErrorKind::Conflict,
                        format!("camera {}: no recording by hand is going on", self.config.id),
                    ))
                };
                let _ = reply.send(result);
            }
            Command::StorageFault(cause) => {
                // Frames that go into a file that nobody can reach are lost as well: stop until it is back.
                let deadline = Duration::from_secs(1);
                let by_hand = self.manual.as_mut().and_then(|m| m.session.as_mut());
                for session in [by_hand, self.run.as_mut()].into_iter().flatten() {
                    if session.recording {
                        session.stop(cause.clone(), deadline);
                    }
                }
            }
            Command::StorageBack => {
                self.journal.flush().await;
                self.tell(Input::StorageBack).await;
                if let Some(manual) = &mut self.manual {
                    manual.retry_at_ns = 0;
                }
                self.resume_manual();
            }
            Command::Mended { path, segment } => match segment {
                Some((segment, cut_bytes)) => {
                    let at = self.context.clock.now();
                    self.journal.segment_mended(at, *segment, cut_bytes).await;
                }
                None => self.journal.segment_lost(path).await,
            },
            Command::Shutdown {
                cause,
                deadline,
                reply,
            } => {
                self.stop_deadline = deadline;
                self.begin_shutdown(cause, reply).await;
            }
        }
    }

    async fn begin_shutdown(&mut self, cause: Cause, reply: oneshot::Sender<bool>) {
        self.shutdown = Some(reply);
        let stopped_before = self.stopped_by_hand.replace(cause.clone()).is_some();
        self.end_manual().await;
        if !stopped_before {
            self.outage_ends(&cause).await;
        }
        self.want(cause).await;
    }

    /// The camera was away and is not wanted any more: from now on that is why footage is missing.
    async fn outage_ends(&mut self, cause: &Cause) {
        let wanted = self.config.enabled && self.config.record == RecordMode::Continuous;
        if self.run.is_none() && wanted {
            let now = self.context.clock.now();
            self.journal.open_gap(now, cause.clone()).await;
        }
    }

    async fn configure(&mut self, config: CameraConfig) {
        let mut renamed = self.config.clone();
        renamed.name.clone_from(&config.name);
        let same_stream = renamed == config;
        self.config = config;
        self.machine.set_patience(patience(&self.config));
        if same_stream {
            return;
        }
        if self.config.record != RecordMode::Manual || !self.config.enabled {
            self.end_manual().await;
        }
        let cause = Cause::new(
            CauseKind::ConfigChanged,
            "the configuration of the camera changed",
        );
        self.begin_anew(cause).await;
        if self.run.is_none() {
            let now = self.context.clock.now();
            self.idle_gap(now).await;
        }
    }

    /// Starts by what is wanted now: at once where nothing runs, else after the present run.
    async fn begin_anew(&mut self, cause: Cause) {
        let ran = self.machine.running();
        self.want(cause.clone()).await;
        if ran {
            self.tell(Input::Restart(cause)).await;
        }
    }

    async fn output(&mut self, whose: Whose, output: Output) {
        let event = match output {
            Output::Opening => {
                if whose == Whose::Camera {
                    self.tell(Input::Opening).await;
                }
                return;
            }
            Output::Event(event) => *event,
        };
        match event {
            RunEvent::Ingest { ingest, reason } => {
                if let Some(reason) = &reason {
                    tracing::warn!(camera = %self.config.id, reason, "recorded through rtspsrc, which costs more");
                }
                self.status.set_ingest(Some(IngestStatus { ingest, reason }));
            }
            RunEvent::Connected { tracks } | RunEvent::TracksChanged(tracks) => {
                if whose == Whose::Camera {
                    self.status.set_tracks(Some(tracks));
                }
            }
            RunEvent::RunStarted { run, anchor, cause } => {
                let before = self
                    .session(whose)
                    .and_then(|session| session.anchored.replace((run, anchor)));
                if self.session(whose).is_some_and(|s| s.records) {
                    if let Some((old, old_anchor)) = before {
                        // Where the clock would stand without its step.
                        let until = old_anchor
                            .utc
                            .add_ns(anchor.running_ns.saturating_sub(old_anchor.running_ns));
                        self.footage_end = None;
                        self.journal
                            .clock_stepped(old, until, anchor.utc, cause.clone())
                            .await;
                    }
                    self.journal.run_started(run, anchor, cause).await;
                }
                if whose == Whose::Camera {
                    self.status.set_run(Some(run));
                }
            }
            RunEvent::FirstFrame => {
                if whose == Whose::Camera {
                    if let Some(run) = &mut self.run {
                        run.release_turn();
                        let tap = run.tap();
                        self.status.set_tap(tap);
                    }
                    self.tell(Input::FirstFrame).await;
                    if let Some(manual) = &mut self.manual {
                        manual.retry_at_ns = 0;
                    }
                    self.resume_manual();
                }
            }
            RunEvent::SegmentOpened { start, path } => {
                if let Some(session) = self.session(whose) {
                    session.recording = true;
                }
                self.status.set_recording(true);
                self.journal.segment_opened(start, &path).await;
                self.publish_state().await;
            }
            RunEvent::SegmentClosed(segment) => {
                self.status.segment_done(segment.size_bytes);
                self.footage_end = Some(segment.range().end());
                self.journal.segment_closed(segment).await;
            }
            RunEvent::AudioTrouble(cause) => {
                let at = self.context.clock.now();
                tracing::warn!(camera = %self.config.id, "{}", cause.message);
                self.journal.event(at, EventKind::AudioTrouble { cause }).await;
            }
            RunEvent::FramesDropped { count, cause } => {
                let at = self.context.clock.now();
                tracing::error!(camera = %self.config.id, count, "frames lost: {}", cause.message);
                self.status.dropped(count);
                self.journal
                    .event(at, EventKind::FramesDropped { count, cause })
                    .await;
            }
            RunEvent::Ended(cause) => self.ended(whose, cause).await,
        }
    }

    fn session(&mut self, whose: Whose) -> Option<&mut Session> {
        match whose {
            Whose::Camera => self.run.as_mut(),
            Whose::Manual => self.manual.as_mut().and_then(|m| m.session.as_mut()),
        }
    }

    async fn ended(&mut self, whose: Whose, cause: Cause) {
        if whose == Whose::Camera {
            self.sample_stats();
        }
        let session = match whose {
            Whose::Camera => self.run.take(),
            Whose::Manual => self.manual.as_mut().and_then(|m| m.session.take()),
        };
        let Some(session) = session else { return };
        let now = self.context.clock.now();
        if session.records {
            self.clean &= session.was_clean() || self.shutdown.is_none();
            if let Some((run, _)) = session.anchored {
                self.journal.run_ended(run, now, cause.clone()).await;
            }
        }
        if cause.kind.is_storage() {
            let _ = self.context.storage.send(cause.clone());
        }
        let at = if session.recording {
            let at = self.last_footage().unwrap_or(now).min(now);
            self.footage_end = None;
            at
        } else {
            now
        };
        match whose {
            Whose::Camera => self.camera_ended(&session, at, cause).await,
            Whose::Manual => self.manual_ended(at, cause).await,
        }
    }

    /// Whether a segment grows now.
    pub(super) fn is_recording(&self) -> bool {
        let by_hand = self.manual.as_ref().and_then(|m| m.session.as_ref());
        [by_hand, self.run.as_ref()]
            .into_iter()
            .flatten()
            .any(|session| session.recording)
    }

    async fn camera_ended(&mut self, session: &Session, at: Timestamp, cause: Cause) {
        self.status.run_over();
        // The end of a recording by hand that only read along comes by itself, but not its reason.
        let by_hand = self.manual.as_ref().is_some_and(|m| !m.ending);
        if session.records && !self.is_recording() {
            let stopping = self.stopped_by_hand.is_some();
            let gap = self.idle_cause().filter(|_| !stopping);
            self.journal
                .open_gap(at, gap.unwrap_or_else(|| cause.clone()))
                .await;
        } else if by_hand {
            // One that brought no frame is another try of an outage that goes on.
            let last = session.anchored.and_then(|_| self.last_footage());
            let at = last.unwrap_or(at).min(at);
            self.journal.open_gap(at, cause.clone()).await;
        }
        self.status.set_recording(self.is_recording());
        self.tell(Input::Ended(cause)).await;
    }

    /// UTC up to which footage reaches: the end of the last closed segment, or of the frames seen.
    fn last_footage(&self) -> Option<Timestamp> {
        self.footage_end.max(self.status.status().last_frame)
    }

    /// Why nothing is to be recorded by the configuration; `None` when it is to be.
    fn idle_cause(&self) -> Option<Cause> {
        let words = match self.config.record {
            _ if !self.config.enabled => "the camera is disabled",
            RecordMode::Off => "the camera is not recorded",
            RecordMode::Manual => "recorded by hand only",
            RecordMode::Continuous => return None,
        };
        Some(Cause::new(CauseKind::NotScheduled, words))
    }

    pub(super) async fn idle_gap(&mut self, at: Timestamp) {
        if let Some(cause) = self.idle_cause() {
            self.journal.open_gap(at, cause).await;
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

    async fn tick(&mut self) {
        let input = self.sample_stats().unwrap_or(Input::Tick {
            last_frame_ns: None,
            usual_pause_ns: 0,
        });
        self.tell(input).await;
        self.journal.flush().await;
        self.tick_manual().await;
    }
}

enum Step {
    Command(Option<Command>),
    Output(Whose, Output),
    Tick,
}

async fn next(session: Option<&mut Session>, deadline: Duration) -> Output {
    match session {
        Some(session) => session.next(deadline).await,
        None => std::future::pending().await,
    }
}
