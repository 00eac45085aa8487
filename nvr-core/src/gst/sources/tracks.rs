//! Joins a source's streams to its bin: parses and times them, holds their data until it is known which tracks
//! there are, tells that, and lets go.
//!
//! The one mutex here is never held while GStreamer or `on_tracks` does something that may block.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;

use super::cause::{SourceError, post};
use super::held::{Held, Item, give};
use super::{caps_filter, make, on_pad, stamp};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::guard::guarded;
use crate::gst::source_bin::OnTracks;
use crate::track::VideoCodec;

/// How long the first picture waits for an audio track that was promised. It may come later, too: its pad is
/// told then without caps.
pub(super) const AUDIO_GRACE: gst::ClockTime = gst::ClockTime::from_seconds(2);

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
    /// One thread brings all tracks: held up with one of them it would never bring the other.
    one_thread: bool,
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
    /// What one thread brought so far.
    held: Held,
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
        Self::with(bin, on_tracks, expects_audio, false)
    }

    /// The same, for tracks that one thread brings in turns: it is not held up, what it brings is kept.
    pub(super) fn of_one_thread(bin: &gst::Bin, on_tracks: OnTracks, expects_audio: bool) -> Arc<Self> {
        Self::with(bin, on_tracks, expects_audio, true)
    }

    fn with(bin: &gst::Bin, on_tracks: OnTracks, expects_audio: bool, one_thread: bool) -> Arc<Self> {
        Arc::new(Self {
            bin: bin.downgrade(),
            one_thread,
            state: Mutex::new(State {
                on_tracks: Some(on_tracks),
                video: None,
                audio: None,
                late_audio: None,
                expects_audio,
                grace_over: false,
                timer: None,
                held: Held::default(),
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
        let data = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        let block = if self.one_thread {
            // It ends itself.
            on_pad(&ghost, data, move |pad, info| gate.brought(kind, pad, info));
            None
        } else {
            on_pad(&ghost, data | gst::PadProbeType::BLOCK, move |_, _| {
                gate.arrived(kind);
                gst::PadProbeReturn::Ok
            })
        };
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

    /// In the one thread that brings all: keeps what comes until the tracks are known, then sends it on in the order in
    /// which it came.
    fn brought(
        self: &Arc<Self>,
        kind: Kind,
        pad: &gst::Pad,
        info: &mut gst::PadProbeInfo<'_>,
    ) -> gst::PadProbeReturn {
        {
            let caps = pad.current_caps();
            let mut s = self.state();
            if s.held.is_released() {
                return gst::PadProbeReturn::Remove;
            }
            // What was held passes here again.
            if s.held.is_releasing() {
                return gst::PadProbeReturn::Ok;
            }
            let Some(item) = Item::take(info) else {
                return gst::PadProbeReturn::Ok;
            };
            if let Some(track) = s.track(kind) {
                track.ready = true;
            }
            s.held.push(kind, item, caps);
            s.grace_over |= s.held.is_enough(gst::SystemClock::obtain().time());
        }
        self.settle();
        self.release();
        gst::PadProbeReturn::Handled
    }

    /// Sends on what was held, if the tracks are told. In the thread that brought it.
    fn release(&self) {
        let (parts, newest) = {
            let mut s = self.state();
            if s.on_tracks.is_some() {
                return;
            }
            (s.held.begin_release(), s.held.newest())
        };
        let pad = |kind: Kind| {
            let pad = self.bin()?.static_pad(kind.name())?;
            pad.downcast::<gst::GhostPad>().ok()
        };
        for part in parts {
            if let Some(pad) = pad(part.kind) {
                part.send(&pad);
            }
        }
        // What came behind them is of these caps.
        for (kind, caps) in newest {
            if let Some(pad) = pad(kind) {
                give(&pad, Some(&caps));
            }
        }
        self.state().held.end_release();
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
        if self.one_thread {
            for (kind, track) in [(Kind::Audio, &audio), (Kind::Video, &video)] {
                if let Some(ghost) = track.as_ref().and_then(|t| t.ghost.upgrade()) {
                    let now = ghost.current_caps();
                    let first = self.state().held.set_back(kind, now);
                    give(&ghost, first.as_ref());
                }
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
mod tests;
