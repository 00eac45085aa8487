//! Recordings by hand: a wish with a place among those that are allowed.

use tokio::sync::OwnedSemaphorePermit;

use super::handle::RecordRequest;
use super::status::ManualRecording;
use super::supervisor::Actor;
use super::wish::{Wish, WishId};
use crate::config::RecordMode;
use crate::error::{Error, ErrorKind, Result};
use crate::event::CameraPhase;
use crate::time::duration_ns;

/// A recording by hand: wanted until it is stopped or its time is over, whatever the camera does.
#[derive(Debug)]
pub(super) struct Manual {
    info: ManualRecording,
    /// It is over, and its last segment is being closed.
    pub(super) ending: bool,
    _permit: OwnedSemaphorePermit,
}

impl Actor {
    pub(super) fn record(&mut self, request: RecordRequest) -> Result<ManualRecording> {
        let id = &self.config.id;
        if self.mode != RecordMode::Manual {
            let mode = self.mode.as_str();
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("camera {id} has record = {mode:?} now"),
            )
            .with_hint("set record = \"manual\", or its schedule, to record it by hand"));
        }
        let kept = self.config.pre_roll;
        let pre_roll = request.pre_roll.unwrap_or(kept);
        if pre_roll > kept {
            let (asked, kept) = (pre_roll.as_secs_f64(), kept.as_secs_f64());
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("camera {id} keeps {kept} s of what went before, and {asked} s were asked for"),
            )
            .with_hint("ask for less, or raise the camera's pre_roll"));
        }
        let (now, steady) = (self.context.clock.now(), self.now_ns());
        let length = request.duration.map(duration_ns);
        if let Some(manual) = &mut self.manual {
            if manual.ending {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("camera {id}: the last recording is being closed"),
                ));
            }
            // Asked again: the newest wish counts.
            manual.info.until = length.map(|l| now.add_ns(l));
            let info = manual.info.clone();
            self.status.set_manual(Some(info.clone()));
            let wish = Wish {
                id: WishId::Hand,
                from: info.since,
                until: info.until,
            };
            self.wishes.put(wish, now, steady);
            return Ok(info);
        }
        let permit = self.context.manual.clone().try_acquire_owned().map_err(|_| {
            Error::new(
                ErrorKind::Busy,
                "as many recordings by hand as allowed are going on",
            )
            .with_hint("stop one, or raise recorder.max_manual")
        })?;
        if let Some(cause) = &self.paused {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("camera {id} cannot be recorded now: {}", cause.message),
            ));
        }
        if self.machine.phase() != CameraPhase::Standby {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "camera {id} sends no frames now: {}",
                    self.machine.cause().message
                ),
            ));
        }
        let info = ManualRecording {
            since: now,
            until: length.map(|l| now.add_ns(l)),
        };
        self.manual = Some(Manual {
            info: info.clone(),
            ending: false,
            _permit: permit,
        });
        self.status.set_manual(Some(info.clone()));
        let wish = Wish {
            id: WishId::Hand,
            from: now.add_ns(-duration_ns(pre_roll)),
            until: info.until,
        };
        self.wishes.put(wish, now, steady);
        self.wishes_changed(steady);
        Ok(info)
    }

    /// Ends the recording by hand. Where nobody else wants the camera recorded, its last segment is closed in order.
    pub(super) fn end_manual(&mut self) {
        self.wishes.take(&WishId::Hand);
        if let Some(manual) = &mut self.manual {
            manual.ending = true;
            self.wishes_changed(self.now_ns());
        }
    }

    /// Its place is free for another, once nothing is written for it any more.
    pub(super) fn release_manual(&mut self) {
        if self.manual.take_if(|m| m.ending).is_some() {
            self.status.set_manual(None);
        }
    }
}
