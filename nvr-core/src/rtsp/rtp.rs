//! RTP packets (RFC 3550, 5.1), and the order of those of one track.

/// A packet, its payload without padding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Packet<'a> {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub replay: Option<ReplayMark>,
    pub payload: &'a [u8],
}

/// The profile of the header extension of replays.
const REPLAY: [u8; 2] = [0xAB, 0xAC];

/// What a replay says with its packets (ONVIF Streaming Specification, 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ReplayMark {
    /// When the picture was taken, by the camera's clock.
    pub ntp: u64,
    /// No picture follows this one.
    pub terminal: bool,
}

impl ReplayMark {
    fn parse(extension: &[u8]) -> Option<Self> {
        let (ntp, rest) = extension.split_first_chunk::<8>()?;
        Some(Self {
            ntp: u64::from_be_bytes(*ntp),
            terminal: rest.first()? & 0x10 != 0,
        })
    }
}

impl<'a> Packet<'a> {
    /// Reads a packet; `None` when its lengths do not fit.
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let head = data.first_chunk::<12>()?;
        if head[0] >> 6 != 2 {
            return None;
        }
        let mut start = 12 + 4 * usize::from(head[0] & 0x0F);
        let mut replay = None;
        if head[0] & 0x10 != 0 {
            let extension = data.get(start..start + 4)?;
            let bytes = 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
            if extension[..2] == REPLAY {
                replay = ReplayMark::parse(data.get(start + 4..start + 4 + bytes)?);
            }
            start += 4 + bytes;
        }
        let mut end = data.len();
        if head[0] & 0x20 != 0 {
            let padding = usize::from(*data.last()?);
            // A padding of zero is against the RFC, and sent.
            end = end.checked_sub(padding)?;
        }
        Some(Self {
            marker: head[1] & 0x80 != 0,
            payload_type: head[1] & 0x7F,
            sequence: u16::from_be_bytes([head[2], head[3]]),
            timestamp: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
            replay,
            payload: data.get(start..end)?,
        })
    }
}

/// So many packets in a row of another source, and it is taken for the track's new one. Fewer are strays: old servers
/// send packets of a session that is over into a new connection with the same file descriptor.
const FOREIGN_PACKETS: u32 = 32;

/// A sequence number this far back is a packet that came late; further back, the numbers began anew (RFC 3550, A.1).
const MAX_MISORDER: u16 = 100;

/// Where a packet stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// The next one, after so many that are missing.
    Next(u32),
    /// The first of a source, or of numbers that began anew: nothing is known of what was before.
    First,
    /// Late, doubled, or of somebody else.
    Ignored,
}

/// The order of the packets of a track, and the counts that receiver reports need (RFC 3550, 6.4.1 and A.3).
#[derive(Debug)]
pub(super) struct Sequence {
    payload_type: u8,
    clock_rate: u32,
    ssrc: Option<u32>,
    /// The number at which the stream begins, until it did.
    begins_at: Option<u16>,
    foreign: u32,
    /// Highest sequence number with the count of its wraps.
    highest: u64,
    base: u64,
    received: u64,
    reported_expected: u64,
    reported_received: u64,
    transit: Option<i64>,
    /// Interarrival jitter in ticks, times 16.
    jitter16: i64,
}

/// The numbers of a report block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reception {
    pub ssrc: u32,
    pub fraction_lost: u8,
    pub lost: u32,
    pub highest: u32,
    pub jitter: u32,
}

impl Sequence {
    pub(super) fn new(payload_type: u8, clock_rate: u32) -> Self {
        Self {
            payload_type,
            clock_rate,
            ssrc: None,
            begins_at: None,
            foreign: 0,
            highest: 0,
            base: 0,
            received: 0,
            reported_expected: 0,
            reported_received: 0,
            transit: None,
            jitter16: 0,
        }
    }

    /// The server says that the stream begins with this number (RFC 2326, 12.33).
    pub(super) fn begins_at(&mut self, number: u16) {
        self.begins_at = Some(number);
    }

    /// The source that is listened to.
    pub(super) fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// The payload type that the track has.
    pub(super) fn payload_type(&self) -> u8 {
        self.payload_type
    }

    /// Tells where the packet stands and counts it.
    pub(super) fn place(&mut self, packet: &Packet<'_>, now_ns: i64) -> Place {
        let known = packet.payload_type == self.payload_type && self.ssrc.is_none_or(|s| s == packet.ssrc);
        if !known {
            self.foreign += 1;
            if self.foreign < FOREIGN_PACKETS {
                return Place::Ignored;
            }
            self.payload_type = packet.payload_type;
            self.ssrc = None;
        }
        self.foreign = 0;
        if self.ssrc.is_none() {
            // What is shortly before is left of another session.
            if self
                .begins_at
                .is_some_and(|b| (1..=MAX_MISORDER).contains(&b.wrapping_sub(packet.sequence)))
            {
                return Place::Ignored;
            }
            self.begins_at = None;
            self.ssrc = Some(packet.ssrc);
            self.restart(packet.sequence);
            return Place::First;
        }
        let ahead = packet.sequence.wrapping_sub(self.highest as u16);
        let place = if ahead == 0 || ahead >= u16::MAX - MAX_MISORDER {
            return Place::Ignored;
        } else if ahead < 0x8000 {
            self.highest += u64::from(ahead);
            self.received += 1;
            Place::Next(u32::from(ahead) - 1)
        } else {
            self.restart(packet.sequence);
            Place::First
        };
        let arrival = i128::from(now_ns) * i128::from(self.clock_rate) / 1_000_000_000;
        let transit = (arrival as i64).wrapping_sub(i64::from(packet.timestamp)) as i32;
        if let Some(last) = self.transit {
            let d = i64::from(transit.wrapping_sub(last as i32)).abs();
            self.jitter16 += d - ((self.jitter16 + 8) >> 4);
        }
        self.transit = Some(i64::from(transit));
        place
    }

    fn restart(&mut self, sequence: u16) {
        self.highest = u64::from(sequence);
        self.base = self.highest;
        self.received = 1;
        self.reported_expected = 0;
        self.reported_received = 0;
        self.transit = None;
    }

    /// The numbers for the next receiver report; `None` before the first packet.
    pub(super) fn report(&mut self) -> Option<Reception> {
        let ssrc = self.ssrc?;
        let expected = self.highest - self.base + 1;
        let interval = expected - self.reported_expected;
        let lost_now = interval.saturating_sub(self.received - self.reported_received);
        self.reported_expected = expected;
        self.reported_received = self.received;
        Some(Reception {
            ssrc,
            fraction_lost: (lost_now * 256).checked_div(interval).unwrap_or(0).min(255) as u8,
            lost: expected.saturating_sub(self.received).min(0x7F_FFFF) as u32,
            highest: self.highest as u32,
            jitter: (self.jitter16 >> 4).clamp(0, i64::from(u32::MAX)) as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::packet;
    use super::*;

    #[test]
    fn headers_of_all_shapes() {
        let plain = packet(96, true, 7, 90, 5, b"abc");
        let p = Packet::parse(&plain).unwrap();
        assert_eq!(
            (p.marker, p.payload_type, p.sequence, p.timestamp, p.ssrc),
            (true, 96, 7, 90, 5)
        );
        assert_eq!(p.payload, b"abc");
        // Two contributing sources, an extension of one word, two bytes of padding.
        let mut full = plain[..12].to_vec();
        full[0] = 0xB2;
        full.extend([0; 8]);
        full.extend([0xBE, 0xDE, 0, 1, 1, 2, 3, 4]);
        full.extend(b"xyz\0\x02");
        assert_eq!(Packet::parse(&full).unwrap().payload, b"xyz");
        assert_eq!(Packet::parse(&full).unwrap().replay, None);
        full.pop();
        full.push(200);
        assert_eq!(Packet::parse(&full), None);
        for n in 0..12 {
            assert_eq!(Packet::parse(&plain[..n]), None);
        }
        assert_eq!(Packet::parse(&[0x50; 20]), None, "version 1");
    }

    #[test]
    fn replays_say_when_a_picture_was_taken() {
        let plain = packet(96, true, 7, 90, 5, b"abc");
        let with = |extension: &[u8]| {
            let mut full = plain[..12].to_vec();
            full[0] |= 0x10;
            full.extend(extension);
            full.extend(b"abc");
            full
        };
        let head = [0xAB, 0xAC, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8];
        let full = with(&[&head[..], &[0x90, 1, 0, 0]].concat());
        let p = Packet::parse(&full).unwrap();
        let mark = p.replay.unwrap();
        assert_eq!(
            (mark.ntp, mark.terminal, p.payload),
            (0x0102_0304_0506_0708, true, &b"abc"[..])
        );
        let full = with(&[&head[..], &[0x80, 1, 0, 0]].concat());
        assert!(!Packet::parse(&full).unwrap().replay.unwrap().terminal);
        // One that is too short for what it should hold is no reason to lose the picture.
        let short = with(&[0xAB, 0xAC, 0, 1, 1, 2, 3, 4]);
        assert_eq!(
            Packet::parse(&short).map(|p| (p.replay, p.payload)),
            Some((None, &b"abc"[..]))
        );
        assert_eq!(Packet::parse(&with(&[0xAB, 0xAC, 0, 9, 1, 2, 3, 4])), None);
    }

    fn place(s: &mut Sequence, number: u16, ssrc: u32, payload_type: u8) -> Place {
        let data = packet(payload_type, false, number, 0, ssrc, b"x");
        s.place(&Packet::parse(&data).unwrap(), 0)
    }

    #[test]
    fn gaps_wraps_and_restarts() {
        let mut s = Sequence::new(96, 90_000);
        assert_eq!(place(&mut s, 65534, 1, 96), Place::First);
        assert_eq!(place(&mut s, 65535, 1, 96), Place::Next(0));
        assert_eq!(place(&mut s, 0, 1, 96), Place::Next(0));
        assert_eq!(place(&mut s, 0, 1, 96), Place::Ignored, "doubled");
        assert_eq!(place(&mut s, 3, 1, 96), Place::Next(2));
        assert_eq!(place(&mut s, 1, 1, 96), Place::Ignored, "late");
        let r = s.report().unwrap();
        assert_eq!((r.lost, r.highest, r.fraction_lost), (2, 0x1_0003, 85));
        assert_eq!(s.report().unwrap().fraction_lost, 0);
        assert_eq!(place(&mut s, 40_000, 1, 96), Place::First, "began anew");
    }

    #[test]
    fn what_is_left_of_another_session_is_passed_over() {
        let mut s = Sequence::new(96, 90_000);
        s.begins_at(5);
        assert_eq!(place(&mut s, 65530, 1, 96), Place::Ignored);
        assert_eq!(place(&mut s, 4, 1, 96), Place::Ignored);
        assert_eq!(place(&mut s, 6, 1, 96), Place::First, "it need not be the first");
        let mut s = Sequence::new(96, 90_000);
        s.begins_at(5);
        assert_eq!(place(&mut s, 40_000, 1, 96), Place::First, "the server was wrong");
    }

    #[test]
    fn strays_are_ignored_and_a_new_source_is_taken() {
        let mut s = Sequence::new(96, 90_000);
        assert_eq!(place(&mut s, 1, 9, 13), Place::Ignored, "comfort noise");
        place(&mut s, 1, 1, 96);
        for n in 0..FOREIGN_PACKETS as u16 - 1 {
            assert_eq!(place(&mut s, 500 + n, 2, 96), Place::Ignored);
        }
        assert_eq!(place(&mut s, 2, 1, 96), Place::Next(0));
        for n in 0..FOREIGN_PACKETS as u16 - 1 {
            assert_eq!(place(&mut s, 500 + n, 2, 96), Place::Ignored);
        }
        assert_eq!(place(&mut s, 600, 2, 96), Place::First);
        assert_eq!(place(&mut s, 601, 2, 96), Place::Next(0));
    }
}
