//! RTSP messages (RFC 2326, 4 to 7): reading what servers send, tolerant of how they send it.

use super::error::{RtspError, quoted};

/// Largest head of a message.
pub(super) const MAX_HEAD_BYTES: usize = 16 << 10;

/// Largest body of a message; descriptions have a few kilobytes.
pub(super) const MAX_BODY_BYTES: usize = 256 << 10;

/// Most header lines.
const MAX_HEADERS: usize = 100;

/// First line of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Start {
    Response { status: u16, reason: String },
    Request { method: String },
}

/// A message without its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub start: Start,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads a head up to and without its empty line.
    ///
    /// # Errors
    /// `Protocol` when the first line is none of RTSP, or there are too many headers.
    pub(super) fn parse(head: &[u8]) -> Result<Self, RtspError> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.lines().filter(|l| !l.trim().is_empty());
        let first = lines.next().unwrap_or_default().trim();
        let bad = || RtspError::protocol(format!("\"{}\" is no line of RTSP", quoted(first)));
        let start = if let Some(rest) = first.strip_prefix("RTSP/") {
            let mut words = rest.splitn(3, ' ').skip(1);
            let status = words.next().and_then(|w| w.trim().parse().ok()).ok_or_else(bad)?;
            Start::Response {
                status,
                reason: quoted(words.next().unwrap_or_default().trim()),
            }
        } else {
            let (method, rest) = first.split_once(' ').ok_or_else(bad)?;
            if !rest.trim_end().ends_with("RTSP/1.0") {
                return Err(bad());
            }
            Start::Request {
                method: method.to_owned(),
            }
        };
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if headers.len() == MAX_HEADERS {
                return Err(RtspError::protocol(format!(
                    "a message of more than {MAX_HEADERS} headers"
                )));
            }
            if line.starts_with([' ', '\t']) {
                // A folded line belongs to the one before.
                if let Some((_, value)) = headers.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        Ok(Self { start, headers })
    }

    /// The first header of this (lower-case) name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All headers of this (lower-case) name.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The number of the request that this answers.
    pub(super) fn cseq(&self) -> Option<u32> {
        self.get("cseq")?.parse().ok()
    }

    /// Length of the body.
    ///
    /// # Errors
    /// `Protocol` when it is no number or too large.
    pub(super) fn body_len(&self) -> Result<usize, RtspError> {
        let Some(text) = self.get("content-length") else {
            return Ok(0);
        };
        match text.parse::<usize>() {
            Ok(n) if n <= MAX_BODY_BYTES => Ok(n),
            _ => Err(RtspError::protocol(format!(
                "a body of \"{}\" bytes",
                quoted(text)
            ))),
        }
    }
}

/// Where the head in `data` ends: its length without and with the empty line. `None` while it is not whole.
pub(super) fn head_end(data: &[u8]) -> Option<(usize, usize)> {
    let data = &data[..data.len().min(MAX_HEAD_BYTES)];
    let mut line_start = 0;
    for (at, _) in data.iter().enumerate().filter(|(_, b)| **b == b'\n') {
        let line = &data[line_start..at];
        if line_start > 0 && matches!(line, [] | [b'\r']) {
            return Some((line_start, at + 1));
        }
        line_start = at + 1;
    }
    None
}

/// Whether `data` begins like a message, as far as it goes: `None` means that more bytes are needed to tell.
pub(super) fn looks_like_message(data: &[u8]) -> Option<bool> {
    const STARTS: [&[u8]; 11] = [
        b"RTSP/1.",
        b"OPTIONS ",
        b"REDIRECT ",
        b"ANNOUNCE ",
        b"GET_PARAMETER ",
        b"SET_PARAMETER ",
        b"TEARDOWN ",
        b"PAUSE ",
        b"DESCRIBE ",
        b"PLAY ",
        b"PLAY_NOTIFY ",
    ];
    let mut possible = false;
    for start in STARTS {
        let n = start.len().min(data.len());
        if data[..n] == start[..n] {
            if n == start.len() {
                return Some(true);
            }
            possible = true;
        }
    }
    if possible { None } else { Some(false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_as_servers_write_them() {
        let text = b"RTSP/1.0 200 OK\r\nCseq:2\r\nServer: A\r\n B\r\nX: 1\r\nx: 2\r\nnonsense\r\nSession : 7;timeout=60\r\nContent-Length: 3\r\n";
        let h = Head::parse(text).unwrap();
        assert_eq!((h.cseq(), h.body_len().unwrap()), (Some(2), 3));
        assert_eq!(h.get("server"), Some("A B"));
        assert_eq!(h.all("x").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(h.get("session"), Some("7;timeout=60"));
        let Start::Response { status, reason } = Head::parse(b"RTSP/1.0 401\r\n").unwrap().start else {
            panic!()
        };
        assert_eq!((status, reason.as_str()), (401, ""));
        for bad in ["", "HTTP/1.1 200 OK", "RTSP/1.0 x", "GET /"] {
            assert!(Head::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Head::parse("RTSP/1.0 200 OK\r\na: b\r\n".repeat(101).as_bytes()).is_err());
        let large = format!("RTSP/1.0 200 OK\r\nContent-Length: {}\r\n", MAX_BODY_BYTES + 1);
        assert!(Head::parse(large.as_bytes()).unwrap().body_len().is_err());
    }

    #[test]
    fn ends_and_beginnings() {
        assert_eq!(head_end(b"a\r\nb\r\n\r\nc"), Some((6, 8)));
        assert_eq!(head_end(b"a\nb\n\nc"), Some((4, 5)));
        assert_eq!(head_end(b"a\r\nb\r\n\r"), None);
        assert_eq!(looks_like_message(b"RT"), None);
        assert_eq!(looks_like_message(b"RTSP/1.0 "), Some(true));
        assert_eq!(looks_like_message(b"RTP"), Some(false));
        assert_eq!(looks_like_message(b"ANNOUNCE rtsp"), Some(true));
    }
}
