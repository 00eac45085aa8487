//! What was recorded when, what is missing and why. Pure: rows in, a picture out.
//!
//! [`build`] makes the picture of one camera in a range, [`days()`] sums by calendar day. Asking the index,
//! knowing what grows now and what time it is are the caller's part.

mod days;
mod ranges;
#[cfg(test)]
mod tests;

use crate::event::{Cause, CauseKind, Event};
use crate::ids::{CameraId, RunId};
use crate::store::{GapRow, SegmentRow};
use crate::time::{NS_PER_S, TimeRange, Timestamp};
use crate::track::VideoCodec;

pub use days::{Day, days};

/// Segments of one run that are no further apart than this are one stretch: frame durations at a split
/// are known only so well. A stored gap between them keeps them apart all the same.
pub const JOIN_NS: i64 = NS_PER_S / 2;

/// A gap's row begins when the loss was noticed and ends when frames came again, which is later than the
/// last and earlier than the first recorded frame. So far the cause of a row reaches beyond its ends.
pub const CAUSE_REACH_NS: i64 = 30 * NS_PER_S;

/// The segment that is being written.
#[derive(Clone, PartialEq, Debug)]
pub struct Growing {
    /// Its run.
    pub run: RunId,
    /// First frame.
    pub start: Timestamp,
    /// End of the last frame that can be read.
    pub end: Timestamp,
    /// Bytes that can be read.
    pub size_bytes: u64,
    /// Video codec.
    pub codec: VideoCodec,
}

/// A stretch of footage.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Recorded {
    /// When.
    pub range: TimeRange,
    /// Whether it is being extended now.
    pub growing: bool,
    /// Run that it begins with.
    pub run: RunId,
    /// Number of runs in it; more than one only after folding by a resolution.
    pub runs: u32,
    /// Video codecs in it.
    pub codecs: Vec<VideoCodec>,
}

/// A stretch without footage.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Gap {
    /// When.
    pub range: TimeRange,
    /// Why; `Unknown` when nobody wrote it down.
    pub cause: Cause,
}

/// Sums over the range asked for, exact whatever the resolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Totals {
    /// Nanoseconds with footage; what two runs recorded at the same time (by their clocks) counts once.
    pub recorded_ns: i64,
    /// Nanoseconds without, between the first footage and now.
    pub missing_ns: i64,
    /// Bytes of the segments that touch the range, each in whole.
    pub bytes: u64,
    /// How many these are.
    pub segments: u64,
}

/// One camera's footage in a range.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Timeline {
    /// Camera.
    pub camera: CameraId,
    /// What was asked for.
    pub range: TimeRange,
    /// Footage: sorted, disjoint.
    pub ranges: Vec<Recorded>,
    /// What is missing between the camera's first footage (without any: its first outage) and now: sorted,
    /// disjoint, and together with the ranges without a hole.
    pub gaps: Vec<Gap>,
    /// Events as given.
    pub events: Vec<Event>,
    /// Sums.
    pub totals: Totals,
}

/// What a timeline is made from.
#[derive(Clone, Debug)]
pub struct Material<'a> {
    /// Camera.
    pub camera: CameraId,
    /// What is asked for.
    pub range: TimeRange,
    /// The present as far as it is known ([`known_until`]): no gap reaches beyond it.
    pub now: Timestamp,
    /// Start of the camera's oldest footage (`CameraTotals::oldest`): no gap begins before it. `None`:
    /// the first of the segments given here.
    pub first: Option<Timestamp>,
    /// The segments that overlap the range, in any order; missing ones are left out, and so are open ones
    /// without a length.
    pub segments: &'a [SegmentRow],
    /// The segment being written; its row may be among the segments too.
    pub growing: Option<&'a Growing>,
    /// The gaps that overlap the range, in any order.
    pub gaps: &'a [GapRow],
    /// Events to show.
    pub events: Vec<Event>,
    /// Nanoseconds that one point of the display stands for; 0 folds nothing.
    ///
    /// Stretches of footage whose distance is shorter become one stretch, and causes that hold for a
    /// shorter time are left out beside a longer neighbour. Footage is never folded away: a short stretch
    /// in a long gap stays. So the answer has no more than about `range / resolution` stretches.
    pub resolution_ns: i64,
}

/// Draws the timeline.
#[must_use]
pub fn build(material: Material<'_>) -> Timeline {
    let Material {
        camera,
        range,
        now,
        first,
        segments,
        growing,
        gaps,
        events,
        resolution_ns,
    } = material;
    let footage = ranges::Footage::collect(segments, growing);
    let mut recorded = footage.stretches(gaps, now);
    let first = first
        .into_iter()
        .chain(recorded.first().map(|r| r.range.start()))
        .min()
        // A camera that never recorded though it should have: it is missing since then.
        .or_else(|| {
            let unwanted =
                |g: &&GapRow| !matches!(g.cause.kind, CauseKind::NotScheduled | CauseKind::NoMotion);
            gaps.iter().filter(unwanted).map(|g| g.start).min()
        });
    ranges::clip(&mut recorded, range);
    let span = first.and_then(|first| {
        TimeRange::new(first, now)
            .ok()
            .and_then(|known| known.intersect(&range))
    });
    let mut totals = Totals {
        recorded_ns: sum(recorded.iter().map(|r| r.range)),
        missing_ns: 0,
        bytes: 0,
        segments: 0,
    };
    footage.count(range, &mut totals);
    let holes = |recorded: &[Recorded]| span.map_or_else(Vec::new, |s| ranges::holes(recorded, s));
    totals.missing_ns = sum(holes(&recorded).into_iter());
    if resolution_ns > 0 {
        ranges::fold(&mut recorded, resolution_ns);
    }
    let mut missing = Vec::new();
    let rows = ranges::sorted_gaps(gaps, now);
    for hole in holes(&recorded) {
        explain(hole, &rows, resolution_ns, &mut missing);
    }
    Timeline {
        camera,
        range,
        ranges: recorded,
        gaps: missing,
        events,
        totals,
    }
}

/// So far the readable part of a growing segment may be behind: chunk, jitter buffer and a busy machine.
const TAIL_NS: i64 = 5 * NS_PER_S;

/// The present as far as it is known: what a run that goes on has not written yet is not missing, unless a
/// gap says so or it takes too long. `newest` is what it wrote last; without such a run all is known.
#[must_use]
pub fn known_until(newest: Option<TimeRange>, gaps: &[GapRow], now: Timestamp) -> Timestamp {
    let Some(newest) = newest else {
        return now;
    };
    // One of no length is what a recording that began with what went before has left of the gap before it.
    let over = gaps.iter().any(|gap| {
        gap.start >= newest.start() && gap.end.is_none_or(|end| end > newest.end() && end > gap.start)
    });
    if over || now.since(newest.end()) > TAIL_NS {
        now
    } else {
        newest.end().min(now)
    }
}

fn sum(ranges: impl Iterator<Item = TimeRange>) -> i64 {
    ranges.fold(0i64, |total, r| total.saturating_add(r.len_ns()))
}

/// Cuts a hole into pieces by the stored gaps (sorted, disjoint) that overlap it.
fn explain(hole: TimeRange, rows: &[(TimeRange, &Cause)], resolution_ns: i64, out: &mut Vec<Gap>) {
    let mut pieces: Vec<(TimeRange, Option<&Cause>)> = Vec::new();
    let mut at = hole.start();
    for (part, cause) in ranges::overlapping(rows, hole) {
        push(&mut pieces, at, part.start(), None);
        push(&mut pieces, part.start(), part.end(), Some(cause));
        at = part.end();
    }
    push(&mut pieces, at, hole.end(), None);
    reach(&mut pieces);
    let unknown = Cause::new(CauseKind::Unknown, "nothing was noted");
    let first = out.len();
    for (range, cause) in pieces {
        let cause = cause.unwrap_or(&unknown);
        let short = range.len_ns() < resolution_ns;
        match out.get_mut(first..).and_then(<[Gap]>::last_mut) {
            Some(last) if short || last.cause == *cause => last.range = join(last.range, range),
            Some(last) if last.range.len_ns() < resolution_ns => {
                *last = Gap {
                    range: join(last.range, range),
                    cause: cause.clone(),
                };
            }
            _ => out.push(Gap {
                range,
                cause: cause.clone(),
            }),
        }
    }
}

/// Lets causes reach over short unexplained pieces beside them: backwards first, because a loss is
/// noticed late.
fn reach(pieces: &mut [(TimeRange, Option<&Cause>)]) {
    for i in 0..pieces.len() {
        if pieces[i].1.is_none() && pieces[i].0.len_ns() <= CAUSE_REACH_NS {
            let after = pieces.get(i + 1).and_then(|p| p.1);
            let before = i.checked_sub(1).and_then(|b| pieces[b].1);
            pieces[i].1 = after.or(before);
        }
    }
}

fn push<'a>(
    pieces: &mut Vec<(TimeRange, Option<&'a Cause>)>,
    start: Timestamp,
    end: Timestamp,
    cause: Option<&'a Cause>,
) {
    if start < end
        && let Ok(range) = TimeRange::new(start, end)
    {
        pieces.push((range, cause));
    }
}

/// The range from the start of the first to the end of the second.
fn join(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange::new(a.start(), a.end().max(b.end())).unwrap_or(a)
}
