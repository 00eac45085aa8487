//! The thread of the camera: live connections that wait for their frames, and replays that do not.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nvr_core::Timestamp;
use nvr_core::clock::Clock as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{FPS, GOP, Replayed, Shared, lock};
use crate::replay::{INTERLEAVED, Parsed, Request, parse, sdp};

const CLOCK_RATE: u64 = 90_000;
/// Header of RTP.
const RTP: usize = 12;
/// In a replay sound comes so many frames later than its pictures.
const SOUND_LATE: u64 = 3;
/// Live it comes so many frames later: when the last packet of that time has sounded to its end.
const LIVE_SOUND_LATE: u64 = 2;
/// From 1900, where NTP counts, to 1970.
const NTP_OFFSET_S: i64 = 2_208_988_800;
/// A replay waits so long for its last word to be read.
const LINGER: Duration = Duration::from_secs(30);

pub(super) async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await.context("accept")?;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut cut = shared.cut.subscribe();
            let connection = Connection {
                stream,
                shared: Arc::clone(&shared),
                next: None,
                sequence: 0,
                sound_sequence: 0,
                with_sound: false,
            };
            tokio::select! {
                ended = connection.run() => {
                    if let Err(e) = ended {
                        tracing::debug!("connection ended: {e:#}");
                    }
                }
                _ = cut.wait_for(|cut| *cut) => {}
            }
        });
    }
}

struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
    /// The live frame that is due next.
    next: Option<u64>,
    sequence: u16,
    sound_sequence: u16,
    /// It was set up.
    with_sound: bool,
}

fn ntp(unix_ns: i64) -> [u8; 8] {
    let seconds = unix_ns.div_euclid(1_000_000_000) + NTP_OFFSET_S;
    let fraction = (unix_ns.rem_euclid(1_000_000_000) << 32) / 1_000_000_000;
    let mut out = [0; 8];
    out[..4].copy_from_slice(&(seconds as u32).to_be_bytes());
    out[4..].copy_from_slice(&(fraction as u32).to_be_bytes());
    out
}

fn timestamp(frame: u64) -> u32 {
    (frame * CLOCK_RATE / FPS) as u32
}

impl Connection {
    async fn run(mut self) -> anyhow::Result<()> {
        self.stream.set_nodelay(true)?;
        let mut input = Vec::with_capacity(4096);
        loop {
            let due = async {
                match self.next {
                    Some(next) => {
                        let wait = self.shared.time_of(next) - self.shared.clock.now().as_ns();
                        tokio::time::sleep(Duration::from_nanos(u64::try_from(wait).unwrap_or(0))).await;
                        next
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                read = self.stream.read_buf(&mut input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    loop {
                        match parse(&input) {
                            Parsed::More => break,
                            Parsed::Skip(len) => drop(input.drain(..len)),
                            Parsed::Request(request, len) => {
                                input.drain(..len);
                                if !self.handle(&request).await? {
                                    return Ok(());
                                }
                            }
                            Parsed::Broken => bail!("not RTSP"),
                        }
                    }
                }
                frame = due => {
                    let mut bytes = self.packets(frame, None);
                    if let Some(earlier) = frame.checked_sub(LIVE_SOUND_LATE) {
                        bytes.extend(self.sound(earlier, None));
                    }
                    self.stream.write_all(&bytes).await?;
                    self.next = Some(frame + 1);
                }
            }
        }
    }

    /// False when the connection is to be closed.
    async fn handle(&mut self, request: &Request) -> anyhow::Result<bool> {
        let session = "Session: 1;timeout=60\r\n";
        let is_card = request.url.contains("/card");
        let replays = request.header("require") == Some("onvif-replay");
        let answer = match request.method.as_str() {
            "OPTIONS" => request.answer(
                "200 OK",
                "Public: DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n",
                "",
            ),
            "GET_PARAMETER" => request.answer("200 OK", session, ""),
            "TEARDOWN" => {
                self.stream
                    .write_all(&request.answer("200 OK", session, ""))
                    .await?;
                return Ok(false);
            }
            "DESCRIBE" => {
                let headers = format!(
                    "Content-Base: {}/\r\nContent-Type: application/sdp\r\n",
                    request.url.trim_end_matches('/')
                );
                let text = sdp(&self.shared.clip) + self.shared.sound.sdp();
                request.answer("200 OK", &headers, &text)
            }
            "SETUP" if is_card && !replays => request.answer("400 Bad Request", "", ""),
            "SETUP" if request.url.ends_with("/sound") => {
                if is_card && *lock(&self.shared.replayed) == Replayed::SoundRefused {
                    request.answer("406 Not Acceptable", "", "")
                } else {
                    self.with_sound = true;
                    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=2-3\r\n";
                    request.answer("200 OK", &format!("{session}{transport}"), "")
                }
            }
            "SETUP" => request.answer(
                "200 OK",
                &format!("{session}Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"),
                "",
            ),
            "PLAY" if is_card => return self.replay(request, session, replays).await,
            "PLAY" => {
                self.stream
                    .write_all(&request.answer("200 OK", session, ""))
                    .await?;
                self.next = Some((self.shared.frame_now() + 1).next_multiple_of(GOP));
                return Ok(true);
            }
            _ => request.answer("501 Not Implemented", "", ""),
        };
        self.stream.write_all(&answer).await?;
        Ok(true)
    }

    /// Sends what is on the card of a range, from the keyframe before it on.
    async fn replay(&mut self, request: &Request, session: &str, replays: bool) -> anyhow::Result<bool> {
        let range = request.header("range").and_then(range_of);
        let (Some((from, to)), true, Some("no")) = (range, replays, request.header("rate-control")) else {
            self.stream
                .write_all(&request.answer("457 Invalid Range", "", ""))
                .await?;
            return Ok(true);
        };
        self.stream
            .write_all(&request.answer("200 OK", session, ""))
            .await?;
        let shared = Arc::clone(&self.shared);
        let how = *lock(&shared.replayed);
        if how == Replayed::SoundSilences && self.with_sound {
            return Ok(false);
        }
        let first = shared.frame_at(from - shared.ahead_ns) / GOP * GOP;
        let end = (shared.frame_at(to - shared.ahead_ns) + 1).min(shared.frame_now());
        let frames: Vec<u64> = (first..end).filter(|f| !shared.is_lost(*f)).collect();
        for (n, frame) in frames.iter().enumerate() {
            if matches!(how, Replayed::Broken(after) if n as u64 >= after) {
                return Ok(false);
            }
            let taken_ns = match how {
                Replayed::WithoutTimes => None,
                Replayed::WithAbsurdTimes => Some(4_300_000_000_000_000_000),
                Replayed::Well
                | Replayed::Broken(_)
                | Replayed::SoundRefused
                | Replayed::SoundSilences
                | Replayed::SoundWithoutTimes
                | Replayed::SoundGarbled => Some(shared.time_of(*frame) + shared.ahead_ns),
            };
            let last = n + 1 == frames.len();
            let mark = taken_ns.map(|ns| (ns, last));
            let mut bytes = Vec::new();
            if let Some(earlier) = frame.checked_sub(SOUND_LATE) {
                bytes.extend(self.sound(earlier, Some(how)));
            }
            bytes.extend(self.packets(*frame, mark));
            self.stream.write_all(&bytes).await?;
            lock(&shared.sent).push(*frame);
        }
        if frames.is_empty() || how == Replayed::WithoutTimes {
            return Ok(false);
        }
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(LINGER, self.stream.read_buf(&mut rest)).await;
        Ok(false)
    }

    /// A frame as packets of this connection; of a replay with the time at which it was taken, and whether it is the last.
    fn packets(&mut self, frame: u64, mark: Option<(i64, bool)>) -> Vec<u8> {
        let clip = &self.shared.clip;
        let index = usize::try_from(frame).unwrap_or(0) % clip.len();
        let packets = &clip.frames[index];
        let mut out = Vec::with_capacity(packets.bytes.len() + packets.starts.len() * 16);
        for (n, start) in packets.starts.iter().enumerate() {
            let end = packets.starts.get(n + 1).copied().unwrap_or(packets.bytes.len());
            let mut packet = packets.bytes[*start..end].to_vec();
            packet[INTERLEAVED + 2..INTERLEAVED + 4].copy_from_slice(&self.sequence.to_be_bytes());
            packet[INTERLEAVED + 4..INTERLEAVED + 8].copy_from_slice(&timestamp(frame).to_be_bytes());
            packet[INTERLEAVED + 8..INTERLEAVED + RTP].copy_from_slice(&7_u32.to_be_bytes());
            if let Some((taken_ns, last)) = mark {
                let mut extension = vec![0xAB, 0xAC, 0, 3];
                extension.extend(ntp(taken_ns));
                let clean = if frame.is_multiple_of(GOP) { 0x80 } else { 0 };
                extension.extend([clean | if last { 0x10 } else { 0 }, 0, 0, 0]);
                packet[INTERLEAVED] |= 0x10;
                let at = INTERLEAVED + RTP;
                packet.splice(at..at, extension);
                let len = u16::try_from(packet.len() - INTERLEAVED).unwrap_or(u16::MAX);
                packet[2..4].copy_from_slice(&len.to_be_bytes());
            }
            self.sequence = self.sequence.wrapping_add(1);
            out.extend(packet);
        }
        if mark.is_none() && frame.is_multiple_of(GOP) {
            out.extend(self.report(frame));
        }
        out
    }

    /// The sound while a frame is shown, as packets of this connection; of a replay with times, unless they are wrong.
    fn sound(&mut self, frame: u64, replayed: Option<Replayed>) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.with_sound {
            return out;
        }
        let shared = Arc::clone(&self.shared);
        let sound = &shared.sound;
        let reports = replayed.is_none() && (self.sound_sequence == 0 || frame.is_multiple_of(GOP));
        for packet in sound.of_frame(frame) {
            let taken_ns = shared.began_ns + sound.time_of(packet) + shared.ahead_ns;
            let mark = matches!(replayed, Some(how) if how != Replayed::SoundWithoutTimes);
            let mut bytes = vec![if mark { 0x90 } else { 0x80 }, 0x80 | sound.payload_type()];
            bytes.extend(self.sound_sequence.to_be_bytes());
            bytes.extend(sound.timestamp(packet).to_be_bytes());
            bytes.extend(8_u32.to_be_bytes());
            if mark {
                bytes.extend([0xAB, 0xAC, 0, 3]);
                bytes.extend(ntp(taken_ns));
                bytes.extend([0x80, 0, 0, 0]);
            }
            if replayed == Some(Replayed::SoundGarbled) {
                bytes.extend([0xFF; 30]);
            } else {
                bytes.extend(sound.payload(packet));
            }
            self.sound_sequence = self.sound_sequence.wrapping_add(1);
            out.extend([b'$', 2]);
            out.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend(bytes);
        }
        if reports && let Some(packet) = sound.of_frame(frame).next() {
            out.extend([b'$', 3, 0, 28, 0x80, 200, 0, 6]);
            out.extend(8_u32.to_be_bytes());
            out.extend(ntp(shared.began_ns + sound.time_of(packet) + shared.ahead_ns));
            out.extend(sound.timestamp(packet).to_be_bytes());
            out.extend([0; 8]);
        }
        out
    }

    /// A sender report: which time a frame has by the camera's clock.
    fn report(&self, frame: u64) -> Vec<u8> {
        let mut out = vec![b'$', 1, 0, 28, 0x80, 200, 0, 6];
        out.extend(7_u32.to_be_bytes());
        out.extend(ntp(self.shared.time_of(frame) + self.shared.ahead_ns));
        out.extend(timestamp(frame).to_be_bytes());
        out.extend([0; 8]);
        out
    }
}

/// `clock=20260504T120000.000Z-20260504T120010.000Z`, in nanoseconds since 1970.
fn range_of(header: &str) -> Option<(i64, i64)> {
    let time = |text: &str| -> Option<i64> {
        let (date, time) = text.split_once('T')?;
        let text = format!(
            "{}-{}-{}T{}:{}:{}",
            date.get(..4)?,
            date.get(4..6)?,
            date.get(6..8)?,
            time.get(..2)?,
            time.get(2..4)?,
            time.get(4..)?
        );
        Some(text.parse::<Timestamp>().ok()?.as_ns())
    };
    let (from, to) = header.strip_prefix("clock=")?.split_once('-')?;
    Some((time(from)?, time(to)?))
}
