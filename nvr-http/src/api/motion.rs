//! Motion: how much moves now, and how much moved.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use nvr_core::motion::Scene;
use serde::Serialize;
use utoipa::ToSchema;

use crate::params::{CameraPath, Query, Time};
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;

/// How much moves in a zone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ZoneScoreDto {
    zone: String,
    /// 0 to 1.
    score: f32,
}

/// How often a line was crossed since the recorder started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineCountDto {
    line: String,
    /// From the left to the right of who looks from its first point to its second.
    left_to_right: u64,
    /// The other way.
    right_to_left: u64,
}

/// How much moves in a camera's pictures now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MotionNowDto {
    camera: String,
    /// Whether it is looked for.
    active: bool,
    /// `main` or `sub`.
    stream: &'static str,
    /// When it was looked last.
    at: Option<String>,
    /// 0 to 1: from 0.5 on motion for sure, from 0.2 on if it does so again.
    score: f32,
    zones: Vec<ZoneScoreDto>,
    lines: Vec<LineCountDto>,
    /// `learning`, `steady`, `light` (it changed, or the camera was turned) or `shaken`.
    scene: Option<&'static str>,
    /// Where most moves: left, top, width and height in shares of the picture.
    place: Option<[f32; 4]>,
    /// Since when there is motion, while there is.
    moving_since: Option<String>,
    /// Pictures looked at since the recorder started.
    frames: u64,
    /// Pictures left out because there was no time for them.
    frames_dropped: u64,
    /// Processor time of decoding and looking since the recorder started.
    cpu_seconds: f64,
    /// The usual distance of looks; 0 before there are two.
    every_seconds: f64,
    /// Why nothing is seen though it is looked for.
    trouble: Option<String>,
}

/// How much moved, in equal parts of a range.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MotionStripDto {
    camera: String,
    from: String,
    to: String,
    /// The highest score of each part, 0 to 1; null where nobody looked.
    scores: Vec<Option<f32>>,
}

/// How much moves in the pictures of a camera now.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/motion/now", tag = "footage",
    params(("id" = String, Path, description = "Camera id")),
    responses((status = 200, description = "As it was at the last look", body = MotionNowDto),
        (status = 404, description = "There is no such camera", body = Problem)))]
pub(crate) async fn now(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    query: Query,
) -> Answer<Json<MotionNowDto>> {
    query.end()?;
    let s = app.nvr.camera(&id)?.motion();
    Ok(Json(MotionNowDto {
        camera: id.to_string(),
        active: s.active,
        stream: s.stream.as_str(),
        at: s.at.map(|t| t.to_string()),
        score: s.score,
        zones: s
            .zones
            .into_iter()
            .map(|z| ZoneScoreDto {
                zone: z.zone,
                score: z.score,
            })
            .collect(),
        lines: s
            .lines
            .into_iter()
            .map(|l| LineCountDto {
                line: l.line,
                left_to_right: l.left_to_right,
                right_to_left: l.right_to_left,
            })
            .collect(),
        scene: s.scene.map(|scene| match scene {
            Scene::Learning => "learning",
            Scene::Steady => "steady",
            Scene::Light => "light",
            Scene::Shaken => "shaken",
        }),
        place: s.place.map(nvr_core::zone::Area::to_array),
        moving_since: s.moving_since.map(|t| t.to_string()),
        frames: s.frames,
        frames_dropped: s.frames_dropped,
        cpu_seconds: s.cpu_ns as f64 / 1e9,
        every_seconds: s.every_ns as f64 / 1e9,
        trouble: s.trouble,
    }))
}

/// How much moved in the pictures of a camera: a strip for a timeline.
#[utoipa::path(get, path = "/api/v1/cameras/{id}/motion", tag = "footage",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; a day ago"),
        ("to" = inline(Option<Time>), Query, description = "RFC 3339 or Unix seconds; now"),
        ("buckets" = Option<u32>, Query, minimum = 1, maximum = 10000, description = "Parts that the range is divided into; 1440")),
    responses((status = 200, description = "The strip", body = MotionStripDto),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 404, description = "There is no such camera", body = Problem)))]
pub(crate) async fn strip(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
) -> Answer<Json<MotionStripDto>> {
    let now = app.nvr.clock().now();
    let range = query.range(now - Duration::from_hours(24), now)?;
    let buckets: u32 = query
        .parsed("buckets", "a number from 1 to 10000")?
        .unwrap_or(1440);
    query.end()?;
    if range.len_ns() > 3700 * 86_400_000_000_000 {
        return Err(Failure::invalid("the range is longer than ten years"));
    }
    let buckets = usize::try_from(buckets).unwrap_or(usize::MAX);
    let scores = app.nvr.motion_strip(&id, range, buckets).await?;
    Ok(Json(MotionStripDto {
        camera: id.to_string(),
        from: range.start().to_string(),
        to: range.end().to_string(),
        // Two digits are what was kept.
        scores: scores
            .into_iter()
            .map(|s| s.map(|s| (s * 100.0).round() / 100.0))
            .collect(),
    }))
}
