//! What overlaps a range, in pages, by index and not by scanning.

use proptest::prelude::*;

use super::*;
use crate::store::query::overlap_sql;

fn starts(rows: &[SegmentRow]) -> Vec<i64> {
    rows.iter().map(|r| r.start.as_ns() / NS_PER_S).collect()
}

#[test]
fn overlap_is_a_range_of_the_index() {
    let f = Fixture::new();
    for order in [Order::Asc, Order::Desc] {
        let plan: Vec<String> = f
            .store
            .read(|c| {
                let mut s = c
                    .prepare(&format!("EXPLAIN QUERY PLAN {}", overlap_sql(order)))
                    .map_err(error::from_sqlite)?;
                // Without values for its parameters: a plan needs none.
                let rows = s.raw_query().mapped(|r| r.get(3));
                rows.collect::<rusqlite::Result<_>>().map_err(error::from_sqlite)
            })
            .unwrap();
        assert_eq!(
            plan,
            ["SEARCH segments USING INDEX segments_by_time (camera=? AND start_ns>? AND start_ns<?)"],
            "one search, no sorting"
        );
    }
}

#[test]
fn statements_are_prepared_once_whatever_is_asked() {
    use rusqlite::StatementStatus;
    let f = Fixture::new();
    f.store
        .insert_segments_blocking((0..20).map(|i| closed("a", i, i64::from(i) * 10, 10)).collect())
        .unwrap();
    // One reader after the other is the same connection.
    for from in 0..10 {
        let rows = f
            .store
            .timeline_rows(&cam("a"), range(from, from + 50), 10)
            .unwrap()
            .unwrap();
        assert!(rows.segments.len() >= 5);
    }
    f.store
        .read(|c| {
            let statement = c
                .prepare_cached(&overlap_sql(Order::Asc))
                .map_err(error::from_sqlite)?;
            assert!(statement.get_status(StatementStatus::Run) >= 10);
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
            Ok(())
        })
        .unwrap();
}

#[test]
fn long_segments_and_growing_ones_are_found_from_their_middle() {
    let f = Fixture::new();
    let mut all = vec![closed("a", 0, 0, 5000)];
    all.extend((1..100).map(|i| closed("a", i, i64::from(i) * 10, 10)));
    f.store.insert_segments_blocking(all).unwrap();
    f.store
        .open_segment_blocking(&start("a", 2, 0, 1000), Path::new("a/open.mp4"))
        .unwrap();
    let query = |from, to| SegmentQuery::new([cam("a")], range(from, to));
    let page = |q: &SegmentQuery| starts(&f.store.segments(q).unwrap().items);
    assert_eq!(page(&query(500, 510)), [0, 500]);
    assert_eq!(page(&query(505, 511)), [0, 500, 510]);
    assert_eq!(page(&query(4999, 9000)), [0, 1000]);
    assert_eq!(
        page(&query(5000, 9000)),
        [1000],
        "ranges are half-open, open segments endless"
    );
    assert_eq!(page(&query(5000, 9000).playable()), [0i64; 0]);
    let mut reverse = query(500, 520);
    reverse.order = Order::Desc;
    assert_eq!(page(&reverse), [510, 500, 0]);
    assert!(
        f.store
            .segments(&SegmentQuery::new([cam("b")], TimeRange::ALL))
            .unwrap()
            .items
            .is_empty()
    );
}

#[test]
fn footage_around_a_moment() {
    let f = Fixture::new();
    f.store
        .insert_segments_blocking(vec![
            closed("a", 0, 0, 10),
            closed("a", 1, 10, 10),
            closed("a", 2, 40, 10),
        ])
        .unwrap();
    let around = |t| {
        let n = f.store.nearest(&cam("a"), at(t)).unwrap();
        [n.before, n.at, n.after].map(|r| r.map(|r| r.start.as_ns() / NS_PER_S))
    };
    assert_eq!(around(-5), [None, None, Some(0)]);
    assert_eq!(around(10), [Some(0), Some(10), Some(40)]);
    assert_eq!(around(20), [Some(10), None, Some(40)]);
    assert_eq!(around(45), [Some(10), Some(40), None]);
    assert_eq!(around(99), [Some(40), None, None]);
    let id = f
        .store
        .open_segment_blocking(&start("a", 2, 0, 60), Path::new("a/open.mp4"))
        .unwrap();
    assert_eq!(around(99), [Some(40), Some(60), None]);
    assert_eq!(around(55), [Some(40), None, Some(60)]);
    f.store
        .set_segment_state_blocking(id, SegmentState::Missing)
        .unwrap();
    assert_eq!(around(99), [Some(40), None, None]);
}

#[test]
fn all_paths_come_in_byte_order_over_many_steps() {
    let f = Fixture::new();
    let mut all: Vec<_> = (0..2500).map(|i| closed("a", i, i64::from(i) * 10, 10)).collect();
    all.push(closed("a-b", 0, 0, 10));
    all.push(closed("a_b", 0, 0, 10));
    let mut expected: Vec<_> = all.iter().map(|s| s.path.to_str().unwrap().to_owned()).collect();
    expected.sort_unstable();
    f.store.insert_segments_blocking(all).unwrap();
    let paths: Vec<_> = f
        .store
        .all_paths()
        .map(|r| r.unwrap().path.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(paths, expected);
}

#[test]
fn wrong_totals_are_found_and_mended() {
    let f = Fixture::new();
    f.store
        .insert_segments_blocking(vec![closed("a", 0, 0, 10)])
        .unwrap();
    f.store
        .write_blocking(|c| {
            c.execute("UPDATE totals SET segments = 7", [])
                .map_err(error::from_sqlite)
        })
        .unwrap();
    assert_eq!(f.store.integrity_check().unwrap().len(), 1);
    f.store.recount_totals_blocking().unwrap();
    assert!(f.store.integrity_check().unwrap().is_empty());
    assert_eq!(
        f.store.totals().unwrap(),
        [CameraTotals {
            camera: cam("a"),
            segments: 1,
            size_bytes: 10_000,
            duration_ns: 10 * NS_PER_S,
            oldest: Some(at(0)),
            newest: Some(at(10)),
        }]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pages_hold_exactly_what_overlaps(
        rows in proptest::collection::vec((0usize..3, 0i64..50, 0i64..20), 0..40),
        missing in proptest::collection::vec(any::<proptest::sample::Index>(), 0..4),
        deleted in proptest::collection::vec(any::<proptest::sample::Index>(), 0..4),
        (from, len) in (0i64..50, 0i64..30),
        limit in 1u32..8,
        descending in any::<bool>(),
        cameras in 0usize..4,
    ) {
        let f = Fixture::new();
        let names = ["a", "b", "c"];
        let batch: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(i, &(c, s, l))| closed(names[c], i as u32, s, l))
            .collect();
        let mut ids = f.store.insert_segments_blocking(batch).unwrap();
        if !ids.is_empty() {
            for m in &missing {
                f.store.set_segment_state_blocking(*m.get(&ids), SegmentState::Missing).unwrap();
            }
            for d in &deleted {
                f.store.delete_segment_blocking(*d.get(&ids)).unwrap();
            }
        }
        ids.retain(|&id| f.store.segment(id).unwrap().is_some());
        let mut query = SegmentQuery::new(names[..cameras].iter().map(|c| cam(c)), range(from, from + len)).playable();
        query.limit = limit;
        query.order = if descending { Order::Desc } else { Order::Asc };

        let mut expected: Vec<SegmentRow> = f.store.all_paths().map(Result::unwrap).collect();
        prop_assert_eq!(expected.len(), ids.len());
        expected.retain(|r| {
            (cameras == 0 || query.cameras.contains(&r.camera))
                && r.state == SegmentState::Closed
                && r.start < query.range.end()
                && (r.end() > query.range.start() || r.start >= query.range.start())
        });
        expected.sort_by_key(|r| (r.start, r.id));
        if descending {
            expected.reverse();
        }
        prop_assert_eq!(&f.store.all_segments(&query).unwrap(), &expected);
        let mut paged = Vec::new();
        loop {
            let page = f.store.segments(&query).unwrap();
            prop_assert!(page.items.len() <= limit as usize);
            paged.extend(page.items);
            query.cursor = page.next.map(|c| c.to_string().parse().unwrap());
            if query.cursor.is_none() {
                break;
            }
        }
        prop_assert_eq!(paged, expected);
        prop_assert!(f.store.integrity_check().unwrap().is_empty());
    }
}
