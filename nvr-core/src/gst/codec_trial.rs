//! Trials: do an encoder and a decoder really work here? And the report on all that the recorder knows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use gst::prelude::*;

use super::encoders::{Candidate, EncoderSettings, H264, H265};
use super::sources::{caps_filter, has, make, on_pad};
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::track::VideoCodec;

/// Whether a report is about encoding or decoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CodecKind {
    /// Makes a stream.
    Encoder,
    /// Reads a stream.
    Decoder,
}

/// What trying an encoder or decoder brought.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum Outcome {
    /// It gave pictures; so many a second, start-up included.
    Works {
        /// Frames per second.
        fps: f64,
    },
    /// Not installed, or no hardware for it.
    Absent,
    /// Not done in time: the machine is busy, or its driver hangs. It says nothing about another day.
    Slow {
        /// How far it came.
        reason: String,
    },
    /// Installed, but it does not work.
    Broken {
        /// What it said.
        reason: String,
    },
}

/// An encoder or decoder and what trying it brought.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct CodecReport {
    /// Name of the GStreamer element.
    pub name: String,
    /// Encoder or decoder.
    pub kind: CodecKind,
    /// Codec.
    pub codec: VideoCodec,
    /// Whether it runs on a GPU or another chip.
    pub hardware: bool,
    /// What trying it brought.
    pub outcome: Outcome,
}

const DECODERS: &[(&str, VideoCodec, bool)] = &[
    ("nvh264dec", VideoCodec::H264, true),
    ("qsvh264dec", VideoCodec::H264, true),
    ("vah264dec", VideoCodec::H264, true),
    ("vaapih264dec", VideoCodec::H264, true),
    ("v4l2h264dec", VideoCodec::H264, true),
    ("v4l2slh264dec", VideoCodec::H264, true),
    ("avdec_h264", VideoCodec::H264, false),
    ("openh264dec", VideoCodec::H264, false),
    ("nvh265dec", VideoCodec::H265, true),
    ("qsvh265dec", VideoCodec::H265, true),
    ("vah265dec", VideoCodec::H265, true),
    ("vaapih265dec", VideoCodec::H265, true),
    ("v4l2h265dec", VideoCodec::H265, true),
    ("v4l2slh265dec", VideoCodec::H265, true),
    ("avdec_h265", VideoCodec::H265, false),
];

/// How long one trial may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(6);

/// Frames of a trial.
const FRAMES: u32 = 8;

/// Encodes a few frames.
pub(crate) fn try_encoder(c: &Candidate, settings: &EncoderSettings, patience: Duration) -> Outcome {
    if !has(c.name) {
        return Outcome::Absent;
    }
    let (c, settings) = (*c, *settings);
    trial(patience, FRAMES, move || {
        let mut chain = source(settings.size, FRAMES)?;
        chain.extend(c.chain(&settings)?);
        Ok(chain)
    })
}

/// Decodes a few frames that an encoder on the CPU made.
fn try_decoder(name: &'static str, codec: VideoCodec) -> Outcome {
    if !has(name) {
        return Outcome::Absent;
    }
    let (encoders, parser) = match codec {
        VideoCodec::H264 => (H264, "h264parse"),
        VideoCodec::H265 => (H265, "h265parse"),
    };
    let Some(encoder) = encoders.iter().find(|c| !c.hardware && has(c.name)) else {
        return Outcome::Broken {
            reason: "cannot be tried: no encoder to make a stream with".into(),
        };
    };
    let encoder = *encoder;
    trial(PATIENCE, FRAMES, move || {
        let settings = EncoderSettings::live((640, 360), 25.0);
        let mut chain = source(settings.size, FRAMES)?;
        chain.extend(encoder.chain(&settings)?);
        chain.push(make(parser)?);
        chain.push(make(name)?);
        Ok(chain)
    })
}

/// Pictures of a size, so many of them.
pub(super) fn source(size: (u32, u32), frames: u32) -> Result<Vec<gst::Element>> {
    let src = make("videotestsrc")?;
    src.set_property("num-buffers", i32::try_from(frames).unwrap_or(8));
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", i32::try_from(size.0).unwrap_or(i32::MAX))
        .field("height", i32::try_from(size.1).unwrap_or(i32::MAX))
        .field("framerate", gst::Fraction::new(25, 1))
        .build();
    Ok(vec![src, caps_filter(&caps)?])
}

/// Runs a chain in a thread of its own, since a driver may hang in any call; then the thread is left behind.
/// The chain makes `wanted` frames.
pub(super) fn trial(
    patience: Duration,
    wanted: u32,
    chain: impl FnOnce() -> Result<Vec<gst::Element>> + Send + 'static,
) -> Outcome {
    let (tell, told) = mpsc::channel();
    let limit = gst::ClockTime::try_from(patience).unwrap_or(gst::ClockTime::from_seconds(6));
    let spawned = std::thread::Builder::new()
        .name("codec-trial".into())
        .spawn(move || {
            let _ = tell.send(run_trial(limit, wanted, chain));
        });
    let late = || Outcome::Slow {
        reason: "it hangs".into(),
    };
    match spawned {
        // The thread keeps the limit itself unless it hangs.
        Ok(_) => told
            .recv_timeout(patience + Duration::from_secs(1))
            .unwrap_or_else(|_| late()),
        Err(e) => Outcome::Broken {
            reason: format!("no thread: {e}"),
        },
    }
}

fn run_trial(
    limit: gst::ClockTime,
    wanted: u32,
    chain: impl FnOnce() -> Result<Vec<gst::Element>>,
) -> Outcome {
    let broken = |reason: String| Outcome::Broken { reason };
    let mut chain = match chain() {
        Ok(chain) => chain,
        Err(e) => return broken(e.to_string()),
    };
    let frames = Arc::new(AtomicU64::new(0));
    if let Some(pad) = chain.last().and_then(|e| e.static_pad("src")) {
        let frames = Arc::clone(&frames);
        on_pad(&pad, gst::PadProbeType::BUFFER, move |_, _| {
            frames.fetch_add(1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
    }
    match make("fakesink") {
        Ok(sink) => chain.push(sink),
        Err(e) => return broken(e.to_string()),
    }
    let pipeline = gst::Pipeline::new();
    if pipeline.add_many(&chain).is_err() || gst::Element::link_many(&chain).is_err() {
        return broken("its formats do not fit".into());
    }
    let Some(bus) = pipeline.bus() else {
        return broken("no bus".into());
    };
    let clock = SystemClock::new();
    let start = clock.steady_ns();
    let _ = pipeline.set_state(gst::State::Playing);
    let end = bus.timed_pop_filtered(limit, &[gst::MessageType::Eos, gst::MessageType::Error]);
    let seconds = (clock.steady_ns() - start) as f64 / 1e9;
    let _ = pipeline.set_state(gst::State::Null);
    let made = frames.load(Ordering::Relaxed);
    match end.as_ref().map(|m| m.view()) {
        None => Outcome::Slow {
            reason: format!("{made} frames of {FRAMES} in {:.0} s", limit.seconds_f64()),
        },
        Some(gst::MessageView::Error(e)) => broken(e.error().message().chars().take(200).collect()),
        _ if made < u64::from(wanted) => broken(format!("{made} frames came of {wanted}")),
        _ => Outcome::Works {
            fps: (made as f64 / seconds.max(1e-6) * 10.0).round() / 10.0,
        },
    }
}

/// Tries every encoder and decoder that the recorder knows, at 1280x720. Blocks for up to some seconds for each
/// that is installed and broken; call it where blocking is allowed.
///
/// # Errors
/// `Unsupported` when GStreamer cannot be initialised.
pub fn detect_codecs() -> Result<Vec<CodecReport>> {
    super::init()?;
    let settings = EncoderSettings::live((1280, 720), 25.0);
    let encoders = H264.iter().chain(H265).map(|c| CodecReport {
        name: c.name.into(),
        kind: CodecKind::Encoder,
        codec: c.codec,
        hardware: c.hardware,
        outcome: try_encoder(c, &settings, PATIENCE),
    });
    let decoders = DECODERS.iter().map(|&(name, codec, hardware)| CodecReport {
        name: name.into(),
        kind: CodecKind::Decoder,
        codec,
        hardware,
        outcome: try_decoder(name, codec),
    });
    Ok(encoders.chain(decoders).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_reported_whole() {
        let all = detect_codecs().unwrap();
        assert_eq!(all.len(), H264.len() + H265.len() + DECODERS.len());
        for name in ["x264enc", "x265enc", "avdec_h264", "avdec_h265", "openh264enc"] {
            let r = all.iter().find(|r| r.name == name).unwrap();
            assert!(matches!(r.outcome, Outcome::Works { .. }), "{r:?}");
        }
    }
}
