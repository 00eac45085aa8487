//! What is logged, seen and changed for a time.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use nvr_core::pipeline_log::PipelineLogLevels;
use nvr_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Body;
use crate::log_level::LogControl;
use crate::problem::{Answer, Problem};
use crate::server::AppState;

/// How long a change lasts that does not say.
const USUAL: u64 = 900;

/// What is logged now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogLevelDto {
    /// The filter in force: a level, or `target=level` pairs, with commas.
    filter: String,
    /// That of the configuration (`log.filter`), or of `NVR_LOG`.
    configured: String,
    /// Categories of GStreamer that were asked for, `category:level` with commas; empty: none.
    gstreamer: String,
    /// When it is as configured again; `null` while it is.
    until: Option<String>,
}

/// What to log for a while.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogLevelRequest {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`, or `target=level` pairs, with commas; `null` or absent: as
    /// configured.
    #[schema(example = "info,nvr_core::camera=debug")]
    filter: Option<String>,
    /// Categories of GStreamer's own log with levels from 0 to 7, as in `GST_DEBUG`; absent: none.
    #[schema(example = "rtspsrc:5,GST_STATES:4")]
    gstreamer: Option<String>,
    /// For how long, 1 to 86400 seconds (default 900). Then it is as configured again.
    #[schema(minimum = 1, maximum = 86400)]
    for_seconds: Option<u64>,
}

fn control(app: &AppState) -> Answer<&LogControl> {
    let Some(control) = &app.log_control else {
        let error = Error::new(ErrorKind::Unsupported, "what is logged cannot be changed here");
        return Err(error
            .with_hint("it is up to the program around the recorder")
            .into());
    };
    Ok(control)
}

fn dto(control: &LogControl) -> Json<LogLevelDto> {
    let levels = control.levels();
    Json(LogLevelDto {
        filter: levels.filter,
        configured: levels.configured,
        gstreamer: levels.gstreamer,
        until: levels.until.map(|t| t.to_string()),
    })
}

/// What is logged.
#[utoipa::path(get, path = "/api/v1/log-level", tag = "system",
    responses((status = 200, description = "What is in force", body = LogLevelDto),
        (status = 501, description = "The program around the recorder does not tell", body = Problem)))]
pub(crate) async fn get(State(app): State<AppState>) -> Answer<Json<LogLevelDto>> {
    Ok(dto(control(&app)?))
}

/// Changes what is logged, for a time. With neither `filter` nor `gstreamer` it is as configured at once.
#[utoipa::path(put, path = "/api/v1/log-level", tag = "system", request_body = LogLevelRequest,
    responses((status = 200, description = "What is in force now", body = LogLevelDto),
        (status = 400, description = "A field cannot be read", body = Problem),
        (status = 501, description = "The program around the recorder does not let it be changed", body = Problem)))]
pub(crate) async fn put(
    State(app): State<AppState>,
    Body(request): Body<LogLevelRequest>,
) -> Answer<Json<LogLevelDto>> {
    let control = control(&app)?;
    let gstreamer: PipelineLogLevels = request.gstreamer.unwrap_or_default().parse()?;
    if request.filter.is_none() && gstreamer.is_empty() {
        control.reset()?;
    } else {
        let lasts = Duration::from_secs(request.for_seconds.unwrap_or(USUAL));
        control.change(request.filter.as_deref(), &gstreamer, lasts)?;
    }
    Ok(dto(control))
}
