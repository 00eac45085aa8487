//! Cameras that are recorded by a schedule, on a clock that the test sets.

use std::sync::Arc;
use std::time::Duration;

use nvr_core::clock::{Clock, SystemClock};
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::schedule::{RecordMode, Schedule};
use nvr_core::store::GapRow;
use nvr_core::{Nvr, Timestamp};

use crate::house::{
    House, Log, NOBODY, S, SMALL, a_second, camera, frames, gaps, id, phase, segments, stop, until,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Sets the clock on the wall.
fn set(clock: &SystemClock, to: &str) {
    clock.step(at(to).since(clock.now()));
}

async fn start(house: &House, clock: &Arc<SystemClock>) -> Nvr {
    Nvr::builder(house.config.clone())
        .clock(Arc::clone(clock) as Arc<dyn Clock>)
        .start()
        .await
        .unwrap()
}

/// The gap that is open now and has stood in the index for a moment: rows come after events.
async fn open_gap(nvr: &Nvr, name: &str) -> GapRow {
    let mut before = None;
    loop {
        let last = gaps(nvr, name).await.pop().filter(|g| g.end.is_none());
        if let Some(last) = last.clone()
            && before.as_ref() == Some(&last)
        {
            return last;
        }
        before = last;
        a_second(nvr).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_while_the_schedule_says_so() {
    let mut cam = camera("cam", SMALL);
    cam.record = RecordMode::Off;
    // 2026-05-04 is a Monday.
    cam.schedule =
        Schedule::parse("mon-fri 10:00-18:00 continuous; 2026-05-05 off", "Europe/Berlin").unwrap();
    let mut away = camera("away", NOBODY);
    away.schedule = Schedule::parse("18:00-24:00 off", "Europe/Berlin").unwrap();
    let house = House::new([cam, away]);
    let clock = Arc::new(SystemClock::new());
    set(&clock, "2026-05-04T07:59:57Z");
    let nvr = start(&house, &clock).await;
    let log = Log::of(&nvr);
    let cam = nvr.camera(&id("cam")).unwrap();
    let away = nvr.camera(&id("away")).unwrap();
    assert_eq!(cam.status().mode, RecordMode::Off);
    assert_eq!(cam.status().counters.frames, 0, "it is not even connected");
    assert!(!nvr.health().problems.iter().any(|p| p.camera == Some(id("cam"))));

    phase(&cam, CameraPhase::Recording).await;
    assert!(clock.now() >= at("2026-05-04T08:00:00Z"));
    assert_eq!(cam.status().mode, RecordMode::Continuous);
    let begun = (
        CameraPhase::Stopped,
        CameraPhase::Connecting,
        CauseKind::Scheduled,
    );
    assert!(log.phases("cam").contains(&begun), "{:?}", log.phases("cam"));
    frames(&cam, 20).await;
    until("a camera that is not there", || {
        (away.status().state.phase == CameraPhase::BackingOff).then_some(())
    })
    .await;

    set(&clock, "2026-05-04T15:59:58Z");
    phase(&cam, CameraPhase::Stopped).await;
    phase(&away, CameraPhase::Stopped).await;
    assert!(clock.now() >= at("2026-05-04T16:00:00Z"));
    assert_eq!(cam.status().state.cause.kind, CauseKind::NotScheduled);
    assert!(nvr.health().ready, "nothing is wanted now: {:?}", nvr.health());
    let rows = segments(&nvr, "cam").await;
    let first = rows.iter().map(|r| r.start).min().unwrap();
    assert!(first >= at("2026-05-04T08:00:00Z"), "{first}");
    // From then on it is the schedule, not the camera, why there is nothing.
    for name in ["cam", "away"] {
        let last = open_gap(&nvr, name).await;
        assert_eq!(last.cause.kind, CauseKind::NotScheduled, "{name}: {last:?}");
        assert!(
            last.start.since(at("2026-05-04T16:00:00Z")).abs() < 5 * S,
            "{name}: {last:?}"
        );
    }

    // An exception, and the day after it.
    set(&clock, "2026-05-05T09:00:00Z");
    until("the next look", || {
        (clock.now() >= at("2026-05-05T09:00:02Z")).then_some(())
    })
    .await;
    assert_eq!(cam.status().state.phase, CameraPhase::Stopped);
    set(&clock, "2026-05-06T09:00:00Z");
    phase(&cam, CameraPhase::Recording).await;
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_only_at_times_and_a_new_schedule_while_it_runs() {
    let mut cam = camera("cam", SMALL);
    cam.pre_roll = Duration::from_secs(2);
    cam.schedule = Schedule::parse("12:00-13:00 manual", "UTC").unwrap();
    let mut house = House::new([cam]);
    let clock = Arc::new(SystemClock::new());
    set(&clock, "2026-05-04T11:00:00Z");
    let nvr = start(&house, &clock).await;
    let cam = nvr.camera(&id("cam")).unwrap();
    phase(&cam, CameraPhase::Recording).await;
    cam.record(None).await.unwrap_err();
    set(&clock, "2026-05-04T12:00:00Z");
    phase(&cam, CameraPhase::Standby).await;
    assert!(!cam.status().recording);
    cam.record(None).await.unwrap();
    phase(&cam, CameraPhase::Recording).await;
    // What was begun by hand ends with the time at which that is possible; the camera's own recording goes on.
    set(&clock, "2026-05-04T13:00:00Z");
    until("no recording by hand", || {
        cam.status().manual.is_none().then_some(())
    })
    .await;
    until("its own", || {
        let status = cam.status();
        (status.recording && status.mode == RecordMode::Continuous).then_some(())
    })
    .await;

    // A schedule that changes nothing now leaves the stream alone.
    let run = until("a run", || cam.status().run).await;
    house.config.cameras[0].schedule = Schedule::parse("20:00-21:00 off", "UTC").unwrap();
    nvr.reload(house.config.clone()).await.unwrap();
    frames(&cam, 10).await;
    assert_eq!(cam.status().run, Some(run));
    // One that does is followed at once.
    house.config.cameras[0].schedule = Schedule::parse("daily off", "UTC").unwrap();
    nvr.reload(house.config.clone()).await.unwrap();
    phase(&cam, CameraPhase::Stopped).await;
    assert_eq!(cam.status().state.cause.kind, CauseKind::NotScheduled);
    stop(nvr).await;
}
