//! For tests: packets, packetisers and a server that is a list of answers.

use std::collections::VecDeque;

pub(super) use super::sdp::unbase64;
use super::{Client, ClientOptions, Event, RtspError, Unit};
use crate::secret::Secret;
use crate::source::Credentials;

/// 1920x1080, High, 15 frames a second.
pub(super) const H264_SPS: &str = "Z2QAKqwsaoHgCJ+WbgoCCoAAAAMAgAAAD0IA";
pub(super) const H264_PPS: &str = "aO4xshsA";
pub(super) const H265_VPS: &str = "QAEMAf//AWAAAAMAAAMAAAMAAAMAlqwJ";
pub(super) const H265_SPS: &str = "QgEBAWAAAAMAAAMAAAMAAAMAlqABaCAGWfeNrkkya5YwCAAAAwAIAAADAPBA";
pub(super) const H265_PPS: &str = "RAHgdoaNAwYMZA==";

/// An RTP packet.
pub(super) fn packet(
    payload_type: u8,
    marker: bool,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut out = vec![0x80, payload_type | u8::from(marker) << 7];
    out.extend(sequence.to_be_bytes());
    out.extend(timestamp.to_be_bytes());
    out.extend(ssrc.to_be_bytes());
    out.extend(payload);
    out
}

/// A packet as it stands in the connection.
pub(super) fn interleaved(channel: u8, packet: &[u8]) -> Vec<u8> {
    let mut out = vec![b'$', channel];
    out.extend((packet.len() as u16).to_be_bytes());
    out.extend(packet);
    out
}

/// The payload of a packet that is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Payload {
    pub payload: Vec<u8>,
    pub timestamp: u32,
    pub marker: bool,
}

/// Packs AAC frames of 1024 samples: as many as fit into a packet of `most` bytes, or pieces of one.
pub(super) fn pack_aac(frames: &[Vec<u8>], most: usize) -> Vec<Payload> {
    let mut out = Vec::new();
    let mut n = 0;
    while n < frames.len() {
        let timestamp = n as u32 * 1024;
        let header = |len: usize| ((len as u16) << 3).to_be_bytes();
        let mut count = 1;
        let size = |count: usize| 2 + frames[n..n + count].iter().map(|f| 2 + f.len()).sum::<usize>();
        while n + count < frames.len() && size(count + 1) <= most {
            count += 1;
        }
        if size(count) <= most || count > 1 {
            let mut payload = ((count * 16) as u16).to_be_bytes().to_vec();
            payload.extend(frames[n..n + count].iter().flat_map(|f| header(f.len())));
            payload.extend(frames[n..n + count].iter().flatten());
            out.push(Payload {
                payload,
                timestamp,
                marker: true,
            });
        } else {
            let pieces: Vec<_> = frames[n].chunks(most - 4).collect();
            for (i, piece) in pieces.iter().enumerate() {
                let mut payload = vec![0, 16];
                payload.extend(header(frames[n].len()));
                payload.extend(*piece);
                out.push(Payload {
                    payload,
                    timestamp,
                    marker: i + 1 == pieces.len(),
                });
            }
        }
        n += count;
    }
    out
}

/// Packs the NAL units of one access unit: small ones together, large ones in pieces.
pub(super) fn pack_video(h265: bool, nals: &[Vec<u8>], timestamp: u32, most: usize) -> Vec<Payload> {
    let head = if h265 { 2 } else { 1 };
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    let mut n = 0;
    while n < nals.len() {
        let size = |count: usize| head + nals[n..n + count].iter().map(|f| 2 + f.len()).sum::<usize>();
        let mut count = 0;
        while n + count < nals.len() && size(count + 1) <= most {
            count += 1;
        }
        if count > 1 {
            let mut payload = if h265 { vec![48 << 1, 1] } else { vec![0x78] };
            for nal in &nals[n..n + count] {
                payload.extend((nal.len() as u16).to_be_bytes());
                payload.extend(nal);
            }
            payloads.push(payload);
            n += count;
        } else if nals[n].len() <= most {
            payloads.push(nals[n].clone());
            n += 1;
        } else {
            let nal = &nals[n];
            let pieces: Vec<_> = nal[head..].chunks(most - head - 1).collect();
            for (i, piece) in pieces.iter().enumerate() {
                let ends = u8::from(i == 0) << 7 | u8::from(i + 1 == pieces.len()) << 6;
                let mut payload = if h265 {
                    vec![nal[0] & 0x81 | 49 << 1, nal[1], ends | nal[0] >> 1 & 0x3F]
                } else {
                    vec![nal[0] & 0xE0 | 28, ends | nal[0] & 0x1F]
                };
                payload.extend(*piece);
                payloads.push(payload);
            }
            n += 1;
        }
    }
    let last = payloads.len();
    let pack = |(i, payload)| Payload {
        payload,
        timestamp,
        marker: i + 1 == last,
    };
    payloads.into_iter().enumerate().map(pack).collect()
}

/// NAL units with their lengths before them.
pub(super) fn with_lengths(nals: &[Vec<u8>]) -> Vec<u8> {
    nals.iter()
        .flat_map(|n| [&(n.len() as u32).to_be_bytes()[..], n].concat())
        .collect()
}

pub(super) fn options(url: &str) -> ClientOptions {
    ClientOptions {
        url: url::Url::parse(url).unwrap(),
        credentials: Some(Credentials {
            user: "admin".into(),
            password: Secret::new("pass word"),
        }),
        withheld_for: None,
        want_audio: true,
        user_agent: "test".into(),
        range: None,
        replay: false,
        timeout_ns: 5_000_000_000,
        seed: 42,
    }
}

/// A description with H.264 and G.711.
pub(super) const PLAIN_SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\na=control:*\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z2QAKqwsaoHgCJ+WbgoCCoAAAAMAgAAAD0IA,aO4xshsA\r\na=control:trackID=0\r\n\
    m=audio 0 RTP/AVP 8\r\na=control:trackID=1\r\n";

/// A server that gives one answer to each request: `%c` stands for its number.
pub(super) struct Script {
    answers: VecDeque<String>,
    pub requests: Vec<String>,
}

impl Script {
    pub(super) fn new(answers: &[&str]) -> Self {
        Self {
            answers: answers
                .iter()
                .map(|a| a.replace('\n', "\r\n").replace("\r\r", "\r"))
                .collect(),
            requests: Vec::new(),
        }
    }

    /// The answers of a server without quirks to `OPTIONS`, `DESCRIBE`, two `SETUP` and `PLAY`.
    pub(super) fn plain(sdp: &str) -> Self {
        let describe = describe(sdp, "Content-Base: rtsp://cam/s/\n");
        Self::new(&[
            "RTSP/1.0 200 OK\nCSeq: %c\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER\n\n",
            &describe,
            "RTSP/1.0 200 OK\nCSeq: %c\nSession: 12;timeout=30\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\n\n",
            "RTSP/1.0 200 OK\nCSeq: %c\nSession: 12;timeout=30\nTransport: RTP/AVP/TCP;unicast;interleaved=2-3\n\n",
            "RTSP/1.0 200 OK\nCSeq: %c\nSession: 12\n\n",
        ])
    }

    /// Answers what the client sent, until it sends nothing or there are no answers.
    pub(super) fn run(&mut self, client: &mut Client, now_ns: i64) -> Result<Vec<Event>, RtspError> {
        let mut out = Vec::new();
        loop {
            let sent = client.take_output();
            if sent.is_empty() {
                return Ok(out);
            }
            let text = String::from_utf8_lossy(&sent).into_owned();
            let cseq = text
                .lines()
                .find_map(|l| l.strip_prefix("CSeq: "))
                .unwrap_or("0")
                .to_owned();
            self.requests.push(text);
            if let Some(answer) = self.answers.pop_front() {
                client.input(answer.replace("%c", &cseq).as_bytes(), now_ns, &mut out)?;
            }
        }
    }
}

/// An answer to `DESCRIBE`.
pub(super) fn describe(sdp: &str, headers: &str) -> String {
    let sdp = sdp.replace("\r\n", "\n").replace('\n', "\r\n");
    format!(
        "RTSP/1.0 200 OK\nCSeq: %c\n{headers}Content-Type: application/sdp\nContent-Length: {}\n\n{sdp}",
        sdp.len()
    )
}

/// A session that plays [`PLAIN_SDP`].
pub(super) fn playing() -> Client {
    let mut client = Client::new(options("rtsp://cam/s"), 0);
    let mut script = Script::plain(PLAIN_SDP);
    assert_eq!(script.run(&mut client, 0).unwrap(), []);
    assert_eq!(script.requests.len(), 5);
    client
}

/// The units among events.
pub(super) fn units(events: &[Event]) -> Vec<&Unit> {
    events
        .iter()
        .filter_map(|e| match e {
            Event::Unit(u) => Some(u),
            _ => None,
        })
        .collect()
}
