//! What goes on for long ends when it is not allowed any more.

use std::time::Instant;

use futures_util::StreamExt;
use nvr_core::config::{Auth, RecordMode};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{Browser, add, admin};
use crate::support::{PATIENCE, PICTURE, Server, camera, manual};

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn socket(server: &Server, who: &Browser, path: &str) -> Socket {
    let address = format!("ws://{}{path}", server.address);
    let mut request = address.into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("cookie", who.cookie.parse().unwrap());
    tokio_tungstenite::connect_async(request).await.unwrap().0
}

async fn next(socket: &mut Socket) -> Message {
    tokio::time::timeout(PATIENCE, socket.next())
        .await
        .expect("a message")
        .expect("it is open")
        .unwrap()
}

/// Why a socket ends.
async fn end(mut socket: Socket) -> String {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "it goes on");
        if let Message::Text(said) = next(&mut socket).await {
            let said: Value = serde_json::from_str(&said).unwrap();
            if said["type"] == "end" {
                return said["why"].as_str().unwrap().to_owned();
            }
        }
    }
}

/// Reads an answer to its end.
async fn over(mut reply: reqwest::Response) {
    assert_eq!(reply.status(), 200);
    let start = Instant::now();
    while let Some(_piece) = tokio::time::timeout(PATIENCE, reply.chunk())
        .await
        .expect("it goes on or ends")
        .unwrap()
    {
        assert!(start.elapsed() < PATIENCE, "it goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_and_the_log_end_with_the_right_to_them() {
    let cameras = ["front", "yard"].map(|id| {
        let mut camera = camera(id, PICTURE);
        camera.record = RecordMode::Off;
        camera
    });
    let server = Server::of(cameras, |c| c.http.auth = Auth::Accounts).await;
    let root = admin(&server).await;
    let vera = add(&server, &root, "vera", "viewer", Value::Null).await;
    let anna = add(&server, &root, "anna", "admin", Value::Null).await;
    let live = "/api/v1/cameras/front/live.mp4";
    let mut of_root = socket(&server, &root, live).await;
    let mut of_vera = socket(&server, &vera, live).await;
    let mut elsewhere = socket(&server, &vera, "/api/v1/cameras/yard/live.mp4").await;
    let preview = socket(&server, &anna, "/api/v1/cameras/front/preview").await;
    let stream = async |who: &Browser, path: &str| {
        let headers = [("cookie", who.cookie.as_str()), ("accept", "text/event-stream")];
        server.open(Method::GET, path, &headers, None).await
    };
    let pictures = stream(&vera, "/api/v1/cameras/front/live.mjpeg").await;
    let log = stream(&anna, "/api/v1/logs").await;
    next(&mut of_vera).await;

    // Less than before for one, a login that is over for the other.
    let body = json!({"cameras": ["yard"]});
    let less = root
        .ask(&server, Method::PATCH, "/api/v1/users/vera", Some(body))
        .await;
    assert_eq!(less.status, 200, "{}", less.text());
    let out = anna.ask(&server, Method::DELETE, "/api/v1/session", None).await;
    assert_eq!(out.status, 204);
    let all_end = async { tokio::join!(end(of_vera), end(preview), over(pictures), over(log)) };
    // What is still allowed goes on; a socket that ends has no next message.
    let goes_on = async {
        loop {
            next(&mut of_root).await;
            next(&mut elsewhere).await;
        }
    };
    tokio::select! {
        (one, two, (), ()) = all_end => {
            for why in [one, two] {
                assert!(why.contains("no longer"), "{why}");
            }
        }
        () = goes_on => {}
    }
    server.end().await;
}

/// Reads a stream of events until one has these words; all that was told.
async fn told_until(reply: reqwest::Response, words: &str) -> String {
    assert_eq!(reply.status(), 200);
    let mut pieces = reply.bytes_stream();
    let mut told = String::new();
    let read = async {
        while !told.contains(words) {
            told += std::str::from_utf8(&pieces.next().await.expect("it goes on").unwrap()).unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect(words);
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_are_told_to_whom_they_concern_as_far_as_they_do() {
    let cameras = [manual("front"), manual("yard")];
    let server = Server::of(cameras, |c| c.http.auth = Auth::Accounts).await;
    let root = admin(&server).await;
    let yves = add(&server, &root, "yves", "viewer", json!(["yard"])).await;
    let path = "/api/v1/events?kind=booking_changed";
    let headers = [("cookie", yves.cookie.as_str()), ("accept", "text/event-stream")];
    let stream = server.open(Method::GET, path, &headers, None).await;
    let all = server
        .open(
            Method::GET,
            path,
            &[("cookie", root.cookie.as_str()), ("accept", "text/event-stream")],
            None,
        )
        .await;
    for (title, cameras) in [
        ("Nothing of his", json!(["front"])),
        ("Both", json!(["front", "yard"])),
        ("His", json!(["yard"])),
    ] {
        let body = json!({"title": title, "cameras": cameras, "start": "2199-05-06T10:00:00Z", "end": "2199-05-06T11:00:00Z",
            "allow_conflicts": true});
        let booked = root
            .ask(&server, Method::POST, "/api/v1/bookings", Some(body))
            .await;
        assert_eq!(booked.status, 201, "{}", booked.text());
    }
    let told = told_until(stream, "\"His\"").await;
    assert!(told.contains("\"Both\"") && !told.contains("front"), "{told}");
    assert!(!told.contains("Nothing of his"), "{told}");
    let told = told_until(all, "\"His\"").await;
    assert!(
        told.contains("Nothing of his") && told.contains("front"),
        "{told}"
    );
    // And the same when it is looked up.
    let listed = yves.get(&server, path).await.json();
    let mut titles: Vec<_> = listed["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["detail"]["title"].as_str().unwrap())
        .collect();
    titles.sort_unstable();
    titles.dedup();
    assert_eq!(titles, ["Both", "His"]);
    assert!(!listed.to_string().contains("front"), "{listed:#}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_booking_everybody_is_warned_of_his_cameras_only() {
    let server = Server::of([manual("front"), manual("yard")], |c| {
        c.http.auth = Auth::Accounts;
    })
    .await;
    let root = admin(&server).await;
    let yves = add(&server, &root, "yves", "viewer", json!(["yard"])).await;
    let now = nvr_core::clock::Clock::now(&nvr_core::clock::SystemClock::new());
    // Most of it is over when it is booked: that is missing of both.
    let (start, end) = (now.add_ns(-60_000_000_000), now.add_ns(3_000_000_000));
    let body = json!({"title": "Both", "cameras": ["front", "yard"], "start": start, "end": end, "allow_conflicts": true});
    let booked = root
        .ask(&server, Method::POST, "/api/v1/bookings", Some(body))
        .await;
    assert_eq!(booked.status, 201, "{}", booked.text());
    let warned = async |who: &Browser| {
        let begun = Instant::now();
        loop {
            let listed = who
                .get(&server, "/api/v1/events?kind=booking_changed")
                .await
                .json();
            let told = listed["events"].as_array().unwrap().iter();
            let warnings: Vec<Value> = told
                .flat_map(|e| e["detail"]["warnings"].as_array().unwrap().clone())
                .collect();
            if !warnings.is_empty() {
                let cameras: std::collections::BTreeSet<String> = warnings
                    .iter()
                    .map(|w| w["camera"].as_str().unwrap().to_owned())
                    .collect();
                assert!(
                    warnings
                        .iter()
                        .all(|w| !w["message"].as_str().unwrap().is_empty()),
                    "{warnings:#?}"
                );
                return cameras.into_iter().collect::<Vec<_>>();
            }
            assert!(begun.elapsed() < PATIENCE, "{listed:#}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    assert_eq!(warned(&root).await, ["front", "yard"]);
    assert_eq!(warned(&yves).await, ["yard"]);
    server.end().await;
}
