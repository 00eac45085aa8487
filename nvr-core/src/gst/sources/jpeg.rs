//! JPEG pictures from cameras: looked at before they are decoded, since a header may claim any size and a cut
//! picture confuses GStreamer's parser so much that it gives up the stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;

use super::cause::SourceError;
use super::tracks::Gate;
use super::{make, on_pad};
use crate::error::Result;

/// Longest side of a picture, as in the H.264 encoders.
const MAX_SIDE: u16 = 8192;

/// How many unusable pictures in a row are taken for a stream of another kind.
const MAX_BAD: u64 = 100;

/// A decoder that forgives: a broken picture is left out, the stream goes on.
pub(super) fn decoder() -> Result<gst::Element> {
    let dec = make("jpegdec")?;
    if dec.find_property("max-errors").is_some() {
        dec.set_property("max-errors", -1i32);
    }
    Ok(dec)
}

/// What is found in a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub width: u16,
    pub height: u16,
    /// Bytes up to the end-of-image marker.
    pub length: usize,
}

/// Finds a whole picture at the start of `data` (ITU-T T.81, annex B); `None` when there is none.
pub(super) fn inspect(data: &[u8]) -> Option<Picture> {
    let mut at = 2;
    if data.get(..2)? != [0xFF, 0xD8] {
        return None;
    }
    let mut size = None;
    loop {
        let marker = match *data.get(at..at + 2)? {
            [0xFF, 0xFF] => {
                at += 1;
                continue;
            }
            [0xFF, marker] => marker,
            _ => return None,
        };
        let length = usize::from(u16::from_be_bytes([*data.get(at + 2)?, *data.get(at + 3)?]));
        match marker {
            // Start of frame, all but the differential and the lossless kinds that no decoder here takes.
            0xC0..=0xC2 => {
                let height = u16::from_be_bytes([*data.get(at + 5)?, *data.get(at + 6)?]);
                let width = u16::from_be_bytes([*data.get(at + 7)?, *data.get(at + 8)?]);
                size = Some((width, height));
            }
            // Start of scan: the pixels, up to the end marker.
            0xDA => {
                let end = find_end(data, at + 2)?;
                let (width, height) = size?;
                return (width > 0 && height > 0).then_some(Picture {
                    width,
                    height,
                    length: end,
                });
            }
            0xD8 | 0xD9 => return None,
            _ => {}
        }
        at += 2 + length.max(2);
    }
}

/// Largest picture that is decoded (8K), so that a forged header cannot ask for gigabytes.
const MOST_PIXELS: u64 = 7680 * 4320;

/// The size of a whole picture of a sensible size, pixels.
pub(crate) fn jpeg_size(data: &[u8]) -> Option<(u32, u32)> {
    let picture = inspect(data)?;
    let (width, height) = (u32::from(picture.width), u32::from(picture.height));
    (u64::from(width) * u64::from(height) <= MOST_PIXELS).then_some((width, height))
}

/// Where the end-of-image marker ends; stuffing makes it unique within the pixels.
fn find_end(data: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += data
            .get(at..)?
            .windows(2)
            .position(|w| w[0] == 0xFF && !matches!(w[1], 0 | 0xFF | 0xD0..=0xD7))?;
        match data[at + 1] {
            0xD9 => return Some(at + 2),
            // Another picture begins: this one was cut.
            0xD8 => return None,
            _ => at += 2,
        }
    }
}

/// Lets only whole pictures of a sensible size through `pad`, and says in the caps that they are whole.
pub(super) fn guard(pad: &gst::Pad, gate: &Arc<Gate>) {
    let gate = Arc::clone(gate);
    let bad = AtomicU64::new(0);
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    on_pad(pad, types, move |_, info| match &mut info.data {
        Some(gst::PadProbeData::Buffer(buffer)) => {
            let found = buffer.map_readable().ok().and_then(|data| inspect(&data));
            let Some(picture) = found else {
                tracing::debug!("a broken JPEG picture is left out");
                if bad.fetch_add(1, Ordering::Relaxed) == MAX_BAD {
                    gate.fail(SourceError::Bad, "nothing but broken JPEG pictures");
                }
                return gst::PadProbeReturn::Handled;
            };
            if picture.width > MAX_SIDE || picture.height > MAX_SIDE {
                let words = format!("pictures of {}x{} are too large", picture.width, picture.height);
                gate.fail(SourceError::Unsupported, &words);
                return gst::PadProbeReturn::Handled;
            }
            bad.store(0, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        }
        Some(gst::PadProbeData::Event(event)) => {
            if let gst::EventView::Caps(caps) = event.view() {
                let mut caps = caps.caps_owned();
                if let Some(s) = caps.make_mut().structure_mut(0) {
                    s.set("parsed", true);
                    if !s.has_field("framerate") {
                        s.set("framerate", gst::Fraction::new(0, 1));
                    }
                }
                *event = gst::event::Caps::new(&caps);
            }
            gst::PadProbeReturn::Ok
        }
        _ => gst::PadProbeReturn::Ok,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Header only, as far as it is looked at.
    fn tiny(width: u16, height: u16) -> Vec<u8> {
        let mut v = vec![0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF, 0xFF, 0xC0, 0, 11, 8];
        v.extend(height.to_be_bytes());
        v.extend(width.to_be_bytes());
        v.extend([
            1, 1, 0x11, 0, 0xFF, 0xDA, 0, 2, 1, 0xFF, 0, 2, 0xFF, 0xD3, 3, 0xFF, 0xD9,
        ]);
        v
    }

    #[test]
    fn whole_pictures_are_told_from_cut_ones() {
        let whole = tiny(640, 480);
        let length = whole.len();
        assert_eq!(
            inspect(&whole),
            Some(Picture {
                width: 640,
                height: 480,
                length
            })
        );
        let padded = [whole.as_slice(), &[0; 9]].concat();
        assert_eq!(inspect(&padded).unwrap().length, length);
        for n in 0..length {
            assert_eq!(inspect(&whole[..n]), None, "cut at {n}");
        }
        let merged = [&whole[..length - 2], whole.as_slice()].concat();
        assert_eq!(inspect(&merged), None);
        assert_eq!(inspect(&tiny(0, 480)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = inspect(&data);
            data.splice(0..0, [0xFF, 0xD8]);
            if let Some(p) = inspect(&data) {
                prop_assert!(p.length <= data.len());
            }
        }
    }
}
