//! Session descriptions (RFC 8866), as cameras write them: what is malformed is passed over, what is there is taken.

/// Most streams that are read.
const MAX_MEDIA: usize = 64;

/// Most formats, and attributes of each kind, that are read of a stream.
const MAX_ENTRIES: usize = 128;

/// What is read of a description.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Description {
    /// `a=control` of the session.
    pub control: Option<String>,
    pub media: Vec<Media>,
}

/// Which way a stream flows, seen from the camera.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Direction {
    /// `recvonly`, `sendrecv` or nothing: cameras mean that the client receives.
    #[default]
    ToClient,
    /// `sendonly` on ONVIF cameras: the client sends (their backchannel).
    FromClient,
    /// `inactive`.
    None,
}

/// One `m=` line and what follows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Media {
    /// `video`, `audio`, `application`.
    pub kind: String,
    /// `RTP/AVP`.
    pub protocol: String,
    /// Payload types.
    pub formats: Vec<u8>,
    pub control: Option<String>,
    pub direction: Direction,
    rtpmaps: Vec<(u8, String)>,
    fmtps: Vec<(u8, String)>,
}

/// An `a=rtpmap`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RtpMap {
    /// In upper case.
    pub encoding: String,
    pub clock_rate: Option<u32>,
    pub channels: Option<u32>,
}

impl Description {
    /// Reads what there is.
    pub(super) fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut out = Self::default();
        let mut direction = Direction::default();
        for line in text.split(['\n', '\r']) {
            let Some((key, value)) = line.trim().split_once('=') else {
                continue;
            };
            let (key, value) = (key.trim_end(), value.trim());
            if key == "m" {
                if out.media.len() == MAX_MEDIA {
                    break;
                }
                out.media.push(Media::of_line(value, direction));
            } else if key == "a" {
                let (name, value) = value
                    .split_once(':')
                    .map_or((value, ""), |(n, v)| (n.trim(), v.trim()));
                let media = out.media.last_mut();
                match (name.to_ascii_lowercase().as_str(), media) {
                    ("control", None) => out.control = Some(value.to_owned()),
                    ("control", Some(m)) => m.control = Some(value.to_owned()),
                    ("rtpmap", Some(m)) => add(&mut m.rtpmaps, value),
                    ("fmtp", Some(m)) => add(&mut m.fmtps, value),
                    (name, media) => {
                        let found = match name {
                            "recvonly" | "sendrecv" => Direction::ToClient,
                            "sendonly" => Direction::FromClient,
                            "inactive" => Direction::None,
                            _ => continue,
                        };
                        match media {
                            Some(m) => m.direction = found,
                            // Some cameras say "sendonly" of the whole session and mean themselves.
                            None if found != Direction::FromClient => direction = found,
                            None => {}
                        }
                    }
                }
            }
        }
        out
    }
}

fn add(list: &mut Vec<(u8, String)>, value: &str) {
    let (format, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
    if let (Ok(format), true) = (format.parse(), list.len() < MAX_ENTRIES) {
        list.push((format, rest.trim().to_owned()));
    }
}

impl Media {
    fn of_line(value: &str, direction: Direction) -> Self {
        let mut words = value.split_ascii_whitespace();
        let kind = words.next().unwrap_or_default().to_ascii_lowercase();
        let protocol = words.nth(1).unwrap_or_default().to_ascii_uppercase();
        Self {
            kind,
            protocol,
            formats: words.filter_map(|w| w.parse().ok()).take(MAX_ENTRIES).collect(),
            direction,
            ..Self::default()
        }
    }

    /// The mapping of a format: from its line, or for static types from RFC 3551.
    pub(super) fn rtpmap(&self, format: u8) -> Option<RtpMap> {
        let Some((_, text)) = self.rtpmaps.iter().find(|(f, _)| *f == format) else {
            let (encoding, clock_rate) = match format {
                0 => ("PCMU", 8000),
                8 => ("PCMA", 8000),
                26 => ("JPEG", 90_000),
                _ => return None,
            };
            return Some(RtpMap {
                encoding: encoding.into(),
                clock_rate: Some(clock_rate),
                channels: None,
            });
        };
        let mut parts = text.split('/').map(str::trim);
        let encoding = parts.next().unwrap_or_default().to_ascii_uppercase();
        let mut number = |most: u32| {
            parts
                .next()
                .and_then(|p| p.parse().ok())
                .filter(|n| (1..=most).contains(n))
        };
        Some(RtpMap {
            encoding,
            clock_rate: number(10_000_000),
            channels: number(255),
        })
    }

    /// A parameter of a format (`a=fmtp`), its name in lower case. Where a stream has parameters for another format only,
    /// these are meant: there are cameras that number them wrongly.
    pub(super) fn parameter(&self, format: u8, name: &str) -> Option<&str> {
        let own = self.fmtps.iter().find(|(f, _)| *f == format);
        let ((Some((_, line)), ..) | (None, [(_, line)], [_])) = (own, &self.fmtps[..], &self.formats[..])
        else {
            return None;
        };
        line.split(';').find_map(|p| {
            let (key, value) = p.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().trim_matches('"'))
        })
    }
}

/// Base64, passing over what does not belong to it.
pub(super) fn unbase64(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0u32, 0);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// Hexadecimal digits; `None` when there are others or an odd number of them.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .trim()
        .chars()
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    digits
        .len()
        .is_multiple_of(2)
        .then(|| digits.chunks(2).map(|d| (d[0] << 4 | d[1]) as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_in_any_order_and_shape() {
        let d = Description::parse(
            b"v=0\r\nm=video 0 RTP/AVP 105 \r\nc=IN\r\na = control : trackID=1 \r\na=fmtp:105  packetization-mode=1;sprop-parameter-sets=\"Zw==,aA==\" ;X=1\r\na=rtpmap:105 h264/90000\r\n\
              m=audio 0 RTP/AVP 0 97\na=sendonly\na=rtpmap:97 mpeg4-generic/16000/2\na=fmtp:\na=rtpmap:x\nrubbish\n\0\xff=\n",
        );
        assert_eq!((d.control.as_deref(), d.media.len()), (None, 2));
        let v = &d.media[0];
        assert_eq!(
            (v.kind.as_str(), &v.formats[..], v.control.as_deref()),
            ("video", &[105][..], Some("trackID=1"))
        );
        assert_eq!(v.parameter(105, "sprop-parameter-sets"), Some("Zw==,aA=="));
        assert_eq!(v.parameter(105, "x"), Some("1"));
        assert_eq!(v.rtpmap(105).unwrap().encoding, "H264");
        let a = &d.media[1];
        assert_eq!(a.direction, Direction::FromClient);
        assert_eq!(a.rtpmap(0).unwrap().encoding, "PCMU");
        let m = a.rtpmap(97).unwrap();
        assert_eq!((m.clock_rate, m.channels), (Some(16_000), Some(2)));
        assert_eq!(a.rtpmap(99), None);
    }

    #[test]
    fn numbers_of_bytes() {
        assert_eq!(unbase64("Zm9v YmFy"), b"foobar");
        assert_eq!(unbase64("Zg=="), b"f");
        assert_eq!(unhex("1408"), Some(vec![0x14, 8]));
        assert_eq!(unhex("140"), None);
        assert_eq!(unhex("zz"), None);
    }
}
