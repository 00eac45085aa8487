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

use crate::api::{discovery, machine, session};
use crate::auth::{Access, admit};
use crate::conn::Patient;
use crate::guard::guard;
use crate::log_level::LogControl;
use crate::logs::LogBuffer;
use crate::openapi::{api_router, openapi};
use crate::peer::{self, Peer};
use crate::problem::problem;
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
