//! A JPEG made smaller.

use std::time::Duration;

use gst::prelude::*;

use super::sources::{caps_filter, jpeg_size, make};
use crate::error::{Error, ErrorKind, Result};

/// How long it may take before it is given up.
const DEADLINE: Duration = Duration::from_secs(10);
/// Quality of the smaller one.
const QUALITY: i32 = 80;

/// A picture `width` pixels wide (16 to 7680), its aspect kept; as it is when it is no wider than that. Blocking.
///
/// # Errors
/// `Corrupt` when it is no whole JPEG of a sensible size, `InvalidArgument` for another width.
pub fn shrink(jpeg: Vec<u8>, width: u32) -> Result<Vec<u8>> {
    if !(16..=7680).contains(&width) {
        let message = format!("width {width} is not from 16 to 7680");
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let (w, h) = jpeg_size(&jpeg).ok_or_else(|| Error::new(ErrorKind::Corrupt, "this is no whole JPEG"))?;
    if w <= width {
        return Ok(jpeg);
    }
    super::init()?;
    let pipeline = gst::Pipeline::new();
    let height = (u64::from(width) * u64::from(h) / u64::from(w)).clamp(16, 7680) as u32;
    let made = run(&pipeline, jpeg, (width & !1, height & !1));
    // Also after an error: an element that is not in NULL keeps its threads.
    let _ = pipeline.set_state(gst::State::Null);
    made
}

fn run(pipeline: &gst::Pipeline, jpeg: Vec<u8>, (width, height): (u32, u32)) -> Result<Vec<u8>> {
    let scaled = gst::Caps::builder("video/x-raw")
        .field("width", i32::try_from(width).unwrap_or(16))
        .field("height", i32::try_from(height).unwrap_or(16))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build();
    let encoder = make("jpegenc")?;
    encoder.set_property("quality", QUALITY);
    let chain = [
        make("jpegdec")?,
        make("videoscale")?,
        make("videoconvert")?,
        caps_filter(&scaled)?,
        encoder,
    ];
    let sample = through(pipeline, jpeg, "image/jpeg", &chain)?;
    let buffer = sample.as_ref().and_then(|s| s.buffer());
    match buffer.map(gst::BufferRef::map_readable) {
        Some(Ok(map)) => Ok(map.to_vec()),
        _ => Err(Error::new(ErrorKind::Corrupt, "the picture cannot be decoded")),
    }
}

/// What becomes of the bytes of one picture that go through these elements; `None` when nothing does in time. The pipeline is
/// left playing.
///
/// # Errors
/// `Internal` when the elements do not fit together.
pub(super) fn through(
    pipeline: &gst::Pipeline,
    bytes: Vec<u8>,
    media_type: &str,
    elements: &[gst::Element],
) -> Result<Option<gst::Sample>> {
    let internal = |e: &dyn std::fmt::Display| Error::new(ErrorKind::Internal, format!("picture: {e}"));
    let src = gst_app::AppSrc::builder()
        .caps(&gst::Caps::new_empty_simple(media_type))
        .format(gst::Format::Time)
        .build();
    let sink = gst_app::AppSink::builder().sync(false).build();
    let mut chain: Vec<gst::Element> = vec![src.clone().upcast()];
    chain.extend_from_slice(elements);
    chain.push(sink.clone().upcast());
    pipeline.add_many(&chain).map_err(|e| internal(&e))?;
    gst::Element::link_many(&chain).map_err(|e| internal(&e))?;
    pipeline
        .set_state(gst::State::Playing)
        .map_err(|e| internal(&e))?;
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    if let Some(b) = buffer.get_mut() {
        b.set_pts(gst::ClockTime::ZERO);
    }
    src.push_buffer(buffer).map_err(|e| internal(&e))?;
    src.end_of_stream().map_err(|e| internal(&e))?;
    Ok(sink.try_pull_sample(gst::ClockTime::from_nseconds(DEADLINE.as_nanos() as u64)))
}

/// The file that elements make of one test picture.
#[cfg(test)]
pub(super) fn made(elements: &str) -> Vec<u8> {
    crate::gst::init().unwrap();
    let text = format!("videotestsrc num-buffers=1 {elements} ! appsink name=out sync=false");
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
    let sample = sink.pull_sample().unwrap();
    let bytes = sample.buffer().unwrap().map_readable().unwrap().to_vec();
    pipeline.set_state(gst::State::Null).unwrap();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(width: u32, height: u32) -> Vec<u8> {
        made(&format!(
            "! video/x-raw,format=I420,width={width},height={height} ! jpegenc"
        ))
    }

    #[test]
    fn a_picture_keeps_its_aspect_and_is_never_made_larger() {
        let large = jpeg(640, 360);
        assert_eq!(jpeg_size(&large), Some((640, 360)));
        let small = shrink(large.clone(), 160).unwrap();
        assert_eq!(jpeg_size(&small), Some((160, 90)));
        assert!(small.len() < large.len());
        assert_eq!(shrink(small.clone(), 320).unwrap(), small);
        assert_eq!(
            shrink(large.clone(), 8).unwrap_err().kind(),
            ErrorKind::InvalidArgument
        );
        let cut = large[..large.len() / 2].to_vec();
        assert_eq!(shrink(cut, 160).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
