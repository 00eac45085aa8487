//! A simulated RTSP camera to be used by hand.
#![expect(
    clippy::print_stdout,
    reason = "a program that talks to the person in front of it"
)]

use std::io::BufRead;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use nvr_tests::{Audio, Auth, Codec, Picture, TestCam, TestCamOptions};

/// Simulates RTSP cameras on 127.0.0.1 whose picture carries its frame number and the time.
#[derive(Debug, Parser)]
#[command(after_help = COMMANDS)]
struct Args {
    /// Paths to serve, each with an encoder of its own.
    #[arg(default_value = "/cam")]
    paths: Vec<String>,
    /// TCP port; 0 takes a free one.
    #[arg(long, default_value_t = 8554)]
    port: u16,
    /// h264 or h265.
    #[arg(long, default_value = "h264")]
    codec: Codec,
    /// WIDTHxHEIGHT.
    #[arg(long, default_value = "640x360")]
    size: String,
    /// Frames a second.
    #[arg(long, default_value_t = 25)]
    fps: u32,
    /// Frames between keyframes.
    #[arg(long, default_value_t = 25)]
    gop: u32,
    /// B-frames between P-frames.
    #[arg(long, default_value_t = 0)]
    bframes: u32,
    /// Kilobits a second.
    #[arg(long, default_value_t = 500)]
    kbps: u32,
    /// Leave frames out and jitter the others.
    #[arg(long)]
    variable_rate: bool,
    /// Background: ball, bars or snow.
    #[arg(long, default_value = "ball")]
    picture: Picture,
    /// none, aac, pcmu, pcma or opus.
    #[arg(long, default_value = "none")]
    audio: Audio,
    /// Declare the audio track but never send anything of it.
    #[arg(long)]
    audio_silent: bool,
    /// Stop the audio after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    audio_stops_after: Option<f64>,
    /// basic:USER:PASSWORD or digest:USER:PASSWORD.
    #[arg(long)]
    auth: Option<Auth>,
    /// Refuse UDP.
    #[arg(long, conflicts_with = "udp_only")]
    tcp_only: bool,
    /// Refuse all but UDP.
    #[arg(long)]
    udp_only: bool,
    /// Wait so many seconds before DESCRIBE is answered.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    describe_delay: f64,
}

const COMMANDS: &str = "\
Commands on standard input, one a line:
  freeze                 send nothing, keep connections, answer requests
  hang                   send nothing, answer nothing
  resume                 end freeze and hang
  die                    close connections and listen no more
  return [KEY=VALUE...]  come back; keys: codec size fps gop bframes audio
  drop                   close connections, go on listening
  jump SECONDS           move all RTP timestamps, may be negative
  repeat N               the next N frames repeat the timestamp before them
  backward N MS          the next N frames carry timestamps MS too low
  poc N                  picture order counts are N off up to the next keyframe (needs B-frames)
  lose N                 lose the next N encoded frames
  stall-audio, resume-audio
  auth none|KIND:USER:PASSWORD   what new connections need
  keyframe               the next frame is a keyframe
  stats                  print counters
  quit
Without standard input the camera runs until it is killed.";

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let args = Args::parse();
    let (width, height) = size(&args.size)?;
    let mut cam = TestCam::start(TestCamOptions {
        port: args.port,
        paths: args.paths,
        codec: args.codec,
        width,
        height,
        fps: args.fps,
        gop: args.gop,
        bframes: args.bframes,
        bitrate_bps: args.kbps.saturating_mul(1000),
        variable_rate: args.variable_rate,
        picture: args.picture,
        audio: args.audio,
        audio_silent: args.audio_silent,
        audio_stops_after: args
            .audio_stops_after
            .map(Duration::try_from_secs_f64)
            .transpose()?,
        auth: args.auth,
        tcp_only: args.tcp_only,
        udp_only: args.udp_only,
        describe_delay: Duration::try_from_secs_f64(args.describe_delay)?,
    })?;
    for url in cam.urls() {
        println!("{url}");
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        if words == ["quit"] {
            return Ok(());
        }
        match command(&mut cam, &words) {
            Ok(()) => println!("ok {line}"),
            Err(e) => println!("error {line}: {e:#}"),
        }
    }
    loop {
        std::thread::park();
    }
}

fn command(cam: &mut TestCam, words: &[&str]) -> anyhow::Result<()> {
    match words {
        [] => {}
        ["freeze"] => cam.freeze(),
        ["hang"] => cam.hang(),
        ["resume"] => cam.resume(),
        ["die"] => cam.die(),
        ["return", changes @ ..] => {
            let options = changed(cam.options().clone(), changes)?;
            cam.come_back_as(options)?;
        }
        ["drop"] => cam.drop_connections(),
        ["jump", by] => {
            let seconds: f64 = by.parse()?;
            let by = Duration::try_from_secs_f64(seconds.abs())?;
            if seconds < 0.0 {
                cam.jump_timestamps_backward(by);
            } else {
                cam.jump_timestamps_forward(by);
            }
        }
        ["repeat", n] => cam.repeat_timestamps(n.parse()?),
        ["backward", n, ms] => cam.backward_timestamps(n.parse()?, Duration::from_millis(ms.parse()?)),
        ["poc", by] => cam.jump_picture_order(by.parse()?),
        ["lose", n] => cam.lose_frames(n.parse()?),
        ["stall-audio"] => cam.stall_audio(),
        ["resume-audio"] => cam.resume_audio(),
        ["auth", "none"] => cam.set_auth(None),
        ["auth", auth] => cam.set_auth(Some(&auth.parse()?)),
        ["keyframe"] => cam.force_keyframe(),
        ["stats"] => println!(
            "frames {} clients {} connections {} describes {}",
            cam.frames_sent(),
            cam.clients(),
            cam.connections(),
            cam.describes()
        ),
        _ => bail!("unknown command; --help lists them"),
    }
    Ok(())
}

fn changed(mut o: TestCamOptions, changes: &[&str]) -> anyhow::Result<TestCamOptions> {
    for change in changes {
        let (key, value) = change.split_once('=').context("write KEY=VALUE")?;
        match key {
            "codec" => o.codec = value.parse()?,
            "size" => (o.width, o.height) = size(value)?,
            "fps" => o.fps = value.parse()?,
            "gop" => o.gop = value.parse()?,
            "bframes" => o.bframes = value.parse()?,
            "audio" => o.audio = value.parse()?,
            _ => bail!("unknown key {key:?}"),
        }
    }
    Ok(o)
}

fn size(s: &str) -> anyhow::Result<(u32, u32)> {
    let (w, h) = s.split_once('x').context("write the size as WIDTHxHEIGHT")?;
    Ok((w.parse()?, h.parse()?))
}
