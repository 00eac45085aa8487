//! The state machine of one camera. Pure: it is told what happened and when, and answers what to do.

use std::time::Duration;

use super::backoff::{Backoff, GOOD_AFTER, is_lasting};
use crate::event::{CameraPhase, Cause, CauseKind};
use crate::time::duration_ns;

/// How patient the machine is with one camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// No frame for so long ends the run. Half of it makes the camera `stalled`.
    pub watchdog: Duration,
    /// Longest time from the start of a run to its first frame.
    pub connect: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            watchdog: Duration::from_secs(10),
            connect: Duration::from_secs(30),
        }
    }
}

/// What the machine is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The camera is wanted (connected) from now on, and whether its frames are to be recorded.
    Want {
        /// Recorded, or just kept ready.
        record: bool,
        /// Why.
        cause: Cause,
    },
    /// It is no longer wanted.
    Unwant(Cause),
    /// Tear the run down and start again at once (new configuration, by hand).
    Restart(Cause),
    /// The source is being opened from now on (it had to wait for its turn).
    Opening,
    /// The first frame of a run arrived.
    FirstFrame,
    /// The run is over, its pipeline gone.
    Ended(Cause),
    /// Time passes; steady time of the last frame, if there was one in this run.
    Tick {
        /// Steady clock of the newest frame, nanoseconds.
        last_frame_ns: Option<i64>,
        /// Usual pause between two frames in this run, nanoseconds.
        usual_pause_ns: i64,
    },
    /// The disk that was at fault can be written again.
    StorageBack,
}

/// What the actor has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Start a run.
    Start(Cause),
    /// Stop the present run in order; [`Input::Ended`] follows with this cause.
    Stop(Cause),
    /// Publish a change of phase.
    Phase {
        /// Before.
        from: CameraPhase,
        /// Now.
        to: CameraPhase,
        /// Why.
        cause: Cause,
    },
}

/// The state of one camera.
#[derive(Debug, Clone)]
pub struct Machine {
    phase: CameraPhase,
    cause: Cause,
    since_ns: i64,
    want: Option<bool>,
    running: bool,
    stopping: bool,
    restart: Option<Cause>,
    retry_at_ns: Option<i64>,
    first_frame_ns: Option<i64>,
    opened_ns: Option<i64>,
    backoff: Backoff,
    patience: Patience,
    restarts: u64,
}

impl Machine {
    /// A camera that is not wanted yet.
    #[must_use]
    pub fn new(now_ns: i64, patience: Patience) -> Self {
        Self {
            phase: CameraPhase::Stopped,
            cause: Cause::new(CauseKind::Startup, "not started yet"),
            since_ns: now_ns,
            want: None,
            running: false,
            stopping: false,
            restart: None,
            retry_at_ns: None,
            first_frame_ns: None,
            opened_ns: None,
            backoff: Backoff::default(),
            patience,
            restarts: 0,
        }
    }

    /// Where the camera stands.
    #[must_use]
    pub const fn phase(&self) -> CameraPhase {
        self.phase
    }

    /// Why it stands there.
    #[must_use]
    pub const fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Steady time since when.
    #[must_use]
    pub const fn since_ns(&self) -> i64 {
        self.since_ns
    }

    /// Runs that ended on their own or by the watchdog.
    #[must_use]
    pub const fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Steady time of the next try, while waiting for one.
    #[must_use]
    pub const fn retry_at_ns(&self) -> Option<i64> {
        self.retry_at_ns
    }

    /// Whether it is to be connected.
    #[must_use]
    pub const fn wanted(&self) -> bool {
        self.want.is_some()
    }

    /// Whether a run exists (starting, running or being stopped).
    #[must_use]
    pub const fn running(&self) -> bool {
        self.running
    }

    /// New patience, after a change of configuration.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Tells the machine what happened; `jitter` is uniform in `[0, 1)`.
    pub fn on(&mut self, input: Input, now_ns: i64, jitter: f64) -> Vec<Action> {
        let mut out = Vec::new();
        match input {
            Input::Want { record, cause } => {
                let before = self.want.replace(record);
                if !self.running {
                    // Somebody asks: what failed before counts no more.
                    self.backoff.reset();
                    self.start(now_ns, cause, &mut out);
                } else if before.is_some_and(|b| b != record) || self.stopping {
                    self.stop_for(cause, &mut out);
                }
            }
            Input::Unwant(cause) => {
                self.want = None;
                self.retry_at_ns = None;
                self.restart = None;
                if self.running {
                    self.stop(cause, &mut out);
                } else {
                    self.go(CameraPhase::Stopped, cause, now_ns, &mut out);
                }
            }
            Input::Restart(cause) => {
                self.backoff.reset();
                if self.running {
                    self.stop_for(cause, &mut out);
                } else if self.want.is_some() {
                    self.start(now_ns, cause, &mut out);
                }
            }
            Input::Opening => self.opened_ns = Some(now_ns),
            Input::FirstFrame => {
                if self.running && !self.stopping && self.first_frame_ns.is_none() {
                    self.first_frame_ns = Some(now_ns);
                    self.flow(now_ns, &mut out);
                }
            }
            Input::Ended(cause) => self.ended(cause, now_ns, jitter, &mut out),
            Input::Tick {
                last_frame_ns,
                usual_pause_ns,
            } => {
                self.tick(last_frame_ns, usual_pause_ns, now_ns, &mut out);
            }
            Input::StorageBack => {
                if !self.running && self.want.is_some() && self.cause.kind.is_storage() {
                    self.start(
                        now_ns,
                        Cause::new(CauseKind::Startup, "the disk is back"),
                        &mut out,
                    );
                }
            }
        }
        out
    }

    fn flow(&mut self, now_ns: i64, out: &mut Vec<Action>) {
        let (phase, words) = match self.want {
            Some(true) => (CameraPhase::Recording, "frames arrive and are recorded"),
            _ => (
                CameraPhase::Standby,
                "frames arrive; nothing is to be recorded now",
            ),
        };
        self.go(phase, Cause::new(CauseKind::Startup, words), now_ns, out);
    }

    fn start(&mut self, now_ns: i64, cause: Cause, out: &mut Vec<Action>) {
        self.running = true;
        self.stopping = false;
        self.first_frame_ns = None;
        self.opened_ns = None;
        self.retry_at_ns = None;
        self.go(CameraPhase::Connecting, cause.clone(), now_ns, out);
        out.push(Action::Start(cause));
    }

    fn stop(&mut self, cause: Cause, out: &mut Vec<Action>) {
        if !self.stopping {
            self.stopping = true;
            out.push(Action::Stop(cause));
        }
    }

    fn stop_for(&mut self, cause: Cause, out: &mut Vec<Action>) {
        self.restart = Some(cause.clone());
        self.stop(cause, out);
    }

    fn ended(&mut self, cause: Cause, now_ns: i64, jitter: f64, out: &mut Vec<Action>) {
        if !self.running {
            return;
        }
        self.running = false;
        self.stopping = false;
        let good = self
            .first_frame_ns
            .is_some_and(|t| now_ns - t >= duration_ns(GOOD_AFTER));
        if good {
            self.backoff.reset();
        }
        self.first_frame_ns = None;
        if self.want.is_none() {
            self.go(CameraPhase::Stopped, cause, now_ns, out);
            return;
        }
        if let Some(why) = self.restart.take() {
            self.start(now_ns, why, out);
            return;
        }
        self.restarts += 1;
        let wait = self.backoff.next(cause.kind, jitter);
        self.retry_at_ns = Some(now_ns + duration_ns(wait));
        let phase = if is_lasting(cause.kind) {
            CameraPhase::Failed
        } else {
            CameraPhase::BackingOff
        };
        self.go(phase, cause, now_ns, out);
    }

    fn tick(&mut self, last_frame_ns: Option<i64>, usual_pause_ns: i64, now_ns: i64, out: &mut Vec<Action>) {
        if let Some(at) = self.retry_at_ns {
            if now_ns >= at && !self.running && self.want.is_some() {
                let again = Cause::new(
                    self.cause.kind,
                    format!("trying again after: {}", self.cause.message),
                );
                self.start(now_ns, again, out);
            }
            return;
        }
        if !self.running || self.stopping {
            return;
        }
        let Some(first) = self.first_frame_ns else {
            let waited = self.opened_ns.map_or(0, |t| now_ns - t);
            if waited > duration_ns(self.patience.connect) {
                let words = format!("no frame within {} s of connecting", waited / 1_000_000_000);
                self.stop_failed(Cause::new(CauseKind::NoFrames, words), now_ns, out);
            }
            return;
        };
        let idle = now_ns - last_frame_ns.unwrap_or(first).max(first);
        // A camera that is slow by nature (a frame every few seconds) is given three of its own pauses.
        let limit = duration_ns(self.patience.watchdog).max(usual_pause_ns.saturating_mul(3));
        if idle > limit {
            let words = format!("no frame for {} s", idle / 1_000_000_000);
            self.stop_failed(Cause::new(CauseKind::NoFrames, words), now_ns, out);
        } else if idle > limit / 2 {
            if self.phase != CameraPhase::Stalled {
                let words = format!("no frame for {} s, waiting", idle / 1_000_000_000);
                self.go(
                    CameraPhase::Stalled,
                    Cause::new(CauseKind::NoFrames, words),
                    now_ns,
                    out,
                );
            }
        } else if self.phase == CameraPhase::Stalled {
            self.flow(now_ns, out);
        }
    }

    /// The watchdog bites: stop now, and treat what follows as this failure.
    fn stop_failed(&mut self, cause: Cause, now_ns: i64, out: &mut Vec<Action>) {
        if self.phase != CameraPhase::Stalled {
            self.go(CameraPhase::Stalled, cause.clone(), now_ns, out);
        }
        self.stop(cause, out);
    }

    fn go(&mut self, to: CameraPhase, cause: Cause, now_ns: i64, out: &mut Vec<Action>) {
        let from = self.phase;
        if from != to {
            self.since_ns = now_ns;
            self.phase = to;
            out.push(Action::Phase {
                from,
                to,
                cause: cause.clone(),
            });
        }
        self.cause = cause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000_000;

    fn cause(kind: CauseKind) -> Cause {
        Cause::new(kind, "test")
    }

    fn want() -> Input {
        Input::Want {
            record: true,
            cause: cause(CauseKind::Startup),
        }
    }

    fn tick(last: i64) -> Input {
        Input::Tick {
            last_frame_ns: Some(last),
            usual_pause_ns: S / 25,
        }
    }

    fn recording(at: i64) -> Machine {
        let mut m = Machine::new(0, Patience::default());
        m.on(want(), at, 0.5);
        m.on(Input::FirstFrame, at, 0.5);
        assert_eq!(m.phase(), CameraPhase::Recording);
        m
    }

    fn starts(actions: &[Action]) -> usize {
        actions.iter().filter(|a| matches!(a, Action::Start(_))).count()
    }

    #[test]
    fn an_outage_is_tried_again_and_again() {
        let mut m = Machine::new(0, Patience::default());
        assert_eq!(starts(&m.on(want(), 0, 0.5)), 1);
        let mut now = 0;
        for _ in 0..1000 {
            m.on(Input::Ended(cause(CauseKind::Unreachable)), now, 0.5);
            assert_eq!(m.phase(), CameraPhase::BackingOff);
            now = m.retry_at_ns().unwrap();
            assert!(starts(&m.on(tick(0), now - 1, 0.5)) == 0);
            assert_eq!(starts(&m.on(tick(0), now, 0.5)), 1);
        }
    }

    #[test]
    fn a_wrong_password_is_a_failure_of_its_own() {
        let mut m = Machine::new(0, Patience::default());
        m.on(want(), 0, 0.5);
        m.on(Input::Ended(cause(CauseKind::Unauthorized)), 0, 0.5);
        assert_eq!(m.phase(), CameraPhase::Failed);
        assert_eq!(m.retry_at_ns(), Some(300 * S));
        // New credentials do not wait for that.
        assert_eq!(
            starts(&m.on(Input::Restart(cause(CauseKind::ConfigChanged)), S, 0.5)),
            1
        );
    }

    #[test]
    fn a_frozen_camera_is_stalled_then_restarted() {
        let mut m = recording(0);
        assert!(m.on(tick(S), 5 * S, 0.5).is_empty());
        m.on(tick(S), 7 * S, 0.5);
        assert_eq!(m.phase(), CameraPhase::Stalled);
        m.on(tick(7 * S), 8 * S, 0.5);
        assert_eq!(m.phase(), CameraPhase::Recording, "a frame ends the stall");
        let actions = m.on(tick(7 * S), 18 * S, 0.5);
        assert!(
            matches!(actions.last(), Some(Action::Stop(c)) if c.kind == CauseKind::NoFrames),
            "{actions:?}"
        );
        assert!(m.on(tick(7 * S), 19 * S, 0.5).is_empty(), "stopped once");
        m.on(Input::Ended(cause(CauseKind::NoFrames)), 19 * S, 0.5);
        assert_eq!(m.phase(), CameraPhase::BackingOff);
    }

    #[test]
    fn a_slow_camera_is_not_killed() {
        let mut m = recording(0);
        let slow = Input::Tick {
            last_frame_ns: Some(S),
            usual_pause_ns: 8 * S,
        };
        assert!(m.on(slow, 12 * S, 0.5).is_empty());
    }

    #[test]
    fn a_camera_that_never_sends_is_given_up_after_the_deadline() {
        let mut m = Machine::new(0, Patience::default());
        m.on(want(), 0, 0.5);
        let none = Input::Tick {
            last_frame_ns: None,
            usual_pause_ns: 0,
        };
        assert!(
            m.on(none.clone(), 1000 * S, 0.5).is_empty(),
            "waiting for its turn is not the camera's fault"
        );
        m.on(Input::Opening, 0, 0.5);
        let none = Input::Tick {
            last_frame_ns: None,
            usual_pause_ns: 0,
        };
        assert!(m.on(none.clone(), 30 * S, 0.5).is_empty());
        assert!(
            m.on(none, 31 * S, 0.5)
                .iter()
                .any(|a| matches!(a, Action::Stop(_)))
        );
    }

    #[test]
    fn a_disk_fault_ends_when_the_disk_is_back() {
        let mut m = recording(0);
        m.on(Input::Ended(cause(CauseKind::DiskFull)), S, 0.5);
        assert_eq!(starts(&m.on(Input::StorageBack, S + 1, 0.5)), 1);
        assert_eq!(starts(&m.on(Input::StorageBack, S + 2, 0.5)), 0);
    }

    #[test]
    fn changing_what_is_wanted_restarts_the_run() {
        let mut m = recording(0);
        let a = m.on(
            Input::Want {
                record: false,
                cause: cause(CauseKind::Requested),
            },
            S,
            0.5,
        );
        assert_eq!(a, vec![Action::Stop(cause(CauseKind::Requested))]);
        assert_eq!(
            starts(&m.on(Input::Ended(cause(CauseKind::Requested)), S, 0.5)),
            1
        );
        m.on(Input::FirstFrame, S, 0.5);
        assert_eq!(m.phase(), CameraPhase::Standby);
        m.on(Input::Unwant(cause(CauseKind::Requested)), S, 0.5);
        m.on(Input::Ended(cause(CauseKind::Requested)), S, 0.5);
        assert_eq!(m.phase(), CameraPhase::Stopped);
    }

    fn any_input() -> impl Strategy<Value = Input> {
        let kind = proptest::sample::select(vec![
            CauseKind::Unreachable,
            CauseKind::Unauthorized,
            CauseKind::DiskFull,
            CauseKind::NoFrames,
            CauseKind::Requested,
        ]);
        prop_oneof![
            (any::<bool>(), kind.clone()).prop_map(|(record, k)| Input::Want {
                record,
                cause: cause(k)
            }),
            kind.clone().prop_map(|k| Input::Unwant(cause(k))),
            kind.clone().prop_map(|k| Input::Restart(cause(k))),
            Just(Input::FirstFrame),
            kind.prop_map(|k| Input::Ended(cause(k))),
            (proptest::option::of(0i64..100), 0i64..10).prop_map(|(l, p)| Input::Tick {
                last_frame_ns: l.map(|l| l * S),
                usual_pause_ns: p * S
            }),
            Just(Input::StorageBack),
            Just(Input::Opening),
        ]
    }

    proptest! {
        /// Whatever happens: at most one run at a time, a stop only of a run, and a wanted camera is
        /// always either running or has a next try.
        #[test]
        fn never_stuck_never_doubled(inputs in proptest::collection::vec((any_input(), 0i64..20), 1..200)) {
            let mut m = Machine::new(0, Patience::default());
            let (mut now, mut running) = (0, false);
            for (input, dt) in inputs {
                now += dt * S;
                if matches!(input, Input::Ended(_)) {
                    if !running { continue; }
                    running = false;
                }
                for a in m.on(input, now, 0.5) {
                    match a {
                        Action::Start(_) => { prop_assert!(!running); running = true; }
                        Action::Stop(_) => prop_assert!(running),
                        Action::Phase { from, to, .. } => prop_assert_ne!(from, to),
                    }
                }
                prop_assert_eq!(m.running(), running);
                prop_assert!(m.want.is_none() || running || m.retry_at_ns().is_some());
                prop_assert!(m.retry_at_ns().is_none_or(|t| t - now <= 375 * S));
            }
        }
    }
}
