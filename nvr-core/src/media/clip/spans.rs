//! Which fragments of which segments answer for a range of UTC. Pure.

use std::ops::Range;

use crate::media::index::FragmentIndex;
use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// Segments of one run follow each other; slow correction of the clock lets their UTC overlap by so much
/// without anything having been recorded twice.
const SAME_RUN_OVERLAP_NS: i64 = NS_PER_S;

/// A segment as the planner sees it.
#[derive(Clone, Copy, Debug)]
pub struct SpanInput<'a> {
    /// UTC of the first video frame's presentation.
    pub start: Timestamp,
    /// Rank of its run by true order of recording.
    pub run_order: i64,
    /// Its fragments.
    pub index: &'a FragmentIndex,
}

impl SpanInput<'_> {
    fn range(&self) -> TimeRange {
        let end = self.start.add_ns(self.index.duration_ns().max(0));
        TimeRange::new(self.start, end).unwrap_or(TimeRange::ALL)
    }
}

/// A run of consecutive fragments of one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// Position of the segment in the planner's input.
    pub segment: usize,
    /// Its fragments; the first begins with a keyframe.
    pub fragments: Range<usize>,
    /// The UTC that is shown of it: without the lead-in of the first span (from the keyframe to the
    /// wanted start), up to the wanted end.
    pub shown: TimeRange,
}

/// The spans that show `wanted`, sorted by time.
///
/// Where segments overlap in UTC, the one of the later run is taken, within a run the later segment.
/// The first span begins at the keyframe at or before the start of what it shows, the others at the first
/// keyframe that is not hidden. `slack_ns` is how far behind the end fragments are still taken (frames of
/// a stream with B-frames may lie there in decode order though they are presented before the end).
#[must_use]
pub fn spans(segments: &[SpanInput<'_>], wanted: TimeRange, slack_ns: i64) -> Vec<Span> {
    let ranges: Vec<TimeRange> = segments.iter().map(SpanInput::range).collect();
    let mut spans: Vec<Span> = Vec::new();
    let mut used = vec![0; segments.len()];
    for (segment, piece) in visible(segments, &ranges, wanted) {
        let SpanInput { start, index, .. } = segments[segment];
        let from_ns = piece.start().since(start);
        let to_ns = piece.end().since(start);
        let lead_in = if spans.is_empty() {
            index.keyframe_at_or_before(from_ns)
        } else {
            None
        };
        let Some(first) = lead_in.or_else(|| index.keyframe_at_or_after(from_ns)) else {
            continue;
        };
        // A second piece of the same segment never repeats fragments of the first.
        let first = match used[segment] {
            0 => first,
            n => match (first.max(n)..index.fragments.len()).find(|&i| index.fragments[i].keyframe) {
                Some(i) => i,
                None => continue,
            },
        };
        let begins = start.add_ns(index.fragments[first].start_ns).max(piece.start());
        if begins >= piece.end() {
            continue;
        }
        let end = if piece.end() >= ranges[segment].end() {
            index.fragments.len()
        } else {
            // Where a stronger run cuts in, the rest of this one may be shown behind it: nothing is taken in advance.
            let slack_ns = if piece.end() >= wanted.end() { slack_ns } else { 0 };
            index
                .fragments
                .partition_point(|f| f.start_ns < to_ns.saturating_add(slack_ns))
        };
        if first >= end {
            continue;
        }
        used[segment] = end;
        // What waited for a keyframe until the next segment began has nothing left to show of its own.
        while spans
            .last()
            .is_some_and(|last| last.shown.start() >= begins && last.shown.end() <= piece.end())
        {
            spans.pop();
        }
        if let Ok(shown) = TimeRange::new(begins, piece.end()) {
            spans.push(Span {
                segment,
                fragments: first..end,
                shown,
            });
        }
    }
    spans
}

/// The pieces of `wanted` and the segment that shows each, sorted by start.
fn visible(segments: &[SpanInput<'_>], ranges: &[TimeRange], wanted: TimeRange) -> Vec<(usize, TimeRange)> {
    let mut order: Vec<usize> = (0..segments.len())
        .filter(|&i| ranges[i].intersect(&wanted).is_some())
        .collect();
    order.sort_by_key(|&i| (segments[i].start, segments[i].run_order, i));

    // hidden[i]: what stronger segments take from the segment at place i of `order`.
    let mut hidden: Vec<Vec<TimeRange>> = vec![Vec::new(); order.len()];
    for (a, &i) in order.iter().enumerate() {
        for (b, &j) in order.iter().enumerate().skip(a + 1) {
            if ranges[j].start() >= ranges[i].end() {
                break;
            }
            let Some(common) = ranges[i].intersect(&ranges[j]) else {
                continue;
            };
            let same_run = segments[i].run_order == segments[j].run_order;
            let follows = ranges[j].end() > ranges[i].end();
            let short = common.len_ns() <= SAME_RUN_OVERLAP_NS.min(ranges[i].len_ns() / 2);
            // A range that begins inside the overlap is shown from the later segment alone: as the first it
            // may begin with its own keyframe, as the second it would have to wait for the next one.
            if same_run && follows && short && ranges[j].start() > wanted.start() {
                continue;
            }
            let weaker = if segments[i].run_order > segments[j].run_order {
                b
            } else {
                a
            };
            hidden[weaker].push(common);
        }
    }

    let mut pieces = Vec::new();
    for (&i, mut taken) in order.iter().zip(hidden) {
        taken.sort_by_key(TimeRange::start);
        let Some(own) = ranges[i].intersect(&wanted) else {
            continue;
        };
        let mut from = own.start();
        for t in taken {
            if let Ok(piece) = TimeRange::new(from, t.start().min(own.end())) {
                pieces.push((i, piece));
            }
            from = from.max(t.end());
        }
        if let Ok(piece) = TimeRange::new(from, own.end()) {
            pieces.push((i, piece));
        }
    }
    pieces.retain(|(_, p)| !p.is_empty());
    pieces.sort_by_key(|&(i, p)| (p.start(), p.end(), i));
    pieces
}
