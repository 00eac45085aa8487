//! Sound that came through no pipeline, to AAC as the recorder makes it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::audio::{Chain, Target};
use super::lean::audio_caps;
use super::writer::{OFFSET, audio_entry};
use crate::error::{Error, ErrorKind, Result};
use crate::media::mux::AudioEntry;
use crate::rtsp::AudioParams;

/// A packet and its time, in nanoseconds on the caller's line.
type Timed = (Vec<u8>, i64);

/// Decodes and encodes in the calling thread.
#[derive(Debug)]
pub(crate) struct AacMaker {
    chain: Chain,
    out: Arc<Mutex<Vec<Timed>>>,
    entry: Arc<OnceLock<AudioEntry>>,
}

impl AacMaker {
    /// For sound of this kind.
    ///
    /// # Errors
    /// `Unsupported` when GStreamer has no decoder for it, or no encoder.
    pub(crate) fn new(of: &AudioParams) -> Result<Self> {
        let out: Arc<Mutex<Vec<Timed>>> = Arc::default();
        let entry: Arc<OnceLock<AudioEntry>> = Arc::default();
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(OFFSET);
        let (into, known) = (Arc::clone(&out), Arc::clone(&entry));
        let chain = Chain::new(
            Target::Aac,
            &audio_caps(of),
            &segment,
            Box::new(move |caps, buffer| {
                let (Some(pts), Ok(data)) = (buffer.pts(), buffer.map_readable()) else {
                    return;
                };
                if known.get().is_none()
                    && let Ok(entry) = audio_entry(caps)
                {
                    let _ = known.set(entry);
                }
                let at_ns = pts.nseconds() as i64 - OFFSET.nseconds() as i64;
                let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
                into.push((data.to_vec(), at_ns));
            }),
        )?;
        Ok(Self { chain, out, entry })
    }

    /// Converts a packet of the time `at_ns`; gives what is made so far. Blocks for well under a millisecond.
    ///
    /// # Errors
    /// `Unsupported` when it cannot be decoded.
    pub(crate) fn push(&self, data: Vec<u8>, at_ns: i64) -> Result<Vec<Timed>> {
        let mut buffer = gst::Buffer::from_mut_slice(data);
        if let Some(b) = buffer.get_mut() {
            let at = at_ns.saturating_add(OFFSET.nseconds() as i64);
            b.set_pts(gst::ClockTime::from_nseconds(u64::try_from(at).unwrap_or(0)));
        }
        self.chain
            .push(buffer)
            .map_err(|_| Error::new(ErrorKind::Unsupported, "the sound cannot be decoded"))?;
        Ok(std::mem::take(
            &mut *self.out.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// What a file says of it; known once something was made.
    pub(crate) fn entry(&self) -> Option<&AudioEntry> {
        self.entry.get()
    }
}
