//! How much moves, and moved.

use crate::support::{Server, assert_problem};

#[tokio::test(flavor = "multi_thread")]
async fn motion_now_and_then() {
    let server = Server::start().await;
    server.history().await;
    let now = server.json("/api/v1/cameras/front/motion/now").await;
    assert_eq!(now["active"], false, "{now:#}");
    assert_eq!((&now["stream"], &now["frames"]), (&"main".into(), &0.into()));
    let strip = server.json("/api/v1/cameras/front/motion?buckets=5").await;
    // Nobody looked.
    assert_eq!(strip["scores"], serde_json::json!([null, null, null, null, null]));
    for (query, words) in [
        ("buckets=0", "buckets"),
        ("buckets=10001", "buckets"),
        ("buckets=many", "buckets"),
        ("from=-9000000000&to=9000000000", "ten years"),
    ] {
        let reply = server.get(&format!("/api/v1/cameras/front/motion?{query}")).await;
        assert_problem(&reply, 400, "invalid_argument");
        assert!(reply.json()["detail"].to_string().contains(words), "{query}");
    }
    for path in ["motion", "motion/now"] {
        let reply = server.get(&format!("/api/v1/cameras/nobody/{path}")).await;
        assert_problem(&reply, 404, "not_found");
    }
    let metrics = server.get("/metrics").await;
    assert!(
        metrics.text().contains("# TYPE nvr_motion_score gauge"),
        "{}",
        metrics.text()
    );
    server.end().await;
}
