//! What is seen, told to a recorder that records: footage is marked, stays, and has a picture of the moment.

use std::time::Duration;

use nvr_core::config::Age;
use nvr_core::retention::{Keeper, Policy};
use nvr_core::store::{DetectionQuery, EventQuery, OpenMode, SegmentState, Store};
use nvr_core::{DetectionKind, ErrorKind, EventKind, NewDetection, TimeRange};

use crate::house::*;

#[tokio::test(flavor = "multi_thread")]
async fn footage_of_a_detection_stays_for_longer_and_has_its_picture() {
    let mut house = House::new([camera("cam", SMALL)]);
    house.config.detections.pre = Duration::ZERO;
    house.config.detections.post = Duration::ZERO;
    let nvr = house.start().await;
    let log = Log::of(&nvr);
    let cam = nvr.camera(&id("cam")).unwrap();
    let closed = |n: usize| {
        let log = &log;
        async move {
            until("a closed segment", || {
                let events = log.all();
                let closed = events.iter().filter(|e| e.kind.name() == "segment_closed");
                (closed.count() >= n).then_some(())
            })
            .await;
        }
    };
    frames(&cam, 20).await;
    let from = nvr.clock().now();
    let new = NewDetection::new(id("cam"), DetectionKind::External, from).label("doorbell");
    let begun = nvr.detections().begin(new).await.unwrap();
    // It is marked while it grows.
    let rows = segments(&nvr, "cam").await;
    assert_eq!(rows.len(), 1);
    assert!(rows[0].marks.is_event() && rows[0].state == SegmentState::Open);
    frames(&cam, 15).await;
    let ended = nvr.detections().end(begun, nvr.clock().now()).await.unwrap();
    assert!(ended.to.is_some_and(|to| to > from), "{ended:?}");
    let again = nvr.detections().end(begun, nvr.clock().now()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    for n in 1..=2 {
        cam.split().unwrap();
        closed(n).await;
        frames(&cam, 20).await;
    }
    let names: Vec<_> = log.all().iter().map(|e| e.kind.name()).collect();
    for name in ["detection_started", "detection_ended"] {
        assert_eq!(names.iter().filter(|n| **n == name).count(), 1, "{names:?}");
    }
    let picture = nvr.detection_picture(&ended, Some(160)).await.unwrap();
    assert!(picture.jpeg.starts_with(&[0xff, 0xd8, 0xff]) && picture.jpeg.ends_with(&[0xff, 0xd9]));
    let off = picture.at.since(ended.best_at);
    // The frame that was shown at the moment: frames are 100 ms apart.
    assert!((-S / 4..=0).contains(&off), "{off} ns beside the moment");

    // One list of all that happened, with what was seen in it, found by its words.
    let mut query = EventQuery::new(TimeRange::ALL);
    query.detections = Some(Vec::new());
    query.text = Some("DOORB".into());
    let found = nvr.events_of(query.clone()).await.unwrap().items;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(
        found[0].event.kind,
        EventKind::DetectionStarted {
            detection: Box::new(ended.clone())
        }
    );
    query.detections = None;
    assert!(nvr.events_of(query).await.unwrap().items.is_empty());
    let later = nvr.clock().now() + Duration::from_secs(3600);
    stop(nvr).await;

    let marks: Vec<_> = segments(&house.archive().await, "cam")
        .await
        .iter()
        .map(|r| r.marks.is_event())
        .collect();
    assert_eq!(marks, [true, false, false]);
    house.config.retention.max_age = Age::For(Duration::from_secs(60));
    house.config.retention.event_age = Some(Age::For(Duration::from_secs(86_400)));
    let config = house.config.clone();
    tokio::task::spawn_blocking(move || {
        let keeper = Keeper::open(&config).unwrap();
        keeper.clean(&Policy::of(&config), later).unwrap()
    })
    .await
    .unwrap();
    let archive = house.archive().await;
    let left = segments(&archive, "cam").await;
    assert_eq!(left.len(), 1, "{left:#?}");
    assert!(left[0].marks.is_event());
    assert!(archive.detection_picture(&ended, None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_while_the_recorder_ends_has_an_end_afterwards() {
    let house = House::new([manual("cam")]);
    let nvr = house.start().await;
    let from = nvr.clock().now();
    let new = NewDetection::new(id("cam"), DetectionKind::Motion, from);
    let open = nvr.detections().begin(new).await.unwrap();
    // From a clock that is far ahead.
    let ahead = NewDetection::new(id("cam"), DetectionKind::Motion, from + Duration::from_secs(600));
    let refused = nvr.detections().begin(ahead).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    stop(nvr).await;
    // With the recorder, not with the next start.
    let all = DetectionQuery::new(TimeRange::ALL);
    let all = house.archive().await.detections_of(all).await.unwrap().items;
    let ended: Vec<_> = all.iter().map(|d| (d.id, d.to)).collect();
    assert_eq!(ended, [(open, Some(from))]);

    // What a crash leaves open ends with the next start.
    let database = house.config.recorder.database.clone();
    let left = tokio::task::spawn_blocking(move || {
        let store = Store::open(database, OpenMode::ReadWrite).unwrap();
        let new = NewDetection::new(id("cam"), DetectionKind::Motion, from);
        store.begin_detection_blocking(new).unwrap().id
    });
    let left = left.await.unwrap();
    let nvr = house.start().await;
    assert_eq!(nvr.detections().get(left).await.unwrap().to, Some(from));
    stop(nvr).await;
}
