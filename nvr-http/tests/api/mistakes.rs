//! What is asked wrongly gets an answer that says so; too much is refused; other sites are kept out.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::{PICTURE, Server, assert_problem, camera};

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_problems() {
    let server = Server::of([camera("front", PICTURE)], |c| c.http.max_body_bytes = 1024).await;
    let front = "/api/v1/cameras/front";
    for (path, words) in [
        (format!("{front}/timeline?form=1"), "form"),
        (format!("{front}/timeline?from=yesterday"), "yesterday"),
        (format!("{front}/timeline?from=2&to=1"), "ends"),
        (format!("{front}/timeline?from=1&from=2"), "twice"),
        (format!("{front}/timeline?from="), "from is empty"),
        (
            format!("{front}/export.mp4?from=1&to=2&download="),
            "download is empty",
        ),
        (format!("{front}/timeline?resolution=-1"), "resolution"),
        (format!("{front}/timeline?resolution=nan"), "resolution"),
        (format!("{front}/timeline?from=%ff"), "UTF-8"),
        ("/api/v1/timeline?cameras=front,A/B".to_owned(), "A/B"),
        (
            format!("{front}/days?from=-9000000000&to=9000000000"),
            "ten years",
        ),
        (format!("{front}/segments?limit=0"), "limit"),
        (format!("{front}/segments?limit=1001"), "limit"),
        (format!("{front}/segments?order=up"), "order"),
        (format!("{front}/segments?cursor=x"), "cursor"),
        (format!("{front}/export.mp4"), "from and to"),
        (format!("{front}/export.mp4?from=1&to=1"), "empty"),
        (format!("{front}/export.mp4?from=1&to=2&format=avi"), "avi"),
        (
            format!("{front}/export.mp4?from=-9000000000&to=9000000000"),
            "year",
        ),
        (format!("{front}/vod.m3u8?from=1"), "from and to"),
        (format!("{front}/media.m3u8?from=1&to=2&event=5"), "event"),
        ("/api/v1/events?limit=many".to_owned(), "many"),
        ("/api/v1/events?camera=A B".to_owned(), "camera"),
        ("/api/v1/events?order=random".to_owned(), "random"),
    ] {
        let reply = server.get(&path).await;
        assert_problem(&reply, 400, "invalid_argument");
        let detail = reply.json()["detail"].to_string();
        assert!(detail.contains(words), "{path}: {detail}");
    }
    for path in [
        "/api/v1/cameras/nobody",
        "/api/v1/cameras/nobody/timeline",
        "/api/v1/cameras/nobody/days",
        "/api/v1/cameras/nobody/segments",
        "/api/v1/cameras/nobody/snapshot.jpg",
        "/api/v1/cameras/%2e%2e%2fx/timeline",
        "/api/v1/timeline?cameras=nobody",
        "/api/v1/segments/999999",
        "/api/v1/segments/abc",
        "/api/v2/cameras",
        "/api/v1/cameras/nobody/export.mp4?from=1&to=2",
        "/api/v1/cameras/nobody/vod.m3u8?from=1&to=2",
        "/page/../Cargo.toml",
        "/page/none.js",
        "/favicon.ico",
    ] {
        assert_problem(&server.get(path).await, 404, "not_found");
    }
    for path in [
        "/api/v1/cameras/nobody/start",
        "/api/v1/cameras/nobody/record",
        "/api/v1/segments/999999/protect",
    ] {
        assert_problem(&server.post(path).await, 404, "not_found");
    }
    for (method, path) in [
        (Method::PUT, "/api/v1/cameras"),
        (Method::PUT, "/api/v1/cameras/front"),
        (Method::GET, "/api/v1/cameras/front/start"),
        (Method::PUT, "/metrics"),
    ] {
        let reply = server.ask(method.clone(), path, &[], None).await;
        assert_problem(&reply, 405, "method_not_allowed");
        assert!(
            reply
                .header("allow")
                .is_some_and(|a| !a.contains(method.as_str())),
            "{path}: {:?}",
            reply.headers
        );
    }
    let json = [("content-type", "application/json")];
    let half = json!({"source": "rtsp://127.0.0.1:1/", "password": "x"}).to_string();
    let probe = "/api/v1/cameras/probe";
    let reply = server
        .ask(Method::POST, probe, &json, Some(half.into_bytes()))
        .await;
    assert_problem(&reply, 400, "invalid_argument");
    let large = json!({"source": "test:", "user": "x".repeat(2000)})
        .to_string()
        .into_bytes();
    let reply = server.ask(Method::POST, probe, &json, Some(large)).await;
    assert_problem(&reply, 413, "too_large");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_at_once_and_so_long() {
    let server = Server::of([camera("front", PICTURE)], |c| {
        c.http.max_concurrent = 1;
        c.http.request_timeout = Duration::from_millis(500);
    })
    .await;
    server.state("front", "recording").await;
    let accept = [("accept", "text/event-stream")];
    let held = server.open(Method::GET, "/api/v1/events", &accept, None).await;
    let refused = server.get("/api/v1/cameras").await;
    assert_problem(&refused, 503, "busy");
    assert!(refused.header("retry-after").is_some());
    for vital in ["/health", "/metrics"] {
        assert_eq!(server.get(vital).await.status, 200, "{vital}");
    }
    drop(held);
    server
        .until("/api/v1/cameras/front", |c| c["id"] == "front")
        .await;

    // Somebody who takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let body = json!({"source": format!("rtsp://{}/x", silent.local_addr().unwrap())}).to_string();
    let json = [("content-type", "application/json")];
    let late = server
        .ask(
            Method::POST,
            "/api/v1/cameras/probe",
            &json,
            Some(body.into_bytes()),
        )
        .await;
    assert_problem(&late, 504, "timeout");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_are_kept_out() {
    let server = Server::of([camera("front", PICTURE)], |c| {
        c.http.host_names = vec!["nvr.lan".into()];
    })
    .await;
    let split = "/api/v1/cameras/front/split";
    let own = format!("http://{}", server.address);
    for foreign in [
        [("origin", "http://evil.example"), ("accept", "*/*")],
        [("origin", "null"), ("accept", "*/*")],
        [("sec-fetch-site", "cross-site"), ("accept", "*/*")],
        [("host", "evil.example"), ("origin", "http://evil.example")],
    ] {
        let reply = server.ask(Method::POST, split, &foreign, None).await;
        assert_problem(&reply, 403, "forbidden");
    }
    for same in [
        [("origin", own.as_str()), ("sec-fetch-site", "same-origin")],
        [("host", "nvr.lan:8080"), ("origin", "http://nvr.lan:8080")],
    ] {
        assert_eq!(server.ask(Method::POST, split, &same, None).await.status, 202);
    }
    // A name that its owner points at this machine.
    let rebound = server
        .get_with("/api/v1/cameras", &[("host", "evil.example")])
        .await;
    assert_problem(&rebound, 403, "forbidden");
    assert!(rebound.json()["hint"].as_str().unwrap().contains("host_names"));
    for host in ["localhost:8080", "192.168.1.7", "[::1]:8080", "NVR.lan"] {
        assert_eq!(
            server.get_with("/api/v1/cameras", &[("host", host)]).await.status,
            200,
            "{host}"
        );
    }
    // Monitoring may use any name.
    assert_eq!(
        server
            .get_with("/health", &[("host", "monitor.example")])
            .await
            .status,
        200
    );
    server.end().await;
}
