//! A synthetic camera: a picture with clock and frame number, and a soft beep each second.

use gst::prelude::*;
use gst_video::prelude::*;

use super::test_picture::{Luma, Scene, pack};
use super::tracks::{Gate, Kind, audio_chain, video_chain};
use super::{caps_filter, has, link_into, make, on_pad};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::source_bin::OnTracks;
use crate::source::TestSource;
use crate::track::VideoCodec;

pub(super) fn build(spec: &TestSource, on_tracks: OnTracks) -> Result<gst::Bin> {
    let bin = gst::Bin::builder().name("test").build();
    let gate = Gate::new(&bin, on_tracks, spec.audio);
    video(&bin, &gate, spec)?;
    if spec.audio {
        audio(&bin, &gate)?;
    }
    Ok(bin)
}

fn video(bin: &gst::Bin, gate: &std::sync::Arc<Gate>, spec: &TestSource) -> Result<()> {
    let src = make("videotestsrc")?;
    src.set_property("is-live", true);
    let scene = Scene::of(spec);
    let pattern = if scene.is_some() { "black" } else { &spec.pattern };
    let property = src.find_property("pattern");
    let known = property
        .and_then(|p| gst::glib::EnumClass::with_type(p.value_type()))
        .is_some_and(|class| class.value_by_nick(pattern).is_some());
    if !known {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("test: there is no pattern {}", spec.pattern),
        )
        .with_hint("see the property pattern of: gst-inspect-1.0 videotestsrc"));
    }
    src.set_property_from_str("pattern", pattern);

    // Without the format an encoder may choose 4:4:4, which few players show.
    let raw = caps_filter(
        &gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", i32::try_from(spec.size.0).unwrap_or(i32::MAX))
            .field("height", i32::try_from(spec.size.1).unwrap_or(i32::MAX))
            .field(
                "framerate",
                gst::Fraction::new(i32::try_from(spec.frame_rate).unwrap_or(25), 1),
            )
            .build(),
    )?;
    draw_into(&raw, scene);
    let end = link_into(bin, &[src, raw, encoder(spec)?])?;
    gate.add(Kind::Video, &end, &video_chain(spec.codec)?)
}

/// Draws on each picture that leaves `filter`. The clock shown is the wall clock at that moment.
fn draw_into(filter: &gst::Element, scene: Option<Scene>) {
    let Some(pad) = filter.static_pad("src") else {
        return;
    };
    let clock = SystemClock::new();
    let frame = std::sync::atomic::AtomicU64::new(0);
    on_pad(&pad, gst::PadProbeType::BUFFER, move |pad, info| {
        let caps = pad.current_caps();
        let Some(video) = caps
            .as_deref()
            .and_then(|c| gst_video::VideoInfo::from_caps(c).ok())
        else {
            return gst::PadProbeReturn::Ok;
        };
        let Some(buffer) = info.buffer_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        let number = frame.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let Ok(mut picture) = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer.make_mut(), &video)
        else {
            return gst::PadProbeReturn::Ok;
        };
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let stride = picture
            .plane_stride()
            .first()
            .copied()
            .unwrap_or_default()
            .unsigned_abs() as usize;
        if let Ok(data) = picture.plane_data_mut(0) {
            let mut luma = Luma {
                data,
                stride,
                width,
                height,
            };
            if let Some(scene) = &scene {
                scene.draw(&mut luma, number);
                return gst::PadProbeReturn::Ok;
            }
            let now = clock.now();
            let scale = (width / 320).max(1);
            let text = format!("{} #{number}", clock_text(now));
            luma.text(4 * scale, 4 * scale, scale, &text);
            luma.bars(pack(
                number,
                u64::try_from(now.as_ns() / 1_000_000).unwrap_or_default(),
            ));
        }
        gst::PadProbeReturn::Ok
    });
}

fn clock_text(now: crate::time::Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(now.as_ns())).map_or_else(
        |_| String::new(),
        |t| t.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string(),
    )
}

fn encoder(spec: &TestSource) -> Result<gst::Element> {
    let pixels = u64::from(spec.size.0) * u64::from(spec.size.1) * u64::from(spec.frame_rate);
    let kbps = u32::try_from((pixels / 14_000).clamp(100, 50_000)).unwrap_or(50_000);
    Ok(match spec.codec {
        VideoCodec::H264 => {
            let e = make("x264enc")?;
            e.set_property_from_str("tune", "zerolatency");
            e.set_property_from_str("speed-preset", "ultrafast");
            e.set_property("key-int-max", spec.gop);
            e.set_property("bframes", 0u32);
            e.set_property("bitrate", kbps);
            // A thread per camera is enough for what the ultrafast preset costs.
            e.set_property("threads", if pixels > 1920 * 1080 * 30 { 0u32 } else { 1u32 });
            e
        }
        VideoCodec::H265 => {
            let e = make("x265enc")?;
            e.set_property_from_str("tune", "zerolatency");
            e.set_property_from_str("speed-preset", "ultrafast");
            e.set_property("key-int-max", i32::try_from(spec.gop).unwrap_or(i32::MAX));
            e.set_property("bitrate", kbps);
            e.set_property(
                "option-string",
                "bframes=0:scenecut=0:open-gop=0:pools=1:frame-threads=1",
            );
            e
        }
    })
}

fn audio(bin: &gst::Bin, gate: &std::sync::Arc<Gate>) -> Result<()> {
    let src = make("audiotestsrc")?;
    src.set_property("is-live", true);
    src.set_property_from_str("wave", "ticks");
    src.set_property("tick-interval", 1_000_000_000u64);
    src.set_property("sine-periods-per-tick", 80u32);
    src.set_property("freq", 880.0);
    src.set_property("volume", 0.2);
    let raw = caps_filter(
        &gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", 8000)
            .field("channels", 1)
            .build(),
    )?;
    let mut chain = vec![src, raw];
    let mut media = "audio/x-raw";
    if has("alawenc") {
        chain.push(make("alawenc")?);
        media = "audio/x-alaw";
    }
    let end = link_into(bin, &chain)?;
    let parse = audio_chain(&gst::Caps::new_empty_simple(media))?.unwrap_or_default();
    gate.add(Kind::Audio, &end, &parse)
}

#[cfg(test)]
mod tests {
    use super::super::test_picture::read_bars;
    use super::super::testing::{check_video, run};
    use crate::source::SourceSpec;

    fn spec(text: &str) -> SourceSpec {
        SourceSpec::parse(text).unwrap()
    }

    #[test]
    fn h264_with_a_tone_and_a_keyframe_per_gop() {
        let running = run(&spec("test:?size=320x240&fps=30&gop=10"));
        let (audio, units) = running.collect(35);
        assert!(audio);
        check_video(&units);
        let video: Vec<_> = units.iter().filter(|u| u.video).collect();
        for (i, u) in video.iter().enumerate() {
            assert_eq!(u.key, i % 10 == 0, "frame {i}");
        }
        let gap = video[20].pts_ns.unwrap() - video[19].pts_ns.unwrap();
        assert!((33_333_332..=33_333_334).contains(&gap), "{gap}");
        assert!(
            units
                .iter()
                .any(|u| !u.video && u.caps.to_string().starts_with("audio/x-alaw"))
        );
    }

    #[test]
    fn h265_without_audio() {
        let running = run(&spec("test:?size=320x240&fps=15&gop=5&audio=0&codec=h265"));
        let (audio, units) = running.collect(7);
        assert!(!audio);
        check_video(&units);
        assert!(units[0].caps.to_string().contains("hvc1"));
        assert_eq!(units.iter().filter(|u| u.key).count(), 2);
    }

    #[test]
    fn the_frame_number_survives_the_codec() {
        let running = run(&spec("test:?size=640x360&fps=20&gop=10&audio=0"));
        let (_, units) = running.collect(12);
        let frames = super::super::testing::decode(&units);
        let numbers: Vec<u16> = frames
            .iter()
            .map(|f| read_bars(&f.luma, f.stride, 640, 360).unwrap().0)
            .collect();
        assert_eq!(numbers, (0..12).collect::<Vec<u16>>());
    }

    #[test]
    fn an_unknown_pattern_is_refused() {
        let e = crate::gst::sources::build(
            &spec("test:?pattern=nosuch"),
            &crate::gst::source_bin::Around::default(),
            Box::new(|_| {}),
        )
        .unwrap_err();
        assert_eq!(e.kind(), crate::error::ErrorKind::InvalidArgument);
    }
}
