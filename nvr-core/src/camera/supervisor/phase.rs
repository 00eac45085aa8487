//! Where a camera stands, as it is shown and told.

use super::Actor;
use crate::camera::status::CameraState;
use crate::config::RecordMode;
use crate::event::{CameraPhase, Cause, CauseKind};
use crate::time::Timestamp;

/// Whether no pictures come that are wanted.
const fn is_down(phase: CameraPhase) -> bool {
    matches!(
        phase,
        CameraPhase::Connecting | CameraPhase::Stalled | CameraPhase::BackingOff | CameraPhase::Failed
    )
}

impl Actor {
    /// Shows where the camera stands. To the machine a session of wishes is standby: it only reads along.
    pub(in crate::camera) fn publish_state(&mut self) {
        let (now, steady) = (self.context.clock.now(), self.now_ns());
        let utc = |ns: i64| now.add_ns(ns - steady);
        let before = self.status.state();
        let wanted = self.machine.phase() == CameraPhase::Standby && self.status.recording();
        let (phase, cause) = if wanted {
            (CameraPhase::Recording, self.wanted_cause())
        } else {
            let phase = self.machine.phase();
            // Standing by is all that a camera does whose recording pauses.
            let continuous = self.mode == RecordMode::Continuous;
            let paused = self
                .paused
                .clone()
                .filter(|_| continuous && phase == CameraPhase::Standby);
            (phase, paused.unwrap_or_else(|| self.machine.cause().clone()))
        };
        if before.phase != phase {
            self.tell_phase(before.phase, phase, cause.clone(), now);
        }
        // `since` is computed once: derived again it would tremble with the clocks. Each attempt would else begin it anew.
        let same = before.phase == phase || (is_down(before.phase) && is_down(phase));
        let since = if same { before.since } else { now };
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

    fn tell_phase(&mut self, from: CameraPhase, to: CameraPhase, cause: Cause, at: Timestamp) {
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
        self.journal.state(at, from, to, cause);
    }

    /// Whether a segment grows now.
    pub(in crate::camera) fn is_recording(&self) -> bool {
        [self.tapped.session.as_ref(), self.run.as_ref()]
            .into_iter()
            .flatten()
            .any(|session| session.recording)
    }

    /// UTC up to which footage reaches: the end of the last closed segment, or of the frames seen.
    pub(super) fn last_footage(&self) -> Option<Timestamp> {
        self.footage_end.max(self.status.status().last_frame)
    }

    /// Why nothing is to be recorded by the configuration; `None` when it is to be.
    pub(super) fn idle_cause(&self) -> Option<Cause> {
        if self.config.enabled && self.mode == RecordMode::Continuous {
            return self.paused.clone();
        }
        let kind = if self.config.enabled && self.mode == RecordMode::Motion {
            CauseKind::NoMotion
        } else {
            CauseKind::NotScheduled
        };
        Some(Cause::new(kind, self.unwanted()))
    }

    /// Why nothing is to be recorded, in words.
    pub(super) fn unwanted(&self) -> &'static str {
        let scheduled = self.mode != self.config.record;
        match self.mode {
            _ if !self.config.enabled => "the camera is disabled",
            RecordMode::Off if scheduled => "not recorded at this time (schedule)",
            RecordMode::Manual if scheduled => "recorded by hand only at this time (schedule)",
            RecordMode::Off => "the camera is not recorded",
            RecordMode::Motion => "nothing moved",
            RecordMode::Manual | RecordMode::Continuous => "recorded by hand only",
        }
    }

    pub(in crate::camera) fn idle_gap(&mut self, at: Timestamp) {
        if let Some(cause) = self.idle_cause() {
            self.journal.open_gap(at, cause);
        }
    }
}
