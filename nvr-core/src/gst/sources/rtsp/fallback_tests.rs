//! The change from the lean client to rtspsrc, and what is said where neither helps.

use std::sync::{Arc, Mutex};

use gst::prelude::*;

use super::super::testing::{Running, check_video, run_bin};
use super::super::testing_rtsp::RtspCamera;
use super::super::testing_script::{Scripted, Wire};
use super::tests::{H264, source};
use crate::event::CauseKind;
use crate::gst::source_bin::Around;
use crate::source::{Ingest, SourceSpec, Transport};

/// Who read, and why.
type Ways = Arc<Mutex<Vec<(Ingest, Option<String>)>>>;

fn start(spec: &SourceSpec) -> (Running, Ways) {
    let ways = Ways::default();
    let told = ways.clone();
    let around = Around {
        on_ingest: Some(Arc::new(move |ingest, reason| {
            told.lock().unwrap().push((ingest, reason.map(str::to_owned)));
        })),
        ..Around::default()
    };
    let running = run_bin(spec, |on_tracks| {
        super::super::build(spec, &around, on_tracks).unwrap().bin
    });
    (running, ways)
}

fn with(mut spec: SourceSpec, transport: Transport) -> SourceSpec {
    let SourceSpec::Rtsp(s) = &mut spec else { panic!() };
    s.transport = Some(transport);
    spec
}

/// What the lean client was told by, if rtspsrc read in its stead.
fn changed(ways: &Ways) -> String {
    let ways = ways.lock().unwrap().clone();
    match &ways[..] {
        [(Ingest::Lean, None), (Ingest::Rtspsrc, Some(why))] => why.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_camera_that_sends_over_udp_only_is_read_without_being_told_so() {
    let camera = RtspCamera::serve_over(&format!("( {H264} )"), None, gst_rtsp::RTSPLowerTrans::UDP);
    let (running, ways) = start(&source(&camera.url(), Ingest::Auto));
    check_video(&running.collect(10).1);
    let why = changed(&ways);
    assert!(why.contains("SETUP") && why.contains("461"), "{why}");
}

#[test]
fn a_transport_that_was_written_is_kept_and_the_message_says_what_to_change() {
    let camera = RtspCamera::serve_over(&format!("( {H264} )"), None, gst_rtsp::RTSPLowerTrans::UDP);
    for ingest in [Ingest::Auto, Ingest::Lean, Ingest::Rtspsrc] {
        let spec = with(source(&camera.url(), ingest), Transport::Tcp);
        let (running, ways) = start(&spec);
        let (cause, all) = running.failure();
        assert_eq!(cause.kind, CauseKind::Unsupported, "{cause:?} {all}");
        let words = ["refuses the transport", "transport = \"tcp\" is set"];
        assert!(words.iter().all(|w| cause.message.contains(w)), "{cause:?} {all}");
        assert!(!cause.message.contains("offers no H.264"), "{cause:?}");
        assert_eq!(ways.lock().unwrap().len(), 1);
    }
    // Neither does a client that was written give way.
    for (ingest, word) in [
        (Ingest::Lean, "ingest = \"lean\""),
        (Ingest::Rtspsrc, "transport = \"udp\""),
    ] {
        let (cause, all) = start(&source(&camera.url(), ingest)).0.failure();
        assert_eq!(cause.kind, CauseKind::Unsupported, "{cause:?} {all}");
        assert!(cause.message.contains(word), "{cause:?} {all}");
    }
}

#[test]
fn answers_that_the_lean_client_cannot_read_are_left_to_the_other() {
    let camera = RtspCamera::serve(&format!("( {H264} )"), None);
    let (from, to) = ("interleaved=0-1", "interleaved=x-y");
    let wire = Wire::changing(camera.port, from, to);
    let url = format!("rtsp://127.0.0.1:{}/cam", wire.port);
    let (running, ways) = start(&source(&url, Ingest::Auto));
    check_video(&running.collect(5).1);
    let told = changed(&ways);
    assert!(told.contains("channels"), "{told}");
    assert_eq!(wire.connections(), 2, "one each");
    // Who asked for the lean client gets its words.
    let wire = Wire::changing(camera.port, from, to);
    let url = format!("rtsp://127.0.0.1:{}/cam", wire.port);
    let (cause, all) = start(&source(&url, Ingest::Lean)).0.failure();
    assert!(cause.message.contains(&told), "{cause:?} {all}");
}

const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
    a=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z2QAKqwsaoHgCJ+WbgoCCoAAAAMAgAAAD0IA,aO4xshsA\r\na=control:t\r\n";

#[test]
fn where_neither_helps_both_causes_are_told() {
    // Every transport is refused.
    let refuses = Scripted::serve("127.0.0.1", None, |request| match request.split(' ').next() {
        Some("DESCRIBE") => format!("200 OK\r\nContent-Type: application/sdp\r\n\r\n{SDP}"),
        Some("SETUP") => "461 Unsupported Transport\r\n".into(),
        _ => "200 OK\r\nPublic: DESCRIBE, SETUP, PLAY\r\n".into(),
    });
    let (running, ways) = start(&source(&format!("rtsp://{}/x", refuses.address), Ingest::Auto));
    let (cause, all) = running.failure();
    assert_eq!(cause.kind, CauseKind::Unsupported, "{cause:?} {all}");
    for word in ["refuses the transport", "lean client could not", "461"] {
        assert!(cause.message.contains(word), "{cause:?} {all}");
    }
    changed(&ways);
    let setups = |protocol: &str| {
        let all = refuses.requests();
        let of = all
            .iter()
            .filter(|r| r.starts_with("SETUP") && r.contains(protocol));
        of.count()
    };
    assert!(setups("RTP/AVP/TCP") >= 1 && setups("client_port") >= 1);

    // Nothing is understood.
    let odd = Scripted::serve("127.0.0.1", None, |request| match request.split(' ').next() {
        Some("DESCRIBE") => "400 Bad Request\r\n".into(),
        _ => "200 OK\r\n".into(),
    });
    let (running, ways) = start(&source(&format!("rtsp://{}/x", odd.address), Ingest::Auto));
    let (cause, all) = running.failure();
    let why = changed(&ways);
    assert!(
        why.contains("400") && cause.message.contains(&why),
        "{cause:?} {all}"
    );
    let describes = odd
        .requests()
        .iter()
        .filter(|r| r.starts_with("DESCRIBE"))
        .count();
    assert_eq!(describes, 2, "once each: {:?}", odd.requests());
}

#[test]
fn who_is_not_there_is_not_asked_twice() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let camera = RtspCamera::serve(&format!("( {H264} )"), Some(("admin", "pass")));
    for url in [format!("rtsp://{closed}/x"), camera.url(), camera.url() + "/none"] {
        let (running, ways) = start(&source(&url, Ingest::Auto));
        running.failure();
        assert_eq!(ways.lock().unwrap()[..], [(Ingest::Lean, None)]);
    }
}

/// Stops when dropped.
struct Sends(gst::Pipeline);

impl Drop for Sends {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// A camera that sends to a group. (gst-rtsp-server keeps the group's ports for itself, so that nobody on the same machine
/// can hear it.)
fn multicast_camera() -> (Scripted, Sends) {
    // Of the range for one's own use (RFC 2365), on the loopback interface; its ports are free, if not for ever.
    let free = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = free.local_addr().unwrap().port() & !1;
    drop(free);
    let line = H264.replace("name=pay0", "config-interval=-1");
    let line = format!("{line} ! udpsink host=239.255.77.1 port={port} multicast-iface=lo sync=false");
    crate::gst::init().unwrap();
    let pipeline = gst::parse::launch(&line).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let server = Scripted::serve("127.0.0.1", None, move |request| {
        match request.split(' ').next() {
            Some("DESCRIBE") => format!("200 OK\r\nContent-Type: application/sdp\r\n\r\n{SDP}"),
            Some("SETUP") if request.contains("RTP/AVP;multicast") => format!(
                "200 OK\r\nSession: 1\r\nTransport: RTP/AVP;multicast;destination=239.255.77.1;port={port}-{};ttl=1\r\n",
                port + 1
            ),
            Some("SETUP") => "461 Unsupported Transport\r\n".into(),
            _ => "200 OK\r\nSession: 1\r\nPublic: DESCRIBE, SETUP, PLAY\r\n".into(),
        }
    });
    (server, Sends(pipeline))
}

#[test]
fn multicast_and_a_tunnel_through_http() {
    let (group, _sends) = multicast_camera();
    let tunnel = RtspCamera::serve(&format!("( {H264} )"), Some(("admin", "pass")));
    let login = tunnel.url().replace("rtsp://", "rtsp://admin:pass@");
    for (url, transport) in [
        (format!("rtsp://{}/x", group.address), Transport::Multicast),
        (login, Transport::Http),
    ] {
        let (running, ways) = start(&with(source(&url, Ingest::Auto), transport));
        check_video(&running.collect(20).1);
        let reason = format!("transport = \"{}\"", transport.as_str());
        assert_eq!(
            ways.lock().unwrap()[..],
            [(Ingest::Rtspsrc, Some(reason))],
            "{transport:?}"
        );
    }
    // Nothing else is asked for.
    let (cause, all) = start(&with(source(&tunnel.url(), Ingest::Auto), Transport::Multicast))
        .0
        .failure();
    assert_eq!(cause.kind, CauseKind::Unauthorized, "{cause:?} {all}");
    let plain = RtspCamera::serve(&format!("( {H264} )"), None);
    let (cause, all) = start(&with(source(&plain.url(), Ingest::Auto), Transport::Multicast))
        .0
        .failure();
    assert_eq!(cause.kind, CauseKind::Unsupported, "{cause:?} {all}");
    assert!(
        cause.message.contains("transport = \"multicast\" is set"),
        "{cause:?}"
    );
}

#[test]
fn rtspsrc_takes_no_password_to_another_host() {
    let basic = || {
        Scripted::serve("127.0.0.2", None, |request| {
            if request.starts_with("OPTIONS") {
                return "200 OK\r\nPublic: DESCRIBE, SETUP, PLAY\r\n".into();
            }
            "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n".into()
        })
    };
    let other = basic();
    let to = other.address.clone();
    let sends_on = Scripted::serve("127.0.0.1", None, move |request| {
        match request.split(' ').next() {
            Some("DESCRIBE") => format!("302 Moved\r\nLocation: rtsp://{to}/s\r\n"),
            _ => "200 OK\r\nPublic: DESCRIBE, SETUP, PLAY\r\n".into(),
        }
    });
    let url = format!("rtsp://admin:hunter2@{}/x", sends_on.address);
    for ingest in [Ingest::Rtspsrc, Ingest::Auto] {
        let (cause, all) = start(&source(&url, ingest)).0.failure();
        assert_eq!(cause.kind, CauseKind::Unauthorized, "{ingest:?} {cause:?} {all}");
        assert!(
            cause.message.contains("127.0.0.1 sends on to rtsp://127.0.0.2"),
            "{cause:?}"
        );
    }
    let asked = other.requests();
    assert!(asked.iter().any(|r| r.starts_with("DESCRIBE")), "{asked:?}");
    assert!(!asked.iter().any(|r| r.contains("Authorization")), "{asked:?}");

    // To the same host it does.
    let camera = RtspCamera::serve(&format!("( {H264} )"), Some(("admin", "hunter2")));
    let to = camera.url();
    let sends_on = Scripted::serve("127.0.0.1", None, move |request| {
        match request.split(' ').next() {
            Some("DESCRIBE") => format!("302 Moved\r\nLocation: {to}\r\n"),
            _ => "200 OK\r\nPublic: DESCRIBE, SETUP, PLAY\r\n".into(),
        }
    });
    let url = format!("rtsp://admin:hunter2@{}/x", sends_on.address);
    for ingest in [Ingest::Rtspsrc, Ingest::Auto] {
        check_video(&start(&source(&url, ingest)).0.collect(5).1);
    }

    // And round and round it does not go.
    let place = Arc::new(Mutex::new(String::new()));
    let here = place.clone();
    let round = Scripted::serve("127.0.0.1", None, move |request| {
        match request.split(' ').next() {
            Some("DESCRIBE") => {
                let n = request.lines().next().map_or(0, str::len);
                format!("302 Moved\r\nLocation: rtsp://{}/{n}\r\n", here.lock().unwrap())
            }
            _ => "200 OK\r\nPublic: DESCRIBE, SETUP, PLAY\r\n".into(),
        }
    });
    place.lock().unwrap().clone_from(&round.address);
    let (cause, all) = start(&source(&format!("rtsp://{}/x", round.address), Ingest::Auto))
        .0
        .failure();
    assert_eq!(cause.kind, CauseKind::BadStream, "{cause:?} {all}");
}

#[test]
fn rtspsrc_does_not_go_round_in_a_circle() {
    let place = Arc::new(Mutex::new(String::new()));
    let here = place.clone();
    // To where it is already: no address changes.
    let round = Scripted::serve("127.0.0.1", None, move |request| {
        match request.split(' ').next() {
            Some("DESCRIBE") => format!("302 Moved\r\nLocation: rtsp://{}/x\r\n", here.lock().unwrap()),
            _ => "200 OK\r\nPublic: DESCRIBE, SETUP, PLAY\r\n".into(),
        }
    });
    place.lock().unwrap().clone_from(&round.address);
    let url = format!("rtsp://{}/x", round.address);
    let (cause, all) = start(&source(&url, Ingest::Rtspsrc)).0.failure();
    assert!(cause.message.contains("circle"), "{cause:?} {all}");
}
