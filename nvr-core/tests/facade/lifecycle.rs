//! Start, stop, again; cameras that come and go; several recorders.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use futures_core::Stream as _;
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::store::{GapRow, SegmentState};
use nvr_core::{ErrorKind, EventKind, Nvr, TimeRange};
use tokio::io::AsyncReadExt as _;

use crate::house::*;

#[tokio::test(flavor = "multi_thread")]
async fn stopped_in_order_and_started_again() {
    let house = House::new([camera("cam", SMALL)]);
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    phase(&cam, CameraPhase::Recording).await;
    frames(&cam, 15).await;
    assert!(nvr.health().ok && nvr.health().ready);
    let report = nvr.shutdown(STOP).await;
    assert_eq!((report.clean, report.cut), (vec![id("cam")], vec![]));
    a_second(&nvr).await;
    // Nothing is left to do, and that is no error.
    assert!(nvr.shutdown(STOP).await.clean.is_empty());
    let late = nvr.add_camera(camera("late", SMALL)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unavailable, "{late}");
    drop(nvr);

    let archive = house.archive().await;
    let rows = segments(&archive, "cam").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].state, SegmentState::Closed);
    assert!(rows[0].duration_ns >= S, "{rows:#?}");
    let missing = gaps(&archive, "cam").await;
    let last = missing.last().unwrap();
    assert_eq!((last.cause.kind, last.end), (CauseKind::Shutdown, None));
    assert!(
        last.start.since(rows[0].end()).abs() < 2 * S,
        "{missing:#?} {rows:#?}"
    );
    let lives = runs(&archive, "cam").await;
    let (_, why) = lives[0].ended.clone().unwrap();
    assert_eq!((lives.len(), why.kind), (1, CauseKind::Shutdown));
    drop(archive);

    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    frames(&cam, 10).await;
    let of_the_stop = |g: &&GapRow| g.cause.kind == CauseKind::Shutdown && g.end.is_some();
    let missing = gaps_when(&nvr, "cam", |gaps| gaps.iter().any(|g| of_the_stop(&g))).await;
    let ended = missing.iter().find(of_the_stop).unwrap();
    let rows = segments_when(&nvr, "cam", |rows| rows.len() == 2).await;
    assert_eq!(ended.end, Some(rows[1].start), "{missing:#?}");
    let timeline = nvr.timeline(&id("cam"), TimeRange::ALL).await.unwrap();
    assert_eq!(timeline.ranges.len(), 2);
    assert_eq!(timeline.gaps.len(), 1, "{timeline:#?}");
    assert_eq!(timeline.gaps[0].cause.kind, CauseKind::Shutdown);
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_by_a_deadline_and_mended_by_the_next_start() {
    let house = House::new([camera("cam", SMALL)]);
    let nvr = house.start().await;
    frames(&nvr.camera(&id("cam")).unwrap(), 25).await;
    let report = nvr.shutdown(Duration::ZERO).await;
    assert_eq!((report.clean, report.cut), (vec![], vec![id("cam")]));
    drop(nvr);

    // The root is free when the last writer let go.
    let mut again = None;
    for _ in 0..600 {
        match Nvr::builder(house.config.clone()).start().await {
            Ok(nvr) => {
                again = Some(nvr);
                break;
            }
            Err(e) => assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let nvr = again.unwrap();
    let first = segments(&nvr, "cam").await.remove(0);
    assert!(SegmentState::PLAYABLE.contains(&first.state), "{first:#?}");
    assert!(first.duration_ns >= S, "{first:#?}");
    frames(&nvr.camera(&id("cam")).unwrap(), 5).await;
    stop(nvr).await;
    let archive = house.archive().await;
    for row in segments(&archive, "cam").await {
        assert!(SegmentState::PLAYABLE.contains(&row.state), "{row:#?}");
    }
    for run in runs(&archive, "cam").await {
        assert!(run.ended.is_some(), "{run:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_come_and_go() {
    let house = House::new([camera("one", SMALL)]);
    let nvr = house.start().await;
    let one = nvr.camera(&id("one")).unwrap();
    let two = nvr.add_camera(camera("two", SMALL)).await.unwrap();
    frames(&one, 10).await;
    frames(&two, 10).await;
    let run = one.status().run;
    let taken = nvr.add_camera(camera("two", SMALL)).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists, "{taken}");
    assert_eq!(nvr.config().cameras.len(), 2);

    nvr.remove_camera(&id("two")).await.unwrap();
    assert_eq!(nvr.camera(&id("two")).unwrap_err().kind(), ErrorKind::NotFound);
    let gone = nvr.remove_camera(&id("two")).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert_eq!(two.start().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(nvr.config().cameras.len(), 1);
    let timeline = nvr.timeline(&id("two"), TimeRange::ALL).await.unwrap();
    assert!(timeline.totals.recorded_ns >= S / 2, "{timeline:#?}");
    let known = nvr.recorded_cameras().await.unwrap();
    assert!(known.iter().any(|c| c.id == id("two") && c.removed_at.is_some()));

    let two = nvr.add_camera(camera("two", SMALL)).await.unwrap();
    frames(&two, 5).await;
    gaps_when(&nvr, "two", |gaps| {
        kinds(gaps).contains(&CauseKind::ConfigChanged)
    })
    .await;
    assert_eq!(one.status().run, run, "the other camera was left alone");
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_recorders_in_one_process_but_not_on_one_root() {
    let (a, b) = (
        House::new([camera("cam", SMALL)]),
        House::new([camera("cam", SMALL)]),
    );
    let (first, second) = (a.start().await, b.start().await);
    let refused = Nvr::builder(a.config.clone()).start().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    let said = format!("{refused:?}");
    assert!(said.contains(&std::process::id().to_string()), "{said}");
    for nvr in [&first, &second] {
        frames(&nvr.camera(&id("cam")).unwrap(), 10).await;
    }
    stop(first).await;
    frames(&second.camera(&id("cam")).unwrap(), 10).await;
    stop(second).await;
    for house in [&a, &b] {
        assert_eq!(segments(&house.archive().await, "cam").await.len(), 1);
    }
    // Let go in order, it can be taken again.
    stop(a.start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_listener_misses_events_and_is_told() {
    let house = House::new([]);
    let nvr = house.start().await;
    let mut slow = nvr.events();
    for _ in 0..1100 {
        nvr.reload(house.config.clone()).await.unwrap();
    }
    let first = poll_fn(|cx| Pin::new(&mut slow).poll_next(cx)).await.unwrap();
    assert_eq!(first.kind, EventKind::Lagged { missed: 76 });
    let next = poll_fn(|cx| Pin::new(&mut slow).poll_next(cx)).await.unwrap();
    assert!(matches!(next.kind, EventKind::ConfigReloaded { .. }), "{next:?}");
    stop(nvr).await;
    drop(house);
}

#[test]
fn outside_a_runtime_a_start_is_refused() {
    let house = House::new([]);
    let mut start = pin!(Nvr::builder(house.config.clone()).start());
    let polled = start.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
    let Poll::Ready(Err(e)) = polled else {
        panic!("{polled:?}");
    };
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    assert!(e.hint().is_some_and(|hint| hint.contains("block_on")), "{e:?}");
    assert!(
        !house.config.recorder.root.join(".nvr-root").exists(),
        "nothing was made"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_that_is_dropped_ends_too() {
    let house = House::new([camera("cam", SMALL)]);
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    frames(&cam, 10).await;
    drop(nvr);
    // Also with a handle of the camera in somebody's hands.
    phase(&cam, CameraPhase::Stopped).await;
    let archive = house.archive().await;
    for _ in 0..600 {
        let rows = segments(&archive, "cam").await;
        if rows.iter().all(|r| r.state == SegmentState::Closed) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the segment is still open");
}

/// Takes connections and never answers; counts those that are open now, over all that share the counter.
async fn mute(open: Arc<AtomicUsize>, most: Arc<AtomicUsize>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            open.fetch_add(1, Ordering::SeqCst);
            // The end of another that was closed just before may not have been seen yet.
            for _ in 0..30 {
                if open.load(Ordering::SeqCst) > 1 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            most.fetch_max(open.load(Ordering::SeqCst), Ordering::SeqCst);
            let mut buffer = [0; 1024];
            while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
            open.fetch_sub(1, Ordering::SeqCst);
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_cameras_are_opened_at_once() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut house = House::new([camera("good", SMALL), camera("better", SMALL)]);
    house.config.recorder.max_starting = 1;
    for name in ["mute1", "mute2", "mute3"] {
        let port = mute(open.clone(), most.clone()).await;
        let mut config = camera(name, &format!("rtsp://127.0.0.1:{port}/x"));
        config.start_deadline = Duration::from_secs(1);
        house.config.cameras.push(config);
    }
    let nvr = house.start().await;
    for name in ["good", "better"] {
        phase(&nvr.camera(&id(name)).unwrap(), CameraPhase::Recording).await;
    }
    for name in ["mute1", "mute2", "mute3"] {
        let cam = nvr.camera(&id(name)).unwrap();
        phase(&cam, CameraPhase::BackingOff).await;
        assert!(cam.status().state.next_try.is_some());
    }
    // One that waits for its turn is gone at once.
    nvr.remove_camera(&id("mute2")).await.unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 1, "more than one was opened at once");
    stop(nvr).await;
}

/// A camera goes on while the index takes nothing: it is stopped and started, and what happened is entered when the
/// index is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_index_holds_up_no_camera() {
    let house = House::new([camera("cam", SMALL)]);
    let nvr = house.start().await;
    let log = Log::of(&nvr);
    let cam = nvr.camera(&id("cam")).unwrap();
    frames(&cam, 3).await;
    let other = rusqlite::Connection::open(&house.config.recorder.database).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Each of these some ten entries, each of which would wait for seconds.
    for _ in 0..5 {
        cam.stop().unwrap();
        phase(&cam, CameraPhase::Stopped).await;
        cam.start().unwrap();
        phase(&cam, CameraPhase::Recording).await;
        frames(&cam, 3).await;
    }
    until("entries that wait", || {
        (cam.status().index_waiting > 20).then_some(())
    })
    .await;
    // Those who listen have heard of it already.
    let stopped = |e: &EventKind| {
        matches!(
            e,
            EventKind::CameraState {
                to: CameraPhase::Stopped,
                ..
            }
        )
    };
    until("the events", || {
        (log.all().iter().filter(|e| stopped(&e.kind)).count() >= 5).then_some(())
    })
    .await;
    other.execute_batch("ROLLBACK").unwrap();
    until("the index", || (cam.status().index_waiting == 0).then_some(())).await;
    stop(nvr).await;
    assert_eq!(cam.status().counters.index_lost, 0);
    let archive = house.archive().await;
    let found = runs(&archive, "cam").await;
    assert_eq!(found.len(), 6);
    assert!(found.iter().all(|r| r.ended.is_some()), "{found:#?}");
    assert_eq!(segments(&archive, "cam").await.len(), 6);
    let closed = gaps(&archive, "cam").await;
    assert_eq!(
        closed.iter().filter(|g| g.end.is_none()).count(),
        1,
        "{closed:#?}"
    );
}
