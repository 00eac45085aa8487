//! One JPEG picture from encoded frames: decode from a keyframe to the wanted frame, scale, encode.

use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;

use super::AccessUnit;
use super::mask::{self, Masking};
use crate::error::{Error, ErrorKind, Result};
use crate::privacy::Privacy;
use crate::track::VideoCodec;

/// An encoded frame as it stands in a segment (length-prefixed NAL units).
#[derive(Debug, Clone)]
pub struct EncodedFrame {
    /// The sample's bytes.
    pub data: bytes::Bytes,
    /// Presentation time within the group, nanoseconds.
    pub pts_ns: u64,
}

/// Frames in decoding order, the first a keyframe, and which of them is wanted.
#[derive(Debug, Clone)]
pub struct PictureGroup {
    /// Codec.
    pub codec: VideoCodec,
    /// Body of the `avcC` or `hvcC` box (ISO/IEC 14496-15).
    pub codec_data: bytes::Bytes,
    /// Size as coded, pixels.
    pub size: (u32, u32),
    /// Frames in decoding order.
    pub frames: Vec<EncodedFrame>,
    /// `pts_ns` of the wanted frame; it is one of `frames`.
    pub wanted_pts_ns: u64,
}

/// How long decoding may take before it is given up.
const DEADLINE: Duration = Duration::from_secs(10);

/// So many frames are decoded before threads could have been started.
const FEW: usize = 2;

/// Most threads that decode one group: each holds frames of its own.
const MOST_THREADS: i32 = 4;

/// Largest picture that is decoded (8K), so that a forged header cannot ask for gigabytes.
const MOST_PIXELS: u64 = 7680 * 4320;

/// A JPEG of one keyframe as a camera sent it, scaled to `width` pixels (aspect kept) if given, of a quality from 1 to 100
/// (85 if not given), with what nobody is to see covered. Blocking.
///
/// # Errors
/// As [`jpeg`].
pub fn jpeg_of(
    unit: &AccessUnit,
    width: Option<u32>,
    quality: Option<u8>,
    privacy: Option<Arc<Privacy>>,
) -> Result<Vec<u8>> {
    let video = &unit.tracks().video;
    let codec_data = unit
        .codec_data()
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the stream has no parameter sets yet"))?;
    let group = PictureGroup {
        codec: video.codec,
        codec_data: bytes::Bytes::copy_from_slice(&codec_data),
        size: (video.width, video.height),
        frames: vec![EncodedFrame {
            data: bytes::Bytes::copy_from_slice(&unit.data()),
            pts_ns: 0,
        }],
        wanted_pts_ns: 0,
    };
    jpeg_of_quality(&group, width, quality, privacy)
}

/// Decodes the wanted frame and encodes it as JPEG, scaled to `width` pixels (aspect kept) if given, with what nobody is to
/// see covered. Blocking.
///
/// # Errors
/// `Unsupported` when a decoder is missing, `Corrupt` when the frames cannot be decoded,
/// `InvalidArgument` for a width outside 16 to 7680.
pub fn jpeg(group: &PictureGroup, width: Option<u32>, privacy: Option<Arc<Privacy>>) -> Result<Vec<u8>> {
    jpeg_of_quality(group, width, None, privacy)
}

fn jpeg_of_quality(
    group: &PictureGroup,
    width: Option<u32>,
    quality: Option<u8>,
    privacy: Option<Arc<Privacy>>,
) -> Result<Vec<u8>> {
    super::init()?;
    let pipeline = gst::Pipeline::new();
    let result = run(&pipeline, group, width, quality, privacy);
    // Also after an error: an element that is not in NULL keeps its threads.
    let _ = pipeline.set_state(gst::State::Null);
    result
}

fn run(
    pipeline: &gst::Pipeline,
    group: &PictureGroup,
    width: Option<u32>,
    quality: Option<u8>,
    privacy: Option<Arc<Privacy>>,
) -> Result<Vec<u8>> {
    let (w, h) = group.size;
    if w == 0 || h == 0 || u64::from(w) * u64::from(h) > MOST_PIXELS {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!("a picture of {w}x{h} pixels is not decoded"),
        ));
    }
    let (media_type, stream_format, decoder) = match group.codec {
        VideoCodec::H264 => ("video/x-h264", "avc", "avdec_h264"),
        VideoCodec::H265 => ("video/x-h265", "hvc1", "avdec_h265"),
    };
    let caps = gst::Caps::builder(media_type)
        .field("stream-format", stream_format)
        .field("alignment", "au")
        .field("codec_data", gst::Buffer::from_slice(group.codec_data.clone()))
        .field("width", i32::try_from(w).unwrap_or(i32::MAX))
        .field("height", i32::try_from(h).unwrap_or(i32::MAX))
        .build();
    let src = gst_app::AppSrc::builder()
        .caps(&caps)
        .format(gst::Format::Time)
        .max_bytes(0)
        .build();
    let decoder = make(decoder)?;
    // Frames of a group are decoded beside each other as far as they do not wait for what they refer to. For a picture
    // alone more threads cost and help nothing.
    let threads = if group.frames.len() > FEW { threads() } else { 1 };
    decoder.set_property("max-threads", threads);
    decoder.set_property_from_str("thread-type", "frame");
    let scale = make("videoscale")?;
    let convert = make("videoconvert")?;
    let filter = make("capsfilter")?;
    if let Some(width) = width {
        if !(16..=7680).contains(&width) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("width {width} is not from 16 to 7680"),
            ));
        }
        let height = (u64::from(width) * u64::from(h) / u64::from(w)).clamp(16, 7680) as u32;
        let even = |n: u32| i32::try_from(n & !1).unwrap_or(16);
        let scaled = gst::Caps::builder("video/x-raw")
            .field("width", even(width))
            .field("height", even(height))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .build();
        filter.set_property("caps", &scaled);
    }
    let encoder = make("jpegenc")?;
    if let Some(quality) = quality {
        encoder.set_property("quality", i32::from(quality.clamp(1, 100)));
    }
    let sink = gst_app::AppSink::builder().sync(false).build();
    let mut chain: Vec<gst::Element> = vec![src.clone().upcast(), decoder.clone()];
    let masking = Masking::of(privacy, group.codec, &group.codec_data);
    chain.extend(mask::elements(masking)?);
    chain.extend([scale, convert, filter, encoder, sink.clone().upcast()]);
    pipeline.add_many(&chain).map_err(internal)?;
    gst::Element::link_many(&chain).map_err(internal)?;

    let wanted = gst::ClockTime::from_nseconds(group.wanted_pts_ns);
    let pad = decoder
        .static_pad("src")
        .ok_or_else(|| internal("decoder without pad"))?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        match info.buffer().and_then(|b| b.pts()) {
            Some(pts) if pts == wanted => gst::PadProbeReturn::Ok,
            _ => gst::PadProbeReturn::Handled,
        }
    });

    pipeline.set_state(gst::State::Playing).map_err(internal)?;
    for (i, frame) in group.frames.iter().enumerate() {
        let mut buffer = gst::Buffer::from_slice(frame.data.clone());
        if let Some(b) = buffer.get_mut() {
            b.set_pts(gst::ClockTime::from_nseconds(frame.pts_ns));
            if i > 0 {
                b.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        src.push_buffer(buffer).map_err(internal)?;
    }
    src.end_of_stream().map_err(internal)?;
    let timeout = gst::ClockTime::from_nseconds(DEADLINE.as_nanos() as u64);
    let sample = sink.try_pull_sample(timeout);
    match sample
        .as_ref()
        .and_then(|s| s.buffer())
        .map(gst::BufferRef::map_readable)
    {
        Some(Ok(map)) => Ok(map.to_vec()),
        _ => {
            let why = pipeline
                .bus()
                .and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]))
                .and_then(|m| match m.view() {
                    gst::MessageView::Error(e) => Some(e.error().to_string()),
                    _ => None,
                })
                .unwrap_or_else(|| "the decoder gave no picture".into());
            Err(Error::new(ErrorKind::Corrupt, format!("snapshot: {why}")))
        }
    }
}

fn threads() -> i32 {
    std::thread::available_parallelism().map_or(1, |n| {
        i32::try_from(n.get()).unwrap_or(MOST_THREADS).min(MOST_THREADS)
    })
}

fn make(name: &str) -> Result<gst::Element> {
    gst::ElementFactory::make(name).build().map_err(|e| {
        Error::new(
            ErrorKind::Unsupported,
            format!("snapshot: element {name} is missing"),
        )
        .with_hint("install gstreamer1.0-plugins-base, gstreamer1.0-plugins-good and gstreamer1.0-libav")
        .with_source(e)
    })
}

fn internal(e: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("snapshot: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Luma of the frames of a group: each this much brighter than the one before.
    const STEP: u8 = 8;

    /// Frames of a real encoder, as `extra` has it, with a keyframe only in the beginning.
    fn group(codec: VideoCodec, extra: &str, n: i32) -> PictureGroup {
        super::super::init().unwrap();
        let encode = match codec {
            VideoCodec::H264 => format!(
                "x264enc key-int-max=100 speed-preset=ultrafast {extra} ! h264parse ! video/x-h264,stream-format=avc"
            ),
            VideoCodec::H265 => format!(
                "x265enc key-int-max=100 speed-preset=ultrafast {extra} ! h265parse ! video/x-h265,stream-format=hvc1"
            ),
        };
        let text = format!(
            "videotestsrc name=src num-buffers={n} pattern=black ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! {encode},alignment=au ! appsink name=out sync=false"
        );
        let pipeline = gst::parse::launch(&text)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let pad = pipeline.by_name("src").unwrap().static_pad("src").unwrap();
        let luma = std::sync::atomic::AtomicU8::new(20);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let luma = luma.fetch_add(STEP, std::sync::atomic::Ordering::Relaxed);
            let mut map = info.buffer_mut().unwrap().make_mut().map_writable().unwrap();
            map[..320 * 240].fill(luma);
            drop(map);
            gst::PadProbeReturn::Ok
        });
        let sink = pipeline
            .by_name("out")
            .unwrap()
            .downcast::<gst_app::AppSink>()
            .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let (mut frames, mut codec_data) = (Vec::new(), None);
        while let Ok(sample) = sink.pull_sample() {
            let s = sample.caps().unwrap().structure(0).unwrap();
            let buffer = s.get::<gst::Buffer>("codec_data").unwrap();
            codec_data = Some(bytes::Bytes::copy_from_slice(&buffer.map_readable().unwrap()));
            let b = sample.buffer().unwrap();
            frames.push(EncodedFrame {
                data: bytes::Bytes::copy_from_slice(&b.map_readable().unwrap()),
                pts_ns: b.pts().unwrap().nseconds(),
            });
        }
        pipeline.set_state(gst::State::Null).unwrap();
        let wanted_pts_ns = frames[0].pts_ns;
        PictureGroup {
            codec,
            codec_data: codec_data.unwrap(),
            size: (320, 240),
            frames,
            wanted_pts_ns,
        }
    }

    /// Luma in the middle of a JPEG.
    fn luma(jpeg: Vec<u8>) -> u8 {
        let pipeline = gst::parse::launch(
            "appsrc name=in caps=image/jpeg ! jpegdec ! video/x-raw,format=I420 ! appsink name=out sync=false",
        )
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
        let source = pipeline
            .by_name("in")
            .unwrap()
            .downcast::<gst_app::AppSrc>()
            .unwrap();
        let sink = pipeline
            .by_name("out")
            .unwrap()
            .downcast::<gst_app::AppSink>()
            .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        source.push_buffer(gst::Buffer::from_slice(jpeg)).unwrap();
        source.end_of_stream().unwrap();
        let sample = sink.pull_sample().unwrap();
        let map = sample.buffer().unwrap().map_readable().unwrap();
        let luma = map[20 * 160 + 60];
        pipeline.set_state(gst::State::Null).unwrap();
        luma
    }

    /// By one thread or several, with all frames before it or only those that it needs: the picture is that of the frame
    /// that was asked for.
    #[test]
    fn each_frame_of_a_group_becomes_its_own_picture() {
        for (codec, extra, some_are_left_out) in [
            (VideoCodec::H264, "bframes=0", false),
            (VideoCodec::H264, "bframes=3 b-pyramid=true b-adapt=false", true),
            (
                VideoCodec::H264,
                "bframes=0 tune=zerolatency sliced-threads=true threads=2",
                false,
            ),
            (VideoCodec::H265, "option-string=bframes=0", false),
            (
                VideoCodec::H265,
                "option-string=bframes=3:b-adapt=0:b-pyramid=1",
                true,
            ),
        ] {
            let all = group(codec, extra, 24);
            let mut left_out = 0;
            let mut shown: Vec<(u64, u8)> = Vec::new();
            for last in 0..all.frames.len() {
                let datas: Vec<&[u8]> = all.frames[..=last].iter().map(|f| &f.data[..]).collect();
                let needed = crate::media::references::needed(codec, &all.codec_data, &datas, last);
                left_out += needed.iter().filter(|n| !**n).count();
                let mut g = all.clone();
                g.wanted_pts_ns = all.frames[last].pts_ns;
                g.frames.truncate(last + 1);
                let whole = jpeg(&g, Some(160), None).unwrap();
                let mut needed = needed.into_iter();
                g.frames.retain(|_| needed.next().unwrap());
                let picture = jpeg(&g, Some(160), None).unwrap();
                assert!(whole == picture, "{codec} {extra}: frame {last} differs");
                shown.push((g.wanted_pts_ns, luma(picture)));
            }
            assert_eq!(left_out > 0, some_are_left_out, "{codec} {extra}");
            shown.sort_unstable();
            assert_eq!(shown.len(), 24);
            for pair in shown.windows(2) {
                let brighter = i32::from(pair[1].1) - i32::from(pair[0].1);
                assert!(
                    (brighter - i32::from(STEP)).abs() <= 4,
                    "{codec} {extra}: {shown:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_masked_is_covered() {
        let mut g = group(VideoCodec::H264, "bframes=0", 24);
        g.wanted_pts_ns = g.frames[23].pts_ns;
        let bright = luma(jpeg(&g, Some(160), None).unwrap());
        assert!(bright > 150, "{bright}");
        // The picture is looked at in its column 60 of 160 and row 20 of 120.
        for (areas, covers) in [
            ("a: 0.3,0.1 0.5,0.1 0.5,0.3 0.3,0.3", true),
            ("a: 0.5,0.5 1,0.5 1,1 0.5,1", false),
        ] {
            let masks = crate::privacy::Privacy::parse_masks(areas).unwrap();
            let privacy = Arc::new(Privacy::new(masks, crate::privacy::MaskStyle::default()));
            let seen = luma(jpeg(&g, Some(160), Some(privacy)).unwrap());
            assert_eq!(seen < 24, covers, "{areas}: {seen}");
        }
    }

    #[test]
    fn rubbish_is_an_error_not_a_hang() {
        let mut g = group(VideoCodec::H264, "bframes=0", 2);
        for f in &mut g.frames {
            f.data = bytes::Bytes::from_static(&[0, 0, 0, 9, 1, 2, 3]);
        }
        assert_eq!(jpeg(&g, None, None).unwrap_err().kind(), ErrorKind::Corrupt);
        g.size = (60000, 60000);
        assert_eq!(jpeg(&g, None, None).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
