//! The session that reads along with the camera's stream and records while anybody wants it.

use std::time::Duration;

use super::session::Session;
use super::supervisor::Actor;
use super::wish::{KEPT, Wish, WishId};
use crate::config::RecordMode;
use crate::event::{CameraPhase, Cause, CauseKind};
use crate::gst::{RunInput, RunSpec};
use crate::time::{Timestamp, duration_ns};

/// How much later than it began motion may be known: faint motion counts when it is seen twice.
const MOTION_SEEN: Duration = Duration::from_secs(10);
/// How long after its end the session is begun again, while its camera sends.
const RETRY: Duration = Duration::from_secs(1);
/// The same when the disk is at fault; it also begins when that is over.
const STORAGE_RETRY: Duration = Duration::from_secs(10);

/// The session of the wishes. There is none where the camera's own run records.
#[derive(Debug, Default)]
pub(super) struct Tapped {
    pub(super) session: Option<Session>,
    /// Nobody wants it any more; it is being closed.
    ending: bool,
    /// When it is started again after it ended by itself, by the steady clock.
    pub(super) retry_at_ns: i64,
    /// It was interrupted: what it has must not be recorded again.
    interrupted: bool,
    /// Up to where the last one reached.
    reached: Option<Timestamp>,
    /// Whether the camera was wanted at the last look, and whether it was wanted connected.
    held: bool,
    pub(super) ready: bool,
}

impl Actor {
    /// Somebody wants the camera recorded.
    pub(super) fn put_wish(&mut self, wish: Wish) {
        let (now, steady) = (self.context.clock.now(), self.now_ns());
        self.wishes.put(wish, now, steady);
        self.wishes_changed(steady);
    }

    /// He does no longer.
    pub(super) fn take_wish(&mut self, id: &WishId) {
        if *id == WishId::Hand {
            self.end_manual();
        } else if self.wishes.take(id) {
            self.wishes_changed(self.now_ns());
        }
    }

    /// How much of the past the camera's run remembers.
    pub(super) fn keep(&self) -> Duration {
        let always = match self.mode {
            RecordMode::Manual => self.config.pre_roll,
            // Its beginning is known only when it has gone on for a while.
            RecordMode::Motion => self.config.motion.pre_roll + self.config.motion.min_duration + MOTION_SEEN,
            RecordMode::Continuous | RecordMode::Off => Duration::ZERO,
        };
        let recorded_anyway = self.mode == RecordMode::Continuous;
        if self.tapped.ready && !recorded_anyway {
            always.max(KEPT)
        } else {
            always
        }
    }

    /// Forgets wishes whose time is over and does what the others want.
    pub(super) fn tick_wishes(&mut self) {
        let now = self.now_ns();
        if self.wishes.expire(now).contains(&WishId::Hand) {
            self.end_manual();
        }
        self.wishes_changed(now);
    }

    /// Connects, begins or ends by what is wanted at an instant of the steady clock.
    pub(super) fn wishes_changed(&mut self, now: i64) {
        let ready = self.shutdown_asked().is_none() && self.wishes.connects(now);
        if ready != self.tapped.ready {
            self.tapped.ready = ready;
            if let Some(tap) = self.run.as_ref().and_then(Session::tap) {
                tap.set_keep(self.keep());
            }
            if self.config.enabled && self.mode == RecordMode::Off && self.shutdown_asked().is_none() {
                let words = if ready {
                    "it is wanted in a moment"
                } else {
                    "nobody wants it any more"
                };
                self.want(Cause::new(CauseKind::Requested, words));
            }
        }
        let held = self.wishes.holds(now);
        let began = held && !self.tapped.held;
        let ended = self.tapped.held && !held;
        self.tapped.held = held;
        self.status.set_wanted(self.wishes.ids());
        if ended {
            self.end_tapped();
        } else if held {
            if began {
                self.missing_from_the_start();
            }
            self.resume_tapped_at(now);
        }
        if self.tapped.session.is_none() || held {
            self.release_manual();
        }
    }

    /// What is wanted and cannot be had is a gap with its reason.
    fn missing_from_the_start(&mut self) {
        let continuous = self.mode == RecordMode::Continuous;
        if !self.config.enabled || continuous || self.is_recording() {
            return;
        }
        let cause = match &self.paused {
            Some(paused) => paused.clone(),
            None if self.machine.phase() == CameraPhase::Standby => return,
            None => self.machine.cause().clone(),
        };
        let at = self.context.clock.now();
        self.journal.open_gap(at, cause);
    }

    /// The session goes on as soon as its camera sends again and its disk takes it.
    pub(super) fn resume_tapped(&mut self) {
        self.resume_tapped_at(self.now_ns());
    }

    fn resume_tapped_at(&mut self, now: i64) {
        let idle = self.tapped.session.is_none() && now >= self.tapped.retry_at_ns;
        let sends = self.paused.is_none() && self.machine.phase() == CameraPhase::Standby;
        if !(self.tapped.held && idle && sends) {
            return;
        }
        let Some(tap) = self.run.as_ref().and_then(Session::tap) else {
            return;
        };
        let spec = RunSpec {
            camera: self.config.id.clone(),
            input: RunInput::Tap {
                tap,
                pre_roll: self.pre_roll(now),
            },
            record: Some(self.record_spec()),
            audio: self.config.audio,
            clock: self.context.clock.clone(),
            keep: Duration::ZERO,
            cause: self.wanted_cause(),
            reactor: self.context.reactor.clone(),
        };
        self.tapped.session = Some(Session::start(spec, None));
    }

    /// How much of what went before belongs to a session that starts now: not what the last one has.
    fn pre_roll(&self, now: i64) -> Duration {
        if self.tapped.interrupted {
            return Duration::ZERO;
        }
        let since_last = self
            .tapped
            .reached
            .map(|t| self.context.clock.now().since(t).max(0));
        let most = since_last
            .and_then(|ns| u64::try_from(ns).ok())
            .map(Duration::from_nanos);
        self.wishes.back(now).min(most.unwrap_or(Duration::MAX))
    }

    /// Why it is recorded, though its mode does not ask for it.
    pub(super) fn wanted_cause(&self) -> Cause {
        match self.wishes.first(self.now_ns()) {
            Some(id @ WishId::Booking(_)) => Cause::new(CauseKind::Scheduled, id.words()),
            Some(id) => Cause::new(CauseKind::Requested, id.words()),
            None => Cause::new(CauseKind::Requested, WishId::Hand.words()),
        }
    }

    /// Nobody wants it any more; its last segment is closed in order.
    fn end_tapped(&mut self) {
        self.tapped.interrupted = false;
        let deadline = self.stop_deadline;
        if let Some(session) = &mut self.tapped.session {
            self.tapped.ending = true;
            let cause = Cause::new(CauseKind::Requested, "nobody wants it recorded any more");
            session.stop(cause, deadline);
        } else if !self.is_recording() {
            let now = self.context.clock.now();
            self.idle_gap(now);
        }
    }

    pub(super) fn tapped_ended(&mut self, at: Timestamp, cause: Cause) {
        let wait = if cause.kind.is_storage() {
            STORAGE_RETRY
        } else {
            RETRY
        };
        let ending = std::mem::take(&mut self.tapped.ending);
        self.tapped.reached = Some(at);
        self.tapped.interrupted = !ending;
        self.tapped.retry_at_ns = if ending {
            0
        } else {
            self.now_ns().saturating_add(duration_ns(wait))
        };
        self.status.set_recording(self.is_recording());
        if ending {
            self.release_manual();
            if !self.is_recording() {
                self.idle_gap(at);
            }
        } else if cause.kind != CauseKind::StreamEnded {
            self.journal.open_gap(at, cause);
        }
        self.publish_state();
        if ending {
            // Somebody may have asked meanwhile.
            self.resume_tapped();
        }
    }

    /// Everything that is wanted is forgotten: the recorder ends.
    pub(super) fn drop_wishes(&mut self) {
        self.wishes.clear();
        self.end_manual();
        self.wishes_changed(self.now_ns());
    }
}
