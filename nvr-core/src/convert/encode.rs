//! One stretch of footage through decoder and encoder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::gst::{
    self, ArchiveSettings, CodedFrame, CodedVideo, Gate, RecodeFault, RecodeWith, Recoded, View,
};
use crate::media::InitTrack;
use crate::media::init::CodecConfig;
use crate::privacy::Privacy;
use crate::track::VideoCodec;

/// What is looked at has a keyframe at least so often.
const GOP_NS: i64 = 4_000_000_000;

/// What stands between footage and encoder.
pub(super) trait Stretch {
    /// To the beginning, for another encoder; `false` when something is out already.
    fn again(&mut self) -> Result<bool>;
    /// The next frame in decode order.
    fn next(&mut self) -> Result<Option<CodedFrame>>;
    /// What the encoder made.
    fn take(&mut self, made: Recoded) -> Result<()>;
}

/// The video of a track, as the decoder wants it.
pub(super) fn coded(track: &InitTrack) -> Result<CodedVideo> {
    let (codec, codec_data) = match &track.config {
        CodecConfig::Avc(config) => (VideoCodec::H264, config.clone()),
        CodecConfig::Hevc(config) => (VideoCodec::H265, config.clone()),
        _ => {
            let what = format!("video of the kind {} cannot be decoded here", track.sample_entry);
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
    };
    Ok(CodedVideo {
        codec,
        codec_data,
        size: (track.width.into(), track.height.into()),
    })
}

impl Inner {
    fn settings(&self, size: (u32, u32), full_range: bool) -> ArchiveSettings {
        // For encoders that know no constant quality: 0.1 bits a pixel at 30 frames a second.
        let bitrate = u64::from(size.0) * u64::from(size.1) * 3;
        ArchiveSettings {
            quality: self.config.load().quality,
            preset: None,
            threads: 0,
            full_range,
            bitrate_bps: bitrate.clamp(200_000, 50_000_000),
        }
    }

    /// Encodes a stretch, brought to a size or as it is, with what nobody is to see covered. Blocks; for a thread of its own. `Ok(false)` when it was told to
    /// stop.
    pub(super) fn encode(
        &self,
        track: &InitTrack,
        fit: Option<(u32, u32)>,
        privacy: Option<&Arc<Privacy>>,
        stretch: &mut dyn Stretch,
        stop: &AtomicBool,
    ) -> Result<bool> {
        let video = coded(track)?;
        let size = fit.unwrap_or(video.size);
        let settings = self.settings(size, video.is_full_range());
        let cell = std::cell::RefCell::new(stretch);
        let mut why = String::new();
        while !stop.load(Ordering::Acquire) {
            let Some(encoder) = self.catalogue.first(size, &settings) else {
                why = self.catalogue.why_none(size, &settings);
                break;
            };
            let with = RecodeWith {
                encoder,
                settings: &settings,
                priority: Some(self.config.load().priority),
                view: Some(View { fit, gop_ns: GOP_NS }),
                privacy,
            };
            let result = gst::recode(
                &video,
                with,
                || cell.borrow_mut().next(),
                &mut |made| cell.borrow_mut().take(made),
                &mut || match stop.load(Ordering::Acquire) {
                    true => Gate::Stop,
                    false => Gate::Go,
                },
            );
            match result {
                Ok(_) => return Ok(true),
                Err(RecodeFault::Stopped) => return Ok(false),
                Err(RecodeFault::Other(e)) => return Err(e),
                Err(RecodeFault::Input(why)) => {
                    return Err(Error::new(ErrorKind::Corrupt, why));
                }
                Err(RecodeFault::Encoder(words)) => {
                    tracing::warn!(
                        encoder = encoder.name,
                        reason = words,
                        "an encoder failed at its work"
                    );
                    self.catalogue.failed(encoder, size, &settings, &words);
                    if !cell.borrow_mut().again()? {
                        return Err(Error::new(
                            ErrorKind::Unavailable,
                            format!("{} failed: {words}", encoder.name),
                        )
                        .with_hint("try again: another encoder takes its place"));
                    }
                }
            }
        }
        if why.is_empty() {
            return Ok(false);
        }
        Err(Error::new(ErrorKind::Unsupported, why).with_hint(
            "install gstreamer1.0-plugins-ugly (x264enc) or gstreamer1.0-plugins-bad (openh264enc)",
        ))
    }
}
