//! Users, tokens and the audit log.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use nvr_core::CameraId;
use nvr_core::accounts::{
    Action, CameraSet, Deed, NewAccount, Permission, Role, Scopes, TokenInfo, TokenWish, UserInfo, UserName,
    UserPatch,
};
use nvr_core::config::Auth;
use nvr_core::secret::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Body;
use crate::auth::Viewer;
use crate::params::{Query, RowPath, Time, UserPath};
use crate::peer::Client;
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// Most cameras in a list.
const MAX_CAMERAS: usize = 1000;

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserDto {
    name: String,
    /// `admin`, `operator` or `viewer`.
    role: &'static str,
    /// Ids of the cameras that he may have to do with; null: all.
    cameras: Option<Vec<String>>,
    created: String,
    last_login: Option<String>,
    /// Until then no login is tried, after too many wrong ones.
    locked_until: Option<String>,
}

fn ids(cameras: &CameraSet) -> Option<Vec<String>> {
    cameras.ids().map(|ids| ids.map(ToString::to_string).collect())
}

impl From<&UserInfo> for UserDto {
    fn from(u: &UserInfo) -> Self {
        Self {
            name: u.name.to_string(),
            role: u.role.as_str(),
            cameras: ids(&u.cameras),
            created: u.created.to_string(),
            last_login: u.last_login.map(|t| t.to_string()),
            locked_until: u.locked_until.map(|t| t.to_string()),
        }
    }
}

/// A user to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUserRequest {
    /// 1 to 64 of `a-z 0-9 . _ @ -`.
    name: String,
    /// 8 characters at least.
    #[schema(value_type = String)]
    password: Secret,
    /// `admin`, `operator` or `viewer`.
    role: String,
    /// Ids of cameras; null or absent: all.
    cameras: Option<Vec<String>>,
}

/// What is to become different; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserPatchRequest {
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
    role: Option<String>,
    /// Ids of cameras; null: all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    cameras: Option<Option<Vec<String>>>,
}

/// Tells null from absent.
fn present<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Option<Vec<String>>>, D::Error> {
    Option::deserialize(d).map(Some)
}

fn role(text: &str) -> Answer<Role> {
    Role::from_name(text)
        .ok_or_else(|| Failure::invalid(format!("role {text:?}: want admin, operator or viewer")))
}

fn cameras(list: Option<Vec<String>>) -> Answer<CameraSet> {
    let Some(list) = list else {
        return Ok(CameraSet::all());
    };
    if list.len() > MAX_CAMERAS {
        return Err(Failure::invalid("more than 1000 cameras"));
    }
    let ids: Vec<CameraId> = list.iter().map(|c| CameraId::new(c)).collect::<Result<_, _>>()?;
    Ok(CameraSet::only(ids))
}

fn note(app: &AppState, viewer: &Viewer, client: &Client, action: Action, detail: String) {
    if app.access.auth == Auth::Accounts {
        app.nvr
            .accounts()
            .note(Deed::of(viewer, Some(client.address), action, detail));
    }
}

/// All users.
#[utoipa::path(get, path = "/api/v1/users", tag = "accounts", operation_id = "list_users",
    responses((status = 200, description = "The users by name", body = [UserDto])))]
pub(crate) async fn list(State(app): State<AppState>) -> Answer<Json<Vec<UserDto>>> {
    let users = app.nvr.accounts().users().await?;
    Ok(Json(users.iter().map(UserDto::from).collect()))
}

/// Makes a user.
#[utoipa::path(post, path = "/api/v1/users", tag = "accounts", operation_id = "add_user", request_body = NewUserRequest,
    responses((status = 201, description = "Made", body = UserDto),
        (status = 400, description = "Something cannot be used", body = Problem),
        (status = 409, description = "There is one of that name, or the first one is no administrator", body = Problem)))]
pub(crate) async fn add(
    State(app): State<AppState>,
    viewer: Viewer,
    client: Client,
    Body(request): Body<NewUserRequest>,
) -> Answer<(StatusCode, Json<UserDto>)> {
    let new = NewAccount {
        name: UserName::new(&request.name)?,
        password: request.password,
        role: role(&request.role)?,
        cameras: cameras(request.cameras)?,
    };
    let made = app.nvr.accounts().add_user(new).await?;
    let detail = format!("made {} as {}", made.name, made.role.as_str());
    note(&app, &viewer, &client, Action::User, detail);
    Ok((StatusCode::CREATED, Json((&made).into())))
}

/// Changes a user. What he may takes effect at once; with a new password all his logins end.
#[utoipa::path(patch, path = "/api/v1/users/{name}", tag = "accounts", operation_id = "change_user",
    params(("name" = String, Path, description = "Name")), request_body = UserPatchRequest,
    responses((status = 200, description = "Changed", body = UserDto),
        (status = 400, description = "Something cannot be used", body = Problem),
        (status = 404, description = "There is none of that name", body = Problem),
        (status = 409, description = "No administrator for all cameras would be left", body = Problem)))]
pub(crate) async fn change(
    State(app): State<AppState>,
    viewer: Viewer,
    client: Client,
    UserPath(name): UserPath,
    Body(request): Body<UserPatchRequest>,
) -> Answer<Json<UserDto>> {
    let mut what = Vec::new();
    what.extend(request.password.is_some().then_some("password"));
    what.extend(request.role.is_some().then_some("role"));
    what.extend(request.cameras.is_some().then_some("cameras"));
    let patch = UserPatch {
        password: request.password,
        role: request.role.as_deref().map(role).transpose()?,
        cameras: request.cameras.map(cameras).transpose()?,
    };
    let changed = app.nvr.accounts().change_user(&name, patch).await?;
    let detail = format!("changed {} of {name}", what.join(", "));
    note(&app, &viewer, &client, Action::User, detail);
    Ok(Json((&changed).into()))
}

/// Removes a user with his logins, tokens and shares.
#[utoipa::path(delete, path = "/api/v1/users/{name}", tag = "accounts", operation_id = "remove_user",
    params(("name" = String, Path, description = "Name")),
    responses((status = 204, description = "Removed"),
        (status = 404, description = "There is none of that name", body = Problem),
        (status = 409, description = "No administrator for all cameras would be left", body = Problem)))]
pub(crate) async fn remove(
    State(app): State<AppState>,
    viewer: Viewer,
    client: Client,
    UserPath(name): UserPath,
) -> Answer<StatusCode> {
    app.nvr.accounts().remove_user(&name).await?;
    note(&app, &viewer, &client, Action::User, format!("removed {name}"));
    Ok(StatusCode::NO_CONTENT)
}

/// A token of a program.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenDto {
    id: i64,
    /// Whose it is; null when it was made at the machine.
    user: Option<String>,
    label: String,
    /// `read`, `control`, `export`, `events`, `admin`.
    scopes: Vec<&'static str>,
    /// Ids of the cameras that it is for; null: all of its user.
    cameras: Option<Vec<String>>,
    /// When it ends; null: never.
    expires: Option<String>,
    created: String,
    last_used: Option<String>,
    /// The token, in the answer to making it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl From<&TokenInfo> for TokenDto {
    fn from(t: &TokenInfo) -> Self {
        Self {
            id: t.id,
            user: t.user.as_ref().map(ToString::to_string),
            label: t.label.clone(),
            scopes: t.scopes.iter().map(Permission::scope).collect(),
            cameras: ids(&t.cameras),
            expires: t.expires.map(|e| e.to_string()),
            created: t.created.to_string(),
            last_used: t.last_used.map(|e| e.to_string()),
            token: None,
        }
    }
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// What it is called in the list.
    label: String,
    /// Some of `read`, `control`, `export`, `events`, `admin` (which holds the others).
    scopes: Vec<String>,
    /// Ids of cameras; null or absent: all of its user.
    cameras: Option<Vec<String>>,
    /// When it ends: RFC 3339 or Unix seconds; null or absent: never.
    expires: Option<Time>,
}

/// Tokens: one's own, or for administrators all.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "accounts", operation_id = "list_tokens",
    responses((status = 200, description = "The tokens, oldest first", body = [TokenDto])))]
pub(crate) async fn tokens(State(app): State<AppState>, viewer: Viewer) -> Answer<Json<Vec<TokenDto>>> {
    let all = sees_all(&viewer);
    let tokens = app
        .nvr
        .accounts()
        .tokens(if all { None } else { viewer.user.as_ref() })
        .await?;
    Ok(Json(tokens.iter().map(TokenDto::from).collect()))
}

fn sees_all(viewer: &Viewer) -> bool {
    viewer.may(Permission::Admin) && (viewer.cameras.is_all() || viewer.user.is_none())
}

/// Makes a token. It can never do more than whoever makes it, neither now nor later.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "accounts", operation_id = "add_token", request_body = TokenRequest,
    responses((status = 201, description = "Made; `token` is shown only here", body = TokenDto),
        (status = 400, description = "Something cannot be used", body = Problem)))]
pub(crate) async fn add_token(
    State(app): State<AppState>,
    viewer: Viewer,
    client: Client,
    Body(request): Body<TokenRequest>,
) -> Answer<(StatusCode, Json<TokenDto>)> {
    let mut scopes = Scopes::default();
    for word in &request.scopes {
        let permission = Scopes::word(word).ok_or_else(|| {
            Failure::invalid(format!(
                "scope {word:?}: want read, control, export, events or admin"
            ))
        })?;
        scopes = scopes.with(permission);
    }
    let now = app.nvr.clock().now();
    let expires = match &request.expires {
        None => None,
        Some(Time(at)) => {
            let left = u64::try_from(at.since(now)).ok().filter(|ns| *ns > 0);
            let left = left.ok_or_else(|| Failure::invalid("expires: this is over already"))?;
            Some(std::time::Duration::from_nanos(left))
        }
    };
    let wish = TokenWish {
        label: request.label,
        scopes,
        cameras: cameras(request.cameras)?,
        expires,
    };
    let (info, token) = app.nvr.accounts().add_token(Some(&viewer), wish).await?;
    let detail = format!(
        "made token {} {:?} for {}",
        info.id,
        info.label,
        request.scopes.join(", ")
    );
    note(&app, &viewer, &client, Action::Token, detail);
    let mut dto = TokenDto::from(&info);
    dto.token = Some(token.expose().to_owned());
    Ok((StatusCode::CREATED, Json(dto)))
}

/// Removes a token; it is worth nothing from then on.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "accounts", operation_id = "remove_token",
    params(("id" = i64, Path, description = "Token")),
    responses((status = 204, description = "Removed"),
        (status = 404, description = "There is none of that id", body = Problem)))]
pub(crate) async fn remove_token(
    State(app): State<AppState>,
    viewer: Viewer,
    client: Client,
    RowPath(id): RowPath,
) -> Answer<StatusCode> {
    let of = (!sees_all(&viewer)).then_some(&*viewer.0);
    app.nvr.accounts().remove_token(id, of).await?;
    note(
        &app,
        &viewer,
        &client,
        Action::Token,
        format!("removed token {id}"),
    );
    Ok(StatusCode::NO_CONTENT)
}

/// Something that somebody did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditDto {
    at: String,
    /// A user, `token:7`, `share:3`; null when nobody was known.
    user: Option<String>,
    address: Option<String>,
    /// `login`, `login_failed`, `logout`, `watch`, `play`, `export`, `share_view`, `delete`, `protect`, `control`, `job`, `backup`,
    /// `settings`, `probe`, `user`, `token`, `share`.
    action: String,
    camera: Option<String>,
    detail: String,
}

/// A page of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditPageDto {
    entries: Vec<AuditDto>,
    /// Cursor of the next page.
    next: Option<String>,
}

/// Who saw, exported, deleted and changed what, newest first. What goes on for long is an entry every five minutes.
#[utoipa::path(get, path = "/api/v1/audit", tag = "accounts",
    params(("user" = Option<String>, Query, description = "Of this user"),
        ("action" = Option<String>, Query, description = "Of this kind"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page", body = AuditPageDto),
        (status = 400, description = "A parameter cannot be read", body = Problem)))]
pub(crate) async fn audit(State(app): State<AppState>, mut query: Query) -> Answer<Json<AuditPageDto>> {
    let (user, action) = (query.text("user")?, query.text("action")?);
    let limit = query.limit(1000, 100)?;
    if let Some(action) = action
        .as_deref()
        .filter(|a| Action::ALL.iter().all(|known| known.as_str() != *a))
    {
        return Err(Failure::invalid(format!(
            "parameter action={action:?}: there is no such action"
        )));
    }
    let cursor = query.parsed("cursor", "the cursor of the page before")?;
    query.end()?;
    let page = app.nvr.accounts().audit(user, action, limit, cursor).await?;
    let entries = page.entries.into_iter().map(|e| AuditDto {
        at: e.at.to_string(),
        user: e.user,
        address: e.address,
        action: e.action,
        camera: e.camera.map(|c| c.to_string()),
        detail: e.detail,
    });
    Ok(Json(AuditPageDto {
        entries: entries.collect(),
        next: page.next.map(|c| c.to_string()),
    }))
}
