//! Who asks and whether he may: credentials of a request, held against the table in [`crate::access`].

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nvr_core::accounts::{Accounts, Deed, Denied, Identity, Permission, Via};
use nvr_core::config::{Auth, HttpConfig};
use nvr_core::secret::Secret;
use nvr_core::{CameraId, JobId, SegmentId};
use tokio::sync::OnceCell;
use tracing::Instrument as _;

use crate::access::{self, About, Needs};
use crate::peer::{self, Client};
use crate::problem::{Answer, Failure, problem};
use crate::server::AppState;

/// What of the configuration says who may ask.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) auth: Auth,
    pub(crate) proxies: Vec<ipnet::IpNet>,
    pub(crate) base_path: String,
    pub(crate) cors: Vec<String>,
    metrics_open: bool,
    /// What the cookie's name ends in.
    instance: OnceCell<String>,
}

impl Access {
    pub(crate) fn new(config: &HttpConfig) -> Self {
        Self {
            auth: config.auth,
            proxies: config.trusted_proxies.clone(),
            base_path: config.base_path.clone(),
            cors: config.cors_origins.clone(),
            metrics_open: config.metrics_open,
            instance: OnceCell::new(),
        }
    }

    /// The name of the cookie. Browsers share cookies among the ports of a host, hence the instance; and one with
    /// `__Host-` cannot be planted by another host or over plain HTTP.
    pub(crate) async fn cookie_name(&self, accounts: &Accounts, secure: bool) -> nvr_core::Result<String> {
        let instance = self.instance.get_or_try_init(|| accounts.instance()).await?;
        let lead = if secure && self.base_path.is_empty() {
            "__Host-"
        } else {
            ""
        };
        Ok(format!("{lead}nvr_{instance}"))
    }

    /// Sets the cookie, or takes it away.
    pub(crate) fn cookie(&self, name: &str, value: &str, secure: bool, seconds: Option<u64>) -> String {
        use std::fmt::Write as _;
        let path = if self.base_path.is_empty() {
            "/"
        } else {
            &self.base_path
        };
        let mut text = format!("{name}={value}; Path={path}; HttpOnly; SameSite=Strict");
        if secure {
            text.push_str("; Secure");
        }
        if let Some(seconds) = seconds {
            let _ = write!(text, "; Max-Age={seconds}");
        }
        text
    }
}

/// A value of the `Cookie` headers.
pub(crate) fn cookie_of<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value)
}

/// What a page has to show besides the cookie, so that a page of another site can give no orders: it follows from the
/// session's token, which no page can read.
pub(crate) fn csrf_of(session: &str) -> String {
    blake3::Hash::from(blake3::derive_key("nvr csrf token 1", session.as_bytes()))
        .to_hex()
        .as_str()[..32]
        .to_owned()
}

/// Whether two texts are the same, in a time that tells nothing of where they differ.
fn same(a: &str, b: &str) -> bool {
    blake3::hash(a.as_bytes()) == blake3::hash(b.as_bytes())
}

/// Who asks: put into every request that needs somebody.
#[derive(Clone, Debug)]
pub(crate) struct Viewer(pub(crate) Arc<Identity>);

impl std::ops::Deref for Viewer {
    type Target = Identity;
    fn deref(&self) -> &Identity {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Viewer {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unknown)
    }
}

/// The same where it may be nobody.
#[derive(Clone, Debug)]
pub(crate) struct MaybeViewer(pub(crate) Option<Viewer>);

impl<S: Send + Sync> FromRequestParts<S> for MaybeViewer {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        Ok(Self(parts.extensions.get::<Viewer>().cloned()))
    }
}

fn unknown() -> Failure {
    Failure::Http(
        StatusCode::UNAUTHORIZED,
        "login_needed",
        "this needs a login or a token".into(),
    )
}

fn forbidden(detail: &str) -> Failure {
    Failure::Http(StatusCode::FORBIDDEN, "forbidden", detail.into())
}

impl Viewer {
    /// Refuses what concerns a camera that is none of his, as if there were none.
    pub(crate) fn require(&self, camera: &CameraId) -> Answer<()> {
        if self.sees(camera) {
            return Ok(());
        }
        Err(Failure::not_found(format!("there is no camera {camera}")))
    }

    /// Whether both are the same user, or the same token that is no user's.
    #[cfg(feature = "webrtc")]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.user, &other.user) {
            (None, None) => self.via == other.via,
            (one, another) => one == another,
        }
    }

    /// Completes when he may no longer do this: for streams that go on for ever.
    pub(crate) async fn until_revoked(self, app: AppState, permission: Permission, camera: Option<CameraId>) {
        if app.access.auth == Auth::None {
            return std::future::pending().await;
        }
        let clock = app.nvr.clock();
        loop {
            clock.tick(std::time::Duration::from_secs(15)).await;
            match app.nvr.accounts().again(&self).await {
                Ok(Some(now)) if now.may(permission) => {
                    let stays = match &camera {
                        Some(camera) => now.sees(camera),
                        // The stream was begun with the cameras of then.
                        None => now.cameras == self.cameras,
                    };
                    if !stays {
                        return;
                    }
                }
                Ok(_) => return,
                Err(e) => tracing::debug!(error = %e, "a viewer could not be looked up"),
            }
        }
    }
}

/// In an answer that says with a good status that an order was not followed: nothing is noted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Undone;

/// What came of the credentials of a request.
enum Came {
    /// There are none, or what is there is worth nothing (any more).
    Nobody,
    Somebody(Identity),
}

/// Lets through who may.
pub(crate) async fn admit(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    use axum::response::IntoResponse as _;
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
        // There is nothing at this address, and that may be known.
        return next.run(request).await;
    };
    let path = path.as_str().to_owned();
    let method = request.method().clone();
    let client = peer::of(request.extensions());
    let rule = access::find(method.as_str(), &path).unwrap_or(access::UNKNOWN);
    let (mut parts, body) = request.into_parts();
    let judged = judge(&app, &mut parts, rule, &path, &client).await;
    let (viewer, camera) = match judged {
        Ok(judged) => judged,
        Err(failure) => {
            let mut response = failure.into_response();
            if response.status() == StatusCode::UNAUTHORIZED {
                challenge(&mut response, &parts.headers, &client);
            }
            return response;
        }
    };
    request = Request::from_parts(parts, body);
    if let Some(viewer) = &viewer {
        request.extensions_mut().insert(viewer.clone());
    }
    let said = rule.action.map(|_| {
        request
            .uri()
            .path_and_query()
            .map(|p| p.as_str().to_owned())
            .unwrap_or_default()
    });
    let span = match &camera {
        Some(camera) => tracing::error_span!("about", %camera),
        None => tracing::Span::none(),
    };
    let response = next.run(request).instrument(span).await;
    let status = response.status();
    let done = (status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS)
        && response.extensions().get::<Undone>().is_none();
    if let (Some(action), Some(viewer), true) = (rule.action, &viewer, done)
        && app.access.auth == Auth::Accounts
    {
        let detail = format!("{method} {}", said.unwrap_or_default());
        app.nvr
            .accounts()
            .note(Deed::of(viewer, Some(client.address), action, detail).camera(camera));
    }
    response
}

type Judged = (Option<Viewer>, Option<CameraId>);

async fn judge(
    app: &AppState,
    parts: &mut Parts,
    rule: access::Rule,
    path: &str,
    client: &Client,
) -> Answer<Judged> {
    let near = client.local || app.access.metrics_open;
    if rule.needs == Needs::Nearness && near {
        return Ok((None, None));
    }
    let vital = matches!(path, "/health" | "/ready");
    // Pages have nothing to do with who asks.
    if rule.needs == Needs::Nothing && !vital && !path.starts_with("/api/v1/session") {
        return Ok((None, None));
    }
    let came = if app.access.auth == Auth::None {
        Came::Somebody(Identity::open())
    } else {
        match credentials(app, parts, client, rule.needs == Needs::Nothing).await {
            // Whether it lives must not depend on the accounts.
            Err(_) if vital => Came::Nobody,
            came => came?,
        }
    };
    let Came::Somebody(who) = came else {
        return if rule.needs == Needs::Nothing {
            Ok((None, None))
        } else {
            Err(unknown())
        };
    };
    match rule.needs {
        Needs::Nothing => {}
        Needs::Nearness if who.may(Permission::Look) && who.cameras.is_all() => {}
        Needs::Nearness => return Err(forbidden("this is for who may look at all cameras")),
        Needs::Person => {
            let by_token = matches!(who.via, Via::Token(..));
            if by_token && !who.may(Permission::Admin) {
                return Err(forbidden("this is not for tokens but of the scope admin"));
            }
        }
        Needs::May(permission) if who.may(permission) => {}
        Needs::May(permission) => {
            let text = match who.via {
                Via::Token(..) => format!("this needs a token of the scope {}", permission.scope()),
                _ => format!("this is not for the role {}", who.role.as_str()),
            };
            return Err(forbidden(&text));
        }
    }
    let viewer = Viewer(Arc::new(who));
    let camera = about(app, parts, rule.about, &viewer).await?;
    Ok((Some(viewer), camera))
}

/// The camera that it is about, which must be the viewer's.
async fn about(app: &AppState, parts: &mut Parts, about: About, viewer: &Viewer) -> Answer<Option<CameraId>> {
    let limited = !viewer.cameras.is_all();
    match about {
        About::Any => return Ok(None),
        About::All if limited => return Err(forbidden("this is for who may see all cameras")),
        About::All => return Ok(None),
        About::Camera | About::Segment | About::Job => {}
    }
    let params = RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|e| Failure::invalid(format!("the path cannot be read: {e}")))?;
    let id = params
        .iter()
        .find(|(name, _)| *name == "id")
        .map(|(_, value)| value.to_owned())
        .unwrap_or_default();
    if about == About::Camera {
        let found = |id: &CameraId| viewer.sees(id);
        return match CameraId::new(&id) {
            Ok(camera) if found(&camera) => Ok(Some(camera)),
            // The handler says what is wrong with it; a name that cannot be is nobody's.
            Err(_) if !limited => Ok(None),
            _ => Err(Failure::not_found(format!("there is no camera {id:?}"))),
        };
    }
    // Looked up for who is limited, and for the log where something is changed.
    if !limited && parts.method.is_safe() {
        return Ok(None);
    }
    let (what, camera) = if about == About::Segment {
        let n = id.strip_suffix(".mp4").unwrap_or(&id).parse().ok().map(SegmentId);
        let found = match n {
            Some(n) => app.nvr.segment(n).await.ok(),
            None => None,
        };
        ("segment", found.map(|row| row.camera))
    } else {
        let found = match id.parse::<JobId>() {
            Ok(n) => app.nvr.jobs().get(n).await.ok(),
            Err(_) => None,
        };
        ("job", found.and_then(|job| job.camera))
    };
    if limited && !camera.as_ref().is_some_and(|c| viewer.sees(c)) {
        return Err(Failure::not_found(format!("there is no {what} {id:?}")));
    }
    Ok(camera)
}

/// Who a request says it is from. `lenient` where it need not be from anybody.
async fn credentials(app: &AppState, parts: &Parts, client: &Client, lenient: bool) -> Answer<Came> {
    let accounts = app.nvr.accounts();
    let from = |found: Option<Identity>| found.map_or(Came::Nobody, Came::Somebody);
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(from(accounts.by_token(rest.trim()).await?));
        }
        if scheme.eq_ignore_ascii_case("basic") && !lenient {
            return by_password(accounts, rest.trim(), client).await;
        }
        return Ok(Came::Nobody);
    }
    let name = app.access.cookie_name(accounts, client.secure).await?;
    let Some(token) = cookie_of(&parts.headers, &name) else {
        return Ok(Came::Nobody);
    };
    let Some(who) = accounts.by_session(token).await? else {
        return Ok(Came::Nobody);
    };
    let login = lenient && parts.method == axum::http::Method::POST;
    if !parts.method.is_safe() && !login {
        let shown = parts.headers.get("x-csrf-token").and_then(|v| v.to_str().ok());
        if !shown.is_some_and(|s| same(s, &csrf_of(token))) {
            return Err(Failure::Http(
                StatusCode::FORBIDDEN,
                "csrf",
                "orders of a login need the header X-CSRF-Token, as GET /api/v1/session tells it".into(),
            ));
        }
    }
    Ok(Came::Somebody(who))
}

async fn by_password(accounts: &Accounts, encoded: &str, client: &Client) -> Answer<Came> {
    if !client.secure && !client.local {
        return Err(forbidden(
            "name and password in each request are taken over TLS or on this machine only: use a token",
        ));
    }
    let decoded = BASE64
        .decode(encoded)
        .ok()
        .and_then(|b| String::from_utf8(b).ok());
    let Some((name, password)) = decoded.as_deref().and_then(|d| d.split_once(':')) else {
        return Ok(Came::Nobody);
    };
    match accounts
        .by_password(name, Secret::new(password), client.address)
        .await
    {
        Ok(who) => Ok(Came::Somebody(who)),
        Err(Denied::Wrong) => {
            accounts.note(failed(client));
            Ok(Came::Nobody)
        }
        Err(denied) => Err(denied.into()),
    }
}

/// A failed login, for the log. Without the name: it may be a password that was typed into the wrong field.
pub(crate) fn failed(client: &Client) -> Deed {
    Deed {
        user: None,
        address: Some(client.address),
        action: nvr_core::accounts::Action::LoginFailed,
        camera: None,
        detail: String::new(),
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Wrong => Self::Http(
                StatusCode::UNAUTHORIZED,
                "wrong_login",
                "name or password are wrong".into(),
            ),
            Denied::Later(wait) => Self::Later(wait),
            Denied::Fault(e) => Self::Core(e),
        }
    }
}

/// Says how to log in. Browsers are not told of `Basic`: they would ask for a password in a window of their own.
fn challenge(response: &mut Response, headers: &HeaderMap, client: &Client) {
    let all = response.headers_mut();
    all.append(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"nvr\""),
    );
    let is_browser = headers.contains_key("sec-fetch-mode") || headers.contains_key("sec-fetch-site");
    if !is_browser && (client.secure || client.local) {
        let basic = HeaderValue::from_static("Basic realm=\"nvr\", charset=\"UTF-8\"");
        all.append(header::WWW_AUTHENTICATE, basic);
    }
}

/// The answer of a layer that stands outside of the handlers.
pub(crate) fn refuse(detail: &str, hint: Option<String>) -> Response {
    problem(StatusCode::FORBIDDEN, "forbidden", detail.into(), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=b; nvr_1=tok; xnvr_1=no".parse().unwrap());
        headers.append(header::COOKIE, "c=d".parse().unwrap());
        assert_eq!(cookie_of(&headers, "nvr_1"), Some("tok"));
        assert_eq!(cookie_of(&headers, "c"), Some("d"));
        assert_eq!(cookie_of(&headers, "nvr_2"), None);
    }

    #[test]
    fn cookies_say_all_that_they_must() {
        let mut config = HttpConfig::default();
        let access = Access::new(&config);
        assert_eq!(
            access.cookie("n", "v", true, None),
            "n=v; Path=/; HttpOnly; SameSite=Strict; Secure"
        );
        config.base_path = "/nvr".into();
        let access = Access::new(&config);
        assert_eq!(
            access.cookie("n", "v", false, Some(60)),
            "n=v; Path=/nvr; HttpOnly; SameSite=Strict; Max-Age=60"
        );
    }

    #[test]
    fn the_csrf_token_belongs_to_the_session() {
        assert_eq!(csrf_of("a").len(), 32);
        assert_eq!(csrf_of("a"), csrf_of("a"));
        assert_ne!(csrf_of("a"), csrf_of("b"));
        assert!(same("a", "a") && !same("a", "b"));
    }
}
