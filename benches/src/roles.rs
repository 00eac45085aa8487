//! The processes that are measured: this binary, started by itself.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::Client;
use anyhow::Context as _;
use clap::Subcommand;
use nvr_core::config::{CameraConfig, Config};
use nvr_core::event::CameraPhase;
use nvr_core::source::Ingest;
use nvr_core::{CameraId, Nvr, NvrBuilder, SourceSpec};
use nvr_tests::proc::Proc;
use nvr_tests::{ReplayCam, ReplayOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Records URLs until it is told to end.
    #[command(hide = true)]
    Recorder {
        #[arg(long)]
        root: PathBuf,
        #[arg(long, default_value_t = 60)]
        segment: u64,
        /// Which client reads the streams.
        #[arg(long, value_enum, default_value = "lean")]
        ingest: Client,
        urls: Vec<String>,
    },
    /// Serves the clip and prints what it sent.
    #[command(hide = true)]
    Camera {
        #[arg(long)]
        paths: u32,
    },
    /// Serves an index over HTTP, and records URLs if there are any.
    #[command(hide = true)]
    Server {
        #[arg(long)]
        root: PathBuf,
        urls: Vec<String>,
    },
    /// Watches a camera and asks for timelines.
    #[command(hide = true)]
    Viewers {
        #[arg(long)]
        address: String,
        #[arg(long)]
        seconds: u64,
    },
}

/// Starts this binary in a role.
pub(crate) fn start(args: &[&str]) -> anyhow::Result<Proc> {
    let own = std::env::current_exe()?;
    // To try the recorder under another scheduling policy, an allocator or a profiler: `chrt -b 0`.
    let wrap = std::env::var("NVR_BENCH_WRAP").unwrap_or_default();
    let mut wrap = wrap.split_whitespace();
    let mut command = match wrap.next().filter(|_| args.first() == Some(&"recorder")) {
        Some(program) => {
            let mut command = Command::new(program);
            command.args(wrap).arg(own);
            command
        }
        None => Command::new(own),
    };
    command.args(args);
    Proc::spawn(command)
}

pub(crate) fn play(role: Role) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    match role {
        Role::Camera { paths } => camera(paths),
        Role::Recorder {
            root,
            segment,
            ingest,
            urls,
        } => runtime()?.block_on(recorder(root, segment, ingest, urls)),
        Role::Server { root, urls } => runtime()?.block_on(server(root, &urls)),
        Role::Viewers { address, seconds } => {
            let outcome = runtime()?.block_on(crate::load::load(address, seconds))?;
            say(&format!("outcome {outcome}"));
            Ok(())
        }
    }
}

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn camera(paths: u32) -> anyhow::Result<()> {
    let cam = ReplayCam::start(&ReplayOptions {
        paths,
        ..ReplayOptions::default()
    })?;
    println!("serving {}", cam.url(0));
    let mut before = String::new();
    loop {
        let now = format!(
            "sent {} late {} held up {} broken {}",
            cam.frames_sent(),
            cam.frames_late(),
            cam.frames_held_up(),
            cam.broken()
        );
        if now != before {
            println!("{now}");
            before = now;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

async fn recorder(root: PathBuf, segment: u64, ingest: Client, urls: Vec<String>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let nvr = nvr(root, segment, ingest, &urls)?.start().await?;
    println!("started");
    for camera in nvr.cameras() {
        camera
            .state()
            .wait_for(|s| s.phase == CameraPhase::Recording)
            .await?;
    }
    println!("recording");
    terminate.recv().await;
    let report = nvr.shutdown(Duration::from_secs(10)).await;
    println!("stopped {}", serde_json::to_string(&report)?);
    Ok(())
}

/// A recorder of these streams.
pub(crate) fn nvr(
    root: PathBuf,
    segment: u64,
    ingest: Client,
    urls: &[String],
) -> anyhow::Result<NvrBuilder> {
    Ok(Nvr::builder(config(root, segment, ingest, urls)?))
}

fn config(root: PathBuf, segment: u64, ingest: Client, urls: &[String]) -> anyhow::Result<Config> {
    let mut config = Config::new(root);
    for (n, url) in urls.iter().enumerate() {
        let mut source = SourceSpec::parse(url)?;
        if let SourceSpec::Rtsp(s) = &mut source {
            s.ingest = match ingest {
                Client::Lean => Ingest::Lean,
                Client::Rtspsrc => Ingest::Rtspsrc,
            };
        }
        let mut camera = CameraConfig::new(CameraId::new(&format!("cam{n:02}"))?, source);
        camera.segment = Duration::from_secs(segment);
        config.cameras.push(camera);
    }
    Ok(config)
}

/// A line for the process that started this one.
pub(crate) fn say(line: &str) {
    println!("{line}");
}

async fn server(root: PathBuf, urls: &[String]) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut config = config(root, 60, Client::Lean, urls)?;
    config.http.auth = nvr_core::config::Auth::None;
    let http = config.http.clone();
    let nvr = Nvr::builder(config).start().await?;
    for camera in nvr.cameras() {
        camera
            .state()
            .wait_for(|s| s.phase == CameraPhase::Recording)
            .await?;
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr().context("no address")?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        terminate.recv().await;
        told.cancel();
    });
    nvr_http::serve(listener, nvr.clone(), &http, stop, Duration::from_secs(1)).await?;
    nvr.shutdown(Duration::from_secs(10)).await;
    Ok(())
}
