//! RTSP messages (RFC 2326), as much as a camera needs that sends interleaved.

use std::fmt::Write as _;

use super::clip::{Clip, PAYLOAD_TYPE};

/// Longest request taken.
const LONGEST: usize = 16_384;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub method: String,
    pub url: String,
    headers: Vec<(String, String)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// Not all there yet.
    More,
    /// Bytes that are of no interest: an interleaved packet.
    Skip(usize),
    /// A request and its length.
    Request(Request, usize),
    /// No RTSP.
    Broken,
}

/// Reads the first message of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    if bytes.first() == Some(&b'$') {
        return match bytes.get(2..4) {
            Some(len) => {
                let whole = 4 + usize::from(u16::from_be_bytes([len[0], len[1]]));
                if bytes.len() < whole {
                    Parsed::More
                } else {
                    Parsed::Skip(whole)
                }
            }
            None => Parsed::More,
        };
    }
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return if bytes.len() > LONGEST {
            Parsed::Broken
        } else {
            Parsed::More
        };
    };
    let Ok(text) = std::str::from_utf8(&bytes[..end]) else {
        return Parsed::Broken;
    };
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or("").split(' ');
    let (Some(method), Some(url), Some("RTSP/1.0")) = (first.next(), first.next(), first.next()) else {
        return Parsed::Broken;
    };
    let headers = lines
        .filter_map(|l| l.split_once(':'))
        .map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().to_owned()))
        .collect();
    let request = Request {
        method: method.into(),
        url: url.into(),
        headers,
    };
    let body = request
        .header("content-length")
        .and_then(|v| v.parse::<usize>().ok())
        .unwrap_or(0);
    let whole = end + 4 + body.min(LONGEST);
    if bytes.len() < whole {
        Parsed::More
    } else {
        Parsed::Request(request, whole)
    }
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The camera's number in `rtsp://host/NUMBER` or `rtsp://host/NUMBER/track`.
    pub fn path(&self) -> Option<u32> {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, r)| r);
        rest.split(['/', '?']).nth(1)?.parse().ok()
    }

    /// The RTP channel asked for, when the transport is TCP.
    pub fn interleaved(&self) -> Option<u8> {
        let transport = self.header("transport")?;
        let tcp = transport.split(',').find(|t| t.contains("RTP/AVP/TCP"))?;
        match tcp.split(';').find_map(|p| p.trim().strip_prefix("interleaved=")) {
            Some(channels) => channels.split('-').next()?.parse().ok().filter(|c| *c < 255),
            None => Some(0),
        }
    }

    /// An answer with this status line, headers (each ending in CRLF) and body.
    pub fn answer(&self, status: &str, headers: &str, body: &str) -> Vec<u8> {
        let mut text = format!("RTSP/1.0 {status}\r\n");
        if let Some(sequence) = self.header("cseq") {
            let _ = write!(text, "CSeq: {sequence}\r\n");
        }
        text.push_str(headers);
        if !body.is_empty() {
            let _ = write!(text, "Content-Length: {}\r\n", body.len());
        }
        text.push_str("\r\n");
        text.push_str(body);
        text.into_bytes()
    }
}

/// The session description of a clip.
pub(crate) fn sdp(clip: &Clip) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=bench camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
         a=range:npt=now-\r\nm=video 0 RTP/AVP {PAYLOAD_TYPE}\r\na=rtpmap:{PAYLOAD_TYPE} H264/90000\r\n\
         a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;profile-level-id={:02X}{:02X}{:02X};sprop-parameter-sets={},{}\r\n\
         a=framerate:{}\r\na=control:track\r\n",
        clip.sps[1],
        clip.sps[2],
        clip.sps[3],
        glib::base64_encode(&clip.sps),
        glib::base64_encode(&clip.pps),
        clip.fps,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_cut_out_of_the_stream() {
        let text = b"SETUP rtsp://127.0.0.1:8554/7/track RTSP/1.0\r\nCSeq: 3\r\n\
            Transport: RTP/AVP/UDP;unicast;client_port=1-2,RTP/AVP/TCP;unicast;interleaved=4-5\r\n\r\nrest";
        for cut in 0..text.len() - 4 {
            assert_eq!(parse(&text[..cut]), Parsed::More);
        }
        let Parsed::Request(request, len) = parse(text) else {
            panic!()
        };
        assert_eq!(&text[len..], b"rest");
        assert_eq!((request.path(), request.interleaved()), (Some(7), Some(4)));
        assert_eq!(
            request.answer("200 OK", "", ""),
            b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n"
        );
        assert_eq!(parse(b"$\x01\x00\x02abX"), Parsed::Skip(6));
        assert_eq!(parse(b"GET / HTTP/1.1\r\n\r\n"), Parsed::Broken);
        assert_eq!(parse(&[b'x'; LONGEST + 1]), Parsed::Broken);
    }

    #[test]
    fn udp_is_not_for_us() {
        let text = b"SETUP rtsp://h/0/track RTSP/1.0\r\nTransport: RTP/AVP;unicast;client_port=1-2\r\n\r\n";
        let Parsed::Request(request, _) = parse(text) else {
            panic!()
        };
        assert_eq!(request.interleaved(), None);
    }
}
