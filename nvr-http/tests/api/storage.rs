//! Storage: figures, cleanup, deletion, protection.

use std::time::Duration;

use nvr_core::config::{Age, Room};
use reqwest::Method;
use serde_json::Value;

use crate::support::{PICTURE, Server, assert_problem, camera};

/// Segments of a camera by start.
async fn segments(server: &Server) -> Vec<Value> {
    let page = server.json("/api/v1/cameras/front/segments").await;
    page["segments"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn footage_is_protected_deleted_and_counted() {
    let server = Server::of([camera("front", PICTURE)], |config| {
        // Footage of events goes after a minute, and none of it is so old.
        config.retention.event_age = Some(Age::For(Duration::from_secs(60)));
        config.retention.min_free = Room::Bytes(1 << 20);
    })
    .await;
    server.history().await;
    let all = segments(&server).await;
    let id = |n: usize| all[n]["id"].as_i64().unwrap();
    let path = |n: usize| format!("/api/v1/segments/{}", id(n));
    let delete = async |path: String| server.ask(Method::DELETE, &path, &[], None).await;

    // A range covers whole segments, and what grows.
    let range = format!("from={}&to={}", all[1]["start"].as_str().unwrap(), "2100-01-01");
    let whole = "from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";
    let protect = "/api/v1/cameras/front/protect";
    assert_problem(
        &server.post(&format!("{protect}?{range}")).await,
        400,
        "invalid_argument",
    );
    let reply = server.post(&format!("{protect}?{whole}")).await;
    assert_eq!(reply.json()["segments"], 3, "{}", reply.text());
    assert!(
        segments(&server)
            .await
            .iter()
            .all(|s| s["protected"] == true && s["event"] == false)
    );
    assert_problem(&delete(path(0)).await, 409, "conflict");
    assert_eq!(
        server.post(&format!("{protect}?{whole}&off=true")).await.json()["segments"],
        3
    );
    assert_eq!(
        server.post(&format!("{protect}?{whole}&event=true")).await.json()["segments"],
        3
    );
    assert!(
        segments(&server)
            .await
            .iter()
            .all(|s| s["protected"] == false && s["event"] == true)
    );
    assert_problem(
        &server.post("/api/v1/cameras/nobody/protect?from=0&to=1").await,
        404,
        "not_found",
    );

    // Nothing is old enough yet.
    let nothing = server.post("/api/v1/storage/cleanup?dry_run=true").await.json();
    assert_eq!(
        (&nothing["dry_run"], &nothing["deleted"], &nothing["more"]),
        (&true.into(), &Value::Array(vec![]), &false.into())
    );
    assert_problem(&delete(path(2)).await, 409, "conflict");
    let gone = delete(path(0)).await;
    assert_eq!(gone.status, 200, "{}", gone.text());
    assert_eq!(
        (
            &gone.json()["camera"],
            &gone.json()["reason"],
            &gone.json()["segments"]
        ),
        (&"front".into(), &"requested".into(), &1.into())
    );
    assert_eq!(server.get(&path(0)).await.status, 404);
    assert_problem(&delete(path(0)).await, 404, "not_found");
    let file = server
        .dir
        .path()
        .join("recordings")
        .join(all[0]["path"].as_str().unwrap());
    assert!(!file.exists());
    let event = server.json("/api/v1/events?kind=footage_deleted").await;
    assert_eq!(event["events"][0]["camera"], "front", "{event:#}");

    let storage = server.json("/api/v1/storage").await;
    let front = &storage["cameras"][0];
    assert!(front["bytes_per_hour"].as_f64() > Some(0.0), "{storage:#}");
    assert!(front["days_left"].as_f64() > Some(0.0), "{storage:#}");
    assert!(storage["disk_min_free_bytes"].as_u64() > Some(0), "{storage:#}");
    let metrics = server.get("/metrics").await;
    for line in [
        "camera_segments_deleted_total{camera_id=\"front\",reason=\"requested\"} 1",
        "nvr_space_low 0",
        "camera_storage_days_left{camera_id=\"front\"} ",
        "camera_bytes_per_hour{camera_id=\"front\"} ",
    ] {
        assert!(
            metrics.text().contains(line),
            "{line} is not in\n{}",
            metrics.text()
        );
    }
    server.end().await;
}

/// With a limit of bytes the oldest goes when asked to, as the recorder would by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_cleanup_deletes_what_a_preview_told() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    server.history().await;
    let mut config = server.nvr.config().as_ref().clone();
    config.retention.max_bytes = Some(1 << 40);
    server.nvr.reload(config.clone()).await.unwrap();
    let cleanup = "/api/v1/storage/cleanup";
    assert_eq!(server.post(cleanup).await.json()["deleted"], Value::Array(vec![]));
    // Less than there is: in force at once, and the camera is not touched.
    config.retention.max_bytes = Some(1);
    server.nvr.reload(config).await.unwrap();
    let told = server.post(&format!("{cleanup}?dry_run=true")).await.json();
    // The recorder may have been faster.
    let before = segments(&server).await.len();
    let done = server.post(cleanup).await.json();
    assert!(
        before == 1 || done["deleted"] == told["deleted"],
        "{told:#} {done:#}"
    );
    let left = segments(&server).await;
    assert_eq!(left.len(), 1, "what grows stays: {left:#?}");
    assert_eq!(left[0]["state"], "open");
    assert_eq!(server.json("/api/v1/cameras/front").await["state"], "recording");
    server.end().await;
}
