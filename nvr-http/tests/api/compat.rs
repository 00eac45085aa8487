//! The addresses of other recorders, asked as their clients ask.

mod flask;
mod sessions;

use nvr_core::Timestamp;
use reqwest::Method;

use crate::support::{PICTURE, Server, assert_problem, camera, probe};

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_other_recorders_find_their_addresses() {
    let server = Server::of([camera("front", PICTURE)], |c| {
        c.http.base_path = "/nvr".into();
        c.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let timeline = server.history().await;
    let ranges = timeline["ranges"].as_array().unwrap();
    let at = |n: usize, edge: &str| -> Timestamp { ranges[n][edge].as_str().unwrap().parse().unwrap() };
    mediamtx(&server, at(0, "start"), at(0, "end")).await;
    frigate(&server, at(0, "start"), at(1, "end")).await;
    server.end().await;
}

/// As its documentation shows: `/list?path=...`, then the `url` of a stretch.
async fn mediamtx(server: &Server, start: Timestamp, end: Timestamp) {
    let list = server.get("/list?path=front").await;
    assert_eq!(list.status, 200, "{}", list.text());
    let list = list.json();
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
    assert_eq!(
        list[0]["start"].as_str().unwrap().parse::<Timestamp>().unwrap(),
        start
    );
    let seconds = list[0]["duration"].as_f64().unwrap();
    assert!((seconds - end.since(start) as f64 / 1e9).abs() < 1e-6);
    let (length, frames) = probe(list[0]["url"].as_str().unwrap()).await;
    assert!(
        frames as f64 >= (seconds * 10.0).floor() && length < seconds,
        "{frames} frames in {length} of {seconds} s"
    );

    // Through a proxy it is the proxy's address.
    let forwarded = [
        ("x-forwarded-for", "192.0.2.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "nvr.example.org"),
    ];
    let through = server.get_with("/list?path=front", &forwarded).await.json();
    let url = through[0]["url"].as_str().unwrap();
    assert!(
        url.starts_with("https://nvr.example.org/nvr/get?path=front&"),
        "{url}"
    );

    // A bound in the middle, both formats, and a part of the file.
    let middle = start.add_ns(1_000_000_000);
    let list = server
        .get(&format!("/list?path=front&start={middle}"))
        .await
        .json();
    assert_eq!(
        list[0]["start"].as_str().unwrap().parse::<Timestamp>().unwrap(),
        middle
    );
    for format in ["mp4", "fmp4"] {
        let path = format!("/get?path=front&start={start}&duration=2&format={format}");
        let part = server.get_with(&path, &[("range", "bytes=0-7")]).await;
        assert_eq!((part.status.as_u16(), &part.body[4..8]), (206, &b"ftyp"[..]));
    }
    assert_problem(&server.get("/list").await, 400, "invalid_argument");
    assert_problem(&server.get("/list?path=nobody").await, 404, "not_found");
    assert_problem(
        &server.get("/get?path=front&duration=1").await,
        400,
        "invalid_argument",
    );
    let never = server
        .get("/get?path=front&start=2000-01-01T00:00:00Z&duration=1")
        .await;
    assert_problem(&never, 404, "not_found");
    assert_problem(
        &server.get("/get?path=../etc&start=0&duration=1").await,
        400,
        "invalid_argument",
    );
}

async fn frigate(server: &Server, start: Timestamp, end: Timestamp) {
    let (after, before) = (start.as_secs_f64(), end.as_secs_f64());
    let recordings = server
        .get(&format!("/api/front/recordings?after={after}&before={before}"))
        .await
        .json();
    let recordings = recordings.as_array().unwrap();
    assert!(recordings.len() >= 3, "{recordings:?}");
    for r in recordings {
        let length = r["end_time"].as_f64().unwrap() - r["start_time"].as_f64().unwrap();
        assert!((length - r["duration"].as_f64().unwrap()).abs() < 0.001, "{r}");
        assert!(r["id"].is_string() && r["segment_size"].is_number());
    }
    let summary = server
        .get("/api/front/recordings/summary?timezone=utc")
        .await
        .json();
    let seconds: i64 = summary
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|d| d["hours"].as_array().unwrap())
        .map(|h| h["duration"].as_i64().unwrap())
        .sum();
    assert!(seconds >= 7, "{summary}");
    let today = summary[0]["day"].as_str().unwrap();
    let days = server.get("/api/recordings/summary?cameras=all").await.json();
    assert_eq!(days[today], true, "{days}");

    // The gap in the middle is shorter than the default scale.
    let gaps =
        |scale: &str| format!("/api/recordings/unavailable?cameras=all&after={after}&before={before}{scale}");
    assert_eq!(server.get(&gaps("")).await.json().as_array().unwrap().len(), 0);
    let fine = server.get(&gaps("&scale=0.5")).await.json();
    assert_eq!(fine.as_array().unwrap().len(), 1, "{fine}");

    // Two seconds around the gap.
    let clip = format!("/api/front/start/{after}/end/{before}/clip.mp4");
    let head = server.ask(Method::HEAD, &clip, &[], None).await;
    assert!(
        head.header("content-disposition")
            .unwrap()
            .starts_with("attachment")
    );
    let (_, frames) = probe(&server.url(&clip)).await;
    assert!(frames >= 70, "{frames}");
    let (_, played) = probe(&server.url(&format!("/vod/front/start/{after}/end/{before}/master.m3u8"))).await;
    assert!(played >= 70, "{played}");

    let latest = server.get("/api/front/latest.jpg?h=120&cache=1234").await;
    assert_eq!(latest.header("content-type"), Some("image/jpeg"));
    assert!(latest.body.starts_with(&[0xff, 0xd8]));
    assert_problem(&server.get("/api/nobody/latest.jpg").await, 404, "not_found");
    assert_problem(
        &server.get("/api/front/start/x/end/y/clip.mp4").await,
        400,
        "invalid_argument",
    );
}
