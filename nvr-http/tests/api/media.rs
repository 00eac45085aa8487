//! Files, exports, playlists, pictures; judged by ffprobe and ffmpeg.

use nvr_core::Timestamp;
use reqwest::Method;
use serde_json::Value;

use crate::support::{PICTURE, Server, assert_problem, camera, probe, run, write};

#[tokio::test(flavor = "multi_thread")]
async fn footage_can_be_played() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    let timeline = server.history().await;
    let ranges = &timeline["ranges"];
    let from: Timestamp = ranges[0]["start"].as_str().unwrap().parse().unwrap();
    // Everything is there and nothing is added any more: of the newest fragment the end is not certain yet.
    let end: Timestamp = ranges[1]["end"].as_str().unwrap().parse().unwrap();
    let to = end.add_ns(-1_000_000_000);
    let span = format!("from={from}&to={to}");
    let seconds = timeline["totals"]["recorded_seconds"].as_f64().unwrap() - 1.0;

    segments_are_served_by_range(&server).await;
    a_range_that_is_over_has_one_tag(&server).await;
    exports_close_the_gaps(&server, &span, seconds).await;
    playlists_play(&server, &span, seconds).await;
    pictures_of_any_moment(&server, from, to).await;
    server.end().await;
}

/// Range, conditions and HEAD at an address whose bytes do not change now.
async fn ranges_and_conditions(server: &Server, path: &str) {
    let whole = server.get(path).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let len = whole.body.len();
    assert!(len > 3000);
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(whole.header("content-length"), Some(len.to_string().as_str()));
    let etag = whole.header("etag").unwrap().to_owned();

    for (range, start, end) in [
        ("bytes=0-0".to_owned(), 0, 1),
        ("bytes=1000-1999".to_owned(), 1000, 2000),
        (format!("bytes={}-", len - 7), len - 7, len),
        ("bytes=-500".to_owned(), len - 500, len),
        (format!("bytes=10-{}", 10 * len), 10, len),
    ] {
        let part = server.get_with(path, &[("range", &range)]).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(
            part.header("content-range"),
            Some(format!("bytes {start}-{}/{len}", end - 1).as_str())
        );
        assert!(part.body == whole.body[start..end], "{range} of {path} differs");
        assert_eq!(part.header("etag"), Some(etag.as_str()));
    }
    let behind = server
        .get_with(path, &[("range", &format!("bytes={len}-"))])
        .await;
    assert_problem(&behind, 416, "range_not_satisfiable");
    assert_eq!(
        behind.header("content-range"),
        Some(format!("bytes */{len}").as_str())
    );
    let nonsense = server.get_with(path, &[("range", "lines=1-2")]).await;
    assert_eq!((nonsense.status.as_u16(), nonsense.body.len()), (200, len));

    let head = server.ask(Method::HEAD, path, &[], None).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(len.to_string().as_str()));
    assert_eq!(head.header("etag"), Some(etag.as_str()));

    let known = server
        .get_with(path, &[("if-none-match", &format!("\"other\", {etag}"))])
        .await;
    assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
    assert_eq!(known.header("etag"), Some(etag.as_str()));
    let other = server.get_with(path, &[("if-none-match", "\"other\"")]).await;
    assert_eq!(other.status, 200);
    let same = server
        .get_with(path, &[("range", "bytes=0-9"), ("if-range", &etag)])
        .await;
    assert_eq!(same.status, 206);
    let changed = server
        .get_with(path, &[("range", "bytes=0-9"), ("if-range", "\"other\"")])
        .await;
    assert_eq!((changed.status.as_u16(), changed.body.len()), (200, len));
}

/// Whether its last file still grows or not; what is not over is another thing every time.
async fn a_range_that_is_over_has_one_tag(server: &Server) {
    let growing = server
        .until("/api/v1/cameras/front/segments?order=desc&limit=1", |s| {
            s["segments"][0]["state"] == "open"
                && s["segments"][0]["duration_seconds"]
                    .as_f64()
                    .is_some_and(|d| d > 3.0)
        })
        .await;
    let from: Timestamp = growing["segments"][0]["start"].as_str().unwrap().parse().unwrap();
    let to = from.add_ns(2_000_000_000);
    let paths =
        ["fmp4", "mp4"].map(|f| format!("/api/v1/cameras/front/export.mp4?from={from}&to={to}&format={f}"));
    let mut before = Vec::new();
    for path in &paths {
        before.push(server.get(path).await);
    }
    let live = format!(
        "/api/v1/cameras/front/export.mp4?from={from}&to={}",
        from.add_ns(3_600_000_000_000)
    );
    let early = server.get(&live).await;
    assert_eq!(server.post("/api/v1/cameras/front/split").await.status, 202);
    server
        .until("/api/v1/cameras/front/segments?order=desc&limit=2", |s| {
            s["segments"][1]["id"] == growing["segments"][0]["id"] && s["segments"][1]["state"] == "closed"
        })
        .await;
    for (path, before) in paths.iter().zip(&before) {
        let after = server.get(path).await;
        assert!(after.body == before.body, "{path}");
        let etag = before.header("etag").unwrap();
        assert_eq!(after.header("etag"), Some(etag), "{path}");
        let rest = server
            .get_with(path, &[("range", "bytes=100-"), ("if-range", etag)])
            .await;
        assert_eq!(rest.status, 206);
        assert!(rest.body == before.body[100..]);
        let same = server.get_with(path, &[("if-match", etag)]).await;
        assert_eq!(same.status, 200);
    }
    let stale = early.header("etag").unwrap();
    let whole = server
        .get_with(&live, &[("range", "bytes=100-"), ("if-range", stale)])
        .await;
    assert_eq!(whole.status, 200);
    assert!(whole.body.len() > early.body.len());
    let refused = server
        .get_with(&live, &[("range", "bytes=100-"), ("if-match", stale)])
        .await;
    assert_eq!((refused.status.as_u16(), refused.body.len()), (412, 0));
}

async fn segments_are_served_by_range(server: &Server) {
    let segments = server.json("/api/v1/cameras/front/segments").await;
    let closed = &segments["segments"][0];
    let path = format!("/api/v1/segments/{}", closed["id"]);
    ranges_and_conditions(server, &path).await;
    let reply = server.get(&path).await;
    assert_eq!(reply.body.len() as u64, closed["size_bytes"].as_u64().unwrap());
    let on_disk = server
        .dir
        .path()
        .join("recordings")
        .join(closed["path"].as_str().unwrap());
    assert!(reply.body == std::fs::read(on_disk).unwrap());
    assert_eq!(reply.header("content-type"), Some("video/mp4"));

    // The growing one gets longer, and what was there stays.
    let growing = segments["segments"].as_array().unwrap().last().unwrap();
    assert_eq!(growing["state"], "open");
    let path = format!("/api/v1/segments/{}", growing["id"]);
    let early = server.get(&path).await;
    let start = std::time::Instant::now();
    let late = loop {
        let late = server.get(&path).await;
        if late.body.len() > early.body.len() {
            break late;
        }
        assert!(
            start.elapsed() < crate::support::PATIENCE,
            "the segment does not grow"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert!(late.body.starts_with(&early.body));
    assert_ne!(late.header("etag"), early.header("etag"));
    let stale = [
        ("range", "bytes=0-9"),
        ("if-range", early.header("etag").unwrap()),
    ];
    assert_eq!(server.get_with(&path, &stale).await.status, 200);
    // Whole fragments only: a player finds no broken end.
    let file = write(server.dir.path(), "growing.mp4", &late.body);
    assert!(probe(file.to_str().unwrap()).await.1 > 10);
}

async fn exports_close_the_gaps(server: &Server, span: &str, seconds: f64) {
    for format in ["fmp4", "mp4"] {
        let path = format!("/api/v1/cameras/front/export.mp4?{span}&format={format}");
        ranges_and_conditions(server, &path).await;
        let reply = server.get(&path).await;
        assert_eq!(reply.header("content-disposition"), None);
        let file = write(server.dir.path(), format, &reply.body);
        let (length, frames) = probe(file.to_str().unwrap()).await;
        assert!(
            (length - seconds).abs() < 0.5,
            "{format}: {length} s of {seconds} s"
        );
        assert!(
            (frames as f64 - seconds * 10.0).abs() < 5.0,
            "{format}: {frames} frames in {seconds} s"
        );
    }
    let saved = server
        .get(&format!("/api/v1/cameras/front/export.mp4?{span}&download=true"))
        .await;
    let name = saved.header("content-disposition").unwrap();
    assert!(
        name.starts_with("attachment; filename=\"front_2") && name.ends_with("s.mp4\""),
        "{name}"
    );
    let nothing = server
        .get("/api/v1/cameras/front/export.mp4?from=1000000000&to=1000000010")
        .await;
    assert_problem(&nothing, 404, "not_found");
    assert!(
        nothing.json()["hint"]
            .as_str()
            .unwrap()
            .contains("nearest footage begins")
    );
}

async fn playlists_play(server: &Server, span: &str, seconds: f64) {
    let master = server
        .get(&format!("/api/v1/cameras/front/vod.m3u8?{span}"))
        .await;
    assert_eq!(
        master.header("content-type"),
        Some("application/vnd.apple.mpegurl")
    );
    assert!(
        master.text().contains("CODECS=\"avc1.") && master.text().contains("RESOLUTION=320x240"),
        "{}",
        master.text()
    );
    let media = server
        .get(&format!("/api/v1/cameras/front/media.m3u8?{span}"))
        .await;
    let text = media.text();
    assert!(
        text.starts_with("#EXTM3U\n") && text.ends_with("#EXT-X-ENDLIST\n"),
        "{text}"
    );
    assert_eq!(text.matches("#EXT-X-MAP:").count(), 3, "{text}");
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 2, "{text}");
    let sum: f64 = text
        .lines()
        .filter_map(|l| l.strip_prefix("#EXTINF:")?.strip_suffix(',')?.parse::<f64>().ok())
        .sum();
    assert!((sum - seconds).abs() < 1.0, "{sum} s of {seconds} s:\n{text}");

    let url = server.url(&format!("/api/v1/cameras/front/vod.m3u8?{span}"));
    let frames = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-count_packets",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=nb_read_packets",
            "-of",
            "csv=p=0",
            &url,
        ],
    )
    .await;
    let frames: f64 = frames
        .lines()
        .next()
        .unwrap()
        .trim_end_matches(',')
        .parse()
        .unwrap();
    assert!(
        (frames - seconds * 10.0).abs() < 11.0,
        "{frames} frames in {seconds} s"
    );
    run(
        "ffmpeg",
        &["-v", "error", "-i", &url, "-map", "0:v", "-f", "null", "-"],
    )
    .await;

    let (from, _) = span.split_once('&').unwrap();
    let open = server
        .get(&format!(
            "/api/v1/cameras/front/vod.m3u8?{from}&to=2100-01-01T00:00:00Z&event=true"
        ))
        .await;
    assert_problem(&open, 400, "invalid_argument");
    let later = server.nvr.clock().now() + std::time::Duration::from_secs(3600);
    let open = server
        .get(&format!(
            "/api/v1/cameras/front/media.m3u8?{from}&to={later}&event=true"
        ))
        .await;
    assert!(
        open.text().contains("#EXT-X-PLAYLIST-TYPE:EVENT") && !open.text().contains("ENDLIST"),
        "{}",
        open.text()
    );
}

fn size(jpeg: &[u8]) -> (u16, u16) {
    assert!(
        jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]),
        "not a JPEG"
    );
    let at = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    let number = |i: usize| u16::from_be_bytes([jpeg[at + i], jpeg[at + i + 1]]);
    (number(7), number(5))
}

async fn pictures_of_any_moment(server: &Server, from: Timestamp, to: Timestamp) {
    let path = "/api/v1/cameras/front/snapshot.jpg";
    let now = server.get(path).await;
    assert_eq!(now.status, 200, "{}", now.text());
    assert_eq!(now.header("content-type"), Some("image/jpeg"));
    assert_eq!(size(&now.body), (320, 240));
    let of = |reply: &crate::support::Reply| {
        reply
            .header("x-frame-time")
            .unwrap()
            .parse::<Timestamp>()
            .unwrap()
    };
    assert!(of(&now) > from);
    assert_eq!(
        size(&server.get(&format!("{path}?width=160")).await.body),
        (160, 120)
    );

    let at = from.add_ns(1_750_000_000);
    let key = server.get(&format!("{path}?at={at}")).await;
    let exact = server.get(&format!("{path}?at={at}&exact=true")).await;
    for (reply, most_ns) in [(&key, 1_100_000_000), (&exact, 150_000_000)] {
        assert_eq!(reply.status, 200, "{}", reply.text());
        let before = at.since(of(reply));
        assert!((0..most_ns).contains(&before), "{before} ns before");
    }
    assert!(key.body != exact.body);
    assert_problem(
        &server.get(&format!("{path}?at=1000000000")).await,
        404,
        "not_found",
    );
    let future = to + std::time::Duration::from_secs(3600);
    assert_problem(
        &server.get(&format!("{path}?at={future}")).await,
        404,
        "not_found",
    );
    for bad in [
        "width=15",
        "width=7681",
        "width=-1",
        "width=x",
        "at=noon",
        "exact=perhaps",
    ] {
        let reply = server.get(&format!("{path}?{bad}")).await;
        assert_problem(&reply, 400, "invalid_argument");
        let _: Value = reply.json();
    }
}
