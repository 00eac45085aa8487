//! Recordings by hand: a second run that reads along with the camera's own.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::handle::RecordRequest;
use super::session::Session;
use super::status::ManualRecording;
use super::supervisor::Actor;
use crate::config::RecordMode;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{CameraPhase, Cause, CauseKind};
use crate::gst::{RunInput, RunSpec};
use crate::time::{Timestamp, duration_ns};

/// How long after its end a recording by hand is begun again, while its camera sends.
const MANUAL_RETRY: Duration = Duration::from_secs(1);
/// The same when the disk is at fault; it also begins when that is over.
const MANUAL_STORAGE_RETRY: Duration = Duration::from_secs(10);

/// A recording by hand: wanted until it is stopped or its time is over, whatever the camera does.
#[derive(Debug)]
pub(super) struct Manual {
    info: ManualRecording,
    until_steady_ns: Option<i64>,
    pub(super) session: Option<Session>,
    /// When its session is started again after it ended by itself, by the steady clock.
    pub(super) retry_at_ns: i64,
    pub(super) ending: bool,
    _permit: OwnedSemaphorePermit,
}

impl Actor {
    pub(super) fn record(&mut self, request: RecordRequest) -> Result<ManualRecording> {
        let id = &self.config.id;
        if self.mode != RecordMode::Manual {
            let mode = self.mode.as_str();
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("camera {id} has record = {mode:?} now"),
            )
            .with_hint("set record = \"manual\", or its schedule, to record it by hand"));
        }
        let kept = self.config.pre_roll;
        let pre_roll = request.pre_roll.unwrap_or(kept);
        if pre_roll > kept {
            let (asked, kept) = (pre_roll.as_secs_f64(), kept.as_secs_f64());
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("camera {id} keeps {kept} s of what went before, and {asked} s were asked for"),
            )
            .with_hint("ask for less, or raise the camera's pre_roll"));
        }
        let (now, steady) = (self.context.clock.now(), self.now_ns());
        let length = request.duration.map(duration_ns);
        if let Some(manual) = &mut self.manual {
            if manual.ending {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("camera {id}: the last recording is being closed"),
                ));
            }
            // Asked again: the newest wish counts.
            manual.until_steady_ns = length.map(|l| steady.saturating_add(l));
            manual.info.until = length.map(|l| now.add_ns(l));
            self.status.set_manual(Some(manual.info.clone()));
            return Ok(manual.info.clone());
        }
        let permit = self.context.manual.clone().try_acquire_owned().map_err(|_| {
            Error::new(
                ErrorKind::Busy,
                "as many recordings by hand as allowed are going on",
            )
            .with_hint("stop one, or raise recorder.max_manual")
        })?;
        if let Some(cause) = &self.paused {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("camera {id} cannot be recorded now: {}", cause.message),
            ));
        }
        if self.machine.phase() != CameraPhase::Standby {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "camera {id} sends no frames now: {}",
                    self.machine.cause().message
                ),
            ));
        }
        let info = ManualRecording {
            since: now,
            until: length.map(|l| now.add_ns(l)),
        };
        self.manual = Some(Manual {
            info: info.clone(),
            until_steady_ns: length.map(|l| steady.saturating_add(l)),
            session: None,
            retry_at_ns: 0,
            ending: false,
            _permit: permit,
        });
        self.status.set_manual(Some(info.clone()));
        self.start_manual(pre_roll);
        Ok(info)
    }

    fn start_manual(&mut self, pre_roll: Duration) {
        let Some(tap) = self.run.as_ref().and_then(Session::tap) else {
            return;
        };
        let spec = RunSpec {
            camera: self.config.id.clone(),
            input: RunInput::Tap { tap, pre_roll },
            record: Some(self.record_spec()),
            audio: self.config.audio,
            clock: self.context.clock.clone(),
            keep: Duration::ZERO,
            cause: Cause::new(CauseKind::Requested, "recorded by hand"),
            reactor: self.context.reactor.clone(),
        };
        if let Some(manual) = &mut self.manual
            && manual.session.is_none()
            && !manual.ending
        {
            manual.session = Some(Session::start(spec, None));
        }
    }

    /// A recording by hand goes on as soon as its camera sends again and its disk takes it.
    pub(super) fn resume_manual(&mut self) {
        let now = self.now_ns();
        let due = self.manual.as_ref().is_some_and(|m| now >= m.retry_at_ns);
        if due && self.paused.is_none() && self.machine.phase() == CameraPhase::Standby {
            self.start_manual(Duration::ZERO);
        }
    }

    /// Ends the recording by hand; its last segment is closed in order.
    pub(super) fn end_manual(&mut self) {
        let deadline = self.stop_deadline;
        let Some(manual) = &mut self.manual else { return };
        manual.ending = true;
        if let Some(session) = &mut manual.session {
            let cause = Cause::new(CauseKind::Requested, "the recording by hand ended");
            session.stop(cause, deadline);
        } else {
            self.manual = None;
            self.status.set_manual(None);
            let now = self.context.clock.now();
            self.idle_gap(now);
        }
    }

    pub(super) fn manual_ended(&mut self, at: Timestamp, cause: Cause) {
        let wait = if cause.kind.is_storage() {
            MANUAL_STORAGE_RETRY
        } else {
            MANUAL_RETRY
        };
        let retry_at_ns = self.now_ns().saturating_add(duration_ns(wait));
        self.status.set_recording(self.is_recording());
        let over = self.manual.as_mut().is_none_or(|m| {
            m.retry_at_ns = retry_at_ns;
            m.ending
        });
        if over {
            self.manual = None;
            self.status.set_manual(None);
            if !self.is_recording() {
                self.idle_gap(at);
            }
        } else if cause.kind != CauseKind::StreamEnded {
            self.journal.open_gap(at, cause);
        }
        self.publish_state();
    }

    /// Ends it when its time is over, else begins again what was interrupted.
    pub(super) fn tick_manual(&mut self) {
        let now = self.now_ns();
        if self
            .manual
            .as_ref()
            .is_some_and(|m| !m.ending && m.until_steady_ns.is_some_and(|t| now >= t))
        {
            self.end_manual();
        }
        self.resume_manual();
    }
}
