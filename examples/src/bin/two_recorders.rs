//! Two recorders in one process, which do not know of each other: `cargo run -p nvr-examples --bin two_recorders`
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]
use std::time::Duration;

use nvr_core::config::{CameraConfig, Config};
use nvr_core::{CameraId, Nvr, SourceSpec};

async fn recorder(root: &str) -> anyhow::Result<Nvr> {
    let mut config = Config::new(root);
    let source = SourceSpec::parse("test:?size=640x360&fps=15")?;
    config
        .cameras
        .push(CameraConfig::new(CameraId::new("front")?, source));
    Ok(Nvr::builder(config).start().await?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (a, b) = (recorder("recordings-a").await?, recorder("recordings-b").await?);
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!("a: {:?}", a.shutdown(Duration::from_secs(10)).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("b: {:?}", b.shutdown(Duration::from_secs(10)).await);
    Ok(())
}
