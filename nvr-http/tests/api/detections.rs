//! Detections told by other programs, listed, pictured and forgotten.

use reqwest::Method;
use serde_json::json;

use crate::support::{PICTURE, Server, assert_problem, camera, manual};

const PATH: &str = "/api/v1/cameras/front/detections";

#[tokio::test(flavor = "multi_thread")]
async fn they_are_told_ended_listed_and_forgotten() {
    let server = Server::of([camera("front", PICTURE), manual("yard")], |_| {}).await;
    server.recorded("front", 3.0).await;
    let body =
        json!({"label": "doorbell", "score": 0.75, "zone": "porch", "source": "bell", "data": {"button": 1}});
    let begun = server.order(Method::POST, PATH, &body).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    let place = begun.header("location").unwrap().to_owned();
    let begun = begun.json();
    assert_eq!(server.json(&place).await, begun);
    assert_eq!(
        (
            &begun["camera"],
            &begun["kind"],
            &begun["label"],
            &begun["to"],
            &begun["data"]
        ),
        (
            &json!("front"),
            &json!("external"),
            &json!("doorbell"),
            &json!(null),
            &json!({"button": 1})
        )
    );
    let id = begun["id"].as_i64().unwrap();
    let elsewhere = format!("/api/v1/cameras/yard/detections/{id}/end");
    assert_problem(&server.post(&elsewhere).await, 404, "not_found");
    let end = format!("{PATH}/{id}/end");
    let ended = server.post(&end).await;
    assert_eq!(ended.status, 200, "{}", ended.text());
    assert!(ended.json()["to"].is_string());
    assert_problem(&server.post(&end).await, 409, "conflict");

    let over = json!({"label": "post", "from": "2026-01-01T10:00:00Z", "to": "2026-01-01T10:00:05Z"});
    let old = server
        .order(Method::POST, "/api/v1/cameras/yard/detections", &over)
        .await;
    assert_eq!(old.status, 201, "{}", old.text());
    let ids = |of: serde_json::Value| -> Vec<i64> {
        let all = of["detections"].as_array().unwrap().clone();
        all.iter().map(|d| d["id"].as_i64().unwrap()).collect()
    };
    let old = old.json()["id"].as_i64().unwrap();
    for (query, wanted) in [
        ("", vec![id, old]),
        ("?cameras=yard", vec![old]),
        ("?kind=motion,line", vec![]),
        ("?kind=external&label=doorbell", vec![id]),
        ("?min_score=0.9", vec![old]),
        ("?from=2026-01-01T10:00:04Z&to=2026-01-01T11:00:00Z", vec![old]),
        ("?limit=1", vec![id]),
    ] {
        let found = ids(server.json(&format!("/api/v1/detections{query}")).await);
        assert_eq!(found, wanted, "{query}");
    }
    let first = server.json("/api/v1/detections?limit=1").await;
    let next = first["next"].as_str().unwrap();
    let second = server
        .json(&format!("/api/v1/detections?limit=1&cursor={next}"))
        .await;
    assert_eq!(ids(second), [old]);

    let events = server
        .json("/api/v1/events?kind=detection_started&detection=external&text=DoorBell")
        .await;
    assert_eq!(events["events"].as_array().unwrap().len(), 1, "{events:#}");
    assert_eq!(events["events"][0]["detail"]["detection"]["id"], id);
    let none = server
        .json("/api/v1/events?kind=detection_started&detection=motion")
        .await;
    assert_eq!(none["events"], json!([]));

    let one = format!("/api/v1/detections/{id}");
    assert_eq!(server.json(&one).await["label"], "doorbell");
    let forgotten = server.ask(Method::DELETE, &one, &[], None).await;
    assert_eq!((forgotten.status.as_u16(), forgotten.body.len()), (204, 0));
    assert_problem(&server.get(&one).await, 404, "not_found");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_picture_is_of_the_moment_and_not_sent_twice() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    let timeline = server.recorded("front", 4.0).await;
    let start: nvr_core::Timestamp = timeline["ranges"][0]["start"].as_str().unwrap().parse().unwrap();
    let best = start.add_ns(1_500_000_000);
    let body = json!({"label": "cat", "from": start.add_ns(1_000_000_000), "best_at": best, "to": start.add_ns(2_000_000_000)});
    let made = server.order(Method::POST, PATH, &body).await.json();
    let path = format!("/api/v1/detections/{}/thumbnail", made["id"]);
    let picture = server.get(&path).await;
    assert_eq!(picture.status, 200, "{}", picture.text());
    assert!(picture.body.starts_with(&[0xff, 0xd8, 0xff]));
    let at: nvr_core::Timestamp = picture.header("x-frame-time").unwrap().parse().unwrap();
    assert!(
        (0..300_000_000).contains(&best.since(at)),
        "{at} is not of {best}"
    );
    let etag = picture.header("etag").unwrap();
    let again = server.get_with(&path, &[("if-none-match", etag)]).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    let small = server.get(&format!("{path}?width=64")).await;
    assert!(small.body.len() < picture.body.len());
    assert_problem(
        &server.get(&format!("{path}?width=2")).await,
        400,
        "invalid_argument",
    );
    // Nothing is recorded of then.
    let body = json!({"label": "cat", "from": "2026-01-01T10:00:00Z", "to": "2026-01-01T10:00:05Z"});
    let made = server.order(Method::POST, PATH, &body).await.json();
    let path = format!("/api/v1/detections/{}/thumbnail", made["id"]);
    assert_problem(&server.get(&path).await, 404, "not_found");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_and_so_is_a_flood() {
    let server = Server::of([manual("front")], |_| {}).await;
    for body in [
        json!({}),
        json!({"label": ""}),
        json!({"label": "a", "score": 2}),
        json!({"label": "a", "from": "yesterday"}),
        json!({"label": "a", "from": "2999-01-01T00:00:00Z"}),
        json!({"label": "a", "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}),
        json!({"label": "a", "kind": "motion"}),
        json!({"label": "a", "data": "x".repeat(20_000)}),
    ] {
        let reply = server.order(Method::POST, PATH, &body).await;
        assert_problem(&reply, 400, "invalid_argument");
    }
    let nowhere = server
        .order(
            Method::POST,
            "/api/v1/cameras/attic/detections",
            &json!({"label": "a"}),
        )
        .await;
    assert_problem(&nowhere, 404, "not_found");
    let over = json!({"label": "a", "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:01Z"});
    let mut refused = None;
    for _ in 0..400 {
        let reply = server.order(Method::POST, PATH, &over).await;
        if reply.status != 201 {
            refused = Some(reply);
            break;
        }
    }
    assert_problem(&refused.unwrap(), 429, "busy");
    server.end().await;
}
