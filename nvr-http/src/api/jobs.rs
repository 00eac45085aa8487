//! The queue of jobs: what waits, runs and is over; entering, calling off, trying again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use nvr_core::jobs::{JobQuery, JobState, NewJob, Origin};
use nvr_core::store::{Added, Order};
use nvr_core::{CameraId, JobId};

use super::Body;
use crate::auth::Viewer;
use crate::bytes_body::{Content, Described, serve};
use crate::dto::{ForgottenDto, JobDto, JobKindDto, JobsDto};
use crate::params::{JobPath, Query, Time};
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// The answer to an order that became a job, or was one already.
pub(super) fn entered(added: &Added) -> (StatusCode, Json<JobDto>) {
    let status = if added.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    (status, Json((&added.job).into()))
}

/// The cameras that somebody is limited to.
pub(crate) fn among(viewer: &Viewer) -> Option<Vec<CameraId>> {
    viewer.cameras.ids().map(|ids| ids.cloned().collect())
}

fn states(query: &mut Query) -> Answer<Vec<JobState>> {
    let Some(text) = query.text("state")? else {
        return Ok(Vec::new());
    };
    text.split(',')
        .map(|name| {
            JobState::from_name(name).ok_or_else(|| {
                let known: Vec<&str> = JobState::ALL.iter().map(|s| s.as_str()).collect();
                Failure::invalid(format!("parameter state={name:?}: want {}", known.join(", ")))
            })
        })
        .collect()
}

/// Jobs, a page at a time, newest first.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", operation_id = "list_jobs",
    params(("state" = Option<String>, Query, description = "queued, running, done, failed, cancelled; several with commas"),
        ("kind" = Option<String>, Query, description = "Kinds, separated by commas"),
        ("camera" = Option<String>, Query, description = "Camera id"),
        ("order" = Option<String>, Query, description = "desc (default) or asc, by the order in which they were entered"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page", body = JobsDto),
        (status = 400, description = "A parameter cannot be read", body = Problem)))]
pub(crate) async fn list(
    State(app): State<AppState>,
    viewer: Viewer,
    mut query: Query,
) -> Answer<Json<JobsDto>> {
    let mut wanted = JobQuery {
        among: among(&viewer),
        states: states(&mut query)?,
        kinds: query
            .text("kind")?
            .map(|k| k.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
        camera: query.parsed::<CameraId>("camera", "a camera id")?,
        limit: query.limit(1000, 100)?,
        ..JobQuery::default()
    };
    wanted.order = query.order(Order::Desc)?;
    wanted.cursor = query.cursor()?;
    query.end()?;
    let page = app.nvr.jobs().list(wanted).await?;
    Ok(Json(JobsDto {
        jobs: page.items.iter().map(JobDto::from).collect(),
        next: page.next.map(|c| c.to_string()),
    }))
}

/// The kinds of jobs, with their limits, and how many jobs of each there are.
#[utoipa::path(get, path = "/api/v1/jobs/kinds", tag = "jobs",
    responses((status = 200, description = "The kinds by name", body = [JobKindDto])))]
pub(crate) async fn kinds(State(app): State<AppState>) -> Answer<Json<Vec<JobKindDto>>> {
    let jobs = app.nvr.jobs();
    let counts = jobs.counts().await?;
    Ok(Json(
        jobs.kinds()
            .iter()
            .map(|kind| JobKindDto::new(kind, &counts))
            .collect(),
    ))
}

/// What is to be done.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobRequest {
    /// Kind: `export`, `merge`, `timelapse`, `verify` …
    kind: String,
    /// What the kind needs to know.
    #[serde(default = "empty")]
    #[schema(value_type = Object)]
    params: serde_json::Value,
    /// -1000 to 1000 (0): each point is worth an hour of waiting.
    #[serde(default)]
    priority: i32,
    /// Not to be started before: RFC 3339 or Unix seconds.
    not_before: Option<Time>,
    /// Whether it also runs outside of the windows of its kind (true).
    #[serde(default = "yes")]
    anytime: bool,
}

fn empty() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

const fn yes() -> bool {
    true
}

/// Enters a job. One that is wanted already is not entered twice.
#[utoipa::path(post, path = "/api/v1/jobs", tag = "jobs", request_body = JobRequest,
    responses((status = 201, description = "It was entered", body = JobDto),
        (status = 200, description = "The same was queued or running already; this is it", body = JobDto),
        (status = 400, description = "There is no such kind, or its parameters cannot be used", body = Problem),
        (status = 429, description = "The queue is full", body = Problem)))]
pub(crate) async fn enqueue(
    State(app): State<AppState>,
    viewer: Viewer,
    Body(request): Body<JobRequest>,
) -> Answer<(StatusCode, Json<JobDto>)> {
    if !viewer.cameras.is_all() {
        let camera = request.params.get("camera").and_then(serde_json::Value::as_str);
        let camera = camera.ok_or_else(|| {
            Failure::invalid(match request.kind.as_str() {
                "merge" => "only those who may see all cameras can merge some",
                _ => "params.camera: name one of your cameras",
            })
        })?;
        viewer.require(&CameraId::new(camera)?)?;
    }
    let mut new = NewJob::new(request.kind, request.params).priority(request.priority);
    if let Some(Time(at)) = request.not_before {
        new = new.not_before(at);
    }
    if request.anytime {
        new = new.anytime();
    }
    let added = app.nvr.jobs().enqueue_from(new, Origin::Remote).await?;
    Ok(entered(&added))
}

/// One job. Its progress also comes as events of the kind `job_changed`.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", operation_id = "one_job",
    params(("id" = i64, Path, description = "Job id")),
    responses((status = 200, description = "The job", body = JobDto),
        (status = 404, description = "There is none of that id (any more)", body = Problem)))]
pub(crate) async fn one(State(app): State<AppState>, JobPath(id): JobPath) -> Answer<Json<JobDto>> {
    Ok(Json((&app.nvr.jobs().get(id).await?).into()))
}

/// Calls off a job that waits or runs.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs",
    params(("id" = i64, Path, description = "Job id")),
    responses((status = 200, description = "The job; `running` if it must not be interrupted just now", body = JobDto),
        (status = 404, description = "There is none of that id (any more)", body = Problem),
        (status = 409, description = "It is over", body = Problem)))]
pub(crate) async fn cancel(State(app): State<AppState>, JobPath(id): JobPath) -> Answer<Json<JobDto>> {
    Ok(Json((&app.nvr.jobs().cancel(id).await?).into()))
}

/// Queues a job that failed or was called off once more, or lets one that waits for its next try have it now.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/retry", tag = "jobs",
    params(("id" = i64, Path, description = "Job id")),
    responses((status = 200, description = "The job", body = JobDto),
        (status = 404, description = "There is none of that id (any more)", body = Problem),
        (status = 409, description = "It runs, is done, or is wanted by another job", body = Problem)))]
pub(crate) async fn retry(State(app): State<AppState>, JobPath(id): JobPath) -> Answer<Json<JobDto>> {
    Ok(Json((&app.nvr.jobs().retry(id).await?).into()))
}

/// Forgets finished jobs. The files of exports stay until their time.
#[utoipa::path(post, path = "/api/v1/jobs/clean", tag = "jobs",
    params(("state" = Option<String>, Query, description = "done, failed, cancelled; several with commas; all three"),
        ("older_than" = Option<f64>, Query, description = "Only those that ended so many seconds ago")),
    responses((status = 200, description = "How many were forgotten", body = ForgottenDto),
        (status = 400, description = "A parameter cannot be read, or a state is not over", body = Problem)))]
pub(crate) async fn clean(State(app): State<AppState>, mut query: Query) -> Answer<Json<ForgottenDto>> {
    let mut wanted = states(&mut query)?;
    let older_than = query.seconds("older_than")?.unwrap_or(Duration::ZERO);
    query.end()?;
    if wanted.is_empty() {
        wanted = JobState::ALL.into_iter().filter(|s| s.is_over()).collect();
    }
    let forgotten = app.nvr.jobs().clean(&wanted, older_than).await?;
    Ok(Json(ForgottenDto { forgotten }))
}

struct Written(File, u64);

impl Content for Written {
    fn len(&self) -> u64 {
        self.1
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
}

/// The file that a finished export, merge or time-lapse made.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/file", tag = "jobs",
    params(("id" = i64, Path, description = "Job id")),
    responses((status = 200, description = "The file; `Range` is answered with 206", content_type = "video/mp4"),
        (status = 404, description = "There is no such job, or its file is gone", body = Problem),
        (status = 409, description = "It is no finished job that makes a file", body = Problem)))]
pub(crate) async fn file(
    State(app): State<AppState>,
    JobPath(id): JobPath,
    method: Method,
    headers: HeaderMap,
) -> Answer<Response> {
    written(&app, id, &method, &headers).await
}

/// Answers with the file of a finished export.
pub(crate) async fn written(
    app: &AppState,
    id: JobId,
    method: &Method,
    headers: &HeaderMap,
) -> Answer<Response> {
    let (name, file, len) = app.nvr.export_file(id).await?;
    let about = Described {
        content_type: "video/mp4",
        etag: Some(format!("\"job{id}-{len}\"")),
        file_name: Some(name),
        immutable: true,
    };
    Ok(serve(method, headers, Arc::new(Written(file, len)), about))
}
