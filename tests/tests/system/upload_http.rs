//! What is only in a bucket, asked for over HTTP as a player does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nvr_core::TimeRange;
use nvr_core::config::Auth;
use nvr_core::event::CameraPhase;
use nvr_core::store::{SegmentQuery, SegmentState};
use nvr_tests::rig::{CAM, Rig, id, small, whole};
use nvr_tests::s3::S3;
use nvr_tests::{TestCam, judge};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

/// Status and body of an answer.
async fn get(server: SocketAddr, path: &str, headers: &str) -> (u16, Vec<u8>) {
    let mut stream = tokio::net::TcpStream::connect(server).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_off(end))
}

async fn numbers(input: PathBuf) -> Vec<u32> {
    tokio::task::spawn_blocking(move || {
        judge::decode_all(&input).unwrap();
        judge::frame_numbers(&input).unwrap()
    })
    .await
    .unwrap()
}

/// The file of a segment is deleted here once its copy is there. Asked for over HTTP, whole and by range, as a playlist
/// and as an export, it gives the same frames as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_segment_plays_over_http() {
    let s3 = S3::start().await.unwrap();
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::new().unwrap();
    let mut target = s3.target("s3");
    target.local_retention = Some(Duration::ZERO);
    rig.config.uploads.push(target);
    rig.config.http.auth = Auth::None;
    rig.add(CAM, &cam.url()).unwrap();
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(30).await.unwrap();
    rig.cam().split().unwrap();
    let store = rig.nvr().store().clone();
    let mut remote = None;
    rig.until("a remote segment", || {
        let mut query = SegmentQuery::new([id(CAM)], TimeRange::ALL);
        query.states = vec![SegmentState::Remote];
        remote = store.segments(&query).unwrap().items.pop();
        remote.is_some()
    })
    .await
    .unwrap();
    let row = remote.unwrap();
    assert!(!rig.root().join(&row.path).exists());

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let (nvr, http, stop) = (
        rig.nvr().clone(),
        rig.config.http.clone(),
        CancellationToken::new(),
    );
    let serving = tokio::spawn({
        let stop = stop.clone();
        async move { nvr_http::serve(listener, nvr, &http, stop, Duration::from_secs(2)).await }
    });
    let dir = tempfile::tempdir().unwrap();

    let address = format!("/api/v1/segments/{}", row.id);
    let (status, file) = get(server, &address, "").await;
    assert_eq!(status, 200);
    assert_eq!(Some(*blake3::hash(&file).as_bytes()), row.hash);
    let (status, piece) = get(server, &address, "Range: bytes=1000-1999\r\n").await;
    assert_eq!((status, &piece[..]), (206, &file[1000..2000]));
    let path = dir.path().join("segment.mp4");
    std::fs::write(&path, &file).unwrap();
    let frames = numbers(path).await;
    assert!(frames.len() >= 30);
    whole(&frames).unwrap();

    let span = format!("from={}&to={}", row.start, row.end());
    let vod = format!("http://{server}/api/v1/cameras/{CAM}/vod.m3u8?{span}");
    assert_eq!(numbers(PathBuf::from(vod)).await, frames);
    let export = format!("/api/v1/cameras/{CAM}/export.mp4?{span}");
    let (status, clip) = get(server, &export, "").await;
    assert_eq!(status, 200);
    let path = dir.path().join("clip.mp4");
    std::fs::write(&path, clip).unwrap();
    assert_eq!(numbers(path).await, frames);

    // All that came from the bucket: nothing was brought back for it.
    assert!(!rig.root().join(&row.path).exists());
    let state = store.segment(row.id).unwrap().unwrap().state;
    assert_eq!(state, SegmentState::Remote);
    stop.cancel();
    serving.await.unwrap().unwrap();
    rig.stop().await;
}
