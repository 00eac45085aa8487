//! Encoders and decoders of this machine: which there are, which really work, and the best of them.
//!
//! An element's rank and its mere presence say nothing: a driver may be absent, too old or broken. So each
//! candidate encodes a few frames before it is believed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use gst::prelude::*;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
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

/// A property and its value, `{kbps}`, `{bps}` and `{gop}` standing for numbers. One that an element does not have
/// or take is left out: names differ from version to version.
type Setting = (&'static str, &'static str);

/// An encoder that may be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub name: &'static str,
    pub codec: VideoCodec,
    pub hardware: bool,
    settings: &'static [Setting],
    /// Caps that its output must be asked for, empty for none.
    output: &'static str,
}

const fn candidate(name: &'static str, codec: VideoCodec, settings: &'static [Setting]) -> Candidate {
    Candidate {
        name,
        codec,
        hardware: true,
        settings,
        output: "",
    }
}

const NV: &[Setting] = &[
    ("preset", "low-latency-hq"),
    ("rc-mode", "vbr"),
    ("bitrate", "{kbps}"),
    ("gop-size", "{gop}"),
    ("bframes", "0"),
    ("zerolatency", "true"),
];
const QSV: &[Setting] = &[
    ("rate-control", "vbr"),
    ("bitrate", "{kbps}"),
    ("gop-size", "{gop}"),
    ("b-frames", "0"),
    ("low-latency", "true"),
];
const VA: &[Setting] = &[
    ("rate-control", "vbr"),
    ("bitrate", "{kbps}"),
    ("key-int-max", "{gop}"),
    ("b-frames", "0"),
];
const VAAPI: &[Setting] = &[
    ("rate-control", "vbr"),
    ("bitrate", "{kbps}"),
    ("keyframe-period", "{gop}"),
    ("max-bframes", "0"),
];
const MSDK: &[Setting] = &[
    ("rate-control", "vbr"),
    ("bitrate", "{kbps}"),
    ("gop-size", "{gop}"),
    ("b-frames", "0"),
];
const V4L2: &[Setting] = &[(
    "extra-controls",
    "controls,video_bitrate={bps},video_gop_size={gop},repeat_sequence_header=1",
)];

/// H.264 encoders, the best first: discrete GPU, integrated GPU, other chips, then the CPU.
pub(crate) const H264: &[Candidate] = &[
    candidate("nvh264enc", VideoCodec::H264, NV),
    candidate("qsvh264enc", VideoCodec::H264, QSV),
    candidate("vah264enc", VideoCodec::H264, VA),
    candidate("vah264lpenc", VideoCodec::H264, VA),
    candidate("vaapih264enc", VideoCodec::H264, VAAPI),
    Candidate {
        output: "video/x-h264,profile=main,level=(string)4",
        ..candidate("v4l2h264enc", VideoCodec::H264, V4L2)
    },
    candidate("msdkh264enc", VideoCodec::H264, MSDK),
    Candidate {
        hardware: false,
        ..candidate(
            "x264enc",
            VideoCodec::H264,
            &[
                ("tune", "zerolatency"),
                ("speed-preset", "veryfast"),
                ("bitrate", "{kbps}"),
                ("key-int-max", "{gop}"),
                ("bframes", "0"),
            ],
        )
    },
    Candidate {
        hardware: false,
        ..candidate(
            "openh264enc",
            VideoCodec::H264,
            &[
                ("rate-control", "bitrate"),
                ("bitrate", "{bps}"),
                ("gop-size", "{gop}"),
                ("complexity", "low"),
            ],
        )
    },
];

/// H.265 encoders, the best first.
pub(crate) const H265: &[Candidate] = &[
    candidate("nvh265enc", VideoCodec::H265, NV),
    candidate("qsvh265enc", VideoCodec::H265, QSV),
    candidate("vah265enc", VideoCodec::H265, VA),
    candidate("vah265lpenc", VideoCodec::H265, VA),
    candidate("vaapih265enc", VideoCodec::H265, VAAPI),
    candidate("v4l2h265enc", VideoCodec::H265, V4L2),
    candidate("msdkh265enc", VideoCodec::H265, MSDK),
    Candidate {
        hardware: false,
        ..candidate(
            "x265enc",
            VideoCodec::H265,
            &[
                ("speed-preset", "superfast"),
                ("bitrate", "{kbps}"),
                ("key-int-max", "{gop}"),
                ("option-string", "bframes=0:open-gop=0"),
            ],
        )
    },
];

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

/// What an encoder is to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncoderSettings {
    /// Pictures; encoders are tried at this size.
    pub size: (u32, u32),
    /// Bits per second.
    pub bitrate_bps: u64,
    /// Most frames from keyframe to keyframe.
    pub gop: u32,
}

impl EncoderSettings {
    /// A bit rate that shows a camera's picture well, and what else suits a live picture.
    pub(crate) fn live(size: (u32, u32), frame_rate: f64) -> Self {
        let rate = if frame_rate > 0.0 {
            frame_rate.min(120.0)
        } else {
            25.0
        };
        let bits = f64::from(size.0) * f64::from(size.1) * rate * 0.1;
        Self {
            size,
            bitrate_bps: (bits as u64).clamp(200_000, 50_000_000),
            gop: ((rate * 2.0) as u32).max(1),
        }
    }
}

impl Candidate {
    /// Makes the element and sets it up.
    pub(crate) fn element(&self, settings: &EncoderSettings) -> Result<gst::Element> {
        let e = super::sources::make(self.name)?;
        self.apply(&e, settings);
        Ok(e)
    }

    fn apply(&self, e: &gst::Element, s: &EncoderSettings) {
        for (name, value) in self.settings {
            let value = value
                .replace("{kbps}", &(s.bitrate_bps / 1000).to_string())
                .replace("{bps}", &s.bitrate_bps.to_string())
                .replace("{gop}", &s.gop.to_string());
            let Some(spec) = e.find_property(name) else {
                continue;
            };
            if let Ok(v) = gst::glib::Value::deserialize_with_pspec(&value, &spec) {
                e.set_property_from_value(name, &v);
            }
        }
    }

    /// The elements that turn raw pictures into a stream, set up for what really comes.
    ///
    /// A keyframe is asked for every two seconds, whatever the frame rate.
    pub(crate) fn chain(&self, settings: &EncoderSettings) -> Result<Vec<gst::Element>> {
        let convert = super::sources::make("videoconvert")?;
        // 4:2:0 only: few players show anything else.
        let formats = gst::Caps::builder("video/x-raw")
            .field("format", gst::List::new(["I420", "NV12"]))
            .build();
        let raw = super::sources::caps_filter(&formats)?;
        let encoder = self.element(settings)?;
        if let Some(sink) = encoder.static_pad("sink") {
            self.follow(&sink);
        }
        let mut chain = vec![convert, raw, encoder];
        if let Ok(caps) = self.output.parse::<gst::Caps>()
            && !self.output.is_empty()
        {
            chain.push(super::sources::caps_filter(&caps)?);
        }
        Ok(chain)
    }

    /// Sets the encoder up from the caps that reach it and asks for keyframes by time.
    fn follow(&self, sink: &gst::Pad) {
        let this = *self;
        super::sources::on_pad(sink, gst::PadProbeType::EVENT_DOWNSTREAM, move |pad, info| {
            if let Some(event) = info.event()
                && let gst::EventView::Caps(caps) = event.view()
                && let Ok(video) = gst_video::VideoInfo::from_caps(caps.caps())
                && let Some(encoder) = pad.parent_element()
            {
                let fps = video.fps();
                let rate = if fps.denom() > 0 {
                    f64::from(fps.numer()) / f64::from(fps.denom())
                } else {
                    0.0
                };
                let mut settings = EncoderSettings::live((video.width(), video.height()), rate);
                if rate <= 0.0 {
                    // Variable: time alone decides.
                    settings.gop = 240;
                }
                this.apply(&encoder, &settings);
            }
            gst::PadProbeReturn::Ok
        });
        const KEY_NS: u64 = 2_000_000_000;
        let next = AtomicU64::new(0);
        super::sources::on_pad(sink, gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(pts) = info.buffer().and_then(|b| b.pts()) {
                let due = next.load(Ordering::Relaxed);
                if pts.nseconds() >= due {
                    next.store(pts.nseconds() + KEY_NS, Ordering::Relaxed);
                    if due > 0
                        && let Some(source) = pad.parent_element().and_then(|e| e.static_pad("src"))
                    {
                        source.send_event(
                            gst_video::UpstreamForceKeyUnitEvent::builder()
                                .all_headers(true)
                                .build(),
                        );
                    }
                }
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// The first of `candidates` that works at the size of `settings`.
///
/// # Errors
/// `Unsupported`, saying what was tried.
pub(crate) fn best(candidates: &[Candidate], settings: &EncoderSettings) -> Result<Candidate> {
    let mut tried = Vec::new();
    for c in candidates {
        match try_encoder(c, settings, PATIENCE) {
            Outcome::Works { fps } => {
                tracing::debug!(encoder = c.name, fps, "encoder chosen");
                return Ok(*c);
            }
            Outcome::Absent => {}
            Outcome::Broken { reason } => {
                tracing::info!(encoder = c.name, reason, "encoder does not work");
                tried.push(format!("{}: {reason}", c.name));
            }
        }
    }
    let tried = if tried.is_empty() {
        "none is installed".into()
    } else {
        tried.join("; ")
    };
    let codec = candidates.first().map_or("video".into(), |c| c.codec.to_string());
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("no {codec} encoder works here ({tried})"),
    )
    .with_hint("install gstreamer1.0-plugins-ugly (x264enc) or gstreamer1.0-plugins-bad (openh264enc)"))
}

/// How long one trial may take.
const PATIENCE: Duration = Duration::from_secs(6);

/// Frames of a trial.
const FRAMES: u32 = 8;

/// Encodes a few frames.
pub(crate) fn try_encoder(c: &Candidate, settings: &EncoderSettings, patience: Duration) -> Outcome {
    if !super::sources::has(c.name) {
        return Outcome::Absent;
    }
    let (c, settings) = (*c, *settings);
    trial(patience, move || {
        let mut chain = source(settings.size)?;
        chain.extend(c.chain(&settings)?);
        Ok(chain)
    })
}

/// Decodes a few frames that an encoder on the CPU made.
fn try_decoder(name: &'static str, codec: VideoCodec) -> Outcome {
    if !super::sources::has(name) {
        return Outcome::Absent;
    }
    let (encoders, parser) = match codec {
        VideoCodec::H264 => (H264, "h264parse"),
        VideoCodec::H265 => (H265, "h265parse"),
    };
    let Some(encoder) = encoders
        .iter()
        .find(|c| !c.hardware && super::sources::has(c.name))
    else {
        return Outcome::Broken {
            reason: "cannot be tried: no encoder to make a stream with".into(),
        };
    };
    let encoder = *encoder;
    trial(PATIENCE, move || {
        let settings = EncoderSettings::live((640, 360), 25.0);
        let mut chain = source(settings.size)?;
        chain.extend(encoder.chain(&settings)?);
        chain.push(super::sources::make(parser)?);
        chain.push(super::sources::make(name)?);
        Ok(chain)
    })
}

fn source(size: (u32, u32)) -> Result<Vec<gst::Element>> {
    let src = super::sources::make("videotestsrc")?;
    src.set_property("num-buffers", i32::try_from(FRAMES).unwrap_or(8));
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", i32::try_from(size.0).unwrap_or(i32::MAX))
        .field("height", i32::try_from(size.1).unwrap_or(i32::MAX))
        .field("framerate", gst::Fraction::new(25, 1))
        .build();
    Ok(vec![src, super::sources::caps_filter(&caps)?])
}

/// Runs a chain in a thread of its own, since a driver may hang in any call; then the thread is left behind.
fn trial(patience: Duration, make: impl FnOnce() -> Result<Vec<gst::Element>> + Send + 'static) -> Outcome {
    let (tell, told) = mpsc::channel();
    let limit = gst::ClockTime::try_from(patience).unwrap_or(gst::ClockTime::from_seconds(6));
    let spawned = std::thread::Builder::new()
        .name("codec-trial".into())
        .spawn(move || {
            let _ = tell.send(run_trial(limit, make));
        });
    let late = || Outcome::Broken {
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

fn run_trial(limit: gst::ClockTime, make: impl FnOnce() -> Result<Vec<gst::Element>>) -> Outcome {
    let broken = |reason: String| Outcome::Broken { reason };
    let mut chain = match make() {
        Ok(chain) => chain,
        Err(e) => return broken(e.to_string()),
    };
    let frames = Arc::new(AtomicU64::new(0));
    if let Some(pad) = chain.last().and_then(|e| e.static_pad("src")) {
        let frames = Arc::clone(&frames);
        super::sources::on_pad(&pad, gst::PadProbeType::BUFFER, move |_, _| {
            frames.fetch_add(1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
    }
    match super::sources::make("fakesink") {
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
        None => broken("it takes too long".into()),
        Some(gst::MessageView::Error(e)) => broken(e.error().message().chars().take(200).collect()),
        _ if made < u64::from(FRAMES) => broken(format!("{made} frames came of {FRAMES}")),
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

    /// Registers an installed element under another name.
    fn alias(name: &str, of: &str) {
        let kind = gst::ElementFactory::find(of)
            .unwrap()
            .load()
            .unwrap()
            .element_type();
        gst::Element::register(None, name, gst::Rank::NONE, kind).unwrap();
    }

    fn fake(name: &'static str, settings: &'static [Setting]) -> Candidate {
        candidate(name, VideoCodec::H264, settings)
    }

    #[test]
    fn the_first_that_really_works_is_taken() {
        super::super::init().unwrap();
        alias("fakefailingenc", "identity");
        alias("fakesilentenc", "identity");
        alias("fakehangingenc", "identity");
        alias("fakegoodenc", "x264enc");
        let settings = EncoderSettings::live((320, 240), 10.0);
        let trying = |c: &Candidate| try_encoder(c, &settings, Duration::from_millis(1500));

        let absent = fake("fakeabsentenc", &[]);
        let failing = fake("fakefailingenc", &[("error-after", "3")]);
        let silent = fake("fakesilentenc", &[("drop-probability", "1.0")]);
        let hanging = fake("fakehangingenc", &[("sleep-time", "1000000")]);
        let good = fake(
            "fakegoodenc",
            &[
                ("no-such-property", "1"),
                ("bitrate", "{kbps}"),
                ("tune", "no-such-value"),
            ],
        );
        assert_eq!(trying(&absent), Outcome::Absent);
        for c in [&failing, &silent, &hanging] {
            let outcome = trying(c);
            assert!(
                matches!(&outcome, Outcome::Broken { reason } if !reason.is_empty()),
                "{}: {outcome:?}",
                c.name
            );
        }
        assert!(matches!(trying(&good), Outcome::Works { fps } if fps > 0.0));

        assert_eq!(
            best(&[absent, failing, silent, good], &settings).unwrap().name,
            "fakegoodenc"
        );
        let e = best(&[absent, failing], &settings).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.to_string().contains("fakefailingenc"), "{e}");
    }

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
