//! The queue while no recorder runs: for tools. Nothing is started here; that is left to the recorder.

use std::time::Duration;

use super::handle;
use crate::config::Config;
use crate::error::Result;
use crate::event::JobState;
use crate::ids::JobId;
use crate::nvr::{Idle, blocking};
use crate::store::{Added, JobBounds, JobQuery, JobRow, NewJob, Page};

/// The queue while no recorder runs. As long as this lives, none can start.
#[derive(Clone, Debug)]
pub struct IdleJobs {
    idle: Idle,
    bounds: JobBounds,
}

impl IdleJobs {
    /// Opens the queue of a configuration for changes.
    ///
    /// # Errors
    /// `Conflict` when a recorder is running, `NotFound` when nothing was recorded there yet, `Storage` or `Corrupt`
    /// when root or index cannot be used.
    pub async fn open(config: &Config) -> Result<Self> {
        let bounds = JobBounds {
            most_live: config.jobs.max_queued,
        };
        let idle = Idle::open(config).await?;
        Ok(Self { idle, bounds })
    }

    /// Jobs, a page at a time.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn list(&self, query: JobQuery) -> Result<Page<JobRow>> {
        let store = self.idle.store.clone();
        blocking(move || store.jobs(&query)).await
    }

    /// Enters a job for the recorder to do when it runs. Its parameters are looked at then.
    ///
    /// # Errors
    /// `InvalidArgument` when it cannot be used, `Busy` when the queue is full, `Storage` when the index cannot be
    /// written.
    pub async fn enqueue(&self, new: NewJob) -> Result<Added> {
        handle::check(&new)?;
        self.idle
            .store
            .add_job(new, self.idle.clock.now(), self.bounds)
            .await
    }

    /// Calls off a job; also one that was running when the recorder died.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, `Conflict` when it is over.
    pub async fn cancel(&self, id: JobId) -> Result<JobRow> {
        self.idle.store.cancel_job(id, self.idle.clock.now(), true).await
    }

    /// Queues a job that failed or was called off once more.
    ///
    /// # Errors
    /// As [`Jobs::retry`](super::Jobs::retry).
    pub async fn retry(&self, id: JobId) -> Result<JobRow> {
        self.idle.store.retry_job(id, self.idle.clock.now()).await
    }

    /// Forgets finished jobs of some states that ended so long ago; returns how many.
    ///
    /// # Errors
    /// As [`Jobs::clean`](super::Jobs::clean).
    pub async fn clean(&self, states: &[JobState], older_than: Duration) -> Result<u64> {
        let before = self.idle.clock.now() - older_than;
        self.idle.store.clean_jobs(states, before).await
    }

    /// Closes the index in order.
    ///
    /// # Errors
    /// `Storage` when it cannot be.
    pub async fn close(self) -> Result<()> {
        self.idle.store.shutdown().await
    }
}
