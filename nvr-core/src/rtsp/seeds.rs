//! What the fuzz targets begin with: answers and packets as servers send them, for a fuzzer to change.

use super::sdp::unbase64;

const H264: [&str; 2] = ["Z2QAKqwsaoHgCJ+WbgoCCoAAAAMAgAAAD0IA", "aO4xshsA"];
const H265: [&str; 3] = [
    "QAEMAf//AWAAAAMAAAMAAAMAAAMAlqwJ",
    "QgEBAWAAAAMAAAMAAAMAAAMAlqABaCAGWfeNrkkya5YwCAAAAwAIAAADAPBA",
    "RAHgdoaNAwYMZA==",
];

/// The fuzz target and what it is to begin with. `descriptions`: the rest of answers to DESCRIBE, headers and body.
#[must_use]
pub fn seeds(descriptions: &[String]) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    for text in descriptions {
        all.push(("rtsp_sdp", text.clone().into_bytes()));
        all.push(("rtsp_client", [&[0], answers(text).as_bytes()].concat()));
    }
    for challenge in [
        r#"Digest realm="IP Camera", nonce="4a6f", algorithm=MD5, qop="auth""#,
        r#"Digest realm=x,nonce="1",algorithm=SHA-256,stale=TRUE"#,
        r#"Basic realm="a\"b""#,
    ] {
        all.push(("rtsp_sdp", format!("v=0\r\n{challenge}\r\n").into_bytes()));
        let refused = format!(
            "\0RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\nRTSP/1.0 401 no\r\nCSeq: 2\r\nWWW-Authenticate: {challenge}\r\n\r\n"
        );
        all.push(("rtsp_client", refused.into_bytes()));
    }
    let moved = "\0RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: rtsps://cam2/s\r\n\r\n";
    all.push(("rtsp_client", moved.into()));
    for (mode, payloads) in [(1, h265()), (2, h264())] {
        let mut connection = vec![mode];
        let mut packets = Vec::new();
        for (n, (timestamp, marker, payload)) in payloads.iter().enumerate() {
            let number = u16::try_from(n).unwrap_or(0);
            let packet = packet(96, *marker, number, *timestamp, payload);
            interleave(&mut connection, 0, &packet);
            packets.push(packet);
        }
        interleave(&mut connection, 1, &report());
        let frame = [&[0, 16, 0, 40 << 1][..], &[0x21; 10]].concat();
        interleave(&mut connection, 2, &packet(97, true, 1, 1024, &frame));
        connection.extend(b"RTSP/1.0 200 OK\r\nCSeq: 6\r\n\r\nTEARDOWN * RTSP/1.0\r\nCSeq: 1\r\n\r\n");
        all.push(("rtsp_client", connection));
        packets.extend([report(), packet(96, true, 1, 1024, &frame)]);
        let flagged = packets.iter().filter_map(|p| {
            let length = u8::try_from(p.len()).ok()?;
            Some([&[40, length][..], p].concat())
        });
        all.push(("rtsp_packets", flagged.flatten().collect()));
    }
    all
}

/// The answers of a server that describes its stream so.
fn answers(description: &str) -> String {
    let text = description.replace("\r\n", "\n");
    let (headers, body) = text.split_once("\n\n").unwrap_or(("", &text));
    let body = body.replace('\n', "\r\n");
    let headers = headers.replace('\n', "\r\n");
    let line = if headers.is_empty() { "" } else { "\r\n" };
    let mut all = format!(
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: OPTIONS, GET_PARAMETER\r\n\r\n\
         RTSP/1.0 200 OK\r\nCSeq: 2\r\n{headers}{line}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for (cseq, channel) in [(3, 0), (4, 2)] {
        all += &format!(
            "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 12;timeout=60\r\n\
             Transport: RTP/AVP/TCP;unicast;interleaved={channel}-{};ssrc=1\r\n\r\n",
            channel + 1
        );
    }
    all + "RTSP/1.0 200 OK\r\nCSeq: 5\r\nRTP-Info: url=rtsp://cam/s/v;seq=1;rtptime=0\r\n\r\n"
}

type Payload = (u32, bool, Vec<u8>);

/// Parameter sets together, a keyframe in pieces, a small picture.
fn h264() -> Vec<Payload> {
    let mut together = vec![0x78];
    for set in H264.map(unbase64) {
        together.extend(u16::try_from(set.len()).unwrap_or(0).to_be_bytes());
        together.extend(set);
    }
    let piece = |ends: u8| [&[0x7C, ends | 5][..], &[0x88; 60]].concat();
    vec![
        (0, false, together),
        (0, false, piece(0x80)),
        (0, false, piece(0)),
        (0, true, piece(0x40)),
        (3000, true, [&[0x41, 0x9A][..], &[0x55; 30]].concat()),
        (6000, true, [&[0x41, 0x9A][..], &[0x66; 30]].concat()),
    ]
}

/// The same in H.265.
fn h265() -> Vec<Payload> {
    let mut together = vec![48 << 1, 1];
    for set in H265.map(unbase64) {
        together.extend(u16::try_from(set.len()).unwrap_or(0).to_be_bytes());
        together.extend(set);
    }
    let piece = |ends: u8| [&[49 << 1, 1, ends | 19][..], &[0xAF; 60]].concat();
    vec![
        (0, false, together),
        (0, false, piece(0x80)),
        (0, true, piece(0x40)),
        (3000, true, [&[0x02, 0x01, 0xD0][..], &[0x55; 30]].concat()),
        (6000, true, [&[0x02, 0x01, 0xD0][..], &[0x66; 30]].concat()),
    ]
}

fn packet(payload_type: u8, marker: bool, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80, payload_type | u8::from(marker) << 7];
    out.extend(sequence.to_be_bytes());
    out.extend(timestamp.to_be_bytes());
    out.extend(5u32.to_be_bytes());
    out.extend(payload);
    out
}

/// A sender report.
fn report() -> Vec<u8> {
    let mut out = vec![0x80, 200, 0, 6, 0, 0, 0, 5];
    for field in [3_900_000_000u32, 0, 3000, 5, 400] {
        out.extend(field.to_be_bytes());
    }
    out
}

fn interleave(out: &mut Vec<u8>, channel: u8, packet: &[u8]) {
    out.extend([b'$', channel]);
    out.extend(u16::try_from(packet.len()).unwrap_or(0).to_be_bytes());
    out.extend(packet);
}

#[cfg(test)]
mod tests {
    use super::super::exercise::{exercise_client, exercise_packets, exercise_sdp, units_of};
    use super::*;

    #[test]
    fn seeds_are_what_servers_send() {
        let description = include_str!("fixtures/axis.txt").to_owned();
        let all = seeds(&[description]);
        let mut units = Vec::new();
        for (target, bytes) in &all {
            match *target {
                "rtsp_client" => {
                    exercise_client(bytes);
                    units.push(units_of(bytes));
                }
                "rtsp_sdp" => exercise_sdp(bytes),
                "rtsp_packets" => exercise_packets(bytes),
                other => panic!("{other}"),
            }
        }
        // A description alone, three refusals, a redirect; then pictures and sound.
        assert_eq!(units, [0, 0, 0, 0, 0, 3, 3]);
    }
}
