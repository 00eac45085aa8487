//! Two files of the same footage, decoded whole side by side: are they the same frames at the same times, with the
//! same sound, and how alike do they look?
//!
//! The files are read by the demuxer that players use, not by the code that wrote them.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gst_video::prelude::*;

use super::calm::{self, Said};
use super::mask::{Masker, Masking, components};
use super::recode::{Gate, RecodeFault, decoder, unfit};
use super::sources::{make, on_pad};
use super::ssim::{self, Plane, Without};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::priority::Priority;
use crate::privacy::Difference;
use crate::track::VideoCodec;

/// How long to wait for a frame before looking whether to go on.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(50);
const PATIENCE_NS: i64 = 90_000_000_000;
/// Times that differ by less are equal: what demuxers round.
const SAME_NS: u64 = 1_000;

/// What comparing two files brought.
#[derive(Clone, Copy, PartialEq, Debug, Default, serde::Serialize)]
pub struct Comparison {
    /// Frames that both have.
    pub frames: u64,
    /// Frames whose pictures were compared.
    pub compared: u64,
    /// Mean structural similarity of those, 0 to 1, of luma.
    pub ssim: f64,
    /// That of the worst of them.
    pub worst_ssim: f64,
    /// Peak signal to noise ratio over all of them in dB, of luma.
    pub psnr_db: f64,
}

/// How far samples may be from the cover on average, over a picture: what coding does to a flat colour is far less.
const MOST_COVER_MEAN: f64 = 6.0;
/// Which share of them may be further than coding leads: ringing at the edge of a mask.
const MOST_COVER_FAR: f64 = 0.02;

/// Decodes both files and compares them; `full_range` is what the second must say of its range of values, where that is
/// known of the first (decoders of this GStreamer do not tell it of H.264). Every `every`-th picture is looked at, from the first on. Where
/// parts are masked in the second, these are left out of the comparison, and every picture of it is looked at whether they
/// are covered. Blocks.
///
/// # Errors
/// `Input` with what differs: number of frames, times, size, range of values or sound, that a masked part is not covered,
/// or that a file cannot be decoded. `Stopped` when the gate said so.
pub fn compare(
    original: (&Path, VideoCodec),
    other: (&Path, VideoCodec),
    full_range: Option<bool>,
    every: u32,
    masking: Option<Masking>,
    priority: Option<Priority>,
    gate: &mut dyn FnMut() -> Gate,
) -> Result<Comparison, RecodeFault> {
    super::init()?;
    let mut covering = masking.map(Covering::new);
    let a = Reader::open(original.0, original.1, priority)?;
    let b = Reader::open(other.0, other.1, priority)?;
    a.play()?;
    b.play()?;
    let mut found = Comparison {
        worst_ssim: 1.0,
        ..Comparison::default()
    };
    let (mut ssim, mut mse) = (0.0, 0.0);
    let mut first: Option<(gst::ClockTime, gst::ClockTime)> = None;
    let differ = |what: String| Err(RecodeFault::Input(what));
    loop {
        let (one, two) = (a.next("the original", gate)?, b.next("the new file", gate)?);
        let (Some(one), Some(two)) = (&one, &two) else {
            if one.is_some() != two.is_some() {
                let longer = if one.is_some() {
                    "the original"
                } else {
                    "the new file"
                };
                return differ(format!("{longer} has more than {} frames", found.frames));
            }
            break;
        };
        let (p, q) = (time_of(one)?, time_of(two)?);
        let (p0, q0) = *first.get_or_insert((p, q));
        let (p, q) = (p.saturating_sub(p0), q.saturating_sub(q0));
        if p.nseconds().abs_diff(q.nseconds()) > SAME_NS {
            return differ(format!("frame {} is at {q} instead of {p}", found.frames));
        }
        if found.frames.is_multiple_of(u64::from(every.max(1))) {
            let like = look(one, two, full_range, covering.as_mut())?;
            ssim += like.ssim;
            mse += like.mse;
            found.worst_ssim = found.worst_ssim.min(like.ssim);
            found.compared += 1;
        }
        if let Some(covering) = &mut covering {
            covering
                .check(one, two)
                .map_err(|what| RecodeFault::Input(format!("frame {}: {what}", found.frames)))?;
        }
        found.frames += 1;
    }
    if found.compared == 0 {
        return differ("there is no picture in it".into());
    }
    let (one, two) = (a.sound(), b.sound());
    if one != two {
        return differ(format!(
            "the sound differs: {} and {} packets",
            one.packets, two.packets
        ));
    }
    found.ssim = ssim / found.compared as f64;
    found.psnr_db = ssim::psnr(mse / found.compared as f64);
    Ok(found)
}

fn time_of(sample: &gst::Sample) -> Result<gst::ClockTime, RecodeFault> {
    sample
        .buffer()
        .and_then(gst::BufferRef::pts)
        .ok_or_else(|| RecodeFault::Input("a frame without a time".into()))
}

fn look(
    one: &gst::Sample,
    two: &gst::Sample,
    full_range: Option<bool>,
    covering: Option<&mut Covering>,
) -> Result<ssim::Likeness, RecodeFault> {
    let (Some(one), Some(two)) = (Picture::of(one), Picture::of(two)) else {
        return Err(RecodeFault::Input("a picture that cannot be read".into()));
    };
    // What is masked is of a codec of which both tell it.
    let wanted = full_range.or(covering.is_some().then_some(one.full_range));
    if wanted.is_some_and(|full| full != two.full_range) {
        return Err(RecodeFault::Input(
            "the range of values differs: players would show other colours".into(),
        ));
    }
    let without = covering.map(|c| c.blocks(one.size()));
    one.plane()
        .zip(two.plane())
        .and_then(|(a, b)| ssim::compare(a, b, without))
        .ok_or_else(|| {
            let ((w, h), (v, k)) = (one.size(), two.size());
            RecodeFault::Input(format!("pictures of {w}x{h} and {v}x{k} cannot be compared"))
        })
}

/// Looks whether masked parts are covered: by what covering the original gives.
struct Covering {
    masker: Masker,
    /// Blocks of 4x4 pixels that hold a covered one, for pictures of a size.
    blocks: Option<((usize, usize), Vec<bool>)>,
}

impl Covering {
    fn new(masking: Masking) -> Self {
        Self {
            masker: Masker::new(masking),
            blocks: None,
        }
    }

    fn blocks(&mut self, size: (usize, usize)) -> Without<'_> {
        if self.blocks.as_ref().is_none_or(|(of, _)| *of != size) {
            self.blocks = None;
        }
        let masker = &mut self.masker;
        let (_, blocks) = self
            .blocks
            .get_or_insert_with(|| (size, masker.cover((size.0 as u32, size.1 as u32)).blocks(4)));
        Without(blocks)
    }

    fn check(&mut self, one: &gst::Sample, two: &gst::Sample) -> Result<(), String> {
        let unreadable = || "a picture that cannot be read".to_owned();
        let info = |sample: &gst::Sample| {
            let caps = sample.caps().ok_or_else(unreadable)?;
            gst_video::VideoInfo::from_caps(caps).map_err(|_| unreadable())
        };
        let (one_info, two_info) = (info(one)?, info(two)?);
        let original = one.buffer().ok_or_else(unreadable)?;
        let expected = self
            .masker
            .masked(original, &one_info)
            .map_err(|e| e.to_string())?;
        let a = gst_video::VideoFrameRef::from_buffer_ref_readable(&expected, &one_info)
            .map_err(|_| unreadable())?;
        let found = two.buffer().ok_or_else(unreadable)?;
        let b =
            gst_video::VideoFrameRef::from_buffer_ref_readable(found, &two_info).map_err(|_| unreadable())?;
        let size = (b.width(), b.height());
        if (a.width(), a.height()) != size {
            return Err("its size differs".to_owned());
        }
        let cover = self.masker.cover(size);
        let of_a = components(a.info()).map_err(|e| e.to_string())?;
        let of_b = components(b.info()).map_err(|e| e.to_string())?;
        // A picture without colours becomes one whose colours are grey.
        for (x, y) in of_a.iter().zip(&of_b) {
            if (x.step, x.offset, x.shift) != (y.step, y.offset, y.shift) {
                return Err("its format differs".to_owned());
            }
            let (Ok(one), Ok(two)) = (a.plane_data(x.plane), b.plane_data(y.plane)) else {
                return Err(unreadable());
            };
            let difference: Difference =
                cover.difference((one, x.stride), (two, y.stride), (x.step, x.offset), x.shift);
            if difference.mean() > MOST_COVER_MEAN || difference.far_share() > MOST_COVER_FAR {
                return Err(format!(
                    "a masked part is not covered (off by {:.1} on average, {:.1} % by more than {})",
                    difference.mean(),
                    difference.far_share() * 100.0,
                    Difference::FAR
                ));
            }
        }
        Ok(())
    }
}

struct Picture<'a> {
    frame: gst_video::VideoFrameRef<&'a gst::BufferRef>,
    full_range: bool,
}

impl<'a> Picture<'a> {
    fn of(sample: &'a gst::Sample) -> Option<Self> {
        let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
        let full_range = info.colorimetry().range() == gst_video::VideoColorRange::Range0_255;
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer()?, &info).ok()?;
        Some(Self { frame, full_range })
    }

    fn size(&self) -> (usize, usize) {
        (self.frame.width() as usize, self.frame.height() as usize)
    }

    /// Luma is the first plane of all formats that come here.
    fn plane(&self) -> Option<Plane<'_>> {
        let stride = usize::try_from(*self.frame.plane_stride().first()?).ok()?;
        let (width, height) = self.size();
        Plane::new(self.frame.plane_data(0).ok()?, stride, width, height)
    }
}

/// What was heard: a digest over every packet's bytes and time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Sound {
    packets: u64,
    digest: Option<[u8; 32]>,
}

#[derive(Debug, Default)]
struct Shared {
    fault: Mutex<Option<String>>,
    sound: Mutex<(u64, Box<blake3::Hasher>, Option<u64>)>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One file, demuxed and decoded.
struct Reader {
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
    shared: Arc<Shared>,
    clock: SystemClock,
}

impl Drop for Reader {
    fn drop(&mut self) {
        calm::stop(&self.pipeline);
    }
}

fn internal(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RecodeFault {
    RecodeFault::Other(Error::new(ErrorKind::Internal, "cannot set up the comparison").with_source(e))
}

impl Reader {
    fn open(path: &Path, codec: VideoCodec, priority: Option<Priority>) -> Result<Self, RecodeFault> {
        let src = make("filesrc")?;
        src.set_property("location", path);
        let demux = make("qtdemux")?;
        let queue = make("queue")?;
        let [parser, decoder] = decoder(codec)?;
        let sink = gst_app::AppSink::builder().sync(false).max_buffers(3).build();
        let pipeline = gst::Pipeline::new();
        pipeline
            .add_many([&src, &demux, &queue, &parser, &decoder, sink.upcast_ref()])
            .map_err(internal)?;
        src.link(&demux).map_err(internal)?;
        gst::Element::link_many([&queue, &parser, &decoder, sink.upcast_ref()]).map_err(internal)?;
        let shared = Arc::new(Shared::default());
        let (weak, queue, listening) = (pipeline.downgrade(), queue.downgrade(), Arc::clone(&shared));
        demux.connect_pad_added(move |_, pad| {
            let (Some(pipeline), Some(queue)) = (weak.upgrade(), queue.upgrade()) else {
                return;
            };
            super::guard::guarded(
                "pad-added",
                (),
                |_| {},
                || {
                    if pad.name().starts_with("video") {
                        if let Some(sink) = queue.static_pad("sink").filter(|p| !p.is_linked()) {
                            let _ = pad.link(&sink);
                        }
                    } else {
                        listen(&pipeline, pad, &listening);
                    }
                },
            );
        });
        if let Some(pad) = decoder.static_pad("src") {
            let shared = Arc::clone(&shared);
            on_pad(&pad, gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
                if let Some(event) = info.event()
                    && let gst::EventView::Caps(caps) = event.view()
                    && let Some(why) = unfit(caps.caps())
                {
                    lock(&shared.fault).get_or_insert(why);
                }
                gst::PadProbeReturn::Ok
            });
        }
        let weak = Arc::downgrade(&shared);
        calm::background(&pipeline, priority, move |said| {
            if let (Said::Error(_, words), Some(shared)) = (said, weak.upgrade()) {
                lock(&shared.fault).get_or_insert(words);
            }
        });
        Ok(Self {
            pipeline,
            sink,
            shared,
            clock: SystemClock::new(),
        })
    }

    fn play(&self) -> Result<(), RecodeFault> {
        self.pipeline
            .set_state(gst::State::Playing)
            .map(drop)
            .map_err(|e| {
                let words = lock(&self.shared.fault).take().unwrap_or_else(|| e.to_string());
                RecodeFault::Input(format!("it cannot be read: {words}"))
            })
    }

    /// The next decoded frame; `None` at the end.
    fn next(&self, who: &str, gate: &mut dyn FnMut() -> Gate) -> Result<Option<gst::Sample>, RecodeFault> {
        let mut since = self.clock.steady_ns();
        loop {
            match gate() {
                Gate::Stop => return Err(RecodeFault::Stopped),
                Gate::Wait => {
                    std::thread::park_timeout(super::recode::WAIT);
                    since = self.clock.steady_ns();
                    continue;
                }
                Gate::Go => {}
            }
            if let Some(words) = lock(&self.shared.fault).take() {
                return Err(RecodeFault::Input(format!("{who}: {words}")));
            }
            if let Some(sample) = self.sink.try_pull_sample(LOOK) {
                return Ok(Some(sample));
            }
            if self.sink.is_eos() {
                return match lock(&self.shared.fault).take() {
                    Some(words) => Err(RecodeFault::Input(format!("{who}: {words}"))),
                    None => Ok(None),
                };
            }
            if self.clock.steady_ns() - since > PATIENCE_NS {
                return Err(RecodeFault::Input(format!("{who}: the decoder hangs")));
            }
        }
    }

    fn sound(&self) -> Sound {
        let sound = lock(&self.shared.sound);
        Sound {
            packets: sound.0,
            digest: (sound.0 > 0).then(|| *sound.1.finalize().as_bytes()),
        }
    }
}

/// Takes an audio pad into the digest.
fn listen(pipeline: &gst::Pipeline, pad: &gst::Pad, shared: &Arc<Shared>) {
    let Ok(sink) = make("fakesink") else { return };
    sink.set_property("sync", false);
    sink.set_property("async", false);
    if pipeline.add(&sink).is_err() {
        return;
    }
    let Some(target) = sink.static_pad("sink") else {
        return;
    };
    let shared = Arc::clone(shared);
    on_pad(&target, gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer()
            && let Ok(map) = buffer.map_readable()
        {
            let mut sound = lock(&shared.sound);
            let pts = buffer.pts().map_or(0, gst::ClockTime::nseconds);
            let from = *sound.2.get_or_insert(pts);
            sound.0 += 1;
            sound.1.update(&map);
            sound.1.update(&pts.wrapping_sub(from).to_le_bytes());
        }
        gst::PadProbeReturn::Ok
    });
    if pad.link(&target).is_ok() {
        let _ = sink.sync_state_with_parent();
    }
}
