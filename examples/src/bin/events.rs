//! Print what happens in 20 seconds, or so many: `cargo run -p nvr-examples --bin events -- rtsp://… 600`
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]
use std::time::Duration;

use nvr_core::config::{CameraConfig, Config};
use nvr_core::{CameraId, Nvr, SourceSpec};
use tokio_stream::StreamExt;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let source = args.next().unwrap_or_else(|| "test:".into());
    let seconds = args.next().map_or(Ok(20), |s| s.parse())?;
    let mut config = Config::new("recordings");
    config.cameras.push(CameraConfig::new(
        CameraId::new("front")?,
        SourceSpec::parse(&source)?,
    ));
    let nvr = Nvr::builder(config).start().await?;
    let mut events = nvr.events();
    let end = tokio::time::sleep(Duration::from_secs(seconds));
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
