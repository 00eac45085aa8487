//! A recorder without cameras over an index of a million segments, for load: prints the address of one day.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for measuring")]
use std::time::Duration;

use nvr_core::config::Config;
use nvr_core::{CameraId, Nvr, Timestamp};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let root = std::env::args().nth(1).unwrap();
    let cameras: Vec<CameraId> = (0..10)
        .map(|n| CameraId::new(&format!("cam{n}")).unwrap())
        .collect();
    let end: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    let mut config = Config::new(root);
    config.http.auth = nvr_core::config::Auth::None;
    let http = config.http.clone();
    let nvr = Nvr::builder(config).start().await.unwrap();
    if nvr.store().count().unwrap() == 0 {
        let store = nvr.store().clone();
        tokio::task::spawn_blocking(move || {
            nvr_core::testing::synthetic_index(&store, &cameras, 100_000, end).unwrap();
        })
        .await
        .unwrap();
    }
    println!("{} segments", nvr.store().count().unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8099").await?;
    println!(
        "http://127.0.0.1:8099/api/v1/cameras/cam5/timeline?from=2026-03-04T00:00:00Z&to=2026-03-05T00:00:00Z"
    );
    let stop = CancellationToken::new();
    nvr_http::serve(listener, nvr, &http, stop, Duration::from_secs(1)).await
}
