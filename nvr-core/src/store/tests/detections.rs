//! Detections: what overlaps, in pages; marks of footage; what a crash leaves.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::detection::{Detection, DetectionId, DetectionKind, NewDetection};

fn new(camera: &str, from: i64, to: Option<i64>) -> NewDetection {
    let mut new = NewDetection::new(cam(camera), DetectionKind::External, at(from));
    new.to = to.map(at);
    new
}

fn enter(store: &Store, new: NewDetection) -> Detection {
    store.begin_detection_blocking(new).unwrap()
}

fn marked(store: &Store, path: &Path) -> bool {
    store.segment_by_path(path).unwrap().unwrap().marks.is_event()
}

#[test]
fn a_detection_begins_gets_surer_and_ends_once() {
    let f = Fixture::new();
    let mut d = new("a", 100, None).label("person");
    d.score = 0.4;
    d.data = Some("{\"x\":1}".into());
    let id = enter(&f.store, d).id;
    assert_eq!(f.store.open_detections().unwrap().len(), 1);

    let Ended::Done(d) = f.store.update_detection_blocking(id, at(110), 0.9, None).unwrap() else {
        panic!("not there");
    };
    assert_eq!((d.best_at, d.score, d.to), (at(110), 0.9, None));
    // Less sure: the picture stays.
    let Ended::Done(d) = f.store.update_detection_blocking(id, at(120), 0.5, None).unwrap() else {
        panic!("not there");
    };
    assert_eq!((d.best_at, d.score), (at(110), 0.9));

    let Ended::Done(d) = f.store.end_detection_blocking(id, at(130)).unwrap() else {
        panic!("not there");
    };
    assert_eq!((d.from, d.to), (at(100), Some(at(130))));
    assert_eq!(f.store.end_detection_blocking(id, at(140)).unwrap(), Ended::Over);
    assert_eq!(
        f.store.update_detection_blocking(id, at(140), 1.0, None).unwrap(),
        Ended::Over
    );
    let absent = DetectionId(id.0 + 1);
    assert_eq!(
        f.store.end_detection_blocking(absent, at(1)).unwrap(),
        Ended::Absent
    );
    assert_eq!(f.store.detection(id).unwrap().unwrap(), *d);
    assert!(f.store.open_detections().unwrap().is_empty());
    assert!(f.store.delete_detection_blocking(id).unwrap());
    assert!(!f.store.delete_detection_blocking(id).unwrap());
}

#[test]
fn an_end_before_the_begin_or_the_picture_is_moved() {
    let f = Fixture::new();
    let id = enter(&f.store, new("a", 100, None)).id;
    f.store.update_detection_blocking(id, at(150), 1.0, None).unwrap();
    let Ended::Done(d) = f.store.end_detection_blocking(id, at(50)).unwrap() else {
        panic!("not there");
    };
    assert_eq!((d.to, d.best_at), (Some(at(100)), at(100)));
}

#[test]
fn footage_around_a_detection_is_marked_whenever_it_is_closed() {
    let f = Fixture::new();
    let parts: Vec<_> = (0..6).map(|n| closed("a", n, 100 * i64::from(n), 100)).collect();
    let other = closed("b", 0, 200, 100);
    f.store
        .insert_segments_blocking(vec![parts[0].clone(), parts[1].clone(), other.clone()])
        .unwrap();
    f.store
        .open_segment_blocking(&parts[2].start, &parts[2].path)
        .unwrap();

    let mut d = new("a", 205, None);
    d.pre = Some(Duration::from_secs(10));
    d.post = Some(Duration::from_secs(20));
    let id = enter(&f.store, d).id;
    // What was there before, because of `pre`, and what grows.
    assert!(!marked(&f.store, &parts[0].path));
    assert!(marked(&f.store, &parts[1].path));
    assert!(marked(&f.store, &parts[2].path));
    f.store.close_segment_blocking(&parts[2].path, &parts[2]).unwrap();
    // Begun while it goes on.
    f.store
        .open_segment_blocking(&parts[3].start, &parts[3].path)
        .unwrap();
    f.store.close_segment_blocking(&parts[3].path, &parts[3]).unwrap();
    assert!(marked(&f.store, &parts[3].path));
    // Begun after its end, within `post`.
    f.store.end_detection_blocking(id, at(385)).unwrap();
    f.store.insert_segments_blocking(vec![parts[4].clone()]).unwrap();
    assert!(marked(&f.store, &parts[4].path));
    f.store.insert_segments_blocking(vec![parts[5].clone()]).unwrap();
    assert!(!marked(&f.store, &parts[5].path));
    assert!(!marked(&f.store, &other.path));
}

#[test]
fn what_a_crash_left_open_ends_where_the_footage_ends() {
    let f = Fixture::new();
    f.store
        .insert_segments_blocking(vec![closed("a", 0, 100, 100)])
        .unwrap();
    let long = enter(&f.store, new("a", 150, None)).id;
    let later = enter(&f.store, new("a", 250, None)).id;
    let without = enter(&f.store, new("b", 300, None)).id;
    f.store
        .update_detection_blocking(without, at(310), 1.0, None)
        .unwrap();
    assert_eq!(f.store.end_all_detections_blocking().unwrap(), 3);
    let to = |id| f.store.detection(id).unwrap().unwrap().to.unwrap();
    assert_eq!((to(long), to(later), to(without)), (at(200), at(250), at(310)));
    assert_eq!(f.store.end_all_detections_blocking().unwrap(), 0);
}

#[tokio::test]
async fn old_ones_go_and_what_goes_on_stays() {
    let f = Fixture::new();
    let store = &f.store;
    store
        .insert_segments(vec![closed("a", 0, 100, 100)])
        .await
        .unwrap();
    let mut ids = Vec::new();
    for (from, to) in [(10, Some(20)), (90, Some(110)), (30, None), (300, Some(310))] {
        ids.push(store.begin_detection(new("a", from, to)).await.unwrap().id);
    }
    let none = store.begin_detection(new("b", 10, Some(20))).await.unwrap().id;
    let left = |ids: &[DetectionId]| -> Vec<bool> {
        ids.iter()
            .map(|id| store.detection(*id).unwrap().is_some())
            .collect()
    };
    // With the footage: only what is older than all of it.
    assert_eq!(store.prune_detections(at(1000), true).await.unwrap(), 2);
    assert_eq!(left(&ids), [false, true, true, true]);
    assert_eq!(left(&[none]), [false]);
    assert_eq!(store.prune_detections(at(200), false).await.unwrap(), 1);
    assert_eq!(left(&ids), [false, false, true, true]);
}

#[derive(Debug, Clone)]
struct Made {
    camera: u8,
    kind: usize,
    label: Option<u8>,
    score: u8,
    from: i64,
    length: Option<i64>,
}

fn made() -> impl Strategy<Value = Made> {
    let rest = (proptest::option::of(0..3u8), 0..11u8, 0..200i64);
    (0..3u8, 0..5usize, rest, proptest::option::weighted(0.8, 0..60i64)).prop_map(
        |(camera, kind, (label, score, from), length)| Made {
            camera,
            kind,
            label,
            score,
            from,
            length,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// A query gives what a look at each of them gives, whatever the size of its pages.
    #[test]
    fn queries_find_what_overlaps_page_by_page(
        all in proptest::collection::vec(made(), 0..30),
        from in 0..220i64,
        length in 1..120i64,
        limit in 1..7u32,
        cameras in proptest::option::of(proptest::collection::vec(0..3u8, 0..3)),
        kinds in proptest::collection::vec(0..5usize, 0..3),
        labels in proptest::collection::vec(0..3u8, 0..2),
        score in 0..11u8,
    ) {
        let f = Fixture::new();
        let mut rows: Vec<Detection> = Vec::new();
        for m in &all {
            let mut d = new(&format!("c{}", m.camera), m.from, m.length.map(|l| m.from + l));
            d.kind = DetectionKind::ALL[m.kind];
            d.label = m.label.map(|l| format!("l{l}"));
            d.score = f32::from(m.score) / 10.0;
            rows.push(enter(&f.store, d));
        }
        let mut query = DetectionQuery::new(range(from, from + length));
        query.cameras = cameras.as_ref().map(|list| list.iter().map(|c| cam(&format!("c{c}"))).collect());
        query.kinds = kinds.iter().map(|k| DetectionKind::ALL[*k]).collect();
        query.labels = labels.iter().map(|l| format!("l{l}")).collect();
        query.min_score = f32::from(score) / 10.0;
        query.limit = limit;
        rows.retain(|d| {
            (d.from >= at(from) || d.to.is_none_or(|to| to > at(from)))
                && d.from < at(from + length)
                && query.cameras.as_ref().is_none_or(|c| c.contains(&d.camera))
                && (query.kinds.is_empty() || query.kinds.contains(&d.kind))
                && (query.labels.is_empty() || d.label.as_ref().is_some_and(|l| query.labels.contains(l)))
                && d.score >= query.min_score
        });
        rows.sort_by_key(|d| std::cmp::Reverse((d.from, d.id)));
        let mut found = Vec::new();
        loop {
            let page = f.store.detections(&query).unwrap();
            prop_assert!(page.items.len() <= limit as usize);
            found.extend(page.items);
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
            prop_assert!(found.len() <= rows.len());
        }
        prop_assert_eq!(found, rows);
    }
}

#[test]
fn events_and_detections_are_one_list_in_pages_of_any_size() {
    let f = Fixture::new();
    let happened = |s: i64, camera: Option<&str>, why: &str| {
        let cause = Cause::new(CauseKind::DiskFull, why);
        let event = Event::new(at(s), camera.map(cam), EventKind::StorageFault { cause });
        f.store.add_event_blocking(event).unwrap();
    };
    for s in [10, 20, 20, 30] {
        happened(s, None, "100% full_");
        enter(&f.store, new("a", s, Some(s + 5)));
        enter(&f.store, new("b", s, None).label("Person"));
    }
    let read = |change: &dyn Fn(&mut EventQuery), limit: u32| {
        let mut query = EventQuery::new(range(0, 100));
        query.detections = Some(Vec::new());
        query.limit = limit;
        change(&mut query);
        let mut rows = Vec::new();
        loop {
            let page = f.store.events(&query).unwrap();
            rows.extend(page.items.into_iter().map(|r| (r.event.at, r.id)));
            query.cursor = page.next;
            if query.cursor.is_none() {
                return rows;
            }
            assert!(rows.len() < 100);
        }
    };
    let all = read(&|_| {}, 100);
    assert_eq!(all.len(), 12);
    assert!(all.windows(2).all(|w| w[0] > w[1]), "{all:?}");
    for limit in 1..6 {
        assert_eq!(read(&|_| {}, limit), all);
        let mut ascending = read(&|q| q.order = Order::Asc, limit);
        ascending.reverse();
        assert_eq!(ascending, all);
    }
    let count = |change: &dyn Fn(&mut EventQuery)| read(change, 5).len();
    assert_eq!(count(&|q| q.detections = None), 4);
    assert_eq!(count(&|q| q.kinds = vec!["detection_started".into()]), 8);
    assert_eq!(count(&|q| q.detections = Some(vec![DetectionKind::Motion])), 4);
    assert_eq!(count(&|q| q.camera = Some(cam("a"))), 4);
    assert_eq!(count(&|q| q.among = Some(vec![cam("b")])), 4);
    for (text, found) in [
        ("PERSON", 4),
        ("100%", 4),
        ("full_", 4),
        ("1_0", 0),
        ("disk_full", 4),
        ("b", 4),
    ] {
        assert_eq!(count(&|q| q.text = Some(text.into())), found, "{text}");
    }
}
