//! A minimal RTSP client that sees what a camera really sends: every RTP and RTCP packet, over TCP, unchanged.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nvr_core::clock::{Clock as _, SystemClock};

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// One packet as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapPacket {
    /// Interleaved channel: twice the track's place in the SDP, plus one for RTCP.
    pub channel: u8,
    /// Since the tap was opened, nanoseconds.
    pub at_ns: i64,
    /// RTP sequence number; 0 for RTCP.
    pub sequence: u16,
    /// RTP timestamp; for a sender report the RTP time in it.
    pub timestamp: u32,
    /// Sender.
    pub ssrc: u32,
    /// RTP marker bit: the last packet of a frame.
    pub marker: bool,
    /// Payload type, for RTCP the packet type (200 = sender report).
    pub kind: u8,
    /// Bytes of the packet.
    pub len: usize,
}

/// A playing connection; closed when dropped.
#[derive(Debug)]
pub struct Tap {
    sdp: String,
    stream: TcpStream,
    packets: Arc<Mutex<Vec<TapPacket>>>,
    reader: Option<JoinHandle<()>>,
}

impl Tap {
    /// Plays all tracks of `rtsp://host:port/path` (no credentials).
    ///
    /// # Errors
    /// When the camera does not answer or refuses.
    pub fn open(url: &str) -> anyhow::Result<Self> {
        let address = url
            .strip_prefix("rtsp://")
            .and_then(|r| r.split('/').next())
            .context("not an RTSP URL")?;
        let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut wire = Wire {
            input: BufReader::new(stream.try_clone()?),
            output: stream,
            sequence: 0,
        };
        let described = wire.ask("DESCRIBE", url, "Accept: application/sdp\r\n")?;
        let sdp = described.body.clone();
        let base = described
            .header("content-base")
            .unwrap_or(url)
            .trim_end_matches('/')
            .to_owned();
        let controls: Vec<String> = sdp
            .split("\nm=")
            .skip(1)
            .filter_map(|m| m.lines().find_map(|l| l.strip_prefix("a=control:")))
            .map(|c| {
                if c.starts_with("rtsp://") {
                    c.to_owned()
                } else {
                    format!("{base}/{c}")
                }
            })
            .collect();
        ensure!(!controls.is_empty(), "no track in the SDP: {sdp}");
        let mut session = String::new();
        for (i, control) in controls.iter().enumerate() {
            let mut headers = format!(
                "Transport: RTP/AVP/TCP;unicast;interleaved={}-{}\r\n",
                2 * i,
                2 * i + 1
            );
            if !session.is_empty() {
                write!(headers, "Session: {session}\r\n")?;
            }
            let answer = wire.ask("SETUP", control, &headers)?;
            let id = answer.header("session").context("SETUP gave no session")?;
            id.split(';').next().unwrap_or(id).clone_into(&mut session);
        }
        let packets: Arc<Mutex<Vec<TapPacket>>> = Arc::default();
        let into = Arc::clone(&packets);
        // The first packets may come before the answer: from PLAY on the reader takes everything.
        wire.send("PLAY", &base, &format!("Session: {session}\r\nRange: npt=0-\r\n"))?;
        let Wire { input, output, .. } = wire;
        input.get_ref().set_read_timeout(None)?;
        let reader = std::thread::Builder::new()
            .name("tap".into())
            .spawn(move || read(input, &into))?;
        Ok(Self {
            sdp,
            stream: output,
            packets,
            reader: Some(reader),
        })
    }

    /// The session description.
    #[must_use]
    pub fn sdp(&self) -> &str {
        &self.sdp
    }

    /// Every packet so far.
    #[must_use]
    pub fn packets(&self) -> Vec<TapPacket> {
        self.packets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The packets of one channel so far.
    #[must_use]
    pub fn channel(&self, channel: u8) -> Vec<TapPacket> {
        self.packets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter(|p| p.channel == channel)
            .cloned()
            .collect()
    }

    /// The RTP timestamps of the frames of a channel: one for each packet that ends a frame.
    #[must_use]
    pub fn frames(&self, channel: u8) -> Vec<u32> {
        self.channel(channel)
            .iter()
            .filter(|p| p.marker)
            .map(|p| p.timestamp)
            .collect()
    }

    /// Whether the camera closed the connection.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        drop(self.stream.shutdown(std::net::Shutdown::Both));
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}

struct Wire {
    input: BufReader<TcpStream>,
    output: TcpStream,
    sequence: u32,
}

struct Answer {
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
}

impl Wire {
    fn send(&mut self, method: &str, url: &str, headers: &str) -> anyhow::Result<()> {
        self.sequence += 1;
        let request = format!(
            "{method} {url} RTSP/1.0\r\nCSeq: {}\r\n{headers}\r\n",
            self.sequence
        );
        self.output.write_all(request.as_bytes())?;
        Ok(())
    }

    fn ask(&mut self, method: &str, url: &str, headers: &str) -> anyhow::Result<Answer> {
        self.send(method, url, headers)?;
        let mut status = String::new();
        self.input
            .read_line(&mut status)
            .with_context(|| format!("no answer to {method} {url}"))?;
        ensure!(
            status.starts_with("RTSP/1.0 200"),
            "{method} {url}: {}",
            status.trim()
        );
        let mut answer = Answer {
            headers: Vec::new(),
            body: String::new(),
        };
        loop {
            let mut line = String::new();
            ensure!(
                self.input.read_line(&mut line)? > 0,
                "{method} {url}: the answer ends early"
            );
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else {
                bail!("strange header {line:?}")
            };
            answer
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length: usize = answer.header("content-length").unwrap_or("0").parse()?;
        ensure!(length < 65_536, "an answer of {length} bytes");
        let mut body = vec![0; length];
        self.input.read_exact(&mut body)?;
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Ok(answer)
    }
}

/// Until the connection ends. Answers in between are skipped line by line.
fn read(mut input: BufReader<TcpStream>, into: &Mutex<Vec<TapPacket>>) {
    let clock = SystemClock::new();
    let mut packet = Vec::new();
    loop {
        let mut first = [0_u8];
        if input.read_exact(&mut first).is_err() {
            return;
        }
        if first[0] != b'$' {
            if input.skip_until(b'\n').is_err() {
                return;
            }
            continue;
        }
        let mut head = [0_u8; 3];
        if input.read_exact(&mut head).is_err() {
            return;
        }
        packet.resize(usize::from(u16::from_be_bytes([head[1], head[2]])), 0);
        if input.read_exact(&mut packet).is_err() {
            return;
        }
        if let Some(seen) = parse(head[0], clock.steady_ns(), &packet) {
            into.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        }
    }
}

fn parse(channel: u8, at_ns: i64, p: &[u8]) -> Option<TapPacket> {
    let word = |at: usize| {
        p.get(at..at + 4)
            .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    };
    let rtcp = channel % 2 == 1;
    let second = *p.get(1)?;
    Some(TapPacket {
        channel,
        at_ns,
        sequence: if rtcp {
            0
        } else {
            u16::from_be_bytes([*p.get(2)?, *p.get(3)?])
        },
        timestamp: if rtcp { word(16).unwrap_or(0) } else { word(4)? },
        ssrc: if rtcp { word(4)? } else { word(8)? },
        marker: !rtcp && second & 0x80 != 0,
        kind: if rtcp { second } else { second & 0x7F },
        len: p.len(),
    })
}
