//! Encoders: which there may be, how each is set up, and the best that really works here.
//!
//! An element's rank and its mere presence say nothing: a driver may be absent, too old or broken. So each
//! candidate encodes a few frames before it is believed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gst::prelude::*;

use super::codec_trial::{Outcome, PATIENCE, try_encoder};
use crate::error::{Error, ErrorKind, Result};
use crate::track::VideoCodec;

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
/// `Timeout` when one did not say in time whether it works and no other does; `Unsupported` when none works.
/// Both say what was tried.
pub(crate) fn best(candidates: &[Candidate], settings: &EncoderSettings) -> Result<Candidate> {
    best_of(candidates, settings, PATIENCE)
}

fn best_of(candidates: &[Candidate], settings: &EncoderSettings, patience: Duration) -> Result<Candidate> {
    let mut tried = Vec::new();
    let mut slow = false;
    for c in candidates {
        match try_encoder(c, settings, patience) {
            Outcome::Works { fps } => {
                tracing::debug!(encoder = c.name, fps, "encoder chosen");
                return Ok(*c);
            }
            Outcome::Absent => {}
            Outcome::Slow { reason } => {
                tracing::warn!(encoder = c.name, reason, "encoder not tried to the end");
                slow = true;
                tried.push(format!("{}: {reason}", c.name));
            }
            Outcome::Broken { reason } => {
                tracing::info!(encoder = c.name, reason, "encoder does not work");
                tried.push(format!("{}: {reason}", c.name));
            }
        }
    }
    let codec = candidates.first().map_or("video".into(), |c| c.codec.to_string());
    if slow {
        return Err(Error::new(
            ErrorKind::Timeout,
            format!("no {codec} encoder was ready in time ({})", tried.join("; ")),
        )
        .with_hint("the machine is too busy to encode now; it is tried again"));
    }
    let tried = if tried.is_empty() {
        "none is installed".into()
    } else {
        tried.join("; ")
    };
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("no {codec} encoder works here ({tried})"),
    )
    .with_hint("install gstreamer1.0-plugins-ugly (x264enc) or gstreamer1.0-plugins-bad (openh264enc)"))
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
        let outcome = trying(&hanging);
        assert!(matches!(outcome, Outcome::Slow { .. }), "{outcome:?}");
        for c in [&failing, &silent] {
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
        // Nothing is known of it: that is no reason to wait for minutes, as for a stream of a wrong kind.
        let e = best_of(&[absent, failing, hanging], &settings, Duration::from_millis(300)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Timeout, "{e}");
        let camera = crate::source::SourceSpec::parse("http://127.0.0.1/").unwrap();
        let cause = crate::gst::cause_of_build(&e, &camera);
        assert_ne!(cause.kind, crate::event::CauseKind::Unsupported, "{cause:?}");
    }
}
