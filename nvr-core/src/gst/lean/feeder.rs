//! From a session's events to buffers on the element's pads.

use glib::WeakRef;
use gst::prelude::*;

use super::caps;
use super::declared::Declared;
use super::element::NvrRtspSrc;
use super::failure::{Failure, FailureKind};
use super::session::Handler;
use crate::gst::sources::Stamper;
use crate::gst::writer::OFFSET;
use crate::rtsp::{Event, Reorder, TrackKind, Tracks, Unit, VideoParams};
use crate::time::Timestamp;

/// From the era of NTP to that of Unix.
const NTP_TO_UNIX_NS: i128 = 2_208_988_800 * 1_000_000_000;
/// A frame of which nothing is known.
const ONE_FRAME_NS: u64 = 40_000_000;
/// Audio that rtspsrc can read and this client cannot.
const OTHERS_AUDIO: [&str; 1] = ["audio/mp4a-latm"];

#[derive(Debug)]
pub(super) struct Feeder {
    element: WeakRef<NvrRtspSrc>,
    /// Refuse what another client would do better, rather than do with less.
    strict: bool,
    want_audio: bool,
    ntp: gst::Caps,
    video: Option<Out>,
    audio: Option<Out>,
    stamps: Stamps,
    keyframe_seen: bool,
}

#[derive(Debug)]
struct Out {
    pad: gst::Pad,
    waiting: Vec<gst::Buffer>,
}

enum Stamps {
    InOrder(Stamper),
    Direct(Stamper),
    Declared(Declared),
}

impl std::fmt::Debug for Stamps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InOrder(_) => "InOrder",
            Self::Direct(_) => "Direct",
            Self::Declared(_) => "Declared",
        })
    }
}

impl Stamps {
    fn new(p: &VideoParams) -> Self {
        match p.reorder {
            Reorder::Declared(frames) if frames > 0 => {
                let frame_ns = match p.frame_rate {
                    Some((n, d)) if n > 0 => u64::from(d) * 1_000_000_000 / u64::from(n),
                    _ => ONE_FRAME_NS,
                };
                Self::Declared(Declared::new(frames, frame_ns))
            }
            Reorder::Unknown => Self::Direct(Stamper::default()),
            Reorder::Declared(_) | Reorder::None => Self::InOrder(Stamper::in_order()),
        }
    }

    /// Presentation and decoding time.
    fn stamp(&mut self, pts: u64) -> (u64, u64) {
        match self {
            Self::InOrder(stamper) | Self::Direct(stamper) => stamper.stamp(Some(pts)),
            Self::Declared(declared) => declared.stamp(pts),
        }
    }
}

impl Feeder {
    pub(super) fn new(element: &NvrRtspSrc, strict: bool, want_audio: bool) -> Self {
        Self {
            element: element.downgrade(),
            strict,
            want_audio,
            ntp: gst::Caps::new_empty_simple("timestamp/x-ntp"),
            video: None,
            audio: None,
            stamps: Stamps::Direct(Stamper::default()),
            keyframe_seen: false,
        }
    }

    fn element(&self) -> Result<NvrRtspSrc, Failure> {
        self.element
            .upgrade()
            .ok_or_else(|| Failure::new(FailureKind::Ended, "the element is gone"))
    }

    fn tracks(&mut self, tracks: &Tracks) -> Result<(), Failure> {
        let others = |name: &&String| OTHERS_AUDIO.contains(&name.to_ascii_lowercase().as_str());
        if self.strict
            && self.want_audio
            && tracks.audio.is_none()
            && let Some(name) = tracks.left_out.iter().find(others)
        {
            return Err(Failure::new(FailureKind::Unsupported, format!("audio is {name}")));
        }
        if !tracks.left_out.is_empty() {
            tracing::debug!(left_out = ?tracks.left_out, server = tracks.server, "streams that are not taken");
        }
        let element = self.element()?;
        self.stamps = Stamps::new(&tracks.video);
        let start = |name: &str, caps: &gst::Caps| element.begin(name, caps);
        self.video = Some(Out::new(start("video", &caps::video(&tracks.video))));
        self.audio = tracks
            .audio
            .as_ref()
            .map(|a| Out::new(start("audio", &caps::audio(a))));
        // All streams are there before any is linked, and known at their other ends before any flows.
        for out in [&self.video, &self.audio].into_iter().flatten() {
            element
                .add_pad(&out.pad)
                .map_err(|e| Failure::new(FailureKind::Internal, e.to_string()))?;
        }
        element.no_more_pads();
        for out in [&self.video, &self.audio].into_iter().flatten() {
            // Takes those before it along.
            out.pad.push_event(gst::event::Segment::new(&segment()));
        }
        Ok(())
    }

    fn unit(&mut self, unit: Unit) -> Result<(), Failure> {
        let element = self.element()?;
        // None while it is paused.
        let Some(base) = element.base_time() else {
            return Ok(());
        };
        let running = i128::from(unit.pts_ns) - i128::from(base.nseconds()) + i128::from(OFFSET.nseconds());
        let pts = u64::try_from(running).unwrap_or(0);
        let (pts, dts) = match unit.track {
            TrackKind::Audio => (pts, None),
            TrackKind::Video => {
                if !unit.keyframe && !self.keyframe_seen {
                    return Ok(());
                }
                self.keyframe_seen = true;
                let (pts, dts) = self.stamps.stamp(pts);
                (pts, Some(dts))
            }
        };
        let out = match unit.track {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        let Some(out) = out else { return Ok(()) };
        let mut buffer = gst::Buffer::from_slice(unit.data);
        let b = buffer.make_mut();
        b.set_pts(gst::ClockTime::from_nseconds(pts));
        b.set_dts(dts.map(gst::ClockTime::from_nseconds));
        if !unit.keyframe {
            b.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        if unit.lost_before > 0 {
            tracing::debug!(packets = unit.lost_before, track = ?unit.track, "packets were lost");
            b.set_flags(gst::BufferFlags::DISCONT);
        }
        if let Some(at) = unit.ntp.and_then(ntp_time) {
            gst::ReferenceTimestampMeta::add(b, &self.ntp, at, gst::ClockTime::NONE);
        }
        out.waiting.push(buffer);
        Ok(())
    }
}

fn segment() -> gst::FormattedSegment<gst::ClockTime> {
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(OFFSET);
    segment
}

fn ntp_time(at: Timestamp) -> Option<gst::ClockTime> {
    let ns = u64::try_from(i128::from(at.as_ns()) + NTP_TO_UNIX_NS).ok()?;
    (ns != u64::MAX).then(|| gst::ClockTime::from_nseconds(ns))
}

impl Out {
    const fn new(pad: gst::Pad) -> Self {
        Self {
            pad,
            waiting: Vec::new(),
        }
    }

    /// Pushes what waits: one by one, or as a list that says that nothing follows for a while.
    fn push(&mut self, more: bool) -> Result<(), Failure> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let buffers = self.waiting.drain(..);
        let result = if more {
            buffers
                .map(|b| self.pad.push(b))
                .find(Result::is_err)
                .unwrap_or(Ok(gst::FlowSuccess::Ok))
        } else {
            self.pad.push_list(buffers.collect::<gst::BufferList>())
        };
        match result {
            // A stream that nobody took.
            Ok(_) | Err(gst::FlowError::NotLinked) => Ok(()),
            Err(gst::FlowError::Flushing | gst::FlowError::Eos) => Err(Failure::new(
                FailureKind::Ended,
                "nobody takes the stream any more",
            )),
            Err(e) => Err(Failure::new(
                FailureKind::Internal,
                format!("the stream is not taken ({e:?})"),
            )),
        }
    }
}

impl Handler for Feeder {
    fn event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Tracks(tracks) => self.tracks(&tracks),
            Event::Parameters(params) => {
                self.flush(true)?;
                let new = Stamps::new(&params);
                // Its times go on, unless it reorders otherwise than before.
                let alike = std::mem::discriminant(&new) == std::mem::discriminant(&self.stamps);
                if !alike || matches!(new, Stamps::Declared(_)) {
                    self.stamps = new;
                }
                if let Some(out) = &self.video {
                    out.pad.push_event(gst::event::Caps::new(&caps::video(&params)));
                }
                Ok(())
            }
            Event::Unit(unit) => self.unit(unit),
            Event::Redirect(_) | Event::Ended(_) => Ok(()),
        }
    }

    fn flush(&mut self, more: bool) -> Result<(), Failure> {
        // Audio first: what sounds with a frame is there when the frame comes.
        for out in [&mut self.audio, &mut self.video].into_iter().flatten() {
            out.push(more)?;
        }
        Ok(())
    }

    fn ended(&mut self, why: Failure) {
        let Ok(element) = self.element() else { return };
        if why.kind == FailureKind::Ended && self.video.is_some() {
            for out in [&self.audio, &self.video].into_iter().flatten() {
                out.pad.push_event(gst::event::Eos::new());
            }
            return;
        }
        element.failed(&why, self.video.is_some());
    }
}
