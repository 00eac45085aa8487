//! Pushes: begun, listed and ended; keys are never answered.

use reqwest::Method;
use serde_json::json;

use crate::support::{PICTURE, Server, assert_problem, camera, manual};

const URL: &str = "rtmp://127.0.0.1:1/live/abc-KEY";

#[tokio::test(flavor = "multi_thread")]
async fn they_are_begun_listed_and_ended() {
    let server = Server::of([camera("front", PICTURE), manual("yard")], |_| {}).await;
    let path = "/api/v1/cameras/front/pushes";
    assert_eq!(server.json(path).await, json!({"pushes": []}));
    let begun = server
        .order(Method::POST, path, &json!({"url": URL, "audio": false}))
        .await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    let push = begun.json();
    assert_eq!(push["url"], "rtmp://127.0.0.1:1/live/***");
    assert_eq!(
        (&push["camera"], &push["stream"], &push["audio"], &push["keep"]),
        (&json!("front"), &json!("main"), &json!(false), &json!(false))
    );
    let place = format!("{path}/{}", push["id"]);
    assert_eq!(begun.header("location"), Some(place.as_str()));
    // Nobody listens at port 1.
    let listed = server
        .until(path, |all| {
            all["pushes"][0]["last_failure"]["message"].is_string()
        })
        .await;
    assert!(!listed.to_string().contains("KEY"), "{listed:#}");
    assert_eq!(server.json("/api/v1/pushes").await["pushes"][0]["id"], push["id"]);
    assert_eq!(
        server.json("/api/v1/cameras/yard/pushes").await,
        json!({"pushes": []})
    );
    let events = server
        .until("/api/v1/events?kind=push_down", |all| {
            all["events"][0].is_object()
        })
        .await;
    assert!(!events.to_string().contains("KEY"), "{events:#}");

    assert_problem(
        &server.order(Method::POST, path, &json!({"url": URL})).await,
        409,
        "conflict",
    );
    let elsewhere = format!("/api/v1/cameras/yard/pushes/{}", push["id"]);
    assert_problem(
        &server.ask(Method::DELETE, &elsewhere, &[], None).await,
        404,
        "not_found",
    );
    let ended = server.ask(Method::DELETE, &place, &[], None).await;
    assert_eq!((ended.status.as_u16(), ended.body.len()), (204, 0));
    assert_problem(
        &server.ask(Method::DELETE, &place, &[], None).await,
        404,
        "not_found",
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_none_are_refused_without_being_quoted() {
    let server = Server::of([manual("yard")], |_| {}).await;
    let path = "/api/v1/cameras/yard/pushes";
    for url in [
        "http://127.0.0.1/live/KEY",
        "file:///tmp/KEY",
        "rtmp://127.0.0.1/KEY",
        "srt://127.0.0.1:1?mode=listener&streamid=KEY",
        "KEY",
    ] {
        let reply = server.order(Method::POST, path, &json!({"url": url})).await;
        assert_problem(&reply, 400, "invalid_argument");
        assert!(!reply.text().contains("KEY"), "{}", reply.text());
    }
    for body in [
        json!({}),
        json!({"url": URL, "stream": "side"}),
        json!({"url": URL, "more": 1}),
    ] {
        let reply = server.order(Method::POST, path, &body).await;
        assert_problem(&reply, 400, "invalid_argument");
        assert!(!reply.text().contains("KEY"), "{}", reply.text());
    }
    let nowhere = server
        .order(Method::POST, "/api/v1/cameras/none/pushes", &json!({"url": URL}))
        .await;
    assert_problem(&nowhere, 404, "not_found");
    server.end().await;
}
