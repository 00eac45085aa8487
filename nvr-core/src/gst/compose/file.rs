//! A file out of pictures, with sound.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;

use super::{Ending, PATIENCE_NS, internal, stopped};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::archive_encoders::{ArchiveEncoder, ArchiveSettings};
use crate::gst::calm;
use crate::gst::sources::{caps_filter, make, on_pad};
use crate::priority::Priority;

/// A keyframe at least so often.
const GOP_NS: u64 = 2_000_000_000;
/// Samples of sound a second.
const RATE: i32 = 48_000;

/// What a file of pictures is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileSpec<'a> {
    pub(crate) size: (u32, u32),
    /// Pictures a second, as a fraction.
    pub(crate) fps: (u32, u32),
    pub(crate) encoder: &'a ArchiveEncoder,
    pub(crate) settings: &'a ArchiveSettings,
    pub(crate) priority: Option<Priority>,
    /// Whether there is sound.
    pub(crate) sound: bool,
}

/// AAC as it was recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CodedSound {
    /// `AudioSpecificConfig`.
    pub(crate) config: Vec<u8>,
    pub(crate) rate: u32,
    pub(crate) channels: u32,
}

/// An MP4 file of H.264 that grows by pictures at a steady rate.
pub(crate) struct PictureFile {
    pipeline: gst::Pipeline,
    video: gst_app::AppSrc,
    sound: Option<gst_app::AppSrc>,
    ending: Ending,
    fps: (u32, u32),
    encoder: String,
    heard: Option<CodedSound>,
    written: u64,
}

impl std::fmt::Debug for PictureFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PictureFile")
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// How a file came to nothing.
#[derive(Debug)]
pub(crate) enum FileFault {
    /// The encoder failed: another may do it.
    Encoder(String),
    Other(Error),
}

impl From<Error> for FileFault {
    fn from(e: Error) -> Self {
        Self::Other(e)
    }
}

impl PictureFile {
    pub(crate) fn create(path: &Path, spec: FileSpec<'_>) -> Result<Self, FileFault> {
        crate::gst::init()?;
        let pipeline = gst::Pipeline::new();
        let raw = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", i32::try_from(spec.size.0).unwrap_or(i32::MAX))
            .field("height", i32::try_from(spec.size.1).unwrap_or(i32::MAX))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .field(
                "framerate",
                gst::Fraction::new(
                    i32::try_from(spec.fps.0).unwrap_or(25),
                    i32::try_from(spec.fps.1).unwrap_or(1),
                ),
            )
            .build();
        let video = gst_app::AppSrc::builder()
            .caps(&raw)
            .format(gst::Format::Time)
            .max_bytes(0)
            .max_buffers(4)
            .block(true)
            .build();
        let mut chain: Vec<gst::Element> = vec![video.clone().upcast()];
        chain.extend(
            spec.encoder
                .chain(spec.settings)
                .map_err(|e| FileFault::Encoder(e.to_string()))?,
        );
        let encoder = chain.last().cloned().ok_or_else(|| internal("no encoder"))?;
        if let Some(pad) = encoder.static_pad("sink") {
            keyframes(&pad);
        }
        chain.extend(spec.encoder.stream()?);
        chain.push(make("queue")?);
        let (mux, sink) = (make("mp4mux")?, make("filesink")?);
        sink.set_property("location", path);
        sink.set_property("async", false);
        pipeline.add_many(&chain).map_err(internal)?;
        pipeline.add_many([&mux, &sink]).map_err(internal)?;
        chain.extend([mux.clone(), sink]);
        gst::Element::link_many(&chain).map_err(|_| FileFault::Encoder("its formats do not fit".into()))?;
        let sound = if spec.sound {
            Some(sound_branch(&pipeline, &mux)?)
        } else {
            None
        };
        let ending = Ending::watch(&pipeline, spec.priority);
        let this = Self {
            pipeline,
            video,
            sound,
            ending,
            fps: spec.fps,
            encoder: encoder.name().into(),
            heard: None,
            written: 0,
        };
        if this.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(this
                .fault()
                .unwrap_or_else(|| FileFault::Encoder("it does not start".into())));
        }
        Ok(this)
    }

    fn fault(&self) -> Option<FileFault> {
        let (element, words) = self.ending.get()?.err()?;
        Some(if element == self.encoder {
            FileFault::Encoder(words)
        } else if element.starts_with("filesink") {
            FileFault::Other(
                Error::new(ErrorKind::Storage, format!("the file cannot be written: {words}"))
                    .with_hint("see whether the disk is full"),
            )
        } else {
            FileFault::Other(Error::new(ErrorKind::Internal, format!("{element}: {words}")))
        })
    }

    /// The next picture, I420 without padding. Waits while the encoder is busy.
    pub(crate) fn picture(&mut self, data: Vec<u8>) -> Result<(), FileFault> {
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        let at = |n: u64| {
            let ns = u128::from(n) * 1_000_000_000 * u128::from(self.fps.1) / u128::from(self.fps.0.max(1));
            gst::ClockTime::from_nseconds(u64::try_from(ns).unwrap_or(0))
        };
        let (begin, end) = (at(self.written), at(self.written + 1));
        let mut buffer = gst::Buffer::from_mut_slice(data);
        if let Some(b) = buffer.get_mut() {
            b.set_pts(begin);
            b.set_duration(end.saturating_sub(begin));
        }
        self.written += 1;
        let _ = self.video.push_buffer(buffer);
        Ok(())
    }

    /// The next piece of sound, and when it is heard. Holes become silence.
    pub(crate) fn sound(&mut self, what: &CodedSound, at_ns: i64, data: Vec<u8>) {
        let (Some(src), Ok(at)) = (&self.sound, u64::try_from(at_ns)) else {
            return;
        };
        if self.heard.as_ref() != Some(what) {
            src.set_caps(Some(
                &gst::Caps::builder("audio/mpeg")
                    .field("mpegversion", 4i32)
                    .field("stream-format", "raw")
                    .field("framed", true)
                    .field("codec_data", gst::Buffer::from_slice(what.config.clone()))
                    .field("rate", i32::try_from(what.rate).unwrap_or(RATE))
                    .field("channels", i32::try_from(what.channels).unwrap_or(1))
                    .build(),
            ));
            self.heard = Some(what.clone());
        }
        let mut buffer = gst::Buffer::from_mut_slice(data);
        if let Some(b) = buffer.get_mut() {
            b.set_pts(gst::ClockTime::from_nseconds(at));
            let long = 1024 * 1_000_000_000 / u64::from(what.rate.max(1));
            b.set_duration(gst::ClockTime::from_nseconds(long));
        }
        let _ = src.push_buffer(buffer);
    }

    /// No more sound comes.
    pub(crate) fn end_of_sound(&self) {
        if let Some(src) = &self.sound {
            let _ = src.end_of_stream();
        }
    }

    /// Completes the file; gives the number of pictures in it.
    pub(crate) fn finish(self, stop: &dyn Fn() -> bool) -> Result<u64, FileFault> {
        self.end_of_sound();
        let _ = self.video.end_of_stream();
        let clock = SystemClock::new();
        let since = clock.steady_ns();
        loop {
            if let Some(fault) = self.fault() {
                return Err(fault);
            }
            if self.ending.get().is_some() {
                return Ok(self.written);
            }
            if stop() {
                return Err(stopped().into());
            }
            if clock.steady_ns() - since > PATIENCE_NS {
                return Err(FileFault::Encoder("it hangs".into()));
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for PictureFile {
    fn drop(&mut self) {
        calm::stop(&self.pipeline);
    }
}

/// Decoder, what fills holes with silence, and encoder of the sound.
fn sound_branch(pipeline: &gst::Pipeline, mux: &gst::Element) -> Result<gst_app::AppSrc> {
    let src = gst_app::AppSrc::builder()
        .format(gst::Format::Time)
        .max_bytes(0)
        .build();
    let caps = gst::Caps::builder("audio/x-raw")
        .field("rate", RATE)
        .field("channels", 2i32)
        .build();
    // Silence is encoded ahead of the picture up to the next sound.
    let queue = make("queue")?;
    for name in ["max-size-buffers", "max-size-bytes"] {
        queue.set_property(name, 0u32);
    }
    queue.set_property("max-size-time", 0u64);
    let decoder = make("avdec_aac")?;
    decoder.set_property("max-errors", -1i32);
    let rate = make("audiorate")?;
    // Times of what was recorded are rounded to ticks.
    rate.set_property("tolerance", 40_000_000u64);
    let chain = [
        src.clone().upcast(),
        decoder,
        make("audioconvert")?,
        make("audioresample")?,
        caps_filter(&caps)?,
        rate,
        make("audioconvert")?,
        make("avenc_aac")?,
        make("aacparse")?,
        queue,
    ];
    pipeline.add_many(&chain).map_err(internal)?;
    gst::Element::link_many(&chain).map_err(internal)?;
    chain[chain.len() - 1].link(mux).map_err(internal)?;
    Ok(src)
}

/// Asks an encoder for keyframes now and then.
fn keyframes(pad: &gst::Pad) {
    let due = AtomicU64::new(GOP_NS);
    on_pad(pad, gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(pts) = info.buffer().and_then(|b| b.pts())
            && pts.nseconds() >= due.load(Ordering::Relaxed)
        {
            due.store(pts.nseconds() + GOP_NS, Ordering::Relaxed);
            pad.send_event(
                gst_video::DownstreamForceKeyUnitEvent::builder()
                    .running_time(pts)
                    .all_headers(false)
                    .build(),
            );
        }
        gst::PadProbeReturn::Ok
    });
}
