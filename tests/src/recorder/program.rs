//! The program `recorder`: a recorder that prints what happens as lines of JSON.
//!
//! `{"started":…}` once, `{"event":{…}}` for each event, `{"arrived":UTC_NS,"key":…}` for each video frame that
//! reached the recorder, `{"stopping":…}` and `{"stopped":{…}}` at the end. SIGTERM and SIGINT end it in order; a second
//! signal cuts.
#![allow(clippy::print_stdout, reason = "that is how it is watched")]

use std::future::poll_fn;
use std::io::Write as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use futures_core::Stream as _;
use nvr_core::clock::{Clock as _, SystemClock};
use nvr_core::config::{Age, CameraConfig, Config, OnvifConfig, RetentionConfig};
use nvr_core::onvif::Access;
use nvr_core::secret::Secret;
use nvr_core::source::Credentials;
use nvr_core::testing::undivided;
use nvr_core::{Camera, CameraId, Nvr, SourceSpec};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::steps::StepsKind;

/// Frames that may wait to be printed.
const CAPACITY: usize = 10_000;

/// What it is told.
#[derive(Debug, Parser)]
#[command(about = "A recorder for tests: runs until a signal and prints events as lines of JSON")]
pub struct Args {
    /// Recordings root.
    #[arg(long)]
    root: PathBuf,
    /// Index; in the root by default.
    #[arg(long)]
    database: Option<PathBuf>,
    /// A camera as ID=SOURCE, several times for several.
    #[arg(long = "camera", value_parser = parse_camera)]
    cameras: Vec<(CameraId, SourceSpec)>,
    /// Length of a segment in seconds; longer than any test by default.
    #[arg(long)]
    segment: Option<f64>,
    /// Seconds without a frame until a camera is restarted.
    #[arg(long, default_value_t = 10.0)]
    watchdog: f64,
    /// Seconds that footage is kept; for ever by default.
    #[arg(long)]
    max_age: Option<u64>,
    /// Seconds that an orderly end may take.
    #[arg(long, default_value_t = 10.0)]
    deadline: f64,
    /// Uploads to the bucket of the tests at this address.
    #[arg(long)]
    upload: Option<String>,
    /// Bytes per second that it may use for that.
    #[arg(long, default_value_t = 0)]
    bandwidth: u64,
    /// The cameras' gaps are filled from the card of the simulated camera that answers ONVIF at this address.
    #[arg(long)]
    onvif: Option<String>,
    /// Bytes per second that it may use for that; 0: no limit.
    #[arg(long, default_value_t = 0)]
    fill_rate: u64,
}

fn parse_camera(text: &str) -> anyhow::Result<(CameraId, SourceSpec)> {
    let (id, source) = text.split_once('=').context("write ID=SOURCE")?;
    Ok((CameraId::new(id)?, crate::rig::source_of(source)?))
}

fn onvif(address: &str, bytes_per_s: u64) -> anyhow::Result<OnvifConfig> {
    let mut config = OnvifConfig::new(Access::parse(address, None)?.address, None);
    config.credentials = Some(Credentials {
        user: "admin".into(),
        password: Secret::new("s&cret"),
    });
    config.fill.enabled = true;
    config.fill.after = Duration::ZERO;
    config.fill.bytes_per_s = bytes_per_s;
    Ok(config)
}

fn say(value: &Value) {
    let mut out = std::io::stdout().lock();
    // A reader that is gone is a test that failed already.
    let _ = writeln!(out, "{value}");
    let _ = out.flush();
}

/// Runs until a signal.
///
/// # Errors
/// When the recorder does not start.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let mut config = Config::new(&args.root);
    config.recorder.time_zone = "UTC".into();
    config.retention = RetentionConfig::off();
    if let Some(seconds) = args.max_age {
        config.retention.max_age = Age::For(Duration::from_secs(seconds));
    }
    config.recorder.shutdown_deadline = Duration::from_secs_f64(args.deadline);
    if let Some(database) = args.database {
        config.recorder.database = database;
    }
    for (id, source) in args.cameras {
        let mut camera = CameraConfig::new(id, source);
        camera.segment = match args.segment {
            Some(seconds) => Duration::from_secs_f64(seconds),
            None => undivided(SystemClock::new().now()),
        };
        camera.watchdog = Duration::from_secs_f64(args.watchdog);
        if let Some(address) = &args.onvif {
            camera.onvif = Some(onvif(address, args.fill_rate)?);
        }
        config.cameras.push(camera);
    }
    if let Some(endpoint) = args.upload {
        let mut target = crate::s3::target("s3", &endpoint);
        target.bandwidth_bytes_per_s = args.bandwidth;
        config.uploads.push(target);
    }
    let deadline = config.recorder.shutdown_deadline;
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;

    let nvr = Nvr::builder(config).job_kind(Arc::new(StepsKind)).start().await?;
    say(&json!({ "started": nvr.started() }));
    let mut events = nvr.events();
    tokio::spawn(async move {
        while let Some(event) = poll_fn(|cx| Pin::new(&mut events).poll_next(cx)).await {
            say(&json!({ "event": event }));
        }
    });
    for camera in nvr.cameras() {
        tokio::spawn(watch(camera, nvr.clock()));
    }
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    say(&json!({ "stopping": nvr.clock().now() }));
    tokio::select! {
        report = nvr.shutdown(deadline) => {
            let clean = report.cut.is_empty();
            say(&json!({ "stopped": report }));
            return Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(3) });
        }
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(ExitCode::from(130))
}

/// Prints the frames of a camera as they arrive.
async fn watch(camera: Camera, clock: nvr_core::clock::SharedClock) {
    loop {
        clock.sleep(Duration::from_millis(20)).await;
        let Some(mut frames) = camera.live(CAPACITY) else {
            continue;
        };
        while let Some(unit) = frames.recv().await {
            if unit.track() == nvr_core::gst::UnitTrack::Video {
                say(&json!({
                    "arrived": unit.utc().as_ns(), "key": unit.keyframe(), "dropped": frames.dropped(),
                }));
            }
        }
    }
}
