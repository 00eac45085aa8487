//! Many cameras at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nvr_core::config::Age;
use nvr_core::event::CameraPhase;
use nvr_core::store::{OpenMode, SegmentQuery, Store};
use nvr_core::{EventKind, TimeRange};
use nvr_tests::TestCam;
use nvr_tests::plant::{planted, start_of};
use nvr_tests::rig::{Rig, checked, id, judge_timeline, numbers, rows, small, storage_fault};

const CAMERAS: usize = 25;
/// Segments of each camera that expire together.
const OLD: i64 = 120;

fn name(n: usize) -> String {
    format!("cam{n}")
}

/// 25 cameras are recorded in segments of two seconds while 3000 old segments expire at once and another program reads and
/// writes the index: nobody is told that it is locked, every row and every file is where it belongs, and no camera
/// loses a frame.
#[tokio::test(flavor = "multi_thread")]
async fn fm18_a_mass_expiry_beside_25_cameras_that_are_recorded() {
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::new().unwrap();
    for n in 0..CAMERAS {
        rig.add(&name(n), &cam.url()).unwrap().segment = Duration::from_secs(2);
    }
    rig.start().await.unwrap();
    let mut old = Vec::new();
    for camera in 0..CAMERAS {
        old.extend((0..OLD).map(|n| planted(&rig.config, &name(camera), n, b"old")));
    }
    let planted = old.len() as u64;
    rig.nvr().store().insert_segments(old).await.unwrap();
    for n in 0..CAMERAS {
        rig.phase(&name(n), CameraPhase::Recording).await.unwrap();
    }
    let closed = |k: &EventKind| matches!(k, EventKind::SegmentClosed { .. });
    rig.wait_for("segments of all", CAMERAS, closed).await.unwrap();

    // `nvr protect` and a reader of everything, beside the recorder.
    let path = rig.config.recorder.database.clone();
    let open = move || Store::open(path, OpenMode::ReadWrite).unwrap();
    let other = tokio::task::spawn_blocking(open).await.unwrap();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let meddling = tokio::spawn(async move {
        let mut turns = 0usize;
        while stopped.try_recv().is_err() {
            let range = TimeRange::new(start_of(OLD), start_of(OLD + 1)).unwrap();
            let camera = id(&name(turns % CAMERAS));
            other.protect_range(&camera, range, true).await.unwrap();
            let reader = other.clone();
            tokio::task::spawn_blocking(move || {
                reader
                    .segments(&SegmentQuery::new([], TimeRange::ALL))
                    .map(drop)
                    .unwrap();
            })
            .await
            .unwrap();
            turns += 1;
        }
        other.shutdown().await.unwrap();
        turns
    });

    let mut config = rig.config.clone();
    // All that was planted is from the spring.
    config.retention.max_age = Age::For(Duration::from_secs(86_400));
    rig.nvr().reload(config).await.unwrap();
    let gone = |rig: &Rig| -> u64 {
        let deleted = rig.events().into_iter().filter_map(|e| match e.kind {
            EventKind::FootageDeleted { segments, .. } => Some(segments),
            _ => None,
        });
        deleted.sum()
    };
    rig.until("the old to go", || gone(&rig) >= planted)
        .await
        .unwrap();
    let so_far = rig.count(closed);
    rig.wait_for("more segments of all", so_far + 2 * CAMERAS, closed)
        .await
        .unwrap();
    stop.send(()).unwrap();
    assert!(meddling.await.unwrap() > 3);
    assert_eq!(gone(&rig), planted, "nothing but the old");

    assert!(rig.nvr().health().ok, "{:#?}", rig.nvr().health());
    for n in 0..CAMERAS {
        let status = rig.nvr().camera(&id(&name(n))).unwrap().status();
        assert_eq!(
            (status.counters.restarts, status.counters.index_lost),
            (0, 0),
            "{status:#?}"
        );
        judge_timeline(&rig.timeline(&name(n)).await.unwrap()).unwrap();
    }
    assert_eq!(rig.count(|k| storage_fault(k).is_some()), 0);
    assert_eq!(rig.count(|k| matches!(k, EventKind::FramesDropped { .. })), 0);
    rig.stop_clean().await.unwrap();

    let report = checked(&rig.config).await.unwrap();
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
    let rows = rows(&rig.config).await.unwrap();
    assert_eq!(report.files, rows.len() as u64);
    let mut by_camera: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in &rows {
        by_camera.entry(row.camera.clone()).or_default().push(row);
    }
    assert_eq!(by_camera.len(), CAMERAS);
    for (camera, rows) in by_camera {
        assert!(rows.len() >= 3, "{camera}: {}", rows.len());
        for pair in rows.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence + 1, "{camera}");
            let hole = pair[1].start.since(pair[0].end());
            assert!(hole.abs() < 100_000_000, "{camera}: {hole} ns missing");
        }
    }
    // All see the same frames: what one has, no other is without.
    let mut seen = Vec::new();
    for n in [0, CAMERAS / 2, CAMERAS - 1] {
        seen.push(numbers(&rig.config, &name(n)).await.unwrap());
    }
    let sent: BTreeSet<u32> = seen.iter().flatten().copied().collect();
    for numbers in seen {
        assert!(numbers.len() >= 40, "{numbers:?}");
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
        assert!(numbers.into_iter().eq(sent.range(first..=last).copied()));
    }
}
