//! Many segments.

use std::collections::BTreeSet;
use std::time::Duration;

use nvr_core::event::CameraPhase;
use nvr_core::segment::Container;
use nvr_core::time::NS_PER_S;
use nvr_core::{ErrorKind, EventKind, TimeRange};
use nvr_tests::rig::{CAM, Rig, file_of, id, judge_timeline, small, whole};
use nvr_tests::{Audio, TestCam, TestCamOptions, judge};

/// Splits on the clock each second and by hand in between: no frame is lost at any of them, no name is there twice.
/// Renamed and removed, a camera keeps its footage.
#[tokio::test(flavor = "multi_thread")]
async fn fm20_no_frame_is_lost_at_a_split_and_no_name_used_twice() {
    let cam = TestCam::start(TestCamOptions {
        gop: 5,
        audio: Audio::Pcmu,
        ..small()
    })
    .unwrap();
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, &cam.url()).unwrap().segment = Duration::from_secs(1);
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    for n in 1..=12 {
        if n % 3 == 0 {
            rig.cam().split().unwrap();
        }
        rig.wait_for("the next segment", 1 + n, |k| {
            matches!(k, EventKind::SegmentOpened { .. })
        })
        .await
        .unwrap();
    }
    let growing = rig.timeline(CAM).await.unwrap();
    judge_timeline(&growing).unwrap();
    assert_eq!(
        growing.ranges.len(),
        1,
        "one stretch over all splits: {growing:#?}"
    );

    // Another name for people: not even the stream is touched.
    let runs = rig.run_causes().len();
    let mut renamed = rig.nvr().config().as_ref().clone();
    renamed.cameras[0].name = "Front door".into();
    rig.nvr().reload(renamed).await.unwrap();
    rig.frames(10).await.unwrap();
    assert_eq!(rig.run_causes().len(), runs);

    rig.nvr().remove_camera(&id(CAM)).await.unwrap();
    assert_eq!(
        rig.nvr().camera(&id(CAM)).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let rows = rig.rows().await.unwrap();
    let whole_range = TimeRange::new(rows[0].start, rows[rows.len() - 1].end()).unwrap();
    after_removal(&rig, whole_range).await;
    rig.stop_clean().await.unwrap();

    let judged = rig.judge().await.unwrap();
    assert_eq!(judged, rows);
    assert!(rows.len() >= 13, "{rows:#?}");
    let opened: Vec<String> = rig
        .events()
        .into_iter()
        .filter_map(|e| match e.kind {
            EventKind::SegmentOpened { path } => Some(path),
            _ => None,
        })
        .collect();
    assert_eq!(opened.iter().collect::<BTreeSet<_>>().len(), opened.len());
    assert_eq!(opened.len(), rows.len());
    whole(&rig.numbers(CAM).await.unwrap()).unwrap();
    for pair in rows.windows(2) {
        let hole = pair[1].start.since(pair[0].end());
        assert!(hole.abs() < NS_PER_S / 10, "{hole} ns between {pair:#?}");
        assert_eq!(pair[1].sequence, pair[0].sequence + 1);
    }
    for row in &rows {
        let packets = judge::packets(&file_of(&rig.config, row), "v:0").unwrap();
        assert!(packets[0].key, "{row:?} does not begin with a keyframe");
    }

    // Not in the configuration any more, and still there.
    rig.config.cameras.clear();
    rig.start().await.unwrap();
    after_removal(&rig, whole_range).await;
    rig.stop_clean().await.unwrap();
}

/// Plain files are indexed with their length.
#[tokio::test(flavor = "multi_thread")]
async fn plain_containers_are_indexed_as_long_as_they_are() {
    for container in [Container::Mp4, Container::Matroska] {
        let cam = TestCam::start(TestCamOptions {
            audio: Audio::Aac,
            ..small()
        })
        .unwrap();
        let mut rig = Rig::new().unwrap();
        rig.add(CAM, &cam.url()).unwrap().container = container;
        rig.start().await.unwrap();
        rig.phase(CAM, CameraPhase::Recording).await.unwrap();
        rig.frames(20).await.unwrap();
        rig.stop_clean().await.unwrap();
        let rows = rig.judge().await.unwrap();
        let length: i64 = rows.iter().map(|r| r.duration_ns).sum();
        let frames = rig.numbers(CAM).await.unwrap().len() as i64;
        assert!(frames >= 20);
        assert!(
            (length - frames * NS_PER_S / 10).abs() < NS_PER_S,
            "{frames} frames in {length} ns: {rows:#?}"
        );
    }
}

/// The footage of a removed camera can be seen and exported.
async fn after_removal(rig: &Rig, range: TimeRange) {
    let known = rig.nvr().recorded_cameras().await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].name.as_deref(), Some("Front door"));
    assert!(known[0].removed_at.is_some(), "{known:?}");
    let timeline = rig.nvr().timeline(&id(CAM), range).await.unwrap();
    judge_timeline(&timeline).unwrap();
    assert_eq!(timeline.totals.missing_ns, 0, "{timeline:#?}");
    let clip = rig.export_mp4(range).await.unwrap();
    judge::decode_all(clip.path()).unwrap();
    assert_eq!(
        judge::frame_numbers(clip.path()).unwrap(),
        rig.numbers(CAM).await.unwrap()
    );
}
