//! The router with its limits, and serving it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use nvr_core::Nvr;
use nvr_core::config::HttpConfig;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{cameras, footage, jobs, media, storage, system, transcoding, uploads};
use crate::conn::Patient;
use crate::guard::guard;
use crate::problem::{PROBLEM_JSON, problem};

/// Pictures decoded and sources probed at once.
const DECODES: usize = 4;
/// How long a connection may stand still: long enough for a player's pause between two requests.
const IDLE: Duration = Duration::from_secs(75);

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct AppState {
    pub(crate) nvr: Nvr,
    pub(crate) decodes: Arc<Semaphore>,
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) timeout: Duration,
    /// Names of this server, beside addresses and `localhost`.
    pub(crate) host_names: Arc<[String]>,
    /// Ends the streams that would go on for ever.
    pub(crate) stop: CancellationToken,
}

impl AppState {
    /// For a recorder, with the limits of its configuration.
    #[must_use]
    pub fn new(nvr: Nvr, config: &HttpConfig) -> Self {
        Self {
            nvr,
            decodes: Arc::new(Semaphore::new(DECODES)),
            requests: Arc::new(Semaphore::new(config.max_concurrent)),
            timeout: config.request_timeout,
            host_names: config.host_names.clone().into(),
            stop: CancellationToken::new(),
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
        (name = "storage", description = "How full the disk is, what is deleted and what is protected"),
        (name = "jobs", description = "Slow work: what waits, runs and is over"),
        (name = "uploads", description = "Copies of segments at other places"),
        (name = "system", description = "The recorder itself"),
    )
)]
struct Api;

fn api_router() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(cameras::list))
        .routes(routes!(cameras::start_all))
        .routes(routes!(cameras::stop_all))
        .routes(routes!(cameras::probe))
        .routes(routes!(cameras::one))
        .routes(routes!(cameras::start))
        .routes(routes!(cameras::stop))
        .routes(routes!(cameras::restart))
        .routes(routes!(cameras::split))
        .routes(routes!(cameras::record))
        .routes(routes!(footage::timeline))
        .routes(routes!(footage::timelines))
        .routes(routes!(footage::days))
        .routes(routes!(footage::segments))
        .routes(routes!(media::segment, storage::delete))
        .routes(routes!(storage::protect))
        .routes(routes!(storage::protect_range))
        .routes(routes!(media::export))
        .routes(routes!(media::vod))
        .routes(routes!(media::media))
        .routes(routes!(media::snapshot))
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
        .routes(routes!(transcoding::status, transcoding::transcode))
        .routes(routes!(transcoding::enable))
        .routes(routes!(transcoding::disable))
        .routes(routes!(system::events))
        .routes(routes!(storage::storage))
        .routes(routes!(storage::cleanup))
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
    let operations = description
        .paths
        .paths
        .values_mut()
        .flat_map(|item| [item.get.as_mut(), item.post.as_mut(), item.delete.as_mut()])
        .flatten();
    for operation in operations {
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

/// Everything: API, page, health, metrics. `config` gives the limits.
pub fn router(state: AppState, config: &HttpConfig) -> Router {
    let (api, _) = api_router().split_for_parts();
    let description = serde_json::to_string_pretty(&openapi()).unwrap_or_default();
    let description = axum::routing::get(move || {
        let text = description.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], text) }
    });
    let body = usize::try_from(config.max_body_bytes).unwrap_or(usize::MAX);
    api.merge(crate::compat::router())
        .route("/api/openapi.json", description)
        .fallback(crate::page::serve)
        .method_not_allowed_fallback(|| async {
            problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "not with this method".into(),
                None,
            )
        })
        .layer(DefaultBodyLimit::max(body))
        .layer(middleware::from_fn_with_state(state.clone(), limits))
        .layer(middleware::from_fn_with_state(state.clone(), guard))
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
        .layer(TraceLayer::new_for_http().on_failure(()))
        .with_state(state)
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

/// Serves until `stop` is cancelled; downloads that run then have `grace` to end.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    nvr: Nvr,
    config: &HttpConfig,
    stop: CancellationToken,
    grace: Duration,
) -> std::io::Result<()> {
    let mut state = AppState::new(nvr, config);
    state.stop = stop.clone();
    let app = router(state, config);
    let graceful = stop.clone();
    // A slow handler is given its time; a client that neither reads nor writes is not waited for.
    let patience = IDLE.max(config.request_timeout + Duration::from_secs(15));
    let listener = Patient::new(listener, patience);
    let server = axum::serve(listener, app).with_graceful_shutdown(async move { graceful.cancelled().await });
    tokio::select! {
        result = server => result,
        () = async {
            stop.cancelled().await;
            tokio::time::sleep(grace).await;
        } => Ok(()),
    }
}
