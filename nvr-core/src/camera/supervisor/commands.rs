//! What an actor is told from outside, and what it does about it.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Actor, Command, patience};
use crate::camera::machine::Input;
use crate::camera::session::Session;
use crate::config::{CameraConfig, RecordMode};
use crate::error::{Error, ErrorKind};
use crate::event::{Cause, CauseKind};

impl Actor {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Start(cause) => {
                self.stopped_by_hand = None;
                self.want(cause);
            }
            Command::Stop(cause) => {
                self.stopped_by_hand = Some(cause.clone());
                self.end_manual();
                self.outage_ends(&cause);
                self.want(cause);
            }
            Command::Restart(cause) => {
                self.stopped_by_hand = None;
                self.begin_anew(cause);
            }
            Command::Split => {
                if let Some(run) = &self.run {
                    run.split();
                }
                if let Some(session) = &self.tapped.session {
                    session.split();
                }
            }
            Command::Configure(config) => self.configure(*config),
            Command::Record { request, reply } => {
                let result = self.record(request);
                let _ = reply.send(result);
            }
            Command::StopRecording { reply } => {
                let result = if self.manual.as_ref().is_some_and(|m| !m.ending) {
                    self.end_manual();
                    Ok(())
                } else {
                    Err(Error::new(
                        ErrorKind::Conflict,
                        format!("camera {}: no recording by hand is going on", self.config.id),
                    ))
                };
                let _ = reply.send(result);
            }
            Command::Want(wish) => {
                if self.shutdown.is_none() {
                    self.put_wish(wish);
                }
            }
            Command::Unwant(id) => self.take_wish(&id),
            Command::StorageFault(cause) => {
                // Frames that go into a file that nobody can reach are lost as well: stop until it is back.
                let deadline = Duration::from_secs(1);
                let wanted = self.tapped.session.as_mut();
                for session in [wanted, self.run.as_mut()].into_iter().flatten() {
                    if session.recording {
                        session.stop(cause.clone(), deadline);
                    }
                }
            }
            Command::StorageBack => {
                self.journal.retry();
                self.tell(Input::StorageBack);
                self.tapped.retry_at_ns = 0;
                self.resume_tapped();
            }
            Command::Pause(cause) => self.pause(cause),
            Command::Unpause => {
                if self.paused.take().is_some() {
                    self.want(Cause::new(CauseKind::Startup, "the disk has room again"));
                    self.resume_tapped();
                }
            }
            Command::Mended { path, segment } => match segment {
                Some((segment, cut_bytes)) => {
                    let at = self.context.clock.now();
                    self.journal.segment_mended(at, *segment, cut_bytes);
                }
                None => self.journal.segment_lost(path),
            },
            Command::Answer(reply) => {
                let _ = reply.send(());
            }
            Command::Shutdown {
                cause,
                deadline,
                reply,
            } => {
                self.stop_deadline = deadline;
                self.begin_shutdown(cause, reply);
            }
        }
    }

    /// What grows is closed; the camera stays connected for those who look.
    fn pause(&mut self, cause: Cause) {
        if self.paused.is_some() {
            return;
        }
        self.paused = Some(cause.clone());
        let deadline = self.stop_deadline;
        if let Some(session) = &mut self.tapped.session {
            session.stop(cause.clone(), deadline);
        }
        if self.mode == RecordMode::Continuous {
            if self.stopped_by_hand.is_none() {
                self.outage_ends(&cause);
            }
            self.want(cause);
        }
    }

    pub(super) fn begin_shutdown(&mut self, cause: Cause, reply: oneshot::Sender<bool>) {
        self.shutdown = Some(reply);
        let stopped_before = self.stopped_by_hand.replace(cause.clone()).is_some();
        self.drop_wishes();
        if !stopped_before {
            self.outage_ends(&cause);
        }
        self.want(cause);
    }

    /// The camera was away and is not wanted any more: from now on that is why footage is missing.
    fn outage_ends(&mut self, cause: &Cause) {
        let wanted = self.config.enabled && self.mode == RecordMode::Continuous;
        if self.run.is_none() && wanted {
            let now = self.context.clock.now();
            self.journal.open_gap(now, cause.clone());
        }
    }

    fn configure(&mut self, config: CameraConfig) {
        let same_stream = self.config.records_like(&config);
        self.config = config;
        self.machine.set_patience(patience(&self.config));
        let before = self.mode;
        self.set_mode();
        if same_stream && self.mode != before {
            self.mode_changed(before);
        }
        if let Some(tap) = self.run.as_ref().and_then(Session::tap) {
            tap.set_keep(self.keep());
        }
        if same_stream {
            return;
        }
        if self.mode != RecordMode::Manual || !self.config.enabled {
            self.end_manual();
        }
        let cause = Cause::new(
            CauseKind::ConfigChanged,
            "the configuration of the camera changed",
        );
        self.begin_anew(cause);
        if self.run.is_none() {
            let now = self.context.clock.now();
            self.idle_gap(now);
        }
    }

    fn set_mode(&mut self) {
        self.mode = self.config.mode_at(self.context.clock.now());
        self.status.set_mode(self.mode);
    }

    /// Does what the schedule says from now on, if that is something else than before.
    ///
    /// While a booking is recorded it waits: connecting anew would cost some of its frames.
    pub(super) fn follow_schedule(&mut self) {
        if self.wishes.booked(self.now_ns()) {
            return;
        }
        let before = self.mode;
        self.set_mode();
        if self.mode != before && self.shutdown.is_none() {
            self.mode_changed(before);
        }
    }

    fn mode_changed(&mut self, before: RecordMode) {
        let mode = self.mode.as_str();
        tracing::info!(camera = %self.config.id, mode, before = before.as_str(), "by its schedule");
        if !self.config.enabled {
            return;
        }
        if self.mode != RecordMode::Manual {
            self.end_manual();
        }
        let cause = match self.mode {
            RecordMode::Continuous => CauseKind::Scheduled,
            RecordMode::Manual | RecordMode::Off => CauseKind::NotScheduled,
            RecordMode::Motion => CauseKind::NoMotion,
        };
        self.begin_anew(Cause::new(cause, format!("the schedule says {mode}")));
        if self.run.is_none() && self.stopped_by_hand.is_none() {
            // It was away: from now on that is not why footage is missing.
            let now = self.context.clock.now();
            self.idle_gap(now);
        }
    }

    /// Starts by what is wanted now: at once where nothing runs, else after the present run.
    fn begin_anew(&mut self, cause: Cause) {
        let ran = self.machine.running();
        self.want(cause.clone());
        if ran {
            self.tell(Input::Restart(cause));
        }
    }
}
