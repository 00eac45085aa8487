//! Sends a live stream as it is to a server: FLV over RTMP, or MPEG-TS over SRT.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use tokio::sync::Notify;

use super::bus::{self, BusNews};
use super::debug_log::{self, KeptOut};
use super::outlet::{Outlet, source};
use super::sources::{caps_filter, make, on_pad};
use super::tap::{AccessUnit, UnitTrack};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::track::VideoCodec;

/// How long a muxer waits for a track that is late.
const LATE: gst::ClockTime = gst::ClockTime::from_seconds(1);
/// RTMP: how long connecting may take, in seconds.
const CONNECT_S: u32 = 10;

/// Takes what is secret out of a text.
pub(crate) type Scrub = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Where to, and how.
pub(crate) struct PushTarget<'a> {
    /// `rtmp:`, `rtmps:` or `srt:`, keys and all.
    pub address: &'a str,
    /// MPEG-TS over SRT instead of FLV over RTMP.
    pub srt: bool,
    /// For what servers say.
    pub scrub: Scrub,
    /// For GStreamer's log.
    pub blot: Scrub,
}

/// Whether the elements are there.
///
/// # Errors
/// `Unsupported` naming what is missing, and its package.
pub(crate) fn require(srt: bool) -> Result<()> {
    super::init()?;
    let names: &[&str] = if srt {
        &["h264parse", "h265parse", "aacparse", "mpegtsmux", "srtsink"]
    } else {
        &["flvmux", "rtmp2sink"]
    };
    names.iter().try_for_each(|name| make(name).map(drop))
}

/// A connection to a server. Dropping it ends it; that happens in a thread of its own and may take some seconds.
#[derive(Debug)]
pub(crate) struct PushStream {
    pipeline: gst::Pipeline,
    sink: gst::Element,
    outlet: Outlet,
    first: AccessUnit,
    news: Arc<News>,
    srt: bool,
    secrets: KeptOut,
}

#[derive(Debug, Default)]
struct News {
    /// Bytes that reached the sink.
    handed: AtomicU64,
    /// Buffers that reached the sink: it takes the second one when it has sent the first.
    buffers: AtomicU64,
    failure: Mutex<Option<Cause>>,
    notify: Notify,
}

impl PushStream {
    /// Connects. `first` is the keyframe that the stream begins with, `audio` a packet of its AAC, or of what becomes AAC
    /// before it is pushed. Blocks for some milliseconds; whether the server answers shows later.
    ///
    /// # Errors
    /// `Unsupported` when an element is missing, or for H.265 over RTMP.
    pub(crate) fn start(
        target: &PushTarget<'_>,
        first: &AccessUnit,
        audio: Option<&AccessUnit>,
    ) -> Result<Self> {
        super::init()?;
        let secrets = debug_log::keep_out(&target.blot);
        let codec = first.tracks().video.codec;
        if !target.srt && codec == VideoCodec::H265 {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "RTMP carries no H.265, and nothing is encoded again for it",
            )
            .with_hint("push over SRT, or push a sub stream of H.264"));
        }
        let pipeline = gst::Pipeline::new();
        let video_src = source("video", &first.info.caps);
        let audio_src = audio
            .and_then(AccessUnit::aac_caps)
            .map(|caps| source("audio", &caps));
        let (mux, sink) = if target.srt {
            (make("mpegtsmux")?, srt_sink(target)?)
        } else {
            (make("flvmux")?, rtmp_sink(target)?)
        };
        mux.set_property("latency", LATE.nseconds());
        pipeline.add_many([&mux, &sink]).map_err(internal)?;
        if target.srt {
            mux.set_property("alignment", 7i32);
            let (parser, stream) = match codec {
                VideoCodec::H264 => ("h264parse", "video/x-h264"),
                VideoCodec::H265 => ("h265parse", "video/x-h265"),
            };
            let parse = make(parser)?;
            // Whoever joins has the parameter sets with each keyframe.
            parse.set_property("config-interval", -1i32);
            let caps = gst::Caps::builder(stream)
                .field("stream-format", "byte-stream")
                .field("alignment", "au")
                .build();
            link(
                &pipeline,
                &[video_src.upcast_ref(), &parse, &caps_filter(&caps)?],
                &mux,
                "sink_%d",
            )?;
        } else {
            mux.set_property("streamable", true);
            link(&pipeline, &[video_src.upcast_ref()], &mux, "video")?;
        }
        if let Some(audio_src) = &audio_src {
            if target.srt {
                let caps = gst::Caps::builder("audio/mpeg")
                    .field("stream-format", "adts")
                    .build();
                let chain = [audio_src.upcast_ref(), &make("aacparse")?, &caps_filter(&caps)?];
                link(&pipeline, &chain, &mux, "sink_%d")?;
            } else {
                link(&pipeline, &[audio_src.upcast_ref()], &mux, "audio")?;
            }
        }
        mux.link(&sink).map_err(internal)?;

        let news: Arc<News> = Arc::default();
        watch(&pipeline, &sink, &news, target)?;
        if pipeline.set_state(gst::State::Playing).is_err() {
            let failure = news.failure();
            stop(&pipeline, secrets);
            let why = failure.map_or_else(|| "the connection cannot be started".to_owned(), |c| c.message);
            return Err(Error::new(ErrorKind::Unavailable, why));
        }
        Ok(Self {
            pipeline,
            sink,
            outlet: Outlet::new(video_src, audio_src),
            first: first.clone(),
            news,
            srt: target.srt,
            secrets,
        })
    }

    /// Whether a keyframe belongs to the stream that was begun: same codec, size and parameters.
    pub(crate) fn fits(&self, unit: &AccessUnit) -> bool {
        unit.track != UnitTrack::Video || self.first.same_stream(unit)
    }

    /// The camera connected anew.
    pub(crate) fn begin(&mut self) {
        self.outlet.begin();
    }

    /// Hands a frame on; never waits.
    ///
    /// # Errors
    /// `Unavailable` when the connection is over.
    pub(crate) fn push(&mut self, unit: &AccessUnit) -> Result<()> {
        self.outlet.push(unit)
    }

    /// Whether the server takes the stream.
    pub(crate) fn is_up(&self) -> bool {
        // RTMP: the second buffer also comes when the first one was refused, with nothing on the wire.
        self.news.buffers.load(Ordering::Relaxed) > 1
            && self.news.failure().is_none()
            && (self.srt || self.wire_bytes().is_some_and(|n| n > 0))
    }

    /// Bytes that went out.
    pub(crate) fn sent_bytes(&self) -> u64 {
        let handed = self.news.handed.load(Ordering::Relaxed);
        if self.srt {
            handed
        } else {
            self.wire_bytes().unwrap_or(0).min(handed)
        }
    }

    /// Bytes that wait, wherever they do.
    pub(crate) fn backlog_bytes(&self) -> u64 {
        // What the RTMP element queues for its socket has no bound of its own.
        let handed = self.news.handed.load(Ordering::Relaxed);
        self.outlet.waiting_bytes() + handed.saturating_sub(self.sent_bytes())
    }

    /// Bytes on the wire, as the RTMP element tells.
    fn wire_bytes(&self) -> Option<u64> {
        let stats = self.sink.property::<Option<gst::Structure>>("stats")?;
        stats.get::<u64>("out-bytes-total").ok()
    }

    /// Why it ended, when it has. Cancel-safe.
    pub(crate) async fn failed(&self) -> Cause {
        loop {
            let told = self.news.notify.notified();
            if let Some(cause) = self.news.failure() {
                return cause;
            }
            told.await;
        }
    }
}

impl Drop for PushStream {
    fn drop(&mut self) {
        stop(&self.pipeline, self.secrets.clone());
    }
}

impl News {
    fn failure(&self) -> Option<Cause> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn fail(&self, cause: Cause) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(cause);
        self.notify.notify_waiters();
    }
}

/// A server that hangs may hold this up, and nobody is to wait for it.
fn stop(pipeline: &gst::Pipeline, secrets: KeptOut) {
    let pipeline = pipeline.clone();
    let work = move || {
        let _ = pipeline.set_state(gst::State::Null);
        drop(secrets);
    };
    if let Err(e) = std::thread::Builder::new().name("nvr-push".into()).spawn(work) {
        tracing::error!(error = %e, "cannot start a thread to end a push");
    }
}

fn rtmp_sink(target: &PushTarget<'_>) -> Result<gst::Element> {
    let sink = make("rtmp2sink")?;
    sink.set_property("location", target.address);
    if sink.has_property("timeout") {
        sink.set_property("timeout", CONNECT_S);
    }
    sink.set_property("sync", false);
    sink.set_property("async", false);
    Ok(sink)
}

fn srt_sink(target: &PushTarget<'_>) -> Result<gst::Element> {
    let sink = make("srtsink")?;
    sink.set_property("uri", target.address);
    // Connecting anew is decided here, with growing waits.
    if sink.has_property("auto-reconnect") {
        sink.set_property("auto-reconnect", false);
    }
    sink.set_property("wait-for-connection", true);
    sink.set_property("sync", false);
    sink.set_property("async", false);
    Ok(sink)
}

/// Adds a chain and links its end to a pad of the muxer.
fn link(pipeline: &gst::Pipeline, chain: &[&gst::Element], mux: &gst::Element, pad: &str) -> Result<()> {
    pipeline.add_many(chain.iter().copied()).map_err(internal)?;
    gst::Element::link_many(chain.iter().copied()).map_err(internal)?;
    let last = chain.last().and_then(|e| e.static_pad("src"));
    let into = mux.request_pad_simple(pad);
    let (Some(last), Some(into)) = (last, into) else {
        return Err(internal("no pad"));
    };
    last.link(&into).map(drop).map_err(internal)
}

fn watch(
    pipeline: &gst::Pipeline,
    sink: &gst::Element,
    news: &Arc<News>,
    target: &PushTarget<'_>,
) -> Result<()> {
    let pad = sink.static_pad("sink").ok_or_else(|| internal("no pad"))?;
    let seen = Arc::clone(news);
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    on_pad(&pad, mask, move |_, info| {
        let bytes = match &info.data {
            Some(gst::PadProbeData::Buffer(b)) => b.size(),
            Some(gst::PadProbeData::BufferList(list)) => list.iter().map(gst::BufferRef::size).sum(),
            _ => 0,
        };
        seen.handed.fetch_add(bytes as u64, Ordering::Relaxed);
        seen.buffers.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    let told = Arc::clone(news);
    let scrub = Arc::clone(&target.scrub);
    bus::watch(
        pipeline,
        move |error, debug| cause_of(error, debug, &*scrub),
        move |news| match news {
            BusNews::Error(cause) => told.fail(cause),
            BusNews::Eos | BusNews::Closed => {
                told.fail(Cause::new(
                    CauseKind::StreamEnded,
                    "the server ended the connection",
                ));
            }
        },
    );
    Ok(())
}

/// What an element's error means. Servers' own words come last, and nothing secret is in them.
fn cause_of(error: &glib::Error, debug: Option<&str>, scrub: &dyn Fn(&str) -> String) -> Cause {
    use gst::ResourceError as R;
    // Behind the place in the element's source.
    let said = debug
        .and_then(|d| d.split_once('\n'))
        .map_or("", |(_, said)| said);
    // How `rtmp2sink` says that its socket took nothing for its `timeout` (`G_IO_ERROR_TIMED_OUT`).
    let timed_out = said.contains("g-io-error-quark, code 24");
    if let Some(words) = tls_trouble(said) {
        return Cause::new(CauseKind::Unreachable, words);
    }
    let (kind, words) = match error.kind::<gst::ResourceError>() {
        Some(R::Write | R::Read) if timed_out => {
            (CauseKind::Unreachable, "the server takes nothing any more")
        }
        Some(R::NotAuthorized) => (CauseKind::Unauthorized, "the server refuses key or password"),
        Some(R::NotFound) => (CauseKind::Unreachable, "the server has no such stream"),
        Some(R::OpenRead | R::OpenWrite | R::OpenReadWrite) => {
            (CauseKind::Unreachable, "the server cannot be reached")
        }
        Some(R::Write | R::Read) => (CauseKind::Unreachable, "the connection broke"),
        Some(_) => (CauseKind::Unreachable, "the server does not take the stream"),
        None => (CauseKind::Internal, "GStreamer failed"),
    };
    let said = if timed_out {
        String::new()
    } else {
        scrub(if said.is_empty() { error.message() } else { said })
    };
    Cause::new(
        kind,
        if said.is_empty() {
            words.to_owned()
        } else {
            format!("{words} ({said})")
        },
    )
}

/// What went wrong with TLS: `rtmp2sink` tells the number of a `GTlsError` and no words.
fn tls_trouble(said: &str) -> Option<&'static str> {
    let (_, rest) = said.split_once("g-tls-error-quark, code ")?;
    let number = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(match number {
        "0" => "TLS is not there: install glib-networking",
        "2" => {
            "the server's certificate is not trusted: nobody vouches for it, or it is for another name or too old; an \
             authority of your own belongs among those of the system (update-ca-certificates)"
        }
        "3" => "the server does not speak TLS at this port: use rtmp://, or another port",
        "5" => "the server wants a certificate of the recorder, which has none",
        "6" => "the server ended the connection within TLS",
        _ => "the server and the recorder do not agree on TLS",
    })
}

fn internal(e: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("push: {e}"))
}
