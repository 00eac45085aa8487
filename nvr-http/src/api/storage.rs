//! Storage: how full the disk is, what is deleted, what is protected.

use axum::Json;
use axum::extract::State;
use nvr_core::archive::{CameraStats, TierStats};
use nvr_core::retention::{Deleted, Pass};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Viewer;
use crate::dto::SegmentDto;
use crate::params::{CameraPath, Query, SegmentPath, Time};
use crate::problem::{Answer, Problem};
use crate::server::AppState;

/// Figures of one camera's footage.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CameraStatsDto {
    camera: String,
    segments: u64,
    size_bytes: u64,
    /// What of that lies below the second root.
    tier_bytes: u64,
    recorded_seconds: f64,
    oldest: Option<String>,
    newest: Option<String>,
    /// What it wrote in an hour of the last day, gaps included.
    bytes_per_hour: f64,
    /// Days until its oldest footage goes for want of room, at the present rates; null when it writes nothing.
    days_left: Option<f64>,
}

impl From<&CameraStats> for CameraStatsDto {
    fn from(s: &CameraStats) -> Self {
        Self {
            camera: s.camera.to_string(),
            segments: s.segments,
            size_bytes: s.size_bytes,
            tier_bytes: s.tier_bytes,
            recorded_seconds: s.duration_ns as f64 / 1e9,
            oldest: s.oldest.map(|t| t.to_string()),
            newest: s.newest.map(|t| t.to_string()),
            bytes_per_hour: s.bytes_per_hour,
            days_left: s.days_left,
        }
    }
}

/// The second root and what is on it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TierDto {
    root: String,
    /// Whether it is there. What lies on it stays in the index either way.
    reachable: bool,
    segments: u64,
    size_bytes: u64,
    /// 0 while it is not reachable.
    disk_total_bytes: u64,
    disk_available_bytes: u64,
    /// What is to stay free.
    disk_min_free_bytes: u64,
}

impl From<&TierStats> for TierDto {
    fn from(t: &TierStats) -> Self {
        Self {
            root: t.root.to_string_lossy().into_owned(),
            reachable: t.reachable,
            segments: t.segments,
            size_bytes: t.size_bytes,
            disk_total_bytes: t.disk_total_bytes,
            disk_available_bytes: t.disk_available_bytes,
            disk_min_free_bytes: t.disk_min_free_bytes,
        }
    }
}

/// The disk and what is on it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StorageDto {
    cameras: Vec<CameraStatsDto>,
    disk_total_bytes: u64,
    disk_available_bytes: u64,
    /// What is to stay free.
    disk_min_free_bytes: u64,
    /// The second root, if there is one.
    tier: Option<TierDto>,
    /// Of all cameras.
    bytes_per_hour: f64,
    /// Days until the oldest footage goes for want of room, at the present rates; null when nothing is written.
    days_left: Option<f64>,
}

/// Footage that was deleted, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedDto {
    camera: String,
    segments: u64,
    size_bytes: u64,
    /// Begin of the oldest.
    from: String,
    /// End of the newest.
    until: String,
    /// `age`, `camera_bytes`, `total_bytes`, `free_space`, `emergency` or `requested`.
    reason: &'static str,
}

impl From<&Deleted> for DeletedDto {
    fn from(d: &Deleted) -> Self {
        Self {
            camera: d.camera.to_string(),
            segments: d.segments,
            size_bytes: d.size_bytes,
            from: d.from.to_string(),
            until: d.until.to_string(),
            reason: d.reason.as_str(),
        }
    }
}

/// What a cleanup brought.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CleanupDto {
    /// Whether nothing was really deleted.
    dry_run: bool,
    /// By camera and reason.
    deleted: Vec<DeletedDto>,
    /// There is more to do: call again.
    more: bool,
    /// So many bytes are missing to the free space that is wanted, and nothing is left to delete.
    short_bytes: u64,
    /// What could not be deleted, and why.
    failed: Vec<String>,
}

impl CleanupDto {
    fn new(pass: Pass, dry_run: bool) -> Self {
        Self {
            dry_run,
            deleted: pass.deleted.iter().map(Into::into).collect(),
            more: pass.more,
            short_bytes: pass.short_bytes,
            failed: pass.failed,
        }
    }
}

/// How many segments an order concerned.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SegmentCountDto {
    pub(crate) segments: u64,
}

/// The disk, what every camera has on it, and how long it will do.
#[utoipa::path(get, path = "/api/v1/storage", tag = "storage",
    responses((status = 200, description = "The disk", body = StorageDto)))]
pub(crate) async fn storage(State(app): State<AppState>, viewer: Viewer) -> Answer<Json<StorageDto>> {
    let stats = app.nvr.stats().await?;
    let of_viewer = stats.cameras.iter().filter(|s| viewer.sees(&s.camera));
    Ok(Json(StorageDto {
        cameras: of_viewer.map(Into::into).collect(),
        disk_total_bytes: stats.disk_total_bytes,
        disk_available_bytes: stats.disk_available_bytes,
        disk_min_free_bytes: stats.disk_min_free_bytes,
        tier: stats.tier.as_ref().map(Into::into),
        bytes_per_hour: stats.bytes_per_hour,
        days_left: stats.days_left,
    }))
}

/// Deletes what is to go by the limits of retention now, some hundred segments at a time; or says what that is.
#[utoipa::path(post, path = "/api/v1/storage/cleanup", tag = "storage",
    params(("dry_run" = Option<bool>, Query, description = "Only say what would be deleted, all of it")),
    responses((status = 200, description = "What was deleted", body = CleanupDto)))]
pub(crate) async fn cleanup(State(app): State<AppState>, mut query: Query) -> Answer<Json<CleanupDto>> {
    let dry_run = query.flag("dry_run")?;
    query.end()?;
    let pass = app.nvr.cleanup(dry_run).await?;
    Ok(Json(CleanupDto::new(pass, dry_run)))
}

/// Deletes a segment, its file and its row.
#[utoipa::path(delete, path = "/api/v1/segments/{id}", tag = "storage",
    params(("id" = i64, Path, description = "Segment id")),
    responses((status = 200, description = "It is gone", body = DeletedDto),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 409, description = "It is protected, or it is being recorded", body = Problem)))]
pub(crate) async fn delete(
    State(app): State<AppState>,
    SegmentPath(id): SegmentPath,
    query: Query,
) -> Answer<Json<DeletedDto>> {
    query.end()?;
    Ok(Json((&app.nvr.delete_segment(id).await?).into()))
}

/// Protects a segment from deletion, or with `off=true` no longer.
#[utoipa::path(post, path = "/api/v1/segments/{id}/protect", tag = "storage",
    params(("id" = i64, Path, description = "Segment id"),
        ("off" = Option<bool>, Query, description = "Take the protection away")),
    responses((status = 200, description = "The segment", body = SegmentDto),
        (status = 404, description = "There is none of that id", body = Problem)))]
pub(crate) async fn protect(
    State(app): State<AppState>,
    SegmentPath(id): SegmentPath,
    mut query: Query,
) -> Answer<Json<SegmentDto>> {
    let off = query.flag("off")?;
    query.end()?;
    Ok(Json((&app.nvr.set_protected(id, !off).await?).into()))
}

/// Protects all footage of a camera in a range: whole segments, the growing one included. With `event=true` it is not
/// protected but marked as footage of an event, which has an age of its own (`event_age`).
#[utoipa::path(post, path = "/api/v1/cameras/{id}/protect", tag = "storage",
    params(("id" = String, Path, description = "Camera id"),
        ("from" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("to" = inline(Time), Query, description = "RFC 3339 or Unix seconds"),
        ("event" = Option<bool>, Query, description = "Mark as that of an event instead"),
        ("off" = Option<bool>, Query, description = "Take the protection, or the mark, away")),
    responses((status = 200, description = "How many segments that are", body = SegmentCountDto),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 404, description = "There is no such camera", body = Problem)))]
pub(crate) async fn protect_range(
    State(app): State<AppState>,
    CameraPath(id): CameraPath,
    mut query: Query,
) -> Answer<Json<SegmentCountDto>> {
    let range = query.full_range()?;
    let (off, event) = (query.flag("off")?, query.flag("event")?);
    query.end()?;
    let segments = if event {
        app.nvr.mark_event(&id, range, !off).await?
    } else {
        app.nvr.protect_range(&id, range, !off).await?
    };
    Ok(Json(SegmentCountDto { segments }))
}

/// Footage of one day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DayBytesDto {
    /// In the recorder's time zone (`2026-05-04`).
    date: String,
    /// Bytes on disk of segments that began on it, by camera; those with none are left out.
    cameras: std::collections::BTreeMap<String, u64>,
}

/// How much footage there is of each of the last days.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryDto {
    /// Today last.
    days: Vec<DayBytesDto>,
}

/// How much footage there is of each of the last days, by camera, removed ones included.
#[utoipa::path(get, path = "/api/v1/storage/history", tag = "storage",
    params(("days" = Option<u32>, Query, minimum = 1, maximum = 366, description = "1 to 366, default 30")),
    responses((status = 200, description = "Bytes by day and camera", body = HistoryDto),
        (status = 400, description = "A parameter cannot be read", body = Problem)))]
pub(crate) async fn history(
    State(app): State<AppState>,
    viewer: Viewer,
    mut query: Query,
) -> Answer<Json<HistoryDto>> {
    let days: u32 = query.parsed("days", "1 to 366")?.unwrap_or(30);
    query.end()?;
    let days = app.nvr.history(days).await?.into_iter().map(|day| DayBytesDto {
        date: day.date,
        cameras: day
            .cameras
            .into_iter()
            .filter(|(id, _)| viewer.sees(id))
            .map(|(id, bytes)| (id.to_string(), bytes))
            .collect(),
    });
    Ok(Json(HistoryDto { days: days.collect() }))
}
