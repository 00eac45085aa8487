//! Enters what targets want, gives jobs to what is next, watches for trouble, clears up what was cut off.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Shared;
use super::kind::job_of;
use super::select;
use super::send::Checkpoint;
use crate::config::UploadConfig;
use crate::error::{ErrorKind, Result};
use crate::jobs::Jobs;
use crate::nvr::blocking;
use crate::store::{Order, UploadQuery, UploadState};
use crate::time::duration_ns;

/// How often is looked for completed segments.
const LOOK: Duration = Duration::from_secs(1);
/// The same after a fault.
const AFTER_FAULT: Duration = Duration::from_secs(10);
/// Segments that are asked about at once.
const INBOX: u32 = 500;
/// How often is looked for what is unfinished at the targets.
const SWEEP: Duration = Duration::from_hours(1);

/// Works until it is told to stop.
pub(super) async fn work(shared: Arc<Shared>, jobs: Jobs, stop: CancellationToken) {
    let (mut faulty, mut swept) = (false, None::<i64>);
    loop {
        let pause = match shared.pass(&jobs).await {
            Ok(()) => {
                faulty = false;
                // Targets that are added wake it.
                if shared.targets.configs().is_empty() {
                    SWEEP
                } else {
                    LOOK
                }
            }
            Err(e) => {
                if !std::mem::replace(&mut faulty, true) {
                    tracing::warn!(error = %e, "uploads cannot be looked after now");
                }
                AFTER_FAULT
            }
        };
        let now = shared.clock.steady_ns();
        if swept.is_none_or(|t| now.saturating_sub(t) >= duration_ns(SWEEP)) {
            swept = Some(now);
            // A target that does not answer must not hold up the others.
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = shared.sweep() => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.wake.notified() => {}
            () = shared.clock.tick(pause) => {}
        }
    }
}

impl Shared {
    async fn pass(&self, jobs: &Jobs) -> Result<()> {
        let configs = self.targets.configs();
        if configs.is_empty() {
            return Ok(());
        }
        loop {
            let store = self.store.clone();
            let rows = blocking(move || store.upload_inbox(INBOX)).await?;
            if rows.is_empty() {
                break;
            }
            let wanted = select::wanted(&configs, &rows);
            let seen = rows.iter().map(|r| r.segment.id).collect();
            self.store.enter_uploads(seen, wanted, self.clock.now()).await?;
        }
        for config in &configs {
            self.turn(config, jobs).await?;
        }
        Ok(())
    }

    /// Looks after one target.
    async fn turn(&self, config: &UploadConfig, jobs: &Jobs) -> Result<()> {
        let name = config.name.clone();
        let store = self.store.clone();
        let (queued, since) = {
            let name = name.clone();
            blocking(move || Ok((store.queued_uploads(&name)?, store.uploads_wait_since(&name)?))).await?
        };
        let now = self.clock.now();
        let turn = select::turn(config, &queued, now);
        for (segment, state, why) in turn.settle {
            if state == UploadState::Cancelled {
                let upload = queued
                    .iter()
                    .find(|q| q.upload.segment == segment)
                    .map(|q| &q.upload);
                if let Some(upload) = upload {
                    self.give_up(jobs, upload).await;
                }
            }
            self.store
                .settle_upload(segment, name.clone(), state, why)
                .await?;
        }
        if turn.room > 0 {
            let mut query = UploadQuery::new(name.clone(), UploadState::Waiting);
            query.by_hand = turn.by_hand_only;
            query.limit = u32::try_from(turn.room).unwrap_or(u32::MAX);
            query.order = if config.newest_first {
                Order::Desc
            } else {
                Order::Asc
            };
            let store = self.store.clone();
            let next = blocking(move || {
                let page = store.uploads(&query)?;
                page.items
                    .into_iter()
                    .map(|u| Ok((store.segment(u.segment)?, u)))
                    .collect::<Result<Vec<_>>>()
            })
            .await?;
            for (row, upload) in next {
                match jobs.enqueue(job_of(&upload, row.as_ref())).await {
                    Ok(added) => {
                        let noted = self
                            .store
                            .upload_enqueued(upload.segment, name.clone(), added.job.id);
                        noted.await?;
                    }
                    // The queue is full of other things.
                    Err(e) if e.kind() == ErrorKind::Busy => break,
                    Err(e) => return Err(e),
                }
            }
        }
        let windowed = !config.windows.is_always();
        self.waits(&name, since, config.alert_after, windowed).await;
        Ok(())
    }

    /// Ends at the target what a job that was called off left.
    async fn give_up(&self, jobs: &Jobs, upload: &crate::store::UploadRow) {
        let (targets, name) = (Arc::clone(&self.targets), upload.target.clone());
        let cleaned = async {
            let job = match upload.job {
                Some(id) => jobs.get(id).await.ok(),
                None => None,
            };
            let begun = job
                .and_then(|j| j.checkpoint)
                .and_then(|c| serde_json::from_value::<Checkpoint>(c).ok());
            let target = blocking(move || targets.get(&name)).await?;
            let id = begun
                .as_ref()
                .map(|b| b.upload.as_str())
                .filter(|id| !id.is_empty());
            target.clean(&upload.key, id).await
        };
        // What is left is found again by the next sweep.
        if let Err(e) = cleaned.await {
            tracing::warn!(target = upload.target, key = upload.key, error = %e, "what was begun is not cleared up yet");
        }
    }

    /// Ends what is unfinished at the targets and belongs to no job: of keys that this recorder gave out, for others may
    /// use the same bucket.
    async fn sweep(&self) {
        for config in self.targets.configs() {
            if let Err(e) = self.sweep_one(&config.name).await {
                tracing::debug!(target = config.name, error = %e, "could not look for what is unfinished");
            }
        }
    }

    async fn sweep_one(&self, name: &str) -> Result<()> {
        let (targets, owned) = (Arc::clone(&self.targets), name.to_owned());
        let target = blocking(move || targets.get(&owned)).await?;
        for (key, id) in target.begun().await? {
            let (store, owned, asked) = (self.store.clone(), name.to_owned(), key.clone());
            let known = blocking(move || store.upload_by_key(&owned, &asked)).await?;
            // One that has a job, or is about to get one again, looks after its own.
            let is_left =
                known.is_some_and(|u| !matches!(u.state, UploadState::Queued | UploadState::Waiting));
            if is_left {
                tracing::info!(target = name, key, id, "an unfinished upload is given up");
                target.clean(&key, Some(&id)).await?;
            }
        }
        Ok(())
    }
}
