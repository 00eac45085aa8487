//! A run's audio: to the tap as it comes, to the recorder as AAC.

use std::sync::Arc;

use super::{Intake, TimeSegment, lock, running};
use crate::error::Result;
use crate::event::{Cause, CauseKind};
use crate::gst::audio::{self, Converter};
use crate::gst::retime::Retimer;
use crate::gst::spec::RunEvent;
use crate::gst::tap::{AccessUnit, StreamInfo, UnitTrack};
use crate::gst::writer::{OFFSET, Unit};
use crate::time::Timestamp;

#[derive(Debug, Default)]
pub(super) struct AudioIn {
    pub(super) segment: TimeSegment,
    pub(super) caps: Option<gst::Caps>,
    pub(super) info: Option<Arc<StreamInfo>>,
    pub(super) retimer: Retimer,
    pub(super) converter: Option<Converter>,
    pub(super) refused: bool,
}

impl Intake {
    pub(super) fn on_audio_event(&self, event: &gst::Event) {
        match event.view() {
            gst::EventView::Caps(e) => {
                let mut a = lock(&self.audio);
                a.caps = Some(e.caps_owned());
                a.info = None;
                a.converter = None;
                a.refused = false;
            }
            gst::EventView::Segment(e) => {
                if let Ok(segment) = e.segment().clone().downcast::<gst::ClockTime>() {
                    lock(&self.audio).segment = segment;
                }
            }
            _ => {}
        }
    }

    pub(super) fn on_audio(&self, _pad: &gst::Pad, buffer: gst::Buffer) {
        let mut a = lock(&self.audio);
        let Some(pts) = running(&a.segment, buffer.pts().or(buffer.dts())) else {
            return;
        };
        let (pts, dts) = a.retimer.fix(pts, pts, self.arrival_ns());
        if a.info.is_none() {
            let Some(caps) = a.caps.clone() else { return };
            a.info = Some(self.new_info(&caps, UnitTrack::Audio));
        }
        let Some(info) = a.info.clone() else { return };
        lock(&self.stats).bytes_in += buffer.size() as u64;
        let unit = AccessUnit {
            keyframe: true,
            duration: buffer.duration().map(Into::into),
            utc: self.run_clock.get().map_or(Timestamp::default(), |c| c.utc(pts)),
            buffer,
            info,
            track: UnitTrack::Audio,
            pts_ns: pts,
            dts_ns: dts,
        };
        if self.run_clock.get().is_some() {
            self.tap.push(&unit);
        }
        self.audio_unit(&mut a, &unit);
    }

    pub(super) fn audio_unit(&self, a: &mut AudioIn, unit: &AccessUnit) {
        if self.spec.record.is_none() || a.refused {
            return;
        }
        if audio::is_file_ready(&unit.info.caps) {
            self.to_recorder(&unit.info.caps, unit.buffer.clone(), unit.pts_ns);
            return;
        }
        if let Some(r) = lock(&self.recorder).as_mut() {
            r.audio_came();
        }
        if a.converter.is_none() {
            match self.new_converter(&unit.info.caps) {
                Ok(c) => a.converter = Some(c),
                Err(e) => {
                    a.refused = true;
                    self.tell(RunEvent::AudioTrouble(Cause::new(
                        CauseKind::Internal,
                        e.to_string(),
                    )));
                    return;
                }
            }
        }
        if let Some(converter) = &mut a.converter {
            let mut buffer = unit.buffer.clone();
            let at = (OFFSET.nseconds() as i64).saturating_add(unit.pts_ns).max(0);
            let b = buffer.make_mut();
            b.set_pts(gst::ClockTime::from_nseconds(at as u64));
            b.set_dts(gst::ClockTime::NONE);
            a.refused = !converter.push(buffer);
        }
    }

    fn new_converter(&self, caps: &gst::Caps) -> Result<Converter> {
        let (weak, told) = (self.me.clone(), self.me.clone());
        let mut segment = TimeSegment::new();
        segment.set_start(OFFSET);
        Converter::new(
            caps.clone(),
            segment,
            Box::new(move |caps, buffer| {
                let pts = buffer
                    .pts()
                    .map(|p| p.nseconds() as i64 - OFFSET.nseconds() as i64);
                if let (Some(me), Some(pts)) = (weak.upgrade(), pts) {
                    me.to_recorder(caps, buffer, pts);
                }
            }),
            Box::new(move |cause| {
                if let Some(me) = told.upgrade() {
                    me.tell(RunEvent::AudioTrouble(cause));
                }
            }),
        )
    }

    fn to_recorder(&self, caps: &gst::Caps, buffer: gst::Buffer, pts_ns: i64) {
        if let Some(r) = lock(&self.recorder).as_mut() {
            let unit = Unit {
                duration: buffer.duration(),
                buffer,
                pts_ns,
                dts_ns: pts_ns,
                keyframe: true,
            };
            r.audio(caps, unit);
        }
    }
}
