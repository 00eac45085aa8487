//! The wall clock steps, and local time falls back, while cameras record.

use std::collections::BTreeSet;
use std::time::Duration;

use nvr_core::clock::Clock as _;
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::files::SegmentName;
use nvr_core::time::NS_PER_S;
use nvr_core::{EventKind, TimeRange, Timestamp};
use nvr_tests::rig::{CAM, Rig, id, judge_timeline, numbers_of, small, whole};
use nvr_tests::{TestCam, judge};

const HOUR: i64 = 3600 * NS_PER_S;
const DAY: i64 = 24 * HOUR;

/// Steps by an hour and a day in both directions, and one back into time that is recorded already.
#[tokio::test(flavor = "multi_thread")]
async fn fm02_the_wall_clock_steps_while_recording() {
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap();
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(15).await.unwrap();

    // The last one goes back into what was recorded a moment ago.
    let steps = [HOUR, -2 * HOUR, HOUR + DAY, -DAY, -3 * NS_PER_S];
    for (n, step) in steps.into_iter().enumerate() {
        rig.clock.step(step);
        rig.wait_for(
            "a run for the new time",
            n + 1,
            |k| matches!(k, EventKind::RunStarted { cause, .. } if cause.kind == CauseKind::ClockStep),
        )
        .await
        .unwrap();
        rig.wait_for("a segment of the new run", n + 2, |k| {
            matches!(k, EventKind::SegmentOpened { .. })
        })
        .await
        .unwrap();
        rig.frames(if n == 3 { 45 } else { 12 }).await.unwrap();
        judge_timeline(&rig.timeline(CAM).await.unwrap()).unwrap();
    }
    assert_eq!(
        rig.cam().status().counters.restarts,
        0,
        "the camera was never left"
    );
    rig.stop_clean().await.unwrap();

    let rows = rig.judge().await.unwrap();
    whole(&rig.numbers(CAM).await.unwrap()).unwrap();
    let runs: BTreeSet<_> = rows.iter().map(|r| r.run).collect();
    assert_eq!(runs.len(), steps.len() + 1, "one run for each step: {rows:#?}");
    assert_eq!(
        rows.len(),
        rig.count(|k| matches!(k, EventKind::SegmentOpened { .. })),
        "no segment took the place of another"
    );
    // Each step shows in the times of the segments on both sides of it.
    for (pair, step) in rows.windows(2).zip(steps) {
        let jump = pair[1].start.since(pair[0].end());
        assert!((jump - step).abs() < 2 * NS_PER_S, "{jump} for a step of {step}");
    }

    // What a step forward left out is explained, what a step back recorded twice counts once.
    rig.start().await.unwrap();
    let timeline = rig.timeline(CAM).await.unwrap();
    judge_timeline(&timeline).unwrap();
    let twice: i64 = rows.iter().map(|r| r.duration_ns).sum();
    assert!(timeline.totals.recorded_ns < twice, "{timeline:#?}");
    for gap in &timeline.gaps {
        assert_ne!(gap.cause.kind, CauseKind::Unknown, "{timeline:#?}");
        assert_ne!(gap.cause.kind, CauseKind::Crash, "{timeline:#?}");
    }
    let all = TimeRange::new(rows[0].start.add_ns(-2 * HOUR), rows[0].start.add_ns(2 * DAY)).unwrap();
    let days = rig.nvr().days(&nvr_tests::rig::id(CAM), None, all).await.unwrap();
    let by_day: i64 = days.iter().map(|d| d.recorded_ns).sum();
    assert!(by_day > 0 && by_day <= twice, "{days:?}");
    rig.stop_clean().await.unwrap();
}

/// Local time falls back from 03:00 to 02:00 while a camera is recorded (Berlin, 25 October 2026, 01:00 UTC), and an hour
/// later it is the same local time again: no file takes the place of another, nothing is missing on the timeline, the day
/// has its 25 hours, and an export across the change is whole.
#[tokio::test(flavor = "multi_thread")]
async fn fm01_local_time_falls_back_while_recording() {
    let change: Timestamp = "2026-10-25T01:00:00Z".parse().unwrap();
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::new().unwrap();
    rig.config.recorder.time_zone = "Europe/Berlin".into();
    rig.add(CAM, &cam.url()).unwrap().segment = Duration::from_secs(10);
    let opened = |k: &EventKind| matches!(k, EventKind::SegmentOpened { .. });
    rig.clock
        .step(change.add_ns(-4 * NS_PER_S).since(rig.clock.now()));
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    // 02:59:5x, 02:00:00 and 02:00:10.
    rig.wait_for("a segment behind the change", 3, opened)
        .await
        .unwrap();
    rig.frames(10).await.unwrap();
    assert_eq!(
        rig.run_causes().len(),
        1,
        "the wall clock did not step: {:#?}",
        rig.events()
    );
    // The second 02:59:56 of the night.
    rig.clock
        .step(change.add_ns(HOUR - 4 * NS_PER_S).since(rig.clock.now()));
    rig.wait_for("the second time around", 4, opened).await.unwrap();
    rig.frames(20).await.unwrap();
    rig.stop_clean().await.unwrap();

    let rows = rig.judge().await.unwrap();
    whole(&rig.numbers(CAM).await.unwrap()).unwrap();
    assert_eq!(rows.len(), rig.count(opened), "{rows:#?}");
    assert!(rows.len() >= 4);
    for row in &rows {
        // Named in UTC: local names would come twice, and not in order.
        let name = SegmentName::parse(&row.path).unwrap();
        assert_eq!(name.start_ms(), row.start.as_ns() / 1_000_000, "{row:?}");
        assert!(row.path.starts_with("cam/2026-10-25"), "{row:?}");
    }
    assert!(rows.windows(2).all(|w| w[0].path < w[1].path), "{rows:#?}");
    let late = rows[1].start.since(change);
    assert!(
        (0..=NS_PER_S).contains(&late),
        "split {late} ns behind the change"
    );

    rig.start().await.unwrap();
    let across = TimeRange::new(rows[0].start, rows[2].end()).unwrap();
    let timeline = rig.nvr().timeline(&id(CAM), across).await.unwrap();
    judge_timeline(&timeline).unwrap();
    assert_eq!(
        (timeline.ranges.len(), timeline.gaps.len()),
        (1, 0),
        "{timeline:#?}"
    );
    assert_eq!(timeline.totals.missing_ns, 0);
    let year = TimeRange::new(change.add_ns(-DAY), change.add_ns(DAY)).unwrap();
    let days = rig.nvr().days(&id(CAM), None, year).await.unwrap();
    let day = days.iter().find(|d| d.date.to_string() == "2026-10-25").unwrap();
    assert_eq!(day.length_s, 25 * 3600);
    let recorded: i64 = rows.iter().map(|r| r.duration_ns).sum();
    assert!((day.recorded_ns - recorded).abs() < NS_PER_S, "{days:#?}");

    let mut numbers = Vec::new();
    for row in &rows[..3] {
        numbers.extend(numbers_of(&rig.config, row).await.unwrap());
    }
    let out = rig.export_mp4(across).await.unwrap();
    judge::decode_all(out.path()).unwrap();
    assert_eq!(judge::frame_numbers(out.path()).unwrap(), numbers);
    rig.stop_clean().await.unwrap();
}
