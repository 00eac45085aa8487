//! Add and remove cameras while the recorder runs: `cargo run -p nvr-examples --bin dynamic`
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]
use std::time::Duration;

use nvr_core::config::{CameraConfig, Config};
use nvr_core::event::CameraPhase;
use nvr_core::{CameraId, Nvr, SourceSpec};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let nvr = Nvr::builder(Config::new("recordings")).start().await?;
    for name in ["front", "yard"] {
        let source = SourceSpec::parse("test:?size=640x360&fps=15")?;
        let camera = nvr
            .add_camera(CameraConfig::new(CameraId::new(name)?, source))
            .await?;
        camera
            .state()
            .wait_for(|s| s.phase == CameraPhase::Recording)
            .await?;
        println!("{name} is recording; {} cameras in all", nvr.cameras().len());
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    nvr.remove_camera(&CameraId::new("yard")?).await?;
    println!("yard is gone, its footage is not: {:?}", nvr.stats().await?);
    let report = nvr.shutdown(Duration::from_secs(10)).await;
    println!("{report:?}");
    Ok(())
}
