//! Alerts: what is wrong shows and is told; and the recorder at an MQTT broker.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use nvr_core::alerts::{AlertKind, AlertRule};
use nvr_core::clock::SystemClock;
use nvr_core::config::{AlertChannel, ChannelPlace, Config, MqttConfig};
use nvr_core::mqtt::Mqtt;
use nvr_core::secret::Secret;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{PATIENCE, PICTURE, Server, assert_problem, camera, manual};

/// Rules that do not wait.
fn at_once(config: &mut Config) {
    config.alerts.group = Duration::ZERO;
    config.alerts.interval = Duration::ZERO;
    for rule in &mut config.alerts.rules {
        if rule.kind == AlertKind::CameraOffline {
            (rule.after, rule.hold) = (Duration::ZERO, Duration::ZERO);
        }
    }
}

/// A server for webhooks: its address, and the bodies it got.
async fn sink() -> (String, Arc<Mutex<Vec<Value>>>) {
    let got: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = Arc::clone(&got);
    let router = Router::new().route(
        "/{name}",
        post(move |body: axum::Json<Value>| async move { seen.lock().unwrap().push(body.0) }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/secret-name", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, got)
}

fn webhook(name: &str, url: &str) -> AlertChannel {
    let place = ChannelPlace::Webhook {
        url: Secret::new(url),
        method: "POST".into(),
        headers: Vec::new(),
        secret: None,
    };
    AlertChannel::new(name, place)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_away_is_told_shown_and_acknowledged() {
    let (address, got) = sink().await;
    let server = Server::of(
        [camera("away", "rtsp://127.0.0.1:1/x"), camera("front", PICTURE)],
        |config| {
            at_once(config);
            config.alerts.channels = vec![webhook("hook", &address), webhook("dead", "http://127.0.0.1:1/x")];
        },
    )
    .await;
    server
        .until("/api/v1/alerts", |a| {
            a["active"]
                .as_array()
                .unwrap()
                .iter()
                .any(|a| a["camera"] == "away" && !a["told"].is_null())
        })
        .await;
    server
        .until("/api/v1/alerts/channels", |c| {
            c[0]["delivered"].as_u64() > Some(0) && !c[1]["failing_since"].is_null()
        })
        .await;
    let told = got.lock().unwrap().clone();
    let away = |m: &&Value| m["status"] == "firing" && m["kind"] == "camera_offline";
    assert!(told.iter().any(|m| away(&m) && m["camera"] == "away"), "{told:?}");
    let channels = server.get("/api/v1/alerts/channels").await;
    assert!(!channels.text().contains("secret-name"), "{}", channels.text());
    let health = server.json("/health").await;
    assert!(health.to_string().contains("dead"), "{health}");

    let alerts = server.json("/api/v1/alerts").await;
    let alert = alerts["active"]
        .as_array()
        .unwrap()
        .iter()
        .find(|a| a["camera"] == "away")
        .unwrap();
    let path = format!("/api/v1/alerts/{}/acknowledge", alert["id"]);
    let known = server.post(&path).await;
    assert!(!known.json()["acknowledged"].is_null(), "{}", known.text());
    assert_problem(
        &server.post("/api/v1/alerts/99999/acknowledge").await,
        404,
        "not_found",
    );

    let mute = server
        .order(
            Method::POST,
            "/api/v1/alerts/mutes",
            &json!({"duration": "1h", "camera": "front"}),
        )
        .await;
    assert_eq!(mute.status, 201, "{}", mute.text());
    assert_eq!(server.json("/api/v1/alerts").await["mutes"][0]["camera"], "front");
    let path = format!("/api/v1/alerts/mutes/{}", mute.json()["id"]);
    assert_eq!(
        server.order(Method::DELETE, &path, &Value::Null).await.status,
        204
    );
    assert_problem(
        &server.order(Method::DELETE, &path, &Value::Null).await,
        404,
        "not_found",
    );
    for (body, code) in [
        (json!({"duration": "soon"}), 400),
        (json!({"duration": "1h", "rule": "none"}), 404),
        (json!({"duration": "1h", "camera": "none"}), 404),
    ] {
        assert_eq!(
            server
                .order(Method::POST, "/api/v1/alerts/mutes", &body)
                .await
                .status,
            code,
            "{body}"
        );
    }
    assert_eq!(server.post("/api/v1/alerts/channels/hook/test").await.status, 204);
    assert_problem(
        &server.post("/api/v1/alerts/channels/none/test").await,
        404,
        "not_found",
    );
    assert_problem(
        &server.post("/api/v1/alerts/channels/dead/test").await,
        503,
        "unavailable",
    );
    let metrics = server.get("/metrics").await;
    for line in [
        "nvr_alerts_firing{kind=\"camera_offline\"} 1",
        "nvr_alert_deliveries_total{channel=\"hook\",outcome=\"delivered\"}",
    ] {
        assert!(metrics.text().contains(line), "{line}\n{}", metrics.text());
    }
}

/// mosquitto on a port of loopback; killed when dropped.
struct Broker(
    Child,
    u16,
    #[expect(dead_code, reason = "removed when dropped")] tempfile::TempDir,
);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn broker() -> Broker {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("mosquitto.conf");
    let mut file = std::fs::File::create(&conf).unwrap();
    writeln!(
        file,
        "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest none"
    )
    .unwrap();
    let mut command = Command::new("mosquitto");
    command
        .arg("-c")
        .arg(&conf)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Broker(
        command.spawn().expect("mosquitto: tools/install-deps.sh test"),
        port,
        folder,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn home_assistant_finds_cameras_and_switches_them() {
    let broker = broker();
    let mut other = MqttConfig::new("127.0.0.1", broker.1);
    (other.client_id, other.base_topic) = ("other".into(), "other".into());
    let client = Mqtt::start(other, SystemClock::shared()).unwrap();
    let mut heard = client.subscribe("#").await.unwrap();
    let server = Server::of(
        [manual("door"), camera("away", "rtsp://127.0.0.1:1/x")],
        |config| {
            at_once(config);
            config.alerts.rules.push(AlertRule::of(AlertKind::Detection));
            config.mqtt = Some(MqttConfig::new("127.0.0.1", broker.1));
        },
    )
    .await;
    // What the broker kept comes in any order.
    let mut newest: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut until = async |topic: &str, fits: &dyn Fn(&[u8]) -> bool| {
        let found = async {
            loop {
                if let Some(payload) = newest.get(topic).filter(|p| fits(p)) {
                    return payload.clone();
                }
                let message = heard.recv().await.unwrap();
                newest.insert(message.topic, message.payload.to_vec());
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect(topic)
    };
    let switch = "homeassistant/switch/nvr_nvr_door/record/config";
    let found = until(switch, &|p| !p.is_empty()).await;
    let switch: Value = serde_json::from_slice(&found).unwrap();
    assert_eq!(switch["command_topic"], "nvr/camera/door/record/set");
    until("nvr/camera/door/state", &|p| p == b"standby").await;
    let order = "nvr/camera/door/record/set";
    client.publish(order, "ON", false).await.unwrap();
    until("nvr/camera/door/record", &|p| p == b"ON").await;
    client.publish(order, "OFF", false).await.unwrap();
    until("nvr/camera/door/record", &|p| p == b"OFF").await;
    until("nvr/camera/away/problem", &|p| p == b"ON").await;

    // What is detected is news, and no problem.
    let motion = json!({"label": "bell"});
    let told = server
        .order(Method::POST, "/api/v1/cameras/door/detections", &motion)
        .await;
    assert!(told.status.is_success(), "{}", told.text());
    let news = until("nvr/camera/door/detection", &|_| true).await;
    let news: Value = serde_json::from_slice(&news).unwrap();
    assert_eq!(news["label"], "bell");
    until("nvr/camera/door/motion", &|p| p == b"ON" || p == b"OFF").await;
    server
        .until("/api/v1/alerts", |a| {
            let all = a["active"].as_array().unwrap();
            all.iter()
                .any(|a| a["kind"] == "detection" && a["camera"] == "door")
        })
        .await;
    until("nvr/camera/door/problem", &|p| p == b"OFF").await;
    server.nvr.shutdown(Duration::from_secs(10)).await;
    until("nvr/status", &|p| p == b"offline").await;
}
