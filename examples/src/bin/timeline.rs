//! What is recorded of today, and what is missing and why. Works beside a running recorder:
//! `cargo run -p nvr-examples --bin timeline -- recordings front`
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]
use std::time::Duration;

use nvr_core::config::Config;
use nvr_core::{Archive, CameraId, TimeRange};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let root = args.next().unwrap_or_else(|| "recordings".into());
    let camera = CameraId::new(&args.next().unwrap_or_else(|| "front".into()))?;
    let archive = Archive::open(&Config::new(root)).await?;
    let now = archive.clock().now();
    let timeline = archive
        .timeline(&camera, TimeRange::new(now - Duration::from_hours(24), now)?)
        .await?;
    for recorded in &timeline.ranges {
        println!("recorded {} to {}", recorded.range.start(), recorded.range.end());
    }
    for gap in &timeline.gaps {
        println!(
            "missing  {} to {}: {}",
            gap.range.start(),
            gap.range.end(),
            gap.cause.message
        );
    }
    Ok(())
}
