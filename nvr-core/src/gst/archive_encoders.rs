//! Encoders for recorded footage: constant quality, no reordering, keyframes only where they are asked for.
//!
//! H.265 for footage that is kept: the same elements as for live pictures, set up for the other end: time is there,
//! bytes are dear. The H.264 ones, for those who look at it, are in [`playback_encoders`](super::playback_encoders).

use gst::prelude::*;

use super::codec_trial::{Outcome, trial};
use super::sources::{caps_filter, has, make};
use crate::error::Result;
use crate::track::VideoCodec;

/// A property and its value; `{preset}`, `{quality}`, `{kbps}`, `{bps}`, `{threads}` (x265) and `{count}` (of threads) stand for what is wanted.
pub(super) type Setting = (&'static str, &'static str);

/// An encoder that may be there, and how it is set up for an archive.
#[derive(Clone, Copy, Debug)]
pub struct ArchiveEncoder {
    /// Name of the GStreamer element.
    pub name: &'static str,
    /// What it makes.
    pub codec: VideoCodec,
    /// Whether it runs on a GPU or another chip.
    pub hardware: bool,
    /// Its presets from quick to thorough; empty when it has none.
    pub presets: &'static [&'static str],
    /// The one that is taken when nobody names one that it has.
    pub default_preset: &'static str,
    pub(super) settings: &'static [Setting],
    /// Caps that its output must be asked for, empty for none.
    pub(super) output: &'static str,
}

pub(super) const NV_PRESETS: &[&str] = &["hp", "default", "hq"];
/// Target usage of Intel's encoders, from quick (7) to thorough (1).
pub(super) const USAGES: &[&str] = &["7", "6", "5", "4", "3", "2", "1"];
/// Presets of x265.
const X265_PRESETS: &[&str] = &[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
];

const fn hardware(
    name: &'static str,
    presets: &'static [&'static str],
    default_preset: &'static str,
    settings: &'static [Setting],
) -> ArchiveEncoder {
    ArchiveEncoder {
        name,
        codec: VideoCodec::H265,
        hardware: true,
        presets,
        default_preset,
        settings,
        output: "",
    }
}

pub(super) const VA: &[Setting] = &[
    ("rate-control", "cqp"),
    ("qpi", "{quality}"),
    ("qpp", "{quality}"),
    ("target-usage", "{preset}"),
    ("key-int-max", "1024"),
    ("b-frames", "0"),
];

/// H.265 encoders as they are known, hardware first. The order says nothing about speed.
pub const ARCHIVE_H265: &[ArchiveEncoder] = &[
    hardware(
        "nvh265enc",
        NV_PRESETS,
        "hq",
        &[
            ("preset", "{preset}"),
            ("rc-mode", "constqp"),
            ("qp-const", "{quality}"),
            ("gop-size", "-1"),
            ("bframes", "0"),
        ],
    ),
    hardware(
        "qsvh265enc",
        USAGES,
        "4",
        &[
            ("rate-control", "cqp"),
            ("qp-i", "{quality}"),
            ("qp-p", "{quality}"),
            ("target-usage", "{preset}"),
            ("gop-size", "0"),
            ("b-frames", "0"),
        ],
    ),
    hardware("vah265enc", USAGES, "4", VA),
    hardware("vah265lpenc", USAGES, "4", VA),
    hardware(
        "vaapih265enc",
        USAGES,
        "4",
        &[
            ("rate-control", "cqp"),
            ("init-qp", "{quality}"),
            ("quality-level", "{preset}"),
            ("keyframe-period", "0"),
            ("max-bframes", "0"),
        ],
    ),
    hardware(
        "v4l2h265enc",
        &[],
        "",
        &[(
            "extra-controls",
            "controls,video_bitrate={bps},video_gop_size=1024,repeat_sequence_header=1",
        )],
    ),
    hardware(
        "msdkh265enc",
        USAGES,
        "4",
        &[
            ("rate-control", "cqp"),
            ("qpi", "{quality}"),
            ("qpp", "{quality}"),
            ("target-usage", "{preset}"),
            ("gop-size", "0"),
            ("b-frames", "0"),
        ],
    ),
    X265,
];

/// The encoder on the processor.
pub(super) const X265: ArchiveEncoder = ArchiveEncoder {
    name: "x265enc",
    codec: VideoCodec::H265,
    hardware: false,
    presets: X265_PRESETS,
    default_preset: "veryfast",
    settings: &[
        ("speed-preset", "{preset}"),
        (
            "option-string",
            "crf={quality}:bframes=0:open-gop=0:scenecut=0:keyint=1000000:min-keyint=1:info=0:{threads}{colour}",
        ),
    ],
    output: "",
};

/// What an encoder is to make.
#[derive(Clone, PartialEq, Debug)]
pub struct ArchiveSettings {
    /// Constant quality: x265's CRF, the quantiser of others; 0 (best) to 51.
    pub quality: u8,
    /// Preset by the encoder's own name; one that it does not have leaves it at its default.
    pub preset: Option<String>,
    /// Threads of an encoder on the processor; 0 lets it take them all.
    pub threads: u32,
    /// The pictures use all values from 0 to 255, and players must be told.
    pub full_range: bool,
    /// Bits per second for an encoder that knows no constant quality.
    pub bitrate_bps: u64,
}

impl Default for ArchiveSettings {
    fn default() -> Self {
        Self {
            quality: 26,
            preset: None,
            threads: 1,
            full_range: false,
            bitrate_bps: 1_000_000,
        }
    }
}

impl ArchiveEncoder {
    /// Whether it can tell players that the full range of values is used.
    #[must_use]
    pub const fn tells_full_range(&self) -> bool {
        !self.hardware
    }

    /// The preset that it takes where `wanted` is asked for.
    #[must_use]
    pub fn preset<'a>(&self, wanted: Option<&'a str>) -> &'a str
    where
        'static: 'a,
    {
        match wanted {
            Some(wanted) if self.presets.contains(&wanted) => wanted,
            _ => self.default_preset,
        }
    }

    fn apply(&self, e: &gst::Element, s: &ArchiveSettings) {
        // Decoders of this GStreamer tell the range of no stream, so the element cannot pass it on.
        let colour = match (s.full_range, self.codec) {
            (false, _) => "",
            (true, VideoCodec::H265) => ":range=full",
            (true, VideoCodec::H264) => ":fullrange=on",
        };
        let threads = match s.threads {
            0 => String::new(),
            // One frame at a time, and one worker: x265 else takes a thread for each processor.
            1 => "pools=1:frame-threads=1".into(),
            n => format!("pools={n}"),
        };
        for (name, value) in self.settings {
            let value = value
                .replace("{preset}", self.preset(s.preset.as_deref()))
                .replace("{quality}", &s.quality.min(51).to_string())
                .replace("{kbps}", &(s.bitrate_bps / 1000).max(1).to_string())
                .replace("{bps}", &s.bitrate_bps.to_string())
                .replace("{threads}", &threads)
                .replace("{count}", &s.threads.to_string())
                .replace("{colour}", colour);
            let value = value.trim_end_matches(':');
            let Some(spec) = e.find_property(name) else {
                continue;
            };
            if let Ok(v) = gst::glib::Value::deserialize_with_pspec(value, &spec) {
                e.set_property_from_value(name, &v);
            }
        }
    }

    /// The elements that turn 4:2:0 pictures into a stream; the last is the encoder.
    ///
    /// # Errors
    /// `Unsupported` when the element cannot be made.
    pub(super) fn chain(&self, settings: &ArchiveSettings) -> Result<Vec<gst::Element>> {
        let convert = make("videoconvert")?;
        let formats = gst::Caps::builder("video/x-raw")
            .field("format", gst::List::new(["I420", "NV12"]))
            .build();
        let raw = caps_filter(&formats)?;
        let encoder = make(self.name)?;
        self.apply(&encoder, settings);
        Ok(vec![convert, raw, encoder])
    }

    /// What follows the encoder: its stream in length-prefixed access units, parameter sets in the caps.
    ///
    /// # Errors
    /// `Unsupported` when the parser is missing.
    pub(super) fn stream(&self) -> Result<Vec<gst::Element>> {
        let (parser, media_type, format) = match self.codec {
            VideoCodec::H264 => ("h264parse", "video/x-h264", "avc"),
            VideoCodec::H265 => ("h265parse", "video/x-h265", "hvc1"),
        };
        let mut chain = Vec::new();
        if !self.output.is_empty()
            && let Ok(caps) = self.output.parse::<gst::Caps>()
        {
            chain.push(caps_filter(&caps)?);
        }
        chain.push(make(parser)?);
        chain.push(caps_filter(
            &gst::Caps::builder(media_type)
                .field("stream-format", format)
                .field("alignment", "au")
                .build(),
        )?);
        Ok(chain)
    }

    /// Encodes some frames at a size, and says how fast it went.
    #[must_use]
    pub fn try_at(
        &self,
        size: (u32, u32),
        settings: &ArchiveSettings,
        patience: std::time::Duration,
    ) -> Outcome {
        if let Err(e) = super::init() {
            return Outcome::Broken {
                reason: e.to_string(),
            };
        }
        if !has(self.name) {
            return Outcome::Absent;
        }
        let (this, settings) = (*self, settings.clone());
        trial(patience, TRIAL_FRAMES, move || {
            let mut chain = super::codec_trial::source(size, TRIAL_FRAMES)?;
            chain.extend(this.chain(&settings)?);
            chain.extend(this.stream()?);
            Ok(chain)
        })
    }
}

/// Frames of a trial: enough to tell fast from slow, few enough for a start.
const TRIAL_FRAMES: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::H265_ENCODERS;

    #[test]
    fn those_that_can_be_named_are_those_that_are_known() {
        let known: Vec<&str> = ARCHIVE_H265.iter().map(|e| e.name).collect();
        assert_eq!(known, H265_ENCODERS);
    }
}
