//! The recorder of V4L2 cameras with a Flask page: its status, cameras, files, and orders.
//!
//! Its answers are those of its page: orders say `success`, and `error` with the status 200 where they could not be
//! followed. Times are local and without a zone. `ffmpeg_processes` counts the pipelines that record; there is no FFmpeg.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use nvr_core::jobs::{JobQuery, JobRow, JobState};
use nvr_core::store::{Order, SegmentQuery, SegmentRow};
use nvr_core::{Camera, CameraId, ErrorKind, Nvr, SegmentId, SourceSpec, TimeRange, Timestamp, transcode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::cameras::of_viewer;
use crate::api::{jobs, media};
use crate::auth::{Undone, Viewer};
use crate::logs::{LEVELS, Wanted};
use crate::params::Query;
use crate::problem::{Answer, Failure};
use crate::server::AppState;

const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_073_741_824.0;
const MOST_RECORDINGS: u32 = 1000;
const MOST_LINES: usize = 2000;

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/api/status", get(status))
        .route("/api/cameras", get(cameras))
        .route("/api/recordings", get(recordings))
        .route("/api/storage", get(storage))
        .route("/api/system/cpu", get(cpu))
        .route("/api/system/memory", get(memory))
        .route("/api/logs", get(logs))
        .route("/api/transcoding/status", get(transcoding))
        .route("/api/transcoding/enable", post(enable))
        .route("/api/transcoding/disable", post(disable))
        .route("/api/camera/{id}/start", post(start))
        .route("/api/camera/{id}/stop", post(stop))
        .route("/api/start_all", post(start_all))
        .route("/api/stop_all", post(stop_all))
        .route("/api/download/{id}/{file}", get(download))
        .route("/api/delete/{id}/{file}", delete(remove))
}

fn rounded(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64 * 1000.0).round() / 10.0
}

/// A time in the recorder's zone, without saying which that is.
fn local(nvr: &Nvr, t: Timestamp, format: &str) -> String {
    let zone = jiff::tz::TimeZone::get(nvr.time_zone()).unwrap_or(jiff::tz::TimeZone::UTC);
    t.to_jiff().to_zoned(zone).strftime(format).to_string()
}

const ISO: &str = "%Y-%m-%dT%H:%M:%S%.6f";

fn done(message: impl Into<String>) -> Response {
    Json(json!({"success": true, "message": message.into()})).into_response()
}

/// An order that was not followed: 200 all the same, as its page reads it.
fn failed(error: impl Into<String>) -> Response {
    let mut response = Json(json!({"success": false, "error": error.into()})).into_response();
    response.extensions_mut().insert(Undone);
    response
}

#[derive(Debug, Serialize)]
struct Status {
    timestamp: String,
    uptime: String,
    recording: bool,
    ffmpeg_processes: usize,
    processes: Vec<Value>,
    transcoding_enabled: bool,
}

async fn status(State(app): State<AppState>, viewer: Viewer) -> Answer<Json<Status>> {
    let cameras = of_viewer(&app, &viewer);
    let recording = cameras.iter().filter(|c| c.status().recording).count();
    let up = app.sampler.now(&app.nvr).await?.sample.uptime_seconds.max(0.0) as u64;
    Ok(Json(Status {
        timestamp: local(&app.nvr, app.nvr.clock().now(), ISO),
        uptime: format!("{}d {}h {}m", up / 86_400, up / 3600 % 24, up / 60 % 60),
        recording: recording > 0,
        ffmpeg_processes: recording,
        processes: Vec::new(),
        transcoding_enabled: app.nvr.transcoding().await?.enabled,
    }))
}

#[derive(Debug, Serialize)]
struct CameraState {
    id: String,
    name: String,
    device: String,
    /// Of what it sends, else as it is configured; empty where neither is known.
    resolution: String,
    framerate: Option<f64>,
    format: &'static str,
    recording: bool,
}

impl CameraState {
    fn of(camera: &Camera) -> Self {
        use nvr_core::source::DeviceFormat;
        use nvr_core::track::VideoCodec;
        let (config, status) = (camera.config(), camera.status());
        let video = status.tracks.as_ref().map(|t| &t.video);
        let (size, rate, format) = match &config.source {
            SourceSpec::V4l2(d) | SourceSpec::Libcamera(d) => (
                d.size,
                d.frame_rate,
                match d.format {
                    Some(DeviceFormat::Mjpeg) => "mjpeg",
                    Some(DeviceFormat::Raw) => "raw",
                    _ => "h264",
                },
            ),
            SourceSpec::Test(t) => (Some(t.size), Some(t.frame_rate), "h264"),
            SourceSpec::Mjpeg(_) => (None, None, "mjpeg"),
            _ => (None, None, "h264"),
        };
        let size = video.map(|v| (v.width, v.height)).or(size);
        let device = match &config.source {
            SourceSpec::V4l2(d) => d.device.clone(),
            other => other.to_string(),
        };
        let of_codec = |codec| match codec {
            VideoCodec::H264 => "h264",
            VideoCodec::H265 => "hevc",
        };
        Self {
            id: config.id.to_string(),
            name: config.name.clone(),
            device,
            resolution: size.map(|(w, h)| format!("{w}x{h}")).unwrap_or_default(),
            framerate: video.and_then(|v| v.frame_rate).or_else(|| rate.map(f64::from)),
            format: match &config.source {
                SourceSpec::Rtsp(_) => video.map_or(format, |v| of_codec(v.codec)),
                _ => format,
            },
            recording: status.recording,
        }
    }
}

/// Those that are enabled.
async fn cameras(State(app): State<AppState>, viewer: Viewer) -> Json<Vec<CameraState>> {
    let all = of_viewer(&app, &viewer);
    let enabled = all.iter().filter(|c| c.config().enabled);
    Json(enabled.map(CameraState::of).collect())
}

#[derive(Debug, Serialize)]
struct Recording {
    camera: String,
    filename: String,
    size: u64,
    size_mb: f64,
    created: String,
    created_formatted: String,
}

#[derive(Debug, Serialize)]
struct Recordings {
    count: usize,
    recordings: Vec<Recording>,
}

/// `front_20260504_030201_7.mp4`: camera, begin, and the segment's id.
fn file_name(nvr: &Nvr, row: &SegmentRow) -> String {
    let begin = local(nvr, row.start, "%Y%m%d_%H%M%S");
    format!("{}_{begin}_{}.{}", row.camera, row.id, row.container.extension())
}

impl Recording {
    /// `created` is when the file was written last.
    fn of(nvr: &Nvr, row: &SegmentRow) -> Self {
        let end = row.start.add_ns(row.duration_ns);
        Self {
            camera: row.camera.to_string(),
            filename: file_name(nvr, row),
            size: row.size_bytes,
            size_mb: rounded(row.size_bytes as f64 / MIB),
            created: local(nvr, end, ISO),
            created_formatted: local(nvr, end, "%Y-%m-%d %H:%M:%S"),
        }
    }
}

/// Complete segments, the newest first.
async fn recordings(
    State(app): State<AppState>,
    viewer: Viewer,
    mut query: Query,
) -> Answer<Json<Recordings>> {
    let limit = query.parsed::<u32>("limit", "a number")?.unwrap_or(50);
    let limit = limit.clamp(1, MOST_RECORDINGS);
    let cameras = match query.text("camera")?.as_deref() {
        None | Some("all") => {
            let all = app.nvr.recorded_cameras().await?.into_iter().map(|c| c.id);
            all.filter(|id| viewer.sees(id)).collect()
        }
        Some(id) => vec![CameraId::new(id)?],
    };
    cameras.iter().try_for_each(|id| viewer.require(id))?;
    let mut recordings = Vec::new();
    if !cameras.is_empty() {
        let mut wanted = SegmentQuery::new(cameras, TimeRange::ALL).playable();
        wanted.order = Order::Desc;
        wanted.limit = limit;
        let page = app.nvr.segments(wanted).await?;
        recordings.extend(page.items.iter().map(|row| Recording::of(&app.nvr, row)));
    }
    Ok(Json(Recordings {
        count: recordings.len(),
        recordings,
    }))
}

/// The segment of a file's name.
async fn segment(app: &AppState, camera: &str, file: &str) -> Answer<SegmentRow> {
    let gone = || Failure::not_found("File not found");
    let camera = CameraId::new(camera).map_err(|_| gone())?;
    let id = file
        .rsplit_once('.')
        .and_then(|(stem, _)| stem.rsplit_once('_'))
        .and_then(|(_, id)| id.parse().ok())
        .ok_or_else(gone)?;
    let row = app.nvr.segment(SegmentId(id)).await.map_err(|_| gone())?;
    if row.camera == camera && file_name(&app.nvr, &row) == file {
        return Ok(row);
    }
    Err(gone())
}

async fn download(
    State(app): State<AppState>,
    Path((camera, file)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let found = async {
        let row = segment(&app, &camera, &file).await?;
        media::stored(&app, row.id, None, Some(file), &method, &headers).await
    };
    found.await.unwrap_or_else(|failure| {
        let status = match &failure {
            Failure::Core(e) if e.kind() != ErrorKind::NotFound => crate::problem::status_of(e.kind()),
            _ => StatusCode::NOT_FOUND,
        };
        (status, Json(json!({"error": failure.message()}))).into_response()
    })
}

async fn remove(State(app): State<AppState>, Path((camera, file)): Path<(String, String)>) -> Response {
    let deleted = async {
        let row = segment(&app, &camera, &file).await?;
        Ok::<_, Failure>(app.nvr.delete_segment(row.id).await?)
    };
    match deleted.await {
        Ok(_) => done(format!("Deleted {file}")),
        Err(failure) => failed(failure.message()),
    }
}

#[derive(Debug, Serialize)]
struct CameraStorage {
    size: u64,
    size_gb: f64,
    file_count: u64,
}

#[derive(Debug, Serialize)]
struct Storage {
    total: u64,
    used: u64,
    free: u64,
    percent: f64,
    total_gb: f64,
    used_gb: f64,
    free_gb: f64,
    camera_storage: BTreeMap<String, CameraStorage>,
    /// How full the disk gets before the oldest footage goes, in percent.
    threshold: u64,
    /// From when on that is near.
    low_space_warning: u64,
}

async fn storage(State(app): State<AppState>, viewer: Viewer) -> Answer<Json<Storage>> {
    let stats = app.nvr.stats().await?;
    let (total, free) = (stats.disk_total_bytes, stats.disk_available_bytes);
    let used = total.saturating_sub(free);
    let gb = |bytes: u64| rounded(bytes as f64 / GIB);
    let of_viewer = stats.cameras.iter().filter(|s| viewer.sees(&s.camera));
    let full = 100.0 - percent(stats.disk_min_free_bytes, total).min(100.0);
    let threshold = full.floor() as u64;
    Ok(Json(Storage {
        total,
        used,
        free,
        percent: percent(used, total),
        total_gb: gb(total),
        used_gb: gb(used),
        free_gb: gb(free),
        camera_storage: of_viewer
            .map(|s| {
                let storage = CameraStorage {
                    size: s.size_bytes,
                    size_gb: gb(s.size_bytes),
                    file_count: s.segments,
                };
                (s.camera.to_string(), storage)
            })
            .collect(),
        threshold,
        low_space_warning: threshold.saturating_sub(10),
    }))
}

#[derive(Debug, Serialize)]
struct Cpu {
    percent: f64,
    count: u32,
}

async fn cpu(State(app): State<AppState>) -> Answer<Json<Cpu>> {
    let taken = app.sampler.now(&app.nvr).await?;
    Ok(Json(Cpu {
        percent: (taken.used.1 * 10.0).round() / 10.0,
        count: taken.sample.cores,
    }))
}

#[derive(Debug, Serialize)]
struct Memory {
    total: u64,
    used: u64,
    percent: f64,
    available: u64,
}

async fn memory(State(app): State<AppState>) -> Answer<Json<Memory>> {
    let sample = app.sampler.now(&app.nvr).await?.sample;
    let (total, available) = (sample.memory_bytes, sample.memory_available_bytes);
    let used = total.saturating_sub(available);
    Ok(Json(Memory {
        total,
        used,
        percent: percent(used, total),
        available,
    }))
}

#[derive(Debug, Serialize)]
struct Logs {
    count: usize,
    entries: Vec<String>,
}

async fn logs(State(app): State<AppState>, mut query: Query) -> Answer<Json<Logs>> {
    let lines = query.parsed::<usize>("lines", "a number")?.unwrap_or(100);
    let lines = lines.clamp(1, MOST_LINES);
    let records = app
        .logs
        .as_ref()
        .map(|logs| {
            let wanted = Wanted {
                level: LEVELS.len() - 1,
                camera: None,
            };
            logs.after(0, &wanted, lines)
        })
        .unwrap_or_default();
    let entries: Vec<String> = records
        .iter()
        .map(|r| {
            format!(
                "{} - {} - {} - {}",
                r.at,
                r.target,
                r.level.to_uppercase(),
                r.message
            )
        })
        .collect();
    Ok(Json(Logs {
        count: entries.len(),
        entries,
    }))
}

#[derive(Debug, Serialize)]
struct TranscodingStats {
    files_transcoded: u64,
    files_failed: u64,
    space_saved_bytes: i64,
    total_original_bytes: u64,
    total_transcoded_bytes: u64,
    last_transcoded: Option<String>,
    last_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Transcoding {
    enabled: bool,
    running: bool,
    current_file: Option<String>,
    in_schedule: bool,
    stats: TranscodingStats,
}

/// The newest job of a state that encodes footage again.
async fn newest(app: &AppState, viewer: &Viewer, state: JobState) -> Answer<Option<JobRow>> {
    let wanted = JobQuery {
        among: jobs::among(viewer),
        states: vec![state],
        kinds: vec![transcode::KIND.to_owned()],
        order: Order::Desc,
        limit: 1,
        ..JobQuery::default()
    };
    let page = app.nvr.jobs().list(wanted).await?;
    Ok(page.items.into_iter().next())
}

async fn transcoding(State(app): State<AppState>, viewer: Viewer) -> Answer<Json<Transcoding>> {
    let status = app.nvr.transcoding().await?;
    let of_viewer: Vec<_> = status.cameras.iter().filter(|c| viewer.sees(&c.camera)).collect();
    let sum = |f: fn(&nvr_core::store::TranscodeTotals) -> u64| of_viewer.iter().map(|c| f(c)).sum::<u64>();
    let (before, after) = (sum(|c| c.before_bytes), sum(|c| c.after_bytes));
    let counts = app.nvr.jobs().counts().await?;
    let failed = counts
        .iter()
        .filter(|c| c.kind == transcode::KIND && c.state == JobState::Failed)
        .map(|c| c.jobs)
        .sum();
    let kinds = app.nvr.jobs().kinds();
    let kind = kinds.iter().find(|k| k.kind == transcode::KIND);
    let running = newest(&app, &viewer, JobState::Running).await?;
    let mut current_file = None;
    if let Some(id) = running.as_ref().and_then(|job| job.params["segment"].as_i64()) {
        let row = app.nvr.segment(SegmentId(id)).await.ok();
        current_file = row.map(|row| file_name(&app.nvr, &row));
    }
    let last = newest(&app, &viewer, JobState::Done)
        .await?
        .and_then(|job| job.ended);
    let wrong = newest(&app, &viewer, JobState::Failed).await?;
    Ok(Json(Transcoding {
        enabled: status.enabled,
        running: running.is_some(),
        current_file,
        in_schedule: status.enabled && kind.is_some_and(|k| k.open),
        stats: TranscodingStats {
            files_transcoded: sum(|c| c.done),
            files_failed: failed,
            space_saved_bytes: i64::try_from(before).unwrap_or(i64::MAX)
                - i64::try_from(after).unwrap_or(i64::MAX),
            total_original_bytes: before,
            total_transcoded_bytes: after,
            last_transcoded: last.map(|t| local(&app.nvr, t, ISO)),
            last_error: wrong.and_then(|job| job.error),
        },
    }))
}

async fn enable(State(app): State<AppState>) -> Response {
    match app.nvr.set_transcoding(true).await {
        Ok(_) => done("Transcoding enabled"),
        Err(e) => failed(e.to_string()),
    }
}

async fn disable(State(app): State<AppState>) -> Response {
    match app.nvr.set_transcoding(false).await {
        Ok(_) => done("Transcoding disabled"),
        Err(e) => failed(e.to_string()),
    }
}

/// Gives one camera an order.
fn order(app: &AppState, id: &str, what: fn(&Camera) -> nvr_core::Result<()>, past: &str) -> Response {
    let camera = CameraId::new(id).ok().and_then(|id| app.nvr.camera(&id).ok());
    let Some(camera) = camera else {
        return failed(format!("Camera {id} not found"));
    };
    match what(&camera) {
        Ok(()) => done(format!("Camera {id} {past}")),
        Err(e) => failed(e.to_string()),
    }
}

async fn start(State(app): State<AppState>, Path(id): Path<String>) -> Response {
    order(&app, &id, Camera::start, "started")
}

async fn stop(State(app): State<AppState>, Path(id): Path<String>) -> Response {
    order(&app, &id, Camera::stop, "stopped")
}

async fn start_all(State(app): State<AppState>, viewer: Viewer) -> Response {
    let cameras = of_viewer(&app, &viewer);
    let results: BTreeMap<String, bool> = cameras
        .iter()
        .map(|c| (c.id().to_string(), c.start().is_ok()))
        .collect();
    let started = results.values().filter(|ok| **ok).count();
    Json(json!({
        "success": started > 0,
        "message": format!("Started {started}/{} cameras", results.len()),
        "results": results,
    }))
    .into_response()
}

async fn stop_all(State(app): State<AppState>, viewer: Viewer) -> Response {
    for camera in of_viewer(&app, &viewer) {
        if let Err(e) = camera.stop() {
            return failed(e.to_string());
        }
    }
    done("All cameras stopped")
}
