//! Login, logout, the first account, one's own password.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nvr_core::SourceSpec;
use nvr_core::accounts::{Action, Deed, Denied, Identity, Login};
use nvr_core::config::Auth;
use nvr_core::secret::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
#[cfg(feature = "oidc")]
use utoipa_axum::routes;

use super::Body;
use crate::auth::{MaybeViewer, Viewer, cookie_of, csrf_of, failed};
use crate::peer::Client;
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// Who is logged in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionUserDto {
    name: String,
    /// `admin`, `operator` or `viewer`.
    role: &'static str,
    /// Ids of the cameras that he may have to do with; null: all.
    cameras: Option<Vec<String>>,
    /// To be sent as `X-CSRF-Token` with orders; empty where no cookie is used.
    csrf: String,
}

/// Whether one has to log in, and who is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionDto {
    /// `accounts`, or `none`: everybody on this machine may do everything.
    auth: &'static str,
    /// Whether the first account is still to be made, with the link that the recorder printed.
    setup: bool,
    /// Whether this is the demo.
    demo: bool,
    /// What the button says with which a login provider is gone to (`GET /api/v1/session/oidc`); null: there is none.
    sso: Option<String>,
    user: Option<SessionUserDto>,
}

/// Name and password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginRequest {
    name: String,
    #[schema(value_type = String)]
    password: Secret,
    /// Stay logged in when the browser is closed.
    #[serde(default)]
    remember: bool,
}

/// The first account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetupRequest {
    /// Of the link that the recorder printed.
    #[schema(value_type = String)]
    token: Secret,
    name: String,
    #[schema(value_type = String)]
    password: Secret,
}

/// A new password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordRequest {
    #[schema(value_type = String)]
    old: Secret,
    #[schema(value_type = String)]
    new: Secret,
}

fn user(who: &Identity, csrf: String) -> Option<SessionUserDto> {
    Some(SessionUserDto {
        name: who.label()?,
        role: who.role.as_str(),
        cameras: who
            .cameras
            .ids()
            .map(|ids| ids.map(ToString::to_string).collect()),
        csrf,
    })
}

async fn about(app: &AppState, user: Option<SessionUserDto>) -> Answer<SessionDto> {
    let open = app.access.auth == Auth::None;
    let cameras = &app.nvr.config().cameras;
    let setup = !open && user.is_none() && !app.nvr.accounts().has_users().await?;
    Ok(SessionDto {
        auth: if open { "none" } else { "accounts" },
        setup,
        sso: sso(app),
        demo: open && !cameras.is_empty() && cameras.iter().all(|c| matches!(c.source, SourceSpec::Test(_))),
        user,
    })
}

#[cfg(feature = "oidc")]
fn sso(app: &AppState) -> Option<String> {
    app.oidc.as_ref().map(|provider| provider.name().to_owned())
}

#[cfg(not(feature = "oidc"))]
fn sso(_: &AppState) -> Option<String> {
    None
}

/// The addresses of logins by a provider, where this was built with them.
pub(crate) fn provider_routes() -> OpenApiRouter<AppState> {
    let router = OpenApiRouter::new();
    #[cfg(feature = "oidc")]
    let router = router
        .routes(routes!(super::oidc::begin))
        .routes(routes!(super::oidc::callback));
    router
}

/// Whether one has to log in, and who is logged in.
#[utoipa::path(get, path = "/api/v1/session", tag = "accounts", operation_id = "session",
    responses((status = 200, description = "How it stands", body = SessionDto)))]
pub(crate) async fn get(
    State(app): State<AppState>,
    MaybeViewer(viewer): MaybeViewer,
    client: Client,
    headers: HeaderMap,
) -> Answer<Response> {
    let mut csrf = String::new();
    let by_session = |v: &Viewer| matches!(v.via, nvr_core::accounts::Via::Session(_));
    if viewer.as_ref().is_some_and(by_session) {
        let name = app.access.cookie_name(app.nvr.accounts(), client.secure).await?;
        csrf = cookie_of(&headers, &name).map(csrf_of).unwrap_or_default();
    }
    let who = viewer.as_ref().and_then(|v| user(v, csrf));
    Ok(fresh(Json(about(&app, who).await?)))
}

/// Never from a cache: it is about who asks.
fn fresh(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn logged_in(app: &AppState, client: &Client, login: Login, status: StatusCode) -> Answer<Response> {
    let value = session_cookie(app, client, &login).await?;
    let body = about(app, user(&login.identity, csrf_of(login.token.expose()))).await?;
    let mut response = fresh((status, Json(body)));
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

/// The cookie by which the browser is known from then on.
pub(crate) async fn session_cookie(app: &AppState, client: &Client, login: &Login) -> Answer<HeaderValue> {
    let name = app.access.cookie_name(app.nvr.accounts(), client.secure).await?;
    let seconds = login.remember.map(|d| d.as_secs());
    let cookie = app
        .access
        .cookie(&name, login.token.expose(), client.secure, seconds);
    HeaderValue::from_str(&cookie).map_err(|_| Failure::invalid("the cookie cannot be set"))
}

/// Logs in. The answer sets the cookie by which the browser is known from then on.
#[utoipa::path(post, path = "/api/v1/session", tag = "accounts", operation_id = "login", request_body = LoginRequest,
    responses((status = 200, description = "Logged in", body = SessionDto),
        (status = 400, description = "The body cannot be read", body = Problem),
        (status = 401, description = "Name or password are wrong", body = Problem),
        (status = 409, description = "This recorder has no accounts (`auth = \"none\"`)", body = Problem),
        (status = 429, description = "Too many tries; `Retry-After` says how many seconds to wait", body = Problem)))]
pub(crate) async fn post(
    State(app): State<AppState>,
    client: Client,
    headers: HeaderMap,
    Body(request): Body<LoginRequest>,
) -> Answer<Response> {
    require_accounts(&app)?;
    let accounts = app.nvr.accounts();
    let name = app.access.cookie_name(accounts, client.secure).await?;
    let old = cookie_of(&headers, &name);
    let login = accounts
        .login(
            &request.name,
            request.password,
            request.remember,
            client.address,
            old,
        )
        .await;
    match login {
        Ok(login) => {
            accounts.note(Deed::of(&login.identity, Some(client.address), Action::Login, ""));
            logged_in(&app, &client, login, StatusCode::OK).await
        }
        Err(denied) => {
            if !matches!(denied, Denied::Fault(_)) {
                accounts.note(failed(&client));
            }
            Err(denied.into())
        }
    }
}

fn require_accounts(app: &AppState) -> Answer<()> {
    if app.access.auth == Auth::Accounts {
        return Ok(());
    }
    Err(nvr_core::Error::new(
        nvr_core::ErrorKind::Conflict,
        "this recorder asks nobody for a login",
    )
    .with_hint("it is for this machine only, and set so by `auth = \"none\"` in [http]")
    .into())
}

/// Where a browser goes to be logged out at the provider of logins as well.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct LogoutDto {
    /// Address at the provider, which sends the browser back.
    provider: String,
}

/// Where the provider that answers for somebody is to log him out.
#[cfg(feature = "oidc")]
async fn at_provider(
    app: &AppState,
    client: &Client,
    headers: &HeaderMap,
    who: &nvr_core::accounts::Identity,
) -> Answer<Option<LogoutDto>> {
    let Some(provider) = app.oidc.as_deref() else {
        return Ok(None);
    };
    let Some(issuer) = app.nvr.accounts().provider_of(who).await? else {
        return Ok(None);
    };
    let back = client.url(headers, &app.access.base_path, "/");
    let provider = provider.leave(&issuer, &back).await;
    Ok(provider.map(|provider| LogoutDto { provider }))
}

#[cfg(not(feature = "oidc"))]
async fn at_provider(
    _: &AppState,
    _: &Client,
    _: &HeaderMap,
    _: &nvr_core::accounts::Identity,
) -> Answer<Option<LogoutDto>> {
    Ok(None)
}

/// Logs out; does nothing for who is not logged in. Somebody whom a login provider let in is told where to go to be logged
/// out there as well, where the provider has such a place.
#[utoipa::path(delete, path = "/api/v1/session", tag = "accounts", operation_id = "logout",
    responses((status = 200, description = "Logged out here, and to be sent to the login provider", body = LogoutDto),
        (status = 204, description = "Logged out"),
        (status = 403, description = "The header X-CSRF-Token is missing", body = Problem)))]
pub(crate) async fn delete(
    State(app): State<AppState>,
    MaybeViewer(viewer): MaybeViewer,
    client: Client,
    headers: HeaderMap,
) -> Answer<Response> {
    if app.access.auth == Auth::None {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let accounts = app.nvr.accounts();
    let name = app.access.cookie_name(accounts, client.secure).await?;
    let mut elsewhere = None;
    if let (Some(viewer), Some(token)) = (viewer, cookie_of(&headers, &name)) {
        accounts.logout(token).await?;
        elsewhere = at_provider(&app, &client, &headers, &viewer).await?;
        accounts.note(Deed::of(&viewer, Some(client.address), Action::Logout, ""));
    }
    let gone = [(
        header::SET_COOKIE,
        app.access.cookie(&name, "", client.secure, Some(0)),
    )];
    Ok(match elsewhere {
        Some(elsewhere) => (StatusCode::OK, gone, Json(elsewhere)).into_response(),
        None => (StatusCode::NO_CONTENT, gone).into_response(),
    })
}

/// Makes the first account, an administrator, and logs in.
#[utoipa::path(post, path = "/api/v1/setup", tag = "accounts", operation_id = "setup", request_body = SetupRequest,
    responses((status = 201, description = "Made, and logged in", body = SessionDto),
        (status = 400, description = "The name or password cannot be used", body = Problem),
        (status = 401, description = "The link is not (or no longer) good, or there is an account", body = Problem),
        (status = 409, description = "This recorder has no accounts (`auth = \"none\"`)", body = Problem),
        (status = 429, description = "Too many tries; `Retry-After` says how many seconds to wait", body = Problem)))]
pub(crate) async fn setup(
    State(app): State<AppState>,
    client: Client,
    Body(request): Body<SetupRequest>,
) -> Answer<Response> {
    require_accounts(&app)?;
    let accounts = app.nvr.accounts();
    let made = accounts
        .setup(
            request.token.expose(),
            &request.name,
            request.password,
            client.address,
        )
        .await;
    let login = match made {
        Ok(login) => login,
        Err(Denied::Wrong) => {
            accounts.note(failed(&client));
            return Err(Failure::Http(
                StatusCode::UNAUTHORIZED,
                "setup_over",
                "this link is not good, or no longer: start the recorder again for another".into(),
            ));
        }
        Err(denied) => return Err(denied.into()),
    };
    accounts.note(Deed::of(
        &login.identity,
        Some(client.address),
        Action::User,
        "made the first account",
    ));
    logged_in(&app, &client, login, StatusCode::CREATED).await
}

/// Changes one's own password; all other logins of that user end.
#[utoipa::path(post, path = "/api/v1/session/password", tag = "accounts", operation_id = "change_password",
    request_body = PasswordRequest,
    responses((status = 204, description = "Changed"),
        (status = 400, description = "The new one cannot be used", body = Problem),
        (status = 401, description = "The old one is wrong, or nobody is logged in", body = Problem),
        (status = 409, description = "Nobody is logged in who could have one", body = Problem),
        (status = 429, description = "Too many tries; `Retry-After` says how many seconds to wait", body = Problem)))]
pub(crate) async fn password(
    State(app): State<AppState>,
    viewer: Viewer,
    client: Client,
    Body(request): Body<PasswordRequest>,
) -> Answer<StatusCode> {
    let accounts = app.nvr.accounts();
    accounts
        .change_password(&viewer, request.old, request.new, client.address)
        .await?;
    accounts.note(Deed::of(
        &viewer,
        Some(client.address),
        Action::User,
        "changed the own password",
    ));
    Ok(StatusCode::NO_CONTENT)
}

/// How long the link for the first account is good.
pub(crate) const SETUP: Duration = Duration::from_secs(24 * 3600);
