//! The configuration: shown with its schema, changed as a whole or camera by camera, in force at once.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use nvr_core::ConfigOutcome;
use nvr_core::config::{Config, ConfigFile, EditOrigin, Severity};
use serde_json::{Map, Value};

use super::Body;
use crate::actor::By;
use crate::dto::CameraDto;
use crate::params::CameraPath;
use crate::problem::{Answer, FieldProblem, Problem};
use crate::server::AppState;

/// Something wrong or doubtful in the file.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct ConfigProblemDto {
    /// `error` or `warning`.
    severity: &'static str,
    #[serde(flatten)]
    field: FieldProblem,
}

/// The configuration file.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct ConfigDto {
    /// What stands in it, section by section; what does not stand there has its default. Secrets are `"***"`. `null` when
    /// it cannot be read as TOML.
    #[schema(value_type = Option<Object>)]
    config: Value,
    /// Differs whenever the file does.
    version: String,
    problems: Vec<ConfigProblemDto>,
}

impl From<&ConfigFile> for ConfigDto {
    fn from(file: &ConfigFile) -> Self {
        let problems = file
            .problems()
            .into_iter()
            .map(|(severity, field)| ConfigProblemDto {
                severity: match severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                },
                field: field.into(),
            });
        Self {
            config: file.shown(),
            version: file.version(),
            problems: problems.collect(),
        }
    }
}

/// The configuration file after a change.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct ConfigChangedDto {
    #[serde(flatten)]
    now: ConfigDto,
    /// Paths of what differs now.
    changed: Vec<String>,
    /// Keys and sections whose change waits for the next start of the recorder.
    needs_restart: Vec<&'static str>,
}

/// A change of the configuration.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigChangeRequest {
    /// The version that it was made for; any when absent.
    version: Option<String>,
    /// An object of sections, each an object of keys; `cameras` and `upload` are objects of such objects by id and name.
    /// `null` gives a key its default back, or takes a camera or target out. `"***"` leaves a secret as it is.
    #[schema(value_type = Object)]
    changes: Map<String, Value>,
}

/// The configuration file as it is now.
#[utoipa::path(get, path = "/api/v1/config", tag = "config",
    responses((status = 200, description = "The file", body = ConfigDto),
        (status = 409, description = "The recorder has no file", body = Problem)))]
pub(crate) async fn config(State(app): State<AppState>) -> Answer<Json<ConfigDto>> {
    let file = app.nvr.config_file().await?;
    Ok(Json(ConfigDto::from(&file)))
}

/// The JSON Schema of the configuration.
#[utoipa::path(get, path = "/api/v1/config/schema", tag = "config",
    responses((status = 200, description = "JSON Schema, draft 2020-12", body = Object)))]
pub(crate) async fn schema() -> Json<Value> {
    Json(Config::json_schema())
}

/// Changes the configuration file, comments and order kept, and puts it in force. Either all of it or nothing.
#[utoipa::path(patch, path = "/api/v1/config", tag = "config", request_body = ConfigChangeRequest,
    responses((status = 200, description = "It is written and in force", body = ConfigChangedDto),
        (status = 409, description = "The file is of another version, or there is none", body = Problem),
        (status = 422, description = "Mistakes, each at its field, and nothing is written", body = Problem)))]
pub(crate) async fn change(
    State(app): State<AppState>,
    By(by): By,
    Body(request): Body<ConfigChangeRequest>,
) -> Answer<Json<ConfigChangedDto>> {
    let order = nvr_core::ConfigOrder {
        changes: request.changes,
        version: request.version,
        origin: EditOrigin::Remote,
        by,
    };
    let outcome = app.nvr.change_config_file(order).await?;
    Ok(Json(ConfigChangedDto {
        now: ConfigDto::from(&outcome.file),
        changed: outcome.changed,
        needs_restart: outcome.diff.needs_restart,
    }))
}

type Versioned = [(HeaderName, String); 1];

fn version(outcome: &ConfigOutcome) -> Versioned {
    [(header::ETAG, format!("\"{}\"", outcome.file.version()))]
}

/// Adds a camera to the configuration and starts it. Its keys are those of `[[cameras]]`.
#[utoipa::path(post, path = "/api/v1/cameras", tag = "cameras", request_body = Object,
    responses((status = 201, description = "It starts", body = CameraDto),
        (status = 409, description = "The id is taken, or the recorder has no file", body = Problem),
        (status = 422, description = "Mistakes, each at its field", body = Problem)))]
pub(crate) async fn add_camera(
    State(app): State<AppState>,
    By(by): By,
    Body(keys): Body<Map<String, Value>>,
) -> Answer<(StatusCode, Versioned, Json<CameraDto>)> {
    let id = keys
        .get("id")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let outcome = app.nvr.add_camera_to_file(keys, by).await?;
    let camera = app.nvr.camera(&id.parse()?)?;
    Ok((
        StatusCode::CREATED,
        version(&outcome),
        Json(super::cameras::dto(&app, &camera)),
    ))
}

/// Changes keys of a camera, `null` gives one its default back; only this camera starts again.
#[utoipa::path(patch, path = "/api/v1/cameras/{id}", tag = "cameras", request_body = Object,
    params(("id" = String, Path, description = "Camera id")),
    responses((status = 200, description = "It is as wanted", body = CameraDto),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 409, description = "The recorder has no file", body = Problem),
        (status = 422, description = "Mistakes, each at its field", body = Problem)))]
pub(crate) async fn change_camera(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    By(by): By,
    Body(keys): Body<Map<String, Value>>,
) -> Answer<(Versioned, Json<CameraDto>)> {
    let outcome = app.nvr.change_camera_in_file(&id, keys, by).await?;
    let camera = app.nvr.camera(&id)?;
    Ok((version(&outcome), Json(super::cameras::dto(&app, &camera))))
}

/// Takes a camera out of the configuration and stops it. Its footage stays, and its timeline can be asked for.
#[utoipa::path(delete, path = "/api/v1/cameras/{id}", tag = "cameras",
    params(("id" = String, Path, description = "Camera id")),
    responses((status = 204, description = "It is gone"),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 409, description = "The recorder has no file", body = Problem)))]
pub(crate) async fn remove_camera(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    By(by): By,
) -> Answer<(StatusCode, Versioned)> {
    let outcome = app.nvr.remove_camera_from_file(&id, by).await?;
    Ok((StatusCode::NO_CONTENT, version(&outcome)))
}
