//! One splitmuxsink in a small pipeline of its own, fed by hand and without ever blocking the caller.
//!
//! splitmuxsink passes a group of pictures on only when it is complete, and waits for audio before it does.
//! So it is shown a made-up time line: each access unit is a group of its own, followed at once by filler
//! that completes it. In slot `n` (`b = 10 n` nanoseconds) it gets
//!
//! | pad | time | decoding time | |
//! |---|---|---|---|
//! | video | b | b-5 | the unit, shown as a sync point |
//! | video | b | b-5 | a gap (see below), in the unit's group |
//! | video | b+1 | b-4 | filler, sync point: the end of the unit's group |
//! | audio | b | | the audio that is due, at the end of a chunk a gap, then filler |
//! | video | b+2 | b | filler: completes the filler before the unit |
//! | audio | b+1 | | filler: audio has passed the unit |
//! | video | b+3 | b+1 | filler: completes the unit |
//!
//! Audio always lags behind the newest video and is always there when it is asked for: nobody waits. True
//! times ride in `offset` and `offset_end`, true sync points in the absence of `MARKER`; a probe on the
//! muxer's pads puts both back and takes the filler out.
//!
//! isofmp4mux decides by itself where a chunk ends only as long as frames come regularly: a hole across the end
//! of a fragment stops it for good. So it is told (`manual-split`, see [`cuts`]): a mark on a unit becomes the
//! event that ends the chunk before it, on the audio pad on an empty unit behind the audio that is due. Empty
//! units (gaps) also stand in where the muxer would wait for one more: behind each frame that is shown when it
//! is decoded, so that a keyframe's group is known without the next frame, and at the end of a file. A chunk
//! is thus written when the frame after it is there and audio has passed that frame, whatever time lies between.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::prelude::*;

use super::bus::{self, BusNews};
use super::guard::guarded;
use super::sink::SegmentSink;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::segment::{ClosedSegment, Container, SegmentFiles, SegmentStart};
use cuts::Cuts;
pub(crate) use disguise::{OFFSET, Unit};
use disguise::{at, on_grid, restore_times};

mod cuts;
mod disguise;

/// Length of a frame of which nothing is known.
const ONE_FRAME_NS: i64 = 40_000_000;

/// What a writer tells; from streaming threads, without locks of the writer held.
#[derive(Debug)]
pub(crate) enum WriterNews {
    Opened(Box<SegmentStart>, std::path::PathBuf),
    Closed(Box<ClosedSegment>),
    Failed(Cause),
}

pub(crate) type OnNews = Arc<dyn Fn(WriterNews) + Send + Sync>;

#[derive(Debug)]
pub(crate) struct WriterSpec {
    pub container: Container,
    pub chunk: Duration,
    pub files: Arc<dyn SegmentFiles>,
    pub video_caps: gst::Caps,
    pub audio_caps: Option<gst::Caps>,
}

#[derive(Debug)]
pub(crate) struct Writer {
    pipeline: gst::Pipeline,
    splitmux: gst::Element,
    video: gst::Pad,
    audio: Option<gst::Pad>,
    slot: u64,
    /// Latest presentation time, last decoding time and distance to the one before.
    last: Option<(i64, i64, i64)>,
    /// Where chunks end; only for the muxer that is told.
    cuts: Option<Cuts>,
    /// Time of the last audio packet in the present file.
    last_audio_ns: Option<i64>,
    filler: gst::Memory,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes that were fed and have not reached the muxer.
    waiting_bytes: Arc<AtomicU64>,
    starts: Mutex<VecDeque<SegmentStart>>,
    fault: Mutex<Option<Cause>>,
    done: Mutex<Option<bool>>,
    wake: Condvar,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn set_done(&self, ok: bool) {
        lock(&self.done).get_or_insert(ok);
        self.wake.notify_all();
    }

    fn fail(&self, cause: Cause, news: &OnNews) {
        let cause = lock(&self.fault).take().unwrap_or(cause);
        let mut done = lock(&self.done);
        if done.is_none() {
            *done = Some(false);
            drop(done);
            news(WriterNews::Failed(cause));
        }
        self.wake.notify_all();
    }
}

fn make(factory: &str) -> Result<gst::Element> {
    gst::ElementFactory::make(factory).build().map_err(|e| {
        Error::new(
            ErrorKind::Unsupported,
            format!("the GStreamer element {factory} is not there"),
        )
        .with_hint("install the GStreamer plugin sets good and bad")
        .with_source(e)
    })
}

fn internal(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, "cannot set up the recording pipeline").with_source(e)
}

fn muxer(spec: &WriterSpec) -> Result<gst::Element> {
    match spec.container {
        Container::Fmp4 => {
            let mux = make("isofmp4mux")?;
            mux.set_property("manual-split", true);
            mux.set_property("send-force-keyunit", false);
            mux.set_property_from_str("header-update-mode", "caps");
            Ok(mux)
        }
        Container::Mp4 => make("mp4mux"),
        Container::Matroska => {
            let mux = make("matroskamux")?;
            mux.set_property("offset-to-zero", true);
            mux.set_property("timecodescale", 100_000i64);
            Ok(mux)
        }
    }
}

impl Writer {
    /// A playing writer; its first file is created when its first unit comes.
    pub(crate) fn new(spec: &WriterSpec, news: &OnNews) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let pipeline = gst::Pipeline::new();
        let splitmux = make("splitmuxsink")?;
        let mux = muxer(spec)?;
        let sink = new_sink(&shared, news);
        // Both before any pad is requested, or the defaults are taken without a word.
        splitmux.set_property("muxer", &mux);
        splitmux.set_property("sink", &sink);
        splitmux.set_property("max-size-time", 0u64);
        splitmux.set_property("max-size-bytes", 0u64);
        if spec.container == Container::Fmp4 {
            let map = gst::Structure::builder("map")
                .field("video", "sink_0")
                .field("audio_0", "sink_1")
                .build();
            splitmux.set_property("muxer-pad-map", &map);
        }
        connect_location(&splitmux, &sink, &shared, &spec.files, news);
        pipeline.add(&splitmux).map_err(internal)?;

        let video = feed_pad(&splitmux, "video")?;
        let audio = match &spec.audio_caps {
            Some(_) => Some(feed_pad(&splitmux, "audio_0")?),
            None => None,
        };
        for pad in mux.sink_pads() {
            let is_video = pad.name() == "sink_0" || pad.name() == "video_0";
            if is_video {
                // Exact times: the default scale is the frame rate's.
                if pad.has_property("trak-timescale") {
                    pad.set_property_from_str("trak-timescale", "90000");
                }
            }
            restore_times(&pad, is_video, &shared.waiting_bytes);
        }
        if let Some(bin) = splitmux.downcast_ref::<gst::Bin>() {
            for element in bin.children() {
                if element.factory().is_some_and(|f| f.name() == "queue") {
                    // The bound is ours (waiting_bytes); zero would make splitmuxsink set one of its own.
                    element.set_property("max-size-buffers", u32::MAX);
                }
            }
        }
        {
            let (weak, news) = (Arc::downgrade(&shared), news.clone());
            let words = |e: &glib::Error, _: Option<&str>| Cause::new(CauseKind::Internal, e.message());
            bus::watch(&pipeline, words, move |n| {
                let Some(shared) = weak.upgrade() else { return };
                match n {
                    BusNews::Eos => shared.set_done(true),
                    BusNews::Error(cause) => shared.fail(cause, &news),
                    BusNews::Closed => {}
                }
            });
        }
        pipeline.set_state(gst::State::Playing).map_err(internal)?;
        start_pad(&video, "video", &spec.video_caps);
        if let (Some(pad), Some(caps)) = (&audio, &spec.audio_caps) {
            start_pad(pad, "audio", caps);
        }
        Ok(Self {
            pipeline,
            splitmux,
            video,
            audio,
            slot: 0,
            last: None,
            cuts: (spec.container == Container::Fmp4).then(|| Cuts::new(spec.chunk)),
            last_audio_ns: None,
            filler: gst::Memory::from_slice([0u8]),
            shared,
        })
    }

    pub(crate) fn has_audio(&self) -> bool {
        self.audio.is_some()
    }

    /// Bytes between the caller and the muxer.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.shared.waiting_bytes.load(Ordering::Relaxed)
    }

    /// Feeds one video unit and the audio that is due. `segment` is given when the unit begins a segment.
    pub(crate) fn feed(
        &mut self,
        unit: &Unit,
        audio: &[Unit],
        segment: Option<SegmentStart>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if segment.is_some() && self.slot > 0 {
            // What sounds before the split belongs to the file before it.
            let (before, due) = audio.split_at(audio.partition_point(|a| a.pts_ns < unit.pts_ns));
            self.tail(unit.pts_ns, unit.dts_ns, before)?;
            return self.feed_slot(unit, due, segment);
        }
        self.feed_slot(unit, audio, segment)
    }

    /// Feeds audio while no video comes, so that the frames there are need not wait for it.
    pub(crate) fn feed_audio(&mut self, audio: &[Unit]) -> Result<gst::FlowSuccess, gst::FlowError> {
        if self.slot == 0 || audio.is_empty() {
            return Ok(gst::FlowSuccess::Ok);
        }
        self.slot(self.filler(false), None, audio, None)
    }

    /// Ends a file at a time, with empty units.
    ///
    /// The last frame's duration comes from the first. The others are what the muxer keeps back: it takes a pad
    /// for finished that is at its end, though it still holds the unit that it looked at last.
    fn tail(&mut self, pts_ns: i64, dts_ns: i64, audio: &[Unit]) -> Result<gst::FlowSuccess, gst::FlowError> {
        if self.cuts.is_none() {
            return self.feed_audio(audio);
        }
        let (pts, dts) = (on_grid(pts_ns), on_grid(dts_ns));
        let lead = disguise::gap(&self.filler, pts, dts, true);
        let next = disguise::gap(&self.filler, pts + 1, dts + 1, false);
        let last = self.audio_gap(audio, pts, false);
        self.slot(lead, Some(next), audio, Some(last))
    }

    fn feed_slot(
        &mut self,
        unit: &Unit,
        audio: &[Unit],
        segment: Option<SegmentStart>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let begins = segment.is_some();
        if let Some(start) = segment {
            lock(&self.shared.starts).push_back(start);
            self.last_audio_ns = None;
            if self.slot > 0 {
                let at = gst::ClockTime::from_nseconds((self.slot + 1) * 10);
                self.splitmux
                    .emit_by_name::<()>("split-at-running-time", &[&at.nseconds()]);
            }
        }
        let mut unit = Unit {
            pts_ns: on_grid(unit.pts_ns),
            dts_ns: on_grid(unit.dts_ns),
            ..unit.clone()
        };
        self.remember(&unit);
        let Some(cuts) = &mut self.cuts else {
            let lead = self.disguised(&unit);
            return self.slot(lead, None, audio, None);
        };
        let cut = cuts.before(&unit, begins);
        // The next unit tells it; the nominal one would only stretch a frame that is shorter.
        unit.duration = None;
        let mut lead = self.disguised(&unit);
        if cut {
            disguise::cut_before(&mut lead);
        }
        let next = (unit.pts_ns == unit.dts_ns)
            .then(|| disguise::gap(&self.filler, unit.pts_ns + 1, unit.dts_ns + 1, false));
        let last = cut.then(|| self.audio_gap(audio, unit.pts_ns, true));
        self.slot(lead, next, audio, last)
    }

    /// An empty unit behind the last audio packet.
    fn audio_gap(&self, audio: &[Unit], video_ns: i64, cut: bool) -> gst::Buffer {
        /// Before any audio that belongs to a file's first frame.
        const EARLY_NS: i64 = 1_000_000_000;
        let last = audio.last().map(|a| a.pts_ns).or(self.last_audio_ns);
        let pts = last
            .unwrap_or(video_ns.saturating_sub(EARLY_NS))
            .saturating_add(1);
        let mut gap = disguise::gap(&self.filler, pts, pts, true);
        if cut {
            disguise::cut_before(&mut gap);
        }
        gap
    }

    /// One slot of the table: a unit and a gap in its group, the audio that is due and a gap behind it.
    fn slot(
        &mut self,
        lead: gst::Buffer,
        gap: Option<gst::Buffer>,
        audio: &[Unit],
        last: Option<gst::Buffer>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.slot += 1;
        let b = OFFSET.nseconds() + self.slot * 10;
        let Some(audio_pad) = self.audio.clone() else {
            self.video.push(at(lead, b, b))?;
            if let Some(gap) = gap {
                self.video.push(at(gap, b, b))?;
            }
            return self.video.push(at(self.filler(false), b + 1, b + 1));
        };
        self.video.push(at(lead, b, b - 5))?;
        if let Some(gap) = gap {
            self.video.push(at(gap, b, b - 5))?;
        }
        self.video.push(at(self.filler(false), b + 1, b - 4))?;
        for a in audio {
            audio_pad.push(at(self.disguised(a), b, b))?;
            self.last_audio_ns = Some(a.pts_ns);
        }
        if let Some(last) = last {
            audio_pad.push(at(last, b, b))?;
        }
        audio_pad.push(at(self.filler(false), b, b))?;
        self.video.push(at(self.filler(true), b + 2, b))?;
        audio_pad.push(at(self.filler(false), b + 1, b + 1))?;
        self.video.push(at(self.filler(true), b + 3, b + 1))
    }

    fn disguised(&self, unit: &Unit) -> gst::Buffer {
        self.shared
            .waiting_bytes
            .fetch_add(unit.buffer.size() as u64, Ordering::Relaxed);
        unit.disguised()
    }

    fn filler(&self, delta: bool) -> gst::Buffer {
        disguise::filler(&self.filler, delta)
    }

    fn remember(&mut self, unit: &Unit) {
        if let Some((pts, dts, _)) = self.last {
            self.last = Some((pts.max(unit.pts_ns), unit.dts_ns, unit.dts_ns - dts));
        } else {
            let duration = unit.duration.map_or(0, gst::ClockTime::nseconds);
            self.last = Some((unit.pts_ns, unit.dts_ns, i64::try_from(duration).unwrap_or(0)));
        }
    }

    /// Feeds what is left of the audio and ends the stream; completion comes with [`wait`](Self::wait).
    ///
    /// `next` are the times of the frame that would have come; without it they are guessed.
    pub(crate) fn end(&mut self, audio: &[Unit], next: Option<(i64, i64)>) {
        if self.slot == 0 {
            self.shared.set_done(true);
            return;
        }
        let guess = self.last.map(|(pts, dts, delta)| {
            // A single frame that does not say how long it is.
            let delta = if delta > 0 { delta } else { ONE_FRAME_NS };
            (pts.saturating_add(delta), dts.saturating_add(delta))
        });
        let (pts, dts) = next.or(guess).unwrap_or_default();
        let _ = self.tail(pts, dts, audio);
        if let Some(pad) = &self.audio {
            pad.push_event(gst::event::Eos::new());
        }
        self.video.push_event(gst::event::Eos::new());
    }

    /// Waits for the last file to be complete, then takes the pipeline down. Whether it went in order.
    pub(crate) fn wait(self, timeout: Duration) -> bool {
        let (done, _) = self
            .shared
            .wake
            .wait_timeout_while(lock(&self.shared.done), timeout, |d| d.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        *done == Some(true)
    }

    #[cfg(test)]
    pub(crate) fn weak(&self) -> glib::WeakRef<gst::Object> {
        self.pipeline.upcast_ref::<gst::Object>().downgrade()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // First the pads: a thread that waits inside the pipeline must not be waited for.
        let _ = self.video.set_active(false);
        if let Some(pad) = &self.audio {
            let _ = pad.set_active(false);
        }
        let _ = self.pipeline.set_state(gst::State::Null);
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
    }
}

/// A pad without an element, which takes any caps at any time (without a template it would insist on its
/// first ones).
pub(crate) fn any_pad(direction: gst::PadDirection, name: &str) -> gst::PadBuilder<gst::Pad> {
    let any = gst::Caps::new_any();
    match gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &any) {
        Ok(template) => gst::Pad::builder_from_template(&template).name(name),
        Err(_) => gst::Pad::builder(direction).name(name),
    }
}

fn feed_pad(splitmux: &gst::Element, name: &str) -> Result<gst::Pad> {
    let sink = splitmux
        .request_pad_simple(name)
        .ok_or_else(|| Error::new(ErrorKind::Internal, format!("the muxer has no pad for {name}")))?;
    let pad = any_pad(gst::PadDirection::Src, name)
        .query_function(|pad, parent, query| {
            if let gst::QueryViewMut::Latency(q) = query.view_mut() {
                // Not live: the muxer waits for the audio that surely comes instead of giving up on it.
                q.set(false, gst::ClockTime::ZERO, gst::ClockTime::NONE);
                return true;
            }
            gst::Pad::query_default(pad, parent, query)
        })
        .build();
    pad.set_active(true).map_err(internal)?;
    pad.link(&sink).map_err(internal)?;
    Ok(pad)
}

fn start_pad(pad: &gst::Pad, id: &str, caps: &gst::Caps) {
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(OFFSET);
    pad.push_event(gst::event::StreamStart::new(id));
    pad.push_event(gst::event::Caps::new(caps));
    pad.push_event(gst::event::Segment::new(&segment));
}

fn new_sink(shared: &Arc<Shared>, news: &OnNews) -> SegmentSink {
    let closed = news.clone();
    let weak = Arc::downgrade(shared);
    SegmentSink::new(
        Box::new(move |segment| closed(WriterNews::Closed(Box::new(segment)))),
        Box::new(move |e| {
            if let Some(shared) = weak.upgrade() {
                lock(&shared.fault).get_or_insert_with(|| bus::storage_cause(e));
            }
        }),
    )
}

fn connect_location(
    splitmux: &gst::Element,
    sink: &SegmentSink,
    shared: &Arc<Shared>,
    files: &Arc<dyn SegmentFiles>,
    news: &OnNews,
) {
    let (shared, sink) = (Arc::downgrade(shared), sink.downgrade());
    let (files, news) = (files.clone(), news.clone());
    splitmux.connect("format-location-full", false, move |_| {
        let name = guarded(
            "format-location",
            None,
            |_| {},
            || {
                let (shared, sink) = (shared.upgrade()?, sink.upgrade()?);
                let start = lock(&shared.starts).pop_front();
                let Some(start) = start else {
                    let e = Error::new(ErrorKind::Internal, "a segment begins that nobody asked for");
                    sink.fail("no segment", &e);
                    return None;
                };
                let name = format!("{}-{}", start.run, start.sequence);
                let (files, news) = (files.clone(), news.clone());
                sink.set_next(Box::new(move || {
                    let panicked = Err(Error::new(ErrorKind::Internal, "panic: no file for the segment"));
                    let file = guarded("create", panicked, |_| {}, || files.create(&start))?;
                    let path = file.path().to_owned();
                    news(WriterNews::Opened(Box::new(start), path));
                    Ok(file)
                }));
                Some(name)
            },
        );
        Some(name.unwrap_or_else(|| "none".to_owned()).to_value())
    });
}
