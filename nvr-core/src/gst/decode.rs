//! Decodes a file whole, to see whether it can be.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;

use super::guard::guarded;
use super::sources::{make, on_pad};
use crate::error::{Error, ErrorKind, Result};

/// How often is asked whether to stop.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(100);
/// A file that gives nothing for so many looks is given up.
const PATIENCE: u32 = 300;

/// What decoding a file brought.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DecodeReport {
    /// Video frames in the file.
    pub frames: u64,
    /// Pictures that came of them.
    pub pictures: u64,
    /// Pictures among them that the decoder called damaged.
    pub damaged: u64,
    /// Why it was not decoded to its end.
    pub error: Option<String>,
}

impl DecodeReport {
    /// What is wrong with the file, in words; `None` when nothing is.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if let Some(error) = &self.error {
            return Some(format!("it cannot be decoded: {error}"));
        }
        if self.damaged > 0 {
            return Some(format!(
                "{} of {} pictures are damaged",
                self.damaged, self.pictures
            ));
        }
        // Without a single one there is nothing to compare.
        if self.pictures < self.frames || self.frames == 0 {
            return Some(format!("{} frames give {} pictures", self.frames, self.pictures));
        }
        None
    }
}

#[derive(Debug, Default)]
struct Counted {
    frames: AtomicU64,
    pictures: AtomicU64,
    damaged: AtomicU64,
}

/// Decodes all tracks of an MP4 or Matroska file as fast as it goes. Blocking; `stop` is asked many times a second.
///
/// # Errors
/// `Unavailable` when it was stopped, `Unsupported` when an element is missing. What is wrong with the file is in the
/// report.
pub fn decode_whole(path: &Path, matroska: bool, stop: &dyn Fn() -> bool) -> Result<DecodeReport> {
    super::init()?;
    let pipeline = gst::Pipeline::new();
    let result = run(&pipeline, path, matroska, stop);
    // Also after an error: an element that is not in NULL keeps its threads.
    let _ = pipeline.set_state(gst::State::Null);
    result
}

fn run(
    pipeline: &gst::Pipeline,
    path: &Path,
    matroska: bool,
    stop: &dyn Fn() -> bool,
) -> Result<DecodeReport> {
    let source = make("filesrc")?;
    source.set_property("location", path.to_string_lossy().as_ref());
    let demuxer = make(if matroska { "matroskademux" } else { "qtdemux" })?;
    pipeline.add_many([&source, &demuxer]).map_err(internal)?;
    source.link(&demuxer).map_err(internal)?;
    let counted = Arc::new(Counted::default());
    let (weak, counts) = (pipeline.downgrade(), Arc::clone(&counted));
    demuxer.connect_pad_added(move |demuxer, pad| {
        let fail = |e: &str| gst::element_error!(demuxer, gst::CoreError::Failed, ("{e}"));
        guarded("pad added", (), fail, || {
            let Some(pipeline) = weak.upgrade() else { return };
            if let Err(e) = branch(&pipeline, pad, &counts) {
                fail(&e.to_string());
            }
        });
    });
    let bus = pipeline.bus().ok_or_else(|| internal("no bus"))?;
    let mut report = DecodeReport::default();
    let mut silent = 0;
    if pipeline.set_state(gst::State::Playing).is_err() {
        report.error = Some(error_on(&bus).unwrap_or_else(|| "the pipeline does not start".into()));
        return Ok(report);
    }
    loop {
        if stop() {
            return Err(Error::new(ErrorKind::Unavailable, "decoding was stopped"));
        }
        let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
        match bus.timed_pop_filtered(LOOK, &wanted) {
            Some(message) => {
                if let gst::MessageView::Error(e) = message.view() {
                    report.error = Some(e.error().to_string());
                }
                break;
            }
            None => {
                let frames =
                    counted.frames.load(Ordering::Relaxed) + counted.pictures.load(Ordering::Relaxed);
                silent = if frames == report.frames { silent + 1 } else { 0 };
                report.frames = frames;
                if silent >= PATIENCE {
                    report.error = Some("nothing comes any more".into());
                    break;
                }
            }
        }
    }
    report.frames = counted.frames.load(Ordering::Relaxed);
    report.pictures = counted.pictures.load(Ordering::Relaxed);
    report.damaged = counted.damaged.load(Ordering::Relaxed);
    Ok(report)
}

/// Decodes one track; what the recorder does not write is let pass.
fn branch(pipeline: &gst::Pipeline, pad: &gst::Pad, counts: &Arc<Counted>) -> Result<()> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let name = caps.structure(0).map_or("", |s| s.name().as_str()).to_owned();
    let chain: &[&str] = match name.as_str() {
        "video/x-h264" => &["h264parse", "avdec_h264"],
        "video/x-h265" => &["h265parse", "avdec_h265"],
        "audio/mpeg" => &["aacparse", "avdec_aac"],
        _ => &[],
    };
    let mut elements = vec![make("queue")?];
    for name in chain {
        elements.push(make(name)?);
    }
    let is_video = name.starts_with("video/") && chain.len() == 2;
    if let Some(decoder) = elements.last().filter(|_| !chain.is_empty()) {
        // The first frame that cannot be decoded ends it.
        decoder.set_property("max-errors", 0i32);
        if is_video {
            decoder.set_property("max-threads", 1i32);
            count(decoder, counts)?;
        }
    }
    let sink = make("fakesink")?;
    sink.set_property("sync", false);
    // The end of a short track must not wait for the first picture of another.
    sink.set_property("async", false);
    elements.push(sink);
    pipeline.add_many(&elements).map_err(internal)?;
    gst::Element::link_many(&elements).map_err(internal)?;
    for element in &elements {
        element.sync_state_with_parent().map_err(internal)?;
    }
    let first = elements.first().and_then(|e| e.static_pad("sink"));
    let first = first.ok_or_else(|| internal("no pad"))?;
    pad.link(&first).map(drop).map_err(internal)
}

/// Counts what goes into a decoder and what comes out.
fn count(decoder: &gst::Element, counts: &Arc<Counted>) -> Result<()> {
    let pad = |name| decoder.static_pad(name).ok_or_else(|| internal("no pad"));
    let (into, out) = (Arc::clone(counts), Arc::clone(counts));
    on_pad(&pad("sink")?, gst::PadProbeType::BUFFER, move |_, _| {
        into.frames.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    on_pad(&pad("src")?, gst::PadProbeType::BUFFER, move |_, info| {
        out.pictures.fetch_add(1, Ordering::Relaxed);
        let damaged = info
            .buffer()
            .is_some_and(|b| b.flags().contains(gst::BufferFlags::CORRUPTED));
        out.damaged.fetch_add(u64::from(damaged), Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

fn error_on(bus: &gst::Bus) -> Option<String> {
    let message = bus.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(e) => Some(e.error().to_string()),
        _ => None,
    }
}

fn internal(e: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("decoding: {e}"))
}
