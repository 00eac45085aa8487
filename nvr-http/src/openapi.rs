//! The addresses of the API, and its description by OpenAPI 3.1.

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{self, Needs};
use crate::api::{
    alerts, backup, bookings, cameras, config, detections, discovery, fill, footage, jobs, live, log_level,
    machine, media, motion, objects, ptz, pushes, restream, session, shares, stills, storage, system,
    transcoding, uploads, users,
};
use crate::problem::PROBLEM_JSON;
use crate::server::AppState;

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

pub(crate) fn api_router() -> OpenApiRouter<AppState> {
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
        .routes(routes!(fill::fill))
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
