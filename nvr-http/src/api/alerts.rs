//! What is wrong and was told, and the channels it is told by.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use nvr_core::CameraId;
use nvr_core::alerts::{Alert, ChannelStatus, Mute};
use nvr_core::config::parse_duration;
use nvr_core::store::AlertsQuery;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Body, MaybeBody};
use crate::actor::By;
use crate::auth::Viewer;
use crate::params::{ChannelPath, Query, RowPath};
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// Something that is wrong, or was.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertDto {
    /// Its number.
    id: u64,
    /// Name of the rule.
    rule: String,
    /// What the rule looks at: `camera_offline`, `disk_full`, …
    kind: &'static str,
    /// `info`, `warning` or `critical`.
    severity: &'static str,
    /// Camera id; absent when it concerns none.
    camera: Option<String>,
    /// What else it is about: a disk, an upload target.
    subject: Option<String>,
    /// In words.
    summary: String,
    /// Since when it goes on.
    since: String,
    /// When it had gone on for long enough.
    fired: String,
    /// When it was over; absent while it goes on.
    resolved: Option<String>,
    /// When it was told for the last time; absent when it was not (yet).
    told: Option<String>,
    /// When somebody acknowledged it.
    acknowledged: Option<String>,
    /// Who did.
    acknowledged_by: Option<String>,
}

impl From<&Alert> for AlertDto {
    fn from(a: &Alert) -> Self {
        let text = |t: Option<nvr_core::Timestamp>| t.map(|t| t.to_string());
        Self {
            id: a.id,
            rule: a.rule.clone(),
            kind: a.kind.as_str(),
            severity: a.severity.as_str(),
            camera: a.camera.as_ref().map(ToString::to_string),
            subject: a.subject.clone(),
            summary: a.summary.clone(),
            since: a.since.to_string(),
            fired: a.fired.to_string(),
            resolved: text(a.resolved),
            told: text(a.told),
            acknowledged: text(a.acknowledged),
            acknowledged_by: a.acknowledged_by.clone(),
        }
    }
}

/// Nothing is told of these for a time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MuteDto {
    /// Its number.
    id: u64,
    /// Of this rule; of all when absent.
    rule: Option<String>,
    /// Of this camera; of all when absent.
    camera: Option<String>,
    /// Until when.
    until: String,
    /// Who asked for it.
    by: Option<String>,
}

impl From<&Mute> for MuteDto {
    fn from(m: &Mute) -> Self {
        Self {
            id: m.id,
            rule: m.rule.clone(),
            camera: m.camera.as_ref().map(ToString::to_string),
            until: m.until.to_string(),
            by: m.by.clone(),
        }
    }
}

/// What goes on, and what was.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertsDto {
    /// What goes on, oldest first.
    active: Vec<AlertDto>,
    /// What is over, newest first, a page.
    history: Vec<AlertDto>,
    /// For the next page; absent at the end.
    next: Option<String>,
    /// The mutes that hold.
    mutes: Vec<MuteDto>,
}

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertChannelDto {
    name: String,
    /// `webhook`, `email`, `discord`, `ntfy` or `mqtt`.
    kind: &'static str,
    /// Where it goes, without secrets.
    place: String,
    /// Messages that wait.
    waiting: u64,
    /// Messages that arrived since the recorder started.
    delivered: u64,
    /// Attempts that failed.
    failed: u64,
    /// Messages that were given up.
    given_up: u64,
    /// When the newest arrived.
    last_delivered: Option<String>,
    /// Since when none arrives; absent while all is well.
    failing_since: Option<String>,
    /// Why the last attempt failed.
    last_failure: Option<String>,
}

impl From<&ChannelStatus> for AlertChannelDto {
    fn from(c: &ChannelStatus) -> Self {
        Self {
            name: c.name.clone(),
            kind: c.kind,
            place: c.place.clone(),
            waiting: c.waiting,
            delivered: c.delivered,
            failed: c.failed,
            given_up: c.given_up,
            last_delivered: c.last_delivered.map(|t| t.to_string()),
            failing_since: c.failing_since.map(|t| t.to_string()),
            last_failure: c.last_failure.clone(),
        }
    }
}

/// What is not to be told.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MuteRequest {
    /// Of this rule; of all without.
    rule: Option<String>,
    /// Of this camera; of all without.
    camera: Option<String>,
    /// For how long: `1h`, `30m`, up to a year.
    #[schema(example = "1h")]
    duration: String,
}

/// How a channel is tried.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestRequest {
    /// A camera whose picture goes with it.
    camera: Option<String>,
}

fn camera_of(app: &AppState, id: Option<&str>) -> Answer<Option<CameraId>> {
    let Some(id) = id else { return Ok(None) };
    let id = CameraId::new(id)?;
    app.nvr.camera(&id)?;
    Ok(Some(id))
}

/// What is wrong now, and what was: of the cameras that are the viewer's, and of none.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", operation_id = "alerts",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Of the history, 1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "What goes on, and a page of what is over", body = AlertsDto),
        (status = 400, description = "A parameter cannot be read", body = Problem)))]
pub(crate) async fn list(
    State(app): State<AppState>,
    viewer: Viewer,
    mut query: Query,
) -> Answer<Json<AlertsDto>> {
    let among = super::jobs::among(&viewer);
    let wanted = AlertsQuery {
        among: among.map(|ids| ids.iter().map(ToString::to_string).collect()),
        resolved: Some(true),
        limit: query.limit(1000, 100)?,
        cursor: query.cursor()?,
    };
    query.end()?;
    let page = app.nvr.alerts().history(wanted).await?;
    let active = app.nvr.alerts().active();
    let seen = active.iter().filter(|a| viewer.sees_maybe(a.camera.as_ref()));
    Ok(Json(AlertsDto {
        active: seen.map(AlertDto::from).collect(),
        history: page.items.iter().map(AlertDto::from).collect(),
        next: page.next.map(|c| c.to_string()),
        mutes: app.nvr.alerts().mutes().iter().map(MuteDto::from).collect(),
    }))
}

/// Says that somebody knows of an alert: it is not told again, but for its end.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/acknowledge", tag = "alerts", operation_id = "acknowledge_alert",
    params(("id" = u64, Path, description = "Number of the alert")),
    responses((status = 200, description = "It is acknowledged", body = AlertDto),
        (status = 404, description = "None of that number goes on", body = Problem)))]
pub(crate) async fn acknowledge(
    State(app): State<AppState>,
    viewer: Viewer,
    By(by): By,
    RowPath(id): RowPath,
) -> Answer<Json<AlertDto>> {
    let id = u64::try_from(id).unwrap_or(0);
    let active = app.nvr.alerts().active();
    if let Some(camera) = active.iter().find(|a| a.id == id).and_then(|a| a.camera.as_ref()) {
        viewer.require(camera)?;
    }
    let alert = app.nvr.alerts().acknowledge(id, by).await?;
    Ok(Json(AlertDto::from(&alert)))
}

/// Tells nothing of a rule, a camera, or anything for a time. What goes on afterwards is told then.
#[utoipa::path(post, path = "/api/v1/alerts/mutes", tag = "alerts", operation_id = "mute_alerts",
    request_body = MuteRequest,
    responses((status = 201, description = "It is muted", body = MuteDto),
        (status = 400, description = "The duration cannot be read", body = Problem),
        (status = 404, description = "There is no such rule or camera", body = Problem)))]
pub(crate) async fn mute(
    State(app): State<AppState>,
    By(by): By,
    Body(request): Body<MuteRequest>,
) -> Answer<(StatusCode, Json<MuteDto>)> {
    let camera = camera_of(&app, request.camera.as_deref())?;
    let length: Duration = parse_duration(&request.duration).ok_or_else(|| {
        Failure::invalid(format!(
            "duration {:?}: want 1h, 30m or the like",
            request.duration
        ))
    })?;
    let mute = app.nvr.alerts().mute(request.rule, camera, length, by).await?;
    Ok((StatusCode::CREATED, Json(MuteDto::from(&mute))))
}

/// Tells again.
#[utoipa::path(delete, path = "/api/v1/alerts/mutes/{id}", tag = "alerts", operation_id = "unmute_alerts",
    params(("id" = u64, Path, description = "Number of the mute")),
    responses((status = 204, description = "It is told again"),
        (status = 404, description = "There is none of that number", body = Problem)))]
pub(crate) async fn unmute(State(app): State<AppState>, RowPath(id): RowPath) -> Answer<StatusCode> {
    app.nvr.alerts().unmute(u64::try_from(id).unwrap_or(0)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How the channels stand.
#[utoipa::path(get, path = "/api/v1/alerts/channels", tag = "alerts", operation_id = "alert_channels",
    responses((status = 200, description = "In the order of the configuration", body = [AlertChannelDto])))]
pub(crate) async fn channels(State(app): State<AppState>) -> Answer<Json<Vec<AlertChannelDto>>> {
    let all = app.nvr.alerts().channels().await?;
    Ok(Json(all.iter().map(AlertChannelDto::from).collect()))
}

/// Sends a message to try a channel, at once and once.
#[utoipa::path(post, path = "/api/v1/alerts/channels/{name}/test", tag = "alerts", operation_id = "test_alert_channel",
    request_body = Option<TestRequest>,
    params(("name" = String, Path, description = "Name of the channel")),
    responses((status = 204, description = "It arrived"),
        (status = 404, description = "There is no such channel or camera", body = Problem),
        (status = 503, description = "It did not arrive, and why", body = Problem)))]
pub(crate) async fn test(
    State(app): State<AppState>,
    ChannelPath(name): ChannelPath,
    MaybeBody(request): MaybeBody<TestRequest>,
) -> Answer<StatusCode> {
    let camera = camera_of(&app, request.unwrap_or_default().camera.as_deref())?;
    app.nvr.alerts().test(&name, camera).await?;
    Ok(StatusCode::NO_CONTENT)
}
