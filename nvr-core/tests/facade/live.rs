//! Those who watch.

use nvr_core::config::RecordMode;
use nvr_core::event::CameraPhase;
use nvr_core::gst::{AccessUnit, UnitTrack};
use nvr_core::live::fmp4::{Packager, Packet};
use nvr_core::live::{Live, PictureRequest, StreamKind, Viewer};
use nvr_core::media::{InitSegment, MovieFragment};
use nvr_core::{ErrorKind, SourceSpec};

use crate::house::*;

async fn next(viewer: &mut Viewer) -> Live {
    tokio::time::timeout(LIMIT, viewer.next())
        .await
        .expect("something to see")
        .expect("the camera is there")
}

/// The next video frame.
async fn frame(viewer: &mut Viewer) -> AccessUnit {
    loop {
        if let Live::Frame(unit) = next(viewer).await
            && unit.track() == UnitTrack::Video
        {
            return unit;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_stops_reading_loses_frames_and_the_recorder_none() {
    let house = House::new([camera("cam", "test:?size=160x120&fps=30&gop=15&audio=0")]);
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    let mut slow = cam.watch(StreamKind::Main, 20);
    let mut other = cam.watch(StreamKind::Main, 10_000);
    assert!(matches!(next(&mut slow).await, Live::Begin));
    let mut last = frame(&mut slow).await;
    assert!(last.keyframe());
    // It does not read while many more come than may wait for it.
    frames(&cam, 150).await;

    let (mut lost, mut seen) = (0, 1u64);
    let after = loop {
        match next(&mut slow).await {
            Live::Lost(frames) => {
                lost = frames;
                assert!(frames > 0);
            }
            Live::Frame(unit) if lost > 0 => break unit,
            Live::Frame(unit) => {
                seen += 1;
                last = unit;
            }
            Live::Begin => panic!("the camera did not go away"),
        }
    };
    assert!(after.keyframe(), "it goes on with a keyframe");
    assert!(seen <= 36, "a group of pictures and twenty more: {seen}");
    let missing = (after.pts_ns() - last.pts_ns()) * 30 / S - 1;
    assert!(
        (lost as i64 - missing).abs() <= 1,
        "{lost} are told, {missing} are missing"
    );
    assert_eq!(slow.lost(), lost);

    // Another viewer has them all, in order, and so has the recording.
    let first = frame(&mut other).await;
    let mut before = first.pts_ns();
    for _ in 0..150 {
        let unit = frame(&mut other).await;
        assert!(unit.pts_ns() - before < S / 29, "a frame is missing");
        before = unit.pts_ns();
    }
    assert_eq!(other.lost(), 0);
    let figures = cam.viewers(StreamKind::Main);
    assert_eq!((figures.now, figures.total, figures.frames_lost), (2, 2, lost));
    drop((slow, other));
    assert_eq!(cam.viewers(StreamKind::Main).now, 0);
    assert_eq!(cam.status().counters.frames_dropped, 0);
    stop(nvr).await;
    assert_eq!(
        gaps(&house.archive().await, "cam").await.len(),
        2,
        "before and after"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_not_recorded_is_connected_while_it_is_watched() {
    let mut config = camera("cam", SMALL);
    config.record = RecordMode::Off;
    let house = House::new([config]);
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    assert_eq!(cam.status().state.phase, CameraPhase::Stopped);
    let mut viewer = cam.watch(StreamKind::Main, 100);
    let first = frame(&mut viewer).await;
    assert!(first.keyframe());
    until("it stands by", || {
        (cam.status().state.phase == CameraPhase::Standby).then_some(())
    })
    .await;
    assert!(nvr.health().ok);
    // Restarted, the viewer sees it again.
    cam.restart().unwrap();
    loop {
        if matches!(next(&mut viewer).await, Live::Begin) {
            break;
        }
    }
    assert!(frame(&mut viewer).await.keyframe());
    drop(viewer);
    phase(&cam, CameraPhase::Stopped).await;
    assert!(segments(&nvr, "cam").await.is_empty());
    // And again.
    let mut viewer = cam.watch(StreamKind::Main, 100);
    frame(&mut viewer).await;
    // Stopped by hand it stays stopped, whoever watches.
    cam.stop().unwrap();
    phase(&cam, CameraPhase::Stopped).await;
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sub_stream_is_its_own_and_comes_on_demand() {
    let mut good = camera("good", SMALL);
    good.sub = Some(SourceSpec::parse("test:?size=160x120&fps=10&gop=10&audio=0").unwrap());
    let mut bad = camera("bad", SMALL);
    bad.sub = Some(SourceSpec::parse(NOBODY).unwrap());
    let house = House::new([good, bad, camera("none", SMALL)]);
    let nvr = house.start().await;
    for (name, width) in [("good", 160), ("none", 320)] {
        let cam = nvr.camera(&id(name)).unwrap();
        let mut viewer = cam.watch(StreamKind::Sub, 100);
        let unit = frame(&mut viewer).await;
        assert_eq!(unit.tracks().video.width, width, "{name}");
    }
    let bad = nvr.camera(&id("bad")).unwrap();
    let viewer = bad.watch(StreamKind::Sub, 100);
    until("its trouble", || {
        viewer.trouble().filter(|t| t.contains("127.0.0.1:1"))
    })
    .await;
    frames(&bad, 10).await;
    assert_eq!(bad.status().state.phase, CameraPhase::Recording);
    assert_eq!(bad.status().counters.restarts, 0);
    assert!(nvr.health().ok, "{:?}", nvr.health());
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_what_their_init_segment_says() {
    let house = House::new([camera("cam", "test:?size=320x240&fps=25&gop=25&audio=0")]);
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    let mut viewer = cam.watch(StreamKind::Main, 100);
    let mut packager = Packager::new(true, None);
    let (mut init, mut end, mut chunks) = (None, 0, 0);
    while chunks < 60 {
        let Live::Frame(unit) = next(&mut viewer).await else {
            continue;
        };
        for packet in packager.push(&unit) {
            match packet {
                Packet::Init(new) => {
                    assert!(init.is_none(), "one is enough");
                    assert!(new.mime.starts_with("video/mp4; codecs=\"avc1."), "{}", new.mime);
                    assert_eq!(new.size, (320, 240));
                    init = Some(InitSegment::parse(&new.bytes).unwrap());
                }
                Packet::Chunk(chunk) => {
                    assert!(chunks > 0 || chunk.keyframe, "it begins with a keyframe");
                    let len = u32::from_be_bytes(chunk.bytes[..4].try_into().unwrap()) as usize;
                    let moof = MovieFragment::parse(&chunk.bytes[..len], init.as_ref().unwrap()).unwrap();
                    assert_eq!(moof.tracks.len(), 1);
                    assert_eq!(chunk.decode_time, Some(end), "chunks lie end to end");
                    assert_eq!(chunk.duration, 3600);
                    end += i64::from(chunk.duration);
                    assert_eq!(chunk.utc, unit.utc());
                    chunks += 1;
                }
            }
        }
    }
    let info = viewer.info().unwrap();
    assert!(!info.b_frames && info.audio.is_none());
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_decoded_once_for_all_of_a_size() {
    let house = House::new([camera("cam", "test:?size=320x240&fps=10&gop=10&audio=0")]);
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    let wish = |width, fps| PictureRequest::new(width, fps).unwrap();
    let mut one = cam.watch_pictures(StreamKind::Main, wish(160, 10.0)).unwrap();
    let mut two = cam.watch_pictures(StreamKind::Main, wish(150, 2.0)).unwrap();
    let first = one.next().await.unwrap();
    assert_eq!(&first.jpeg[..2], &[0xff, 0xd8]);
    let mut before = first;
    for _ in 0..10 {
        let picture = one.next().await.unwrap();
        assert!(picture.number > before.number && picture.utc > before.utc);
        before = picture;
    }
    // 150 is rounded up to 160: one decoder, hence one viewer of the stream.
    assert_eq!(cam.viewers(StreamKind::Main).now, 1);
    let a = two.next().await.unwrap();
    let b = two.next().await.unwrap();
    assert!(b.utc.since(a.utc) >= S / 2 - S / 10, "two a second");
    let mut more = Vec::new();
    for width in [64, 96, 128] {
        more.push(cam.watch_pictures(StreamKind::Main, wish(width, 1.0)).unwrap());
    }
    let refused = cam.watch_pictures(StreamKind::Main, wish(320, 1.0)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    drop(more);
    one.change(wish(320, 10.0)).unwrap();
    one.next().await.unwrap();
    assert!(PictureRequest::new(8, 1.0).is_err() && PictureRequest::new(160, 0.0).is_err());
    drop((one, two));
    until("the decoders end", || {
        (cam.viewers(StreamKind::Main).now == 0).then_some(())
    })
    .await;
    stop(nvr).await;
}
