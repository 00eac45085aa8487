//! Recordings of sessions, and the videos that become of them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use nvr_core::camera::RecordRequest;
use nvr_core::config::RecordMode;
use nvr_core::jobs::export::{ExportParams, KIND};
use nvr_core::jobs::{JobQuery, JobRow, JobState};
use nvr_core::store::Order;
use nvr_core::{Camera, CameraId, ClipCodec, Error, ErrorKind, JobId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Refused, Said, Session, SessionRequest, naive};
use crate::api::jobs;
use crate::auth::Viewer;
use crate::problem::{Answer, Failure};
use crate::server::AppState;

/// Longest recording, seconds.
const LONGEST: u64 = 86_400;
/// How long a recording by hand may take to be closed, and its export to be written, before the answer goes without.
const CLOSING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);
/// Videos that are listed, the newest.
const MOST_VIDEOS: u32 = 1000;

/// A recording that goes on.
#[derive(Debug)]
pub(super) struct Recording {
    from: Timestamp,
    seconds: u64,
    /// Ends the task that waits for its end.
    over: CancellationToken,
}

#[derive(Debug, Deserialize)]
pub(super) struct StartRequest {
    session_id: String,
    duration_seconds: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Started {
    status: &'static str,
    session_id: String,
    duration_seconds: u64,
    output_path: String,
}

/// Where the video of a recording will be found, whenever it ends.
fn output_path(session: &Session, from: Timestamp) -> String {
    format!("videos/{}.mp4", stem(&session.camera, from))
}

/// How the names of exports begin.
fn stem(camera: &CameraId, from: Timestamp) -> String {
    format!("{camera}_{}", from.to_jiff().strftime("%Y-%m-%dT%H-%M-%SZ"))
}

pub(super) async fn start(
    State(app): State<AppState>,
    viewer: Viewer,
    body: Said<StartRequest>,
) -> Result<Json<Started>, Refused> {
    let Json(request) = body?;
    let session = app.sessions.of(&viewer, &request.session_id)?;
    let seconds = request.duration_seconds;
    if !(1..=LONGEST).contains(&seconds) {
        return Err(Refused::new(format!("duration_seconds: want 1 to {LONGEST}")));
    }
    let already = || Refused::new("Recording already in progress");
    if session.recording().is_some() {
        return Err(already());
    }
    let camera = app.nvr.camera(&session.camera)?;
    let duration = Duration::from_secs(seconds);
    let from = begin(&app, &camera, duration).await?;
    let over = CancellationToken::new();
    {
        let mut recording = session.recording();
        if recording.is_some() {
            return Err(already());
        }
        *recording = Some(Recording {
            from,
            seconds,
            over: over.clone(),
        });
    }
    let output_path = output_path(&session, from);
    tokio::spawn(async move {
        let clock = app.nvr.clock();
        tokio::select! {
            () = over.cancelled() => return,
            () = app.stop.cancelled() => {}
            () = clock.sleep(duration) => {}
        }
        if let Err(e) = end(&app, &session).await {
            tracing::warn!(session = session.id, camera = %session.camera, error = e.1, "no video of a recording");
        }
    });
    Ok(Json(Started {
        status: "recording",
        session_id: request.session_id,
        duration_seconds: seconds,
        output_path,
    }))
}

/// Of a camera that is recorded anyway a stretch is remembered; another one is recorded by hand.
async fn begin(app: &AppState, camera: &Camera, duration: Duration) -> Result<Timestamp, Refused> {
    if camera.status().mode != RecordMode::Continuous {
        let request = RecordRequest {
            duration: Some(duration),
            pre_roll: Some(Duration::ZERO),
        };
        return Ok(camera.record_as(request).await?.since);
    }
    if !camera.status().recording {
        let why = format!("camera {} is not being recorded now", camera.id());
        return Err(Refused::new(why));
    }
    Ok(app.nvr.clock().now())
}

/// Ends the recording of a session, if there is one, and has its video made. Gives the name of the video if it is there.
pub(super) async fn end(app: &AppState, session: &Arc<Session>) -> Result<Option<String>, Refused> {
    let Some(recording) = session.recording().take() else {
        return Ok(None);
    };
    recording.over.cancel();
    let clock = app.nvr.clock();
    let to = clock.now();
    if let Ok(camera) = app.nvr.camera(&session.camera)
        && camera.status().mode != RecordMode::Continuous
    {
        match camera.stop_recording().await {
            Ok(()) => {}
            // Its time was over.
            Err(e) if e.kind() == ErrorKind::Conflict => {}
            Err(e) => return Err(e.into()),
        }
        let deadline = clock.steady_ns() + i64::try_from(CLOSING.as_nanos()).unwrap_or(i64::MAX);
        while camera.status().recording && clock.steady_ns() < deadline {
            clock.sleep(LOOK).await;
        }
    }
    let export = ExportParams {
        camera: session.camera.clone(),
        from: recording.from,
        to,
        format: nvr_core::jobs::export::Packing::Mp4,
        path: None,
        codec: ClipCodec::AsRecorded,
        masked: false,
    };
    let jobs = app.nvr.jobs();
    let added = jobs.enqueue(export.job()?).await?;
    let made = tokio::time::timeout(CLOSING, jobs.wait(added.job.id)).await;
    let Ok(job) = made else { return Ok(None) };
    let job = job?;
    match (job.state, job.error) {
        (JobState::Done, _) => Ok(job.result.as_ref().and_then(name_of)),
        (_, error) => Err(Error::new(ErrorKind::NotFound, error.unwrap_or_default()).into()),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Stopped {
    status: &'static str,
    session_id: String,
    message: String,
}

pub(super) async fn stop(
    State(app): State<AppState>,
    viewer: Viewer,
    body: Said<SessionRequest>,
) -> Result<Json<Stopped>, Refused> {
    let Json(request) = body?;
    let session = app.sessions.of(&viewer, &request.session_id)?;
    if session.recording().is_none() {
        return Err(Refused::new("No recording in progress"));
    }
    let message = match end(&app, &session).await? {
        Some(name) => format!("Recording stopped: videos/{name}"),
        None => "Recording stopped; its video is being written".to_owned(),
    };
    Ok(Json(Stopped {
        status: "stopped",
        session_id: request.session_id,
        message,
    }))
}

#[derive(Debug, Serialize)]
pub(super) struct RecordStatus {
    session_id: String,
    recording: bool,
    duration_seconds: Option<u64>,
    elapsed_seconds: Option<f64>,
    output_path: Option<String>,
}

pub(super) async fn status(
    State(app): State<AppState>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Json<RecordStatus>, Refused> {
    let session = app.sessions.of(&viewer, &id)?;
    let recording = session.recording();
    let now = app.nvr.clock().now();
    Ok(Json(RecordStatus {
        session_id: id,
        recording: recording.is_some(),
        duration_seconds: recording.as_ref().map(|r| r.seconds),
        elapsed_seconds: recording
            .as_ref()
            .map(|r| (now.since(r.from) as f64 / 1e9).max(0.0)),
        output_path: recording.as_ref().map(|r| output_path(&session, r.from)),
    }))
}

#[derive(Debug, Serialize)]
pub(super) struct Video {
    filename: String,
    size: u64,
    created: String,
    modified: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Videos {
    videos: Vec<Video>,
    count: usize,
}

fn name_of(result: &serde_json::Value) -> Option<String> {
    Some(result["file"].as_str()?.to_owned())
}

/// Finished exports, the newest first.
async fn exports(app: &AppState, viewer: &Viewer, camera: Option<CameraId>) -> Answer<Vec<JobRow>> {
    let wanted = JobQuery {
        among: jobs::among(viewer),
        camera,
        states: vec![JobState::Done],
        kinds: vec![KIND.to_owned()],
        order: Order::Desc,
        limit: MOST_VIDEOS,
        ..JobQuery::default()
    };
    Ok(app.nvr.jobs().list(wanted).await?.items)
}

pub(super) async fn videos(State(app): State<AppState>, viewer: Viewer) -> Result<Json<Videos>, Refused> {
    let mut videos = Vec::new();
    for job in exports(&app, &viewer, None).await? {
        // Those whose time is over, or that went elsewhere, are left out.
        let Ok((filename, _, size)) = app.nvr.export_file(job.id).await else {
            continue;
        };
        videos.push(Video {
            filename,
            size,
            created: naive(job.created),
            modified: naive(job.ended.unwrap_or(job.created)),
        });
    }
    Ok(Json(Videos {
        count: videos.len(),
        videos,
    }))
}

/// The job whose file has a name: its whole name, or how it begins as `output_path` has it.
async fn find(app: &AppState, viewer: &Viewer, file: &str) -> Answer<JobId> {
    let gone = || Failure::not_found("Video not found");
    let stem = file.strip_suffix(".mp4").ok_or_else(gone)?;
    let whole = stem
        .rsplit_once("_job")
        .and_then(|(_, id)| id.parse::<JobId>().ok());
    if let Some(id) = whole {
        let job = app.nvr.jobs().get(id).await.map_err(|_| gone())?;
        let is_it = job.result.as_ref().and_then(name_of).as_deref() == Some(file);
        return if is_it && viewer.sees_maybe(job.camera.as_ref()) {
            Ok(id)
        } else {
            Err(gone())
        };
    }
    let camera = stem
        .rsplit_once('_')
        .and_then(|(camera, _)| CameraId::new(camera).ok());
    let camera = camera.ok_or_else(gone)?;
    // By what was asked for: the file is named by its first frame, which may fall into another second.
    let found = exports(app, viewer, Some(camera)).await?.into_iter().find(|job| {
        serde_json::from_value::<ExportParams>(job.params.clone())
            .is_ok_and(|asked| self::stem(&asked.camera, asked.from) == stem)
    });
    found.map(|job| job.id).ok_or_else(gone)
}

pub(super) async fn video(
    State(app): State<AppState>,
    viewer: Viewer,
    Path(file): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let missing = |_| Refused(StatusCode::NOT_FOUND, "Video not found".into());
    let id = find(&app, &viewer, &file).await.map_err(missing)?;
    jobs::written(&app, id, &method, &headers).await.map_err(missing)
}
