//! The gate with sources that end, are late, or bring all in one thread.

use super::super::testing::{Told, run, run_bin};
use super::*;
use crate::source::SourceSpec;

#[test]
fn new_parameters_within_the_stream_become_new_caps() {
    crate::gst::init().unwrap();
    let part = |width, height| {
        format!(
            "videotestsrc num-buffers=6 ! video/x-raw,format=I420,width={width},height={height},framerate=25/1 \
             ! x264enc tune=zerolatency key-int-max=6 ! video/x-h264,stream-format=byte-stream ! c."
        )
    };
    let line = format!("concat name=c ! identity {} {}", part(320, 240), part(176, 144));
    let spec = SourceSpec::parse("test:").unwrap();
    let running = run_bin(&spec, |on_tracks| {
        let bin = gst::Bin::new();
        let inner = gst::parse::bin_from_description(&line, true).unwrap();
        bin.add(&inner).unwrap();
        let gate = Gate::new(&bin, on_tracks, false);
        let chain = video_chain(VideoCodec::H264).unwrap();
        gate.add(Kind::Video, &inner.static_pad("src").unwrap(), &chain)
            .unwrap();
        bin
    });
    let (_, units) = running.collect(12);
    let widths: Vec<i32> = units
        .iter()
        .map(|u| u.caps.structure(0).unwrap().get("width").unwrap())
        .collect();
    assert_eq!(widths, [[320; 6], [176; 6]].concat());
    assert!(units[6].key && units[0].caps != units[6].caps);
}

#[test]
fn nothing_keeps_a_stopped_source_alive() {
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = frozen.local_addr().unwrap();
    for text in [
        "test:?size=160x120&fps=30",
        &format!("rtsp://{at}/x"),
        &format!("http://{at}/x"),
    ] {
        let running = run(&SourceSpec::parse(text).unwrap());
        if text.starts_with("test") {
            running.collect(3);
        }
        let bin = running.pipeline.by_name("source").unwrap().downgrade();
        let pipeline = running.pipeline.downgrade();
        drop(running);
        let clock = crate::clock::SystemClock::new();
        while bin.upgrade().is_some() || pipeline.upgrade().is_some() {
            assert!(
                crate::clock::Clock::steady_ns(&clock) < 10_000_000_000,
                "{text} is still alive"
            );
            std::thread::yield_now();
        }
    }
}

/// Pushes what a camera sent into a gate of one thread, from this one; `order` names the tracks (`a`, `v`), and `c` other
/// caps for what follows of the audio.
fn from_one_thread(order: &str) -> (Vec<super::super::testing::Unit>, bool) {
    crate::gst::init().unwrap();
    let line = "videotestsrc num-buffers=40 ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 \
         ! x264enc tune=zerolatency ! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=out";
    let camera = gst::parse::launch(line)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let out = camera
        .by_name("out")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    camera.set_state(gst::State::Playing).unwrap();
    let spec = SourceSpec::parse("test:").unwrap();
    let mut ends = Vec::new();
    let running = run_bin(&spec, |on_tracks| {
        let bin = gst::Bin::new();
        let gate = Gate::of_one_thread(&bin, on_tracks, true);
        for kind in [Kind::Video, Kind::Audio] {
            let end = make("identity").unwrap();
            bin.add(&end).unwrap();
            let chain = match kind {
                Kind::Video => video_chain(VideoCodec::H264).unwrap(),
                Kind::Audio => Vec::new(),
            };
            gate.add(kind, &end.static_pad("src").unwrap(), &chain).unwrap();
            ends.push(end.static_pad("sink").unwrap());
        }
        bin
    });
    let mut sample = Some(out.pull_sample().unwrap());
    let video_caps = sample.as_ref().unwrap().caps_owned().unwrap();
    let audio_caps = gst::Caps::builder("audio/x-alaw")
        .field("rate", 8000)
        .field("channels", 1)
        .build();
    for (end, caps) in ends.iter().zip([video_caps, audio_caps]) {
        end.send_event(gst::event::StreamStart::new("s"));
        end.send_event(gst::event::Caps::new(&caps));
        end.send_event(gst::event::Segment::new(
            &gst::FormattedSegment::<gst::ClockTime>::new(),
        ));
    }
    let mut ms = 0;
    for track in order.chars() {
        if track == 'c' {
            let caps = gst::Caps::builder("audio/x-alaw")
                .field("rate", 16_000)
                .field("channels", 1)
                .build();
            ends[1].send_event(gst::event::Caps::new(&caps));
            continue;
        }
        let buffer = if track == 'v' {
            let next = sample.take().unwrap_or_else(|| out.pull_sample().unwrap());
            next.buffer_owned().unwrap()
        } else {
            let mut buffer = gst::Buffer::from_slice([0; 160]);
            buffer
                .get_mut()
                .unwrap()
                .set_pts(gst::ClockTime::from_mseconds(ms));
            ms += 20;
            buffer
        };
        ends[usize::from(track == 'a')].chain(buffer).unwrap();
    }
    camera.set_state(gst::State::Null).unwrap();
    let (mut seen, mut told) = (Vec::new(), None);
    while let Ok(next) = running.told.try_recv() {
        match next {
            Told::Tracks(has_audio) => told = Some(has_audio),
            Told::Unit(unit) => seen.push(unit),
            Told::Failed(cause, all) => panic!("{cause:?}: {all}"),
        }
    }
    (seen, told.unwrap())
}

/// Whichever track begins, the thread that brings both is not held up, and nothing is lost or overtaken.
#[test]
fn one_thread_brings_all_tracks() {
    for order in ["aavvavav", "vvaavava", "vav", "av"] {
        let want: Vec<bool> = order.chars().map(|c| c == 'v').collect();
        let (seen, has_audio) = from_one_thread(order);
        assert!(has_audio, "{order}");
        let seen: Vec<bool> = seen.iter().map(|unit| unit.video).collect();
        // The parser gives a picture when it has seen that it is whole.
        assert_eq!(seen, want, "{order}");
    }
}

/// Caps that come while frames are held are those of the frames behind them.
#[test]
fn held_frames_keep_the_caps_that_they_came_with() {
    for (order, want) in [
        ("aacaav", vec![8_000, 8_000, 16_000, 16_000]),
        ("aacva", vec![8_000, 8_000, 16_000]),
        ("aavca", vec![8_000, 8_000, 16_000]),
    ] {
        let (seen, _) = from_one_thread(order);
        let rates: Vec<i32> = seen
            .iter()
            .filter(|unit| !unit.video)
            .map(|unit| unit.caps.structure(0).unwrap().get("rate").unwrap())
            .collect();
        assert_eq!(rates, want, "{order}");
    }
}

/// Audio that begins when the tracks have long been told: on a pad that was there, or on one that comes.
#[test]
fn late_audio_is_taken() {
    for pad_is_late in [false, true] {
        crate::gst::init().unwrap();
        let spec = SourceSpec::parse("test:").unwrap();
        let inner = gst::parse::bin_from_description(
            "videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 \
             ! x264enc tune=zerolatency ! video/x-h264,stream-format=byte-stream ! identity name=v \
             audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc ! valve name=a drop=true",
            false,
        )
        .unwrap();
        for name in ["v", "a"] {
            let pad = inner.by_name(name).unwrap().static_pad("src").unwrap();
            let ghost = gst::GhostPad::builder_with_target(&pad)
                .unwrap()
                .name(name)
                .build();
            inner.add_pad(&ghost).unwrap();
        }
        let mut gate = None;
        let running = run_bin(&spec, |on_tracks| {
            let bin = gst::Bin::new();
            bin.add(&inner).unwrap();
            let g = Gate::new(&bin, on_tracks, true);
            let chain = video_chain(VideoCodec::H264).unwrap();
            g.add(Kind::Video, &inner.static_pad("v").unwrap(), &chain)
                .unwrap();
            if !pad_is_late {
                g.add(Kind::Audio, &inner.static_pad("a").unwrap(), &[]).unwrap();
            }
            gate = Some(g);
            bin
        });
        let (has_audio, units) = running.collect(10);
        assert!(has_audio && units.iter().all(|u| u.video));
        if pad_is_late {
            let pad = inner.static_pad("a").unwrap();
            gate.unwrap().add(Kind::Audio, &pad, &[]).unwrap();
        }
        inner.by_name("a").unwrap().set_property("drop", false);
        while !matches!(running.next(), Told::Unit(u) if !u.video && u.caps.to_string().starts_with("audio/x-alaw"))
        {
        }
    }
}

#[test]
fn a_panic_of_the_taker_ends_the_source() {
    let spec = SourceSpec::parse("test:?size=160x120&fps=30&audio=0").unwrap();
    let running = run_bin(&spec, |_| {
        crate::gst::sources::build(
            &spec,
            &crate::gst::source_bin::Around::default(),
            Box::new(|_| panic!("on purpose")),
        )
        .unwrap()
        .bin
    });
    let (cause, _) = running.failure();
    assert_eq!(cause.kind, crate::event::CauseKind::Internal, "{cause:?}");
}
