//! Audio on its way to the file, where everything becomes AAC, and to those who watch.
//!
//! A converter is a pipeline of its own without threads, in a thread of ours: what is pushed in comes out encoded in
//! the same call. AAC needs none.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use gst::prelude::*;

use super::guard::guarded;
use super::writer::any_pad;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::priority::batch_this_thread;
use crate::track::{AudioCodec, AudioTrack};

/// The audio track that caps describe.
pub(crate) fn track_of(caps: &gst::CapsRef) -> Option<AudioTrack> {
    let s = caps.structure(0)?;
    let int = |name: &str, default: u32| {
        s.get::<i32>(name)
            .ok()
            .and_then(|v| u32::try_from(v).ok())
            .filter(|v| *v > 0)
            .unwrap_or(default)
    };
    let (codec, rate, channels) = match s.name().as_str() {
        "audio/mpeg" => (AudioCodec::Aac, 48_000, 1),
        "audio/x-opus" => (AudioCodec::Opus, 48_000, 2),
        "audio/x-mulaw" => (AudioCodec::Pcmu, 8_000, 1),
        "audio/x-alaw" => (AudioCodec::Pcma, 8_000, 1),
        "audio/x-raw" => (AudioCodec::Pcm, 48_000, 1),
        _ => (AudioCodec::Other, 48_000, 1),
    };
    Some(AudioTrack {
        codec,
        sample_rate: int("rate", rate),
        channels: int("channels", channels),
    })
}

/// AAC as it can go into a file: raw packets with their configuration.
pub(crate) fn is_file_ready(caps: &gst::CapsRef) -> bool {
    caps.structure(0).is_some_and(|s| {
        s.name() == "audio/mpeg"
            && s.get::<i32>("mpegversion").is_ok_and(|v| v == 4)
            && s.get::<&str>("stream-format").is_ok_and(|f| f == "raw")
            && s.has_field("codec_data")
    })
}

/// A silent AAC-LC packet and the number of samples in it, if one can be made for this configuration.
///
/// ISO/IEC 14496-3, 4.4.2: an element whose `max_sfb` is zero has no spectrum at all. Mono is one
/// `single_channel_element`, stereo one `channel_pair_element` with a common window, then the end mark.
pub(crate) fn silent_packet(caps: &gst::CapsRef) -> Option<(&'static [u8], u32)> {
    let config = caps.structure(0)?.get::<gst::Buffer>("codec_data").ok()?;
    let map = config.map_readable().ok()?;
    let (&a, &b) = (map.first()?, map.get(1)?);
    let object_type = a >> 3;
    let rate_index = (a & 7) << 1 | b >> 7;
    // Low complexity with a listed rate and 1024 samples; others are rare and keep their gaps.
    if object_type != 2 || rate_index == 15 || b & 4 != 0 {
        return None;
    }
    match b >> 3 & 15 {
        1 => Some((&[0, 0, 0, 7], 1024)),
        2 => Some((&[0x21, 0, 0, 0, 0, 0x1c], 1024)),
        _ => None,
    }
}

/// Takes encoded packets out of a converter.
pub(crate) type OnPacket = Box<dyn Fn(&gst::Caps, gst::Buffer) + Send + Sync>;

/// What audio becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// AAC-LC, 48 kHz, mono or stereo.
    Aac,
    /// Opus, packets of 20 ms.
    Opus,
}

/// Packets that may wait for a converter; more are dropped. Half a minute of the shortest ones.
const WAITING: usize = 1500;

/// Told once, when audio cannot be converted.
pub(crate) type OnTrouble = Box<dyn Fn(Cause) + Send>;

/// Decodes and encodes to AAC, in a thread of its own: the one that brings the packets serves other cameras, too.
#[derive(Debug)]
pub(crate) struct Converter {
    packets: SyncSender<gst::Buffer>,
    dropped: u64,
    /// Closed by the thread when it ends.
    over: Receiver<()>,
}

impl Converter {
    /// A converter for what `caps` describe. `segment` is what times refer to, in and out.
    ///
    /// # Errors
    /// When there is no thread for it. What else fails is told to `on_trouble`.
    pub(crate) fn new(
        caps: gst::Caps,
        segment: gst::FormattedSegment<gst::ClockTime>,
        on_packet: OnPacket,
        on_trouble: OnTrouble,
    ) -> Result<Self> {
        let (packets, queue) = sync_channel(WAITING);
        let (alive, over) = sync_channel(0);
        let span = tracing::Span::current();
        std::thread::Builder::new()
            .name("nvr-audio".into())
            .spawn(move || {
                let _about = span.entered();
                let _alive: SyncSender<()> = alive;
                batch_this_thread(true);
                let panicked =
                    |text: &str| on_trouble(Cause::new(CauseKind::Internal, format!("panic: {text}")));
                guarded("audio converter", (), panicked, || {
                    if let Err(cause) = convert(&caps, &segment, on_packet, &queue) {
                        on_trouble(cause);
                    }
                });
                // Nothing is taken any more, before nothing is told any more.
                drop(queue);
            })
            .map_err(|e| Error::io("cannot start a thread", e))?;
        Ok(Self {
            packets,
            dropped: 0,
            over,
        })
    }

    /// Hands out what is still in it. Waits no longer than `timeout`.
    pub(crate) fn finish(self, timeout: Duration) {
        drop(self.packets);
        if self.over.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the last sound is not converted in time");
        }
    }

    /// Has one packet converted. False once nothing comes of it any more, which was told.
    pub(crate) fn push(&mut self, buffer: gst::Buffer) -> bool {
        match self.packets.try_send(buffer) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.dropped += 1;
                if self.dropped.is_power_of_two() {
                    tracing::warn!(dropped = self.dropped, "audio is converted too slowly");
                }
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

/// Converts until nobody sends any more.
fn convert(
    caps: &gst::Caps,
    segment: &gst::FormattedSegment<gst::ClockTime>,
    on_packet: OnPacket,
    queue: &Receiver<gst::Buffer>,
) -> Result<(), Cause> {
    let chain = Chain::new(Target::Aac, caps, segment, on_packet)
        .map_err(|e| Cause::new(CauseKind::Unsupported, e.to_string()))?;
    for buffer in queue {
        chain
            .push(buffer)
            .map_err(|_| Cause::new(CauseKind::BadStream, "the camera's audio cannot be decoded"))?;
    }
    chain.drain();
    Ok(())
}

/// The elements that convert, in the calling thread.
#[derive(Debug)]
pub(crate) struct Chain {
    pipeline: gst::Pipeline,
    feed: gst::Pad,
    _out: gst::Pad,
}

impl Chain {
    /// For what `caps` describe. `segment` is what times refer to, in and out.
    pub(crate) fn new(
        target: Target,
        caps: &gst::Caps,
        segment: &gst::FormattedSegment<gst::ClockTime>,
        on_packet: OnPacket,
    ) -> Result<Self> {
        let failed = |e: glib::BoolError| {
            Error::new(ErrorKind::Internal, "cannot set up the audio converter").with_source(e)
        };
        let name = caps
            .structure(0)
            .map(|s| s.name().to_string())
            .unwrap_or_default();
        let mut chain: Vec<&str> = match name.as_str() {
            "audio/x-mulaw" => vec!["mulawdec"],
            "audio/x-alaw" => vec!["alawdec"],
            "audio/x-opus" => vec!["opusdec"],
            "audio/x-raw" => vec![],
            // ADTS or LATM that nobody parsed to raw packets.
            "audio/mpeg" => vec!["aacparse", "avdec_aac"],
            "audio/x-adpcm" => vec!["avdec_adpcm_g726"],
            _ => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("no decoder for audio of type {name}"),
                ));
            }
        };
        chain.extend(["audioconvert", "audioresample", "capsfilter"]);
        match target {
            Target::Aac => {
                let encoder = ["fdkaacenc", "avenc_aac", "voaacenc"]
                    .into_iter()
                    .find(|n| gst::ElementFactory::find(n).is_some())
                    .ok_or_else(|| {
                        Error::new(ErrorKind::Unsupported, "no AAC encoder is installed")
                            .with_hint("install gstreamer1.0-libav")
                    })?;
                chain.extend([encoder, "aacparse", "capsfilter"]);
            }
            Target::Opus => chain.push("opusenc"),
        }

        let pipeline = gst::Pipeline::new();
        let mut elements = Vec::new();
        for factory in chain {
            let element = gst::ElementFactory::make(factory).build().map_err(|e| {
                Error::new(
                    ErrorKind::Unsupported,
                    format!("the GStreamer element {factory} is not there"),
                )
                .with_source(e)
            })?;
            pipeline.add(&element).map_err(failed)?;
            elements.push(element);
        }
        let filters: Vec<_> = elements
            .iter()
            .filter(|e| e.factory().is_some_and(|f| f.name() == "capsfilter"))
            .collect();
        if let Some(raw) = filters.first() {
            raw.set_property(
                "caps",
                gst::Caps::builder("audio/x-raw")
                    .field("rate", 48_000i32)
                    .field("channels", gst::IntRange::new(1i32, 2))
                    .build(),
            );
        }
        if let Some(aac) = filters.get(1) {
            aac.set_property(
                "caps",
                gst::Caps::builder("audio/mpeg")
                    .field("mpegversion", 4i32)
                    .field("stream-format", "raw")
                    .build(),
            );
        }
        gst::Element::link_many(&elements).map_err(failed)?;
        let pad = |e: Option<&gst::Element>, n: &str| e.and_then(|e| e.static_pad(n));
        let (Some(first), Some(last)) = (pad(elements.first(), "sink"), pad(elements.last(), "src")) else {
            return Err(Error::new(ErrorKind::Internal, "the audio converter has no ends"));
        };
        let out = any_pad(gst::PadDirection::Sink, "out")
            .chain_function(move |pad, _, buffer| {
                guarded(
                    "audio out",
                    Err(gst::FlowError::Error),
                    |_| {},
                    || {
                        if let Some(caps) = pad.current_caps() {
                            on_packet(&caps, buffer);
                        }
                        Ok(gst::FlowSuccess::Ok)
                    },
                )
            })
            .event_function(|_, _, _| true)
            .build();
        let feed = any_pad(gst::PadDirection::Src, "feed").build();
        out.set_active(true).map_err(failed)?;
        feed.set_active(true).map_err(failed)?;
        let link = |e: gst::PadLinkError| {
            Error::new(ErrorKind::Internal, "cannot link the audio converter").with_source(e)
        };
        feed.link(&first).map_err(link)?;
        last.link(&out).map_err(link)?;
        let words = |e: &glib::Error, _: Option<&str>| Cause::new(CauseKind::Internal, e.message());
        super::bus::watch(&pipeline, words, |news| tracing::debug!(?news, "audio converter"));
        pipeline.set_state(gst::State::Playing).map_err(|e| {
            Error::new(ErrorKind::Internal, "cannot start the audio converter").with_source(e)
        })?;
        feed.push_event(gst::event::StreamStart::new("audio"));
        feed.push_event(gst::event::Caps::new(caps));
        feed.push_event(gst::event::Segment::new(segment));
        Ok(Self {
            pipeline,
            feed,
            _out: out,
        })
    }

    /// Converts one packet; what comes of it was handed out when this returns.
    pub(crate) fn push(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.feed.push(buffer)
    }

    /// Nothing follows: hands out what the elements hold back.
    fn drain(&self) {
        self.feed.push_event(gst::event::Eos::new());
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let _ = self.feed.set_active(false);
        let _ = self.pipeline.set_state(gst::State::Null);
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    fn packet(n: u64) -> gst::Buffer {
        let mut buffer = gst::Buffer::from_slice([0xFFu8; 160]);
        let b = buffer.get_mut().unwrap();
        b.set_pts(gst::ClockTime::from_mseconds(n * 20));
        buffer
    }

    fn mulaw() -> gst::Caps {
        gst::Caps::builder("audio/x-mulaw")
            .field("rate", 8000i32)
            .field("channels", 1i32)
            .build()
    }

    #[test]
    fn a_converter_that_lags_holds_nobody_up() {
        crate::gst::init().unwrap();
        let (go, gone) = channel::<()>();
        let (tell, told) = channel();
        let state = Mutex::new((gone, tell));
        let on_packet: OnPacket = Box::new(move |caps, _| {
            let s = state.lock().unwrap();
            let _ = s.1.send((caps.to_string(), std::thread::current().id()));
            // Until the other end is dropped.
            let _ = s.0.recv();
        });
        let segment = gst::FormattedSegment::new();
        let trouble: OnTrouble = Box::new(|cause| panic!("{cause:?}"));
        let mut converter = Converter::new(mulaw(), segment, on_packet, trouble).unwrap();
        for n in 0..2 * WAITING as u64 {
            assert!(converter.push(packet(n)));
        }
        assert!(converter.dropped > 0, "what waits is bounded");
        let (caps, thread) = told.recv().unwrap();
        assert!(caps.starts_with("audio/mpeg"), "{caps}");
        assert_ne!(thread, std::thread::current().id());
        drop(go);
        assert!(told.recv().is_ok(), "it goes on");
    }

    #[test]
    fn audio_that_cannot_be_converted_is_told_and_refused() {
        crate::gst::init().unwrap();
        let (tell, told) = channel();
        let trouble: OnTrouble = Box::new(move |cause| drop(tell.send(cause)));
        let caps = gst::Caps::new_empty_simple("audio/x-nothing");
        let segment = gst::FormattedSegment::new();
        let mut converter = Converter::new(caps, segment, Box::new(|_, _| {}), trouble).unwrap();
        assert_eq!(told.recv().unwrap().kind, CauseKind::Unsupported);
        assert!(told.recv().is_err(), "the thread has ended");
        assert!(!converter.push(packet(0)));
    }
}
