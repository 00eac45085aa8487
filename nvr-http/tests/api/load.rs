//! Many who watch and many who ask: the recorder loses nothing, whatever they do.

use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{PATIENCE, PICTURE, Server, camera};

const VIEWERS: usize = 12;
const ASKING: usize = 8;
const QUESTIONS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn many_viewers_and_questions_cost_the_recorder_nothing() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    server.recorded("front", 1.0).await;
    let address = format!(
        "ws://{}/api/v1/cameras/front/live.mp4?audio=false",
        server.address
    );
    // One that takes nothing at all, as long as the others watch.
    let (stuck, _) = tokio_tungstenite::connect_async(&address).await.unwrap();
    let watch = async || {
        let (mut socket, _) = tokio_tungstenite::connect_async(&address).await.unwrap();
        let mut chunks = 0;
        while chunks < 40 {
            let message = tokio::time::timeout(PATIENCE, socket.next()).await;
            match message.expect("frames come").expect("it is open").unwrap() {
                Message::Binary(bytes) if &bytes[4..8] == b"moof" => chunks += 1,
                Message::Text(said) => assert!(!said.contains("\"end\""), "{said}"),
                _ => {}
            }
        }
        chunks
    };
    let ask = async || {
        for _ in 0..QUESTIONS {
            let timeline = server.json("/api/v1/cameras/front/timeline").await;
            assert_eq!(timeline["camera"], "front");
            let list = server.get("/api/v1/cameras/front/live.m3u8").await;
            assert_eq!(list.status, 200, "{}", list.text());
        }
    };
    let watching = futures_util::future::join_all((0..VIEWERS).map(|_| watch()));
    let asking = futures_util::future::join_all((0..ASKING).map(|_| ask()));
    let (seen, _) = tokio::join!(watching, asking);
    assert_eq!(seen, [40; VIEWERS]);
    drop(stuck);
    let so_far = server.json("/api/v1/cameras/front").await;
    let counters = &so_far["counters"];
    assert_eq!(counters["frames_dropped"], 0, "{so_far}");
    assert_eq!(counters["restarts"], 0, "{so_far}");
    // Every frame that came is in a file, and nothing is missing between them.
    assert_eq!(server.post("/api/v1/cameras/front/stop").await.status, 202);
    let end = server.state("front", "stopped").await;
    let frames = end["counters"]["frames"].as_u64().unwrap();
    server
        .until("/api/v1/cameras/front/segments", |v| {
            let all = v["segments"].as_array().unwrap();
            !all.is_empty() && all.iter().all(|s| s["state"] == "closed")
        })
        .await;
    let timeline = server.json("/api/v1/cameras/front/timeline").await;
    assert_eq!(timeline["ranges"].as_array().unwrap().len(), 1, "{timeline}");
    let (from, to) = (&timeline["ranges"][0]["start"], &timeline["ranges"][0]["end"]);
    let clip = format!(
        "/api/v1/cameras/front/export.mp4?from={}&to={}",
        from.as_str().unwrap(),
        to.as_str().unwrap()
    );
    let (_, recorded) = crate::support::probe(&server.url(&clip)).await;
    // A source counts what it has still to hand on when it is stopped.
    let missing = frames.saturating_sub(recorded as u64);
    assert!(missing <= 2, "{recorded} of {frames} frames are recorded");
    server.end().await;
}
