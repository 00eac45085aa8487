//! The router with its limits, and serving it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{Redirect, Response};
use nvr_core::Nvr;
use nvr_core::config::{Auth, HttpConfig};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{self, Needs};
use crate::api::{
    alerts, backup, bookings, cameras, config, detections, discovery, footage, jobs, live, log_level,
    machine, media, motion, objects, ptz, pushes, restream, session, shares, stills, storage, system,
    transcoding, uploads, users,
};
use crate::auth::{Access, admit};
use crate::conn::Patient;
use crate::guard::guard;
use crate::log_level::LogControl;
use crate::logs::LogBuffer;
use crate::peer::{self, Peer};
use crate::problem::{PROBLEM_JSON, problem};
use crate::tls::{Certificate, Guarded};

/// Pictures decoded at once.
const DECODES: usize = 4;
/// Sources probed at once.
const PROBES: usize = 3;
/// How many may watch at once, all cameras and ways together but LL-HLS, which is made once for all who ask.
const VIEWERS: usize = 256;
/// How long a connection may stand still: long enough for a player's pause between two requests.
const IDLE: Duration = Duration::from_secs(75);

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct AppState {
    pub(crate) nvr: Nvr,
    pub(crate) decodes: Arc<Semaphore>,
    pub(crate) probes: Arc<Semaphore>,
    /// Footage that is encoded for whoever has the address of a share.
    pub(crate) strangers: Arc<Semaphore>,
    /// Backups that are made.
    pub(crate) backups: Arc<Semaphore>,
    pub(crate) search: Arc<discovery::Search>,
    /// Of clients of another recorder.
    pub(crate) sessions: Arc<crate::compat::Sessions>,
    pub(crate) sampler: Arc<machine::Sampler>,
    /// The newest log records, where the program keeps them.
    pub(crate) logs: Option<LogBuffer>,
    /// What is logged, where the program lets it be changed.
    pub(crate) log_control: Option<LogControl>,
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) viewers: Arc<Semaphore>,
    pub(crate) timeout: Duration,
    /// Names of this server, beside addresses and `localhost`.
    pub(crate) host_names: Arc<[String]>,
    #[cfg(feature = "webrtc")]
    pub(crate) webrtc: Arc<crate::webrtc::Gateway>,
    /// Who else answers for logins.
    #[cfg(feature = "oidc")]
    pub(crate) oidc: Option<Arc<crate::oidc::Provider>>,
    /// Who may ask.
    pub(crate) access: Arc<Access>,
    /// Ends the streams that would go on for ever.
    pub(crate) stop: CancellationToken,
}

impl AppState {
    /// For a recorder, with the limits of its configuration.
    #[must_use]
    pub fn new(nvr: Nvr, config: &HttpConfig) -> Self {
        Self {
            #[cfg(feature = "oidc")]
            oidc: login_provider(&nvr, config),
            nvr,
            decodes: Arc::new(Semaphore::new(DECODES)),
            probes: Arc::new(Semaphore::new(PROBES)),
            strangers: Arc::new(Semaphore::new(1)),
            backups: Arc::new(Semaphore::new(1)),
            search: Arc::default(),
            sessions: Arc::default(),
            sampler: Arc::default(),
            logs: None,
            log_control: None,
            requests: Arc::new(Semaphore::new(config.max_concurrent)),
            viewers: Arc::new(Semaphore::new(VIEWERS)),
            timeout: config.request_timeout,
            #[cfg(feature = "webrtc")]
            webrtc: Arc::new(crate::webrtc::Gateway::new(config)),
            host_names: config.host_names.clone().into(),
            access: Arc::new(Access::new(config)),
            stop: CancellationToken::new(),
        }
    }

    /// With the newest log records to show.
    #[must_use]
    pub fn with_logs(mut self, logs: LogBuffer) -> Self {
        self.logs = Some(logs);
        self
    }

    /// With what is logged to be changed.
    #[must_use]
    pub fn with_log_control(mut self, control: LogControl) -> Self {
        self.log_control = Some(control);
        self
    }
}

/// The login provider of the configuration, where logins are asked for.
#[cfg(feature = "oidc")]
fn login_provider(nvr: &Nvr, config: &HttpConfig) -> Option<Arc<crate::oidc::Provider>> {
    let provider = nvr
        .config()
        .oidc
        .clone()
        .filter(|_| config.auth == Auth::Accounts)?;
    match crate::oidc::Provider::new(provider, nvr.clock()) {
        Ok(provider) => Some(Arc::new(provider)),
        Err(e) => {
            tracing::warn!(error = %e, "logins by the provider are off");
            None
        }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "nvr",
        description = "A network video recorder: cameras, timelines, exports, playlists, pictures. Times are RFC 3339 in UTC; Unix seconds are accepted too. Errors are problem+json (RFC 9457).",
    ),
    tags(
        (name = "cameras", description = "What is recorded, and how it is going"),
        (name = "footage", description = "What was recorded"),
        (name = "detections", description = "What was seen, by the recorder, by cameras, by other programs"),
        (name = "live", description = "What is going on now"),
        (name = "storage", description = "How full the disk is, what is deleted and what is protected"),
        (name = "jobs", description = "Slow work: what waits, runs and is over"),
        (name = "alerts", description = "What is wrong, and telling somebody"),
        (name = "uploads", description = "Copies of segments at other places"),
        (name = "config", description = "The configuration file"),
        (name = "system", description = "The recorder itself"),
        (name = "accounts", description = "Who may ask: logins, users, tokens, shares, and what they did"),
        (name = "shared", description = "Footage for whoever has the address of a share"),
    ),
    modifiers(&Credentials)
)]
struct Api;

/// The ways to say who one is.
struct Credentials;

impl utoipa::Modify for Credentials {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        components.add_security_scheme("password", SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)));
        let about = "Set by `POST /api/v1/session`; its name ends in the id of the recorder. Orders also need X-CSRF-Token.";
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description("nvr_", about));
        components.add_security_scheme("login", SecurityScheme::ApiKey(cookie));
    }
}

fn api_router() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(cameras::list, config::add_camera))
        .routes(routes!(cameras::start_all))
        .routes(routes!(cameras::stop_all))
        .routes(routes!(cameras::probe))
        .routes(routes!(
            cameras::one,
            config::change_camera,
            config::remove_camera
        ))
        .routes(routes!(cameras::start))
        .routes(routes!(cameras::stop))
        .routes(routes!(cameras::restart))
        .routes(routes!(cameras::split))
        .routes(routes!(cameras::record))
        .routes(routes!(footage::timeline))
        .routes(routes!(footage::timelines))
        .routes(routes!(footage::days))
        .routes(routes!(motion::strip))
        .routes(routes!(motion::now))
        .routes(routes!(footage::segments))
        .routes(routes!(media::segment, storage::delete))
        .routes(routes!(storage::protect))
        .routes(routes!(storage::protect_range))
        .routes(routes!(media::export))
        .routes(routes!(media::vod))
        .routes(routes!(media::media))
        .routes(routes!(media::snapshot))
        .routes(routes!(stills::list))
        .routes(routes!(stills::one))
        .routes(routes!(live::capability))
        .routes(routes!(live::mp4::watch))
        .routes(routes!(live::pictures::preview))
        .routes(routes!(live::pictures::mjpeg))
        .routes(routes!(live::hls::playlist))
        .routes(routes!(live::hls::file))
        .merge(live::whep_routes())
        .routes(routes!(detections::begin))
        .routes(routes!(detections::end))
        .routes(routes!(detections::list))
        .routes(routes!(detections::one, detections::forget))
        .routes(routes!(detections::thumbnail))
        .routes(routes!(objects::status))
        .routes(routes!(pushes::all))
        .routes(routes!(pushes::of_camera, pushes::begin))
        .routes(routes!(pushes::end))
        .routes(routes!(restream::server))
        .routes(routes!(bookings::list, bookings::add))
        .routes(routes!(bookings::occurrences))
        .routes(routes!(bookings::calendars))
        .routes(routes!(bookings::one, bookings::change, bookings::remove))
        .routes(routes!(bookings::cancel))
        .routes(routes!(jobs::list, jobs::enqueue))
        .routes(routes!(jobs::kinds))
        .routes(routes!(jobs::clean))
        .routes(routes!(jobs::one))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::retry))
        .routes(routes!(jobs::file))
        .routes(routes!(uploads::targets))
        .routes(routes!(uploads::list))
        .routes(routes!(uploads::retry))
        .routes(routes!(uploads::request))
        .routes(routes!(uploads::restore))
        .routes(routes!(uploads::copies))
        .routes(routes!(uploads::link))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::acknowledge))
        .routes(routes!(alerts::mute))
        .routes(routes!(alerts::unmute))
        .routes(routes!(alerts::channels))
        .routes(routes!(alerts::test))
        .routes(routes!(transcoding::status, transcoding::transcode))
        .routes(routes!(transcoding::enable))
        .routes(routes!(transcoding::disable))
        .routes(routes!(config::config, config::change))
        .routes(routes!(config::schema))
        .routes(routes!(discovery::discovery))
        .routes(routes!(discovery::stream))
        .routes(routes!(ptz::get))
        .routes(routes!(ptz::turn))
        .routes(routes!(ptz::stop))
        .routes(routes!(ptz::save))
        .routes(routes!(ptz::go_to))
        .routes(routes!(ptz::forget))
        .routes(routes!(ptz::home))
        .routes(routes!(ptz::clock, ptz::set_clock))
        .routes(routes!(machine::system))
        .routes(routes!(backup::backup))
        .routes(routes!(machine::logs))
        .routes(routes!(machine::camera_logs))
        .routes(routes!(log_level::get, log_level::put))
        .routes(routes!(system::events))
        .routes(routes!(storage::storage))
        .routes(routes!(storage::history))
        .routes(routes!(storage::cleanup))
        .routes(routes!(session::get, session::post, session::delete))
        .routes(routes!(session::password))
        .routes(routes!(session::setup))
        .merge(session::provider_routes())
        .routes(routes!(users::list, users::add))
        .routes(routes!(users::change, users::remove))
        .routes(routes!(users::tokens, users::add_token))
        .routes(routes!(users::remove_token))
        .routes(routes!(users::audit))
        .routes(routes!(shares::list, shares::add))
        .routes(routes!(shares::get, shares::remove))
        .routes(routes!(shares::footage::export))
        .routes(routes!(shares::footage::vod))
        .routes(routes!(shares::footage::media))
        .routes(routes!(shares::footage::snapshot))
        .routes(routes!(shares::footage::segment))
        .routes(routes!(system::health))
        .routes(routes!(system::ready))
        .routes(routes!(system::metrics))
}

/// The description of the API, as served at `/api/openapi.json`.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut description = api_router().into_openapi();
    describe_problems(&mut description);
    description
}

/// Says of each operation that its errors are problems, those that any of them may have included.
fn describe_problems(description: &mut utoipa::openapi::OpenApi) {
    use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
    let problem = || Content::new(Some(Ref::from_schema_name("Problem")));
    let operations = description.paths.paths.iter_mut().flat_map(|(path, item)| {
        [
            ("GET", item.get.as_mut()),
            ("POST", item.post.as_mut()),
            ("PUT", item.put.as_mut()),
            ("PATCH", item.patch.as_mut()),
            ("DELETE", item.delete.as_mut()),
        ]
        .into_iter()
        .filter_map(|(method, o)| o.map(|o| (access::find(method, path).unwrap_or(access::UNKNOWN), o)))
    });
    for (rule, operation) in operations {
        describe_credentials(operation, rule.needs);
        let responses = &mut operation.responses.responses;
        for (status, response) in responses.iter_mut() {
            let RefOr::T(response) = response else { continue };
            let is_problem = response.content.values().any(|c| {
                serde_json::to_value(c).is_ok_and(|c| c["schema"]["$ref"] == "#/components/schemas/Problem")
            });
            if is_problem && !status.starts_with('2') {
                response.content.clear();
                response
                    .content
                    .insert(PROBLEM_JSON.to_owned(), RefOr::T(problem()));
            }
        }
        let any = ResponseBuilder::new()
            .description("A mistake in the request, too many requests at once, or a fault")
            .content(PROBLEM_JSON, problem());
        responses.insert("default".to_owned(), RefOr::T(any.build()));
    }
}

/// Says of an operation how to say who one is, and what happens otherwise.
fn describe_credentials(operation: &mut utoipa::openapi::path::Operation, needs: Needs) {
    use utoipa::openapi::{Content, Ref, ResponseBuilder, SecurityRequirement};
    if needs == Needs::Nothing {
        return;
    }
    let none: [&str; 0] = [];
    let ways = ["login", "token", "password"].map(|way| SecurityRequirement::new(way, none));
    operation.security = Some(ways.into());
    for (status, text) in [
        ("401", "Nobody is logged in, and there is no token that is good"),
        ("403", "This is not for the role, the token or the page that asks"),
        (
            "429",
            "Too many wrong passwords; `Retry-After` says how many seconds to wait",
        ),
    ] {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new()
            .description(text)
            .content(PROBLEM_JSON, problem);
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| response.build().into());
    }
}

/// Everything: API, page, health, metrics. `config` gives the limits and who may ask. Serve it with
/// `into_make_service_with_connect_info::<std::net::SocketAddr>()`: without knowing who asks it takes nobody to be on
/// this machine. The audit log is written while [`Accounts::work`](nvr_core::accounts::Accounts::work) runs.
pub fn router(state: AppState, config: &HttpConfig) -> Router {
    let (api, _) = api_router().split_for_parts();
    let description = serde_json::to_string_pretty(&openapi()).unwrap_or_default();
    let description = axum::routing::get(move || {
        let text = description.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], text) }
    });
    let body = usize::try_from(config.max_body_bytes).unwrap_or(usize::MAX);
    let base = config.base_path.clone();
    let page_base = base.clone();
    let cors = (!config.cors_origins.is_empty()).then(|| cors(&config.cors_origins));
    let app = api
        .merge(crate::compat::router(&config.compat))
        .route("/api/openapi.json", description)
        .fallback(move |request: Request| async move { crate::page::serve(&page_base, &request) })
        .method_not_allowed_fallback(|| async {
            problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "not with this method".into(),
                None,
            )
        })
        .layer(DefaultBodyLimit::max(body))
        .layer(middleware::from_fn_with_state(state.clone(), admit))
        .layer(middleware::from_fn_with_state(state.clone(), limits))
        .layer(middleware::from_fn_with_state(state.clone(), guard))
        .layer(middleware::from_fn_with_state(state.clone(), peer::find))
        .layer(tower::util::option_layer(cors))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "a fault in the recorder; see its log".into(),
                None,
            )
        }))
        .layer(header_layer("x-content-type-options", "nosniff"))
        .layer(header_layer("referrer-policy", "no-referrer"))
        .layer(header_layer("cross-origin-resource-policy", "same-origin"))
        .layer(header_layer("x-frame-options", "DENY"))
        .layer(header_layer(
            "content-security-policy",
            "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'self'",
        ))
        // An ERROR in the log means that video was lost, and a 503 of `/ready` is none.
        .layer(TraceLayer::new_for_http().make_span_with(span_of).on_failure(()))
        .with_state(state);
    if base.is_empty() { app } else { below(app, &base) }
}

/// What is logged about a request. Without its query and without what comes behind `/shares/`: both may hold secrets.
fn span_of(request: &Request) -> tracing::Span {
    let path = request.uri().path();
    let shown = match path.split_once("/shares/") {
        Some((before, _)) => format!("{before}/shares/***"),
        None => path.to_owned(),
    };
    tracing::debug_span!("request", method = %request.method(), path = shown)
}

/// The pages of other sites that may ask. They show a token: the cookie of a login does not come with their requests.
fn cors(origins: &[String]) -> CorsLayer {
    let listed = origins.iter().filter_map(|o| HeaderValue::from_str(o).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(listed))
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::RANGE,
            header::ACCEPT,
        ])
        .expose_headers([
            header::CONTENT_RANGE,
            header::ACCEPT_RANGES,
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            HeaderName::from_static("x-frame-time"),
        ])
        .max_age(Duration::from_secs(600))
}

/// The same below a path, for a proxy that shows the recorder there. One that takes the path away itself is served, too.
fn below(app: Router, base: &str) -> Router {
    let (at, to) = (base.to_owned(), format!("{base}/"));
    let base: Arc<str> = base.into();
    let strip = move |mut request: Request| {
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let rest = path.strip_prefix(&*base).filter(|r| r.starts_with('/'));
        if let Some(rest) = rest.map(str::to_owned) {
            let mut parts = request.uri().clone().into_parts();
            parts.path_and_query = rest.parse().ok();
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
        request
    };
    let inner = tower::ServiceBuilder::new().map_request(strip).service(app);
    let lead = axum::routing::get(move || async move { Redirect::permanent(&to) });
    Router::new().route(&at, lead).fallback_service(inner)
}

fn header_layer(name: &'static str, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(HeaderName::from_static(name), HeaderValue::from_static(value))
}

/// At most so many requests at once, each answered within the time allowed (its body may take longer).
async fn limits(State(app): State<AppState>, request: Request, next: Next) -> Response {
    // Being asked for health must work when everything else is too much.
    let vital = matches!(request.uri().path(), "/health" | "/ready" | "/metrics");
    let permit = if vital {
        None
    } else {
        app.requests.clone().try_acquire_owned().ok()
    };
    if permit.is_none() && !vital {
        let mut busy = problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "too many requests at once".into(),
            None,
        );
        busy.headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return busy;
    }
    match tokio::time::timeout(app.timeout, next.run(request)).await {
        Ok(response) => {
            // A body that is in memory already needs no permit; one that is read while it is sent does.
            if axum::body::HttpBody::size_hint(response.body()).exact().is_some() {
                return response;
            }
            let (parts, body) = response.into_parts();
            let body = futures_util::StreamExt::map(body.into_data_stream(), move |piece| {
                let _held = &permit;
                piece
            });
            Response::from_parts(parts, axum::body::Body::from_stream(body))
        }
        Err(_) => problem(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            "the answer took too long".into(),
            None,
        ),
    }
}

/// The end of the address at which the first account is made: `/setup#token=…`, to be put behind scheme and host. Good
/// for a day, or until this is called again. `None` where there is an account, or none is needed.
///
/// # Errors
/// `Storage` when the accounts' file cannot be written.
pub async fn setup_link(nvr: &Nvr, config: &HttpConfig) -> nvr_core::Result<Option<String>> {
    if config.auth == Auth::None {
        return Ok(None);
    }
    let token = nvr.accounts().begin_setup(session::SETUP).await?;
    Ok(token.map(|t| format!("{}/setup#token={}", config.base_path, t.expose())))
}

/// Certificate and key of a server, read from the files of its configuration.
#[derive(Debug, Clone)]
pub struct Tls(Certificate);

impl Tls {
    /// Reads them; `None` where none are configured.
    ///
    /// # Errors
    /// `Storage` or `NotFound` when a file cannot be read, `Config` when it does not hold what it should.
    pub fn load(config: &HttpConfig) -> nvr_core::Result<Option<Self>> {
        config
            .tls
            .as_ref()
            .map(Certificate::load)
            .transpose()
            .map(|c| c.map(Self))
    }
}

/// Serves until `stop` is cancelled; downloads that run then have `grace` to end. With a certificate it speaks TLS, and
/// reads it again when its files change.
///
/// # Errors
/// When the listener fails, the certificate cannot be used, or everybody could ask (`Auth::None`) from elsewhere than
/// this machine.
pub async fn serve(
    listener: TcpListener,
    nvr: Nvr,
    config: &HttpConfig,
    stop: CancellationToken,
    grace: Duration,
) -> std::io::Result<()> {
    serve_state(listener, AppState::new(nvr, config), config, stop, grace).await
}

/// The same with a state that was prepared.
///
/// # Errors
/// When the listener fails, and for an open server at an address that is not loopback.
pub async fn serve_state(
    listener: TcpListener,
    mut state: AppState,
    config: &HttpConfig,
    stop: CancellationToken,
    grace: Duration,
) -> std::io::Result<()> {
    if config.auth == Auth::None && !listener.local_addr()?.ip().is_loopback() {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "auth = \"none\" is for loopback addresses only",
        ));
    }
    let nvr = state.nvr.clone();
    #[cfg(not(feature = "oidc"))]
    if nvr.config().oidc.is_some() {
        tracing::warn!("[oidc] does nothing: this recorder was built without the feature oidc");
    }
    state.stop = stop.clone();
    let app = router(state, config).into_make_service_with_connect_info::<Peer>();
    let graceful = stop.clone();
    // A slow handler is given its time; a client that neither reads nor writes is not waited for.
    let patience = IDLE.max(config.request_timeout + Duration::from_secs(15));
    // Ends with the server, after the last request.
    let log_stop = CancellationToken::new();
    let log = (config.auth == Auth::Accounts).then(|| {
        let (accounts, keep, stop) = (nvr.accounts().clone(), config.audit_keep, log_stop.clone());
        tokio::spawn(async move { accounts.work(keep, stop).await })
    });
    let tls = Tls::load(config).map_err(std::io::Error::other)?;
    let ended = async move { graceful.cancelled().await };
    let served = async {
        match tls {
            None => {
                axum::serve(Patient::new(listener, patience), app)
                    .with_graceful_shutdown(ended)
                    .await
            }
            Some(Tls(certificate)) => {
                let listener =
                    Guarded::new(listener, &certificate, patience).map_err(std::io::Error::other)?;
                tokio::spawn(certificate.watch(nvr.clock(), stop.clone()));
                axum::serve(listener, app).with_graceful_shutdown(ended).await
            }
        }
    };
    let result = tokio::select! {
        result = served => result,
        () = async {
            stop.cancelled().await;
            tokio::time::sleep(grace).await;
        } => Ok(()),
    };
    log_stop.cancel();
    if let Some(log) = log {
        let _ = log.await;
    }
    result
}
