//! What becomes of a job after an attempt, and how long it waits for the next one. Pure.

use std::num::NonZeroU32;
use std::time::Duration;

use super::context::StopReason;
use super::kind::{JobError, JobOutcome};
use crate::store::Settled;
use crate::time::Timestamp;

/// The first waits in seconds; after them it is the ceiling.
const FIRST_S: [u64; 5] = [5, 10, 20, 40, 80];

/// The wait after so many failed attempts (from 1): 5, 10, 20, 40, 80 s, then the ceiling, which bounds them all.
#[must_use]
pub fn pause(attempts: u32, ceiling: Duration) -> Duration {
    let nth = usize::try_from(attempts.max(1) - 1).unwrap_or(usize::MAX);
    FIRST_S
        .get(nth)
        .map_or(ceiling, |s| Duration::from_secs(*s).min(ceiling))
}

/// What decides besides the attempt itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Attempts before it fails for good; `None`: never.
    pub most_attempts: Option<NonZeroU32>,
    /// The longest pause.
    pub ceiling: Duration,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Ended {
    /// The work came to its end.
    Done(JobOutcome),
    /// It failed.
    Failed(JobError),
    /// It was given up, because it did not stop when it was asked to.
    Abandoned,
}

/// What is written of an attempt, the `attempts`-th that counts, which was asked to stop for a reason or was not.
#[must_use]
pub fn settle(
    ended: Ended,
    asked: Option<StopReason>,
    attempts: u32,
    rules: Rules,
    now: Timestamp,
) -> Settled {
    let failed = match (ended, asked) {
        // Whoever is done is done, also if it was no longer wanted.
        (Ended::Done(outcome), _) => {
            return Settled::Done {
                result: outcome.result,
                message: outcome.message,
            };
        }
        (_, Some(StopReason::Cancelled)) => return Settled::Cancelled,
        (_, Some(reason)) => {
            return Settled::Again {
                not_before: now,
                error: None,
                counted: false,
                message: reason.waits_for().to_owned(),
            };
        }
        (Ended::Failed(error), None) => error,
        (Ended::Abandoned, None) => JobError::stopped(),
    };
    let mut words = failed.error.to_string();
    if let Some(hint) = failed.error.hint() {
        words = format!("{words} ({hint})");
    }
    if !failed.retry || is_last(attempts, rules) {
        return Settled::Failed { error: words };
    }
    let wait = pause(attempts, rules.ceiling).max(failed.after.unwrap_or_default());
    Settled::Again {
        not_before: now + wait,
        error: Some(words),
        counted: true,
        message: String::new(),
    }
}

/// What is written of an attempt during which the recorder died: as of one that failed.
#[must_use]
pub fn after_crash(attempts: u32, rules: Rules, now: Timestamp) -> Settled {
    let words = "the recorder died while it was being done";
    if is_last(attempts, rules) {
        return Settled::Failed {
            error: format!("{words}, at the last of {attempts} attempts"),
        };
    }
    // The first time it is more likely that the recorder was killed than that the job killed it.
    let wait = if attempts <= 1 {
        Duration::ZERO
    } else {
        pause(attempts - 1, rules.ceiling)
    };
    Settled::Again {
        not_before: now + wait,
        error: Some(words.to_owned()),
        counted: true,
        message: "goes on after a crash".to_owned(),
    }
}

fn is_last(attempts: u32, rules: Rules) -> bool {
    rules.most_attempts.is_some_and(|most| attempts >= most.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn rules(most: u32) -> Rules {
        Rules {
            most_attempts: NonZeroU32::new(most),
            ceiling: Duration::from_secs(600),
        }
    }

    fn passing() -> Ended {
        Ended::Failed(JobError::passing(
            Error::new(ErrorKind::Unavailable, "nobody answers").with_hint("wait"),
        ))
    }

    #[test]
    fn waits() {
        let ceiling = Duration::from_secs(600);
        let waits: Vec<u64> = (0..9).map(|n| pause(n, ceiling).as_secs()).collect();
        assert_eq!(waits, [5, 5, 10, 20, 40, 80, 600, 600, 600]);
        assert_eq!(pause(u32::MAX, ceiling), ceiling);
        let low = Duration::from_secs(15);
        assert_eq!([1, 2, 3, 9].map(|n| pause(n, low).as_secs()), [5, 10, 15, 15]);
    }

    #[test]
    fn what_fails_is_tried_again_until_it_was_the_last_attempt() {
        let again = |attempts, most| match settle(passing(), None, attempts, rules(most), NOW) {
            Settled::Again {
                not_before,
                counted: true,
                ..
            } => Some(not_before.since(NOW) / 1_000_000_000),
            Settled::Failed { error } => {
                assert_eq!(error, "nobody answers (wait)");
                None
            }
            other => panic!("{other:?}"),
        };
        let tried: Vec<_> = (1..=4).map(|n| again(n, 4)).collect();
        assert_eq!(tried, [Some(5), Some(10), Some(20), None]);
        assert_eq!(again(1_000_000, 0), Some(600), "for ever");
        let lasting = || Ended::Failed(JobError::lasting(Error::new(ErrorKind::Corrupt, "no")));
        assert!(matches!(
            settle(lasting(), None, 1, rules(4), NOW),
            Settled::Failed { .. }
        ));
        let patient = Ended::Failed(JobError::stopped().after(Duration::from_secs(77)));
        let Settled::Again { not_before, .. } = settle(patient, None, 1, rules(4), NOW) else {
            panic!("it is tried again");
        };
        assert_eq!(not_before, NOW + Duration::from_secs(77));
    }

    #[test]
    fn what_was_interrupted_goes_on_and_what_was_called_off_does_not() {
        for reason in [
            StopReason::Shutdown,
            StopReason::WindowClosed,
            StopReason::Overload,
            StopReason::Disabled,
        ] {
            for ended in [passing(), Ended::Abandoned] {
                let settled = settle(ended, Some(reason), 9, rules(4), NOW);
                assert!(
                    matches!(
                        settled,
                        Settled::Again {
                            counted: false,
                            error: None,
                            not_before: NOW,
                            ..
                        }
                    ),
                    "{settled:?}"
                );
            }
        }
        let off = Some(StopReason::Cancelled);
        assert_eq!(
            settle(Ended::Abandoned, off, 1, rules(4), NOW),
            Settled::Cancelled
        );
        assert_eq!(settle(passing(), off, 1, rules(4), NOW), Settled::Cancelled);
        let done = Ended::Done(JobOutcome::default());
        assert!(matches!(
            settle(done, off, 1, rules(4), NOW),
            Settled::Done { .. }
        ));
    }

    #[test]
    fn a_job_that_kills_the_recorder_each_time_fails_in_the_end() {
        let waits: Vec<_> = (1..=4)
            .map(|n| match after_crash(n, rules(4), NOW) {
                Settled::Again {
                    not_before,
                    counted: true,
                    ..
                } => Some(not_before.since(NOW) / 1_000_000_000),
                _ => None,
            })
            .collect();
        assert_eq!(waits, [Some(0), Some(5), Some(10), None]);
    }
}
