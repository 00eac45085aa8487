//! Tests of the index against real files. Each subject of writes and reads here; opening and faults in
//! the files beside.

mod detections;
mod faults;
mod jobs;
mod opening;
mod queries;

use std::path::{Path, PathBuf};

use super::*;
use crate::event::{Cause, CauseKind, Event, EventKind};
use crate::ids::{CameraId, RunId, SegmentId};
use crate::run::Anchor;
use crate::segment::{ClosedSegment, Container, SegmentStart};
use crate::time::{NS_PER_S, TimeRange, Timestamp};
use crate::track::{AudioCodec, AudioTrack, Tracks, VideoCodec, VideoTrack};

pub(super) fn cam(name: &str) -> CameraId {
    CameraId::new(name).unwrap()
}

pub(super) fn at(s: i64) -> Timestamp {
    Timestamp::from_secs(s)
}

pub(super) fn range(from: i64, to: i64) -> TimeRange {
    TimeRange::new(at(from), at(to)).unwrap()
}

pub(super) fn start(camera: &str, run: u64, sequence: u32, start_s: i64) -> SegmentStart {
    SegmentStart {
        camera: cam(camera),
        run: RunId::from_u64(run),
        sequence,
        anchor: Anchor {
            utc: at(start_s),
            steady_ns: 7,
            running_ns: 3,
        },
        start: at(start_s),
        camera_start: Some(at(start_s + 1)),
        container: Container::Fmp4,
        tracks: Tracks {
            video: VideoTrack {
                codec: VideoCodec::H265,
                width: 1920,
                height: 1080,
                frame_rate: Some(29.97),
            },
            audio: Some(AudioTrack {
                codec: AudioCodec::Aac,
                sample_rate: 48_000,
                channels: 2,
            }),
        },
        masks: None,
        from_card: false,
    }
}

/// A finished segment of `length_s` seconds and 1000 bytes a second.
pub(super) fn closed(camera: &str, sequence: u32, start_s: i64, length_s: i64) -> ClosedSegment {
    ClosedSegment {
        start: start(camera, 1, sequence, start_s),
        path: PathBuf::from(format!("{camera}/{start_s}-{sequence}.mp4")),
        duration_ns: length_s * NS_PER_S,
        size_bytes: 1000 * length_s.unsigned_abs(),
        fragments: vec![sequence as u8; 3],
        hash: None,
        recovered: false,
    }
}

pub(super) struct Fixture {
    pub(super) dir: tempfile::TempDir,
    pub(super) store: Store,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("index.db"), OpenMode::ReadWrite).unwrap();
        Self { dir, store }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("index.db")
    }
}

#[test]
fn a_segment_grows_closes_and_is_found_again_after_reopening() {
    let f = Fixture::new();
    let mut s = closed("a", 0, 100, 60);
    s.hash = Some([9; 32]);
    let id = f.store.open_segment_blocking(&s.start, &s.path).unwrap();
    let open = f.store.open_segments().unwrap();
    assert_eq!(
        (open.len(), open[0].id, open[0].state),
        (1, id, SegmentState::Open)
    );
    assert_eq!(f.store.fragments(id).unwrap(), None);
    assert_eq!(f.store.close_segment_blocking(&s.path, &s).unwrap(), id);
    assert!(f.store.open_segments().unwrap().is_empty());
    f.store.set_tree_id_blocking("tree").unwrap();
    f.store.shutdown_blocking().unwrap();
    assert!(
        !f.dir.path().join("index.db-wal").exists(),
        "the last connection folds the WAL in"
    );

    let again = Store::open(f.path(), OpenMode::ReadWrite).unwrap();
    let row = again.segment(id).unwrap().unwrap();
    assert_eq!(row.range(), s.range());
    assert_eq!(row.camera, s.start.camera);
    assert_eq!((row.run, row.sequence), (s.start.run, 0));
    assert_eq!(row.tracks, s.start.tracks);
    assert_eq!(row.container, Container::Fmp4);
    assert_eq!(row.camera_start, s.start.camera_start);
    assert_eq!(row.hash, Some([9; 32]));
    assert_eq!(
        (row.state, row.protected, row.size_bytes),
        (SegmentState::Closed, false, 60_000)
    );
    assert_eq!(again.segment_by_path(&s.path).unwrap(), Some(row));
    assert_eq!(
        again.fragments_of(&[SegmentId(99), id]).unwrap(),
        [None, Some(vec![0; 3])]
    );
    assert_eq!(again.tree_id().unwrap().as_deref(), Some("tree"));
    let runs = again.runs(&cam("a"), TimeRange::ALL).unwrap();
    assert_eq!((runs.len(), runs[0].anchor), (1, s.start.anchor));
    assert_eq!(again.cameras().unwrap()[0].first_seen, at(100));
    assert!(again.integrity_check().unwrap().is_empty());
}

#[test]
fn changes_of_a_segment() {
    let f = Fixture::new();
    let s = closed("a", 0, 100, 60);
    let id = f.store.close_segment_blocking(&s.path, &s).unwrap();
    f.store.set_protected_blocking(id, true).unwrap();
    f.store.set_hash_blocking(id, [1; 32]).unwrap();
    // Indexed again by a rebuild: the same row, protection and hash survive.
    assert_eq!(f.store.insert_segments_blocking(vec![s.clone()]).unwrap(), [id]);
    let row = f.store.segment(id).unwrap().unwrap();
    assert!(row.protected);
    assert_eq!(row.hash, Some([1; 32]));
    // With another size it is another file, whose hash nobody knows.
    let mut cut = s.clone();
    (cut.size_bytes, cut.recovered) = (5, true);
    f.store.close_segment_blocking(&s.path, &cut).unwrap();
    let row = f.store.segment(id).unwrap().unwrap();
    assert_eq!((row.hash, row.state), (None, SegmentState::Recovered));
    // Renamed while it is closed.
    let mut moved = s.clone();
    moved.path = "a/other.mp4".into();
    assert_eq!(f.store.close_segment_blocking(&s.path, &moved).unwrap(), id);
    assert_eq!(f.store.segment_by_path(&s.path).unwrap(), None);
    f.store
        .set_segment_path_blocking(id, Path::new("b/x.mp4"))
        .unwrap();
    f.store.set_segment_size_blocking(id, 77, 5).unwrap();
    f.store
        .set_segment_state_blocking(id, SegmentState::Missing)
        .unwrap();
    f.store.set_fragments_blocking(id, vec![8]).unwrap();
    let row = f.store.segment(id).unwrap().unwrap();
    assert_eq!(
        (row.path.to_str(), row.size_bytes, row.duration_ns),
        (Some("b/x.mp4"), 77, 5)
    );
    assert_eq!(f.store.fragments(id).unwrap(), Some(vec![8]));
    assert_eq!(f.store.count().unwrap(), 0, "missing ones do not count");
    assert!(f.store.delete_segment_blocking(id).unwrap());
    assert!(!f.store.delete_segment_blocking(id).unwrap());
    assert_eq!(f.store.fragments(id).unwrap(), None);
    for e in [
        f.store.set_protected_blocking(id, true).unwrap_err(),
        f.store.set_fragments_blocking(id, vec![1]).unwrap_err(),
    ] {
        assert_eq!(e.kind(), ErrorKind::NotFound);
    }
    let next = f.store.close_segment_blocking(&s.path, &s).unwrap();
    assert!(next > id, "a row number is never used twice");
}

#[test]
fn no_path_leads_out_of_the_root() {
    let f = Fixture::new();
    let s = closed("a", 0, 100, 60);
    for bad in ["/etc/passwd", "../x.mp4", "a/../../x.mp4", "", "./a.mp4"] {
        let e = f
            .store
            .open_segment_blocking(&s.start, Path::new(bad))
            .unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{bad}");
    }
    // Nor does a row that somebody else wrote.
    let id = f.store.close_segment_blocking(&s.path, &s).unwrap();
    f.store
        .write_blocking(|c| {
            c.execute("UPDATE segments SET path = '../x'", [])
                .map_err(error::from_sqlite)
        })
        .unwrap();
    assert_eq!(f.store.segment(id).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn cameras_and_runs() {
    let f = Fixture::new();
    let (a, run) = (cam("a"), RunId::from_u64(5));
    f.store.upsert_camera_blocking(&a, Some("Door"), at(10)).unwrap();
    f.store.mark_camera_removed_blocking(&a, at(20)).unwrap();
    f.store.mark_camera_removed_blocking(&a, at(30)).unwrap();
    let row = f.store.cameras().unwrap().remove(0);
    assert_eq!(
        (row.name.as_deref(), row.first_seen, row.removed_at),
        (Some("Door"), at(10), Some(at(20)))
    );
    f.store.upsert_camera_blocking(&a, None, at(40)).unwrap();
    let row = f.store.cameras().unwrap().remove(0);
    assert_eq!((row.name, row.first_seen, row.removed_at), (None, at(10), None));
    let e = f
        .store
        .mark_camera_removed_blocking(&cam("b"), at(20))
        .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);

    let anchor = Anchor {
        utc: at(50),
        steady_ns: -1,
        running_ns: 9,
    };
    let cause = Cause::new(CauseKind::Startup, "began");
    let end = Cause::new(CauseKind::NoFrames, "frozen");
    f.store
        .begin_run_blocking(run, &a, anchor, at(50), &cause)
        .unwrap();
    f.store
        .begin_run_blocking(RunId::from_u64(6), &cam("new"), anchor, at(51), &cause)
        .unwrap();
    f.store.end_run_blocking(run, &a, at(60), &end).unwrap();
    let runs = f.store.runs(&a, range(59, 70)).unwrap();
    assert_eq!(
        runs,
        [RunRow {
            run,
            camera: a.clone(),
            anchor,
            started_at: at(50),
            start_cause: cause.clone(),
            ended: Some((at(60), end.clone())),
        }]
    );
    assert!(f.store.runs(&a, range(60, 70)).unwrap().is_empty());
    assert_eq!(f.store.runs(&cam("new"), range(900, 901)).unwrap()[0].ended, None);
    let e = f
        .store
        .end_run_blocking(RunId::from_u64(7), &a, at(60), &end)
        .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);

    let mut s = closed("a", 0, 52, 3);
    s.start.run = run;
    let id = f.store.close_segment_blocking(&s.path, &s).unwrap();
    assert_eq!(
        f.store.prune_runs_blocking(at(1000)).unwrap(),
        0,
        "it has footage"
    );
    f.store.delete_segment_blocking(id).unwrap();
    assert_eq!(f.store.prune_runs_blocking(at(60)).unwrap(), 0, "too young");
    assert_eq!(f.store.prune_runs_blocking(at(1000)).unwrap(), 1);
}

#[test]
fn gaps_open_once_and_close_once() {
    let f = Fixture::new();
    let a = cam("a");
    let cause = |kind| Cause::new(kind, "words");
    assert!(
        f.store
            .open_gap_blocking(&a, at(10), &cause(CauseKind::Unreachable))
            .unwrap()
    );
    assert!(
        !f.store
            .open_gap_blocking(&a, at(20), &cause(CauseKind::NoFrames))
            .unwrap()
    );
    assert!(
        f.store
            .open_gap_blocking(&cam("b"), at(15), &cause(CauseKind::NoFrames))
            .unwrap()
    );
    let open = f.store.gaps(&a, range(1000, 1001)).unwrap();
    assert_eq!((open.len(), open[0].start, open[0].end), (1, at(10), None));
    let closed = f.store.close_gap_blocking(&a, at(30)).unwrap().unwrap();
    assert_eq!(
        (closed.start, closed.end, closed.cause.kind),
        (at(10), Some(at(30)), CauseKind::Unreachable)
    );
    assert_eq!(f.store.close_gap_blocking(&a, at(40)).unwrap(), None);
    // The clock stepped back while it was open.
    f.store
        .open_gap_blocking(&a, at(50), &cause(CauseKind::ClockStep))
        .unwrap();
    let closed = f.store.close_gap_blocking(&a, at(45)).unwrap().unwrap();
    assert_eq!(closed.end, Some(at(50)));
    f.store
        .insert_gap_blocking(&a, range(0, 1000), &cause(CauseKind::Crash))
        .unwrap();
    let found = |from, to| {
        let rows = f.store.gaps(&a, range(from, to)).unwrap();
        rows.iter().map(|g| g.cause.kind).collect::<Vec<_>>()
    };
    assert_eq!(found(29, 30), [CauseKind::Crash, CauseKind::Unreachable]);
    assert_eq!(found(30, 31), [CauseKind::Crash]);
    assert_eq!(found(999, 1001), [CauseKind::Crash]);
    assert!(found(1000, 1001).is_empty());
    assert_eq!(f.store.prune_gaps_blocking(&a, at(100)).unwrap(), 2);
    assert_eq!(found(0, 5000), [CauseKind::Crash]);
}

#[test]
fn events_page_filter_and_are_pruned() {
    let f = Fixture::new();
    let cause = Cause::new(CauseKind::DiskFull, "full");
    let mut events = Vec::new();
    for i in 0..30i64 {
        let camera = [None, Some(cam("a")), Some(cam("b"))][i as usize % 3].clone();
        let kind = if i % 2 == 0 {
            EventKind::StorageRecovered
        } else {
            EventKind::StorageFault { cause: cause.clone() }
        };
        // Several at one instant.
        events.push(Event::new(at(i / 4), camera, kind));
    }
    f.store.add_event_blocking(events[0].clone()).unwrap();
    f.store.add_events_blocking(events[1..].to_vec()).unwrap();
    for order in [Order::Asc, Order::Desc] {
        let mut query = EventQuery::new(TimeRange::ALL);
        (query.order, query.limit) = (order, 4);
        let mut seen = Vec::new();
        loop {
            let page = f.store.events(&query).unwrap();
            assert!(page.items.len() <= 4);
            seen.extend(page.items.into_iter().map(|row| row.event));
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
        }
        if order == Order::Desc {
            seen.reverse();
        }
        assert_eq!(seen, events);
    }
    let mut query = EventQuery::new(range(1, 6));
    query.camera = Some(cam("a"));
    query.kinds = vec!["storage_fault".to_owned(), "lagged".to_owned()];
    let found = f.store.events(&query).unwrap().items;
    let expected = events.iter().rev().filter(|e| {
        e.camera == query.camera && query.range.contains(e.at) && e.kind.name() == "storage_fault"
    });
    assert!(found.iter().map(|r| &r.event).eq(expected));
    assert!(!found.is_empty());
    f.store
        .write_blocking(|c| {
            c.execute(
                "INSERT INTO events (at_ns, kind, detail) VALUES (0, 'new', '{\"kind\":\"new\"}')",
                [],
            )
            .map_err(error::from_sqlite)
        })
        .unwrap();
    let query = EventQuery::new(TimeRange::ALL);
    assert_eq!(
        f.store.events(&query).unwrap().items.len(),
        30,
        "unknown kinds are left out"
    );
    assert_eq!(f.store.prune_events_blocking(at(2)).unwrap(), 9);
    assert_eq!(f.store.events(&query).unwrap().items.len(), 22);
}

#[tokio::test]
async fn async_writes_are_readable_once_they_return() {
    let f = Fixture::new();
    let s = closed("a", 0, 100, 60);
    let id = f.store.open_segment(&s.start, &s.path).await.unwrap();
    assert_eq!(f.store.close_segment(&s.path, &s).await.unwrap(), id);
    let old = Event::new(at(1), None, EventKind::StorageRecovered);
    f.store.add_events(vec![old; 12_000]).await.unwrap();
    assert_eq!(
        f.store.prune_events(at(2)).await.unwrap(),
        12_000,
        "more than one step"
    );
    let reader = f.store.clone();
    let row = tokio::task::spawn_blocking(move || reader.segment(id))
        .await
        .unwrap();
    assert_eq!(row.unwrap().unwrap().state, SegmentState::Closed);
    f.store.shutdown().await.unwrap();
    assert_eq!(
        f.store.set_meta("k", "v").await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert_eq!(f.store.count().unwrap(), 1, "reads still work");
}
