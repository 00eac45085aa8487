//! Joins a source's streams to its bin: parses and times them, holds their data until it is known which tracks
//! there are, tells that, and lets go.
//!
//! The one mutex here is never held while GStreamer or `on_tracks` does something that may block.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;

use super::cause::{SourceError, post};
use super::{caps_filter, make, on_pad, stamp};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::guard::guarded;
use crate::gst::source_bin::OnTracks;
use crate::track::VideoCodec;

/// How long the first picture waits for an audio track that was promised. It may come later, too: its pad is
/// told then without caps.
const AUDIO_GRACE: gst::ClockTime = gst::ClockTime::from_seconds(2);

/// Which track.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Video,
    Audio,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }
}

/// Holds the tracks of one bin until they are known. Owned by the handlers on the bin's elements.
pub(super) struct Gate {
    bin: gst::glib::WeakRef<gst::Bin>,
    state: Mutex<State>,
}

struct State {
    /// Taken when the tracks are told.
    on_tracks: Option<OnTracks>,
    video: Option<Track>,
    audio: Option<Track>,
    /// The tracks were told with an audio pad, behind which there is nothing yet.
    late_audio: Option<gst::glib::WeakRef<gst::GhostPad>>,
    expects_audio: bool,
    grace_over: bool,
    timer: Option<gst::SingleShotClockId>,
}

struct Track {
    ghost: gst::glib::WeakRef<gst::GhostPad>,
    block: Option<gst::PadProbeId>,
    /// The first buffer is there, so the caps are known.
    ready: bool,
}

impl State {
    fn track(&mut self, kind: Kind) -> &mut Option<Track> {
        match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        }
    }
}

impl Gate {
    /// A gate for `bin`. `expects_audio`: the first picture waits a little for an audio track.
    pub(super) fn new(bin: &gst::Bin, on_tracks: OnTracks, expects_audio: bool) -> Arc<Self> {
        Arc::new(Self {
            bin: bin.downgrade(),
            state: Mutex::new(State {
                on_tracks: Some(on_tracks),
                video: None,
                audio: None,
                late_audio: None,
                expects_audio,
                grace_over: false,
                timer: None,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bin, unless it is gone.
    pub(super) fn bin(&self) -> Option<gst::Bin> {
        self.bin.upgrade()
    }

    /// Ends the source with an error on the bus.
    pub(super) fn fail(&self, kind: SourceError, message: &str) {
        if let Some(bin) = self.bin() {
            post(&bin, kind, message);
        }
    }

    /// Runs a handler: a panic must not unwind into GStreamer's C code, it ends the source.
    pub(super) fn guarded<R>(&self, what: &str, fallback: R, f: impl FnOnce() -> R) -> R {
        let on_panic = |text: &str| self.fail(SourceError::Internal, &format!("{what} panicked: {text}"));
        guarded(what, fallback, on_panic, f)
    }

    /// Corrects what was said to [`new`](Self::new).
    pub(super) fn expect_audio(self: &Arc<Self>, expects: bool) {
        self.state().expects_audio = expects;
        self.settle();
    }

    /// No further track will come.
    pub(super) fn no_more_pads(self: &Arc<Self>, what_there_is: &str) {
        let (video, told) = {
            let mut s = self.state();
            s.expects_audio = s.audio.is_some();
            (s.video.is_some(), s.on_tracks.is_none())
        };
        if !video && !told {
            let there = if what_there_is.is_empty() {
                String::new()
            } else {
                format!("; it has {what_there_is}")
            };
            self.fail(
                SourceError::Unsupported,
                &format!("the stream has no H.264 or H.265 video{there}"),
            );
            return;
        }
        self.settle();
    }

    /// Adds `elements` behind `from` and makes their end the ghost pad of `kind`; those of video end with
    /// [`video_chain`], and decoding times are added. A second track of a kind and any that comes after the
    /// tracks were told is thrown away, except audio that was promised.
    ///
    /// # Errors
    /// `Internal` when the elements do not link.
    pub(super) fn add(
        self: &Arc<Self>,
        kind: Kind,
        from: &gst::Pad,
        elements: &[gst::Element],
    ) -> Result<()> {
        let Some(bin) = self.bin() else { return Ok(()) };
        let late = {
            let mut s = self.state();
            let late = if kind == Kind::Audio {
                s.late_audio.take()
            } else {
                None
            };
            if late.is_none() && (s.on_tracks.is_none() || s.track(kind).is_some()) {
                drop(s);
                discard(from);
                return Ok(());
            }
            late
        };
        let fault = |what: &str| Error::new(ErrorKind::Internal, format!("{} track: {what}", kind.name()));
        for e in elements {
            bin.add(e)
                .map_err(|e| fault("cannot add an element").with_source(e))?;
        }
        gst::Element::link_many(elements).map_err(|e| fault("elements do not link").with_source(e))?;
        let last = elements.last().and_then(|e| e.static_pad("src"));
        let end = last.as_ref().unwrap_or(from);
        let start = || {
            for e in elements.iter().rev() {
                e.sync_state_with_parent()
                    .map_err(|e| fault("an element does not start").with_source(e))?;
            }
            match elements.first().and_then(|e| e.static_pad("sink")) {
                Some(sink) => from
                    .link(&sink)
                    .map(|_| ())
                    .map_err(|e| fault("the stream does not link").with_source(e)),
                None => Ok(()),
            }
        };
        if let Some(late) = late {
            let Some(ghost) = late.upgrade() else {
                return Ok(());
            };
            ghost
                .set_target(Some(end))
                .map_err(|e| fault("no ghost pad").with_source(e))?;
            return start();
        }
        let ghost = gst::GhostPad::builder_with_target(end)
            .map_err(|e| fault("no ghost pad").with_source(e))?
            .name(kind.name())
            .build();

        let gate = Arc::clone(self);
        let block = on_pad(
            &ghost,
            gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST,
            move |_, _| {
                gate.arrived(kind);
                gst::PadProbeReturn::Ok
            },
        );
        let gate = Arc::clone(self);
        on_pad(
            &ghost,
            gst::PadProbeType::EVENT_DOWNSTREAM,
            move |_, info| match info.event() {
                Some(event) => gate.passing(kind, event),
                None => gst::PadProbeReturn::Ok,
            },
        );
        if let (Kind::Video, Some(filter)) = (kind, elements.last()) {
            stamp::attach(&bin, filter, &ghost)?;
        }
        *self.state().track(kind) = Some(Track {
            ghost: ghost.downgrade(),
            block,
            ready: false,
        });
        ghost
            .set_active(true)
            .and_then(|()| bin.add_pad(&ghost))
            .map_err(|e| fault("no ghost pad on the bin").with_source(e))?;
        start()
    }

    /// An event before the tracks are told: an end of the video then is an error, of the audio means none.
    fn passing(self: &Arc<Self>, kind: Kind, event: &gst::EventRef) -> gst::PadProbeReturn {
        if self.state().on_tracks.is_none() {
            return gst::PadProbeReturn::Remove;
        }
        if event.type_() == gst::EventType::Eos {
            match kind {
                Kind::Video => self.fail(SourceError::Ended, "the stream ended before the first picture"),
                Kind::Audio => self.expect_audio(false),
            }
        }
        gst::PadProbeReturn::Ok
    }

    /// The first buffer of a track waits at its ghost pad.
    fn arrived(self: &Arc<Self>, kind: Kind) {
        {
            let mut s = self.state();
            if let Some(track) = s.track(kind) {
                track.ready = true;
            }
            let waits = kind == Kind::Video && s.expects_audio && s.timer.is_none();
            if waits && s.on_tracks.is_some() && !s.audio.as_ref().is_some_and(|a| a.ready) {
                s.timer = self.start_timer();
            }
        }
        self.settle();
    }

    /// A pad for audio of which there is nothing yet.
    fn empty_pad(&self) -> Option<gst::glib::WeakRef<gst::GhostPad>> {
        let bin = self.bin()?;
        let ghost = gst::GhostPad::builder(gst::PadDirection::Src)
            .name(Kind::Audio.name())
            .build();
        ghost.set_active(true).ok()?;
        bin.add_pad(&ghost).ok()?;
        Some(ghost.downgrade())
    }

    fn start_timer(self: &Arc<Self>) -> Option<gst::SingleShotClockId> {
        let clock = gst::SystemClock::obtain();
        let id = clock.new_single_shot_id(clock.time() + AUDIO_GRACE);
        let gate = Arc::downgrade(self);
        id.wait_async(move |_, _, _| {
            // The clock's thread serves everybody: the work is done elsewhere.
            let Some(bin) = gate.upgrade().and_then(|g| g.bin()) else {
                return;
            };
            let gate = gate.clone();
            bin.call_async(move |_| {
                if let Some(gate) = gate.upgrade() {
                    gate.state().grace_over = true;
                    gate.settle();
                }
            });
        })
        .ok()?;
        Some(id)
    }

    /// Tells the tracks if they are known now. Whoever gets here last does it; it happens once.
    fn settle(self: &Arc<Self>) {
        let (on_tracks, has_audio, video, audio, timer) = {
            let mut s = self.state();
            let audio_ready = s.audio.as_ref().is_some_and(|a| a.ready);
            let known = audio_ready || !s.expects_audio || s.grace_over;
            if !known || !s.video.as_ref().is_some_and(|v| v.ready) {
                return;
            }
            let Some(on_tracks) = s.on_tracks.take() else {
                return;
            };
            // Promised and slow: it is taken when it comes.
            let has_audio = audio_ready || s.expects_audio;
            if has_audio && s.audio.is_none() {
                s.late_audio = self.empty_pad();
            }
            (
                on_tracks,
                has_audio,
                s.video.take(),
                s.audio.take(),
                s.timer.take(),
            )
        };
        if let Some(timer) = timer {
            timer.unschedule();
        }
        if !has_audio && let Some(ghost) = audio.as_ref().and_then(|a| a.ghost.upgrade()) {
            if let Some(target) = ghost.target() {
                let _ = ghost.set_target(gst::Pad::NONE);
                discard(&target);
            }
            if let Some(bin) = self.bin() {
                let _ = bin.remove_pad(&ghost);
            }
        }
        self.guarded("the recorder taking the tracks", (), || on_tracks(has_audio));
        for mut track in [audio, video].into_iter().flatten() {
            if let (Some(ghost), Some(block)) = (track.ghost.upgrade(), track.block.take()) {
                ghost.remove_probe(block);
            }
        }
    }
}

/// Throws away what a source pad sends, without an error upstream and without a sink element that would take
/// part in the pipeline's end of stream.
pub(super) fn discard(pad: &gst::Pad) {
    pad.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST | gst::PadProbeType::EVENT_DOWNSTREAM,
        |_, _| gst::PadProbeReturn::Handled,
    );
}

/// Parser and the caps that the recorder wants; [`Gate::add`] puts the timestamper behind.
///
/// # Errors
/// `Unsupported` when an element is missing.
pub(super) fn video_chain(codec: VideoCodec) -> Result<Vec<gst::Element>> {
    let (parse, media, format) = match codec {
        VideoCodec::H264 => ("h264parse", "video/x-h264", "avc"),
        VideoCodec::H265 => ("h265parse", "video/x-h265", "hvc1"),
    };
    let caps = gst::Caps::builder(media)
        .field("stream-format", format)
        .field("alignment", "au")
        .build();
    Ok(vec![make(parse)?, caps_filter(&caps)?])
}

/// The elements that parse audio of these caps; `None` when it is of no kind that is recorded.
///
/// # Errors
/// `Unsupported` when an element is missing.
pub(super) fn audio_chain(caps: &gst::CapsRef) -> Result<Option<Vec<gst::Element>>> {
    let Some(s) = caps.structure(0) else {
        return Ok(None);
    };
    Ok(match s.name().as_str() {
        "audio/mpeg" if matches!(s.get::<i32>("mpegversion"), Ok(2 | 4)) => Some(vec![
            make("aacparse")?,
            caps_filter(
                &gst::Caps::builder("audio/mpeg")
                    .field("mpegversion", 4)
                    .field("stream-format", "raw")
                    .build(),
            )?,
        ]),
        "audio/x-opus" => Some(vec![make("opusparse")?]),
        "audio/x-mulaw" | "audio/x-alaw" | "audio/x-raw" => Some(Vec::new()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Told, run, run_bin};
    use super::*;
    use crate::source::SourceSpec;

    #[test]
    fn new_parameters_within_the_stream_become_new_caps() {
        crate::gst::init().unwrap();
        let part = |width, height| {
            format!(
                "videotestsrc num-buffers=6 ! video/x-raw,format=I420,width={width},height={height},framerate=25/1 \
                 ! x264enc tune=zerolatency key-int-max=6 ! video/x-h264,stream-format=byte-stream ! c."
            )
        };
        let line = format!("concat name=c ! identity {} {}", part(320, 240), part(176, 144));
        let spec = SourceSpec::parse("test:").unwrap();
        let running = run_bin(&spec, |on_tracks| {
            let bin = gst::Bin::new();
            let inner = gst::parse::bin_from_description(&line, true).unwrap();
            bin.add(&inner).unwrap();
            let gate = Gate::new(&bin, on_tracks, false);
            let chain = video_chain(VideoCodec::H264).unwrap();
            gate.add(Kind::Video, &inner.static_pad("src").unwrap(), &chain)
                .unwrap();
            bin
        });
        let (_, units) = running.collect(12);
        let widths: Vec<i32> = units
            .iter()
            .map(|u| u.caps.structure(0).unwrap().get("width").unwrap())
            .collect();
        assert_eq!(widths, [[320; 6], [176; 6]].concat());
        assert!(units[6].key && units[0].caps != units[6].caps);
    }

    #[test]
    fn nothing_keeps_a_stopped_source_alive() {
        let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = frozen.local_addr().unwrap();
        for text in [
            "test:?size=160x120&fps=30",
            &format!("rtsp://{at}/x"),
            &format!("http://{at}/x"),
        ] {
            let running = run(&SourceSpec::parse(text).unwrap());
            if text.starts_with("test") {
                running.collect(3);
            }
            let bin = running.pipeline.by_name("source").unwrap().downgrade();
            let pipeline = running.pipeline.downgrade();
            drop(running);
            let clock = crate::clock::SystemClock::new();
            while bin.upgrade().is_some() || pipeline.upgrade().is_some() {
                assert!(
                    crate::clock::Clock::steady_ns(&clock) < 10_000_000_000,
                    "{text} is still alive"
                );
                std::thread::yield_now();
            }
        }
    }

    /// Audio that begins when the tracks have long been told: on a pad that was there, or on one that comes.
    #[test]
    fn late_audio_is_taken() {
        for pad_is_late in [false, true] {
            crate::gst::init().unwrap();
            let spec = SourceSpec::parse("test:").unwrap();
            let inner = gst::parse::bin_from_description(
                "videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 \
                 ! x264enc tune=zerolatency ! video/x-h264,stream-format=byte-stream ! identity name=v \
                 audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc ! valve name=a drop=true",
                false,
            )
            .unwrap();
            for name in ["v", "a"] {
                let pad = inner.by_name(name).unwrap().static_pad("src").unwrap();
                let ghost = gst::GhostPad::builder_with_target(&pad)
                    .unwrap()
                    .name(name)
                    .build();
                inner.add_pad(&ghost).unwrap();
            }
            let mut gate = None;
            let running = run_bin(&spec, |on_tracks| {
                let bin = gst::Bin::new();
                bin.add(&inner).unwrap();
                let g = Gate::new(&bin, on_tracks, true);
                let chain = video_chain(VideoCodec::H264).unwrap();
                g.add(Kind::Video, &inner.static_pad("v").unwrap(), &chain)
                    .unwrap();
                if !pad_is_late {
                    g.add(Kind::Audio, &inner.static_pad("a").unwrap(), &[]).unwrap();
                }
                gate = Some(g);
                bin
            });
            let (has_audio, units) = running.collect(10);
            assert!(has_audio && units.iter().all(|u| u.video));
            if pad_is_late {
                let pad = inner.static_pad("a").unwrap();
                gate.unwrap().add(Kind::Audio, &pad, &[]).unwrap();
            }
            inner.by_name("a").unwrap().set_property("drop", false);
            while !matches!(running.next(), Told::Unit(u) if !u.video && u.caps.to_string().starts_with("audio/x-alaw"))
            {
            }
        }
    }

    #[test]
    fn a_panic_of_the_taker_ends_the_source() {
        let spec = SourceSpec::parse("test:?size=160x120&fps=30&audio=0").unwrap();
        let running = run_bin(&spec, |_| {
            crate::gst::sources::build(
                &spec,
                &crate::gst::source_bin::Around::default(),
                Box::new(|_| panic!("on purpose")),
            )
            .unwrap()
            .bin
        });
        let (cause, _) = running.failure();
        assert_eq!(cause.kind, crate::event::CauseKind::Internal, "{cause:?}");
    }
}
