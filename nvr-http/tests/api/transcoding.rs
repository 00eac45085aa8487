//! Encoding footage again: asked for, switched on and off, told.

use reqwest::Method;
use serde_json::json;

use crate::support::{PICTURE, Server, camera};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_for_switched_and_told() {
    let server = Server::of([camera("front", PICTURE)], |config| {
        config.transcode.after = std::time::Duration::from_secs(86_400);
        config.jobs.max_load_percent = 0;
    })
    .await;
    let path = "/api/v1/transcoding";
    let status = server.json(path).await;
    assert_eq!(status, json!({ "enabled": false, "cameras": [] }));
    for (word, enabled) in [("enable", true), ("disable", false)] {
        let reply = server.post(&format!("{path}/{word}")).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["enabled"]),
            (200, &json!(enabled))
        );
        assert_eq!(server.json(path).await["enabled"], enabled);
    }
    let metrics = server.get("/metrics").await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("nvr_transcoding_enabled 0.0"));

    let ask =
        |from: &str, camera: &str| json!({ "camera": camera, "from": from, "to": "2100-01-01T00:00:00Z" });
    for (body, status) in [
        (ask("1970-01-01T00:00:00Z", "nobody"), 404),
        (ask("yesterday", "front"), 400),
        (ask("1970-01-01T00:00:00Z", "FRONT!"), 400),
        (json!({ "camera": "front" }), 422),
    ] {
        let text = body.to_string();
        let reply = server
            .ask(
                Method::POST,
                path,
                &[("content-type", "application/json")],
                Some(text.clone().into_bytes()),
            )
            .await;
        let found = reply.status.as_u16();
        assert!(
            found == status || (status == 422 && found == 400),
            "{text}: {found}"
        );
    }
}
