//! A whole file from one codec to H.265 in one pipeline, for measuring: any MP4 in, MP4 out.

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use gst::prelude::*;

use super::archive_encoders::{ArchiveEncoder, ArchiveSettings};
use super::calm::{self, Said};
use super::recode::decoder;
use super::sources::{make, on_pad};
use crate::error::{Error, ErrorKind, Result};
use crate::track::VideoCodec;

/// How long one file may take.
const PATIENCE: Duration = Duration::from_hours(4);

/// What came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileRecode {
    /// Frames.
    pub frames: u64,
    /// Bytes of video, without the packing.
    pub video_bytes: u64,
    /// From the first frame to the end of the last, nanoseconds.
    pub duration_ns: i64,
}

/// Encodes the video of a file again, without sound. Blocks.
///
/// # Errors
/// `NotFound` when it is not there, `Unsupported` or `Corrupt` when it cannot be decoded or encoded.
pub fn recode_file(
    input: &Path,
    codec: VideoCodec,
    encoder: &ArchiveEncoder,
    settings: &ArchiveSettings,
    output: &Path,
) -> Result<FileRecode> {
    super::init()?;
    std::fs::metadata(input).map_err(|e| Error::io(input.display(), e))?;
    let fault = |what: String| Error::new(ErrorKind::Corrupt, format!("{}: {what}", input.display()));
    let pipeline = gst::Pipeline::new();
    let (src, demux) = (make("filesrc")?, make("qtdemux")?);
    src.set_property("location", input);
    let mut chain = vec![make("queue")?];
    chain.extend(decoder(codec)?);
    chain.push(make("queue")?);
    chain.extend(encoder.chain(settings)?);
    chain.extend(encoder.stream()?);
    let counted = chain.last().and_then(|e| e.static_pad("src"));
    let (mux, sink) = (make("mp4mux")?, make("filesink")?);
    sink.set_property("location", output);
    chain.extend([mux, sink]);
    pipeline
        .add_many([&src, &demux])
        .and_then(|()| pipeline.add_many(&chain))
        .map_err(|_| fault("no pipeline".into()))?;
    src.link(&demux)
        .map_err(|_| fault("it cannot be linked".into()))?;
    gst::Element::link_many(&chain).map_err(|_| fault("its formats do not fit".into()))?;
    let first = chain[0].downgrade();
    demux.connect_pad_added(move |_, pad| {
        super::guard::guarded(
            "pad-added",
            (),
            |_| {},
            || {
                if pad.name().starts_with("video")
                    && let Some(sink) = first.upgrade().and_then(|q| q.static_pad("sink"))
                    && !sink.is_linked()
                {
                    let _ = pad.link(&sink);
                }
            },
        );
    });
    let (frames, bytes, end) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicI64::new(0)),
    );
    if let Some(pad) = counted {
        let (frames, bytes, end) = (frames.clone(), bytes.clone(), end.clone());
        let start = AtomicI64::new(i64::MIN);
        on_pad(&pad, gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(b) = info.buffer() {
                frames.fetch_add(1, Ordering::Relaxed);
                bytes.fetch_add(b.size() as u64, Ordering::Relaxed);
                let pts = b.pts().map_or(0, |t| t.nseconds() as i64);
                let _ = start.compare_exchange(i64::MIN, pts, Ordering::Relaxed, Ordering::Relaxed);
                let length = b.duration().map_or(0, |d| d.nseconds() as i64);
                let until = pts + length - start.load(Ordering::Relaxed);
                end.fetch_max(until, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
    }
    let (tell, told) = mpsc::channel();
    calm::background(&pipeline, None, move |said| {
        let _ = tell.send(match said {
            Said::Eos => Ok(()),
            Said::Error(element, words) => Err(format!("{element}: {words}")),
        });
    });
    let result = match pipeline.set_state(gst::State::Playing) {
        Ok(_) => told
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| Err("it takes too long".into())),
        Err(_) => Err(told
            .try_recv()
            .ok()
            .and_then(std::result::Result::err)
            .unwrap_or_else(|| "it does not start".into())),
    };
    calm::stop(&pipeline);
    result.map_err(fault)?;
    Ok(FileRecode {
        frames: frames.load(Ordering::Relaxed),
        video_bytes: bytes.load(Ordering::Relaxed),
        duration_ns: end.load(Ordering::Relaxed),
    })
}

/// Codec and size of the video in an MP4 file.
///
/// # Errors
/// `NotFound` when it is not there, `Unsupported` when there is no H.264 or H.265 in it.
pub fn video_of(path: &Path) -> Result<(VideoCodec, (u32, u32))> {
    super::init()?;
    std::fs::metadata(path).map_err(|e| Error::io(path.display(), e))?;
    let pipeline = gst::Pipeline::new();
    let (src, demux) = (make("filesrc")?, make("qtdemux")?);
    src.set_property("location", path);
    let unsupported = || {
        Error::new(
            ErrorKind::Unsupported,
            format!("{}: no MP4 file with H.264 or H.265 in it", path.display()),
        )
        .with_hint("repack it, for instance with `ffmpeg -i FILE -c copy FILE.mp4`")
    };
    pipeline
        .add_many([&src, &demux])
        .and_then(|()| src.link(&demux))
        .map_err(|_| unsupported())?;
    let (tell, told) = mpsc::channel();
    let also = tell.clone();
    demux.connect_pad_added(move |_, pad| {
        super::guard::guarded(
            "pad-added",
            (),
            |_| {},
            || {
                if let Some(caps) = pad.current_caps()
                    && let Some(s) = caps.structure(0)
                {
                    let codec = match s.name().as_str() {
                        "video/x-h264" => VideoCodec::H264,
                        "video/x-h265" => VideoCodec::H265,
                        _ => return,
                    };
                    let side = |name: &str| s.get::<i32>(name).ok().and_then(|n| u32::try_from(n).ok());
                    if let (Some(w), Some(h)) = (side("width"), side("height")) {
                        let _ = tell.send(Some((codec, (w, h))));
                    }
                }
            },
        );
    });
    calm::background(&pipeline, None, move |_| {
        let _ = also.send(None);
    });
    let _ = pipeline.set_state(gst::State::Paused);
    let found = told.recv_timeout(Duration::from_secs(20)).ok().flatten();
    calm::stop(&pipeline);
    found.ok_or_else(unsupported)
}
