//! What players and home automations read from Frigate 0.17: recordings, their gaps, playlists, clips, pictures.
//!
//! There is no object detection here, so the counts of objects and motion are null.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use nvr_core::store::{SegmentQuery, SegmentState};
use nvr_core::timeline::Recorded;
use nvr_core::{CameraId, ClipCodec, ExportFormat, ExportRequest, SnapshotRequest, TimeRange, Timestamp};
use serde::Serialize;

use crate::api::media;
use crate::auth::Viewer;
use crate::params::Query;
use crate::problem::{Answer, Failure};
use crate::server::AppState;

/// Frigate's own bound on the length of a page.
const MOST_SEGMENTS: usize = 10_000;

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/api/recordings/unavailable", get(unavailable))
        .route("/api/recordings/summary", get(days))
        .route("/api/{id}/recordings", get(recordings))
        .route("/api/{id}/recordings/summary", get(summary))
        .route("/api/{id}/latest.jpg", get(latest))
        .route("/api/{id}/start/{start}/end/{end}/clip.mp4", get(clip))
        .route("/vod/{id}/start/{start}/end/{end}/master.m3u8", get(vod))
}

/// `after` and `before`, Unix seconds.
fn window(app: &AppState, query: &mut Query, hours: u64) -> Answer<TimeRange> {
    let now = app.nvr.clock().now();
    let before = query.time("before")?.unwrap_or(now);
    let after = query.time("after")?;
    let after = after.unwrap_or(before - Duration::from_hours(hours));
    Ok(TimeRange::new(after, before)?)
}

fn span((camera, start, end): (String, String, String)) -> Answer<(CameraId, TimeRange)> {
    let time = |text: &str| {
        text.parse::<Timestamp>()
            .map_err(|_| Failure::invalid(format!("{text:?}: want Unix seconds")))
    };
    let range = TimeRange::new(time(&start)?, time(&end)?)?;
    Ok((CameraId::new(&camera)?, range))
}

fn secs(t: Timestamp) -> f64 {
    t.as_secs_f64()
}

#[derive(Debug, Serialize)]
struct Recording {
    id: String,
    start_time: f64,
    end_time: f64,
    duration: f64,
    /// Mebibytes.
    segment_size: f64,
    motion: Option<u32>,
    objects: Option<u32>,
}

async fn recordings(
    State(app): State<AppState>,
    Path(camera): Path<String>,
    mut query: Query,
) -> Answer<Json<Vec<Recording>>> {
    let camera = CameraId::new(&camera)?;
    let range = window(&app, &mut query, 1)?;
    let mut wanted = SegmentQuery::new([camera], range);
    wanted.states = SegmentState::FOOTAGE.to_vec();
    let mut found = Vec::new();
    loop {
        let page = app.nvr.segments(wanted.clone()).await?;
        found.extend(
            page.items
                .iter()
                .filter(|s| s.duration_ns > 0)
                .map(|s| Recording {
                    id: s.id.to_string(),
                    start_time: secs(s.start),
                    end_time: secs(s.start.add_ns(s.duration_ns)),
                    duration: s.duration_ns as f64 / 1e9,
                    segment_size: (s.size_bytes as f64 / f64::from(1 << 20) * 100.0).round() / 100.0,
                    motion: None,
                    objects: None,
                }),
        );
        wanted.cursor = page.next;
        if wanted.cursor.is_none() || found.len() >= MOST_SEGMENTS {
            return Ok(Json(found));
        }
    }
}

#[derive(Debug, Serialize)]
struct Missing {
    start_time: i64,
    end_time: i64,
}

/// Where none of the cameras has footage.
async fn unavailable(
    State(app): State<AppState>,
    viewer: Viewer,
    mut query: Query,
) -> Answer<Json<Vec<Missing>>> {
    let range = window(&app, &mut query, 1)?;
    let scale = query.seconds("scale")?.unwrap_or(Duration::from_secs(30));
    let cameras = cameras(&app, &viewer, &mut query).await?;
    let timelines = app.nvr.timelines(&cameras, range, 0).await?;
    let mut covered: Vec<TimeRange> = timelines
        .iter()
        .flat_map(|t| t.ranges.iter().map(|r| r.range))
        .collect();
    covered.sort_by_key(TimeRange::start);
    Ok(Json(holes(range, &covered, scale)))
}

/// What `covered` (sorted by start) leaves of `range`, where it is at least `scale` long.
fn holes(range: TimeRange, covered: &[TimeRange], scale: Duration) -> Vec<Missing> {
    let mut found = Vec::new();
    let mut at = range.start();
    let scale = i64::try_from(scale.as_nanos()).unwrap_or(i64::MAX);
    let mut note = |from: Timestamp, to: Timestamp| {
        if to > from && to.since(from) >= scale {
            found.push(Missing {
                start_time: secs(from).floor() as i64,
                end_time: secs(to).ceil() as i64,
            });
        }
    };
    for part in covered {
        note(at, part.start());
        at = at.max(part.end());
    }
    note(at, range.end());
    found
}

/// Those that are asked for: all that the viewer may see, if it is not said.
async fn cameras(app: &AppState, viewer: &Viewer, query: &mut Query) -> Answer<Vec<CameraId>> {
    match query.text("cameras")?.as_deref() {
        None | Some("all") => {
            let cameras = app.nvr.recorded_cameras().await?;
            let ids = cameras.into_iter().map(|c| c.id);
            Ok(ids.filter(|id| viewer.sees(id)).collect())
        }
        Some(names) => {
            let ids: Vec<CameraId> = names.split(',').map(CameraId::new).collect::<Result<_, _>>()?;
            ids.iter().try_for_each(|id| viewer.require(id))?;
            Ok(ids)
        }
    }
}

#[derive(Debug, Serialize)]
struct Hour {
    hour: String,
    events: u32,
    motion: Option<u32>,
    objects: Option<u32>,
    /// Seconds with footage.
    duration: i64,
}

#[derive(Debug, Serialize)]
struct Day {
    day: String,
    events: u32,
    hours: Vec<Hour>,
}

fn zone(query: &mut Query, app: &AppState) -> Answer<jiff::tz::TimeZone> {
    let name = query.text("timezone")?;
    let name = name.as_deref().unwrap_or_else(|| app.nvr.time_zone());
    // Frigate's page says `utc`.
    let name = if name.eq_ignore_ascii_case("utc") {
        "UTC"
    } else {
        name
    };
    jiff::tz::TimeZone::get(name).map_err(|_| Failure::invalid(format!("time zone {name:?} is not known")))
}

/// Seconds with footage by day and hour, the newest first.
async fn summary(
    State(app): State<AppState>,
    Path(camera): Path<String>,
    mut query: Query,
) -> Answer<Json<Vec<Day>>> {
    let camera = CameraId::new(&camera)?;
    let zone = zone(&mut query, &app)?;
    let timeline = app.nvr.timeline(&camera, year(&app)).await?;
    Ok(Json(by_hour(&zone, &timeline.ranges)))
}

/// As far back as days are summed.
fn year(app: &AppState) -> TimeRange {
    let now = app.nvr.clock().now();
    TimeRange::new(now - Duration::from_hours(366 * 24), now).unwrap_or(TimeRange::ALL)
}

fn by_hour(zone: &jiff::tz::TimeZone, ranges: &[Recorded]) -> Vec<Day> {
    let mut hours: std::collections::BTreeMap<(jiff::civil::Date, i8), i64> =
        std::collections::BTreeMap::new();
    for r in ranges {
        let (mut at, end) = (r.range.start(), r.range.end());
        while at < end {
            let local = at.to_jiff().to_zoned(zone.clone());
            // In Unix time, so that an hour that comes twice is summed and one that is skipped does not matter;
            // zones whose offset is no whole hour are cut at their own hours.
            let into = i64::from(local.minute()) * 60 + i64::from(local.second());
            let into = into * 1_000_000_000 + i64::from(local.subsec_nanosecond());
            let next = at.add_ns(3600 * 1_000_000_000 - into).min(end);
            *hours.entry((local.date(), local.hour())).or_default() += next.since(at);
            at = next;
        }
    }
    let mut days: Vec<Day> = Vec::new();
    for ((date, hour), ns) in hours.into_iter().rev() {
        let day = date.to_string();
        let hour = Hour {
            hour: format!("{hour:02}"),
            events: 0,
            motion: None,
            objects: None,
            duration: (ns as f64 / 1e9).round() as i64,
        };
        match days.last_mut() {
            Some(last) if last.day == day => last.hours.push(hour),
            _ => days.push(Day {
                day,
                events: 0,
                hours: vec![hour],
            }),
        }
    }
    days
}

/// Days on which any of the cameras has footage.
async fn days(
    State(app): State<AppState>,
    viewer: Viewer,
    mut query: Query,
) -> Answer<Json<std::collections::BTreeMap<String, bool>>> {
    let zone = zone(&mut query, &app)?;
    let cameras = cameras(&app, &viewer, &mut query).await?;
    let mut days = std::collections::BTreeMap::new();
    for timeline in app.nvr.timelines(&cameras, year(&app), 0).await? {
        days.extend(
            by_hour(&zone, &timeline.ranges)
                .into_iter()
                .map(|d| (d.day, true)),
        );
    }
    Ok(Json(days))
}

async fn clip(
    State(app): State<AppState>,
    Path(path): Path<(String, String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Answer<Response> {
    let (camera, range) = span(path)?;
    let request = ExportRequest::new(camera, range, ExportFormat::Mp4);
    media::exported(&app, request, true, &method, &headers).await
}

async fn vod(State(app): State<AppState>, Path(path): Path<(String, String, String)>) -> Answer<Response> {
    let (camera, range) = span(path)?;
    let uri = format!(
        "../../../../../../api/v1/cameras/{camera}/media.m3u8?from={}&to={}",
        range.start(),
        range.end()
    );
    Ok(media::playlist(
        app.nvr
            .vod_master(camera, range, ClipCodec::AsRecorded, uri)
            .await?,
    ))
}

/// The newest picture. `h` or `height` scales it.
async fn latest(
    State(app): State<AppState>,
    Path(camera): Path<String>,
    mut query: Query,
) -> Answer<Response> {
    let camera = CameraId::new(&camera)?;
    let height = match query.parsed::<u32>("h", "pixels")? {
        Some(h) => Some(h),
        None => query.parsed("height", "pixels")?,
    };
    let mut request = SnapshotRequest::new(camera.clone(), None);
    if let Some(height) = height {
        let tracks = app.nvr.camera(&camera)?.status().tracks;
        request.width = tracks.map(|t| {
            let (w, h) = (u64::from(t.video.width), u64::from(t.video.height.max(1)));
            u32::try_from(u64::from(height) * w / h)
                .unwrap_or(u32::MAX)
                .clamp(16, 7680)
        });
    }
    media::picture(&app, request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_secs(s)
    }

    fn range(from: i64, to: i64) -> TimeRange {
        TimeRange::new(at(from), at(to)).unwrap()
    }

    fn recorded(from: i64, to: i64) -> Recorded {
        Recorded {
            range: range(from, to),
            growing: false,
            run: nvr_core::RunId::from_u64(1),
            runs: 1,
            codecs: Vec::new(),
        }
    }

    #[test]
    fn holes_are_what_no_camera_covers() {
        let found = holes(
            range(0, 1000),
            &[range(-5, 100), range(50, 300), range(310, 900)],
            Duration::from_secs(30),
        );
        let found: Vec<_> = found.iter().map(|m| (m.start_time, m.end_time)).collect();
        // Ten seconds are below the scale.
        assert_eq!(found, [(900, 1000)]);
        assert_eq!(holes(range(0, 1000), &[], Duration::from_secs(30)).len(), 1);
    }

    #[test]
    fn hours_are_those_of_the_zone() {
        // Clocks go back at 01:00 UTC on 2026-10-25 in Berlin: the hour from 2 to 3 comes twice.
        let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        let midnight: i64 = 1_792_879_200; // 2026-10-24T22:00:00Z
        let days = by_hour(&zone, &[recorded(midnight, midnight + 25 * 3600)]);
        assert_eq!(days.len(), 1);
        assert_eq!(days[0].day, "2026-10-25");
        let two = days[0].hours.iter().find(|h| h.hour == "02").unwrap();
        assert_eq!(two.duration, 7200);
        assert_eq!(days[0].hours.iter().map(|h| h.duration).sum::<i64>(), 25 * 3600);
        // India is half an hour off.
        let zone = jiff::tz::TimeZone::get("Asia/Kolkata").unwrap();
        let days = by_hour(&zone, &[recorded(0, 3600)]);
        let hours: Vec<_> = days[0]
            .hours
            .iter()
            .map(|h| (h.hour.as_str(), h.duration))
            .collect();
        assert_eq!(hours, [("06", 1800), ("05", 1800)]);
    }
}
