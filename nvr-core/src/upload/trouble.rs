//! When a target is in trouble, and when it is not any more. Pure.

use std::time::Duration;

use crate::event::Cause;
use crate::time::{Timestamp, duration_ns};

/// Failures in a row that are trouble: one alone happens on any network.
const MANY: u32 = 3;
/// What waits for its window waits a day at most before that counts.
const WINDOW: Duration = Duration::from_hours(24);

/// What is to be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tell {
    /// It is in trouble, for this reason.
    Trouble(Cause),
    /// All is well again; since when it was not.
    Recovered(Timestamp),
}

/// Watches a target.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trouble {
    failures: u32,
    last: Option<Cause>,
    late: bool,
    since: Option<Timestamp>,
}

impl Trouble {
    /// Since when it is in trouble.
    #[must_use]
    pub const fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Why the last upload failed; `None` when it did not.
    #[must_use]
    pub const fn last(&self) -> Option<&Cause> {
        self.last.as_ref()
    }

    /// An upload failed.
    pub fn failed(&mut self, cause: Cause, now: Timestamp) -> Option<Tell> {
        self.failures = self.failures.saturating_add(1);
        self.last = Some(cause);
        self.look(now)
    }

    /// An upload succeeded.
    pub fn succeeded(&mut self, now: Timestamp) -> Option<Tell> {
        (self.failures, self.last) = (0, None);
        self.look(now)
    }

    /// Something waits since a moment, or nothing does; `windowed` when it may have to wait for a window.
    pub fn waits(
        &mut self,
        since: Option<Timestamp>,
        alert_after: Duration,
        windowed: bool,
        now: Timestamp,
    ) -> Option<Tell> {
        let most = alert_after.saturating_add(if windowed { WINDOW } else { Duration::ZERO });
        self.late = since.is_some_and(|t| now.since(t) > duration_ns(most));
        self.look(now)
    }

    fn look(&mut self, now: Timestamp) -> Option<Tell> {
        let bad = self.late || self.failures >= MANY;
        match (self.since, bad) {
            (None, true) => {
                self.since = Some(now);
                let late = || Cause::new(crate::event::CauseKind::Unknown, "uploads wait for too long");
                Some(Tell::Trouble(self.last.clone().unwrap_or_else(late)))
            }
            (Some(since), false) => {
                self.since = None;
                Some(Tell::Recovered(since))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::CauseKind;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_secs(s)
    }

    #[test]
    fn trouble_is_told_once_and_so_is_its_end() {
        let cause = || Cause::new(CauseKind::Unreachable, "no");
        let mut t = Trouble::default();
        assert_eq!(t.failed(cause(), at(1)), None);
        assert_eq!(t.succeeded(at(2)), None, "one failure alone is none");
        assert_eq!(t.failed(cause(), at(3)), None);
        assert_eq!(t.failed(cause(), at(4)), None);
        assert_eq!(t.failed(cause(), at(5)), Some(Tell::Trouble(cause())));
        assert_eq!(t.failed(cause(), at(6)), None);
        let hour = Duration::from_hours(1);
        assert_eq!(t.waits(Some(at(0)), hour, false, at(4000)), None);
        assert_eq!(t.succeeded(at(4001)), None, "much still waits");
        assert_eq!(
            t.waits(Some(at(3000)), hour, false, at(4002)),
            Some(Tell::Recovered(at(5)))
        );
        assert!(matches!(
            t.waits(Some(at(3000)), hour, false, at(6601)),
            Some(Tell::Trouble(_))
        ));
        assert_eq!(
            t.waits(None, hour, false, at(6602)),
            Some(Tell::Recovered(at(6601)))
        );
        assert_eq!(
            t.waits(Some(at(3000)), hour, true, at(6601)),
            None,
            "a window may be closed for a day"
        );
    }
}
