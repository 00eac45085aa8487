//! Motion from the picture to the footage: found in keyframes, told as a detection, recorded with what went before.

use std::time::Duration;

use nvr_core::config::RecordMode;
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::store::DetectionQuery;
use nvr_core::{Detection, DetectionKind, Nvr, TimeRange};

use crate::house::*;

/// Nothing moves for 8 s, then something crosses the picture within 4 s, again and again.
const MOVER: &str = "test:?size=640x360&fps=10&gop=10&audio=0&pattern=mover&still=8&moving=4";
const STILL: &str = "test:?size=640x360&fps=10&gop=10&audio=0&pattern=still";

async fn detections(nvr: &Nvr, name: &str) -> Vec<Detection> {
    let query = DetectionQuery::new(TimeRange::ALL);
    let mut all = nvr.detections().list(query).await.unwrap().items;
    all.retain(|d| d.camera == id(name));
    all.sort_by_key(|d| d.from);
    all
}

fn for_motion(name: &str, source: &str) -> nvr_core::config::CameraConfig {
    let mut config = camera(name, source);
    config.record = RecordMode::Motion;
    config.motion.pre_roll = Duration::from_secs(2);
    config.motion.post_roll = Duration::from_secs(2);
    config.motion.cool_down = Duration::from_secs(2);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_moves_is_recorded_with_what_went_before() {
    let house = House::new([for_motion("mover", MOVER), for_motion("still", STILL)]);
    let nvr = house.start().await;
    let log = Log::of(&nvr);
    let (mover, still) = (
        nvr.camera(&id("mover")).unwrap(),
        nvr.camera(&id("still")).unwrap(),
    );
    phase(&mover, CameraPhase::Standby).await;
    phase(&mover, CameraPhase::Recording).await;
    assert!(mover.motion().active);
    let detection = until_async("the end of the motion", async || {
        detections(&nvr, "mover")
            .await
            .into_iter()
            .find(|d| d.to.is_some())
    })
    .await;
    phase(&mover, CameraPhase::Standby).await;
    assert_eq!(detection.kind, DetectionKind::Motion);
    assert!(detection.score >= 0.5, "{detection:?}");
    let (from, to) = (detection.from, detection.to.unwrap());
    let seen = to.since(from);
    assert!((S..=6 * S).contains(&seen), "seen for {seen} ns");
    let rows = until_async("the segment in the index", async || {
        let rows = segments(&nvr, "mover").await;
        rows.first().is_some_and(|r| r.end() >= to).then_some(rows)
    })
    .await;
    // The keyframe at or before the pre-roll, and there is one a second.
    let early = from.since(rows[0].start);
    assert!(
        (2 * S - S / 5..=3 * S + S / 5).contains(&early),
        "begins {early} ns before"
    );
    let late = rows[0].end().since(to);
    assert!(late >= 2 * S - S / 5, "ends {late} ns after");

    gaps_when(&nvr, "mover", |gaps| kinds(gaps).contains(&CauseKind::NoMotion)).await;
    let told = log.all();
    let told: Vec<&str> = told
        .iter()
        .map(|e| e.kind.name())
        .filter(|n| n.starts_with("detection"))
        .collect();
    assert_eq!(told[..2], ["detection_started", "detection_ended"]);

    // The other was looked at all the while.
    assert!(still.motion().frames > 5, "{:?}", still.motion());
    assert!(detections(&nvr, "still").await.is_empty());
    assert!(segments(&nvr, "still").await.is_empty());
    gaps_when(&nvr, "still", |gaps| {
        kinds(gaps).last() == Some(&CauseKind::NoMotion)
    })
    .await;
    assert!(nvr.health().ready, "{:?}", nvr.health());
    stop(nvr).await;

    // What moved is found again in the footage, and the scores are kept.
    let archive = house.archive().await;
    let range = TimeRange::new(rows[0].start, rows[0].end()).unwrap();
    let found = archive
        .find_motion(&id("mover"), range, nvr_core::archive::MotionSearch::default())
        .await
        .unwrap();
    assert!(found.keyframes >= 5, "{found:?}");
    assert_eq!(found.stretches.len(), 1, "{found:?}");
    assert!(
        found.stretches[0].from.since(from).abs() <= 2 * S,
        "{found:?}, want {from}"
    );
    let strip = archive.motion_strip(&id("mover"), range, 10).await.unwrap();
    assert!(strip.iter().flatten().any(|s| *s >= 0.5), "{strip:?}");
    let strip = archive.motion_strip(&id("still"), range, 10).await.unwrap();
    assert!(strip.iter().flatten().all(|s| *s < 0.2), "{strip:?}");
    assert!(strip.iter().flatten().count() > 5, "{strip:?}");
}

/// The sub stream is connected for it and the recording of the main stream goes on whatever becomes of the settings.
#[tokio::test(flavor = "multi_thread")]
async fn settings_change_without_touching_the_recording() {
    let mut config = camera("cam", STILL);
    config.sub = Some(
        nvr_core::SourceSpec::parse("test:?size=320x180&fps=10&gop=5&audio=0&pattern=mover&still=2&moving=3")
            .unwrap(),
    );
    let house = House::new([config.clone()]);
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    phase(&cam, CameraPhase::Recording).await;
    assert!(!cam.motion().active);
    let mut new = house.config.clone();
    new.cameras[0].motion.enabled = true;
    nvr.reload(new.clone()).await.unwrap();
    until("motion in the sub stream", || {
        let motion = cam.motion();
        (motion.active && motion.stream == nvr_core::live::StreamKind::Sub && motion.moving_since.is_some())
            .then_some(())
    })
    .await;
    assert_eq!(cam.viewers(nvr_core::live::StreamKind::Sub).now, 0);
    new.cameras[0].motion.enabled = false;
    nvr.reload(new).await.unwrap();
    until("the end of looking", || (!cam.motion().active).then_some(())).await;
    let ended = until_async("the end of the detection", async || {
        let all = detections(&nvr, "cam").await;
        all.iter().all(|d| d.to.is_some()).then_some(all)
    })
    .await;
    assert!(!ended.is_empty());
    assert_eq!(cam.status().state.phase, CameraPhase::Recording);
    stop(nvr).await;
    assert_eq!(segments(&house.archive().await, "cam").await.len(), 1);
}
