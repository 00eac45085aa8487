//! Pictures out of coded video, and one file out of pictures: what a merged file and a time-lapse are made with.
//!
//! Pictures are I420 without padding at one size, so that putting them beside each other is copying of rows; GStreamer's
//! `compositor` blends, which costs several times as much. Times, layout and files are none of its business.

mod file;

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gst_video::VideoFrameExt as _;

pub(crate) use self::file::{CodedSound, FileFault, FileSpec, PictureFile};
use super::calm::{self, Said};
use super::mask::{self, Masking};
use super::recode::{CodedFrame, CodedVideo, coded_caps, decoder};
use super::sources::{caps_filter, make};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::priority::Priority;
use crate::privacy::Privacy;

/// Frames on their way through a decoder.
const AHEAD: u64 = 32;
/// How long is waited before it is looked whether to go on.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(20);
/// A pipeline that does nothing for so long hangs.
const PATIENCE_NS: i64 = 90_000_000_000;
/// Largest picture that is decoded (8K), so that a forged header cannot ask for gigabytes.
const MOST_PIXELS: u64 = 7680 * 4320;

/// The end of a pipeline, or the element that failed and its words.
type End = std::result::Result<(), (String, String)>;

/// Why a pipeline ended.
#[derive(Clone, Default)]
struct Ending(Arc<Mutex<Option<End>>>);

impl Ending {
    fn watch(pipeline: &gst::Pipeline, priority: Option<Priority>) -> Self {
        let ending = Self::default();
        let told = ending.clone();
        calm::background(pipeline, priority, move |said| {
            let mut held = told.0.lock().unwrap_or_else(PoisonError::into_inner);
            match said {
                Said::Eos => drop(held.get_or_insert(Ok(()))),
                Said::Error(element, words) => drop(held.get_or_insert(Err((element, words)))),
            }
        });
        ending
    }

    fn get(&self) -> Option<End> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fault(&self) -> Option<String> {
        match self.get()? {
            Ok(()) => None,
            Err((element, words)) => Some(format!("{element}: {words}")),
        }
    }
}

fn internal(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, "cannot set up a pipeline of pictures").with_source(e)
}

pub(crate) fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "it was asked to stop")
}

/// A decoded picture at the size that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    buffer: gst::Buffer,
    info: gst_video::VideoInfo,
    /// As the frame that it was made of.
    pub(crate) pts_ns: i64,
}

impl Picture {
    /// Copies it into a picture of `size` (I420 without padding) with its upper left corner at `at`; both are even.
    pub(crate) fn copy_into(&self, out: &mut [u8], size: (u32, u32), at: (u32, u32)) {
        let Ok(frame) = gst_video::VideoFrameRef::from_buffer_ref_readable(&self.buffer, &self.info) else {
            return;
        };
        let (mut begin, planes) = (0, [(1, 0), (2, 1), (2, 2)]);
        for (part, plane) in planes {
            let wide = (size.0 / part) as usize;
            let high = (size.1 / part) as usize;
            let (x, y) = ((at.0 / part) as usize, (at.1 / part) as usize);
            let (w, h) = (
                (self.info.width() / part) as usize,
                (self.info.height() / part) as usize,
            );
            let stride = usize::try_from(frame.plane_stride()[plane]).unwrap_or(0);
            if let Ok(data) = frame.plane_data(plane as u32) {
                for row in 0..h.min(high.saturating_sub(y)) {
                    let to = begin + (y + row) * wide + x;
                    let n = w.min(wide.saturating_sub(x));
                    if let (Some(to), Some(from)) =
                        (out.get_mut(to..to + n), data.get(row * stride..row * stride + n))
                    {
                        to.copy_from_slice(from);
                    }
                }
            }
            begin += wide * high;
        }
    }
}

/// A picture of `size`, black, I420 without padding.
pub(crate) fn black(size: (u32, u32)) -> Vec<u8> {
    let luma = size.0 as usize * size.1 as usize;
    let mut out = vec![16; luma];
    out.resize(luma + luma / 2, 128);
    out
}

/// Makes a part of a picture of `size` black, with a name in its middle; all numbers are even.
pub(crate) fn name_plate(out: &mut [u8], size: (u32, u32), at: (u32, u32), part: (u32, u32), name: &str) {
    let mut begin = 0;
    for (shift, value) in [(0, 16), (1, 128), (1, 128)] {
        let (wide, high) = ((size.0 >> shift) as usize, (size.1 >> shift) as usize);
        let (x, y) = ((at.0 >> shift) as usize, (at.1 >> shift) as usize);
        for row in 0..(part.1 >> shift) as usize {
            let to = begin + (y + row) * wide + x;
            if let Some(dots) = out.get_mut(to..to + (part.0 >> shift) as usize) {
                dots.fill(value);
            }
        }
        begin += wide * high;
    }
    let (w, h) = (part.0 as usize, part.1 as usize);
    let length = name.len().max(1) * 6;
    let scale = (w / 2 / length).min(h / 60).max(1);
    let x = at.0 as usize + w.saturating_sub((length + 1) * scale) / 2;
    let y = at.1 as usize + h.saturating_sub(9 * scale) / 2;
    super::sources::test_picture::Luma {
        data: out,
        stride: size.0 as usize,
        width: at.0 as usize + w,
        height: at.1 as usize + h,
    }
    .text(x, y, scale, name);
}

/// Decodes one stretch of video into pictures of a size, with bars where the shape is another.
pub(crate) struct PictureReader {
    pipeline: gst::Pipeline,
    src: gst_app::AppSrc,
    sink: gst_app::AppSink,
    ending: Ending,
    given: u64,
    taken: u64,
    ended: bool,
    clock: SystemClock,
}

impl std::fmt::Debug for PictureReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PictureReader")
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

impl PictureReader {
    /// Of JPEG pictures, each a frame of its own; `size` is even. They may be of before the masks.
    pub(crate) fn of_jpegs(
        size: (u32, u32),
        privacy: Option<Arc<Privacy>>,
        priority: Option<Priority>,
    ) -> Result<Self> {
        super::init()?;
        let caps = gst::Caps::builder("image/jpeg")
            .field("framerate", gst::Fraction::new(25, 1))
            .build();
        let decoder = make("jpegdec")?;
        decoder.set_property("max-errors", -1i32);
        let mut decoders = vec![decoder];
        decoders.extend(mask::elements(Masking::of_jpeg(privacy))?);
        Self::build(&caps, decoders, size, priority)
    }

    /// `size` is even.
    pub(crate) fn new(
        video: &CodedVideo,
        size: (u32, u32),
        privacy: Option<Arc<Privacy>>,
        priority: Option<Priority>,
    ) -> Result<Self> {
        super::init()?;
        let (w, h) = video.size;
        if w == 0 || h == 0 || u64::from(w) * u64::from(h) > MOST_PIXELS {
            let what = format!("a picture of {w}x{h} pixels is not decoded");
            return Err(Error::new(ErrorKind::Corrupt, what));
        }
        let [parser, decoder] = decoder(video.codec)?;
        decoder.set_property("max-errors", -1i32);
        let mut decoders = vec![parser, decoder];
        decoders.extend(mask::elements(Masking::of(
            privacy,
            video.codec,
            &video.codec_data,
        ))?);
        Self::build(&coded_caps(video), decoders, size, priority)
    }

    fn build(
        coded: &gst::Caps,
        decoders: Vec<gst::Element>,
        size: (u32, u32),
        priority: Option<Priority>,
    ) -> Result<Self> {
        let src = gst_app::AppSrc::builder()
            .caps(coded)
            .format(gst::Format::Time)
            .max_bytes(0)
            .build();
        let scale = make("videoscale")?;
        scale.set_property("add-borders", true);
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", i32::try_from(size.0).unwrap_or(i32::MAX))
            .field("height", i32::try_from(size.1).unwrap_or(i32::MAX))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .build();
        let sink = gst_app::AppSink::builder().sync(false).max_buffers(6).build();
        let mut chain: Vec<gst::Element> = vec![src.clone().upcast()];
        chain.extend(decoders);
        chain.extend([
            scale,
            make("videoconvert")?,
            caps_filter(&caps)?,
            sink.clone().upcast::<gst::Element>(),
        ]);
        let pipeline = gst::Pipeline::new();
        pipeline.add_many(&chain).map_err(internal)?;
        gst::Element::link_many(&chain).map_err(internal)?;
        let ending = Ending::watch(&pipeline, priority);
        let this = Self {
            pipeline,
            src,
            sink,
            ending,
            given: 0,
            taken: 0,
            ended: false,
            clock: SystemClock::new(),
        };
        this.pipeline.set_state(gst::State::Playing).map_err(internal)?;
        Ok(this)
    }

    /// The next picture in the order of presentation; `feed` gives frames in decode order.
    ///
    /// # Errors
    /// `Unavailable` when `stop` says so, `Corrupt` when nothing can be decoded any more, and what `feed` fails with.
    pub(crate) fn next(
        &mut self,
        feed: &mut dyn FnMut() -> Result<Option<CodedFrame>>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Picture>> {
        let since = self.clock.steady_ns();
        // Frames that give no picture must not keep others out.
        let mut more = 0;
        loop {
            if stop() {
                return Err(stopped());
            }
            if let Some(why) = self.ending.fault() {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("it cannot be decoded: {why}"),
                ));
            }
            while !self.ended && self.given < self.taken + AHEAD + more {
                match feed()? {
                    Some(frame) => self.push(frame)?,
                    None => {
                        self.ended = true;
                        self.src.end_of_stream().map_err(internal)?;
                    }
                }
            }
            if let Some(sample) = self.sink.try_pull_sample(LOOK) {
                self.taken += 1;
                return picture(&sample).map(Some);
            }
            if self.sink.is_eos() {
                return Ok(None);
            }
            more += 1;
            if self.clock.steady_ns() - since > PATIENCE_NS {
                return Err(Error::new(ErrorKind::Corrupt, "decoding it hangs"));
            }
        }
    }

    fn push(&mut self, frame: CodedFrame) -> Result<()> {
        let pts = u64::try_from(frame.pts_ns).unwrap_or(0);
        let mut buffer = gst::Buffer::from_mut_slice(frame.data);
        if let Some(b) = buffer.get_mut() {
            b.set_pts(gst::ClockTime::from_nseconds(pts));
            if !frame.keyframe {
                b.set_flags(gst::BufferFlags::DELTA_UNIT);
            } else if self.given == 0 {
                b.set_flags(gst::BufferFlags::DISCONT);
            }
        }
        self.given += 1;
        // What went wrong comes over the bus.
        let _ = self.src.push_buffer(buffer);
        Ok(())
    }
}

fn picture(sample: &gst::Sample) -> Result<Picture> {
    let caps = sample
        .caps()
        .ok_or_else(|| internal("a picture without a format"))?;
    let info = gst_video::VideoInfo::from_caps(caps).map_err(internal)?;
    let buffer = sample
        .buffer_owned()
        .ok_or_else(|| internal("an empty picture"))?;
    let pts_ns = buffer
        .pts()
        .map_or(0, |t| i64::try_from(t.nseconds()).unwrap_or(0));
    Ok(Picture { buffer, info, pts_ns })
}

impl Drop for PictureReader {
    fn drop(&mut self) {
        calm::stop(&self.pipeline);
    }
}
