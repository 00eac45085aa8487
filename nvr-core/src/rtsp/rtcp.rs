//! RTCP (RFC 3550, 6): sender reports and goodbyes in, receiver reports out.

use super::rtp::Reception;
use crate::time::Timestamp;

/// What a sender says of its clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SenderReport {
    pub ssrc: u32,
    /// The sender's clock as NTP time: seconds since 1900 with 32 bits of fraction.
    pub ntp: u64,
    /// The same instant in the track's clock.
    pub timestamp: u32,
}

/// What matters in a compound packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Received {
    pub report: Option<SenderReport>,
    /// The source that leaves.
    pub goodbye: Option<u32>,
}

/// Reads as much of a compound packet as is whole.
pub(super) fn parse(mut data: &[u8]) -> Received {
    let mut received = Received::default();
    while let Some(head) = data.first_chunk::<4>() {
        let length = 4 + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
        if head[0] >> 6 != 2 || length > data.len() {
            break;
        }
        let (packet, rest) = data.split_at(length);
        let word = |at: usize| {
            packet
                .get(at..at + 4)
                .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
        };
        match head[1] {
            200 => {
                if let (Some(ssrc), Some(high), Some(low), Some(timestamp)) =
                    (word(4), word(8), word(12), word(16))
                {
                    // Zero: the sender has no clock (6.4.1).
                    if high != 0 || low != 0 {
                        received.report = Some(SenderReport {
                            ssrc,
                            ntp: u64::from(high) << 32 | u64::from(low),
                            timestamp,
                        });
                    }
                }
            }
            203 if head[0] & 0x1F > 0 => received.goodbye = word(4),
            _ => {}
        }
        data = rest;
    }
    received
}

/// NTP time as nanoseconds since 1970. Seconds with the top bit clear are those after 2036.
pub(super) fn unix_ns(ntp: u64) -> i64 {
    const FROM_1900_TO_1970: i64 = 2_208_988_800;
    let seconds = (ntp >> 32) as i64;
    let seconds = if seconds < 1 << 31 {
        seconds + (1 << 32)
    } else {
        seconds
    } - FROM_1900_TO_1970;
    let fraction = ((ntp & 0xFFFF_FFFF) * 1_000_000_000) >> 32;
    seconds * 1_000_000_000 + fraction as i64
}

/// A clock that is set: later than 2010 and before 2100. Cameras without one count from their own start.
pub(super) fn plausible(unix_ns: i64) -> Option<Timestamp> {
    let t = Timestamp::from_ns(unix_ns);
    (Timestamp::from_secs(1_262_304_000) <= t && t < Timestamp::from_secs(4_102_444_800)).then_some(t)
}

/// What a receiver report answers to (6.4.1: LSR and DLSR).
#[derive(Clone, Copy, Debug)]
pub(super) struct LastReport {
    pub ntp: u64,
    pub arrived_ns: i64,
}

/// Appends an interleaved receiver report with a source description, as 6.1 wants them together.
pub(super) fn write_receiver_report(
    out: &mut Vec<u8>,
    channel: u8,
    own_ssrc: u32,
    reception: &Reception,
    last: Option<LastReport>,
    now_ns: i64,
) {
    const CNAME: &[u8] = b"nvr";
    let (lsr, dlsr) = last.map_or((0, 0), |l| {
        let delay = now_ns.saturating_sub(l.arrived_ns).max(0) as u128 * 65536 / 1_000_000_000;
        ((l.ntp >> 16) as u32, u32::try_from(delay).unwrap_or(u32::MAX))
    });
    out.extend([b'$', channel, 0, 48]);
    out.extend([0x81, 201, 0, 7]);
    out.extend(own_ssrc.to_be_bytes());
    out.extend(reception.ssrc.to_be_bytes());
    out.extend((u32::from(reception.fraction_lost) << 24 | reception.lost).to_be_bytes());
    for word in [reception.highest, reception.jitter, lsr, dlsr] {
        out.extend(word.to_be_bytes());
    }
    out.extend([0x81, 202, 0, 3]);
    out.extend(own_ssrc.to_be_bytes());
    // CNAME, then zeros to the next word, at least one.
    out.extend([1, CNAME.len() as u8]);
    out.extend(CNAME);
    out.extend([0; 3]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_and_goodbyes_are_found_in_compounds() {
        let mut data = vec![0x80, 200, 0, 6];
        for word in [7u32, 0x83AA_7E80, 0x8000_0000, 1234, 1, 2] {
            data.extend(word.to_be_bytes());
        }
        data.extend([0x81, 203, 0, 1, 0, 0, 0, 7]);
        let r = parse(&data);
        let report = r.report.unwrap();
        assert_eq!((report.ssrc, report.timestamp, r.goodbye), (7, 1234, Some(7)));
        assert_eq!(unix_ns(report.ntp), 500_000_000);
        for n in 0..data.len() {
            parse(&data[..n]);
        }
        assert_eq!(unix_ns(0), 2_085_978_496_000_000_000, "2036");
        assert_eq!(plausible(5_000_000_000), None);
        assert!(plausible(1_777_863_721_000_000_000).is_some());
    }

    #[test]
    fn a_receiver_report_is_what_the_rfc_says() {
        let reception = Reception {
            ssrc: 7,
            fraction_lost: 3,
            lost: 2,
            highest: 0x1_0003,
            jitter: 9,
        };
        let last = LastReport {
            ntp: 0x1122_3344_5566_7788,
            arrived_ns: 0,
        };
        let mut out = Vec::new();
        write_receiver_report(&mut out, 1, 99, &reception, Some(last), 500_000_000);
        assert_eq!(out.len(), 4 + usize::from(u16::from_be_bytes([out[2], out[3]])));
        assert_eq!(out[..8], [b'$', 1, 0, 48, 0x81, 201, 0, 7]);
        assert_eq!(out[16..20], [3, 0, 0, 2]);
        assert_eq!(out[28..36], [0x33, 0x44, 0x55, 0x66, 0, 0, 0x80, 0]);
        assert_eq!(out[36..40], [0x81, 202, 0, 3]);
        assert_eq!(out.len() - 36, 16);
    }
}
