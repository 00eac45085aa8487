//! One viewer by WebRTC.
#![expect(
    clippy::disallowed_methods,
    reason = "the machine of WebRTC goes by the steady clock of the process, which no test turns"
)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nvr_core::Error;
use nvr_core::gst::{AccessUnit, LiveSound, UnitTrack};
use nvr_core::live::{Live, LiveInfo, Viewer};
use nvr_core::track::{AudioCodec, VideoCodec};
use str0m::change::SdpOffer;
use str0m::format::Codec;
use str0m::media::{Frequency, MediaKind, MediaTime, Mid, Pt};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::rtp::{Extension, ExtensionMap};
use str0m::{Candidate, Event, IceConnectionState, IceCreds, Input, Output, Rtc, RtcConfig};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::clock::RtpClock;
use super::gateway::{Gateway, Link, Packet, Places};
use super::nals::Sets;
use crate::auth;
use crate::place::Place;

/// How long a viewer may take to connect.
const CONNECT: Duration = Duration::from_secs(15);
/// How often the present group of pictures is sent again because a viewer lost something.
const AGAIN: Duration = Duration::from_secs(1);
/// After so many frames without a pause the network is given one.
const BURST: u32 = 4;
const BURST_PAUSE: Duration = Duration::from_millis(2);

/// The answer to an offer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) sdp: String,
}

/// Why an offer is refused, apart from errors.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The offer is no offer.
    Offer(String),
    /// The offer has nothing that the stream could go by.
    NotAcceptable(String),
    /// Ours.
    Error(Error),
}

impl Gateway {
    /// Answers an offer of `who` and begins to serve. `info` is of the viewer's stream, which is H.264 in order.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        offer: &str,
        viewer: Viewer,
        info: &LiveInfo,
        who: auth::Viewer,
        place: Place,
    ) -> std::result::Result<Answer, Refusal> {
        let offer = SdpOffer::from_sdp_string(offer).map_err(|e| Refusal::Offer(e.to_string()))?;
        let places = self.places().await.map_err(Refusal::Error)?;
        let creds = IceCreds::new();
        let mut rtc = config(info, creds.clone()).build(Instant::now());
        for candidate in candidates(&places) {
            rtc.add_local_candidate(candidate);
        }
        let answer = rtc
            .sdp_api()
            .accept_offer(offer)
            .map_err(|e| Refusal::Offer(e.to_string()))?;
        let sdp = answer.to_sdp_string();
        if !sdp.contains("H264/90000") {
            return Err(Refusal::NotAcceptable("the offer has no video in H.264".into()));
        }
        let id = IceCreds::new().pass;
        let stop = place.stop().clone();
        let packets = self
            .enter(&id, &creds.ufrag, who, stop.clone())
            .map_err(Refusal::Error)?;
        let session = Session {
            rtc,
            viewer,
            places,
            packets,
            stop,
            links: HashMap::new(),
            connected: false,
            started: Instant::now(),
            video: None,
            audio: None,
            sets: None,
            clock: RtpClock::default(),
            opus: None,
            last_again: None,
            in_a_row: 0,
        };
        let (gateway, me) = (Arc::clone(self), id.clone());
        tokio::spawn(async move {
            let _place = place;
            let why = Box::pin(session.run()).await;
            tracing::debug!(session = me, why, "a viewer by WebRTC left");
            gateway.leave(&me);
        });
        Ok(Answer { id, sdp })
    }
}

fn config(info: &LiveInfo, creds: IceCreds) -> RtcConfig {
    let mut extensions = ExtensionMap::standard();
    extensions.set(5, Extension::PlayoutDelay);
    let config = RtcConfig::new()
        .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
        .set_ice_lite(true)
        .set_local_ice_credentials(creds)
        .set_extension_map(extensions)
        .set_send_buffer_video(2000)
        .clear_codecs()
        .enable_h264(true);
    match info.audio {
        Some(AudioCodec::Pcmu) => config.enable_pcmu(true, false),
        Some(AudioCodec::Pcma) => config.enable_pcma(true, false),
        _ => config.enable_opus(true, false),
    }
}

fn candidates(places: &Places) -> Vec<Candidate> {
    let local = places.local.iter().map(|(address, _)| *address);
    let mut all = Vec::new();
    for address in local.chain(places.public.iter().copied()) {
        all.extend(Candidate::host(address, Protocol::Udp).ok());
        let tcp = Candidate::builder()
            .tcp()
            .host(address)
            .tcptype(TcpType::Passive)
            .build();
        all.extend(tcp.ok());
    }
    all
}

struct Session {
    rtc: Rtc,
    viewer: Viewer,
    places: Places,
    packets: mpsc::Receiver<Packet>,
    stop: CancellationToken,
    /// Connections by TCP, by address of the peer.
    links: HashMap<SocketAddr, mpsc::Sender<bytes::Bytes>>,
    connected: bool,
    started: Instant,
    video: Option<Mid>,
    audio: Option<Mid>,
    sets: Option<(AccessUnit, Sets)>,
    clock: RtpClock,
    /// Makes Opus of what browsers do not take.
    opus: Option<LiveSound>,
    last_again: Option<Instant>,
    /// Frames sent since the last pause.
    in_a_row: u32,
}

enum Step {
    Stop,
    Packet(Option<Packet>),
    Live(Option<Live>),
    Timeout,
}

impl Session {
    /// Serves until there is a reason to end, which it gives back.
    async fn run(mut self) -> &'static str {
        loop {
            let timeout = match self.drain().await {
                Ok(timeout) => timeout,
                Err(why) => return why,
            };
            if !self.rtc.is_alive() {
                return "disconnected";
            }
            if !self.connected && self.started.elapsed() > CONNECT {
                return "it did not connect in time";
            }
            let ready = self.connected && self.video.is_some();
            let step = tokio::select! {
                biased;
                () = self.stop.cancelled() => Step::Stop,
                packet = self.packets.recv() => Step::Packet(packet),
                live = self.viewer.next(), if ready => Step::Live(live),
                () = tokio::time::sleep_until(timeout.into()) => Step::Timeout,
            };
            let input = match step {
                Step::Stop => {
                    let _ = self.rtc.close();
                    let _ = self.drain().await;
                    return "it was ended";
                }
                Step::Packet(None) => return "the gateway is gone",
                Step::Packet(Some(packet)) => {
                    self.packet(&packet);
                    continue;
                }
                Step::Live(None) => return "the camera was removed",
                Step::Live(Some(Live::Begin)) => {
                    self.clock.begin();
                    continue;
                }
                Step::Live(Some(Live::Lost(_))) => continue,
                Step::Live(Some(Live::Frame(unit))) => {
                    if let Err(why) = self.frame(&unit).await {
                        return why;
                    }
                    continue;
                }
                Step::Timeout => Input::Timeout(Instant::now()),
            };
            if self.rtc.handle_input(input).is_err() {
                return "a fault of the protocol";
            }
        }
    }

    fn packet(&mut self, packet: &Packet) {
        let proto = match &packet.link {
            Link::Udp => Protocol::Udp,
            Link::Tcp(back) => {
                self.links.insert(packet.from, back.clone());
                Protocol::Tcp
            }
        };
        let Ok(contents) = packet.data.as_ref().try_into() else {
            return;
        };
        let received = Receive {
            proto,
            source: packet.from,
            destination: packet.to,
            contents,
        };
        let input = Input::Receive(Instant::now(), received);
        if self.rtc.accepts(&input)
            && let Err(e) = self.rtc.handle_input(input)
        {
            tracing::debug!(error = %e, "a packet by WebRTC was not understood");
        }
    }

    /// Sends what there is to send; gives when to be called again.
    async fn drain(&mut self) -> std::result::Result<Instant, &'static str> {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => return Ok(at),
                Ok(Output::Transmit(packet)) => {
                    let data = &packet.contents;
                    if packet.proto == Protocol::Tcp {
                        if let Some(link) = self.links.get(&packet.destination) {
                            // A connection that does not keep up loses packets, and asks for them.
                            let _ = link.try_send(bytes::Bytes::copy_from_slice(data));
                        }
                    } else if let Some(socket) = self.socket(packet.source) {
                        // What the network does not take is lost, as anywhere on its way.
                        let _ = socket.send_to(data, packet.destination).await;
                    }
                }
                Ok(Output::Event(event)) => self.event(&event)?,
                Err(_) => return Err("a fault of the protocol"),
            }
        }
    }

    fn socket(&self, source: SocketAddr) -> Option<Arc<UdpSocket>> {
        let of = |address: &SocketAddr| address.ip() == source.ip();
        let found = self.places.local.iter().find(|(address, _)| of(address));
        found
            .or_else(|| self.places.local.first())
            .map(|(_, socket)| Arc::clone(socket))
    }

    fn event(&mut self, event: &Event) -> std::result::Result<(), &'static str> {
        match event {
            Event::Connected => self.connected = true,
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => return Err("disconnected"),
            Event::MediaAdded(media) => match media.kind {
                MediaKind::Video => self.video = self.video.or(Some(media.mid)),
                MediaKind::Audio => self.audio = self.audio.or(Some(media.mid)),
            },
            Event::KeyframeRequest(_) => {
                let now = Instant::now();
                if self.last_again.is_none_or(|at| now.duration_since(at) >= AGAIN) {
                    self.last_again = Some(now);
                    self.viewer.restart();
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn frame(&mut self, unit: &AccessUnit) -> std::result::Result<(), &'static str> {
        match unit.track() {
            UnitTrack::Audio => {
                let as_it_is = unit.tracks().audio.as_ref().is_some_and(|a| {
                    matches!(a.codec, AudioCodec::Opus | AudioCodec::Pcmu | AudioCodec::Pcma)
                });
                if self.audio.is_none() {
                    return Ok(());
                }
                if as_it_is {
                    self.sound(unit);
                } else {
                    for unit in self.opus.get_or_insert_with(LiveSound::opus).push(unit) {
                        self.sound(&unit);
                        let _ = self.drain().await?;
                    }
                }
            }
            UnitTrack::Video => {
                self.picture(unit)?;
                self.in_a_row += 1;
                if self.in_a_row >= BURST {
                    // Of a live stream this is no delay: nothing waits behind it.
                    self.in_a_row = 0;
                    let _ = self.drain().await?;
                    tokio::time::sleep(BURST_PAUSE).await;
                }
            }
        }
        Ok(())
    }

    fn picture(&mut self, unit: &AccessUnit) -> std::result::Result<(), &'static str> {
        if unit.tracks().video.codec != VideoCodec::H264 {
            return Err("the stream changed to a codec that WebRTC does not take");
        }
        if unit.keyframe() {
            let same = self.sets.as_ref().is_some_and(|(of, _)| of.same_stream(unit));
            if !same {
                let sets = unit.codec_data().and_then(|c| Sets::parse(&c));
                self.sets = sets.map(|sets| (unit.clone(), sets));
            }
        }
        let (Some(mid), Some((_, sets))) = (self.video, &self.sets) else {
            return Ok(());
        };
        let data = sets.annex_b(&unit.data(), unit.keyframe());
        let at = self.clock.video(unit.pts_ns());
        let wall = self.clock.wall(unit.pts_ns(), Instant::now());
        let profile = sets.profile_level_id;
        let Some(writer) = self.rtc.writer(mid) else {
            return Ok(());
        };
        let Some(pt) = h264(writer.payload_params(), profile) else {
            return Err("no codec was agreed on");
        };
        // Shown as soon as it is decoded.
        let now = MediaTime::from_90khz(0);
        let sent = writer
            .playout_delay(now, now)
            .write(pt, wall, MediaTime::from_90khz(at), data);
        if let Err(e) = sent {
            tracing::debug!(error = %e, "a frame was not sent by WebRTC");
        }
        Ok(())
    }

    fn sound(&mut self, unit: &AccessUnit) {
        let Some(track) = &unit.tracks().audio else { return };
        let codec = match track.codec {
            AudioCodec::Opus => Codec::Opus,
            AudioCodec::Pcmu => Codec::PCMU,
            AudioCodec::Pcma => Codec::PCMA,
            _ => return,
        };
        let (Some(mid), Some(at)) = (self.audio, self.clock.audio(unit.pts_ns())) else {
            return;
        };
        let wall = self.clock.wall(unit.pts_ns(), Instant::now());
        let Some(writer) = self.rtc.writer(mid) else {
            return;
        };
        let pt = writer
            .payload_params()
            .find(|p| p.spec().codec == codec)
            .map(str0m::format::PayloadParams::pt);
        let Some(pt) = pt else { return };
        let time = match codec {
            Codec::Opus => MediaTime::new(at * 48 / 90, Frequency::FORTY_EIGHT_KHZ),
            _ => MediaTime::new(at * 8 / 90, Frequency::EIGHT_KHZ),
        };
        let data: Vec<u8> = unit.data().to_vec();
        if let Err(e) = writer.write(pt, wall, time, data) {
            tracing::debug!(error = %e, "sound was not sent by WebRTC");
        }
    }
}

/// The payload type for H.264: of the same profile if there is one, and with fragments.
fn h264<'a>(params: impl Iterator<Item = &'a str0m::format::PayloadParams>, profile: u32) -> Option<Pt> {
    params
        .filter(|p| p.spec().codec == Codec::H264)
        .max_by_key(|p| {
            let format = p.spec().format;
            let fragments = format.packetization_mode == Some(1);
            let same = format
                .profile_level_id
                .is_some_and(|id| id >> 16 == profile >> 16);
            (fragments, same)
        })
        .map(str0m::format::PayloadParams::pt)
}
