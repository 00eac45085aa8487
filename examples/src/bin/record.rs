//! Record one camera for a minute: `cargo run -p nvr-examples --bin record -- rtsp://…`
use std::time::Duration;

use nvr_core::config::{CameraConfig, Config};
use nvr_core::{CameraId, Nvr, SourceSpec};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let source = std::env::args().nth(1).unwrap_or_else(|| "test:".into());
    let mut config = Config::new("recordings");
    config.cameras.push(CameraConfig::new(
        CameraId::new("front")?,
        SourceSpec::parse(&source)?,
    ));
    let nvr = Nvr::builder(config).start().await?;
    tokio::time::sleep(Duration::from_mins(1)).await;
    nvr.shutdown(Duration::from_secs(10)).await;
    Ok(())
}
