//! Bookings in an index, without a recorder.

use std::sync::Arc;

use proptest::prelude::*;

use super::manage::first_overlap;
use super::*;
use crate::clock::SharedClock;
use crate::store::{OpenMode, Store};
use crate::testing::ManualClock;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn spec(start: &str, end: &str) -> BookingSpec {
    BookingSpec {
        title: "Council".into(),
        who: None,
        cameras: vec![CameraId::new("hall").unwrap()],
        start: at(start),
        end: at(end),
        zone: "Europe/Berlin".into(),
        repeat: None,
        except: Vec::new(),
        then: Vec::new(),
        layout: Layout::default(),
        sound: None,
        keep_footage_s: 0,
    }
}

fn open(dir: &tempfile::TempDir) -> (Bookings, ManualClock) {
    let clock = ManualClock::new(at("2026-05-04T08:00:00Z"));
    let store = Store::open(dir.path().join("index.db"), OpenMode::ReadWrite).unwrap();
    (Bookings::of(store, Arc::new(clock.clone()) as SharedClock), clock)
}

#[tokio::test]
async fn conflicts_are_told_and_refused_unless_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let (bookings, _) = open(&dir);
    let mut weekly = spec("2026-05-04T16:00:00Z", "2026-05-04T18:00:00Z");
    weekly.repeat = Some("FREQ=WEEKLY".into());
    let first = bookings.add(weekly, Some("ann".into()), false).await.unwrap();
    assert!(first.conflicts.is_empty());
    let clash = spec("2026-06-01T17:59:00Z", "2026-06-01T19:00:00Z");
    let refused = bookings.add(clash.clone(), None, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(
        refused
            .to_string()
            .contains("booking 1 (Council) has hall from 2026-06-01T16:00:00Z"),
        "{refused}"
    );
    let booked = bookings.add(clash.clone(), None, true).await.unwrap();
    assert_eq!(booked.conflicts[0].range.start(), at("2026-06-01T16:00:00Z"));
    // It is no conflict with itself, nor where it only touches, nor on another camera.
    bookings
        .change(
            booked.booking.id,
            spec("2026-06-01T18:00:00Z", "2026-06-01T19:00:00Z"),
            None,
            false,
        )
        .await
        .unwrap();
    let mut elsewhere = clash;
    elsewhere.cameras = vec![CameraId::new("yard").unwrap()];
    bookings.add(elsewhere, None, false).await.unwrap();
    for bad in [
        spec("2026-05-04T07:00:00Z", "2026-05-04T08:00:00Z"),
        BookingSpec {
            title: " ".into(),
            ..spec("2026-07-01T07:00:00Z", "2026-07-01T08:00:00Z")
        },
        BookingSpec {
            cameras: Vec::new(),
            ..spec("2026-07-01T07:00:00Z", "2026-07-01T08:00:00Z")
        },
        BookingSpec {
            then: vec![Step::Merge],
            ..spec("2026-07-01T07:00:00Z", "2026-07-01T08:00:00Z")
        },
        BookingSpec {
            sound: Some(CameraId::new("yard").unwrap()),
            ..spec("2026-07-01T07:00:00Z", "2026-07-01T08:00:00Z")
        },
        BookingSpec {
            zone: "Mars".into(),
            ..spec("2026-07-01T07:00:00Z", "2026-07-01T08:00:00Z")
        },
    ] {
        let e = bookings.add(bad, None, true).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{e}");
    }
}

#[tokio::test]
async fn occurrences_are_listed_with_where_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    let (bookings, clock) = open(&dir);
    let mut daily = spec("2026-05-04T16:00:00Z", "2026-05-04T18:00:00Z");
    daily.repeat = Some("FREQ=DAILY;COUNT=5".into());
    let id = bookings.add(daily, None, false).await.unwrap().booking.id;
    bookings
        .cancel(id, Some(at("2026-05-05T16:00:00Z")), None)
        .await
        .unwrap();
    let none = bookings
        .cancel(id, Some(at("2026-05-05T16:30:00Z")), None)
        .await
        .unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
    let twice = bookings
        .cancel(id, Some(at("2026-05-05T16:00:00Z")), None)
        .await
        .unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Conflict);
    clock.advance(std::time::Duration::from_secs(52 * 3600));
    bookings.cancel(id, None, None).await.unwrap();
    let all = bookings.occurrences(TimeRange::ALL, None).await.unwrap();
    use BookingState::{Cancelled, Expired};
    let states: Vec<_> = all.iter().map(|o| o.state).collect();
    assert_eq!(states, [Expired, Cancelled, Cancelled, Cancelled, Cancelled]);
    let one_day = TimeRange::new(at("2026-05-07T00:00:00Z"), at("2026-05-08T00:00:00Z")).unwrap();
    assert_eq!(bookings.occurrences(one_day, Some(id)).await.unwrap().len(), 1);
    bookings.delete(id, None).await.unwrap();
    assert!(
        bookings
            .occurrences(TimeRange::ALL, None)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(bookings.get(id).await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// What a booking protects is free again afterwards, but for what somebody protected before.
#[tokio::test]
async fn protection_comes_and_goes_with_the_occurrence() {
    use crate::files::tests::start;
    use crate::store::SegmentQuery;
    let dir = tempfile::tempdir().unwrap();
    let (bookings, _) = open(&dir);
    let store = &bookings.store;
    let hall = CameraId::new("hall").unwrap();
    store
        .upsert_camera(&hall, None, at("2026-05-04T00:00:00Z"))
        .await
        .unwrap();
    for (n, time) in [
        "2026-05-04T15:50:00Z",
        "2026-05-04T16:05:00Z",
        "2026-05-04T16:20:00Z",
    ]
    .iter()
    .enumerate()
    {
        let begin = start("hall", 1, n as u32, at(time));
        let path = crate::files::SegmentName::of(&begin).path();
        let segment = crate::segment::ClosedSegment {
            start: begin,
            path,
            duration_ns: 900 * crate::time::NS_PER_S,
            size_bytes: 1000,
            fragments: Vec::new(),
            hash: None,
            recovered: false,
        };
        store.insert_segments(vec![segment]).await.unwrap();
    }
    let rows = || {
        let query = SegmentQuery::new([hall.clone()], TimeRange::ALL);
        store
            .all_segments(&query)
            .unwrap()
            .iter()
            .map(|s| s.protected)
            .collect::<Vec<_>>()
    };
    let id = store
        .all_segments(&SegmentQuery::new([hall.clone()], TimeRange::ALL))
        .unwrap()[0]
        .id;
    store.set_protected(id, true).await.unwrap();
    let one = bookings
        .add(spec("2026-05-04T16:00:00Z", "2026-05-04T16:10:00Z"), None, false)
        .await
        .unwrap()
        .booking;
    let two = bookings
        .add(spec("2026-05-04T16:00:00Z", "2026-05-04T16:30:00Z"), None, true)
        .await
        .unwrap()
        .booking;
    for booking in [&one, &two] {
        let range = TimeRange::new(booking.spec.start, booking.spec.end).unwrap();
        store
            .protect_booked(booking.id, range.start(), hall.clone(), range)
            .await
            .unwrap();
    }
    assert_eq!(rows(), [true, true, true]);
    store.release_booked(two.id, two.spec.start).await.unwrap();
    assert_eq!(rows(), [true, true, false]);
    bookings.delete(one.id, None).await.unwrap();
    assert_eq!(rows(), [true, false, false]);
}

proptest! {
    #[test]
    fn overlaps_are_found(a in prop::collection::vec((1i64..50, 1i64..30), 0..8), b in prop::collection::vec((1i64..50, 1i64..30), 0..8)) {
        let list = |steps: &[(i64, i64)]| {
            let mut t = 0;
            steps.iter().map(|(pause, len)| {
                let start = t + pause;
                t = start + len;
                TimeRange::new(Timestamp::from_secs(start), Timestamp::from_secs(t)).unwrap()
            }).collect::<Vec<_>>()
        };
        let (a, b) = (list(&a), list(&b));
        let found = b.iter().find(|t| a.iter().any(|m| m.start() < t.end() && t.start() < m.end()));
        prop_assert_eq!(first_overlap(&a, &b).is_some(), found.is_some());
        prop_assert_eq!(first_overlap(&a, &b), found.copied());
    }
}
