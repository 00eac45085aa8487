//! Plain files: one splitmuxsink in a small pipeline of its own, fed by hand and without ever blocking the caller.
//!
//! splitmuxsink passes a group of pictures on only when it is complete, and waits for audio before it does.
//! So it is shown a made-up time line: each access unit is a group of its own, followed at once by filler
//! that completes it. In slot `n` (`b = 10 n` nanoseconds) it gets
//!
//! | pad | time | decoding time | |
//! |---|---|---|---|
//! | video | b | b-5 | the unit, shown as a sync point |
//! | video | b+1 | b-4 | filler, sync point: the end of the unit's group |
//! | audio | b | | the audio that is due, then filler |
//! | video | b+2 | b | filler: completes the filler before the unit |
//! | audio | b+1 | | filler: audio has passed the unit |
//! | video | b+3 | b+1 | filler: completes the unit |
//!
//! Audio always lags behind the newest video and is always there when it is asked for: nobody waits. True
//! times ride in `offset` and `offset_end`, true sync points in the absence of `MARKER`; a probe on the
//! muxer's pads puts both back and takes the filler out.

use std::sync::Arc;

use gst::prelude::*;

use super::disguise::{OFFSET, at, filler, on_grid, restore_times};
use super::{Ended, OnNews, Shared, Unit, WriterNews, WriterSpec, lock};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::gst::bus::{self, BusNews};
use crate::gst::guard::guarded;
use crate::gst::sink::SegmentSink;
use crate::segment::{Container, SegmentFiles, SegmentStart};

#[derive(Debug)]
pub(crate) struct SplitmuxWriter {
    pipeline: gst::Pipeline,
    splitmux: gst::Element,
    video: gst::Pad,
    audio: Option<gst::Pad>,
    slot: u64,
    filler: gst::Memory,
    shared: Arc<Shared>,
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

fn muxer(container: Container) -> Result<gst::Element> {
    if container == Container::Mp4 {
        return make("mp4mux");
    }
    let mux = make("matroskamux")?;
    mux.set_property("offset-to-zero", true);
    mux.set_property("timecodescale", 100_000i64);
    Ok(mux)
}

impl SplitmuxWriter {
    /// In a playing pipeline.
    pub(super) fn new(spec: &WriterSpec, news: &OnNews) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let pipeline = gst::Pipeline::new();
        let splitmux = make("splitmuxsink")?;
        let mux = muxer(spec.container)?;
        let sink = new_sink(&shared, news);
        // Both before any pad is requested, or the defaults are taken without a word.
        splitmux.set_property("muxer", &mux);
        splitmux.set_property("sink", &sink);
        splitmux.set_property("max-size-time", 0u64);
        splitmux.set_property("max-size-bytes", 0u64);
        connect_location(&splitmux, &sink, &shared, &spec.files, news);
        pipeline.add(&splitmux).map_err(internal)?;

        let video = feed_pad(&splitmux, "video")?;
        let audio = match &spec.audio_caps {
            Some(_) => Some(feed_pad(&splitmux, "audio_0")?),
            None => None,
        };
        for pad in mux.sink_pads() {
            restore_times(&pad, &shared.waiting_bytes);
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
            filler: gst::Memory::from_slice([0u8]),
            shared,
        })
    }

    pub(super) fn has_audio(&self) -> bool {
        self.audio.is_some()
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn feed(
        &mut self,
        unit: &Unit,
        audio: &[Unit],
        segment: Option<SegmentStart>,
    ) -> Result<(), Ended> {
        let mut due = audio;
        if let Some(start) = segment {
            if self.slot > 0 {
                // What sounds before the split belongs to the file before it.
                let (before, after) = audio.split_at(audio.partition_point(|a| a.pts_ns < unit.pts_ns));
                self.feed_audio(before)?;
                due = after;
                let at = gst::ClockTime::from_nseconds((self.slot + 1) * 10);
                self.splitmux
                    .emit_by_name::<()>("split-at-running-time", &[&at.nseconds()]);
            }
            lock(&self.shared.starts).push_back(start);
        }
        let unit = Unit {
            pts_ns: on_grid(unit.pts_ns),
            dts_ns: on_grid(unit.dts_ns),
            ..unit.clone()
        };
        let lead = self.disguised(&unit);
        self.slot(lead, due)
    }

    pub(super) fn feed_audio(&mut self, audio: &[Unit]) -> Result<(), Ended> {
        if self.slot == 0 || audio.is_empty() {
            return Ok(());
        }
        self.slot(self.filler(false), audio)
    }

    fn slot(&mut self, lead: gst::Buffer, audio: &[Unit]) -> Result<(), Ended> {
        self.push_slot(lead, audio).map(|_| ()).map_err(|_| Ended)
    }

    /// One slot of the table.
    fn push_slot(&mut self, lead: gst::Buffer, audio: &[Unit]) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.slot += 1;
        let b = OFFSET.nseconds() + self.slot * 10;
        let Some(audio_pad) = &self.audio else {
            self.video.push(at(lead, b, b))?;
            return self.video.push(at(self.filler(false), b + 1, b + 1));
        };
        self.video.push(at(lead, b, b - 5))?;
        self.video.push(at(self.filler(false), b + 1, b - 4))?;
        for a in audio {
            audio_pad.push(at(self.disguised(a), b, b))?;
        }
        audio_pad.push(at(self.filler(false), b, b))?;
        self.video.push(at(self.filler(true), b + 2, b))?;
        audio_pad.push(at(self.filler(false), b + 1, b + 1))?;
        self.video.push(at(self.filler(true), b + 3, b + 1))
    }

    fn disguised(&self, unit: &Unit) -> gst::Buffer {
        self.shared.add_waiting(unit.buffer.size());
        super::disguise::disguised(unit)
    }

    fn filler(&self, delta: bool) -> gst::Buffer {
        filler(&self.filler, delta)
    }

    pub(super) fn end(&mut self, audio: &[Unit]) {
        if self.slot == 0 {
            self.shared.set_done(true);
            return;
        }
        let _ = self.feed_audio(audio);
        if let Some(pad) = &self.audio {
            pad.push_event(gst::event::Eos::new());
        }
        self.video.push_event(gst::event::Eos::new());
    }

    #[cfg(test)]
    pub(super) fn weak(&self) -> glib::WeakRef<gst::Object> {
        self.pipeline.upcast_ref::<gst::Object>().downgrade()
    }
}

impl Drop for SplitmuxWriter {
    fn drop(&mut self) {
        let complete = *lock(&self.shared.done) == Some(true);
        // First the pads: a thread that waits inside the pipeline must not be waited for.
        for pad in std::iter::once(&self.video).chain(&self.audio) {
            let _ = pad.set_active(false);
        }
        if !complete {
            // splitmuxsink, where its first file has just begun, forgets that a change of state told its threads to
            // leave: they would wait for ever, and we for them. A flush it does not forget.
            for peer in std::iter::once(&self.video)
                .chain(&self.audio)
                .filter_map(gst::prelude::PadExt::peer)
            {
                peer.send_event(gst::event::FlushStart::new());
            }
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
