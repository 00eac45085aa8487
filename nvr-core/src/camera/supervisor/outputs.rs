//! What the pipelines of a camera tell, and what it does about it.

use super::Actor;
use crate::camera::machine::Input;
use crate::camera::session::{Output, Session};
use crate::camera::status::IngestStatus;
use crate::event::{Cause, EventKind};
use crate::gst::RunEvent;
use crate::time::Timestamp;

/// Whose run an event came from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Camera,
    Wishes,
}

impl Actor {
    pub(super) fn output(&mut self, whose: Whose, output: Output) {
        let event = match output {
            Output::Opening => {
                if whose == Whose::Camera {
                    self.tell(Input::Opening);
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
                        self.journal.clock_stepped(old, until, anchor.utc, cause.clone());
                    }
                    self.journal.run_started(run, anchor, cause);
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
                    self.tell(Input::FirstFrame);
                    self.tapped.retry_at_ns = 0;
                    self.resume_tapped();
                }
            }
            RunEvent::SegmentOpened { start, path } => {
                if let Some(session) = self.session(whose) {
                    session.recording = true;
                }
                self.status.set_recording(true);
                self.journal.segment_opened(start, &path);
                self.publish_state();
            }
            RunEvent::SegmentClosed(segment) => {
                self.status.segment_done(segment.size_bytes);
                self.footage_end = Some(segment.range().end());
                self.journal.segment_closed(segment);
            }
            RunEvent::AudioTrouble(cause) => {
                let at = self.context.clock.now();
                tracing::warn!(camera = %self.config.id, "{}", cause.message);
                self.journal.event(at, EventKind::AudioTrouble { cause });
            }
            RunEvent::FramesDropped { count, cause } => {
                let at = self.context.clock.now();
                tracing::error!(camera = %self.config.id, count, "frames lost: {}", cause.message);
                self.status.dropped(count);
                self.journal.event(at, EventKind::FramesDropped { count, cause });
            }
            RunEvent::Ended(cause) => self.ended(whose, cause),
        }
    }

    fn session(&mut self, whose: Whose) -> Option<&mut Session> {
        match whose {
            Whose::Camera => self.run.as_mut(),
            Whose::Wishes => self.tapped.session.as_mut(),
        }
    }

    fn ended(&mut self, whose: Whose, cause: Cause) {
        if whose == Whose::Camera {
            self.sample_stats();
        }
        let session = match whose {
            Whose::Camera => self.run.take(),
            Whose::Wishes => self.tapped.session.take(),
        };
        let Some(session) = session else { return };
        let now = self.context.clock.now();
        if session.records {
            self.clean &= session.was_clean() || self.shutdown.is_none();
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
            Whose::Camera => self.camera_ended(&session, at, cause.clone()),
            Whose::Wishes => self.tapped_ended(at, cause.clone()),
        }
        // After its gap: what is missing behind a run that has not ended may still come.
        if session.records
            && let Some((run, _)) = session.anchored
        {
            self.journal.run_ended(run, now, cause);
        }
    }

    fn camera_ended(&mut self, session: &Session, at: Timestamp, cause: Cause) {
        self.status.run_over();
        // The end of a session that only read along comes by itself, but not its reason.
        let wanted = self.wishes.holds(self.now_ns());
        if session.records && !self.is_recording() {
            let stopping = self.stopped_by_hand.is_some();
            let gap = self.idle_cause().filter(|_| !stopping);
            self.journal.open_gap(at, gap.unwrap_or_else(|| cause.clone()));
        } else if wanted {
            // One that brought no frame is another try of an outage that goes on.
            let last = session.anchored.and_then(|_| self.last_footage());
            let at = last.unwrap_or(at).min(at);
            self.journal.open_gap(at, cause.clone());
        }
        self.status.set_recording(self.is_recording());
        self.tell(Input::Ended(cause));
    }
}
