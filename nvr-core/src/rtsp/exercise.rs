//! What must hold for any bytes whatever: the bodies of the fuzz targets `rtsp_client`, `rtsp_sdp` and `rtsp_packets`.

use url::Url;

use super::audio::AudioUnpacker;
use super::auth::Authenticator;
use super::choose::{self, AudioPacking};
use super::rtcp;
use super::rtp::{Packet, Place, Sequence};
use super::sdp::Description;
use super::timeline::Timeline;
use super::video::Assembler;
use super::{Client, ClientOptions, Event, RtspErrorKind, TrackKind};
use crate::secret::Secret;
use crate::source::Credentials;
use crate::track::VideoCodec;

const SDP: &str = "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:v\n\
    m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/16000\na=fmtp:97 config=1408\na=control:a\n";

fn client() -> Client {
    let url = Url::parse("rtsp://cam/s").expect("a plain address");
    let options = ClientOptions {
        url,
        credentials: Some(Credentials {
            user: "u".into(),
            password: Secret::new("p"),
        }),
        withheld_for: None,
        want_audio: true,
        user_agent: "x".into(),
        range: None,
        replay: false,
        timeout_ns: 5_000_000_000,
        seed: 1,
    };
    Client::new(options, 0)
}

/// A session that plays video on channel 0 and audio on channel 2.
fn playing(h265: bool) -> Client {
    let mut client = client();
    let sdp = if h265 {
        SDP.replace("H264", "H265")
    } else {
        SDP.to_owned()
    };
    let describe = format!("Content-Length: {}\r\n\r\n{sdp}", sdp.len());
    let set_up = |c: u8| {
        format!(
            "Session: 1\r\nTransport: RTP/AVP/TCP;interleaved={c}-{}\r\n\r\n",
            c + 1
        )
    };
    let answers = [
        "Public: GET_PARAMETER\r\n\r\n".into(),
        describe,
        set_up(0),
        set_up(2),
        "\r\n".into(),
    ];
    let mut out = Vec::new();
    for (n, rest) in answers.into_iter().enumerate() {
        let answer = format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\n{rest}", n + 1);
        client
            .input(answer.as_bytes(), 0, &mut out)
            .expect("a plain session");
    }
    client
}

type Outcome = (Vec<Event>, Option<RtspErrorKind>);

fn feed(client: &mut Client, data: &[u8], piece: usize) -> Outcome {
    let mut out = Vec::new();
    for piece in data.chunks(piece.max(1)) {
        if let Err(e) = client.input(piece, 1_000_000, &mut out) {
            assert!(!e.message.contains('\n'), "{e:?}");
            return (out, Some(e.kind));
        }
    }
    client.take_output();
    let late = client.next_timeout_ns().unwrap_or(0).saturating_add(1);
    let error = client.on_time(late, &mut out).err();
    (out, error.map(|e| e.kind))
}

/// Feeds any bytes to a session that asks, or plays: it comes to the same in pieces of any size, units are whole, and
/// nothing follows the end.
///
/// # Panics
/// When something does not hold: that is what a fuzzer looks for.
pub fn exercise_client(data: &[u8]) {
    let Some((&mode, data)) = data.split_first() else {
        return;
    };
    let new = || match mode & 3 {
        0 => client(),
        1 => playing(true),
        _ => playing(false),
    };
    let whole = feed(&mut new(), data, data.len());
    let pieces = feed(&mut new(), data, 1 + usize::from(mode >> 2));
    assert_eq!(whole, pieces);
    let events = &whole.0;
    for (n, e) in events.iter().enumerate() {
        match e {
            Event::Unit(u) => {
                assert!(!u.data.is_empty());
                if u.track == TrackKind::Video {
                    check_nals(&u.data);
                }
                assert!(events[..n].iter().any(|e| matches!(e, Event::Tracks(_))));
            }
            Event::Redirect(_) | Event::Ended(_) => assert_eq!(n + 1, events.len()),
            Event::Tracks(t) => assert!(t.video.width > 0 && !t.video.codec_data.is_empty()),
            Event::Parameters(p) => assert!(p.width > 0),
        }
    }
}

/// Units that a session finds in these bytes.
#[cfg(test)]
pub(super) fn units_of(data: &[u8]) -> usize {
    let mut client = match data.first() {
        Some(0) => client(),
        Some(1) => playing(true),
        _ => playing(false),
    };
    let (events, _) = feed(&mut client, &data[1..], data.len());
    events.iter().filter(|e| matches!(e, Event::Unit(_))).count()
}

fn check_nals(mut data: &[u8]) {
    while !data.is_empty() {
        let (length, rest) = data.split_first_chunk::<4>().expect("a length");
        let length = u32::from_be_bytes(*length) as usize;
        assert!(length > 0);
        data = &rest[length..];
    }
}

/// Reads any bytes as a description, a base address and a challenge.
///
/// # Panics
/// When something does not hold.
pub fn exercise_sdp(data: &[u8]) {
    let description = Description::parse(data);
    let request = Url::parse("rtsp://cam/s?x=1").expect("a plain address");
    let text = String::from_utf8_lossy(data);
    let first = text.lines().next();
    let base = choose::base_of([first], &request);
    for want_audio in [true, false] {
        if let Ok(chosen) = choose::choose(&description, &base, want_audio) {
            assert!(want_audio || chosen.audio.is_none());
            assert!(chosen.left_out.len() <= 16);
            let _ = Assembler::new(chosen.video.codec, &chosen.video.sets)
                .sets
                .params();
        }
    }
    let credentials = Credentials {
        user: "u".into(),
        password: Secret::new("p"),
    };
    let mut login = Authenticator::new(Some(credentials), 7);
    if login.challenge(text.lines(), false).is_ok() {
        let answer = login
            .answer("PLAY", "rtsp://cam/")
            .expect("a challenge was taken");
        assert!(!answer.contains('\n'));
    }
}

/// Reads any bytes as packets (a byte of flags, one of length, then the packet) of each kind of track.
///
/// # Panics
/// When something does not hold.
pub fn exercise_packets(data: &[u8]) {
    let codecs = [VideoCodec::H264, VideoCodec::H265];
    let mut videos = codecs.map(|c| Assembler::new(c, &[]));
    let headers = AudioPacking::AuHeaders {
        size: 13,
        index: 3,
        delta: 3,
    };
    let mut audios = [headers, AudioPacking::Latm].map(AudioUnpacker::new);
    let mut sequence = Sequence::new(96, 90_000);
    let mut timeline = Timeline::new(90_000);
    let mut now = 0;
    let mut rest = data;
    while let Some((&[flags, length], after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(length).min(after.len());
        let (bytes, next) = after.split_at(length);
        rest = next;
        now += i64::from(flags) * 1_000_000;
        if let Some(report) = rtcp::parse(bytes).report {
            timeline.sender_report(&report);
        }
        let Some(packet) = Packet::parse(bytes) else {
            continue;
        };
        let lost = match sequence.place(&packet, now) {
            Place::Next(lost) => lost,
            _ => 0,
        };
        let _ = (
            sequence.report(),
            timeline.pts(packet.timestamp, now, None),
            timeline.ntp(packet.timestamp),
        );
        for v in &mut videos {
            let _ = v.packet(
                packet.payload,
                packet.timestamp,
                packet.marker,
                lost,
                &mut |a, u| {
                    check_nals(&u.data);
                    let _ = a.sets.params();
                },
            );
        }
        for a in &mut audios {
            a.packet(
                packet.payload,
                packet.timestamp,
                packet.marker,
                lost,
                &mut |frame, _| assert!(!frame.is_empty()),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{H264_PPS, H264_SPS, PLAIN_SDP, describe, interleaved, packet, unbase64};
    use super::*;
    use proptest::prelude::*;

    /// Something that a server could send; then it is mutated.
    fn stream(parts: &[(u8, u16, u8)]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sequence = 0u16;
        for &(kind, number, fill) in parts {
            sequence = sequence.wrapping_add(1 + u16::from(kind == 200));
            let timestamp = u32::from(sequence / 3) * 3000;
            let marker = number % 3 == 0;
            let body = vec![fill; usize::from(number % 700) + 1];
            let video = |p: &[u8]| interleaved(0, &packet(96, marker, sequence, timestamp, 5, p));
            out.extend(match kind % 12 {
                0 => video(&unbase64(H264_SPS)),
                1 => video(&unbase64(H264_PPS)),
                2 => video(&[&[0x65, 0x88][..], &body].concat()),
                3 => video(&[&[0x41, 0x9A][..], &body].concat()),
                4 => video(&[&[0x7C, fill, 0x88][..], &body].concat()),
                5 => interleaved(
                    2,
                    &packet(
                        97,
                        true,
                        sequence,
                        timestamp,
                        6,
                        &[&[0, 16][..], &((number % 700) << 3).to_be_bytes(), &body].concat(),
                    ),
                ),
                6 => interleaved(1, &[&[0x80, 200, 0, 6, 0, 0, 0, 5][..], &[fill; 20]].concat()),
                7 => b"RTSP/1.0 200 OK\r\nCSeq: 6\r\n\r\n".to_vec(),
                8 => b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".to_vec(),
                9 => body,
                10 => describe(PLAIN_SDP, "").replace("%c", "2").into_bytes(),
                _ => format!(
                    "RTSP/1.0 {} x\r\nCSeq: {}\r\nLocation: rtsp://b/\r\n\r\n",
                    number % 600,
                    fill % 8
                )
                .into_bytes(),
            });
        }
        out
    }

    fn parts() -> impl Strategy<Value = Vec<(u8, u16, u8)>> {
        prop::collection::vec(any::<(u8, u16, u8)>(), 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn sessions(mode in any::<u8>(), parts in parts(), edits in prop::collection::vec(any::<(u32, u8)>(), 0..6)) {
            let mut data = vec![mode];
            data.extend(stream(&parts));
            for (at, value) in edits {
                let at = at as usize % data.len();
                data[at] = value;
            }
            exercise_client(&data);
        }

        #[test]
        fn garbage(data in prop::collection::vec(any::<u8>(), 0..2000)) {
            exercise_client(&data);
            exercise_packets(&data);
            exercise_sdp(&data);
        }

        #[test]
        fn descriptions(edits in prop::collection::vec(any::<(u32, u8)>(), 0..20)) {
            let mut data = PLAIN_SDP.as_bytes().to_vec();
            for (at, value) in edits {
                let at = at as usize % data.len();
                data[at] = value;
            }
            exercise_sdp(&data);
        }

        #[test]
        fn packets(packets in prop::collection::vec((any::<u8>(), any::<bool>(), 0u32..6, prop::collection::vec(any::<u8>(), 0..100)), 0..40)) {
            let mut data = Vec::new();
            for (n, (flags, marker, timestamp, payload)) in packets.iter().enumerate() {
                let p = packet(96, *marker, n as u16, timestamp * 3000, 1, payload);
                data.extend([*flags, p.len() as u8]);
                data.extend(p);
            }
            exercise_packets(&data);
        }
    }
}
