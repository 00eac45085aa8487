//! Logins by an OpenID Connect provider: the way there and back.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nvr_core::accounts::{Action, Deed, Denied};
use nvr_core::{Error, ErrorKind};

use super::session::session_cookie;
use crate::auth::{cookie_of, failed};
use crate::oidc::{Provider, Refused, SECONDS};
use crate::params::Query;
use crate::peer::Client;
use crate::problem::{Answer, Problem};
use crate::server::AppState;

/// Below the address of the server.
const CALLBACK: &str = "/api/v1/session/oidc/callback";

fn provider(app: &AppState) -> Answer<&Provider> {
    app.oidc.as_deref().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "no login provider is configured")
            .with_hint("add a section [oidc] to the configuration")
            .into()
    })
}

/// The name of the cookie that binds a login to the browser that began it.
async fn cookie_name(app: &AppState) -> Answer<String> {
    Ok(format!("nvr_oidc_{}", app.nvr.accounts().instance().await?))
}

/// `SameSite=Lax`: it has to come along when the provider sends the browser back.
fn cookie(app: &AppState, client: &Client, name: &str, value: &str, seconds: u64) -> Answer<HeaderValue> {
    let path = format!("{}/api/v1/session/oidc", app.access.base_path);
    let secure = if client.secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path={path}; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    HeaderValue::from_str(&text)
        .map_err(|_| Error::new(ErrorKind::Internal, "the cookie cannot be set").into())
}

fn to(location: &str) -> Answer<Response> {
    let location = HeaderValue::from_str(location)
        .map_err(|_| Error::new(ErrorKind::Internal, "the address of the provider cannot be used"))?;
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// Sends the browser to the provider of logins.
#[utoipa::path(get, path = "/api/v1/session/oidc", tag = "accounts", operation_id = "oidc_login",
    responses((status = 303, description = "To the provider"),
        (status = 404, description = "No provider is configured", body = Problem),
        (status = 503, description = "The provider does not answer", body = Problem)))]
pub(crate) async fn begin(
    State(app): State<AppState>,
    client: Client,
    headers: HeaderMap,
) -> Answer<Response> {
    let provider = provider(&app)?;
    let back = client.url(&headers, &app.access.base_path, CALLBACK);
    let departure = provider.begin(back).await?;
    let mut response = to(&departure.url)?;
    let name = cookie_name(&app).await?;
    let kept = cookie(&app, &client, &name, &departure.cookie, SECONDS)?;
    response.headers_mut().append(header::SET_COOKIE, kept);
    Ok(response)
}

/// Where the provider sends the browser back. Logs in and goes on to the page; a login that comes to nothing goes there as
/// well, with the reason in `sso`: `denied` (by the provider, or in no group that may log in), `over` (begun elsewhere, or
/// too long ago), `taken` (the name is that of another user), `failed`.
#[utoipa::path(get, path = "/api/v1/session/oidc/callback", tag = "accounts", operation_id = "oidc_callback",
    params(("state" = Option<String>, Query, description = "As it was sent to the provider"),
        ("code" = Option<String>, Query, description = "What the provider gives tokens for"),
        ("error" = Option<String>, Query, description = "Why the provider gives none")),
    responses((status = 303, description = "To the page; logged in unless it says `sso`"),
        (status = 404, description = "No provider is configured", body = Problem)))]
pub(crate) async fn callback(
    State(app): State<AppState>,
    client: Client,
    headers: HeaderMap,
    mut query: Query,
) -> Answer<Response> {
    let provider = provider(&app)?;
    // Providers add parameters of their own.
    let (state, code, error) = (query.text("state")?, query.text("code")?, query.text("error")?);
    let state = state.unwrap_or_default();
    let name = cookie_name(&app).await?;
    let kept = cookie_of(&headers, &name).unwrap_or_default();
    let who = match (code, error) {
        (_, Some(error)) if provider.give_up(&state, kept) => Err(Refused::Provider(error)),
        (Some(code), None) => provider.finish(&state, &code, kept).await,
        _ => Err(Refused::NotBegun),
    };
    let accounts = app.nvr.accounts();
    let login = match who {
        Ok(who) => {
            let session = app.access.cookie_name(accounts, client.secure).await?;
            let old = cookie_of(&headers, &session);
            let login = accounts.login_external(who, old).await;
            login.map_err(|denied| match denied {
                Denied::Fault(e) => Refused::Fault(e),
                Denied::Wrong | Denied::Later(_) => Refused::NotBegun,
            })
        }
        Err(refused) => Err(refused),
    };
    let base = &app.access.base_path;
    let mut response = match login {
        Ok(login) => {
            let cookie = session_cookie(&app, &client, &login).await?;
            accounts.note(Deed::of(
                &login.identity,
                Some(client.address),
                Action::Login,
                "by the login provider",
            ));
            let mut response = to(&format!("{base}/"))?;
            response.headers_mut().append(header::SET_COOKIE, cookie);
            response
        }
        Err(refused) => {
            accounts.note(failed(&client));
            to(&format!("{base}/?sso={}", reason(&refused)))?
        }
    };
    let gone = cookie(&app, &client, &name, "", 0)?;
    response.headers_mut().append(header::SET_COOKIE, gone);
    Ok(response)
}

/// What the page is told; the log has the whole.
fn reason(refused: &Refused) -> &'static str {
    match refused {
        Refused::NotBegun => "over",
        Refused::Provider(error) => {
            tracing::info!(error, "the login provider let somebody not in");
            "denied"
        }
        Refused::NoGroup => {
            tracing::info!("somebody whom the login provider knows is in no group that may log in");
            "denied"
        }
        Refused::Fault(e) if e.kind() == ErrorKind::Conflict => {
            tracing::warn!(error = %e, "a login by the provider was refused");
            "taken"
        }
        Refused::Fault(e) => {
            tracing::warn!(error = %e, "a login by the provider failed");
            "failed"
        }
    }
}
