//! Frames that leave the recorder again: handed from a live stream to a pipeline that sends them, on its own time line.

use gst::prelude::*;

use super::tap::{AccessUnit, UnitTrack};
use crate::error::{Error, ErrorKind, Result};

/// The sources of a sending pipeline and where frames go on its time line.
#[derive(Debug)]
pub(crate) struct Outlet {
    video: gst_app::AppSrc,
    audio: Option<gst_app::AppSrc>,
    /// Running time of the pipeline less that of the stream, from the first frame of a connection on.
    offset_ns: Option<i64>,
    /// Nothing of a later connection of the camera goes before this.
    end_ns: i64,
    /// So long ago the first frame of the connection was due.
    ago_ns: i64,
    /// Where video and audio are: decoding times never go back, some sinks take that for a fault of the program.
    last_ns: [i64; 2],
}

/// An `appsrc` for live frames that never makes its feeder wait.
pub(crate) fn source(name: &str, caps: &gst::Caps) -> gst_app::AppSrc {
    gst_app::AppSrc::builder()
        .name(name)
        .caps(caps)
        .format(gst::Format::Time)
        .is_live(true)
        .block(false)
        .max_bytes(0)
        .max_buffers(0)
        .build()
}

impl Outlet {
    pub(crate) fn new(video: gst_app::AppSrc, audio: Option<gst_app::AppSrc>) -> Self {
        Self {
            video,
            audio,
            offset_ns: None,
            end_ns: 0,
            ago_ns: 0,
            last_ns: [0; 2],
        }
    }

    /// The camera connected anew: its times begin anew, too.
    pub(crate) fn begin(&mut self) {
        self.begin_ago(0);
    }

    /// The same where the first frame to come was due a while ago: those that follow catch up. As far as the time line
    /// goes back.
    pub(crate) fn begin_ago(&mut self, ago_ns: i64) {
        self.offset_ns = None;
        self.ago_ns = ago_ns;
    }

    /// Bytes that the pipeline has not taken yet.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        let audio = self
            .audio
            .as_ref()
            .map_or(0, gst_app::AppSrc::current_level_bytes);
        self.video.current_level_bytes() + audio
    }

    /// Hands a frame on; never waits. The first video frame of a connection is due now, and all others keep their distance
    /// from it. Audio from before it is left out.
    ///
    /// # Errors
    /// `Unavailable` when the pipeline takes no more.
    pub(crate) fn push(&mut self, unit: &AccessUnit) -> Result<()> {
        let source = match unit.track {
            UnitTrack::Video => &self.video,
            UnitTrack::Audio => match &self.audio {
                Some(audio) => audio,
                None => return Ok(()),
            },
        };
        let offset = match (self.offset_ns, unit.track) {
            (Some(offset), _) => offset,
            (None, UnitTrack::Audio) => return Ok(()),
            (None, UnitTrack::Video) => {
                let now = source
                    .current_running_time()
                    .map_or(0, |t| i64::try_from(t.nseconds()).unwrap_or(i64::MAX));
                let due = now.saturating_sub(self.ago_ns).max(self.end_ns);
                let offset = due.saturating_sub(unit.dts_ns);
                self.offset_ns = Some(offset);
                offset
            }
        };
        let time = |ns: i64| {
            let at = ns.saturating_add(offset);
            u64::try_from(at).ok().map(gst::ClockTime::from_nseconds)
        };
        let Some(pts) = time(unit.pts_ns) else {
            return Ok(());
        };
        let last = &mut self.last_ns[usize::from(unit.track == UnitTrack::Audio)];
        let mut buffer = unit.buffer.copy();
        if let Some(b) = buffer.get_mut() {
            // Audio has one time only.
            if unit.track == UnitTrack::Video {
                *last = unit.dts_ns.saturating_add(offset).max(*last);
                b.set_pts(pts);
                b.set_dts(gst::ClockTime::from_nseconds(u64::try_from(*last).unwrap_or(0)));
            } else {
                *last = unit.pts_ns.saturating_add(offset).max(*last);
                b.set_pts(gst::ClockTime::from_nseconds(u64::try_from(*last).unwrap_or(0)));
                b.set_dts(gst::ClockTime::NONE);
            }
            b.set_duration(unit.duration.and_then(|d| gst::ClockTime::try_from(d).ok()));
        }
        const APART: i64 = 1_000_000;
        self.end_ns = self
            .end_ns
            .max(unit.pts_ns.max(unit.dts_ns).saturating_add(offset) + APART);
        source.push_buffer(buffer).map(drop).map_err(|e| {
            Error::new(
                ErrorKind::Unavailable,
                format!("the pipeline takes no more ({e:?})"),
            )
        })
    }
}
