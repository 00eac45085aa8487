//! Timelines, days, segments.

use nvr_core::Timestamp;
use serde_json::Value;

use crate::support::{Server, assert_problem};

fn time(v: &Value) -> Timestamp {
    v.as_str().unwrap_or_else(|| panic!("{v}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn footage_can_be_asked_for() {
    let server = Server::start().await;
    let timeline = server.history().await;
    a_timeline_shows_ranges_and_gaps(&timeline);
    let all = server.json("/api/v1/timeline").await;
    let cameras: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["camera"].as_str().unwrap())
        .collect();
    assert_eq!(cameras, ["front", "yard"]);
    let chosen = server.json("/api/v1/timeline?cameras=yard,front").await;
    assert_eq!(
        (&chosen[0]["camera"], &chosen[1]["camera"]),
        (&"yard".into(), &"front".into())
    );
    a_coarse_timeline_has_the_same_sums(&server).await;
    days_add_up(&server, &timeline).await;
    segments_come_in_pages(&server).await;
    segments_can_be_protected(&server).await;
    let storage = server.json("/api/v1/storage").await;
    assert!(storage["disk_total_bytes"].as_u64() > storage["disk_available_bytes"].as_u64());
    assert_eq!(storage["cameras"][0]["camera"], "front");
    assert!(storage["cameras"][0]["size_bytes"].as_u64().unwrap() > 10_000);
    server.end().await;
}

fn a_timeline_shows_ranges_and_gaps(timeline: &Value) {
    let ranges = timeline["ranges"].as_array().unwrap();
    assert_eq!(ranges.len(), 2, "{timeline:#}");
    assert_eq!(
        (&ranges[0]["growing"], &ranges[1]["growing"]),
        (&false.into(), &true.into())
    );
    assert_ne!(ranges[0]["run"], ranges[1]["run"]);
    let gaps = timeline["gaps"].as_array().unwrap();
    assert_eq!(gaps[0]["cause"]["kind"], "requested", "{timeline:#}");
    assert_eq!(gaps[0]["start"], ranges[0]["end"]);
    assert_eq!(gaps[0]["end"], ranges[1]["start"]);
    assert_eq!(timeline["totals"]["segments"], 3);
    let events: Vec<_> = timeline["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["kind"])
        .collect();
    assert!(events.contains(&&"camera_state".into()), "{events:?}");
}

async fn a_coarse_timeline_has_the_same_sums(server: &Server) {
    let t = server.json("/api/v1/cameras/front/timeline").await;
    // Both ends in the past, so that nothing changes meanwhile.
    let (from, to) = (
        time(&t["ranges"][0]["start"]),
        time(&t["ranges"][1]["start"]).add_ns(2_000_000_000),
    );
    let path = format!("/api/v1/cameras/front/timeline?from={from}&to={to}");
    let fine = server.json(&path).await;
    let coarse = server.json(&format!("{path}&resolution=3600")).await;
    assert_eq!(fine["ranges"].as_array().unwrap().len(), 2);
    assert_eq!(coarse["ranges"].as_array().unwrap().len(), 1);
    assert_eq!(
        fine["totals"]["recorded_seconds"],
        coarse["totals"]["recorded_seconds"]
    );
    // Unix seconds and offsets mean the same.
    let unix = format!(
        "/api/v1/cameras/front/timeline?from={}&to={}",
        from.as_ns() as f64 / 1e9,
        to.as_ns() as f64 / 1e9
    );
    assert_eq!(server.json(&unix).await["ranges"].as_array().unwrap().len(), 2);
}

async fn days_add_up(server: &Server, timeline: &Value) {
    let days = server.json("/api/v1/cameras/front/days?tz=Europe/Berlin").await;
    let days = days.as_array().unwrap();
    assert!(
        (1..=2).contains(&days.len()),
        "days without footage are left out: {days:?}"
    );
    let sum: f64 = days.iter().map(|d| d["recorded_seconds"].as_f64().unwrap()).sum();
    assert!(
        sum >= timeline["totals"]["recorded_seconds"].as_f64().unwrap() - 0.001,
        "{sum}"
    );
    assert!(
        days.iter()
            .all(|d| [82_800, 86_400, 90_000].contains(&d["length_seconds"].as_i64().unwrap()))
    );
    assert_problem(
        &server.get("/api/v1/cameras/front/days?tz=Mars/Base").await,
        400,
        "invalid_argument",
    );
}

async fn segments_come_in_pages(server: &Server) {
    let path = "/api/v1/cameras/front/segments";
    let whole = server.json(path).await;
    assert!(whole["next"].is_null());
    let ids = |v: &Value| {
        v["segments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["id"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    let expected = ids(&whole);
    assert_eq!(expected.len(), 3);
    for order in ["asc", "desc"] {
        let mut found = Vec::new();
        let mut next = String::new();
        loop {
            let page = server.json(&format!("{path}?limit=1&order={order}{next}")).await;
            found.extend(ids(&page));
            let Some(cursor) = page["next"].as_str() else {
                break;
            };
            next = format!("&cursor={cursor}");
        }
        if order == "desc" {
            found.reverse();
        }
        assert_eq!(found, expected, "{order}");
    }
    let segment = &whole["segments"][0];
    assert_eq!(segment["container"], "fmp4");
    assert_eq!(segment["state"], "closed");
    assert!(
        server
            .dir
            .path()
            .join("recordings")
            .join(segment["path"].as_str().unwrap())
            .exists()
    );
}

async fn segments_can_be_protected(server: &Server) {
    let id = server.json("/api/v1/cameras/front/segments").await["segments"][0]["id"].clone();
    let path = format!("/api/v1/segments/{id}/protect");
    assert_eq!(server.post(&path).await.json()["protected"], true);
    assert_eq!(
        server.json("/api/v1/cameras/front/segments").await["segments"][0]["protected"],
        true
    );
    assert_eq!(
        server.post(&format!("{path}?off=true")).await.json()["protected"],
        false
    );
}
