//! What is noted.

use reqwest::Method;
use serde_json::{Value, json};

use super::{add, admin, guarded, send};
use crate::support::assert_problem;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_noted() {
    let server = guarded().await;
    let admin = admin(&server).await;
    let body = json!({"name": "root", "password": "wrong wrong"});
    send(&server, Method::POST, "/api/v1/session", &[], Some(body)).await;
    admin
        .ask(&server, Method::POST, "/api/v1/cameras/front/start", None)
        .await;
    add(&server, &admin, "vera", "viewer", Value::Null).await;
    let mut entries = Value::Null;
    for _ in 0..600 {
        entries = admin.get(&server, "/api/v1/audit").await.json()["entries"].take();
        if entries.as_array().unwrap().len() >= 5 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let said: Vec<String> = entries
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|e| {
            format!(
                "{} {} {} {}",
                e["user"].as_str().unwrap_or("-"),
                e["action"].as_str().unwrap(),
                e["camera"].as_str().unwrap_or("-"),
                e["detail"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            "root user - made the first account",
            "- login_failed - ",
            "root control front POST /api/v1/cameras/front/start",
            "root user - made vera as viewer",
            "vera login - ",
        ]
    );
    assert_eq!(entries[0]["address"], "127.0.0.1");
    let page = admin.get(&server, "/api/v1/audit?user=root&limit=1").await.json();
    assert_eq!(page["entries"][0]["detail"], "made vera as viewer");
    let next = page["next"].as_str().unwrap();
    let page = admin
        .get(&server, &format!("/api/v1/audit?user=root&limit=1&cursor={next}"))
        .await
        .json();
    assert_eq!(page["entries"][0]["action"], "control");
    assert_problem(
        &admin.get(&server, "/api/v1/audit?action=none").await,
        400,
        "invalid_argument",
    );
    server.end().await;
}
