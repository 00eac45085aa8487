//! Decodes a live stream as it comes and gives JPEG pictures of one size.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use gst::prelude::*;

use super::guard::guarded;
use super::mask::{self, Masking};
use super::sources::{caps_filter, make, on_pad};
use super::tap::{AccessUnit, StreamInfo, UnitTrack};
use crate::error::{Error, ErrorKind, Result};
use crate::privacy::Privacy;
use crate::time::{NS_PER_S, Timestamp};
use crate::track::VideoCodec;

/// Frames that wait for the decoder; with more it leaves out what is left of the group of pictures.
const WAITING: u64 = 30;
/// The same until it has caught up with the group of pictures that it begins with.
const WAITING_FIRST: u64 = 1500;
/// Largest picture that is decoded (8K).
const MOST_PIXELS: u64 = 7680 * 4320;

/// Takes a picture: when it was taken, and the JPEG.
pub(crate) type OnPicture = Arc<dyn Fn(Timestamp, Vec<u8>) + Send + Sync>;

/// A decoder that runs. Dropping it stops it; that may take some milliseconds.
#[derive(Debug)]
pub(crate) struct PictureStream {
    pipeline: gst::Pipeline,
    src: gst_app::AppSrc,
    info: Arc<StreamInfo>,
    waits_for_key: bool,
    most_waiting: u64,
    /// UTC of running time zero.
    offset_ns: Arc<AtomicI64>,
}

impl PictureStream {
    /// For the stream of a keyframe; `width` in pixels, the aspect is kept. What nobody is to see is covered. At most `fps` pictures (hundredths) a second
    /// come out. Blocks for some milliseconds.
    pub(crate) fn start(
        first: &AccessUnit,
        width: u32,
        fps: Arc<AtomicU32>,
        privacy: Option<Arc<Privacy>>,
        on_picture: OnPicture,
    ) -> Result<Self> {
        super::init()?;
        let video = &first.tracks().video;
        let (w, h) = (video.width, video.height);
        if w == 0 || h == 0 || u64::from(w) * u64::from(h) > MOST_PIXELS {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("a picture of {w}x{h} pixels is not decoded"),
            ));
        }
        let height = (u64::from(width) * u64::from(h) / u64::from(w)).clamp(16, 7680) as u32;
        let even = |n: u32| i32::try_from(n & !1).unwrap_or(16);
        let pipeline = gst::Pipeline::new();
        let src = gst_app::AppSrc::builder()
            .caps(&first.info.caps)
            .format(gst::Format::Time)
            .max_bytes(0)
            .build();
        let decoder = make(match video.codec {
            VideoCodec::H264 => "avdec_h264",
            VideoCodec::H265 => "avdec_h265",
        })?;
        // Frame threads would hold back a frame each.
        decoder.set_property("max-threads", 1i32);
        // A picture with damage is better than none.
        decoder.set_property("max-errors", -1i32);
        let scaled = caps_filter(
            &gst::Caps::builder("video/x-raw")
                .field("width", even(width))
                .field("height", even(height))
                .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
                .build(),
        )?;
        let encoder = make("jpegenc")?;
        encoder.set_property("quality", 75i32);
        let sink = gst_app::AppSink::builder()
            .sync(false)
            .max_buffers(2)
            .drop(true)
            .build();
        let mut chain: Vec<gst::Element> = vec![src.clone().upcast(), decoder.clone()];
        let codec_data = first.codec_data().map(|d| d.to_vec()).unwrap_or_default();
        chain.extend(mask::elements(Masking::of(privacy, video.codec, &codec_data))?);
        chain.extend([
            make("videoscale")?,
            make("videoconvert")?,
            scaled,
            encoder,
            sink.clone().upcast(),
        ]);
        pipeline.add_many(&chain).map_err(internal)?;
        gst::Element::link_many(&chain).map_err(internal)?;

        let pad = decoder.static_pad("src").ok_or_else(|| internal("no pad"))?;
        let last = AtomicI64::new(i64::MIN);
        on_pad(&pad, gst::PadProbeType::BUFFER, move |_, info| {
            let Some(pts) = info.buffer().and_then(|b| b.pts()) else {
                return gst::PadProbeReturn::Handled;
            };
            let pts = i64::try_from(pts.nseconds()).unwrap_or(i64::MAX);
            let least = NS_PER_S * 100 / i64::from(fps.load(Ordering::Relaxed).max(1));
            let before = last.load(Ordering::Relaxed);
            // A little early is in time: 25 fps thinned to 12 must not become 8.
            if before != i64::MIN && pts > before && pts - before < least - least / 8 {
                return gst::PadProbeReturn::Handled;
            }
            last.store(pts, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });

        let offset_ns = Arc::new(AtomicI64::new(0));
        let offset = Arc::clone(&offset_ns);
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let fail = |e: &str| gst::element_error!(sink, gst::CoreError::Failed, ("{e}"));
                    guarded("picture", Ok(gst::FlowSuccess::Ok), fail, || {
                        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                        let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
                        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
                        let pts = buffer.pts().map_or(0, gst::ClockTime::nseconds);
                        let utc = offset
                            .load(Ordering::Relaxed)
                            .saturating_add(i64::try_from(pts).unwrap_or(0));
                        on_picture(Timestamp::from_ns(utc), map.to_vec());
                        Ok(gst::FlowSuccess::Ok)
                    })
                })
                .build(),
        );
        if pipeline.set_state(gst::State::Playing).is_err() {
            let _ = pipeline.set_state(gst::State::Null);
            return Err(internal("the decoder does not start"));
        }
        Ok(Self {
            pipeline,
            src,
            info: Arc::clone(&first.info),
            waits_for_key: true,
            most_waiting: WAITING_FIRST,
            offset_ns,
        })
    }

    /// Whether a keyframe can go to this decoder: its stream has the same parameters.
    pub(crate) fn fits(&self, unit: &AccessUnit) -> bool {
        Arc::ptr_eq(&self.info, &unit.info) || self.info.caps == unit.info.caps
    }

    /// Hands a frame to the decoder; never waits.
    ///
    /// # Errors
    /// When the decoder has failed.
    pub(crate) fn push(&mut self, unit: &AccessUnit) -> Result<()> {
        if unit.track != UnitTrack::Video {
            return Ok(());
        }
        let waiting = self.src.current_level_buffers();
        if waiting >= self.most_waiting {
            self.waits_for_key = true;
            return Ok(());
        }
        if waiting < 3 && !unit.keyframe {
            self.most_waiting = WAITING;
        }
        if self.waits_for_key && !unit.keyframe {
            return Ok(());
        }
        self.waits_for_key = false;
        self.offset_ns
            .store(unit.utc.as_ns().saturating_sub(unit.pts_ns), Ordering::Relaxed);
        let mut buffer = unit.buffer.copy();
        if let Some(b) = buffer.get_mut() {
            let time = |ns: i64| u64::try_from(ns).ok().map(gst::ClockTime::from_nseconds);
            b.set_pts(time(unit.pts_ns));
            b.set_dts(time(unit.dts_ns));
        }
        self.src.push_buffer(buffer).map(drop).map_err(|_| {
            let why = self
                .pipeline
                .bus()
                .and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]))
                .and_then(|m| match m.view() {
                    gst::MessageView::Error(e) => Some(e.error().to_string()),
                    _ => None,
                });
            internal(why.unwrap_or_else(|| "the decoder ended".into()))
        })
    }
}

impl Drop for PictureStream {
    fn drop(&mut self) {
        // It waits for a frame that is being decoded, and whoever drops this may not be one to wait.
        let pipeline = self.pipeline.clone();
        let stop = move || {
            let _ = pipeline.set_state(gst::State::Null);
        };
        if let Err(e) = std::thread::Builder::new()
            .name("nvr-pictures".into())
            .spawn(stop)
        {
            tracing::error!(error = %e, "cannot start a thread to stop a decoder");
        }
    }
}

fn internal(e: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("pictures: {e}"))
}
