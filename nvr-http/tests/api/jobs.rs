//! The queue of jobs over HTTP.

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{PATIENCE, PICTURE, Server, assert_problem, camera};

async fn post(server: &Server, path: &str, body: &Value) -> crate::support::Reply {
    let headers = [("content-type", "application/json")];
    let body = serde_json::to_vec(body).unwrap();
    server.ask(Method::POST, path, &headers, Some(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_entered_watched_and_fetched() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    let timeline = server.recorded("front", 2.0).await;
    assert_eq!(
        server.json("/api/v1/jobs").await,
        json!({"jobs": [], "next": null})
    );

    let accept = [("accept", "text/event-stream")];
    let events = "/api/v1/events?kind=job_changed";
    let mut stream = server
        .open(Method::GET, events, &accept, None)
        .await
        .bytes_stream();

    let (from, to) = (&timeline["ranges"][0]["start"], &timeline["ranges"][0]["end"]);
    let export = json!({"kind": "export", "params": {"camera": "front", "from": from, "to": to}});
    let reply = post(&server, "/api/v1/jobs", &export).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["id"].as_i64().unwrap();
    let path = format!("/api/v1/jobs/{id}");
    let job = server.until(&path, |job| job["state"] == "done").await;
    assert_eq!(
        (&job["kind"], &job["camera"], &job["progress"]),
        (&json!("export"), &json!("front"), &json!(1.0))
    );
    assert!(job["ended"].is_string() && job["error"].is_null(), "{job:#}");

    let mut seen = String::new();
    let told = async {
        while !seen.contains("\"state\":\"done\"") {
            seen += std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    for wanted in [
        "event: job_changed",
        "\"state\":\"queued\"",
        "\"state\":\"running\"",
    ] {
        assert!(seen.contains(wanted), "{wanted}: {seen}");
    }

    let file = server.get(&format!("{path}/file")).await;
    assert_eq!(file.status, 200);
    assert_eq!(json!(file.body.len()), job["result"]["size_bytes"]);
    let name = job["result"]["file"].as_str().unwrap();
    assert!(
        file.header("content-disposition")
            .is_some_and(|d| d.contains(name)),
        "{file:?}"
    );
    let part = server
        .get_with(&format!("{path}/file"), &[("range", "bytes=4-7")])
        .await;
    assert_eq!((part.status.as_u16(), part.body.as_slice()), (206, &b"ftyp"[..]));

    let verify = json!({"kind": "verify", "params": {"camera": "front"}, "priority": 5});
    let verify = post(&server, "/api/v1/jobs", &verify).await.json();
    let verify_path = format!("/api/v1/jobs/{}", verify["id"]);
    server.until(&verify_path, |job| job["state"] == "done").await;
    assert_problem(&server.get(&format!("{verify_path}/file")).await, 409, "conflict");

    let page = server.json("/api/v1/jobs?limit=1&state=done,failed").await;
    assert_eq!(page["jobs"][0]["kind"], "verify");
    let next = server
        .json(&format!(
            "/api/v1/jobs?limit=1&cursor={}",
            page["next"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        (&next["jobs"][0]["id"], &next["next"]),
        (&json!(id), &Value::Null)
    );
    assert_eq!(
        server.json("/api/v1/jobs?kind=export&camera=front").await["jobs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let kinds = server.json("/api/v1/jobs/kinds").await;
    let names: Vec<_> = kinds
        .as_array()
        .unwrap()
        .iter()
        .map(|k| k["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "export",
            "fill",
            "merge",
            "restore",
            "timelapse",
            "transcode",
            "upload",
            "verify"
        ]
    );
    assert_eq!(
        (&kinds[0]["windows"], &kinds[0]["open"]),
        (&json!("always"), &json!(true))
    );

    let metrics = server.get("/metrics").await;
    for wanted in [
        "nvr_jobs{kind=\"export\",state=\"done\"} 1",
        "nvr_job_duration_seconds_count{kind=\"verify\",state=\"done\"} 1",
        "nvr_job_duration_seconds_bucket{le=\"+Inf\",kind=\"verify\",state=\"done\"} 1",
        "camera_waiting_bytes{camera_id=\"front\"}",
    ] {
        assert!(metrics.text().contains(wanted), "{wanted}: {}", metrics.text());
    }

    let clean = server.post("/api/v1/jobs/clean?state=done").await;
    assert_eq!(clean.json(), json!({"forgotten": 2}));
    assert_problem(&server.get(&path).await, 404, "not_found");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_are_called_off_and_tried_again() {
    let server = Server::of([], |_| {}).await;
    let later = json!({
        "kind": "export", "not_before": "2100-01-01T00:00:00Z",
        "params": {"camera": "front", "from": "2026-05-04T00:00:00Z", "to": 1_777_853_000},
    });
    // Unix seconds are for parameters of the query; here it is a mistake that is told.
    assert_problem(
        &post(&server, "/api/v1/jobs", &later).await,
        400,
        "invalid_argument",
    );
    let mut later = later;
    later["params"]["to"] = json!("2026-05-05T00:00:00Z");
    let job = post(&server, "/api/v1/jobs", &later).await.json();
    let again = post(&server, "/api/v1/jobs", &later).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["id"]),
        (200, &job["id"]),
        "nothing twice"
    );
    let path = format!("/api/v1/jobs/{}", job["id"]);
    let cancelled = server.post(&format!("{path}/cancel")).await;
    assert_eq!(
        (cancelled.status.as_u16(), &cancelled.json()["state"]),
        (200, &json!("cancelled"))
    );
    assert_problem(&server.post(&format!("{path}/cancel")).await, 409, "conflict");
    let again = server.post(&format!("{path}/retry")).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["state"]),
        (200, &json!("queued"))
    );
    let failed = server.until(&path, |job| job["state"] == "failed").await;
    assert!(failed["error"].as_str().unwrap().contains("front"), "{failed:#}");

    for (body, status, kind) in [
        (json!({"kind": "laundry"}), 400, "invalid_argument"),
        (json!({"kind": "export"}), 400, "invalid_argument"),
        (
            json!({"kind": "verify", "colour": "red"}),
            400,
            "invalid_argument",
        ),
        (
            json!({"kind": "verify", "priority": 1001}),
            400,
            "invalid_argument",
        ),
        (
            json!({"kind": "verify", "not_before": "soon"}),
            400,
            "invalid_argument",
        ),
        (
            json!({"kind": "export", "params": {"camera": "front", "from": "2026-05-04T00:00:00Z",
                "to": "2026-05-05T00:00:00Z", "path": "/etc/passwd"}}),
            400,
            "invalid_argument",
        ),
    ] {
        assert_problem(&post(&server, "/api/v1/jobs", &body).await, status, kind);
    }
    for path in ["/api/v1/jobs/77", "/api/v1/jobs/x", "/api/v1/jobs/77/file"] {
        assert_problem(&server.get(path).await, 404, "not_found");
    }
    for path in [
        "/api/v1/jobs?state=lost",
        "/api/v1/jobs?limit=0",
        "/api/v1/jobs?order=up",
        "/api/v1/jobs?stat=done",
    ] {
        assert_problem(&server.get(path).await, 400, "invalid_argument");
    }
    assert_problem(
        &server.post("/api/v1/jobs/clean?state=running").await,
        400,
        "invalid_argument",
    );
    server.end().await;
}
