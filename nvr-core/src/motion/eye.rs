//! A decoder and a detector: frames in, looks out. Blocks, so it is for the pool.

use super::{Detector, LIKELY, Look, WIDTH};
use crate::error::Result;
use crate::gst::{AccessUnit, ColourFrame, GreyDecoder, GreyInput, GreyStream, UnitTrack};
use crate::time::Timestamp;

/// With all frames decoded, looks are no closer than this: what moves has to move meanwhile.
const CLOSEST_NS: i64 = 180_000_000;

/// What a picture gave.
#[derive(Debug)]
pub(super) struct Glance {
    pub(super) at: Timestamp,
    pub(super) look: Look,
    /// The picture itself, if something may move in it and somebody wants to see what.
    pub(super) colour: Option<ColourFrame>,
}

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

    /// Decodes frames and looks at what comes out. After an error it goes on with the next keyframe. With `colours`,
    /// pictures in which something may move are kept.
    pub(super) fn see(
        &mut self,
        units: Vec<AccessUnit>,
        keyframes_only: bool,
        colours: bool,
    ) -> Result<Vec<Glance>> {
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
            for picture in frames {
                let at = unit.utc().add_ns(picture.pts_ns.saturating_sub(unit.pts_ns()));
                if !keyframes_only && at.as_ns().saturating_sub(self.last_ns).abs() < CLOSEST_NS {
                    continue;
                }
                self.last_ns = at.as_ns();
                let look = self.detector.look(&picture.grey, at.as_ns());
                let colour = (colours && look.score >= LIKELY).then_some(picture.colour);
                looks.push(Glance { at, look, colour });
            }
        }
        Ok(looks)
    }
}
