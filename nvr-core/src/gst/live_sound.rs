//! Audio for those who watch, in a codec that their way of watching takes.

use std::sync::{Arc, Mutex, PoisonError};

use super::audio::{self, Chain, Target};
use super::tap::{AccessUnit, StreamInfo, UnitTrack};
use super::writer::OFFSET;
use crate::media::mux::AudioEntry;
use crate::time::NS_PER_S;
use crate::track::AudioCodec;

/// Samples per second of what is converted.
const RATE: u32 = 48_000;

/// Converts the audio of one stream.
#[derive(Debug)]
pub struct LiveSound {
    target: Target,
    running: Option<Running>,
    refused: bool,
}

#[derive(Debug)]
struct Running {
    of: AccessUnit,
    chain: Chain,
    out: Arc<Mutex<Vec<AccessUnit>>>,
}

impl LiveSound {
    /// To AAC.
    #[must_use]
    pub const fn aac() -> Self {
        Self::to(Target::Aac)
    }

    /// To Opus, in packets of 20 ms.
    #[must_use]
    pub const fn opus() -> Self {
        Self::to(Target::Opus)
    }

    const fn to(target: Target) -> Self {
        Self {
            target,
            running: None,
            refused: false,
        }
    }

    /// Converts a packet: what comes of it, which may be nothing yet. A codec without a decoder gives nothing. Blocks for
    /// as long as encoding takes, which is well under a millisecond.
    pub fn push(&mut self, unit: &AccessUnit) -> Vec<AccessUnit> {
        if unit.track != UnitTrack::Audio || self.refused {
            return Vec::new();
        }
        if self.running.as_ref().is_some_and(|r| !r.of.same_stream(unit)) {
            self.running = None;
        }
        if self.running.is_none() {
            match self.start(unit) {
                Ok(running) => self.running = Some(running),
                Err(e) => {
                    tracing::warn!(error = %e, "live audio is left out");
                    self.refused = true;
                }
            }
        }
        let Some(running) = &self.running else {
            return Vec::new();
        };
        let mut buffer = unit.buffer.copy();
        if let Some(b) = buffer.get_mut() {
            let at = u64::try_from(unit.pts_ns.saturating_add(OFFSET.nseconds() as i64)).unwrap_or(0);
            b.set_pts(gst::ClockTime::from_nseconds(at));
            b.set_dts(gst::ClockTime::NONE);
        }
        if running.chain.push(buffer).is_err() {
            self.running = None;
            return Vec::new();
        }
        std::mem::take(&mut *running.out.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn start(&self, unit: &AccessUnit) -> crate::Result<Running> {
        let out: Arc<Mutex<Vec<AccessUnit>>> = Arc::default();
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(OFFSET);
        let (like, into) = (unit.clone(), Arc::clone(&out));
        let known: Mutex<Option<Arc<StreamInfo>>> = Mutex::default();
        let codec = match self.target {
            Target::Aac => AudioCodec::Aac,
            Target::Opus => AudioCodec::Opus,
        };
        let chain = Chain::new(
            self.target,
            &unit.info.caps,
            &segment,
            Box::new(move |caps, buffer| {
                let Some(pts) = buffer.pts() else { return };
                let pts_ns = pts.nseconds() as i64 - OFFSET.nseconds() as i64;
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                let info = known.get_or_insert_with(|| {
                    let mut tracks = like.info.tracks.clone();
                    if let Some(track) = &mut tracks.audio {
                        track.codec = codec;
                        track.sample_rate = RATE;
                    }
                    StreamInfo::new(caps.clone(), tracks)
                });
                let unit = AccessUnit {
                    info: Arc::clone(info),
                    track: UnitTrack::Audio,
                    keyframe: true,
                    pts_ns,
                    dts_ns: pts_ns,
                    duration: buffer.duration().map(Into::into),
                    utc: like.utc.add_ns(pts_ns.saturating_sub(like.pts_ns)),
                    buffer,
                };
                into.lock().unwrap_or_else(PoisonError::into_inner).push(unit);
            }),
        )?;
        Ok(Running {
            of: unit.clone(),
            chain,
            out,
        })
    }
}

impl AccessUnit {
    /// What the header of a file says of the audio when it has become AAC, and whether it has to become that first.
    pub(crate) fn live_audio_entry(&self) -> Option<(AudioEntry, bool)> {
        if audio::is_file_ready(&self.info.caps) {
            return Some((super::writer::audio_entry(&self.info.caps).ok()?, false));
        }
        let track = self.info.tracks.audio.as_ref()?;
        let channels = if track.channels >= 2 { 2 } else { 1 };
        // AAC-LC, 48 kHz (ISO/IEC 14496-3, 1.6.2.1): what the encoder makes, known before it has made anything.
        let config = vec![0x11, 0x80 | (channels << 3)];
        Some((
            AudioEntry {
                config,
                sample_rate: RATE,
                channels: u16::from(channels),
            },
            true,
        ))
    }

    /// Caps of the AAC that the audio is, or becomes; `None` when it can be none.
    pub(crate) fn aac_caps(&self) -> Option<gst::Caps> {
        let (entry, converted) = self.live_audio_entry()?;
        if !converted {
            return Some(self.info.caps.clone());
        }
        let caps = gst::Caps::builder("audio/mpeg")
            .field("mpegversion", 4i32)
            .field("stream-format", "raw")
            .field("framed", true)
            .field("rate", i32::try_from(entry.sample_rate).ok()?)
            .field("channels", i32::from(entry.channels))
            .field("codec_data", gst::Buffer::from_slice(entry.config));
        Some(caps.build())
    }

    /// Whether the audio has to be converted before it is AAC.
    pub(crate) fn becomes_aac(&self) -> bool {
        self.live_audio_entry().is_some_and(|(_, converted)| converted)
    }

    /// Duration of a packet in nanoseconds, with that of AAC where the stream does not say.
    pub(crate) fn audio_duration_ns(&self, sample_rate: u32) -> i64 {
        const AAC_SAMPLES: i64 = 1024;
        self.duration.map_or(
            AAC_SAMPLES * NS_PER_S / i64::from(sample_rate.max(1)),
            crate::time::duration_ns,
        )
    }
}
