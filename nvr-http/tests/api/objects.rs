//! How looking for objects fares.

use nvr_core::config::ObjectsConfig;
use nvr_core::testing::{BRIGHT_LABEL, bright_model};
use serde_json::{Value, json};

use crate::support::{Server, camera};

const PICTURE: &str = "test:?size=640x360&fps=10&gop=10&audio=0&pattern=mover&still=3&moving=4";

async fn state(server: &Server, wanted: &str) -> Value {
    server
        .until("/api/v1/objects", |status| status["state"] == wanted)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_asked_for_them() {
    let server = Server::start().await;
    let status = server.json("/api/v1/objects").await;
    assert_eq!(
        (&status["state"], &status["model"], &status["cameras"]),
        (&json!("off"), &Value::Null, &json!([]))
    );
    assert_eq!(status["built_in"], nvr_core::objects::BUILT_IN);
    let metrics = server.get("/metrics").await;
    assert!(
        !metrics.text().contains("nvr_objects_ready"),
        "{}",
        metrics.text()
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_not_there_is_told_with_what_to_do() {
    let server = Server::of([camera("yard", PICTURE)], |config| {
        config.objects = Some(ObjectsConfig::new("/no/such/model.onnx"));
    })
    .await;
    let status = state(&server, "failed").await;
    assert_eq!(status["model"], "/no/such/model.onnx");
    let words = status["trouble"].as_str().unwrap();
    assert!(words.contains("objects are not looked for"), "{words}");
    assert!(status["trouble_since"].is_string(), "{status}");
    let metrics = server.get("/metrics").await;
    assert!(
        metrics.text().contains("nvr_objects_ready 0"),
        "{}",
        metrics.text()
    );
    server.end().await;
}

fn timestamp(text: &serde_json::Value) -> nvr_core::Timestamp {
    text.as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_is_listed_by_kind_and_label_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bright.onnx");
    std::fs::write(&file, bright_model()).unwrap();
    let mut yard = camera("yard", PICTURE);
    yard.motion.enabled = true;
    yard.motion.cool_down = std::time::Duration::from_secs(1);
    let server = Server::of([yard], |config| {
        let mut objects = ObjectsConfig::new(&file);
        objects.threshold = 0.65;
        config.objects = Some(objects);
    })
    .await;
    let status = state(&server, "ready").await;
    assert_eq!(
        (&status["input"], &status["labels"]),
        (&json!([64, 64]), &json!([BRIGHT_LABEL]))
    );
    let label = BRIGHT_LABEL.replace(' ', "%20");
    let list = format!("/api/v1/detections?kind=object&label={label}");
    let page = server
        .until(&list, |page| page["detections"].get(0).is_some())
        .await;
    let seen = &page["detections"][0];
    assert_eq!(
        (&seen["camera"], &seen["kind"]),
        (&json!("yard"), &json!("object"))
    );
    assert_eq!(seen["data"]["box"].as_array().map(Vec::len), Some(4), "{seen}");
    // Its picture is the very frame in which it was found, and none of before.
    let place = format!("/api/v1/detections/{}", seen["id"]);
    let start = std::time::Instant::now();
    let (best, shown) = loop {
        let picture = server.get(&format!("{place}/thumbnail?width=64")).await;
        // It may be seen better meanwhile.
        let best = server.json(&place).await["best_at"].clone();
        let name = format!("-{}-64", timestamp(&best).as_ns());
        if picture.header("etag").is_some_and(|tag| tag.contains(&name)) {
            break (
                timestamp(&best),
                timestamp(&json!(picture.header("x-frame-time"))),
            );
        }
        assert!(start.elapsed() < crate::support::PATIENCE, "{}", picture.text());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert!(shown.since(best).abs() < 1_000_000, "{shown} is shown for {best}");
    let none = server.json("/api/v1/detections?kind=object&label=cat").await;
    assert_eq!(none["detections"], json!([]));
    // The same as an event.
    let events = "/api/v1/events?kind=detection_started&detection=object";
    let page = server.until(events, |page| page["events"].get(0).is_some()).await;
    let happened = &page["events"][0];
    assert_eq!(
        happened["detail"]["detection"]["label"], BRIGHT_LABEL,
        "{happened}"
    );
    let figures = server.json("/api/v1/objects").await["cameras"][0].clone();
    assert!(
        figures["pictures"].as_u64() > Some(0) && figures["found"].as_u64() > Some(0),
        "{figures}"
    );
    let metrics = server.get("/metrics").await;
    assert!(
        metrics.text().contains("nvr_objects_ready 1"),
        "{}",
        metrics.text()
    );
    assert!(
        metrics
            .text()
            .contains("nvr_objects_found_total{camera_id=\"yard\"}"),
        "{}",
        metrics.text()
    );
    server.end().await;
}
