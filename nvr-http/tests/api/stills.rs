//! Pictures that are kept at intervals.

use std::time::Duration;

use serde_json::Value;

use crate::support::{PICTURE, Server, assert_problem, camera};

async fn taken(server: &Server, count: usize) -> Vec<Value> {
    let list = server
        .until("/api/v1/cameras/front/stills", |v| {
            v["stills"].as_array().is_some_and(|s| s.len() >= count)
        })
        .await;
    list["stills"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn stills_are_listed_by_pages_and_had_once() {
    let server = Server::of([camera("front", PICTURE), camera("yard", PICTURE)], |c| {
        c.stills.rules.every = Some(Duration::from_secs(5));
        c.cameras[1].stills.every = Some(Duration::ZERO);
    })
    .await;
    let all = taken(&server, 3).await;
    let base = "/api/v1/cameras/front/stills";
    let first = server.json(&format!("{base}?limit=1")).await;
    assert_eq!(first["stills"][0], all[0]);
    let next = first["next"].as_str().unwrap();
    let second = server.json(&format!("{base}?limit=1&cursor={next}")).await;
    assert_eq!(second["stills"][0], all[1]);
    let newest = server.json(&format!("{base}?limit=1&order=desc")).await;
    assert!(newest["stills"][0]["at"].as_str() >= all[2]["at"].as_str());
    let to = all[1]["at"].as_str().unwrap();
    let before = server.json(&format!("{base}?to={to}")).await;
    assert_eq!(before["stills"].as_array().unwrap().len(), 1);
    assert!(before["next"].is_null());

    let url = all[0]["url"].as_str().unwrap();
    let whole = server.get(url).await;
    assert_eq!(
        (whole.status.as_u16(), whole.header("content-type")),
        (200, Some("image/jpeg"))
    );
    assert_eq!(whole.body.len() as u64, all[0]["size_bytes"].as_u64().unwrap());
    assert_eq!(whole.header("x-frame-time"), all[0]["at"].as_str());
    assert!(whole.header("cache-control").unwrap().contains("immutable"));
    let etag = whole.header("etag").unwrap().to_owned();
    let known = server.get_with(url, &[("if-none-match", &etag)]).await;
    assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
    let small = server.get(&format!("{url}?width=64")).await;
    assert_eq!(small.status, 200);
    assert!(small.body.len() < whole.body.len());
    assert_ne!(small.header("etag"), Some(&*etag));

    assert_problem(
        &server.get(&format!("{url}?width=8")).await,
        400,
        "invalid_argument",
    );
    assert_problem(
        &server.get(&format!("{base}?limit=0")).await,
        400,
        "invalid_argument",
    );
    for gone in ["2020-05-04T03:02:01Z.jpg", "..%2f..%2fnvr.db", "never"] {
        assert_problem(&server.get(&format!("{base}/{gone}")).await, 404, "not_found");
    }
    assert_problem(
        &server.get("/api/v1/cameras/nobody/stills").await,
        404,
        "not_found",
    );
    let none = server.json("/api/v1/cameras/yard/stills").await;
    assert!(none["stills"].as_array().unwrap().is_empty(), "{none:#}");
    let metrics = server.get("/metrics").await;
    for wanted in [
        "nvr_stills_taken_total{camera_id=\"front\"}",
        "nvr_stills{camera_id=\"front\"}",
        "nvr_stills_bytes{camera_id=\"front\"}",
    ] {
        assert!(metrics.text().contains(wanted), "{wanted}: {}", metrics.text());
    }
    server.end().await;
}
