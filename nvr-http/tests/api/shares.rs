//! Shares: what is shared, to whoever has the address, and nothing beside it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, assert_problem, probe};

async fn share(server: &Server, body: Value) -> crate::support::Reply {
    let headers = [("content-type", "application/json")];
    let body = Some(body.to_string().into_bytes());
    server.ask(Method::POST, "/api/v1/shares", &headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_opens_its_range_and_nothing_beside_it() {
    let server = Server::start().await;
    server.history().await;
    assert_eq!(server.post("/api/v1/cameras/front/stop").await.status, 202);
    server.state("front", "stopped").await;
    let closed = |v: &Value| {
        v["segments"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|s| s["state"] == "closed")
            .count()
            >= 3
    };
    let segments = server.until("/api/v1/cameras/front/segments", closed).await;
    let first = &segments["segments"][0];
    let begin: nvr_core::Timestamp = first["start"].as_str().unwrap().parse().unwrap();
    let at = |ms: i64| begin.add_ns(ms * 1_000_000).to_string();
    // One second out of the first segment.
    let (from, to) = (at(1000), at(2000));
    let wish =
        |camera: &str, expires: u64| json!({"camera": camera, "from": from, "to": to, "expires": expires});
    assert_problem(&share(&server, wish("nowhere", 600)).await, 404, "not_found");
    assert_problem(&share(&server, wish("front", 1)).await, 400, "invalid_argument");
    let made = share(&server, wish("front", 600)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let url = made["url"].as_str().unwrap();
    let lead = format!("http://{}/share/", server.address);
    let token = url.strip_prefix(&lead).unwrap_or_else(|| panic!("{url}"));
    let base = format!("/api/v1/shares/{token}");
    let about = server.json(&base).await;
    assert_eq!(
        (&about["camera"], &about["from"], &about["to"]),
        (&json!("front"), &json!(from), &json!(to))
    );
    let (seconds, _) = probe(&server.url(&format!("{base}/export.mp4"))).await;
    assert!(seconds < 3.0, "{seconds}");
    assert_eq!(
        server
            .get(&format!("{base}/snapshot.jpg"))
            .await
            .header("content-type"),
        Some("image/jpeg")
    );
    for outside in [
        format!("{base}/export.mp4?from={}", at(0)),
        format!("{base}/export.mp4?to={}", at(2500)),
        format!("{base}/vod.m3u8?from={}&to={}", at(0), at(2000)),
        format!("{base}/snapshot.jpg?at={}", at(2000)),
    ] {
        assert_problem(&server.get(&outside).await, 403, "forbidden");
    }
    // HLS plays, out of files in which the rest is missing.
    let (seconds, _) = probe(&server.url(&format!("{base}/vod.m3u8"))).await;
    assert!(seconds < 3.0, "{seconds}");
    let id = &first["id"];
    let whole = server.get(&format!("/api/v1/segments/{id}")).await;
    let masked = server.get(&format!("{base}/segments/{id}.mp4")).await;
    assert_eq!(masked.status, 200);
    assert_eq!(whole.body.len(), masked.body.len());
    let differing = whole
        .body
        .iter()
        .zip(&masked.body)
        .filter(|(a, b)| a != b)
        .count();
    assert!(
        differing > whole.body.len() / 4,
        "{differing} of {}",
        whole.body.len()
    );
    assert!(
        whole
            .body
            .iter()
            .zip(&masked.body)
            .all(|(a, b)| a == b || *b == 0)
    );
    let other = &segments["segments"][1]["id"];
    assert_problem(
        &server.get(&format!("{base}/segments/{other}.mp4")).await,
        404,
        "not_found",
    );
    let yard = server.json("/api/v1/cameras/yard/segments").await;
    let yard = &yard["segments"][0]["id"];
    assert_problem(
        &server.get(&format!("{base}/segments/{yard}.mp4")).await,
        404,
        "not_found",
    );
    // It is in the list, without what opens it, until it is ended.
    let listed = server.get("/api/v1/shares").await;
    assert_eq!(listed.json()[0]["id"], made["id"]);
    assert!(!listed.text().contains(token));
    let path = format!("/api/v1/shares/{}", made["id"]);
    assert_eq!(server.ask(Method::DELETE, &path, &[], None).await.status, 204);
    assert_problem(&server.get(&base).await, 404, "not_found");
    assert_problem(&server.get(&format!("{base}/export.mp4")).await, 404, "not_found");
    server.end().await;
}
