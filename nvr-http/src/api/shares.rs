//! Shares: footage for whoever has the address, without a login, for a while and nothing beside it.

pub(crate) mod footage;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use nvr_core::accounts::{Action, Deed, Share, ShareInfo};
use nvr_core::config::Auth;
use nvr_core::{CameraId, TimeRange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Body;
use crate::auth::Viewer;
use crate::params::{RowPath, SharePath, Time};
use crate::peer::Client;
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// What to share.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShareRequest {
    /// Camera id.
    camera: String,
    /// Begin: RFC 3339 or Unix seconds.
    from: Time,
    /// End: RFC 3339 or Unix seconds; at most a day later.
    to: Time,
    /// Seconds that it is good for, 60 to 7776000 (90 days).
    #[schema(minimum = 60, maximum = 7_776_000)]
    expires: u64,
}

/// A share that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SharedDto {
    id: i64,
    /// Works without a login. Shown only here.
    url: String,
    expires: String,
}

/// A share.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ShareDto {
    id: i64,
    /// Who made it.
    user: Option<String>,
    camera: String,
    from: String,
    to: String,
    created: String,
    expires: String,
}

impl From<&ShareInfo> for ShareDto {
    fn from(s: &ShareInfo) -> Self {
        Self {
            id: s.id,
            user: s.user.as_ref().map(ToString::to_string),
            camera: s.camera.to_string(),
            from: s.range.start().to_string(),
            to: s.range.end().to_string(),
            created: s.created.to_string(),
            expires: s.expires.to_string(),
        }
    }
}

/// What a share holds, for whoever has its address.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SharePageDto {
    camera: String,
    /// The camera's name for people.
    name: String,
    from: String,
    to: String,
    expires: String,
}

fn note(app: &AppState, deed: Deed) {
    if app.access.auth == Auth::Accounts {
        app.nvr.accounts().note(deed);
    }
}

/// One's own shares, or for administrators all.
#[utoipa::path(get, path = "/api/v1/shares", tag = "accounts", operation_id = "list_shares",
    responses((status = 200, description = "The shares that are not over, oldest first", body = [ShareDto])))]
pub(crate) async fn list(State(app): State<AppState>, viewer: Viewer) -> Answer<Json<Vec<ShareDto>>> {
    let shares = app.nvr.accounts().shares(&viewer).await?;
    Ok(Json(shares.iter().map(ShareDto::from).collect()))
}

/// Shares a stretch of a camera's footage.
#[utoipa::path(post, path = "/api/v1/shares", tag = "accounts", operation_id = "add_share", request_body = ShareRequest,
    responses((status = 201, description = "Shared; `url` is shown only here", body = SharedDto),
        (status = 400, description = "Something cannot be used", body = Problem),
        (status = 404, description = "There is no such camera", body = Problem)))]
pub(crate) async fn add(
    State(app): State<AppState>,
    viewer: Viewer,
    client: Client,
    headers: HeaderMap,
    Body(request): Body<ShareRequest>,
) -> Answer<(StatusCode, Json<SharedDto>)> {
    let camera = CameraId::new(&request.camera)?;
    viewer.require(&camera)?;
    let known = app.nvr.recorded_cameras().await?;
    if app.nvr.camera(&camera).is_err() && !known.iter().any(|c| c.id == camera) {
        return Err(Failure::not_found(format!("there is no camera {camera}")));
    }
    let range = TimeRange::new(request.from.0, request.to.0)?;
    let (info, token) = app
        .nvr
        .accounts()
        .add_share(&viewer, camera, range, Duration::from_secs(request.expires))
        .await?;
    let detail = format!(
        "made share {} of {} to {} until {}",
        info.id,
        range.start(),
        range.end(),
        info.expires
    );
    note(
        &app,
        Deed::of(&viewer, Some(client.address), Action::Share, detail).camera(Some(info.camera)),
    );
    let path = format!("/share/{}", token.expose());
    let made = SharedDto {
        id: info.id,
        url: client.url(&headers, &app.access.base_path, &path),
        expires: info.expires.to_string(),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Ends a share.
#[utoipa::path(delete, path = "/api/v1/shares/{id}", tag = "accounts", operation_id = "remove_share",
    params(("id" = i64, Path, description = "Share")),
    responses((status = 204, description = "Its address is worth nothing any more"),
        (status = 404, description = "There is none of that id", body = Problem)))]
pub(crate) async fn remove(
    State(app): State<AppState>,
    viewer: Viewer,
    client: Client,
    RowPath(id): RowPath,
) -> Answer<StatusCode> {
    app.nvr.accounts().remove_share(id, &viewer).await?;
    note(
        &app,
        Deed::of(
            &viewer,
            Some(client.address),
            Action::Share,
            format!("ended share {id}"),
        ),
    );
    Ok(StatusCode::NO_CONTENT)
}

async fn open(app: &AppState, token: &str, client: &Client, what: &str) -> Answer<Share> {
    let share = app.nvr.accounts().by_share(token).await?.ok_or_else(|| {
        Failure::Core(
            nvr_core::Error::new(
                nvr_core::ErrorKind::NotFound,
                "this share is over, or there never was one",
            )
            .with_hint("ask whoever sent the address for another"),
        )
    })?;
    let deed = Deed {
        user: Some(format!("share:{}", share.id)),
        address: Some(client.address),
        action: Action::ShareView,
        camera: Some(share.camera.clone()),
        detail: what.to_owned(),
    };
    note(app, deed);
    Ok(share)
}

/// What a share holds.
#[utoipa::path(get, path = "/api/v1/shares/{id}", tag = "shared", operation_id = "share",
    params(("id" = String, Path, description = "Token of the share, the end of its address")),
    responses((status = 200, description = "What it holds", body = SharePageDto),
        (status = 404, description = "It is over, or there never was one", body = Problem)))]
pub(crate) async fn get(
    State(app): State<AppState>,
    client: Client,
    SharePath(token): SharePath,
) -> Answer<Json<SharePageDto>> {
    let share = open(&app, &token, &client, "opened").await?;
    let name = match app.nvr.camera(&share.camera) {
        Ok(camera) => camera.config().name.clone(),
        Err(_) => share.camera.to_string(),
    };
    Ok(Json(SharePageDto {
        camera: share.camera.to_string(),
        name,
        from: share.range.start().to_string(),
        to: share.range.end().to_string(),
        expires: share.expires.to_string(),
    }))
}
