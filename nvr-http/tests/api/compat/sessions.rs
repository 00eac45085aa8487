//! The recorder that opens sessions: every request of its documentation, field by field.

use base64::Engine as _;
use futures_util::StreamExt;
use nvr_core::config::{Auth, Compat};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{PATIENCE, PICTURE, Server, camera, manual, probe};

const SOURCE: &str = "test:?size=320x240&fps=10&gop=5&pattern=ball";

async fn started() -> Server {
    Server::of([manual("front"), camera("yard", SOURCE)], |c| {
        c.http.compat = vec![Compat::Sessions];
    })
    .await
}

#[track_caller]
fn keys(value: &Value, wanted: &[&str]) {
    let mut found: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted = wanted.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "{value}");
}

async fn order(server: &Server, path: &str, body: Value) -> Value {
    let reply = server.order(Method::POST, path, &body).await;
    assert_eq!(reply.status, 200, "{path} {body}: {}", reply.text());
    reply.json()
}

#[track_caller]
fn is_naive(value: &Value) {
    let text = value.as_str().unwrap();
    assert!(
        text.parse::<jiff::civil::DateTime>().is_ok() && !text.ends_with('Z'),
        "{text}"
    );
}

async fn open(server: &Server, url: &str) -> Value {
    let opened = order(server, "/session/open", json!({"url": url})).await;
    keys(
        &opened,
        &[
            "session_id",
            "source_url",
            "local_rtsp_url",
            "verified",
            "source_type",
            "created_at",
        ],
    );
    is_naive(&opened["created_at"]);
    opened
}

fn id(session: &Value) -> &str {
    session["session_id"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_from_opening_to_its_video() {
    let server = started().await;
    server.state("front", "standby").await;
    let session = open(&server, "front").await;
    let uuid: Vec<usize> = id(&session).split('-').map(str::len).collect();
    assert_eq!(uuid, [8, 4, 4, 4, 12]);
    assert_eq!(
        (&session["verified"], &session["source_type"]),
        (&json!(true), &json!("test"))
    );
    assert!(session["source_url"].as_str().unwrap().starts_with("test:"));
    // It plays where that recorder's address would.
    let live = session["local_rtsp_url"].as_str().unwrap();
    assert_eq!(live, server.url("/api/v1/cameras/front/live.m3u8"));

    let list = server.json("/session/list").await;
    let wanted = json!({
        "sessions": [{
            "session_id": session["session_id"], "source_url": session["source_url"], "source_type": "test",
            "local_rtsp_url": live, "recording": false, "preview_active": false,
            "created_at": session["created_at"],
        }],
        "count": 1,
        "max_sessions": 16,
    });
    assert_eq!(list, wanted);

    preview(&server, id(&session)).await;
    record(&server, id(&session)).await;

    let closed = order(&server, "/session/close", json!({"session_id": id(&session)})).await;
    assert_eq!(closed, json!({"status": "closed", "session_id": id(&session)}));
    assert_eq!(server.json("/session/list").await["count"], 0);
    server.end().await;
}

async fn preview(server: &Server, session: &str) {
    let address = format!("ws://{}/stream?session_id={session}", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(address).await.unwrap();
    for number in 1..=3 {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
        let Some(Ok(Message::Text(text))) = message else {
            panic!("{message:?}")
        };
        let frame: Value = serde_json::from_str(&text).unwrap();
        keys(&frame, &["type", "data", "timestamp", "frame_number"]);
        assert_eq!(
            (&frame["type"], &frame["frame_number"]),
            (&json!("frame"), &json!(number))
        );
        let jpeg = base64::engine::general_purpose::STANDARD
            .decode(frame["data"].as_str().unwrap())
            .unwrap();
        assert!(jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]));
        let now = server.nvr.clock().now().as_secs_f64();
        let taken = frame["timestamp"].as_f64().unwrap();
        assert!((now - taken).abs() < 120.0, "{taken} at {now}");
    }
    let active = |wanted: bool| move |list: &Value| list["sessions"][0]["preview_active"] == wanted;
    server.until("/session/list", active(true)).await;
    drop(socket);
    server.until("/session/list", active(false)).await;

    let address = format!("ws://{}/stream?session_id=none", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(address).await.unwrap();
    let message = socket.next().await.unwrap().unwrap();
    let said: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
    assert_eq!(said, json!({"error": "Session not found"}));
}

async fn record(server: &Server, session: &str) {
    let idle = server.json(&format!("/record/status/{session}")).await;
    let wanted = json!({
        "session_id": session, "recording": false, "duration_seconds": null, "elapsed_seconds": null,
        "output_path": null,
    });
    assert_eq!(idle, wanted);
    assert_eq!(server.json("/videos").await, json!({"videos": [], "count": 0}));

    let wish = json!({"session_id": session, "duration_seconds": 600});
    let started = order(server, "/record/start", wish.clone()).await;
    keys(
        &started,
        &["status", "session_id", "duration_seconds", "output_path"],
    );
    assert_eq!(
        (&started["status"], &started["duration_seconds"]),
        (&json!("recording"), &json!(600))
    );
    let again = server.order(Method::POST, "/record/start", &wish).await;
    assert_eq!(again.status, 400);
    assert_eq!(again.json(), json!({"detail": "Recording already in progress"}));
    let status = server.json(&format!("/record/status/{session}")).await;
    assert_eq!(
        (&status["recording"], &status["output_path"]),
        (&json!(true), &started["output_path"])
    );
    assert!(status["elapsed_seconds"].is_number() && status["duration_seconds"] == 600);
    assert_eq!(
        server.json("/session/list").await["sessions"][0]["recording"],
        true
    );

    server.recorded("front", 2.0).await;
    let stopped = order(server, "/record/stop", json!({"session_id": session})).await;
    keys(&stopped, &["status", "session_id", "message"]);
    assert_eq!(stopped["status"], "stopped");
    let again = server
        .order(Method::POST, "/record/stop", &json!({"session_id": session}))
        .await;
    assert_eq!(again.status, 400);
    assert_eq!(again.json(), json!({"detail": "No recording in progress"}));

    let videos = server.until("/videos", |v| v["count"] == 1).await;
    let video = &videos["videos"][0];
    keys(video, &["filename", "size", "created", "modified"]);
    is_naive(&video["created"]);
    is_naive(&video["modified"]);
    let name = video["filename"].as_str().unwrap();
    assert_eq!(stopped["message"], format!("Recording stopped: videos/{name}"));
    let whole = server.get(&format!("/videos/{name}")).await;
    assert_eq!(whole.body.len() as u64, video["size"].as_u64().unwrap());
    assert_eq!(whole.header("content-type"), Some("video/mp4"));
    let (length, frames) = probe(&server.url(&format!("/videos/{name}"))).await;
    assert!(frames >= 15 && length >= 1.5, "{frames} frames, {length} s");
    // Also under the name that was told at its beginning.
    let path = format!("/{}", started["output_path"].as_str().unwrap());
    let same = server.get_with(&path, &[("range", "bytes=0-7")]).await;
    assert_eq!((same.status.as_u16(), &same.body[4..]), (206, &b"ftyp"[..]));
    for bad in ["/videos/x.mp4", "/videos/..%2Fnvr.db", "/videos/front_job999.mp4"] {
        let reply = server.get(bad).await;
        assert_eq!(reply.status, 404, "{bad}");
        assert_eq!(reply.json(), json!({"detail": "Video not found"}), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_ends_by_itself_and_marks_what_is_recorded_anyway() {
    let server = started().await;
    server.recorded("yard", 1.0).await;
    let session = open(&server, SOURCE).await;
    assert_eq!(
        session["local_rtsp_url"],
        server.url("/api/v1/cameras/yard/live.m3u8")
    );
    let wish = json!({"session_id": id(&session), "duration_seconds": 2});
    order(&server, "/record/start", wish).await;
    let status = format!("/record/status/{}", id(&session));
    server.until(&status, |s| s["recording"] == false).await;
    let videos = server.until("/videos", |v| v["count"] == 1).await;
    let name = videos["videos"][0]["filename"].as_str().unwrap();
    let (length, _) = probe(&server.url(&format!("/videos/{name}"))).await;
    assert!((1.0..4.0).contains(&length), "{length} s of 2");
    assert_eq!(
        server.json("/api/v1/cameras/yard").await["state"],
        "recording",
        "the camera goes on"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_its_own_is_a_camera_as_long_as_its_session() {
    let server = started().await;
    let source = "test:?size=160x120&fps=10&gop=10&audio=0";
    let session = open(&server, source).await;
    assert_eq!(session["verified"], true);
    let camera = format!("session-{}", &id(&session)[..8]);
    server.state(&camera, "standby").await;
    preview_begins(&server, id(&session)).await;
    let closed = json!({"session_id": id(&session)});
    order(&server, "/session/close", closed.clone()).await;
    let gone = server.get(&format!("/api/v1/cameras/{camera}")).await;
    assert_eq!(gone.status, 404);
    let again = server.order(Method::POST, "/session/close", &closed).await;
    assert_eq!(again.status, 400);
    let detail = format!("Session {} not found", id(&session));
    assert_eq!(again.json(), json!({"detail": detail}));

    for (body, status) in [
        (json!({"url": "file:/etc/passwd"}), 400),
        (json!({"url": "gopher://x/"}), 400),
        (json!({"url": "rtsp://127.0.0.1:1/"}), 400),
        (json!({"link": "x"}), 422),
    ] {
        let reply = server.order(Method::POST, "/session/open", &body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
        assert!(!reply.json()["detail"].as_str().unwrap().is_empty(), "{body}");
    }
    assert_eq!(server.json("/session/list").await["count"], 0);
    assert_eq!(server.json("/api/v1/cameras").await.as_array().unwrap().len(), 2);
    server.end().await;
}

async fn preview_begins(server: &Server, session: &str) {
    let address = format!("ws://{}/stream?session_id={session}", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(address).await.unwrap();
    let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
    assert!(message.unwrap().unwrap().to_text().unwrap().contains("\"frame\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_behind_accounts() {
    let server = Server::of([camera("front", PICTURE), camera("yard", SOURCE)], |c| {
        c.http.auth = Auth::Accounts;
        c.http.compat = vec![Compat::Sessions];
    })
    .await;
    use nvr_core::accounts::{CameraSet, NewAccount, Role};
    let only = |id: &str| CameraSet::only([id.parse().unwrap()]);
    for (name, role, cameras) in [
        ("root", Role::Admin, CameraSet::all()),
        ("otto", Role::Operator, only("front")),
        ("vera", Role::Viewer, only("yard")),
    ] {
        let new = NewAccount {
            name: name.parse().unwrap(),
            password: nvr_core::secret::Secret::new("correct horse battery"),
            role,
            cameras,
        };
        server.nvr.accounts().add_user(new).await.unwrap();
    }
    let basic = |name: &str| {
        let pair = format!("{name}:correct horse battery");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let post = async |who: &str, path: &str, body: Value| {
        let who = basic(who);
        let headers = [
            ("authorization", who.as_str()),
            ("content-type", "application/json"),
        ];
        server
            .ask(Method::POST, path, &headers, Some(body.to_string().into_bytes()))
            .await
    };
    assert_eq!(server.get("/session/list").await.status, 401);
    assert_eq!(server.get("/videos").await.status, 401);
    let opened = post("otto", "/session/open", json!({"url": "front"})).await;
    assert_eq!(opened.status, 200, "{}", opened.text());
    let session = opened.json()["session_id"].as_str().unwrap().to_owned();
    // Another camera's source is for him as if there were none, and he may not add one.
    for url in ["yard", SOURCE, "rtsp://127.0.0.1:1/"] {
        let refused = post("otto", "/session/open", json!({"url": url})).await;
        assert!(
            matches!(refused.status.as_u16(), 400 | 403),
            "{url}: {}",
            refused.text()
        );
    }
    // She sees neither his session nor its preview, and may give no orders.
    let vera = basic("vera");
    let hers = server
        .get_with("/session/list", &[("authorization", &vera)])
        .await;
    assert_eq!(hers.json()["count"], 0);
    let status = format!("/record/status/{session}");
    assert_eq!(
        server.get_with(&status, &[("authorization", &vera)]).await.status,
        400
    );
    assert_eq!(
        post("vera", "/session/open", json!({"url": "yard"})).await.status,
        403
    );
    let stream = async |who: Option<&str>| {
        let address = format!("ws://{}/stream?session_id={session}", server.address);
        let mut request = address.into_client_request().unwrap();
        if let Some(who) = who {
            let value = basic(who).parse().unwrap();
            request.headers_mut().insert("authorization", value);
        }
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
        Ok::<_, tokio_tungstenite::tungstenite::Error>(message.unwrap()?.to_text()?.to_owned())
    };
    let refused = stream(None).await.unwrap_err().to_string();
    assert!(refused.contains("401"), "{refused}");
    assert!(stream(Some("vera")).await.unwrap().contains("Session not found"));
    assert!(stream(Some("otto")).await.unwrap().contains("\"frame\""));
    server.end().await;
}
