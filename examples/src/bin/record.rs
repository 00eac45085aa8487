//! Record one camera for a minute, or so many seconds: `cargo run -p nvr-examples --bin record -- rtsp://… 600`
use std::time::Duration;

use nvr_core::config::{CameraConfig, Config};
use nvr_core::{CameraId, Nvr, SourceSpec};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let source = args.next().unwrap_or_else(|| "test:".into());
    let seconds = args.next().map_or(Ok(60), |s| s.parse())?;
    let mut config = Config::new("recordings");
    config.cameras.push(CameraConfig::new(
        CameraId::new("front")?,
        SourceSpec::parse(&source)?,
    ));
    let nvr = Nvr::builder(config).start().await?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    nvr.shutdown(Duration::from_secs(10)).await;
    Ok(())
}
