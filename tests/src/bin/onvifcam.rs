//! A simulated ONVIF camera to be used by hand; `testcam` sends its picture.
#![expect(
    clippy::print_stdout,
    reason = "a program that talks to the person in front of it"
)]

use std::net::Ipv4Addr;
use std::time::Duration;

use clap::Parser;
use nvr_tests::onvifcam::{OnvifCam, OnvifOptions};

/// Simulates an ONVIF camera (user `admin`, password `s&cret`) and prints what it is told.
#[derive(Debug, Parser)]
struct Args {
    /// TCP port; 0 takes a free one.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Address to listen at.
    #[arg(long, default_value = "127.0.0.1")]
    listen: Ipv4Addr,
    /// Answer those who look for cameras on the network.
    #[arg(long)]
    discoverable: bool,
    /// Ask for HTTP Digest instead of a WS-UsernameToken.
    #[arg(long)]
    digest: bool,
    /// Seconds by which its clock is ahead.
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    ahead: i64,
    /// Have Media 2 only.
    #[arg(long)]
    media2: bool,
    /// Do not turn.
    #[arg(long)]
    no_ptz: bool,
    /// Do not stop by itself.
    #[arg(long)]
    stubborn: bool,
    /// Address of the main stream.
    #[arg(long, default_value = "rtsp://127.0.0.1:8554/main")]
    main: String,
    /// Address of the sub stream.
    #[arg(long, default_value = "rtsp://127.0.0.1:8554/sub")]
    sub: String,
    /// Say that something moves, on and off, every so many seconds.
    #[arg(long, value_name = "SECONDS")]
    motion_every: Option<f64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let options = OnvifOptions {
        http_digest: args.digest,
        clock_ahead_s: args.ahead,
        media2: args.media2,
        ptz: !args.no_ptz,
        minds_timeout: !args.stubborn,
        streams: [args.main, args.sub],
        listen: args.listen,
        discoverable: args.discoverable,
        ..OnvifOptions::default()
    };
    let cam = OnvifCam::start(args.port, options).await?;
    println!("http://{}/onvif/device_service", cam.address());
    let mut told = 0;
    let mut moves = false;
    let mut ticks = 0.0;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        ticks += 0.1;
        if args.motion_every.is_some_and(|every| ticks >= every) {
            (ticks, moves) = (0.0, !moves);
            cam.tell(
                "tns1:RuleEngine/CellMotionDetector/Motion",
                "Rule=motion",
                &format!("IsMotion={moves}"),
            );
        }
        let (new, moving) = cam.seen(|s| (s.operations[told..].to_vec(), s.moving));
        told += new.len();
        for operation in new {
            println!("{operation} {moving:?}");
        }
    }
}
