//! What the client writes: requests, answers, and what refusals mean.

use std::fmt::Write as _;

use super::error::{RtspError, RtspErrorKind, quoted};
use super::event::{Reorder, VideoParams};
use super::message::Head;
use crate::track::VideoCodec;

/// Methods of requests that the client sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    Options,
    Describe,
    Setup,
    Play,
    GetParameter,
    SetParameter,
    Teardown,
}

impl Method {
    const ALL: [Self; 7] = [
        Self::Options,
        Self::Describe,
        Self::Setup,
        Self::Play,
        Self::GetParameter,
        Self::SetParameter,
        Self::Teardown,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::GetParameter => "GET_PARAMETER",
            Self::SetParameter => "SET_PARAMETER",
            Self::Teardown => "TEARDOWN",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|m| m.name().eq_ignore_ascii_case(name))
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub method: Method,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub cseq: u32,
    /// It had an answer to a challenge.
    pub answered: bool,
    pub attempts: u32,
    pub sent_ns: i64,
    pub deadline_ns: i64,
}

/// Appends a request.
pub(super) fn write(
    out: &mut Vec<u8>,
    p: &Pending,
    user_agent: &str,
    login: Option<&str>,
    session: Option<&str>,
) {
    let mut text = format!("{} {} RTSP/1.0\r\nCSeq: {}\r\n", p.method.name(), p.url, p.cseq);
    let mut add = |name: &str, value: &str| {
        // Whatever it came from, a header is one line.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        let _ = write!(text, "{name}: {value}\r\n");
    };
    add("User-Agent", user_agent);
    for (name, value) in &p.headers {
        add(name, value);
    }
    if let Some(session) = session {
        add("Session", session);
    }
    if let Some(login) = login {
        add("Authorization", login);
    }
    text.push_str("\r\n");
    out.extend(text.into_bytes());
}

/// Appends the answer to a request of the server.
pub(super) fn write_answer(out: &mut Vec<u8>, status: &str, request: &Head) {
    let mut text = format!("RTSP/1.0 {status}\r\n");
    for (name, key) in [("CSeq", "cseq"), ("Session", "session")] {
        if let Some(value) = request.get(key) {
            let _ = write!(text, "{name}: {}\r\n", quoted(value));
        }
    }
    text.push_str("Public: OPTIONS, ANNOUNCE, REDIRECT, GET_PARAMETER, SET_PARAMETER, TEARDOWN\r\n\r\n");
    out.extend(text.into_bytes());
}

/// The error of an answer that is none of success.
pub(super) fn refusal(method: Method, status: u16, reason: &str) -> RtspError {
    use RtspErrorKind as Kind;
    let (kind, words) = match status {
        401 | 403 | 407 => (Kind::Unauthorized, "the camera refuses user or password"),
        404 | 410 | 454 => (Kind::NotFound, "no such stream at this address"),
        461 => (Kind::Transport, "the camera does not send RTP over TCP"),
        453 | 503 => (Kind::Unreachable, "the camera serves too many clients"),
        406 | 415 | 501 | 505 | 551 => (Kind::Unsupported, "the camera does not know what is asked"),
        500.. => (Kind::Unreachable, "the camera fails"),
        _ => (Kind::Protocol, "the camera refuses"),
    };
    RtspError::new(kind, format!("{}: {words} ({status} {reason})", method.name()))
}

/// An answer's `Transport`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Transport {
    /// Of RTP and of RTCP.
    pub channels: (u8, u8),
}

impl Transport {
    /// The header of `SETUP` that asks for a channel and the one after it.
    pub(super) fn request(channel: u8) -> Vec<(&'static str, String)> {
        let value = format!("RTP/AVP/TCP;unicast;interleaved={channel}-{}", channel + 1);
        vec![("Transport", value)]
    }

    /// Reads what the server chose; `asked` is the channel that it was asked for.
    ///
    /// # Errors
    /// `Transport` when it is not RTP within the connection, or in no channel that there is.
    pub(super) fn parse(header: Option<&str>, asked: u8) -> Result<Self, RtspError> {
        // A server that says nothing does what it was asked for.
        let Some(text) = header else {
            return Ok(Self {
                channels: (asked, asked + 1),
            });
        };
        let mut tcp = false;
        let mut channels = None;
        for part in text.split([';', ',']).map(str::trim) {
            let upper = part.to_ascii_uppercase();
            tcp |= upper.starts_with("RTP/AVP/TCP");
            if let Some(numbers) = upper.strip_prefix("INTERLEAVED=") {
                let (rtp, rtcp) = numbers.split_once('-').unwrap_or((numbers, ""));
                let rtp: u8 = rtp.trim().parse().map_err(|_| {
                    let words = format!("SETUP: channels \"{}\" that are none", quoted(numbers));
                    RtspError::new(RtspErrorKind::Transport, words)
                })?;
                let next = rtp.checked_add(1).unwrap_or(0);
                channels = Some((
                    rtp,
                    rtcp.trim().parse().ok().filter(|r| *r != rtp).unwrap_or(next),
                ));
            }
        }
        match channels {
            Some(channels) => Ok(Self { channels }),
            None if tcp => Ok(Self {
                channels: (asked, asked + 1),
            }),
            None => Err(RtspError::new(
                RtspErrorKind::Transport,
                format!(
                    "SETUP: the camera does not send RTP over TCP (\"{}\")",
                    quoted(text)
                ),
            )),
        }
    }
}

/// Parameters of a video of which only the codec is known.
pub(super) fn unknown_video(codec: VideoCodec) -> VideoParams {
    VideoParams {
        codec,
        codec_data: Vec::new(),
        width: 0,
        height: 0,
        frame_rate: None,
        pixel_aspect: None,
        profile: None,
        level: None,
        tier: None,
        chroma_format: "4:2:0",
        bit_depth_luma: 8,
        bit_depth_chroma: 8,
        interlaced: false,
        reorder: Reorder::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_as_servers_write_them() {
        let parse = |t| Transport::parse(Some(t), 0).map(|t| t.channels);
        assert_eq!(
            parse("RTP/AVP/TCP;unicast;interleaved=4-5;ssrc=1234;mode=\"PLAY\""),
            Ok((4, 5))
        );
        assert_eq!(parse("RTP/AVP/TCP; unicast; Interleaved=2"), Ok((2, 3)));
        assert_eq!(parse("RTP/AVP;unicast;interleaved=0-0"), Ok((0, 1)));
        assert_eq!(parse("RTP/AVP/TCP;unicast"), Ok((0, 1)));
        assert_eq!(Transport::parse(None, 2).unwrap().channels, (2, 3));
        assert_eq!(
            parse("RTP/AVP;unicast;server_port=1-2").unwrap_err().kind,
            RtspErrorKind::Transport
        );
        assert_eq!(
            parse("RTP/AVP/TCP;interleaved=x").unwrap_err().kind,
            RtspErrorKind::Transport
        );
    }

    #[test]
    fn headers_are_one_line() {
        let p = Pending {
            method: Method::Play,
            url: "rtsp://h/".into(),
            headers: vec![("Range", "npt=0-\r\nEvil: 1".into())],
            cseq: 3,
            answered: false,
            attempts: 0,
            sent_ns: 0,
            deadline_ns: 0,
        };
        let mut out = Vec::new();
        write(&mut out, &p, "nvr", None, Some("7"));
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "PLAY rtsp://h/ RTSP/1.0\r\nCSeq: 3\r\nUser-Agent: nvr\r\nRange: npt=0-Evil: 1\r\nSession: 7\r\n\r\n"
        );
    }
}
