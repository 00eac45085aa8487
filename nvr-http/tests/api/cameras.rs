//! Cameras and the orders they take.

use crate::support::{PICTURE, Server, assert_problem, camera, manual};

#[tokio::test(flavor = "multi_thread")]
async fn cameras_start_stop_and_split() {
    let server = Server::start().await;
    for id in ["front", "yard"] {
        server.state(id, "recording").await;
        let camera = server
            .until(&format!("/api/v1/cameras/{id}"), |c| c["recording"] == true)
            .await;
        assert_eq!(camera["id"], id);
        assert_eq!(camera["record"], "continuous");
        assert_eq!(camera["tracks"]["video"]["width"], 320);
        assert!(camera["run"].is_string() && camera["since"].is_string());
    }
    let list = server.json("/api/v1/cameras").await;
    let ids: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["front", "yard"]);

    let stopped = server.post("/api/v1/cameras/front/stop").await;
    assert_eq!(stopped.status, 202);
    let front = server.state("front", "stopped").await;
    assert_eq!(front["cause"]["kind"], "requested");
    assert_eq!(front["recording"], false);
    server.state("yard", "recording").await;
    server.post("/api/v1/cameras/front/start").await;
    let front = server.state("front", "recording").await;

    assert_eq!(server.post("/api/v1/cameras/front/restart").await.status, 202);
    server
        .until("/api/v1/cameras/front", |c| {
            c["state"] == "recording" && c["run"] != front["run"]
        })
        .await;

    assert_eq!(server.post("/api/v1/cameras/stop").await.status, 202);
    server.state("front", "stopped").await;
    server.state("yard", "stopped").await;
    assert_eq!(server.post("/api/v1/cameras/start").await.status, 202);
    server.state("front", "recording").await;
    server.state("yard", "recording").await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn manual_recording_has_its_pre_roll_and_its_limit() {
    let mut with_pre_roll = manual("front");
    with_pre_roll.pre_roll = std::time::Duration::from_secs(3);
    let cameras = [with_pre_roll, manual("yard"), camera("gate", PICTURE)];
    let server = Server::of(cameras, |c| c.recorder.max_manual = 1).await;
    server.state("front", "standby").await;
    server.state("yard", "standby").await;
    server.state("gate", "recording").await;
    // A pre-roll needs footage from before.
    server
        .until("/api/v1/cameras/front", |c| {
            c["counters"]["frames"].as_u64().unwrap() > 50
        })
        .await;

    let reply = server.post("/api/v1/cameras/front/record?seconds=2").await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let begun = reply.json();
    assert!(begun["until"].is_string());
    assert_problem(&server.post("/api/v1/cameras/yard/record").await, 429, "busy");
    server
        .until("/api/v1/cameras/front", |c| c["manual"].is_null())
        .await;
    let segments = "/api/v1/cameras/front/segments";
    let done = server
        .until(segments, |v| v["segments"][0]["state"] == "closed")
        .await;
    let length = done["segments"][0]["duration_seconds"].as_f64().unwrap();
    assert!(length > 4.0, "2 s and up to 3 s from before are only {length} s");
    assert!(done["segments"][0]["start"].as_str().unwrap() < begun["since"].as_str().unwrap());

    assert_eq!(server.post("/api/v1/cameras/yard/record").await.status, 202);
    let yard = server
        .until("/api/v1/cameras/yard", |c| c["recording"] == true)
        .await;
    assert!(yard["manual"]["until"].is_null());
    assert_eq!(
        server.post("/api/v1/cameras/yard/record?stop=true").await.status,
        204
    );
    server
        .until("/api/v1/cameras/yard", |c| c["manual"].is_null())
        .await;

    assert_problem(
        &server.post("/api/v1/cameras/yard/record?stop=true").await,
        409,
        "conflict",
    );
    assert_problem(&server.post("/api/v1/cameras/gate/record").await, 409, "conflict");
    for bad in [
        "seconds=0",
        "seconds=-1",
        "seconds=nan",
        "seconds=1e9",
        "seconds=x",
        "stop=maybe",
    ] {
        let reply = server.post(&format!("/api/v1/cameras/front/record?{bad}")).await;
        assert_problem(&reply, 400, "invalid_argument");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_says_what_a_source_is() {
    let server = Server::of([], |_| {}).await;
    let post = async |body: &str| {
        let json = [("content-type", "application/json")];
        server
            .ask(
                reqwest::Method::POST,
                "/api/v1/cameras/probe",
                &json,
                Some(body.into()),
            )
            .await
    };
    let reply = post(&format!(r#"{{"source": "{PICTURE}", "frames": 5}}"#)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let found = reply.json();
    assert_eq!(found["tracks"]["video"]["codec"], "h264");
    assert_eq!(found["tracks"]["video"]["height"], 240);
    let refused = post(r#"{"source": "rtsp://admin:geheim@127.0.0.1:1/x"}"#).await;
    assert_problem(&refused, 503, "unavailable");
    assert!(!refused.text().contains("geheim"));
    for bad in [
        "{}",
        "[",
        r#"{"source": "gopher://x"}"#,
        r#"{"source": "file:/etc/passwd"}"#,
        r#"{"source": "test:", "frames": 0}"#,
        r#"{"source": "test:", "x": 1}"#,
    ] {
        assert_problem(&post(bad).await, 400, "invalid_argument");
    }
    let untyped = server
        .ask(
            reqwest::Method::POST,
            "/api/v1/cameras/probe",
            &[],
            Some(b"{}".to_vec()),
        )
        .await;
    assert_problem(&untyped, 415, "unsupported_media_type");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_by_hand_is_described_in_json() {
    let mut front = manual("front");
    front.pre_roll = std::time::Duration::from_secs(3);
    let server = Server::of([front], |_| {}).await;
    server.state("front", "standby").await;
    let path = "/api/v1/cameras/front/record";
    let send = |body: &'static str| {
        server.ask(
            reqwest::Method::POST,
            path,
            &[("content-type", "application/json")],
            Some(body.into()),
        )
    };
    for (bad, word) in [
        (r#"{"durration": 5}"#, "durration"),
        (r#"{"duration": "soon"}"#, "soon"),
        (r#"{"duration": -1}"#, "want seconds"),
        (r#"{"duration": "200ms"}"#, "1 second"),
        (r#"{"pre_roll": "1h"}"#, "keeps 3 s"),
        (r#"{"stop": true, "duration": 5}"#, "to stop"),
        ("{", "JSON"),
    ] {
        let reply = send(bad).await;
        assert_problem(&reply, 400, "invalid_argument");
        assert!(reply.text().contains(word), "{bad}: {}", reply.text());
    }
    let twice = server
        .ask(
            reqwest::Method::POST,
            &format!("{path}?seconds=5"),
            &[("content-type", "application/json")],
            Some(r#"{"duration": 5}"#.into()),
        )
        .await;
    assert_problem(&twice, 400, "invalid_argument");
    let odd = server
        .ask(
            reqwest::Method::POST,
            path,
            &[("content-type", "text/plain")],
            Some("5".into()),
        )
        .await;
    assert_problem(&odd, 415, "unsupported_media_type");

    let started = send(r#"{"duration": "1h", "pre_roll": 0}"#).await;
    assert_eq!(started.status, 202, "{}", started.text());
    let info: serde_json::Value = started.json();
    let time = |key: &str| {
        info[key]
            .as_str()
            .unwrap()
            .parse::<nvr_core::Timestamp>()
            .unwrap()
    };
    assert_eq!(time("until").since(time("since")), 3_600_000_000_000);
    // The growing segment has a size and a length as soon as it has a frame.
    let grown = server
        .until("/api/v1/cameras/front/segments", |s| {
            s["segments"][0]["duration_seconds"]
                .as_f64()
                .is_some_and(|n| n > 0.0)
        })
        .await;
    assert_eq!(grown["segments"][0]["state"], "open");
    assert!(grown["segments"][0]["size_bytes"].as_u64().unwrap() > 0);
    let begun: nvr_core::Timestamp = grown["segments"][0]["start"].as_str().unwrap().parse().unwrap();
    assert!(begun.add_ns(500_000_000) >= time("since"), "no pre-roll");
    assert_eq!(send(r#"{"stop": true}"#).await.status, 204);
    server.state("front", "standby").await;
    server.end().await;
}
