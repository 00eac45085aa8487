//! What the recorder and its machine are busy with, and its log.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use nvr_core::accounts::Permission;
use nvr_core::machine::{MachineSample, disk};
use nvr_core::{CameraId, Error, ErrorKind, Nvr};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio_stream::wrappers::BroadcastStream;
use utoipa::ToSchema;

use crate::auth::Viewer;
use crate::logs::{LEVELS, LogBuffer, LogRecord, Wanted};
use crate::params::{CameraPath, Query};
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// A sample is good for so long.
const FRESH_NS: i64 = 1_000_000_000;
/// Use of the processor is told over at most this; of an older sample nothing is concluded.
const OLD_NS: i64 = 15_000_000_000;
/// How long the first one who asks waits, for there to be something to compare with.
const FIRST: Duration = Duration::from_millis(300);

/// The machine as it was read last; shared by all who ask, so that it is read once a second at most, and only while
/// somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Sampler(Mutex<Option<Taken>>);

/// A sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    at_ns: i64,
    pub(crate) sample: MachineSample,
    /// Of the process and of the machine, percent.
    pub(crate) used: (f64, f64),
}

impl Sampler {
    /// The present one.
    pub(crate) async fn now(&self, nvr: &Nvr) -> Answer<Taken> {
        let mut last = self.0.lock().await;
        let clock = nvr.clock();
        let age = |t: &Taken| clock.steady_ns() - t.at_ns;
        if let Some(taken) = last.as_ref().filter(|t| age(t) < FRESH_NS) {
            return Ok(*taken);
        }
        let before = match last.filter(|t| age(t) < OLD_NS) {
            Some(taken) => taken.sample,
            None => {
                let first = sample().await?;
                clock.sleep(FIRST).await;
                first
            }
        };
        let sample = sample().await?;
        let taken = Taken {
            at_ns: clock.steady_ns(),
            sample,
            used: sample.use_since(&before).unwrap_or_default(),
        };
        *last = Some(taken);
        Ok(taken)
    }
}

async fn sample() -> Answer<MachineSample> {
    blocking(MachineSample::take).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|e| Error::new(ErrorKind::Internal, "a task failed").with_source(e))?)
}

/// Use of the processor, averaged over the last seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CpuDto {
    /// Of this process; 100 is one processor.
    process_percent: f64,
    /// Of the machine; 100 is all processors.
    machine_percent: f64,
    cores: u32,
}

/// Memory.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemoryDto {
    /// Resident, of this process.
    process_bytes: u64,
    total_bytes: u64,
    available_bytes: u64,
}

/// A file system that something of the recorder is on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiskDto {
    /// `recordings` or `database`.
    of: &'static str,
    path: String,
    /// `null` while it cannot be asked.
    total_bytes: Option<u64>,
    available_bytes: Option<u64>,
}

/// How long something runs already.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UptimeDto {
    process_seconds: f64,
    machine_seconds: f64,
}

/// Which versions these are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionDto {
    nvr: &'static str,
    gstreamer: String,
}

/// What the pipeline of a camera is busy with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PipelineDto {
    camera: String,
    /// As in `GET /cameras`.
    state: &'static str,
    recording: bool,
    /// `lean` or `rtspsrc`, for RTSP.
    ingest: Option<&'static str>,
    frames: u64,
    frames_dropped: u64,
    /// What waits for the disk.
    waiting_bytes: u64,
    /// Entries that wait for the index.
    index_waiting: u64,
    last_frame_age_seconds: Option<f64>,
    /// Times that its connection was lost or not made.
    restarts: u64,
}

/// The recorder's process and its machine.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SystemDto {
    cpu: CpuDto,
    memory: MemoryDto,
    /// Load average of 1, 5 and 15 minutes.
    load: Option<[f64; 3]>,
    disks: Vec<DiskDto>,
    uptime: UptimeDto,
    version: VersionDto,
    /// Threads of the process.
    threads: u32,
    pipelines: Vec<PipelineDto>,
}

/// What the recorder and its machine are busy with; read once a second at most.
#[utoipa::path(get, path = "/api/v1/system", tag = "system",
    responses((status = 200, description = "Figures of the last seconds", body = SystemDto)))]
pub(crate) async fn system(State(app): State<AppState>, viewer: Viewer) -> Answer<Json<SystemDto>> {
    let taken = app.sampler.now(&app.nvr).await?;
    let config = app.nvr.config();
    let root = config.recorder.root.clone();
    let database = config.recorder.database.clone();
    let disks = blocking(move || {
        let of = |of, path: &std::path::Path| {
            let space = disk(path);
            DiskDto {
                of,
                path: path.display().to_string(),
                total_bytes: space.map(|s| s.0),
                available_bytes: space.map(|s| s.1),
            }
        };
        let folder = database.parent().map(|f| of("database", f));
        std::iter::once(of("recordings", &root)).chain(folder).collect()
    })
    .await?;
    let clock = app.nvr.clock();
    let now = clock.now();
    let cameras = app.nvr.cameras().into_iter();
    let of_viewer = cameras.filter(|camera| viewer.sees(&camera.config().id));
    let pipelines = of_viewer.map(|camera| {
        let status = camera.status();
        PipelineDto {
            camera: status.id.to_string(),
            state: status.state.phase.as_str(),
            recording: status.recording,
            ingest: status.ingest.map(|i| i.ingest.as_str()),
            frames: status.counters.frames,
            frames_dropped: status.counters.frames_dropped,
            waiting_bytes: status.waiting_bytes,
            index_waiting: status.index_waiting,
            last_frame_age_seconds: status.last_frame.map(|t| (now.since(t) as f64 / 1e9).max(0.0)),
            restarts: status.counters.restarts,
        }
    });
    let round = |percent: f64| (percent * 10.0).round() / 10.0;
    let sample = taken.sample;
    Ok(Json(SystemDto {
        cpu: CpuDto {
            process_percent: round(taken.used.0),
            machine_percent: round(taken.used.1),
            cores: sample.cores,
        },
        memory: MemoryDto {
            process_bytes: sample.resident_bytes,
            total_bytes: sample.memory_bytes,
            available_bytes: sample.memory_available_bytes,
        },
        load: sample.load,
        disks,
        uptime: UptimeDto {
            process_seconds: (now.since(app.nvr.started()) as f64 / 1e9).max(0.0),
            machine_seconds: sample.uptime_seconds,
        },
        version: VersionDto {
            nvr: env!("CARGO_PKG_VERSION"),
            gstreamer: nvr_core::detect::gstreamer_version(),
        },
        threads: sample.threads,
        pipelines: pipelines.collect(),
    }))
}

/// Log records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogsDto {
    /// Oldest first.
    #[schema(value_type = Vec<LogRecord>)]
    records: Vec<Arc<LogRecord>>,
    /// Give it as `after` to read on.
    last: u64,
}

/// The newest log records, or with `Accept: text/event-stream` these and all that follow.
#[utoipa::path(get, path = "/api/v1/logs", tag = "system",
    params(("level" = Option<String>, Query, description = "error, warn, info (default), debug or trace: this and worse"),
        ("camera" = Option<String>, Query, description = "Only what is about this camera"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 2000, description = "1 to 2000, default 200; of more the newest"),
        ("after" = Option<u64>, Query, description = "Only records behind this id")),
    responses((status = 200, description = "Records, or a stream of them",
            content((LogsDto = "application/json"), (String = "text/event-stream"))),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 501, description = "The program around the recorder keeps no log", body = Problem)))]
pub(crate) async fn logs(
    State(app): State<AppState>,
    viewer: Viewer,
    headers: HeaderMap,
    mut query: Query,
) -> Answer<Response> {
    let camera: Option<CameraId> = query.parsed("camera", "the id of a camera")?;
    read(&app, viewer, &headers, query, camera)
}

/// The newest log records about a camera, or with `Accept: text/event-stream` these and all that follow. Of each camera 500
/// are kept, whatever the others say. A camera that was removed has its records as well.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/logs", tag = "system",
    params(("id" = String, Path, description = "Camera id"),
        ("level" = Option<String>, Query, description = "error, warn, info (default), debug or trace: this and worse"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 2000, description = "1 to 2000, default 200; of more the newest"),
        ("after" = Option<u64>, Query, description = "Only records behind this id")),
    responses((status = 200, description = "Records, or a stream of them",
            content((LogsDto = "application/json"), (String = "text/event-stream"))),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 501, description = "The program around the recorder keeps no log", body = Problem)))]
pub(crate) async fn camera_logs(
    State(app): State<AppState>,
    viewer: Viewer,
    CameraPath(camera): CameraPath,
    headers: HeaderMap,
    query: Query,
) -> Answer<Response> {
    read(&app, viewer, &headers, query, Some(camera))
}

fn read(
    app: &AppState,
    viewer: Viewer,
    headers: &HeaderMap,
    mut query: Query,
    camera: Option<CameraId>,
) -> Answer<Response> {
    let level = query.text("level")?.unwrap_or_else(|| "info".into());
    let level = LEVELS
        .iter()
        .position(|l| *l == level)
        .ok_or_else(|| Failure::invalid(format!("parameter level: want one of {}", LEVELS.join(", "))))?;
    let limit = query.limit(2000, 200)? as usize;
    let after: Option<u64> = query.parsed("after", "the id of a record")?;
    query.end()?;
    let Some(logs) = &app.logs else {
        let error = Error::new(ErrorKind::Unsupported, "no log is kept in memory here");
        return Err(error
            .with_hint("see where the program around the recorder logs to")
            .into());
    };
    let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    if text(header::ACCEPT).is_some_and(|a| a.contains("text/event-stream")) {
        // A browser that lost the connection says where it was.
        let seen = headers
            .get("last-event-id")
            .and_then(|v| v.to_str().ok()?.parse().ok());
        return Ok(follow(
            app,
            viewer,
            logs,
            (level, camera),
            limit,
            seen.or(after).unwrap_or(0),
        ));
    }
    let camera = camera.map(|id| id.to_string());
    let records = logs.after(after.unwrap_or(0), &Wanted { level, camera }, limit);
    let last = records.last().map_or(after.unwrap_or(0), |r| r.id);
    Ok(Json(LogsDto { records, last }).into_response())
}

fn follow(
    app: &AppState,
    viewer: Viewer,
    logs: &LogBuffer,
    (level, camera): (usize, Option<CameraId>),
    limit: usize,
    after: u64,
) -> Response {
    let wanted = Wanted {
        level,
        camera: camera.as_ref().map(ToString::to_string),
    };
    // First the followers' place, then what was before, so that nothing falls between.
    let new = BroadcastStream::new(logs.follow());
    let before = logs.after(after, &wanted, limit);
    let mut last = before.last().map_or(after, |r| r.id);
    let new = new.filter_map(move |record| {
        let record = record.ok().filter(|r| r.id > last && wanted.takes(r));
        if let Some(r) = &record {
            last = r.id;
        }
        std::future::ready(record)
    });
    let events = stream::iter(before).chain(new).map(|record| {
        let data = serde_json::to_string(&*record).unwrap_or_default();
        Ok::<_, Infallible>(
            SseEvent::default()
                .id(record.id.to_string())
                .event("log")
                .data(data),
        )
    });
    let events = events
        .take_until(app.stop.clone().cancelled_owned())
        .take_until(viewer.until_revoked(app.clone(), Permission::Admin, camera));
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
