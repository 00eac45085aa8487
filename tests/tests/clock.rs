//! The wall clock steps while cameras record.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;

use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::time::NS_PER_S;
use nvr_core::{EventKind, TimeRange};
use nvr_tests::TestCam;
use nvr_tests::rig::{CAM, Rig, judge_timeline, small, whole};

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
