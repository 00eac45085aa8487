use super::super::archive_encoders::X265;
use super::*;

/// Coded frames of a description, with their parameter sets.
fn coded(description: &str) -> (CodedVideo, Vec<CodedFrame>) {
    crate::gst::init().unwrap();
    let text = format!(
        "{description} ! h264parse ! video/x-h264,stream-format=avc,alignment=au ! appsink name=s sync=false"
    );
    let pipeline = gst::parse::launch(&text)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let sink = pipeline
        .by_name("s")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let (mut video, mut frames, mut first) = (None, Vec::new(), None);
    while let Ok(sample) = sink.pull_sample() {
        let s = sample.caps().unwrap().structure(0).unwrap();
        video.get_or_insert_with(|| CodedVideo {
            codec: VideoCodec::H264,
            codec_data: s
                .get::<gst::Buffer>("codec_data")
                .unwrap()
                .map_readable()
                .unwrap()
                .to_vec(),
            size: (
                s.get::<i32>("width").unwrap() as u32,
                s.get::<i32>("height").unwrap() as u32,
            ),
        });
        let b = sample.buffer().unwrap();
        let pts = b.pts().unwrap().nseconds() as i64;
        // The first in decode order is the first that is shown.
        let first = *first.get_or_insert(pts);
        frames.push(CodedFrame {
            data: b.map_readable().unwrap().to_vec(),
            pts_ns: pts - first,
            keyframe: !b.flags().contains(gst::BufferFlags::DELTA_UNIT),
            shown: true,
        });
    }
    pipeline.set_state(gst::State::Null).unwrap();
    (video.unwrap(), frames)
}

fn h264(frames: u32, gop: u32, more: &str) -> String {
    format!(
        "videotestsrc num-buffers={frames} pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 \
         ! x264enc speed-preset=ultrafast key-int-max={gop} {more}"
    )
}

/// What came out.
fn run(
    video: &CodedVideo,
    frames: &[CodedFrame],
    encoder: &ArchiveEncoder,
) -> (Result<u64, RecodeFault>, Vec<CodedFrame>) {
    let mut queue = frames.iter().cloned();
    let mut out = Vec::new();
    let settings = ArchiveSettings::default();
    let with = RecodeWith {
        encoder,
        settings: &settings,
        priority: Some(Priority::default()),
        view: None,
        privacy: None,
    };
    let result = recode(
        video,
        with,
        || Ok(queue.next()),
        &mut |r| {
            match r {
                Recoded::Config(c) => assert_eq!(c[0], 1),
                Recoded::Frame(f) => out.push(f),
            }
            Ok(())
        },
        &mut || Gate::Go,
    );
    (result, out)
}

/// Times and keyframes in the order of presentation.
fn plan(frames: &[CodedFrame]) -> Vec<(i64, bool)> {
    let mut plan: Vec<(i64, bool)> = frames.iter().map(|f| (f.pts_ns, f.keyframe)).collect();
    plan.sort_unstable();
    plan
}

#[test]
fn each_frame_comes_back_at_its_time_and_keyframes_where_they_were() {
    let (video, frames) = coded(&h264(100, 10, "bframes=0"));
    let (result, out) = run(&video, &frames, &X265);
    assert_eq!(result.unwrap(), 100);
    assert_eq!(plan(&out), plan(&frames));
    assert_eq!(out.iter().filter(|f| f.keyframe).count(), 10);
}

#[test]
fn odd_times_and_a_long_group() {
    let (video, mut frames) = coded(&h264(60, 300, "bframes=0 option-string=scenecut=0"));
    // A camera that takes its time: each frame a little later than it should be, once by ten seconds.
    for (i, f) in frames.iter_mut().enumerate() {
        let i = i as i64;
        f.pts_ns += i * i * 12_345 + if i > 30 { 10_000_000_000 } else { 0 };
    }
    let (result, out) = run(&video, &frames, &X265);
    assert_eq!(result.unwrap(), 60);
    assert_eq!(plan(&out), plan(&frames));
}

#[test]
fn reordered_frames_come_back_in_the_order_of_presentation() {
    let (video, frames) = coded(&h264(50, 25, "bframes=3 b-adapt=false"));
    assert!(frames.windows(2).any(|w| w[1].pts_ns < w[0].pts_ns));
    let (result, out) = run(&video, &frames, &X265);
    assert_eq!(result.unwrap(), 50);
    assert_eq!(plan(&out), plan(&frames));
    assert!(out.windows(2).all(|w| w[0].pts_ns < w[1].pts_ns));
}

#[test]
fn footage_that_would_lose_something_is_refused() {
    let text = h264(10, 10, "").replace("format=I420", "format=Y444");
    let (video, frames) = coded(&text);
    let (result, _) = run(&video, &frames, &X265);
    assert!(
        matches!(&result, Err(RecodeFault::Input(why)) if why.contains("Y444")),
        "{result:?}"
    );
}

#[test]
fn a_damaged_stream_is_the_footages_fault() {
    let (video, mut frames) = coded(&h264(40, 40, "bframes=0"));
    for f in &mut frames {
        let n = f.data.len();
        for b in &mut f.data[4..n] {
            *b = 0xff;
        }
    }
    let (result, _) = run(&video, &frames, &X265);
    assert!(matches!(&result, Err(RecodeFault::Input(_))), "{result:?}");
}

#[test]
fn an_encoder_that_fails_is_told_from_footage_that_does() {
    crate::gst::init().unwrap();
    let kind = gst::ElementFactory::find("identity")
        .unwrap()
        .load()
        .unwrap()
        .element_type();
    gst::Element::register(None, "recodefailing", gst::Rank::NONE, kind).unwrap();
    let failing = ArchiveEncoder {
        name: "recodefailing",
        settings: &[("error-after", "3")],
        ..X265
    };
    let (video, frames) = coded(&h264(20, 10, "bframes=0"));
    let (result, _) = run(&video, &frames, &failing);
    assert!(matches!(&result, Err(RecodeFault::Encoder(_))), "{result:?}");
}

#[test]
fn it_stops_and_waits_when_it_is_told() {
    let (video, frames) = coded(&h264(500, 50, "bframes=0"));
    let mut queue = frames.iter().cloned();
    let settings = ArchiveSettings::default();
    let with = RecodeWith {
        encoder: &X265,
        settings: &settings,
        priority: None,
        view: None,
        privacy: None,
    };
    let mut given = 0;
    let mut looks = 0;
    let result = recode(
        &video,
        with,
        || {
            given += 1;
            Ok(queue.next())
        },
        &mut |_| Ok(()),
        &mut || {
            looks += 1;
            match looks {
                1..10 => Gate::Wait,
                10..12 => Gate::Go,
                _ => Gate::Stop,
            }
        },
    );
    assert!(matches!(result, Err(RecodeFault::Stopped)), "{result:?}");
    assert!((1..500).contains(&given), "{given}");
}
