//! A decoder and a detector: frames in, looks out. Blocks, so it is for the pool.

use super::{Detector, Look, WIDTH};
use crate::error::Result;
use crate::gst::{AccessUnit, GreyDecoder, GreyInput, GreyStream, UnitTrack};
use crate::time::Timestamp;

/// With all frames decoded, looks are no closer than this: what moves has to move meanwhile.
const CLOSEST_NS: i64 = 180_000_000;

#[derive(Debug)]
pub(super) struct Eye {
    pub(super) detector: Detector,
    decoder: Option<GreyDecoder>,
    last_ns: i64,
}

impl Eye {
    pub(super) const fn new(detector: Detector) -> Self {
        Self {
            detector,
            decoder: None,
            last_ns: i64::MIN,
        }
    }

    /// Another connection begins: times begin anew, and who knows what the camera shows now.
    pub(super) fn begin(&mut self) {
        self.decoder = None;
        self.last_ns = i64::MIN;
        self.detector.forget();
    }

    /// Decodes frames and looks at what comes out. After an error it goes on with the next keyframe.
    pub(super) fn see(
        &mut self,
        units: Vec<AccessUnit>,
        keyframes_only: bool,
    ) -> Result<Vec<(Timestamp, Look)>> {
        let mut looks = Vec::new();
        for unit in units.into_iter().filter(|u| u.track() == UnitTrack::Video) {
            if unit.keyframe() {
                let stream = GreyStream::of_unit(&unit)?;
                if !self
                    .decoder
                    .as_ref()
                    .is_some_and(|d| d.fits(&stream, keyframes_only))
                {
                    self.decoder = Some(GreyDecoder::new(stream, keyframes_only, WIDTH)?);
                }
            }
            let Some(decoder) = &mut self.decoder else {
                continue;
            };
            let frames = match decoder.decode(GreyInput::of_unit(&unit)) {
                Ok(frames) => frames,
                Err(e) => {
                    self.decoder = None;
                    return Err(e);
                }
            };
            for (pts_ns, grey) in frames {
                let at = unit.utc().add_ns(pts_ns.saturating_sub(unit.pts_ns()));
                if !keyframes_only && at.as_ns().saturating_sub(self.last_ns).abs() < CLOSEST_NS {
                    continue;
                }
                self.last_ns = at.as_ns();
                looks.push((at, self.detector.look(&grey, at.as_ns())));
            }
        }
        Ok(looks)
    }
}
