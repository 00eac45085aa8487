//! What grows and what is closed, asked inside and outside the recorder.

use std::collections::HashSet;

use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::media::clip::Format;
use nvr_core::segment::Container;
use nvr_core::store::{SegmentQuery, SegmentState};
use nvr_core::{
    Archive, ClipCodec, ErrorKind, EventKind, ExportRequest, SegmentId, SnapshotRequest, TimeRange,
    Timestamp, VodRequest,
};

use crate::house::*;

const MS: i64 = 1_000_000;

fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff]) && bytes.ends_with(&[0xff, 0xd9])
}

/// Everything that can be asked, over a closed and a growing segment.
async fn ask(archive: &Archive, from: Timestamp) {
    let cam = id("cam");
    let timeline = archive.timeline(&cam, TimeRange::ALL).await.unwrap();
    assert_eq!(timeline.ranges.len(), 1, "{timeline:#?}");
    assert!(
        timeline.ranges[0].growing && timeline.gaps.is_empty(),
        "{timeline:#?}"
    );
    let recorded = timeline.ranges[0].range;
    assert_eq!(recorded.start(), from);
    assert_eq!(timeline.totals.segments, 2);

    let days = archive
        .days(&cam, Some("Europe/Berlin"), TimeRange::ALL)
        .await
        .unwrap();
    let sum: i64 = days.iter().map(|d| d.recorded_ns).sum();
    assert!(sum >= recorded.len_ns() - 200 * MS, "{days:?} {recorded:?}");
    let unknown = archive
        .days(&cam, Some("Mars/Olympus"), TimeRange::ALL)
        .await
        .unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::InvalidArgument);

    let rows = archive
        .segments(SegmentQuery::new([cam.clone()], TimeRange::ALL))
        .await
        .unwrap()
        .items;
    let states: Vec<_> = rows.iter().map(|r| r.state).collect();
    assert_eq!(states, [SegmentState::Closed, SegmentState::Open]);
    for row in &rows {
        let (_, file, len) = archive.open_segment(row.id).await.unwrap();
        assert!(len > 0 && len <= file.size().unwrap());
    }
    let stats = archive.stats().await.unwrap();
    assert!(stats.cameras[0].duration_ns >= recorded.len_ns() - 200 * MS && stats.disk_total_bytes > 0);

    // A second before and after the boundary.
    let middle = rows[1].start;
    let range = TimeRange::new(middle.add_ns(-1500 * MS), middle.add_ns(1500 * MS)).unwrap();
    for format in [Format::Fmp4, Format::Mp4] {
        let clip = archive
            .export(ExportRequest::new(cam.clone(), range, format))
            .await
            .unwrap();
        let mut bytes = Vec::new();
        clip.write_to(&mut bytes, |_| true).unwrap();
        assert_eq!(bytes.len() as u64, clip.len());
        let seconds = clip.duration_ns() as f64 / S as f64;
        assert!((2.8..4.3).contains(&seconds), "{format:?}: {seconds} s");
    }
    let request = VodRequest {
        camera: cam.clone(),
        range,
        event: false,
        codec: nvr_core::ClipCodec::AsRecorded,
    };
    let playlist = archive
        .vod(request, |SegmentId(n)| format!("/segments/{n}"))
        .await
        .unwrap();
    let files: HashSet<&str> = playlist.lines().filter(|l| l.starts_with("/segments/")).collect();
    assert_eq!(files.len(), 2, "{playlist}");
    let master = archive
        .vod_master(
            cam.clone(),
            range,
            nvr_core::ClipCodec::AsRecorded,
            "media.m3u8".into(),
        )
        .await
        .unwrap();
    assert!(
        master.contains("avc1") && master.contains("RESOLUTION=320x240"),
        "{master}"
    );

    for at in [middle.add_ns(-750 * MS), middle.add_ns(750 * MS)] {
        let mut request = SnapshotRequest::new(cam.clone(), Some(at));
        let keyframe = archive.snapshot(request.clone()).await.unwrap();
        assert!(is_jpeg(&keyframe.jpeg) && keyframe.at <= at && at.since(keyframe.at) < 1100 * MS);
        request.exact = true;
        let exact = archive.snapshot(request).await.unwrap();
        assert!(is_jpeg(&exact.jpeg) && exact.at <= at, "{} {at}", exact.at);
        assert!(at.since(exact.at) < 110 * MS, "{} {at}", exact.at);
    }
    let newest = archive
        .snapshot(SnapshotRequest::new(cam.clone(), None))
        .await
        .unwrap();
    assert!(newest.at >= middle, "{} {middle}", newest.at);
    let early = SnapshotRequest::new(cam.clone(), Some(from.add_ns(-3600 * S)));
    let nothing = archive.snapshot(early).await.unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::NotFound);
    assert!(
        nothing.hint().is_some_and(|h| h.contains(&from.to_string())),
        "{nothing:?}"
    );
    let unknown = archive.timeline(&id("nobody"), TimeRange::ALL).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

/// What cannot be meant is told as such, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_for_what_they_are() {
    let house = House::new([camera("cam", SMALL)]);
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    frames(&cam, 15).await;
    let (cam, nobody, now) = (id("cam"), id("nobody"), nvr.clock().now());
    let recorded = TimeRange::new(now.add_ns(-S), now).unwrap();
    let none = TimeRange::new(now, now).unwrap();
    let export = async |camera, range| {
        let e = nvr.export(ExportRequest::new(camera, range, Format::Mp4)).await;
        e.unwrap_err()
    };

    for (camera, range, kind) in [
        (&nobody, recorded, ErrorKind::NotFound),
        (&cam, none, ErrorKind::InvalidArgument),
    ] {
        assert_eq!(export(camera.clone(), range).await.kind(), kind);
        let all = [
            nvr.protect_range(camera, range, true).await.map(drop),
            nvr.mark_event(camera, range, true).await.map(drop),
            nvr.restore(camera, range).await.map(drop),
        ];
        for e in all {
            assert_eq!(e.unwrap_err().kind(), kind, "{camera}");
        }
    }
    let e = export(nobody.clone(), recorded).await;
    assert_eq!(e.to_string(), "there is no camera nobody");
    let e = nvr
        .snapshot(SnapshotRequest::new(nobody, None))
        .await
        .unwrap_err();
    assert_eq!(e.to_string(), "there is no camera nobody");
    assert_eq!(nvr.protect_range(&cam, recorded, true).await.unwrap(), 1);
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_and_growing_from_inside_and_outside() {
    let house = House::new([camera("cam", SMALL)]);
    let nvr = house.start().await;
    let log = Log::of(&nvr);
    let cam = nvr.camera(&id("cam")).unwrap();
    phase(&cam, CameraPhase::Recording).await;
    frames(&cam, 25).await;
    cam.split().unwrap();
    until("the second segment", || {
        let all = log.all();
        let count = |name| all.iter().filter(|e| e.kind.name() == name).count();
        (count("segment_opened") == 2 && count("segment_closed") == 1).then_some(())
    })
    .await;
    frames(&cam, 25).await;
    let rows = until_async("the rows of both", async || {
        let rows = segments(&nvr, "cam").await;
        let states: Vec<_> = rows.iter().map(|r| r.state).collect();
        (states == [SegmentState::Closed, SegmentState::Open]).then_some(rows)
    })
    .await;
    let from = rows[0].start;
    ask(&nvr, from).await;
    ask(&house.archive().await, from).await;

    let now = nvr.clock().now();
    let mut request = SnapshotRequest::new(id("cam"), None);
    request.width = Some(160);
    let picture = nvr.picture(request).await.unwrap();
    assert!(
        is_jpeg(&picture.jpeg) && now.since(picture.at) < 3 * S,
        "{}",
        now.since(picture.at)
    );
    stop(nvr).await;

    // Closed now, and nothing of it differs.
    let archive = house.archive().await;
    let timeline = archive.timeline(&id("cam"), TimeRange::ALL).await.unwrap();
    assert_eq!(timeline.ranges.len(), 1, "{timeline:#?}");
    assert!(!timeline.ranges[0].growing);
}

/// At each split there is a moment with one segment finished and not indexed and the next one empty: no question
/// asked then may find a hole.
#[tokio::test(flavor = "multi_thread")]
async fn a_split_is_never_seen() {
    let house = House::new([camera("cam", "test:?size=160x120&fps=20&gop=4&audio=0")]);
    let nvr = house.start().await;
    let log = Log::of(&nvr);
    let cam = nvr.camera(&id("cam")).unwrap();
    frames(&cam, 40).await;
    let (mut seen, mut asked) = (Timestamp::MIN, 0);
    loop {
        let closed = log
            .all()
            .iter()
            .filter(|e| e.kind.name() == "segment_closed")
            .count();
        if closed >= 8 {
            break;
        }
        cam.split().unwrap();
        for _ in 0..20 {
            let timeline = nvr.timeline(&id("cam"), TimeRange::ALL).await.unwrap();
            assert_eq!(timeline.ranges.len(), 1, "{closed}: {timeline:#?}");
            assert_eq!(timeline.gaps, [], "{closed}: {timeline:#?}");
            let end = timeline.ranges[0].range.end();
            assert!(end >= seen, "footage shrank from {seen} to {end}");
            seen = end;
            let newest = nvr.snapshot(SnapshotRequest::new(id("cam"), None)).await.unwrap();
            assert!(seen.since(newest.at) < 5 * S);
            asked += 1;
        }
    }
    assert!(asked > 20);
    stop(nvr).await;
}

/// From the first frame of a recording by hand until long after it there is no moment without a reason.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_recording_is_never_without_a_reason() {
    let house = House::new([manual("cam")]);
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    phase(&cam, CameraPhase::Standby).await;
    for round in 0..3 {
        cam.record(None).await.unwrap();
        frames(&cam, 10).await;
        cam.stop_recording().await.unwrap();
        let mut after = 0;
        while after < 20 {
            let timeline = nvr.timeline(&id("cam"), TimeRange::ALL).await.unwrap();
            let unknown = |g: &&nvr_core::timeline::Gap| g.cause.kind == CauseKind::Unknown;
            assert_eq!(timeline.gaps.iter().find(unknown), None, "{round}: {timeline:#?}");
            after += usize::from(cam.status().manual.is_none());
        }
    }
    stop(nvr).await;
}

/// What is written to a plain file now is on the timeline before the file is complete.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_file_that_grows_is_not_missing() {
    for container in [Container::Matroska, Container::Mp4] {
        let mut house = House::new([camera("cam", SMALL)]);
        house.config.cameras[0].container = container;
        let nvr = house.start().await;
        let cam = nvr.camera(&id("cam")).unwrap();
        frames(&cam, 25).await;
        let rows = segments_when(&nvr, "cam", |rows| !rows.is_empty()).await;
        for archive in [&*nvr, &house.archive().await] {
            let recorded = until_async("two seconds", async || {
                let timeline = archive.timeline(&id("cam"), TimeRange::ALL).await.unwrap();
                assert_eq!(timeline.gaps, [], "{container:?}: {timeline:#?}");
                let recorded = timeline.ranges.into_iter().next()?;
                (recorded.range.len_ns() > 2 * S).then_some(recorded)
            })
            .await;
            assert_eq!(recorded.range.start(), rows[0].start);
            assert!(recorded.growing, "{recorded:?}");
        }
        stop(nvr).await;
        let archive = house.archive().await;
        let timeline = archive.timeline(&id("cam"), TimeRange::ALL).await.unwrap();
        assert!(!timeline.ranges[0].growing, "{timeline:#?}");
    }
}

/// Footage in plain files is on the timeline, and what cannot be had of it is refused: never a file with holes.
#[tokio::test(flavor = "multi_thread")]
async fn plain_containers_are_told_apart_from_nothing() {
    let mut house = House::new([camera("cam", SMALL)]);
    let nvr = house.start().await;
    let log = Log::of(&nvr);
    let cam = nvr.camera(&id("cam")).unwrap();
    // Plain, ours, and plain again that grows.
    for (n, container) in [Container::Matroska, Container::Fmp4, Container::Mp4]
        .into_iter()
        .enumerate()
    {
        house.config.cameras[0].container = container;
        nvr.reload(house.config.clone()).await.unwrap();
        until("its segment", || {
            let all = log.all();
            let opened = |e: &nvr_core::Event| {
                matches!(&e.kind, EventKind::SegmentOpened { path } if path.ends_with(container.extension()))
            };
            (all.iter().filter(|e| e.kind.name() == "segment_opened").count() > n && all.iter().any(opened)).then_some(())
        })
        .await;
        frames(&cam, 25).await;
    }
    let rows = loop {
        let rows = segments(&nvr, "cam").await;
        let closed = |c: Container| {
            rows.iter()
                .any(|r| r.container == c && r.state == SegmentState::Closed)
        };
        if closed(Container::Matroska)
            && closed(Container::Fmp4)
            && rows.iter().any(|r| r.container == Container::Mp4)
        {
            break rows;
        }
        a_second(&nvr).await;
    };
    let of = |c: Container| rows.iter().rfind(|r| r.container == c).unwrap();
    let (mkv, ours) = (of(Container::Matroska), of(Container::Fmp4));
    // Where one run ends and the next begins, both may claim some frames.
    let inside = TimeRange::new(mkv.start, mkv.start.add_ns(S)).unwrap();
    let whole = TimeRange::new(mkv.start, mkv.start.add_ns(3600 * S)).unwrap();
    for archive in [&*nvr, &house.archive().await] {
        let export = |range, codec| ExportRequest::new(id("cam"), range, Format::Mp4).codec(codec);
        for codec in [ClipCodec::AsRecorded, ClipCodec::H264] {
            for range in [
                mkv.range(),
                whole,
                TimeRange::new(ours.start, whole.end()).unwrap(),
            ] {
                let e = archive.open_export(export(range, codec)).await.unwrap_err();
                assert_eq!(e.kind(), ErrorKind::Unsupported, "{range:?}: {e}");
            }
        }
        let e = archive
            .export(export(whole, ClipCodec::AsRecorded))
            .await
            .unwrap_err();
        assert!(e.to_string().contains(&mkv.start.to_string()), "{e}");
        let clip = archive
            .export(export(ours.range(), ClipCodec::AsRecorded))
            .await
            .unwrap();
        assert!(clip.len() > 0);

        let at = mkv.start.add_ns(S);
        let e = archive
            .snapshot(SnapshotRequest::new(id("cam"), Some(at)))
            .await
            .unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
        archive
            .snapshot(SnapshotRequest::new(id("cam"), Some(ours.start.add_ns(S))))
            .await
            .unwrap();

        // A playlist leaves it out, as long as there is something else.
        let vod = |range| VodRequest {
            camera: id("cam"),
            range,
            event: false,
            codec: ClipCodec::AsRecorded,
        };
        let playlist = archive
            .vod(vod(TimeRange::new(mkv.start, ours.end()).unwrap()), |s| {
                s.to_string()
            })
            .await
            .unwrap();
        assert!(playlist.contains("#EXTINF"));
        let e = archive.vod(vod(inside), |s| s.to_string()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    }
    stop(nvr).await;
}
