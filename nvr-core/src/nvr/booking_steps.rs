//! What becomes of a booking's footage once it is over: one step after the other, as jobs.

use super::bookings::Looks;
use super::{Inner, blocking};
use crate::bookings::{BookingSpec, BookingState, BookingWarning, RunDetail, Step};
use crate::error::{ErrorKind, Result};
use crate::event::JobState;
use crate::ids::{CameraId, JobId};
use crate::jobs::export::{ExportParams, Packing};
use crate::jobs::verify::VerifyParams;
use crate::store::{SegmentQuery, UploadState};
use crate::time::{TimeRange, Timestamp};

impl Inner {
    /// Begins the next step, or looks how the present one fares.
    pub(super) async fn process_booked(
        &self,
        looks: &mut Looks,
        id: i64,
        range: TimeRange,
        now: Timestamp,
    ) -> Result<()> {
        let Some(run) = looks.runs.get(&(id, range.start())).cloned() else {
            return Ok(());
        };
        let spec = looks.bookings.get(&id).map(|(b, _)| b.spec.clone());
        let step = spec
            .as_ref()
            .and_then(|s| s.then.get(run.detail.steps_done).copied());
        let mut detail = run.detail;
        let Some(step) = step else {
            return self
                .put_booked(looks, id, run.range, BookingState::Completed, detail, now)
                .await;
        };
        if detail.begun {
            let Some(failures) = self.step_is_over(step, &detail, run.range).await? else {
                return Ok(());
            };
            detail.warnings.extend(failures);
            detail.steps_done += 1;
            detail.begun = false;
        } else {
            let begun = match (step, &spec) {
                (Step::Merge, Some(spec)) => self.begin_merge(spec, &detail.cameras, run.range).await,
                _ => self.begin_step(step, &detail.cameras, run.range).await,
            };
            match begun {
                Ok(jobs) => {
                    detail.jobs = jobs;
                    detail.begun = true;
                }
                // A queue that is full has room later.
                Err(e) if e.kind() == ErrorKind::Busy => return Ok(()),
                Err(e) => {
                    detail.warnings.push(BookingWarning {
                        camera: None,
                        message: format!("{} could not be begun: {e}", step.as_str()),
                    });
                    detail.steps_done += 1;
                }
            }
        }
        self.put_booked(looks, id, run.range, BookingState::Processing, detail, now)
            .await
    }

    /// Enters the job of all cameras together.
    async fn begin_merge(
        &self,
        spec: &BookingSpec,
        cameras: &[CameraId],
        range: TimeRange,
    ) -> Result<Vec<JobId>> {
        let job = spec.merge(cameras, range).job()?;
        Ok(vec![self.jobs.enqueue(job).await?.job.id])
    }

    /// Enters the jobs of a step. Asked for twice, as after a crash, those with a key are entered once.
    async fn begin_step(&self, step: Step, cameras: &[CameraId], range: TimeRange) -> Result<Vec<JobId>> {
        let mut new = Vec::new();
        for camera in cameras {
            match step {
                Step::Validate => new.push(
                    VerifyParams {
                        camera: Some(camera.clone()),
                        from: Some(range.start()),
                        to: Some(range.end()),
                        segments: Vec::new(),
                        decode: true,
                    }
                    .job()?,
                ),
                Step::Compress => new.extend(self.transcoding.on_demand(camera.clone(), range).await?),
                Step::Export => new.push(
                    ExportParams {
                        camera: camera.clone(),
                        from: range.start(),
                        to: range.end(),
                        format: Packing::Mp4,
                        path: None,
                        codec: crate::ClipCodec::AsRecorded,
                        masked: false,
                    }
                    .job()?,
                ),
                // It is of all cameras.
                Step::Merge => {}
                Step::Upload => {
                    self.uploads.request(camera, range, None).await?;
                }
            }
        }
        let mut jobs = Vec::new();
        for job in new {
            jobs.push(self.jobs.enqueue(job).await?.job.id);
        }
        Ok(jobs)
    }

    /// `None` while it is being done; else what failed.
    async fn step_is_over(
        &self,
        step: Step,
        detail: &RunDetail,
        range: TimeRange,
    ) -> Result<Option<Vec<BookingWarning>>> {
        let mut failures = Vec::new();
        if step == Step::Upload {
            for camera in &detail.cameras {
                let store = self.context.store.clone();
                let query = SegmentQuery::new([camera.clone()], range);
                for segment in blocking(move || store.all_segments(&query)).await? {
                    for copy in self.uploads.of_segment(segment.id).await? {
                        match copy.state {
                            UploadState::Queued => return Ok(None),
                            UploadState::Failed => failures.push(BookingWarning {
                                camera: Some(camera.clone()),
                                message: format!("its upload to {} failed", copy.target),
                            }),
                            _ => {}
                        }
                    }
                }
            }
            failures.dedup();
            return Ok(Some(failures));
        }
        for id in &detail.jobs {
            let job = match self.jobs.get(*id).await {
                Ok(job) => job,
                // Cleaned up: it was over.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            let why = match job.state {
                JobState::Queued | JobState::Running => return Ok(None),
                JobState::Done => {
                    let bad = job.result.as_ref().and_then(|r| r["bad"].as_u64()).unwrap_or(0);
                    if step != Step::Validate || bad == 0 {
                        continue;
                    }
                    format!("{bad} segments do not hold what they should")
                }
                JobState::Failed => job.error.clone().unwrap_or_else(|| job.message.clone()),
                JobState::Cancelled => "it was called off".to_owned(),
            };
            failures.push(BookingWarning {
                camera: job.camera.clone(),
                message: format!("{} (job {id}): {why}", step.as_str()),
            });
        }
        Ok(Some(failures))
    }
}
