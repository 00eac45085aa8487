//! Print what happens: `cargo run -p nvr-examples --bin events -- rtsp://…`
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]
use std::time::Duration;

use nvr_core::config::{CameraConfig, Config};
use nvr_core::{CameraId, Nvr, SourceSpec};
use tokio_stream::StreamExt;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let source = std::env::args().nth(1).unwrap_or_else(|| "test:".into());
    let mut config = Config::new("recordings");
    config.cameras.push(CameraConfig::new(
        CameraId::new("front")?,
        SourceSpec::parse(&source)?,
    ));
    let nvr = Nvr::builder(config).start().await?;
    let mut events = nvr.events();
    let end = tokio::time::sleep(Duration::from_secs(20));
    tokio::pin!(end);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => println!("{} {}", event.at, serde_json::to_string(&event.kind)?),
                None => break,
            },
            () = &mut end => break,
        }
    }
    nvr.shutdown(Duration::from_secs(10)).await;
    Ok(())
}
