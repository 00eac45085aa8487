//! Encoding footage again: asked for, switched on and off, told.

use std::time::Duration;

use nvr_core::jobs::JobState;
use nvr_core::{CameraId, TimeRange, Timestamp};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{PICTURE, Server, camera};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_for_switched_and_told() {
    let server = Server::of([camera("front", PICTURE)], |config| {
        config.transcode.after = std::time::Duration::from_secs(86_400);
        config.jobs.max_load_percent = 0;
    })
    .await;
    let path = "/api/v1/transcoding";
    let status = server.json(path).await;
    assert_eq!(status, json!({ "enabled": false, "cameras": [] }));
    for (word, enabled) in [("enable", true), ("disable", false)] {
        let reply = server.post(&format!("{path}/{word}")).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["enabled"]),
            (200, &json!(enabled))
        );
        assert_eq!(server.json(path).await["enabled"], enabled);
    }
    let metrics = server.get("/metrics").await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("nvr_transcoding_enabled 0.0"));

    let ask =
        |from: &str, camera: &str| json!({ "camera": camera, "from": from, "to": "2100-01-01T00:00:00Z" });
    for (body, status) in [
        (ask("1970-01-01T00:00:00Z", "nobody"), 404),
        (ask("yesterday", "front"), 400),
        (ask("1970-01-01T00:00:00Z", "FRONT!"), 400),
        (json!({ "camera": "front" }), 422),
    ] {
        let text = body.to_string();
        let reply = server
            .ask(
                Method::POST,
                path,
                &[("content-type", "application/json")],
                Some(text.clone().into_bytes()),
            )
            .await;
        let found = reply.status.as_u16();
        assert!(
            found == status || (status == 422 && found == 400),
            "{text}: {found}"
        );
    }
}

/// How many files of footage this process has open that have no name any more.
fn nameless_files() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter_map(|fd| std::fs::read_link(fd.path()).ok())
        .filter(|path| path.to_string_lossy().ends_with(".mp4 (deleted)"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_ends_with_the_version_that_it_began_with() {
    // Noise: large, so that no buffer on the way holds the rest of it.
    let picture = "test:?size=1280x720&fps=25&gop=25&pattern=snow";
    let server = Server::of([camera("front", picture)], |config| {
        config.transcode.preset = Some("ultrafast".into());
        config.transcode.quality = 45;
        config.transcode.min_ssim = 0.0;
        config.transcode.threads = 0;
        config.jobs.max_load_percent = 0;
    })
    .await;
    server.recorded("front", 25.0).await;
    assert_eq!(server.post("/api/v1/cameras/front/stop").await.status, 202);
    server.state("front", "stopped").await;
    let segments = server
        .until("/api/v1/cameras/front/segments", |s| {
            s["segments"][0]["state"] == "closed"
        })
        .await;
    let segment = &segments["segments"][0];
    let path = format!("/api/v1/segments/{}", segment["id"]);
    let before = server.get(&path).await;
    assert!(before.body.len() > 4_500_000, "{} bytes", before.body.len());

    let address = server.url("").trim_start_matches("http://").to_owned();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut download = socket.connect(address.parse().unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    download.write_all(request.as_bytes()).await.unwrap();
    let mut got = vec![0; 1000];
    download.read_exact(&mut got).await.unwrap();

    let from: Timestamp = segment["start"].as_str().unwrap().parse().unwrap();
    let range = TimeRange::new(from, from.add_ns(60_000_000_000)).unwrap();
    let front = CameraId::new("front").unwrap();
    let job = server.nvr.transcode(&front, range).await.unwrap()[0];
    let jobs = server.nvr.jobs();
    let mut done = std::pin::pin!(jobs.wait(job));
    // Who reads nothing for long is hung up on, and a busy machine takes long.
    let mut little = [0; 4096];
    let job = loop {
        match tokio::time::timeout(Duration::from_secs(2), done.as_mut()).await {
            Ok(job) => break job.unwrap(),
            Err(_) => {
                let n = download.read(&mut little).await.unwrap();
                got.extend_from_slice(&little[..n]);
            }
        }
    };
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    assert_eq!(nameless_files(), 1, "the download is not over: {job:#?}");
    let after = server.get(&path).await;
    assert!(after.body != before.body && after.body.len() < before.body.len());

    download.read_to_end(&mut got).await.unwrap();
    let head = got.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert!(got[head..] == before.body[..], "it is not what it began with");
    server.end().await;
}
