//! What the recorder tells of its machine and its log, and what it finds.

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::json;
use tracing_subscriber::prelude::*;

use crate::support::{PICTURE, Server, assert_problem, camera};

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_is_described() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    server.recorded("front", 1.0).await;
    let system = server.json("/api/v1/system").await;
    let number = |path: &str| system.pointer(path).unwrap().as_f64().unwrap();
    assert!(
        number("/cpu/cores") >= 1.0 && number("/cpu/machine_percent") <= 100.0,
        "{system:#}"
    );
    assert!(number("/memory/process_bytes") > 1e6 && number("/threads") > 1.0);
    assert!(number("/disks/0/available_bytes") <= number("/disks/0/total_bytes"));
    assert!(number("/uptime/process_seconds") > 0.5);
    assert!(
        system["version"]["gstreamer"]
            .as_str()
            .unwrap()
            .starts_with("GStreamer 1.")
    );
    assert_eq!(system["pipelines"][0]["camera"], "front");
    assert!(number("/pipelines/0/frames") > 5.0);
    // The camera is at work, so that there is something to see.
    let busy = server
        .until("/api/v1/system", |s| {
            s["cpu"]["process_percent"].as_f64().unwrap() > 0.0
        })
        .await;
    assert_eq!(busy["load"].as_array().unwrap().len(), 3);

    assert_eq!(server.post("/api/v1/cameras/front/split").await.status, 202);
    let bytes = |h: &serde_json::Value| {
        h["days"]
            .as_array()
            .unwrap()
            .iter()
            .any(|d| d["cameras"]["front"].as_u64() > Some(1000))
    };
    let history = server.until("/api/v1/storage/history?days=2", bytes).await;
    assert_eq!(history["days"].as_array().unwrap().len(), 2, "{history:#}");
    for bad in ["0", "367", "x"] {
        let reply = server.get(&format!("/api/v1/storage/history?days={bad}")).await;
        assert_problem(&reply, 400, "invalid_argument");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_can_be_read_and_followed() {
    let server = Server::of([], |_| {}).await;
    let log = |work: &dyn Fn()| {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(server.logs.layer()), work);
    };
    log(&|| {
        tracing::info!(camera = "front", "one");
        tracing::debug!("two");
        tracing::error!("three");
    });
    let logs = server.json("/api/v1/logs").await;
    let messages = |v: &serde_json::Value| -> Vec<String> {
        v["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["message"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(messages(&logs), ["one", "three"]);
    assert_eq!(
        (&logs["records"][0]["fields"], &logs["last"]),
        (&json!({ "camera": "front" }), &json!(3))
    );
    assert_eq!(
        messages(&server.json("/api/v1/logs?level=debug&after=1").await),
        ["two", "three"]
    );
    assert_eq!(messages(&server.json("/api/v1/logs?level=warn").await), ["three"]);
    for bad in ["level=loud", "limit=0", "after=-1"] {
        assert_problem(
            &server.get(&format!("/api/v1/logs?{bad}")).await,
            400,
            "invalid_argument",
        );
    }

    let headers = [("accept", "text/event-stream"), ("last-event-id", "1")];
    let response = server
        .open(Method::GET, "/api/v1/logs?level=debug", &headers, None)
        .await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.bytes_stream();
    let mut text = String::new();
    let mut more = false;
    while !text.contains("four") {
        text += std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap();
        if !more && text.contains("three") {
            more = true;
            log(&|| tracing::warn!("four"));
        }
    }
    let ids: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["2", "3", "4"], "{text}");
    drop(body);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_has_a_log_of_its_own() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    let log = |work: &dyn Fn()| {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(server.logs.layer()), work);
    };
    log(&|| {
        tracing::info!(camera = "front", "one");
        let span = tracing::error_span!("camera", camera = "yard");
        span.in_scope(|| tracing::warn!("two"));
        tracing::info!("three");
    });
    let messages = |v: &serde_json::Value| -> Vec<String> {
        let records = v["records"].as_array().unwrap().iter();
        records
            .map(|r| r["message"].as_str().unwrap().to_owned())
            .collect()
    };
    for (path, want) in [
        ("/api/v1/cameras/front/logs", &["one"][..]),
        ("/api/v1/cameras/yard/logs", &["two"]),
        ("/api/v1/cameras/yard/logs?level=error", &[]),
        ("/api/v1/logs?camera=yard", &["two"]),
        ("/api/v1/logs", &["one", "two", "three"]),
    ] {
        assert_eq!(messages(&server.json(path).await), want, "{path}");
    }
    let headers = [("accept", "text/event-stream")];
    let path = "/api/v1/cameras/front/logs";
    let response = server.open(Method::GET, path, &headers, None).await;
    let mut body = response.bytes_stream();
    let mut text = String::new();
    while !text.contains("last") {
        text += std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap();
        if text.contains("one") {
            log(&|| {
                tracing::info!(camera = "yard", "not this");
                tracing::info!(camera = "front", "last");
            });
        }
    }
    assert!(!text.contains("not this"), "{text}");
    drop(body);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_is_changed_for_a_time() {
    let server = Server::of([], |_| {}).await;
    let path = "/api/v1/log-level";
    let as_configured = json!({ "filter": "info", "configured": "info", "gstreamer": "", "until": null });
    assert_eq!(server.json(path).await, as_configured);
    let put = async |body: serde_json::Value| server.order(Method::PUT, path, &body).await;
    let changed = put(json!({ "filter": "info,nvr_core=debug", "for_seconds": 60 }))
        .await
        .json();
    assert_eq!(changed["filter"], "info,nvr_core=debug");
    assert!(changed["until"].is_string());
    assert_eq!(server.json(path).await, changed);
    for bad in [
        json!({ "filter": "loud" }),
        json!({ "filter": "debug", "for_seconds": 0 }),
        json!({ "filter": "debug", "for_seconds": 86401 }),
        json!({ "filter": "debug", "for_seconds": u64::MAX }),
        json!({ "filter": "debug", "ever": true }),
        json!({ "gstreamer": "rtspsrc:9" }),
    ] {
        assert_problem(&put(bad).await, 400, "invalid_argument");
    }
    assert_problem(
        &put(json!({ "gstreamer": "rtspsrc:5" })).await,
        501,
        "unsupported",
    );
    assert_eq!(server.json(path).await, changed);
    assert_eq!(put(json!({})).await.json(), as_configured);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_shows_a_picture() {
    let server = Server::of([], |_| {}).await;
    let probe =
        async |body: serde_json::Value| server.order(Method::POST, "/api/v1/cameras/probe", &body).await;
    let reply = probe(json!({ "source": "test:?size=1280x720&fps=10", "picture": true })).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let picture = reply.json()["picture"].as_str().unwrap().to_owned();
    assert!(
        picture.starts_with("data:image/jpeg;base64,/9j/") && picture.len() > 2000,
        "{picture}"
    );
    let reply = probe(json!({ "source": "test:?size=320x240&fps=10" })).await;
    assert_eq!(reply.json()["picture"], json!(null));
    assert_problem(
        &probe(json!({ "source": "file:/etc/passwd", "picture": true })).await,
        400,
        "invalid_argument",
    );
    assert_problem(
        &probe(json!({ "source": "test:", "camera": "none" })).await,
        404,
        "not_found",
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_recorded_is_looked_for_once() {
    let server = Server::of([], |_| {}).await;
    let (one, two) = tokio::join!(server.json("/api/v1/discovery"), server.json("/api/v1/discovery"));
    assert_eq!(one, two);
    assert!(
        one["cameras"].is_array() && one["devices"].is_array() && one["problems"].is_array(),
        "{one:#}"
    );
    server.end().await;
}
