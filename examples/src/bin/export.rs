//! Write the last ten minutes to one MP4: `cargo run -p nvr-examples --bin export -- recordings front clip.mp4`
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]
use std::time::Duration;

use nvr_core::config::Config;
use nvr_core::{Archive, CameraId, ExportFormat, ExportRequest, TimeRange};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let root = args.next().unwrap_or_else(|| "recordings".into());
    let camera = CameraId::new(&args.next().unwrap_or_else(|| "front".into()))?;
    let file = args.next().unwrap_or_else(|| "clip.mp4".into());
    let archive = Archive::open(&Config::new(root)).await?;
    let now = archive.clock().now();
    let range = TimeRange::new(now - Duration::from_mins(10), now)?;
    let request = ExportRequest::new(camera, range, ExportFormat::Mp4);
    let bytes = archive.export_to(request, &file).await?;
    println!("{file}: {bytes} bytes");
    Ok(())
}
