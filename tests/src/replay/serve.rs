//! The thread of the bench camera: takes connections, answers requests, sends frames when they are due.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nvr_core::clock::{Clock as _, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Interval, MissedTickBehavior};

use super::Counters;
use super::clip::{Clip, Frame, INTERLEAVED};
use super::rtsp::{self, Parsed, Request};

const CLOCK_RATE: u32 = 90_000;
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// A viewer that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// From 1900, where NTP counts, to 1970.
const NTP_OFFSET_S: i64 = 2_208_988_800;

pub(crate) async fn serve(
    listener: std::net::TcpListener,
    clip: Arc<Clip>,
    paths: u32,
    clock: Arc<SystemClock>,
    counters: Arc<Counters>,
) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let sdp: Arc<str> = rtsp::sdp(&clip).into();
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(e) => return Err(e).context("accept"),
        };
        let number = counters.connections.fetch_add(1, Ordering::Relaxed);
        let connection = Connection {
            stream,
            clip: Arc::clone(&clip),
            paths,
            sdp: Arc::clone(&sdp),
            clock: Arc::clone(&clock),
            counters: Arc::clone(&counters),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "any number will do, if it is another each time"
            )]
            seed: (number as u32).wrapping_mul(0x9E37_79B9) ^ 0x5EED_CA4E,
            channel: None,
            play: None,
            out: Vec::new(),
        };
        tokio::spawn(async move {
            if let Err(e) = connection.run().await {
                tracing::debug!("connection {number} ended: {e:#}");
            }
        });
    }
}

struct Connection {
    stream: TcpStream,
    clip: Arc<Clip>,
    paths: u32,
    sdp: Arc<str>,
    clock: Arc<SystemClock>,
    counters: Arc<Counters>,
    /// Makes the session's numbers.
    seed: u32,
    channel: Option<u8>,
    play: Option<Play>,
    /// What is to be written next; kept for its allocation.
    out: Vec<u8>,
}

/// A connection that plays.
struct Play {
    due: Interval,
    began_ns: i64,
    /// Frames sent.
    sent: u64,
    sequence: u16,
    base: u32,
    ssrc: u32,
    packets: u32,
    octets: u32,
    /// The viewer did not take a frame at once, and frames have not been on time since.
    held_up: bool,
    /// The viewer said goodbye.
    farewell: bool,
    fps: u32,
    clock: Arc<SystemClock>,
    counters: Arc<Counters>,
}

impl Drop for Play {
    fn drop(&mut self) {
        self.counters.playing.fetch_sub(1, Ordering::Relaxed);
        self.counters
            .broken
            .fetch_add(u64::from(!self.farewell), Ordering::Relaxed);
        let unsent = self.due_by_now().saturating_sub(self.sent);
        self.counters.unsent.fetch_add(unsent, Ordering::Relaxed);
    }
}

impl Connection {
    async fn run(mut self) -> anyhow::Result<()> {
        self.stream.set_nodelay(true)?;
        let mut input = Vec::with_capacity(4096);
        loop {
            let due = async {
                match &mut self.play {
                    Some(play) => {
                        play.due.tick().await;
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
                        match rtsp::parse(&input) {
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
                () = due => self.send_frame().await?,
            }
        }
    }

    /// False when the connection is to be closed.
    async fn handle(&mut self, request: &Request) -> anyhow::Result<bool> {
        let session = format!("Session: {:08X};timeout=60\r\n", self.seed);
        let known = request.path().filter(|p| *p < self.paths);
        let answer = match (request.method.as_str(), known) {
            ("OPTIONS", _) => {
                let public = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n";
                request.answer("200 OK", public, "")
            }
            ("GET_PARAMETER" | "SET_PARAMETER", _) => request.answer("200 OK", &session, ""),
            ("TEARDOWN", _) => {
                if let Some(play) = &mut self.play {
                    play.farewell = true;
                }
                self.write(request.answer("200 OK", &session, "")).await?;
                return Ok(false);
            }
            (_, None) => request.answer("404 Not Found", "", ""),
            ("DESCRIBE", Some(_)) => {
                let headers = format!(
                    "Content-Base: {}/\r\nContent-Type: application/sdp\r\n",
                    request.url.trim_end_matches('/')
                );
                request.answer("200 OK", &headers, &self.sdp)
            }
            ("SETUP", Some(_)) => match request.interleaved() {
                Some(channel) => {
                    self.channel = Some(channel);
                    let headers = format!(
                        "{session}Transport: RTP/AVP/TCP;unicast;interleaved={channel}-{};ssrc={:08X}\r\n",
                        channel + 1,
                        self.seed
                    );
                    request.answer("200 OK", &headers, "")
                }
                None => request.answer("461 Unsupported Transport", "", ""),
            },
            ("PLAY", Some(path)) if self.channel.is_some() => {
                return self.start(request, path, &session).await;
            }
            ("PLAY", Some(_)) => request.answer("455 Method Not Valid in This State", "", ""),
            _ => request.answer("501 Not Implemented", "", ""),
        };
        self.write(answer).await?;
        Ok(true)
    }

    async fn start(&mut self, request: &Request, path: u32, session: &str) -> anyhow::Result<bool> {
        #[expect(clippy::cast_possible_truncation, reason = "any start will do")]
        let (sequence, base) = (self.seed as u16, self.seed.rotate_left(13));
        let headers = format!(
            "{session}Range: npt=now-\r\nRTP-Info: url={}/track;seq={sequence};rtptime={base}\r\n",
            request.url.trim_end_matches('/')
        );
        self.write(request.answer("200 OK", &headers, "")).await?;
        if self.play.is_some() {
            return Ok(true);
        }
        let step = Duration::from_secs(1) / self.clip.fps;
        // Cameras do not all send at the same moment.
        tokio::time::sleep(step * (path % 32) / 32).await;
        let mut due = tokio::time::interval(step);
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        self.counters.playing.fetch_add(1, Ordering::Relaxed);
        self.play = Some(Play {
            due,
            began_ns: self.clock.steady_ns(),
            sent: 0,
            sequence,
            base,
            ssrc: self.seed,
            packets: 0,
            octets: 0,
            held_up: false,
            farewell: false,
            fps: self.clip.fps,
            clock: Arc::clone(&self.clock),
            counters: Arc::clone(&self.counters),
        });
        Ok(true)
    }

    async fn send_frame(&mut self) -> anyhow::Result<()> {
        let (Some(play), Some(channel)) = (&mut self.play, self.channel) else {
            return Ok(());
        };
        let fps = u64::from(self.clip.fps);
        let index = usize::try_from(play.sent % self.clip.frames.len() as u64)?;
        self.out.clear();
        play.append(&self.clip.frames[index], channel, self.clip.fps, &mut self.out);
        if (play.sent - 1) % (REPORT_EVERY.as_secs() * fps) == 0 {
            play.append_report(&self.clock, channel, &mut self.out);
        }
        // The next one is due as well.
        let late = play.due_by_now() > play.sent;
        play.held_up &= late;
        if late {
            let count = if play.held_up {
                &self.counters.held_up
            } else {
                &self.counters.late
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.counters.sent_at_ns[index].store(self.clock.steady_ns(), Ordering::Relaxed);
        let out = std::mem::take(&mut self.out);
        self.out = self.write(out).await?;
        self.counters.frames.fetch_add(1, Ordering::Relaxed);
        self.counters
            .bytes
            .fetch_add(self.out.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Hands the buffer back.
    async fn write(&mut self, bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        // The kernel nearly always takes it at once; only then is a timer worth its price.
        let done = match self.stream.try_write(&bytes) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
            Err(e) => return Err(e.into()),
        };
        if done < bytes.len() {
            if let Some(play) = &mut self.play
                && !std::mem::replace(&mut play.held_up, true)
            {
                self.counters.held_up.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::timeout(PATIENCE, self.stream.write_all(&bytes[done..]))
                .await
                .context("the viewer hangs")??;
        }
        Ok(bytes)
    }
}

impl Play {
    /// Copies a frame and makes it this connection's own.
    fn append(&mut self, frame: &Frame, channel: u8, fps: u32, out: &mut Vec<u8>) {
        let timestamp = self.timestamp(fps).to_be_bytes();
        let ssrc = self.ssrc.to_be_bytes();
        out.extend_from_slice(&frame.bytes);
        for start in &frame.starts {
            let packet = &mut out[*start..start + INTERLEAVED + 12];
            packet[1] = channel;
            packet[6..8].copy_from_slice(&self.sequence.to_be_bytes());
            packet[8..12].copy_from_slice(&timestamp);
            packet[12..16].copy_from_slice(&ssrc);
            self.sequence = self.sequence.wrapping_add(1);
        }
        let (packets, bytes) = (frame.starts.len(), frame.bytes.len());
        self.packets = self.packets.wrapping_add(u32::try_from(packets).unwrap_or(0));
        self.octets = self
            .octets
            .wrapping_add(u32::try_from(bytes - packets * (INTERLEAVED + 12)).unwrap_or(0));
        self.sent += 1;
    }

    /// Frames that should have been sent by now.
    fn due_by_now(&self) -> u64 {
        let passed = u64::try_from(self.clock.steady_ns() - self.began_ns).unwrap_or(0);
        passed * u64::from(self.fps) / 1_000_000_000 + 1
    }

    /// RTP time of the next frame.
    fn timestamp(&self, fps: u32) -> u32 {
        let ticks = self.sent * u64::from(CLOCK_RATE) / u64::from(fps);
        #[expect(clippy::cast_possible_truncation, reason = "RTP timestamps are modulo 2^32")]
        let ticks = ticks as u32;
        self.base.wrapping_add(ticks)
    }

    /// A sender report (RFC 3550, 6.4.1) and the CNAME that has to go with it.
    fn append_report(&self, clock: &SystemClock, channel: u8, out: &mut Vec<u8>) {
        let now = clock.now().as_ns();
        let elapsed = clock.steady_ns() - self.began_ns;
        let (seconds, rest) = (
            now.div_euclid(1_000_000_000) + NTP_OFFSET_S,
            now.rem_euclid(1_000_000_000),
        );
        let fraction = (rest << 32) / 1_000_000_000;
        // The RTP time of this very moment, not of the frame: the frame may be late.
        let ticks = elapsed * i64::from(CLOCK_RATE) / 1_000_000_000;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "fields are modulo 2^32"
        )]
        let (seconds, fraction, ticks) = (seconds as u32, fraction as u32, ticks as u32);
        out.extend([b'$', channel + 1, 0, 28 + 20, 0x80, 200, 0, 6]);
        for field in [
            self.ssrc,
            seconds,
            fraction,
            self.base.wrapping_add(ticks),
            self.packets,
            self.octets,
        ] {
            out.extend(field.to_be_bytes());
        }
        out.extend([0x81, 202, 0, 4]);
        out.extend(self.ssrc.to_be_bytes());
        out.extend(*b"\x01\x09replaycam\0");
    }
}
