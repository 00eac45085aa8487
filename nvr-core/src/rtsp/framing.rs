//! Cuts a connection's bytes into messages and interleaved packets (RFC 2326, 10.12), and finds the thread again when a
//! server loses it.

use super::error::RtspError;
use super::message::{self, Head};

/// Most bytes that are thrown away in search of the next packet.
const MAX_SEARCH_BYTES: u64 = 1 << 20;

/// Most searches within [`FORGIVEN_BYTES`].
const MAX_SEARCHES: u32 = 20;

/// So many good bytes, and a search is forgotten.
const FORGIVEN_BYTES: u64 = 16 << 20;

/// What an RTP packet of a channel looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Expected {
    pub payload_type: u8,
    pub ssrc: Option<u32>,
}

/// The channels of the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Channel {
    pub number: u8,
    /// RTP, or RTCP if `None`.
    pub rtp: Option<Expected>,
}

/// One thing at the start of the data.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Item {
    /// An interleaved packet: channel, and where its payload ends; it begins at 4.
    Packet { channel: u8, end: usize },
    /// A message: where its body begins and ends.
    Message { head: Head, body: usize, end: usize },
    /// So many bytes that are nothing.
    Nothing(usize),
    /// At least so many bytes are needed in all.
    Need(usize),
}

/// State of the search, and where in the connection the data stands.
#[derive(Debug, Default)]
pub(super) struct Framing {
    /// Bytes of the connection that were taken up.
    pub offset: u64,
    searching: bool,
    searched: u64,
    searches: u32,
    good: u64,
}

impl Framing {
    /// What stands at the start of `data`, which is not empty. The caller passes on as far as the item goes and tells
    /// it by [`advance`](Self::advance).
    ///
    /// # Errors
    /// `Protocol` when a message is malformed, or the thread is not found again within the bounds.
    pub(super) fn next(&mut self, data: &[u8], channels: &[Channel]) -> Result<Item, RtspError> {
        if !self.searching {
            match self.sound(data, channels)? {
                Some(item) => return Ok(item),
                None => self.lose(data)?,
            }
        }
        self.search(data, channels)
    }

    /// The item at the start, if it is a sound one.
    fn sound(&self, data: &[u8], channels: &[Channel]) -> Result<Option<Item>, RtspError> {
        match data[0] {
            b'$' => {
                let Some(head) = data.first_chunk::<4>() else {
                    return Ok(Some(Item::Need(4)));
                };
                let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
                if length > 0 {
                    // RTP and RTCP both begin with their version, 2; also on channels that nobody asked for.
                    match data.get(4) {
                        None => return Ok(Some(Item::Need(5))),
                        Some(b) if b >> 6 != 2 => return Ok(None),
                        Some(_) => {}
                    }
                } else if !channels.iter().any(|c| c.number == head[1]) {
                    return Ok(None);
                }
                let end = 4 + length;
                Ok(Some(if data.len() < end {
                    Item::Need(end)
                } else {
                    Item::Packet {
                        channel: head[1],
                        end,
                    }
                }))
            }
            // Some servers end a message with more lines than they counted.
            b'\r' | b'\n' => Ok(Some(Item::Nothing(1))),
            _ => match message::looks_like_message(data) {
                None => Ok(Some(Item::Need(data.len() + 1))),
                Some(false) => Ok(None),
                Some(true) => self.message(data).map(Some),
            },
        }
    }

    fn message(&self, data: &[u8]) -> Result<Item, RtspError> {
        let Some((head, body)) = message::head_end(data) else {
            if data.len() >= message::MAX_HEAD_BYTES {
                return Err(self.at(RtspError::protocol(format!(
                    "the head of a message is larger than {} bytes",
                    message::MAX_HEAD_BYTES
                ))));
            }
            return Ok(Item::Need(data.len() + 1));
        };
        let head = Head::parse(&data[..head]).map_err(|e| self.at(e))?;
        let end = body + head.body_len().map_err(|e| self.at(e))?;
        Ok(if data.len() < end {
            Item::Need(end)
        } else {
            Item::Message { head, body, end }
        })
    }

    fn at(&self, e: RtspError) -> RtspError {
        e.context(format_args!("byte {} of the connection", self.offset))
    }

    fn lose(&mut self, data: &[u8]) -> Result<(), RtspError> {
        self.searching = true;
        self.searched = 0;
        self.searches += 1;
        if self.searches > MAX_SEARCHES {
            let first: Vec<String> = data.iter().take(8).map(|b| format!("{b:02x}")).collect();
            return Err(self.at(RtspError::protocol(format!(
                "the server's data is neither RTSP nor RTP, for the {MAX_SEARCHES}th time ({})",
                first.join(" ")
            ))));
        }
        tracing::debug!(
            offset = self.offset,
            "neither RTSP nor RTP in the connection: searching"
        );
        Ok(())
    }

    /// Looks for a packet of a known track, or an answer.
    fn search(&mut self, data: &[u8], channels: &[Channel]) -> Result<Item, RtspError> {
        // Enough to be sure of an RTP packet.
        const SURE: usize = 16;
        let mut at = 0;
        while at < data.len() {
            let rest = &data[at..];
            let found = match rest[0] {
                b'$' if rest.len() < SURE => break,
                b'$' => is_known_packet(rest, channels),
                b'R' => match message::looks_like_message(rest) {
                    None => break,
                    Some(yes) => yes && rest.starts_with(b"RTSP/1."),
                },
                _ => false,
            };
            if found {
                break;
            }
            at += 1;
        }
        self.searched += at as u64;
        if self.searched > MAX_SEARCH_BYTES {
            return Err(self.at(RtspError::protocol(format!(
                "no packet of a known channel within {MAX_SEARCH_BYTES} bytes"
            ))));
        }
        let rest = &data[at..];
        let unsure = rest.is_empty()
            || (rest[0] == b'$' && rest.len() < SURE)
            || (rest[0] == b'R' && message::looks_like_message(rest).is_none());
        if !unsure {
            self.searching = false;
        }
        Ok(if at > 0 {
            Item::Nothing(at)
        } else if unsure {
            Item::Need(data.len() + 1)
        } else {
            // Found at the very start, though it was not sound: only a stray byte can be passed over.
            match self.sound(data, channels)? {
                Some(item) => item,
                None => {
                    self.searching = true;
                    self.searched += 1;
                    Item::Nothing(1)
                }
            }
        })
    }

    /// Passes over an item.
    pub(super) fn advance(&mut self, item_bytes: usize) {
        self.offset += item_bytes as u64;
        if self.searches > 0 && !self.searching {
            self.good += item_bytes as u64;
            if self.good > FORGIVEN_BYTES {
                self.good = 0;
                self.searches = 0;
            }
        }
    }
}

/// Whether this is the start of an RTP packet as a known track sends them.
fn is_known_packet(data: &[u8], channels: &[Channel]) -> bool {
    let length = u16::from_be_bytes([data[2], data[3]]);
    length >= 12
        && data[4] >> 6 == 2
        && channels.iter().any(|c| {
            c.number == data[1]
                && c.rtp.is_some_and(|rtp| {
                    data[5] & 0x7F == rtp.payload_type
                        && rtp.ssrc.is_none_or(|s| s.to_be_bytes() == data[12..16])
                })
        })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{interleaved, packet};
    use super::*;

    const CHANNELS: [Channel; 2] = [
        Channel {
            number: 0,
            rtp: Some(Expected {
                payload_type: 96,
                ssrc: Some(5),
            }),
        },
        Channel { number: 1, rtp: None },
    ];

    /// The packets' lengths and messages' codes in a whole stream of bytes.
    fn all(mut data: &[u8]) -> Result<Vec<String>, RtspError> {
        let mut framing = Framing::default();
        let mut found = Vec::new();
        while !data.is_empty() {
            let used = match framing.next(data, &CHANNELS)? {
                Item::Packet { channel, end } => {
                    found.push(format!("{channel}:{}", end - 4));
                    end
                }
                Item::Message { head, end, .. } => {
                    found.push(format!("{:?}", head.cseq()));
                    end
                }
                Item::Nothing(n) => n,
                Item::Need(n) => {
                    assert!(n > data.len());
                    break;
                }
            };
            framing.advance(used);
            data = &data[used..];
        }
        Ok(found)
    }

    #[test]
    fn answers_amid_data() {
        let p = interleaved(0, &packet(96, true, 1, 0, 5, b"hello"));
        let answer = b"RTSP/1.0 200 OK\r\nCSeq: 4\r\nContent-Length: 2\r\n\r\n$$";
        let stream = [
            &p[..],
            answer,
            &p,
            b"\r\n",
            &interleaved(1, &[0x80, 200, 0, 0]),
            &p,
        ]
        .concat();
        assert_eq!(all(&stream).unwrap(), ["0:17", "Some(4)", "0:17", "1:4", "0:17"]);
    }

    #[test]
    fn the_thread_is_found_again() {
        let p = interleaved(0, &packet(96, true, 1, 0, 5, b"hello"));
        let foreign = interleaved(0, &packet(97, true, 1, 0, 5, b"$$$$$"));
        let rubbish = [b"$\x00\x00\x20\x11 what is this $ \x00".as_slice(), &foreign[1..]].concat();
        let stream = [
            &p[..],
            &rubbish,
            &p,
            b"rubbish",
            b"RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n",
            &p,
        ]
        .concat();
        assert_eq!(all(&stream).unwrap(), ["0:17", "0:17", "Some(9)", "0:17"]);
    }

    #[test]
    fn rubbish_ends_within_bounds() {
        assert!(all(&vec![b'x'; 3 << 20]).is_err());
        let p = interleaved(0, &packet(96, true, 1, 0, 5, b"hello"));
        let often = [&b"xyz"[..], &p].concat().repeat(30);
        assert!(all(&often).unwrap_err().message.contains("neither"));
        let mut head = b"RTSP/1.0 200 OK\r\n".to_vec();
        head.extend(b"a: b\r\n".repeat(4000));
        assert!(all(&head).unwrap_err().message.contains("larger"));
    }
}
