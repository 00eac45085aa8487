//! `nvr status`: how the recorder and its cameras fare.

use std::collections::BTreeMap;

use clap::Args;
use jiff::tz::TimeZone;
use nvr_core::error::{Error, ErrorKind};
use serde::Serialize;
use serde_json::Value;

use super::cameras::{self, CameraView};
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::{client, config, logging, times};

#[derive(Serialize)]
struct Report {
    /// Whether a recorder answers at the configured address.
    running: bool,
    /// Its page.
    url: Option<String>,
    /// What it says of itself (`/health`).
    health: Option<Value>,
    /// Who reads cameras over RTSP (`/api/v1/rtsp`), as far as the recorder tells.
    rtsp: Option<Value>,
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
    let (health, live, rtsp) = match &address {
        Some(address) => (
            client::get(address, "/health")
                .await
                .filter(|health| health["ready"].is_boolean()),
            client::get(address, "/api/v1/cameras").await,
            client::get(address, "/api/v1/rtsp")
                .await
                .filter(|rtsp| rtsp["enabled"] == true),
        ),
        None => (None, None, None),
    };
    let report = Report {
        running: health.is_some(),
        url: health.as_ref().and(address.as_ref()).map(ToString::to_string),
        cameras: cameras::collect(&config, live.as_ref()).await?,
        health,
        rtsp,
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
    let troubled = |id: &str| {
        let mut of_camera = report.cameras.iter().filter(|c| c.id.as_str() == id);
        of_camera.any(|c| c.trouble().is_some())
    };
    if let Some(health) = &report.health {
        out += &problems(health, troubled);
    }
    for camera in report.cameras.iter().filter_map(CameraView::trouble) {
        out += &format!("  {camera}\n");
    }
    for camera in report.cameras.iter().filter_map(|c| c.schedule(zone)) {
        out += &format!("  {camera}\n");
    }
    for camera in report.cameras.iter().filter_map(CameraView::clock) {
        out += &format!("  {camera}\n");
    }
    for camera in report.cameras.iter().filter_map(CameraView::detour) {
        out += &format!("  {camera}\n");
    }
    out += &report.rtsp.as_ref().map(readers).unwrap_or_default();
    out + "\n" + &cameras::table(&report.cameras)
}

/// What is wrong, a line each, but for cameras of which a line says it already. One that is being opened again is in no state of
/// trouble, and a problem all the same.
fn problems(health: &Value, troubled: impl Fn(&str) -> bool) -> String {
    let all = health["problems"].as_array().into_iter().flatten();
    let lines = all.filter_map(|problem| {
        let message = problem["cause"]["message"].as_str().unwrap_or_default();
        match problem["camera"].as_str() {
            None => Some(format!("  recorder: {message}\n")),
            Some(id) if troubled(id) => None,
            Some(id) => Some(format!("  {id}: {message}\n")),
        }
    });
    lines.collect()
}

/// Who reads over RTSP, in a line.
fn readers(rtsp: &Value) -> String {
    let url = rtsp["url"].as_str().unwrap_or_default();
    let mut of: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for client in rtsp["clients"].as_array().into_iter().flatten() {
        let camera = client["camera"].as_str().unwrap_or_default();
        let name = match client["stream"].as_str() {
            Some("sub") => format!("{camera}/sub"),
            _ => camera.to_owned(),
        };
        let (count, bytes) = of.entry(name).or_default();
        *count += 1;
        *bytes += client["bytes"].as_u64().unwrap_or(0);
    }
    if of.is_empty() {
        return format!("RTSP at {url}: nobody reads\n");
    }
    let all: Vec<String> = of
        .iter()
        .map(|(name, (count, bytes))| format!("{name} {count} ({})", output::bytes(*bytes)))
        .collect();
    format!("RTSP at {url}: read now: {}\n", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_wrong_is_told_once() {
        let problem = |camera: Option<&str>, message: &str| serde_json::json!({"camera": camera, "cause": {"message": message}});
        let health = serde_json::json!({"problems": [
            problem(None, "the disk is full"),
            problem(Some("front"), "no frame for 10 s"),
            problem(Some("yard"), "refused"),
        ]});
        assert_eq!(
            problems(&health, |id| id == "yard"),
            "  recorder: the disk is full\n  front: no frame for 10 s\n"
        );
    }
}
