//! From the first request to the last, and what can happen between.

use super::super::testing::{PLAIN_SDP, Script, describe, options, playing};
use super::super::{Client, Event, RtspError, RtspErrorKind};

const S: i64 = 1_000_000_000;
const OK: &str = "RTSP/1.0 200 OK\nCSeq: %c\nSession: 7\n\n";

fn run(answers: &[&str]) -> (Result<Vec<Event>, RtspError>, Script) {
    let mut script = Script::new(answers);
    let mut client = Client::new(options("rtsp://cam/s"), 0);
    (script.run(&mut client, 0), script)
}

fn answer(client: &mut Client, text: &str) -> Vec<Event> {
    let mut out = Vec::new();
    client.input(text.as_bytes(), 0, &mut out).unwrap();
    out
}

#[test]
fn requests_are_what_the_rfc_says() {
    let mut script = Script::plain(PLAIN_SDP);
    let mut client = Client::new(options("rtsp://cam/s"), 0);
    script.run(&mut client, 0).unwrap();
    assert_eq!(
        script.requests,
        [
            "OPTIONS rtsp://cam/s RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: test\r\n\r\n",
            "DESCRIBE rtsp://cam/s RTSP/1.0\r\nCSeq: 2\r\nUser-Agent: test\r\nAccept: application/sdp\r\n\r\n",
            "SETUP rtsp://cam/s/trackID=0 RTSP/1.0\r\nCSeq: 3\r\nUser-Agent: test\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
            "SETUP rtsp://cam/s/trackID=1 RTSP/1.0\r\nCSeq: 4\r\nUser-Agent: test\r\nTransport: RTP/AVP/TCP;unicast;interleaved=2-3\r\nSession: 12\r\n\r\n",
            "PLAY rtsp://cam/s/ RTSP/1.0\r\nCSeq: 5\r\nUser-Agent: test\r\nRange: npt=0.000-\r\nSession: 12\r\n\r\n",
        ]
    );
    client.teardown();
    let sent = String::from_utf8(client.take_output()).unwrap();
    assert!(
        sent.starts_with("TEARDOWN rtsp://cam/s/ RTSP/1.0\r\nCSeq: 6\r\n"),
        "{sent}"
    );
    assert!(answer(&mut client, "rubbish after the end").is_empty());
    assert_eq!(client.next_timeout_ns(), None);
}

#[test]
fn refusals_are_told_apart() {
    use RtspErrorKind as K;
    let sdp = describe(PLAIN_SDP, "");
    for (status, kind) in [
        (401, K::Unauthorized),
        (403, K::Unauthorized),
        (404, K::NotFound),
        (454, K::NotFound),
        (461, K::Transport),
        (453, K::Unreachable),
        (503, K::Unreachable),
        (500, K::Unreachable),
        (415, K::Unsupported),
        (400, K::Protocol),
    ] {
        let refused = format!("RTSP/1.0 {status} No\nCSeq: %c\n\n");
        for before in [vec![OK], vec![OK, &sdp], vec![OK, &sdp, OK, OK]] {
            let answers = [&before[..], &[&refused]].concat();
            let e = run(&answers).0.unwrap_err();
            assert_eq!(e.kind, kind, "{e}");
            assert!(!e.message.contains("pass word"), "{e}");
        }
    }
    // OPTIONS may be unknown.
    let (result, script) = run(&["RTSP/1.0 501 No\nCSeq: %c\n\n", &sdp]);
    assert!(result.is_ok() && script.requests[2].starts_with("SETUP"));
    // UDP although TCP was asked for.
    let e = run(&[
        OK,
        &sdp,
        "RTSP/1.0 200 OK\nCSeq: %c\nTransport: RTP/AVP;unicast;client_port=1-2\n\n",
    ])
    .0
    .unwrap_err();
    assert_eq!(e.kind, K::Transport);
}

#[test]
fn a_wrong_password_ends_after_one_try() {
    let ask = "RTSP/1.0 401 Unauthorized\nCSeq: %c\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\n\n";
    let (result, script) = run(&[ask, ask, ask]);
    assert_eq!(result.unwrap_err().kind, RtspErrorKind::Unauthorized);
    assert_eq!(script.requests.len(), 2);
}

#[test]
fn refused_audio_is_left_out() {
    let sdp = describe(PLAIN_SDP, "");
    let (result, script) = run(&[OK, &sdp, OK, "RTSP/1.0 404 No\nCSeq: %c\n\n", OK]);
    assert!(result.is_ok());
    assert!(script.requests[4].starts_with("PLAY"));
    let mut without = options("rtsp://cam/s");
    without.want_audio = false;
    let mut client = Client::new(without, 0);
    let mut script = Script::new(&[OK, &sdp, OK, OK]);
    script.run(&mut client, 0).unwrap();
    assert!(script.requests[3].starts_with("PLAY"));
}

#[test]
fn redirects_from_answers_and_requests() {
    let to = |events: Vec<Event>| match &events[..] {
        [Event::Redirect(url)] => url.to_string(),
        other => panic!("{other:?}"),
    };
    for status in [301, 302, 303, 305] {
        let moved = format!("RTSP/1.0 {status} Moved\nCSeq: %c\nLocation: rtsp://u:p@other:5554/x\n\n");
        assert_eq!(to(run(&[OK, &moved]).0.unwrap()), "rtsp://other:5554/x");
    }
    assert_eq!(
        to(run(&["RTSP/1.0 302 Moved\nCSeq: %c\nLocation: /y\n\n"])
            .0
            .unwrap()),
        "rtsp://cam/y"
    );
    for bad in ["", "Location: http://x/\n"] {
        assert!(
            run(&[&format!("RTSP/1.0 302 Moved\nCSeq: %c\n{bad}\n")])
                .0
                .is_err()
        );
    }
    let mut client = playing();
    let asked =
        "REDIRECT rtsp://cam/s RTSP/1.0\r\nCSeq: 9\r\nLocation: rtsp://other/\r\nRange: clock=0-\r\n\r\n";
    assert_eq!(to(answer(&mut client, asked)), "rtsp://other/");
    assert!(
        String::from_utf8(client.take_output())
            .unwrap()
            .starts_with("RTSP/1.0 200 OK\r\nCSeq: 9\r\n")
    );
}

#[test]
fn requests_of_the_server_are_answered() {
    let mut client = playing();
    for (method, status) in [
        ("OPTIONS", "200"),
        ("GET_PARAMETER", "200"),
        ("SET_PARAMETER", "200"),
        ("PAUSE", "501"),
        ("ANNOUNCE", "200"),
    ] {
        let events = answer(
            &mut client,
            &format!("{method} rtsp://cam/s RTSP/1.0\r\nCSeq: 77\r\nSession: 12\r\n\r\n"),
        );
        assert_eq!(events, []);
        let sent = String::from_utf8(client.take_output()).unwrap();
        assert!(
            sent.starts_with(&format!("RTSP/1.0 {status} ")) && sent.contains("CSeq: 77\r\nSession: 12\r\n"),
            "{sent}"
        );
    }
    let end = answer(
        &mut client,
        "ANNOUNCE * RTSP/1.0\r\nCSeq: 1\r\nx-notice: 2101 End-of-Stream Reached\r\n\r\n",
    );
    assert!(matches!(&end[..], [Event::Ended(why)] if why.contains("2101")));
    let end = answer(&mut playing(), "TEARDOWN * RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    assert!(matches!(&end[..], [Event::Ended(_)]));
}

/// What is sent when the next time comes, other than receiver reports.
fn next_sign(client: &mut Client) -> (i64, String) {
    for _ in 0..1000 {
        let t = client.next_timeout_ns().unwrap();
        client.on_time(t, &mut Vec::new()).unwrap();
        let sent = client.take_output();
        if sent.first().is_some_and(|b| *b != b'$') {
            return (t, String::from_utf8(sent).unwrap());
        }
    }
    panic!("no sign of life");
}

fn cseq(request: &str) -> &str {
    request.lines().find_map(|l| l.strip_prefix("CSeq: ")).unwrap()
}

#[test]
fn signs_of_life_by_what_the_server_knows() {
    let mut client = playing();
    let (t, sent) = next_sign(&mut client);
    // The server said timeout=30.
    assert_eq!(t, 15 * S);
    assert!(
        sent.starts_with("GET_PARAMETER rtsp://cam/s/ RTSP/1.0\r\n") && sent.contains("Session: 12"),
        "{sent}"
    );
    // Refused: another form from then on.
    answer(
        &mut client,
        &format!("RTSP/1.0 451 No\r\nCSeq: {}\r\n\r\n", cseq(&sent)),
    );
    let (t, sent) = next_sign(&mut client);
    assert_eq!(t, 30 * S);
    assert!(sent.starts_with("OPTIONS "), "{sent}");
    answer(
        &mut client,
        &format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\n\r\n", cseq(&sent)),
    );
    assert!(next_sign(&mut client).1.starts_with("OPTIONS "));
}

#[test]
fn silence_is_an_end_and_a_stream_without_answers_is_none() {
    let mut client = Client::new(options("rtsp://cam/s"), 3 * S);
    assert_eq!(client.next_timeout_ns(), Some(8 * S));
    let e = client.on_time(8 * S, &mut Vec::new()).unwrap_err();
    assert_eq!(
        (e.kind, e.message.as_str()),
        (RtspErrorKind::Timeout, "no answer to OPTIONS within 5.0 s")
    );
    // Data comes, answers never do.
    let mut client = playing();
    next_sign(&mut client);
    client
        .input(&[b'$', 9, 0, 1, 0x80], 16 * S, &mut Vec::new())
        .unwrap();
    client.on_time(21 * S, &mut Vec::new()).unwrap();
    // Then nothing at all.
    let (t, _) = next_sign(&mut client);
    let mut result = Ok(());
    for _ in 0..10 {
        let t = client.next_timeout_ns().unwrap();
        result = client.on_time(t, &mut Vec::new());
        if result.is_err() {
            break;
        }
    }
    assert_eq!(result.unwrap_err().kind, RtspErrorKind::Timeout);
    assert!(t < 40 * S);
}

#[test]
fn answers_to_nothing_and_continues_are_passed_over() {
    let mut client = Client::new(options("rtsp://cam/s"), 0);
    client.take_output();
    for text in [
        "RTSP/1.0 404 No\r\nCSeq: 99\r\n\r\n",
        "RTSP/1.0 100 Continue\r\nCSeq: 1\r\n\r\n",
        "\r\n\r\n",
    ] {
        assert_eq!(answer(&mut client, text), []);
    }
    assert!(client.take_output().is_empty());
    answer(&mut client, "RTSP/1.0 200 OK\r\n\r\n");
    assert!(client.take_output().starts_with(b"DESCRIBE"));
}
