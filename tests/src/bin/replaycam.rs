//! The bench camera as a program of its own, so that its cost is not counted with what it measures.
#![expect(
    clippy::print_stdout,
    reason = "a program that talks to the person in front of it"
)]

use std::io::BufRead;
use std::path::PathBuf;

use clap::Parser;
use nvr_tests::{ReplayCam, ReplayOptions};

/// Sends one H.264 clip to many RTSP/TCP connections in real time, on rtsp://127.0.0.1:PORT/0, /1, …
#[derive(Debug, Parser)]
#[command(after_help = "A line on standard input prints the counters, the line `quit` ends the program.")]
struct Args {
    /// TCP port; 0 takes a free one.
    #[arg(long, default_value_t = 8555)]
    port: u16,
    /// Number of paths.
    #[arg(long, default_value_t = 32)]
    paths: u32,
    /// H.264 byte stream without B-frames instead of the generated clip.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Frames a second of the file.
    #[arg(long, default_value_t = 25)]
    fps: u32,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let args = Args::parse();
    let cam = ReplayCam::start(&ReplayOptions {
        port: args.port,
        paths: args.paths,
        file: args.file,
        fps: args.fps,
    })?;
    println!("{}", cam.url(0));
    for line in std::io::stdin().lock().lines() {
        if line? == "quit" {
            return Ok(());
        }
        println!(
            "connections {} playing {} frames {} bytes {} late {} held up {} unsent {} broken {}",
            cam.connections(),
            cam.playing(),
            cam.frames_sent(),
            cam.bytes_sent(),
            cam.frames_late(),
            cam.frames_held_up(),
            cam.frames_unsent(),
            cam.broken()
        );
    }
    loop {
        std::thread::park();
    }
}
