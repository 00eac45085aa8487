//! Decoded pictures in colour: kept as the decoder left them, scaled and converted only when somebody looks at them.

use crate::error::{Error, ErrorKind, Result};

/// A decoded picture. Keeping it keeps its memory from the decoder, so not many are kept, and not for long.
#[derive(Clone, Debug)]
pub(crate) struct ColourFrame {
    buffer: gst::Buffer,
    format: gst_video::VideoInfo,
}

/// A picture of packed red, green and blue bytes.
#[derive(Clone, Debug)]
pub(crate) struct Rgb {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Bytes from row to row.
    pub(crate) stride: usize,
    pub(crate) bytes: Vec<u8>,
}

impl ColourFrame {
    pub(super) fn new(buffer: gst::Buffer, format: gst_video::VideoInfo) -> Self {
        Self { buffer, format }
    }
}

/// Makes pictures of one kind of frames; it is made anew when they change.
#[derive(Debug, Default)]
pub(crate) struct RgbMaker(Option<(gst_video::VideoInfo, gst_video::VideoConverter)>);

impl RgbMaker {
    /// The picture scaled to fit into `most` pixels of width and height, the aspect kept, and never enlarged. Takes some
    /// milliseconds.
    ///
    /// # Errors
    /// `Corrupt` for a frame that cannot be converted.
    pub(crate) fn make(&mut self, frame: &ColourFrame, most: (usize, usize)) -> Result<Rgb> {
        let wrong = |e: &dyn std::fmt::Display| {
            let (width, height) = (frame.format.width(), frame.format.height());
            let format = frame.format.format();
            let message = format!("a picture of {width}x{height} in {format:?} cannot be converted: {e}");
            Error::new(ErrorKind::Corrupt, message)
        };
        let (width, height) = fit((frame.format.width(), frame.format.height()), most);
        let fits = |(of, maker): &(gst_video::VideoInfo, gst_video::VideoConverter)| {
            let out = maker.out_info();
            *of == frame.format && (out.width(), out.height()) == (width, height)
        };
        if !self.0.as_ref().is_some_and(fits) {
            // A converter changes neither of these, and is refused where they differ.
            let out = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, width, height)
                .fps(frame.format.fps())
                .interlace_mode(frame.format.interlace_mode())
                .build()
                .map_err(|e| wrong(&e))?;
            let mut config = gst_video::VideoConverterConfig::new();
            config.set_resampler_method(gst_video::VideoResamplerMethod::Linear);
            let maker =
                gst_video::VideoConverter::new(&frame.format, &out, Some(config)).map_err(|e| wrong(&e))?;
            self.0 = Some((frame.format.clone(), maker));
        }
        let Some((_, maker)) = &self.0 else {
            return Err(wrong(&"no converter"));
        };
        let out = maker.out_info().clone();
        let mut made = gst::Buffer::with_size(out.size()).map_err(|e| wrong(&e))?;
        {
            let made = made.get_mut().ok_or_else(|| wrong(&"its memory is shared"))?;
            let from = gst_video::VideoFrameRef::from_buffer_ref_readable(&frame.buffer, &frame.format)
                .map_err(|e| wrong(&e))?;
            let mut to =
                gst_video::VideoFrameRef::from_buffer_ref_writable(made, &out).map_err(|e| wrong(&e))?;
            maker.frame_ref(&from, &mut to);
        }
        let bytes = made.map_readable().map_err(|e| wrong(&e))?.to_vec();
        let stride = out.stride().first().and_then(|s| usize::try_from(*s).ok());
        Ok(Rgb {
            width,
            height,
            stride: stride.ok_or_else(|| wrong(&"no rows"))?,
            bytes,
        })
    }
}

fn fit((width, height): (u32, u32), most: (usize, usize)) -> (u32, u32) {
    let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
    let (most_width, most_height) = (most.0.max(1) as u64, most.1.max(1) as u64);
    let (mut w, mut h) = (width, height);
    if w > most_width {
        (w, h) = (most_width, height * most_width / width);
    }
    if h > most_height {
        (w, h) = (width * most_height / height, most_height);
    }
    let side = |n: u64| u32::try_from(n.max(1)).unwrap_or(u32::MAX);
    (side(w), side(h))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::ColourFrame;

    /// A picture of no particular colour.
    pub(crate) fn colour(width: u32, height: u32) -> ColourFrame {
        crate::gst::init().unwrap();
        let format = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width, height)
            .build()
            .unwrap();
        ColourFrame::new(gst::Buffer::from_slice(vec![128; format.size()]), format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn i420(width: u32, height: u32, yuv: [u8; 3]) -> ColourFrame {
        super::super::init().unwrap();
        let format = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width, height)
            .fps(gst::Fraction::new(25, 1))
            .colorimetry(&gst_video::VideoColorimetry::new(
                gst_video::VideoColorRange::Range16_235,
                gst_video::VideoColorMatrix::Bt709,
                gst_video::VideoTransferFunction::Bt709,
                gst_video::VideoColorPrimaries::Bt709,
            ))
            .build()
            .unwrap();
        let mut bytes = vec![yuv[0]; format.size()];
        let (u, v) = (format.offset()[1], format.offset()[2]);
        bytes[u..v].fill(yuv[1]);
        bytes[v..].fill(yuv[2]);
        ColourFrame::new(gst::Buffer::from_slice(bytes), format)
    }

    #[test]
    fn colours_are_those_of_the_picture_and_sizes_fit() {
        let mut maker = RgbMaker::default();
        // Red, green and blue by BT.709 in limited range.
        for (yuv, rgb) in [
            ([63, 102, 240], [255, 0, 0]),
            ([173, 42, 26], [0, 255, 0]),
            ([32, 240, 118], [0, 0, 255]),
        ] {
            let picture = maker.make(&i420(1920, 1080, yuv), (640, 640)).unwrap();
            assert_eq!((picture.width, picture.height), (640, 360));
            assert!(picture.stride >= 3 * 640 && picture.bytes.len() >= picture.stride * 360);
            let at = picture.stride * 200 + 3 * 300;
            let near = |a: u8, b: u8| a.abs_diff(b) <= 6;
            let have = &picture.bytes[at..at + 3];
            assert!((0..3).all(|n| near(have[n], rgb[n])), "{have:?}, want {rgb:?}");
        }
        // Another size of frames, and one that is not enlarged.
        let small = maker.make(&i420(98, 202, [63, 102, 240]), (640, 101)).unwrap();
        assert_eq!((small.width, small.height), (49, 101));
        let same = maker.make(&i420(98, 202, [63, 102, 240]), (640, 640)).unwrap();
        assert_eq!((same.width, same.height), (98, 202));
        assert_eq!(fit((10_000, 1), (32, 32)), (32, 1));
    }
}
