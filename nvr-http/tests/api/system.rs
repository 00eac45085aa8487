//! Health, metrics, events, the description; and that credentials stay inside.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::Value;

use crate::support::{PATIENCE, PICTURE, Server, camera};

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_tell_of_a_camera_that_is_down() {
    let server = Server::of(
        [
            camera("front", PICTURE),
            camera("gate", "rtsp://verwalter:geheim@127.0.0.1:1/stream"),
        ],
        |_| {},
    )
    .await;
    server
        .until("/api/v1/cameras/front", |c| {
            c["counters"]["bytes_in"].as_u64() > Some(0)
        })
        .await;
    server.state("front", "recording").await;
    server.state("gate", "backing_off").await;
    let health = server.get("/health").await;
    assert_eq!(health.status, 200);
    let health = health.json();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["problems"][0]["camera"], "gate");
    assert_eq!(health["problems"][0]["cause"]["kind"], "unreachable");
    assert_eq!(server.get("/ready").await.status, 503);

    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text; version=1.0.0")
    );
    let text = metrics.text();
    assert!(text.ends_with("# EOF\n"));
    let value = |name: &str, camera: &str| -> f64 {
        let start = format!("{name}{{camera_id=\"{camera}\"}} ");
        let line = text.lines().find_map(|l| l.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {start} in\n{text}"))
            .parse()
            .unwrap()
    };
    assert_eq!(
        (
            value("camera_stream_connected", "front"),
            value("camera_stream_connected", "gate")
        ),
        (1.0, 0.0)
    );
    assert!(value("camera_pipeline_restarts_total", "gate") >= 1.0);
    assert!(value("camera_received_bytes_total", "front") > 0.0);
    for name in ["camera_segments_recorded_total", "camera_recording_bytes_total"] {
        assert_eq!(value(name, "gate"), 0.0);
    }

    nothing_names_the_password(&server).await;
    server.nvr.remove_camera(&"gate".parse().unwrap()).await.unwrap();
    assert_eq!(server.get("/ready").await.status, 200);
    assert_eq!(server.json("/health").await["status"], "ok");
    server.end().await;
}

async fn nothing_names_the_password(server: &Server) {
    let description = server.json("/api/openapi.json").await;
    for (path, item) in description["paths"].as_object().unwrap() {
        if item["get"].is_null() {
            continue;
        }
        let path = path.replace("{id}", "gate");
        let reply = server.get(&path).await;
        let text = String::from_utf8_lossy(&reply.body);
        assert!(
            !text.contains("geheim") && !text.contains("verwalter"),
            "{path}: {text}"
        );
    }
    let gate = server.json("/api/v1/cameras/gate").await;
    assert_eq!(gate["source"], "rtsp://127.0.0.1:1/stream");
    assert!(gate["next_try"].is_string());
    assert!(gate["cause"]["message"].as_str().unwrap().contains("127.0.0.1:1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_recorded_and_streamed() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    let accept = [("accept", "text/event-stream")];
    let stream = server
        .open(Method::GET, "/api/v1/events?kind=camera_state", &accept, None)
        .await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    server.state("front", "recording").await;
    server.post("/api/v1/cameras/front/stop").await;
    let mut seen = String::new();
    let mut stream = stream.bytes_stream();
    let told = async {
        while !seen.contains("\"stopped\"") {
            seen += std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert!(
        seen.lines()
            .filter_map(|l| l.strip_prefix("event: "))
            .all(|kind| kind == "camera_state"),
        "{seen}"
    );

    let recorded = server
        .until("/api/v1/events?camera=front&kind=camera_state", |v| {
            v["events"][0]["detail"]["to"] == "stopped"
        })
        .await;
    let events = recorded["events"].as_array().unwrap();
    assert!(
        events
            .iter()
            .all(|e| e["kind"] == "camera_state" && e["camera"] == "front")
    );
    let times: Vec<_> = events
        .iter()
        .map(|e| e["at"].as_str().unwrap().parse::<nvr_core::Timestamp>().unwrap())
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first: {times:?}");
    let mut paged = Vec::new();
    let mut next = String::new();
    loop {
        let page = server
            .json(&format!(
                "/api/v1/events?camera=front&kind=camera_state&limit=1{next}"
            ))
            .await;
        paged.extend(page["events"].as_array().unwrap().clone());
        let Some(cursor) = page["next"].as_str() else {
            break;
        };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(&paged, events);
    // A stream that is still open does not hold up the end.
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_whole() {
    let server = Server::of([], |_| {}).await;
    let description = server.json("/api/openapi.json").await;
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut names = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(names.insert(operation["operationId"].to_string()), "{operation}");
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert_eq!(
                operation["responses"]["default"]["content"]["application/problem+json"]["schema"]["$ref"],
                "#/components/schemas/Problem"
            );
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let reply = server
                .ask(method.clone(), &path.replace("{id}", "1"), &[], None)
                .await;
            assert_ne!(reply.status, 405, "{method} {path}");
            assert!(
                !reply.text().contains("nothing at this address"),
                "{method} {path}"
            );
        }
    }
    // Bounds that the handlers keep are told.
    let parameter = |path: &str, name: &str| {
        let list = description["paths"][path]["get"]["parameters"]
            .as_array()
            .unwrap();
        list.iter().find(|p| p["name"] == name).unwrap().clone()
    };
    let limit = parameter("/api/v1/cameras/{id}/segments", "limit");
    assert_eq!(
        (&limit["schema"]["minimum"], &limit["schema"]["maximum"]),
        (&1.into(), &1000.into())
    );
    let from = parameter("/api/v1/cameras/{id}/export.mp4", "from");
    assert_eq!(from["required"], true);
    assert!(from["schema"].to_string().contains("date-time"), "{from}");
    assert_eq!(
        parameter("/api/v1/cameras/{id}/timeline", "from")["required"],
        false
    );
    let format = parameter("/api/v1/cameras/{id}/export.mp4", "format");
    assert!(
        format["schema"].to_string().contains("[\"fmp4\",\"mp4\"]"),
        "{format}"
    );
    assert_eq!(
        references(&description)
            .difference(&definitions(&description))
            .count(),
        0
    );
    server.end().await;
}

fn definitions(description: &Value) -> BTreeSet<String> {
    let schemas = description["components"]["schemas"].as_object().unwrap();
    schemas
        .keys()
        .map(|k| format!("#/components/schemas/{k}"))
        .collect()
}

fn references(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(k, v)| match v.as_str() {
                Some(text) if k == "$ref" => BTreeSet::from([text.to_owned()]),
                _ => references(v),
            })
            .collect(),
        Value::Array(list) => list.iter().flat_map(references).collect(),
        _ => BTreeSet::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_without_other_sites() {
    let server = Server::of([], |_| {}).await;
    let page = server.get("/").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(
        policy.contains("default-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let text = page.text();
    let parts = |text: &str| -> Vec<String> {
        let quoted = text.split('"');
        let own = quoted.filter(|p| p.ends_with(".js") || p.ends_with(".css"));
        own.map(|p| p.trim_start_matches("./").to_owned()).collect()
    };
    assert!(!parts(text).is_empty(), "was the page built (make ui)? {text}");
    for part in parts(text) {
        assert_eq!(server.get(&format!("/{part}")).await.status, 200, "{part}");
    }

    // The page that shows the API; the other addresses lead to it.
    let docs = server.get("/api-docs/").await;
    for path in ["/api", "/api/", "/api/docs"] {
        assert_eq!(server.get(path).await.text(), docs.text(), "{path}");
    }
    assert_eq!(docs.header("content-security-policy"), Some(&*policy));
    assert_eq!(parts(docs.text()).len(), 4, "{}", docs.text());
    for part in parts(docs.text()) {
        assert_eq!(
            server.get(&format!("/api-docs/{part}")).await.status,
            200,
            "{part}"
        );
    }
    tokio::time::timeout(Duration::from_secs(60), server.end())
        .await
        .unwrap();
}
