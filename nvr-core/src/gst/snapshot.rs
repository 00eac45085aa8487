//! One JPEG picture from encoded frames: decode from a keyframe to the wanted frame, scale, encode.

use std::time::Duration;

use gst::prelude::*;

use super::AccessUnit;
use crate::error::{Error, ErrorKind, Result};
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

/// Largest picture that is decoded (8K), so that a forged header cannot ask for gigabytes.
const MOST_PIXELS: u64 = 7680 * 4320;

/// A JPEG of one keyframe as a camera sent it, scaled to `width` pixels (aspect kept) if given. Blocking.
///
/// # Errors
/// As [`jpeg`].
pub fn jpeg_of(unit: &AccessUnit, width: Option<u32>) -> Result<Vec<u8>> {
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
    jpeg(&group, width)
}

/// Decodes the wanted frame and encodes it as JPEG, scaled to `width` pixels (aspect kept) if given.
/// Blocking.
///
/// # Errors
/// `Unsupported` when a decoder is missing, `Corrupt` when the frames cannot be decoded,
/// `InvalidArgument` for a width outside 16 to 7680.
pub fn jpeg(group: &PictureGroup, width: Option<u32>) -> Result<Vec<u8>> {
    super::init()?;
    let pipeline = gst::Pipeline::new();
    let result = run(&pipeline, group, width);
    // Also after an error: an element that is not in NULL keeps its threads.
    let _ = pipeline.set_state(gst::State::Null);
    result
}

fn run(pipeline: &gst::Pipeline, group: &PictureGroup, width: Option<u32>) -> Result<Vec<u8>> {
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
    // Frame threads would add a frame of delay each and start-up cost; one picture needs neither.
    decoder.set_property("max-threads", 1i32);
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
    let sink = gst_app::AppSink::builder().sync(false).build();
    let chain = [
        src.upcast_ref(),
        &decoder,
        &scale,
        &convert,
        &filter,
        &encoder,
        sink.upcast_ref::<gst::Element>(),
    ];
    pipeline.add_many(chain).map_err(internal)?;
    gst::Element::link_many(chain).map_err(internal)?;

    let wanted = gst::ClockTime::from_nseconds(group.wanted_pts_ns);
    let pad = decoder
        .static_pad("src")
        .ok_or_else(|| internal("decoder without pad"))?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        match info.buffer().and_then(|b| b.pts()) {
            Some(pts) if pts == wanted => gst::PadProbeReturn::Ok,
            _ => gst::PadProbeReturn::Drop,
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

    /// Frames of a real encoder, without and with B-frames.
    fn group(codec: VideoCodec, b_frames: u32, n: i32) -> PictureGroup {
        super::super::init().unwrap();
        let encode = match codec {
            VideoCodec::H264 => format!(
                "x264enc key-int-max=100 bframes={b_frames} speed-preset=ultrafast ! h264parse ! video/x-h264,stream-format=avc"
            ),
            VideoCodec::H265 => {
                "x265enc speed-preset=ultrafast ! h265parse ! video/x-h265,stream-format=hvc1".to_owned()
            }
        };
        let text = format!(
            "videotestsrc num-buffers={n} pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! {encode},alignment=au ! appsink name=out sync=false"
        );
        let pipeline = gst::parse::launch(&text)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
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

    #[test]
    fn any_frame_of_a_group_becomes_a_picture() {
        for (codec, b_frames) in [
            (VideoCodec::H264, 0),
            (VideoCodec::H264, 2),
            (VideoCodec::H265, 0),
        ] {
            let mut g = group(codec, b_frames, 12);
            let mut seen = Vec::new();
            for i in [0, 5, 11] {
                g.wanted_pts_ns = g.frames[i].pts_ns;
                let picture = jpeg(&g, Some(160)).unwrap();
                assert_eq!(&picture[..2], &[0xff, 0xd8], "{codec} {i}");
                seen.push(picture);
            }
            assert_ne!(seen[0], seen[2], "the ball moves");
        }
    }

    #[test]
    fn rubbish_is_an_error_not_a_hang() {
        let mut g = group(VideoCodec::H264, 0, 2);
        for f in &mut g.frames {
            f.data = bytes::Bytes::from_static(&[0, 0, 0, 9, 1, 2, 3]);
        }
        assert_eq!(jpeg(&g, None).unwrap_err().kind(), ErrorKind::Corrupt);
        g.size = (60000, 60000);
        assert_eq!(jpeg(&g, None).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
