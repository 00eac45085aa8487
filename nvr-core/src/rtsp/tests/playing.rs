//! What comes of packets.

use proptest::prelude::*;

use super::super::testing::{
    H264_PPS, PLAIN_SDP, Script, describe, interleaved, options, pack_video, packet, playing, unbase64, units,
};
use super::super::{Client, Event, Reorder, TrackKind};

const MS: i64 = 1_000_000;
const IDR: [u8; 4] = [0x65, 0x88, 0x80, 1];
const P: [u8; 4] = [0x41, 0x9A, 0x10, 2];

fn video(number: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    interleaved(0, &packet(96, true, number, timestamp, 5, payload))
}

fn audio(number: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    interleaved(2, &packet(8, false, number, timestamp, 6, payload))
}

fn input(client: &mut Client, bytes: &[u8], now_ns: i64) -> Vec<Event> {
    let mut out = Vec::new();
    client.input(bytes, now_ns, &mut out).unwrap();
    out
}

#[test]
fn tracks_come_before_units() {
    let mut client = playing();
    let early = [audio(1, 0, b"early"), video(1, 0, &IDR)].concat();
    assert_eq!(
        input(&mut client, &early, 0),
        [],
        "the first unit waits for the next"
    );
    let events = input(
        &mut client,
        &[video(2, 3600, &P), audio(2, 160, b"sound")].concat(),
        40 * MS,
    );
    let Event::Tracks(tracks) = &events[0] else {
        panic!("{events:?}")
    };
    assert_eq!((tracks.video.width, tracks.video.height), (1920, 1080));
    assert_eq!(tracks.video.reorder, Reorder::Unknown);
    assert_eq!(tracks.audio.as_ref().unwrap().rate, 8000);
    let u = units(&events);
    assert_eq!(
        (u[0].track, u[0].keyframe, &u[0].data[..]),
        (TrackKind::Video, true, &[0, 0, 0, 4, 0x65, 0x88, 0x80, 1][..])
    );
    assert_eq!(
        (u[1].track, &u[1].data[..], u[1].lost_before),
        (TrackKind::Audio, &b"sound"[..], 0)
    );
}

#[test]
fn parameter_sets_of_the_stream_are_waited_for_and_told_when_they_change() {
    let bare = PLAIN_SDP.replace(
        ";sprop-parameter-sets=Z2QAKqwsaoHgCJ+WbgoCCoAAAAMAgAAAD0IA,aO4xshsA",
        "",
    );
    let mut client = Client::new(options("rtsp://cam/s"), 0);
    Script::plain(&bare).run(&mut client, 0).unwrap();
    let mut number = 0;
    let mut unit = |nals: &[Vec<u8>]| {
        let mut bytes = Vec::new();
        for p in pack_video(false, nals, u32::from(number) * 3600, 1400) {
            number += 1;
            bytes.extend(interleaved(
                0,
                &packet(96, p.marker, number, p.timestamp, 5, &p.payload),
            ));
        }
        bytes
    };
    let pps = unbase64(H264_PPS);
    let (full, large) = (
        unbase64("Z2QAKqwsaoHgCJ+WbgoCCoAAAAMAgAAAD0IA"),
        unbase64("Z2QAM6zoAoALWQ=="),
    );
    let mut bytes = unit(&[P.to_vec()]);
    bytes.extend(unit(&[full.clone(), pps.clone(), IDR.to_vec()]));
    bytes.extend(unit(&[full, pps.clone(), IDR.to_vec()]));
    // New sets before a picture that is none to begin with: told at the next keyframe.
    bytes.extend(unit(&[large.clone(), pps.clone(), P.to_vec()]));
    bytes.extend(unit(&[large, pps, IDR.to_vec()]));
    bytes.extend(unit(&[P.to_vec()]));
    bytes.extend(unit(&[P.to_vec()]));
    let events = input(&mut client, &bytes, 0);
    let short: Vec<String> = events
        .iter()
        .map(|e| match e {
            Event::Tracks(t) => format!("tracks {}", t.video.width),
            Event::Parameters(p) => format!("parameters {}", p.width),
            Event::Unit(u) => format!("unit {}", u.keyframe),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        short[..6],
        [
            "tracks 1920",
            "unit true",
            "unit true",
            "unit false",
            "parameters 2560",
            "unit true"
        ]
    );
}

#[test]
fn reports_are_sent_and_the_cameras_clock_is_told() {
    let mut client = playing();
    let mut bytes = Vec::new();
    for n in 0..10u16 {
        bytes.extend(video(n, u32::from(n) * 3600, &P));
    }
    input(&mut client, &bytes, 0);
    let mut report = vec![0x80, 200, 0, 6, 0, 0, 0, 5];
    for word in [3_986_852_521u32, 0, 9 * 3600, 10, 1000] {
        report.extend(word.to_be_bytes());
    }
    input(&mut client, &interleaved(1, &report), 0);
    let events = input(
        &mut client,
        &[video(10, 36_000, &IDR), video(11, 39_600, &P)].concat(),
        40 * MS,
    );
    let ntp = units(&events)[0].ntp.unwrap();
    assert_eq!(ntp.to_string(), "2026-05-04T03:02:01.04Z");
    let t = client.next_timeout_ns().unwrap();
    client.on_time(t, &mut Vec::new()).unwrap();
    let sent = client.take_output();
    // One block for the video; there was no audio yet.
    assert_eq!(
        (sent.len(), &sent[..4], sent[5]),
        (52, &[b'$', 1, 0, 48][..], 201)
    );
    assert_eq!(sent[12..16], [0, 0, 0, 5]);
}

#[test]
fn goodbye_is_the_end_of_the_video_only() {
    let mut client = playing();
    input(&mut client, &[video(1, 0, &IDR), audio(1, 0, b"x")].concat(), 0);
    let bye = |ssrc: u8| [0x81, 203, 0, 1, 0, 0, 0, ssrc];
    assert_eq!(input(&mut client, &interleaved(3, &bye(6)), 0), []);
    assert_eq!(input(&mut client, &interleaved(1, &bye(9)), 0), []);
    let end = input(
        &mut client,
        &[interleaved(1, &bye(5)), video(2, 9, &P)].concat(),
        0,
    );
    assert!(matches!(&end[..], [Event::Ended(_)]));
}

#[test]
fn data_before_the_answer_to_play_is_taken() {
    let ok = "RTSP/1.0 200 OK\nCSeq: %c\nSession: 1\n\n";
    let mut client = Client::new(options("rtsp://cam/s"), 0);
    Script::new(&[ok, &describe(PLAIN_SDP, ""), ok, ok])
        .run(&mut client, 0)
        .unwrap();
    let mut bytes = video(1, 0, &IDR);
    bytes.extend(b"RTSP/1.0 200 OK\r\nCSeq: 5\r\n\r\n");
    bytes.extend(video(2, 3600, &P));
    let events = input(&mut client, &bytes, 0);
    assert_eq!(units(&events).len(), 1);
    assert!(units(&events)[0].keyframe);
}

#[test]
fn loss_is_counted_on_its_track() {
    let mut client = playing();
    let bytes: Vec<u8> = [1u16, 2, 3, 4, 5, 8, 9, 10]
        .iter()
        .flat_map(|n| video(*n, u32::from(*n) * 3600, &P))
        .collect();
    let events = input(&mut client, &bytes, 0);
    let lost: Vec<_> = units(&events).iter().map(|u| u.lost_before).collect();
    assert_eq!(lost, [0, 0, 0, 0, 0, 2, 0, 0]);
    let events = input(&mut client, &[audio(1, 0, b"a"), audio(4, 480, b"b")].concat(), 0);
    assert_eq!(
        units(&events).iter().map(|u| u.lost_before).collect::<Vec<_>>(),
        [0, 2]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// The same bytes in pieces of any sizes.
    #[test]
    fn pieces_of_any_size(sizes in prop::collection::vec(1usize..5000, 1..40), frames in prop::collection::vec(1usize..9000, 3..20)) {
        let mut bytes = Vec::new();
        let mut number = 0;
        for (n, size) in frames.iter().enumerate() {
            let nal = [&P[..], &vec![b'$'; *size]].concat();
            for p in pack_video(false, &[nal], n as u32 * 3600, 1400) {
                number += 1;
                bytes.extend(interleaved(0, &packet(96, p.marker, number, p.timestamp, 5, &p.payload)));
            }
            bytes.extend(audio(n as u16, n as u32 * 320, &[7; 320]));
            bytes.extend(b"RTSP/1.0 200 OK\r\nCSeq: 6\r\nServer: $\r\n\r\n");
        }
        let whole = input(&mut playing(), &bytes, 0);
        let mut client = playing();
        let mut events = Vec::new();
        let mut rest = &bytes[..];
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            client.input(piece, 0, &mut events).unwrap();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(units(&whole).iter().filter(|u| u.track == TrackKind::Video).count(), frames.len() - 1 + usize::from(frames.len() > 4));
        prop_assert_eq!(whole, events);
    }
}

#[test]
fn what_the_server_says_of_the_first_packets_is_heeded() {
    for info in [
        "url=rtsp://cam/s/trackID=0;seq=100;rtptime=5000,url=rtsp://cam/s/trackID=1;seq=7;rtptime=80",
        "url=trackID=1;seq=7, url=\"trackID=0\" ; seq=100",
        "seq=100;rtptime=5000,seq=7;rtptime=80",
    ] {
        let mut client = Client::new(options("rtsp://cam/s"), 0);
        let describe = describe(PLAIN_SDP, "Content-Base: rtsp://cam/s/\n");
        let play = format!("RTSP/1.0 200 OK\nCSeq: %c\nSession: 12\nRTP-Info: {info}\n\n");
        Script::new(&[
            "RTSP/1.0 200 OK\nCSeq: %c\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY\n\n",
            &describe,
            "RTSP/1.0 200 OK\nCSeq: %c\nSession: 12\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\n\n",
            "RTSP/1.0 200 OK\nCSeq: %c\nSession: 12\nTransport: RTP/AVP/TCP;unicast;interleaved=2-3\n\n",
            &play,
        ])
        .run(&mut client, 0)
        .unwrap();
        // Left of the session before; then this one, whose pictures are told apart by what is in them.
        let mut bytes = video(99, 1_000_000, &[0x65, 0x88, 0x80, 9]);
        bytes.extend(video(100, 5000, &IDR));
        bytes.extend(video(101, 8600, &P));
        bytes.extend(video(102, 12_200, &P));
        let events = input(&mut client, &bytes, 0);
        assert_eq!(units(&events)[0].data.last(), IDR.last(), "{info}");
    }
}
