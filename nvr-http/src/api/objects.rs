//! Objects in pictures: how looking for them fares.

use axum::Json;
use axum::extract::State;
use nvr_core::accounts::Permission;
use nvr_core::objects::BUILT_IN;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Viewer;
use crate::server::AppState;

/// What was done for a camera since the recorder started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ObjectsOfCameraDto {
    camera: String,
    /// Pictures looked at; only those in which something moves are.
    pictures: u64,
    /// Pictures left out because there was no time for them.
    pictures_dropped: u64,
    /// Pictures that could not be converted, and were not looked at.
    pictures_damaged: u64,
    /// Things found that count.
    found: u64,
    /// Processor time of scaling and looking.
    cpu_seconds: f64,
    /// Time of the picture that was looked at last.
    at: Option<String>,
}

/// Looking for objects.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ObjectsDto {
    /// Whether the recorder was built with it (feature `onnx`).
    built_in: bool,
    /// `off`, `loading` (the model is being read), `ready` or `failed`.
    state: &'static str,
    /// File of the model; told to administrators.
    model: Option<String>,
    /// Width and height of what the network is given, once it is read.
    #[schema(value_type = Option<Vec<u32>>)]
    input: Option<[usize; 2]>,
    /// Names of what it knows, once it is read; empty if nobody named them.
    labels: Vec<String>,
    /// Which of them are told; empty: all.
    classes: Vec<String>,
    /// Those of which the network is less sure are not told, 0 to 1; null while nobody asked for it.
    threshold: Option<f32>,
    /// Why nothing is found though it is looked for, and what to do; told to administrators.
    trouble: Option<String>,
    /// Since when.
    trouble_since: Option<String>,
    /// Those of which a picture came, by id.
    cameras: Vec<ObjectsOfCameraDto>,
}

/// How looking for objects fares.
#[utoipa::path(get, path = "/api/v1/objects", tag = "detections", operation_id = "objects_status",
    responses((status = 200, description = "Model, figures, trouble", body = ObjectsDto)))]
pub(crate) async fn status(State(app): State<AppState>, viewer: Viewer) -> Json<ObjectsDto> {
    let status = app.nvr.objects();
    let config = app.nvr.config();
    let config = config.objects.as_ref().filter(|c| c.enabled);
    let whole = viewer.may(Permission::Admin);
    let trouble = status.trouble.as_ref();
    Json(ObjectsDto {
        built_in: BUILT_IN,
        state: status.state.as_str(),
        model: status
            .model
            .as_ref()
            .filter(|_| whole)
            .map(|file| file.display().to_string()),
        input: status.input.map(|(width, height)| [width, height]),
        labels: status.labels.clone(),
        classes: config.map(|c| c.classes.clone()).unwrap_or_default(),
        threshold: config.map(|c| c.threshold),
        trouble: trouble.filter(|_| whole).map(|(_, cause)| cause.message.clone()),
        trouble_since: trouble.map(|(since, _)| since.to_string()),
        cameras: status
            .cameras
            .iter()
            .filter(|(id, _)| viewer.sees(id))
            .map(|(id, figures)| ObjectsOfCameraDto {
                camera: id.to_string(),
                pictures: figures.pictures,
                pictures_dropped: figures.pictures_dropped,
                pictures_damaged: figures.pictures_damaged,
                found: figures.found,
                cpu_seconds: figures.cpu_ns as f64 / 1e9,
                at: figures.at.map(|t| t.to_string()),
            })
            .collect(),
    })
}
