//! The planner on random recordings.

use std::collections::HashSet;

use proptest::prelude::*;

use crate::media::clip::{Span, SpanInput, spans};
use crate::media::index::{Fragment, FragmentIndex};
use crate::time::{TimeRange, Timestamp};

const MS: i64 = 1_000_000;

#[derive(Clone, Debug)]
struct Recorded {
    start: Timestamp,
    run_order: i64,
    index: FragmentIndex,
}

impl Recorded {
    fn range(&self) -> TimeRange {
        TimeRange::new(self.start, self.start.add_ns(self.index.duration_ns())).unwrap()
    }

    /// Higher wins where both cover an instant.
    fn rank(&self, i: usize) -> (i64, Timestamp, usize) {
        (self.run_order, self.start, i)
    }
}

/// A file of chunks; every `gop`-th begins with a keyframe.
fn index(chunks: &[u16], gop: usize) -> FragmentIndex {
    let mut index = FragmentIndex {
        header_len: 1000,
        timescale: 90_000,
        ..Default::default()
    };
    let mut start_ns = 0;
    let mut offset = index.header_len;
    for (i, &ms) in chunks.iter().enumerate() {
        let f = Fragment {
            offset,
            size: 100 + u32::from(ms),
            start_ns,
            duration_ns: i64::from(ms) * MS,
            keyframe: i % gop == 0,
        };
        start_ns = f.end_ns();
        offset = f.end_offset();
        index.fragments.push(f);
    }
    index
}

fn recorded() -> impl Strategy<Value = Recorded> {
    let chunks = prop::collection::vec(200u16..500, 0..24);
    (-20_000i64..20_000, 0i64..3, chunks, 1usize..9).prop_map(|(ms, run_order, chunks, gop)| Recorded {
        start: Timestamp::from_ns(ms * MS),
        run_order,
        index: index(&chunks, gop),
    })
}

fn wanted() -> impl Strategy<Value = TimeRange> {
    (-25_000i64..25_000, 1i64..20_000).prop_map(|(from, len)| {
        TimeRange::new(
            Timestamp::from_ns(from * MS),
            Timestamp::from_ns((from + len) * MS),
        )
        .unwrap()
    })
}

fn spans_of(all: &[Recorded], wanted: TimeRange, slack: i64) -> Vec<Span> {
    let inputs: Vec<SpanInput<'_>> = all
        .iter()
        .map(|r| SpanInput {
            start: r.start,
            run_order: r.run_order,
            index: &r.index,
        })
        .collect();
    spans(&inputs, wanted, slack)
}

fn common_rules(all: &[Recorded], wanted: TimeRange, spans: &[Span]) -> Result<(), TestCaseError> {
    let mut seen = HashSet::new();
    for (n, s) in spans.iter().enumerate() {
        let r = &all[s.segment];
        let first = &r.index.fragments[s.fragments.start];
        prop_assert!(first.keyframe);
        prop_assert!(!s.shown.is_empty());
        prop_assert_eq!(s.shown.intersect(&wanted), Some(s.shown));
        prop_assert_eq!(s.shown.intersect(&r.range()), Some(s.shown));
        prop_assert!(r.start.add_ns(first.start_ns) <= s.shown.start());
        // Only the first span has a lead-in, and it is one GOP at most.
        let lead_in_end = r.index.keyframe_at_or_after(first.start_ns + 1);
        if n > 0 {
            prop_assert_eq!(r.start.add_ns(first.start_ns), s.shown.start());
        } else if let Some(next) = lead_in_end {
            prop_assert!(s.shown.start() < r.start.add_ns(r.index.fragments[next].start_ns));
        }
        // All that is shown is there.
        let last = &r.index.fragments[s.fragments.end - 1];
        prop_assert!(r.start.add_ns(last.end_ns()) >= s.shown.end());
        for f in s.fragments.clone() {
            prop_assert!(seen.insert((s.segment, f)));
        }
    }
    for w in spans.windows(2) {
        prop_assert!(w[0].shown.start() < w[1].shown.start());
    }
    Ok(())
}

proptest! {
    #[test]
    fn files_that_follow_each_other_are_covered_exactly(
        files in prop::collection::vec((prop::collection::vec(200u16..500, 1..16), 1usize..9, 0i64..3000), 1..6),
        wanted in wanted(),
    ) {
        let mut at = -15_000 * MS;
        let mut all = Vec::new();
        for (chunks, gop, gap) in &files {
            let r = Recorded {
                start: Timestamp::from_ns(at),
                run_order: 0,
                index: index(chunks, *gop),
            };
            at = r.range().end().as_ns() + gap * MS;
            all.push(r);
        }
        let spans = spans_of(&all, wanted, 0);
        common_rules(&all, wanted, &spans)?;
        let shown: Vec<TimeRange> = spans.iter().map(|s| s.shown).collect();
        let expected: Vec<TimeRange> = all.iter().filter_map(|r| r.range().intersect(&wanted)).collect();
        prop_assert_eq!(shown, expected);
        // No fragment behind the end.
        for s in &spans {
            let last = &all[s.segment].index.fragments[s.fragments.end - 1];
            prop_assert!(all[s.segment].start.add_ns(last.start_ns) < s.shown.end());
        }
    }

    #[test]
    fn overlapping_runs_obey_the_rules(
        all in prop::collection::vec(recorded(), 0..8),
        wanted in wanted(),
        slack in prop_oneof![Just(0i64), Just(1000 * MS)],
        instants in prop::collection::vec(-25_000i64..45_000, 20),
    ) {
        let spans = spans_of(&all, wanted, slack);
        common_rules(&all, wanted, &spans)?;
        for t in instants.into_iter().map(|ms| Timestamp::from_ns(ms * MS)).filter(|&t| wanted.contains(t)) {
            let strongest = (0..all.len()).filter(|&i| all[i].range().contains(t)).max_by_key(|&i| all[i].rank(i));
            let shown: Vec<usize> = spans.iter().filter(|s| s.shown.contains(t)).map(|s| s.segment).collect();
            let Some(strongest) = strongest else {
                prop_assert!(shown.is_empty());
                continue;
            };
            for &i in &shown {
                // Within a run a short overlap is not cut.
                let (a, b) = (&all[i], &all[strongest]);
                prop_assert!(i == strongest || a.run_order == b.run_order, "{i} shown where {strongest} is stronger");
            }
            if shown.is_empty() {
                // Only where its keyframe lies under a stronger one.
                let r = &all[strongest];
                let k = r.index.keyframe_at_or_before(t.since(r.start)).expect("each begins with a keyframe");
                let key_at = r.start.add_ns(r.index.fragments[k].start_ns);
                let hidden = (0..all.len()).any(|j| {
                    all[j].rank(j) > r.rank(strongest)
                        && all[j].range().start() <= t
                        && all[j].range().end() > key_at
                });
                prop_assert!(hidden, "{t} of {strongest} is not shown");
            }
        }
    }

    #[test]
    fn extreme_times_do_not_panic(
        start in any::<i64>(),
        index_start in any::<i64>(),
        duration in any::<i64>(),
        from in any::<i64>(),
        to in any::<i64>(),
        slack in any::<i64>(),
    ) {
        let fragment = Fragment { offset: u64::MAX - 5, size: 9, start_ns: index_start, duration_ns: duration, keyframe: true };
        let index = FragmentIndex { fragments: vec![fragment; 2], ..Default::default() };
        let all = [(); 2].map(|()| Recorded { start: Timestamp::from_ns(start), run_order: 0, index: index.clone() });
        let range = TimeRange::new(Timestamp::from_ns(from.min(to)), Timestamp::from_ns(from.max(to))).unwrap();
        let _ = spans_of(&all, range, slack);
        let _ = spans_of(&all, TimeRange::ALL, slack);
    }
}
