//! The configuration over HTTP: shown, changed, refused.

use nvr_core::CameraId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{PICTURE, Server, assert_problem, camera};

const CONFIG: &str = "/api/v1/config";

fn file_of(server: &Server) -> String {
    std::fs::read_to_string(server.dir.path().join("nvr.toml")).unwrap()
}

async fn start() -> Server {
    Server::of_file(&format!(
        "\n# The house.\n[[cameras]]\nid = \"front\" # door\nsource = \"{PICTURE}\"\n\n[[cameras]]\nid = \"cam\"\n\
         source = \"rtsp://admin:hunter2@127.0.0.1:1/x\"\nenabled = false\n"
    ))
    .await
}

#[track_caller]
fn paths(reply: &crate::support::Reply) -> Vec<String> {
    assert_problem(reply, 422, "config");
    let errors = reply.json()["errors"].as_array().unwrap().clone();
    assert!(errors.iter().all(|e| !e["message"].as_str().unwrap().is_empty()));
    let mut paths: Vec<_> = errors
        .iter()
        .map(|e| e["path"].as_str().unwrap().to_owned())
        .collect();
    paths.sort_unstable();
    paths
}

async fn run_of(server: &Server, camera: &str) -> Value {
    server.state(camera, "recording").await["run"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_written_and_in_force_and_touches_nothing_else() {
    let server = start().await;
    let before = server.json(CONFIG).await;
    assert_eq!(
        before["config"]["cameras"][1]["source"],
        "rtsp://admin:***@127.0.0.1:1/x"
    );
    assert_eq!(before["problems"], json!([]));
    let run = server.state("front", "recording").await;
    let since = run["since"].clone();

    let added = server
        .order(
            Method::POST,
            "/api/v1/cameras",
            &json!({ "id": "yard", "source": PICTURE, "record": "manual" }),
        )
        .await;
    assert_eq!(added.status, 201, "{}", added.text());
    assert_eq!(added.json()["id"], "yard");
    server.state("yard", "standby").await;
    assert!(file_of(&server).ends_with(&format!(
        "enabled = false\n\n[[cameras]]\nid = \"yard\"\nsource = \"{PICTURE}\"\nrecord = \"manual\"\n"
    )));

    let change = json!({ "version": before["version"], "changes": { "recording": { "segment": "1m" } } });
    assert_problem(
        &server.order(Method::PATCH, CONFIG, &change).await,
        409,
        "conflict",
    );
    let now = server.json(CONFIG).await;
    let change = json!({ "version": now["version"], "changes": {
        "cameras": { "yard": { "name": "Yard" } }, "http": { "request_timeout": "31s" } } });
    let reply = server.order(Method::PATCH, CONFIG, &change).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = reply.json();
    assert_eq!(
        reply["changed"],
        json!(["cameras.yard.name", "http.request_timeout"])
    );
    assert_eq!(reply["needs_restart"], json!(["http"]));
    assert_ne!(reply["version"], now["version"]);
    assert_eq!(server.json("/api/v1/cameras/yard").await["name"], "Yard");

    let reply = server
        .order(
            Method::PATCH,
            "/api/v1/cameras/cam",
            &json!({ "source": "rtsp://admin:***@127.0.0.1:2/x" }),
        )
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(file_of(&server).contains("rtsp://admin:hunter2@127.0.0.1:2/x"));
    assert!(!reply.text().contains("hunter2"));

    // The first camera went on all the time.
    let front = server.json("/api/v1/cameras/front").await;
    assert_eq!((&front["state"], &front["since"]), (&json!("recording"), &since));
    assert!(file_of(&server).contains("# The house.\n[[cameras]]\nid = \"front\" # door\n"));

    let events = server
        .until("/api/v1/events?kind=config_changed&order=asc", |e| {
            e["events"].as_array().unwrap().len() == 3
        })
        .await;
    assert_eq!(events["events"][0]["camera"], "yard", "{events:#}");
    assert_eq!(
        events["events"][1]["detail"]["paths"],
        json!(["cameras.yard.name", "http.request_timeout"])
    );
    assert!(!events.to_string().contains("hunter2"));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn footage_of_a_removed_camera_stays() {
    let server = start().await;
    server.recorded("front", 2.0).await;
    let reply = server
        .ask(Method::DELETE, "/api/v1/cameras/front", &[], None)
        .await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    assert_problem(&server.get("/api/v1/cameras/front").await, 404, "not_found");
    assert!(!file_of(&server).contains("front") && !file_of(&server).contains("The house"));
    let timeline = server.recorded("front", 2.0).await;
    assert_eq!(timeline["ranges"].as_array().unwrap().len(), 1, "{timeline:#}");
    let again = server
        .ask(Method::DELETE, "/api/v1/cameras/front", &[], None)
        .await;
    assert_problem(&again, 404, "not_found");
    // Added again, it goes on where it was.
    let reply = server
        .order(
            Method::POST,
            "/api/v1/cameras",
            &json!({ "id": "front", "source": PICTURE }),
        )
        .await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    run_of(&server, "front").await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_at_their_field_and_nothing_is_written() {
    let server = start().await;
    let before = file_of(&server);
    let post = async |body: Value| server.order(Method::POST, "/api/v1/cameras", &body).await;
    assert_eq!(
        paths(&post(json!({ "id": "a b" })).await),
        ["cameras.a b.id", "cameras.a b.source"]
    );
    assert_eq!(paths(&post(json!({ "source": "test:" })).await), ["cameras.id"]);
    assert_eq!(
        paths(&post(json!({ "id": "x", "source": "file:/etc/passwd" })).await),
        ["cameras.x.source"]
    );
    assert_eq!(
        paths(&post(json!({ "id": "x", "source": "rtsp://h/", "user": "u", "password": "${HOME}" })).await),
        ["cameras.x.password"]
    );
    assert_problem(
        &post(json!({ "id": "front", "source": "test:" })).await,
        409,
        "already_exists",
    );
    assert_problem(&post(json!([1])).await, 400, "invalid_argument");
    let patch = async |path: &str, body: Value| server.order(Method::PATCH, path, &body).await;
    assert_eq!(
        paths(
            &patch(
                "/api/v1/cameras/front",
                json!({ "segment": "1s", "wathdog": "1m", "id": "b" })
            )
            .await
        )
        .len(),
        3
    );
    assert_problem(&patch("/api/v1/cameras/none", json!({})).await, 404, "not_found");
    assert_eq!(
        paths(
            &patch(
                CONFIG,
                json!({ "changes": { "log": { "level": 1 }, "cameras": { "none": null } } })
            )
            .await
        )
        .len(),
        2
    );
    assert_eq!(file_of(&server), before);
    let schema = server.json("/api/v1/config/schema").await;
    assert_eq!(
        schema["$defs"]["Camera"]["properties"]["password"]["writeOnly"],
        true
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_nothing_can_be_changed() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    assert_problem(&server.get(CONFIG).await, 409, "conflict");
    let change = json!({ "changes": {} });
    assert_problem(
        &server.order(Method::PATCH, CONFIG, &change).await,
        409,
        "conflict",
    );
    let reply = server
        .ask(Method::DELETE, "/api/v1/cameras/front", &[], None)
        .await;
    assert_problem(&reply, 409, "conflict");
    assert!(server.nvr.camera(&CameraId::new("front").unwrap()).is_ok());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_can_be_saved_and_is_one() {
    let server = Server::of_file("# ours\n").await;
    let reply = server.post("/api/v1/backup").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/gzip"));
    let name = reply.header("content-disposition").unwrap();
    assert!(
        name.contains("nvr-backup-2") && name.ends_with("Z.tar.gz\""),
        "{name}"
    );
    let left = std::fs::read_dir(server.dir.path().join("recordings"))
        .unwrap()
        .flatten();
    let left = left.filter(|e| e.file_name().to_string_lossy().contains("backup"));
    assert_eq!(left.count(), 0);
    // While it runs it is not restored.
    let restore = nvr_core::backup::Restore::new(server.dir.path().join("nvr.toml"));
    let clock = nvr_core::clock::SystemClock::shared();
    let error = restore.run(reply.body.as_slice(), &clock).unwrap_err();
    assert_eq!(error.kind(), nvr_core::ErrorKind::Conflict);
    server.end().await;

    let without = Server::of([], |_| {}).await;
    assert_problem(&without.post("/api/v1/backup").await, 409, "conflict");
    without.end().await;
}
