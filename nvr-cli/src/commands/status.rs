//! `nvr status`: how the recorder and its cameras fare.

use clap::Args;
use jiff::tz::TimeZone;
use nvr_core::error::{Error, ErrorKind};
use serde::Serialize;
use serde_json::Value;

use super::cameras::{self, CameraView};
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::Output;
use crate::{client, config, logging, times};

#[derive(Serialize)]
struct Report {
    /// Whether a recorder answers at the configured address.
    running: bool,
    /// Its page.
    url: Option<String>,
    /// What it says of itself (`/health`).
    health: Option<Value>,
    cameras: Vec<CameraView>,
}

#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Only say by the exit code whether a recorder answers: for health checks.
    #[arg(long)]
    alive: bool,
    /// The same, and whether every enabled camera does what it should.
    #[arg(long, conflicts_with = "alive")]
    ready: bool,
}

pub async fn run(global: &Global, args: &StatusArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let config = config::load(global)?;
    let address = client::address(&config);
    if args.alive || args.ready {
        return answers(address.as_ref(), args.ready).await;
    }
    let (health, live) = match &address {
        Some(address) => (
            client::get(address, "/health")
                .await
                .filter(|health| health["ready"].is_boolean()),
            client::get(address, "/api/v1/cameras").await,
        ),
        None => (None, None),
    };
    let report = Report {
        running: health.is_some(),
        url: health.as_ref().and(address.as_ref()).map(ToString::to_string),
        cameras: cameras::collect(&config, live.as_ref()).await?,
        health,
    };
    let zone = times::zone(&config.recorder.time_zone);
    output.result(&report, || text(&report, address.as_ref(), &zone))
}

/// Whether a recorder answers, and is ready if that is asked for.
async fn answers(recorder: Option<&client::Recorder>, ready: bool) -> Result<(), Failure> {
    let health = match recorder {
        Some(recorder) => client::get(recorder, "/health").await,
        None => None,
    };
    let message = match health {
        None => "no recorder answers",
        Some(health) if ready && health["ready"] != true => "the recorder is not ready",
        Some(_) => return Ok(()),
    };
    Err(Error::new(ErrorKind::Unavailable, message)
        .with_hint("`nvr status` says more")
        .into())
}

fn text(report: &Report, address: Option<&client::Recorder>, zone: &TimeZone) -> String {
    let mut out = match (&report.url, &report.health, address) {
        (Some(url), Some(health), _) => {
            let word = if health["ready"] == true {
                "all is well"
            } else if health["status"] == "ok" {
                "starting"
            } else {
                "something is wrong"
            };
            let started = health["started"].as_str().unwrap_or_default();
            let since = started
                .parse()
                .map_or_else(|_| "?".into(), |t| times::show(t, zone));
            format!("recorder at {url}: {word} (running since {since})\n")
        }
        (_, _, Some(address)) => {
            format!("no recorder answers at {address}; start one with `nvr run`\n")
        }
        (_, _, None) => "HTTP is off, so a running recorder cannot be asked\n".into(),
    };
    for problem in report
        .health
        .iter()
        .flat_map(|h| h["problems"].as_array())
        .flatten()
    {
        if problem["camera"].is_null() {
            let message = problem["cause"]["message"].as_str().unwrap_or_default();
            out += &format!("  recorder: {message}\n");
        }
    }
    for camera in report.cameras.iter().filter_map(CameraView::trouble) {
        out += &format!("  {camera}\n");
    }
    for camera in report.cameras.iter().filter_map(|c| c.schedule(zone)) {
        out += &format!("  {camera}\n");
    }
    for camera in report.cameras.iter().filter_map(CameraView::detour) {
        out += &format!("  {camera}\n");
    }
    out + "\n" + &cameras::table(&report.cameras)
}
