//! Time-lapses of each day: entered as jobs when their day is over, once; their old files removed.

use std::path::Path;
use std::sync::Weak;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Inner, blocking};
use crate::config::DailyTimelapse;
use crate::daily::due;
use crate::error::{ErrorKind, Result};
use crate::ids::CameraId;
use crate::jobs::export;
use crate::jobs::timelapse::TimelapseParams;
use crate::store::DailyKey;
use crate::time::{TimeRange, duration_ns};

/// How often it is looked whether one is due, and for old files.
const LOOK: Duration = Duration::from_secs(30);
const TIDY: Duration = Duration::from_secs(3600);
/// One is never too late for having been looked for a moment later.
const LEAST_LATE: Duration = Duration::from_secs(900);

pub(super) async fn work(recorder: Weak<Inner>, stop: CancellationToken) {
    let mut tidy_at_ns = i64::MIN;
    let mut fault = String::new();
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        let clock = inner.context.clock.clone();
        match inner.enter_daily_timelapses().await {
            Ok(()) => fault.clear(),
            Err(e) if fault == e.to_string() => {}
            Err(e) => {
                tracing::warn!(error = %e, "a daily time-lapse cannot be entered yet");
                fault = e.to_string();
            }
        }
        if clock.steady_ns() >= tidy_at_ns {
            tidy_at_ns = clock.steady_ns().saturating_add(duration_ns(TIDY));
            inner.tidy_daily_timelapses().await;
        }
        drop(inner);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.tick(LOOK) => {}
        }
    }
}

/// The job of a day.
fn params_of(daily: &DailyTimelapse, camera: &CameraId, range: TimeRange) -> TimelapseParams {
    let mut params = TimelapseParams::new(camera.clone(), range);
    params.length_s = daily.per_hour.is_none().then_some(daily.length.as_secs_f64());
    params.per_hour = daily.per_hour;
    params.fps = daily.fps;
    params.height = daily.height;
    params.source = crate::jobs::timelapse::LapseSource::Auto;
    params.daily = Some(daily.name.clone());
    params
}

/// What there is of a day that is due.
enum Found {
    /// Its time-lapse was entered.
    Done,
    /// Its time-lapse is there, and the index does not know.
    File,
    /// Something to make one of.
    Material,
    Nothing,
}

impl Inner {
    async fn enter_daily_timelapses(&self) -> Result<()> {
        let config = self.config();
        let now = self.context.clock.now();
        let mut failed = None;
        for daily in &config.timelapses {
            let late_ns = duration_ns(daily.catch_up.max(LEAST_LATE));
            for (date, range) in due(daily.span, daily.at, &daily.time_zone, now, late_ns)? {
                for camera in &daily.cameras {
                    let key = DailyKey {
                        name: daily.name.clone(),
                        camera: camera.clone(),
                        day: date.to_string(),
                    };
                    // One that cannot be entered now holds up none of the others.
                    if let Err(e) = self.enter_daily(daily, key, range).await {
                        failed = Some(e);
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn enter_daily(&self, daily: &DailyTimelapse, key: DailyKey, range: TimeRange) -> Result<()> {
        let (store, archive, asked) = (self.context.store.clone(), self.archive.clone(), key.clone());
        let folder = export::folder(&self.jobs_config.load(), self.tree.root().path());
        let found = blocking(move || {
            if store.has_daily(&asked)? {
                return Ok(Found::Done);
            }
            // The index may have been made anew since: then the file tells.
            let folder = export::daily_folder(&folder, &asked.name);
            if export::has_file_of(&folder, &asked.camera, range)? {
                return Ok(Found::File);
            }
            let footage = match archive.stretches(&asked.camera, range) {
                Ok(parts) => !parts.is_empty(),
                Err(e) if e.kind() == ErrorKind::NotFound => false,
                Err(e) => return Err(e),
            };
            if footage || !archive.stills_in(&asked.camera, range)?.is_empty() {
                return Ok(Found::Material);
            }
            Ok(Found::Nothing)
        })
        .await?;
        let job = match found {
            // Where there is nothing yet, it is looked again as long as it may be late: an index that was lost comes back bit by
            // bit.
            Found::Done | Found::Nothing => return Ok(()),
            Found::File => None,
            Found::Material => Some(params_of(daily, &key.camera, range).job()?),
        };
        let (name, camera, day) = (key.name.clone(), key.camera.clone(), key.day.clone());
        if let Some(job) = self.jobs.enter_daily(key, job).await? {
            tracing::info!(%name, %camera, day, job = %job.id, "a daily time-lapse is due");
        }
        Ok(())
    }

    async fn tidy_daily_timelapses(&self) {
        let (config, jobs) = (self.config(), self.jobs_config.load_full());
        let now = self.context.clock.now();
        let folder = export::folder(&jobs, self.tree.root().path());
        let tidied = blocking(move || {
            let mut removed = 0;
            for (name, path) in export::daily_folders(&folder)? {
                let daily = config.timelapses.iter().find(|d| d.name == name);
                // Those of one that is not configured any more go as other exports do.
                let keep = daily.map_or(jobs.exports_keep, |d| d.keep);
                removed += remove_old(&path, now - keep)?;
            }
            Ok(removed)
        });
        match tidied.await {
            Ok(0) => {}
            Ok(n) => tracing::info!(files = n, "old daily time-lapses were removed"),
            Err(e) => tracing::warn!(error = %e, "old daily time-lapses were not removed"),
        }
    }
}

fn remove_old(folder: &Path, before: crate::time::Timestamp) -> Result<u64> {
    export::remove_old(folder, before).map_err(|e| crate::error::Error::io(folder.display(), e))
}
