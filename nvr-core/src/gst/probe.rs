//! Opens a source for a moment, reads some frames and says what it is.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use gst::prelude::*;

use super::audio::track_of as audio_track;
use super::snapshot::{EncodedFrame, PictureGroup, jpeg};
use super::source_bin::{Around, OnTracks};
use super::sources;
use super::sources::cause::cause_of;
use super::sources::describe::video_track;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::privacy::Privacy;
use crate::source::SourceSpec;
use crate::time::duration_ns;
use crate::track::{Tracks, VideoTrack};

/// How patiently a source is probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProbeOptions {
    /// Video frames to read at least, at most 100,000; more until the second keyframe, for up to half of the time.
    pub frames: u32,
    /// How often to try. A refused password, a missing stream and one of a wrong kind are not tried again.
    pub tries: u32,
    /// How long one try may take, from the first packet sent to the last frame.
    pub timeout: Duration,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            frames: 10,
            tries: 3,
            timeout: Duration::from_secs(5),
        }
    }
}

/// What a source turned out to be.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct ProbeReport {
    /// Video and audio.
    pub tracks: Tracks,
    /// H.264 or H.265 profile, as GStreamer names it (`high`, `main`).
    pub profile: Option<String>,
    /// Level (`4.1`).
    pub level: Option<String>,
    /// Frames per second as measured; `None` from a single frame.
    pub measured_frame_rate: Option<f64>,
    /// Frames from a keyframe to the next, if two were seen.
    pub gop_frames: Option<u32>,
    /// Video bits per second, if more than a frame was seen.
    pub bitrate_bps: Option<u64>,
    /// Video frames read.
    pub frames: u32,
    /// Tries it took.
    pub tries: u32,
    /// From asking to the first frame, in the try that succeeded.
    pub first_frame_ns: i64,
}

enum Told {
    Caps {
        video: bool,
        caps: gst::Caps,
    },
    Frame {
        pts_ns: Option<i64>,
        key: bool,
        bytes: u64,
        /// Of a keyframe.
        data: Option<gst::Buffer>,
    },
    Failed(Cause),
}

/// Opens `spec`, reads frames, closes it. Blocks; call it where blocking is allowed.
///
/// # Errors
/// `Unauthorized`, `NotFound` (no such stream), `Unavailable` (nobody answers, or the device is gone),
/// `Unsupported` (nothing that can be recorded), `Timeout` (it answered and sent too few frames in time),
/// `InvalidArgument` for options of zero.
pub fn probe(spec: &SourceSpec, options: ProbeOptions) -> Result<ProbeReport> {
    look(spec, options).map(|(report, _)| report)
}

/// The same, with a JPEG of the first keyframe, at most `width` pixels wide and with what nobody is to see covered, or why
/// there is none. Blocks.
///
/// # Errors
/// Those of [`probe`].
pub fn probe_with_picture(
    spec: &SourceSpec,
    options: ProbeOptions,
    width: u32,
    privacy: Option<Arc<Privacy>>,
) -> Result<(ProbeReport, Result<Vec<u8>>)> {
    let (report, seen) = look(spec, options)?;
    let video = &report.tracks.video;
    let picture = seen
        .group(video)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "no keyframe came among the frames that were read",
            )
        })
        .and_then(|group| jpeg(&group, (video.width > width).then_some(width), privacy));
    Ok((report, picture))
}

fn look(spec: &SourceSpec, options: ProbeOptions) -> Result<(ProbeReport, Seen)> {
    if options.frames == 0 || options.frames > 100_000 || options.tries == 0 || options.timeout.is_zero() {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "probe: frames (1 to 100,000), tries and timeout are positive",
        ));
    }
    super::init()?;
    let mut number = 1;
    loop {
        match try_once(spec, options) {
            Ok((mut report, seen)) => {
                report.tries = number;
                return Ok((report, seen));
            }
            Err(e) => {
                let worth_it = matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
                if number >= options.tries || !worth_it {
                    return Err(e);
                }
                tracing::debug!(source = %spec, try = number, error = %e, "probing again");
                number += 1;
            }
        }
    }
}

/// Stops its pipeline when dropped.
struct Running(gst::Pipeline);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
        if let Some(bus) = self.0.bus() {
            bus.unset_sync_handler();
        }
    }
}

fn try_once(spec: &SourceSpec, options: ProbeOptions) -> Result<(ProbeReport, Seen)> {
    let clock = SystemClock::new();
    let start = clock.steady_ns();
    let deadline = start.saturating_add(duration_ns(options.timeout));

    let pipeline = gst::Pipeline::new();
    // More than are waited for are thrown away at the channel.
    let (tell, told) = mpsc::sync_channel(64);
    let source = sources::build(spec, &Around::default(), on_tracks(&pipeline, tell.clone()))?;
    let internal = |e: glib::BoolError| Error::new(ErrorKind::Internal, "probe: no pipeline").with_source(e);
    source.bin.set_property("name", "source");
    pipeline.add(&source.bin).map_err(internal)?;
    let bus = pipeline
        .bus()
        .ok_or_else(|| Error::new(ErrorKind::Internal, "probe: no bus"))?;
    let asked = spec.clone();
    bus.set_sync_handler(move |_, message| {
        let cause = match message.view() {
            gst::MessageView::Error(e) => Some(cause_of(&e.error(), e.debug().as_deref(), &asked)),
            gst::MessageView::Eos(_) => Some(Cause::new(
                CauseKind::StreamEnded,
                format!("{asked}: the stream ended"),
            )),
            _ => None,
        };
        if let Some(cause) = cause {
            let _ = tell.try_send(Told::Failed(cause));
        }
        gst::BusSyncReply::Drop
    });
    let running = Running(pipeline);
    let _ = running.0.set_state(gst::State::Playing);

    let mut seen = Seen::default();
    // Half of the time for the frames that were asked for and the second keyframe, which says how far apart they are.
    let half = start.saturating_add(duration_ns(options.timeout) / 2);
    loop {
        let enough = seen.frames >= options.frames;
        let deadline = if enough { half } else { deadline };
        if enough && (seen.gop.is_some() || clock.steady_ns() >= deadline) {
            break;
        }
        let left = u64::try_from(deadline - clock.steady_ns()).unwrap_or(0);
        match told.recv_timeout(Duration::from_nanos(left)) {
            // What was asked for has come already.
            Ok(Told::Failed(_)) | Err(_) if enough => break,
            Ok(Told::Failed(cause)) => {
                return Err(error_of(&sources::certificate::explain(cause, spec)));
            }
            Ok(told) => {
                if seen.take(told) {
                    seen.first_ns = clock.steady_ns() - start;
                }
            }
            Err(_) => return Err(late(spec, options, seen.frames)),
        }
    }
    match seen.report() {
        Some(report) => Ok((report, seen)),
        None => Err(Error::new(
            ErrorKind::Unsupported,
            format!("{spec}: frames without a description came"),
        )),
    }
}

fn late(spec: &SourceSpec, options: ProbeOptions, frames: u32) -> Error {
    let seconds = options.timeout.as_secs_f64();
    let words = if frames == 0 {
        format!("{spec}: no frame within {seconds} s")
    } else {
        format!("{spec}: {frames} frames of {} within {seconds} s", options.frames)
    };
    Error::new(ErrorKind::Timeout, words)
}

fn error_of(cause: &Cause) -> Error {
    let kind = match cause.kind {
        CauseKind::Unauthorized => ErrorKind::Unauthorized,
        CauseKind::StreamNotFound => ErrorKind::NotFound,
        CauseKind::Unsupported => ErrorKind::Unsupported,
        CauseKind::Internal => ErrorKind::Internal,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, cause.message.clone())
}

fn on_tracks(pipeline: &gst::Pipeline, tell: mpsc::SyncSender<Told>) -> OnTracks {
    let pipeline = pipeline.downgrade();
    Box::new(move |has_audio| {
        let Some(pipeline) = pipeline.upgrade() else {
            return;
        };
        let Some(source) = pipeline.by_name("source") else {
            return;
        };
        for (name, wanted) in [("video", true), ("audio", has_audio)] {
            let Some(pad) = source.static_pad(name).filter(|_| wanted) else {
                continue;
            };
            watch(&pad, name == "video", tell.clone());
            let Ok(sink) = sources::make("fakesink") else {
                continue;
            };
            sink.set_property("sync", false);
            sink.set_property("async", false);
            let linked = pipeline.add(&sink).is_ok()
                && sink.static_pad("sink").is_some_and(|s| pad.link(&s).is_ok())
                && sink.sync_state_with_parent().is_ok();
            if !linked {
                tracing::warn!(pad = name, "probe: a pad does not link");
            }
        }
    })
}

fn watch(pad: &gst::Pad, video: bool, tell: mpsc::SyncSender<Told>) {
    if let Some(caps) = pad.current_caps() {
        let _ = tell.try_send(Told::Caps { video, caps });
    }
    // Nothing gets as far as the sink: on the way to NULL it would hold the thread that brings the packets for its preroll,
    // and rtspsrc waits for that thread.
    sources::on_pad(pad, gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(b) = info.buffer().filter(|_| video) {
            let key = !b.flags().contains(gst::BufferFlags::DELTA_UNIT);
            let _ = tell.try_send(Told::Frame {
                pts_ns: b.pts().and_then(|t| i64::try_from(t.nseconds()).ok()),
                key,
                bytes: b.size() as u64,
                data: key.then(|| b.to_owned()),
            });
        }
        gst::PadProbeReturn::Handled
    });
}

/// What has been seen so far.
#[derive(Default)]
struct Seen {
    video: Option<gst::Caps>,
    audio: Option<gst::Caps>,
    frames: u32,
    first_ns: i64,
    bytes: u64,
    /// Earliest and latest presentation time.
    span: Option<(i64, i64)>,
    last_key: Option<u32>,
    gop: Option<u32>,
    /// The first keyframe.
    key: Option<gst::Buffer>,
}

impl Seen {
    /// True at the first frame.
    fn take(&mut self, told: Told) -> bool {
        match told {
            Told::Caps { video: true, caps } => self.video = Some(caps),
            Told::Caps { video: false, caps } => self.audio = Some(caps),
            Told::Frame {
                pts_ns,
                key,
                bytes,
                data,
            } => {
                self.key = self.key.take().or(data);
                if key {
                    if let Some(last) = self.last_key {
                        self.gop.get_or_insert(self.frames - last);
                    }
                    self.last_key = Some(self.frames);
                }
                self.frames += 1;
                self.bytes = self.bytes.saturating_add(bytes);
                if let Some(t) = pts_ns {
                    let (lo, hi) = self.span.unwrap_or((t, t));
                    self.span = Some((lo.min(t), hi.max(t)));
                }
                return self.frames == 1;
            }
            Told::Failed(_) => {}
        }
        false
    }

    /// The first keyframe as something to decode.
    fn group(&self, video: &VideoTrack) -> Option<PictureGroup> {
        let bytes = |buffer: &gst::Buffer| Some(bytes::Bytes::copy_from_slice(&buffer.map_readable().ok()?));
        let codec_data = self
            .video
            .as_deref()?
            .structure(0)?
            .get::<gst::Buffer>("codec_data")
            .ok()?;
        Some(PictureGroup {
            codec: video.codec,
            codec_data: bytes(&codec_data)?,
            size: (video.width, video.height),
            frames: vec![EncodedFrame {
                data: bytes(self.key.as_ref()?)?,
                pts_ns: 0,
            }],
            wanted_pts_ns: 0,
        })
    }

    fn report(&self) -> Option<ProbeReport> {
        let caps = self.video.as_deref()?;
        let text = |name| caps.structure(0).and_then(|s| s.get::<String>(name).ok());
        let seconds = self.span.map_or(0.0, |(lo, hi)| (hi - lo) as f64 / 1e9);
        let steps = f64::from(self.frames.saturating_sub(1));
        let rate = (steps > 0.0 && seconds > 0.0).then(|| steps / seconds);
        Some(ProbeReport {
            tracks: Tracks {
                video: video_track(caps)?,
                audio: self.audio.as_deref().and_then(audio_track),
            },
            profile: text("profile"),
            level: text("level"),
            measured_frame_rate: rate.map(|r| (r * 100.0).round() / 100.0),
            gop_frames: self.gop,
            bitrate_bps: rate.map(|r| (self.bytes as f64 * 8.0 / f64::from(self.frames.max(1)) * r) as u64),
            frames: self.frames,
            tries: 1,
            first_frame_ns: self.first_ns,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gst::sources::testing_rtsp::RtspCamera;
    use crate::track::{AudioCodec, VideoCodec};

    fn source(text: &str) -> SourceSpec {
        SourceSpec::parse(text).unwrap()
    }

    #[test]
    fn a_camera_is_described() {
        let camera = RtspCamera::serve(
            "( videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=20/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=5 ! rtph264pay name=pay0 pt=96 \
             audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay1 )",
            None,
        );
        let options = ProbeOptions {
            frames: 15,
            ..ProbeOptions::default()
        };
        let r = probe(&source(&camera.url()), options).unwrap();
        assert_eq!(
            (r.tracks.video.codec, r.tracks.video.width, r.tracks.video.height),
            (VideoCodec::H264, 320, 240)
        );
        let audio = r.tracks.audio.as_ref().unwrap();
        assert_eq!(
            (audio.codec, audio.sample_rate, audio.channels),
            (AudioCodec::Pcmu, 8000, 1)
        );
        assert_eq!((r.gop_frames, r.frames, r.tries), (Some(5), 15, 1), "{r:?}");
        assert!(
            r.measured_frame_rate.is_some_and(|f| (15.0..25.0).contains(&f)),
            "{r:?}"
        );
        assert!(
            r.bitrate_bps > Some(1000) && r.first_frame_ns > 0 && r.profile.is_some() && r.level.is_some(),
            "{r:?}"
        );
    }

    #[test]
    fn a_picture_comes_with_it() {
        let options = ProbeOptions::default();
        for (text, width) in [
            ("test:?size=640x360&fps=10&audio=0", 640),
            ("test:?size=1280x720&fps=10&audio=0", 640),
        ] {
            let (report, picture) = probe_with_picture(&source(text), options, 640, None).unwrap();
            let picture = picture.unwrap();
            assert_eq!(&picture[..2], &[0xff, 0xd8], "{report:?}");
            // SOF0: marker, length, precision, height, width (ISO/IEC 10918-1, B.2.2).
            let at = picture.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
            assert_eq!(u16::from_be_bytes([picture[at + 7], picture[at + 8]]), width);
        }
    }

    #[test]
    fn what_fails_says_how_and_is_tried_as_often_as_it_helps() {
        let camera = RtspCamera::serve(
            "( videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=5/1 \
             ! x264enc tune=zerolatency ! rtph264pay name=pay0 pt=96 )",
            Some(("admin", "right")),
        );
        let open = "test:?size=320x240&fps=5&audio=0";
        let closed = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let options = ProbeOptions {
            frames: 10,
            tries: 2,
            timeout: Duration::from_millis(900),
        };
        let kind = |text: &str| probe(&source(text), options).unwrap_err().kind();
        assert_eq!(
            kind(&camera.url().replace("//", "//admin:wrong@")),
            ErrorKind::Unauthorized
        );
        assert_eq!(kind(&format!("rtsp://{closed}/x")), ErrorKind::Unavailable);
        assert_eq!(kind("v4l2:/dev/video-none"), ErrorKind::Unavailable);
        assert_eq!(kind("file:/nonexistent.mp4"), ErrorKind::NotFound);
        // Ten frames at five a second.
        let e = probe(&source(open), options).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Timeout);
        let none = ProbeOptions { frames: 0, ..options };
        assert_eq!(
            probe(&source(open), none).unwrap_err().kind(),
            ErrorKind::InvalidArgument
        );
    }
}
