//! Lines across a picture: what crosses one is told, with the line and the direction, whether motion is told or not.

use nvr_core::config::RecordMode;
use nvr_core::line::Line;
use nvr_core::live::StreamKind;
use nvr_core::store::DetectionQuery;
use nvr_core::{Detection, DetectionKind, Nvr, SourceSpec, TimeRange};

use crate::house::*;

/// Nothing moves for 6 s, then something goes through the picture from left to right within 4 s, again and again.
const MOVER: &str = "test:?size=640x360&fps=10&gop=10&audio=0&pattern=mover&still=6&moving=4";
const STILL: &str = "test:?size=640x360&fps=10&gop=10&audio=0&pattern=still";

/// Crossed from the right of who looks down to the left, crossed in a way that does not count, and not crossed.
const LINES: &str = "down: 0.5,0.4 0.5,1; wrong way @left_to_right: 0.6,0.4 0.6,1; above: 0.5,0 0.5,0.35";

async fn detections(nvr: &Nvr, name: &str) -> Vec<Detection> {
    let query = DetectionQuery::new(TimeRange::ALL);
    let mut all = nvr.detections().list(query).await.unwrap().items;
    all.retain(|d| d.camera == id(name));
    all.sort_by_key(|d| d.from);
    all
}

async fn crossed(nvr: &Nvr, name: &str) -> Vec<Detection> {
    until_async("a crossed line", async || {
        let all = detections(nvr, name).await;
        (!all.is_empty()).then_some(all)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crosses_a_line_is_told() {
    let mut rare = camera("rare", MOVER);
    rare.motion.lines = Line::parse_list(LINES).unwrap();
    // Its sub stream is looked at frame by frame.
    let mut often = camera("often", STILL);
    often.record = RecordMode::Manual;
    often.sub = Some(SourceSpec::parse(&MOVER.replace("640x360", "320x180")).unwrap());
    often.motion.lines = Line::parse_list(LINES).unwrap();
    let house = House::new([rare, often]);
    let nvr = house.start().await;
    let log = Log::of(&nvr);
    for name in ["rare", "often"] {
        for seen in crossed(&nvr, name).await {
            assert_eq!(
                seen.kind,
                DetectionKind::Line,
                "motion is not asked for: {seen:?}"
            );
            assert_eq!(seen.zone.as_deref(), Some("down"), "{seen:?}");
            assert_eq!(seen.label.as_deref(), Some("right_to_left"), "{seen:?}");
            let to = seen.to.expect("it is over at once");
            assert!(seen.from < to && seen.best_at == to, "{seen:?}");
            assert!(to.since(seen.from) <= 5 * S, "{seen:?}");
            assert!(seen.data.as_ref().is_some_and(|d| d.contains("box")), "{seen:?}");
        }
    }
    let (rare, often) = (
        nvr.camera(&id("rare")).unwrap(),
        nvr.camera(&id("often")).unwrap(),
    );
    let counts = rare.motion().lines;
    assert_eq!(counts.len(), 3);
    assert!(
        counts[0].right_to_left >= 1 && counts[0].left_to_right == 0,
        "{counts:?}"
    );
    for line in &counts[1..] {
        assert_eq!((line.left_to_right, line.right_to_left), (0, 0), "{counts:?}");
    }
    // A keyframe a second of the one, all frames but no more than five a second of the other.
    assert_eq!(rare.motion().stream, StreamKind::Main);
    assert_eq!(often.motion().stream, StreamKind::Sub);
    assert!(rare.motion().every_ns > S / 2, "{:?}", rare.motion());
    assert!(often.motion().every_ns < S / 2, "{:?}", often.motion());
    assert!(log.all().iter().any(|e| e.kind.name() == "detection_ended"));

    // Without the line nothing is looked at.
    let mut new = house.config.clone();
    new.cameras.iter_mut().for_each(|c| c.motion.lines.clear());
    nvr.reload(new).await.unwrap();
    until("the end of looking", || {
        (!rare.motion().active && !often.motion().active).then_some(())
    })
    .await;
    assert!(rare.motion().lines.is_empty());
    let first = detections(&nvr, "rare").await.remove(0);
    until_async("the footage of the crossing", async || {
        let rows = segments(&nvr, "rare").await;
        rows.iter()
            .any(|r| r.marks.is_event() && r.start <= first.best_at)
            .then_some(())
    })
    .await;
    stop(nvr).await;

    // It is found again in the footage.
    let archive = house.archive().await;
    let rows = segments(&archive, "rare").await;
    let range = TimeRange::new(rows[0].start, rows[0].end()).unwrap();
    let search = nvr_core::archive::MotionSearch {
        lines: Line::parse_list(LINES).unwrap(),
        ..Default::default()
    };
    let found = archive.find_motion(&id("rare"), range, search).await.unwrap();
    let again = found.crossings.iter();
    let again = again.min_by_key(|c| c.to.since(first.best_at).abs());
    assert!(
        again.is_some_and(|c| c.to.since(first.best_at).abs() < S / 2),
        "{found:?}"
    );
    assert_eq!(
        again.map(|c| (c.line.as_str(), c.direction.as_str())),
        Some(("down", "right_to_left")),
        "{found:?}"
    );
}
