//! The recorder with a Flask page: every request of its documentation, field by field.

use nvr_core::Timestamp;
use nvr_core::config::{Auth, Compat};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{PICTURE, Server, assert_problem, camera, probe};

async fn started() -> Server {
    let mut gate = camera("gate", "test:?size=320x240&fps=10&gop=10");
    gate.name = "At the gate".into();
    gate.enabled = false;
    Server::of([camera("front", PICTURE), gate], |c| {
        c.http.compat = vec![Compat::Flask];
        c.recorder.time_zone = "Europe/Berlin".into();
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

/// Local, without a zone: `2026-05-04T05:02:01.250000`.
#[track_caller]
fn naive(value: &Value) -> jiff::civil::DateTime {
    let text = value.as_str().unwrap();
    assert!(!text.ends_with('Z') && !text[10..].contains(['+', '-']), "{text}");
    text.parse().unwrap()
}

fn berlin(t: Timestamp) -> jiff::civil::DateTime {
    t.to_jiff()
        .to_zoned(jiff::tz::TimeZone::get("Europe/Berlin").unwrap())
        .datetime()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_page_finds_status_cameras_and_files() {
    let server = started().await;
    server.history().await;
    status(&server).await;
    machine(&server).await;
    let file = recordings(&server).await;
    files(&server, &file).await;
    server.end().await;
}

async fn status(server: &Server) {
    server.until("/api/status", |s| s["recording"] == true).await;
    let status = server.json("/api/status").await;
    keys(
        &status,
        &[
            "timestamp",
            "uptime",
            "recording",
            "ffmpeg_processes",
            "processes",
            "transcoding_enabled",
        ],
    );
    let off = naive(&status["timestamp"])
        .since(berlin(server.nvr.clock().now()))
        .unwrap()
        .total(jiff::Unit::Second)
        .unwrap();
    assert!(off.abs() < 120.0, "{status}");
    let uptime = status["uptime"].as_str().unwrap();
    let units: Vec<char> = uptime.split(' ').map(|p| p.chars().last().unwrap()).collect();
    assert_eq!(units, ['d', 'h', 'm'], "{uptime}");
    assert_eq!(
        (&status["ffmpeg_processes"], &status["processes"]),
        (&json!(1), &json!([]))
    );
    assert_eq!(status["transcoding_enabled"], false);

    let cameras = server.json("/api/cameras").await;
    let wanted = json!([{
        "id": "front", "name": "front", "device": cameras[0]["device"], "resolution": "320x240",
        "framerate": 10.0, "format": "h264", "recording": true,
    }]);
    assert_eq!(cameras, wanted, "one that is disabled is left out");
    assert!(cameras[0]["device"].as_str().unwrap().starts_with("test:"));
}

async fn machine(server: &Server) {
    let storage = server.json("/api/storage").await;
    keys(
        &storage,
        &[
            "total",
            "used",
            "free",
            "percent",
            "total_gb",
            "used_gb",
            "free_gb",
            "camera_storage",
            "threshold",
            "low_space_warning",
        ],
    );
    let number = |v: &Value| v.as_f64().unwrap();
    assert_eq!(
        number(&storage["total"]),
        number(&storage["used"]) + number(&storage["free"])
    );
    let gb = number(&storage["total"]) / f64::from(1 << 30);
    assert!((number(&storage["total_gb"]) - gb).abs() < 0.01, "{storage}");
    let share = number(&storage["used"]) / number(&storage["total"]) * 100.0;
    assert!((number(&storage["percent"]) - share).abs() < 0.1, "{storage}");
    let (warning, threshold) = (
        number(&storage["low_space_warning"]),
        number(&storage["threshold"]),
    );
    assert!(warning <= threshold && threshold <= 100.0, "{storage}");
    let front = &storage["camera_storage"]["front"];
    keys(front, &["size", "size_gb", "file_count"]);
    assert!(number(&front["size"]) > 1000.0 && number(&front["file_count"]) >= 2.0);

    let cpu = server.json("/api/system/cpu").await;
    keys(&cpu, &["percent", "count"]);
    assert!((0.0..=100.0).contains(&number(&cpu["percent"])) && number(&cpu["count"]) >= 1.0);
    let memory = server.json("/api/system/memory").await;
    keys(&memory, &["total", "used", "percent", "available"]);
    assert_eq!(
        number(&memory["total"]),
        number(&memory["used"]) + number(&memory["available"])
    );
    assert!((0.0..=100.0).contains(&number(&memory["percent"])));

    let logs = server.json("/api/logs?lines=100").await;
    keys(&logs, &["count", "entries"]);
    assert_eq!(
        logs["count"].as_u64().unwrap() as usize,
        logs["entries"].as_array().unwrap().len()
    );

    let transcoding = server.json("/api/transcoding/status").await;
    let nothing = json!({
        "enabled": false, "running": false, "current_file": null, "in_schedule": false,
        "stats": {
            "files_transcoded": 0, "files_failed": 0, "space_saved_bytes": 0, "total_original_bytes": 0,
            "total_transcoded_bytes": 0, "last_transcoded": null, "last_error": null,
        },
    });
    assert_eq!(transcoding, nothing);
}

/// Gives the name of the newest file.
async fn recordings(server: &Server) -> String {
    let all = server.json("/api/recordings?camera=all&limit=50").await;
    keys(&all, &["count", "recordings"]);
    let list = all["recordings"].as_array().unwrap();
    assert_eq!(all["count"].as_u64().unwrap() as usize, list.len());
    assert!(list.len() >= 2, "{all}");
    let segments = server
        .json("/api/v1/cameras/front/segments?order=desc&limit=100")
        .await;
    let complete: Vec<&Value> = segments["segments"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|s| s["state"] == "closed")
        .collect();
    assert_eq!(list.len(), complete.len());
    for (recording, segment) in list.iter().zip(complete) {
        keys(
            recording,
            &[
                "camera",
                "filename",
                "size",
                "size_mb",
                "created",
                "created_formatted",
            ],
        );
        let start: Timestamp = segment["start"].as_str().unwrap().parse().unwrap();
        let end = start.add_ns((segment["duration_seconds"].as_f64().unwrap() * 1e9) as i64);
        assert_eq!(recording["camera"], "front");
        let name = berlin(start).strftime("front_%Y%m%d_%H%M%S").to_string();
        assert_eq!(recording["filename"], format!("{name}_{}.mp4", segment["id"]));
        assert_eq!(recording["size"], segment["size_bytes"]);
        let mb = recording["size"].as_f64().unwrap() / f64::from(1 << 20);
        assert!((recording["size_mb"].as_f64().unwrap() - mb).abs() <= 0.005);
        let off = naive(&recording["created"]).since(berlin(end)).unwrap();
        assert!(off.total(jiff::Unit::Second).unwrap().abs() < 0.01, "{recording}");
        let short = naive(&recording["created"])
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string();
        assert_eq!(recording["created_formatted"], short);
    }
    let one = server.json("/api/recordings?camera=front&limit=1").await;
    assert_eq!(one["count"], 1);
    assert_eq!(one["recordings"][0], list[0]);
    assert_problem(
        &server.get("/api/recordings?camera=A").await,
        400,
        "invalid_argument",
    );
    assert_eq!(server.json("/api/recordings?camera=nobody").await["count"], 0);
    list[0]["filename"].as_str().unwrap().to_owned()
}

async fn files(server: &Server, file: &str) {
    let path = format!("/api/download/front/{file}");
    let whole = server.get(&path).await;
    assert_eq!(whole.status, 200);
    assert_eq!(whole.header("content-type"), Some("video/mp4"));
    let saved = whole.header("content-disposition").unwrap();
    assert!(saved.starts_with("attachment") && saved.contains(file), "{saved}");
    let (_, frames) = probe(&server.url(&path)).await;
    assert!(frames >= 5, "{frames}");
    let part = server.get_with(&path, &[("range", "bytes=4-7")]).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"ftyp"[..]));

    // What is not exactly that name of that camera is not there, wherever it points.
    let id = file.strip_suffix(".mp4").unwrap().rsplit_once('_').unwrap().1;
    for bad in [
        "/api/download/gate/".to_owned() + file,
        format!("/api/download/front/x_{id}.mp4"),
        "/api/download/front/nvr.db".to_owned(),
        "/api/download/front/..%2F..%2Fnvr.db".to_owned(),
        "/api/download/..%2Ffront/".to_owned() + file,
    ] {
        let reply = server.get(&bad).await;
        assert_eq!(reply.status, 404, "{bad}: {}", reply.text());
        assert_eq!(reply.json(), json!({"error": "File not found"}), "{bad}");
    }

    let delete = |file: &str| format!("/api/delete/front/{file}");
    let none = server.ask(Method::DELETE, &delete("x_1.mp4"), &[], None).await;
    assert_eq!(none.status, 200);
    assert_eq!(none.json(), json!({"success": false, "error": "File not found"}));
    assert_eq!(
        server
            .post(&format!("/api/v1/segments/{id}/protect"))
            .await
            .status,
        200
    );
    let kept = server.ask(Method::DELETE, &delete(file), &[], None).await;
    assert_eq!(kept.status, 200);
    assert_eq!(kept.json()["success"], false);
    assert!(kept.json()["error"].as_str().unwrap().contains("protected"));
    let off = format!("/api/v1/segments/{id}/protect?off=true");
    assert_eq!(server.post(&off).await.status, 200);
    let gone = server.ask(Method::DELETE, &delete(file), &[], None).await;
    assert_eq!(
        gone.json(),
        json!({"success": true, "message": format!("Deleted {file}")})
    );
    assert_eq!(server.get(&path).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_page_gives_orders() {
    let server = started().await;
    server.state("front", "recording").await;
    let order = async |path: &str| {
        let reply = server.post(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    };
    let said = |message: &str| json!({"success": true, "message": message});
    assert_eq!(
        order("/api/camera/front/stop").await,
        said("Camera front stopped")
    );
    server.state("front", "stopped").await;
    assert_eq!(
        order("/api/camera/front/start").await,
        said("Camera front started")
    );
    server.state("front", "recording").await;
    for path in ["/api/camera/nobody/start", "/api/camera/nobody/stop"] {
        let wanted = json!({"success": false, "error": "Camera nobody not found"});
        assert_eq!(order(path).await, wanted);
    }
    assert_eq!(order("/api/stop_all").await, said("All cameras stopped"));
    server.state("front", "stopped").await;
    let started = order("/api/start_all").await;
    let wanted = json!({
        "success": true, "message": "Started 2/2 cameras", "results": {"front": true, "gate": true},
    });
    assert_eq!(started, wanted);
    server.state("front", "recording").await;

    let enabled = server.post("/api/transcoding/enable").await.json();
    // A machine without an H.265 encoder says so.
    if enabled["success"] == true {
        assert_eq!(enabled, said("Transcoding enabled"));
        assert_eq!(server.json("/api/transcoding/status").await["enabled"], true);
        assert_eq!(server.json("/api/status").await["transcoding_enabled"], true);
    } else {
        assert!(
            enabled["error"].as_str().is_some_and(|e| !e.is_empty()),
            "{enabled}"
        );
    }
    assert_eq!(
        order("/api/transcoding/disable").await,
        said("Transcoding disabled")
    );
    assert_eq!(server.json("/api/transcoding/status").await["enabled"], false);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_unless_wanted_and_behind_accounts() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    for path in [
        "/api/status",
        "/api/cameras",
        "/api/recordings",
        "/videos",
        "/session/list",
    ] {
        assert_problem(&server.get(path).await, 404, "not_found");
    }
    assert_eq!(
        server.get("/api/recordings/summary").await.status,
        200,
        "Frigate's"
    );
    server.end().await;

    let server = Server::of([camera("front", PICTURE), camera("yard", PICTURE)], |c| {
        c.http.auth = Auth::Accounts;
        c.http.compat = vec![Compat::Flask];
    })
    .await;
    let accounts = server.nvr.accounts();
    use nvr_core::accounts::{CameraSet, NewAccount, Role};
    use nvr_core::secret::Secret;
    for (name, role, cameras) in [
        ("root", Role::Admin, CameraSet::all()),
        ("vera", Role::Viewer, CameraSet::only(["front".parse().unwrap()])),
    ] {
        let new = NewAccount {
            name: name.parse().unwrap(),
            password: Secret::new("correct horse battery"),
            role,
            cameras,
        };
        accounts.add_user(new).await.unwrap();
    }
    let basic = |name: &str| {
        use base64::Engine as _;
        let pair = format!("{name}:correct horse battery");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let (root, vera) = (basic("root"), basic("vera"));
    let ask = async |who: &str, method: Method, path: &str| {
        server.ask(method, path, &[("authorization", who)], None).await
    };
    let nobody = server.get("/api/cameras").await;
    assert_problem(&nobody, 401, "login_needed");
    let ways: Vec<_> = nobody.headers.get_all("www-authenticate").iter().collect();
    assert!(
        ways.iter().any(|w| w.as_bytes().starts_with(b"Basic")),
        "{ways:?}"
    );
    let all = ask(&root, Method::GET, "/api/cameras").await.json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    let hers = ask(&vera, Method::GET, "/api/cameras").await.json();
    assert_eq!(hers.as_array().unwrap().len(), 1, "{hers}");
    let storage = ask(&vera, Method::GET, "/api/storage").await.json();
    assert!(storage["camera_storage"].get("yard").is_none(), "{storage}");
    assert_problem(
        &ask(&vera, Method::GET, "/api/recordings?camera=yard").await,
        404,
        "not_found",
    );
    for (method, path) in [
        (Method::POST, "/api/camera/front/stop"),
        (Method::POST, "/api/stop_all"),
        (Method::POST, "/api/transcoding/enable"),
        (Method::GET, "/api/logs"),
        (Method::GET, "/api/download/front/x_1.mp4"),
        (Method::DELETE, "/api/delete/front/x_1.mp4"),
    ] {
        assert_problem(&ask(&vera, method, path).await, 403, "forbidden");
    }
    // What was not done is not noted as done.
    ask(&root, Method::DELETE, "/api/delete/front/x_1.mp4").await;
    ask(&root, Method::POST, "/api/camera/front/stop").await;
    let log = async || ask(&root, Method::GET, "/api/v1/audit").await.json();
    let start = std::time::Instant::now();
    let entries = loop {
        let log = log().await;
        if log.to_string().contains("/api/camera/front/stop") {
            break log;
        }
        assert!(start.elapsed() < crate::support::PATIENCE, "{log}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(!entries.to_string().contains("/api/delete"), "{entries}");
    server.end().await;
}
