//! What is missing and may be fetched. Pure.

use crate::event::CauseKind;
use crate::store::{GapRow, SegmentRow, SegmentState};
use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// A gap's row begins when the loss was noticed, and ends when pictures came again: what is missing reaches so far beyond.
const REACH_NS: i64 = 30 * NS_PER_S;
/// Shorter holes are left alone: there may be no picture in them.
const LEAST_NS: i64 = NS_PER_S / 4;
/// Gaps that are no further apart than this are fetched together.
const TOGETHER_NS: i64 = NS_PER_S;

/// Whether something should have been recorded that the camera may have: not where nothing was wanted, where it was deleted, or
/// where there is no room.
pub(super) const fn may_be_on_card(cause: CauseKind) -> bool {
    matches!(
        cause,
        CauseKind::Unreachable
            | CauseKind::Unauthorized
            | CauseKind::StreamNotFound
            | CauseKind::StreamEnded
            | CauseKind::NoFrames
            | CauseKind::BadStream
            | CauseKind::Crash
            | CauseKind::Shutdown
            | CauseKind::DiskFull
            | CauseKind::ReadOnly
            | CauseKind::StorageMissing
            | CauseKind::StorageHangs
            | CauseKind::StorageError
            | CauseKind::Internal
    )
}

/// The stretches to ask for, by the gaps (by start) that were not asked for yet. An outage that goes on, as another gap since
/// `open`, is left for later.
pub(super) fn stretches(gaps: &[GapRow], open: Option<Timestamp>) -> Vec<TimeRange> {
    let mut all: Vec<TimeRange> = Vec::new();
    for gap in gaps.iter().filter(|g| may_be_on_card(g.cause.kind)) {
        let Some(range) = gap.end.and_then(|end| TimeRange::new(gap.start, end).ok()) else {
            continue;
        };
        match all.last_mut() {
            Some(last) if range.start().since(last.end()) <= TOGETHER_NS => {
                *last = TimeRange::new(last.start(), range.end().max(last.end())).unwrap_or(*last);
            }
            _ => all.push(range),
        }
    }
    all.retain(|r| open.is_none_or(|open| open.since(r.end()).abs() > TOGETHER_NS));
    all
}

/// Where the footage is looked at from which holes in a stretch are found.
pub(super) fn wider(range: TimeRange) -> TimeRange {
    TimeRange::new(range.start().add_ns(-REACH_NS), range.end().add_ns(REACH_NS)).unwrap_or(range)
}

/// What is missing in a stretch, as far as `until`. With `reach` holes that begin or end in it are taken whole, unless
/// another gap says why the rest is missing.
pub(super) fn holes(
    range: TimeRange,
    reach: bool,
    segments: &[SegmentRow],
    gaps: &[GapRow],
    until: Timestamp,
) -> Vec<TimeRange> {
    let around = if reach { wider(range) } else { range };
    let mut taken: Vec<(Timestamp, Timestamp)> = segments
        .iter()
        .filter(|s| SegmentState::FOOTAGE.contains(&s.state))
        .map(|s| match s.state {
            // It grows.
            SegmentState::Open => (s.start, Timestamp::MAX),
            _ => (s.start, s.end()),
        })
        .collect();
    if reach {
        let others = gaps.iter().filter(|g| !may_be_on_card(g.cause.kind));
        taken.extend(others.map(|g| (g.start, g.end.unwrap_or(Timestamp::MAX))));
    }
    // Where nothing is known to follow yet, pictures came again when the gap ended: they may not be in the index.
    let until = until.min(around.end());
    let follows = segments
        .iter()
        .any(|s| !s.from_card && (range.start()..=until).contains(&s.start));
    let until = if follows { until } else { until.min(range.end()) };
    taken.push((until, Timestamp::MAX));
    taken.sort_unstable();
    let mut found = Vec::new();
    let mut at = around.start();
    for (start, end) in taken.into_iter().chain([(around.end(), Timestamp::MAX)]) {
        let hole = TimeRange::new(at, start.min(around.end()));
        found.extend(
            hole.ok()
                .filter(|h| h.len_ns() >= LEAST_NS && h.intersect(&range).is_some()),
        );
        at = at.max(end);
        if at >= around.end() {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Cause;
    use crate::ids::{CameraId, RunId, SegmentId};
    use crate::segment::{Container, Tier};
    use crate::store::Marks;
    use crate::track::{Tracks, VideoCodec, VideoTrack};

    fn at(s: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + s)
    }

    fn range(from: i64, to: i64) -> TimeRange {
        TimeRange::new(at(from), at(to)).unwrap()
    }

    fn segment(from: i64, to: i64, state: SegmentState) -> SegmentRow {
        SegmentRow {
            id: SegmentId(1),
            camera: CameraId::new("cam").unwrap(),
            run: RunId::from_u64(1),
            sequence: 0,
            path: "x".into(),
            state,
            start: at(from),
            duration_ns: (to - from) * NS_PER_S,
            size_bytes: 1,
            container: Container::Fmp4,
            tracks: Tracks {
                video: VideoTrack {
                    codec: VideoCodec::H264,
                    width: 1,
                    height: 1,
                    frame_rate: None,
                },
                audio: None,
            },
            hash: None,
            protected: false,
            camera_start: None,
            marks: Marks::default(),
            tier: Tier::First,
            masks: None,
            from_card: false,
        }
    }

    fn gap(from: i64, to: i64, kind: CauseKind) -> GapRow {
        GapRow {
            camera: CameraId::new("cam").unwrap(),
            start: at(from),
            end: Some(at(to)),
            cause: Cause::new(kind, ""),
        }
    }

    #[test]
    fn neighbours_are_fetched_together_and_what_nobody_wanted_is_not() {
        let gaps = [
            gap(0, 10, CauseKind::Unreachable),
            gap(10, 20, CauseKind::NoFrames),
            gap(20, 30, CauseKind::NotScheduled),
            gap(50, 60, CauseKind::Crash),
            gap(70, 80, CauseKind::Deleted),
        ];
        assert_eq!(stretches(&gaps, None), [range(0, 20), range(50, 60)]);
        // It goes on for another reason.
        assert_eq!(stretches(&gaps, Some(at(60))), [range(0, 20)]);
        let mut open = gap(90, 91, CauseKind::Unreachable);
        open.end = None;
        assert_eq!(stretches(&[open], None), []);
    }

    #[test]
    fn holes_reach_from_the_last_picture_to_the_first_one() {
        let closed = SegmentState::Closed;
        let rows = [segment(0, 97, closed), segment(121, 130, SegmentState::Open)];
        let noticed = range(100, 120);
        let never = Timestamp::MAX;
        assert_eq!(holes(noticed, true, &rows, &[], never), [range(97, 121)]);
        assert_eq!(holes(noticed, false, &rows, &[], never), [noticed]);
        assert_eq!(
            holes(noticed, true, &rows[..1], &[], never),
            [range(97, 120)],
            "its row is not there yet"
        );
        assert_eq!(holes(range(125, 128), false, &rows, &[], never), [], "it grows");
        // Another reason holds beside it.
        let other = [gap(90, 99, CauseKind::NotScheduled)];
        assert_eq!(holes(noticed, true, &rows[1..], &other, never), [range(99, 121)]);
        // A part is there already, and the present is not over.
        let rows = [
            segment(0, 97, closed),
            segment(97, 110, closed),
            segment(112, 113, closed),
        ];
        assert_eq!(
            holes(noticed, true, &rows, &[], at(115)),
            [range(110, 112), range(113, 115)]
        );
        assert_eq!(holes(noticed, true, &[segment(0, 200, closed)], &[], never), []);
        assert_eq!(
            holes(
                noticed,
                false,
                &[segment(0, 200, SegmentState::Missing)],
                &[],
                never
            ),
            [noticed]
        );
    }
}
