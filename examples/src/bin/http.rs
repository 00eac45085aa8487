//! A recorder with its API and page inside one's own program: `cargo run -p nvr-examples --bin http -- rtsp://… …`,
//! then open <http://127.0.0.1:8080/>. Without arguments it records two test pictures; `LISTEN=127.0.0.1:9000` in the
//! environment has it listen elsewhere.
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]
use std::time::Duration;

use nvr_core::config::{Auth, CameraConfig, Config};
use nvr_core::{CameraId, Nvr, SourceSpec};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut sources: Vec<String> = std::env::args().skip(1).collect();
    if sources.is_empty() {
        sources = vec![
            "test:?size=640x360".into(),
            "test:?size=640x360&pattern=ball".into(),
        ];
    }
    let mut config = Config::new("recordings");
    for (n, source) in sources.iter().enumerate() {
        let id = CameraId::new(&format!("camera{}", n + 1))?;
        config
            .cameras
            .push(CameraConfig::new(id, SourceSpec::parse(source)?));
    }
    // For this machine only; else leave it out, and print the link of `nvr_http::setup_link`.
    config.http.auth = Auth::None;
    if let Ok(listen) = std::env::var("LISTEN") {
        config.http.listen = listen.parse()?;
    }
    let http = config.http.clone();
    let nvr = Nvr::builder(config).start().await?;

    let listener = tokio::net::TcpListener::bind(http.listen).await?;
    println!("http://{}/", listener.local_addr()?);
    let stop = CancellationToken::new();
    let server = tokio::spawn({
        let (nvr, stop) = (nvr.clone(), stop.clone());
        async move { nvr_http::serve(listener, nvr, &http, stop, Duration::from_secs(2)).await }
    });

    tokio::signal::ctrl_c().await?;
    stop.cancel();
    server.await??;
    nvr.shutdown(Duration::from_secs(10)).await;
    Ok(())
}
