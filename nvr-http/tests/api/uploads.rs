//! Uploads: how targets stand, asking for more, copies, links, bringing back.

use nvr_core::config::{UploadConfig, UploadPlace, UploadWhat};
use serde_json::Value;

use crate::support::{PICTURE, Server, assert_problem, camera};

const WHOLE: &str = "from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn footage_goes_when_it_is_asked_for() {
    let nas = tempfile::tempdir().unwrap();
    let server = Server::of([camera("front", PICTURE)], |config| {
        let mut target = UploadConfig::new("nas", UploadPlace::Folder(nas.path().to_owned()));
        target.what = UploadWhat::Protected;
        config.uploads.push(target);
    })
    .await;
    server.history().await;
    let count = |targets: &Value, state: &str| {
        let counts = targets[0]["counts"].as_array().unwrap();
        let of_state = counts.iter().find(|c| c["state"] == state);
        of_state.map_or(0, |c| c["segments"].as_u64().unwrap())
    };
    let targets = server.json("/api/v1/uploads").await;
    assert_eq!(
        (&targets[0]["name"], &targets[0]["open"]),
        (&"nas".into(), &true.into())
    );
    assert_eq!(count(&targets, "done"), 0);

    let reply = server
        .post(&format!("/api/v1/cameras/front/upload?{WHOLE}"))
        .await;
    let wanted = reply.json()["segments"].as_u64().unwrap();
    assert!(wanted > 0, "{}", reply.text());
    server
        .until("/api/v1/uploads", |t| count(t, "done") == wanted)
        .await;
    let page = server.json("/api/v1/uploads/nas?state=done&limit=1").await;
    let upload = &page["uploads"][0];
    let key = upload["key"].as_str().unwrap();
    assert!(key.starts_with("front/"), "{key}");
    let segment = &upload["segment"];
    let here = server.get(&format!("/api/v1/segments/{segment}")).await;
    assert!(std::fs::read(nas.path().join(key)).unwrap() == here.body);
    let copies = server.json(&format!("/api/v1/segments/{segment}/copies")).await;
    assert_eq!(copies[0]["state"], "done");

    // A folder has no addresses for others.
    let link = |query: &str| format!("/api/v1/segments/{segment}/link?{query}");
    assert_problem(&server.post(&link("expires=60")).await, 501, "unsupported");
    assert_problem(&server.post(&link("expires=0")).await, 400, "invalid_argument");
    assert_problem(&server.post(&link("expires=60&target=x")).await, 404, "not_found");
    assert_problem(&server.get("/api/v1/uploads/x").await, 404, "not_found");
    assert_problem(
        &server.get("/api/v1/uploads/nas?state=x").await,
        400,
        "invalid_argument",
    );
    assert_eq!(
        server.post("/api/v1/uploads/nas/retry").await.json()["segments"],
        0
    );
    // Nothing is remote: the job has nothing to do.
    let job = server
        .post(&format!("/api/v1/cameras/front/restore?{WHOLE}"))
        .await;
    assert_eq!(job.json()["kind"], "restore", "{}", job.text());

    let metrics = server.get("/metrics").await;
    for line in [
        format!("camera_segments_uploaded_total{{camera_id=\"front\"}} {wanted}"),
        "camera_upload_failures_total{camera_id=\"front\"} 0".into(),
        format!("camera_segment_upload_duration_seconds_count{{camera_id=\"front\"}} {wanted}"),
        "nvr_upload_trouble{target=\"nas\"} 0".into(),
    ] {
        assert!(metrics.text().contains(&line), "{line}\n{}", metrics.text());
    }
}
