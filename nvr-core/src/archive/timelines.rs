//! When footage is there, when not and why, and by day.

use super::{Archive, no_camera};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::CameraId;
use crate::nvr::blocking;
use crate::segment::Container;
use crate::store::{SegmentQuery, SegmentRow, SegmentState, TimelineRows};
use crate::time::{NS_PER_S, TimeRange};
use crate::timeline::{self, Day, Growing, Material, Timeline};

/// Events that come with a timeline; more are asked for as events.
const MOST_EVENTS: u32 = 1000;
/// What waits at a split is shorter.
const WAITING_NS: i64 = 2 * NS_PER_S;

impl Archive {
    /// Ranges, gaps with their causes, events and totals of one camera.
    ///
    /// # Errors
    /// `NotFound` when the index knows no such camera.
    pub async fn timeline(&self, camera: &CameraId, range: TimeRange) -> Result<Timeline> {
        let mut all = self.timelines(std::slice::from_ref(camera), range, 0).await?;
        all.pop()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "no timeline"))
    }

    /// Timelines of several cameras over one range; what is shorter than `resolution_ns` is folded.
    ///
    /// # Errors
    /// `NotFound` when the index knows one of them not.
    pub async fn timelines(
        &self,
        cameras: &[CameraId],
        range: TimeRange,
        resolution_ns: i64,
    ) -> Result<Vec<Timeline>> {
        let (archive, cameras) = (self.clone(), cameras.to_vec());
        blocking(move || {
            cameras
                .iter()
                .map(|c| archive.timeline_blocking(c, range, resolution_ns))
                .collect()
        })
        .await
    }

    /// [`timelines`](Self::timelines) of one camera, in the caller's thread.
    ///
    /// # Errors
    /// As there.
    pub fn timeline_blocking(
        &self,
        camera: &CameraId,
        range: TimeRange,
        resolution_ns: i64,
    ) -> Result<Timeline> {
        let rows = self.0.store.timeline_rows(camera, range, MOST_EVENTS)?;
        let TimelineRows {
            totals,
            mut segments,
            gaps,
            events,
            going_on,
        } = rows.ok_or_else(|| no_camera(camera))?;
        let growing = self.measure(&mut segments);
        let events = events.into_iter().map(|row| row.event).collect();
        // Between two segments there is a moment in which the newest is complete and nothing grows.
        let newest = growing
            .as_ref()
            .and_then(|g| TimeRange::new(g.start, g.end).ok())
            .or_else(|| {
                let going_on = going_on?;
                // It may have been closed since its row was read.
                let measured = segments.iter().rfind(|s| s.start == going_on.start());
                Some(measured.map_or(going_on, SegmentRow::range))
            });
        Ok(timeline::build(Material {
            camera: camera.clone(),
            range,
            now: timeline::known_until(newest, &gaps, self.0.clock.now()),
            first: totals.oldest.or_else(|| growing.as_ref().map(|g| g.start)),
            segments: &segments,
            growing: growing.as_ref(),
            gaps: &gaps,
            events,
            resolution_ns,
        }))
    }

    /// Recorded seconds by day of a time zone (the configured one if `None`).
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown time zone.
    pub async fn days(
        &self,
        camera: &CameraId,
        time_zone: Option<&str>,
        range: TimeRange,
    ) -> Result<Vec<Day>> {
        let zone = time_zone.unwrap_or(&self.0.time_zone).to_owned();
        let (archive, camera) = (self.clone(), camera.clone());
        blocking(move || {
            let zone = jiff::tz::TimeZone::get(&zone).map_err(|e| {
                Error::new(
                    ErrorKind::InvalidArgument,
                    format!("time zone {zone:?} is not known"),
                )
                .with_hint("write UTC or an IANA name such as Europe/Berlin")
                .with_source(e)
            })?;
            archive.known(&camera)?;
            let mut query = SegmentQuery::new([camera.clone()], range);
            query.states = SegmentState::FOOTAGE.to_vec();
            let mut segments = archive.0.store.all_segments(&query)?;
            let growing = archive.measure(&mut segments);
            Ok(timeline::days(&zone, &segments, growing.as_ref(), range))
        })
        .await
    }

    /// Enters in open rows what can be read of them now, of a plain file how long it has been written, and gives
    /// the segment that is being written. At a split there are two open rows for a moment.
    pub(super) fn measure(&self, rows: &mut [SegmentRow]) -> Option<Growing> {
        for row in rows.iter_mut().filter(|r| r.state == SegmentState::Open) {
            let now = if row.container == Container::Fmp4 {
                let index = self.growing_index(&row.path).ok().flatten();
                index.map(|index| (index.duration_ns(), index.tail_offset()))
            } else {
                self.growing_plain(&row.path)
                    .map(|(bytes, until)| (until.since(row.start).max(0), bytes))
            };
            match now {
                Some((duration_ns, size_bytes)) => {
                    row.duration_ns = duration_ns;
                    row.size_bytes = size_bytes;
                }
                // Closed since the rows were read?
                None => {
                    if let Ok(Some(now)) = self.0.store.segment(row.id) {
                        *row = now;
                    }
                }
            }
        }
        reach_to_the_next(rows);
        let row = rows.iter().rev().find(|r| r.state == SegmentState::Open)?;
        Some(Growing {
            run: row.run,
            start: row.start,
            end: row.end(),
            size_bytes: row.size_bytes,
            codec: row.tracks.video.codec,
        })
    }
}

/// At a split the last frames of the file before wait for their sound: they are not missing.
fn reach_to_the_next(rows: &mut [SegmentRow]) {
    for i in 0..rows.len() {
        let row = &rows[i];
        if row.state != SegmentState::Open {
            continue;
        }
        let next = rows.iter().find(|r| {
            r.run == row.run && r.sequence == row.sequence + 1 && r.start.since(row.end()) < WAITING_NS
        });
        if let Some(next) = next {
            let reaches = next.start.since(row.start);
            rows[i].duration_ns = rows[i].duration_ns.max(reaches);
        }
    }
}
