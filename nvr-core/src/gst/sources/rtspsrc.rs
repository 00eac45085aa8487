//! RTSP cameras through rtspsrc: the depayloaders, and the choice of one video and one audio stream.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::cause::SourceError;
use super::certificate;
use super::make;
use super::pace::Pace;
use super::redirects;
use super::rtp_pass;
use super::rtsp_bin::RtspBin;
use super::tracks::{Gate, Kind, audio_chain, discard, video_chain};
use crate::error::Result;
use crate::gst::lean::Demand;
use crate::gst::source_bin::OnTracks;
use crate::source::{RtspSource, Transport};
use crate::track::VideoCodec;

/// How long a silent connection is waited for: while connecting, and for UDP packets before TCP is tried.
const TIMEOUT_US: u64 = 5_000_000;

/// What is taken of a session description.
#[derive(Default)]
struct Selection {
    video: Option<u32>,
    audio: Option<u32>,
    refused: Vec<String>,
}

/// Puts rtspsrc and what follows it into `bin`. With `demand`, frames may be late while nobody wants them at once.
///
/// # Errors
/// `Unsupported` when an element is missing.
pub(super) fn fill(
    bin: &RtspBin,
    spec: &RtspSource,
    demand: Option<Arc<Demand>>,
    on_tracks: OnTracks,
) -> Result<gst::Element> {
    let src = make("rtspsrc")?;
    configure(&src, spec);
    let one_connection = matches!(spec.transport, None | Some(Transport::Tcp | Transport::Http));
    if one_connection {
        rtp_pass::attach(&src, Pace::new(demand));
    }
    bin.add(&src)
        .map_err(|e| crate::error::Error::new(crate::error::ErrorKind::Internal, "rtspsrc").with_source(e))?;

    // Over TCP one thread reads the connection, and nothing between it and the gate has one of its own (`rtp_pass`).
    let gate = if one_connection {
        Gate::of_one_thread(bin.upcast_ref(), on_tracks, spec.audio)
    } else {
        Gate::new(bin.upcast_ref(), on_tracks, spec.audio)
    };
    redirects::attach(&src, bin, spec, &gate);
    let selection = Arc::new(Mutex::new(Selection::default()));

    let want_audio = spec.audio;
    let at_streams = Arc::clone(&gate);
    let chosen = Arc::clone(&selection);
    let notes = bin.downgrade();
    src.connect("select-stream", false, move |args| {
        let taken = at_streams.guarded("select-stream", None, || {
            let number = args.get(1)?.get::<u32>().ok()?;
            let caps = args.get(2)?.get::<gst::Caps>().ok()?;
            let mut s = chosen.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = select(&mut s, number, &caps, want_audio);
            if s.video.is_some()
                && let Some(bin) = notes.upgrade()
            {
                bin.has_video();
            }
            Some(taken)
        });
        Some(taken.unwrap_or(false).to_value())
    });

    if spec.verify_tls {
        let at_handshake = Arc::clone(&gate);
        src.connect("accept-certificate", false, move |args| {
            at_handshake.guarded("accept-certificate", (), || {
                let words = certificate::refusal(args.get(3));
                at_handshake.fail(SourceError::Certificate, &words);
            });
            Some(false.to_value())
        });
    }

    let at_pads = Arc::clone(&gate);
    let chosen = Arc::clone(&selection);
    src.connect_pad_added(move |_, pad| {
        at_pads.guarded("pad-added", (), || {
            if let Err(e) = pad_added(&at_pads, &chosen, pad) {
                at_pads.fail(SourceError::Unsupported, &e.to_string());
            }
        });
    });

    src.connect_no_more_pads(move |_| {
        gate.guarded("no-more-pads", (), || {
            let hopeless = selection
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .hopeless();
            if let Some(refused) = hopeless {
                gate.no_more_pads(&refused);
            }
        });
    });
    Ok(src)
}

impl Selection {
    /// What the camera has instead, if no video was set up. If one was, "no more pads" says nothing: each
    /// stream has a thread of its own, rtspsrc counts a pad before it adds it, and so the signal can come
    /// from one thread before the other's pad.
    fn hopeless(&self) -> Option<String> {
        self.video.is_none().then(|| self.refused.join(", "))
    }
}

fn configure(src: &gst::Element, spec: &RtspSource) {
    // The address has no credentials: rtspsrc quotes it in its messages. It knows a tunnel by the scheme.
    let location = match (spec.transport, spec.url.as_str().split_once(':')) {
        (Some(Transport::Http), Some(("rtsp", rest))) => format!("rtsph:{rest}"),
        (Some(Transport::Http), Some(("rtsps", rest))) => format!("rtspsh:{rest}"),
        _ => spec.url.to_string(),
    };
    src.set_property("location", location);
    if let Some(c) = &spec.credentials {
        src.set_property("user-id", &c.user);
        src.set_property("user-pw", c.password.expose());
    }
    src.set_property_from_str(
        "protocols",
        match spec.transport {
            None | Some(Transport::Tcp) => "tcp",
            Some(Transport::Udp) => "udp",
            Some(Transport::Auto) => "udp+tcp",
            Some(Transport::Multicast) => "udp-mcast",
            // Within the tunnel it is as over TCP.
            Some(Transport::Http) => "tcp+http",
        },
    );
    if spec.transport == Some(Transport::Multicast)
        && let Some(name) = interface_towards(&spec.url)
    {
        src.set_property("multicast-iface", name);
    }
    let latency = u32::try_from(spec.latency.as_millis()).unwrap_or(u32::MAX);
    src.set_property("latency", latency);
    src.set_property("tcp-timeout", TIMEOUT_US);
    src.set_property("timeout", TIMEOUT_US);
    src.set_property("do-rtsp-keep-alive", true);
    src.set_property("add-reference-timestamp-meta", true);
    // "auto" would take a camera that claims to be seekable for a file and buffer it.
    src.set_property_from_str("buffer-mode", "slave");
    src.set_property("user-agent", concat!("nvr/", env!("CARGO_PKG_VERSION")));
    if !spec.verify_tls {
        src.set_property_from_str("tls-validation-flags", "no-flags");
    }
}

/// The network interface by which a camera is reached: its group is joined there, and not where the default route
/// leads. Looks the name up, which may take a while.
fn interface_towards(url: &url::Url) -> Option<String> {
    let host = url.host_str()?.trim_matches(['[', ']']);
    let to = (host, url.port().unwrap_or(554)).to_socket_addrs().ok()?.next()?;
    let any: std::net::IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Nothing is sent: the kernel chooses the way.
    socket.connect(to).ok()?;
    let own = socket.local_addr().ok()?.ip();
    let all = if_addrs::get_if_addrs().ok()?;
    all.into_iter().find(|i| i.ip() == own).map(|i| i.name)
}

/// Whether a stream of the description is set up: the first video and the first audio of a kind that is known.
/// Asked again for the same stream when rtspsrc falls back to TCP.
fn select(s: &mut Selection, number: u32, caps: &gst::CapsRef, want_audio: bool) -> bool {
    let (slot, known) = match media(caps) {
        Media::Video(_) => (&mut s.video, true),
        Media::Audio { .. } => (&mut s.audio, want_audio),
        Media::Other(name) => {
            if s.refused.len() < 16 && !s.refused.contains(&name) {
                s.refused.push(name);
            }
            return false;
        }
    };
    known && *slot.get_or_insert(number) == number
}

enum Media {
    Video(VideoCodec),
    /// The depayloader, and the media type that it makes.
    Audio {
        depay: &'static str,
        made: &'static str,
    },
    Other(String),
}

/// What an RTP stream carries, by its `encoding-name`.
fn media(caps: &gst::CapsRef) -> Media {
    let Some(s) = caps.structure(0) else {
        return Media::Other("nothing".into());
    };
    let media = s.get::<&str>("media").unwrap_or_default();
    let encoding = s
        .get::<&str>("encoding-name")
        .unwrap_or_default()
        .to_ascii_uppercase();
    let audio = |depay, made| Media::Audio { depay, made };
    match (media, encoding.as_str()) {
        ("video", "H264") => Media::Video(VideoCodec::H264),
        ("video", "H265") => Media::Video(VideoCodec::H265),
        ("audio", "MPEG4-GENERIC") => audio("rtpmp4gdepay", "audio/mpeg"),
        ("audio", "MP4A-LATM") => audio("rtpmp4adepay", "audio/mpeg"),
        ("audio", "PCMU") => audio("rtppcmudepay", "audio/x-mulaw"),
        ("audio", "PCMA") => audio("rtppcmadepay", "audio/x-alaw"),
        ("audio", "OPUS") => audio("rtpopusdepay", "audio/x-opus"),
        // RFC 3551: these two payload types need no rtpmap.
        ("audio", "") if s.get::<i32>("payload") == Ok(0) => audio("rtppcmudepay", "audio/x-mulaw"),
        ("audio", "") if s.get::<i32>("payload") == Ok(8) => audio("rtppcmadepay", "audio/x-alaw"),
        _ => {
            let name: String = format!("{media}/{encoding}")
                .chars()
                .filter(char::is_ascii_graphic)
                .collect();
            Media::Other(name.chars().take(60).collect())
        }
    }
}

fn pad_added(gate: &Arc<Gate>, selection: &Mutex<Selection>, pad: &gst::Pad) -> Result<()> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let (video, audio, refused) = {
        let s = selection.lock().unwrap_or_else(PoisonError::into_inner);
        (s.video.is_some(), s.audio.is_some(), s.refused.join(", "))
    };
    match media(&caps) {
        Media::Video(codec) => {
            // Every stream of the description has been offered by now.
            gate.expect_audio(audio);
            let mut chain = vec![make(match codec {
                VideoCodec::H264 => "rtph264depay",
                VideoCodec::H265 => "rtph265depay",
            })?];
            chain.extend(video_chain(codec)?);
            gate.add(Kind::Video, pad, &chain)
        }
        Media::Audio { .. } if !video => {
            discard(pad);
            gate.no_more_pads(&refused);
            Ok(())
        }
        Media::Audio { depay, made } => {
            let mut chain = vec![make(depay)?];
            let made = gst::Caps::builder(made).field("mpegversion", 4).build();
            chain.extend(audio_chain(&made)?.unwrap_or_default());
            gate.add(Kind::Audio, pad, &chain)
        }
        Media::Other(_) => {
            discard(pad);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_more_pads_before_the_video_pad_is_no_fault() {
        let mut selection = super::Selection::default();
        selection.refused.push("application/VND.ONVIF.METADATA".into());
        assert_eq!(
            selection.hopeless().as_deref(),
            Some("application/VND.ONVIF.METADATA")
        );
        // The audio's thread may be first to end; the video's pad is on its way.
        selection.video = Some(0);
        assert_eq!(selection.hopeless(), None);
    }
}
