//! A picture file, decoded.

use gst::prelude::*;

use super::colour::Rgb;
use super::shrink::through;
use super::sources::{caps_filter, jpeg_size, make};
use crate::error::{Error, ErrorKind, Result};

/// Largest picture that is decoded (8K), so that a forged head cannot ask for gigabytes.
const MOST_PIXELS: u64 = 7680 * 4320;

/// The pixels of a JPEG or PNG. Blocking.
///
/// # Errors
/// `Unsupported` for what is neither, `Corrupt` for one that cannot be decoded or has more pixels than 8K.
pub(crate) fn read_picture(bytes: Vec<u8>) -> Result<Rgb> {
    let (media_type, decoder, size) = if let Some(size) = jpeg_size(&bytes) {
        ("image/jpeg", "jpegdec", size)
    } else if let Some(size) = png_size(&bytes) {
        ("image/png", "pngdec", size)
    } else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "this is no whole JPEG and no PNG",
        ));
    };
    if u64::from(size.0) * u64::from(size.1) > MOST_PIXELS {
        let message = format!("a picture of {}x{} pixels is not decoded", size.0, size.1);
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    super::init()?;
    let pipeline = gst::Pipeline::new();
    let read = run(&pipeline, bytes, media_type, decoder);
    // Also after an error: an element that is not in NULL keeps its threads.
    let _ = pipeline.set_state(gst::State::Null);
    read
}

/// Width and height by the first chunk (PNG specification, 11.2.1).
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let number = |at: usize| Some(u32::from_be_bytes(rest.get(at..at + 4)?.try_into().ok()?));
    (rest.get(4..8)? == b"IHDR").then_some((number(8)?, number(12)?))
}

fn run(pipeline: &gst::Pipeline, bytes: Vec<u8>, media_type: &str, decoder: &str) -> Result<Rgb> {
    let corrupt = || Error::new(ErrorKind::Corrupt, "the picture cannot be decoded");
    let rgb = gst::Caps::builder("video/x-raw").field("format", "RGB").build();
    let chain = [make(decoder)?, make("videoconvert")?, caps_filter(&rgb)?];
    let sample = through(pipeline, bytes, media_type, &chain)?.ok_or_else(corrupt)?;
    let info = sample
        .caps()
        .and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok())
        .ok_or_else(corrupt)?;
    let map = sample
        .buffer()
        .and_then(|b| b.map_readable().ok())
        .ok_or_else(corrupt)?;
    Ok(Rgb {
        width: info.width(),
        height: info.height(),
        stride: usize::try_from(info.stride().first().copied().unwrap_or_default()).map_err(|_| corrupt())?,
        bytes: map.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(encoder: &str) -> Vec<u8> {
        crate::gst::shrink::made(&format!(
            "pattern=red ! video/x-raw,width=66,height=50 ! videoconvert ! {encoder}"
        ))
    }

    #[test]
    fn both_kinds_become_pixels_and_nothing_else_does() {
        for encoder in ["jpegenc", "pngenc"] {
            let file = made(encoder);
            let picture = read_picture(file.clone()).unwrap();
            assert_eq!((picture.width, picture.height), (66, 50), "{encoder}");
            assert!(picture.stride >= 3 * 66);
            let middle = &picture.bytes[25 * picture.stride + 33 * 3..][..3];
            assert!(middle[0] > 220 && middle[1] < 30 && middle[2] < 30, "{middle:?}");
            let cut = read_picture(file[..file.len() / 3].to_vec());
            assert!(cut.is_err(), "{encoder}: {cut:?}");
        }
        let neither = read_picture(b"GIF89a".to_vec()).unwrap_err();
        assert_eq!(neither.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_forged_size_is_refused_before_anything_is_decoded() {
        let mut file = made("pngenc");
        file[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
        file[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
        assert_eq!(read_picture(file).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
