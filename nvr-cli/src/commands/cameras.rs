//! `nvr cameras`: what is configured, how it fares, what is recorded of it.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use nvr_core::archive::{Archive, CameraStats};
use nvr_core::config::{Config, RecordMode};
use nvr_core::error::ErrorKind;
use serde::Serialize;
use serde_json::Value;

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::{client, config, logging, times};

/// What is said where there is no camera. A configuration was read: `nvr init` would refuse to replace it.
pub const NONE: &str = "no cameras configured: add one as a [[cameras]] section";

/// One camera as it is printed.
#[derive(Serialize)]
pub struct CameraView {
    /// Seconds by which its own clock is ahead, where that is known.
    clock_ahead_seconds: Option<f64>,
    pub id: String,
    name: String,
    /// Address without credentials; `None` when it is no longer configured.
    source: Option<String>,
    enabled: bool,
    record: Option<RecordMode>,
    /// How it is recorded now, as the running recorder says.
    mode: Option<String>,
    /// When its schedule changes that, and to what.
    next_change: Option<String>,
    next_mode: Option<String>,
    /// What the running recorder says; `None` when none answers.
    state: Option<String>,
    cause: Option<String>,
    /// Which client reads the stream (`lean` or `rtspsrc`), as the running recorder says.
    ingest: Option<String>,
    /// Why it is not the lean one, where that was left to the recorder.
    ingest_reason: Option<String>,
    recorded_ns: i64,
    size_bytes: u64,
    segments: u64,
    /// What of its picture nobody is to see.
    privacy: Option<PrivacyView>,
}

/// Privacy masks of a camera.
#[derive(Serialize)]
pub struct PrivacyView {
    masks: Vec<String>,
    style: String,
    transcode: bool,
}

impl PrivacyView {
    fn new(privacy: &nvr_core::privacy::Privacy) -> Option<Self> {
        privacy.is_on().then(|| Self {
            masks: privacy.masks.iter().map(|m| m.name.clone()).collect(),
            style: privacy.style.to_string(),
            transcode: privacy.transcode,
        })
    }
}

pub async fn run(global: &Global, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let config = config::load(global)?;
    let live = match client::address(&config) {
        Some(address) => client::get(&address, "/api/v1/cameras").await,
        None => None,
    };
    let views = collect(&config, live.as_ref()).await?;
    output.result(&views, || {
        let mut text = table(&views);
        for line in views.iter().filter_map(CameraView::masks) {
            text.push('\n');
            text.push_str(&line);
        }
        text
    })
}

/// Brings together configuration, index and the running recorder.
pub async fn collect(config: &Config, live: Option<&Value>) -> Result<Vec<CameraView>, Failure> {
    let mut stats: BTreeMap<String, CameraStats> = BTreeMap::new();
    // Nothing recorded yet is no mistake.
    match Archive::open(config).await {
        Ok(archive) => {
            for camera in archive.stats().await?.cameras {
                stats.insert(camera.camera.to_string(), camera);
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e.into()),
    }
    let live: BTreeMap<&str, &Value> = live
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|camera| Some((camera["id"].as_str()?, camera)))
        .collect();
    let mut views = Vec::new();
    for camera in &config.cameras {
        let id = camera.id.to_string();
        let now = live.get(id.as_str());
        let totals = stats.remove(&id);
        views.push(CameraView {
            name: camera.name.clone(),
            source: Some(camera.source.to_string()),
            enabled: camera.enabled,
            record: Some(camera.record),
            mode: now.and_then(|c| c["mode"].as_str()).map(str::to_owned),
            next_change: now
                .and_then(|c| c["schedule"]["next_change"].as_str())
                .map(str::to_owned),
            next_mode: now
                .and_then(|c| c["schedule"]["next_mode"].as_str())
                .map(str::to_owned),
            state: now.and_then(|c| c["state"].as_str()).map(str::to_owned),
            cause: now
                .and_then(|c| c["cause"]["message"].as_str())
                .map(str::to_owned),
            ingest: now
                .and_then(|c| c["ingest"]["client"].as_str())
                .map(str::to_owned),
            ingest_reason: now
                .and_then(|c| c["ingest"]["reason"].as_str())
                .map(str::to_owned),
            clock_ahead_seconds: now.and_then(|c| c["clock_ahead_seconds"].as_f64()),
            recorded_ns: totals.as_ref().map_or(0, |t| t.duration_ns),
            size_bytes: totals.as_ref().map_or(0, |t| t.size_bytes),
            segments: totals.as_ref().map_or(0, |t| t.segments),
            privacy: PrivacyView::new(&camera.privacy),
            id,
        });
    }
    // Footage of cameras that are configured no more.
    views.extend(
        stats
            .into_values()
            .filter(|t| t.segments > 0)
            .map(|t| CameraView {
                id: t.camera.to_string(),
                name: t.camera.to_string(),
                source: None,
                enabled: false,
                record: None,
                mode: None,
                next_change: None,
                next_mode: None,
                state: None,
                cause: None,
                ingest: None,
                ingest_reason: None,
                clock_ahead_seconds: None,
                recorded_ns: t.duration_ns,
                size_bytes: t.size_bytes,
                segments: t.segments,
                privacy: None,
            }),
    );
    Ok(views)
}

/// The table that people read.
pub fn table(views: &[CameraView]) -> String {
    if views.is_empty() {
        return NONE.into();
    }
    let header = ["ID", "NAME", "STATE", "RECORDED", "SIZE", "SOURCE"];
    output::table(
        &header,
        &[3, 4],
        views.iter().map(|v| {
            let state = match (&v.state, &v.source, v.enabled) {
                (_, None, _) => "removed".to_owned(),
                (Some(state), ..) => state.replace('_', " "),
                (None, _, false) => "disabled".into(),
                (None, ..) => "-".into(),
            };
            vec![
                v.id.clone(),
                v.name.clone(),
                state,
                output::duration(v.recorded_ns),
                output::bytes(v.size_bytes),
                v.source.clone().unwrap_or_default(),
            ]
        }),
    )
}

impl CameraView {
    /// A line on its privacy masks.
    pub fn masks(&self) -> Option<String> {
        let privacy = self.privacy.as_ref()?;
        let burnt_in = if privacy.transcode {
            "burnt into every complete segment"
        } else {
            "in pictures and in what is encoded; recordings are unmasked until they are transcoded"
        };
        Some(format!(
            "{}: privacy masks ({}; {}): {burnt_in}",
            self.id,
            privacy.masks.join(", "),
            privacy.style
        ))
    }

    /// A line on a clock that is wrong.
    pub fn clock(&self) -> Option<String> {
        let ahead = self.clock_ahead_seconds.filter(|s| s.abs() > 5.0)?;
        let way = if ahead > 0.0 { "ahead" } else { "behind" };
        Some(format!(
            "{0}: its clock is {1:.0} s {way}: `nvr onvif set-time {0}`",
            self.id,
            ahead.abs()
        ))
    }

    /// A line on a dearer way to read it than there could be.
    pub fn detour(&self) -> Option<String> {
        let client = self.ingest.as_deref()?;
        let reason = self.ingest_reason.as_deref()?;
        Some(format!("{}: read by {client}: {reason}", self.id))
    }

    /// A line on what its schedule does next.
    pub fn schedule(&self, zone: &TimeZone) -> Option<String> {
        let at = self.next_change.as_deref()?.parse().ok()?;
        let (mode, next) = (self.mode.as_deref()?, self.next_mode.as_deref()?);
        let at = times::show(at, zone);
        Some(format!("{}: {mode} until {at}, then {next} (schedule)", self.id))
    }

    /// A line on what is wrong with it.
    pub fn trouble(&self) -> Option<String> {
        let state = self.state.as_deref()?;
        let is_bad = matches!(state, "stalled" | "backing_off" | "failed");
        let cause = self.cause.as_deref().unwrap_or("no cause is known");
        is_bad.then(|| format!("{}: {}: {cause}", self.id, state.replace('_', " ")))
    }
}
