//! Where one occurrence of a booking stands, and what is due for it. Pure.

use crate::camera::READY_BEFORE;
use crate::event::BookingWarning;
use crate::event::Cause;
use crate::ids::CameraId;
use crate::time::{NS_PER_S, TimeRange, Timestamp, duration_ns};

/// So long after its end footage is waited for to be closed.
pub const SETTLE_NS: i64 = 90 * NS_PER_S;
/// So far what is being written may be behind what can be read of it.
pub const TAIL_NS: i64 = 3 * NS_PER_S;
/// Less than this is not missed: a keyframe at the end, a frame between two segments.
pub const TOLERANCE_NS: i64 = 3 * NS_PER_S / 2;

/// Where an occurrence stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BookingState {
    /// It is still to come.
    Planned,
    /// It lasts.
    Recording,
    /// It is over, and what is to become of its footage is being done.
    Processing,
    /// It is over; what is missing is told as warnings.
    Completed,
    /// Nothing was recorded by any camera.
    Failed,
    /// Somebody called it off.
    Cancelled,
    /// Its time passed while no recorder ran.
    Expired,
}

impl BookingState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Planned,
        Self::Recording,
        Self::Processing,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Recording => "recording",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The state of a stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }

    /// Whether nothing more happens to it.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Expired
        )
    }
}

/// What is to be done for an occurrence now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Its cameras are to be ready in a moment.
    Ready,
    /// It begins, or goes on after a restart.
    Record,
    /// It is over: what its cameras have is looked at.
    Settle,
    /// What is to become of its footage is looked after.
    Process,
    /// It passed unseen.
    Expire,
}

/// What is due for an occurrence whose state is kept (`None`: it did not begin yet).
#[must_use]
pub fn due(state: Option<BookingState>, range: TimeRange, now: Timestamp) -> Due {
    use BookingState as S;
    let begun = now >= range.start();
    let ended = now >= range.end();
    match state {
        Some(S::Processing) => Due::Process,
        Some(S::Recording) if ended => Due::Settle,
        Some(S::Recording) => Due::Record,
        Some(S::Completed | S::Failed | S::Cancelled | S::Expired) => Due::Nothing,
        None | Some(S::Planned) if ended => Due::Expire,
        None | Some(S::Planned) if begun => Due::Record,
        None | Some(S::Planned) if range.start().since(now) <= duration_ns(READY_BEFORE) => Due::Ready,
        None | Some(S::Planned) => Due::Nothing,
    }
}

/// The stretches of a range without footage, with why. What is shorter than [`TOLERANCE_NS`] is none.
#[must_use]
pub fn missing(
    range: TimeRange,
    recorded: &[TimeRange],
    gaps: &[(TimeRange, Cause)],
) -> Vec<(TimeRange, Option<Cause>)> {
    let mut recorded: Vec<_> = recorded.iter().collect();
    recorded.sort_by_key(|r| r.start());
    let mut holes = Vec::new();
    let mut at = range.start();
    let mut hole = |from: Timestamp, to: Timestamp| {
        if to.since(from) < TOLERANCE_NS {
            return;
        }
        let Ok(hole) = TimeRange::new(from, to) else {
            return;
        };
        // The cause of the longest part.
        let overlap = |r: &TimeRange| r.end().min(to).since(r.start().max(from));
        let cause = gaps
            .iter()
            .filter(|(r, _)| overlap(r) > 0)
            .max_by_key(|(r, _)| overlap(r));
        holes.push((hole, cause.map(|(_, cause)| cause.clone())));
    };
    for r in recorded {
        if r.start() > at {
            hole(at, r.start().min(range.end()));
        }
        at = at.max(r.end());
        if at >= range.end() {
            break;
        }
    }
    if at < range.end() {
        hole(at, range.end());
    }
    holes
}

/// What is told of the stretches that a camera missed.
#[must_use]
pub fn warnings(
    camera: &CameraId,
    range: TimeRange,
    missing: &[(TimeRange, Option<Cause>)],
) -> Vec<BookingWarning> {
    const MOST: usize = 5;
    let why = |cause: &Option<Cause>| {
        cause
            .as_ref()
            .map_or_else(|| "it is not known why".to_owned(), |c| c.message.clone())
    };
    let warning = |message: String| BookingWarning {
        camera: Some(camera.clone()),
        message,
    };
    if let [(hole, cause)] = missing
        && hole.len_ns() >= range.len_ns() - TOLERANCE_NS
    {
        return vec![warning(format!("nothing was recorded: {}", why(cause)))];
    }
    let mut out: Vec<_> = missing
        .iter()
        .take(MOST)
        .map(|(hole, cause)| {
            let seconds = hole.len_ns() as f64 / NS_PER_S as f64;
            warning(format!(
                "{seconds:.1} s are missing from {}: {}",
                hole.start(),
                why(cause)
            ))
        })
        .collect();
    if missing.len() > MOST {
        out.push(warning(format!(
            "and {} more stretches are missing",
            missing.len() - MOST
        )));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::CauseKind;
    use proptest::prelude::*;

    fn span(from: i64, to: i64) -> TimeRange {
        TimeRange::new(Timestamp::from_secs(from), Timestamp::from_secs(to)).unwrap()
    }

    #[test]
    fn what_is_due() {
        use BookingState as S;
        let range = span(100, 200);
        for (state, now, wanted) in [
            (None, 79, Due::Nothing),
            (None, 80, Due::Ready),
            (None, 100, Due::Record),
            (None, 199, Due::Record),
            (None, 200, Due::Expire),
            (Some(S::Recording), 150, Due::Record),
            (Some(S::Recording), 200, Due::Settle),
            (Some(S::Recording), 9000, Due::Settle),
            (Some(S::Processing), 300, Due::Process),
            (Some(S::Cancelled), 150, Due::Nothing),
            (Some(S::Completed), 300, Due::Nothing),
        ] {
            assert_eq!(
                due(state, range, Timestamp::from_secs(now)),
                wanted,
                "{state:?} {now}"
            );
        }
        assert!(S::ALL.iter().all(|s| S::from_name(s.as_str()) == Some(*s)));
    }

    #[test]
    fn what_is_missing_is_told_with_its_reason() {
        let camera = CameraId::new("front").unwrap();
        let away = Cause::new(CauseKind::Unreachable, "nobody answers");
        let gaps = [(span(140, 170), away)];
        let found = missing(span(100, 200), &[span(90, 140), span(170, 199)], &gaps);
        assert_eq!(found.len(), 1, "{found:?}");
        let told = warnings(&camera, span(100, 200), &found);
        assert_eq!(
            told[0].message,
            "30.0 s are missing from 1970-01-01T00:02:20Z: nobody answers"
        );
        let all = missing(span(100, 200), &[], &[]);
        assert_eq!(
            warnings(&camera, span(100, 200), &all)[0].message,
            "nothing was recorded: it is not known why"
        );
        assert!(missing(span(100, 200), &[span(50, 250)], &[]).is_empty());
    }

    proptest! {
        /// Holes lie within the range, are disjoint, and hold nothing that was recorded.
        #[test]
        fn holes_hold_nothing(recorded in prop::collection::vec((0i64..300, 1i64..60), 0..12)) {
            let range = span(100, 200);
            let recorded: Vec<_> = recorded.into_iter().map(|(from, len)| span(from, from + len)).collect();
            let holes = missing(range, &recorded, &[]);
            for (hole, _) in &holes {
                prop_assert!(hole.start() >= range.start() && hole.end() <= range.end());
                prop_assert!(recorded.iter().all(|r| r.end() <= hole.start() || r.start() >= hole.end()));
            }
            let held: i64 = (100..200).filter(|s| recorded.iter().any(|r| r.contains(Timestamp::from_secs(*s)))).count() as i64;
            let empty: i64 = holes.iter().map(|(h, _)| h.len_ns() / NS_PER_S).sum();
            // What is shorter than the tolerance, a second, is left out.
            prop_assert!(held + empty <= 100 && held + empty >= 100 - 24);
        }
    }
}
