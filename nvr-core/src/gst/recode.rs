//! From one coded video to another: decode, encode, hand back each frame with the time that it came with.
//!
//! Frames go in one by one in decode order and come out one by one in the order of presentation, with exactly the
//! times that they came in with: nothing here makes a time from a frame rate. Keyframes come where they came.
//! Files, chunks and policy are none of its business.

mod parts;

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::prelude::*;

use self::parts::{ask_for_keyframes, fitted, watch_decoder};
pub(super) use self::parts::{coded_caps, decoder, unfit};
use super::archive_encoders::{ArchiveEncoder, ArchiveSettings};
use super::calm::{self, Said};
use super::mask::{self, Masking};
use super::sources::make;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::priority::Priority;
use crate::privacy::Privacy;
use crate::track::VideoCodec;

/// Frames between the feeder and the decoder: enough to keep it busy, few enough to hold in memory.
const AHEAD: u64 = 48;
/// How long to wait for a frame before looking whether to go on.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(10);
/// A pipeline that does nothing for so long hangs.
const PATIENCE_NS: i64 = 90_000_000_000;
/// Added to all times on their way in. Encoders that want room for decode times before zero (x265enc: 1000 h) move
/// times by it themselves; then GStreamer 1.22 takes the two time lines for one and heeds no wish for a keyframe
/// after the first.
const OFFSET: gst::ClockTime = gst::ClockTime::from_seconds(2000 * 3600);
/// Largest picture that is decoded (8K), so that a forged header cannot ask for gigabytes.
const MOST_PIXELS: u64 = 7680 * 4320;
/// What encoders are told of the frame rate where only times count: some write it into their parameter sets.
const NOMINAL_FPS: i32 = 30;

/// A coded frame to be decoded.
#[derive(Clone, Debug)]
pub struct CodedFrame {
    /// Length-prefixed NAL units.
    pub data: Vec<u8>,
    /// When it is shown, nanoseconds from the first frame.
    pub pts_ns: i64,
    /// Whether it is a keyframe.
    pub keyframe: bool,
    /// Whether it is encoded; else it is decoded only, because others need it.
    pub shown: bool,
}

/// What the frames are.
#[derive(Clone, Debug)]
pub struct CodedVideo {
    /// Codec.
    pub codec: VideoCodec,
    /// Body of the `avcC` or `hvcC` box.
    pub codec_data: Vec<u8>,
    /// Size as coded, pixels.
    pub size: (u32, u32),
}

impl CodedVideo {
    /// Whether luma uses all values from 0 to 255, as the stream says; only H.264 is read.
    #[must_use]
    pub fn is_full_range(&self) -> bool {
        self.codec == VideoCodec::H264 && super::sources::h264_sps::is_full_range(&self.codec_data)
    }
}

/// What comes out.
#[derive(Debug)]
pub enum Recoded {
    /// Before the first frame: the body of the `avcC` or `hvcC` box.
    Config(Vec<u8>),
    /// The next frame in the order of presentation.
    Frame(CodedFrame),
}

/// Whether to go on; asked a hundred times a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    /// Go on.
    Go,
    /// Not now: feed nothing, keep what there is.
    Wait,
    /// Give up.
    Stop,
}

/// Why it did not come to its end.
#[derive(Debug)]
pub enum RecodeFault {
    /// The encoder failed: another one may do it.
    Encoder(String),
    /// The footage cannot be decoded whole, or holds what H.265 would not keep.
    Input(String),
    /// The gate said so.
    Stopped,
    /// Something else: the caller's own reading or writing.
    Other(Error),
}

impl From<Error> for RecodeFault {
    fn from(e: Error) -> Self {
        Self::Other(e)
    }
}

impl std::fmt::Display for RecodeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Encoder(why) | Self::Input(why) => f.write_str(why),
            Self::Stopped => f.write_str("stopped"),
            Self::Other(e) => e.fmt(f),
        }
    }
}

/// How to encode.
#[derive(Clone, Copy, Debug)]
pub struct RecodeWith<'a> {
    /// Encoder.
    pub encoder: &'a ArchiveEncoder,
    /// Its settings.
    pub settings: &'a ArchiveSettings,
    /// What its threads may take; `None` leaves them as all others.
    pub priority: Option<Priority>,
    /// For somebody who looks at it, and not for keeping.
    pub view: Option<View>,
    /// What nobody is to see of it.
    pub privacy: Option<&'a Arc<Privacy>>,
}

/// What is other where the pictures are only looked at: what cannot be decoded is left out, other formats are
/// converted, and the parameter sets do not depend on what the footage says of its frame rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct View {
    /// Pictures are brought to this size, with square pixels and bars where the shape is another.
    pub fit: Option<(u32, u32)>,
    /// A keyframe at least so often, nanoseconds; 0: only where they were.
    pub gop_ns: i64,
}

#[derive(Debug, Default)]
struct Shared {
    /// Frames that left the decoder.
    decoded: AtomicU64,
    /// Presentation time of the last one.
    at_ns: AtomicI64,
    /// Times of frames that are to be keyframes.
    keyframes: Mutex<VecDeque<u64>>,
    /// Times of frames that are not encoded.
    hidden: Mutex<HashSet<u64>>,
    fault: Mutex<Option<Fault>>,
    /// 8-bit 4:2:0 or not, once it is known.
    unfit: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Fault {
    element: String,
    words: String,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

fn internal(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RecodeFault {
    RecodeFault::Other(
        Error::new(ErrorKind::Internal, "cannot set up the transcoding pipeline").with_source(e),
    )
}

/// Decodes what `next` gives, encodes it, and hands every frame to `out`. Blocks until the end; lower the calling
/// thread as well if `with` says so.
///
/// # Errors
/// See [`RecodeFault`]. Whatever `next` and `out` fail with comes back as `Other`.
pub fn recode(
    video: &CodedVideo,
    with: RecodeWith<'_>,
    mut next: impl FnMut() -> Result<Option<CodedFrame>>,
    out: &mut dyn FnMut(Recoded) -> Result<()>,
    gate: &mut dyn FnMut() -> Gate,
) -> Result<u64, RecodeFault> {
    super::init()?;
    let line = Line::build(video, with)?;
    let result = line.run(&mut next, out, gate);
    // Also after an error: an element that is not in NULL keeps its threads.
    calm::stop(&line.pipeline);
    result
}

struct Line {
    pipeline: gst::Pipeline,
    src: gst_app::AppSrc,
    sink: gst_app::AppSink,
    shared: Arc<Shared>,
    /// Names of the elements before the encoder.
    input: Vec<String>,
    /// Nothing may be lost.
    strict: bool,
    clock: SystemClock,
}

impl Line {
    fn build(video: &CodedVideo, with: RecodeWith<'_>) -> Result<Self, RecodeFault> {
        let (w, h) = video.size;
        if w == 0 || h == 0 || u64::from(w) * u64::from(h) > MOST_PIXELS {
            return Err(RecodeFault::Input(format!(
                "a picture of {w}x{h} pixels is not decoded"
            )));
        }
        let mut caps = coded_caps(video);
        if with.view.is_some()
            && let Some(caps) = caps.make_mut().structure_mut(0)
        {
            caps.set("framerate", gst::Fraction::new(NOMINAL_FPS, 1));
        }
        let src = gst_app::AppSrc::builder()
            .caps(&caps)
            .format(gst::Format::Time)
            .max_bytes(0)
            .build();
        let shared = Arc::new(Shared::default());
        let mut chain: Vec<gst::Element> = vec![src.clone().upcast()];
        chain.extend(decoder(video.codec)?);
        if let Some(pad) = chain.last().and_then(|e| e.static_pad("src")) {
            watch_decoder(&pad, &shared, with.view.is_none());
        }
        let queue = make("queue")?;
        queue.set_property("max-size-buffers", 4u32);
        queue.set_property("max-size-bytes", 0u32);
        queue.set_property("max-size-time", 0u64);
        chain.push(queue);
        // Before anything is scaled: no pixel of what is covered goes into others.
        let masking = Masking::of(with.privacy.cloned(), video.codec, &video.codec_data);
        chain.extend(mask::elements(masking)?);
        if let Some(size) = with.view.and_then(|v| v.fit) {
            chain.extend(fitted(size)?);
        }
        let input = chain.iter().map(|e| e.name().to_string()).collect();
        let encoding = with
            .encoder
            .chain(with.settings)
            .map_err(|e| RecodeFault::Encoder(e.to_string()))?;
        if let Some(pad) = encoding.last().and_then(|e| e.static_pad("sink")) {
            ask_for_keyframes(&pad, &shared, with.view.map_or(0, |v| v.gop_ns));
        }
        chain.extend(encoding);
        chain.extend(with.encoder.stream()?);
        let sink = gst_app::AppSink::builder().sync(false).max_buffers(32).build();
        chain.push(sink.clone().upcast());
        let pipeline = gst::Pipeline::new();
        pipeline.add_many(&chain).map_err(internal)?;
        gst::Element::link_many(&chain).map_err(|_| RecodeFault::Encoder("its formats do not fit".into()))?;
        let weak = Arc::downgrade(&shared);
        calm::background(&pipeline, with.priority, move |said| {
            if let (Said::Error(element, words), Some(shared)) = (said, weak.upgrade()) {
                lock(&shared.fault).get_or_insert(Fault { element, words });
            }
        });
        Ok(Self {
            pipeline,
            src,
            sink,
            shared,
            input,
            strict: with.view.is_none(),
            clock: SystemClock::new(),
        })
    }

    fn run(
        &self,
        next: &mut dyn FnMut() -> Result<Option<CodedFrame>>,
        out: &mut dyn FnMut(Recoded) -> Result<()>,
        gate: &mut dyn FnMut() -> Gate,
    ) -> Result<u64, RecodeFault> {
        if self.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(self
                .fault()
                .unwrap_or_else(|| RecodeFault::Encoder("it does not start".into())));
        }
        let mut out = Collector {
            out,
            config: None,
            frames: 0,
            last_ns: -1,
        };
        let mut given = 0u64;
        let mut ended = false;
        let mut stirred = self.clock.steady_ns();
        loop {
            let gate = gate();
            if gate == Gate::Stop {
                return Err(RecodeFault::Stopped);
            }
            if let Some(fault) = self.fault() {
                return Err(fault);
            }
            let mut moved = false;
            while gate == Gate::Go && !ended && given < self.shared.decoded.load(Ordering::Acquire) + AHEAD {
                match next()? {
                    Some(frame) => {
                        self.push(&frame, given == 0)?;
                        given += 1;
                    }
                    None => {
                        ended = true;
                        self.src.end_of_stream().map_err(internal)?;
                    }
                }
                moved = true;
            }
            while let Some(sample) = self.sink.try_pull_sample(LOOK) {
                out.take(&sample)?;
                moved = true;
                if self.sink.is_eos() {
                    break;
                }
            }
            if ended && self.sink.is_eos() {
                break;
            }
            if moved || gate == Gate::Wait {
                stirred = self.clock.steady_ns();
            } else if self.clock.steady_ns() - stirred > PATIENCE_NS {
                return Err(RecodeFault::Encoder("it hangs".into()));
            }
        }
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        if !self.strict {
            if out.frames == 0 && given > 0 {
                return Err(RecodeFault::Input("nothing of it can be decoded".into()));
            }
            return Ok(out.frames);
        }
        let decoded = self.shared.decoded.load(Ordering::Acquire);
        if decoded != given {
            return Err(RecodeFault::Input(format!(
                "of {given} frames {decoded} can be decoded"
            )));
        }
        if out.frames != given {
            return Err(RecodeFault::Encoder(format!(
                "of {given} frames it made {}",
                out.frames
            )));
        }
        Ok(given)
    }

    fn push(&self, frame: &CodedFrame, first: bool) -> Result<(), RecodeFault> {
        let pts = u64::try_from(frame.pts_ns)
            .map_err(|_| RecodeFault::Input("a frame that is shown before the first".into()))?;
        let pts = pts.saturating_add(OFFSET.nseconds());
        if frame.keyframe {
            lock(&self.shared.keyframes).push_back(pts);
        }
        if !frame.shown {
            lock(&self.shared.hidden).insert(pts);
        }
        let mut buffer = gst::Buffer::from_slice(frame.data.clone());
        if let Some(b) = buffer.get_mut() {
            b.set_pts(gst::ClockTime::from_nseconds(pts));
            if !frame.keyframe {
                b.set_flags(gst::BufferFlags::DELTA_UNIT);
            } else if first {
                b.set_flags(gst::BufferFlags::DISCONT);
            }
        }
        // What went wrong comes over the bus.
        let _ = self.src.push_buffer(buffer);
        Ok(())
    }

    /// What the pipeline said went wrong.
    fn fault(&self) -> Option<RecodeFault> {
        if let Some(why) = lock(&self.shared.unfit).take() {
            return Some(RecodeFault::Input(why));
        }
        let fault = lock(&self.shared.fault).take()?;
        // What lies before the encoder is the footage's fault; the rest follows from what it makes.
        let input = self.input.contains(&fault.element);
        Some(if input {
            RecodeFault::Input(format!("it cannot be decoded: {}", fault.words))
        } else {
            RecodeFault::Encoder(fault.words)
        })
    }
}

/// Hands on what comes out, with running times, and looks after their order.
struct Collector<'a> {
    out: &'a mut dyn FnMut(Recoded) -> Result<()>,
    config: Option<Vec<u8>>,
    frames: u64,
    last_ns: i64,
}

impl Collector<'_> {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), RecodeFault> {
        let encoder = |why: &str| RecodeFault::Encoder(why.into());
        let config = sample
            .caps()
            .and_then(|c| c.structure(0)?.get::<gst::Buffer>("codec_data").ok())
            .and_then(|b| Some(b.map_readable().ok()?.to_vec()))
            .ok_or_else(|| encoder("its stream has no parameter sets"))?;
        match &self.config {
            None => {
                (self.out)(Recoded::Config(config.clone()))?;
                self.config = Some(config);
            }
            Some(known) if *known == config => {}
            Some(_) => return Err(encoder("it changed its parameter sets on the way")),
        }
        let buffer = sample
            .buffer()
            .ok_or_else(|| encoder("it made an empty sample"))?;
        let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
        // Encoders shift their times to have room for decode times; running time is what stays.
        let pts_ns = buffer
            .pts()
            .zip(segment)
            .and_then(|(pts, s)| s.to_running_time(pts)?.checked_sub(OFFSET))
            .and_then(|t| i64::try_from(t.nseconds()).ok())
            .ok_or_else(|| encoder("it lost the time of a frame"))?;
        if pts_ns <= self.last_ns {
            return Err(encoder("it put frames into another order"));
        }
        self.last_ns = pts_ns;
        self.frames += 1;
        let data = buffer
            .map_readable()
            .map_err(|_| encoder("its data cannot be read"))?
            .to_vec();
        (self.out)(Recoded::Frame(CodedFrame {
            data,
            pts_ns,
            keyframe: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            shown: true,
        }))?;
        Ok(())
    }
}

/// How long the caller sleeps between two looks while it waits.
pub const WAIT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
