//! Live: which ways there are, and each of them but WebRTC, which needs a browser.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nvr_core::SourceSpec;
use nvr_core::config::RecordMode;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::support::{PATIENCE, PICTURE, Server, assert_problem, camera};

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn socket(server: &Server, path: &str) -> Socket {
    let address = format!("ws://{}{path}", server.address);
    tokio_tungstenite::connect_async(address).await.unwrap().0
}

async fn next(socket: &mut Socket) -> Message {
    tokio::time::timeout(PATIENCE, socket.next())
        .await
        .expect("a message")
        .expect("it is open")
        .unwrap()
}

fn text(message: &Message) -> Value {
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

fn quiet(id: &str, source: &str) -> nvr_core::config::CameraConfig {
    let mut config = camera(id, source);
    config.record = RecordMode::Off;
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ways_to_watch() {
    let mut front = camera("front", PICTURE);
    front.sub = Some(SourceSpec::parse("test:?size=160x120&fps=10&gop=10&audio=0").unwrap());
    let mut off = camera("off", PICTURE);
    off.enabled = false;
    let cameras = [
        front,
        quiet("new", "test:?size=320x240&fps=10&gop=10&codec=h265"),
        off,
        camera("gate", "rtsp://127.0.0.1:1/"),
    ];
    let server = Server::of(Vec::from(cameras), |_| {}).await;
    let live = server.json("/api/v1/cameras/front/live").await;
    assert!(live["codec"].as_str().unwrap().starts_with("avc1."), "{live:#}");
    assert_eq!(
        (live["width"].as_u64(), live["stream"].as_str()),
        (Some(320), Some("main"))
    );
    assert_eq!(
        (&live["has_sub"], &live["b_frames"]),
        (&json!(true), &json!(false))
    );
    for way in ["whep", "mse", "hls", "mjpeg", "preview"] {
        assert_eq!(live["paths"][way]["ok"], true, "{way}: {live:#}");
    }
    let mime = live["paths"]["mse"]["mime"].as_str().unwrap();
    assert!(mime.starts_with("video/mp4; codecs=\"avc1."), "{mime}");

    let sub = server.json("/api/v1/cameras/front/live?stream=sub").await;
    assert_eq!(
        (sub["width"].as_u64(), sub["stream"].as_str()),
        (Some(160), Some("sub"))
    );

    // Connected by the question.
    let new = server.json("/api/v1/cameras/new/live?stream=sub").await;
    assert!(new["codec"].as_str().unwrap().starts_with("hvc1."), "{new:#}");
    assert_eq!(new["stream"], "main", "it has no other");
    assert_eq!(new["paths"]["whep"]["ok"], false);
    assert!(new["paths"]["whep"]["why"].as_str().unwrap().contains("H.265"));
    assert_eq!(new["paths"]["mse"]["ok"], true);

    for (id, why) in [("gate", "127.0.0.1:1"), ("off", "disabled")] {
        let none = server.json(&format!("/api/v1/cameras/{id}/live")).await;
        assert!(none["codec"].is_null());
        let said = none["paths"]["mse"]["why"].as_str().unwrap();
        assert!(said.contains(why), "{said}");
    }
    assert_problem(&server.get("/api/v1/cameras/nobody/live").await, 404, "not_found");
    assert_problem(
        &server.get("/api/v1/cameras/front/live?stream=x").await,
        400,
        "invalid_argument",
    );
    assert_problem(
        &server.get("/api/v1/cameras/off/live.mjpeg").await,
        503,
        "unavailable",
    );
    assert_problem(
        &server.get("/api/v1/cameras/front/live.mp4").await,
        426,
        "upgrade_required",
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fragmented_mp4_over_a_socket() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    // Whoever comes before its first sound gets another beginning when that is there.
    server
        .until("/api/v1/cameras/front/live", |live| live["audio"] == "mp4a.40.2")
        .await;
    let mut ws = socket(&server, "/api/v1/cameras/front/live.mp4").await;
    let init = text(&next(&mut ws).await);
    assert_eq!(
        (&init["type"], &init["timescale"]),
        (&json!("init"), &json!(90_000))
    );
    let Message::Binary(head) = next(&mut ws).await else {
        panic!("no init segment")
    };
    assert_eq!(&head[4..8], b"ftyp");
    let (mut clocks, mut file) = (0, head.to_vec());
    let mut chunks = 0;
    // A frame or some packets of sound each.
    while chunks < 60 {
        match next(&mut ws).await {
            Message::Binary(chunk) => {
                assert_eq!(&chunk[4..8], b"moof");
                file.extend_from_slice(&chunk);
                chunks += 1;
            }
            message => {
                let said = text(&message);
                assert_eq!(said["type"], "clock", "{said}");
                assert!(said["media_ms"].is_number() && said["utc"].as_str().unwrap().ends_with('Z'));
                clocks += 1;
            }
        }
    }
    assert!(clocks >= 2, "one a second of media");
    let path = crate::support::write(server.dir.path(), "live.mp4", &file);
    let (_, frames) = crate::support::probe(path.to_str().unwrap()).await;
    assert!(frames >= 20, "{frames} frames that can be decoded");
    let metrics = server.get("/metrics").await;
    assert!(
        metrics.text().contains("camera_viewers{camera_id=\"front\"} 1"),
        "{}",
        metrics.text()
    );

    // Another site's page is turned away.
    let mut foreign = format!("ws://{}/api/v1/cameras/front/live.mp4", server.address)
        .into_client_request()
        .unwrap();
    foreign
        .headers_mut()
        .insert("origin", "http://evil.example".parse().unwrap());
    let refused = tokio_tungstenite::connect_async(foreign).await.unwrap_err();
    assert!(
        matches!(&refused, WsError::Http(r) if r.status() == 403),
        "{refused}"
    );

    // At the end it is told why.
    server.nvr.remove_camera(&"front".parse().unwrap()).await.unwrap();
    let why = loop {
        if let Message::Text(said) = next(&mut ws).await {
            let said: Value = serde_json::from_str(&said).unwrap();
            if said["type"] == "end" {
                break said["why"].as_str().unwrap().to_owned();
            }
        }
    };
    assert_eq!(why, "the camera was removed");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_wait_for_their_viewer() {
    let server = Server::of([quiet("front", PICTURE)], |_| {}).await;
    let mut ws = socket(&server, "/api/v1/cameras/front/preview?width=160&fps=10").await;
    let picture = |message: Message| {
        let Message::Binary(bytes) = message else {
            panic!("{message}")
        };
        let number = u64::from_be_bytes(bytes[..8].try_into().unwrap());
        let at = i64::from_be_bytes(bytes[8..16].try_into().unwrap());
        assert_eq!(&bytes[16..18], &[0xff, 0xd8]);
        (number, at)
    };
    let first = picture(next(&mut ws).await);
    let now = server.nvr.clock().now().as_ns();
    assert!((now - first.1).abs() < 60_000_000_000);
    let second = picture(next(&mut ws).await);
    assert!(second.0 > first.0 && second.1 > first.1);
    // Two are on their way: no third one comes before one is acknowledged.
    let third = tokio::time::timeout(Duration::from_secs(1), ws.next()).await;
    assert!(third.is_err(), "{third:?}");
    ws.send(Message::text(json!({"ack": second.0}).to_string()))
        .await
        .unwrap();
    let third = picture(next(&mut ws).await);
    assert!(third.0 > second.0);
    ws.send(Message::text(json!({"width": 9999}).to_string()))
        .await
        .unwrap();
    ws.send(Message::text(json!({"ack": third.0}).to_string()))
        .await
        .unwrap();
    loop {
        match next(&mut ws).await {
            Message::Binary(_) => {}
            message => {
                assert!(text(&message)["why"].as_str().unwrap().contains("9999"));
                break;
            }
        }
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mjpeg_is_one_picture_after_another() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    let mut reply = server
        .open(
            Method::GET,
            "/api/v1/cameras/front/live.mjpeg?width=160&fps=5",
            &[],
            None,
        )
        .await;
    assert_eq!(reply.status(), 200);
    let kind = reply.headers()["content-type"].to_str().unwrap().to_owned();
    let boundary = kind.strip_prefix("multipart/x-mixed-replace; boundary=").unwrap();
    let mut body = Vec::new();
    let mark = format!("\r\n--{boundary}\r\n");
    let count = |body: &[u8]| body.windows(mark.len()).filter(|w| *w == mark.as_bytes()).count();
    while count(&body) < 3 {
        let piece = tokio::time::timeout(PATIENCE, reply.chunk())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        body.extend_from_slice(&piece);
    }
    assert!(body.starts_with(format!("--{boundary}\r\nContent-Type: image/jpeg\r\n").as_bytes()));
    drop(reply);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn low_latency_hls_waits_for_what_is_wanted() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    let list = "/api/v1/cameras/front/live.m3u8";
    let first = server.get(list).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(
        first.header("content-type"),
        Some("application/vnd.apple.mpegurl")
    );
    let line = |text: &str, start: &str| {
        text.lines()
            .find(|l| l.starts_with(start))
            .map_or_else(|| panic!("{start} in {text}"), str::to_owned)
    };
    let uri = |line: &str| {
        line.split("URI=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    };
    let init = uri(&line(first.text(), "#EXT-X-MAP"));
    let head = server.get(&format!("/api/v1/cameras/front/{init}")).await;
    assert_eq!((head.status.as_u16(), &head.body[4..8]), (200, &b"ftyp"[..]));
    // What is hinted at comes when it is there.
    let hint = uri(&line(first.text(), "#EXT-X-PRELOAD-HINT"));
    let part = server.get(&format!("/api/v1/cameras/front/{hint}")).await;
    assert_eq!(
        (part.status.as_u16(), &part.body[4..8]),
        (200, &b"moof"[..]),
        "{hint}"
    );
    // A playlist with a segment that is not complete yet: the next, for the first ones may begin within a group.
    let number = hint
        .rsplit('-')
        .next()
        .unwrap()
        .split('.')
        .next()
        .unwrap()
        .parse::<u64>()
        .unwrap()
        + 1;
    let later = server.get(&format!("{list}?_HLS_msn={number}")).await;
    assert!(
        later.text().contains(&format!("-{number}.m4s\n")),
        "{}",
        later.text()
    );
    // Of so young a list nothing can be left out, but it may be asked for.
    let update = server.get(&format!("{list}?_HLS_skip=YES")).await;
    assert_eq!(update.status, 200, "{}", update.text());
    assert!(update.text().contains("CAN-SKIP-UNTIL="), "{}", update.text());
    assert_problem(
        &server.get(&format!("{list}?_HLS_skip=NO")).await,
        400,
        "invalid_argument",
    );
    // An ordinary player plays it.
    let whole = later
        .text()
        .lines()
        .find(|l| l.ends_with(&format!("-{number}.m4s")))
        .unwrap();
    // Sound may have come since the first list: the header is the last one that is named before the segment.
    let before = later.text().split(whole).next().unwrap();
    let init = uri(before.lines().rfind(|l| l.starts_with("#EXT-X-MAP")).unwrap());
    let mut file = server.get(&format!("/api/v1/cameras/front/{init}")).await.body;
    file.extend(server.get(&format!("/api/v1/cameras/front/{whole}")).await.body);
    let path = crate::support::write(server.dir.path(), "segment.mp4", &file);
    let (_, frames) = crate::support::probe(path.to_str().unwrap()).await;
    assert!(frames >= 10, "{frames}");
    assert_problem(
        &server.get(&format!("{list}?_HLS_msn=99999")).await,
        400,
        "invalid_argument",
    );
    assert_problem(
        &server.get("/api/v1/cameras/front/live/main-0-7.m4s").await,
        404,
        "not_found",
    );
    assert_problem(
        &server.get("/api/v1/cameras/front/live/x").await,
        404,
        "not_found",
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_that_cannot_be_answered() {
    let cameras = [
        camera("front", PICTURE),
        quiet("new", "test:?size=320x240&fps=10&gop=10&codec=h265"),
    ];
    let server = Server::of(cameras, |c| c.http.webrtc_port = 0).await;
    let post = async |id: &str, kind: &str, body: &str| {
        let path = format!("/api/v1/cameras/{id}/whep");
        server
            .ask(
                Method::POST,
                &path,
                &[("content-type", kind)],
                Some(body.as_bytes().to_vec()),
            )
            .await
    };
    server.state("front", "recording").await;
    assert_problem(
        &post("front", "text/plain", "x").await,
        415,
        "unsupported_media_type",
    );
    assert_problem(
        &post("front", "application/sdp", "nonsense").await,
        400,
        "invalid_argument",
    );
    assert_problem(&post("new", "application/sdp", "v=0").await, 409, "conflict");
    assert_problem(&post("nobody", "application/sdp", "v=0").await, 404, "not_found");
    let gone = "/api/v1/whep/nobody";
    assert_problem(
        &server.ask(Method::DELETE, gone, &[], None).await,
        404,
        "not_found",
    );
    let patch = [("content-type", "application/trickle-ice-sdpfrag")];
    assert_problem(
        &server.ask(Method::PATCH, gone, &patch, None).await,
        404,
        "not_found",
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_end_with_their_camera() {
    let server = Server::of([camera("gate", "rtsp://127.0.0.1:1/")], |_| {}).await;
    let gate = "gate".parse().unwrap();
    let camera = server.nvr.camera(&gate).unwrap();
    let waiting = server.get("/api/v1/cameras/gate/live.m3u8");
    let removed = async {
        while camera.viewers(nvr_core::live::StreamKind::Main).now == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server.nvr.remove_camera(&gate).await.unwrap();
    };
    let (reply, ()) = tokio::join!(waiting, removed);
    assert_problem(&reply, 404, "not_found");
    server.end().await;
}
