//! A camera's sub stream: connected while somebody watches it, never recorded, and no matter of the main stream.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument as _;

use super::machine::{Action, Input, Machine, Patience};
use super::session::{Output, Session};
use super::supervisor::{Context, LINGER};
use crate::about;
use crate::config::CameraConfig;
use crate::event::{CameraPhase, Cause, CauseKind};
use crate::gst::{RunEvent, RunInput, RunSpec};
use crate::live::Viewing;
use crate::source::SourceSpec;
use crate::time::duration_ns;

const TICK: Duration = Duration::from_millis(500);
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// The handle's part. Dropped, or told to, the stream ends.
#[derive(Debug)]
pub(crate) struct SubStream {
    pub(crate) viewing: Arc<Viewing>,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl SubStream {
    /// Starts the task that looks after it; the configuration is looked up again and again.
    pub(crate) fn spawn(config: Arc<ArcSwap<CameraConfig>>, context: Context) -> Arc<Self> {
        let span = about::camera(&config.load().id);
        let viewing = Viewing::new(span.clone());
        let stop = CancellationToken::new();
        let patience = {
            let config = config.load();
            Patience {
                watchdog: config.watchdog,
                connect: config.start_deadline,
            }
        };
        let keeper = Keeper {
            machine: Machine::new(context.clock.steady_ns(), patience),
            config,
            context,
            viewing: Arc::clone(&viewing),
            session: None,
            source: None,
            wanted: false,
            unwatched_since_ns: None,
        };
        tokio::spawn(keeper.work(stop.clone()).instrument(span));
        Arc::new(Self {
            viewing,
            _guard: stop.clone().drop_guard(),
            stop,
        })
    }

    /// Ends it.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

struct Keeper {
    config: Arc<ArcSwap<CameraConfig>>,
    context: Context,
    viewing: Arc<Viewing>,
    machine: Machine,
    session: Option<Session>,
    /// What the present session was started with, or the next one will be.
    source: Option<SourceSpec>,
    wanted: bool,
    unwatched_since_ns: Option<i64>,
}

enum Step {
    Stop,
    Output(Output),
    Look,
}

impl Keeper {
    async fn work(mut self, stop: CancellationToken) {
        let clock = self.context.clock.clone();
        let viewing = Arc::clone(&self.viewing);
        loop {
            // Nothing to look after: no timer runs for it.
            let idle = !self.wanted && self.session.is_none();
            let step = tokio::select! {
                () = stop.cancelled() => Step::Stop,
                output = next(self.session.as_mut()) => Step::Output(output),
                () = viewing.asked() => Step::Look,
                () = clock.tick(TICK), if !idle => Step::Look,
            };
            match step {
                Step::Stop => break,
                Step::Output(output) => self.output(output),
                Step::Look => self.look(),
            }
        }
        viewing.close();
        if let Some(mut session) = self.session.take() {
            session.stop(
                Cause::new(CauseKind::Shutdown, "the recorder stopped"),
                STOP_DEADLINE,
            );
            while !matches!(session.next(STOP_DEADLINE).await, Output::Event(e) if matches!(*e, RunEvent::Ended(_)))
            {
            }
        }
    }

    fn look(&mut self) {
        let config = self.config.load_full();
        let now = self.context.clock.steady_ns();
        if self.viewing.is_watched() {
            self.unwatched_since_ns = None;
        } else {
            self.unwatched_since_ns.get_or_insert(now);
        }
        let recent = self
            .unwatched_since_ns
            .is_none_or(|since| now.saturating_sub(since) < duration_ns(LINGER));
        let source = config.sub.clone().filter(|_| config.enabled);
        let wanted = recent && source.is_some();
        let changed = self.source != source;
        self.source = source;
        if wanted != self.wanted {
            self.wanted = wanted;
            self.tell(if wanted {
                Input::Want {
                    record: false,
                    cause: Cause::new(CauseKind::Requested, "somebody watches"),
                }
            } else {
                Input::Unwant(Cause::new(CauseKind::Requested, "nobody watches any more"))
            });
        } else if changed && wanted {
            self.tell(Input::Restart(Cause::new(
                CauseKind::ConfigChanged,
                "the configuration of the camera changed",
            )));
        }
        let (last_frame_ns, usual_pause_ns) = self.session.as_mut().map_or((None, 0), |session| {
            let (stats, pause) = session.stats();
            (stats.last_frame_steady_ns, pause)
        });
        self.tell(Input::Tick {
            last_frame_ns,
            usual_pause_ns,
        });
    }

    fn output(&mut self, output: Output) {
        let event = match output {
            Output::Opening => return self.tell(Input::Opening),
            Output::Event(event) => *event,
        };
        match event {
            RunEvent::Connected { tracks } | RunEvent::TracksChanged(tracks) => {
                self.viewing.set_tracks(Some(tracks));
            }
            RunEvent::FirstFrame => {
                if let Some(session) = &mut self.session {
                    session.release_turn();
                    self.viewing.set_tap(session.tap());
                }
                self.tell(Input::FirstFrame);
            }
            RunEvent::Ended(cause) => {
                self.session = None;
                self.viewing.set_tap(None);
                self.tell(Input::Ended(cause));
            }
            _ => {}
        }
    }

    fn tell(&mut self, input: Input) {
        let now = self.context.clock.steady_ns();
        for action in self.machine.on(input, now, rand::random()) {
            match action {
                Action::Start(cause) => self.start(cause),
                Action::Stop(cause) => {
                    if let Some(session) = &mut self.session {
                        session.stop(cause, STOP_DEADLINE);
                    }
                }
                Action::Phase { to, cause, .. } => {
                    tracing::info!(camera = %self.config.load().id, phase = to.as_str(), "sub stream: {}", cause.message);
                }
            }
        }
        let fine = self.machine.phase() == CameraPhase::Standby;
        self.viewing
            .set_trouble((!fine).then(|| self.machine.cause().message.clone()));
    }

    fn start(&mut self, cause: Cause) {
        let Some(source) = self.source.clone() else { return };
        let config = self.config.load();
        let spec = RunSpec {
            camera: config.id.clone(),
            input: RunInput::Source(source),
            record: None,
            audio: config.audio,
            clock: self.context.clock.clone(),
            keep: Duration::ZERO,
            cause,
            reactor: self.context.reactor.clone(),
        };
        self.session = Some(Session::start(spec, Some(self.context.sub_turns.clone())));
    }
}

async fn next(session: Option<&mut Session>) -> Output {
    match session {
        Some(session) => session.next(STOP_DEADLINE).await,
        None => std::future::pending().await,
    }
}
